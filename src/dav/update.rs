//! Setting and removing properties: what PROPPATCH, extended MKCOL and MKCALENDAR share.
//!
//! The instructions are done in the order of the document, all or none (RFC 4918 section 9.2).

use http::StatusCode;

use super::context::Kind;
use super::error::DavError;
use super::multistatus::write_status;
use super::precondition::{CANNOT_MODIFY_PROTECTED_PROPERTY, QUOTA_NOT_EXCEEDED};
use super::properties_calendar::parse_component_set;
use super::property::{Access, find};
use super::timezone;
use crate::ical::ComponentSet;
use crate::limits;
use crate::vault::Properties;
use crate::xml::{Element, Name, Writer, caldav, dav};

/// One instruction.
#[derive(Debug, Clone, Copy)]
pub enum Update<'a> {
    /// Make the property this element (RFC 4918 section 14.26).
    Set(&'a Element),
    /// Remove it; it need not be there (section 14.23).
    Remove(&'a Name),
}

impl Update<'_> {
    /// The property's name.
    pub fn name(&self) -> &Name {
        match self {
            Update::Set(element) => &element.name,
            Update::Remove(name) => name,
        }
    }
}

/// What the properties belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// What is there.
    Existing(Kind),
    /// What is about to be made. DAV:resourcetype and CALDAV:supported-calendar-component-set
    /// pass without being stored: the caller reads them (`component_set`).
    New(Kind),
}

/// The result of a list of updates.
#[derive(Debug)]
pub struct Updated {
    /// The stored properties afterwards; meaningful when `is_done`.
    pub properties: Properties,
    /// For each property, once, why it could not be set.
    pub outcomes: Vec<(Name, Option<DavError>)>,
}

/// Reads the DAV:set and DAV:remove elements of a DAV:propertyupdate, DAV:mkcol or
/// CALDAV:mkcalendar, in order.
///
/// # Errors
/// 400 for other content; 413 for more than `limits::PROPERTIES_PER_REQUEST` properties.
pub fn parse_updates(body: &Element) -> Result<Vec<Update<'_>>, DavError> {
    let mut updates = Vec::new();
    for instruction in body.elements() {
        let set = match () {
            () if instruction.is(dav("set")) => true,
            () if instruction.is(dav("remove")) => false,
            // unknown elements are as if they were not there (RFC 4918 section 17)
            () => continue,
        };
        let prop = instruction.child(dav("prop"));
        let prop = prop.ok_or(DavError::BadRequest("an instruction without DAV:prop"))?;
        updates.extend(prop.elements().map(|element| match set {
            true => Update::Set(element),
            false => Update::Remove(&element.name),
        }));
    }
    if updates.len() > limits::PROPERTIES_PER_REQUEST {
        return Err(DavError::TooLarge("too many properties"));
    }
    Ok(updates)
}

/// Does the updates on a copy of `before`. Nothing counts unless `Updated::is_done`.
pub fn apply_updates(before: &Properties, updates: &[Update<'_>], place: Place) -> Updated {
    let mut properties = before.clone();
    let mut outcomes: Vec<(Name, Option<DavError>)> = Vec::new();
    for update in updates {
        let refusal = apply(&mut properties, update, place).err();
        match outcomes.iter_mut().find(|(name, _)| name == update.name()) {
            Some((_, outcome)) => *outcome = outcome.take().or(refusal),
            None => outcomes.push((update.name().clone(), refusal)),
        }
    }
    let size = |(name, xml): (&Name, &String)| name.ns.len() + name.local.len() + xml.len();
    let grown = properties.len() > before.len() || properties != *before;
    if grown && properties.iter().map(size).sum::<usize>() > limits::PROPERTIES_BYTES {
        for (_, outcome) in &mut outcomes {
            outcome.get_or_insert(DavError::Named(&QUOTA_NOT_EXCEEDED));
        }
    }
    Updated {
        properties,
        outcomes,
    }
}

fn apply(properties: &mut Properties, update: &Update<'_>, place: Place) -> Result<(), DavError> {
    let (Place::Existing(kind) | Place::New(kind)) = place;
    match (find(update.name()).map(|row| (row.access, row.on)), update) {
        (Some((Access::AtCreation, _)), Update::Set(element)) if matches!(place, Place::New(_)) => {
            if element.is(caldav("supported-calendar-component-set")) {
                parse_component_set(element)?;
            }
            return Ok(());
        }
        (Some((Access::Protected | Access::AtCreation, _)), _) => {
            return Err(DavError::Named(&CANNOT_MODIFY_PROTECTED_PROPERTY));
        }
        (Some((Access::Stored(check), on)), Update::Set(element)) if on(kind) => check(element)?,
        // dead here: kept whatever it says
        _ => {}
    }
    if let Some(other) = timezone::counterpart(update.name())
        && kind == Kind::Calendar
    {
        properties.remove(&Name::from(other));
    }
    match update {
        Update::Set(element) => _ = properties.insert(element.name.clone(), element.to_xml()),
        Update::Remove(name) => _ = properties.remove(*name),
    }
    Ok(())
}

/// The components that the updates say a new calendar takes; none when they say nothing.
///
/// # Errors
/// supported-calendar-component for one that this server does not know.
pub fn component_set(updates: &[Update<'_>]) -> Result<Option<ComponentSet>, DavError> {
    let name = caldav("supported-calendar-component-set");
    let said = updates.iter().rev().find_map(|update| match update {
        Update::Set(element) if element.is(name) => Some(*element),
        _ => None,
    });
    said.map(parse_component_set).transpose()
}

impl Updated {
    /// Whether every update succeeded.
    pub fn is_done(&self) -> bool {
        self.outcomes.iter().all(|(_, refusal)| refusal.is_none())
    }

    /// The condition or reason of a refusal, for the log; none when done.
    pub fn refusal(&self) -> Option<&'static str> {
        let mut refused = self.outcomes.iter().filter_map(|(_, why)| why.as_ref());
        let known = refused.clone().find_map(DavError::condition);
        let otherwise = refused.next().map(|_| "a property cannot be set");
        known.map(|known| known.name.local).or(otherwise)
    }

    /// Writes a DAV:propstat for each status: 200 for all when done; else each refusal with its
    /// condition, and 424 for what would have been possible (RFC 4918 section 9.2.1).
    pub fn write_propstats(&self, writer: &mut Writer) {
        let rest: Vec<&Name> = self
            .outcomes
            .iter()
            .filter(|(_, refusal)| refusal.is_none())
            .map(|(name, _)| name)
            .collect();
        let status = if self.is_done() {
            StatusCode::OK
        } else {
            StatusCode::FAILED_DEPENDENCY
        };
        write_propstat(&rest, status, None, writer);
        let mut refused: Vec<(&DavError, Vec<&Name>)> = Vec::new();
        for (name, refusal) in &self.outcomes {
            let Some(refusal) = refusal else { continue };
            match refused.iter_mut().find(|(other, _)| *other == refusal) {
                Some((_, names)) => names.push(name),
                None => refused.push((refusal, vec![name])),
            }
        }
        for (refusal, names) in refused {
            write_propstat(&names, refusal.status(), Some(refusal), writer);
        }
    }
}

fn write_propstat(
    names: &[&Name],
    status: StatusCode,
    refusal: Option<&DavError>,
    writer: &mut Writer,
) {
    if names.is_empty() {
        return;
    }
    writer.start(dav("propstat"));
    writer.start(dav("prop"));
    for name in names {
        writer.name_empty(name);
    }
    writer.end();
    write_status(status, writer);
    if let Some(refusal) = refusal {
        refusal.write_error(writer);
    }
    writer.end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{XmlLimits, parse};

    fn update(before: &Properties, body: &str, place: Place) -> Updated {
        let xml = format!(
            r#"<D:propertyupdate xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:Z="z:">{body}</D:propertyupdate>"#
        );
        let body = parse(xml.as_bytes(), &XmlLimits::default()).unwrap();
        apply_updates(before, &parse_updates(&body).unwrap(), place)
    }

    const CALENDAR: Place = Place::Existing(Kind::Calendar);

    #[test]
    fn in_document_order() {
        let twice = "<D:set><D:prop><Z:a>1</Z:a></D:prop></D:set><D:remove><D:prop><Z:a/></D:prop></D:remove>\
            <D:set><D:prop><Z:a>2</Z:a></D:prop></D:set>";
        let updated = update(&Properties::new(), twice, CALENDAR);
        assert!(updated.is_done());
        assert_eq!(updated.outcomes.len(), 1);
        let values: Vec<&String> = updated.properties.values().collect();
        assert!(values.len() == 1 && values[0].contains(">2<"), "{values:?}");
    }

    #[test]
    fn rfc4918_9_2_1_one_refusal_fails_the_rest() {
        let body = "<D:set><D:prop><Z:a/><D:getetag>x</D:getetag></D:prop></D:set>";
        let updated = update(&Properties::new(), body, CALENDAR);
        assert!(!updated.is_done());
        let mut writer = Writer::document();
        writer.start(dav("response"));
        updated.write_propstats(&mut writer);
        let text = String::from_utf8(writer.finish()).unwrap();
        assert!(text.contains("424 Failed Dependency"), "{text}");
        assert!(
            text.contains("403 Forbidden</D:status><D:error><D:cannot-modify-protected-property/>"),
            "{text}"
        );
    }

    #[test]
    fn a_bad_time_zone_is_refused_on_a_calendar_and_dead_elsewhere() {
        let body = "<D:set><D:prop><C:calendar-timezone>x</C:calendar-timezone></D:prop></D:set>";
        assert!(!update(&Properties::new(), body, CALENDAR).is_done());
        assert!(update(&Properties::new(), body, Place::Existing(Kind::Plain)).is_done());
    }

    #[test]
    fn the_component_set_is_said_at_creation_only() {
        let body = r#"<D:set><D:prop><C:supported-calendar-component-set><C:comp name="VTODO"/></C:supported-calendar-component-set></D:prop></D:set>"#;
        assert!(!update(&Properties::new(), body, CALENDAR).is_done());
        let made = update(&Properties::new(), body, Place::New(Kind::Calendar));
        assert!(made.is_done() && made.properties.is_empty());
        let unknown = body.replace("VTODO", "VFOO");
        assert!(!update(&Properties::new(), &unknown, Place::New(Kind::Calendar)).is_done());
    }

    #[test]
    fn stored_properties_are_bounded() {
        let long = "x".repeat(limits::PROPERTIES_BYTES);
        let name = Name {
            ns: "z:".into(),
            local: "b".into(),
        };
        let before = Properties::from([(name, long)]);
        let more = "<D:set><D:prop><Z:a/></D:prop></D:set>";
        assert!(!update(&before, more, CALENDAR).is_done());
        let less = "<D:remove><D:prop><Z:b/></D:prop></D:remove>";
        assert!(update(&before, less, CALENDAR).is_done());
    }
}
