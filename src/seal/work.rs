//! Counts the work of this floor, for tests that two ways take the same (HARDENING H3). Only there
//! in tests; each thread counts for itself.

use std::cell::RefCell;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// An Argon2 run: its memory in KiB and its passes.
    Stretched(u32, u32),
    /// A key derived by HKDF.
    Derived,
    /// A row tried to be opened: its bytes.
    Tried(usize),
    /// A row that opened: its bytes.
    Opened(usize),
}

thread_local! {
    static DONE: RefCell<Vec<Work>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn note(work: Work) {
    DONE.with_borrow_mut(|done| done.push(work));
}

/// What this thread did since it was last asked.
pub fn taken() -> Vec<Work> {
    DONE.take()
}
