//! `sealdav verify`: whether all that is stored is as it was written, told as it is found.
//!
//! Ends with status 0 when nothing is wrong, 1 when something is, 2 when it could not be checked.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::admin::{AdminRequest, AdminResponse, Opener};
use super::commands::{confirm, date, secret_line};
use super::open::{self, Absent, Unopened};
use super::{Failure, serve, socket};
use crate::account::{Accounts, Authority};
use crate::ambient::Ambient;
use crate::config::Config;
use crate::http;
use crate::ids::AccountId;
use crate::limits;
use crate::vault::{Fault, Stopped, VerifyEvent, VerifyTotals};

#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Also open everything of this account, by its password or its recovery key
    #[arg(long, value_name = "NAME", conflicts_with = "certificate")]
    user: Option<String>,
    /// Read the account's password from standard input (one line)
    #[arg(long, requires = "user", conflicts_with = "recovery_key_stdin")]
    password_stdin: bool,
    /// Read its recovery key instead
    #[arg(long, requires = "user")]
    recovery_key_stdin: bool,
    /// Drop what of the account is damaged, so that the rest is served and apps may put it again
    ///
    /// Apps are not told that the objects were deleted: export them first from a device that has them.
    #[arg(long, requires = "user")]
    drop_damaged: bool,
    /// Do not ask before dropping
    #[arg(long, requires = "drop_damaged")]
    yes: bool,
    /// Print a JSON object a line: each finding, then the totals
    #[arg(long)]
    json: bool,
    /// Tell how far it got on standard error, also when that is no terminal
    #[arg(long)]
    progress: bool,
    /// Check the TLS certificate and its key instead of the data
    #[arg(long)]
    certificate: bool,
}

/// What may be checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub(super) enum VerifyRequest {
    /// What the host key opens.
    Store,
    /// What an account's key opens.
    User { name: String, opener: Opener },
    /// The same, to be dropped where it is damaged.
    DropDamaged { name: String, opener: Opener },
}

/// Does what is asked, and tells events as they come, progress not too often.
pub(super) fn execute(
    accounts: &Accounts,
    request: VerifyRequest,
    tell: &mut dyn FnMut(VerifyEvent) -> Result<(), Stopped>,
) -> Result<VerifyTotals, String> {
    let pause = Duration::from_millis(limits::VERIFY_PROGRESS_MILLIS);
    let mut next = Instant::now() + pause;
    let mut listener = |event| {
        if matches!(event, VerifyEvent::Progress(_)) {
            if Instant::now() < next {
                return Ok(());
            }
            next = Instant::now() + pause;
        }
        tell(event)
    };
    let done = match request {
        VerifyRequest::Store => accounts.verify(&mut listener),
        VerifyRequest::User { name, opener } => {
            accounts.verify_user(&name, &Authority::from(opener), &mut listener)
        }
        VerifyRequest::DropDamaged { name, opener } => {
            accounts.drop_damaged(&name, &Authority::from(opener), &mut listener)
        }
    };
    done.map_err(|error| error.to_string())
}

/// `sealdav verify`
pub(super) fn run(config: &Config, flags: &Flags, output: &mut dyn Write) -> ExitCode {
    let done = match flags.certificate {
        true => certificate(config, flags.json, output),
        false => data(config, flags, output),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            // Nobody is left to tell if this fails too.
            let _ = writeln!(std::io::stderr(), "sealdav: {}", failure.0);
            ExitCode::from(2)
        }
    }
}

/// Where events are printed.
struct Printer<'a> {
    output: &'a mut dyn Write,
    json: bool,
    progress: Progress,
}

/// How progress is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Nowhere,
    /// On one line of a terminal.
    Terminal,
    Lines,
}

impl Printer<'_> {
    fn print(&mut self, event: VerifyEvent) -> std::io::Result<()> {
        let mut errors = std::io::stderr();
        let so_far = |totals: VerifyTotals| {
            let megabytes = totals.bytes / 1_000_000;
            format!("{} rows, {megabytes} MB so far", totals.rows)
        };
        match (event, self.progress) {
            (VerifyEvent::Progress(_), Progress::Nowhere) => Ok(()),
            (VerifyEvent::Progress(totals), Progress::Terminal) => {
                write!(errors, "\r{}", so_far(totals))?;
                errors.flush()
            }
            (VerifyEvent::Progress(totals), Progress::Lines) => {
                writeln!(errors, "{}", so_far(totals))
            }
            (event, progress) => {
                if progress == Progress::Terminal {
                    write!(errors, "\r{:40}\r", "")?;
                }
                match self.json {
                    true => writeln!(self.output, "{}", as_json(&event)),
                    false => write!(self.output, "{}", as_text(&event)),
                }
            }
        }
    }
}

fn as_json(event: &VerifyEvent) -> Value {
    match event {
        VerifyEvent::Progress(totals) => json!({ "progress": totals }),
        VerifyEvent::Unchecked(sentence) => json!({ "unchecked": sentence }),
        VerifyEvent::Dropped(sentence) => json!({ "dropped": sentence }),
        VerifyEvent::Fault(fault) => json!({ "finding": {
            "kind": fault.kind,
            "account": fault.account.map(|id: AccountId| id.to_string()),
            "collection": fault.collection,
            "object": fault.object,
            "row": fault.row,
            "what": fault.what,
            "means": fault.means,
            "advice": fault.advice,
        }}),
    }
}

fn as_text(event: &VerifyEvent) -> String {
    match event {
        VerifyEvent::Progress(_) => String::new(),
        VerifyEvent::Unchecked(sentence) => format!("not checked: {sentence}\n"),
        VerifyEvent::Dropped(sentence) => format!("dropped: {sentence}\n"),
        VerifyEvent::Fault(fault) => format!(
            "{}{}: {}{}\n    means: {}\n    do: {}\n",
            fault.kind,
            place(fault),
            fault.what,
            fault
                .row
                .as_ref()
                .map_or(String::new(), |row| format!(" (row {row})")),
            fault.means,
            fault.advice
        ),
    }
}

fn place(fault: &Fault) -> String {
    match (&fault.collection, &fault.object, fault.account) {
        (Some(path), Some(object), _) => {
            format!(" at {}/{object}", path.strip_suffix('/').unwrap_or(path))
        }
        (Some(path), None, _) => format!(" at {path}"),
        (None, _, Some(account)) => format!(" of account {account}"),
        (None, ..) => String::new(),
    }
}

/// Checks the data; whether nothing is wrong.
fn data(config: &Config, flags: &Flags, output: &mut dyn Write) -> Result<bool, Failure> {
    let opener = opener(flags)?;
    let progress = match (std::io::stderr().is_terminal(), flags.progress) {
        (true, _) => Progress::Terminal,
        (false, true) => Progress::Lines,
        (false, false) => Progress::Nowhere,
    };
    let mut printer = Printer {
        output,
        json: flags.json,
        progress,
    };
    let mut totals = all(config, opener.as_ref(), &mut printer)?;
    if let (true, Some((name, opener)), true) = (flags.drop_damaged, &opener, totals.faults > 0) {
        if !flags.yes {
            confirm(
                name,
                "What is damaged is dropped for good. Export it first from a device that has it.",
            )?;
        }
        let request = VerifyRequest::DropDamaged {
            name: name.clone(),
            opener: opener.clone(),
        };
        let dropped = ask(config, &request, &mut printer)?;
        if dropped.dropped > 0 {
            totals = all(config, Some(&(name.clone(), opener.clone())), &mut printer)?;
        }
    }
    if flags.json {
        writeln!(printer.output, "{}", json!({ "totals": totals }))?;
    } else {
        tell(&totals, opener.is_some(), printer.output)?;
    }
    match (totals.faults, totals.unchecked) {
        (0, 0) => Ok(true),
        (0, _) => Err(Failure(
            "not everything could be checked; try again when less is going on".into(),
        )),
        _ => Ok(false),
    }
}

/// Whose account is opened, and by what.
fn opener(flags: &Flags) -> Result<Option<(String, Opener)>, Failure> {
    let Some(name) = &flags.user else {
        return Ok(None);
    };
    let opener = match (flags.password_stdin, flags.recovery_key_stdin) {
        (true, _) => Opener::Password(secret_line("the account's password")?),
        (false, true) => Opener::RecoveryKey(secret_line("the recovery key")?),
        (false, false) => {
            return Err(Failure(
                "add --password-stdin or --recovery-key-stdin: the account is opened by one of them"
                    .into(),
            ));
        }
    };
    Ok(Some((name.clone(), opener)))
}

/// Checks the store, then the account if there is one.
fn all(
    config: &Config,
    user: Option<&(String, Opener)>,
    printer: &mut Printer<'_>,
) -> Result<VerifyTotals, Failure> {
    let mut totals = ask(config, &VerifyRequest::Store, printer)?;
    if let Some((name, opener)) = user {
        let request = VerifyRequest::User {
            name: name.clone(),
            opener: opener.clone(),
        };
        let own = ask(config, &request, printer)?;
        totals.collections += own.collections;
        totals.objects += own.objects;
        totals.faults += own.faults;
        totals.unchecked += own.unchecked;
    }
    Ok(totals)
}

fn tell(totals: &VerifyTotals, opened: bool, output: &mut dyn Write) -> Result<(), Failure> {
    let VerifyTotals {
        rows,
        accounts,
        collections,
        objects,
        faults,
        ..
    } = totals;
    let megabytes = totals.bytes.div_ceil(1_000_000);
    let inside = match opened {
        true => format!("; opened {objects} objects in {collections} collections"),
        false => "; nobody's calendars were opened (--user NAME does)".to_owned(),
    };
    let found = match faults {
        0 => "ok".to_owned(),
        1 => "1 finding".to_owned(),
        _ => format!("{faults} findings"),
    };
    Ok(writeln!(
        output,
        "{found}: read {rows} rows ({megabytes} MB) of {accounts} accounts{inside}"
    )?)
}

/// Asks the running server, or does it here.
fn ask(
    config: &Config,
    request: &VerifyRequest,
    printer: &mut Printer<'_>,
) -> Result<VerifyTotals, Failure> {
    let data = config.data_dir();
    let mut tell = |event| printer.print(event).map_err(|_| Stopped);
    let until = Instant::now() + Duration::from_secs(limits::ADMIN_START_SECONDS);
    loop {
        let asked = AdminRequest::Verify {
            request: request.clone(),
        };
        match socket::ask_told(&data, &asked, &mut tell)? {
            None => {}
            Some(AdminResponse::Verified { totals }) => return Ok(totals),
            Some(AdminResponse::Refused { sentence }) => return Err(Failure(sentence)),
            Some(_) => {
                return Err(Failure(
                    "the server gave another answer; are both of the same version?".to_owned(),
                ));
            }
        }
        match open::accounts(config, &Arc::new(Ambient::system()), Absent::Refuse) {
            Ok(accounts) => {
                let done = execute(&accounts, request.clone(), &mut tell);
                accounts.settle();
                return done.map_err(Failure);
            }
            // A server that is starting has the store before it has its socket.
            Err(Unopened::InUse(_)) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(unopened) => return Err(unopened.into()),
        }
    }
}

/// Checks the certificate; whether nothing is wrong.
fn certificate(config: &Config, json: bool, output: &mut dyn Write) -> Result<bool, Failure> {
    let Some(source) = serve::source(config) else {
        return Err(Failure(
            "plain_http is set: this server speaks no TLS and needs no certificate".to_owned(),
        ));
    };
    let reached = config.public_url.as_ref().map(|url| url.host().to_owned());
    let facts = http::examine_certificate(&source, Ambient::system().now(), reached.as_deref())?;
    let (from, until) = (date(facts.from.0), date(facts.until.0));
    if json {
        let object = json!({
            "file": facts.file, "names": facts.names, "from": facts.from.0, "until": facts.until.0,
            "faults": facts.faults,
        });
        writeln!(output, "{object}")?;
    } else {
        let names = facts.names.join(", ");
        writeln!(
            output,
            "{}: for {names}, from {from} until {until}",
            facts.file.display()
        )?;
        for fault in &facts.faults {
            writeln!(output, "{fault}")?;
        }
        if facts.faults.is_empty() {
            writeln!(output, "ok: certificate and key load and belong together")?;
        }
    }
    Ok(facts.faults.is_empty())
}
