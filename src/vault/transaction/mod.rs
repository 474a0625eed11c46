//! One atomic change of an account: planned under the gate, enqueued as one commit, then applied
//! to the tree and the indexes in memory.

mod collections;
mod forget;
mod grants;
mod history;
mod locks;
mod objects;
mod reseal;
mod trail;
mod trash;

pub(super) use collections::copied_kind;
pub use reseal::{Resealed, Resealing};

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::Action;
use super::grant::Grant;
use super::index::IndexEffect;
use super::kept::Weight;
use super::model::{Collection, Lock, VaultError};
use super::read::AccountStore;
use super::rows::{Annals, HeadRow, HistoryRow, RosterRow};
use super::trash::Trashed;
use super::tree::{Entry, Tree};
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, ObjectId};
use crate::store::Batch;

/// An index that grew by this many summaries is weighed again against the room for all.
const GROWTH: usize = 256;

/// What a commit does to the memory of the account, besides the heads.
pub(super) enum Effect {
    Index(CollectionId, IndexEffect),
    Linked(Box<Entry>),
    /// Another name, parent, place in its parent's changes, or other properties.
    Changed(Arc<Collection>),
    Unlinked(CollectionId),
    Locked(Arc<Lock>),
    Unlocked(String),
    Granted(Vec<Grant>),
    /// What became of an object's history; none when it is deleted.
    History(CollectionId, ObjectId, Option<Arc<HistoryRow>>),
    /// What a collection was before.
    Annals(CollectionId, Arc<Annals>),
    /// A collection that is also `Unlinked` can be restored.
    Trashed(Arc<Trashed>, RosterRow),
    /// One can no longer, or is.
    Untrashed(CollectionId),
}

/// See `AccountStore::write`. Each method that changes the tree or an object may be called once.
pub struct Transaction {
    account: AccountStore,
    now: UnixMillis,
    pub(super) batch: Batch,
    effects: Vec<Effect>,
    heads: HashMap<CollectionId, HeadRow>,
    dooms: Vec<RosterRow>,
    /// Bytes of the stored properties of all collections, once they were counted.
    properties: Option<u64>,
    /// What the audit trail calls the changes, where their kind does not say it.
    action: Option<Action>,
    /// Collections of which something was purged.
    purged: BTreeSet<CollectionId>,
    /// By how much the histories grow.
    grown: Weight,
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
            properties: None,
            action: None,
            purged: BTreeSet::new(),
            grown: Weight::default(),
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

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// What the audit trail calls the changes of this transaction.
    pub(super) fn tell(&mut self, action: Action) {
        self.action = Some(action);
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
        if self.account.is_limited() {
            // Of chosen calendars, no more than the objects in them may be changed.
            let calendar = self.account.collection(id).ok_or(VaultError::Missing)?;
            if !calendar.is_calendar() {
                return Err(VaultError::Denied);
            }
        }
        let now = self.now;
        Ok(self.head(id)?.next(now))
    }

    /// Enqueues the commit, then brings the memory up to it. Gives whether the account has so much
    /// trash now that whoever writes must cut it.
    pub(super) fn commit(mut self) -> bool {
        let inner = self.account.inner.clone();
        self.put_rosters();
        let mut linked = HashMap::new();
        for effect in &self.effects {
            match effect {
                Effect::Unlinked(id) => drop(self.heads.remove(id)),
                Effect::Linked(entry) => {
                    linked.insert(entry.collection.id, entry.state.clone());
                }
                _ => {}
            }
        }
        for (id, head) in &self.heads {
            let new = linked.remove(id);
            let Some(state) = new.or_else(|| self.account.state(*id).ok()) else {
                continue;
            };
            self.batch
                .put(state.head_name(), inner.seal_head(&state, head));
        }
        if self.batch.is_empty() {
            return false;
        }
        let mut writing = inner.vault.audit.writing(&inner.audit);
        self.record(&mut writing);
        *inner.last.lock() = inner.vault.store.commit(std::mem::take(&mut self.batch));
        drop(writing);
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
        inner.kept.add(self.grown);
        self.grown.items > 0 && inner.kept.is_flooded(inner.vault.retention())
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
                if let Some(entry) = tree.entries.remove(&id) {
                    inner.vault.discarded.lock().push(entry.state);
                }
            }
            Effect::Locked(lock) => {
                let mut tree = inner.tree.write();
                tree.locks
                    .retain(|other| other.token != lock.token && other.expires > self.now);
                tree.locks.push(lock);
            }
            Effect::Granted(grants) => inner.tree.write().grants = grants,
            Effect::History(id, object, row) => {
                let Ok(state) = self.account.state(id) else {
                    return;
                };
                let receipt = inner.last.lock().clone();
                let mut recent = state.recent.lock();
                recent.retain(|_, (receipt, _)| !receipt.is_durable());
                recent.insert(object, (receipt, row));
            }
            Effect::Annals(id, row) => {
                if let Ok(state) = self.account.state(id) {
                    *state.annals.lock() = Some(row);
                }
            }
            Effect::Trashed(trashed, row) => {
                inner.vault.trashed.lock().push(row);
                inner.kept.recount();
                inner.tree.write().trashed.push(trashed);
            }
            Effect::Untrashed(id) => {
                inner.kept.recount();
                inner.tree.write().trashed.retain(|one| one.id != id);
                // Of the oldest that made room; others are taken before.
                let of = |row: &RosterRow| row.account == inner.id && row.collection == id;
                inner.vault.trashed.lock().retain(|row| !of(row));
            }
            Effect::Unlocked(token) => inner.tree.write().locks.retain(|lock| lock.token != token),
        }
    }
}

fn hang(tree: &mut Tree, collection: &Collection) {
    if let (Some(parent), Some(segment)) = (collection.parent, &collection.segment)
        && let Some(parent) = tree.entries.get_mut(&parent)
    {
        parent.children.insert(segment.clone(), collection.id);
    }
}

fn unhang(tree: &mut Tree, id: CollectionId) {
    let Some(collection) = tree.entries.get(&id).map(|entry| entry.collection.clone()) else {
        return;
    };
    if let (Some(parent), Some(segment)) = (collection.parent, &collection.segment)
        && let Some(parent) = tree.entries.get_mut(&parent)
        && parent.children.get(segment) == Some(&id)
    {
        parent.children.remove(segment);
    }
}
