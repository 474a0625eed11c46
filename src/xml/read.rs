//! Reading: bytes to an [`Element`] tree in one pass, linear in the body's length.
//!
//! quick-xml finds tags and texts; what it leaves open is checked here: characters, names,
//! namespaces, references, one root. Prefixes are kept in a hash map of stacks, so a lookup
//! costs the same however many are declared.

use std::borrow::Cow;
use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::errors::{Error, SyntaxError};
use quick_xml::events::{BytesDecl, BytesStart, Event};

use super::write::is_xml_text;
use super::{Element, Name, Node, XmlError, XmlLimits, ns};

/// Reads a body: UTF-8 with or without a byte order mark, or UTF-16 with one.
///
/// Line ends become LF (a CR that is written as a reference stays), CDATA becomes text,
/// comments and processing instructions are dropped.
///
/// # Errors
/// [`XmlError`]; the body is not well-formed, forbidden, or beyond a bound.
pub fn parse(body: &[u8], limits: &XmlLimits) -> Result<Element, XmlError> {
    if body.len() > limits.bytes {
        return Err(XmlError::TooLarge { what: "bytes" });
    }
    let (text, encoding) = decode(body)?;
    if !is_xml_text(&text) {
        return Err(XmlError::Malformed("a character that XML cannot carry"));
    }
    let mut reader = Reader::from_str(&text);
    let config = reader.config_mut();
    config.check_comments = true;
    let mut tree = Tree::new(limits);
    let mut place = Place::Start;
    loop {
        let event = reader.read_event().map_err(from_reader)?;
        match event {
            Event::Eof => return tree.finish(),
            Event::Decl(declaration) => check_declaration(&declaration, place, encoding)?,
            Event::Start(tag) => tree.open(&tag)?,
            Event::Empty(tag) => {
                tree.open(&tag)?;
                tree.close()?;
            }
            Event::End(_) => tree.close()?,
            Event::Text(text) => tree.text(&text)?,
            Event::CData(text) => tree.characters(&lines(&text))?,
            Event::GeneralRef(reference) => {
                let mut character = [0; 4];
                tree.characters(resolve(&reference)?.encode_utf8(&mut character))?;
            }
            Event::Comment(_) | Event::PI(_) => tree.count_event()?,
            Event::DocType(_) => return Err(XmlError::Forbidden),
        }
        place = Place::Later;
    }
}

/// Where in the document an event stands; only the first may be the XML declaration.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Start,
    Later,
}

/// How a body was encoded.
#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    Utf16,
}

fn decode(body: &[u8]) -> Result<(Cow<'_, str>, Encoding), XmlError> {
    let utf16 = |units: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = units.as_chunks::<2>();
        let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
            .collect::<Result<String, _>>()
            .ok()
            .filter(|_| rest.is_empty())
            .ok_or(XmlError::Encoding)?;
        Ok((Cow::Owned(text), Encoding::Utf16))
    };
    match body {
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] | rest => {
            let text = std::str::from_utf8(rest).map_err(|_| XmlError::Encoding)?;
            Ok((Cow::Borrowed(text), Encoding::Utf8))
        }
    }
}

fn check_declaration(
    declaration: &BytesDecl<'_>,
    place: Place,
    encoding: Encoding,
) -> Result<(), XmlError> {
    if place != Place::Start {
        return Err(XmlError::Malformed("an XML declaration not at the start"));
    }
    let malformed = XmlError::Malformed("the XML declaration");
    let version = declaration.version().map_err(|_| malformed)?;
    if !version.starts_with("1.") {
        return Err(malformed);
    }
    let Some(declared) = declaration.encoding() else {
        return Ok(());
    };
    let declared = declared.map_err(|_| malformed)?.to_ascii_lowercase();
    match (encoding, declared.as_str()) {
        (Encoding::Utf8, "utf-8" | "utf8" | "us-ascii") => Ok(()),
        (Encoding::Utf16, "utf-16" | "utf-16le" | "utf-16be") => Ok(()),
        _ => Err(XmlError::Encoding),
    }
}

/// quick-xml's errors quote the body, so only their kind is kept.
fn from_reader(error: Error) -> XmlError {
    match error {
        Error::Syntax(SyntaxError::UnclosedDoctype) => XmlError::Forbidden,
        Error::Syntax(_) => XmlError::Malformed("markup that does not end"),
        Error::IllFormed(_) => XmlError::Malformed("tags that do not match"),
        _ => XmlError::Malformed("not well-formed"),
    }
}

/// Line ends as XML 1.0 section 2.11 wants them: CR LF and CR become LF.
fn lines(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The character a reference stands for, given without `&` and `;`.
fn resolve(reference: &str) -> Result<char, XmlError> {
    let malformed = XmlError::Malformed("a character reference");
    let (digits, radix) = match reference {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "apos" => return Ok('\''),
        "quot" => return Ok('"'),
        _ => match reference.strip_prefix('#') {
            None if is_ncname(reference) => return Err(XmlError::Forbidden),
            None => return Err(malformed),
            Some(number) => match number.strip_prefix('x') {
                Some(digits) => (digits, 16),
                None => (number, 10),
            },
        },
    };
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        // from_str_radix would take a sign
        return Err(malformed);
    }
    u32::from_str_radix(digits, radix)
        .ok()
        .and_then(char::from_u32)
        .filter(|character| is_xml_text(character.encode_utf8(&mut [0; 4])))
        .ok_or(malformed)
}

/// An attribute's value: references resolved, white space to spaces (XML 1.0 section 3.3.3).
fn attribute_value(raw: &str) -> Result<String, XmlError> {
    let raw = lines(raw);
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw.as_ref();
    while let Some(at) = rest.find(['&', '<', '\t', '\n']) {
        value.push_str(&rest[..at]);
        let special = rest.as_bytes()[at];
        rest = &rest[at + 1..];
        match special {
            b'<' => return Err(XmlError::Malformed("'<' in an attribute")),
            b'&' => {
                let (reference, after) = rest
                    .split_once(';')
                    .ok_or(XmlError::Malformed("a reference without an end"))?;
                value.push(resolve(reference)?);
                rest = after;
            }
            _ => value.push(' '),
        }
    }
    value.push_str(rest);
    Ok(value)
}

/// Whether `text` is a name without a colon (Namespaces in XML 1.0, production NCName).
pub fn is_ncname(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(is_name_start) && characters.all(is_name_character)
}

/// XML 1.0 section 2.3, production NameStartChar without the colon.
fn is_name_start(character: char) -> bool {
    matches!(character,
        'a'..='z' | 'A'..='Z' | '_'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}'
        | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

/// XML 1.0 section 2.3, production NameChar without the colon.
fn is_name_character(character: char) -> bool {
    is_name_start(character)
        || matches!(character,
            '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// A name as written: prefix (empty for none) and local part.
fn split(written: &str) -> Result<(&str, &str), XmlError> {
    let (prefix, local) = match written.split_once(':') {
        Some((prefix, local)) if is_ncname(prefix) => (prefix, local),
        Some(_) => return Err(XmlError::Malformed("a prefix")),
        None => ("", written),
    };
    if is_ncname(local) {
        Ok((prefix, local))
    } else {
        Err(XmlError::Malformed("a name"))
    }
}

/// The tree while it is being read.
struct Tree<'a> {
    limits: &'a XmlLimits,
    events: usize,
    name_bytes: usize,
    scopes: Scopes,
    open: Vec<Element>,
    root: Option<Element>,
    /// Whether the last piece of character data continues a text node.
    text: Text,
}

/// Whether character data continues the node before it.
#[derive(Clone, Copy, PartialEq)]
enum Text {
    None,
    Begun,
}

impl<'a> Tree<'a> {
    fn new(limits: &'a XmlLimits) -> Self {
        Tree {
            limits,
            events: 0,
            name_bytes: 0,
            scopes: Scopes::default(),
            open: Vec::new(),
            root: None,
            text: Text::None,
        }
    }

    fn count_event(&mut self) -> Result<(), XmlError> {
        self.events += 1;
        if self.events > self.limits.events {
            return Err(XmlError::TooLarge { what: "events" });
        }
        Ok(())
    }

    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), XmlError> {
        self.count_event()?;
        if self.open.len() >= self.limits.depth {
            return Err(XmlError::TooLarge { what: "depth" });
        }
        if self.root.is_some() {
            return Err(XmlError::Malformed("more than one root"));
        }
        let mut lang = self.open.last().and_then(|parent| parent.lang.clone());
        let attributes = self.declare(tag)?;
        let (prefix, local) = split(tag.name().0)?;
        let name = self.expand(self.scopes.lookup(prefix)?.to_owned(), local)?;
        let mut element = Element {
            name,
            attributes: Vec::with_capacity(attributes.len()),
            children: Vec::new(),
            lang: None,
        };
        let mut has_lang = false;
        for (prefix, local, value) in attributes {
            // an attribute without a prefix is in no namespace, whatever the default is
            let namespace = match prefix {
                "" => "",
                _ => self.scopes.lookup(prefix)?,
            };
            let name = self.expand(namespace.to_owned(), local)?;
            let is_lang = name.ns == ns::XML && name.local == "lang";
            let twice = element.attributes.iter().any(|(other, _)| *other == name);
            if twice || (is_lang && has_lang) {
                return Err(XmlError::Malformed("an attribute given twice"));
            }
            if is_lang {
                has_lang = true;
                lang = Some(value).filter(|lang| !lang.is_empty());
            } else {
                element.attributes.push((name, value));
            }
        }
        self.spend(lang.as_ref().map_or(0, String::len))?;
        element.lang = lang;
        self.open.push(element);
        self.text = Text::None;
        Ok(())
    }

    /// Enters the tag's scope: takes its declarations and gives its other attributes as
    /// (prefix, local part, value).
    fn declare<'t>(
        &mut self,
        tag: &'t BytesStart<'_>,
    ) -> Result<Vec<(&'t str, &'t str, String)>, XmlError> {
        let mut attributes = Vec::new();
        let mut declared = Vec::new();
        // duplicates are looked for later, by expanded name
        for (number, attribute) in tag.attributes().with_checks(false).enumerate() {
            if number >= self.limits.attributes {
                return Err(XmlError::TooLarge { what: "attributes" });
            }
            let attribute = attribute.map_err(|_| XmlError::Malformed("an attribute"))?;
            let value = attribute_value(&attribute.value)?;
            match split(attribute.key.0)? {
                ("", "xmlns") => declared.push((String::new(), value)),
                ("xmlns", prefix) => declared.push((prefix.to_owned(), value)),
                (prefix, local) => attributes.push((prefix, local, value)),
            }
        }
        self.scopes.enter(declared)?;
        Ok(attributes)
    }

    /// A name, its bytes counted before they are kept.
    fn expand(&mut self, ns: String, local: &str) -> Result<Name, XmlError> {
        self.spend(ns.len() + local.len())?;
        let local = local.to_owned();
        Ok(Name { ns, local })
    }

    fn spend(&mut self, bytes: usize) -> Result<(), XmlError> {
        self.name_bytes += bytes;
        if self.name_bytes > self.limits.name_bytes {
            return Err(XmlError::TooLarge { what: "name_bytes" });
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), XmlError> {
        let Some(mut element) = self.open.pop() else {
            return Err(XmlError::Malformed("tags that do not match"));
        };
        self.scopes.leave();
        self.text = Text::None;
        element.children.shrink_to_fit();
        match self.open.last_mut() {
            Some(parent) => parent.children.push(Node::Element(element)),
            None => self.root = Some(element),
        }
        Ok(())
    }

    /// Text as it stands between tags and references.
    fn text(&mut self, text: &str) -> Result<(), XmlError> {
        if text.contains("]]>") {
            return Err(XmlError::Malformed("']]>' in a text"));
        }
        if self.open.is_empty() && text.bytes().all(|byte| b" \t\r\n".contains(&byte)) {
            return Ok(());
        }
        self.characters(&lines(text))
    }

    /// Appends character data to the text node that is being read, or begins one.
    fn characters(&mut self, text: &str) -> Result<(), XmlError> {
        if self.open.is_empty() {
            return Err(XmlError::Malformed("text outside the root"));
        }
        if text.is_empty() {
            return Ok(());
        }
        if self.text == Text::None {
            self.count_event()?;
            self.text = Text::Begun;
        }
        let element = self.open.last_mut().expect("an element is open");
        match element.children.last_mut() {
            Some(Node::Text(before)) => before.push_str(text),
            _ => element.children.push(Node::Text(text.to_owned())),
        }
        Ok(())
    }

    fn finish(self) -> Result<Element, XmlError> {
        match self.root {
            Some(root) if self.open.is_empty() => Ok(root),
            _ => Err(XmlError::Malformed("no complete element")),
        }
    }
}

/// The namespace declarations in scope.
#[derive(Default)]
struct Scopes {
    /// For each prefix (empty for the default) its namespaces, the innermost last.
    bindings: HashMap<String, Vec<String>>,
    /// For each open element the prefixes it declared.
    declared: Vec<Vec<String>>,
}

impl Scopes {
    fn enter(&mut self, declarations: Vec<(String, String)>) -> Result<(), XmlError> {
        let mut prefixes: Vec<String> = Vec::with_capacity(declarations.len());
        for (prefix, namespace) in declarations {
            check_binding(&prefix, &namespace)?;
            if prefixes.contains(&prefix) {
                return Err(XmlError::Malformed("a prefix declared twice"));
            }
            let stack = self.bindings.entry(prefix.clone()).or_default();
            stack.push(namespace);
            prefixes.push(prefix);
        }
        self.declared.push(prefixes);
        Ok(())
    }

    fn leave(&mut self) {
        for prefix in self.declared.pop().unwrap_or_default() {
            if let Some(stack) = self.bindings.get_mut(&prefix) {
                stack.pop();
                if stack.is_empty() {
                    // else a body could make the map grow with prefixes long out of scope
                    self.bindings.remove(&prefix);
                }
            }
        }
    }

    fn lookup(&self, prefix: &str) -> Result<&str, XmlError> {
        match (
            self.bindings.get(prefix).and_then(|stack| stack.last()),
            prefix,
        ) {
            (Some(namespace), _) => Ok(namespace),
            (None, "") => Ok(""),
            (None, "xml") => Ok(ns::XML),
            (None, _) => Err(XmlError::Malformed("a prefix that is not declared")),
        }
    }
}

/// What may be declared: Namespaces in XML 1.0, section 3 and section 5 (a prefix cannot be
/// undeclared, the default can).
fn check_binding(prefix: &str, namespace: &str) -> Result<(), XmlError> {
    let allowed = match prefix {
        "xmlns" => false,
        "xml" => namespace == ns::XML,
        "" => namespace != ns::XML && namespace != ns::XMLNS,
        _ => !namespace.is_empty() && namespace != ns::XML && namespace != ns::XMLNS,
    };
    if allowed {
        Ok(())
    } else {
        Err(XmlError::Malformed("a namespace declaration"))
    }
}
