//! Archives: our own, whose names, properties and bytes come back exactly, and others with .ics
//! files in them. Nothing is unpacked to a disk: names in them become names of objects, and never
//! paths. What they unpack to is bounded before it is read, and while it is.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use zip::ZipArchive;

use super::described::{self, Described, DescribedObject, Manifest};
use super::source::{Content, Found, Item, Place, Source, bounded, item};
use super::{Kind, ObjectHead, names};
use crate::limits;

/// An open archive.
pub(super) struct Archive(ZipArchive<File>);

impl Archive {
    pub fn read(&mut self, index: usize) -> Result<Vec<u8>, String> {
        let entry = self.0.by_index(index).map_err(|error| error.to_string())?;
        let size = entry.size();
        bounded(entry, size)
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Result<T, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{name}: {error}");
        let index = self
            .0
            .index_for_name(name)
            .ok_or(failed(&"it is missing"))?;
        let size = self
            .0
            .by_index(index)
            .map_err(|error| failed(&error))?
            .size();
        if size > limits::PORT_PROPERTIES_BYTES {
            return Err(failed(&"it is too large"));
        }
        let bytes = self.read(index).map_err(|error| failed(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| failed(&error))
    }
}

/// An entry that may be read.
struct Entry {
    index: usize,
    /// With its folders.
    name: String,
}

/// Takes in an archive.
///
/// # Errors
/// It is none, or is made to do harm; a sentence.
pub(super) fn gather(source: &mut Source, path: &Path) -> Result<(), String> {
    let shown = path.display();
    let failed = |error: &dyn std::fmt::Display| format!("{shown}: {error}");
    let file = File::open(path).map_err(|error| failed(&error))?;
    let packed = file.metadata().map_err(|error| failed(&error))?.len();
    let zip = ZipArchive::new(file).map_err(|error| failed(&error))?;
    let mut archive = Archive(zip);
    let entries = entries(source, &mut archive, packed, path).map_err(|error| failed(&error))?;
    let own = archive.0.index_for_name(described::MANIFEST).is_some();
    let number = source.archives.len();
    let gathered = match own {
        true => own_export(source, &mut archive, number, &entries, path),
        false => other(source, number, &entries, path),
    };
    source.archives.push(archive);
    gathered.map_err(|error| failed(&error))
}

/// The entries, judged by what the archive says of them.
fn entries(
    source: &mut Source,
    archive: &mut Archive,
    packed: u64,
    path: &Path,
) -> Result<Vec<Entry>, String> {
    if archive.0.len() > limits::PORT_FILES {
        return Err(format!("more than {} files", limits::PORT_FILES));
    }
    let mut all: u64 = 0;
    let mut entries = Vec::new();
    for index in 0..archive.0.len() {
        let entry = archive
            .0
            .by_index_raw(index)
            .map_err(|error| error.to_string())?;
        all = all.saturating_add(entry.size());
        let Ok(name) = entry.name().map(|name| name.into_owned()) else {
            let label = format!("{}, entry {index}", path.display());
            source.refuse(label, "its name cannot be read");
            continue;
        };
        let label = format!("{}/{name}", path.display());
        let bad = match () {
            () if entry.is_dir() => continue,
            () if entry.is_symlink() => Some("links are not followed"),
            () if entry.encrypted() => Some("it is encrypted"),
            () if !is_below(&name) => Some("its name leads out of the archive"),
            () => None,
        };
        match bad {
            Some(why) => source.refuse(label, why),
            None => entries.push(Entry { index, name }),
        }
    }
    let most = limits::PORT_PACKED_FREELY_BYTES.max(packed.saturating_mul(limits::PORT_PACKING));
    if all > most.min(limits::PORT_ARCHIVE_BYTES) {
        return Err(format!("{packed} bytes that unpack to {all} are refused"));
    }
    Ok(entries)
}

fn is_below(name: &str) -> bool {
    let bad = |part: &str| part.is_empty() || part == "." || part == "..";
    !name.contains(['\\', '\0']) && !name.split('/').any(bad)
}

fn own_export(
    source: &mut Source,
    archive: &mut Archive,
    number: usize,
    entries: &[Entry],
    path: &Path,
) -> Result<(), String> {
    let manifest: Manifest = archive.json(described::MANIFEST)?;
    if manifest.format != described::FORMAT {
        return Err(format!(
            "it is of format {}; this program knows format {}",
            manifest.format,
            described::FORMAT
        ));
    }
    let mut in_folders: HashMap<&str, Vec<&Entry>> = HashMap::new();
    for entry in entries {
        if let Some((folder, _)) = entry.name.rsplit_once('/') {
            in_folders.entry(folder).or_default().push(entry);
        }
    }
    for folder in &manifest.folders {
        let label = format!("{}/{folder}", path.display());
        let name = format!("{folder}/{}", described::COLLECTION);
        let said = match archive.json::<Described>(&name) {
            Ok(said) if (1..=limits::TREE_DEPTH).contains(&said.path.len()) => said,
            Ok(_) => {
                source.refuse(label, "it says no path, or one too long");
                continue;
            }
            Err(why) => {
                source.refuse(label, &why);
                continue;
            }
        };
        let more: HashMap<&str, &DescribedObject> = said
            .objects
            .iter()
            .map(|one| (one.file.as_str(), one))
            .collect();
        let mut items = Vec::new();
        for entry in in_folders.get(folder.as_str()).into_iter().flatten() {
            let file = entry.name.rsplit('/').next().unwrap_or_default();
            let merged = matches!(said.kind, Kind::Calendar(_)) && file == described::MERGED;
            if file != described::COLLECTION && !merged {
                source.count()?;
                items.push(own_item(path, number, entry, more.get(file).copied(), file));
            }
        }
        source.collections.push(Found {
            path: said.path,
            kind: said.kind,
            properties: said.properties.into_iter().map(|one| one.xml).collect(),
            items,
        });
    }
    Ok(())
}

fn own_item(
    path: &Path,
    archive: usize,
    entry: &Entry,
    more: Option<&DescribedObject>,
    file: &str,
) -> Item {
    let name = more.and_then(|more| more.name.as_deref()).unwrap_or(file);
    Item {
        label: format!("{}/{}", path.display(), entry.name),
        place: Place::Entry {
            archive,
            index: entry.index,
        },
        head: ObjectHead {
            name: Some(name.to_owned()),
            content_type: more.and_then(|more| more.content_type.clone()),
            properties: more.map(|more| more.properties.clone()).unwrap_or_default(),
            ..ObjectHead::default()
        },
        content: Content::One,
    }
}

/// Any archive: a folder with .ics files is a calendar; files at the top are one each, since that
/// is how calendar services hand out all calendars of somebody.
fn other(
    source: &mut Source,
    archive: usize,
    entries: &[Entry],
    path: &Path,
) -> Result<(), String> {
    let mut calendars: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for entry in entries {
        let file = entry.name.rsplit('/').next().unwrap_or_default();
        let Some(stem) = file.strip_suffix(".ics").filter(|stem| !stem.is_empty()) else {
            continue;
        };
        source.count()?;
        let folder = entry.name.strip_suffix(file).unwrap_or_default();
        let folder = folder
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        let name = if folder.is_empty() { stem } else { folder };
        let label = format!("{}/{}", path.display(), entry.name);
        let place = Place::Entry {
            archive,
            index: entry.index,
        };
        let items = calendars.entry(name.to_owned()).or_default();
        items.push(item(label, place, file));
    }
    if calendars.is_empty() {
        return Err("there is no .ics file in it".to_owned());
    }
    for (name, items) in calendars {
        source.collections.push(Found {
            path: vec![names::segment(&name)],
            kind: Kind::Calendar(Vec::new()),
            properties: described::property(crate::xml::dav("displayname"), &name)
                .into_iter()
                .collect(),
            items,
        });
    }
    Ok(())
}
