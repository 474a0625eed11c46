//! When a VALARM goes off (RFC 5545 sections 3.6.6, 3.8.6.2 and 3.8.6.3).

use super::overlap::TimeRange;
use super::shape::{Placing, plus};
use super::time::{CalDuration, CalTime, DAY_SECONDS, Instant};
use super::tree::Component;
use super::value;
use super::zone::{Zone, Zones};

/// Difference between a nominal day and 86,400 seconds, allowed for when looking around: two
/// zone offsets differ by less than 48 hours.
const NOMINAL_SLACK_SECONDS: i64 = 2 * DAY_SECONDS;

/// What a trigger is relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Related {
    /// The start; the DUE of a VTODO that has no start (RFC 4791 section 7.8.5).
    Start,
    /// The end; the start where there is none.
    End,
}

/// When it first goes off.
#[derive(Debug, Clone)]
pub(super) enum Trigger {
    /// Once, at a time.
    At(CalTime),
    /// With each instance.
    Relative(Related, CalDuration),
}

/// An alarm.
#[derive(Debug, Clone)]
pub(super) struct Alarm {
    pub trigger: Trigger,
    /// Seconds between repetitions; a day counts as 24 hours.
    pub every: i64,
    /// How often it goes off again.
    pub repeats: u32,
}

impl Alarm {
    /// Reads a VALARM; `None` when it has no trigger that can be read.
    pub fn of(component: &Component) -> Option<Alarm> {
        let property = component.property("TRIGGER")?;
        let trigger = match value::time(property) {
            Some(time) => Trigger::At(time),
            None => {
                let at_end = property
                    .parameter_value("RELATED")
                    .is_some_and(|to| to.eq_ignore_ascii_case("END"));
                let related = if at_end { Related::End } else { Related::Start };
                Trigger::Relative(related, CalDuration::parse(&property.value)?)
            }
        };
        let repeats = component
            .property("REPEAT")
            .and_then(|repeat| repeat.value.trim().parse().ok());
        let every = value::duration_of(component, "DURATION").map_or(0, CalDuration::total_seconds);
        Some(Alarm {
            trigger,
            every: every.max(0),
            repeats: repeats.unwrap_or(0),
        })
    }

    /// Seconds from its first going off to its last.
    pub fn repeating_seconds(&self) -> i64 {
        self.every.saturating_mul(i64::from(self.repeats))
    }

    /// Whether an absolute trigger goes off in `range`; `None` for a relative one.
    pub fn absolute(&self, range: TimeRange, zones: &Zones) -> Option<bool> {
        match &self.trigger {
            Trigger::At(time) => {
                Some(range.holds_repeated(zones.instant(time), self.every, self.repeats))
            }
            Trigger::Relative(..) => None,
        }
    }

    /// Where instances must be looked for whose alarm may go off in `range`.
    pub fn window(&self, range: TimeRange) -> TimeRange {
        let offset = match &self.trigger {
            Trigger::At(_) => 0,
            Trigger::Relative(_, offset) => offset.total_seconds(),
        };
        let latest = offset.saturating_add(self.repeating_seconds());
        TimeRange {
            start: range.start.plus(-latest).plus(-NOMINAL_SLACK_SECONDS),
            end: range.end.plus(-offset).plus(NOMINAL_SLACK_SECONDS),
        }
    }

    /// Whether it goes off in `range` for an instance in `zone`.
    pub fn goes_off(&self, range: TimeRange, placing: Placing, zone: &Zone) -> bool {
        let Trigger::Relative(related, offset) = &self.trigger else {
            return false;
        };
        let base: Option<Instant> = match related {
            Related::Start => placing.start().or(placing.end()),
            Related::End => placing.end().or(placing.start()),
        };
        base.is_some_and(|base| {
            let first = plus(zone, zone.instant_to_local(base), base, *offset);
            range.holds_repeated(first, self.every, self.repeats)
        })
    }
}
