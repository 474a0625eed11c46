//! A calendar's own VTIMEZONE (RFC 5545 section 3.6.5), for a TZID that names no known zone.

use std::sync::Arc;

use parking_lot::Mutex;

use super::super::recur::{Onsets, RecurError};
use super::super::time::{DAY_SECONDS, Instant};
use super::{Observance, ZoneDefinition};

/// A zone that is computed from its observances.
#[derive(Debug)]
pub(super) struct CustomZone {
    pub(super) name: String,
    observances: Vec<Changes>,
    /// The last span looked up: questions come in clusters, and one lookup takes microseconds.
    last: Mutex<Option<Span>>,
}

#[derive(Debug)]
struct Changes {
    onsets: Onsets,
    offset_from: i64,
    offset_to: i64,
}

/// A time with one offset, between two changes.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: i64,
    to: i64,
    offset: i64,
}

impl CustomZone {
    /// `None` without an observance that can be evaluated.
    pub(super) fn new(definition: &ZoneDefinition) -> Option<Arc<CustomZone>> {
        let changes = |observance: &Observance| {
            let onsets = Onsets::new(
                observance.start,
                observance.offset_from,
                &observance.rules,
                &observance.dates,
            )?;
            Some(Changes {
                onsets,
                offset_from: i64::from(observance.offset_from),
                offset_to: i64::from(observance.offset_to),
            })
        };
        let observances: Option<Vec<Changes>> =
            definition.observances.iter().map(changes).collect();
        let observances = observances.filter(|observances| !observances.is_empty())?;
        let zone = CustomZone {
            name: definition.tzid.clone(),
            observances,
            last: Mutex::new(None),
        };
        // A definition that is too complex to evaluate is no definition.
        zone.look_up(0).ok()?;
        zone.look_up(4_102_444_800).ok()?;
        Some(Arc::new(zone))
    }

    /// Seconds east of UTC at an instant.
    pub(super) fn offset_at(&self, instant: i64) -> i64 {
        let mut last = self.last.lock();
        if let Some(span) = last.filter(|span| (span.from..span.to).contains(&instant)) {
            return span.offset;
        }
        match self.look_up(instant) {
            Ok(span) => {
                *last = Some(span);
                span.offset
            }
            // `new` has tried; what is left are instants in the far past or future.
            Err(_) => self.observances[0].offset_to,
        }
    }

    /// The offset of the last change at or before the instant, and when it changes next. Before the
    /// first change of all, its TZOFFSETFROM holds.
    fn look_up(&self, instant: i64) -> Result<Span, RecurError> {
        let mut last: Option<(i64, i64)> = None;
        let mut to = i64::MAX;
        for changes in &self.observances {
            let local = instant.saturating_add(changes.offset_from);
            if let Some(onset) = changes.onsets.last_until(local)? {
                let onset = onset - changes.offset_from;
                if last.is_none_or(|(latest, _)| onset >= latest) {
                    last = Some((onset, changes.offset_to));
                }
            }
            if let Some(onset) = changes.onsets.next_after(local)? {
                to = to.min(onset - changes.offset_from);
            }
        }
        let (from, offset) = last.unwrap_or_else(|| {
            let onset = |changes: &&Changes| changes.onsets.first() - changes.offset_from;
            let first = self.observances.iter().min_by_key(onset);
            (i64::MIN, first.map_or(0, |changes| changes.offset_from))
        });
        Ok(Span { from, to, offset })
    }

    /// The instant of a local time in seconds (RFC 5545 section 3.3.5).
    pub(super) fn local_to_instant(&self, local: i64) -> Instant {
        // Offsets are below a day, so the offset a day and more before is the one before any
        // change that could make this local time doubtful, but for two changes within two days.
        let before = self.offset_at(local.saturating_sub(2 * DAY_SECONDS));
        let after = self.offset_at(local.saturating_add(2 * DAY_SECONDS));
        let near = self.offset_at(local.saturating_sub(before));
        let mut found: Option<i64> = None;
        for offset in [before, near, after] {
            let instant = local.saturating_sub(offset);
            if self.offset_at(instant) == offset {
                found = Some(found.map_or(instant, |found| found.min(instant)));
            }
        }
        // In a gap: the offset before it.
        Instant(found.unwrap_or(local.saturating_sub(before)))
    }
}
