//! The server under load: where its calendars are, who asks, and how requests are written.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The calendar that is read, and whose size is the run's.
pub const LARGE: &str = "large";
/// The calendar for PUT and DELETE.
pub const WRITES: &str = "writes";

/// One account on one server.
#[derive(Clone)]
pub struct Target {
    /// Path of the calendar home, with a slash at the end.
    pub home: String,
    /// Whether the server gives back the bytes that it was sent, as this project's does.
    pub exact: bool,
    /// Host and Authorization.
    head: String,
}

impl Target {
    /// Who asks whom.
    pub fn new(authority: &str, home: &str, user: &str, password: &str, exact: bool) -> Target {
        let basic = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let head = format!(
            "Host: {authority}\r\nAuthorization: Basic {basic}\r\nUser-Agent: sealdav-load\r\n"
        );
        Target {
            home: home.to_owned(),
            exact,
            head,
        }
    }

    /// The path of a calendar, with a slash at the end.
    pub fn path(&self, calendar: &str) -> String {
        format!("{}{calendar}/", self.home)
    }

    fn line(&self, into: &mut Vec<u8>, method: &str, parts: [&str; 4]) {
        for part in [
            method,
            " ",
            parts[0],
            parts[1],
            parts[2],
            parts[3],
            " HTTP/1.1\r\n",
            &self.head,
        ] {
            into.extend_from_slice(part.as_bytes());
        }
    }

    /// A GET of an object.
    pub fn get(&self, into: &mut Vec<u8>, calendar: &str, name: &str) {
        self.line(into, "GET", [&self.home, calendar, "/", name]);
        into.extend_from_slice(b"\r\n");
    }

    /// A DELETE of an object.
    pub fn delete(&self, into: &mut Vec<u8>, calendar: &str, name: &str) {
        self.line(into, "DELETE", [&self.home, calendar, "/", name]);
        into.extend_from_slice(b"\r\n");
    }

    /// A PUT of an object.
    pub fn put(&self, into: &mut Vec<u8>, calendar: &str, name: &str, condition: &str, body: &str) {
        self.line(into, "PUT", [&self.home, calendar, "/", name]);
        into.extend_from_slice(condition.as_bytes());
        let length = body.len();
        into.extend_from_slice(
            format!(
                "Content-Type: text/calendar; charset=utf-8\r\nContent-Length: {length}\r\n\r\n"
            )
            .as_bytes(),
        );
        into.extend_from_slice(body.as_bytes());
    }

    /// A request with an XML body.
    pub fn xml(&self, into: &mut Vec<u8>, method: &str, path: &str, depth: &str, body: &str) {
        self.line(into, method, [path, "", "", ""]);
        let length = body.len() + PROLOGUE.len();
        let more = format!(
            "Depth: {depth}\r\nContent-Type: application/xml; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{PROLOGUE}{body}"
        );
        into.extend_from_slice(more.as_bytes());
    }

    /// A MKCALENDAR without a body.
    pub fn make(&self, into: &mut Vec<u8>, calendar: &str) {
        self.line(into, "MKCALENDAR", [&self.home, calendar, "/", ""]);
        into.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

const PROLOGUE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>";
