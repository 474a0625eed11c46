//! A new account key: what was there is there, opens by the new key alone, and stays so whenever
//! the server stops on the way.

use std::sync::Arc;

use super::damage_tests::{Scene, scan};
use super::directory::CreateError;
use super::rows::RosterState;
use super::testing::TestVault;
use super::tests::{calendar, event, names, put, segment};
use super::tree::State;
use super::*;
use crate::ids::{AccountId, Secret};
use crate::seal::{
    AccountKey, Argon2Cost, Generated, Kind, OpenError, Place, RowKey, RowName, RowPrefix, Sealed,
    Slot, SlotKey, Stored, Terms, ToWrap,
};
use crate::store::Batch;

/// Slots for a new key: for those of `secrets`; the others are kept as they are.
fn rewrapped(
    vault: &TestVault,
    id: AccountId,
    key: &AccountKey,
    slots: &[Slot],
    secrets: &[&Generated],
) -> Vec<Slot> {
    let (host, ambient) = (vault.vault.host(), vault.vault.ambient());
    let mut slots = slots.to_vec();
    for slot in &mut slots {
        let own = |secret: &&&Generated| Slot::find(std::slice::from_ref(slot), secret).is_some();
        if let Some(secret) = secrets.iter().find(own) {
            let (whole, terms) = (ToWrap::Whole(key), Terms::default());
            let public = secret.pair().public();
            *slot = slot
                .clone()
                .rewrapped(id, whole, terms, &public, host, ambient);
        }
    }
    let password = Secret::new("correct horse".into());
    let cost = Argon2Cost { kib: 8, passes: 1 };
    slots[0] = Slot::for_password(id, key, &password, cost, host, ambient);
    slots
}

fn account_key(vault: &TestVault, name: &str, secret: &Generated) -> AccountKey {
    match vault.key(name, secret).0.key {
        SlotKey::Whole(key) => key,
        SlotKey::Limited(_) => panic!("a limited slot"),
    }
}

pub(super) fn change(vault: &TestVault, name: &str, secret: &Generated) -> AccountKey {
    let id = vault.vault.account_named(name).unwrap().id;
    let old = account_key(vault, name, secret);
    let changed = vault.vault.change_account_key(id, &old, |key, slots| {
        Ok::<_, CreateError>(rewrapped(vault, id, key, slots, &[secret]))
    });
    changed.ok().unwrap();
    old
}

/// Seals all that is left anew.
fn reseal(account: &AccountStore) -> Resealed {
    let mut resealing = account.resealing().unwrap();
    while resealing.step().unwrap() {}
    account.barrier().wait().unwrap();
    resealing.progress()
}

/// All rows that belong to accounts, by the roster.
fn rows(vault: &Vault) -> Vec<(RowName, Stored)> {
    vault.store.barrier().wait().unwrap();
    let roster = vault.roster().unwrap();
    let prefixes = roster.iter().flat_map(|(_, row)| &row.prefixes);
    let scan = |prefix: &[u8; 16]| -> Vec<_> {
        let rows = vault.store.scan(&RowPrefix::read(*prefix));
        rows.map(Result::unwrap).collect()
    };
    prefixes.flat_map(scan).collect()
}

/// How many rows a key seals: one that it does not seal says so before its place matters.
fn sealed_under(vault: &Vault, key: &RowKey) -> usize {
    let nowhere = Place::single(
        Kind::Body,
        AccountId::NONE,
        crate::ids::CollectionId::NONE,
        crate::ids::ObjectId::NONE,
    );
    let all = rows(vault).into_iter();
    let opened = all.map(|(_, stored)| stored.open(key, &nowhere));
    opened
        .filter(|opened| !matches!(opened, Err(OpenError::Commitment)))
        .count()
}

fn states(account: &AccountStore) -> Vec<Arc<State>> {
    let tree = account.inner.tree.read();
    tree.entries
        .values()
        .map(|entry| entry.state.clone())
        .collect()
}

fn epochs(account: &AccountStore) -> usize {
    let states = states(account);
    states.iter().map(|state| state.epochs.len()).max().unwrap()
}

#[test]
fn all_that_was_there_opens_by_the_new_key_alone() {
    let mut scene = Scene::new();
    let large = "x".repeat(200_000);
    let secret = |scene: &Scene| scene.secrets[0].1.to_text().expose().to_owned();
    let text = secret(&scene);
    let alice = Generated::read(&text).unwrap();
    let account = scene.vault.unlock("alice", &alice);
    put(
        &account,
        event(calendar(&account), "large", "large", &large),
    );
    let limited = scene.vault.add_limited("alice", &alice, &["calendar"]);
    let world = scene.world();
    let device = scene.vault.try_unlock("alice", &limited).unwrap();
    let summary = account.object(calendar(&account), &segment("large"));
    let (summary, before) = (summary.unwrap().unwrap(), states(&account));

    let old = change(&scene.vault, "alice", &alice);
    assert!(!account.is_open() && !device.is_open());
    assert_eq!(
        account.write(|_| Ok::<_, VaultError>(())).unwrap_err(),
        VaultError::Locked
    );
    drop((account, device));
    assert_eq!(scene.world(), world);
    let account = scene.vault.unlock("alice", &alice);
    let id = calendar(&account);
    // Between its two keys everything can be read and written, by all devices.
    let device = scene.vault.try_unlock("alice", &limited).unwrap();
    put(&device, event(id, "a", "a", "written over"));
    let deleted = account.object(id, &segment("b")).unwrap().unwrap();
    account.write(|tx| tx.delete_object(id, &deleted)).unwrap();
    let properties = account.object(id, &segment("large")).unwrap().unwrap();
    account
        .write(|tx| tx.set_object_properties(id, &properties, super::tests::property("<z/>")))
        .unwrap();
    let between = scene.world();
    let progress = reseal(&account);
    assert!(progress.done > 0 && progress.left == 0 && progress.kept == 0);
    assert!(account.resealing().is_none());
    // Whoever looked it up before reads it still.
    assert_eq!(account.body(id, &summary).unwrap(), large.as_bytes());
    assert_eq!(scene.world(), between);
    while scene.vault.vault.purge_step().unwrap() {}
    assert_eq!(sealed_under(&scene.vault.vault, &old.rows()), 0);
    for state in &before {
        let key = &state.epochs[0].rows;
        assert_eq!(sealed_under(&scene.vault.vault, key), 0);
    }
    let now = &states(&account)[0].current().key.rows();
    assert!(
        sealed_under(&scene.vault.vault, now) > 0,
        "the count can count"
    );
    drop((account, device, before));

    scene.vault = scene.vault.restart();
    assert_eq!(scene.world(), between);
    let device = scene.vault.try_unlock("alice", &limited).unwrap();
    assert_eq!(epochs(&device), 1, "granted links lose old keys too");
    put(&device, event(id, "new", "new", "by the device"));
    let account = scene.vault.unlock("alice", &alice);
    assert_eq!(epochs(&account), 1);
    assert!(names(&account, id).contains(&"new".to_owned()));
    assert!(
        scene
            .vault
            .vault
            .roster()
            .unwrap()
            .iter()
            .all(|(_, row)| { row.state == RosterState::Live })
    );
}

#[test]
fn a_stop_before_the_key_file_changes_nothing_and_one_after_it_is_made_up_for() {
    for replaced in [false, true] {
        let mut scene = Scene::new();
        let text = scene.secrets[0].1.to_text().expose().to_owned();
        let alice = Generated::read(&text).unwrap();
        let limited = scene.vault.add_limited("alice", &alice, &["calendar"]);
        let world = scene.world();
        let vault = &scene.vault.vault;
        let record = vault.account_named("alice").unwrap();
        let old = account_key(&scene.vault, "alice", &alice);
        let key = vault.ambient.random(|random| AccountKey::generate(random));
        let file = vault.key_file(record.id).unwrap();
        let inner = vault.load(&record, &old).unwrap();
        let next = file.generation + 1;
        vault.stage_tree(&inner, &old, &key, next).unwrap();
        drop(inner);
        if replaced {
            let slots = rewrapped(&scene.vault, record.id, &key, &file.slots, &[&alice]);
            let file = KeyFile {
                generation: next,
                slots,
                holds: None,
            };
            vault.put_slots(record.id, file).unwrap();
        }
        scene.vault = scene.vault.restart();
        // A device may come first, with what it was granted before, and write.
        let device = scene.vault.try_unlock("alice", &limited).unwrap();
        let id = calendar(&device);
        assert_eq!(epochs(&device), 1);
        let object = put(&device, event(id, "between", "between", "x"));
        device.write(|tx| tx.delete_object(id, &object)).unwrap();
        drop(device);
        let mut seen = scene.world();
        assert_eq!(
            seen.remove("alice/calendar/between sync").as_deref(),
            Some("gone")
        );
        assert_eq!(seen, world);
        while scene.vault.vault.purge_step().unwrap() {}
        let account = scene.vault.unlock("alice", &alice);
        assert_eq!(epochs(&account), if replaced { 2 } else { 1 });
        if replaced {
            assert_eq!(reseal(&account).kept, 0);
        }
        drop(account);
        scene.vault = scene.vault.restart();
        let device = scene.vault.try_unlock("alice", &limited).unwrap();
        put(&device, event(id, "late", "late", "x"));
        let account = scene.vault.unlock("alice", &alice);
        assert!(names(&account, id).contains(&"late".to_owned()));
        drop((account, device));
        let unused = if replaced { &old } else { &key };
        assert_eq!(sealed_under(&scene.vault.vault, &unused.rows()), 0);
        // Only the rows of one tree are left, and another change of the key goes well.
        change(&scene.vault, "alice", &alice);
        reseal(&scene.vault.unlock("alice", &alice));
    }
}

#[test]
fn resealing_goes_on_after_a_stop() {
    let mut vault = TestVault::new();
    let alice = vault.add("alice");
    let account = vault.unlock("alice", &alice);
    let id = calendar(&account);
    for number in 0..limits::RESEAL_OBJECTS + 20 {
        let name = format!("{number}");
        put(&account, event(id, &name, &name, "body"));
    }
    drop(account);
    change(&vault, "alice", &alice);
    let mut done = 0;
    for _ in 0..3 {
        let account = vault.unlock("alice", &alice);
        let mut resealing = account.resealing().unwrap();
        assert!(resealing.step().unwrap());
        done = done.max(resealing.progress().done);
        drop((account, resealing));
        vault = vault.restart();
    }
    assert!(done > 0 && done <= limits::RESEAL_OBJECTS as u64);
    let account = vault.unlock("alice", &alice);
    let progress = reseal(&account);
    assert!(
        progress.done < limits::RESEAL_OBJECTS as u64 + 20,
        "not all again"
    );
    assert_eq!(names(&account, id).len(), limits::RESEAL_OBJECTS + 20);
}

#[test]
fn damaged_rows_keep_their_key_and_the_rest_gets_the_new_one() {
    let vault = TestVault::new();
    let alice = vault.add("alice");
    let account = vault.unlock("alice", &alice);
    let id = calendar(&account);
    for name in ["bad", "good"] {
        put(&account, event(id, name, name, name));
    }
    let bad = account.object(id, &segment("bad")).unwrap().unwrap();
    let state = account.state(id).unwrap();
    let name = state
        .names
        .row(Kind::Body, bad.id.bytes(), bad.body_revision, 0);
    vault.vault.store.barrier().wait().unwrap();
    let whole = scan(&vault.vault, &state.names.prefix(Kind::Body))[&name].clone();
    let set = |bytes: &[u8]| {
        let mut batch = Batch::new();
        batch.put(name, Sealed::for_test(bytes.to_vec()));
        vault.vault.store.commit(batch).wait().unwrap();
    };
    let mut flipped = whole.clone();
    flipped[60] ^= 1;
    set(&flipped);
    change(&vault, "alice", &alice);
    let account = vault.unlock("alice", &alice);
    let progress = reseal(&account);
    assert_eq!(progress.kept, 1);
    let good = account.object(id, &segment("good")).unwrap().unwrap();
    assert_eq!(good.epoch, 2);
    assert_eq!(account.body(id, &good).unwrap(), b"good");
    assert!(matches!(
        account.body(id, &bad).unwrap_err(),
        VaultError::Damaged(_)
    ));
    // Put back from a backup, it opens, and then nothing keeps the old key.
    set(&whole);
    assert_eq!(account.body(id, &bad).unwrap(), b"bad");
    assert_eq!(reseal(&account).kept, 0);
    assert!(account.resealing().is_none());
}

#[test]
fn the_audit_trail_of_before_is_read_by_former_keys() {
    let vault = TestVault::new();
    let alice = vault.add("alice");
    let account = vault.unlock("alice", &alice);
    let id = account.id();
    put(&account, event(calendar(&account), "a", "a", "a"));
    drop(account);
    vault.vault.flush_audit().unwrap();
    let vault = vault.restart();
    let all = crate::ambient::UnixMillis(0);
    for changed in 1..3 {
        change(&vault, "alice", &alice);
        let key = account_key(&vault, "alice", &alice);
        let pairs = vault.vault.pairs_of(id, &key).unwrap();
        assert_eq!(pairs.len(), changed + 1);
        let lines = vault.vault.audit_of(id, &pairs, all, 99).unwrap();
        assert_eq!(lines.unread, 0);
        let told = |action| lines.lines.iter().any(|line| line.action == action);
        assert!(told(Action::Change) && told(Action::ChangeAccountKey));
        let without = vault.vault.audit_of(id, &pairs[..1], all, 99).unwrap();
        assert!(without.unread > 0, "former keys are needed");
        reseal(&vault.unlock("alice", &alice));
    }
}

#[test]
fn trash_and_history_are_restored_after_it() {
    let mut vault = TestVault::new();
    vault.vault.retain(Retention {
        days: 30,
        versions: 10,
        ..Retention::default()
    });
    let alice = vault.add("alice");
    let account = vault.unlock("alice", &alice);
    let id = calendar(&account);
    for text in ["first", "second"] {
        put(&account, event(id, "a", "a", text));
    }
    let b = put(&account, event(id, "b", "b", "deleted"));
    account.write(|tx| tx.delete_object(id, &b)).unwrap();
    for text in ["once", "now"] {
        let set = super::tests::property(text);
        account
            .write(|tx| tx.set_collection_properties(id, set))
            .unwrap();
    }
    let files = super::tests::plain(&account, account.home().id, "files");
    put(&account, event(files, "c", "c", "below"));
    account.write(|tx| tx.delete_collection(files)).unwrap();
    let a = account.object(id, &segment("a")).unwrap().unwrap();
    let before = account.state(id).unwrap();
    drop(account);
    change(&vault, "alice", &alice);
    let account = vault.unlock("alice", &alice);
    assert_eq!(reseal(&account).kept, 0);
    while vault.vault.purge_step().unwrap() {}
    assert_eq!(sealed_under(&vault.vault, &before.epochs[0].rows), 0);
    drop((account, before));
    vault = vault.restart();
    let account = vault.unlock("alice", &alice);
    let versions = account.history(id, a.id).unwrap();
    let body = account.version_body(id, a.id, versions[0].revision);
    assert_eq!(body.unwrap(), b"first");
    let annals = account.annals(&account.state(id).unwrap()).unwrap();
    let before: Vec<_> = annals.before.iter().map(|one| &one.properties).collect();
    assert_eq!(before[0], &super::tests::property("once"));
    let gone = &account.trashed_objects().unwrap()[0];
    let (object, version) = (gone.object, gone.last.revision);
    let restored = account.write(|tx| tx.restore_version(id, object, version, None));
    assert_eq!(account.body(id, &restored.unwrap()).unwrap(), b"deleted");
    let files = account.restore_collection(files, None).unwrap().id;
    let c = account.object(files, &segment("c")).unwrap().unwrap();
    assert_eq!(account.body(files, &c).unwrap(), b"below");
    assert_eq!(
        reseal(&account).done,
        1,
        "it was under an old key in the trash"
    );
    assert_eq!(account.body(files, &c).unwrap(), b"below");
}
