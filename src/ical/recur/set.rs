//! The recurrence set of one component (RFC 5545 section 3.8.5): DTSTART, RRULE and RDATE together,
//! EXRULE and EXDATE taken away, each instance with its local start (its identity, RECURRENCE-ID)
//! and its instant.

use super::super::time::{CalDuration, CalTime, DAY_SECONDS, Date, Instant, LocalTime, Period};
use super::super::zone::{Zone, Zones};
use super::engine::{Engine, LAST};
use super::rule::{Frequency, Rule};
use super::starts::Starts;
use super::{Budget, RecurError};

/// Seconds by which a zone's offset may move things: a day, since zones have changed sides of the
/// date line, and another for two changes in a row.
const OFFSET_MARGIN: i64 = 2 * DAY_SECONDS;

/// What one component says about its recurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurrence {
    /// DTSTART (or DUE of a to-do without it: the caller's choice).
    pub start: CalTime,
    /// RRULE.
    pub rules: Vec<Rule>,
    /// EXRULE (RFC 2445 section 4.8.5.2). DTSTART is not put into it by force.
    pub exclusion_rules: Vec<Rule>,
    /// RDATE.
    pub dates: Vec<RecurrenceDate>,
    /// EXDATE. A DATE takes away all instances of that day, also of a timed component.
    pub exclusions: Vec<CalTime>,
}

impl Recurrence {
    /// What does not recur.
    pub fn single(start: CalTime) -> Recurrence {
        Recurrence {
            start,
            rules: Vec::new(),
            exclusion_rules: Vec::new(),
            dates: Vec::new(),
            exclusions: Vec::new(),
        }
    }
}

/// One value of RDATE (section 3.8.5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecurrenceDate {
    /// A DATE or DATE-TIME. A DATE in a timed set takes DTSTART's time of day.
    At(CalTime),
    /// A PERIOD: an instance with its own end.
    Period(Period),
}

/// One instance's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// The start in the zone of the set: `recurrence.start.with_local(start)` is its RECURRENCE-ID.
    pub start: LocalTime,
    /// When that is.
    pub instant: Instant,
    /// `Some(i)` when only `recurrence.dates[i]` makes this instance, or when that is a PERIOD: it
    /// tells the end of the instance, also of one that a rule makes as well (section 3.8.5.3).
    pub date_index: Option<usize>,
}

/// The end of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastStart {
    /// It is empty.
    Empty,
    /// The last instance.
    At(Occurrence),
    /// A rule without COUNT and UNTIL goes on.
    Unbounded,
}

/// UNTIL as it is compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    Never,
    /// The last local second.
    Local(i64),
    /// The last instant. Local times before `sure` are surely not later, those after `last` are.
    Instant {
        until: Instant,
        sure: i64,
        last: i64,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) engine: Engine,
    pub(super) until: Until,
}

/// An instance from RDATE.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extra {
    pub(super) local: i64,
    pub(super) instant: Instant,
    pub(super) index: usize,
    pub(super) period: bool,
}

/// A recurrence set, ready to be asked. Times are seconds of the zone's local time inside.
#[derive(Debug, Clone)]
pub struct RuleSet {
    pub(super) start_as_written: CalTime,
    pub(super) zones: Zones,
    pub(super) zone: Zone,
    pub(super) start: i64,
    pub(super) rules: Vec<Source>,
    pub(super) exclusion_rules: Vec<Source>,
    /// Sorted by local time.
    pub(super) dates: Vec<Extra>,
    /// Sorted: EXDATE as local times, as instants and as days.
    pub(super) excluded: Vec<i64>,
    pub(super) excluded_instants: Vec<Instant>,
    pub(super) excluded_days: Vec<i64>,
}

impl RuleSet {
    /// Makes it ready; costs nothing that grows with the length of the recurrence.
    pub fn new(recurrence: &Recurrence, zones: &Zones) -> Result<RuleSet, RecurError> {
        let mut set = RuleSet {
            zone: zones.zone_of(&recurrence.start),
            zones: zones.clone(),
            start: recurrence.start.local().seconds(),
            start_as_written: recurrence.start.clone(),
            rules: Vec::new(),
            exclusion_rules: Vec::new(),
            dates: Vec::new(),
            excluded: Vec::new(),
            excluded_instants: Vec::new(),
            excluded_days: Vec::new(),
        };
        for rule in &recurrence.rules {
            let source = set.source(rule)?;
            // A rule that is also an exclusion rule yields nothing, and would take a step for each.
            if !recurrence.exclusion_rules.contains(rule) {
                set.rules.push(source);
            }
        }
        for rule in &recurrence.exclusion_rules {
            let source = set.source(rule)?;
            set.exclusion_rules.push(source);
        }
        for (index, date) in recurrence.dates.iter().enumerate() {
            let (RecurrenceDate::At(time) | RecurrenceDate::Period(Period { start: time, .. })) =
                date;
            let local = set.seconds_of(time);
            let instant = match time {
                CalTime::Utc(_) | CalTime::Zoned { .. } if !set.is_date() => zones.instant(time),
                _ => set.zone.local_to_instant(LocalTime::from_seconds(local)),
            };
            set.dates.push(Extra {
                local,
                instant,
                index,
                period: matches!(date, RecurrenceDate::Period(_)),
            });
        }
        // A stable sort: of equal dates the first written stays first.
        set.dates.sort_by_key(|extra| extra.local);
        for time in &recurrence.exclusions {
            set.exclude(time);
        }
        set.excluded.sort_unstable();
        set.excluded_instants.sort_unstable();
        set.excluded_days.sort_unstable();
        Ok(set)
    }

    fn source(&self, rule: &Rule) -> Result<Source, RecurError> {
        if self.is_date() && rule.frequency() < Frequency::Daily {
            return Err(RecurError::TimesOnDate);
        }
        let zoned = matches!(
            self.start_as_written,
            CalTime::Zoned { .. } | CalTime::Utc(_)
        );
        let until = match rule.until() {
            None => Until::Never,
            Some(CalTime::Date(date)) => Until::Local(day_end(*date)),
            Some(time) if self.is_date() => Until::Local(day_end(time.local().date)),
            Some(CalTime::Utc(utc)) if zoned => {
                let until = Instant(utc.seconds());
                let (least, most) = self.offsets_near(&[until]);
                Until::Instant {
                    until,
                    sure: until.0 + least,
                    last: until.0 + most,
                }
            }
            Some(time) => Until::Local(time.local().seconds()),
        };
        let start = LocalTime::from_seconds(self.start);
        Ok(Source {
            engine: Engine::new(rule, start, self.is_date()),
            until,
        })
    }

    fn exclude(&mut self, time: &CalTime) {
        match time {
            CalTime::Date(date) => self.excluded_days.push(date.days()),
            _ if self.is_date() => self.excluded_days.push(time.local().date.days()),
            CalTime::Floating(local) => self.excluded.push(local.seconds()),
            CalTime::Utc(_) | CalTime::Zoned { .. } => {
                self.excluded.push(self.seconds_of(time));
                self.excluded_instants.push(self.zones.instant(time));
            }
        }
    }

    /// The zone in which the set is evaluated: DTSTART's, or the default one.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Whether its instances are whole days.
    pub fn is_date(&self) -> bool {
        self.start_as_written.is_date()
    }

    /// The instances that start in [`from`, `to`), in the order of their local starts. In the hours
    /// after a gap of the clock their instants may be in another order.
    /// Ends after an error; an error means that nothing can be said about what follows.
    pub fn starts(&self, from: LocalTime, to: LocalTime) -> Starts<'_> {
        self.starts_between(from.seconds(), to.seconds())
    }

    /// Whether any instance starts in [`from`, `to`).
    pub fn any(&self, from: LocalTime, to: LocalTime) -> Result<bool, RecurError> {
        Ok(self.starts(from, to).next().transpose()?.is_some())
    }

    /// A window for `starts` that holds every instance which is at most `longest` long and touches
    /// the time from `from` to `to`. It may hold more: the caller compares instants afterwards.
    pub fn window(
        &self,
        from: Instant,
        to: Instant,
        longest: CalDuration,
    ) -> (LocalTime, LocalTime) {
        let length = longest.total_seconds().max(0);
        let earliest = from.plus(-length);
        let (least, most) = self.offsets_near(&[earliest, from, to]);
        // Nominal days are 23 to 25 hours long, and a long instance may span changes that the
        // samples above miss.
        let slack = if length < DAY_SECONDS {
            most - least
        } else {
            OFFSET_MARGIN
        };
        let local = |instant: Instant, offset: i64| {
            let seconds = instant.0.saturating_add(offset);
            LocalTime::from_seconds(seconds.clamp(FIRST, LAST))
        };
        (local(earliest.plus(-slack), least), local(to.plus(1), most))
    }

    /// The least and the greatest offset of the zone, in seconds east of UTC, about these instants.
    fn offsets_near(&self, instants: &[Instant]) -> (i64, i64) {
        let around = [-OFFSET_MARGIN, 0, OFFSET_MARGIN];
        let offset = |instant: Instant| i64::from(self.zone.offset_at(instant));
        let near = instants
            .iter()
            .flat_map(|instant| around.map(|seconds| offset(instant.plus(seconds))));
        near.fold((i64::MAX, i64::MIN), |(least, most), offset| {
            (least.min(offset), most.max(offset))
        })
    }

    /// A RECURRENCE-ID or EXDATE in any form as a local start of this set.
    pub fn local_of(&self, time: &CalTime) -> LocalTime {
        LocalTime::from_seconds(self.seconds_of(time))
    }

    fn seconds_of(&self, time: &CalTime) -> i64 {
        match time {
            _ if self.is_date() => time.local().date.midnight().seconds(),
            CalTime::Date(date) => date.days() * DAY_SECONDS + self.start.rem_euclid(DAY_SECONDS),
            CalTime::Floating(local) => local.seconds(),
            CalTime::Utc(_) | CalTime::Zoned { .. } => {
                if let (CalTime::Zoned { tzid, local }, CalTime::Zoned { tzid: own, .. }) =
                    (time, &self.start_as_written)
                    && tzid == own
                {
                    return local.seconds();
                }
                self.zone
                    .instant_to_local(self.zones.instant(time))
                    .seconds()
            }
        }
    }

    /// The instance with this local start, if there is one.
    pub fn find(&self, start: LocalTime) -> Result<Option<Occurrence>, RecurError> {
        let start = start.seconds();
        self.starts_between(start, start + 1).next().transpose()
    }

    /// The first instance; not DTSTART when that is excluded.
    pub fn first_start(&self) -> Result<Option<Occurrence>, RecurError> {
        self.starts_between(i64::MIN, i64::MAX).next().transpose()
    }

    /// The last instance.
    pub fn last_start(&self) -> Result<LastStart, RecurError> {
        let mut budget = Budget::new();
        let mut bound = self
            .dates
            .last()
            .map_or(self.start, |extra| extra.local.max(self.start));
        for source in &self.rules {
            let until = match source.until {
                Until::Never => None,
                Until::Local(until) => Some(until),
                Until::Instant { last, .. } => Some(last),
            };
            let counted = source.engine.count_end(&mut budget)?;
            let Some(end) = [until, counted].into_iter().flatten().min() else {
                return Ok(LastStart::Unbounded);
            };
            bound = bound.max(end);
        }
        // Looking back over spans that grow, so that both dense and sparse ends cost little.
        let first = self
            .dates
            .first()
            .map_or(self.start, |extra| extra.local.min(self.start));
        let mut before = bound.min(LAST) + 1;
        let mut span = 60;
        while before > first {
            let from = (before - span).max(first);
            let mut last = None;
            for occurrence in self.starts_between(from, before) {
                last = Some(occurrence?);
            }
            if let Some(last) = last {
                return Ok(LastStart::At(last));
            }
            before = from;
            span *= 4;
        }
        Ok(LastStart::Empty)
    }
}

/// 0000-01-01T00:00:00 as local seconds.
const FIRST: i64 = -62_167_219_200;

fn day_end(date: Date) -> i64 {
    (date.days() + 1) * DAY_SECONDS - 1
}
