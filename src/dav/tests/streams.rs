//! Answers that are made while they are sent: large objects, and long listings that meet changes.

use std::sync::atomic::Ordering;

use super::{HOME, Server};
use crate::dav::{Body, Response, Steps};
use crate::limits;
use crate::vault::Retention;
use crate::vault::testing::SYNC_FAILS;

const FILE: &str = "/dav/calendars/alice/files/large";

/// No two chunks of it are alike.
fn text(bytes: usize) -> String {
    let lines = (0..).map(|number: usize| format!("{number:07}\n"));
    let mut text: String = lines.take(bytes / 8 + 1).collect();
    text.truncate(bytes);
    text
}

fn server(content: &str) -> Server {
    let server = Server::new();
    server.expect(201, "MKCOL", &format!("{HOME}files/"), &[], "");
    put(&server, content);
    server
}

fn put(server: &Server, content: &str) {
    let answer = server.ask("PUT", FILE, &[("content-type", "text/plain")], content);
    assert!(answer.status < 300, "{}", answer.status);
}

#[track_caller]
fn steps(response: Response) -> Steps {
    match response.body {
        Body::Stream(steps) => steps,
        _ => panic!("not streamed"),
    }
}

#[test]
fn large_objects_are_sent_by_the_chunk() {
    let content = text(5 * limits::CHUNK_BYTES + 17);
    let server = server(&content);
    let response = server.respond("GET", FILE, &[], "");
    let length = content.len().to_string();
    assert_eq!(response.headers["content-length"], length.as_str());
    let steps: Vec<_> = steps(response).map(Result::unwrap).collect();
    assert!(
        steps
            .iter()
            .all(|step| step.len() <= limits::STREAM_STEP_BYTES)
    );
    assert!(steps.concat() == content.as_bytes());
    let head = server.expect(200, "HEAD", FILE, &[], "");
    assert_eq!(head.header("content-length"), length);
}

#[test]
fn ranges_of_large_objects_are_cut_to_the_byte() {
    let content = text(5 * limits::CHUNK_BYTES + 17);
    let server = server(&content);
    let chunk = limits::CHUNK_BYTES;
    for (first, last) in [
        (0, 0),
        (chunk - 100, chunk + 100),
        (chunk / 2, 4 * chunk),
        (0, 3 * chunk),
        (5 * chunk, content.len() - 1),
    ] {
        let range = format!("bytes={first}-{last}");
        let answer = server.expect(206, "GET", FILE, &[("range", &range)], "");
        assert!(answer.text == content[first..=last], "{range}");
        let response = server.respond("GET", FILE, &[("range", &range)], "");
        match last - first < limits::STREAM_STEP_BYTES {
            true => assert!(matches!(response.body, Body::Full(_)), "{range}"),
            false => assert_eq!(
                response.headers["content-length"],
                (last - first + 1).to_string().as_str()
            ),
        }
    }
    let two = format!("bytes=10-{},{}-", 2 * chunk, 4 * chunk);
    let answer = server.expect(206, "GET", FILE, &[("range", &two)], "");
    assert_eq!(
        answer.header("content-length"),
        answer.text.len().to_string()
    );
    for part in [&content[10..=2 * chunk], &content[4 * chunk..]] {
        assert!(answer.text.contains(&format!("\r\n\r\n{part}\r\n--")));
    }
}

/// What was begun is never gone on with bytes of another revision.
#[test]
fn a_large_object_that_changes_meanwhile_is_cut() {
    let content = text(5 * limits::CHUNK_BYTES);
    let server = server(&content);
    server._vault.vault.retain(Retention::NOTHING);
    for change in ["PUT", "DELETE"] {
        let mut steps = steps(server.respond("GET", FILE, &[], ""));
        let first = steps.next().unwrap().unwrap();
        assert!(content.as_bytes().starts_with(&first));
        let other = content.replace('\n', " ");
        let headers = [("content-type", "text/plain")];
        let body = if change == "PUT" { other.as_str() } else { "" };
        assert_eq!(server.ask(change, FILE, &headers[..], body).status, 204);
        server.account.barrier().wait().unwrap();
        assert!(steps.any(|step| step.is_err()), "{change}");
        put(&server, &content);
    }
}

#[test]
fn a_large_object_whose_old_version_is_kept_is_sent_to_its_end() {
    let content = text(5 * limits::CHUNK_BYTES);
    let server = server(&content);
    let mut steps = steps(server.respond("GET", FILE, &[], ""));
    let mut sent = steps.next().unwrap().unwrap().to_vec();
    server.expect(204, "DELETE", FILE, &[], "");
    server.account.barrier().wait().unwrap();
    for step in steps {
        sent.extend_from_slice(&step.unwrap());
    }
    assert_eq!(sent, content.as_bytes());
}

/// A listing that is still being sent shows a lock that was taken meanwhile. Run by nextest in a
/// process of its own, which the failing syncs need.
#[test]
fn a_late_step_tells_of_nothing_that_is_not_durable() {
    let server = Server::new();
    server.expect(201, "MKCOL", &format!("{HOME}files/"), &[], "");
    let file = |number: usize| format!("{HOME}files/{number:04}");
    for number in 0..1_000 {
        server.expect(201, "PUT", &file(number), &[], "x");
    }
    let lock = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope>\
                <D:locktype><D:write/></D:locktype><D:owner>late</D:owner></D:lockinfo>";
    server.expect(200, "LOCK", &file(0), &[], lock);
    server.account.barrier().wait().unwrap();
    let body = "<D:propfind xmlns:D='DAV:'><D:prop><D:lockdiscovery/><D:supportedlock/></D:prop></D:propfind>";
    let listing = || {
        let files = format!("{HOME}files/");
        steps(server.respond("PROPFIND", &files, &[("depth", "1")], body))
    };
    assert!(listing().all(|step| step.is_ok()));
    let mut late = listing();
    assert!(late.next().unwrap().is_ok());
    SYNC_FAILS.store(true, Ordering::Relaxed);
    let taken = server.respond("LOCK", &file(399), &[], lock);
    assert!(taken.receipt.wait().is_err(), "it was acknowledged");
    assert!(late.next().unwrap().is_err());
}
