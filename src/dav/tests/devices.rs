//! Devices that may do less than their account: what they are refused, and what they are told.

use super::*;
use crate::seal::{Access, Terms};

const EVENT: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//test//EN\r\nBEGIN:VEVENT\r\nUID:one\r\n\
                     DTSTAMP:20260101T000000Z\r\nDTSTART:20260101T100000Z\r\nSUMMARY:Tea\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
const OBJECT: &str = "/dav/calendars/alice/work/one.ics";

/// Two devices of one account: one for everything, one for reading.
fn devices() -> (Server, Server) {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let terms = Terms {
        access: Access::ReadOnly,
        expires: None,
    };
    let dav = || Dav {
        settings: DavSettings::default(),
        ambient: Arc::new(Ambient::system()),
    };
    let reader = Server {
        dav: dav(),
        account: vault.unlock_under("alice", &secret, terms),
        _vault: TestVault::new(),
    };
    let writer = Server {
        dav: dav(),
        account: vault.unlock("alice", &secret),
        _vault: vault,
    };
    writer.expect(201, "MKCALENDAR", WORK, &[], "");
    writer.put(OBJECT, EVENT);
    (writer, reader)
}

#[test]
fn rfc3744_7_1_1_a_device_for_reading_changes_nothing() {
    let (writer, reader) = devices();
    let before = writer.account.home_ctag();
    let lock = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope>\
                <D:locktype><D:write/></D:locktype></D:lockinfo>";
    let update = "<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop><D:displayname>x</D:displayname>\
                  </D:prop></D:set></D:propertyupdate>";
    let calendar = [("content-type", "text/calendar")];
    let to = [("destination", "/dav/calendars/alice/work/two.ics")];
    let home = [("destination", "/dav/calendars/alice/copy/")];
    type Ask<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);
    let requests: [Ask<'_>; 12] = [
        ("PUT", OBJECT, &calendar, EVENT),
        ("PUT", "/dav/calendars/alice/work/new.ics", &calendar, EVENT),
        (
            "POST",
            "/dav/calendars/alice/work/?add-member",
            &calendar,
            EVENT,
        ),
        ("DELETE", OBJECT, &[], ""),
        ("DELETE", WORK, &[], ""),
        ("MOVE", OBJECT, &to, ""),
        ("COPY", OBJECT, &to, ""),
        ("COPY", WORK, &home, ""),
        ("MKCOL", "/dav/calendars/alice/files/", &[], ""),
        ("MKCALENDAR", "/dav/calendars/alice/more/", &[], ""),
        ("PROPPATCH", WORK, &[], update),
        ("LOCK", OBJECT, &[], lock),
    ];
    for (method, target, headers, body) in requests {
        let answer = reader.ask(method, target, headers, body);
        assert_eq!(answer.status, 403, "{method} {target}: {}", answer.text);
        let expected = format!(
            "<D:need-privileges><D:resource><D:href>{}</D:href><D:privilege><D:write/></D:privilege></D:resource></D:need-privileges>",
            match target.trim_end_matches("?add-member") {
                // what is not there is not known to be a collection
                missing if method.starts_with("MK") => missing.trim_end_matches('/'),
                href => href,
            }
        );
        assert!(answer.text.contains(&expected), "{method}: {}", answer.text);
    }
    assert_eq!(writer.account.home_ctag(), before);
    assert!(writer.account.locks().is_empty());
}

#[test]
fn a_device_for_reading_reads_and_is_told_so() {
    let (writer, reader) = devices();
    assert_eq!(reader.expect(200, "GET", OBJECT, &[], "").text, EVENT);
    for href in [HOME, WORK, OBJECT] {
        let found = reader.propfind(href, "0", "<D:current-user-privilege-set/>");
        let told = found.value(href, dav("current-user-privilege-set"));
        let has = |name| {
            told.elements()
                .any(|privilege| privilege.child(name).is_some())
        };
        assert!(has(dav("read")) && has(caldav("read-free-busy")), "{href}");
        for refused in [
            "all",
            "write",
            "write-content",
            "write-properties",
            "bind",
            "unbind",
            "unlock",
        ] {
            assert!(!has(dav(refused)), "{href}: {refused}");
        }
    }
    let found = writer.propfind(WORK, "0", "<D:current-user-privilege-set/>");
    let told = found.value(WORK, dav("current-user-privilege-set"));
    assert!(
        told.elements()
            .any(|privilege| privilege.child(dav("write")).is_some())
    );
}
