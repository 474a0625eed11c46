//! iCalendar: lossless parse, validate, filter, recurrence, time zones. No I/O; `now` is an argument.

pub mod accept;
pub mod kind;
pub mod line;
pub mod project;
pub mod recur;
pub mod text;
pub mod time;
pub mod tree;
pub mod value;
pub mod zone;

pub use kind::{ComponentKind, ComponentSet};

/// Seconds since 1970 UTC between which all of an object lies; the whole of i64 when unbounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Span {
    /// Nothing of it is earlier.
    pub first: i64,
    /// Nothing of it is later.
    pub last: i64,
}
