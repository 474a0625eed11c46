//! Figures that a floor keeps of itself: plain atomics, which whoever wants to show them reads.
//!
//! No floor but `http` knows how figures are told to the outside, so nothing here depends on a
//! metrics library. To count costs an atomic addition or two: no lock, no allocation.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// None yet.
    pub const fn new() -> Count {
        Count(AtomicU64::new(0))
    }

    /// One more.
    pub fn one(&self) {
        self.more(1);
    }

    /// `by` more.
    pub fn more(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that grows and falls.
#[derive(Debug, Default)]
pub struct Level(AtomicU64);

impl Level {
    /// Counts one until the guard is dropped.
    pub fn hold(&self) -> Held<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(self)
    }

    /// One more, which `lower` takes back.
    pub fn raise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn lower(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One that counts in a `Level`.
#[derive(Debug)]
pub struct Held<'a>(&'a Level);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.lower();
    }
}

/// How many buckets a histogram has, the last one for what is beyond all bounds.
pub const BUCKETS: usize = 14;
/// The upper bounds of a histogram's buckets, in its unit; each belongs to its bucket.
pub type Bounds = [u64; BUCKETS - 1];

/// Microseconds, from a tenth of a millisecond to half a minute.
pub const MICROS: &Bounds = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_000_000, 10_000_000,
    30_000_000,
];
/// Bytes, from a small row to many large objects.
pub const BYTES: &Bounds = &[
    512,
    1 << 10,
    1 << 11,
    1 << 12,
    1 << 13,
    1 << 14,
    1 << 16,
    1 << 18,
    1 << 20,
    1 << 22,
    1 << 24,
    1 << 26,
    1 << 28,
];
/// A number of things that go together.
pub const GROUP: &Bounds = &[1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 256, 1_024];

/// How often a value fell between which bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static Bounds,
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

/// What a histogram held at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The upper bounds of all buckets but the last.
    pub bounds: &'static Bounds,
    /// How many values each bucket has.
    pub counts: [u64; BUCKETS],
    /// The sum of all values.
    pub sum: u64,
}

impl Histogram {
    /// An empty one.
    pub const fn new(bounds: &'static Bounds) -> Histogram {
        Histogram {
            bounds,
            counts: [const { AtomicU64::new(0) }; BUCKETS],
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a value.
    pub fn note(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// What it holds. Values that are noted meanwhile may be in the counts and not in the sum.
    pub fn read(&self) -> Shape {
        Shape {
            bounds: self.bounds,
            counts: std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed)),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_in_its_bucket() {
        let group = Histogram::new(GROUP);
        for value in [1, 2, 5, 1_024, 1_025] {
            group.note(value);
        }
        let Shape { counts, sum, .. } = group.read();
        assert_eq!((counts[0], counts[1], counts[4]), (1, 1, 1));
        assert_eq!((counts[12], counts[13], sum), (1, 1, 2_057));
        assert!(
            [MICROS, BYTES, GROUP]
                .iter()
                .all(|bounds| bounds.is_sorted())
        );
    }
}
