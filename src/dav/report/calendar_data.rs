//! What a calendar report asks for of each object (RFC 4791 section 9.6).

use std::collections::BTreeMap;

use super::super::error::DavError;
use super::super::multistatus::{Item, Selection};
use super::super::precondition::SUPPORTED_CALENDAR_DATA;
use super::super::property::Wanted;
use super::super::propfind;
use super::filter::time_range;
use crate::ical::overlap::TimeRange;
use crate::ical::project::{CompRequest, ComponentRequest, PropertyRequest, Wanted as Part};
use crate::ical::retrieve::{Recurrences, Retrieval};
use crate::limits;
use crate::xml::{Element, caldav, dav};

/// Reads DAV:prop, DAV:allprop or DAV:propname of a report; none of them asks for hrefs alone.
///
/// # Errors
/// 403 supported-calendar-data; 400 for a range that is none; 413.
pub fn selection(body: &Element) -> Result<Selection, DavError> {
    if body.child(dav("allprop")).is_some() {
        let include = body
            .child(dav("include"))
            .map(propfind::wanted)
            .transpose()?;
        return Ok(Selection::Allprop(include.unwrap_or_default()));
    }
    if body.child(dav("propname")).is_some() {
        return Ok(Selection::Propname);
    }
    let Some(prop) = body.child(dav("prop")) else {
        return Ok(Selection::Named(Vec::new()));
    };
    let properties = propfind::wanted(prop)?;
    let items = properties.into_iter().map(|wanted| item(prop, wanted));
    Ok(Selection::Named(items.collect::<Result<_, _>>()?))
}

fn item(prop: &Element, wanted: Wanted) -> Result<Item, DavError> {
    match prop
        .child(caldav("calendar-data"))
        .filter(|data| data.name == wanted.name)
    {
        Some(data) => Ok(Item::CalendarData(request(data)?)),
        None => Ok(Item::Property(wanted)),
    }
}

/// Reads a CALDAV:calendar-data.
fn request(data: &Element) -> Result<Retrieval, DavError> {
    let said = |name: &str, value: &str| {
        data.attribute(name)
            .is_none_or(|given| given.trim().eq_ignore_ascii_case(value))
    };
    if !said("content-type", "text/calendar") || !said("version", "2.0") {
        return Err(DavError::Named(&SUPPORTED_CALENDAR_DATA));
    }
    let parts = match data.child(caldav("comp")) {
        Some(root) => component(root)?,
        None => CompRequest::everything("VCALENDAR"),
    };
    let expanded = range(data, "expand")?;
    let limited = range(data, "limit-recurrence-set")?;
    let recurrences = match (expanded, limited) {
        (None, None) => Recurrences::All,
        (Some(range), None) => Recurrences::Expanded(range),
        (None, Some(range)) => Recurrences::Limited(range),
        (Some(_), Some(_)) => {
            return Err(DavError::BadRequest("both expand and limit-recurrence-set"));
        }
    };
    Ok(Retrieval {
        parts,
        recurrences,
        busy: range(data, "limit-freebusy-set")?,
    })
}

/// The range of a part of CALDAV:calendar-data, which must have both ends.
fn range(data: &Element, name: &'static str) -> Result<Option<TimeRange>, DavError> {
    let Some(element) = data.child(caldav(name)) else {
        return Ok(None);
    };
    let both = ["start", "end"]
        .iter()
        .all(|end| element.attribute(end).is_some());
    match time_range(element) {
        Ok(range) if both => Ok(Some(range)),
        _ => Err(DavError::BadRequest(
            "a calendar-data without a range of time",
        )),
    }
}

fn component(comp: &Element) -> Result<CompRequest, DavError> {
    let name = name_of(comp)?;
    let properties = match comp.child(caldav("allprop")) {
        Some(_) => PropertyRequest::All,
        None => {
            let mut named = BTreeMap::new();
            for prop in comp.children_named(caldav("prop")) {
                let part = match prop.attribute("novalue") {
                    Some("yes") => Part::NameOnly,
                    _ => Part::Value,
                };
                named.insert(name_of(prop)?.to_ascii_uppercase(), part);
            }
            if named.len() > limits::PROPERTIES_PER_REQUEST {
                return Err(DavError::TooLarge("too many properties"));
            }
            PropertyRequest::Named(named)
        }
    };
    let components = match comp.child(caldav("allcomp")) {
        Some(_) => ComponentRequest::All,
        None => {
            let inner = comp.children_named(caldav("comp")).map(component);
            ComponentRequest::Named(inner.collect::<Result<_, _>>()?)
        }
    };
    Ok(CompRequest::from_children(name, properties, components))
}

fn name_of(element: &Element) -> Result<&str, DavError> {
    element.attribute("name").ok_or(DavError::BadRequest(
        "an element of calendar-data without a name",
    ))
}
