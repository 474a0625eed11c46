//! Trash and history for the person whose account it is: opened by the password or the recovery
//! key for that one command, with the names of devices and the paths of objects in place of ids.

use std::sync::Arc;

use super::admin::{AdminError, refused};
use super::{Accounts, Authority, expiry};
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, ObjectId, Segment, SlotId};
use crate::seal::SlotKey;
use crate::vault::{AccountStore, Node, Summary, VaultError};

/// Which object: by its path below the home as clients show it, decoded, or by its id as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The collection.
    pub collection: CollectionId,
    /// The object.
    pub object: ObjectId,
    /// It, when it is there now.
    pub live: Option<Arc<Summary>>,
}

impl Accounts {
    /// Opens a whole account for one command.
    ///
    /// # Errors
    /// No such user, a wrong secret, an account that is disabled or does not open.
    pub fn open_whole(
        &self,
        name: &str,
        authority: &Authority,
    ) -> Result<AccountStore, AdminError> {
        let record = self.record(name)?;
        let (content, slot) = self.opened_by(&record, authority)?;
        if !matches!(content.key, SlotKey::Whole(_)) {
            return refused("the password or recovery key is wrong");
        }
        let opened = self.vault.unlock(record.id, content, slot);
        opened.map_err(|error| match error {
            VaultError::Missing => AdminError("the account is disabled".into()),
            error => failed(&error),
        })
    }

    /// What a user calls a device.
    pub fn device_labels(&self, name: &str) -> Result<Vec<(SlotId, String)>, AdminError> {
        let listed = self.device_list(name)?;
        let label =
            |label: Option<String>| label.unwrap_or_else(|| "(the account's password)".into());
        Ok(listed
            .into_iter()
            .map(|device| (device.slot, label(device.label)))
            .collect())
    }

    /// The device of this slot or label. A slot that is revoked is taken too: its changes are there.
    ///
    /// # Errors
    /// None has it, or several.
    pub fn device_named(&self, name: &str, slot_or_label: &str) -> Result<SlotId, AdminError> {
        if let Some(slot) = SlotId::from_hex(slot_or_label) {
            return Ok(slot);
        }
        let labels = self.device_labels(name)?;
        let mut found = labels.iter().filter(|(_, label)| label == slot_or_label);
        match (found.next(), found.next()) {
            (Some((slot, _)), None) => Ok(*slot),
            (Some(_), Some(_)) => refused(
                "several devices have that label; give the slot, which 'sealdav device list NAME' shows",
            ),
            (None, _) => refused("there is no such device; 'sealdav device list NAME' shows them"),
        }
    }

    /// A time in the past, as people write it: `3d`, `12h`, `2026-12-24`.
    ///
    /// # Errors
    /// It is none.
    pub fn past_time(&self, text: &str) -> Result<UnixMillis, AdminError> {
        expiry::parse_past(text, self.vault.ambient().now())
    }

    /// Finds an object by its path, or by the id that `trash list` shows.
    ///
    /// # Errors
    /// There is none.
    pub fn address(&self, account: &AccountStore, text: &str) -> Result<Address, AdminError> {
        if let Some(object) = ObjectId::from_hex(text) {
            let trashed = account.trashed_objects().map_err(|error| failed(&error))?;
            let found = trashed.iter().find(|trashed| trashed.object == object);
            if let Some(found) = found {
                return Ok(Address {
                    collection: found.collection,
                    object,
                    live: None,
                });
            }
        }
        let parts = text.trim_matches('/').split('/');
        let path: Result<Vec<_>, _> = parts.map(Segment::parse).collect();
        let node = account.resolve(&path?).map_err(|error| failed(&error))?;
        match node {
            Node::Object(collection, live) => Ok(Address {
                collection: collection.id,
                object: live.id,
                live: Some(live),
            }),
            Node::Collection(_) => refused("that is a collection; give an object in it"),
            _ => refused(
                "there is no such object; 'sealdav trash list NAME' shows deleted ones with their ids",
            ),
        }
    }
}

/// What a person is told of an error of the vault.
pub fn failed(error: &VaultError) -> AdminError {
    AdminError(match error {
        VaultError::Exists => {
            "something else has that name now; restore it under another with --as".into()
        }
        VaultError::UidConflict(other) => {
            format!("{} has the same UID now; delete that first", other.as_str())
        }
        VaultError::Missing => "it is not there (any more)".into(),
        VaultError::Denied => {
            "a device that may read only, or has chosen calendars only, may not do this".into()
        }
        VaultError::Limit(limit) => format!("a limit is reached: {limit}"),
        VaultError::Damaged(row) => format!("its rows are damaged ({row})"),
        VaultError::Locked => "the account was locked meanwhile; try again".into(),
        VaultError::Store(error) => format!("the store failed: {error}"),
        VaultError::TokenInvalid | VaultError::Busy => "it changed meanwhile; try again".into(),
    })
}
