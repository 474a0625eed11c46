//! iCalendar: lossless parse, validate, filter, recurrence, time zones. No I/O; `now` is an argument.

pub mod accept;
mod alarm;
pub mod definitions;
pub mod edit;
pub mod filter;
pub mod instances;
pub mod kind;
pub mod line;
pub mod overlap;
pub mod project;
pub mod recur;
#[cfg(test)]
mod rfc4791_objects;
mod series;
pub mod shape;
pub mod summary;
pub mod text;
pub mod time;
pub mod tree;
pub mod value;
pub mod zone;
