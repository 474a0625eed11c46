//! A file of many events taken apart into calendar object resources: one for each UID, with its
//! overrides, the time zones that it names and the lines of its VCALENDAR (RFC 4791 section 4.1).
//!
//! Bytes are copied, never written anew. A file that is one object already stays as it is. What
//! is in the objects is not judged here but by `accept`, object by object, so that one bad event
//! does not keep the others out; each knows which lines of the file its own came from.

use std::collections::{HashMap, HashSet};

use super::line::Span;

/// Properties of a VCALENDAR that speak of the file and not of what is in it. METHOD may not be
/// stored (RFC 4791 section 4.1), the others say how the whole is called (RFC 7986 section 5).
const OF_THE_FILE: &[&str] = &[
    "METHOD",
    "NAME",
    "DESCRIPTION",
    "UID",
    "LAST-MODIFIED",
    "URL",
    "CATEGORIES",
    "REFRESH-INTERVAL",
    "SOURCE",
    "COLOR",
    "IMAGE",
    "X-WR-CALNAME",
    "X-WR-CALDESC",
    "X-WR-RELCALID",
    "X-PUBLISHED-TTL",
    "X-APPLE-CALENDAR-COLOR",
];

/// A file, taken apart.
#[derive(Debug, Default)]
pub struct Split {
    /// Its objects, in the order in which they begin.
    pub objects: Vec<SplitObject>,
    /// Where reading ended before the end of the file, and why; what follows is in no object.
    pub broken: Option<(usize, &'static str)>,
    /// X-WR-CALNAME or NAME.
    pub title: Option<String>,
    /// X-WR-CALDESC or DESCRIPTION.
    pub description: Option<String>,
    /// X-APPLE-CALENDAR-COLOR or COLOR.
    pub color: Option<String>,
}

/// One object of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SplitObject {
    /// Its UID, as written; none when it has none.
    pub uid: Option<String>,
    /// The pieces of the file that it is made of.
    pieces: Vec<Piece>,
    /// Whether the file breaks off before the END that it needs.
    unended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    span: Span,
    /// Its first line in the file, from 1.
    line: usize,
    lines: usize,
}

impl SplitObject {
    /// Its bytes, out of those of the file.
    pub fn bytes(&self, file: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in &self.pieces {
            let text = piece.span.of(file);
            bytes.extend_from_slice(text);
            // the last line of a file may lack its end
            if !text.ends_with(b"\n") && self.pieces.len() > 1 {
                bytes.extend_from_slice(b"\r\n");
            }
        }
        if self.unended {
            bytes.extend_from_slice(b"END:VCALENDAR\r\n");
        }
        bytes
    }

    /// The line of the file that a line of the object came from, both from 1.
    pub fn line_in_file(&self, line: usize) -> usize {
        let mut before = 0;
        for piece in &self.pieces {
            if line <= before + piece.lines {
                return piece.line + line.saturating_sub(before + 1);
            }
            before += piece.lines;
        }
        line
    }
}

/// Takes a file apart, in linear time.
pub fn split(file: &[u8]) -> Split {
    let mut reader = Reader::default();
    let mut lines = Logical {
        file,
        at: if file.starts_with(b"\xEF\xBB\xBF") {
            3
        } else {
            0
        },
        line: 1,
    };
    for line in lines.by_ref() {
        if let Err(rule) = reader.take(&line) {
            reader.found.broken = Some((line.piece.line, rule));
            break;
        }
    }
    if reader.found.broken.is_none() && !reader.open.is_empty() {
        reader.found.broken = Some((
            lines.line.saturating_sub(1).max(1),
            "a component does not end",
        ));
    }
    reader.finish(file)
}

/// An unfolded line, as far as it must be read.
struct LogicalLine {
    piece: Piece,
    text: String,
}

impl LogicalLine {
    fn name(&self) -> String {
        let end = self.text.find([':', ';']).unwrap_or(self.text.len());
        self.text[..end].trim_ascii().to_ascii_uppercase()
    }

    fn value(&self) -> &str {
        let mut quoted = false;
        let colon = self.text.bytes().position(|byte| {
            quoted ^= byte == b'"';
            byte == b':' && !quoted
        });
        colon.map_or("", |at| self.text[at + 1..].trim_ascii())
    }

    /// The value of a TZID parameter.
    fn zone(&self) -> Option<&str> {
        let head = &self.text[..self.text.len() - self.value().len()];
        let upper = head.to_ascii_uppercase();
        let at = upper.find(";TZID=")? + ";TZID=".len();
        let rest = &head[at..];
        match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => rest.split([';', ':', ',']).next(),
        }
    }
}

struct Logical<'a> {
    file: &'a [u8],
    at: usize,
    line: usize,
}

impl Logical<'_> {
    fn physical(&mut self) {
        let rest = &self.file[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        self.at += end.map_or(rest.len(), |end| end + 1);
        self.line += 1;
    }
}

impl Iterator for Logical<'_> {
    type Item = LogicalLine;

    fn next(&mut self) -> Option<LogicalLine> {
        if self.at >= self.file.len() {
            return None;
        }
        let (start, line) = (self.at, self.line);
        self.physical();
        let mut text = self.file[start..self.at].trim_ascii_end().to_vec();
        while matches!(self.file.get(self.at), Some(b' ' | b'\t')) {
            let from = self.at + 1;
            self.physical();
            let piece = &self.file[from..self.at];
            let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
            text.extend_from_slice(piece.strip_suffix(b"\r").unwrap_or(piece));
        }
        let piece = Piece {
            span: Span {
                start,
                end: self.at,
            },
            line,
            lines: self.line - line,
        };
        // only names and UIDs are read from it; what is no UTF-8 is refused with its object
        let text = String::from_utf8_lossy(&text).into_owned();
        Some(LogicalLine { piece, text })
    }
}

/// A component directly within a VCALENDAR.
struct Part {
    piece: Piece,
    name: String,
    uid: Option<String>,
    zones: HashSet<String>,
    calendar: usize,
}

/// The lines around the components of one VCALENDAR.
#[derive(Default)]
struct Wrapper {
    before: Vec<Piece>,
    end: Option<Piece>,
    /// Whether a line of `OF_THE_FILE` is left out.
    dropped: bool,
}

#[derive(Default)]
struct Reader {
    found: Split,
    open: Vec<String>,
    wrappers: Vec<Wrapper>,
    parts: Vec<Part>,
}

impl Reader {
    fn take(&mut self, line: &LogicalLine) -> Result<(), &'static str> {
        if line.text.trim_ascii().is_empty() {
            if let (2.., Some(part)) = (self.open.len(), self.parts.last_mut()) {
                grow(&mut part.piece, line.piece);
            }
            return Ok(());
        }
        let name = line.name();
        let value = line.value().to_ascii_uppercase();
        match (name.as_str(), self.open.len()) {
            ("BEGIN", 0) if value == "VCALENDAR" => {
                self.wrappers.push(Wrapper::default());
                self.wrapper().before.push(line.piece);
            }
            (_, 0) => return Err("the text does not begin with a VCALENDAR"),
            ("BEGIN", 1) => self.parts.push(Part {
                piece: line.piece,
                name: value.clone(),
                uid: None,
                zones: HashSet::new(),
                calendar: self.wrappers.len() - 1,
            }),
            ("END", 1) => self.wrapper().end = Some(line.piece),
            (_, 1) => self.of_the_calendar(&name, line),
            (_, depth) => {
                let part = self.parts.last_mut().expect("a component is open");
                grow(&mut part.piece, line.piece);
                if depth == 2 && name == part_id(&part.name) && part.uid.is_none() {
                    part.uid = Some(line.value().to_owned());
                }
                part.zones.extend(line.zone().map(str::to_owned));
            }
        }
        match name.as_str() {
            "BEGIN" => self.open.push(value),
            "END" if self.open.pop().is_none_or(|open| open != value) => {
                return Err("END names another component than BEGIN");
            }
            _ => {}
        }
        Ok(())
    }

    fn wrapper(&mut self) -> &mut Wrapper {
        self.wrappers.last_mut().expect("a VCALENDAR is open")
    }

    fn of_the_calendar(&mut self, name: &str, line: &LogicalLine) {
        if !OF_THE_FILE.contains(&name) {
            return self.wrapper().before.push(line.piece);
        }
        self.wrapper().dropped = true;
        let told = match name {
            "X-WR-CALNAME" | "NAME" => &mut self.found.title,
            "X-WR-CALDESC" | "DESCRIPTION" => &mut self.found.description,
            "X-APPLE-CALENDAR-COLOR" | "COLOR" => &mut self.found.color,
            _ => return,
        };
        let text = line.value().replace("\\n", "\n").replace("\\N", "\n");
        let text = text.replace("\\,", ",").replace("\\;", ";");
        if !text.trim().is_empty() {
            told.get_or_insert(text.trim().to_owned());
        }
    }

    fn finish(mut self, file: &[u8]) -> Split {
        // a component that does not end is in no object
        if !self.open.is_empty() && self.open.len() > 1 {
            self.parts.pop();
        }
        let mut groups: Vec<(Option<String>, Vec<usize>)> = Vec::new();
        let mut by_uid: HashMap<String, usize> = HashMap::new();
        let mut zones: HashMap<String, usize> = HashMap::new();
        for (number, part) in self.parts.iter().enumerate() {
            match (&part.uid, part.name == "VTIMEZONE") {
                (Some(id), true) => {
                    zones.entry(id.clone()).or_insert(number);
                }
                (None, true) => {}
                (Some(uid), false) => {
                    let at = *by_uid.entry(uid.clone()).or_insert(groups.len());
                    if at == groups.len() {
                        groups.push((Some(uid.clone()), Vec::new()));
                    }
                    groups[at].1.push(number);
                }
                (None, false) => groups.push((None, vec![number])),
            }
        }
        let whole = self.wrappers.len() == 1 && !self.wrappers[0].dropped;
        if groups.len() <= 1 && whole && self.found.broken.is_none() {
            let uid = groups.pop().and_then(|(uid, _)| uid);
            self.found.objects = vec![whole_file(uid, file)];
            return self.found;
        }
        let object = |(uid, parts): (Option<String>, Vec<usize>)| self.object(uid, &parts, &zones);
        let objects: Vec<_> = groups.into_iter().map(object).collect();
        self.found.objects = objects;
        self.found
    }

    fn object(
        &self,
        uid: Option<String>,
        parts: &[usize],
        zones: &HashMap<String, usize>,
    ) -> SplitObject {
        let wrapper = &self.wrappers[self.parts[parts[0]].calendar];
        let named = parts.iter().flat_map(|part| &self.parts[*part].zones);
        let mut needed: Vec<usize> = named.filter_map(|id| zones.get(id).copied()).collect();
        needed.sort_unstable();
        needed.dedup();
        let mut pieces = wrapper.before.clone();
        pieces.extend(
            needed
                .iter()
                .chain(parts)
                .map(|part| self.parts[*part].piece),
        );
        pieces.extend(wrapper.end);
        let unended = wrapper.end.is_none();
        SplitObject {
            uid,
            pieces,
            unended,
        }
    }
}

fn grow(piece: &mut Piece, more: Piece) {
    piece.span.end = more.span.end;
    piece.lines += more.lines;
}

/// What a component is told apart by.
fn part_id(component: &str) -> &'static str {
    match component {
        "VTIMEZONE" => "TZID",
        _ => "UID",
    }
}

fn whole_file(uid: Option<String>, file: &[u8]) -> SplitObject {
    let span = Span {
        start: 0,
        end: file.len(),
    };
    let pieces = vec![Piece {
        span,
        line: 1,
        lines: usize::MAX / 2,
    }];
    SplitObject {
        uid,
        pieces,
        unended: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ical::accept::accept;
    use crate::ical::tree::Calendar;

    const HEAD: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\n";

    fn event(uid: &str, more: &str) -> String {
        format!("BEGIN:VEVENT\r\nUID:{uid}\r\nDTSTART:20240101T100000Z\r\n{more}END:VEVENT\r\n")
    }

    fn zone(id: &str) -> String {
        format!("BEGIN:VTIMEZONE\r\nTZID:{id}\r\nEND:VTIMEZONE\r\n")
    }

    fn texts(file: &str) -> Vec<String> {
        let found = split(file.as_bytes());
        let text =
            |object: &SplitObject| String::from_utf8(object.bytes(file.as_bytes())).expect("UTF-8");
        found.objects.iter().map(text).collect()
    }

    #[test]
    fn one_object_stays_as_it_is() {
        let file = format!(
            "{HEAD}{}{}{}\r\nEND:VCALENDAR",
            zone("unused"),
            event("1", "RRULE:FREQ=DAILY\r\n"),
            event("1", "RECURRENCE-ID:20240102T100000Z\r\n")
        );
        assert_eq!(texts(&file), [file]);
    }

    #[test]
    fn many_become_one_each_with_their_overrides_and_zones() {
        let far = "DTEND;X-A=\"a:b\";TZID=\"Far\r\n  away\":20240101T120000\r\n";
        let changed = event("a", "RECURRENCE-ID:20240102T100000Z\r\n");
        let file = format!(
            "{HEAD}X-WR-CALNAME:Home\\, sweet\r\nMETHOD:PUBLISH\r\n{}{}{}{}{changed}\r\nEND:VCALENDAR\r\n",
            zone("Near"),
            event("a", "RRULE:FREQ=DAILY\r\n"),
            zone("Far away"),
            event("b", far),
        );
        let found = texts(&file);
        let end = "END:VCALENDAR\r\n";
        let first = format!("{HEAD}{}{changed}{end}", event("a", "RRULE:FREQ=DAILY\r\n"));
        let second = format!("{HEAD}{}{}{end}", zone("Far away"), event("b", far));
        assert_eq!(found, [first, second]);
        for text in &found {
            let calendar = Calendar::parse(text.as_bytes()).expect("it reads");
            accept(&calendar).expect("it is accepted");
        }
        let told = split(file.as_bytes());
        assert_eq!(told.title.as_deref(), Some("Home, sweet"));
        // line 5 of the second is its zone's TZID, the 16th of the file
        assert_eq!(found[1].lines().nth(4), Some("TZID:Far away"));
        let line = told.objects[1].line_in_file(5);
        assert_eq!(file.lines().nth(line - 1), Some("TZID:Far away"));
    }

    #[test]
    fn what_breaks_off_loses_no_more_than_its_end() {
        let file = format!("{HEAD}{}BEGIN:VEVENT\r\nUID:2\r\n", event("1", ""));
        let found = split(file.as_bytes());
        assert_eq!(found.objects.len(), 1);
        let whole = format!("{HEAD}{}END:VCALENDAR\r\n", event("1", ""));
        assert_eq!(texts(&file), [whole]);
        assert_eq!(found.broken, Some((9, "a component does not end")));
        for (text, rule) in [
            ("hello", "the text does not begin with a VCALENDAR"),
            (
                "BEGIN:VCALENDAR\nEND:VEVENT\n",
                "END names another component than BEGIN",
            ),
        ] {
            assert_eq!(
                split(text.as_bytes()).broken.map(|(_, rule)| rule),
                Some(rule)
            );
        }
        let two = format!(
            "{HEAD}{0}END:VCALENDAR\r\n{HEAD}{1}END:VCALENDAR\r\n",
            event("1", ""),
            event("2", "")
        );
        assert_eq!(texts(&two).len(), 2);
    }
}
