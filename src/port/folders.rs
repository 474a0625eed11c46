//! Folders: of .ics files, a vdir (a folder for each collection, with files `displayname`,
//! `color`, `description` and `order`), and the storage of Radicale (collection-root/USER/NAME
//! with `.Radicale.props`). Links are never followed.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::{Found, Place, Source, item, read_file};
use super::{Kind, described, names};
use crate::limits;

const RADICALE_ROOT: &str = "collection-root";
const RADICALE_PROPS: &str = ".Radicale.props";

/// Takes in a folder.
///
/// # Errors
/// Nothing of it can be imported; a sentence.
pub(super) fn gather(source: &mut Source, folder: &Path, user: &str) -> Result<(), String> {
    let storage = folder.join(RADICALE_ROOT);
    let folder = match storage.is_dir() {
        true => user_of(&storage, user)?,
        false if folder.file_name().is_some_and(|name| name == RADICALE_ROOT) => {
            user_of(folder, user)?
        }
        false => folder.to_owned(),
    };
    let before = source.collections.len() + source.refused.len();
    walk(source, &folder, limits::PORT_FOLDERS_DEPTH)?;
    match source.collections.len() + source.refused.len() > before {
        true => Ok(()),
        false => Err(format!("{}: there is no calendar in it", folder.display())),
    }
}

/// The folder of a Radicale user: that of the same name, or the only one.
fn user_of(root: &Path, user: &str) -> Result<PathBuf, String> {
    let users = Listing::of(root)?.folders;
    let name = |path: &PathBuf| path.file_name().is_some_and(|name| name == user);
    match (users.iter().find(|path| name(path)), &users[..]) {
        (Some(path), _) => Ok(path.clone()),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(format!(
            "{}: there are several users; name the folder of one of them",
            root.display()
        )),
    }
}

/// What is in a folder, by name.
#[derive(Default)]
struct Listing {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    links: Vec<PathBuf>,
}

impl Listing {
    fn of(folder: &Path) -> Result<Listing, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        let mut found = Listing::default();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let list = match () {
                () if hidden => continue,
                () if kind.is_dir() => &mut found.folders,
                () if kind.is_file() => &mut found.files,
                () => &mut found.links,
            };
            list.push(entry.path());
        }
        found.files.sort();
        found.folders.sort();
        Ok(found)
    }
}

fn walk(source: &mut Source, folder: &Path, depth: usize) -> Result<(), String> {
    let shown = folder.display().to_string();
    let listing = Listing::of(folder)?;
    for link in &listing.links {
        source.refuse(link.display().to_string(), "links are not followed");
    }
    match props(folder) {
        Ok(props) => collection(source, folder, &listing, props)?,
        Err(why) => source.refuse(shown.clone(), &why),
    }
    if depth == 0 && !listing.folders.is_empty() {
        source.refuse(shown, "folders are nested too deeply");
        return Ok(());
    }
    for inner in &listing.folders {
        walk(source, inner, depth - 1)?;
    }
    Ok(())
}

fn props(folder: &Path) -> Result<Option<described::RadicaleProps>, String> {
    let file = folder.join(RADICALE_PROPS);
    if fs::symlink_metadata(&file).is_err() {
        return Ok(None);
    }
    let bytes = read_file(&file)?;
    Ok(Some(described::of_radicale(&bytes)?))
}

/// The folder itself, if it is a collection.
fn collection(
    source: &mut Source,
    folder: &Path,
    listing: &Listing,
    props: Option<described::RadicaleProps>,
) -> Result<(), String> {
    let radicale = match props.as_ref().and_then(|props| props.tag.as_deref()) {
        Some("VCALENDAR") => true,
        None => false,
        Some(_) => {
            let shown = folder.display().to_string();
            source.refuse(
                shown,
                "it is no calendar but an address book or a subscription",
            );
            return Ok(());
        }
    };
    let mut properties = Vec::new();
    let mut items = Vec::new();
    for file in &listing.files {
        let Some(name) = file.file_name().and_then(|name| name.to_str()) else {
            source.refuse(file.display().to_string(), "its name is no UTF-8");
            continue;
        };
        let calendar = file
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("ics"));
        if calendar || radicale {
            source.count()?;
            let label = file.display().to_string();
            items.push(item(label, Place::File(file.clone()), name));
        } else if let Ok(bytes) = read_short(file, name) {
            let text = String::from_utf8_lossy(&bytes);
            properties.extend(described::of_vdir(name, &text));
        }
    }
    if items.is_empty() && properties.is_empty() && !radicale {
        return Ok(());
    }
    let props = props.unwrap_or_default();
    properties.extend(props.properties);
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    source.collections.push(Found {
        path: vec![names::segment(&name)],
        kind: Kind::Calendar(props.components),
        properties,
        items,
    });
    Ok(())
}

/// A file that may say something of a vdir.
fn read_short(file: &Path, name: &str) -> Result<Vec<u8>, String> {
    match described::of_vdir(name, "x") {
        Some(_) => read_file(file),
        None => Err("it says nothing".to_owned()),
    }
}
