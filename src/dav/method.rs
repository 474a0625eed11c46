//! The table of methods. Allow, the DAV header and the dispatch are computed from it, so that
//! nothing can be advertised that is not there.

use http::header::{ALLOW, HeaderName};
use http::{Method, StatusCode};

use super::context::{Context, Resource};
use super::error::DavError;
use super::message::Response;
use super::quick::{self, Quick};
use super::{acl, copymove, delete, get, lock, mkcol, post, propfind, proppatch, put, report};
use crate::vault::Collection;

/// What a method does with its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// It has no meaning and is not looked at: the methods of HTTP that only read.
    Ignored,
    /// There is none, and what is sent nevertheless is refused (RFC 4918 section 8.4).
    Refused,
    /// XML, or nothing.
    Xml,
    /// Anything, up to the size of an object.
    Any,
}

/// One method.
pub struct MethodRow {
    /// Its name.
    pub name: &'static str,
    /// What it does with its body.
    pub body: BodyKind,
    /// Where it can be used; decides Allow and 405.
    pub applies: fn(&Resource) -> bool,
    /// Whether it is answered on the spot; never without one.
    pub quick: Option<Quick>,
    /// Answers it.
    pub run: fn(&Context<'_>) -> Result<Response, DavError>,
}

/// All methods.
pub const METHODS: &[MethodRow] = &[
    MethodRow {
        name: "OPTIONS",
        body: BodyKind::Ignored,
        applies: everywhere,
        quick: None,
        run: options,
    },
    MethodRow {
        name: "PROPFIND",
        body: BodyKind::Xml,
        applies: existing,
        quick: Some(Quick::Read(quick::propfind)),
        run: propfind::run,
    },
    MethodRow {
        name: "PROPPATCH",
        body: BodyKind::Xml,
        applies: in_home,
        quick: None,
        run: proppatch::run,
    },
    MethodRow {
        name: "REPORT",
        body: BodyKind::Xml,
        applies: existing,
        quick: Some(Quick::Read(quick::report)),
        run: report::run,
    },
    MethodRow {
        name: "ACL",
        body: BodyKind::Xml,
        applies: existing,
        quick: None,
        run: acl::run,
    },
    MethodRow {
        name: "GET",
        body: BodyKind::Ignored,
        applies: existing,
        quick: Some(Quick::Read(quick::get)),
        run: get::run,
    },
    MethodRow {
        name: "HEAD",
        body: BodyKind::Ignored,
        applies: existing,
        quick: Some(Quick::Read(quick::get)),
        run: get::run,
    },
    MethodRow {
        name: "PUT",
        body: BodyKind::Any,
        applies: on_object_or_unmapped,
        quick: Some(Quick::Write(quick::put)),
        run: put::run,
    },
    MethodRow {
        name: "POST",
        body: BodyKind::Any,
        applies: on_calendar,
        quick: None,
        run: post::run,
    },
    MethodRow {
        name: "DELETE",
        body: BodyKind::Refused,
        applies: in_home,
        quick: Some(Quick::Write(quick::delete)),
        run: delete::run,
    },
    MethodRow {
        name: "MKCOL",
        body: BodyKind::Xml,
        applies: unmapped,
        quick: None,
        run: mkcol::run,
    },
    MethodRow {
        name: "MKCALENDAR",
        body: BodyKind::Xml,
        applies: unmapped,
        quick: None,
        run: mkcol::run_calendar,
    },
    MethodRow {
        name: "COPY",
        body: BodyKind::Refused,
        applies: below_home,
        quick: None,
        run: copymove::run_copy,
    },
    MethodRow {
        name: "MOVE",
        body: BodyKind::Refused,
        applies: below_home,
        quick: None,
        run: copymove::run_move,
    },
    MethodRow {
        name: "LOCK",
        body: BodyKind::Xml,
        applies: in_home_or_unmapped,
        quick: None,
        run: lock::run,
    },
    MethodRow {
        name: "UNLOCK",
        body: BodyKind::Refused,
        applies: in_home_or_unmapped,
        quick: None,
        run: lock::run_unlock,
    },
];

/// The compliance classes of the DAV header (RFC 4918 section 18) and the method or report
/// without which each would be untrue.
const CLASSES: &[(&str, &str)] = &[
    ("1", "PROPFIND"),
    ("2", "LOCK"),
    ("3", "PROPFIND"),
    ("access-control", "ACL"),
    ("calendar-access", "REPORT"),
    ("extended-mkcol", "MKCOL"),
];

/// Anywhere at all.
pub fn everywhere(_: &Resource) -> bool {
    true
}

/// Where something is.
pub fn existing(resource: &Resource) -> bool {
    resource.exists()
}

/// On what is in a home, and on the home.
pub fn in_home(resource: &Resource) -> bool {
    matches!(resource, Resource::Collection(_) | Resource::Object(..))
}

/// On an object.
pub fn on_object(resource: &Resource) -> bool {
    matches!(resource, Resource::Object(..))
}

/// Where nothing is, in a home.
pub fn unmapped(resource: &Resource) -> bool {
    matches!(resource, Resource::Missing(..) | Resource::Nowhere)
}

/// On an object, or where one could be.
pub fn on_object_or_unmapped(resource: &Resource) -> bool {
    on_object(resource) || unmapped(resource)
}

/// On everything in a home except the home itself.
pub fn below_home(resource: &Resource) -> bool {
    match resource {
        Resource::Collection(collection) => collection.parent.is_some(),
        resource => on_object(resource),
    }
}

/// On a home and everything in it, and where something could be.
pub fn in_home_or_unmapped(resource: &Resource) -> bool {
    in_home(resource) || unmapped(resource)
}

/// On a calendar.
pub fn on_calendar(resource: &Resource) -> bool {
    matches!(resource, Resource::Collection(collection) if Collection::is_calendar(collection))
}

/// The row of a method.
pub fn find(method: &Method) -> Option<&'static MethodRow> {
    METHODS.iter().find(|row| row.name == method.as_str())
}

/// The Allow header for a resource.
pub fn allow(resource: &Resource) -> String {
    let names: Vec<&str> = METHODS
        .iter()
        .filter(|row| (row.applies)(resource))
        .map(|row| row.name)
        .collect();
    names.join(", ")
}

/// The DAV header.
pub fn dav_header() -> String {
    let there = |needed: &str| METHODS.iter().any(|row| row.name == needed);
    let classes: Vec<&str> = CLASSES
        .iter()
        .filter(|(_, needed)| there(needed))
        .map(|(class, _)| *class)
        .collect();
    classes.join(", ")
}

/// The answer to OPTIONS: always 200 (CLIENTS.md), with what the table has for the resource, or
/// all of it when the resource is not known.
pub fn options_response(resource: Option<&Resource>) -> Response {
    let allow = match resource {
        Some(resource) => allow(resource),
        None => METHODS
            .iter()
            .map(|row| row.name)
            .collect::<Vec<_>>()
            .join(", "),
    };
    Response::new(StatusCode::OK)
        .with(ALLOW, &allow)
        .with(HeaderName::from_static("dav"), &dav_header())
}

fn options(context: &Context<'_>) -> Result<Response, DavError> {
    Ok(options_response(Some(&context.resource)))
}
