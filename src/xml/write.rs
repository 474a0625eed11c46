//! Writing answers: escaping, fixed prefixes, and a writer that drains while it is open.

use super::{Name, QName, ns};

const DAV_PREFIX: &str = "D";
const CALDAV_PREFIX: &str = "C";
const CS_PREFIX: &str = "CS";
const APPLE_PREFIX: &str = "A";

/// The namespaces of what we write ourselves, which have a prefix.
const KNOWN: [&str; 4] = [ns::DAV, ns::CALDAV, ns::CS, ns::APPLE];

/// The prefix for all other namespaces, declared on each element that needs one.
const OTHER_PREFIX: &str = "x";

/// The declaration that starts a document.
const DECLARATION: &[u8] = b"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n";

/// The fixed prefix of a namespace.
pub(super) fn prefix_of(namespace: &str) -> Option<&'static str> {
    // A match over constants compares lengths first, and no loop is needed for each tag written.
    match namespace {
        ns::DAV => Some(DAV_PREFIX),
        ns::CALDAV => Some(CALDAV_PREFIX),
        ns::CS => Some(CS_PREFIX),
        ns::APPLE => Some(APPLE_PREFIX),
        _ => None,
    }
}

/// Writes the declaration of a namespace that has a fixed prefix.
pub(super) fn declare_known(namespace: &str, out: &mut Vec<u8>) {
    if let Some(prefix) = prefix_of(namespace) {
        out.extend_from_slice(b" xmlns:");
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(b"=\"");
        escape_attribute(namespace, out);
        out.push(b'"');
    }
}

/// Writes one attribute with a space before it.
pub(super) fn attribute(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    escape_attribute(value, out);
    out.push(b'"');
}

/// Whether XML 1.0 can carry every character of `text` (section 2.2, production Char).
pub fn is_xml_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'\t' | b'\n' | b'\r' => true,
        0..=0x1F => false,
        0xEF => !is_noncharacter(&bytes[at..]),
        _ => true,
    })
}

/// Whether U+FFFE or U+FFFF begins here; of what UTF-8 can hold beyond the control
/// characters, only these two are no Char.
fn is_noncharacter(bytes: &[u8]) -> bool {
    matches!(bytes, [0xEF, 0xBF, 0xBE | 0xBF, ..])
}

/// Writes character data. CR is written as a reference, because a reader would turn it into
/// LF (XML 1.0 section 2.11) and calendar data has to arrive with its CR LF.
pub(super) fn escape_text(text: &str, out: &mut Vec<u8>) {
    let special =
        |byte: u8| is_markup(byte) | (is_control(byte) & (byte != b'\t') & (byte != b'\n'));
    escape(text, out, special, |byte| match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'\r' => Some(b"&#13;"),
        _ => None,
    });
}

/// Writes an attribute value, for double quotes. White space is written as references, because
/// a reader would turn it into spaces (XML 1.0 section 3.3.3).
pub(super) fn escape_attribute(text: &str, out: &mut Vec<u8>) {
    let special = |byte: u8| is_markup(byte) | is_control(byte) | (byte == b'"') | (byte == b'\'');
    escape(text, out, special, |byte| match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'"' => Some(b"&quot;"),
        b'\'' => Some(b"&#39;"),
        b'\t' => Some(b"&#9;"),
        b'\n' => Some(b"&#10;"),
        b'\r' => Some(b"&#13;"),
        _ => None,
    });
}

// Without branches, so that a block of bytes is asked at once.
fn is_markup(byte: u8) -> bool {
    // U+FFFE and U+FFFF begin with 0xEF
    (byte == b'&') | (byte == b'<') | (byte == b'>') | (byte == 0xEF)
}

fn is_control(byte: u8) -> bool {
    byte < b' '
}

/// Copies `text`, with references in place of what `reference` names and U+FFFD in place of
/// what XML cannot carry; everything between two of these is copied at once. Only what is
/// `special` is looked at for itself.
fn escape(
    text: &str,
    out: &mut Vec<u8>,
    special: impl Fn(u8) -> bool,
    reference: impl Fn(u8) -> Option<&'static [u8]>,
) {
    const REPLACEMENT: &[u8] = "\u{FFFD}".as_bytes();
    let bytes = text.as_bytes();
    out.reserve(bytes.len());
    let (mut copied, mut looked) = (0, 0);
    while let Some(at) = find(bytes, looked, &special) {
        looked = at + 1;
        let byte = bytes[at];
        let (instead, width) = match (reference(byte), byte) {
            (Some(reference), _) => (reference, 1),
            (None, 0..=0x1F) => (REPLACEMENT, 1),
            (None, 0xEF) if is_noncharacter(&bytes[at..]) => (REPLACEMENT, 3),
            (None, _) => continue,
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(instead);
        copied = at + width;
        looked = copied;
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Bytes that are looked at together.
const BLOCK: usize = 16;

/// The first special byte from `start` on.
fn find(bytes: &[u8], start: usize, special: impl Fn(u8) -> bool) -> Option<usize> {
    let rest = &bytes[start..];
    // A fold over a whole block is a few instructions, and most blocks are plain.
    let plain = |block: &&[u8; BLOCK]| !block.iter().fold(false, |any, byte| any | special(*byte));
    let (blocks, _) = rest.as_chunks::<BLOCK>();
    let plain = blocks.iter().take_while(plain).count() * BLOCK;
    let found = rest[plain..].iter().position(|byte| special(*byte))?;
    Some(start + plain + found)
}

/// Room for a document at first: that of a short answer.
const DOCUMENT_BYTES: usize = 1024;

/// Whether the root, which carries the declarations, has been written.
#[derive(Debug, PartialEq)]
enum Root {
    Missing,
    Written,
}

/// Writes one document into memory; what it holds can be taken away while elements are open.
///
/// The four namespaces of [`ns`] that we speak are declared on the root with the prefixes D,
/// C, CS and A; no default namespace is ever declared, so an element without a prefix is in
/// no namespace.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    open: Vec<QName>,
    root: Root,
}

impl Writer {
    /// A document: the XML declaration is written.
    pub fn document() -> Self {
        let mut writer = Self::fragment();
        writer.out.reserve(DOCUMENT_BYTES);
        writer.out.extend_from_slice(DECLARATION);
        writer
    }

    /// An element without the XML declaration, self-contained, for [`Writer::raw`] or a row.
    pub fn fragment() -> Self {
        Writer {
            out: Vec::new(),
            open: Vec::new(),
            root: Root::Missing,
        }
    }

    /// Opens an element.
    pub fn start(&mut self, name: QName) {
        self.start_with(name, &[]);
    }

    /// Opens an element with attributes in no namespace (or `xml:lang`).
    pub fn start_with(&mut self, name: QName, attributes: &[(&str, &str)]) {
        self.tag(name.ns, name.local, attributes);
        self.out.push(b'>');
        self.open.push(name);
    }

    /// Closes the element opened last; nothing when none is open.
    pub fn end(&mut self) {
        if let Some(name) = self.open.pop() {
            self.out.extend_from_slice(b"</");
            self.name(name.ns, name.local);
            self.out.push(b'>');
        }
    }

    /// An empty element.
    pub fn empty(&mut self, name: QName) {
        self.empty_with(name, &[]);
    }

    /// An empty element with attributes in no namespace.
    pub fn empty_with(&mut self, name: QName, attributes: &[(&str, &str)]) {
        self.tag(name.ns, name.local, attributes);
        self.out.extend_from_slice(b"/>");
    }

    /// An empty element of any name, its namespace declared on it when it has no prefix here.
    /// The local part must be a name, as those that were read are.
    pub fn name_empty(&mut self, name: &Name) {
        self.tag(&name.ns, &name.local, &[]);
        self.out.extend_from_slice(b"/>");
    }

    /// Character data; what XML cannot carry becomes U+FFFD (ask [`is_xml_text`] first where
    /// that would be wrong).
    pub fn text(&mut self, text: &str) {
        escape_text(text, &mut self.out);
    }

    /// An element that holds only text.
    pub fn element_text(&mut self, name: QName, text: &str) {
        self.start(name);
        self.text(text);
        self.end();
    }

    /// Makes room for so many bytes at once.
    pub fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// XML that is already self-contained, as [`Element::to_xml`](super::Element::to_xml) gives.
    pub fn raw(&mut self, xml: &str) {
        self.out.extend_from_slice(xml.as_bytes());
    }

    /// Bytes written and not yet taken.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes what is written so far; open elements remain open. There is room for `next` more bytes.
    pub fn take(&mut self, next: usize) -> Vec<u8> {
        // What comes next may be a little longer, and must not be copied for it.
        let next = Vec::with_capacity(next + next / 8);
        std::mem::replace(&mut self.out, next)
    }

    /// Closes what is open and gives what was not yet taken.
    pub fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.end();
        }
        self.out
    }

    /// Writes a tag up to its closing bracket.
    fn tag(&mut self, namespace: &str, local: &str, attributes: &[(&str, &str)]) {
        self.out.push(b'<');
        self.name(namespace, local);
        if self.root == Root::Missing {
            self.root = Root::Written;
            for known in KNOWN {
                declare_known(known, &mut self.out);
            }
        }
        if !namespace.is_empty() && namespace != ns::XML && prefix_of(namespace).is_none() {
            self.out.extend_from_slice(b" xmlns:");
            self.out.extend_from_slice(OTHER_PREFIX.as_bytes());
            self.out.extend_from_slice(b"=\"");
            escape_attribute(namespace, &mut self.out);
            self.out.push(b'"');
        }
        for (name, value) in attributes {
            attribute(name, value, &mut self.out);
        }
    }

    fn name(&mut self, namespace: &str, local: &str) {
        let prefix = match namespace {
            "" => "",
            ns::XML => "xml",
            _ => prefix_of(namespace).unwrap_or(OTHER_PREFIX),
        };
        if !prefix.is_empty() {
            self.out.extend_from_slice(prefix.as_bytes());
            self.out.push(b':');
        }
        self.out.extend_from_slice(local.as_bytes());
    }
}
