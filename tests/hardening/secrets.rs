//! P7, H26, H27: secrets are in no answer and in no log, at the most verbose level, whatever
//! goes wrong.

use std::process::{Command, Stdio};

use sealdav::config::{Log, LogFormat, LogLevel};

use crate::common::canary::{Canaries, Found, Search};
use crate::common::client::basic;
use crate::common::{Server, everything, rows};

/// Refusals that the tour provokes; 500 and 507 need more.
const PROVOKED: &[u16] = &[
    400, 401, 403, 404, 405, 409, 412, 413, 414, 415, 416, 423, 429, 431, 501, 502,
];

#[test]
fn h27_no_secret_is_in_an_answer_or_in_the_log() {
    let mut server = Server::new();
    let used = everything::run(&mut server);
    for status in PROVOKED {
        assert!(used.statuses.contains(status), "{status} was not provoked");
    }
    server.stop();
    // every row that is no directory entry damaged a little: 500 wherever it is read
    let database = rows(&server.data().join("db/rows"));
    for (name, value) in database.iter().map(|row| row.expect("a row")) {
        if value.len() > 5_000 {
            let mut value = value.to_vec();
            value[4_000] ^= 1;
            database.insert(name, value).expect("a written row");
        }
    }
    database.flush().expect("a flushed database");
    drop(database);
    server.start(&["--plain-http"]);
    let (name, secret) = &used.credentials;
    let mut client = server.client(name, secret);
    let folder = &used.left.1[..=used.left.1.rfind('/').expect("a path")];
    let listing = client.expect(207, "PROPFIND", folder, &[("Depth", "1")], "");
    let listing = listing.text();
    let large = listing
        .split("href>")
        .find(|part| part.contains(".bin</"))
        .expect("the large file is listed");
    let large = large.split('<').next().expect("its href");
    client.expect(500, "GET", large, &[], "");
    let mut transcript = used.transcript.clone();
    transcript.extend(&client.transcript);
    let mut secrets = Canaries::default();
    for (name, text) in used.canaries.iter() {
        if used.secrets.contains(&name) {
            secrets.know(name, text);
        }
    }
    // and as they are sent
    let sent = basic(name, secret);
    secrets.know("credentials", &sent["Basic ".len()..]);
    assert_eq!(secrets.iter().count(), used.secrets.len() + 1);
    let search = Search::new(&secrets);
    assert_eq!(search.bytes(&transcript), Found::new(), "in an answer");
    assert_eq!(search.bytes(&server.log()), Found::new(), "in the log");
    assert_ne!(search.bytes(sent.as_bytes()), Found::new());
}

/// A panic's message may hold content: only its place is logged. In a process of its own, since
/// the hook is the process's.
#[test]
fn h27_of_a_panic_only_the_place_is_logged() {
    const VARIABLE: &str = "SEALDAV_TEST_PANIC";
    if let Ok(canary) = std::env::var(VARIABLE) {
        let (level, format) = (LogLevel::Trace, LogFormat::Text);
        sealdav::http::start_logging(&Log { level, format });
        let panics = std::thread::spawn(move || panic!("{canary}"));
        assert!(panics.join().is_err());
        return;
    }
    let canary = crate::common::canary::random();
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args(["--exact", "--nocapture"])
        .arg("secrets::h27_of_a_panic_only_the_place_is_logged")
        .env(VARIABLE, &canary)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert!(output.status.success());
    let said = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&said);
    assert!(
        text.contains("panic") && text.contains("secrets.rs"),
        "{text}"
    );
    assert!(!text.contains(&canary), "{text}");
}

/// One request is one line, whatever is in it.
#[test]
fn h26_a_request_is_one_line_of_the_log() {
    let (server, mut client) = Server::with_user("alice");
    let before = server.log().len();
    let mut sent = 0;
    for text in [
        "%0d%0aFORGED",
        "%1b[31mFORGED",
        "%E2%80%A8FORGED",
        "%85FORGED",
        "FORGED",
    ] {
        for target in [
            format!("/dav/calendars/alice/calendar/{text}"),
            format!("/dav/calendars/{text}/"),
            format!("/{text}?{text}"),
        ] {
            let headers = [("User-Agent", "a\tFORGED\u{9b}31m"), ("X-FORGED", "FORGED")];
            let answer = client.ask("GET", &target, &headers, b"");
            assert!((400..500).contains(&answer.status), "{target}");
            sent += 1;
        }
    }
    let names = ["FORGED\r\nFORGED", "\u{1b}[31mFORGED", "FORGED\u{2028}"];
    for name in names {
        let value = basic(name, "FORGED\r\n");
        let answer = client.ask("GET", "/dav/", &[("Authorization", &value)], b"");
        assert_eq!(answer.status, 401);
        sent += 1;
    }
    let log = String::from_utf8_lossy(&server.log()[before..]).into_owned();
    assert!(!log.contains("FORGED") && !log.contains('\u{1b}'), "{log}");
    assert!(log.chars().all(|c| c == '\n' || !c.is_control()), "{log}");
    assert_eq!(
        log.lines().filter(|line| line.contains("refused")).count(),
        sent
    );
}
