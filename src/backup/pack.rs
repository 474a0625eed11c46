//! Packs: files with sealed rows in the order of their names, each named by its own BLAKE3 hash.
//!
//! ```text
//! sealdav pack 1\n
//! name (36 bytes)  length of the value (4 bytes, little-endian)  value      for each row
//! ```

use crate::limits;
use crate::seal::{RowName, Stored};
use crate::store::Row;

const FIRST_LINE: &[u8] = b"sealdav pack 1\n";
const NAME_BYTES: usize = 36;

/// A pack as a manifest lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pack {
    /// BLAKE3 of the whole file, and its name.
    pub hash: [u8; 32],
    /// Rows in it.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// The file of some rows, and how it is listed.
pub(super) fn encode(rows: &[Row]) -> (Pack, Vec<u8>) {
    let mut file = FIRST_LINE.to_vec();
    for (name, value) in rows {
        let length = u32::try_from(value.bytes().len()).expect("a row is bounded by ROW_BYTES");
        file.extend_from_slice(name.bytes());
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(value.bytes());
    }
    let pack = Pack {
        hash: *blake3::hash(&file).as_bytes(),
        rows: rows.len() as u64,
        bytes: file.len() as u64,
    };
    (pack, file)
}

/// The rows of a pack's file; a sentence when it is not the file that was written.
pub(super) fn decode(pack: &Pack, file: &[u8]) -> Result<Vec<Row>, &'static str> {
    if *blake3::hash(file).as_bytes() != pack.hash {
        return Err("its content was changed or damaged: it does not have the hash that names it");
    }
    let rows = rows(file).ok_or("it holds no rows in the form of a pack")?;
    if rows.len() as u64 != pack.rows || file.len() as u64 != pack.bytes {
        return Err("it holds another number of rows or bytes than the manifest says");
    }
    Ok(rows)
}

/// Reads the rows; none when they are not framed as they are written.
pub(super) fn rows(file: &[u8]) -> Option<Vec<Row>> {
    let mut rest = file.strip_prefix(FIRST_LINE)?;
    let mut rows: Vec<Row> = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_at_checked(NAME_BYTES)?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (value, after) = after.split_at_checked(length)?;
        let name = RowName::read(name)?;
        let ordered = rows.last().is_none_or(|(last, _)| *last < name);
        (ordered && length <= limits::ROW_BYTES).then_some(())?;
        rows.push((name, Stored::read(value.to_vec())));
        rest = after;
    }
    Some(rows)
}
