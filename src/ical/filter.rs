//! The filter of a calendar-query (RFC 4791 section 9.7), as plain values that the dav floor
//! builds from XML, and its evaluation on one object.
//!
//! `test="anyof"` is borrowed from RFC 6352 section 10.5.1; without it everything must match.

use super::instances::Instances;
use super::line::{Parameter, Property};
use super::overlap::TimeRange;
use super::recur::RecurError;
use super::text::TextMatch;
use super::tree::{Calendar, Component};

/// How the conditions of one element combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Test {
    /// All must match.
    #[default]
    AllOf,
    /// One must match; none at all counts as a match.
    AnyOf,
}

/// A CALDAV:filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The condition on the VCALENDAR.
    pub root: CompFilter,
}

/// A CALDAV:comp-filter (RFC 4791 section 9.7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompFilter {
    /// The component's name, in any case.
    pub name: String,
    /// What is asked of it.
    pub condition: CompCondition,
}

/// What a comp-filter asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompCondition {
    /// That there is no such component (CALDAV:is-not-defined).
    NotDefined,
    /// That there is one for which these hold; without any, that there is one.
    Defined {
        /// An instance of it overlaps this.
        time_range: Option<TimeRange>,
        /// Conditions on its properties.
        properties: Vec<PropFilter>,
        /// Conditions on the components in it.
        components: Vec<CompFilter>,
        /// How they combine.
        test: Test,
    },
}

/// A CALDAV:prop-filter (RFC 4791 section 9.7.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropFilter {
    /// The property's name, in any case.
    pub name: String,
    /// What is asked of it.
    pub condition: PropCondition,
}

/// What a prop-filter asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropCondition {
    /// That there is no such property (CALDAV:is-not-defined).
    NotDefined,
    /// That there is one for which these hold; without any, that there is one.
    Defined {
        /// Its value lies in this.
        time_range: Option<TimeRange>,
        /// Its value, unfolded and unescaped, has these texts; RFC 4791 has one at most. A list
        /// (CATEGORIES) is matched as a whole, which finds what is in any of its items.
        texts: Vec<TextMatch>,
        /// Conditions on its parameters.
        parameters: Vec<ParamFilter>,
        /// How they combine.
        test: Test,
    },
}

/// A CALDAV:param-filter (RFC 4791 section 9.7.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamFilter {
    /// The parameter's name, in any case.
    pub name: String,
    /// What is asked of it.
    pub condition: ParamCondition,
}

/// What a param-filter asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParamCondition {
    /// That there is no such parameter (CALDAV:is-not-defined).
    NotDefined,
    /// That there is one.
    Defined,
    /// That one of its values has this text (negated: that none has).
    Text(TextMatch),
}

impl Filter {
    /// Whether the object matches. An error says that its recurrence is too complex to tell.
    pub fn matches(&self, calendar: &Calendar, times: &Instances<'_>) -> Result<bool, RecurError> {
        let mut path = Vec::new();
        let root = &calendar.root;
        match &self.root.condition {
            CompCondition::NotDefined => Ok(!self.root.name.eq_ignore_ascii_case(&root.name)),
            condition => Ok(self.root.name.eq_ignore_ascii_case(&root.name)
                && component_matches(condition, root, &mut path, times)?),
        }
    }

    /// The range, if this asks for nothing but an event that overlaps it (RFC 4791 section 7.8.1):
    /// what is known of an object's moments then decides.
    pub fn events_within(&self) -> Option<TimeRange> {
        let CompCondition::Defined {
            time_range: None,
            properties,
            components,
            ..
        } = &self.root.condition
        else {
            return None;
        };
        let ([], [event]) = (&properties[..], &components[..]) else {
            return None;
        };
        let named = |filter: &CompFilter, name: &str| filter.name.eq_ignore_ascii_case(name);
        match &event.condition {
            CompCondition::Defined {
                time_range,
                properties,
                components,
                ..
            } if properties.is_empty() && components.is_empty() => {
                time_range.filter(|_| named(&self.root, "VCALENDAR") && named(event, "VEVENT"))
            }
            _ => None,
        }
    }

    /// Time ranges an object must touch, each of them, to match: what `summary::extent` says
    /// of an object can rule it out before its body is read. Without any, nothing is ruled out.
    pub fn windows(&self) -> Vec<TimeRange> {
        let mut windows = Vec::new();
        collect_windows(&self.root, 0, &mut windows);
        windows
    }
}

/// Gathers the ranges that must be touched. Only those that an object's extent covers count: of
/// components with instances, their DTSTART, DTEND and DUE, and their alarms.
fn collect_windows(filter: &CompFilter, depth: usize, windows: &mut Vec<TimeRange>) {
    let CompCondition::Defined {
        time_range,
        properties,
        components,
        test,
    } = &filter.condition
    else {
        return;
    };
    let conditions = usize::from(time_range.is_some()) + properties.len() + components.len();
    if *test == Test::AnyOf && conditions > 1 {
        return;
    }
    let is_zone = filter.name.eq_ignore_ascii_case("VTIMEZONE");
    if (depth == 1 && !is_zone) || (depth == 2 && filter.name.eq_ignore_ascii_case("VALARM")) {
        windows.extend(*time_range);
    }
    if depth == 1 && !is_zone {
        windows.extend(properties.iter().filter_map(property_window));
    }
    if !is_zone {
        for component in components {
            collect_windows(component, depth + 1, windows);
        }
    }
}

fn property_window(filter: &PropFilter) -> Option<TimeRange> {
    let PropCondition::Defined {
        time_range,
        texts,
        parameters,
        test,
    } = &filter.condition
    else {
        return None;
    };
    let placed = ["DTSTART", "DTEND", "DUE"]
        .iter()
        .any(|name| filter.name.eq_ignore_ascii_case(name));
    let alone = *test == Test::AllOf || (texts.is_empty() && parameters.is_empty());
    time_range.filter(|_| placed && alone)
}

/// Whether one component among `scope`'s matches; `path` is the one of the scope.
fn scope_matches(
    filter: &CompFilter,
    scope: &Component,
    path: &mut Vec<usize>,
    times: &Instances<'_>,
) -> Result<bool, RecurError> {
    for (index, component) in scope.components.iter().enumerate() {
        if !filter.name.eq_ignore_ascii_case(&component.name) {
            continue;
        }
        if filter.condition == CompCondition::NotDefined {
            return Ok(false);
        }
        path.push(index);
        let found = component_matches(&filter.condition, component, path, times);
        path.pop();
        if found? {
            return Ok(true);
        }
    }
    Ok(filter.condition == CompCondition::NotDefined)
}

fn component_matches(
    condition: &CompCondition,
    component: &Component,
    path: &mut Vec<usize>,
    times: &Instances<'_>,
) -> Result<bool, RecurError> {
    let CompCondition::Defined {
        time_range,
        properties,
        components,
        test,
    } = condition
    else {
        return Ok(false);
    };
    // One answer that decides: the first failure of all, the first success of any. Times come
    // last, since they cost most.
    let decides = *test == Test::AnyOf;
    for filter in properties {
        if property_matches(filter, component, path, times)? == decides {
            return Ok(decides);
        }
    }
    for filter in components {
        if scope_matches(filter, component, path, times)? == decides {
            return Ok(decides);
        }
    }
    if let Some(range) = time_range
        && times.overlaps(path, *range)? == decides
    {
        return Ok(decides);
    }
    let asked = time_range.is_some() || !properties.is_empty() || !components.is_empty();
    Ok(!decides || !asked)
}

fn property_matches(
    filter: &PropFilter,
    component: &Component,
    path: &[usize],
    times: &Instances<'_>,
) -> Result<bool, RecurError> {
    let name = filter.name.to_ascii_uppercase();
    let PropCondition::Defined {
        time_range,
        texts,
        parameters,
        test,
    } = &filter.condition
    else {
        return Ok(component.property(&name).is_none());
    };
    // The effective DTEND or DUE stands in for one that DURATION expresses (RFC 4791 section 9.9).
    let effective = matches!(
        (&*component.name, name.as_str()),
        ("VEVENT", "DTEND") | ("VTODO", "DUE")
    );
    let stand_in = component.property(&name).is_none() && effective && time_range.is_some();
    let searched = if stand_in { "DURATION" } else { name.as_str() };
    let in_range = match time_range {
        Some(range) if component.property(searched).is_some() => {
            Some(times.property_overlaps(path, &name, *range)?)
        }
        Some(_) => return Ok(false),
        None => None,
    };
    let mut found = component.properties(searched);
    Ok(found.any(|property| {
        let texts = texts.iter().map(|text| text_matches(text, property));
        let parameters = parameters
            .iter()
            .map(|filter| parameter_matches(filter, property));
        let mut answers = in_range
            .into_iter()
            .chain(texts)
            .chain(parameters)
            .peekable();
        match test {
            Test::AllOf => answers.all(|answer| answer),
            Test::AnyOf => answers.peek().is_none() || answers.any(|answer| answer),
        }
    }))
}

fn text_matches(text: &TextMatch, property: &Property) -> bool {
    text.matches(std::iter::once(property.text_value().as_ref()))
}

fn parameter_matches(filter: &ParamFilter, property: &Property) -> bool {
    let named = |parameter: &&Parameter| parameter.name.eq_ignore_ascii_case(&filter.name);
    let mut parameters = property.parameters.iter().filter(named).peekable();
    match &filter.condition {
        ParamCondition::NotDefined => parameters.peek().is_none(),
        ParamCondition::Defined => parameters.peek().is_some(),
        ParamCondition::Text(text) => {
            parameters.peek().is_some()
                && text.matches(
                    parameters
                        .flat_map(|found| found.values.iter())
                        .map(|value| &**value),
                )
        }
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
