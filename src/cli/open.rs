//! Opening the data directory: its store, its host key, and the accounts on top.
//!
//! DATA/db is the store, DATA/keys the key slots, DATA/host.key the host key unless it is
//! configured elsewhere, DATA/tls the own certificates, DATA/admin.sock the local socket.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Failure, host_key};
use crate::account::{AccountSettings, Accounts};
use crate::ambient::Ambient;
use crate::backup::{BackupSettings, Backups, MARKER};
use crate::config::Config;
use crate::limits;
use crate::store::{DiskMarks, Store, StoreError, StoreOptions};
use crate::vault::{Retention, Vault};

/// Whether a data directory may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// Make one.
    Make,
    /// There is nothing to do without one.
    Refuse,
}

/// Why the data directory was not opened.
pub(super) enum Unopened {
    /// Another process has it: a server that is starting or stopping, or another command.
    InUse(Failure),
    /// Anything else.
    Other(Failure),
}

impl From<Failure> for Unopened {
    fn from(failure: Failure) -> Self {
        Unopened::Other(failure)
    }
}

impl From<Unopened> for Failure {
    fn from(unopened: Unopened) -> Self {
        let (Unopened::InUse(failure) | Unopened::Other(failure)) = unopened;
        failure
    }
}

/// Tells whether the store takes writes: it has not failed, and its disk has room.
pub(super) fn health(
    accounts: &Arc<Accounts>,
) -> Box<dyn Fn() -> Result<(), String> + Send + Sync> {
    let vault = Arc::clone(accounts.vault());
    Box::new(move || vault.store().room().map_err(|error| error.to_string()))
}

/// What makes the backups of an open data directory.
pub(super) fn backups(config: &Config, accounts: &Arc<Accounts>) -> Arc<Backups> {
    let vault = Arc::clone(accounts.vault());
    let settings = BackupSettings::from(&config.backup);
    Arc::new(Backups::new(vault, &config.data_dir(), settings))
}

/// Refuses a directory whose restore was not finished.
pub(super) fn refuse_restoring(data: &Path) -> Result<(), Failure> {
    match data.join(MARKER).exists() {
        true => Err(Failure(format!(
            "{} was being restored from a backup, and that was not finished; remove the directory and restore again",
            data.display()
        ))),
        false => Ok(()),
    }
}

/// What the settings say of the disk.
fn disk_marks(config: &Config) -> DiskMarks {
    let bytes = |mib: u64| mib.saturating_mul(1024 * 1024);
    DiskMarks {
        warn: bytes(config.disk.warn_free_mb),
        stop: bytes(config.disk.stop_free_mb),
    }
}

/// As `accounts`, for the server: a command that has the store gives it back within moments.
pub(super) fn accounts_soon(
    config: &Config,
    ambient: &Arc<Ambient>,
) -> Result<Arc<Accounts>, Failure> {
    let until = Instant::now() + Duration::from_secs(limits::SERVE_START_SECONDS);
    loop {
        match accounts(config, ambient, Absent::Make) {
            Err(Unopened::InUse(_)) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(50));
            }
            opened => return Ok(opened?),
        }
    }
}

/// Whether the data directory has a store.
pub(super) fn exists(config: &Config) -> bool {
    config.data_dir().join("db").exists()
}

/// Opens everything; this process then owns the store.
pub(super) fn accounts(
    config: &Config,
    ambient: &Arc<Ambient>,
    absent: Absent,
) -> Result<Arc<Accounts>, Unopened> {
    config.check_bounds().map_err(Failure::from)?;
    let data = config.data_dir();
    let store = data.join("db");
    if absent == Absent::Refuse && !exists(config) {
        return Err(Unopened::Other(Failure(format!(
            "there are no accounts in {}; make one with `sealdav user add`, or name the right directory with --data",
            data.display()
        ))));
    }
    make_dir(&data)?;
    host_key::refuse_unfinished(&data)?;
    refuse_restoring(&data)?;
    let host = host_key::obtain(&host_key::source(config)?, &store, ambient)?;
    let opened = open_store(&data, disk_marks(config))?;
    let vault = Vault::open(opened, host, &data.join("keys"), Arc::clone(ambient));
    let vault = vault.map_err(|error| Failure(format!("{}: {error}", data.display())))?;
    let settings = AccountSettings {
        password_over_dav: config.password_over_dav,
        argon2_kib: config.argon2.memory_kib,
        argon2_passes: config.argon2.passes,
        audit_days: config.audit.days,
        device_days: config.audit.device_days,
        retention: Retention {
            days: config.trash.days,
            versions: config.trash.versions,
            items: config.trash.items,
            bytes: config.trash.megabytes << 20,
        },
        email_domains: config.sign_in.email_domains.clone(),
        sync_days: config.sync.keep_days,
        unlocked_idle_minutes: config.accounts.unlocked_idle_minutes,
        unlocked_hours: config.accounts.unlocked_hours,
    };
    Ok(Arc::new(Accounts::open(vault, settings)))
}

fn make_dir(data: &Path) -> Result<(), Failure> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let missing: Vec<&Path> = data.ancestors().take_while(is_missing).collect();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    // Their own names too, or a power cut takes everything that is in them.
    let durable = made.and_then(|()| missing.into_iter().try_for_each(host_key::sync_parent));
    durable.map_err(|error| {
        Failure(format!(
            "the data directory {} cannot be made: {error}",
            data.display()
        ))
    })?;
    warn_if_open(
        data,
        "the data directory can be read by other users; run chmod 700 on it",
    );
    Ok(())
}

pub(super) fn warn_if_open(path: &Path, sentence: &str) {
    let mode = path
        .metadata()
        .map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "{sentence}");
    }
}

/// Opens the store of a data directory; this process then owns it.
pub(super) fn open_store(data: &Path, disk: DiskMarks) -> Result<Store, Unopened> {
    let store = data.join("db");
    Store::open(&store, &StoreOptions::with_marks(disk)).map_err(|error| match error {
        StoreError::InUse { .. } => Unopened::InUse(Failure(format!(
            "{} is in use by a server that does not answer on its local socket; wait for it, or stop it",
            data.display()
        ))),
        error => Unopened::Other(Failure(format!("{}: {error}", store.display()))),
    })
}
