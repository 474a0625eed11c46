//! The table of reports, and the REPORT method (RFC 3253 section 3.6).

mod calendar_data;
mod expand;
pub mod filter;
mod free_busy;
mod multiget;
mod principal_match;
mod principals;
mod query;
mod sync;

pub use calendar_data::selection;

use super::conditions::check_states;
use super::context::{Context, Kind, required};
use super::error::DavError;
use super::message::Response;
use super::precondition::SUPPORTED_REPORT;
use super::property::{everywhere, in_tree, objects, synchronised, tree_collections};
use crate::xml::{Element, QName, caldav, dav};

/// One report.
pub struct Report {
    /// The root element that asks for it.
    pub name: QName,
    /// Where it is supported: what DAV:supported-report-set says.
    pub on: fn(Kind) -> bool,
    /// Answers it.
    pub run: fn(&Context<'_>, &Element) -> Result<Response, DavError>,
}

/// All reports.
pub const REPORTS: &[Report] = &[
    Report {
        name: caldav("calendar-multiget"),
        on: with_calendar_objects,
        run: multiget::run,
    },
    Report {
        name: caldav("calendar-query"),
        on: with_calendar_objects,
        run: query::run,
    },
    Report {
        name: caldav("free-busy-query"),
        on: tree_collections,
        run: free_busy::run,
    },
    Report {
        name: dav("sync-collection"),
        on: synchronised,
        run: sync::run,
    },
    Report {
        name: dav("expand-property"),
        on: everywhere,
        run: expand::run,
    },
    Report {
        name: dav("acl-principal-prop-set"),
        on: in_tree,
        run: principals::of_acl,
    },
    Report {
        name: dav("principal-match"),
        on: collections,
        run: principal_match::run,
    },
    Report {
        name: dav("principal-property-search"),
        on: above_homes,
        run: principals::search,
    },
    Report {
        name: dav("principal-search-property-set"),
        on: above_homes,
        run: principals::searchable,
    },
];

/// Where calendar objects are, or may be below.
fn with_calendar_objects(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Home | Kind::Plain | Kind::Calendar | Kind::CalendarObject
    )
}

/// Everything that has members, or could have.
fn collections(kind: Kind) -> bool {
    !objects(kind)
}

/// Outside of the homes, where principals are looked for.
fn above_homes(kind: Kind) -> bool {
    !in_tree(kind)
}

/// Answers REPORT: 403 supported-report for one that is not in the table or not here.
///
/// # Errors
/// As the report; 412.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    let body = required(context)?;
    check_states(context)?;
    let kind = context.resource.kind().ok_or(DavError::NotFound)?;
    let row = REPORTS
        .iter()
        .find(|row| body.is(row.name) && (row.on)(kind));
    (row.ok_or(&SUPPORTED_REPORT)?.run)(context, body)
}
