//! Backups of the key files, apart from those of the rows, few and short-lived: a deleted account
//! is erased for good when the last copy of its key file is gone. The ledger `key-backups` in the
//! data directory says which ones there are, which accounts they hold, and until when.
//!
//! ```text
//! sealdav key files 1                          sealdav key backups 1
//! made MILLISECONDS                            backup MADE EXPIRES ACCOUNT,ACCOUNT.. PATH
//! expires MILLISECONDS                         signed PUBLIC SIGNATURE
//! key ACCOUNT CONTENT          (hexadecimal)
//! signed PUBLIC SIGNATURE
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::BackupError;
use super::manifest::stamp;
use crate::ambient::UnixMillis;
use crate::ids::AccountId;
use crate::limits;
use crate::seal::Signer;
use crate::vault::{Vault, replace_file, signed};

const FIRST_LINE: &str = "sealdav key files 1";
const LEDGER_LINE: &str = "sealdav key backups 1";
/// What the names of such backups end with.
const ENDING: &str = ".sealdav-keys";

/// A backup of key files that is not deleted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBackup {
    /// Its file.
    pub destination: PathBuf,
    /// When it was made.
    pub made: UnixMillis,
    /// From when on the next run deletes it.
    pub expires: UnixMillis,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    backup: KeyBackup,
    accounts: Vec<AccountId>,
}

fn ledger_file(data: &Path) -> PathBuf {
    data.join("key-backups")
}

/// The backups that hold the key file of an account, as far as the ledger of this data directory
/// knows: copies that somebody made by hand are not in it.
///
/// # Errors
/// The ledger cannot be read, or was changed.
pub fn key_backups_holding(data: &Path, account: AccountId) -> Result<Vec<KeyBackup>, BackupError> {
    let holding = read_ledger(data)?
        .into_iter()
        .filter(|entry| entry.accounts.contains(&account));
    Ok(holding.map(|entry| entry.backup).collect())
}

fn read_ledger(data: &Path) -> Result<Vec<Entry>, BackupError> {
    let text = match fs::read_to_string(ledger_file(data)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BackupError::Ledger(error)),
    };
    parse_ledger(&text).ok_or_else(|| BackupError::Ledger(io::ErrorKind::InvalidData.into()))
}

fn parse_ledger(text: &str) -> Option<Vec<Entry>> {
    let signed = signed::check(text)?;
    let mut lines = signed.body.lines();
    (lines.next()? == LEDGER_LINE).then_some(())?;
    lines.map(parse_entry).collect()
}

fn parse_entry(line: &str) -> Option<Entry> {
    let mut words = line.strip_prefix("backup ")?.splitn(4, ' ');
    let made = UnixMillis(words.next()?.parse().ok()?);
    let expires = UnixMillis(words.next()?.parse().ok()?);
    let accounts = words.next()?.split(',').filter(|word| !word.is_empty());
    let accounts = accounts.map(AccountId::from_hex).collect::<Option<_>>()?;
    let destination = PathBuf::from(words.next()?);
    Some(Entry {
        backup: KeyBackup {
            destination,
            made,
            expires,
        },
        accounts,
    })
}

fn write_ledger(data: &Path, entries: &[Entry], signer: &Signer) -> Result<(), BackupError> {
    let mut text = format!("{LEDGER_LINE}\n");
    for entry in entries {
        let accounts: Vec<String> = entry.accounts.iter().map(ToString::to_string).collect();
        let KeyBackup {
            destination,
            made,
            expires,
        } = &entry.backup;
        let (accounts, path) = (accounts.join(","), destination.display());
        text += &format!("backup {} {} {accounts} {path}\n", made.0, expires.0);
    }
    let text = signed::sign(text, signer);
    replace_file(&ledger_file(data), text.as_bytes()).map_err(BackupError::Ledger)
}

/// Writes all key files of a data directory into one file in `to`, and deletes those whose time is
/// over, here and wherever else the ledger knows of some.
///
/// # Errors
/// The new one is not there, or not in the ledger. What could not be deleted is tried again by
/// the next run, and logged.
pub fn back_up_keys(
    vault: &Vault,
    data: &Path,
    to: &Path,
    days: u32,
) -> Result<KeyBackup, BackupError> {
    let signer = vault.host().signer();
    let now = vault.ambient().now();
    let mut entries = read_ledger(data)?;
    delete_expired(&mut entries, now);
    let expires = UnixMillis(now.0 + i64::from(days) * 86_400_000);
    let files = read_dir(&data.join("keys"))?;
    let [a, b] = vault.ambient().bytes();
    let name = format!("{}-{}{ENDING}", stamp(now), signed::to_hex(&[a, b]));
    let entry = Entry {
        backup: KeyBackup {
            destination: to.join(name),
            made: now,
            expires,
        },
        accounts: files.keys().copied().collect(),
    };
    if entry
        .backup
        .destination
        .to_str()
        .is_none_or(|path| path.contains('\n'))
    {
        return Err(BackupError::Ledger(io::ErrorKind::InvalidFilename.into()));
    }
    // First the ledger: a copy that it does not know would never be deleted.
    entries.push(entry.clone());
    write_ledger(data, &entries, &signer)?;
    let text = text(&entry.backup, &files, &signer);
    let written = match to.is_dir() {
        true => replace_file(&entry.backup.destination, text.as_bytes()),
        false => Err(io::ErrorKind::NotFound.into()),
    };
    if let Err(error) = written {
        return Err(BackupError::Destination {
            at: to.display().to_string(),
            doing: "write the key files",
            error,
        });
    }
    Ok(entry.backup)
}

/// Deletes backups of key files whose time is over, wherever the ledger knows of some.
///
/// # Errors
/// The ledger cannot be read or written.
pub fn expire_keys(vault: &Vault, data: &Path) -> Result<(), BackupError> {
    let mut entries = read_ledger(data)?;
    let before = entries.len();
    delete_expired(&mut entries, vault.ambient().now());
    match entries.len() < before {
        true => write_ledger(data, &entries, &vault.host().signer()),
        false => Ok(()),
    }
}

fn delete_expired(entries: &mut Vec<Entry>, now: UnixMillis) {
    entries.retain(|entry| {
        let file = &entry.backup.destination;
        if entry.backup.expires > now {
            return true;
        }
        match shred(file) {
            Ok(()) => false,
            Err(error) => {
                tracing::error!(file = %file.display(), %error, "an old backup of key files cannot be deleted");
                true
            }
        }
    });
}

/// Overwrites and removes a file. One that is not there is gone if its directory is there, and
/// may be on a disk that is not mounted if not.
fn shred(file: &Path) -> io::Result<()> {
    let mut handle = match OpenOptions::new().write(true).open(file) {
        Ok(handle) => handle,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match file.parent().is_some_and(Path::is_dir) {
                true => Ok(()),
                false => Err(error),
            };
        }
        Err(error) => return Err(error),
    };
    let length = usize::try_from(handle.metadata()?.len()).unwrap_or(0);
    handle.write_all(&vec![0; length])?;
    handle.sync_all()?;
    fs::remove_file(file)
}

fn text(backup: &KeyBackup, files: &KeyContents, signer: &Signer) -> String {
    let mut text = format!("{FIRST_LINE}\nmade {}\n", backup.made.0);
    text += &format!("expires {}\n", backup.expires.0);
    for (account, content) in files {
        text += &format!("key {account} {}\n", signed::to_hex(content));
    }
    signed::sign(text, signer)
}

/// The contents of key files.
pub(super) type KeyContents = BTreeMap<AccountId, Vec<u8>>;

/// Reads key files for a restore: from a backup of them, from the newest one in a directory of
/// such backups, or from a data directory or its directory of key files.
pub(super) fn read_keys(from: &Path) -> Result<KeyContents, BackupError> {
    let inner = from.join("keys");
    if inner.is_dir() {
        return read_dir(&inner);
    }
    if from.is_dir() {
        let files = read_dir(from)?;
        if !files.is_empty() {
            return Ok(files);
        }
    }
    let file = match from.is_dir() {
        true => newest(from)?,
        false => from.to_owned(),
    };
    let fail = |error| BackupError::Keys(file.clone(), error);
    let mut text = String::new();
    File::open(&file)
        .and_then(|file| {
            file.take(limits::BACKUP_KEYS_BYTES)
                .read_to_string(&mut text)
        })
        .map_err(fail)?;
    parse(&text).ok_or_else(|| BackupError::Keys(file.clone(), io::ErrorKind::InvalidData.into()))
}

fn newest(dir: &Path) -> Result<PathBuf, BackupError> {
    let fail = |error| BackupError::Keys(dir.to_owned(), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.to_string_lossy().ends_with(ENDING) {
            names.push(path);
        }
    }
    names.sort();
    names
        .pop()
        .ok_or_else(|| fail(io::ErrorKind::NotFound.into()))
}

fn parse(text: &str) -> Option<KeyContents> {
    let signed = signed::check(text)?;
    let mut lines = signed.body.lines();
    (lines.next()? == FIRST_LINE).then_some(())?;
    lines.next()?.strip_prefix("made ")?;
    lines.next()?.strip_prefix("expires ")?;
    let line = |line: &str| {
        let (account, content) = line.strip_prefix("key ")?.split_once(' ')?;
        Some((
            AccountId::from_hex(account)?,
            signed::bytes_of_hex(content)?,
        ))
    };
    lines.map(line).collect()
}

fn read_dir(dir: &Path) -> Result<KeyContents, BackupError> {
    let fail = |error| BackupError::Keys(dir.to_owned(), error);
    let mut files = KeyContents::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".keys"));
        if let Some(id) = id.and_then(AccountId::from_hex) {
            let mut content = Vec::new();
            File::open(entry.path())
                .and_then(|file| file.take(limits::KEY_FILE_BYTES).read_to_end(&mut content))
                .map_err(fail)?;
            files.insert(id, content);
        }
    }
    Ok(files)
}
