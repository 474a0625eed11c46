//! What devices with chosen calendars are granted, kept in step with the links.

use super::super::grant::Grant;
use super::super::model::{Collection, VaultError};
use super::super::read::AccountStore;
use super::super::rows::encode;
use super::super::tree::State;
use super::{Effect, Transaction};
use crate::ids::{CollectionId, ObjectId, SlotId};
use crate::limits;
use crate::seal::{CHUNK_CONTENT_BYTES, Kind, PublicKey};

/// The list of all devices must fit into its one row.
const _: () = assert!(
    limits::APP_PASSWORDS * (64 + 16 * limits::GRANTED_CALENDARS) < CHUNK_CONTENT_BYTES,
    "GRANTED_CALENDARS is too large"
);

impl AccountStore {
    /// Grants calendars of the home to a device that has no others; durable when it returns.
    ///
    /// # Errors
    /// `Missing` for what is no calendar of the home, `Limit`, `Denied` for a device that has no
    /// more than chosen calendars itself.
    pub fn grant(
        &self,
        slot: SlotId,
        public: PublicKey,
        calendars: &[CollectionId],
    ) -> Result<(), VaultError> {
        if calendars.len() > limits::GRANTED_CALENDARS {
            return Err(VaultError::Limit("granted calendars"));
        }
        let grant = Grant {
            slot,
            public,
            calendars: calendars.to_vec(),
        };
        self.write(|tx| tx.grant(grant))?;
        Ok(self.barrier().wait()?)
    }
}

impl Transaction {
    /// Adds a device.
    pub(in crate::vault) fn grant(&mut self, grant: Grant) -> Result<(), VaultError> {
        self.account.whole()?;
        let inner = self.account.inner.clone();
        let mut grants = self.grants();
        if grants.len() >= limits::APP_PASSWORDS {
            return Err(VaultError::Limit("devices with chosen calendars"));
        }
        let home = self.account.home();
        for id in &grant.calendars {
            let calendar = self.account.collection(*id).ok_or(VaultError::Missing)?;
            if !calendar.is_calendar() || calendar.parent != Some(home.id) {
                return Err(VaultError::Missing);
            }
            self.put_grant(&grant, &calendar)?;
        }
        self.put_grant(&grant, &home)?;
        grants.push(grant);
        let keys = inner.keys()?;
        let name = keys.names.row(Kind::Grants, ObjectId::NONE.bytes(), 0, 0);
        let row = inner.seal(Kind::Grants, &name, &encode(&grants))?;
        self.batch.put(name, row);
        let roster = inner.vault.account_roster(inner.id, keys);
        inner.vault.put_roster(&mut self.batch, &roster);
        self.effects.push(Effect::Granted(grants));
        Ok(())
    }

    /// The devices whose slots are still there.
    fn grants(&self) -> Vec<Grant> {
        let inner = &self.account.inner;
        let mut grants = inner.tree.read().grants.clone();
        grants.retain(|grant| inner.vault.has_slot(inner.id, grant.slot));
        grants
    }

    fn put_grant(&mut self, grant: &Grant, collection: &Collection) -> Result<(), VaultError> {
        let state = self.account.state(collection.id)?;
        let inner = &self.account.inner;
        let link = state.link(collection);
        let (name, row) = inner.vault.seal_grant(inner.id, grant, &link);
        self.batch.put(name, row);
        Ok(())
    }

    /// A link has changed: so do the grants of it.
    pub(super) fn put_grants_of(&mut self, state: &State, collection: &Collection) {
        let inner = self.account.inner.clone();
        let home = inner.tree.read().home;
        for grant in self.grants() {
            if collection.id == home || grant.calendars.contains(&collection.id) {
                let link = state.link(collection);
                let (name, row) = inner.vault.seal_grant(inner.id, &grant, &link);
                self.batch.put(name, row);
            }
        }
    }

    /// A link is gone: so are the grants of it.
    pub(super) fn drop_grants_of(&mut self, id: CollectionId) {
        let inner = self.account.inner.clone();
        let grants = inner.tree.read().grants.clone();
        for grant in grants.iter().filter(|grant| grant.calendars.contains(&id)) {
            self.batch
                .delete(inner.vault.grant_name(inner.id, grant.slot, id));
        }
    }
}
