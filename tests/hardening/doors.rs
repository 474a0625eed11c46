//! Through the front door: paths, names and conditions that mean harm, sent to the real server.

use std::fs;
use std::sync::Barrier;
use std::thread;

use crate::common::{Client, Server, client::basic, everything::event};

/// Paths that no client of ours sends. Each is refused, wherever it stands.
const TRAVERSALS: &[&str] = &[
    "%2e%2e%2f",
    "%2e%2e/",
    "../",
    "..",
    "..%5c",
    "..\\",
    "%2e",
    ".",
    "%00",
    "x%00.ics",
    "%252f",
    "%252e%252e%252f",
    "%255c",
    "%c0%ae%c0%ae%c0%af",
    "%c0%af",
    "%e0%80%af",
    "%f0%80%80%af",
    "%ed%a0%80",
    "%ff",
    "%",
    "%4",
    "%zz",
    "/x",
    "a%0d%0ab",
    "%2fetc%2fpasswd",
    "/etc/passwd",
];

/// Everything beside the database, with its size: what a stray write would change.
fn surroundings(server: &Server) -> Vec<(String, u64)> {
    let folder = server.beside("");
    let mut paths = Vec::new();
    crate::common::walk(&folder, &mut paths);
    let mut found: Vec<(String, u64)> = paths
        .iter()
        .filter(|path| !path.starts_with(server.data().join("db")) && !path.ends_with("log"))
        .map(|path| {
            let size = fs::symlink_metadata(path).expect("it is there").len();
            (path.display().to_string(), size)
        })
        .collect();
    found.sort();
    found
}

/// Names and tags of everything in the home.
fn listing(client: &mut Client) -> String {
    let mut all = String::new();
    for path in ["", "calendar/", "folder/"] {
        let body =
            "<D:propfind xmlns:D='DAV:'><D:prop><D:getetag/><D:sync-token/></D:prop></D:propfind>";
        let target = format!("/dav/calendars/alice/{path}");
        let answer = client.expect(207, "PROPFIND", &target, &[("Depth", "1")], body);
        all.push_str(&answer.text());
    }
    all
}

#[test]
fn h01_no_path_leaves_the_home() {
    let (server, mut client) = Server::with_user("alice");
    let home = "/dav/calendars/alice";
    client.expect(201, "MKCOL", &format!("{home}/folder/"), &[], "");
    client.expect(201, "PUT", &format!("{home}/folder/file"), &[], "kept");
    let file = format!("{home}/folder/file");
    let (before, around) = (listing(&mut client), surroundings(&server));
    for bad in TRAVERSALS {
        let target = format!("{home}/folder/{bad}");
        let absolute = format!("http://{}{target}", server.address());
        for method in [
            "GET", "PUT", "DELETE", "MKCOL", "PROPFIND", "LOCK", "OPTIONS",
        ] {
            let headers = [("Depth", "0")];
            for target in [&target, &absolute] {
                let answer = client.ask(method, target, &headers, b"x");
                assert!(
                    (400..500).contains(&answer.status),
                    "{method} {target}: {}",
                    answer.head
                );
            }
        }
        for method in ["COPY", "MOVE"] {
            for destination in [&target, &absolute] {
                let headers = [("Destination", destination.as_str())];
                let answer = client.ask(method, &file, &headers, b"");
                let fine = (400..500).contains(&answer.status);
                assert!(fine, "{method} {destination}: {}", answer.head);
            }
        }
        let multiget = format!(
            "<C:calendar-multiget xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'><D:prop>\
             <D:getetag/></D:prop><D:href>{target}</D:href></C:calendar-multiget>"
        );
        let target = format!("{home}/calendar/");
        let answer = client.expect(207, "REPORT", &target, &[], &multiget);
        assert!(answer.text().contains("404"), "{bad}: {}", answer.text());
        assert!(
            !answer.text().contains("getetag>\""),
            "{bad}: {}",
            answer.text()
        );
    }
    assert_eq!(listing(&mut client), before);
    assert_eq!(surroundings(&server), around);
}

#[test]
fn h02_user_names_are_no_patterns() {
    let mut server = Server::new();
    for name in ["alice", "bob", "al.ce"] {
        server.add_user(name);
    }
    server.start(&["--plain-http"]);
    let password = server.app_password("alice", "phone");
    let home = "/dav/calendars/alice/";
    let propfind = |client: &mut Client, target: &str| {
        client
            .ask("PROPFIND", target, &[("Depth", "0")], b"")
            .status
    };
    // each name alone, with the right secret of alice: 30 failures are allowed
    for name in [
        "al*",
        "al?ce",
        "al.ce",
        "alic%65",
        "ALICE",
        "alice/",
        "alice/../bob",
        "../alice",
        "alice\\",
        "alice\0",
        " alice",
        "alice ",
        "al\u{131}ce",
        "\u{430}lice",
        "alice\u{200b}",
        "\u{ff41}lice",
        "",
        "*",
        "%",
        "alice@example.org.evil.example",
        "alice,bob",
    ] {
        let mut client = server.client(name, &password);
        assert_eq!(propfind(&mut client, home), 401, "{name:?}");
    }
    let mut alice = server.client("alice", &password);
    assert_eq!(propfind(&mut alice, home), 207);
    assert_eq!(
        propfind(&mut server.client("alice@EXAMPLE.org", &password), home),
        207
    );
    for name in [
        "*",
        "al*",
        "al?ce",
        "al.ce",
        "b%6Fb",
        "bob",
        "%2A",
        "[ab]*",
        "ALICE",
        "alice,bob",
        "alice;bob",
        "alice%00",
        "%D0%B0lice",
        "alice%20",
        "al%2Ece",
    ] {
        for place in ["principals", "calendars"] {
            let status = propfind(&mut alice, &format!("/dav/{place}/{name}/"));
            assert!(matches!(status, 400 | 404), "{place} {name}: {status}");
        }
    }
    // what separates name and secret is the first colon, and nothing else of them is special
    let tricks = [
        format!("alice:alice:{password}"),
        format!("bob\nalice:{password}"),
        format!("alice\u{0}:{password}"),
    ];
    for trick in tricks {
        let (name, secret) = trick.split_once(':').expect("a colon");
        let headers = [("Authorization", basic(name, secret))];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let answer = alice.ask("PROPFIND", home, &headers, b"");
        assert_eq!(answer.status, 401, "{trick:?}");
    }
}

/// H31 over sockets: of many writers that saw the same state, one wins.
#[test]
fn h31_one_of_many_writers_with_the_same_if_match_wins() {
    const WRITERS: usize = 16;
    const ROUNDS: usize = 10;
    let (server, mut client) = Server::with_user("alice");
    let password = server.app_password("alice", "others");
    let target = "/dav/calendars/alice/calendar/event.ics";
    let kind = ("Content-Type", "text/calendar");
    let first = client.expect(201, "PUT", target, &[kind], &event("u", ""));
    let mut etag = first.header("etag").expect("an ETag").to_owned();
    let mut others: Vec<Client> = (0..WRITERS)
        .map(|_| server.client("alice", &password))
        .collect();
    for round in 0..ROUNDS {
        let start = Barrier::new(WRITERS);
        let won: Vec<(usize, String)> = thread::scope(|scope| {
            let writers: Vec<_> = others
                .iter_mut()
                .enumerate()
                .map(|(number, writer)| {
                    let (start, etag) = (&start, &etag);
                    scope.spawn(move || {
                        let body = event("u", &format!("SUMMARY:{round} {number}\r\n"));
                        start.wait();
                        let headers = [kind, ("If-Match", etag.as_str())];
                        let answer = writer.ask("PUT", target, &headers, body.as_bytes());
                        match answer.status {
                            204 => Some((number, answer.header("etag").expect("one").to_owned())),
                            412 => None,
                            other => panic!("{other}: {}", answer.text()),
                        }
                    })
                })
                .collect();
            let ended = writers.into_iter();
            ended
                .filter_map(|writer| writer.join().expect("it ends"))
                .collect()
        });
        assert_eq!(won.len(), 1, "round {round}: {won:?}");
        etag = won[0].1.clone();
        let got = client.expect(200, "GET", target, &[], "");
        assert_eq!(got.header("etag"), Some(etag.as_str()));
        let summary = format!("SUMMARY:{round} {}\r\n", won[0].0);
        assert!(got.text().contains(&summary), "{}", got.text());
    }
}
