//! The tree of components and properties (RFC 5545 sections 3.4 and 3.6) over received bytes.
//!
//! No crate gives back the bytes it read, so this one does not try to write at all: it reads,
//! and every property and component says which bytes it came from. Limits hold before anything
//! else runs, reading is a loop and not a recursion, and the tree is at most
//! `limits::ICAL_DEPTH` deep, so that dropping and walking it is safe too.

use std::borrow::Cow;

use super::line::{IcalError, Property, Span, parse_property};
use super::lines::{Line, Lines};
use crate::limits;

/// A component with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component<'a> {
    /// Its name in upper case.
    pub name: Cow<'a, str>,
    /// Its own properties, in the order written.
    pub properties: Vec<Property<'a>>,
    /// The components inside it, in the order written.
    pub components: Vec<Component<'a>>,
    /// All its lines, from BEGIN to END.
    pub span: Span,
    /// Its BEGIN line.
    pub begin: Span,
    /// Its END line.
    pub end: Span,
    /// Where its BEGIN line is, from 1.
    pub line: usize,
}

impl<'a> Component<'a> {
    /// The first property of that name (upper case).
    pub fn property(&self, name: &str) -> Option<&Property<'a>> {
        self.properties
            .iter()
            .find(|property| property.name == name)
    }

    /// All properties of that name (upper case).
    pub fn properties<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Property<'a>> {
        self.properties
            .iter()
            .filter(move |property| property.name == name)
    }

    /// All components of that name (upper case) directly inside it.
    pub fn components<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Component<'a>> {
        self.components
            .iter()
            .filter(move |component| component.name == name)
    }
}

/// What was read: an iCalendar stream that begins with a VCALENDAR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar<'a> {
    /// The first VCALENDAR.
    pub root: Component<'a>,
    /// What follows it on the same level; a calendar object resource has nothing there
    /// (RFC 4791 section 4.1), an imported stream may (RFC 5545 section 3.4).
    pub further: Vec<Component<'a>>,
}

impl<'a> Calendar<'a> {
    /// Reads received bytes, in linear time. The error names the line and the rule.
    pub fn parse(bytes: &'a [u8]) -> Result<Calendar<'a>, IcalError> {
        let mut lines = Lines::new(bytes);
        let mut builder = Builder::new(bytes.len());
        while let Some(line) = lines.next_line()? {
            builder.line(&line)?;
        }
        builder.finish(lines.number())
    }
}

/// Bytes of a line with its folds, on average.
const LINE_BYTES: usize = 128;
/// As many properties as most components have.
const MANY: usize = 16;
/// How deep most objects are.
const FEW: usize = 3;

/// The state of reading: the components still open, outermost first.
struct Builder<'a> {
    open: Vec<Open<'a>>,
    /// The properties of the open components so far, those of the innermost last: each component
    /// takes its own when it ends, so that they move once.
    properties: Vec<Property<'a>>,
    roots: Vec<Component<'a>>,
    lines: usize,
    components: usize,
    parameters_left: usize,
}

/// A component that has not ended.
struct Open<'a> {
    name: Cow<'a, str>,
    components: Vec<Component<'a>>,
    begin: Span,
    line: usize,
    /// Where its own properties begin.
    first: usize,
}

impl<'a> Builder<'a> {
    fn new(bytes: usize) -> Self {
        Builder {
            open: Vec::with_capacity(FEW),
            properties: Vec::with_capacity((bytes / LINE_BYTES).min(MANY)),
            roots: Vec::new(),
            lines: 0,
            components: 0,
            parameters_left: limits::ICAL_PARAMETERS,
        }
    }

    fn line(&mut self, line: &Line<'a>) -> Result<(), IcalError> {
        let refuse = |rule| {
            Err(IcalError {
                line: line.number,
                rule,
            })
        };
        self.lines += 1;
        if self.lines > limits::ICAL_LINES {
            return refuse("too many lines");
        }
        let property = parse_property(line, &mut self.parameters_left)?;
        match &*property.name {
            "BEGIN" => self.begin(&property),
            "END" => self.end(&property),
            _ if self.open.is_empty() => refuse("a property stands outside of every component"),
            _ => {
                self.properties.push(property);
                Ok(())
            }
        }
    }

    fn begin(&mut self, property: &Property<'a>) -> Result<(), IcalError> {
        let refuse = |rule| {
            Err(IcalError {
                line: property.line,
                rule,
            })
        };
        self.components += 1;
        if self.components > limits::ICAL_COMPONENTS {
            return refuse("too many components");
        }
        if self.open.len() >= limits::ICAL_DEPTH {
            return refuse("components are nested too deeply");
        }
        let name = property.value.name();
        if name.is_empty() {
            return refuse("BEGIN names no component");
        }
        if self.open.is_empty() && self.roots.is_empty() && name != "VCALENDAR" {
            return refuse("the text does not begin with a VCALENDAR");
        }
        self.open.push(Open {
            name,
            components: Vec::new(),
            begin: property.span,
            line: property.line,
            first: self.properties.len(),
        });
        Ok(())
    }

    fn end(&mut self, property: &Property<'a>) -> Result<(), IcalError> {
        let refuse = |rule| IcalError {
            line: property.line,
            rule,
        };
        let ended = self.open.pop().ok_or(refuse("END without BEGIN"))?;
        if !property
            .value
            .trim_ascii()
            .eq_ignore_ascii_case(&ended.name)
        {
            return Err(refuse("END names another component than BEGIN"));
        }
        let component = Component {
            name: ended.name,
            properties: self.properties.drain(ended.first..).collect(),
            components: ended.components,
            span: Span {
                start: ended.begin.start,
                end: property.span.end,
            },
            begin: ended.begin,
            end: property.span,
            line: ended.line,
        };
        match self.open.last_mut() {
            Some(parent) => parent.components.push(component),
            None => self.roots.push(component),
        }
        Ok(())
    }

    fn finish(self, last_line: usize) -> Result<Calendar<'a>, IcalError> {
        let refuse = |rule| {
            Err(IcalError {
                line: last_line.max(1),
                rule,
            })
        };
        if !self.open.is_empty() {
            return refuse("a component does not end");
        }
        let mut roots = self.roots.into_iter();
        match roots.next() {
            Some(root) => Ok(Calendar {
                root,
                further: roots.collect(),
            }),
            None => refuse("there is no VCALENDAR"),
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
