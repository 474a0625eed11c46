//! When an event takes place, where that can be told once and for all: remembered beside an object
//! in memory, so that a question about a range of time reads and parses it no second time.
//!
//! Only of what is plain: one VEVENT whose times are in UTC or in a zone that is known, without
//! exceptions, with few instances. Its moments then depend on nobody's zone, and on nothing but
//! its bytes.

use std::sync::OnceLock;

use super::busy::BusyKind;
use super::instances::Instances;
use super::overlap::TimeRange;
use super::recur::Rule;
use super::shape::Placing;
use super::time::{CalTime, Instant};
use super::tree::{Calendar, Component};
use super::value;
use super::zone::{ZoneOrigin, Zones};
use crate::limits;

/// One instance of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Its start.
    pub from: Instant,
    /// Its effective end, never before its start.
    pub until: Instant,
    /// What it makes of its time; none leaves it free.
    pub busy: Option<BusyKind>,
}

impl Moment {
    /// Whether it overlaps `range` by the table for VEVENT in RFC 4791 section 9.9.
    pub fn overlaps(self, range: TimeRange) -> bool {
        range.overlaps(self.from, self.until)
    }
}

/// The moments of one object, once somebody had to find them out. A copy begins without: it may be
/// made for another body.
#[derive(Debug, Default)]
pub struct Memo(OnceLock<Option<Box<[Moment]>>>);

impl Clone for Memo {
    fn clone(&self) -> Memo {
        Memo::default()
    }
}

impl PartialEq for Memo {
    /// Always: what is remembered of a value is no part of it.
    fn eq(&self, _: &Memo) -> bool {
        true
    }
}

impl Eq for Memo {}

impl Memo {
    /// The moments, if they are known.
    pub fn known(&self) -> Option<&[Moment]> {
        self.0.get()?.as_deref()
    }

    /// Remembers those of the object, which is what `calendar` was read from.
    pub fn note(&self, calendar: &Calendar, instances: &Instances<'_>, zones: &Zones) {
        self.0.get_or_init(|| moments(calendar, instances, zones));
    }
}

/// All moments of an object, in any order; none where they depend on more than its bytes, or are
/// more than `limits::MOMENTS_REMEMBERED`.
fn moments(calendar: &Calendar, instances: &Instances<'_>, zones: &Zones) -> Option<Box<[Moment]>> {
    let components = calendar.root.components.iter().enumerate();
    let mut events = components.filter(|(_, component)| component.name != "VTIMEZONE");
    let (index, event) = events.next()?;
    if events.next().is_some() || event.name != "VEVENT" || !is_plain(event, zones) {
        return None;
    }
    let found = instances.of(index, TimeRange::ALL, limits::MOMENTS_REMEMBERED);
    let busy = BusyKind::of_event(event);
    let moment = |placing| match placing {
        Placing::Span { from, until } => Some(Moment { from, until, busy }),
        Placing::Todo(_) => None,
    };
    let found = found.ok()?;
    found
        .into_iter()
        .map(|instance| moment(instance.placing))
        .collect()
}

/// Whether the event's times are its bytes' alone.
fn is_plain(event: &Component, zones: &Zones) -> bool {
    let known = |time: &CalTime| match time {
        CalTime::Utc(_) => true,
        CalTime::Zoned { tzid, .. } => zones.resolve(tzid).1 != ZoneOrigin::Unknown,
        CalTime::Date(_) | CalTime::Floating(_) => false,
    };
    let once = |name| event.properties(name).count() == 1;
    let readable = |name| value::time_of(event, name).as_ref().is_some_and(known);
    let exceptions = ["RDATE", "EXDATE", "EXRULE", "RECURRENCE-ID"];
    let has_exceptions = exceptions
        .into_iter()
        .any(|name| event.property(name).is_some());
    let ends = match event.property("DTEND") {
        Some(_) => once("DTEND") && readable("DTEND"),
        None => true,
    };
    let rule = match event.property("RRULE") {
        Some(property) => once("RRULE") && is_plain_rule(&property.value),
        None => true,
    };
    once("DTSTART") && readable("DTSTART") && ends && rule && !has_exceptions
}

fn is_plain_rule(text: &str) -> bool {
    Rule::parse(text).is_ok_and(|rule| match rule.until() {
        Some(until) => matches!(until, CalTime::Utc(_)),
        None => rule.count().is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::definitions;
    use super::super::zone::Zone;
    use super::*;

    fn of(lines: &str) -> Option<usize> {
        let text =
            format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\n{lines}\nEND:VEVENT\nEND:VCALENDAR\n");
        let calendar = Calendar::parse(text.as_bytes()).expect("readable");
        let memo = Memo::default();
        for zone in [Zone::utc(), Zone::iana("Asia/Tokyo").expect("a zone")] {
            let zones = definitions::zones(&calendar, zone);
            let instances = Instances::new(&calendar, &zones);
            memo.note(&calendar, &instances, &zones);
            let fresh = moments(&calendar, &instances, &zones);
            assert_eq!(memo.known(), fresh.as_deref(), "{lines}");
        }
        memo.known().map(<[Moment]>::len)
    }

    #[test]
    fn plain_events_are_remembered() {
        assert_eq!(of("DTSTART:20240101T100000Z\nDURATION:PT1H"), Some(1));
        assert_eq!(of("DTSTART:20240101T100000Z"), Some(1));
        assert_eq!(
            of(
                "DTSTART;TZID=Europe/Berlin:20240101T100000\nDTEND:20240101T110000Z\nRRULE:FREQ=DAILY;COUNT=3"
            ),
            Some(3)
        );
        let until = "DTSTART:20240101T100000Z\nRRULE:FREQ=DAILY;UNTIL=20240104T100000Z";
        assert_eq!(of(until), Some(4));
    }

    #[test]
    fn what_depends_on_a_reader_or_has_no_end_is_not() {
        for lines in [
            "DTSTART:20240101T100000",
            "DTSTART;VALUE=DATE:20240101",
            "DTSTART;TZID=Nowhere/Atall:20240101T100000",
            "DTSTART:20240101T100000Z\nDTEND:20240101T110000",
            "DTSTART:20240101T100000Z\nRRULE:FREQ=DAILY",
            "DTSTART:20240101T100000Z\nRRULE:FREQ=DAILY;COUNT=1000000",
            "DTSTART:20240101T100000Z\nRRULE:FREQ=DAILY;UNTIL=20240104",
            "DTSTART:20240101T100000Z\nRRULE:FREQ=DAILY;COUNT=9\nEXDATE:20240102T100000",
            "DTSTART:20240101T100000Z\nRRULE:RSCALE=CHINESE;FREQ=DAILY;COUNT=2",
            "DTSTART:20240101T100000Z\nEND:VEVENT\nBEGIN:VEVENT\nUID:1\nDTSTART:20240102T100000Z",
        ] {
            assert_eq!(of(lines), None, "{lines}");
        }
    }
}
