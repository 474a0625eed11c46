//! Live properties of RFC 4918 section 15, RFC 3253 section 3.1, RFC 6578 section 4,
//! RFC 5995 section 3.2, RFC 5842 section 3.1 and Calendar Server's getctag.

use std::time::{Duration, UNIX_EPOCH};

use super::context::{Kind, Resource};
use super::property::{
    Access, Allprop, Found, Property, Subject, calendars, everywhere, get_stored, in_tree, objects,
    synchronised, write_href, write_text,
};
use super::{lock_xml, method, report};
use crate::ambient::UnixMillis;
use crate::ical::time::Instant;
use crate::vault::VaultError;
use crate::xml::{Writer, caldav, cs, dav};

const fn row(
    local: &'static str,
    on: fn(Kind) -> bool,
    allprop: Allprop,
    get: fn(&Subject<'_>, &mut Writer) -> Result<Found, VaultError>,
) -> Property {
    Property {
        name: dav(local),
        on,
        allprop,
        access: Access::Protected,
        get,
    }
}

/// The rows.
pub const ROWS: &[Property] = &[
    row("creationdate", in_tree, Allprop::Given, creationdate),
    Property {
        name: dav("displayname"),
        on: everywhere,
        allprop: Allprop::Given,
        access: Access::Stored(|_| Ok(())),
        get: displayname,
    },
    row(
        "getcontentlength",
        objects,
        Allprop::Given,
        getcontentlength,
    ),
    row("getcontenttype", objects, Allprop::Given, getcontenttype),
    row("getetag", objects, Allprop::Given, getetag),
    row("getlastmodified", in_tree, Allprop::Given, getlastmodified),
    row("lockdiscovery", in_tree, Allprop::Given, lockdiscovery),
    Property {
        name: dav("resourcetype"),
        on: everywhere,
        allprop: Allprop::Given,
        access: Access::AtCreation,
        get: resourcetype,
    },
    row("supportedlock", in_tree, Allprop::Given, supportedlock),
    row(
        "supported-report-set",
        everywhere,
        Allprop::Named,
        supported_report_set,
    ),
    row(
        "supported-method-set",
        everywhere,
        Allprop::Named,
        supported_method_set,
    ),
    row("sync-token", synchronised, Allprop::Named, sync_token),
    row("add-member", calendars, Allprop::Named, add_member),
    row("resource-id", in_tree, Allprop::Named, resource_id),
    Property {
        name: cs("getctag"),
        on: synchronised,
        allprop: Allprop::Named,
        access: Access::Protected,
        get: getctag,
    },
];

/// RFC 4918 section 15.1: an RFC 3339 date-time.
fn creationdate(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let created = match subject.resource {
        Resource::Collection(collection) => collection.created,
        Resource::Object(_, object) => object.created,
        _ => return Ok(Found::No),
    };
    let Some(time) = Instant(created.seconds()).to_utc() else {
        return Ok(Found::No);
    };
    let date = time.date;
    let text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year, date.month, date.day, time.hour, time.minute, time.second
    );
    write_text(dav("creationdate"), &text, writer)
}

fn displayname(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let found = get_stored(dav("displayname"), subject, writer)?;
    match subject.kind {
        // a principal must have one (RFC 3744 section 4)
        Kind::Home | Kind::Principal if found == Found::No => write_text(
            dav("displayname"),
            subject.scene.account.name().as_str(),
            writer,
        ),
        _ => Ok(found),
    }
}

fn getcontentlength(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let Resource::Object(_, object) = subject.resource else {
        return Ok(Found::No);
    };
    write_text(dav("getcontentlength"), &object.size.to_string(), writer)
}

/// For calendar objects always with the component, which clients use to sort them.
fn getcontenttype(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let Resource::Object(_, object) = subject.resource else {
        return Ok(Found::No);
    };
    writer.start(dav("getcontenttype"));
    match &object.calendar {
        Some(facts) => {
            writer.text("text/calendar; charset=utf-8; component=");
            writer.text(facts.component.as_str());
        }
        None => writer.text(object.content_type.as_str()),
    }
    writer.end();
    Ok(Found::Yes)
}

fn getetag(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let Resource::Object(_, object) = subject.resource else {
        return Ok(Found::No);
    };
    write_text(dav("getetag"), object.etag.text().as_str(), writer)
}

fn getlastmodified(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let modified = match subject.resource {
        Resource::Collection(collection) => collection.modified,
        Resource::Object(_, object) => object.modified,
        _ => return Ok(Found::No),
    };
    write_text(dav("getlastmodified"), &http_date(modified), writer)
}

/// An HTTP-date (RFC 9110 section 5.6.7); times before 1970 and after 9999 are brought inside.
pub fn http_date(time: UnixMillis) -> String {
    const YEAR_9999: u64 = 253_402_300_799;
    let seconds = u64::try_from(time.seconds()).unwrap_or(0).min(YEAR_9999);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

fn lockdiscovery(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    if subject.scene.locks.is_empty() {
        writer.empty(dav("lockdiscovery"));
        return Ok(Found::Yes);
    }
    let Some(path) = subject.path() else {
        return Ok(Found::No);
    };
    let scene = subject.scene;
    lock_xml::write_lock_discovery(writer, &scene.account, &path, scene.now);
    Ok(Found::Yes)
}

fn supportedlock(_: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    lock_xml::write_supported_lock(writer);
    Ok(Found::Yes)
}

fn resourcetype(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let types = match subject.kind {
        Kind::CalendarObject | Kind::File => &[][..],
        Kind::Calendar => &[dav("collection"), caldav("calendar")],
        Kind::Principal => &[dav("collection"), dav("principal")],
        _ => &[dav("collection")],
    };
    if types.is_empty() {
        writer.empty(dav("resourcetype"));
        return Ok(Found::Yes);
    }
    writer.start(dav("resourcetype"));
    for name in types {
        writer.empty(*name);
    }
    writer.end();
    Ok(Found::Yes)
}

fn supported_report_set(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    writer.start(dav("supported-report-set"));
    for row in report::REPORTS.iter().filter(|row| (row.on)(subject.kind)) {
        writer.start(dav("supported-report"));
        writer.start(dav("report"));
        writer.empty(row.name);
        writer.end();
        writer.end();
    }
    writer.end();
    Ok(Found::Yes)
}

fn supported_method_set(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    writer.start(dav("supported-method-set"));
    for row in method::METHODS
        .iter()
        .filter(|row| (row.applies)(subject.resource))
    {
        writer.empty_with(dav("supported-method"), &[("name", row.name)]);
    }
    writer.end();
    Ok(Found::Yes)
}

fn sync_token(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let Resource::Collection(collection) = subject.resource else {
        return Ok(Found::No);
    };
    write_text(
        dav("sync-token"),
        &subject.scene.account.token(collection),
        writer,
    )
}

/// A calendar's sync-token; on the home, what changes with anything below it.
fn getctag(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let Resource::Collection(collection) = subject.resource else {
        return Ok(Found::No);
    };
    let tag = match subject.kind {
        Kind::Home => subject.scene.account.home_ctag(),
        _ => subject.scene.account.token(collection),
    };
    write_text(cs("getctag"), &tag, writer)
}

/// Where to POST new members: the calendar itself (RFC 5995 section 3.2).
fn add_member(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    if !method::METHODS.iter().any(|row| row.name == "POST") {
        return Ok(Found::No);
    }
    write_href(dav("add-member"), subject.href, writer)
}

/// A `urn:uuid` made of the lasting id: the same after every rename (RFC 5842 section 3.1).
fn resource_id(subject: &Subject<'_>, writer: &mut Writer) -> Result<Found, VaultError> {
    let mut id = match subject.resource {
        Resource::Collection(collection) => *collection.id.bytes(),
        Resource::Object(_, object) => *object.id.bytes(),
        _ => return Ok(Found::No),
    };
    // version 4, variant 1 (RFC 9562 section 5.4): the id is random
    id[6] = id[6] & 0x0F | 0x40;
    id[8] = id[8] & 0x3F | 0x80;
    let mut urn = String::from("urn:uuid:");
    for (at, byte) in id.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            urn.push('-');
        }
        urn.push_str(&format!("{byte:02x}"));
    }
    write_href(dav("resource-id"), &urn, writer)
}
