//! DAV:sync-collection (RFC 6578), on calendars and on the home.

use http::StatusCode;

use super::super::context::{Context, Resource};
use super::super::error::DavError;
use super::super::headers::{self, Depth};
use super::super::message::Response;
use super::super::multistatus::{
    self, Progress, Responder, Source, write_error_response, write_status_response,
};
use super::super::precondition::{
    NUMBER_OF_MATCHES_WITHIN_LIMITS, SUPPORTED_REPORT, SYNC_TRAVERSAL_SUPPORTED, TRUNCATED,
};
use super::super::propfind::{Ahead, MemberHrefs, member_href};
use super::calendar_data;
use crate::limits;
use crate::vault::{Change, Changes, CollectionKind};
use crate::xml::{Element, dav};

/// How far the report reaches (section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    One,
    Infinite,
}

/// Answers with what changed since the token; at most DAV:nresults, and then 507 for the
/// collection itself (section 3.6).
///
/// # Errors
/// 403 valid-sync-token; 400.
pub fn run(context: &Context<'_>, body: &Element) -> Result<Response, DavError> {
    let Resource::Collection(collection) = &context.resource else {
        return Err(DavError::Named(&SUPPORTED_REPORT));
    };
    let token = body
        .child(dav("sync-token"))
        .map(Element::text)
        .unwrap_or_default();
    let since = Some(token.trim()).filter(|token| !token.is_empty());
    let level = level(context, body)?;
    let limit = limit(body)?;
    let selection = calendar_data::selection(body)?;
    let changes = context.account.changes(collection.id, since, limit)?;
    let responder = Responder::new(context, selection);
    let href = context.own_href();
    multistatus::respond_with(responder, |responder| {
        source(responder, href, changes, level)
    })
}

/// The level; drafts of the RFC used Depth instead, and some clients still send both.
fn level(context: &Context<'_>, body: &Element) -> Result<Level, DavError> {
    let text = body
        .child(dav("sync-level"))
        .map(|element| element.text().trim().to_owned());
    match text.as_deref() {
        Some("1") => Ok(Level::One),
        Some("infinite" | "infinity") => Ok(Level::Infinite),
        Some(_) => Err(DavError::BadRequest("an unknown sync-level")),
        None => match headers::depth(&context.request.headers) {
            Ok(Some(Depth::Infinity)) => Ok(Level::Infinite),
            Ok(_) => Ok(Level::One),
            Err(error) => Err(DavError::BadRequest(error.header())),
        },
    }
}

/// The most changes the client wants in one answer (RFC 5323 section 5.17).
fn limit(body: &Element) -> Result<usize, DavError> {
    let Some(limit) = body.child(dav("limit")) else {
        return Ok(limits::MEMBERS);
    };
    let text = limit
        .child(dav("nresults"))
        .map(Element::text)
        .unwrap_or_default();
    match text.trim().parse() {
        Ok(0) => Err(DavError::Named(&NUMBER_OF_MATCHES_WITHIN_LIMITS)),
        Ok(count) => Ok(limits::MEMBERS.min(count)),
        Err(_) => Err(DavError::BadRequest("nresults is no number")),
    }
}

fn source(responder: Responder, base: String, changes: Changes, level: Level) -> Source {
    let responses = changes.changes.len();
    let mut ahead = Ahead::default();
    let mut rest = changes.changes.into_iter();
    let collection = changes.collection;
    let mut members = MemberHrefs::new(collection.clone(), base);
    let mut end = Some((changes.token, changes.truncated));
    Source::new(responder.scene.account.clone(), move |writer| {
        ahead.look(rest.as_slice().iter().filter_map(|change| match change {
            Change::Object(object) => Some(object),
            Change::Collection(_) | Change::Gone(_) => None,
        }));
        match rest.next() {
            Some(Change::Object(object)) => {
                let (href, resource) = members.of(object);
                responder.write(href, resource, writer)?;
            }
            Some(Change::Collection(member)) => {
                let href = member_href(members.base(), &member);
                match (level, member.kind) {
                    (Level::One, _) => {
                        responder.write(&href, &Resource::Collection(member), writer)?;
                    }
                    // each calendar is synchronised for itself (section 3.3)
                    (Level::Infinite, CollectionKind::Calendar(_)) => {
                        let error = DavError::Named(&SYNC_TRAVERSAL_SUPPORTED);
                        write_error_response(&href, &error, writer);
                    }
                    (Level::Infinite, _) => {
                        let error = DavError::Named(&SUPPORTED_REPORT);
                        write_error_response(&href, &error, writer);
                    }
                }
            }
            Some(Change::Gone(segment)) => {
                let mut href = members.href(&segment).to_owned();
                // what goes from a home is a collection
                if !collection.is_calendar() {
                    href.push('/');
                }
                write_status_response(&href, StatusCode::NOT_FOUND, writer);
            }
            None => {
                if let Some((token, truncated)) = end.take() {
                    if truncated {
                        let error = DavError::Named(&TRUNCATED);
                        write_error_response(members.base(), &error, writer);
                    }
                    writer.element_text(dav("sync-token"), &token);
                }
                return Ok(Progress::Done);
            }
        }
        Ok(Progress::More)
    })
    .expecting(responses, 0)
}
