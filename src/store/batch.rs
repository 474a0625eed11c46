//! Writes that happen together or not at all.

use crate::limits::ROW_BYTES;
use crate::seal::{RowName, Sealed};

/// Rows to put and delete in one atomic step. The last word on a name counts.
#[derive(Default)]
pub struct Batch {
    rows: Vec<(sled::IVec, Option<sled::IVec>)>,
    bytes: usize,
}

impl Batch {
    /// A batch of nothing.
    pub fn new() -> Self {
        Batch::default()
    }

    /// Puts a row, replacing what has its name.
    ///
    /// # Panics
    /// When the value has more than `limits::ROW_BYTES`: bodies are cut into chunks above the
    /// store, and a longer value would end in a file that no sync reaches.
    pub fn put(&mut self, name: RowName, value: Sealed) {
        let value = value.bytes();
        assert!(
            value.len() <= ROW_BYTES,
            "a row of {} bytes was not cut into chunks",
            value.len()
        );
        self.push(name, Some(value.into()));
    }

    /// Deletes a row; nothing happens when there is none.
    pub fn delete(&mut self, name: RowName) {
        self.push(name, None);
    }

    fn push(&mut self, name: RowName, value: Option<sled::IVec>) {
        self.bytes += name.bytes().len() + value.as_ref().map_or(0, |value| value.len());
        self.rows.push((name.bytes().into(), value));
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of all names and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts and deletes.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The names that are written.
    pub(super) fn names(&self) -> impl Iterator<Item = RowName> + '_ {
        self.rows.iter().filter_map(|(name, _)| RowName::read(name))
    }

    /// The names of all rows put or deleted.
    pub(super) fn raw_names(&self) -> impl Iterator<Item = &sled::IVec> {
        self.rows.iter().map(|(name, _)| name)
    }

    /// Adds these writes to those of `to`, in order.
    pub(super) fn append_to(self, to: &mut sled::Batch) {
        for (name, value) in self.rows {
            match value {
                Some(value) => to.insert(name, value),
                None => to.remove(name),
            }
        }
    }
}
