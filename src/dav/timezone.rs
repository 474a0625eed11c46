//! In which zone floating times are read: the one a report names (CALDAV:timezone, RFC 4791
//! section 9.8, or CALDAV:timezone-id, RFC 7809 section 6.2), else the calendar's
//! (CALDAV:calendar-timezone, RFC 4791 section 5.2.2, or CALDAV:calendar-timezone-id, RFC 7809
//! section 5.2). Where neither is there, times are compared as if in UTC, and given as they are.
//!
//! Of a calendar's two properties the one that was set last is stored; the other follows from it
//! (RFC 7809 section 3.1.5). The header CalDAV-Timezones changes nothing, since it is for servers
//! that advertise where zones can be had (section 3.1.2): there is no such service here, so
//! calendar-no-timezone is not advertised and every object comes with the zones it came with.

use parking_lot::Mutex;

use super::error::DavError;
use super::precondition::{VALID_CALENDAR_DATA, VALID_TIMEZONE};
use super::property::{Found, Subject, get_stored, write_text};
use crate::ical::definitions;
use crate::ical::tree::Calendar;
use crate::ical::zone::{Zone, ZoneDefinition, Zones, vtimezone};
use crate::ids::CollectionId;
use crate::vault::{Collection, Properties, VaultError};
use crate::xml::{self, Element, Name, QName, Writer, XmlLimits, caldav};

/// The property with a whole VTIMEZONE.
pub const TIMEZONE: QName = caldav("calendar-timezone");
/// The property with its identifier.
pub const TIMEZONE_ID: QName = caldav("calendar-timezone-id");

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
    /// valid-calendar-data, valid-timezone.
    pub fn of_report(body: &Element) -> Result<FloatingZones, DavError> {
        let named = body.child(caldav("timezone-id"));
        let report = match (body.child(caldav("timezone")), named) {
            (Some(element), _) => Some(zone_of(&definition(&element.text())?)),
            (None, Some(element)) => Some(known(&element.text())?),
            (None, None) => None,
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
    let text = |name| stored_text(&calendar.properties, name);
    match text(TIMEZONE_ID) {
        Some(id) => known(&id).ok(),
        None => Some(zone_of(&definition(&text(TIMEZONE)?).ok()?)),
    }
}

fn stored_text(properties: &Properties, name: QName) -> Option<String> {
    let stored = properties.get(&Name::from(name))?;
    let element = xml::parse(stored.as_bytes(), &XmlLimits::default()).ok()?;
    Some(element.text())
}

/// The zone of an identifier: one of the IANA database.
///
/// # Errors
/// valid-timezone.
pub fn known(id: &str) -> Result<Zone, DavError> {
    Zone::iana(id.trim()).ok_or(DavError::Named(&VALID_TIMEZONE))
}

/// The property that says the same as this one, so that only one of the two is stored.
pub fn counterpart(name: &Name) -> Option<QName> {
    [(TIMEZONE, TIMEZONE_ID), (TIMEZONE_ID, TIMEZONE)]
        .into_iter()
        .find_map(|(one, other)| (*name == one).then_some(other))
}

/// Writes CALDAV:calendar-timezone.
///
/// # Errors
/// `VaultError`, when the stored properties do not open.
pub fn write_timezone(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let zone = stored_text(subject.stored()?, TIMEZONE_ID).and_then(|id| known(&id).ok());
    match zone.as_ref().and_then(vtimezone::to_calendar) {
        Some(text) => write_text(TIMEZONE, &text, writer),
        None => get_stored(TIMEZONE, subject, writer),
    }
}

/// Writes CALDAV:calendar-timezone-id.
///
/// # Errors
/// `VaultError`, when the stored properties do not open.
pub fn write_id(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let zone = stored_text(subject.stored()?, TIMEZONE).and_then(|text| definition(&text).ok());
    match zone {
        Some(definition) => write_text(TIMEZONE_ID, &definition.tzid, writer),
        None => get_stored(TIMEZONE_ID, subject, writer),
    }
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
