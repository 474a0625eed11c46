//! The table of reports, and the REPORT method (RFC 3253 section 3.6).

use super::context::{Context, Kind, required};
use super::error::DavError;
use super::message::Response;
use super::precondition::SUPPORTED_REPORT;
use crate::xml::{Element, QName};

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
pub const REPORTS: &[Report] = &[];

/// Answers REPORT: 403 supported-report for one that is not in the table or not here.
///
/// # Errors
/// As the report.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    let body = required(context)?;
    let kind = context.resource.kind().ok_or(DavError::NotFound)?;
    let row = REPORTS
        .iter()
        .find(|row| body.is(row.name) && (row.on)(kind));
    (row.ok_or(&SUPPORTED_REPORT)?.run)(context, body)
}
