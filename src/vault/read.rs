//! Reading an unlocked account.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::chunks::Content;
use super::grant::View;
use super::index::Index;
use super::model::{Collection, Lock, Members, Node, Properties, Summary, VaultError};
use super::rows::{SummaryRow, decode};
use super::tree::{Entry, State, Tree};
use super::unlock::Inner;
use super::{Vault, transaction};
use crate::ical::overlap::TimeRange;
use crate::ids::{AccountId, CollectionId, Email, Segment, SlotId, UserName};
use crate::seal::{Access, CHUNK_CONTENT_BYTES, Kind, Terms};
use crate::store::{Receipt, StoreError};

/// One unlocked account, acting for one device. Everything it reaches is that account's; no
/// method takes an account id. Cheap to clone.
#[derive(Clone)]
pub struct AccountStore {
    pub(super) inner: Arc<Inner>,
    device: SlotId,
    terms: Terms,
    /// What it sees; everything when it is none.
    pub(super) view: Option<View>,
    haste: Haste,
}

/// What is done where something has to be waited for: a writer, a sync, an index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Haste {
    /// It is waited for.
    None,
    /// It is `Busy`.
    Now,
}

impl fmt::Debug for AccountStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AccountStore({})", self.inner.id)
    }
}

impl AccountStore {
    pub(super) fn new(inner: Arc<Inner>, device: SlotId, terms: Terms, view: Option<View>) -> Self {
        AccountStore {
            inner,
            device,
            terms,
            view,
            haste: Haste::None,
        }
    }

    /// The same, which is `Busy` where this one waits for a writer, a sync or an index.
    pub fn in_haste(&self) -> AccountStore {
        AccountStore {
            haste: Haste::Now,
            ..self.clone()
        }
    }

    /// # Errors
    /// `Busy` for whoever is in haste.
    fn may_wait(&self) -> Result<(), VaultError> {
        match self.haste {
            Haste::None => Ok(()),
            Haste::Now => Err(VaultError::Busy),
        }
    }

    /// Whether it sees no more than chosen calendars of the home. What else there is does not
    /// exist for it, and it makes, changes, moves and deletes no collections.
    pub fn is_limited(&self) -> bool {
        self.view.is_some()
    }

    /// Whether the keys of the whole account are in memory.
    pub fn is_open_whole(&self) -> bool {
        self.inner.keys.is_some()
    }

    /// # Errors
    /// `Denied` for a device that has chosen calendars only.
    pub(super) fn whole(&self) -> Result<(), VaultError> {
        match self.is_limited() {
            true => Err(VaultError::Denied),
            false => Ok(()),
        }
    }

    /// Whether a collection is seen: a granted calendar that was moved out of the home is not, since
    /// its path would tell the name of another collection.
    fn sees(&self, tree: &Tree, collection: &Collection) -> bool {
        self.view.as_ref().is_none_or(|view| {
            collection.id == tree.home
                || (view.contains(&collection.id) && collection.parent == Some(tree.home))
        })
    }

    pub(super) fn entry<'t>(&self, tree: &'t Tree, id: CollectionId) -> Option<&'t Entry> {
        let entry = tree.entries.get(&id);
        entry.filter(|entry| self.sees(tree, &entry.collection))
    }

    /// The member collections of an entry that are seen, by name.
    pub(super) fn children<'t>(
        &self,
        tree: &'t Tree,
        entry: &'t Entry,
    ) -> impl Iterator<Item = &'t Entry> {
        let children = entry.children.values();
        children.filter_map(|child| self.entry(tree, *child))
    }

    fn child<'t>(
        &self,
        tree: &'t Tree,
        parent: CollectionId,
        segment: &Segment,
    ) -> Option<&'t Entry> {
        let child = tree.child(parent, segment);
        child.filter(|entry| self.sees(tree, &entry.collection))
    }

    /// The account's id.
    pub fn id(&self) -> AccountId {
        self.inner.id
    }

    /// The account's name.
    pub fn name(&self) -> &UserName {
        &self.inner.name
    }

    /// Its calendar user address.
    pub fn email(&self) -> &Email {
        &self.inner.email
    }

    /// The device that it acts for.
    pub fn device(&self) -> SlotId {
        self.device
    }

    /// What the device may do.
    pub fn access(&self) -> Access {
        self.terms.access
    }

    /// Whether it may still be used: not after the account was locked, disabled or deleted, nor
    /// after the device's slot was revoked or has expired.
    pub fn is_open(&self) -> bool {
        !self.terms.ended(self.inner.vault.ambient.now())
            && !self.inner.dead.load(Ordering::Acquire)
            && self.inner.vault.has_slot(self.inner.id, self.device)
    }

    /// Durable when everything is that this account has seen so far. No answer, to a read or a
    /// write, may leave before it is.
    pub fn barrier(&self) -> Receipt {
        self.inner.last.lock().clone()
    }

    /// The home.
    pub fn home(&self) -> Arc<Collection> {
        let tree = self.inner.tree.read();
        tree.entries[&tree.home].collection.clone()
    }

    /// The collection with this id.
    pub fn collection(&self, id: CollectionId) -> Option<Arc<Collection>> {
        let tree = self.inner.tree.read();
        self.entry(&tree, id).map(|entry| entry.collection.clone())
    }

    /// The path of a collection below the home.
    pub fn path_of(&self, id: CollectionId) -> Vec<Segment> {
        let tree = self.inner.tree.read();
        match self.entry(&tree, id) {
            Some(_) => tree.path_of(id),
            None => Vec::new(),
        }
    }

    /// The ids of all collections that are seen, the home first, parents before children.
    pub fn subtree(&self) -> Vec<CollectionId> {
        let tree = self.inner.tree.read();
        let mut all = tree.subtree(tree.home);
        all.retain(|id| self.entry(&tree, *id).is_some());
        all
    }

    /// The collections that are members of a collection, by name.
    pub fn collections(&self, id: CollectionId) -> Vec<Arc<Collection>> {
        let tree = self.inner.tree.read();
        let Some(entry) = self.entry(&tree, id) else {
            return Vec::new();
        };
        self.children(&tree, entry)
            .map(|child| child.collection.clone())
            .collect()
    }

    /// What stands at a path below the home; the empty path is the home.
    pub fn resolve(&self, path: &[Segment]) -> Result<Node, VaultError> {
        let (parent, segment) = {
            let tree = self.inner.tree.read();
            let Some((segment, above)) = path.split_last() else {
                return Ok(Node::Collection(
                    tree.entries[&tree.home].collection.clone(),
                ));
            };
            let mut at = tree.home;
            for segment in above {
                match self.child(&tree, at, segment) {
                    Some(entry) => at = entry.collection.id,
                    None => return Ok(Node::Nowhere),
                }
            }
            if let Some(entry) = self.child(&tree, at, segment) {
                return Ok(Node::Collection(entry.collection.clone()));
            }
            (tree.entries[&at].collection.clone(), segment)
        };
        Ok(match self.object(parent.id, segment)? {
            Some(summary) => Node::Object(parent, summary),
            None => Node::Missing(parent, segment.clone()),
        })
    }

    /// The members of a collection, as they are now.
    pub fn members(&self, id: CollectionId) -> Result<Members, VaultError> {
        let objects = self.with_index(id, |index| index.in_order().cloned().collect())?;
        self.note_read(id);
        Ok(Members {
            objects,
            collections: self.collections(id),
        })
    }

    /// The objects of a calendar whose extent touches a range, by name; costs what it finds.
    pub fn objects_touching(
        &self,
        id: CollectionId,
        range: TimeRange,
    ) -> Result<Vec<Arc<Summary>>, VaultError> {
        let objects = self.with_index(id, |index| index.touching(range))?;
        self.note_read(id);
        Ok(objects)
    }

    /// The object of this name in a collection.
    pub fn object(
        &self,
        id: CollectionId,
        segment: &Segment,
    ) -> Result<Option<Arc<Summary>>, VaultError> {
        self.with_index(id, |index| index.named(segment).cloned())
    }

    /// The object of this UID in a calendar.
    pub fn object_by_uid(
        &self,
        id: CollectionId,
        uid: &str,
    ) -> Result<Option<Arc<Summary>>, VaultError> {
        self.with_index(id, |index| index.of_uid(uid).cloned())
    }

    /// How many rows of a collection do not open; its other members are served.
    pub fn damaged(&self, id: CollectionId) -> Result<usize, VaultError> {
        self.with_index(id, |index| index.damaged)
    }

    /// The body of an object, byte for byte as received.
    ///
    /// # Errors
    /// `Missing` when it was overwritten or deleted since `object` was looked up; `Damaged` when
    /// it does not open: the item is reported for itself, all others are served.
    pub fn body(&self, id: CollectionId, object: &Summary) -> Result<Vec<u8>, VaultError> {
        let state = self.state(id)?;
        self.note_read(id);
        let read = |vault: &Vault| {
            vault.read_chunks(
                &state,
                Kind::Body,
                Some(object.id),
                object.epoch,
                object.body_revision,
                object.size,
            )
        };
        let is_it = |now: &Summary| now.body_revision == object.body_revision;
        self.settled(id, object, read, is_it)
            .map(|mut body| std::mem::take(&mut *body))
    }

    /// The body of an object from byte `at` to the end of the stored chunk that holds it, never
    /// empty: whoever reads a large one slowly holds one chunk. The rows of a revision go when it is
    /// overwritten, so no reader meets two of them.
    ///
    /// # Errors
    /// As `body`; `Damaged` too when `at` is not within the body.
    pub fn body_from(
        &self,
        id: CollectionId,
        object: &Summary,
        at: u64,
    ) -> Result<Vec<u8>, VaultError> {
        let state = self.state(id)?;
        self.note_read(id);
        let content = Content {
            state: &state,
            kind: Kind::Body,
            object: object.id,
            epoch: object.epoch,
            revision: object.body_revision,
            bytes: object.size,
        };
        let chunk = at / CHUNK_CONTENT_BYTES as u64;
        let read = |vault: &Vault| match u32::try_from(chunk) {
            Ok(chunk) if at < object.size => vault.read_chunk(&content, chunk),
            _ => Err(VaultError::Damaged("offset".into())),
        };
        let is_it = |now: &Summary| now.body_revision == object.body_revision;
        let opened = self.settled(id, object, read, is_it)?;
        let skipped = at % CHUNK_CONTENT_BYTES as u64;
        let whole = CHUNK_CONTENT_BYTES as u64;
        if opened.len() as u64 != whole.min(object.size - chunk * whole) {
            return Err(VaultError::Damaged("length".into()));
        }
        Ok(opened[usize::try_from(skipped).expect("less than a chunk")..].to_vec())
    }

    /// The stored properties of an object; costs nothing when it has none.
    pub fn properties(
        &self,
        id: CollectionId,
        object: &Summary,
    ) -> Result<Arc<Properties>, VaultError> {
        if object.properties_revision == 0 {
            return Ok(Arc::default());
        }
        let state = self.state(id)?;
        let (revision, bytes) = (object.properties_revision, object.properties_bytes);
        let read = |vault: &Vault| {
            vault.read_chunks(
                &state,
                Kind::ObjectProperties,
                Some(object.id),
                object.epoch,
                revision,
                bytes,
            )
        };
        let is_it = |now: &Summary| now.properties_revision == revision;
        let content = self.settled(id, object, read, is_it)?;
        decode(&content)
            .map(Arc::new)
            .ok_or_else(|| VaultError::Damaged("properties".into()))
    }

    /// Reads rows of an object that a commit may have enqueued and not applied yet. Rows that are
    /// not there, while the object still is as it was looked up (`is_it`), were lost.
    fn settled<T>(
        &self,
        id: CollectionId,
        object: &Summary,
        read: impl Fn(&Vault) -> Result<Option<T>, VaultError>,
        is_it: impl Fn(&Summary) -> bool,
    ) -> Result<T, VaultError> {
        let read = || {
            read(&self.inner.vault).or_else(|error| {
                // Since this account was closed its rows may have got another key.
                self.still_alone()?;
                Err(error)
            })
        };
        if let Some(found) = read()? {
            return Ok(found);
        }
        self.may_wait()?;
        self.barrier().wait()?;
        if let Some(found) = read()? {
            return Ok(found);
        }
        // A writer's commit may be applied before its index is updated, so none may be at work.
        let _gate = self.inner.gate.lock();
        self.still_alone()?;
        let still = self.object(id, &object.segment)?;
        if still.is_some_and(|now| now.id == object.id && is_it(&now)) {
            tracing::error!(collection = %id, object = %object.id, "rows of an object were lost");
            return Err(VaultError::Damaged(format!("object {}", object.id)));
        }
        Err(VaultError::Missing)
    }

    /// The unexpired locks of the account, at what is seen.
    pub fn locks(&self) -> Vec<Arc<Lock>> {
        let now = self.inner.vault.ambient.now();
        let tree = self.inner.tree.read();
        let seen = |lock: &&Arc<Lock>| {
            let first = lock.root.first();
            self.view.is_none()
                || first.is_none_or(|name| self.child(&tree, tree.home, name).is_some())
        };
        tree.locks
            .iter()
            .filter(|lock| lock.expires > now)
            .filter(seen)
            .cloned()
            .collect()
    }

    /// Runs `work` as the account's one writer: it checks every condition and plans one change;
    /// when it returns Ok the change is enqueued as one atomic commit, durable when `barrier` is.
    /// Reads inside it see the state before. On Err nothing happened.
    ///
    /// # Errors
    /// What `work` says; `Denied` for a device that may read only, whatever its door is;
    /// `Locked` when the account or the device is out since it signed in; `Busy` in haste, when
    /// another writer is at work.
    pub fn write<T, E: From<VaultError>>(
        &self,
        work: impl FnOnce(&mut transaction::Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.terms.access == Access::ReadOnly {
            return Err(VaultError::Denied.into());
        }
        let gate = match self.inner.gate.try_lock() {
            Some(gate) => gate,
            None => {
                self.may_wait()?;
                self.inner.gate.lock()
            }
        };
        if self.inner.dead.load(Ordering::Acquire) {
            return Err(VaultError::Locked.into());
        }
        if self.inner.vault.store.has_failed() {
            // The memory must not get ahead of what is known good.
            return Err(VaultError::Store(StoreError::Failed).into());
        }
        let mut transaction = transaction::Transaction::new(self.clone());
        let value = work(&mut transaction)?;
        let flooded = transaction.commit();
        drop(gate);
        if flooded {
            self.inner.tidy();
        }
        Ok(value)
    }

    /// Asked before rows are called damaged: another `Inner` may have changed them since this one
    /// was closed, while a request that was under way goes on reading.
    pub(super) fn still_alone(&self) -> Result<(), VaultError> {
        match self.inner.dead.load(Ordering::Acquire) {
            true => Err(VaultError::Locked),
            false => Ok(()),
        }
    }

    pub(super) fn state(&self, id: CollectionId) -> Result<Arc<State>, VaultError> {
        let tree = self.inner.tree.read();
        self.entry(&tree, id)
            .map(|entry| entry.state.clone())
            .ok_or(VaultError::Missing)
    }

    /// Runs `with` on the index of a collection, loading it first if need be.
    pub(super) fn with_index<T>(
        &self,
        id: CollectionId,
        with: impl FnOnce(&Index) -> T,
    ) -> Result<T, VaultError> {
        let state = self.state(id)?;
        let vault = &self.inner.vault;
        state.used.store(
            vault.uses.fetch_add(1, Ordering::Relaxed),
            Ordering::Relaxed,
        );
        if let Some(index) = &*state.index.read() {
            return Ok(with(index));
        }
        self.may_wait()?;
        // Loading keeps writers out: a scan is not a snapshot.
        let _gate = self.inner.gate.lock();
        if let Some(index) = &*state.index.read() {
            return Ok(with(index));
        }
        self.barrier().wait()?;
        let index = self.load_index(id, &state)?;
        let value = with(&index);
        *state.index.write() = Some(index);
        vault.indexes.lock().loaded(&state, vault.index_capacity);
        Ok(value)
    }

    fn load_index(&self, id: CollectionId, state: &State) -> Result<Index, VaultError> {
        let mut index = Index::default();
        for row in self
            .inner
            .vault
            .store
            .scan(&state.names.prefix(Kind::Summary))
        {
            let (name, stored) = row?;
            let opened = state.epochs.iter().rev().find_map(|epoch| {
                stored
                    .clone()
                    .open(
                        &epoch.rows,
                        &state.scanned_place(Kind::Summary, &name, epoch.number),
                    )
                    .ok()
            });
            let row = opened.and_then(|content| decode::<SummaryRow>(&content));
            match row.filter(|row| state.names.row(Kind::Summary, row.id().bytes(), 0, 0) == name) {
                Some(SummaryRow::Live(summary)) => {
                    index.apply(&super::index::IndexEffect::Live(Arc::new(summary)))
                }
                Some(SummaryRow::Gone(tombstone)) => {
                    index.apply(&super::index::IndexEffect::Gone(Arc::new(tombstone)))
                }
                None => {
                    index.damaged += 1;
                    tracing::error!(account = %self.inner.id, collection = %id, row = name.short(),
                        "an object's summary is damaged; the object cannot be served, its rows are kept");
                }
            }
        }
        let head = self
            .inner
            .tree
            .read()
            .entries
            .get(&id)
            .ok_or(VaultError::Missing)?
            .head;
        if index.damaged == 0 && index.digest(&state.etags) != head.digest {
            self.still_alone()?;
            tracing::error!(account = %self.inner.id, collection = %id,
                "the rows of a collection do not add up to its head: some were lost or put back from an older state");
            return Err(VaultError::Damaged(format!("collection {id}")));
        }
        Ok(index)
    }
}
