//! Past versions: kept when an object is overwritten or deleted, cut, restored, purged.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::kept::{Keep, Weight};
use super::super::model::{NewObject, Properties, Summary, VaultError, Version};
use super::super::rows::{Ended, Gone, HistoryRow, decode, encode, encode_properties};
use super::super::tree::State;
use super::super::unlock::live;
use super::objects::{check_room, check_uid};
use super::{Effect, Transaction};
use crate::ids::{CollectionId, ObjectId, Segment};
use crate::seal::{CHUNK_CONTENT_BYTES, Kind};
use crate::vault::Action;

impl Transaction {
    /// An object's history as this transaction leaves it.
    pub(super) fn history_row(
        &self,
        state: &State,
        object: ObjectId,
    ) -> Result<Option<HistoryRow>, VaultError> {
        let planned = self.effects.iter().rev().find_map(|effect| match effect {
            Effect::History(id, of, row) if *id == state.id && *of == object => Some(row),
            _ => None,
        });
        match planned {
            Some(row) => Ok(row.as_deref().cloned()),
            None => self.account.history_row(state, object),
        }
    }

    /// Keeps what is about to be replaced, or with `ended` removed; or removes its rows, when
    /// nothing is kept.
    pub(super) fn keep(
        &mut self,
        state: &State,
        old: &Summary,
        ended: Option<Ended>,
    ) -> Result<(), VaultError> {
        let retention = self.account.inner.vault.retention();
        if retention.is_off() {
            match ended {
                Some(_) => self.remove_rows(state, old),
                None => {
                    self.delete_chunks(state, Kind::Body, old.id, old.body_revision, old.size);
                }
            }
            return Ok(());
        }
        let row = self.history_row(state, old.id)?;
        let mut row = row.unwrap_or_else(|| HistoryRow::new(old.id));
        let version = Version::of(old, self.now, self.account.device());
        self.grown += Weight::of(&version);
        row.versions.insert(0, version);
        row.gone = ended.map(|ended| Gone {
            ended,
            properties_revision: old.properties_revision,
            properties_bytes: old.properties_bytes,
        });
        if ended.is_some() {
            self.grown += Weight::of_properties(old.properties_bytes);
        }
        self.cut(state, &mut row, Keep::of(retention, self.now));
        self.put_history(state, row);
        Ok(())
    }

    /// Removes versions that are too many or too old.
    fn cut(&mut self, state: &State, row: &mut HistoryRow, keep: Keep) {
        while let Some(oldest) = row.versions.last() {
            let large = encode(row).len() > CHUNK_CONTENT_BYTES;
            if !large && !keep.drops_oldest(row) {
                return;
            }
            let (revision, size) = (oldest.revision, oldest.size);
            self.grown += Weight::of(oldest).negative();
            self.delete_chunks(state, Kind::Body, row.id, revision, size);
            if row.versions.len() == 1 {
                self.drop_properties(state, row);
            }
            row.versions.pop();
            row.cut += 1;
        }
    }

    /// Removes the properties that a deleted object had.
    fn drop_properties(&mut self, state: &State, row: &HistoryRow) {
        if let Some(gone) = row.gone.filter(|gone| gone.properties_revision != 0) {
            let (revision, bytes) = (gone.properties_revision, gone.properties_bytes);
            self.delete_chunks(state, Kind::ObjectProperties, row.id, revision, bytes);
            self.grown += Weight::of_properties(bytes).negative();
        }
    }

    /// Writes a history; an empty one is deleted.
    pub(in crate::vault) fn put_history(&mut self, state: &State, row: HistoryRow) {
        let name = state.history_name(row.id);
        let object = row.id;
        let row = (!row.versions.is_empty()).then(|| Arc::new(row));
        match &row {
            None => self.batch.delete(name),
            Some(row) => {
                let epoch = state.current();
                let place = state.scanned_place(Kind::History, &name, epoch.number);
                let ambient = &self.account.inner.vault.ambient;
                let sealed = epoch.rows.seal_by(&place, &encode(&**row), ambient);
                self.batch.put(name, sealed);
            }
        }
        self.effects.push(Effect::History(state.id, object, row));
    }

    /// The roster rows of collections that an earlier program made do not name histories: before
    /// the first one is written they are written anew, or a purge would leave histories behind.
    pub(super) fn put_rosters(&mut self) {
        let inner = self.account.inner.clone();
        for effect in &self.effects {
            let (Effect::History(id, _, Some(_)) | Effect::Annals(id, _)) = effect else {
                continue;
            };
            let unlinked =
                |effect: &Effect| matches!(effect, Effect::Unlinked(other) if other == id);
            let Ok(state) = self.account.state(*id) else {
                continue;
            };
            if !self.effects.iter().any(unlinked) && !state.rostered.swap(true, Ordering::Relaxed) {
                let row = live(inner.id, *id, &state);
                inner.vault.put_roster(&mut self.batch, &row);
            }
        }
    }

    /// Gives an object the body of a past version again: a live one under its name, a deleted one
    /// under the name that it had, or under `name`. It keeps its id; what was live becomes a version.
    ///
    /// # Errors
    /// `Missing` when there is no such version (any more), `Exists` when another object or a
    /// collection has the name, `UidConflict`, `Denied` for a device with chosen calendars.
    pub fn restore_version(
        &mut self,
        id: CollectionId,
        object: ObjectId,
        version: u64,
        name: Option<Segment>,
    ) -> Result<Arc<Summary>, VaultError> {
        let state = self.account.state(id)?;
        self.account.whole()?;
        self.account.inner.vault.store.room()?;
        let row = self.history_row(&state, object)?;
        let row = row.ok_or(VaultError::Missing)?;
        let version = row.version(version).ok_or(VaultError::Missing)?.clone();
        let body = self.account.past_body(&state, object, &version)?;
        self.action.get_or_insert(Action::Restore);
        let there = self
            .account
            .with_index(id, |index| index.object(object).cloned())?;
        if there.is_none() && row.gone.is_some() {
            return self.restore_gone(&state, row, &version, &body, name);
        }
        let there = there.map(|there| there.segment.clone());
        let segment = name.or_else(|| there.clone()).ok_or(VaultError::Missing)?;
        if Some(&segment) != there.as_ref() && self.account.object(id, &segment)?.is_some() {
            return Err(VaultError::Exists);
        }
        let new = NewObject {
            parent: id,
            segment,
            body,
            content_type: version.content_type,
            calendar: version.calendar,
        };
        self.put(new).map(|(summary, _)| summary)
    }

    fn restore_gone(
        &mut self,
        state: &State,
        mut row: HistoryRow,
        version: &Version,
        body: &[u8],
        name: Option<Segment>,
    ) -> Result<Arc<Summary>, VaultError> {
        let (id, object) = (state.id, row.id);
        let was = row.versions.first().ok_or(VaultError::Missing)?;
        let (was, epoch) = (was.segment.clone(), was.epoch);
        let segment = name.unwrap_or_else(|| was.clone());
        let uid = version.calendar.as_ref().map(|facts| &*facts.uid);
        let (taken, tombstone) = self.account.with_index(id, |index| {
            check_room(index, &segment)?;
            let taken = check_uid(index, uid, &segment)?.is_some();
            let buried = index.gone.get(&was).filter(|grave| grave.id == object);
            Ok::<_, VaultError>((taken, buried.is_some()))
        })??;
        let inner = self.account.inner.clone();
        if taken || inner.tree.read().child(id, &segment).is_some() {
            return Err(VaultError::Exists);
        }
        if tombstone && segment != was {
            // Its tombstone has its id, and so the name of the row that the object is about to take.
            let gone = self.next(id)?;
            let grave = state.new_id(gone, &inner.vault.ambient);
            self.bury(state, grave, was, gone)?;
        }
        let properties = self.past_properties(state, &row, epoch)?;
        self.drop_properties(state, &row);
        row.gone = None;
        let revision = self.next(id)?;
        let current = state.current().number;
        let (mut properties_revision, mut properties_bytes) = (0, 0);
        if !properties.is_empty() {
            let content = encode_properties(&properties);
            (properties_revision, properties_bytes) = (revision, content.len() as u64);
            let kind = Kind::ObjectProperties;
            self.put_chunks(state, kind, object, current, revision, &content);
        }
        self.put_history(state, row);
        let summary = Summary {
            id: object,
            segment,
            revision,
            body_revision: revision,
            properties_revision,
            properties_bytes,
            epoch: current,
            etag: version.etag,
            size: version.size,
            content_type: version.content_type.clone().into(),
            created: version.created,
            modified: self.now,
            changed: self.now,
            device: self.account.device(),
            calendar: version.calendar.clone(),
        };
        self.put_summary(state, summary, Some(body), None)
    }

    /// The properties that a deleted object had; none when they do not open: the object is worth more.
    fn past_properties(
        &self,
        state: &State,
        row: &HistoryRow,
        epoch: u32,
    ) -> Result<Properties, VaultError> {
        let Some(gone) = row.gone.filter(|gone| gone.properties_revision != 0) else {
            return Ok(Properties::new());
        };
        self.account.barrier().wait()?;
        let (revision, bytes) = (gone.properties_revision, gone.properties_bytes);
        let (vault, object) = (&self.account.inner.vault, Some(row.id));
        let kind = Kind::ObjectProperties;
        let read = vault.read_chunks(state, kind, object, epoch, revision, bytes);
        let content = match read {
            Ok(content) => content,
            Err(VaultError::Damaged(_)) => None,
            Err(error) => return Err(error),
        };
        let properties = content.and_then(|content| decode(&content));
        if properties.is_none() {
            tracing::error!(collection = %state.id, object = %row.id,
                "a deleted object's properties do not open; it is restored without them");
        }
        Ok(properties.unwrap_or_default())
    }

    /// Removes the past versions of an object for good: all of a deleted one.
    ///
    /// # Errors
    /// `Missing` when there are none, `Denied` for a device with chosen calendars.
    pub fn purge_history(&mut self, id: CollectionId, object: ObjectId) -> Result<(), VaultError> {
        let state = self.account.state(id)?;
        self.account.whole()?;
        let row = self.history_row(&state, object)?;
        let mut row = row.ok_or(VaultError::Missing)?;
        self.cut(&state, &mut row, Keep::NOTHING);
        self.put_history(&state, row);
        self.purged.insert(id);
        Ok(())
    }

    /// Removes what is too old from a history, or too many.
    pub(in crate::vault) fn cut_history(
        &mut self,
        state: &State,
        object: ObjectId,
        keep: Keep,
    ) -> Result<(), VaultError> {
        let Some(mut row) = self.history_row(state, object)? else {
            return Ok(());
        };
        let before = row.versions.len();
        self.cut(state, &mut row, keep);
        if row.versions.len() != before {
            self.put_history(state, row);
        }
        Ok(())
    }
}
