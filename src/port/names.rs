//! Names: of files in an archive, which every system can unpack, and of objects that were files.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use unicode_normalization::UnicodeNormalization;

use crate::ids::Segment;
use crate::limits;

/// Bytes of a file name that every system takes, with room for a number and an ending.
const FILE_BYTES: usize = 180;

/// Names that Windows keeps for devices, with any ending.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul", "com", "lpt"];

/// The name of an object that a file of this name becomes: the same, if it is one.
pub(super) fn segment(name: &str) -> Segment {
    Segment::parse(name).unwrap_or_else(|_| {
        let bad = |c: char| c.is_control() || c == '/' || c == '\\';
        let good: String = name.replace(bad, "_");
        let good = cut(&good, limits::SEGMENT_BYTES);
        let dots = good.is_empty() || good == "." || good == "..";
        Segment::parse(if dots { "_" } else { good }).expect("it was made one")
    })
}

/// The name of an object that has none yet: its UID where that is a plain name, so that people
/// find it, else a fingerprint of it.
pub(super) fn of_uid(uid: &str) -> Segment {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let name = match !uid.is_empty()
        && uid.len() <= FILE_BYTES
        && uid.chars().all(plain)
        && !uid.starts_with('.')
    {
        true => uid.to_owned(),
        false => {
            let mut hasher = DefaultHasher::new();
            uid.hash(&mut hasher);
            format!("{:016x}", hasher.finish())
        }
    };
    Segment::parse(&format!("{name}.ics")).expect("plain characters")
}

/// A name with a number before its ending; the first is the name itself.
pub(super) fn numbered(name: &Segment, number: usize) -> Segment {
    match number {
        1 => name.clone(),
        _ => segment(&with_number(name.as_str(), number)),
    }
}

fn with_number(name: &str, number: usize) -> String {
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => (stem, format!(".{ending}")),
        _ => (name, String::new()),
    };
    format!("{}-{number}{ending}", cut(stem, FILE_BYTES))
}

fn cut(text: &str, most: usize) -> &str {
    let starts = text.char_indices().map(|(at, _)| at);
    let ends = starts.chain([text.len()]).take_while(|at| *at <= most);
    &text[..ends.last().unwrap_or(0)]
}

/// The names of one folder: safe on every system, and different from each other also where case
/// or the way in which an accent is written is not told apart.
pub(super) struct FileNames(HashSet<String>);

impl FileNames {
    /// Those in `taken` are never given.
    pub fn new(taken: &[&str]) -> FileNames {
        FileNames(taken.iter().map(|name| folded(name)).collect())
    }

    /// A name for what is called `name` in the account.
    pub fn give(&mut self, name: &str, ending: &str) -> String {
        let safe = safe(name, ending);
        let mut given = safe.clone();
        let mut number = 1;
        while !self.0.insert(folded(&given)) {
            number += 1;
            given = with_number(&safe, number);
        }
        given
    }
}

fn folded(name: &str) -> String {
    name.nfc().collect::<String>().to_lowercase()
}

fn safe(name: &str, ending: &str) -> String {
    let good = |c: char| match c {
        c if c.is_alphanumeric() || "-_.@+=, ()'".contains(c) => c,
        _ => '_',
    };
    let stem = match name.len().checked_sub(ending.len()) {
        Some(at) if name.is_char_boundary(at) && name[at..].eq_ignore_ascii_case(ending) => {
            &name[..at]
        }
        _ => name,
    };
    let mut stem: String = cut(stem, FILE_BYTES).chars().map(good).collect();
    if stem.starts_with(['.', ' ', '-']) || stem.is_empty() {
        stem.insert(0, '_');
    }
    let device = stem.to_ascii_lowercase();
    let device = device.split('.').next().unwrap_or_default();
    let device = device.trim_end_matches(|c: char| c.is_ascii_digit());
    if DEVICES.contains(&device) {
        stem.insert(0, '_');
    }
    if ending.is_empty() && stem.ends_with(['.', ' ']) {
        stem.push('_');
    }
    format!("{stem}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_safe_and_unique() {
        let mut names = FileNames::new(&["collection.json"]);
        let mut check = |name: &str, file: &str| assert_eq!(names.give(name, ".ics"), file);
        check("a.ics", "a.ics");
        check("A.ICS", "A-2.ics");
        check("a", "a-3.ics");
        check("..ics", "_..ics");
        check("../../etc", "_.._.._etc.ics");
        check("con.ics", "_con.ics");
        check("COM1.x.ics", "_COM1.x.ics");
        check("a:b|c", "a_b_c.ics");
        check("collection.json", "collection.json.ics");
        check("Zahnärztin.ics", "Zahnärztin.ics");
        check(
            "Zahna\u{308}rztin.ics",
            // a mark by itself is none of the characters that every system takes
            "Zahna_rztin.ics",
        );
        let mut others = FileNames::new(&["collection.json"]);
        assert_eq!(others.give("Collection.JSON", ""), "Collection-2.JSON");
        assert_eq!(others.give("end.", ""), "end._");
    }

    #[test]
    fn names_of_objects() {
        assert_eq!(segment("a b.ics").as_str(), "a b.ics");
        assert_eq!(segment("a/../b").as_str(), "a_.._b");
        assert_eq!(segment("..").as_str(), "_");
        assert_eq!(segment(&"ä".repeat(200)).as_str().len(), 254);
        assert_eq!(of_uid("1@x").as_str(), "1@x.ics");
        assert_eq!(of_uid("../x").as_str().len(), 20);
        assert_eq!(of_uid("../x"), of_uid("../x"));
        assert_eq!(numbered(&segment("a.ics"), 2).as_str(), "a-2.ics");
    }
}
