//! Backups: copies of the store's rows, sealed as they are, in directories of their own.
//!
//! - A backup is a signed manifest (manifest.rs) that lists packs of rows (pack.rs), each named by
//!   its hash. Packs that a destination has already are not written again, so a backup costs what
//!   changed. It holds the rows as they were after one commit (`Store::copy_rows`), and no key.
//! - Key files are backed up apart (keys.rs), since a deleted account is erased when the last copy
//!   of its key file is gone. The host key is exported by hand.
//! - `verify` checks a destination without any key; `restore` makes a data directory of a backup,
//!   or puts one account's rows back; accounts that were erased since stay erased.
//! - `Backups` runs them: on demand, and by the schedule of the configuration.

mod destination;
mod erased;
mod journal;
mod keys;
mod manifest;
mod pack;
mod restore;
mod restore_user;
mod retention;
mod take;
#[cfg(test)]
mod tests;
mod verify;

pub use destination::Destination;
pub use erased::{Fingerprint, HostPublic};
pub use journal::{LastBackup, last_backup, last_backups};
pub use keys::{KeyBackup, key_backups_holding};
pub use manifest::{BackupId, Manifest, stamp};
pub use restore::{Drilled, MARKER, Means, Restored, drill, restore};
pub use restore_user::{RestoredUser, restore_user};
pub use retention::Keep;
pub use take::Taken;
pub use verify::{Verified, verify};

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::ambient::UnixMillis;
use crate::config;
use crate::ids::AccountId;
use crate::limits;
use crate::store::{FORMAT_VERSION, StoreError};
use crate::vault::{CreateError, Erased, MirrorError, Vault, VaultOpenError};
use journal::Journal;

/// Why a backup or a restore did not succeed; each is a sentence for the administrator.
#[derive(Debug)]
pub enum BackupError {
    /// Files of a destination cannot be used.
    Destination {
        /// Which.
        at: String,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// Another backup runs there.
    InUse(String),
    /// There is no backup, or none so old.
    NoBackup(String),
    /// A manifest is not as it was written.
    Manifest {
        /// The destination.
        at: String,
        /// The backup.
        id: BackupId,
    },
    /// A pack is not as it was written.
    Pack {
        /// The destination.
        at: String,
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// The list of erased accounts of a destination is not as it was written.
    ErasedList(String),
    /// The list of erased accounts of a destination is signed by a key that is not trusted.
    ErasedBy(String, Fingerprint),
    /// The ledger of key backups cannot be read or written.
    Ledger(io::Error),
    /// Key files, or a backup of them, cannot be read.
    Keys(PathBuf, io::Error),
    /// The directory to restore to cannot be used.
    Target(PathBuf, io::Error),
    /// The directory to restore to has something in it.
    NotEmpty(PathBuf),
    /// There is no such account.
    NoAccount(String),
    /// The backup was made under another host key.
    OtherHost,
    /// The account has another key now than its rows in the backup.
    OtherAccountKey(String),
    /// The signed heads of the audit trail cannot be had.
    Mirror(MirrorError),
    /// The store failed.
    Store(StoreError),
    /// The restored data does not open.
    Vault(VaultOpenError),
    /// A deletion could not be applied to the restored data.
    Erase(CreateError),
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        BackupError::Store(error)
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupError::Destination { at, doing, error } => {
                write!(out, "{at}: cannot {doing}: {error}")
            }
            BackupError::InUse(at) => write!(out, "{at}: another backup runs there"),
            BackupError::NoBackup(at) => write!(out, "{at}: there is no such backup"),
            BackupError::Manifest { at, id } => write!(
                out,
                "{at}/backups/{id}: the manifest was changed or damaged: its signature does not hold"
            ),
            BackupError::Pack { at, name, what } => write!(out, "{at}/packs/{name}: {what}"),
            BackupError::ErasedList(at) => write!(
                out,
                "{at}/erased: the list of erased accounts was changed or damaged; put it back from another destination"
            ),
            BackupError::ErasedBy(at, signer) => write!(
                out,
                "{at}/erased: the list of erased accounts is signed by the host key {signer}, not by this server's; anybody who can write there \
                 can sign one. If it is a key of this server from before or after a rotation, name its file with --host-key too; \
                 if not, remove the list, or put it back from another destination"
            ),
            BackupError::Ledger(error) => {
                write!(out, "the ledger of key backups cannot be used: {error}")
            }
            BackupError::Keys(file, error) => {
                write!(out, "{}: no key files can be read: {error}", file.display())
            }
            BackupError::Target(dir, error) => {
                write!(out, "{} cannot be restored to: {error}", dir.display())
            }
            BackupError::NotEmpty(dir) => write!(
                out,
                "{} is not empty; a restore never writes over data, so name a new directory",
                dir.display()
            ),
            BackupError::NoAccount(name) => write!(
                out,
                "there is no account {name} here; a deleted account is never brought back"
            ),
            BackupError::OtherHost => write!(
                out,
                "the backup was made under another host key than the one at hand; give the old one with --host-key"
            ),
            BackupError::OtherAccountKey(name) => write!(
                out,
                "the account {name} got another key since (user rotate, or --abandon-data), and nothing of this backup would open with it; \
                 restore the whole backup to a new directory, with key files of that time"
            ),
            BackupError::Mirror(error) => write!(out, "{error}"),
            BackupError::Store(error) => write!(out, "{error}"),
            BackupError::Vault(error) => write!(out, "{error}"),
            BackupError::Erase(_) => {
                write!(out, "an account that was deleted since could not be erased")
            }
        }
    }
}

impl std::error::Error for BackupError {}

/// Which backup is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Newest,
    /// The newest that was begun until then: the beginning of an id, such as `20261121T08`, so
    /// that a day alone means its end.
    Until(String),
    /// This one.
    Id(BackupId),
}

impl Which {
    /// Reads an id, or a day or moment in UTC such as `2026-11-21` or `2026-11-21T08:09`.
    pub fn parse(text: &str) -> Option<Which> {
        if let Some(id) = BackupId::parse(text) {
            return Some(Which::Id(id));
        }
        let digits: String = text.chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let good = |(at, c): (usize, char)| match at {
            8 => c == 'T',
            15 => c == 'Z',
            _ => c.is_ascii_digit(),
        };
        let fits = (4..=16).contains(&digits.len()) && digits.chars().enumerate().all(good);
        fits.then_some(Which::Until(digits))
    }
}

/// Finds the backup that is meant.
///
/// # Errors
/// `NoBackup`; `Manifest` when it is not as it was written; `Store` when a newer program wrote it.
pub fn choose(at: &Destination, which: &Which) -> Result<Manifest, BackupError> {
    let none = || BackupError::NoBackup(at.to_string());
    let (ids, _) = at.backups()?;
    let id = match which {
        Which::Id(id) => ids.iter().find(|other| *other == id),
        Which::Newest => ids.last(),
        Which::Until(moment) => {
            let made = |id: &BackupId| {
                id.to_string()
                    .chars()
                    .take(moment.len())
                    .collect::<String>()
            };
            ids.iter().rev().find(|id| made(id) <= *moment)
        }
    };
    let manifest = at.manifest(id.ok_or_else(none)?)?;
    if manifest.format > FORMAT_VERSION {
        return Err(BackupError::Store(StoreError::NewerFormat {
            found: manifest.format,
            known: FORMAT_VERSION,
        }));
    }
    Ok(manifest)
}

/// What is backed up where and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSettings {
    /// Where to.
    pub destinations: Vec<Destination>,
    /// Hours between two backups.
    pub every_hours: u32,
    /// What is kept.
    pub keep: Keep,
    /// Where backups of the key files go.
    pub keys_to: Option<PathBuf>,
    /// Days after which these are deleted.
    pub key_days: u32,
}

impl From<&config::Backup> for BackupSettings {
    fn from(config: &config::Backup) -> Self {
        let to = config.to.iter().cloned();
        BackupSettings {
            destinations: to.map(Destination::Directory).collect(),
            every_hours: config.every_hours,
            keep: Keep {
                daily: config.keep_daily,
                weekly: config.keep_weekly,
                monthly: config.keep_monthly,
            },
            keys_to: config.keys_to.clone(),
            key_days: config.key_days,
        }
    }
}

/// How far the backup that runs has got, or what came of the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Whether one runs.
    pub running: bool,
    /// Where to.
    pub at: String,
    /// Rows read so far, those that were read again too.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What came of each destination that is done: a sentence, and whether it is one of success.
    pub done: Vec<(bool, String)>,
}

/// Runs backups of one server.
pub struct Backups {
    vault: Arc<Vault>,
    data: PathBuf,
    settings: BackupSettings,
    /// One run at a time.
    one: Mutex<()>,
    progress: Mutex<Progress>,
    journal: Mutex<Journal>,
    /// When the rows were last counted.
    counted: Mutex<UnixMillis>,
}

impl Backups {
    /// The backups that may still hold an account's key file, for a certificate of its erasure. One
    /// whose list does not read is named as such: nobody knows then.
    pub fn key_backups(&self, account: AccountId) -> Vec<crate::vault::KeyBackup> {
        match key_backups_holding(&self.data, account) {
            Ok(holding) => {
                let told = |backup: KeyBackup| crate::vault::KeyBackup {
                    place: backup.destination.display().to_string(),
                    until: Some(backup.expires),
                };
                holding.into_iter().map(told).collect()
            }
            Err(error) => vec![crate::vault::KeyBackup {
                place: format!("unknown: the list of key backups cannot be read ({error})"),
                until: None,
            }],
        }
    }

    /// For the data directory `data`, whose vault is open.
    pub fn new(vault: Arc<Vault>, data: &Path, settings: BackupSettings) -> Self {
        // An hour after the start, which has better things to do than to read all rows.
        let counted = vault.ambient().now().0 - (limits::WASTE_HOURS - 1) * 3_600_000;
        Backups {
            counted: Mutex::new(UnixMillis(counted)),
            vault,
            journal: Mutex::new(Journal::open(data)),
            data: data.to_owned(),
            settings,
            one: Mutex::default(),
            progress: Mutex::default(),
        }
    }

    /// Makes a backup in each of `to`, or of the configured destinations when it is empty. One
    /// that fails keeps the others from nothing. Gives what came of each.
    pub fn run(&self, to: &[Destination]) -> Vec<(Destination, Result<Taken, BackupError>)> {
        let _one = self.one.lock();
        self.run_each(to)
    }

    /// The same on a thread of its own; `progress` tells the rest.
    ///
    /// # Errors
    /// `InUse` while another one runs, `Destination` when there is no destination or no thread.
    pub fn begin(self: &Arc<Self>, to: Vec<Destination>) -> Result<(), BackupError> {
        let fail = |doing, kind: io::ErrorKind| BackupError::Destination {
            at: "[backup] to".to_owned(),
            doing,
            error: kind.into(),
        };
        if to.is_empty() && self.settings.destinations.is_empty() {
            return Err(fail(
                "find a destination; name one",
                io::ErrorKind::NotFound,
            ));
        }
        {
            let mut progress = self.progress.lock();
            if progress.running {
                return Err(BackupError::InUse(progress.at.clone()));
            }
            *progress = Progress {
                running: true,
                ..Progress::default()
            };
        }
        let backups = Arc::clone(self);
        let spawned = std::thread::Builder::new()
            .name("backup".to_owned())
            .spawn(move || drop(backups.run(&to)));
        spawned.map(drop).map_err(|error| {
            self.progress.lock().running = false;
            fail("start a thread", error.kind())
        })
    }

    fn run_each(&self, to: &[Destination]) -> Vec<(Destination, Result<Taken, BackupError>)> {
        let to = match to.is_empty() {
            true => &self.settings.destinations[..],
            false => to,
        };
        *self.progress.lock() = Progress {
            running: true,
            ..Progress::default()
        };
        // Also after a panic, or no backup would ever run again.
        let _end = EndOfRun(&self.progress);
        let run = |at: &Destination| {
            {
                let mut progress = self.progress.lock();
                progress.at = at.to_string();
                (progress.rows, progress.bytes) = (0, 0);
            }
            let taken = self.take(at);
            let said = match &taken {
                Ok(taken) => (true, format!("{at}: {taken}")),
                Err(error) => (false, error.to_string()),
            };
            self.note(&at.to_string(), &said);
            self.progress.lock().done.push(said);
            (at.clone(), taken)
        };
        to.iter().map(run).collect()
    }

    fn take(&self, to: &Destination) -> Result<Taken, BackupError> {
        let erased = self.erased()?;
        take::take(
            &self.vault,
            to,
            &erased,
            &self.settings.keep,
            &self.progress,
        )
    }

    /// Writes into journal and log what came of a backup.
    fn note(&self, at: &str, (good, sentence): &(bool, String)) {
        match good {
            true => tracing::info!("backup: {sentence}"),
            false => tracing::error!("backup: {sentence}"),
        }
        let failure = (!good).then(|| sentence.clone());
        let written = self
            .journal
            .lock()
            .note(at, self.vault.ambient().now(), failure);
        if let Err(error) = written {
            tracing::error!(%error, "the journal of backups cannot be written");
        }
    }

    fn erased(&self) -> Result<Erased, BackupError> {
        let file = self.data.join("erased");
        Erased::read(&file).map_err(|_| BackupError::ErasedList(self.data.display().to_string()))
    }

    /// Brings the list of erased accounts to all configured destinations that can be reached;
    /// called when an account was deleted. The next backup brings it to the others.
    pub fn share_erased(&self) {
        let Ok(erased) = self.erased() else {
            tracing::error!("the list of erased accounts cannot be read");
            return;
        };
        for to in &self.settings.destinations {
            // While a backup runs there it has the lock, and the next one brings the list.
            let shared = to
                .open()
                .and_then(|_lock| erased::bring(&self.vault, to, &erased));
            if let Err(error) = shared {
                tracing::warn!(%error, "a deletion is not known at this destination until its next backup");
            }
        }
    }

    /// Backs the key files up to `to`, or where the configuration says, and deletes backups of
    /// them whose time is over.
    ///
    /// # Errors
    /// As `keys::back_up_keys`; `Keys` when it is not said where to.
    pub fn back_up_keys(&self, to: Option<&Path>) -> Result<KeyBackup, BackupError> {
        let _one = self.one.lock();
        let to = to.or(self.settings.keys_to.as_deref()).ok_or_else(|| {
            BackupError::Keys(
                PathBuf::from("[backup] keys_to"),
                io::ErrorKind::NotFound.into(),
            )
        })?;
        keys::back_up_keys(&self.vault, &self.data, to, self.settings.key_days)
    }

    /// How far the backup that runs has got, or what came of the last one.
    pub fn progress(&self) -> Progress {
        self.progress.lock().clone()
    }

    /// Does what is due by now; called every minute.
    pub fn tick(&self) {
        let now = self.vault.ambient().now();
        let settings = &self.settings;
        let due = |at: &str| self.journal.lock().is_due(at, now, settings.every_hours);
        let destinations = settings.destinations.iter();
        let to: Vec<_> = destinations
            .filter(|to| due(&to.to_string()))
            .cloned()
            .collect();
        if !to.is_empty() {
            self.run(&to);
        }
        if let Some(keys_to) = &settings.keys_to {
            let at = format!("{} (key files)", keys_to.display());
            if due(&at) {
                let said = match self.back_up_keys(None) {
                    Ok(made) => (true, format!("key files: {}", made.destination.display())),
                    Err(error) => (false, error.to_string()),
                };
                self.note(&at, &said);
            }
        }
        if let Err(error) = keys::expire_keys(&self.vault, &self.data) {
            tracing::error!(%error, "old backups of key files are not deleted");
        }
        self.count_waste(now);
    }

    /// Counts the rows once a day, so that it is known how much of the file is waste.
    fn count_waste(&self, now: UnixMillis) {
        let mut counted = self.counted.lock();
        if now.0 - counted.0 < limits::WASTE_HOURS * 3_600_000 {
            return;
        }
        *counted = now;
        if let Err(error) = self.vault.store().count_live() {
            tracing::warn!(%error, "the rows could not be counted");
        }
    }

    /// What is wrong with the backups and the size of the database, for those who ask how the
    /// server is.
    pub fn doubts(&self) -> Vec<String> {
        let now = self.vault.ambient().now();
        let destinations = self.settings.destinations.iter().map(ToString::to_string);
        let keys = self.settings.keys_to.iter();
        let keys = keys.map(|to| format!("{} (key files)", to.display()));
        let journal = self.journal.lock();
        let mut doubts: Vec<String> = destinations
            .chain(keys)
            .filter_map(|at| journal.doubt(&at, now, self.settings.every_hours))
            .collect();
        if let Some((file, live)) = self.vault.store().waste()
            && file > live + limits::WASTE_BYTES
            && file / limits::WASTE_FACTOR > live
        {
            let (file, live) = (file >> 20, live >> 20);
            doubts.push(format!(
                "the database takes {file} MiB for {live} MiB of rows; stop the server and run `sealdav compact`"
            ));
        }
        doubts
    }
}

/// Says that no backup runs any more.
struct EndOfRun<'a>(&'a Mutex<Progress>);

impl Drop for EndOfRun<'_> {
    fn drop(&mut self) {
        self.0.lock().running = false;
    }
}
