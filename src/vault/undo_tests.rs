//! Undoing what a device did to collections, and moves between them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::history_tests::{body, clocked, delete, delete_collection, second_device};
use super::testing::TestVault;
use super::tests::{calendar, event, names, plain, property, put, segment, told};
use super::*;
use crate::ambient::UnixMillis;
use crate::ids::CollectionId;
use crate::seal::Kind;

const DAY: i64 = 86_400_000;

/// The next day.
fn tomorrow(clock: &AtomicI64) -> UnixMillis {
    UnixMillis(clock.fetch_add(DAY, Ordering::Relaxed) + DAY)
}

fn undo(
    account: &AccountStore,
    by: &AccountStore,
    since: UnixMillis,
    undo: Undo,
) -> BTreeMap<String, Undone> {
    let report = account.undo(by.device(), since, undo, &AtomicU64::new(0));
    let lines = report.unwrap().lines.into_iter();
    let lines: Vec<_> = lines.map(|line| (line.path, line.undone)).collect();
    let map: BTreeMap<_, _> = lines.iter().cloned().collect();
    assert_eq!(map.len(), lines.len(), "a path is told of once: {lines:?}");
    map
}

fn set(account: &AccountStore, id: CollectionId, text: &str) {
    let set: Result<(), VaultError> =
        account.write(|tx| tx.set_collection_properties(id, property(text)));
    set.unwrap();
}

fn move_to(account: &AccountStore, id: CollectionId, parent: CollectionId, name: &str) {
    let to = Destination {
        parent,
        segment: segment(name),
        calendar: None,
    };
    let moved: Result<bool, VaultError> = account.write(|tx| tx.move_collection(id, to));
    moved.unwrap();
}

/// Moves an object into another collection.
fn move_object(account: &AccountStore, from: CollectionId, name: &str, into: CollectionId) {
    let object = account.object(from, &segment(name)).unwrap().unwrap();
    let to = Destination {
        parent: into,
        segment: segment(name),
        calendar: object.calendar.clone(),
    };
    let moved: Result<bool, VaultError> = account.write(|tx| tx.move_object(from, &object, to));
    moved.unwrap();
}

fn properties(account: &AccountStore, id: CollectionId) -> Properties {
    (*account.collection(id).unwrap().properties).clone()
}

fn file(parent: CollectionId, name: &str, text: &str) -> NewObject {
    NewObject {
        calendar: None,
        ..event(parent, name, "", text)
    }
}

#[test]
fn what_a_device_did_to_collections_is_undone() {
    let (vault, secret, clock) = clocked();
    let good = vault.unlock("alice", &secret);
    let bad = vault.unlock("alice", &second_device(&vault, &secret));
    let home = good.home().id;
    let (id, tasks) = (calendar(&good), good.collections(home)[1].id);
    set(&good, id, "before");
    let files = plain(&good, home, "files");
    let deleted = plain(&good, home, "deleted");
    put(&good, event(id, "moved.ics", "moved", "before"));
    let since = tomorrow(&clock);
    set(&bad, id, "spoilt");
    set(&bad, id, "spoilt again");
    move_to(&bad, files, home, "stolen");
    move_object(&bad, id, "moved.ics", tasks);
    let spam = plain(&bad, home, "files");
    put(&bad, file(plain(&bad, spam, "inner"), "spam", "spam"));
    let shared = plain(&bad, home, "shared");
    put(&bad, file(shared, "spam", "spam"));
    put(&good, file(shared, "mine", "mine"));
    let brief = plain(&bad, home, "brief");
    delete_collection(&bad, brief);
    delete_collection(&bad, deleted);
    let (home_before, before) = (
        good.token(&good.home()),
        good.token(&good.collection(id).unwrap()),
    );
    let dry = undo(&good, &bad, since, Undo::DryRun);
    assert!(told(&good, home, Some(&home_before)).0.is_empty());
    let done = undo(&good, &bad, since, Undo::Apply);
    let expected = [
        ("/calendar", Undone::Reverted),
        ("/calendar/moved.ics", Undone::Restored),
        ("/deleted", Undone::Restored),
        ("/files", Undone::Deleted),
        ("/shared", Undone::OthersWrote),
        ("/shared/spam", Undone::Deleted),
        ("/stolen", Undone::Reverted),
        ("/tasks/moved.ics", Undone::Deleted),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(path, what)| (path.into(), what)).into();
    assert_eq!(done, expected);
    assert_eq!(dry, expected);
    assert_eq!(properties(&good, id), property("before"));
    assert_eq!(good.path_of(files), [segment("files")]);
    assert!(good.collection(deleted).is_some() && good.collection(spam).is_none());
    assert_eq!(names(&good, shared), ["mine"]);
    assert_eq!(body(&good, id, "moved.ics"), "before");
    assert!(names(&good, tasks).is_empty());
    let trashed = good.trashed_collections().unwrap();
    assert!(
        trashed.iter().any(|one| one.id == spam),
        "it can be restored"
    );
    // By normal sync.
    assert_eq!(told(&good, id, Some(&before)).0, ["moved.ics"]);
    let (mut told_home, _) = told(&good, home, Some(&home_before));
    told_home.sort();
    assert_eq!(told_home, ["-stolen", "calendar/", "deleted/", "files/"]);
    drop((good, bad));
    let vault = vault.restart();
    let good = vault.unlock("alice", &secret);
    assert_eq!(properties(&good, id), property("before"));
    let (content, _) = vault.key("alice", &secret);
    let crate::seal::SlotKey::Whole(key) = &content.key else {
        panic!("a whole account")
    };
    let mut faults = Vec::new();
    let mut tell = |event| {
        if let VerifyEvent::Fault(_) = &event {
            faults.push(event);
        }
        Ok(())
    };
    vault
        .vault
        .verify_account(good.id(), key, &mut tell)
        .unwrap();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn what_another_device_changed_later_is_left_and_told_of() {
    let (vault, secret, clock) = clocked();
    let good = vault.unlock("alice", &secret);
    let bad = vault.unlock("alice", &second_device(&vault, &secret));
    let home = good.home().id;
    let (id, tasks) = (calendar(&good), good.collections(home)[1].id);
    let (one, two) = (plain(&good, home, "one"), plain(&good, home, "two"));
    set(&good, one, "before");
    put(&good, event(id, "moved.ics", "moved", "before"));
    let since = tomorrow(&clock);
    set(&bad, one, "spoilt");
    set(&good, one, "mended");
    move_to(&bad, two, home, "three");
    plain(&good, home, "two");
    move_object(&bad, id, "moved.ics", tasks);
    put(&good, event(tasks, "moved.ics", "moved", "gone on"));
    let done = undo(&good, &bad, since, Undo::Apply);
    let expected = [
        ("/calendar/moved.ics", Undone::ChangedLater),
        ("/one", Undone::ChangedLater),
        ("/tasks/moved.ics", Undone::ChangedLater),
        ("/three", Undone::InTheWay),
    ];
    assert_eq!(
        done,
        expected.map(|(path, what)| (path.into(), what)).into()
    );
    assert_eq!(properties(&good, one), property("mended"));
    assert!(names(&good, id).is_empty());
    assert_eq!(body(&good, tasks, "moved.ics"), "gone on");
}

/// The states of a collection that are kept.
fn kept(account: &AccountStore, id: CollectionId) -> usize {
    let state = account.state(id).unwrap();
    *state.annals.lock() = None;
    account.barrier().wait().unwrap();
    account.annals(&state).unwrap().before.len()
}

#[test]
fn earlier_properties_are_bounded_by_number_size_and_age() {
    let (vault, secret, clock) = clocked();
    vault.vault.retain(Retention {
        versions: 3,
        ..Retention::default()
    });
    let good = vault.unlock("alice", &secret);
    let bad = vault.unlock("alice", &second_device(&vault, &secret));
    let (id, home) = (calendar(&good), good.home().id);
    let other = plain(&good, home, "other");
    set(&good, id, "before");
    set(&good, id, "before");
    assert_eq!(kept(&good, id), 1, "the same again is no change");
    let since = tomorrow(&clock);
    for text in ["1", "2", "3", "4"] {
        set(&bad, id, text);
    }
    assert_eq!(kept(&good, id), 3);
    let done = undo(&good, &bad, since, Undo::Apply);
    assert_eq!(done, [("/calendar".into(), Undone::NotKept)].into());
    // Larger than a row.
    set(&good, other, &"x".repeat(50_000));
    set(&good, other, &"y".repeat(50_000));
    assert_eq!(kept(&good, other), 2);
    set(&good, other, "small");
    assert_eq!(kept(&good, other), 1, "the newest that fits");
    clock.fetch_add(31 * DAY, Ordering::Relaxed);
    set(&bad, other, "bad");
    let since = UnixMillis(clock.load(Ordering::Relaxed));
    vault.vault.cut_histories();
    assert_eq!((kept(&good, id), kept(&good, other)), (0, 1));
    let done = undo(&good, &bad, since, Undo::Apply);
    assert_eq!(done, [("/other".into(), Undone::Reverted)].into());
    assert_eq!(properties(&good, other), property("small"));
    good.purge_histories(other, &AtomicU64::new(0)).unwrap();
    assert_eq!(kept(&good, other), 0);
}

#[test]
fn annals_that_do_not_open_cost_no_request() {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    let id = calendar(&account);
    set(&account, id, "one");
    set(&account, id, "two");
    account.barrier().wait().unwrap();
    let state = account.state(id).unwrap();
    // Another history in its place.
    let name = state.annals_name();
    let place = state.scanned_place(Kind::History, &name, 1);
    let content = rows::encode(&rows::HistoryRow::new(crate::ids::ObjectId::NONE));
    let ambient = vault.vault.ambient();
    let sealed = state.current().rows.seal_by(&place, &content, ambient);
    let mut batch = crate::store::Batch::new();
    batch.put(name, sealed);
    vault.vault.store().commit(batch).wait().unwrap();
    assert_eq!(kept(&account, id), 0);
    set(&account, id, "three");
    assert_eq!(kept(&account, id), 1);
    put(&account, event(id, "a.ics", "a", "text"));
    delete(&account, id, "a.ics");
    assert_eq!(account.trashed_objects().unwrap().len(), 1);
    delete_collection(&account, id);
    account.restore_collection(id, None).unwrap();
    assert_eq!(kept(&account, id), 1);
}
