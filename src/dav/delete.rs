//! DELETE: an object, or a collection with everything below it, in one commit (RFC 4918
//! section 9.6). All or nothing: a locked member keeps the whole tree.

use http::StatusCode;

use super::conditions::{self, Conditions, bad_header};
use super::context::Context;
use super::error::DavError;
use super::headers::{self, Depth};
use super::locks::Write;
use super::message::Response;
use crate::vault::Node;

/// Answers DELETE.
///
/// # Errors
/// 400 for another Depth on a collection, 403 for the home, 404, 412, 423.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    let tree = context.tree()?;
    let path = &tree.path;
    let conditions = Conditions::of(context)?;
    let depth = headers::depth(&context.request.headers).map_err(bad_header)?;
    context.account.write(|tx| {
        let node = conditions::node(tx.account(), tree)?;
        if matches!(node, Node::Missing(..) | Node::Nowhere) {
            return Err(DavError::NotFound);
        }
        conditions::check(tx.account(), &conditions, path, &[Write::Remove(path)])?;
        match node {
            Node::Object(parent, object) => tx.delete_object(parent.id, &object)?,
            Node::Collection(collection) if collection.parent.is_none() => {
                return Err(DavError::Forbidden("the home stays as long as its account"));
            }
            // RFC 4918 section 9.6.1: a client must not send another depth
            Node::Collection(_) if !matches!(depth, None | Some(Depth::Infinity)) => {
                return Err(DavError::BadRequest(
                    "DELETE of a collection reaches to infinity",
                ));
            }
            Node::Collection(collection) => tx.delete_collection(collection.id)?,
            Node::Missing(..) | Node::Nowhere => return Err(DavError::NotFound),
        }
        Ok(())
    })?;
    Ok(Response::new(StatusCode::NO_CONTENT))
}
