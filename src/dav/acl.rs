//! The ACL method (RFC 3744 section 8.1).
//!
//! There is one ACE and it is protected: the owner has all privileges. So every ACL that would
//! say otherwise conflicts with it.

use super::context::{Context, required};
use super::error::DavError;
use super::message::Response;
use super::precondition;
use crate::ids::UserName;
use crate::vault::AccountStore;
use crate::xml::dav;

#[cfg(test)]
thread_local! {
    /// While it is set, every check of this thread says 'allowed': what is then still not to be had
    /// is held back by keys alone (PROMISES P2).
    pub static ALLOW_ALL: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The one check of whose tree a URL may name: the account's own, and none else.
pub fn may_name(account: &AccountStore, user: &UserName) -> bool {
    #[cfg(test)]
    if ALLOW_ALL.get() {
        return true;
    }
    user == account.name()
}

/// Answers 403 no-protected-ace-conflict; 400 for a body that is no DAV:acl.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    if !required(context)?.is(dav("acl")) {
        return Err(DavError::BadRequest("ACL takes DAV:acl"));
    }
    Err(DavError::Named(&precondition::NO_PROTECTED_ACE_CONFLICT))
}
