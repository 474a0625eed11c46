//! P10, P11 and H30 over the whole program: what a user and an administrator read of the audit
//! trail and of devices, what a verification notices, and what a power cut leaves.

mod common;

use std::fs;

use common::everything::event;
use common::{PASSWORD, Server, copy};
use serde_json::Value;

const CALENDAR: &str = "/dav/calendars/alice/calendar/";

fn put(client: &mut common::Client, number: usize) -> u16 {
    let headers = [
        ("Content-Type", "text/calendar"),
        (
            "User-Agent",
            "DAVx5/4.4.1-ose (dav4jvm; okhttp/4.12.0) Android/14",
        ),
    ];
    let body = event(&format!("u{number}"), "SUMMARY:lunch\r\n");
    let target = format!("{CALENDAR}{number}.ics");
    client.ask("PUT", &target, &headers, body.as_bytes()).status
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn with<'a>(lines: &'a [Value], what: &str) -> &'a Value {
    let found = lines.iter().find(|line| line["what"] == what);
    found.unwrap_or_else(|| panic!("no {what} in {lines:?}"))
}

#[test]
fn a_user_reads_their_own_trail_and_an_administrator_that_of_administration() {
    let (mut server, mut client) = Server::with_user("alice");
    assert_eq!(put(&mut client, 1), 201);
    client.ask("GET", &format!("{CALENDAR}1.ics"), &[], b"");
    let show = ["audit", "show", "alice", "--password-stdin", "--json"];
    let own = lines(&server.done(&show, PASSWORD));
    for what in ["change", "read"] {
        let line = with(&own, what);
        let names = (line["calendar"].as_str(), line["device"].as_str());
        assert_eq!(names, (Some("Calendar"), Some("test")), "{line}");
    }
    for what in ["sign-in", "new-device", "new-client", "key-cut"] {
        assert_eq!(with(&own, what)["device"], "test");
    }
    let text = server.done(&show[..4], PASSWORD);
    assert!(text.contains("GMT\tchange\t1\tCalendar\ttest\n"), "{text}");
    let refused = server.command(&show, "wrong password");
    assert!(!refused.status.success() && refused.stdout.is_empty());
    let office = server.done(&["audit", "show", "--administration", "--json"], "");
    assert_eq!(with(&lines(&office), "user-add")["account"], "alice");
    assert!(
        !office.contains("\"change\"") && !office.contains("Calendar"),
        "{office}"
    );
    let devices = server.done(&["device", "list", "alice"], "");
    let expected = "DAVx5, other\ttest\n";
    assert!(
        devices.ends_with(expected) && !devices.contains("never"),
        "{devices}"
    );
    let listed = server.done(&["app-password", "list", "alice"], "");
    assert!(
        listed.contains("GMT\tlast used ") && listed.ends_with("\ttest\n"),
        "{listed}"
    );
    let log = String::from_utf8(server.log()).expect("text");
    let slot = devices.split('\t').next().expect("a slot");
    let told = log.lines().find(|line| line.contains("not seen before"));
    assert!(told.is_some_and(|line| line.contains(slot)), "{log}");
    // The same from the data directory alone.
    for running in [true, false] {
        assert!(
            server.done(&["audit", "verify"], "").starts_with("ok: "),
            "{running}"
        );
        let export = server.done(&["audit", "export"], "");
        let pages = lines(&export);
        let (heads, pages) = pages.split_last().expect("heads");
        assert!(
            heads["heads"]
                .as_str()
                .expect("a text")
                .contains("\nsigned ")
        );
        for page in pages {
            assert_eq!(
                page["account"].is_null(),
                page["entries"].is_array(),
                "{page}"
            );
        }
        for secret in ["Calendar", "test", "alice", "example.org"] {
            assert!(!export.contains(secret), "{secret} in {export}");
        }
        let again = lines(&server.done(&show, PASSWORD));
        assert_eq!(with(&again, "change")["calendar"], "Calendar");
        if running {
            server.stop();
        }
    }
}

#[test]
fn a_database_put_back_is_named_by_verify_and_health_and_the_server_goes_on() {
    let (mut server, mut client) = Server::with_user("alice");
    let password = server.app_password("alice", "phone");
    assert_eq!(put(&mut client, 1), 201);
    server.stop();
    copy(&server.data().join("db"), &server.beside("old"));
    server.start(&["--plain-http"]);
    assert_eq!(server.done(&["health"], ""), "ok\n");
    let mut client = server.client("alice", &password);
    assert_eq!(put(&mut client, 2), 201);
    server.stop();
    fs::remove_dir_all(server.data().join("db")).expect("it goes");
    copy(&server.beside("old"), &server.data().join("db"));
    for _ in 0..2 {
        let verified = server.command(&["audit", "verify"], "");
        assert_eq!(verified.status.code(), Some(1));
        let told = String::from_utf8(verified.stdout).expect("text");
        assert!(told.contains("put back from an older state"), "{told}");
    }
    server.start(&["--plain-http"]);
    let health = server.done(&["health"], "");
    assert!(
        health.starts_with("ok\n") && health.contains("audit.heads.disputed"),
        "{health}"
    );
    let mut client = server.client("alice", &password);
    assert_eq!(put(&mut client, 3), 201);
    let office = server.done(&["audit", "show", "--administration", "--json"], "");
    with(&lines(&office), "rollback-noticed");
    server.stop();
    fs::remove_file(server.data().join("audit.heads.disputed")).expect("it is there");
    assert!(server.done(&["audit", "verify"], "").starts_with("ok: "));
}

#[test]
fn a_power_cut_leaves_a_trail_that_tells_of_all_that_was_acknowledged() {
    let (mut server, _) = Server::with_user("alice");
    let password = server.app_password("alice", "phone");
    let mut acknowledged = 0;
    for round in 0..3 {
        let (address, password) = (server.address(), &password);
        let counts = std::thread::scope(|scope| {
            let work = move |part: usize| {
                let mut client = common::Client::new(address, "alice", password);
                let puts = (0..60).take_while(|number| {
                    let number = round * 1_000 + part * 100 + number;
                    let asked = std::panic::AssertUnwindSafe(|| put(&mut client, number));
                    std::panic::catch_unwind(asked).is_ok_and(|status| status == 201)
                });
                puts.count()
            };
            let workers: Vec<_> = (0..4).map(|part| scope.spawn(move || work(part))).collect();
            std::thread::sleep(std::time::Duration::from_millis(60));
            server.kill();
            let counts = workers
                .into_iter()
                .map(|worker| worker.join().expect("it ends"));
            counts.collect::<Vec<usize>>()
        });
        acknowledged += counts.iter().sum::<usize>();
        let verified = server.done(&["audit", "verify"], "");
        assert!(verified.starts_with("ok: "), "{verified}");
        server.start(&["--plain-http"]);
    }
    assert!(acknowledged > 0);
    let show = ["audit", "show", "alice", "--password-stdin", "--json"];
    let told = lines(&server.done(&show, PASSWORD));
    let mine = told
        .iter()
        .filter(|line| line["what"] == "change" && line["device"] == "phone");
    let told: u64 = mine
        .map(|line| line["count"].as_u64().expect("a number"))
        .sum();
    let list =
        server
            .client("alice", &password)
            .expect(207, "PROPFIND", CALENDAR, &[("Depth", "1")], "");
    let objects = list.text().matches(".ics</").count();
    assert_eq!(
        told, objects as u64,
        "each change is told, and nothing else is"
    );
    assert!(objects >= acknowledged);
    assert_eq!(server.done(&["health"], ""), "ok\n");
}
