//! One atomic change of an account: planned under the gate, enqueued as one commit, then applied
//! to the tree and the indexes in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::index::{Index, IndexEffect};
use super::model::{
    Collection, CollectionKind, Destination, Etag, Lock, NewCollection, NewObject, Properties,
    Summary, VaultError,
};
use super::read::{AccountStore, chunks};
use super::rows::{
    HeadRow, RosterRow, RosterState, SummaryRow, Tombstone, digest_add, digest_sub, encode,
    encode_properties,
};
use super::tree::{Entry, State};
use super::unlock::live;
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, ObjectId, Segment};
use crate::limits;
use crate::seal::{CHUNK_CONTENT_BYTES, Kind};
use crate::store::Batch;

/// An index that grew by this many summaries is weighed again against the room for all.
const GROWTH: usize = 256;

/// What a commit does to the memory of the account, besides the heads.
enum Effect {
    Index(CollectionId, IndexEffect),
    Linked(Box<Entry>),
    /// Another name, parent, place in its parent's changes, or other properties.
    Changed(Arc<Collection>),
    Unlinked(CollectionId),
    Locked(Arc<Lock>),
    Unlocked(String),
}

/// See `AccountStore::write`. Each method that changes the tree or an object may be called once.
pub struct Transaction {
    account: AccountStore,
    now: UnixMillis,
    pub(super) batch: Batch,
    effects: Vec<Effect>,
    heads: HashMap<CollectionId, HeadRow>,
    dooms: Vec<RosterRow>,
}

impl Transaction {
    pub(super) fn new(account: AccountStore) -> Self {
        let now = account.inner.vault.ambient.now();
        Transaction {
            account,
            now,
            batch: Batch::new(),
            effects: Vec::new(),
            heads: HashMap::new(),
            dooms: Vec::new(),
        }
    }

    /// The account, as it is before this transaction.
    pub fn account(&self) -> &AccountStore {
        &self.account
    }

    /// The time of this transaction.
    pub fn now(&self) -> UnixMillis {
        self.now
    }

    /// A random UUID (RFC 9562 section 5.4), for lock tokens and the names of added members.
    pub fn random_uuid(&self) -> String {
        let mut bytes: [u8; 16] = self.account.inner.vault.ambient.bytes();
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = ObjectId::from_bytes(bytes).to_string();
        [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ]
        .join("-")
    }

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
                new.calendar.as_ref().map(|facts| facts.uid.as_str()),
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
                || ObjectId::from_bytes(self.account.inner.vault.ambient.bytes()),
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
            content_type: new.content_type,
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
    fn put_summary(
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
                self.delete_chunks(state, Kind::Body, old.id, old.body_revision, old.size);
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
    fn forget_tombstone(&mut self, state: &State, segment: &Segment) -> Result<(), VaultError> {
        if let Some(tombstone) = self
            .account
            .with_index(state.id, |index| index.gone.get(segment).cloned())?
        {
            self.drop_tombstone(state, tombstone)?;
        }
        Ok(())
    }

    fn drop_tombstone(
        &mut self,
        state: &State,
        tombstone: Arc<Tombstone>,
    ) -> Result<(), VaultError> {
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

    pub(super) fn seal_summary(&mut self, state: &State, row: &SummaryRow) {
        let name = state.names.row(Kind::Summary, row.id().bytes(), 0, 0);
        let epoch = state.current();
        let place = state.scanned_place(Kind::Summary, &name, epoch.number);
        let sealed = self
            .account
            .inner
            .vault
            .ambient
            .random(|random| epoch.rows.seal(&place, &encode(row), random));
        self.batch.put(name, sealed);
    }

    pub(super) fn put_chunks(
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
            let sealed = self
                .account
                .inner
                .vault
                .ambient
                .random(|random| key.seal(&place, part, random));
            self.batch.put(
                state.names.row(kind, object.bytes(), revision, chunk),
                sealed,
            );
        }
    }

    fn delete_chunks(
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
        let state = self.account.state(id)?;
        let revision = self.next(id)?;
        self.remove_rows(&state, object);
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

    fn remove_rows(&mut self, state: &State, object: &Summary) {
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
    fn bury(
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

    /// Makes a collection.
    ///
    /// # Errors
    /// `Exists`, `Missing` without the parent, `Limit`.
    pub fn make_collection(&mut self, new: NewCollection) -> Result<Arc<Collection>, VaultError> {
        self.account.inner.vault.store.room()?;
        let inner = self.account.inner.clone();
        if inner.tree.read().entries.len() >= limits::COLLECTIONS {
            return Err(VaultError::Limit("collections"));
        }
        if inner.tree.read().child(new.parent, &new.segment).is_some()
            || self.account.object(new.parent, &new.segment)?.is_some()
        {
            return Err(VaultError::Exists);
        }
        let id = CollectionId::from_bytes(inner.vault.ambient.bytes());
        let state = inner.new_state(id);
        self.link_new(state, new, HeadRow::new(self.now))
    }

    /// Links a collection whose rows, except head, properties and link, are written or not needed.
    fn link_new(
        &mut self,
        state: State,
        new: NewCollection,
        head: HeadRow,
    ) -> Result<Arc<Collection>, VaultError> {
        let changed_in_parent = self.next(new.parent)?;
        let parent = self.account.state(new.parent)?;
        self.forget_tombstone(&parent, &new.segment)?;
        self.link_under(state, new, head, changed_in_parent)
    }

    /// Links a staged copy into a collection that the same transaction links.
    pub(super) fn link_below(
        &mut self,
        state: State,
        new: NewCollection,
        head: HeadRow,
    ) -> Result<(), VaultError> {
        let changed_in_parent = self.next(new.parent)?;
        self.link_under(state, new, head, changed_in_parent)
            .map(drop)
    }

    fn link_under(
        &mut self,
        state: State,
        new: NewCollection,
        head: HeadRow,
        changed_in_parent: u64,
    ) -> Result<Arc<Collection>, VaultError> {
        let collection = Collection {
            id: state.id,
            parent: Some(new.parent),
            segment: Some(new.segment),
            kind: new.kind,
            created: self.now,
            modified: self.now,
            revision: head.revision,
            changed_in_parent,
            objects: head.objects,
            properties: Arc::default(),
        };
        let state = Arc::new(state);
        self.heads.insert(state.id, head);
        let collection =
            self.collection_properties(&state, collection, new.properties, head.revision)?;
        let inner = self.account.inner.clone();
        inner
            .vault
            .put_roster(&mut self.batch, &live(inner.id, state.id, &state));
        self.put_link(&state, &collection);
        let entry = Entry {
            collection: collection.clone(),
            head,
            children: BTreeMap::new(),
            state,
        };
        self.effects.push(Effect::Linked(Box::new(entry)));
        Ok(collection)
    }

    fn put_link(&mut self, state: &State, collection: &Collection) {
        let inner = &self.account.inner;
        let name = inner.link_name(collection.id);
        self.batch.put(
            name,
            inner.seal(Kind::Link, &name, &encode(&state.link(collection))),
        );
    }

    /// Writes the properties of a collection and gives the collection with them.
    fn collection_properties(
        &mut self,
        state: &State,
        collection: Collection,
        properties: Properties,
        revision: u64,
    ) -> Result<Arc<Collection>, VaultError> {
        let content = encode_properties(&properties);
        if content.len() > limits::PROPERTIES_BYTES {
            return Err(VaultError::Limit("properties"));
        }
        let old = *self.head(state.id)?;
        if old.properties_revision != 0 {
            self.delete_chunks(
                state,
                Kind::CollectionProperties,
                ObjectId::NONE,
                old.properties_revision,
                old.properties_bytes,
            );
        }
        let (at, bytes) = if properties.is_empty() {
            (0, 0)
        } else {
            (revision, content.len() as u64)
        };
        if at != 0 {
            self.put_chunks(
                state,
                Kind::CollectionProperties,
                ObjectId::NONE,
                state.current().number,
                revision,
                &content,
            );
        }
        let head = self.head(state.id)?;
        (head.properties_revision, head.properties_bytes) = (at, bytes);
        Ok(Arc::new(Collection {
            properties: Arc::new(properties),
            ..collection
        }))
    }

    /// Replaces all stored properties of a collection.
    pub fn set_collection_properties(
        &mut self,
        id: CollectionId,
        properties: Properties,
    ) -> Result<(), VaultError> {
        self.account.inner.vault.store.room()?;
        let state = self.account.state(id)?;
        let collection = self.account.collection(id).ok_or(VaultError::Missing)?;
        let revision = self.next(id)?;
        let changed_in_parent = match collection.parent {
            Some(parent) => self.next(parent)?,
            None => collection.changed_in_parent,
        };
        let collection = Collection {
            changed_in_parent,
            ..(*collection).clone()
        };
        let collection = self.collection_properties(&state, collection, properties, revision)?;
        self.put_link(&state, &collection);
        self.effects.push(Effect::Changed(collection));
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

    /// Deletes a collection and all below it: their key rows now, their other rows behind it.
    /// The locks below it go too.
    pub fn delete_collection(&mut self, id: CollectionId) -> Result<(), VaultError> {
        let collection = self.account.collection(id).ok_or(VaultError::Missing)?;
        let (Some(parent), Some(segment)) = (collection.parent, collection.segment.clone()) else {
            return Err(VaultError::Exists);
        };
        let revision = self.next(parent)?;
        let state = self.account.state(parent)?;
        let grave = ObjectId::from_bytes(self.account.inner.vault.ambient.bytes());
        self.bury(&state, grave, segment.clone(), revision)?;
        self.unlink(id);
        self.unlock_below(parent, &segment);
        Ok(())
    }

    fn unlink(&mut self, id: CollectionId) {
        let inner = self.account.inner.clone();
        let ids = inner.tree.read().subtree(id);
        for id in ids {
            let Ok(state) = self.account.state(id) else {
                continue;
            };
            self.batch.delete(inner.link_name(id));
            let row = RosterRow {
                state: RosterState::Doomed,
                ..live(inner.id, id, &state)
            };
            inner.vault.put_roster(&mut self.batch, &row);
            self.dooms.push(row);
            self.effects.push(Effect::Unlinked(id));
        }
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
            self.delete_object(from, object)?;
            return Ok(created);
        }
        let state = self.account.state(from)?;
        let replaced = self.clear(&to, Some(object))?;
        // A rename keeps id and body; only the summary is sealed anew.
        let gone = self.next(from)?;
        let grave = ObjectId::from_bytes(self.account.inner.vault.ambient.bytes());
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
        let id = ObjectId::from_bytes(self.account.inner.vault.ambient.bytes());
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
    /// UID is free there. `moved` is an object of the same collection that is about to go there.
    fn clear(&mut self, to: &Destination, moved: Option<&Summary>) -> Result<bool, VaultError> {
        let uid = to.calendar.as_ref().map(|facts| facts.uid.clone());
        let there = self.account.with_index(to.parent, |index| {
            check_room(index, &to.segment)?;
            if let Some(other) = uid.as_ref().and_then(|uid| index.uids.get(uid)) {
                if *other != to.segment && moved.is_none_or(|moved| moved.segment != *other) {
                    return Err(VaultError::UidConflict(other.clone()));
                }
            }
            Ok(index.objects.get(&to.segment).cloned())
        })??;
        if let Some(object) = there {
            let state = self.account.state(to.parent)?;
            self.remove_rows(&state, &object);
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
            self.unlock_below(to.parent, &to.segment);
            return Ok(true);
        }
        let collection = self
            .account
            .inner
            .tree
            .read()
            .child(to.parent, &to.segment)
            .map(|entry| entry.collection.id);
        if let Some(id) = collection {
            self.unlink(id);
            self.unlock_below(to.parent, &to.segment);
        }
        Ok(collection.is_some())
    }

    /// Moves a collection with all below it: one row changes. What is at the destination is
    /// removed. Gives whether nothing was there.
    pub fn move_collection(
        &mut self,
        id: CollectionId,
        to: Destination,
    ) -> Result<bool, VaultError> {
        let collection = self.account.collection(id).ok_or(VaultError::Missing)?;
        let (Some(parent), Some(segment)) = (collection.parent, collection.segment.clone()) else {
            return Err(VaultError::Exists);
        };
        let replaced = self.clear(&to, None)?;
        let old_parent = self.account.state(parent)?;
        let revision = self.next(parent)?;
        let grave = ObjectId::from_bytes(self.account.inner.vault.ambient.bytes());
        self.bury(&old_parent, grave, segment.clone(), revision)?;
        self.unlock_below(parent, &segment);
        let new_parent = self.account.state(to.parent)?;
        self.forget_tombstone(&new_parent, &to.segment)?;
        let changed_in_parent = self.next(to.parent)?;
        let moved = Collection {
            parent: Some(to.parent),
            segment: Some(to.segment),
            changed_in_parent,
            ..(*collection).clone()
        };
        let state = self.account.state(id)?;
        self.put_link(&state, &moved);
        self.effects.push(Effect::Changed(Arc::new(moved)));
        Ok(!replaced)
    }

    /// Links a staged copy at its destination, removing what is there. Gives whether nothing was.
    pub(super) fn link_copy(
        &mut self,
        state: State,
        new: NewCollection,
        head: HeadRow,
    ) -> Result<bool, VaultError> {
        let to = Destination {
            parent: new.parent,
            segment: new.segment.clone(),
            calendar: None,
        };
        let replaced = self.clear(&to, None)?;
        self.link_new(state, new, head)?;
        Ok(!replaced)
    }

    /// Adds a lock; whether it may be is the caller's to decide.
    ///
    /// # Errors
    /// `Limit` when the account has too many.
    pub fn add_lock(&mut self, lock: Lock) -> Result<(), VaultError> {
        self.account.inner.vault.store.room()?;
        if self.account.locks().len() >= limits::LOCKS {
            return Err(VaultError::Limit("locks"));
        }
        self.put_lock(lock);
        Ok(())
    }

    fn put_lock(&mut self, lock: Lock) {
        let inner = self.account.inner.clone();
        let name = inner.lock_name(&lock.token);
        self.batch
            .put(name, inner.seal(Kind::Lock, &name, &encode(&lock)));
        self.effects.push(Effect::Locked(Arc::new(lock)));
    }

    /// Gives a lock a new end.
    pub fn refresh_lock(&mut self, token: &str, expires: UnixMillis) {
        let lock = self
            .account
            .locks()
            .into_iter()
            .find(|lock| lock.token == token);
        if let Some(lock) = lock {
            self.put_lock(Lock {
                expires,
                ..(*lock).clone()
            });
        }
    }

    /// Removes a lock.
    pub fn remove_lock(&mut self, token: &str) {
        self.batch.delete(self.account.inner.lock_name(token));
        self.effects.push(Effect::Unlocked(token.to_owned()));
    }

    /// Removes the locks rooted at a member and below it.
    fn unlock_below(&mut self, parent: CollectionId, segment: &Segment) {
        let mut path = self.account.path_of(parent);
        path.push(segment.clone());
        let locks = self.account.inner.tree.read().locks.clone();
        for lock in locks.iter().filter(|lock| lock.root.starts_with(&path)) {
            self.remove_lock(&lock.token);
        }
    }

    /// The head of a collection as this transaction leaves it.
    fn head(&mut self, id: CollectionId) -> Result<&mut HeadRow, VaultError> {
        if !self.heads.contains_key(&id) {
            let head = self
                .account
                .inner
                .tree
                .read()
                .entries
                .get(&id)
                .ok_or(VaultError::Missing)?
                .head;
            self.heads.insert(id, head);
        }
        Ok(self.heads.get_mut(&id).expect("it was just put there"))
    }

    /// The collection's next revision.
    fn next(&mut self, id: CollectionId) -> Result<u64, VaultError> {
        let now = self.now;
        Ok(self.head(id)?.next(now))
    }

    /// Enqueues the commit, then brings the memory up to it.
    pub(super) fn commit(mut self) {
        let inner = self.account.inner.clone();
        let unlinked: Vec<_> = self
            .effects
            .iter()
            .filter_map(|effect| {
                if let Effect::Unlinked(id) = effect {
                    Some(*id)
                } else {
                    None
                }
            })
            .collect();
        self.heads.retain(|id, _| !unlinked.contains(id));
        for (id, head) in &self.heads {
            let new = self.effects.iter().find_map(|effect| match effect {
                Effect::Linked(entry) if entry.collection.id == *id => Some(entry.state.clone()),
                _ => None,
            });
            let Some(state) = new.or_else(|| self.account.state(*id).ok()) else {
                continue;
            };
            self.batch
                .put(state.head_name(), inner.seal_head(&state, head));
        }
        if self.batch.is_empty() {
            return;
        }
        *inner.last.lock() = inner.vault.store.commit(std::mem::take(&mut self.batch));
        for effect in std::mem::take(&mut self.effects) {
            self.apply(effect);
        }
        let mut tree = inner.tree.write();
        for (id, head) in &self.heads {
            tree.refresh(*id, *head);
        }
        drop(tree);
        for row in self.dooms.drain(..) {
            inner.vault.doom(row);
        }
    }

    fn apply(&self, effect: Effect) {
        let inner = &self.account.inner;
        match effect {
            Effect::Index(id, effect) => {
                let Ok(state) = self.account.state(id) else {
                    return;
                };
                let mut index = state.index.write();
                let grown = index.as_mut().is_some_and(|index| {
                    index.apply(&effect);
                    index.len() % GROWTH == 0
                });
                drop(index);
                if grown {
                    let mut cache = inner.vault.indexes.lock();
                    cache.loaded(&state, inner.vault.index_capacity);
                }
            }
            Effect::Linked(entry) => {
                let mut tree = inner.tree.write();
                hang(&mut tree, &entry.collection);
                tree.entries.insert(entry.collection.id, *entry);
            }
            Effect::Changed(collection) => {
                let mut tree = inner.tree.write();
                unhang(&mut tree, collection.id);
                hang(&mut tree, &collection);
                if let Some(entry) = tree.entries.get_mut(&collection.id) {
                    entry.collection = collection;
                }
            }
            Effect::Unlinked(id) => {
                let mut tree = inner.tree.write();
                unhang(&mut tree, id);
                tree.entries.remove(&id);
            }
            Effect::Locked(lock) => {
                let mut tree = inner.tree.write();
                tree.locks
                    .retain(|other| other.token != lock.token && other.expires > self.now);
                tree.locks.push(lock);
            }
            Effect::Unlocked(token) => inner.tree.write().locks.retain(|lock| lock.token != token),
        }
    }
}

fn hang(tree: &mut super::tree::Tree, collection: &Collection) {
    if let (Some(parent), Some(segment)) = (collection.parent, &collection.segment) {
        if let Some(parent) = tree.entries.get_mut(&parent) {
            parent.children.insert(segment.clone(), collection.id);
        }
    }
}

fn unhang(tree: &mut super::tree::Tree, id: CollectionId) {
    let Some(collection) = tree.entries.get(&id).map(|entry| entry.collection.clone()) else {
        return;
    };
    if let (Some(parent), Some(segment)) = (collection.parent, &collection.segment) {
        if let Some(parent) = tree.entries.get_mut(&parent) {
            if parent.children.get(segment) == Some(&id) {
                parent.children.remove(segment);
            }
        }
    }
}

fn check_room(index: &Index, segment: &Segment) -> Result<(), VaultError> {
    if index.objects.len() >= limits::MEMBERS && !index.objects.contains_key(segment) {
        return Err(VaultError::Limit("members"));
    }
    Ok(())
}

/// The object of this name, if the UID is free for it.
fn check_uid(
    index: &Index,
    uid: Option<&str>,
    segment: &Segment,
) -> Result<Option<Arc<Summary>>, VaultError> {
    match uid.and_then(|uid| index.uids.get(uid)) {
        Some(other) if other != segment => Err(VaultError::UidConflict(other.clone())),
        _ => Ok(index.objects.get(segment).cloned()),
    }
}

/// A home is made once, with the account.
pub(super) fn copied_kind(kind: CollectionKind) -> CollectionKind {
    match kind {
        CollectionKind::Home => CollectionKind::Plain,
        other => other,
    }
}
