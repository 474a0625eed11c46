//! What the server remembers of each device: when its key slot was used, and by which families of
//! clients. Sealed under the host key; gone with the account, the slot, or time.

use serde::{Deserialize, Serialize};

use crate::ambient::UnixMillis;
use crate::ids::{AccountId, SlotId};
use crate::seal::{Kind, RowName};
use crate::store::{Batch, Receipt, StoreError};
use crate::vault::Vault;
use crate::vault::rows::encode;

/// A family of clients. The order is part of the stored format: add at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ClientFamily {
    Other,
    Ios,
    MacOs,
    Davx5,
    Thunderbird,
    Evolution,
    KOrganizer,
    Vdirsyncer,
    Curl,
}

/// What is known of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Its key slot.
    pub slot: SlotId,
    /// When it was first used.
    pub first: UnixMillis,
    /// When it was last used, as far as it was written: up to an hour late.
    pub last: UnixMillis,
    /// By which families of clients, each once.
    pub families: Vec<ClientFamily>,
}

impl Vault {
    /// All devices of an account that are remembered.
    ///
    /// # Errors
    /// The store's.
    pub fn stored_devices(&self, account: AccountId) -> Result<Vec<DeviceRecord>, StoreError> {
        let rows = &self.chain(account).rows;
        let mut devices = Vec::new();
        for row in self.store.scan(&rows.names.prefix(Kind::Device)) {
            let (name, stored) = row?;
            match self.open_device::<DeviceRecord>(&name, stored) {
                Some(device) if rows.device(device.slot) == name => devices.push(device),
                _ => {
                    tracing::error!(%account, row = name.short(), "what was known of a device is damaged")
                }
            }
        }
        Ok(devices)
    }

    /// The rows of devices that do not open, or are not under their own name.
    pub(in crate::vault) fn damaged_devices(
        &self,
        account: AccountId,
    ) -> Result<Vec<RowName>, StoreError> {
        let rows = &self.chain(account).rows;
        let mut damaged = Vec::new();
        for row in self.store.scan(&rows.names.prefix(Kind::Device)) {
            let (name, stored) = row?;
            let device = self.open_device::<DeviceRecord>(&name, stored);
            if device.is_none_or(|device| rows.device(device.slot) != name) {
                damaged.push(name);
            }
        }
        Ok(damaged)
    }

    /// Remembers devices, and forgets others, of one account.
    pub fn store_devices(
        &self,
        account: AccountId,
        remembered: &[DeviceRecord],
        forgotten: &[SlotId],
    ) -> Receipt {
        let rows = &self.chain(account).rows;
        let mut batch = Batch::new();
        for device in remembered {
            let name = rows.device(device.slot);
            let sealed = self.seal_host(Kind::Device, &name, &encode(device));
            batch.put(name, sealed);
        }
        for slot in forgotten {
            batch.delete(rows.device(*slot));
        }
        self.store.commit(batch)
    }
}
