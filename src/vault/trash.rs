//! Deleted collections that can be restored, and how long everything deleted is kept.
//!
//! A deleted collection's link, with its keys, moves into a row of kind `TrashedLink`, sealed under
//! the account's key, and its roster row says since when it is in the trash. So the host can doom
//! and purge it after the configured days although it cannot open it; the row with the keys is
//! dropped when the account is next open whole. `Vault::trashed` holds the roster rows of all
//! trash: who takes a row out of it, restores or dooms the collection, and nobody else does.
//!
//! Past versions of objects are cut by number in the commit that adds one, and by age in accounts
//! that are open whole (`Vault::cut_histories`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::history::TrashedObject;
use super::model::{Collection, CollectionKind, Retention, VaultError};
use super::read::AccountStore;
use super::rows::{RosterRow, RosterState, TrashedRow, decode};
use super::tree::{Tree, scanned_place};
use super::unlock::Inner;
use super::{Action, Vault};
use crate::ambient::UnixMillis;
use crate::ids::{AccountId, CollectionId, ObjectId, Segment, SlotId};
use crate::limits;
use crate::seal::{Kind, RowName, Stored, Terms};
use crate::store::{Batch, StoreError};

/// A deleted collection that can be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trashed {
    /// Its id.
    pub id: CollectionId,
    /// The collection whose deletion took it along; its own id when it was itself deleted.
    pub root: CollectionId,
    /// Its path below the home when it was deleted.
    pub path: Vec<Segment>,
    /// What it is for.
    pub kind: CollectionKind,
    /// Objects in it.
    pub objects: u64,
    /// When it was deleted.
    pub since: UnixMillis,
    /// The device that deleted it.
    pub by: SlotId,
}

impl Trashed {
    pub(super) fn of(row: &TrashedRow) -> Self {
        Trashed {
            id: row.link.id,
            root: row.root,
            path: row.path.clone(),
            kind: row.link.kind,
            objects: row.head.objects,
            since: row.since,
            by: row.by,
        }
    }
}

impl Inner {
    pub fn trashed_name(&self, id: CollectionId) -> Result<RowName, VaultError> {
        Ok(self.keys()?.names.row(Kind::TrashedLink, id.bytes(), 0, 0))
    }

    pub fn open_trashed(&self, name: &RowName, stored: Stored) -> Result<TrashedRow, VaultError> {
        let place = scanned_place(Kind::TrashedLink, self.id, CollectionId::NONE, name);
        let content = stored.open(&self.keys()?.rows, &place).ok();
        let row = content.and_then(|content| decode::<TrashedRow>(&content));
        row.ok_or_else(|| VaultError::Damaged(name.short()))
    }

    /// When the account is opened: the list of deleted collections. The keys of those that were
    /// purged meanwhile are dropped.
    pub fn load_trashed(&self, tree: &mut Tree, batch: &mut Batch) -> Result<(), VaultError> {
        let keys = self.keys()?;
        for row in self.vault.store.scan(&keys.names.prefix(Kind::TrashedLink)) {
            let (name, stored) = row?;
            match self.open_trashed(&name, stored) {
                Ok(row) if self.vault.is_purged(self.id, row.link.id)? => batch.delete(name),
                Ok(row) => tree.trashed.push(Arc::new(Trashed::of(&row))),
                Err(VaultError::Damaged(row)) => {
                    tracing::error!(account = %self.id, row,
                        "a deleted collection's key row is damaged; it cannot be restored");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl AccountStore {
    /// The deleted collections that can be restored, those that went with another one too; the
    /// newest first.
    ///
    /// # Errors
    /// `Denied` for a device with chosen calendars.
    pub fn trashed_collections(&self) -> Result<Vec<Arc<Trashed>>, VaultError> {
        self.whole()?;
        let listed = self.inner.tree.read().trashed.clone();
        let held = self.inner.vault.trashed.lock();
        let is_held = |id: CollectionId| {
            let mut rows = held.iter();
            rows.any(|row| row.account == self.inner.id && row.collection == id)
        };
        let mut found: Vec<_> = listed.into_iter().filter(|one| is_held(one.id)).collect();
        drop(held);
        found.sort_by_key(|one| (std::cmp::Reverse(one.since), one.path.clone()));
        Ok(found)
    }

    /// Restores a deleted collection with all that was deleted with it: where it was, or in the
    /// home when that is gone too; under its name, or `name`, or where that is taken one with a
    /// number (`work-2`). Its content and its sync-tokens are as they were.
    ///
    /// # Errors
    /// `Missing` when it is not in the trash (any more), `Limit`, `Damaged` when its keys or its
    /// head do not open, `Denied` for a device with chosen calendars or that may only read.
    pub fn restore_collection(
        &self,
        id: CollectionId,
        name: Option<Segment>,
    ) -> Result<Arc<Collection>, VaultError> {
        self.restore_trashed(id, name, Action::Restore)
    }

    pub(super) fn restore_trashed(
        &self,
        id: CollectionId,
        name: Option<Segment>,
        action: Action,
    ) -> Result<Arc<Collection>, VaultError> {
        self.whole()?;
        // Its rows may have been enqueued and not applied yet.
        self.barrier().wait()?;
        self.write(|tx| {
            let restored = tx.restore_collection(id, name, action)?;
            // Last: what is taken here is restored.
            let vault = &self.inner.vault;
            vault.take_trashed(self.inner.id, &tx.untrashed())?;
            Ok(restored)
        })
    }

    /// Removes a deleted collection, with all that was deleted with it, for good.
    ///
    /// # Errors
    /// `Missing` when it is not in the trash (any more), `Denied` as `restore_collection`.
    pub fn purge_collection(&self, id: CollectionId) -> Result<(), VaultError> {
        self.whole()?;
        self.write(|tx| {
            tx.purge_trashed(id)?;
            let vault = &self.inner.vault;
            vault.take_trashed(self.inner.id, &tx.untrashed())
        })
    }

    /// Removes all past versions of a live collection's objects, and its deleted objects, for good.
    ///
    /// # Errors
    /// `Missing` without the collection, `Denied` as `restore_collection`.
    pub fn purge_histories(&self, id: CollectionId) -> Result<usize, VaultError> {
        let state = self.state(id)?;
        self.whole()?;
        let mut found = Vec::new();
        self.each_history(&state, |row| found.push(row.id))?;
        for objects in found.chunks(limits::HISTORY_STEP) {
            for object in objects {
                match self.write(|tx| tx.purge_history(id, *object)) {
                    Ok(()) | Err(VaultError::Missing) => {}
                    Err(error) => return Err(error),
                }
            }
            self.barrier().wait()?;
        }
        Ok(found.len())
    }

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
    fn is_purged(&self, account: AccountId, collection: CollectionId) -> Result<bool, StoreError> {
        let of = |row: &RosterRow| row.account == account && row.collection == collection;
        if self.trashed.lock().iter().any(of) {
            return Ok(false);
        }
        // A damaged roster row says nothing; then the keys stay.
        let found = self.roster_of(account, collection)?;
        Ok(found.is_none_or(|row| row.is_some_and(|row| row.state == RosterState::Doomed)))
    }

    /// Takes collections out of the trash, all or none of them.
    fn take_trashed(&self, account: AccountId, ids: &[CollectionId]) -> Result<(), VaultError> {
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

impl TrashedObject {
    /// The name that it had.
    pub fn name(&self) -> &Segment {
        &self.last.segment
    }
}
