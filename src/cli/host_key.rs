//! The host key: where it comes from, and the commands that show, export and replace it.
//!
//! In this order: the file of the setting `host_key_file`, the environment variable
//! SEALDAV_HOST_KEY, the systemd credential `sealdav.host-key`, the file `host.key` in the data
//! directory, which is made when there is no store yet.
//!
//! A rotation writes the new key to DATA/host.key.next before anything else, and its last step
//! removes that file. As long as it is there nothing but a rotation opens the data directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::open::{self, warn_if_open};
use super::{Failure, HostKeyTask};
use crate::ambient::Ambient;
use crate::config::{Config, HOST_KEY_VARIABLE};
use crate::ids::Secret;
use crate::seal::HostKey;
use crate::store::DiskMarks;
use crate::vault::{Vault, VaultOpenError};

/// The name of the systemd credential (LoadCredential=, systemd.exec(5)).
const CREDENTIAL: &str = "sealdav.host-key";
const NEXT: &str = "host.key.next";

/// Where the host key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// In this file, which is made when there is no store yet.
    File(PathBuf),
    /// In the environment.
    Environment,
    /// In this file, which systemd gives to the service.
    Credential(PathBuf),
}

impl std::fmt::Display for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::File(file) => write!(formatter, "the file {}", file.display()),
            Source::Environment => {
                write!(formatter, "the environment variable {HOST_KEY_VARIABLE}")
            }
            Source::Credential(_) => write!(formatter, "the systemd credential {CREDENTIAL}"),
        }
    }
}

/// Finds the host key's source.
///
/// # Errors
/// It is named twice.
pub(super) fn source(config: &Config) -> Result<Source, Failure> {
    let environment = std::env::var_os(HOST_KEY_VARIABLE).is_some_and(|value| !value.is_empty());
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(|directory| PathBuf::from(directory).join(CREDENTIAL))
        .filter(|file| file.exists());
    match (&config.host_key_file, environment, credential) {
        (Some(_), true, _) => Err(Failure(format!(
            "the host key is named twice, by host_key_file and by {HOST_KEY_VARIABLE}; remove one of them"
        ))),
        (Some(file), ..) => Ok(Source::File(file.clone())),
        (None, true, _) => Ok(Source::Environment),
        (None, false, Some(file)) => Ok(Source::Credential(file)),
        (None, false, None) => Ok(Source::File(config.data_dir().join("host.key"))),
    }
}

/// Reads the host key; a file's is made together with the store.
pub(super) fn obtain(source: &Source, store: &Path, ambient: &Ambient) -> Result<HostKey, Failure> {
    match source {
        Source::File(file) => from_file(file, store, ambient),
        Source::Environment => {
            let text = Secret::new(std::env::var(HOST_KEY_VARIABLE).unwrap_or_default());
            HostKey::read(text.expose())
                .map_err(|error| Failure(format!("{HOST_KEY_VARIABLE}: {error}")))
        }
        Source::Credential(file) => read(file),
    }
}

/// Refuses to go on while a rotation is not finished.
pub(super) fn refuse_unfinished(data: &Path) -> Result<(), Failure> {
    match data.join(NEXT).exists() {
        true => Err(Failure(
            "a rotation of the host key was not finished; run `sealdav host-key rotate` again"
                .to_owned(),
        )),
        false => Ok(()),
    }
}

/// `sealdav host-key ..`
pub(super) fn run(
    config: &Config,
    task: HostKeyTask,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let ambient = Arc::new(Ambient::system());
    let source = source(config)?;
    let data = config.data_dir();
    if !data.join("db").exists() {
        return Err(Failure(format!(
            "there is no data in {}, and so no host key; name the right directory with --data",
            data.display()
        )));
    }
    match task {
        HostKeyTask::Show => {
            let key = obtain(&source, &data.join("db"), &ambient)?;
            Ok(writeln!(output, "{}\t{source}", fingerprint(&key))?)
        }
        HostKeyTask::Export => {
            let key = obtain(&source, &data.join("db"), &ambient)?;
            Ok(write!(output, "{}", key.to_text().as_str())?)
        }
        HostKeyTask::Rotate { to } => rotate(&data, &source, to, &ambient, output),
    }
}

/// Names a host key without telling it: of the key that checks its signatures.
fn fingerprint(key: &HostKey) -> String {
    let hash = blake3::hash(&key.signer().public());
    hash.to_hex()[..16].to_owned()
}

fn rotate(
    data: &Path,
    source: &Source,
    to: Option<PathBuf>,
    ambient: &Arc<Ambient>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let target = match (source, to) {
        (_, Some(file)) if file.exists() => {
            return Err(Failure(format!(
                "{} exists; name another file",
                file.display()
            )));
        }
        (_, Some(file)) => file,
        (Source::File(file), None) => file.clone(),
        (_, None) => {
            return Err(Failure(format!(
                "the host key comes from {source}, which this command cannot write; \
                 name a file for the new one with --to, and put it in place afterwards"
            )));
        }
    };
    let next_file = data.join(NEXT);
    if next_file.exists() {
        writeln!(output, "Going on with a rotation that was not finished.")?;
    } else if make(&next_file, ambient)?.is_none() {
        return Err(Failure("another rotation runs at this moment".to_owned()));
    }
    let next = read(&next_file)?;
    let old = obtain(source, &data.join("db"), ambient)?;
    let (from, into) = (fingerprint(&old), fingerprint(&next));
    let keys = data.join("keys");
    match Vault::open(
        open::open_store(data, DiskMarks::default())?,
        old,
        &keys,
        Arc::clone(ambient),
    ) {
        Ok(vault) => {
            let done = vault
                .rekey(&next)
                .map_err(crate::account::AdminError::from)?;
            writeln!(
                output,
                "Sealed anew: {} rows, {} key files.",
                done.rows, done.key_files
            )?;
            if done.damaged > 0 {
                let count = done.damaged;
                writeln!(output, "Damaged rows that were left as they are: {count}.")?;
            }
        }
        // Cut off after the commit: only the files are left to do.
        Err(VaultOpenError::WrongHostKey) => {
            // It may still have the old key's signature; it is written anew.
            let _ = std::fs::remove_file(data.join("audit.heads"));
            Vault::open(
                open::open_store(data, DiskMarks::default())?,
                next,
                &keys,
                Arc::clone(ambient),
            )?;
        }
        Err(error) => return Err(error.into()),
    }
    let kept = put_in_place(&next_file, &target)?;
    writeln!(
        output,
        "The host key was {from} and is {into} now: {}",
        target.display()
    )?;
    if let Some(kept) = kept {
        writeln!(
            output,
            "Backups made until now need the old one, kept as {}; delete it when those are gone.",
            kept.display()
        )?;
    }
    if !matches!(source, Source::File(file) if *file == target) {
        writeln!(
            output,
            "Put it into {source} before the next start, and delete the file."
        )?;
    }
    Ok(())
}

/// Gives the new key its place; the one that was there is kept beside it.
fn put_in_place(next: &Path, target: &Path) -> Result<Option<PathBuf>, Failure> {
    let fail = |error: io::Error| {
        Failure(format!(
            "the new host key is in {} and cannot be written to {}: {error}; \
             mend that and run `sealdav host-key rotate` again",
            next.display(),
            target.display()
        ))
    };
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(next).map_err(fail)?);
    let mut kept = None;
    let current = std::fs::read_to_string(target).map(zeroize::Zeroizing::new);
    if current.is_ok_and(|current| *current != *text) {
        let number = (1..).find(|number| !kept_name(target, *number).exists());
        let old = kept_name(target, number.unwrap_or(1));
        std::fs::hard_link(target, &old)
            .or_else(|_| std::fs::copy(target, &old).map(drop))
            .map_err(fail)?;
        kept = Some(old);
    }
    let write = || -> io::Result<()> {
        // Beside the target, which may be on another file system.
        let new = target.with_extension(format!("new-{}", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, target)?;
        sync_parent(target)?;
        std::fs::remove_file(next)?;
        sync_parent(next)
    };
    write().map_err(fail)?;
    Ok(kept)
}

fn kept_name(target: &Path, number: u32) -> PathBuf {
    target.with_extension(format!("key.old-{number}"))
}

/// Makes the name of a file or directory durable.
pub(super) fn sync_parent(file: &Path) -> io::Result<()> {
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

pub(super) fn read(file: &Path) -> Result<HostKey, Failure> {
    let text = std::fs::read_to_string(file).map(zeroize::Zeroizing::new);
    let text = text.map_err(|error| {
        Failure(format!(
            "the host key {} cannot be read: {error}",
            file.display()
        ))
    })?;
    HostKey::read(&text).map_err(|error| {
        Failure(format!(
            "{}: {error}; restore it from its backup",
            file.display()
        ))
    })
}

/// Reads the host key, or makes it together with the store.
fn from_file(file: &Path, store: &Path, ambient: &Ambient) -> Result<HostKey, Failure> {
    // Asked first: a process that starts at the same moment makes the key before the store.
    let sealed = store.exists();
    let missing = !file.exists();
    if missing && sealed {
        return Err(Failure(format!(
            "the host key {} is missing, and without it nothing in {} can be opened; \
             restore it from its backup, or name its place in the setting host_key_file",
            file.display(),
            store.display()
        )));
    }
    if missing && let Some(key) = make(file, ambient)? {
        tracing::info!(file = %file.display(), "made the host key; back it up, but not together with the data");
        return Ok(key);
    }
    // Another process that starts at the same moment may have made it.
    warn_if_open(
        file,
        "the host key can be read by other users; run chmod 600 on it",
    );
    read(file)
}

/// Makes the host key; none when there is one meanwhile.
fn make(file: &Path, ambient: &Ambient) -> Result<Option<HostKey>, Failure> {
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
        sync_parent(file)
    });
    written.map_err(|error| {
        Failure(format!(
            "the host key {} cannot be written: {error}",
            file.display()
        ))
    })?;
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_host_key_is_made_whole_and_never_over_another() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("host.key");
        make(&file, &Ambient::system()).ok().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(HostKey::read(&text).is_ok());
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(make(&file, &Ambient::system()), Ok(None)));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
