//! Whether a connection still lives: which requests it has, and since when each answer waits
//! for the client to take more.
//!
//! HTTP/2 can stall one stream while others run, and a connection without requests can be kept
//! open by pings, so this is watched per request and not by bytes on the wire.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The state of one connection.
pub(super) struct Pulse(Mutex<State>);

struct State {
    next: u64,
    /// The requests at work, and since when the client keeps them waiting.
    requests: BTreeMap<u64, Option<Instant>>,
    /// Since when there is none.
    quiet: Instant,
}

/// What is to become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    Lives,
    /// Nobody asked for anything for too long: it is closed in an orderly way.
    Quiet,
    /// The client does not take an answer: it is cut.
    Stalled,
}

impl Pulse {
    pub fn new() -> Arc<Pulse> {
        Arc::new(Pulse(Mutex::new(State {
            next: 0,
            requests: BTreeMap::new(),
            quiet: Instant::now(),
        })))
    }

    /// A request has begun; it ends when the beat is dropped.
    pub fn begin(self: &Arc<Self>) -> Beat {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        state.requests.insert(number, None);
        Beat {
            pulse: Arc::clone(self),
            number,
        }
    }

    /// Judges the connection: `header` holds until the first request, `idle` from then on.
    pub fn verdict(&self, header: Duration, idle: Duration) -> Verdict {
        let state = self.0.lock();
        if state.requests.is_empty() {
            let patience = if state.next == 0 { header } else { idle };
            return if state.quiet.elapsed() > patience {
                Verdict::Quiet
            } else {
                Verdict::Lives
            };
        }
        let stalled = state
            .requests
            .values()
            .flatten()
            .any(|since| since.elapsed() > idle);
        if stalled {
            Verdict::Stalled
        } else {
            Verdict::Lives
        }
    }
}

/// One request of a connection.
pub(super) struct Beat {
    pulse: Arc<Pulse>,
    number: u64,
}

impl Beat {
    /// The server is at work on it.
    pub fn working(&self) {
        self.pulse.0.lock().requests.insert(self.number, None);
    }

    /// A part of the answer was handed over, and it is the client's turn to take it.
    pub fn waiting(&self) {
        self.pulse
            .0
            .lock()
            .requests
            .insert(self.number, Some(Instant::now()));
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        let mut state = self.pulse.0.lock();
        state.requests.remove(&self.number);
        state.quiet = Instant::now();
    }
}
