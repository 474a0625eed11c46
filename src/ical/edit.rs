//! Changes single content lines of received bytes and leaves all others exactly as they came;
//! builds the lines for that. No value may bring a line of its own along (HARDENING H21).

use std::borrow::Cow;

use super::line::{Parameter, Span, folded};

/// Room for a line that says a time, so that few are moved while they are written.
const TIME_LINE_BYTES: usize = 80;

/// One change: the bytes of `span` become `text`, which is whole lines or nothing. An empty span
/// inserts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced: the span of a property or component, or an empty one at its start or end.
    pub span: Span,
    /// What it becomes.
    pub text: String,
}

impl Edit {
    /// Takes a line or component away.
    pub fn remove(span: Span) -> Edit {
        Edit {
            span,
            text: String::new(),
        }
    }

    /// Puts `text` before the line at `span`.
    pub fn before(span: Span, text: String) -> Edit {
        Edit {
            span: Span {
                end: span.start,
                ..span
            },
            text,
        }
    }
}

/// The bytes with all edits made, in whatever order they are given; those at the same place in
/// that order. `None` when two overlap or one lies outside of the bytes.
pub fn splice(bytes: &[u8], mut edits: Vec<Edit>) -> Option<Vec<u8>> {
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut edited = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    for edit in &edits {
        let Span { start, end } = edit.span;
        if start > end || end > bytes.len() {
            return None;
        }
        edited.extend_from_slice(bytes.get(copied..start)?);
        edited.extend_from_slice(edit.text.as_bytes());
        copied = end;
    }
    edited.extend_from_slice(&bytes[copied..]);
    Some(edited)
}

/// A folded content line with its line end. `value` stands as it is, except that characters
/// that would end the line or cannot stand in XML are left out: use `escape` for TEXT. Parameter
/// values are quoted and encoded where needed (RFC 5545 section 3.2, RFC 6868).
pub fn content_line(name: &str, parameters: &[(&str, &str)], value: &str) -> String {
    changed_line(name, parameters, &[], &[], value)
}

/// The same for parameters as they were read, but for those named in `without` (upper case).
/// `first` comes before them.
pub fn changed_line(
    name: &str,
    first: &[(&str, &str)],
    parameters: &[Parameter],
    without: &[&str],
    text: &str,
) -> String {
    let mut line = String::with_capacity(TIME_LINE_BYTES);
    push_plain(name, &mut line);
    for (name, value) in first {
        line.push(';');
        push_plain(name, &mut line);
        line.push('=');
        line.push_str(&parameter_value(value, text));
    }
    let stays = |parameter: &&Parameter| !without.contains(&&*parameter.name);
    for parameter in parameters.iter().filter(stays) {
        line.push(';');
        push_plain(&parameter.name, &mut line);
        line.push('=');
        for (index, value) in parameter.values.iter().enumerate() {
            if index > 0 {
                line.push(',');
            }
            line.push_str(&parameter_value(value, text));
        }
    }
    line.push(':');
    push_plain(text, &mut line);
    folded(line)
}

/// A TEXT value with `\`, `;`, `,` and line ends escaped (RFC 5545 section 3.3.11).
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.replace("\r\n", "\n").chars() {
        match character {
            '\\' | ';' | ',' => escaped.extend(['\\', character]),
            '\n' | '\r' => escaped.push_str("\\n"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A parameter value for a line whose value is `text`: quoted also where a reader who forgives
/// unquoted URIs (`line::uri_colon`) would take the two for one.
fn parameter_value<'a>(value: &'a str, text: &str) -> Cow<'a, str> {
    let special =
        |byte: u8| matches!(byte, b'^' | b'"' | b',' | b';' | b':') || !is_plain_byte(byte);
    let encoded = match value.bytes().any(special) {
        true => Cow::Owned(encoded(value)),
        false => Cow::Borrowed(value),
    };
    let uri = text.trim_start().starts_with("//") || encoded.eq_ignore_ascii_case("mailto");
    if encoded.contains([',', ';', ':']) || uri {
        Cow::Owned(format!("\"{encoded}\""))
    } else {
        encoded
    }
}

/// A parameter value as RFC 6868 encodes it.
fn encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for character in value.replace("\r\n", "\n").chars() {
        match character {
            '^' => encoded.push_str("^^"),
            '\n' | '\r' => encoded.push_str("^n"),
            '"' => encoded.push_str("^'"),
            _ => encoded.extend(Some(character).filter(|found| is_plain(*found))),
        }
    }
    encoded
}

/// Adds a text without control characters (a tab stays) and what XML cannot carry.
fn push_plain(text: &str, line: &mut String) {
    if text.bytes().all(is_plain_byte) {
        line.push_str(text);
    } else {
        line.extend(text.chars().filter(|character| is_plain(*character)));
    }
}

fn is_plain(character: char) -> bool {
    let control = character < ' ' && character != '\t';
    !control && !matches!(character, '\u{FFFE}' | '\u{FFFF}')
}

/// Whether the byte is surely of a plain character: U+FFFE and U+FFFF begin with 0xEF.
fn is_plain_byte(byte: u8) -> bool {
    (byte >= b' ' || byte == b'\t') && byte != 0xEF
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tree::Calendar;
    use super::*;

    const OBJECT: &str = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nsummary:fol\n ded\nX-ODD;a=b:c\nEND:VEVENT\nEND:VCALENDAR";

    #[test]
    fn only_the_edited_lines_change() {
        let calendar = Calendar::parse(OBJECT.as_bytes()).expect("readable");
        let event = &calendar.root.components[0];
        let summary = event.property("SUMMARY").expect("there").span;
        let edits = vec![
            Edit::before(event.end, content_line("STATUS", &[], "CONFIRMED")),
            Edit {
                span: summary,
                text: content_line("SUMMARY", &[], &escape("a, b")),
            },
            Edit::remove(event.property("UID").expect("there").span),
        ];
        let edited = splice(OBJECT.as_bytes(), edits).expect("apart");
        assert_eq!(
            String::from_utf8(edited).expect("text"),
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:a\\, b\r\nX-ODD;a=b:c\nSTATUS:CONFIRMED\r\nEND:VEVENT\nEND:VCALENDAR"
        );
    }

    #[test]
    fn edits_that_overlap_are_none() {
        let edit = |start, end| Edit::remove(Span { start, end });
        assert_eq!(splice(b"abc", vec![edit(0, 2), edit(1, 3)]), None);
        assert_eq!(splice(b"abc", vec![edit(2, 4)]), None);
        assert_eq!(splice(b"abc", vec![edit(2, 1)]), None);
        assert_eq!(
            splice(b"abc", vec![edit(1, 2), edit(0, 1)]),
            Some(b"c".to_vec())
        );
    }

    proptest! {
        /// Whatever stands in a value, it is one line and reads back as it was.
        #[test]
        fn values_stay_in_their_line(value in "[ -~é\n\t\"^\\\\;:,]{0,120}", parameter in "[ -~é\n\"^;:,]{0,120}") {
            let line = content_line("X-A", &[("X-P", &parameter)], &escape(&value));
            let text = format!("BEGIN:VCALENDAR\r\n{line}END:VCALENDAR\r\n");
            let calendar = Calendar::parse(text.as_bytes()).expect("readable");
            prop_assert_eq!(calendar.root.properties.len(), 1);
            let property = &calendar.root.properties[0];
            prop_assert_eq!(property.text_value(), value.as_str());
            prop_assert_eq!(property.parameter_value("X-P"), Some(parameter.as_str()));
        }

        #[test]
        fn no_line_is_smuggled_in(value in "[a\r\n:\u{0}\u{7}]{0,15}") {
            let line = content_line(&value, &[(&value, &value)], &value);
            let controls = line.trim_end_matches("\r\n").chars().filter(|found| found.is_control());
            prop_assert_eq!(controls.count(), 0);
            prop_assert_eq!(line.matches('\n').count(), 1);
        }
    }
}
