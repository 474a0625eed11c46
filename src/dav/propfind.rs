//! PROPFIND (RFC 4918 section 9.1), of one resource or with its members.

use std::hint::black_box;
use std::sync::Arc;

use super::conditions;
use super::context::{Context, Kind, Resource, finite_depth};
use super::error::DavError;
use super::headers::{self, Depth};
use super::message::Response;
use super::multistatus::{self, Item, Progress, Responder, Selection};
use super::property::Wanted;
use super::target::{self, CALENDARS, DAV_ROOT, HrefForm, PRINCIPALS, encode_segment};
use crate::ids::Segment;
use crate::limits;
use crate::vault::{AccountStore, Collection, Summary, VaultError};
use crate::xml::{Element, Writer, dav};

/// Answers PROPFIND.
///
/// # Errors
/// 403 propfind-finite-depth for Depth: infinity, which is also what no Depth means; 412.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    conditions::check_states(context)?;
    let selection = selection(context.xml.as_deref())?;
    let depth = headers::depth(&context.request.headers);
    let depth = depth.map_err(|error| DavError::BadRequest(error.header()))?;
    let prefer = headers::prefer(&context.request.headers);
    let mut listing = match depth {
        Some(Depth::Zero) => Listing::default(),
        // below an object there is nothing, however deep one looks
        _ if !context.resource.is_collection() => Listing::default(),
        Some(Depth::One) => members_of(context.account, &context.own_href(), &context.resource)?,
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
        let responses = self.others.len() + self.objects.len();
        let data = match &responder.selection {
            Selection::Named(items) if Responder::wants_data(items) => self.data_bytes(),
            _ => 0,
        };
        let mut ahead = Ahead::default();
        let mut others = self.others.into_iter();
        let mut objects = self.objects.into_iter();
        let mut members = self
            .parent
            .map(|(parent, base)| MemberHrefs::new(parent, base));
        let account = responder.scene.account.clone();
        multistatus::Source::new(account, move |writer: &mut Writer| {
            if let Some((href, resource)) = others.next() {
                responder.write(&href, &resource, writer)?;
                return Ok(Progress::More);
            }
            ahead.look(objects.as_slice().iter());
            let (Some(members), Some(object)) = (&mut members, objects.next()) else {
                return Ok(Progress::Done);
            };
            let (href, resource) = members.of(object);
            responder.write(href, resource, writer)?;
            Ok(Progress::More)
        })
        .expecting(responses, data)
    }

    /// Bytes of the bodies of all objects.
    fn data_bytes(&self) -> u64 {
        let others = self.others.iter().map(|(_, other)| match other {
            Resource::Object(_, object) => object.size,
            _ => 0,
        });
        let objects = self.objects.iter().map(|object| object.size);
        others.chain(objects).sum()
    }
}

/// Looks at some objects together before they are written one by one: memory answers many questions
/// at once nearly as fast as one, and waiting for it was a third of what a long listing took.
#[derive(Default)]
pub struct Ahead {
    /// Objects that were looked at and not yet written.
    near: usize,
}

impl Ahead {
    /// To be called for each object, with it and those that follow.
    pub fn look<'a>(&mut self, next: impl Iterator<Item = &'a Arc<Summary>>) {
        const TOGETHER: usize = 16;
        if self.near == 0 {
            self.near = TOGETHER;
            let seen = next
                .take(TOGETHER)
                .fold(0, |seen, object| seen ^ first_byte(object));
            black_box(seen);
        }
        self.near -= 1;
    }
}

fn first_byte(object: &Summary) -> u8 {
    let name = object.segment.as_str().as_bytes().first();
    let kind = u8::from(object.calendar.is_some());
    kind ^ object.etag.0[0] ^ name.copied().unwrap_or(0)
}

/// The objects of one collection, one after the other, each with its href: what they have in common
/// is made once.
pub struct MemberHrefs {
    parent: Arc<Collection>,
    href: String,
    /// Bytes of the collection's own href.
    base: usize,
    /// The object at hand.
    resource: Resource,
}

impl MemberHrefs {
    /// Of a collection with that href.
    pub fn new(parent: Arc<Collection>, href: String) -> MemberHrefs {
        MemberHrefs {
            parent,
            base: href.len(),
            href,
            resource: Resource::Nowhere,
        }
    }

    /// The collection's own href.
    pub fn base(&self) -> &str {
        &self.href[..self.base]
    }

    /// The href of a name in the collection.
    pub fn href(&mut self, segment: &Segment) -> &str {
        self.href.truncate(self.base);
        encode_segment(segment, &mut self.href);
        &self.href
    }

    /// An object with its href.
    pub fn of(&mut self, object: Arc<Summary>) -> (&str, &Resource) {
        self.href.truncate(self.base);
        encode_segment(&object.segment, &mut self.href);
        match &mut self.resource {
            Resource::Object(_, at_hand) => *at_hand = object,
            // the collection's count of holders is asked for once, not for each member: all threads
            // that list it would wait for each other
            none => *none = Resource::Object(Arc::clone(&self.parent), object),
        }
        (&self.href, &self.resource)
    }
}

/// The members of a resource with that href.
///
/// # Errors
/// What the vault answers.
pub fn members_of(
    account: &AccountStore,
    href: &str,
    resource: &Resource,
) -> Result<Listing, VaultError> {
    let mut listing = Listing::default();
    let mut add = |href: &str, resource| listing.others.push((href.to_owned(), resource));
    match resource {
        Resource::Root => add(DAV_ROOT, Resource::DavRoot),
        Resource::DavRoot => {
            add(PRINCIPALS, Resource::Principals);
            add(CALENDARS, Resource::Calendars);
        }
        // of all principals and homes there are, everybody sees their own (HARDENING H15)
        Resource::Principals => add(&target::principal_href(account.name()), Resource::Principal),
        Resource::Calendars => {
            let home = target::href(account.name(), &[], HrefForm::Collection);
            add(&home, Resource::Collection(account.home()));
        }
        Resource::Collection(collection) => {
            let members = if resource.kind() == Some(Kind::Home) && collection.objects == 0 {
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
                    .push((member_href(href, &member), Resource::Collection(member)));
            }
            listing.objects = members.objects;
            listing.parent = Some((collection.clone(), href.to_owned()));
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
