use proptest::prelude::*;

use super::super::time::LocalTime;
use super::*;

fn of(inner: &str) -> Extent {
    let text = format!("BEGIN:VCALENDAR\n{inner}\nEND:VCALENDAR\n");
    extent(&Calendar::parse(text.as_bytes()).expect("readable"))
}

fn around(start: &str, end: &str) -> Extent {
    let seconds = |text| LocalTime::parse(text).expect("a time").seconds();
    Extent {
        first: seconds(start) - WIDENED_SECONDS,
        last: seconds(end) + WIDENED_SECONDS,
        rules: RULES,
    }
}

fn event(lines: &str) -> String {
    format!("BEGIN:VEVENT\nUID:1\nDTSTART:20240101T100000Z\n{lines}\nEND:VEVENT")
}

#[test]
fn bounds() {
    assert_eq!(
        of(&event("DURATION:PT1H")),
        around("20240101T100000", "20240101T110000")
    );
    let daily = of(&event("RRULE:FREQ=DAILY"));
    assert_eq!(
        (daily.first, daily.last),
        (around("20240101T100000", "20240101T100000").first, i64::MAX)
    );
    assert_eq!(
        of(&event("RRULE:FREQ=DAILY;COUNT=3")),
        around("20240101T100000", "20240103T100000")
    );
    assert_eq!(
        of(&event("RRULE:FREQ=DAILY;UNTIL=20240201T000000Z")),
        around("20240101T100000", "20240202T000000")
    );
    assert_eq!(
        of(&event("RDATE:20230101T100000Z")),
        around("20230101T000000", "20240101T100000")
    );
    let alarm = "BEGIN:VALARM\nTRIGGER:-PT1H\nREPEAT:2\nDURATION:PT1H\nEND:VALARM";
    assert_eq!(
        of(&event(alarm)),
        around("20240101T090000", "20240101T110000")
    );
    assert_eq!(
        of("BEGIN:VTODO\nUID:1\nEND:VTODO"),
        Extent {
            first: i64::MIN,
            last: i64::MAX,
            rules: RULES,
        }
    );
    assert_eq!(of("BEGIN:VJOURNAL\nUID:1\nEND:VJOURNAL"), Extent::NEVER);
    assert!(!Extent::NEVER.touches(TimeRange::ALL));
}

const ZONES: [&str; 6] = [
    "UTC",
    "Asia/Tokyo",
    "America/New_York",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Europe/Berlin",
];

/// A DATE or DATE-TIME value with its parameters, some days and seconds after 2024-01-01.
fn time() -> impl Strategy<Value = String> {
    (0i64..200, 0i64..86_400, 0usize..9).prop_map(|(day, second, form)| {
        let local = LocalTime::from_seconds(1_704_067_200 + day * 86_400 + second);
        match form {
            0 | 1 => format!(";VALUE=DATE:{}", local.date),
            2 => format!(":{local}"),
            3 => format!(":{local}Z"),
            4 => format!(";TZID=No/Such:{local}"),
            zone => format!(";TZID={}:{local}", ZONES[zone - 4]),
        }
    })
}

fn duration() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "PT0S", "PT1H", "P1D", "P10DT3H", "-PT15M", "-P2D", "P3W",
    ])
}

fn rule() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "RRULE:FREQ=DAILY",
        "RRULE:FREQ=WEEKLY;COUNT=5",
        "RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=4",
        "RRULE:FREQ=YEARLY;UNTIL=20270630T235959Z",
        "RRULE:FREQ=DAILY;INTERVAL=9;UNTIL=20241111",
        "RRULE:FREQ=DAILY;COUNT=3\nRRULE:FREQ=DAILY;UNTIL=20240404T000000",
        "X-NO:RULE",
    ])
}

prop_compose! {
    fn component()(
        kind in prop::sample::select(vec!["VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY"]),
        start in prop::option::weighted(0.9, time()),
        end in prop::option::of(time()),
        length in prop::option::of(duration()),
        rule in rule(),
        date in prop::option::of(time()),
        excluded in prop::option::of(time()),
        identity in prop::option::of(time()),
        future in any::<bool>(),
        alarm in prop::option::of((duration(), any::<bool>(), 0u8..4)),
        changed in time(),
    ) -> String {
        let line = |name: &str, value: &Option<String>| value.as_ref().map_or(String::new(), |value| format!("{name}{value}\n"));
        let own_end = if kind == "VTODO" { "DUE" } else { "DTEND" };
        let alarm = alarm.map_or(String::new(), |(trigger, at_end, repeats)| {
            let related = if at_end { ";RELATED=END" } else { "" };
            format!("BEGIN:VALARM\nTRIGGER{related}:{trigger}\nREPEAT:{repeats}\nDURATION:P1D\nEND:VALARM\n")
        });
        let length = length.map_or(String::new(), |length| format!("DURATION:{length}\n"));
        let mut text = format!(
            "BEGIN:{kind}\nUID:1\n{}{}{length}{rule}\n{}{}{alarm}END:{kind}\n",
            line("DTSTART", &start), line(own_end, &end), line("RDATE", &date), line("EXDATE", &excluded),
        );
        if let Some(identity) = identity {
            let range = if future { ";RANGE=THISANDFUTURE" } else { "" };
            text += &format!("BEGIN:{kind}\nUID:1\nRECURRENCE-ID{range}{identity}\nDTSTART{changed}\n{length}{alarm}END:{kind}\n");
        }
        text
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever a time range finds, in whatever zone it is read, lies in the extent: nothing is
    /// found before it, nothing behind it, and no range is ruled out that finds something.
    #[test]
    fn never_too_narrow(inner in component(), zone in prop::sample::select(ZONES.to_vec()), day in -40i64..1200, hours in 1i64..72) {
        let text = format!("BEGIN:VCALENDAR\n{inner}END:VCALENDAR\n");
        let calendar = Calendar::parse(text.as_bytes()).expect("readable");
        let zones = definitions::zones(&calendar, Zone::iana(zone).expect("a zone"));
        let instances = Instances::new(&calendar, &zones);
        let extent = extent(&calendar);
        let start = Instant(1_704_067_200 + day * 86_400);
        let some = TimeRange { start, end: start.plus(hours * 3600) };
        let before = TimeRange { start: Instant::MIN, end: Instant(extent.first).plus(-1) };
        let behind = TimeRange { start: Instant(extent.last).plus(1), end: Instant::MAX };
        for range in [some, before, behind] {
            if range.end > range.start && !extent.touches(range) {
                prop_assert!(!finds(&calendar, &instances, range), "{text} {range:?} {extent:?}");
            }
        }
    }
}

fn finds(calendar: &Calendar, instances: &Instances<'_>, range: TimeRange) -> bool {
    (0..calendar.root.components.len()).any(|index| {
        let component = instances.overlaps(&[index], range).expect("simple");
        let alarm = instances.overlaps(&[index, 0], range).expect("simple");
        let property = |name| {
            instances
                .property_overlaps(&[index], name, range)
                .expect("simple")
        };
        component || alarm || ["DTSTART", "DTEND", "DUE"].into_iter().any(property)
    })
}

#[test]
fn an_extent_found_by_other_rules_rules_nothing_out() {
    let other = Extent {
        rules: RULES - 1,
        ..Extent::NEVER
    };
    assert!(other.touches(TimeRange::ALL));
}
