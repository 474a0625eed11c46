//! Deleted collections: into the trash, back, and out of it for good.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::model::{Collection, VaultError};
use super::super::rows::{RosterRow, RosterState, TrashedRow, encode};
use super::super::trash::Trashed;
use super::super::tree::{Entry, State};
use super::super::unlock::live;
use super::{Effect, Transaction};
use crate::ids::{CollectionId, Segment};
use crate::limits;
use crate::seal::Kind;
use crate::vault::Action;

impl Transaction {
    /// Puts a collection that is being unlinked into the trash. `root` is the one deleted.
    pub(super) fn trash(&mut self, state: &State, root: CollectionId) -> Result<(), VaultError> {
        let inner = self.account.inner.clone();
        let (id, by) = (state.id, self.account.device());
        let collection = self.account.collection(id).ok_or(VaultError::Missing)?;
        let row = TrashedRow {
            link: state.link(&collection),
            root,
            path: self.account.path_of(id),
            since: self.now,
            by,
            head: *self.head(id)?,
        };
        let name = inner.trashed_name(id)?;
        let sealed = inner.seal(Kind::TrashedLink, &name, &encode(&row))?;
        self.batch.put(name, sealed);
        let roster = RosterRow {
            state: RosterState::Trashed { since: self.now },
            ..live(inner.id, id, state)
        };
        inner.vault.put_roster(&mut self.batch, &roster);
        self.effects
            .push(Effect::Trashed(Arc::new(Trashed::of(&row)), roster));
        Ok(())
    }

    /// The account's own roster row, of an earlier program perhaps, must name the trash; and the
    /// oldest trash goes when there is too much of it.
    pub(super) fn bound_trash(&mut self) -> Result<(), VaultError> {
        let inner = self.account.inner.clone();
        let roster = inner.vault.account_roster(inner.id, inner.keys()?);
        inner.vault.put_roster(&mut self.batch, &roster);
        let new = self.effects.iter();
        let new = new
            .filter(|effect| matches!(effect, Effect::Trashed(..)))
            .count();
        let mut there = self.account.trashed_collections()?;
        let mut count = there.len() + new;
        // The newest first.
        while count > limits::TRASHED_COLLECTIONS {
            let Some(oldest) = there.last().map(|one| one.root) else {
                break;
            };
            let (gone, kept): (Vec<_>, Vec<_>) =
                there.into_iter().partition(|one| one.root == oldest);
            count -= gone.len();
            there = kept;
            for one in gone {
                self.doom_trashed(one.id)?;
            }
        }
        Ok(())
    }

    /// Deletes the key row of a deleted collection and dooms its rows.
    fn doom_trashed(&mut self, id: CollectionId) -> Result<(), VaultError> {
        let inner = self.account.inner.clone();
        let held = inner
            .vault
            .trashed
            .lock()
            .iter()
            .find(|row| row.account == inner.id && row.collection == id)
            .cloned();
        let row = RosterRow {
            state: RosterState::Doomed,
            ..held.ok_or(VaultError::Missing)?
        };
        self.batch.delete(inner.trashed_name(id)?);
        inner.vault.put_roster(&mut self.batch, &row);
        self.dooms.push(row);
        self.effects.push(Effect::Untrashed(id));
        Ok(())
    }

    /// The collections that this transaction takes out of the trash.
    pub(in crate::vault) fn untrashed(&self) -> Vec<CollectionId> {
        let taken = self.effects.iter().filter_map(|effect| match effect {
            Effect::Untrashed(id) => Some(*id),
            _ => None,
        });
        taken.collect()
    }

    /// What went with a deleted collection, itself first and parents before children.
    fn trashed_below(&self, root: CollectionId) -> Result<Vec<Arc<Trashed>>, VaultError> {
        let mut found = self.account.trashed_collections()?;
        found.retain(|one| one.root == root);
        found.sort_by_key(|one| one.path.len());
        match found.first() {
            Some(first) if first.id == root => Ok(found),
            _ => Err(VaultError::Missing),
        }
    }

    /// See `AccountStore::purge_collection`.
    pub(in crate::vault) fn purge_trashed(&mut self, id: CollectionId) -> Result<(), VaultError> {
        for one in self.trashed_below(id)? {
            self.doom_trashed(one.id)?;
            self.purged.insert(one.id);
        }
        Ok(())
    }

    /// The same where it goes because there is too much.
    pub(in crate::vault) fn drop_trashed(&mut self, id: CollectionId) -> Result<(), VaultError> {
        for one in self.trashed_below(id)? {
            self.doom_trashed(one.id)?;
        }
        Ok(())
    }

    /// Drops the key row of a deleted collection whose rows are purged.
    pub(in crate::vault) fn forget_trashed(&mut self, id: CollectionId) -> Result<(), VaultError> {
        let name = self.account.inner.trashed_name(id)?;
        self.batch.delete(name);
        self.effects.push(Effect::Untrashed(id));
        Ok(())
    }

    /// See `AccountStore::restore_collection`.
    pub(in crate::vault) fn restore_collection(
        &mut self,
        id: CollectionId,
        name: Option<Segment>,
        action: Action,
    ) -> Result<Arc<Collection>, VaultError> {
        self.account.inner.vault.store.room()?;
        let inner = self.account.inner.clone();
        let there = self.trashed_below(id)?;
        if inner.tree.read().entries.len() + there.len() > limits::COLLECTIONS {
            return Err(VaultError::Limit("collections"));
        }
        self.action = Some(action);
        let mut restored = None;
        for one in &there {
            let row_name = inner.trashed_name(one.id)?;
            let stored = inner.vault.store.get(&row_name)?;
            let row = inner.open_trashed(&row_name, stored.ok_or(VaultError::Missing)?)?;
            let entry = inner.vault.load_collection(inner.id, &row.link)?;
            if entry.head != row.head {
                tracing::error!(collection = %one.id, "a deleted collection's head is not as it was when it was deleted");
                return Err(VaultError::Damaged(format!("collection {}", one.id)));
            }
            let entry = match one.id == id {
                true => self.replace(entry, name.clone())?,
                false => entry,
            };
            let bytes = entry.head.properties_bytes;
            self.weigh_properties(0, bytes)?;
            self.batch.delete(row_name);
            let roster = live(inner.id, one.id, &entry.state);
            inner.vault.put_roster(&mut self.batch, &roster);
            self.put_link(&entry.state, &entry.collection)?;
            self.heads.insert(one.id, entry.head);
            restored.get_or_insert(entry.collection.clone());
            self.effects.push(Effect::Untrashed(one.id));
            self.effects.push(Effect::Linked(Box::new(entry)));
        }
        restored.ok_or(VaultError::Missing)
    }

    /// Finds a place in the tree for a collection that is restored.
    fn replace(&mut self, entry: Entry, name: Option<Segment>) -> Result<Entry, VaultError> {
        let home = self.account.home().id;
        let was = entry.collection.parent.filter(|parent| {
            let parent = self.account.collection(*parent);
            parent.is_some_and(|parent| !parent.is_calendar())
        });
        let parent = was.unwrap_or(home);
        if self.account.path_of(parent).len() >= limits::TREE_DEPTH {
            return Err(VaultError::Limit("depth"));
        }
        let wanted = name.or_else(|| entry.collection.segment.clone());
        let segment = self.free_name(parent, wanted.ok_or(VaultError::Missing)?)?;
        let changed_in_parent = self.next(parent)?;
        let state = self.account.state(parent)?;
        self.forget_tombstone(&state, &segment)?;
        self.member(parent, entry.state.id, None, Some(changed_in_parent))?;
        let collection = Collection {
            parent: Some(parent),
            segment: Some(segment),
            changed_in_parent,
            ..(*entry.collection).clone()
        };
        Ok(Entry {
            collection: Arc::new(collection),
            children: BTreeMap::new(),
            ..entry
        })
    }

    /// `wanted`, or where that is taken the first of `wanted-2`, `wanted-3`, .. that is not.
    fn free_name(&self, parent: CollectionId, wanted: Segment) -> Result<Segment, VaultError> {
        let free = |segment: &Segment| -> Result<bool, VaultError> {
            let taken = self
                .account
                .inner
                .tree
                .read()
                .child(parent, segment)
                .is_some();
            Ok(!taken && self.account.object(parent, segment)?.is_none())
        };
        if free(&wanted)? {
            return Ok(wanted);
        }
        for number in 2..=limits::COLLECTIONS + 1 {
            let ending = format!("-{number}");
            let mut base = wanted.as_str();
            while base.len() + ending.len() > limits::SEGMENT_BYTES {
                let mut letters = base.chars();
                letters.next_back();
                base = letters.as_str();
            }
            let segment = Segment::parse(&format!("{base}{ending}"));
            if let Ok(segment) = segment
                && free(&segment)?
            {
                return Ok(segment);
            }
        }
        Err(VaultError::Exists)
    }
}
