//! One rule from one DTSTART, on local time that knows no zone: an endless row of periods, each
//! with a sorted set of starts, into which one can jump anywhere by arithmetic.
//!
//! Rules are first made alike: HOURLY, MINUTELY and SECONDLY rules that divide the next larger
//! unit evenly are daily rules with many times of day, and limited daily rules are monthly ones
//! that expand all their days. What is left are years, months, weeks, days and `ClockPeriods`.
//!
//! Counting (COUNT, and where COUNT ends) multiplies where periods are alike, and else uses that
//! the Gregorian calendar repeats after 400 years; a walk that found nothing in such a cycle has
//! proved that nothing is left.

use super::super::time::{DAY_SECONDS, Date, LocalTime};
use super::clock::{ALL_HOURS, ALL_SIXTY, ClockPeriods, Times, greatest_common_divisor, pick};
use super::days::{CYCLE_MONTHS, DayFilter, Month, month_first, weekday};
use super::rule::{Frequency, Rule};
use super::{Budget, RecurError};

/// 9999-12-31T23:59:59, the last second that iCalendar can write.
pub(super) const LAST: i64 = 253_402_300_799;

/// The periods of a rule; each holds the first one's position.
#[derive(Debug, Clone)]
enum Kind {
    /// A year.
    Years(i64),
    /// Months since year 0.
    Months(i64),
    /// The first day of a week.
    Weeks(i64),
    /// A day.
    Days(i64),
    /// Hours, minutes or seconds.
    Clock(Box<ClockPeriods>),
    /// Nothing ever matches.
    Never,
}

/// One rule, ready to be asked.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    pub(super) start: i64,
    pub(super) count: Option<i64>,
    interval: i64,
    kind: Kind,
    days: DayFilter,
    pub(super) times: Times,
    /// BYSETPOS, where it could not be applied to `times` once and for all.
    positions: Vec<i16>,
}

/// The starts of one period: `times` from each base.
#[derive(Debug, Clone)]
pub(super) struct Period {
    /// Local seconds.
    bases: Vec<i64>,
    /// What BYSETPOS picks of them.
    picks: Option<Vec<usize>>,
    month: Month,
}

impl Period {
    pub(super) fn new() -> Period {
        Period {
            bases: Vec::new(),
            picks: None,
            month: Month::NONE,
        }
    }

    pub(super) fn len(&self, times: &Times) -> usize {
        match &self.picks {
            Some(picks) => picks.len(),
            None => self.bases.len() * times.len(),
        }
    }

    pub(super) fn get(&self, times: &Times, index: usize) -> i64 {
        let index = self.picks.as_ref().map_or(index, |picks| picks[index]);
        self.bases[index / times.len()] + times.get(index % times.len())
    }

    /// How many of its starts are before `time`.
    pub(super) fn before(&self, times: &Times, time: i64) -> usize {
        let (mut low, mut high) = (0, self.len(times));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(times, middle) < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// What a count came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// So many starts before the given time.
    Before(i64),
    /// The wanted number was reached with the start at this time.
    Reached(i64),
}

impl Engine {
    /// The rule from `start` on. The times of a DATE start are midnight, whatever BYHOUR,
    /// BYMINUTE and BYSECOND say (section 3.3.10: they MUST be ignored).
    pub(super) fn new(rule: &Rule, start: LocalTime, is_date: bool) -> Engine {
        let mut rule = rule.clone();
        if is_date {
            (rule.hours, rule.minutes, rule.seconds) = (0, 0, 0);
        }
        // A second holds one start, which is its first and its last.
        if rule.frequency == Frequency::Secondly && rule.positions.iter().any(|at| at.abs() == 1) {
            rule.positions.clear();
        }
        let interval = i64::from(rule.interval);
        let day = start.date.days();
        let mut engine = Engine {
            start: start.seconds(),
            count: rule
                .count
                .map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
            interval,
            kind: Kind::Never,
            days: DayFilter::new(&rule, start.date),
            times: times_of(&rule, start),
            positions: rule.positions.clone(),
        };
        let into_week = (weekday(day) - i64::from(rule.week_start)).rem_euclid(7);
        let months = i64::from(start.date.year) * 12 + i64::from(start.date.month) - 1;
        engine.kind = match rule.frequency {
            Frequency::Yearly => Kind::Years(i64::from(start.date.year)),
            Frequency::Monthly => Kind::Months(months),
            Frequency::Weekly => Kind::Weeks(day - into_week),
            Frequency::Daily => Kind::Days(day),
            Frequency::Hourly | Frequency::Minutely | Frequency::Secondly => {
                engine.clock(&rule, start)
            }
        };
        if matches!(engine.kind, Kind::Days(_) | Kind::Clock(_)) && !engine.positions.is_empty() {
            engine.times = engine.times.pick(&engine.positions);
            engine.positions.clear();
        }
        if matches!(engine.kind, Kind::Days(_)) && engine.interval == 1 && !engine.days.allows_all()
        {
            engine.kind = Kind::Months(months);
        }
        if engine.times.len() == 0 {
            engine.kind = Kind::Never;
        }
        engine
    }

    /// The kind of an hourly, minutely or secondly rule; days when it divides evenly.
    fn clock(&mut self, rule: &Rule, start: LocalTime) -> Kind {
        let (unit, larger) = match rule.frequency {
            Frequency::Hourly => (3600, 24),
            Frequency::Minutely => (60, 60),
            _ => (1, 60),
        };
        let hours = if rule.hours == 0 {
            ALL_HOURS
        } else {
            rule.hours
        };
        let all_unless = |bits: u64| if bits == 0 { ALL_SIXTY } else { bits };
        let (minutes, seconds) = (all_unless(rule.minutes), all_unless(rule.seconds));
        if larger % self.interval == 0 && self.positions.is_empty() {
            let every = |first: u8| every(i64::from(first), self.interval);
            let own = self.times.clone();
            let (own_minutes, own_seconds) = match own {
                Times::Grid {
                    minutes, seconds, ..
                } => (bits(&minutes), bits(&seconds)),
                Times::List(_) => (0, 0),
            };
            self.times = match rule.frequency {
                Frequency::Hourly => {
                    let hours = u64::from(hours) & every(start.hour);
                    let hours = u32::try_from(hours).expect("a day has 24 hours");
                    Times::grid(hours, own_minutes, own_seconds)
                }
                Frequency::Minutely => {
                    Times::grid(hours, minutes & every(start.minute), own_seconds)
                }
                _ => Times::grid(hours, minutes, seconds & every(start.second)),
            };
            self.interval = 1;
            return Kind::Days(start.date.days());
        }
        let clock = ClockPeriods {
            base: self.start.div_euclid(unit) * unit,
            unit,
            step: unit * self.interval,
            days: self.days.clone(),
            hours,
            minutes,
            seconds,
        };
        if clock.unlimited() || clock.reaches_allowed_time() {
            Kind::Clock(Box::new(clock))
        } else {
            Kind::Never
        }
    }

    /// The number, from 0, of the period that holds `time`, or of the last one before it. Every
    /// start of an earlier period is before `time`.
    pub(super) fn index_of(&self, time: i64) -> i64 {
        let day = time.div_euclid(DAY_SECONDS);
        let distance = match &self.kind {
            Kind::Years(base) => i64::from(Date::from_days(day).year) - base,
            Kind::Months(base) => {
                let date = Date::from_days(day);
                i64::from(date.year) * 12 + i64::from(date.month) - 1 - base
            }
            Kind::Weeks(base) => (day - base).div_euclid(7),
            Kind::Days(base) => day - base,
            Kind::Clock(clock) => (time - clock.base).div_euclid(clock.unit),
            Kind::Never => 0,
        };
        distance.div_euclid(self.interval)
    }

    /// Periods after which the calendar repeats; `None` where that is no use.
    fn cycle(&self) -> Option<i64> {
        let units = match self.kind {
            Kind::Years(_) => CYCLE_MONTHS / 12,
            Kind::Months(_) => CYCLE_MONTHS,
            Kind::Weeks(_) => 146_097 / 7,
            Kind::Days(_) => 146_097,
            Kind::Clock(_) | Kind::Never => return None,
        };
        Some(units / greatest_common_divisor(units, self.interval))
    }

    /// Whether every period but the first has equally many starts, at the same places.
    fn periods_alike(&self) -> bool {
        match &self.kind {
            Kind::Days(_) => self.days.allows_all(),
            Kind::Weeks(_) => self.days.alike_in_all_weeks(),
            Kind::Clock(clock) => clock.unlimited(),
            _ => false,
        }
    }

    /// How many periods from `index` on, which has starts, surely have as many.
    fn run(&self, index: i64, period: &Period) -> i64 {
        match &self.kind {
            _ if self.periods_alike() => i64::MAX - index,
            Kind::Clock(clock) => clock.run(period.bases[0]),
            _ => 1,
        }
    }

    /// Loads the first period with starts from number `index` on, and says its number; `None` when
    /// there is none.
    pub(super) fn load(
        &self,
        index: i64,
        period: &mut Period,
        budget: &mut Budget,
    ) -> Result<Option<i64>, RecurError> {
        let first = index;
        let mut index = index;
        loop {
            budget.spend()?;
            if self.cycle().is_some_and(|cycle| index - first > cycle) {
                return Ok(None);
            }
            let Some(found) = self.fill(index, period, budget)? else {
                return Ok(None);
            };
            index = found;
            if !self.positions.is_empty() {
                let picks = period.picks.get_or_insert_default();
                pick(
                    &self.positions,
                    period.bases.len() * self.times.len(),
                    picks,
                );
            }
            if period.len(&self.times) > 0 {
                return Ok(Some(index));
            }
            index += 1;
        }
    }

    /// Fills in the bases of period `index`, or of a later one when a jump is cheap; `None` past
    /// the last year.
    fn fill(
        &self,
        index: i64,
        period: &mut Period,
        budget: &mut Budget,
    ) -> Result<Option<i64>, RecurError> {
        period.bases.clear();
        let distance = index.saturating_mul(self.interval);
        match &self.kind {
            Kind::Never => return Ok(None),
            Kind::Years(base) => {
                let Some(year) = year_within(base.saturating_add(distance)) else {
                    return Ok(None);
                };
                let months = (1..=12).filter(|month| self.days.has_month(*month));
                for (place, month) in months.enumerate() {
                    // A year costs as much as its months; the first has been taken.
                    if place > 0 {
                        budget.spend()?;
                    }
                    self.fill_month(year, month, period);
                }
            }
            Kind::Months(base) => {
                let months = base.saturating_add(distance);
                let Some(year) = year_within(months.div_euclid(12)) else {
                    return Ok(None);
                };
                let month = u8::try_from(months.rem_euclid(12) + 1).expect("at most 12");
                self.fill_month(year, month, period);
            }
            Kind::Weeks(base) => {
                let week = base.saturating_add(distance.saturating_mul(7));
                if week > LAST / DAY_SECONDS {
                    return Ok(None);
                }
                for day in week..week + 7 {
                    if self.days.allows(day, &mut period.month) {
                        period.bases.push(day * DAY_SECONDS);
                    }
                }
            }
            Kind::Days(base) => return self.fill_day(*base, index, period, budget),
            Kind::Clock(clock) => {
                let time = clock
                    .base
                    .saturating_add(distance.saturating_mul(clock.unit));
                if time > LAST {
                    return Ok(None);
                }
                let start = clock.next(time, &mut period.month, budget)?;
                period.bases.extend(start);
                return Ok(start.map(|start| (start - clock.base) / clock.step));
            }
        }
        Ok(Some(index))
    }

    fn fill_month(&self, year: i32, month: u8, period: &mut Period) {
        let mut days = self.days.month(year, month);
        let first = if days == 0 {
            0
        } else {
            month_first(year, month)
        };
        while days != 0 {
            let day = first + i64::from(days.trailing_zeros());
            period.bases.push(day * DAY_SECONDS);
            days &= days - 1;
        }
    }

    /// Fills in the day `index`, or jumps to the first later one that is not before an allowed day.
    fn fill_day(
        &self,
        base: i64,
        index: i64,
        period: &mut Period,
        budget: &mut Budget,
    ) -> Result<Option<i64>, RecurError> {
        let day = base.saturating_add(index.saturating_mul(self.interval));
        if day > LAST / DAY_SECONDS {
            return Ok(None);
        }
        if self.days.allows_all() || self.days.allows(day, &mut period.month) {
            period.bases.push(day * DAY_SECONDS);
            return Ok(Some(index));
        }
        let next = self.days.next(day + 1, &mut period.month, budget)?;
        // The period before the first one that reaches it: the caller goes on to the next.
        Ok(next.map(|next| (next - base + self.interval - 1) / self.interval - 1))
    }

    /// Counts this rule's own starts before `before`, COUNT aside, but stops at the `wanted`th.
    /// Costs a step for each period at most; alike periods, runs and cycles are multiplied.
    pub(super) fn counted(
        &self,
        before: i64,
        wanted: i64,
        budget: &mut Budget,
    ) -> Result<Counted, RecurError> {
        let before = before.min(LAST + 1);
        let end = self.index_of(before);
        let mut period = Period::new();
        let (mut count, mut index) = (0, 0);
        // Number of the first whole period counted, and the count until there.
        let mut cycle_start = None;
        if before <= self.start {
            return Ok(Counted::Before(0));
        }
        loop {
            let Some(found) = self.load(index, &mut period, budget)? else {
                return Ok(Counted::Before(count));
            };
            index = found;
            if index > end {
                return Ok(Counted::Before(count));
            }
            let skipped = period.before(&self.times, self.start.min(before));
            let each = (period.len(&self.times) - skipped) as i64;
            let partial = index == end;
            if partial || index == 0 {
                let here = (period.before(&self.times, before) - skipped) as i64;
                if here >= wanted - count {
                    let place = skipped + (wanted - count - 1) as usize;
                    return Ok(Counted::Reached(period.get(&self.times, place)));
                }
                count += here;
                index += 1;
                if partial {
                    return Ok(Counted::Before(count));
                }
                continue;
            }
            let run = self.run(index, &period).min(end - index);
            let needed = wanted - count;
            if needed <= run.saturating_mul(each) {
                let target = index + (needed - 1) / each;
                self.load(target, &mut period, budget)?;
                let place = ((needed - 1) % each) as usize;
                return Ok(Counted::Reached(period.get(&self.times, place)));
            }
            if let (Some(cycle), false) = (self.cycle(), self.periods_alike()) {
                let (first, counted) = *cycle_start.get_or_insert((index, count));
                let in_cycle = count - counted;
                if index == first + cycle && in_cycle > 0 {
                    let whole = ((end - index) / cycle).min((needed - 1) / in_cycle);
                    if whole > 0 {
                        count += whole * in_cycle;
                        index += whole * cycle;
                        // Once is enough: what remains is less than a cycle.
                        cycle_start = Some((i64::MIN / 2, 0));
                        continue;
                    }
                }
            }
            count += run * each;
            index += run;
        }
    }

    /// How many starts COUNT leaves to the rule. DTSTART counts as the first instance (section
    /// 3.3.10), so a DTSTART that the rule itself does not produce takes one from the rule.
    pub(super) fn allowance(&self, budget: &mut Budget) -> Result<i64, RecurError> {
        let Some(count) = self.count else {
            return Ok(i64::MAX);
        };
        let mut period = Period::new();
        let own = match self.load(0, &mut period, budget)? {
            Some(0) => {
                let place = period.before(&self.times, self.start);
                place < period.len(&self.times) && period.get(&self.times, place) == self.start
            }
            _ => false,
        };
        Ok(if own { count } else { count - 1 })
    }

    /// The start with which COUNT ends the rule: `None` without COUNT, DTSTART when the rule has
    /// none of its own.
    pub(super) fn count_end(&self, budget: &mut Budget) -> Result<Option<i64>, RecurError> {
        if self.count.is_none() {
            return Ok(None);
        }
        let wanted = self.allowance(budget)?;
        if wanted == 0 {
            return Ok(Some(self.start));
        }
        Ok(Some(match self.counted(LAST + 1, wanted, budget)? {
            Counted::Reached(last) => last,
            Counted::Before(0) => self.start,
            // The calendar ends first.
            Counted::Before(_) => LAST,
        }))
    }
}

/// A year that iCalendar can write.
fn year_within(year: i64) -> Option<i32> {
    i32::try_from(year).ok().filter(|year| *year <= 9999)
}

/// Times of day of a rule, or offsets in its hour or minute: what BY parts name, and DTSTART's
/// own hour, minute and second where they do not.
fn times_of(rule: &Rule, start: LocalTime) -> Times {
    let or_own = |bits: u64, own: u8| if bits == 0 { 1 << own } else { bits };
    let hours = if rule.frequency >= Frequency::Daily {
        or_own(u64::from(rule.hours), start.hour)
    } else {
        1
    };
    let minutes = if rule.frequency >= Frequency::Hourly {
        or_own(rule.minutes, start.minute)
    } else {
        1
    };
    let seconds = if rule.frequency >= Frequency::Minutely {
        or_own(rule.seconds, start.second)
    } else {
        1
    };
    let hours = u32::try_from(hours).expect("a day has 24 hours");
    Times::grid(hours, minutes, seconds)
}

/// `first` and all numbers below 60 that differ from it by a multiple of `step`.
fn every(first: i64, step: i64) -> u64 {
    (0..60)
        .filter(|number| (number - first) % step == 0)
        .fold(0, |bits, number| bits | 1 << number)
}

fn bits(numbers: &[u8]) -> u64 {
    numbers.iter().fold(0, |bits, number| bits | 1 << number)
}
