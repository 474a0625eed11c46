//! iCalendar: lossless parse, validate, filter, recurrence, time zones. No I/O; `now` is an argument.

pub mod line;
pub mod recur;
pub mod time;
pub mod tree;
pub mod zone;
