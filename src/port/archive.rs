//! Writes an archive: a folder for each collection, with each object as its own file, byte for
//! byte, and `collection.json`. docs/MIGRATION.md describes it.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::described::{self, Described, DescribedObject, Manifest};
use super::names::FileNames;
use super::past::{self, PastContents};
use super::{
    Answer, Answers, Ask, CollectionHead, Kind, ObjectHead, PortError, PropertyText, unexpected,
};
use crate::ical::tree::Calendar;
use crate::ids::Segment;
use crate::xml::dav;

/// Whether each calendar is also written as one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// As `calendar.ics` in its folder.
    Yes,
    /// Only as its objects.
    No,
}

/// What an export is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// As one file too.
    pub merged: Merged,
    /// What is kept of before.
    pub past: PastContents,
}

/// What an export wrote.
#[derive(Debug, Default)]
pub struct Exported {
    /// Collections.
    pub collections: usize,
    /// Objects.
    pub objects: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Earlier versions of objects that are there or were in a deleted collection.
    pub versions: u64,
    /// Deleted objects, each with all its versions.
    pub deleted: u64,
    /// Deleted collections.
    pub trashed: usize,
    /// What is not in the archive, or not in a merged file: sentences.
    pub missing: Vec<String>,
}

/// Writes everything to `to`, and waits until it is on the disk; `progress` hears how many objects
/// are done, of how many.
///
/// # Errors
/// The account cannot be read, or the file not be written: then it is no archive.
pub fn export(
    answers: &mut dyn Answers,
    user: &str,
    now: &str,
    to: File,
    contents: Contents,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported, PortError> {
    let (Answer::Collections { collections }, _) = answers.ask(&Ask::Collections, &[])? else {
        return Err(unexpected());
    };
    let mut writer = Writer {
        zip: ZipWriter::new(to),
        done: Exported::default(),
        all: collections.iter().map(|one| one.objects).sum(),
    };
    let mut folders = match contents.past {
        PastContents::No => FileNames::new(&[described::MANIFEST]),
        PastContents::Yes => FileNames::new(&[described::MANIFEST, past::HISTORY, past::TRASH]),
    };
    let mut live = Vec::new();
    let mut manifest = Manifest {
        format: described::FORMAT,
        program: format!("sealdav {}", env!("CARGO_PKG_VERSION")),
        user: user.to_owned(),
        exported: now.to_owned(),
        folders: Vec::new(),
    };
    for collection in collections {
        let parts: Vec<_> = collection.path.iter().map(Segment::as_str).collect();
        let folder = folders.give(&parts.join("+"), "");
        manifest.folders.push(folder.clone());
        live.push((folder.clone(), collection.clone()));
        writer.collection(answers, &folder, collection, contents.merged, progress)?;
    }
    if contents.past == PastContents::Yes {
        writer.past(answers, live)?;
    }
    writer.json(described::MANIFEST, &manifest)?;
    let file = writer.zip.finish().map_err(lost)?;
    file.sync_all().map_err(lost)?;
    Ok(writer.done)
}

pub(super) fn lost(error: impl std::fmt::Display) -> PortError {
    PortError::Lost(format!("the archive cannot be written: {error}"))
}

pub(super) struct Writer {
    pub zip: ZipWriter<File>,
    pub done: Exported,
    all: u64,
}

impl Writer {
    pub fn begin(&mut self, name: &str, bytes: Option<u64>) -> Result<(), PortError> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .unix_permissions(0o600)
            .large_file(bytes.is_none_or(|bytes| bytes >= u64::from(u32::MAX)));
        self.zip.start_file(name, options).map_err(lost)
    }

    pub fn json(&mut self, name: &str, value: &impl serde::Serialize) -> Result<(), PortError> {
        let text = serde_json::to_vec_pretty(value).map_err(lost)?;
        self.begin(name, Some(text.len() as u64))?;
        self.zip.write_all(&text).map_err(lost)
    }

    fn collection(
        &mut self,
        answers: &mut dyn Answers,
        folder: &str,
        head: CollectionHead,
        merged: Merged,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), PortError> {
        let calendar = matches!(head.kind, Kind::Calendar(_));
        let mut names = FileNames::new(&[described::COLLECTION, described::MERGED]);
        let mut described = Vec::new();
        let (damaged, properties) = each(answers, &head.path, &mut |object, body| {
            let name = object.name.as_deref().unwrap_or_default();
            if let Some(why) = &object.damaged {
                self.done.missing.push(format!("{folder}/{name}: {why}"));
                return Ok(());
            }
            let file = names.give(name, if calendar { ".ics" } else { "" });
            self.begin(&format!("{folder}/{file}"), Some(body.len() as u64))?;
            self.zip.write_all(body).map_err(lost)?;
            self.done.objects += 1;
            self.done.bytes += body.len() as u64;
            progress(self.done.objects, self.all);
            described.extend(more(object, name, file));
            Ok(())
        })?;
        if damaged > 0 {
            let sentence = format!("{folder}: {damaged} objects are damaged and do not open");
            self.done.missing.push(sentence);
        }
        if merged == Merged::Yes && calendar {
            self.merge(answers, folder, &head, &properties)?;
        }
        self.done.collections += 1;
        let name = format!("{folder}/{}", described::COLLECTION);
        self.json(&name, &Described::of(head, properties, described))
    }

    /// All objects of a calendar in one stream (RFC 5545 section 3.4): the components as they are,
    /// each time zone once.
    fn merge(
        &mut self,
        answers: &mut dyn Answers,
        folder: &str,
        head: &CollectionHead,
        properties: &[PropertyText],
    ) -> Result<(), PortError> {
        self.begin(&format!("{folder}/{}", described::MERGED), None)?;
        let mut text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//sealdav//{}//EN\r\n",
            env!("CARGO_PKG_VERSION")
        );
        let title = dav("displayname");
        let is = |one: &&PropertyText| one.namespace == title.ns && one.name == title.local;
        if let Some(title) = properties.iter().find(is) {
            let escaped = title.text.replace('\\', "\\\\").replace(',', "\\,");
            let escaped = escaped.replace(';', "\\;").replace('\n', "\\n");
            text += &crate::ical::line::fold(&format!("X-WR-CALNAME:{escaped}"));
        }
        self.zip.write_all(text.as_bytes()).map_err(lost)?;
        let mut zones = HashSet::new();
        each(answers, &head.path, &mut |object, body| {
            let Ok(calendar) = Calendar::parse(body) else {
                let name = object.name.as_deref().unwrap_or_default();
                let sentence = format!("{folder}/{name}: not in {}", described::MERGED);
                self.done.missing.push(sentence);
                return Ok(());
            };
            for component in &calendar.root.components {
                let zone = component.property("TZID").map(|id| id.value.to_string());
                if component.name == "VTIMEZONE" && !zones.insert(zone.unwrap_or_default()) {
                    continue;
                }
                let bytes = component.span.of(body);
                self.zip.write_all(bytes).map_err(lost)?;
                if !bytes.ends_with(b"\n") {
                    self.zip.write_all(b"\r\n").map_err(lost)?;
                }
            }
            Ok(())
        })?;
        self.zip.write_all(b"END:VCALENDAR\r\n").map_err(lost)
    }
}

/// What is said of an object besides its file.
pub(super) fn more(object: &ObjectHead, name: &str, file: String) -> Option<DescribedObject> {
    let name = (file != name).then(|| name.to_owned());
    if name.is_none() && object.content_type.is_none() && object.properties.is_empty() {
        return None;
    }
    Some(DescribedObject {
        file,
        name,
        content_type: object.content_type.clone(),
        properties: object.properties.clone(),
    })
}

/// What is done with an object and its body.
type With<'a> = dyn FnMut(&ObjectHead, &[u8]) -> Result<(), PortError> + 'a;

/// Every object of a collection, one after the other; gives how many are not even known by
/// name, and its properties.
fn each(
    answers: &mut dyn Answers,
    path: &[Segment],
    with: &mut With<'_>,
) -> Result<(usize, Vec<PropertyText>), PortError> {
    let path = path.to_vec();
    let begun = answers.ask(&Ask::Begin { path }, &[])?.0;
    let Answer::Begun {
        damaged,
        properties,
    } = begun
    else {
        return Err(unexpected());
    };
    loop {
        let (Answer::Objects { objects }, bodies) = answers.ask(&Ask::Next, &[])? else {
            return Err(unexpected());
        };
        if objects.is_empty() {
            return Ok((damaged, properties));
        }
        let mut rest = &bodies[..];
        for object in &objects {
            let (body, after) = rest.split_at_checked(object.bytes).ok_or_else(unexpected)?;
            rest = after;
            with(object, body)?;
        }
    }
}
