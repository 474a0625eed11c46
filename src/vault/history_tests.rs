//! Trash and history over a real store: what is kept, what is cut, what comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::testing::{TestVault, account};
use super::tests::{calendar, event, names, plain, property, put, segment, told};
use super::*;
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, ObjectId, Segment, SlotId};
use crate::seal::{Generated, Kind};
use crate::store::Batch;

const DAY: i64 = 86_400_000;

pub(super) fn delete(account: &AccountStore, id: CollectionId, name: &str) {
    let object = account.object(id, &segment(name)).unwrap().unwrap();
    let deleted: Result<(), VaultError> = account.write(|tx| tx.delete_object(id, &object));
    deleted.unwrap();
}

pub(super) fn delete_collection(account: &AccountStore, id: CollectionId) {
    let deleted: Result<(), VaultError> = account.write(|tx| tx.delete_collection(id));
    deleted.unwrap();
}

fn restore(
    account: &AccountStore,
    id: CollectionId,
    object: ObjectId,
    name: Option<Segment>,
) -> Result<Arc<Summary>, VaultError> {
    let version = account.history(id, object)?[0].revision;
    account.write(|tx| tx.restore_version(id, object, version, name))
}

fn bodies(account: &AccountStore, id: CollectionId, object: ObjectId) -> Vec<String> {
    let versions = account.history(id, object).unwrap();
    let body = |version: &Version| account.version_body(id, object, version.revision).unwrap();
    let text = |version| String::from_utf8(body(version)).unwrap();
    versions.iter().map(text).collect()
}

pub(super) fn body(account: &AccountStore, id: CollectionId, name: &str) -> String {
    let object = account.object(id, &segment(name)).unwrap().unwrap();
    String::from_utf8(account.body(id, &object).unwrap()).unwrap()
}

/// How many rows of a kind a collection has.
fn rows(account: &AccountStore, id: CollectionId, kind: Kind) -> usize {
    account.barrier().wait().unwrap();
    let state = account.state(id).unwrap();
    let store = account.inner.vault.store();
    let names = store.names(&state.names.prefix(kind));
    // What the collection itself was before is another matter.
    let own = state.annals_name();
    names.filter(|name| *name.as_ref().unwrap() != own).count()
}

/// Loads the index of a collection again: its rows must add up to its head.
fn reload(account: &AccountStore, id: CollectionId) {
    *account.state(id).unwrap().index.write() = None;
    account.members(id).unwrap();
}

#[test]
fn past_versions_are_kept_up_to_their_number() {
    let (vault, account) = account();
    vault.vault.retain(Retention {
        days: 30,
        versions: 3,
        ..Retention::default()
    });
    let id = calendar(&account);
    // Nobody waits for the disk: each commit builds on the history of the one before.
    let mut object = put(&account, event(id, "a.ics", "u", "0"));
    assert_eq!(
        rows(&account, id, Kind::History),
        0,
        "a first PUT costs nothing"
    );
    for text in ["1", "2", "3", "4", "4", "5"] {
        object = put(&account, event(id, "a.ics", "u", text));
    }
    assert_eq!(bodies(&account, id, object.id), ["4", "3", "2"]);
    assert_eq!(rows(&account, id, Kind::Body), 4);
    assert_eq!(rows(&account, id, Kind::History), 1);
    let version = account.history(id, object.id).unwrap()[2].revision;
    let token = account.token(&account.collection(id).unwrap());
    let restored = account.write(|tx| tx.restore_version(id, object.id, version, None));
    let restored: Arc<Summary> = restored.map_err(|error: VaultError| error).unwrap();
    assert_eq!(restored.id, object.id);
    assert_eq!(told(&account, id, Some(&token)).0, ["a.ics"]);
    assert_eq!(body(&account, id, "a.ics"), "2");
    assert_eq!(bodies(&account, id, object.id), ["5", "4", "3"]);
    let gone = account.version_body(id, object.id, version);
    assert_eq!(gone, Err(VaultError::Missing));
    reload(&account, id);
}

#[test]
fn what_was_deleted_comes_back_with_all_it_had() {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    let id = calendar(&account);
    put(&account, event(id, "a.ics", "u", "one"));
    let object = put(&account, event(id, "a.ics", "u", "two"));
    let set: Result<(), VaultError> =
        account.write(|tx| tx.set_object_properties(id, &object, property("<x/>")));
    set.unwrap();
    let before = account.token(&account.collection(id).unwrap());
    delete(&account, id, "a.ics");
    let after = account.token(&account.collection(id).unwrap());
    assert_eq!(told(&account, id, Some(&before)).0, ["-a.ics"]);
    drop(account);
    let vault = vault.restart();
    let account = vault.unlock("alice", &secret);
    let trashed = account.trashed_objects().unwrap();
    assert_eq!(trashed.len(), 1);
    assert_eq!((trashed[0].object, trashed[0].versions), (object.id, 2));
    let restored = restore(&account, id, object.id, None).unwrap();
    assert_eq!((restored.id, restored.created), (object.id, object.created));
    assert_eq!(body(&account, id, "a.ics"), "two");
    let kept = account.properties(id, &restored).unwrap();
    assert_eq!(*kept, property("<x/>"));
    for token in [before, after] {
        assert_eq!(told(&account, id, Some(&token)).0, ["a.ics"]);
    }
    assert!(account.trashed_objects().unwrap().is_empty());
    assert_eq!(bodies(&account, id, object.id), ["two", "one"]);
    assert_eq!(rows(&account, id, Kind::ObjectProperties), 1);
    reload(&account, id);
    drop(account);
    let vault = vault.restart();
    let account = vault.unlock("alice", &secret);
    assert_eq!(body(&account, id, "a.ics"), "two");
}

#[test]
fn a_name_and_a_uid_in_use_are_told_and_never_blocked() {
    let (_vault, account) = account();
    let id = calendar(&account);
    let old = put(&account, event(id, "a.ics", "u", "old"));
    let before = account.token(&account.collection(id).unwrap());
    delete(&account, id, "a.ics");
    put(&account, event(id, "b.ics", "u", "the UID is free"));
    let refused = restore(&account, id, old.id, None);
    assert_eq!(
        refused.unwrap_err(),
        VaultError::UidConflict(segment("b.ics"))
    );
    delete(&account, id, "b.ics");
    // The tombstone of `old` is still there, under its id, while it comes back elsewhere.
    let restored = restore(&account, id, old.id, Some(segment("c.ics"))).unwrap();
    assert_eq!(restored.id, old.id);
    let (mut told_now, _) = told(&account, id, Some(&before));
    told_now.sort();
    assert_eq!(told_now, ["-a.ics", "-b.ics", "c.ics"]);
    reload(&account, id);
    delete(&account, id, "c.ics");
    put(&account, event(id, "c.ics", "v", "the name is free"));
    let refused = restore(&account, id, old.id, None);
    assert_eq!(refused.unwrap_err(), VaultError::Exists);
    restore(&account, id, old.id, Some(segment("a.ics"))).unwrap();
    assert_eq!(names(&account, id), ["a.ics", "c.ics"]);
    assert_eq!(body(&account, id, "a.ics"), "old");
    reload(&account, id);
}

#[test]
fn what_a_move_takes_away_or_replaces_is_kept() {
    let (_vault, account) = account();
    let home = account.home().id;
    let (one, two) = (plain(&account, home, "one"), plain(&account, home, "two"));
    let file = |parent, name: &str, text: &str| NewObject {
        calendar: None,
        ..event(parent, name, "", text)
    };
    let moved = put(&account, file(one, "a", "moved"));
    let replaced = put(&account, file(two, "a", "replaced"));
    let to = Destination {
        parent: two,
        segment: segment("a"),
        calendar: None,
    };
    let done: Result<bool, VaultError> = account.write(|tx| tx.move_object(one, &moved, to));
    assert!(!done.unwrap());
    let trashed = account.trashed_objects().unwrap();
    let found = |id| trashed.iter().find(|one| one.object == id).unwrap();
    assert!(found(moved.id).moved && !found(replaced.id).moved);
    let refused = restore(&account, two, replaced.id, None);
    assert_eq!(refused.unwrap_err(), VaultError::Exists);
    restore(&account, two, replaced.id, Some(segment("b"))).unwrap();
    assert_eq!(body(&account, two, "a"), "moved");
    assert_eq!(body(&account, two, "b"), "replaced");
    reload(&account, two);
}

#[test]
fn nothing_is_kept_when_it_is_switched_off() {
    let (vault, account) = account();
    let home = account.home().id;
    let id = calendar(&account);
    put(&account, event(id, "k.ics", "k", "kept"));
    let kept = put(&account, event(id, "k.ics", "k", "kept again"));
    assert_eq!(account.history(id, kept.id).unwrap().len(), 1);
    vault.vault.retain(Retention::NOTHING);
    put(&account, event(id, "a.ics", "u", "old"));
    let object = put(&account, event(id, "a.ics", "u", "new"));
    assert!(account.history(id, object.id).unwrap().is_empty());
    delete(&account, id, "a.ics");
    vault.vault.cut_histories();
    assert!(account.history(id, kept.id).unwrap().is_empty());
    assert_eq!(rows(&account, id, Kind::Body), 1);
    assert_eq!(rows(&account, id, Kind::History), 0);
    let gone = plain(&account, home, "gone");
    delete_collection(&account, gone);
    assert!(account.trashed_collections().unwrap().is_empty());
    assert!(vault.vault.purge_step().unwrap());
}

#[test]
fn a_damaged_history_costs_no_request() {
    let (vault, account) = account();
    let id = calendar(&account);
    put(&account, event(id, "a.ics", "u", "1"));
    let object = put(&account, event(id, "a.ics", "u", "2"));
    let other = put(&account, event(id, "b.ics", "v", "1"));
    put(&account, event(id, "b.ics", "v", "2"));
    account.barrier().wait().unwrap();
    let state = account.state(id).unwrap();
    let mut batch = Batch::new();
    let (name, wrong) = (state.history_name(object.id), state.history_name(other.id));
    let place = state.scanned_place(Kind::History, &wrong, 1);
    let content = rows::encode(&rows::HistoryRow::new(other.id));
    let ambient = vault.vault.ambient();
    let sealed = state.current().rows.seal_by(&place, &content, ambient);
    batch.put(name, sealed);
    vault.vault.store().commit(batch).wait().unwrap();
    state.recent.lock().clear();
    assert!(account.history(id, object.id).unwrap().is_empty());
    assert!(account.trashed_objects().unwrap().is_empty());
    assert_eq!(bodies(&account, id, other.id), ["1"]);
    put(&account, event(id, "a.ics", "u", "3"));
    assert_eq!(bodies(&account, id, object.id), ["2"]);
    delete(&account, id, "a.ics");
    reload(&account, id);
}

#[test]
fn a_deleted_collection_comes_back_with_its_tokens() {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    let home = account.home().id;
    let outer = plain(&account, home, "outer");
    let inner = plain(&account, outer, "inner");
    let file = NewObject {
        calendar: None,
        ..event(inner, "a", "", "deep")
    };
    put(&account, file);
    let token = account.token(&account.collection(inner).unwrap());
    let home_token = account.token(&account.home());
    delete_collection(&account, outer);
    assert!(account.collection(inner).is_none());
    drop(account);
    let vault = vault.restart();
    let account = vault.unlock("alice", &secret);
    while vault.vault.purge_step().unwrap() {}
    let roots = account.trashed_collections().unwrap();
    let roots: Vec<_> = roots.iter().filter(|one| one.id == one.root).collect();
    assert_eq!(roots.len(), 1);
    assert_eq!(roots[0].path, [segment("outer")]);
    let taken = plain(&account, home, "outer");
    let restored = account.restore_collection(outer, None).unwrap();
    assert_eq!(restored.segment, Some(segment("outer-2")));
    assert_eq!(body(&account, inner, "a"), "deep");
    assert_eq!(told(&account, inner, Some(&token)).0, [""; 0]);
    let (mut told_home, _) = told(&account, home, Some(&home_token));
    told_home.sort();
    assert_eq!(told_home, ["outer-2/", "outer/"]);
    assert!(account.trashed_collections().unwrap().is_empty());
    let again = account.restore_collection(outer, None);
    assert_eq!(again.unwrap_err(), VaultError::Missing);
    drop(account);
    // `unlock` checks that links and heads add up.
    let vault = vault.restart();
    let account = vault.unlock("alice", &secret);
    while vault.vault.purge_step().unwrap() {}
    assert_eq!(body(&account, inner, "a"), "deep");
    assert!(account.collection(taken).is_some());
}

#[test]
fn a_granted_calendar_goes_from_its_device_and_comes_back() {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let limited = vault.add_limited("alice", &secret, &["calendar"]);
    let account = vault.unlock("alice", &secret);
    let id = calendar(&account);
    put(&account, event(id, "a.ics", "u", "text"));
    delete_collection(&account, id);
    let seen = |vault: &TestVault| {
        let device = vault.try_unlock("alice", &limited).unwrap();
        device.collection(id).is_some()
    };
    assert!(!seen(&vault));
    account.restore_collection(id, None).unwrap();
    assert!(seen(&vault));
    drop(account);
    let vault = vault.restart();
    assert!(seen(&vault), "alone too");
}

/// Alice with the clock's vault.
pub(super) fn clocked() -> (TestVault, Generated, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(1_000 * DAY));
    let vault = TestVault::with_clock(&clock);
    let secret = vault.add("alice");
    (vault, secret, clock)
}

#[test]
fn retention_cuts_by_age() {
    let (vault, secret, clock) = clocked();
    let account = vault.unlock("alice", &secret);
    let id = calendar(&account);
    put(&account, event(id, "a.ics", "u", "1"));
    let object = put(&account, event(id, "a.ics", "u", "2"));
    put(&account, event(id, "gone.ics", "v", "gone"));
    delete(&account, id, "gone.ics");
    clock.fetch_add(20 * DAY, Ordering::Relaxed);
    put(&account, event(id, "a.ics", "u", "3"));
    vault.vault.cut_histories();
    assert_eq!(bodies(&account, id, object.id), ["2", "1"]);
    clock.fetch_add(11 * DAY, Ordering::Relaxed);
    vault.vault.cut_histories();
    assert_eq!(bodies(&account, id, object.id), ["2"]);
    assert!(account.trashed_objects().unwrap().is_empty());
    assert_eq!(rows(&account, id, Kind::Body), 2);
    assert_eq!(rows(&account, id, Kind::History), 1);
}

#[test]
fn old_trash_goes_without_the_users_keys() {
    let (vault, secret, clock) = clocked();
    let account = vault.unlock("alice", &secret);
    let id = calendar(&account);
    put(&account, event(id, "a.ics", "u", "text"));
    let prefixes = account.state(id).unwrap().prefixes();
    let key_row = account.inner.trashed_name(id).unwrap();
    delete_collection(&account, id);
    let young = plain(&account, account.home().id, "young");
    clock.fetch_add(20 * DAY, Ordering::Relaxed);
    delete_collection(&account, young);
    drop(account);
    let vault = vault.restart();
    clock.fetch_add(11 * DAY, Ordering::Relaxed);
    vault.vault.doom_trashed().unwrap();
    // Stopped in the middle, the purge goes on.
    let vault = vault.restart();
    while vault.vault.purge_step().unwrap() {}
    let left = |vault: &TestVault| -> usize {
        let prefixes = prefixes
            .iter()
            .map(|prefix| crate::seal::RowPrefix::read(*prefix));
        let names = prefixes.map(|prefix| vault.vault.store().names(&prefix).count());
        names.sum()
    };
    assert_eq!(left(&vault), 0);
    assert!(vault.vault.store().get(&key_row).unwrap().is_some());
    let account = vault.unlock("alice", &secret);
    account.barrier().wait().unwrap();
    assert!(vault.vault.store().get(&key_row).unwrap().is_none());
    let trashed = account.trashed_collections().unwrap();
    assert_eq!(
        trashed.iter().map(|one| one.id).collect::<Vec<_>>(),
        [young]
    );
    assert_eq!(
        account.restore_collection(id, None).unwrap_err(),
        VaultError::Missing
    );
    account.restore_collection(young, None).unwrap();
    clock.fetch_add(100 * DAY, Ordering::Relaxed);
    vault.vault.doom_trashed().unwrap();
    assert!(
        !vault.vault.purge_step().unwrap(),
        "it is not trash any more"
    );
}

#[test]
fn a_purge_leaves_no_rows() {
    let (vault, account) = account();
    let id = calendar(&account);
    put(&account, event(id, "a.ics", "u", "1"));
    let object = put(&account, event(id, "a.ics", "u", "2"));
    put(&account, event(id, "b.ics", "v", "1"));
    delete(&account, id, "b.ics");
    let purge: Result<(), VaultError> = account.write(|tx| tx.purge_history(id, object.id));
    purge.unwrap();
    assert!(account.history(id, object.id).unwrap().is_empty());
    assert_eq!(account.purge_histories(id, &AtomicU64::new(0)).unwrap(), 1);
    assert_eq!(rows(&account, id, Kind::History), 0);
    assert_eq!(rows(&account, id, Kind::Body), 1);
    assert_eq!(body(&account, id, "a.ics"), "2");
    let prefixes = account.state(id).unwrap().prefixes();
    delete_collection(&account, id);
    account.purge_collection(id).unwrap();
    assert!(account.trashed_collections().unwrap().is_empty());
    while vault.vault.purge_step().unwrap() {}
    for prefix in prefixes {
        let prefix = crate::seal::RowPrefix::read(prefix);
        assert_eq!(vault.vault.store().names(&prefix).count(), 0);
    }
    assert!(account.restore_collection(id, None).is_err());
}

/// Alice by a second key slot.
pub(super) fn second_device(vault: &TestVault, secret: &Generated) -> Generated {
    use crate::ambient::OsRandom;
    use crate::seal::{SecretKind, Slot, SlotKey, Terms, ToWrap};
    let (content, _) = vault.key("alice", secret);
    let SlotKey::Whole(key) = &content.key else {
        panic!("a whole account")
    };
    let id = vault.vault.account_named("alice").unwrap().id;
    let new = Generated::random(SecretKind::AppPassword, &mut OsRandom);
    let (host, ambient) = (vault.vault.host(), vault.vault.ambient());
    let slot = Slot::for_generated(
        id,
        ToWrap::Whole(key),
        Terms::default(),
        &new,
        host,
        ambient,
    );
    vault
        .vault
        .change_slots(id, |slots| slots.push(slot))
        .unwrap();
    new
}

#[test]
fn an_undo_brings_back_what_was_before_one_device() {
    let (vault, secret, clock) = clocked();
    let good = vault.unlock("alice", &secret);
    let bad = vault.unlock("alice", &second_device(&vault, &secret));
    assert_ne!(good.device(), bad.device());
    let id = calendar(&good);
    let other = plain(&good, good.home().id, "files");
    for name in ["over", "gone", "same", "later", "twice"] {
        put(&good, event(id, &format!("{name}.ics"), name, "before"));
    }
    put(
        &bad,
        event(id, "same.ics", "same", "by the device, but earlier"),
    );
    clock.fetch_add(DAY, Ordering::Relaxed);
    let since = UnixMillis(clock.load(Ordering::Relaxed));
    put(&bad, event(id, "over.ics", "over", "spoilt"));
    put(&bad, event(id, "over.ics", "over", "spoilt again"));
    delete(&bad, id, "gone.ics");
    put(&bad, event(id, "gone-again.ics", "gone", "in its place"));
    put(&bad, event(id, "new.ics", "new", "spam"));
    put(&bad, event(id, "brief.ics", "brief", "made"));
    delete(&bad, id, "brief.ics");
    put(&bad, event(id, "later.ics", "later", "spoilt"));
    put(&good, event(id, "later.ics", "later", "mended"));
    put(&bad, event(id, "twice.ics", "twice", "spoilt"));
    delete(&bad, id, "twice.ics");
    delete_collection(&bad, other);
    put(&good, event(id, "mine.ics", "mine", "mine"));
    let before = good.token(&good.collection(id).unwrap());
    let dry = good
        .undo(bad.device(), since, Undo::DryRun, &AtomicU64::new(0))
        .unwrap();
    assert!(told(&good, id, Some(&before)).0.is_empty());
    let done = good
        .undo(bad.device(), since, Undo::Apply, &AtomicU64::new(0))
        .unwrap();
    assert_eq!((dry.changed, dry.left), (6, 1));
    assert_eq!(dry, done);
    let line = |path: &str| {
        done.lines
            .iter()
            .find(|line| line.path == path)
            .unwrap()
            .undone
    };
    assert_eq!(line("/files"), Undone::Restored);
    assert_eq!(line("/calendar/later.ics"), Undone::ChangedLater);
    assert_eq!(line("/calendar/gone-again.ics"), Undone::Deleted);
    assert_eq!(
        names(&good, id),
        [
            "gone.ics",
            "later.ics",
            "mine.ics",
            "over.ics",
            "same.ics",
            "twice.ics"
        ]
    );
    for name in ["gone.ics", "over.ics", "twice.ics"] {
        assert_eq!(body(&good, id, name), "before", "{name}");
    }
    assert_eq!(body(&good, id, "later.ics"), "mended");
    assert!(good.collection(other).is_some());
    let (mut told_now, _) = told(&good, id, Some(&before));
    told_now.sort();
    assert_eq!(
        told_now,
        [
            "-gone-again.ics",
            "-new.ics",
            "gone.ics",
            "over.ics",
            "twice.ics"
        ]
    );
    reload(&good, id);
    assert_eq!(
        good.undo(SlotId::NONE, since, Undo::Apply, &AtomicU64::new(0))
            .unwrap()
            .changed,
        0
    );
}

#[test]
fn an_undo_leaves_what_it_cannot_know() {
    let (vault, secret, clock) = clocked();
    vault.vault.retain(Retention {
        days: 30,
        versions: 1,
        ..Retention::default()
    });
    let good = vault.unlock("alice", &secret);
    let bad = vault.unlock("alice", &second_device(&vault, &secret));
    let id = calendar(&good);
    put(&good, event(id, "cut.ics", "cut", "before"));
    let renamed = put(&good, event(id, "name.ics", "name", "before"));
    put(&good, event(id, "again.ics", "again", "first"));
    put(&good, event(id, "again.ics", "again", "before"));
    clock.fetch_add(DAY, Ordering::Relaxed);
    let since = UnixMillis(clock.load(Ordering::Relaxed));
    put(&bad, event(id, "cut.ics", "cut", "spoilt"));
    put(&bad, event(id, "cut.ics", "cut", "spoilt again"));
    // The same bytes again change nothing that could be undone.
    put(&bad, event(id, "again.ics", "again", "before"));
    let to = Destination {
        parent: id,
        segment: segment("other.ics"),
        calendar: renamed.calendar.clone(),
    };
    let moved: Result<bool, VaultError> = bad.write(|tx| tx.move_object(id, &renamed, to));
    moved.unwrap();
    let done = good
        .undo(bad.device(), since, Undo::Apply, &AtomicU64::new(0))
        .unwrap();
    let mut lines: Vec<_> = done
        .lines
        .iter()
        .map(|line| (&*line.path, line.undone))
        .collect();
    lines.sort_by_key(|(path, _)| *path);
    assert_eq!(
        lines,
        [
            ("/calendar/cut.ics", Undone::NotKept),
            ("/calendar/other.ics", Undone::NameOrProperties)
        ]
    );
    assert_eq!(body(&good, id, "again.ics"), "before");
}

#[test]
fn trash_and_undo_are_told_in_the_audit_trail() {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    let id = calendar(&account);
    let object = put(&account, event(id, "a.ics", "u", "1"));
    delete(&account, id, "a.ics");
    restore(&account, id, object.id, None).unwrap();
    let purge: Result<(), VaultError> = account.write(|tx| tx.purge_history(id, object.id));
    purge.unwrap();
    put(&account, event(id, "b.ics", "v", "1"));
    account
        .undo(
            account.device(),
            UnixMillis(0),
            Undo::Apply,
            &AtomicU64::new(0),
        )
        .unwrap();
    account.barrier().wait().unwrap();
    let (content, _) = vault.key("alice", &secret);
    let crate::seal::SlotKey::Whole(key) = &content.key else {
        panic!("a whole account")
    };
    let lines = vault
        .vault
        .audit_of(account.id(), &[key.pair()], UnixMillis(0), 100)
        .unwrap()
        .lines;
    let told: Vec<_> = lines.iter().map(|line| line.action.name()).collect();
    for action in ["restore", "trash-purged", "undo"] {
        assert!(told.contains(&action), "{action}: {told:?}");
    }
}
