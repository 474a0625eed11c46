//! What only the running server knows: asked over its local socket, and told in plain words.

use serde::{Deserialize, Serialize};

use super::super::commands::date;
use super::{Findings, words};
use crate::account::{Accounts, Trouble, Who};
use crate::store::Condition;

const MIB: u64 = 1024 * 1024;

/// One kind of refusal to one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Refused {
    /// The account's name; none for a name that no account has.
    pub account: Option<String>,
    /// What its user calls the device, else its slot; none for somebody who did not sign in.
    pub device: Option<String>,
    /// The part of the network that such a one came from.
    pub from: Option<String>,
    pub status: u16,
    /// In the word of the log.
    pub reason: String,
    /// Within the last hour.
    pub times: u64,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Live {
    /// The version of the program that runs.
    pub version: String,
    /// Its process.
    pub process: u32,
    /// Whether the store works: a sentence if not.
    pub trouble: Option<String>,
    /// Bytes free on the disk.
    pub disk_free: u64,
    /// Bytes free below which there is a warning, and below which writes are refused.
    pub disk_marks: (u64, u64),
    /// Bytes of the database's files.
    pub database: Option<u64>,
    /// What the audit trail found.
    pub findings: Vec<String>,
    /// Accounts whose key file cannot be read.
    pub unreadable: Vec<String>,
    /// Times that the audit trail could not be written.
    pub flush_failures: u64,
    /// Whether core dumps are off.
    pub dumps_off: bool,
    /// Whether memory may be swapped out.
    pub swappable: bool,
    /// Files that it may have open.
    pub files: Option<u64>,
    /// Accounts whose trash is full, and until when everything in it went (milliseconds since 1970).
    #[serde(default)]
    pub full_trash: Vec<(String, i64)>,
    /// What is refused to whom.
    pub refused: Vec<Refused>,
}

impl Live {
    /// What the server of these accounts knows.
    pub(in crate::cli) fn of(accounts: &Accounts) -> Live {
        use rustix::process::{Resource, getrlimit};
        let vault = accounts.vault();
        let store = vault.store();
        let disk = store.watch_disk().unwrap_or_else(|_| store.disk());
        let trouble = match store.condition() {
            Condition::Works => None,
            Condition::Full => Some("writes are refused: the disk is nearly full"),
            Condition::Stuck => Some("a write to the disk has not ended for a long time"),
            Condition::Closed => Some("the store is closed after a failed write"),
        };
        let records = vault.accounts();
        let unreadable = records
            .iter()
            .filter(|record| vault.key_file(record.id).is_none());
        let findings = vault.audit_findings();
        Live {
            version: super::super::version().to_owned(),
            process: std::process::id(),
            trouble: trouble.map(str::to_owned),
            disk_free: disk.space.free,
            disk_marks: (disk.marks.warn, disk.marks.stop),
            database: store.size_on_disk().ok(),
            findings: findings.iter().map(ToString::to_string).collect(),
            unreadable: unreadable.map(|record| record.name.to_string()).collect(),
            flush_failures: accounts.figures().flush_failures.get(),
            dumps_off: getrlimit(Resource::Core).current == Some(0),
            swappable: getrlimit(Resource::Memlock).current.is_some(),
            files: getrlimit(Resource::Nofile).current,
            full_trash: vault
                .full_trash()
                .into_iter()
                .take(crate::limits::TROUBLES_TOLD)
                .map(|(name, cut)| (name, cut.0))
                .collect(),
            refused: refused(accounts),
        }
    }

    /// Tells it.
    pub(super) fn tell(&self, findings: &mut Findings) {
        self.tell_server(findings);
        self.tell_disk(findings);
        self.tell_process(findings);
        let about = "audit trail";
        for finding in &self.findings {
            let advice = "run `sealdav audit verify`; if nobody restored a backup, somebody may have changed the files";
            findings.fault(about, finding.clone(), advice);
        }
        if self.flush_failures > 0 {
            let says = format!("could not be written {} times", self.flush_failures);
            findings.warn(about, says, "look at the server's log");
        }
        if self.findings.is_empty() && self.flush_failures == 0 {
            findings.ok(about, "nothing was found since the start");
        }
        for name in &self.unreadable {
            findings.fault(
                "accounts",
                format!("the key file of {name} cannot be read: nobody can open this account"),
                "restore its key file from a backup",
            );
        }
        for (name, cut) in &self.full_trash {
            let before = date(*cut);
            findings.warn(
                "trash",
                format!("that of {name} is full: what was deleted or replaced before {before} went before its time"),
                "if it is no device gone wild, raise items or megabytes under [trash]",
            );
        }
        words::tell(&self.refused, findings);
    }

    fn tell_server(&self, findings: &mut Findings) {
        let about = "server";
        let here = super::super::version();
        match self.version == here {
            true => findings.ok(about, format!("runs as process {}", self.process)),
            false => findings.warn(
                about,
                format!("version {} runs, and this program is {here}", self.version),
                "restart the server",
            ),
        }
        match &self.trouble {
            None => findings.ok("store", "answers, and takes writes"),
            Some(trouble) => findings.fault(
                "store",
                trouble.clone(),
                "look at the server's log, at the disk and at its room",
            ),
        }
    }

    fn tell_disk(&self, findings: &mut Findings) {
        let about = "disk";
        let free = self.disk_free / MIB;
        let (warn, stop) = self.disk_marks;
        let says = format!(
            "{free} MiB are free; below {} MiB writes are refused",
            stop / MIB
        );
        match self.disk_free < warn {
            true => findings.warn(about, says, "free some space, or enlarge it"),
            false => findings.ok(about, says),
        }
        if let Some(database) = self.database {
            let says = format!("the database takes {} MiB", database / MIB);
            findings.ok(about, says);
        }
    }

    fn tell_process(&self, findings: &mut Findings) {
        let about = "memory";
        match self.dumps_off {
            true => findings.ok(about, "is never dumped to a file"),
            false => findings.fault(
                about,
                "could be dumped to a file, with keys in it",
                "set LimitCORE=0 (config/sealdav.service)",
            ),
        }
        match self.swappable {
            true => findings.warn(
                about,
                "keys in it may be written to swap",
                "set LimitMEMLOCK=infinity (config/sealdav.service), or encrypt the swap",
            ),
            false => findings.ok(about, "is locked: nothing of it is written to swap"),
        }
        let needed = crate::limits::CONNECTIONS as u64 + 256;
        if let Some(files) = self.files.filter(|files| *files < needed) {
            findings.warn(
                "files",
                format!("the server may have {files} files open, fewer than connections"),
                format!("set LimitNOFILE={}", 2 * needed),
            );
        }
    }
}

fn refused(accounts: &Accounts) -> Vec<Refused> {
    let records = accounts.vault().accounts();
    let told = |trouble: Trouble| {
        let record = records.iter().find(|record| record.id == trouble.account);
        let account = record.map(|record| record.name.to_string());
        let (device, from) = match trouble.who {
            Who::Device(slot) => {
                let devices = account.as_deref().map(|name| accounts.device_list(name));
                let devices = devices.and_then(Result::ok).unwrap_or_default();
                let device = devices.into_iter().find(|device| device.slot == slot);
                let label = device.and_then(|device| device.label);
                (Some(label.unwrap_or_else(|| slot.to_string())), None)
            }
            Who::Stranger(part) => (None, Some(words::network(part))),
        };
        Refused {
            account,
            device,
            from,
            status: trouble.status,
            reason: trouble.reason.to_owned(),
            times: trouble.times,
        }
    };
    let troubles = accounts.troubles().into_iter();
    troubles
        .take(crate::limits::TROUBLES_TOLD)
        .map(told)
        .collect()
}
