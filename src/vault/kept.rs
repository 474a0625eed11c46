//! How much trash an account may have: so many past versions and so many bytes, the oldest going
//! first (`[trash] items` and `megabytes`), so that deleting and overwriting without end fills no disk.
//!
//! What there is is counted from the histories themselves, soon after an account was opened and
//! once a day, and from then on kept up by each commit (`Kept`): no row holds the sum, so no crash
//! makes it wrong. Nothing is looked through because of one change. An account that is over by
//! more than an eighth is cut within a minute by the housekeeping, and one that is at twice its bound
//! by the writer that brought it there, who waits for it: so a flood pays for itself.
//!
//! The cut is a moment: everything that was replaced or deleted up to then goes, in whichever
//! collection it is. A deleted calendar counts by its bytes and goes or stays as a whole; the one
//! that was deleted last stays, however large it is.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;

use super::Vault;
use super::model::{Retention, VaultError, Version};
use super::read::AccountStore;
use super::rows::{HistoryRow, SummaryRow};
use super::trash::Trashed;
use super::tree::State;
use super::unlock::Inner;
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, ObjectId, SlotId};
use crate::limits;
use crate::seal::{Kind, Terms};

/// How much there is, or by how much it grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// Past versions.
    pub items: i64,
    /// Bytes of their bodies and of deleted collections, with `limits::TRASH_ITEM_BYTES` for each object.
    pub bytes: i64,
}

impl Weight {
    fn of_bytes(size: u64) -> Self {
        let bytes = size.saturating_add(limits::TRASH_ITEM_BYTES);
        Weight {
            items: 1,
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        }
    }

    pub fn of(version: &Version) -> Self {
        Weight::of_bytes(version.size)
    }

    /// Taken away instead of added.
    pub fn negative(self) -> Self {
        Weight {
            items: -self.items,
            bytes: -self.bytes,
        }
    }

    /// The properties that a deleted object had.
    pub fn of_properties(bytes: u64) -> Self {
        Weight {
            items: 0,
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        }
    }

    /// Whether it is beyond `eighths` eighths of what may be kept.
    fn exceeds(self, retention: Retention, eighths: i64) -> bool {
        let most = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX) / 8;
        self.items > most(retention.items).saturating_mul(eighths)
            || self.bytes > most(retention.bytes).saturating_mul(eighths)
    }
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.items = self.items.saturating_add(other.items);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// When a past version or a deleted collection came into the trash; all different, so that of what
/// came at once no more goes than must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    at: UnixMillis,
    id: [u8; 16],
    revision: u64,
}

impl Moment {
    fn of(object: ObjectId, version: &Version) -> Self {
        Moment {
            at: version.replaced,
            id: *object.bytes(),
            revision: version.revision,
        }
    }

    fn of_collection(one: &Trashed) -> Self {
        Moment {
            at: one.since,
            id: *one.id.bytes(),
            revision: 0,
        }
    }
}

/// What is kept of a history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    /// So many versions, the newest.
    versions: usize,
    /// What came into the trash until then goes.
    until: Moment,
}

impl Keep {
    /// Nothing.
    pub const NOTHING: Keep = Keep {
        versions: 0,
        until: Moment {
            at: UnixMillis(i64::MAX),
            id: [u8::MAX; 16],
            revision: u64::MAX,
        },
    };

    /// What number and age let be kept.
    pub fn of(retention: Retention, now: UnixMillis) -> Self {
        if retention.is_off() {
            return Keep::NOTHING;
        }
        Keep {
            versions: retention.versions as usize,
            until: Moment {
                at: retention.ends(now),
                id: [0; 16],
                revision: 0,
            },
        }
    }

    /// Whether the oldest version of a history goes.
    pub fn drops_oldest(self, row: &HistoryRow) -> bool {
        let oldest = row.versions.last();
        row.versions.len() > self.versions
            || oldest.is_some_and(|oldest| Moment::of(row.id, oldest) <= self.until)
    }
}

/// How much trash an account has, in memory.
#[derive(Default)]
pub(super) struct Kept {
    items: AtomicI64,
    bytes: AtomicI64,
    /// Whether the histories were looked through, and nothing came or went since of which the
    /// weight is not known.
    counted: AtomicBool,
    /// Until when everything went because there was too much; 0 when nothing did.
    cut: AtomicI64,
    /// Held by whoever looks through the histories.
    busy: Mutex<()>,
    /// What deleted collections weigh.
    collections: Mutex<HashMap<CollectionId, Weight>>,
}

impl Kept {
    fn weight(&self) -> Weight {
        Weight {
            items: self.items.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    #[cfg(test)]
    pub fn counted_now(&self) -> (i64, i64) {
        (self.weight().items, self.weight().bytes)
    }

    pub fn add(&self, grown: Weight) {
        self.items.fetch_add(grown.items, Ordering::Relaxed);
        self.bytes.fetch_add(grown.bytes, Ordering::Relaxed);
    }

    /// A collection came or went: it is counted again by the housekeeping.
    pub fn recount(&self) {
        self.counted.store(false, Ordering::Relaxed);
    }

    /// Whether the housekeeping has to look.
    pub fn is_due(&self, retention: Retention) -> bool {
        !self.counted.load(Ordering::Relaxed) || self.weight().exceeds(retention, 9)
    }

    /// Whether whoever writes has to.
    pub fn is_flooded(&self, retention: Retention) -> bool {
        !retention.is_off() && self.weight().exceeds(retention, 16)
    }

    /// Whether whoever writes may have to soon.
    pub fn is_nearly_flooded(&self, retention: Retention) -> bool {
        !retention.is_off() && self.weight().exceeds(retention, 15)
    }
}

/// What the trash of an account holds, and may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrashFigures {
    /// Past versions of objects, deleted ones too.
    pub items: u64,
    /// Bytes of them and of deleted collections, with what each takes besides.
    pub bytes: u64,
    /// The most of them.
    pub most: Retention,
    /// What came into the trash until then went although it was not old enough: there was too much.
    pub cut: Option<UnixMillis>,
}

impl TrashFigures {
    /// Whether the oldest goes before its time, or soon will.
    pub fn is_full(&self) -> bool {
        let near = |count: u64, most: u64| count / 7 >= most / 8;
        self.cut.is_some() || near(self.items, self.most.items) || near(self.bytes, self.most.bytes)
    }
}

/// Finds the moment until which everything has to go.
struct Survey {
    retention: Retention,
    keep: Keep,
    /// What stays, the oldest first.
    stays: BinaryHeap<Reverse<(Moment, i64, i64)>>,
    weight: Weight,
    /// Everything that was seen.
    all: Weight,
    /// Whether anything goes at all.
    drops: bool,
    /// Until when everything goes for its size.
    cut: Option<UnixMillis>,
}

impl Survey {
    fn new(retention: Retention, now: UnixMillis) -> Self {
        Survey {
            retention,
            keep: Keep::of(retention, now),
            stays: BinaryHeap::new(),
            weight: Weight::default(),
            all: Weight::default(),
            drops: false,
            cut: None,
        }
    }

    fn add(&mut self, moment: Moment, weight: Weight) {
        self.all += weight;
        if moment <= self.keep.until {
            self.drops = true;
            return;
        }
        self.weight += weight;
        let entry = (moment, weight.items, weight.bytes);
        self.stays.push(Reverse(entry));
        while self.weight.exceeds(self.retention, 8) {
            let Some(Reverse((oldest, items, bytes))) = self.stays.pop() else {
                return;
            };
            self.weight += Weight { items, bytes }.negative();
            self.keep.until = oldest;
            self.drops = true;
            self.cut = Some(oldest.at);
        }
    }

    fn add_history(&mut self, row: &HistoryRow) {
        let mut properties = row.properties_weight();
        for (number, version) in row.versions.iter().enumerate() {
            let mut weight = Weight::of(version);
            weight += std::mem::take(&mut properties);
            if number < self.keep.versions {
                self.add(Moment::of(row.id, version), weight);
            } else {
                self.all += weight;
                self.drops = true;
            }
        }
    }
}

impl HistoryRow {
    /// The properties that a deleted object had.
    fn properties_weight(&self) -> Weight {
        let bytes = self.gone.map_or(0, |gone| gone.properties_bytes);
        Weight::of_properties(bytes)
    }
}

impl Vault {
    /// Once a day, soon after it was opened, and when it has too much: cuts the trash of each account
    /// that is open. What fails is logged, and tried again the next day.
    pub fn cut_histories(self: &Arc<Self>) {
        let today = self.ambient.now().0.div_euclid(86_400_000);
        let held: Vec<_> = self.registry.lock().values().cloned().collect();
        for inner in held.iter().filter_map(std::sync::Weak::upgrade) {
            let first = inner.cut_on.swap(today, Ordering::Relaxed) != today;
            if first || inner.kept.is_due(self.retention()) {
                inner.tidy();
            }
        }
    }

    /// The names of open accounts whose trash was cut because there was too much, and until when
    /// everything went.
    pub fn full_trash(&self) -> Vec<(String, UnixMillis)> {
        let held: Vec<_> = self.registry.lock().values().cloned().collect();
        let open = held.iter().filter_map(std::sync::Weak::upgrade);
        let full = open.filter_map(|inner| {
            let cut = inner.kept.cut.load(Ordering::Relaxed);
            (cut != 0).then(|| (inner.name.to_string(), UnixMillis(cut)))
        });
        full.collect()
    }
}

impl Inner {
    /// Cuts the trash, unless somebody is at it.
    pub fn tidy(self: &Arc<Self>) {
        let Some(_busy) = self.kept.busy.try_lock() else {
            return;
        };
        if self.dead.load(Ordering::Acquire) {
            return;
        }
        let account = AccountStore::new(self.clone(), SlotId::NONE, Terms::default(), None);
        match account.cut_trash(self.vault.retention()) {
            Ok(()) | Err(VaultError::Locked) => {}
            Err(error) => {
                tracing::error!(account = %self.id, ?error, "old versions of an account's objects could not be removed");
            }
        }
    }
}

impl AccountStore {
    /// See `trash_figures`.
    pub(super) fn figures(&self) -> Result<TrashFigures, VaultError> {
        let unbounded = Retention {
            items: u64::MAX,
            bytes: u64::MAX,
            ..self.inner.vault.retention()
        };
        let survey = self.survey(unbounded)?;
        let number = |count: i64| u64::try_from(count).unwrap_or_default();
        let cut = self.inner.kept.cut.load(Ordering::Relaxed);
        Ok(TrashFigures {
            items: number(survey.weight.items),
            bytes: number(survey.weight.bytes),
            most: self.inner.vault.retention(),
            cut: (cut != 0).then_some(UnixMillis(cut)),
        })
    }

    fn survey(&self, retention: Retention) -> Result<Survey, VaultError> {
        let mut survey = Survey::new(retention, self.inner.vault.ambient.now());
        for state in self.states() {
            self.each_history(&state, |row| survey.add_history(&row))?;
        }
        for (root, weight) in self.trashed_roots()? {
            survey.add(Moment::of_collection(&root), weight);
        }
        Ok(survey)
    }

    /// Removes what is too old, too many or too much from the histories of all collections, deleted
    /// collections that are too much, and the keys of those that are purged.
    fn cut_trash(&self, retention: Retention) -> Result<(), VaultError> {
        self.cut_annals(retention)?;
        let kept = &self.inner.kept;
        let before = kept.weight();
        kept.counted.store(true, Ordering::Relaxed);
        let survey = self.survey(retention).inspect_err(|_| kept.recount())?;
        if survey.drops {
            for state in self.states() {
                match self.cut_state(&state, survey.keep) {
                    // It went meanwhile.
                    Ok(()) | Err(VaultError::Missing) => {}
                    Err(error) => return Err(error),
                }
            }
            for (root, _) in self.trashed_roots()? {
                if Moment::of_collection(&root) <= survey.keep.until {
                    self.drop_collection(root.id)?;
                }
            }
        }
        // What was removed and added since has been counted by the commits; all of it stood in
        // the survey or came after it, but for what came while it was made, which counts twice
        // until the next one.
        let mut grown = before.negative();
        grown += survey.all;
        kept.add(grown);
        if let Some(cut) = survey.cut {
            kept.cut.store(cut.0, Ordering::Relaxed);
            tracing::info!(account = %self.inner.id, "an account has too much trash; the oldest went");
        }
        self.forget_purged()
    }

    fn cut_annals(&self, retention: Retention) -> Result<(), VaultError> {
        for state in self.states() {
            match self.write(|tx| tx.cut_annals(&state, retention)) {
                Ok(()) | Err(VaultError::Missing) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn cut_state(&self, state: &Arc<State>, keep: Keep) -> Result<(), VaultError> {
        let mut due: Vec<ObjectId> = Vec::new();
        self.each_history(state, |row| {
            if keep.drops_oldest(&row) {
                due.push(row.id);
            }
        })?;
        for step in due.chunks(limits::HISTORY_STEP) {
            for object in step {
                // Not once it was deleted itself, or is no longer ours to write.
                self.state(state.id)?;
                self.write(|tx| tx.cut_history(state, *object, keep))?;
            }
            self.barrier().wait()?;
        }
        Ok(())
    }

    fn drop_collection(&self, id: CollectionId) -> Result<(), VaultError> {
        let dropped = self.write(|tx| {
            tx.drop_trashed(id)?;
            let vault = &self.inner.vault;
            vault.take_trashed(self.inner.id, &tx.untrashed())
        });
        match dropped {
            // Restored or purged meanwhile.
            Err(VaultError::Missing) => Ok(()),
            dropped => dropped,
        }
    }

    /// Drops the keys of deleted collections whose rows are purged.
    fn forget_purged(&self) -> Result<(), VaultError> {
        let listed = self.inner.tree.read().trashed.clone();
        for one in listed {
            if self.inner.vault.is_purged(self.inner.id, one.id)? {
                self.write(|tx| tx.forget_trashed(one.id))?;
            }
        }
        Ok(())
    }

    /// The deleted collections, each with what went with it, but for the one that was deleted last.
    fn trashed_roots(&self) -> Result<Vec<(Arc<Trashed>, Weight)>, VaultError> {
        let all = self.trashed_collections()?;
        let mut weights: HashMap<CollectionId, Weight> = HashMap::new();
        let mut known = self.inner.kept.collections.lock();
        known.retain(|id, _| all.iter().any(|one| one.id == *id));
        for one in &all {
            let weight = match known.get(&one.id) {
                Some(weight) => *weight,
                None => *known.entry(one.id).or_insert(self.weigh(one.id)?),
            };
            *weights.entry(one.root).or_default() += weight;
        }
        drop(known);
        // The newest first.
        let roots = all.iter().filter(|one| one.id == one.root).skip(1);
        let weighed = |one: &Arc<Trashed>| {
            let bytes = weights.get(&one.id).copied().unwrap_or_default().bytes;
            (one.clone(), Weight { items: 0, bytes })
        };
        Ok(roots.map(weighed).collect())
    }

    /// What a deleted collection takes: its objects, and the past versions of them.
    fn weigh(&self, id: CollectionId) -> Result<Weight, VaultError> {
        let mut weight = Weight::default();
        let entry = match self.trashed_entry(id) {
            Ok(entry) => entry,
            // It cannot be restored, and was told of; it goes by its age.
            Err(VaultError::Damaged(_) | VaultError::Missing) => return Ok(weight),
            Err(error) => return Err(error),
        };
        let state = &entry.state;
        for row in self
            .inner
            .vault
            .store
            .scan(&state.names.prefix(Kind::Summary))
        {
            let (name, stored) = row?;
            let row = state.open::<SummaryRow>(Kind::Summary, &name, &stored);
            if let Some(SummaryRow::Live(summary)) = row {
                weight += Weight::of_bytes(summary.size);
            }
        }
        self.each_history(state, |row| {
            weight += row.properties_weight();
            for version in &row.versions {
                weight += Weight::of(version);
            }
        })?;
        Ok(weight)
    }
}
