//! sled's snapshot: where each page is, so that a start need not read the log. Written at an
//! orderly close and, while sled runs, beside its writers; it may never say anything else than the log.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::super::rows as opened;
use super::{Batch, Scratch, limits, name, open, put, rows, value};

/// The snapshots in a directory of sled's.
fn snapshots(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_stem().is_some_and(|stem| stem == "snap"))
        .collect()
}

/// The only snapshot: its name and what it says.
fn snapshot(dir: &Path) -> (String, Vec<u8>) {
    let found = snapshots(dir);
    assert_eq!(found.len(), 1, "{found:?}");
    let name = found[0].file_name().unwrap().to_string_lossy().into_owned();
    (name, fs::read(&found[0]).unwrap())
}

/// Copies the database in `from` without its snapshot.
fn copy_log(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("blobs")).unwrap();
    for file in ["db", "conf"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    // The store has none, small segments have.
    for blob in fs::read_dir(from.join("blobs"))
        .unwrap()
        .map(Result::unwrap)
    {
        fs::copy(blob.path(), to.join("blobs").join(blob.file_name())).unwrap();
    }
}

#[test]
fn an_orderly_close_leaves_nothing_to_replay() {
    let scratch = Scratch::new();
    let (dir, log) = (scratch.store().join("rows"), scratch.0.join("log"));
    let mut numbers = 1..;
    for round in 0..4u8 {
        let store = open(&scratch.store()).unwrap();
        for _ in 0..60 {
            let mut batch = Batch::new();
            for row in 0..20 {
                let number: u64 = numbers.next().unwrap();
                let hash = blake3::hash(&number.to_le_bytes());
                let bytes = hash.as_bytes().repeat(number as usize % 400);
                match number % 7 {
                    0 => batch.delete(name(round / 2, number * 31 % 700)),
                    _ => batch.put(name(round / 2, row + number * 17 % 700), value(&bytes)),
                }
            }
            store.commit(batch).wait().unwrap();
        }
        store.close().unwrap();
        let said = snapshot(&dir);
        // What reading the whole log yields is the same, to the last byte.
        copy_log(&dir, &log);
        opened::close(
            opened::open(&log, limits::STORE_CACHE_BYTES, fs::File::sync_data)
                .unwrap()
                .db,
        );
        assert!(said == snapshot(&log), "round {round}");
        fs::remove_dir_all(&log).unwrap();

        let inode = || snapshots(&dir)[0].metadata().unwrap().ino();
        let before = inode();
        let store = open(&scratch.store()).unwrap();
        assert_eq!(before, inode(), "the start had something to add");
        drop(store);
    }
    assert!(fs::metadata(scratch.database()).unwrap().len() > limits::STORE_SEGMENT_BYTES as u64);
}

#[test]
fn a_snapshot_that_cannot_be_read_costs_time_alone() {
    let scratch = Scratch::new();
    let dir = scratch.store().join("rows");
    put(&open(&scratch.store()).unwrap(), name(1, 1), b"one")
        .wait()
        .unwrap();
    let (file, whole) = snapshot(&dir);
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() - 1], b""] {
        fs::write(dir.join(&file), damaged).unwrap();
        let store = open(&scratch.store()).unwrap();
        assert_eq!(rows(&store, 1), [(name(1, 1), b"one".to_vec())]);
        drop(store);
    }
    fs::remove_file(snapshots(&dir).pop().unwrap()).unwrap();
    let store = open(&scratch.store()).unwrap();
    assert_eq!(rows(&store, 1), [(name(1, 1), b"one".to_vec())]);
}

/// Snapshots are taken all the time while several threads write, and segments are freed and used again.
#[test]
fn a_snapshot_beside_writers_leads_to_what_the_log_says() {
    const SEGMENT: usize = 128 * 1024;
    let config = |dir: &Path| {
        sled::Config::new()
            .path(dir)
            .cache_capacity(1 << 20)
            .segment_size(SEGMENT)
            .flush_every_ms(Some(1))
    };
    let scratch = Scratch::new();
    let dir = scratch.0.join("running");
    for round in 0..6u64 {
        let db = config(&dir).snapshot_every(1).open().unwrap();
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            for writer in 0..3u64 {
                let (db, ended) = (&db, &ended);
                scope.spawn(move || {
                    let mut number = round;
                    while !ended.load(Ordering::Acquire) {
                        number += 1;
                        let hash = blake3::hash(&(number * 3 + writer).to_le_bytes());
                        let random = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap());
                        let key = [writer as u8, (random % 199) as u8];
                        let bytes = hash.as_bytes().repeat((random >> 32) as usize % 40);
                        let mut batch = sled::Batch::default();
                        match random >> 60 {
                            0..5 => batch.remove(&key),
                            _ => batch.insert(&key, bytes.clone()),
                        }
                        batch.insert(&[writer as u8], &number.to_le_bytes());
                        if writer == 0 {
                            db.insert(key, bytes).unwrap();
                        } else {
                            db.apply_batch(batch).unwrap();
                        }
                    }
                });
            }
            thread::sleep(Duration::from_millis(150));
            ended.store(true, Ordering::Release);
        });
        let all = |db: &sled::Db| db.iter().map(Result::unwrap).collect::<Vec<_>>();
        let written = all(&db);
        // Without the snapshot of an orderly close.
        drop(db);
        let log = scratch.0.join("log");
        copy_log(&dir, &log);
        let replayed = config(&log).open().unwrap();
        let whole = snapshot(&log);
        assert!(all(&replayed) == written);
        drop(replayed);
        fs::remove_dir_all(&log).unwrap();
        let taken = snapshot(&dir);
        let db = config(&dir).open().unwrap();
        assert!(snapshot(&dir) == whole, "round {round} after {}", taken.0);
        assert!(all(&db) == written);
        drop(db);
    }
}
