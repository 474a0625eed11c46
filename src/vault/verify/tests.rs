//! Every kind of row is damaged, dropped, exchanged and put back in the store below, and the check
//! names it; on a whole store it names nothing, whatever is written meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use super::table::{By, entry};
use super::*;
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, SlotId};
use crate::seal::{Generated, RowPrefix, Sealed, SlotKey};
use crate::store::Batch;
use crate::vault::audit::ChainRows;
use crate::vault::rotate_tests::change;
use crate::vault::testing::TestVault;
use crate::vault::tests::{calendar, event, names, plain, property, put, segment};
use crate::vault::{
    AccountStore, ClientFamily, DeviceRecord, Lock, LockDepth, LockScope, VaultError,
};

type Rows = BTreeMap<RowName, Vec<u8>>;

/// Three accounts with something of every kind of row.
struct Scene {
    vault: TestVault,
    secrets: Vec<(&'static str, Generated)>,
}

impl Scene {
    fn new() -> Self {
        let vault = TestVault::new();
        let names = ["alice", "bob", "carol"];
        let secrets = names.map(|name| (name, vault.add(name))).into();
        let scene = Scene { vault, secrets };
        for (name, secret) in &scene.secrets {
            fill(&scene.vault.unlock(name, secret), name);
            change(&scene.vault, name, secret);
            scene.vault.add_limited(name, secret, &["calendar"]);
            let id = scene.id(name);
            let device = DeviceRecord {
                slot: SlotId::from_bytes([7; 16]),
                first: UnixMillis(1),
                last: UnixMillis(2),
                families: vec![ClientFamily::Curl],
            };
            let receipt = scene.vault.vault.store_devices(id, &[device], &[]);
            receipt.wait().unwrap();
        }
        while scene.vault.vault.purge_step().unwrap() {}
        scene.vault.vault.mirror_audit().unwrap();
        scene
    }

    fn id(&self, name: &str) -> AccountId {
        self.vault.vault.account_named(name).unwrap().id
    }

    fn key(&self, name: &str) -> (AccountKey, SlotId) {
        let secret = &self.secrets.iter().find(|(own, _)| *own == name).unwrap().1;
        let (content, slot) = self.vault.key(name, secret);
        match content.key {
            SlotKey::Whole(key) => (key, slot),
            SlotKey::Limited(_) => panic!("a limited device"),
        }
    }

    /// What the check tells, of the store and of each account.
    fn events(&self) -> (Vec<VerifyEvent>, VerifyTotals) {
        let vault = &self.vault.vault;
        let mut events = Vec::new();
        let mut totals = vault
            .verify_store(&mut |event| {
                events.push(event);
                Ok(())
            })
            .unwrap();
        for (name, _) in &self.secrets {
            let Some(account) = vault.account_named(name) else {
                continue;
            };
            let key = self.key(name).0;
            let own = vault.verify_account(account.id, &key, &mut |event| {
                events.push(event);
                Ok(())
            });
            let own = own.unwrap();
            totals.objects += own.objects;
            totals.collections += own.collections;
        }
        events.retain(|event| !matches!(event, VerifyEvent::Progress(_)));
        (events, totals)
    }

    fn faults(&self) -> Vec<Fault> {
        let fault = |event| match event {
            VerifyEvent::Fault(fault) => fault,
            other => panic!("{other:?}"),
        };
        self.events().0.into_iter().map(fault).collect()
    }

    /// What the check of the store alone tells.
    fn faults_of_store(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let checked = self.vault.vault.verify_store(&mut |event| {
            if let VerifyEvent::Fault(fault) = event {
                faults.push(fault);
            }
            Ok(())
        });
        assert_eq!(checked.unwrap().faults, faults.len() as u64);
        faults
    }

    fn drop_damaged(&self, name: &str) -> Vec<String> {
        let (key, slot) = self.key(name);
        let mut told = Vec::new();
        let dropped = self
            .vault
            .vault
            .drop_damaged(self.id(name), &key, slot, &mut |event| {
                if let VerifyEvent::Dropped(sentence) = event {
                    told.push(sentence);
                }
                Ok(())
            });
        assert_eq!(dropped.unwrap().dropped, told.len() as u64);
        told
    }

    /// The beginnings of the names of the rows of a kind.
    fn prefixes(&self, kind: Kind) -> Vec<RowPrefix> {
        let vault = &self.vault.vault;
        let mut prefixes = match kind {
            Kind::HostCheck => vec![vault.host.names().prefix(kind)],
            Kind::AuditPage | Kind::AuditRoot => {
                vec![
                    ChainRows::new(AccountId::NONE, &vault.host_names)
                        .names
                        .prefix(kind),
                ]
            }
            _ => vec![vault.host_names.prefix(kind)],
        };
        for (name, secret) in &self.secrets {
            let account = self.vault.unlock(name, secret);
            let rows = ChainRows::new(account.id(), &vault.host_names);
            match kind {
                Kind::Grant => prefixes.push(vault.grant_prefix(account.id())),
                Kind::AuditPage | Kind::AuditRoot | Kind::Device => {
                    prefixes.push(rows.names.prefix(kind));
                }
                _ => {
                    prefixes.push(account.inner.keys().unwrap().names.prefix(kind));
                    let tree = account.inner.tree.read();
                    let states = tree.entries.values().map(|entry| &entry.state);
                    prefixes.extend(states.map(|state| state.names.prefix(kind)));
                }
            }
        }
        prefixes
    }

    fn rows(&self, kind: Kind) -> Rows {
        let prefixes = self.prefixes(kind);
        self.vault.vault.store.barrier().wait().unwrap();
        let rows = prefixes
            .iter()
            .flat_map(|prefix| self.vault.vault.store.scan(prefix).collect::<Vec<_>>())
            .map(Result::unwrap);
        rows.map(|(name, stored)| (name, stored.bytes().to_vec()))
            .collect()
    }

    fn set<'a>(&self, rows: impl IntoIterator<Item = (RowName, Option<&'a [u8]>)>) {
        let mut batch = Batch::new();
        for (name, bytes) in rows {
            match bytes {
                Some(bytes) => batch.put(name, Sealed::for_test(bytes.to_vec())),
                None => batch.delete(name),
            }
        }
        self.vault.vault.store.commit(batch).wait().unwrap();
    }

    /// The check must name the kind, and no word of a user's may be where others read it.
    fn must_name(&self, kind: Kind, doing: &str) -> Vec<Fault> {
        let faults = self.faults();
        let named = name_of(kind);
        assert!(
            faults.iter().any(|fault| fault.kind == named
                || (kind == Kind::Body && fault.kind == name_of(Kind::History))
                // Of what is in the trash or being purged nothing else tells.
                || (kind == Kind::Roster && fault.kind == "orphaned rows")),
            "{kind:?} {doing}: {faults:?}"
        );
        for fault in &faults {
            assert!(
                !fault.means.is_empty() && !fault.advice.is_empty(),
                "{fault:?}"
            );
        }
        faults
    }
}

fn name_of(kind: Kind) -> &'static str {
    match entry(kind).by {
        By::With(other) => entry(other).name,
        _ => entry(kind).name,
    }
}

fn fill(account: &AccountStore, name: &str) {
    let id = calendar(account);
    for object in ["a", "b", "c"] {
        put(
            account,
            event(id, object, object, &format!("{name}'s {object}")),
        );
    }
    let a = account.object(id, &segment("a")).unwrap().unwrap();
    let set = account.write(|tx| tx.set_object_properties(id, &a, property("<x/>")));
    set.unwrap();
    let c = account.object(id, &segment("c")).unwrap().unwrap();
    account.write(|tx| tx.delete_object(id, &c)).unwrap();
    let files = plain(account, account.home().id, "files");
    plain(account, files, "inner");
    let gone = plain(account, account.home().id, "gone");
    account.write(|tx| tx.delete_collection(gone)).unwrap();
    let set = account.write(|tx| tx.set_collection_properties(files, property("<y/>")));
    set.unwrap();
    let locked = account.write(|tx| tx.add_lock(lock(name)));
    locked.map_err(|error: VaultError| error).unwrap();
    account.barrier().wait().unwrap();
}

fn lock(name: &str) -> Lock {
    Lock {
        token: format!("urn:{name}"),
        root: vec![segment("files")],
        depth: LockDepth::Infinity,
        scope: LockScope::Shared,
        owner: String::new(),
        expires: UnixMillis(i64::MAX),
    }
}

/// The kinds that stand in rows of their own.
const KINDS: [Kind; 18] = [
    Kind::HostCheck,
    Kind::Directory,
    Kind::Roster,
    Kind::Grant,
    Kind::AuditRoot,
    Kind::AuditPage,
    Kind::Device,
    Kind::Link,
    Kind::Head,
    Kind::Lock,
    Kind::Grants,
    Kind::FormerKeys,
    Kind::TrashedLink,
    Kind::CollectionProperties,
    Kind::Summary,
    Kind::History,
    Kind::Body,
    Kind::ObjectProperties,
];

fn flip(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = at % bytes.len();
    bytes[at] ^= 1 << (at % 8);
    bytes
}

#[test]
fn every_kind_is_on_the_list() {
    let source = include_str!("../../seal/row.rs");
    let variants = source.split("pub enum Kind {").nth(1).unwrap();
    let variants = variants.split("\n}").next().unwrap();
    let variants: Vec<_> = variants
        .lines()
        .filter_map(|line| line.trim().split_once(" = ").map(|(name, _)| name))
        .collect();
    assert!(variants.len() >= 19, "{variants:?}");
    for name in variants {
        let listed = Kind::ALL.iter().any(|kind| format!("{kind:?}") == name);
        assert!(listed, "Kind::ALL lacks {name}");
    }
    let mut apart = [
        Kind::Slot,
        Kind::SlotAbout,
        Kind::AuditKey,
        Kind::AuditEntries,
    ]
    .iter();
    let tried = |kind: &Kind| KINDS.contains(kind) || apart.any(|other| other == kind);
    assert!(Kind::ALL.iter().all(tried), "a kind is damaged nowhere");
}

#[test]
fn of_a_whole_store_nothing_is_told() {
    let scene = Scene::new();
    let (events, totals) = scene.events();
    assert_eq!(events, []);
    assert_eq!((totals.accounts, totals.objects), (3, 6));
    assert_eq!(totals.collections, 3 * 5);
    assert!(totals.rows > 60 && totals.bytes > 60 * 100, "{totals:?}");
    // The same once more, after a start.
    let Scene { vault, secrets } = scene;
    let vault = vault.restart();
    vault.vault.flush_audit().unwrap();
    assert_eq!(Scene { vault, secrets }.events().0, []);
}

#[test]
fn a_flipped_byte_is_named() {
    let scene = Scene::new();
    for kind in KINDS {
        let rows = scene.rows(kind);
        assert!(!rows.is_empty(), "{kind:?}");
        // In each part of a row: version, nonce, commitment, content, tag.
        for (number, (name, bytes)) in rows.into_iter().enumerate() {
            let parts = [0, 7, 30, 41, bytes.len() / 2, bytes.len() - 1];
            for at in [parts[number % 6], parts[(number + 3) % 6]] {
                scene.set([(name, Some(&flip(&bytes, at)[..]))]);
                let faults = scene.must_name(kind, &format!("byte {at}"));
                let row = |fault: &Fault| fault.row == Some(name.short());
                let known = [
                    Kind::Body,
                    Kind::ObjectProperties,
                    Kind::CollectionProperties,
                ];
                let whole = matches!(kind, Kind::HostCheck | Kind::AuditRoot | Kind::AuditPage);
                assert!(
                    whole || known.contains(&kind) || faults.iter().any(row),
                    "{kind:?} {faults:?}"
                );
            }
            scene.set([(name, Some(&bytes[..]))]);
        }
    }
    assert_eq!(scene.events().0, []);
}

#[test]
fn a_lost_row_is_named() {
    let scene = Scene::new();
    for kind in KINDS {
        // To drop a lock is to unlock; what is lost of a device is written anew; keys of before
        // are missed when a page that they open is there.
        // Of histories nothing else tells.
        let untold = [Kind::FormerKeys, Kind::History, Kind::TrashedLink];
        if matches!(kind, Kind::Lock | Kind::Device) || untold.contains(&kind) {
            continue;
        }
        for (name, bytes) in scene.rows(kind) {
            scene.set([(name, None)]);
            scene.must_name(kind, "lost");
            scene.set([(name, Some(&bytes[..]))]);
        }
    }
    assert_eq!(scene.events().0, []);
}

#[test]
fn exchanged_rows_are_named() {
    let scene = Scene::new();
    for kind in KINDS {
        let rows: Vec<_> = scene.rows(kind).into_iter().collect();
        for pair in rows.windows(2) {
            let [(first, its), (second, others)] = pair else {
                panic!("two rows");
            };
            scene.set([(*first, Some(&others[..])), (*second, Some(&its[..]))]);
            scene.must_name(kind, "exchanged");
            scene.set([(*first, Some(&its[..])), (*second, Some(&others[..]))]);
        }
    }
    assert_eq!(scene.events().0, []);
}

/// Not named: a lock, a label of a calendar granted, a place on the roster or a device that was as
/// it was put back, since nothing else vouches for them.
#[test]
fn an_old_row_put_back_is_named() {
    let scene = Scene::new();
    let kinds = [
        Kind::Link,
        Kind::Head,
        Kind::Grants,
        Kind::AuditPage,
        Kind::CollectionProperties,
        Kind::Summary,
        Kind::ObjectProperties,
    ];
    let old = kinds.map(|kind| scene.rows(kind));
    for (name, secret) in &scene.secrets {
        let account = scene.vault.unlock(name, secret);
        let id = calendar(&account);
        for object in ["a", "b", "d"] {
            put(
                &account,
                event(id, object, object, &format!("new {object}")),
            );
        }
        let a = account.object(id, &segment("a")).unwrap().unwrap();
        let set = account.write(|tx| tx.set_object_properties(id, &a, property("<new/>")));
        set.unwrap();
        for collection in account.collections(account.home().id) {
            let set =
                account.write(|tx| tx.set_collection_properties(collection.id, property("<n/>")));
            set.unwrap();
        }
        drop(account);
        scene.vault.add_limited(name, secret, &["calendar"]);
    }
    assert_eq!(scene.events().0, []);
    for (kind, old) in kinds.into_iter().zip(old) {
        let new = scene.rows(kind);
        let mut put_back = 0;
        for (name, bytes) in old.iter().filter(|(name, old)| new.get(name) != Some(old)) {
            scene.set([(*name, Some(&bytes[..]))]);
            let faults = scene.faults();
            let named = |fault: &Fault| {
                // A summary put back leaves its object without its body.
                fault.kind == name_of(kind)
                    || (kind == Kind::Head && fault.kind == name_of(Kind::Summary))
                    || (kind == Kind::Link && fault.kind == name_of(Kind::Head))
            };
            assert!(faults.iter().any(named), "{kind:?}: {faults:?}");
            scene.set([(*name, new.get(name).map(|bytes| &bytes[..]))]);
            put_back += 1;
        }
        assert!(put_back >= 3, "{kind:?}: {put_back}");
    }
    assert_eq!(scene.events().0, []);
}

#[test]
fn key_files_are_checked() {
    let scene = Scene::new();
    let directory = scene.vault.directory.path().join("keys");
    let file = |name| directory.join(format!("{}.keys", scene.id(name)));
    let (alice, bob) = (file("alice"), file("bob"));
    let (its, others) = (fs::read(&alice).unwrap(), fs::read(&bob).unwrap());
    let named = |what: &str| {
        let faults = scene.faults_of_store();
        let told = |fault: &Fault| fault.account.is_some() && fault.kind == name_of(Kind::Slot);
        assert!(faults.iter().any(told), "{what}: {faults:?}");
    };
    for at in (0..its.len()).step_by(3) {
        fs::write(&alice, flip(&its, at)).unwrap();
        named("flipped");
    }
    fs::write(&alice, &others).unwrap();
    named("of another account");
    fs::remove_file(&alice).unwrap();
    named("lost");
    fs::write(&alice, &its).unwrap();
    assert_eq!(scene.events().0, []);
    scene.vault.add_limited("alice", &scene.secrets[0].1, &[]);
    let now = fs::read(&alice).unwrap();
    fs::write(&alice, &its).unwrap();
    named("put back");
    fs::write(&alice, now).unwrap();
    let stray = directory.join(format!("{}.keys", AccountId::from_bytes([9; 16])));
    fs::write(&stray, &its).unwrap();
    named("of no account");
    fs::remove_file(&stray).unwrap();
    assert_eq!(scene.events().0, []);
}

#[test]
fn rows_of_nobody_and_a_witness_that_leads_are_named() {
    let scene = Scene::new();
    let row = RowName::for_test([3; 36]);
    scene.set([(row, Some(&[1; 100][..]))]);
    let kinds = |scene: &Scene| -> Vec<String> {
        scene.faults().into_iter().map(|fault| fault.kind).collect()
    };
    assert_eq!(kinds(&scene), ["orphaned rows"]);
    scene.set([(row, None)]);
    let witness = scene.vault.directory.path().join("db/witness");
    let kept = fs::read(&witness).unwrap();
    let held = kept
        .chunks(16)
        .map(|slot| u64::from_le_bytes(slot[..8].try_into().unwrap()));
    let leads = held.max().unwrap() + 1;
    let ahead = [leads.to_le_bytes(), (!leads).to_le_bytes()].concat();
    fs::write(&witness, ahead).unwrap();
    assert_eq!(kinds(&scene), ["witness"]);
    fs::write(&witness, kept).unwrap();
    assert_eq!(scene.events().0, []);
}

/// A row of a kind of alice's, by its place among them.
fn one_of(scene: &Scene, kind: Kind, number: usize) -> (RowName, Vec<u8>) {
    let account = scene.vault.unlock("alice", &scene.secrets[0].1);
    let state = account.state(calendar(&account)).unwrap();
    let home = account.inner.home_state();
    let prefix = match kind {
        Kind::Grants => account.inner.keys().unwrap().names.prefix(kind),
        Kind::Grant => scene.vault.vault.grant_prefix(account.id()),
        Kind::Lock => home.names.prefix(kind),
        _ => state.names.prefix(kind),
    };
    account.barrier().wait().unwrap();
    let row = scene.vault.vault.store.scan(&prefix).nth(number);
    let (name, stored) = row.unwrap().unwrap();
    (name, stored.bytes().to_vec())
}

#[test]
fn what_is_damaged_is_dropped_and_the_rest_is_served() {
    for kind in [
        Kind::Summary,
        Kind::Body,
        Kind::ObjectProperties,
        Kind::CollectionProperties,
        Kind::Lock,
        Kind::Grant,
        Kind::Grants,
    ] {
        let scene = Scene::new();
        let (name, bytes) = one_of(&scene, kind, 0);
        scene.set([(name, Some(&flip(&bytes, 40)[..]))]);
        scene.must_name(kind, "damaged");
        let told = scene.drop_damaged("alice");
        assert!(!told.is_empty(), "{kind:?}");
        assert_eq!(scene.events().0, [], "{kind:?}: {told:?}");
        assert_eq!(scene.drop_damaged("alice"), Vec::<String>::new());
        let account = scene.vault.unlock("alice", &scene.secrets[0].1);
        let id = calendar(&account);
        let left = names(&account, id);
        let expected = match kind {
            Kind::Summary | Kind::Body => 1..=2,
            _ => 2..=2,
        };
        assert!(expected.contains(&left.len()), "{kind:?}: {left:?}");
        for object in left {
            let object = account.object(id, &segment(&object)).unwrap().unwrap();
            let body = account.body(id, &object).unwrap();
            assert_eq!(
                body,
                format!("alice's {}", object.segment.as_str()).as_bytes()
            );
            account.properties(id, &object).unwrap();
        }
        // And what is gone may be put again.
        for object in ["a", "b", "c"] {
            put(&account, event(id, object, object, "again"));
        }
        drop(account);
        assert_eq!(scene.events().0, [], "{kind:?}");
        assert_eq!(scene.drop_damaged("bob"), Vec::<String>::new());
    }
}

#[test]
fn a_collection_whose_rows_do_not_add_up_is_served_again() {
    let scene = Scene::new();
    let (name, _) = one_of(&scene, Kind::Summary, 0);
    scene.set([(name, None)]);
    let account = scene.vault.unlock("alice", &scene.secrets[0].1);
    let id = calendar(&account);
    assert!(matches!(account.members(id), Err(VaultError::Damaged(_))));
    scene.drop_damaged("alice");
    assert!(!account.is_open(), "whoever had it open signs in again");
    drop(account);
    assert_eq!(scene.events().0, []);
    let account = scene.vault.unlock("alice", &scene.secrets[0].1);
    account.members(id).unwrap();
    let trail = scene.key("alice").0.pair();
    drop(account);
    let lines = scene
        .vault
        .vault
        .audit_of(scene.id("alice"), &[trail], UnixMillis(0), 99);
    let told = |line: &crate::vault::AuditLine| {
        line.action == crate::vault::Action::Delete && line.collection == Some(id)
    };
    assert!(
        lines.unwrap().lines.iter().any(told),
        "the trail tells of it"
    );
}

#[test]
fn nothing_is_told_of_what_changes_while_it_is_checked() {
    let scene = Scene::new();
    let account = scene.vault.unlock("alice", &scene.secrets[0].1);
    let id = calendar(&account);
    let stop = AtomicBool::new(false);
    let changed = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&account, id, &stop));
        for _ in 0..10 {
            let (events, _) = scene.events();
            let fault = |event: &&VerifyEvent| matches!(event, VerifyEvent::Fault(_));
            assert_eq!(events.iter().find(fault), None);
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(changed > 20, "{changed}");
    drop(account);
    assert_eq!(scene.events().0, []);
}

/// Changes all sorts of things; gives how many.
fn write_until(account: &AccountStore, id: CollectionId, stop: &AtomicBool) -> usize {
    let mut changes = 0;
    while !stop.load(Ordering::Relaxed) {
        let name = format!("n{}", changes % 7);
        let object = put(
            account,
            event(id, &name, &name, &"x".repeat(changes % 3 * 70_000)),
        );
        let set = account.write(|tx| tx.set_object_properties(id, &object, property("<z/>")));
        set.unwrap();
        let set = account.write(|tx| tx.set_collection_properties(id, property("<z/>")));
        set.unwrap();
        if changes % 3 == 0 {
            let now = account.object(id, &segment(&name)).unwrap().unwrap();
            account.write(|tx| tx.delete_object(id, &now)).unwrap();
            let made = plain(account, account.home().id, "made");
            account.write(|tx| tx.delete_collection(made)).unwrap();
            while account.inner.vault.purge_step().unwrap() {}
        }
        changes += 1;
        // As fast as a busy app, not as fast as the machine.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    changes
}

#[test]
fn a_listener_that_stops_ends_the_check() {
    let scene = Scene::new();
    let (name, _) = one_of(&scene, Kind::Body, 0);
    scene.set([(name, None)]);
    let key = scene.key("alice").0;
    let vault = &scene.vault.vault;
    let ended = vault.verify_account(scene.id("alice"), &key, &mut |_| Err(Stopped));
    assert_eq!(ended, Err(VerifyError::Stopped));
}
