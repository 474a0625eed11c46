//! What a report gives of an object (CALDAV:calendar-data, RFC 4791 section 9.6): everything, or
//! in this order its instances or fewer overrides, fewer busy periods, no known time zones, and
//! of what is left the parts that were asked for.

use std::borrow::Cow;

use super::definitions;
use super::edit::splice;
use super::expand::{Floating, Room, expand};
use super::instances::{Instances, WithinError};
use super::limit;
use super::overlap::TimeRange;
use super::project::{CompRequest, project};
use super::tree::Calendar;
use super::zone::Zone;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrieval {
    /// Which components and properties.
    pub parts: CompRequest,
    /// What becomes of recurrence.
    pub recurrences: Recurrences,
    /// The range of FREEBUSY values, where it is limited (CALDAV:limit-freebusy-set).
    pub busy: Option<TimeRange>,
}

/// How recurring components are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recurrences {
    /// As received.
    All,
    /// With the overrides that matter in a range (CALDAV:limit-recurrence-set).
    Limited(TimeRange),
    /// As their instances in a range (CALDAV:expand).
    Expanded(TimeRange),
}

impl Retrieval {
    /// The whole object.
    pub fn everything() -> Retrieval {
        Retrieval {
            parts: CompRequest::everything("VCALENDAR"),
            recurrences: Recurrences::All,
            busy: None,
        }
    }

    /// Whether instances are written out, which may make much of little.
    pub fn expands(&self) -> bool {
        matches!(self.recurrences, Recurrences::Expanded(_))
    }

    /// Whether it depends on when components take place.
    pub fn reads_times(&self) -> bool {
        self.recurrences != Recurrences::All || self.busy.is_some()
    }

    /// What is asked for of an object that was received as `bytes`; exactly these when that is
    /// everything, and also when they cannot be read (they were accepted once). `zone` is where
    /// floating times are read, where somebody said so.
    ///
    /// # Errors
    /// When `room` does not suffice, or the recurrence is too complex to tell.
    pub fn of<'a>(
        &self,
        bytes: &'a [u8],
        zone: Option<&Zone>,
        room: &mut Room,
    ) -> Result<Cow<'a, [u8]>, WithinError> {
        let received = Cow::Borrowed(bytes);
        if *self == Retrieval::everything() {
            return Ok(received);
        }
        let Ok(calendar) = Calendar::parse(bytes) else {
            return Ok(received);
        };
        let floating = zone.map_or(Floating::Stays, |_| Floating::Read);
        let zones = definitions::zones(&calendar, zone.cloned().unwrap_or_else(Zone::utc));
        let changed = match self.recurrences {
            Recurrences::All => received,
            Recurrences::Limited(range) => {
                let instances = Instances::new(&calendar, &zones);
                let edits = limit::recurrence_set(&calendar, &instances, range)?;
                spliced(received, edits)
            }
            Recurrences::Expanded(range) => {
                Cow::Owned(expand(bytes, &calendar, (&zones, floating), range, room)?)
            }
        };
        let changed = match self.busy {
            None => changed,
            Some(range) => change(changed, |calendar| limit::busy_set(calendar, &zones, range)),
        };
        if self.parts.is_everything() {
            return Ok(changed);
        }
        Ok(match Calendar::parse(&changed) {
            Ok(calendar) => Cow::Owned(project(&changed, &calendar, &self.parts)),
            Err(_) => changed,
        })
    }
}

/// The bytes with the edits that are due to what they say.
fn change<'a>(
    bytes: Cow<'a, [u8]>,
    edits: impl FnOnce(&Calendar) -> Vec<super::edit::Edit>,
) -> Cow<'a, [u8]> {
    match Calendar::parse(&bytes) {
        Ok(calendar) => {
            let edits = edits(&calendar);
            spliced(bytes, edits)
        }
        Err(_) => bytes,
    }
}

fn spliced<'a>(bytes: Cow<'a, [u8]>, edits: Vec<super::edit::Edit>) -> Cow<'a, [u8]> {
    if edits.is_empty() {
        return bytes;
    }
    // components and lines do not overlap, so there is always an answer
    splice(&bytes, edits).map_or(bytes, Cow::Owned)
}

#[cfg(test)]
#[path = "retrieve_tests.rs"]
mod tests;
