//! What the surroundings give: time and randomness. Both are arguments everywhere below `http`,
//! so that a whole scenario replays from a seed.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Whole seconds, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

/// A source of random bytes.
pub trait Random: Send {
    /// Fills `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

/// The operating system's generator.
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        // Keys made from anything else would be worse than no server.
        getrandom::fill(bytes).expect("the system's random generator works");
    }
}

/// The clock and the randomness of one server.
pub struct Ambient {
    clock: Box<dyn Fn() -> UnixMillis + Send + Sync>,
    random: Mutex<Box<dyn Random>>,
}

impl Ambient {
    /// The system's clock and generator.
    pub fn system() -> Self {
        let clock = || {
            // The one place that reads the wall clock.
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            UnixMillis(since.map_or(0, |elapsed| {
                i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
            }))
        };
        Ambient {
            clock: Box::new(clock),
            random: Mutex::new(Box::new(OsRandom)),
        }
    }

    /// A given clock and generator, for scenarios that must replay. Not there outside of tests: no
    /// release can have randomness that somebody knows.
    #[cfg(test)]
    pub fn given(
        clock: Box<dyn Fn() -> UnixMillis + Send + Sync>,
        random: Box<dyn Random>,
    ) -> Self {
        Ambient {
            clock,
            random: Mutex::new(random),
        }
    }

    /// Now.
    pub fn now(&self) -> UnixMillis {
        (self.clock)()
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.lock().fill(&mut bytes);
        bytes
    }

    /// Runs `with` on the generator, for callees that take several draws.
    pub fn random<T>(&self, with: impl FnOnce(&mut dyn Random) -> T) -> T {
        with(self.random.lock().as_mut())
    }
}
