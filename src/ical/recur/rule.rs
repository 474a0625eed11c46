//! A recurrence rule as written (RFC 5545 section 3.3.10): read once, held as bit sets.
//!
//! Reading is lenient where the meaning is plain (case, order, spaces, empty parts, `X-` parts,
//! rule parts that the table of section 3.3.10 calls N/A, which then limit) and refuses, by name,
//! what has none. A stored object must not vanish because a client wrote `BYDAY=1MO` into a
//! weekly rule; there the number is ignored.

use std::fmt;

use super::super::time::CalTime;

/// FREQ: the unit of a rule's periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Frequency {
    /// Every INTERVAL seconds.
    Secondly,
    /// Every INTERVAL minutes.
    Minutely,
    /// Every INTERVAL hours.
    Hourly,
    /// Every INTERVAL days.
    Daily,
    /// Every INTERVAL weeks.
    Weekly,
    /// Every INTERVAL months.
    Monthly,
    /// Every INTERVAL years.
    Yearly,
}

/// A rule part's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// FREQ
    Frequency,
    /// UNTIL
    Until,
    /// COUNT
    Count,
    /// INTERVAL
    Interval,
    /// BYSECOND
    BySecond,
    /// BYMINUTE
    ByMinute,
    /// BYHOUR
    ByHour,
    /// BYDAY
    ByDay,
    /// BYMONTHDAY
    ByMonthDay,
    /// BYYEARDAY
    ByYearDay,
    /// BYWEEKNO
    ByWeekNumber,
    /// BYMONTH
    ByMonth,
    /// BYSETPOS
    BySetPosition,
    /// WKST
    WeekStart,
    /// RSCALE (RFC 7529)
    Scale,
    /// SKIP (RFC 7529)
    Skip,
}

/// Every part with its name as written.
const PARTS: [(Part, &str); 16] = [
    (Part::Frequency, "FREQ"),
    (Part::Until, "UNTIL"),
    (Part::Count, "COUNT"),
    (Part::Interval, "INTERVAL"),
    (Part::BySecond, "BYSECOND"),
    (Part::ByMinute, "BYMINUTE"),
    (Part::ByHour, "BYHOUR"),
    (Part::ByDay, "BYDAY"),
    (Part::ByMonthDay, "BYMONTHDAY"),
    (Part::ByYearDay, "BYYEARDAY"),
    (Part::ByWeekNumber, "BYWEEKNO"),
    (Part::ByMonth, "BYMONTH"),
    (Part::BySetPosition, "BYSETPOS"),
    (Part::WeekStart, "WKST"),
    (Part::Scale, "RSCALE"),
    (Part::Skip, "SKIP"),
];

const FREQUENCIES: [(Frequency, &str); 7] = [
    (Frequency::Secondly, "SECONDLY"),
    (Frequency::Minutely, "MINUTELY"),
    (Frequency::Hourly, "HOURLY"),
    (Frequency::Daily, "DAILY"),
    (Frequency::Weekly, "WEEKLY"),
    (Frequency::Monthly, "MONTHLY"),
    (Frequency::Yearly, "YEARLY"),
];

/// Names of the days, at their number: Monday is 0, as in `Date::weekday`.
const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/// Why a text is no rule that can be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleError {
    /// There is no FREQ.
    MissingFrequency,
    /// Something between semicolons has no `=`.
    NotAPart,
    /// A part that RFC 5545 does not name, and that does not begin with `X-`.
    UnknownPart,
    /// A part stands twice.
    Repeated(Part),
    /// The value of a part is not of its grammar or out of its range.
    BadValue(Part),
    /// RSCALE other than GREGORIAN, or SKIP other than OMIT (RFC 7529): another calendar system.
    UnsupportedScale,
}

impl fmt::Display for RuleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleError::MissingFrequency => formatter.write_str("a recurrence rule without FREQ"),
            RuleError::NotAPart => formatter.write_str("a recurrence rule part without '='"),
            RuleError::UnknownPart => formatter.write_str("an unknown recurrence rule part"),
            RuleError::Repeated(part) => write!(formatter, "{} twice in one rule", part.name()),
            RuleError::BadValue(part) => write!(formatter, "a bad value of {}", part.name()),
            RuleError::UnsupportedScale => {
                formatter.write_str("an unsupported calendar scale (RSCALE or SKIP)")
            }
        }
    }
}
impl std::error::Error for RuleError {}

impl Part {
    /// The part's name as written.
    pub fn name(self) -> &'static str {
        let row = PARTS.iter().find(|(part, _)| *part == self);
        row.expect("every part is in the table").1
    }
}

/// A weekday of BYDAY, with its number or 0 when it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberedDay {
    /// -53 to 53; 0 means every such day.
    pub ordinal: i8,
    /// Monday is 0.
    pub weekday: u8,
}

/// Numbers from 1 to 383 and their negatives; bit `n` of the array is the number `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SignedSet {
    /// Counted from the start.
    pub positive: [u64; 6],
    /// Counted from the end.
    pub negative: [u64; 6],
}

impl SignedSet {
    pub(super) fn insert(&mut self, number: i64) {
        let side = if number < 0 {
            &mut self.negative
        } else {
            &mut self.positive
        };
        let bit = number.unsigned_abs() as usize;
        side[bit / 64] |= 1 << (bit % 64);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.positive
            .iter()
            .chain(&self.negative)
            .all(|word| *word == 0)
    }

    /// Whether the `number`th (from 1) of `total` is meant, counted from either end.
    pub(super) fn holds(&self, number: i64, total: i64) -> bool {
        let bit = |set: &[u64; 6], bit: i64| {
            usize::try_from(bit).is_ok_and(|bit| bit < 384 && set[bit / 64] >> (bit % 64) & 1 == 1)
        };
        bit(&self.positive, number) || bit(&self.negative, total + 1 - number)
    }
}

/// A recurrence rule, read. An empty set means that the part is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub(super) frequency: Frequency,
    pub(super) interval: u32,
    pub(super) count: Option<u64>,
    pub(super) until: Option<CalTime>,
    /// Bit per second, minute, hour, month number.
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u32,
    pub(super) months: u16,
    pub(super) days: Vec<NumberedDay>,
    pub(super) month_days: SignedSet,
    pub(super) year_days: SignedSet,
    pub(super) weeks: SignedSet,
    /// Sorted, each once.
    pub(super) positions: Vec<i16>,
    /// Monday is 0.
    pub(super) week_start: u8,
}

impl Rule {
    /// Reads a RECUR value. Never panics, whatever the text.
    pub fn parse(value: &str) -> Result<Rule, RuleError> {
        let mut rule = Rule {
            frequency: Frequency::Yearly,
            interval: 1,
            count: None,
            until: None,
            seconds: 0,
            minutes: 0,
            hours: 0,
            months: 0,
            days: Vec::new(),
            month_days: SignedSet::default(),
            year_days: SignedSet::default(),
            weeks: SignedSet::default(),
            positions: Vec::new(),
            week_start: 0,
        };
        let mut seen: u32 = 0;
        for text in value
            .split(';')
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            let (name, value) = text.split_once('=').ok_or(RuleError::NotAPart)?;
            let name = name.trim();
            let Some(part) = PARTS
                .iter()
                .find(|(_, known)| known.eq_ignore_ascii_case(name))
            else {
                // RFC 2445 section 4.3.10 allowed parts that begin with X-; they mean nothing here.
                if name
                    .get(..2)
                    .is_some_and(|start| start.eq_ignore_ascii_case("X-"))
                {
                    continue;
                }
                return Err(RuleError::UnknownPart);
            };
            let part = part.0;
            if seen >> (part as u32) & 1 == 1 {
                return Err(RuleError::Repeated(part));
            }
            seen |= 1 << (part as u32);
            rule.set(part, value.trim())?;
        }
        if seen & 1 << (Part::Frequency as u32) == 0 {
            return Err(RuleError::MissingFrequency);
        }
        Ok(rule)
    }

    /// Takes one part's value.
    fn set(&mut self, part: Part, value: &str) -> Result<(), RuleError> {
        let bad = RuleError::BadValue(part);
        match part {
            Part::Frequency => {
                let row = FREQUENCIES
                    .iter()
                    .find(|(_, name)| name.eq_ignore_ascii_case(value));
                self.frequency = row.ok_or(bad)?.0;
            }
            Part::Until => self.until = Some(CalTime::parse(value, None).ok_or(bad)?),
            Part::Count => self.count = Some(count(value).ok_or(bad)?),
            Part::Interval => {
                let number = count(value).and_then(|number| u32::try_from(number).ok());
                self.interval = number.ok_or(bad)?;
            }
            // Second 60 is a leap second, which counts as 59 (RFC 5545 section 3.3.12).
            Part::BySecond => {
                self.seconds = bits(value, 0, 60, |second| second.min(59)).ok_or(bad)?
            }
            Part::ByMinute => self.minutes = bits(value, 0, 59, |minute| minute).ok_or(bad)?,
            Part::ByHour => {
                let hours = bits(value, 0, 23, |hour| hour).ok_or(bad)?;
                self.hours = u32::try_from(hours).map_err(|_| bad)?;
            }
            Part::ByMonth => {
                let months = bits(value, 1, 12, |month| month).ok_or(bad)?;
                self.months = u16::try_from(months).map_err(|_| bad)?;
            }
            Part::ByDay => {
                let days: Option<Vec<NumberedDay>> = value.split(',').map(numbered_day).collect();
                self.days = days.ok_or(bad)?;
            }
            Part::ByMonthDay => self.month_days = signed_set(value, 31).ok_or(bad)?,
            Part::ByYearDay => self.year_days = signed_set(value, 366).ok_or(bad)?,
            Part::ByWeekNumber => self.weeks = signed_set(value, 53).ok_or(bad)?,
            Part::BySetPosition => {
                for text in value.split(',') {
                    let number = signed(text, 366).ok_or(bad)?;
                    self.positions.push(i16::try_from(number).map_err(|_| bad)?);
                }
                self.positions.sort_unstable();
                self.positions.dedup();
            }
            Part::WeekStart => self.week_start = weekday(value).ok_or(bad)?,
            // The Gregorian scale without skipping is what RFC 5545 means anyway.
            Part::Scale if value.eq_ignore_ascii_case("GREGORIAN") => {}
            Part::Skip if value.eq_ignore_ascii_case("OMIT") => {}
            Part::Scale | Part::Skip => return Err(RuleError::UnsupportedScale),
        }
        Ok(())
    }

    /// FREQ.
    pub fn frequency(&self) -> Frequency {
        self.frequency
    }

    /// INTERVAL, 1 when absent.
    pub fn interval(&self) -> u32 {
        self.interval
    }

    /// COUNT.
    pub fn count(&self) -> Option<u64> {
        self.count
    }

    /// UNTIL, in the form in which it was written.
    pub fn until(&self) -> Option<&CalTime> {
        self.until.as_ref()
    }
}

/// A positive number; larger ones than any calendar can hold are as good as the largest.
fn count(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().unwrap_or(u64::MAX))?;
    (number > 0).then_some(number)
}

/// An unsigned number of at most three digits.
fn small(text: &str) -> Option<i64> {
    let good = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok())?
}

/// A number from -`most` to `most`, but not 0.
fn signed(text: &str, most: i64) -> Option<i64> {
    let text = text.trim();
    let number = match text.strip_prefix('-') {
        Some(text) => -small(text)?,
        None => small(text.strip_prefix('+').unwrap_or(text))?,
    };
    (number != 0 && number.abs() <= most).then_some(number)
}

fn signed_set(value: &str, most: i64) -> Option<SignedSet> {
    let mut set = SignedSet::default();
    for text in value.split(',') {
        set.insert(signed(text, most)?);
    }
    Some(set)
}

/// A list of numbers from `least` to `most` as bits, each first mapped by `fold`.
fn bits(value: &str, least: i64, most: i64, fold: fn(i64) -> i64) -> Option<u64> {
    value.split(',').try_fold(0, |bits, text| {
        let number = small(text.trim())?;
        let good = (least..=most).contains(&number);
        good.then(|| bits | 1 << fold(number))
    })
}

fn weekday(text: &str) -> Option<u8> {
    let position = WEEKDAYS
        .iter()
        .position(|name| name.eq_ignore_ascii_case(text))?;
    u8::try_from(position).ok()
}

fn numbered_day(text: &str) -> Option<NumberedDay> {
    let text = text.trim();
    // `get` rather than slicing: the text may hold characters of more than one byte.
    let split = text.len().checked_sub(2)?;
    let (number, name) = (text.get(..split)?.trim(), text.get(split..)?);
    let ordinal = if number.is_empty() {
        0
    } else {
        i8::try_from(signed(number, 53)?).ok()?
    };
    let weekday = weekday(name)?;
    Some(NumberedDay { ordinal, weekday })
}
