//! PROPFIND (RFC 4918 section 9.1), of one resource or with its members.

use std::sync::Arc;

use super::context::{Context, Kind, Resource, finite_depth};
use super::error::DavError;
use super::headers::{self, Depth};
use super::message::Response;
use super::multistatus::{self, Item, Progress, Responder, Selection};
use super::property::Wanted;
use super::target::{self, CALENDARS, DAV_ROOT, HrefForm, PRINCIPALS, encode_segment};
use crate::limits;
use crate::vault::{Collection, Summary};
use crate::xml::{Element, Writer, dav};

/// Answers PROPFIND.
///
/// # Errors
/// 403 propfind-finite-depth for Depth: infinity, which is also what no Depth means.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    let selection = selection(context.xml.as_ref())?;
    let depth = headers::depth(&context.request.headers);
    let depth = depth.map_err(|error| DavError::BadRequest(error.header()))?;
    let prefer = headers::prefer(&context.request.headers);
    let mut listing = match depth {
        Some(Depth::Zero) => Listing::default(),
        // below an object there is nothing, however deep one looks
        _ if !context.resource.is_collection() => Listing::default(),
        Some(Depth::One) => members(context)?,
        Some(Depth::Infinity) | None => return Err(finite_depth()),
    };
    if depth == Some(Depth::Zero) || !prefer.depth_noroot {
        listing
            .others
            .insert(0, (context.own_href(), context.resource.clone()));
    }
    let responder = Responder::new(context, selection);
    let absent = responder.absent;
    let response = multistatus::respond(listing.source(responder))?;
    Ok(multistatus::with_preference(response, absent))
}

/// Reads a DAV:propfind; no body is allprop (RFC 4918 section 9.1).
///
/// # Errors
/// 400 for another element, for none or several of allprop, propname and prop; 413.
pub fn selection(body: Option<&Element>) -> Result<Selection, DavError> {
    let Some(body) = body else {
        return Ok(Selection::Allprop(Vec::new()));
    };
    if !body.is(dav("propfind")) {
        return Err(DavError::BadRequest("PROPFIND takes DAV:propfind"));
    }
    let given = [dav("allprop"), dav("propname"), dav("prop")].map(|name| body.child(name));
    match given {
        [Some(_), None, None] => {
            let include = body.child(dav("include"));
            Ok(Selection::Allprop(
                include.map(wanted).transpose()?.unwrap_or_default(),
            ))
        }
        [None, Some(_), None] => Ok(Selection::Propname),
        [None, None, Some(prop)] => {
            let items = wanted(prop)?.into_iter().map(Item::Property).collect();
            Ok(Selection::Named(items))
        }
        _ => Err(DavError::BadRequest(
            "a DAV:propfind without one thing to find",
        )),
    }
}

/// The properties named in a DAV:prop or DAV:include, each once.
///
/// # Errors
/// 413 for more than `limits::PROPERTIES_PER_REQUEST` or `limits::PROPERTY_NAME_BYTES`.
pub fn wanted(prop: &Element) -> Result<Vec<Wanted>, DavError> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut bytes = 0;
    for element in prop.elements() {
        bytes += element.name.ns.len() + element.name.local.len();
        if wanted.len() == limits::PROPERTIES_PER_REQUEST || bytes > limits::PROPERTY_NAME_BYTES {
            return Err(DavError::TooLarge("too many properties"));
        }
        if wanted.iter().all(|other| other.name != element.name) {
            wanted.push(Wanted::named(&element.name));
        }
    }
    Ok(wanted)
}

/// Resources to tell of, from one snapshot.
#[derive(Default)]
pub struct Listing {
    /// Anything but objects, each with its href.
    pub others: Vec<(String, Resource)>,
    /// Objects of one collection.
    pub objects: Vec<Arc<Summary>>,
    /// That collection and its href.
    pub parent: Option<(Arc<Collection>, String)>,
}

impl Listing {
    /// Writes one after the other.
    pub fn source(self, responder: Responder) -> multistatus::Source {
        let mut others = self.others.into_iter();
        let mut objects = self.objects.into_iter();
        let parent = self.parent;
        let mut href = String::new();
        let account = responder.scene.account.clone();
        multistatus::Source::new(account, move |writer: &mut Writer| {
            if let Some((href, resource)) = others.next() {
                responder.write(&href, &resource, writer)?;
                return Ok(Progress::More);
            }
            let (Some((parent, base)), Some(object)) = (&parent, objects.next()) else {
                return Ok(Progress::Done);
            };
            href.clear();
            href.push_str(base);
            encode_segment(&object.segment, &mut href);
            responder.write(&href, &Resource::Object(parent.clone(), object), writer)?;
            Ok(Progress::More)
        })
    }
}

/// The members of the request's resource.
fn members(context: &Context<'_>) -> Result<Listing, DavError> {
    let account = context.account;
    let mut listing = Listing::default();
    let mut add = |href: &str, resource| listing.others.push((href.to_owned(), resource));
    match &context.resource {
        Resource::Root => add(DAV_ROOT, Resource::DavRoot),
        Resource::DavRoot => {
            add(PRINCIPALS, Resource::Principals);
            add(CALENDARS, Resource::Calendars);
        }
        // of all principals and homes there are, everybody sees their own (HARDENING H15)
        Resource::Principals => add(&target::principal_href(account.name()), Resource::Principal),
        Resource::Calendars => {
            let home = context.href(&[], HrefForm::Collection);
            add(&home, Resource::Collection(account.home()));
        }
        Resource::Collection(collection) => {
            let base = context.own_href();
            let members = if context.resource.kind() == Some(Kind::Home) && collection.objects == 0
            {
                // saves loading an index that is empty
                crate::vault::Members {
                    collections: account.collections(collection.id),
                    ..Default::default()
                }
            } else {
                account.members(collection.id)?
            };
            for member in members.collections {
                listing
                    .others
                    .push((member_href(&base, &member), Resource::Collection(member)));
            }
            listing.objects = members.objects;
            listing.parent = Some((collection.clone(), base));
        }
        _ => {}
    }
    Ok(listing)
}

/// The href of a collection in another.
pub fn member_href(base: &str, member: &Collection) -> String {
    let mut href = base.to_owned();
    if let Some(segment) = &member.segment {
        encode_segment(segment, &mut href);
        href.push('/');
    }
    href
}
