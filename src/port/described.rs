//! How a calendar is called: in our archive, in a Radicale folder, in a vdir. All become stored
//! properties, each an XML element.

use serde::{Deserialize, Serialize};

use super::{CollectionHead, Kind, PropertyText};
use crate::ids::Segment;
use crate::xml::{Element, Name, Node, QName, apple, caldav, dav, is_ncname, is_xml_text, ns};

/// The format of an archive.
pub(super) const FORMAT: u32 = 1;
/// The file that tells that an archive is ours.
pub(super) const MANIFEST: &str = "sealdav-export.json";
/// What is said of a collection, in its folder.
pub(super) const COLLECTION: &str = "collection.json";
/// All objects of a calendar in one file, in its folder.
pub(super) const MERGED: &str = "calendar.ics";

/// `sealdav-export.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// `FORMAT`.
    pub format: u32,
    /// The program and its version.
    pub program: String,
    /// The account's name.
    pub user: String,
    /// When it was made, as in an HTTP header.
    pub exported: String,
    /// The folders of the collections, parents first.
    pub folders: Vec<String>,
}

/// `collection.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Described {
    /// Where it was, below the home.
    pub path: Vec<Segment>,
    /// What it is for.
    pub kind: Kind,
    /// For people and other programs: the texts of some properties.
    pub display_name: Option<String>,
    /// The same.
    pub description: Option<String>,
    /// The same.
    pub color: Option<String>,
    /// The same.
    pub order: Option<String>,
    /// The same: an iCalendar object with a VTIMEZONE.
    pub time_zone: Option<String>,
    /// All stored properties.
    pub properties: Vec<PropertyText>,
    /// Objects of which there is more to say than their file's name.
    pub objects: Vec<DescribedObject>,
}

/// More about one object.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DescribedObject {
    /// Its file in the folder.
    pub file: String,
    /// Its name in the account, where that is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its media type, where it is not a calendar object's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Its stored properties, each an XML element.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<String>,
}

impl Described {
    pub fn of(
        head: CollectionHead,
        properties: Vec<PropertyText>,
        objects: Vec<DescribedObject>,
    ) -> Described {
        let text = |wanted: QName| {
            let is = |one: &&PropertyText| one.namespace == wanted.ns && one.name == wanted.local;
            properties.iter().find(is).map(|one| one.text.clone())
        };
        Described {
            display_name: text(dav("displayname")),
            description: text(caldav("calendar-description")),
            color: text(apple("calendar-color")),
            order: text(apple("calendar-order")),
            time_zone: text(caldav("calendar-timezone")),
            path: head.path,
            kind: head.kind,
            properties,
            objects,
        }
    }
}

/// A property with a text; none for a text that XML cannot hold.
pub(super) fn property(name: QName, text: &str) -> Option<String> {
    element(&Name::from(name), text)
}

fn element(name: &Name, text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() || !is_xml_text(text) || !is_ncname(&name.local) {
        return None;
    }
    let element = Element {
        name: name.clone(),
        attributes: Vec::new(),
        children: vec![Node::Text(text.into())],
        lang: None,
    };
    Some(element.to_xml())
}

/// A file of a vdir that says something of its collection.
pub(super) fn of_vdir(file: &str, text: &str) -> Option<String> {
    let name = match file {
        "displayname" => dav("displayname"),
        "color" => apple("calendar-color"),
        "description" => caldav("calendar-description"),
        "order" => apple("calendar-order"),
        _ => return None,
    };
    property(name, text)
}

/// What `.Radicale.props` says.
#[derive(Debug, Default)]
pub(super) struct RadicaleProps {
    /// VCALENDAR, VADDRESSBOOK or VSUBSCRIBED; none for a folder of collections.
    pub tag: Option<String>,
    /// Its components; none when it does not say.
    pub components: Vec<String>,
    /// Everything else.
    pub properties: Vec<String>,
}

/// The prefixes of names in `.Radicale.props`; others stand as {namespace}name.
const PREFIXES: &[(&str, &str)] = &[
    ("D", ns::DAV),
    ("C", ns::CALDAV),
    ("CS", ns::CS),
    ("ICAL", ns::APPLE),
    ("CR", "urn:ietf:params:xml:ns:carddav"),
    ("RADICALE", "http://radicale.org/ns/"),
];

/// Reads `.Radicale.props`.
///
/// # Errors
/// It is no JSON object.
pub(super) fn of_radicale(bytes: &[u8]) -> Result<RadicaleProps, &'static str> {
    let map: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(bytes).map_err(|_| ".Radicale.props is no JSON object")?;
    let mut found = RadicaleProps::default();
    for (key, value) in &map {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            _ => continue,
        };
        match key.as_str() {
            "tag" => found.tag = Some(text).filter(|tag| !tag.is_empty()),
            "C:supported-calendar-component-set" => {
                let parts = text.split(',').map(|part| part.trim().to_ascii_uppercase());
                found.components = parts.filter(|part| !part.is_empty()).collect();
            }
            key => found
                .properties
                .extend(expanded(key).and_then(|name| element(&name, &text))),
        }
    }
    Ok(found)
}

fn expanded(key: &str) -> Option<Name> {
    let (namespace, local) = match key.strip_prefix('{') {
        Some(rest) => rest.split_once('}')?,
        None => {
            let (prefix, local) = key.split_once(':')?;
            let known = PREFIXES.iter().find(|(name, _)| *name == prefix)?;
            (known.1, local)
        }
    };
    Some(Name {
        ns: namespace.to_owned(),
        local: local.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{XmlLimits, parse};

    #[test]
    fn radicale_props_become_properties() {
        let props = br##"{"tag": "VCALENDAR", "D:displayname": "Work & <more>",
            "ICAL:calendar-color": "#ff0000ff", "C:supported-calendar-component-set": "VEVENT, VTODO",
            "{http://example.org/}own": "x", "odd": "y", "ICAL:calendar-order": 3}"##;
        let found = of_radicale(props).expect("it reads");
        assert_eq!(found.tag.as_deref(), Some("VCALENDAR"));
        assert_eq!(found.components, ["VEVENT", "VTODO"]);
        let elements: Vec<_> = found
            .properties
            .iter()
            .map(|xml| parse(xml.as_bytes(), &XmlLimits::default()).expect("XML"))
            .map(|element| (element.name.local.clone(), element.text()))
            .collect();
        let expected = [
            ("displayname", "Work & <more>"),
            ("calendar-color", "#ff0000ff"),
            ("own", "x"),
            ("calendar-order", "3"),
        ];
        assert_eq!(elements.len(), expected.len());
        for (name, text) in expected {
            assert!(elements.contains(&(name.into(), text.into())), "{name}");
        }
        assert!(of_radicale(b"[]").is_err());
    }
}
