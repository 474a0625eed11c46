//! The table of live properties: for each its name, where it lives, whether allprop gives it,
//! and how it is got and set. PROPFIND, PROPPATCH, MKCALENDAR, propname and the reports are
//! computed from it. What is not in the table is dead: kept as it was sent.

use std::cell::OnceCell;
use std::sync::Arc;

use super::context::{Context, Kind, Resource};
use super::error::DavError;
use super::{properties_acl, properties_calendar, properties_dav};
use crate::ambient::UnixMillis;
use crate::ids::Segment;
use crate::vault::{AccountStore, Lock, Properties, VaultError};
use crate::xml::{Element, Name, QName, Writer};

/// Whether DAV:allprop gives a property (RFC 4918 section 9.1: what that document defines, and
/// dead ones; RFC 4791 and RFC 3744 ask for theirs to be named).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allprop {
    /// In the answer.
    Given,
    /// Only when named.
    Named,
}

/// Who decides a property's value.
#[derive(Clone, Copy)]
pub enum Access {
    /// The server. Setting it is refused with cannot-modify-protected-property.
    Protected,
    /// Like `Protected`, but the body of MKCOL and MKCALENDAR may say it.
    AtCreation,
    /// The client: kept among the stored properties, when the check passes.
    Stored(fn(&Element) -> Result<(), DavError>),
}

/// Whether a getter wrote its element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The element is written.
    Yes,
    /// The resource has no such property; nothing is written.
    No,
}

/// One live property.
pub struct Property {
    /// Its name.
    pub name: QName,
    /// On which kinds of resource it lives.
    pub on: fn(Kind) -> bool,
    /// Whether allprop gives it.
    pub allprop: Allprop,
    /// Who decides its value.
    pub access: Access,
    /// Writes the whole element.
    pub get: fn(&Subject<'_>, &mut Writer) -> Result<Found, VaultError>,
}

/// All live properties, by the document that they are mostly from.
pub const TABLES: [&[Property]; 3] = [
    properties_dav::ROWS,
    properties_acl::ROWS,
    properties_calendar::ROWS,
];

/// All rows.
pub fn rows() -> impl Iterator<Item = &'static Property> {
    TABLES.into_iter().flatten()
}

/// The row of a name.
pub fn find(name: &Name) -> Option<&'static Property> {
    rows().find(|row| *name == row.name)
}

/// What the properties of one answer are computed from: one moment of one account.
pub struct Scene {
    /// The account.
    pub account: AccountStore,
    /// CALDAV:max-resource-size.
    pub object_bytes: usize,
    /// CALDAV:max-attendees-per-instance.
    pub attendees: usize,
    /// Now.
    pub now: UnixMillis,
    /// The account's locks.
    pub locks: Vec<Arc<Lock>>,
}

impl Scene {
    /// The moment of a request.
    pub fn new(context: &Context<'_>) -> Scene {
        Scene {
            account: context.account.clone(),
            object_bytes: context.dav.settings.object_bytes,
            attendees: context.dav.settings.attendees,
            now: context.dav.ambient.now(),
            locks: context.account.locks(),
        }
    }
}

/// A resource whose properties are asked for.
pub struct Subject<'a> {
    /// The moment.
    pub scene: &'a Scene,
    /// The resource.
    pub resource: &'a Resource,
    /// Its kind.
    pub kind: Kind,
    /// Its href.
    pub href: &'a str,
    stored: OnceCell<Arc<Properties>>,
}

impl<'a> Subject<'a> {
    /// A resource that exists; `None` for one that does not.
    pub fn new(scene: &'a Scene, resource: &'a Resource, href: &'a str) -> Option<Self> {
        let kind = resource.kind()?;
        let stored = OnceCell::new();
        Some(Subject {
            scene,
            resource,
            kind,
            href,
            stored,
        })
    }

    /// Its stored properties, read once at most.
    ///
    /// # Errors
    /// `VaultError`, when the row of an object's properties does not open.
    pub fn stored(&self) -> Result<&Properties, VaultError> {
        if let Some(stored) = self.stored.get() {
            return Ok(stored);
        }
        let stored = match self.resource {
            Resource::Collection(collection) => Arc::clone(&collection.properties),
            Resource::Object(parent, object) if object.properties_revision != 0 => {
                match self.scene.account.properties(parent.id, object) {
                    // deleted since the listing began
                    Err(VaultError::Missing) => Arc::default(),
                    properties => properties?,
                }
            }
            _ => Arc::default(),
        };
        Ok(self.stored.get_or_init(|| stored))
    }

    /// Its path below the home; `None` outside.
    pub fn path(&self) -> Option<Vec<Segment>> {
        let account = &self.scene.account;
        match self.resource {
            Resource::Collection(collection) => Some(account.path_of(collection.id)),
            Resource::Object(parent, object) => {
                let mut path = account.path_of(parent.id);
                path.push(object.segment.clone());
                Some(path)
            }
            _ => None,
        }
    }

    /// Writes the value of a live or dead property.
    ///
    /// # Errors
    /// `VaultError`, for this property alone.
    pub fn write(&self, wanted: &Wanted, writer: &mut Writer) -> Result<Found, VaultError> {
        match wanted.row {
            Some(row) if (row.on)(self.kind) => (row.get)(self, writer),
            _ => self.write_stored(&wanted.name, writer),
        }
    }

    /// Writes a stored property as it was sent.
    ///
    /// # Errors
    /// As `stored`.
    pub fn write_stored(&self, name: &Name, writer: &mut Writer) -> Result<Found, VaultError> {
        let Some(xml) = self.stored()?.get(name) else {
            return Ok(Found::No);
        };
        writer.raw(xml);
        Ok(Found::Yes)
    }

    /// The names of all properties it has, live and dead.
    ///
    /// # Errors
    /// As `stored`.
    pub fn names(&self) -> Result<Vec<Name>, VaultError> {
        let mut names = Vec::new();
        for row in rows().filter(|row| (row.on)(self.kind)) {
            if (row.get)(self, &mut Writer::fragment())? == Found::Yes {
                names.push(Name::from(row.name));
            }
        }
        names.extend(self.dead()?.cloned());
        Ok(names)
    }

    /// The names of its dead properties: stored ones that no row answers for.
    ///
    /// # Errors
    /// As `stored`.
    pub fn dead(&self) -> Result<impl Iterator<Item = &Name>, VaultError> {
        let kind = self.kind;
        let dead = move |name: &&Name| find(name).is_none_or(|row| !(row.on)(kind));
        Ok(self.stored()?.keys().filter(dead))
    }
}

/// A property that a request names, its row found once.
#[derive(Clone)]
pub struct Wanted {
    /// Its name.
    pub name: Name,
    /// Its row; none for a dead property.
    pub row: Option<&'static Property>,
}

impl Wanted {
    /// The property of a name.
    pub fn named(name: &Name) -> Wanted {
        Wanted {
            name: name.clone(),
            row: find(name),
        }
    }
}

// Getters that several tables share.

/// A property that is kept as the client sent it.
pub fn get_stored(
    name: QName,
    subject: &Subject<'_>,
    writer: &mut Writer,
) -> Result<Found, VaultError> {
    if subject.stored()?.is_empty() {
        return Ok(Found::No);
    }
    subject.write_stored(&Name::from(name), writer)
}

/// Writes an element with one DAV:href in it.
pub fn write_href(name: QName, href: &str, writer: &mut Writer) -> Result<Found, VaultError> {
    writer.start(name);
    writer.element_text(crate::xml::dav("href"), href);
    writer.end();
    Ok(Found::Yes)
}

/// Writes an element with text in it.
pub fn write_text(name: QName, text: &str, writer: &mut Writer) -> Result<Found, VaultError> {
    writer.element_text(name, text);
    Ok(Found::Yes)
}

/// Writes an empty element.
pub fn write_empty(name: QName, writer: &mut Writer) -> Result<Found, VaultError> {
    writer.empty(name);
    Ok(Found::Yes)
}

/// Every kind.
pub fn everywhere(_: Kind) -> bool {
    true
}

/// Kinds of a calendar home and below.
pub fn in_tree(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Home | Kind::Plain | Kind::Calendar | Kind::CalendarObject | Kind::File
    )
}

/// Objects.
pub fn objects(kind: Kind) -> bool {
    matches!(kind, Kind::CalendarObject | Kind::File)
}

/// Collections of the tree.
pub fn tree_collections(kind: Kind) -> bool {
    matches!(kind, Kind::Home | Kind::Plain | Kind::Calendar)
}

/// Calendars.
pub fn calendars(kind: Kind) -> bool {
    kind == Kind::Calendar
}

/// The principal.
pub fn principals(kind: Kind) -> bool {
    kind == Kind::Principal
}

/// The collections that DAV:sync-collection reports on.
pub fn synchronised(kind: Kind) -> bool {
    matches!(kind, Kind::Home | Kind::Calendar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<QName> = rows().map(|row| row.name).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
