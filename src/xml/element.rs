//! The tree a body is read into, and its self-contained text form.

use std::collections::HashMap;

use super::write::{self, declare_known, prefix_of};
use super::{Name, QName, ns};

/// An element with its content in document order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Element {
    /// The expanded name.
    pub name: Name,
    /// Attributes in document order, without namespace declarations and without xml:lang.
    pub attributes: Vec<(Name, String)>,
    /// Elements and texts; neighbouring texts are one, and none is empty.
    pub children: Vec<Node>,
    /// The xml:lang in scope, own or inherited (XML 1.0 section 2.12); none after xml:lang="".
    pub lang: Option<String>,
}

/// A part of an element's content. CDATA is text; comments and instructions are dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// A child element.
    Element(Element),
    /// Character data, references resolved and line ends normalised.
    Text(String),
}

impl Element {
    /// Whether this is the element of that name.
    pub fn is(&self, name: QName) -> bool {
        self.name == name
    }

    /// The child elements.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child element of that name.
    pub fn child(&self, name: QName) -> Option<&Element> {
        self.elements().find(|element| element.is(name))
    }

    /// All child elements of that name.
    pub fn children_named(&self, name: QName) -> impl Iterator<Item = &Element> {
        self.elements().filter(move |element| element.is(name))
    }

    /// The value of the attribute of that name in no namespace.
    pub fn attribute(&self, local: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(name, _)| name.local == local && name.ns.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The text directly inside this element, concatenated and untrimmed; the text of child
    /// elements is not part of it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for node in &self.children {
            if let Node::Text(piece) = node {
                text.push_str(piece);
            }
        }
        text
    }

    /// The element as self-contained XML: every namespace it uses is declared on it, and the
    /// language in scope is kept, so it means the same wherever it is put. Reading it again
    /// gives an equal element (RFC 4918 sections 4.3 and 4.4).
    ///
    /// Recurses, which is bounded because what was read is (`XML_DEPTH`).
    pub fn to_xml(&self) -> String {
        let mut prefixes = Prefixes::default();
        prefixes.collect(self);
        let mut out = Vec::new();
        prefixes.write(self, Scope::Outermost, &mut out);
        String::from_utf8(out).expect("names and escaped texts are UTF-8")
    }
}

/// What surrounds the element being written.
#[derive(Clone, Copy)]
enum Scope<'a> {
    Outermost,
    Inside { lang: Option<&'a str> },
}

/// The namespaces an element uses; those without a fixed prefix are numbered.
#[derive(Default)]
struct Prefixes<'a> {
    numbers: HashMap<&'a str, usize>,
    in_order: Vec<&'a str>,
    known: Vec<&'a str>,
}

impl<'a> Prefixes<'a> {
    fn collect(&mut self, element: &'a Element) {
        self.add(&element.name.ns);
        for (name, _) in &element.attributes {
            self.add(&name.ns);
        }
        for child in element.elements() {
            self.collect(child);
        }
    }

    fn add(&mut self, namespace: &'a str) {
        if namespace.is_empty() || namespace == ns::XML {
            return;
        }
        if prefix_of(namespace).is_some() {
            if !self.known.contains(&namespace) {
                self.known.push(namespace);
            }
        } else if !self.numbers.contains_key(namespace) {
            self.numbers.insert(namespace, self.in_order.len());
            self.in_order.push(namespace);
        }
    }

    fn write(&self, element: &Element, scope: Scope<'_>, out: &mut Vec<u8>) {
        out.push(b'<');
        self.write_name(&element.name, out);
        let outer_lang = match scope {
            Scope::Outermost => {
                self.write_declarations(out);
                None
            }
            Scope::Inside { lang } => lang,
        };
        let lang = element.lang.as_deref();
        if lang != outer_lang {
            write::attribute("xml:lang", lang.unwrap_or(""), out);
        }
        for (name, value) in &element.attributes {
            out.push(b' ');
            self.write_name(name, out);
            out.extend_from_slice(b"=\"");
            write::escape_attribute(value, out);
            out.push(b'"');
        }
        if element.children.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        for node in &element.children {
            match node {
                Node::Element(child) => self.write(child, Scope::Inside { lang }, out),
                Node::Text(text) => write::escape_text(text, out),
            }
        }
        out.extend_from_slice(b"</");
        self.write_name(&element.name, out);
        out.push(b'>');
    }

    fn write_declarations(&self, out: &mut Vec<u8>) {
        for namespace in &self.known {
            declare_known(namespace, out);
        }
        for (number, namespace) in self.in_order.iter().enumerate() {
            write::attribute(&format!("xmlns:n{number}"), namespace, out);
        }
    }

    fn write_name(&self, name: &Name, out: &mut Vec<u8>) {
        if name.ns == ns::XML {
            out.extend_from_slice(b"xml:");
        } else if let Some(prefix) = prefix_of(&name.ns) {
            out.extend_from_slice(prefix.as_bytes());
            out.push(b':');
        } else if let Some(number) = self.numbers.get(name.ns.as_str()) {
            out.extend_from_slice(format!("n{number}:").as_bytes());
        }
        out.extend_from_slice(name.local.as_bytes());
    }
}
