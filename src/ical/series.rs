//! A recurring master and what its overrides take from it: which instances the master still
//! describes, which an override for "this and future" does (RFC 5545 sections 3.8.4.4 and 3.8.5).

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use super::instances::Instance;
use super::overlap::TimeRange;
use super::recur::{Occurrence, RecurError, Recurrence, RecurrenceDate, RuleSet};
use super::shape::{Placing, Shape, plus};
use super::time::{CalDuration, Instant, LocalTime, Period, PeriodEnd};
use super::tree::Component;
use super::value;
use super::zone::{Zone, Zones};
use crate::limits;

/// What a search costs beside the instances it tries: it may pass over many without seeing one.
/// With `limits::INSTANCES_TRIED` it bounds the searches about one object.
const SEARCH_COST: usize = 5_000;

/// What may still be spent on the questions about one object.
pub(super) struct Cost(Cell<usize>);

impl Cost {
    /// Nothing spent yet.
    pub fn new() -> Cost {
        Cost(Cell::new(limits::INSTANCES_TRIED))
    }

    fn spend(&self, units: usize) -> Result<(), RecurError> {
        let left = self
            .0
            .get()
            .checked_sub(units)
            .ok_or(RecurError::TooComplex)?;
        self.0.set(left);
        Ok(())
    }
}

/// A recurring master with what its overrides take from it.
pub(super) struct Series {
    component: usize,
    rules: RuleSet,
    pub shape: Shape,
    pub recurrence: Recurrence,
    /// Its overrides by component: which instance each replaces.
    pub replaced: Vec<(usize, LocalTime)>,
    replaced_starts: HashSet<LocalTime>,
    /// Overrides for this and all future instances, in the order of time.
    futures: Vec<Future>,
    /// Where in `futures` a component is.
    positions: HashMap<usize, usize>,
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

impl Series {
    /// The series of the master at `index`, whose times are `shape`.
    pub fn new(
        components: &[Component],
        index: usize,
        shape: Shape,
        recurrence: Recurrence,
        zones: &Zones,
    ) -> Result<Series, RecurError> {
        let rules = RuleSet::new(&recurrence, zones)?;
        let mut replaced = Vec::new();
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
            replaced.push((at, from));
            let range = identity.parameter_value("RANGE");
            let ranged = range.is_some_and(|range| range.eq_ignore_ascii_case("THISANDFUTURE"));
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
        let shifts = futures.iter().fold((0, 0), |(low, high), future| {
            (future.shift.min(low), future.shift.max(high))
        });
        Ok(Series {
            component: index,
            replaced_starts: replaced.iter().map(|(_, start)| *start).collect(),
            positions: futures
                .iter()
                .enumerate()
                .map(|(at, future)| (future.component, at))
                .collect(),
            longest: longest(&recurrence, &shape, &futures, zones),
            rules,
            shape,
            recurrence,
            replaced,
            futures,
            shifts,
        })
    }

    /// Whether `component` is an override for this and future.
    pub fn continues_in(&self, component: usize) -> bool {
        self.positions.contains_key(&component)
    }

    /// The components of its overrides for this and future.
    pub fn future_components(&self) -> impl Iterator<Item = usize> {
        self.futures.iter().map(|future| future.component)
    }

    /// Whether `test` holds for an instance that component `wanted` describes, among those that
    /// may touch `window`.
    pub fn any(
        &self,
        wanted: usize,
        window: TimeRange,
        (zones, cost): (&Zones, &Cost),
        test: &mut dyn FnMut(&Instance, &Zone) -> bool,
    ) -> Result<bool, RecurError> {
        cost.spend(SEARCH_COST)?;
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
            cost.spend(1)?;
            if self.replaced_starts.contains(&occurrence.start) {
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
            let (local, placing) = match future {
                Some(future) => self.moved(occurrence, future),
                None => (occurrence.start, self.placed(occurrence, zones)),
            };
            let instance = Instance {
                component,
                recurrence: Some(occurrence.start),
                local: Some(local),
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
        let own = self.positions.get(&component).copied();
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

    fn moved(&self, occurrence: Occurrence, future: &Future) -> (LocalTime, Placing) {
        let local =
            LocalTime::from_seconds(occurrence.start.seconds().saturating_add(future.shift));
        let zone = self.rules.zone();
        let instant = if future.shift == 0 {
            occurrence.instant
        } else {
            zone.local_to_instant(local)
        };
        (local, future.shape.place(zone, local, instant))
    }

    /// The zone in which it recurs.
    pub fn zone(&self) -> &Zone {
        self.rules.zone()
    }

    /// Whether an instance that `component` replaces would have touched `range` where the rules
    /// had it. For this and future: any, up to the next override of that kind.
    pub fn replaces_in(
        &self,
        component: usize,
        range: TimeRange,
        (zones, cost): (&Zones, &Cost),
    ) -> Result<bool, RecurError> {
        cost.spend(SEARCH_COST)?;
        let Some((_, start)) = self.replaced.iter().find(|(at, _)| *at == component) else {
            return Ok(false);
        };
        if !self.continues_in(component) {
            let instant = self.zone().local_to_instant(*start);
            return Ok(self
                .shape
                .place(self.zone(), *start, instant)
                .overlaps(range));
        }
        let (from, to) = (range.start.plus(-1), range.end.plus(1));
        let (from, to) = self.rules.window(from, to, self.longest);
        let (first, end) = self.reign(component);
        let from = first.map_or(from, |first| from.max(first));
        let to = end.map_or(to, |end| to.min(end));
        if from >= to {
            return Ok(false);
        }
        for occurrence in self.rules.starts(from, to) {
            cost.spend(1)?;
            if self.placed(occurrence?, zones).overlaps(range) {
                return Ok(true);
            }
        }
        Ok(false)
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
