//! Whole requests against a real vault, in process: single resources, conditions and locks.
//! Named after the examples and rules of the RFCs that they check.

use std::sync::{Arc, Barrier};

use http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::ambient::Ambient;
use crate::dav::{Body, Dav, DavSettings, Request, Response};
use crate::vault::AccountStore;
use crate::vault::testing::{TestVault, account};

const HOME: &str = "/dav/calendars/alice";

/// A server with one account.
struct Server {
    dav: Dav,
    account: AccountStore,
    _vault: TestVault,
}

impl Server {
    /// With a calendar `cal` and a plain collection `files`.
    fn new() -> Self {
        let (vault, account) = account();
        let settings = DavSettings {
            object_bytes: 10_000,
            attendees: 3,
            ..DavSettings::default()
        };
        let dav = Dav::new(settings, Arc::new(Ambient::system()));
        let server = Server {
            dav,
            account,
            _vault: vault,
        };
        server.expect(201, "MKCALENDAR", "/cal/", &[], "");
        server.expect(201, "MKCOL", "/files/", &[], "");
        server
    }

    /// Sends a request to a path below the home.
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let request = Request {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            target: format!("{HOME}{path}"),
            headers: map,
            body: body.as_bytes().to_vec().into(),
            authorities: vec!["cal.example.org".into()],
            https: true,
        };
        self.dav.handle(&self.account, request)
    }

    /// The same, and checks the status.
    #[track_caller]
    fn expect(
        &self,
        status: u16,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let response = self.ask(method, path, headers, body);
        let got = response.status.as_u16();
        assert_eq!(
            got,
            status,
            "{method} {path} {headers:?}: {:?}",
            text(&response)
        );
        response
    }

    /// Expects a refusal whose body names a condition.
    #[track_caller]
    fn refused(
        &self,
        (status, condition): (u16, &str),
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> String {
        let response = self.expect(status, method, path, headers, body);
        let text = text(&response);
        assert!(
            text.contains(condition),
            "{method} {path}: no {condition} in {text:?}"
        );
        text
    }

    #[track_caller]
    fn put(&self, path: &str, body: &str) -> String {
        let headers: &[(&str, &str)] = match path.ends_with(".ics") {
            true => &[("content-type", "text/calendar")],
            false => &[("content-type", "text/plain")],
        };
        let response = self.ask("PUT", path, headers, body);
        assert!(
            response.status.is_success(),
            "{path}: {} {}",
            response.status,
            text(&response)
        );
        header(&response, ETAG)
    }

    #[track_caller]
    fn get(&self, path: &str) -> String {
        text(&self.expect(200, "GET", path, &[], ""))
    }

    /// Locks and gives the token.
    #[track_caller]
    fn lock(&self, status: u16, path: &str, depth: &str, scope: &str) -> String {
        let headers = [("depth", depth), ("timeout", "Infinite, Second-4100000000")];
        let response = self.expect(status, "LOCK", path, &headers, &lock_info(scope));
        let token = header(&response, HeaderName::from_static("lock-token"));
        token.trim_matches(['<', '>']).to_owned()
    }
}

fn text(response: &Response) -> String {
    match &response.body {
        Body::Empty => String::new(),
        Body::Full(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        Body::Stream(_) => panic!("a stream"),
    }
}

fn header(response: &Response, name: HeaderName) -> String {
    let value = response.headers.get(&name);
    value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

fn event(uid: &str, more: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\nBEGIN:VEVENT\r\nUID:{uid}\r\n\
         DTSTAMP:20060712T182145Z\r\nDTSTART:20060714T170000Z\r\n{more}END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

fn lock_info(scope: &str) -> String {
    format!(
        "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/>\
         </D:locktype><D:owner><D:href>http://example.org/~ejw/contact.html</D:href></D:owner>\
         </D:lockinfo>"
    )
}

#[test]
fn rfc4918_9_3_mkcol() {
    let server = Server::new();
    server.expect(201, "MKCOL", "/xfiles/", &[], "");
    let again = server.expect(405, "MKCOL", "/xfiles/", &[], "");
    assert!(!header(&again, ALLOW).contains("MKCOL"));
    server.expect(409, "MKCOL", "/a/b/", &[], "");
    server.expect(
        415,
        "MKCOL",
        "/y/",
        &[("content-type", "xzy-foo/bar-512")],
        "afafafaf",
    );
    server.expect(415, "MKCOL", "/y/", &[("content-type", "text/xml")], "<a/>");
    server.put("/files/plain", "x");
    server.expect(405, "MKCOL", "/files/plain", &[], "");
    server.expect(409, "MKCOL", "/files/plain/below/", &[], "");
    server.expect(403, "MKCOL", "/cal/sub/", &[], "");
    server.expect(404, "GET", "/y/", &[], "");
}

#[test]
fn rfc5689_3_4_and_3_5_extended_mkcol() {
    let server = Server::new();
    let body = |types: &str| {
        format!(
            "<D:mkcol xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav' xmlns:E='urn:e'><D:set>\
             <D:prop><D:resourcetype>{types}</D:resourcetype><D:displayname>Special</D:displayname>\
             </D:prop></D:set></D:mkcol>"
        )
    };
    let bad = body("<D:collection/><E:special-resource/>");
    let refusal = server.refused(
        (403, "<D:valid-resourcetype/>"),
        "MKCOL",
        "/special/",
        &[],
        &bad,
    );
    assert!(refusal.contains("mkcol-response") && refusal.contains("424 Failed Dependency"));
    server.expect(404, "GET", "/special/", &[], "");
    server.expect(
        201,
        "MKCOL",
        "/special/",
        &[],
        &body("<D:collection/><C:calendar/>"),
    );
    server.put("/special/1.ics", &event("1", ""));
}

#[test]
fn rfc4791_5_3_1_2_mkcalendar() {
    let server = Server::new();
    let body = |inner: &str| {
        format!(
            "<C:mkcalendar xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'><D:set><D:prop>\
             <D:displayname>Lisa's Events</D:displayname>{inner}</D:prop></D:set></C:mkcalendar>"
        )
    };
    let components = "<C:supported-calendar-component-set><C:comp name='VTODO'/>\
                      </C:supported-calendar-component-set>";
    let made = server.expect(201, "MKCALENDAR", "/events/", &[], &body(components));
    assert_eq!(made.headers["cache-control"], "no-cache");
    let headers = [("content-type", "text/calendar")];
    let component = (403, "supported-calendar-component");
    server.refused(component, "PUT", "/events/1.ics", &headers, &event("1", ""));
    let zone = body("<C:calendar-timezone>nonsense</C:calendar-timezone>");
    server.refused(
        (207, "valid-calendar-data"),
        "MKCALENDAR",
        "/bad/",
        &[],
        &zone,
    );
    let protected = body("<D:getetag>x</D:getetag>");
    let condition = (207, "cannot-modify-protected-property");
    server.refused(condition, "MKCALENDAR", "/bad/", &[], &protected);
    server.expect(404, "GET", "/bad/", &[], "");
    server.expect(405, "MKCALENDAR", "/events/", &[], "");
    let location = (403, "calendar-collection-location-ok");
    server.refused(location, "MKCALENDAR", "/files/sub/", &[], "");
    server.refused(location, "MKCALENDAR", "/cal/sub/", &[], "");
    server.expect(409, "MKCALENDAR", "/no/sub/", &[], "");
}

#[test]
fn rfc4791_5_3_2_put_of_a_calendar_object() {
    let server = Server::new();
    let sent = event(
        "20010712T182145Z-123401@example.com",
        "SUMMARY:Bastille Day Party\r\n",
    );
    let headers = [("content-type", "text/calendar"), ("if-none-match", "*")];
    let made = server.expect(201, "PUT", "/cal/qwue23489.ics", &headers, &sent);
    let etag = header(&made, ETAG);
    assert!(etag.starts_with('"') && etag.len() > 10);
    server.expect(412, "PUT", "/cal/qwue23489.ics", &headers, &sent);
    let got = server.expect(200, "GET", "/cal/qwue23489.ics", &[], "");
    assert_eq!(
        (text(&got), header(&got, ETAG)),
        (sent.clone(), etag.clone())
    );
    assert!(header(&got, CONTENT_TYPE).starts_with("text/calendar"));
    let matching = [
        ("content-type", "text/calendar"),
        ("if-match", etag.as_str()),
    ];
    server.expect(204, "PUT", "/cal/qwue23489.ics", &matching, &sent);
    server.expect(412, "PUT", "/cal/qwue23489.ics", &matching, &sent);
    server.expect(
        412,
        "PUT",
        "/cal/none.ics",
        &[("if-match", "*")],
        &event("2", ""),
    );
}

#[test]
fn rfc4791_5_3_2_1_preconditions() {
    let server = Server::new();
    server.put("/cal/1.ics", &event("1", ""));
    let calendar = [("content-type", "text/calendar")];
    let long = event("big", &format!("SUMMARY:{}\r\n", "x".repeat(10_000)));
    let crowd = event("crowd", &"ATTENDEE:mailto:a@example.org\r\n".repeat(4));
    let method = event("2", "").replace("PRODID", "METHOD:PUBLISH\r\nPRODID");
    for (condition, body) in [
        ((403, "C:valid-calendar-data/>"), "garbage"),
        ((403, "C:valid-calendar-object-resource/>"), method.as_str()),
        ((403, "C:max-resource-size/>"), long.as_str()),
        ((403, "C:max-attendees-per-instance/>"), crowd.as_str()),
    ] {
        server.refused(condition, "PUT", "/cal/2.ics", &calendar, body);
    }
    let html = [("content-type", "text/html")];
    server.refused(
        (403, "supported-calendar-data"),
        "PUT",
        "/cal/2.ics",
        &html,
        &event("2", ""),
    );
    let used = server.refused(
        (409, "no-uid-conflict"),
        "PUT",
        "/cal/2.ics",
        &calendar,
        &event("1", ""),
    );
    assert!(
        used.contains("<D:href>/dav/calendars/alice/cal/1.ics</D:href>"),
        "{used}"
    );
    // an object keeps its UID
    server.refused(
        (409, "no-uid-conflict"),
        "PUT",
        "/cal/1.ics",
        &calendar,
        &event("2", ""),
    );
    assert_eq!(server.get("/cal/1.ics"), event("1", ""));
    server.expect(404, "GET", "/cal/2.ics", &[], "");
    // a deleted object's UID and name are free at once
    server.expect(204, "DELETE", "/cal/1.ics", &[], "");
    server.put("/cal/2.ics", &event("1", ""));
}

#[test]
fn put_elsewhere() {
    let server = Server::new();
    server.expect(405, "PUT", "/files/", &[], "x");
    server.expect(405, "PUT", "/cal", &[], "x");
    server.expect(409, "PUT", "/no/such/file", &[], "x");
    server.expect(403, "PUT", "/file-in-home", &[], "x");
    server.expect(
        400,
        "PUT",
        "/files/x",
        &[("content-range", "bytes 0-0/1")],
        "x",
    );
    server.expect(415, "PUT", "/files/x", &[("content-encoding", "gzip")], "x");
    server.expect(400, "PUT", "/files/x", &[("content-type", "nonsense")], "x");
    server.expect(404, "GET", "/files/x", &[], "");
    let prefer = [
        ("prefer", "return=representation"),
        ("content-type", "text/plain"),
    ];
    let made = server.expect(201, "PUT", "/files/x", &prefer, "hello");
    assert_eq!(text(&made), "hello");
    assert_eq!(made.headers["preference-applied"], "return=representation");
    assert_eq!(
        text(&server.expect(200, "PUT", "/files/x", &prefer, "world")),
        "world"
    );
}

#[test]
fn an_object_is_found_by_the_url_it_was_put_to() {
    let server = Server::new();
    let plain = [("content-type", "text/plain")];
    server.expect(409, "PUT", "/files/x/", &plain, "x");
    server.expect(404, "GET", "/files/x", &[], "");
}

/// RFC 4918 sections 5.2 and 9.8.4: a collection's URL ends in '/', also where an object has its name.
#[test]
fn a_slash_behind_the_name_of_an_object() {
    let server = Server::new();
    server.expect(201, "MKCOL", "/files/coll/", &[], "");
    server.put("/files/coll/member", "m");
    let to = format!("{HOME}/files/x/");
    for (method, overwrite, status) in [("COPY", "F", 412), ("COPY", "T", 204), ("MOVE", "T", 204)]
    {
        server.ask("DELETE", "/files/x", &[], "");
        server.put("/files/x", "object");
        let headers = [("destination", to.as_str()), ("overwrite", overwrite)];
        server.expect(status, method, "/files/coll/", &headers, "");
        match status {
            204 => assert_eq!(server.get("/files/x/member"), "m"),
            _ => assert_eq!(server.get("/files/x"), "object"),
        }
    }
    // an object over an object
    server.put("/files/a", "a");
    server.put("/files/b", "b");
    let to = format!("{HOME}/files/b/");
    server.expect(204, "COPY", "/files/a", &[("destination", &to)], "");
    assert_eq!(server.get("/files/b"), "a");
    // what LOCK makes is no collection
    server.expect(
        409,
        "LOCK",
        "/files/new/",
        &[("depth", "0")],
        &lock_info("exclusive"),
    );
    server.expect(404, "GET", "/files/new", &[], "");
    assert!(server.account.locks().is_empty());
}

#[test]
fn rfc9110_conditional_and_partial_get() {
    let server = Server::new();
    let etag = server.put("/files/x", "0123456789");
    let whole = server.expect(200, "GET", "/files/x", &[], "");
    let modified = header(&whole, HeaderName::from_static("last-modified"));
    server.expect(304, "GET", "/files/x", &[("if-none-match", &etag)], "");
    server.expect(
        304,
        "GET",
        "/files/x",
        &[("if-modified-since", &modified)],
        "",
    );
    let both = [
        ("if-none-match", "\"other\""),
        ("if-modified-since", modified.as_str()),
    ];
    server.expect(200, "GET", "/files/x", &both, "");
    server.expect(412, "GET", "/files/x", &[("if-match", "\"other\"")], "");
    let part = server.expect(206, "GET", "/files/x", &[("range", "bytes=2-4")], "");
    assert_eq!(
        (text(&part).as_str(), header(&part, CONTENT_RANGE).as_str()),
        ("234", "bytes 2-4/10")
    );
    let parts = server.expect(206, "GET", "/files/x", &[("range", "bytes=0-0,-1")], "");
    assert!(header(&parts, CONTENT_TYPE).starts_with("multipart/byteranges; boundary="));
    let body = text(&parts);
    assert!(
        body.contains("Content-Range: bytes 0-0/10\r\n\r\n0\r\n--"),
        "{body}"
    );
    assert!(
        body.contains("Content-Range: bytes 9-9/10\r\n\r\n9\r\n--"),
        "{body}"
    );
    let beyond = server.expect(416, "GET", "/files/x", &[("range", "bytes=10-")], "");
    assert_eq!(header(&beyond, CONTENT_RANGE), "bytes */10");
    let stale = [("range", "bytes=2-4"), ("if-range", "\"other\"")];
    assert_eq!(
        text(&server.expect(200, "GET", "/files/x", &stale, "")),
        "0123456789"
    );
    let head = server.expect(200, "HEAD", "/files/x", &[], "");
    assert_eq!(
        (text(&head).as_str(), &head.headers["content-length"]),
        ("", &HeaderValue::from_static("10"))
    );
    assert_eq!(header(&head, ETAG), etag);
}

#[test]
fn h18_active_content_is_not_run() {
    let server = Server::new();
    server.expect(
        201,
        "PUT",
        "/files/x.html",
        &[("content-type", "text/html")],
        "<script>",
    );
    let got = server.expect(200, "GET", "/files/x.html", &[], "");
    assert_eq!(header(&got, CONTENT_TYPE), "text/html");
    assert_eq!(got.headers["content-disposition"], "attachment");
    assert!(header(&got, HeaderName::from_static("content-security-policy")).contains("sandbox"));
    server.expect(201, "MKCOL", "/files/%3Cscript%3E'/", &[], "");
    let page = server.get("/files/%3Cscript%3E'/");
    assert!(!page.contains("<script") && !page.contains('\''), "{page}");
}

#[test]
fn rfc4918_9_6_delete() {
    let server = Server::new();
    server.put("/files/x", "x");
    server.expect(400, "DELETE", "/files/", &[("depth", "0")], "");
    server.expect(412, "DELETE", "/files/x", &[("if-match", "\"other\"")], "");
    server.expect(
        404,
        "DELETE",
        "/files/none",
        &[("if-match", "\"other\"")],
        "",
    );
    server.expect(204, "DELETE", "/files/x", &[], "");
    server.expect(404, "DELETE", "/files/x", &[], "");
    server.put("/files/x", "x");
    server.expect(204, "DELETE", "/files/", &[("depth", "infinity")], "");
    server.expect(404, "GET", "/files/x", &[], "");
    server.expect(403, "DELETE", "/", &[], "");
}

#[test]
fn rfc4918_9_8_copy() {
    let server = Server::new();
    server.put("/files/a", "a");
    let to = |path: &str| format!("https://cal.example.org{HOME}{path}");
    let (b, coll) = (to("/files/b"), to("/files/coll/"));
    server.expect(201, "COPY", "/files/a", &[("destination", &b)], "");
    server.expect(204, "COPY", "/files/a", &[("destination", &b)], "");
    let no_overwrite = [("destination", b.as_str()), ("overwrite", "F")];
    server.expect(412, "COPY", "/files/a", &no_overwrite, "");
    server.expect(
        403,
        "COPY",
        "/files/a",
        &[("destination", &to("/files/a"))],
        "",
    );
    server.expect(
        409,
        "COPY",
        "/files/a",
        &[("destination", &to("/files/no/a"))],
        "",
    );
    server.expect(404, "COPY", "/files/none", &[("destination", &b)], "");
    server.expect(400, "COPY", "/files/a", &[], "");
    server.expect(403, "COPY", "/files/a", &[("destination", &to("/a"))], "");
    // an object over a collection, and a tree over an object
    server.expect(201, "MKCOL", "/files/coll/", &[], "");
    server.put("/files/coll/member", "m");
    server.expect(204, "COPY", "/files/coll/", &[("destination", &b)], "");
    assert_eq!(server.get("/files/b/member"), "m");
    let shallow = [("destination", b.as_str()), ("depth", "0")];
    server.expect(204, "COPY", "/files/coll/", &shallow, "");
    server.expect(404, "GET", "/files/b/member", &[], "");
    server.expect(204, "COPY", "/files/a", &[("destination", &coll)], "");
    assert_eq!(server.get("/files/coll"), "a");
    server.expect(
        403,
        "COPY",
        "/files/",
        &[("destination", &to("/files/b/below"))],
        "",
    );
    let one = [("destination", b.as_str()), ("depth", "1")];
    server.expect(400, "COPY", "/files/", &one, "");
}

#[test]
fn rfc4918_9_9_move() {
    let server = Server::new();
    server.put("/files/a", "a");
    server.put("/files/b", "b");
    let to = |path: &str| format!("{HOME}{path}");
    let b = to("/files/b");
    let no_overwrite = [("destination", b.as_str()), ("overwrite", "F")];
    server.expect(412, "MOVE", "/files/a", &no_overwrite, "");
    server.expect(204, "MOVE", "/files/a", &[("destination", &b)], "");
    assert_eq!(server.get("/files/b"), "a");
    server.expect(404, "GET", "/files/a", &[], "");
    server.expect(201, "MKCOL", "/files/coll/", &[], "");
    server.expect(
        201,
        "MOVE",
        "/files/b",
        &[("destination", &to("/files/coll/b"))],
        "",
    );
    server.expect(
        201,
        "MOVE",
        "/files/coll/",
        &[("destination", &to("/moved"))],
        "",
    );
    assert_eq!(server.get("/moved/b"), "a");
    let shallow = [("destination", "/dav/calendars/alice/z"), ("depth", "0")];
    server.expect(400, "MOVE", "/moved/", &shallow, "");
    server.expect(
        403,
        "MOVE",
        "/moved/",
        &[("destination", &to("/moved/below"))],
        "",
    );
    server.expect(
        403,
        "MOVE",
        "/moved/b",
        &[("destination", &to("/moved"))],
        "",
    );
}

#[test]
fn rfc4791_5_3_2_1_copy_and_move_with_calendars() {
    let server = Server::new();
    server.expect(201, "MKCALENDAR", "/other/", &[], "");
    server.put("/cal/1.ics", &event("1", ""));
    let to = |path: &str| format!("{HOME}{path}");
    let same = server.refused(
        (409, "no-uid-conflict"),
        "COPY",
        "/cal/1.ics",
        &[("destination", &to("/cal/2.ics"))],
        "",
    );
    assert!(same.contains("/dav/calendars/alice/cal/1.ics"), "{same}");
    // the same UID in two calendars, and a rename, are fine
    server.expect(
        201,
        "COPY",
        "/cal/1.ics",
        &[("destination", &to("/other/1.ics"))],
        "",
    );
    server.expect(
        201,
        "MOVE",
        "/cal/1.ics",
        &[("destination", &to("/cal/2.ics"))],
        "",
    );
    server.expect(
        201,
        "COPY",
        "/cal/2.ics",
        &[("destination", &to("/files/2.ics"))],
        "",
    );
    server.put("/files/bad", "bad");
    let condition = (403, "C:valid-calendar-data/>");
    server.refused(
        condition,
        "MOVE",
        "/files/bad",
        &[("destination", &to("/cal/bad.ics"))],
        "",
    );
    server.put("/files/3", &event("3", ""));
    server.expect(
        201,
        "MOVE",
        "/files/3",
        &[("destination", &to("/cal/3.ics"))],
        "",
    );
    let moved = server.expect(200, "GET", "/cal/3.ics", &[], "");
    assert!(header(&moved, CONTENT_TYPE).starts_with("text/calendar"));
    // overwriting may not change a UID
    let three = [("destination", "/dav/calendars/alice/cal/3.ics")];
    server.refused((409, "no-uid-conflict"), "MOVE", "/cal/2.ics", &three, "");
    let location = (403, "calendar-collection-location-ok");
    server.refused(
        location,
        "MOVE",
        "/cal/",
        &[("destination", &to("/files/cal"))],
        "",
    );
    server.expect(
        403,
        "COPY",
        "/files/",
        &[("destination", &to("/cal/files"))],
        "",
    );
    server.expect(
        201,
        "MOVE",
        "/cal/",
        &[("destination", &to("/renamed/"))],
        "",
    );
    assert_eq!(server.get("/renamed/2.ics"), event("1", ""));
    server.expect(
        201,
        "COPY",
        "/renamed/",
        &[("destination", &to("/copied/"))],
        "",
    );
    assert_eq!(server.get("/copied/2.ics"), event("1", ""));
}

#[test]
fn trees_stay_within_their_depth() {
    let server = Server::new();
    let mut path = String::from("/files");
    while path.matches('/').count() < crate::limits::TREE_DEPTH {
        path.push_str("/d");
        server.expect(201, "MKCOL", &path, &[], "");
    }
    server.expect(409, "MKCOL", &format!("{path}/d"), &[], "");
    server.expect(409, "PUT", &format!("{path}/x"), &[], "x");
    server.expect(201, "MKCOL", "/top", &[], "");
    for method in ["COPY", "MOVE"] {
        let to = format!("{HOME}/top/files");
        server.expect(403, method, "/files", &[("destination", &to)], "");
        let to = format!("{HOME}/{}", method.to_lowercase());
        server.expect(201, method, "/files", &[("destination", &to)], "");
    }
}

#[test]
fn rfc8144_3_2_a_failed_condition_gives_what_is_there() {
    let server = Server::new();
    let etag = server.put("/files/x", "theirs");
    let plain = [("if-match", "\"old\""), ("content-type", "text/plain")];
    assert_eq!(
        text(&server.expect(412, "PUT", "/files/x", &plain, "mine")),
        ""
    );
    let headers = [plain[0], plain[1], ("prefer", "return=representation")];
    let refusal = server.expect(412, "PUT", "/files/x", &headers, "mine");
    assert_eq!(
        (text(&refusal).as_str(), header(&refusal, ETAG)),
        ("theirs", etag)
    );
    assert!(refusal.refusal.is_some());
}

#[test]
fn h1_and_h12_destinations() {
    let server = Server::new();
    server.put("/files/a", "a");
    for (destination, status) in [
        (
            "http://elsewhere.example.org/dav/calendars/alice/files/b",
            502,
        ),
        ("/dav/calendars/bob/files/b", 404),
        ("/dav/calendars/nobody/files/b", 404),
        ("/dav/calendars/alice/../bob/b", 400),
        ("/dav/calendars/alice/files/%2e%2e%2fb", 400),
        ("/dav/calendars/alice/files/..%5cb", 400),
        ("/dav/calendars/alice/files/b%00", 400),
        ("/dav/calendars/alice/files/%252fb", 400),
        ("/dav/calendars/alice/files/%c0%af", 400),
        ("/dav/principals/alice/", 404),
        ("/dav/", 403),
        ("files/b", 400),
    ] {
        for method in ["COPY", "MOVE"] {
            server.expect(
                status,
                method,
                "/files/a",
                &[("destination", destination)],
                "",
            );
        }
    }
    assert_eq!(server.get("/files/a"), "a");
    server.expect(404, "GET", "/files/b", &[], "");
}

#[test]
fn rfc4918_9_10_7_simple_lock() {
    let server = Server::new();
    server.put("/files/proposal.doc", "x");
    let headers = [("timeout", "Infinite, Second-4100000000")];
    let response = server.expect(
        200,
        "LOCK",
        "/files/proposal.doc",
        &headers,
        &lock_info("exclusive"),
    );
    let body = text(&response);
    let token = header(&response, HeaderName::from_static("lock-token"));
    assert!(token.starts_with("<urn:uuid:"), "{token}");
    for part in [
        "<D:lockscope><D:exclusive/></D:lockscope>",
        "<D:locktype><D:write/></D:locktype>",
        "<D:depth>infinity</D:depth>",
        "http://example.org/~ejw/contact.html</",
        "<D:timeout>Second-3600</D:timeout>",
        &format!(
            "<D:locktoken><D:href>{}</D:href>",
            token.trim_matches(['<', '>'])
        ),
        "<D:lockroot><D:href>/dav/calendars/alice/files/proposal.doc</D:href></D:lockroot>",
    ] {
        assert!(body.contains(part), "no {part} in {body}");
    }
    server.expect(
        400,
        "LOCK",
        "/files/x",
        &[("depth", "1")],
        &lock_info("exclusive"),
    );
    server.expect(400, "LOCK", "/files/x", &[], "<lockinfo/>");
    server.expect(409, "LOCK", "/no/such", &[], &lock_info("exclusive"));
}

#[test]
fn rfc4918_9_10_2_and_9_10_8_refresh() {
    let server = Server::new();
    let token = server.lock(200, "/files/", "infinity", "exclusive");
    let states = format!("(<{token}>)");
    let refresh = [("if", states.as_str()), ("timeout", "Second-60")];
    let response = server.expect(200, "LOCK", "/files/", &refresh, "");
    assert!(text(&response).contains("<D:timeout>Second-60</D:timeout>"));
    assert!(!response.headers.contains_key("lock-token"));
    // from anywhere within its scope
    server.put_locked("/files/x", &states);
    server.expect(200, "LOCK", "/files/x", &refresh, "");
    server.expect(400, "LOCK", "/files/", &[], "");
    let condition = (412, "lock-token-matches-request-uri");
    server.refused(condition, "LOCK", "/cal/", &refresh, "");
    server.refused(
        condition,
        "LOCK",
        "/files/",
        &[("if", "(<urn:uuid:gone>)")],
        "",
    );
}

impl Server {
    #[track_caller]
    fn put_locked(&self, path: &str, states: &str) {
        self.expect(201, "PUT", path, &[("if", states)], "x");
    }
}

#[test]
fn rfc4918_7_3_lock_of_an_unmapped_url() {
    let server = Server::new();
    let token = server.lock(201, "/files/new", "0", "exclusive");
    assert_eq!(server.get("/files/new"), "");
    server.expect(405, "MKCOL", "/files/new", &[], "");
    let states = format!("(<{token}>)");
    server.expect(423, "PUT", "/files/new", &[], "x");
    server.expect(204, "PUT", "/files/new", &[("if", &states)], "x");
    let unlock = format!("<{token}>");
    server.expect(204, "UNLOCK", "/files/new", &[("lock-token", &unlock)], "");
    assert_eq!(server.get("/files/new"), "x");
    let condition = (403, "valid-calendar-data");
    server.refused(
        condition,
        "LOCK",
        "/cal/new.ics",
        &[],
        &lock_info("exclusive"),
    );
    server.expect(403, "LOCK", "/new", &[], &lock_info("exclusive"));
}

#[test]
fn rfc4918_7_5_2_deleting_a_member_of_a_locked_collection() {
    let server = Server::new();
    server.put("/files/member", "x");
    let token = server.lock(200, "/files/", "infinity", "exclusive");
    let refusal = server.refused(
        (423, "lock-token-submitted"),
        "DELETE",
        "/files/member",
        &[],
        "",
    );
    assert!(
        refusal.contains("<D:href>/dav/calendars/alice/files/</D:href>"),
        "{refusal}"
    );
    for states in [
        format!("(<{token}>)"),
        format!("<https://cal.example.org{HOME}/files/> (<{token}>)"),
        format!("<{HOME}/files/member> (<{token}>)"),
    ] {
        server.expect(204, "DELETE", "/files/member", &[("if", &states)], "");
        server.expect(201, "PUT", "/files/member", &[("if", &states)], "x");
    }
}

#[test]
fn rfc4918_7_5_1_and_7_6_copy_and_move_with_locks() {
    let server = Server::new();
    for name in ["a", "b", "c"] {
        server.put(&format!("/files/{name}"), name);
    }
    let on_a = server.lock(200, "/files/a", "0", "exclusive");
    let on_b = server.lock(200, "/files/b", "0", "exclusive");
    let to = |path: &str| format!("{HOME}{path}");
    let b = to("/files/b");
    server.expect(423, "COPY", "/files/a", &[("destination", &b)], "");
    let states = format!("<{b}> (<{on_b}>)");
    server.expect(
        204,
        "COPY",
        "/files/a",
        &[("destination", &b), ("if", &states)],
        "",
    );
    // the lock at the destination stays, over what came
    server.expect(423, "PUT", "/files/b", &[], "x");
    let c = [("destination", b.as_str()), ("if", states.as_str())];
    server.expect(204, "MOVE", "/files/c", &c, "");
    server.expect(423, "PUT", "/files/b", &[], "x");
    let unlock = format!("<{on_b}>");
    server.expect(204, "UNLOCK", "/files/b", &[("lock-token", &unlock)], "");
    // the copy of a locked source is not locked; the move of one needs its token
    server.expect(
        201,
        "COPY",
        "/files/a",
        &[("destination", &to("/files/d"))],
        "",
    );
    server.expect(204, "PUT", "/files/d", &[], "x");
    let e = to("/files/e");
    server.expect(423, "MOVE", "/files/a", &[("destination", &e)], "");
    let states = format!("(<{on_a}>)");
    server.expect(
        201,
        "MOVE",
        "/files/a",
        &[("destination", &e), ("if", &states)],
        "",
    );
    server.expect(204, "PUT", "/files/e", &[], "x");
    server.put("/files/a", "new");
    // a lock below keeps the tree
    server.expect(201, "MKCOL", "/files/sub/", &[], "");
    server.put("/files/sub/x", "x");
    server.lock(200, "/files/sub/x", "0", "exclusive");
    server.refused((423, "sub/x</D:href>"), "DELETE", "/files/", &[], "");
    server.expect(
        423,
        "MOVE",
        "/files/",
        &[("destination", &to("/moved"))],
        "",
    );
    server.expect(
        201,
        "COPY",
        "/files/",
        &[("destination", &to("/moved"))],
        "",
    );
}

#[test]
fn rfc4918_9_10_5_conflicts_and_shared_locks() {
    let server = Server::new();
    server.put("/files/x", "x");
    let first = server.lock(200, "/files/x", "0", "shared");
    let second = server.lock(200, "/files/x", "0", "shared");
    assert_ne!(first, second);
    let conflict = (423, "no-conflicting-lock");
    let exclusive = lock_info("exclusive");
    let refusal = server.refused(conflict, "LOCK", "/files/x", &[], &exclusive);
    assert!(refusal.contains("/files/x</D:href>"), "{refusal}");
    // a member in the way is named, and what was asked for fails with it (section 9.10.9)
    let deep = [("depth", "infinity")];
    let refusal = server.refused(
        (207, "no-conflicting-lock"),
        "LOCK",
        "/files/",
        &deep,
        &exclusive,
    );
    assert!(
        refusal.contains("/files/x</D:href><D:status>HTTP/1.1 423"),
        "{refusal}"
    );
    assert!(
        refusal.contains("/files/</D:href><D:status>HTTP/1.1 424"),
        "{refusal}"
    );
    let below = server.lock(200, "/files/", "0", "exclusive");
    server.expect(423, "PUT", "/files/x", &[], "y");
    server.expect(
        204,
        "PUT",
        "/files/x",
        &[("if", &format!("(<{second}>)"))],
        "y",
    );
    // a depth-0 lock guards the names
    server.expect(423, "PUT", "/files/new", &[], "y");
    server.expect(423, "LOCK", "/files/new", &[], &exclusive);
    server.expect(
        201,
        "PUT",
        "/files/new",
        &[("if", &format!("<{HOME}/files/> (<{below}>)"))],
        "y",
    );
}

#[test]
fn rfc4918_9_11_unlock() {
    let server = Server::new();
    server.put("/files/x", "x");
    let token = server.lock(200, "/files/x", "0", "exclusive");
    let header = format!("<{token}>");
    server.expect(400, "UNLOCK", "/files/x", &[], "");
    let condition = (409, "lock-token-matches-request-uri");
    server.refused(
        condition,
        "UNLOCK",
        "/files/",
        &[("lock-token", &header)],
        "",
    );
    server.refused(
        condition,
        "UNLOCK",
        "/files/x",
        &[("lock-token", "<urn:uuid:gone>")],
        "",
    );
    server.expect(423, "PUT", "/files/x", &[], "y");
    server.expect(204, "UNLOCK", "/files/x", &[("lock-token", &header)], "");
    server.expect(204, "PUT", "/files/x", &[], "y");
}

#[test]
fn rfc4918_10_4_if_header() {
    let server = Server::new();
    let etag = server.put("/files/x", "x");
    let token = server.lock(200, "/files/x", "0", "exclusive");
    for (states, status) in [
        // 10.4.6: a list holds when all of it does, the header when one list does
        (format!("(<{token}> [{etag}])"), 204),
        (format!("(<{token}> [\"other\"])"), 412),
        (format!("(<urn:uuid:gone> [\"other\"]) (<{token}>)"), 204),
        // 10.4.7
        (format!("(Not <{token}> <urn:uuid:58f202ac>)"), 412),
        // 10.4.8: always true, but only the right token opens the lock
        (format!("(<{token}>) (Not <DAV:no-lock>)"), 204),
        ("(<urn:uuid:corrupt>) (Not <DAV:no-lock>)".into(), 423),
        // 10.4.9: weak tags are compared weakly; other hosts and users have no state
        (format!("<{HOME}/files/x> (<{token}>)"), 204),
        (format!("<http://elsewhere/x> (<{token}>)"), 412),
        (format!("</dav/calendars/bob/files/x> (<{token}>)"), 412),
        (format!("<{HOME}/files/> (<{token}>)"), 412),
        // 10.4.11: an unmapped URL has no state
        (format!("<{HOME}/files/none> ([\"4217\"])"), 412),
        (
            format!("<{HOME}/files/none> (Not [\"4217\"] <{token}>) (Not <{token}>)"),
            204,
        ),
        ("nonsense".into(), 400),
    ] {
        let headers = [("if", states.as_str())];
        // a body that stays the same still gets a new tag, so it is given back each time
        let response = server.ask("PUT", "/files/x", &headers, "x");
        assert_eq!(response.status.as_u16(), status, "{states}");
        assert_eq!(server.get("/files/x"), "x");
    }
}

#[test]
fn rfc6578_5_sync_token_in_if() {
    let server = Server::new();
    let path = [crate::ids::Segment::parse("cal").unwrap()];
    let crate::vault::Node::Collection(calendar) = server.account.resolve(&path).unwrap() else {
        panic!("a calendar");
    };
    let token = server.account.token(&calendar);
    let states = format!("<{HOME}/cal/> (<{token}>)");
    let headers = [("if", states.as_str()), ("content-type", "text/calendar")];
    server.expect(201, "PUT", "/cal/1.ics", &headers, &event("1", ""));
    server.expect(412, "PUT", "/cal/2.ics", &headers, &event("2", ""));
}

#[test]
fn rfc6638_8_3_if_schedule_tag_match() {
    let server = Server::new();
    server.put("/cal/1.ics", &event("1", ""));
    for (tag, status) in [("", 204), ("\"\"", 204), ("\"12ab34\"", 412)] {
        let headers = [
            ("if-schedule-tag-match", tag),
            ("content-type", "text/calendar"),
        ];
        server.expect(status, "PUT", "/cal/1.ics", &headers, &event("1", ""));
    }
}

#[test]
fn rfc5995_add_member() {
    let server = Server::new();
    let headers = [("content-type", "text/calendar; component=VEVENT")];
    let made = server.expect(201, "POST", "/cal/?add-member", &headers, &event("1", ""));
    let location = header(&made, LOCATION);
    let path = location.strip_prefix(HOME).unwrap();
    assert!(
        path.starts_with("/cal/") && path.ends_with(".ics"),
        "{location}"
    );
    let got = server.expect(200, "GET", path, &[], "");
    assert_eq!(
        (text(&got), header(&got, ETAG)),
        (event("1", ""), header(&made, ETAG))
    );
    let used = (409, "no-uid-conflict");
    server.refused(used, "POST", "/cal/?add-member", &headers, &event("1", ""));
    server.expect(405, "POST", "/cal/?other", &headers, &event("2", ""));
    server.expect(405, "POST", "/files/?add-member", &headers, &event("2", ""));
}

#[test]
fn h31_of_concurrent_puts_with_the_same_if_match_one_wins() {
    const WRITERS: usize = 25;
    const ROUNDS: usize = 40;
    let server = Server::new();
    let mut etag = server.put("/cal/1.ics", &event("1", ""));
    for round in 0..ROUNDS {
        let together = Barrier::new(WRITERS);
        let write = |writer: usize| {
            let body = event("1", &format!("SUMMARY:{round} {writer}\r\n"));
            let headers = [
                ("if-match", etag.as_str()),
                ("content-type", "text/calendar"),
            ];
            together.wait();
            let response = server.ask("PUT", "/cal/1.ics", &headers, &body);
            match response.status.as_u16() {
                204 => Some((header(&response, ETAG), body)),
                status => {
                    assert_eq!(status, 412);
                    None
                }
            }
        };
        let won: Vec<(String, String)> = std::thread::scope(|scope| {
            let write = &write;
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| scope.spawn(move || write(writer)))
                .collect();
            writers
                .into_iter()
                .filter_map(|writer| writer.join().unwrap())
                .collect()
        });
        let [(tag, body)] = won.as_slice() else {
            panic!("round {round}: {} of {WRITERS} writers won", won.len());
        };
        assert_eq!(server.get("/cal/1.ics"), *body);
        etag = tag.clone();
    }
}
