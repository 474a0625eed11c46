//! CALDAV:free-busy-query (RFC 4791 section 7.10), in whole requests.

use super::*;

fn ask(server: &Server, target: &str, range: &str) -> Answer {
    server.report(
        target,
        "C:free-busy-query",
        &format!("<C:time-range {range}/>"),
    )
}

const DAY: &str = "start='20060102T000000Z' end='20060103T000000Z'";

fn periods(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.headers["content-type"],
        "text/calendar; charset=utf-8"
    );
    let lines = answer.text.lines();
    lines
        .filter_map(|line| line.strip_prefix("FREEBUSY"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn rfc4791_7_10_on_calendars_and_what_holds_them() {
    let server = Server::with(&[
        ("a.ics", &event("a", 10, "RRULE:FREQ=DAILY\r\n")),
        ("b.ics", &event("b", 11, "")),
        ("c.ics", &event("c", 15, "STATUS:TENTATIVE\r\n")),
        ("d.ics", &event("d", 17, "TRANSP:TRANSPARENT\r\n")),
        ("todo.ics", &todo("todo")),
    ]);
    let other = format!("{HOME}calendar/x.ics");
    server.put(&other, &event("x", 20, ""));
    let work = [
        ":20060102T100000Z/20060102T120000Z",
        ";FBTYPE=BUSY-TENTATIVE:20060102T150000Z/20060102T160000Z",
    ];
    let answer = ask(&server, WORK, DAY);
    assert_eq!(periods(&answer), work);
    for line in [
        "BEGIN:VFREEBUSY",
        "DTSTART:20060102T000000Z",
        "DTEND:20060103T000000Z",
    ] {
        assert_eq!(answer.text.matches(line).count(), 1, "{line}");
    }
    assert_eq!(
        periods(&ask(&server, HOME, DAY)),
        [work[0], work[1], ":20060102T200000Z/20060102T210000Z"]
    );
    assert_eq!(
        periods(&ask(&server, &format!("{HOME}tasks/"), DAY)),
        [""; 0]
    );
    let plain = format!("{HOME}plain/");
    assert_eq!(server.ask("MKCOL", &plain, &[], "").status, 201);
    assert_eq!(periods(&ask(&server, &plain, DAY)), [""; 0]);
    // nobody else's (HARDENING H12), no object, and no range
    assert_eq!(ask(&server, "/dav/calendars/bob/work/", DAY).status, 404);
    ask(&server, &other, DAY).refused(403, dav("supported-report"));
    assert_eq!(ask(&server, WORK, "").status, 400);
    assert_eq!(server.report(WORK, "C:free-busy-query", "").status, 400);
    ask(&server, WORK, "start='20060101T000000Z'")
        .refused(403, dav("number-of-matches-within-limits"));
}

#[test]
fn rfc4791_7_3_floating_times_in_the_zone_of_the_calendar() {
    let floating =
        event("f", 10, "").replace("DTSTART:20060102T100000Z", "DTSTART:20060102T100000");
    let server = Server::with(&[("f.ics", &floating)]);
    assert_eq!(
        periods(&ask(&server, WORK, DAY)),
        [":20060102T100000Z/20060102T110000Z"]
    );
    let zone = "BEGIN:VCALENDAR&#13;\nBEGIN:VTIMEZONE&#13;\nTZID:America/New_York&#13;\nEND:VTIMEZONE&#13;\nEND:VCALENDAR&#13;\n";
    let patch = format!(
        "<D:propertyupdate {NAMESPACES}><D:set><D:prop><C:calendar-timezone>{zone}</C:calendar-timezone></D:prop></D:set></D:propertyupdate>"
    );
    assert_eq!(server.ask("PROPPATCH", WORK, &[], &patch).status, 207);
    assert_eq!(
        periods(&ask(&server, WORK, DAY)),
        [":20060102T150000Z/20060102T160000Z"]
    );
}
