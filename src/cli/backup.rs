//! `sealdav backup`, `restore` and `compact`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::admin::{AdminRequest, AdminResponse};
use super::commands::{administer, date};
use super::host_key::{self, Source};
use super::open::{self, Absent};
use super::{Failure, socket};
use crate::ambient::Ambient;
use crate::backup::{
    self, BackupError, Backups, Destination, Drilled, Fingerprint, HostPublic, Means, Progress,
    Which,
};
use crate::config::Config;
use crate::limits;
use crate::seal::HostKey;
use crate::store;
use crate::vault::Erased;

/// Flags of `sealdav backup`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct BackupFlags {
    /// Directory to back up to; may be given several times [default: the setting backup.to]
    #[arg(long, value_name = "DIR")]
    to: Vec<PathBuf>,
    #[command(subcommand)]
    task: Option<BackupTask>,
}

#[derive(Debug, Subcommand)]
enum BackupTask {
    /// Back up the key files, into one file apart from the rows
    Keys {
        /// Directory [default: the setting backup.keys_to]
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Check signatures, hashes and counts of what lies in a destination; needs no key. Ends with
    /// status 1 if a byte is wrong
    Verify {
        /// The destination
        from: PathBuf,
        /// One backup only: its id, or a day or time in UTC such as 2026-11-21T08:09
        #[arg(long, value_name = "TIME|ID")]
        at: Option<String>,
    },
}

/// Flags of `sealdav restore`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub(super) struct RestoreFlags {
    /// The destination that has the backup
    from: PathBuf,
    /// Which backup: its id, or the newest until a day or time in UTC such as 2026-11-21T08:09
    /// [default: the newest]
    #[arg(long, value_name = "TIME|ID")]
    at: Option<String>,
    /// Make this data directory, which must not exist or be empty
    #[arg(long, value_name = "NEWDIR", group = "what")]
    to: Option<PathBuf>,
    /// Put back what this account had, in the data directory; the server must be stopped
    #[arg(long, value_name = "NAME", group = "what")]
    user: Option<String>,
    /// Restore to a directory that is deleted afterwards, and check it
    #[arg(long, group = "what")]
    drill: bool,
    /// The key files: a backup of them, or a data directory [default: the data directory]
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "user")]
    keys: Option<PathBuf>,
    /// A file with the host key under which the backup was made; may be given several times
    /// [default: where the server has it]
    #[arg(long, value_name = "FILE")]
    host_key: Vec<PathBuf>,
    /// Where a drill has room for a copy of the data [default: the data directory]
    #[arg(long, value_name = "DIR", requires = "drill")]
    scratch: Option<PathBuf>,
}

/// What may be asked about backups.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub(super) enum BackupRequest {
    /// Make one; absolute paths, or none for those of the configuration.
    Begin { to: Vec<PathBuf> },
    /// How far it has got.
    Progress,
    /// Back up the key files.
    Keys { to: Option<PathBuf> },
}

/// Does what is asked.
pub(super) fn execute(
    backups: &Arc<Backups>,
    request: BackupRequest,
) -> Result<AdminResponse, String> {
    let progress = |backups: &Backups| AdminResponse::Backup {
        progress: backups.progress(),
    };
    let done = match request {
        BackupRequest::Progress => Ok(progress(backups)),
        BackupRequest::Begin { to } => {
            let to = to.into_iter().map(Destination::Directory).collect();
            backups.begin(to).map(|()| progress(backups))
        }
        BackupRequest::Keys { to } => {
            let made = backups.back_up_keys(to.as_deref());
            made.map(|made| AdminResponse::KeyBackup {
                file: made.destination.display().to_string(),
                expires: made.expires.0,
            })
        }
    };
    done.map_err(|error| error.to_string())
}

/// `sealdav backup ..`
pub(super) fn backup(
    config: &Config,
    flags: BackupFlags,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    match flags.task {
        None => run(config, flags.to, output),
        Some(BackupTask::Keys { to }) => keys(config, to, output),
        Some(BackupTask::Verify { from, at }) => verify(config, from, at, output),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    Ok(std::path::absolute(path)?)
}

fn unexpected() -> Failure {
    Failure("the server gave another answer; are both of the same version?".to_owned())
}

/// Makes a backup in the running server, or here when there is none.
fn run(config: &Config, to: Vec<PathBuf>, output: &mut dyn Write) -> Result<(), Failure> {
    let to: Vec<PathBuf> = to
        .iter()
        .map(|path| absolute(path))
        .collect::<Result<_, _>>()?;
    let data = config.data_dir();
    let begin = AdminRequest::Backup {
        request: BackupRequest::Begin { to: to.clone() },
    };
    let done = match socket::ask(&data, &begin)? {
        Some(AdminResponse::Refused { sentence }) => return Err(Failure(sentence)),
        Some(AdminResponse::Backup { .. }) => {
            let look = AdminRequest::Backup {
                request: BackupRequest::Progress,
            };
            watch(|| match socket::ask(&data, &look)? {
                Some(AdminResponse::Backup { progress }) => Ok(progress),
                Some(AdminResponse::Refused { sentence }) => Err(Failure(sentence)),
                _ => Err(Failure("the server was stopped meanwhile".to_owned())),
            })?
        }
        Some(_) => return Err(unexpected()),
        None => {
            let ambient = Arc::new(Ambient::system());
            let accounts = open::accounts(config, &ambient, Absent::Refuse)?;
            let backups = open::backups(config, &accounts);
            backups.begin(to.into_iter().map(Destination::Directory).collect())?;
            let done = watch(|| Ok(backups.progress()))?;
            accounts.settle();
            done
        }
    };
    let mut failed = 0;
    for (good, sentence) in done {
        if good {
            writeln!(output, "{sentence}")?;
        } else {
            failed += 1;
            writeln!(std::io::stderr(), "sealdav: {sentence}")?;
        }
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure("a backup failed".to_owned())),
        failed => Err(Failure(format!("{failed} backups failed"))),
    }
}

/// Waits for the end of a backup, and shows how far it is where somebody looks.
fn watch(
    mut look: impl FnMut() -> Result<Progress, Failure>,
) -> Result<Vec<(bool, String)>, Failure> {
    let shown = std::io::stderr().is_terminal();
    loop {
        let progress = look()?;
        if shown {
            let mib = progress.bytes >> 20;
            let (at, rows) = (&progress.at, progress.rows);
            write!(std::io::stderr(), "\r\x1b[K{at}: {rows} rows, {mib} MiB")?;
        }
        if !progress.running {
            if shown {
                write!(std::io::stderr(), "\r\x1b[K")?;
            }
            return Ok(progress.done);
        }
        std::thread::sleep(Duration::from_millis(limits::BACKUP_LOOK_MILLIS));
    }
}

fn keys(config: &Config, to: Option<PathBuf>, output: &mut dyn Write) -> Result<(), Failure> {
    let to = to.as_deref().map(absolute).transpose()?;
    let request = AdminRequest::Backup {
        request: BackupRequest::Keys { to },
    };
    let AdminResponse::KeyBackup { file, expires } = administer(config, request, Absent::Refuse)?
    else {
        return Err(unexpected());
    };
    let end = date(expires);
    Ok(writeln!(
        output,
        "{file}\nIt is deleted by a run after {end}; until then it opens deleted accounts too, with their secrets."
    )?)
}

fn which(at: Option<&str>) -> Result<Which, Failure> {
    let Some(text) = at else {
        return Ok(Which::Newest);
    };
    Which::parse(text).ok_or_else(|| {
        Failure(format!(
            "{text:?} is no backup's id and no time in UTC such as 2026-11-21 or 2026-11-21T08:09"
        ))
    })
}

fn verify(
    config: &Config,
    from: PathBuf,
    at: Option<String>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let one = at.as_deref().map(|at| which(Some(at))).transpose()?;
    let from = Destination::Directory(from);
    let found = backup::verify(&from, one.as_ref())?;
    for fault in &found.faults {
        writeln!(output, "{fault}")?;
    }
    // Anybody can sign; only the holder of the host key can tell whose signature it should be.
    let own = host_key::source(config)
        .ok()
        .and_then(|source| present_host_key(&source).ok());
    let whose = |signer: &HostPublic| match &own {
        Some(own) if own.signer().public() == *signer => "this server's host key",
        Some(_) => "ANOTHER host key than this server's",
        None => "compare with `sealdav host-key show`",
    };
    for signer in &found.signers {
        let (name, whose) = (Fingerprint(*signer), whose(signer));
        writeln!(output, "signed by {name} ({whose})")?;
    }
    // Usually by the same one; after a rotation of the host key by another.
    if let Some(signer) = found.erased_signer
        && found.signers != [signer]
    {
        let (name, whose) = (Fingerprint(signer), whose(&signer));
        writeln!(
            output,
            "the list of erased accounts is signed by {name} ({whose})"
        )?;
    }
    let (backups, packs, mib) = (found.backups, found.packs, found.bytes >> 20);
    match found.faults.len() {
        0 => Ok(writeln!(
            output,
            "ok: {backups} backups, {packs} packs, {mib} MiB are as they were written"
        )?),
        count => Err(Failure(format!(
            "{count} files are not as they were written; delete a damaged pack, and the next backup writes it anew"
        ))),
    }
}

/// The host key that is there; none is made.
fn present_host_key(source: &Source) -> Result<HostKey, Failure> {
    match source {
        Source::File(file) => host_key::read(file),
        source => host_key::obtain(source, Path::new(""), &Ambient::system()),
    }
}

/// The host key under which the backup was made, and the public keys of all that are at hand.
fn host_keys(
    source: &Source,
    named: &[PathBuf],
    from: &Destination,
    which: &Which,
) -> Result<(HostKey, Vec<HostPublic>), Failure> {
    let named = named.iter().map(|file| host_key::read(file));
    let mut keys: Vec<HostKey> = named.collect::<Result<_, _>>()?;
    match present_host_key(source) {
        Ok(own) => keys.push(own),
        Err(failure) if keys.is_empty() => return Err(failure),
        // On another machine there is none but those that were named.
        Err(_) => {}
    }
    let all: Vec<HostPublic> = keys.iter().map(|key| key.signer().public()).collect();
    let signer = backup::choose(from, which)?.signer;
    let made = all.iter().position(|public| *public == signer);
    let made = made.ok_or(BackupError::OtherHost)?;
    Ok((keys.swap_remove(made), all))
}

/// `sealdav restore ..`
pub(super) fn restore(
    config: &Config,
    flags: RestoreFlags,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let from = Destination::Directory(flags.from);
    let which = which(flags.at.as_deref())?;
    let source = host_key::source(config)?;
    let (host, trusted) = host_keys(&source, &flags.host_key, &from, &which)?;
    let data = config.data_dir();
    let ambient = Arc::new(Ambient::system());
    if let Some(name) = &flags.user {
        return restore_user(&data, &from, &which, name, &host, &ambient, output);
    }
    let mut beside = Vec::new();
    let ledger = data.join("key-backups");
    if flags.to.is_some() && ledger.exists() {
        beside.push(("key-backups", std::fs::read(ledger)?));
    }
    let own = |file: &Path| *file == data.join("host.key");
    if flags.to.is_some() && matches!(&source, Source::File(file) if own(file)) {
        beside.push(("host.key", host.to_text().as_bytes().to_vec()));
    }
    let means = Means {
        keys: flags.keys.as_deref().unwrap_or(&data),
        host,
        trusted,
        erased: Erased::read(&data.join("erased"))?,
        beside,
        ambient,
    };
    let mut show = shown("rows");
    let Some(to) = &flags.to else {
        let scratch = flags.scratch.as_deref().unwrap_or(&data);
        let drilled = backup::drill(&from, &which, scratch, means, &mut show)?;
        return tell_drill(&drilled, output);
    };
    let restored = backup::restore(&from, &which, to, means, &mut show)?;
    let manifest = &restored.manifest;
    let (id, rows, accounts) = (&manifest.id, manifest.rows(), restored.accounts);
    let seconds = restored.took.as_secs_f64();
    writeln!(
        output,
        "Restored {id}: {rows} rows, {accounts} accounts, in {seconds:.1} s, to {}.\n\
         It is as it was at {}: what was changed or deleted since is as it was then. All clients sync anew.",
        to.display(),
        date(manifest.time.0)
    )?;
    tell_accounts(&restored, output)
}

fn tell_accounts(restored: &backup::Restored, output: &mut dyn Write) -> Result<(), Failure> {
    if restored.erased > 0 {
        writeln!(
            output,
            "{} accounts were deleted since, and are deleted here too.",
            restored.erased
        )?;
    }
    if restored.without_keys > 0 {
        writeln!(
            output,
            "{} accounts have no key file: nobody can open them. Restore again with --keys naming a backup that has them.",
            restored.without_keys
        )?;
    }
    if !restored.other_keys.is_empty() {
        writeln!(
            output,
            "The key files hold another key than these rows for: {}. Nobody can open these accounts: their key was replaced \
             (`user rotate`, or --abandon-data) between the backup and the key files. Restore again with --keys naming key files of that time.",
            restored.other_keys.join(", ")
        )?;
    }
    Ok(())
}

fn restore_user(
    data: &Path,
    from: &Destination,
    which: &Which,
    name: &str,
    host: &HostKey,
    ambient: &Arc<Ambient>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    host_key::refuse_unfinished(data)?;
    open::refuse_restoring(data)?;
    refuse_running(data)?;
    let done = backup::restore_user(from, which, data, name, host, ambient)?;
    let rows = done.rows;
    Ok(writeln!(
        output,
        "Put back {rows} rows of {name}; password and devices are as they were. All clients of the server sync anew."
    )?)
}

fn tell_drill(drilled: &Drilled, output: &mut dyn Write) -> Result<(), Failure> {
    for finding in &drilled.audit.findings {
        writeln!(output, "{finding}")?;
    }
    let restored = &drilled.restored;
    let manifest = &restored.manifest;
    let (id, all, restoring) = (
        &manifest.id,
        drilled.took.as_secs_f64(),
        restored.took.as_secs_f64(),
    );
    let (packed, size) = (manifest.bytes() >> 20, drilled.size >> 20);
    let (rows, accounts, pages) = (drilled.rows, restored.accounts, drilled.audit.pages);
    writeln!(
        output,
        "{id}: {packed} MiB of packs became a database of {size} MiB in {restoring:.1} s; with checks {all:.1} s. \
         {rows} rows, {accounts} accounts, {pages} pages of the audit trail."
    )?;
    tell_accounts(restored, output)?;
    match drilled.audit.findings.len() {
        0 if !restored.other_keys.is_empty() => {
            Err(Failure("not all accounts could be opened".to_owned()))
        }
        0 => Ok(writeln!(output, "ok: this backup can be restored")?),
        count => Err(Failure(format!("{count} findings in the restored data"))),
    }
}

fn refuse_running(data: &Path) -> Result<(), Failure> {
    match socket::ask(data, &AdminRequest::Health)? {
        Some(_) => Err(Failure(
            "the server runs, and this needs the data for itself: stop it first".to_owned(),
        )),
        None => Ok(()),
    }
}

/// `sealdav compact`
pub(super) fn compact(config: &Config, output: &mut dyn Write) -> Result<(), Failure> {
    let data = config.data_dir();
    if !open::exists(config) {
        return Err(Failure(format!(
            "there is no data in {}; name the right directory with --data",
            data.display()
        )));
    }
    refuse_running(&data)?;
    open::refuse_restoring(&data)?;
    let done = store::compact(&data.join("db"), &mut shown("rows"))?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (rows, live) = (done.rows, mib(done.bytes));
    let (before, after) = (mib(done.before), mib(done.after));
    Ok(writeln!(
        output,
        "{rows} rows of {live:.1} MiB; the database took {before:.1} MiB and takes {after:.1} MiB now."
    )?)
}

/// Shows how much is done, where somebody looks.
fn shown(what: &str) -> impl FnMut(u64, u64) {
    let shown = std::io::stderr().is_terminal();
    move |done, all| {
        if shown {
            // Nobody is left to tell if this fails.
            let _ = write!(std::io::stderr(), "\r\x1b[K{done} of {all} {what}\r");
        }
    }
}
