//! COPY and MOVE within an account's tree (RFC 4918 sections 9.8 and 9.9). All or nothing, in
//! one commit; locks are neither copied nor moved (section 7.6).
//!
//! What goes into a calendar must be a calendar object that the calendar takes (RFC 4791
//! section 5.3.2.1), and a calendar stays directly in the home.

use std::sync::Arc;

use http::StatusCode;
use http::header::HeaderName;

use super::conditions::{self, Conditions, bad_header};
use super::context::Context;
use super::error::DavError;
use super::headers::{self, Depth, Overwrite};
use super::locks::Write;
use super::message::Response;
use super::precondition as named;
use super::put::{NO_FILES_HERE, calendar_facts, fits, keeps_uid, uid_error};
use super::target::TreePath;
use crate::ids::Segment;
use crate::limits;
use crate::vault::{
    AccountStore, CalendarFacts, Collection, CollectionKind, Destination, LockDepth, Node, Summary,
    VaultError,
};

/// Which of the two methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Copy,
    Move,
}

/// Answers COPY.
///
/// # Errors
/// 400, 403 onto itself, 409 without a parent, 412, 423, 502, and the preconditions of RFC 4791
/// section 5.3.2.1.
pub fn run_copy(context: &Context<'_>) -> Result<Response, DavError> {
    run(context, Method::Copy)
}

/// Answers MOVE.
///
/// # Errors
/// As COPY.
pub fn run_move(context: &Context<'_>) -> Result<Response, DavError> {
    run(context, Method::Move)
}

/// What the headers ask for.
struct Plan<'a> {
    method: Method,
    source: &'a TreePath,
    to: TreePath,
    depth: Option<Depth>,
    overwrite: Overwrite,
    conditions: Conditions,
}

fn run(context: &Context<'_>, method: Method) -> Result<Response, DavError> {
    let plan = Plan::read(context, method)?;
    let created = match conditions::node(context.account, plan.source)? {
        Node::Object(collection, object) => transfer_object(context, &plan, &collection, &object)?,
        Node::Collection(source) => transfer_collection(context, &plan, &source)?,
        Node::Missing(..) | Node::Nowhere => return Err(DavError::NotFound),
    };
    Ok(Response::new(match created {
        true => StatusCode::CREATED,
        false => StatusCode::NO_CONTENT,
    }))
}

impl<'a> Plan<'a> {
    fn read(context: &'a Context<'_>, method: Method) -> Result<Self, DavError> {
        let source = context.tree()?;
        let headers = &context.request.headers;
        // the typed header refuses what no path of ours has; it is read again as a target, to
        // know whose it is
        headers::destination(headers)
            .map_err(bad_header)?
            .ok_or(DavError::BadRequest("no Destination"))?;
        let destination = headers.get(HeaderName::from_static("destination"));
        let text = destination.and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        let to = context.parse_destination(text.unwrap_or(""))?;
        if to.path == source.path {
            return Err(DavError::Forbidden("source and destination are the same"));
        }
        if source.path.starts_with(&to.path) {
            return Err(DavError::Forbidden("the destination holds the source"));
        }
        let depth = headers::depth(headers).map_err(bad_header)?;
        let overwrite = headers::overwrite(headers).map_err(bad_header)?;
        let conditions = Conditions::of(context)?;
        Ok(Plan {
            method,
            source,
            to,
            depth,
            overwrite,
            conditions,
        })
    }

    /// Finds out what is at the destination, and checks Overwrite, conditions and locks. Inside
    /// the commit.
    ///
    /// # Errors
    /// 409 without a parent, 412, 423.
    fn check(&self, account: &AccountStore) -> Result<Place, DavError> {
        let node = conditions::taken(account, &self.to)?;
        let (parent, segment, taken) = match &node {
            Node::Missing(parent, segment) => (parent.clone(), segment.clone(), false),
            Node::Object(parent, object) => (parent.clone(), object.segment.clone(), true),
            Node::Collection(there) => (parent_of(account, there)?, name_of(there)?, true),
            Node::Nowhere => return Err(DavError::Conflict("the destination has no parent")),
        };
        if taken && self.overwrite == Overwrite::Forbidden {
            return Err(DavError::PreconditionFailed("Overwrite: F"));
        }
        let to = match taken {
            true => Write::Replace(&self.to.path),
            false => Write::Create(&self.to.path),
        };
        let writes = [to, Write::Remove(&self.source.path)];
        let writes = match self.method {
            Method::Copy => &writes[..1],
            Method::Move => &writes[..],
        };
        conditions::check(account, &self.conditions, &self.source.path, writes)?;
        Ok(Place {
            parent,
            segment,
            taken,
        })
    }
}

/// Where it goes.
struct Place {
    parent: Arc<Collection>,
    segment: Segment,
    taken: bool,
}

fn parent_of(account: &AccountStore, there: &Collection) -> Result<Arc<Collection>, DavError> {
    let parent = there
        .parent
        .ok_or(DavError::Forbidden("the home cannot be replaced"))?;
    account
        .collection(parent)
        .ok_or(DavError::Conflict("the destination is gone"))
}

fn name_of(there: &Collection) -> Result<Segment, DavError> {
    there
        .segment
        .clone()
        .ok_or(DavError::Forbidden("the home cannot be replaced"))
}

fn transfer_object(
    context: &Context<'_>,
    plan: &Plan<'_>,
    collection: &Arc<Collection>,
    object: &Arc<Summary>,
) -> Result<bool, DavError> {
    // outside the commit, since a body may have to be parsed
    let facts = facts_there(context, plan, collection, object)?;
    let moved = context.account.write(|tx| {
        let account = tx.account().clone();
        let Node::Object(from, now) = conditions::node(&account, plan.source)? else {
            return Err(DavError::NotFound);
        };
        let place = plan.check(&account)?;
        if now.id != object.id || now.body_revision != object.body_revision {
            return Err(DavError::Conflict("the source changed meanwhile"));
        }
        let calendar = into_collection(&place.parent, facts)?;
        if let Some(facts) = &calendar {
            keeps_uid(&account, &place.parent, &place.segment, facts)?;
        }
        let (parent, segment) = (place.parent.id, place.segment.clone());
        let to = Destination {
            parent,
            segment,
            calendar,
        };
        let result = match plan.method {
            Method::Copy => tx.copy_object(from.id, &now, to),
            Method::Move => tx.move_object(from.id, &now, to),
        };
        result.map_err(|error| uid_error(&account, &place.parent, error))?;
        Ok(!place.taken)
    })?;
    Ok(moved)
}

/// What is known of the object as a calendar object, when it goes into a calendar.
fn facts_there(
    context: &Context<'_>,
    plan: &Plan<'_>,
    collection: &Collection,
    object: &Summary,
) -> Result<Option<CalendarFacts>, DavError> {
    let account = context.account;
    let kind = match conditions::taken(account, &plan.to)? {
        Node::Missing(parent, _) | Node::Object(parent, _) => parent.kind,
        Node::Collection(there) => parent_of(account, &there)?.kind,
        Node::Nowhere => return Ok(None),
    };
    if !matches!(kind, CollectionKind::Calendar(_)) || object.calendar.is_some() {
        return Ok(object.calendar.clone());
    }
    match account.body(collection.id, object) {
        Ok(body) => calendar_facts(context, &body, kind).map(Some),
        Err(VaultError::Missing) => Err(DavError::Conflict("the source changed meanwhile")),
        Err(error) => Err(error.into()),
    }
}

/// The facts that the object keeps in a collection.
///
/// # Errors
/// 403 in the home; supported-calendar-component.
fn into_collection(
    parent: &Collection,
    facts: Option<CalendarFacts>,
) -> Result<Option<CalendarFacts>, DavError> {
    match parent.kind {
        CollectionKind::Home => Err(NO_FILES_HERE),
        CollectionKind::Plain => Ok(None),
        CollectionKind::Calendar(_) => {
            let facts = facts.ok_or(DavError::Conflict("the destination was replaced"))?;
            fits(&facts, parent.kind)?;
            Ok(Some(facts))
        }
    }
}

fn transfer_collection(
    context: &Context<'_>,
    plan: &Plan<'_>,
    source: &Arc<Collection>,
) -> Result<bool, DavError> {
    let depth = match (plan.method, plan.depth) {
        (_, None | Some(Depth::Infinity)) => LockDepth::Infinity,
        (Method::Copy, Some(Depth::Zero)) => LockDepth::Zero,
        (_, Some(_)) => return Err(DavError::BadRequest("no such Depth with COPY or MOVE")),
    };
    if depth == LockDepth::Infinity && plan.to.path.starts_with(&plan.source.path) {
        return Err(DavError::Forbidden("the destination is within the source"));
    }
    match plan.method {
        Method::Move => context.account.write(|tx| {
            let account = tx.account().clone();
            let Node::Collection(now) = conditions::node(&account, plan.source)? else {
                return Err(DavError::NotFound);
            };
            let place = plan.check(&account)?;
            may_hold(&place.parent, &now)?;
            stays_shallow(&account, &now, &plan.to.path, LockDepth::Infinity)?;
            let created = !place.taken;
            tx.move_collection(now.id, place.destination())?;
            Ok(created)
        }),
        Method::Copy => copy_collection(context, plan, source, depth),
    }
}

fn copy_collection(
    context: &Context<'_>,
    plan: &Plan<'_>,
    source: &Arc<Collection>,
    depth: LockDepth,
) -> Result<bool, DavError> {
    // before the work of staging, and again inside the commit
    let place = plan.check(context.account)?;
    may_hold(&place.parent, source)?;
    let parent = place.parent.id;
    let mut created = !place.taken;
    context
        .account
        .copy_collection(source.id, depth, place.destination(), |tx| {
            match conditions::node(tx.account(), plan.source)? {
                Node::Collection(now) if now.id == source.id => {}
                _ => return Err(DavError::NotFound),
            }
            let place = plan.check(tx.account())?;
            if place.parent.id != parent {
                return Err(DavError::Conflict("the destination was replaced"));
            }
            stays_shallow(tx.account(), source, &plan.to.path, depth)?;
            created = !place.taken;
            Ok(())
        })?;
    Ok(created)
}

impl Place {
    fn destination(self) -> Destination {
        Destination {
            parent: self.parent.id,
            segment: self.segment,
            calendar: None,
        }
    }
}

/// Whether everything in a collection can still be reached when it stands at `to`.
///
/// # Errors
/// 403 when the tree would become deeper than `limits::TREE_DEPTH`.
fn stays_shallow(
    account: &AccountStore,
    source: &Collection,
    to: &[Segment],
    depth: LockDepth,
) -> Result<(), DavError> {
    let below = match depth {
        LockDepth::Zero => 0,
        LockDepth::Infinity => height(account, source),
    };
    match to.len() + below > limits::TREE_DEPTH {
        true => Err(DavError::Forbidden("the tree would become too deep")),
        false => Ok(()),
    }
}

/// Levels of members below a collection. Recurses, at most `limits::TREE_DEPTH` deep.
fn height(account: &AccountStore, collection: &Collection) -> usize {
    let members = account.collections(collection.id);
    let below = members
        .iter()
        .map(|member| 1 + height(account, member))
        .max()
        .unwrap_or(0);
    below.max(usize::from(collection.objects > 0))
}

/// Whether a collection may be a member of another: calendars live directly in the home, and
/// hold no collections.
///
/// # Errors
/// CALDAV:calendar-collection-location-ok.
pub(super) fn may_hold(parent: &Collection, member: &Collection) -> Result<(), DavError> {
    kind_may_hold(parent.kind, member.kind)
}

/// The same, for a collection that is yet to be made.
///
/// # Errors
/// As [`may_hold`].
pub(super) fn kind_may_hold(
    parent: CollectionKind,
    member: CollectionKind,
) -> Result<(), DavError> {
    match (parent, member) {
        (CollectionKind::Home, _) | (CollectionKind::Plain, CollectionKind::Plain) => Ok(()),
        (CollectionKind::Calendar(_), CollectionKind::Plain) => {
            Err(DavError::Forbidden("calendars hold no collections"))
        }
        _ => Err(DavError::Named(&named::CALENDAR_COLLECTION_LOCATION_OK)),
    }
}
