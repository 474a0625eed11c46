//! An outer bound of all times at which an object may match a time range, so that most objects
//! are ruled out of a query without being read.
//!
//! It must hold for ever and for every reader, so it does not depend on the zone in which
//! floating times, dates and unknown TZIDs are read: they are read as UTC, and everything is
//! widened by three days. Three, because a zone differs from UTC by less than one day, and where
//! forms are mixed (an override in UTC of a floating master, a nominal day that bridges a change
//! of offset) two such differences add up to less than two more.

use serde::{Deserialize, Serialize};

use super::alarm::{Alarm, Related, Trigger};
use super::definitions;
use super::instances::{Entry, Instances, availability};
use super::overlap::{TimeRange, TodoTimes};
use super::recur::{LastStart, Recurrence, RecurrenceDate, RuleSet};
use super::series::{Series, period_end};
use super::shape::Placing;
use super::time::{DAY_SECONDS, Instant};
use super::tree::{Calendar, Component};
use super::value::{self, TimeOrPeriod};
use super::zone::{Zone, Zones};

/// By how much the times found are widened.
const WIDENED_SECONDS: i64 = 3 * DAY_SECONDS;

/// From the first to the last time of an object, in seconds since 1970-01-01T00:00:00Z;
/// `i64::MIN` and `i64::MAX` mean without bound. Stored in summaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// No part is earlier.
    pub first: i64,
    /// No part is later.
    pub last: i64,
    /// The `RULES` by which it was found.
    pub rules: u16,
}

/// Counts the changes of the rules in this floor after which an extent found before may be too
/// narrow. An extent found by other rules rules nothing out.
pub const RULES: u16 = 1;

impl Extent {
    /// Of an object that no time range finds.
    pub const NEVER: Extent = Extent {
        first: i64::MAX,
        last: i64::MIN,
        rules: RULES,
    };

    /// Whether a part may lie in `range`.
    pub fn touches(self, range: TimeRange) -> bool {
        let inside =
            self.first <= self.last && range.start.0 <= self.last && range.end.0 >= self.first;
        inside || self.rules != RULES
    }

    fn reach(&mut self, from: Instant, until: Instant) {
        self.first = self.first.min(from.0).min(until.0);
        self.last = self.last.max(until.0).max(from.0);
    }

    fn widened(self) -> Extent {
        if self.first > self.last {
            return Extent::NEVER;
        }
        Extent {
            first: self.first.saturating_sub(WIDENED_SECONDS),
            last: self.last.saturating_add(WIDENED_SECONDS),
            rules: RULES,
        }
    }
}

/// The extent of an object: its components, their DTSTART, DTEND and DUE, and their alarms.
/// Time ranges on other properties (LAST-MODIFIED and the like) are not covered; `Filter::windows`
/// knows.
pub fn extent(calendar: &Calendar) -> Extent {
    let zones = definitions::zones(calendar, Zone::utc());
    let instances = Instances::new(calendar, &zones);
    let mut whole = Extent::NEVER;
    for (component, entry) in calendar.root.components.iter().zip(&instances.entries) {
        let mut own = Extent::NEVER;
        match entry {
            Entry::Series(series) => series_extent(series, &zones, &mut own),
            Entry::Single { placing, .. } => placing_extent(*placing, &mut own),
            Entry::Unknown { from, placing, .. } => {
                placing_extent(*placing, &mut own);
                own.reach(*from, Instant::MAX);
            }
            Entry::Failed(_) => own.reach(Instant::MIN, Instant::MAX),
            Entry::Other => other_extent(component, &zones, &mut own),
        }
        alarms_extent(component, own, &zones, &mut whole);
        whole.first = whole.first.min(own.first);
        whole.last = whole.last.max(own.last);
    }
    // Overrides for this and future are covered by their series, alarms of theirs too.
    future_alarms(calendar, &instances, &zones, &mut whole);
    whole.widened()
}

fn placing_extent(placing: Placing, extent: &mut Extent) {
    match placing {
        Placing::Todo(TodoTimes::None) => extent.reach(Instant::MIN, Instant::MAX),
        Placing::Todo(TodoTimes::Created(created)) => extent.reach(created, Instant::MAX),
        Placing::Todo(TodoTimes::Completed(completed)) => extent.reach(completed, completed),
        Placing::Todo(TodoTimes::CreatedAndCompleted { created, completed }) => {
            extent.reach(created, completed);
        }
        _ => {
            for time in [placing.start(), placing.end()].into_iter().flatten() {
                extent.reach(time, time);
            }
        }
    }
}

fn series_extent(series: &Series, zones: &Zones, extent: &mut Extent) {
    let start = zones.instant(&series.shape.at);
    extent.reach(start, start);
    for date in &series.recurrence.dates {
        let time = match date {
            RecurrenceDate::At(time) => time,
            RecurrenceDate::Period(period) => {
                extent.reach(zones.instant(&period.start), period_end(period, zones));
                &period.start
            }
        };
        extent.reach(zones.instant(time), zones.instant(time));
        // A date and a time in one set: either takes the day as written from the other.
        let midnight = Instant(time.local().date.midnight().seconds());
        extent.reach(midnight, midnight.plus(DAY_SECONDS));
    }
    let last = rules_end(&series.recurrence, zones);
    extent.reach(start, last.max(start));
    extent.first = extent.first.saturating_add(series.shifts.0);
    let longest = series
        .longest
        .total_seconds()
        .saturating_add(series.shifts.1);
    extent.last = extent.last.saturating_add(longest);
}

/// No instance that the rules give starts later.
fn rules_end(recurrence: &Recurrence, zones: &Zones) -> Instant {
    let mut last = Instant::MIN;
    let mut counted = false;
    for rule in &recurrence.rules {
        match (rule.until(), rule.count()) {
            (Some(until), _) => last = last.max(zones.instant(until).plus(DAY_SECONDS)),
            (None, Some(_)) => counted = true,
            (None, None) => return Instant::MAX,
        }
    }
    if !counted {
        return last;
    }
    // Without exclusions: whether one hits a floating time depends on the reader's zone.
    let plain = Recurrence {
        start: recurrence.start.clone(),
        rules: recurrence
            .rules
            .iter()
            .filter(|rule| rule.until().is_none())
            .cloned()
            .collect(),
        exclusion_rules: Vec::new(),
        dates: Vec::new(),
        exclusions: Vec::new(),
    };
    match RuleSet::new(&plain, zones).and_then(|rules| rules.last_start()) {
        Ok(LastStart::At(occurrence)) => last.max(occurrence.instant),
        Ok(LastStart::Empty) => last,
        Ok(LastStart::Unbounded) | Err(_) => Instant::MAX,
    }
}

fn other_extent(component: &Component, zones: &Zones, extent: &mut Extent) {
    match &*component.name {
        "VAVAILABILITY" => {
            let (from, until) = availability(component, zones);
            extent.reach(from, until);
        }
        "VTIMEZONE" => return,
        _ => {}
    }
    for name in ["DTSTART", "DTEND", "DUE"] {
        for time in component.properties(name).filter_map(value::time) {
            extent.reach(zones.instant(&time), zones.instant(&time));
        }
    }
    for item in component.properties("FREEBUSY").flat_map(value::list) {
        if let TimeOrPeriod::Period(period) = item {
            extent.reach(zones.instant(&period.start), period_end(&period, zones));
        }
    }
}

/// Adds the alarms of `component`, whose own times are `own`.
fn alarms_extent(component: &Component, own: Extent, zones: &Zones, whole: &mut Extent) {
    for alarm in component.components("VALARM").filter_map(Alarm::of) {
        let repeating = alarm.repeating_seconds();
        match &alarm.trigger {
            Trigger::At(time) => {
                let first = zones.instant(time);
                whole.reach(first, first.plus(repeating));
            }
            Trigger::Relative(Related::Start | Related::End, offset) if own.first <= own.last => {
                let offset = offset.total_seconds();
                let last = Instant(own.last).plus(offset).plus(repeating);
                whole.reach(Instant(own.first).plus(offset), last);
            }
            Trigger::Relative(..) => {}
        }
    }
}

/// An override for this and future brings its alarms to all later instances of its series.
fn future_alarms(
    calendar: &Calendar,
    instances: &Instances<'_>,
    zones: &Zones,
    whole: &mut Extent,
) {
    for entry in &instances.entries {
        let Entry::Series(series) = entry else {
            continue;
        };
        let mut own = Extent::NEVER;
        series_extent(series, zones, &mut own);
        for index in series.future_components() {
            alarms_extent(&calendar.root.components[index], own, zones, whole);
        }
    }
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
