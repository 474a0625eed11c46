//! Deleted collections that can be restored, and how long everything deleted is kept.
//!
//! A deleted collection's link, with its keys, moves into a row of kind `TrashedLink`, sealed under
//! the account's key, and its roster row says since when it is in the trash. So the host can doom
//! and purge it after the configured days although it cannot open it; the row with the keys is
//! dropped when the account is next open whole. `Vault::trashed` holds the roster rows of all
//! trash: who takes a row out of it, restores or dooms the collection, and nobody else does.
//!
//! `retention` has what the host does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Action;
use super::kept::TrashFigures;
use super::model::{Collection, CollectionKind, Retention, VaultError};
use super::read::AccountStore;
use super::rows::{TrashedRow, decode};
use super::tree::{Entry, Tree, scanned_place};
use super::unlock::Inner;
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, Segment, SlotId};
use crate::limits;
use crate::seal::{Kind, RowName, Stored};
use crate::store::Batch;

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
    pub(super) fn trashed_name(&self, id: CollectionId) -> Result<RowName, VaultError> {
        Ok(self.keys()?.names.row(Kind::TrashedLink, id.bytes(), 0, 0))
    }

    pub(super) fn open_trashed(
        &self,
        name: &RowName,
        stored: Stored,
    ) -> Result<TrashedRow, VaultError> {
        let place = scanned_place(Kind::TrashedLink, self.id, CollectionId::NONE, name);
        let content = stored.open(&self.keys()?.rows, &place).ok();
        let row = content.and_then(|content| decode::<TrashedRow>(&content));
        row.ok_or_else(|| VaultError::Damaged(name.short()))
    }

    /// When the account is opened: the list of deleted collections. The keys of those that were
    /// purged meanwhile are dropped.
    pub(super) fn load_trashed(
        &self,
        tree: &mut Tree,
        batch: &mut Batch,
    ) -> Result<(), VaultError> {
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
    /// A deleted collection, as it was deleted.
    ///
    /// # Errors
    /// `Missing` when it is not in the trash (any more), `Damaged` when its keys or its head do not
    /// open.
    pub(super) fn trashed_entry(&self, id: CollectionId) -> Result<Entry, VaultError> {
        self.barrier().wait()?;
        let name = self.inner.trashed_name(id)?;
        let stored = self.inner.vault.store.get(&name)?;
        let row = self
            .inner
            .open_trashed(&name, stored.ok_or(VaultError::Missing)?)?;
        self.inner.vault.load_collection(self.inner.id, &row.link)
    }

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

    /// What the trash holds, counted now: past versions, deleted objects, and all deleted collections
    /// but the last.
    ///
    /// # Errors
    /// `Denied` for a device with chosen calendars; `Store`.
    pub fn trash_figures(&self) -> Result<TrashFigures, VaultError> {
        self.whole()?;
        self.figures()
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

    /// Removes all past versions of a live collection's objects, and its deleted objects, for good;
    /// `done` counts them meanwhile.
    ///
    /// # Errors
    /// `Missing` without the collection, `Denied` as `restore_collection`.
    pub fn purge_histories(&self, id: CollectionId, done: &AtomicU64) -> Result<usize, VaultError> {
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
                done.fetch_add(1, Ordering::Relaxed);
            }
            self.barrier().wait()?;
        }
        self.write(|tx| tx.cut_annals(&state, Retention::NOTHING))?;
        Ok(found.len())
    }
}
