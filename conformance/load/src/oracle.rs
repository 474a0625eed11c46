//! What the server has acknowledged: every 2xx to a write is a line of a journal, and at the end
//! everything must be there (after a kill, which the driver does), and nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Calendar and number of an object.
pub type Key = (String, u64);

/// The journal, and what it comes to.
pub struct Oracle {
    file: BufWriter<File>,
    /// The last acknowledged revision; none of what was deleted.
    pub last: BTreeMap<Key, Option<u64>>,
}

impl Oracle {
    /// Reads the journal of earlier runs and appends to it.
    pub fn open(path: &Path) -> Oracle {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let last = text.lines().map(|line| {
            let mut words = line.split(' ');
            let mut word = || words.next().expect("a whole line");
            let key = (word().to_owned(), word().parse().expect("a number"));
            (key, word().parse().ok())
        });
        let last = last.collect();
        let file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .expect("a writable journal");
        Oracle {
            file: BufWriter::new(file),
            last,
        }
    }

    /// An acknowledged write: of a revision, or the deletion.
    pub fn acknowledged(&mut self, calendar: &str, number: u64, revision: Option<u64>) {
        let written = match revision {
            Some(revision) => writeln!(self.file, "{calendar} {number} {revision}"),
            None => writeln!(self.file, "{calendar} {number} gone"),
        };
        written.expect("room for the journal");
        self.last.insert((calendar.to_owned(), number), revision);
    }

    /// To be called at the end.
    pub fn flush(&mut self) {
        self.file.flush().expect("room for the journal");
    }

    /// The objects of a calendar that must be there, with their revisions.
    pub fn alive(&self, calendar: &str) -> Vec<(u64, u64)> {
        let of_calendar = self.last.iter().filter(|((named, _), _)| named == calendar);
        of_calendar
            .filter_map(|((_, number), revision)| Some((*number, (*revision)?)))
            .collect()
    }

    /// A number that no object of the calendar had.
    pub fn unused(&self, calendar: &str) -> u64 {
        let numbers = self.last.keys().filter(|(named, _)| named == calendar);
        numbers.map(|(_, number)| number + 1).max().unwrap_or(0)
    }
}
