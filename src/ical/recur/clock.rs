//! Times within a day: the sorted times of day at which a rule's days have instances, and the
//! periods of rules finer than a day that do not divide it evenly (every 7 hours, say).

use super::super::time::DAY_SECONDS;
use super::days::{DayFilter, Month};
use super::engine::LAST;
use super::{Budget, RecurError};

/// Sorted offsets in seconds from a base (midnight, or the start of an hour or minute).
#[derive(Debug, Clone)]
pub(super) enum Times {
    /// Every combination: as a product, since BY lists may name all 86,400 seconds of a day.
    Grid {
        hours: Vec<u8>,
        minutes: Vec<u8>,
        seconds: Vec<u8>,
    },
    /// What BYSETPOS left of a grid.
    List(Vec<i64>),
}

impl Times {
    /// All combinations of the bits set.
    pub(super) fn grid(hours: u32, minutes: u64, seconds: u64) -> Times {
        Times::Grid {
            hours: numbers(u64::from(hours)),
            minutes: numbers(minutes),
            seconds: numbers(seconds),
        }
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        match self {
            Times::Grid {
                hours,
                minutes,
                seconds,
            } => hours.len() * minutes.len() * seconds.len(),
            Times::List(times) => times.len(),
        }
    }

    /// The one at `index`, which is below `len`.
    pub(super) fn get(&self, index: usize) -> i64 {
        match self {
            Times::Grid {
                hours,
                minutes,
                seconds,
            } => {
                let second = i64::from(seconds[index % seconds.len()]);
                let index = index / seconds.len();
                let minute = i64::from(minutes[index % minutes.len()]);
                i64::from(hours[index / minutes.len()]) * 3600 + minute * 60 + second
            }
            Times::List(times) => times[index],
        }
    }

    /// What `positions` (BYSETPOS) pick of them.
    pub(super) fn pick(&self, positions: &[i16]) -> Times {
        let mut picks = Vec::new();
        pick(positions, self.len(), &mut picks);
        Times::List(picks.into_iter().map(|index| self.get(index)).collect())
    }
}

/// Indexes, sorted, that BYSETPOS picks of a set of `total`.
pub(super) fn pick(positions: &[i16], total: usize, picks: &mut Vec<usize>) {
    picks.clear();
    for &position in positions {
        let magnitude = usize::from(position.unsigned_abs());
        if magnitude <= total {
            picks.push(if position < 0 {
                total - magnitude
            } else {
                magnitude - 1
            });
        }
    }
    picks.sort_unstable();
    picks.dedup();
}

/// The numbers of the bits set.
fn numbers(bits: u64) -> Vec<u8> {
    (0..64).filter(|bit| bits >> bit & 1 == 1).collect()
}

/// Periods of an hour, a minute or a second, every so many.
#[derive(Debug, Clone)]
pub(super) struct ClockPeriods {
    /// Start of the period that holds DTSTART, in local seconds.
    pub base: i64,
    /// 3600, 60 or 1.
    pub unit: i64,
    /// Seconds from one period to the next: `unit` times INTERVAL.
    pub step: i64,
    pub days: DayFilter,
    /// Allowed hours, minutes, seconds as bits; all of them when the part is absent.
    pub hours: u32,
    pub minutes: u64,
    pub seconds: u64,
}

/// All hours of a day.
pub(super) const ALL_HOURS: u32 = (1 << 24) - 1;
/// All minutes of an hour, or seconds of a minute.
pub(super) const ALL_SIXTY: u64 = (1 << 60) - 1;

impl ClockPeriods {
    /// Start of the first allowed period at or after `time`; `None` past the last year.
    /// Jumps over days, hours and minutes that are not allowed, a step for each jump.
    pub(super) fn next(
        &self,
        time: i64,
        month: &mut Month,
        budget: &mut Budget,
    ) -> Result<Option<i64>, RecurError> {
        let mut time = time.max(self.base);
        loop {
            let periods = (time - self.base + self.step - 1) / self.step;
            let start = self.base + periods * self.step;
            if start > LAST {
                return Ok(None);
            }
            let day = start.div_euclid(DAY_SECONDS);
            if !self.days.allows(day, month) {
                match self.days.next(day + 1, month, budget)? {
                    Some(day) => time = day * DAY_SECONDS,
                    None => return Ok(None),
                }
                budget.spend()?;
                continue;
            }
            match self.later_in_day(start - day * DAY_SECONDS) {
                None => return Ok(Some(start)),
                Some(later) => time = day * DAY_SECONDS + later,
            }
            budget.spend()?;
        }
    }

    /// `None` when a second of the day is allowed, else the next one that may be.
    fn later_in_day(&self, second_of_day: i64) -> Option<i64> {
        let hour = second_of_day / 3600;
        if self.hours >> hour & 1 == 0 {
            return Some(match next_bit(u64::from(self.hours), hour) {
                Some(next) => next * 3600,
                None => DAY_SECONDS,
            });
        }
        let minute = second_of_day / 60 % 60;
        if self.unit <= 60 && self.minutes >> minute & 1 == 0 {
            let minute = next_bit(self.minutes, minute).unwrap_or(60);
            return Some(hour * 3600 + minute * 60);
        }
        let second = second_of_day % 60;
        if self.unit == 1 && self.seconds >> second & 1 == 0 {
            let second = next_bit(self.seconds, second).unwrap_or(60);
            return Some(hour * 3600 + minute * 60 + second);
        }
        None
    }

    /// Whether no period is left out by a limit.
    pub(super) fn unlimited(&self) -> bool {
        self.days.allows_all()
            && self.hours == ALL_HOURS
            && self.all_minutes()
            && self.all_seconds()
    }

    fn all_minutes(&self) -> bool {
        self.unit > 60 || self.minutes == ALL_SIXTY
    }

    fn all_seconds(&self) -> bool {
        self.unit > 1 || self.seconds == ALL_SIXTY
    }

    /// How many periods from the allowed one at `start` on are surely allowed too: those up to the
    /// end of the largest span of the clock in which nothing limits.
    pub(super) fn run(&self, start: i64) -> i64 {
        let span = if !self.all_seconds() {
            1
        } else if !self.all_minutes() {
            60
        } else if self.hours != ALL_HOURS {
            3600
        } else {
            DAY_SECONDS
        };
        let end = (start.div_euclid(span) + 1) * span;
        (end - start + self.step - 1) / self.step
    }

    /// Whether any period can ever fall on an allowed time of day: the periods only reach times
    /// that differ from the first by multiples of the greatest common divisor of step and day.
    pub(super) fn reaches_allowed_time(&self) -> bool {
        let divisor = greatest_common_divisor(self.step, DAY_SECONDS);
        let base = self.base.rem_euclid(DAY_SECONDS);
        let minutes = if self.unit <= 60 { self.minutes } else { 1 };
        let seconds = if self.unit == 1 { self.seconds } else { 1 };
        let times = Times::grid(self.hours, minutes, seconds);
        (0..times.len()).any(|index| (times.get(index) - base) % divisor == 0)
    }
}

/// The next bit set after `bit`.
fn next_bit(bits: u64, bit: i64) -> Option<i64> {
    let left = bits >> bit >> 1;
    (left != 0).then(|| bit + 1 + i64::from(left.trailing_zeros()))
}

pub(super) fn greatest_common_divisor(first: i64, second: i64) -> i64 {
    if second == 0 {
        first
    } else {
        greatest_common_divisor(second, first % second)
    }
}
