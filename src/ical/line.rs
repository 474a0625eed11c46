//! Content lines (RFC 5545 section 3.1): finds them in received bytes, unfolds them, and takes
//! one apart into name, parameters and value. The received bytes are the truth and are kept
//! elsewhere; each line carries its span in them, so that parts can be copied or replaced later
//! without rewriting what nobody asked to change.
//!
//! Reading is lenient where real files are odd (BOM, bare LF, lower-case names, a fold inside a
//! character, blank lines, unquoted parameter values) and refuses what could not be stored and
//! given back inside XML: invalid UTF-8 and the characters XML 1.0 section 2.2 leaves out.

use std::borrow::Cow;
use std::fmt;

use crate::limits;

/// Bytes of a content line without its line end (RFC 5545 section 3.1).
const FOLD_BYTES: usize = 75;

/// Why bytes are not iCalendar: where, and the rule they break. Holds no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcalError {
    /// Line of the received text, from 1, folded lines counted as they are.
    pub line: usize,
    /// The broken rule, a clause without content ("a carriage return stands alone").
    pub rule: &'static str,
}

impl fmt::Display for IcalError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.rule)
    }
}
impl std::error::Error for IcalError {}

/// A byte range of the received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// The bytes it covers; empty if they are not the bytes it was made from.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start..self.end).unwrap_or_default()
    }
}

/// A parameter of a property (RFC 5545 section 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in upper case.
    pub name: String,
    /// Its values, quotes removed and RFC 6868 decoded; none when it was written without `=`.
    pub values: Vec<String>,
}

/// A property: one content line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its name in upper case.
    pub name: String,
    /// Its parameters, in the order written.
    pub parameters: Vec<Parameter>,
    /// Its value, unfolded but not unescaped.
    pub value: String,
    /// The line with its folds and its line end.
    pub span: Span,
    /// Where the line begins, from 1.
    pub line: usize,
}

impl Property {
    /// The first parameter of that name (upper case).
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name == name)
    }

    /// The first value of the first parameter of that name (upper case).
    pub fn parameter_value(&self, name: &str) -> Option<&str> {
        self.parameter(name)?.values.first().map(String::as_str)
    }

    /// The value as one TEXT, unescaped (RFC 5545 section 3.3.11).
    pub fn text_value(&self) -> Cow<'_, str> {
        unescape(&self.value)
    }

    /// The value as a list of TEXT: split at unescaped commas, each item unescaped.
    pub fn text_list(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let mut rest = Some(self.value.as_str());
        std::iter::from_fn(move || {
            let text = rest?;
            let comma = unescaped_comma(text);
            rest = comma.map(|at| &text[at + 1..]);
            Some(unescape(comma.map_or(text, |at| &text[..at])))
        })
    }
}

fn unescaped_comma(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let found = byte == b',' && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

/// Decodes `\n`, `\N`, `\,`, `\;` and `\\`; any other backslash stays, since old files have
/// plain ones (paths).
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let decoded = match (character, characters.peek()) {
            ('\\', Some('n' | 'N')) => Some('\n'),
            ('\\', Some(next @ (',' | ';' | '\\'))) => Some(*next),
            _ => None,
        };
        if decoded.is_some() {
            characters.next();
        }
        plain.push(decoded.unwrap_or(character));
    }
    Cow::Owned(plain)
}

/// One unfolded content line.
pub(super) struct Line<'a> {
    /// Where it begins, from 1.
    pub number: usize,
    /// Its bytes with folds and line end.
    pub span: Span,
    /// The unfolded text, spaces around it included.
    pub text: Cow<'a, str>,
}

/// Reads the content lines of received bytes, one after the other, in linear time.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    position: usize,
    number: usize,
}

impl<'a> Lines<'a> {
    /// Starts at the first line, after a byte order mark.
    pub fn new(bytes: &'a [u8]) -> Self {
        let position = if bytes.starts_with(b"\xEF\xBB\xBF") {
            3
        } else {
            0
        };
        Lines {
            bytes,
            position,
            number: 0,
        }
    }

    /// The number of the last line read.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The next line that is not blank.
    pub fn next_line(&mut self) -> Result<Option<Line<'a>>, IcalError> {
        while self.position < self.bytes.len() {
            let start = self.position;
            let number = self.number + 1;
            let first = self.physical_line()?;
            let mut folded: Option<Vec<u8>> = None;
            while matches!(self.bytes.get(self.position), Some(b' ' | b'\t')) {
                let piece = &self.physical_line()?[1..];
                let text = folded.get_or_insert_with(|| first.to_vec());
                text.extend_from_slice(piece);
                if text.len() > limits::ICAL_LINE_BYTES {
                    return Err(IcalError {
                        line: number,
                        rule: "a line is too long",
                    });
                }
            }
            if first.len() > limits::ICAL_LINE_BYTES {
                return Err(IcalError {
                    line: number,
                    rule: "a line is too long",
                });
            }
            let text = match folded {
                Some(text) => String::from_utf8(text).ok().map(Cow::Owned),
                None => std::str::from_utf8(first).ok().map(Cow::Borrowed),
            };
            let text = text.ok_or(IcalError {
                line: number,
                rule: "the text is not valid UTF-8",
            })?;
            // both begin with this byte, which few texts have
            if text.as_bytes().contains(&0xEF) && text.contains(['\u{FFFE}', '\u{FFFF}']) {
                return Err(IcalError {
                    line: number,
                    rule: "a character cannot stand in XML",
                });
            }
            if !text.trim_ascii().is_empty() {
                let span = Span {
                    start,
                    end: self.position,
                };
                return Ok(Some(Line { number, span, text }));
            }
        }
        Ok(None)
    }

    /// The bytes up to the next line end, which is passed over.
    fn physical_line(&mut self) -> Result<&'a [u8], IcalError> {
        self.number += 1;
        let refuse = |rule| {
            Err(IcalError {
                line: self.number,
                rule,
            })
        };
        let rest = &self.bytes[self.position..];
        let ends = |byte: &u8| *byte < b' ' && *byte != b'\t';
        // Whole blocks without one first: a fold over a block is a few instructions.
        let blocks = rest.chunks_exact(16);
        let clean =
            blocks.take_while(|block| !block.iter().fold(false, |any, byte| any | ends(byte)));
        let clean = clean.count() * 16;
        let Some(length) = rest[clean..].iter().position(ends).map(|at| clean + at) else {
            self.position = self.bytes.len();
            return Ok(rest);
        };
        let line_end = match (rest[length], rest.get(length + 1)) {
            (b'\n', _) => 1,
            (b'\r', Some(b'\n')) => 2,
            (b'\r', _) => return refuse("a carriage return stands without a line feed"),
            _ => return refuse("a control character"),
        };
        self.position += length + line_end;
        Ok(&rest[..length])
    }
}

/// Takes one content line apart. `allowance` is how many more parameters and parameter values
/// the object may have; it is reduced by what is found.
pub(super) fn parse_property(
    line: &Line<'_>,
    allowance: &mut usize,
) -> Result<Property, IcalError> {
    let refuse = |rule| IcalError {
        line: line.number,
        rule,
    };
    let text: &str = line.text.trim_ascii_start();
    let name_end = text
        .bytes()
        .position(|byte| matches!(byte, b':' | b';'))
        .ok_or(refuse("a line without a colon"))?;
    let name = text[..name_end].trim_ascii_end();
    let good = |byte: u8| byte.is_ascii_graphic() && !b"\",=".contains(&byte);
    if name.is_empty() || !name.bytes().all(good) {
        return Err(refuse("a line does not begin with a property name"));
    }
    let mut parameters = Vec::new();
    let mut rest = &text[name_end..];
    while let Some(parameter) = rest.strip_prefix(';') {
        let mut scan = Scan {
            rest: parameter,
            allowance,
            line: line.number,
        };
        parameters.push(scan.parameter()?);
        rest = scan.rest;
    }
    let value = rest
        .strip_prefix(':')
        .ok_or(refuse("a line without a colon"))?;
    Ok(Property {
        name: name.to_ascii_uppercase(),
        parameters,
        value: value.to_owned(),
        span: line.span,
        line: line.number,
    })
}

/// The rest of a line from a parameter on.
struct Scan<'a, 'b> {
    rest: &'a str,
    allowance: &'b mut usize,
    line: usize,
}

impl Scan<'_, '_> {
    fn count(&mut self) -> Result<(), IcalError> {
        let too_many = IcalError {
            line: self.line,
            rule: "too many parameters",
        };
        *self.allowance = self.allowance.checked_sub(1).ok_or(too_many)?;
        Ok(())
    }

    fn parameter(&mut self) -> Result<Parameter, IcalError> {
        self.count()?;
        let refuse = |rule| IcalError {
            line: self.line,
            rule,
        };
        let end = self
            .rest
            .bytes()
            .position(|byte| matches!(byte, b'=' | b';' | b':'))
            .ok_or(refuse("a line without a colon"))?;
        let name = self.rest[..end].trim_ascii().to_ascii_uppercase();
        self.rest = &self.rest[end..];
        let mut values = Vec::new();
        let mut more = self.rest.starts_with('=');
        while more {
            self.count()?;
            self.rest = &self.rest[1..];
            values.push(self.parameter_value()?);
            more = self.rest.starts_with(',');
        }
        Ok(Parameter { name, values })
    }

    /// One value, quoted or not; stops before ',', ';' or ':'.
    fn parameter_value(&mut self) -> Result<String, IcalError> {
        let refuse = |rule| IcalError {
            line: self.line,
            rule,
        };
        let mut value = String::new();
        let plain = !self.rest.starts_with('"');
        if let Some(quoted) = self.rest.strip_prefix('"') {
            let end = quoted
                .find('"')
                .ok_or(refuse("a quoted parameter value does not end"))?;
            value.push_str(&quoted[..end]);
            self.rest = &quoted[end + 1..];
        }
        let mut end = self
            .rest
            .find([',', ';', ':'])
            .ok_or(refuse("a line without a colon"))?;
        if plain && self.rest[end..].starts_with(':') {
            end = uri_colon(self.rest, end);
        }
        value.push_str(&self.rest[..end]);
        self.rest = &self.rest[end..];
        Ok(decode_caret(value))
    }
}

/// Where an unquoted value ends whose first colon is at `colon`. Some programs write a URI
/// without the quotes it needs (`TZID=tzone://Microsoft/Utc:2024…`, `SENT-BY=mailto:a@b:…`):
/// such a colon belongs to the value when another one follows that can end it.
fn uri_colon(text: &str, colon: usize) -> usize {
    let after = &text[colon + 1..];
    let scheme = &text[..colon];
    let uri =
        (after.starts_with("//") && !scheme.is_empty()) || scheme.eq_ignore_ascii_case("mailto");
    match after.find([',', ';', ':']) {
        Some(next) if uri => colon + 1 + next,
        _ => colon,
    }
}

/// Decodes `^n`, `^'` and `^^` (RFC 6868 section 3.2); any other caret stays.
fn decode_caret(value: String) -> String {
    if !value.contains('^') {
        return value;
    }
    let mut decoded = String::with_capacity(value.len());
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        let replaced = match (character, characters.peek()) {
            ('^', Some('n')) => Some('\n'),
            ('^', Some('\'')) => Some('"'),
            ('^', Some('^')) => Some('^'),
            _ => None,
        };
        if replaced.is_some() {
            characters.next();
        }
        decoded.push(replaced.unwrap_or(character));
    }
    decoded
}

/// A content line folded at 75 bytes, between characters, with its line end
/// (RFC 5545 section 3.1). `text` has no line end itself.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len() + text.len() / 25 + 2);
    let mut room = FOLD_BYTES;
    for character in text.chars() {
        if character.len_utf8() > room {
            folded.push_str("\r\n ");
            room = FOLD_BYTES - 1;
        }
        room -= character.len_utf8();
        folded.push(character);
    }
    folded.push_str("\r\n");
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(text: &str) -> Result<Property, IcalError> {
        let line = Lines::new(text.as_bytes()).next_line()?.expect("a line");
        parse_property(&line, &mut 10)
    }

    fn good(text: &str) -> Property {
        property(text).expect("a good line")
    }

    #[test]
    fn parameters_quoted_and_not() {
        let found = good("attendee;cn=\"A, B; C: D\";X=1,\"2,3\",;Role=CHAIR:mailto:a@b");
        assert_eq!(
            (found.name.as_str(), found.value.as_str()),
            ("ATTENDEE", "mailto:a@b")
        );
        assert_eq!(found.parameter_value("CN"), Some("A, B; C: D"));
        assert_eq!(found.parameter("X").expect("X").values, ["1", "2,3", ""]);
        assert_eq!(found.parameter_value("ROLE"), Some("CHAIR"));
        assert_eq!(
            good("X;CN=a^nb^^c^'d^x:").parameter_value("CN"),
            Some("a\nb^c\"d^x")
        );
        assert_eq!(good("X;CN=a\"b\"c:").parameter_value("CN"), Some("a\"b\"c"));
        assert_eq!(
            good("DTSTART;DATE:1")
                .parameter("DATE")
                .expect("DATE")
                .values
                .len(),
            0
        );
    }

    #[test]
    fn uris_without_their_quotes() {
        let found = good("DTSTART;TZID=tzone://Microsoft/Utc:20240101T000000");
        assert_eq!(found.parameter_value("TZID"), Some("tzone://Microsoft/Utc"));
        assert_eq!(found.value, "20240101T000000");
        let found = good("ATTENDEE;SENT-BY=mailto:a@b:mailto:c@d");
        assert_eq!(found.parameter_value("SENT-BY"), Some("mailto:a@b"));
        assert_eq!(good("ATTACH;VALUE=URI://x").value, "//x");
        assert_eq!(good("URL;VALUE=URI:http://x:8/").value, "http://x:8/");
    }

    #[test]
    fn lines_refused() {
        for (text, rule) in [
            ("no colon here", "a line without a colon"),
            ("X;CN=\"open:value", "a quoted parameter value does not end"),
            ("X;CN", "a line without a colon"),
            (":value", "a line does not begin with a property name"),
            (
                "two words:value",
                "a line does not begin with a property name",
            ),
            ("X;A=,,,,,,,,,,,:v", "too many parameters"),
            ("X:a\0b", "a control character"),
            ("X:a\rb", "a carriage return stands without a line feed"),
            ("X:a\u{FFFE}b", "a character cannot stand in XML"),
        ] {
            assert_eq!(property(text), Err(IcalError { line: 1, rule }), "{text:?}");
        }
    }

    #[test]
    fn texts_unescaped() {
        let found = good(r"X:a\,b\;c\\n\nd\N\x\");
        assert_eq!(found.text_value(), "a,b;c\\n\nd\n\\x\\");
        let items: Vec<_> = good(r"X:a\,b,c\\,,d")
            .text_list()
            .map(Cow::into_owned)
            .collect();
        assert_eq!(items, ["a,b", "c\\", "", "d"]);
    }

    #[test]
    fn folds_between_characters() {
        let folded = fold(&format!("X:{}", "é".repeat(100)));
        assert!(folded.lines().all(|line| line.len() <= FOLD_BYTES));
        assert_eq!(good(&folded).value, "é".repeat(100));
    }
}
