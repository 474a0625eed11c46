//! Bounded reader and writer for DAV bodies. Owns quick-xml.
//!
//! - [`parse`] turns a request body into an [`Element`] tree: namespaces resolved, text
//!   normalised, every cost bounded by [`XmlLimits`] before it is paid. DOCTYPE and entities
//!   are refused, so there is nothing to expand or to fetch.
//! - [`Writer`] writes answers: fixed prefixes, declared once on the root, no allocation for
//!   each element; it drains while elements are open, so that answers can stream.
//! - [`Element::to_xml`] keeps a dead property's value as it was sent (RFC 4918 section 4.3),
//!   self-contained, ready for [`Writer::raw`].
//!
//! Nothing here knows what an element means.

mod element;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits;

pub use element::{Element, Node};
pub use read::{is_ncname, parse};
pub use write::{Writer, is_xml_text};

/// The namespaces of our protocols.
pub mod ns {
    /// What this server says that no standard has a name for.
    pub const OWN: &str = "urn:sealdav";
    /// WebDAV (RFC 4918 section 21).
    pub const DAV: &str = "DAV:";
    /// CalDAV (RFC 4791 section 4).
    pub const CALDAV: &str = "urn:ietf:params:xml:ns:caldav";
    /// Extensions of Apple's Calendar Server: getctag, sharing, push.
    pub const CS: &str = "http://calendarserver.org/ns/";
    /// Apple's calendar-color and calendar-order.
    pub const APPLE: &str = "http://apple.com/ns/ical/";
    /// What the prefix `xml` is always bound to (Namespaces in XML 1.0 section 3).
    pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
    /// What the prefix `xmlns` is always bound to; no declaration may name it.
    pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
}

/// An expanded name with static parts, for tables of constants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct QName {
    /// The namespace; empty for none.
    pub ns: &'static str,
    /// The local part.
    pub local: &'static str,
}

/// A name of this server's own.
pub const fn own(local: &'static str) -> QName {
    let ns = ns::OWN;
    QName { ns, local }
}

/// A name of WebDAV.
pub const fn dav(local: &'static str) -> QName {
    let ns = ns::DAV;
    QName { ns, local }
}

/// A name of CalDAV.
pub const fn caldav(local: &'static str) -> QName {
    let ns = ns::CALDAV;
    QName { ns, local }
}

/// A name of Calendar Server.
pub const fn cs(local: &'static str) -> QName {
    let ns = ns::CS;
    QName { ns, local }
}

/// A name of Apple's calendar program.
pub const fn apple(local: &'static str) -> QName {
    let ns = ns::APPLE;
    QName { ns, local }
}

/// An expanded name as read: what a prefix stood for, never the prefix itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Name {
    /// The namespace; empty for none.
    pub ns: String,
    /// The local part.
    pub local: String,
}

impl PartialEq<QName> for Name {
    fn eq(&self, other: &QName) -> bool {
        self.local == other.local && self.ns == other.ns
    }
}

impl PartialEq<Name> for QName {
    fn eq(&self, other: &Name) -> bool {
        other == self
    }
}

impl From<QName> for Name {
    fn from(name: QName) -> Self {
        Name {
            ns: name.ns.to_owned(),
            local: name.local.to_owned(),
        }
    }
}

/// What one body may cost. Each bound is checked before the work it bounds is done.
#[derive(Clone, Copy, Debug)]
pub struct XmlLimits {
    /// Bytes of the body, as received.
    pub bytes: usize,
    /// Nesting of elements; the root is at depth 1.
    pub depth: usize,
    /// Start tags, pieces of text, comments and processing instructions together. End tags
    /// are not counted, since each has its start tag; a text counts once however many
    /// references it holds.
    pub events: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
    /// Bytes of all expanded names and languages together: one long namespace, declared
    /// once and used by every element, would otherwise be copied into each.
    pub name_bytes: usize,
}

impl Default for XmlLimits {
    fn default() -> Self {
        XmlLimits {
            bytes: limits::XML_BYTES,
            depth: limits::XML_DEPTH,
            events: limits::XML_EVENTS,
            attributes: limits::XML_ATTRIBUTES,
            name_bytes: limits::XML_NAME_BYTES,
        }
    }
}

impl XmlLimits {
    /// For calendar-multiget (RFC 4791 section 7.9), whose hrefs are many.
    pub fn multiget() -> Self {
        XmlLimits {
            events: limits::XML_EVENTS_MULTIGET,
            ..Self::default()
        }
    }
}

/// Why a body was refused. The texts are ours and hold nothing of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XmlError {
    /// Not well-formed, or not namespace-well-formed (400, RFC 4918 section 8.2).
    Malformed(&'static str),
    /// Beyond the bound named by `what` (413).
    TooLarge {
        /// The field of [`XmlLimits`].
        what: &'static str,
    },
    /// A DOCTYPE, or a reference to an entity that XML does not predefine (400).
    Forbidden,
    /// Neither UTF-8 nor UTF-16 with a byte order mark, or not what it declares (400).
    Encoding,
}

impl fmt::Display for XmlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            XmlError::Malformed(why) => write!(formatter, "malformed XML: {why}"),
            XmlError::TooLarge { what } => write!(formatter, "XML beyond its bound of {what}"),
            XmlError::Forbidden => formatter.write_str("XML with a DOCTYPE or an entity"),
            XmlError::Encoding => formatter.write_str("XML in an encoding other than it should be"),
        }
    }
}

impl std::error::Error for XmlError {}
