//! Content lines (RFC 5545 section 3.1), taken apart into name, parameters and value. The received
//! bytes are the truth and are kept elsewhere; each line carries its span in them, so that parts can
//! be copied or replaced later without rewriting what nobody asked to change, and borrows its texts
//! from them where they stand there in one piece.
//!
//! Reading is lenient where real files are odd (BOM, bare LF, lower-case names, a fold inside a
//! character, blank lines, unquoted parameter values); `lines` says what is refused.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::ops::Deref;

use super::lines::{Line, Text, unfold};

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
pub struct Parameter<'a> {
    /// Its name in upper case.
    pub name: Cow<'a, str>,
    /// Its values, quotes removed and RFC 6868 decoded; none when it was written without `=`.
    pub values: Values<'a>,
}

/// The values of a parameter: nearly always one, which then needs no list.
#[derive(Clone)]
pub struct Values<'a>(List<'a>);

#[derive(Clone)]
enum List<'a> {
    One(Cow<'a, str>),
    Other(Vec<Cow<'a, str>>),
}

impl<'a> Values<'a> {
    const NONE: Values<'static> = Values(List::Other(Vec::new()));

    fn push(&mut self, value: Cow<'a, str>) {
        match &mut self.0 {
            List::Other(values) if values.is_empty() => self.0 = List::One(value),
            List::Other(values) => values.push(value),
            List::One(first) => self.0 = List::Other(vec![std::mem::take(first), value]),
        }
    }

    fn into_owned(self) -> Values<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Values(match self.0 {
            List::One(value) => List::One(owned(value)),
            List::Other(values) => List::Other(values.into_iter().map(owned).collect()),
        })
    }
}

impl<'a> Deref for Values<'a> {
    type Target = [Cow<'a, str>];

    fn deref(&self) -> &[Cow<'a, str>] {
        match &self.0 {
            List::One(value) => std::slice::from_ref(value),
            List::Other(values) => values,
        }
    }
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

impl PartialEq for Values<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
impl Eq for Values<'_> {}

/// A property: one content line. Names and values are those of the received bytes, wherever
/// these say them in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property<'a> {
    /// Its name in upper case.
    pub name: Cow<'a, str>,
    /// Its parameters, in the order written.
    pub parameters: Vec<Parameter<'a>>,
    /// Its value, unfolded but not unescaped.
    pub value: Value<'a>,
    /// The line with its folds and its line end.
    pub span: Span,
    /// Where the line begins, from 1.
    pub line: usize,
}

impl<'a> Property<'a> {
    /// The first parameter of that name (upper case).
    pub fn parameter(&self, name: &str) -> Option<&Parameter<'a>> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name == name)
    }

    /// The first value of the first parameter of that name (upper case).
    pub fn parameter_value(&self, name: &str) -> Option<&str> {
        self.parameter(name)?.values.first().map(|value| &**value)
    }

    /// The value as one TEXT, unescaped (RFC 5545 section 3.3.11).
    pub fn text_value(&self) -> Cow<'_, str> {
        unescape(&self.value)
    }

    /// The value as a list of TEXT: split at unescaped commas, each item unescaped.
    pub fn text_list(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let mut rest = Some(&*self.value);
        std::iter::from_fn(move || {
            let text = rest?;
            let comma = unescaped_comma(text);
            rest = comma.map(|at| &text[at + 1..]);
            Some(unescape(comma.map_or(text, |at| &text[..at])))
        })
    }

    fn into_owned(self) -> Property<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let parameters = self.parameters.into_iter().map(|parameter| Parameter {
            name: owned(parameter.name),
            values: parameter.values.into_owned(),
        });
        Property {
            name: owned(self.name),
            parameters: parameters.collect(),
            value: Value(Written::Whole(Cow::Owned((*self.value).to_owned()))),
            span: self.span,
            line: self.line,
        }
    }
}

/// The value of a property, as text. One that was folded is unfolded when it is first asked for:
/// nobody asks for most of the long ones.
#[derive(Clone)]
pub struct Value<'a>(Written<'a>);

#[derive(Clone)]
enum Written<'a> {
    Whole(Cow<'a, str>),
    Folded {
        raw: &'a str,
        unfolded: OnceCell<Box<str>>,
    },
}

impl<'a> Value<'a> {
    /// It as the name of a component, in upper case.
    pub(super) fn name(&self) -> Cow<'a, str> {
        match &self.0 {
            Written::Whole(Cow::Borrowed(text)) => upper(text.trim_ascii()),
            _ => Cow::Owned(self.trim_ascii().to_ascii_uppercase()),
        }
    }
}

impl Deref for Value<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Written::Whole(text) => text,
            Written::Folded { raw, unfolded } => unfolded.get_or_init(|| unfold(raw).into()),
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}
impl Eq for Value<'_> {}

impl PartialEq<str> for Value<'_> {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Value<'_> {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl PartialEq<String> for Value<'_> {
    fn eq(&self, other: &String) -> bool {
        **self == **other
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

/// Takes one content line apart. `allowance` is how many more parameters and parameter values
/// the object may have; it is reduced by what is found.
pub(super) fn parse_property<'a>(
    line: &Line<'a>,
    allowance: &mut usize,
) -> Result<Property<'a>, IcalError> {
    match &line.text {
        Text::Whole(text) => parse_text(text, Follows::Nothing, line, allowance),
        Text::Unfolded(text) => {
            parse_text(text, Follows::Nothing, line, allowance).map(Property::into_owned)
        }
        Text::Folded { first, raw } => {
            let mut left = *allowance;
            // Most lines have their name and parameters before the first fold.
            let Ok(mut property) = parse_text(first, Follows::Fold, line, &mut left) else {
                return parse_text(&unfold(raw), Follows::Nothing, line, allowance)
                    .map(Property::into_owned);
            };
            *allowance = left;
            property.value = Value(Written::Folded {
                raw: &raw[first.len() - property.value.len()..],
                unfolded: OnceCell::new(),
            });
            Ok(property)
        }
    }
}

/// What comes after a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follows {
    /// Nothing: it is the whole line.
    Nothing,
    /// More of the line. What cannot be told without it is an error, whichever.
    Fold,
}

fn parse_text<'a>(
    text: &'a str,
    follows: Follows,
    line: &Line<'_>,
    allowance: &mut usize,
) -> Result<Property<'a>, IcalError> {
    let refuse = |rule| IcalError {
        line: line.number,
        rule,
    };
    let text = text.trim_ascii_start();
    let plain = plain_name(text);
    let (name, name_end) = match text.as_bytes().get(plain) {
        Some(b':' | b';') if plain > 0 => (Cow::Borrowed(&text[..plain]), plain),
        _ => odd_name(text).map_err(refuse)?,
    };
    let mut parameters = Vec::new();
    let mut rest = &text[name_end..];
    while let Some(parameter) = rest.strip_prefix(';') {
        let mut scan = Scan {
            rest: parameter,
            follows,
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
        name,
        parameters,
        value: Value(Written::Whole(Cow::Borrowed(value))),
        span: line.span,
        line: line.number,
    })
}

/// A name of which not every byte is `PLAIN`, and where it ends.
fn odd_name(text: &str) -> Result<(Cow<'_, str>, usize), &'static str> {
    let end = text
        .bytes()
        .position(|byte| matches!(byte, b':' | b';'))
        .ok_or("a line without a colon")?;
    let name = text[..end].trim_ascii_end();
    let good = |byte: u8| byte.is_ascii_graphic() && !b"\",=".contains(&byte);
    if name.is_empty() || !name.bytes().all(good) {
        return Err("a line does not begin with a property name");
    }
    Ok((upper(name), end))
}

/// The bytes that stand in a name in upper case, as nearly all do, and in nothing that ends one.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b'!' as usize;
    while byte <= b'~' as usize {
        plain[byte] = !matches!(byte as u8, b'"' | b',' | b':' | b';' | b'=' | b'a'..=b'z');
        byte += 1;
    }
    plain
};

/// How many `PLAIN` bytes a text begins with.
fn plain_name(text: &str) -> usize {
    let ends = |byte: u8| !PLAIN[usize::from(byte)];
    text.bytes().position(ends).unwrap_or(text.len())
}

/// A name in upper case, as it nearly always is.
fn upper(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        Cow::Owned(name.to_ascii_uppercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The rest of a line from a parameter on.
struct Scan<'a, 'b> {
    rest: &'a str,
    follows: Follows,
    allowance: &'b mut usize,
    line: usize,
}

impl<'a> Scan<'a, '_> {
    fn count(&mut self) -> Result<(), IcalError> {
        let too_many = IcalError {
            line: self.line,
            rule: "too many parameters",
        };
        *self.allowance = self.allowance.checked_sub(1).ok_or(too_many)?;
        Ok(())
    }

    fn refuse(&self, rule: &'static str) -> IcalError {
        IcalError {
            line: self.line,
            rule,
        }
    }

    fn parameter(&mut self) -> Result<Parameter<'a>, IcalError> {
        self.count()?;
        let plain = plain_name(self.rest);
        let (name, end) = match self.rest.as_bytes().get(plain) {
            Some(b'=' | b';' | b':') => (Cow::Borrowed(&self.rest[..plain]), plain),
            _ => self.odd_name()?,
        };
        self.rest = &self.rest[end..];
        let mut values = Values::NONE;
        let mut more = self.rest.starts_with('=');
        while more {
            self.count()?;
            self.rest = &self.rest[1..];
            values.push(self.parameter_value()?);
            more = self.rest.starts_with(',');
        }
        Ok(Parameter { name, values })
    }

    /// A name of which not every byte is `PLAIN`, and where it ends.
    fn odd_name(&self) -> Result<(Cow<'a, str>, usize), IcalError> {
        let mut bytes = self.rest.bytes();
        let end = bytes
            .position(|byte| matches!(byte, b'=' | b';' | b':'))
            .ok_or(self.refuse("a line without a colon"))?;
        Ok((upper(self.rest[..end].trim_ascii()), end))
    }

    /// One value, quoted or not; stops before ',', ';' or ':'.
    fn parameter_value(&mut self) -> Result<Cow<'a, str>, IcalError> {
        let mut quoted = None;
        if let Some(text) = self.rest.strip_prefix('"') {
            let end = text
                .find('"')
                .ok_or(self.refuse("a quoted parameter value does not end"))?;
            quoted = Some(&text[..end]);
            self.rest = &text[end + 1..];
        }
        let mut end = self
            .rest
            .bytes()
            .position(|byte| matches!(byte, b',' | b';' | b':'))
            .ok_or(self.refuse("a line without a colon"))?;
        if quoted.is_none() && self.rest[end..].starts_with(':') {
            let found = uri_colon(self.rest, end, self.follows);
            end = found.ok_or(self.refuse("a line without a colon"))?;
        }
        let plain = &self.rest[..end];
        self.rest = &self.rest[end..];
        let value = match quoted {
            Some(quoted) if plain.is_empty() => Cow::Borrowed(quoted),
            Some(quoted) => Cow::Owned([quoted, plain].concat()),
            None => Cow::Borrowed(plain),
        };
        Ok(decode_caret(value))
    }
}

/// Where an unquoted value ends whose first colon is at `colon`. Some programs write a URI
/// without the quotes it needs (`TZID=tzone://Microsoft/Utc:2024…`, `SENT-BY=mailto:a@b:…`):
/// such a colon belongs to the value when another one follows that can end it. `None` when only
/// what follows the text could tell.
fn uri_colon(text: &str, colon: usize, follows: Follows) -> Option<usize> {
    let after = &text[colon + 1..];
    let scheme = &text[..colon];
    let uri =
        (after.starts_with("//") && !scheme.is_empty()) || scheme.eq_ignore_ascii_case("mailto");
    let next = match uri {
        true => after.find([',', ';', ':']),
        false => None,
    };
    match next {
        Some(next) => Some(colon + 1 + next),
        None if follows == Follows::Fold && (uri || after.len() < 2) => None,
        None => Some(colon),
    }
}

/// Decodes `^n`, `^'` and `^^` (RFC 6868 section 3.2); any other caret stays.
fn decode_caret(value: Cow<'_, str>) -> Cow<'_, str> {
    if !value.bytes().any(|byte| byte == b'^') {
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
    Cow::Owned(decoded)
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

/// The same of a line that nobody needs otherwise: most need no fold.
pub(super) fn folded(mut line: String) -> String {
    if line.len() > FOLD_BYTES {
        return fold(&line);
    }
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::super::lines::Lines;
    use super::*;

    fn property(text: &str) -> Result<Property<'_>, IcalError> {
        let line = Lines::new(text.as_bytes()).next_line()?.expect("a line");
        parse_property(&line, &mut 10)
    }

    fn good(text: &str) -> Property<'_> {
        property(text).expect("a good line")
    }

    #[test]
    fn parameters_quoted_and_not() {
        let found = good("attendee;cn=\"A, B; C: D\";X=1,\"2,3\",;Role=CHAIR:mailto:a@b");
        assert_eq!((&*found.name, &*found.value), ("ATTENDEE", "mailto:a@b"));
        assert_eq!(found.parameter_value("CN"), Some("A, B; C: D"));
        assert_eq!(*found.parameter("X").expect("X").values, ["1", "2,3", ""]);
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

    /// Wherever a fold is, the line says the same: in its name, between quotes, within a URI.
    #[test]
    fn folded_anywhere() {
        let text = "Attendee;cn=\"A, B; C\"x;X=1,\"2\";SENT-BY=mailto:a@b:tz://é:c";
        let whole = good(text);
        assert_eq!(whole.parameter_value("SENT-BY"), Some("mailto:a@b"));
        for at in (1..text.len()).filter(|at| text.is_char_boundary(*at)) {
            let folded = format!("{}\r\n {}\r\n", &text[..at], &text[at..]);
            let found = good(&folded);
            assert_eq!(
                (&found.name, &found.parameters, &*found.value),
                (&whole.name, &whole.parameters, &*whole.value),
                "{folded}"
            );
        }
        let few = "X;A=1;B=2\r\n ;C=3;D=4:v";
        let line = Lines::new(few.as_bytes()).next_line();
        let mut left = 10;
        parse_property(&line.expect("text").expect("a line"), &mut left).expect("enough");
        assert_eq!(left, 2);
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
