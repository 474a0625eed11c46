//! Objects: stored, deleted, moved, copied.

use std::sync::Arc;

use super::super::chunks::chunks;
use super::super::index::{Index, IndexEffect};
use super::super::model::{Destination, Etag, NewObject, Properties, Summary, VaultError};
use super::super::rows::{
    Ended, SummaryRow, Tombstone, digest_add, digest_sub, encode, encode_properties,
};
use super::super::tree::State;
use super::{Effect, Transaction};
use crate::ids::{CollectionId, ObjectId, Segment};
use crate::limits;
use crate::seal::{CHUNK_CONTENT_BYTES, Kind};

impl Transaction {
    /// Stores an object, new or over an existing one of that name. Gives its summary and whether
    /// it is new.
    ///
    /// # Errors
    /// `Missing` without the collection, `Exists` when a collection has the name, `UidConflict`,
    /// `Limit`, `Store` when the disk is full.
    pub fn put(&mut self, new: NewObject) -> Result<(Arc<Summary>, bool), VaultError> {
        self.account.inner.vault.store.room()?;
        let state = self.account.state(new.parent)?;
        let old = self.account.with_index(new.parent, |index| {
            check_room(index, &new.segment)?;
            check_uid(
                index,
                new.calendar.as_ref().map(|facts| &*facts.uid),
                &new.segment,
            )
        })??;
        if self
            .account
            .inner
            .tree
            .read()
            .child(new.parent, &new.segment)
            .is_some()
        {
            return Err(VaultError::Exists);
        }
        let revision = self.next(new.parent)?;
        let summary = Summary {
            id: old.as_ref().map_or_else(
                || state.new_id(revision, &self.account.inner.vault.ambient),
                |old| old.id,
            ),
            segment: new.segment,
            revision,
            body_revision: revision,
            properties_revision: old.as_ref().map_or(0, |old| old.properties_revision),
            properties_bytes: old.as_ref().map_or(0, |old| old.properties_bytes),
            epoch: old
                .as_ref()
                .filter(|old| old.properties_revision != 0)
                .map_or(state.current().number, |old| old.epoch),
            etag: Etag([0; 16]),
            size: new.body.len() as u64,
            content_type: new.content_type.into(),
            created: old.as_ref().map_or(self.now, |old| old.created),
            modified: self.now,
            changed: self.now,
            device: self.account.device(),
            calendar: new.calendar,
        };
        let summary = self.put_summary(&state, summary, Some(&new.body), old.as_deref())?;
        Ok((summary, old.is_none()))
    }

    /// Writes a summary with, when given, its body; `old` is what it replaces.
    pub(super) fn put_summary(
        &mut self,
        state: &State,
        mut summary: Summary,
        body: Option<&[u8]>,
        old: Option<&Summary>,
    ) -> Result<Arc<Summary>, VaultError> {
        if let Some(body) = body {
            summary.etag = Etag(state.etags.etag(summary.id, summary.body_revision, body));
            self.put_chunks(
                state,
                Kind::Body,
                summary.id,
                summary.epoch,
                summary.body_revision,
                body,
            );
        }
        let mut digest = self.head(state.id)?.digest;
        if let Some(old) = old {
            digest_sub(&mut digest, &state.etags.digest(old.id, old.revision));
            if old.body_revision != summary.body_revision {
                let again = |body| state.etags.etag(old.id, old.body_revision, body);
                match body.is_some_and(|body| Etag(again(body)) == old.etag) {
                    // The same bytes again are no version.
                    true => {
                        self.delete_chunks(state, Kind::Body, old.id, old.body_revision, old.size);
                    }
                    false => self.keep(state, old, None)?,
                }
            }
        }
        digest_add(
            &mut digest,
            &state.etags.digest(summary.id, summary.revision),
        );
        let head = self.head(state.id)?;
        head.digest = digest;
        head.objects += u64::from(old.is_none());
        if old.is_none_or(|old| old.segment != summary.segment) {
            self.forget_tombstone(state, &summary.segment)?;
        }
        self.seal_summary(state, &SummaryRow::Live(summary.clone()));
        let summary = Arc::new(summary);
        self.effects
            .push(Effect::Index(state.id, IndexEffect::Live(summary.clone())));
        Ok(summary)
    }

    /// A name that is used again needs no tombstone: a sync reports the new member under it.
    pub(super) fn forget_tombstone(
        &mut self,
        state: &State,
        segment: &Segment,
    ) -> Result<(), VaultError> {
        if let Some(tombstone) = self
            .account
            .with_index(state.id, |index| index.gone.get(segment).cloned())?
        {
            self.drop_tombstone(state, tombstone)?;
        }
        Ok(())
    }

    pub(super) fn drop_tombstone(
        &mut self,
        state: &State,
        tombstone: Arc<Tombstone>,
    ) -> Result<(), VaultError> {
        // A rename may drop the oldest one to make room and find it under the new name again;
        // taken out of the digest twice, it would make the whole collection look damaged.
        let dropped = |effect: &Effect| {
            matches!(effect, Effect::Index(id, IndexEffect::Forget(other))
                if *id == state.id && other.id == tombstone.id)
        };
        if self.effects.iter().any(dropped) {
            return Ok(());
        }
        let head = self.head(state.id)?;
        digest_sub(
            &mut head.digest,
            &state.etags.digest(tombstone.id, tombstone.revision),
        );
        // Its row may be the one that a new summary of the same object id takes; a put after this
        // delete in the same batch wins.
        self.batch
            .delete(state.names.row(Kind::Summary, tombstone.id.bytes(), 0, 0));
        self.effects
            .push(Effect::Index(state.id, IndexEffect::Forget(tombstone)));
        Ok(())
    }

    pub(in crate::vault) fn seal_summary(&mut self, state: &State, row: &SummaryRow) {
        let name = state.names.row(Kind::Summary, row.id().bytes(), 0, 0);
        let epoch = state.current();
        let place = state.scanned_place(Kind::Summary, &name, epoch.number);
        let ambient = &self.account.inner.vault.ambient;
        let sealed = epoch.rows.seal_by(&place, &encode(row), ambient);
        self.batch.put(name, sealed);
    }

    pub(in crate::vault) fn put_chunks(
        &mut self,
        state: &State,
        kind: Kind,
        object: ObjectId,
        epoch: u32,
        revision: u64,
        content: &[u8],
    ) {
        let count = chunks(content.len() as u64);
        let key = &state
            .epoch(epoch)
            .expect("the epoch comes from this state")
            .rows;
        for chunk in 0..count {
            let start = chunk as usize * CHUNK_CONTENT_BYTES;
            let part = &content[start..content.len().min(start + CHUNK_CONTENT_BYTES)];
            let place = state.chunk_place(kind, object, epoch, revision, chunk, chunk + 1 == count);
            let sealed = key.seal_by(&place, part, &self.account.inner.vault.ambient);
            self.batch.put(
                state.names.row(kind, object.bytes(), revision, chunk),
                sealed,
            );
        }
    }

    pub(super) fn delete_chunks(
        &mut self,
        state: &State,
        kind: Kind,
        object: ObjectId,
        revision: u64,
        bytes: u64,
    ) {
        for chunk in 0..chunks(bytes) {
            self.batch
                .delete(state.names.row(kind, object.bytes(), revision, chunk));
        }
    }

    /// Deletes an object. The locks on it go too.
    pub fn delete_object(&mut self, id: CollectionId, object: &Summary) -> Result<(), VaultError> {
        self.end_object(id, object, Ended::Deleted)
    }

    fn end_object(
        &mut self,
        id: CollectionId,
        object: &Summary,
        ended: Ended,
    ) -> Result<(), VaultError> {
        let state = self.account.state(id)?;
        let revision = self.next(id)?;
        self.keep(&state, object, Some(ended))?;
        let head = self.head(id)?;
        head.objects = head.objects.saturating_sub(1);
        digest_sub(
            &mut head.digest,
            &state.etags.digest(object.id, object.revision),
        );
        self.bury(&state, object.id, object.segment.clone(), revision)?;
        self.unlock_below(id, &object.segment);
        Ok(())
    }

    pub(super) fn remove_rows(&mut self, state: &State, object: &Summary) {
        self.delete_chunks(
            state,
            Kind::Body,
            object.id,
            object.body_revision,
            object.size,
        );
        if object.properties_revision != 0 {
            self.delete_chunks(
                state,
                Kind::ObjectProperties,
                object.id,
                object.properties_revision,
                object.properties_bytes,
            );
        }
    }

    /// Leaves a tombstone under `segment`; the oldest goes when there are too many.
    pub(super) fn bury(
        &mut self,
        state: &State,
        id: ObjectId,
        segment: Segment,
        revision: u64,
    ) -> Result<(), VaultError> {
        self.forget_tombstone(state, &segment)?;
        let tombstone = Tombstone {
            id,
            segment,
            revision,
            changed: self.now,
            device: self.account.device(),
        };
        digest_add(
            &mut self.head(state.id)?.digest,
            &state.etags.digest(id, revision),
        );
        self.seal_summary(state, &SummaryRow::Gone(tombstone.clone()));
        self.effects.push(Effect::Index(
            state.id,
            IndexEffect::Gone(Arc::new(tombstone)),
        ));
        let oldest = self.account.with_index(state.id, |index| {
            if index.gone.len() >= limits::TOMBSTONES {
                index.oldest_tombstone()
            } else {
                None
            }
        })?;
        if let Some(oldest) = oldest {
            self.head(state.id)?.floor = oldest.revision;
            self.drop_tombstone(state, oldest)?;
        }
        Ok(())
    }

    /// Replaces all stored properties of an object.
    pub fn set_object_properties(
        &mut self,
        id: CollectionId,
        object: &Summary,
        properties: Properties,
    ) -> Result<(), VaultError> {
        self.account.inner.vault.store.room()?;
        let state = self.account.state(id)?;
        let content = encode_properties(&properties);
        if content.len() > limits::PROPERTIES_BYTES {
            return Err(VaultError::Limit("properties"));
        }
        let revision = self.next(id)?;
        if object.properties_revision != 0 {
            self.delete_chunks(
                &state,
                Kind::ObjectProperties,
                object.id,
                object.properties_revision,
                object.properties_bytes,
            );
        }
        let mut summary = Summary {
            revision,
            changed: self.now,
            device: self.account.device(),
            ..object.clone()
        };
        if properties.is_empty() {
            (summary.properties_revision, summary.properties_bytes) = (0, 0);
        } else {
            (summary.properties_revision, summary.properties_bytes) =
                (revision, content.len() as u64);
            self.put_chunks(
                &state,
                Kind::ObjectProperties,
                object.id,
                object.epoch,
                revision,
                &content,
            );
        }
        self.put_summary(&state, summary, None, Some(object))
            .map(drop)
    }

    /// Moves an object; what is at the destination is removed. Gives whether nothing was there.
    ///
    /// # Errors
    /// As `put`.
    pub fn move_object(
        &mut self,
        from: CollectionId,
        object: &Summary,
        to: Destination,
    ) -> Result<bool, VaultError> {
        if from != to.parent {
            let created = self.copy_object(from, object, to)?;
            self.end_object(from, object, Ended::Moved)?;
            return Ok(created);
        }
        let state = self.account.state(from)?;
        let replaced = self.clear(&to, Some(object))?;
        // A rename keeps id and body; only the summary is sealed anew.
        let gone = self.next(from)?;
        let grave = state.new_id(gone, &self.account.inner.vault.ambient);
        self.bury(&state, grave, object.segment.clone(), gone)?;
        self.unlock_below(from, &object.segment);
        let revision = self.next(from)?;
        let summary = Summary {
            segment: to.segment,
            revision,
            changed: self.now,
            device: self.account.device(),
            calendar: to.calendar,
            ..object.clone()
        };
        self.put_summary(&state, summary, None, Some(object))?;
        Ok(!replaced)
    }

    /// Copies an object with its properties; what is at the destination is removed. Gives whether
    /// nothing was there.
    ///
    /// # Errors
    /// As `put`; `Damaged` when the body does not open.
    pub fn copy_object(
        &mut self,
        from: CollectionId,
        object: &Summary,
        to: Destination,
    ) -> Result<bool, VaultError> {
        self.account.inner.vault.store.room()?;
        let body = self.account.body(from, object)?;
        let properties = self.account.properties(from, object)?;
        let replaced = self.clear(&to, None)?;
        let state = self.account.state(to.parent)?;
        let revision = self.next(to.parent)?;
        let id = state.new_id(revision, &self.account.inner.vault.ambient);
        let mut summary = Summary {
            id,
            segment: to.segment,
            revision,
            body_revision: revision,
            properties_revision: 0,
            properties_bytes: 0,
            epoch: state.current().number,
            created: self.now,
            modified: self.now,
            changed: self.now,
            device: self.account.device(),
            calendar: to.calendar,
            ..object.clone()
        };
        if !properties.is_empty() {
            let content = encode_properties(&properties);
            (summary.properties_revision, summary.properties_bytes) =
                (revision, content.len() as u64);
            self.put_chunks(
                &state,
                Kind::ObjectProperties,
                id,
                summary.epoch,
                revision,
                &content,
            );
        }
        self.put_summary(&state, summary, Some(&body), None)?;
        Ok(!replaced)
    }

    /// Removes what is at a destination, leaving no tombstone for the name, and checks that its
    /// UID is free there. A lock rooted there stays, over what comes (RFC 4918 section 7.6). `moved` is an object of the same collection that is about to go there.
    pub(super) fn clear(
        &mut self,
        to: &Destination,
        moved: Option<&Summary>,
    ) -> Result<bool, VaultError> {
        let uid = to.calendar.as_ref().map(|facts| facts.uid.clone());
        let there = self.account.with_index(to.parent, |index| {
            check_room(index, &to.segment)?;
            if let Some(other) = uid.as_ref().and_then(|uid| index.of_uid(uid))
                && other.segment != to.segment
                && moved.is_none_or(|moved| moved.segment != other.segment)
            {
                return Err(VaultError::UidConflict(other.segment.clone()));
            }
            Ok(index.named(&to.segment).cloned())
        })??;
        if let Some(object) = there {
            let state = self.account.state(to.parent)?;
            self.keep(&state, &object, Some(Ended::Replaced))?;
            let head = self.head(to.parent)?;
            head.objects = head.objects.saturating_sub(1);
            digest_sub(
                &mut head.digest,
                &state.etags.digest(object.id, object.revision),
            );
            self.batch
                .delete(state.names.row(Kind::Summary, object.id.bytes(), 0, 0));
            let forgotten = Tombstone {
                id: object.id,
                segment: object.segment.clone(),
                revision: object.revision,
                changed: self.now,
                device: self.account.device(),
            };
            self.effects.push(Effect::Index(
                to.parent,
                IndexEffect::Gone(Arc::new(forgotten.clone())),
            ));
            self.effects.push(Effect::Index(
                to.parent,
                IndexEffect::Forget(Arc::new(forgotten)),
            ));
            return Ok(true);
        }
        let collection = self
            .account
            .inner
            .tree
            .read()
            .child(to.parent, &to.segment)
            .map(|entry| entry.collection.clone());
        if let Some(there) = &collection {
            self.member(to.parent, there.id, Some(there.changed_in_parent), None)?;
            self.unlink(there.id)?;
            self.unlock_inside(to.parent, &to.segment);
        }
        Ok(collection.is_some())
    }
}

pub(super) fn check_room(index: &Index, segment: &Segment) -> Result<(), VaultError> {
    if index.objects() >= limits::MEMBERS && index.named(segment).is_none() {
        return Err(VaultError::Limit("members"));
    }
    Ok(())
}

/// The object of this name, if the UID is free for it.
pub(super) fn check_uid(
    index: &Index,
    uid: Option<&str>,
    segment: &Segment,
) -> Result<Option<Arc<Summary>>, VaultError> {
    match uid.and_then(|uid| index.of_uid(uid)) {
        Some(other) if other.segment != *segment => {
            Err(VaultError::UidConflict(other.segment.clone()))
        }
        _ => Ok(index.named(segment).cloned()),
    }
}

#[cfg(test)]
mod tests {
    use crate::ids::Segment;
    use crate::vault::VaultError;
    use crate::vault::testing::account;

    #[test]
    fn a_tombstone_is_dropped_once_however_often_it_is_met() {
        let (_vault, account) = account();
        let (home, gone) = (account.home().id, Segment::parse("tasks").unwrap());
        let tasks = account.collections(home)[1].id;
        account
            .write(|tx| tx.delete_collection(tasks))
            .map_err(|error: VaultError| error)
            .unwrap();
        let forgotten: Result<(), VaultError> = account.write(|tx| {
            let state = tx.account.state(home)?;
            tx.forget_tombstone(&state, &gone)?;
            tx.forget_tombstone(&state, &gone)
        });
        forgotten.unwrap();
        *account.state(home).unwrap().index.write() = None;
        assert!(account.members(home).is_ok(), "the rows add up to the head");
    }
}
