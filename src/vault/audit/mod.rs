//! The audit trail: who used what and when, in chains of pages; and what notices that rows were
//! put back from an older state (PROMISES P10, HARDENING H30).
//!
//! - Each account has a chain, which its user alone can read: the entries of a page are sealed
//!   under a key of the day, and that is sealed for the account's public key. The server forgets
//!   it when the day is over, and at a stop. Administration has a chain that the host key opens.
//! - The open page is one row, overwritten in the same batch as each change: a change whose entry
//!   cannot be written is no change. What happens again within the hour only counts an entry up.
//! - Reads, sign-ins and failures are gathered in memory (`Pending`) and written within a minute,
//!   in a bounded number of entries whatever comes in. They go on when nothing can be written.
//! - Each page holds the hash of the page before, the number of the account's changes, and a keyed
//!   sum over the heads of its collections: a head put back does not add up at the next unlock.
//! - `mirror` writes the last numbers of all chains, signed, outside of the database.

mod chain;
mod devices;
mod mirror;
mod page;
mod rekey;
mod retention;
mod show;
#[cfg(test)]
mod tests;
mod verify;

pub use devices::{ClientFamily, DeviceRecord};
pub use mirror::MirrorError;
pub use show::{AuditLine, AuditLines, ExportCursor, ExportPage};
pub use verify::{AuditReport, Finding};

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use serde::{Deserialize, Serialize};

use self::chain::ChainState;
pub(super) use self::mirror::unhex;
pub(super) use self::page::ChainRows;
use self::page::{Entry, NOTHING, hour_of};
use super::{AccountStore, Vault};
use crate::ambient::UnixMillis;
use crate::ids::{AccountId, CollectionId, SlotId};
use crate::limits;
use crate::seal::{AccountKey, NameKey, PublicKey, RowName, Stored};
use crate::store::{Batch, Receipt, StoreError};

/// What may be told of. The order is part of the stored format: add at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "`name` says it")]
pub enum Action {
    Read,
    Change,
    Delete,
    MakeCollection,
    DeleteCollection,
    ChangeCollection,
    Share,
    SignIn,
    Failure,
    CutKey,
    RevokeKey,
    ChangePassword,
    Enable,
    Disable,
    AddUser,
    DeleteUser,
    Lock,
    ChangeHostKey,
    NewDevice,
    NewClient,
    Begin,
    Damage,
    Rollback,
    ChangeAccountKey,
    Restore,
    Purge,
    Undo,
    Export,
    Erase,
}

impl Action {
    /// What it is called where a person reads it, and in exports.
    pub fn name(self) -> &'static str {
        match self {
            Action::Read => "read",
            Action::Change => "change",
            Action::Delete => "delete",
            Action::MakeCollection => "make-collection",
            Action::DeleteCollection => "delete-collection",
            Action::ChangeCollection => "change-collection",
            Action::Share => "share",
            Action::SignIn => "sign-in",
            Action::Failure => "failed-sign-in",
            Action::CutKey => "key-cut",
            Action::RevokeKey => "key-revoked",
            Action::ChangePassword => "password-changed",
            Action::Enable => "enable",
            Action::Disable => "disable",
            Action::AddUser => "user-add",
            Action::DeleteUser => "user-delete",
            Action::Lock => "lock",
            Action::ChangeHostKey => "host-key-changed",
            Action::NewDevice => "new-device",
            Action::NewClient => "new-client",
            Action::Begin => "trail-begun",
            Action::Damage => "trail-damaged",
            Action::Rollback => "rollback-noticed",
            Action::ChangeAccountKey => "account-key-changed",
            Action::Restore => "restore",
            Action::Purge => "trash-purged",
            Action::Undo => "undo",
            Action::Export => "export",
            Action::Erase => "erasure-certified",
        }
    }
}

/// What happened, to what, by which device. The same within an hour is one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Happening {
    /// What.
    pub action: Action,
    /// The key slot by which, or to which, it happened; NONE for none.
    pub device: SlotId,
    /// The id of the collection, in administration of the account; zeros for none.
    about: [u8; 16],
}

impl Happening {
    /// Something that a device did in a collection.
    pub fn within(action: Action, device: SlotId, collection: CollectionId) -> Self {
        Happening {
            action,
            device,
            about: *collection.bytes(),
        }
    }

    /// Something that a device did with the account as a whole.
    pub fn by(action: Action, device: SlotId) -> Self {
        Happening {
            action,
            device,
            about: NOTHING,
        }
    }

    /// Something in administration.
    pub fn to(action: Action, account: AccountId, slot: SlotId) -> Self {
        Happening {
            action,
            device: slot,
            about: *account.bytes(),
        }
    }
}

/// What a change does to the sum over the heads.
#[derive(Debug, Default)]
pub(super) struct HeadsDelta {
    pub gone: Vec<[u8; 32]>,
    pub come: Vec<[u8; 32]>,
}

/// Entries that wait in memory, each with its hour.
#[derive(Default)]
struct Pending(HashMap<(i64, Happening), Entry>);

impl Pending {
    /// Takes an entry in; with `limits::AUDIT_PENDING` of them it says less, so that there are
    /// never more than that, once for each device, and once for each action.
    fn add(&mut self, hour: i64, entry: Entry) {
        let mut what = entry.what;
        for narrowed in [what, what.anywhere(), what.by_anyone()] {
            what = narrowed;
            if let Some(known) = self.0.get_mut(&(hour, what)) {
                return known.add(&entry);
            }
            if self.0.len() < limits::AUDIT_PENDING {
                break;
            }
        }
        self.0.insert((hour, what), Entry { what, ..entry });
    }
}

/// One chain: of an account, or of administration.
pub(super) struct Chain {
    rows: ChainRows,
    state: Mutex<ChainState>,
    pending: Mutex<Pending>,
    /// Whether pages can be sealed for its reader.
    readable: AtomicBool,
    /// The number of the first page and its day, once somebody asked how old it is.
    oldest: Mutex<Option<(u64, i64)>>,
}

impl Chain {
    /// The beginnings of the names of all rows that go with the account.
    pub fn prefixes(&self) -> [[u8; 16]; 3] {
        self.rows.prefixes()
    }

    /// The name of the row with the open page.
    pub fn open_page_name(&self) -> RowName {
        self.rows.open_page()
    }

    /// The name of the row that tells for whom its pages are sealed.
    pub fn root_name(&self) -> RowName {
        self.rows.root()
    }

    /// Counts something that is written within a minute.
    pub fn note(&self, what: Happening, now: UnixMillis) {
        self.pending.lock().add(hour_of(now), Entry::new(what, now));
    }
}

/// All chains of a vault.
pub(super) struct Audit {
    chains: RwLock<HashMap<AccountId, Arc<Chain>>>,
    /// Read by whoever commits a page, written by whoever reads all of them anew.
    gate: RwLock<()>,
    mirror: PathBuf,
    /// Whether a page was written since the mirror was.
    changed: AtomicBool,
    /// One writer of the mirror at a time.
    mirroring: Mutex<()>,
    /// Pages are not cut while they are verified.
    cutting: Mutex<()>,
    /// What was found wrong since the start.
    findings: Mutex<Vec<Finding>>,
}

/// A chain while a page of it is being committed.
pub(super) struct Writing<'a> {
    _gate: RwLockReadGuard<'a, ()>,
    chain: &'a Chain,
    state: MutexGuard<'a, ChainState>,
}

impl Audit {
    pub fn new(mirror: PathBuf) -> Self {
        Audit {
            chains: RwLock::default(),
            gate: RwLock::default(),
            mirror,
            changed: AtomicBool::new(true),
            mirroring: Mutex::default(),
            cutting: Mutex::default(),
            findings: Mutex::default(),
        }
    }

    /// The chain of an account; made when it is not known yet.
    pub fn chain(&self, account: AccountId, names: &NameKey) -> Arc<Chain> {
        if let Some(chain) = self.chains.read().get(&account) {
            return chain.clone();
        }
        let mut chains = self.chains.write();
        let chain = chains.entry(account).or_insert_with(|| {
            Arc::new(Chain {
                rows: ChainRows::new(account, names),
                state: Mutex::default(),
                pending: Mutex::default(),
                readable: AtomicBool::new(account == AccountId::NONE),
                oldest: Mutex::default(),
            })
        });
        chain.clone()
    }

    /// Of an account that is deleted, or was not made.
    pub fn forget(&self, account: AccountId) {
        self.chains.write().remove(&account);
        self.changed.store(true, Ordering::Release);
    }

    /// Keeps writers of a chain out until the batch with its page is committed.
    pub fn writing<'a>(&'a self, chain: &'a Chain) -> Writing<'a> {
        Writing {
            _gate: self.gate.read(),
            state: chain.state.lock(),
            chain,
        }
    }

    /// Remembers that something is wrong, and says so; once.
    fn found(&self, finding: Finding) {
        let mut findings = self.findings.lock();
        if !findings.contains(&finding) && findings.len() < limits::AUDIT_FINDINGS {
            tracing::error!(account = %finding.account, page = finding.page, "{}", finding.what);
            findings.push(finding);
        }
    }
}

impl AccountStore {
    /// Counts that this device read in a collection.
    pub(super) fn note_read(&self, id: CollectionId) {
        let what = Happening::within(Action::Read, self.device(), id);
        self.inner.audit.note(what, self.inner.vault.ambient.now());
    }
}

impl Vault {
    pub(super) fn chain(&self, account: AccountId) -> Arc<Chain> {
        self.audit.chain(account, &self.host_names)
    }

    /// Counts something that is written into the account's chain within a minute; into that of
    /// administration while nothing can be sealed for the account.
    pub fn note(&self, account: AccountId, what: Happening) {
        let chain = self.chain(account);
        let now = self.ambient.now();
        if !chain.readable.load(Ordering::Relaxed) {
            let what = Happening::to(what.action, account, what.device);
            return self.chain(AccountId::NONE).note(what, now);
        }
        chain.note(what, now);
    }

    /// Writes into the chain of administration, and into the account's own, what is about to be
    /// done to an account. Durable when it returns; whoever gets an error does not do it.
    ///
    /// # Errors
    /// The store's.
    pub fn administered(
        &self,
        action: Action,
        account: AccountId,
        slot: SlotId,
    ) -> Result<(), StoreError> {
        let now = self.ambient.now();
        let (office, own) = (self.chain(AccountId::NONE), self.chain(account));
        let mut batch = Batch::new();
        // Always in this order: administration, then the account.
        let mut writing = self.audit.writing(&office);
        let what = Entry::new(Happening::to(action, account, slot), now);
        self.record(&mut writing, &mut batch, now, &[what], None);
        let mut state = (account != AccountId::NONE).then(|| own.state.lock());
        if let Some(state) = &mut state {
            let what = Entry::new(Happening::by(action, slot), now);
            state.record(self, &own.rows, &mut batch, now, &[what], None);
        }
        let receipt = self.store.commit(batch);
        drop((state, writing));
        receipt.wait()
    }

    /// Writes something into the chain of administration alone. Durable when it returns.
    ///
    /// # Errors
    /// The store's.
    pub(super) fn tell_administration(&self, what: Happening) -> Result<(), StoreError> {
        let now = self.ambient.now();
        let office = self.chain(AccountId::NONE);
        let mut batch = Batch::new();
        let mut writing = self.audit.writing(&office);
        self.record(
            &mut writing,
            &mut batch,
            now,
            &[Entry::new(what, now)],
            None,
        );
        let receipt = self.store.commit(batch);
        drop(writing);
        receipt.wait()
    }

    /// Adds entries to the open page of a chain, in the batch of what they tell of.
    fn record(
        &self,
        writing: &mut Writing<'_>,
        batch: &mut Batch,
        now: UnixMillis,
        entries: &[Entry],
        heads: Option<&HeadsDelta>,
    ) {
        let rows = &writing.chain.rows;
        writing.state.record(self, rows, batch, now, entries, heads);
    }

    /// Adds a change of an account, in its batch.
    pub(super) fn record_change(
        &self,
        writing: &mut Writing<'_>,
        batch: &mut Batch,
        now: UnixMillis,
        happenings: &[Happening],
        heads: &HeadsDelta,
    ) {
        let entries: Vec<_> = happenings
            .iter()
            .map(|what| Entry::new(*what, now))
            .collect();
        self.record(writing, batch, now, &entries, Some(heads));
    }

    /// Begins the chain of a new account, in the batch of its home.
    pub(super) fn audit_begun<'a>(
        &'a self,
        chain: &'a Chain,
        batch: &mut Batch,
        key: &AccountKey,
        heads: [u64; 4],
    ) -> Writing<'a> {
        let mut writing = self.audit.writing(chain);
        let public = key.pair().public();
        writing
            .state
            .begin(self, &chain.rows, batch, public, Some(heads));
        chain.readable.store(true, Ordering::Relaxed);
        writing
    }

    /// Makes sure that pages can be sealed for the account's user, now that its key is here, and
    /// compares what its heads add up to with its chain. `heads` is none when rows are damaged,
    /// which was told already.
    pub(super) fn audit_unlocked(
        &self,
        account: AccountId,
        key: &AccountKey,
        heads: Option<[u64; 4]>,
    ) -> Result<Arc<Chain>, StoreError> {
        let chain = self.chain(account);
        let mut writing = self.audit.writing(&chain);
        let public = key.pair().public();
        let mut batch = Batch::new();
        let begun = writing
            .state
            .begin(self, &chain.rows, &mut batch, public, heads);
        chain.readable.store(true, Ordering::Relaxed);
        let added_up = writing.state.heads();
        self.store.commit(batch);
        drop(writing);
        if begun {
            self.note(
                AccountId::NONE,
                Happening::to(Action::Begin, account, SlotId::NONE),
            );
        }
        if heads.is_some_and(|heads| added_up.is_some_and(|added_up| heads != added_up)) {
            self.note(
                AccountId::NONE,
                Happening::to(Action::Rollback, account, SlotId::NONE),
            );
            self.audit.found(Finding {
                account,
                page: None,
                what: "the collections do not add up to the audit trail: a head was put back from an older state".into(),
            });
        }
        Ok(chain)
    }

    /// The public key of the pair of an account's key, as its rows have it.
    pub(super) fn public_of(&self, id: AccountId) -> Option<PublicKey> {
        let chain = self.chain(id);
        let state = chain.state.lock();
        state.root().and_then(|root| root.public)
    }

    /// Whether an account had another key in another state, whose root of the audit trail is
    /// `root`; no, where either is unknown.
    pub(super) fn had_another_key(&self, id: AccountId, root: Option<Stored>) -> bool {
        let chain = self.chain(id);
        let name = chain.rows.root();
        let then = root.and_then(|stored| self.open_root(&name, stored));
        let then = then.and_then(|root| root.public);
        let now = self.public_of(id);
        then.is_some() && now.is_some() && then != now
    }

    /// Takes over what the heads of an account added up to in another state, whose open page is
    /// `page`; unknown until the next unlock when there is none, or it does not open.
    ///
    /// # Errors
    /// The store's.
    pub(super) fn take_heads(&self, id: AccountId, page: Option<Stored>) -> Result<(), StoreError> {
        let chain = self.chain(id);
        let mut writing = self.audit.writing(&chain);
        let mut batch = Batch::new();
        let page = page.and_then(|stored| self.open_page(&chain.rows.open_page(), stored));
        let heads = page.and_then(|page| page.heads);
        writing
            .state
            .take_heads(self, &chain.rows, &mut batch, heads);
        let receipt = self.store.commit(batch);
        drop(writing);
        receipt.wait()
    }

    /// Writes what waits in memory; called every minute and at the end. Lets go of keys of days
    /// that are over.
    ///
    /// # Errors
    /// The store's; what waits then goes on waiting.
    pub fn flush_audit(&self) -> Result<(), StoreError> {
        if self.store.room() == Err(StoreError::Failed) {
            return Err(StoreError::Failed);
        }
        let now = self.ambient.now();
        let chains: Vec<_> = self.audit.chains.read().values().cloned().collect();
        let mut flushed = Vec::new();
        for chain in chains {
            let mut writing = self.audit.writing(&chain);
            let waited = std::mem::take(&mut chain.pending.lock().0);
            let mut batch = Batch::new();
            let mut entries: Vec<_> = waited
                .iter()
                .map(|((hour, _), entry)| (*hour, entry))
                .collect();
            entries.sort_by_key(|(hour, entry)| (*hour, entry.first, entry.what.action));
            for part in entries.chunk_by(|(a, _), (b, _)| a == b) {
                let hour = UnixMillis(part[0].0 * page::HOUR_MILLIS);
                let entries: Vec<Entry> = part.iter().map(|(_, entry)| (*entry).clone()).collect();
                self.record(&mut writing, &mut batch, hour, &entries, None);
            }
            if !batch.is_empty() {
                flushed.push((chain.clone(), waited, self.store.commit(batch)));
            }
            writing.state.forget(now);
        }
        let mut result = Ok(());
        for (chain, waited, receipt) in flushed {
            if let Err(error) = Receipt::wait(&receipt) {
                let mut pending = chain.pending.lock();
                for ((hour, _), entry) in waited {
                    pending.add(hour, entry);
                }
                result = Err(error);
            }
        }
        result
    }

    /// Reads all chains as they are stored: at the start, and after the store was opened again by
    /// `open`, during which no page is committed.
    ///
    /// # Errors
    /// The store's.
    pub(super) fn load_audit(
        &self,
        open: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let _gate = self.audit.gate.write();
        open()?;
        let mut ids: Vec<_> = self.accounts.read().keys().copied().collect();
        ids.push(AccountId::NONE);
        for id in ids {
            let chain = self.chain(id);
            let state = ChainState::load(self, &chain.rows)?;
            let readable = id == AccountId::NONE || state.is_readable();
            chain.readable.store(readable, Ordering::Relaxed);
            *chain.state.lock() = state;
        }
        self.audit.changed.store(true, Ordering::Release);
        Ok(())
    }

    /// The sum over an account's heads, as of its last change.
    pub(super) fn audited_heads(&self, account: AccountId) -> Option<[u64; 4]> {
        self.chain(account).state.lock().heads()
    }

    /// What was found wrong since the start, for those who ask how the server is.
    pub fn audit_findings(&self) -> Vec<Finding> {
        self.audit.findings.lock().clone()
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
