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
use super::properties_calendar::parse_component_set;
use super::property::{self, Access};
use crate::ical::{ComponentKind, ComponentSet};
use crate::limits;
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
    kind: CollectionKind,
    report: Report,
) -> Result<Response, DavError> {
    let tree = context.tree()?;
    let conditions = Conditions::of(context)?;
    let wishes = wishes(context, root)?;
    let (kind, properties) = match judge(&wishes, kind) {
        Ok(judged) => judged,
        Err(refusals) => return Ok(refused(context, report, &wishes, refusals)),
    };
    if properties.values().map(String::len).sum::<usize>() > limits::PROPERTIES_BYTES {
        return Err(DavError::Named(&named::QUOTA_NOT_EXCEEDED));
    }
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

/// The properties that the body sets, in document order.
///
/// # Errors
/// 415 for another root, which is reserved (RFC 5689 section 3); 413 for too many.
fn wishes<'c>(context: &'c Context<'_>, root: QName) -> Result<Vec<&'c Element>, DavError> {
    let Some(body) = &context.xml else {
        return Ok(Vec::new());
    };
    if !body.is(root) {
        return Err(DavError::UnsupportedMediaType(
            "another element than the method's own",
        ));
    }
    let sets = body.children_named(dav("set"));
    let properties = sets.flat_map(|set| set.children_named(dav("prop")));
    let wishes: Vec<&Element> = properties.flat_map(Element::elements).collect();
    if wishes.len() > limits::PROPERTIES_PER_REQUEST {
        return Err(DavError::TooLarge("properties of one request"));
    }
    Ok(wishes)
}

/// A property that cannot be set, by its place among the wishes, and why.
type Refusals = Vec<(usize, DavError)>;

/// What is to be made, or what stands against it.
fn judge(
    wishes: &[&Element],
    default: CollectionKind,
) -> Result<(CollectionKind, Properties), Refusals> {
    let mut refusals = Refusals::new();
    let mut kind = default;
    let mut properties = Properties::new();
    // the type first, since it decides what the other properties mean
    for (at, wish) in wishes
        .iter()
        .enumerate()
        .filter(|(_, wish)| wish.is(dav("resourcetype")))
    {
        match resource_type(wish, default) {
            Ok(wanted) => kind = wanted,
            Err(error) => refusals.push((at, error)),
        }
    }
    for (at, wish) in wishes.iter().enumerate() {
        let outcome = match (
            property::find(&wish.name).map(|row| (row, row.access)),
            kind,
        ) {
            (Some((row, Access::AtCreation)), _) if row.name == dav("resourcetype") => Ok(()),
            (Some((_, Access::AtCreation)), CollectionKind::Calendar(_)) => {
                parse_component_set(wish).map(|set| {
                    let said = if set.is_empty() {
                        default_components()
                    } else {
                        set
                    };
                    kind = CollectionKind::Calendar(said);
                })
            }
            (Some((_, Access::AtCreation | Access::Protected)), _) => {
                Err(DavError::Named(&named::CANNOT_MODIFY_PROTECTED_PROPERTY))
            }
            (Some((row, Access::Stored(check))), _) if (row.on)(kind_of(kind)) => check(wish),
            // dead, or live on other kinds of resource only
            (Some((_, Access::Stored(_))) | None, _) => Ok(()),
        };
        match outcome {
            Ok(()) if at_creation(&wish.name) => {}
            Ok(()) => _ = properties.insert(wish.name.clone(), wish.to_xml()),
            Err(error) => refusals.push((at, error)),
        }
    }
    if refusals.is_empty() {
        Ok((kind, properties))
    } else {
        Err(refusals)
    }
}

fn at_creation(name: &Name) -> bool {
    property::find(name).is_some_and(|row| matches!(row.access, Access::AtCreation))
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
fn refused(
    context: &Context<'_>,
    report: Report,
    wishes: &[&Element],
    refusals: Refusals,
) -> Response {
    let first = refusals
        .first()
        .map_or(StatusCode::FORBIDDEN, |(_, error)| error.status());
    let mut writer = Writer::document();
    match report {
        Report::MkcolResponse => writer.start(dav("mkcol-response")),
        Report::Multistatus => {
            writer.start(dav("multistatus"));
            writer.start(dav("response"));
            writer.element_text(dav("href"), &context.own_href());
        }
    }
    let failed = |at: usize| refusals.iter().any(|(place, _)| *place == at);
    for (at, error) in &refusals {
        propstat(&mut writer, &[wishes[*at]], error.status(), Some(error));
    }
    let others: Vec<&Element> = (0..wishes.len())
        .filter(|at| !failed(*at))
        .map(|at| wishes[at])
        .collect();
    if !others.is_empty() {
        propstat(&mut writer, &others, StatusCode::FAILED_DEPENDENCY, None);
    }
    let status = match report {
        Report::MkcolResponse => first,
        Report::Multistatus => StatusCode::MULTI_STATUS,
    };
    let mut response = Response::xml(status, writer.finish()).with(CACHE_CONTROL, "no-cache");
    let reason = refusals.iter().find_map(|(_, error)| error.condition());
    response.refusal = Some(reason.map_or("a property cannot be set", |known| known.name.local));
    response
}

fn propstat(
    writer: &mut Writer,
    wishes: &[&Element],
    status: StatusCode,
    error: Option<&DavError>,
) {
    writer.start(dav("propstat"));
    writer.start(dav("prop"));
    for wish in wishes {
        writer.name_empty(&wish.name);
    }
    writer.end();
    writer.element_text(dav("status"), &format!("HTTP/1.1 {status}"));
    if let Some(error) = error {
        error.write_error(writer);
    }
    writer.end();
}
