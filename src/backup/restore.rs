//! Making a data directory of a backup, and trying that out.
//!
//! The new directory holds the file `restoring` until everything is in it and was opened once; a
//! server refuses to start on it until then. The store gets a new epoch, so that clients sync
//! anew instead of losing changes. Accounts that were deleted after the backup was made are
//! deleted again, and the trail of administration says that a restore took place.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::destination::Destination;
use super::keys::KeyContents;
use super::manifest::Manifest;
use super::{BackupError, HostPublic, Which, choose, keys, take};
use crate::ambient::Ambient;
use crate::seal::HostKey;
use crate::store::{self, Filler, Store, StoreOptions};
use crate::vault::{AuditReport, Erased, Vault, replace_file};

/// The file that marks a data directory whose restore was not finished.
pub const MARKER: &str = "restoring";

/// What a restore did.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The backup.
    pub manifest: Manifest,
    /// Accounts in it.
    pub accounts: usize,
    /// Those of them without a key file, which nobody can open.
    pub without_keys: usize,
    /// Accounts that were deleted since, and so deleted again.
    pub erased: usize,
    /// Names of the others whose key file holds another key than their rows: nobody can open them.
    pub other_keys: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// What a restore needs besides the backup.
pub struct Means<'a> {
    /// The key files: a backup of them, or a data directory.
    pub keys: &'a Path,
    /// The host key under which the backup was made.
    pub host: HostKey,
    /// Other host keys whose word on erased accounts counts: the server's own, where the backup
    /// was made under another one.
    pub trusted: Vec<HostPublic>,
    /// What else is known to be erased: the list of the data directory.
    pub erased: Erased,
    /// Files to write beside the data, before it can be started: names and contents.
    pub beside: Vec<(&'static str, Vec<u8>)>,
    /// Clock and randomness.
    pub ambient: Arc<Ambient>,
}

/// Restores a whole backup to `to`, which must be absent or empty. The host key is not written
/// there unless it is among the files `beside`.
///
/// # Errors
/// What is in `to` then cannot be started; remove it and try again.
pub fn restore(
    from: &Destination,
    which: &Which,
    to: &Path,
    means: Means<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Restored, BackupError> {
    let begun = Instant::now();
    let manifest = choose(from, which)?;
    if manifest.signer != means.host.signer().public() {
        return Err(BackupError::OtherHost);
    }
    let mut erased = means.erased;
    let mut trusted = means.trusted;
    trusted.push(manifest.signer);
    erased.add(super::erased::read(from, &trusted)?);
    let files = keys::read_keys(means.keys)?;
    begin(to)?;
    store::fill(&to.join("db"), |filler| {
        put_rows(from, &manifest, filler, progress)
    })?;
    put_files(to, &files, &erased, &manifest)?;
    if !erased.accounts.is_empty() {
        let text = erased.text(&means.host.signer());
        replace_file(&to.join("erased"), text.as_bytes()).map_err(target(to))?;
    }
    let vault = open(to, means.host, means.ambient)?;
    let gone = vault.all_restored(&erased).map_err(BackupError::Erase)?;
    let accounts = vault.accounts();
    let other_keys = vault.with_other_keys();
    let other_keys = other_keys.iter().map(|one| one.name.to_string()).collect();
    let keyless = accounts
        .iter()
        .filter(|account| vault.key_file(account.id).is_none());
    let (accounts, without_keys) = (accounts.len(), keyless.count());
    vault.mirror_audit().map_err(BackupError::Mirror)?;
    close(vault)?;
    if !gone.is_empty() {
        // Their rows are deleted; now the file forgets them too.
        store::compact(&to.join("db"), &mut |_, _| {})?;
    }
    let erased = gone.len();
    for (name, content) in &means.beside {
        replace_file(&to.join(name), content).map_err(target(to))?;
    }
    finish(to)?;
    Ok(Restored {
        manifest,
        accounts,
        without_keys,
        erased,
        other_keys,
        took: begun.elapsed(),
    })
}

fn target(to: &Path) -> impl Fn(io::Error) -> BackupError {
    let to = to.to_owned();
    move |error| BackupError::Target(to.clone(), error)
}

/// Makes the directory, and marks it as one that is being restored.
fn begin(to: &Path) -> Result<(), BackupError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(to);
    made.map_err(target(to))?;
    if fs::read_dir(to).map_err(target(to))?.next().is_some() {
        return Err(BackupError::NotEmpty(to.to_owned()));
    }
    let text = "A restore to this directory was not finished. Remove it and restore again.\n";
    replace_file(&to.join(MARKER), text.as_bytes()).map_err(target(to))
}

/// Makes everything durable and takes the mark away.
fn finish(to: &Path) -> Result<(), BackupError> {
    let sync = |dir: &Path| File::open(dir)?.sync_all();
    let done = || -> io::Result<()> {
        sync(&to.join("keys"))?;
        sync(to)?;
        fs::remove_file(to.join(MARKER))?;
        sync(to)
    };
    done().map_err(target(to))
}

/// Puts the rows of all packs into a store that is being made.
fn put_rows(
    from: &Destination,
    manifest: &Manifest,
    filler: &mut Filler,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), BackupError> {
    let all = manifest.rows();
    for_each_row(from, manifest, &mut |name, value| {
        filler.put(name, value.bytes())?;
        if filler.count().is_multiple_of(10_000) {
            progress(filler.count(), all);
        }
        Ok(())
    })
}

/// Calls `with` for each row of a backup, in the order of their names.
pub(super) fn for_each_row(
    from: &Destination,
    manifest: &Manifest,
    with: &mut dyn FnMut(&crate::seal::RowName, crate::seal::Stored) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let mut last = None;
    for pack in &manifest.packs {
        for (name, value) in take::read(from, pack)? {
            if last.is_some_and(|last| last >= name) {
                return Err(BackupError::Pack {
                    at: from.to_string(),
                    name: crate::vault::signed::to_hex(&pack.hash),
                    what: "its rows overlap with those of the pack before".to_owned(),
                });
            }
            last = Some(name);
            with(&name, value)?;
        }
    }
    Ok(())
}

/// Writes what lies beside the store: key files, except of erased accounts, and the lists.
fn put_files(
    to: &Path,
    files: &KeyContents,
    erased: &Erased,
    manifest: &Manifest,
) -> Result<(), BackupError> {
    let fail = target(to);
    let keys = to.join("keys");
    fs::create_dir(&keys).map_err(&fail)?;
    for (account, content) in files {
        if !erased.accounts.contains_key(account) {
            let file = keys.join(format!("{account}.keys"));
            replace_file(&file, content).map_err(&fail)?;
        }
    }
    replace_file(&to.join("audit.heads"), manifest.mirror.as_bytes()).map_err(&fail)
}

fn open(dir: &Path, host: HostKey, ambient: Arc<Ambient>) -> Result<Arc<Vault>, BackupError> {
    let store = Store::open(&dir.join("db"), &StoreOptions::default())?;
    Vault::open(store, host, &dir.join("keys"), ambient).map_err(BackupError::Vault)
}

/// Closes the store of a vault that nobody else holds.
fn close(vault: Arc<Vault>) -> Result<(), BackupError> {
    vault.store().barrier().wait()?;
    drop(vault);
    Ok(())
}

/// What a drill found.
#[derive(Debug, Clone)]
pub struct Drilled {
    /// The restore.
    pub restored: Restored,
    /// What checking the audit trail found.
    pub audit: AuditReport,
    /// Rows in the restored store.
    pub rows: u64,
    /// Bytes of the restored database on the disk.
    pub size: u64,
    /// How long all of it took.
    pub took: Duration,
}

/// Restores to a new directory in `scratch`, checks what needs no user's keys, and removes it.
///
/// # Errors
/// As `restore`; the directory is removed in any case.
pub fn drill(
    from: &Destination,
    which: &Which,
    scratch: &Path,
    means: Means<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Drilled, BackupError> {
    let begun = Instant::now();
    let name: [u8; 4] = means.ambient.bytes();
    let name = crate::vault::signed::to_hex(&name);
    let dir = Scratch(scratch.join(format!("restore-drill-{name}")));
    let host = HostKey::read(&means.host.to_text()).expect("it was just written");
    let ambient = Arc::clone(&means.ambient);
    let restored = restore(from, which, &dir.0, means, progress)?;
    let vault = open(&dir.0, host, ambient)?;
    let audit = vault.verify_audit()?;
    let mut rows = 0;
    for row in vault.store().all_rows() {
        row?;
        rows += 1;
    }
    let size = vault.store().size_on_disk()?;
    close(vault)?;
    Ok(Drilled {
        restored,
        audit,
        rows,
        size,
        took: begun.elapsed(),
    })
}

/// A directory that goes when this does.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(dir = %self.0.display(), %error, "the directory of a drill cannot be removed");
        }
    }
}
