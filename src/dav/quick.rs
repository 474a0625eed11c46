//! Which requests are answered on the spot, by the thread that received them, while others wait
//! for that thread: those that take microseconds. What may wait for a disk, for a writer or for much
//! work is left to `Dav::respond` on a thread of the pool; to say so is always right, and costs
//! no more than a change of thread.
//!
//! A write is planned and enqueued here; that it gets to the disk is waited for later, by nobody's
//! thread. It is done in haste: when another writer of the account is at work after all, nothing
//! is done.

use http::Method;
use http::header::RANGE;

use super::context::{Context, Kind, Resource, resolve, target_of};
use super::error::DavError;
use super::headers::{self, Depth};
use super::message::{Request, Response};
use super::method::MethodRow;
use super::target::Target;
use super::{Dav, method, prepare, run};
use crate::limits;
use crate::vault::{AccountStore, AtHand, Telling, VaultError};
use crate::xml::{Element, caldav, dav};

/// Whether the answer of a method is quick, once its target was found in memory and its body was
/// read. Must not say so of what may wait for anybody.
pub type IsQuick = fn(&Context<'_>, &AtHand) -> bool;

/// What a method does when it is quick.
#[derive(Clone, Copy)]
pub enum Quick {
    /// It reads.
    Read(IsQuick),
    /// It writes.
    Write(IsQuick),
}

impl Dav {
    /// Answers a request of a signed-in account if that takes microseconds; none for all others, of
    /// which nothing was done.
    pub fn respond_quickly(&self, account: &AccountStore, request: &Request) -> Option<Response> {
        let row = method::find(&request.method)?;
        let quick = row.quick?;
        // an If header may name other resources
        let simple = request.body.len() <= limits::QUICK_BODY_BYTES
            && !request.headers.contains_key("if")
            && account.is_open();
        let target = simple.then(|| target_of(self, request).ok()).flatten()?;
        let mut response = match quick {
            Quick::Read(is_quick) => {
                self.respond_at_hand(account, request, (row, is_quick), target)?
            }
            Quick::Write(is_quick) => {
                let account = account.in_haste();
                self.respond_at_hand(&account, request, (row, is_quick), target)?
            }
        };
        response.receipt = account.barrier();
        Some(response)
    }

    fn respond_at_hand(
        &self,
        account: &AccountStore,
        request: &Request,
        (row, is_quick): (&MethodRow, IsQuick),
        target: Target,
    ) -> Option<Response> {
        let path = match &target {
            Target::Tree(tree) => tree.path.as_slice(),
            Target::WellKnown => return None,
            _ => &[],
        };
        let at_hand = account.at_hand(path)?;
        if at_hand.collections.max(at_hand.locks) > limits::QUICK_RESOURCES {
            return None;
        }
        let answer = Context::at(target, self, account, request).and_then(|mut context| {
            prepare(row, &mut context)?;
            let answer = is_quick(&context, &at_hand).then(|| run(row, &context));
            answer.transpose()
        });
        match answer {
            Ok(answer) => answer,
            Err(DavError::Vault(VaultError::Busy)) => None,
            Err(error) => Some(error.into_response()),
        }
    }
}

/// PUT: a small object of few rules, new or over a small one. What is replaced goes into the trash,
/// which must not be so full that this writer has to cut it. With Prefer it may answer with a body.
pub fn put(context: &Context<'_>, at_hand: &AtHand) -> bool {
    let replaced = match &context.resource {
        Resource::Object(_, object) => object.size,
        Resource::Collection(_) => return false,
        _ => 0,
    };
    at_hand.members == Telling::AtOnce
        && replaced <= limits::QUICK_OBJECT_BYTES
        && !context.request.headers.contains_key("prefer")
        && rules_of(&context.request.body) <= limits::QUICK_RULES
        && context.account.is_roomy()
}

/// The lines of a calendar object that may stand for many moments: RRULE, RDATE, EXDATE and the like.
fn rules_of(body: &[u8]) -> usize {
    let begins = |line: &&[u8]| {
        let name = line.get(..5).unwrap_or_default();
        [&b"RRULE"[..], b"EXRUL", b"RDATE", b"EXDAT"]
            .iter()
            .any(|rule| name.eq_ignore_ascii_case(rule))
    };
    body.split(|byte| *byte == b'\n').filter(begins).count()
}

/// DELETE: a small object.
pub fn delete(context: &Context<'_>, at_hand: &AtHand) -> bool {
    matches!(context.resource, Resource::Object(..)) && put(context, at_hand)
}

/// GET and HEAD: what fits into one answer, once its rows are in the store.
pub fn get(context: &Context<'_>, _: &AtHand) -> bool {
    let Resource::Object(_, object) = &context.resource else {
        return true;
    };
    let whole =
        object.size <= limits::QUICK_OBJECT_BYTES && !context.request.headers.contains_key(RANGE);
    context.request.method == Method::HEAD || (whole && context.account.is_settled())
}

/// PROPFIND: one resource, and the collections of a home. Other members are in an index.
pub fn propfind(context: &Context<'_>, _: &AtHand) -> bool {
    let depth = headers::depth(&context.request.headers);
    match &context.resource {
        Resource::Object(_, object) => object.properties_revision == 0,
        Resource::Collection(collection) if depth == Ok(Some(Depth::One)) => {
            context.resource.kind() == Some(Kind::Home) && collection.objects == 0
        }
        _ => true,
    }
}

/// REPORT: few changes, few objects.
pub fn report(context: &Context<'_>, at_hand: &AtHand) -> bool {
    let Some(body) = &context.xml else {
        return true;
    };
    if body.is(dav("sync-collection")) {
        sync(context, body, at_hand)
    } else if body.is(caldav("calendar-multiget")) {
        multiget(context, body)
    } else {
        false
    }
}

/// DAV:sync-collection without bodies: each change has a revision of its own.
fn sync(context: &Context<'_>, body: &Element, at_hand: &AtHand) -> bool {
    let Resource::Collection(collection) = &context.resource else {
        return true;
    };
    let token = body.child(dav("sync-token")).map(Element::text);
    let known = AccountStore::known_by(token.unwrap_or_default().trim()).unwrap_or(0);
    let changes = collection.revision.saturating_sub(known);
    at_hand.members == Telling::AtOnce
        && changes <= limits::QUICK_RESOURCES as u64
        && data_of(body).is_none()
        && context.account.is_settled()
}

/// CALDAV:calendar-multiget of few small objects as they are.
fn multiget(context: &Context<'_>, body: &Element) -> bool {
    let whole = data_of(body).is_none_or(|data| data.elements().next().is_none());
    let few = body.children_named(dav("href")).count() <= limits::QUICK_BODIES;
    if !whole || !few || !context.account.is_settled() {
        return false;
    }
    let sizes: Option<u64> = body
        .children_named(dav("href"))
        .map(|href| size_at_hand(context, href.text().trim()))
        .sum();
    sizes.is_some_and(|bytes| bytes <= limits::QUICK_OBJECT_BYTES)
}

/// Bytes of the object of an href; none when they cannot be told at once.
fn size_at_hand(context: &Context<'_>, href: &str) -> Option<u64> {
    let Ok(target) = context.parse_href(href) else {
        return Some(0);
    };
    if let Target::Tree(tree) = &target {
        context.account.at_hand(&tree.path)?;
    }
    match resolve(context.account, &target) {
        Ok(Resource::Object(_, object)) => Some(object.size),
        Ok(_) | Err(DavError::NotFound) => Some(0),
        Err(_) => None,
    }
}

/// CALDAV:calendar-data, if a report asks for it.
fn data_of(body: &Element) -> Option<&Element> {
    body.child(dav("prop"))?.child(caldav("calendar-data"))
}
