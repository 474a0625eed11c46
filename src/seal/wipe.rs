//! What work leaves on the stack of its thread, which outlives it: copies of keys, of secrets and of
//! the blocks that were last hashed or encrypted. Freed memory is overwritten by the program's
//! allocator (`main.rs`); this is for the rest.

use std::hint::black_box;

use crate::limits;

/// Does `work` and overwrites the stack that it used; also when it panics. For whatever handles
/// secrets, keys or content, as far out on its thread as can be.
pub fn wiped<T>(work: impl FnOnce() -> T) -> T {
    let _afterwards = Afterwards(overwrite::<{ limits::STACK_WIPED_BYTES }>);
    apart(work)
}

/// The same for work that is known to be small: what is answered on the spot.
pub fn wiped_quickly<T>(work: impl FnOnce() -> T) -> T {
    let _afterwards = Afterwards(overwrite::<{ limits::STACK_WIPED_QUICKLY_BYTES }>);
    apart(work)
}

/// The same for work that calls a few small functions.
pub fn wiped_briefly<T>(work: impl FnOnce() -> T) -> T {
    let _afterwards = Afterwards(overwrite::<{ limits::STACK_WIPED_BRIEFLY_BYTES }>);
    apart(work)
}

struct Afterwards(fn());

impl Drop for Afterwards {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// In a frame of its own, which lies where `overwrite`'s will.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn overwrite<const BYTES: usize>() {
    let mut below = [0_u8; BYTES];
    // Nobody reads it, which the compiler must not know.
    black_box(&mut below);
}
