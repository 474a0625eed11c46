//! `sealdav export` and `sealdav import`. Files are read and written here, with the rights of
//! whoever runs the command; the account is open in the server, or here when none runs.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::admin::{AdminRequest, Opener, Purpose, desk};
use super::commands::{Administration, date, secret_line};
use super::open::Absent;
use super::{Failure, socket};
use crate::ambient::Ambient;
use crate::config::Config;
use crate::ids::Segment;
use crate::port::wire::Remote;
use crate::port::{
    Answer, Answers, Ask, Contents, Desk, Existing, Imported, Merged, PastContents, PortError,
    Source, Trial,
};

/// How an account is opened.
#[derive(Debug, Args)]
struct OpenerFlags {
    /// Read the account's password from standard input (one line)
    #[arg(long, required_unless_present = "recovery_key_stdin")]
    password_stdin: bool,
    /// Read its recovery key instead
    #[arg(long, conflicts_with = "password_stdin")]
    recovery_key_stdin: bool,
}

impl OpenerFlags {
    fn opener(&self) -> Result<Opener, Failure> {
        Ok(match self.recovery_key_stdin {
            true => Opener::RecoveryKey(secret_line("the recovery key")?),
            false => Opener::Password(secret_line("the account's password")?),
        })
    }
}

/// Flags of `export`.
#[derive(Debug, Args)]
pub(super) struct ExportFlags {
    /// The account
    name: String,
    /// The archive to make; it must not be there. It is not sealed: keep it safe
    #[arg(long, value_name = "FILE.zip")]
    to: PathBuf,
    /// Write each calendar as one file too, calendar.ics in its folder
    #[arg(long)]
    merged: bool,
    /// Write earlier versions and what is in the trash too, in history/ and trash/
    #[arg(long)]
    history: bool,
    #[command(flatten)]
    by: OpenerFlags,
}

/// Flags of `import`.
#[derive(Debug, Args)]
pub(super) struct ImportFlags {
    /// The account
    name: String,
    /// .ics files, folders of them, vdirs, Radicale's storage, archives
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Put everything into this calendar, by its name in the URL; it is made if it is not there
    #[arg(long, value_name = "CALENDAR")]
    into: Option<String>,
    /// Tell what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Objects take the place of different ones with the same UID [default: they are refused]
    #[arg(long, conflicts_with = "skip")]
    replace: bool,
    /// Different objects with the same UID are left out and counted
    #[arg(long)]
    skip: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    by: OpenerFlags,
}

/// The open account: in this process, or in the server.
enum Account {
    Here(Box<Desk>, Administration),
    There(Remote<UnixStream>),
}

impl Account {
    fn open(
        config: &Config,
        name: &str,
        opener: Opener,
        purpose: Purpose,
    ) -> Result<Account, Failure> {
        let on = Administration::begin(config, Absent::Refuse)?;
        if let Some(office) = &on.office {
            let desk = desk(office, name, opener, purpose).map_err(Failure)?;
            return Ok(Account::Here(Box::new(desk), on));
        }
        let request = AdminRequest::Port {
            name: name.to_owned(),
            opener,
            purpose,
        };
        let stream = socket::open_port(&on.data, &request)?;
        Ok(Account::There(Remote(stream)))
    }

    /// Writes what waits in memory.
    fn close(self) {
        if let Account::Here(desk, on) = self {
            drop(desk);
            if let Some(office) = on.office {
                office.accounts.settle();
            }
        }
    }
}

impl Answers for Account {
    fn ask(&mut self, ask: &Ask, bodies: &[u8]) -> Result<(Answer, Vec<u8>), PortError> {
        match self {
            Account::Here(desk, _) => desk.ask(ask, bodies),
            Account::There(remote) => remote.ask(ask, bodies),
        }
    }
}

/// Tells how far it got, on a terminal, a few times a second.
struct Progress {
    shown: bool,
    last: Instant,
}

impl Progress {
    fn new() -> Progress {
        Progress {
            shown: std::io::stderr().is_terminal(),
            last: Instant::now(),
        }
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.shown && self.last.elapsed() > Duration::from_millis(200) {
            self.last = Instant::now();
            // a terminal that is gone stops nothing
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", line());
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// `sealdav export`
pub(super) fn export(
    config: &Config,
    flags: ExportFlags,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let opener = flags.by.opener()?;
    let mut account = Account::open(config, &flags.name, opener, Purpose::Export)?;
    let shown = flags.to.display().to_string();
    let file = new_file(&flags.to).map_err(|error| Failure(format!("{shown}: {error}")))?;
    let contents = Contents {
        merged: match flags.merged {
            true => Merged::Yes,
            false => Merged::No,
        },
        past: match flags.history {
            true => PastContents::Yes,
            false => PastContents::No,
        },
    };
    let now = date(Ambient::system().now().0);
    let mut progress = Progress::new();
    let mut told = |done, all| progress.tell(|| format!("{done} of {all} objects"));
    let exported = crate::port::export(&mut account, &flags.name, &now, file, contents, &mut told);
    progress.end();
    account.close();
    let exported = exported.map_err(|error| {
        // half an archive is none, and has unsealed events in it
        let _ = std::fs::remove_file(&flags.to);
        Failure(error.to_string())
    })?;
    for sentence in &exported.missing {
        writeln!(std::io::stderr(), "{sentence}")?;
    }
    let (collections, objects) = (exported.collections, exported.objects);
    writeln!(
        output,
        "{collections} calendars and folders with {objects} objects are in {shown}. It is not sealed."
    )?;
    if flags.history {
        let (versions, deleted, trashed) = (exported.versions, exported.deleted, exported.trashed);
        writeln!(
            output,
            "With them: {versions} earlier versions, {deleted} deleted objects, {trashed} deleted calendars and folders."
        )?;
    }
    match exported.missing.len() {
        0 => Ok(()),
        count => Err(Failure(format!("{count} things are missing in it"))),
    }
}

fn new_file(path: &std::path::Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).read(true).create_new(true).mode(0o600);
    options.open(path)
}

/// `sealdav import`
pub(super) fn import(
    config: &Config,
    flags: ImportFlags,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let mut source = Source::default();
    for path in &flags.paths {
        source.add(path, &flags.name).map_err(Failure)?;
    }
    if let Some(into) = &flags.into {
        let segment = Segment::parse(into).map_err(|error| Failure(format!("--into: {error}")))?;
        source.into_one(&[segment]);
    }
    let opener = flags.by.opener()?;
    let mut account = Account::open(config, &flags.name, opener, Purpose::Import)?;
    let existing = match (flags.replace, flags.skip) {
        (true, _) => Existing::Replace,
        (_, true) => Existing::Skip,
        _ => Existing::Refuse,
    };
    let trial = match flags.dry_run {
        true => Trial::Dry,
        false => Trial::Real,
    };
    let all = source.files();
    let mut progress = Progress::new();
    let mut told = |files: usize, done: &Imported| {
        let (stored, refusals) = (done.stored + done.replaced, done.refusals);
        progress.tell(|| {
            format!("{files} of {all} files: {stored} objects stored, {refusals} refused")
        });
    };
    let imported = crate::port::import(&mut source, &mut account, existing, trial, &mut told);
    progress.end();
    account.close();
    let imported = imported.map_err(|error| {
        Failure(format!(
            "{error}. What is stored stays; run this again to go on"
        ))
    })?;
    report(&imported, flags.dry_run, flags.json, output)?;
    match imported.refusals {
        0 => Ok(()),
        count => Err(Failure(format!("{count} refused"))),
    }
}

fn report(
    done: &Imported,
    dry_run: bool,
    as_json: bool,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    if as_json {
        let mut object = json!(done);
        object["dry_run"] = json!(dry_run);
        return Ok(writeln!(output, "{object}")?);
    }
    for refused in &done.refused {
        let line = refused.line.map(|line| format!(", line {line}"));
        let uid = refused.uid.as_ref().map(|uid| format!(", UID {uid}"));
        let (file, line, uid) = (
            &refused.file,
            line.unwrap_or_default(),
            uid.unwrap_or_default(),
        );
        // names and UIDs are from elsewhere: they do not steer a terminal
        let text = format!("{file}{line}{uid}: {}", refused.sentence);
        writeln!(output, "refused: {}", text.replace(char::is_control, "?"))?;
    }
    if done.refusals > done.refused.len() {
        writeln!(output, "and {} more", done.refusals - done.refused.len())?;
    }
    let made: Vec<_> = done.made.iter().map(String::as_str).collect();
    if !made.is_empty() {
        writeln!(output, "New calendars: {}", made.join(", "))?;
    }
    if dry_run {
        writeln!(output, "Nothing was changed. It would be:")?;
    }
    let Imported {
        stored,
        replaced,
        same,
        skipped,
        refusals,
        ..
    } = done;
    Ok(writeln!(
        output,
        "{stored} stored, {replaced} replaced, {same} there already, {skipped} skipped, {refusals} refused"
    )?)
}
