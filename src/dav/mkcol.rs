//! MKCOL, plain (RFC 4918 section 9.3) and extended (RFC 5689), and MKCALENDAR (RFC 4791
//! section 5.3.1). The collection comes with all the properties that were asked for, or not.
//!
//! Calendars live directly in the home: clients look for them nowhere else.

use http::StatusCode;
use http::header::CACHE_CONTROL;

use super::conditions::{self, Conditions};
use super::context::{Context, Kind};
use super::copymove::kind_may_hold;
use super::error::DavError;
use super::locks::Write;
use super::message::Response;
use super::precondition as named;
use super::target::HrefForm;
use super::update::{Place, Update, Updated, apply_updates, component_set, parse_updates};
use crate::ical::{ComponentKind, ComponentSet};
use crate::vault::{CollectionKind, NewCollection, Node, Properties};
use crate::xml::{Element, Name, QName, Writer, caldav, dav};

/// The element that a refusal of single properties is reported in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    /// DAV:mkcol-response, with the status of the first refusal (RFC 5689 section 3).
    MkcolResponse,
    /// 207 with DAV:multistatus (RFC 4791 section 5.3.1.1).
    Multistatus,
}

/// Answers MKCOL.
///
/// # Errors
/// 403, 405 where something is, 409 without a parent, 412, 415, 423, 507.
pub fn run(context: &Context<'_>) -> Result<Response, DavError> {
    let (root, kind) = (dav("mkcol"), CollectionKind::Plain);
    make(context, root, kind, Report::MkcolResponse)
}

/// Answers MKCALENDAR.
///
/// # Errors
/// As MKCOL, and calendar-collection-location-ok.
pub fn run_calendar(context: &Context<'_>) -> Result<Response, DavError> {
    let (root, kind) = (
        caldav("mkcalendar"),
        CollectionKind::Calendar(default_components()),
    );
    make(context, root, kind, Report::Multistatus)
}

/// What a calendar takes when nothing is said (RFC 4791 section 5.2.3).
fn default_components() -> ComponentSet {
    [
        ComponentKind::Event,
        ComponentKind::Todo,
        ComponentKind::Journal,
    ]
    .into_iter()
    .collect()
}

fn make(
    context: &Context<'_>,
    root: QName,
    default: CollectionKind,
    report: Report,
) -> Result<Response, DavError> {
    let tree = context.tree()?;
    let conditions = Conditions::of(context)?;
    let updates = match &context.xml {
        Some(body) if body.is(root) => parse_updates(body)?,
        // reserved for future use (RFC 5689 section 3)
        Some(_) => {
            return Err(DavError::UnsupportedMediaType(
                "another root than the method's",
            ));
        }
        None => Vec::new(),
    };
    let (kind, updated) = judge(&updates, default);
    if !updated.is_done() {
        let href = context.href(&tree.path, HrefForm::Collection);
        return Ok(refused(&href, report, &updated));
    }
    let properties = updated.properties;
    context.account.write(|tx| {
        let (parent, segment) = match conditions::node(tx.account(), tree)? {
            Node::Missing(parent, segment) => (parent, segment),
            Node::Nowhere => return Err(DavError::Conflict("the parent is missing")),
            Node::Object(..) | Node::Collection(_) => {
                return Err(DavError::Named(&named::RESOURCE_MUST_BE_NULL));
            }
        };
        kind_may_hold(parent.kind, kind)?;
        let write = Write::Create(&tree.path);
        conditions::check(tx.account(), &conditions, &tree.path, &[write])?;
        tx.make_collection(NewCollection {
            parent: parent.id,
            segment,
            kind,
            properties,
        })?;
        Ok(())
    })?;
    Ok(Response::new(StatusCode::CREATED).with(CACHE_CONTROL, "no-cache"))
}

/// What is to be made, and whether every property allows it.
fn judge(updates: &[Update<'_>], default: CollectionKind) -> (CollectionKind, Updated) {
    let said = |wanted: QName| {
        let set =
            move |update: &Update<'_>| matches!(update, Update::Set(_)) && *update.name() == wanted;
        updates.iter().any(set).then(|| Name::from(wanted))
    };
    // the type first, since it decides what the other properties mean
    let mut kind = default;
    let mut refusal = None;
    for update in updates {
        match update {
            Update::Set(element) if element.is(dav("resourcetype")) => {
                match resource_type(element, default) {
                    Ok(wanted) => kind = wanted,
                    Err(error) => refusal = Some((element.name.clone(), error)),
                }
            }
            _ => {}
        }
    }
    let mut updated = apply_updates(&Properties::new(), updates, Place::New(kind_of(kind)));
    let components = said(caldav("supported-calendar-component-set"));
    match (kind, component_set(updates), components) {
        (CollectionKind::Calendar(_), Ok(Some(set)), _) if !set.is_empty() => {
            kind = CollectionKind::Calendar(set);
        }
        (CollectionKind::Calendar(_), _, _) | (_, _, None) => {}
        (_, _, Some(name)) => {
            // not a property of other collections, and nothing would keep it
            let protected = DavError::Named(&named::CANNOT_MODIFY_PROTECTED_PROPERTY);
            refusal.get_or_insert((name, protected));
        }
    }
    if let Some((refused, error)) = refusal {
        for (name, outcome) in &mut updated.outcomes {
            if *name == refused {
                *outcome = Some(error.clone());
            }
        }
    }
    (kind, updated)
}

fn kind_of(kind: CollectionKind) -> Kind {
    match kind {
        CollectionKind::Home => Kind::Home,
        CollectionKind::Plain => Kind::Plain,
        CollectionKind::Calendar(_) => Kind::Calendar,
    }
}

/// The kind that a DAV:resourcetype names (RFC 5689 section 3).
///
/// # Errors
/// DAV:valid-resourcetype.
fn resource_type(wish: &Element, default: CollectionKind) -> Result<CollectionKind, DavError> {
    let collection = wish.child(dav("collection")).is_some();
    let calendar = wish.child(caldav("calendar")).is_some();
    let known = |element: &Element| element.is(dav("collection")) || element.is(caldav("calendar"));
    match (collection && wish.elements().all(known), calendar, default) {
        (true, true, _) => Ok(CollectionKind::Calendar(default_components())),
        (true, false, CollectionKind::Plain) => Ok(CollectionKind::Plain),
        _ => Err(DavError::Named(&named::VALID_RESOURCETYPE)),
    }
}

/// The answer when properties cannot be set: each with its reason, the others with 424.
/// `href` is what the collection's would have been.
fn refused(href: &str, report: Report, updated: &Updated) -> Response {
    let errors = || {
        updated
            .outcomes
            .iter()
            .filter_map(|(_, refusal)| refusal.as_ref())
    };
    let mut writer = Writer::document();
    let status = match report {
        Report::MkcolResponse => {
            writer.start(dav("mkcol-response"));
            errors()
                .next()
                .map_or(StatusCode::FORBIDDEN, DavError::status)
        }
        Report::Multistatus => {
            writer.start(dav("multistatus"));
            writer.start(dav("response"));
            writer.element_text(dav("href"), href);
            StatusCode::MULTI_STATUS
        }
    };
    updated.write_propstats(&mut writer);
    let mut response = Response::xml(status, writer.finish()).with(CACHE_CONTROL, "no-cache");
    response.refusal = updated.refusal();
    response
}
