//! What the store sees: opaque names and opaque bytes.

/// Bytes of a row's name: 16 for its prefix, 16 for the row, 4 for the chunk.
pub const ROW_NAME_BYTES: usize = 36;

/// The name of a row: keyed hashes, so it tells a thief nothing but equality.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RowName(pub(super) [u8; ROW_NAME_BYTES]);

impl RowName {
    /// The bytes under which the store keeps the row.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A name for tests of the store.
    #[cfg(test)]
    pub(crate) fn for_test(bytes: [u8; ROW_NAME_BYTES]) -> Self {
        RowName(bytes)
    }

    /// The name of a row that a scan of the store met; `None` when it has not the length of one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(RowName)
    }
}

/// What the names of all rows of one kind in one collection begin with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RowPrefix(pub(super) [u8; 16]);

impl RowPrefix {
    /// A prefix for tests of the store.
    #[cfg(test)]
    pub(crate) fn for_test(bytes: [u8; 16]) -> Self {
        RowPrefix(bytes)
    }

    /// The bytes that those names begin with.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A sealed row on its way to the store. Only sealing makes one.
#[derive(Clone)]
pub struct Sealed(pub(super) Vec<u8>);

impl Sealed {
    /// Bytes for tests of the store, sealed by nobody.
    #[cfg(test)]
    pub(crate) fn for_test(bytes: Vec<u8>) -> Self {
        Sealed(bytes)
    }

    /// The bytes to store.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A row as it was read, not yet proven to be anything. It cannot be written back.
#[derive(Clone)]
pub struct Stored(Vec<u8>);

impl Stored {
    /// Wraps what was read.
    pub fn read(bytes: Vec<u8>) -> Self {
        Stored(bytes)
    }

    /// The bytes read.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
