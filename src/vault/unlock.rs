//! Unlocking: from an account's key to its tree in memory, and back.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, ReentrantMutex, RwLock};

use super::audit::Chain;
use super::directory::AccountRecord;
use super::grant::View;
use super::kept::Kept;
use super::model::{Collection, CollectionKind, Properties, VaultError};
use super::read::AccountStore;
use super::rows::{HeadRow, LinkRow, RosterRow, RosterState, decode, digest_add, encode};
use super::tree::{Entry, State, Tree, scanned_place};
use super::{Vault, locks};
use crate::ids::{AccountId, CollectionId, Email, SlotId, UserName};
use crate::seal::{
    AccountKey, CollectionKey, Kind, LastingKey, NameKey, RowKey, RowName, Sealed, SlotContent,
    SlotKey, Terms,
};
use crate::store::{Batch, Receipt, StoreError};

/// One unlocked account. There is at most one for an account (`Vault::registry`).
pub(super) struct Inner {
    pub vault: Arc<Vault>,
    pub id: AccountId,
    pub name: UserName,
    pub email: Email,
    /// None when it was opened by a device that has chosen calendars only: then this is a part of
    /// the account, and no link can be read or written.
    pub keys: Option<Keys>,
    /// Held by the one writer; reentrant, because a writer may have to load an index, which
    /// keeps writers out.
    pub gate: ReentrantMutex<()>,
    pub tree: RwLock<Tree>,
    /// Of the last commit enqueued.
    pub last: Mutex<Receipt>,
    /// Its chain of the audit trail.
    pub audit: Arc<Chain>,
    /// Set when the account was disabled, deleted or locked: nobody may go on with it.
    pub dead: AtomicBool,
    /// The day on which old versions were last cut; 0 before the first time.
    pub cut_on: AtomicI64,
    /// How much trash it has.
    pub kept: Kept,
}

/// What only the account key gives.
pub(super) struct Keys {
    pub rows: RowKey,
    pub names: NameKey,
}

impl Inner {
    /// The keys of the account's tree.
    ///
    /// # Errors
    /// `Denied` when a part of the account is open.
    pub fn keys(&self) -> Result<&Keys, VaultError> {
        self.keys.as_ref().ok_or(VaultError::Denied)
    }

    /// Seals a row of the account's tree that scans find.
    pub fn seal(&self, kind: Kind, name: &RowName, content: &[u8]) -> Result<Sealed, VaultError> {
        let place = scanned_place(kind, self.id, CollectionId::NONE, name);
        let rows = &self.keys()?.rows;
        Ok(rows.seal_by(&place, content, &self.vault.ambient))
    }

    pub fn link_name(&self, id: CollectionId) -> Result<RowName, VaultError> {
        Ok(self.keys()?.names.row(Kind::Link, id.bytes(), 0, 0))
    }

    /// The keys of the home.
    pub fn home_state(&self) -> Arc<State> {
        let tree = self.tree.read();
        tree.entries[&tree.home].state.clone()
    }

    /// Commits what opening the account found to be done.
    pub fn enqueue(&self, batch: Batch) {
        // While nothing can be written it is left for the next time.
        if !batch.is_empty() && !self.vault.store.has_failed() {
            *self.last.lock() = self.vault.store.commit(batch);
        }
    }

    /// Seals a collection's head.
    pub fn seal_head(&self, state: &State, head: &HeadRow) -> Sealed {
        let name = state.head_name();
        let epoch = state.current();
        let place = state.scanned_place(Kind::Head, &name, epoch.number);
        epoch
            .rows
            .seal_by(&place, &encode(head), &self.vault.ambient)
    }

    /// The keys of a new collection.
    pub fn new_state(&self, id: CollectionId) -> State {
        new_state(&self.vault, self.id, id)
    }
}

fn new_state(vault: &Vault, account: AccountId, id: CollectionId) -> State {
    let (lasting, key) = vault.ambient.random(|random| {
        (
            LastingKey::generate(random),
            CollectionKey::generate(random),
        )
    });
    State::new(account, id, lasting, vec![(1, key)])
}

impl Vault {
    /// Unlocks an account by what a slot holds, acting for the device that has the slot's secret.
    ///
    /// # Errors
    /// `Missing` when the account or the slot is gone, disabled or expired; `Damaged`; `Store`.
    pub fn unlock(
        self: &Arc<Self>,
        id: AccountId,
        content: SlotContent,
        slot: SlotId,
    ) -> Result<AccountStore, VaultError> {
        let SlotContent { key, terms } = content;
        if terms.ended(self.ambient.now()) {
            return Err(VaultError::Missing);
        }
        // One loads an account, others that want the same one wait; those who want another do not.
        let loading = Arc::clone(self.loading.lock().entry(id).or_default());
        let one = loading.lock();
        let unlocked = self.unlock_alone(id, key, slot);
        drop(one);
        drop(loading);
        self.loading
            .lock()
            .retain(|_, one| Arc::strong_count(one) > 1);
        let (inner, view) = unlocked?;
        Ok(AccountStore::new(inner, slot, terms, view))
    }

    /// Runs `work` while nobody has the account open, and nobody can open it. Whoever had it signs
    /// in again.
    pub(super) fn alone<T>(&self, id: AccountId, work: impl FnOnce() -> T) -> T {
        let loading = Arc::clone(self.loading.lock().entry(id).or_default());
        let one = loading.lock();
        self.close(id);
        let value = work();
        drop(one);
        drop(loading);
        self.loading
            .lock()
            .retain(|_, one| Arc::strong_count(one) > 1);
        value
    }

    /// Unlocks an account while nobody else loads it.
    fn unlock_alone(
        self: &Arc<Self>,
        id: AccountId,
        key: SlotKey,
        slot: SlotId,
    ) -> Result<(Arc<Inner>, Option<View>), VaultError> {
        let there = self.already_unlocked(id, slot)?;
        let record = self.account(id).ok_or(VaultError::Missing)?;
        let whole = there.as_ref().is_some_and(|inner| inner.keys.is_some());
        let (inner, view) = match (key, there) {
            (SlotKey::Whole(_), Some(inner)) if whole => (inner, None),
            (SlotKey::Limited(pair), Some(inner)) if whole => {
                let view = inner.view_of(slot, &pair);
                (inner, Some(view))
            }
            (SlotKey::Whole(key), part) => {
                if let Some(part) = part {
                    // One account, one gate: whoever uses the part opens its slot again.
                    let _gate = part.gate.lock();
                    part.dead.store(true, Ordering::Release);
                }
                (Arc::new(self.load(&record, &key)?), None)
            }
            (SlotKey::Limited(pair), part) => {
                let (inner, view) = self.load_part(&record, slot, &pair, part)?;
                (inner, Some(view))
            }
        };
        let mut registry = self.registry.lock();
        // Asked again, while nobody can pass `lock`: what was disabled, deleted or revoked
        // meanwhile must not be opened.
        self.may_open(id, slot)?;
        registry.retain(|_, inner| inner.strong_count() > 0);
        registry.insert(id, Arc::downgrade(&inner));
        Ok((inner, view))
    }

    /// The accounts whose keys are in memory, those that are being loaded among them.
    pub fn unlocked(&self) -> Vec<AccountId> {
        let loading = self.loading.lock();
        let begun = loading.iter().filter(|(_, one)| Arc::strong_count(one) > 1);
        let begun: HashSet<AccountId> = begun.map(|(id, _)| *id).collect();
        drop(loading);
        let registry = self.registry.lock();
        let held = registry
            .iter()
            .filter(|(_, inner)| inner.strong_count() > 0);
        let held: HashSet<AccountId> = held.map(|(id, _)| *id).collect();
        held.union(&begun).copied().collect()
    }

    /// The account if it is unlocked already. Asked while nobody can pass `lock`: else an account
    /// that is disabled or deleted, or a slot that is revoked, at this moment would stay open.
    fn already_unlocked(
        &self,
        id: AccountId,
        slot: SlotId,
    ) -> Result<Option<Arc<Inner>>, VaultError> {
        let registry = self.registry.lock();
        self.may_open(id, slot)?;
        let inner = registry.get(&id).and_then(Weak::upgrade);
        Ok(inner.filter(|inner| !inner.dead.load(Ordering::Acquire)))
    }

    fn may_open(&self, id: AccountId, slot: SlotId) -> Result<(), VaultError> {
        match self.account(id) {
            Some(record) if record.enabled && self.has_slot(id, slot) => Ok(()),
            _ => Err(VaultError::Missing),
        }
    }

    /// Ends the use of an account's keys: requests under way finish, later ones must sign in.
    pub fn lock(&self, id: AccountId) {
        // Whoever is loading it is waited for: what was asked before must not be open after this.
        let loading = self.loading.lock().get(&id).cloned();
        let loading = loading.as_ref().map(|one| one.lock());
        self.close(id);
        drop(loading);
        // Deleted collections wait here to be freed, with their keys.
        let discarded = std::mem::take(&mut *self.discarded.lock());
        drop(discarded);
    }

    /// The same while nobody can be loading it.
    pub(super) fn close(&self, id: AccountId) {
        // It stays in the registry while a writer is waited for, or there would be two gates; and
        // the registry is not held meanwhile, or one long write would keep everybody out.
        let inner = self.registry.lock().get(&id).and_then(Weak::upgrade);
        if let Some(inner) = inner {
            // Wait for a writer, so that none commits after this returns.
            let _gate = inner.gate.lock();
            inner.dead.store(true, Ordering::Release);
        }
    }

    /// After a failed write or sync the memory of every unlocked account may be ahead of the disk:
    /// all are locked, so that each is read anew, and then the store is opened again. While that does
    /// not succeed, what is known good can be read.
    ///
    /// # Errors
    /// Why the store cannot be opened again; this may be called again.
    pub fn recover(&self) -> Result<(), StoreError> {
        if self.store.has_failed() && self.store.is_readable() {
            // Nothing changed since the last time, if this fails: readers are left alone.
            self.store.probe()?;
        }
        let unlocked: Vec<_> = self.registry.lock().keys().copied().collect();
        for id in unlocked {
            self.lock(id);
        }
        let mut opened = Ok(());
        let loaded = self.load_audit(|| {
            opened = self.store.reopen();
            if opened.is_err() {
                self.store.serve_known_good();
            }
            Ok(())
        });
        opened.and(loaded)
    }

    /// Writes a new account's home and opens it.
    pub(super) fn create_home(
        self: &Arc<Self>,
        record: &AccountRecord,
        key: AccountKey,
    ) -> Result<AccountStore, VaultError> {
        let id = CollectionId::from_bytes(self.ambient.bytes());
        let now = self.ambient.now();
        let state = new_state(self, record.id, id);
        let collection = Collection {
            id,
            parent: None,
            segment: None,
            kind: CollectionKind::Home,
            created: now,
            modified: now,
            revision: 1,
            changed_in_parent: 0,
            objects: 0,
            properties: Arc::default(),
        };
        let inner = self.inner(record, Some(&key), Tree::new(id));
        let head = HeadRow::new(now);
        let mut batch = Batch::new();
        let account_rows = self.account_roster(record.id, inner.keys()?);
        self.put_roster(&mut batch, &account_rows);
        self.put_roster(&mut batch, &live(record.id, id, &state));
        let name = inner.link_name(id)?;
        batch.put(
            name,
            inner.seal(Kind::Link, &name, &encode(&state.link(&collection)))?,
        );
        batch.put(state.head_name(), inner.seal_head(&state, &head));
        let mut heads = [0; 4];
        digest_add(&mut heads, &state.head_digest(&head));
        let writing = self.audit_begun(&inner.audit, &mut batch, &key, heads);
        let receipt = self.store.commit(batch);
        drop(writing);
        receipt.wait()?;
        let entry = Entry {
            collection: Arc::new(collection),
            head,
            children: BTreeMap::new(),
            state: Arc::new(state),
        };
        inner.tree.write().entries.insert(id, entry);
        let inner = Arc::new(inner);
        self.registry
            .lock()
            .insert(record.id, Arc::downgrade(&inner));
        Ok(AccountStore::new(
            inner,
            SlotId::NONE,
            Terms::default(),
            None,
        ))
    }

    pub(super) fn inner(
        self: &Arc<Self>,
        record: &AccountRecord,
        key: Option<&AccountKey>,
        tree: Tree,
    ) -> Inner {
        Inner {
            vault: self.clone(),
            id: record.id,
            name: record.name.clone(),
            email: record.email.clone(),
            keys: key.map(|key| Keys {
                rows: key.rows(),
                names: key.names(),
            }),
            gate: ReentrantMutex::new(()),
            tree: RwLock::new(tree),
            last: Mutex::new(Receipt::done()),
            audit: self.chain(record.id),
            dead: AtomicBool::new(false),
            cut_on: AtomicI64::new(0),
            kept: Kept::default(),
        }
    }

    /// Reads an account's tree: one link, one head and the properties of each collection.
    pub(super) fn load(
        self: &Arc<Self>,
        record: &AccountRecord,
        key: &AccountKey,
    ) -> Result<Inner, VaultError> {
        // A commit enqueued by an earlier `Inner` of this account must have been applied.
        self.store.barrier().wait()?;
        let inner = self.inner(record, Some(key), Tree::new(CollectionId::NONE));
        let mut tree = Tree::new(CollectionId::NONE);
        let keys = inner.keys()?;
        let mut damaged = false;
        for row in self.store.scan(&keys.names.prefix(Kind::Link)) {
            let (name, stored) = row?;
            let place = scanned_place(Kind::Link, record.id, CollectionId::NONE, &name);
            let content = stored.open(&keys.rows, &place).ok();
            let Some(link) = content.and_then(|content| decode::<LinkRow>(&content)) else {
                tracing::error!(account = %record.id, row = name.short(), "a collection's key row is damaged; the collection is not served");
                damaged = true;
                continue;
            };
            match self.load_collection(record.id, &link) {
                Ok(entry) => drop(tree.entries.insert(link.id, entry)),
                Err(VaultError::Damaged(row)) => {
                    tracing::error!(account = %record.id, row, "a collection's head is damaged; the collection is not served");
                    damaged = true;
                }
                Err(error) => return Err(error),
            }
        }
        let whole = !damaged;
        // Of all that was read: what is refused next was put back, and would hide in a gap.
        let heads = whole.then(|| heads_sum(&tree));
        refuse_old_heads(&mut tree, record.id);
        hang(&mut tree);
        if whole {
            tree.incomplete = incomplete(&tree, record.id);
        }
        if tree.home == CollectionId::NONE {
            return Err(VaultError::Damaged("home".into()));
        }
        tree.grants = inner.load_grants()?;
        let mut batch = Batch::new();
        locks::load(&inner, &mut tree, &mut batch)?;
        inner.load_trashed(&mut tree, &mut batch)?;
        inner.enqueue(batch);
        self.audit_unlocked(record.id, key, heads)?;
        self.finish_rekeyed(&inner, &tree)?;
        *inner.tree.write() = tree;
        Ok(inner)
    }

    /// Whether the heads in memory add up to the audit trail.
    #[cfg(test)]
    pub(super) fn adds_up(&self, account: &AccountStore) -> bool {
        let _gate = account.inner.gate.lock();
        let heads = heads_sum(&account.inner.tree.read());
        self.audited_heads(account.inner.id) == Some(heads)
    }

    pub(super) fn load_collection(
        &self,
        account: AccountId,
        link: &LinkRow,
    ) -> Result<Entry, VaultError> {
        let keys = link
            .epochs
            .iter()
            .map(|(number, key)| (*number, CollectionKey::read(key)))
            .collect();
        let state = State::new(account, link.id, LastingKey::read(&link.lasting), keys);
        let name = state.head_name();
        let stored = self
            .store
            .get(&name)?
            .ok_or_else(|| VaultError::Damaged(name.short()))?;
        let head = state.epochs.iter().rev().find_map(|epoch| {
            let place = state.scanned_place(Kind::Head, &name, epoch.number);
            stored
                .clone()
                .open(&epoch.rows, &place)
                .ok()
                .and_then(|content| decode::<HeadRow>(&content))
        });
        let head = head.ok_or_else(|| VaultError::Damaged(name.short()))?;
        let properties = match head.properties_revision {
            0 => Properties::new(),
            revision => {
                let chunks = self.read_chunks(
                    &state,
                    Kind::CollectionProperties,
                    None,
                    state.current().number,
                    revision,
                    head.properties_bytes,
                );
                match chunks {
                    Ok(Some(content)) => decode(&content).unwrap_or_default(),
                    Ok(None) | Err(VaultError::Damaged(_)) => {
                        tracing::error!(collection = %link.id, "a collection's properties are damaged; it is served without them");
                        Properties::new()
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let collection = Collection {
            id: link.id,
            parent: link.parent,
            segment: link.segment.clone(),
            kind: link.kind,
            created: link.created,
            modified: head.modified,
            revision: head.revision,
            changed_in_parent: link.changed_in_parent,
            objects: head.objects,
            properties: Arc::new(properties),
        };
        Ok(Entry {
            collection: Arc::new(collection),
            head,
            children: BTreeMap::new(),
            state: Arc::new(state),
        })
    }
}

/// A collection's roster row while it is linked.
pub(super) fn live(account: AccountId, id: CollectionId, state: &State) -> RosterRow {
    RosterRow {
        account,
        collection: id,
        state: RosterState::Live,
        prefixes: state.prefixes(),
    }
}

/// A member collection that changed after its parent's last change says that the parent's head
/// was put back from an older state; the parent is then not served.
fn refuse_old_heads(tree: &mut Tree, account: AccountId) {
    let parents = tree.entries.values().filter_map(|entry| {
        let parent = tree.entries.get(&entry.collection.parent?)?;
        (entry.collection.changed_in_parent > parent.head.revision).then_some(parent.collection.id)
    });
    for id in parents.collect::<Vec<_>>() {
        tracing::error!(%account, collection = %id, "a collection's head is older than its members; the collection is not served");
        tree.entries.remove(&id);
    }
}

/// The sum over all heads, to be compared with the audit trail.
fn heads_sum(tree: &Tree) -> [u64; 4] {
    let mut sum = [0; 4];
    for entry in tree.entries.values() {
        digest_add(&mut sum, &entry.state.head_digest(&entry.head));
    }
    sum
}

/// Names collections whose member collections do not add up: a link was lost, or put back from an
/// older state. The others are served all the same (HARDENING H32).
fn incomplete(tree: &Tree, account: AccountId) -> Vec<CollectionId> {
    let mut found = Vec::new();
    for entry in tree.entries.values() {
        let mut sum = [0; 4];
        let members = entry
            .children
            .values()
            .filter_map(|id| tree.entries.get(id));
        for member in members.map(|member| &member.collection) {
            let digest = entry
                .state
                .member_digest(member.id, member.changed_in_parent);
            digest_add(&mut sum, &digest);
        }
        if sum != entry.head.members {
            tracing::error!(%account, collection = %entry.collection.id,
                "the member collections do not add up: one was lost or put back from an older state");
            found.push(entry.collection.id);
        }
    }
    found
}

/// Hangs every collection under its parent, and finds the home.
pub(super) fn hang(tree: &mut Tree) {
    let links: Vec<_> = tree
        .entries
        .values()
        .map(|entry| entry.collection.clone())
        .collect();
    for collection in links {
        match (collection.parent, &collection.segment) {
            (Some(parent), Some(segment)) => {
                if let Some(parent) = tree.entries.get_mut(&parent) {
                    parent.children.insert(segment.clone(), collection.id);
                }
            }
            _ => tree.home = collection.id,
        }
    }
}
