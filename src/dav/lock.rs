//! LOCK and UNLOCK (RFC 4918 sections 9.10 and 9.11): write locks, exclusive and shared, of
//! depth 0 and infinity. A new lock has a body, a refresh has none.

use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderName;

use super::conditions::{self, Conditions, bad_header, lock_error};
use super::context::Context;
use super::error::DavError;
use super::headers::{self, Depth, Timeout};
use super::lock_xml::{write_lock_discovery, write_locks};
use super::locks::{self, Write};
use super::message::Response;
use super::multistatus;
use super::precondition as named;
use super::put::{NO_FILES_HERE, UNKNOWN_TYPE};
use crate::ambient::UnixMillis;
use crate::limits;
use crate::vault::{
    Collection, CollectionKind, Lock, LockDepth, LockScope, NewObject, Node, Transaction,
};
use crate::xml::{Element, Writer, dav};

/// Answers LOCK.
///
/// # Errors
/// 400, 403 where no empty resource can be, 409 without a parent, 412, 415, 423, 507.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    match &context.xml {
        Some(info) => create(context, info),
        None => refresh(context),
    }
}

fn create(context: &Context<'_>, info: &Element) -> Result<Response, DavError> {
    let tree = context.tree()?;
    let path = &tree.path;
    let conditions = Conditions::of(context)?;
    let (scope, owner) = lock_info(info)?;
    let depth = match headers::depth(&context.request.headers).map_err(bad_header)? {
        Some(Depth::Zero) => LockDepth::Zero,
        None | Some(Depth::Infinity) => LockDepth::Infinity,
        Some(Depth::One) => return Err(DavError::BadRequest("a lock of depth 1")),
    };
    let granted = context.account.write(|tx| {
        let node = conditions::node(tx.account(), tree)?;
        let creates = [Write::Create(path)];
        let writes: &[Write<'_>] = match node {
            Node::Missing(..) => &creates,
            _ => &[],
        };
        conditions::check(tx.account(), &conditions, path, writes)?;
        if tree.trailing_slash && matches!(node, Node::Missing(..)) {
            // what a lock makes is no collection (section 7.3), and would not be found there
            return Err(DavError::Conflict("an object's URL does not end in '/'"));
        }
        if let Some(other) = locks::conflicts(&tx.account().locks(), path, depth, scope) {
            let error = lock_error(tx.account(), &named::NO_CONFLICTING_LOCK, other);
            if locks::covers(other, path) {
                return Err(error);
            }
            return Ok(Err(barred_below(context, other, &error)));
        }
        let status = make_lockable(tx, node)?;
        let token = format!("urn:uuid:{}", tx.random_uuid());
        let expires = expiry(context, tx.now());
        let root = path.to_vec();
        let lock = Lock {
            token,
            root,
            depth,
            scope,
            owner,
            expires,
        };
        tx.add_lock(lock.clone())?;
        Ok::<_, DavError>(Ok((lock, status)))
    })?;
    let (lock, status) = match granted {
        Ok(granted) => granted,
        Err(refusal) => return Ok(refusal),
    };
    let token = format!("<{}>", lock.token);
    let now = context.dav.ambient.now();
    let others = context.account.locks();
    let others = others.iter().map(Arc::as_ref);
    // written from what was granted: the lock might be gone again by now
    let others = others.filter(|other| locks::covers(other, path) && other.token != lock.token);
    let mut writer = Writer::document();
    writer.start(dav("prop"));
    write_locks(
        &mut writer,
        context.account,
        std::iter::once(&lock).chain(others),
        now,
    );
    let response = Response::xml(status, writer.finish());
    Ok(response.with(HeaderName::from_static("lock-token"), &token))
}

/// The answer when a lock below bars a deep one: it names the member that is in the way, and the
/// resource asked for as failed with it (RFC 4918 sections 9.10.3 and 9.10.9).
fn barred_below(context: &Context<'_>, other: &Lock, error: &DavError) -> Response {
    let response = multistatus::respond_now(|writer| {
        let member = conditions::href_of(context.account, &other.root);
        multistatus::write_error_response(&member, error, writer);
        let asked = context.request.target.split('?').next().unwrap_or_default();
        multistatus::write_status_response(asked, StatusCode::FAILED_DEPENDENCY, writer);
    });
    Response {
        refusal: Some("no-conflicting-lock"),
        ..response
    }
}

/// Makes the empty resource of a name that nothing has (RFC 4918 section 7.3).
///
/// # Errors
/// 409 without a parent; 403 where nothing empty can be: in the home, and in a calendar, whose
/// members must be calendar objects from the start (RFC 4791 section 4.2).
fn make_lockable(tx: &mut Transaction, node: Node) -> Result<StatusCode, DavError> {
    match node {
        Node::Collection(_) | Node::Object(..) => Ok(StatusCode::OK),
        Node::Nowhere => Err(DavError::Conflict("the parent is missing")),
        Node::Missing(parent, segment) => {
            empty_fits(&parent)?;
            tx.put(NewObject {
                parent: parent.id,
                segment,
                body: Vec::new(),
                content_type: UNKNOWN_TYPE.to_owned(),
                calendar: None,
            })?;
            Ok(StatusCode::CREATED)
        }
    }
}

fn empty_fits(parent: &Collection) -> Result<(), DavError> {
    match parent.kind {
        CollectionKind::Plain => Ok(()),
        CollectionKind::Calendar(_) => Err(DavError::Named(&named::VALID_CALENDAR_DATA)),
        CollectionKind::Home => Err(NO_FILES_HERE),
    }
}

/// Scope and owner out of DAV:lockinfo (section 14.11).
fn lock_info(info: &Element) -> Result<(LockScope, String), DavError> {
    if !info.is(dav("lockinfo")) {
        return Err(DavError::BadRequest("LOCK takes a DAV:lockinfo"));
    }
    let write = info
        .child(dav("locktype"))
        .and_then(|kind| kind.child(dav("write")));
    let scope = info
        .child(dav("lockscope"))
        .ok_or(DavError::BadRequest("no lockscope"))?;
    let exclusive = scope.child(dav("exclusive")).is_some();
    let shared = scope.child(dav("shared")).is_some();
    let scope = match (write, exclusive, shared) {
        (Some(_), true, false) => LockScope::Exclusive,
        (Some(_), false, true) => LockScope::Shared,
        _ => {
            return Err(DavError::BadRequest(
                "not a write lock, exclusive or shared",
            ));
        }
    };
    let owner = info
        .child(dav("owner"))
        .map(Element::to_xml)
        .unwrap_or_default();
    if owner.len() > limits::LOCK_OWNER_BYTES {
        return Err(DavError::TooLarge("a lock's owner"));
    }
    Ok((scope, owner))
}

/// When a lock taken or refreshed now ends.
fn expiry(context: &Context<'_>, now: UnixMillis) -> UnixMillis {
    let most = limits::LOCK_SECONDS;
    let seconds = match headers::timeout(&context.request.headers) {
        // a lock of no time at all could never be used
        Some(Timeout::Seconds(wanted)) => u64::from(wanted).clamp(1, most),
        Some(Timeout::Infinite) | None => most,
    };
    let millis = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
    UnixMillis(now.0.saturating_add(millis))
}

/// A LOCK without a body (section 9.10.2): the lock named in the If header gets a new timeout.
fn refresh(context: &Context<'_>) -> Result<Response, DavError> {
    let path = context.path()?;
    let conditions = Conditions::of(context)?;
    if conditions.submitted().is_empty() {
        return Err(DavError::BadRequest(
            "LOCK without a body refreshes, and needs an If header",
        ));
    }
    context.account.write(|tx| {
        let named_here =
            |lock: &Lock| conditions.submitted().contains(&lock.token) && locks::covers(lock, path);
        let locks = tx.account().locks();
        let Some(lock) = locks.iter().find(|lock| named_here(lock)) else {
            return Err(DavError::Named(&REFRESHED_ELSEWHERE));
        };
        conditions::check(tx.account(), &conditions, path, &[])?;
        let expires = expiry(context, tx.now());
        tx.refresh_lock(&lock.token, expires);
        Ok(())
    })?;
    let mut writer = Writer::document();
    writer.start(dav("prop"));
    write_lock_discovery(
        &mut writer,
        context.account,
        path,
        context.dav.ambient.now(),
    );
    Ok(Response::xml(StatusCode::OK, writer.finish()))
}

/// The same condition as UNLOCK's, but 412 (section 9.10.6).
const REFRESHED_ELSEWHERE: named::Precondition = named::Precondition {
    name: named::LOCK_TOKEN_MATCHES_REQUEST_URI.name,
    status: StatusCode::PRECONDITION_FAILED,
};

/// Answers UNLOCK.
///
/// # Errors
/// 400 without a Lock-Token header, 409 lock-token-matches-request-uri when the lock is gone
/// or reaches elsewhere, 412.
pub fn run_unlock(context: &Context<'_>) -> Result<Response, DavError> {
    let path = context.path()?;
    let conditions = Conditions::of(context)?;
    let token = headers::lock_token(&context.request.headers).map_err(bad_header)?;
    let token = token.ok_or(DavError::BadRequest("UNLOCK needs a Lock-Token header"))?;
    context.account.write(|tx| {
        conditions::check(tx.account(), &conditions, path, &[])?;
        let locks = tx.account().locks();
        if !locks
            .iter()
            .any(|lock| lock.token == token && locks::covers(lock, path))
        {
            return Err(DavError::Named(&named::LOCK_TOKEN_MATCHES_REQUEST_URI));
        }
        tx.remove_lock(token)?;
        Ok(())
    })?;
    Ok(Response::new(StatusCode::NO_CONTENT))
}
