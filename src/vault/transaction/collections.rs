//! Collections: made, deleted, moved, linked after a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::model::{
    Collection, CollectionKind, Destination, NewCollection, Properties, VaultError,
};
use super::super::rows::{
    HeadRow, RosterRow, RosterState, digest_add, digest_sub, encode, encode_properties,
};
use super::super::tree::{Entry, State};
use super::super::unlock::live;
use super::{Effect, Transaction};
use crate::ids::{CollectionId, ObjectId};
use crate::limits;
use crate::seal::Kind;

impl Transaction {
    /// Makes a collection.
    ///
    /// # Errors
    /// `Exists`, `Missing` without the parent, `Limit`.
    pub fn make_collection(&mut self, new: NewCollection) -> Result<Arc<Collection>, VaultError> {
        self.account.whole()?;
        self.account.inner.vault.store.room()?;
        let inner = self.account.inner.clone();
        if inner.tree.read().entries.len() >= limits::COLLECTIONS {
            return Err(VaultError::Limit("collections"));
        }
        if inner.tree.read().child(new.parent, &new.segment).is_some()
            || self.account.object(new.parent, &new.segment)?.is_some()
        {
            return Err(VaultError::Exists);
        }
        let id = CollectionId::from_bytes(inner.vault.ambient.bytes());
        let state = inner.new_state(id);
        self.link_new(state, new, HeadRow::new(self.now))
    }

    /// Links a collection whose rows, except head, properties and link, are written or not needed.
    pub(super) fn link_new(
        &mut self,
        state: State,
        new: NewCollection,
        head: HeadRow,
    ) -> Result<Arc<Collection>, VaultError> {
        let changed_in_parent = self.next(new.parent)?;
        let parent = self.account.state(new.parent)?;
        self.forget_tombstone(&parent, &new.segment)?;
        self.link_under(state, new, head, changed_in_parent)
    }

    /// Links a staged copy into a collection that the same transaction links.
    pub(in crate::vault) fn link_below(
        &mut self,
        state: State,
        new: NewCollection,
        head: HeadRow,
    ) -> Result<(), VaultError> {
        let changed_in_parent = self.next(new.parent)?;
        self.link_under(state, new, head, changed_in_parent)
            .map(drop)
    }

    fn link_under(
        &mut self,
        state: State,
        new: NewCollection,
        head: HeadRow,
        changed_in_parent: u64,
    ) -> Result<Arc<Collection>, VaultError> {
        let collection = Collection {
            id: state.id,
            parent: Some(new.parent),
            segment: Some(new.segment),
            kind: new.kind,
            created: self.now,
            modified: self.now,
            revision: head.revision,
            changed_in_parent,
            objects: head.objects,
            properties: Arc::default(),
        };
        self.member(new.parent, state.id, None, Some(changed_in_parent))?;
        let state = Arc::new(state);
        self.heads.insert(state.id, head);
        let collection =
            self.collection_properties(&state, collection, new.properties, head.revision)?;
        let inner = self.account.inner.clone();
        inner
            .vault
            .put_roster(&mut self.batch, &live(inner.id, state.id, &state));
        self.put_link(&state, &collection)?;
        let entry = Entry {
            collection: collection.clone(),
            head,
            children: BTreeMap::new(),
            state: state.clone(),
        };
        self.effects.push(Effect::Linked(Box::new(entry)));
        self.begin_annals(&state);
        Ok(collection)
    }

    pub(super) fn put_link(
        &mut self,
        state: &State,
        collection: &Collection,
    ) -> Result<(), VaultError> {
        self.account.whole()?;
        let inner = &self.account.inner;
        let name = inner.link_name(collection.id)?;
        let row = inner.seal(Kind::Link, &name, &encode(&state.link(collection)))?;
        self.batch.put(name, row);
        self.put_grants_of(state, collection);
        Ok(())
    }

    /// Writes the link of a collection as it is, and what is granted of it.
    pub(super) fn put_link_again(&mut self, state: &State) -> Result<(), VaultError> {
        let collection = self.account.collection(state.id);
        self.put_link(state, &*collection.ok_or(VaultError::Missing)?)
    }

    /// Writes the properties of a collection and gives the collection with them.
    fn collection_properties(
        &mut self,
        state: &State,
        collection: Collection,
        properties: Properties,
        revision: u64,
    ) -> Result<Arc<Collection>, VaultError> {
        let content = encode_properties(&properties);
        if content.len() > limits::PROPERTIES_BYTES {
            return Err(VaultError::Limit("properties"));
        }
        let old = *self.head(state.id)?;
        if old.properties_revision != 0 {
            self.delete_chunks(
                state,
                Kind::CollectionProperties,
                ObjectId::NONE,
                old.properties_revision,
                old.properties_bytes,
            );
        }
        let (at, bytes) = if properties.is_empty() {
            (0, 0)
        } else {
            (revision, content.len() as u64)
        };
        self.weigh_properties(old.properties_bytes, bytes)?;
        if at != 0 {
            self.put_chunks(
                state,
                Kind::CollectionProperties,
                ObjectId::NONE,
                state.current().number,
                revision,
                &content,
            );
        }
        let head = self.head(state.id)?;
        (head.properties_revision, head.properties_bytes) = (at, bytes);
        Ok(Arc::new(Collection {
            properties: Arc::new(properties),
            ..collection
        }))
    }

    /// Counts the stored properties of all collections, which are in memory while the account is
    /// unlocked, when `new` bytes take the place of `old` ones.
    pub(super) fn weigh_properties(&mut self, old: u64, new: u64) -> Result<(), VaultError> {
        let all = self.count_properties(old, new);
        match new > old && all > limits::ACCOUNT_PROPERTIES_BYTES {
            true => Err(VaultError::Limit("properties of all collections")),
            false => Ok(()),
        }
    }

    fn count_properties(&mut self, old: u64, new: u64) -> u64 {
        let inner = &self.account.inner;
        let all = self.properties.unwrap_or_else(|| {
            let tree = inner.tree.read();
            let entries = tree.entries.values();
            entries.map(|entry| entry.head.properties_bytes).sum()
        });
        let all = all.saturating_sub(old) + new;
        self.properties = Some(all);
        all
    }

    /// Replaces all stored properties of a collection.
    pub fn set_collection_properties(
        &mut self,
        id: CollectionId,
        properties: Properties,
    ) -> Result<(), VaultError> {
        self.account.whole()?;
        self.account.inner.vault.store.room()?;
        let state = self.account.state(id)?;
        let collection = self.account.collection(id).ok_or(VaultError::Missing)?;
        if *collection.properties != properties {
            self.keep_annals(&state, &collection)?;
        }
        let revision = self.next(id)?;
        let mut changed_in_parent = collection.changed_in_parent;
        if let Some(parent) = collection.parent {
            let was = changed_in_parent;
            changed_in_parent = self.next(parent)?;
            self.member(parent, id, Some(was), Some(changed_in_parent))?;
        }
        let collection = Collection {
            changed_in_parent,
            ..(*collection).clone()
        };
        let collection = self.collection_properties(&state, collection, properties, revision)?;
        self.put_link(&state, &collection)?;
        self.effects.push(Effect::Changed(collection));
        Ok(())
    }

    /// Deletes a collection and all below it: their key rows now, their other rows behind it.
    /// The locks below it go too.
    pub fn delete_collection(&mut self, id: CollectionId) -> Result<(), VaultError> {
        self.account.whole()?;
        let collection = self.account.collection(id).ok_or(VaultError::Missing)?;
        let (Some(parent), Some(segment)) = (collection.parent, collection.segment.clone()) else {
            return Err(VaultError::Exists);
        };
        let revision = self.next(parent)?;
        let state = self.account.state(parent)?;
        let grave = state.new_id(revision, &self.account.inner.vault.ambient);
        self.bury(&state, grave, segment.clone(), revision)?;
        self.member(parent, id, Some(collection.changed_in_parent), None)?;
        self.unlink(id)?;
        self.unlock_below(parent, &segment);
        Ok(())
    }

    /// Keeps the sum over the member collections of `parent`: `member` was last changed there at
    /// `was` and now at `is`; none where it was or is not a member.
    pub(super) fn member(
        &mut self,
        parent: CollectionId,
        member: CollectionId,
        was: Option<u64>,
        is: Option<u64>,
    ) -> Result<(), VaultError> {
        let linked = self.effects.iter().find_map(|effect| match effect {
            Effect::Linked(entry) if entry.state.id == parent => Some(entry.state.clone()),
            _ => None,
        });
        let state = linked.map_or_else(|| self.account.state(parent), Ok)?;
        let sum = &mut self.head(parent)?.members;
        if let Some(was) = was {
            digest_sub(sum, &state.member_digest(member, was));
        }
        if let Some(is) = is {
            digest_add(sum, &state.member_digest(member, is));
        }
        Ok(())
    }

    /// Takes a collection and all below it out of the tree, into the trash if there is one.
    pub(super) fn unlink(&mut self, root: CollectionId) -> Result<(), VaultError> {
        self.account.whole()?;
        let inner = self.account.inner.clone();
        let kept = !inner.vault.retention().is_off();
        let ids = inner.tree.read().subtree(root);
        for id in ids {
            let Ok(state) = self.account.state(id) else {
                continue;
            };
            // what replaces it may have as many
            if let Ok(head) = self.head(id) {
                let bytes = head.properties_bytes;
                self.count_properties(bytes, 0);
            }
            self.batch.delete(inner.link_name(id)?);
            self.drop_grants_of(id);
            match kept {
                true => self.trash(&state, root)?,
                false => {
                    let row = RosterRow {
                        state: RosterState::Doomed,
                        ..live(inner.id, id, &state)
                    };
                    inner.vault.put_roster(&mut self.batch, &row);
                    self.dooms.push(row);
                }
            }
            self.effects.push(Effect::Unlinked(id));
        }
        match kept {
            true => self.bound_trash(),
            false => Ok(()),
        }
    }

    /// Moves a collection with all below it: one row changes. What is at the destination is
    /// removed. Gives whether nothing was there.
    pub fn move_collection(
        &mut self,
        id: CollectionId,
        to: Destination,
    ) -> Result<bool, VaultError> {
        self.account.whole()?;
        let collection = self.account.collection(id).ok_or(VaultError::Missing)?;
        let (Some(parent), Some(segment)) = (collection.parent, collection.segment.clone()) else {
            return Err(VaultError::Exists);
        };
        let replaced = self.clear(&to, None)?;
        let old_parent = self.account.state(parent)?;
        let revision = self.next(parent)?;
        let grave = old_parent.new_id(revision, &self.account.inner.vault.ambient);
        self.bury(&old_parent, grave, segment.clone(), revision)?;
        self.member(parent, id, Some(collection.changed_in_parent), None)?;
        self.unlock_below(parent, &segment);
        let new_parent = self.account.state(to.parent)?;
        self.forget_tombstone(&new_parent, &to.segment)?;
        let changed_in_parent = self.next(to.parent)?;
        self.member(to.parent, id, None, Some(changed_in_parent))?;
        let moved = Collection {
            parent: Some(to.parent),
            segment: Some(to.segment),
            changed_in_parent,
            ..(*collection).clone()
        };
        let state = self.account.state(id)?;
        self.put_link(&state, &moved)?;
        self.keep_annals(&state, &collection)?;
        self.effects.push(Effect::Changed(Arc::new(moved)));
        Ok(!replaced)
    }

    /// Links a staged copy at its destination, removing what is there. Gives whether nothing was.
    pub(in crate::vault) fn link_copy(
        &mut self,
        state: State,
        new: NewCollection,
        head: HeadRow,
    ) -> Result<bool, VaultError> {
        let to = Destination {
            parent: new.parent,
            segment: new.segment.clone(),
            calendar: None,
        };
        let replaced = self.clear(&to, None)?;
        self.link_new(state, new, head)?;
        Ok(!replaced)
    }
}

/// A home is made once, with the account.
pub(in crate::vault) fn copied_kind(kind: CollectionKind) -> CollectionKind {
    match kind {
        CollectionKind::Home => CollectionKind::Plain,
        other => other,
    }
}
