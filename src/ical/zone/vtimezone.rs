//! A zone of the IANA database as a VTIMEZONE (RFC 5545 section 3.6.5), for clients that read no
//! names: each kind of change with its dates, and with a rule where the last of them follow one.

use jiff::tz::{Offset, TimeZone};

use super::super::edit::content_line;
use super::super::time::{LocalTime, days_in_month};
use super::{Kind, Zone};

/// The first year that is described: earlier times are read with its first offset.
const FIRST_YEAR: i32 = 1970;
/// The last year of dates without a rule.
const LAST_YEAR: i32 = 2037;
/// Years in a row that make a rule; fewer are dates. In twelve, a week's seven days all come.
const RULE_YEARS: usize = 12;
const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/// A change of the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    kind: ChangeKind,
    /// On the clock before it.
    onset: LocalTime,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ChangeKind {
    daylight: bool,
    name: String,
    from: i32,
    to: i32,
}

/// An iCalendar object with the VTIMEZONE of a zone known by name; `None` for any other zone.
pub fn to_calendar(zone: &Zone) -> Option<String> {
    let (name, known) = match &zone.0 {
        Kind::Known(known) => (known.iana_name()?, known),
        Kind::Utc | Kind::Fixed(..) | Kind::Custom(_) => return None,
    };
    let mut text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n".to_owned();
    text.push_str(&content_line("PRODID", &[], "-//sealdav//sealdav//EN"));
    text.push_str("BEGIN:VTIMEZONE\r\n");
    text.push_str(&content_line("TZID", &[], name));
    let changes = changes(known);
    let mut kinds: Vec<&ChangeKind> = Vec::new();
    for change in &changes {
        if !kinds.contains(&&change.kind) {
            kinds.push(&change.kind);
        }
    }
    for kind in kinds {
        let of_kind = changes.iter().filter(|change| change.kind == *kind);
        let onsets: Vec<LocalTime> = of_kind.map(|change| change.onset).collect();
        let (dates, ruled) = onsets.split_at(onsets.len() - tail(&onsets));
        observance(kind, dates, None, &mut text);
        observance(kind, ruled, rule(ruled), &mut text);
    }
    text.push_str("END:VTIMEZONE\r\nEND:VCALENDAR\r\n");
    Some(text)
}

/// What holds at the beginning, and all changes from then on.
fn changes(zone: &TimeZone) -> Vec<Change> {
    let year = |year: i32| {
        let date = super::super::time::Date {
            year,
            month: 1,
            day: 1,
        };
        jiff::Timestamp::from_second(date.midnight().seconds()).expect("a year between 1 and 9999")
    };
    let (first, end) = (year(FIRST_YEAR), year(LAST_YEAR + 1));
    let info = zone.to_offset_info(first);
    let mut offset: Offset = info.offset();
    let mut changes = vec![Change {
        kind: ChangeKind {
            daylight: info.dst().is_dst(),
            name: info.abbreviation().to_owned(),
            from: offset.seconds(),
            to: offset.seconds(),
        },
        onset: LocalTime::from_seconds(first.as_second()),
    }];
    for transition in zone.following(first) {
        if transition.timestamp() >= end {
            break;
        }
        let kind = ChangeKind {
            daylight: transition.dst().is_dst(),
            name: transition.abbreviation().to_owned(),
            from: offset.seconds(),
            to: transition.offset().seconds(),
        };
        let seconds = transition.timestamp().as_second() + i64::from(kind.from);
        changes.push(Change {
            kind,
            onset: LocalTime::from_seconds(seconds),
        });
        offset = transition.offset();
    }
    changes
}

/// How many of the last onsets follow one rule, up to the last year; 0 when there is none.
fn tail(onsets: &[LocalTime]) -> usize {
    if onsets.last().is_none_or(|last| last.date.year != LAST_YEAR) {
        return 0;
    }
    let mut length = 1;
    while length < onsets.len() {
        let start = onsets.len() - length - 1;
        let next_year = onsets[start].date.year + 1 == onsets[start + 1].date.year;
        if !next_year || rule(&onsets[start..]).is_none() {
            break;
        }
        length += 1;
    }
    if length < RULE_YEARS { 0 } else { length }
}

/// The yearly rule that yields these onsets, one in each year.
fn rule(onsets: &[LocalTime]) -> Option<String> {
    let first = onsets.first()?;
    let alike = |onset: &LocalTime| {
        onset.date.month == first.date.month
            && onset.date.weekday() == first.date.weekday()
            && (onset.hour, onset.minute, onset.second) == (first.hour, first.minute, first.second)
    };
    if !onsets.iter().all(alike) {
        return None;
    }
    let days = || onsets.iter().map(|onset| onset.date.day);
    let (least, most) = (days().min()?, days().max()?);
    let weekday = WEEKDAYS[usize::from(first.date.weekday())];
    let last =
        |onset: &LocalTime| onset.date.day + 7 > days_in_month(onset.date.year, onset.date.month);
    let week = (least - 1) / 7;
    let day = if onsets.iter().all(last) {
        format!("BYDAY=-1{weekday}")
    } else if (most - 1) / 7 == week {
        format!("BYDAY={}{weekday}", week + 1)
    } else if most - least < 7 {
        let days: Vec<String> = (least..=most).map(|day| day.to_string()).collect();
        format!("BYMONTHDAY={};BYDAY={weekday}", days.join(","))
    } else {
        return None;
    };
    Some(format!("FREQ=YEARLY;BYMONTH={};{day}", first.date.month))
}

fn observance(kind: &ChangeKind, onsets: &[LocalTime], rule: Option<String>, text: &mut String) {
    let Some((first, rest)) = onsets.split_first() else {
        return;
    };
    let part = if kind.daylight {
        "DAYLIGHT"
    } else {
        "STANDARD"
    };
    text.push_str(&content_line("BEGIN", &[], part));
    text.push_str(&content_line("DTSTART", &[], &first.to_string()));
    match rule {
        Some(rule) => text.push_str(&content_line("RRULE", &[], &rule)),
        None => {
            for onset in rest {
                text.push_str(&content_line("RDATE", &[], &onset.to_string()));
            }
        }
    }
    text.push_str(&content_line("TZNAME", &[], &kind.name));
    text.push_str(&content_line("TZOFFSETFROM", &[], &offset(kind.from)));
    text.push_str(&content_line("TZOFFSETTO", &[], &offset(kind.to)));
    text.push_str(&content_line("END", &[], part));
}

/// RFC 5545 section 3.3.14.
fn offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let size = seconds.unsigned_abs();
    let mut text = format!("{sign}{:02}{:02}", size / 3600, size / 60 % 60);
    if !size.is_multiple_of(60) {
        text.push_str(&format!("{:02}", size % 60));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::super::definitions;
    use super::super::super::time::{Date, Instant};
    use super::super::super::tree::Calendar;
    use super::*;

    #[test]
    fn a_zone_with_rules() {
        let text = to_calendar(&Zone::iana("Europe/Berlin").expect("a zone")).expect("known");
        for line in [
            "TZID:Europe/Berlin",
            "RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU",
            "RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU",
            "DTSTART:19810329T020000",
            "TZNAME:CEST",
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}: {text}");
        }
        assert_eq!(to_calendar(&Zone::fixed(3600)), None);
    }

    #[test]
    fn read_back_it_is_the_same_zone() {
        for name in [
            "Europe/Berlin",
            "America/New_York",
            "America/Santiago",
            "Asia/Jerusalem",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
            "Asia/Kolkata",
            "Pacific/Apia",
            "Europe/Dublin",
            "Africa/Monrovia",
            "Etc/UTC",
        ] {
            let zone = Zone::iana(name).expect("a zone");
            let text = to_calendar(&zone).expect("known");
            let calendar = Calendar::parse(text.as_bytes()).expect("readable");
            let definition = definitions::definition(&calendar.root.components[0]);
            let custom = Zone::custom(&definition.expect("a zone")).expect("evaluable");
            let last = if name == "Africa/Casablanca" {
                2037
            } else {
                2060
            };
            for day in (0..Date::new(last, 1, 1).expect("a day").days()).step_by(5) {
                let instant = Instant(day * 86_400);
                assert_eq!(
                    custom.offset_at(instant),
                    zone.offset_at(instant),
                    "{name} {}",
                    instant.to_utc().expect("near")
                );
            }
        }
    }
}
