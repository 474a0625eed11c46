//! Which days a rule allows: BYMONTH, BYWEEKNO, BYYEARDAY, BYMONTHDAY and BYDAY (RFC 5545 section
//! 3.3.10), evaluated a month at a time as a set of 31 bits.
//!
//! Every BY part for days is a condition on a day; a yearly, monthly or weekly rule *expands* by
//! taking all days of its period that fulfil them, a finer one is *limited* by them. What the rule
//! leaves open is taken from DTSTART first, so that both are the same.

use super::super::time::{Date, days_in_month};
use super::rule::{Frequency, Rule, SignedSet};
use super::{Budget, RecurError};

/// Months of the 400 years after which the Gregorian calendar repeats, weekdays included.
pub(super) const CYCLE_MONTHS: i64 = 4_800;

/// What a number in BYDAY counts within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Month,
    Year,
}

/// The conditions on a day.
#[derive(Debug, Clone)]
pub(super) struct DayFilter {
    /// Bit per month number; 0 means every month.
    months: u16,
    month_days: SignedSet,
    year_days: SignedSet,
    weeks: SignedSet,
    /// Bit per weekday without a number.
    weekdays: u8,
    /// Weekdays with a number.
    ordinals: Vec<(i64, u8)>,
    scope: Scope,
    week_start: u8,
}

/// The allowed days of one month, kept while a walk stays in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Month {
    /// Its first day, since 1970-01-01.
    first: i64,
    length: i64,
    /// Bit per day, the 1st being bit 0.
    days: u32,
}

impl Month {
    /// A month that holds no day at all, to start a walk with.
    pub(super) const NONE: Month = Month {
        first: 0,
        length: 0,
        days: 0,
    };
}

/// A year's shape.
struct Year {
    number: i32,
    /// Days from 1970-01-01 to 1 January.
    first: i64,
    length: i64,
}

impl Year {
    fn new(number: i32) -> Year {
        let first = january_first(number);
        Year {
            number,
            first,
            length: january_first(number + 1) - first,
        }
    }

    /// Day of this year (from 0, may be negative) on which its week 1 starts: the first week with
    /// at least four days in the year.
    fn week_one(&self, week_start: u8) -> i64 {
        let into_week = (weekday(self.first) - i64::from(week_start)).rem_euclid(7);
        if into_week <= 3 {
            -into_week
        } else {
            7 - into_week
        }
    }

    /// How many weeks it has.
    fn weeks(&self, week_start: u8) -> i64 {
        let next = Year::new(self.number + 1).week_one(week_start);
        (self.length + next - self.week_one(week_start)) / 7
    }
}

/// Of the bits that are set, those that are good.
fn retain(bits: u32, good: impl Fn(i64) -> bool) -> u32 {
    let (mut left, mut kept) = (bits, 0);
    while left != 0 {
        let bit = left.trailing_zeros();
        left &= left - 1;
        kept |= u32::from(good(i64::from(bit))) << bit;
    }
    kept
}

/// The weeks that the days of a year are in.
struct Weeks {
    /// Day of the year on which week 1 starts, and how many weeks it has.
    start: i64,
    count: i64,
    /// How many the years before and after have.
    before: i64,
    after: i64,
}

impl Weeks {
    fn new(year: &Year, week_start: u8) -> Weeks {
        Weeks {
            start: year.week_one(week_start),
            count: year.weeks(week_start),
            before: Year::new(year.number - 1).weeks(week_start),
            after: Year::new(year.number + 1).weeks(week_start),
        }
    }

    /// Whether BYWEEKNO allows a day (from 0) of the year. Days at either end of a year may lie in
    /// a week of the year before or after; a day belongs to the period of its own calendar year.
    fn allow(&self, asked: &SignedSet, day: i64) -> bool {
        if day < self.start {
            return asked.holds(self.before, self.before);
        }
        let number = (day - self.start) / 7 + 1;
        if number > self.count {
            return asked.holds(1, self.after);
        }
        asked.holds(number, self.count)
    }
}

/// Monday is 0.
pub(super) fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

fn january_first(year: i32) -> i64 {
    month_first(year, 1)
}

/// The first day of a month, since 1970-01-01.
pub(super) fn month_first(year: i32, month: u8) -> i64 {
    Date {
        year,
        month,
        day: 1,
    }
    .days()
}

impl DayFilter {
    /// The conditions of `rule`, completed from DTSTART's day as section 3.3.10 says: "the
    /// appropriate minute, hour, day, or month would have been retrieved from DTSTART".
    ///
    /// BYWEEKNO without BYDAY takes DTSTART's weekday. Numbers in BYDAY count in MONTHLY and
    /// YEARLY rules only; elsewhere, where they MUST NOT stand, they are ignored.
    pub(super) fn new(rule: &Rule, start: Date) -> DayFilter {
        let coarse = rule.frequency >= Frequency::Monthly;
        let mut filter = DayFilter {
            months: rule.months,
            month_days: rule.month_days,
            year_days: rule.year_days,
            weeks: rule.weeks,
            weekdays: 0,
            ordinals: Vec::new(),
            scope: Scope::Month,
            week_start: rule.week_start,
        };
        if rule.frequency == Frequency::Yearly && rule.months == 0 {
            filter.scope = Scope::Year;
        }
        for day in &rule.days {
            if coarse && day.ordinal != 0 {
                filter.ordinals.push((i64::from(day.ordinal), day.weekday));
            } else {
                filter.weekdays |= 1 << day.weekday;
            }
        }
        let open = rule.days.is_empty() && rule.month_days.is_empty() && rule.year_days.is_empty();
        match rule.frequency {
            Frequency::Yearly if open && rule.weeks.is_empty() => {
                filter.month_days.insert(i64::from(start.day));
                if rule.months == 0 {
                    filter.months = 1 << start.month;
                }
            }
            Frequency::Yearly | Frequency::Weekly if open => {
                filter.weekdays = 1 << start.weekday();
            }
            Frequency::Monthly if open => filter.month_days.insert(i64::from(start.day)),
            _ => {}
        }
        filter
    }

    /// Whether every day is allowed.
    pub(super) fn allows_all(&self) -> bool {
        self.weekdays == 0 && self.ordinals.is_empty() && self.alike_in_all_weeks()
    }

    /// Whether nothing but plain weekdays is asked for, so that all weeks are alike.
    pub(super) fn alike_in_all_weeks(&self) -> bool {
        self.months == 0
            && self.month_days.is_empty()
            && self.year_days.is_empty()
            && self.weeks.is_empty()
            && self.ordinals.is_empty()
    }

    /// The allowed days of a month, bit 0 being the 1st.
    pub(super) fn month(&self, year: i32, month: u8) -> u32 {
        if !self.has_month(month) {
            return 0;
        }
        let length = u32::from(days_in_month(year, month));
        let first = month_first(year, month);
        let mut days: u32 = u32::MAX >> (32 - length);
        if !self.month_days.is_empty() {
            let positive = low_bits(self.month_days.positive[0] >> 1);
            // Day -1 is the last: the bits turned round, its end at the month's length.
            let negative = low_bits(self.month_days.negative[0] >> 1).reverse_bits();
            days &= positive | negative >> (32 - length);
        }
        if self.weekdays != 0 || !self.ordinals.is_empty() {
            days &= self.by_weekday(year, first, i64::from(length));
        }
        if days != 0 && !(self.year_days.is_empty() && self.weeks.is_empty()) {
            days = self.by_year(year, first, days);
        }
        days
    }

    /// The days that BYDAY allows; plain and numbered days add up.
    fn by_weekday(&self, year: i32, first: i64, length: i64) -> u32 {
        let offset = weekday(first);
        // The seven bits turned so that bit 0 is the 1st of the month, then repeated.
        let week = u64::from(self.weekdays);
        let week = (week >> offset | week << (7 - offset)) & 0x7f;
        let mut days = low_bits(week | week << 7 | week << 14 | week << 21 | week << 28);
        if self.ordinals.is_empty() {
            return days;
        }
        let (span_first, span_length) = match self.scope {
            Scope::Month => (first, length),
            Scope::Year => {
                let year = Year::new(year);
                (year.first, year.length)
            }
        };
        for &(ordinal, name) in &self.ordinals {
            let name = i64::from(name);
            let in_span = if ordinal > 0 {
                (name - weekday(span_first)).rem_euclid(7) + 7 * (ordinal - 1)
            } else {
                let last = span_length - 1;
                last - (weekday(span_first + last) - name).rem_euclid(7) + 7 * (ordinal + 1)
            };
            let in_month = span_first + in_span - first;
            if (0..span_length).contains(&in_span) && (0..length).contains(&in_month) {
                days |= 1 << in_month;
            }
        }
        days
    }

    /// Whether a month of the year can have allowed days.
    pub(super) fn has_month(&self, month: u8) -> bool {
        self.months == 0 || self.months >> month & 1 == 1
    }

    /// Of `days`, those that BYYEARDAY and BYWEEKNO allow.
    fn by_year(&self, year: i32, first: i64, days: u32) -> u32 {
        let year = Year::new(year);
        let mut days = days;
        if !self.year_days.is_empty() {
            days = retain(days, |bit| {
                let day = first + bit - year.first;
                self.year_days.holds(day + 1, year.length)
            });
        }
        if days != 0 && !self.weeks.is_empty() {
            let weeks = Weeks::new(&year, self.week_start);
            days = retain(days, |bit| {
                weeks.allow(&self.weeks, first + bit - year.first)
            });
        }
        days
    }

    /// Whether a day is allowed; `month` is the walk's memory.
    pub(super) fn allows(&self, day: i64, month: &mut Month) -> bool {
        if !(month.first..month.first + month.length).contains(&day) {
            let date = Date::from_days(day);
            *month = Month {
                first: day - i64::from(date.day) + 1,
                length: i64::from(days_in_month(date.year, date.month)),
                days: self.month(date.year, date.month),
            };
        }
        month.days >> (day - month.first) & 1 == 1
    }

    /// The first allowed day from `day` on; `None` when there is none in 400 years, which means
    /// never. Costs a step for each month.
    pub(super) fn next(
        &self,
        day: i64,
        month: &mut Month,
        budget: &mut Budget,
    ) -> Result<Option<i64>, RecurError> {
        let mut day = day;
        for _ in 0..=CYCLE_MONTHS {
            budget.spend()?;
            self.allows(day, month);
            let left = month.days >> (day - month.first);
            if left != 0 {
                return Ok(Some(day + i64::from(left.trailing_zeros())));
            }
            day = month.first + month.length;
        }
        Ok(None)
    }
}

/// The lower 32 bits.
fn low_bits(bits: u64) -> u32 {
    (bits & u64::from(u32::MAX)) as u32
}
