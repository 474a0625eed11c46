//! `sealdav serve`: opens everything, binds the sockets, and hands over to the http floor.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::admin::Office;
use super::first_run::{self, FirstRun};
use super::notify::Systemd;
use super::open;
use super::socket::Socket;
use super::{Failure, ServeFlags};
use crate::account::Accounts;
use crate::ambient::Ambient;
use crate::backup::Backups;
use crate::config::{self, Config};
use crate::dav::{Dav, DavSettings};
use crate::http::{self, Bounds, Exposure, Live, Security, Setup, Source};
use crate::ids::Secret;
use crate::limits;

/// Runs the server until it is told to stop.
pub(super) fn run(mut config: Config, flags: ServeFlags) -> Result<(), Failure> {
    if !flags.listen.is_empty() {
        config.listen = flags.listen;
    }
    config.plain_http |= flags.plain_http;
    config.check()?;
    http::start_logging(&config.log);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in config::unknown_variables(names) {
        tracing::warn!(
            name,
            "this environment variable names no setting and is ignored"
        );
    }
    let listeners = bind(&config.listen)?;
    // From here on with the real ports, in case the system was asked to choose one.
    config.listen = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?;
    let ambient = Arc::new(Ambient::system());
    let accounts = open::accounts_soon(&config, &ambient)?;
    let data = config.data_dir();
    let url = format!("{}/", config.base_url());
    let backups = open::backups(&config, &accounts);
    let office = Office {
        backups: Arc::clone(&backups),
        accounts: Arc::clone(&accounts),
        url: url.clone(),
        dav: dav(&config, &ambient),
        health: open::health(&accounts),
    };
    let socket = Socket::open(&data, Arc::new(office));
    let _socket = socket.map_err(|error| {
        Failure(format!(
            "{}/admin.sock cannot be made: {error}",
            data.display()
        ))
    })?;
    let exposure = exposure(&config, &accounts)?;
    let setup = setup(&config, listeners, &accounts, &ambient, exposure);
    let plain = matches!(setup.security, Security::Plain);
    let authority = match &setup.security {
        Security::Tls(Source::Own { dir, .. }) => Some(dir.join("ca.pem")),
        _ => None,
    };
    for doubt in doubts(&config) {
        tracing::warn!("{doubt}");
    }
    let ready = |addresses: &[SocketAddr]| {
        let listening = addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ");
        tracing::info!(url, listening, data = %data.display(), tls = !plain, time_zones = crate::ical::zone::tzdb_version(), "ready");
        let print = flags.print_credentials;
        if let Err(failure) = greet(&accounts, &ambient, &url, authority.as_ref(), print) {
            tracing::error!("{}", failure.0);
        }
    };
    let mirror = Mirror::start(&accounts)?;
    let schedule = Schedule::start(backups)?;
    let ran = http::run(setup, ready);
    schedule.stop();
    mirror.stop();
    accounts.settle();
    accounts.end();
    ran?;
    tracing::info!("stopped");
    Ok(())
}

/// The thread that writes the mirror of the audit trail while the server runs.
struct Mirror {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Mirror {
    fn start(accounts: &Arc<Accounts>) -> Result<Mirror, Failure> {
        let (stop, stopped) = mpsc::channel();
        let accounts = Arc::clone(accounts);
        let pause = Duration::from_millis(limits::AUDIT_MIRROR_MILLIS);
        let work = move || {
            let mut failing = false;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let written = accounts.vault().mirror_audit();
                if let (Err(error), false) = (&written, failing) {
                    tracing::error!(%error, "the mirror of the audit trail cannot be written");
                }
                failing = written.is_err();
            }
        };
        let thread = std::thread::Builder::new()
            .name("audit-mirror".to_owned())
            .spawn(work)?;
        Ok(Mirror { stop, thread })
    }

    fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that writes the mirror of the audit trail panicked");
        }
    }
}

/// The thread that makes backups when they are due, and counts the rows once a day.
struct Schedule {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Schedule {
    fn start(backups: Arc<Backups>) -> Result<Schedule, Failure> {
        let (stop, stopped) = mpsc::channel();
        let work = move || {
            // Not at once: a start has better things to do.
            let mut pause = Duration::from_secs(limits::BACKUP_FIRST_SECONDS);
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = Duration::from_secs(60);
                let tick = std::panic::AssertUnwindSafe(|| backups.tick());
                if std::panic::catch_unwind(tick).is_err() {
                    tracing::error!("a backup panicked; it is tried again in a minute");
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("backups".to_owned())
            .spawn(work)?;
        Ok(Schedule { stop, thread })
    }

    /// Waits for a backup that is being made.
    fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that makes backups panicked");
        }
    }
}

/// Settings that work together only if something else is as it should be.
pub(super) fn doubts(config: &Config) -> Vec<&'static str> {
    let mut doubts = Vec::new();
    if config.trusted_proxies.is_empty() {
        return doubts;
    }
    if !config.plain_http && config.tls.cert.is_none() {
        doubts.push(
            "trusted_proxies is set, and this server speaks TLS with its own certificate: the proxy must accept that",
        );
    }
    if config.public_url.is_none() {
        doubts.push(
            "trusted_proxies is set without public_url: clients can copy and move only if the proxy passes Host on or sets X-Forwarded-Host",
        );
    }
    doubts
}

fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Failure> {
    let bind = |address: &SocketAddr| {
        TcpListener::bind(address).map_err(|error| {
            Failure(format!("cannot listen on {address}: {error}; choose another with --listen, or stop what uses it"))
        })
    };
    addresses.iter().map(bind).collect()
}

fn setup(
    config: &Config,
    listeners: Vec<TcpListener>,
    accounts: &Arc<Accounts>,
    ambient: &Arc<Ambient>,
    metrics: Option<Exposure>,
) -> Setup {
    let security = source(config).map_or(Security::Plain, Security::Tls);
    Setup {
        listeners,
        security,
        application: Arc::new(Live {
            accounts: Arc::clone(accounts),
            dav: dav(config, ambient),
        }),
        ambient: Arc::clone(ambient),
        proxies: config.trusted_proxies.clone(),
        sign_in_networks: config.sign_in.networks.clone(),
        security_contact: config
            .security_contact
            .clone()
            .map(|contact| (contact, config.public_url.clone())),
        bounds: Bounds::default(),
        metrics,
        supervisor: Arc::new(Systemd::of_environment()),
    }
}

/// Where the metrics are told, if they are.
fn exposure(config: &Config, accounts: &Arc<Accounts>) -> Result<Option<Exposure>, Failure> {
    let Some(address) = config.metrics.listen else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address).map_err(|error| {
        Failure(format!(
            "cannot listen on {address} for the metrics: {error}"
        ))
    })?;
    let token = match &config.metrics.token_file {
        None => None,
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                Failure(format!(
                    "metrics.token_file {} cannot be read: {error}",
                    file.display()
                ))
            })?;
            let text = text.trim();
            if text.is_empty() {
                return Err(Failure(format!(
                    "metrics.token_file {} is empty",
                    file.display()
                )));
            }
            Some(Secret::new(text.to_owned()))
        }
    };
    let listening = listener.local_addr()?;
    tracing::info!(%listening, "metrics are told here");
    Ok(Some(Exposure {
        listener,
        token,
        accounts: Arc::clone(accounts),
        data: config.data_dir(),
    }))
}

/// What answers requests, as it is configured.
pub(super) fn dav(config: &Config, ambient: &Arc<Ambient>) -> Arc<Dav> {
    let settings = DavSettings {
        object_bytes: config.limits.object_bytes,
        attendees: config.limits.attendees,
        public_url: config
            .public_url
            .as_ref()
            .map(|url| url.as_str().to_owned()),
    };
    Arc::new(Dav::new(settings, Arc::clone(ambient)))
}

/// Where the certificate comes from; none without TLS.
pub(super) fn source(config: &Config) -> Option<Source> {
    match (config.plain_http, &config.tls.cert, &config.tls.key) {
        (true, ..) => None,
        (false, Some(cert), Some(key)) => Some(Source::Files {
            cert: cert.clone(),
            key: key.clone(),
        }),
        (false, ..) => Some(Source::Own {
            dir: config.data_dir().join("tls"),
            names: names(config),
        }),
    }
}

/// The names that clients may use for this machine, for the certificate.
fn names(config: &Config) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(config::host_name());
    names.extend(config.public_url.as_ref().map(|url| url.host().to_owned()));
    let mut addresses = vec![
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ];
    for address in config.listen.iter().map(SocketAddr::ip) {
        match address.is_unspecified() {
            true => addresses.extend(outward(address)),
            false => addresses.push(address.to_canonical()),
        }
    }
    names.extend(addresses.iter().map(IpAddr::to_string));
    // Sorted, so that the same names are recognised at the next start.
    names.sort();
    names.dedup();
    names
}

/// The address from which this machine reaches others. Connecting a UDP socket sends nothing;
/// it only makes the system choose a route to the documentation address (RFC 5737, RFC 3849).
fn outward(any: IpAddr) -> Option<IpAddr> {
    let far = match any {
        IpAddr::V4(_) => "192.0.2.1:9",
        IpAddr::V6(_) => "[2001:db8::1]:9",
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(far).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// Makes the first account if there is none; its secrets go to a terminal only, unless told otherwise.
fn greet(
    accounts: &Accounts,
    ambient: &Ambient,
    url: &str,
    authority: Option<&PathBuf>,
    print: bool,
) -> Result<(), Failure> {
    if !accounts.users().is_empty() {
        return Ok(());
    }
    let mut output = std::io::stdout().lock();
    if !print && !std::io::stdout().is_terminal() {
        tracing::warn!(
            "there is no account yet; make one with `sealdav user add NAME --email ADDRESS --password-stdin`"
        );
        return Ok(());
    }
    let told = FirstRun {
        url,
        authority: authority.map(PathBuf::as_path),
    };
    first_run::welcome(accounts, ambient, &told, &mut output as &mut dyn Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_without_a_public_url_is_doubted() {
        let load = |settings: &[(&str, &str)]| {
            let pairs = settings.iter().map(|(k, v)| (k.to_string(), v.to_string()));
            Config::load(None, pairs.collect::<Vec<_>>().into_iter()).unwrap()
        };
        let proxy = ("SEALDAV_TRUSTED_PROXIES", "127.0.0.1");
        let url = ("SEALDAV_PUBLIC_URL", "https://cal.example.org");
        let plain = ("SEALDAV_PLAIN_HTTP", "true");
        assert!(doubts(&load(&[])).is_empty());
        assert!(doubts(&load(&[proxy, url, plain])).is_empty());
        let [doubt] = doubts(&load(&[proxy, plain]))[..] else {
            panic!("one doubt");
        };
        assert!(doubt.contains("public_url"), "{doubt}");
        assert_eq!(doubts(&load(&[proxy])).len(), 2);
    }
}
