//! What stands inside the sealed rows: the stored formats. Each content begins with a version
//! byte; a changed struct gets the next number and the old one stays readable.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::model::{CollectionKind, Properties, Summary, Version};
use crate::ambient::UnixMillis;
use crate::ids::{AccountId, CollectionId, Email, ObjectId, Segment, SlotId, UserName};

const VERSION: u8 = 1;

/// Host: who an account belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DirectoryRow {
    pub id: AccountId,
    pub name: UserName,
    pub email: Email,
    pub admin: bool,
    pub enabled: bool,
    pub created: UnixMillis,
}

/// How a collection's rows stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum RosterState {
    /// Being written, not linked yet: an interrupted copy's rows are purged at the next start.
    Staged,
    /// Linked.
    Live,
    /// Deleted: to be purged.
    Doomed,
    /// The tree of an account under its next key: what the key file of this generation opens.
    /// Until that file stands, it is as if staged.
    Rekeyed { generation: u64 },
    /// Deleted, and kept for a while.
    Trashed {
        /// When it was deleted.
        since: UnixMillis,
    },
}

/// Host: which rows belong to a collection (or, with collection NONE, to an account's tree), so
/// that they can be purged without the account's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RosterRow {
    pub account: AccountId,
    pub collection: CollectionId,
    pub state: RosterState,
    pub prefixes: Vec<[u8; 16]>,
}

/// Account: a collection's place in the tree, and its keys.
#[derive(Serialize, Deserialize)]
pub(super) struct LinkRow {
    pub id: CollectionId,
    pub parent: Option<CollectionId>,
    pub segment: Option<Segment>,
    pub kind: CollectionKind,
    pub created: UnixMillis,
    pub changed_in_parent: u64,
    pub lasting: [u8; 32],
    pub epochs: Vec<(u32, [u8; 32])>,
}

impl Drop for LinkRow {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.lasting);
        for (_, key) in &mut self.epochs {
            zeroize::Zeroize::zeroize(key);
        }
    }
}

/// Collection: what must change with every change of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeadRow {
    /// The number of the last change.
    pub revision: u64,
    /// Live objects.
    pub objects: u64,
    /// When it last changed.
    pub modified: UnixMillis,
    /// Sum, in four lanes modulo 2^64, of what each summary row adds (`EtagKey::digest`): a row
    /// lost or put back to an older state does not add up.
    pub digest: [u64; 4],
    /// The same sum over the member collections and when each last changed here: one whose link
    /// was lost or put back does not add up.
    pub members: [u64; 4],
    /// Tokens below this revision have lost tombstones.
    pub floor: u64,
    /// The revision at which the stored properties were written; 0 when there are none.
    pub properties_revision: u64,
    /// Bytes of the stored properties.
    pub properties_bytes: u64,
}

impl HeadRow {
    pub fn new(now: UnixMillis) -> Self {
        HeadRow {
            revision: 1,
            objects: 0,
            modified: now,
            digest: [0; 4],
            members: [0; 4],
            floor: 0,
            properties_revision: 0,
            properties_bytes: 0,
        }
    }

    /// Takes the next revision.
    pub fn next(&mut self, now: UnixMillis) -> u64 {
        self.revision += 1;
        self.modified = now;
        self.revision
    }
}

/// Adds a row to a digest.
pub(super) fn digest_add(digest: &mut [u64; 4], row: &[u8; 32]) {
    for (lane, bytes) in digest.iter_mut().zip(row.chunks_exact(8)) {
        *lane = lane.wrapping_add(u64::from_le_bytes(bytes.try_into().expect("8 bytes")));
    }
}

/// Takes a row out of a digest.
pub(super) fn digest_sub(digest: &mut [u64; 4], row: &[u8; 32]) {
    for (lane, bytes) in digest.iter_mut().zip(row.chunks_exact(8)) {
        *lane = lane.wrapping_sub(u64::from_le_bytes(bytes.try_into().expect("8 bytes")));
    }
}

/// What is left of a member that is gone, so that clients hear of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tombstone {
    pub id: ObjectId,
    pub segment: Segment,
    pub revision: u64,
    pub changed: UnixMillis,
    pub device: SlotId,
}

/// Collection: an object, or its tombstone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SummaryRow {
    Live(Summary),
    Gone(Tombstone),
}

impl SummaryRow {
    pub fn id(&self) -> ObjectId {
        match self {
            SummaryRow::Live(summary) => summary.id,
            SummaryRow::Gone(tombstone) => tombstone.id,
        }
    }
}

/// Account: a deleted collection that can be restored.
#[derive(Serialize, Deserialize)]
pub(super) struct TrashedRow {
    pub link: LinkRow,
    /// The collection whose deletion took this one along, itself perhaps.
    pub root: CollectionId,
    /// Its path when it was deleted.
    pub path: Vec<Segment>,
    pub since: UnixMillis,
    pub by: SlotId,
    /// As it was then: nothing changes it in the trash.
    pub head: HeadRow,
}

/// Why an object is no longer where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ended {
    /// Deleted.
    Deleted,
    /// Something else was copied or moved onto its name.
    Replaced,
    /// Moved into another collection.
    Moved,
}

/// What an object had when it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gone {
    pub ended: Ended,
    /// Its stored properties, whose rows stay; sealed in the epoch of the newest version.
    pub properties_revision: u64,
    pub properties_bytes: u64,
}

/// Collection: the past versions of an object, by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HistoryRow {
    pub id: ObjectId,
    /// None while the object is there.
    pub gone: Option<Gone>,
    /// Versions that were cut.
    pub cut: u64,
    /// Newest first.
    pub versions: Vec<Version>,
}

/// A state of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CollectionState {
    /// None for the home.
    pub parent: Option<CollectionId>,
    /// The same.
    pub segment: Option<Segment>,
    pub properties: Properties,
    /// Which device made it what it was, and when.
    pub by: SlotId,
    pub at: UnixMillis,
}

/// Collection: what it was before, by its own id among the histories of its objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Annals {
    pub id: CollectionId,
    /// NONE where an earlier program made it.
    pub made_by: SlotId,
    /// Which device made it what it is, and when.
    pub by: SlotId,
    pub at: UnixMillis,
    /// Newest first.
    pub before: Vec<CollectionState>,
}

/// Encodes a row's content.
pub(super) fn encode<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    let bytes = postcard::to_extend(value, vec![VERSION])
        .expect("writing to memory, of types that postcard takes");
    Zeroizing::new(bytes)
}

/// Decodes a row's content; `None` when it is of another version or is not one.
pub(super) fn decode<T: DeserializeOwned>(content: &[u8]) -> Option<T> {
    match content.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).ok(),
        _ => None,
    }
}

/// Encodes stored properties.
pub(super) fn encode_properties(properties: &Properties) -> Zeroizing<Vec<u8>> {
    encode(properties)
}
