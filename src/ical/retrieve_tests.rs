use super::super::project::{ComponentRequest, PropertyRequest, Wanted};
use super::super::rfc4791_objects::object;
use super::super::time::{Instant, LocalTime};
use super::*;

fn range(start: &str, end: &str) -> TimeRange {
    let instant = |text| Instant(LocalTime::parse(text).expect("a time").seconds());
    TimeRange {
        start: instant(start),
        end: instant(end),
    }
}

fn ask(object: &str, recurrences: Recurrences, busy: Option<TimeRange>) -> String {
    let retrieval = Retrieval {
        recurrences,
        busy,
        ..Retrieval::everything()
    };
    let found = retrieval.of(object.as_bytes(), None, &mut Room::default());
    String::from_utf8(found.expect("simple").into_owned()).expect("text")
}

#[test]
fn rfc4791_7_8_3_expanded() {
    // the times of the example lack their Z
    let two = ask(
        &object(2),
        Recurrences::Expanded(range("20060103T000000", "20060105T000000")),
        None,
    );
    let expected = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Example Corp.//CalDAV Client//EN\n\
        BEGIN:VEVENT\nDTSTAMP:20060206T001121Z\nDTSTART:20060103T170000Z\nRECURRENCE-ID:20060103T170000Z\n\
        DURATION:PT1H\nSUMMARY:Event #2\nUID:00959BC664CA650E933C892C@example.com\nEND:VEVENT\n\
        BEGIN:VEVENT\nDTSTAMP:20060206T001121Z\nDTSTART:20060104T190000Z\nDURATION:PT1H\n\
        RECURRENCE-ID:20060104T170000Z\nSUMMARY:Event #2 bis\nUID:00959BC664CA650E933C892C@example.com\n\
        END:VEVENT\nEND:VCALENDAR\n";
    assert_eq!(two, expected.replace('\n', "\r\n"));
    let three = ask(
        &object(3),
        Recurrences::Expanded(range("20060103T000000", "20060105T000000")),
        None,
    );
    assert!(three.contains("\r\nDTSTART:20060104T150000Z\r\nDURATION:PT1H\r\n"));
    assert!(!three.contains("RECURRENCE-ID") && !three.contains("TIMEZONE"));
}

#[test]
fn rfc4791_7_8_2_limited() {
    let two = object(2);
    let limited = |start, end| ask(&two, Recurrences::Limited(range(start, end)), None);
    // where it is now, and where it was
    assert_eq!(limited("20060104T190000", "20060104T200000"), two);
    assert_eq!(limited("20060104T170000", "20060104T180000"), two);
    let without = limited("20060105T000000", "20060106T000000");
    assert!(without.contains("RRULE") && without.contains("VTIMEZONE"));
    assert!(!without.contains("bis") && two.starts_with(&without[..without.len() - 20]));
}

#[test]
fn limited_this_and_future() {
    let object = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20240101T100000Z\r\nRRULE:FREQ=DAILY\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nUID:1\r\nRECURRENCE-ID;RANGE=THISANDFUTURE:20240110T100000Z\r\nDTSTART:20240110T120000Z\r\nEND:VEVENT\r\n\
        BEGIN:VEVENT\r\nUID:1\r\nRECURRENCE-ID;RANGE=THISANDFUTURE:20240120T100000Z\r\nDTSTART:20240120T180000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let kept = |start, end| {
        let found = ask(object, Recurrences::Limited(range(start, end)), None);
        ["20240110T100000Z\r\nDTSTART", "20240120T100000Z\r\nDTSTART"]
            .map(|identity| found.contains(identity))
    };
    assert_eq!(kept("20240105T000000", "20240106T000000"), [false, false]);
    assert_eq!(kept("20240115T113000", "20240115T123000"), [true, false]);
    assert_eq!(kept("20240115T093000", "20240115T103000"), [true, false]);
    assert_eq!(kept("20240115T103000", "20240115T113000"), [false, false]);
    assert_eq!(kept("20240201T100000", "20240201T190000"), [false, true]);
}

#[test]
fn rfc4791_7_8_4_limited_busy_times() {
    let eight = object(8);
    let day = Some(range("20060102T000000", "20060103T000000"));
    let found = ask(&eight, Recurrences::All, day);
    let busy: Vec<&str> = found.lines().filter(|line| line.contains('/')).collect();
    assert_eq!(
        busy,
        [
            "PRODID:-//Example Corp.//CalDAV Client//EN",
            "FREEBUSY;FBTYPE=BUSY-TENTATIVE:20060102T100000Z/20060102T120000Z"
        ]
    );
    let list = "BEGIN:VCALENDAR\r\nBEGIN:VFREEBUSY\r\nfreebusy;FBTYPE=\"BUSY\":20060101T000000Z/PT1H,20060102T000000Z/PT1H,20060102T230000Z/PT5H,x\r\nEND:VFREEBUSY\r\nEND:VCALENDAR\r\n";
    assert!(
        ask(list, Recurrences::All, day)
            .contains("\r\nFREEBUSY;FBTYPE=BUSY:20060102T000000Z/PT1H,20060102T230000Z/PT5H\r\n")
    );
}

#[test]
fn parts_of_instances() {
    let only = CompRequest::from_children(
        "VEVENT",
        PropertyRequest::Named([("RECURRENCE-ID".to_owned(), Wanted::Value)].into()),
        ComponentRequest::Named(Vec::new()),
    );
    let retrieval = Retrieval {
        parts: CompRequest::from_children(
            "VCALENDAR",
            PropertyRequest::Named(Default::default()),
            ComponentRequest::Named(vec![only]),
        ),
        recurrences: Recurrences::Expanded(range("20060103T000000", "20060104T000000")),
        busy: None,
    };
    let two = object(2);
    let found = retrieval.of(two.as_bytes(), None, &mut Room::default());
    assert_eq!(
        String::from_utf8_lossy(&found.expect("simple")),
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nRECURRENCE-ID:20060103T170000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    );
}
