//! The floor that touches the network: TLS, connections with caps and timeouts, HTTP/1.1 and
//! HTTP/2, Basic credentials, and the log of requests.
//!
//! Everything below is synchronous and takes whole requests as values. This floor makes them
//! (`receive`), lets nothing in that is too large, too slow or not signed in (`service`), answers
//! what is short on the spot (`spot`) and runs all other work on a bounded pool, waits for the
//! receipt of the answer, and sends the answer no faster than the client takes it (`answer`). It alone names tokio, hyper and rustls.
//!
//! Invariants: no request body is read before its sender is signed in; no answer leaves before
//! its receipt is durable; a slow client holds memory bounded by `limits`, and no thread; no
//! content, name or secret is logged.

mod answer;
mod application;
mod basic;
mod bounds;
mod certificate;
mod client;
mod examine;
mod facts;
mod health;
mod linger;
mod log;
mod metrics;
mod moment;
mod peers;
mod pulse;
mod receive;
mod refusal;
mod security_txt;
mod server;
mod service;
mod shares;
mod spot;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

pub use application::{Application, Live, Session};
pub use bounds::Bounds;
pub use certificate::{CertificateError, Source};
pub use examine::{ExaminedCertificate, examine_certificate};
pub use facts::CertificateFacts;
#[cfg(test)]
pub use facts::self_signed_for_test;
pub use log::start as start_logging;
pub use metrics::Exposure;
pub use moment::{Moment, Supervisor, Unsupervised};
pub use server::{Security, Server, Setup, StartError};

use crate::limits;

/// Serves until SIGTERM or SIGINT; SIGHUP reads the certificate again. `ready` is called with
/// the addresses once clients can connect.
///
/// # Errors
/// Only before `ready` is called.
pub fn run(setup: Setup, ready: impl FnOnce(&[SocketAddr])) -> Result<(), StartError> {
    let (bounds, supervisor) = (setup.bounds.clone(), Arc::clone(&setup.supervisor));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // The database keeps a note of each thread that reads, made at its first read and kept as long as the
    // thread, with whatever lay on the stack in the note's padding. So that no key does, each thread
    // reads before it works for anybody.
    let application = Arc::downgrade(&setup.application);
    let first_read = move || {
        if let Some(application) = application.upgrade() {
            application.touch();
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // So that as many requests as there are cores can be answered on the spot.
        .worker_threads(cores + limits::SPARE_WORKERS)
        // And one each for housekeeping, the disk, mending, the watchdog and the metrics.
        .max_blocking_threads(bounds.work + bounds.steps + bounds.sign_ins + 5)
        .thread_name("sealdav")
        .on_thread_start(first_read)
        .build()
        .map_err(StartError::System)?;
    let served = runtime.block_on(async {
        let server = Server::new(setup)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(StartError::System)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::System)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(StartError::System)?;
        let (reload, reloads) = watch::channel(());
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                let _ = reload.send(());
            }
        });
        ready(server.addresses());
        supervisor.tell(Moment::Ready);
        let stop = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!(
                seconds = limits::SHUTDOWN_SECONDS,
                "stopping; running requests may end"
            );
        };
        server.run(stop, reloads).await;
        Ok(())
    });
    // Work that is still on the pool has its commit either whole or not at all.
    runtime.shutdown_timeout(bounds.shutdown);
    served
}
