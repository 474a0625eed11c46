//! What may be stored: the rules for a calendar object resource (RFC 4791 sections 4.1 and
//! 5.3.2.1), on top of what `tree` already refused.
//!
//! As much as possible is accepted, since the bytes are stored as they came and real files are
//! odd: no VERSION or PRODID, no VTIMEZONE for a TZID (RFC 7809 allows it), an end before its
//! start (it counts as no duration), empty optional values, several overrides of one instance
//! (each counts as an instance of its own), overrides without their master. Refused is what
//! would make the object ambiguous: two kinds, two UIDs, two masters, a time that is no time.

use std::fmt;

use super::kind::ComponentKind;
use super::line::{IcalError, Property};
use super::recur::Rule;
use super::tree::{Calendar, Component};
use super::value;
use crate::limits;

/// What the rest of the server needs to know of an accepted object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The UID all its components share, unescaped, without spaces around it.
    pub uid: String,
    /// Their kind.
    pub kind: ComponentKind,
    /// The most ATTENDEE properties in one component
    /// (CALDAV:max-attendees-per-instance, RFC 4791 section 5.2.9).
    pub attendees_max: usize,
    /// Components that are not time zones: the master and its overrides.
    pub components: usize,
    /// Whether there is a component without RECURRENCE-ID.
    pub has_master: bool,
    /// Whether the master has an RRULE or RDATE.
    pub recurring: bool,
}

/// Why an object is not accepted: the precondition of RFC 4791 section 5.3.2.1 it fails, and a
/// reason without content of the object, fit to be sent and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// CALDAV:valid-calendar-data.
    ValidCalendarData {
        /// Line of the received text, from 1.
        line: usize,
        /// The broken rule.
        reason: &'static str,
    },
    /// CALDAV:valid-calendar-object-resource.
    ValidCalendarObjectResource {
        /// Line of the received text, from 1.
        line: usize,
        /// The broken rule.
        reason: &'static str,
    },
    /// CALDAV:supported-calendar-component: a kind no calendar of this server holds.
    SupportedCalendarComponent {
        /// Line of the received text, from 1.
        line: usize,
    },
    /// CALDAV:supported-rscale (RFC 7529): a rule whose instances are not computed here.
    SupportedRscale {
        /// Line of the received text, from 1.
        line: usize,
        /// The broken rule.
        reason: &'static str,
    },
}

impl Refusal {
    /// The line of the received text, from 1.
    pub fn line(&self) -> usize {
        match self {
            Refusal::ValidCalendarData { line, .. }
            | Refusal::ValidCalendarObjectResource { line, .. }
            | Refusal::SupportedCalendarComponent { line }
            | Refusal::SupportedRscale { line, .. } => *line,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::ValidCalendarData { line, reason }
            | Refusal::ValidCalendarObjectResource { line, reason }
            | Refusal::SupportedRscale { line, reason } => {
                write!(formatter, "line {line}: {reason}")
            }
            Refusal::SupportedCalendarComponent { line } => {
                write!(
                    formatter,
                    "line {line}: a component is of a kind that is not supported"
                )
            }
        }
    }
}
impl std::error::Error for Refusal {}

impl From<IcalError> for Refusal {
    fn from(error: IcalError) -> Refusal {
        Refusal::ValidCalendarData {
            line: error.line,
            reason: error.rule,
        }
    }
}

/// Checks a calendar that was read.
pub fn accept(calendar: &Calendar) -> Result<Facts, Refusal> {
    if let Some(further) = calendar.further.first() {
        return Err(object(further.line, "there is more than one VCALENDAR"));
    }
    calendar_properties(&calendar.root)?;
    let mut facts: Option<Facts> = None;
    for component in &calendar.root.components {
        // RFC 5545 section 3.6: components one does not know are to be ignored.
        if component.name == "VTIMEZONE" || component.name.starts_with("X-") {
            continue;
        }
        let found = component_facts(component)?;
        facts = Some(match facts {
            Some(facts) => merge(facts, found, component.line)?,
            None => found,
        });
    }
    facts.ok_or(object(
        calendar.root.line,
        "there is no component besides time zones",
    ))
}

fn object(line: usize, reason: &'static str) -> Refusal {
    Refusal::ValidCalendarObjectResource { line, reason }
}

fn calendar_properties(root: &Component) -> Result<(), Refusal> {
    if let Some(method) = root.property("METHOD") {
        return Err(object(method.line, "METHOD may not be stored"));
    }
    for version in root.properties("VERSION") {
        let text = version.value.trim_ascii();
        // It may be a range, "minimum;maximum" (RFC 5545 section 3.7.4).
        if !text.is_empty() && !text.split(';').any(|part| part.trim_ascii() == "2.0") {
            return Err(data(version.line, "VERSION is not 2.0"));
        }
    }
    Ok(())
}

fn data(line: usize, reason: &'static str) -> Refusal {
    Refusal::ValidCalendarData { line, reason }
}

fn component_facts(component: &Component) -> Result<Facts, Refusal> {
    let line = component.line;
    let kind = ComponentKind::parse(&component.name)
        .ok_or(Refusal::SupportedCalendarComponent { line })?;
    let uid = only(component, "UID")?.map(|uid| uid.text_value().trim().to_owned());
    let uid = uid
        .filter(|uid| !uid.is_empty())
        .ok_or(object(line, "a component has no UID"))?;
    if uid.len() > limits::UID_BYTES {
        return Err(object(line, "a UID is longer than 2048 bytes"));
    }
    times(component, kind)?;
    rules(component)?;
    let has_master = component.property("RECURRENCE-ID").is_none();
    let repeats = component
        .property("RRULE")
        .or(component.property("RDATE"))
        .is_some();
    Ok(Facts {
        uid,
        kind,
        attendees_max: component.properties("ATTENDEE").count(),
        components: 1,
        has_master,
        recurring: has_master && repeats,
    })
}

/// Facts with those of one more component, which begins on `line`.
fn merge(facts: Facts, more: Facts, line: usize) -> Result<Facts, Refusal> {
    if facts.kind != more.kind {
        return Err(object(line, "there are components of different kinds"));
    }
    if facts.uid != more.uid {
        return Err(object(line, "there are components with different UIDs"));
    }
    if facts.has_master && more.has_master {
        return Err(object(
            line,
            "there are several components without RECURRENCE-ID",
        ));
    }
    Ok(Facts {
        attendees_max: facts.attendees_max.max(more.attendees_max),
        components: facts.components + more.components,
        has_master: facts.has_master || more.has_master,
        recurring: facts.recurring || more.recurring,
        ..facts
    })
}

/// The one property of that name, if there is one.
fn only<'a>(
    component: &'a Component<'a>,
    name: &'a str,
) -> Result<Option<&'a Property<'a>>, Refusal> {
    let mut properties = component.properties(name);
    let first = properties.next();
    match properties.next() {
        Some(second) => Err(data(
            second.line,
            "a property that may stand once stands twice",
        )),
        None => Ok(first),
    }
}

fn times(component: &Component, kind: ComponentKind) -> Result<(), Refusal> {
    let start = only(component, "DTSTART")?;
    if kind == ComponentKind::Event && start.is_none() {
        return Err(data(component.line, "a VEVENT has no DTSTART"));
    }
    for (name, reason) in [
        ("DTSTART", "DTSTART is neither a date nor a date-time"),
        ("DTEND", "DTEND is neither a date nor a date-time"),
        ("DUE", "DUE is neither a date nor a date-time"),
        (
            "RECURRENCE-ID",
            "RECURRENCE-ID is neither a date nor a date-time",
        ),
    ] {
        let Some(property) = only(component, name)? else {
            continue;
        };
        let required =
            name == "RECURRENCE-ID" || (name == "DTSTART" && kind == ComponentKind::Event);
        let absent = property.value.trim_ascii().is_empty() && !required;
        if !absent && value::time(property).is_none() {
            return Err(data(property.line, reason));
        }
    }
    if let Some(duration) = only(component, "DURATION")? {
        let absent = duration.value.trim_ascii().is_empty();
        if !absent && value::duration_of(component, "DURATION").is_none() {
            return Err(data(duration.line, "DURATION is not a duration"));
        }
    }
    Ok(())
}

/// A rule that cannot be read, or is of a calendar system that is not computed here, would make
/// every later answer a guess.
fn rules(component: &Component) -> Result<(), Refusal> {
    for (name, reason) in [
        ("RRULE", "RRULE is not a recurrence rule"),
        ("EXRULE", "EXRULE is not a recurrence rule"),
    ] {
        for property in component.properties(name) {
            if property.value.trim_ascii().is_empty() {
                continue;
            }
            scale(property)?;
            if Rule::parse(&property.value).is_err() {
                return Err(data(property.line, reason));
            }
        }
    }
    Ok(())
}

/// Of RFC 7529, only what means the same as a rule of RFC 5545 is computed here: RSCALE=GREGORIAN,
/// and SKIP=OMIT or none. Asked before the rule is read, since other calendar systems write parts
/// of their own (BYMONTH=5L).
fn scale(property: &Property) -> Result<(), Refusal> {
    let part = |wanted: &str| {
        property.value.split(';').find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let found = name.trim_ascii().eq_ignore_ascii_case(wanted);
            found.then_some(value.trim_ascii())
        })
    };
    let refused = |reason| {
        let line = property.line;
        Err(Refusal::SupportedRscale { line, reason })
    };
    let Some(scale) = part("RSCALE") else {
        return Ok(());
    };
    if !scale.eq_ignore_ascii_case("GREGORIAN") {
        return refused("RSCALE is not GREGORIAN");
    }
    match part("SKIP") {
        Some(skip) if !skip.eq_ignore_ascii_case("OMIT") => refused("SKIP is not OMIT"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(inner: &str) -> Result<Facts, Refusal> {
        let text = format!("BEGIN:VCALENDAR\n{inner}\nEND:VCALENDAR\n");
        accept(&Calendar::parse(text.as_bytes())?)
    }

    fn event(lines: &str) -> String {
        format!("BEGIN:VEVENT\nUID:1\nDTSTART:20240101T100000Z\n{lines}\nEND:VEVENT\n")
    }

    #[test]
    fn accepted() {
        let zone = "BEGIN:VTIMEZONE\nTZID:X\nEND:VTIMEZONE";
        let master = event("RRULE:FREQ=DAILY\nATTENDEE:mailto:a@b\nATTENDEE:mailto:c@d");
        let changed = event("RECURRENCE-ID:20240102T100000Z");
        let facts = check(&format!(
            "VERSION:2.0\n{zone}\n{changed}\n{master}\n{changed}"
        ))
        .expect("accepted");
        let expected = Facts {
            uid: "1".into(),
            kind: ComponentKind::Event,
            attendees_max: 2,
            components: 3,
            has_master: true,
            recurring: true,
        };
        assert_eq!(facts, expected);
        let detached = check(&changed).expect("overrides alone are accepted");
        assert!(!detached.has_master && !detached.recurring);
        for odd in [
            "DTEND:20230101T000000Z",
            "DTEND:\nDURATION:",
            "RRULE:RSCALE=GREGORIAN;FREQ=YEARLY",
            "RRULE:FREQ=MONTHLY;SKIP=omit;rscale=gregorian",
            "DTEND:20240101T110000Z\nDURATION:PT1H",
            "GEO:\nBEGIN:X-FOO\nEND:X-FOO",
            "DTEND;TZID=Nowhere:20240101T000000",
        ] {
            assert!(check(&event(odd)).is_ok(), "{odd}");
        }
        let todo = "BEGIN:VTODO\nUID: a\\,b \nDUE:\nEND:VTODO\nBEGIN:X-MORE\nEND:X-MORE";
        assert_eq!(check(todo).expect("accepted").uid, "a,b");
        assert!(check("VERSION:1.0;2.0\nBEGIN:VFREEBUSY\nUID:1\nEND:VFREEBUSY").is_ok());
    }

    #[test]
    fn refused_as_object() {
        let master = event("");
        let cases = [
            (
                format!("METHOD:PUBLISH\n{master}"),
                2,
                "METHOD may not be stored",
            ),
            (
                "BEGIN:VTIMEZONE\nEND:VTIMEZONE".into(),
                1,
                "there is no component besides time zones",
            ),
            (
                format!("{master}BEGIN:VTODO\nUID:1\nEND:VTODO"),
                7,
                "there are components of different kinds",
            ),
            (
                format!("{master}{}", master.replace("UID:1", "UID:2")),
                7,
                "there are components with different UIDs",
            ),
            (
                format!("{master}{master}"),
                7,
                "there are several components without RECURRENCE-ID",
            ),
            ("BEGIN:VTODO\nEND:VTODO".into(), 2, "a component has no UID"),
            (
                "BEGIN:VTODO\nUID: \nEND:VTODO".into(),
                2,
                "a component has no UID",
            ),
            (
                format!("{master}END:VCALENDAR\nBEGIN:VCALENDAR"),
                8,
                "there is more than one VCALENDAR",
            ),
        ];
        for (text, line, reason) in cases {
            assert_eq!(check(&text), Err(object(line, reason)), "{text}");
        }
        assert_eq!(
            check("BEGIN:VPOLL\nUID:1\nEND:VPOLL"),
            Err(Refusal::SupportedCalendarComponent { line: 2 })
        );
    }

    #[test]
    fn refused_as_data() {
        let cases = [
            (
                format!("VERSION:1.0\n{}", event("")),
                2,
                "VERSION is not 2.0",
            ),
            (
                "BEGIN:VEVENT\nUID:1\nEND:VEVENT".into(),
                2,
                "a VEVENT has no DTSTART",
            ),
            (
                "BEGIN:VEVENT\nUID:1\nDTSTART:\nEND:VEVENT".into(),
                4,
                "DTSTART is neither a date nor a date-time",
            ),
            (
                event("DTEND:tomorrow"),
                5,
                "DTEND is neither a date nor a date-time",
            ),
            (
                event("DUE:20240230"),
                5,
                "DUE is neither a date nor a date-time",
            ),
            (
                event("RECURRENCE-ID:"),
                5,
                "RECURRENCE-ID is neither a date nor a date-time",
            ),
            (event("DURATION:1H"), 5, "DURATION is not a duration"),
            (
                event("RRULE:FREQ=SOMETIMES"),
                5,
                "RRULE is not a recurrence rule",
            ),
            // SKIP needs an RSCALE (RFC 7529 section 4.1)
            (
                event("RRULE:FREQ=MONTHLY;SKIP=FORWARD"),
                5,
                "RRULE is not a recurrence rule",
            ),
            (
                event("DTSTART:20240101"),
                5,
                "a property that may stand once stands twice",
            ),
            ("x".into(), 2, "a line without a colon"),
        ];
        for (text, line, reason) in cases {
            assert_eq!(
                check(&text),
                Err(Refusal::ValidCalendarData { line, reason }),
                "{text}"
            );
        }
    }

    #[test]
    fn refused_as_another_calendar_system() {
        for (rule, reason) in [
            ("RSCALE=CHINESE;FREQ=YEARLY", "RSCALE is not GREGORIAN"),
            (
                "FREQ=YEARLY;BYMONTH=5L; rscale = hebrew",
                "RSCALE is not GREGORIAN",
            ),
            ("RSCALE=;FREQ=YEARLY", "RSCALE is not GREGORIAN"),
            (
                "RSCALE=GREGORIAN;SKIP=FORWARD;FREQ=MONTHLY",
                "SKIP is not OMIT",
            ),
            (
                "FREQ=MONTHLY;SKIP=BACKWARD;RSCALE=GREGORIAN",
                "SKIP is not OMIT",
            ),
        ] {
            for name in ["RRULE", "EXRULE"] {
                let refusal = check(&event(&format!("{name}:{rule}"))).expect_err(rule);
                assert_eq!(refusal, Refusal::SupportedRscale { line: 5, reason });
                assert_eq!(refusal.to_string(), format!("line 5: {reason}"));
            }
        }
    }
}
