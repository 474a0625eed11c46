//! What a method gets: the request, what its target names, and how to write hrefs.

use std::sync::Arc;

use super::error::DavError;
use super::message::Request;
use super::target::{self, Authorities, HrefForm, Target, TargetError, TreePath};
use super::{Dav, acl, precondition};
use crate::ids::Segment;
use crate::limits;
use crate::vault::{AccountStore, Collection, CollectionKind, Node, Summary};
use crate::xml::{self, Element, XmlLimits};

/// What stands at a target, as it was when the request began. A method that writes resolves
/// the path again inside its transaction.
#[derive(Debug, Clone)]
pub enum Resource {
    /// `/`
    Root,
    /// `/dav/`
    DavRoot,
    /// `/dav/principals/`
    Principals,
    /// The account's principal.
    Principal,
    /// `/dav/calendars/`
    Calendars,
    /// The home, a plain collection or a calendar.
    Collection(Arc<Collection>),
    /// An object, and the collection it is in.
    Object(Arc<Collection>, Arc<Summary>),
    /// Nothing yet: the collection it would be in, and its name there.
    Missing(Arc<Collection>, Segment),
    /// Nothing, and its parent is missing or no collection: writes answer 409.
    Nowhere,
}

/// The kinds of resource that properties and reports tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/`
    Root,
    /// `/dav/`
    DavRoot,
    /// `/dav/principals/`
    Principals,
    /// A principal.
    Principal,
    /// `/dav/calendars/`
    Calendars,
    /// A calendar home.
    Home,
    /// An ordinary collection.
    Plain,
    /// A calendar.
    Calendar,
    /// A calendar object resource.
    CalendarObject,
    /// Any other object.
    File,
}

impl Resource {
    /// Its kind; none for what does not exist.
    pub fn kind(&self) -> Option<Kind> {
        Some(match self {
            Resource::Root => Kind::Root,
            Resource::DavRoot => Kind::DavRoot,
            Resource::Principals => Kind::Principals,
            Resource::Principal => Kind::Principal,
            Resource::Calendars => Kind::Calendars,
            Resource::Collection(collection) => match collection.kind {
                CollectionKind::Home => Kind::Home,
                CollectionKind::Plain => Kind::Plain,
                CollectionKind::Calendar(_) => Kind::Calendar,
            },
            Resource::Object(_, object) if object.calendar.is_some() => Kind::CalendarObject,
            Resource::Object(..) => Kind::File,
            Resource::Missing(..) | Resource::Nowhere => return None,
        })
    }

    /// What stands at a path of the account's own tree.
    pub fn of(node: Node) -> Resource {
        match node {
            Node::Collection(collection) => Resource::Collection(collection),
            Node::Object(parent, object) => Resource::Object(parent, object),
            Node::Missing(parent, segment) => Resource::Missing(parent, segment),
            Node::Nowhere => Resource::Nowhere,
        }
    }

    /// Whether something is there.
    pub fn exists(&self) -> bool {
        !matches!(self, Resource::Missing(..) | Resource::Nowhere)
    }

    /// Whether it has members, or could have.
    pub fn is_collection(&self) -> bool {
        self.exists() && !matches!(self, Resource::Object(..))
    }
}

/// One request being answered.
pub struct Context<'a> {
    /// The server's settings, clock and randomness.
    pub dav: &'a Dav,
    /// The account that sent it.
    pub account: &'a AccountStore,
    /// The request.
    pub request: &'a Request,
    /// What its URL names.
    pub target: Target,
    /// What stands there.
    pub resource: Resource,
    /// The body, for methods that take XML; none when it was empty.
    pub xml: Option<Arc<Element>>,
}

impl<'a> Context<'a> {
    /// Parses the target and looks it up.
    ///
    /// # Errors
    /// 400 for a malformed target; 404 for another account's, without looking anything up (H12).
    pub fn new(
        dav: &'a Dav,
        account: &'a AccountStore,
        request: &'a Request,
    ) -> Result<Self, DavError> {
        Context::at(target_of(dav, request)?, dav, account, request)
    }

    /// Looks a target up.
    ///
    /// # Errors
    /// 404 for another account's, without looking anything up (H12).
    pub fn at(
        target: Target,
        dav: &'a Dav,
        account: &'a AccountStore,
        request: &'a Request,
    ) -> Result<Self, DavError> {
        let resource = resolve(account, &target)?;
        Ok(Context {
            dav,
            account,
            request,
            target,
            resource,
            xml: None,
        })
    }

    /// A header's value as text; none when it is absent or not visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.get(name)?.to_str().ok()
    }

    /// The path below the account's home.
    ///
    /// # Errors
    /// 403 when the target is not in a home.
    pub fn path(&self) -> Result<&[Segment], DavError> {
        self.tree().map(|tree| tree.path.as_slice())
    }

    /// The target as a path in the account's tree.
    ///
    /// # Errors
    /// 403 when the target is not in a home.
    pub fn tree(&self) -> Result<&TreePath, DavError> {
        match &self.target {
            Target::Tree(tree) => Ok(tree),
            _ => Err(DavError::Forbidden("outside every calendar home")),
        }
    }

    /// Reads an href of the body or a Destination.
    ///
    /// # Errors
    /// `TargetError`: a foreign Destination is 502 (RFC 4918 section 9.8.5), elsewhere 404.
    pub fn parse_href(&self, href: &str) -> Result<Target, TargetError> {
        Target::parse_href(href, &authorities(self.dav, self.request))
    }

    /// The path of a Destination below the account's home.
    ///
    /// # Errors
    /// 400, 403 outside the homes, 404 for another account's, 502 for another server.
    pub fn parse_destination(&self, href: &str) -> Result<TreePath, DavError> {
        match self.parse_href(href) {
            Ok(Target::Tree(tree)) if acl::may_name(self.account, &tree.user) => Ok(tree),
            Ok(Target::Tree(_) | Target::Principal(_) | Target::Unknown) => Err(DavError::NotFound),
            Ok(_) => Err(DavError::Forbidden("outside every calendar home")),
            Err(TargetError::Malformed) => Err(DavError::BadRequest("a malformed Destination")),
            Err(TargetError::Foreign) => Err(DavError::BadGateway),
        }
    }

    /// The href of a path below the account's home.
    pub fn href(&self, path: &[Segment], form: HrefForm) -> String {
        target::href(self.account.name(), path, form)
    }

    /// The href of the request's own target.
    pub fn own_href(&self) -> String {
        resource_href(self.account, &self.target, &self.resource)
    }

    /// Reads the body as XML; `None` when it is empty.
    ///
    /// # Errors
    /// 400, 413, 403 no-external-entities; 415 when it is not said to be XML and is none.
    pub fn read_xml(&self, limits: &XmlLimits) -> Result<Option<Arc<Element>>, DavError> {
        let body = &self.request.body;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let said_xml = self
            .header("content-type")
            .is_none_or(|kind| kind.to_ascii_lowercase().contains("xml"));
        match xml::parse(body, limits) {
            Ok(element) => Ok(Some(Arc::new(element))),
            Err(xml::XmlError::Malformed(_) | xml::XmlError::Encoding) if !said_xml => {
                Err(DavError::UnsupportedMediaType("a body that is no XML"))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The target of a request.
///
/// # Errors
/// 400 for a malformed one.
pub fn target_of(dav: &Dav, request: &Request) -> Result<Target, TargetError> {
    Target::parse(&request.target)
        .or_else(|_| Target::parse_href(&request.target, &authorities(dav, request)))
}

fn authorities(dav: &Dav, request: &Request) -> Authorities {
    Authorities::new(&request.authorities, dav.settings.public_url.as_deref())
}

/// What stands at a target, in the account's own tree only.
///
/// # Errors
/// 404 for everything of another account, existing or not, and for paths that never exist.
pub fn resolve(account: &AccountStore, target: &Target) -> Result<Resource, DavError> {
    if target
        .user()
        .is_some_and(|user| !acl::may_name(account, user))
    {
        return Err(DavError::NotFound);
    }
    Ok(match target {
        Target::Root => Resource::Root,
        Target::DavRoot | Target::WellKnown => Resource::DavRoot,
        Target::Principals => Resource::Principals,
        Target::Principal(_) => Resource::Principal,
        Target::Calendars => Resource::Calendars,
        Target::Tree(tree) if tree.path.len() > limits::TREE_DEPTH => Resource::Nowhere,
        Target::Tree(tree) => match Resource::of(account.resolve(&tree.path)?) {
            // `x.ics/` is no name of the object `x.ics`
            Resource::Object(..) if tree.trailing_slash => Resource::Nowhere,
            resource => resource,
        },
        Target::Unknown => return Err(DavError::NotFound),
    })
}

/// The href of what stands at a target.
pub fn resource_href(account: &AccountStore, target: &Target, resource: &Resource) -> String {
    match target {
        Target::Root | Target::Unknown => "/".to_owned(),
        Target::WellKnown | Target::DavRoot => target::DAV_ROOT.to_owned(),
        Target::Principals => target::PRINCIPALS.to_owned(),
        Target::Principal(user) => target::principal_href(user),
        Target::Calendars => target::CALENDARS.to_owned(),
        Target::Tree(tree) => {
            let form = if resource.is_collection() {
                HrefForm::Collection
            } else {
                HrefForm::Object
            };
            target::href(account.name(), &tree.path, form)
        }
    }
}

/// The body of a method that cannot do without one.
///
/// # Errors
/// 400 when it is absent.
pub fn required<'c>(context: &'c Context<'_>) -> Result<&'c Element, DavError> {
    context
        .xml
        .as_deref()
        .ok_or(DavError::BadRequest("the method needs an XML body"))
}

/// Refuses a Depth: infinity listing.
pub fn finite_depth() -> DavError {
    DavError::Named(&precondition::PROPFIND_FINITE_DEPTH)
}
