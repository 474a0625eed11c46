//! Copies of all rows while others write, and databases written anew.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Scratch, name, open, prefix};
use crate::seal::{RowName, Sealed};
use crate::store::layout::Layout;
use crate::store::rewrite::{LeftOut, written_anew};
use crate::store::{Batch, Copied, Parts, Row, Store, StoreError, compact, fill, rewrite};

type Rows = BTreeMap<RowName, Vec<u8>>;

/// Parts in memory, each of which takes a while to write.
#[derive(Default)]
struct Memory(Vec<Vec<Row>>);

impl Parts for Memory {
    type Part = usize;
    type Error = StoreError;

    fn write(&mut self, rows: &[Row]) -> Result<usize, StoreError> {
        thread::sleep(Duration::from_micros(500));
        self.0.push(rows.to_vec());
        Ok(self.0.len() - 1)
    }

    fn read(&mut self, part: &usize) -> Result<Vec<Row>, StoreError> {
        Ok(self.0[*part].clone())
    }
}

impl Memory {
    /// The rows of a copy, which must be in order, each once.
    fn rows(&self, copied: &Copied<usize>) -> Rows {
        let mut rows = Rows::new();
        for (name, value) in copied.parts.iter().flat_map(|part| &self.0[*part]) {
            assert!(rows.last_key_value().is_none_or(|(last, _)| last < name));
            rows.insert(*name, value.bytes().to_vec());
        }
        rows
    }
}

fn copied(store: &Store) -> (Memory, Copied<usize>) {
    let mut memory = Memory::default();
    let copied = store.copy_rows(&mut memory).unwrap();
    (memory, copied)
}

fn stored(store: &Store) -> Rows {
    let rows = store.all_rows().map(Result::unwrap);
    rows.map(|(name, value)| (name, value.bytes().to_vec()))
        .collect()
}

fn value(number: u64, size: usize) -> Sealed {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(size.max(8), 7);
    Sealed::for_test(bytes)
}

const WRITERS: u8 = 4;
const OBJECTS: u64 = 400;

/// What a writer's commit of this number does: a counter, a pair of rows that are equal, and now
/// and then a pair that goes.
fn step(writer: u8, number: u64) -> Vec<(RowName, Option<Sealed>)> {
    let pair = |object: u64| [name(writer, object), name(100 + writer, object)];
    let size = 100 + usize::try_from(number % 50).unwrap() * 20;
    let mut writes = vec![(name(200 + writer, 0), Some(value(number, 8)))];
    if number % 5 == 4 {
        let gone = pair((number * 31) % OBJECTS);
        writes.extend(gone.map(|name| (name, None)));
    }
    let put = pair((number * 7) % OBJECTS);
    writes.extend(put.map(|name| (name, Some(value(number, size)))));
    writes
}

fn replay(done: [u64; WRITERS as usize]) -> Rows {
    let mut rows = Rows::new();
    for (writer, count) in (0..WRITERS).zip(done) {
        for (name, value) in (1..=count).flat_map(|number| step(writer, number)) {
            match value {
                Some(value) => rows.insert(name, value.bytes().to_vec()),
                None => rows.remove(&name),
            };
        }
    }
    rows
}

#[test]
fn a_copy_under_load_is_a_state_that_existed() {
    let scratch = Scratch::new();
    let store = open(&scratch.store()).unwrap();
    let stop = AtomicBool::new(false);
    // In which order the commits were put in line; a state is as many of them.
    let order: Mutex<Vec<u8>> = Mutex::default();
    let write = |writer: u8| {
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let mut batch = Batch::new();
            for (name, value) in step(writer, number) {
                match value {
                    Some(value) => batch.put(name, value),
                    None => batch.delete(name),
                }
            }
            let mut order = order.lock();
            let receipt = store.commit(batch);
            order.push(writer);
            drop(order);
            receipt.wait().unwrap();
        }
    };
    let (mut copies, mut reread) = (Vec::new(), 0);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let write = &write;
            scope.spawn(move || write(writer));
        }
        while order.lock().len() < 3_000 {
            thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..25 {
            let (memory, copied) = copied(&store);
            reread += memory.0.len() - copied.parts.len();
            copies.push(memory.rows(&copied));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(reread > 10, "nothing changed while it was copied: {reread}");
    let counter = |rows: &Rows, writer| {
        let found = rows.get(&name(200 + writer, 0));
        found.map_or(0, |bytes| {
            u64::from_le_bytes(bytes[..8].try_into().unwrap())
        })
    };
    let order = order.into_inner();
    let (mut at, mut done) = (0, [0; WRITERS as usize]);
    for rows in copies {
        let counts: [u64; WRITERS as usize] =
            std::array::from_fn(|writer| counter(&rows, u8::try_from(writer).unwrap()));
        while done != counts {
            // Later copies are later states, and each is one of those that there were.
            let writer = *order.get(at).expect("a state that existed");
            done[usize::from(writer)] += 1;
            at += 1;
        }
        assert!(
            rows == replay(done),
            "rows of several states after {done:?}"
        );
    }
    assert!(at > 0);
}

#[test]
fn a_change_changes_few_parts() {
    let scratch = Scratch::new();
    let store = open(&scratch.store()).unwrap();
    let mut batch = Batch::new();
    for number in 0..20_000 {
        batch.put(name(1, number), value(number, 60));
    }
    for number in 0..100 {
        batch.put(name(2, number), value(number, 60_000));
    }
    store.commit(batch).wait().unwrap();
    let (before, first) = copied(&store);
    assert!(
        (80..320).contains(&first.parts.len()),
        "{}",
        first.parts.len()
    );
    let (again, second) = copied(&store);
    let parts = |memory: &Memory, copied: &Copied<usize>| -> Vec<Vec<RowName>> {
        let names = |part: &usize| memory.0[*part].iter().map(|(name, _)| *name).collect();
        copied.parts.iter().map(names).collect()
    };
    assert!(parts(&before, &first) == parts(&again, &second));
    // Every single row goes in turn, those that end a range too: its neighbours stay.
    for number in (0..20_000).step_by(97) {
        let mut batch = Batch::new();
        batch.delete(name(1, number));
        store.commit(batch).wait().unwrap();
    }
    let (after, third) = copied(&store);
    assert!(after.rows(&third) == stored(&store));
    let (old, new) = (parts(&before, &first), parts(&after, &third));
    let kept = new.iter().filter(|part| old.contains(part)).count();
    assert!(kept > 5, "{kept} of {} parts are as they were", new.len());
    for (memory, copied) in [(&before, &first), (&after, &third)] {
        for part in &copied.parts {
            let bytes: usize = memory.0[*part].iter().map(|(_, v)| v.bytes().len()).sum();
            assert!(bytes <= crate::limits::COPY_PART_BYTES + crate::limits::ROW_BYTES);
        }
    }
}

/// A store with rows, of which most were overwritten.
fn used(scratch: &Scratch) -> Rows {
    let store = open(&scratch.store()).unwrap();
    for round in 0..20 {
        let mut batch = Batch::new();
        for number in 0..500 {
            batch.put(name(1, number), value(round, 4_000));
            batch.put(name(2, number), value(round, 100));
        }
        store.commit(batch).wait().unwrap();
    }
    let mut batch = Batch::new();
    for number in 0..400 {
        batch.delete(name(1, number));
    }
    store.commit(batch).wait().unwrap();
    let rows = stored(&store);
    store.close().unwrap();
    rows
}

#[test]
fn a_compaction_gives_the_space_back() {
    let scratch = Scratch::new();
    let rows = used(&scratch);
    let store = open(&scratch.store()).unwrap();
    let (epoch, group) = (store.epoch(), store.group());
    assert_eq!(store.waste(), None);
    let live = store.count_live().unwrap();
    let bytes: usize = rows
        .iter()
        .map(|(name, v)| name.bytes().len() + v.len())
        .sum();
    assert_eq!(live, bytes as u64);
    assert_eq!(store.waste().unwrap().1, live);
    assert!(matches!(
        compact(&scratch.store(), &mut |_, _| {}),
        Err(StoreError::InUse { .. })
    ));
    store.close().unwrap();
    let done = compact(&scratch.store(), &mut |_, _| {}).unwrap();
    assert_eq!((done.rows, done.bytes), (rows.len() as u64, live));
    assert!(done.after < done.before / 2, "{done:?}");
    let store = open(&scratch.store()).unwrap();
    assert!(stored(&store) == rows);
    assert_eq!((store.epoch(), store.group()), (epoch, group));
    let size = store.size_on_disk().unwrap();
    assert!(size < done.before / 2, "{size}");
}

#[test]
fn a_compaction_cut_off_at_any_step_leaves_the_rows() {
    type Step = fn(&Layout) -> Result<(), StoreError>;
    let steps: [Step; 4] = [
        Layout::declare_next,
        Layout::put_aside,
        Layout::put_in_place,
        // Killed while the old database is being removed.
        |layout| {
            fs::remove_file(layout.dir().join("rows.old/db")).unwrap();
            Ok(())
        },
    ];
    for done in 0..=steps.len() {
        let scratch = Scratch::new();
        let rows = used(&scratch);
        let none = LeftOut::default();
        let written =
            written_anew::<StoreError>(&scratch.store(), &none, |_| Ok(()), &mut |_, _| {});
        let (layout, lock, _) = written.unwrap();
        for step in &steps[..done] {
            step(&layout).unwrap();
        }
        drop(lock);
        let store = open(&scratch.store()).unwrap();
        assert!(stored(&store) == rows, "after {done} steps");
        let mut files: Vec<_> = fs::read_dir(scratch.store()).unwrap().collect();
        files.retain(|file| {
            let file = file.as_ref().unwrap().file_name();
            file.to_string_lossy().starts_with("rows")
        });
        assert_eq!(files.len(), 1, "after {done} steps");
    }
    // Killed while it was copying.
    let scratch = Scratch::new();
    let rows = used(&scratch);
    let part = scratch.store().join("rows.part");
    fs::create_dir(&part).unwrap();
    fs::write(part.join("db"), b"a beginning").unwrap();
    assert!(stored(&open(&scratch.store()).unwrap()) == rows);
    assert!(!part.exists());
}

#[test]
fn rows_are_put_in_the_place_of_others() {
    let scratch = Scratch::new();
    let mut expected = used(&scratch);
    let store = open(&scratch.store()).unwrap();
    let epoch = store.epoch();
    store.close().unwrap();
    let mut left_out = LeftOut::default();
    left_out.add(&prefix(1));
    left_out.names.insert(name(2, 7));
    let failed = rewrite::<StoreError>(&scratch.store(), &left_out, |_| Err(StoreError::Full));
    assert_eq!(failed, Err(StoreError::Full));
    assert!(stored(&open(&scratch.store()).unwrap()) == expected);
    rewrite::<StoreError>(&scratch.store(), &left_out, |filler| {
        filler.put(&name(1, 1), b"restored")
    })
    .unwrap();
    expected.retain(|name, _| !left_out.has(name));
    expected.insert(name(1, 1), b"restored".to_vec());
    let store = open(&scratch.store()).unwrap();
    assert!(stored(&store) == expected);
    assert_ne!(store.epoch(), epoch);
    let other = scratch.0.join("other");
    assert!(fill::<StoreError>(&other, |_| Err(StoreError::Full)).is_err());
    fill::<StoreError>(&other, |filler| filler.put(&name(1, 1), b"restored")).unwrap();
    assert_eq!(stored(&open(&other).unwrap()).len(), 1);
    assert!(fill::<StoreError>(&other, |_| Ok(())).is_err());
}
