//! What changed: sync-tokens, and the differences since one (RFC 6578).

use super::index::{At, Index};
use super::model::{Change, Changes, Collection, VaultError};
use super::read::AccountStore;
use super::tree::{Entry, Tree};
use crate::ids::CollectionId;

/// How far a client has got, as its sync-token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since {
    /// The last change that it was told of.
    revision: u64,
    /// The revision from which on it needs tombstones. Ahead of `revision` only while a first
    /// listing is told in parts: what was gone before it began, the client never had.
    known: u64,
}

impl Since {
    fn all(revision: u64) -> Self {
        Since {
            revision,
            known: revision,
        }
    }

    fn read(token: &str) -> Option<Self> {
        let text = token.rsplit(':').next()?;
        let Some((revision, known)) = text.split_once('-') else {
            return text.parse().ok().map(Since::all);
        };
        Some(Since {
            revision: revision.parse().ok()?,
            known: known.parse().ok()?,
        })
    }
}

impl AccountStore {
    /// A collection's sync-token (RFC 6578 section 3), which serves as its ctag too. Bound to the
    /// collection and to the store's epoch, so that a token from before a restore is refused
    /// instead of silently losing changes.
    pub fn token(&self, collection: &Collection) -> String {
        self.token_at(collection.id, Since::all(collection.revision))
    }

    /// The revision up to which a sync-token says that its client knows everything; none when it
    /// is none of ours.
    pub fn known_by(token: &str) -> Option<u64> {
        Since::read(token).map(|since| since.revision)
    }

    fn token_at(&self, id: CollectionId, since: Since) -> String {
        let tree = self.inner.tree.read();
        let tag = self
            .entry(&tree, id)
            .map_or([0; 16], |entry| entry.state.etags.tag(b"sync-token"));
        let tag = u64::from_le_bytes(tag[..8].try_into().expect("8 bytes"));
        let Since { revision, known } = since;
        let epoch = self.inner.vault.store.epoch();
        if known == revision {
            format!("urn:sealdav:sync:{tag:016x}:{epoch:x}:{revision}")
        } else {
            format!("urn:sealdav:sync:{tag:016x}:{epoch:x}:{revision}-{known}")
        }
    }

    /// A tag that changes when anything below the home does: computed from the revisions of all
    /// collections, never stored.
    pub fn home_ctag(&self) -> String {
        let tree = self.inner.tree.read();
        let mut revisions: Vec<_> = tree
            .entries
            .values()
            .filter(|entry| self.entry(&tree, entry.collection.id).is_some())
            .map(|entry| (entry.collection.id, entry.head.revision))
            .collect();
        revisions.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for (id, revision) in revisions {
            hasher.update(id.bytes()).update(&revision.to_le_bytes());
        }
        let tag = tree.entries[&tree.home]
            .state
            .etags
            .tag(hasher.finalize().as_bytes());
        format!("urn:sealdav:home:{:032x}", u128::from_le_bytes(tag))
    }

    /// What changed in a calendar, or in the home, since a token, at most `limit` changes; without
    /// a token everything live.
    ///
    /// # Errors
    /// `TokenInvalid` (DAV:valid-sync-token) when the token is not of this collection and epoch,
    /// lies ahead, or is older than the tombstones kept; for a device with chosen calendars also
    /// when a collection has gone from the home since.
    pub fn changes(
        &self,
        id: CollectionId,
        since: Option<&str>,
        limit: usize,
    ) -> Result<Changes, VaultError> {
        let since = match since {
            None => Since::all(0),
            Some(token) => Since::read(token)
                .filter(|since| token == self.token_at(id, *since))
                .ok_or(VaultError::TokenInvalid)?,
        };
        self.note_read(id);
        self.with_index(id, |index| self.changes_in(index, id, since, limit))?
    }

    fn changes_in(
        &self,
        index: &Index,
        id: CollectionId,
        since: Since,
        limit: usize,
    ) -> Result<Changes, VaultError> {
        let tree = self.inner.tree.read();
        let entry = self.entry(&tree, id).ok_or(VaultError::Missing)?;
        let head = entry.head.revision;
        let Since {
            revision: since,
            known,
        } = self.checked(index, &tree, entry, since)?;
        // The name of what is gone from the home may be of a calendar that was never seen.
        let hides = self.is_limited() && id == tree.home;
        let children = self.changed_children(&tree, entry, since);
        let mut children = children.into_iter().peekable();
        // From nothing, only what lives is told; so that a continued first sync does not report
        // what the client never saw, it would have to know: it is told of those, which is harmless.
        let mut members = index
            .changes
            .range::<u64, _>(since + 1..)
            .filter(|at| (since != 0 && !hides) || matches!(at, At::Live(_)))
            .map(|at| {
                let change = match at {
                    At::Live(summary) => Change::Object(summary.clone()),
                    At::Gone(tombstone) => Change::Gone(tombstone.segment.clone()),
                };
                (at.revision(), change)
            })
            .peekable();
        // from nothing nearly everything is told, and a list that grows is copied again and again
        let all = if since == 0 { index.len() } else { 0 };
        let mut changes = Vec::with_capacity(all.min(limit));
        let mut reached = since;
        while changes.len() < limit {
            let child_first = match (children.peek(), members.peek()) {
                (Some((child, _)), Some((member, _))) => child < member,
                (child, _) => child.is_some(),
            };
            let next = if child_first {
                children.next()
            } else {
                members.next()
            };
            let Some((revision, change)) = next else {
                break;
            };
            reached = revision;
            changes.push(change);
        }
        let truncated = children.peek().is_some() || members.peek().is_some();
        let reached = match truncated {
            true => Since {
                revision: reached,
                known: known.max(reached),
            },
            false => Since::all(head),
        };
        let collection = entry.collection.clone();
        drop(tree);
        Ok(Changes {
            collection,
            changes,
            token: self.token_at(id, reached),
            truncated,
        })
    }

    /// The member collections that changed since a revision, in the order in which they did.
    fn changed_children(&self, tree: &Tree, entry: &Entry, since: u64) -> Vec<(u64, Change)> {
        let mut children: Vec<_> = self
            .children(tree, entry)
            .map(|child| &child.collection)
            .filter(|collection| collection.changed_in_parent > since)
            .map(|collection| {
                let change = Change::Collection(collection.clone());
                (collection.changed_in_parent, change)
            })
            .collect();
        children.sort_by_key(|(revision, _)| *revision);
        children
    }

    /// How far a client has got, if that can be continued; a first listing knows of no tombstone
    /// before it, and so misses none.
    fn checked(
        &self,
        index: &Index,
        tree: &Tree,
        entry: &Entry,
        since: Since,
    ) -> Result<Since, VaultError> {
        let head = entry.head.revision;
        let Since { revision, known } = since;
        if revision.max(known) > head || (revision != 0 && known < entry.head.floor) {
            return Err(VaultError::TokenInvalid);
        }
        if revision == 0 {
            return Ok(Since {
                revision,
                known: head,
            });
        }
        let gone = |at: &At| matches!(at, At::Gone(_));
        let hides = self.is_limited() && entry.collection.id == tree.home;
        if hides && index.changes.range::<u64, _>(known + 1..).any(gone) {
            return Err(VaultError::TokenInvalid);
        }
        Ok(since)
    }
}
