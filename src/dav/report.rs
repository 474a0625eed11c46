//! report
use super::context::Context;
use super::error::DavError;
use super::message::Response;
/// stub
pub fn run(_context: &Context<'_>) -> Result<Response, DavError> {
    Err(DavError::NotImplemented)
}
