//! The past versions of objects: what was overwritten or deleted stays, sealed, for a while.
//!
//! The rows of a body carry its revision in their names, so an overwritten body simply stays where
//! it is; one row for each object (`HistoryRow`, under the collection's key) tells which versions
//! there are. It is found by the object's id, or by a scan over the histories of a collection,
//! which is how deleted objects are listed: so they block no name and no UID, and nothing about
//! them hangs on tombstones.
//!
//! A history that does not open costs that object's history and nothing else: requests go on.
//! Reading needs a handle on the whole account.

use std::sync::Arc;

use super::model::{Summary, VaultError, Version};
use super::read::AccountStore;
use super::rows::{Ended, HistoryRow, decode};
use super::tree::State;
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, ObjectId, SlotId};
use crate::limits;
use crate::seal::{Kind, RowName, Stored};

/// A deleted object that can be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrashedObject {
    /// The collection that it was in.
    pub collection: CollectionId,
    /// Its id.
    pub object: ObjectId,
    /// Whether it lives on in another collection, into which it was moved.
    pub moved: bool,
    /// Its last version.
    pub last: Version,
    /// How many versions there are.
    pub versions: usize,
}

/// One content whose rows a history holds, for whoever must reach all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeptContent {
    pub kind: Kind,
    pub object: ObjectId,
    pub epoch: u32,
    pub revision: u64,
    pub bytes: u64,
}

impl HistoryRow {
    pub(super) fn new(id: ObjectId) -> Self {
        HistoryRow {
            id,
            gone: None,
            cut: 0,
            versions: Vec::new(),
        }
    }

    /// The version of this number.
    pub(super) fn version(&self, revision: u64) -> Option<&Version> {
        let mut versions = self.versions.iter();
        versions.find(|version| version.revision == revision)
    }

    /// All contents whose rows it holds.
    pub(super) fn kept(&self) -> impl Iterator<Item = KeptContent> {
        let bodies = self.versions.iter().map(|version| KeptContent {
            kind: Kind::Body,
            object: self.id,
            epoch: version.epoch,
            revision: version.revision,
            bytes: version.size,
        });
        let properties = self.gone.filter(|gone| gone.properties_revision != 0);
        let properties = properties.zip(self.versions.first());
        let properties = properties.map(|(gone, newest)| KeptContent {
            kind: Kind::ObjectProperties,
            object: self.id,
            epoch: newest.epoch,
            revision: gone.properties_revision,
            bytes: gone.properties_bytes,
        });
        bodies.chain(properties)
    }
}

impl Version {
    /// What `old` is when it is replaced or deleted.
    pub(super) fn of(old: &Summary, replaced: UnixMillis, by: SlotId) -> Self {
        Version {
            revision: old.body_revision,
            epoch: old.epoch,
            etag: old.etag,
            size: old.size,
            content_type: old.content_type.as_str().to_owned(),
            segment: old.segment.clone(),
            calendar: old.calendar.clone(),
            created: old.created,
            modified: old.modified,
            device: author(old),
            replaced,
            by,
        }
    }
}

/// The device that stored the body, unless something else changed later.
pub(super) fn author(object: &Summary) -> SlotId {
    match object.changed == object.modified {
        true => object.device,
        false => SlotId::NONE,
    }
}

impl State {
    pub(super) fn history_name(&self, object: ObjectId) -> RowName {
        self.names.row(Kind::History, object.bytes(), 0, 0)
    }

    /// Opens a history; none, and an error in the log, when it does not.
    fn open_history(&self, name: &RowName, stored: &Stored) -> Option<HistoryRow> {
        let opened = self.epochs.iter().rev().find_map(|epoch| {
            let place = self.scanned_place(Kind::History, name, epoch.number);
            stored.clone().open(&epoch.rows, &place).ok()
        });
        let row = opened.and_then(|content| decode::<HistoryRow>(&content));
        let row = row.filter(|row| self.history_name(row.id) == *name);
        if row.is_none() {
            tracing::error!(account = %self.account, collection = %self.id, row = name.short(),
                "an object's history is damaged; its past versions cannot be restored");
        }
        row
    }
}

impl AccountStore {
    /// The history of an object, as the last commit enqueued left it; none when there is none or
    /// it is damaged.
    pub(super) fn history_row(
        &self,
        state: &State,
        object: ObjectId,
    ) -> Result<Option<HistoryRow>, VaultError> {
        if let Some((_, row)) = state.recent.lock().get(&object) {
            return Ok(row.as_deref().cloned());
        }
        let name = state.history_name(object);
        let stored = self.inner.vault.store.get(&name)?;
        Ok(stored.and_then(|stored| state.open_history(&name, &stored)))
    }

    /// Shows `each` all histories of a collection that open. What is committed meanwhile may be
    /// missed or seen.
    pub(super) fn each_history(
        &self,
        state: &State,
        mut each: impl FnMut(HistoryRow),
    ) -> Result<(), VaultError> {
        self.barrier().wait()?;
        let vault = &self.inner.vault;
        for row in vault.store.scan(&state.names.prefix(Kind::History)) {
            let (name, stored) = row?;
            if name == state.annals_name() {
                continue;
            }
            if let Some(row) = state.open_history(&name, &stored) {
                each(row);
            }
        }
        Ok(())
    }

    /// The past versions of an object, newest first.
    ///
    /// # Errors
    /// `Missing` without the collection, `Denied` for a device with chosen calendars.
    pub fn history(&self, id: CollectionId, object: ObjectId) -> Result<Vec<Version>, VaultError> {
        let state = self.state(id)?;
        self.whole()?;
        self.barrier().wait()?;
        let row = self.history_row(&state, object)?;
        Ok(row.map_or_else(Vec::new, |row| row.versions))
    }

    /// The body of a past version, byte for byte.
    ///
    /// # Errors
    /// `Missing` when there is no such version (any more), `Damaged`, `Denied` as `history`.
    pub fn version_body(
        &self,
        id: CollectionId,
        object: ObjectId,
        version: u64,
    ) -> Result<Vec<u8>, VaultError> {
        let state = self.state(id)?;
        self.whole()?;
        self.note_read(id);
        let row = self.history_row(&state, object)?;
        let row = row.ok_or(VaultError::Missing)?;
        let version = row.version(version).ok_or(VaultError::Missing)?;
        self.past_body(&state, object, version)
    }

    /// Reads the body of a version, which a commit may have enqueued and not applied yet.
    pub(super) fn past_body(
        &self,
        state: &State,
        object: ObjectId,
        version: &Version,
    ) -> Result<Vec<u8>, VaultError> {
        let read = || {
            let (epoch, revision) = (version.epoch, version.revision);
            let vault = &self.inner.vault;
            vault.read_chunks(
                state,
                Kind::Body,
                Some(object),
                epoch,
                revision,
                version.size,
            )
        };
        if let Some(mut body) = read()? {
            return Ok(std::mem::take(&mut *body));
        }
        self.barrier().wait()?;
        let body = read()?.map(|mut body| std::mem::take(&mut *body));
        body.ok_or_else(|| VaultError::Damaged(format!("object {object}")))
    }

    /// The deleted objects of all collections, the newest first, at most `TRASH_LISTED`.
    ///
    /// # Errors
    /// `Denied` for a device with chosen calendars; `Store`.
    pub fn trashed_objects(&self) -> Result<Vec<TrashedObject>, VaultError> {
        self.whole()?;
        let mut found = Vec::new();
        for state in self.states() {
            self.each_history(&state, |row| {
                let (Some(gone), Some(last)) = (row.gone, row.versions.first()) else {
                    return;
                };
                found.push(TrashedObject {
                    collection: state.id,
                    object: row.id,
                    moved: gone.ended == Ended::Moved,
                    last: last.clone(),
                    versions: row.versions.len(),
                });
                if found.len() >= 2 * limits::TRASH_LISTED {
                    newest(&mut found);
                }
            })?;
        }
        newest(&mut found);
        Ok(found)
    }

    /// The keys of all collections that are not deleted.
    pub(super) fn states(&self) -> Vec<Arc<State>> {
        let tree = self.inner.tree.read();
        let entries = tree.entries.values();
        entries.map(|entry| entry.state.clone()).collect()
    }
}

fn newest(found: &mut Vec<TrashedObject>) {
    found.sort_by_key(|trashed| (std::cmp::Reverse(trashed.last.replaced), trashed.object));
    found.truncate(limits::TRASH_LISTED);
}
