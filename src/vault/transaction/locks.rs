//! Locks: added, refreshed, removed. Whether one may be is decided by the floor above.

use std::sync::Arc;

use super::super::model::{Lock, VaultError};
use super::super::rows::encode;
use super::{Effect, Transaction};
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, Segment};
use crate::limits;
use crate::seal::Kind;

impl Transaction {
    /// Adds a lock; whether it may be is the caller's to decide.
    ///
    /// # Errors
    /// `Limit` when the account has too many.
    pub fn add_lock(&mut self, lock: Lock) -> Result<(), VaultError> {
        self.account.inner.vault.store.room()?;
        let locks = self.account.locks();
        if locks.len() >= limits::LOCKS {
            return Err(VaultError::Limit("locks"));
        }
        let meet = |other: &&Arc<Lock>| lock.root.starts_with(&other.root);
        if locks.iter().filter(meet).count() >= limits::LOCKS_OF_RESOURCE {
            return Err(VaultError::Limit("locks of one resource"));
        }
        self.put_lock(lock);
        Ok(())
    }

    pub(super) fn put_lock(&mut self, lock: Lock) {
        let inner = self.account.inner.clone();
        // Their rows go with the memory of them, or they would pile up while the account is open.
        for old in &inner.tree.read().locks {
            if old.expires <= self.now {
                self.batch.delete(inner.lock_name(&old.token));
            }
        }
        let name = inner.lock_name(&lock.token);
        self.batch
            .put(name, inner.seal(Kind::Lock, &name, &encode(&lock)));
        self.effects.push(Effect::Locked(Arc::new(lock)));
    }

    /// Gives a lock a new end.
    pub fn refresh_lock(&mut self, token: &str, expires: UnixMillis) {
        let lock = self
            .account
            .locks()
            .into_iter()
            .find(|lock| lock.token == token);
        if let Some(lock) = lock {
            self.put_lock(Lock {
                expires,
                ..(*lock).clone()
            });
        }
    }

    /// Removes a lock.
    pub fn remove_lock(&mut self, token: &str) {
        self.batch.delete(self.account.inner.lock_name(token));
        self.effects.push(Effect::Unlocked(token.to_owned()));
    }

    /// Removes the locks rooted at a member and below it.
    pub(super) fn unlock_below(&mut self, parent: CollectionId, segment: &Segment) {
        self.unlock_from(parent, segment, 0);
    }

    /// Removes the locks rooted below a member, not those at it.
    pub(super) fn unlock_inside(&mut self, parent: CollectionId, segment: &Segment) {
        self.unlock_from(parent, segment, 1);
    }

    fn unlock_from(&mut self, parent: CollectionId, segment: &Segment, deeper: usize) {
        let mut path = self.account.path_of(parent);
        path.push(segment.clone());
        let locks = self.account.inner.tree.read().locks.clone();
        let gone = |lock: &&Arc<Lock>| {
            lock.root.starts_with(&path) && lock.root.len() >= path.len() + deeper
        };
        for lock in locks.iter().filter(gone) {
            self.remove_lock(&lock.token);
        }
    }
}
