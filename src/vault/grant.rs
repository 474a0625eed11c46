//! Grants: the keys of chosen calendars for a device that gets no others.
//!
//! Such a device's slot holds no account key but the private key of a pair. For each granted
//! calendar, and for the home (which holds no objects, and whose head and locks are needed), a row
//! holds the calendar's link, keys and all, boxed for the pair and sealed for the host:
//!
//! ```text
//! grant row = seal[host row key](place by name, slot, collection, box[pair](place of slot and collection, link))
//! ```
//!
//! The account's own row of kind `Grants` lists the devices with their public keys, so that
//! whatever changes a link writes the grants of it in the same commit, or deletes them.
//!
//! An account that is opened by such a device alone is a part of it (`Inner::keys` is none). Opened
//! whole, the same `Inner` serves all its devices, each through its view.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::directory::AccountRecord;
use super::model::VaultError;
use super::rows::{LinkRow, RosterRow, RosterState, decode, encode};
use super::tree::{Tree, prefix_bytes, scanned_place};
use super::unlock::{Inner, hang};
use super::{Vault, locks};
use crate::ids::{AccountId, CollectionId, ObjectId, SlotId};
use crate::seal::{Boxed, Kind, PairKey, Place, PublicKey, RowName, RowPrefix, Sealed, Stored};
use crate::store::{Batch, StoreError};

/// The collections that a device sees.
pub(super) type View = Arc<HashSet<CollectionId>>;

/// A device that has chosen calendars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grant {
    pub slot: SlotId,
    pub public: PublicKey,
    pub calendars: Vec<CollectionId>,
}

/// Host: a link for one device.
#[derive(Serialize, Deserialize)]
pub(super) struct GrantRow {
    pub slot: SlotId,
    pub collection: CollectionId,
    boxed: Boxed,
}

fn place(account: AccountId, slot: SlotId, collection: CollectionId) -> Place {
    let slot = ObjectId::from_bytes(*slot.bytes());
    Place::single(Kind::Grant, account, collection, slot)
}

impl Vault {
    pub(super) fn grant_prefix(&self, account: AccountId) -> RowPrefix {
        self.host_names.prefix_within(Kind::Grant, account.bytes())
    }

    pub(super) fn grant_name(
        &self,
        account: AccountId,
        slot: SlotId,
        collection: CollectionId,
    ) -> RowName {
        let mut both = [0; 32];
        both[..16].copy_from_slice(slot.bytes());
        both[16..].copy_from_slice(collection.bytes());
        let hash = *blake3::hash(&both).as_bytes();
        let object = hash[..16].try_into().expect("16 bytes");
        self.host_names
            .row_within(Kind::Grant, account.bytes(), object)
    }

    /// A link for one device.
    pub(super) fn seal_grant(
        &self,
        account: AccountId,
        grant: &Grant,
        link: &LinkRow,
    ) -> (RowName, Sealed) {
        let name = self.grant_name(account, grant.slot, link.id);
        let place = place(account, grant.slot, link.id);
        let row = GrantRow {
            slot: grant.slot,
            collection: link.id,
            boxed: grant.public.seal(&place, &encode(link), &self.ambient),
        };
        (name, self.seal_host(Kind::Grant, &name, &encode(&row)))
    }

    fn grant_rows(&self, account: AccountId) -> Result<Vec<(RowName, GrantRow)>, StoreError> {
        let mut rows = Vec::new();
        for row in self.store.scan(&self.grant_prefix(account)) {
            let (name, stored): (RowName, Stored) = row?;
            let place = scanned_place(Kind::Grant, AccountId::NONE, CollectionId::NONE, &name);
            let content = stored.open(&self.host_rows, &place).ok();
            match content.and_then(|content| decode::<GrantRow>(&content)) {
                Some(row) => rows.push((name, row)),
                None => tracing::error!(
                    %account,
                    row = name.short(),
                    "a granted calendar's row is damaged; its device does not see that calendar"
                ),
            }
        }
        Ok(rows)
    }

    /// The links that a device was granted.
    fn granted(
        &self,
        account: AccountId,
        slot: SlotId,
        pair: &PairKey,
    ) -> Result<Vec<LinkRow>, VaultError> {
        // What an `Inner` before enqueued must have been applied.
        self.store.barrier().wait()?;
        let mut links = Vec::new();
        for (name, row) in self.grant_rows(account)? {
            if row.slot != slot {
                continue;
            }
            let content = pair.open(&place(account, slot, row.collection), &row.boxed);
            let link = content.ok().and_then(|content| decode::<LinkRow>(&content));
            match link.filter(|link| link.id == row.collection) {
                Some(link) => links.push(link),
                None => {
                    tracing::error!(%account, row = name.short(), "a granted calendar does not open");
                }
            }
        }
        Ok(links)
    }

    /// Removes what was granted to devices whose slots are gone. Durable when it returns.
    pub fn forget_grants(&self, account: AccountId) -> Result<(), StoreError> {
        self.store.barrier().wait()?;
        let mut batch = Batch::new();
        for (name, row) in self.grant_rows(account)? {
            if !self.has_slot(account, row.slot) {
                batch.delete(name);
            }
        }
        match batch.is_empty() {
            true => Ok(()),
            false => self.store.commit(batch).wait(),
        }
    }

    /// Opens what a device was granted, into `there` when a part of the account is open already.
    pub(super) fn load_part(
        self: &Arc<Self>,
        record: &AccountRecord,
        slot: SlotId,
        pair: &PairKey,
        there: Option<Arc<Inner>>,
    ) -> Result<(Arc<Inner>, View), VaultError> {
        let links = self.granted(record.id, slot, pair)?;
        if links.is_empty() {
            // Revoked at this moment.
            return Err(VaultError::Missing);
        }
        let view = Arc::new(links.iter().map(|link| link.id).collect());
        let inner = there
            .unwrap_or_else(|| Arc::new(self.inner(record, None, Tree::new(CollectionId::NONE))));
        // A collection that is there already stays as it is: its writer is ahead of the disk.
        let gate = inner.gate.lock();
        for link in &links {
            if inner.tree.read().entries.contains_key(&link.id) {
                continue;
            }
            match self.load_collection(record.id, link) {
                Ok(entry) => drop(inner.tree.write().entries.insert(link.id, entry)),
                Err(VaultError::Damaged(row)) => {
                    tracing::error!(account = %record.id, row, "a granted calendar's head is damaged; it is not served");
                }
                Err(error) => return Err(error),
            }
        }
        let first = inner.tree.read().home == CollectionId::NONE;
        hang(&mut inner.tree.write());
        if inner.tree.read().home == CollectionId::NONE {
            return Err(VaultError::Damaged("home".into()));
        }
        if first {
            let mut batch = Batch::new();
            let mut tree = inner.tree.write();
            locks::load(&inner, &mut tree, &mut batch)?;
            drop(tree);
            inner.enqueue(batch);
        }
        drop(gate);
        Ok((inner, view))
    }

    /// Which rows are the account's own, whatever collections it has.
    pub(super) fn account_roster(
        &self,
        account: AccountId,
        key: &super::unlock::Keys,
    ) -> RosterRow {
        let mut prefixes = vec![
            prefix_bytes(key.names.prefix(Kind::Link)),
            prefix_bytes(key.names.prefix(Kind::Lock)),
            prefix_bytes(key.names.prefix(Kind::Grants)),
            prefix_bytes(key.names.prefix(Kind::FormerKeys)),
            prefix_bytes(key.names.prefix(Kind::TrashedLink)),
            prefix_bytes(self.grant_prefix(account)),
        ];
        prefixes.extend(self.chain(account).prefixes());
        RosterRow {
            account,
            collection: CollectionId::NONE,
            state: RosterState::Live,
            prefixes,
        }
    }
}

impl Inner {
    /// The list of devices with chosen calendars, when the account is opened.
    pub fn load_grants(&self) -> Result<Vec<Grant>, VaultError> {
        let keys = self.keys()?;
        let name = keys.names.row(Kind::Grants, ObjectId::NONE.bytes(), 0, 0);
        let Some(stored) = self.vault.store.get(&name)? else {
            return Ok(Vec::new());
        };
        let place = scanned_place(Kind::Grants, self.id, CollectionId::NONE, &name);
        let content = stored.open(&keys.rows, &place).ok();
        Ok(content
            .and_then(|content| decode(&content))
            .unwrap_or_else(|| {
                tracing::error!(account = %self.id, row = name.short(),
                    "the list of devices with chosen calendars is damaged; what changes is not written for them");
                Vec::new()
            }))
    }

    /// What a device sees of an account that is open whole.
    pub fn view_of(&self, slot: SlotId, pair: &PairKey) -> View {
        let public = pair.public();
        let tree = self.tree.read();
        let grant = tree
            .grants
            .iter()
            .find(|grant| grant.slot == slot && grant.public == public);
        Arc::new(grant.map_or_else(HashSet::new, |grant| {
            grant.calendars.iter().copied().collect()
        }))
    }
}
