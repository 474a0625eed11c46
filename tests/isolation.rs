//! P6: row-level security is in the signatures. A handle to stored data is had by unlocking an
//! account, and none of its methods can even name another: this is read from the source, so that
//! a new method is seen. What the methods do with ids of another account is tested in
//! `vault::tests` (`a_second_account_sees_nothing_of_the_first`), whose list of methods is held to
//! the same source here; what requests do, in `dav::isolation_tests`.

use std::fs;

/// Files with the methods of `AccountStore` and `Transaction`.
const FILES: &[&str] = &[
    "src/vault/read.rs",
    "src/vault/at_hand.rs",
    "src/vault/sync.rs",
    "src/vault/copy.rs",
    "src/vault/history.rs",
    "src/vault/past.rs",
    "src/vault/trash.rs",
    "src/vault/undo.rs",
    "src/vault/transaction/mod.rs",
    "src/vault/transaction/grants.rs",
    "src/vault/transaction/objects.rs",
    "src/vault/transaction/collections.rs",
    "src/vault/transaction/locks.rs",
    "src/vault/transaction/reseal.rs",
    "src/vault/transaction/history.rs",
    "src/vault/transaction/trash.rs",
];

/// Methods that take an id, and on which another account's is tried.
const TRIED: &[&str] = &[
    "collection",
    "path_of",
    "collections",
    "members",
    "objects_touching",
    "object",
    "object_by_uid",
    "body",
    "body_from",
    "changes",
    "copy_collection",
    "put",
    "delete_object",
    "delete_collection",
    "set_collection_properties",
    "set_object_properties",
    "move_object",
    "copy_object",
    "move_collection",
    "grant",
    "history",
    "version_body",
    "past",
    "past_of_trashed",
    "restore_version",
    "restore_collection",
    "purge_history",
    "purge_histories",
    "purge_collection",
];

/// Methods that take none, or take a value that only the account itself can have read.
const WITHOUT_IDS: &[&str] = &[
    "id",
    "name",
    "email",
    "device",
    "access",
    "is_limited",
    "is_open_whole",
    "is_open",
    "barrier",
    "home",
    "resolve",
    "at_hand",
    "is_settled",
    "in_haste",
    "is_roomy",
    "known_by",
    "subtree",
    "trashed_objects",
    "trashed_collections",
    "trash_figures",
    // Of `Past`, which the handle's own account gives.
    "following",
    "undo",
    "locks",
    "home_ctag",
    "write",
    "account",
    "now",
    "random_uuid",
    "add_lock",
    "refresh_lock",
    "remove_lock",
    // Of the handle's own account.
    "resealing",
    "progress",
    "step",
];

/// Methods whose refusal of another account's id is tried nowhere else: see below.
const TRIED_HERE: &[&str] = &["damaged", "properties", "make_collection", "token"];

fn methods() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in FILES {
        let text = fs::read_to_string(file).expect("the source is there");
        for part in text.split("    pub fn ").skip(1) {
            let end = part.find(['{', ';']).expect("a body");
            let name = part.split(['(', '<']).next().expect("a name");
            found.push((name.to_owned(), part[..end].to_owned()));
        }
    }
    found
}

#[test]
fn no_method_of_a_handle_takes_an_account() {
    let methods = methods();
    assert!(methods.len() > 30, "the source was not found");
    for (name, signature) in methods {
        let takes = ["AccountId", "UserName)", "UserName,", "&AccountStore"];
        let arguments = signature.split("->").next().expect("arguments");
        for account in takes {
            assert!(
                !arguments.contains(account),
                "{name} takes {account}: {signature}"
            );
        }
    }
}

#[test]
fn every_method_of_a_handle_is_tried_by_a_limited_device() {
    let tests = fs::read_to_string("src/vault/grant_tests.rs").expect("the source is there");
    let isolation = tests
        .split("fn a_limited_device_reaches_nothing_by_ids")
        .nth(1)
        .and_then(|rest| rest.split("\n#[test]").next())
        .expect("the test is there");
    for name in TRIED.iter().chain(TRIED_HERE) {
        assert!(
            isolation.contains(&format!(".{name}(")),
            "{name} is not tried by a device with chosen calendars"
        );
    }
}

#[test]
fn every_method_of_a_handle_is_tried_with_anothers_ids() {
    let tests = fs::read_to_string("src/vault/tests.rs").expect("the source is there");
    let isolation = tests
        .split("fn a_second_account_sees_nothing_of_the_first")
        .nth(1)
        .and_then(|rest| rest.split("\n#[test]").next())
        .expect("the test is there");
    let here = fs::read_to_string("src/dav/isolation_tests.rs").expect("the source is there");
    for (name, signature) in methods() {
        let name = name.as_str();
        let call = format!(".{name}(");
        if TRIED.contains(&name) {
            assert!(isolation.contains(&call), "{name} is not tried any more");
        } else if TRIED_HERE.contains(&name) {
            assert!(here.contains(&call), "{name} is not tried any more");
        } else {
            assert!(
                WITHOUT_IDS.contains(&name),
                "{name} is new: is it safe? {signature}"
            );
            let ids = ["CollectionId", "ObjectId", "&Summary", "&Collection"];
            let arguments = signature.split("->").next().expect("arguments");
            let takes = ids.iter().any(|id| arguments.contains(id));
            assert!(!takes, "{name} takes an id: {signature}");
        }
    }
}
