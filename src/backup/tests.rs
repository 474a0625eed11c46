//! Backups of a vault that is used meanwhile, damaged, erased from, and restored.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;

use super::*;
use crate::ambient::Ambient;
use crate::ids::Segment;
use crate::seal::{Generated, HostKey, Slot, SlotKey, Terms, ToWrap};
use crate::vault::testing::TestVault;
use crate::vault::{AccountStore, CreateError, NewObject, Node, VaultError};

const DAY: i64 = 86_400_000;

/// A vault with an account, and places for backups.
struct Rig {
    test: TestVault,
    places: tempfile::TempDir,
    alice: Generated,
}

impl Rig {
    fn new(test: TestVault) -> Self {
        let places = tempfile::tempdir().unwrap();
        for place in ["one", "two", "keys"] {
            fs::create_dir(places.path().join(place)).unwrap();
        }
        let alice = test.add("alice");
        Rig {
            test,
            places,
            alice,
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.places.path().join(name)
    }

    fn to(&self, name: &str) -> Destination {
        Destination::Directory(self.place(name))
    }

    fn data(&self) -> &Path {
        self.test.directory.path()
    }

    fn backups(&self, destinations: &[&str], keep: Keep) -> Arc<Backups> {
        let settings = BackupSettings {
            destinations: destinations.iter().map(|name| self.to(name)).collect(),
            every_hours: 24,
            keep,
            keys_to: Some(self.place("keys")),
            key_days: 30,
        };
        Arc::new(Backups::new(self.test.vault.clone(), self.data(), settings))
    }

    fn take(&self) -> Taken {
        let mut done = self.backups(&["one"], ALL).run(&[]);
        done.pop().unwrap().1.unwrap()
    }

    fn alice(&self) -> AccountStore {
        self.test.unlock("alice", &self.alice)
    }

    fn host(&self) -> HostKey {
        HostKey::read(&self.test.vault.host().to_text()).unwrap()
    }

    fn means<'a>(&self, keys: &'a Path) -> Means<'a> {
        Means {
            keys,
            host: self.host(),
            trusted: Vec::new(),
            erased: Erased::default(),
            beside: Vec::new(),
            ambient: Arc::new(Ambient::system()),
        }
    }

    /// Restores with these keys, to a vault of its own.
    fn restore(&self, which: &Which, keys: &Path) -> (TestVault, Restored) {
        let directory = tempfile::tempdir().unwrap();
        let (from, means) = (self.to("one"), self.means(keys));
        let restored = restore(&from, which, directory.path(), means, &mut |_, _| {}).unwrap();
        (TestVault::restored(directory, &self.host()), restored)
    }
}

/// Everything is kept.
const ALL: Keep = Keep {
    daily: 0,
    weekly: 0,
    monthly: 0,
};

fn segment(name: &str) -> Segment {
    Segment::parse(name).unwrap()
}

fn find(account: &AccountStore, name: &str) -> Option<String> {
    let Ok(Node::Object(calendar, object)) = account.resolve(&[segment("calendar"), segment(name)])
    else {
        return None;
    };
    let body = account.body(calendar.id, &object).unwrap();
    Some(String::from_utf8(body).unwrap())
}

fn calendar(account: &AccountStore) -> Arc<crate::vault::Collection> {
    match account.resolve(&[segment("calendar")]).unwrap() {
        Node::Collection(calendar) => calendar,
        _ => panic!("no calendar"),
    }
}

/// Writes files of these names and this content, all in one change.
fn put(account: &AccountStore, names: &[&str], body: &str) {
    let parent = calendar(account).id;
    account
        .write(|tx| {
            for name in names {
                tx.put(NewObject {
                    parent,
                    segment: segment(name),
                    body: body.into(),
                    content_type: "text/plain".into(),
                    calendar: None,
                })?;
            }
            Ok::<_, VaultError>(())
        })
        .unwrap();
    account.barrier().wait().unwrap();
}

#[test]
fn a_restored_backup_is_a_state_that_existed() {
    let rig = Rig::new(TestVault::new());
    let stop = AtomicBool::new(false);
    let alice = rig.alice();
    put(&alice, &["a", "b"], "0");
    let mut taken = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                put(&alice, &["a", "b"], &number.to_string());
                put(&alice, &[&format!("c{number}")], &number.to_string());
            }
        });
        for _ in 0..5 {
            taken.push(rig.take());
        }
        stop.store(true, Ordering::Relaxed);
    });
    let token = alice.token(&calendar(&alice));
    drop(alice);
    let mut before = 0;
    for taken in &taken {
        let (test, restored) = rig.restore(&Which::Id(taken.id.clone()), rig.data());
        assert_eq!((restored.accounts, restored.without_keys), (1, 0));
        // `unlock` holds all sums over heads, summaries and the audit trail to be right.
        let alice = test.unlock("alice", &rig.alice);
        let (a, b) = (find(&alice, "a").unwrap(), find(&alice, "b").unwrap());
        assert_eq!(a, b, "one commit's rows of two states");
        let number: u64 = a.parse().unwrap();
        assert!(number >= before);
        before = number;
        let last = number.saturating_sub(1).max(1);
        assert!(number < 2 || find(&alice, &format!("c{last}")).is_some());
        assert!(find(&alice, &format!("c{}", number + 1)).is_none());
        let changes = alice.changes(calendar(&alice).id, Some(&token), 10);
        assert!(matches!(changes, Err(VaultError::TokenInvalid)));
        assert_eq!(test.vault.audit_findings(), []);
        let found = test.vault.verify_audit().unwrap().findings;
        assert_eq!(found, []);
    }
    assert!(before > 1, "nothing was written meanwhile");
    assert_eq!(verify(&rig.to("one"), None).unwrap().faults, [""; 0]);
    let scratch = tempfile::tempdir().unwrap();
    let means = rig.means(rig.data());
    let from = rig.to("one");
    let drilled = drill(&from, &Which::Newest, scratch.path(), means, &mut |_, _| {}).unwrap();
    assert_eq!(drilled.audit.findings, []);
    assert!(drilled.rows >= drilled.restored.manifest.rows());
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn the_second_backup_writes_what_changed() {
    let clock = Arc::new(AtomicI64::new(20_000 * DAY));
    let rig = Rig::new(TestVault::with_clock(&clock));
    let alice = rig.alice();
    for number in 0..60 {
        let names: Vec<_> = (0..20).map(|at| format!("{number}-{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        put(&alice, &names, &"x".repeat(500));
    }
    let first = rig.take();
    assert!(
        first.packs > 10 && first.new_packs == first.packs,
        "{first:?}"
    );
    clock.fetch_add(DAY, Ordering::Relaxed);
    put(&alice, &["1-1"], "changed");
    let second = rig.take();
    // Body, summary, head and page of the audit trail; the old body's pack.
    assert!((1..=7).contains(&second.new_packs), "{second:?}");
    clock.fetch_add(DAY, Ordering::Relaxed);
    let keep = Keep {
        daily: 1,
        weekly: 0,
        monthly: 0,
    };
    let third = rig.backups(&["one"], keep).run(&[]);
    assert_eq!(third[0].1.as_ref().unwrap().removed, 2);
    // The packs of the others are gone, its own are there.
    let (backups, _) = rig.to("one").backups().unwrap();
    assert_eq!(backups.len(), 1);
    let named = choose(&rig.to("one"), &Which::Newest).unwrap().packs.len();
    assert_eq!(rig.to("one").packs().unwrap().len(), named);
    assert_eq!(verify(&rig.to("one"), None).unwrap().faults, [""; 0]);
    drop(alice);
    let (test, _) = rig.restore(&Which::Newest, rig.data());
    let alice = test.unlock("alice", &rig.alice);
    assert_eq!(find(&alice, "1-1").unwrap(), "changed");
    assert_eq!(find(&alice, "59-19").unwrap().len(), 500);
}

#[test]
fn backups_are_chosen_by_time() {
    let clock = Arc::new(AtomicI64::new(20_000 * DAY));
    let rig = Rig::new(TestVault::with_clock(&clock));
    let alice = rig.alice();
    for day in ["first", "second", "third"] {
        put(&alice, &["day"], day);
        rig.take();
        clock.fetch_add(DAY, Ordering::Relaxed);
    }
    drop(alice);
    let day = |test: &TestVault| find(&test.unlock("alice", &rig.alice), "day").unwrap();
    // Day 20000 is 2024-10-04.
    for (at, expected) in [
        ("2024-10-04", "first"),
        ("2024-10-05T00:00:00Z", "second"),
        ("2024-10-05T23:59", "second"),
        ("2025", "third"),
    ] {
        let which = Which::parse(at).unwrap();
        assert_eq!(day(&rig.restore(&which, rig.data()).0), expected, "{at}");
    }
    let before = Which::parse("2024-10-03").unwrap();
    assert!(matches!(
        choose(&rig.to("one"), &before),
        Err(BackupError::NoBackup(_))
    ));
    for bad in ["", "yesterday", "2024-10-05 08:00", "../20241005T000000Z-0"] {
        assert_eq!(Which::parse(bad), None, "{bad}");
    }
}

#[test]
fn the_newest_of_one_moment_is_the_last() {
    let rig = Rig::new(TestVault::with_clock(&Arc::new(AtomicI64::new(DAY))));
    let alice = rig.alice();
    let keep = Keep { daily: 1, ..ALL };
    for time in ["first", "second", "third", "fourth", "fifth"] {
        put(&alice, &["time"], time);
        let mut done = rig.backups(&["one"], keep).run(&[]);
        let taken = done.pop().unwrap().1.unwrap();
        let newest = choose(&rig.to("one"), &Which::Newest).unwrap();
        assert_eq!(newest.id, taken.id, "{time}");
        assert_eq!(taken.removed, usize::from(time != "first"));
    }
    drop(alice);
    let restored = rig.restore(&Which::Newest, rig.data()).0;
    let alice = restored.unlock("alice", &rig.alice);
    assert_eq!(find(&alice, "time").unwrap(), "fifth");
}

#[test]
fn a_backup_of_a_newer_format_is_refused() {
    let rig = Rig::new(TestVault::new());
    let to = rig.to("one");
    rig.take();
    let newest = choose(&to, &Which::Newest).unwrap();
    let newer = Manifest {
        id: manifest::BackupId::new(newest.time, std::slice::from_ref(&newest.id)),
        format: FORMAT_VERSION + 1,
        ..newest
    };
    let text = newer.text(&rig.test.vault.host().signer());
    to.publish(&newer.id, &text).unwrap();
    let refused = choose(&to, &Which::Newest).unwrap_err();
    assert!(
        refused.to_string().contains("install the newer version"),
        "{refused}"
    );
}

#[test]
fn every_flipped_byte_is_noticed_and_named() {
    let rig = Rig::new(TestVault::new());
    rig.take();
    let keys = rig.backups(&["one"], ALL).back_up_keys(None).unwrap();
    let mut flipped = 0;
    for dir in ["packs", "backups", ""] {
        let dir_path = rig.place("one").join(dir);
        for entry in fs::read_dir(dir_path).unwrap() {
            let file = entry.unwrap().path();
            if file.is_dir() {
                continue;
            }
            let content = fs::read(&file).unwrap();
            let name = file.strip_prefix(rig.place("one")).unwrap();
            for at in 0..content.len() {
                let mut bytes = content.clone();
                // A letter's case is the least that can change in a text.
                bytes[at] ^= if at % 2 == 0 { 0x20 } else { 0x01 };
                fs::write(&file, bytes).unwrap();
                let faults = verify(&rig.to("one"), None).map(|found| found.faults);
                let named = match &faults {
                    Ok(faults) => faults
                        .iter()
                        .any(|fault| fault.starts_with(name.to_str().unwrap())),
                    // A list that is no text any more.
                    Err(error) => {
                        name.to_str() == Some("erased") && error.to_string().contains("erased")
                    }
                };
                assert!(named, "byte {at} of {name:?}: {faults:?}");
                flipped += 1;
            }
            fs::write(&file, content).unwrap();
        }
    }
    assert!(flipped > 4_000, "{flipped}");
    let content = fs::read(&keys.destination).unwrap();
    for at in 0..content.len() {
        let mut bytes = content.clone();
        bytes[at] ^= 0x20;
        fs::write(&keys.destination, bytes).unwrap();
        assert!(keys::read_keys(&keys.destination).is_err(), "byte {at}");
    }
    // A pack that is gone, and one that no backup names.
    let pack = rig.to("one").packs().unwrap().pop().unwrap();
    let file = rig.place("one").join("packs").join(&pack);
    let content = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let faults = verify(&rig.to("one"), None).unwrap().faults;
    assert_eq!(faults, [format!("packs/{pack}: it is missing")]);
    let directory = tempfile::tempdir().unwrap();
    let (from, means) = (rig.to("one"), rig.means(rig.data()));
    let target = directory.path();
    let failed = restore(&from, &Which::Newest, target, means, &mut |_, _| {});
    assert!(matches!(failed, Err(BackupError::Pack { .. })));
    assert!(target.join(MARKER).exists(), "an unfinished restore starts");
    fs::write(&file, content).unwrap();
    let (from, means) = (rig.to("one"), rig.means(rig.data()));
    let over = restore(&from, &Which::Newest, target, means, &mut |_, _| {});
    assert!(matches!(over, Err(BackupError::NotEmpty(_))));
}

#[test]
fn a_failing_destination_keeps_no_other_from_its_backup() {
    let rig = Rig::new(TestVault::new());
    let backups = rig.backups(&["missing", "one"], ALL);
    backups.tick();
    let progress = backups.progress();
    let good: Vec<bool> = progress.done.iter().map(|(good, _)| *good).collect();
    assert_eq!(good, [false, true]);
    assert!(!progress.running);
    assert!(!rig.place("missing").exists(), "a disk that is not mounted");
    let doubts = backups.doubts();
    assert_eq!(doubts.len(), 1, "{doubts:?}");
    assert!(doubts[0].contains("missing"), "{doubts:?}");
    assert!(last_backup(rig.data()).is_some());
    fs::create_dir(rig.place("missing")).unwrap();
    backups.run(&[]);
    assert_eq!(backups.doubts(), [""; 0]);
    // A lock that another backup holds, and what one that was killed left behind.
    let lock = rig.to("one").open().unwrap();
    let busy = backups.run(&[rig.to("one")]);
    assert!(matches!(busy[0].1, Err(BackupError::InUse(_))));
    drop(lock);
    fs::write(rig.place("one").join("tmp/left"), b"x").unwrap();
    rig.take();
    assert_eq!(
        fs::read_dir(rig.place("one").join("tmp")).unwrap().count(),
        0
    );
}

#[test]
fn erased_accounts_stay_erased() {
    let rig = Rig::new(TestVault::new());
    let bob = rig.test.add("bob");
    put(&rig.test.unlock("bob", &bob), &["a"], "bob's");
    put(&rig.alice(), &["a"], "alice's");
    let backups = rig.backups(&["one"], ALL);
    backups.run(&[]);
    let keys = backups.back_up_keys(None).unwrap();
    let id = rig.test.vault.account_named("bob").unwrap().id;
    let holding = key_backups_holding(rig.data(), id).unwrap();
    assert_eq!(holding, std::slice::from_ref(&keys));
    let theirs = rig.test.vault.rows_of_account(id).unwrap();
    rig.test.vault.delete_account(id).unwrap();
    backups.share_erased();
    // The key file of then and the rows of then are at hand, and are not used.
    let (test, restored) = rig.restore(&Which::Newest, &keys.destination);
    assert_eq!((restored.accounts, restored.erased), (1, 1));
    assert!(test.vault.account_named("bob").is_none());
    let left: Vec<_> = fs::read_dir(test.directory.path().join("keys"))
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1);
    assert_eq!(
        find(&test.unlock("alice", &rig.alice), "a").unwrap(),
        "alice's"
    );
    assert_eq!(test.vault.audit_findings(), []);
    let erased = Erased::read(&test.directory.path().join("erased")).unwrap();
    assert!(erased.accounts.contains_key(&id));
    // No row of the account is left.
    assert!(theirs.names.len() > 3);
    let rows = test.vault.store().all_rows().map(|row| row.unwrap().0);
    assert_eq!(rows.filter(|name| theirs.has(name)).count(), 0);
}

#[test]
fn one_account_is_put_back() {
    let rig = Rig::new(TestVault::new());
    let bob = rig.test.add("bob");
    put(&rig.alice(), &["kept", "lost"], "before");
    put(&rig.test.unlock("bob", &bob), &["a"], "before");
    rig.take();
    let alice = rig.alice();
    let token = alice.token(&calendar(&alice));
    put(&alice, &["kept", "new"], "after");
    let id = calendar(&alice).id;
    alice.write(|tx| tx.delete_collection(id)).unwrap();
    alice.barrier().wait().unwrap();
    drop(alice);
    put(&rig.test.unlock("bob", &bob), &["a"], "after");
    let (from, host) = (rig.to("one"), rig.host());
    let ambient = Arc::new(Ambient::system());
    let data = rig.data().to_owned();
    let Rig {
        test,
        alice,
        places: _places,
    } = rig;
    let mut put_back = None;
    let put_in = |name: &str| restore_user(&from, &Which::Newest, &data, name, &host, &ambient);
    let test = test.restart_after(|| {
        assert!(matches!(put_in("carol"), Err(BackupError::NoAccount(_))));
        put_back = put_in("alice").ok();
    });
    assert!(put_back.unwrap().rows > 10);
    let store = test.unlock("alice", &alice);
    assert_eq!(find(&store, "kept").unwrap(), "before");
    assert_eq!(find(&store, "lost").unwrap(), "before");
    assert_eq!(find(&store, "new"), None);
    let changes = store.changes(calendar(&store).id, Some(&token), 10);
    assert!(matches!(changes, Err(VaultError::TokenInvalid)));
    put(&store, &["kept"], "written on");
    assert_eq!(find(&test.unlock("bob", &bob), "a").unwrap(), "after");
    assert_eq!(test.vault.audit_findings(), []);
    let found = test.vault.verify_audit().unwrap().findings;
    assert_eq!(found, []);
    drop(store);
    // And once more after a restart: nothing is taken for a rollback.
    let test = test.restart();
    let store = test.unlock("alice", &alice);
    assert_eq!(find(&store, "kept").unwrap(), "written on");
    assert_eq!(test.vault.audit_findings(), []);
}

#[test]
fn key_backups_are_deleted_when_their_time_is_over() {
    let clock = Arc::new(AtomicI64::new(20_000 * DAY));
    let rig = Rig::new(TestVault::with_clock(&clock));
    let id = rig.test.vault.account_named("alice").unwrap().id;
    let backups = rig.backups(&[], ALL);
    backups.tick();
    clock.fetch_add(29 * DAY, Ordering::Relaxed);
    backups.tick();
    backups.tick();
    let [old, new] = &key_backups_holding(rig.data(), id).unwrap()[..] else {
        panic!("two backups");
    };
    assert_eq!(old.expires.0 - old.made.0, 30 * DAY);
    let (old, new) = (old.destination.clone(), new.destination.clone());
    clock.fetch_add(DAY, Ordering::Relaxed);
    // Its disk is not mounted: it stays in the ledger.
    let (there, away) = (rig.place("keys"), rig.place("away"));
    fs::rename(&there, &away).unwrap();
    backups.tick();
    assert_eq!(key_backups_holding(rig.data(), id).unwrap().len(), 3);
    fs::rename(&away, &there).unwrap();
    backups.tick();
    let left = key_backups_holding(rig.data(), id).unwrap();
    assert!(left.iter().all(|backup| backup.destination != old));
    assert!(left.iter().any(|backup| backup.destination == new));
    assert!(!old.exists() && new.exists());
    let keys = keys::read_keys(&there).unwrap();
    let file = fs::read(rig.data().join("keys").join(format!("{id}.keys"))).unwrap();
    assert_eq!(keys[&id], file);
}

/// Deletes a file of the calendar.
fn delete(account: &AccountStore, name: &str) {
    let id = calendar(account).id;
    let object = account.object(id, &segment(name)).unwrap().unwrap();
    let deleted: Result<(), VaultError> = account.write(|tx| tx.delete_object(id, &object));
    deleted.unwrap();
    account.barrier().wait().unwrap();
}

/// Deletes the task list, with a file that says `body` in it.
fn delete_tasks(account: &AccountStore, body: &str) -> crate::ids::CollectionId {
    let Node::Collection(tasks) = account.resolve(&[segment("tasks")]).unwrap() else {
        panic!("no task list");
    };
    let new = NewObject {
        parent: tasks.id,
        segment: segment("task"),
        body: body.into(),
        content_type: "text/plain".into(),
        calendar: None,
    };
    account.write(|tx| tx.put(new).map(drop)).unwrap();
    let deleted: Result<(), VaultError> = account.write(|tx| tx.delete_collection(tasks.id));
    deleted.unwrap();
    account.barrier().wait().unwrap();
    tasks.id
}

/// Restores what `with_trash` made from trash and history, and looks at it.
fn bring_back(account: &AccountStore, tasks: crate::ids::CollectionId) {
    let id = calendar(account).id;
    let gone = account.trashed_objects().unwrap();
    let [gone] = &gone[..] else {
        panic!("{gone:?}");
    };
    assert_eq!(gone.last.segment, segment("gone"));
    let (object, revision) = (gone.object, gone.last.revision);
    let restored = account.write(|tx| tx.restore_version(id, object, revision, None));
    restored.map_err(|error: VaultError| error).unwrap();
    assert_eq!(find(account, "gone").unwrap(), "deleted");
    let kept = account.object(id, &segment("kept")).unwrap().unwrap();
    let versions = account.history(id, kept.id).unwrap();
    let [version] = &versions[..] else {
        panic!("{versions:?}");
    };
    let body = account.version_body(id, kept.id, version.revision).unwrap();
    assert_eq!(body, b"first");
    let revision = version.revision;
    let restored = account.write(|tx| tx.restore_version(id, kept.id, revision, None));
    restored.map_err(|error: VaultError| error).unwrap();
    assert_eq!(find(account, "kept").unwrap(), "first");
    let trashed = account.trashed_collections().unwrap();
    let trashed: Vec<_> = trashed.iter().map(|one| one.id).collect();
    assert_eq!(trashed, [tasks]);
    let back = account.restore_collection(tasks, None).unwrap();
    let object = account.object(back.id, &segment("task")).unwrap().unwrap();
    assert_eq!(account.body(back.id, &object).unwrap(), b"a task");
}

/// Puts something into trash and history of an account.
fn with_trash(account: &AccountStore) -> crate::ids::CollectionId {
    put(account, &["kept"], "first");
    put(account, &["kept"], "second");
    put(account, &["gone"], "deleted");
    delete(account, "gone");
    delete_tasks(account, "a task")
}

#[test]
fn trash_and_history_are_in_a_backup_and_erased_with_their_account() {
    let rig = Rig::new(TestVault::new());
    let bob = rig.test.add("bob");
    let (alice, of_bob) = (rig.alice(), rig.test.unlock("bob", &bob));
    let tasks = with_trash(&alice);
    with_trash(&of_bob);
    drop(of_bob);
    let backups = rig.backups(&["one"], ALL);
    backups.run(&[]);
    let keys = backups.back_up_keys(None).unwrap();
    // What is purged since is there again; what was erased since is not.
    alice.purge_collection(tasks).unwrap();
    drop(alice);
    let id = rig.test.vault.account_named("bob").unwrap().id;
    let theirs = rig.test.vault.rows_of_account(id).unwrap();
    rig.test.vault.delete_account(id).unwrap();
    backups.share_erased();
    let in_backup = |rows: &crate::store::LeftOut| {
        let manifest = choose(&rig.to("one"), &Which::Newest).unwrap();
        let mut count = 0;
        restore::for_each_row(&rig.to("one"), &manifest, &mut |name, _| {
            count += usize::from(rows.has(name));
            Ok(())
        })
        .unwrap();
        count
    };
    assert!(in_backup(&theirs) > 20, "{}", in_backup(&theirs));
    let (test, restored) = rig.restore(&Which::Newest, &keys.destination);
    assert_eq!(restored.erased, 1);
    let rows = test.vault.store().all_rows().map(|row| row.unwrap().0);
    assert_eq!(rows.filter(|name| theirs.has(name)).count(), 0);
    bring_back(&test.unlock("alice", &rig.alice), tasks);
    assert_eq!(test.vault.verify_audit().unwrap().findings, []);
    let test = test.restart();
    let alice = test.unlock("alice", &rig.alice);
    assert_eq!(find(&alice, "gone").unwrap(), "deleted");
}

#[test]
fn one_account_is_put_back_with_its_trash() {
    let rig = Rig::new(TestVault::new());
    let alice = rig.alice();
    let tasks = with_trash(&alice);
    rig.take();
    // Since then all of it went, and something else into the trash.
    alice.purge_collection(tasks).unwrap();
    let id = calendar(&alice).id;
    alice.purge_histories(id, &AtomicU64::new(0)).unwrap();
    put(&alice, &["later"], "x");
    delete(&alice, "later");
    drop(alice);
    let (from, host) = (rig.to("one"), rig.host());
    let ambient = Arc::new(Ambient::system());
    let data = rig.data().to_owned();
    let Rig {
        test,
        alice,
        places: _places,
    } = rig;
    let test = test.restart_after(|| {
        restore_user(&from, &Which::Newest, &data, "alice", &host, &ambient).unwrap();
    });
    bring_back(&test.unlock("alice", &alice), tasks);
    assert_eq!(test.vault.verify_audit().unwrap().findings, []);
}

#[test]
fn a_list_of_erased_accounts_counts_under_a_trusted_key_only() {
    let rig = Rig::new(TestVault::new());
    put(&rig.alice(), &["a"], "alice's");
    rig.take();
    let id = rig.test.vault.account_named("alice").unwrap().id;
    let foreign = HostKey::generate(&mut crate::ambient::OsRandom).signer();
    let list = Erased {
        accounts: [(id, UnixMillis(1))].into(),
    };
    let file = rig.place("one").join("erased");
    fs::write(&file, list.text(&foreign)).unwrap();
    let name = Fingerprint(foreign.public()).to_string();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("new");
    let from = rig.to("one");
    let go = |means| restore(&from, &Which::Newest, &target, means, &mut |_, _| {});
    let refused = go(rig.means(rig.data())).unwrap_err();
    assert!(matches!(refused, BackupError::ErasedBy(..)));
    assert!(refused.to_string().contains(&name), "{refused}");
    assert!(!target.exists(), "a restore that was refused began");
    // A backup there would sign it anew, as its own word.
    let backups = rig.backups(&["one"], ALL);
    let refused = backups.run(&[]).pop().unwrap().1;
    assert!(matches!(refused, Err(BackupError::ErasedBy(..))));
    backups.share_erased();
    assert_eq!(fs::read_to_string(&file).unwrap(), list.text(&foreign));
    let found = verify(&rig.to("one"), None).unwrap();
    assert_eq!(found.erased_signer, Some(foreign.public()));
    assert_eq!(found.signers, [rig.host().signer().public()]);
    // One whose key the operator names counts.
    let mut means = rig.means(rig.data());
    means.trusted = vec![foreign.public()];
    assert_eq!(go(means).unwrap().erased, 1);
    // A list from before a rotation of the key says nothing new, and is signed anew.
    fs::write(&file, Erased::default().text(&foreign)).unwrap();
    rig.take();
    let found = verify(&rig.to("one"), None).unwrap();
    assert_eq!(found.erased_signer, Some(rig.host().signer().public()));
}

/// Gives an account another key, held by this secret alone.
fn change_key(test: &TestVault, name: &str, secret: &Generated) {
    let vault = &test.vault;
    let id = vault.account_named(name).unwrap().id;
    let (host, ambient) = (vault.host(), vault.ambient());
    let file = vault.key_file(id).unwrap();
    let slot = Slot::find(&file.slots, secret).unwrap();
    let content = slot.open_generated(id, secret, host).ok().unwrap();
    let SlotKey::Whole(old) = content.key else {
        panic!("a limited slot");
    };
    let changed = vault.change_account_key(id, &old, |key, slots| {
        let slot = Slot::find(slots, secret).unwrap().clone();
        let (whole, public) = (ToWrap::Whole(key), secret.pair().public());
        let slot = slot.rewrapped(id, whole, Terms::default(), &public, host, ambient);
        Ok::<_, CreateError>(vec![slot])
    });
    changed.ok().unwrap();
}

#[test]
fn key_files_of_another_account_key_are_noticed() {
    let rig = Rig::new(TestVault::new());
    let bob = rig.test.add("bob");
    put(&rig.alice(), &["a"], "before");
    let backups = rig.backups(&["one"], ALL);
    backups.run(&[]);
    let before = backups.back_up_keys(None).unwrap().destination;
    change_key(&rig.test, "alice", &rig.alice);
    let after = backups.back_up_keys(None).unwrap().destination;
    let newer = rig.take().id;
    let older = {
        let (ids, _) = rig.to("one").backups().unwrap();
        ids.into_iter().find(|id| *id != newer).unwrap()
    };
    let other = |id: &BackupId, keys: &Path| {
        let (test, restored) = rig.restore(&Which::Id(id.clone()), keys);
        assert!(test.try_unlock("bob", &bob).is_ok());
        let opens = test.try_unlock("alice", &rig.alice).is_ok();
        assert_eq!(opens, restored.other_keys.is_empty(), "it is told wrongly");
        restored.other_keys
    };
    assert_eq!(other(&older, &before), [""; 0]);
    assert_eq!(other(&older, &after), ["alice"]);
    assert_eq!(other(&older, rig.data()), ["alice"]);
    assert_eq!(other(&newer, &before), ["alice"]);
    assert_eq!(other(&newer, &after), [""; 0]);
}

#[test]
fn a_restored_directory_gets_its_files_before_it_can_be_started() {
    let rig = Rig::new(TestVault::new());
    rig.take();
    let directory = tempfile::tempdir().unwrap();
    let mut means = rig.means(rig.data());
    // It cannot be written, as on a disk that fills up: then nothing may start there.
    means.beside = vec![("no/such", b"key".to_vec())];
    let from = rig.to("one");
    let failed = restore(
        &from,
        &Which::Newest,
        directory.path(),
        means,
        &mut |_, _| {},
    );
    assert!(matches!(failed, Err(BackupError::Target(..))));
    assert!(directory.path().join(MARKER).exists());
    let again = tempfile::tempdir().unwrap();
    let mut means = rig.means(rig.data());
    means.beside = vec![("host.key", b"key".to_vec())];
    restore(&from, &Which::Newest, again.path(), means, &mut |_, _| {}).unwrap();
    assert_eq!(fs::read(again.path().join("host.key")).unwrap(), b"key");
    assert!(!again.path().join(MARKER).exists());
}
