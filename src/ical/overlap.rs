//! The time-range tables of RFC 4791 section 9.9, as plain functions over instants.
//!
//! Where data breaks the rules the tables rest on (an end before its start), the duration counts
//! as zero, so that such an object is found at its start rather than never.

use super::time::Instant;

/// A CALDAV:time-range: from `start`, inclusive, to `end`, exclusive; `Instant::MIN` and
/// `Instant::MAX` stand for an attribute left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// Inclusive start.
    pub start: Instant,
    /// Exclusive end.
    pub end: Instant,
}

impl TimeRange {
    /// All of time.
    pub const ALL: TimeRange = TimeRange {
        start: Instant::MIN,
        end: Instant::MAX,
    };

    /// Whether one instant lies in it: the rule for alarms and for properties.
    pub fn holds(self, instant: Instant) -> bool {
        self.start <= instant && self.end > instant
    }

    /// The rule for VEVENT and VJOURNAL: a duration is touched by its inside, a moment by itself.
    pub fn overlaps(self, start: Instant, end: Instant) -> bool {
        if end > start {
            self.start < end && self.end > start
        } else {
            self.holds(start)
        }
    }

    /// The rule for VTODO.
    pub fn overlaps_todo(self, todo: &TodoTimes) -> bool {
        let TimeRange { start, end } = self;
        match *todo {
            TodoTimes::StartAndDuration { from, until } => {
                let until = until.max(from);
                start <= until && (end > from || end >= until)
            }
            TodoTimes::StartAndDue { from, due } => {
                (start < due || start <= from) && (end > from || end >= due)
            }
            TodoTimes::Start(from) => self.holds(from),
            TodoTimes::Due(due) => start < due && end >= due,
            TodoTimes::CreatedAndCompleted { created, completed } => {
                (start <= created || start <= completed) && (end >= created || end >= completed)
            }
            TodoTimes::Completed(completed) => start <= completed && end >= completed,
            TodoTimes::Created(created) => end > created,
            TodoTimes::None => true,
        }
    }

    /// The rule for a VFREEBUSY with DTSTART and DTEND.
    pub fn overlaps_free_busy(self, from: Instant, until: Instant) -> bool {
        self.start <= until && self.end > from
    }

    /// The rule for one period of a FREEBUSY property.
    pub fn overlaps_period(self, from: Instant, until: Instant) -> bool {
        self.start < until && self.end > from
    }

    /// Whether one of `first`, `first + every`, … (`repeats` times more) lies in it, found
    /// without counting them through. `every` is in seconds.
    pub fn holds_repeated(self, first: Instant, every: i64, repeats: u32) -> bool {
        if every <= 0 || repeats == 0 || self.start <= first {
            return self.holds(first);
        }
        let missing = i128::from(self.start.0) - i128::from(first.0);
        let every = i128::from(every);
        let steps = (missing + every - 1) / every;
        let next = i128::from(first.0) + steps * every;
        steps <= i128::from(repeats) && next < i128::from(self.end.0)
    }
}

/// Which of the properties that place a VTODO in time are there: the rows of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TodoTimes {
    /// DTSTART and DURATION.
    StartAndDuration {
        /// DTSTART.
        from: Instant,
        /// DTSTART + DURATION.
        until: Instant,
    },
    /// DTSTART and DUE.
    StartAndDue {
        /// DTSTART.
        from: Instant,
        /// DUE.
        due: Instant,
    },
    /// DTSTART alone.
    Start(Instant),
    /// DUE alone.
    Due(Instant),
    /// Neither; CREATED and COMPLETED.
    CreatedAndCompleted {
        /// CREATED.
        created: Instant,
        /// COMPLETED.
        completed: Instant,
    },
    /// Neither; COMPLETED.
    Completed(Instant),
    /// Neither; CREATED.
    Created(Instant),
    /// Nothing: it is always there.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64) -> TimeRange {
        TimeRange {
            start: Instant(start),
            end: Instant(end),
        }
    }

    /// For each start and end of a range around the times, what the row of the table says.
    fn check(name: &str, found: impl Fn(TimeRange) -> bool, condition: impl Fn(i64, i64) -> bool) {
        for start in 0..30 {
            for end in start + 1..31 {
                assert_eq!(
                    found(range(start, end)),
                    condition(start, end),
                    "{name}: [{start}, {end})"
                );
            }
        }
    }

    #[test]
    fn event_rows() {
        check(
            "duration",
            |r| r.overlaps(Instant(10), Instant(20)),
            |s, e| s < 20 && e > 10,
        );
        check(
            "moment",
            |r| r.overlaps(Instant(10), Instant(10)),
            |s, e| s <= 10 && e > 10,
        );
        check(
            "backwards",
            |r| r.overlaps(Instant(10), Instant(5)),
            |s, e| s <= 10 && e > 10,
        );
    }

    #[test]
    fn todo_rows() {
        let (a, b) = (Instant(10), Instant(20));
        type Row = (TodoTimes, fn(i64, i64) -> bool);
        let rows: [Row; 9] = [
            (TodoTimes::StartAndDuration { from: a, until: b }, |s, e| {
                s <= 20 && (e > 10 || e >= 20)
            }),
            (TodoTimes::StartAndDuration { from: a, until: a }, |s, e| {
                s <= 10 && e >= 10
            }),
            (TodoTimes::StartAndDue { from: a, due: b }, |s, e| {
                (s < 20 || s <= 10) && (e > 10 || e >= 20)
            }),
            (TodoTimes::Start(a), |s, e| s <= 10 && e > 10),
            (TodoTimes::Due(b), |s, e| s < 20 && e >= 20),
            (
                TodoTimes::CreatedAndCompleted {
                    created: a,
                    completed: b,
                },
                |s, e| (s <= 10 || s <= 20) && (e >= 10 || e >= 20),
            ),
            (TodoTimes::Completed(b), |s, e| s <= 20 && e >= 20),
            (TodoTimes::Created(a), |_, e| e > 10),
            (TodoTimes::None, |_, _| true),
        ];
        for (todo, condition) in rows {
            check(&format!("{todo:?}"), |r| r.overlaps_todo(&todo), condition);
        }
    }

    #[test]
    fn free_busy_rows() {
        let (a, b) = (Instant(10), Instant(20));
        check(
            "free-busy",
            |r| r.overlaps_free_busy(a, b),
            |s, e| s <= 20 && e > 10,
        );
        check(
            "period",
            |r| r.overlaps_period(a, b),
            |s, e| s < 20 && e > 10,
        );
    }

    #[test]
    fn repeated_alarms() {
        let counted = |s, e| (0..=2).any(|n| s <= 5 + 7 * n && e > 5 + 7 * n);
        check("repeated", |r| r.holds_repeated(Instant(5), 7, 2), counted);
        check(
            "once",
            |r| r.holds_repeated(Instant(5), 7, 0),
            |s, e| s <= 5 && e > 5,
        );
        check(
            "no interval",
            |r| r.holds_repeated(Instant(5), 0, 9),
            |s, e| s <= 5 && e > 5,
        );
        assert!(TimeRange::ALL.holds_repeated(Instant(5), i64::MAX, u32::MAX));
        assert!(!range(i64::MAX - 1, i64::MAX).holds_repeated(Instant(i64::MIN), 1, u32::MAX));
    }
}
