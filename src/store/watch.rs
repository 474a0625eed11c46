//! What the commit thread does for a copy of all rows: it notes the names of rows that change
//! while one is being made, and can be held for the moment in which the copy is completed.

use std::collections::BTreeSet;

use parking_lot::{Mutex, MutexGuard};

use super::batch::Batch;
use crate::limits::COPY_CHANGED_NAMES;
use crate::seal::RowName;

/// Shared by the commit thread and whoever copies.
#[derive(Default)]
pub(super) struct Watch {
    /// Held by the commit thread from before a group is applied until it is on the disk.
    writing: Mutex<()>,
    changed: Mutex<Option<Changed>>,
    copying: Mutex<()>,
}

/// Names of rows that changed, in order.
#[derive(Default)]
pub(super) struct Changed {
    pub names: BTreeSet<RowName>,
    /// Whether there were more than are kept: then nobody knows all of them.
    pub overflowed: bool,
}

impl Watch {
    /// Keeps the commit thread from applying anything. What is applied then is on the disk.
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    /// The names that a group is going to change, if somebody copies. While it is held.
    pub fn names(&self, batches: &[Batch]) -> Vec<RowName> {
        match &*self.changed.lock() {
            Some(changed) if !changed.overflowed => batches.iter().flat_map(Batch::names).collect(),
            _ => Vec::new(),
        }
    }

    /// Notes what was applied, or may have been: after it was, or a copy could take the name and
    /// read the row before the change. While it is held.
    pub fn note(&self, names: Vec<RowName>) {
        let mut changed = self.changed.lock();
        let Some(changed) = changed.as_mut().filter(|changed| !changed.overflowed) else {
            return;
        };
        changed.names.extend(names);
        if changed.names.len() > COPY_CHANGED_NAMES {
            *changed = Changed {
                names: BTreeSet::new(),
                overflowed: true,
            };
        }
    }

    /// Begins to note; one copy at a time.
    pub fn begin(&self) -> Watching<'_> {
        let one = self.copying.lock();
        // Every group is then whole before the copy, or noted.
        let _hold = self.hold();
        *self.changed.lock() = Some(Changed::default());
        Watching {
            watch: self,
            _one: one,
        }
    }
}

/// Names are noted as long as this lives.
pub(super) struct Watching<'a> {
    watch: &'a Watch,
    _one: MutexGuard<'a, ()>,
}

impl Watching<'_> {
    /// What changed since the last call, or since the beginning.
    pub fn take(&self) -> Changed {
        let mut changed = self.watch.changed.lock();
        changed.replace(Changed::default()).unwrap_or_default()
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        *self.watch.changed.lock() = None;
    }
}
