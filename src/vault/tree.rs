//! The tree of one unlocked account: its collections with their keys, and its locks. All of it is
//! in memory while the account is unlocked; the summaries of a collection only while in use.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;

use super::grant::Grant;
use super::index::Index;
use super::model::{Collection, Lock};
use super::rows::{Annals, HeadRow, HistoryRow, LinkRow, decode};
use super::trash::Trashed;
use crate::ambient::Ambient;
use crate::ids::{AccountId, CollectionId, ObjectId, Segment};
use crate::seal::{
    CollectionKey, EtagKey, Kind, LastingKey, NameKey, Place, RowKey, RowName, RowPrefix, Stored,
};
use crate::store::Receipt;

/// One epoch of a collection's shared key.
pub(super) struct Epoch {
    pub number: u32,
    pub key: CollectionKey,
    pub rows: RowKey,
}

/// What a collection keeps for as long as its account is unlocked: keys, and its index when loaded.
pub(super) struct State {
    pub id: CollectionId,
    pub account: AccountId,
    pub lasting: LastingKey,
    pub names: NameKey,
    pub etags: EtagKey,
    /// Oldest first, never empty.
    pub epochs: Vec<Epoch>,
    /// The number of the oldest epoch that links still hold: nothing is sealed in those before.
    oldest: AtomicU32,
    pub index: RwLock<Option<Index>>,
    /// The vault's count of uses at its last use.
    pub used: AtomicU64,
    /// Histories that were committed and may not be in the store yet.
    pub recent: Mutex<Recent>,
    /// What it was before, once that changed.
    pub annals: Mutex<Option<Arc<Annals>>>,
    /// Whether its roster row names its histories too; one of an earlier program does not.
    pub rostered: AtomicBool,
}

/// By object: the receipt of its commit, and what was written; none when the row was deleted.
pub(super) type Recent = HashMap<ObjectId, (Receipt, Option<Arc<HistoryRow>>)>;

impl State {
    /// The id of an object, or of a tombstone, that change `revision` makes.
    pub fn new_id(&self, revision: u64, ambient: &Ambient) -> ObjectId {
        ObjectId::of_family(self.names.family(revision), ambient.bytes())
    }

    pub fn new(
        account: AccountId,
        id: CollectionId,
        lasting: LastingKey,
        keys: Vec<(u32, CollectionKey)>,
    ) -> Self {
        let epochs: Vec<_> = keys
            .into_iter()
            .map(|(number, key)| Epoch {
                number,
                rows: key.rows(),
                key,
            })
            .collect();
        let oldest = epochs.first().map_or(0, |epoch| epoch.number);
        State {
            id,
            account,
            names: lasting.names(),
            etags: lasting.etags(),
            lasting,
            epochs,
            oldest: AtomicU32::new(oldest),
            index: RwLock::new(None),
            used: AtomicU64::new(0),
            recent: Mutex::default(),
            annals: Mutex::default(),
            rostered: AtomicBool::new(false),
        }
    }

    /// The epoch that new rows are sealed in.
    pub fn current(&self) -> &Epoch {
        self.epochs
            .last()
            .expect("a collection has at least one epoch")
    }

    /// Whether rows may be sealed in an epoch before the current one.
    pub fn has_old_epochs(&self) -> bool {
        self.oldest.load(Ordering::Acquire) < self.current().number
    }

    /// Nothing is sealed in an epoch before the current one any more: links need not hold them.
    pub fn drop_old_epochs(&self) {
        self.oldest.store(self.current().number, Ordering::Release);
    }

    pub fn epoch(&self, number: u32) -> Option<&Epoch> {
        self.epochs.iter().find(|epoch| epoch.number == number)
    }

    /// The place of a chunk of an object's body or properties.
    pub fn chunk_place(
        &self,
        kind: Kind,
        object: ObjectId,
        epoch: u32,
        revision: u64,
        chunk: u32,
        last: bool,
    ) -> Place {
        Place {
            kind,
            account: self.account,
            collection: self.id,
            object,
            epoch,
            revision,
            chunk,
            last,
        }
    }

    /// The place of a row that a scan finds: bound to its own name, since what it is about is inside.
    pub fn scanned_place(&self, kind: Kind, name: &RowName, epoch: u32) -> Place {
        Place {
            epoch,
            ..scanned_place(kind, self.account, self.id, name)
        }
    }

    /// Opens a row that scans find, in whichever epoch it was sealed; none when it does not open.
    pub fn open<T: DeserializeOwned>(
        &self,
        kind: Kind,
        name: &RowName,
        stored: &Stored,
    ) -> Option<T> {
        let content = self.epochs.iter().rev().find_map(|epoch| {
            let place = self.scanned_place(kind, name, epoch.number);
            stored.clone().open(&epoch.rows, &place).ok()
        });
        decode(&content?)
    }

    /// What a member collection adds to the sum over all of them.
    pub fn member_digest(&self, member: CollectionId, changed: u64) -> [u8; 32] {
        self.etags
            .digest(ObjectId::from_bytes(*member.bytes()), changed)
    }

    /// What a head adds to the sum over all heads of the account. No object has the collection's id.
    pub fn head_digest(&self, head: &HeadRow) -> [u8; 32] {
        self.etags
            .digest(ObjectId::from_bytes(*self.id.bytes()), head.revision)
    }

    pub fn head_name(&self) -> RowName {
        self.names.row(Kind::Head, ObjectId::NONE.bytes(), 0, 0)
    }

    /// All that a purge of this collection must remove.
    pub fn prefixes(&self) -> Vec<[u8; 16]> {
        let kinds = [
            Kind::Summary,
            Kind::Body,
            Kind::ObjectProperties,
            Kind::Head,
            Kind::CollectionProperties,
            Kind::History,
            // of the home
            Kind::Lock,
        ];
        kinds
            .iter()
            .map(|kind| prefix_bytes(self.names.prefix(*kind)))
            .collect()
    }

    /// The row that links this collection into the tree.
    pub fn link(&self, collection: &Collection) -> LinkRow {
        LinkRow {
            id: collection.id,
            parent: collection.parent,
            segment: collection.segment.clone(),
            kind: collection.kind,
            created: collection.created,
            changed_in_parent: collection.changed_in_parent,
            lasting: *self.lasting.expose(),
            epochs: self
                .epochs
                .iter()
                .filter(|epoch| epoch.number >= self.oldest.load(Ordering::Acquire))
                .map(|epoch| (epoch.number, *epoch.key.expose()))
                .collect(),
        }
    }
}

pub(super) fn prefix_bytes(prefix: RowPrefix) -> [u8; 16] {
    prefix.bytes().try_into().expect("a prefix has 16 bytes")
}

/// The place of a row that a scan finds.
pub(super) fn scanned_place(
    kind: Kind,
    account: AccountId,
    collection: CollectionId,
    name: &RowName,
) -> Place {
    let hash = name.bytes()[16..32]
        .try_into()
        .expect("a row name has 36 bytes");
    Place::single(kind, account, collection, ObjectId::from_bytes(hash))
}

/// A collection in the tree.
pub(super) struct Entry {
    pub collection: Arc<Collection>,
    pub head: HeadRow,
    pub children: BTreeMap<Segment, CollectionId>,
    pub state: Arc<State>,
}

/// See the module.
pub(super) struct Tree {
    pub home: CollectionId,
    pub entries: HashMap<CollectionId, Entry>,
    pub locks: Vec<Arc<Lock>>,
    /// The devices that have no more than chosen calendars; known when the account is open whole.
    pub grants: Vec<Grant>,
    /// Collections with members that were lost or put back, as found when the account was unlocked.
    pub incomplete: Vec<CollectionId>,
    /// Deleted collections that can be restored, without their keys; known when it is open whole.
    pub trashed: Vec<Arc<Trashed>>,
}

impl Tree {
    /// One without anything in it yet.
    pub fn new(home: CollectionId) -> Self {
        Tree {
            home,
            entries: HashMap::new(),
            locks: Vec::new(),
            grants: Vec::new(),
            incomplete: Vec::new(),
            trashed: Vec::new(),
        }
    }

    pub fn child(&self, parent: CollectionId, segment: &Segment) -> Option<&Entry> {
        let id = self.entries.get(&parent)?.children.get(segment)?;
        self.entries.get(id)
    }

    /// The path of a collection below the home.
    pub fn path_of(&self, id: CollectionId) -> Vec<Segment> {
        let mut path = Vec::new();
        let mut at = self.entries.get(&id);
        while let Some(entry) = at {
            path.extend(entry.collection.segment.clone());
            at = entry
                .collection
                .parent
                .and_then(|parent| self.entries.get(&parent));
        }
        path.reverse();
        path
    }

    /// A collection and all below it, parents before children.
    pub fn subtree(&self, id: CollectionId) -> Vec<CollectionId> {
        let mut ids = vec![id];
        let mut next = 0;
        while let Some(entry) = ids.get(next).and_then(|id| self.entries.get(id)) {
            ids.extend(entry.children.values());
            next += 1;
        }
        ids
    }

    /// Replaces the snapshot of a collection after its head changed.
    pub fn refresh(&mut self, id: CollectionId, head: HeadRow) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.head = head;
            let mut collection = Collection::clone(&entry.collection);
            collection.revision = head.revision;
            collection.modified = head.modified;
            collection.objects = head.objects;
            entry.collection = Arc::new(collection);
        }
    }
}
