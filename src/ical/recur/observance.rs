//! When the clocks change: the onsets of one STANDARD or DAYLIGHT part of a VTIMEZONE
//! (RFC 5545 section 3.6.5), which recur like any other thing, on the local time before the change.

use super::super::time::{CalTime, LocalTime};
use super::engine::Engine;
use super::rule::{Frequency, Rule};
use super::{Budget, RecurError};

/// The onsets of one observance, in seconds of the local time before them.
#[derive(Debug, Clone)]
pub(crate) struct Onsets {
    start: i64,
    /// Rules with the last local second that UNTIL allows.
    rules: Vec<(Engine, i64)>,
    /// Sorted.
    dates: Vec<i64>,
}

impl Onsets {
    /// The onsets from DTSTART on; `offset_from` (seconds east of UTC) brings UNTIL, which is in
    /// UTC here, to local time. `None` when a rule repeats within a day, as no clock change does:
    /// every question about the zone would become slow.
    pub(crate) fn new(
        start: LocalTime,
        offset_from: i32,
        rules: &[Rule],
        dates: &[CalTime],
    ) -> Option<Onsets> {
        let from = i64::from(offset_from);
        let local = |time: &CalTime| match time {
            CalTime::Utc(utc) => utc.seconds() + from,
            other => other.local().seconds(),
        };
        let mut engines = Vec::new();
        for rule in rules {
            if rule.frequency() < Frequency::Daily {
                return None;
            }
            let until = match rule.until() {
                // A DATE includes its whole day.
                Some(CalTime::Date(date)) => date.plus_days(1).midnight().seconds() - 1,
                Some(time) => local(time),
                None => i64::MAX,
            };
            engines.push((Engine::new(rule, start, false), until));
        }
        let mut dates: Vec<i64> = dates.iter().map(local).collect();
        dates.sort_unstable();
        Some(Onsets {
            start: start.seconds(),
            rules: engines,
            dates,
        })
    }

    /// The first onset of all.
    pub(crate) fn first(&self) -> i64 {
        let date = self.dates.first().copied().unwrap_or(self.start);
        date.min(self.start)
    }

    /// The last onset at or before `time`.
    pub(crate) fn last_until(&self, time: i64) -> Result<Option<i64>, RecurError> {
        let mut budget = Budget::new();
        let mut last = (self.start <= time).then_some(self.start);
        let dates = self.dates.partition_point(|date| *date <= time);
        last = last.max(self.dates[..dates].last().copied());
        for (engine, until) in &self.rules {
            let before = time.min(*until).saturating_add(1);
            last = last.max(engine.last_before(before, &mut budget)?);
        }
        Ok(last)
    }

    /// The first onset after `time`.
    pub(crate) fn next_after(&self, time: i64) -> Result<Option<i64>, RecurError> {
        let mut budget = Budget::new();
        let dates = self.dates.partition_point(|date| *date <= time);
        let mut next = [Some(self.start), self.dates.get(dates).copied()]
            .into_iter()
            .flatten()
            .filter(|onset| *onset > time)
            .min();
        for (engine, until) in &self.rules {
            let mut walk = engine.walk(time.saturating_add(1), &mut budget)?;
            if let Some(onset) = walk.next(&mut budget)?.filter(|onset| onset <= until) {
                next = Some(next.map_or(onset, |next| next.min(onset)));
            }
        }
        Ok(next)
    }
}
