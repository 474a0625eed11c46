//! A server on 127.0.0.1 with an application of the test's own, and clients that write bytes.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use sealdav::account::SignInError;
use sealdav::ambient::Ambient;
use sealdav::config::Network;
use sealdav::dav::{Body, Request, Response};
use sealdav::http::{Application, Bounds, Security, Server, Session, Setup, Source, Unsupervised};
use sealdav::ids::{AccountId, Secret, SlotId};
use sealdav::store::{Condition, Receipt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// `alice:right`.
pub const AUTH: &str = "Authorization: Basic YWxpY2U6cmlnaHQ=\r\n";
/// `carol:right`.
pub const CAROL: &str = "Authorization: Basic Y2Fyb2w6cmlnaHQ=\r\n";
/// A header of requests that are answered on the spot.
pub const ON_THE_SPOT: &str = "x-on-the-spot";
pub const LIMIT: usize = 1_000_000;

pub type Handler = Arc<dyn Fn(Request) -> Response + Send + Sync>;

pub struct Fake(Handler);
/// With the number of its account.
pub struct FakeSession(Handler, u8);

impl Application for Fake {
    fn anonymous(&self, request: &Request) -> Option<Response> {
        (request.method == Method::OPTIONS).then(|| respond(StatusCode::OK, Body::Empty))
    }
    fn cached(&self, name: &str, secret: &Secret) -> Option<Arc<dyn Session>> {
        let number = match name {
            "alice" => 1,
            "carol" => 2,
            _ => return None,
        };
        (secret.expose() == "right")
            .then(|| Arc::new(FakeSession(Arc::clone(&self.0), number)) as _)
    }
    fn sign_in_without_argon2(
        &self,
        _: &str,
        secret: &Secret,
        _: IpAddr,
    ) -> Option<Result<Arc<dyn Session>, SignInError>> {
        (secret.expose() == "generated")
            .then(|| Ok(Arc::new(FakeSession(Arc::clone(&self.0), 1)) as _))
    }
    /// With the secret `slow` it takes a second.
    fn sign_in(
        &self,
        name: &str,
        secret: &Secret,
        _: IpAddr,
    ) -> Result<Arc<dyn Session>, SignInError> {
        match (name, secret.expose()) {
            ("böb", "new") => Ok(Arc::new(FakeSession(Arc::clone(&self.0), 3))),
            (_, "often") => Err(SignInError::Throttled {
                retry_after_seconds: 7,
            }),
            (_, "slow") => {
                std::thread::sleep(Duration::from_secs(1));
                Err(SignInError::Wrong)
            }
            (_, "down") => Err(SignInError::Unavailable),
            _ => Err(SignInError::Wrong),
        }
    }
    fn body_limit(&self, _: &Method) -> usize {
        LIMIT
    }
    fn health(&self) -> Condition {
        Condition::Works
    }
    fn touch(&self) {}
    fn watch(&self) {}
    fn housekeep(&self) {}
}

impl Session for FakeSession {
    fn account(&self) -> AccountId {
        AccountId::from_bytes([self.1; 16])
    }
    fn device(&self) -> SlotId {
        SlotId::from_bytes([7; 16])
    }
    fn handle(&self, request: Request) -> Response {
        (self.0)(request)
    }
    /// Whose path begins with `/quick` is answered on the spot, and told so.
    fn handle_quickly(&self, request: &Request) -> Option<Response> {
        let mut request = request.clone();
        let quick = request.target.starts_with("/quick");
        request
            .headers
            .insert(ON_THE_SPOT, http::HeaderValue::from_static("yes"));
        quick.then(|| (self.0)(request))
    }
    fn refused(&self, _: StatusCode, _: &'static str) {}
}

pub fn respond(status: StatusCode, body: Body) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body,
        receipt: Receipt::done(),
        refusal: None,
    }
}

/// Answers with what it was asked.
pub fn echo(request: Request) -> Response {
    let text = format!(
        "{} {} {}",
        request.method,
        request.target,
        request.body.len()
    );
    respond(StatusCode::OK, Body::Full(text.into()))
}

pub struct Running {
    pub address: SocketAddr,
    dir: Option<PathBuf>,
    pub stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(dir) = &self.dir {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

pub fn short() -> Bounds {
    Bounds {
        header: Duration::from_millis(400),
        body: Duration::from_secs(3),
        idle: Duration::from_millis(400),
        shutdown: Duration::from_secs(3),
        ..Bounds::default()
    }
}

pub fn start(
    handler: impl Fn(Request) -> Response + Send + Sync + 'static,
    bounds: Bounds,
    tls: Option<&str>,
) -> Running {
    start_behind(Vec::new(), handler, bounds, tls)
}

/// A server at which one may sign in from these networks only.
pub fn start_for(
    sign_in_networks: Vec<Network>,
    handler: impl Fn(Request) -> Response + Send + Sync + 'static,
) -> Running {
    start_with(
        (Vec::new(), sign_in_networks),
        handler,
        Bounds::default(),
        None,
    )
}

/// A server that trusts these proxies.
pub fn start_behind(
    proxies: Vec<Network>,
    handler: impl Fn(Request) -> Response + Send + Sync + 'static,
    bounds: Bounds,
    tls: Option<&str>,
) -> Running {
    start_with((proxies, Vec::new()), handler, bounds, tls)
}

fn start_with(
    (proxies, sign_in_networks): (Vec<Network>, Vec<Network>),
    handler: impl Fn(Request) -> Response + Send + Sync + 'static,
    bounds: Bounds,
    tls: Option<&str>,
) -> Running {
    let dir = tls.map(|name| {
        std::env::temp_dir().join(format!("sealdav-http-{name}-{}", std::process::id()))
    });
    let names = vec!["localhost".to_owned()];
    let security = match &dir {
        Some(dir) => Security::Tls(Source::Own {
            dir: dir.clone(),
            names,
        }),
        None => Security::Plain,
    };
    let server = Server::new(Setup {
        listeners: vec![std::net::TcpListener::bind("127.0.0.1:0").unwrap()],
        security,
        application: Arc::new(Fake(Arc::new(handler))),
        ambient: Arc::new(Ambient::system()),
        proxies,
        sign_in_networks,
        security_contact: None,
        bounds,
        metrics: None,
        supervisor: Arc::new(Unsupervised),
    })
    .unwrap();
    let address = server.addresses()[0];
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let (_reload, reloads) = watch::channel(());
        server.run(async { stopped.await.unwrap() }, reloads).await;
    });
    Running {
        address,
        dir,
        stop: Some(stop),
        task,
    }
}

impl Running {
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub async fn connect_tls(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, ServerName};
        let authority = self.dir.as_ref().unwrap().join("ca.pem");
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(authority).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, self.connect().await)
            .await
            .unwrap()
    }

    /// Sends `text` and reads until the server closes.
    pub async fn exchange(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        // The server may close while more is being sent.
        let _ = stream.write_all(text.as_bytes()).await;
        to_end(&mut stream).await
    }
}

pub async fn to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await;
    read.expect("the server closes the connection").ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one answer that has a Content-Length.
pub async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).map_or(0, |rest| {
                rest.split("\r\n").next().unwrap().parse::<usize>().unwrap()
            });
            if body.len() >= length {
                return String::from_utf8(bytes).unwrap();
            }
        }
        let byte = timeout(Duration::from_secs(10), stream.read_u8())
            .await
            .expect("an answer comes");
        bytes.push(byte.expect("the connection stays open"));
    }
}

pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("")
}

pub fn basic(pair: &str) -> String {
    use base64::Engine;
    let pair = base64::engine::general_purpose::STANDARD.encode(pair);
    format!("Authorization: Basic {pair}\r\n")
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{AUTH}\r\n")
}

pub fn closing(path: &str) -> String {
    get(path).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
}

/// A stream without an end, which counts its steps.
pub fn endless(steps: &Arc<AtomicUsize>) -> Body {
    let steps = Arc::clone(steps);
    Body::Stream(Box::new(std::iter::from_fn(move || {
        steps.fetch_add(1, Ordering::Relaxed);
        Some(Ok(Bytes::from(vec![
            b'x';
            sealdav::limits::STREAM_STEP_BYTES
        ])))
    })))
}
