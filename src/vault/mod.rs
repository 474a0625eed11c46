//! Where a key meets a row: accounts, calendars, objects and summaries as plain domain values.
//!
//! The store below sees opaque names and sealed bytes; the floors above see plain values. This is
//! the only layer that holds both a key and a row.
//!
//! - An account is unlocked with its key and then is an `AccountStore`. No method of it takes an
//!   account id: that is the row-level security (PROMISES P6).
//! - All writes of an account go through `AccountStore::write`, one at a time: conditions are
//!   checked and the commit enqueued under one gate, so they are checked inside the commit.
//! - Memory is updated when a commit is enqueued, before it is durable. Whoever answers from what
//!   it saw waits for `AccountStore::barrier` first; this holds for reads too.
//! - One `Inner` exists per unlocked account (`registry`), or there would be two gates.

mod annals;
mod at_hand;
mod audit;
mod chunks;
mod copy;
#[cfg(test)]
mod damage_tests;
mod directory;
mod erase;
mod erased;
mod grant;
#[cfg(test)]
mod grant_tests;
mod history;
#[cfg(test)]
mod history_tests;
mod host_check;
mod index;
mod kept;
#[cfg(test)]
mod kept_tests;
mod keyfile;
mod locks;
mod model;
mod past;
mod purge;
mod read;
mod rekey;
mod restore;
mod retention;
mod rotate;
#[cfg(test)]
mod rotate_tests;
mod rows;
pub mod signed;
mod sync;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod transaction;
mod trash;
mod tree;
mod undo;
mod undo_collections;
#[cfg(test)]
mod undo_tests;
mod unlock;
mod verify;

pub use at_hand::{AtHand, Telling};
pub use audit::{
    Action, AuditLine, AuditLines, AuditReport, ClientFamily, DeviceRecord, ExportCursor,
    ExportPage, Finding, Happening, MirrorError,
};
pub use directory::{AccountRecord, CreateError};
pub use erase::{CertificateCheck, Erasure, KeyBackup};
pub use erased::{Erased, replace_file};
pub use history::TrashedObject;
pub use index::IndexFigures;
pub use kept::TrashFigures;
pub use keyfile::KeyFile;
pub use model::{
    CalendarFacts, Change, Changes, Collection, CollectionKind, Destination, Etag, Lock, LockDepth,
    LockScope, Members, NewCollection, NewObject, Node, Properties, Retention, Summary, VaultError,
    Version,
};
pub use past::{Past, PastObject, Was};
pub use read::AccountStore;
pub use rekey::Rekeyed;
pub use transaction::{Resealed, Resealing, Transaction};
pub use trash::Trashed;
pub use undo::{Undo, UndoLine, UndoReport, Undone};
pub use verify::{Fault, Listener, Stopped, VerifyError, VerifyEvent, VerifyTotals};

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::ambient::Ambient;
use crate::ids::AccountId;
use crate::limits;
use crate::seal::{HostKey, NameKey, RowKey};
use crate::store::{Store, StoreError};
use audit::Audit;
use index::IndexCache;
use keyfile::KeyFiles;
use rows::RosterRow;
use tree::State;
use unlock::Inner;

/// All accounts of one server, sealed.
pub struct Vault {
    store: Store,
    host: HostKey,
    host_rows: RowKey,
    host_names: NameKey,
    ambient: Arc<Ambient>,
    key_files: KeyFiles,
    slots: RwLock<HashMap<AccountId, Arc<KeyFile>>>,
    accounts: RwLock<BTreeMap<AccountId, Arc<AccountRecord>>>,
    /// One writer of directory and key files at a time.
    administration: Mutex<()>,
    registry: Mutex<HashMap<AccountId, Weak<Inner>>>,
    /// Held for an account while it is being loaded.
    loading: Mutex<HashMap<AccountId, Arc<Mutex<()>>>>,
    indexes: Mutex<IndexCache>,
    index_capacity: usize,
    /// Counts uses of indexes, to find the one that was not used for longest.
    uses: AtomicU64,
    purges: Mutex<Vec<RosterRow>>,
    /// Accounts whose tree stands under a new key, and whose old one is still there too.
    rekeyed: Mutex<HashMap<AccountId, RosterRow>>,
    /// The roster rows of deleted collections that can be restored.
    trashed: Mutex<Vec<RosterRow>>,
    retention: Mutex<Retention>,
    /// What was held in memory of deleted collections: to free a large index takes longer than
    /// the deletion, so it waits for the purge.
    discarded: Mutex<Vec<Arc<State>>>,
    audit: Audit,
    /// The file with the accounts that were erased.
    erased: PathBuf,
    /// Whether a row of the directory did not open: then nobody can say which accounts are gone.
    directory_damaged: AtomicBool,
}

/// Why the vault could not be opened; each is a sentence for the administrator.
#[derive(Debug)]
pub enum VaultOpenError {
    /// The data was sealed with another host key.
    WrongHostKey,
    /// An account's key file does not read.
    KeyFile(AccountId, std::io::Error),
    /// The directory of key files cannot be used.
    KeyFiles(std::io::Error),
    /// The store fails.
    Store(StoreError),
}

impl fmt::Display for VaultOpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VaultOpenError::WrongHostKey => formatter.write_str(
                "the host key is not the one that this data was sealed with; put the right host.key back \
                 (it is kept apart from the data) or point host_key_file at it",
            ),
            VaultOpenError::KeyFile(account, error) => {
                write!(formatter, "the key file {account}.keys cannot be read ({error}); restore it from its backup")
            }
            VaultOpenError::KeyFiles(error) => write!(formatter, "the directory of key files cannot be used: {error}"),
            VaultOpenError::Store(error) => write!(formatter, "{error}"),
        }
    }
}
impl std::error::Error for VaultOpenError {}

impl From<StoreError> for VaultOpenError {
    fn from(error: StoreError) -> Self {
        VaultOpenError::Store(error)
    }
}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        VaultError::Store(error)
    }
}

impl Vault {
    /// Opens the vault over `store`; `keys_dir` holds the key files, and beside it stands the
    /// mirror of the audit trail.
    pub fn open(
        store: Store,
        host: HostKey,
        keys_dir: &Path,
        ambient: Arc<Ambient>,
    ) -> Result<Arc<Self>, VaultOpenError> {
        Self::open_with(store, host, keys_dir, ambient, limits::INDEX_SUMMARIES)
    }

    /// The same, with room for `index_capacity` summaries in memory.
    pub fn open_with(
        store: Store,
        host: HostKey,
        keys_dir: &Path,
        ambient: Arc<Ambient>,
        index_capacity: usize,
    ) -> Result<Arc<Self>, VaultOpenError> {
        let vault = Vault {
            host_rows: host.rows(),
            host_names: host_check::names(&store, &host, &ambient)?,
            key_files: KeyFiles::open(keys_dir).map_err(VaultOpenError::KeyFiles)?,
            slots: RwLock::default(),
            accounts: RwLock::default(),
            administration: Mutex::default(),
            registry: Mutex::default(),
            loading: Mutex::default(),
            indexes: Mutex::default(),
            index_capacity,
            uses: AtomicU64::default(),
            purges: Mutex::default(),
            rekeyed: Mutex::default(),
            trashed: Mutex::default(),
            retention: Mutex::default(),
            discarded: Mutex::default(),
            directory_damaged: AtomicBool::new(false),
            audit: Audit::new(keys_dir.with_file_name("audit.heads")),
            erased: keys_dir.with_file_name("erased"),
            store,
            host,
            ambient,
        };
        vault.load_directory()?;
        vault.load_roster()?;
        vault.load_audit(|| Ok(()))?;
        vault.check_mirror()?;
        vault.finish_deletions()?;
        Ok(Arc::new(vault))
    }

    /// The key that seals what the server itself must know.
    pub fn host(&self) -> &HostKey {
        &self.host
    }

    /// Clock and randomness.
    pub fn ambient(&self) -> &Ambient {
        &self.ambient
    }

    /// What the indexes in memory hold.
    pub fn index_figures(&self) -> IndexFigures {
        self.indexes.lock().figures()
    }

    /// The store below, for health and figures.
    pub fn store(&self) -> &Store {
        &self.store
    }
}
