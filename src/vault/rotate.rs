//! A new account key. What was learned of the old one opens nothing that is written from then on:
//!
//! 1. Beside the tree, all links are written under the new key, each with a new epoch of its
//!    collection's key; the roster has them with the generation of the key file that is to come.
//! 2. The key file is replaced, with slots that hold the new key. That is the moment: what a crash
//!    leaves before it is purged at the next start, and after it the next step is made up for.
//! 3. When the account is opened by the new key for the first time, the old tree is doomed, and
//!    what devices with chosen calendars are granted is written anew. No key of a new epoch was
//!    ever sealed under the old account key.
//! 4. What old epochs seal is sealed in the new one, by and by (`Resealing`), and then the links
//!    lose the old keys. Row names, entity tags and sync-tokens stay.
//!
//! Pages of the audit trail are boxed for the pair of the account key of their time, so the
//! private keys of former pairs are kept, under the new key.

use std::io;
use std::sync::Arc;

use zeroize::Zeroize;

use super::directory::CreateError;
use super::keyfile::mark;
use super::model::VaultError;
use super::purge::without;
use super::rows::{LinkRow, RosterRow, RosterState, decode, encode};
use super::tree::{Tree, prefix_bytes, scanned_place};
use super::unlock::{Inner, Keys};
use super::{Action, KeyFile, Vault};
use crate::ids::{AccountId, CollectionId, ObjectId, SlotId};
use crate::limits;
use crate::seal::{AccountKey, CollectionKey, Kind, NameKey, PairKey, RowName, Slot};
use crate::store::Batch;

/// What is sealed under an account key and written under the next one.
const TREE: [Kind; 4] = [
    Kind::Link,
    Kind::Grants,
    Kind::FormerKeys,
    Kind::TrashedLink,
];

fn one(names: &NameKey, kind: Kind) -> RowName {
    names.row(kind, ObjectId::NONE.bytes(), 0, 0)
}

impl Vault {
    /// Gives an account a new key: `rewrap` makes the slots that hold it from the present ones.
    /// Durable when it returns. Whoever has the account open must open it again.
    ///
    /// # Errors
    /// What `rewrap` says; `Damaged` when a link does not open, which would be lost; a failing disk.
    pub fn change_account_key<E: From<CreateError>>(
        self: &Arc<Self>,
        id: AccountId,
        old: &AccountKey,
        rewrap: impl FnOnce(&AccountKey, &[Slot]) -> Result<Vec<Slot>, E>,
    ) -> Result<AccountKey, E> {
        let failed = |error: VaultError| E::from(CreateError::from(error));
        let _one = self.administration.lock();
        let loading = Arc::clone(self.loading.lock().entry(id).or_default());
        let _alone = loading.lock();
        let record = self
            .account(id)
            .ok_or_else(|| failed(VaultError::Missing))?;
        let file = self
            .key_file(id)
            .ok_or_else(|| failed(VaultError::Missing))?;
        self.close(id);
        // Brings to an end what an interrupted change of the key before this one left.
        let inner = self.load(&record, old).map_err(failed)?;
        let key = self.ambient.random(|random| AccountKey::generate(random));
        let slots = rewrap(&key, &file.slots)?;
        let told = self.administered(Action::ChangeAccountKey, id, SlotId::NONE);
        told.map_err(|error| E::from(CreateError::from(error)))?;
        let file = KeyFile {
            generation: file.generation + 1,
            slots,
            holds: Some(mark(&key.pair().public())),
        };
        let staged = self
            .stage_tree(&inner, old, &key, file.generation)
            .map_err(failed)?;
        drop(inner);
        if let Err(error) = self.put_slots(id, file) {
            self.not_replaced(staged);
            return Err(E::from(CreateError::KeyFile(error)));
        }
        self.rekeyed.lock().insert(id, staged);
        self.load(&record, &key).map_err(failed)?;
        Ok(key)
    }

    /// Writes the tree under the new key, beside the present one; durable when it returns.
    pub(super) fn stage_tree(
        &self,
        inner: &Inner,
        old: &AccountKey,
        key: &AccountKey,
        generation: u64,
    ) -> Result<RosterRow, VaultError> {
        self.store.room()?;
        self.store.barrier().wait()?;
        let keys = Keys {
            rows: key.rows(),
            names: key.names(),
        };
        let mut batch = Batch::new();
        let there = inner.keys()?;
        for row in self.store.scan(&there.names.prefix(Kind::Link)) {
            let (name, _) = row?;
            let link = self.under(inner, there, &name, Kind::Link)?;
            let mut link: LinkRow = link.ok_or_else(|| VaultError::Damaged(name.short()))?;
            self.begin_epoch(&mut link)?;
            let name = keys.names.row(Kind::Link, link.id.bytes(), 0, 0);
            self.put_under(&mut batch, inner, &keys, &name, Kind::Link, &link);
        }
        for row in self.store.scan(&there.names.prefix(Kind::TrashedLink)) {
            let (name, stored) = row?;
            // One that does not open cannot be restored, which was told when the account was opened.
            let Ok(mut row) = inner.open_trashed(&name, stored) else {
                continue;
            };
            self.begin_epoch(&mut row.link)?;
            let name = keys.names.row(Kind::TrashedLink, row.link.id.bytes(), 0, 0);
            self.put_under(&mut batch, inner, &keys, &name, Kind::TrashedLink, &row);
        }
        let (from, to) = (
            one(&there.names, Kind::Grants),
            one(&keys.names, Kind::Grants),
        );
        if self.store.get(&from)?.is_some() {
            let grants: Option<Vec<super::grant::Grant>> =
                self.under(inner, there, &from, Kind::Grants)?;
            let grants = grants.ok_or_else(|| VaultError::Damaged(from.short()))?;
            self.put_under(&mut batch, inner, &keys, &to, Kind::Grants, &grants);
        }
        let mut former = self.former(inner, there)?;
        former.push(*old.pair().expose());
        let surplus = former.len().saturating_sub(limits::FORMER_KEYS);
        former.drain(..surplus);
        let name = one(&keys.names, Kind::FormerKeys);
        self.put_under(&mut batch, inner, &keys, &name, Kind::FormerKeys, &former);
        former.zeroize();
        let row = RosterRow {
            account: inner.id,
            collection: CollectionId::from_bytes(self.ambient.bytes()),
            state: RosterState::Rekeyed { generation },
            prefixes: TREE
                .iter()
                .map(|kind| prefix_bytes(keys.names.prefix(*kind)))
                .collect(),
        };
        self.put_roster(&mut batch, &row);
        self.store.commit(batch).wait()?;
        Ok(row)
    }

    /// Adds a new epoch to a link.
    fn begin_epoch(&self, link: &mut LinkRow) -> Result<(), VaultError> {
        if link.epochs.len() >= limits::EPOCHS {
            return Err(VaultError::Limit("epochs"));
        }
        let next = link.epochs.iter().map(|(number, _)| number + 1).max();
        let fresh = self
            .ambient
            .random(|random| CollectionKey::generate(random));
        link.epochs.push((next.unwrap_or(1), *fresh.expose()));
        Ok(())
    }

    /// Reads a row of an account's tree that is named; none when it does not open.
    fn under<T: serde::de::DeserializeOwned>(
        &self,
        inner: &Inner,
        keys: &Keys,
        name: &RowName,
        kind: Kind,
    ) -> Result<Option<T>, VaultError> {
        let place = scanned_place(kind, inner.id, CollectionId::NONE, name);
        let stored = self.store.get(name)?;
        let content = stored.and_then(|stored| stored.open(&keys.rows, &place).ok());
        Ok(content.and_then(|content| decode(&content)))
    }

    fn put_under(
        &self,
        batch: &mut Batch,
        inner: &Inner,
        keys: &Keys,
        name: &RowName,
        kind: Kind,
        row: &impl serde::Serialize,
    ) {
        let place = scanned_place(kind, inner.id, CollectionId::NONE, name);
        let sealed = keys.rows.seal_by(&place, &encode(row), &self.ambient);
        batch.put(*name, sealed);
    }

    /// The private keys of former pairs.
    fn former(&self, inner: &Inner, keys: &Keys) -> Result<Vec<[u8; 32]>, VaultError> {
        let name = one(&keys.names, Kind::FormerKeys);
        let former = self.under(inner, keys, &name, Kind::FormerKeys)?;
        if former.is_none() && self.store.get(&name)?.is_some() {
            tracing::error!(account = %inner.id, row = name.short(),
                "the keys of before are damaged; what the audit trail told under them cannot be read");
        }
        Ok(former.unwrap_or_default())
    }

    /// The pairs that open an account's audit trail, the present one first.
    ///
    /// # Errors
    /// The store's.
    pub fn pairs_of(
        self: &Arc<Self>,
        id: AccountId,
        key: &AccountKey,
    ) -> Result<Vec<PairKey>, VaultError> {
        let record = self.account(id).ok_or(VaultError::Missing)?;
        let inner = self.inner(&record, Some(key), Tree::new(CollectionId::NONE));
        let mut former = self.former(&inner, inner.keys()?)?;
        let mut pairs = vec![key.pair()];
        pairs.extend(former.iter().rev().map(PairKey::read));
        former.zeroize();
        Ok(pairs)
    }

    /// The key file may or may not be the new one: the rename may have been done and the sync
    /// after it failed.
    fn not_replaced(&self, staged: RosterRow) {
        let RosterState::Rekeyed { generation } = staged.state else {
            return;
        };
        match self.key_files.read(staged.account) {
            Ok(Some(file)) if file.generation < generation => self.doom(staged),
            // The next start knows which it is; until then nobody writes under a key that may be
            // the old one.
            _ => {
                tracing::error!(account = %staged.account, "it is not known whether the new key file is on the disk: the account is closed until the next start");
                self.slots.write().remove(&staged.account);
            }
        }
    }

    /// Whether the key file is the one that a tree under a new key was written for. A key file that
    /// cannot be read says nothing: then all stays.
    pub(super) fn is_rekeyed(&self, account: AccountId, generation: u64) -> bool {
        self.key_file(account)
            .is_none_or(|file| file.generation >= generation)
    }

    /// The step after the key file was replaced, when the account is open by its new key.
    pub(super) fn finish_rekeyed(&self, inner: &Inner, tree: &Tree) -> Result<(), VaultError> {
        let Some(row) = self.rekeyed.lock().get(&inner.id).cloned() else {
            return Ok(());
        };
        let keys = inner.keys()?;
        if row.prefixes[0] != prefix_bytes(keys.names.prefix(Kind::Link)) {
            // A tree for a key file that never came, or is no more.
            return Ok(());
        }
        // Nothing of the old tree may go before the key file is sure to stay.
        let settled = self.key_files.settle(inner.id);
        settled.map_err(|error: io::Error| {
            tracing::error!(account = %inner.id, %error, "a new key file cannot be synced");
            VaultError::Store(crate::store::StoreError::Failed)
        })?;
        let mut batch = Batch::new();
        let live = self.account_roster(inner.id, keys);
        let roster = self.roster()?;
        let mut before = roster
            .into_iter()
            .map(|(_, row)| row)
            .find(|row| row.account == inner.id && row.collection == CollectionId::NONE);
        self.put_roster(&mut batch, &live);
        self.drop_roster(&mut batch, &row);
        if let Some(old) = &mut before {
            old.prefixes = without(&old.prefixes, &live.prefixes);
            old.collection = row.collection;
            old.state = RosterState::Doomed;
            self.put_roster(&mut batch, old);
        }
        for grant in &tree.grants {
            let seen = |id: &CollectionId| *id == tree.home || grant.calendars.contains(id);
            for entry in tree.entries.values() {
                if seen(&entry.state.id) && self.has_slot(inner.id, grant.slot) {
                    let link = entry.state.link(&entry.collection);
                    let (name, row) = self.seal_grant(inner.id, grant, &link);
                    batch.put(name, row);
                }
            }
        }
        self.store.commit(batch).wait()?;
        self.rekeyed.lock().remove(&inner.id);
        self.purges.lock().extend(before);
        Ok(())
    }
}
