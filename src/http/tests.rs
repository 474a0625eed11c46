//! The floor over real sockets on 127.0.0.1, with an application of the test's own below it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::account::SignInError;
use crate::ambient::Ambient;
use crate::dav::{Body, Request, Response};
use crate::ids::{Secret, SlotId};
use crate::store::Receipt;

/// `alice:right`.
const AUTH: &str = "Authorization: Basic YWxpY2U6cmlnaHQ=\r\n";
const LIMIT: usize = 1_000_000;

type Handler = Arc<dyn Fn(Request) -> Response + Send + Sync>;

struct Fake(Handler);
struct FakeSession(Handler);

impl Application for Fake {
    fn anonymous(&self, request: &Request) -> Option<Response> {
        (request.method == Method::OPTIONS).then(|| respond(StatusCode::OK, Body::Empty))
    }
    fn cached(&self, name: &str, secret: &Secret) -> Option<Arc<dyn Session>> {
        (name == "alice" && secret.expose() == "right")
            .then(|| Arc::new(FakeSession(Arc::clone(&self.0))) as _)
    }
    fn sign_in(
        &self,
        name: &str,
        secret: &Secret,
        _: IpAddr,
    ) -> Result<Arc<dyn Session>, SignInError> {
        match (name, secret.expose()) {
            ("böb", "new") => Ok(Arc::new(FakeSession(Arc::clone(&self.0)))),
            (_, "often") => Err(SignInError::Throttled {
                retry_after_seconds: 7,
            }),
            (_, "down") => Err(SignInError::Unavailable),
            _ => Err(SignInError::Wrong),
        }
    }
    fn body_limit(&self, _: &Method) -> usize {
        LIMIT
    }
    fn health(&self) -> Result<(), String> {
        Ok(())
    }
    fn housekeep(&self) {}
}

impl Session for FakeSession {
    fn device(&self) -> SlotId {
        SlotId::from_bytes([7; 16])
    }
    fn handle(&self, request: Request) -> Response {
        (self.0)(request)
    }
}

fn respond(status: StatusCode, body: Body) -> Response {
    Response {
        status,
        headers: HeaderMap::new(),
        body,
        receipt: Receipt::done(),
        refusal: None,
    }
}

/// Answers with what it was asked.
fn echo(request: Request) -> Response {
    let text = format!(
        "{} {} {}",
        request.method,
        request.target,
        request.body.len()
    );
    respond(StatusCode::OK, Body::Full(text.into()))
}

struct Running {
    address: SocketAddr,
    dir: Option<PathBuf>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(dir) = &self.dir {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

fn short() -> Bounds {
    Bounds {
        header: Duration::from_millis(400),
        body: Duration::from_secs(3),
        idle: Duration::from_millis(400),
        shutdown: Duration::from_secs(3),
        ..Bounds::default()
    }
}

fn start(
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
        proxies: Vec::new(),
        bounds,
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
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect_tls(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
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
    async fn exchange(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        // The server may close while more is being sent.
        let _ = stream.write_all(text.as_bytes()).await;
        to_end(&mut stream).await
    }
}

async fn to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await;
    read.expect("the server closes the connection").ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one answer that has a Content-Length.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
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

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("")
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{AUTH}\r\n")
}

fn closing(path: &str) -> String {
    get(path).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_keeps_alive_and_says_little() {
    let running = start(echo, Bounds::default(), Some("keep"));
    let mut stream = running.connect_tls(b"http/1.1").await;
    let group = stream
        .get_ref()
        .1
        .negotiated_key_exchange_group()
        .unwrap()
        .name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    for path in ["/a?b=c", "/%2e%2e/%zz", "/d"] {
        stream.write_all(get(path).as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.ends_with(&format!("\r\n\r\nGET {path} 0")),
            "{answer}"
        );
        let head = answer.to_ascii_lowercase();
        for header in [
            "\r\nx-request-id: ",
            "\r\ndate: ",
            "\r\nstrict-transport-security: max-age=63072000\r\n",
        ] {
            assert!(head.contains(header), "{answer}");
        }
        assert!(!head.contains("\r\nserver:"), "{answer}");
    }
}

#[tokio::test]
async fn sign_in() {
    let running = start(echo, Bounds::default(), None);
    let basic = |pair: &str| {
        use base64::Engine;
        format!(
            "Authorization: Basic {}\r\n",
            base64::engine::general_purpose::STANDARD.encode(pair)
        )
    };
    for (header, expected, mark) in [
        (
            String::new(),
            "401",
            "www-authenticate: Basic realm=\"sealdav\", charset=\"UTF-8\"\r\n",
        ),
        (basic("alice:no"), "401", "www-authenticate: Basic"),
        (format!("{AUTH}{AUTH}"), "401", "www-authenticate: Basic"),
        (basic("alice:often"), "429", "retry-after: 7\r\n"),
        (basic("alice:down"), "503", "retry-after: "),
        (basic("böb:new"), "200", "GET / 0"),
        (AUTH.to_owned(), "200", "GET / 0"),
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n");
        let answer = running.exchange(&text).await;
        assert_eq!(status(&answer), expected, "{header}{answer}");
        assert!(answer.contains(mark), "{answer}");
    }
    let answer = running
        .exchange("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), "200");
    let answer = running
        .exchange("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
}

#[tokio::test]
async fn a_panic_is_one_500() {
    let handler = |request: Request| {
        if request.target == "/boom" {
            panic!("content")
        } else {
            echo(request)
        }
    };
    let running = start(handler, Bounds::default(), None);
    let mut stream = running.connect().await;
    stream.write_all(get("/boom").as_bytes()).await.unwrap();
    let failed = answer(&mut stream).await;
    assert_eq!(status(&failed), "500");
    assert!(!failed.contains("content\n"), "{failed}");
    stream.write_all(get("/next").as_bytes()).await.unwrap();
    assert_eq!(status(&answer(&mut stream).await), "200");
}

/// H23: no byte of one request is ever taken for another.
#[tokio::test]
async fn h23_request_smuggling() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let handler = move |request: Request| {
        if request.target == "/smuggled" {
            count.fetch_add(1, Ordering::Relaxed);
        }
        echo(request)
    };
    let running = start(handler, short(), None);
    let inner = get("/smuggled");
    let length = inner.len();
    for (text, expected) in [
        // An early answer with its body unread: short enough to be read and dropped, and not.
        (
            format!("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{inner}"),
            "401",
        ),
        (
            format!("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n{inner}"),
            "401",
        ),
        (
            format!("PUT /a HTTP/1.1\r\nHost: a\r\n{AUTH}Content-Length: 9000000\r\n\r\n{inner}"),
            "413",
        ),
        (
            format!(
                "PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{inner}\r\n0\r\n\r\n"
            ),
            "401",
        ),
        // Two framings, two lengths, an unknown framing, two hosts, none.
        (
            format!(
                "PUT /a HTTP/1.1\r\nHost: a\r\n{AUTH}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc{inner}"
            ),
            "400",
        ),
        (
            format!(
                "PUT /a HTTP/1.1\r\nHost: a\r\n{AUTH}Transfer-Encoding: x\r\nContent-Length: 3\r\n\r\nabc{inner}"
            ),
            "400",
        ),
        (
            format!(
                "PUT /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n{AUTH}Content-Length: 900000\r\n\r\n{inner}"
            ),
            "400",
        ),
        (
            format!("PUT /a HTTP/1.1\r\n{AUTH}Content-Length: 900000\r\n\r\n{inner}"),
            "400",
        ),
        (
            format!("PUT /a HTTP/1.0\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
            "400",
        ),
    ] {
        let answer = running.exchange(&text).await;
        assert_eq!(status(&answer), expected, "{text}\n{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert_eq!(seen.load(Ordering::Relaxed), 0, "{text}");
    }
    // Both framings: framed by Transfer-Encoding, answered, closed.
    for order in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        let text = format!("PUT /a HTTP/1.1\r\nHost: a\r\n{AUTH}{order}\r\n\r\n0\r\n\r\n{inner}");
        let answer = running.exchange(&text).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert_eq!(seen.load(Ordering::Relaxed), 0, "{text}");
    }
}

#[tokio::test]
async fn a_short_unwanted_body_costs_no_connection() {
    let running = start(echo, Bounds::default(), None);
    let mut stream = running.connect().await;
    stream
        .write_all(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(&[b'x'; 50_000]).await.unwrap();
    assert_eq!(status(&answer(&mut stream).await), "401");
    stream.write_all(get("/b").as_bytes()).await.unwrap();
    assert_eq!(status(&answer(&mut stream).await), "200");
}

#[tokio::test]
async fn expect_is_refused_before_the_body() {
    let running = start(echo, Bounds::default(), None);
    for (header, length, expected) in [("", 5, "401"), (AUTH, LIMIT + 1, "413")] {
        let text = format!(
            "PUT / HTTP/1.1\r\nHost: a\r\n{header}Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        );
        let answer = running.exchange(&text).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{answer}"
        );
    }
    let mut stream = running.connect().await;
    let text = format!(
        "PUT / HTTP/1.1\r\nHost: a\r\n{AUTH}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(status(&answer(&mut stream).await), "100");
    stream.write_all(b"hello").await.unwrap();
    assert!(answer(&mut stream).await.ends_with("PUT / 5"));
}

/// H25: slow heads and bodies end, huge bodies are refused, compression is not undone.
#[tokio::test]
async fn h25_slow_and_huge_bodies() {
    let running = start(echo, short(), None);
    // Heads that never end: nothing is answered, the connection is closed.
    for text in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        assert_eq!(running.exchange(text).await, "");
    }
    let head = |more: &str| format!("PUT / HTTP/1.1\r\nHost: a\r\n{AUTH}{more}\r\n\r\n");
    assert_eq!(
        status(&running.exchange(&(head("Content-Length: 9") + "abc")).await),
        "408"
    );
    assert_eq!(
        status(
            &running
                .exchange(&head("Content-Encoding: gzip\r\nContent-Length: 900000"))
                .await
        ),
        "415"
    );
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: a\r\n{AUTH}\r\n",
        "x".repeat(9_000)
    );
    assert_eq!(status(&running.exchange(&long).await), "414");
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(200)
    );
    assert_eq!(status(&running.exchange(&many).await), "431");
    // One byte at a time, never idle, is still too slow as a whole.
    let mut stream = running.connect().await;
    stream
        .write_all(head("Content-Length: 1000").as_bytes())
        .await
        .unwrap();
    let (mut reading, mut writing) = stream.split();
    let drip = async {
        loop {
            sleep(Duration::from_millis(100)).await;
            if writing.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let answered =
        tokio::select! { text = to_end(&mut reading) => text, () = drip => unreachable!() };
    assert_eq!(status(&answered), "408");
    // Endless chunks, and the sender still sees why it was refused.
    let mut stream = running.connect().await;
    stream
        .write_all(head("Transfer-Encoding: chunked").as_bytes())
        .await
        .unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..32 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    assert_eq!(status(&to_end(&mut stream).await), "413");
}

#[tokio::test]
async fn memory_for_bodies_is_shared() {
    let running = start(
        echo,
        Bounds {
            body_bytes: 1000,
            body: Duration::from_millis(400),
            ..short()
        },
        None,
    );
    let chunked = format!(
        "PUT / HTTP/1.1\r\nHost: a\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n7d0\r\n{}\r\n",
        "x".repeat(2000)
    );
    assert_eq!(status(&running.exchange(&chunked).await), "503");
    let mut first = running.connect().await;
    let head = format!("PUT / HTTP/1.1\r\nHost: a\r\n{AUTH}Content-Length: 900\r\n\r\n");
    first.write_all(head.as_bytes()).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let mut second = running.connect().await;
    second
        .write_all((head.clone() + &"x".repeat(900)).as_bytes())
        .await
        .unwrap();
    first.write_all("x".repeat(900).as_bytes()).await.unwrap();
    assert!(answer(&mut first).await.ends_with("PUT / 900"));
    assert!(answer(&mut second).await.ends_with("PUT / 900"));
}

/// A stream without an end, which counts its steps.
fn endless(steps: &Arc<AtomicUsize>) -> Body {
    let steps = Arc::clone(steps);
    Body::Stream(Box::new(std::iter::from_fn(move || {
        steps.fetch_add(1, Ordering::Relaxed);
        Some(Ok(Bytes::from(vec![
            b'x';
            crate::limits::STREAM_STEP_BYTES
        ])))
    })))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_hold_nothing_and_are_cut() {
    let steps = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&steps);
    let handler = move |request: Request| match request.target.as_str() {
        "/report" => respond(StatusCode::MULTI_STATUS, endless(&counted)),
        _ => echo(request),
    };
    let running = start(
        handler,
        Bounds {
            work: 2,
            steps: 2,
            idle: Duration::from_millis(1500),
            ..short()
        },
        None,
    );
    let mut slow = Vec::new();
    for _ in 0..6 {
        let mut stream = running.connect().await;
        stream.write_all(get("/report").as_bytes()).await.unwrap();
        slow.push(stream);
    }
    sleep(Duration::from_millis(400)).await;
    let made = steps.load(Ordering::Relaxed);
    let answered = timeout(
        Duration::from_millis(500),
        running.exchange(&closing("/small")),
    )
    .await;
    assert_eq!(
        status(&answered.expect("a GET is answered while reports wait for slow readers")),
        "200"
    );
    sleep(Duration::from_millis(200)).await;
    let later = steps.load(Ordering::Relaxed);
    assert_eq!(made, later, "no step is made before it can be sent");
    // After the idle time they are cut: what is left in the buffers comes, then the end.
    sleep(Duration::from_millis(2500)).await;
    for mut stream in slow {
        to_end(&mut stream).await;
    }
    assert_eq!(steps.load(Ordering::Relaxed), later);
}

#[tokio::test]
async fn a_failed_step_cuts_the_answer() {
    let handler = |_: Request| {
        let parts = vec![
            Ok(Bytes::from_static(b"part")),
            Err(crate::vault::VaultError::Missing),
        ];
        respond(StatusCode::OK, Body::Stream(Box::new(parts.into_iter())))
    };
    let running = start(handler, Bounds::default(), None);
    let answer = running.exchange(&get("/")).await;
    assert!(
        !answer.ends_with("0\r\n\r\n"),
        "it must not look whole: {answer}"
    );
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// HPACK: indexed method and scheme, literal path, authority and credentials (RFC 7541).
fn h2_get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x87];
    for (name, value) in [
        (0x04, path),
        (0x01, "localhost"),
        (0x0f, "Basic YWxpY2U6cmlnaHQ="),
    ] {
        block.push(name);
        if name == 0x0f {
            block.push(23 - 15);
        }
        block.push(u8::try_from(value.len()).unwrap());
        block.extend_from_slice(value.as_bytes());
    }
    block
}

const H2_START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Reads frames (kind, stream, payload) until one is of this kind; none when the connection ends.
async fn h2_until(stream: &mut (impl AsyncRead + Unpin), kind: u8) -> Option<Vec<u8>> {
    loop {
        let mut head = [0; 9];
        let read = timeout(Duration::from_secs(10), stream.read_exact(&mut head)).await;
        read.expect("the connection says something").ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.ok()?;
        if head[3] == kind {
            return Some(payload);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_answers() {
    let running = start(echo, Bounds::default(), Some("h2"));
    let mut stream = running.connect_tls(b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    stream.write_all(H2_START).await.unwrap();
    stream
        .write_all(&frame(1, 0x05, 1, &h2_get("/two")))
        .await
        .unwrap();
    assert_eq!(h2_until(&mut stream, 0).await.unwrap(), b"GET /two 0");
}

async fn write_until_closed(
    stream: &mut (impl AsyncWrite + Unpin),
    mut next: impl FnMut(u32) -> Vec<u8>,
) -> u32 {
    for round in 0..10_000 {
        if stream.write_all(&next(round)).await.is_err() {
            return round;
        }
    }
    10_000
}

/// H24: a client that opens streams and resets them at once is thrown out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h24_http2_floods() {
    let worked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&worked);
    let handler = move |request: Request| {
        count.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
        echo(request)
    };
    let running = start(
        handler,
        Bounds {
            work: 2,
            ..Bounds::default()
        },
        None,
    );
    let block = h2_get("/reset");
    let mut stream = running.connect().await;
    stream.write_all(H2_START).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let rapid = write_until_closed(&mut writing, |round| {
        let id = 2 * round + 1;
        [
            frame(1, 0x05, id, &block),
            frame(3, 0, id, &8u32.to_be_bytes()),
        ]
        .concat()
    });
    let (sent, ended) = tokio::join!(rapid, h2_until(&mut reading, 7));
    // ENHANCE_YOUR_CALM (RFC 9113 section 7), or cut before it could be read.
    assert!(
        ended.is_none_or(|goaway| goaway[4..8] == 11u32.to_be_bytes()),
        "after {sent}"
    );
    assert!(
        worked.load(Ordering::Relaxed) < 500,
        "the work of reset streams is bounded"
    );
    // CONTINUATION without an end.
    let mut stream = running.connect().await;
    stream.write_all(H2_START).await.unwrap();
    stream.write_all(&frame(1, 0x01, 1, &block)).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let literal = [&[0x00, 0x01, b'x', 0x7f, 0x80, 0x7f][..], &[b'y'; 16_255]].concat();
    let endless = write_until_closed(&mut writing, |_| frame(9, 0, 1, &literal));
    let (sent, _) = tokio::join!(endless, to_end(&mut reading));
    assert!(sent < 10_000);
    // The server lives.
    assert_eq!(status(&running.exchange(&closing("/")).await), "200");
}

#[tokio::test]
async fn stopping_lets_requests_end() {
    let handler = |request: Request| {
        std::thread::sleep(Duration::from_millis(300));
        echo(request)
    };
    let mut running = start(handler, Bounds::default(), None);
    let mut quiet = running.connect().await;
    let mut busy = running.connect().await;
    busy.write_all(get("/last").as_bytes()).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    running.stop.take().unwrap().send(()).unwrap();
    assert!(to_end(&mut busy).await.ends_with("GET /last 0"));
    assert_eq!(to_end(&mut quiet).await, "");
    drop((busy, quiet));
    timeout(Duration::from_secs(5), &mut running.task)
        .await
        .expect("the server ends")
        .unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn quiet_connections_are_closed() {
    let running = start(echo, short(), None);
    let mut stream = running.connect().await;
    stream.write_all(get("/").as_bytes()).await.unwrap();
    assert!(to_end(&mut stream).await.ends_with("GET / 0"));
}

#[derive(Clone, Default)]
struct Captured(Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// H26, H27: a refused request is one line, without names, queries or secrets.
#[tokio::test]
async fn h26_log_injection() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let handler = |request: Request| Response {
        refusal: Some("need-privileges"),
        ..respond(StatusCode::FORBIDDEN, echo(request).body)
    };
    let running = start(handler, Bounds::default(), None);
    for text in [
        "GET /dav/calendars/canary%0d%0aFAKE%1b[31m/canary/canary.ics?canary HTTP/1.1\r\nHost: canary\r\n",
        "C!#$%&'*+-.^_`|~ /dav/calendars/canary/ HTTP/1.1\r\nHost: canary\r\nUser-Agent: canary\r\n",
    ] {
        let wrong = "Authorization: Basic Y2FuYXJ5OmNhbmFyeQ==\r\n";
        for auth in ["", wrong, AUTH] {
            let answer = running
                .exchange(&format!("{text}Connection: close\r\n{auth}\r\n"))
                .await;
            assert!(matches!(status(&answer), "401" | "403"), "{answer}");
        }
    }
    drop(guard);
    let log = String::from_utf8(captured.0.lock().clone()).unwrap();
    let ours: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("refused"))
        .collect();
    assert_eq!(ours.len(), 6, "{log}");
    assert!(
        ours[0].contains("/dav/calendars/{home}/{collection}/{object}"),
        "{log}"
    );
    assert!(
        ours[2].contains("need-privileges") && ours[2].contains("07070707"),
        "{log}"
    );
    for mark in [
        "canary", "C!#", "FAKE", "\u{1b}", "Y2FuYXJ5", "YWxpY2U6", "alice",
    ] {
        assert!(!log.contains(mark), "{mark}: {log}");
    }
}
