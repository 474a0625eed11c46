//! Finds the content lines of received bytes (RFC 5545 section 3.1), and unfolds those that have to be.
//!
//! What is refused here could not be stored and given back inside XML: invalid UTF-8 and the
//! characters XML 1.0 section 2.2 leaves out. Bytes that are well as a whole, as nearly all are, are
//! judged once; else each line is for itself, since a fold may stand inside a character.

use super::line::{IcalError, Span};
use crate::limits;

/// One content line.
pub(super) struct Line<'a> {
    /// Where it begins, from 1.
    pub number: usize,
    /// Its bytes with folds and line end.
    pub span: Span,
    /// Its text, spaces around it included.
    pub text: Text<'a>,
}

/// The text of a line, unfolded as far as was needed to judge it.
pub(super) enum Text<'a> {
    /// It has no folds.
    Whole(&'a str),
    /// It has folds, all between characters; `first` is what stands before them.
    Folded { first: &'a str, raw: &'a str },
    /// It was unfolded.
    Unfolded(String),
}

/// Reads the content lines of received bytes, one after the other, in linear time.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    /// The same when nothing in them need be looked at again: they are valid UTF-8, without
    /// characters that cannot stand in XML but for controls.
    text: Option<&'a str>,
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
        let text = std::str::from_utf8(bytes).ok();
        Lines {
            bytes,
            text: text.filter(|text| text.is_ascii() || !has_noncharacter(text)),
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
            let refuse = |rule| IcalError { line: number, rule };
            let first = start..self.physical_line()?;
            let (mut length, mut end) = (first.len(), first.end);
            while matches!(self.bytes.get(self.position), Some(b' ' | b'\t')) {
                let from = self.position + 1;
                end = self.physical_line()?;
                length += end - from;
                if length > limits::ICAL_LINE_BYTES {
                    return Err(refuse("a line is too long"));
                }
            }
            if first.len() > limits::ICAL_LINE_BYTES {
                return Err(refuse("a line is too long"));
            }
            let text = match self.text {
                Some(text) => Text::of(&text[start..end], first.len()),
                None => Text::checked(&self.bytes[start..end], first.len(), number)?,
            };
            if !text.is_blank() {
                let span = Span {
                    start,
                    end: self.position,
                };
                return Ok(Some(Line { number, span, text }));
            }
        }
        Ok(None)
    }

    /// Passes over the next line end; where the bytes before it end.
    fn physical_line(&mut self) -> Result<usize, IcalError> {
        self.number += 1;
        let refuse = |rule| {
            Err(IcalError {
                line: self.number,
                rule,
            })
        };
        let Some(end) = control(self.bytes, self.position) else {
            self.position = self.bytes.len();
            return Ok(self.position);
        };
        let line_end = match (self.bytes[end], self.bytes.get(end + 1)) {
            (b'\n', _) => 1,
            (b'\r', Some(b'\n')) => 2,
            (b'\r', _) => return refuse("a carriage return stands without a line feed"),
            _ => return refuse("a control character"),
        };
        self.position = end + line_end;
        Ok(end)
    }
}

/// Where the first control character from `start` on is; a tab counts as none.
fn control(bytes: &[u8], start: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = start;
    while let Some(block) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(block.try_into().expect("eight bytes"));
        // The high bit of each byte below a space; above the first such byte, others may have
        // it too. Only a tab leads to a second look.
        let low = word.wrapping_sub(ONES * 0x20) & !word & (ONES * 0x80);
        if low == 0 {
            at += 8;
            continue;
        }
        at += low.trailing_zeros() as usize / 8;
        if bytes[at] != b'\t' {
            return Some(at);
        }
        at += 1;
    }
    let rest = bytes.get(at..)?.iter();
    let found = rest.clone().position(|byte| *byte < b' ' && *byte != b'\t');
    found.map(|found| at + found)
}

/// Whether U+FFFE or U+FFFF is in it, which cannot stand in XML.
fn has_noncharacter(text: &str) -> bool {
    // both begin with this byte, which few texts have
    text.as_bytes().contains(&0xEF) && text.contains(['\u{FFFE}', '\u{FFFF}'])
}

impl<'a> Text<'a> {
    /// Of a line that needs no check, of which so many bytes are before its first fold.
    fn of(raw: &'a str, first: usize) -> Text<'a> {
        if raw.len() == first {
            return Text::Whole(raw);
        }
        let first = &raw[..first];
        if first.trim_ascii().is_empty() {
            Text::Unfolded(unfold(raw))
        } else {
            Text::Folded { first, raw }
        }
    }

    /// The same of line `number`, which may have folds inside characters.
    fn checked(raw: &'a [u8], first: usize, number: usize) -> Result<Text<'a>, IcalError> {
        let refuse = |rule| IcalError { line: number, rule };
        if let Some(text) = std::str::from_utf8(raw).ok()
            && !has_noncharacter(text)
        {
            return Ok(Text::of(text, first));
        }
        let mut pieces = raw.split(|byte| *byte == b'\n');
        let mut text = pieces.next().unwrap_or_default().to_vec();
        for piece in pieces {
            if text.last() == Some(&b'\r') {
                text.pop();
            }
            text.extend_from_slice(&piece[1..]);
        }
        let text = String::from_utf8(text).map_err(|_| refuse("the text is not valid UTF-8"))?;
        if has_noncharacter(&text) {
            return Err(refuse("a character cannot stand in XML"));
        }
        Ok(Text::Unfolded(text))
    }

    /// Whether nothing but spaces is in it.
    fn is_blank(&self) -> bool {
        match self {
            Text::Whole(text) => text.trim_ascii().is_empty(),
            Text::Folded { .. } => false,
            Text::Unfolded(text) => text.trim_ascii().is_empty(),
        }
    }
}

/// Without its folds: line ends, each with the space or tab after it.
pub(super) fn unfold(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    for (number, piece) in raw.split('\n').enumerate() {
        let piece = piece.strip_suffix('\r').unwrap_or(piece);
        text.push_str(if number == 0 { piece } else { &piece[1..] });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_found_wherever_they_are() {
        for length in 0..20 {
            for at in 0..length {
                for (byte, next) in [
                    (b'\n', b'\r'),
                    (b'\t', b'\n'),
                    (b'\0', b' '),
                    (b' ', b'\x1F'),
                ] {
                    let mut bytes = vec![b' '; length];
                    bytes[length / 2] = 0xFF;
                    bytes[at] = byte;
                    bytes.extend([b'\t', next, b'!']);
                    for start in 0..length {
                        let plain = |byte: &u8| *byte >= b' ' || *byte == b'\t';
                        let rest = bytes[start..].iter();
                        let expected = rest.clone().position(|byte| !plain(byte));
                        let expected = expected.map(|found| start + found);
                        assert_eq!(control(&bytes, start), expected, "{start} {bytes:?}");
                    }
                }
            }
        }
    }

    /// One line in which a fold stands inside a character does not change how others are read.
    #[test]
    fn lines_are_judged_alone_where_they_must() {
        let good = "X:a\r\n b\r\nY:é\r\n \r\n\tz\r\n";
        let texts = |bytes: &[u8]| {
            let mut lines = Lines::new(bytes);
            let mut texts = Vec::new();
            while let Some(line) = lines.next_line().expect("readable") {
                texts.push(match line.text {
                    Text::Whole(text) => text.to_owned(),
                    Text::Folded { raw, .. } => unfold(raw),
                    Text::Unfolded(text) => text,
                });
            }
            texts
        };
        assert_eq!(texts(good.as_bytes()), ["X:ab", "Y:éz"]);
        let split = [good.as_bytes(), b"Z:\xC3\r\n \xA9\n"].concat();
        assert_eq!(texts(&split), ["X:ab", "Y:éz", "Z:é"]);
    }
}
