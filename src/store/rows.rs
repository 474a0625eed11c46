//! Opening and closing the database with the precautions it needs.
//!
//! sled 0.34 panics on damage that it did not expect, so it is opened, read and closed where a
//! panic ends as an error. It is a copy with changes (vendor/sled/README.md), since what it wrote did
//! not reach the disk (spacejam/sled#1452). Its blob files are never synced, so there must be none.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::error::{StoreError, advice};
use super::layout::sync_dir;
use crate::limits::{
    STORE_CLEAN_MILLIS, STORE_CLOSE_SECONDS, STORE_LET_GO_MILLIS, STORE_REPLAY_BYTES,
    STORE_SEGMENT_BYTES,
};

/// How often a database that is still being let go of is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(5);
/// What sled says while its own lock is held.
const SLED_LOCKED: &str = "could not acquire lock";
/// A file beside the database file while nobody has it open and all of it is known to be on the disk.
const WHOLE: &str = "whole";
/// A snapshot that sled was writing when it was killed; it would read it and fail.
const SLED_UNFINISHED: &str = ".generating";

/// How the database file is synced; tests put failures in its place.
pub(super) type Sync = fn(&File) -> io::Result<()>;

/// As `STORE_REPLAY_BYTES`; tests write less, and are to meet such snapshots.
const REPLAY_BYTES: u64 = if cfg!(test) {
    64 * 1024
} else {
    STORE_REPLAY_BYTES
};

/// An open database.
pub(super) struct Rows {
    pub(super) db: sled::Db,
    /// The database file, for saying at the end that it is whole.
    pub(super) file: File,
}

/// Opens the database in `dir`, creating it when `dir` is absent. Everything in it is durable
/// when this returns.
pub(super) fn open(dir: &Path, cache_bytes: u64, sync: Sync) -> Result<Rows, StoreError> {
    let database = dir.join("db");
    if dir.exists() {
        let present = database.metadata().is_ok_and(|found| found.len() > 0);
        if !present {
            return Err(StoreError::Damaged {
                advice: advice::NO_ROWS,
            });
        }
        refuse_blobs(&dir.join("blobs"))?;
        remove_unfinished(dir)?;
        // After a power cut it may be there once more; nothing is in memory then either.
        let whole = remove_if_there(&dir.join(WHOLE))?;
        if !whole {
            forget_unwritten(&database)?;
        }
    }
    let db = open_apart(dir.to_owned(), cache_bytes, sync)?;
    match make_durable(dir, &database) {
        Ok(file) => Ok(Rows { db, file }),
        Err(error) => {
            // sled panics when it is dropped and cannot write.
            close(db);
            Err(error)
        }
    }
}

/// Syncs everything in `dir`; the database file, opened.
fn make_durable(dir: &Path, database: &Path) -> Result<File, StoreError> {
    let doing = "sync its database";
    let file = File::open(database).map_err(StoreError::io(doing))?;
    file.sync_all().map_err(StoreError::io(doing))?;
    File::open(dir.join("conf"))
        .and_then(|conf| conf.sync_all())
        .map_err(StoreError::io(doing))?;
    sync_dir(dir)?;
    Ok(file)
}

/// Closes the database by its last handle and says that it is whole, if it is: `file` was opened
/// before anything was written, so its sync tells of every write that did not reach the disk.
/// sled's snapshot is written too, so that the next start need not read the log.
pub(super) fn close_whole(db: sled::Db, dir: &Path, file: &File) {
    db.snapshot_at_end();
    if !close(db) {
        return;
    }
    let written = file
        .sync_all()
        .and_then(|()| File::create(dir.join(WHOLE)).map(drop));
    if let Err(error) = written {
        tracing::warn!(%error, "the database was closed, but it cannot be said that all of it is on the disk");
    }
}

/// Closes the database; whether that ended well. A panic is logged: what had to be durable is so already. So is a handle
/// that does not close, which is left behind: sled waits for ever for its cleaner when that has
/// panicked.
pub(super) fn close(db: sled::Db) -> bool {
    let (tell, told) = mpsc::channel();
    let closer = thread::Builder::new()
        .name("store-close".to_owned())
        .spawn(move || {
            let closed = catch_unwind(AssertUnwindSafe(|| drop(db)));
            // Nobody listens any more when it took too long.
            let _ = tell.send(closed.is_ok());
        });
    let closed = closer.map(|_| told.recv_timeout(Duration::from_secs(STORE_CLOSE_SECONDS)));
    match closed {
        Ok(Ok(true)) => return true,
        Ok(Ok(false)) => tracing::error!("the database panicked while it was closed"),
        Ok(Err(_)) => tracing::error!("the database did not close; restart the server"),
        Err(error) => tracing::error!(%error, "no thread to close the database in"),
    }
    false
}

/// Whether a write of a thread of sled's own failed, after which nothing can be written any more.
pub(super) fn has_failed(db: &sled::Db) -> bool {
    db.context.global_error().is_err()
}

/// Reads with a panic turned into an error, since a damaged page may cause one.
pub(super) fn guarded<T>(read: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(StoreError::sled("read a row", error)),
        Err(_) => {
            tracing::error!("the database panicked while a row was read");
            Err(StoreError::Damaged {
                advice: advice::ROWS,
            })
        }
    }
}

/// Refuses a database with blob files.
fn refuse_blobs(blobs: &Path) -> Result<(), StoreError> {
    match fs::read_dir(blobs) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(StoreError::Damaged {
                advice: advice::BLOBS,
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io("look into rows/blobs")(error)),
    }
}

/// Removes a file; whether it was there.
fn remove_if_there(path: &Path) -> Result<bool, StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("open its database")(error)),
    }
}

fn remove_unfinished(dir: &Path) -> Result<(), StoreError> {
    let doing = "tidy its database";
    for entry in fs::read_dir(dir).map_err(StoreError::io(doing))? {
        let entry = entry.map_err(StoreError::io(doing))?;
        if entry
            .file_name()
            .to_string_lossy()
            .ends_with(SLED_UNFINISHED)
        {
            fs::remove_file(entry.path()).map_err(StoreError::io(doing))?;
        }
    }
    Ok(())
}

/// Whether the database in `dir` can be synced now, asked before one that can still be read is
/// closed.
pub(super) fn probe(dir: &Path) -> Result<(), StoreError> {
    let doing = "sync its database";
    File::open(dir.join("db"))
        .and_then(|file| file.sync_all())
        .map_err(StoreError::io(doing))?;
    sync_dir(dir)
}

/// After a failed sync the kernel keeps pages that look written but are not. They are synced if
/// they can be and dropped from memory, so that only what the disk has is read.
fn forget_unwritten(database: &Path) -> Result<(), StoreError> {
    let doing = "sync its database";
    let file = File::open(database).map_err(StoreError::io(doing))?;
    file.sync_all().map_err(StoreError::io(doing))?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
        .map_err(|error| StoreError::io("reread its database")(error.into()))
}

/// Opens sled on a thread of its own, whose panic is an error here.
fn open_apart(dir: PathBuf, cache_bytes: u64, sync: Sync) -> Result<sled::Db, StoreError> {
    let opener = thread::Builder::new()
        .name("store-open".to_owned())
        .spawn(move || open_when_let_go(&dir, cache_bytes, sync))
        .map_err(StoreError::io("start a thread"))?;
    match opener.join() {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(error))) => {
            tracing::error!(%error, "the database could not be opened");
            match error.kind() {
                // What sled says when a file ends where something should be.
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::InvalidData
                | io::ErrorKind::Other => Err(StoreError::Damaged {
                    advice: advice::OPEN,
                }),
                _ => Err(StoreError::io("open its database")(error)),
            }
        }
        Ok(Err(error)) => match StoreError::sled("open its database", error) {
            StoreError::Damaged {
                advice: advice::ROWS,
            } => Err(StoreError::Damaged {
                advice: advice::OPEN,
            }),
            other => Err(other),
        },
        Err(_) => {
            tracing::error!("the database panicked while it was opened");
            Err(StoreError::Damaged {
                advice: advice::OPEN,
            })
        }
    }
}

/// sled's threads may hold the database for a moment after it was closed in this process. Our
/// own lock keeps everybody else away, so waiting is safe.
fn open_when_let_go(dir: &Path, cache_bytes: u64, sync: Sync) -> sled::Result<sled::Db> {
    let until = Instant::now() + Duration::from_millis(STORE_LET_GO_MILLIS);
    loop {
        let opened = sled::Config::new()
            .path(dir)
            .cache_capacity(cache_bytes)
            .segment_size(STORE_SEGMENT_BYTES)
            // Only this thread of sled's cleans segments as fast as they fill; what it writes is
            // of rows that are durable already, and no answer waits for it.
            .flush_every_ms(Some(STORE_CLEAN_MILLIS))
            .sync_with(sync)
            .snapshot_every(REPLAY_BYTES)
            .open();
        match opened {
            Err(sled::Error::Io(error))
                if error.to_string().contains(SLED_LOCKED) && Instant::now() < until =>
            {
                thread::sleep(TRY_AGAIN);
            }
            opened => return opened,
        }
    }
}
