//! The tree of components and properties (RFC 5545 sections 3.4 and 3.6) over received bytes.
//!
//! No crate gives back the bytes it read, so this one does not try to write at all: it reads,
//! and every property and component says which bytes it came from. Limits hold before anything
//! else runs, reading is a loop and not a recursion, and the tree is at most
//! `limits::ICAL_DEPTH` deep, so that dropping and walking it is safe too.

use super::line::{IcalError, Line, Lines, Property, Span, parse_property};
use crate::limits;

/// A component with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its name in upper case.
    pub name: String,
    /// Its own properties, in the order written.
    pub properties: Vec<Property>,
    /// The components inside it, in the order written.
    pub components: Vec<Component>,
    /// All its lines, from BEGIN to END.
    pub span: Span,
    /// Its BEGIN line.
    pub begin: Span,
    /// Its END line.
    pub end: Span,
    /// Where its BEGIN line is, from 1.
    pub line: usize,
}

impl Component {
    /// The first property of that name (upper case).
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties
            .iter()
            .find(|property| property.name == name)
    }

    /// All properties of that name (upper case).
    pub fn properties<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Property> {
        self.properties
            .iter()
            .filter(move |property| property.name == name)
    }

    /// All components of that name (upper case) directly inside it.
    pub fn components<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Component> {
        self.components
            .iter()
            .filter(move |component| component.name == name)
    }
}

/// What was read: an iCalendar stream that begins with a VCALENDAR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// The first VCALENDAR.
    pub root: Component,
    /// What follows it on the same level; a calendar object resource has nothing there
    /// (RFC 4791 section 4.1), an imported stream may (RFC 5545 section 3.4).
    pub further: Vec<Component>,
}

impl Calendar {
    /// Reads received bytes, in linear time. The error names the line and the rule.
    pub fn parse(bytes: &[u8]) -> Result<Calendar, IcalError> {
        let mut lines = Lines::new(bytes);
        let mut builder = Builder::new();
        while let Some(line) = lines.next_line()? {
            builder.line(&line)?;
        }
        builder.finish(lines.number())
    }
}

/// The state of reading: the components still open, outermost first.
struct Builder {
    open: Vec<Component>,
    roots: Vec<Component>,
    lines: usize,
    components: usize,
    parameters_left: usize,
}

impl Builder {
    fn new() -> Self {
        Builder {
            open: Vec::new(),
            roots: Vec::new(),
            lines: 0,
            components: 0,
            parameters_left: limits::ICAL_PARAMETERS,
        }
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), IcalError> {
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
        match property.name.as_str() {
            "BEGIN" => self.begin(&property),
            "END" => self.end(&property),
            _ => match self.open.last_mut() {
                Some(component) => {
                    component.properties.push(property);
                    Ok(())
                }
                None => refuse("a property stands outside of every component"),
            },
        }
    }

    fn begin(&mut self, property: &Property) -> Result<(), IcalError> {
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
        let name = property.value.trim_ascii().to_ascii_uppercase();
        if name.is_empty() {
            return refuse("BEGIN names no component");
        }
        if self.open.is_empty() && self.roots.is_empty() && name != "VCALENDAR" {
            return refuse("the text does not begin with a VCALENDAR");
        }
        self.open.push(Component {
            name,
            properties: Vec::new(),
            components: Vec::new(),
            span: property.span,
            begin: property.span,
            end: property.span,
            line: property.line,
        });
        Ok(())
    }

    fn end(&mut self, property: &Property) -> Result<(), IcalError> {
        let refuse = |rule| IcalError {
            line: property.line,
            rule,
        };
        let mut component = self.open.pop().ok_or(refuse("END without BEGIN"))?;
        if !property
            .value
            .trim_ascii()
            .eq_ignore_ascii_case(&component.name)
        {
            return Err(refuse("END names another component than BEGIN"));
        }
        component.end = property.span;
        component.span.end = property.span.end;
        match self.open.last_mut() {
            Some(parent) => parent.components.push(component),
            None => self.roots.push(component),
        }
        Ok(())
    }

    fn finish(self, last_line: usize) -> Result<Calendar, IcalError> {
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
