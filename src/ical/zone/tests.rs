use super::*;

fn local(text: &str) -> LocalTime {
    LocalTime::parse(text).expect("a local time")
}

fn utc(text: &str) -> Instant {
    Instant(local(text).seconds())
}

fn zones() -> Zones {
    Zones::new(Vec::new(), Zone::utc())
}

#[test]
fn ids_as_found_in_the_wild() {
    use ZoneOrigin::*;
    for (tzid, name, origin) in [
        ("Europe/Berlin", "Europe/Berlin", Iana),
        ("europe/berlin", "Europe/Berlin", Iana),
        ("\"America/New_York\"", "America/New_York", Iana),
        (
            "/freeassociation.sourceforge.net/Europe/Berlin",
            "Europe/Berlin",
            Alias,
        ),
        (
            "/citadel.org/20210210_1/Europe/London",
            "Europe/London",
            Alias,
        ),
        (
            "/mozilla.org/1/America/Argentina/Ushuaia",
            "America/Argentina/Ushuaia",
            Alias,
        ),
        ("America/New York", "America/New_York", Alias),
        ("tzone://Microsoft/Utc", "UTC", Alias),
        ("W. Europe Standard Time", "Europe/Berlin", Windows),
        ("eastern standard time", "America/New_York", Windows),
        ("GMT+0100", "UTC+0100", Offset),
        ("UTC+2", "UTC+0200", Offset),
        ("utc-03:30", "UTC-0330", Offset),
        ("(UTC+01:00) Amsterdam, Berlin", "Europe/Amsterdam", Alias),
        ("(UTC+01:00) Nowhere, Berlin", "Europe/Berlin", Alias),
        // a city of that name, but with another time
        ("(UTC+05:00) Berlin", "UTC+0500", Offset),
        (
            "(UTC-03:00) Buenos Aires",
            "America/Argentina/Buenos_Aires",
            Alias,
        ),
        (
            "(UTC-05:00) Eastern Time (US & Canada)",
            "America/New_York",
            Alias,
        ),
        ("(UTC+10:30) ", "UTC+1030", Offset),
        ("tzone://Microsoft/Custom", "UTC", Unknown),
        ("Etc/Unknown", "UTC", Unknown),
        ("Zürich", "UTC", Unknown),
        ("€€", "UTC", Unknown),
        ("", "UTC", Unknown),
    ] {
        let (zone, found) = zones().resolve(tzid);
        assert_eq!((zone.name(), found), (name, origin), "{tzid}");
    }
}

#[test]
fn every_windows_name_means_a_zone_and_is_in_order() {
    for (windows, iana) in WINDOWS_ZONES {
        assert!(Zone::iana(iana).is_some(), "{windows}: {iana}");
    }
    assert!(WINDOWS_ZONES.is_sorted());
}

/// RFC 5545 section 3.3.5 gives these two for New York.
#[test]
fn gaps_and_overlaps() {
    let zone = Zone::iana("America/New_York").expect("known");
    assert_eq!(
        zone.local_to_instant(local("20071104T013000")),
        utc("20071104T053000")
    );
    assert_eq!(
        zone.local_to_instant(local("20070311T023000")),
        utc("20070311T073000")
    );
    assert_eq!(
        zone.instant_to_local(utc("20070311T073000")),
        local("20070311T033000")
    );
    assert_eq!(zone.instant_to_local(Instant::MAX).date.year, 9999);
    assert_eq!(zone.instant_to_local(Instant::MIN).date.year, 0);
    assert!(tzdb_version().starts_with("20"));
}

/// New York since 2007, as a VTIMEZONE writes it.
fn new_york() -> ZoneDefinition {
    let observance = |start, from, to, rule| Observance {
        start: local(start),
        offset_from: from,
        offset_to: to,
        rules: vec![Rule::parse(rule).expect("a rule")],
        dates: Vec::new(),
    };
    ZoneDefinition {
        tzid: "Big Apple".into(),
        observances: vec![
            observance(
                "20070311T020000",
                -18_000,
                -14_400,
                "FREQ=YEARLY;BYMONTH=3;BYDAY=2SU",
            ),
            observance(
                "20071104T020000",
                -14_400,
                -18_000,
                "FREQ=YEARLY;BYMONTH=11;BYDAY=1SU",
            ),
            observance(
                "19870405T020000",
                -18_000,
                -14_400,
                "FREQ=YEARLY;BYMONTH=4;BYDAY=1SU;UNTIL=20060402T070000Z",
            ),
            observance(
                "19671029T020000",
                -14_400,
                -18_000,
                "FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU;UNTIL=20061029T060000Z",
            ),
        ],
    }
}

#[test]
fn a_vtimezone_agrees_with_the_database() {
    let zones = Zones::new(vec![new_york()], Zone::utc());
    let (own, origin) = zones.resolve("Big Apple");
    assert_eq!((own.name(), origin), ("Big Apple", ZoneOrigin::Own));
    let known = Zone::iana("America/New_York").expect("known");
    // Steps that fall on every hour of the day, over both sets of rules and far beyond.
    for start in ["19880101T000000", "20060101T000000", "20990101T000000"] {
        let start = local(start).seconds();
        for step in 0..4_000 {
            let time = start + step * (5 * 3600 + 1800);
            let time_local = LocalTime::from_seconds(time);
            let at = Instant(time);
            assert_eq!(own.offset_at(at), known.offset_at(at), "{time_local} UTC");
            let instants = (
                own.local_to_instant(time_local),
                known.local_to_instant(time_local),
            );
            assert_eq!(instants.0, instants.1, "{time_local} local");
        }
    }
    // Every minute around both changes of 2024.
    for change in ["20240310T010000", "20241103T000000"] {
        for minute in 0..180 {
            let time = LocalTime::from_seconds(local(change).seconds() + minute * 60);
            assert_eq!(
                own.local_to_instant(time),
                known.local_to_instant(time),
                "{time}"
            );
        }
    }
}

#[test]
fn odd_vtimezones() {
    let mut definition = new_york();
    definition.observances.truncate(1);
    let zone = Zone::custom(&definition).expect("usable");
    // Before the first change its TZOFFSETFROM holds.
    assert_eq!(zone.offset_at(utc("20000101T000000")), -18_000);
    assert_eq!(zone.offset_at(utc("20240101T000000")), -14_400);
    // One fixed change by RDATE.
    definition.observances[0].rules.clear();
    definition.observances[0].dates = vec![CalTime::Floating(local("20100101T000000"))];
    let zone = Zone::custom(&definition).expect("usable");
    assert_eq!(zone.offset_at(utc("20240101T000000")), -14_400);
    definition.observances[0].rules = vec![Rule::parse("FREQ=SECONDLY").expect("a rule")];
    assert!(Zone::custom(&definition).is_none());
    definition.observances.clear();
    assert!(Zone::custom(&definition).is_none());
}
