//! CALDAV:expand (RFC 4791 section 9.6.5): an object as one component for each of its instances
//! in a range, with times in UTC, without recurrence properties and without time zones.
//!
//! Lines that say no time are copied as they were received; the others are written anew from
//! parsed times, so that nothing can come in by them (HARDENING H21). Dates stay dates. A
//! floating time becomes UTC where somebody said in which zone to read it (RFC 4791 section
//! 7.3); where nobody did it stays floating, since any instant would be a guess.
//!
//! What cannot be written out is given as received, with the object's time zones: a rule of
//! another calendar system (RSCALE), and VAVAILABILITY, whose recurrence is in its parts.

use super::edit::changed_line;
use super::instances::{Entry, Instance, Instances, WithinError};
use super::kind::ComponentKind;
use super::line::{Parameter, Property, Span};
use super::overlap::TimeRange;
use super::project::{Part, parts};
use super::shape::{Anchor, Ending, Shape};
use super::time::{CalTime, Instant, LocalTime, Period, PeriodEnd};
use super::tree::{Calendar, Component};
use super::value::{self, TimeOrPeriod};
use super::zone::{Zone, ZoneOrigin, Zones};
use crate::limits;

/// What one answer may still hold of expanded instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Instances.
    pub instances: usize,
    /// Bytes of their text.
    pub bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Room {
            instances: limits::INSTANCES_PER_ANSWER,
            bytes: limits::EXPANDED_BYTES,
        }
    }
}

impl Room {
    fn take(&mut self, instances: usize, bytes: usize) -> Result<(), WithinError> {
        let left = |had: usize, taken| had.checked_sub(taken).ok_or(WithinError::TooMany);
        self.instances = left(self.instances, instances)?;
        self.bytes = left(self.bytes, bytes)?;
        Ok(())
    }
}

/// What becomes of floating times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floating {
    /// They stay, since nobody said in which zone to read them.
    Stays,
    /// They are read in the default zone of `Zones`.
    Read,
}

/// The instances of an object that overlap `range`, each as a component.
///
/// # Errors
/// When `room` does not suffice, or the recurrence is too complex to tell.
pub fn expand(
    bytes: &[u8],
    calendar: &Calendar,
    (zones, floating): (&Zones, Floating),
    range: TimeRange,
    room: &mut Room,
) -> Result<Vec<u8>, WithinError> {
    let instances = Instances::new(calendar, zones);
    let clock = Clock { zones, floating };
    let root = &calendar.root;
    let mut answer = Vec::with_capacity(bytes.len());
    answer.extend_from_slice(root.begin.of(bytes));
    for property in &root.properties {
        answer.extend_from_slice(property.span.of(bytes));
    }
    let mut found = instances.within(range, room.instances)?;
    found.retain(|instance| is_written_out(&instances, instance.component));
    found.sort_by_key(|instance| instance.placing.start().or(instance.placing.end()));
    let others = others(root, &instances, range)?;
    if others.iter().any(|other| other.keeps_zones) {
        for zone in root.components("VTIMEZONE") {
            answer.extend_from_slice(zone.span.of(bytes));
        }
    }
    room.take(0, answer.len())?;
    let mut templates: Vec<Option<Template<'_>>> = Vec::new();
    templates.resize_with(root.components.len(), || None);
    for instance in &found {
        let component = &root.components[instance.component];
        let template = templates[instance.component]
            .get_or_insert_with(|| Template::of(bytes, component, &clock));
        let before = answer.len();
        template.write(instance, instances.identity(instance), &mut answer);
        room.take(1, answer.len() - before)?;
    }
    for other in others {
        let before = answer.len();
        if other.keeps_zones {
            answer.extend_from_slice(other.component.span.of(bytes));
        } else {
            let mut pieces = Vec::new();
            copy_pieces(other.component, &clock, &mut pieces);
            for piece in &pieces {
                answer.extend_from_slice(piece.fixed(bytes));
            }
        }
        room.take(1, answer.len() - before)?;
    }
    answer.extend_from_slice(root.end.of(bytes));
    Ok(answer)
}

fn is_written_out(instances: &Instances<'_>, component: usize) -> bool {
    !matches!(
        instances.entries.get(component),
        Some(Entry::Unknown { .. })
    )
}

/// A component that is given once.
struct Other<'a> {
    component: &'a Component<'a>,
    /// Whether it is given as received, and its time zones with it.
    keeps_zones: bool,
}

/// Components without instances to write out: free-busy and the like in the range, and all of
/// which no time is defined.
fn others<'a>(
    root: &'a Component<'a>,
    instances: &Instances<'_>,
    range: TimeRange,
) -> Result<Vec<Other<'a>>, WithinError> {
    let mut others = Vec::new();
    for (index, component) in root.components.iter().enumerate() {
        let unknown = !is_written_out(instances, index);
        if component.name == "VTIMEZONE"
            || !(unknown || matches!(instances.entries[index], Entry::Other))
        {
            continue;
        }
        if ComponentKind::parse(&component.name).is_none() || instances.overlaps(&[index], range)? {
            others.push(Other {
                component,
                keeps_zones: unknown || component.name == "VAVAILABILITY",
            });
        }
    }
    Ok(others)
}

/// How times are written.
struct Clock<'a> {
    zones: &'a Zones,
    floating: Floating,
}

impl Clock<'_> {
    /// A time without reference to a time zone.
    fn read(&self, time: &CalTime) -> CalTime {
        match time {
            CalTime::Date(_) | CalTime::Utc(_) => time.clone(),
            CalTime::Floating(local) | CalTime::Zoned { local, .. } if self.stays(time) => {
                CalTime::Floating(*local)
            }
            _ => utc(self.zones.instant(time)),
        }
    }

    /// Whether it is floating, or as good as that, and stays so.
    fn stays(&self, time: &CalTime) -> bool {
        self.floating == Floating::Stays
            && match time {
                CalTime::Floating(_) => true,
                CalTime::Zoned { tzid, .. } => self.zones.resolve(tzid).1 == ZoneOrigin::Unknown,
                _ => false,
            }
    }

    /// The time of an instance, in the form that `like` is written in: `local` is its clock
    /// reading, `instant` when it is.
    fn write(&self, like: &CalTime, local: LocalTime, instant: Instant) -> CalTime {
        match like {
            CalTime::Date(_) => CalTime::Date(local.date),
            _ if self.stays(like) => CalTime::Floating(local),
            _ => utc(instant),
        }
    }
}

fn utc(instant: Instant) -> CalTime {
    CalTime::Utc(Zone::utc().instant_to_local(instant))
}

fn text(time: &CalTime) -> String {
    match time {
        CalTime::Date(date) => date.to_string(),
        CalTime::Utc(local) => format!("{local}Z"),
        CalTime::Floating(local) | CalTime::Zoned { local, .. } => local.to_string(),
    }
}

/// The line of a property that says one time.
fn time_line(name: &str, parameters: &[Parameter], time: &CalTime) -> String {
    let date: &[(&str, &str)] = if time.is_date() {
        &[("VALUE", "DATE")]
    } else {
        &[]
    };
    let without = ["TZID", "VALUE", "RANGE"];
    changed_line(name, date, parameters, &without, &text(time))
}

/// A line that names a time zone, with its times in UTC; `None` where it stays as received.
fn changed(property: &Property, clock: &Clock<'_>) -> Option<String> {
    property.parameter("TZID")?;
    let one = |item: TimeOrPeriod| match item {
        TimeOrPeriod::Time(time) => text(&clock.read(&time)),
        TimeOrPeriod::Period(Period { start, end }) => {
            let end = match end {
                PeriodEnd::At(end) => clock.read(&end),
                PeriodEnd::After(_) => {
                    let period = Period {
                        start: start.clone(),
                        end,
                    };
                    utc(super::series::period_end(&period, clock.zones))
                }
            };
            format!("{}/{}", text(&clock.read(&start)), text(&end))
        }
    };
    let items: Vec<String> = value::list(property).map(one).collect();
    if items.len() != property.value.split(',').count() {
        // whatever it says, it is no time
        return None;
    }
    Some(changed_line(
        &property.name,
        &[],
        &property.parameters,
        &["TZID"],
        &items.join(","),
    ))
}

/// A part of the text of an instance.
enum Piece<'a> {
    /// Lines as they were received.
    Received(Span),
    /// A line written anew, the same in all instances.
    Fixed(Vec<u8>),
    /// DTSTART, or the DUE that is counted from.
    Start(&'a Property<'a>),
    /// Which instance it is: RECURRENCE-ID, or where it goes.
    Identity(Option<&'a Property<'a>>),
    /// DTEND or DUE.
    End(&'a Property<'a>),
    /// DURATION.
    Duration(&'a Property<'a>),
    /// Where DTEND goes when an instance has one that its component does not tell.
    NoEnd(&'a Property<'a>),
}

impl Piece<'_> {
    /// What it is in all instances; nothing of one that differs.
    fn fixed<'s>(&'s self, bytes: &'s [u8]) -> &'s [u8] {
        match self {
            Piece::Received(span) => span.of(bytes),
            Piece::Fixed(text) => text,
            _ => &[],
        }
    }
}

/// A component, ready to be written for each of its instances.
struct Template<'a> {
    clock: &'a Clock<'a>,
    bytes: &'a [u8],
    shape: Option<Shape>,
    pieces: Vec<Piece<'a>>,
}

impl<'a> Template<'a> {
    fn of(bytes: &'a [u8], component: &'a Component<'a>, clock: &'a Clock<'a>) -> Template<'a> {
        let kind = ComponentKind::parse(&component.name);
        let shape = kind.and_then(|kind| Shape::of(component, kind, clock.zones));
        let mut pieces = vec![Piece::Received(component.begin)];
        for part in parts(component) {
            match part {
                Part::Property(property) => {
                    property_pieces((component, property), &shape, clock, &mut pieces);
                }
                Part::Component(inner) => copy_pieces(inner, clock, &mut pieces),
            }
        }
        push_received(component.end, &mut pieces);
        Template {
            clock,
            bytes,
            shape,
            pieces,
        }
    }

    fn write(&self, instance: &Instance, identity: Option<CalTime>, answer: &mut Vec<u8>) {
        for piece in &self.pieces {
            let text = match piece {
                Piece::Received(_) | Piece::Fixed(_) => {
                    answer.extend_from_slice(piece.fixed(self.bytes));
                    continue;
                }
                Piece::Identity(property) => self.identity(*property, identity.as_ref()),
                Piece::Start(property) => self.start(property, instance),
                Piece::End(property) => self.end(&property.name, property, instance),
                Piece::Duration(property) if self.still_lasts(property, instance) => {
                    answer.extend_from_slice(property.span.of(self.bytes));
                    continue;
                }
                Piece::Duration(property) => self.end(self.end_name(), property, instance),
                Piece::NoEnd(property) if self.ends_later(instance) => {
                    self.end(self.end_name(), property, instance)
                }
                Piece::NoEnd(_) => continue,
            };
            answer.extend_from_slice(text.as_bytes());
        }
    }

    fn identity(&self, property: Option<&Property>, identity: Option<&CalTime>) -> String {
        let own = property.and_then(value::time);
        let clock = self.clock;
        let name = "RECURRENCE-ID";
        match (property, identity) {
            (Some(property), Some(time)) => {
                time_line(name, &property.parameters, &clock.read(time))
            }
            // it belongs to no master, and says itself which it is
            (Some(property), None) => match own {
                Some(own) => time_line(name, &property.parameters, &clock.read(&own)),
                None => String::from_utf8_lossy(property.span.of(self.bytes)).into_owned(),
            },
            (None, Some(time)) => time_line(name, &[], &clock.read(time)),
            (None, None) => String::new(),
        }
    }

    fn start(&self, property: &Property, instance: &Instance) -> String {
        let time = self.shape.as_ref().and_then(|shape| {
            let at = instance.placing.start().or(instance.placing.end())?;
            Some(self.clock.write(&shape.at, instance.local?, at))
        });
        match time {
            Some(time) => time_line(&property.name, &property.parameters, &time),
            None => String::from_utf8_lossy(property.span.of(self.bytes)).into_owned(),
        }
    }

    fn end_name(&self) -> &'static str {
        match &self.shape {
            Some(shape) if shape.kind == ComponentKind::Todo => "DUE",
            _ => "DTEND",
        }
    }

    fn end(&self, name: &str, property: &Property, instance: &Instance) -> String {
        let (Some(shape), Some(until)) = (&self.shape, instance.placing.end()) else {
            return String::new();
        };
        let said = value::time(property).filter(|_| property.name == name);
        let like = said.unwrap_or_else(|| shape.at.clone());
        let local = match (&shape.at, &like, instance.local) {
            // whole days, wherever one is
            (CalTime::Date(_), CalTime::Date(_), Some(start)) => {
                start.plus_days(shape.length.nominal_days())
            }
            _ => self.clock.zones.default_zone().instant_to_local(until),
        };
        let parameters: &[Parameter] = if property.name == name {
            &property.parameters
        } else {
            &[]
        };
        time_line(name, parameters, &self.clock.write(&like, local, until))
    }

    /// Whether DURATION says in UTC what it said before: days are nominal, and an instance from
    /// an RDATE may have a length of its own.
    fn still_lasts(&self, property: &Property, instance: &Instance) -> bool {
        let times = (instance.placing.start(), instance.placing.end());
        let (Some(shape), (Some(from), Some(until))) = (&self.shape, times) else {
            return true;
        };
        // a negative one counts as zero, and stays what it is
        shape.at.is_date()
            || property.value.trim_ascii_start().starts_with('-')
            || from.plus(shape.length.total_seconds()) == until
    }

    fn ends_later(&self, instance: &Instance) -> bool {
        let times = (instance.placing.start(), instance.placing.end());
        matches!(times, (Some(from), Some(until)) if until > from)
    }
}

/// Lines as received, in one piece with what stands before them where nothing was between.
fn push_received(span: Span, pieces: &mut Vec<Piece<'_>>) {
    match pieces.last_mut() {
        Some(Piece::Received(before)) if before.end == span.start => before.end = span.end,
        _ => pieces.push(Piece::Received(span)),
    }
}

fn push_line(property: &Property, clock: &Clock<'_>, pieces: &mut Vec<Piece<'_>>) {
    match changed(property, clock) {
        None => push_received(property.span, pieces),
        Some(line) => pieces.push(Piece::Fixed(line.into_bytes())),
    }
}

/// A component in an instance, with what is in it.
// Recursion is safe: the tree is at most limits::ICAL_DEPTH deep.
fn copy_pieces(component: &Component, clock: &Clock<'_>, pieces: &mut Vec<Piece<'_>>) {
    push_received(component.begin, pieces);
    for part in parts(component) {
        match part {
            Part::Property(property) => push_line(property, clock, pieces),
            Part::Component(inner) => copy_pieces(inner, clock, pieces),
        }
    }
    push_received(component.end, pieces);
}

fn property_pieces<'a>(
    (component, property): (&'a Component<'a>, &'a Property<'a>),
    shape: &Option<Shape>,
    clock: &Clock<'_>,
    pieces: &mut Vec<Piece<'a>>,
) {
    let (start, end) = match shape {
        None => ("", ""),
        Some(shape) => match (shape.anchor, shape.kind) {
            (Anchor::Due, _) => ("DUE", ""),
            (Anchor::Start, ComponentKind::Event) => ("DTSTART", "DTEND"),
            (Anchor::Start, ComponentKind::Todo) => ("DTSTART", "DUE"),
            (Anchor::Start, _) => ("DTSTART", ""),
        },
    };
    let ending = shape.as_ref().map(|shape| shape.ending);
    match &*property.name {
        "RRULE" | "RDATE" | "EXDATE" | "EXRULE" => {}
        "RECURRENCE-ID" => pieces.push(Piece::Identity(Some(property))),
        name if name == start => {
            pieces.push(Piece::Start(property));
            if component.property("RECURRENCE-ID").is_none() {
                pieces.push(Piece::Identity(None));
            }
            let timed = shape.as_ref().is_some_and(|shape| !shape.at.is_date());
            if ending == Some(Ending::Unsaid) && end == "DTEND" && timed {
                pieces.push(Piece::NoEnd(property));
            }
        }
        name if name == end && ending == Some(Ending::Time) => pieces.push(Piece::End(property)),
        "DURATION" if ending == Some(Ending::Duration) && !end.is_empty() => {
            pieces.push(Piece::Duration(property));
        }
        _ => push_line(property, clock, pieces),
    }
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
