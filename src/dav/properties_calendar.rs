//! Live properties of RFC 4791 section 5.2 and 6.2.1, and those of a principal that RFC 6638
//! section 2.4 and Calendar Server name. Scheduling itself is not there.
//!
//! Colours, order, default alarms, transparency and the like are dead properties: kept as sent.

use super::context::{Kind, Resource};
use super::error::DavError;
use super::property::{
    Access, Allprop, Found, Property, Subject, calendars, get_stored, principals, write_href,
    write_text,
};
use super::target::{HrefForm, href, principal_href};
use super::timezone;
use crate::ical::kind::ComponentKind;
use crate::ical::text::Collation;
use crate::vault::{CollectionKind, VaultError};
use crate::xml::{Element, QName, Writer, caldav, cs, dav};

const fn row(
    name: QName,
    on: fn(Kind) -> bool,
    access: Access,
    get: fn(&Subject<'_>, &mut Writer) -> Result<Found, VaultError>,
) -> Property {
    Property {
        name,
        on,
        allprop: Allprop::Named,
        access,
        get,
    }
}

/// The rows.
pub const ROWS: &[Property] = &[
    row(
        caldav("calendar-description"),
        calendars,
        Access::Stored(|_| Ok(())),
        |subject, writer| get_stored(caldav("calendar-description"), subject, writer),
    ),
    row(
        timezone::TIMEZONE,
        calendars,
        Access::Stored(|element| timezone::definition(&element.text()).map(|_| ())),
        timezone::write_timezone,
    ),
    row(
        timezone::TIMEZONE_ID,
        calendars,
        Access::Stored(|element| timezone::known(&element.text()).map(|_| ())),
        timezone::write_id,
    ),
    row(
        caldav("supported-calendar-component-set"),
        calendars,
        Access::AtCreation,
        component_set,
    ),
    row(
        caldav("supported-calendar-data"),
        calendars,
        Access::Protected,
        calendar_data,
    ),
    row(
        caldav("max-resource-size"),
        calendars,
        Access::Protected,
        |subject, writer| {
            let bytes = subject.scene.object_bytes.to_string();
            write_text(caldav("max-resource-size"), &bytes, writer)
        },
    ),
    row(
        caldav("max-attendees-per-instance"),
        calendars,
        Access::Protected,
        |subject, writer| {
            let attendees = subject.scene.attendees.to_string();
            write_text(caldav("max-attendees-per-instance"), &attendees, writer)
        },
    ),
    row(
        caldav("supported-collation-set"),
        calendars,
        Access::Protected,
        collation_set,
    ),
    row(
        caldav("calendar-home-set"),
        principals,
        Access::Protected,
        |subject, writer| {
            let home = href(subject.scene.account.name(), &[], HrefForm::Collection);
            write_href(caldav("calendar-home-set"), &home, writer)
        },
    ),
    row(
        caldav("calendar-user-address-set"),
        principals,
        Access::Protected,
        address_set,
    ),
    row(
        caldav("calendar-user-type"),
        principals,
        Access::Protected,
        |_, writer| write_text(caldav("calendar-user-type"), "INDIVIDUAL", writer),
    ),
    row(
        cs("email-address-set"),
        principals,
        Access::Protected,
        |subject, writer| {
            writer.start(cs("email-address-set"));
            writer.element_text(cs("email-address"), subject.scene.account.email().as_str());
            writer.end();
            Ok(Found::Yes)
        },
    ),
];

fn component_set(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let Resource::Collection(collection) = subject.resource else {
        return Ok(Found::No);
    };
    let CollectionKind::Calendar(set) = collection.kind else {
        return Ok(Found::No);
    };
    writer.start(caldav("supported-calendar-component-set"));
    for kind in ComponentKind::ALL
        .into_iter()
        .filter(|kind| set.contains(*kind))
    {
        writer.empty_with(caldav("comp"), &[("name", kind.as_str())]);
    }
    writer.end();
    Ok(Found::Yes)
}

fn calendar_data(_: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    writer.start(caldav("supported-calendar-data"));
    let attributes = [("content-type", "text/calendar"), ("version", "2.0")];
    writer.empty_with(caldav("calendar-data"), &attributes);
    writer.end();
    Ok(Found::Yes)
}

fn collation_set(_: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    writer.start(caldav("supported-collation-set"));
    for collation in Collation::ALL {
        writer.element_text(caldav("supported-collation"), collation.as_str());
    }
    writer.end();
    Ok(Found::Yes)
}

/// The preferred address first, and again last with preferred="1": clients differ in which
/// of the two they look for (CLIENTS.md).
fn address_set(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let account = &subject.scene.account;
    let mailto = format!("mailto:{}", account.email().as_str());
    writer.start(caldav("calendar-user-address-set"));
    writer.element_text(dav("href"), &mailto);
    writer.element_text(dav("href"), &principal_href(account.name()));
    writer.start_with(dav("href"), &[("preferred", "1")]);
    writer.text(&mailto);
    writer.end();
    writer.end();
    Ok(Found::Yes)
}

/// The set of components that a MKCALENDAR or MKCOL asks for (RFC 4791 section 5.2.3).
///
/// # Errors
/// supported-calendar-component for one that this server does not know.
pub fn parse_component_set(element: &Element) -> Result<crate::ical::kind::ComponentSet, DavError> {
    let mut set = crate::ical::kind::ComponentSet::EMPTY;
    for comp in element.children_named(caldav("comp")) {
        let kind = comp.attribute("name").and_then(ComponentKind::parse);
        let unknown = DavError::Named(&super::precondition::SUPPORTED_CALENDAR_COMPONENT);
        set = set.with(kind.ok_or(unknown)?);
    }
    Ok(set)
}
