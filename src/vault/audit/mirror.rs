//! The mirror: the file `audit.heads` beside the database and the key files. It says how far each
//! chain had got, so that a database put back from an older state is noticed (HARDENING H30).
//!
//! ```text
//! sealdav audit heads 1
//! store EPOCH GROUP
//! chain ACCOUNT PAGE CHANGES HEADS PREVIOUS      for each chain; HEADS is - where it has no sum
//! signed PUBLIC SIGNATURE                        Ed25519 by the host, over all lines before
//! ```
//!
//! It is written of what is durable only: it may lag behind, never lead. One that leads is kept
//! as `audit.heads.disputed` for whoever finds out why; the server goes on.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::atomic::Ordering;

use super::page::ChainRows;
use super::{Action, Finding, Happening, hex};
use crate::ids::{AccountId, SlotId};
use crate::limits;
use crate::seal::{HostKey, verified};
use crate::store::StoreError;
use crate::vault::Vault;

const FIRST_LINE: &str = "sealdav audit heads 1";

/// What the mirror says of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) account: AccountId,
    pub(super) page: u64,
    pub(super) changes: u64,
    pub(super) heads: Option<[u64; 4]>,
    pub(super) previous: [u8; 32],
}

/// A mirror as read.
#[derive(Debug)]
struct Mirror {
    epoch: u64,
    group: u64,
    lines: Vec<Line>,
    public: [u8; 32],
}

/// Why the mirror was not written.
#[derive(Debug)]
pub enum MirrorError {
    /// The store failed: nobody knows what is durable.
    Store(StoreError),
    /// The file could not be written.
    File(io::Error),
}

impl std::fmt::Display for MirrorError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MirrorError::Store(error) => write!(formatter, "{error}"),
            MirrorError::File(error) => write!(formatter, "audit.heads: {error}"),
        }
    }
}
impl std::error::Error for MirrorError {}

impl Vault {
    /// Writes the mirror if a page was written since it was. Called at most once a second.
    ///
    /// # Errors
    /// The old mirror then stays, and the next call tries again.
    pub fn mirror_audit(&self) -> Result<(), MirrorError> {
        let _one = self.audit.mirroring.lock();
        if !self.audit.changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let written = self
            .mirror_text()
            .and_then(|text| self.replace_mirror(&text));
        if written.is_err() {
            self.audit.changed.store(true, Ordering::Release);
        }
        written
    }

    /// The mirror as it would be written now, of what is durable then.
    pub fn mirror_text(&self) -> Result<String, MirrorError> {
        // The receipt is of the same opening of the store as the numbers.
        let gate = self.audit.gate.read();
        let lines = self.mirror_lines();
        let receipt = self.store.barrier();
        drop(gate);
        receipt.wait().map_err(MirrorError::Store)?;
        Ok(self.signed_text(lines, &self.host))
    }

    /// Replaces the mirror by what `host` signs, after all pages were sealed anew.
    pub(super) fn rekey_mirror(&self, lines: Vec<Line>, host: &HostKey) -> Result<(), MirrorError> {
        let _one = self.audit.mirroring.lock();
        self.replace_mirror(&self.signed_text(lines, host))
    }

    fn signed_text(&self, mut lines: Vec<Line>, host: &HostKey) -> String {
        lines.sort_by_key(|line| line.account);
        let (epoch, group) = (self.store.epoch(), self.store.group());
        let mut text = format!("{FIRST_LINE}\nstore {epoch:016x} {group}\n");
        for line in lines {
            let heads = line.heads.map_or("-".to_owned(), heads_text);
            let (account, page, changes) = (line.account, line.page, line.changes);
            let previous = hex(&line.previous);
            text += &format!("chain {account} {page} {changes} {heads} {previous}\n");
        }
        let signer = host.signer();
        let signature = hex(&signer.sign(text.as_bytes()));
        text += &format!("signed {} {signature}\n", hex(&signer.public()));
        text
    }

    fn mirror_lines(&self) -> Vec<Line> {
        let chains = self.audit.chains.read();
        let lines = chains.values().filter_map(|chain| {
            let state = chain.state.lock();
            let row = state.open()?;
            Some(Line {
                account: row.account,
                page: row.number,
                changes: row.changes,
                heads: row.heads,
                previous: row.previous,
            })
        });
        lines.collect()
    }

    fn replace_mirror(&self, text: &str) -> Result<(), MirrorError> {
        let path = &self.audit.mirror;
        let new = path.with_extension("heads.new");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(text.as_bytes())?;
            // Its name need not be durable: the old mirror lags a little more.
            file.sync_data()?;
            fs::rename(&new, path)
        };
        write().map_err(MirrorError::File)
    }

    /// At the start: compares the mirror with what is stored, and keeps one that leads.
    pub(in crate::vault) fn check_mirror(&self) -> Result<(), StoreError> {
        let disputed = self.disputed();
        let before = self.find_disputed();
        let mut findings = self.compare_mirror()?;
        let leads = findings.iter().any(|finding| !finding.is_missing_mirror());
        if leads {
            if !disputed.exists()
                && let Err(error) = fs::copy(&self.audit.mirror, &disputed)
            {
                tracing::error!(%error, "audit.heads cannot be kept as audit.heads.disputed");
            }
            for finding in &findings {
                let what = Happening::to(Action::Rollback, finding.account, SlotId::NONE);
                self.note(AccountId::NONE, what);
            }
        }
        findings.extend(before);
        findings
            .into_iter()
            .for_each(|finding| self.audit.found(finding));
        Ok(())
    }

    fn disputed(&self) -> std::path::PathBuf {
        self.audit.mirror.with_extension("heads.disputed")
    }

    /// Whether a mirror that led was kept at some start, and is still there.
    pub(super) fn find_disputed(&self) -> Option<Finding> {
        self.disputed().exists().then(|| {
            Finding::server(
                "data was put back from an older state: audit.heads.disputed says how far the audit trail had got \
                 before; when that is explained, remove that file",
            )
        })
    }

    /// What the mirror says that is not so.
    pub(super) fn compare_mirror(&self) -> Result<Vec<Finding>, StoreError> {
        // In this order: the mirror may be written meanwhile, and never leads.
        let text = read(&self.audit.mirror).transpose();
        let now = self.mirror_lines();
        let Some(text) = text else {
            let begun = !now.is_empty();
            return Ok(begun.then(Finding::missing_mirror).into_iter().collect());
        };
        let mirror = text.ok().as_deref().and_then(parse);
        let Some(mirror) = mirror.filter(|mirror| mirror.public == self.host.signer().public())
        else {
            return Ok(vec![Finding::server(
                "audit.heads was edited or damaged: its signature does not hold",
            )]);
        };
        let mut findings = Vec::new();
        if mirror.epoch == self.store.epoch() && mirror.group > self.store.group() {
            findings.push(Finding::server(
                "the database is older than audit.heads says: it was put back from an older state",
            ));
        }
        for line in mirror.lines {
            let what = match now.iter().find(|now| now.account == line.account) {
                Some(now) => self.compare(&line, now)?,
                None => self.lost(line.account)?,
            };
            if let Some(what) = what {
                findings.push(Finding {
                    account: line.account,
                    page: Some(line.page),
                    what: what.to_owned(),
                });
            }
        }
        Ok(findings)
    }

    fn compare(&self, then: &Line, now: &Line) -> Result<Option<&'static str>, StoreError> {
        if now.page < then.page {
            return Ok(Some(
                "the audit trail was truncated or put back: it had got to this page",
            ));
        }
        if now.changes < then.changes {
            return Ok(Some(
                "the audit trail was put back: it had seen more changes",
            ));
        }
        if now.changes == then.changes && now.heads != then.heads && then.heads.is_some() {
            return Ok(Some(
                "the heads were put back or exchanged: they added up to something else",
            ));
        }
        let previous = if now.page == then.page {
            Some(now.previous)
        } else {
            let name = ChainRows::new(then.account, &self.host_names).page(then.page);
            let stored = self.store.get(&name)?;
            let row = stored.and_then(|stored| self.open_page(&name, stored));
            // A page that was cut or is damaged is `verify`'s affair.
            row.map(|row| row.previous)
        };
        let other = previous.is_some_and(|previous| previous != then.previous);
        Ok(other.then_some("the audit trail is another one than before this page"))
    }

    /// Of an account whose chain is not there: nothing if it was deleted.
    fn lost(&self, account: AccountId) -> Result<Option<&'static str>, StoreError> {
        if self.account(account).is_some() || account == AccountId::NONE {
            return Ok(Some("the audit trail, or its open page, is lost"));
        }
        let deleted = self.was_deleted(account)?;
        Ok((!deleted).then_some("the account is gone and was not deleted"))
    }
}

fn heads_text(heads: [u64; 4]) -> String {
    heads.iter().map(|lane| format!("{lane:016x}")).collect()
}

fn read(path: &std::path::Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(limits::AUDIT_MIRROR_BYTES)
        .read_to_string(&mut text)?;
    Ok(Some(text))
}

/// A mirror whose signature holds.
fn parse(text: &str) -> Option<Mirror> {
    let (signed, signature) = text.split_at(text.rfind("signed ")?);
    let mut words = signature.strip_suffix('\n')?.split(' ').skip(1);
    let public = unhex::<32>(words.next()?)?;
    let signature = unhex::<64>(words.next()?)?;
    if words.next().is_some() || !verified(&public, signed.as_bytes(), &signature) {
        return None;
    }
    let mut lines = signed.lines();
    (lines.next()? == FIRST_LINE).then_some(())?;
    let (epoch, group) = lines.next()?.strip_prefix("store ")?.split_once(' ')?;
    Some(Mirror {
        epoch: u64::from_str_radix(epoch, 16).ok()?,
        group: group.parse().ok()?,
        lines: lines.map(parse_line).collect::<Option<_>>()?,
        public,
    })
}

fn parse_line(line: &str) -> Option<Line> {
    let mut words = line.strip_prefix("chain ")?.split(' ');
    let mut word = || words.next();
    let line = Line {
        account: AccountId::from_hex(word()?)?,
        page: word()?.parse().ok()?,
        changes: word()?.parse().ok()?,
        heads: match word()? {
            "-" => None,
            text => Some(lanes(unhex::<32>(text)?)),
        },
        previous: unhex(word()?)?,
    };
    word().is_none().then_some(line)
}

fn lanes(bytes: [u8; 32]) -> [u64; 4] {
    let lane = |at: usize| std::array::from_fn(|byte| bytes[at * 8 + byte]);
    std::array::from_fn(|at| u64::from_be_bytes(lane(at)))
}

pub(in crate::vault) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |at: usize| char::from(digits[at]).to_digit(16);
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::try_from(digit(2 * at)? << 4 | digit(2 * at + 1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_reads_back() {
        let heads = [1, u64::MAX, 0x0102_0304_0506_0708, 0];
        assert_eq!(lanes(unhex(&heads_text(heads)).unwrap()), heads);
        assert_eq!(unhex::<2>("00fF"), Some([0, 255]));
        for bad in ["", "0", "00f", "00fg", "00ff0", "é0f"] {
            assert_eq!(unhex::<2>(bad), None, "{bad}");
        }
    }
}
