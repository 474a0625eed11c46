//! All that is kept of a collection, one content after the other, for an export: the past versions
//! of its objects, its deleted objects, and of a deleted collection also what was in it.
//!
//! In memory are the ids of the objects, and what is told of one object. What is cut or purged
//! meanwhile is left out; what does not open is told as damaged, and the rest is read.

use std::collections::VecDeque;
use std::sync::Arc;

use super::model::{Collection, Properties, Summary, VaultError, Version};
use super::read::AccountStore;
use super::rows::{Ended, SummaryRow, decode};
use super::tree::State;
use crate::ids::{CollectionId, ObjectId, SlotId};
use crate::seal::Kind;

/// What a content that is kept was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Was {
    /// In a deleted collection when that was deleted.
    Member,
    /// An earlier version of an object that is still there, or was when its collection was deleted.
    Overwritten,
    /// A version of an object that is deleted, its last one among them.
    Deleted,
    /// A version of an object that was moved elsewhere.
    Moved,
}

/// One content.
#[derive(Debug)]
pub struct PastObject {
    /// The object.
    pub object: ObjectId,
    /// What it was.
    pub was: Was,
    /// About it. Of a `Member` the moment of its replacement is that of its last change.
    pub version: Version,
    /// The object's stored properties: of a member, and with the last version of a deleted object.
    pub properties: Properties,
    /// Its bytes; none when they do not open.
    pub body: Option<Vec<u8>>,
}

/// See the module.
pub struct Past {
    account: AccountStore,
    state: Arc<State>,
    collection: Arc<Collection>,
    members: VecDeque<Summary>,
    objects: VecDeque<ObjectId>,
    versions: VecDeque<(ObjectId, Was, Version)>,
    damaged: usize,
}

impl AccountStore {
    /// Begins to read what is kept of a collection that is there.
    ///
    /// # Errors
    /// `Missing` without it, `Denied` for a device with chosen calendars.
    pub fn past(&self, id: CollectionId) -> Result<Past, VaultError> {
        let state = self.state(id)?;
        self.whole()?;
        let collection = self.collection(id).ok_or(VaultError::Missing)?;
        self.past_of(state, collection)
    }

    /// Begins to read what was in a deleted collection.
    ///
    /// # Errors
    /// `Missing` when it is not in the trash (any more), `Damaged` when its keys or its head do not
    /// open, `Denied` for a device with chosen calendars.
    pub fn past_of_trashed(&self, id: CollectionId) -> Result<Past, VaultError> {
        let trashed = self.trashed_collections()?;
        if !trashed.iter().any(|one| one.id == id) {
            return Err(VaultError::Missing);
        }
        let entry = self.trashed_entry(id)?;
        let mut past = self.past_of(entry.state.clone(), entry.collection)?;
        for row in self
            .inner
            .vault
            .store
            .scan(&entry.state.names.prefix(Kind::Summary))
        {
            let (name, stored) = row?;
            let row = entry
                .state
                .open::<SummaryRow>(Kind::Summary, &name, &stored);
            match row {
                Some(SummaryRow::Live(summary)) => past.members.push_back(summary),
                Some(SummaryRow::Gone(_)) => {}
                None => past.damaged += 1,
            }
        }
        let sorted = past.members.make_contiguous();
        sorted.sort_by(|one, other| one.segment.cmp(&other.segment));
        Ok(past)
    }

    fn past_of(&self, state: Arc<State>, collection: Arc<Collection>) -> Result<Past, VaultError> {
        let mut objects = VecDeque::new();
        self.each_history(&state, |row| objects.push_back(row.id))?;
        Ok(Past {
            account: self.clone(),
            state,
            collection,
            members: VecDeque::new(),
            objects,
            versions: VecDeque::new(),
            damaged: 0,
        })
    }
}

impl Past {
    /// The collection: as it is, or as it was deleted.
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// Rows of it that do not open, so that not even names are known.
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// The next content; none at the end. The versions of an object come one after the other, the
    /// newest first.
    ///
    /// # Errors
    /// `Locked`, `Store`.
    pub fn following(&mut self) -> Result<Option<PastObject>, VaultError> {
        self.account.still_alone()?;
        loop {
            if let Some(summary) = self.members.pop_front() {
                if let Some(member) = self.member(&summary)? {
                    return Ok(Some(member));
                }
            } else if let Some((object, was, version)) = self.versions.pop_front() {
                if let Some(found) = self.version(object, was, version)? {
                    return Ok(Some(found));
                }
            } else if let Some(object) = self.objects.pop_front() {
                self.begin(object)?;
            } else {
                return Ok(None);
            }
        }
    }

    fn begin(&mut self, object: ObjectId) -> Result<(), VaultError> {
        let Some(row) = self.account.history_row(&self.state, object)? else {
            return Ok(());
        };
        let was = match row.gone.map(|gone| gone.ended) {
            None => Was::Overwritten,
            Some(Ended::Deleted | Ended::Replaced) => Was::Deleted,
            Some(Ended::Moved) => Was::Moved,
        };
        let versions = row.versions.into_iter();
        self.versions = versions.map(|version| (object, was, version)).collect();
        Ok(())
    }

    fn member(&self, summary: &Summary) -> Result<Option<PastObject>, VaultError> {
        let version = Version::of(summary, summary.changed, SlotId::NONE);
        let (epoch, revision) = (summary.epoch, summary.properties_revision);
        let bytes = summary.properties_bytes;
        let properties = self.properties(summary.id, epoch, revision, bytes)?;
        let body = match self.account.past_body(&self.state, summary.id, &version) {
            Ok(body) => Some(body),
            // Purged meanwhile, with everything.
            Err(VaultError::Damaged(_)) if !self.is_there()? => return Ok(None),
            Err(VaultError::Damaged(_)) => None,
            Err(error) => return Err(error),
        };
        Ok(Some(PastObject {
            object: summary.id,
            was: Was::Member,
            version,
            properties,
            body,
        }))
    }

    fn version(
        &self,
        object: ObjectId,
        was: Was,
        version: Version,
    ) -> Result<Option<PastObject>, VaultError> {
        let body = match self.account.past_body(&self.state, object, &version) {
            Ok(body) => Some(body),
            Err(VaultError::Damaged(_)) => {
                let row = self.account.history_row(&self.state, object)?;
                let listed = row.is_some_and(|row| row.version(version.revision).is_some());
                if !listed || !self.is_there()? {
                    return Ok(None);
                }
                None
            }
            Err(error) => return Err(error),
        };
        let row = self.account.history_row(&self.state, object)?;
        let gone = row.as_ref().and_then(|row| {
            let newest = row.versions.first()?;
            row.gone
                .filter(|_| newest.revision == version.revision && was != Was::Overwritten)
        });
        let properties = match gone {
            Some(gone) => {
                let (revision, bytes) = (gone.properties_revision, gone.properties_bytes);
                self.properties(object, version.epoch, revision, bytes)?
            }
            None => Properties::new(),
        };
        Ok(Some(PastObject {
            object,
            was,
            version,
            properties,
            body,
        }))
    }

    /// Stored properties; none when they do not open: the object is worth more.
    fn properties(
        &self,
        object: ObjectId,
        epoch: u32,
        revision: u64,
        bytes: u64,
    ) -> Result<Properties, VaultError> {
        if revision == 0 {
            return Ok(Properties::new());
        }
        let vault = &self.account.inner.vault;
        let kind = Kind::ObjectProperties;
        match vault.read_chunks(&self.state, kind, Some(object), epoch, revision, bytes) {
            Ok(content) => {
                let properties = content.and_then(|content| decode(&content));
                Ok(properties.unwrap_or_default())
            }
            Err(VaultError::Damaged(_)) => Ok(Properties::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether the collection is still there, or in the trash.
    fn is_there(&self) -> Result<bool, VaultError> {
        let id = self.collection.id;
        let trashed = self.account.trashed_collections()?;
        Ok(self.account.collection(id).is_some() || trashed.iter().any(|one| one.id == id))
    }
}
