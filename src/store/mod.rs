//! Opaque rows in sled: get, scan, atomic commit, durability receipt. The only module that
//! names sled.
//!
//! The store sees names that are keyed hashes and values that are sealed bytes; it knows nothing
//! of accounts or calendars. What it adds to sled is durability: a commit returns a `Receipt`,
//! and nobody may be told that a write happened before its receipt is durable.
//!
//! - Commits are applied in the order in which `commit` was called, each as a whole. One thread
//!   (commit.rs) takes what waits, writes it, syncs the file once, and releases the receipts, so
//!   many writers share a sync.
//! - Reads see what was applied, which may not be durable yet: whoever answers from a read that
//!   depends on an unfinished commit waits for `barrier` or for that commit's receipt.
//! - A scan goes in steps and is not a snapshot: a batch applied between two steps is seen in the
//!   later one. Whoever needs one state keeps writers of that prefix out meanwhile.
//! - After a failed write or sync the store answers `Failed` to everything until `reopen`, since
//!   sled may hold what the disk does not. When that does not succeed, `serve_known_good` lets
//!   reads see what was acknowledged, without the group that failed (undo.rs).
//! - A copy of all rows as of one commit, while others write, is copy.rs's; a database is written
//!   anew (compaction, restore) by rewrite.rs.
//! - rows.rs holds the precautions that sled needs, layout.rs the files and their order.

mod batch;
mod commit;
mod copy;
mod disk;
mod error;
mod layout;
mod line;
mod rewrite;
mod rouse;
mod rows;
mod scan;
mod start;
mod undo;
mod watch;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use parking_lot::RwLock;

pub use batch::Batch;
pub use commit::{Figures, Statistics};
pub use copy::{Copied, Parts, Row};
pub use disk::{DiskMarks, DiskState, Probe, Room, Space};
pub use error::StoreError;
pub use layout::FORMAT_VERSION;
pub use line::{Durable, Receipt};
pub use rewrite::{Filler, LeftOut, Rewritten, compact, fill, rewrite};

use crate::limits::STORE_CACHE_BYTES;
use crate::seal::{RowName, RowPrefix, Stored};
use commit::Counters;
use disk::Disk;
use layout::{Format, Found, Layout};
use line::Line;
use rouse::Rouser;
use rows::guarded;
use scan::Scan;
use start::{create, draw_epoch, start};
use undo::{Undo, View};
use watch::Watch;

/// How a store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// Bytes of sled's page cache. The process takes several times that.
    pub cache_bytes: u64,
    /// The epoch of a store that is created now; `None` draws one. For scenarios that replay.
    pub new_epoch: Option<u64>,
    /// Free bytes of the disk below which something happens.
    pub disk: DiskMarks,
    /// How the disk is asked for them.
    pub probe: Probe,
    sync: rows::Sync,
}

/// Whether a store does what it is there for, as far as that can be told without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It reads and writes.
    Works,
    /// It reads, and writes only what frees room: the disk is nearly full.
    Full,
    /// It has been writing one group of commits for longer than any disk should need.
    Stuck,
    /// It is closed after a failed write, or is being opened again.
    Closed,
}

impl Default for StoreOptions {
    fn default() -> Self {
        // std calls libc, which the fault tests listen to; rustix would go past them.
        StoreOptions {
            cache_bytes: STORE_CACHE_BYTES,
            new_epoch: None,
            disk: DiskMarks::default(),
            probe: disk::system(),
            sync: File::sync_data,
        }
    }
}

impl StoreOptions {
    /// With marks of its own for the disk.
    pub fn with_marks(disk: DiskMarks) -> Self {
        StoreOptions {
            disk,
            ..StoreOptions::default()
        }
    }
}

#[cfg(test)]
impl StoreOptions {
    /// A store whose syncs are done by `sync`, which may fail.
    pub(crate) fn with_sync(sync: fn(&File) -> std::io::Result<()>) -> Self {
        StoreOptions {
            sync,
            ..StoreOptions::default()
        }
    }
}

/// An open store. One process owns it; all its threads share it.
pub struct Store {
    layout: Layout,
    options: StoreOptions,
    epoch: AtomicU64,
    counters: Arc<Counters>,
    watch: Arc<Watch>,
    /// Bytes of all rows when they were last counted; 0 when they were not.
    live: AtomicU64,
    disk: Disk,
    running: RwLock<Running>,
    /// Released last, when the database is closed.
    _lock: File,
}

/// One opening of the database, from the start or from `reopen` on.
struct Running {
    /// `None` once it was closed.
    db: Option<sled::Db>,
    line: Arc<Line>,
    committer: Option<JoinHandle<Option<File>>>,
    /// Where the database is.
    dir: PathBuf,
    rouser: Rouser,
    /// After a failure: what the rows of the failed group were before it.
    known: Arc<OnceLock<Undo>>,
    /// After a failure: whether reads see what is known good.
    readable: AtomicBool,
}

impl Store {
    /// Opens the store in `dir`, creating it when there is none.
    ///
    /// # Errors
    /// `InUse`, `Damaged`, `NewerFormat`, `Full` or `Io`. Finding damage may cost more of a damaged
    /// database: sled cuts its log off at the first fault that it meets.
    pub fn open(dir: &Path, options: &StoreOptions) -> Result<Store, StoreError> {
        let layout = Layout::new(dir);
        let lock = layout.lock()?;
        let format = match layout.find()? {
            Found::Store(format) => format,
            Found::Nothing => create(&layout, options)?,
        };
        let counters = Arc::new(Counters::default());
        let watch = Arc::new(Watch::default());
        let (running, format) = start(&layout, options, format, &counters, &watch)?;
        let disk = Disk::new(options.probe.clone(), options.disk);
        disk.ask(layout.dir())?;
        Ok(Store {
            layout,
            options: options.clone(),
            epoch: AtomicU64::new(format.epoch),
            counters,
            watch,
            live: AtomicU64::new(0),
            disk,
            running: RwLock::new(running),
            _lock: lock,
        })
    }

    /// The row of this name, or `None`. It may not be durable yet.
    ///
    /// # Errors
    /// `Failed` after a failed write, `Damaged` or `Io` when this row cannot be read.
    pub fn get(&self, name: &RowName) -> Result<Option<Stored>, StoreError> {
        self.with_rows(|rows| guarded(|| rows.get(name.bytes())))
            .map(|found| found.map(|value| Stored::read(value.to_vec())))
    }

    /// The rows whose names begin with `prefix`, in the order of their names. After an error the
    /// scan ends.
    pub fn scan(
        &self,
        prefix: &RowPrefix,
    ) -> impl Iterator<Item = Result<(RowName, Stored), StoreError>> + '_ {
        Scan::new(self, Some(*prefix), |value| Stored::read(value.to_vec()))
    }

    /// All rows, in the order of their names. After an error the scan ends.
    pub fn all_rows(&self) -> impl Iterator<Item = Result<Row, StoreError>> + '_ {
        Scan::new(self, None, |value| Stored::read(value.to_vec()))
    }

    /// The names that begin with `prefix`, in order. After an error the walk ends.
    pub fn names(
        &self,
        prefix: &RowPrefix,
    ) -> impl Iterator<Item = Result<RowName, StoreError>> + '_ {
        Scan::new(self, Some(*prefix), |_| ()).map(|row| row.map(|(name, ())| name))
    }

    /// The names and lengths of all rows, in the order of their names. After an error the walk
    /// ends. Every part of the database is read, and so checked by its checksums.
    pub fn all(&self) -> impl Iterator<Item = Result<(RowName, usize), StoreError>> + '_ {
        Scan::new(self, None, |value| value.len())
    }

    /// What the file `witness` says is on the disk, if it says anything.
    ///
    /// # Errors
    /// `Damaged` or `Io`.
    pub fn witnessed(&self) -> Result<Option<u64>, StoreError> {
        self.layout.read_witness()
    }

    /// Whether it holds no row at all.
    ///
    /// # Errors
    /// As `get`.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        self.with_rows(|rows| {
            guarded(|| Ok(rows.from(Bound::Unbounded).next().transpose()?.is_none()))
        })
    }

    /// Whether writes should be planned now: `Full` while the disk has less free than
    /// `StoreOptions::disk` says, `Failed` after a failed write. Asked before a write is
    /// planned, so that a full disk refuses work while everything can still be read; deletions
    /// need not ask.
    ///
    /// # Errors
    /// As said, or `Io` when the disk cannot be asked.
    pub fn room(&self) -> Result<(), StoreError> {
        if self.has_failed() {
            return Err(StoreError::Failed);
        }
        match self.watch_disk()?.room {
            Room::Ample | Room::Low => Ok(()),
            Room::Stopped => Err(StoreError::Full),
        }
    }

    /// Asks the disk how much of it is free.
    ///
    /// # Errors
    /// `Io` when the disk cannot be asked.
    pub fn watch_disk(&self) -> Result<DiskState, StoreError> {
        self.disk.ask(self.layout.dir())
    }

    /// What the disk said when it was last asked.
    pub fn disk(&self) -> DiskState {
        self.disk.last()
    }

    /// Whether it works. Waits for nothing and asks no disk.
    pub fn condition(&self) -> Condition {
        let failed = self
            .running
            .try_read()
            .is_none_or(|running| running.line.failure().is_some());
        if failed {
            Condition::Closed
        } else if self.counters.stuck() {
            Condition::Stuck
        } else if self.disk.last().room == Room::Stopped {
            Condition::Full
        } else {
            Condition::Works
        }
    }

    /// How commits are spread.
    pub fn figures(&self) -> &Figures {
        &self.counters.figures
    }

    /// Whether a write or a sync failed since the store was opened, or it is being opened again just
    /// now. Never blocks.
    pub fn has_failed(&self) -> bool {
        let running = self.running.try_read();
        running.is_none_or(|running| running.line.failure().is_some())
    }

    /// Whether rows can be read: always, except from a failure until `reopen` or `serve_known_good`,
    /// and while it is being opened again just now. Never blocks.
    pub fn is_readable(&self) -> bool {
        let running = self.running.try_read();
        running.is_some_and(|running| running.is_readable())
    }

    /// After a failure: lets reads see what was acknowledged before it, until `reopen` succeeds.
    /// Whoever keeps copies of rows in memory has dropped them. Does nothing when it is not known what
    /// that was: then nothing can be read.
    pub fn serve_known_good(&self) {
        let running = self.running.read();
        if running.known.get().is_some() {
            running.readable.store(true, Ordering::Release);
        }
    }

    /// Whether a `reopen` is worth trying while reads see what is known good, which it would end.
    ///
    /// # Errors
    /// `Full` or `Io`.
    pub fn probe(&self) -> Result<(), StoreError> {
        rows::probe(&self.layout.rows())
    }

    /// Puts a batch in the line and returns at once, or waits while `limits::COMMIT_QUEUE`
    /// batches stand before it. The caller's order is kept. An empty batch is a `barrier`.
    pub fn commit(&self, batch: Batch) -> Receipt {
        let line = self.running.read().line.clone();
        if batch.is_empty() {
            line.last()
        } else {
            line.join(batch)
        }
    }

    /// Whether `commit` of a small batch will not wait.
    pub fn has_room_in_line(&self) -> bool {
        let running = self.running.try_read();
        running.is_some_and(|running| running.line.has_room())
    }

    /// A receipt that is durable when everything committed so far is.
    pub fn barrier(&self) -> Receipt {
        let running = self.running.read();
        if running.line.failure().is_some() && running.is_readable() {
            // What can be read was all acknowledged.
            return Receipt::done();
        }
        running.line.last()
    }

    /// A number drawn when the store was created or restored. Tokens given to clients carry it,
    /// so that those of another life of the store are not believed.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Draws a new epoch, durably: a restore calls this.
    ///
    /// # Errors
    /// `Full` or `Io`; the old epoch then stays.
    pub fn mint_epoch(&self) -> Result<u64, StoreError> {
        let format = Format {
            version: FORMAT_VERSION,
            epoch: draw_epoch(),
        };
        // No reopening meanwhile: it may mint one as well.
        let _running = self.running.write();
        self.layout.write_format(format)?;
        self.epoch.store(format.epoch, Ordering::Relaxed);
        Ok(format.epoch)
    }

    /// The number of the last group of commits that is on the disk.
    pub fn group(&self) -> u64 {
        self.counters.group()
    }

    /// The version of the store's format.
    pub fn format_version(&self) -> u32 {
        FORMAT_VERSION
    }

    /// Bytes that the database takes on the disk.
    ///
    /// # Errors
    /// `Io` when its directory cannot be read.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        rewrite::size(&self.layout.rows())
    }

    /// Counts the bytes of all rows, in steps; `waste` then tells them.
    ///
    /// # Errors
    /// As `get`.
    pub fn count_live(&self) -> Result<u64, StoreError> {
        let mut live = 0;
        for row in Scan::new(self, None, |value| value.len()) {
            let (name, bytes) = row?;
            live += (name.bytes().len() + bytes) as u64;
        }
        self.note_live(live);
        Ok(live)
    }

    /// Notes the bytes of all rows, for whoever has just counted them.
    pub fn note_live(&self, bytes: u64) {
        self.live.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that the database takes on the disk and those of its rows when they were last
    /// counted. None while they were not, or when it cannot be measured.
    pub fn waste(&self) -> Option<(u64, u64)> {
        let live = self.live.load(Ordering::Relaxed);
        let file = self.size_on_disk().ok()?;
        (live > 0).then_some((file, live))
    }

    /// What was written since the store was opened.
    pub fn statistics(&self) -> Statistics {
        self.counters.read()
    }

    /// Opens the database again after a failed write. What was durable is there; what was not
    /// may be there or not, and is durable if it is. Whoever keeps copies of rows in memory drops
    /// them first. Does nothing while the store works.
    ///
    /// # Errors
    /// As `open`; the store then stays closed, and this may be called again.
    pub fn reopen(&self) -> Result<(), StoreError> {
        let mut running = self.running.write();
        if running.line.failure().is_none() {
            return Ok(());
        }
        if running.db.is_some() {
            self.probe()?;
        }
        running.end();
        let format = Format {
            version: FORMAT_VERSION,
            epoch: self.epoch(),
        };
        let (options, counters) = (&self.options, &self.counters);
        let (new, format) = start(&self.layout, options, format, counters, &self.watch)?;
        self.epoch.store(format.epoch, Ordering::Relaxed);
        *running = new;
        Ok(())
    }

    /// Writes what is in the line, syncs it and closes the database.
    ///
    /// # Errors
    /// `Failed` or `Full` when a write failed, now or before.
    pub fn close(self) -> Result<(), StoreError> {
        self.end()
    }

    /// As `close`, while others may still hold the store: they are told `Failed` from now on. For a
    /// process that ends, which nobody waits for to let go of it.
    ///
    /// # Errors
    /// As `close`.
    pub fn end(&self) -> Result<(), StoreError> {
        let mut running = self.running.write();
        let all = running.line.last();
        running.end();
        all.wait()
    }

    /// Runs a read on the database.
    fn with_rows<T>(
        &self,
        read: impl FnOnce(&View) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let running = self.running.read();
        match &running.db {
            Some(db) if running.is_readable() => read(&View {
                db,
                undo: running.known.get(),
            }),
            _ => Err(StoreError::Failed),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.running.write().end();
    }
}

impl Running {
    /// Whether `db` shows what readers may see.
    fn is_readable(&self) -> bool {
        let failed = self.line.failure().is_some();
        self.db.is_some() && (!failed || self.readable.load(Ordering::Acquire))
    }

    /// Lets the commit thread finish and closes the database. May be called again.
    fn end(&mut self) {
        self.line.close();
        let synced = match self.committer.take().map(JoinHandle::join) {
            Some(Ok(synced)) => synced,
            Some(Err(_)) => {
                // It catches panics itself, so this one came from the line.
                tracing::error!("the commit thread panicked");
                self.line.fail(StoreError::Failed);
                None
            }
            None => None,
        };
        // Not before: the commit thread may be the one to be roused.
        self.rouser.end();
        match (self.db.take(), synced) {
            (Some(db), Some(file)) => rows::close_whole(db, &self.dir, &file),
            (Some(db), None) => {
                rows::close(db);
            }
            (None, _) => {}
        }
    }
}
