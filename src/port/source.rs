//! What is imported: collections with the places of their objects, gathered before anything is
//! read, so that the account is asked for one step after the other.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::import::Refused;
use super::zipped::Archive;
use super::{Kind, ObjectHead, folders, names, zipped};
use crate::dav::put::CALENDAR_TYPE;
use crate::ical::split;
use crate::ids::Segment;
use crate::limits;
use crate::xml::{apple, caldav, dav};

/// A collection to import.
#[derive(Debug)]
pub struct Found {
    /// Where it goes, below the home.
    pub path: Vec<Segment>,
    /// What it is for.
    pub kind: Kind,
    /// Its properties, each an XML element.
    pub properties: Vec<String>,
    /// Its objects.
    pub(super) items: Vec<Item>,
}

/// A file with objects.
#[derive(Debug)]
pub(super) struct Item {
    /// How it is called in the report.
    pub label: String,
    pub place: Place,
    pub head: ObjectHead,
    pub content: Content,
}

/// Where its bytes are.
#[derive(Debug)]
pub(super) enum Place {
    File(PathBuf),
    Entry { archive: usize, index: usize },
}

/// What they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// iCalendar of any number of objects.
    Objects,
    /// One object, or one file, as it is.
    One,
}

/// All that is imported by one command.
#[derive(Default)]
pub struct Source {
    /// In the order in which they were named; parents first.
    pub collections: Vec<Found>,
    /// What was found and is not imported.
    pub(super) refused: Vec<Refused>,
    pub(super) archives: Vec<Archive>,
    files: usize,
}

impl Source {
    /// Takes in a file or folder; `user` is whose collections are taken of a storage of several.
    ///
    /// # Errors
    /// Nothing of it can be imported; a sentence.
    pub fn add(&mut self, path: &Path, user: &str) -> Result<(), String> {
        let shown = path.display();
        let whole = path.canonicalize();
        let whole = whole.map_err(|error| format!("{shown}: {error}"))?;
        let ending = whole.extension().unwrap_or_default().to_string_lossy();
        if whole.is_dir() {
            return folders::gather(self, &whole, user);
        }
        match ending.to_ascii_lowercase().as_str() {
            "zip" => zipped::gather(self, &whole),
            "ics" | "ical" | "ifb" | "icalendar" => self.single(&whole),
            _ => Err(format!(
                "{shown}: it is no folder, .ics file or .zip archive"
            )),
        }
    }

    /// A file of its own is a calendar that is called as the file says, or as it is called.
    fn single(&mut self, path: &Path) -> Result<(), String> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let bytes = read_file(path).map_err(|why| format!("{}: {why}", path.display()))?;
        let told = split::split(&bytes);
        let title = told.title.as_deref().unwrap_or(&stem);
        let texts = [
            (dav("displayname"), Some(title)),
            (caldav("calendar-description"), told.description.as_deref()),
            (apple("calendar-color"), told.color.as_deref()),
        ];
        let properties = texts
            .into_iter()
            .filter_map(|(name, text)| super::described::property(name, text?));
        self.collections.push(Found {
            path: vec![names::segment(&stem)],
            kind: Kind::Calendar(Vec::new()),
            properties: properties.collect(),
            items: vec![Item {
                label: path.display().to_string(),
                place: Place::File(path.to_owned()),
                head: ObjectHead::default(),
                content: Content::Objects,
            }],
        });
        Ok(())
    }

    /// Counts a file.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn count(&mut self) -> Result<(), String> {
        self.files += 1;
        match self.files > limits::PORT_FILES {
            true => Err(format!("more than {} files", limits::PORT_FILES)),
            false => Ok(()),
        }
    }

    pub(super) fn refuse(&mut self, file: String, sentence: &str) {
        self.refused.push(Refused {
            file,
            uid: None,
            line: None,
            sentence: sentence.to_owned(),
        });
    }

    /// Puts everything into one calendar.
    pub fn into_one(&mut self, path: &[Segment]) {
        let one = self.collections.len() == 1;
        for found in &mut self.collections {
            found.path = path.to_vec();
            if !one {
                found.kind = Kind::Calendar(Vec::new());
                found.properties.clear();
            }
        }
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        let items = self.collections.iter().map(|found| found.items.len());
        items.sum()
    }

    /// The bytes of an item.
    pub(super) fn read(&mut self, item: &Item) -> Result<Vec<u8>, String> {
        match &item.place {
            Place::File(path) => read_file(path),
            Place::Entry { archive, index } => self.archives[*archive].read(*index),
        }
    }
}

/// A calendar object in a folder or an archive.
pub(super) fn item(label: String, place: Place, name: &str) -> Item {
    Item {
        label,
        place,
        head: ObjectHead {
            name: Some(name.to_owned()),
            content_type: Some(CALENDAR_TYPE.to_owned()),
            ..ObjectHead::default()
        },
        content: Content::Objects,
    }
}

/// A whole file, bounded; never through a link, so that a folder from elsewhere shows nothing of
/// this machine.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty());
    let file = File::from(file.map_err(|error| error.to_string())?);
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    bounded(file, metadata.size())
}

/// What a reader gives, up to `limits::PORT_FILE_BYTES`; `said` is how much it should be.
pub(super) fn bounded(from: impl Read, said: u64) -> Result<Vec<u8>, String> {
    let most = limits::PORT_FILE_BYTES;
    let mut bytes = Vec::new();
    let read = match said > most {
        true => Ok(0),
        false => from.take(most + 1).read_to_end(&mut bytes),
    };
    read.map_err(|error| error.to_string())?;
    match said > most || bytes.len() as u64 > most {
        true => Err(format!("it is larger than {most} bytes")),
        false => Ok(bytes),
    }
}
