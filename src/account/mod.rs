//! Who may open which account: sign-in, key slots, the cache of unlocked accounts, throttling,
//! and the administration of accounts.
//!
//! Sign-in goes cache, app-password slot, throttle, Argon2 slot (or a dummy of equal cost for a
//! name that is not there), unlock. So a valid generated secret is never throttled and costs no
//! Argon2 run, and nothing tells from outside whether a name exists (HARDENING H3).

mod about;
mod admin;
mod app_passwords;
mod cache;
mod devices;
mod expiry;
mod figures;
mod history;
mod owner;
mod password;
mod recovery;
mod rotate;
mod throttle;
mod trail;
mod troubles;
mod verify;
mod watch;

#[cfg(test)]
mod tests;

pub use admin::{
    AddedUser, AdminError, Authority, ChangedPassword, DeletedUser, Named, NewUser, UserInfo,
};
pub use app_passwords::{AddedAppPassword, AppPasswordInfo, NewAppPassword};
pub use password::Strength;
pub use recovery::Recovered;

pub use devices::{DeviceInfo, family_name, family_of};
pub use figures::Figures;
pub use history::{Address, failed as vault_failed};
pub use trail::{Trail, TrailLine};
pub use troubles::{Trouble, Who};

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::ids::{AccountId, Email, Secret, SlotId};
use crate::limits;
use crate::seal::{Argon2Cost, Generated, SecretKind, Slot, SlotContent, SlotLock};
use crate::store::Room;
use crate::vault::{AccountRecord, AccountStore, Action, Happening, Retention, Vault, VaultError};
use cache::Cache;
use devices::{Devices, Flush};
use throttle::Throttle;
use troubles::Troubles;

/// What the configuration says about accounts.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// Whether DAV takes the account password too; it would bypass a second factor.
    pub password_over_dav: bool,
    /// Argon2id's memory in KiB for new password slots.
    pub argon2_kib: u32,
    /// Argon2id's passes for new password slots.
    pub argon2_passes: u32,
    /// Days for which the audit trail is kept.
    pub audit_days: u32,
    /// Days after which a device that was not used is forgotten.
    pub device_days: u32,
    /// How long what was deleted or overwritten can be restored.
    pub retention: Retention,
    /// Domains of e-mail addresses whose accounts may be made and sign in; empty for all.
    pub email_domains: Vec<String>,
    /// Days for which tombstones of the sync log are kept.
    pub sync_days: u32,
    /// Minutes without a request after which an account's keys are dropped.
    pub unlocked_idle_minutes: u32,
    /// Hours after the sign-in at which they are dropped in any case.
    pub unlocked_hours: u32,
}

impl Default for AccountSettings {
    fn default() -> Self {
        AccountSettings {
            password_over_dav: false,
            argon2_kib: limits::ARGON2_KIB,
            argon2_passes: limits::ARGON2_PASSES,
            audit_days: limits::AUDIT_DAYS,
            device_days: limits::DEVICE_DAYS,
            retention: Retention::default(),
            email_domains: Vec::new(),
            sync_days: limits::TOMBSTONE_DAYS,
            unlocked_idle_minutes: limits::UNLOCKED_IDLE_MINUTES,
            unlocked_hours: limits::UNLOCKED_HOURS,
        }
    }
}

impl AccountSettings {
    /// Whether accounts of this address are allowed.
    fn allows(&self, email: &Email) -> bool {
        let domain = email.as_str().rsplit('@').next().unwrap_or_default();
        let mut domains = self.email_domains.iter();
        self.email_domains.is_empty() || domains.any(|one| one.eq_ignore_ascii_case(domain))
    }

    fn cost(&self) -> Argon2Cost {
        Argon2Cost {
            kib: self.argon2_kib,
            passes: self.argon2_passes,
        }
    }
}

/// Why nobody was signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInError {
    /// Name or secret is wrong, or the account may not sign in: which of them is not told.
    Wrong,
    /// Too many failures from this address or for this name.
    Throttled {
        /// Seconds after which it is worth trying again.
        retry_after_seconds: u64,
    },
    /// The store does not answer.
    Unavailable,
}

/// The accounts of a server, as its doors see them.
pub struct Accounts {
    vault: Arc<Vault>,
    settings: AccountSettings,
    cache: Cache,
    throttle: Throttle,
    argon2: Runs,
    /// Tried for names that are not there.
    decoy: Slot,
    devices: Devices,
    resealings: rotate::Resealings,
    figures: Figures,
    troubles: Troubles,
    /// What was last said about the disk.
    room: Mutex<Room>,
}

impl Accounts {
    /// The accounts of `vault`.
    pub fn open(vault: Arc<Vault>, settings: AccountSettings) -> Self {
        vault.retain(settings.retention);
        Accounts {
            cache: Cache::new(
                vault.ambient().bytes(),
                settings.unlocked_idle_minutes,
                settings.unlocked_hours,
            ),
            throttle: Throttle::new(),
            argon2: Runs::new(limits::ARGON2_RUNS),
            decoy: Slot::decoy(settings.cost(), vault.host(), vault.ambient()),
            devices: Devices::default(),
            resealings: rotate::Resealings::default(),
            figures: Figures::default(),
            troubles: Troubles::default(),
            room: Mutex::new(Room::Ample),
            vault,
            settings,
        }
    }

    /// The vault below.
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// The account that these opened before, if it is still unlocked: microseconds.
    pub fn cached(&self, name: &str, secret: &Secret) -> Option<AccountStore> {
        self.cache.get(name, secret, self.vault.ambient().now())
    }

    /// Opens an account for DAV. May take an Argon2 run. `name` may be the e-mail address too.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn sign_in(
        &self,
        name: &str,
        secret: &Secret,
        peer: IpAddr,
    ) -> Result<AccountStore, SignInError> {
        let done = self.try_all(name, secret, peer);
        self.figures.ended(&done);
        done
    }

    fn try_all(
        &self,
        name: &str,
        secret: &Secret,
        peer: IpAddr,
    ) -> Result<AccountStore, SignInError> {
        // Asked again by those who waited for their turn: much may have failed since.
        if let Some(done) = self.try_without_argon2(name, secret, peer) {
            return done;
        }
        let record = self.enabled_account(name);
        match self.open_password(record.as_deref(), secret) {
            Some((key, slot)) => {
                let record = record.expect("a key was found in its file");
                self.unlocked(name, secret, &record, key, slot)
            }
            None => Err(self.wrong(name, secret, peer)),
        }
    }

    /// The same as far as it goes without an Argon2 run: all that a generated secret needs, and
    /// refusals. None when only such a run can tell, for which it does not matter whether there is
    /// such an account.
    pub fn sign_in_without_argon2(
        &self,
        name: &str,
        secret: &Secret,
        peer: IpAddr,
    ) -> Option<Result<AccountStore, SignInError>> {
        let done = self.try_without_argon2(name, secret, peer)?;
        self.figures.ended(&done);
        Some(done)
    }

    fn try_without_argon2(
        &self,
        name: &str,
        secret: &Secret,
        peer: IpAddr,
    ) -> Option<Result<AccountStore, SignInError>> {
        let now = self.vault.ambient().now();
        if let Some(account) = self.cache.get(name, secret, now) {
            return Some(Ok(account));
        }
        let generated = Generated::read(secret.expose());
        if let Some(generated) = &generated {
            let record = self.enabled_account(name);
            // Looked for even when there is no such account, so that time tells nothing.
            let opened = self.open_app_password(record.as_deref(), generated);
            if let (Some(record), Some((key, slot))) = (&record, opened) {
                return Some(self.unlocked(name, secret, record, key, slot));
            }
        }
        if self.cache.failed_before(name, secret, now) {
            self.note_failure(name, peer, (401, "old-secret"));
            return Some(Err(SignInError::Wrong));
        }
        if let Some(retry_after_seconds) = self.throttle.blocked(name, peer) {
            self.note_failure(name, peer, (429, "throttled"));
            return Some(Err(SignInError::Throttled {
                retry_after_seconds,
            }));
        }
        let may_be_a_password = generated.is_none()
            && self.settings.password_over_dav
            && secret.expose().len() <= limits::PASSWORD_BYTES;
        (!may_be_a_password).then(|| Err(self.wrong(name, secret, peer)))
    }

    /// The account that a generated secret opens, for whoever had it open until this moment: it was
    /// locked, or opened in another way, between two steps of one request.
    pub fn opened_again(&self, name: &str, secret: &Secret) -> Option<AccountStore> {
        if let Some(account) = self.cached(name, secret) {
            return Some(account);
        }
        let generated = Generated::read(secret.expose())?;
        let record = self.enabled_account(name)?;
        let (content, slot) = self.open_app_password(Some(&record), &generated)?;
        self.unlocked(name, secret, &record, content, slot).ok()
    }

    fn enabled_account(&self, name: &str) -> Option<Arc<AccountRecord>> {
        self.vault
            .account_named(name)
            .filter(|record| record.enabled && self.settings.allows(&record.email))
    }

    /// Counts a failure.
    fn wrong(&self, name: &str, secret: &Secret, peer: IpAddr) -> SignInError {
        self.note_failure(name, peer, (401, "secret"));
        self.throttle.failed(name, peer);
        self.cache.failed(name, secret, self.vault.ambient().now());
        SignInError::Wrong
    }

    /// Counts a failure in the audit trail: by the hour, for an account or for all unknown names.
    fn note_failure(&self, name: &str, peer: IpAddr, why: (u16, &'static str)) {
        let account = self.vault.account_named(name);
        let id = account.map_or(AccountId::NONE, |record| record.id);
        let stranger = Who::Stranger(troubles::neighbourhood(peer));
        self.troubles
            .note(id, stranger, why, self.vault.ambient().now());
        let what = Happening::by(Action::Failure, SlotId::NONE);
        self.vault.note(id, what);
    }

    fn unlocked(
        &self,
        name: &str,
        secret: &Secret,
        record: &AccountRecord,
        content: SlotContent,
        slot: SlotId,
    ) -> Result<AccountStore, SignInError> {
        let account = self.vault.unlock(record.id, content, slot).map_err(|error| {
            if error == VaultError::Missing {
                // Disabled, deleted or revoked at this moment, or expired.
                return SignInError::Wrong;
            }
            tracing::error!(account = %record.id, ?error, "an account with the right secret does not open");
            SignInError::Unavailable
        })?;
        self.cache
            .put(name, secret, account.clone(), self.vault.ambient().now());
        self.begin_resealing(&account);
        self.vault
            .note(record.id, Happening::by(Action::SignIn, slot));
        Ok(account)
    }

    fn open_app_password(
        &self,
        record: Option<&AccountRecord>,
        secret: &Generated,
    ) -> Option<(SlotContent, SlotId)> {
        (secret.kind() == SecretKind::AppPassword).then_some(())?;
        self.open_generated(record, secret)
    }

    fn open_generated(
        &self,
        record: Option<&AccountRecord>,
        secret: &Generated,
    ) -> Option<(SlotContent, SlotId)> {
        let file = record.and_then(|record| self.vault.key_file(record.id));
        let slots = file.as_deref().map_or(&[][..], |file| &file.slots);
        let slot = Slot::find(slots, secret)?;
        let content = slot.open_generated(record?.id, secret, self.vault.host());
        Some((content.ok()?, slot.id))
    }

    /// One Argon2 run, whether there is such an account or not.
    fn open_password(
        &self,
        record: Option<&AccountRecord>,
        password: &Secret,
    ) -> Option<(SlotContent, SlotId)> {
        let waiting = self.figures.argon2_waiting.hold();
        let _run = self.argon2.take();
        drop(waiting);
        self.figures.argon2_runs.one();
        let file = record.and_then(|record| self.vault.key_file(record.id));
        let slot = file.as_ref().and_then(|file| {
            file.slots
                .iter()
                .find(|slot| matches!(slot.lock, SlotLock::Password { .. }))
        });
        let (id, slot) = match (record, slot) {
            (Some(record), Some(slot)) => (record.id, slot),
            _ => (AccountId::NONE, &self.decoy),
        };
        match slot.open_password(id, password, self.vault.host()) {
            Ok(key) => Some((key, slot.id)),
            Err(crate::seal::SlotError::WrongSecret) => None,
            Err(error) => {
                tracing::error!(account = %id, ?error, "a password slot does not open: another host key, or damage");
                None
            }
        }
    }

    /// Writes what the audit trail and the devices have in memory, and the mirror; before the end.
    pub fn settle(&self) {
        self.flush(Flush::All);
        if let Err(error) = self.vault.mirror_audit() {
            tracing::error!(%error, "the mirror of the audit trail cannot be written");
        }
    }

    /// Closes the database in order, whoever still holds it; the last thing that a process does with it.
    pub fn end(&self) {
        if let Err(error) = self.vault.store().end() {
            tracing::error!(%error, "the database could not be closed in order");
        }
    }

    fn flush(&self, which: Flush) {
        let days = self.settings.device_days;
        let done = self.devices.flush(&self.vault, days, which);
        // After the devices, whose news it tells.
        let done = self.vault.flush_audit().and(done);
        if let Err(error) = done.and_then(|()| self.vault.cut_audit(self.settings.audit_days)) {
            self.figures.flush_failures.one();
            tracing::error!(%error, "the audit trail cannot be written; what it has to tell waits in memory");
        }
    }

    /// Ends the use of an account's keys, or of all accounts': requests under way finish, and the
    /// next one has to open the account again by its secret. Gives how many were open.
    ///
    /// # Errors
    /// No such user.
    pub fn lock(&self, name: Option<&str>) -> Result<usize, AdminError> {
        let named = name.map(|name| self.record(name)).transpose()?;
        let mut unlocked = self.vault.unlocked();
        if let Some(named) = named {
            unlocked.retain(|id| *id == named.id);
        }
        for id in &unlocked {
            self.vault.lock(*id);
        }
        // The keys go with the last handle: here, or with a request that is under way.
        self.forget_resealings();
        self.cache.expire(self.vault.ambient().now());
        Ok(unlocked.len())
    }

    fn expire(&self) {
        let now = self.vault.ambient().now();
        self.cache.expire(now);
        let needless = self.cache.open_needlessly();
        for id in &needless {
            self.vault.lock(*id);
        }
        if !needless.is_empty() {
            self.cache.expire(now);
        }
    }

    /// Opens a store that failed again; whether it works now. Not twice at a time.
    pub fn mend(&self) -> bool {
        if !self.vault.store().has_failed() {
            return true;
        }
        match self.vault.recover() {
            Ok(()) => tracing::warn!("the store was opened again after a failed write"),
            Err(error) => tracing::error!(%error, "the store cannot be opened again"),
        }
        !self.vault.store().has_failed()
    }

    /// What is done every minute: the audit trail is written, idle keys and old failures are
    /// forgotten, deleted rows purged.
    pub fn housekeep(&self) {
        self.flush(Flush::Due);
        self.expire();
        self.throttle.expire();
        self.forget_resealings();
        self.reseal_all();
        if let Err(error) = self.vault.doom_trashed() {
            tracing::error!(%error, "old trash cannot be removed");
        }
        self.vault.cut_histories();
        self.purge_now();
    }

    /// Removes the rows of all that was deleted for good; what fails is logged.
    pub fn purge_now(&self) {
        loop {
            match self.vault.purge_step() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "purging deleted rows failed");
                    break;
                }
            }
        }
        self.forget_tombstones();
    }
}

/// Bounds how many Argon2 runs, each with its own memory, go on at once.
struct Runs {
    free: Mutex<usize>,
    changed: Condvar,
}

struct Run<'a>(&'a Runs);

impl Runs {
    fn new(free: usize) -> Self {
        Runs {
            free: Mutex::new(free),
            changed: Condvar::new(),
        }
    }

    fn take(&self) -> Run<'_> {
        let mut free = self.free.lock();
        while *free == 0 {
            self.changed.wait(&mut free);
        }
        *free -= 1;
        Run(self)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.changed.notify_one();
    }
}
