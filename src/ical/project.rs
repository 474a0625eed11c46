//! Partial retrieval (RFC 4791 sections 7.6 and 9.6): answers with some of the components and
//! properties, copied as they were received.
//!
//! `expand`, `limit-recurrence-set` and `limit-freebusy-set` change which components and values
//! there are: `retrieve` does that before.

use std::collections::BTreeMap;

use super::line::{Property, fold};
use super::tree::{Calendar, Component};

/// Whether a property is wanted with its value (the novalue attribute, RFC 4791 section 9.6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The whole property.
    Value,
    /// Only its name and parameters.
    NameOnly,
}

/// Which properties of a component are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyRequest {
    /// All (CALDAV:allprop).
    All,
    /// Those with these names (upper case).
    Named(BTreeMap<String, Wanted>),
}

/// Which components of a component are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentRequest {
    /// All, with everything in them (CALDAV:allcomp).
    All,
    /// Those described; of several for one name the first counts.
    Named(Vec<CompRequest>),
}

/// A CALDAV:comp element (RFC 4791 section 9.6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompRequest {
    /// The component's name, in any case.
    pub name: String,
    /// The properties wanted of it.
    pub properties: PropertyRequest,
    /// The components wanted in it.
    pub components: ComponentRequest,
}

impl CompRequest {
    /// The component with everything in it.
    pub fn everything(name: &str) -> CompRequest {
        let (properties, components) = (PropertyRequest::All, ComponentRequest::All);
        CompRequest {
            name: name.to_owned(),
            properties,
            components,
        }
    }

    /// What an element with these children asks for. One without any child asks for the whole
    /// component, as the VTIMEZONE of the example in RFC 4791 section 7.8.1 shows.
    pub fn from_children(
        name: &str,
        properties: PropertyRequest,
        components: ComponentRequest,
    ) -> CompRequest {
        let no_property = matches!(&properties, PropertyRequest::Named(names) if names.is_empty());
        let no_component =
            matches!(&components, ComponentRequest::Named(named) if named.is_empty());
        if no_property && no_component {
            return CompRequest::everything(name);
        }
        CompRequest {
            name: name.to_owned(),
            properties,
            components,
        }
    }

    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        self.properties == PropertyRequest::All && self.components == ComponentRequest::All
    }
}

/// The parts of a calendar that `request`, whose name should be VCALENDAR, asks for. `bytes` are
/// the ones the calendar was read from; they come back exactly when everything is asked for.
pub fn project(bytes: &[u8], calendar: &Calendar, request: &CompRequest) -> Vec<u8> {
    if request.is_everything() {
        return bytes.to_vec();
    }
    let mut answer = Vec::with_capacity(bytes.len());
    component(bytes, &calendar.root, request, &mut answer);
    answer
}

/// One line or component of a component, to be visited in the order received.
pub(super) enum Part<'a> {
    Property(&'a Property<'a>),
    Component(&'a Component<'a>),
}

/// The lines and components of a component, in the order received.
pub(super) fn parts<'a>(component: &'a Component<'a>) -> Vec<Part<'a>> {
    let mut parts: Vec<Part<'_>> = component.properties.iter().map(Part::Property).collect();
    parts.extend(component.components.iter().map(Part::Component));
    parts.sort_by_key(Part::start);
    parts
}

impl Part<'_> {
    fn start(&self) -> usize {
        match self {
            Part::Property(property) => property.span.start,
            Part::Component(component) => component.span.start,
        }
    }
}

// Recursion is safe: the tree is at most limits::ICAL_DEPTH deep.
fn component(bytes: &[u8], found: &Component, request: &CompRequest, answer: &mut Vec<u8>) {
    if request.is_everything() {
        answer.extend_from_slice(found.span.of(bytes));
        return;
    }
    answer.extend_from_slice(found.begin.of(bytes));
    for part in parts(found) {
        match part {
            Part::Property(property) => match wanted(property, &request.properties) {
                Some(Wanted::Value) => answer.extend_from_slice(property.span.of(bytes)),
                Some(Wanted::NameOnly) => name_only(bytes, property, answer),
                None => {}
            },
            Part::Component(inner) => match &request.components {
                ComponentRequest::All => answer.extend_from_slice(inner.span.of(bytes)),
                ComponentRequest::Named(named) => {
                    let request = named
                        .iter()
                        .find(|request| request.name.eq_ignore_ascii_case(&inner.name));
                    if let Some(request) = request {
                        component(bytes, inner, request, answer);
                    }
                }
            },
        }
    }
    answer.extend_from_slice(found.end.of(bytes));
}

fn wanted(property: &Property, request: &PropertyRequest) -> Option<Wanted> {
    match request {
        PropertyRequest::All => Some(Wanted::Value),
        PropertyRequest::Named(names) => names.get(&*property.name).copied(),
    }
}

/// Copies the line up to the colon before its value, folded anew.
fn name_only(bytes: &[u8], property: &Property, answer: &mut Vec<u8>) {
    let unfolded = unfold(property.span.of(bytes));
    // The value is what the line ends with.
    let head = unfolded.len().saturating_sub(property.value.len());
    let head = String::from_utf8_lossy(&unfolded[..head]);
    answer.extend_from_slice(fold(head.trim_ascii_start()).as_bytes());
}

/// The line without its folds and its line end.
fn unfold(raw: &[u8]) -> Vec<u8> {
    let mut unfolded = Vec::with_capacity(raw.len());
    let lines = raw.split(|byte| *byte == b'\n');
    for (number, line) in lines.enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        unfolded.extend_from_slice(if number == 0 {
            line
        } else {
            line.get(1..).unwrap_or_default()
        });
    }
    unfolded
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = "\u{FEFF}BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n\r\nBEGIN:VTIMEZONE\r\nTZID:X\r\n\
        BEGIN:STANDARD\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\nUID:1\r\nsummary:fol\r\n ded\r\n\
        ATTENDEE;CN=\"A very long name: it goes on, and on, and on, and on, until\r\n  the line is full\":mailto:a@b\r\n\
        BEGIN:VALARM\r\nACTION:AUDIO\r\nEND:VALARM\r\nDTSTART:20240101\r\nEND:VEVENT\r\nEND:VCALENDAR";

    fn names(names: &[&str]) -> PropertyRequest {
        PropertyRequest::Named(
            names
                .iter()
                .map(|name| ((*name).to_owned(), Wanted::Value))
                .collect(),
        )
    }

    fn answer(request: &CompRequest) -> String {
        let calendar = Calendar::parse(OBJECT.as_bytes()).expect("readable");
        String::from_utf8(project(OBJECT.as_bytes(), &calendar, request)).expect("text")
    }

    #[test]
    fn everything_is_the_received_bytes() {
        assert_eq!(answer(&CompRequest::everything("VCALENDAR")), OBJECT);
    }

    #[test]
    fn named_parts_in_the_order_received() {
        let nothing = ComponentRequest::Named(vec![]);
        let event = CompRequest::from_children("vevent", names(&["DTSTART", "SUMMARY"]), nothing);
        let zone =
            CompRequest::from_children("VTIMEZONE", names(&[]), ComponentRequest::Named(vec![]));
        let inner = ComponentRequest::Named(vec![event, zone]);
        let request = CompRequest::from_children("VCALENDAR", names(&["VERSION"]), inner);
        assert_eq!(
            answer(&request),
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VTIMEZONE\r\nTZID:X\r\nBEGIN:STANDARD\r\nEND:STANDARD\r\n\
             END:VTIMEZONE\r\nBEGIN:VEVENT\r\nsummary:fol\r\n ded\r\nDTSTART:20240101\r\nEND:VEVENT\r\nEND:VCALENDAR"
        );
    }

    #[test]
    fn all_components_but_one_property() {
        let request =
            CompRequest::from_children("VCALENDAR", names(&["VERSION"]), ComponentRequest::All);
        let expected = OBJECT.replace("PRODID:x\r\n\r\n", "");
        assert_eq!(answer(&request), expected.trim_start_matches('\u{FEFF}'));
    }

    #[test]
    fn without_value() {
        let head = BTreeMap::from([
            ("ATTENDEE".to_owned(), Wanted::NameOnly),
            ("UID".to_owned(), Wanted::NameOnly),
        ]);
        let event = CompRequest::from_children(
            "VEVENT",
            PropertyRequest::Named(head),
            ComponentRequest::Named(vec![]),
        );
        let inner = ComponentRequest::Named(vec![event]);
        let request = CompRequest::from_children("VCALENDAR", names(&[]), inner);
        let text = answer(&request);
        let calendar = Calendar::parse(text.as_bytes()).expect("readable");
        let event = &calendar.root.components[0];
        let attendee = event.property("ATTENDEE").expect("asked for");
        let name = "A very long name: it goes on, and on, and on, and on, until the line is full";
        assert_eq!(
            (attendee.parameter_value("CN"), &*attendee.value),
            (Some(name), "")
        );
        assert!(text.contains("\r\nUID:\r\n"), "{text}");
    }

    #[test]
    fn example_of_rfc_4791_section_7_8_1() {
        let none = || ComponentRequest::Named(vec![]);
        let wanted = "SUMMARY UID DTSTART DTEND DURATION RRULE RDATE EXRULE EXDATE RECURRENCE-ID";
        let wanted: Vec<&str> = wanted.split(' ').collect();
        let event = CompRequest::from_children("VEVENT", names(&wanted), none());
        let zone = CompRequest::from_children("VTIMEZONE", names(&[]), none());
        let inner = ComponentRequest::Named(vec![event, zone]);
        let request = CompRequest::from_children("VCALENDAR", names(&["VERSION"]), inner);
        let object = super::super::rfc4791_objects::object(2);
        let calendar = Calendar::parse(object.as_bytes()).expect("readable");
        let left_out = |line: &&str| !line.starts_with("PRODID") && !line.starts_with("DTSTAMP");
        let expected: Vec<&str> = object.split_inclusive('\n').filter(left_out).collect();
        let answer =
            String::from_utf8(project(object.as_bytes(), &calendar, &request)).expect("text");
        assert_eq!(answer, expected.concat());
    }
}
