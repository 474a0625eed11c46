//! P1: event content, names and secrets are on no disk and in no log in any form that can be
//! read. Canaries go into everything that takes a text; then data directory and log are searched
//! for them in every encoding. The search itself is proven on a copy that has them all.

mod common;

use std::fs;

use common::canary::{Canaries, ENCODINGS, Found, PIECE, Search, encode};
use common::{Server, copy, everything};

#[test]
fn nothing_that_was_stored_or_sent_can_be_found() {
    let mut server = Server::new();
    let used = everything::run(&mut server);
    let transcript = String::from_utf8_lossy(&used.transcript).into_owned();
    let unread: Vec<&str> = used
        .canaries
        .iter()
        .filter(|(name, text)| used.kept.contains(name) && !transcript.contains(text))
        .map(|(name, _)| name)
        .collect();
    assert!(unread.is_empty(), "never in the server: {unread:?}");
    server.stop();
    let search = Search::new(&used.canaries);
    // an administrator's export is a list of random ids and hashes
    assert!(used.exported.lines().count() > 2, "{}", used.exported);
    assert_eq!(search.bytes(used.exported.as_bytes()), Found::new());
    let planted = server.beside("planted");
    copy(&server.data(), &planted);
    everything_is_found_where_it_was_planted(&search, &used.canaries, &planted);
    assert_eq!(search.folder(&server.data()), Found::new(), "in the data");
    let log = server.log();
    assert!(log.len() > 10_000, "the log is at the level TRACE");
    assert_eq!(search.bytes(&log), Found::new(), "in the log");
    // what the database writes when it is opened and closed again
    server.start(&["--plain-http"]);
    let mut client = server.client(&used.credentials.0, &used.credentials.1);
    client.expect(200, "GET", &used.left.0, &[], "");
    server.stop();
    assert_eq!(search.folder(&server.data()), Found::new(), "in the data");
    assert_eq!(search.bytes(&server.log()), Found::new(), "in the log");
    rotation_trash_and_backups_hold_nothing(&mut server, &used, &search);
    // what an interrupted rotation of the host key leaves, and a finished one
    common::interrupt_rotation(&server);
    assert_eq!(search.folder(&server.data()), Found::new(), "in the data");
    server.done(&["host-key", "rotate"], "");
    server.start(&["--plain-http"]);
    let mut client = server.client(&used.credentials.0, &used.credentials.1);
    client.expect(200, "GET", &used.left.0, &[], "");
    server.stop();
    assert!(
        server
            .files()
            .iter()
            .any(|file| file.ends_with("host.key.old-1"))
    );
    assert_eq!(search.folder(&server.data()), Found::new(), "in the data");
    assert_eq!(search.bytes(&server.log()), Found::new(), "in the log");
}

/// A new account key, with all that was sealed under the old one; what is in the trash; and backups.
fn rotation_trash_and_backups_hold_nothing(
    server: &mut Server,
    used: &everything::Used,
    search: &Search,
) {
    let mut canaries = used.canaries.iter();
    let password = canaries.find(|(name, _)| *name == "recovered password");
    let (user, (_, password)) = (&used.credentials.0, password.expect("it was set"));
    server.start(&["--plain-http"]);
    let (rows, keys) = (server.beside("rows-backup"), server.beside("keys-backup"));
    for place in [&rows, &keys] {
        fs::create_dir(place).expect("a place");
    }
    let told = server.done(&["trash", "list", user, "--password-stdin"], password);
    assert!(!told.is_empty(), "the trash has something");
    let to = |place: &std::path::Path| place.to_str().expect("a text").to_owned();
    for _ in 0..2 {
        server.done(&["backup", "--to", &to(&rows)], "");
        server.done(&["backup", "keys", "--to", &to(&keys)], "");
        server.done(&["user", "rotate", user, "--password-stdin"], password);
    }
    server.stop();
    for place in [&rows, &keys] {
        assert!(fs::read_dir(place).expect("a backup").count() > 0);
        assert_eq!(search.folder(place), Found::new(), "in a backup");
    }
    assert_eq!(search.folder(&server.data()), Found::new(), "in the data");
    assert_eq!(search.bytes(&server.log()), Found::new(), "in the log");
}

/// Puts every canary in every encoding into the largest file of a used data directory.
fn everything_is_found_where_it_was_planted(
    search: &Search,
    canaries: &Canaries,
    data: &std::path::Path,
) {
    let database = data.join("db/rows/db");
    let mut bytes = fs::read(&database).expect("the database");
    let mut expected = Found::new();
    let mut at = 1_003;
    for (name, text) in canaries.iter() {
        for encoding in ENCODINGS {
            let planted = encode(text, encoding);
            bytes[at..at + planted.len()].copy_from_slice(&planted);
            at += planted.len() + 101;
            expected.insert((name.to_owned(), *encoding));
        }
    }
    fs::write(&database, &bytes).expect("a copy can be written");
    assert_eq!(search.folder(data), expected);
}

#[test]
fn a_fold_or_a_border_hides_no_canary() {
    let mut canaries = Canaries::default();
    let text = canaries.get("text");
    canaries.know("odd", &format!("{} \u{fc}", common::canary::random()));
    let search = Search::new(&canaries);
    let noise = |seed: u32| -> Vec<u8> {
        let hash = |number: u32| *blake3::hash(&number.to_le_bytes()).as_bytes();
        (seed..seed + 100).flat_map(hash).collect()
    };
    assert_eq!(search.bytes(&noise(0)), Found::new());
    for encoding in ENCODINGS {
        for cut in 1..text.len() {
            let (head, tail) = text.split_at(cut);
            for between in [&b"\r\n "[..], &noise(7)] {
                let bytes = [
                    &noise(1),
                    &encode(head, encoding)[..],
                    between,
                    &encode(tail, encoding),
                    &noise(2),
                ]
                .concat();
                assert!(!search.bytes(&bytes).is_empty(), "{encoding} cut at {cut}");
            }
        }
    }
    let name = |place: &str| std::env::temp_dir().join(format!("sealdav-canary-{place}"));
    let folder = name(&text[..PIECE]);
    fs::create_dir_all(folder.join(&text)).expect("a folder");
    let found = search.folder(&folder);
    fs::remove_dir_all(&folder).expect("it is ours");
    assert!(found.contains(&("text".to_owned(), "raw")), "{found:?}");
}
