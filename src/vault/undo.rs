//! Undoing what one device changed since a time: what it made goes, what it overwrote gets back
//! the version from before, what it deleted comes back, what it moved from one calendar into another is
//! where it was. What another device changed later stays as it is and is told of.
//! `undo_collections` has collections, which come first.
//!
//! Each object is looked at for itself, once to plan and again in the commit that changes it, so
//! that nothing is undone that changed meanwhile. Every commit changes one object; what is held in
//! memory is the list of objects of one collection.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::history::author;
use super::model::{Summary, VaultError};
use super::read::AccountStore;
use super::rows::{Ended, HistoryRow};
use super::tree::State;
use super::{Action, Transaction};
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, ObjectId, SlotId};
use crate::limits;

/// Whether an undo is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    /// Only told of.
    DryRun,
    /// Done.
    Apply,
}

/// What is, or would be, done to an object or a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// The device made it: it is deleted.
    Deleted,
    /// The device overwrote it: it gets the version from before.
    Reverted,
    /// The device deleted it: it is restored.
    Restored,
    /// Left: another device changed it later.
    ChangedLater,
    /// Left: the version from before is no longer kept.
    NotKept,
    /// Left: the device changed its name or properties, of which no versions are kept for objects.
    NameOrProperties,
    /// Left: the device made this collection, and another one has written into it since.
    OthersWrote,
    /// Left: its name or its UID is in use.
    InTheWay,
    /// Left: its rows are damaged, or it changed at that moment.
    Failed,
}

impl Undone {
    /// Whether it is left as it is.
    fn is_left(self) -> bool {
        !matches!(self, Undone::Deleted | Undone::Reverted | Undone::Restored)
    }
}

/// A line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoLine {
    /// The path below the home.
    pub path: String,
    /// What was done.
    pub undone: Undone,
}

/// What an undo did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UndoReport {
    /// At most `UNDO_TOLD`; the counts are of all.
    pub lines: Vec<UndoLine>,
    /// Deleted, reverted or restored.
    pub changed: u64,
    /// Left as they are.
    pub left: u64,
}

impl UndoReport {
    pub(super) fn add(&mut self, path: String, undone: Undone) {
        match undone.is_left() {
            true => self.left += 1,
            false => self.changed += 1,
        }
        if self.lines.len() < limits::UNDO_TOLD {
            self.lines.push(UndoLine { path, undone });
        }
    }
}

/// Which changes are undone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of {
    pub device: SlotId,
    pub since: UnixMillis,
}

impl Of {
    fn is(self, made: &Made) -> bool {
        made.by == self.device && made.at >= self.since
    }
}

/// A state of an object: how it came to be, and the number of its version.
#[derive(Debug)]
struct Made {
    by: SlotId,
    at: UnixMillis,
    /// None for what is now, live or deleted.
    version: Option<u64>,
    /// Whether there was nothing before.
    first: bool,
}

/// What is to be done with an object.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Nothing,
    Delete,
    Revert(u64),
    Restore(u64),
    Leave(Undone),
}

/// The states of an object, newest first.
fn states(live: Option<&Summary>, row: Option<&HistoryRow>) -> Vec<Made> {
    let (versions, cut) = row.map_or((&[][..], 0), |row| (&row.versions[..], row.cut));
    // What replaced a version made the state above it; the oldest was stored first, or what was
    // before it is not known.
    let oldest = match (versions.last(), live) {
        (Some(version), _) => (version.device, version.created, version.modified),
        (None, Some(live)) => (author(live), live.created, live.modified),
        (None, None) => return Vec::new(),
    };
    let (by, created, modified) = oldest;
    let mut made: Vec<_> = versions
        .iter()
        .map(|version| (version.by, version.replaced, false))
        .collect();
    made.push((by, modified, cut == 0 && created == modified));
    let number = |index: usize| match index {
        0 => None,
        index => versions.get(index - 1).map(|version| version.revision),
    };
    let with_number = made.into_iter().enumerate();
    with_number
        .map(|(index, (by, at, first))| Made {
            by,
            at,
            version: number(index),
            first,
        })
        .collect()
}

fn decide(live: Option<&Summary>, row: Option<&HistoryRow>, of: Of) -> Decision {
    if live.is_none() && row.is_none_or(|row| row.gone.is_none()) {
        return Decision::Nothing;
    }
    let states = states(live, row);
    let own = states.iter().take_while(|made| of.is(made)).count();
    if own == 0 {
        let renamed = live.is_some_and(|live| {
            live.changed > live.modified && live.device == of.device && live.changed >= of.since
        });
        return match (states.iter().any(|made| of.is(made)), renamed) {
            (true, _) => Decision::Leave(Undone::ChangedLater),
            (false, true) => Decision::Leave(Undone::NameOrProperties),
            (false, false) => Decision::Nothing,
        };
    }
    let other_since = live.is_some_and(|live| {
        live.changed > live.modified && live.device != of.device && live.changed >= of.since
    });
    if other_since {
        return Decision::Leave(Undone::ChangedLater);
    }
    let before = states.get(own).and_then(|made| made.version);
    match (before, live) {
        (Some(version), Some(_)) => Decision::Revert(version),
        (Some(version), None) => Decision::Restore(version),
        (None, _) if !states[own - 1].first => Decision::Leave(Undone::NotKept),
        (None, Some(_)) => Decision::Delete,
        // It made and deleted it.
        (None, None) => Decision::Nothing,
    }
}

impl AccountStore {
    /// Undoes what a device changed since a time, or tells what would be done; `done` counts the
    /// lines of the report meanwhile. Durable when it returns. Run again after an interruption it goes on.
    ///
    /// # Errors
    /// `Denied` for a device with chosen calendars or that may only read; `Store`, `Locked`: part
    /// of it may then be done.
    pub fn undo(
        &self,
        device: SlotId,
        since: UnixMillis,
        undo: Undo,
        done: &AtomicU64,
    ) -> Result<UndoReport, VaultError> {
        self.whole()?;
        let of = Of { device, since };
        let mut report = UndoReport::default();
        let gone = self.undo_collections(of, undo, &mut report)?;
        for state in self.states() {
            if gone.contains(&state.id) {
                continue;
            }
            match self.undo_objects(&state, of, undo, &mut report, done) {
                // The collection went meanwhile, or is damaged: the others are undone.
                Ok(()) | Err(VaultError::Missing) => {}
                Err(VaultError::Damaged(_)) => {
                    report.add(self.text_path(state.id, None), Undone::Failed);
                }
                Err(error) => return Err(error),
            }
        }
        self.barrier().wait()?;
        Ok(report)
    }

    /// Undoes what was done to the objects of one collection: first what makes names and UIDs
    /// free, then what needs them.
    fn undo_objects(
        &self,
        state: &Arc<State>,
        of: Of,
        undo: Undo,
        report: &mut UndoReport,
        done: &AtomicU64,
    ) -> Result<(), VaultError> {
        let (mut first, mut then) = (Vec::new(), Vec::new());
        let mut seen: HashSet<ObjectId> = HashSet::new();
        let mut sort = |id: ObjectId, decision: Decision| match decision {
            Decision::Nothing => {}
            Decision::Restore(_) => then.push(id),
            _ => first.push(id),
        };
        // Nobody writes into the index while it is asked for each history.
        let id = state.id;
        self.each_history(state, |row| {
            let live = self.with_index(id, |index| index.object(row.id).cloned());
            if let Ok(live) = live {
                sort(row.id, decide(live.as_deref(), Some(&row), of));
            }
            seen.insert(row.id);
        })?;
        self.with_index(id, |index| {
            for live in index.in_order() {
                if live.device == of.device && live.changed >= of.since && !seen.contains(&live.id)
                {
                    sort(live.id, decide(Some(live), None, of));
                }
            }
        })?;
        for (number, object) in first.into_iter().chain(then).enumerate() {
            self.undo_object(state, object, of, undo, report)?;
            done.store(report.changed + report.left, Ordering::Relaxed);
            if number % limits::UNDO_STEP == limits::UNDO_STEP - 1 {
                self.barrier().wait()?;
            }
        }
        Ok(())
    }

    fn undo_object(
        &self,
        state: &Arc<State>,
        object: ObjectId,
        of: Of,
        undo: Undo,
        report: &mut UndoReport,
    ) -> Result<(), VaultError> {
        let id = state.id;
        let mut name = None;
        let mut plan = |account: &AccountStore| -> Result<_, VaultError> {
            let live = account.with_index(id, |index| index.object(object).cloned())?;
            let row = account.history_row(state, object)?;
            let was = row.as_ref().and_then(|row| row.versions.first());
            let was = was.map(|version| &version.segment);
            name = live.as_ref().map(|live| &live.segment).or(was).cloned();
            let mut decision = decide(live.as_deref(), row.as_ref(), of);
            if let (Decision::Restore(_), Some(row)) = (&decision, &row)
                && self.stays_moved(id, row, of)?
            {
                decision = Decision::Leave(Undone::ChangedLater);
            }
            Ok((live, decision))
        };
        let done = match undo {
            Undo::DryRun => plan(self).map(|(_, decision)| outcome(&decision)),
            Undo::Apply => self.write(|tx| {
                let (live, decision) = plan(&self.clone())?;
                apply(tx, id, object, live.as_deref(), &decision)?;
                Ok::<_, VaultError>(outcome(&decision))
            }),
        };
        let path = self.text_path(id, name.as_ref().map(|name| name.as_str()));
        match done {
            Ok(None) => {}
            Ok(Some(undone)) => report.add(path, undone),
            Err(error) => report.add(path, left(error)?),
        }
        Ok(())
    }

    /// Whether an object that the device moved elsewhere was changed there by another one.
    fn stays_moved(
        &self,
        from: CollectionId,
        row: &HistoryRow,
        of: Of,
    ) -> Result<bool, VaultError> {
        let moved = row.gone.is_some_and(|gone| gone.ended == Ended::Moved);
        let facts = row.versions.first().and_then(|last| last.calendar.as_ref());
        match facts {
            Some(facts) if moved => self.is_changed_elsewhere(from, &facts.uid, of),
            _ => Ok(false),
        }
    }

    fn text_path(&self, id: CollectionId, name: Option<&str>) -> String {
        text(&self.path_of(id), name)
    }
}

pub(super) fn text(path: &[crate::ids::Segment], name: Option<&str>) -> String {
    let mut parts: Vec<_> = path.iter().map(|segment| segment.as_str()).collect();
    parts.extend(name);
    format!("/{}", parts.join("/"))
}

/// What an error of one object or collection is in the report; others end the undo.
pub(super) fn left(error: VaultError) -> Result<Undone, VaultError> {
    match error {
        VaultError::Exists | VaultError::UidConflict(_) => Ok(Undone::InTheWay),
        VaultError::Missing | VaultError::Damaged(_) | VaultError::Limit(_) => Ok(Undone::Failed),
        error => Err(error),
    }
}

fn outcome(decision: &Decision) -> Option<Undone> {
    match decision {
        Decision::Nothing => None,
        Decision::Delete => Some(Undone::Deleted),
        Decision::Revert(_) => Some(Undone::Reverted),
        Decision::Restore(_) => Some(Undone::Restored),
        Decision::Leave(why) => Some(*why),
    }
}

fn apply(
    tx: &mut Transaction,
    id: CollectionId,
    object: ObjectId,
    live: Option<&Summary>,
    decision: &Decision,
) -> Result<(), VaultError> {
    tx.tell(Action::Undo);
    match (decision, live) {
        (Decision::Delete, Some(live)) => tx.delete_object(id, live),
        (Decision::Revert(version) | Decision::Restore(version), _) => {
            tx.restore_version(id, object, *version, None).map(drop)
        }
        _ => Ok(()),
    }
}
