//! Devices with chosen calendars: what they see and change, with the account open whole or not.

use super::testing::TestVault;
use super::tests::{calendar, event, names, plain, property, put, segment, told};
use super::*;
use crate::ical::overlap::TimeRange;
use crate::ids::CollectionId;
use crate::seal::{Generated, Kind};
use crate::store::Batch;

/// Alice with an object in `calendar` and one in `tasks`, and a device that has `calendar` only.
fn scene() -> (TestVault, Generated, Generated) {
    let vault = TestVault::new();
    let alice = vault.add("alice");
    let account = vault.unlock("alice", &alice);
    put(&account, event(calendar(&account), "a.ics", "a", "open"));
    put(&account, event(tasks(&account), "t.ics", "t", "hidden"));
    let device = vault.add_limited("alice", &alice, &["calendar"]);
    (vault, alice, device)
}

fn named(account: &AccountStore, name: &str) -> Option<CollectionId> {
    let home = account.home().id;
    let there = account.collections(home);
    let found = there
        .iter()
        .find(|collection| collection.segment == Some(segment(name)))?;
    Some(found.id)
}

fn tasks(account: &AccountStore) -> CollectionId {
    named(account, "tasks").unwrap()
}

fn lock(vault: &TestVault, root: &[&str]) -> Lock {
    Lock {
        token: format!("urn:test:{}", root.join("/")),
        root: root.iter().map(|name| segment(name)).collect(),
        depth: LockDepth::Infinity,
        scope: LockScope::Exclusive,
        owner: String::new(),
        expires: crate::ambient::UnixMillis(vault.vault.ambient().now().0 + 60_000),
    }
}

/// Runs `check` with the device's handle on a part of the account, and on the whole.
fn either_way(scene: &(TestVault, Generated, Generated), check: impl Fn(&AccountStore)) {
    let (vault, alice, device) = scene;
    let part = vault.try_unlock("alice", device).unwrap();
    assert!(part.is_limited() && !part.is_open_whole());
    check(&part);
    let whole = vault.unlock("alice", alice);
    assert!(!part.is_open(), "one account has one gate");
    let view = vault.try_unlock("alice", device).unwrap();
    assert!(view.is_limited() && view.is_open_whole());
    check(&view);
    drop(whole);
}

#[test]
fn it_sees_its_calendars_and_nothing_else() {
    let scene = scene();
    let all = scene.0.unlock("alice", &scene.1);
    let (home, shown, hidden) = (all.home(), calendar(&all), tasks(&all));
    let token = all.token(&all.home());
    for root in [&["tasks"][..], &["calendar"], &[]] {
        all.write(|tx| tx.add_lock(lock(&scene.0, root))).unwrap();
    }
    drop(all);
    let seen = std::cell::RefCell::new(Vec::new());
    either_way(&scene, |device| {
        assert_eq!(device.home().id, home.id);
        let there = device.collections(home.id);
        assert_eq!(there.len(), 1);
        assert_eq!(device.members(home.id).unwrap().collections.len(), 1);
        assert_eq!(names(device, shown), ["a.ics"]);
        let object = device.object_by_uid(shown, "a").unwrap().unwrap();
        assert_eq!(device.body(shown, &object).unwrap(), b"open");
        assert!(matches!(
            device.resolve(&[segment("tasks")]).unwrap(),
            Node::Missing(..)
        ));
        assert!(matches!(
            device
                .resolve(&[segment("tasks"), segment("t.ics")])
                .unwrap(),
            Node::Nowhere
        ));
        assert_eq!(told(device, home.id, None).0, ["calendar/"]);
        assert_eq!(device.token(&device.home()), token);
        assert!(device.collection(hidden).is_none() && device.path_of(hidden).is_empty());
        let roots: Vec<_> = device.locks().iter().map(|lock| lock.root.len()).collect();
        assert_eq!(
            roots.iter().sum::<usize>(),
            1,
            "that of the home, and its own"
        );
        seen.borrow_mut().push(device.home_ctag());
    });
    let seen = seen.into_inner();
    assert_eq!(seen[0], seen[1], "a tag hangs on what is seen alone");
}

#[test]
fn a_limited_device_reaches_nothing_by_ids() {
    let scene = scene();
    let all = scene.0.unlock("alice", &scene.1);
    let (home, shown, id) = (all.home().id, calendar(&all), tasks(&all));
    let object = all.object(id, &segment("t.ics")).unwrap().unwrap();
    let hidden = all.collection(id).unwrap();
    let told_whole = all.token(&hidden);
    drop(all);
    either_way(&scene, |device| {
        assert!(device.collection(id).is_none() && device.collections(id).is_empty());
        assert!(device.path_of(id).is_empty());
        let missing = Some(VaultError::Missing);
        assert_eq!(device.members(id).err(), missing);
        assert_eq!(device.objects_touching(id, TimeRange::ALL).err(), missing);
        assert_eq!(device.damaged(id).err(), missing);
        assert_eq!(device.object(id, &object.segment).err(), missing);
        assert_eq!(device.object_by_uid(id, "t").err(), missing);
        assert_eq!(device.body(id, &object).err(), missing);
        assert_eq!(device.body_from(id, &object, 0).err(), missing);
        assert_eq!(device.changes(id, None, 9).err(), missing);
        let changed = Summary {
            properties_revision: 1,
            ..(*object).clone()
        };
        assert_eq!(device.properties(id, &changed).err(), missing);
        assert_ne!(device.token(&hidden), told_whole);
        let own = device.object_by_uid(shown, "a").unwrap().unwrap();
        let to = |parent| Destination {
            parent,
            segment: segment("x.ics"),
            calendar: None,
        };
        let pair = crate::seal::PairKey::generate(scene.0.vault.ambient());
        let new = |parent| NewCollection {
            parent,
            segment: segment("tasks"),
            kind: CollectionKind::Plain,
            properties: Properties::new(),
        };
        let whole = LockDepth::Infinity;
        let refused: Vec<Result<(), VaultError>> = vec![
            device.write(|tx| tx.put(event(id, "x.ics", "x", "x")).map(drop)),
            device.write(|tx| tx.put(event(home, "x.ics", "x", "x")).map(drop)),
            device.write(|tx| tx.delete_object(id, &object)),
            device.write(|tx| tx.set_object_properties(id, &object, property("<x/>"))),
            device.write(|tx| tx.move_object(id, &object, to(shown)).map(drop)),
            device.write(|tx| tx.move_object(shown, &own, to(id)).map(drop)),
            device.write(|tx| tx.move_object(shown, &own, to(home)).map(drop)),
            device.write(|tx| tx.copy_object(id, &object, to(shown)).map(drop)),
            device.write(|tx| tx.copy_object(shown, &own, to(id)).map(drop)),
            device.write(|tx| tx.make_collection(new(home)).map(drop)),
            device.write(|tx| tx.make_collection(new(shown)).map(drop)),
            device.write(|tx| tx.delete_collection(id)),
            device.write(|tx| tx.delete_collection(shown)),
            device.write(|tx| tx.set_collection_properties(shown, Properties::new())),
            device.write(|tx| tx.set_collection_properties(home, Properties::new())),
            device.write(|tx| tx.move_collection(shown, to(home)).map(drop)),
            device
                .copy_collection(shown, whole, to(home), |_| Ok(()))
                .map(drop),
            device.write(|tx| tx.add_lock(lock(&scene.0, &[]))),
            device.write(|tx| tx.add_lock(lock(&scene.0, &["tasks"]))),
            device.write(|tx| tx.add_lock(lock(&scene.0, &["new"]))),
            device.write(|tx| tx.remove_lock("urn:test:tasks")),
            device.grant(device.device(), pair.public(), &[shown]),
            device.history(shown, own.id).map(drop),
            device.version_body(shown, own.id, 1).map(drop),
            device.past(shown).map(drop),
            device.past_of_trashed(shown).map(drop),
            device.trash_figures().map(drop),
            device.write(|tx| tx.restore_version(shown, own.id, 1, None).map(drop)),
            device.write(|tx| tx.purge_history(shown, own.id)),
            device.purge_histories(shown, &AtomicU64::new(0)).map(drop),
            device.trashed_objects().map(drop),
            device.trashed_collections().map(drop),
            device.restore_collection(id, None).map(drop),
            device.purge_collection(id),
            device
                .undo(
                    device.device(),
                    device.home().created,
                    Undo::Apply,
                    &AtomicU64::new(0),
                )
                .map(drop),
        ];
        for (number, refusal) in refused.iter().enumerate() {
            let refused = matches!(refusal, Err(VaultError::Missing | VaultError::Denied));
            assert!(refused, "{number}: {refusal:?}");
        }
    });
    let all = scene.0.unlock("alice", &scene.1);
    assert_eq!(all.token(&all.collection(id).unwrap()), told_whole);
    assert_eq!(names(&all, shown), ["a.ics"]);
    assert!(all.locks().is_empty());
}

#[test]
fn what_it_changes_everybody_sees_and_it_sees_what_others_change() {
    let scene = scene();
    let count = std::cell::Cell::new(0);
    either_way(&scene, |device| {
        let name = format!("new{}.ics", count.replace(count.get() + 1));
        let id = calendar(device);
        put(device, event(id, &name, &name, "by the device"));
        let own = lock(&scene.0, &["calendar", &name]);
        device.write(|tx| tx.add_lock(own.clone())).unwrap();
        device.write(|tx| tx.remove_lock(&own.token)).unwrap();
        device.write(|tx| tx.add_lock(own)).unwrap();
    });
    let (vault, alice, device) = scene;
    let vault = vault.restart();
    let all = vault.unlock("alice", &alice);
    assert_eq!(
        names(&all, calendar(&all)),
        ["a.ics", "new0.ics", "new1.ics"]
    );
    assert_eq!(all.locks().len(), 2);
    let part = vault.try_unlock("alice", &device).unwrap();
    assert_eq!(part.locks().len(), 2);
    put(&all, event(calendar(&all), "b.ics", "b", "by another"));
    assert_eq!(names(&part, calendar(&part)).len(), 4);
}

#[test]
fn its_grants_follow_renames_and_deletions_also_over_a_restart() {
    let (vault, alice, device) = scene();
    let all = vault.unlock("alice", &alice);
    let (home, id) = (all.home().id, calendar(&all));
    let to = |parent, name| Destination {
        parent,
        segment: segment(name),
        calendar: None,
    };
    let seen = |vault: TestVault| {
        let vault = vault.restart();
        let part = vault.try_unlock("alice", &device).unwrap();
        assert!(!part.is_open_whole());
        let there = part.collections(part.home().id);
        let names = there.iter().map(|one| one.segment.clone().unwrap());
        let names: Vec<_> = names.map(|name| name.as_str().to_owned()).collect();
        let properties = there.first().map_or(0, |one| one.properties.len());
        drop((there, part));
        (vault, names, properties)
    };
    all.write(|tx| tx.move_collection(id, to(home, "renamed")))
        .unwrap();
    all.write(|tx| tx.set_collection_properties(id, Properties::new()))
        .unwrap();
    drop(all);
    let (vault, there, properties) = seen(vault);
    assert_eq!((there, properties), (vec!["renamed".to_owned()], 0));

    // Out of the home it is not seen: its path would tell of another collection.
    let all = vault.unlock("alice", &alice);
    let folder = plain(&all, home, "folder");
    all.write(|tx| tx.move_collection(id, to(folder, "renamed")))
        .unwrap();
    assert!(
        vault
            .try_unlock("alice", &device)
            .unwrap()
            .collection(id)
            .is_none()
    );
    drop(all);
    let (vault, there, _) = seen(vault);
    assert!(there.is_empty());
    let all = vault.unlock("alice", &alice);
    all.write(|tx| tx.move_collection(id, to(home, "back")))
        .unwrap();
    drop(all);
    let (vault, there, _) = seen(vault);
    assert_eq!(there, ["back"]);

    let account = vault.vault.account_named("alice").unwrap().id;
    let names = &vault.vault.host_names;
    let prefix = names.prefix_within(Kind::Grant, account.bytes());
    let rows = |vault: &TestVault| {
        vault.vault.store.barrier().wait().unwrap();
        vault.vault.store.names(&prefix).count()
    };
    assert_eq!(rows(&vault), 2);
    let all = vault.unlock("alice", &alice);
    all.write(|tx| tx.delete_collection(id)).unwrap();
    assert_eq!(rows(&vault), 1, "that of the home");
    drop(all);
    let (vault, there, _) = seen(vault);
    assert!(there.is_empty());
    let (_, slot) = vault.key("alice", &device);
    let out = |slots: &mut Vec<crate::seal::Slot>| slots.retain(|other| other.id != slot);
    vault.vault.change_slots(account, out).unwrap();
    vault.vault.forget_grants(account).unwrap();
    assert_eq!(rows(&vault), 0);
}

#[test]
fn nothing_of_an_account_with_grants_is_left_after_its_deletion() {
    let (vault, _, _) = scene();
    let account = vault.vault.account_named("alice").unwrap().id;
    vault.vault.delete_account(account).unwrap();
    while vault.vault.purge_step().unwrap() {}
    let prefix = vault
        .vault
        .host_names
        .prefix_within(Kind::Grant, account.bytes());
    assert_eq!(vault.vault.store.names(&prefix).count(), 0);
    assert!(vault.vault.roster().unwrap().is_empty());
}

#[test]
fn names_of_what_is_gone_from_the_home_are_not_told() {
    let scene = scene();
    let all = scene.0.unlock("alice", &scene.1);
    let home = all.home().id;
    let device = scene.0.try_unlock("alice", &scene.2).unwrap();
    let (_, token) = told(&device, home, None);
    all.write(|tx| tx.set_collection_properties(tasks(&all), Properties::new()))
        .unwrap();
    assert!(told(&device, home, Some(&token)).0.is_empty());
    all.write(|tx| tx.delete_collection(tasks(&all))).unwrap();
    assert_eq!(told(&all, home, Some(&token)).0, ["-tasks"]);
    let refused = device.changes(home, Some(&token), 9);
    assert_eq!(refused.err(), Some(VaultError::TokenInvalid));
    let (again, token) = told(&device, home, None);
    assert_eq!(again, ["calendar/"]);
    assert!(told(&device, home, Some(&token)).0.is_empty());
}

#[test]
fn two_devices_with_other_calendars_share_one_part() {
    let (vault, alice, first) = scene();
    let second = vault.add_limited("alice", &alice, &["calendar", "tasks"]);
    let one = vault.try_unlock("alice", &first).unwrap();
    put(&one, event(calendar(&one), "one.ics", "one", "x"));
    let two = vault.try_unlock("alice", &second).unwrap();
    assert!(one.is_open() && two.is_open(), "neither ends the other");
    assert!(Arc::ptr_eq(&one.inner, &two.inner));
    assert_eq!(names(&two, calendar(&two)), ["a.ics", "one.ics"]);
    assert_eq!(names(&two, tasks(&two)), ["t.ics"]);
    assert_eq!(named(&one, "tasks"), None);
    assert_eq!(one.collections(one.home().id).len(), 1);
}

#[test]
fn who_reads_on_in_a_closed_part_is_not_told_of_damage() {
    let (vault, alice, device) = scene();
    let part = vault.try_unlock("alice", &device).unwrap();
    let other = vault.try_unlock("alice", &device).unwrap();
    let id = calendar(&part);
    let object = part.object(id, &segment("a.ics")).unwrap().unwrap();
    let whole = vault.unlock("alice", &alice);
    vault.vault.retain(Retention::NOTHING);
    assert_eq!(part.body(id, &object).unwrap(), b"open", "it may finish");
    put(&whole, event(id, "a.ics", "a", "changed"));
    // Until the change is applied the old rows are there.
    whole.barrier().wait().unwrap();
    assert_eq!(part.body(id, &object).err(), Some(VaultError::Locked));
    *other.state(id).unwrap().index.write() = None;
    assert_eq!(other.members(id).err(), Some(VaultError::Locked));
}

#[test]
fn an_account_opened_in_part_has_no_account_key() {
    let (vault, alice, device) = scene();
    let part = vault.try_unlock("alice", &device).unwrap();
    assert!(part.inner.keys.is_none() && part.inner.tree.read().grants.is_empty());
    assert_eq!(part.inner.tree.read().entries.len(), 2);
    let whole = vault.unlock("alice", &alice);
    let late: Result<(), VaultError> = part.write(|_| Ok(()));
    assert_eq!(late, Err(VaultError::Locked));
    drop(whole);
}

#[test]
fn locks_of_before_are_honoured_and_written_anew() {
    let (vault, alice, device) = scene();
    let all = vault.unlock("alice", &alice);
    let old = lock(&vault, &["calendar"]);
    let name = all
        .inner
        .keys()
        .unwrap()
        .names
        .row(Kind::Lock, &[1; 16], 0, 0);
    let mut batch = Batch::new();
    let row = all
        .inner
        .seal(Kind::Lock, &name, &rows::encode(&old))
        .unwrap();
    batch.put(name, row);
    vault.vault.store.commit(batch).wait().unwrap();
    drop(all);
    // A device with chosen calendars cannot read it until the account was opened whole once.
    drop(vault.unlock("alice", &alice));
    vault.vault.store.barrier().wait().unwrap();
    assert!(vault.vault.store.get(&name).unwrap().is_none());
    let vault = vault.restart();
    let part = vault.try_unlock("alice", &device).unwrap();
    let locks = part.locks();
    assert_eq!(locks.iter().map(|lock| &**lock).collect::<Vec<_>>(), [&old]);
}
