//! The rows of WebDAV locks: named and sealed under the home's keys, so that a device with chosen
//! calendars sees and honours them too. Those of before are under the account key; they are
//! written anew when the account is opened.

use std::sync::Arc;

use super::Vault;
use super::model::{Lock, VaultError};
use super::rows::{decode, encode};
use super::tree::{State, Tree, scanned_place};
use super::unlock::Inner;
use crate::ids::CollectionId;
use crate::seal::{Kind, RowName, Sealed};
use crate::store::Batch;

fn hash(token: &str) -> [u8; 16] {
    let hash = *blake3::hash(token.as_bytes()).as_bytes();
    hash[..16].try_into().expect("16 bytes")
}

/// The name of a lock's row.
pub(super) fn name(home: &State, token: &str) -> RowName {
    home.names.row(Kind::Lock, &hash(token), 0, 0)
}

/// Seals a lock.
pub(super) fn seal(vault: &Vault, home: &State, name: &RowName, lock: &Lock) -> Sealed {
    let epoch = home.current();
    let place = home.scanned_place(Kind::Lock, name, epoch.number);
    epoch.rows.seal_by(&place, &encode(lock), &vault.ambient)
}

/// Reads the locks; what has ended, or cannot be read, is deleted by `batch`.
pub(super) fn load(inner: &Inner, tree: &mut Tree, batch: &mut Batch) -> Result<(), VaultError> {
    let vault = &inner.vault;
    let home = tree.entries[&tree.home].state.clone();
    let now = vault.ambient.now();
    for row in vault.store.scan(&home.names.prefix(Kind::Lock)) {
        let (name, stored) = row?;
        match home.open::<Lock>(Kind::Lock, &name, &stored) {
            Some(lock) if lock.expires > now => tree.locks.push(Arc::new(lock)),
            found => {
                damaged(inner, found.is_none(), &name);
                batch.delete(name);
            }
        }
    }
    let Ok(keys) = inner.keys() else {
        return Ok(());
    };
    for row in vault.store.scan(&keys.names.prefix(Kind::Lock)) {
        let (old, stored) = row?;
        let place = scanned_place(Kind::Lock, inner.id, CollectionId::NONE, &old);
        let content = stored.open(&keys.rows, &place).ok();
        let lock = content.and_then(|content| decode::<Lock>(&content));
        damaged(inner, lock.is_none(), &old);
        batch.delete(old);
        if let Some(lock) = lock.filter(|lock| lock.expires > now) {
            let name = name(&home, &lock.token);
            batch.put(name, seal(vault, &home, &name, &lock));
            tree.locks.push(Arc::new(lock));
        }
    }
    Ok(())
}

fn damaged(inner: &Inner, damaged: bool, name: &RowName) {
    if damaged {
        // A lock that nobody can name would bar its path for ever.
        tracing::error!(account = %inner.id, row = name.short(), "a lock is damaged; it is dropped");
    }
}
