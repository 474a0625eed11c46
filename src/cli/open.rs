//! Opening the data directory: its store, its host key, and the accounts on top.
//!
//! DATA/db is the store, DATA/keys the key slots, DATA/host.key the host key unless it is
//! configured elsewhere, DATA/tls the own certificates, DATA/admin.sock the local socket.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Failure;
use crate::account::{AccountSettings, Accounts};
use crate::ambient::Ambient;
use crate::config::Config;
use crate::limits;
use crate::seal::HostKey;
use crate::store::{Store, StoreError, StoreOptions};
use crate::vault::Vault;

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

/// Opens everything; this process then owns the store.
pub(super) fn accounts(
    config: &Config,
    ambient: &Arc<Ambient>,
    absent: Absent,
) -> Result<Arc<Accounts>, Unopened> {
    config.check_bounds().map_err(Failure::from)?;
    let data = config.data_dir();
    let store = data.join("db");
    if absent == Absent::Refuse && !store.exists() {
        return Err(Unopened::Other(Failure(format!(
            "there are no accounts in {}; make one with `sealdav user add`, or name the right directory with --data",
            data.display()
        ))));
    }
    make_dir(&data)?;
    let host = host_key(&config.host_key_path(), &store, ambient)?;
    let opened = Store::open(&store, &StoreOptions::default());
    let opened = opened.map_err(|error| match error {
        StoreError::InUse { .. } => Unopened::InUse(Failure(format!(
            "{} is in use by a server that does not answer on its local socket; wait for it, or stop it",
            data.display()
        ))),
        error => Unopened::Other(Failure(format!("{}: {error}", store.display()))),
    })?;
    let vault = Vault::open(opened, host, &data.join("keys"), Arc::clone(ambient));
    let vault = vault.map_err(|error| Failure(format!("{}: {error}", data.display())))?;
    let settings = AccountSettings {
        password_over_dav: config.password_over_dav,
        argon2_kib: config.argon2.memory_kib,
        argon2_passes: config.argon2.passes,
        unlocked_idle_minutes: config.accounts.unlocked_idle_minutes,
        unlocked_hours: config.accounts.unlocked_hours,
    };
    Ok(Arc::new(Accounts::open(vault, settings)))
}

fn make_dir(data: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
    made.map_err(|error| {
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

fn warn_if_open(path: &Path, sentence: &str) {
    let mode = path
        .metadata()
        .map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "{sentence}");
    }
}

/// Reads the host key, or makes it together with the store.
fn host_key(file: &Path, store: &Path, ambient: &Ambient) -> Result<HostKey, Failure> {
    // Asked first: a process that starts at the same moment makes the key before the store.
    let sealed = store.exists();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => zeroize::Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && sealed => {
            return Err(Failure(format!(
                "the host key {} is missing, and without it nothing in {} can be opened; \
                 restore it from its backup, or name its place in the setting host_key_file",
                file.display(),
                store.display()
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match make_host_key(file, ambient)? {
                Some(key) => Ok(key),
                // Another process that starts at the same moment was quicker.
                None => host_key(file, store, ambient),
            };
        }
        Err(error) => {
            return Err(Failure(format!(
                "the host key {} cannot be read: {error}",
                file.display()
            )));
        }
    };
    warn_if_open(
        file,
        "the host key can be read by other users; run chmod 600 on it",
    );
    HostKey::read(&text).map_err(|error| {
        Failure(format!(
            "{}: {error}; restore it from its backup",
            file.display()
        ))
    })
}

/// Makes the host key; none when there is one meanwhile.
fn make_host_key(file: &Path, ambient: &Ambient) -> Result<Option<HostKey>, Failure> {
    let key = ambient.random(|random| HostKey::generate(random));
    // Whole or not at all, since an empty one would have to be removed by hand; and never over
    // another, since a process that started at the same moment may use that already.
    let new = file.with_extension(format!("new-{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut open = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        open.write_all(key.to_text().as_bytes())?;
        open.sync_all()?;
        link(&new, file)
    };
    let written = write();
    // It may not have been made, or be gone by a rename.
    let _ = std::fs::remove_file(&new);
    if matches!(&written, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
        return Ok(None);
    }
    let written = written.and_then(|()| {
        // The name too, or a power cut leaves a store without its key.
        let parent = file
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        std::fs::File::open(parent)?.sync_all()
    });
    written.map_err(|error| {
        Failure(format!(
            "the host key {} cannot be written: {error}",
            file.display()
        ))
    })?;
    tracing::info!(file = %file.display(), "made the host key; back it up, but not together with the data");
    Ok(Some(key))
}

/// Gives a finished file its name, unless something has it. FAT knows no links, NFS no such rename.
fn link(new: &Path, file: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match std::fs::hard_link(new, file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Ok(renameat_with(CWD, new, CWD, file, RenameFlags::NOREPLACE)?)
        }
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_key_is_made_whole_and_never_over_another() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("host.key");
        make_host_key(&file, &Ambient::system()).ok().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(HostKey::read(&text).is_ok());
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(make_host_key(&file, &Ambient::system()), Ok(None)));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
