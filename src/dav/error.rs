//! Refusals: one enum for the floor, and the one function that turns it into an answer.
//!
//! What is sent is a status and, where there is one, the precondition's element; the words
//! in an error are for the log. The one sentence that is sent says what is wrong with a calendar
//! object, by line and rule: the client that wrote it has no other way to know.

use http::StatusCode;
use http::header::{ALLOW, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};

use super::message::Response;
use super::precondition::{self, Precondition};
use super::target::TargetError;
use crate::ical::accept::Refusal;
use crate::store::StoreError;
use crate::vault::VaultError;
use crate::xml::{Writer, XmlError, dav, own};

/// Seconds after which a client may try again when the store does not answer.
const RETRY_SECONDS: &str = "30";
/// What asks a client for its credentials (RFC 7617).
pub const CHALLENGE: &str = "Basic realm=\"sealdav\", charset=\"UTF-8\"";

/// Why a request was not done. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DavError {
    /// A named precondition or postcondition.
    Named(&'static Precondition),
    /// The same, with DAV:href elements inside the condition's element.
    NamedWithHrefs(&'static Precondition, Vec<String>),
    /// The same, for a calendar object, with what is wrong with it.
    NamedWithRefusal(&'static Precondition, Refusal),
    /// 400: not a request of our protocols.
    BadRequest(&'static str),
    /// 403 without a named condition.
    Forbidden(&'static str),
    /// 403: the device may read only this resource, an href (RFC 3744 section 7.1.1).
    NeedWrite(String),
    /// 404: not there, or not the asker's: the two must look the same (HARDENING H12).
    NotFound,
    /// 405, with what is allowed here.
    MethodNotAllowed(String),
    /// 409: typically the parent is missing (RFC 4918 section 9.3.1).
    Conflict(&'static str),
    /// 412: a condition of an If header, of Overwrite or of an If-Match kind.
    PreconditionFailed(&'static str),
    /// 413: the body is beyond a bound.
    TooLarge(&'static str),
    /// 415: the body is of a type that the method does not take.
    UnsupportedMediaType(&'static str),
    /// 416: the Range starts behind the end, of so many bytes.
    RangeNotSatisfiable(u64),
    /// 423 without a named condition.
    Locked(&'static str),
    /// 501: no such method.
    NotImplemented,
    /// 502: a Destination on another server (RFC 4918 section 9.8.5).
    BadGateway,
    /// What the vault said and no caller gave a better meaning.
    Vault(VaultError),
}

impl From<VaultError> for DavError {
    /// The one meaning of each refusal of the vault.
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Missing => DavError::NotFound,
            VaultError::Exists => DavError::Conflict("the name is taken"),
            VaultError::UidConflict(_) => DavError::Named(&precondition::NO_UID_CONFLICT),
            VaultError::TokenInvalid => DavError::Named(&precondition::VALID_SYNC_TOKEN),
            VaultError::Limit(_) => DavError::Named(&precondition::QUOTA_NOT_EXCEEDED),
            VaultError::Store(StoreError::Full) => {
                DavError::Named(&precondition::SUFFICIENT_DISK_SPACE)
            }
            // `Dav` puts the href of the request in.
            VaultError::Denied => DavError::NeedWrite(String::new()),
            VaultError::Damaged(_)
            | VaultError::Store(_)
            | VaultError::Locked
            | VaultError::Busy => DavError::Vault(error),
        }
    }
}

impl From<&'static Precondition> for DavError {
    fn from(condition: &'static Precondition) -> Self {
        DavError::Named(condition)
    }
}

impl From<XmlError> for DavError {
    fn from(error: XmlError) -> Self {
        match error {
            XmlError::Malformed(why) => DavError::BadRequest(why),
            XmlError::Encoding => DavError::BadRequest("XML in an unknown encoding"),
            XmlError::TooLarge { what } => DavError::TooLarge(what),
            XmlError::Forbidden => DavError::Named(&precondition::NO_EXTERNAL_ENTITIES),
        }
    }
}

impl From<TargetError> for DavError {
    /// For the request's own target and for hrefs in bodies; a foreign Destination is `BadGateway`.
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Malformed => DavError::BadRequest("a malformed path"),
            TargetError::Foreign => DavError::NotFound,
        }
    }
}

impl DavError {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            DavError::Named(condition)
            | DavError::NamedWithHrefs(condition, _)
            | DavError::NamedWithRefusal(condition, _) => condition.status,
            DavError::BadRequest(_) => StatusCode::BAD_REQUEST,
            DavError::Forbidden(_) | DavError::NeedWrite(_) => StatusCode::FORBIDDEN,
            DavError::NotFound => StatusCode::NOT_FOUND,
            DavError::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            DavError::Conflict(_) => StatusCode::CONFLICT,
            DavError::PreconditionFailed(_) => StatusCode::PRECONDITION_FAILED,
            DavError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            DavError::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            DavError::RangeNotSatisfiable(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            DavError::Locked(_) => StatusCode::LOCKED,
            DavError::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            DavError::BadGateway => StatusCode::BAD_GATEWAY,
            DavError::Vault(error) => vault_status(error),
        }
    }

    /// The words for the log.
    fn reason(&self) -> &'static str {
        match self {
            DavError::Named(condition)
            | DavError::NamedWithHrefs(condition, _)
            | DavError::NamedWithRefusal(condition, _) => condition.name.local,
            DavError::BadRequest(why)
            | DavError::Forbidden(why)
            | DavError::Conflict(why)
            | DavError::PreconditionFailed(why)
            | DavError::TooLarge(why)
            | DavError::UnsupportedMediaType(why)
            | DavError::Locked(why) => why,
            DavError::NeedWrite(_) => "need-privileges",
            DavError::NotFound => "not found",
            DavError::MethodNotAllowed(_) => "method not allowed here",
            DavError::RangeNotSatisfiable(_) => "range not satisfiable",
            DavError::NotImplemented => "unknown method",
            DavError::BadGateway => "destination on another server",
            DavError::Vault(VaultError::Damaged(_)) => "damaged row",
            DavError::Vault(VaultError::Locked) => "account locked",
            DavError::Vault(_) => "store does not answer",
        }
    }

    /// What a person is told: the line and the rule of refused data, else the words of the log.
    pub fn sentence(&self) -> String {
        match self {
            DavError::NamedWithRefusal(_, refusal) => refusal.to_string(),
            other => other.reason().to_owned(),
        }
    }

    /// The condition to name in a DAV:error element.
    pub fn condition(&self) -> Option<&'static Precondition> {
        match self {
            DavError::Named(condition)
            | DavError::NamedWithHrefs(condition, _)
            | DavError::NamedWithRefusal(condition, _) => Some(condition),
            DavError::NeedWrite(_) => Some(&precondition::NEED_PRIVILEGES),
            _ => None,
        }
    }

    /// Writes the DAV:error element, if a condition is named (RFC 4918 section 14.5). It may hold
    /// an element of our own beside the condition: a client that does not know it takes it for a
    /// condition that it does not know, and MUST ignore it (section 14.5).
    pub fn write_error(&self, writer: &mut Writer) {
        if let DavError::NeedWrite(href) = self {
            return write_need_privileges(href, writer);
        }
        let Some(condition) = self.condition() else {
            return;
        };
        let hrefs = match self {
            DavError::NamedWithHrefs(_, hrefs) => hrefs.as_slice(),
            _ => [].as_slice(),
        };
        writer.start(dav("error"));
        if hrefs.is_empty() {
            writer.empty(condition.name);
        } else {
            writer.start(condition.name);
            for href in hrefs {
                writer.element_text(dav("href"), href);
            }
            writer.end();
        }
        if let DavError::NamedWithRefusal(_, refusal) = self {
            writer.element_text(own("sentence"), &refusal.to_string());
        }
        writer.end();
    }

    /// The answer. Internal texts go to the log here and nowhere else.
    pub fn into_response(self) -> Response {
        let status = self.status();
        let mut response = if self.condition().is_some() {
            let mut writer = Writer::document();
            self.write_error(&mut writer);
            Response::xml(status, writer.finish())
        } else {
            Response::new(status)
        };
        response.refusal = Some(self.reason());
        match self {
            DavError::MethodNotAllowed(allow) => response.with(ALLOW, &allow),
            DavError::RangeNotSatisfiable(size) => response.with(
                HeaderName::from_static("content-range"),
                &format!("bytes */{size}"),
            ),
            DavError::Vault(error) => {
                // a conflict's segment is a name that the client gave: never in the log
                match &error {
                    VaultError::Damaged(row) => tracing::error!(row, "a row does not open"),
                    VaultError::Store(error) => tracing::error!(%error, "the store failed"),
                    _ => tracing::error!("the vault could not answer"),
                }
                match error {
                    VaultError::Locked => response.with(WWW_AUTHENTICATE, CHALLENGE),
                    VaultError::Store(_) => response.with(RETRY_AFTER, RETRY_SECONDS),
                    _ => response,
                }
            }
            _ => response,
        }
    }
}

/// Which resource lacks which privilege (RFC 3744 section 7.1.1). What a device that may read only
/// lacks is DAV:write as a whole.
fn write_need_privileges(href: &str, writer: &mut Writer) {
    writer.start(dav("error"));
    writer.start(precondition::NEED_PRIVILEGES.name);
    writer.start(dav("resource"));
    writer.element_text(dav("href"), href);
    writer.start(dav("privilege"));
    writer.empty(dav("write"));
    writer.end();
    writer.end();
    writer.end();
    writer.end();
}

/// The status of what only the vault can have caused; the rest has its own variant.
fn vault_status(error: &VaultError) -> StatusCode {
    match error {
        VaultError::Locked => StatusCode::UNAUTHORIZED,
        VaultError::Store(StoreError::Full) | VaultError::Limit(_) => {
            StatusCode::INSUFFICIENT_STORAGE
        }
        VaultError::Store(_) | VaultError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        VaultError::Damaged(_) => StatusCode::INTERNAL_SERVER_ERROR,
        VaultError::Missing => StatusCode::NOT_FOUND,
        VaultError::Exists | VaultError::UidConflict(_) => StatusCode::CONFLICT,
        VaultError::TokenInvalid | VaultError::Denied => StatusCode::FORBIDDEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dav::message::Body;

    fn text(error: DavError) -> String {
        match error.into_response().body {
            Body::Full(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            _ => String::new(),
        }
    }

    #[test]
    fn conditions_are_named_with_their_content() {
        let named = text(DavError::Named(&precondition::PROPFIND_FINITE_DEPTH));
        assert!(
            named.contains("<D:propfind-finite-depth/></D:error>"),
            "{named}"
        );
        let hrefs = vec!["/a&b".to_owned()];
        let conflict = text(DavError::NamedWithHrefs(
            &precondition::NO_UID_CONFLICT,
            hrefs,
        ));
        let expected = "<C:no-uid-conflict><D:href>/a&amp;b</D:href></C:no-uid-conflict></D:error>";
        assert!(conflict.contains(expected), "{conflict}");
        let reason = "RSCALE is not GREGORIAN";
        let refused = text(DavError::NamedWithRefusal(
            &precondition::SUPPORTED_RSCALE,
            Refusal::SupportedRscale { line: 7, reason },
        ));
        let expected = "<C:supported-rscale/><x:sentence xmlns:x=\"urn:sealdav\">line 7: RSCALE is not \
                        GREGORIAN</x:sentence></D:error>";
        assert!(refused.contains(expected), "{refused}");
    }

    #[test]
    fn internal_texts_are_not_sent() {
        let error = DavError::from(VaultError::Damaged("row 17".to_owned()));
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(text(error), "");
    }

    #[test]
    fn a_full_store_is_507_and_a_failed_one_503() {
        let full = DavError::from(VaultError::Store(StoreError::Full)).into_response();
        assert_eq!(full.status, StatusCode::INSUFFICIENT_STORAGE);
        let closed = DavError::from(VaultError::Store(StoreError::Failed)).into_response();
        assert_eq!(closed.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(closed.headers[RETRY_AFTER], RETRY_SECONDS);
    }
}
