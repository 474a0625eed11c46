//! The one thread that writes: it applies what stands in the line, syncs once, and releases
//! the receipts.
//!
//! The order of one group: apply to sled, flush sled, which writes what is left to its file and syncs
//! it once for all of the group (vendor/sled, `sync_written`), write the witness, release. An error or
//! a panic anywhere ends the line: sled may then hold what the disk does not, so nobody may go on
//! reading from it.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::batch::Batch;
use super::error::{StoreError, advice};
use super::layout::Witness;
use super::line::{Group, Line};
use super::rows;
use super::undo::Undo;
use super::watch::Watch;
use crate::figures::{self, Histogram};
use crate::limits::{COMMIT_APPLY_BYTES, COMMIT_STUCK_SECONDS};

/// The row with the number of the last group. Its name is too short to be a `RowName`.
pub(super) const GROUP_ROW: &[u8] = b"group";

/// The number of the last group in the database; 0 in a new one.
pub(super) fn last_group(db: &sled::Db) -> Result<u64, StoreError> {
    match rows::guarded(|| db.get(GROUP_ROW))? {
        None => Ok(0),
        Some(number) => match <[u8; 8]>::try_from(number.as_ref()) {
            Ok(number) => Ok(u64::from_le_bytes(number)),
            Err(_) => Err(StoreError::Damaged {
                advice: advice::ROWS,
            }),
        },
    }
}

/// What was done since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Batches made durable.
    pub commits: u64,
    /// Puts and deletes in them.
    pub rows: u64,
    /// Bytes of their names and values.
    pub bytes: u64,
    /// Syncs of the database file for them.
    pub syncs: u64,
    /// The most batches that shared a sync.
    pub largest_group: u64,
}

/// How commits are spread.
#[derive(Debug)]
pub struct Figures {
    /// Bytes of one commit.
    pub bytes: Histogram,
    /// Commits that shared a sync.
    pub group: Histogram,
    /// Microseconds for which a group was flushed, synced and witnessed.
    pub sync: Histogram,
}

/// The counters behind `Statistics`, and more.
pub(super) struct Counters {
    pub(super) figures: Figures,
    start: Instant,
    /// Milliseconds after `start`, plus one, at which the group that is being written was begun; 0
    /// while none is.
    begun: AtomicU64,
    commits: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    largest_group: AtomicU64,
    /// The number of the last group on the disk.
    group: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            figures: Figures {
                bytes: Histogram::new(figures::BYTES),
                group: Histogram::new(figures::GROUP),
                sync: Histogram::new(figures::MICROS),
            },
            start: Instant::now(),
            begun: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            largest_group: AtomicU64::new(0),
            group: AtomicU64::new(0),
        }
    }
}

impl Counters {
    fn begin(&self) {
        let now = self.start.elapsed().as_millis() as u64;
        self.begun.store(now + 1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.begun.store(0, Ordering::Relaxed);
    }

    /// Whether a group is being written for longer than any disk should need.
    pub(super) fn stuck(&self) -> bool {
        let begun = self.begun.load(Ordering::Relaxed);
        let now = self.start.elapsed().as_millis() as u64;
        begun != 0 && now.saturating_sub(begun) >= COMMIT_STUCK_SECONDS * 1000
    }

    pub(super) fn group(&self) -> u64 {
        self.group.load(Ordering::Acquire)
    }

    pub(super) fn reached(&self, group: u64) {
        self.group.store(group, Ordering::Release);
    }

    pub(super) fn read(&self) -> Statistics {
        Statistics {
            commits: self.commits.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            largest_group: self.largest_group.load(Ordering::Relaxed),
        }
    }

    fn add(&self, group: &Sizes) {
        self.figures.group.note(group.commits);
        self.commits.fetch_add(group.commits, Ordering::Relaxed);
        self.rows.fetch_add(group.rows, Ordering::Relaxed);
        self.bytes.fetch_add(group.bytes, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.largest_group
            .fetch_max(group.commits, Ordering::Relaxed);
    }
}

struct Sizes {
    commits: u64,
    rows: u64,
    bytes: u64,
}

impl Sizes {
    fn of(batches: &[Batch]) -> Self {
        Sizes {
            commits: batches.len() as u64,
            rows: batches.iter().map(|batch| batch.rows() as u64).sum(),
            bytes: batches.iter().map(|batch| batch.bytes() as u64).sum(),
        }
    }
}

/// What the commit thread owns.
pub(super) struct Committer {
    pub(super) db: sled::Db,
    pub(super) file: File,
    pub(super) witness: Witness,
    /// The number of the last group in the database.
    pub(super) group: u64,
    pub(super) line: Arc<Line>,
    pub(super) counters: Arc<Counters>,
    pub(super) watch: Arc<Watch>,
    /// Of the group that is being written.
    pub(super) undo: Undo,
    /// Set when a group failed.
    pub(super) known: Arc<OnceLock<Undo>>,
}

impl Committer {
    /// Writes until the line is closed and empty, or until something fails. Returns the database file
    /// if nothing failed.
    pub(super) fn run(mut self) -> Option<File> {
        let mut whole = true;
        while let Some(group) = self.line.take() {
            let sizes = Sizes::of(&group.batches);
            let last = group.last;
            // To the end of this turn: whoever holds it sees a group that is on the disk, or
            // that the store failed.
            let watch = self.watch.clone();
            let _writing = watch.hold();
            let names = watch.names(&group.batches);
            for batch in &group.batches {
                self.counters.figures.bytes.note(batch.bytes() as u64);
            }
            self.counters.begin();
            // A panic of sled is a failure like any other.
            let written = catch_unwind(AssertUnwindSafe(|| self.write(group))).unwrap_or(Err(
                StoreError::Damaged {
                    advice: advice::ROWS,
                },
            ));
            watch.note(names);
            self.counters.end();
            match written {
                Ok(()) => {
                    self.counters.add(&sizes);
                    self.counters.reached(self.group);
                    self.line.release(last);
                }
                Err(cause) => {
                    tracing::error!(%cause, "a write failed; nothing is written until the store is reopened");
                    self.known.get_or_init(|| std::mem::take(&mut self.undo));
                    self.line.fail(cause);
                    whole = false;
                    break;
                }
            }
        }
        rows::close(self.db);
        whole.then_some(self.file)
    }

    /// Makes a group durable.
    fn write(&mut self, group: Group) -> Result<(), StoreError> {
        self.group += 1;
        self.undo = Undo::default();
        self.undo = rows::guarded(|| Undo::of(&self.db, &group.batches))?;
        self.apply(group.batches)?;
        let begun = Instant::now();
        self.db
            .flush()
            .map_err(|error| StoreError::sled("sync a commit", error))?;
        self.witness
            .write(self.group)
            .map_err(StoreError::io("write the file 'witness'"))?;
        let micros = begun.elapsed().as_micros() as u64;
        self.counters.figures.sync.note(micros);
        Ok(())
    }

    /// Applies the batches in order. Small ones are applied together, which costs sled far less;
    /// none is ever torn apart.
    fn apply(&self, batches: Vec<Batch>) -> Result<(), StoreError> {
        let mut together = sled::Batch::default();
        let mut bytes = 0;
        for batch in batches {
            if bytes > 0 && bytes + batch.bytes() > COMMIT_APPLY_BYTES {
                self.apply_one(std::mem::take(&mut together))?;
                bytes = 0;
            }
            bytes += batch.bytes();
            batch.append_to(&mut together);
        }
        together.insert(GROUP_ROW, &self.group.to_le_bytes());
        self.apply_one(together)
    }

    fn apply_one(&self, batch: sled::Batch) -> Result<(), StoreError> {
        self.db
            .apply_batch(batch)
            .map_err(|error| StoreError::sled("apply a commit", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_does_not_end_is_stuck() {
        let mut counters = Counters::default();
        counters.begin();
        assert!(!counters.stuck());
        counters.start -= std::time::Duration::from_secs(COMMIT_STUCK_SECONDS + 1);
        assert!(counters.stuck());
        counters.end();
        assert!(!counters.stuck());
    }
}
