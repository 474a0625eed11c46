//! Which kinds of calendar object there are, and sets of them
//! (CALDAV:supported-calendar-component-set, RFC 4791 section 5.2.3).

use serde::{Deserialize, Serialize};

/// The kind of component a calendar object resource holds. Stored: the order is fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ComponentKind {
    /// VEVENT.
    Event,
    /// VTODO.
    Todo,
    /// VJOURNAL.
    Journal,
    /// VFREEBUSY.
    FreeBusy,
    /// VAVAILABILITY (RFC 7953).
    Availability,
}

impl ComponentKind {
    /// All kinds.
    pub const ALL: [ComponentKind; 5] = [
        ComponentKind::Event,
        ComponentKind::Todo,
        ComponentKind::Journal,
        ComponentKind::FreeBusy,
        ComponentKind::Availability,
    ];

    /// The component's name in iCalendar.
    pub const fn as_str(self) -> &'static str {
        match self {
            ComponentKind::Event => "VEVENT",
            ComponentKind::Todo => "VTODO",
            ComponentKind::Journal => "VJOURNAL",
            ComponentKind::FreeBusy => "VFREEBUSY",
            ComponentKind::Availability => "VAVAILABILITY",
        }
    }

    /// The kind with this name, in any case.
    pub fn parse(name: &str) -> Option<ComponentKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(name))
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ComponentSet(u8);

impl ComponentSet {
    /// No kind.
    pub const EMPTY: ComponentSet = ComponentSet(0);

    /// The set with `kind` too.
    #[must_use]
    pub fn with(self, kind: ComponentKind) -> ComponentSet {
        ComponentSet(self.0 | kind.bit())
    }

    /// Whether `kind` is in it.
    pub fn contains(self, kind: ComponentKind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Whether no kind is in it.
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// Its kinds, in the order of `ComponentKind::ALL`.
    pub fn iter(self) -> impl Iterator<Item = ComponentKind> {
        ComponentKind::ALL
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<ComponentKind> for ComponentSet {
    fn from_iter<I: IntoIterator<Item = ComponentKind>>(kinds: I) -> Self {
        kinds
            .into_iter()
            .fold(ComponentSet::EMPTY, ComponentSet::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let set: ComponentSet = [ComponentKind::Journal, ComponentKind::Event]
            .into_iter()
            .collect();
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [ComponentKind::Event, ComponentKind::Journal]
        );
        assert!(
            !set.contains(ComponentKind::Todo) && !set.is_empty() && ComponentSet::EMPTY.is_empty()
        );
        assert_eq!(serde_json::to_string(&set).expect("a number"), "5");
        assert_eq!(ComponentKind::parse("vTodo"), Some(ComponentKind::Todo));
        assert_eq!(ComponentKind::parse("VTIMEZONE"), None);
    }
}
