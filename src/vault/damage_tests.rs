//! Damage below the seal: bytes flipped, rows exchanged, lost, put back from an older state
//! (HARDENING H30, H32). It must be noticed and named, never be served as data, and what is not
//! damaged must be served as before.

use std::collections::BTreeMap;

use super::testing::TestVault;
use super::tests::{calendar, event, plain, property, put, segment};
use super::*;
use crate::seal::{Generated, Kind, RowName, RowPrefix, Sealed};
use crate::store::Batch;

const KINDS: [Kind; 7] = [
    Kind::Summary,
    Kind::Body,
    Kind::ObjectProperties,
    Kind::Head,
    Kind::CollectionProperties,
    Kind::Link,
    Kind::Lock,
];
const DAMAGED: &str = "damaged";

/// A small store with something of every kind of row, and what opens it.
pub(super) struct Scene {
    pub vault: TestVault,
    pub secrets: Vec<(&'static str, Generated)>,
    /// The sync-tokens of each account's calendar before anything happened.
    tokens: Vec<String>,
}

pub(super) type World = BTreeMap<String, String>;
pub(super) type Rows = BTreeMap<RowName, Vec<u8>>;

impl Scene {
    pub fn new() -> Self {
        let vault = TestVault::new();
        // So that every row is of something that is seen; `history_tests` damages the others.
        vault.vault.retain(Retention::NOTHING);
        let mut scene = Scene {
            secrets: vec![("alice", vault.add("alice")), ("bob", vault.add("bob"))],
            tokens: Vec::new(),
            vault,
        };
        for (name, secret) in &scene.secrets {
            let account = scene.vault.unlock(name, secret);
            let id = calendar(&account);
            scene
                .tokens
                .push(account.token(&account.collection(id).unwrap()));
            for object in ["a", "b", "c"] {
                put(
                    &account,
                    event(id, object, object, &format!("{name}'s {object}")),
                );
            }
            let a = account.object(id, &segment("a")).unwrap().unwrap();
            account
                .write(|tx| tx.set_object_properties(id, &a, property("<x/>")))
                .unwrap();
            let c = account.object(id, &segment("c")).unwrap().unwrap();
            account.write(|tx| tx.delete_object(id, &c)).unwrap();
            let files = plain(&account, account.home().id, "files");
            account
                .write(|tx| tx.set_collection_properties(files, property("<y/>")))
                .unwrap();
            account
                .write(|tx| {
                    tx.add_lock(Lock {
                        token: format!("urn:{name}"),
                        root: vec![segment("files")],
                        depth: LockDepth::Infinity,
                        scope: LockScope::Shared,
                        owner: String::new(),
                        expires: crate::ambient::UnixMillis(i64::MAX),
                    })
                })
                .map_err(|error: VaultError| error)
                .unwrap();
            account.barrier().wait().unwrap();
        }
        scene
    }

    /// Everything that both users can see, each account unlocked anew.
    pub fn world(&self) -> World {
        let mut world = World::new();
        for ((name, secret), token) in self.secrets.iter().zip(&self.tokens) {
            match self.vault.try_unlock(name, secret) {
                Ok(account) => see(&account, name, token, &mut world),
                Err(VaultError::Damaged(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        world
    }

    /// The rows of a kind in both accounts, as they are stored.
    fn rows(&self, kind: Kind) -> Rows {
        let mut rows = Rows::new();
        let vault = &self.vault.vault;
        for (name, secret) in &self.secrets {
            let account = self.vault.unlock(name, secret);
            let tree = account.inner.tree.read();
            let states = tree.entries.values();
            let mut prefixes: Vec<_> = states.map(|entry| entry.state.names.prefix(kind)).collect();
            prefixes.push(account.inner.keys().unwrap().names.prefix(kind));
            for prefix in prefixes {
                rows.extend(scan(vault, &prefix));
            }
        }
        rows
    }

    /// Writes rows as they are, or deletes them.
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

    fn restore(&self, rows: &Rows) {
        self.set(rows.iter().map(|(name, bytes)| (*name, Some(&bytes[..]))));
    }
}

pub(super) fn scan(vault: &Vault, prefix: &RowPrefix) -> Rows {
    vault
        .store
        .scan(prefix)
        .map(Result::unwrap)
        .map(|(name, stored)| (name, stored.bytes().to_vec()))
        .collect()
}

/// What one account shows: by listing, sync and by asking for each object.
fn see(account: &AccountStore, name: &str, token: &str, world: &mut World) {
    let home = account.home();
    let mut waiting = vec![(home.id, name.to_owned())];
    while let Some((id, path)) = waiting.pop() {
        let collection = account.collection(id).unwrap();
        world.insert(format!("{path}/"), format!("{:?}", collection.kind));
        for (name, value) in collection.properties.iter() {
            world.insert(format!("{path}/ {name:?}"), value.clone());
        }
        if account.inner.tree.read().incomplete.contains(&id) {
            world.insert(format!("{path}/ collections"), DAMAGED.into());
        }
        for child in account.collections(id) {
            let segment = child.segment.clone().unwrap();
            waiting.push((child.id, format!("{path}/{}", segment.as_str())));
        }
        let members = match account.members(id) {
            Ok(members) => members,
            Err(VaultError::Damaged(_)) => {
                world.insert(format!("{path}/ members"), DAMAGED.into());
                continue;
            }
            Err(error) => panic!("{error:?}"),
        };
        for _ in 0..account.damaged(id).unwrap() {
            world.insert(format!("{path}/ rows"), DAMAGED.into());
        }
        for object in members.objects {
            let path = format!("{path}/{}", object.segment.as_str());
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            world.insert(
                format!("{path} body"),
                told(account.body(id, &object).map(text)),
            );
            world.insert(
                format!("{path} properties"),
                told(
                    account
                        .properties(id, &object)
                        .map(|all| format!("{all:?}")),
                ),
            );
            world.insert(format!("{path} etag"), object.etag.to_string());
        }
        if path.ends_with("/calendar") {
            for change in account.changes(id, Some(token), 99).unwrap().changes {
                let (segment, change) = match change {
                    Change::Gone(segment) => (segment, "gone"),
                    Change::Object(object) => (object.segment.clone(), "changed"),
                    Change::Collection(collection) => panic!("{collection:?}"),
                };
                world.insert(format!("{path}/{} sync", segment.as_str()), change.into());
            }
        }
    }
    for lock in account.locks() {
        world.insert(
            lock.token.clone(),
            format!("{:?} {:?}", lock.root, lock.expires),
        );
    }
}

fn told(found: Result<String, VaultError>) -> String {
    match found {
        Ok(text) => text,
        Err(VaultError::Damaged(_)) => DAMAGED.into(),
        Err(error) => format!("{error:?}"),
    }
}

/// What differs from what it should be. Whatever is there and not as it should be must say so.
fn noticed(pristine: &World, now: &World) -> Vec<String> {
    let mut noticed = Vec::new();
    for (what, value) in now {
        if pristine.get(what) != Some(value) {
            assert_eq!(value, DAMAGED, "wrong data served: {what}");
            noticed.push(what.clone());
        }
    }
    let missing = pristine.keys().filter(|what| !now.contains_key(*what));
    noticed.extend(missing.map(|what| format!("-{what}")));
    noticed
}

fn flip(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = at % bytes.len();
    bytes[at] ^= 1 << (at % 8);
    bytes
}

#[test]
fn every_flipped_byte_is_noticed_and_nothing_wrong_is_served() {
    let scene = Scene::new();
    let pristine = scene.world();
    for kind in KINDS {
        let rows = scene.rows(kind);
        assert!(rows.len() >= 2, "{kind:?}");
        let length = rows.values().map(Vec::len).max().unwrap();
        // What is noticed when all rows of this kind are damaged does not depend on the byte.
        let mut before: Option<Vec<String>> = None;
        for at in 0..length {
            let flipped: Rows = rows
                .iter()
                .map(|(name, bytes)| (*name, flip(bytes, at)))
                .collect();
            scene.restore(&flipped);
            let noticed = noticed(&pristine, &scene.world());
            assert!(!noticed.is_empty(), "{kind:?} byte {at}");
            if let Some(before) = &before {
                assert_eq!(*before, noticed, "{kind:?} byte {at}");
            }
            before = Some(noticed);
        }
        scene.restore(&rows);
        assert_eq!(scene.world(), pristine, "{kind:?} was put back");
    }
}

#[test]
fn one_damaged_row_harms_only_what_it_holds() {
    let scene = Scene::new();
    let pristine = scene.world();
    for kind in KINDS {
        let mut all = Vec::new();
        for (name, bytes) in scene.rows(kind) {
            scene.set([(name, Some(&flip(&bytes, bytes.len() / 2)[..]))]);
            let noticed = noticed(&pristine, &scene.world());
            scene.set([(name, Some(&bytes[..]))]);
            let alices = noticed.iter().any(|what| what.contains("alice"));
            let bobs = noticed.iter().any(|what| what.contains("bob"));
            assert!(alices != bobs, "{kind:?}: {noticed:?}");
            all.push(noticed);
        }
        all.sort();
        let one = |what: &str| {
            let of = |who: &str| vec![what.replace('*', who)];
            assert_eq!(all, [of("alice"), of("bob")], "{kind:?}");
        };
        match kind {
            Kind::Body => {
                let names: Vec<_> = all.concat();
                let wanted = [
                    "alice/calendar/a body",
                    "alice/calendar/b body",
                    "bob/calendar/a body",
                    "bob/calendar/b body",
                ];
                assert_eq!(names, wanted);
            }
            Kind::ObjectProperties => one("*/calendar/a properties"),
            Kind::Lock => one("-urn:*"),
            Kind::Summary => assert!(
                all.iter().all(|noticed| noticed
                    .iter()
                    .any(|what| what.ends_with("/calendar/ rows"))
                    && noticed.len() <= 5),
                "{all:?}"
            ),
            Kind::CollectionProperties => {
                assert_eq!(all.len(), 6);
                assert!(all.iter().all(|noticed| noticed.len() == 1), "{all:?}");
            }
            // A home takes all of its account with it, another collection only itself.
            _ => assert_eq!(all.len(), 8, "{kind:?}"),
        }
    }
}

#[test]
fn exchanged_rows_are_noticed() {
    let scene = Scene::new();
    let pristine = scene.world();
    let rows: Vec<_> = KINDS.iter().flat_map(|kind| scene.rows(*kind)).collect();
    for (number, (first, its)) in rows.iter().enumerate() {
        for (second, others) in &rows[number + 1..] {
            scene.set([(*first, Some(&others[..])), (*second, Some(&its[..]))]);
            let noticed = noticed(&pristine, &scene.world());
            assert!(!noticed.is_empty(), "{first:?} and {second:?}");
            scene.set([(*first, Some(&its[..])), (*second, Some(&others[..]))]);
        }
    }
    assert_eq!(scene.world(), pristine);
}

#[test]
fn a_lost_row_is_noticed() {
    let scene = Scene::new();
    let pristine = scene.world();
    // Dropping a lock is how it is removed.
    for kind in &KINDS[..6] {
        for (name, bytes) in scene.rows(*kind) {
            scene.set([(name, None)]);
            let noticed = noticed(&pristine, &scene.world());
            assert!(!noticed.is_empty(), "{kind:?}");
            scene.set([(name, Some(&bytes[..]))]);
        }
    }
    assert_eq!(scene.world(), pristine);
}

/// Changes everything that can be changed.
fn live_on(scene: &Scene) {
    for (name, secret) in &scene.secrets {
        let account = scene.vault.unlock(name, secret);
        let id = calendar(&account);
        for object in ["a", "b", "d"] {
            put(
                &account,
                event(id, object, object, &format!("{name}'s new {object}")),
            );
        }
        let a = account.object(id, &segment("a")).unwrap().unwrap();
        account
            .write(|tx| tx.set_object_properties(id, &a, property("<new/>")))
            .unwrap();
        for collection in account.collections(account.home().id) {
            account
                .write(|tx| tx.set_collection_properties(collection.id, property("<new/>")))
                .unwrap();
        }
        account.barrier().wait().unwrap();
    }
}

/// Not noticed, since nothing else vouches for them: an old lock, and the head of a collection of
/// which only the properties have changed from none to some.
#[test]
fn an_old_row_put_back_is_noticed() {
    let scene = Scene::new();
    let kinds = [
        Kind::Summary,
        Kind::Head,
        Kind::Body,
        Kind::ObjectProperties,
        Kind::CollectionProperties,
        Kind::Link,
    ];
    let old = kinds.map(|kind| scene.rows(kind));
    live_on(&scene);
    let pristine = scene.world();
    for (kind, old) in kinds.into_iter().zip(old) {
        let new = scene.rows(kind);
        let mut put_back = 0;
        for (name, bytes) in old
            .iter()
            .filter(|(name, bytes)| new.get(name) != Some(bytes))
        {
            if let Some(now) = new.get(name) {
                // In place of its successor.
                scene.set([(*name, Some(&bytes[..]))]);
                assert!(!noticed(&pristine, &scene.world()).is_empty(), "{kind:?}");
                scene.set([(*name, Some(&now[..]))]);
            } else {
                // Its successor has another name: back under its own it is not looked at, and
                // under the successors' it does not open.
                scene.set([(*name, Some(&bytes[..]))]);
                assert_eq!(scene.world(), pristine, "{kind:?}");
                scene.set([(*name, None)]);
                for (name, now) in &new {
                    scene.set([(*name, Some(&bytes[..]))]);
                    assert!(!noticed(&pristine, &scene.world()).is_empty(), "{kind:?}");
                    scene.set([(*name, Some(&now[..]))]);
                }
            }
            put_back += 1;
        }
        assert!(put_back >= 2, "{kind:?}: {put_back}");
    }
    assert_eq!(scene.world(), pristine);
}

#[test]
fn damaged_rows_of_the_host_are_noticed() {
    let scene = Scene::new();
    let vault = &scene.vault.vault;
    let rows = |kind| scan(vault, &vault.host_names.prefix(kind));
    let (check, directory, roster) = (
        rows(Kind::HostCheck),
        rows(Kind::Directory),
        rows(Kind::Roster),
    );
    assert_eq!((check.len(), directory.len(), roster.len()), (1, 2, 10));
    let each_byte = |rows: &Rows, see: &dyn Fn()| {
        for (name, bytes) in rows {
            for at in 0..bytes.len() {
                scene.set([(*name, Some(&flip(bytes, at)[..]))]);
                see();
            }
            scene.set([(*name, Some(&bytes[..]))]);
        }
    };
    each_byte(&check, &|| {
        assert!(matches!(
            host_check::names(&vault.store, &vault.host, &vault.ambient),
            Err(VaultOpenError::WrongHostKey)
        ));
    });
    each_byte(&directory, &|| {
        vault.accounts.write().clear();
        vault.load_directory().unwrap();
        assert_eq!(vault.accounts().len(), 1, "the other can still sign in");
    });
    each_byte(&roster, &|| assert_eq!(vault.roster().unwrap().len(), 9));
    host_check::names(&vault.store, &vault.host, &vault.ambient).unwrap();
    vault.load_directory().unwrap();
    assert_eq!(
        (vault.accounts().len(), vault.roster().unwrap().len()),
        (2, 10)
    );
}

#[test]
fn one_damaged_row_among_a_thousand() {
    const OBJECTS: usize = 1_000;
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    let id = calendar(&account);
    for number in 0..OBJECTS {
        let name = format!("{number:04}");
        put(
            &account,
            event(id, &name, &name, &format!("body of {name}")),
        );
    }
    account.barrier().wait().unwrap();
    let names = |kind| account.state(id).unwrap().names.prefix(kind);
    let (summaries, bodies) = (
        scan(&vault.vault, &names(Kind::Summary)),
        scan(&vault.vault, &names(Kind::Body)),
    );
    assert_eq!((summaries.len(), bodies.len()), (OBJECTS, OBJECTS));
    drop(account);
    // By listing, by sync from nothing, and each asked for by its name: how many are served whole.
    let served = |rows: &Rows, listed: usize| {
        let (name, bytes) = rows.iter().nth(OBJECTS / 2).unwrap();
        let set = |bytes: Vec<u8>| {
            let mut batch = Batch::new();
            batch.put(*name, Sealed::for_test(bytes));
            vault.vault.store.commit(batch).wait().unwrap();
        };
        set(flip(bytes, 40));
        let account = vault.unlock("alice", &secret);
        assert_eq!(account.members(id).unwrap().objects.len(), listed);
        let changes = account.changes(id, None, usize::MAX).unwrap().changes;
        assert_eq!(changes.len(), listed);
        let mut damaged = account.damaged(id).unwrap();
        let mut whole = 0;
        for number in 0..OBJECTS {
            let name = format!("{number:04}");
            let Some(object) = account.object(id, &segment(&name)).unwrap() else {
                continue;
            };
            match account.body(id, &object) {
                Ok(body) => {
                    assert_eq!(body, format!("body of {name}").as_bytes());
                    whole += 1;
                }
                Err(VaultError::Damaged(_)) => damaged += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!((whole, damaged), (OBJECTS - 1, 1));
        // The calendar still takes changes.
        put(&account, event(id, "new", "new", "new"));
        let new = account.object(id, &segment("new")).unwrap().unwrap();
        account.write(|tx| tx.delete_object(id, &new)).unwrap();
        account.barrier().wait().unwrap();
        set(bytes.clone());
    };
    served(&bodies, OBJECTS);
    served(&summaries, OBJECTS - 1);
    let account = vault.unlock("alice", &secret);
    assert_eq!(account.members(id).unwrap().objects.len(), OBJECTS);
}
