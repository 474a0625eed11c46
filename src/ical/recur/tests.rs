use super::super::time::{CalDuration, CalTime, DAY_SECONDS, Instant, LocalTime, Period};
use super::super::zone::{Zone, Zones};
use super::engine::{Engine, LAST};
use super::*;
use proptest::prelude::*;

fn local(text: &str) -> LocalTime {
    LocalTime::parse(text).expect("a local time")
}

fn rule(text: &str) -> Rule {
    Rule::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn zones() -> Zones {
    Zones::new(Vec::new(), Zone::utc())
}

fn time(text: &str) -> CalTime {
    match text.split_once(':') {
        Some((tzid, value)) => CalTime::parse(value, Some(tzid)),
        None => CalTime::parse(text, None),
    }
    .expect("a time")
}

/// A recurrence from lines such as `DTSTART Europe/Berlin:20240101T090000`, `RRULE ...`.
fn recurrence(lines: &str) -> Recurrence {
    let mut recurrence = Recurrence::single(time("19700101"));
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(' ').expect("a name and a value");
        match name {
            "DTSTART" => recurrence.start = time(value),
            "RRULE" => recurrence.rules.push(rule(value)),
            "EXRULE" => recurrence.exclusion_rules.push(rule(value)),
            "RDATE" => recurrence.dates.push(RecurrenceDate::At(time(value))),
            "EXDATE" => recurrence.exclusions.push(time(value)),
            _ => panic!("{name}"),
        }
    }
    recurrence
}

fn set(lines: &str) -> RuleSet {
    RuleSet::new(&recurrence(lines), &zones()).expect("evaluable")
}

/// The local starts in a window of years, as `YYYYMMDD` where the time is 09:00.
fn starts(set: &RuleSet, from: i32, to: i32) -> Vec<String> {
    let from = local(&format!("{from:04}0101T000000"));
    let to = local(&format!("{to:04}0101T000000"));
    let starts: Result<Vec<Occurrence>, RecurError> = set.starts(from, to).collect();
    let starts = starts.expect("evaluable");
    let text = |occurrence: &Occurrence| occurrence.start.to_string();
    starts.iter().map(text).collect()
}

/// Days written as `1997 Sep 2-4,9; Oct 1` (years and months go on until the next is named).
fn days(text: &str) -> Vec<String> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (mut year, mut month) = (0, 0);
    let mut days = Vec::new();
    for word in text.split_whitespace() {
        if let Some(index) = MONTHS.find(word).filter(|_| word.len() == 3) {
            month = index / 3 + 1;
            continue;
        }
        if word.len() == 4 && !word.contains([',', '-']) {
            year = word.parse().expect("a year");
            continue;
        }
        for range in word.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse::<u32>().expect("a day");
            for day in number(first)..=number(last) {
                days.push(format!("{year:04}{month:02}{day:02}T090000"));
            }
        }
    }
    days
}

/// Every example of RFC 5545 section 3.8.5.3 with days: DTSTART's day, the rule, the year at which
/// to stop when it goes on for ever, and the days.
const RFC_EXAMPLES: &[(&str, &str, i32, &str)] = &[
    ("19970902", "FREQ=DAILY;COUNT=10", 9999, "1997 Sep 2-11"),
    (
        "19970902",
        "FREQ=DAILY;UNTIL=19971224T000000Z",
        9999,
        "1997 Sep 2-30 Oct 1-31 Nov 1-30 Dec 1-23",
    ),
    (
        "19970902",
        "FREQ=DAILY;INTERVAL=2",
        1998,
        "1997 Sep 2,4,6,8,10,12,14,16,18,20,22,24,26,28,30 \
         Oct 2,4,6,8,10,12,14,16,18,20,22,24,26,28,30 \
         Nov 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29 \
         Dec 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31",
    ),
    (
        "19970902",
        "FREQ=DAILY;INTERVAL=10;COUNT=5",
        9999,
        "1997 Sep 2,12,22 Oct 2,12",
    ),
    (
        "19980101",
        "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA",
        9999,
        "1998 Jan 1-31 1999 Jan 1-31 2000 Jan 1-31",
    ),
    (
        "19980101",
        "FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1",
        9999,
        "1998 Jan 1-31 1999 Jan 1-31 2000 Jan 1-31",
    ),
    (
        "19970902",
        "FREQ=WEEKLY;COUNT=10",
        9999,
        "1997 Sep 2,9,16,23,30 Oct 7,14,21,28 Nov 4",
    ),
    (
        "19970902",
        "FREQ=WEEKLY;UNTIL=19971224T000000Z",
        9999,
        "1997 Sep 2,9,16,23,30 Oct 7,14,21,28 Nov 4,11,18,25 Dec 2,9,16,23",
    ),
    (
        "19970902",
        "FREQ=WEEKLY;INTERVAL=2;WKST=SU",
        1999,
        "1997 Sep 2,16,30 Oct 14,28 Nov 11,25 Dec 9,23 1998 Jan 6,20 Feb 3,17 Mar 3,17,31 \
         Apr 14,28 May 12,26 Jun 9,23 Jul 7,21 Aug 4,18 Sep 1,15,29 Oct 13,27 Nov 10,24 Dec 8,22",
    ),
    (
        "19970902",
        "FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH",
        9999,
        "1997 Sep 2,4,9,11,16,18,23,25,30 Oct 2",
    ),
    (
        "19970902",
        "FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH",
        9999,
        "1997 Sep 2,4,9,11,16,18,23,25,30 Oct 2",
    ),
    (
        "19970901",
        "FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR",
        9999,
        "1997 Sep 1,3,5,15,17,19,29 Oct 1,3,13,15,17,27,29,31 Nov 10,12,14,24,26,28 Dec 8,10,12,22",
    ),
    (
        "19970902",
        "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH",
        9999,
        "1997 Sep 2,4,16,18,30 Oct 2,14,16",
    ),
    (
        "19970905",
        "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
        9999,
        "1997 Sep 5 Oct 3 Nov 7 Dec 5 1998 Jan 2 Feb 6 Mar 6 Apr 3 May 1 Jun 5",
    ),
    (
        "19970905",
        "FREQ=MONTHLY;UNTIL=19971224T000000Z;BYDAY=1FR",
        9999,
        "1997 Sep 5 Oct 3 Nov 7 Dec 5",
    ),
    (
        "19970907",
        "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
        9999,
        "1997 Sep 7,28 Nov 2,30 1998 Jan 4,25 Mar 1,29 May 3,31",
    ),
    (
        "19970922",
        "FREQ=MONTHLY;COUNT=6;BYDAY=-2MO",
        9999,
        "1997 Sep 22 Oct 20 Nov 17 Dec 22 1998 Jan 19 Feb 16",
    ),
    (
        "19970928",
        "FREQ=MONTHLY;BYMONTHDAY=-3",
        1999,
        "1997 Sep 28 Oct 29 Nov 28 Dec 29 1998 Jan 29 Feb 26 Mar 29 Apr 28 May 29 Jun 28 Jul 29 \
         Aug 29 Sep 28 Oct 29 Nov 28 Dec 29",
    ),
    (
        "19970902",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15",
        9999,
        "1997 Sep 2,15 Oct 2,15 Nov 2,15 Dec 2,15 1998 Jan 2,15",
    ),
    (
        "19970930",
        "FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1",
        9999,
        "1997 Sep 30 Oct 1,31 Nov 1,30 Dec 1,31 1998 Jan 1,31 Feb 1",
    ),
    (
        "19970910",
        "FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15",
        9999,
        "1997 Sep 10-15 1999 Mar 10-13",
    ),
    (
        "19970902",
        "FREQ=MONTHLY;INTERVAL=2;BYDAY=TU",
        1998,
        "1997 Sep 2,9,16,23,30 Nov 4,11,18,25",
    ),
    (
        "19970610",
        "FREQ=YEARLY;COUNT=10;BYMONTH=6,7",
        9999,
        "1997 Jun 10 Jul 10 1998 Jun 10 Jul 10 1999 Jun 10 Jul 10 2000 Jun 10 Jul 10 \
         2001 Jun 10 Jul 10",
    ),
    (
        "19970310",
        "FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3",
        9999,
        "1997 Mar 10 1999 Jan 10 Feb 10 Mar 10 2001 Jan 10 Feb 10 Mar 10 2003 Jan 10 Feb 10 Mar 10",
    ),
    (
        "19970101",
        "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
        9999,
        "1997 Jan 1 Apr 10 Jul 19 2000 Jan 1 Apr 9 Jul 18 2003 Jan 1 Apr 10 Jul 19 2006 Jan 1",
    ),
    (
        "19970519",
        "FREQ=YEARLY;BYDAY=20MO",
        2000,
        "1997 May 19 1998 May 18 1999 May 17",
    ),
    (
        "19970512",
        "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
        2000,
        "1997 May 12 1998 May 11 1999 May 17",
    ),
    (
        "19970313",
        "FREQ=YEARLY;BYMONTH=3;BYDAY=TH",
        2000,
        "1997 Mar 13,20,27 1998 Mar 5,12,19,26 1999 Mar 4,11,18,25",
    ),
    (
        "19970605",
        "FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8",
        1999,
        "1997 Jun 5,12,19,26 Jul 3,10,17,24,31 Aug 7,14,21,28 \
         1998 Jun 4,11,18,25 Jul 2,9,16,23,30 Aug 6,13,20,27",
    ),
    (
        "19970913",
        "FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13",
        1999,
        "1997 Sep 13 Oct 11 Nov 8 Dec 13 1998 Jan 10 Feb 7 Mar 7 Apr 11 May 9 Jun 13 Jul 11 Aug 8 \
         Sep 12 Oct 10 Nov 7 Dec 12",
    ),
    (
        "19961105",
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
        2005,
        "1996 Nov 5 2000 Nov 7 2004 Nov 2",
    ),
    (
        "19970904",
        "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
        9999,
        "1997 Sep 4 Oct 7 Nov 6",
    ),
    (
        "19970929",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2",
        1998,
        "1997 Sep 29 Oct 30 Nov 27 Dec 30",
    ),
    (
        "19970805",
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO",
        9999,
        "1997 Aug 5,10,19,24",
    ),
    (
        "19970805",
        "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU",
        9999,
        "1997 Aug 5,17,19,31",
    ),
    (
        "20070115",
        "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5",
        9999,
        "2007 Jan 15,30 Feb 15 Mar 15,30",
    ),
];

#[test]
fn rfc_5545_examples_by_day() {
    for (start, rule, stop, expected) in RFC_EXAMPLES {
        let set = set(&format!(
            "DTSTART America/New_York:{start}T090000\nRRULE {rule}"
        ));
        assert_eq!(starts(&set, 1990, *stop), days(expected), "{rule}");
    }
}

#[test]
fn rfc_5545_examples_by_time() {
    for (rule, day, times) in [
        // The RFC's UNTIL=19970902T170000Z for 5 PM in New York is an error.
        (
            "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z",
            "0902",
            "09,12,15",
        ),
        (
            "FREQ=MINUTELY;INTERVAL=15;COUNT=6",
            "0902",
            "09,0915,0930,0945,10,1015",
        ),
        (
            "FREQ=MINUTELY;INTERVAL=90;COUNT=4",
            "0902",
            "09,1030,12,1330",
        ),
    ] {
        let set = set(&format!(
            "DTSTART America/New_York:19970902T090000\nRRULE {rule}"
        ));
        let times = times.split(',');
        let expected: Vec<String> = times.map(|time| format!("1997{day}T{time:0<6}")).collect();
        assert_eq!(starts(&set, 1990, 9999), expected, "{rule}");
    }
    // Every 20 minutes from 9:00 to 16:40 every day, in two ways.
    let (daily, minutely) = (
        "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40",
        "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16",
    );
    let both = [daily, minutely].map(|rule| {
        let set = set(&format!(
            "DTSTART America/New_York:19970902T090000\nRRULE {rule}"
        ));
        starts(&set, 1997, 1999)
    });
    assert_eq!(both[0], both[1]);
    assert_eq!(both[0].len(), (121 + 365) * 24);
    assert_eq!(both[0][23..25], ["19970902T164000", "19970903T090000"]);
}

#[test]
fn friday_the_13th() {
    let set = set("DTSTART America/New_York:19970902T090000
        EXDATE America/New_York:19970902T090000
        RRULE FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13");
    let expected = days("1998 Feb 13 Mar 13 Nov 13 1999 Aug 13 2000 Oct 13");
    assert_eq!(starts(&set, 1997, 2001), expected);
    let first = set.first_start().expect("evaluable").expect("there is one");
    assert_eq!(first.start, local("19980213T090000"));
    assert_eq!(first.instant, Instant(local("19980213T140000").seconds()));
}

#[test]
fn reading_rules() {
    let same = rule("FREQ=MONTHLY;BYDAY=1MO,-1FR;INTERVAL=2;WKST=SU");
    for text in [
        "wkst=su;interval=02;byday=+1mo, -1fr;freq=monthly",
        " FREQ=MONTHLY ; BYDAY=01MO,-1FR;;INTERVAL=2;WKST=SU;X-FOO=BAR;",
        "RSCALE=GREGORIAN;SKIP=OMIT;FREQ=MONTHLY;BYDAY=1MO,-1FR;INTERVAL=2;WKST=SU",
    ] {
        assert_eq!(rule(text), same, "{text}");
    }
    use Part::*;
    for (text, error) in [
        ("", RuleError::MissingFrequency),
        ("COUNT=1", RuleError::MissingFrequency),
        ("FREQ", RuleError::NotAPart),
        ("FREQ=DAILY;BYEASTER=0", RuleError::UnknownPart),
        ("FREQ=DAILY;é=0", RuleError::UnknownPart),
        ("FREQ=DAILY;freq=DAILY", RuleError::Repeated(Frequency)),
        ("FREQ=FORTNIGHTLY", RuleError::BadValue(Frequency)),
        ("FREQ=DAILY;INTERVAL=0", RuleError::BadValue(Interval)),
        (
            "FREQ=DAILY;INTERVAL=4294967296",
            RuleError::BadValue(Interval),
        ),
        ("FREQ=DAILY;INTERVAL=-1", RuleError::BadValue(Interval)),
        ("FREQ=DAILY;COUNT=0", RuleError::BadValue(Count)),
        ("FREQ=DAILY;UNTIL=tomorrow", RuleError::BadValue(Until)),
        ("FREQ=DAILY;BYDAY=éO", RuleError::BadValue(ByDay)),
        ("FREQ=DAILY;BYDAY=é", RuleError::BadValue(ByDay)),
        ("FREQ=DAILY;BYDAY=1éMO", RuleError::BadValue(ByDay)),
        ("FREQ=DAILY;BYDAY=", RuleError::BadValue(ByDay)),
        ("FREQ=MONTHLY;BYDAY=0MO", RuleError::BadValue(ByDay)),
        ("FREQ=MONTHLY;BYDAY=54MO", RuleError::BadValue(ByDay)),
        ("FREQ=MONTHLY;BYMONTHDAY=0", RuleError::BadValue(ByMonthDay)),
        (
            "FREQ=MONTHLY;BYMONTHDAY=+-1",
            RuleError::BadValue(ByMonthDay),
        ),
        ("FREQ=YEARLY;BYYEARDAY=-367", RuleError::BadValue(ByYearDay)),
        ("FREQ=YEARLY;BYMONTH=13", RuleError::BadValue(ByMonth)),
        ("FREQ=YEARLY;BYMONTH=٣", RuleError::BadValue(ByMonth)),
        ("FREQ=DAILY;BYHOUR=24", RuleError::BadValue(ByHour)),
        ("FREQ=DAILY;BYSECOND=61", RuleError::BadValue(BySecond)),
        ("FREQ=DAILY;BYSETPOS=0", RuleError::BadValue(BySetPosition)),
        ("FREQ=DAILY;WKST=1MO", RuleError::BadValue(WeekStart)),
        ("RSCALE=HEBREW;FREQ=YEARLY", RuleError::UnsupportedScale),
        (
            "RSCALE=GREGORIAN;SKIP=FORWARD;FREQ=YEARLY",
            RuleError::UnsupportedScale,
        ),
    ] {
        assert_eq!(Rule::parse(text), Err(error), "{text}");
    }
    assert_eq!(
        rule("FREQ=DAILY;COUNT=99999999999999999999").count(),
        Some(u64::MAX)
    );
}

#[test]
fn dtstart_outside_its_rule_is_first_and_counts() {
    // 1 January 2024 is a Monday.
    let set = set("DTSTART 20240101T090000\nRRULE FREQ=WEEKLY;BYDAY=TU;COUNT=3");
    assert_eq!(starts(&set, 2024, 2025), days("2024 Jan 1,2,9"));
    let last = set.last_start().expect("evaluable");
    assert!(matches!(last, LastStart::At(last) if last.start == local("20240109T090000")));
    let window = set.any(local("20240109T090001"), local("21000101T000000"));
    assert_eq!(window, Ok(false));
}

#[test]
fn sets_of_many_sources() {
    let set = set("DTSTART Europe/Berlin:20240101T090000
        RRULE FREQ=DAILY;COUNT=5
        RRULE FREQ=WEEKLY;COUNT=2
        EXRULE FREQ=DAILY;INTERVAL=3
        RDATE Europe/Berlin:20240105T090000
        RDATE 20240120T080000Z
        RDATE America/New_York:20240121T030000
        EXDATE 20240102T080000Z");
    // The days 1, 4, 7 ... are excluded by rule, the 2nd by its instant.
    assert_eq!(starts(&set, 2024, 2025), days("2024 Jan 3,5,8,20,21"));
    let find = |text: &str| set.find(local(text)).expect("evaluable");
    assert_eq!(
        find("20240105T090000").and_then(|found| found.date_index),
        None
    );
    assert_eq!(
        find("20240121T090000").and_then(|found| found.date_index),
        Some(2)
    );
    assert_eq!(find("20240104T090000"), None);
    assert_eq!(
        set.local_of(&time("20240120T080000Z")),
        local("20240120T090000")
    );
}

#[test]
fn a_period_tells_the_end_also_of_a_rule_s_instance() {
    let mut recurrence = recurrence(
        "DTSTART 20240101T090000Z
        RRULE FREQ=DAILY;COUNT=3
        RDATE 20240102T090000Z
        RDATE 20240103T090000Z",
    );
    let period = Period::parse("20240102T090000Z/PT5H", None).expect("a period");
    recurrence.dates.push(RecurrenceDate::Period(period));
    let set = RuleSet::new(&recurrence, &zones()).expect("evaluable");
    let found = set.starts(local("20240101T000000"), local("20250101T000000"));
    let indexes: Vec<Option<usize>> = found
        .map(|found| found.expect("evaluable").date_index)
        .collect();
    assert_eq!(indexes, [None, Some(2), None]);
}

#[test]
fn exclusions_of_another_type() {
    let timed = set("DTSTART Europe/Berlin:20240101T090000
        RRULE FREQ=DAILY;BYHOUR=9,10;COUNT=6
        EXDATE 20240102");
    let expected =
        ["0101T09", "0101T10", "0103T09", "0103T10"].map(|text| format!("2024{text}0000"));
    assert_eq!(starts(&timed, 2024, 2025), expected);
    let dates = set("DTSTART 20240101
        RRULE FREQ=DAILY;BYHOUR=9;COUNT=3
        EXDATE 20240102T000000Z");
    assert_eq!(
        starts(&dates, 2024, 2025),
        ["20240101T000000", "20240103T000000"]
    );
}

#[test]
fn until_in_its_forms() {
    for (start, until, last) in [
        // 09:00 in Berlin is 08:00 UTC in winter.
        (
            "Europe/Berlin:20240101T090000",
            "20240105T080000Z",
            "20240105T090000",
        ),
        (
            "Europe/Berlin:20240101T090000",
            "20240105T075959Z",
            "20240104T090000",
        ),
        (
            "Europe/Berlin:20240101T090000",
            "20240105T090000",
            "20240105T090000",
        ),
        (
            "Europe/Berlin:20240101T090000",
            "20240105",
            "20240105T090000",
        ),
        ("20240101T090000", "20240105T090000Z", "20240105T090000"),
        ("20240101", "20240105", "20240105T000000"),
        ("20240101", "20240105T000000Z", "20240105T000000"),
        ("20240101T090000Z", "20231231T000000Z", "20240101T090000"),
    ] {
        let set = set(&format!("DTSTART {start}\nRRULE FREQ=DAILY;UNTIL={until}"));
        let found = set.last_start().expect("evaluable");
        assert!(
            matches!(found, LastStart::At(found) if found.start == local(last)),
            "{start} {until} {found:?}"
        );
    }
}

/// UNTIL within the hour that occurs twice, and within one that never does.
#[test]
fn until_at_clock_changes() {
    for (rule, last) in [
        // 02:59 in Berlin is 00:59 UTC the first time; the second time is not meant.
        ("FREQ=MINUTELY;UNTIL=20241027T013000Z", "20241027T025900"),
        ("FREQ=MINUTELY;UNTIL=20241027T003000Z", "20241027T023000"),
        ("FREQ=SECONDLY;UNTIL=20240331T003000Z", "20240331T013000"),
        ("FREQ=SECONDLY;UNTIL=20240331T013000Z", "20240331T033000"),
    ] {
        let set = set(&format!(
            "DTSTART Europe/Berlin:20240101T000000\nRRULE {rule}"
        ));
        let found = set.last_start().expect("evaluable");
        let same = matches!(found, LastStart::At(found) if found.start == local(last));
        assert!(same, "{rule}: {found:?}");
    }
}

/// RFC 5545 section 3.3.5 and the last paragraphs of section 3.3.10.
#[test]
fn clock_changes() {
    let utc = |set: &RuleSet, day: &str| {
        let from = local(&format!("{day}T000000"));
        let starts = set.starts(from, from.plus_days(1));
        let hour = |found: Result<Occurrence, RecurError>| {
            let instant = found.expect("evaluable").instant;
            instant.to_utc().expect("in range").to_string()[9..13].to_owned()
        };
        starts.map(hour).collect::<Vec<String>>().join(" ")
    };
    // Berlin: the clock goes from 02:00 to 03:00 on 31 March, from 03:00 to 02:00 on 27 October.
    let daily = set("DTSTART Europe/Berlin:20240301T023000\nRRULE FREQ=DAILY");
    assert_eq!(utc(&daily, "20240330"), "0130");
    assert_eq!(utc(&daily, "20240331"), "0130");
    assert_eq!(utc(&daily, "20240401"), "0030");
    assert_eq!(utc(&daily, "20241027"), "0030");
    let found = daily.find(local("20240331T023000")).expect("evaluable");
    assert!(found.is_some_and(|found| found.start == local("20240331T023000")));
    let hourly = set("DTSTART Europe/Berlin:20240301T003000\nRRULE FREQ=HOURLY;BYHOUR=0,1,2,3,4");
    assert_eq!(utc(&hourly, "20240330"), "2330 0030 0130 0230 0330");
    // 02:30 would be 03:30, which is there already.
    assert_eq!(utc(&hourly, "20240331"), "2330 0030 0130 0230");
    assert_eq!(utc(&hourly, "20241027"), "2230 2330 0030 0230 0330");
    let dense = set("DTSTART Europe/Berlin:20240301T000000\nRRULE FREQ=MINUTELY;INTERVAL=7");
    let from = local("20240331T000000");
    let mut instants: Vec<i64> = dense
        .starts(from, from.plus_days(1))
        .map(|found| found.expect("evaluable").instant.0)
        .collect();
    instants.sort_unstable();
    let before = instants.len();
    instants.dedup();
    assert_eq!(instants.len(), before);
}

/// Steps for one question of an engine.
fn steps(start: &str, text: &str, from: &str, to: &str) -> (usize, Vec<i64>) {
    let engine = Engine::new(&rule(text), local(start), false);
    let mut budget = Budget::new();
    let mut found = Vec::new();
    let mut walk = engine
        .walk(local(from).seconds(), &mut budget)
        .expect("in budget");
    while let Some(start) = walk.next(&mut budget).expect("in budget") {
        if start >= local(to).seconds() || found.len() == 100 {
            break;
        }
        found.push(start);
    }
    (budget.spent(), found)
}

#[test]
fn far_windows_cost_what_they_hold() {
    for (text, most) in [
        ("FREQ=SECONDLY", 4),
        ("FREQ=SECONDLY;BYSETPOS=1,-1", 4),
        ("FREQ=SECONDLY;INTERVAL=7", 120),
        ("FREQ=SECONDLY;INTERVAL=7;COUNT=1000000000000", 120),
        ("FREQ=SECONDLY;COUNT=1000000000000", 8),
        ("FREQ=MINUTELY;INTERVAL=7", 120),
        ("FREQ=HOURLY;INTERVAL=5", 120),
        ("FREQ=HOURLY;INTERVAL=48;BYHOUR=0;BYMONTH=1", 120),
        ("FREQ=DAILY", 120),
        ("FREQ=DAILY;INTERVAL=3;COUNT=100000000", 120),
        ("FREQ=WEEKLY;BYDAY=MO,FR;COUNT=100000000", 120),
        ("FREQ=MONTHLY;BYDAY=-1FR", 120),
        ("FREQ=YEARLY", 120),
        ("FREQ=YEARLY;COUNT=100000000", 1_000),
        ("FREQ=MONTHLY;COUNT=100000000", 40_000),
        ("FREQ=DAILY;BYDAY=MO;COUNT=100000000", 40_000),
        ("FREQ=WEEKLY;BYMONTH=2;COUNT=100000000", 50_000),
    ] {
        let (steps, found) = steps(
            "00010101T000000",
            text,
            "21000101T000000",
            "21010101T000000",
        );
        assert!(!found.is_empty(), "{text}");
        assert!(steps <= most, "{text}: {steps} steps");
    }
}

/// 600 such rules are in one object of 60 KB; each walks up to 400 years day by day.
#[test]
fn a_year_costs_its_months() {
    let rule = "RRULE FREQ=YEARLY;BYWEEKNO=1,2,3,50,51,52;BYDAY=MO,TU,WE,TH,FR;COUNT=50000";
    let of = |rules| {
        format!(
            "DTSTART 20240101T100000{}",
            format!("\n{rule}").repeat(rules)
        )
    };
    assert!(set(&of(20)).last_start().is_ok());
    assert_eq!(set(&of(600)).last_start(), Err(RecurError::TooComplex));
}

#[test]
fn bombs_end_quickly() {
    for (text, most) in [
        ("FREQ=YEARLY;BYMONTHDAY=31;BYMONTH=2", 500),
        (
            "FREQ=YEARLY;BYMONTHDAY=31;BYMONTH=2;COUNT=1000000000",
            1_300,
        ),
        ("FREQ=MONTHLY;BYMONTHDAY=30;BYMONTH=2", 5_000),
        ("FREQ=DAILY;BYMONTHDAY=30;BYMONTH=2", 5_000),
        ("FREQ=DAILY;INTERVAL=2;BYMONTHDAY=30;BYMONTH=2", 5_000),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=TU", 140_000),
        ("FREQ=SECONDLY;BYMONTHDAY=30;BYMONTH=2", 5_000),
        ("FREQ=SECONDLY;INTERVAL=7;BYMONTHDAY=30;BYMONTH=2", 5_000),
        ("FREQ=HOURLY;INTERVAL=48;BYHOUR=5", 10),
        ("FREQ=SECONDLY;INTERVAL=120;BYSECOND=1", 10),
        ("FREQ=SECONDLY;BYSETPOS=2", 10),
        ("FREQ=YEARLY;BYMONTH=1;BYSETPOS=366", 500),
        ("FREQ=YEARLY;BYWEEKNO=53;BYYEARDAY=100", 5_000),
    ] {
        let (steps, found) = steps(
            "20240101T000000",
            text,
            "20240102T000000",
            "99991231T000000",
        );
        assert!(found.is_empty(), "{text}: {found:?}");
        assert!(steps <= most, "{text}: {steps} steps");
    }
    let list = |last: u8| {
        (0..=last)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    let dense = format!(
        "FREQ=SECONDLY;COUNT=1000000000;BYSECOND={};BYMINUTE={};BYHOUR={}",
        list(60),
        list(59),
        list(23)
    );
    let (steps, found) = steps(
        "00010101T000000",
        &dense,
        "00310101T000000",
        "99991231T000000",
    );
    assert!(found.len() == 100 && steps < 10, "{steps} steps");
    // 10^9 seconds later.
    let set = set(&format!("DTSTART 00010101T000000\nRRULE {dense}"));
    let last = set.last_start().expect("evaluable");
    assert!(
        matches!(last, LastStart::At(last) if last.start == local("00320909T014639")),
        "{last:?}"
    );
}

#[test]
fn what_is_too_complex_is_named() {
    let all = (local("20240101T000000"), local("99991231T000000"));
    // Differs from the rule, so that it is not seen to be the same.
    let cancelled = set("DTSTART 20240101T000000
        RRULE FREQ=SECONDLY
        EXRULE FREQ=SECONDLY;BYMONTH=1,2,3,4,5,6,7,8,9,10,11,12");
    assert_eq!(cancelled.any(all.0, all.1), Err(RecurError::TooComplex));
    let same = set("DTSTART 20240101T000000\nRRULE FREQ=SECONDLY\nEXRULE FREQ=SECONDLY");
    assert_eq!(same.any(all.0, all.1), Ok(false));
    let counted = set("DTSTART 20240101T000000
        RRULE FREQ=SECONDLY;INTERVAL=7;BYSECOND=1;COUNT=100000000");
    assert_eq!(counted.last_start(), Err(RecurError::TooComplex));
    let recurrence = recurrence("DTSTART 20240101\nRRULE FREQ=HOURLY");
    let refused = RuleSet::new(&recurrence, &zones()).map(|_| ());
    assert_eq!(refused, Err(RecurError::TimesOnDate));
}

#[test]
fn windows_hold_what_touches_them() {
    let set = set("DTSTART Europe/Berlin:20240101T233000\nRRULE FREQ=DAILY");
    let duration = |text: &str| CalDuration::parse(text).expect("a duration");
    let utc = |text: &str| Instant(local(text).seconds());
    let (from, to) = set.window(
        utc("20240331T000000"),
        utc("20240401T000000"),
        duration("PT1H"),
    );
    assert!(
        from <= local("20240331T000000") && from >= local("20240330T210000"),
        "{from}"
    );
    assert!(
        to > local("20240401T000000") && to <= local("20240401T040000"),
        "{to}"
    );
    let (from, _) = set.window(Instant::MIN, Instant::MAX, duration("P1D"));
    assert!(from <= local("00010101T000000"));
    let found = set.starts(from, local("20240103T000000")).count();
    assert_eq!(found, 2);
}

#[test]
fn last_start_of_open_and_empty_sets() {
    assert_eq!(
        set("DTSTART 20240101\nRRULE FREQ=DAILY").last_start(),
        Ok(LastStart::Unbounded)
    );
    let empty = set("DTSTART 20240101\nRRULE FREQ=DAILY;COUNT=2\nEXDATE 20240101\nEXDATE 20240102");
    assert_eq!(empty.last_start(), Ok(LastStart::Empty));
    assert_eq!(empty.first_start(), Ok(None));
    let single = set("DTSTART 20240101T090000Z");
    assert_eq!(starts(&single, 2000, 2050), ["20240101T090000"]);
    assert!(matches!(single.last_start(), Ok(LastStart::At(_))));
}

const FREQUENCIES: [&str; 7] = [
    "YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY",
];

/// A rule with one or two parts, so that it has instances often enough.
fn any_rule() -> impl Strategy<Value = String> {
    let parts = prop::collection::vec(
        prop_oneof![
            (1..=12).prop_map(|month| format!(";BYMONTH={month},{}", month % 12 + 1)),
            (1..=28).prop_map(|day| format!(";BYMONTHDAY={day},-{day}")),
            (1..=4).prop_map(|number| format!(";BYDAY={number}MO,WE,-{number}FR")),
            (0..=23).prop_map(|hour| format!(";BYHOUR={hour}")),
            (0..=59).prop_map(|minute| format!(";BYMINUTE={minute}")),
            (1..=3).prop_map(|position| format!(";BYSETPOS={position},-1")),
            (1..=300).prop_map(|day| format!(";BYYEARDAY={day},-{day}")),
            (1..=52).prop_map(|week| format!(";BYWEEKNO={week},-1")),
            (1..=500).prop_map(|count| format!(";COUNT={count}")),
        ],
        0..3,
    );
    (0..7usize, 1..20u32, parts).prop_map(|(frequency, interval, mut parts)| {
        parts.sort_by_key(|part| part.split('=').next().map(str::to_owned));
        parts.dedup_by_key(|part| part.split('=').next().map(str::to_owned));
        let name = FREQUENCIES[frequency];
        format!("FREQ={name};INTERVAL={interval}{}", parts.concat())
    })
}

fn seconds(set: &RuleSet, from: i64, to: i64) -> Result<Vec<i64>, RecurError> {
    let limit = |seconds: i64| LocalTime::from_seconds(seconds.clamp(0, LAST));
    set.starts(limit(from), limit(to))
        .map(|found| found.map(|found| found.start.seconds()))
        .collect()
}

/// Whether a rule may have no instance at all, which only shows when every step was tried: each
/// seventh hour, at five o'clock, is always on the same day of the week.
fn may_be_empty(rule: &str) -> bool {
    let within_days = ["HOURLY", "MINUTELY", "SECONDLY"];
    within_days.iter().any(|name| rule.contains(name))
        && !rule.contains("INTERVAL=1;")
        && rule.contains(";BYDAY")
}

proptest! {
    #[test]
    fn a_window_is_the_sum_of_its_parts(text in any_rule(), first in 0..40_000_000i64, second in 0..100_000i64) {
        let set = set(&format!("DTSTART 20240131T103000\nRRULE {text}"));
        let from = local("20240131T103000").seconds() + first;
        let whole = seconds(&set, from, from + 2 * second);
        let halves = (seconds(&set, from, from + second), seconds(&set, from + second, from + 2 * second));
        if let (Ok(whole), (Ok(mut left), Ok(right))) = (whole, halves) {
            left.extend(right);
            prop_assert_eq!(whole, left, "{}", text);
        } else {
            prop_assert!(may_be_empty(&text), "{} is too complex", text);
        }
    }

    /// COUNT by arithmetic ends where counting one by one ends.
    #[test]
    fn counted_ends(text in any_rule(), count in 1..400usize) {
        prop_assume!(!text.contains("COUNT"));
        let endless = set(&format!("DTSTART 20240131T103000\nRRULE {text}"));
        let found: Result<Vec<Occurrence>, RecurError> =
            endless.starts(local("00010101T000000"), local("99990101T000000")).take(count).collect();
        let counted = set(&format!("DTSTART 20240131T103000\nRRULE {text};COUNT={count}"));
        if let (Ok(found), Ok(LastStart::At(last))) = (found, counted.last_start()) {
            let same = found.len() < count || found.last().is_some_and(|found| found.start == last.start);
            prop_assert!(same, "{}: {:?} is not {:?}", text, last, found.last());
            let after = last.start.plus_days(400);
            prop_assert!(found.len() < count || counted.any(after, after.plus_days(10_000)) == Ok(false));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}", part in "(BYDAY|UNTIL|COUNT|BYHOUR|X-|WKST|é)") {
        let _ = Rule::parse(&text);
        let _ = Rule::parse(&format!("FREQ=DAILY;{part}={text}"));
    }
}

/// Walking backwards finds what walking forwards passes.
#[test]
fn last_before() {
    for text in [
        "FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU",
        "FREQ=DAILY",
        "FREQ=YEARLY;INTERVAL=30",
    ] {
        let engine = Engine::new(&rule(text), local("19700101T020000"), false);
        let mut budget = Budget::new();
        let before = local("20240101T000000").seconds();
        let mut walk = engine.walk(0, &mut budget).expect("in budget");
        let mut last = None;
        while let Some(start) = walk
            .next(&mut budget)
            .expect("in budget")
            .filter(|start| *start < before)
        {
            last = Some(start);
        }
        assert_eq!(engine.last_before(before, &mut budget), Ok(last), "{text}");
        assert_eq!(engine.last_before(-DAY_SECONDS, &mut budget), Ok(None));
    }
}

/// Numbers and dates at the ends of what can be written: no overflow, and DTSTART is the first.
#[test]
fn extremes() {
    let parts = [
        "",
        ";BYDAY=MO",
        ";BYHOUR=3;BYSECOND=7",
        ";BYSETPOS=-1;BYMINUTE=1,2",
        ";BYYEARDAY=-366;BYWEEKNO=53",
        ";COUNT=18446744073709551615",
        ";COUNT=7;BYMONTHDAY=31",
        ";UNTIL=99991231T235959Z",
        ";UNTIL=00000101",
    ];
    for start in ["00000101T000000", "20240229T235959", "99991231T235959"] {
        for (name, interval) in FREQUENCIES
            .iter()
            .flat_map(|name| [1, 7, 400, 86_400, u32::MAX].map(|interval| (name, interval)))
        {
            for part in parts {
                let text = format!("FREQ={name};INTERVAL={interval}{part}");
                let set = set(&format!("DTSTART Europe/Berlin:{start}\nRRULE {text}"));
                let first = set.first_start().expect("DTSTART at least");
                assert!(
                    first.is_some_and(|first| first.start == local(start)),
                    "{text}"
                );
                // Whether it can be said or not: it ends.
                let _ = set.last_start();
                let end = local("99991231T235959");
                let from = end.plus_days(-1);
                for found in set.starts(from, end).take(10).flatten() {
                    assert!((from..end).contains(&found.start), "{text}");
                }
            }
        }
    }
}

/// Days whose week belongs to the year before or after (ISO 8601).
#[test]
fn weeks_at_the_edge_of_a_year() {
    let week = |rule: &str| {
        let set = set(&format!("DTSTART 20050101T090000\nRRULE {rule}"));
        starts(&set, 2005, 2017)
    };
    // 1 January 2011 is in week 52 of 2010, though a Saturday like that of 2005 and 2010's 2 January.
    let saturdays = week("FREQ=YEARLY;BYWEEKNO=53;BYDAY=SA");
    assert_eq!(saturdays, days("2005 Jan 1 2010 Jan 2 2016 Jan 2"));
    assert_eq!(week("FREQ=YEARLY;BYWEEKNO=53"), saturdays);
    // 2015 has 53 weeks, the first of which begins on 29 December 2014.
    let mondays = week("FREQ=YEARLY;BYWEEKNO=-53;BYDAY=MO");
    assert_eq!(mondays, days("2005 Jan 1 2008 Dec 29 2014 Dec 29"));
}
