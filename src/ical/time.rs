//! Times as iCalendar writes them (RFC 5545 sections 3.3.4, 3.3.5, 3.3.6, 3.3.9 and 3.3.14):
//! dates, local times, durations, periods, offsets, as plain values. No time zone is looked up
//! here and no instant is guessed: `zone` maps a local time to an `Instant`.
//!
//! Reading is lenient where real files are odd and the meaning is plain: lower-case letters,
//! spaces around a value, missing seconds, 24:00, a leap second. The calendar is the proleptic
//! Gregorian one; years are 0 to 9999 when read.

use std::fmt;

/// Longest DURATION read, in days: about 10,000 years, the span of a four-digit year. Longer
/// ones are no durations of anything, and arithmetic stays far from overflow.
const DURATION_DAYS: u64 = 3_660_000;
/// Seconds of a day without a clock change.
pub const DAY_SECONDS: i64 = 86_400;

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub i64);

impl Instant {
    /// Before everything.
    pub const MIN: Instant = Instant(i64::MIN);
    /// After everything.
    pub const MAX: Instant = Instant(i64::MAX);

    /// Later by `seconds` (earlier when negative); stays at `MIN` or `MAX` rather than wrapping.
    pub fn plus(self, seconds: i64) -> Instant {
        Instant(self.0.saturating_add(seconds))
    }

    /// The same instant on a clock that shows UTC; `None` outside the years -9999 to 9999.
    pub fn to_utc(self) -> Option<LocalTime> {
        const FAR: i64 = 12_000 * 366 * DAY_SECONDS;
        let time = (-FAR..FAR)
            .contains(&self.0)
            .then(|| LocalTime::from_seconds(self.0))?;
        (-9999..=9999).contains(&time.date.year).then_some(time)
    }
}

/// A day of the calendar (RFC 5545 section 3.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Year, 0 to 9999 when read; arithmetic may leave that range.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
}

impl Date {
    /// The date, if there is one such day.
    pub fn new(year: i32, month: u8, day: u8) -> Option<Date> {
        let exists = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        exists.then_some(Date { year, month, day })
    }

    /// Reads `YYYYMMDD`.
    pub fn parse(text: &str) -> Option<Date> {
        let text = text.trim();
        if text.len() != 8 {
            return None;
        }
        let year = i32::try_from(digits(text, 0, 4)?).ok()?;
        Date::new(year, small(text, 4)?, small(text, 6)?)
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i64 {
        // Counted in 400-year cycles from 1 March of year 0, so that the leap day ends a year.
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let month = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        let cycle = year.div_euclid(400);
        let year_of_cycle = year.rem_euclid(400);
        let leap_days = year_of_cycle / 4 - year_of_cycle / 100;
        cycle * 146_097 + year_of_cycle * 365 + leap_days + day_of_year - 719_468
    }

    /// The date so many days after 1970-01-01. Years beyond 32 bits stay at the last one.
    pub fn from_days(days: i64) -> Date {
        let shifted = days.saturating_add(719_468);
        let cycle = shifted.div_euclid(146_097);
        let day_of_cycle = shifted.rem_euclid(146_097);
        let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524
            - day_of_cycle / 146_096)
            / 365;
        let day_of_year =
            day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = cycle.saturating_mul(400) + year_of_cycle + i64::from(month <= 2);
        let limit = |value: i64| u8::try_from(value).expect("the cycle arithmetic yields 1 to 31");
        let year = year.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        Date {
            year: i32::try_from(year).expect("just clamped"),
            month: limit(month),
            day: limit(day),
        }
    }

    /// The date `days` later (earlier when negative).
    pub fn plus_days(self, days: i64) -> Date {
        Date::from_days(self.days().saturating_add(days))
    }

    /// Day of the week, Monday being 0 and Sunday 6.
    pub fn weekday(self) -> u8 {
        u8::try_from((self.days() + 3).rem_euclid(7)).expect("a remainder of 7 fits")
    }

    /// `YYYYMMDD`; `None` of a year that has not four digits.
    fn digits(self) -> Option<[u8; 8]> {
        let year = u16::try_from(self.year)
            .ok()
            .filter(|year| *year < 10_000)?;
        let part = |number: u16| two((number % 100) as u8);
        let ([a, b], [c, d]) = (part(year / 100), part(year));
        let ([e, f], [g, h]) = (two(self.month), two(self.day));
        Some([a, b, c, d, e, f, g, h])
    }

    /// Midnight at its start.
    pub fn midnight(self) -> LocalTime {
        LocalTime {
            date: self,
            hour: 0,
            minute: 0,
            second: 0,
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.digits() {
            Some(digits) => formatter.write_str(ascii(&digits)),
            None => write!(
                formatter,
                "{:04}{:02}{:02}",
                self.year, self.month, self.day
            ),
        }
    }
}

/// Digits that were just written.
fn ascii(digits: &[u8]) -> &str {
    std::str::from_utf8(digits).expect("digits are ASCII")
}

/// Two digits; of more than 99, the last two.
fn two(number: u8) -> [u8; 2] {
    [b'0' + number / 10 % 10, b'0' + number % 10]
}

/// Days of a month (1 to 12; 0 for any other number).
pub fn days_in_month(year: i32, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 0,
    }
}

/// What a clock on some wall shows: a date and a time of day (RFC 5545 section 3.3.5, form 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalTime {
    /// The day.
    pub date: Date,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59; a leap second is read as 59 (RFC 5545 section 3.3.12).
    pub second: u8,
}

impl LocalTime {
    /// Reads `YYYYMMDDTHHMMSS`, also without seconds; `T240000` is midnight of the next day.
    pub fn parse(text: &str) -> Option<LocalTime> {
        let text = text.trim();
        if !matches!(text.len(), 13 | 15) || !matches!(text.as_bytes()[8], b'T' | b't') {
            return None;
        }
        let date = Date::parse(text.get(..8)?)?;
        let (hour, minute) = (small(text, 9)?, small(text, 11)?);
        let second = if text.len() == 15 {
            small(text, 13)?
        } else {
            0
        };
        if (hour, minute, second) == (24, 0, 0) {
            return Some(date.plus_days(1).midnight());
        }
        let exists = hour < 24 && minute < 60 && second <= 60;
        exists.then_some(LocalTime {
            date,
            hour,
            minute,
            second: second.min(59),
        })
    }

    /// Seconds since 1970-01-01T00:00:00 on the same clock: the instant, if the clock shows UTC.
    pub fn seconds(self) -> i64 {
        let time =
            i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second);
        self.date.days() * DAY_SECONDS + time
    }

    /// What that clock shows so many seconds after its 1970-01-01T00:00:00.
    pub fn from_seconds(seconds: i64) -> LocalTime {
        let time = seconds.rem_euclid(DAY_SECONDS);
        let small = |value: i64| u8::try_from(value).expect("parts of a day are small");
        LocalTime {
            date: Date::from_days(seconds.div_euclid(DAY_SECONDS)),
            hour: small(time / 3600),
            minute: small(time / 60 % 60),
            second: small(time % 60),
        }
    }

    /// The same time of day, `days` later (earlier when negative).
    pub fn plus_days(self, days: i64) -> LocalTime {
        LocalTime {
            date: self.date.plus_days(days),
            ..self
        }
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(date) = self.date.digits() else {
            return write!(
                formatter,
                "{}T{:02}{:02}{:02}",
                self.date, self.hour, self.minute, self.second
            );
        };
        let mut text = *b"00000000T000000";
        text[..8].copy_from_slice(&date);
        text[9..11].copy_from_slice(&two(self.hour));
        text[11..13].copy_from_slice(&two(self.minute));
        text[13..].copy_from_slice(&two(self.second));
        formatter.write_str(ascii(&text))
    }
}

/// A DATE or a DATE-TIME in one of its three forms (RFC 5545 sections 3.3.4 and 3.3.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CalTime {
    /// A whole day, anywhere.
    Date(Date),
    /// A local time without a zone: the same clock reading wherever one is.
    Floating(LocalTime),
    /// A time in UTC (`Z`).
    Utc(LocalTime),
    /// A local time in the zone that TZID names.
    Zoned {
        /// The TZID parameter as written, its quotes removed.
        tzid: String,
        /// The clock reading there.
        local: LocalTime,
    },
}

impl CalTime {
    /// Reads a DATE or DATE-TIME value; the form follows from the text itself, since real files
    /// often lack or contradict `VALUE`. A TZID is ignored on dates and UTC times
    /// (RFC 5545 section 3.2.19 forbids it there); an empty one counts as none.
    pub fn parse(value: &str, tzid: Option<&str>) -> Option<CalTime> {
        let value = value.trim();
        if value.len() == 8 {
            return Date::parse(value).map(CalTime::Date);
        }
        if let Some(local) = value.strip_suffix(['Z', 'z']) {
            return LocalTime::parse(local).map(CalTime::Utc);
        }
        let local = LocalTime::parse(value)?;
        Some(match tzid.filter(|tzid| !tzid.is_empty()) {
            Some(tzid) => CalTime::Zoned {
                tzid: tzid.to_owned(),
                local,
            },
            None => CalTime::Floating(local),
        })
    }

    /// The clock reading as written; midnight for a date.
    pub fn local(&self) -> LocalTime {
        match self {
            CalTime::Date(date) => date.midnight(),
            CalTime::Floating(local) | CalTime::Utc(local) | CalTime::Zoned { local, .. } => *local,
        }
    }

    /// The same form (and zone) with another clock reading; of a date, only the day is taken.
    pub fn with_local(&self, local: LocalTime) -> CalTime {
        match self {
            CalTime::Date(_) => CalTime::Date(local.date),
            CalTime::Floating(_) => CalTime::Floating(local),
            CalTime::Utc(_) => CalTime::Utc(local),
            CalTime::Zoned { tzid, .. } => CalTime::Zoned {
                tzid: tzid.clone(),
                local,
            },
        }
    }

    /// Whether it is a DATE.
    pub fn is_date(&self) -> bool {
        matches!(self, CalTime::Date(_))
    }
}

/// A DURATION (RFC 5545 section 3.3.6). Weeks and days are nominal (the same time of day, some
/// days later, whatever the clocks did), hours, minutes and seconds are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CalDuration {
    /// Whether it points backwards.
    pub negative: bool,
    /// Weeks, nominal.
    pub weeks: u32,
    /// Days, nominal.
    pub days: u32,
    /// Hours, minutes and seconds, in exact seconds.
    pub seconds: i64,
}

impl CalDuration {
    /// Reads `[+-]P[nW][nD][T[nH][nM][nS]]`. More lenient than the grammar: parts may be mixed
    /// with weeks, left out, and `P` or `PT` alone is zero.
    pub fn parse(text: &str) -> Option<CalDuration> {
        let text = text.trim();
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let mut rest = text.strip_prefix(['P', 'p'])?;
        let mut duration = CalDuration {
            negative,
            ..CalDuration::default()
        };
        let (mut weeks, mut days, mut seconds) = (0u64, 0u64, 0u64);
        let mut in_time = false;
        // Each unit may come once, in this order.
        let mut units: &[u8] = b"WDTHMS";
        while let Some(first) = rest.bytes().next() {
            let length = rest.bytes().take_while(u8::is_ascii_digit).count();
            let unit = rest.as_bytes().get(length)?.to_ascii_uppercase();
            let position = units.iter().position(|known| *known == unit)?;
            units = &units[position + 1..];
            if (unit == b'T') == first.is_ascii_digit() || (b"HMS".contains(&unit) && !in_time) {
                return None;
            }
            let number = if length == 0 {
                0
            } else {
                u64::from(rest[..length].parse::<u32>().ok()?)
            };
            match unit {
                b'W' => weeks = number,
                b'D' => days = number,
                b'T' => in_time = true,
                b'H' => seconds += number * 3600,
                b'M' => seconds += number * 60,
                _ => seconds += number,
            }
            rest = &rest[length + 1..];
        }
        if weeks * 7 + days + seconds / 86_400 > DURATION_DAYS {
            return None;
        }
        duration.weeks = u32::try_from(weeks).ok()?;
        duration.days = u32::try_from(days).ok()?;
        duration.seconds = i64::try_from(seconds).ok()?;
        Some(duration)
    }

    /// The nominal part in days, with its sign.
    pub fn nominal_days(self) -> i64 {
        let days = i64::from(self.weeks) * 7 + i64::from(self.days);
        if self.negative { -days } else { days }
    }

    /// The exact part in seconds, with its sign.
    pub fn exact_seconds(self) -> i64 {
        if self.negative {
            -self.seconds
        } else {
            self.seconds
        }
    }

    /// Seconds, every day counted as 24 hours; with its sign.
    pub fn total_seconds(self) -> i64 {
        self.nominal_days() * DAY_SECONDS + self.exact_seconds()
    }

    /// Whether it takes no time at all.
    pub fn is_zero(self) -> bool {
        self.total_seconds() == 0
    }
}

/// How a period ends (RFC 5545 section 3.3.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeriodEnd {
    /// At a time.
    At(CalTime),
    /// After a duration.
    After(CalDuration),
}

/// A PERIOD (RFC 5545 section 3.3.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// Its start.
    pub start: CalTime,
    /// Its end.
    pub end: PeriodEnd,
}

impl Period {
    /// Reads `start/end` or `start/duration`.
    pub fn parse(value: &str, tzid: Option<&str>) -> Option<Period> {
        let (start, end) = value.split_once('/')?;
        let start = CalTime::parse(start, tzid)?;
        let end = match CalDuration::parse(end) {
            Some(duration) => PeriodEnd::After(duration),
            None => PeriodEnd::At(CalTime::parse(end, tzid)?),
        };
        Some(Period { start, end })
    }
}

/// Reads a UTC-OFFSET (RFC 5545 section 3.3.14), `+HHMM` or `+HHMMSS`, in seconds east of UTC.
/// A missing sign is read as plus.
pub fn parse_utc_offset(text: &str) -> Option<i32> {
    let text = text.trim();
    let (sign, text) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let second = match text.len() {
        4 => 0,
        6 => small(text, 4)?,
        _ => return None,
    };
    let (hour, minute) = (small(text, 0)?, small(text, 2)?);
    let exists = hour < 24 && minute < 60 && second < 60;
    exists.then_some(sign * (i32::from(hour) * 3600 + i32::from(minute) * 60 + i32::from(second)))
}

/// The number that `length` ASCII digits at `start` write.
fn digits(text: &str, start: usize, length: usize) -> Option<u32> {
    let part = text.as_bytes().get(start..start + length)?;
    part.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u32::from(digit - b'0'))
    })
}

/// The number that two digits at `start` write.
fn small(text: &str, start: usize) -> Option<u8> {
    digits(text, start, 2).and_then(|number| u8::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(year: i32, month: u8, day: u8) -> Date {
        Date::new(year, month, day).expect("a date that exists")
    }

    #[test]
    fn days_and_back() {
        assert_eq!(date(1970, 1, 1).days(), 0);
        assert_eq!(date(2000, 3, 1).days(), 11_017);
        assert_eq!(date(1, 1, 1).days(), -719_162);
        for days in (-800_000..3_000_000).step_by(97) {
            assert_eq!(Date::from_days(days).days(), days);
        }
        assert_eq!(date(2024, 2, 28).plus_days(2), date(2024, 3, 1));
        assert_eq!(date(2026, 11, 20).weekday(), 4);
        assert_eq!(Date::from_days(i64::MAX).year, i32::MAX);
        assert_eq!(Date::from_days(i64::MIN).year, i32::MIN);
    }

    #[test]
    fn dates_that_do_not_exist() {
        for bad in [
            "20230229", "20231301", "20230100", "2023010", "2023-1-1", "2023010x", "٢٠٢٣",
        ] {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn times() {
        let noon = LocalTime {
            date: date(2024, 1, 31),
            hour: 12,
            minute: 0,
            second: 0,
        };
        assert_eq!(LocalTime::parse("20240131T120000"), Some(noon));
        assert_eq!(LocalTime::parse(" 20240131t1200 "), Some(noon));
        assert_eq!(
            LocalTime::parse("20240131T240000"),
            Some(date(2024, 2, 1).midnight())
        );
        assert_eq!(
            LocalTime::parse("20240131T235960").map(|time| time.second),
            Some(59)
        );
        for bad in [
            "20240131T250000",
            "20240131T126000",
            "20240131 120000",
            "20240131T12000",
            "2024013éT1200",
        ] {
            assert_eq!(LocalTime::parse(bad), None, "{bad}");
        }
        assert_eq!(LocalTime::from_seconds(noon.seconds()), noon);
        assert_eq!(noon.to_string(), "20240131T120000");
        assert_eq!(
            Instant(0).to_utc().map(|time| time.to_string()),
            Some("19700101T000000".into())
        );
        assert_eq!(Instant::MAX.to_utc(), None);
    }

    #[test]
    fn the_four_forms() {
        let local = LocalTime::parse("20240131T120000").expect("valid");
        assert_eq!(
            CalTime::parse("20240131", Some("Europe/Berlin")),
            Some(CalTime::Date(local.date))
        );
        assert_eq!(
            CalTime::parse("20240131T120000", None),
            Some(CalTime::Floating(local))
        );
        assert_eq!(
            CalTime::parse("20240131T120000Z", Some("X")),
            Some(CalTime::Utc(local))
        );
        let zoned = CalTime::Zoned {
            tzid: "X".into(),
            local,
        };
        assert_eq!(CalTime::parse("20240131T120000", Some("X")), Some(zoned));
        assert_eq!(CalTime::parse("20240131T120000é", None), None);
        assert_eq!(CalTime::parse("", None), None);
    }

    #[test]
    fn durations() {
        let parse = |text| CalDuration::parse(text).map(|d| (d.nominal_days(), d.exact_seconds()));
        assert_eq!(parse("P15DT5H0M20S"), Some((15, 18_020)));
        assert_eq!(parse("P7W"), Some((49, 0)));
        assert_eq!(parse("-PT15M"), Some((0, -900)));
        assert_eq!(parse("+p1w2dt3h"), Some((9, 10_800)));
        assert_eq!(parse("PT"), Some((0, 0)));
        for bad in [
            "",
            "-",
            "15M",
            "P15M",
            "PT1D",
            "PT1M1H",
            "P1DT1H1H",
            "P1",
            "PTT",
            "P99999999999D",
            "P4000000D",
            "P1é",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert!(CalDuration::parse("PT0S").is_some_and(CalDuration::is_zero));
    }

    #[test]
    fn periods_and_offsets() {
        let period = Period::parse("19970101T180000Z/PT5H30M", None).expect("valid");
        assert!(matches!(period.end, PeriodEnd::After(duration) if duration.seconds == 19_800));
        let period = Period::parse("19970101T180000Z/19970102T070000Z", None).expect("valid");
        assert!(matches!(period.end, PeriodEnd::At(CalTime::Utc(_))));
        assert_eq!(Period::parse("19970101T180000Z", None), None);
        assert_eq!(parse_utc_offset("-0500"), Some(-18_000));
        assert_eq!(parse_utc_offset("+013015"), Some(5_415));
        assert_eq!(parse_utc_offset("0100"), Some(3_600));
        assert_eq!(parse_utc_offset("+1"), None);
        assert_eq!(parse_utc_offset("+01é"), None);
    }
}
