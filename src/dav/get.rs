//! GET and HEAD: objects byte for byte, whole or in ranges; collections as a short page for
//! whoever opens one in a browser (RFC 4918 section 9.4).
//!
//! What is larger than `limits::STREAM_STEP_BYTES` is opened chunk by chunk while it is sent, so
//! that a slow reader holds little. All chunks are of the revision whose ETag stands in the head:
//! when that one goes meanwhile, or does not open, the connection is cut.
//!
//! What is sent was written by clients, so no browser may run it (HARDENING H17, H18): a
//! sandbox without scripts, and everything but plain text and pictures as a download. The nosniff
//! that belongs to it is on every answer, and so is set by `http`.

use std::ops::Range;
use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LAST_MODIFIED,
};
use http::{Method, StatusCode};

use super::conditions::{self, Conditions, Freshness, entity_tag};
use super::context::{Context, Resource};
use super::error::DavError;
use super::headers::{self, Ranges, format_date};
use super::message::{Body, Response};
use crate::ids::CollectionId;
use crate::limits;
use crate::vault::{AccountStore, Collection, Node, Summary, VaultError};

/// Looks at an object that was overwritten between its summary and its body so often at most.
const TRIES: usize = 16;
/// Nothing may run, be loaded, be sent anywhere or be framed.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";
/// What a browser may show by itself: types that cannot hold a script.
const SHOWN: &[&str] = &[
    "text/plain",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
];

/// Answers GET and HEAD.
///
/// # Errors
/// 404, 412, 416; 500 for a damaged object.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    match &context.resource {
        Resource::Object(..) => object(context),
        Resource::Missing(..) | Resource::Nowhere => Err(DavError::NotFound),
        _ => {
            conditions::check_states(context)?;
            Ok(page(context))
        }
    }
}

fn object(context: &Context<'_>) -> Result<Response, DavError> {
    let conditions = Conditions::of(context)?;
    let tree = context.tree()?;
    let path = &tree.path;
    let mut found = context.resource.clone();
    for _ in 0..TRIES {
        let Resource::Object(collection, object) = found else {
            return Err(DavError::NotFound);
        };
        let fresh = conditions::check_read(context.account, &conditions, path, &object)?;
        if fresh == Freshness::NotModified {
            let response = Response::new(StatusCode::NOT_MODIFIED);
            return Ok(with_validators(response, &object).with(CACHE_CONTROL, "private, no-cache"));
        }
        match representation(context, &collection, &object) {
            // overwritten since: its new summary tells where the new body is
            Err(DavError::Vault(VaultError::Missing) | DavError::NotFound) => {}
            answer => return answer,
        }
        found = Resource::of(conditions::node(context.account, tree)?);
    }
    Err(DavError::NotFound)
}

fn representation(
    context: &Context<'_>,
    collection: &Arc<Collection>,
    object: &Arc<Summary>,
) -> Result<Response, DavError> {
    let headers = &context.request.headers;
    let tag = entity_tag(object);
    let ranged = headers::if_range(headers)
        .is_none_or(|condition| condition.holds(&tag, object.modified.seconds()));
    // a Range has a meaning for GET alone (RFC 9110 section 14.2)
    let ranges = match ranged && context.request.method == Method::GET {
        true => headers::ranges(headers, object.size),
        false => Ranges::Whole,
    };
    if context.request.method == Method::HEAD {
        let length = object.size.to_string();
        return Ok(head(object).with(CONTENT_LENGTH, &length));
    }
    match ranges {
        Ranges::Unsatisfiable => Err(DavError::RangeNotSatisfiable(object.size)),
        Ranges::Whole => whole(context, collection, object),
        Ranges::Parts(parts) => partial(context, collection, object, parts),
    }
}

/// The object that the request's URL names now, whatever the request's conditions.
///
/// # Errors
/// 404; 500 for a damaged object.
pub(super) fn current(context: &Context<'_>) -> Result<Response, DavError> {
    match conditions::node(context.account, context.tree()?)? {
        Node::Object(collection, object) => whole(context, &collection, &object),
        _ => Err(DavError::NotFound),
    }
}

fn whole(
    context: &Context<'_>,
    collection: &Collection,
    object: &Arc<Summary>,
) -> Result<Response, DavError> {
    if object.size > limits::STREAM_STEP_BYTES as u64 {
        let all = vec![Piece::Part(0..object.size)];
        return in_pieces(context, collection, object, all, head(object));
    }
    let body = context.account.body(collection.id, object)?;
    Ok(Response {
        body: Body::Full(Bytes::from(body)),
        ..head(object)
    })
}

/// What a body is put together from.
enum Piece {
    /// What stands between the parts of an object.
    Text(Bytes),
    /// Bytes of the object, from and to.
    Part(Range<u64>),
}

impl Piece {
    fn bytes(&self) -> u64 {
        match self {
            Piece::Text(text) => text.len() as u64,
            Piece::Part(part) => part.end - part.start,
        }
    }
}

/// The bytes of pieces, opened when they are asked for.
struct Steps {
    account: AccountStore,
    collection: CollectionId,
    object: Arc<Summary>,
    pieces: vec::IntoIter<Piece>,
    /// What is left of the part at hand.
    part: Range<u64>,
}

impl Iterator for Steps {
    type Item = Result<Bytes, VaultError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.part.is_empty() {
            match self.pieces.next()? {
                Piece::Text(text) => return Some(Ok(text)),
                Piece::Part(part) => self.part = part,
            }
        }
        let Range { start, end } = self.part;
        let read = self.account.body_from(self.collection, &self.object, start);
        Some(read.map(|mut bytes| {
            bytes.truncate(usize::try_from(end - start).unwrap_or(usize::MAX));
            self.part.start += bytes.len() as u64;
            Bytes::from(bytes)
        }))
    }
}

/// An answer with these pieces as its body, streamed when they are large. The first chunk is
/// opened at once: until then an overwritten object is looked up again, and a damaged one is 500.
fn in_pieces(
    context: &Context<'_>,
    collection: &Collection,
    object: &Arc<Summary>,
    pieces: Vec<Piece>,
    response: Response,
) -> Result<Response, DavError> {
    let bytes: u64 = pieces.iter().map(Piece::bytes).sum();
    let small = bytes <= limits::STREAM_STEP_BYTES as u64;
    // of several parts the first piece is the head of the first part
    let opened = match small {
        true => usize::MAX,
        false => pieces.len().min(2),
    };
    let mut steps = Steps {
        account: context.account.clone(),
        collection: collection.id,
        object: object.clone(),
        pieces: pieces.into_iter(),
        part: 0..0,
    };
    let first = steps.by_ref().take(opened);
    let first = first.collect::<Result<Vec<Bytes>, VaultError>>()?;
    if small {
        let body = Body::Full(Bytes::from(first.concat()));
        return Ok(Response { body, ..response });
    }
    let body = Body::Stream(Box::new(first.into_iter().map(Ok).chain(steps)));
    let response = Response { body, ..response };
    Ok(response.with(CONTENT_LENGTH, &bytes.to_string()))
}

/// 200 with all headers that describe an object.
fn head(object: &Summary) -> Response {
    let kind = content_type(object);
    let response = with_validators(Response::new(StatusCode::OK), object);
    guarded(response, &kind)
        .with_fixed(ACCEPT_RANGES, "bytes")
        .with(CONTENT_TYPE, &kind)
}

/// 206 (RFC 9110 section 15.3.7).
fn partial(
    context: &Context<'_>,
    collection: &Collection,
    object: &Arc<Summary>,
    parts: Vec<Range<u64>>,
) -> Result<Response, DavError> {
    let content_range =
        |part: &Range<u64>| format!("bytes {}-{}/{}", part.start, part.end - 1, object.size);
    let mut response = head(object);
    response.status = StatusCode::PARTIAL_CONTENT;
    if let [part] = parts.as_slice() {
        let response = response.with(CONTENT_RANGE, &content_range(part));
        let part = vec![Piece::Part(part.clone())];
        return in_pieces(context, collection, object, part, response);
    }
    let kind = content_type(object);
    // random, so that no content can end a part early
    let boundary = hex(&context.dav.ambient.bytes::<16>());
    let mut pieces = Vec::new();
    for part in parts {
        let range = content_range(&part);
        let head =
            format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n");
        pieces.extend([Piece::Text(Bytes::from(head)), Piece::Part(part)]);
    }
    let end = format!("\r\n--{boundary}--\r\n");
    pieces.push(Piece::Text(Bytes::from(end)));
    response.headers.remove(CONTENT_TYPE);
    let kind = format!("multipart/byteranges; boundary={boundary}");
    let response = response.with(CONTENT_TYPE, &kind);
    in_pieces(context, collection, object, pieces, response)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The media type of an object, as DAV:getcontenttype has it: a calendar object's names its
/// component, by which clients sort them, and never what a file was stored as before it was
/// moved into a calendar.
pub(super) fn content_type(object: &Summary) -> String {
    match &object.calendar {
        Some(facts) => {
            format!(
                "text/calendar; charset=utf-8; component={}",
                facts.component.as_str()
            )
        }
        None => object.content_type.as_str().to_owned(),
    }
}

/// With ETag and Last-Modified.
pub(super) fn with_validators(response: Response, object: &Summary) -> Response {
    response
        .with(ETAG, &object.etag.to_string())
        .with(LAST_MODIFIED, &format_date(object.modified.seconds()))
}

/// With what keeps a browser from running it.
pub(super) fn guarded(response: Response, content_type: &str) -> Response {
    let bare = content_type.split(';').next().unwrap_or("").trim();
    let response = response
        .with_fixed(CONTENT_SECURITY_POLICY, POLICY)
        .with_fixed(CACHE_CONTROL, "private, no-cache");
    // of several types in one header browsers take the last
    let lone = !content_type.contains(',');
    if lone && SHOWN.iter().any(|shown| bare.eq_ignore_ascii_case(shown)) {
        return response;
    }
    // without a file name: the browser takes the last segment of the URL
    response.with_fixed(CONTENT_DISPOSITION, "attachment")
}

/// The page of a collection. It says where one is and lists nothing, since it would end up in
/// a browser's history.
fn page(context: &Context<'_>) -> Response {
    let what = match &context.resource {
        Resource::Collection(collection) if collection.is_calendar() => "a calendar",
        Resource::Collection(_) => "a collection",
        _ => "a place",
    };
    let href = escaped(&context.own_href());
    let text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{href}</title>\n\
         <h1>{href}</h1>\n<p>This is {what} of a CalDAV server. Enter its address into a \
         calendar program.</p>\n</html>\n"
    );
    let response = Response::new(StatusCode::OK)
        .with(CONTENT_TYPE, "text/html; charset=utf-8")
        .with(CONTENT_SECURITY_POLICY, POLICY)
        .with(CACHE_CONTROL, "private, no-cache");
    if context.request.method == Method::HEAD {
        return response.with(CONTENT_LENGTH, &text.len().to_string());
    }
    Response {
        body: Body::Full(Bytes::from(text)),
        ..response
    }
}

/// For HTML text and double-quoted attributes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h18_only_harmless_types_are_shown() {
        let disposition = |kind: &str| {
            let response = guarded(Response::new(StatusCode::OK), kind);
            response.headers.contains_key(CONTENT_DISPOSITION)
        };
        for active in [
            "text/html",
            "image/svg+xml",
            "text/xml",
            "text/calendar",
            "TEXT/HTML;x",
            "text/plain;x, text/html",
            "?",
        ] {
            assert!(disposition(active), "{active}");
        }
        for inert in ["text/plain; charset=utf-8", "image/PNG"] {
            assert!(!disposition(inert), "{inert}");
        }
    }

    #[test]
    fn h17_pages_are_escaped() {
        assert_eq!(escaped("<a b='\"&"), "&lt;a b=&#39;&quot;&amp;");
    }
}
