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
