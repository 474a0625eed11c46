//! DAV:principal-match (RFC 3744 section 9.3), on all collections: of all members, at any depth,
//! those that are the asker's principal, or that have a property which names it.
//!
//! The tree is walked while the answer is sent, one collection after the other, so that what is
//! held is the members of the collections on one path.

use std::sync::Arc;
use std::vec;

use http::StatusCode;

use super::super::acl;
use super::super::context::{Context, Resource};
use super::super::error::DavError;
use super::super::message::Response;
use super::super::multistatus::{self, Progress, Responder, Source, write_status_response};
use super::super::property::{Found, Subject, Wanted};
use super::super::propfind::{Listing, members_of};
use super::super::target::{Authorities, Target, encode_segment};
use super::calendar_data;
use crate::vault::{Collection, Summary, VaultError};
use crate::xml::{self, Element, Writer, XmlLimits, dav};

/// What makes a member one of those that are sought.
enum Sought {
    /// To be the asker's principal.
    Oneself,
    /// That this property names it.
    NamedBy(Wanted),
}

/// Answers with the members that match.
///
/// # Errors
/// 400 for a body that asks for neither of the two, or for several properties; 413.
pub fn run(context: &Context<'_>, body: &Element) -> Result<Response, DavError> {
    let property = body.child(dav("principal-property"));
    let sought = match (body.child(dav("self")), property) {
        (Some(_), None) => Sought::Oneself,
        (None, Some(property)) => {
            let mut names = property.elements().map(|element| &element.name);
            match (names.next(), names.next()) {
                (Some(name), None) => Sought::NamedBy(Wanted::named(name)),
                _ => return Err(DavError::BadRequest("principal-property names one")),
            }
        }
        _ => return Err(DavError::BadRequest("self or principal-property")),
    };
    let public_url = context.dav.settings.public_url.as_deref();
    let authorities = Authorities::new(&context.request.authorities, public_url);
    let href = context.own_href();
    let top = match &context.resource {
        // it is a collection, of nobody, and clients ask it for itself
        Resource::Principal => Level::of(Listing {
            others: vec![(href, Resource::Principal)],
            ..Listing::default()
        }),
        resource => Level::of(members_of(context.account, &href, resource)?),
    };
    let responder = Responder::new(context, calendar_data::selection(body)?);
    multistatus::respond_with(responder, |responder| {
        let walk = Walk {
            responder,
            sought,
            authorities,
            path: vec![top],
        };
        walk.source()
    })
}

/// What is left of a collection's members.
struct Level {
    others: vec::IntoIter<(String, Resource)>,
    objects: vec::IntoIter<Arc<Summary>>,
    parent: Option<(Arc<Collection>, String)>,
}

impl Level {
    fn of(listing: Listing) -> Level {
        Level {
            others: listing.others.into_iter(),
            objects: listing.objects.into_iter(),
            parent: listing.parent,
        }
    }
}

impl Iterator for Level {
    type Item = (String, Resource);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(other) = self.others.next() {
            return Some(other);
        }
        let (parent, base) = self.parent.as_ref()?;
        let object = self.objects.next()?;
        let mut href = base.clone();
        encode_segment(&object.segment, &mut href);
        Some((href, Resource::Object(parent.clone(), object)))
    }
}

struct Walk {
    responder: Responder,
    sought: Sought,
    authorities: Authorities,
    /// From the collection asked to the one at hand; as deep as trees may be.
    path: Vec<Level>,
}

impl Walk {
    fn source(mut self) -> Source {
        let account = self.responder.scene.account.clone();
        Source::new(account, move |writer| self.step(writer))
    }

    /// Looks at one member, and goes down into it.
    fn step(&mut self, writer: &mut Writer) -> Result<Progress, VaultError> {
        let Some(level) = self.path.last_mut() else {
            return Ok(Progress::Done);
        };
        let Some((href, resource)) = level.next() else {
            self.path.pop();
            return Ok(Progress::More);
        };
        if self.matches(&href, &resource)? {
            self.responder.write(&href, &resource, writer)?;
        }
        if self.leads_on(&resource) {
            match members_of(&self.responder.scene.account, &href, &resource) {
                Ok(members) => self.path.push(Level::of(members)),
                // deleted since its own collection was listed
                Err(VaultError::Missing) => {}
                Err(VaultError::Damaged(row)) => {
                    tracing::error!(row, "the members of a collection cannot be looked at");
                    write_status_response(&href, StatusCode::INTERNAL_SERVER_ERROR, writer);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Progress::More)
    }

    /// Whether there may be matching members.
    fn leads_on(&self, resource: &Resource) -> bool {
        match (&self.sought, resource) {
            // no principals are in the homes
            (Sought::Oneself, Resource::Calendars | Resource::Collection(_)) => false,
            _ => resource.is_collection(),
        }
    }

    fn matches(&self, href: &str, resource: &Resource) -> Result<bool, VaultError> {
        let wanted = match &self.sought {
            Sought::Oneself => return Ok(matches!(resource, Resource::Principal)),
            Sought::NamedBy(wanted) => wanted,
        };
        let Some(subject) = Subject::new(&self.responder.scene, resource, href) else {
            return Ok(false);
        };
        let mut writer = Writer::fragment();
        match subject.write(wanted, &mut writer) {
            Ok(Found::Yes) => {}
            Ok(Found::No) => return Ok(false),
            Err(VaultError::Damaged(row)) => {
                tracing::error!(row, "a property does not open");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let value = xml::parse(&writer.finish(), &XmlLimits::default());
        Ok(value.is_ok_and(|value| {
            value
                .children_named(dav("href"))
                .any(|href| self.is_asker(&href.text()))
        }))
    }

    fn is_asker(&self, href: &str) -> bool {
        match Target::parse_href(href, &self.authorities) {
            Ok(Target::Principal(user)) => acl::may_name(&self.responder.scene.account, &user),
            _ => false,
        }
    }
}
