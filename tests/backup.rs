//! Backups of the running program, restored into another data directory that is served then.

mod common;

use std::fs;

use common::everything::event;
use common::{Client, PASSWORD, Server};

const CALENDAR: &str = "/dav/calendars/anna/calendar/";
const ICS: (&str, &str) = ("Content-Type", "text/calendar");

fn put(client: &mut Client, number: usize) {
    let body = event(&format!("u{number}"), "SUMMARY:lunch\r\n");
    client.expect(
        201,
        "PUT",
        &format!("{CALENDAR}{number}.ics"),
        &[ICS],
        &body,
    );
}

fn sync(client: &mut Client, token: &str, status: u16) -> String {
    let body = format!(
        "<sync-collection xmlns='DAV:'><sync-token>{token}</sync-token><sync-level>1</sync-level>\
         <prop><getetag/></prop></sync-collection>"
    );
    let headers = [("Content-Type", "application/xml"), ("Depth", "0")];
    client
        .expect(status, "REPORT", CALENDAR, &headers, &body)
        .text()
}

fn token(answer: &str) -> &str {
    let (_, rest) = answer.split_once("urn:sealdav:sync:").expect("a token");
    let end = rest.find('<').expect("its end");
    let start = answer.len() - rest.len() - "urn:sealdav:sync:".len();
    &answer[start..start + "urn:sealdav:sync:".len() + end]
}

fn refused(server: &Server, arguments: &[&str], sentence: &str) {
    let output = server.command(arguments, "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?}");
    assert!(said.contains(sentence), "{said}");
}

#[test]
fn a_running_server_is_backed_up_and_restored() {
    let mut server = Server::new();
    server.add_user("anna");
    server.add_user("bert");
    server.start(&["--plain-http"]);
    let secret = server.app_password("anna", "phone");
    let mut client = server.client("anna", &secret);
    put(&mut client, 1);
    let answer = sync(&mut client, "", 207);
    let token = token(&answer);
    sync(&mut client, token, 207);
    for place in ["rows", "key-files"] {
        fs::create_dir(server.beside(place)).expect("a folder");
    }
    let text = |name: &str| server.beside(name).display().to_string();
    let (rows, key_files, new) = (text("rows"), text("key-files"), text("new"));
    let said = server.done(&["backup", "--to", &rows], "");
    assert!(said.contains("rows"), "{said}");
    let said = server.done(&["backup", "keys", "--to", &key_files], "");
    assert!(said.contains(".sealdav-keys"), "{said}");
    let said = server.done(&["backup", "verify", &rows], "");
    assert!(said.contains("this server's host key"), "{said}");
    assert!(said.contains("ok: 1 backups"), "{said}");
    refused(
        &server,
        &["backup", "--to", &text("missing")],
        "mount the disk",
    );
    put(&mut client, 2);
    server.done(&["user", "delete", "bert", "--yes"], "");
    let said = server.done(&["restore", &rows, "--drill"], "");
    assert!(said.contains("ok: this backup can be restored"), "{said}");
    refused(&server, &["compact"], "stop it first");
    refused(
        &server,
        &["restore", &rows, "--user", "anna"],
        "stop it first",
    );
    let data = text("data");
    refused(&server, &["restore", &rows, "--to", &data], "not empty");
    server.stop();
    let said = server.done(&["restore", &rows, "--to", &new, "--keys", &key_files], "");
    assert!(said.contains("1 accounts were deleted since"), "{said}");
    fs::rename(server.data(), server.beside("old")).expect("it moves");
    fs::rename(server.beside("new"), server.data()).expect("it moves");
    serve_restored(&mut server, &secret, token);
    let said = server.done(&["restore", &rows, "--user", "anna"], "");
    assert!(said.contains("Put back"), "{said}");
    server.done(&["user", "rotate", "anna", "--password-stdin"], PASSWORD);
    refused(
        &server,
        &["restore", &rows, "--user", "anna"],
        "another key",
    );
    fs::write(server.data().join("restoring"), "").expect("a mark");
    refused(&server, &["user", "list"], "not finished");
}

/// The server has what the backup had, and clients learn that it is another life of the store.
fn serve_restored(server: &mut Server, secret: &str, token: &str) {
    server.start(&["--plain-http"]);
    let mut client = server.client("anna", secret);
    let first = format!("{CALENDAR}1.ics");
    let body = client.expect(200, "GET", &first, &[], "").text();
    assert!(body.contains("SUMMARY:lunch"), "{body}");
    client.expect(404, "GET", &format!("{CALENDAR}2.ics"), &[], "");
    let answer = sync(&mut client, token, 403);
    assert!(answer.contains("valid-sync-token"), "{answer}");
    assert!(sync(&mut client, "", 207).contains("1.ics"));
    assert!(!server.done(&["user", "list"], "").contains("bert"));
    assert_eq!(server.done(&["health"], ""), "ok\n");
    let trail = server.done(&["audit", "show", "--administration"], "");
    assert!(trail.contains("restore"), "{trail}");
    server.done(&["audit", "verify"], "");
    server.stop();
    let said = server.done(&["compact"], "");
    assert!(said.contains("takes"), "{said}");
    server.start(&["--plain-http"]);
    let mut client = server.client("anna", secret);
    client.expect(200, "GET", &first, &[], "");
    server.stop();
}
