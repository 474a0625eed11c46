use super::super::definitions;
use super::*;

/// The expanded components between the head and the end of an object, one line for each line.
fn expanded(inner: &str, zone: Option<&str>, start: &str, end: &str) -> Vec<String> {
    let text = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{inner}\r\nEND:VCALENDAR\r\n");
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    let calendar = Calendar::parse(text.as_bytes()).expect("readable");
    let floating = zone.map_or(Floating::Stays, |_| Floating::Read);
    let zone = Zone::iana(zone.unwrap_or("UTC")).expect("a zone");
    let zones = definitions::zones(&calendar, zone);
    let mut room = Room::default();
    let found = expand(
        text.as_bytes(),
        &calendar,
        (&zones, floating),
        range(start, end),
        &mut room,
    );
    let found = String::from_utf8(found.expect("simple")).expect("text");
    Calendar::parse(found.as_bytes()).expect("what is written can be read");
    let rest = found
        .strip_prefix("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n")
        .and_then(|rest| rest.strip_suffix("END:VCALENDAR\r\n"));
    rest.expect("the head and the end stay")
        .lines()
        .map(str::to_owned)
        .collect()
}

fn range(start: &str, end: &str) -> TimeRange {
    let instant = |text| Instant(LocalTime::parse(text).expect("a time").seconds());
    TimeRange {
        start: instant(start),
        end: instant(end),
    }
}

fn event(lines: &str) -> String {
    format!("BEGIN:VEVENT\nUID:1\n{lines}\nEND:VEVENT")
}

/// Only the times of each instance.
fn times(inner: &str, zone: Option<&str>, start: &str, end: &str) -> Vec<String> {
    expanded(inner, zone, start, end)
        .into_iter()
        .filter(|line| {
            ["DT", "DUE", "DUR", "RECUR"]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .collect()
}

#[test]
fn every_instance_in_utc_with_its_identity() {
    let master = event(
        "DTSTART;TZID=Europe/Berlin;X-A=\"b,c\":20240330T100000\nDTEND;TZID=Europe/Berlin:20240330T113000\n\
         RRULE:FREQ=DAILY\nEXDATE;TZID=Europe/Berlin:20240331T100000\nRDATE;TZID=Europe/Berlin:20240401T200000\n\
         SUMMARY:As it\n  was\nBEGIN:VALARM\nTRIGGER:-PT5M\nEND:VALARM",
    );
    let moved = event(
        "RECURRENCE-ID;TZID=Europe/Berlin:20240401T100000\nDTSTART;TZID=America/New_York:20240401T100000\nDURATION:PT2H",
    );
    let zone = "BEGIN:VTIMEZONE\nTZID:Europe/Berlin\nEND:VTIMEZONE";
    let all = format!("{zone}\n{master}\n{moved}");
    assert_eq!(
        expanded(&all, None, "20240330T000000", "20240401T183000"),
        [
            "BEGIN:VEVENT",
            "UID:1",
            "DTSTART;X-A=\"b,c\":20240330T090000Z",
            "RECURRENCE-ID:20240330T090000Z",
            "DTEND:20240330T103000Z",
            "SUMMARY:As it",
            "  was",
            "BEGIN:VALARM",
            "TRIGGER:-PT5M",
            "END:VALARM",
            "END:VEVENT",
            "BEGIN:VEVENT",
            "UID:1",
            "RECURRENCE-ID:20240401T080000Z",
            "DTSTART:20240401T140000Z",
            "DURATION:PT2H",
            "END:VEVENT",
            "BEGIN:VEVENT",
            "UID:1",
            "DTSTART;X-A=\"b,c\":20240401T180000Z",
            "RECURRENCE-ID:20240401T180000Z",
            "DTEND:20240401T193000Z",
            "SUMMARY:As it",
            "  was",
            "BEGIN:VALARM",
            "TRIGGER:-PT5M",
            "END:VALARM",
            "END:VEVENT",
        ]
    );
}

#[test]
fn this_and_future() {
    let master =
        event("DTSTART;TZID=Europe/Berlin:20240320T100000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY");
    let later = event(
        "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Berlin:20240403T100000\n\
         DTSTART;TZID=Europe/Berlin:20240404T120000\nDURATION:PT2H\nSUMMARY:New",
    );
    assert_eq!(
        times(
            &format!("{master}\n{later}"),
            None,
            "20240327T000000",
            "20240412T000000"
        ),
        [
            "DTSTART:20240327T090000Z",
            "RECURRENCE-ID:20240327T090000Z",
            "DURATION:PT1H",
            "RECURRENCE-ID:20240403T080000Z",
            "DTSTART:20240404T100000Z",
            "DURATION:PT2H",
            "RECURRENCE-ID:20240410T080000Z",
            "DTSTART:20240411T100000Z",
            "DURATION:PT2H",
        ]
    );
}

#[test]
fn dates_and_floating_times() {
    let days =
        event("DTSTART;VALUE=DATE:20240330\nDTEND;VALUE=DATE:20240401\nRRULE:FREQ=WEEKLY;COUNT=2");
    for zone in [None, Some("America/New_York"), Some("Pacific/Auckland")] {
        assert_eq!(
            times(&days, zone, "20240405T000000", "20240409T000000"),
            [
                "DTSTART;VALUE=DATE:20240406",
                "RECURRENCE-ID;VALUE=DATE:20240406",
                "DTEND;VALUE=DATE:20240408"
            ]
        );
    }
    let floating = event("DTSTART:20240330T100000\nDTEND:20240330T110000\nRRULE:FREQ=DAILY");
    assert_eq!(
        times(&floating, None, "20240331T000000", "20240401T000000"),
        [
            "DTSTART:20240331T100000",
            "RECURRENCE-ID:20240331T100000",
            "DTEND:20240331T110000"
        ]
    );
    assert_eq!(
        times(
            &floating,
            Some("Europe/Berlin"),
            "20240331T000000",
            "20240401T000000"
        ),
        [
            "DTSTART:20240331T080000Z",
            "RECURRENCE-ID:20240331T080000Z",
            "DTEND:20240331T090000Z"
        ]
    );
    let lost = event("DTSTART;TZID=Nowhere:20240330T100000\nRRULE:FREQ=DAILY");
    assert_eq!(
        times(&lost, None, "20240331T000000", "20240401T000000"),
        ["DTSTART:20240331T100000", "RECURRENCE-ID:20240331T100000"]
    );
}

#[test]
fn lengths_that_utc_would_change() {
    // Berlin's clocks go forward on 31 March 2024
    let day =
        event("DTSTART;TZID=Europe/Berlin:20240329T120000\nDURATION:P1D\nRRULE:FREQ=DAILY;COUNT=2");
    assert_eq!(
        times(&day, None, "20240329T000000", "20240402T000000"),
        [
            "DTSTART:20240329T110000Z",
            "RECURRENCE-ID:20240329T110000Z",
            "DURATION:P1D",
            "DTSTART:20240330T110000Z",
            "RECURRENCE-ID:20240330T110000Z",
            "DTEND:20240331T100000Z"
        ]
    );
    let period = event("DTSTART:20240101T100000Z\nRDATE;VALUE=PERIOD:20240102T100000Z/PT3H");
    assert_eq!(
        times(&period, None, "20240101T000000", "20240103T000000"),
        [
            "DTSTART:20240101T100000Z",
            "RECURRENCE-ID:20240101T100000Z",
            "DTSTART:20240102T100000Z",
            "RECURRENCE-ID:20240102T100000Z",
            "DTEND:20240102T130000Z"
        ]
    );
}

#[test]
fn todos_and_journals() {
    let due = "BEGIN:VTODO\nUID:1\nDUE;TZID=Europe/Berlin:20240101T120000\nRRULE:FREQ=DAILY;COUNT=3\nEND:VTODO";
    assert_eq!(
        times(due, None, "20240102T000000", "20240103T000000"),
        ["DUE:20240102T110000Z", "RECURRENCE-ID:20240102T110000Z"]
    );
    let both = "BEGIN:VTODO\nUID:1\nDTSTART:20240101T120000Z\nDUE:20240101T130000Z\nRRULE:FREQ=DAILY\nEND:VTODO";
    assert_eq!(
        times(both, None, "20240102T000000", "20240103T000000"),
        [
            "DTSTART:20240102T120000Z",
            "RECURRENCE-ID:20240102T120000Z",
            "DUE:20240102T130000Z"
        ]
    );
    let journal =
        "BEGIN:VJOURNAL\nUID:1\nDTSTART;VALUE=DATE:20240101\nRRULE:FREQ=DAILY\nEND:VJOURNAL";
    assert_eq!(
        times(journal, None, "20240102T000000", "20240103T000000"),
        [
            "DTSTART;VALUE=DATE:20240102",
            "RECURRENCE-ID;VALUE=DATE:20240102"
        ]
    );
    let open = "BEGIN:VTODO\nUID:1\nX-AT;TZID=Europe/Berlin:20240101T120000\nX-NO;TZID=Europe/Berlin:words\nEND:VTODO";
    assert_eq!(
        expanded(open, None, "20240102T000000", "20240103T000000"),
        [
            "BEGIN:VTODO",
            "UID:1",
            "X-AT:20240101T110000Z",
            "X-NO;TZID=Europe/Berlin:words",
            "END:VTODO"
        ]
    );
}

#[test]
fn what_does_not_recur_or_not_here() {
    let single = event("DTSTART;TZID=Europe/Berlin:20240101T120000");
    assert_eq!(
        times(&single, None, "20240101T000000", "20240102T000000"),
        ["DTSTART:20240101T110000Z"]
    );
    assert_eq!(
        expanded(&single, None, "20240102T000000", "20240103T000000"),
        [""; 0]
    );
    let stray = event("RECURRENCE-ID;TZID=Europe/Berlin:20240101T120000\nDTSTART:20240101T130000Z");
    assert_eq!(
        times(&stray, None, "20240101T000000", "20240102T000000"),
        ["RECURRENCE-ID:20240101T110000Z", "DTSTART:20240101T130000Z"]
    );
    // of another calendar system: the client is given what it may understand
    let lunar = event("DTSTART;TZID=X:20240210T000000\nRRULE:RSCALE=CHINESE;FREQ=YEARLY");
    let zone = "BEGIN:VTIMEZONE\nTZID:X\nEND:VTIMEZONE";
    let all = format!("{zone}\n{lunar}");
    let received: Vec<&str> = all.lines().collect();
    assert_eq!(
        expanded(&all, None, "20300101T000000", "20310101T000000"),
        received
    );
}

#[test]
fn h6_h21_bounded_and_nothing_smuggled_in() {
    let long = event(&format!(
        "DTSTART:20000101T000000Z\nRRULE:FREQ=DAILY\nDESCRIPTION:{}",
        "x".repeat(20_000)
    ));
    let text = format!("BEGIN:VCALENDAR\n{long}\nEND:VCALENDAR");
    let calendar = Calendar::parse(text.as_bytes()).expect("readable");
    let zones = definitions::zones(&calendar, Zone::utc());
    let ask = |years: &str, room: &mut Room| {
        let range = range("20000101T000000", years);
        let zones = (&zones, Floating::Stays);
        expand(text.as_bytes(), &calendar, zones, range, room)
    };
    let mut room = Room::default();
    assert!(ask("20010101T000000", &mut room).is_ok());
    assert_eq!(room.instances, limits::INSTANCES_PER_ANSWER - 366);
    // by its bytes, and by the number of instances
    assert_eq!(ask("20100101T000000", &mut room), Err(WithinError::TooMany));
    assert_eq!(
        ask("20400101T000000", &mut Room::default()),
        Err(WithinError::TooMany)
    );
    let evil = event("DTSTART;X-A=\"^n:20240101T000000Z^nATTENDEE\":20240101T000000Z");
    let found = expanded(&evil, None, "20240101T000000", "20240102T000000");
    assert_eq!(found.len(), 4);
}
