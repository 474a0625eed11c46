//! The bound on all trash of an account.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::testing::TestVault;
use super::tests::{calendar, event, plain, property, put, segment};
use super::*;
use crate::ids::CollectionId;
use crate::limits::TRASH_ITEM_BYTES;
use crate::seal::Generated;

fn delete(account: &AccountStore, id: CollectionId, name: &str) {
    let object = account.object(id, &segment(name)).unwrap().unwrap();
    let deleted: Result<(), VaultError> = account.write(|tx| tx.delete_object(id, &object));
    deleted.unwrap();
}

fn delete_collection(account: &AccountStore, id: CollectionId) {
    let deleted: Result<(), VaultError> = account.write(|tx| tx.delete_collection(id));
    deleted.unwrap();
}

/// A calendar of ten events of 1,000 bytes.
fn filled(account: &AccountStore, name: &str) -> CollectionId {
    let id = plain(account, account.home().id, name);
    for number in 0..10 {
        let name = format!("{number}");
        let file = event(id, &name, &name, &"x".repeat(1_000));
        let calendar = None;
        put(account, NewObject { calendar, ..file });
    }
    id
}

/// Alice with a bound, and a clock that goes on by itself when it is asked to.
fn bounded(items: u64, bytes: u64) -> (TestVault, Generated, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(1_000 * 86_400_000));
    let vault = TestVault::with_clock(&clock);
    retain(&vault, items, bytes);
    let secret = vault.add("alice");
    (vault, secret, clock)
}

fn retain(vault: &TestVault, items: u64, bytes: u64) {
    vault.vault.retain(Retention {
        items,
        bytes,
        ..Retention::default()
    });
}

/// The names of what can be restored in a calendar.
fn trashed(account: &AccountStore) -> Vec<String> {
    let trashed = account.trashed_objects().unwrap();
    let names = trashed
        .iter()
        .map(|one| one.last.segment.as_str().to_owned());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn histories(account: &AccountStore, id: CollectionId) -> usize {
    let (state, mut count) = (account.state(id).unwrap(), 0);
    account.each_history(&state, |_| count += 1).unwrap();
    count
}

/// What is counted as it goes is what is there.
fn counts(account: &AccountStore) {
    let (items, bytes) = account.inner.kept.counted_now();
    let there = account.trash_figures().unwrap();
    assert_eq!((items, bytes), (there.items as i64, there.bytes as i64));
}

#[test]
fn of_too_much_trash_the_oldest_goes_in_whichever_calendar_it_is() {
    let (vault, secret, clock) = bounded(8, u64::MAX);
    let account = vault.unlock("alice", &secret);
    let (id, tasks) = (
        calendar(&account),
        plain(&account, account.home().id, "other"),
    );
    let put_in = |id, name: &str, text: &str| {
        clock.fetch_add(1, Ordering::Relaxed);
        let file = event(id, name, name, text);
        let calendar = file.calendar.clone().filter(|_| id != tasks);
        put(&account, NewObject { calendar, ..file })
    };
    let over = put_in(id, "over", "1");
    put_in(id, "over", "2");
    for number in 0..6 {
        for id in [id, tasks] {
            let name = format!("{number}");
            put_in(id, &name, "text");
            delete(&account, id, &name);
        }
    }
    vault.vault.cut_histories();
    assert_eq!(trashed(&account), ["2", "2", "3", "3", "4", "4", "5", "5"]);
    assert!(account.history(id, over.id).unwrap().is_empty());
    assert_eq!(histories(&account, id), 4);
    assert_eq!(histories(&account, tasks), 4);
    counts(&account);
    let figures = account.trash_figures().unwrap();
    assert_eq!(
        (figures.items, figures.bytes),
        (8, 8 * (4 + TRASH_ITEM_BYTES))
    );
    assert!(figures.cut.is_some());
    assert_eq!(vault.vault.full_trash().len(), 1);
    // One more is within the eighth that may be there until the next look.
    put_in(id, "9", "text");
    delete(&account, id, "9");
    vault.vault.cut_histories();
    assert_eq!(trashed(&account).len(), 9);
    put_in(id, "10", "text");
    delete(&account, id, "10");
    vault.vault.cut_histories();
    assert_eq!(trashed(&account).len(), 8);
    account.members(id).unwrap();
}

#[test]
fn what_came_at_one_moment_goes_no_further_than_it_must() {
    let (vault, secret, _clock) = bounded(8, u64::MAX);
    let account = vault.unlock("alice", &secret);
    let id = calendar(&account);
    for number in 0..12 {
        let name = format!("{number}");
        put(&account, event(id, &name, &name, "text"));
        delete(&account, id, &name);
    }
    vault.vault.cut_histories();
    assert_eq!(trashed(&account).len(), 8);
}

#[test]
fn a_flood_is_cut_by_whoever_writes_also_by_a_device_with_chosen_calendars() {
    let (vault, secret, clock) = bounded(16, u64::MAX);
    let limited = vault.add_limited("alice", &secret, &["calendar"]);
    let flood = |account: &AccountStore, from: usize| {
        let id = calendar(account);
        let mut most = 0;
        for number in from..from + 100 {
            clock.fetch_add(1, Ordering::Relaxed);
            let name = format!("{number:03}");
            put(account, event(id, &name, &name, "text"));
            delete(account, id, &name);
            most = most.max(histories(account, id));
        }
        most
    };
    let account = vault.try_unlock("alice", &limited).unwrap();
    assert!(!account.is_open_whole());
    assert_eq!(flood(&account, 0), 32);
    drop(account);
    let vault = vault.restart();
    retain(&vault, 16, u64::MAX);
    let account = vault.unlock("alice", &secret);
    vault.vault.cut_histories();
    counts(&account);
    assert!(flood(&account, 100) <= 32);
    assert_eq!(trashed(&account).last().unwrap(), "199");
    counts(&account);
}

#[test]
fn large_trash_goes_before_its_number_is_reached() {
    let (vault, secret, clock) = bounded(1_000, 10_000);
    let account = vault.unlock("alice", &secret);
    let id = calendar(&account);
    for number in 0..10 {
        clock.fetch_add(1, Ordering::Relaxed);
        put(&account, event(id, "a", "u", &format!("{number:0>3000}")));
    }
    let object = account.object(id, &segment("a")).unwrap().unwrap();
    vault.vault.cut_histories();
    assert_eq!(account.history(id, object.id).unwrap().len(), 2);
    // Properties of what was deleted count too.
    let set: Result<(), VaultError> =
        account.write(|tx| tx.set_object_properties(id, &object, property(&"p".repeat(20_000))));
    set.unwrap();
    clock.fetch_add(1, Ordering::Relaxed);
    delete(&account, id, "a");
    counts(&account);
    vault.vault.cut_histories();
    assert!(trashed(&account).is_empty());
    assert_eq!(histories(&account, id), 0);
    counts(&account);
}

#[test]
fn deleted_collections_count_by_their_bytes_and_the_last_one_stays() {
    let (vault, secret, clock) = bounded(1_000, 2 * 10 * (1_000 + TRASH_ITEM_BYTES));
    let account = vault.unlock("alice", &secret);
    let ids: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .map(|name| filled(&account, name))
        .collect();
    for id in &ids {
        clock.fetch_add(1, Ordering::Relaxed);
        delete_collection(&account, *id);
    }
    vault.vault.cut_histories();
    let left: Vec<_> = account.trashed_collections().unwrap();
    let left: Vec<_> = left.iter().map(|one| one.id).collect();
    assert_eq!(left, [ids[3], ids[2], ids[1]], "two and the last");
    let gone = account.restore_collection(ids[0], None);
    assert_eq!(gone.unwrap_err(), VaultError::Missing);
    while vault.vault.purge_step().unwrap() {}
    // However small the bound is.
    retain(&vault, 1_000, 100);
    vault.vault.cut_histories();
    vault.vault.cut_histories();
    let left = account.trashed_collections().unwrap();
    assert_eq!(left.len(), 1);
    account.restore_collection(ids[3], None).unwrap();
    assert_eq!(account.members(ids[3]).unwrap().objects.len(), 10);
}

#[test]
fn what_is_counted_by_each_commit_is_what_is_there() {
    let (vault, secret, clock) = bounded(1_000, u64::MAX);
    let account = vault.unlock("alice", &secret);
    vault.vault.cut_histories();
    let id = calendar(&account);
    let mut seed: u64 = 7;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    for _ in 0..400 {
        clock.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}", random(12));
        let there = account.object(id, &segment(&name)).unwrap();
        match (random(6), there) {
            (0 | 1, Some(_)) => delete(&account, id, &name),
            (2, Some(object)) => {
                let text = "p".repeat(random(300) as usize);
                let set: Result<(), VaultError> =
                    account.write(|tx| tx.set_object_properties(id, &object, property(&text)));
                set.unwrap();
            }
            (3, _) => {
                let trashed = account.trashed_objects().unwrap();
                let Some(one) = trashed.last() else { continue };
                let (object, version) = (one.object, one.last.revision);
                // Its name or UID may be in use.
                let restored: Result<_, VaultError> =
                    account.write(|tx| tx.restore_version(id, object, version, None));
                assert!(restored.is_ok() || account.trashed_objects().unwrap() == trashed);
            }
            (4, Some(object)) if random(4) == 0 => {
                // It may have none.
                let _: Result<(), VaultError> = account.write(|tx| tx.purge_history(id, object.id));
            }
            _ => {
                let text = "t".repeat(random(2_000) as usize);
                put(&account, event(id, &name, &name, &text));
            }
        }
    }
    let figures = account.trash_figures().unwrap();
    assert!(figures.items > 10 && figures.cut.is_none());
    counts(&account);
    drop(account);
    let vault = vault.restart();
    retain(&vault, 1_000, u64::MAX);
    let account = vault.unlock("alice", &secret);
    vault.vault.cut_histories();
    counts(&account);
    assert_eq!(account.trash_figures().unwrap(), figures);
}
