//! Tests of the store. Those that need another process start this test program again, with a
//! variable set that makes the same test play the other part.

mod copy;
mod server;
mod snapshot;
mod syncs;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::error::advice;
use super::{Batch, Condition, Receipt, Store, StoreError, StoreOptions};
use crate::limits;
use crate::seal::{RowName, RowPrefix, Sealed};

/// A directory that is gone after the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("sealdav-store-{}-{count}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }

    /// With a store that was closed, and holds `name(1, 1)`.
    fn with_row(content: &[u8]) -> (Self, PathBuf) {
        let scratch = Scratch::new();
        let dir = scratch.store();
        let store = open(&dir).unwrap();
        put(&store, name(1, 1), content).wait().unwrap();
        (scratch, dir)
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    fn database(&self) -> PathBuf {
        self.store().join("rows/db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(dir, &StoreOptions::default())
}

fn name(collection: u8, row: u64) -> RowName {
    let mut bytes = [collection; 36];
    bytes[16..24].copy_from_slice(&row.to_be_bytes());
    RowName::for_test(bytes)
}

fn prefix(collection: u8) -> RowPrefix {
    RowPrefix::for_test([collection; 16])
}

fn value(bytes: &[u8]) -> Sealed {
    Sealed::for_test(bytes.to_vec())
}

fn put(store: &Store, name: RowName, bytes: &[u8]) -> Receipt {
    let mut batch = Batch::new();
    batch.put(name, value(bytes));
    store.commit(batch)
}

fn rows(store: &Store, collection: u8) -> Vec<(RowName, Vec<u8>)> {
    store
        .scan(&prefix(collection))
        .map(|row| {
            row.map(|(name, stored)| (name, stored.bytes().to_vec()))
                .unwrap()
        })
        .collect()
}

/// Starts this program again to play the other part of the test `test`.
fn other_part(test: &str, variable: &str, value: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([&format!("store::tests::{test}"), "--exact", "--nocapture"])
        .env(variable, value)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, u64, Option<Vec<u8>>)>),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..200),
        1 => any::<u8>().prop_map(|byte| vec![byte; limits::ROW_BYTES]),
    ];
    let write = (0..3u8, 0..40u64, prop::option::weighted(0.7, bytes));
    let step = prop_oneof![
        6 => prop::collection::vec(write, 0..30).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn is_a_map(steps in steps()) {
        let scratch = Scratch::new();
        let mut model = BTreeMap::new();
        let mut store = open(&scratch.store()).unwrap();
        for step in steps {
            match step {
                Step::Commit(writes) => {
                    let mut batch = Batch::new();
                    for (collection, row, bytes) in writes {
                        let name = name(collection, row);
                        match bytes {
                            Some(bytes) => {
                                batch.put(name, value(&bytes));
                                model.insert(name, bytes);
                            }
                            None => {
                                batch.delete(name);
                                model.remove(&name);
                            }
                        }
                    }
                    store.commit(batch).wait().unwrap();
                }
                Step::Reopen => {
                    store.close().unwrap();
                    store = open(&scratch.store()).unwrap();
                }
            }
            for collection in 0..3u8 {
                let expected: Vec<_> = model
                    .iter()
                    .filter(|(name, _)| name.bytes().starts_with(prefix(collection).bytes()))
                    .map(|(name, bytes)| (*name, bytes.clone()))
                    .collect();
                prop_assert_eq!(&rows(&store, collection), &expected);
                let names: Vec<_> = store.names(&prefix(collection)).map(Result::unwrap).collect();
                prop_assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
            }
            for row in 0..40 {
                let found = store.get(&name(0, row)).unwrap().map(|stored| stored.bytes().to_vec());
                prop_assert_eq!(found.as_ref(), model.get(&name(0, row)));
            }
        }
    }
}

#[test]
fn a_scan_takes_several_steps() {
    let scratch = Scratch::new();
    let store = open(&scratch.store()).unwrap();
    let mut batch = Batch::new();
    let count = 2 * limits::SCAN_STEP_ROWS as u64 + 1;
    for row in 0..count {
        batch.put(name(7, row), value(&row.to_be_bytes()));
    }
    batch.put(name(8, 0), value(b"next"));
    store.commit(batch).wait().unwrap();
    let found = rows(&store, 7);
    assert_eq!(found.len() as u64, count);
    assert!(found.iter().zip(0..).all(|((found, bytes), row)| {
        *found == name(7, row) && bytes.as_slice() == u64::to_be_bytes(row)
    }));
    // Exactly one step, and nothing.
    assert_eq!(rows(&store, 8).len(), 1);
    assert_eq!(rows(&store, 9).len(), 0);
}

#[test]
fn a_second_opening_is_refused() {
    const OTHER: &str = "SEALDAV_TEST_SECOND_OPENING";
    if let Some(dir) = std::env::var_os(OTHER) {
        let refused = open(Path::new(&dir)).err().unwrap();
        println!("\n{refused}");
        return;
    }
    let scratch = Scratch::new();
    let store = open(&scratch.store()).unwrap();
    let refusal = StoreError::InUse {
        dir: scratch.store(),
    };
    assert_eq!(open(&scratch.store()).err(), Some(refusal.clone()));

    let other = other_part("a_second_opening_is_refused", OTHER, &scratch.store());
    let said = String::from_utf8(other.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains(&refusal.to_string()), "{said}");

    store.close().unwrap();
    open(&scratch.store()).unwrap();
}

#[test]
fn the_epoch_is_kept_until_a_new_one_is_minted() {
    let scratch = Scratch::new();
    let options = StoreOptions {
        new_epoch: Some(42),
        ..StoreOptions::default()
    };
    assert_eq!(Store::open(&scratch.store(), &options).unwrap().epoch(), 42);
    let store = open(&scratch.store()).unwrap();
    assert_eq!(store.epoch(), 42);
    let minted = store.mint_epoch().unwrap();
    drop(store);
    assert_ne!(minted, 42);
    assert_eq!(open(&scratch.store()).unwrap().epoch(), minted);
}

#[test]
fn unfinished_creations_are_finished() {
    let scratch = Scratch::new();
    let dir = scratch.store();
    // Killed before the format was written.
    fs::create_dir_all(dir.join("rows.new")).unwrap();
    fs::write(dir.join("rows.new/conf"), "half").unwrap();
    put(&open(&dir).unwrap(), name(1, 1), b"one")
        .wait()
        .unwrap();
    // Killed before the rename.
    fs::rename(dir.join("rows"), dir.join("rows.new")).unwrap();
    // Killed while sled wrote a snapshot.
    fs::write(
        dir.join("rows.new/snap.FFFFFFFFFFFFFFFF.generating"),
        "half",
    )
    .unwrap();
    assert_eq!(
        rows(&open(&dir).unwrap(), 1),
        [(name(1, 1), b"one".to_vec())]
    );
}

#[test]
fn what_is_not_a_store_is_refused() {
    let (_scratch, dir) = Scratch::with_row(b"one");
    let format = fs::read_to_string(dir.join("format")).unwrap();
    let damaged = |advice| Some(StoreError::Damaged { advice });

    fs::write(dir.join("format"), "sealdav store\nversion 3\nunheard of\n").unwrap();
    assert_eq!(
        open(&dir).err(),
        Some(StoreError::NewerFormat { found: 3, known: 2 })
    );
    fs::write(dir.join("format"), format.replace("version 2", "version 0")).unwrap();
    assert_eq!(open(&dir).err(), damaged(advice::MARKER));
    fs::write(dir.join("format"), "version 1\n").unwrap();
    assert_eq!(open(&dir).err(), damaged(advice::MARKER));
    fs::remove_file(dir.join("format")).unwrap();
    assert_eq!(open(&dir).err(), damaged(advice::MARKER));
    fs::write(dir.join("format"), &format).unwrap();

    fs::write(dir.join("rows/blobs/17"), "blob").unwrap();
    assert_eq!(open(&dir).err(), damaged(advice::BLOBS));
    fs::remove_file(dir.join("rows/blobs/17")).unwrap();

    fs::rename(dir.join("rows/db"), dir.join("db")).unwrap();
    assert_eq!(open(&dir).err(), damaged(advice::NO_ROWS));
    fs::rename(dir.join("db"), dir.join("rows/db")).unwrap();
    assert_eq!(rows(&open(&dir).unwrap(), 1).len(), 1);

    fs::rename(dir.join("rows"), dir.join("elsewhere")).unwrap();
    assert_eq!(open(&dir).err(), damaged(advice::NO_ROWS));
}

#[test]
fn a_store_of_the_first_format_gets_the_number_of_this_one() {
    let (_scratch, dir) = Scratch::with_row(b"old");
    let format = fs::read_to_string(dir.join("format")).unwrap();
    fs::write(dir.join("format"), format.replace("version 2", "version 1")).unwrap();
    assert_eq!(
        rows(&open(&dir).unwrap(), 1),
        [(name(1, 1), b"old".to_vec())]
    );
    // Before anything was written, and with the epoch that it had.
    assert_eq!(fs::read_to_string(dir.join("format")).unwrap(), format);
}

#[test]
fn an_older_database_is_noticed() {
    let (scratch, dir) = Scratch::with_row(b"old");
    let old = fs::read(scratch.database()).unwrap();
    let store = open(&dir).unwrap();
    let epoch = store.epoch();
    put(&store, name(1, 1), b"new").wait().unwrap();
    drop(store);
    fs::write(scratch.database(), old).unwrap();
    for entry in fs::read_dir(dir.join("rows")).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    assert_eq!(
        open(&dir).err(),
        Some(StoreError::Damaged {
            advice: advice::LOST
        })
    );
    // The administrator accepts the loss: no token of the lost time is believed.
    fs::remove_file(dir.join("witness")).unwrap();
    let store = open(&dir).unwrap();
    assert_eq!(rows(&store, 1), [(name(1, 1), b"old".to_vec())]);
    assert_ne!(store.epoch(), epoch);
}

/// Whatever happens to the database file, no panic gets out and no wrong bytes: the store refuses,
/// or a row is an error, or it is right. A fault in the middle of what was written since the last
/// opening may also make rows vanish, which only the seals above the store can tell.
/// SEALDAV_DAMAGES sets the number of rounds.
#[test]
fn damage_never_gives_wrong_bytes() {
    let scratch = Scratch::new();
    let dir = scratch.store();
    // Several segments of the file, since sled checks the last one as a whole when it opens.
    let bytes = |row: u64| {
        blake3::hash(&row.to_be_bytes())
            .as_bytes()
            .repeat(1 + row as usize % 40 * 30)
    };
    // Half of it behind a snapshot of sled, which reads such pages when they are asked for.
    for half in 0..2 {
        let store = open(&dir).unwrap();
        for group in half * 10..(half + 1) * 10 {
            let mut batch = Batch::new();
            for row in group * 20..(group + 1) * 20 {
                batch.put(name(1, row), value(&bytes(row)));
            }
            store.commit(batch).wait().unwrap();
        }
        store.close().unwrap();
    }
    let written = fs::read(scratch.database()).unwrap();
    let used = written.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    let kept = scratch.0.join("kept");
    copy_dir(&dir, &kept);

    let rounds =
        std::env::var("SEALDAV_DAMAGES").map_or(40, |rounds| rounds.parse::<u64>().unwrap());
    let (mut refused, mut harmless, mut vanished) = (0, 0, 0);
    for round in 0..rounds {
        fs::remove_dir_all(&dir).unwrap();
        copy_dir(&kept, &dir);
        let at = u64::from_le_bytes(
            blake3::hash(&round.to_le_bytes()).as_bytes()[..8]
                .try_into()
                .unwrap(),
        ) % used;
        let database = OpenOptions::new()
            .write(true)
            .open(scratch.database())
            .unwrap();
        match round % 3 {
            0 => database.set_len(at).unwrap(),
            1 => database
                .write_all_at(&[written[at as usize] ^ 0x40], at)
                .unwrap(),
            _ => database.write_all_at(&[0xA5; 64], at).unwrap(),
        }
        drop(database);
        let Ok(store) = open(&dir) else {
            refused += 1;
            continue;
        };
        let found: Vec<_> = (0..400).map(|row| store.get(&name(1, row))).collect();
        let missing = found
            .iter()
            .filter(|found| matches!(found, Ok(None)))
            .count();
        for (found, row) in found.into_iter().zip(0..) {
            match found {
                Ok(Some(stored)) => assert_eq!(stored.bytes(), bytes(row), "round {round}"),
                Ok(None) => assert_ne!(round % 3, 0, "round {round}: cut off at {at} unnoticed"),
                Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}"),
            }
        }
        let mut scanned = 0;
        let mut broken = false;
        for row in store.scan(&prefix(1)) {
            match row {
                Ok((found, stored)) => {
                    let number = u64::from_be_bytes(found.bytes()[16..24].try_into().unwrap());
                    assert_eq!(stored.bytes(), bytes(number), "round {round}");
                    scanned += 1;
                }
                Err(error) => {
                    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
                    broken = true;
                }
            }
        }
        vanished += usize::from(missing > 0 || (!broken && scanned < 400));
        harmless += 1;
    }
    println!("{refused} refused, {harmless} opened, {vanished} of these with missing rows");
    assert!(
        refused > 0 && harmless > 0,
        "{refused} refused, {harmless} harmless"
    );
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
#[should_panic(expected = "was not cut into chunks")]
fn a_row_that_would_become_a_blob_is_a_mistake() {
    Batch::new().put(name(1, 1), value(&vec![0; limits::ROW_BYTES + 1]));
}

/// The largest rows in the worst numbers: a leaf with all it may hold before it splits.
/// Only a database that was closed with all of it on the disk says so, and only until it is opened.
#[test]
fn a_database_is_called_whole_when_it_is() {
    let scratch = Scratch::new();
    let whole = scratch.store().join("rows/whole");
    let store = open(&scratch.store()).unwrap();
    put(&store, name(1, 1), b"row");
    assert!(!whole.exists());
    store.close().unwrap();
    assert!(whole.exists());
    let failing = StoreOptions {
        sync: |_| Err(std::io::Error::other("no")),
        ..StoreOptions::default()
    };
    let store = Store::open(&scratch.store(), &failing).unwrap();
    assert!(!whole.exists());
    let mut batch = Batch::new();
    batch.put(name(1, 2), value(b"row"));
    store.commit(batch).wait().unwrap_err();
    store.close().unwrap_err();
    assert!(!whole.exists());
}

#[test]
fn no_blobs_come_from_the_largest_rows() {
    let scratch = Scratch::new();
    let store = open(&scratch.store()).unwrap();
    for round in 0..4u8 {
        let mut batch = Batch::new();
        for row in 0..200 {
            batch.put(
                name(1, row * 7 % 200),
                value(&vec![round; limits::ROW_BYTES]),
            );
        }
        // sled refuses what would become a blob.
        store.commit(batch).wait().unwrap();
        let mut batch = Batch::new();
        for row in 0..200 {
            if row % 5 != u64::from(round) {
                batch.delete(name(1, row));
            }
        }
        store.commit(batch).wait().unwrap();
    }
    assert_eq!(rows(&store, 1).len(), 200 - 160);
}

#[test]
fn commits_keep_their_order() {
    let scratch = Scratch::new();
    let store = open(&scratch.store()).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = 0;
            while !stop.load(Ordering::Relaxed) {
                if let Some(stored) = store.get(&name(1, 0)).unwrap() {
                    let now = u64::from_be_bytes(stored.bytes().try_into().unwrap());
                    assert!(now >= seen, "{now} after {seen}");
                    seen = now;
                }
            }
        });
        let mut receipts = Vec::new();
        for count in 1..=3000u64 {
            let mut batch = Batch::new();
            batch.put(name(1, 0), value(b"overwritten"));
            batch.delete(name(1, 0));
            batch.put(name(1, 0), value(&count.to_be_bytes()));
            receipts.push(store.commit(batch));
        }
        receipts.last().unwrap().wait().unwrap();
        assert!(receipts.iter().all(Receipt::is_durable));
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(
        rows(&store, 1),
        [(name(1, 0), 3000u64.to_be_bytes().to_vec())]
    );
}

/// With SEALDAV_MEASURE set to a number of seconds this also prints the rate of durable commits:
/// `SEALDAV_MEASURE=5 cargo test --release -- --nocapture many_writers_share_a_sync`.
#[test]
fn many_writers_share_a_sync() {
    let measured = std::env::var("SEALDAV_MEASURE")
        .ok()
        .map(|seconds| Duration::from_secs_f64(seconds.parse().unwrap()));
    let writers: &[usize] = if measured.is_some() {
        &[1, 8, 16, 64]
    } else {
        &[64]
    };
    for &writers in writers {
        let scratch = Scratch::new();
        let store = open(&scratch.store()).unwrap();
        let start = Instant::now();
        let until = start + measured.unwrap_or(Duration::from_millis(500));
        thread::scope(|scope| {
            for writer in 0..writers {
                let store = &store;
                scope.spawn(move || {
                    let mut row = 0;
                    while Instant::now() < until {
                        put(store, name(writer as u8, row % 500), &[writer as u8; 2500])
                            .wait()
                            .unwrap();
                        row += 1;
                    }
                });
            }
        });
        let done = store.statistics();
        let rate = done.commits as f64 / start.elapsed().as_secs_f64();
        let shared = done.commits as f64 / done.syncs as f64;
        println!(
            "{writers} writers: {rate:.0} durable commits a second, {shared:.1} a sync, at most {}",
            done.largest_group
        );
        assert!(writers < 64 || shared >= 8.0, "{done:?}");
    }
}

static SYNC_FAILS: AtomicBool = AtomicBool::new(false);

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_reopened() {
    let scratch = Scratch::new();
    let sync = |file: &File| {
        if SYNC_FAILS.load(Ordering::Relaxed) {
            Err(io::Error::other("no"))
        } else {
            file.sync_data()
        }
    };
    let options = StoreOptions {
        sync,
        ..StoreOptions::default()
    };
    let store = Store::open(&scratch.store(), &options).unwrap();
    let before = put(&store, name(1, 1), b"before");
    before.wait().unwrap();

    SYNC_FAILS.store(true, Ordering::Relaxed);
    let failed: Vec<Receipt> = thread::scope(|scope| {
        let writers: Vec<_> = (2..30)
            .map(|row| {
                let store = &store;
                scope.spawn(move || {
                    let receipt = put(store, name(1, row), b"lost");
                    assert_eq!(receipt.wait(), Err(StoreError::Failed));
                    receipt
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    SYNC_FAILS.store(false, Ordering::Relaxed);

    // Working again is no reason to go on: what sled holds may not be on the disk.
    assert_eq!(
        put(&store, name(1, 1), b"after").wait(),
        Err(StoreError::Failed)
    );
    assert_eq!(store.barrier().wait(), Err(StoreError::Failed));
    assert_eq!(store.get(&name(1, 1)).err(), Some(StoreError::Failed));
    assert_eq!(
        store.scan(&prefix(1)).next().unwrap().err(),
        Some(StoreError::Failed)
    );
    assert_eq!(store.room(), Err(StoreError::Failed));
    assert_eq!(store.condition(), Condition::Closed);

    store.reopen().unwrap();
    assert_eq!(store.condition(), Condition::Works);
    assert!(failed.iter().all(|receipt| !receipt.is_durable()));
    assert!(before.is_durable());
    assert_eq!(store.get(&name(1, 1)).unwrap().unwrap().bytes(), b"before");
    put(&store, name(1, 1), b"again").wait().unwrap();
    store.close().unwrap();
    assert_eq!(
        open(&scratch.store())
            .unwrap()
            .get(&name(1, 1))
            .unwrap()
            .unwrap()
            .bytes(),
        b"again"
    );
}

static LATER_SYNCS_FAIL: AtomicBool = AtomicBool::new(false);

#[test]
fn what_is_known_good_can_be_read_until_it_is_reopened() {
    let scratch = Scratch::new();
    let sync = |file: &File| match LATER_SYNCS_FAIL.load(Ordering::Relaxed) {
        true => Err(io::Error::other("no")),
        false => file.sync_data(),
    };
    let options = StoreOptions {
        sync,
        ..StoreOptions::default()
    };
    let store = Store::open(&scratch.store(), &options).unwrap();
    for row in [1, 2, 4, 6] {
        put(&store, name(1, row), b"good").wait().unwrap();
    }
    let good = rows(&store, 1);
    assert!(store.is_readable() && !store.has_failed());

    LATER_SYNCS_FAIL.store(true, Ordering::Relaxed);
    let mut batch = Batch::new();
    batch.put(name(0, 9), value(b"new"));
    batch.put(name(1, 1), value(b"changed"));
    batch.delete(name(1, 2));
    batch.put(name(1, 3), value(b"new"));
    batch.put(name(1, 3), value(b"twice"));
    batch.delete(name(1, 6));
    batch.put(name(1, 7), value(b"new"));
    assert_eq!(store.commit(batch).wait(), Err(StoreError::Failed));
    assert!(!store.is_readable());
    assert_eq!(store.get(&name(1, 4)).err(), Some(StoreError::Failed));

    // The database cannot be opened again, so it is not closed either.
    fs::rename(scratch.database(), scratch.0.join("away")).unwrap();
    assert!(store.reopen().is_err());
    store.serve_known_good();
    assert!(store.is_readable() && store.has_failed());
    assert_eq!(rows(&store, 1), good);
    assert_eq!(rows(&store, 0), []);
    assert_eq!(store.get(&name(1, 1)).unwrap().unwrap().bytes(), b"good");
    assert_eq!(store.get(&name(1, 2)).unwrap().unwrap().bytes(), b"good");
    assert!(store.get(&name(1, 3)).unwrap().is_none());
    store.barrier().wait().unwrap();
    assert_eq!(store.room(), Err(StoreError::Failed));
    assert_eq!(
        put(&store, name(1, 4), b"no").wait(),
        Err(StoreError::Failed)
    );
    assert_eq!(rows(&store, 1), good);

    LATER_SYNCS_FAIL.store(false, Ordering::Relaxed);
    fs::rename(scratch.0.join("away"), scratch.database()).unwrap();
    store.reopen().unwrap();
    assert!(store.is_readable() && !store.has_failed());
    // The batch that failed is there as a whole or not at all.
    let now = rows(&store, 1);
    assert!(now == good || store.get(&name(0, 9)).unwrap().is_some());
    put(&store, name(1, 4), b"yes").wait().unwrap();
}

/// sled's own threads write too, and one of two places there tells nobody of a failure (rouse.rs).
#[test]
fn everybody_is_told_when_the_disk_takes_no_more() {
    const VARIABLE: &str = "SEALDAV_TEST_LIMITED";
    if let Some(dir) = std::env::var_os(VARIABLE) {
        let store = open(Path::new(&dir)).unwrap();
        thread::scope(|scope| {
            for writer in 0..16 {
                let store = &store;
                scope.spawn(move || {
                    let mut row = 0;
                    while put(store, name(writer, row), &[writer; 20_000])
                        .wait()
                        .is_ok()
                    {
                        let _ = store.get(&name(writer, row / 2));
                        row += 1;
                    }
                });
            }
        });
        assert!(store.has_failed());
        return;
    }
    for _ in 0..4 {
        let scratch = Scratch::new();
        open(&scratch.store()).unwrap().close().unwrap();
        // The shell sets the limit, and lets writes beyond it fail instead of ending the process.
        let mut child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 49152; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args([
                "store::tests::everybody_is_told_when_the_disk_takes_no_more",
                "--exact",
            ])
            .env(VARIABLE, scratch.store())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                child.kill().unwrap();
                panic!("somebody waits for ever");
            }
            thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success());
    }
}

static SYNC_STUCK: AtomicBool = AtomicBool::new(false);

#[test]
fn a_full_line_makes_writers_wait() {
    let scratch = Scratch::new();
    let sync = |file: &File| {
        while SYNC_STUCK.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        file.sync_data()
    };
    let options = StoreOptions {
        sync,
        ..StoreOptions::default()
    };
    let store = Store::open(&scratch.store(), &options).unwrap();
    SYNC_STUCK.store(true, Ordering::Relaxed);
    let joined = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for row in 0..3 * limits::COMMIT_QUEUE as u64 {
                put(&store, name(1, row), b"row");
                joined.fetch_add(1, Ordering::Relaxed);
            }
        });
        thread::sleep(Duration::from_millis(300));
        let waiting = joined.load(Ordering::Relaxed);
        // What the stuck group took, and a full line behind it.
        assert!(waiting >= limits::COMMIT_QUEUE as u64, "{waiting}");
        assert!(waiting <= 2 * limits::COMMIT_QUEUE as u64, "{waiting}");
        assert!(!store.barrier().is_durable());
        SYNC_STUCK.store(false, Ordering::Relaxed);
    });
    store.barrier().wait().unwrap();
    assert_eq!(store.names(&prefix(1)).count(), 3 * limits::COMMIT_QUEUE);
}

#[test]
fn a_line_full_of_bytes_makes_writers_wait() {
    const BATCHES: u64 = 100;
    let rows = limits::COMMIT_QUEUE_BYTES / limits::ROW_BYTES / 64;
    let line = super::line::Line::new();
    let mut bytes = 0;
    let joined = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..BATCHES {
                let mut batch = Batch::new();
                for row in 0..rows {
                    batch.put(name(1, row as u64), value(&[0; limits::ROW_BYTES]));
                }
                line.join(batch);
                joined.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut groups = 0;
        while joined.load(Ordering::Relaxed) < BATCHES {
            thread::sleep(Duration::from_millis(50));
            let waiting = joined.load(Ordering::Relaxed) - groups;
            assert!(
                waiting <= 70,
                "{waiting} batches of about a 64th of the bound"
            );
            let group = line.take().unwrap();
            groups += group.batches.len() as u64;
            let taken = group.batches.iter().map(Batch::bytes).sum::<usize>();
            assert!(taken <= limits::COMMIT_BATCH_BYTES);
            bytes += taken;
        }
        line.close();
    });
    while let Some(group) = line.take() {
        bytes += group.batches.iter().map(Batch::bytes).sum::<usize>();
    }
    assert_eq!(bytes, BATCHES as usize * rows * (limits::ROW_BYTES + 36));
}

/// Rows of one batch of the killed writer.
const KILLED_ROWS: u64 = 12;

/// The batch of a number: the same number in rows of several leaves, small and large.
fn killed_batch(writer: u8, number: u64) -> Batch {
    let mut batch = Batch::new();
    for row in 0..KILLED_ROWS {
        let size = if row == 5 { limits::ROW_BYTES } else { 300 };
        let mut bytes = vec![row as u8; size];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        batch.put(name(writer, row * 1000), value(&bytes));
    }
    batch
}

/// kill -9 at a random moment: every acknowledged batch is there, and none is torn.
/// SEALDAV_KILLS sets the number of rounds.
#[test]
fn a_killed_writer_loses_and_tears_nothing() {
    const OTHER: &str = "SEALDAV_TEST_KILLED_WRITER";
    if let Some(dir) = std::env::var_os(OTHER) {
        write_until_killed(Path::new(&dir));
    }
    let kills = std::env::var("SEALDAV_KILLS").map_or(4, |kills| kills.parse::<u64>().unwrap());
    let scratch = Scratch::new();
    drop(open(&scratch.store()).unwrap());
    let mut acknowledged = [0u64; 4];
    for kill in 0..kills {
        let mut writer = other_part(
            "a_killed_writer_loses_and_tears_nothing",
            OTHER,
            &scratch.store(),
        );
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let listener = thread::spawn(move || {
            let mut acknowledged = [0u64; 4];
            for line in lines.map_while(Result::ok) {
                if let Some((writer, number)) = line
                    .strip_prefix("ack ")
                    .and_then(|ack| ack.split_once(' '))
                {
                    acknowledged[writer.parse::<usize>().unwrap()] = number.parse().unwrap();
                }
            }
            acknowledged
        });
        // Every second one while it still opens the store.
        let millis = if kill % 2 == 0 {
            150 + kill * 37 % 200
        } else {
            2 + kill * 7 % 60
        };
        thread::sleep(Duration::from_millis(millis));
        writer.kill().unwrap();
        writer.wait().unwrap();
        let heard = listener.join().unwrap();
        for (all, heard) in acknowledged.iter_mut().zip(heard) {
            *all = (*all).max(heard);
        }
        let store = open(&scratch.store()).unwrap();
        for (writer, acknowledged) in acknowledged.iter().enumerate() {
            let numbers: Vec<u64> = rows(&store, writer as u8)
                .iter()
                .map(|(_, bytes)| u64::from_be_bytes(bytes[..8].try_into().unwrap()))
                .collect();
            assert!(
                numbers.windows(2).all(|pair| pair[0] == pair[1]),
                "torn: {numbers:?}"
            );
            assert!(
                numbers.is_empty() || numbers.len() as u64 == KILLED_ROWS,
                "torn: {numbers:?}"
            );
            let there = numbers.first().copied().unwrap_or(0);
            assert!(
                there >= *acknowledged,
                "kill {kill}: {there} there, {acknowledged} acknowledged"
            );
        }
    }
    assert!(
        acknowledged.iter().all(|number| *number > 0),
        "{acknowledged:?}"
    );
}

fn write_until_killed(dir: &Path) -> ! {
    let store = open(dir).unwrap();
    thread::scope(|scope| {
        for writer in 0..4u8 {
            let store = &store;
            scope.spawn(move || {
                let before = store.get(&name(writer, 0)).unwrap();
                let first = before.map_or(0, |stored| {
                    u64::from_be_bytes(stored.bytes()[..8].try_into().unwrap())
                });
                for number in first + 1.. {
                    store.commit(killed_batch(writer, number)).wait().unwrap();
                    let mut out = io::stdout().lock();
                    let _ = writeln!(out, "\nack {writer} {number}").and_then(|()| out.flush());
                }
            });
        }
    });
    unreachable!("the writers write until they are killed")
}
