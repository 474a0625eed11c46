//! How long what was deleted or overwritten is kept.
//!
//! Past versions of objects are cut by number in the commit that adds one, and by age once a day in
//! accounts that are open whole, since a history opens with its collection's key alone; the trash of
//! an account that nobody opens waits for its next unlock. Deleted collections need no key: their
//! roster rows say since when they are in the trash.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Vault;
use super::model::{Retention, VaultError};
use super::read::AccountStore;
use super::rows::{RosterRow, RosterState};
use crate::ambient::UnixMillis;
use crate::ids::{AccountId, CollectionId, ObjectId, SlotId};
use crate::limits;
use crate::seal::Terms;
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

    /// Once a day, and soon after it was opened: cuts by age what the histories of each account
    /// hold that is open whole. What fails is logged, and tried again the next day.
    pub fn cut_histories(self: &Arc<Self>) {
        let today = self.ambient.now().0.div_euclid(86_400_000);
        let held: Vec<_> = self.registry.lock().values().cloned().collect();
        for inner in held.iter().filter_map(std::sync::Weak::upgrade) {
            let dead = inner.dead.load(Ordering::Acquire);
            if dead || inner.keys.is_none() || inner.cut_on.swap(today, Ordering::Relaxed) == today
            {
                continue;
            }
            let id = inner.id;
            let account = AccountStore::new(inner, SlotId::NONE, Terms::default(), None);
            match account.cut_histories(self.retention()) {
                Ok(()) | Err(VaultError::Locked) => {}
                Err(error) => {
                    tracing::error!(account = %id, ?error, "old versions of an account's objects could not be removed");
                }
            }
        }
    }
}

impl AccountStore {
    /// Removes what is older than `retention` says from the histories of all collections, and the
    /// keys of deleted collections that are purged.
    fn cut_histories(&self, retention: Retention) -> Result<(), VaultError> {
        let ends = retention.ends(self.inner.vault.ambient.now());
        for state in self.states() {
            let mut due: Vec<ObjectId> = Vec::new();
            let mut gone: Vec<(UnixMillis, ObjectId)> = Vec::new();
            self.each_history(&state, |row| {
                let Some(oldest) = row.versions.last() else {
                    return;
                };
                let many = row.versions.len() > retention.versions as usize;
                if many || retention.is_off() || oldest.replaced < ends {
                    due.push(row.id);
                } else if row.gone.is_some() {
                    gone.push((row.versions[0].replaced, row.id));
                }
            })?;
            let excess = gone.len().saturating_sub(limits::TRASHED_OBJECTS);
            gone.sort_unstable();
            let excess = gone
                .iter()
                .take(excess)
                .map(|(_, id)| (*id, Retention::NOTHING));
            let due: Vec<_> = due
                .into_iter()
                .map(|id| (id, retention))
                .chain(excess)
                .collect();
            for step in due.chunks(limits::HISTORY_STEP) {
                for (object, retention) in step {
                    // Not once it was deleted itself, or is no longer ours to write.
                    self.state(state.id)?;
                    self.write(|tx| tx.cut_history(&state, *object, *retention))?;
                }
                self.barrier().wait()?;
            }
        }
        let listed = self.inner.tree.read().trashed.clone();
        for one in listed {
            if self.inner.vault.is_purged(self.inner.id, one.id)? {
                self.write(|tx| tx.forget_trashed(one.id))?;
            }
        }
        Ok(())
    }
}
