//! How often the database is synced, when, and what a failure does, whoever meets it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Scratch, name, put};
use crate::limits;
use crate::store::{Store, StoreError, StoreOptions};

/// The name of sled's thread that cleans.
const CLEANER: &str = "log flusher";

fn open_with(scratch: &Scratch, sync: fn(&File) -> io::Result<()>) -> Store {
    let options = StoreOptions {
        sync,
        ..StoreOptions::default()
    };
    Store::open(&scratch.store(), &options).unwrap()
}

static SYNCS: AtomicU64 = AtomicU64::new(0);

#[test]
fn a_group_takes_one_sync() {
    const GROUPS: u64 = 100;
    let scratch = Scratch::new();
    let store = open_with(&scratch, |file| {
        SYNCS.fetch_add(1, Ordering::Relaxed);
        file.sync_data()
    });
    let (begun, before) = (Instant::now(), SYNCS.load(Ordering::Relaxed));
    for row in 0..GROUPS {
        put(&store, name(1, row), b"row").wait().unwrap();
    }
    let syncs = SYNCS.load(Ordering::Relaxed) - before;
    // The cleaner's turns may each add one.
    let turns = begun.elapsed().as_millis() as u64 / limits::STORE_CLEAN_MILLIS + 2;
    assert!((GROUPS..=GROUPS + turns).contains(&syncs), "{syncs}");
}

/// The number of the last marker that was in the file when a sync that has ended began.
static SYNCED: AtomicU64 = AtomicU64::new(0);

fn marker(number: u64) -> [u8; 24] {
    let mut marker = *b"a marker ........ of it.";
    marker[9..17].copy_from_slice(&number.to_be_bytes());
    marker
}

/// The greatest number of a marker in the file.
fn markers(file: &File) -> u64 {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    let read = file.read_at(&mut bytes, 0).unwrap();
    let (begin, end) = (&marker(0)[..9], &marker(0)[17..]);
    let found = bytes[..read].windows(24).filter(|window| {
        // The first byte alone decides nearly always.
        window[0] == begin[0] && window.starts_with(begin) && window.ends_with(end)
    });
    let numbers = found.map(|window| {
        let number = window[9..17].try_into().unwrap();
        u64::from_be_bytes(number)
    });
    numbers.max().unwrap_or(0)
}

#[test]
fn the_sync_begins_when_all_of_the_group_is_in_the_file() {
    let scratch = Scratch::new();
    let store = open_with(&scratch, |file| {
        let number = markers(file);
        file.sync_data()?;
        SYNCED.fetch_max(number, Ordering::SeqCst);
        Ok(())
    });
    for number in 1..=20 {
        // Of all sizes; the marker is the last of it.
        let mut value = vec![7; 3_000 * number as usize];
        value.extend(marker(number));
        put(&store, name(1, number % 5), &value).wait().unwrap();
        assert_eq!(SYNCED.load(Ordering::SeqCst), number);
    }
}

static CLEANER_FAILS: AtomicBool = AtomicBool::new(false);
static CLEANER_FAILED: AtomicBool = AtomicBool::new(false);

/// The system tells of a failed write once, and perhaps not the thread that wrote it.
#[test]
fn a_sync_that_fails_for_the_cleaner_ends_all_writing() {
    let scratch = Scratch::new();
    let store = open_with(&scratch, |file| {
        let cleans = thread::current().name() == Some(CLEANER);
        if cleans && CLEANER_FAILS.load(Ordering::SeqCst) {
            CLEANER_FAILED.store(true, Ordering::SeqCst);
            return Err(io::Error::other("no"));
        }
        file.sync_data()
    });
    put(&store, name(2, 1), b"before").wait().unwrap();
    CLEANER_FAILS.store(true, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs(60);
    let mut told = None;
    while !CLEANER_FAILED.load(Ordering::SeqCst) && Instant::now() < until {
        // Rows that are written again and again leave it something to clean; then it is alone.
        for row in 0..400 {
            let written = put(&store, name(1, row % 40), &[row as u8; limits::ROW_BYTES]);
            told = told.or(written.wait().err());
        }
        thread::sleep(Duration::from_millis(3 * limits::STORE_CLEAN_MILLIS));
    }
    assert!(CLEANER_FAILED.load(Ordering::SeqCst), "it never synced");
    // Every sync would succeed now.
    CLEANER_FAILS.store(false, Ordering::SeqCst);
    let after = put(&store, name(2, 1), b"after");
    assert_eq!(after.wait(), Err(StoreError::Failed));
    assert!(told.is_none_or(|told| told == StoreError::Failed));
    store.reopen().unwrap();
    let found = store.get(&name(2, 1)).unwrap().unwrap();
    assert!([b"before".as_slice(), b"after"].contains(&found.bytes()));
    put(&store, name(2, 1), b"again").wait().unwrap();
}
