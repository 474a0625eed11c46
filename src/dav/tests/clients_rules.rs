//! The rules that several clients depend on, and the limits that are advertised.

use super::clients::{CALENDAR, object};
use super::*;

/// A line, such as an attachment, may be as long as the objects that are configured.
#[test]
fn a_line_may_fill_the_largest_object_that_is_configured() {
    let mut server = Server::new();
    server.dav.settings.object_bytes = crate::limits::OBJECT_BYTES + 2_000_000;
    let attachment = "A".repeat(crate::limits::OBJECT_BYTES + 1_000_000);
    let line = format!("ATTACH;ENCODING=BASE64;VALUE=BINARY:{attachment}\r\n");
    server.put(&format!("{WORK}large.ics"), &event("large", 10, &line));
}

#[test]
fn clients_rule_stored_byte_for_byte_with_a_strong_tag() {
    let server = Server::new();
    // folded in odd places, lower case, a bare LF, trailing spaces: as it came
    let sent = "begin:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\nUID:1\r\n\
                DTSTAMP:20060206T001102Z\r\nDTSTART;X-P=\"a;b\":20060102T100000Z\r\n\
                summary:Gr\r\n \u{fc}\u{df}e  \r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let put = server.expect(201, "PUT", &object("a.ics"), &[CALENDAR], sent);
    let got = server.expect(200, "GET", &object("a.ics"), &[], "");
    assert_eq!(
        (got.text.as_str(), got.header("etag")),
        (sent, put.header("etag"))
    );
    assert!(put.header("etag").starts_with('"'));
    // XML makes CR LF of what is not LF alone, and so do all readers of it
    let inner = format!(
        "<D:prop><C:calendar-data/></D:prop><D:href>{}</D:href>",
        object("a.ics")
    );
    let found = server
        .report(WORK, "C:calendar-multiget", &inner)
        .multistatus();
    assert_eq!(
        found
            .value(&object("a.ics"), caldav("calendar-data"))
            .text(),
        sent
    );
}

#[test]
fn clients_rule_412_is_for_conditions_only() {
    let server = Server::with(&[("a.ics", &event("a", 10, ""))]);
    let put = |name: &str, headers: &[(&str, &str)], body: &str| {
        server.ask("PUT", &object(name), headers, body)
    };
    put("b.ics", &[CALENDAR], "no calendar").refused(403, caldav("valid-calendar-data"));
    put("b.ics", &[CALENDAR], &event("a", 10, "")).refused(409, caldav("no-uid-conflict"));
    let method = event("m", 10, "").replace("PRODID", "METHOD:REQUEST\r\nPRODID");
    put("b.ics", &[CALENDAR], &method).refused(403, caldav("valid-calendar-object-resource"));
    let json = [("content-type", "application/calendar+json")];
    put("b.ics", &json, "{}").refused(403, caldav("supported-calendar-data"));
    for header in [
        ("if-match", "\"x\""),
        ("if-none-match", "*"),
        ("if", "([\"x\"])"),
    ] {
        let answer = put("a.ics", &[header, CALENDAR], &event("a", 10, ""));
        assert_eq!(answer.status, 412, "{header:?}");
    }
}

#[test]
fn clients_rule_names_and_uids_are_free_at_once() {
    let server = Server::with(&[("a.ics", &event("u", 10, ""))]);
    server.expect(204, "DELETE", &object("a.ics"), &[], "");
    server.put(&object("b.ics"), &event("u", 10, ""));
    server.put(&object("a.ics"), &event("v", 10, ""));
    server.expect(204, "DELETE", WORK, &[], "");
    server.expect(201, "MKCALENDAR", WORK, &[], "");
    server.put(&object("c.ics"), &event("u", 10, ""));
    // the same UID in two calendars, never twice in one
    server.put(&format!("{}c.ics", CHILDREN[1]), &event("u", 10, ""));
    server
        .ask("PUT", &object("d.ics"), &[CALENDAR], &event("u", 10, ""))
        .refused(409, caldav("no-uid-conflict"));
}

#[test]
fn clients_rule_searches_have_no_horizon() {
    let old = event("old", 10, "").replace("20060102T", "19000102T");
    let endless = event("endless", 10, "RRULE:FREQ=YEARLY\r\n");
    let server = Server::with(&[("old.ics", &old), ("endless.ics", &endless)]);
    let find = |start: &str, end: &str| {
        let inner = format!(
            "<D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name='VCALENDAR'>\
             <C:comp-filter name='VEVENT'><C:time-range start='{start}' end='{end}'/></C:comp-filter>\
             </C:comp-filter></C:filter>"
        );
        server
            .report(WORK, "C:calendar-query", &inner)
            .multistatus()
            .names()
    };
    assert_eq!(
        find("21060102T090000Z", "21060102T110000Z"),
        ["endless.ics"]
    );
    assert_eq!(find("21060102T110000Z", "21070102T100000Z"), [""; 0]);
    assert_eq!(
        find("90060102T090000Z", "90060102T110000Z"),
        ["endless.ics"]
    );
    assert_eq!(find("19000101T000000Z", "19000103T000000Z"), ["old.ics"]);
}

#[test]
fn clients_limits_are_those_that_are_advertised() {
    let mut server = Server::new();
    server.dav.settings = DavSettings {
        object_bytes: 600,
        attendees: 2,
        public_url: None,
    };
    let found = server.propfind(
        WORK,
        "0",
        "<C:max-resource-size/><C:max-attendees-per-instance/>",
    );
    let value = |name| found.value(WORK, caldav(name)).text();
    assert_eq!(
        (
            value("max-resource-size"),
            value("max-attendees-per-instance")
        ),
        ("600".into(), "2".into())
    );
    let of_size = |size: usize| {
        let fill = size - event("a", 10, "SUMMARY:\r\n").len();
        event("a", 10, &format!("SUMMARY:{}\r\n", "x".repeat(fill)))
    };
    server.expect(201, "PUT", &object("a.ics"), &[CALENDAR], &of_size(600));
    server
        .ask("PUT", &object("a.ics"), &[CALENDAR], &of_size(601))
        .refused(403, caldav("max-resource-size"));
    let crowd = |count| event("b", 10, &"ATTENDEE:mailto:x@example.org\r\n".repeat(count));
    server.expect(201, "PUT", &object("b.ics"), &[CALENDAR], &crowd(2));
    server
        .ask("PUT", &object("b.ics"), &[CALENDAR], &crowd(3))
        .refused(403, caldav("max-attendees-per-instance"));
}

#[test]
fn clients_python_caldav_searches() {
    let alarm = "BEGIN:VALARM\r\nACTION:AUDIO\r\nTRIGGER:-PT30M\r\nEND:VALARM\r\n";
    let journal = todo("j")
        .replace("VTODO", "VJOURNAL")
        .replace("SUMMARY:Do", "SUMMARY:Tagebuch");
    let server = Server::with(&[
        (
            "a.ics",
            &event(
                "a",
                10,
                "SUMMARY:Ärger im Büro\r\nCATEGORIES:WORK,Private Life\r\n",
            ),
        ),
        ("b.ics", &event("b", 15, alarm)),
        ("j.ics", &journal),
        ("t.ics", &todo("t")),
    ]);
    let find = |filter: &str| {
        let inner = format!(
            "<D:prop><C:calendar-data/></D:prop><C:filter><C:comp-filter name='VCALENDAR'>{filter}</C:comp-filter></C:filter>"
        );
        server
            .report(WORK, "C:calendar-query", &inner)
            .multistatus()
            .names()
    };
    let text = |name: &str, text: &str| {
        find(&format!(
            "<C:comp-filter name='VEVENT'><C:prop-filter name='{name}'><C:text-match>{text}</C:text-match></C:prop-filter></C:comp-filter>"
        ))
    };
    assert_eq!(text("SUMMARY", "büro"), ["a.ics"]);
    assert_eq!(text("CATEGORIES", "Private Life"), ["a.ics"]);
    assert_eq!(text("CATEGORIES", "Public"), [""; 0]);
    assert_eq!(find("<C:comp-filter name='VJOURNAL'/>"), ["j.ics"]);
    assert_eq!(
        find(
            "<C:comp-filter name='VEVENT'><C:comp-filter name='VALARM'><C:time-range start='20060102T142000Z' end='20060102T144000Z'/></C:comp-filter></C:comp-filter>"
        ),
        ["b.ics"]
    );
    assert_eq!(
        find(
            "<C:comp-filter name='VEVENT'><C:comp-filter name='VALARM'><C:is-not-defined/></C:comp-filter></C:comp-filter>"
        ),
        ["a.ics"]
    );
}
