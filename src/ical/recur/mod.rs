//! Recurrence (RFC 5545 sections 3.3.10 and 3.8.5), exact and without a horizon.
//!
//! A question about a window costs what the window holds, however far DTSTART lies back: each rule
//! is a row of periods (`engine`) into which one jumps by arithmetic. An answer is right or a named
//! error; nothing is ever cut silently. Why no crate: the ones there are step from DTSTART, panic on
//! odd texts, or ignore zones.
//!
//! What the RFC leaves open, and what is done here:
//! - DTSTART is always the first instance and counts in COUNT, even when the rule does not produce
//!   it (section 3.8.5.3 calls that set undefined); then COUNT leaves one less to the rule. With
//!   several RRULEs (undefined too), DTSTART is the first instance of each.
//! - Rules are evaluated on local time. A start in a gap of the clock is read with the offset before
//!   the gap, one that occurs twice is the first (section 3.3.5, as the last paragraphs of section
//!   3.3.10 say; its sentence that such starts are ignored contradicts them). When this makes a start
//!   in a gap coincide with another start of the set, the one in the gap is dropped as a duplicate
//!   (section 3.8.5.3); COUNT has counted it. This holds for every FREQ, so an hourly rule has no
//!   second instance in the hour that occurs twice.
//! - UNTIL bounds instants when it is in UTC and the start has a zone; otherwise the local time. A
//!   DATE as UNTIL of timed starts includes that whole day; UNTIL and COUNT together both hold.
//! - HOURLY, MINUTELY and SECONDLY rules of a DATE start are refused (`RecurError::TimesOnDate`).
//! - A start belongs to the yearly period of its own calendar year, even where BYWEEKNO names a week
//!   of the year before or after; BYSETPOS counts within that.
//! - The calendar ends with the year 9999.

mod clock;
mod days;
mod engine;
mod observance;
mod rule;
mod set;
mod starts;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt;

pub(super) use observance::Onsets;
pub use rule::{Frequency, Part, Rule, RuleError};
pub use set::{LastStart, Occurrence, Recurrence, RecurrenceDate, RuleSet};
pub use starts::Starts;

/// Why a set of instances cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecurError {
    /// The question takes more than `limits::RECURRENCE_STEPS` steps.
    TooComplex,
    /// A rule repeats by hours, minutes or seconds, but DTSTART is a DATE.
    TimesOnDate,
}

impl fmt::Display for RecurError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            RecurError::TooComplex => "a recurrence too complex to evaluate",
            RecurError::TimesOnDate => "a whole-day start with a rule that repeats within the day",
        })
    }
}
impl std::error::Error for RecurError {}

/// Steps left for one question.
#[derive(Debug, Clone)]
struct Budget {
    left: usize,
}

impl Budget {
    fn new() -> Budget {
        Budget {
            left: crate::limits::RECURRENCE_STEPS,
        }
    }

    /// Takes one step.
    fn spend(&mut self) -> Result<(), RecurError> {
        self.left = self.left.checked_sub(1).ok_or(RecurError::TooComplex)?;
        Ok(())
    }

    /// Steps taken.
    #[cfg(test)]
    fn spent(&self) -> usize {
        crate::limits::RECURRENCE_STEPS - self.left
    }
}
