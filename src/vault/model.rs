//! The plain values that the vault speaks in: no keys, no rows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ambient::UnixMillis;
use crate::ical::moments::Memo;
use crate::ical::{ComponentKind, ComponentSet, Extent};
use crate::ids::{CollectionId, ObjectId, Segment, SlotId};
use crate::xml::Name;

/// Stored properties of a resource, live and dead alike: the expanded name, and the whole
/// element as self-contained XML (RFC 4918 section 4.3). What they mean is the dav floor's affair.
pub type Properties = BTreeMap<Name, String>;

/// What a collection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CollectionKind {
    /// The root of an account's tree (CALDAV:calendar-home-set). It is never itself a calendar.
    Home,
    /// An ordinary WebDAV collection, holding files and collections.
    Plain,
    /// A calendar: holds calendar object resources of these components, and no collections.
    Calendar(ComponentSet),
}

/// A collection at one moment. A change makes a new value, so a reader keeps what it saw.
#[derive(Debug, Clone)]
pub struct Collection {
    /// Its id, for ever.
    pub id: CollectionId,
    /// The collection it is in; none for the home.
    pub parent: Option<CollectionId>,
    /// Its name there; none for the home.
    pub segment: Option<Segment>,
    /// What it is for.
    pub kind: CollectionKind,
    /// When it was made.
    pub created: UnixMillis,
    /// When a member or a property last changed.
    pub modified: UnixMillis,
    /// The number of its last change: its members' changes, its properties, and, on the home, its
    /// calendars' coming, going and changing properties. Only ever grows.
    pub revision: u64,
    /// The revision of its parent at which it was made, renamed or got other properties.
    pub changed_in_parent: u64,
    /// Live objects in it, collections not counted.
    pub objects: u64,
    /// Its stored properties.
    pub properties: Arc<Properties>,
}

impl Collection {
    /// Whether it is a calendar.
    pub fn is_calendar(&self) -> bool {
        matches!(self.kind, CollectionKind::Calendar(_))
    }
}

/// A strong entity tag: a keyed fingerprint over object id, revision and bytes, 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Etag(pub [u8; 16]);

impl Etag {
    /// With its quotes, as it stands in a header or in DAV:getetag (RFC 9110 section 8.8.3).
    pub fn text(&self) -> EtagText {
        // Without a table, so that all digits are made at once: a listing writes one for each member.
        let digit = |half: u8| half + b'0' + u8::from(half > 9) * (b'a' - b'0' - 10);
        let mut text = [b'"'; 34];
        for (byte, pair) in self.0.iter().zip(text[1..33].chunks_exact_mut(2)) {
            pair[0] = digit(byte >> 4);
            pair[1] = digit(byte & 15);
        }
        EtagText(text)
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text().as_str())
    }
}

/// An entity tag as text, on the stack.
pub struct EtagText([u8; 34]);

impl EtagText {
    /// The text, with quotes.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("quotes and digits")
    }
}

/// What the vault keeps beside a calendar object's body so that listings and queries need not parse it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarFacts {
    /// The one UID of its components.
    pub uid: Box<str>,
    /// Their kind.
    pub component: ComponentKind,
    /// An outer bound of the times at which any part of it may match a time range.
    pub extent: Extent,
    /// When it takes place, once that was asked; in memory only.
    #[serde(skip)]
    pub moments: Memo,
}

/// The media type of an object. Nearly all objects of a calendar have the same, which takes no
/// memory of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum MediaType {
    /// text/calendar in UTF-8.
    Calendar,
    /// Any other; twice boxed, so that it takes one word where there is none.
    Other(Box<Box<str>>),
}

impl MediaType {
    const CALENDAR: &str = "text/calendar; charset=utf-8";

    /// As it stands in a header.
    pub fn as_str(&self) -> &str {
        match self {
            MediaType::Calendar => MediaType::CALENDAR,
            MediaType::Other(text) => text,
        }
    }
}

impl From<String> for MediaType {
    fn from(text: String) -> MediaType {
        match text == MediaType::CALENDAR {
            true => MediaType::Calendar,
            false => MediaType::Other(Box::new(text.into())),
        }
    }
}

impl From<MediaType> for String {
    fn from(of: MediaType) -> String {
        of.as_str().to_owned()
    }
}

/// Everything about an object except its body and its stored properties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its id, for ever.
    pub id: ObjectId,
    /// Its name in its collection.
    pub segment: Segment,
    /// The collection's revision at its last change.
    pub revision: u64,
    /// The collection's revision at which its body was written.
    pub body_revision: u64,
    /// The collection's revision at which its stored properties were written; 0 when it has none.
    pub properties_revision: u64,
    /// Bytes of its stored properties.
    pub properties_bytes: u64,
    /// The epoch of the collection key that its body and properties are sealed with.
    pub epoch: u32,
    /// The tag of its body.
    pub etag: Etag,
    /// Bytes of its body.
    pub size: u64,
    /// The media type it was stored with.
    pub content_type: MediaType,
    /// When it was first stored.
    pub created: UnixMillis,
    /// When its body was last stored.
    pub modified: UnixMillis,
    /// When it last changed in any way, and by which device.
    pub changed: UnixMillis,
    /// The device (key slot) that made the last change.
    pub device: SlotId,
    /// What is known of it as a calendar object; none for a file in a plain collection.
    pub calendar: Option<CalendarFacts>,
}

/// A past version of an object. Its number is the collection's revision at which its body was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its number, unique among the versions of the object.
    pub revision: u64,
    /// The epoch of the collection key that its body is sealed with.
    pub epoch: u32,
    /// The tag of its body.
    pub etag: Etag,
    /// Bytes of its body.
    pub size: u64,
    /// The media type it was stored with.
    pub content_type: String,
    /// The object's name when it was replaced.
    pub segment: Segment,
    /// What is known of it as a calendar object.
    pub calendar: Option<CalendarFacts>,
    /// When the object was first stored.
    pub created: UnixMillis,
    /// When this body was stored.
    pub modified: UnixMillis,
    /// The device that stored it; NONE where that is not known.
    pub device: SlotId,
    /// When it was replaced or deleted.
    pub replaced: UnixMillis,
    /// The device that did so.
    pub by: SlotId,
}

/// How long and how many past versions are kept, and deleted collections. Zero of the first two: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Days after the deletion or replacement.
    pub days: u32,
    /// Versions of one object.
    pub versions: u32,
    /// Versions of all objects of an account; the oldest go when there are more.
    pub items: u64,
    /// Bytes of them and of deleted collections, the same.
    pub bytes: u64,
}

impl Retention {
    /// What is deleted or overwritten is gone at once.
    pub const NOTHING: Retention = Retention {
        days: 0,
        versions: 0,
        items: 0,
        bytes: 0,
    };

    /// Whether nothing is kept.
    pub fn is_off(self) -> bool {
        self.days == 0 || self.versions == 0
    }

    /// What was replaced before this is no longer kept at `now`.
    pub fn ends(self, now: UnixMillis) -> UnixMillis {
        let days = if self.is_off() { 0 } else { self.days };
        UnixMillis(now.0.saturating_sub(i64::from(days) * 86_400_000))
    }
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            days: crate::limits::TRASH_DAYS,
            versions: crate::limits::TRASH_VERSIONS,
            items: crate::limits::TRASH_ITEMS,
            bytes: crate::limits::TRASH_MIB << 20,
        }
    }
}

/// What stands at a path.
#[derive(Debug, Clone)]
pub enum Node {
    /// A collection.
    Collection(Arc<Collection>),
    /// An object and the collection it is in.
    Object(Arc<Collection>, Arc<Summary>),
    /// Nothing, but there could be: the collection it would be in, and its name there.
    Missing(Arc<Collection>, Segment),
    /// Nothing, and its parent is missing too or is no collection (RFC 4918 section 9.7.1: 409 for writes).
    Nowhere,
}

/// The members of a collection at one moment, each list in the order of names.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// Its objects.
    pub objects: Vec<Arc<Summary>>,
    /// The collections in it.
    pub collections: Vec<Arc<Collection>>,
}

/// One difference that sync-collection reports (RFC 6578 section 3.5).
#[derive(Debug, Clone)]
pub enum Change {
    /// An object that is new or changed.
    Object(Arc<Summary>),
    /// A member collection that is new or has other properties.
    Collection(Arc<Collection>),
    /// A member, object or collection, that is gone.
    Gone(Segment),
}

/// The differences since a token, in the order in which they happened.
#[derive(Debug, Clone)]
pub struct Changes {
    /// The collection at that moment.
    pub collection: Arc<Collection>,
    /// What changed, each member once.
    pub changes: Vec<Change>,
    /// The token to ask with next.
    pub token: String,
    /// Whether the limit cut the list; the token then continues it (RFC 6578 section 3.6).
    pub truncated: bool,
}

/// How far a lock reaches (RFC 4918 section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockDepth {
    /// Its root alone.
    Zero,
    /// Its root and everything below, now and later.
    Infinity,
}

/// Who else may lock (RFC 4918 section 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockScope {
    /// Nobody.
    Exclusive,
    /// Others with shared locks.
    Shared,
}

/// A write lock on a path of the account's tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// The lock token, an absolute URI (RFC 4918 section 6.5).
    pub token: String,
    /// Its root, as path below the home.
    pub root: Vec<Segment>,
    /// How far it reaches.
    pub depth: LockDepth,
    /// Who else may lock.
    pub scope: LockScope,
    /// The client's DAV:owner element as self-contained XML, or nothing.
    pub owner: String,
    /// When it ends by itself.
    pub expires: UnixMillis,
}

/// What to store at a path: the body exactly as received.
#[derive(Debug)]
pub struct NewObject {
    /// The collection it goes into.
    pub parent: CollectionId,
    /// Its name there. An object of that name is overwritten and keeps its id, properties and creation time.
    pub segment: Segment,
    /// The bytes received.
    pub body: Vec<u8>,
    /// Its media type.
    pub content_type: String,
    /// Needed in a calendar, absent elsewhere.
    pub calendar: Option<CalendarFacts>,
}

/// A collection to make.
#[derive(Debug)]
pub struct NewCollection {
    /// The collection it goes into.
    pub parent: CollectionId,
    /// Its name there, which must be free.
    pub segment: Segment,
    /// `Plain` or `Calendar`.
    pub kind: CollectionKind,
    /// Its first properties.
    pub properties: Properties,
}

/// Where a COPY or MOVE goes. What is there already is removed in the same commit: whether that
/// is allowed (Overwrite, RFC 4918 section 10.6) has been decided by the caller.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The collection.
    pub parent: CollectionId,
    /// The name in it.
    pub segment: Segment,
    /// The object's facts when `parent` is a calendar.
    pub calendar: Option<CalendarFacts>,
}

/// Why the vault did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultError {
    /// The name is taken (by a collection, where an object was to be stored, or the reverse).
    Exists,
    /// It is not there (any more).
    Missing,
    /// Another object of the calendar, of this name, has the UID (RFC 4791 section 5.3.2.1, no-uid-conflict).
    UidConflict(Segment),
    /// The sync-token is not one of this collection, or is too old (RFC 6578 section 3.2, valid-sync-token).
    TokenInvalid,
    /// A named limit of `limits` is reached.
    Limit(&'static str),
    /// The row is there but does not open: damaged, swapped or rolled back. The text names the row, not its content.
    Damaged(String),
    /// The store does not answer: full, failed, closed.
    Store(crate::store::StoreError),
    /// The account was locked or disabled meanwhile; sign in again.
    Locked,
    /// The device may not do this: it may read only, or has no more than chosen calendars.
    Denied,
    /// It would have to wait, and was asked in haste (`AccountStore::in_haste`). Nothing happened.
    Busy,
}
