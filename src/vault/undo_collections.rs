//! Undoing what one device did to collections: those that it made go to the trash, those that it
//! changed get their name, place and properties from before, those that it deleted come back.
//!
//! A collection that it made and into which another device has written since is kept and named;
//! what the device itself put into it is then undone object by object.

use std::collections::HashSet;

use super::model::{Destination, VaultError};
use super::read::AccountStore;
use super::rows::{Annals, CollectionState};
use super::undo::{Of, Undo, UndoReport, Undone, left, text};
use super::{Action, Transaction};
use crate::ids::{CollectionId, SlotId};
use crate::limits;

/// What is to be done with a collection that is there.
enum Back {
    Nothing,
    To(Box<CollectionState>),
    Leave(Undone),
}

fn decide(annals: &Annals, of: Of) -> Back {
    let present = (annals.by, annals.at);
    let before = annals.before.iter().map(|state| (state.by, state.at));
    let states: Vec<_> = std::iter::once(present).chain(before).collect();
    let own = |(by, at): &(SlotId, _)| *by == of.device && *at >= of.since;
    let count = states.iter().take_while(|state| own(state)).count();
    match count.checked_sub(1).map(|last| annals.before.get(last)) {
        None if states.iter().any(own) => Back::Leave(Undone::ChangedLater),
        None => Back::Nothing,
        Some(Some(before)) => Back::To(Box::new(before.clone())),
        // All that is known of it is the device's, also that it was made.
        Some(None) if annals.made_by == of.device => Back::Nothing,
        Some(None) => Back::Leave(Undone::NotKept),
    }
}

impl AccountStore {
    /// Undoes what the device did to collections. Gives those that are gone, or would be.
    pub(super) fn undo_collections(
        &self,
        of: Of,
        undo: Undo,
        report: &mut UndoReport,
    ) -> Result<HashSet<CollectionId>, VaultError> {
        let mut gone = HashSet::new();
        // What it made makes names free, which what it moved and what it deleted may need.
        for id in self.subtree() {
            if !gone.contains(&id) {
                self.undo_made(id, of, undo, report, &mut gone)?;
            }
        }
        for id in self.subtree() {
            if !gone.contains(&id) {
                self.undo_changed(id, of, undo, report)?;
            }
        }
        self.undo_deleted(of, undo, report)?;
        Ok(gone)
    }

    /// Deletes a collection that the device made.
    fn undo_made(
        &self,
        id: CollectionId,
        of: Of,
        undo: Undo,
        report: &mut UndoReport,
        gone: &mut HashSet<CollectionId>,
    ) -> Result<(), VaultError> {
        let Some(collection) = self.collection(id) else {
            return Ok(());
        };
        let state = self.state(id)?;
        let annals = self.annals(&state)?;
        if annals.made_by != of.device || collection.created < of.since {
            return Ok(());
        }
        let path = text(&self.path_of(id), None);
        for _ in 0..limits::UNDO_ATTEMPTS {
            let before = self.revisions(id);
            match self.is_shared(&before, of.device) {
                Ok(false) => {}
                Ok(true) => {
                    report.add(path, Undone::OthersWrote);
                    return Ok(());
                }
                Err(error) => {
                    report.add(path, left(error)?);
                    return Ok(());
                }
            }
            let delete = |tx: &mut Transaction| {
                // What was looked at must be what is deleted.
                if self.revisions(id) != before {
                    return Ok(false);
                }
                tx.tell(Action::Undo);
                tx.delete_collection(id).map(|()| true)
            };
            let done = match undo {
                Undo::DryRun => Ok(true),
                Undo::Apply => self.write(delete),
            };
            match done {
                Ok(false) => continue,
                Ok(true) => {
                    gone.extend(before.iter().map(|(id, _)| *id));
                    report.add(path, Undone::Deleted);
                }
                Err(error) => report.add(path, left(error)?),
            }
            return Ok(());
        }
        report.add(path, Undone::Failed);
        Ok(())
    }

    /// A collection and all below it, with their revisions.
    fn revisions(&self, id: CollectionId) -> Vec<(CollectionId, u64)> {
        let tree = self.inner.tree.read();
        let ids = tree.subtree(id).into_iter();
        let known = ids.filter_map(|id| tree.entries.get(&id).map(|entry| (id, entry)));
        known
            .map(|(id, entry)| (id, entry.collection.revision))
            .collect()
    }

    /// Whether another device has written into one of these collections, or made or changed one.
    fn is_shared(
        &self,
        collections: &[(CollectionId, u64)],
        device: SlotId,
    ) -> Result<bool, VaultError> {
        for (id, _) in collections {
            let state = self.state(*id)?;
            let annals = self.annals(&state)?;
            let mut makers = annals.before.iter().map(|state| state.by);
            if annals.made_by != device || annals.by != device || makers.any(|by| by != device) {
                return Ok(true);
            }
            let others = self.with_index(*id, |index| {
                let mut live = index.in_order();
                let mut gone = index.gone.values();
                live.any(|one| one.device != device) || gone.any(|one| one.device != device)
            })?;
            let mut before = false;
            self.each_history(&state, |row| {
                let mut versions = row.versions.iter();
                before |= versions.any(|version| version.by != device);
            })?;
            if others || before {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives a collection back its name, place and properties.
    fn undo_changed(
        &self,
        id: CollectionId,
        of: Of,
        undo: Undo,
        report: &mut UndoReport,
    ) -> Result<(), VaultError> {
        let Ok(state) = self.state(id) else {
            return Ok(());
        };
        let path = text(&self.path_of(id), None);
        let before = match decide(&self.annals(&state)?, of) {
            Back::Nothing => return Ok(()),
            Back::Leave(why) => {
                report.add(path, why);
                return Ok(());
            }
            Back::To(before) => before,
        };
        if let Some(collection) = self.collection(id)
            && *collection.properties == before.properties
            && (collection.parent, &collection.segment) == (before.parent, &before.segment)
        {
            // As it was, by the device itself or by an undo of before.
            return Ok(());
        }
        let done = match undo {
            Undo::DryRun => Ok(()),
            Undo::Apply => self.give_back(id, of, &before),
        };
        match done {
            Ok(()) => report.add(path, Undone::Reverted),
            Err(error) => report.add(path, left(error)?),
        }
        Ok(())
    }

    /// Two commits, since each changes the link: the properties, then the place.
    fn give_back(
        &self,
        id: CollectionId,
        of: Of,
        before: &CollectionState,
    ) -> Result<(), VaultError> {
        self.write(|tx| {
            let now = self.collection(id).ok_or(VaultError::Missing)?;
            // Another device may have come between.
            let state = self.state(id)?;
            let still = decide(&self.annals(&state)?, of);
            if !matches!(still, Back::To(still) if *still == *before) {
                return Err(VaultError::Missing);
            }
            if *now.properties == before.properties {
                return Ok(());
            }
            tx.tell(Action::Undo);
            tx.set_collection_properties(id, before.properties.clone())
        })?;
        self.write(|tx| {
            let now = self.collection(id).ok_or(VaultError::Missing)?;
            let (Some(parent), Some(segment)) = (before.parent, &before.segment) else {
                return Ok(());
            };
            if (now.parent, now.segment.as_ref()) == (Some(parent), Some(segment)) {
                return Ok(());
            }
            let there = self.collection(parent).ok_or(VaultError::Exists)?;
            let inside = self.inner.tree.read().subtree(id).contains(&parent);
            let taken = self.inner.tree.read().child(parent, segment).is_some();
            if inside || taken || there.is_calendar() || self.object(parent, segment)?.is_some() {
                return Err(VaultError::Exists);
            }
            if self.path_of(parent).len() >= limits::TREE_DEPTH {
                return Err(VaultError::Limit("depth"));
            }
            tx.tell(Action::Undo);
            let to = Destination {
                parent,
                segment: segment.clone(),
                calendar: None,
            };
            tx.move_collection(id, to).map(drop)
        })
    }

    /// Restores the collections that the device deleted.
    fn undo_deleted(&self, of: Of, undo: Undo, report: &mut UndoReport) -> Result<(), VaultError> {
        let mut deleted = self.trashed_collections()?;
        deleted.retain(|one| one.root == one.id && one.by == of.device && one.since >= of.since);
        // What was deleted last may be within what was deleted before.
        for one in deleted {
            if self.was_made_by(one.id, of)? {
                continue;
            }
            let path = text(&one.path, None);
            let done = match undo {
                Undo::DryRun => Ok(()),
                Undo::Apply => self.restore_trashed(one.id, None, Action::Undo).map(drop),
            };
            match done {
                Ok(()) => report.add(path, Undone::Restored),
                Err(error) => report.add(path, left(error)?),
            }
        }
        Ok(())
    }

    /// Whether the device made a deleted collection itself since then.
    fn was_made_by(&self, id: CollectionId, of: Of) -> Result<bool, VaultError> {
        match self.trashed_entry(id) {
            Ok(entry) => {
                let made_by = self.annals(&entry.state)?.made_by;
                Ok(made_by == of.device && entry.collection.created >= of.since)
            }
            // The restore tells why.
            Err(VaultError::Damaged(_) | VaultError::Missing) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether an object that the device moved out of a collection was changed by another one
    /// where it is now: then it stays there.
    pub(super) fn is_changed_elsewhere(
        &self,
        from: CollectionId,
        uid: &str,
        of: Of,
    ) -> Result<bool, VaultError> {
        for id in self.subtree() {
            if id == from {
                continue;
            }
            let found = self.object_by_uid(id, uid)?;
            if found.is_some_and(|one| one.changed >= of.since && one.device != of.device) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
