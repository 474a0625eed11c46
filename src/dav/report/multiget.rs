//! CALDAV:calendar-multiget (RFC 4791 section 7.9).

use std::collections::HashSet;

use super::super::context::{Context, Resource, resolve, resource_href};
use super::super::error::DavError;
use super::super::message::Response;
use super::super::multistatus::{self, Responder};
use super::super::precondition::NUMBER_OF_MATCHES_WITHIN_LIMITS;
use super::super::propfind::Listing;
use super::calendar_data;
use crate::limits;
use crate::xml::{Element, dav};

/// Answers with one response for each different href, in their order.
///
/// # Errors
/// 403 number-of-matches-within-limits for more hrefs than `limits::MULTIGET_HREFS` and for too
/// many instances; 403 supported-calendar-data.
pub fn run(context: &Context<'_>, body: &Element) -> Result<Response, DavError> {
    let selection = calendar_data::selection(body)?;
    if body.children_named(dav("href")).count() > limits::MULTIGET_HREFS {
        return Err(DavError::Named(&NUMBER_OF_MATCHES_WITHIN_LIMITS));
    }
    let mut listing = Listing::default();
    let mut told = HashSet::new();
    for href in body.children_named(dav("href")) {
        let found = find(context, href.text().trim())?;
        // no href twice in one answer (RFC 4918 section 14.7): one object asked for 5,000 times
        // would be sent 5,000 times
        if told.insert(found.0.clone()) {
            listing.others.push(found);
        }
    }
    let responder = Responder::new(context, selection);
    multistatus::respond_with(responder, |responder| listing.source(responder))
}

/// What an href names, in the account's own tree only. All else, malformed, of another server
/// or of another account, is missing, and its href comes back as it was sent (HARDENING H12).
fn find(context: &Context<'_>, href: &str) -> Result<(String, Resource), DavError> {
    let missing = || Ok((href.to_owned(), Resource::Nowhere));
    let Ok(target) = context.parse_href(href) else {
        return missing();
    };
    match resolve(context.account, &target) {
        Ok(resource @ Resource::Object(..)) => {
            Ok((resource_href(context.account, &target, &resource), resource))
        }
        // a collection has no calendar data to get
        Ok(_) | Err(DavError::NotFound) => missing(),
        Err(error) => Err(error),
    }
}
