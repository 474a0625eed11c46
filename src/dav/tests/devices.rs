//! Devices that may do less than their account: what they are refused, and what they are told.

use super::*;
use crate::seal::{Access, Terms};

const EVENT: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//test//EN\r\nBEGIN:VEVENT\r\nUID:one\r\n\
                     DTSTAMP:20260101T000000Z\r\nDTSTART:20260101T100000Z\r\nSUMMARY:Tea\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
const OBJECT: &str = "/dav/calendars/alice/work/one.ics";

/// A request: method, target, headers, body.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

/// Two devices of one account: one for everything, one for reading.
fn devices() -> (Server, Server) {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let terms = Terms {
        access: Access::ReadOnly,
        expires: None,
    };
    let dav = || Dav::new(DavSettings::default(), Arc::new(Ambient::system()));
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
    let requests: [Case; 12] = [
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

/// A device with `work` only, as alice's other devices see everything or nothing is open.
fn limited(whole_is_open: bool) -> (Option<Server>, Server) {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let dav = || Dav::new(DavSettings::default(), Arc::new(Ambient::system()));
    let writer = Server {
        dav: dav(),
        account: vault.unlock("alice", &secret),
        _vault: TestVault::new(),
    };
    writer.expect(201, "MKCALENDAR", WORK, &[], "");
    writer.put(OBJECT, EVENT);
    let device = vault.add_limited("alice", &secret, &["work"]);
    let writer = whole_is_open.then_some(writer);
    let device = Server {
        dav: dav(),
        account: vault.try_unlock("alice", &device).unwrap(),
        _vault: vault,
    };
    assert_eq!(device.account.is_open_whole(), whole_is_open);
    (writer, device)
}

#[test]
fn what_was_not_granted_looks_as_if_it_were_not_there() {
    let update = "<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop><D:displayname>x</D:displayname>\
                  </D:prop></D:set></D:propertyupdate>";
    let lock = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope>\
                <D:locktype><D:write/></D:locktype></D:lockinfo>";
    let query = "<C:calendar-query xmlns:C='urn:ietf:params:xml:ns:caldav' xmlns:D='DAV:'><D:prop><D:getetag/>\
                 </D:prop><C:filter><C:comp-filter name='VCALENDAR'/></C:filter></C:calendar-query>";
    let calendar: &[(&str, &str)] = &[("content-type", "text/calendar")];
    let requests: [Case; 15] = [
        ("PROPFIND", "", &[("depth", "0")], ""),
        ("GET", "", &[], ""),
        ("GET", "one.ics", &[], ""),
        ("HEAD", "", &[], ""),
        ("OPTIONS", "", &[], ""),
        ("PUT", "one.ics", calendar, EVENT),
        ("DELETE", "", &[], ""),
        ("DELETE", "one.ics", &[], ""),
        ("REPORT", "", &[("depth", "1")], query),
        ("PROPPATCH", "", &[], update),
        ("LOCK", "", &[], lock),
        ("MKCOL", "", &[], ""),
        ("MKCALENDAR", "", &[], ""),
        (
            "COPY",
            "",
            &[("destination", "/dav/calendars/alice/work/x.ics")],
            "",
        ),
        (
            "MOVE",
            "",
            &[("destination", "/dav/calendars/alice/more/")],
            "",
        ),
    ];
    for whole_is_open in [true, false] {
        let (_writer, device) = limited(whole_is_open);
        for (method, below, headers, body) in requests {
            let ask = |name: &str| {
                let target = format!("/dav/calendars/alice/{name}/{below}");
                let answer = device.ask(method, &target, headers, body);
                (answer.status, answer.text.replace(name, "NAME"))
            };
            let (hidden, nothing) = (ask("tasks"), ask("nones"));
            assert_eq!(hidden, nothing, "{method} {below}");
            assert_eq!(hidden.0 >= 400, method != "OPTIONS", "{method} {below}");
        }
        for name in ["tasks", "nones"] {
            let to = format!("/dav/calendars/alice/{name}/");
            for method in ["COPY", "MOVE"] {
                let answer = device.ask(method, WORK, &[("destination", &to)], "");
                assert_eq!(answer.status, 403, "{method} {to}: {}", answer.text);
            }
        }
        for depth in ["1", "infinity"] {
            let listed = device.ask("PROPFIND", HOME, &[("depth", depth)], "");
            assert!(!listed.text.contains("tasks"), "{}", listed.text);
        }
    }
}

#[test]
fn rfc3744_7_1_1_a_device_with_chosen_calendars_changes_their_objects_only() {
    for whole_is_open in [true, false] {
        let (_writer, device) = limited(whole_is_open);
        let update = "<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop><D:displayname>x</D:displayname>\
                      </D:prop></D:set></D:propertyupdate>";
        let to = [("destination", "/dav/calendars/alice/other/")];
        for (method, target, headers, body) in [
            ("MKCOL", "/dav/calendars/alice/files/", &[][..], ""),
            ("MKCALENDAR", "/dav/calendars/alice/more/", &[], ""),
            ("DELETE", WORK, &[], ""),
            ("MOVE", WORK, &to, ""),
            ("COPY", WORK, &to, ""),
            ("PROPPATCH", WORK, &[], update),
            ("PROPPATCH", HOME, &[], update),
        ] {
            let answer = device.expect(403, method, target, headers, body);
            let named = answer.text.contains("<D:need-privileges><D:resource>");
            assert!(named, "{method} {target}: {}", answer.text);
        }
        device.expect(207, "PROPPATCH", OBJECT, &[], update);
        let two = "/dav/calendars/alice/work/two.ics";
        device.expect(201, "MOVE", OBJECT, &[("destination", two)], "");
        device.expect(204, "DELETE", two, &[], "");
        device.put(OBJECT, EVENT);
        let told = |href: &str, name: QName| {
            let found = device.propfind(href, "0", "<D:current-user-privilege-set/>");
            let told = found.value(href, dav("current-user-privilege-set"));
            told.elements()
                .any(|privilege| privilege.child(name).is_some())
        };
        assert!(told(WORK, dav("bind")) && told(WORK, dav("unbind")) && told(WORK, dav("read")));
        assert!(!told(WORK, dav("write-properties")) && !told(WORK, dav("write")));
        assert!(!told(HOME, dav("bind")) && told(HOME, dav("read")));
        assert!(told(OBJECT, dav("write")));
    }
}
