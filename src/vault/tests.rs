//! Tests of the vault over a real store.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::testing::{TestVault, account};
use super::*;
use crate::ical::overlap::TimeRange;
use crate::ical::{ComponentKind, Extent};
use crate::ids::{CollectionId, Segment};
use crate::seal::Kind;
use crate::store::Batch;
use crate::xml::{self, Name};

pub(super) fn segment(name: &str) -> Segment {
    Segment::parse(name).unwrap()
}

pub(super) fn event(parent: CollectionId, name: &str, uid: &str, body: &str) -> NewObject {
    let extent = Extent {
        first: 0,
        last: 10,
        ..Extent::NEVER
    };
    NewObject {
        parent,
        segment: segment(name),
        body: body.into(),
        content_type: "text/calendar".into(),
        calendar: Some(CalendarFacts {
            uid: uid.into(),
            component: ComponentKind::Event,
            extent,
            moments: Default::default(),
        }),
    }
}

pub(super) fn put(account: &AccountStore, object: NewObject) -> Arc<Summary> {
    account.write(|tx| tx.put(object)).unwrap().0
}

pub(super) fn calendar(account: &AccountStore) -> CollectionId {
    let Node::Collection(collection) = account.resolve(&[segment("calendar")]).unwrap() else {
        panic!("no calendar")
    };
    collection.id
}

pub(super) fn plain(account: &AccountStore, parent: CollectionId, name: &str) -> CollectionId {
    let new = NewCollection {
        parent,
        segment: segment(name),
        kind: CollectionKind::Plain,
        properties: Properties::new(),
    };
    account.write(|tx| tx.make_collection(new)).unwrap().id
}

pub(super) fn property(text: &str) -> Properties {
    [(Name::from(xml::dav("displayname")), text.to_owned())].into()
}

pub(super) fn names(account: &AccountStore, id: CollectionId) -> Vec<String> {
    account
        .members(id)
        .unwrap()
        .objects
        .iter()
        .map(|object| object.segment.as_str().to_owned())
        .collect()
}

/// What a client that holds `token` is told, as "name" or "-name".
pub(super) fn told(
    account: &AccountStore,
    id: CollectionId,
    token: Option<&str>,
) -> (Vec<String>, String) {
    let changes = account.changes(id, token, usize::MAX).unwrap();
    assert!(!changes.truncated);
    let told = changes.changes.iter().map(|change| match change {
        Change::Object(object) => object.segment.as_str().to_owned(),
        Change::Collection(collection) => {
            format!("{}/", collection.segment.as_ref().unwrap().as_str())
        }
        Change::Gone(segment) => format!("-{}", segment.as_str()),
    });
    (told.collect(), changes.token)
}

#[test]
fn a_new_account_has_its_two_calendars() {
    let (_vault, account) = account();
    let home = account.home();
    let names: Vec<_> = account
        .collections(home.id)
        .iter()
        .map(|c| c.segment.clone().unwrap().as_str().to_owned())
        .collect();
    assert_eq!(names, ["calendar", "tasks"]);
    assert!(!home.is_calendar());
    assert!(
        account
            .collections(home.id)
            .iter()
            .all(|c| c.is_calendar() && c.properties.len() == 1)
    );
}

#[test]
fn what_is_put_is_read_back_also_after_a_restart() {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    let id = calendar(&account);
    let long = "x".repeat(3 * crate::limits::CHUNK_BYTES + 17);
    for (name, body) in [("a.ics", "lunch"), ("b.ics", ""), ("c.ics", long.as_str())] {
        let summary = put(&account, event(id, name, name, body));
        assert_eq!(account.body(id, &summary).unwrap(), body.as_bytes());
    }
    account
        .write(|tx| tx.set_collection_properties(id, property("<x/>")))
        .unwrap();
    let a = account.object(id, &segment("a.ics")).unwrap().unwrap();
    account
        .write(|tx| tx.set_object_properties(id, &a, property("<y/>")))
        .unwrap();
    let token = account.token(&account.collection(id).unwrap());
    account.barrier().wait().unwrap();
    drop(account);
    let vault = vault.restart();
    let account = vault.unlock("alice", &secret);
    assert_eq!(names(&account, id), ["a.ics", "b.ics", "c.ics"]);
    let c = account.object_by_uid(id, "c.ics").unwrap().unwrap();
    assert_eq!(account.body(id, &c).unwrap(), long.as_bytes());
    let a = account.object(id, &segment("a.ics")).unwrap().unwrap();
    assert_eq!(*account.properties(id, &a).unwrap(), property("<y/>"));
    assert_eq!(
        *account.collection(id).unwrap().properties,
        property("<x/>")
    );
    assert_eq!(account.token(&account.collection(id).unwrap()), token);
}

#[test]
fn overwriting_keeps_the_id_and_changes_the_tag() {
    let (_vault, account) = account();
    let id = calendar(&account);
    let first = put(&account, event(id, "a.ics", "u", "one"));
    let again = put(&account, event(id, "a.ics", "u", "one"));
    assert_eq!(first.id, again.id);
    assert_ne!(
        first.etag, again.etag,
        "the same bytes stored again are another version"
    );
    account.barrier().wait().unwrap();
    assert_eq!(account.body(id, &first), Err(VaultError::Missing));
    assert_eq!(account.collection(id).unwrap().objects, 1);
}

#[test]
fn a_uid_is_unique_in_its_calendar_and_free_when_its_object_goes() {
    let (_vault, account) = account();
    let id = calendar(&account);
    let first = put(&account, event(id, "a.ics", "u", "one"));
    let refused: Result<_, VaultError> = account.write(|tx| tx.put(event(id, "b.ics", "u", "two")));
    assert_eq!(
        refused.unwrap_err(),
        VaultError::UidConflict(segment("a.ics"))
    );
    assert_eq!(names(&account, id), ["a.ics"]);
    account.write(|tx| tx.delete_object(id, &first)).unwrap();
    put(&account, event(id, "b.ics", "u", "two"));
    put(&account, event(id, "a.ics", "v", "three"));
    assert_eq!(names(&account, id), ["a.ics", "b.ics"]);
}

#[test]
fn an_error_changes_nothing() {
    let (_vault, account) = account();
    let id = calendar(&account);
    let before = account.token(&account.collection(id).unwrap());
    let refused: Result<(), VaultError> = account.write(|tx| {
        tx.put(event(id, "a.ics", "u", "one"))?;
        Err(VaultError::Locked)
    });
    assert_eq!(refused, Err(VaultError::Locked));
    assert!(names(&account, id).is_empty());
    assert_eq!(account.token(&account.collection(id).unwrap()), before);
}

#[test]
fn sync_tells_each_change_once() {
    let (_vault, account) = account();
    let id = calendar(&account);
    let a = put(&account, event(id, "a.ics", "a", "one"));
    put(&account, event(id, "b.ics", "b", "one"));
    let (all, token) = told(&account, id, None);
    assert_eq!(all, ["a.ics", "b.ics"]);
    assert_eq!(told(&account, id, Some(&token)).0, Vec::<String>::new());
    account.write(|tx| tx.delete_object(id, &a)).unwrap();
    let b = put(&account, event(id, "b.ics", "b", "two"));
    assert_eq!(told(&account, id, Some(&token)).0, ["-a.ics", "b.ics"]);
    put(&account, event(id, "a.ics", "a", "again"));
    assert_eq!(told(&account, id, Some(&token)).0, ["b.ics", "a.ics"]);
    let to = Destination {
        parent: id,
        segment: segment("c.ics"),
        calendar: b.calendar.clone(),
    };
    account.write(|tx| tx.move_object(id, &b, to)).unwrap();
    let (moved, token) = told(&account, id, Some(&token));
    assert_eq!(moved, ["a.ics", "-b.ics", "c.ics"]);
    // a tombstone's name that is used again by a rename
    let c = account.object(id, &segment("c.ics")).unwrap().unwrap();
    let to = Destination {
        parent: id,
        segment: segment("b.ics"),
        calendar: c.calendar.clone(),
    };
    account.write(|tx| tx.move_object(id, &c, to)).unwrap();
    assert_eq!(told(&account, id, Some(&token)).0, ["-c.ics", "b.ics"]);
    assert_eq!(told(&account, id, None).0, ["a.ics", "b.ics"]);
}

#[test]
fn sync_is_cut_at_its_limit_and_continued() {
    let (_vault, account) = account();
    let id = calendar(&account);
    for number in 0..7 {
        put(
            &account,
            event(id, &format!("{number}.ics"), &number.to_string(), "x"),
        );
    }
    let mut seen = Vec::new();
    let mut token = None;
    loop {
        let changes = account.changes(id, token.as_deref(), 3).unwrap();
        assert!(changes.changes.len() <= 3);
        seen.extend(changes.changes.iter().map(|change| match change {
            Change::Object(object) => object.segment.as_str().to_owned(),
            other => panic!("{other:?}"),
        }));
        token = Some(changes.token);
        if !changes.truncated {
            break;
        }
    }
    assert_eq!(
        seen,
        [
            "0.ics", "1.ics", "2.ics", "3.ics", "4.ics", "5.ics", "6.ics"
        ]
    );
}

#[test]
fn foreign_future_and_broken_tokens_are_refused() {
    let (_vault, account) = account();
    let (id, tasks) = (
        calendar(&account),
        account.collections(account.home().id)[1].id,
    );
    let token = account.token(&account.collection(id).unwrap());
    let ahead = token.rsplit_once(':').unwrap().0.to_owned() + ":99";
    for bad in [
        account.token(&account.collection(tasks).unwrap()).as_str(),
        &ahead,
        "",
        "1",
        "urn:x:1",
        "ü",
    ] {
        assert_eq!(
            account.changes(id, Some(bad), 10).unwrap_err(),
            VaultError::TokenInvalid,
            "{bad}"
        );
    }
    assert!(
        token.contains(':') || token.contains('/'),
        "Evolution wants one of them in a token"
    );
}

#[test]
fn the_home_tells_of_calendars_made_changed_and_gone() {
    let (_vault, account) = account();
    let home = account.home().id;
    let (all, token) = told(&account, home, None);
    assert_eq!(all, ["calendar/", "tasks/"]);
    let ctag = account.home_ctag();
    put(&account, event(calendar(&account), "a.ics", "a", "one"));
    assert_ne!(account.home_ctag(), ctag);
    assert!(told(&account, home, Some(&token)).0.is_empty());
    let made = plain(&account, home, "files");
    account
        .write(|tx| tx.set_collection_properties(calendar(&account), property("<x/>")))
        .unwrap();
    assert_eq!(
        told(&account, home, Some(&token)).0,
        ["files/", "calendar/"]
    );
    account.write(|tx| tx.delete_collection(made)).unwrap();
    assert_eq!(
        told(&account, home, Some(&token)).0,
        ["calendar/", "-files"]
    );
}

#[test]
fn a_tree_is_copied_moved_and_deleted() {
    let vault = TestVault::new();
    vault.vault.retain(Retention::NOTHING);
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    let home = account.home().id;
    let a = plain(&account, home, "a");
    let b = plain(&account, a, "b");
    let file = |parent| NewObject {
        calendar: None,
        ..event(parent, "f", "f", "deep")
    };
    put(&account, file(b));
    account
        .write(|tx| tx.set_collection_properties(b, property("<x/>")))
        .unwrap();
    let to = |name: &str| Destination {
        parent: home,
        segment: segment(name),
        calendar: None,
    };
    assert!(
        account
            .copy_collection::<VaultError>(a, LockDepth::Infinity, to("c"), |_| Ok(()))
            .unwrap()
    );
    assert!(
        account
            .copy_collection::<VaultError>(a, LockDepth::Zero, to("d"), |_| Ok(()))
            .unwrap()
    );
    assert!(
        !account
            .copy_collection::<VaultError>(a, LockDepth::Infinity, to("d"), |_| Ok(()))
            .unwrap()
    );
    let c = match account.resolve(&[segment("c")]).unwrap() {
        Node::Collection(collection) => collection.id,
        other => panic!("{other:?}"),
    };
    assert!(!account.write(|tx| tx.move_collection(c, to("d"))).unwrap());
    account.write(|tx| tx.delete_collection(a)).unwrap();
    account.barrier().wait().unwrap();
    drop(account);
    let vault = vault.restart();
    while vault.vault.purge_step().unwrap() {}
    let account = vault.unlock("alice", &secret);
    assert!(matches!(
        account.resolve(&[segment("a")]).unwrap(),
        Node::Missing(..)
    ));
    assert!(matches!(
        account.resolve(&[segment("a"), segment("b")]).unwrap(),
        Node::Nowhere
    ));
    let Node::Object(collection, object) = account
        .resolve(&[segment("d"), segment("b"), segment("f")])
        .unwrap()
    else {
        panic!("the copy is not there");
    };
    assert_eq!(account.body(collection.id, &object).unwrap(), b"deep");
    assert_eq!(*collection.properties, property("<x/>"));
    assert_eq!(
        vault.vault.roster().unwrap().len(),
        1 + 3 + 2,
        "account, home and calendars, d and d/b"
    );
}

#[test]
fn a_refused_copy_leaves_nothing() {
    let (vault, account) = account();
    let to = Destination {
        parent: account.home().id,
        segment: segment("copy"),
        calendar: None,
    };
    let mut calls = 0;
    let refused = account.copy_collection(calendar(&account), LockDepth::Infinity, to, |_| {
        calls += 1;
        if calls == 2 {
            Err(VaultError::Locked)
        } else {
            Ok(())
        }
    });
    assert_eq!(refused, Err(VaultError::Locked));
    while vault.vault.purge_step().unwrap() {}
    assert_eq!(vault.vault.roster().unwrap().len(), 4);
}

#[test]
fn locks_survive_a_restart_and_end() {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    let lock = |token: &str, milliseconds| Lock {
        token: token.into(),
        root: vec![segment("calendar")],
        depth: LockDepth::Infinity,
        scope: LockScope::Shared,
        owner: String::new(),
        expires: crate::ambient::UnixMillis(vault.vault.ambient().now().0 + milliseconds),
    };
    let (kept, gone, ended) = (
        lock("urn:uuid:1", 60_000),
        lock("urn:uuid:2", 60_000),
        lock("urn:uuid:3", -1),
    );
    for lock in [kept.clone(), gone, ended] {
        account.write(|tx| tx.add_lock(lock)).unwrap();
    }
    account
        .write(|tx| {
            tx.remove_lock("urn:uuid:2")?;
            Ok::<_, VaultError>(())
        })
        .unwrap();
    account.barrier().wait().unwrap();
    drop(account);
    let vault = vault.restart();
    let account = vault.unlock("alice", &secret);
    assert_eq!(
        account
            .locks()
            .iter()
            .map(|lock| (**lock).clone())
            .collect::<Vec<_>>(),
        [kept]
    );
    account
        .write(|tx| tx.delete_collection(calendar(&account)))
        .unwrap();
    assert!(account.locks().is_empty());
}

#[test]
fn a_second_account_sees_nothing_of_the_first() {
    let vault = TestVault::new();
    let (alice, bob) = (vault.add("alice"), vault.add("bob"));
    let (alice, bob) = (vault.unlock("alice", &alice), vault.unlock("bob", &bob));
    let id = calendar(&alice);
    put(&alice, event(id, "a.ics", "u", "first"));
    let object = put(&alice, event(id, "a.ics", "u", "secret"));
    let gone = plain(&alice, alice.home().id, "gone");
    let deleted: Result<(), VaultError> = alice.write(|tx| tx.delete_collection(gone));
    deleted.unwrap();
    // Every reading and writing method, with the first account's ids.
    assert!(bob.collection(id).is_none());
    assert!(bob.collections(id).is_empty());
    assert!(bob.path_of(id).is_empty());
    assert_eq!(bob.members(id).unwrap_err(), VaultError::Missing);
    let touching = bob.objects_touching(id, TimeRange::ALL);
    assert_eq!(touching.unwrap_err(), VaultError::Missing);
    assert_eq!(
        bob.object(id, &object.segment).unwrap_err(),
        VaultError::Missing
    );
    assert_eq!(bob.object_by_uid(id, "u").unwrap_err(), VaultError::Missing);
    assert_eq!(bob.body(id, &object).unwrap_err(), VaultError::Missing);
    for id in [id, calendar(&bob)] {
        let read = bob.body_from(id, &object, 0);
        assert_eq!(read.unwrap_err(), VaultError::Missing);
    }
    assert_eq!(bob.changes(id, None, 9).unwrap_err(), VaultError::Missing);
    let into = || Destination {
        parent: id,
        segment: segment("x"),
        calendar: None,
    };
    let pair = crate::seal::PairKey::generate(vault.vault.ambient());
    let own = calendar(&bob);
    let mine = put(&bob, event(own, "b.ics", "b", "mine"));
    let refused: Vec<Result<(), VaultError>> = vec![
        bob.write(|tx| tx.put(event(id, "b.ics", "b", "x")).map(drop)),
        bob.write(|tx| tx.delete_object(id, &object)),
        bob.write(|tx| tx.delete_collection(id)),
        bob.write(|tx| tx.set_collection_properties(id, Properties::new())),
        bob.write(|tx| tx.set_object_properties(id, &object, property("<x/>"))),
        bob.write(|tx| {
            tx.move_object(
                id,
                &object,
                Destination {
                    parent: own,
                    ..into()
                },
            )
            .map(drop)
        }),
        bob.write(|tx| tx.move_object(own, &mine, into()).map(drop)),
        bob.write(|tx| {
            tx.copy_object(
                id,
                &object,
                Destination {
                    parent: own,
                    ..into()
                },
            )
            .map(drop)
        }),
        bob.write(|tx| tx.copy_object(own, &mine, into()).map(drop)),
        bob.write(|tx| {
            tx.move_collection(
                id,
                Destination {
                    parent: own,
                    ..into()
                },
            )
            .map(drop)
        }),
        bob.write(|tx| tx.move_collection(own, into()).map(drop)),
        bob.copy_collection(
            id,
            LockDepth::Infinity,
            Destination {
                parent: own,
                ..into()
            },
            |_| Ok(()),
        )
        .map(drop),
        bob.copy_collection(own, LockDepth::Infinity, into(), |_| Ok(()))
            .map(drop),
        bob.grant(bob.device(), pair.public(), &[id]),
        bob.history(id, object.id).map(drop),
        bob.version_body(id, object.id, 1).map(drop),
        bob.past(id).map(drop),
        bob.past_of_trashed(gone).map(drop),
        bob.write(|tx| tx.restore_version(id, object.id, 1, None).map(drop)),
        bob.write(|tx| tx.restore_version(own, object.id, 1, None).map(drop)),
        bob.write(|tx| tx.purge_history(id, object.id)),
        bob.write(|tx| tx.purge_history(own, object.id)),
        bob.purge_histories(id, &AtomicU64::new(0)).map(drop),
        bob.restore_collection(gone, None).map(drop),
        bob.purge_collection(gone),
    ];
    for (number, refusal) in refused.iter().enumerate() {
        assert_eq!(*refusal, Err(VaultError::Missing), "{number}");
    }
    assert_eq!(names(&alice, id), ["a.ics"]);
    assert_eq!(names(&bob, own), ["b.ics"]);
}

#[test]
fn indexes_fit_their_room() {
    let vault = TestVault::with_capacity(20);
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    let home = account.home().id;
    let files: Vec<_> = ["a", "b", "c"]
        .map(|name| plain(&account, home, name))
        .into();
    for id in &files {
        for number in 0..9 {
            put(
                &account,
                NewObject {
                    calendar: None,
                    ..event(*id, &number.to_string(), "", "x")
                },
            );
        }
    }
    let loaded = |account: &AccountStore| {
        files
            .iter()
            .filter(|id| account.state(**id).unwrap().index.read().is_some())
            .count()
    };
    for _ in 0..3 {
        for id in &files {
            // writes while others come and go
            put(
                &account,
                NewObject {
                    calendar: None,
                    ..event(*id, "0", "", "y")
                },
            );
            assert_eq!(names(&account, *id).len(), 9);
            assert!(loaded(&account) <= 3);
        }
    }
    *account.state(files[0]).unwrap().index.write() = None;
    assert_eq!(names(&account, files[0]).len(), 9);
    assert!(loaded(&account) <= 2, "a third of nine does not fit twenty");
}

#[test]
fn a_deleted_account_cannot_be_opened_and_its_rows_go() {
    let vault = TestVault::new();
    let (alice, bob) = (vault.add("alice"), vault.add("bob"));
    put(
        &vault.unlock("alice", &alice),
        event(calendar(&vault.unlock("alice", &alice)), "a.ics", "u", "x"),
    );
    let id = vault.vault.account_named("alice").unwrap().id;
    let live = vault.unlock("alice", &alice);
    vault.vault.delete_account(id).unwrap();
    assert!(!live.is_open());
    let refused: Result<_, VaultError> =
        live.write(|tx| tx.put(event(calendar(&live), "b.ics", "b", "x")));
    assert_eq!(refused.unwrap_err(), VaultError::Locked);
    drop(live);
    while vault.vault.purge_step().unwrap() {}
    assert_eq!(vault.vault.roster().unwrap().len(), 4, "what is bob's");
    assert!(vault.vault.account_named("alice").is_none());
    let vault = vault.restart();
    assert_eq!(vault.vault.accounts().len(), 1);
    assert!(vault.unlock("bob", &bob).is_open());
}

#[test]
fn a_damaged_directory_row_costs_no_account_its_data() {
    let vault = TestVault::new();
    let alice = vault.add("alice");
    vault.add("bob");
    let account = vault.unlock("alice", &alice);
    put(&account, event(calendar(&account), "a.ics", "u", "x"));
    drop(account);
    let id = vault.vault.account_named("alice").unwrap().id;
    let name = vault
        .vault
        .host_names
        .row(Kind::Directory, id.bytes(), 0, 0);
    let good = vault.vault.store.get(&name).unwrap().unwrap();
    let overwrite = |vault: &TestVault, bytes: Vec<u8>| {
        let mut batch = Batch::new();
        batch.put(name, crate::seal::Sealed::for_test(bytes));
        vault.vault.store.commit(batch).wait().unwrap();
    };
    let mut bad = good.bytes().to_vec();
    bad[60] ^= 1;
    overwrite(&vault, bad);
    let vault = vault.restart();
    assert!(vault.vault.account_named("alice").is_none());
    while vault.vault.purge_step().unwrap() {}
    overwrite(&vault, good.bytes().to_vec());
    let vault = vault.restart();
    let account = vault.unlock("alice", &alice);
    assert_eq!(names(&account, calendar(&account)), ["a.ics"]);
}

#[test]
fn who_is_out_is_not_let_in_by_a_sign_in_under_way() {
    let vault = TestVault::new();
    let alice = vault.add("alice");
    let id = vault.vault.account_named("alice").unwrap().id;
    let unlock = |key, slot| vault.vault.unlock(id, key, slot);
    // The secret was right, and then, before the account is unlocked:
    let (key, slot) = vault.key("alice", &alice);
    vault.vault.set_enabled(id, false).unwrap();
    assert_eq!(unlock(key, slot).unwrap_err(), VaultError::Missing);
    vault.vault.set_enabled(id, true).unwrap();
    let (key, slot) = vault.key("alice", &alice);
    assert!(unlock(key, slot).unwrap().is_open());
    let (key, _) = vault.key("alice", &alice);
    let keep = |slots: &mut Vec<crate::seal::Slot>| slots.retain(|other| other.id != slot);
    vault.vault.change_slots(id, keep).unwrap();
    assert_eq!(unlock(key, slot).unwrap_err(), VaultError::Missing);
    vault.vault.delete_account(id).unwrap();
    let refused = vault.vault.change_slots(id, |_| {}).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::NotFound);
    assert!(vault.vault.set_enabled(id, true).is_err());
    assert_eq!(vault.vault.accounts().len(), 0);
}

#[test]
fn a_name_is_given_once_however_many_ask() {
    let vault = TestVault::new();
    let made = std::thread::scope(|scope| {
        let ask = |number: usize| {
            let vault = &vault.vault;
            scope.spawn(move || {
                let email = crate::ids::Email::parse(&format!("{number}@example.org")).unwrap();
                let name = crate::ids::UserName::parse("alice").unwrap();
                vault.create_account(name, email, false, |_, _| Vec::new())
            })
        };
        let asked: Vec<_> = (0..8).map(ask).collect();
        asked
            .into_iter()
            .map(|asked| asked.join().unwrap().is_ok())
            .filter(|made| *made)
            .count()
    });
    assert_eq!(made, 1);
    assert_eq!(vault.vault.accounts().len(), 1);
}

#[test]
fn ended_locks_leave_no_rows() {
    let (vault, account) = account();
    for number in 0..5 {
        let lock = Lock {
            token: format!("urn:uuid:{number}"),
            root: vec![segment("calendar")],
            depth: LockDepth::Zero,
            scope: LockScope::Shared,
            owner: String::new(),
            expires: crate::ambient::UnixMillis(0),
        };
        account.write(|tx| tx.add_lock(lock)).unwrap();
    }
    account.barrier().wait().unwrap();
    let prefix = account.inner.home_state().names.prefix(Kind::Lock);
    assert_eq!(vault.vault.store.names(&prefix).count(), 1, "the last one");
}

#[test]
fn a_first_sync_in_parts_goes_on_although_tombstones_were_dropped() {
    let (_vault, account) = account();
    let id = calendar(&account);
    for number in 0..6 {
        let (name, uid) = (format!("{number}.ics"), number.to_string());
        put(&account, event(id, &name, &uid, "x"));
    }
    // As after `limits::TOMBSTONES` deletions.
    let floor = account.collection(id).unwrap().revision - 1;
    let set_floor = |floor| {
        let mut tree = account.inner.tree.write();
        tree.entries.get_mut(&id).unwrap().head.floor = floor;
    };
    set_floor(floor);
    let first = account.changes(id, None, 2).unwrap();
    let second = account.changes(id, Some(&first.token), 2).unwrap();
    let third = account.changes(id, Some(&second.token), 2).unwrap();
    assert!(second.truncated && !third.truncated);
    assert_eq!(second.changes.len() + third.changes.len(), 4);
    // What was deleted since the first part and forgotten again would be missed.
    put(&account, event(id, "more.ics", "more", "x"));
    set_floor(floor + 2);
    assert_eq!(
        account.changes(id, Some(&second.token), 2).unwrap_err(),
        VaultError::TokenInvalid
    );
}

#[test]
fn a_damaged_key_file_keeps_out_its_account_only() {
    let vault = TestVault::new();
    vault.add("alice");
    let bob = vault.add("bob");
    let id = vault.vault.account_named("alice").unwrap().id;
    let file = vault.directory.path().join(format!("keys/{id}.keys"));
    std::fs::write(&file, b"sealdav key slots\n\x01\xff").unwrap();
    let vault = vault.restart();
    assert!(vault.vault.key_file(id).is_none());
    assert!(vault.vault.change_slots(id, |_| {}).is_err());
    assert_eq!(std::fs::read(&file).unwrap().len(), 20, "kept as it was");
    assert!(vault.unlock("bob", &bob).is_open());
}

#[test]
fn the_wrong_host_key_is_refused() {
    let vault = TestVault::new();
    let (vault, directory) = (vault.vault, vault.directory);
    drop(vault);
    let store =
        crate::store::Store::open(&directory.path().join("db"), &Default::default()).unwrap();
    let other = crate::seal::HostKey::generate(&mut crate::ambient::OsRandom);
    let refused = Vault::open(
        store,
        other,
        &directory.path().join("keys"),
        Arc::new(crate::ambient::Ambient::system()),
    );
    assert!(matches!(refused.err(), Some(VaultOpenError::WrongHostKey)));
}

/// A body can be read chunk by chunk: a damaged chunk is noticed when it is its turn, and of another
/// revision nothing is given.
#[test]
fn a_body_is_read_from_any_place() {
    let (vault, account) = account();
    let id = calendar(&account);
    let text: String = (0..30_000).map(|number| format!("{number:07} ")).collect();
    let object = put(&account, event(id, "a.ics", "a", &text));
    let mut read = Vec::new();
    while (read.len() as u64) < object.size {
        let more = account.body_from(id, &object, read.len() as u64).unwrap();
        assert!(!more.is_empty() && more.len() <= limits::CHUNK_BYTES);
        read.extend(more);
    }
    assert!(read == text.as_bytes());
    let at = 100_001;
    let from = account.body_from(id, &object, at).unwrap();
    assert!(text.as_bytes()[100_001..].starts_with(&from));
    let end = account.body_from(id, &object, object.size);
    assert!(matches!(end, Err(VaultError::Damaged(_))));
    // the second chunk
    let state = account.state(id).unwrap();
    let name = state
        .names
        .row(Kind::Body, object.id.bytes(), object.body_revision, 1);
    let good = vault.vault.store.get(&name).unwrap().unwrap();
    let mut bad = good.bytes().to_vec();
    bad[100] ^= 1;
    let mut batch = Batch::new();
    batch.put(name, crate::seal::Sealed::for_test(bad));
    vault.vault.store.commit(batch).wait().unwrap();
    assert!(account.body_from(id, &object, 0).is_ok());
    let second = account.body_from(id, &object, at);
    assert!(matches!(second, Err(VaultError::Damaged(_))));
    put(&account, event(id, "a.ics", "a", &text));
    // Until the change is applied the old rows are there.
    account.barrier().wait().unwrap();
    for at in [0, at] {
        let gone = account.body_from(id, &object, at);
        assert_eq!(gone.unwrap_err(), VaultError::Missing);
    }
}

/// Run by nextest in a process of its own, which the failing syncs need.
#[test]
fn what_was_not_durable_is_gone_after_a_failed_sync() {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    let id = calendar(&account);
    put(&account, event(id, "a.ics", "a", "kept"));
    account.barrier().wait().unwrap();
    let token = account.token(&account.collection(id).unwrap());
    super::testing::SYNC_FAILS.store(true, std::sync::atomic::Ordering::Relaxed);
    put(&account, event(id, "b.ics", "b", "lost"));
    assert!(account.barrier().wait().is_err(), "it was acknowledged");
    super::testing::SYNC_FAILS.store(false, std::sync::atomic::Ordering::Relaxed);
    vault.vault.recover().unwrap();
    assert!(!account.is_open(), "its memory is ahead of the disk");
    let refused: Result<_, VaultError> = account.write(|tx| tx.put(event(id, "c.ics", "c", "x")));
    assert_eq!(refused.unwrap_err(), VaultError::Locked);
    let account = vault.unlock("alice", &secret);
    let kept = account.object(id, &segment("a.ics")).unwrap().unwrap();
    assert_eq!(account.body(id, &kept).unwrap(), b"kept");
    // What was written and not synced may be there or not; the order of changes tells which.
    let now = account.token(&account.collection(id).unwrap());
    assert_eq!(names(&account, id).len() == 1, now == token);
    put(&account, event(id, "c.ics", "c", "x"));
    account.barrier().wait().unwrap();
}

/// Run by nextest in a process of its own, which the failing syncs need.
#[test]
fn what_is_known_good_can_be_read_while_the_store_cannot_be_opened_again() {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    let id = calendar(&account);
    put(&account, event(id, "a.ics", "a", "kept"));
    account.barrier().wait().unwrap();
    let token = account.token(&account.collection(id).unwrap());
    super::testing::SYNC_FAILS.store(true, std::sync::atomic::Ordering::Relaxed);
    put(&account, event(id, "b.ics", "b", "lost"));
    assert!(account.barrier().wait().is_err(), "it was acknowledged");
    let database = vault.directory.path().join("db/rows/db");
    let away = vault.directory.path().join("away");
    std::fs::rename(&database, &away).unwrap();
    for _ in 0..2 {
        assert!(vault.vault.recover().is_err());
    }
    assert!(!account.is_open(), "its memory is ahead of the disk");
    let account = vault.unlock("alice", &secret);
    assert_eq!(names(&account, id), ["a.ics"]);
    let kept = account.object(id, &segment("a.ics")).unwrap().unwrap();
    assert_eq!(account.body(id, &kept).unwrap(), b"kept");
    assert_eq!(account.token(&account.collection(id).unwrap()), token);
    let refused: Result<_, VaultError> = account.write(|tx| tx.put(event(id, "c.ics", "c", "x")));
    assert_eq!(refused.unwrap_err(), VaultError::Store(StoreError::Failed));
    account.barrier().wait().unwrap();
    super::testing::SYNC_FAILS.store(false, std::sync::atomic::Ordering::Relaxed);
    std::fs::rename(&away, &database).unwrap();
    vault.vault.recover().unwrap();
    let account = vault.unlock("alice", &secret);
    put(&account, event(id, "c.ics", "c", "x"));
    account.barrier().wait().unwrap();
}

/// The properties of collections are in memory while the account is unlocked: all together are
/// bounded, copies too, and less of them is always allowed.
#[test]
fn properties_of_all_collections_are_bounded() {
    let (_vault, account) = account();
    let large = "x".repeat(1_000_000);
    let with = |name: &str| NewCollection {
        parent: account.home().id,
        segment: segment(name),
        kind: CollectionKind::Plain,
        properties: property(&large),
    };
    let mut made = Vec::new();
    let refused = loop {
        let new = with(&format!("c{}", made.len()));
        match account.write(|tx| tx.make_collection(new)) {
            Ok(collection) => made.push(collection.id),
            Err(error) => break error,
        }
        assert!(made.len() < 100, "there is a bound");
    };
    assert_eq!(refused, VaultError::Limit("properties of all collections"));
    assert_eq!(
        made.len() as u64,
        limits::ACCOUNT_PROPERTIES_BYTES / 1_000_000
    );
    let copy = |name: &str| {
        let to = Destination {
            parent: account.home().id,
            segment: segment(name),
            calendar: None,
        };
        let may = |_: &Transaction| Ok::<(), VaultError>(());
        account.copy_collection(made[1], LockDepth::Zero, to, may)
    };
    let refused = copy("copy").unwrap_err();
    assert_eq!(refused, VaultError::Limit("properties of all collections"));
    assert!(!copy("c2").unwrap(), "it takes the place of another");
    account
        .write(|tx| tx.set_collection_properties(made[0], Properties::new()))
        .unwrap();
    assert!(copy("copy").unwrap());
    account
        .write(|tx| tx.set_collection_properties(made[1], Properties::new()))
        .unwrap();
    account
        .write(|tx| tx.make_collection(with("again")))
        .unwrap();
}

/// One account's slow loading keeps no other out; it is waited for by what locks that account, and
/// leaves nothing behind when it fails.
#[test]
fn accounts_are_loaded_each_for_itself() {
    let vault = TestVault::new();
    let (alice, bob) = (vault.add("alice"), vault.add("bob"));
    let id = vault.vault.account_named("alice").unwrap().id;
    // as a load of alice's that takes long holds it
    let loading = Arc::clone(vault.vault.loading.lock().entry(id).or_default());
    let slow = loading.lock();
    assert!(vault.unlock("bob", &bob).is_open());
    assert_eq!(vault.vault.unlocked(), [id]);
    let (vaults, (sent, locked)) = (vault.vault.clone(), std::sync::mpsc::channel());
    let locking = std::thread::spawn(move || {
        vaults.lock(id);
        sent.send(()).unwrap();
    });
    let moment = std::time::Duration::from_millis(100);
    assert!(locked.recv_timeout(moment).is_err(), "it was overtaken");
    drop(slow);
    drop(loading);
    locking.join().unwrap();
    locked.recv().unwrap();
    assert!(vault.unlock("alice", &alice).is_open());
    vault.vault.set_enabled(id, false).unwrap();
    let refused = vault.try_unlock("alice", &alice).unwrap_err();
    assert_eq!(refused, VaultError::Missing);
    assert!(vault.vault.loading.lock().is_empty());
}

#[test]
fn what_cannot_be_purged_stops_nothing_else() {
    let (vault, account) = account();
    vault.vault.retain(Retention::NOTHING);
    let home = account.home().id;
    for name in ["a", "b", "c"] {
        let id = plain(&account, home, name);
        account.write(|tx| tx.delete_collection(id)).unwrap();
    }
    let bad = vault.vault.purges.lock().last().unwrap().clone();
    let fails = |row: &super::rows::RosterRow| match *row == bad {
        true => Err(crate::store::StoreError::Failed),
        false => vault.vault.purge_some(row),
    };
    let errors = (0..20).filter(|_| vault.vault.purge_next(fails).is_err());
    assert!(errors.count() > 1, "it is tried again");
    assert_eq!(*vault.vault.purges.lock(), [bad]);
    while vault.vault.purge_step().unwrap() {}
    assert!(vault.vault.purges.lock().is_empty());
}
