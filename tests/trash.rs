//! Trash, history and undo over the whole program: what a user restores by the commands arrives at
//! clients by sync-collection (RFC 6578).

mod common;

use common::everything::event;
use common::{Client, PASSWORD, Server};
use serde_json::Value;

const CALENDAR: &str = "/dav/calendars/alice/calendar/";
const ICS: [(&str, &str); 1] = [("Content-Type", "text/calendar")];

fn put(client: &mut Client, name: &str, summary: &str) {
    let body = event(name, &format!("SUMMARY:{summary}\r\n"));
    let answer = client.ask("PUT", &format!("{CALENDAR}{name}"), &ICS, body.as_bytes());
    assert!(answer.status < 300, "{}", answer.status);
}

fn delete(client: &mut Client, target: &str) {
    assert_eq!(client.ask("DELETE", target, &[], b"").status, 204);
}

fn get(client: &mut Client, name: &str) -> String {
    let answer = client.ask("GET", &format!("{CALENDAR}{name}"), &[], b"");
    assert_eq!(answer.status, 200);
    answer.text()
}

/// What a client is told since a token, and the next one.
fn sync(client: &mut Client, token: &str) -> (String, String) {
    let body = format!(
        "<D:sync-collection xmlns:D='DAV:'><D:sync-token>{token}</D:sync-token>\
         <D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>"
    );
    let answer = client.ask("REPORT", CALENDAR, &[("Depth", "0")], body.as_bytes());
    assert_eq!(answer.status, 207);
    let text = answer.text();
    let next = text.rsplit("urn:sealdav:sync:").next().expect("a token");
    let next = next.split('<').next().expect("its end");
    let token = format!("urn:sealdav:sync:{next}");
    (text, token)
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn alice(server: &Server, command: &[&str], more: &[&str]) -> String {
    let all = [command, &["alice"], more, &["--password-stdin"]].concat();
    server.done(&all, PASSWORD)
}

fn trash(server: &Server) -> Vec<Value> {
    lines(&alice(server, &["trash", "list"], &["--json"]))
}

#[test]
fn what_is_restored_arrives_by_sync() {
    let (mut server, mut client) = Server::with_user("alice");
    for (name, text) in [("a.ics", "first"), ("a.ics", "second"), ("b.ics", "other")] {
        put(&mut client, name, text);
    }
    let (_, token) = sync(&mut client, "");
    delete(&mut client, &format!("{CALENDAR}b.ics"));
    let (told, token) = sync(&mut client, &token);
    assert!(told.contains("b.ics") && told.contains(" 404 "), "{told}");
    let items = trash(&server);
    assert_eq!(items.len(), 1);
    assert_eq!(
        (&items[0]["path"], &items[0]["device"]),
        (&"/calendar/b.ics".into(), &"test".into())
    );
    let id = items[0]["id"].as_str().expect("an id");
    let said = alice(&server, &["trash", "restore"], &[id]);
    assert_eq!(said, "Restored: /calendar/b.ics\n");
    let (told, token) = sync(&mut client, &token);
    assert!(
        told.contains("b.ics") && told.contains("getetag") && !told.contains(" 404 "),
        "{told}"
    );
    assert!(get(&mut client, "b.ics").contains("other"));
    let listed = lines(&alice(
        &server,
        &["history", "list"],
        &["calendar/a.ics", "--json"],
    ));
    assert_eq!(listed.len(), 1);
    let number = listed[0]["version"].to_string();
    let version = ["calendar/a.ics", "--version", &number];
    let shown = alice(&server, &["history", "show"], &version);
    assert_eq!(shown, event("a.ics", "SUMMARY:first\r\n"));
    alice(&server, &["history", "restore"], &version);
    assert_eq!(get(&mut client, "a.ics"), shown);
    let (told, _) = sync(&mut client, &token);
    assert!(told.contains("a.ics") && !told.contains("b.ics"), "{told}");
    // A deleted calendar too, and without a server.
    delete(&mut client, CALENDAR);
    server.stop();
    let items = trash(&server);
    assert_eq!(items[0]["kind"], "collection");
    let id = items[0]["id"].as_str().expect("an id");
    alice(&server, &["trash", "restore"], &[id]);
    server.start(&["--plain-http"]);
    let secret = server.app_password("alice", "again");
    let mut client = server.client("alice", &secret);
    assert!(get(&mut client, "b.ics").contains("other"));
    let refused = server.command(
        &["trash", "list", "alice", "--password-stdin"],
        "wrong password",
    );
    assert!(!refused.status.success() && refused.stdout.is_empty());
    server.stop();
}

#[test]
fn an_undo_tells_first_and_a_purge_erases() {
    let (mut server, mut client) = Server::with_user("alice");
    put(&mut client, "a.ics", "mine");
    let secret = server.app_password("alice", "lost phone");
    let mut lost = server.client("alice", &secret);
    put(&mut lost, "a.ics", "spoilt");
    put(&mut lost, "spam.ics", "spam");
    let undo = ["--device", "lost phone", "--since", "1h"];
    let told = alice(&server, &["undo"], &undo);
    assert!(told.contains("reverted\t/calendar/a.ics"), "{told}");
    assert!(
        told.contains("deleted\t/calendar/spam.ics") && told.contains("--yes"),
        "{told}"
    );
    assert!(
        get(&mut client, "a.ics").contains("spoilt"),
        "nothing was done"
    );
    let done = alice(&server, &["undo"], &[&undo[..], &["--yes"]].concat());
    assert!(done.ends_with("2 undone, 0 left as they are.\n"), "{done}");
    assert!(get(&mut client, "a.ics").contains("mine"));
    assert_eq!(trash(&server).len(), 1);
    let purged = alice(&server, &["trash", "purge"], &["--all"]);
    assert_eq!(purged, "2 purged for good.\n");
    assert!(trash(&server).is_empty());
    assert_eq!(
        alice(&server, &["history", "list"], &["calendar/a.ics"]),
        ""
    );
    let trail = alice(&server, &["audit", "show"], &[]);
    for action in ["undo", "trash-purged"] {
        assert!(trail.contains(action), "{trail}");
    }
    server.stop();
}

/// A sync of the home, which tells of its calendars.
fn sync_home(client: &mut Client, token: &str) -> String {
    let body = format!(
        "<D:sync-collection xmlns:D='DAV:'><D:sync-token>{token}</D:sync-token>\
         <D:sync-level>1</D:sync-level><D:prop><D:resourcetype/></D:prop></D:sync-collection>"
    );
    let home = "/dav/calendars/alice/";
    let answer = client.ask("REPORT", home, &[("Depth", "0")], body.as_bytes());
    assert_eq!(answer.status, 207);
    answer.text()
}

#[test]
fn a_restored_calendar_arrives_by_sync_and_trash_blocks_nothing() {
    let (mut server, mut client) = Server::with_user("alice");
    put(&mut client, "a.ics", "first");
    let (_, token) = sync(&mut client, "");
    let told = sync_home(&mut client, "");
    let home_token = told.rsplit("urn:sealdav:sync:").next().expect("a token");
    let home_token = home_token.split('<').next().expect("its end");
    let home_token = format!("urn:sealdav:sync:{home_token}");
    put(&mut client, "b.ics", "second");
    delete(&mut client, &format!("{CALENDAR}b.ics"));
    // Name and UID are free, together and one by one.
    put(&mut client, "b.ics", "again");
    delete(&mut client, &format!("{CALENDAR}b.ics"));
    let uid = event("b.ics", "SUMMARY:under another name\r\n");
    let other = format!("{CALENDAR}other.ics");
    let answer = client.ask("PUT", &other, &ICS, uid.as_bytes());
    assert_eq!(answer.status, 201);
    delete(&mut client, CALENDAR);
    let made = client.ask("MKCALENDAR", CALENDAR, &[], b"");
    assert_eq!(made.status, 201, "its name is free");
    put(&mut client, "a.ics", "in the new one");
    let (fresh, _) = sync(&mut client, "");
    assert!(
        fresh.contains("a.ics") && !fresh.contains("other.ics"),
        "{fresh}"
    );
    delete(&mut client, CALENDAR);
    let calendars = trash(&server);
    let calendars: Vec<_> = calendars
        .iter()
        .filter(|item| item["kind"] == "collection")
        .collect();
    assert_eq!(calendars.len(), 2);
    // The older one; the newest is first.
    let id = calendars[1]["id"].as_str().expect("an id");
    let said = alice(&server, &["trash", "restore"], &[id]);
    assert_eq!(said, "Restored: /calendar\n");
    let told = sync_home(&mut client, &home_token);
    assert!(
        told.contains("/dav/calendars/alice/calendar/") && !told.contains(" 404 "),
        "{told}"
    );
    // With the token from before the deletion exactly what changed since.
    let (told, token) = sync(&mut client, &token);
    assert!(
        told.contains("other.ics") && told.contains("b.ics"),
        "{told}"
    );
    assert!(!told.contains("a.ics"), "{told}");
    assert!(get(&mut client, "a.ics").contains("first"));
    put(&mut client, "a.ics", "goes on");
    let (told, _) = sync(&mut client, &token);
    assert!(
        told.contains("a.ics") && !told.contains("other.ics"),
        "{told}"
    );
    server.stop();
}
