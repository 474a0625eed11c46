//! What this floor counts of requests and connections, and how all figures of the server are told:
//! on a listener of their own, in the text format of Prometheus and OpenMetrics.
//!
//! Requests are counted in arrays of atomics, indexed by what the log says of them too: the method
//! if it is one of ours, the class of the route, the class of the status. So the labels are bounded,
//! hold nothing of a client's, and to count costs no lock and no allocation. The library's own
//! histograms and families take a lock each time; it is used for the text alone, at each reading
//! (`tell`), and so are the figures of the floors below, which know nothing of it.

mod listen;
mod tell;

use std::array;
use std::time::Duration;

use tokio::time::Instant;

use super::log::Route;
use crate::dav::method::METHODS;
use crate::figures::{self, Count, Histogram, Level};

pub use listen::Exposure;
pub(super) use listen::serve;

/// Classes of status codes: 1xx to 5xx.
const CLASSES: usize = 5;
/// Names of methods that can be counted: ours, and one for all others.
const METHOD_SLOTS: usize = 24;

/// See the module.
pub(super) struct Metrics {
    started: Instant,
    requests: [[[Count; CLASSES]; Route::ALL.len()]; METHOD_SLOTS],
    durations: [Histogram; METHOD_SLOTS],
    /// Bytes of bodies of requests that were received whole.
    pub bytes_in: Count,
    /// Bytes of bodies of answers that were handed to the connection.
    pub bytes_out: Count,
    /// Connections that are open.
    pub connections: Level,
    /// Connections that were accepted.
    pub accepted: Count,
    /// Connections refused because their address had too many.
    pub refused: Count,
}

const _: () = assert!(METHODS.len() < METHOD_SLOTS, "each method has a place");

/// A request that is being answered.
#[derive(Clone, Copy)]
pub(super) struct Clocked {
    method: usize,
    route: Route,
    begun: Instant,
}

impl Metrics {
    pub fn new() -> Metrics {
        Metrics {
            started: Instant::now(),
            requests: array::from_fn(|_| array::from_fn(|_| array::from_fn(|_| Count::default()))),
            durations: array::from_fn(|_| Histogram::new(figures::MICROS)),
            bytes_in: Count::default(),
            bytes_out: Count::default(),
            connections: Level::default(),
            accepted: Count::default(),
            refused: Count::default(),
        }
    }

    /// The head of a request is there.
    pub fn begin(&self, method: &http::Method, route: Route) -> Clocked {
        let found = METHODS.iter().position(|row| row.name == method.as_str());
        Clocked {
            method: found.unwrap_or(METHODS.len()),
            route,
            begun: Instant::now(),
        }
    }

    /// The head of its answer is there.
    pub fn answered(&self, request: Clocked, status: u16) {
        let class = usize::from(status / 100).clamp(1, CLASSES) - 1;
        self.requests[request.method][request.route as usize][class].one();
        self.durations[request.method].note(micros(request.begun.elapsed()));
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The name of the method that is counted in a place; none where there is none.
fn method_name(place: usize) -> Option<&'static str> {
    match METHODS.get(place) {
        Some(row) => Some(row.name),
        None => (place == METHODS.len()).then_some("other"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counting_costs_next_to_nothing() {
        let metrics = Metrics::new();
        let method = http::Method::from_bytes(b"UNLOCK").unwrap();
        let begun = std::time::Instant::now();
        const ROUNDS: u32 = 100_000;
        for _ in 0..ROUNDS {
            let clocked = metrics.begin(&method, Route::Object);
            metrics.answered(clocked, 204);
        }
        let each = begun.elapsed() / ROUNDS;
        // Unoptimised and on a busy machine; `counting` in benches/server.rs is what it really takes.
        assert!(each < Duration::from_micros(20), "{each:?}");
        let place = METHODS.iter().position(|row| row.name == "UNLOCK").unwrap();
        let counted = metrics.requests[place][Route::Object as usize][1].get();
        assert_eq!(counted, u64::from(ROUNDS));
        let shape = metrics.durations[place].read();
        assert_eq!(shape.counts.iter().sum::<u64>(), u64::from(ROUNDS));
        // What a client makes up has one place.
        let made_up = metrics.begin(&http::Method::from_bytes(b"SECRET").unwrap(), Route::Other);
        metrics.answered(made_up, 999);
        assert_eq!(
            metrics.requests[METHODS.len()][Route::Other as usize][4].get(),
            1
        );
        assert_eq!(method_name(METHODS.len()), Some("other"));
        assert_eq!(method_name(METHODS.len() + 1), None);
    }
}
