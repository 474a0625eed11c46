//! The ACL method (RFC 3744 section 8.1).
//!
//! There is one ACE and it is protected: the owner has all privileges. So every ACL that would
//! say otherwise conflicts with it.

use super::context::{Context, required};
use super::error::DavError;
use super::message::Response;
use super::precondition;
use crate::xml::dav;

/// Answers 403 no-protected-ace-conflict; 400 for a body that is no DAV:acl.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    if !required(context)?.is(dav("acl")) {
        return Err(DavError::BadRequest("ACL takes DAV:acl"));
    }
    Err(DavError::Named(&precondition::NO_PROTECTED_ACE_CONFLICT))
}
