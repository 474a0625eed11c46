//! What a change tells the audit trail: which collections it changed in which way, and what it
//! does to the sum over their heads.

use std::collections::BTreeMap;

use super::super::audit::{Action, Happening, HeadsDelta, Writing};
use super::super::index::IndexEffect;
use super::{Effect, Transaction};
use crate::ids::CollectionId;

impl Transaction {
    /// Adds the entries of this change to its batch. Locks alone are no change of data.
    pub(super) fn record(&mut self, writing: &mut Writing<'_>) {
        let heads = self.heads_delta();
        if heads.come.is_empty() && heads.gone.is_empty() && self.purged.is_empty() {
            return;
        }
        let device = self.account.device();
        let told = self.told().into_iter();
        let happenings: Vec<_> = told
            .map(|(collection, action)| Happening::within(action, device, collection))
            .collect();
        let vault = self.account.inner.vault.clone();
        vault.record_change(writing, &mut self.batch, self.now, &happenings, &heads);
    }

    /// What happened to which collection: one thing to each, the one that says most.
    fn told(&self) -> BTreeMap<CollectionId, Action> {
        let mut told = BTreeMap::new();
        let mut buried = Vec::new();
        for effect in &self.effects {
            match effect {
                Effect::Linked(entry) => {
                    told.insert(entry.collection.id, Action::MakeCollection);
                }
                Effect::Unlinked(id) => {
                    told.insert(*id, Action::DeleteCollection);
                }
                Effect::Changed(collection) => {
                    told.entry(collection.id)
                        .or_insert(Action::ChangeCollection);
                }
                Effect::Index(id, IndexEffect::Live(_)) => {
                    told.entry(*id).or_insert(Action::Change);
                }
                Effect::Index(id, IndexEffect::Gone(_)) => buried.push(*id),
                Effect::Index(..)
                | Effect::Locked(_)
                | Effect::Unlocked(_)
                | Effect::Granted(_)
                | Effect::History(..)
                | Effect::Annals(..)
                | Effect::Trashed(..)
                | Effect::Untrashed(_) => {}
            }
        }
        // A collection that is deleted or moved leaves a tombstone in its parent, which was told.
        let moved =
            |action: &Action| matches!(action, Action::DeleteCollection | Action::ChangeCollection);
        if !told.values().any(moved) {
            for id in buried {
                told.entry(id).or_insert(Action::Delete);
            }
        }
        if let Some(action) = self.action {
            told.values_mut().for_each(|told| *told = action);
        }
        for id in &self.purged {
            told.insert(*id, Action::Purge);
        }
        told
    }

    /// The heads before and after.
    fn heads_delta(&self) -> HeadsDelta {
        let tree = self.account.inner.tree.read();
        let mut delta = HeadsDelta::default();
        let mut linked = BTreeMap::new();
        for effect in &self.effects {
            match effect {
                Effect::Linked(entry) => {
                    linked.insert(entry.collection.id, entry.state.clone());
                }
                Effect::Unlinked(id) => {
                    let entry = tree.entries.get(id);
                    delta
                        .gone
                        .extend(entry.map(|entry| entry.state.head_digest(&entry.head)));
                }
                _ => {}
            }
        }
        for (id, head) in &self.heads {
            let known = tree.entries.get(id);
            delta
                .gone
                .extend(known.map(|entry| entry.state.head_digest(&entry.head)));
            let state = linked.get(id).or(known.map(|entry| &entry.state));
            delta
                .come
                .extend(state.map(|state| state.head_digest(head)));
        }
        delta
    }
}
