//! The in-memory index of one collection: its members by name, by UID and by change. Built from
//! the sealed summaries on first use, updated by every commit, dropped when memory or keys go.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use super::model::Summary;
use super::rows::{Tombstone, digest_add};
use super::tree::State;
use crate::ical::overlap::TimeRange;
use crate::ical::summary::RULES;
use crate::ids::{ObjectId, Segment};
use crate::seal::EtagKey;

/// What happened at a revision, which orders these and tells them apart.
#[derive(Debug, Clone)]
pub(super) enum At {
    Live(Arc<Summary>),
    Gone(Arc<Tombstone>),
}

impl At {
    pub fn revision(&self) -> u64 {
        *Borrow::<u64>::borrow(self)
    }
}

impl Borrow<u64> for At {
    fn borrow(&self) -> &u64 {
        match self {
            At::Live(summary) => &summary.revision,
            At::Gone(tombstone) => &tombstone.revision,
        }
    }
}

impl PartialEq for At {
    fn eq(&self, other: &At) -> bool {
        self.revision() == other.revision()
    }
}

impl Eq for At {}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &At) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for At {
    fn cmp(&self, other: &At) -> Ordering {
        self.revision().cmp(&other.revision())
    }
}

/// A change of an index, applied when its commit has been enqueued. Applying twice is harmless.
#[derive(Debug, Clone)]
pub(super) enum IndexEffect {
    /// An object is new or changed.
    Live(Arc<Summary>),
    /// An object or a member collection is gone.
    Gone(Arc<Tombstone>),
    /// A tombstone is dropped.
    Forget(Arc<Tombstone>),
}

/// See the module.
///
/// Names, UIDs and ids are those of the summaries themselves; nothing is held twice.
#[derive(Default)]
pub(super) struct Index {
    names: HashSet<Named>,
    order: BTreeSet<Named>,
    uids: HashSet<WithUid>,
    pub gone: HashMap<Segment, Arc<Tombstone>>,
    pub changes: BTreeSet<At>,
    ids: HashSet<WithId>,
    times: TimeIndex,
    /// Rows of the collection that do not open; the others are served (HARDENING H32).
    pub damaged: usize,
}

impl Index {
    /// Summaries and tombstones held, for the bound on all indexes together.
    pub fn len(&self) -> usize {
        self.ids.len() + self.gone.len()
    }

    /// How many objects there are.
    pub fn objects(&self) -> usize {
        self.ids.len()
    }

    /// The object of this name.
    pub fn named(&self, segment: &Segment) -> Option<&Arc<Summary>> {
        self.names.get(segment).map(|named| &named.0)
    }

    /// The object of this UID.
    pub fn of_uid(&self, uid: &str) -> Option<&Arc<Summary>> {
        self.uids.get(uid).map(|with| &with.0)
    }

    /// The objects by name.
    pub fn in_order(&self) -> impl Iterator<Item = &Arc<Summary>> {
        self.order.iter().map(|named| &named.0)
    }

    /// The objects whose names follow that one, by name; all without one.
    pub fn named_after(&self, segment: Option<&Segment>) -> impl Iterator<Item = &Arc<Summary>> {
        let from = segment.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.order.range::<Segment, _>((from, Bound::Unbounded));
        rest.map(|named| &named.0)
    }

    pub fn apply(&mut self, effect: &IndexEffect) {
        match effect {
            IndexEffect::Live(summary) => self.live(summary.clone()),
            IndexEffect::Gone(tombstone) => self.bury(tombstone.clone()),
            IndexEffect::Forget(tombstone) => self.forget(tombstone),
        }
    }

    fn live(&mut self, summary: Arc<Summary>) {
        if let Some(WithId(old)) = self.ids.replace(WithId(summary.clone())) {
            self.forget_live(&old);
        }
        self.times.insert(&summary);
        if summary.calendar.is_some() {
            self.uids.replace(WithUid(summary.clone()));
        }
        self.changes.replace(At::Live(summary.clone()));
        self.names.replace(Named(summary.clone()));
        self.order.replace(Named(summary));
    }

    fn forget_live(&mut self, old: &Summary) {
        self.changes.remove(&old.revision);
        self.names.remove(&old.segment);
        self.order.remove(&old.segment);
        self.times.remove(old);
        if let Some(facts) = &old.calendar {
            self.uids.remove(&*facts.uid);
        }
    }

    /// The calendar objects whose extent touches a range, by name.
    pub fn touching(&self, range: TimeRange) -> Vec<Arc<Summary>> {
        if range == TimeRange::ALL {
            return self.in_order().cloned().collect();
        }
        let mut found = self.times.touching(range);
        found.sort_unstable_by(|one, other| one.segment.cmp(&other.segment));
        found
    }

    fn bury(&mut self, tombstone: Arc<Tombstone>) {
        // The tombstone of an object has its id; that of a rename or a collection has its own.
        if let Some(WithId(old)) = self.ids.take(&tombstone.id) {
            self.forget_live(&old);
        }
        self.changes.replace(At::Gone(tombstone.clone()));
        self.gone.insert(tombstone.segment.clone(), tombstone);
    }

    fn forget(&mut self, tombstone: &Tombstone) {
        self.changes.remove(&tombstone.revision);
        if self
            .gone
            .get(&tombstone.segment)
            .is_some_and(|held| held.id == tombstone.id)
        {
            self.gone.remove(&tombstone.segment);
        }
    }

    /// The object of this id.
    pub fn object(&self, id: ObjectId) -> Option<&Arc<Summary>> {
        self.ids.get(&id).map(|with| &with.0)
    }

    /// The oldest tombstone, which is dropped when there are too many.
    pub fn oldest_tombstone(&self) -> Option<Arc<Tombstone>> {
        self.changes.iter().find_map(|at| match at {
            At::Gone(tombstone) => Some(tombstone.clone()),
            At::Live(_) => None,
        })
    }

    /// The sum of what every row adds; the head has what it should be.
    pub fn digest(&self, etags: &EtagKey) -> [u64; 4] {
        let mut digest = [0; 4];
        for at in &self.changes {
            let (id, revision) = match at {
                At::Live(summary) => (summary.id, summary.revision),
                At::Gone(tombstone) => (tombstone.id, tombstone.revision),
            };
            digest_add(&mut digest, &etags.digest(id, revision));
        }
        digest
    }
}

/// A summary by its name.
struct Named(Arc<Summary>);

impl Borrow<Segment> for Named {
    fn borrow(&self) -> &Segment {
        &self.0.segment
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Named) -> bool {
        self.0.segment == other.0.segment
    }
}

impl Eq for Named {}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.segment.hash(state);
    }
}

impl PartialOrd for Named {
    fn partial_cmp(&self, other: &Named) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Named {
    fn cmp(&self, other: &Named) -> Ordering {
        self.0.segment.cmp(&other.0.segment)
    }
}

/// A summary by its id.
struct WithId(Arc<Summary>);

impl Borrow<ObjectId> for WithId {
    fn borrow(&self) -> &ObjectId {
        &self.0.id
    }
}

impl PartialEq for WithId {
    fn eq(&self, other: &WithId) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for WithId {}

impl Hash for WithId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

/// A summary by its UID; what has none is in no set of these.
struct WithUid(Arc<Summary>);

impl Borrow<str> for WithUid {
    fn borrow(&self) -> &str {
        self.0.calendar.as_ref().map_or("", |facts| &facts.uid)
    }
}

impl PartialEq for WithUid {
    fn eq(&self, other: &WithUid) -> bool {
        let uid: &str = self.borrow();
        uid == <WithUid as Borrow<str>>::borrow(other)
    }
}

impl Eq for WithUid {}

impl Hash for WithUid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let uid: &str = self.borrow();
        uid.hash(state);
    }
}

/// The calendar objects by when they begin, those of similar length together: what touches a range
/// begins at most that length before it, so that a question costs what it finds.
#[derive(Default)]
struct TimeIndex(BTreeMap<Length, BTreeMap<Begin, Arc<Summary>>>);

/// When an object begins, and the half of its id, which tells those of one moment apart.
type Begin = (i64, u64);

/// The bits of an extent's length in seconds: one of `n` is shorter than `1 << n`.
type Length = u32;

impl TimeIndex {
    fn place(summary: &Summary) -> Option<(Length, Begin)> {
        let extent = summary.calendar.as_ref()?.extent;
        // The half that is random, whether it has a family or not.
        let (_, half) = summary.id.bytes().split_last_chunk()?;
        let id = u64::from_be_bytes(*half);
        if extent.rules == RULES && extent.first <= extent.last {
            let length = extent.last.saturating_sub(extent.first);
            return Some((i64::BITS - length.leading_zeros(), (extent.first, id)));
        }
        // of other rules, which rule nothing out
        let always = extent.rules != RULES;
        always.then_some((i64::BITS, (i64::MIN, id)))
    }

    fn insert(&mut self, summary: &Arc<Summary>) {
        if let Some((length, begin)) = TimeIndex::place(summary) {
            let alike = self.0.entry(length).or_default();
            alike.insert(begin, summary.clone());
        }
    }

    fn remove(&mut self, summary: &Summary) {
        let place = TimeIndex::place(summary);
        if let Some((length, begin)) = place
            && let Some(alike) = self.0.get_mut(&length)
        {
            alike.remove(&begin);
            if alike.is_empty() {
                self.0.remove(&length);
            }
        }
    }

    fn touching(&self, range: TimeRange) -> Vec<Arc<Summary>> {
        let mut found = Vec::new();
        for (length, alike) in &self.0 {
            let reach = 1i64.checked_shl(*length).filter(|reach| *reach > 0);
            let first = reach.map_or(i64::MIN, |reach| range.start.0.saturating_sub(reach));
            let (from, until) = ((first, 0), (range.end.0, u64::MAX));
            if first > range.end.0 {
                continue;
            }
            let near = alike.range(from..=until).map(|(_, summary)| summary);
            found.extend(
                near.filter(|summary| {
                    let facts = summary.calendar.as_ref();
                    facts.is_some_and(|facts| facts.extent.touches(range))
                })
                .cloned(),
            );
        }
        found
    }
}

/// Which collections have their index in memory.
#[derive(Default)]
pub(super) struct IndexCache {
    held: Vec<Weak<State>>,
}

impl IndexCache {
    /// Notes that the index of `state` was loaded, and drops those that were not used for longest
    /// until at most `capacity` summaries are held. The one just loaded stays, however large.
    pub fn loaded(&mut self, state: &Arc<State>, capacity: usize) {
        let mut held: Vec<_> = self
            .held
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|other| !Arc::ptr_eq(other, state))
            .collect();
        // Each is asked once: readers go on counting meanwhile, and a sort panics when keys change.
        held.sort_by_cached_key(|other| std::cmp::Reverse(other.used.load(Relaxed)));
        held.insert(0, state.clone());
        let mut total = 0;
        held.retain(|other| {
            let summaries = other.index.read().as_ref().map_or(0, Index::len);
            total += summaries;
            let stays = Arc::ptr_eq(other, state) || total <= capacity;
            if !stays {
                total -= summaries;
                *other.index.write() = None;
            }
            stays && (Arc::ptr_eq(other, state) || other.index.read().is_some())
        });
        self.held = held.iter().map(Arc::downgrade).collect();
    }

    /// What is held. An index that is being changed at this moment is left out.
    pub fn figures(&self) -> IndexFigures {
        let held = self.held.iter().filter_map(Weak::upgrade);
        let entries = held.filter_map(|state| {
            let index = state.index.try_read()?;
            index.as_ref().map(Index::len)
        });
        entries.fold(IndexFigures::default(), |sum, entries| IndexFigures {
            collections: sum.collections + 1,
            entries: sum.entries + entries,
            bytes: sum.bytes + entries * crate::limits::INDEX_ENTRY_BYTES,
        })
    }
}

/// What the indexes in memory hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexFigures {
    /// Collections that have one.
    pub collections: usize,
    /// Objects and tombstones in them.
    pub entries: usize,
    /// Bytes that they take, estimated.
    pub bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::UnixMillis;
    use crate::ical::summary::Extent;
    use crate::ical::time::Instant;
    use crate::ical::{ComponentKind, moments::Memo};
    use crate::ids::SlotId;
    use crate::vault::{CalendarFacts, Etag};

    fn summary(number: u8, extent: Extent) -> Arc<Summary> {
        Arc::new(Summary {
            id: ObjectId::from_bytes([number; 16]),
            segment: Segment::parse(&format!("{number}.ics")).unwrap(),
            revision: number.into(),
            body_revision: 1,
            properties_revision: 0,
            properties_bytes: 0,
            epoch: 0,
            etag: Etag([0; 16]),
            size: 0,
            content_type: String::new().into(),
            created: UnixMillis(0),
            modified: UnixMillis(0),
            changed: UnixMillis(0),
            device: SlotId::NONE,
            calendar: Some(CalendarFacts {
                uid: number.to_string().into(),
                component: ComponentKind::Event,
                extent,
                moments: Memo::default(),
            }),
        })
    }

    proptest::proptest! {
        #[test]
        fn touching_finds_what_the_extents_say(
            extents in proptest::collection::vec((-50i64..50, -50i64..50, 0u8..9), 0..40),
            (start, end) in (-60i64..60, -60i64..60),
        ) {
            let range = TimeRange { start: Instant(start), end: Instant(end) };
            let mut index = Index::default();
            for (number, (first, last, odd)) in (0u8..).zip(&extents) {
                let (first, last) = match odd {
                    0 => (i64::MIN, *last),
                    1 => (*first, i64::MAX),
                    2 => (first << 50, last << 50),
                    _ => (*first, *last),
                };
                let rules = if *odd == 3 { RULES + 1 } else { RULES };
                index.live(summary(number, Extent { first, last, rules }));
                // some are put twice, some go
                if *odd == 4 {
                    index.live(summary(number, Extent::NEVER));
                }
            }
            let all = index.in_order();
            let expected: Vec<_> = all
                .filter(|one| one.calendar.as_ref().unwrap().extent.touches(range))
                .map(|one| one.segment.clone())
                .collect();
            let found: Vec<_> = index.touching(range).iter().map(|one| one.segment.clone()).collect();
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
