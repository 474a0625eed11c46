//! Multistatus answers (RFC 4918 section 13), written while they are sent.
//!
//! A source writes one DAV:response at a time into a writer; what gathers there leaves in
//! steps (`source`). The first, of half as much as the others, is computed at once, so that a short
//! answer has its length, and what fails early is still a clean error. Later steps tell of some
//! things as they are by then (a body overwritten since, locks): each waits until that is durable.

mod source;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use http::header::HeaderName;
use parking_lot::Mutex;

use super::context::{Context, Resource};
use super::error::DavError;
use super::headers::{self, Return};
use super::message::Response;
use super::precondition::NUMBER_OF_MATCHES_WITHIN_LIMITS;
use super::property::Allprop;
use super::property::{Found, Scene, Subject, Wanted, rows};
use super::timezone::FloatingZones;
use crate::ical::expand::Room;
use crate::ical::instances::WithinError;
use crate::ical::retrieve::Retrieval;
use crate::limits;
use crate::vault::{AccountStore, Collection, Summary, VaultError};
use crate::xml::{Writer, caldav, dav};

use source::Stream;
pub use source::{Progress, Source};

// What stands around the properties of each resource, ready-made. All of it is written below the
// root that `DAV:multistatus` is, which declares the prefix.
const RESPONSE: &str = "<D:response><D:href>";
const HREF_END: &str = "</D:href>";
const FOUND: &str = "<D:propstat><D:prop>";
const FOUND_END: &str = "</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>";
const RESPONSE_END: &str = "</D:response>";

/// A 207 answer of what the source writes.
///
/// # Errors
/// What the source could not do in its first step.
pub fn respond(source: Source) -> Result<Response, DavError> {
    let mut stream = Stream::new(source);
    let first = stream.next().transpose()?.unwrap_or_default();
    if stream.is_over() {
        return Ok(Response::xml(StatusCode::MULTI_STATUS, first));
    }
    let late = std::iter::from_fn(move || stream.late());
    Ok(Response::multistatus(Box::new(
        std::iter::once(Ok(first)).chain(late),
    )))
}

/// A 207 answer of what the source makes of a responder. One with instances written out is put
/// together before its head is sent, so that too many are a clean refusal.
///
/// # Errors
/// What the source could not do; number-of-matches-within-limits.
pub fn respond_with(
    responder: Responder,
    source: impl FnOnce(Responder) -> Source,
) -> Result<Response, DavError> {
    let (absent, expands) = (responder.absent, responder.expands());
    let allowance = responder.allowance.clone();
    let mut source = source(responder);
    if !expands {
        return Ok(with_preference(respond(source)?, absent));
    }
    let mut writer = Writer::document();
    writer.start(dav("multistatus"));
    while (source.write)(&mut writer)? == Progress::More {
        allowance.check(&writer)?;
    }
    allowance.check(&writer)?;
    let response = Response::xml(StatusCode::MULTI_STATUS, writer.finish());
    Ok(with_preference(response, absent))
}

/// A 207 answer with a few responses that are written at once.
pub fn respond_now(write: impl FnOnce(&mut Writer)) -> Response {
    let mut writer = Writer::document();
    writer.start(dav("multistatus"));
    write(&mut writer);
    Response::xml(StatusCode::MULTI_STATUS, writer.finish())
}

/// Writes DAV:status.
pub fn write_status(status: StatusCode, writer: &mut Writer) {
    writer.start(dav("status"));
    writer.text("HTTP/1.1 ");
    writer.text(status.as_str());
    writer.text(" ");
    writer.text(status.canonical_reason().unwrap_or(""));
    writer.end();
}

/// Writes a DAV:response with a status of its own.
pub fn write_status_response(href: &str, status: StatusCode, writer: &mut Writer) {
    writer.start(dav("response"));
    writer.element_text(dav("href"), href);
    write_status(status, writer);
    writer.end();
}

/// Writes a DAV:response with a refusal and its named condition.
pub fn write_error_response(href: &str, error: &DavError, writer: &mut Writer) {
    writer.start(dav("response"));
    writer.element_text(dav("href"), href);
    write_status(error.status(), writer);
    error.write_error(writer);
    writer.end();
}

/// One thing asked for of each resource.
#[derive(Clone)]
pub enum Item {
    /// A property.
    Property(Wanted),
    /// CALDAV:calendar-data, whole or in parts (reports only).
    CalendarData(Retrieval),
}

/// What is asked for of each resource.
#[derive(Clone)]
pub enum Selection {
    /// DAV:allprop, and what DAV:include adds.
    Allprop(Vec<Wanted>),
    /// DAV:propname.
    Propname,
    /// DAV:prop.
    Named(Vec<Item>),
}

/// Whether properties that are not there are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// With a 404 propstat.
    Told,
    /// Not at all (RFC 8144 section 2.1).
    LeftOut,
}

impl Absent {
    /// What the request prefers.
    pub fn of(context: &Context<'_>) -> Absent {
        match headers::prefer(&context.request.headers).wanted {
            Some(Return::Minimal) => Absent::LeftOut,
            _ => Absent::Told,
        }
    }
}

/// Says that the preference was followed, and that the answer depends on it (RFC 7240 section 3).
pub fn with_preference(response: Response, absent: Absent) -> Response {
    let response = response.with(http::header::VARY, "Prefer, Brief");
    match absent {
        Absent::Told => response,
        Absent::LeftOut => response.with(
            HeaderName::from_static("preference-applied"),
            "return=minimal",
        ),
    }
}

/// Writes the DAV:response of one resource after another.
pub struct Responder {
    /// The moment.
    pub scene: Scene,
    /// What is asked for.
    pub selection: Selection,
    /// Whether missing properties are told of.
    pub absent: Absent,
    /// Where floating times are read.
    pub zones: FloatingZones,
    /// What the answer may still hold of expanded instances.
    allowance: Arc<Allowance>,
}

/// What an answer may still hold of expanded instances; one that would hold more is refused.
#[derive(Default)]
struct Allowance {
    room: Mutex<Room>,
    exceeded: AtomicBool,
}

impl Allowance {
    fn check(&self, writer: &Writer) -> Result<(), DavError> {
        if self.exceeded.load(Ordering::Relaxed) || writer.len() > limits::QUERY_ANSWER_BYTES {
            return Err(DavError::Named(&NUMBER_OF_MATCHES_WITHIN_LIMITS));
        }
        Ok(())
    }
}

/// The body of an object, for CALDAV:calendar-data.
enum Data {
    NotWanted,
    Bytes(Vec<u8>),
    Damaged,
}

/// What became of an object that was listed.
pub enum Body {
    /// Its body, and the object as it is now: the two belong together.
    There(Arc<Summary>, Vec<u8>),
    /// Its row does not open.
    Damaged,
    /// It is not there any more.
    Gone,
}

/// The body of an object that a snapshot has, or of what overwrote it since, which need not be
/// durable yet: the answer's receipt, or the step of its stream, waits for it.
///
/// # Errors
/// `VaultError`, when the store does not answer.
pub fn current_body(
    account: &AccountStore,
    parent: &Collection,
    object: &Arc<Summary>,
) -> Result<Body, VaultError> {
    /// Overwrites in a row that are waited out before the object counts as gone.
    const TRIES: usize = 8;
    let mut current = object.clone();
    for _ in 0..TRIES {
        match account.body(parent.id, &current) {
            Ok(bytes) => return Ok(Body::There(current, bytes)),
            Err(VaultError::Damaged(row)) => {
                tracing::error!(row, "a body does not open");
                return Ok(Body::Damaged);
            }
            Err(VaultError::Missing) => match account.object(parent.id, &object.segment)? {
                Some(newer) => current = newer,
                None => return Ok(Body::Gone),
            },
            Err(error) => return Err(error),
        }
    }
    Ok(Body::Gone)
}

impl Responder {
    /// For a request.
    pub fn new(context: &Context<'_>, selection: Selection) -> Responder {
        Responder {
            scene: Scene::new(context),
            selection,
            absent: Absent::of(context),
            zones: FloatingZones::default(),
            allowance: Arc::default(),
        }
    }

    /// Whether what was written for the answer so far is within its bounds.
    ///
    /// # Errors
    /// number-of-matches-within-limits.
    pub fn check(&self, writer: &Writer) -> Result<(), DavError> {
        self.allowance.check(writer)
    }

    /// Whether instances are written out, so that it is not known beforehand that they can be.
    fn expands(&self) -> bool {
        let expands = |item: &Item| matches!(item, Item::CalendarData(data) if data.expands());
        matches!(&self.selection, Selection::Named(items) if items.iter().any(expands))
    }

    /// Writes the response of a resource; 404 when it is not there (any more).
    ///
    /// # Errors
    /// Only what ends the whole answer: a damaged row is a 500 propstat.
    pub fn write(
        &self,
        href: &str,
        resource: &Resource,
        writer: &mut Writer,
    ) -> Result<(), VaultError> {
        let Resource::Object(parent, object) = resource else {
            return self.write_loaded(href, resource, Data::NotWanted, writer);
        };
        let wanted = matches!(&self.selection, Selection::Named(items) if Self::wants_data(items));
        if object.calendar.is_none() || !wanted {
            return self.write_loaded(href, resource, Data::NotWanted, writer);
        }
        match current_body(&self.scene.account, parent, object)? {
            Body::There(newer, bytes) if Arc::ptr_eq(&newer, object) => {
                self.write_loaded(href, resource, Data::Bytes(bytes), writer)
            }
            Body::There(newer, bytes) => {
                let resource = Resource::Object(parent.clone(), newer);
                self.write_loaded(href, &resource, Data::Bytes(bytes), writer)
            }
            Body::Damaged => self.write_loaded(href, resource, Data::Damaged, writer),
            Body::Gone => {
                write_status_response(href, StatusCode::NOT_FOUND, writer);
                Ok(())
            }
        }
    }

    /// Writes the response of an object whose body was read already.
    ///
    /// # Errors
    /// As `write`.
    pub fn write_with_body(
        &self,
        href: &str,
        resource: &Resource,
        body: Vec<u8>,
        writer: &mut Writer,
    ) -> Result<(), VaultError> {
        self.write_loaded(href, resource, Data::Bytes(body), writer)
    }

    /// Whether bodies have to be read.
    pub fn wants_data(items: &[Item]) -> bool {
        items
            .iter()
            .any(|item| matches!(item, Item::CalendarData(_)))
    }

    fn write_loaded(
        &self,
        href: &str,
        resource: &Resource,
        data: Data,
        writer: &mut Writer,
    ) -> Result<(), VaultError> {
        let Some(subject) = Subject::new(&self.scene, resource, href) else {
            write_status_response(href, StatusCode::NOT_FOUND, writer);
            return Ok(());
        };
        writer.raw(RESPONSE);
        writer.text(href);
        writer.raw(HREF_END);
        match &self.selection {
            Selection::Propname => self.write_names(&subject, writer)?,
            Selection::Allprop(include) => {
                let items = allprop(&subject, include)?;
                self.write_items(&subject, &items, &data, writer)?;
            }
            Selection::Named(items) => self.write_items(&subject, items, &data, writer)?,
        }
        writer.raw(RESPONSE_END);
        Ok(())
    }

    fn write_names(&self, subject: &Subject<'_>, writer: &mut Writer) -> Result<(), VaultError> {
        writer.start(dav("propstat"));
        writer.start(dav("prop"));
        for name in subject.names()? {
            writer.name_empty(&name);
        }
        writer.end();
        write_status(StatusCode::OK, writer);
        writer.end();
        Ok(())
    }

    fn write_items(
        &self,
        subject: &Subject<'_>,
        items: &[Item],
        data: &Data,
        writer: &mut Writer,
    ) -> Result<(), VaultError> {
        let mut absent: Vec<&Item> = Vec::new();
        let mut damaged: Vec<&Item> = Vec::new();
        let mut refused: Vec<&Item> = Vec::new();
        let told = self.absent == Absent::Told;
        // An empty 200 propstat stands only where nothing else would (RFC 8144 section 2.1).
        let possible =
            !told || items.is_empty() || items.iter().any(|item| may_have(subject, item));
        if possible {
            writer.raw(FOUND);
            for item in items {
                let written = match item {
                    Item::Property(wanted) => subject.write(wanted, writer).map(Written::from),
                    Item::CalendarData(data_wanted) => {
                        self.write_data(subject, data_wanted, data, writer)
                    }
                };
                match written {
                    Ok(Written::Yes) => {}
                    Ok(Written::No) => absent.push(item),
                    Ok(Written::Refused) => refused.push(item),
                    Err(VaultError::Damaged(_)) => damaged.push(item),
                    Err(error) => return Err(error),
                }
            }
            writer.raw(FOUND_END);
        } else {
            absent.extend(items);
        }
        if told {
            write_propstat(&absent, StatusCode::NOT_FOUND, None, writer);
        }
        write_propstat(&damaged, StatusCode::INTERNAL_SERVER_ERROR, None, writer);
        let limited = DavError::Named(&NUMBER_OF_MATCHES_WITHIN_LIMITS);
        write_propstat(&refused, limited.status(), Some(&limited), writer);
        Ok(())
    }

    /// Writes CALDAV:calendar-data.
    fn write_data(
        &self,
        subject: &Subject<'_>,
        wanted: &Retrieval,
        data: &Data,
        writer: &mut Writer,
    ) -> Result<Written, VaultError> {
        let bytes = match data {
            Data::NotWanted => return Ok(Written::No),
            Data::Damaged => return Err(VaultError::Damaged(String::new())),
            Data::Bytes(bytes) => bytes,
        };
        let zone = match subject.resource {
            Resource::Object(parent, _) if wanted.reads_times() => self.zones.of(parent),
            _ => None,
        };
        let retrieved = wanted.of(bytes, zone.as_ref(), &mut self.allowance.room.lock());
        match retrieved {
            Ok(text) => {
                writer.start(caldav("calendar-data"));
                // the lossy reading looks at each byte, which nearly always is in vain
                match std::str::from_utf8(&text) {
                    Ok(text) => writer.text(text),
                    Err(_) => writer.text(&String::from_utf8_lossy(&text)),
                }
                writer.end();
                Ok(Written::Yes)
            }
            Err(WithinError::TooMany) => {
                self.allowance.exceeded.store(true, Ordering::Relaxed);
                Ok(Written::Refused)
            }
            // this object alone cannot be written out, the others can
            Err(WithinError::Recurrence(_)) => Ok(Written::Refused),
        }
    }
}

/// What became of one thing asked for.
enum Written {
    Yes,
    No,
    /// More than an answer holds.
    Refused,
}

impl From<Found> for Written {
    fn from(found: Found) -> Self {
        match found {
            Found::Yes => Written::Yes,
            Found::No => Written::No,
        }
    }
}

/// Whether a resource can have what is asked for, judged without computing it.
fn may_have(subject: &Subject<'_>, item: &Item) -> bool {
    match item {
        Item::CalendarData(_) => subject.kind == super::context::Kind::CalendarObject,
        Item::Property(wanted) => {
            wanted.row.is_some_and(|row| (row.on)(subject.kind))
                || subject.stored().is_ok_and(|stored| !stored.is_empty())
        }
    }
}

/// What allprop gives of a resource: rows that say so, everything dead, and what is included.
fn allprop(subject: &Subject<'_>, include: &[Wanted]) -> Result<Vec<Item>, VaultError> {
    let kind = subject.kind;
    let given = rows().filter(|row| row.allprop == Allprop::Given && (row.on)(kind));
    let mut wanted: Vec<Wanted> = given
        .map(|row| Wanted {
            name: row.name.into(),
            row: Some(row),
        })
        .collect();
    let dead = match subject.dead() {
        Ok(dead) => dead
            .map(|name| Wanted {
                name: name.clone(),
                row: None,
            })
            .collect(),
        Err(VaultError::Damaged(row)) => {
            tracing::error!(row, "stored properties do not open");
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    wanted.extend(dead);
    for one in include {
        if wanted.iter().all(|other| other.name != one.name) {
            wanted.push(one.clone());
        }
    }
    let mut items: Vec<Item> = wanted.into_iter().map(Item::Property).collect();
    // a property of the table that this resource happens to lack is no news in allprop
    items.retain(|item| match item {
        Item::Property(Wanted {
            row: Some(row),
            name,
        }) => {
            row.allprop == Allprop::Named
                || include.iter().any(|one| one.name == *name)
                || (row.get)(subject, &mut Writer::fragment()) == Ok(Found::Yes)
        }
        _ => true,
    });
    Ok(items)
}

fn write_propstat(
    items: &[&Item],
    status: StatusCode,
    error: Option<&DavError>,
    writer: &mut Writer,
) {
    if items.is_empty() {
        return;
    }
    writer.start(dav("propstat"));
    writer.start(dav("prop"));
    for item in items {
        match item {
            Item::Property(Wanted { row: Some(row), .. }) => writer.empty(row.name),
            Item::Property(wanted) => writer.name_empty(&wanted.name),
            Item::CalendarData(_) => writer.empty(caldav("calendar-data")),
        }
    }
    writer.end();
    write_status(status, writer);
    if let Some(error) = error {
        error.write_error(writer);
    }
    writer.end();
}
