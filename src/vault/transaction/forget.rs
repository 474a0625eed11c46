//! Forgetting what is gone: tombstones are kept for so many days, and then dropped in small steps
//! while their account is in use.
//!
//! A sync-token of before is refused from then on (DAV:valid-sync-token, RFC 6578 section 3.8), and
//! its client lists the collection anew: the head's floor is raised in the commit that drops the
//! tombstones, so that no crash lets a client miss a deletion. Nothing else changes, neither the
//! revision nor any newer token.

use std::sync::{Arc, Weak};

use super::super::Vault;
use super::super::index::{At, Index};
use super::super::model::VaultError;
use super::super::read::AccountStore;
use super::super::rows::Tombstone;
use super::super::tree::State;
use super::super::unlock::Inner;
use super::Transaction;
use crate::ambient::UnixMillis;
use crate::ids::SlotId;
use crate::limits;
use crate::seal::Terms;

impl Vault {
    /// Drops tombstones of before `end`, at most `limits::FORGET_TOMBSTONES`, from collections of
    /// unlocked accounts whose index is in memory; the others have their turn when they are used.
    /// Gives how many were dropped; call it again if that is the most.
    ///
    /// # Errors
    /// The store fails.
    pub fn forget_tombstones(self: &Arc<Self>, end: UnixMillis) -> Result<usize, VaultError> {
        let inners: Vec<Arc<Inner>> = {
            let registry = self.registry.lock();
            registry.values().filter_map(Weak::upgrade).collect()
        };
        let mut dropped = 0;
        // Of a part of an account no link is held, and whoever opens the whole comes soon.
        for inner in inners.into_iter().filter(|inner| inner.keys.is_some()) {
            let account = AccountStore::new(inner, SlotId::NONE, Terms::default(), None);
            match account.forget_before(end, limits::FORGET_TOMBSTONES - dropped) {
                Ok(count) => dropped += count,
                // It was locked at this moment, or a collection went.
                Err(VaultError::Locked | VaultError::Missing) => {}
                Err(error) => return Err(error),
            }
            if dropped >= limits::FORGET_TOMBSTONES {
                break;
            }
        }
        Ok(dropped)
    }
}

impl AccountStore {
    fn forget_before(&self, end: UnixMillis, most: usize) -> Result<usize, VaultError> {
        let states: Vec<Arc<State>> = {
            let tree = self.inner.tree.read();
            let entries = tree.entries.values();
            entries.map(|entry| Arc::clone(&entry.state)).collect()
        };
        let mut dropped = 0;
        for state in states {
            let left = most - dropped;
            let due = |state: &State| {
                let index = state.index.read();
                index
                    .as_ref()
                    .map_or_else(Vec::new, |index| old(index, end, left))
            };
            // Asked without the gate first: mostly there is nothing to do.
            if due(&state).is_empty() {
                continue;
            }
            dropped += self.write(|transaction| transaction.forget(&state, &due(&state)))?;
            if dropped >= most {
                break;
            }
        }
        Ok(dropped)
    }
}

/// The oldest tombstones, up to the first that is not of before `end`: what lies behind it stays
/// although the clock may have gone back, since it is told of to the same tokens.
fn old(index: &Index, end: UnixMillis, most: usize) -> Vec<Arc<Tombstone>> {
    let gone = index.changes.iter().filter_map(|at| match at {
        At::Gone(tombstone) => Some(tombstone),
        At::Live(_) => None,
    });
    gone.take_while(|tombstone| tombstone.changed < end)
        .take(most)
        .cloned()
        .collect()
}

impl Transaction {
    fn forget(
        &mut self,
        state: &State,
        tombstones: &[Arc<Tombstone>],
    ) -> Result<usize, VaultError> {
        let Some(last) = tombstones.last() else {
            return Ok(0);
        };
        let head = self.head(state.id)?;
        head.floor = head.floor.max(last.revision);
        for tombstone in tombstones {
            self.drop_tombstone(state, Arc::clone(tombstone))?;
        }
        Ok(tombstones.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::ids::Segment;
    use crate::vault::testing::TestVault;
    use crate::vault::tests::{calendar, event, put};

    const DAY: i64 = 24 * 60 * 60 * 1000;

    #[test]
    fn old_tombstones_are_dropped_and_their_tokens_refused() {
        let clock = Arc::new(AtomicI64::new(1_000 * DAY));
        let vault = TestVault::with_clock(&clock);
        let secret = vault.add("alice");
        let account = vault.unlock("alice", &secret);
        let id = calendar(&account);
        let token = |account: &AccountStore| account.token(&account.collection(id).unwrap());
        let delete = |name: &str| {
            let segment = Segment::parse(name).unwrap();
            let object = account.object(id, &segment).unwrap().unwrap();
            let done: Result<(), VaultError> = account.write(|tx| tx.delete_object(id, &object));
            done.unwrap();
        };
        for number in 0..4 {
            let (name, uid) = (format!("{number}.ics"), number.to_string());
            put(&account, event(id, &name, &uid, "x"));
        }
        let first = token(&account);
        delete("0.ics");
        delete("1.ics");
        let second = token(&account);
        clock.fetch_add(100 * DAY, Ordering::Relaxed);
        delete("2.ics");
        let last = token(&account);

        let end = UnixMillis(1_001 * DAY);
        assert_eq!(vault.vault.forget_tombstones(end).unwrap(), 2);
        assert_eq!(vault.vault.forget_tombstones(end).unwrap(), 0);
        let told = |account: &AccountStore| {
            let since = |token: &str| account.changes(id, Some(token), 100);
            assert_eq!(since(&first).unwrap_err(), VaultError::TokenInvalid);
            assert_eq!(since(&second).unwrap().changes.len(), 1);
            assert_eq!(since(&last).unwrap().changes.len(), 0);
            assert_eq!(token(account), last, "nobody has to sync for it");
            let all = account.changes(id, None, 100).unwrap();
            assert_eq!(all.changes.len(), 1);
        };
        told(&account);
        account.barrier().wait().unwrap();
        assert!(vault.vault.adds_up(&account));
        drop(account);
        let vault = vault.restart();
        told(&vault.unlock("alice", &secret));
    }

    #[test]
    fn a_step_is_bounded_and_leaves_the_newer_ones() {
        let clock = Arc::new(AtomicI64::new(1_000 * DAY));
        let vault = TestVault::with_clock(&clock);
        let secret = vault.add("alice");
        let account = vault.unlock("alice", &secret);
        let id = calendar(&account);
        for number in 0..5 {
            let (name, uid) = (format!("{number}.ics"), number.to_string());
            put(&account, event(id, &name, &uid, "x"));
            let segment = Segment::parse(&name).unwrap();
            let object = account.object(id, &segment).unwrap().unwrap();
            let done: Result<(), VaultError> = account.write(|tx| tx.delete_object(id, &object));
            done.unwrap();
        }
        let end = UnixMillis(1_001 * DAY);
        assert_eq!(account.forget_before(end, 3).unwrap(), 3);
        assert_eq!(account.forget_before(UnixMillis(999 * DAY), 3).unwrap(), 0);
        let tokens = account.token(&account.collection(id).unwrap());
        assert!(account.changes(id, Some(&tokens), 9).is_ok());
        let left = account.with_index(id, |index| index.gone.len()).unwrap();
        assert_eq!(left, 2);
        assert_eq!(account.forget_before(end, 3).unwrap(), 2);
    }
}
