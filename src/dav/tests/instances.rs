//! CALDAV:expand and the limits of RFC 4791 sections 9.6.5 to 9.6.7, in whole requests.

use super::*;

const YEAR: &str = "<C:expand start='20060101T000000Z' end='20070101T000000Z'/>";

fn data(inner: &str) -> String {
    format!("<D:prop><C:calendar-data>{inner}</C:calendar-data></D:prop>")
}

fn query(server: &Server, inner: &str, more: &str) -> Answer {
    let filter = "<C:filter><C:comp-filter name='VCALENDAR'><C:comp-filter name='VEVENT'/></C:comp-filter></C:filter>";
    server.report(
        WORK,
        "C:calendar-query",
        &format!("{}{filter}{more}", data(inner)),
    )
}

fn multiget(server: &Server, inner: &str) -> Answer {
    let hrefs = format!("<D:href>{WORK}a.ics</D:href><D:href>{WORK}b.ics</D:href>");
    let body = format!("{}{hrefs}", data(inner));
    server.report(WORK, "C:calendar-multiget", &body)
}

fn sync(server: &Server, inner: &str) -> Answer {
    let body = format!(
        "<D:sync-token/><D:sync-level>1</D:sync-level>{}",
        data(inner)
    );
    server.report(WORK, "D:sync-collection", &body)
}

#[test]
fn rfc4791_9_6_5_in_every_report() {
    let server = Server::with(&[
        ("a.ics", &event("a", 10, "RRULE:FREQ=MONTHLY\r\n")),
        ("b.ics", &event("b", 12, "")),
    ]);
    for answer in [
        query(&server, YEAR, ""),
        multiget(&server, YEAR),
        sync(&server, YEAR),
    ] {
        let found = answer.multistatus();
        let text = |name: &str| {
            let href = format!("{WORK}{name}");
            found.value(&href, caldav("calendar-data")).text()
        };
        assert_eq!(text("a.ics").matches("BEGIN:VEVENT").count(), 12);
        assert!(text("a.ics").contains("\r\nRECURRENCE-ID:20061202T100000Z\r\n"));
        assert_eq!(text("b.ics").matches("BEGIN:VEVENT").count(), 1);
        assert!(!text("a.ics").contains("RRULE"));
    }
    for wrong in [
        "<C:expand/>",
        "<C:expand start='20060101T000000Z'/>",
        "<C:limit-freebusy-set start='20070101T000000Z' end='20060101T000000Z'/>",
        &format!("{YEAR}{}", YEAR.replace("expand", "limit-recurrence-set")),
    ] {
        assert_eq!(query(&server, wrong, "").status, 400, "{wrong}");
    }
}

#[test]
fn rfc4791_7_3_floating_times_in_the_zone_of_report_or_calendar() {
    let floating =
        event("f", 10, "").replace("DTSTART:20060102T100000Z", "DTSTART:20060102T100000");
    let server = Server::with(&[("f.ics", &floating)]);
    let start = |more: &str| {
        let found = query(&server, YEAR, more).multistatus();
        let text = found.value(&format!("{WORK}f.ics"), caldav("calendar-data"));
        let text = text.text();
        let line = text.lines().find(|line| line.starts_with("DTSTART"));
        line.expect("it has one").to_owned()
    };
    assert_eq!(start(""), "DTSTART:20060102T100000");
    let zone = |name: &str| {
        format!(
            "BEGIN:VCALENDAR&#13;\nBEGIN:VTIMEZONE&#13;\nTZID:{name}&#13;\nEND:VTIMEZONE&#13;\nEND:VCALENDAR&#13;\n"
        )
    };
    let patch = format!(
        "<D:propertyupdate {NAMESPACES}><D:set><D:prop><C:calendar-timezone>{}</C:calendar-timezone></D:prop></D:set></D:propertyupdate>",
        zone("America/New_York")
    );
    assert_eq!(server.ask("PROPPATCH", WORK, &[], &patch).status, 207);
    assert_eq!(start(""), "DTSTART:20060102T150000Z");
    let report = format!("<C:timezone>{}</C:timezone>", zone("Asia/Tokyo"));
    assert_eq!(start(&report), "DTSTART:20060102T010000Z");
    // RFC 7809 section 3.1.6
    let report = "<C:timezone-id>Asia/Kolkata</C:timezone-id>";
    assert_eq!(start(report), "DTSTART:20060102T043000Z");
    query(&server, YEAR, "<C:timezone-id>Asia/Nowhere</C:timezone-id>")
        .refused(403, caldav("valid-timezone"));
}

#[test]
fn h6_too_many_instances_are_refused_as_a_whole() {
    let text = "x".repeat(20_000);
    let daily = format!("RRULE:FREQ=DAILY\r\nDESCRIPTION:{text}\r\n");
    let objects: Vec<(String, String)> = (0..30)
        .map(|number| {
            (
                format!("{number}.ics"),
                event(&number.to_string(), 10, &daily),
            )
        })
        .collect();
    let objects: Vec<(&str, &str)> = objects
        .iter()
        .map(|(name, body)| (name.as_str(), body.as_str()))
        .collect();
    let server = Server::with(&objects);
    let decades = YEAR.replace("2007", "2036");
    let named = dav("number-of-matches-within-limits");
    query(&server, &decades, "").refused(403, named);
    sync(&server, &decades).refused(403, named);
    // many short ones
    let server = Server::with(&[
        ("a.ics", &event("a", 10, "RRULE:FREQ=HOURLY\r\n")),
        ("b.ics", &event("b", 12, "RRULE:FREQ=HOURLY\r\n")),
    ]);
    query(&server, YEAR, "").refused(403, named);
    multiget(&server, YEAR).refused(403, named);
    let half = YEAR.replace("20070101", "20060701");
    assert_eq!(multiget(&server, &half).status, 207);
}
