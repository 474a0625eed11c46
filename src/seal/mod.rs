//! Keys, key slots and sealed rows: the formulas are in the docs of each module.
//!
//! Nothing here does I/O, knows of calendars or reads a clock. `Sealed` is made only by sealing
//! and is all that the store takes; `Stored` is what was read and cannot be written back.

mod row;

pub use row::{RowName, RowPrefix, Sealed, Stored};
