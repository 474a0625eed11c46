//! CALDAV:limit-recurrence-set and CALDAV:limit-freebusy-set (RFC 4791 sections 9.6.6 and
//! 9.6.7): the received bytes without the overrides, or the busy periods, outside of a range.

use super::edit::{Edit, changed_line};
use super::instances::{Entry, Instances};
use super::overlap::TimeRange;
use super::recur::RecurError;
use super::series::period_end;
use super::time::Period;
use super::tree::{Calendar, Component};
use super::zone::Zones;

/// Takes away the overrides that neither take place in `range` nor replace an instance there.
///
/// # Errors
/// When the recurrence is too complex to tell.
pub fn recurrence_set(
    calendar: &Calendar,
    instances: &Instances<'_>,
    range: TimeRange,
) -> Result<Vec<Edit>, RecurError> {
    let mut edits = Vec::new();
    for (index, component) in calendar.root.components.iter().enumerate() {
        let instance = matches!(instances.entries[index], Entry::Single { .. });
        if !instance || component.property("RECURRENCE-ID").is_none() {
            continue;
        }
        if !instances.overlaps(&[index], range)? && !instances.replaces_in(index, range)? {
            edits.push(Edit::remove(component.span));
        }
    }
    Ok(edits)
}

/// Takes away the FREEBUSY values that do not intersect `range`.
pub fn busy_set(calendar: &Calendar, zones: &Zones, range: TimeRange) -> Vec<Edit> {
    let busy = calendar.root.components("VFREEBUSY");
    busy.flat_map(|component| busy_of(component, zones, range))
        .collect()
}

fn busy_of(component: &Component, zones: &Zones, range: TimeRange) -> Vec<Edit> {
    let mut edits = Vec::new();
    for property in component.properties("FREEBUSY") {
        let zone = property.parameter_value("TZID");
        let inside = |item: &&str| {
            Period::parse(item, zone).is_some_and(|period| {
                range.overlaps_period(zones.instant(&period.start), period_end(&period, zones))
            })
        };
        let all = property.value.split(',').count();
        let kept: Vec<&str> = property.value.split(',').filter(inside).collect();
        if kept.is_empty() {
            edits.push(Edit::remove(property.span));
        } else if kept.len() < all {
            let kept = kept.join(",");
            let text = changed_line(&property.name, &[], &property.parameters, &[], &kept);
            let span = property.span;
            edits.push(Edit { span, text });
        }
    }
    edits
}
