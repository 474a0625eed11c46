//! In which zone floating times are read: the one a report names (CALDAV:timezone, RFC 4791
//! section 9.8), else the calendar's (CALDAV:calendar-timezone, section 5.2.2). Where neither
//! is there, times are compared as if in UTC, and given as they are.

use parking_lot::Mutex;

use super::error::DavError;
use super::precondition::VALID_CALENDAR_DATA;
use crate::ical::definitions;
use crate::ical::tree::Calendar;
use crate::ical::zone::{Zone, ZoneDefinition, Zones};
use crate::ids::CollectionId;
use crate::vault::Collection;
use crate::xml::{self, Element, Name, XmlLimits, caldav};

/// The zones of floating times for one request.
#[derive(Default)]
pub struct FloatingZones {
    report: Option<Zone>,
    /// The calendar asked about last: objects come calendar by calendar.
    last: Mutex<Option<(CollectionId, Option<Zone>)>>,
}

impl FloatingZones {
    /// As the body of a report says.
    ///
    /// # Errors
    /// valid-calendar-data.
    pub fn of_report(body: &Element) -> Result<FloatingZones, DavError> {
        let report = match body.child(caldav("timezone")) {
            Some(element) => Some(zone_of(&definition(&element.text())?)),
            None => None,
        };
        Ok(FloatingZones {
            report,
            last: Mutex::default(),
        })
    }

    /// The zone for the objects of a calendar, where there is one.
    pub fn of(&self, calendar: &Collection) -> Option<Zone> {
        if let Some(zone) = &self.report {
            return Some(zone.clone());
        }
        let mut last = self.last.lock();
        match &*last {
            Some((id, zone)) if *id == calendar.id => zone.clone(),
            _ => {
                let zone = stored(calendar);
                *last = Some((calendar.id, zone.clone()));
                zone
            }
        }
    }
}

/// The zone that a calendar's properties name.
fn stored(calendar: &Collection) -> Option<Zone> {
    let name = Name::from(caldav("calendar-timezone"));
    let stored = calendar.properties.get(&name)?;
    let element = xml::parse(stored.as_bytes(), &XmlLimits::default()).ok()?;
    Some(zone_of(&definition(&element.text()).ok()?))
}

/// A time zone as clients give it: an iCalendar object with exactly one VTIMEZONE (RFC 4791
/// section 5.2.2).
///
/// # Errors
/// valid-calendar-data.
pub fn definition(text: &str) -> Result<ZoneDefinition, DavError> {
    let invalid = DavError::Named(&VALID_CALENDAR_DATA);
    let calendar = Calendar::parse(text.trim().as_bytes()).map_err(|_| invalid.clone())?;
    match calendar.root.components.as_slice() {
        [zone] if zone.name == "VTIMEZONE" && calendar.further.is_empty() => {
            definitions::definition(zone).ok_or(invalid)
        }
        _ => Err(invalid),
    }
}

fn zone_of(definition: &ZoneDefinition) -> Zone {
    let zones = Zones::new(vec![definition.clone()], Zone::utc());
    zones.resolve(&definition.tzid).0
}
