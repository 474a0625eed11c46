//! Checking the whole audit trail with the host key alone: each page is there, unedited, in its
//! place, and follows the one before; each chain starts where the host signed that it does, and
//! is not behind the mirror.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Chain;
use super::page::{PageRow, RootRow};
use crate::ids::AccountId;
use crate::seal::{Kind, RowName};
use crate::store::StoreError;
use crate::vault::Vault;

/// Something that is wrong with the audit trail, or with what it vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Whose chain; NONE for administration, and for the whole server.
    pub account: AccountId,
    /// Which page, if it is about one.
    pub page: Option<u64>,
    /// What is wrong, as a sentence.
    pub what: String,
}

const MISSING_MIRROR: &str =
    "audit.heads is missing: whether the data was put back from an older state cannot be said";

impl Finding {
    pub(super) fn server(what: &str) -> Self {
        Finding {
            account: AccountId::NONE,
            page: None,
            what: what.to_owned(),
        }
    }

    pub(super) fn missing_mirror() -> Self {
        Finding::server(MISSING_MIRROR)
    }

    pub(super) fn is_missing_mirror(&self) -> bool {
        self.what == MISSING_MIRROR
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.account == AccountId::NONE {
            formatter.write_str("administration")?;
        } else {
            write!(formatter, "account {}", self.account)?;
        }
        if let Some(page) = self.page {
            write!(formatter, ", page {page}")?;
        }
        write!(formatter, ": {}", self.what)
    }
}

/// What a verification looked at, and what it found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AuditReport {
    /// Chains looked at.
    pub chains: usize,
    /// Pages looked at.
    pub pages: usize,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// A walk along one chain.
struct Walk<'a> {
    chain: &'a Chain,
    /// The hash that the next page must name; none after a page that is lost.
    previous: Option<[u8; 32]>,
    changes: u64,
    pages: usize,
    names: HashSet<RowName>,
    findings: Vec<Finding>,
}

impl Walk<'_> {
    fn found(&mut self, page: Option<u64>, what: &str) {
        self.findings.push(Finding {
            account: self.chain.rows.account,
            page,
            what: what.to_owned(),
        });
    }

    fn root(&mut self, vault: &Vault, known: &RootRow) -> Result<(), StoreError> {
        let name = self.chain.rows.root();
        let stored = vault.store.get(&name)?;
        match stored.and_then(|stored| vault.open_root(&name, stored)) {
            Some(root) if root == *known && root.holds(&vault.host) => {}
            _ => self.found(
                None,
                "where the audit trail starts is not as this server signed it",
            ),
        }
        Ok(())
    }

    /// Looks at the page that stands under `name`.
    fn page(&mut self, vault: &Vault, name: RowName, number: u64) -> Result<(), StoreError> {
        self.names.insert(name);
        let Some(stored) = vault.store.get(&name)? else {
            self.previous = None;
            self.found(Some(number), "the page is missing: it was deleted");
            return Ok(());
        };
        self.pages += 1;
        let hash = *blake3::hash(stored.bytes()).as_bytes();
        let row = vault.open_page(&name, stored);
        let account = self.chain.rows.account;
        let Some(row) = row.filter(|row| row.account == account && row.number == number) else {
            self.previous = None;
            self.found(
                Some(number),
                "the page was edited, or another page was put in its place",
            );
            return Ok(());
        };
        if self.previous.is_some_and(|hash| hash != row.previous) {
            self.found(Some(number), "the page does not follow the one before it");
        }
        if row.changes < self.changes {
            self.found(
                Some(number),
                "the page has seen fewer changes than the one before it",
            );
        }
        if account == AccountId::NONE && row.administration().is_none() {
            self.found(Some(number), "the entries of the page cannot be read");
        }
        self.previous = Some(hash);
        self.changes = row.changes;
        Ok(())
    }
}

impl Vault {
    /// Checks all chains. Writers go on meanwhile.
    ///
    /// # Errors
    /// The store's.
    pub fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        let _uncut = self.audit.cutting.lock();
        let mut report = AuditReport {
            findings: self.compare_mirror()?,
            ..AuditReport::default()
        };
        let mut chains: Vec<_> = self.audit.chains.read().values().cloned().collect();
        chains.sort_by_key(|chain| chain.rows.account);
        for chain in chains {
            self.verify_chain(&chain, &mut report)?;
        }
        report.findings.extend(self.find_disputed());
        for finding in self.audit_findings() {
            let known = |other: &Finding| {
                other.account == finding.account
                    && (other.page == finding.page || other.what == finding.what)
            };
            if !report.findings.iter().any(known) {
                report.findings.push(finding);
            }
        }
        Ok(report)
    }

    fn verify_chain(&self, chain: &Arc<Chain>, report: &mut AuditReport) -> Result<(), StoreError> {
        // Rows, and what is known of them, at one moment: the open page is overwritten all the time.
        let writing = self.audit.writing(chain);
        self.store.barrier().wait()?;
        let (Some(root), Some(open)) =
            (writing.state.root().cloned(), writing.state.open().cloned())
        else {
            // An account from before there was an audit trail; or one that lost it, which was told.
            return Ok(());
        };
        let name = chain.rows.open_page();
        let stored = self.store.get(&name)?;
        drop(writing);
        let stored = stored.and_then(|stored| self.open_page(&name, stored));
        let mut walk = Walk {
            chain,
            previous: Some(root.previous),
            changes: 0,
            pages: 1,
            names: HashSet::from([name]),
            findings: Vec::new(),
        };
        walk.root(self, &root)?;
        for number in root.first..open.number {
            walk.page(self, chain.rows.page(number), number)?;
        }
        self.verify_open(&mut walk, &open, stored.as_ref());
        self.verify_rest(&mut walk)?;
        report.chains += 1;
        report.pages += walk.pages;
        report.findings.append(&mut walk.findings);
        Ok(())
    }

    fn verify_open(&self, walk: &mut Walk<'_>, known: &PageRow, stored: Option<&PageRow>) {
        let number = Some(known.number);
        match stored {
            None => walk.found(number, "the open page is missing or was edited"),
            Some(stored) if stored != known => {
                walk.found(number, "the open page was put back from an older state");
            }
            Some(_) if walk.previous.is_some_and(|hash| hash != known.previous) => {
                walk.found(number, "the page does not follow the one before it");
            }
            Some(_) if known.changes < walk.changes => {
                walk.found(
                    number,
                    "the page has seen fewer changes than the one before it",
                );
            }
            Some(_) => {}
        }
    }

    /// Looks for pages that stand outside of the chain.
    fn verify_rest(&self, walk: &mut Walk<'_>) -> Result<(), StoreError> {
        let mut others = Vec::new();
        let prefix = walk.chain.rows.names.prefix(Kind::AuditPage);
        for row in self.store.scan(&prefix) {
            let (name, stored) = row?;
            if !walk.names.contains(&name) {
                others.push(self.open_page(&name, stored).map(|row| row.number));
            }
        }
        // Pages that were closed meanwhile are none of them.
        let writing = self.audit.writing(walk.chain);
        let state = (writing.state.root(), writing.state.open());
        let within = |number: u64| matches!(state, (Some(root), Some(open)) if (root.first..open.number).contains(&number));
        others.retain(|number| number.is_none_or(|number| !within(number)));
        drop(writing);
        others.sort_unstable();
        for number in others {
            walk.found(
                number,
                "a page stands outside of the chain: it was cut off without a signature, or added",
            );
        }
        Ok(())
    }
}
