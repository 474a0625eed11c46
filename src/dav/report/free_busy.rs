//! CALDAV:free-busy-query (RFC 4791 section 7.10): when one is busy, without saying by what.
//!
//! Only the bodies of events and free-busy objects whose extent touches the range are read.
//!
//! Time that is not told of counts as free (section 7.10), and the answer has no place for "not
//! known". So an answer is given only when everything could be looked at: one damaged object that
//! may take time in the range makes it an error rather than an invitation to book twice.

use std::sync::Arc;

use http::StatusCode;
use http::header::CONTENT_TYPE;

use super::super::context::{Context, Resource};
use super::super::error::DavError;
use super::super::get::guarded;
use super::super::message::{Body as ResponseBody, Response};
use super::super::multistatus::{Body, current_body};
use super::super::precondition::{NUMBER_OF_MATCHES_WITHIN_LIMITS, SUPPORTED_REPORT};
use super::super::timezone::FloatingZones;
use super::filter::time_range;
use super::query::{calendars, deep};
use crate::ical::busy::BusyTimes;
use crate::ical::definitions;
use crate::ical::instances::{Instances, WithinError};
use crate::ical::kind::ComponentKind;
use crate::ical::overlap::TimeRange;
use crate::ical::time::Instant;
use crate::ical::tree::Calendar;
use crate::ical::zone::Zone;
use crate::vault::{Collection, Summary, VaultError};
use crate::xml::{Element, caldav};

/// The media type of the answer.
const CALENDAR_TYPE: &str = "text/calendar; charset=utf-8";

/// Answers with one VFREEBUSY.
///
/// # Errors
/// 400 without one range of time; 403 supported-report on an object; 403
/// number-of-matches-within-limits; 500 when a calendar, or an object that may matter, is damaged.
pub fn run(context: &Context<'_>, body: &Element) -> Result<Response, DavError> {
    let Resource::Collection(top) = &context.resource else {
        return Err(DavError::Named(&SUPPORTED_REPORT));
    };
    let mut ranges = body.children_named(caldav("time-range"));
    let range = match (ranges.next().map(time_range), ranges.next()) {
        (Some(Ok(range)), None) => range,
        _ => return Err(DavError::BadRequest("not one range of time")),
    };
    let mut query = Query {
        context,
        range,
        zones: FloatingZones::default(),
        busy: BusyTimes::new(range),
    };
    if deep(context)? {
        for calendar in calendars(context.account, top) {
            query.calendar(&calendar)?;
        }
    }
    let uid = u128::from_be_bytes(context.dav.ambient.bytes());
    let now = Instant(context.dav.ambient.now().seconds());
    let text = query.busy.to_calendar(&format!("{uid:032x}"), now);
    let response = guarded(Response::new(StatusCode::OK), CALENDAR_TYPE);
    Ok(Response {
        body: ResponseBody::Full(text.into()),
        ..response.with(CONTENT_TYPE, CALENDAR_TYPE)
    })
}

struct Query<'a> {
    context: &'a Context<'a>,
    range: TimeRange,
    zones: FloatingZones,
    busy: BusyTimes,
}

impl Query<'_> {
    fn calendar(&mut self, calendar: &Arc<Collection>) -> Result<(), DavError> {
        if self.context.account.damaged(calendar.id)? > 0 {
            // of what does not even say what it is, nobody knows that it takes no time
            return Err(damaged());
        }
        let account = self.context.account;
        for object in account.objects_touching(calendar.id, self.range)? {
            let Some(facts) = &object.calendar else {
                continue;
            };
            if !matches!(
                facts.component,
                ComponentKind::Event | ComponentKind::FreeBusy
            ) {
                continue;
            }
            match facts.moments.known() {
                Some(moments) => self.busy.add_moments(moments).map_err(limited)?,
                None => self.object(calendar, &object)?,
            }
        }
        Ok(())
    }

    /// Adds an object.
    fn object(
        &mut self,
        calendar: &Arc<Collection>,
        object: &Arc<Summary>,
    ) -> Result<(), DavError> {
        let (newer, bytes) = match current_body(self.context.account, calendar, object)? {
            Body::There(newer, bytes) => (newer, bytes),
            // deleted since the listing began
            Body::Gone => return Ok(()),
            Body::Damaged => return Err(damaged()),
        };
        let read = Calendar::parse(&bytes).map_err(|_| damaged())?;
        let zone = self.zones.of(calendar).unwrap_or_else(Zone::utc);
        let zones = definitions::zones(&read, zone);
        let instances = Instances::new(&read, &zones);
        self.busy.add(&read, &instances, &zones).map_err(limited)?;
        if let Some(facts) = &newer.calendar {
            facts.moments.note(&read, &instances, &zones);
        }
        Ok(())
    }
}

/// Also for a recurrence too complex to tell: less than all would be wrong.
fn limited(_: WithinError) -> DavError {
    DavError::Named(&NUMBER_OF_MATCHES_WITHIN_LIMITS)
}

/// 500. Which row it is was logged when it was read.
fn damaged() -> DavError {
    DavError::Vault(VaultError::Damaged("a part of a free-busy answer".into()))
}
