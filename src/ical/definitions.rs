//! The time zones an object brings along: its VTIMEZONE components as plain definitions for
//! `zone` (RFC 5545 section 3.6.5).

use super::line::Property;
use super::recur::Rule;
use super::time::{CalTime, parse_utc_offset};
use super::tree::{Calendar, Component};
use super::value::{self, TimeOrPeriod};
use super::zone::{Observance, Zone, ZoneDefinition, Zones};

/// The zones of an object. `default` is where floating times and dates are read: the collection's
/// calendar-timezone or the one a report names (RFC 4791 sections 5.2.2 and 9.8).
pub fn zones(calendar: &Calendar, default: Zone) -> Zones {
    let zones = calendar.root.components("VTIMEZONE");
    let named = zones.filter_map(|zone| Some((tzid(zone)?, zone)));
    Zones::reading(named, read, default)
}

/// A VTIMEZONE as a definition; `None` without a TZID. What cannot be read in it is left out.
pub fn definition(zone: &Component) -> Option<ZoneDefinition> {
    Some(read(tzid(zone)?, zone))
}

fn tzid(zone: &Component) -> Option<String> {
    let property = zone.property("TZID")?;
    Some(property.text_value().trim().to_owned())
}

fn read(tzid: String, zone: &Component) -> ZoneDefinition {
    let observed = |name: &str| name == "STANDARD" || name == "DAYLIGHT";
    let parts = zone.components.iter().filter(|part| observed(&part.name));
    ZoneDefinition {
        tzid,
        observances: parts.filter_map(observance).collect(),
    }
}

fn observance(part: &Component) -> Option<Observance> {
    let offset = |name| {
        part.property(name)
            .and_then(|property| parse_utc_offset(&property.value))
    };
    Some(Observance {
        start: value::time_of(part, "DTSTART")?.local(),
        offset_from: offset("TZOFFSETFROM").or(offset("TZOFFSETTO"))?,
        offset_to: offset("TZOFFSETTO")?,
        rules: part
            .properties("RRULE")
            .filter_map(|rule| Rule::parse(&rule.value).ok())
            .collect(),
        dates: part.properties("RDATE").flat_map(dates).collect(),
    })
}

fn dates(property: &Property) -> impl Iterator<Item = CalTime> {
    value::list(property).map(|date| match date {
        TimeOrPeriod::Time(time) => time,
        TimeOrPeriod::Period(period) => period.start,
    })
}
