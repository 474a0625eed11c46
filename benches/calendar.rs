//! The calendar layer alone: parsing, and recurrences that would take other programs long.
//! `cargo bench --bench calendar`; docs/BENCHMARKS.md has figures.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};

use sealdav::ical::recur::{Recurrence, RecurrenceDate, Rule, RuleSet};
use sealdav::ical::summary::extent;
use sealdav::ical::time::{CalTime, LocalTime};
use sealdav::ical::tree::Calendar;
use sealdav::ical::zone::{Zone, Zones};

fn main() {
    divan::main();
}

/// An object with so many components, each with `more` bytes of description.
fn object(components: usize, more: usize) -> Vec<u8> {
    let mut text = String::from("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//bench//EN\r\n");
    for number in 0..components {
        let day = 1 + number % 28;
        // the first is the master, the others are its overrides
        let identity = match number {
            0 => "RRULE:FREQ=DAILY\r\n".to_owned(),
            _ => format!("RECURRENCE-ID;TZID=Europe/Berlin:202601{day:02}T090000\r\n"),
        };
        text += &format!(
            "BEGIN:VEVENT\r\nUID:one@example.org\r\nDTSTAMP:20260101T120000Z\r\n{identity}\
             DTSTART;TZID=Europe/Berlin:202601{day:02}T090000\r\nDTEND;TZID=Europe/Berlin:202601{day:02}T100000\r\n\
             SUMMARY:A meeting with a title of usual length\r\nLOCATION:Room 42\\, second floor\r\n\
             ATTENDEE;CN=\"Doe, Jane\";ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED:mailto:jane@example.org\r\n\
             CATEGORIES:WORK,MEETING\r\nSEQUENCE:{number}\r\nTRANSP:OPAQUE\r\nSTATUS:CONFIRMED\r\n"
        );
        let description = "words and words ".repeat(more / 16);
        let mut line = format!("DESCRIPTION:{description}");
        while line.len() > 75 {
            let rest = line.split_off(75);
            text += &line;
            text += "\r\n ";
            line = rest;
        }
        text += &line;
        text += "\r\nEND:VEVENT\r\n";
    }
    text += "END:VCALENDAR\r\n";
    text.into_bytes()
}

/// Components, and bytes of description of each.
const OBJECTS: [(&str, usize, usize); 4] = [
    ("2 KB, one component", 1, 1_500),
    ("200 KB, one component", 1, 200_000),
    ("200 KB, 400 components", 400, 16),
    ("6 MB, 12,000 components", 12_000, 16),
];

#[divan::bench(args = OBJECTS.iter().map(|(name, ..)| *name))]
fn parse(bencher: Bencher, name: &str) {
    let (_, components, more) = OBJECTS.iter().find(|row| row.0 == name).expect("a row");
    let bytes = object(*components, *more);
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| Calendar::parse(black_box(&bytes)).expect("it parses"));
}

#[divan::bench(args = OBJECTS.iter().map(|(name, ..)| *name))]
fn parse_and_extent(bencher: Bencher, name: &str) {
    let (_, components, more) = OBJECTS.iter().find(|row| row.0 == name).expect("a row");
    let bytes = object(*components, *more);
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| extent(&Calendar::parse(black_box(&bytes)).expect("it parses")));
}

/// A question about a rule: its start, the rule, the window.
const BOMBS: [(&str, &str, &str, &str); 12] = [
    (
        "SECONDLY from the year 1, a second of 2100",
        "00010101T000000",
        "FREQ=SECONDLY",
        "21000101T000000/21000101T000001",
    ),
    (
        "SECONDLY from the year 1, an hour of 2100",
        "00010101T000000",
        "FREQ=SECONDLY",
        "21000101T000000/21000101T010000",
    ),
    (
        "SECONDLY;INTERVAL=7 from 1601, a day of 2100",
        "16010101T000000",
        "FREQ=SECONDLY;INTERVAL=7",
        "21000101T000000/21000102T000000",
    ),
    (
        "COUNT=1000000000 daily, a month of 2100",
        "20260101T090000",
        "FREQ=DAILY;COUNT=1000000000",
        "21000101T000000/21000201T000000",
    ),
    (
        "COUNT=30000 on the 31st, a month of 2400",
        "20260131T090000",
        "FREQ=MONTHLY;BYMONTHDAY=31;COUNT=30000",
        "24000101T000000/24000201T000000",
    ),
    (
        "COUNT=3000000 on weekdays each minute, a day of 2030",
        "20260105T090000",
        "FREQ=MINUTELY;BYDAY=MO,TU,WE,TH,FR;COUNT=3000000",
        "20300101T000000/20300105T000000",
    ),
    (
        "COUNT=5000 last weekday of the month, a month of 2400",
        "20260130T090000",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;COUNT=5000",
        "24000101T000000/24000201T000000",
    ),
    (
        "30 February",
        "20260101T090000",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "21000101T000000/99990101T000000",
    ),
    (
        "31 February by the second",
        "20260101T090000",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=31",
        "21000101T000000/99990101T000000",
    ),
    (
        "Friday 13th in a leap year's February",
        "20260101T090000",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;BYDAY=FR",
        "21000101T000000/24000101T000000",
    ),
    (
        "every second of a week by BY lists",
        "20260101T000000",
        "FREQ=YEARLY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23;BYMINUTE=0,10,20,30,40,50;BYDAY=MO,TU,WE,TH,FR,SA,SU",
        "21000101T000000/21000108T000000",
    ),
    (
        "SETPOS in a year of seconds",
        "20260101T000000",
        "FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR=0,6,12,18;BYMINUTE=0,1,2,3,4,5;BYSETPOS=1,-1,100",
        "20260101T000000/20270101T000000",
    ),
];

#[divan::bench(args = BOMBS.iter().map(|row| row.0))]
fn bomb(bencher: Bencher, name: &str) {
    let (_, start, rule, window) = BOMBS.iter().find(|row| row.0 == name).expect("a row");
    let mut recurrence = Recurrence::single(CalTime::parse(start, None).expect("a time"));
    recurrence.rules.push(Rule::parse(rule).expect("a rule"));
    ask(bencher, &recurrence, window);
}

/// So many RDATEs, or EXDATEs that take away what a daily rule makes.
#[divan::bench(args = [(100_000, false), (100_000, true)])]
fn list(bencher: Bencher, (number, excluded): (i64, bool)) {
    let start = LocalTime::parse("20000101T090000").expect("a time");
    let day = |n: i64| CalTime::Floating(LocalTime::from_seconds(start.seconds() + n * 86_400));
    let mut recurrence = Recurrence::single(day(0));
    if excluded {
        recurrence
            .rules
            .push(Rule::parse("FREQ=DAILY").expect("a rule"));
        recurrence.exclusions = (1..=number).map(day).collect();
    } else {
        recurrence.dates = (1..=number).map(|n| RecurrenceDate::At(day(n))).collect();
    }
    ask(bencher, &recurrence, "21000101T000000/21000201T000000");
}

/// Makes the set ready and asks for the window, as each question of a client does.
fn ask(bencher: Bencher, recurrence: &Recurrence, window: &str) {
    let (from, to) = window.split_once('/').expect("two times");
    let time = |text| LocalTime::parse(text).expect("a time");
    let (from, to) = (time(from), time(to));
    let zones = Zones::new(Vec::new(), Zone::utc());
    bencher.bench_local(|| {
        let set = RuleSet::new(black_box(recurrence), &zones).expect("a set");
        set.starts(from, to)
            .try_fold(0, |count, start| start.map(|_| count + 1))
    });
}
