//! iCalendar: lossless parse, validate, filter, recurrence, time zones. No I/O; `now` is an argument.

pub mod accept;
mod alarm;
pub mod definitions;
pub mod filter;
pub mod instances;
pub mod kind;
pub mod line;
pub mod overlap;
pub mod project;
pub mod recur;
#[cfg(test)]
mod rfc4791_objects;
pub mod shape;
pub mod summary;
pub mod text;
pub mod time;
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
