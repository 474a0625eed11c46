//! The objects that are stored, made from a number, so that what a server must answer is known
//! without asking it: which of them lie in the month that is asked for, and when.
//!
//! 2,000 objects a year, however many there are, so that a month's answer stays the same while
//! the calendar grows: about 190 objects. Every tenth is a weekly series of eight.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The month that is asked for, in UTC; far from a change of the clock in Europe/Berlin.
pub const MONTH: (&str, &str) = ("20270201T000000Z", "20270301T000000Z");
/// The same in days since 1970 (28 of them).
const MONTH_DAYS: std::ops::Range<i64> = 20_850..20_878;
/// The objects lie around this day, 15 February 2027.
const MIDDLE: i64 = 20_864;
/// Objects in a year of 365.25 days.
const PER_YEAR: f64 = 2_000.0;
/// Instances of each tenth object, a week apart.
const SERIES: i64 = 8;
/// Europe/Berlin is an hour ahead of UTC in that month.
const AHEAD: i64 = 3_600;

const WORDS: [&str; 32] = [
    "agenda", "budget", "review", "draft", "meeting", "notes", "the", "of", "and", "with",
    "customer", "release", "please", "bring", "your", "figures", "room", "floor", "call", "link",
    "question", "answer", "before", "after", "lunch", "travel", "ticket", "plan", "quarter",
    "report", "team", "office",
];

/// A calendar of this many objects.
#[derive(Debug, Clone, Copy)]
pub struct Corpus {
    /// How many.
    pub count: u64,
}

/// SplitMix64's finish: names and words that look random and depend on the number alone.
pub fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The UID of an object of a calendar.
pub fn uid(calendar: &str, number: u64) -> String {
    format!("{:016x}-{number}-{calendar}", mix(number))
}

/// The last segment of its URL.
pub fn name(calendar: &str, number: u64) -> String {
    format!("{}.ics", uid(calendar, number))
}

impl Corpus {
    /// Where object `number` starts in Berlin: days since 1970, and the hour. Neighbours in number
    /// are far apart in time, as they are when people enter them.
    fn start(self, number: u64) -> (i64, i64) {
        let place = number.wrapping_mul(7_919) % self.count;
        let offset = place as f64 - self.count as f64 / 2.0;
        let day = MIDDLE + (offset * 365.25 / PER_YEAR).floor() as i64;
        (day, 8 + (place % 10) as i64)
    }

    fn recurs(number: u64) -> bool {
        number.is_multiple_of(10)
    }

    /// Instances within the month by object: seconds since 1970.
    pub fn in_month(self) -> BTreeMap<u64, Vec<i64>> {
        let mut found = BTreeMap::new();
        for number in 0..self.count {
            let (day, hour) = self.start(number);
            let times = if Corpus::recurs(number) { SERIES } else { 1 };
            let days = (0..times).map(|week| day + 7 * week);
            let instances: Vec<i64> = days
                .filter(|day| MONTH_DAYS.contains(day))
                .map(|day| day * 86_400 + hour * 3_600 - AHEAD)
                .collect();
            if !instances.is_empty() {
                found.insert(number, instances);
            }
        }
        found
    }

    /// The hours of the month in which somebody is busy, each once.
    pub fn busy_seconds(self) -> i64 {
        let hours: std::collections::BTreeSet<i64> =
            self.in_month().into_values().flatten().collect();
        hours.len() as i64 * 3_600
    }

    /// The object: about 2,100 bytes, of which the revision is a part.
    pub fn event(self, calendar: &str, number: u64, revision: u64) -> String {
        let (day, hour) = self.start(number);
        let (year, month, day) = civil(day);
        let uid = uid(calendar, number);
        let rule = if Corpus::recurs(number) {
            "RRULE:FREQ=WEEKLY;COUNT=8\r\n"
        } else {
            ""
        };
        let mut text = String::with_capacity(2_300);
        let _ = write!(
            text,
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//sealdav//load//EN\r\nCALSCALE:GREGORIAN\r\n{ZONE}\
             BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260101T120000Z\r\nCREATED:20260101T120000Z\r\n\
             LAST-MODIFIED:20260101T120000Z\r\nSEQUENCE:{revision}\r\n\
             DTSTART;TZID=Europe/Berlin:{year}{month:02}{day:02}T{hour:02}0000\r\n\
             DTEND;TZID=Europe/Berlin:{year}{month:02}{day:02}T{:02}0000\r\n{rule}\
             SUMMARY:Event {number} revision {revision}\r\nLOCATION:Room {}\r\n\
             ORGANIZER;CN=Ann Example:mailto:ann@example.org\r\n\
             ATTENDEE;CN=Bob Example;PARTSTAT=ACCEPTED;ROLE=REQ-PARTICIPANT:mailto:bob@exa\r\n mple.org\r\n\
             ATTENDEE;CN=Eve Example;PARTSTAT=NEEDS-ACTION;ROLE=REQ-PARTICIPANT:mailto:eve\r\n @example.org\r\n\
             DESCRIPTION:",
            hour + 1,
            mix(number) % 400
        );
        words(&mut text, number, 1_010);
        text.push_str("\r\nTRANSP:OPAQUE\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:Reminder\r\nTRIGGER:-PT15M\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n");
        text
    }
}

/// A UTC date-time of RFC 5545 from seconds since 1970.
pub fn utc(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let (hour, minute) = (
        seconds.rem_euclid(86_400) / 3_600,
        seconds.rem_euclid(3_600) / 60,
    );
    format!("{year}{month:02}{day:02}T{hour:02}{minute:02}00Z")
}

/// Words in lines of at most 75 octets.
fn words(text: &mut String, seed: u64, bytes: usize) {
    let (mut line, mut dice, end) = (12, seed, text.len() + bytes);
    while text.len() < end {
        dice = mix(dice);
        let word = WORDS[(dice % 32) as usize];
        if line + word.len() + 1 > 75 {
            text.push_str("\r\n ");
            line = 1;
        }
        text.push_str(word);
        text.push(' ');
        line += word.len() + 1;
    }
}

/// Year, month and day of days since 1970 (Howard Hinnant's civil_from_days).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

const ZONE: &str = "BEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nBEGIN:DAYLIGHT\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0200\r\n\
    TZNAME:CEST\r\nDTSTART:19700329T020000\r\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r\nEND:DAYLIGHT\r\n\
    BEGIN:STANDARD\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nTZNAME:CET\r\nDTSTART:19701025T030000\r\n\
    RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_month_has_what_the_table_says() {
        assert_eq!(civil(MIDDLE), (2027, 2, 15));
        assert_eq!(civil(MONTH_DAYS.start), (2027, 2, 1));
        assert_eq!(civil(MONTH_DAYS.end), (2027, 3, 1));
        for count in [10_000, 100_000] {
            let found = Corpus { count }.in_month();
            assert!((180..=205).contains(&found.len()), "{}", found.len());
        }
        let event = Corpus { count: 10_000 }.event("calendar", 10, 3);
        assert!((2_050..=2_150).contains(&event.len()), "{}", event.len());
        assert!(event.lines().all(|line| line.len() <= 75));
    }
}
