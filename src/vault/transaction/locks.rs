//! Locks: added, refreshed, removed. Whether one may be is decided by the floor above.

use std::sync::Arc;

use super::super::locks;
use super::super::model::{Lock, Node, VaultError};
use super::super::unlock::live;
use super::{Effect, Transaction};
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, Segment};
use crate::limits;

impl Transaction {
    /// Adds a lock; whether it may be is the caller's to decide.
    ///
    /// # Errors
    /// `Limit` when the account has too many.
    pub fn add_lock(&mut self, lock: Lock) -> Result<(), VaultError> {
        self.account.inner.vault.store.room()?;
        let now = self.now;
        let live = |lock: &&Arc<Lock>| lock.expires > now;
        let tree = self.account.inner.tree.read();
        if tree.locks.iter().filter(live).count() >= limits::LOCKS {
            return Err(VaultError::Limit("locks"));
        }
        let meet = |other: &&Arc<Lock>| lock.root.starts_with(&other.root);
        if tree.locks.iter().filter(live).filter(meet).count() >= limits::LOCKS_OF_RESOURCE {
            return Err(VaultError::Limit("locks of one resource"));
        }
        drop(tree);
        self.may_lock(&lock)?;
        self.put_lock(lock);
        Ok(())
    }

    /// A device with chosen calendars locks in these, and nothing of the home's.
    fn may_lock(&self, lock: &Lock) -> Result<(), VaultError> {
        let Some(first) = lock.root.first().filter(|_| self.account.is_limited()) else {
            return match lock.root.is_empty() {
                true => self.account.whole(),
                false => Ok(()),
            };
        };
        match self.account.resolve(std::slice::from_ref(first))? {
            Node::Collection(_) => Ok(()),
            _ => Err(VaultError::Denied),
        }
    }

    pub(super) fn put_lock(&mut self, lock: Lock) {
        let inner = self.account.inner.clone();
        let home = inner.home_state();
        // One that was made before its locks were under its own keys does not list them.
        let roster = live(inner.id, home.id, &home);
        inner.vault.put_roster(&mut self.batch, &roster);
        // Their rows go with the memory of them, or they would pile up while the account is open.
        for old in &inner.tree.read().locks {
            if old.expires <= self.now {
                self.batch.delete(locks::name(&home, &old.token));
            }
        }
        let name = locks::name(&home, &lock.token);
        self.batch
            .put(name, locks::seal(&inner.vault, &home, &name, &lock));
        self.effects.push(Effect::Locked(Arc::new(lock)));
    }

    /// Gives a lock a new end.
    pub fn refresh_lock(&mut self, token: &str, expires: UnixMillis) {
        let lock = self
            .account
            .locks()
            .into_iter()
            .find(|lock| lock.token == token && self.may_lock(lock).is_ok());
        if let Some(lock) = lock {
            self.put_lock(Lock {
                expires,
                ..(*lock).clone()
            });
        }
    }

    /// Removes a lock.
    ///
    /// # Errors
    /// `Denied` when it is not one that the device could have made.
    pub fn remove_lock(&mut self, token: &str) -> Result<(), VaultError> {
        let locks = self.account.locks();
        match locks.iter().find(|lock| lock.token == token) {
            Some(lock) => self.may_lock(lock)?,
            None => self.account.whole()?,
        }
        self.drop_lock(token);
        Ok(())
    }

    fn drop_lock(&mut self, token: &str) {
        let home = self.account.inner.home_state();
        self.batch.delete(locks::name(&home, token));
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
            self.drop_lock(&lock.token);
        }
    }
}
