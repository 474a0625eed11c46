//! When the components of an object take place: the master's recurrence, its overrides (also
//! without a master, also for "this and future"), and the questions a filter asks of them
//! (RFC 4791 section 9.9).
//!
//! Components are addressed by their path: `[2]` is the third component of the VCALENDAR,
//! `[2, 0]` the first component in that one.

use std::collections::HashSet;

use super::alarm::Alarm;
use super::kind::ComponentKind;
use super::overlap::TimeRange;
use super::recur::{Occurrence, RecurError, Recurrence, RecurrenceDate, Rule, RuleSet};
use super::shape::{Placing, Shape, plus, unanchored};
use super::time::{CalDuration, CalTime, Instant, LocalTime, Period, PeriodEnd};
use super::tree::{Calendar, Component};
use super::value::{self, TimeOrPeriod};
use super::zone::{Zone, Zones};

/// One instance of a VEVENT, VTODO or VJOURNAL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Index in the VCALENDAR of the component that describes it.
    pub component: usize,
    /// Which instance of its master it is: the local start that the rules gave it, in the zone
    /// of the master. `None` for one that belongs to no recurring master.
    pub recurrence: Option<LocalTime>,
    /// When it takes place.
    pub placing: Placing,
}

/// The instances of an object that `accept` took, ready to be asked.
pub struct Instances<'a> {
    calendar: &'a Calendar,
    zones: &'a Zones,
    pub(super) entries: Vec<Entry>,
}

/// What is known of one component of the VCALENDAR, in the order of its components.
pub(super) enum Entry {
    /// A recurring master.
    Series(Box<Series>),
    /// One instance: a master that does not recur, or an override.
    Single {
        zone: Zone,
        recurrence: Option<LocalTime>,
        placing: Placing,
        /// The series whose later instances it describes too (RANGE=THISANDFUTURE).
        continues: Option<usize>,
    },
    /// A recurrence that could not be prepared.
    Failed(RecurError),
    /// A component without instances (a time zone, free-busy, one that has no times).
    Other,
}

/// A recurring master with what its overrides take from it.
pub(super) struct Series {
    component: usize,
    rules: RuleSet,
    pub shape: Shape,
    pub recurrence: Recurrence,
    /// Instances that have an override of their own.
    replaced: HashSet<LocalTime>,
    /// Overrides for this and all future instances, in the order of time.
    futures: Vec<Future>,
    /// The longest an instance may be.
    pub longest: CalDuration,
    /// By how many seconds instances may be moved, earliest and latest.
    pub shifts: (i64, i64),
}

/// An override with RANGE=THISANDFUTURE (RFC 5545 section 3.8.4.4).
struct Future {
    from: LocalTime,
    component: usize,
    /// Seconds on the clock by which it moves each instance.
    shift: i64,
    shape: Shape,
}

impl<'a> Instances<'a> {
    /// Prepares the instances of `calendar`, whose time zones are `zones`.
    pub fn new(calendar: &'a Calendar, zones: &'a Zones) -> Instances<'a> {
        let components = &calendar.root.components;
        let mut entries: Vec<Entry> = (0..components.len())
            .map(|index| entry(components, index, zones))
            .collect();
        for index in 0..entries.len() {
            let Entry::Series(series) = &entries[index] else {
                continue;
            };
            // What an override replaces is said in its master's zone.
            let own: Vec<(usize, LocalTime, bool)> = overrides(components, index)
                .filter_map(|at| {
                    let time = value::time_of(&components[at], "RECURRENCE-ID")?;
                    let future = series.futures.iter().any(|future| future.component == at);
                    Some((at, series.rules.local_of(&time), future))
                })
                .collect();
            for (at, start, future) in own {
                if let Entry::Single {
                    recurrence,
                    continues,
                    ..
                } = &mut entries[at]
                {
                    *recurrence = Some(start);
                    *continues = future.then_some(index);
                }
            }
        }
        Instances {
            calendar,
            zones,
            entries,
        }
    }

    /// Whether the component at `path` overlaps `range`. An error says that the recurrence is
    /// too complex to tell. Components without a rule in RFC 4791 section 9.9 never overlap.
    pub fn overlaps(&self, path: &[usize], range: TimeRange) -> Result<bool, RecurError> {
        let Some((component, parent)) = self.find(path) else {
            return Ok(false);
        };
        match component.name.as_str() {
            "VFREEBUSY" => Ok(free_busy_overlaps(component, range, self.zones)),
            "VAVAILABILITY" => Ok(availability_overlaps(component, range, self.zones)),
            "VALARM" if path.len() == 2 => self.alarm_overlaps(component, parent, range),
            _ if path.len() == 1 => self.any(path[0], range, &mut |instance, _| {
                instance.placing.overlaps(range)
            }),
            _ => Ok(false),
        }
    }

    /// Whether a property of the component at `path` lies in `range`. DTSTART, DTEND and DUE of
    /// components with instances are the effective ones of each instance.
    pub fn property_overlaps(
        &self,
        path: &[usize],
        name: &str,
        range: TimeRange,
    ) -> Result<bool, RecurError> {
        if let ([index], "DTSTART" | "DTEND" | "DUE") = (path, name)
            && !matches!(self.entries.get(*index), None | Some(Entry::Other))
        {
            return self.any(*index, range, &mut |instance, _| {
                let placing = instance.placing;
                let time = if name == "DTSTART" {
                    placing.start()
                } else {
                    placing.end()
                };
                time.is_some_and(|time| range.holds(time))
            });
        }
        let Some((component, _)) = self.find(path) else {
            return Ok(false);
        };
        let mut times = component.properties(name).filter_map(value::time);
        Ok(times.any(|time| range.holds(self.zones.instant(&time))))
    }

    /// All instances that overlap `range`, at most `most`; more are `RecurError::TooComplex`.
    /// Ordered by component; in time order within one.
    pub fn within(&self, range: TimeRange, most: usize) -> Result<Vec<Instance>, RecurError> {
        let mut found = Vec::new();
        for index in 0..self.entries.len() {
            let full = self.any(index, range, &mut |instance, _| {
                if instance.placing.overlaps(range) {
                    found.push(instance.clone());
                }
                found.len() > most
            })?;
            if full {
                return Err(RecurError::TooComplex);
            }
        }
        Ok(found)
    }

    fn find(&self, path: &[usize]) -> Option<(&Component, usize)> {
        let first = *path.first()?;
        let start = self.calendar.root.components.get(first)?;
        let found = path[1..]
            .iter()
            .try_fold(start, |component, index| component.components.get(*index))?;
        Some((found, first))
    }

    fn alarm_overlaps(
        &self,
        component: &Component,
        parent: usize,
        range: TimeRange,
    ) -> Result<bool, RecurError> {
        let Some(alarm) = Alarm::of(component) else {
            return Ok(false);
        };
        if let Some(found) = alarm.absolute(range, self.zones) {
            return Ok(found);
        }
        self.any(parent, alarm.window(range), &mut |instance, zone| {
            alarm.goes_off(range, instance.placing, zone)
        })
    }

    /// Whether `test` holds for an instance that component `index` describes. Only instances
    /// that may touch `window` are tried.
    fn any(
        &self,
        index: usize,
        window: TimeRange,
        test: &mut dyn FnMut(&Instance, &Zone) -> bool,
    ) -> Result<bool, RecurError> {
        match &self.entries[index] {
            Entry::Series(series) => series.any(index, window, self.zones, test),
            Entry::Single {
                zone,
                recurrence,
                placing,
                continues,
            } => {
                let instance = Instance {
                    component: index,
                    recurrence: *recurrence,
                    placing: *placing,
                };
                if test(&instance, zone) {
                    return Ok(true);
                }
                match continues.map(|series| &self.entries[series]) {
                    Some(Entry::Series(series)) => series.any(index, window, self.zones, test),
                    _ => Ok(false),
                }
            }
            Entry::Failed(error) => Err(*error),
            Entry::Other => Ok(false),
        }
    }
}

impl Series {
    /// The components of its overrides for this and future.
    pub fn future_components(&self) -> impl Iterator<Item = usize> {
        self.futures.iter().map(|future| future.component)
    }

    /// Whether `test` holds for an instance that component `wanted` describes, among those that
    /// may touch `window`.
    fn any(
        &self,
        wanted: usize,
        window: TimeRange,
        zones: &Zones,
        test: &mut dyn FnMut(&Instance, &Zone) -> bool,
    ) -> Result<bool, RecurError> {
        // A second more on each side, for the rules that count a touch at the edge.
        let from = window.start.plus(-self.shifts.1).plus(-1);
        let to = window.end.plus(-self.shifts.0).plus(1);
        let (from, to) = self.rules.window(from, to, self.longest);
        let (first, end) = self.reign(wanted);
        let (from, to) = (
            first.map_or(from, |first| from.max(first)),
            end.map_or(to, |end| to.min(end)),
        );
        if from >= to {
            return Ok(false);
        }
        for occurrence in self.rules.starts(from, to) {
            let occurrence = occurrence?;
            if self.replaced.contains(&occurrence.start) {
                continue;
            }
            let later = self
                .futures
                .partition_point(|future| future.from <= occurrence.start);
            let future = later.checked_sub(1).map(|last| &self.futures[last]);
            let component = future.map_or(self.component, |future| future.component);
            if component != wanted {
                continue;
            }
            let placing = match future {
                Some(future) => self.moved(occurrence, future),
                None => self.placed(occurrence, zones),
            };
            let instance = Instance {
                component,
                recurrence: Some(occurrence.start),
                placing,
            };
            if test(&instance, self.rules.zone()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// From which start on, and until which, a component describes the instances of the series:
    /// without this a search for one of a component that no longer does would not end.
    fn reign(&self, component: usize) -> (Option<LocalTime>, Option<LocalTime>) {
        let own = self
            .futures
            .iter()
            .position(|future| future.component == component);
        let next = own.map_or(0, |own| own + 1);
        (
            own.map(|own| self.futures[own].from),
            self.futures.get(next).map(|future| future.from),
        )
    }

    fn placed(&self, occurrence: Occurrence, zones: &Zones) -> Placing {
        let Occurrence {
            start,
            instant,
            date_index,
        } = occurrence;
        let date = date_index.and_then(|index| self.recurrence.dates.get(index));
        match date {
            Some(RecurrenceDate::Period(period)) => self
                .shape
                .place_until(instant, period_end(period, zones).max(instant)),
            _ => self.shape.place(self.rules.zone(), start, instant),
        }
    }

    fn moved(&self, occurrence: Occurrence, future: &Future) -> Placing {
        let local =
            LocalTime::from_seconds(occurrence.start.seconds().saturating_add(future.shift));
        let zone = self.rules.zone();
        let instant = if future.shift == 0 {
            occurrence.instant
        } else {
            zone.local_to_instant(local)
        };
        future.shape.place(zone, local, instant)
    }
}

/// When a period ends.
pub(super) fn period_end(period: &Period, zones: &Zones) -> Instant {
    match &period.end {
        PeriodEnd::At(end) => zones.instant(end),
        PeriodEnd::After(duration) => {
            let zone = zones.zone_of(&period.start);
            plus(
                &zone,
                period.start.local(),
                zones.instant(&period.start),
                *duration,
            )
        }
    }
}

/// The overrides of the master at `index`: same kind, same UID, with a RECURRENCE-ID.
fn overrides(components: &[Component], index: usize) -> impl Iterator<Item = usize> {
    let uid = |component: &Component| {
        component
            .property("UID")
            .map(|uid| uid.text_value().trim().to_owned())
    };
    let master = &components[index];
    let master_uid = uid(master);
    (0..components.len()).filter(move |at| {
        let other = &components[*at];
        other.name == master.name
            && other.property("RECURRENCE-ID").is_some()
            && uid(other) == master_uid
    })
}

fn entry(components: &[Component], index: usize, zones: &Zones) -> Entry {
    let component = &components[index];
    let kind = match ComponentKind::parse(&component.name) {
        Some(kind @ (ComponentKind::Event | ComponentKind::Todo | ComponentKind::Journal)) => kind,
        _ => return Entry::Other,
    };
    let Some(shape) = Shape::of(component, kind, zones) else {
        return match unanchored(component, kind, zones) {
            Some(placing) => Entry::Single {
                zone: Zone::utc(),
                recurrence: None,
                placing,
                continues: None,
            },
            None => Entry::Other,
        };
    };
    let recurs = |name| component.property(name).is_some();
    let master = !recurs("RECURRENCE-ID");
    if master
        && ["RRULE", "RDATE", "EXDATE", "EXRULE"]
            .into_iter()
            .any(recurs)
    {
        let recurrence = recurrence(component, shape.at.clone());
        match RuleSet::new(&recurrence, zones) {
            Ok(rules) => {
                let series = series(components, index, shape, (recurrence, rules), zones);
                return Entry::Series(Box::new(series));
            }
            // An hourly rule on a date has no meaning (RFC 5545 section 3.3.10): the date remains.
            Err(RecurError::TimesOnDate) => {}
            Err(error) => return Entry::Failed(error),
        }
    }
    let zone = zones.zone_of(&shape.at);
    Entry::Single {
        zone,
        recurrence: None,
        placing: shape.placed(zones),
        continues: None,
    }
}

/// The recurrence properties of a master; what cannot be read in them is left out.
fn recurrence(component: &Component, start: CalTime) -> Recurrence {
    let rules = |name| {
        component
            .properties(name)
            .filter_map(|rule| Rule::parse(&rule.value).ok())
            .collect()
    };
    let dates = component
        .properties("RDATE")
        .flat_map(value::list)
        .map(|date| match date {
            TimeOrPeriod::Time(time) => RecurrenceDate::At(time),
            TimeOrPeriod::Period(period) => RecurrenceDate::Period(period),
        });
    let exclusions = component
        .properties("EXDATE")
        .flat_map(value::list)
        .map(|date| match date {
            TimeOrPeriod::Time(time) => time,
            TimeOrPeriod::Period(period) => period.start,
        });
    Recurrence {
        start,
        rules: rules("RRULE"),
        exclusion_rules: rules("EXRULE"),
        dates: dates.collect(),
        exclusions: exclusions.collect(),
    }
}

fn series(
    components: &[Component],
    index: usize,
    shape: Shape,
    (recurrence, rules): (Recurrence, RuleSet),
    zones: &Zones,
) -> Series {
    let mut replaced = HashSet::new();
    let mut futures = Vec::new();
    for at in overrides(components, index) {
        let other = &components[at];
        let Some(identity) = other.property("RECURRENCE-ID") else {
            continue;
        };
        let Some(time) = value::time(identity) else {
            continue;
        };
        let from = rules.local_of(&time);
        replaced.insert(from);
        let ranged = identity
            .parameter_value("RANGE")
            .is_some_and(|range| range.eq_ignore_ascii_case("THISANDFUTURE"));
        if let Some(shape) = Shape::of(other, shape.kind, zones).filter(|_| ranged) {
            let shift = rules.local_of(&shape.at).seconds() - from.seconds();
            futures.push(Future {
                from,
                component: at,
                shift,
                shape,
            });
        }
    }
    futures.sort_by_key(|future| future.from);
    let longest = longest(&recurrence, &shape, &futures, zones);
    let shifts = futures.iter().fold((0, 0), |(low, high), future| {
        (future.shift.min(low), future.shift.max(high))
    });
    Series {
        component: index,
        rules,
        shape,
        recurrence,
        replaced,
        futures,
        longest,
        shifts,
    }
}

/// A duration no instance exceeds.
fn longest(
    recurrence: &Recurrence,
    shape: &Shape,
    futures: &[Future],
    zones: &Zones,
) -> CalDuration {
    let shapes = futures
        .iter()
        .map(|future| future.shape.length)
        .chain([shape.length]);
    let periods = recurrence.dates.iter().filter_map(|date| match date {
        RecurrenceDate::Period(period) => {
            let seconds = period_end(period, zones)
                .0
                .saturating_sub(zones.instant(&period.start).0);
            Some(CalDuration {
                seconds: seconds.max(0),
                ..CalDuration::default()
            })
        }
        RecurrenceDate::At(_) => None,
    });
    shapes
        .chain(periods)
        .fold(CalDuration::default(), |longest, length| CalDuration {
            negative: false,
            weeks: longest.weeks.max(length.weeks),
            days: longest.days.max(length.days),
            seconds: longest.seconds.max(length.seconds),
        })
}

fn free_busy_overlaps(component: &Component, range: TimeRange, zones: &Zones) -> bool {
    let instant = |name| value::time_of(component, name).map(|time| zones.instant(&time));
    if let (Some(from), Some(until)) = (instant("DTSTART"), instant("DTEND")) {
        return range.overlaps_free_busy(from, until);
    }
    component
        .properties("FREEBUSY")
        .flat_map(value::list)
        .any(|item| match item {
            TimeOrPeriod::Period(period) => {
                range.overlaps_period(zones.instant(&period.start), period_end(&period, zones))
            }
            TimeOrPeriod::Time(_) => false,
        })
}

/// RFC 7953 section 7.2.2: an end left out is open.
fn availability_overlaps(component: &Component, range: TimeRange, zones: &Zones) -> bool {
    let (from, until) = availability(component, zones);
    range.start < until && range.end > from
}

/// From when to when a VAVAILABILITY holds.
pub(super) fn availability(component: &Component, zones: &Zones) -> (Instant, Instant) {
    let time = |name| value::time_of(component, name);
    let start = time("DTSTART");
    let from = start
        .as_ref()
        .map_or(Instant::MIN, |start| zones.instant(start));
    let until = match (
        time("DTEND"),
        &start,
        value::duration_of(component, "DURATION"),
    ) {
        (Some(end), _, _) => zones.instant(&end),
        (None, Some(start), Some(duration)) => {
            plus(&zones.zone_of(start), start.local(), from, duration)
        }
        _ => Instant::MAX,
    };
    (from, until)
}

#[cfg(test)]
#[path = "instances_tests.rs"]
mod tests;
