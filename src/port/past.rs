//! Earlier versions and trash in an archive (`sealdav export --history`): both sides of it.
//!
//! - `history/FOLDER/NAME/TIME.ics`: earlier versions of an object, TIME being when each was stored;
//! - `trash/objects/FOLDER/NAME/TIME.ics`: a deleted object, with all its versions;
//! - `trash/calendars/FOLDER/`: a deleted collection as one that is there, with `history/` and
//!   `deleted/` of its own in it.
//!
//! FOLDER is as the collection's own where it is there. `versions.json` beside the NAMEs tells more of each
//! file. An import reads none of it: `sealdav-export.json` names the folders that it takes.

use std::collections::HashMap;
use std::io::Write;

use serde::Serialize;

use super::archive::{Writer, lost, more};
use super::described::{self, Described, DescribedObject};
use super::desk::{Desk, failed, head_of, kind, store_failed, texts};
use super::names::FileNames;
use super::{
    Answer, Answers, Ask, CollectionHead, Kind, PastHead, PortError, PropertyText, TrashedHead,
    Was, unexpected,
};
use crate::ical::time::Instant;
use crate::ids::{CollectionId, Segment};
use crate::limits;
use crate::vault::{self, Node, Past, PastObject};

/// The folder of earlier versions.
pub(super) const HISTORY: &str = "history";
/// The folder of what was deleted.
pub(super) const TRASH: &str = "trash";
/// What is said of the files of a collection's folder there.
const VERSIONS: &str = "versions.json";
/// The folder of deleted objects within a deleted collection.
const DELETED: &str = "deleted";

/// Whether an export holds what is kept of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastContents {
    /// It does.
    Yes,
    /// Only what is there.
    No,
}

/// A line of `versions.json`.
#[derive(Debug, Serialize)]
struct DescribedVersion {
    /// Below the folder.
    file: String,
    /// Its name in the account.
    name: String,
    /// The id of its object.
    object: String,
    was: Was,
    /// Milliseconds since 1970.
    stored: i64,
    /// The same.
    replaced: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    /// Each an XML element.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<String>,
}

/// `collection.json` of a deleted collection.
#[derive(Debug, Serialize)]
struct DescribedTrashed {
    #[serde(flatten)]
    described: Described,
    /// Milliseconds since 1970.
    deleted: i64,
}

impl Desk {
    pub(super) fn trashed(&mut self) -> Result<Answer, PortError> {
        let mut trashed = self.account.trashed_collections().map_err(failed)?;
        trashed.sort_by_key(|one| (std::cmp::Reverse(one.since), one.path.clone()));
        let head = |one: &vault::Trashed| TrashedHead {
            id: one.id.to_string(),
            head: CollectionHead {
                path: one.path.clone(),
                kind: kind(one.kind),
                objects: one.objects,
            },
            deleted: one.since.0,
        };
        Ok(Answer::Trashed {
            collections: trashed.iter().map(|one| head(one)).collect(),
        })
    }

    pub(super) fn begin_past(&mut self, path: &[Segment]) -> Result<Answer, PortError> {
        let Node::Collection(collection) = self.account.resolve(path).map_err(failed)? else {
            return Err(PortError::Refused("a collection is gone".to_owned()));
        };
        let past = self.account.past(collection.id).map_err(failed)?;
        Ok(self.begun_past(past))
    }

    pub(super) fn begin_trashed(&mut self, id: &str) -> Result<Answer, PortError> {
        let id = CollectionId::from_hex(id).ok_or_else(unexpected)?;
        let past = self.account.past_of_trashed(id).map_err(failed)?;
        Ok(self.begun_past(past))
    }

    fn begun_past(&mut self, past: Past) -> Answer {
        let begun = Answer::Begun {
            damaged: past.damaged(),
            properties: texts(&past.collection().properties),
        };
        self.past = Some(past);
        begun
    }

    pub(super) fn next_past(&mut self) -> Result<(Answer, Vec<u8>), PortError> {
        let past = self.past.as_mut().ok_or_else(unexpected)?;
        let (mut objects, mut bodies) = (Vec::new(), Vec::new());
        let mut said = 0;
        while objects.len() < limits::PORT_STEP_OBJECTS
            && bodies.len() + said < limits::PORT_STEP_BYTES
        {
            let Some(one) = past.following().map_err(failed)? else {
                break;
            };
            let head = past_head(past, &one);
            said += head
                .object
                .properties
                .iter()
                .map(String::len)
                .sum::<usize>();
            objects.push(head);
            bodies.extend(one.body.unwrap_or_default());
        }
        self.account.barrier().wait().map_err(|_| store_failed())?;
        Ok((Answer::Past { objects }, bodies))
    }
}

fn past_head(past: &Past, one: &PastObject) -> PastHead {
    let version = &one.version;
    let mut object = head_of(past.collection(), &version.segment, &version.content_type);
    object.properties = one.properties.values().cloned().collect();
    match &one.body {
        Some(body) => object.bytes = body.len(),
        None => object.damaged = Some("it is damaged and does not open".to_owned()),
    }
    PastHead {
        object,
        id: one.object.to_string(),
        was: match one.was {
            vault::Was::Member => Was::Member,
            vault::Was::Overwritten => Was::Overwritten,
            vault::Was::Deleted => Was::Deleted,
            vault::Was::Moved => Was::Moved,
        },
        stored: version.modified.0,
        replaced: version.replaced.0,
    }
}

/// What is to say of a deleted collection: its properties, and more about its objects.
struct Members {
    properties: Vec<PropertyText>,
    objects: Vec<DescribedObject>,
}

/// A folder of versions that is being written.
struct Folder {
    name: String,
    /// By the id of its object.
    objects: HashMap<String, (String, FileNames)>,
    names: FileNames,
    described: Vec<DescribedVersion>,
}

impl Folder {
    fn new(name: String) -> Self {
        Folder {
            name,
            objects: HashMap::new(),
            names: FileNames::new(&[VERSIONS]),
            described: Vec::new(),
        }
    }

    /// The file of a version, below the folder.
    fn file(&mut self, one: &PastHead, ending: &str) -> String {
        let called = one.object.name.as_deref().unwrap_or_default();
        if !self.objects.contains_key(&one.id) {
            let name = self.names.give(called, "");
            self.objects
                .insert(one.id.clone(), (name, FileNames::new(&[])));
        }
        let (name, files) = self
            .objects
            .get_mut(&one.id)
            .expect("it was just put there");
        format!(
            "{name}/{}",
            files.give(&format!("{}{ending}", time(one.stored)), ending)
        )
    }

    fn finish(self, writer: &mut Writer) -> Result<(), PortError> {
        match self.described.is_empty() {
            true => Ok(()),
            false => writer.json(&format!("{}/{VERSIONS}", self.name), &self.described),
        }
    }
}

/// Where what is kept of a collection is written to.
struct Kept {
    /// Of files of its objects.
    ending: &'static str,
    history: Folder,
    deleted: Folder,
    names: FileNames,
    members: Vec<DescribedObject>,
    /// The object that came last.
    last: String,
}

impl Kept {
    fn new(head: &CollectionHead, history: String, deleted: String) -> Self {
        Kept {
            ending: match head.kind {
                Kind::Calendar(_) => ".ics",
                Kind::Collection => "",
            },
            history: Folder::new(history),
            deleted: Folder::new(deleted),
            names: FileNames::new(&[described::COLLECTION, HISTORY, DELETED]),
            members: Vec::new(),
            last: String::new(),
        }
    }
}

/// A moment as part of a file's name (RFC 3339, with what no system refuses in names).
fn time(millis: i64) -> String {
    let Some(time) = Instant(millis.div_euclid(1_000)).to_utc() else {
        return "_".to_owned();
    };
    let date = time.date;
    format!(
        "{:04}-{:02}-{:02}T{:02}-{:02}-{:02}Z",
        date.year, date.month, date.day, time.hour, time.minute, time.second
    )
}

impl Writer {
    /// What is kept of all collections that are there, and all deleted ones.
    pub fn past(
        &mut self,
        answers: &mut dyn Answers,
        live: Vec<(String, CollectionHead)>,
    ) -> Result<(), PortError> {
        for (folder, head) in live {
            let history = format!("{HISTORY}/{folder}");
            let into = Kept::new(&head, history, format!("{TRASH}/objects/{folder}"));
            let begun = answers.ask(&Ask::BeginPast { path: head.path }, &[]);
            self.kept(answers, &folder, begun, into)?;
        }
        let (Answer::Trashed { collections }, _) = answers.ask(&Ask::Trashed, &[])? else {
            return Err(unexpected());
        };
        let mut folders = FileNames::new(&[]);
        for TrashedHead { id, head, deleted } in collections {
            let parts: Vec<_> = head.path.iter().map(Segment::as_str).collect();
            let name = folders.give(&parts.join("+"), "");
            let folder = format!("{TRASH}/calendars/{name}");
            let history = format!("{folder}/{HISTORY}");
            let into = Kept::new(&head, history, format!("{folder}/{DELETED}"));
            let begun = answers.ask(&Ask::BeginTrashed { id }, &[]);
            let written = self.kept(answers, &folder, begun, into)?;
            let Some(Members {
                properties,
                objects,
            }) = written
            else {
                continue;
            };
            self.done.trashed += 1;
            let described = Described::of(head, properties, objects);
            let described = DescribedTrashed { described, deleted };
            self.json(&format!("{folder}/{}", described::COLLECTION), &described)?;
        }
        Ok(())
    }

    /// What is kept of one; none when it does not open or is gone.
    fn kept(
        &mut self,
        answers: &mut dyn Answers,
        folder: &str,
        begun: Result<(Answer, Vec<u8>), PortError>,
        mut into: Kept,
    ) -> Result<Option<Members>, PortError> {
        let (damaged, properties) = match begun {
            Ok((
                Answer::Begun {
                    damaged,
                    properties,
                },
                _,
            )) => (damaged, properties),
            Ok(_) => return Err(unexpected()),
            Err(PortError::Refused(why)) => {
                let sentence = format!("what is kept of {folder}: {why}");
                self.done.missing.push(sentence);
                return Ok(None);
            }
            Err(lost) => return Err(lost),
        };
        if damaged > 0 {
            let sentence = format!("{folder}: {damaged} objects are damaged and do not open");
            self.done.missing.push(sentence);
        }
        loop {
            let (objects, bodies) = next(answers)?;
            if objects.is_empty() {
                break;
            }
            let mut rest = &bodies[..];
            for one in objects {
                let (body, after) = rest
                    .split_at_checked(one.object.bytes)
                    .ok_or_else(unexpected)?;
                rest = after;
                match &one.object.damaged {
                    None => self.keep(folder, one, body, &mut into)?,
                    Some(why) => {
                        let name = one.object.name.as_deref().unwrap_or_default();
                        let sentence = format!("{folder}/{name} of {}: {why}", time(one.stored));
                        self.done.missing.push(sentence);
                    }
                }
            }
        }
        into.history.finish(self)?;
        into.deleted.finish(self)?;
        Ok(Some(Members {
            properties,
            objects: into.members,
        }))
    }

    fn keep(
        &mut self,
        folder: &str,
        one: PastHead,
        body: &[u8],
        kept: &mut Kept,
    ) -> Result<(), PortError> {
        let name = one.object.name.clone().unwrap_or_default();
        if one.was == Was::Member {
            let file = kept.names.give(&name, kept.ending);
            self.file(&format!("{folder}/{file}"), body)?;
            kept.members.extend(more(&one.object, &name, file));
            return Ok(());
        }
        let into = match one.was {
            Was::Deleted => &mut kept.deleted,
            _ => &mut kept.history,
        };
        let file = into.file(&one, kept.ending);
        self.file(&format!("{}/{file}", into.name), body)?;
        match one.was {
            Was::Deleted => self.done.deleted += u64::from(kept.last != one.id),
            _ => self.done.versions += 1,
        }
        kept.last.clone_from(&one.id);
        into.described.push(DescribedVersion {
            file,
            name,
            object: one.id,
            was: one.was,
            stored: one.stored,
            replaced: one.replaced,
            content_type: one.object.content_type,
            properties: one.object.properties,
        });
        Ok(())
    }

    fn file(&mut self, name: &str, body: &[u8]) -> Result<(), PortError> {
        self.begin(name, Some(body.len() as u64))?;
        self.zip.write_all(body).map_err(lost)
    }
}

fn next(answers: &mut dyn Answers) -> Result<(Vec<PastHead>, Vec<u8>), PortError> {
    match answers.ask(&Ask::NextPast, &[])? {
        (Answer::Past { objects }, bodies) => Ok((objects, bodies)),
        _ => Err(unexpected()),
    }
}
