//! The reports of RFC 3744 section 9, but for DAV:principal-match. Of all principals there are, an account finds itself and
//! nobody else (HARDENING H15).

use http::StatusCode;

use super::super::context::{Context, Resource};
use super::super::error::DavError;
use super::super::message::Response;
use super::super::multistatus::{self, Item, Responder, Selection};
use super::super::property::{Found, Scene, Subject, Wanted};
use super::super::propfind::Listing;
use super::super::target::principal_href;
use super::calendar_data;
use crate::vault::VaultError;
use crate::xml::{self, Element, Node, QName, Writer, XmlLimits, caldav, cs, dav};

/// The properties that can be searched (section 9.5), with words for people.
const SEARCHABLE: [(QName, &str); 3] = [
    (dav("displayname"), "Name"),
    (caldav("calendar-user-address-set"), "Calendar user address"),
    (cs("email-address-set"), "E-mail address"),
];

/// What a search that lists no property is told of a principal: what RFC 4791 section 8.4 searches
/// for. RFC 3744 section 9.4 leaves the list out at will and says only what must be in the answer.
const UNLISTED: [QName; 2] = [dav("displayname"), caldav("calendar-home-set")];

/// Whether the account's own principal is in the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Listed,
    LeftOut,
}

fn respond(context: &Context<'_>, selection: Selection, own: Own) -> Result<Response, DavError> {
    let mut listing = Listing::default();
    if own == Own::Listed {
        let href = principal_href(context.account.name());
        listing.others.push((href, Resource::Principal));
    }
    let responder = Responder::new(context, selection);
    let absent = responder.absent;
    let response = multistatus::respond(listing.source(responder))?;
    Ok(multistatus::with_preference(response, absent))
}

/// DAV:acl-principal-prop-set (section 9.2): the principals of the one ACE.
///
/// # Errors
/// 400, 413.
pub fn of_acl(context: &Context<'_>, body: &Element) -> Result<Response, DavError> {
    respond(context, calendar_data::selection(body)?, Own::Listed)
}

/// DAV:principal-property-search (section 9.4). Several DAV:property-search are a logical AND, and
/// none is one of nothing: it finds everybody whom the asker may find, which is the asker.
///
/// # Errors
/// 400, 413.
pub fn search(context: &Context<'_>, body: &Element) -> Result<Response, DavError> {
    let scene = Scene::new(context);
    let href = principal_href(context.account.name());
    let subject = Subject::new(&scene, &Resource::Principal, &href).ok_or(DavError::NotFound)?;
    let mut hits = Vec::new();
    for search in body.children_named(dav("property-search")) {
        let (Some(prop), Some(text)) = (search.child(dav("prop")), search.child(dav("match")))
        else {
            return Err(DavError::BadRequest(
                "a property-search without prop and match",
            ));
        };
        let text = text.text().trim().to_lowercase();
        let mut hit = !text.is_empty();
        for property in prop.elements() {
            hit = hit && finds(&subject, property, &text)?;
        }
        hits.push(hit);
    }
    let found = match body.attribute("test") {
        Some("anyof") => hits.contains(&true),
        _ => !hits.contains(&false),
    };
    let own = if found { Own::Listed } else { Own::LeftOut };
    respond(context, search_selection(body)?, own)
}

/// What a search asks for: `UNLISTED` where its DAV:prop is empty or not there.
fn search_selection(body: &Element) -> Result<Selection, DavError> {
    let selection = calendar_data::selection(body)?;
    let Selection::Named(items) = &selection else {
        return Ok(selection);
    };
    if !items.is_empty() {
        return Ok(selection);
    }
    let unlisted = UNLISTED.map(|name| Item::Property(Wanted::named(&name.into())));
    Ok(Selection::Named(unlisted.into()))
}

/// Whether a searchable property of the principal contains the text.
fn finds(subject: &Subject<'_>, property: &Element, text: &str) -> Result<bool, VaultError> {
    if !SEARCHABLE.iter().any(|(name, _)| property.is(*name)) {
        return Ok(false);
    }
    let mut writer = Writer::fragment();
    if subject.write(&Wanted::named(&property.name), &mut writer)? == Found::No {
        return Ok(false);
    }
    let value = xml::parse(&writer.finish(), &XmlLimits::default());
    Ok(value.is_ok_and(|value| any_text_contains(&value, text)))
}

/// Whether one of the texts inside contains a text in lower case, each by itself (section 9.4.1).
fn any_text_contains(element: &Element, sought: &str) -> bool {
    element.children.iter().any(|node| match node {
        Node::Text(text) => text.to_lowercase().contains(sought),
        Node::Element(element) => any_text_contains(element, sought),
    })
}

/// DAV:principal-search-property-set (section 9.5).
///
/// # Errors
/// None.
pub fn searchable(_: &Context<'_>, _: &Element) -> Result<Response, DavError> {
    let mut writer = Writer::document();
    writer.start(dav("principal-search-property-set"));
    for (name, description) in SEARCHABLE {
        writer.start(dav("principal-search-property"));
        writer.start(dav("prop"));
        writer.empty(name);
        writer.end();
        writer.start_with(dav("description"), &[("xml:lang", "en")]);
        writer.text(description);
        writer.end();
        writer.end();
    }
    Ok(Response::xml(StatusCode::OK, writer.finish()))
}
