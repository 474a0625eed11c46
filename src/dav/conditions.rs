//! What a request demands of the state it finds, and what locks demand of the request.
//!
//! [`check`] is the one gate of every write. It is called inside `AccountStore::write`, where
//! nobody else writes, so that what it found still holds when the commit is made (HARDENING
//! H31). The order is: conditions first (412), then locks (423), as RFC 4918 section 10.4
//! needs: a request whose If header is false fails although it submits the right token.

use std::sync::Arc;

use http::HeaderMap;

use super::acl;
use super::context::Context;
use super::error::DavError;
use super::headers::{self, EntityTag, EtagList, HeaderError, IfHeader, IfKind};
use super::locks::{self, Write};
use super::precondition::{LOCK_TOKEN_SUBMITTED, Precondition};
use super::target::{Authorities, HrefForm, Target, TreePath, href};
use crate::ids::Segment;
use crate::limits;
use crate::vault::{AccountStore, Lock, Node, Summary, VaultError};

/// The conditional headers of one request.
#[derive(Debug, Default)]
pub struct Conditions {
    if_match: Option<EtagList>,
    if_none_match: Option<EtagList>,
    if_unmodified_since: Option<i64>,
    if_modified_since: Option<i64>,
    schedule_tag: Option<ScheduleTag>,
    states: Option<IfHeader>,
    submitted: Vec<String>,
    authorities: Authorities,
}

const FAILED: DavError = DavError::PreconditionFailed("a condition does not hold");

/// What If-Schedule-Tag-Match asks for (RFC 6638 section 8.3).
#[derive(Debug, PartialEq, Eq)]
enum ScheduleTag {
    /// Nothing: Apple's clients send an empty header for an object that had no tag.
    None,
    /// A tag. Without scheduling no object has one, so it matches nothing.
    Some(EntityTag),
}

/// What a GET is to answer (RFC 9110 section 13.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The representation.
    Send,
    /// 304: the client has it.
    NotModified,
}

impl Conditions {
    /// Those of the request.
    ///
    /// # Errors
    /// 400 for a header that is not understood: ignoring a condition could destroy data.
    pub fn of(context: &Context<'_>) -> Result<Self, DavError> {
        let public_url = context.dav.settings.public_url.as_deref();
        let authorities = Authorities::new(&context.request.authorities, public_url);
        Conditions::read(&context.request.headers, authorities).map_err(bad_header)
    }

    /// Reads the headers. `authorities` decide which tagged lists of the If header mean us.
    ///
    /// # Errors
    /// The header that is not understood.
    fn read(headers: &HeaderMap, authorities: Authorities) -> Result<Self, HeaderError> {
        let states = headers::if_header(headers)?;
        let tokens = states.iter().flat_map(IfHeader::tokens);
        Ok(Conditions {
            if_match: headers::if_match(headers)?,
            if_none_match: headers::if_none_match(headers)?,
            if_unmodified_since: headers::if_unmodified_since(headers),
            if_modified_since: headers::if_modified_since(headers),
            schedule_tag: schedule_tag(headers)?,
            submitted: tokens.map(str::to_owned).collect(),
            states,
            authorities,
        })
    }

    /// The state tokens that the request submits, wherever in the If header they stand.
    pub fn submitted(&self) -> &[String] {
        &self.submitted
    }
}

fn schedule_tag(headers: &HeaderMap) -> Result<Option<ScheduleTag>, HeaderError> {
    let value = headers.get("if-schedule-tag-match");
    if value.is_some_and(|value| value.as_bytes().trim_ascii().is_empty()) {
        return Ok(Some(ScheduleTag::None));
    }
    let tag = headers::if_schedule_tag_match(headers)?;
    Ok(tag.map(|tag| match tag.opaque.is_empty() {
        true => ScheduleTag::None,
        false => ScheduleTag::Some(tag),
    }))
}

/// Checks all conditions against what is at `target` (the path of the request's URL below the
/// home), then whether locks allow each of `writes`. To be called inside the commit.
///
/// # Errors
/// 412 for a condition that does not hold; 423 with lock-token-submitted and the lock's root;
/// what the vault answers.
pub fn check(
    account: &AccountStore,
    conditions: &Conditions,
    target: &[Segment],
    writes: &[Write<'_>],
) -> Result<(), DavError> {
    let state = State::of(&account.resolve(target)?);
    if !conditions.entity_holds(&state) || !conditions.states_hold(account, Some(target))? {
        return Err(FAILED);
    }
    let locks = account.locks();
    for write in writes {
        if let Some(lock) = locks::forbids(&locks, &conditions.submitted, *write) {
            return Err(lock_error(account, &LOCK_TOKEN_SUBMITTED, lock));
        }
    }
    Ok(())
}

/// Checks the conditions of a GET or HEAD of an object.
///
/// # Errors
/// 412 for a condition that does not hold; what the vault answers.
pub fn check_read(
    account: &AccountStore,
    conditions: &Conditions,
    target: &[Segment],
    object: &Summary,
) -> Result<Freshness, DavError> {
    let state = State::of_object(object);
    let sound = conditions.unchanged(&state) && conditions.schedule_tag_holds();
    if !sound || !conditions.states_hold(account, Some(target))? {
        return Err(FAILED);
    }
    let known = match (&conditions.if_none_match, conditions.if_modified_since) {
        (Some(list), _) => state.is_any_of(list, EtagList::weak_match),
        (None, Some(date)) => state.modified.is_some_and(|modified| modified <= date),
        (None, None) => false,
    };
    Ok(if known {
        Freshness::NotModified
    } else {
        Freshness::Send
    })
}

/// Checks the If header of a method that reads more than one object: it applies to any method (RFC
/// 4918 section 10.4). The conditions of RFC 9110 are about one representation, of which there is none.
///
/// # Errors
/// 400 for a header that is not understood, 412 for one that does not hold; what the vault answers.
pub fn check_states(context: &Context<'_>) -> Result<(), DavError> {
    let Some(states) = headers::if_header(&context.request.headers).map_err(bad_header)? else {
        return Ok(());
    };
    let public_url = context.dav.settings.public_url.as_deref();
    let conditions = Conditions {
        states: Some(states),
        authorities: Authorities::new(&context.request.authorities, public_url),
        ..Conditions::default()
    };
    let target = match &context.target {
        Target::Tree(tree) => Some(tree.path.as_slice()),
        _ => None,
    };
    match conditions.states_hold(context.account, target)? {
        true => Ok(()),
        false => Err(FAILED),
    }
}

/// What stands at a path of the account's own tree: `x.ics/` is no name of the object `x.ics`,
/// and nothing can be deeper than `limits::TREE_DEPTH`.
///
/// # Errors
/// What the vault answers.
pub fn node(account: &AccountStore, tree: &TreePath) -> Result<Node, VaultError> {
    Ok(match taken(account, tree)? {
        Node::Object(..) if tree.trailing_slash => Node::Nowhere,
        node => node,
    })
}

/// What has a name, whether '/' stands after it or not: who copies a collection to `x/` replaces
/// the object `x`, since a collection has only one member of a name (RFC 4918 sections 5.2, 9.8.4).
///
/// # Errors
/// What the vault answers.
pub fn taken(account: &AccountStore, tree: &TreePath) -> Result<Node, VaultError> {
    match tree.path.len() > limits::TREE_DEPTH {
        true => Ok(Node::Nowhere),
        false => account.resolve(&tree.path),
    }
}

/// The refusal that names the root of `lock` (RFC 4918 section 16).
pub fn lock_error(
    account: &AccountStore,
    condition: &'static Precondition,
    lock: &Lock,
) -> DavError {
    DavError::NamedWithHrefs(condition, vec![href_of(account, &lock.root)])
}

/// The href of what stands at a path: a collection's ends with '/'.
pub fn href_of(account: &AccountStore, path: &[Segment]) -> String {
    let form = match account.resolve(path) {
        Ok(Node::Collection(_)) => HrefForm::Collection,
        _ => HrefForm::Object,
    };
    href(account.name(), path, form)
}

/// The answer to a header that is not understood.
pub fn bad_header(error: HeaderError) -> DavError {
    DavError::BadRequest(error.header())
}

/// The strong entity tag of an object.
pub fn entity_tag(object: &Summary) -> EntityTag {
    EntityTag::strong(object.etag.to_string().trim_matches('"'))
}

/// What the conditions of RFC 9110 section 13.1 are compared with.
#[derive(Debug, Default)]
struct State {
    exists: bool,
    /// None for collections, which have no representation to tag.
    etag: Option<EntityTag>,
    /// In seconds since 1970, since that is what an HTTP-date can tell.
    modified: Option<i64>,
}

impl State {
    fn of(node: &Node) -> Self {
        match node {
            Node::Object(_, object) => State::of_object(object),
            Node::Collection(_) => State {
                exists: true,
                ..State::default()
            },
            Node::Missing(..) | Node::Nowhere => State::default(),
        }
    }

    fn of_object(object: &Summary) -> Self {
        State {
            exists: true,
            etag: Some(entity_tag(object)),
            modified: Some(object.modified.seconds()),
        }
    }

    fn is_any_of(
        &self,
        list: &EtagList,
        compare: fn(&EtagList, Option<&EntityTag>) -> bool,
    ) -> bool {
        match list {
            EtagList::Any => self.exists,
            EtagList::List(_) => compare(list, self.etag.as_ref()),
        }
    }
}

impl Conditions {
    /// The conditions of RFC 9110 and RFC 6638 for a method other than GET and HEAD.
    fn entity_holds(&self, state: &State) -> bool {
        let absent = |list: &EtagList| !state.is_any_of(list, EtagList::weak_match);
        self.unchanged(state)
            && self.if_none_match.as_ref().is_none_or(absent)
            && self.schedule_tag_holds()
    }

    /// If-Match, or else If-Unmodified-Since (RFC 9110 section 13.2.2).
    fn unchanged(&self, state: &State) -> bool {
        match (&self.if_match, self.if_unmodified_since, state.modified) {
            (Some(list), _, _) => state.is_any_of(list, EtagList::strong_match),
            (None, Some(date), Some(modified)) => modified <= date,
            // a resource without a date cannot be compared with one (section 13.1.4)
            (None, _, _) => true,
        }
    }

    fn schedule_tag_holds(&self) -> bool {
        !matches!(self.schedule_tag, Some(ScheduleTag::Some(_)))
    }

    /// The If header (RFC 4918 section 10.4.3). What is not in a home has no states.
    fn states_hold(
        &self,
        account: &AccountStore,
        target: Option<&[Segment]>,
    ) -> Result<bool, VaultError> {
        let Some(states) = &self.states else {
            return Ok(true);
        };
        let locks = account.locks();
        let mut failure = None;
        let holds = states.holds(|resource, kind| {
            let tagged = resource.map(|href| self.own_path(account, href));
            let path = match &tagged {
                None => target,
                Some(path) => path.as_deref(),
            };
            // of a resource that is not ours, or not this user's, nothing is known
            let Some(path) = path else {
                return false;
            };
            has_state(account, &locks, path, kind).unwrap_or_else(|error| {
                failure = Some(error);
                false
            })
        });
        failure.map_or(Ok(holds), Err)
    }

    /// The path below this account's home that a resource tag names.
    fn own_path(&self, account: &AccountStore, href: &str) -> Option<Vec<Segment>> {
        match Target::parse_href(href, &self.authorities) {
            Ok(Target::Tree(tree)) if acl::may_name(account, &tree.user) => Some(tree.path),
            _ => None,
        }
    }
}

/// Whether the resource at `path` has a state (RFC 4918 section 10.4.4). An unmapped one has
/// none, except that a lock of depth infinity above it covers its name.
fn has_state(
    account: &AccountStore,
    locks: &[Arc<Lock>],
    path: &[Segment],
    kind: &IfKind,
) -> Result<bool, VaultError> {
    match kind {
        IfKind::Etag(tag) => {
            let state = State::of(&account.resolve(path)?);
            Ok(state.etag.is_some_and(|current| current.weak_match(tag)))
        }
        IfKind::StateToken(token) => {
            let covering = |lock: &Arc<Lock>| locks::covers(lock, path);
            if locks
                .iter()
                .any(|lock| lock.token == *token && covering(lock))
            {
                return Ok(true);
            }
            // a sync-token is a state token too (RFC 6578 section 5)
            let node = account.resolve(path)?;
            let Node::Collection(collection) = node else {
                return Ok(false);
            };
            Ok(account.token(&collection) == *token)
        }
    }
}
