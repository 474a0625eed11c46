//! RSCALE and SKIP (RFC 7529), in whole requests: what is not computed is refused by name, what was
//! stored before that is served.

use super::*;
use crate::ical::ComponentKind;
use crate::ical::summary::extent;
use crate::ical::tree::Calendar;
use crate::ids::Segment;
use crate::vault::{CalendarFacts, NewObject, Node, VaultError};

const PLAIN: &str = "/dav/calendars/alice/plain/";
const OTHER: &str = "/dav/calendars/alice/calendar/";
const CALENDAR: [(&str, &str); 1] = [("content-type", "text/calendar")];

fn lunar(uid: &str) -> String {
    event(uid, 10, "RRULE:RSCALE=CHINESE;FREQ=YEARLY\r\n")
}

fn query(server: &Server, range: &str, data: &str) -> Multistatus {
    let inner = format!(
        "<D:prop><C:calendar-data>{data}</C:calendar-data></D:prop><C:filter>\
         <C:comp-filter name='VCALENDAR'><C:comp-filter name='VEVENT'><C:time-range {range}/>\
         </C:comp-filter></C:comp-filter></C:filter>"
    );
    server
        .report(WORK, "C:calendar-query", &inner)
        .multistatus()
}

#[test]
fn rfc7529_what_is_not_computed_is_refused_wherever_it_comes_in() {
    let server = Server::new();
    let put = server.ask("PUT", &format!("{WORK}a.ics"), &CALENDAR, &lunar("a"));
    put.refused(403, caldav("supported-rscale"));
    let says = ">line 9: RSCALE is not GREGORIAN</x:sentence>";
    assert!(put.text.contains(says), "{}", put.text);
    let post = server.ask("POST", WORK, &CALENDAR, &lunar("a"));
    post.refused(403, caldav("supported-rscale"));
    // a file is a file, until it is to become a calendar object
    server.expect(201, "MKCOL", PLAIN, &[], "");
    let file = format!("{PLAIN}a.ics");
    server.expect(201, "PUT", &file, &CALENDAR, &lunar("a"));
    for method in ["COPY", "MOVE"] {
        let to = [("destination", "/dav/calendars/alice/work/a.ics")];
        let answer = server.ask(method, &file, &to, "");
        answer.refused(403, caldav("supported-rscale"));
    }
    let skip = event(
        "a",
        10,
        "RRULE:RSCALE=GREGORIAN;SKIP=FORWARD;FREQ=MONTHLY\r\n",
    );
    let put = server.ask("PUT", &format!("{WORK}a.ics"), &CALENDAR, &skip);
    put.refused(403, caldav("supported-rscale"));
    assert!(
        put.text.contains(">line 9: SKIP is not OMIT<"),
        "{}",
        put.text
    );
    server.expect(404, "GET", &format!("{WORK}a.ics"), &[], "");
    // no calendar system is advertised
    let found = server.propfind(WORK, "0", "<C:supported-rscale-set/>");
    let set = found.property(WORK, caldav("supported-rscale-set"));
    assert_eq!(set.unwrap().0, 404);
}

#[test]
fn rfc7529_gregorian_without_skip_is_the_plain_rule() {
    let rule = "RRULE:RSCALE=GREGORIAN;SKIP=OMIT;FREQ=DAILY;COUNT=3\r\n";
    let server = Server::with(&[("a.ics", &event("a", 10, rule))]);
    let all = "start='20060101T000000Z' end='20070101T000000Z'";
    let found = query(&server, all, &format!("<C:expand {all}/>"));
    let text = found
        .value(&format!("{WORK}a.ics"), caldav("calendar-data"))
        .text();
    let starts: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("DTSTART"))
        .collect();
    assert_eq!(
        starts,
        [
            "DTSTART:20060102T100000Z",
            "DTSTART:20060103T100000Z",
            "DTSTART:20060104T100000Z"
        ]
    );
    let after = "start='20060105T000000Z' end='20070101T000000Z'";
    assert_eq!(query(&server, after, "").names(), [""; 0]);
}

/// Stores an object as it was stored before such rules were refused.
fn stored_before(server: &Server, name: &str, body: &str) {
    let work = server.account.resolve(&[Segment::parse("work").unwrap()]);
    let Node::Collection(work) = work.unwrap() else {
        panic!("no calendar")
    };
    let calendar = CalendarFacts {
        uid: "old".into(),
        component: ComponentKind::Event,
        extent: extent(&Calendar::parse(body.as_bytes()).unwrap()),
        moments: Default::default(),
    };
    let new = NewObject {
        parent: work.id,
        segment: Segment::parse(name).unwrap(),
        body: body.as_bytes().to_vec(),
        content_type: "text/calendar; charset=utf-8".into(),
        calendar: Some(calendar),
    };
    let put = server.account.write(|tx| tx.put(new).map(|_| ()));
    put.map_err(|error: VaultError| error).unwrap();
    server.account.barrier().wait().unwrap();
}

#[test]
fn rfc7529_what_was_stored_before_is_served() {
    let server = Server::new();
    let body = lunar("old");
    stored_before(&server, "old.ics", &body);
    let href = format!("{WORK}old.ics");
    assert_eq!(server.expect(200, "GET", &href, &[], "").text, body);
    // given to the client, who knows better, from its start on, as it is
    let later = "start='20300101T000000Z' end='20300102T000000Z'";
    let found = query(&server, later, &format!("<C:expand {later}/>"));
    assert_eq!(found.value(&href, caldav("calendar-data")).text(), body);
    let before = "start='20000101T000000Z' end='20060101T000000Z'";
    assert_eq!(query(&server, before, "").names(), [""; 0]);
    // it can go where the user wants it, but not be written anew
    let to = format!("{OTHER}old.ics");
    server.expect(201, "COPY", &href, &[("destination", &to)], "");
    assert_eq!(server.expect(200, "GET", &to, &[], "").text, body);
    let put = server.ask("PUT", &href, &CALENDAR, &body);
    put.refused(403, caldav("supported-rscale"));
    let plain = event("old", 10, "");
    server.expect(204, "PUT", &href, &CALENDAR, &plain);
}
