//! iCalendar: lossless parse, validate, filter, recurrence, time zones. No I/O; `now` is an argument.

pub mod recur;
pub mod time;
pub mod zone;
