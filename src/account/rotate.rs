//! A new account key: slots are cut anew for all devices, without their secrets, and what the old
//! key opened is sealed under the new one while the account is in use.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Accounts;
use super::about::About;
use super::admin::{AdminError, Authority, is_app_password, refused};
use crate::ids::{AccountId, Secret, SlotId};
use crate::limits;
use crate::seal::{AccountKey, Slot, SlotContent, SlotKey, SlotLock, Terms, ToWrap};
use crate::vault::{AccountRecord, AccountStore, Resealed, Resealing, VaultError};

/// The accounts of which something is still sealed under keys of before. Each is held open until
/// that is done, or until it is locked.
#[derive(Default)]
pub(super) struct Resealings(Mutex<HashMap<AccountId, Arc<Mutex<Resealing>>>>);

impl Accounts {
    /// Gives an account a new key, and all its devices slots that hold it. What the old key sealed
    /// is sealed anew afterwards: see `reseal`.
    ///
    /// # Errors
    /// No such user, a wrong password, a slot of an early version that cannot be made anew without
    /// its secret, damage in the account's tree, a failing disk.
    pub fn rotate(&self, name: &str, password: Secret) -> Result<Resealed, AdminError> {
        let record = self.record(name)?;
        let authority = Authority::Password(password);
        let old = self.open_by(&record, &authority)?;
        let Authority::Password(password) = authority else {
            return refused("the password is needed");
        };
        let rewrap = |key: &AccountKey, slots: &[Slot]| {
            let slots = slots.iter();
            slots
                .map(|slot| self.rewrapped(&record, slot, key, &password))
                .collect()
        };
        let key = self.vault.change_account_key(record.id, &old, rewrap)?;
        drop(old);
        self.cache.forget_failures();
        let file = self.vault.key_file(record.id);
        let slot = file.and_then(|file| {
            let is_password = |slot: &&Slot| matches!(slot.lock, SlotLock::Password { .. });
            file.slots.iter().find(is_password).map(|slot| slot.id)
        });
        let content = SlotContent {
            key: SlotKey::Whole(key),
            terms: Terms::default(),
        };
        match self
            .vault
            .unlock(record.id, content, slot.unwrap_or(SlotId::NONE))
        {
            Ok(account) => {
                self.begin_resealing(&account);
                Ok(self.resealed(name)?.unwrap_or_default())
            }
            // Disabled: it goes on when the account is opened again.
            Err(VaultError::Missing) => Ok(Resealed::default()),
            Err(error) => Err(AdminError(format!(
                "the account has a new key, and does not open: {error:?}"
            ))),
        }
    }

    /// A slot that holds the new key for whoever has the secret of this one.
    fn rewrapped(
        &self,
        record: &AccountRecord,
        slot: &Slot,
        key: &AccountKey,
        password: &Secret,
    ) -> Result<Slot, AdminError> {
        if let SlotLock::Password { .. } = slot.lock {
            return Ok(self.password_slot(record.id, key, password));
        }
        let (host, ambient) = (self.vault.host(), self.vault.ambient());
        let about = slot.about(record.id, host).ok();
        let about = about.and_then(|about| About::decode(&about));
        let what = match (&about, is_app_password(slot)) {
            (Some(about), true) => format!("the app password {:?}", about.label),
            (None, true) => format!("the app password {}", slot.id),
            (_, false) => "the recovery key".to_owned(),
        };
        let Some(about) = about else {
            return Err(AdminError(format!(
                "what is known of {what} is damaged: revoke it or make a new one first"
            )));
        };
        // It holds a key of its own, for which chosen calendars are granted.
        if !about.calendars.is_empty() {
            return Ok(slot.clone());
        }
        let Some(public) = about.public else {
            return Err(AdminError(format!(
                "{what} is of an early version and would stop working: revoke it or make a new one first"
            )));
        };
        let (whole, terms) = (ToWrap::Whole(key), about.terms());
        let slot = slot.clone();
        Ok(slot.rewrapped(record.id, whole, terms, &public, host, ambient))
    }

    /// Remembers an account of which something is still sealed under keys of before.
    pub(super) fn begin_resealing(&self, account: &AccountStore) {
        let mut all = self.resealings.0.lock();
        if !all.contains_key(&account.id())
            && let Some(resealing) = account.resealing()
        {
            all.insert(account.id(), Arc::new(Mutex::new(resealing)));
        }
    }

    /// How far the sealing of an account's rows under its new keys got; none when nothing is to be
    /// done, or the account is not open.
    ///
    /// # Errors
    /// No such user.
    pub fn resealed(&self, name: &str) -> Result<Option<Resealed>, AdminError> {
        let record = self.record(name)?;
        let resealing = self.resealings.0.lock().get(&record.id).cloned();
        Ok(resealing.map(|resealing| resealing.lock().progress()))
    }

    /// Goes on with that for a while (`limits::RESEAL_STEPS`), and says how far it got and whether
    /// that was all.
    ///
    /// # Errors
    /// No such user; the store fails.
    pub fn reseal(&self, name: &str) -> Result<(Resealed, bool), AdminError> {
        let record = self.record(name)?;
        self.reseal_some(record.id)
            .map_err(|error| AdminError(format!("the store failed: {error:?}")))
    }

    fn reseal_some(&self, id: AccountId) -> Result<(Resealed, bool), VaultError> {
        let Some(resealing) = self.resealings.0.lock().get(&id).cloned() else {
            return Ok((Resealed::default(), true));
        };
        let mut one = resealing.lock();
        let mut stepped = Ok(true);
        for _ in 0..limits::RESEAL_STEPS {
            stepped = one.step();
            if !matches!(stepped, Ok(true)) {
                break;
            }
        }
        let progress = one.progress();
        if !matches!(stepped, Ok(true)) {
            self.resealings.0.lock().remove(&id);
        }
        match stepped {
            Ok(more) => Ok((progress, !more)),
            // It goes on when the account is opened again.
            Err(VaultError::Locked) => Ok((progress, true)),
            Err(error) => Err(error),
        }
    }

    /// Goes on for all accounts; one that was locked is let go of.
    pub(super) fn reseal_all(&self) {
        let all: Vec<_> = self.resealings.0.lock().keys().copied().collect();
        for id in all {
            match self.reseal_some(id) {
                Ok((progress, true)) => {
                    tracing::info!(account = %id, objects = progress.done, kept = progress.kept, "sealed under new keys")
                }
                Ok((_, false)) => {}
                Err(error) => {
                    tracing::error!(account = %id, ?error, "sealing under new keys failed; it goes on when the account is opened again")
                }
            }
        }
    }

    /// Lets go of accounts that were locked.
    pub(super) fn forget_resealings(&self) {
        let all: Vec<_> = self.resealings.0.lock().values().cloned().collect();
        let locked: Vec<_> = all.iter().filter(|one| !one.lock().is_open()).collect();
        let gone = |one: &Arc<Mutex<Resealing>>| locked.iter().any(|other| Arc::ptr_eq(one, other));
        self.resealings.0.lock().retain(|_, one| !gone(one));
    }
}
