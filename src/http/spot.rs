//! Work on the spot: a request that is known to be short is answered by the worker thread that
//! received it. To hand it to the pool and back costs two changes of thread, more than such a
//! request itself.
//!
//! Who answers on the spot must not wait (`Session::handle_quickly`), but a row may have to come
//! from the disk after all, or somebody may hold a lock for long. So that nobody else waits then:
//!
//! - Only so many answer on the spot at once that `limits::SPARE_WORKERS` workers are left; all
//!   others go to the pool.
//! - A watch wakes another worker when one has been at it for more than `limits::SPOT_LOOK_MILLIS`.
//!   It is needed because tokio's workers take turns in waiting for sockets: the one that found a
//!   request there goes on with it, and wakes nobody to wait in its place.
//! - Writers of one account come one after the other, so each waits for its turn as a task, not as
//!   a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use crate::ids::AccountId;
use crate::limits;

/// A place that nobody has.
const FREE: u64 = 0;

/// The places for work on the spot, and their watch, which ends with this.
pub(super) struct Spot {
    places: Arc<Places>,
    /// Of writers; accounts that share one wait for each other, for microseconds, and never for more than
    /// `limits::SPOT_TURN_MILLIS`.
    turns: [Mutex<()>; limits::SPOT_TURNS],
    /// None where there is no place.
    watch: Option<thread::JoinHandle<()>>,
}

struct Places {
    /// For each the number of the watch's look at which it was taken, or `FREE`.
    taken: Box<[AtomicU64]>,
    /// The number of the next look, from 1 on.
    look: AtomicU64,
    /// Whether a place was taken since the last look.
    used: AtomicBool,
    /// Whether the watch has to be woken.
    asleep: AtomicBool,
    over: AtomicBool,
}

/// A place, until this is dropped.
pub(super) struct Place<'a>(&'a AtomicU64);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.store(FREE, Ordering::Release);
    }
}

impl Spot {
    /// As many places as the runtime, in which this must be called, has workers to spare.
    ///
    /// # Errors
    /// No thread for the watch.
    pub fn new() -> std::io::Result<Spot> {
        let runtime = Handle::current();
        let workers = runtime.metrics().num_workers();
        let places = Places::new(workers.saturating_sub(limits::SPARE_WORKERS));
        let watch = match places.taken.is_empty() {
            true => None,
            false => {
                let places = Arc::clone(&places);
                // Whoever is woken finds that there is nothing to do, and waits for sockets.
                let rouse = move || drop(runtime.spawn(async {}));
                let thread = thread::Builder::new().name("watch-spot".to_owned());
                Some(thread.spawn(move || places.watch(rouse))?)
            }
        };
        Ok(Spot::of(places, watch))
    }

    fn of(places: Arc<Places>, watch: Option<thread::JoinHandle<()>>) -> Spot {
        Spot {
            places,
            turns: std::array::from_fn(|_| Mutex::default()),
            watch,
        }
    }

    /// The turn of a writer of this account to try for a place; none when somebody is at it for
    /// long. Whoever has it must not wait for anything else.
    pub async fn turn(&self, account: AccountId) -> Option<MutexGuard<'_, ()>> {
        let [number, ..] = account.bytes();
        let turn = &self.turns[usize::from(*number) % limits::SPOT_TURNS];
        match turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(_) => {
                let patience = Duration::from_millis(limits::SPOT_TURN_MILLIS);
                timeout(patience, turn.lock()).await.ok()
            }
        }
    }

    /// A place, if there is one. Never waits.
    pub fn take(&self) -> Option<Place<'_>> {
        let places = &*self.places;
        let look = places.look.load(Ordering::Relaxed);
        let take = |place: &&AtomicU64| {
            let taken = place.compare_exchange(FREE, look, Ordering::SeqCst, Ordering::Relaxed);
            taken.is_ok()
        };
        let place = places.taken.iter().find(take)?;
        if !places.used.load(Ordering::Relaxed) {
            places.used.store(true, Ordering::Relaxed);
        }
        // After the place was taken: see `Places::doze`.
        if places.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
        Some(Place(place))
    }

    fn wake(&self) {
        if let Some(watch) = &self.watch {
            watch.thread().unpark();
        }
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        self.places.over.store(true, Ordering::SeqCst);
        self.wake();
    }
}

impl Places {
    fn new(count: usize) -> Arc<Places> {
        Arc::new(Places {
            taken: (0..count).map(|_| AtomicU64::new(FREE)).collect(),
            look: AtomicU64::new(1),
            used: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            over: AtomicBool::new(false),
        })
    }

    /// Looks every `limits::SPOT_LOOK_MILLIS` whether somebody has a place since before the last
    /// look, and calls `rouse` then. Sleeps while nobody takes one.
    fn watch(&self, rouse: impl Fn()) {
        let mut quiet = 0;
        while !self.over.load(Ordering::SeqCst) {
            if quiet == limits::SPOT_QUIET_LOOKS {
                self.doze();
                quiet = 0;
            }
            thread::sleep(Duration::from_millis(limits::SPOT_LOOK_MILLIS));
            let look = self.look.fetch_add(1, Ordering::Relaxed);
            let since = |place: &AtomicU64| place.load(Ordering::Acquire);
            let late = |since: u64| since != FREE && since < look;
            if self.taken.iter().map(since).any(late) {
                quiet = 0;
                rouse();
            } else if self.used.swap(false, Ordering::Relaxed) {
                quiet = 0;
            } else {
                quiet += 1;
            }
        }
    }

    /// Sleeps until a place is taken or all is over.
    fn doze(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        // Whoever takes one from here on sees that the watch sleeps; who has done so is seen here.
        let is_free = |place: &AtomicU64| place.load(Ordering::SeqCst) == FREE;
        if self.taken.iter().all(is_free) && !self.over.load(Ordering::SeqCst) {
            // It may return for no reason, which costs a few looks.
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn spare_workers_have_no_place() {
        let spot = Spot::new().unwrap();
        let place = spot.take().unwrap();
        assert!(spot.take().is_none());
        drop(place);
        assert!(spot.take().is_some());
    }

    #[tokio::test]
    async fn one_worker_has_no_place() {
        let spot = Spot::new().unwrap();
        assert!(spot.take().is_none() && spot.watch.is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_watch_rouses_while_a_place_is_kept_and_sleeps_without_any() {
        let places = Places::new(1);
        let mut spot = Spot::of(Arc::clone(&places), None);
        let (tell, told) = channel();
        let watch = thread::spawn(move || places.watch(|| tell.send(()).unwrap_or_default()));
        spot.watch = Some(watch);
        let long = Duration::from_secs(20);
        for _ in 0..3 {
            let begun = std::time::Instant::now();
            while !spot.places.asleep.load(Ordering::SeqCst) {
                assert!(
                    begun.elapsed() < long,
                    "nobody has a place, and it does not sleep"
                );
                thread::sleep(Duration::from_millis(1));
            }
            assert!(told.try_recv().is_err(), "nobody has a place");
            let place = spot.take().unwrap();
            told.recv_timeout(long).expect("a place is kept for long");
            drop(place);
            while told.recv_timeout(Duration::from_millis(100)).is_ok() {}
        }
        drop(spot);
        // The sender goes with the watch.
        let error = told.recv_timeout(long).unwrap_err();
        assert_eq!(error, std::sync::mpsc::RecvTimeoutError::Disconnected);
    }
}
