//! Walking the rows of a prefix, or all of them, in steps, so that no walk keeps the database from being
//! reopened and none holds more than a bounded number of rows.

use std::ops::Bound;
use std::vec;

use super::Store;
use super::commit::GROUP_ROW;
use super::error::{StoreError, advice};
use super::rows::guarded;
use super::undo::View;
use crate::limits::{SCAN_STEP_BYTES, SCAN_STEP_ROWS};
use crate::seal::{RowName, RowPrefix};

/// An iterator over the rows of a prefix, or over all; `read` makes its items from the stored bytes.
pub(super) struct Scan<'store, T> {
    store: &'store Store,
    /// None for all rows.
    prefix: Option<RowPrefix>,
    read: fn(&[u8]) -> T,
    step: vec::IntoIter<(RowName, T)>,
    next: Next,
}

enum Next {
    Start,
    After(RowName),
    End,
}

impl<'store, T> Scan<'store, T> {
    pub(super) fn new(
        store: &'store Store,
        prefix: Option<RowPrefix>,
        read: fn(&[u8]) -> T,
    ) -> Self {
        Scan {
            store,
            prefix,
            read,
            step: Vec::new().into_iter(),
            next: Next::Start,
        }
    }

    /// Reads the next step.
    fn refill(&mut self) -> Result<(), StoreError> {
        let read = self.read;
        let prefix = self.prefix.as_ref().map_or(&[][..], RowPrefix::bytes);
        let from = match &self.next {
            Next::Start => Bound::Included(prefix),
            Next::After(name) => Bound::Excluded(name.bytes()),
            Next::End => return Ok(()),
        };
        let (rows, ended) = self
            .store
            .with_rows(|rows| guarded(|| read_step(rows, prefix, from, read))?)?;
        self.next = match rows.last() {
            Some((name, _)) if !ended => Next::After(*name),
            _ => Next::End,
        };
        self.step = rows.into_iter();
        Ok(())
    }
}

type Step<T> = Result<(Vec<(RowName, T)>, bool), StoreError>;

/// Rows of one step, and whether the prefix ends with them. The outer result is sled's.
fn read_step<T>(
    view: &View,
    prefix: &[u8],
    from: Bound<&[u8]>,
    read: fn(&[u8]) -> T,
) -> sled::Result<Step<T>> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    for row in view.from(from) {
        let (name, value) = row?;
        if !name.starts_with(prefix) {
            return Ok(Ok((rows, true)));
        }
        if name == GROUP_ROW {
            continue;
        }
        let Some(name) = RowName::read(&name) else {
            return Ok(Err(StoreError::Damaged {
                advice: advice::ROWS,
            }));
        };
        rows.push((name, read(&value)));
        bytes += value.len();
        if rows.len() >= SCAN_STEP_ROWS || bytes >= SCAN_STEP_BYTES {
            return Ok(Ok((rows, false)));
        }
    }
    Ok(Ok((rows, true)))
}

impl<T> Iterator for Scan<'_, T> {
    type Item = Result<(RowName, T), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.step.next() {
            return Some(Ok(row));
        }
        if let Err(error) = self.refill() {
            self.next = Next::End;
            return Some(Err(error));
        }
        self.step.next().map(Ok)
    }
}
