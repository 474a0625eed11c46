//! One chain of pages: what its open page holds, how it is closed, and how it is read again.

use std::sync::atomic::Ordering;

use super::page::{ChainRows, Day, Entry, PageRow, RootRow, day_of, hour_of, plain};
use super::{Action, Finding, Happening, HeadsDelta};
use crate::ambient::UnixMillis;
use crate::ids::{AccountId, CollectionId};
use crate::limits;
use crate::seal::{Kind, PublicKey, RowName, Stored};
use crate::store::{Batch, StoreError};
use crate::vault::Vault;
use crate::vault::rows::{decode, digest_add, digest_sub, encode};
use crate::vault::tree::scanned_place;

/// The page that is written to.
struct OpenPage {
    row: PageRow,
    /// None when it was begun before the start, or in an hour that is over: it is closed as it
    /// stands when something happens.
    entries: Option<Vec<Entry>>,
}

/// What is known of a chain; rows say more.
pub(in crate::vault) struct ChainState {
    root: Option<RootRow>,
    page: Option<OpenPage>,
    /// The number of the next page, and the hash of the page before it, while there is no open one.
    next: (u64, [u8; 32]),
    day: Option<Day>,
    /// An hour, and how many entries were begun in it.
    begun: (i64, usize),
}

impl Default for ChainState {
    fn default() -> Self {
        ChainState {
            root: None,
            page: None,
            next: (1, [0; 32]),
            day: None,
            begun: (0, 0),
        }
    }
}

impl ChainState {
    /// Reads a chain as it is stored.
    pub(super) fn load(vault: &Vault, rows: &ChainRows) -> Result<Self, StoreError> {
        let mut state = ChainState::default();
        let found = |page, what: &str| {
            vault.audit.found(Finding {
                account: rows.account,
                page,
                what: what.to_owned(),
            });
        };
        let root = vault.store.get(&rows.root())?;
        let there = root.is_some();
        state.root = root.and_then(|stored| vault.open_root(&rows.root(), stored));
        if there && state.root.is_none() {
            found(None, "the beginning of an audit trail is damaged");
        }
        let page = vault.store.get(&rows.open_page())?;
        let lost = page.is_none();
        let page = page.and_then(|stored| vault.open_page(&rows.open_page(), stored));
        if let Some(row) = page.filter(|row| row.account == rows.account) {
            state.page = Some(OpenPage { row, entries: None });
        } else if there || !lost {
            let mut number = state.root.as_ref().map_or(1, |root| root.first);
            while vault.store.get(&rows.page(number))?.is_some() {
                number += 1;
            }
            // The gap stays, and names the page that is lost.
            state.next = (number + 1, [0; 32]);
            found(
                Some(number),
                "the open page of an audit trail is lost or damaged",
            );
        }
        Ok(state)
    }

    /// Whether pages can be sealed for its reader.
    pub(super) fn is_readable(&self) -> bool {
        self.root.as_ref().is_some_and(|root| root.public.is_some())
    }

    pub(super) fn root(&self) -> Option<&RootRow> {
        self.root.as_ref()
    }

    pub(super) fn open(&self) -> Option<&PageRow> {
        self.page.as_ref().map(|page| &page.row)
    }

    /// The sum over the heads, as of the last change.
    pub(super) fn heads(&self) -> Option<[u64; 4]> {
        self.open().and_then(|row| row.heads)
    }

    /// Adds entries, and a change of the heads. `now` tells the hour.
    pub(super) fn record(
        &mut self,
        vault: &Vault,
        rows: &ChainRows,
        batch: &mut Batch,
        now: UnixMillis,
        entries: &[Entry],
        heads: Option<&HeadsDelta>,
    ) {
        if self.root.is_none() && rows.account == AccountId::NONE {
            self.put_root(vault, rows, batch, None);
        }
        if !self.is_readable() && rows.account != AccountId::NONE {
            return;
        }
        for entry in entries {
            self.add(vault, rows, batch, hour_of(now), entry);
        }
        let Some(page) = &mut self.page else {
            return;
        };
        if let Some(delta) = heads {
            page.row.changes += 1;
            if let Some(sum) = &mut page.row.heads {
                delta.gone.iter().for_each(|row| digest_sub(sum, row));
                delta.come.iter().for_each(|row| digest_add(sum, row));
            }
        }
        self.put_open(vault, rows, batch);
    }

    fn add(
        &mut self,
        vault: &Vault,
        rows: &ChainRows,
        batch: &mut Batch,
        hour: i64,
        entry: &Entry,
    ) {
        let hour = self.settle(vault, rows, batch, hour);
        if self.begun.0 != hour {
            self.begun = (hour, 0);
        }
        let crowded = self.begun.1 >= limits::AUDIT_HOUR_ENTRIES;
        let page = self.page.as_mut().expect("it was just settled");
        let live = page.entries.get_or_insert_default();
        let mut what = entry.what;
        if crowded {
            // Bounded by the devices and actions that there are, and then by the actions.
            let known = live.iter().any(|known| known.what == what);
            what = if known { what } else { what.anywhere() };
            let known = live.iter().any(|known| known.what == what);
            let full = live.len() >= limits::AUDIT_PAGE_ENTRIES_MOST;
            what = if known || !full {
                what
            } else {
                what.by_anyone()
            };
        }
        if let Some(known) = live.iter_mut().find(|known| known.what == what) {
            return known.add(entry);
        }
        if !crowded && live.len() >= limits::AUDIT_PAGE_ENTRIES {
            self.close(vault, rows, batch, hour);
        }
        self.begun.1 += 1;
        let page = self.page.as_mut().expect("a page is open");
        page.entries.get_or_insert_default().push(Entry {
            what,
            ..entry.clone()
        });
    }

    /// Sees to it that the open page takes entries of an hour; gives the page's own hour.
    fn settle(&mut self, vault: &Vault, rows: &ChainRows, batch: &mut Batch, hour: i64) -> i64 {
        if let Some(page) = &self.page {
            // What waited in memory may be of the hour before.
            let late = page.row.hour - hour;
            if page.entries.is_some() && (0..=limits::AUDIT_LATE_HOURS).contains(&late) {
                return page.row.hour;
            }
        }
        self.close(vault, rows, batch, hour);
        hour
    }

    /// Closes the open page, if there is one, and opens the next.
    fn close(&mut self, vault: &Vault, rows: &ChainRows, batch: &mut Batch, hour: i64) {
        let (mut changes, mut heads) = (0, None);
        self.reseal(vault);
        if let Some(page) = self.page.take() {
            let name = rows.page(page.row.number);
            let sealed = vault.seal_host(Kind::AuditPage, &name, &encode(&page.row));
            self.next = (
                page.row.number + 1,
                *blake3::hash(sealed.bytes()).as_bytes(),
            );
            (changes, heads) = (page.row.changes, page.row.heads);
            batch.put(name, sealed);
        }
        let row = PageRow {
            account: rows.account,
            number: self.next.0,
            previous: self.next.1,
            hour,
            key: None,
            entries: Vec::new(),
            changes,
            heads,
        };
        self.page = Some(OpenPage {
            row,
            entries: Some(Vec::new()),
        });
    }

    /// Brings the sealed entries of the open page up to those in memory.
    fn reseal(&mut self, vault: &Vault) {
        let Some(OpenPage {
            row,
            entries: Some(entries),
        }) = &mut self.page
        else {
            return;
        };
        let Some(public) = self.root.as_ref().and_then(|root| root.public) else {
            row.entries = plain(entries);
            return;
        };
        let number = day_of(row.hour);
        let kept = self.day.take();
        let day = kept
            .filter(|day| day.day == number && day.public == public)
            .unwrap_or_else(|| Day::new(row.account, public, number, &vault.ambient));
        row.key = Some(day.boxed());
        row.entries = day.seal(row.account, row.number, entries, &vault.ambient);
        self.day = Some(day);
    }

    fn put_open(&mut self, vault: &Vault, rows: &ChainRows, batch: &mut Batch) {
        self.reseal(vault);
        let Some(page) = &self.page else {
            return;
        };
        let name = rows.open_page();
        batch.put(
            name,
            vault.seal_host(Kind::AuditPage, &name, &encode(&page.row)),
        );
        vault.audit.changed.store(true, Ordering::Release);
    }

    fn put_root(
        &mut self,
        vault: &Vault,
        rows: &ChainRows,
        batch: &mut Batch,
        public: Option<PublicKey>,
    ) {
        let open = self.open().map(|row| (row.number, row.previous));
        let (first, previous) = match &self.root {
            Some(root) => (root.first, root.previous),
            None => open.unwrap_or(self.next),
        };
        let root = RootRow::signed(rows.account, public, first, previous, &vault.host);
        vault.put_audit_root(rows, batch, &root);
        self.root = Some(root);
    }

    /// Starts the chain at a later page.
    pub(super) fn cut(
        &mut self,
        vault: &Vault,
        rows: &ChainRows,
        batch: &mut Batch,
        first: u64,
        previous: [u8; 32],
    ) {
        let public = self.root.as_ref().and_then(|root| root.public);
        let root = RootRow::signed(rows.account, public, first, previous, &vault.host);
        vault.put_audit_root(rows, batch, &root);
        self.root = Some(root);
    }

    /// Sees to it that pages can be sealed for the holder of `public`, and that the heads have a
    /// sum. Gives whether the chain begins here.
    pub(in crate::vault) fn begin(
        &mut self,
        vault: &Vault,
        rows: &ChainRows,
        batch: &mut Batch,
        public: PublicKey,
        heads: Option<[u64; 4]>,
    ) -> bool {
        if self.root.as_ref().and_then(|root| root.public) != Some(public) {
            self.put_root(vault, rows, batch, Some(public));
        }
        let begins = self.page.is_none();
        if begins {
            let now = vault.ambient.now();
            let entry = Entry::new(Happening::of(Action::Begin), now);
            self.add(vault, rows, batch, hour_of(now), &entry);
        }
        let unknown = self.heads().is_none() && heads.is_some();
        if let Some(page) = self.page.as_mut().filter(|_| unknown) {
            page.row.heads = heads;
        }
        if begins || unknown {
            self.put_open(vault, rows, batch);
        }
        begins
    }

    /// Takes what the heads add up to from elsewhere.
    pub(super) fn take_heads(
        &mut self,
        vault: &Vault,
        rows: &ChainRows,
        batch: &mut Batch,
        heads: Option<[u64; 4]>,
    ) {
        let hour = hour_of(vault.ambient.now());
        if self.page.is_none() {
            return;
        }
        // In a page of its own, which entries can be added to.
        self.close(vault, rows, batch, hour);
        if let Some(page) = &mut self.page {
            // A change: the mirror takes other heads after no change for an exchange.
            page.row.changes += 1;
            page.row.heads = heads;
        }
        self.put_open(vault, rows, batch);
    }

    /// Lets go of what was readable while its hour, or its day, lasted.
    pub(super) fn forget(&mut self, now: UnixMillis) {
        let hour = hour_of(now);
        if let Some(page) = self.page.as_mut().filter(|page| page.row.hour != hour) {
            page.entries = None;
        }
        self.day.take_if(|day| day.day != day_of(hour));
    }

    /// Whether a key of a day, or entries that it seals, are in memory.
    #[cfg(test)]
    pub(super) fn remembers(&self) -> bool {
        self.day.is_some()
            || self
                .page
                .as_ref()
                .is_some_and(|page| page.entries.is_some())
    }
}

impl Vault {
    fn open_host<T: serde::de::DeserializeOwned>(
        &self,
        kind: Kind,
        name: &RowName,
        stored: Stored,
    ) -> Option<T> {
        let place = scanned_place(kind, AccountId::NONE, CollectionId::NONE, name);
        let content = stored.open(&self.host_rows, &place).ok()?;
        decode(&content)
    }

    pub(super) fn open_root(&self, name: &RowName, stored: Stored) -> Option<RootRow> {
        self.open_host(Kind::AuditRoot, name, stored)
    }

    pub(super) fn open_page(&self, name: &RowName, stored: Stored) -> Option<PageRow> {
        self.open_host(Kind::AuditPage, name, stored)
    }

    pub(super) fn open_device<T: serde::de::DeserializeOwned>(
        &self,
        name: &RowName,
        stored: Stored,
    ) -> Option<T> {
        self.open_host(Kind::Device, name, stored)
    }

    fn put_audit_root(&self, rows: &ChainRows, batch: &mut Batch, root: &RootRow) {
        let name = rows.root();
        batch.put(name, self.seal_host(Kind::AuditRoot, &name, &encode(root)));
    }
}
