//! COPY of a collection: its rows are written under new keys beside the tree, in bounded steps
//! that keep no writer waiting, and then linked by one small commit. An interrupted copy's rows
//! are purged at the next start, since the roster lists them as staged.

use std::sync::Arc;

use super::model::{Destination, Etag, LockDepth, NewCollection, Properties, Summary, VaultError};
use super::read::AccountStore;
use super::rows::{HeadRow, RosterRow, RosterState, SummaryRow, digest_add, encode_properties};
use super::transaction::{Transaction, copied_kind};
use super::tree::State;
use super::unlock::live;
use crate::ids::{CollectionId, Segment};
use crate::limits;
use crate::seal::Kind;

/// Copies begun again because the source changed meanwhile; the last one keeps writers out.
const ATTEMPTS: usize = 3;

/// A copied collection whose rows are written and that is not linked yet.
struct Staged {
    source: CollectionId,
    /// The source's revision that was copied.
    revision: u64,
    /// The index of the staged parent; none for the root of the copy.
    parent: Option<usize>,
    state: State,
    head: HeadRow,
    new: NewCollection,
}

impl AccountStore {
    /// Copies a collection, with all below it unless `depth` is zero. What is at the destination
    /// is removed in the commit that links the copy; `check` runs inside that commit, and again
    /// when the copy is retried because its source changed. Gives whether nothing was there.
    ///
    /// # Errors
    /// What `check` says; `Missing`; `Damaged` when an object does not open; `Store`.
    pub fn copy_collection<E: From<VaultError>>(
        &self,
        source: CollectionId,
        depth: LockDepth,
        to: Destination,
        mut check: impl FnMut(&Transaction) -> Result<(), E>,
    ) -> Result<bool, E> {
        // Nothing is staged for a request that is refused anyway.
        self.write(|tx| check(tx))?;
        self.whole()?;
        for attempt in 1..=ATTEMPTS {
            let gate = (attempt == ATTEMPTS).then(|| self.inner.gate.lock());
            let mut staged = Vec::new();
            let outcome = match self.stage(source, depth, &to, &mut staged) {
                Ok(()) => {
                    let rows: Vec<_> = staged
                        .iter()
                        .map(|copy| doomed(self, &copy.state))
                        .collect();
                    let linked = self.write(|tx| {
                        check(tx)?;
                        if staged.iter().any(|copy| {
                            self.collection(copy.source)
                                .is_none_or(|now| now.revision != copy.revision)
                        }) {
                            return Ok(None);
                        }
                        link(tx, std::mem::take(&mut staged))
                            .map(Some)
                            .map_err(E::from)
                    });
                    if !matches!(linked, Ok(Some(_))) {
                        rows.into_iter().for_each(|row| self.inner.vault.doom(row));
                    }
                    linked
                }
                // An object changed under the copy: begin again.
                Err(VaultError::Missing) if attempt < ATTEMPTS => {
                    self.discard(staged);
                    Ok(None)
                }
                Err(error) => {
                    self.discard(staged);
                    Err(error.into())
                }
            };
            drop(gate);
            if let Some(created) = outcome? {
                return Ok(created);
            }
        }
        Err(VaultError::Missing.into())
    }

    /// Whether the account may have so many collections more.
    fn room_for(&self, collections: usize) -> Result<(), VaultError> {
        match self.inner.tree.read().entries.len() + collections > limits::COLLECTIONS {
            true => Err(VaultError::Limit("collections")),
            false => Ok(()),
        }
    }

    fn discard(&self, staged: Vec<Staged>) {
        for copy in staged {
            self.inner.vault.doom(doomed(self, &copy.state));
        }
    }

    fn stage(
        &self,
        source: CollectionId,
        depth: LockDepth,
        to: &Destination,
        staged: &mut Vec<Staged>,
    ) -> Result<(), VaultError> {
        self.stage_one(source, depth, (None, to.parent, to.segment.clone()), staged)?;
        let mut next = 0;
        while depth == LockDepth::Infinity && next < staged.len() {
            let parent = staged[next].state.id;
            for child in self.collections(staged[next].source) {
                let segment = child
                    .segment
                    .clone()
                    .expect("a member collection has a name");
                self.stage_one(child.id, depth, (Some(next), parent, segment), staged)?;
            }
            next += 1;
        }
        Ok(())
    }

    /// Writes the rows of a copy of one collection: first the roster row that lets an interrupted
    /// copy be purged, then bodies and summaries in steps.
    fn stage_one(
        &self,
        source: CollectionId,
        depth: LockDepth,
        to: (Option<usize>, CollectionId, Segment),
        staged: &mut Vec<Staged>,
    ) -> Result<(), VaultError> {
        let vault = &self.inner.vault;
        vault.store.room()?;
        self.room_for(staged.len() + 1)?;
        let collection = self.collection(source).ok_or(VaultError::Missing)?;
        let members = if depth == LockDepth::Infinity {
            self.members(source)?.objects
        } else {
            Vec::new()
        };
        let state = self
            .inner
            .new_state(CollectionId::from_bytes(vault.ambient.bytes()));
        let mut tx = Transaction::new(self.clone());
        let row = RosterRow {
            state: RosterState::Staged,
            ..live(self.inner.id, state.id, &state)
        };
        vault.put_roster(&mut tx.batch, &row);
        vault.store.commit(std::mem::take(&mut tx.batch)).wait()?;
        let mut head = HeadRow::new(tx.now());
        let (parent, parent_id, segment) = to;
        let new = NewCollection {
            parent: parent_id,
            segment,
            kind: copied_kind(collection.kind),
            properties: Properties::clone(&collection.properties),
        };
        let copied = self.stage_objects(source, &members, &state, &mut head, &mut tx);
        staged.push(Staged {
            source,
            revision: collection.revision,
            parent,
            state,
            head,
            new,
        });
        copied
    }

    fn stage_objects(
        &self,
        source: CollectionId,
        members: &[Arc<Summary>],
        state: &State,
        head: &mut HeadRow,
        tx: &mut Transaction,
    ) -> Result<(), VaultError> {
        for object in members {
            let body = self.body(source, object)?;
            let properties = self.properties(source, object)?;
            let revision = head.next(tx.now());
            let id = state.new_id(revision, &self.inner.vault.ambient);
            let epoch = state.current().number;
            let mut copy = Summary {
                id,
                revision,
                body_revision: revision,
                properties_revision: 0,
                properties_bytes: 0,
                epoch,
                etag: Etag(state.etags.etag(id, revision, &body)),
                changed: tx.now(),
                device: self.device(),
                ..(**object).clone()
            };
            if !properties.is_empty() {
                let content = encode_properties(&properties);
                (copy.properties_revision, copy.properties_bytes) =
                    (revision, content.len() as u64);
                tx.put_chunks(state, Kind::ObjectProperties, id, epoch, revision, &content);
            }
            tx.put_chunks(state, Kind::Body, id, epoch, revision, &body);
            digest_add(&mut head.digest, &state.etags.digest(id, revision));
            head.objects += 1;
            tx.seal_summary(state, &SummaryRow::Live(copy));
            if tx.batch.bytes() > limits::COPY_STEP_BYTES {
                self.inner
                    .vault
                    .store
                    .commit(std::mem::take(&mut tx.batch))
                    .wait()?;
            }
        }
        self.inner
            .vault
            .store
            .commit(std::mem::take(&mut tx.batch))
            .wait()?;
        Ok(())
    }
}

fn doomed(account: &AccountStore, state: &State) -> RosterRow {
    RosterRow {
        state: RosterState::Doomed,
        ..live(account.inner.id, state.id, state)
    }
}

/// Links staged collections: the root at its destination, the others below it.
fn link(tx: &mut Transaction, staged: Vec<Staged>) -> Result<bool, VaultError> {
    tx.account().room_for(staged.len())?;
    let mut created = true;
    for copy in staged {
        match copy.parent {
            None => created = tx.link_copy(copy.state, copy.new, copy.head)?,
            Some(_) => tx.link_below(copy.state, copy.new, copy.head)?,
        }
    }
    Ok(created)
}
