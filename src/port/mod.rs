//! Export and import of an account's calendars.
//!
//! Two sides talk: the `desk` has the open account, reads from it and puts into it; the side of
//! the person who asked reads and writes files (`source`, `archive`). They speak in values
//! (`Ask`, `Answer`), called directly or carried over the local socket (`wire`), so a command
//! works with and without a running server, files are opened with the rights of who asked, and
//! nothing is written unsealed but the archive that was asked for.
//!
//! What is imported goes through `Dav::handle` as the requests that a client would send: the same
//! rules, limits, locks and answers. Both ways hold one step of objects in memory
//! (`limits::PORT_STEP_BYTES`, or one large object) besides their names.
//!
//! - `desk`, `put`: the account's side; `wire`: between two processes;
//! - `source`, `folders`, `zipped`, `described`: what is imported, as a list of collections;
//! - `import`, `archive`, `past`, `names`: the other side.

mod archive;
mod described;
mod desk;
mod folders;
mod import;
mod names;
mod past;
mod put;
mod source;
pub mod wire;
mod zipped;

pub use archive::{Contents, Exported, Merged, export};
pub use desk::Desk;
pub use import::{Imported, Refused, import};
pub use past::PastContents;
pub use source::{Found, Source};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::Segment;

/// What is asked of the desk. Bodies travel beside it, one after the other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Ask {
    /// All collections, parents first.
    Collections,
    /// Begins to read the objects of a collection.
    Begin {
        /// Below the home.
        path: Vec<Segment>,
    },
    /// The next objects of it.
    Next,
    /// The deleted collections, parents first.
    Trashed,
    /// Begins to read what is kept of a collection: earlier versions, deleted objects.
    BeginPast {
        /// Below the home.
        path: Vec<Segment>,
    },
    /// The same of a deleted one, with what was in it.
    BeginTrashed {
        /// As `Trashed` told it.
        id: String,
    },
    /// The next of it.
    NextPast,
    /// Makes a collection, unless it is there.
    Make {
        /// Below the home.
        path: Vec<Segment>,
        /// What it is for.
        kind: Kind,
        /// Its properties, each an XML element.
        properties: Vec<String>,
        /// Whether properties of one that has objects already are replaced.
        existing: Existing,
        /// Whether nothing is changed.
        trial: Trial,
    },
    /// Stores objects; their bodies follow.
    Put {
        /// The collection, below the home.
        path: Vec<Segment>,
        /// What is said of each.
        objects: Vec<ObjectHead>,
        /// What becomes of one that is there already, and is different.
        existing: Existing,
        /// Whether nothing is changed.
        trial: Trial,
    },
}

/// What becomes of something that is there already, and is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// It stays, and what was to be stored is told as refused.
    Refuse,
    /// It is replaced.
    Replace,
    /// It stays, and what was to be stored is counted as skipped.
    Skip,
}

/// Whether an import is only tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    /// Everything is judged and nothing stored.
    Dry,
    /// It is stored.
    Real,
}

/// What a collection is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A calendar of these components; of the usual ones when none is named.
    Calendar(Vec<String>),
    /// A collection of files.
    Collection,
}

/// A collection, as it is exported.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CollectionHead {
    /// Below the home.
    pub path: Vec<Segment>,
    /// What it is for.
    pub kind: Kind,
    /// Its objects.
    pub objects: u64,
}

/// A deleted collection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrashedHead {
    /// For `BeginTrashed`.
    pub id: String,
    /// Where it was, and what it is for.
    #[serde(flatten)]
    pub head: CollectionHead,
    /// When it was deleted, in milliseconds since 1970.
    pub deleted: i64,
}

/// What something that is kept was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Was {
    /// In a deleted collection.
    Member,
    /// An earlier version of an object that is there.
    Overwritten,
    /// A version of a deleted object.
    Deleted,
    /// A version of an object that was moved elsewhere.
    Moved,
}

/// What is said of something that is kept, besides its body.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PastHead {
    /// Its name when it was replaced, and so on.
    pub object: ObjectHead,
    /// The id of its object.
    pub id: String,
    /// What it was.
    pub was: Was,
    /// When it was stored, in milliseconds since 1970.
    pub stored: i64,
    /// When it was replaced or deleted; of a member: when it last changed.
    pub replaced: i64,
}

/// A stored property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyText {
    /// Its namespace.
    pub namespace: String,
    /// Its local name.
    pub name: String,
    /// The whole element.
    pub xml: String,
    /// Its text.
    pub text: String,
}

/// What is said of an object besides its body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectHead {
    /// Its name in its collection; of an import: the wished one, or none for one by its UID.
    pub name: Option<String>,
    /// Its media type; none for a calendar object's.
    pub content_type: Option<String>,
    /// Its stored properties, each an XML element.
    pub properties: Vec<String>,
    /// Bytes of its body.
    pub bytes: usize,
    /// Why it has none: a sentence.
    pub damaged: Option<String>,
}

/// What became of an object that was to be stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is stored, new.
    Stored,
    /// It is stored in place of another.
    Replaced,
    /// It was there, byte for byte.
    Same,
    /// Another one is there, which stays.
    Skipped,
    /// It is not stored.
    Refused {
        /// Its UID, if it could be read.
        uid: Option<String>,
        /// The line of its body, from 1, where a rule is broken.
        line: Option<usize>,
        /// The rule.
        sentence: String,
    },
}

/// What the desk answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Answer {
    /// To `Collections`.
    Collections {
        /// Parents first.
        collections: Vec<CollectionHead>,
    },
    /// To `Begin`.
    Begun {
        /// Objects that do not open at all, so that not even their names are known.
        damaged: usize,
        /// Its stored properties.
        properties: Vec<PropertyText>,
    },
    /// To `Next`; the bodies follow.
    Objects {
        /// What is said of each; none at the end.
        objects: Vec<ObjectHead>,
    },
    /// To `Trashed`.
    Trashed {
        /// Parents first.
        collections: Vec<TrashedHead>,
    },
    /// To `NextPast`; the bodies follow.
    Past {
        /// What is said of each; none at the end.
        objects: Vec<PastHead>,
    },
    /// To `Make`.
    Made {
        /// Whether it is new.
        new: bool,
        /// What could not be set: sentences.
        refused: Vec<String>,
    },
    /// To `Put`.
    Outcomes {
        /// One for each object.
        outcomes: Vec<Outcome>,
    },
    /// To any: nothing was done.
    Failed {
        /// A sentence.
        sentence: String,
    },
}

/// Why an export or an import did not go on; a sentence for who asked.
#[derive(Debug)]
pub enum PortError {
    /// It was not done, and nothing else is concerned.
    Refused(String),
    /// The other side, or a file, is lost: nothing further can be done.
    Lost(String),
}

impl fmt::Display for PortError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (PortError::Refused(sentence) | PortError::Lost(sentence)) = self;
        formatter.write_str(sentence)
    }
}
impl std::error::Error for PortError {}

/// Whoever answers: a desk in this process, or one behind a socket.
pub trait Answers {
    /// Asks, with the bodies that belong to it; gives the answer with its bodies.
    ///
    /// # Errors
    /// The other side is gone, or answers `Failed`.
    fn ask(&mut self, ask: &Ask, bodies: &[u8]) -> Result<(Answer, Vec<u8>), PortError>;
}

fn unexpected() -> PortError {
    PortError::Lost("the server gave another answer; are both of the same version?".to_owned())
}
