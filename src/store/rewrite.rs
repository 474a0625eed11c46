//! Writing a database anew: a store filled from a backup, and one copied to get rid of the space
//! that deleted rows took, or to put other rows in the place of some.
//!
//! These move sealed bytes as they are, without a key and without a commit thread, in a store
//! that nobody else has open. The copy is compared with what was to be in it before it counts.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use super::FORMAT_VERSION;
use super::commit::GROUP_ROW;
use super::commit::last_group;
use super::error::{StoreError, advice};
use super::layout::{Format, Found, Layout, sync_dir};
use super::rouse::Rouser;
use super::rows::{self, Rows, guarded};
use super::start::draw_epoch;
use crate::limits::{COMMIT_APPLY_BYTES, COMPACT_SPARE_BYTES, STORE_CACHE_BYTES};
use crate::seal::{RowName, RowPrefix};

/// How much larger a fresh database is than its rows, with room to spare (FINDINGS: 1.8 to 2.8).
const GROWTH: u64 = 3;
/// Bytes that an empty database takes.
const LEAST: u64 = 32 * 1024 * 1024;

/// How a new database is written over again. A pass first fills the segment where the log ended, which
/// may lie behind what it moves: the next one moves that too.
const PACKINGS: [Packing; 4] = [Packing::Whole, Packing::Down, Packing::Down, Packing::Down];

/// Which pages are written over again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    /// All, so that there are no gaps.
    Whole,
    /// Those behind a free place.
    Down,
}

/// What a rewriting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// Rows in the new database.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes that the old database took on the disk.
    pub before: u64,
    /// Bytes that the new one takes.
    pub after: u64,
}

/// What counts rows and tells whether two databases hold the same, in whatever order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    rows: u64,
    bytes: u64,
    sum: [u64; 4],
}

impl Tally {
    fn add(&mut self, name: &[u8], value: &[u8]) {
        self.rows += 1;
        self.bytes += (name.len() + value.len()) as u64;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(name.len() as u64).to_le_bytes());
        let hash = hasher.update(name).update(value).finalize();
        for (lane, bytes) in self.sum.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
            let bytes = bytes.try_into().expect("8 bytes");
            *lane = lane.wrapping_add(u64::from_le_bytes(bytes));
        }
    }

    fn of(db: &sled::Db) -> Result<Tally, StoreError> {
        guarded(|| {
            let mut tally = Tally::default();
            for row in db.iter() {
                let (name, value) = row?;
                if name != GROUP_ROW {
                    tally.add(&name, &value);
                }
            }
            Ok(tally)
        })
    }
}

/// A database that is being filled.
pub struct Filler {
    rouser: Roused,
    rows: Rows,
    batch: sled::Batch,
    waiting: usize,
    tally: Tally,
}

/// Ends its thread when it is dropped.
struct Roused(Rouser);

impl Drop for Roused {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Filler {
    fn new(dir: &Path) -> Result<Filler, StoreError> {
        let rows = rows::open(dir, STORE_CACHE_BYTES, File::sync_data)?;
        let rouser = Rouser::start(rows.db.clone()).map_err(StoreError::io("start a thread"))?;
        Ok(Filler {
            rouser: Roused(rouser),
            rows,
            batch: sled::Batch::default(),
            waiting: 0,
            tally: Tally::default(),
        })
    }

    /// Adds a row as it was stored; each name once.
    ///
    /// # Errors
    /// The store's.
    pub fn put(&mut self, name: &RowName, value: &[u8]) -> Result<(), StoreError> {
        self.tally.add(name.bytes(), value);
        self.batch.insert(name.bytes(), value);
        self.waiting += value.len();
        match self.waiting >= COMMIT_APPLY_BYTES {
            true => self.apply(),
            false => Ok(()),
        }
    }

    /// Rows that were put.
    pub fn count(&self) -> u64 {
        self.tally.rows
    }

    fn apply(&mut self) -> Result<(), StoreError> {
        self.waiting = 0;
        let batch = std::mem::take(&mut self.batch);
        guarded(|| self.rows.db.apply_batch(batch))
    }

    /// Makes it durable, opens it once more, and compares what is in it.
    fn finish(mut self, dir: &Path, group: u64) -> Result<Tally, StoreError> {
        self.batch.insert(GROUP_ROW, &group.to_le_bytes());
        self.apply()?;
        guarded(|| self.rows.db.flush())?;
        let doing = "sync a new database";
        self.rows.file.sync_all().map_err(StoreError::io(doing))?;
        drop(self.rouser);
        rows::close(self.rows.db);
        for packing in PACKINGS {
            pack(dir, packing)?;
        }
        let again = rows::open(dir, STORE_CACHE_BYTES, File::sync_data)?;
        let found = Tally::of(&again.db);
        rows::close(again.db);
        sync_dir(dir)?;
        if found? != self.tally {
            return Err(StoreError::Damaged {
                advice: advice::COPY,
            });
        }
        Ok(self.tally)
    }
}

/// Writes the pages of a database over again, and closes it. What became free is cut off when it is
/// opened again, or used by the next packing.
fn pack(dir: &Path, packing: Packing) -> Result<(), StoreError> {
    let rows = rows::open(dir, STORE_CACHE_BYTES, File::sync_data)?;
    let rouser = Rouser::start(rows.db.clone()).map_err(StoreError::io("start a thread"))?;
    let rouser = Roused(rouser);
    let packed = guarded(|| {
        rows.db.rewrite_all(packing == Packing::Down)?;
        rows.db.flush()
    });
    drop(rouser);
    rows::close(rows.db);
    packed?;
    rows.file
        .sync_all()
        .map_err(StoreError::io("sync a new database"))
}

/// Makes a store in `dir`, with a new epoch, of the rows that `add` puts. Until it returns there
/// is no store, only the beginning of one.
///
/// # Errors
/// Those of `add`; the store's; `InUse` when there is a store already.
pub fn fill<E: From<StoreError>>(
    dir: &Path,
    add: impl FnOnce(&mut Filler) -> Result<(), E>,
) -> Result<u64, E> {
    let layout = Layout::new(dir);
    let _lock = layout.lock()?;
    if matches!(layout.find()?, Found::Store(_)) {
        return Err(StoreError::InUse {
            dir: dir.to_owned(),
        }
        .into());
    }
    let mut filler = Filler::new(&layout.rows_new())?;
    add(&mut filler)?;
    let tally = filler.finish(&layout.rows_new(), 1)?;
    let format = Format {
        version: FORMAT_VERSION,
        epoch: draw_epoch(),
    };
    layout.open_witness()?.0.begin()?;
    layout.finish(format)?;
    Ok(tally.rows)
}

/// Rows that are left out when a database is written anew.
#[derive(Debug, Clone, Default)]
pub struct LeftOut {
    /// Those whose names begin so.
    pub prefixes: HashSet<[u8; 16]>,
    /// These.
    pub names: HashSet<RowName>,
}

impl LeftOut {
    /// Whether the row of this name is one of them.
    pub fn has(&self, name: &RowName) -> bool {
        let prefix = name.bytes().first_chunk::<16>();
        prefix.is_some_and(|prefix| self.prefixes.contains(prefix)) || self.names.contains(name)
    }

    /// Adds all whose names begin with `prefix`.
    pub fn add(&mut self, prefix: &RowPrefix) {
        let bytes = prefix.bytes().try_into().expect("a prefix has 16 bytes");
        self.prefixes.insert(bytes);
    }
}

/// Copies the rows of a store that nobody has open into a fresh database, which takes the place
/// of the old one, so that the space of deleted rows is free again. A crash at any moment leaves
/// the old rows or the new ones. `progress` is told the rows copied and those there are.
///
/// # Errors
/// `InUse`, `Full` when both do not fit on the disk, `Damaged`, or `Io`; the store is then as
/// it was.
pub fn compact(dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Rewritten, StoreError> {
    let (layout, _lock, rewritten) = written_anew(dir, &LeftOut::default(), |_| Ok(()), progress)?;
    swap(&layout)?;
    Ok(rewritten)
}

/// As `compact`, but without the rows of `left_out` and with those that `add` puts in their place;
/// the store gets a new epoch.
///
/// # Errors
/// As `compact`, and those of `add`.
pub fn rewrite<E: From<StoreError>>(
    dir: &Path,
    left_out: &LeftOut,
    add: impl FnOnce(&mut Filler) -> Result<(), E>,
) -> Result<Rewritten, E> {
    let (layout, _lock, rewritten) = written_anew(dir, left_out, add, &mut |_, _| {})?;
    // Before the rows count: with the old epoch a token could hide a change.
    layout.write_format(Format {
        version: FORMAT_VERSION,
        epoch: draw_epoch(),
    })?;
    swap(&layout)?;
    Ok(rewritten)
}

fn swap(layout: &Layout) -> Result<(), StoreError> {
    layout.declare_next()?;
    layout.go_on()
}

/// Writes the new database; the lock keeps everybody else out until it is dropped.
pub(super) fn written_anew<E: From<StoreError>>(
    dir: &Path,
    left_out: &LeftOut,
    add: impl FnOnce(&mut Filler) -> Result<(), E>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Layout, File, Rewritten), E> {
    let layout = Layout::new(dir);
    let lock = layout.lock()?;
    let Found::Store(_) = layout.find()? else {
        return Err(StoreError::Damaged {
            advice: advice::NO_ROWS,
        }
        .into());
    };
    let old = rows::open(&layout.rows(), STORE_CACHE_BYTES, File::sync_data)?;
    let all = Tally::of(&old.db)?;
    room(&layout, all.bytes)?;
    let mut filler = Filler::new(&layout.rows_part())?;
    copy(&old.db, left_out, &mut filler, &mut |rows| {
        progress(rows, all.rows);
    })?;
    add(&mut filler)?;
    let group = last_group(&old.db)?;
    rows::close(old.db);
    let tally = filler.finish(&layout.rows_part(), group)?;
    let rewritten = Rewritten {
        rows: tally.rows,
        bytes: tally.bytes,
        before: size(&layout.rows())?,
        after: size(&layout.rows_part())?,
    };
    Ok((layout, lock, rewritten))
}

/// Copies all rows but those that are left out.
fn copy(
    db: &sled::Db,
    left_out: &LeftOut,
    filler: &mut Filler,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let damaged = || StoreError::Damaged {
        advice: advice::ROWS,
    };
    let mut rows = db.iter();
    while let Some((name, value)) = guarded(|| rows.next().transpose())? {
        if name == GROUP_ROW {
            continue;
        }
        let name = RowName::read(&name).ok_or_else(damaged)?;
        if !left_out.has(&name) {
            filler.put(&name, &value)?;
            if filler.count().is_multiple_of(10_000) {
                progress(filler.count());
            }
        }
    }
    Ok(())
}

/// Whether a database of `bytes` bytes of rows fits on the disk beside the one that is there.
fn room(layout: &Layout, bytes: u64) -> Result<(), StoreError> {
    let disk = rustix::fs::statvfs(layout.dir())
        .map_err(|error| StoreError::io("ask for free space")(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = bytes * GROWTH + LEAST + COMPACT_SPARE_BYTES;
    match free < needed {
        true => Err(StoreError::Full),
        false => Ok(()),
    }
}

/// Bytes of the files in a directory.
pub(super) fn size(dir: &Path) -> Result<u64, StoreError> {
    let doing = "measure its database";
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).map_err(StoreError::io(doing))? {
        let found = entry
            .and_then(|entry| entry.metadata())
            .map_err(StoreError::io(doing))?;
        bytes += found.len();
    }
    Ok(bytes)
}
