//! POST to a calendar's add-member URL: the server names the new object (RFC 5995). The URL is
//! the calendar's own, with or without the query [`ADD_MEMBER`].

use http::StatusCode;
use http::header::LOCATION;

use super::conditions::{self, Conditions};
use super::context::{Context, Resource};
use super::error::DavError;
use super::get::with_validators;
use super::locks::Write;
use super::message::Response;
use super::method;
use super::put::{Content, answer, store};
use super::target::HrefForm;
use crate::ids::Segment;
use crate::vault::Node;

/// The query of an add-member URL.
pub const ADD_MEMBER: &str = "add-member";

/// Answers POST.
///
/// # Errors
/// 405 for another query, and elsewhere than on a calendar; else as PUT.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    let query = context
        .request
        .target
        .split_once('?')
        .map(|(_, query)| query);
    let Resource::Collection(calendar) = &context.resource else {
        return Err(elsewhere(context));
    };
    if query.is_some_and(|query| query != ADD_MEMBER) || !calendar.is_calendar() {
        return Err(elsewhere(context));
    }
    let path = context.path()?;
    let conditions = Conditions::of(context)?;
    let content = Content::read(context, calendar.kind)?;
    let (object, member) = context.account.write(|tx| {
        let Node::Collection(parent) = tx.account().resolve(path)? else {
            return Err(DavError::NotFound);
        };
        let name = Segment::parse(&format!("{}.ics", tx.random_uuid()))
            .expect("a UUID has only letters, digits and hyphens");
        let member = [path, std::slice::from_ref(&name)].concat();
        conditions::check(tx.account(), &conditions, path, &[Write::Create(&member)])?;
        let (object, _) = store(tx, &parent, &name, content)?;
        Ok::<_, DavError>((object, member))
    })?;
    let response = with_validators(Response::new(StatusCode::CREATED), &object);
    let response = response.with(LOCATION, &context.href(&member, HrefForm::Object));
    Ok(answer(context, response, &object, &member))
}

fn elsewhere(context: &Context<'_>) -> DavError {
    DavError::MethodNotAllowed(method::allow(&context.resource))
}
