//! When backups last succeeded and failed: the file `backups` in the data directory, a line for
//! each destination. It serves health and schedule; losing it costs an early backup.
//!
//! ```text
//! GOOD TAB TRIED TAB DESTINATION TAB FAILURE       milliseconds, or - for never; failure may be empty
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::manifest::stamp;
use crate::ambient::UnixMillis;
use crate::limits;
use crate::vault::replace_file;

/// How the backups to one destination went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastBackup {
    /// When the last good one ended.
    pub good: Option<UnixMillis>,
    /// When one last ended, good or not.
    pub tried: Option<UnixMillis>,
    /// Why the last one failed, if it did.
    pub failure: Option<String>,
}

/// How the backups of a data directory went, by destination; key files have one too.
pub fn last_backups(data: &Path) -> BTreeMap<String, LastBackup> {
    Journal::open(data).last
}

/// When the last good backup of a data directory ended, to whatever destination.
pub fn last_backup(data: &Path) -> Option<UnixMillis> {
    let last = last_backups(data).into_iter();
    last.filter(|(at, _)| !at.ends_with("(key files)"))
        .filter_map(|(_, last)| last.good)
        .max()
}

/// The file and what is in it.
pub(super) struct Journal {
    file: PathBuf,
    last: BTreeMap<String, LastBackup>,
}

impl Journal {
    /// Reads it; what cannot be read counts as never.
    pub fn open(data: &Path) -> Self {
        let file = data.join("backups");
        let text = fs::read_to_string(&file).unwrap_or_default();
        Journal {
            last: text.lines().filter_map(parse).collect(),
            file,
        }
    }

    /// Notes that a backup ended, and why if it failed.
    pub fn note(&mut self, at: &str, now: UnixMillis, failure: Option<String>) -> io::Result<()> {
        let last = self.last.entry(at.to_owned()).or_default();
        last.tried = Some(now);
        if failure.is_none() {
            last.good = Some(now);
        }
        last.failure = failure;
        let mut text = String::new();
        for (at, last) in &self.last {
            let time = |time: Option<UnixMillis>| time.map_or("-".into(), |at| at.0.to_string());
            let (good, tried) = (time(last.good), time(last.tried));
            let failure = last.failure.as_deref().unwrap_or_default();
            let failure = failure.replace(['\n', '\t'], " ");
            text += &format!("{good}\t{tried}\t{at}\t{failure}\n");
        }
        replace_file(&self.file, text.as_bytes())
    }

    /// Whether a backup is due: the last good one is so old, and the last try not just now.
    pub fn is_due(&self, at: &str, now: UnixMillis, every_hours: u32) -> bool {
        let Some(last) = self.last.get(at) else {
            return true;
        };
        let every = i64::from(every_hours) * 3_600_000;
        let old = last
            .good
            .is_none_or(|good| now.0 - good.0 >= every || good > now);
        let retry = limits::BACKUP_RETRY_MINUTES * 60_000;
        let rested =
            last.failure.is_none() || last.tried.is_none_or(|tried| now.0 - tried.0 >= retry);
        old && rested
    }

    /// What is wrong with the backups to a destination; a sentence.
    pub fn doubt(&self, at: &str, now: UnixMillis, every_hours: u32) -> Option<String> {
        let last = self.last.get(at)?;
        let good = last.good.map_or("never".to_owned(), stamp);
        if let Some(failure) = &last.failure {
            return Some(format!(
                "the backup failed: {failure} (last good one: {good})"
            ));
        }
        let late = i64::from(every_hours) * 2 * 3_600_000;
        let overdue = last.good.is_some_and(|good| now.0 - good.0 > late);
        overdue.then(|| format!("the backup to {at} is overdue: the last good one ended at {good}"))
    }
}

fn parse(line: &str) -> Option<(String, LastBackup)> {
    let mut words = line.splitn(4, '\t');
    let mut time = || {
        let word = words.next()?;
        Some(
            (word != "-")
                .then(|| word.parse().ok().map(UnixMillis))
                .flatten(),
        )
    };
    let (good, tried) = (time()?, time()?);
    let (at, failure) = (words.next()?.to_owned(), words.next()?);
    let failure = (!failure.is_empty()).then(|| failure.to_owned());
    Some((
        at,
        LastBackup {
            good,
            tried,
            failure,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_retries_and_doubts() {
        let data = tempfile::tempdir().unwrap();
        let at = |minutes: i64| UnixMillis(1_000_000_000_000 + minutes * 60_000);
        let mut journal = Journal::open(data.path());
        assert!(journal.is_due("/a", at(0), 24));
        assert_eq!(last_backup(data.path()), None);
        journal
            .note("/a", at(0), Some("full\ndisk".into()))
            .unwrap();
        assert!(!journal.is_due("/a", at(14), 24));
        assert!(journal.is_due("/a", at(15), 24));
        assert!(journal.doubt("/a", at(15), 24).unwrap().contains("never"));
        journal.note("/a", at(15), None).unwrap();
        assert!(!journal.is_due("/a", at(15 + 24 * 60 - 1), 24));
        assert!(journal.is_due("/a", at(15 + 24 * 60), 24));
        assert_eq!(journal.doubt("/a", at(24 * 60), 24), None);
        assert!(
            journal
                .doubt("/a", at(49 * 60), 24)
                .unwrap()
                .contains("overdue")
        );
        journal.note("/b (key files)", at(20), None).unwrap();
        assert_eq!(last_backup(data.path()), Some(at(15)));
        assert_eq!(last_backups(data.path()), journal.last);
    }
}
