//! What is known good after a failed write or sync: the rows as they were before the group that
//! failed.
//!
//! sled applies a group before it is on the disk, so after a failure it shows more than was ever
//! acknowledged. The commit thread therefore notes what the rows of a group were before it. Until the
//! store can be opened again reads see sled with that group undone: exactly what was acknowledged.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::iter::Peekable;
use std::ops::Bound;

use super::batch::Batch;

/// The rows of a group as they were before it; none for one that was not there.
#[derive(Default)]
pub(super) struct Undo {
    rows: BTreeMap<sled::IVec, Option<sled::IVec>>,
}

impl Undo {
    /// Notes the rows that these batches are about to change.
    pub(super) fn of(db: &sled::Db, batches: &[Batch]) -> sled::Result<Self> {
        let mut rows = BTreeMap::new();
        for name in batches.iter().flat_map(Batch::raw_names) {
            if !rows.contains_key(name) {
                rows.insert(name.clone(), db.get(name)?);
            }
        }
        Ok(Undo { rows })
    }
}

/// The rows as a reader may see them.
pub(super) struct View<'a> {
    pub(super) db: &'a sled::Db,
    /// Set after a failure.
    pub(super) undo: Option<&'a Undo>,
}

impl<'a> View<'a> {
    pub(super) fn get(&self, name: &[u8]) -> sled::Result<Option<sled::IVec>> {
        match self.undo.and_then(|undo| undo.rows.get(name)) {
            Some(before) => Ok(before.clone()),
            None => self.db.get(name),
        }
    }

    /// The rows from a name on, in order.
    pub(super) fn from(&self, from: Bound<&[u8]>) -> Rows<'a> {
        let bounds = (from, Bound::<&[u8]>::Unbounded);
        Rows {
            rows: self.db.range::<&[u8], _>(bounds).peekable(),
            undone: self
                .undo
                .map(|undo| undo.rows.range::<[u8], _>(bounds).peekable()),
        }
    }
}

/// Rows in order, with those of a group undone.
pub(super) struct Rows<'a> {
    rows: Peekable<sled::Iter>,
    undone: Option<Peekable<Range<'a, sled::IVec, Option<sled::IVec>>>>,
}

impl Iterator for Rows<'_> {
    type Item = sled::Result<(sled::IVec, sled::IVec)>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(undone) = &mut self.undone else {
            return self.rows.next();
        };
        loop {
            match (self.rows.peek(), undone.peek()) {
                (_, None) | (Some(Err(_)), _) => return self.rows.next(),
                (Some(Ok((name, _))), Some((before, _))) if name < *before => {
                    return self.rows.next();
                }
                (Some(Ok((name, _))), Some((before, _))) if name == *before => {
                    self.rows.next();
                }
                _ => {}
            }
            if let Some((name, Some(value))) = undone.next() {
                return Some(Ok((name.clone(), value.clone())));
            }
        }
    }
}
