//! Housekeeping that moves no plaintext: the roster of which rows belong to what, and the purge
//! of rows whose collection is gone.

use std::sync::atomic::Ordering;

use super::Vault;
use super::rows::{RosterRow, RosterState, decode, encode};
use super::tree::scanned_place;
use crate::ids::{AccountId, CollectionId};
use crate::limits;
use crate::seal::{Kind, RowName, RowPrefix, Stored};
use crate::store::{Batch, StoreError};

/// Those of `prefixes` that are not in `kept`.
pub(super) fn without(prefixes: &[[u8; 16]], kept: &[[u8; 16]]) -> Vec<[u8; 16]> {
    let gone = prefixes.iter().filter(|prefix| !kept.contains(prefix));
    gone.copied().collect()
}

impl Vault {
    pub(super) fn roster_name(&self, account: AccountId, collection: CollectionId) -> RowName {
        // Account and collection together name the row: the account's own row has no collection.
        let mut both = [0; 32];
        both[..16].copy_from_slice(account.bytes());
        both[16..].copy_from_slice(collection.bytes());
        let hash = *blake3::hash(&both).as_bytes();
        self.host_names
            .row(Kind::Roster, hash[..16].try_into().expect("16 bytes"), 0, 0)
    }

    /// Removes a roster row.
    pub(super) fn drop_roster(&self, batch: &mut Batch, row: &RosterRow) {
        batch.delete(self.roster_name(row.account, row.collection));
    }

    pub(super) fn put_roster(&self, batch: &mut Batch, row: &RosterRow) {
        let name = self.roster_name(row.account, row.collection);
        batch.put(name, self.seal_host(Kind::Roster, &name, &encode(row)));
    }

    /// All roster rows.
    pub(super) fn roster(&self) -> Result<Vec<(RowName, RosterRow)>, StoreError> {
        let mut rows = Vec::new();
        for row in self.store.scan(&self.host_names.prefix(Kind::Roster)) {
            let (name, stored) = row?;
            match self.open_roster(&name, stored) {
                Some(row) => rows.push((name, row)),
                None => tracing::error!(
                    row = name.short(),
                    "a roster row is damaged; what it lists is never purged"
                ),
            }
        }
        Ok(rows)
    }

    /// The roster row of a collection: none when there is none, none within when it is damaged.
    pub(super) fn roster_of(
        &self,
        account: AccountId,
        collection: CollectionId,
    ) -> Result<Option<Option<RosterRow>>, StoreError> {
        let name = self.roster_name(account, collection);
        let stored = self.store.get(&name)?;
        Ok(stored.map(|stored| self.open_roster(&name, stored)))
    }

    fn open_roster(&self, name: &RowName, stored: Stored) -> Option<RosterRow> {
        let place = scanned_place(Kind::Roster, AccountId::NONE, CollectionId::NONE, name);
        let content = stored.open(&self.host_rows, &place).ok();
        content.and_then(|content| decode(&content))
    }

    /// At the start: what was being written or deleted when the server stopped is purged, and so
    /// is what belongs to no account; but while a row of the directory is damaged (or of a later
    /// version), an account that seems to be gone may be that one, and keeps its rows.
    pub(super) fn load_roster(&self) -> Result<(), StoreError> {
        let whole = !self.directory_damaged.load(Ordering::Relaxed);
        for (_, row) in self.roster()? {
            let gone = whole && self.account(row.account).is_none();
            match row.state {
                RosterState::Live if !gone => {}
                RosterState::Trashed { .. } if !gone => self.trashed.lock().push(row),
                RosterState::Rekeyed { generation }
                    if !gone && self.is_rekeyed(row.account, generation) =>
                {
                    self.rekeyed.lock().insert(row.account, row);
                }
                _ => self.purges.lock().push(row),
            }
        }
        Ok(())
    }

    /// Queues the rows of a collection that is no longer linked.
    pub(super) fn doom(&self, row: RosterRow) {
        self.purges.lock().push(row);
    }

    /// Removes some rows of what is to be purged; false when nothing is left to do. What cannot be
    /// purged is put behind all else, and its roster row stays for the next start.
    ///
    /// # Errors
    /// Why it could not; the next call goes on with the others.
    pub fn purge_step(&self) -> Result<bool, StoreError> {
        self.purge_next(|row| self.purge_some(row))
    }

    /// The same by `purge`, which is given the roster row of what comes next.
    pub(super) fn purge_next(
        &self,
        purge: impl FnOnce(&RosterRow) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let discarded = std::mem::take(&mut *self.discarded.lock());
        // Freed with no lock held.
        drop(discarded);
        let Some(row) = self.purges.lock().last().cloned() else {
            return Ok(false);
        };
        purge(&row).map(|()| true).inspect_err(|_| {
            let mut purges = self.purges.lock();
            purges.retain(|other| *other != row);
            purges.insert(0, row.clone());
        })
    }

    pub(super) fn purge_some(&self, row: &RosterRow) -> Result<(), StoreError> {
        // Rows that were enqueued and not applied yet would be missed, and then never be purged.
        self.store.barrier().wait()?;
        let mut batch = Batch::new();
        let mut left = limits::PURGE_ROWS;
        for prefix in &row.prefixes {
            for name in self.store.names(&RowPrefix::read(*prefix)).take(left) {
                batch.delete(name?);
                left -= 1;
            }
        }
        let finished = left > 0;
        if finished {
            batch.delete(self.roster_name(row.account, row.collection));
        }
        self.store.commit(batch).wait()?;
        if finished {
            self.purges.lock().retain(|other| other != row);
        }
        Ok(())
    }
}
