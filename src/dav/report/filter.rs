//! CALDAV:filter (RFC 4791 section 9.7) from XML into `ical::filter`, with every rule checked
//! that the evaluation relies on.

use super::super::error::DavError;
use super::super::precondition::{SUPPORTED_COLLATION, SUPPORTED_FILTER, VALID_FILTER};
use crate::ical::filter::{
    CompCondition, CompFilter, Filter, ParamCondition, ParamFilter, PropCondition, PropFilter, Test,
};
use crate::ical::overlap::TimeRange;
use crate::ical::text::{Collation, TextMatch};
use crate::ical::time::{CalTime, Instant};
use crate::limits;
use crate::xml::{Element, caldav, ns};

/// Components that a time-range is defined for (RFC 4791 section 9.9, RFC 7953 section 7.2.1).
const TIMED: [&str; 6] = [
    "VEVENT",
    "VTODO",
    "VJOURNAL",
    "VFREEBUSY",
    "VALARM",
    "VAVAILABILITY",
];

const INVALID: DavError = DavError::Named(&VALID_FILTER);

/// Reads a CALDAV:filter.
///
/// # Errors
/// valid-filter, supported-filter (also for more than `limits::FILTER_ELEMENTS` elements),
/// supported-collation.
pub fn parse(filter: &Element) -> Result<Filter, DavError> {
    if elements_in(filter) > limits::FILTER_ELEMENTS {
        return Err(DavError::Named(&SUPPORTED_FILTER));
    }
    let mut elements = filter.elements();
    let (Some(root), None) = (elements.next(), elements.next()) else {
        return Err(INVALID);
    };
    if !root.is(caldav("comp-filter")) {
        return Err(INVALID);
    }
    let root = comp_filter(root)?;
    if !root.name.eq_ignore_ascii_case("VCALENDAR") {
        return Err(INVALID);
    }
    Ok(Filter { root })
}

/// The elements below one. Recurses, at most `limits::XML_DEPTH` deep.
fn elements_in(element: &Element) -> usize {
    element.elements().map(|inner| 1 + elements_in(inner)).sum()
}

/// The parts of a filter element, sorted by name; each at most as often as it may be.
#[derive(Default)]
struct Parts<'a> {
    not_defined: bool,
    time_range: Option<TimeRange>,
    texts: Vec<TextMatch>,
    components: Vec<&'a Element>,
    properties: Vec<&'a Element>,
    parameters: Vec<&'a Element>,
}

fn parts(filter: &Element) -> Result<Parts<'_>, DavError> {
    let mut parts = Parts::default();
    for element in filter.elements() {
        match element.name.local.as_str() {
            // extensions are as if they were not there (RFC 4918 section 17)
            _ if element.name.ns != ns::CALDAV => {}
            "is-not-defined" => parts.not_defined = true,
            "time-range" if parts.time_range.is_some() => return Err(INVALID),
            "time-range" => parts.time_range = Some(time_range(element)?),
            "text-match" => parts.texts.push(text_match(element)?),
            "comp-filter" => parts.components.push(element),
            "prop-filter" => parts.properties.push(element),
            "param-filter" => parts.parameters.push(element),
            _ => return Err(DavError::Named(&SUPPORTED_FILTER)),
        }
    }
    let more = parts.time_range.is_some()
        || !parts.texts.is_empty()
        || !parts.components.is_empty()
        || !parts.properties.is_empty()
        || !parts.parameters.is_empty();
    if (parts.not_defined && more) || parts.texts.len() > 1 {
        return Err(INVALID);
    }
    Ok(parts)
}

fn comp_filter(element: &Element) -> Result<CompFilter, DavError> {
    let name = name_of(element)?;
    let parts = parts(element)?;
    if !parts.texts.is_empty() || !parts.parameters.is_empty() {
        return Err(INVALID);
    }
    if parts.not_defined {
        return Ok(CompFilter {
            name,
            condition: CompCondition::NotDefined,
        });
    }
    if parts.time_range.is_some() && !TIMED.iter().any(|timed| name.eq_ignore_ascii_case(timed)) {
        return Err(DavError::Named(&SUPPORTED_FILTER));
    }
    let properties = parts
        .properties
        .into_iter()
        .map(prop_filter)
        .collect::<Result<_, _>>()?;
    let components = parts
        .components
        .into_iter()
        .map(comp_filter)
        .collect::<Result<_, _>>()?;
    let (time_range, test) = (parts.time_range, test_of(element)?);
    let condition = CompCondition::Defined {
        time_range,
        properties,
        components,
        test,
    };
    Ok(CompFilter { name, condition })
}

fn prop_filter(element: &Element) -> Result<PropFilter, DavError> {
    let name = name_of(element)?;
    let parts = parts(element)?;
    let both = parts.time_range.is_some() && !parts.texts.is_empty();
    if both || !parts.components.is_empty() || !parts.properties.is_empty() {
        return Err(INVALID);
    }
    if parts.not_defined {
        return Ok(PropFilter {
            name,
            condition: PropCondition::NotDefined,
        });
    }
    let parameters = parts
        .parameters
        .into_iter()
        .map(param_filter)
        .collect::<Result<_, _>>()?;
    let (time_range, texts, test) = (parts.time_range, parts.texts, test_of(element)?);
    let condition = PropCondition::Defined {
        time_range,
        texts,
        parameters,
        test,
    };
    Ok(PropFilter { name, condition })
}

fn param_filter(element: &Element) -> Result<ParamFilter, DavError> {
    let name = name_of(element)?;
    let mut parts = parts(element)?;
    let other = !parts.components.is_empty() || !parts.properties.is_empty();
    if other || !parts.parameters.is_empty() || parts.time_range.is_some() {
        return Err(INVALID);
    }
    let condition = match parts.texts.pop() {
        _ if parts.not_defined => ParamCondition::NotDefined,
        Some(text) => ParamCondition::Text(text),
        None => ParamCondition::Defined,
    };
    Ok(ParamFilter { name, condition })
}

fn name_of(element: &Element) -> Result<String, DavError> {
    let name = element.attribute("name").map(str::trim).unwrap_or_default();
    if name.is_empty() {
        Err(INVALID)
    } else {
        Ok(name.to_owned())
    }
}

fn test_of(element: &Element) -> Result<Test, DavError> {
    match element.attribute("test") {
        None | Some("allof") => Ok(Test::AllOf),
        Some("anyof") => Ok(Test::AnyOf),
        Some(_) => Err(INVALID),
    }
}

/// Reads a time-range: a start, an end or both, each a UTC date with time (section 9.9).
pub(super) fn time_range(element: &Element) -> Result<TimeRange, DavError> {
    let bound = |name: &str, absent: Instant| match element.attribute(name) {
        None => Ok(absent),
        Some(text) => match CalTime::parse(text, None) {
            Some(CalTime::Utc(time)) => Ok(Instant(time.seconds())),
            _ => Err(INVALID),
        },
    };
    let (start, end) = (bound("start", Instant::MIN)?, bound("end", Instant::MAX)?);
    if start >= end || (start == Instant::MIN && end == Instant::MAX) {
        return Err(INVALID);
    }
    Ok(TimeRange { start, end })
}

fn text_match(element: &Element) -> Result<TextMatch, DavError> {
    let collation = match element.attribute("collation") {
        None => Collation::default(),
        Some(name) => Collation::parse(name).ok_or(DavError::Named(&SUPPORTED_COLLATION))?,
    };
    let negate = match element.attribute("negate-condition") {
        None | Some("no") => false,
        Some("yes") => true,
        Some(_) => return Err(INVALID),
    };
    Ok(TextMatch {
        text: element.text(),
        collation,
        negate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{XmlLimits, parse as parse_xml};

    fn read(inner: &str) -> Result<Filter, DavError> {
        let xml = format!(
            r#"<C:filter xmlns:C="urn:ietf:params:xml:ns:caldav"><C:comp-filter name="VCALENDAR">{inner}</C:comp-filter></C:filter>"#
        );
        parse(&parse_xml(xml.as_bytes(), &XmlLimits::default()).unwrap())
    }

    #[test]
    fn rfc4791_7_8_1_time_range() {
        let filter = read(
            r#"<C:comp-filter name="VEVENT"><C:time-range start="20060104T000000Z" end="20060105T000000Z"/></C:comp-filter>"#,
        );
        let windows = filter.unwrap().windows();
        assert_eq!(
            windows,
            [TimeRange {
                start: Instant(1_136_332_800),
                end: Instant(1_136_419_200)
            }]
        );
    }

    #[test]
    fn conditions_are_bounded() {
        // with the comp-filter around them
        let most = r#"<C:prop-filter name="X"/>"#.repeat(limits::FILTER_ELEMENTS - 1);
        assert!(read(&most).is_ok());
        let unsupported = Err(DavError::Named(&SUPPORTED_FILTER));
        assert_eq!(
            read(&format!("{most}<C:prop-filter name='X'/>")),
            unsupported
        );
        let nested = r#"<C:prop-filter name="X"><C:text-match>y</C:text-match></C:prop-filter>"#;
        assert_eq!(
            read(&nested.repeat(limits::FILTER_ELEMENTS / 2)),
            unsupported
        );
    }

    #[test]
    fn refusals_name_their_condition() {
        let invalid = DavError::Named(&VALID_FILTER);
        let unsupported = DavError::Named(&SUPPORTED_FILTER);
        for (inner, expected) in [
            (r#"<C:comp-filter/>"#, &invalid),
            (
                r#"<C:comp-filter name="VEVENT"><C:time-range/></C:comp-filter>"#,
                &invalid,
            ),
            (
                r#"<C:comp-filter name="VEVENT"><C:time-range start="20060104"/></C:comp-filter>"#,
                &invalid,
            ),
            (
                r#"<C:comp-filter name="VEVENT"><C:time-range start="20060104T000000"/></C:comp-filter>"#,
                &invalid,
            ),
            (
                r#"<C:comp-filter name="VEVENT"><C:time-range start="20060104T000000Z" end="20060103T000000Z"/></C:comp-filter>"#,
                &invalid,
            ),
            (
                r#"<C:comp-filter name="VEVENT"><C:is-not-defined/><C:prop-filter name="UID"/></C:comp-filter>"#,
                &invalid,
            ),
            (
                r#"<C:prop-filter name="UID"><C:comp-filter name="X"/></C:prop-filter>"#,
                &invalid,
            ),
            (r#"<C:time-range start="20060104T000000Z"/>"#, &unsupported),
            (
                r#"<C:comp-filter name="VEVENT"><C:near/></C:comp-filter>"#,
                &unsupported,
            ),
            (
                r#"<C:prop-filter name="UID"><C:text-match collation="i;basic">x</C:text-match></C:prop-filter>"#,
                &DavError::Named(&SUPPORTED_COLLATION),
            ),
        ] {
            assert_eq!(read(inner).as_ref(), Err(expected), "{inner}");
        }
        let other = r#"<C:filter xmlns:C="urn:ietf:params:xml:ns:caldav"><C:comp-filter name="VEVENT"/></C:filter>"#;
        let other = parse_xml(other.as_bytes(), &XmlLimits::default()).unwrap();
        assert_eq!(parse(&other), Err(invalid));
    }
}
