//! When one component takes place: its effective DTSTART, DTEND, DURATION and DUE
//! (RFC 5545 sections 3.6.1 to 3.6.3, RFC 4791 section 9.9), as something that can be put at any
//! instance of a recurrence.

use super::kind::ComponentKind;
use super::overlap::{TimeRange, TodoTimes};
use super::time::{CalDuration, CalTime, Instant, LocalTime};
use super::tree::Component;
use super::value;
use super::zone::{Zone, Zones};

/// What the recurrence of a component is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// DTSTART.
    Start,
    /// DUE, of a VTODO without DTSTART. RFC 5545 wants a DTSTART where there is an RRULE; task
    /// programs leave it out all the same.
    Due,
}

/// Which property says when a component ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// DTEND or DUE.
    Time,
    /// DURATION.
    Duration,
    /// None: a day for a date, nothing for a time.
    Unsaid,
}

/// The times of a VEVENT, VTODO or VJOURNAL that has any.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub kind: ComponentKind,
    pub at: CalTime,
    pub anchor: Anchor,
    pub ending: Ending,
    /// From start to end, never negative: days of a component of dates or of a DURATION are
    /// nominal, everything else is exact (RFC 5545 section 3.8.5.3).
    pub length: CalDuration,
}

impl Shape {
    /// Reads a component's times; `None` when it has none to start from.
    pub fn of(component: &Component, kind: ComponentKind, zones: &Zones) -> Option<Shape> {
        let end_name = match kind {
            ComponentKind::Event => "DTEND",
            ComponentKind::Todo => "DUE",
            _ => "",
        };
        let end = value::time_of(component, end_name);
        let Some(at) = value::time_of(component, "DTSTART") else {
            let at = end.filter(|_| kind == ComponentKind::Todo)?;
            let length = CalDuration::default();
            return Some(Shape {
                kind,
                at,
                anchor: Anchor::Due,
                ending: Ending::Unsaid,
                length,
            });
        };
        let duration = value::duration_of(component, "DURATION").filter(|_| !end_name.is_empty());
        let (ending, length) = match (end, duration) {
            (Some(end), _) => (Ending::Time, between(&at, &end, zones)),
            (None, Some(duration)) if duration.negative => {
                (Ending::Duration, CalDuration::default())
            }
            (None, Some(duration)) => (Ending::Duration, duration),
            (None, None) => {
                let days = u32::from(at.is_date() && kind != ComponentKind::Todo);
                (
                    Ending::Unsaid,
                    CalDuration {
                        days,
                        ..CalDuration::default()
                    },
                )
            }
        };
        Some(Shape {
            kind,
            at,
            anchor: Anchor::Start,
            ending,
            length,
        })
    }

    /// The times of an instance that starts (or is due) at `local` in `zone`, which is `instant`.
    pub fn place(&self, zone: &Zone, local: LocalTime, instant: Instant) -> Placing {
        self.place_until(instant, plus(zone, local, instant, self.length))
    }

    /// The same with an end of its own, as an RDATE with a PERIOD gives it.
    pub fn place_until(&self, from: Instant, until: Instant) -> Placing {
        if self.kind != ComponentKind::Todo {
            return Placing::Span { from, until };
        }
        Placing::Todo(match (self.anchor, self.ending) {
            (Anchor::Due, _) => TodoTimes::Due(from),
            (Anchor::Start, Ending::Time) => TodoTimes::StartAndDue { from, due: until },
            (Anchor::Start, Ending::Duration) => TodoTimes::StartAndDuration { from, until },
            (Anchor::Start, Ending::Unsaid) => TodoTimes::Start(from),
        })
    }

    /// The times of the component itself.
    pub fn placed(&self, zones: &Zones) -> Placing {
        self.place(
            &zones.zone_of(&self.at),
            self.at.local(),
            zones.instant(&self.at),
        )
    }
}

/// From one time to another: in days when both are dates, else exact; nothing when backwards.
fn between(start: &CalTime, end: &CalTime, zones: &Zones) -> CalDuration {
    if let (CalTime::Date(start), CalTime::Date(end)) = (start, end) {
        let days = u32::try_from(end.days() - start.days()).unwrap_or(0);
        return CalDuration {
            days,
            ..CalDuration::default()
        };
    }
    let seconds = zones.instant(end).0.saturating_sub(zones.instant(start).0);
    CalDuration {
        seconds: seconds.max(0),
        ..CalDuration::default()
    }
}

/// The instant a duration after `local` in `zone`, which is `instant`: days on the clock first,
/// then exact seconds.
pub(super) fn plus(
    zone: &Zone,
    local: LocalTime,
    instant: Instant,
    duration: CalDuration,
) -> Instant {
    let days = duration.nominal_days();
    let base = if days == 0 {
        instant
    } else {
        zone.local_to_instant(local.plus_days(days))
    };
    base.plus(duration.exact_seconds())
}

/// The times of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placing {
    /// Of a VEVENT or VJOURNAL.
    Span {
        /// Its start.
        from: Instant,
        /// Its effective end, never before its start.
        until: Instant,
    },
    /// Of a VTODO.
    Todo(TodoTimes),
}

impl Placing {
    /// Its start, if it has one.
    pub fn start(self) -> Option<Instant> {
        match self {
            Placing::Span { from, .. }
            | Placing::Todo(
                TodoTimes::StartAndDuration { from, .. }
                | TodoTimes::StartAndDue { from, .. }
                | TodoTimes::Start(from),
            ) => Some(from),
            Placing::Todo(_) => None,
        }
    }

    /// Its effective DTEND or DUE, if it has one.
    pub fn end(self) -> Option<Instant> {
        match self {
            Placing::Span { until, .. } => Some(until),
            Placing::Todo(TodoTimes::StartAndDuration { until, .. }) => Some(until),
            Placing::Todo(TodoTimes::StartAndDue { due, .. } | TodoTimes::Due(due)) => Some(due),
            Placing::Todo(_) => None,
        }
    }

    /// Whether it overlaps `range` by its table in RFC 4791 section 9.9.
    pub fn overlaps(&self, range: TimeRange) -> bool {
        match self {
            Placing::Span { from, until } => range.overlaps(*from, *until),
            Placing::Todo(todo) => range.overlaps_todo(todo),
        }
    }
}

/// The times of a component that `Shape` finds none in: a VTODO may be placed by CREATED and
/// COMPLETED, a VJOURNAL is never found by time.
pub(super) fn unanchored(
    component: &Component,
    kind: ComponentKind,
    zones: &Zones,
) -> Option<Placing> {
    if kind != ComponentKind::Todo {
        return None;
    }
    let instant = |name| value::time_of(component, name).map(|time| zones.instant(&time));
    Some(Placing::Todo(
        match (instant("CREATED"), instant("COMPLETED")) {
            (Some(created), Some(completed)) => {
                TodoTimes::CreatedAndCompleted { created, completed }
            }
            (None, Some(completed)) => TodoTimes::Completed(completed),
            (Some(created), None) => TodoTimes::Created(created),
            (None, None) => TodoTimes::None,
        },
    ))
}
