//! `GET /healthz`: whether the store answers and commits go through, in one word, for whoever asks.
//!
//! It needs no sign-in, so it tells nothing else: no version, no figure, no reason. What it tells is
//! read from atomics that the commit thread and the watch over the disk keep; it asks no disk and
//! takes no lock that anybody waits for. So it costs less than a cache of its answers would, and none
//! is kept; the disk is asked every `limits::DISK_SECONDS`, by housekeeping.

use ::http::StatusCode;

use crate::store::Condition;

/// The status and the word.
pub(super) const fn told(condition: Condition) -> (StatusCode, &'static str) {
    match condition {
        Condition::Works => (StatusCode::OK, "ok"),
        // Reading goes on; but whoever asks this wants to know that writing does not.
        Condition::Full => (StatusCode::SERVICE_UNAVAILABLE, "full"),
        Condition::Stuck => (StatusCode::SERVICE_UNAVAILABLE, "stuck"),
        Condition::Closed => (StatusCode::SERVICE_UNAVAILABLE, "closed"),
    }
}

/// The word for the log, of what is not healthy.
pub(super) const fn reason(condition: Condition) -> Option<&'static str> {
    match condition {
        Condition::Works => None,
        Condition::Full => Some("disk-full"),
        Condition::Stuck => Some("commits-stuck"),
        Condition::Closed => Some("store-closed"),
    }
}
