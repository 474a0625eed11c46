//! WebDAV and CalDAV: tables of methods, properties, reports and preconditions; requests and
//! responses are values, and nothing here does I/O, reads a clock or knows a key.
//!
//! A request's path: [`Dav::handle`] -> `Context` (target parsed and looked up) -> row of
//! `method::METHODS` -> its `run`. Every refusal becomes an answer in `error`.

pub mod acl;
pub mod conditions;
pub mod context;
pub mod copymove;
pub mod delete;
pub mod error;
pub mod get;
#[cfg(test)]
mod hardening_tests;
pub mod headers;
#[cfg(test)]
mod isolation_tests;
pub mod lock;
pub mod lock_xml;
pub mod locks;
pub mod message;
pub mod method;
pub mod mkcol;
pub mod multistatus;
mod polls;
pub mod post;
pub mod precondition;
mod properties_acl;
pub mod properties_calendar;
mod properties_dav;
pub mod property;
pub mod propfind;
pub mod proppatch;
pub mod put;
mod quick;
pub mod report;
mod respond;
pub mod target;
#[cfg(test)]
mod tests;
mod timezone;
pub mod update;

use std::sync::Arc;

use http::header::LOCATION;
use http::{Method, StatusCode};

pub use error::{CHALLENGE, DavError};
pub use message::{Body, Request, Response, Steps};
pub use quick::Quick;
pub use respond::XML_TYPE;

use crate::ambient::Ambient;
use crate::limits;
use crate::vault::{AccountStore, VaultError};
use crate::xml::XmlLimits;
use context::Context;
use method::{BodyKind, MethodRow};
use polls::Polls;
use target::{Target, TargetError};

/// What the configuration decides; what is advertised is what is enforced.
#[derive(Debug, Clone)]
pub struct DavSettings {
    /// Bytes of the largest calendar object or file (CALDAV:max-resource-size).
    pub object_bytes: usize,
    /// The most attendees of one instance (CALDAV:max-attendees-per-instance).
    pub attendees: usize,
    /// The URL that clients see, where a proxy hides it.
    pub public_url: Option<String>,
}

impl Default for DavSettings {
    fn default() -> Self {
        DavSettings {
            object_bytes: limits::OBJECT_BYTES,
            attendees: limits::ATTENDEES,
            public_url: None,
        }
    }
}

/// The protocol, ready to answer.
pub struct Dav {
    /// What the configuration decides.
    pub settings: DavSettings,
    /// Clock and randomness.
    pub ambient: Arc<Ambient>,
    polls: Polls,
}

impl Dav {
    /// The protocol with these settings.
    pub fn new(settings: DavSettings, ambient: Arc<Ambient>) -> Dav {
        Dav {
            settings,
            ambient,
            polls: Polls::default(),
        }
    }

    /// Answers a request of a signed-in account. Total: whatever is sent, there is an answer.
    pub fn handle(&self, account: &AccountStore, request: Request) -> Response {
        self.respond(account, &request)
    }

    /// The same for a request that is needed once more.
    pub fn respond(&self, account: &AccountStore, request: &Request) -> Response {
        let answer = self
            .anonymous(request)
            .map_or_else(|| self.answer(account, request), Ok);
        let mut response = answer.unwrap_or_else(DavError::into_response);
        // A read may have seen what is not on the disk yet, so it waits too.
        response.receipt = account.barrier();
        response
    }

    fn answer(&self, account: &AccountStore, request: &Request) -> Result<Response, DavError> {
        // the body may have come long after the sign-in, and a revocation in between (HARDENING H14)
        if !account.is_open() {
            return Err(VaultError::Locked.into());
        }
        let row = method::find(&request.method).ok_or(DavError::NotImplemented)?;
        let mut context = match Context::new(self, account, request) {
            // OPTIONS is 200 everywhere; of what is not ours it tells what the server can do
            Err(DavError::NotFound) if request.method == Method::OPTIONS => {
                return Ok(method::options_response(None));
            }
            context => context?,
        };
        prepare(row, &mut context)?;
        run(row, &context)
    }

    /// What needs no sign-in: OPTIONS, whose answer is then the same for every path, and the
    /// redirect of the well-known path (RFC 6764 section 5). `None`: ask for credentials.
    pub fn anonymous(&self, request: &Request) -> Option<Response> {
        // most requests: nothing below it is for everybody
        if request.method != Method::OPTIONS && request.target.starts_with(target::DAV_ROOT) {
            return None;
        }
        match Target::parse(&request.target) {
            // 307 of the three statuses that the RFC names, so that a PROPFIND keeps its body
            Ok(Target::WellKnown) => {
                Some(Response::new(StatusCode::TEMPORARY_REDIRECT).with(LOCATION, target::DAV_ROOT))
            }
            _ if request.method != Method::OPTIONS => None,
            // the server as a whole (RFC 9110 section 9.3.7)
            _ if request.target == "*" => Some(method::options_response(None)),
            Err(TargetError::Malformed) => {
                Some(DavError::from(TargetError::Malformed).into_response())
            }
            _ if request.headers.contains_key(http::header::AUTHORIZATION) => None,
            _ => Some(method::options_response(None)),
        }
    }

    /// Bytes of body that a method may have; http enforces it while receiving.
    pub fn body_limit(&self, method: &Method) -> usize {
        match method::find(method).map(|row| row.body) {
            // so that an object just too large is refused by its condition's name
            Some(BodyKind::Any) => self.settings.object_bytes + limits::OBJECT_EXCESS_BYTES,
            Some(BodyKind::Xml | BodyKind::Refused | BodyKind::Ignored) | None => limits::XML_BYTES,
        }
    }
}

/// Refuses what the method does not do here, and reads the body.
fn prepare(row: &MethodRow, context: &mut Context<'_>) -> Result<(), DavError> {
    if !(row.applies)(&context.resource) {
        return Err(match context.resource.exists() {
            true => DavError::MethodNotAllowed(method::allow(&context.resource)),
            false => DavError::NotFound,
        });
    }
    match row.body {
        BodyKind::Xml => {
            let (polls, body) = (&context.dav.polls, &context.request.body);
            context.xml = match row.name {
                "PROPFIND" => polls.read(body, || context.read_xml(&XmlLimits::default()))?,
                "REPORT" => context.read_xml(&XmlLimits::multiget())?,
                _ => context.read_xml(&XmlLimits::default())?,
            };
        }
        // an extension that is passed over might have changed what is destroyed
        BodyKind::Refused if !context.request.body.iter().all(u8::is_ascii_whitespace) => {
            return Err(DavError::UnsupportedMediaType("a body without a meaning"));
        }
        BodyKind::Refused | BodyKind::Ignored | BodyKind::Any => {}
    }
    Ok(())
}

fn run(row: &MethodRow, context: &Context<'_>) -> Result<Response, DavError> {
    (row.run)(context).map_err(|error| match error {
        DavError::NeedWrite(_) => DavError::NeedWrite(context.own_href()),
        error => error,
    })
}
