//! What a database's bytes are: its rows by length, read with sled itself from a copy of the store.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

/// As in `src/limits.rs`: a database tells no reader which it was made with.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// Rows by the length of their value, and the bytes of their names.
pub fn lengths(directory: &Path) -> Value {
    let db = sled::Config::new()
        .path(directory)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None)
        .open()
        .expect("a database that nobody has open");
    let mut lengths: BTreeMap<usize, u64> = BTreeMap::new();
    let mut names = 0;
    for row in db.iter() {
        let (name, value) = row.expect("a sound database");
        names += name.len();
        *lengths.entry(value.len()).or_default() += 1;
    }
    let list: Vec<Value> = lengths
        .into_iter()
        .map(|(length, count)| json!([length, count]))
        .collect();
    json!({ "names": names, "lengths": list })
}
