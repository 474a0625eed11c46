//! When the components of an object take place: the master's recurrence, its overrides (also
//! without a master, also for "this and future"), and the questions a filter asks of them
//! (RFC 4791 section 9.9).
//!
//! Components are addressed by their path: `[2]` is the third component of the VCALENDAR,
//! `[2, 0]` the first component in that one.

use super::alarm::Alarm;
use super::kind::ComponentKind;
use super::overlap::TimeRange;
use super::recur::{RecurError, Recurrence, RecurrenceDate, Rule, RuleError};
use super::series::{Cost, Series, period_end};
use super::shape::{Placing, Shape, plus, unanchored};
use super::time::{CalTime, Instant, LocalTime};
use super::tree::{Calendar, Component};
use super::value::{self, TimeOrPeriod};
use super::zone::{Zone, ZoneOrigin, Zones};

/// One instance of a VEVENT, VTODO or VJOURNAL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Index in the VCALENDAR of the component that describes it.
    pub component: usize,
    /// Which instance of its master it is: the local start that the rules gave it, in the zone
    /// of the master. `None` for one that belongs to no recurring master.
    pub recurrence: Option<LocalTime>,
    /// Its own local start, or due time where there is no start: in the zone of the master, or
    /// as the component says it. `None` for one without either.
    pub local: Option<LocalTime>,
    /// When it takes place.
    pub placing: Placing,
}

/// Why the instances in a window cannot be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithinError {
    /// There are more than were allowed.
    TooMany,
    /// The recurrence is too complex to tell.
    Recurrence(RecurError),
}

impl From<RecurError> for WithinError {
    fn from(error: RecurError) -> Self {
        WithinError::Recurrence(error)
    }
}

/// The instances of an object that `accept` took, ready to be asked the questions of one request;
/// all of them together may cost `limits::INSTANCES_TRIED`.
pub struct Instances<'a> {
    calendar: &'a Calendar<'a>,
    zones: &'a Zones,
    cost: Cost,
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
        local: Option<LocalTime>,
        placing: Placing,
        /// The series that it belongs to.
        series: Option<usize>,
        /// The series whose later instances it describes too (RANGE=THISANDFUTURE).
        continues: Option<usize>,
    },
    /// A master whose rule is of another calendar system (RSCALE, RFC 7529), which is not
    /// expanded here: any time from its start on may be one of its instances, and the client,
    /// who knows better, is given it.
    Unknown {
        zone: Zone,
        from: Instant,
        placing: Placing,
    },
    /// A recurrence that could not be prepared.
    Failed(RecurError),
    /// A component without instances (a time zone, free-busy, one that has no times).
    Other,
}

impl<'a> Instances<'a> {
    /// Prepares the instances of `calendar`, whose time zones are `zones`.
    pub fn new(calendar: &'a Calendar<'a>, zones: &'a Zones) -> Instances<'a> {
        let components = &calendar.root.components;
        let mut entries: Vec<Entry> = (0..components.len())
            .map(|index| entry(components, index, zones))
            .collect();
        for index in 0..entries.len() {
            let Entry::Series(series) = &entries[index] else {
                continue;
            };
            let own: Vec<(usize, LocalTime, bool)> = series
                .replaced
                .iter()
                .map(|(at, start)| (*at, *start, series.continues_in(*at)))
                .collect();
            for (at, start, future) in own {
                if let Entry::Single {
                    recurrence,
                    series,
                    continues,
                    ..
                } = &mut entries[at]
                {
                    *recurrence = Some(start);
                    *series = Some(index);
                    *continues = future.then_some(index);
                }
            }
        }
        Instances {
            calendar,
            zones,
            cost: Cost::new(),
            entries,
        }
    }

    /// Whether the component at `path` overlaps `range`. An error says that the recurrence is
    /// too complex to tell. Components without a rule in RFC 4791 section 9.9 never overlap.
    pub fn overlaps(&self, path: &[usize], range: TimeRange) -> Result<bool, RecurError> {
        let Some((component, parent)) = self.find(path) else {
            return Ok(false);
        };
        match &*component.name {
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

    /// All instances that overlap `range`, at most `most`, ordered by component; in time order
    /// within one.
    pub fn within(&self, range: TimeRange, most: usize) -> Result<Vec<Instance>, WithinError> {
        let mut found = Vec::new();
        for index in 0..self.entries.len() {
            found.append(&mut self.of(index, range, most - found.len())?);
        }
        Ok(found)
    }

    /// All instances described by component `index` that overlap `range`, at most `most`, in
    /// time order.
    pub fn of(
        &self,
        index: usize,
        range: TimeRange,
        most: usize,
    ) -> Result<Vec<Instance>, WithinError> {
        let mut found = Vec::new();
        if let Some(Entry::Unknown { placing, .. }) = self.entries.get(index) {
            let instance = Instance {
                component: index,
                recurrence: None,
                local: None,
                placing: *placing,
            };
            found.extend(Some(instance).filter(|_| placing.overlaps(range)));
            return Ok(found);
        }
        let full = self.any(index, range, &mut |instance, _| {
            if instance.placing.overlaps(range) {
                found.push(instance.clone());
            }
            found.len() > most
        })?;
        if full {
            return Err(WithinError::TooMany);
        }
        Ok(found)
    }

    /// Which instance of its master this is, as RECURRENCE-ID says it and in the form that the
    /// master's DTSTART has (UTC for a zone that is known): `None` where there is no recurring master.
    pub fn identity(&self, instance: &Instance) -> Option<CalTime> {
        let start = instance.recurrence?;
        let of = match self.entries.get(instance.component)? {
            Entry::Single { series, .. } => (*series)?,
            _ => instance.component,
        };
        let Entry::Series(series) = self.entries.get(of)? else {
            return None;
        };
        match &series.shape.at {
            at @ (CalTime::Date(_) | CalTime::Floating(_)) => return Some(at.with_local(start)),
            CalTime::Zoned { tzid, .. } if self.zones.resolve(tzid).1 == ZoneOrigin::Unknown => {
                return Some(CalTime::Floating(start));
            }
            CalTime::Utc(_) | CalTime::Zoned { .. } => {}
        }
        // the instance itself knows better which of two equal readings of a clock it is
        let own = instance.placing.start().or(instance.placing.end());
        let instant = match own.filter(|_| of == instance.component) {
            Some(own) => own,
            None => series.zone().local_to_instant(start),
        };
        Some(CalTime::Utc(Zone::utc().instant_to_local(instant)))
    }

    /// Whether component `index` replaces an instance that would have overlapped `range`. One
    /// without a master replaces one of its own length.
    pub fn replaces_in(&self, index: usize, range: TimeRange) -> Result<bool, RecurError> {
        let Some(Entry::Single { zone, series, .. }) = self.entries.get(index) else {
            return Ok(false);
        };
        if let Some(Entry::Series(series)) = series.map(|series| &self.entries[series]) {
            return series.replaces_in(index, range, (self.zones, &self.cost));
        }
        let component = &self.calendar.root.components[index];
        let kind = ComponentKind::parse(&component.name);
        let shape = kind.and_then(|kind| Shape::of(component, kind, self.zones));
        let (Some(shape), Some(start)) = (shape, value::time_of(component, "RECURRENCE-ID")) else {
            return Ok(false);
        };
        let start = self.zones.instant(&start);
        let placing = shape.place(zone, zone.instant_to_local(start), start);
        Ok(placing.overlaps(range))
    }

    fn find(&self, path: &[usize]) -> Option<(&Component<'_>, usize)> {
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
            Entry::Series(series) => series.any(index, window, (self.zones, &self.cost), test),
            Entry::Single {
                zone,
                recurrence,
                local,
                placing,
                continues,
                ..
            } => {
                let instance = Instance {
                    component: index,
                    recurrence: *recurrence,
                    local: *local,
                    placing: *placing,
                };
                if test(&instance, zone) {
                    return Ok(true);
                }
                match continues.map(|series| &self.entries[series]) {
                    Some(Entry::Series(series)) => {
                        series.any(index, window, (self.zones, &self.cost), test)
                    }
                    _ => Ok(false),
                }
            }
            Entry::Unknown {
                zone,
                from,
                placing,
            } => {
                let instance = Instance {
                    component: index,
                    recurrence: None,
                    local: None,
                    placing: *placing,
                };
                Ok(test(&instance, zone) || window.end > *from)
            }
            Entry::Failed(error) => Err(*error),
            Entry::Other => Ok(false),
        }
    }
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
                local: None,
                placing,
                series: None,
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
        let Some(recurrence) = recurrence(component, shape.at.clone()) else {
            let (zone, from) = (zones.zone_of(&shape.at), zones.instant(&shape.at));
            let placing = shape.placed(zones);
            return Entry::Unknown {
                zone,
                from,
                placing,
            };
        };
        match Series::new(components, index, shape.clone(), recurrence, zones) {
            Ok(series) => return Entry::Series(Box::new(series)),
            // An hourly rule on a date has no meaning (RFC 5545 section 3.3.10): the date remains.
            Err(RecurError::TimesOnDate) => {}
            Err(error) => return Entry::Failed(error),
        }
    }
    let zone = zones.zone_of(&shape.at);
    Entry::Single {
        zone,
        recurrence: None,
        local: Some(shape.at.local()),
        placing: shape.placed(zones),
        series: None,
        continues: None,
    }
}

/// The recurrence properties of a master; what cannot be read in them is left out. `None` when
/// a rule is of another calendar system.
fn recurrence(component: &Component, start: CalTime) -> Option<Recurrence> {
    let rules = |name| -> Option<Vec<Rule>> {
        let mut rules = Vec::new();
        for property in component.properties(name) {
            match Rule::parse(&property.value) {
                Ok(rule) => rules.push(rule),
                Err(RuleError::UnsupportedScale) => return None,
                Err(_) => {}
            }
        }
        Some(rules)
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
    Some(Recurrence {
        start,
        rules: rules("RRULE")?,
        exclusion_rules: rules("EXRULE")?,
        dates: dates.collect(),
        exclusions: exclusions.collect(),
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
