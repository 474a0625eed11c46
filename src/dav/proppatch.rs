//! PROPPATCH (RFC 4918 section 9.2): all of it in one commit, or none.

use http::StatusCode;

use super::conditions::{self, Conditions};
use super::context::{Context, Resource, required};
use super::error::DavError;
use super::locks::Write;
use super::message::Response;
use super::multistatus::{self, Absent};
use super::update::{Place, Updated, apply_updates, parse_updates};
use crate::vault::Transaction;
use crate::xml::dav;

/// Answers PROPPATCH: 207 with a propstat for each property; with return=minimal 200 and no
/// body when all were set (RFC 8144 section 2.2).
///
/// # Errors
/// 400; 403 outside the homes; 404; 412 and 423 as the conditions and locks say.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    let body = required(context)?;
    if !body.is(dav("propertyupdate")) {
        return Err(DavError::BadRequest("PROPPATCH takes DAV:propertyupdate"));
    }
    let updates = parse_updates(body)?;
    let path = context.path()?;
    let conditions = Conditions::of(context)?;
    let updated = context.account.write(|tx: &mut Transaction| {
        let resource = Resource::of(tx.account().resolve(path)?);
        let kind = resource.kind().ok_or(DavError::NotFound)?;
        conditions::check(tx.account(), &conditions, path, &[Write::Modify(path)])?;
        let before = match &resource {
            Resource::Object(parent, object) => tx.account().properties(parent.id, object)?,
            Resource::Collection(collection) => collection.properties.clone(),
            _ => return Err(DavError::NotFound),
        };
        let updated = apply_updates(&before, &updates, Place::Existing(kind));
        if updated.is_done() && updated.properties != *before {
            store(tx, &resource, &updated)?;
        }
        Ok(updated)
    })?;
    let absent = Absent::of(context);
    let mut response = if absent == Absent::LeftOut && updated.is_done() {
        Response::new(StatusCode::OK)
    } else {
        multistatus::respond_now(|writer| {
            writer.start(dav("response"));
            writer.element_text(dav("href"), &context.own_href());
            updated.write_propstats(writer);
            writer.end();
        })
    };
    response.refusal = updated.refusal();
    Ok(multistatus::with_preference(response, absent))
}

fn store(tx: &mut Transaction, resource: &Resource, updated: &Updated) -> Result<(), DavError> {
    let properties = updated.properties.clone();
    match resource {
        Resource::Object(parent, object) => {
            tx.set_object_properties(parent.id, object, properties)?;
        }
        Resource::Collection(collection) => {
            tx.set_collection_properties(collection.id, properties)?;
        }
        _ => {}
    }
    Ok(())
}
