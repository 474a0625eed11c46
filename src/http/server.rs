//! Sockets: listening, TLS, the accept loop with its caps, each connection with its timeouts,
//! and the orderly end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::application::Application;
use super::bounds::Bounds;
use super::certificate::{CertificateError, Certificates, Source};
use super::linger::Lingering;
use super::log;
use super::metrics::{self, Exposure};
use super::moment::{Moment, Supervisor};
use super::peers::{Guest, Peers};
use super::pulse::{Pulse, Verdict};
use super::service::{Front, Link};
use crate::ambient::{Ambient, UnixMillis};
use crate::config::{Contact, Network, PublicUrl};
use crate::limits;
use crate::seal::wiped;

/// How long after a failed accept (no file descriptors left) the next is tried.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How clients are spoken to.
pub enum Security {
    /// TLS 1.2 or 1.3 with this certificate.
    Tls(Source),
    /// Plain HTTP: for this machine, or behind a reverse proxy.
    Plain,
}

/// All that a server needs.
pub struct Setup {
    /// Bound sockets.
    pub listeners: Vec<TcpListener>,
    /// TLS or not.
    pub security: Security,
    /// What is served.
    pub application: Arc<dyn Application>,
    /// Clock and randomness.
    pub ambient: Arc<Ambient>,
    /// Proxies whose headers are believed.
    pub proxies: Vec<Network>,
    /// Where clients may sign in from; empty for anywhere.
    pub sign_in_networks: Vec<Network>,
    /// Whom to tell of a vulnerability, and the server's address.
    pub security_contact: Option<(Contact, Option<PublicUrl>)>,
    /// Caps and timeouts.
    pub bounds: Bounds,
    /// Where the metrics are told; none for nowhere.
    pub metrics: Option<Exposure>,
    /// Who is told how the server does.
    pub supervisor: Arc<dyn Supervisor>,
}

/// A server that is ready to run.
pub struct Server {
    listeners: Vec<tokio::net::TcpListener>,
    addresses: Vec<SocketAddr>,
    tls: Option<(TlsAcceptor, Arc<Certificates>)>,
    front: Arc<Front>,
    application: Arc<dyn Application>,
    ambient: Arc<Ambient>,
    bounds: Bounds,
    metrics: Option<Exposure>,
    supervisor: Arc<dyn Supervisor>,
}

/// Why a server does not start; `Display` is a sentence.
#[derive(Debug)]
pub enum StartError {
    /// The certificate.
    Certificate(CertificateError),
    /// A socket or the runtime.
    System(std::io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Certificate(error) => write!(out, "TLS: {error}"),
            StartError::System(error) => write!(out, "the server could not be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Server {
    /// Takes the sockets and opens the certificate. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// A certificate that cannot be used, or a socket that fails.
    pub fn new(setup: Setup) -> Result<Server, StartError> {
        let Setup {
            listeners,
            security,
            application,
            ambient,
            proxies,
            sign_in_networks,
            security_contact,
            bounds,
            metrics,
            supervisor,
        } = setup;
        let tls = match security {
            Security::Plain => None,
            Security::Tls(source) => Some(acceptor(source, &ambient)?),
        };
        let listeners: Result<Vec<_>, std::io::Error> = listeners
            .into_iter()
            .map(|listener| {
                listener.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(listener)
            })
            .collect();
        let listeners = listeners.map_err(StartError::System)?;
        let addresses: Result<Vec<_>, _> = listeners
            .iter()
            .map(tokio::net::TcpListener::local_addr)
            .collect();
        let addresses = addresses.map_err(StartError::System)?;
        let front = Front::new(
            Arc::clone(&application),
            Arc::clone(&ambient),
            proxies,
            sign_in_networks,
            security_contact,
            bounds.clone(),
        );
        let front = front.map_err(StartError::System)?;
        Ok(Server {
            listeners,
            addresses,
            tls,
            front: Arc::new(front),
            application,
            ambient,
            bounds,
            metrics,
            supervisor,
        })
    }

    /// The addresses that are listened on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves until `stop` is ready, then lets running requests end within `Bounds::shutdown`.
    /// Each message of `reload` reads the certificate again.
    pub async fn run(self, stop: impl Future<Output = ()>, reload: watch::Receiver<()>) {
        let (stopping, stopped) = watch::channel(());
        let slots = Arc::new(Semaphore::new(self.bounds.connections));
        let peers = Peers::new(
            self.bounds.connections_per_address,
            self.front.proxies.clone(),
        );
        let certificates = self
            .tls
            .as_ref()
            .map(|(_, certificates)| Arc::clone(certificates));
        let mut chores = JoinSet::new();
        let keeper = Keeper {
            application: Arc::clone(&self.application),
            ambient: self.ambient,
            certificates,
            supervisor: Arc::clone(&self.supervisor),
        };
        chores.spawn(keeper.keep(reload));
        chores.spawn(mend(Arc::clone(&self.application)));
        chores.spawn(watch_disk(Arc::clone(&self.application)));
        chores.spawn(touch(self.application, Arc::clone(&self.supervisor)));
        if let Some(exposure) = self.metrics {
            chores.spawn(metrics::serve(exposure, Arc::clone(&self.front.metrics)));
        }
        let mut loops = JoinSet::new();
        for listener in self.listeners {
            let door = Door {
                tls: self.tls.as_ref().map(|(acceptor, _)| acceptor.clone()),
                front: Arc::clone(&self.front),
                bounds: self.bounds.clone(),
                slots: Arc::clone(&slots),
                peers: Arc::clone(&peers),
                stopped: stopped.clone(),
            };
            loops.spawn(door.accept(listener));
        }
        drop(stopped);
        stop.await;
        self.supervisor.tell(Moment::Stopping);
        let _ = stopping.send(());
        if timeout(self.bounds.shutdown, loops.join_all())
            .await
            .is_err()
        {
            tracing::warn!("some requests did not end in time and were cut");
        }
    }
}

fn acceptor(
    source: Source,
    ambient: &Ambient,
) -> Result<(TlsAcceptor, Arc<Certificates>), StartError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = Certificates::open(source, Arc::clone(&provider), ambient.now());
    let certificates = Arc::new(certificates.map_err(StartError::Certificate)?);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&certificates) as _);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), certificates))
}

/// Opens a store that failed again: at once, and when that does not succeed ever less often.
async fn mend(application: Arc<dyn Application>) {
    let often = Duration::from_millis(limits::STORE_MEND_MILLIS);
    let seldom = Duration::from_millis(limits::STORE_MEND_MOST_MILLIS);
    let mut pause = often;
    loop {
        sleep(pause).await;
        if !application.is_broken() {
            pause = often;
            continue;
        }
        let chore = {
            let application = Arc::clone(&application);
            tokio::task::spawn_blocking(move || application.mend())
        };
        pause = match chore.await {
            Ok(true) => often,
            Ok(false) => (pause * 2).min(seldom),
            Err(_) => {
                tracing::error!("opening the store again panicked; it is tried again");
                seldom
            }
        };
    }
}

/// What housekeeping needs.
struct Keeper {
    application: Arc<dyn Application>,
    ambient: Arc<Ambient>,
    certificates: Option<Arc<Certificates>>,
    supervisor: Arc<dyn Supervisor>,
}

impl Keeper {
    /// Housekeeping each minute, and the certificate.
    async fn keep(self, mut reload: watch::Receiver<()>) {
        let mut minute = interval(Duration::from_secs(60));
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reloadable = true;
        loop {
            let asked = tokio::select! {
                _ = minute.tick() => false,
                changed = reload.changed(), if reloadable => {
                    reloadable = changed.is_ok();
                    reloadable
                }
            };
            if asked {
                self.supervisor.tell(Moment::Reloading);
            }
            let application = Arc::clone(&self.application);
            let (certificates, now) = (self.certificates.clone(), self.ambient.now());
            let chore = tokio::task::spawn_blocking(move || {
                if let Some(certificates) = certificates {
                    look_after(&certificates, now, asked);
                }
                if !asked {
                    wiped(|| application.housekeep());
                }
            });
            if chore.await.is_err() {
                tracing::error!("housekeeping panicked; it is tried again in a minute");
            }
            if asked {
                self.supervisor.tell(Moment::Ready);
            }
        }
    }
}

/// Reads the certificate again when asked to, and renews it when it is time.
fn look_after(certificates: &Certificates, now: UnixMillis, asked: bool) {
    let done = match asked {
        true => certificates.reload(now),
        false => certificates.renew(now),
    };
    match done {
        Ok(()) if asked => tracing::info!("the certificate was read again"),
        Ok(()) => {}
        Err(error) => tracing::error!(%error, "the old certificate stays in use"),
    }
}

/// Looks at the disk every few seconds.
async fn watch_disk(application: Arc<dyn Application>) {
    let mut pause = interval(Duration::from_secs(limits::DISK_SECONDS));
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pause.tick().await;
        let application = Arc::clone(&application);
        if tokio::task::spawn_blocking(move || application.watch())
            .await
            .is_err()
        {
            tracing::error!("the watch over the disk panicked");
        }
    }
}

/// Tells the supervisor that the server lives, as often as it wants to hear it, but only when the
/// tasks are run, the pool has a thread and the store answers.
async fn touch(application: Arc<dyn Application>, supervisor: Arc<dyn Supervisor>) {
    let Some(patience) = supervisor.patience() else {
        return;
    };
    // Twice in its time, as sd_watchdog_enabled(3) recommends.
    let mut pause = interval((patience / 2).max(Duration::from_millis(1)));
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pause.tick().await;
        let application = Arc::clone(&application);
        if tokio::task::spawn_blocking(move || application.touch())
            .await
            .is_ok()
        {
            supervisor.tell(Moment::Alive);
        }
    }
}

/// One listening socket with what its connections need.
struct Door {
    tls: Option<TlsAcceptor>,
    front: Arc<Front>,
    bounds: Bounds,
    slots: Arc<Semaphore>,
    peers: Arc<Peers>,
    stopped: watch::Receiver<()>,
}

impl Door {
    /// Accepts until the stop, then waits for the connections. Without a free slot new clients
    /// wait in the system's queue.
    async fn accept(mut self, listener: tokio::net::TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let next = async {
                let slot = Arc::clone(&self.slots)
                    .acquire_owned()
                    .await
                    .expect("the semaphore is never closed");
                (slot, listener.accept().await)
            };
            tokio::select! {
                (slot, accepted) = next => match accepted {
                    Ok((stream, peer)) => match self.peers.admit(peer.ip()) {
                        Some(guest) => {
                            self.front.metrics.accepted.one();
                            connections.spawn(self.connection(stream, peer, (slot, guest)));
                        }
                        None => {
                            self.front.metrics.refused.one();
                            tracing::debug!(peer = %peer.ip(), "too many connections");
                        }
                    },
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                _ = self.stopped.changed() => break,
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: (OwnedSemaphorePermit, Guest),
    ) -> impl Future<Output = ()> + Send + 'static {
        let (tls, front, bounds, stopped) = (
            self.tls.clone(),
            Arc::clone(&self.front),
            self.bounds.clone(),
            self.stopped.clone(),
        );
        async move {
            let _place = place;
            let metrics = Arc::clone(&front.metrics);
            let _counted = metrics.connections.hold();
            // Answers are written whole; waiting for more to send would only delay them.
            let _ = stream.set_nodelay(true);
            let link = Arc::new(Link {
                peer: peer.ip(),
                tls: tls.is_some(),
                pulse: Pulse::new(),
            });
            let Some(tls) = tls else {
                return converse(stream, front, link, &bounds, stopped).await;
            };
            match timeout(bounds.handshake, tls.accept(stream)).await {
                Ok(Ok(stream)) => converse(stream, front, link, &bounds, stopped).await,
                Ok(Err(error)) => tracing::debug!(peer = %peer.ip(), %error, "no TLS handshake"),
                Err(_) => tracing::debug!(peer = %peer.ip(), "the TLS handshake took too long"),
            }
        }
    }
}

/// Speaks HTTP on one connection until either side has enough.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    front: Arc<Front>,
    link: Arc<Link>,
    bounds: &Bounds,
    mut stopped: watch::Receiver<()>,
) {
    let pulse = Arc::clone(&link.pulse);
    let peer = link.peer;
    let service = service_fn(move |request: Request<Incoming>| {
        Arc::clone(&front).serve(Arc::clone(&link), request)
    });
    let builder = builder(bounds);
    let connection = builder.serve_connection(TokioIo::new(Lingering::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let mut tick = interval((bounds.idle.min(bounds.header) / 8).max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closing = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    log::unreadable(peer, &*error);
                    tracing::debug!(%peer, %error, "a connection ended early");
                }
                return;
            }
            _ = tick.tick() => match pulse.verdict(bounds.header, bounds.idle) {
                Verdict::Lives => {}
                Verdict::Quiet if closing => return,
                Verdict::Quiet => {
                    connection.as_mut().graceful_shutdown();
                    closing = true;
                    // From here the client has the time of a lingering close, and no more.
                    let grace = Duration::from_secs(limits::LINGER_SECONDS).min(bounds.idle);
                    if timeout(grace, connection.as_mut()).await.is_ok() {
                        return;
                    }
                }
                Verdict::Stalled => {
                    tracing::info!(%peer, "a client stopped taking its answer; its connection was cut");
                    return;
                }
            },
            _ = stopped.changed(), if !closing => {
                connection.as_mut().graceful_shutdown();
                closing = true;
            }
        }
    }
}

fn builder(bounds: &Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header)
        .max_headers(limits::HEADERS)
        .max_buf_size(limits::HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::H2_STREAMS)
        // Both: streams that the client resets, and those that its errors make us reset.
        .max_pending_accept_reset_streams(limits::H2_RESETS)
        .max_local_error_reset_streams(limits::H2_RESETS)
        .max_header_list_size(u32::try_from(limits::HEADER_BYTES).expect("64 KiB"))
        .initial_stream_window_size(limits::H2_WINDOW_BYTES)
        .initial_connection_window_size(limits::H2_WINDOW_BYTES)
        .max_send_buf_size(2 * limits::STREAM_STEP_BYTES)
        .keep_alive_interval(bounds.idle)
        .keep_alive_timeout(bounds.header);
    builder
}
