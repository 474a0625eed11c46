//! When one is busy (RFC 4791 section 7.10): the opaque events and the VFREEBUSY components of
//! many objects, gathered into the VFREEBUSY that a free-busy-query answers with.

use super::edit::content_line;
use super::instances::{Instances, WithinError};
use super::moments::Moment;
use super::overlap::TimeRange;
use super::series::period_end;
use super::time::Instant;
use super::tree::{Calendar, Component};
use super::value::{self, TimeOrPeriod};
use super::zone::{Zone, Zones};
use crate::limits;

/// How one is busy (FBTYPE, RFC 5545 section 3.2.9). Free time is not told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BusyKind {
    /// BUSY, and every name of a program's own.
    Busy,
    /// BUSY-TENTATIVE.
    Tentative,
    /// BUSY-UNAVAILABLE.
    Unavailable,
}

impl BusyKind {
    const ALL: [BusyKind; 3] = [BusyKind::Busy, BusyKind::Tentative, BusyKind::Unavailable];

    const fn as_str(self) -> &'static str {
        match self {
            BusyKind::Busy => "BUSY",
            BusyKind::Tentative => "BUSY-TENTATIVE",
            BusyKind::Unavailable => "BUSY-UNAVAILABLE",
        }
    }

    /// What an event makes of its time: the table of section 7.10. `None` is free.
    pub(super) fn of_event(event: &Component) -> Option<BusyKind> {
        let says = |name, wanted: &str| {
            event
                .property(name)
                .is_some_and(|property| property.value.trim().eq_ignore_ascii_case(wanted))
        };
        if says("TRANSP", "TRANSPARENT") || says("STATUS", "CANCELLED") {
            None
        } else if says("STATUS", "TENTATIVE") {
            Some(BusyKind::Tentative)
        } else {
            Some(BusyKind::Busy)
        }
    }

    /// What a FBTYPE parameter says; BUSY without one.
    fn parse(text: Option<&str>) -> Option<BusyKind> {
        let text = text.unwrap_or("BUSY").trim();
        if text.eq_ignore_ascii_case("FREE") {
            return None;
        }
        let known = BusyKind::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text));
        Some(known.unwrap_or(BusyKind::Busy))
    }
}

/// A time in which one is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Period {
    kind: BusyKind,
    from: Instant,
    until: Instant,
}

/// The busy times of many objects in a range.
#[derive(Debug)]
pub struct BusyTimes {
    range: TimeRange,
    periods: Vec<Period>,
    left: usize,
}

impl BusyTimes {
    /// Nothing yet.
    pub fn new(range: TimeRange) -> BusyTimes {
        BusyTimes {
            range,
            periods: Vec::new(),
            left: limits::INSTANCES_PER_ANSWER,
        }
    }

    /// Adds what an object says.
    ///
    /// # Errors
    /// When there are more than `limits::INSTANCES_PER_ANSWER` instances and periods altogether,
    /// or a recurrence is too complex to tell.
    pub fn add(
        &mut self,
        calendar: &Calendar,
        instances: &Instances<'_>,
        zones: &Zones,
    ) -> Result<(), WithinError> {
        for (index, component) in calendar.root.components.iter().enumerate() {
            if component.name == "VFREEBUSY" {
                self.add_periods(component, zones)?;
            }
            let kind = BusyKind::of_event(component).filter(|_| component.name == "VEVENT");
            let Some(kind) = kind else {
                continue;
            };
            for instance in instances.of(index, self.range, self.left)? {
                let times = (instance.placing.start(), instance.placing.end());
                if let (Some(from), Some(until)) = times {
                    self.push(kind, from, until)?;
                }
            }
        }
        Ok(())
    }

    /// Adds what is known of an event.
    ///
    /// # Errors
    /// As `add`.
    pub fn add_moments(&mut self, moments: &[Moment]) -> Result<(), WithinError> {
        let touching = |moment: &&Moment| moment.overlaps(self.range);
        let touching: Vec<&Moment> = moments.iter().filter(touching).collect();
        if touching.len() > self.left {
            return Err(WithinError::TooMany);
        }
        for moment in touching {
            if let Some(kind) = moment.busy {
                self.push(kind, moment.from, moment.until)?;
            }
        }
        Ok(())
    }

    fn add_periods(&mut self, component: &Component, zones: &Zones) -> Result<(), WithinError> {
        for property in component.properties("FREEBUSY") {
            let Some(kind) = BusyKind::parse(property.parameter_value("FBTYPE")) else {
                continue;
            };
            for item in value::list(property) {
                if let TimeOrPeriod::Period(period) = item {
                    let from = zones.instant(&period.start);
                    self.push(kind, from, period_end(&period, zones))?;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, kind: BusyKind, from: Instant, until: Instant) -> Result<(), WithinError> {
        let (from, until) = (from.max(self.range.start), until.min(self.range.end));
        if from < until {
            self.left = self.left.checked_sub(1).ok_or(WithinError::TooMany)?;
            self.periods.push(Period { kind, from, until });
        }
        Ok(())
    }

    /// The periods of each kind, those that overlap or meet made one, in the order of time.
    fn merged(mut self) -> Vec<Period> {
        self.periods.sort();
        let mut merged: Vec<Period> = Vec::new();
        for period in self.periods {
            match merged.last_mut() {
                Some(last) if last.kind == period.kind && last.until >= period.from => {
                    last.until = last.until.max(period.until);
                }
                _ => merged.push(period),
            }
        }
        merged.sort_by_key(|period| period.from);
        merged
    }

    /// The iCalendar object that tells of them; `now` is its DTSTAMP.
    pub fn to_calendar(self, uid: &str, now: Instant) -> String {
        let utc = |instant| format!("{}Z", Zone::utc().instant_to_local(instant));
        let range = self.range;
        let mut text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n".to_owned();
        text.push_str(&content_line("PRODID", &[], "-//sealdav//sealdav//EN"));
        text.push_str("BEGIN:VFREEBUSY\r\n");
        text.push_str(&content_line("UID", &[], uid));
        text.push_str(&content_line("DTSTAMP", &[], &utc(now)));
        if range.start != Instant::MIN {
            text.push_str(&content_line("DTSTART", &[], &utc(range.start)));
        }
        if range.end != Instant::MAX {
            text.push_str(&content_line("DTEND", &[], &utc(range.end)));
        }
        for period in self.merged() {
            let kind = [("FBTYPE", period.kind.as_str())];
            let kind = if period.kind == BusyKind::Busy {
                &[]
            } else {
                &kind[..]
            };
            let value = format!("{}/{}", utc(period.from), utc(period.until));
            text.push_str(&content_line("FREEBUSY", kind, &value));
        }
        text.push_str("END:VFREEBUSY\r\nEND:VCALENDAR\r\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::definitions;
    use super::super::rfc4791_objects::object;
    use super::super::time::LocalTime;
    use super::*;

    fn instant(text: &str) -> Instant {
        Instant(LocalTime::parse(text).expect("a time").seconds())
    }

    fn busy(objects: &[String], start: &str, end: &str) -> Vec<String> {
        let mut times = BusyTimes::new(TimeRange {
            start: instant(start),
            end: instant(end),
        });
        for object in objects {
            let calendar = Calendar::parse(object.as_bytes()).expect("readable");
            let zones = definitions::zones(&calendar, Zone::utc());
            times
                .add(&calendar, &Instances::new(&calendar, &zones), &zones)
                .expect("simple");
        }
        let text = times.to_calendar("1", instant("20050125T090000"));
        Calendar::parse(text.as_bytes()).expect("readable");
        text.lines()
            .filter_map(|line| line.strip_prefix("FREEBUSY"))
            .map(str::to_owned)
            .collect()
    }

    fn event(lines: &str) -> String {
        format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\n{lines}\nEND:VEVENT\nEND:VCALENDAR\n")
    }

    #[test]
    fn rfc4791_7_10_1_example() {
        let objects: Vec<String> = (1..=7).map(object).collect();
        assert_eq!(
            busy(&objects, "20060104T140000", "20060105T220000"),
            [
                ";FBTYPE=BUSY-TENTATIVE:20060104T150000Z/20060104T160000Z",
                ":20060104T190000Z/20060104T200000Z",
                // the example forgets the instance of the next day
                ":20060105T170000Z/20060105T180000Z"
            ]
        );
    }

    #[test]
    fn stored_free_busy_is_clipped_and_free_time_left_out() {
        let free = object(8).replace(
            "FREEBUSY:20060104T100000Z/20060104T120000Z",
            "FREEBUSY;FBTYPE=FREE:20060104T100000Z/20060104T120000Z",
        );
        assert_eq!(
            busy(&[free], "20060103T110000", "20060105T110000"),
            [
                ":20060103T110000Z/20060103T120000Z",
                ";FBTYPE=BUSY-UNAVAILABLE:20060105T100000Z/20060105T110000Z"
            ]
        );
    }

    #[test]
    fn status_and_transparency_of_each_instance() {
        let master = "DTSTART:20240101T100000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=4";
        let other = |day: u8, more: &str| {
            format!(
                "END:VEVENT\nBEGIN:VEVENT\nUID:1\nRECURRENCE-ID:2024010{day}T100000Z\nDTSTART:2024010{day}T100000Z\nDURATION:PT2H\n{more}"
            )
        };
        let all = format!(
            "{master}\n{}\n{}\n{}",
            other(2, "STATUS:tentative"),
            other(3, "STATUS:CANCELLED"),
            other(4, "TRANSP:TRANSPARENT")
        );
        assert_eq!(
            busy(&[event(&all)], "20240101T000000", "20240201T000000"),
            [
                ":20240101T100000Z/20240101T110000Z",
                ";FBTYPE=BUSY-TENTATIVE:20240102T100000Z/20240102T120000Z"
            ]
        );
    }

    #[test]
    fn what_overlaps_or_meets_is_one() {
        let lines = [
            "DTSTART:20240101T100000Z\nDURATION:PT1H",
            "DTSTART:20240101T110000Z\nDURATION:PT1H",
            "DTSTART:20240101T103000Z\nDURATION:PT10M",
            "DTSTART:20240101T130000Z\nSTATUS:X-MINE",
            "DTSTART;VALUE=DATE:20240103",
        ];
        let objects: Vec<String> = lines.iter().map(|lines| event(lines)).collect();
        assert_eq!(
            busy(&objects, "20240101T000000", "20240201T000000"),
            [
                ":20240101T100000Z/20240101T120000Z",
                ":20240103T000000Z/20240104T000000Z"
            ]
        );
    }

    #[test]
    fn too_many_are_refused() {
        let bomb = event("DTSTART:20240101T100000Z\nDURATION:PT1H\nRRULE:FREQ=SECONDLY");
        let calendar = Calendar::parse(bomb.as_bytes()).expect("readable");
        let zones = definitions::zones(&calendar, Zone::utc());
        let mut times = BusyTimes::new(TimeRange::ALL);
        let instances = Instances::new(&calendar, &zones);
        assert_eq!(
            times.add(&calendar, &instances, &zones),
            Err(WithinError::TooMany)
        );
    }
}
