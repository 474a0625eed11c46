//! PUT: a file into a plain collection, a calendar object into a calendar (RFC 4918 section
//! 9.7, RFC 4791 sections 5.3.2 and 5.3.2.1). What was received is stored byte for byte, so
//! the answer carries a strong ETag (RFC 4791 section 5.3.4).
//!
//! Everything that only depends on the body is decided before the commit; what depends on the
//! state (conditions, locks, the name, the UID) is decided inside it.

use std::sync::Arc;

use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, HeaderName};

use super::DavSettings;
use super::conditions::{self, Conditions, bad_header};
use super::context::{Context, Resource};
use super::error::DavError;
use super::get::{self, content_type, guarded, with_validators};
use super::headers::{self, Return};
use super::locks::Write;
use super::message::{Body, Response};
use super::precondition as named;
use super::target::{HrefForm, href};
use crate::ical::accept::{Refusal, accept};
use crate::ical::moments::Memo;
use crate::ical::summary::extent;
use crate::ical::tree::Calendar;
use crate::ids::Segment;
use crate::limits;
use crate::vault::{
    AccountStore, CalendarFacts, Collection, CollectionKind, NewObject, Node, Summary, Transaction,
    VaultError,
};

/// How calendar objects are stored, whatever parameters the client gave: their charset is
/// checked to be UTF-8 (RFC 5545 section 3.1.4).
pub const CALENDAR_TYPE: &str = "text/calendar; charset=utf-8";
/// For a file without Content-Type (RFC 9110 section 8.3).
pub const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Answers PUT.
///
/// # Errors
/// 400, 403 with a precondition of RFC 4791 section 5.3.2.1, 405 on a collection, 409 without
/// a parent, 412, 413, 415, 423, 507.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    let tree = context.tree()?;
    let path = &tree.path;
    let conditions = Conditions::of(context)?;
    if tree.trailing_slash && !matches!(context.resource, Resource::Collection(_)) {
        // such an object could not be found again by the URL it was put to
        return Err(DavError::Conflict("an object's URL does not end with '/'"));
    }
    let into = parent_of(&conditions::node(context.account, tree)?)?;
    let content = Content::read(context, into.kind)?;
    let written = context.account.write(|tx| {
        let node = conditions::node(tx.account(), tree)?;
        let parent = parent_of(&node)?;
        let write = match node {
            Node::Object(..) => Write::Modify(path),
            _ => Write::Create(path),
        };
        conditions::check(tx.account(), &conditions, path, &[write])?;
        let name = name_of(&node, path)?;
        store(tx, &parent, name, content)
    });
    let (object, created) = match written {
        Err(DavError::PreconditionFailed(why)) => return Ok(outdated(context, why)),
        written => written?,
    };
    let status = match created {
        true => StatusCode::CREATED,
        false => StatusCode::NO_CONTENT,
    };
    Ok(answer(
        context,
        with_validators(Response::new(status), &object),
        &object,
        path,
    ))
}

/// 412, with what is there now for a client that prefers to get it: it needs it to merge
/// (RFC 8144 section 3.2).
fn outdated(context: &Context<'_>, why: &'static str) -> Response {
    let refusal = || DavError::PreconditionFailed(why).into_response();
    if headers::prefer(&context.request.headers).wanted != Some(Return::Representation) {
        return refusal();
    }
    // a GET without the conditions that failed
    match get::current(context) {
        Ok(current) => Response {
            status: StatusCode::PRECONDITION_FAILED,
            refusal: Some(why),
            ..current.with(PREFERENCE_APPLIED, "return=representation")
        },
        Err(_) => refusal(),
    }
}

/// RFC 7240 section 3.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The collection that an object at `node` is in or would be in.
///
/// # Errors
/// 405 on a collection, 409 where none is, 403 in the home, which holds collections only.
fn parent_of(node: &Node) -> Result<Arc<Collection>, DavError> {
    match node {
        Node::Object(parent, _) | Node::Missing(parent, _) => match parent.kind {
            CollectionKind::Home => Err(NO_FILES_HERE),
            CollectionKind::Plain | CollectionKind::Calendar(_) => Ok(parent.clone()),
        },
        Node::Collection(_) => Err(DavError::MethodNotAllowed(super::method::allow(
            &Resource::of(node.clone()),
        ))),
        Node::Nowhere => Err(DavError::Conflict("the parent is missing")),
    }
}

/// Clients list the home to find calendars, and every one of them would list the file too.
pub(super) const NO_FILES_HERE: DavError =
    DavError::Forbidden("the home holds collections, not files");

fn name_of<'a>(node: &'a Node, path: &'a [Segment]) -> Result<&'a Segment, DavError> {
    match node {
        Node::Object(_, object) => Ok(&object.segment),
        Node::Missing(_, segment) => Ok(segment),
        _ => path
            .last()
            .ok_or(DavError::Conflict("the home is no object")),
    }
}

/// A body that was found good for the kind of collection it goes into.
pub(super) struct Content {
    body: Vec<u8>,
    content_type: String,
    calendar: Option<CalendarFacts>,
}

impl Content {
    /// Checks the request's body and its headers.
    ///
    /// # Errors
    /// As [`run`], as far as the body alone decides.
    pub(super) fn read(context: &Context<'_>, into: CollectionKind) -> Result<Self, DavError> {
        let headers = &context.request.headers;
        if headers.contains_key(CONTENT_RANGE) {
            // a part must not replace the whole (RFC 9110 section 14.5)
            return Err(DavError::BadRequest("Content-Range with PUT"));
        }
        let encoding = headers.get(CONTENT_ENCODING).map(|value| value.as_bytes());
        if encoding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
            return Err(DavError::UnsupportedMediaType("a content coding"));
        }
        let body = context.request.body.to_vec();
        let limit = context.dav.settings.object_bytes;
        let media_type = headers::content_type(headers).map_err(bad_header)?;
        if !matches!(into, CollectionKind::Calendar(_)) {
            if body.len() > limit {
                return Err(DavError::TooLarge("a file beyond the configured size"));
            }
            // with its parameters: a charset that is lost cannot be guessed again
            let content_type = context
                .header(CONTENT_TYPE.as_str())
                .unwrap_or(UNKNOWN_TYPE);
            if content_type.len() > limits::CONTENT_TYPE_BYTES {
                return Err(DavError::BadRequest("a long Content-Type"));
            }
            let content_type = content_type.to_owned();
            return Ok(Content {
                body,
                content_type,
                calendar: None,
            });
        }
        if let Some(given) = media_type {
            let charset = given.charset.as_deref().unwrap_or("utf-8");
            let utf8 = ["utf-8", "utf8", "us-ascii"].contains(&charset);
            if given.media_type != "text/calendar" || !utf8 {
                return Err(DavError::Named(&named::SUPPORTED_CALENDAR_DATA));
            }
        }
        let facts = calendar_facts(context, &body, into)?;
        let content_type = CALENDAR_TYPE.to_owned();
        Ok(Content {
            body,
            content_type,
            calendar: Some(facts),
        })
    }
}

/// Parses and judges a calendar object for a calendar of that kind.
///
/// # Errors
/// The preconditions of RFC 4791 section 5.3.2.1.
pub(super) fn calendar_facts(
    context: &Context<'_>,
    body: &[u8],
    into: CollectionKind,
) -> Result<CalendarFacts, DavError> {
    judge(&context.dav.settings, body, into)
}

/// The same, for whoever has an object and no request yet.
///
/// # Errors
/// As `calendar_facts`.
pub fn judge(
    settings: &DavSettings,
    body: &[u8],
    into: CollectionKind,
) -> Result<CalendarFacts, DavError> {
    if body.len() > settings.object_bytes {
        return Err(DavError::Named(&named::MAX_RESOURCE_SIZE));
    }
    let calendar = Calendar::parse(body).map_err(|error| refused(Refusal::from(error)))?;
    let found = accept(&calendar).map_err(refused)?;
    if found.attendees_max > settings.attendees {
        return Err(DavError::Named(&named::MAX_ATTENDEES_PER_INSTANCE));
    }
    let facts = CalendarFacts {
        uid: found.uid.into(),
        component: found.kind,
        extent: extent(&calendar),
        moments: Memo::default(),
    };
    fits(&facts, into)?;
    Ok(facts)
}

/// Whether a calendar takes the component.
///
/// # Errors
/// CALDAV:supported-calendar-component.
pub(super) fn fits(facts: &CalendarFacts, into: CollectionKind) -> Result<(), DavError> {
    match into {
        CollectionKind::Calendar(kinds) if kinds.contains(facts.component) => Ok(()),
        _ => Err(DavError::Named(&named::SUPPORTED_CALENDAR_COMPONENT)),
    }
}

fn refused(refusal: Refusal) -> DavError {
    // the reason names a line and a rule, never content, so it may be logged
    tracing::debug!(%refusal, "calendar data refused");
    let condition = match refusal {
        Refusal::ValidCalendarData { .. } => &named::VALID_CALENDAR_DATA,
        Refusal::ValidCalendarObjectResource { .. } => &named::VALID_CALENDAR_OBJECT_RESOURCE,
        Refusal::SupportedCalendarComponent { .. } => &named::SUPPORTED_CALENDAR_COMPONENT,
        Refusal::SupportedRscale { .. } => &named::SUPPORTED_RSCALE,
    };
    DavError::NamedWithRefusal(condition, refusal)
}

/// Stores it, inside the commit, after the conditions were checked.
///
/// # Errors
/// CALDAV:no-uid-conflict with the other's href; 409 when the collection has become another one.
pub(super) fn store(
    tx: &mut Transaction,
    parent: &Collection,
    name: &Segment,
    content: Content,
) -> Result<(Arc<Summary>, bool), DavError> {
    match (&content.calendar, parent.kind) {
        (Some(facts), CollectionKind::Calendar(_)) => {
            fits(facts, parent.kind)?;
            keeps_uid(tx.account(), parent, name, facts)?;
        }
        (None, CollectionKind::Plain) => {}
        // replaced by another kind of collection while the body was being read
        _ => return Err(DavError::Conflict("the collection was replaced")),
    }
    let account = tx.account().clone();
    let new = NewObject {
        parent: parent.id,
        segment: name.clone(),
        body: content.body,
        content_type: content.content_type,
        calendar: content.calendar,
    };
    tx.put(new)
        .map_err(|error| uid_error(&account, parent, error))
}

/// An object keeps its UID for life: a client that knows it by its UID would lose it.
///
/// # Errors
/// CALDAV:no-uid-conflict with the href of the object itself (RFC 4791 section 5.3.2.1).
pub(super) fn keeps_uid(
    account: &AccountStore,
    parent: &Collection,
    name: &Segment,
    facts: &CalendarFacts,
) -> Result<(), DavError> {
    let existing = account.object(parent.id, name)?;
    let other = existing.is_some_and(|object| {
        object
            .calendar
            .as_ref()
            .is_some_and(|known| known.uid != facts.uid)
    });
    if other {
        return Err(uid_error(
            account,
            parent,
            VaultError::UidConflict(name.clone()),
        ));
    }
    Ok(())
}

/// Names the object that has the UID already.
pub(super) fn uid_error(
    account: &AccountStore,
    parent: &Collection,
    error: VaultError,
) -> DavError {
    let VaultError::UidConflict(segment) = error else {
        return error.into();
    };
    let mut path = account.path_of(parent.id);
    path.push(segment);
    let other = href(account.name(), &path, HrefForm::Object);
    DavError::NamedWithHrefs(&named::NO_UID_CONFLICT, vec![other])
}

/// Adds the representation that was stored, when the client prefers to get it (RFC 8144
/// section 3.1): it saves a GET and is what was sent.
pub(super) fn answer(
    context: &Context<'_>,
    mut response: Response,
    object: &Summary,
    path: &[Segment],
) -> Response {
    if headers::prefer(&context.request.headers).wanted != Some(Return::Representation) {
        return response;
    }
    if response.status == StatusCode::NO_CONTENT {
        response.status = StatusCode::OK;
    }
    response.body = Body::Full(context.request.body.clone());
    let kind = content_type(object);
    guarded(response, &kind)
        .with(CONTENT_TYPE, &kind)
        .with(CONTENT_LOCATION, &context.href(path, HrefForm::Object))
        .with(PREFERENCE_APPLIED, "return=representation")
}
