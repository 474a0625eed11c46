//! How long what was deleted or overwritten is kept.
//!
//! Past versions of objects are cut by number in the commit that adds one, and by age once a day in
//! accounts that are open, since a history opens with its collection's key alone; the trash of
//! an account that nobody opens waits for its next unlock. Deleted collections need no key: their
//! roster rows say since when they are in the trash. `kept` bounds how much there is of it all.

use super::Vault;
use super::model::{Retention, VaultError};
use super::rows::{RosterRow, RosterState};
use crate::ids::{AccountId, CollectionId};
use crate::store::{Batch, StoreError};

impl Vault {
    /// How long what was deleted is kept.
    pub fn retention(&self) -> Retention {
        *self.retention.lock()
    }

    /// Sets how long what is deleted is kept, from now on.
    pub fn retain(&self, retention: Retention) {
        *self.retention.lock() = retention;
    }

    /// Whether the host has given a collection's rows up.
    pub(super) fn is_purged(
        &self,
        account: AccountId,
        collection: CollectionId,
    ) -> Result<bool, StoreError> {
        let of = |row: &RosterRow| row.account == account && row.collection == collection;
        if self.trashed.lock().iter().any(of) {
            return Ok(false);
        }
        // A damaged roster row says nothing; then the keys stay.
        let found = self.roster_of(account, collection)?;
        Ok(found.is_none_or(|row| row.is_some_and(|row| row.state == RosterState::Doomed)))
    }

    /// Takes collections out of the trash, all or none of them.
    pub(super) fn take_trashed(
        &self,
        account: AccountId,
        ids: &[CollectionId],
    ) -> Result<(), VaultError> {
        let mut trashed = self.trashed.lock();
        let of = |row: &RosterRow| row.account == account && ids.contains(&row.collection);
        if trashed.iter().filter(|row| of(row)).count() != ids.len() {
            return Err(VaultError::Missing);
        }
        trashed.retain(|row| !of(row));
        Ok(())
    }

    /// Dooms deleted collections that have been in the trash for long enough.
    ///
    /// # Errors
    /// The store's; they are tried again at the next start.
    pub fn doom_trashed(&self) -> Result<(), StoreError> {
        let ends = self.retention().ends(self.ambient.now());
        let mut trashed = self.trashed.lock();
        let due =
            |row: &RosterRow| matches!(row.state, RosterState::Trashed { since } if since < ends);
        if !trashed.iter().any(due) {
            return Ok(());
        }
        let (gone, kept): (Vec<_>, Vec<_>) = trashed.drain(..).partition(due);
        *trashed = kept;
        let mut batch = Batch::new();
        let doomed = |row: RosterRow| RosterRow {
            state: RosterState::Doomed,
            ..row
        };
        let gone: Vec<_> = gone.into_iter().map(doomed).collect();
        for row in &gone {
            self.put_roster(&mut batch, row);
        }
        let receipt = self.store.commit(batch);
        drop(trashed);
        receipt.wait()?;
        gone.into_iter().for_each(|row| self.doom(row));
        Ok(())
    }
}
