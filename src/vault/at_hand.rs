//! What can be told of a path without waiting for anybody and without reading a row: asked by
//! those who must not block. True for the moment in which it is asked.

use super::read::AccountStore;
use super::tree::{Entry, Tree};
use crate::ids::Segment;

/// What is in memory of a path that `AccountStore::resolve` finds without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtHand {
    /// Collections of the whole account.
    pub collections: usize,
    /// Locks of the whole account.
    pub locks: usize,
    /// Whether the members of the collection there, or of the one above, can be told too.
    pub members: Telling,
}

/// Whether members of a collection can be told at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// Its index is in memory.
    AtOnce,
    /// Its index has to be loaded, or somebody changes it just now.
    Later,
}

impl AccountStore {
    /// What is in memory of a path below the home; none when `resolve` might wait or read rows.
    pub fn at_hand(&self, path: &[Segment]) -> Option<AtHand> {
        let tree = self.inner.tree.try_read()?;
        let mut at = tree.entries.get(&tree.home)?;
        let mut below = path.iter();
        let beyond = below.find(|segment| match self.member(&tree, at, segment) {
            Some(child) => {
                at = child;
                false
            }
            None => true,
        });
        let loaded = at
            .state
            .index
            .try_read()
            .is_some_and(|index| index.is_some());
        let members = match loaded {
            true => Telling::AtOnce,
            false => Telling::Later,
        };
        // A name that no collection has may be that of an object.
        (beyond.is_none() || loaded).then_some(AtHand {
            collections: tree.entries.len(),
            locks: tree.locks.len(),
            members,
        })
    }

    fn member<'t>(&self, tree: &'t Tree, above: &Entry, segment: &Segment) -> Option<&'t Entry> {
        let id = above.children.get(segment)?;
        self.entry(tree, *id)
    }

    /// Whether a small change can be enqueued without waiting, and leaves no trash to cut.
    pub fn is_roomy(&self) -> bool {
        let vault = &self.inner.vault;
        vault.store.has_room_in_line() && !self.inner.kept.is_nearly_flooded(vault.retention())
    }

    /// Whether all that this account has seen is on the disk, and so in the store too: a row that
    /// `resolve` tells of is there without waiting.
    pub fn is_settled(&self) -> bool {
        let last = self.inner.last.try_lock();
        last.is_some_and(|last| last.is_durable()) && self.inner.vault.store.is_readable()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestVault;
    use super::*;

    #[test]
    fn what_would_wait_is_not_at_hand() {
        let vault = TestVault::new();
        let secret = vault.add("alice");
        let account = vault.unlock("alice", &secret);
        // An account begins with a calendar of that name.
        let [calendar, object] = ["calendar", "a.ics"].map(|name| Segment::parse(name).unwrap());
        let there = std::slice::from_ref(&calendar);
        let below = [calendar.clone(), object];
        let members = |path: &[Segment]| account.at_hand(path).map(|at_hand| at_hand.members);
        account.barrier().wait().unwrap();
        assert_eq!(
            (members(there), members(&below)),
            (Some(Telling::Later), None)
        );
        account.resolve(&below).unwrap();
        let at_once = Some(Telling::AtOnce);
        assert_eq!((members(there), members(&below)), (at_once, at_once));
        assert!(account.is_settled());
        let id = account.collections(account.home().id)[0].id;
        let state = account.state(id).unwrap();
        {
            let _changing = state.index.write();
            assert_eq!(
                (members(there), members(&below)),
                (Some(Telling::Later), None)
            );
        }
        {
            let _changing = account.inner.tree.write();
            assert_eq!((members(there), members(&[])), (None, None));
        }
        let _committing = account.inner.last.lock();
        assert!(!account.is_settled());
    }
}
