//! What a collection was before: who made it, its earlier names and places, its earlier properties.
//!
//! It is one row, sealed under the collection's key among the histories of its objects and found by
//! the collection's own id, which no object has. An earlier state stands in it whole, so that there
//! are no rows that hang on it; sets of properties that are too large for one row are not kept. It is
//! cut by number in the commit that adds to it, and by age with the histories of objects.
//!
//! Only an undo asks for it, and a change of the collection itself writes it: requests for objects
//! know nothing of it. One that does not open costs the undo of that collection and nothing else.

use std::sync::Arc;

use super::Transaction;
use super::model::{Collection, Retention, VaultError};
use super::read::AccountStore;
use super::rows::{Annals, CollectionState, decode, encode};
use super::transaction::Effect;
use super::tree::State;
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, ObjectId, SlotId};
use crate::seal::{CHUNK_CONTENT_BYTES, Kind, RowName};

impl Annals {
    /// Of a collection that an earlier program made.
    fn unknown(id: CollectionId) -> Self {
        Annals {
            id,
            made_by: SlotId::NONE,
            by: SlotId::NONE,
            at: UnixMillis(0),
            before: Vec::new(),
        }
    }

    /// Removes states that are too many or too old. Whether there were any.
    fn cut(&mut self, retention: Retention, now: UnixMillis) -> bool {
        let ends = retention.ends(now);
        let count = self.before.len();
        let most = match retention.is_off() {
            true => 0,
            false => retention.versions as usize,
        };
        self.before.truncate(most);
        while !self.before.is_empty() {
            // It was replaced when the one after it began.
            let next = self.before.len().checked_sub(2);
            let replaced = next.map_or(self.at, |next| self.before[next].at);
            if replaced >= ends && encode(self).len() <= CHUNK_CONTENT_BYTES {
                break;
            }
            self.before.pop();
        }
        self.before.len() != count
    }
}

impl State {
    /// The name of the row.
    pub(super) fn annals_name(&self) -> RowName {
        self.history_name(ObjectId::from_bytes(*self.id.bytes()))
    }

    /// Opens it; none when it does not.
    pub(super) fn open_annals(&self, stored: &crate::seal::Stored) -> Option<Annals> {
        let opened = self.epochs.iter().rev().find_map(|epoch| {
            let place = self.scanned_place(Kind::History, &self.annals_name(), epoch.number);
            stored.clone().open(&epoch.rows, &place).ok()
        });
        let row = opened.and_then(|content| decode::<Annals>(&content));
        row.filter(|row| row.id == self.id)
    }
}

impl AccountStore {
    /// What a collection was before, as the last commit enqueued left it.
    pub(super) fn annals(&self, state: &State) -> Result<Annals, VaultError> {
        if let Some(row) = &*state.annals.lock() {
            return Ok((**row).clone());
        }
        let stored = self.inner.vault.store.get(&state.annals_name())?;
        let row = stored.as_ref().and_then(|stored| state.open_annals(stored));
        if stored.is_some() && row.is_none() {
            tracing::error!(account = %self.inner.id, collection = %state.id,
                "what a collection was before does not open; changes of its name and properties cannot be undone");
        }
        Ok(row.unwrap_or_else(|| Annals::unknown(state.id)))
    }
}

impl Transaction {
    /// Begins the annals of a collection that is made.
    pub(super) fn begin_annals(&mut self, state: &State) {
        let device = self.account().device();
        // Nobody undoes what the server itself made.
        if device == SlotId::NONE || self.account().inner.vault.retention().is_off() {
            return;
        }
        let row = Annals {
            id: state.id,
            made_by: device,
            by: device,
            at: self.now(),
            before: Vec::new(),
        };
        self.put_annals(state, row);
    }

    /// Keeps what a collection is that is about to get another name, place or other properties.
    pub(super) fn keep_annals(
        &mut self,
        state: &State,
        old: &Collection,
    ) -> Result<(), VaultError> {
        let retention = self.account().inner.vault.retention();
        if retention.is_off() {
            return Ok(());
        }
        let mut row = self.account().annals(state)?;
        let before = CollectionState {
            parent: old.parent,
            segment: old.segment.clone(),
            properties: (*old.properties).clone(),
            by: row.by,
            at: row.at,
        };
        row.before.insert(0, before);
        (row.by, row.at) = (self.account().device(), self.now());
        row.cut(retention, self.now());
        self.put_annals(state, row);
        Ok(())
    }

    /// Removes what is too old or too much from the annals of a collection; with
    /// `Retention::NOTHING` all but who made it.
    pub(super) fn cut_annals(
        &mut self,
        state: &State,
        retention: Retention,
    ) -> Result<(), VaultError> {
        let mut row = self.account().annals(state)?;
        if row.cut(retention, self.now()) {
            self.put_annals(state, row);
        }
        Ok(())
    }

    /// Seals the annals of a collection in the current epoch, if there are any.
    pub(super) fn reseal_annals(&mut self, state: &State) -> Result<(), VaultError> {
        let row = self.account().annals(state)?;
        if row.at != UnixMillis(0) {
            self.put_annals(state, row);
        }
        Ok(())
    }

    fn put_annals(&mut self, state: &State, row: Annals) {
        let name = state.annals_name();
        let epoch = state.current();
        let place = state.scanned_place(Kind::History, &name, epoch.number);
        let inner = self.account().inner.clone();
        let sealed = epoch
            .rows
            .seal_by(&place, &encode(&row), &inner.vault.ambient);
        self.batch.put(name, sealed);
        self.push(Effect::Annals(state.id, Arc::new(row)));
    }
}
