//! iCalendar: lossless parse, validate, filter, recurrence, time zones. No I/O; `now` is an argument.
//!
//! The received bytes are the truth and are kept by the caller. From them come, in this order:
//! - `lines`, `line`, `tree`: content lines and components with their spans, bounded and lossless;
//! - `time`, `value`, `kind`: values as plain types;
//! - `accept`: the rules for what may be stored;
//! - `zone`, `definitions`, `recur`: time zones and recurrence;
//! - `shape`, `series`, `alarm`, `overlap`, `instances`: when components take place;
//! - `text`, `filter`: what a calendar-query asks; `summary`: what rules an object out unread;
//! - `expand`, `limit`, `project`, `retrieve`: what a report asks of the bytes (CALDAV:calendar-data);
//! - `split`: a file of many objects taken apart;
//! - `moments`: when plain events take place, remembered; `busy`: when one is busy; `edit`: the bytes with single lines changed.

pub mod accept;
mod alarm;
pub mod busy;
pub mod definitions;
pub mod edit;
pub mod expand;
pub mod filter;
pub mod instances;
pub mod kind;
mod limit;
pub mod line;
mod lines;
pub mod moments;
pub mod overlap;
pub mod project;
pub mod recur;
pub mod retrieve;
#[cfg(test)]
pub(crate) mod rfc4791_objects;
mod series;
pub mod shape;
pub mod split;
pub mod summary;
pub mod text;
pub mod time;
pub mod tree;
pub mod value;
pub mod zone;

pub use kind::{ComponentKind, ComponentSet};
pub use summary::Extent;
