//! `sealdav audit` and `sealdav device`: the audit trail and the devices, asked for as values and
//! printed.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::admin::{AdminRequest, AdminResponse, Opener};
use super::commands::{administer, date, secret_line};
use super::open::Absent;
use super::{AuditTask, DeviceTask, Failure};
use crate::account::{Accounts, Authority, Trail, TrailLine};
use crate::ambient::UnixMillis;
use crate::config::Config;
use crate::ids::AccountId;
use crate::limits;
use crate::vault::{AuditLine, AuditReport, CertificateCheck, ExportCursor, ExportPage};

/// What may be asked about the audit trail and devices.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub(super) enum AuditRequest {
    /// An account's trail, of the last days.
    Show {
        name: String,
        opener: Opener,
        days: u32,
    },
    /// That of administration.
    Administration { days: u32 },
    /// Whether all of it is as it was written.
    Verify,
    /// Pages, from a cursor on.
    Export { from: Option<ExportCursor> },
    /// The signed heads of all chains.
    Heads,
    /// An account's devices.
    Devices { name: String },
    /// Whether a certificate of erasure holds.
    Certificate { text: String },
}

/// The answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub(super) enum AuditAnswer {
    Lines {
        lines: Vec<Line>,
        unread: usize,
        more: bool,
    },
    Verified(AuditReport),
    Pages {
        pages: Vec<Value>,
        next: Option<ExportCursor>,
    },
    Heads {
        text: String,
    },
    Devices {
        devices: Vec<DeviceLine>,
    },
    /// Of a certificate of erasure: the account, or what is wrong.
    Certificate {
        account: Option<String>,
        wrong: Option<String>,
    },
}

/// An entry, for a list. Times are milliseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Line {
    first: i64,
    last: i64,
    what: String,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    slot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    collection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    calendar: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    account: Option<String>,
}

impl From<AuditLine> for Line {
    fn from(entry: AuditLine) -> Line {
        Line {
            first: entry.first.0,
            last: entry.last.0,
            what: entry.action.name().to_owned(),
            count: entry.count,
            slot: entry.device.map(|id| id.to_string()),
            device: None,
            collection: entry.collection.map(|id| id.to_string()),
            calendar: None,
            account_id: entry.account.map(|id| id.to_string()),
            account: None,
        }
    }
}

impl From<TrailLine> for Line {
    fn from(line: TrailLine) -> Line {
        Line {
            device: line.device,
            calendar: line.calendar,
            account: line.account,
            ..Line::from(line.entry)
        }
    }
}

/// A device, for a list. Times are milliseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DeviceLine {
    slot: String,
    label: Option<String>,
    first: Option<i64>,
    last: Option<i64>,
    clients: Vec<String>,
}

/// Does what is asked.
pub(super) fn execute(accounts: &Accounts, request: AuditRequest) -> Result<AuditAnswer, String> {
    let vault = accounts.vault();
    let since = |days: u32| {
        let span = i64::from(days) * 24 * 60 * 60 * 1000;
        UnixMillis(vault.ambient().now().0.saturating_sub(span))
    };
    match request {
        AuditRequest::Show { name, opener, days } => {
            let trail = accounts.trail(&name, &Authority::from(opener), since(days));
            trail.map(answer).map_err(|error| error.to_string())
        }
        AuditRequest::Administration { days } => accounts
            .trail_of_administration(since(days))
            .map(answer)
            .map_err(|error| error.to_string()),
        AuditRequest::Verify => vault
            .verify_audit()
            .map(AuditAnswer::Verified)
            .map_err(|error| error.to_string()),
        AuditRequest::Export { from } => {
            let pages = vault.export_audit(from, limits::AUDIT_EXPORT_PAGES);
            let (pages, next) = pages.map_err(|error| error.to_string())?;
            let pages = pages.into_iter().map(exported).collect();
            Ok(AuditAnswer::Pages { pages, next })
        }
        AuditRequest::Heads => vault
            .mirror_text()
            .map(|text| AuditAnswer::Heads { text })
            .map_err(|error| error.to_string()),
        AuditRequest::Devices { name } => devices(accounts, &name),
        AuditRequest::Certificate { text } => {
            let checked = vault.check_certificate(&text);
            let (account, wrong) = match checked.map_err(|error| error.to_string())? {
                CertificateCheck::Holds(account) => (Some(account.to_string()), None),
                CertificateCheck::Wrong(why) => (None, Some(why.to_owned())),
            };
            Ok(AuditAnswer::Certificate { account, wrong })
        }
    }
}

fn answer(trail: Trail) -> AuditAnswer {
    AuditAnswer::Lines {
        lines: trail.lines.into_iter().map(Line::from).collect(),
        unread: trail.unread,
        more: trail.more,
    }
}

fn devices(accounts: &Accounts, name: &str) -> Result<AuditAnswer, String> {
    let listed = accounts
        .device_list(name)
        .map_err(|error| error.to_string())?;
    let line = |info: crate::account::DeviceInfo| DeviceLine {
        slot: info.slot.to_string(),
        label: info.label,
        first: info.used.map(|(first, _)| first.0),
        last: info.used.map(|(_, last)| last.0),
        clients: info.families.into_iter().map(str::to_owned).collect(),
    };
    Ok(AuditAnswer::Devices {
        devices: listed.into_iter().map(line).collect(),
    })
}

fn exported(page: ExportPage) -> Value {
    let entries = page
        .entries
        .map(|entries| entries.into_iter().map(Line::from).collect::<Vec<_>>());
    let account = (page.account != AccountId::NONE).then(|| page.account.to_string());
    json!({
        "account": account,
        "page": page.number,
        "hour": date(page.hour.0),
        "changes": page.changes,
        "heads": page.heads,
        "previous": page.previous,
        "hash": page.hash,
        "entries": entries,
    })
}

/// `sealdav audit ..`
pub(super) fn audit(
    config: &Config,
    task: AuditTask,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    match task {
        AuditTask::Show {
            name,
            administration: _,
            password_stdin: _,
            recovery_key_stdin,
            days,
            json,
        } => {
            let request = match name {
                None => AuditRequest::Administration { days },
                Some(name) => {
                    let opener = match recovery_key_stdin {
                        true => Opener::RecoveryKey(secret_line("the recovery key")?),
                        false => Opener::Password(secret_line("the account's password")?),
                    };
                    AuditRequest::Show { name, opener, days }
                }
            };
            show(ask(config, request)?, json, output)
        }
        AuditTask::Verify {
            certificate: Some(file),
        } => check_certificate(config, &file, output),
        AuditTask::Verify { certificate: None } => {
            verify(ask(config, AuditRequest::Verify)?, output)
        }
        AuditTask::Export => export(config, output),
    }
}

/// `sealdav device ..`
pub(super) fn device(
    config: &Config,
    task: DeviceTask,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let DeviceTask::List { name, json } = task;
    let AuditAnswer::Devices { devices } = ask(config, AuditRequest::Devices { name })? else {
        return Err(unexpected());
    };
    for line in devices {
        if json {
            writeln!(output, "{}", json!(line))?;
            continue;
        }
        let when = |at: Option<i64>| at.map_or("never".to_owned(), date);
        let (first, last) = (when(line.first), when(line.last));
        let label = line.label.as_deref().unwrap_or("(the account's password)");
        let clients = line.clients.join(", ");
        writeln!(
            output,
            "{}\tfirst used {first}\tlast used {last}\t{clients}\t{label}",
            line.slot
        )?;
    }
    Ok(())
}

fn ask(config: &Config, request: AuditRequest) -> Result<AuditAnswer, Failure> {
    match administer(config, AdminRequest::Audit { request }, Absent::Refuse)? {
        AdminResponse::Audit { answer } => Ok(answer),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> Failure {
    Failure("the server gave another answer; are both of the same version?".to_owned())
}

fn show(answer: AuditAnswer, json: bool, output: &mut dyn Write) -> Result<(), Failure> {
    let AuditAnswer::Lines {
        lines,
        unread,
        more,
    } = answer
    else {
        return Err(unexpected());
    };
    for line in &lines {
        if json {
            writeln!(output, "{}", json!(line))?;
            continue;
        }
        let dash = || "-".to_owned();
        let named = |name: &Option<String>, id: &Option<String>| {
            name.clone()
                .or_else(|| id.as_ref().map(|id| format!("({id})")))
                .unwrap_or_else(dash)
        };
        let device = named(&line.device, &line.slot);
        let about = match line.account_id {
            Some(_) => named(&line.account, &line.account_id),
            None => named(&line.calendar, &line.collection),
        };
        let (last, what, count) = (date(line.last), &line.what, line.count);
        writeln!(output, "{last}\t{what}\t{count}\t{about}\t{device}")?;
    }
    if more {
        writeln!(
            std::io::stderr(),
            "These are the newest {} entries; there are more within the time that was asked for.",
            lines.len()
        )?;
    }
    if unread > 0 {
        writeln!(
            std::io::stderr(),
            "{unread} pages could not be read: `sealdav audit verify` tells whether they are damaged."
        )?;
    }
    Ok(())
}

fn verify(answer: AuditAnswer, output: &mut dyn Write) -> Result<(), Failure> {
    let AuditAnswer::Verified(report) = answer else {
        return Err(unexpected());
    };
    for finding in &report.findings {
        writeln!(output, "{finding}")?;
    }
    let (chains, pages) = (report.chains, report.pages);
    match report.findings.len() {
        0 => Ok(writeln!(
            output,
            "ok: {pages} pages in {chains} chains are as they were written"
        )?),
        count => Err(Failure(format!(
            "{count} findings in {pages} pages of {chains} chains: the audit trail, or the data, is not as it was written"
        ))),
    }
}

fn check_certificate(config: &Config, file: &Path, output: &mut dyn Write) -> Result<(), Failure> {
    let mut text = String::new();
    let read = File::open(file).and_then(|open| {
        open.take(limits::CERTIFICATE_OF_ERASURE_BYTES)
            .read_to_string(&mut text)
    });
    read.map_err(|error| Failure(format!("{}: {error}", file.display())))?;
    match ask(config, AuditRequest::Certificate { text })? {
        AuditAnswer::Certificate {
            account: Some(account),
            wrong: None,
        } => Ok(writeln!(
            output,
            "ok: this server signed it, the audit trail knows it, and account {account} is gone"
        )?),
        AuditAnswer::Certificate {
            wrong: Some(wrong), ..
        } => Err(Failure(wrong)),
        _ => Err(unexpected()),
    }
}

fn export(config: &Config, output: &mut dyn Write) -> Result<(), Failure> {
    let mut from = None;
    loop {
        let AuditAnswer::Pages { pages, next } = ask(config, AuditRequest::Export { from })? else {
            return Err(unexpected());
        };
        for page in pages {
            writeln!(output, "{page}")?;
        }
        from = next;
        if from.is_none() {
            break;
        }
    }
    let AuditAnswer::Heads { text } = ask(config, AuditRequest::Heads)? else {
        return Err(unexpected());
    };
    Ok(writeln!(output, "{}", json!({ "heads": text }))?)
}
