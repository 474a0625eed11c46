//! What an account's key opens of its tree: links, heads, sums, locks, grants, the audit trail.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::collection::CollectionWalk;
use super::table::{By, entry};
use super::{At, Check, Step};
use crate::ids::{AccountId, CollectionId, ObjectId};
use crate::limits;
use crate::seal::{AccountKey, CollectionKey, Kind, LastingKey, PairKey, RowName, Stored};
use crate::store::StoreError;
use crate::vault::grant::{Grant, GrantRow};
use crate::vault::model::{CollectionKind, Lock};
use crate::vault::rows::{HeadRow, LinkRow, TrashedRow, decode, digest_add};
use crate::vault::tree::{State, prefix_bytes, scanned_place};
use crate::vault::unlock::Keys;
use crate::vault::{Vault, locks};

/// A collection as its link tells of it.
pub(super) struct Linked {
    pub link: LinkRow,
    pub state: Arc<State>,
    /// None when it is lost or damaged.
    pub head: Option<HeadRow>,
}

/// An account, and what was found of its tree.
pub(super) struct AccountWalk<'c, 'a> {
    pub check: &'c mut Check<'a>,
    pub account: AccountId,
    pub keys: Keys,
    /// The account's present pair first.
    pairs: Vec<PairKey>,
    pub tree: BTreeMap<CollectionId, Linked>,
    /// Whether all links and heads were read with no change between.
    still: bool,
    /// Whether a link does not open.
    damaged: bool,
    /// What the audit trail says the heads add up to, at the same moment.
    audited: Option<[u64; 4]>,
}

/// Checks everything.
pub(super) fn check(check: &mut Check<'_>, account: AccountId, key: &AccountKey) -> Step {
    check.totals.accounts = 1;
    let mut walk = AccountWalk::new(check, account, key);
    for kind in Kind::ALL {
        if let By::Account(of_kind) = entry(*kind).by {
            of_kind(&mut walk)?;
        }
    }
    let ids: Vec<_> = walk.tree.keys().copied().collect();
    for id in ids {
        let path = walk.path(id);
        let state = walk.tree[&id].state.clone();
        walk.check.totals.collections += 1;
        let link = walk.link_name(id);
        let mut one = CollectionWalk::new(walk.check, state, path, link);
        for kind in Kind::ALL {
            if let By::Collection(of_kind) = entry(*kind).by {
                of_kind(&mut one)?;
            }
        }
        one.strays()?;
    }
    Ok(())
}

/// The rows of an account's links, as read at one time.
struct Snapshot {
    tree: BTreeMap<CollectionId, Linked>,
    damaged: Vec<RowName>,
    hash: [u8; 32],
}

impl<'c, 'a> AccountWalk<'c, 'a> {
    pub fn new(check: &'c mut Check<'a>, account: AccountId, key: &AccountKey) -> Self {
        AccountWalk {
            check,
            account,
            keys: Keys {
                rows: key.rows(),
                names: key.names(),
            },
            pairs: vec![key.pair()],
            tree: BTreeMap::new(),
            still: false,
            damaged: false,
            audited: None,
        }
    }

    pub fn vault(&self) -> &'a Vault {
        self.check.vault
    }

    fn at<'n>(&self, collection: Option<&'n str>, row: Option<&'n RowName>) -> At<'n> {
        At {
            account: Some(self.account),
            collection,
            object: None,
            row,
        }
    }

    fn open<T: serde::de::DeserializeOwned>(
        &self,
        kind: Kind,
        name: &RowName,
        stored: Stored,
    ) -> Option<T> {
        let place = scanned_place(kind, self.account, CollectionId::NONE, name);
        decode(&stored.open(&self.keys.rows, &place).ok()?)
    }

    /// The path of a collection below the home, as a person reads it.
    pub fn path(&self, id: CollectionId) -> String {
        let mut names = Vec::new();
        let mut at = self.tree.get(&id);
        // A link that was put back may make a circle.
        for _ in 0..self.tree.len() {
            let Some(linked) = at else { break };
            names.extend(linked.link.segment.as_ref().map(|name| name.as_str()));
            at = linked.link.parent.and_then(|parent| self.tree.get(&parent));
        }
        names.reverse();
        format!("/{}", names.join("/"))
    }

    pub fn home(&self) -> Option<&Linked> {
        let home = |linked: &&Linked| linked.link.kind == CollectionKind::Home;
        self.tree.values().find(home)
    }

    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let vault = self.vault();
        let mut hasher = blake3::Hasher::new();
        let (mut tree, mut damaged) = (BTreeMap::new(), Vec::new());
        for row in vault.store.scan(&self.keys.names.prefix(Kind::Link)) {
            let (name, stored) = row?;
            hasher.update(name.bytes()).update(stored.bytes());
            let link = self.open::<LinkRow>(Kind::Link, &name, stored);
            let own = |link: &LinkRow| self.link_name(link.id) == name;
            let Some(link) = link.filter(own) else {
                damaged.push(name);
                continue;
            };
            let keys = link.epochs.iter();
            let keys = keys.map(|(number, key)| (*number, CollectionKey::read(key)));
            let state = State::new(
                self.account,
                link.id,
                LastingKey::read(&link.lasting),
                keys.collect(),
            );
            let head = vault.store.get(&state.head_name())?;
            hasher.update(head.as_ref().map_or(&[], |head| head.bytes()));
            let head = head.and_then(|head| state.open(Kind::Head, &state.head_name(), &head));
            let linked = Linked {
                state: Arc::new(state),
                head,
                link,
            };
            tree.insert(linked.link.id, linked);
        }
        Ok(Snapshot {
            tree,
            damaged,
            hash: *hasher.finalize().as_bytes(),
        })
    }

    /// Reads the tree, and names what of it does not open.
    pub fn links(&mut self) -> Step {
        let vault = self.vault();
        let mut before = None;
        let mut damaged = Vec::new();
        for _ in 0..limits::VERIFY_ATTEMPTS {
            self.audited = vault.audited_heads(self.account);
            // What the audit trail knows of is in the store by now.
            vault.store.barrier().wait()?;
            let snapshot = self.snapshot()?;
            (self.tree, damaged) = (snapshot.tree, snapshot.damaged);
            let unchanged = self.audited == vault.audited_heads(self.account);
            if unchanged && before == Some(snapshot.hash) {
                self.still = true;
                break;
            }
            before = Some(snapshot.hash);
        }
        for name in &damaged {
            let now = vault.store.get(name)?;
            // Moved or deleted meanwhile.
            if now.is_some_and(|now| self.open::<LinkRow>(Kind::Link, name, now).is_none()) {
                self.damaged = true;
                self.check.fault(
                    Kind::Link,
                    self.at(None, Some(name)),
                    "the row does not open",
                )?;
            }
        }
        self.check.totals.rows += self.tree.len() as u64;
        if self.tree.is_empty() && damaged.is_empty() && !self.is_on_roster()? {
            let sentence = "the account was deleted, or got another key, while it was checked";
            return self.check.unchecked(sentence.into());
        }
        if self.home().is_none() {
            let what = "the home is missing: the account does not open";
            self.check.fault(Kind::Link, self.at(None, None), what)?;
        }
        self.on_roster()
    }

    /// Whether all rows of every collection would be found by a purge.
    fn on_roster(&mut self) -> Step {
        if !self.is_on_roster()? {
            let what = "the account's own rows are not on the roster";
            self.check.fault(Kind::Roster, self.at(None, None), what)?;
        }
        for id in self.lacking()? {
            let path = self.path(id);
            let what = "the collection is not on the roster, or not with all its rows";
            self.check
                .fault(Kind::Roster, self.at(Some(&path), None), what)?;
        }
        Ok(())
    }

    /// Whether the account's own rows are listed; while its key is being changed, in another row.
    pub fn is_on_roster(&self) -> Result<bool, StoreError> {
        let links = prefix_bytes(self.keys.names.prefix(Kind::Link));
        let roster = self.roster()?;
        Ok(roster.values().any(|listed| listed.contains(&links)))
    }

    /// The roster rows of the account, by collection.
    fn roster(&self) -> Result<HashMap<CollectionId, Vec<[u8; 16]>>, StoreError> {
        let rows = self.vault().roster()?.into_iter().map(|(_, row)| row);
        let rows = rows.filter(|row| row.account == self.account);
        Ok(rows.map(|row| (row.collection, row.prefixes)).collect())
    }

    /// Collections whose rows the roster does not list.
    pub fn lacking(&self) -> Result<Vec<CollectionId>, StoreError> {
        let roster = self.roster()?;
        let mut lacking = Vec::new();
        for linked in self.tree.values() {
            let rows = roster.get(&linked.link.id);
            // Those of before do not list locks and histories.
            let later = [Kind::Lock, Kind::History]
                .map(|kind| prefix_bytes(linked.state.names.prefix(kind)));
            let lacks = linked.state.prefixes().iter().any(|prefix| {
                !later.contains(prefix) && rows.is_none_or(|rows| !rows.contains(prefix))
            });
            // Deleted and purged meanwhile, it is on no roster rightly.
            if lacks
                && self
                    .vault()
                    .store
                    .get(&self.link_name(linked.link.id))?
                    .is_some()
            {
                lacking.push(linked.link.id);
            }
        }
        Ok(lacking)
    }

    pub fn link_name(&self, id: CollectionId) -> RowName {
        self.keys.names.row(Kind::Link, id.bytes(), 0, 0)
    }

    /// Heads, and what they add up to.
    pub fn heads(&mut self) -> Step {
        let vault = self.vault();
        let mut lost = Vec::new();
        for linked in self.tree.values().filter(|linked| linked.head.is_none()) {
            let link = self.link_name(linked.link.id);
            let name = linked.state.head_name();
            let now = vault.store.get(&name)?;
            let head = now.and_then(|now| linked.state.open::<HeadRow>(Kind::Head, &name, &now));
            // A collection that was deleted meanwhile has neither.
            if head.is_none() && vault.store.get(&link)?.is_some() {
                lost.push((self.path(linked.link.id), name));
            }
        }
        for (path, name) in &lost {
            self.check.fault(
                Kind::Head,
                self.at(Some(path), Some(name)),
                "the row is missing, or does not open",
            )?;
        }
        if !self.still {
            return self.check.unchecked(
                "the account changes all the time: whether its collections add up was not checked"
                    .into(),
            );
        }
        self.members()?;
        let heads: Option<Vec<_>> = self.tree.values().map(|linked| linked.head).collect();
        let (Some(heads), Some(audited), false) = (heads, self.audited, self.damaged) else {
            return Ok(());
        };
        let mut sum = [0; 4];
        for (linked, head) in self.tree.values().zip(&heads) {
            digest_add(&mut sum, &linked.state.head_digest(head));
        }
        if sum != audited {
            let what = "the collections do not add up to the audit trail: a head was put back from an older state, or a collection was removed";
            self.check.fault(Kind::Head, self.at(None, None), what)?;
        }
        Ok(())
    }

    /// What each collection knows of those in it.
    fn members(&mut self) -> Step {
        let mut wrong = Vec::new();
        for linked in self.tree.values() {
            let Some(head) = &linked.head else { continue };
            let inside = self
                .tree
                .values()
                .filter(|member| member.link.parent == Some(linked.link.id));
            let (mut sum, mut newest) = ([0; 4], 0);
            for member in inside {
                let changed = member.link.changed_in_parent;
                digest_add(
                    &mut sum,
                    &linked.state.member_digest(member.link.id, changed),
                );
                newest = newest.max(changed);
            }
            if newest > head.revision {
                wrong.push((
                    Kind::Head,
                    self.path(linked.link.id),
                    "the head is older than a collection in it: it was put back from an older state",
                ));
            } else if sum != head.members {
                wrong.push((
                    Kind::Link,
                    self.path(linked.link.id),
                    "the collections in it do not add up: a link was lost, or put back from an older state",
                ));
            }
        }
        let orphans = self.tree.values().filter(|linked| {
            let parent = linked.link.parent;
            parent.is_some_and(|parent| !self.tree.contains_key(&parent))
        });
        wrong.extend(orphans.map(|linked| {
            let what = "the collection that this one is in is lost";
            (Kind::Link, self.path(linked.link.id), what)
        }));
        for (kind, path, what) in wrong {
            self.check.fault(kind, self.at(Some(&path), None), what)?;
        }
        Ok(())
    }

    /// Locks, those under the account key (of before) too.
    pub fn locks(&mut self) -> Step {
        for name in self.damaged_locks()? {
            // Opening the account drops damaged locks.
            if self.vault().store.get(&name)?.is_some() {
                let at = self.at(None, Some(&name));
                self.check.fault(Kind::Lock, at, "the row does not open")?;
            }
        }
        Ok(())
    }

    pub fn damaged_locks(&mut self) -> Step<Vec<RowName>> {
        let vault = self.vault();
        let mut damaged = Vec::new();
        if let Some(home) = self.home().map(|home| home.state.clone()) {
            for row in vault.store.scan(&home.names.prefix(Kind::Lock)) {
                let (name, stored) = row?;
                self.check.read(stored.bytes().len())?;
                let lock = home.open::<Lock>(Kind::Lock, &name, &stored);
                if lock.is_none_or(|lock| locks::name(&home, &lock.token) != name) {
                    damaged.push(name);
                }
            }
        }
        for row in vault.store.scan(&self.keys.names.prefix(Kind::Lock)) {
            let (name, stored) = row?;
            self.check.read(stored.bytes().len())?;
            if self.open::<Lock>(Kind::Lock, &name, stored).is_none() {
                damaged.push(name);
            }
        }
        Ok(damaged)
    }

    pub fn grants_name(&self) -> RowName {
        self.keys
            .names
            .row(Kind::Grants, ObjectId::NONE.bytes(), 0, 0)
    }

    /// The list of devices with chosen calendars; an error when it is there and does not open.
    pub fn listed(&self) -> Result<Result<Vec<Grant>, RowName>, StoreError> {
        let name = self.grants_name();
        let Some(stored) = self.vault().store.get(&name)? else {
            return Ok(Ok(Vec::new()));
        };
        Ok(self.open(Kind::Grants, &name, stored).ok_or(name))
    }

    /// The list of devices with chosen calendars, and that each has its rows.
    pub fn grants(&mut self) -> Step {
        let vault = self.vault();
        let grants = match self.listed()? {
            Ok(grants) => grants,
            Err(name) => {
                let at = self.at(None, Some(&name));
                return self.check.fault(Kind::Grants, at, "the row does not open");
            }
        };
        for row in vault.store.scan(&vault.grant_prefix(self.account)) {
            let (name, stored) = row?;
            self.check.read(stored.bytes().len())?;
            let place = scanned_place(Kind::Grant, AccountId::NONE, CollectionId::NONE, &name);
            let content = stored.open(&vault.host_rows, &place).ok();
            let Some(row) = content.and_then(|content| decode::<GrantRow>(&content)) else {
                continue;
            };
            let known = grants.iter().any(|grant| grant.slot == row.slot);
            if !known && vault.has_slot(self.account, row.slot) {
                // Made at this moment?
                let now = self.listed()?.unwrap_or_default();
                if !now.iter().any(|grant| grant.slot == row.slot) {
                    let what = format!(
                        "the list lacks the device with slot {}: it was put back from an older state, or lost",
                        row.slot
                    );
                    let at = self.at(None, Some(&name));
                    self.check.fault(Kind::Grants, at, &what)?;
                }
            }
        }
        for (path, name) in self.ungranted(&grants)? {
            let at = self.at(Some(&path), Some(&name));
            self.check.fault(Kind::Grant, at, "the row is missing")?;
        }
        Ok(())
    }

    /// Granted calendars that are there, and whose row for the device is not.
    pub fn ungranted(&self, grants: &[Grant]) -> Result<Vec<(String, RowName)>, StoreError> {
        let vault = self.vault();
        let home = self.home().map(|home| home.link.id);
        let mut missing = Vec::new();
        for grant in grants {
            if !vault.has_slot(self.account, grant.slot) {
                continue;
            }
            for id in grant.calendars.iter().copied().chain(home) {
                let link = self.link_name(id);
                let name = vault.grant_name(self.account, grant.slot, id);
                let lost = self.tree.contains_key(&id)
                    && vault.store.get(&name)?.is_none()
                    && vault.store.get(&link)?.is_some();
                // Deleted at this moment, both go in one commit.
                if lost
                    && vault.store.get(&name)?.is_none()
                    && vault.has_slot(self.account, grant.slot)
                {
                    missing.push((self.path(id), name));
                }
            }
        }
        Ok(missing)
    }

    /// The private keys of pairs of before, which open old pages of the audit trail.
    pub fn former_keys(&mut self) -> Step {
        let name = self
            .keys
            .names
            .row(Kind::FormerKeys, ObjectId::NONE.bytes(), 0, 0);
        let Some(stored) = self.vault().store.get(&name)? else {
            return Ok(());
        };
        match self.open::<Vec<[u8; 32]>>(Kind::FormerKeys, &name, stored) {
            Some(mut former) => {
                self.pairs.extend(former.iter().rev().map(PairKey::read));
                zeroize::Zeroize::zeroize(&mut former);
                Ok(())
            }
            None => {
                let at = self.at(None, Some(&name));
                self.check
                    .fault(Kind::FormerKeys, at, "the row does not open")
            }
        }
    }

    /// The links of deleted collections, whose rows wait in the trash and are not opened.
    pub fn trash(&mut self) -> Step {
        let vault = self.vault();
        for row in vault.store.scan(&self.keys.names.prefix(Kind::TrashedLink)) {
            let (name, stored) = row?;
            self.check.read(stored.bytes().len())?;
            let row = self.open::<TrashedRow>(Kind::TrashedLink, &name, stored);
            let own = |id: CollectionId| self.keys.names.row(Kind::TrashedLink, id.bytes(), 0, 0);
            if row.is_none_or(|row| own(row.link.id) != name) {
                let at = self.at(None, Some(&name));
                self.check
                    .fault(Kind::TrashedLink, at, "the row does not open")?;
            }
        }
        Ok(())
    }

    /// Whether the account's user can read what the audit trail tells.
    pub fn trail(&mut self) -> Step {
        if self.tree.is_empty() {
            return Ok(());
        }
        let unread = self.vault().unread_pages(self.account, &self.pairs)?;
        for page in unread {
            let what = format!("page {page} does not open with the account's key");
            let at = self.at(None, None);
            self.check.fault(Kind::AuditEntries, at, &what)?;
        }
        Ok(())
    }
}
