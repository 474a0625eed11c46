//! Reading the audit trail: a user theirs, with a key that only they have; the host key that of
//! administration. There is no third way.

use serde::{Deserialize, Serialize};

use super::page::{ChainRows, Entry, NOTHING, PageRow, hour_of};
use super::{Action, hex};
use crate::ambient::UnixMillis;
use crate::ids::{AccountId, CollectionId, SlotId};
use crate::seal::PairKey;
use crate::store::StoreError;
use crate::vault::Vault;

/// An entry, as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// What happened.
    pub action: Action,
    /// By which key slot, or to which.
    pub device: Option<SlotId>,
    /// In which collection; never in administration.
    pub collection: Option<CollectionId>,
    /// To which account; only in administration.
    pub account: Option<AccountId>,
    /// When it first happened within its hour.
    pub first: UnixMillis,
    /// When it last did.
    pub last: UnixMillis,
    /// How often.
    pub count: u64,
}

impl AuditLine {
    fn of(entry: &Entry, administration: bool) -> Self {
        let about = Some(entry.what.about).filter(|about| *about != NOTHING);
        let collection = about.filter(|_| !administration);
        let account = about.filter(|_| administration);
        AuditLine {
            action: entry.what.action,
            device: Some(entry.what.device).filter(|device| *device != SlotId::NONE),
            collection: collection.map(CollectionId::from_bytes),
            account: account.map(AccountId::from_bytes),
            first: entry.first,
            last: entry.last,
            count: entry.count,
        }
    }
}

/// Entries of one chain, oldest first.
#[derive(Debug, Default)]
pub struct AuditLines {
    /// The entries.
    pub lines: Vec<AuditLine>,
    /// Pages that could not be read: damaged, or sealed for another key.
    pub unread: usize,
    /// Whether there were more than were asked for.
    pub more: bool,
}

/// Where an export goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportCursor {
    /// In which chain.
    pub account: AccountId,
    /// At which page.
    pub page: u64,
}

/// A page, as it is exported: what the host key opens of it.
#[derive(Debug, Clone)]
pub struct ExportPage {
    /// Whose; NONE for administration.
    pub account: AccountId,
    /// Its number.
    pub number: u64,
    /// The hour of its entries, as its beginning.
    pub hour: UnixMillis,
    /// The account's changes so far.
    pub changes: u64,
    /// The sum over the heads, in hexadecimal.
    pub heads: Option<String>,
    /// The hash of the page before it.
    pub previous: String,
    /// The hash of this page; none of the open one, which is still written to.
    pub hash: Option<String>,
    /// The entries of administration; none of an account, which only its user can read.
    pub entries: Option<Vec<AuditLine>>,
}

impl Vault {
    /// The entries of an account from `since` on, opened by `keys`: its pair, and older ones if its
    /// key was changed. At most `most`, the newest.
    ///
    /// # Errors
    /// The store's.
    pub fn audit_of(
        &self,
        account: AccountId,
        keys: &[PairKey],
        since: UnixMillis,
        most: usize,
    ) -> Result<AuditLines, StoreError> {
        self.lines(account, since, most, |row| row.open(keys))
    }

    /// The same of administration.
    ///
    /// # Errors
    /// The store's.
    pub fn audit_of_administration(
        &self,
        since: UnixMillis,
        most: usize,
    ) -> Result<AuditLines, StoreError> {
        self.lines(AccountId::NONE, since, most, PageRow::administration)
    }

    fn lines(
        &self,
        account: AccountId,
        since: UnixMillis,
        most: usize,
        open: impl Fn(&PageRow) -> Option<Vec<Entry>>,
    ) -> Result<AuditLines, StoreError> {
        let mut shown = AuditLines::default();
        let Some((first, newest)) = self.ends(account)? else {
            return Ok(shown);
        };
        let mut next = Some(newest);
        let (mut found, mut pages) = (0, Vec::new());
        while let Some(row) = next {
            let number = row.number;
            if row.hour < hour_of(since) {
                break;
            }
            match open(&row) {
                Some(entries) => {
                    let administration = account == AccountId::NONE;
                    let lines = entries.iter().filter(|entry| entry.last >= since);
                    let lines = lines.map(|entry| AuditLine::of(entry, administration));
                    let lines: Vec<_> = lines.collect();
                    found += lines.len();
                    pages.push(lines);
                }
                None => shown.unread += 1,
            }
            if found > most {
                break;
            }
            next = None;
            for number in (first..number).rev() {
                next = self.closed_page(account, number)?.map(|(row, _)| row);
                if next.is_some() {
                    break;
                }
                shown.unread += 1;
            }
        }
        shown.lines = pages.into_iter().rev().flatten().collect();
        // What waited in memory was written later than what came after it; of one moment, the order
        // in which it was written stays.
        shown.lines.sort_by_key(|line| line.first);
        shown.more = shown.lines.len() > most;
        let surplus = shown.lines.len().saturating_sub(most);
        shown.lines.drain(..surplus);
        Ok(shown)
    }

    /// The number of a chain's first page, and its open page, when both are on the disk.
    fn ends(&self, account: AccountId) -> Result<Option<(u64, PageRow)>, StoreError> {
        let chain = self.chain(account);
        let writing = self.audit.writing(&chain);
        let ends = match (writing.state.root(), writing.state.open()) {
            (Some(root), Some(open)) => Some((root.first, open.clone())),
            _ => None,
        };
        drop(writing);
        self.store.barrier().wait()?;
        Ok(ends)
    }

    fn closed_page(
        &self,
        account: AccountId,
        number: u64,
    ) -> Result<Option<(PageRow, [u8; 32])>, StoreError> {
        let name = ChainRows::new(account, &self.host_names).page(number);
        let Some(stored) = self.store.get(&name)? else {
            return Ok(None);
        };
        let hash = *blake3::hash(stored.bytes()).as_bytes();
        Ok(self.open_page(&name, stored).map(|row| (row, hash)))
    }

    /// The pages that the host key opens and none of `keys` does.
    pub(in crate::vault) fn unread_pages(
        &self,
        account: AccountId,
        keys: &[PairKey],
    ) -> Result<Vec<u64>, StoreError> {
        let Some((first, open)) = self.ends(account)? else {
            return Ok(Vec::new());
        };
        // A page without entries has no key either.
        let unread = |row: &PageRow| row.key.is_some() && row.open(keys).is_none();
        let mut numbers: Vec<_> = unread(&open).then_some(open.number).into_iter().collect();
        for number in first..open.number {
            if let Some((row, _)) = self.closed_page(account, number)?
                && unread(&row)
            {
                numbers.push(number);
            }
        }
        Ok(numbers)
    }

    /// Whether administration says that an account was deleted.
    pub(super) fn was_deleted(&self, account: AccountId) -> Result<bool, StoreError> {
        let all = self.audit_of_administration(UnixMillis(i64::MIN / 2), usize::MAX)?;
        let deleted =
            |line: &AuditLine| line.action == Action::DeleteUser && line.account == Some(account);
        Ok(all.lines.iter().any(deleted))
    }

    /// Whether the last that administration says of an account's keys is that it is deleted.
    pub(in crate::vault) fn deletion_begun(&self, account: AccountId) -> Result<bool, StoreError> {
        const OF_KEYS: [Action; 8] = [
            Action::AddUser,
            Action::CutKey,
            Action::RevokeKey,
            Action::ChangePassword,
            Action::ChangeAccountKey,
            Action::Enable,
            Action::Disable,
            Action::DeleteUser,
        ];
        let all = self.audit_of_administration(UnixMillis(i64::MIN / 2), usize::MAX)?;
        let about = all.lines.iter();
        let last = about
            .filter(|line| line.account == Some(account) && OF_KEYS.contains(&line.action))
            .max_by_key(|line| line.last);
        Ok(last.is_some_and(|line| line.action == Action::DeleteUser))
    }

    /// Whether administration knows a certificate, of which `hash` is kept.
    pub(in crate::vault) fn was_certified(
        &self,
        account: AccountId,
        hash: SlotId,
    ) -> Result<bool, StoreError> {
        let all = self.audit_of_administration(UnixMillis(i64::MIN / 2), usize::MAX)?;
        Ok(all.lines.iter().any(|line| {
            line.action == Action::Erase
                && line.account == Some(account)
                && line.device == Some(hash)
        }))
    }

    /// Up to `most` pages of all chains, from a cursor on, and where to go on.
    ///
    /// # Errors
    /// The store's.
    pub fn export_audit(
        &self,
        from: Option<ExportCursor>,
        most: usize,
    ) -> Result<(Vec<ExportPage>, Option<ExportCursor>), StoreError> {
        let mut ids: Vec<_> = self.audit.chains.read().keys().copied().collect();
        ids.sort_unstable();
        let mut pages = Vec::new();
        for account in ids {
            if from.is_some_and(|from| account < from.account) {
                continue;
            }
            let Some((first, open)) = self.ends(account)? else {
                continue;
            };
            let start = match from {
                Some(from) if from.account == account => from.page.max(first),
                _ => first,
            };
            for page in start..=open.number {
                if pages.len() >= most {
                    return Ok((pages, Some(ExportCursor { account, page })));
                }
                if page == open.number {
                    pages.push(exported(&open, None));
                } else if let Some((row, hash)) = self.closed_page(account, page)? {
                    pages.push(exported(&row, Some(hash)));
                }
            }
        }
        Ok((pages, None))
    }
}

fn exported(row: &PageRow, hash: Option<[u8; 32]>) -> ExportPage {
    let lines = |entries: Vec<Entry>| {
        entries
            .iter()
            .map(|entry| AuditLine::of(entry, true))
            .collect()
    };
    ExportPage {
        account: row.account,
        number: row.number,
        hour: UnixMillis(row.hour * super::page::HOUR_MILLIS),
        changes: row.changes,
        heads: row
            .heads
            .map(|heads| heads.iter().map(|lane| format!("{lane:016x}")).collect()),
        previous: hex(&row.previous),
        hash: hash.map(|hash| hex(&hash)),
        entries: row.administration().map(lines),
    }
}
