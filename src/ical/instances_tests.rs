use super::super::definitions;
use super::*;

/// The starts of instances in a range, as `component: local start/local end in UTC`.
fn within(inner: &str, start: &str, end: &str, default: &str) -> Vec<String> {
    let text = format!("BEGIN:VCALENDAR\n{inner}\nEND:VCALENDAR\n");
    let calendar = Calendar::parse(text.as_bytes()).expect("readable");
    let zones = definitions::zones(&calendar, Zone::iana(default).expect("a zone"));
    let instances = Instances::new(&calendar, &zones);
    let found = instances.within(range(start, end), 100).expect("few");
    let utc = |time: Option<Instant>| {
        time.and_then(Instant::to_utc)
            .map_or("-".to_owned(), |time| time.to_string())
    };
    found
        .iter()
        .map(|found| {
            format!(
                "{}: {}/{}",
                found.component,
                utc(found.placing.start()),
                utc(found.placing.end())
            )
        })
        .collect()
}

fn range(start: &str, end: &str) -> TimeRange {
    let instant = |text| Instant(LocalTime::parse(text).expect("a time").seconds());
    TimeRange {
        start: instant(start),
        end: instant(end),
    }
}

fn overlaps(inner: &str, path: &[usize], start: &str, end: &str) -> bool {
    let text = format!("BEGIN:VCALENDAR\n{inner}\nEND:VCALENDAR\n");
    let calendar = Calendar::parse(text.as_bytes()).expect("readable");
    let zones = definitions::zones(&calendar, Zone::utc());
    Instances::new(&calendar, &zones)
        .overlaps(path, range(start, end))
        .expect("simple")
}

fn event(lines: &str) -> String {
    format!("BEGIN:VEVENT\nUID:1\n{lines}\nEND:VEVENT")
}

#[test]
fn master_override_and_detached_override() {
    let master = event(
        "DTSTART:20240101T100000Z\nDTEND:20240101T110000Z\nRRULE:FREQ=DAILY;COUNT=4\nEXDATE:20240104T100000Z",
    );
    let moved = event("RECURRENCE-ID:20240102T100000Z\nDTSTART:20240110T120000Z");
    let stray = event("RECURRENCE-ID:20240301T100000Z\nDTSTART:20240301T120000Z\nDURATION:PT1H");
    let other = moved
        .replace("UID:1", "UID:2")
        .replace("20240102", "20240103");
    let all = format!("{master}\n{moved}\n{stray}\n{other}");
    assert_eq!(
        within(&all, "20240101T000000", "20240401T000000", "UTC"),
        [
            "0: 20240101T100000/20240101T110000",
            "0: 20240103T100000/20240103T110000",
            "1: 20240110T120000/20240110T120000",
            "2: 20240301T120000/20240301T130000",
            "3: 20240110T120000/20240110T120000",
        ]
    );
    assert_eq!(
        within(&all, "20240102T000000", "20240103T100000", "UTC"),
        Vec::<String>::new()
    );
    assert_eq!(
        within(&moved, "20240110T120000", "20240110T120001", "UTC").len(),
        1
    );
}

#[test]
fn this_and_future() {
    let master =
        event("DTSTART;TZID=Europe/Berlin:20240320T100000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY");
    let later = event(
        "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Berlin:20240403T100000\n\
         DTSTART;TZID=Europe/Berlin:20240404T120000\nDURATION:PT2H",
    );
    let both = format!("{master}\n{later}");
    assert_eq!(
        within(&both, "20240320T000000", "20240412T000000", "UTC"),
        [
            "0: 20240320T090000/20240320T100000",
            "0: 20240327T090000/20240327T100000",
            "1: 20240404T100000/20240404T120000",
            "1: 20240411T100000/20240411T120000",
        ]
    );
    // The master describes nothing any more, which must be found out without walking for ever.
    let years = range("20500101T000000", "20600101T000000");
    let text = format!("BEGIN:VCALENDAR\n{both}\nEND:VCALENDAR");
    let calendar = Calendar::parse(text.as_bytes()).expect("readable");
    let zones = definitions::zones(&calendar, Zone::utc());
    let instances = Instances::new(&calendar, &zones);
    let open = TimeRange {
        end: Instant::MAX,
        ..years
    };
    assert_eq!(instances.overlaps(&[0], open), Ok(false));
    assert_eq!(instances.overlaps(&[1], open), Ok(true));
    assert_eq!(
        instances.within(TimeRange::ALL, 10),
        Err(WithinError::TooMany)
    );
}

#[test]
fn length_over_a_clock_change() {
    // Berlin's clocks go forward on 31 March 2024: DTEND is exact, DURATION in days is nominal.
    let exact = event(
        "DTSTART;TZID=Europe/Berlin:20240329T120000\nDTEND;TZID=Europe/Berlin:20240330T120000\nRRULE:FREQ=DAILY;COUNT=2",
    );
    let nominal = exact.replace("DTEND;TZID=Europe/Berlin:20240330T120000", "DURATION:P1D");
    let last = |inner| within(inner, "20240331T101500", "20240401T000000", "UTC");
    assert_eq!(last(&exact), ["0: 20240330T110000/20240331T110000"]);
    assert_eq!(last(&nominal), Vec::<String>::new());
    let start = "20240330T120000";
    assert_eq!(
        within(&nominal, start, "20240331T100000", "UTC"),
        ["0: 20240330T110000/20240331T100000"]
    );
}

#[test]
fn days_are_read_in_the_default_zone() {
    let day = event("DTSTART;VALUE=DATE:20240101");
    assert_eq!(
        within(&day, "20231231T000000", "20231231T150000", "Asia/Tokyo"),
        Vec::<String>::new()
    );
    assert_eq!(
        within(&day, "20231231T000000", "20231231T150001", "Asia/Tokyo"),
        ["0: 20231231T150000/20240101T150000"]
    );
    let days = event("DTSTART;VALUE=DATE:20240101\nDTEND;VALUE=DATE:20240103\nRRULE:FREQ=YEARLY");
    assert_eq!(
        within(&days, "20300102T120000", "20300102T130000", "UTC"),
        ["0: 20300101T000000/20300103T000000"]
    );
}

#[test]
fn dates_with_their_own_end() {
    let inner = event(
        "DTSTART:20240101T100000Z\nDURATION:PT1H\nRDATE;VALUE=PERIOD:20240105T100000Z/PT5H,20240106T100000Z/20240106T103000Z\nRDATE:20240107T100000Z",
    );
    assert_eq!(
        within(&inner, "20240105T140000", "20240108T000000", "UTC"),
        [
            "0: 20240105T100000/20240105T150000",
            "0: 20240106T100000/20240106T103000",
            "0: 20240107T100000/20240107T110000",
        ]
    );
}

#[test]
fn todos() {
    let todo = |lines: &str| format!("BEGIN:VTODO\nUID:1\n{lines}\nEND:VTODO");
    let due = todo("DUE:20240101T100000Z\nRRULE:FREQ=DAILY;COUNT=3");
    assert_eq!(
        within(&due, "20240102T000000", "20240103T000000", "UTC"),
        ["0: -/20240102T100000"]
    );
    let both = todo("DTSTART:20240101T100000Z\nDUE:20240101T120000Z");
    assert!(overlaps(&both, &[0], "20240101T110000", "20240101T113000"));
    assert!(!overlaps(&both, &[0], "20240101T120000", "20240101T123000"));
    assert!(overlaps(
        &todo("DTSTART:20240101T100000Z\nDURATION:PT2H"),
        &[0],
        "20240101T120000",
        "20240101T123000"
    ));
    assert!(overlaps(
        &todo("CREATED:20240101T100000Z"),
        &[0],
        "20240201T000000",
        "20240202T000000"
    ));
    assert!(!overlaps(
        &todo("CREATED:20240301T100000Z"),
        &[0],
        "20240201T000000",
        "20240202T000000"
    ));
    assert!(!overlaps(
        &todo("COMPLETED:20240101T100000Z"),
        &[0],
        "20240201T000000",
        "20240202T000000"
    ));
    assert!(overlaps(
        &todo("SUMMARY:some day"),
        &[0],
        "20240201T000000",
        "20240202T000000"
    ));
}

#[test]
fn alarms() {
    let alarm = |lines: &str| format!("BEGIN:VALARM\n{lines}\nEND:VALARM");
    let with = |lines: &str| {
        event(&format!(
            "DTSTART:20240101T100000Z\nDTEND:20240101T120000Z\nRRULE:FREQ=DAILY\n{}",
            alarm(lines)
        ))
    };
    let at = |lines: &str, start, end| overlaps(&with(lines), &[0, 0], start, end);
    assert!(at("TRIGGER:-PT15M", "20240205T094500", "20240205T094501"));
    assert!(!at("TRIGGER:-PT15M", "20240205T094501", "20240206T094500"));
    assert!(at(
        "TRIGGER;RELATED=END:PT5M",
        "20240205T120500",
        "20240205T120501"
    ));
    assert!(!at(
        "TRIGGER;RELATED=END:PT5M",
        "20240205T120501",
        "20240205T130000"
    ));
    assert!(at("TRIGGER:-P3D", "20240102T100000", "20240102T100001"));
    assert!(at(
        "TRIGGER:PT0S\nREPEAT:3\nDURATION:PT10M",
        "20240205T103000",
        "20240205T103001"
    ));
    assert!(!at(
        "TRIGGER:PT0S\nREPEAT:3\nDURATION:PT10M",
        "20240205T103001",
        "20240205T130000"
    ));
    assert!(at(
        "TRIGGER;VALUE=DATE-TIME:20230101T000000Z",
        "20230101T000000",
        "20230101T000001"
    ));
    assert!(!at(
        "TRIGGER:nonsense",
        "20240101T000000",
        "20240201T000000"
    ));
    assert!(!at("ACTION:AUDIO", "20240101T000000", "20240201T000000"));
}

#[test]
fn free_busy_and_availability() {
    let busy = |lines: &str| format!("BEGIN:VFREEBUSY\n{lines}\nEND:VFREEBUSY");
    let periods = busy("FREEBUSY:20240101T100000Z/PT1H,20240102T100000Z/20240102T110000Z");
    assert!(overlaps(
        &periods,
        &[0],
        "20240102T105900",
        "20240103T000000"
    ));
    assert!(!overlaps(
        &periods,
        &[0],
        "20240101T110000",
        "20240102T100000"
    ));
    let bounded =
        busy("DTSTART:20240101T000000Z\nDTEND:20240102T000000Z\nFREEBUSY:20250101T100000Z/PT1H");
    assert!(overlaps(
        &bounded,
        &[0],
        "20240102T000000",
        "20240103T000000"
    ));
    assert!(!overlaps(
        &bounded,
        &[0],
        "20250101T000000",
        "20250102T000000"
    ));
    assert!(!overlaps(
        &busy("UID:1"),
        &[0],
        "20240101T000000",
        "20250101T000000"
    ));
    let open = "BEGIN:VAVAILABILITY\nDTSTART:20240101T000000Z\nEND:VAVAILABILITY";
    assert!(overlaps(open, &[0], "20300101T000000", "20300102T000000"));
    assert!(!overlaps(open, &[0], "20230101T000000", "20240101T000000"));
}

#[test]
fn what_has_no_times() {
    let journal = "BEGIN:VJOURNAL\nUID:1\nCREATED:20240101T000000Z\nEND:VJOURNAL";
    assert!(!overlaps(
        journal,
        &[0],
        "20230101T000000",
        "20250101T000000"
    ));
    assert!(overlaps(
        "BEGIN:VJOURNAL\nDTSTART:20240101\nEND:VJOURNAL",
        &[0],
        "20240101T230000",
        "20250101T000000"
    ));
    assert!(!overlaps(
        journal,
        &[],
        "20230101T000000",
        "20250101T000000"
    ));
    assert!(!overlaps(
        journal,
        &[7, 7],
        "20230101T000000",
        "20250101T000000"
    ));
    let hourly = event("DTSTART;VALUE=DATE:20240101\nRRULE:FREQ=HOURLY");
    assert_eq!(
        within(&hourly, "20240101T000000", "20250101T000000", "UTC").len(),
        1
    );
}

#[test]
fn another_calendar_system_is_found_from_its_start_on() {
    let lunar = event("DTSTART;VALUE=DATE:20240210\nRRULE:RSCALE=CHINESE;FREQ=YEARLY");
    assert!(overlaps(&lunar, &[0], "20300101T000000", "20300102T000000"));
    assert!(!overlaps(
        &lunar,
        &[0],
        "20240101T000000",
        "20240210T000000"
    ));
    assert_eq!(
        within(&lunar, "20240101T000000", "20300102T000000", "UTC").len(),
        1
    );
}

#[test]
fn searches_about_one_object_are_bounded() {
    let alarm = "BEGIN:VALARM\nTRIGGER;RELATED=END:-PT1S\nEND:VALARM\n".repeat(1_000);
    let inner = event(&format!(
        "DTSTART:20240101T000000Z\nRRULE:FREQ=MINUTELY\n{alarm}"
    ));
    let text = format!("BEGIN:VCALENDAR\n{inner}\nEND:VCALENDAR\n");
    let calendar = Calendar::parse(text.as_bytes()).expect("readable");
    let zones = definitions::zones(&calendar, Zone::utc());
    let instances = Instances::new(&calendar, &zones);
    let nothing = range("20300101T000001", "20300101T000002");
    let asked: Result<Vec<bool>, RecurError> = (0..1_000)
        .map(|alarm| instances.overlaps(&[0, alarm], nothing))
        .collect();
    assert_eq!(asked, Err(RecurError::TooComplex));
}

const EXTREMES: [&str; 24] = [
    ":00000101T000000Z",
    ":99991231T235959Z",
    ";VALUE=DATE:00000101",
    ";VALUE=DATE:99991231",
    ";TZID=Europe/Berlin:99991231T235959",
    ";TZID=Pacific/Kiritimati:00000101T000000",
    ";TZID=X:20240101T000000",
    ":20240101T000000",
    ":20240101T000000Z,20240102T000000Z,x,",
    ":00000101T000000Z/P3600000D,99991231T235959Z/00000101T000000Z,/",
    ";RANGE=THISANDFUTURE:20240101T000000",
    ";RANGE=THISANDFUTURE:99991231T235959Z",
    ":P3600000D",
    ":-P3600000DT23H",
    ";RELATED=END:-P500000W",
    ":PT0S",
    ":4294967295",
    ":FREQ=DAILY",
    ":FREQ=SECONDLY;COUNT=1000000000",
    ":FREQ=YEARLY;UNTIL=00000101",
    ":FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=2",
    ":",
    ":é",
    ";X=:+9999",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(3000))]

    /// Whatever stands in an object, every question has an answer or a named error.
    #[test]
    fn no_object_panics(
        lines in proptest::collection::vec((0usize..16, 0usize..EXTREMES.len()), 0..12),
        kind in proptest::sample::select(vec!["VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VAVAILABILITY"]),
        split in 0usize..12,
    ) {
        const NAMES: [&str; 16] = [
            "DTSTART", "DTSTART", "DTEND", "DUE", "DURATION", "RRULE", "RRULE", "EXRULE", "RDATE", "EXDATE",
            "RECURRENCE-ID", "COMPLETED", "FREEBUSY", "BEGIN:VALARM\nTRIGGER", "BEGIN:VALARM\nREPEAT:4294967295\nDURATION:P3600000D\nTRIGGER",
            "BEGIN:VALARM\nREPEAT:9\nDURATION:P1D\nTRIGGER",
        ];
        let line = |(name, value): &(usize, usize)| {
            let end = if *name > 12 { "\nEND:VALARM" } else { "" };
            format!("{}{}{end}\n", NAMES[*name], EXTREMES[*value])
        };
        let (first, second) = lines.split_at(split.min(lines.len()));
        let component = |lines: &[(usize, usize)]| {
            format!("BEGIN:{kind}\nUID:1\n{}END:{kind}\n", lines.iter().map(line).collect::<String>())
        };
        let text = format!("BEGIN:VCALENDAR\n{}{}END:VCALENDAR\n", component(first), component(second));
        let calendar = Calendar::parse(text.as_bytes()).expect("readable");
        let _ = super::super::accept::accept(&calendar);
        let extent = super::super::summary::extent(&calendar);
        for zone in ["UTC", "Pacific/Kiritimati"] {
            let zones = definitions::zones(&calendar, Zone::iana(zone).expect("a zone"));
            let instances = Instances::new(&calendar, &zones);
            for range in [TimeRange::ALL, range("20240101T000000", "20240201T000000"), range("00000101T000000", "00000102T000000")] {
                let _ = instances.within(range, 10);
                for (index, component) in calendar.root.components.iter().enumerate() {
                    let found = instances.overlaps(&[index], range) == Ok(true);
                    proptest::prop_assert!(!found || extent.touches(range), "{text} {range:?} {extent:?}");
                    for inner in 0..component.components.len() {
                        let found = instances.overlaps(&[index, inner], range) == Ok(true);
                        proptest::prop_assert!(!found || extent.touches(range), "{text} {range:?} {extent:?}");
                    }
                    let _ = instances.property_overlaps(&[index], "DTEND", range);
                }
            }
        }
    }
}
