//! Property values as times: the bridge from `line` (text) to `time` (values).

use super::line::Property;
use super::time::{CalDuration, CalTime, Period};
use super::tree::Component;

/// One value of an RDATE (RFC 5545 section 3.8.5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeOrPeriod {
    /// A DATE or DATE-TIME.
    Time(CalTime),
    /// A PERIOD.
    Period(Period),
}

/// The property's value as DATE or DATE-TIME, with its TZID.
pub fn time(property: &Property) -> Option<CalTime> {
    CalTime::parse(&property.value, property.parameter_value("TZID"))
}

/// The first readable value of the component's properties of that name.
pub fn time_of(component: &Component, name: &str) -> Option<CalTime> {
    component.properties(name).find_map(time)
}

/// The first readable duration of the component's properties of that name.
pub fn duration_of(component: &Component, name: &str) -> Option<CalDuration> {
    component
        .properties(name)
        .find_map(|property| CalDuration::parse(&property.value))
}

/// All readable times of a property with a list of them (EXDATE, RDATE, FREEBUSY); items that
/// cannot be read are left out.
pub fn list(property: &Property) -> impl Iterator<Item = TimeOrPeriod> {
    let zone = property.parameter_value("TZID");
    property.value.split(',').filter_map(move |item| {
        if item.contains('/') {
            return Period::parse(item, zone).map(TimeOrPeriod::Period);
        }
        CalTime::parse(item, zone).map(TimeOrPeriod::Time)
    })
}
