//! CALDAV:calendar-query (RFC 4791 section 7.8).

use super::*;

const DATA: &str = "<D:prop><D:getetag/><C:calendar-data/></D:prop>";

fn server() -> Server {
    let daily = "RRULE:FREQ=DAILY;COUNT=10\r\nSUMMARY:Daily Meeting\r\nCATEGORIES:Work\r\n";
    Server::with(&[
        ("daily.ics", &event("daily", 10, daily)),
        (
            "once.ics",
            &event(
                "once",
                12,
                "SUMMARY:Lunch\r\nATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:lisa@example.com\r\n",
            ),
        ),
        ("todo.ics", &todo("todo")),
    ])
}

impl Server {
    /// The names of what a filter inside VCALENDAR finds.
    #[track_caller]
    fn find(&self, filter: &str) -> Vec<String> {
        self.query(WORK, DATA, filter).multistatus().names()
    }

    fn query(&self, target: &str, prop: &str, filter: &str) -> Answer {
        let inner = format!(
            "{prop}<C:filter><C:comp-filter name='VCALENDAR'>{filter}</C:comp-filter></C:filter>"
        );
        self.report(target, "C:calendar-query", &inner)
    }
}

fn range(start: &str, end: &str) -> String {
    format!(
        "<C:comp-filter name='VEVENT'><C:time-range start='{start}' end='{end}'/></C:comp-filter>"
    )
}

#[test]
fn rfc4791_7_8_by_component_and_time() {
    let server = server();
    assert_eq!(
        server.find("<C:comp-filter name='VEVENT'/>"),
        ["daily.ics", "once.ics"]
    );
    assert_eq!(server.find("<C:comp-filter name='VTODO'/>"), ["todo.ics"]);
    assert_eq!(server.find(""), ["daily.ics", "once.ics", "todo.ics"]);
    assert_eq!(
        server.find("<C:comp-filter name='VEVENT'><C:is-not-defined/></C:comp-filter>"),
        ["todo.ics"]
    );
    assert_eq!(
        server.find(&range("20060102T113000Z", "20060102T140000Z")),
        ["once.ics"]
    );
    // an instance of the recurrence, and the gap between two
    assert_eq!(
        server.find(&range("20060105T100000Z", "20060105T110000Z")),
        ["daily.ics"]
    );
    assert_eq!(
        server.find(&range("20060105T110000Z", "20060106T100000Z")),
        [""; 0]
    );
    assert_eq!(
        server.find(&range("20060112T000000Z", "20500101T000000Z")),
        [""; 0]
    );
}

#[test]
fn rfc4791_7_8_5_to_7_by_text_and_parameter() {
    let server = server();
    let by = |filter: &str| {
        server.find(&format!(
            "<C:comp-filter name='VEVENT'>{filter}</C:comp-filter>"
        ))
    };
    assert_eq!(
        by("<C:prop-filter name='SUMMARY'><C:text-match>meet</C:text-match></C:prop-filter>"),
        ["daily.ics"]
    );
    assert_eq!(
        by(
            "<C:prop-filter name='SUMMARY'><C:text-match collation='i;octet'>meet</C:text-match></C:prop-filter>"
        ),
        [""; 0]
    );
    assert_eq!(
        by("<C:prop-filter name='CATEGORIES'><C:is-not-defined/></C:prop-filter>"),
        ["once.ics"]
    );
    assert_eq!(
        by(
            "<C:prop-filter name='ATTENDEE'><C:text-match>lisa</C:text-match><C:param-filter name='PARTSTAT'><C:text-match>NEEDS-ACTION</C:text-match></C:param-filter></C:prop-filter>"
        ),
        ["once.ics"]
    );
}

#[test]
fn answers_hold_what_was_asked_for() {
    let server = server();
    let found = server
        .query(WORK, DATA, &range("20060102T113000Z", "20060102T140000Z"))
        .multistatus();
    let href = format!("{WORK}once.ics");
    assert!(
        found
            .value(&href, caldav("calendar-data"))
            .text()
            .contains("SUMMARY:Lunch\r\n")
    );
    found.value(&href, dav("getetag"));
    let found = server
        .query(WORK, "", "<C:comp-filter name='VTODO'/>")
        .multistatus();
    assert_eq!(found.names(), ["todo.ics"]);
    // on the home: every calendar; on an object: itself
    let found = server
        .query(HOME, DATA, "<C:comp-filter name='VTODO'/>")
        .multistatus();
    assert_eq!(found.names(), ["todo.ics"]);
    let found = server
        .query(&href, DATA, "<C:comp-filter name='VEVENT'/>")
        .multistatus();
    assert_eq!(found.names(), ["once.ics"]);
    let found = server
        .query(&href, DATA, "<C:comp-filter name='VTODO'/>")
        .multistatus();
    assert_eq!(found.names(), [""; 0]);
}

#[test]
fn depth_zero_looks_at_no_member_unless_the_agent_is_known_to_mean_one() {
    let server = server();
    let body = format!(
        "<C:calendar-query {NAMESPACES}><D:prop/><C:filter><C:comp-filter name='VCALENDAR'/></C:filter></C:calendar-query>"
    );
    let count = |headers: &[(&str, &str)]| {
        server
            .ask("REPORT", WORK, headers, &body)
            .multistatus()
            .hrefs()
            .len()
    };
    assert_eq!(count(&[("depth", "0")]), 0);
    assert_eq!(count(&[("depth", "0"), ("user-agent", "MSFT-WP/8.10")]), 3);
    assert_eq!(count(&[]), 3);
}

#[test]
fn rfc4791_9_8_floating_times_are_read_in_the_zone_given() {
    let floating =
        event("f", 10, "").replace("DTSTART:20060102T100000Z", "DTSTART:20060102T100000");
    let server = Server::with(&[("f.ics", &floating)]);
    let zone = "<C:timezone>BEGIN:VCALENDAR&#13;\nVERSION:2.0&#13;\nPRODID:x&#13;\nBEGIN:VTIMEZONE&#13;\nTZID:America/New_York&#13;\nBEGIN:STANDARD&#13;\nDTSTART:19700101T000000&#13;\nTZOFFSETFROM:-0500&#13;\nTZOFFSETTO:-0500&#13;\nEND:STANDARD&#13;\nEND:VTIMEZONE&#13;\nEND:VCALENDAR&#13;\n</C:timezone>";
    let find = |start: &str, end: &str, zone: &str| {
        let inner = format!(
            "<C:filter><C:comp-filter name='VCALENDAR'>{}</C:comp-filter></C:filter>{zone}",
            range(start, end)
        );
        server
            .report(WORK, "C:calendar-query", &inner)
            .multistatus()
            .names()
    };
    let (utc, eastern) = (
        ("20060102T100000Z", "20060102T110000Z"),
        ("20060102T150000Z", "20060102T160000Z"),
    );
    assert_eq!(find(utc.0, utc.1, ""), ["f.ics"]);
    assert_eq!(find(utc.0, utc.1, zone), [""; 0]);
    assert_eq!(find(eastern.0, eastern.1, zone), ["f.ics"]);
    let inner = "<C:filter><C:comp-filter name='VCALENDAR'/></C:filter><C:timezone>x</C:timezone>";
    server
        .report(WORK, "C:calendar-query", inner)
        .refused(403, caldav("valid-calendar-data"));
}

#[test]
fn rfc4791_7_8_preconditions() {
    let server = server();
    server
        .report(WORK, "C:calendar-query", DATA)
        .refused(403, caldav("valid-filter"));
    server
        .query(WORK, DATA, "<C:time-range start='20060102T000000Z'/>")
        .refused(403, caldav("supported-filter"));
    let collation =
        "<C:prop-filter name='X'><C:text-match collation='i;x'>y</C:text-match></C:prop-filter>";
    server
        .query(WORK, DATA, collation)
        .refused(403, caldav("supported-collation"));
}
