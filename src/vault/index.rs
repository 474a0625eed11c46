//! The in-memory index of one collection: its members by name, by UID and by change. Built from
//! the sealed summaries on first use, updated by every commit, dropped when memory or keys go.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::model::Summary;
use super::rows::{Tombstone, digest_add};
use crate::ids::{CollectionId, ObjectId, Segment};
use crate::seal::EtagKey;

/// What happened at a revision.
#[derive(Debug, Clone)]
pub(super) enum At {
    Live(Arc<Summary>),
    Gone(Arc<Tombstone>),
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
#[derive(Default)]
pub(super) struct Index {
    pub objects: BTreeMap<Segment, Arc<Summary>>,
    pub uids: HashMap<String, Segment>,
    pub gone: HashMap<Segment, Arc<Tombstone>>,
    pub changes: BTreeMap<u64, At>,
    by_id: HashMap<ObjectId, Arc<Summary>>,
    /// Rows of the collection that do not open; the others are served (HARDENING H32).
    pub damaged: usize,
}

impl Index {
    /// Summaries and tombstones held, for the bound on all indexes together.
    pub fn len(&self) -> usize {
        self.objects.len() + self.gone.len()
    }

    pub fn apply(&mut self, effect: &IndexEffect) {
        match effect {
            IndexEffect::Live(summary) => self.live(summary.clone()),
            IndexEffect::Gone(tombstone) => self.bury(tombstone.clone()),
            IndexEffect::Forget(tombstone) => self.forget(tombstone),
        }
    }

    fn live(&mut self, summary: Arc<Summary>) {
        if let Some(old) = self.by_id.insert(summary.id, summary.clone()) {
            self.changes.remove(&old.revision);
            self.objects.remove(&old.segment);
            if let Some(facts) = &old.calendar {
                self.uids.remove(&facts.uid);
            }
        }
        if let Some(facts) = &summary.calendar {
            self.uids.insert(facts.uid.clone(), summary.segment.clone());
        }
        self.changes.insert(summary.revision, At::Live(summary.clone()));
        self.objects.insert(summary.segment.clone(), summary);
    }

    fn bury(&mut self, tombstone: Arc<Tombstone>) {
        // The tombstone of an object has its id; that of a rename or a collection has its own.
        if let Some(old) = self.by_id.remove(&tombstone.id) {
            self.changes.remove(&old.revision);
            self.objects.remove(&old.segment);
            if let Some(facts) = &old.calendar {
                self.uids.remove(&facts.uid);
            }
        }
        self.changes.insert(tombstone.revision, At::Gone(tombstone.clone()));
        self.gone.insert(tombstone.segment.clone(), tombstone);
    }

    fn forget(&mut self, tombstone: &Tombstone) {
        self.changes.remove(&tombstone.revision);
        if self.gone.get(&tombstone.segment).is_some_and(|held| held.id == tombstone.id) {
            self.gone.remove(&tombstone.segment);
        }
    }

    /// The oldest tombstone, which is dropped when there are too many.
    pub fn oldest_tombstone(&self) -> Option<Arc<Tombstone>> {
        self.changes.values().find_map(|at| match at {
            At::Gone(tombstone) => Some(tombstone.clone()),
            At::Live(_) => None,
        })
    }

    /// The sum of what every row adds; the head has what it should be.
    pub fn digest(&self, etags: &EtagKey) -> [u64; 4] {
        let mut digest = [0; 4];
        for at in self.changes.values() {
            let (id, revision) = match at {
                At::Live(summary) => (summary.id, summary.revision),
                At::Gone(tombstone) => (tombstone.id, tombstone.revision),
            };
            digest_add(&mut digest, &etags.digest(id, revision));
        }
        digest
    }
}

/// Which collections have their index in memory, and when each was last used.
#[derive(Default)]
pub(super) struct IndexCache {
    held: HashMap<CollectionId, (std::sync::Weak<super::tree::State>, usize, u64)>,
    clock: u64,
}

impl IndexCache {
    /// Notes that `id` was used and has `summaries`; returns those to drop so that at most
    /// `capacity` summaries are held. The one just used stays, however large.
    pub fn used(
        &mut self, id: CollectionId, state: &Arc<super::tree::State>, summaries: usize, capacity: usize,
    ) -> Vec<Arc<super::tree::State>> {
        self.clock += 1;
        self.held.insert(id, (Arc::downgrade(state), summaries, self.clock));
        self.held.retain(|_, (state, ..)| state.strong_count() > 0);
        let mut total: usize = self.held.values().map(|(_, summaries, _)| summaries).sum();
        let mut dropped = Vec::new();
        while total > capacity && self.held.len() > 1 {
            let oldest = self.held.iter().filter(|(other, _)| **other != id).min_by_key(|(_, (_, _, used))| *used);
            let Some((&oldest, _)) = oldest else { break };
            let (state, summaries, _) = self.held.remove(&oldest).expect("it was just found");
            total -= summaries;
            dropped.extend(state.upgrade());
        }
        dropped
    }

    /// Summaries held at the moment.
    #[cfg(test)]
    pub fn collections(&self) -> usize {
        self.held.len()
    }
}
