//! CALDAV:calendar-query (RFC 4791 section 7.8).
//!
//! Summaries rule out most objects by component and time; only the bodies of the rest are read
//! and matched. The answer is gathered in memory, within a bound, so that too much of it is a
//! clean refusal rather than half an answer.

use std::sync::Arc;

use super::super::context::{Context, Resource};
use super::super::error::DavError;
use super::super::headers::{self, Depth};
use super::super::message::Response;
use super::super::multistatus::{
    Body, Responder, Selection, current_body, with_preference, write_status_response,
};
use super::super::precondition::VALID_FILTER;
use super::super::target::{HrefForm, encode_segment};
use super::super::timezone::FloatingZones;
use super::{calendar_data, filter};
use crate::ical::definitions;
use crate::ical::filter::{CompCondition, Filter, Test};
use crate::ical::instances::Instances;
use crate::ical::kind::ComponentKind;
use crate::ical::overlap::TimeRange;
use crate::ical::tree::Calendar;
use crate::ical::zone::Zone;
use crate::vault::{AccountStore, CalendarFacts, Collection, Summary, VaultError};
use crate::xml::{Element, Writer, caldav, dav};
use http::StatusCode;

/// Answers with the objects that match.
///
/// # Errors
/// 403 with valid-filter, supported-filter, supported-collation, supported-calendar-data,
/// valid-calendar-data (CALDAV:timezone) or number-of-matches-within-limits.
pub fn run(context: &Context<'_>, body: &Element) -> Result<Response, DavError> {
    let selection = calendar_data::selection(body)?;
    let filter = body
        .child(caldav("filter"))
        .ok_or(DavError::Named(&VALID_FILTER))?;
    let filter = filter::parse(filter)?;
    let mut responder = Responder::new(context, selection);
    responder.zones = FloatingZones::of_report(body)?;
    let query = Query {
        account: context.account,
        plan: Plan::of(&filter),
        events_within: filter.events_within(),
        windows: filter.windows(),
        filter,
        wants_body: matches!(&responder.selection, Selection::Named(items) if Responder::wants_data(items)),
        responder,
    };
    let mut writer = Writer::document();
    writer.start(dav("multistatus"));
    match &context.resource {
        Resource::Object(parent, object) => {
            let zone = query.zone_of(parent);
            query.consider(parent, object, &zone, &context.own_href(), &mut writer)?;
        }
        Resource::Collection(collection) if deep(context)? => {
            for calendar in calendars(context.account, collection) {
                query.calendar(&calendar, &mut writer)?;
            }
        }
        _ => {}
    }
    let response = Response::xml(StatusCode::MULTI_STATUS, writer.finish());
    Ok(with_preference(response, query.responder.absent))
}

/// Whether members are looked at. Without a Depth it would be 0 (section 7.8), which on a
/// collection finds nothing and is never what was meant; clients called MSFT- say 0 and mean 1.
pub(super) fn deep(context: &Context<'_>) -> Result<bool, DavError> {
    let depth = headers::depth(&context.request.headers);
    let depth = depth.map_err(|error| DavError::BadRequest(error.header()))?;
    let microsoft = context
        .header("user-agent")
        .is_some_and(|agent| agent.starts_with("MSFT-"));
    Ok(depth != Some(Depth::Zero) || microsoft)
}

/// The calendar itself, or all calendars below.
pub(super) fn calendars(account: &AccountStore, top: &Arc<Collection>) -> Vec<Arc<Collection>> {
    let mut open = vec![top.clone()];
    let mut found = Vec::new();
    while let Some(collection) = open.pop() {
        if collection.is_calendar() {
            found.push(collection);
        } else {
            let mut members = account.collections(collection.id);
            members.reverse();
            open.append(&mut members);
        }
    }
    found
}

/// What the summaries alone can say of a filter.
enum Plan {
    /// It asks only that the object is of one of these kinds, each of them: no body is needed.
    KindsOnly(Vec<ComponentKind>),
    /// At least these kinds must be there; then the body decides.
    Kinds(Vec<ComponentKind>),
}

impl Plan {
    fn of(filter: &Filter) -> Plan {
        let CompCondition::Defined {
            time_range: None,
            properties,
            components,
            test: Test::AllOf,
        } = &filter.root.condition
        else {
            return Plan::Kinds(Vec::new());
        };
        let mut only = properties.is_empty();
        let mut kinds = Vec::new();
        for component in components {
            let kind = ComponentKind::parse(&component.name);
            match (&component.condition, kind) {
                (
                    CompCondition::Defined {
                        time_range,
                        properties,
                        components,
                        ..
                    },
                    Some(kind),
                ) => {
                    kinds.push(kind);
                    only &= time_range.is_none() && properties.is_empty() && components.is_empty();
                }
                _ => only = false,
            }
        }
        if only {
            Plan::KindsOnly(kinds)
        } else {
            Plan::Kinds(kinds)
        }
    }
}

struct Query<'a> {
    account: &'a AccountStore,
    filter: Filter,
    plan: Plan,
    windows: Vec<TimeRange>,
    /// The range, if an event in it is all that is asked for.
    events_within: Option<TimeRange>,
    wants_body: bool,
    responder: Responder,
}

impl Query<'_> {
    fn calendar(&self, calendar: &Arc<Collection>, writer: &mut Writer) -> Result<(), DavError> {
        let path = self.account.path_of(calendar.id);
        let base = super::super::target::href(self.account.name(), &path, HrefForm::Collection);
        let zone = self.zone_of(calendar);
        let mut href = String::new();
        let window = self.windows.first().copied();
        let objects = match self
            .account
            .objects_touching(calendar.id, window.unwrap_or(TimeRange::ALL))
        {
            Ok(objects) => objects,
            // the other calendars are searched all the same (HARDENING H32)
            Err(VaultError::Damaged(_)) => {
                write_status_response(&base, StatusCode::INTERNAL_SERVER_ERROR, writer);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        for object in objects {
            if !object
                .calendar
                .as_ref()
                .is_some_and(|facts| self.possible(facts))
            {
                continue;
            }
            href.clear();
            href.push_str(&base);
            encode_segment(&object.segment, &mut href);
            self.consider(calendar, &object, &zone, &href, writer)?;
        }
        Ok(())
    }

    /// Writes the response of an object, if it matches.
    fn consider(
        &self,
        parent: &Arc<Collection>,
        object: &Arc<Summary>,
        zone: &Zone,
        href: &str,
        writer: &mut Writer,
    ) -> Result<(), DavError> {
        let Some(facts) = &object.calendar else {
            return Ok(());
        };
        if !self.possible(facts) {
            return Ok(());
        }
        let decided = self.decided(facts);
        if decided == Some(false) {
            return Ok(());
        }
        let resource = Resource::Object(parent.clone(), object.clone());
        if decided == Some(true) && !self.wants_body {
            self.responder.write(href, &resource, writer)?;
        } else {
            match current_body(self.account, parent, object)? {
                // deleted since the listing began
                Body::Gone => {}
                // nothing can be said of it, so it is reported for itself (HARDENING H32)
                Body::Damaged => self.responder.write(href, &resource, writer)?,
                Body::There(newer, bytes) => {
                    // what overwrote it meanwhile is looked at anew
                    let known = decided.filter(|_| newer.body_revision == object.body_revision);
                    if known.unwrap_or_else(|| self.matches(&newer, &bytes, zone)) {
                        let resource = Resource::Object(parent.clone(), newer);
                        self.responder
                            .write_with_body(href, &resource, bytes, writer)?;
                    }
                }
            }
        }
        self.responder.check(writer)
    }

    /// What the summary says.
    fn possible(&self, facts: &CalendarFacts) -> bool {
        let (Plan::KindsOnly(kinds) | Plan::Kinds(kinds)) = &self.plan;
        kinds.iter().all(|kind| *kind == facts.component)
            && self
                .windows
                .iter()
                .all(|window| facts.extent.touches(*window))
    }

    /// What the summary says for sure, with what is remembered of the object.
    fn decided(&self, facts: &CalendarFacts) -> Option<bool> {
        if matches!(self.plan, Plan::KindsOnly(_)) {
            return Some(true);
        }
        let range = self.events_within?;
        let moments = facts.moments.known()?;
        Some(moments.iter().any(|moment| moment.overlaps(range)))
    }

    /// What the body says. One that cannot be read any more, or whose recurrence is too complex
    /// to tell, is given to the client rather than hidden.
    fn matches(&self, object: &Summary, bytes: &[u8], zone: &Zone) -> bool {
        let Ok(calendar) = Calendar::parse(bytes) else {
            return true;
        };
        let zones = definitions::zones(&calendar, zone.clone());
        let times = Instances::new(&calendar, &zones);
        let matches = self.filter.matches(&calendar, &times).unwrap_or(true);
        if let (Some(facts), Some(_)) = (&object.calendar, self.events_within) {
            facts.moments.note(&calendar, &times, &zones);
        }
        matches
    }

    /// Where floating times are read (RFC 4791 section 9.8).
    fn zone_of(&self, calendar: &Collection) -> Zone {
        self.responder.zones.of(calendar).unwrap_or_else(Zone::utc)
    }
}
