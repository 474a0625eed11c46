//! Sealing in a collection's current epoch what older ones seal, while the account is in use: in
//! small commits, under the same row names, with the same revisions and entity tags. Where it was
//! when the server stopped stands in the summaries, and that there is something to do in the links.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::index::IndexEffect;
use super::super::locks;
use super::super::model::{Summary, VaultError};
use super::super::read::AccountStore;
use super::super::rows::SummaryRow;
use super::super::tree::State;
use super::{Effect, Transaction};
use crate::ids::{CollectionId, ObjectId, Segment};
use crate::limits;
use crate::seal::Kind;

/// How far it got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Objects that were sealed in a current epoch.
    pub done: u64,
    /// Objects that may still have to be.
    pub left: u64,
    /// Collections that keep an old key, because rows in them are damaged.
    pub kept: usize,
}

/// See the module.
pub struct Resealing {
    account: AccountStore,
    waiting: VecDeque<CollectionId>,
    /// Where to go on in the first of them.
    after: Option<Segment>,
    /// The histories in it that are still to be done, once all its objects are.
    histories: Option<Vec<ObjectId>>,
    /// Whether something in it does not open.
    damaged: bool,
    progress: Resealed,
}

impl AccountStore {
    /// What is to be sealed anew, if there is anything.
    pub fn resealing(&self) -> Option<Resealing> {
        self.inner.keys.as_ref()?;
        let tree = self.inner.tree.read();
        let old = |entry: &&super::Entry| entry.state.has_old_epochs();
        let entries: Vec<_> = tree.entries.values().filter(old).collect();
        let left = entries.iter().map(|entry| entry.head.objects).sum();
        let waiting: VecDeque<_> = entries.iter().map(|entry| entry.state.id).collect();
        (!waiting.is_empty()).then(|| Resealing {
            account: self.clone(),
            waiting,
            after: None,
            histories: None,
            damaged: false,
            progress: Resealed {
                left,
                ..Resealed::default()
            },
        })
    }
}

impl Resealing {
    /// How far it got.
    pub fn progress(&self) -> Resealed {
        self.progress
    }

    /// Whether the account is still open.
    pub fn is_open(&self) -> bool {
        self.account.still_alone().is_ok()
    }

    /// Goes on with one commit; false when nothing is left to do.
    ///
    /// # Errors
    /// `Locked` when the account was closed, `Store`.
    pub fn step(&mut self) -> Result<bool, VaultError> {
        let Some(id) = self.waiting.front().copied() else {
            return Ok(false);
        };
        let account = self.account.clone();
        let (inner, ahead) = (&account.inner, account.barrier());
        // One commit at a time, so that writers find room in the queue.
        ahead.wait()?;
        let _gate = inner.gate.lock();
        account.still_alone()?;
        inner.vault.store.room()?;
        match account.state(id) {
            Ok(state) => {
                let mut transaction = Transaction::new(account.clone());
                let finished = self.objects(&mut transaction, &state)?
                    && self.histories(&mut transaction, &state)?;
                if finished {
                    self.rest(&mut transaction, &state)?;
                }
                transaction.commit();
                if finished {
                    self.next();
                }
            }
            // Deleted meanwhile.
            Err(VaultError::Missing) => self.next(),
            Err(error) => return Err(error),
        }
        Ok(!self.waiting.is_empty())
    }

    fn next(&mut self) {
        self.waiting.pop_front();
        self.after = None;
        self.histories = None;
        self.progress.kept += usize::from(std::mem::take(&mut self.damaged));
        if self.waiting.is_empty() {
            self.progress.left = 0;
        }
    }

    /// The objects that come next; whether they were the last.
    fn objects(&mut self, tx: &mut Transaction, state: &Arc<State>) -> Result<bool, VaultError> {
        let current = state.current().number;
        let page: Vec<Arc<Summary>> = self.account.with_index(state.id, |index| {
            let rest = index.named_after(self.after.as_ref());
            rest.take(limits::RESEAL_OBJECTS).cloned().collect()
        })?;
        let count = page.len();
        for object in page {
            if object.epoch != current {
                match tx.reseal_object(state, &object) {
                    Ok(()) => self.progress.done += 1,
                    Err(VaultError::Damaged(_)) => self.damaged = true,
                    Err(error) => return Err(error),
                }
            }
            self.progress.left = self.progress.left.saturating_sub(1);
            self.after = Some(object.segment.clone());
            if tx.batch.bytes() > limits::COPY_STEP_BYTES {
                return Ok(false);
            }
        }
        Ok(count < limits::RESEAL_OBJECTS)
    }

    /// The histories that come next; whether they were the last.
    fn histories(&mut self, tx: &mut Transaction, state: &Arc<State>) -> Result<bool, VaultError> {
        let mut waiting = match self.histories.take() {
            Some(waiting) => waiting,
            None => {
                let current = state.current().number;
                let mut found = Vec::new();
                self.account.each_history(state, |row| {
                    if row.kept().any(|kept| kept.epoch != current) {
                        found.push(row.id);
                    }
                })?;
                found
            }
        };
        while tx.batch.bytes() <= limits::COPY_STEP_BYTES {
            let Some(object) = waiting.pop() else {
                return Ok(true);
            };
            match tx.reseal_history(state, object) {
                Ok(()) => {}
                Err(VaultError::Damaged(_)) => self.damaged = true,
                Err(error) => return Err(error),
            }
        }
        self.histories = Some(waiting);
        Ok(false)
    }

    /// What a collection has besides objects; and then its link loses the old keys.
    fn rest(&mut self, tx: &mut Transaction, state: &Arc<State>) -> Result<(), VaultError> {
        let (tombstones, damaged) = self.account.with_index(state.id, |index| {
            let tombstones: Vec<_> = index.gone.values().cloned().collect();
            (tombstones, index.damaged > 0)
        })?;
        for tombstone in tombstones {
            tx.seal_summary(state, &SummaryRow::Gone((*tombstone).clone()));
        }
        self.damaged |= damaged;
        self.damaged |= !tx.reseal_head(state)?;
        if !self.damaged {
            state.drop_old_epochs();
            tx.put_link_again(state)?;
        }
        Ok(())
    }
}

impl Transaction {
    /// Seals body, properties and summary in the current epoch.
    fn reseal_object(&mut self, state: &State, object: &Summary) -> Result<(), VaultError> {
        let vault = self.account.inner.vault.clone();
        let (revision, bytes) = (object.body_revision, object.size);
        let parts = [
            (Kind::Body, revision, bytes),
            (
                Kind::ObjectProperties,
                object.properties_revision,
                object.properties_bytes,
            ),
        ];
        let current = state.current().number;
        let mut read = Vec::new();
        for (kind, revision, bytes) in parts {
            // Properties that there are none of have no revision.
            if kind == Kind::Body || revision != 0 {
                let content = vault.read_chunks(
                    state,
                    kind,
                    Some(object.id),
                    object.epoch,
                    revision,
                    bytes,
                )?;
                let content = content.ok_or_else(|| VaultError::Damaged("rows".into()))?;
                read.push((kind, revision, content));
            }
        }
        for (kind, revision, content) in read {
            self.put_chunks(state, kind, object.id, current, revision, &content);
        }
        let summary = Summary {
            epoch: current,
            ..object.clone()
        };
        self.seal_summary(state, &SummaryRow::Live(summary.clone()));
        let effect = IndexEffect::Live(Arc::new(summary));
        self.effects.push(Effect::Index(state.id, effect));
        Ok(())
    }

    /// Seals all past versions of an object in the current epoch.
    fn reseal_history(&mut self, state: &State, object: ObjectId) -> Result<(), VaultError> {
        let vault = self.account.inner.vault.clone();
        let Some(mut row) = self.account.history_row(state, object)? else {
            return Ok(());
        };
        let current = state.current().number;
        let old: Vec<_> = row.kept().filter(|kept| kept.epoch != current).collect();
        let mut read = Vec::new();
        for kept in &old {
            let (epoch, revision, bytes) = (kept.epoch, kept.revision, kept.bytes);
            let content =
                vault.read_chunks(state, kept.kind, Some(object), epoch, revision, bytes)?;
            read.push(content.ok_or_else(|| VaultError::Damaged("rows".into()))?);
        }
        for (kept, content) in old.iter().zip(read) {
            self.put_chunks(state, kept.kind, object, current, kept.revision, &content);
        }
        for version in &mut row.versions {
            version.epoch = current;
        }
        self.put_history(state, row);
        Ok(())
    }

    /// Seals head, properties and, of the home, locks in the current epoch. Whether all opened.
    fn reseal_head(&mut self, state: &State) -> Result<bool, VaultError> {
        let inner = self.account.inner.clone();
        let (head, is_home, locks) = {
            let tree = inner.tree.read();
            let entry = tree.entries.get(&state.id).ok_or(VaultError::Missing)?;
            (entry.head, tree.home == state.id, tree.locks.clone())
        };
        self.batch
            .put(state.head_name(), inner.seal_head(state, &head));
        if is_home {
            for lock in locks {
                let name = locks::name(state, &lock.token);
                let row = locks::seal(&inner.vault, state, &name, &lock);
                self.batch.put(name, row);
            }
        }
        self.reseal_annals(state)?;
        if head.properties_revision == 0 {
            return Ok(true);
        }
        let current = state.current().number;
        let (kind, revision) = (Kind::CollectionProperties, head.properties_revision);
        let bytes = head.properties_bytes;
        let content = inner
            .vault
            .read_chunks(state, kind, None, current, revision, bytes);
        match content {
            Ok(Some(content)) => {
                self.put_chunks(state, kind, ObjectId::NONE, current, revision, &content);
                Ok(true)
            }
            Ok(None) | Err(VaultError::Damaged(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
