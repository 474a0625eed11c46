//! A plain HTTP/1.1 client on one kept-alive connection, without pipelining. It does as little as it
//! can for each answer, since it shares the machine's cores with the server that it measures.

use std::io;
use std::sync::Arc;

use memchr::memmem;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where the server listens, and how it is spoken to.
#[derive(Clone)]
pub struct Address {
    /// Host and port.
    pub authority: String,
    /// With TLS, verified by this.
    pub tls: Option<TlsConnector>,
    /// Whether each request has a connection of its own.
    pub fresh: bool,
}

/// A TLS client that trusts the authorities in a PEM file, and comes back to former sessions or not.
pub fn connector(file: &str, resumption: Resumption) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).expect("a readable authority") {
        roots
            .add(certificate.expect("a certificate"))
            .expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = resumption;
    TlsConnector::from(Arc::new(config))
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    async fn open(address: &Address) -> io::Result<Stream> {
        let stream = TcpStream::connect(&address.authority).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &address.tls else {
            return Ok(Stream::Plain(stream));
        };
        let host = address.authority.rsplit_once(':').expect("host and port").0;
        let name = ServerName::try_from(host.to_owned()).expect("a host name");
        Ok(Stream::Tls(Box::new(tls.connect(name, stream).await?)))
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.write_all(bytes).await,
            Stream::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read_buf(into).await,
            Stream::Tls(stream) => stream.read_buf(into).await,
        }
    }
}

/// One connection, opened again when the server closed it.
pub struct Connection {
    address: Address,
    stream: Option<Stream>,
    received: Vec<u8>,
    decoded: Vec<u8>,
}

/// One answer, valid until the next request.
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// The head, from the status line to the empty line.
    head: &'a [u8],
    /// The body, without its transfer coding.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }
}

struct Head {
    bytes: usize,
    status: u16,
    length: Length,
    close: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

/// Room for the next piece of an answer.
const PIECE: usize = 256 * 1024;

impl Connection {
    /// Not opened before the first request.
    pub fn new(address: Address) -> Connection {
        Connection {
            address,
            stream: None,
            received: Vec::with_capacity(PIECE),
            decoded: Vec::new(),
        }
    }

    /// Sends a request and takes the whole answer. A connection that the server closed before the
    /// first byte of the answer is opened again once.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        let fresh = self.stream.is_none();
        let head = match self.exchange(request).await {
            Err(_) if !fresh && self.received.is_empty() => self.exchange(request).await?,
            done => done?,
        };
        let body = match head.length {
            Length::Chunked => &self.decoded[..],
            Length::Known(_) | Length::UntilClose => &self.received[head.bytes..],
        };
        Ok(Answer {
            status: head.status,
            head: &self.received[..head.bytes],
            body,
        })
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Head> {
        self.received.clear();
        self.decoded.clear();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => Stream::open(&self.address).await?,
        };
        stream.write(request).await?;
        let head = loop {
            self.more(&mut stream).await?;
            if let Some(head) = read_head(&self.received)? {
                break head;
            }
        };
        match head.length {
            Length::Known(length) => {
                while self.received.len() < head.bytes + length {
                    self.more(&mut stream).await?;
                }
            }
            Length::Chunked => self.chunks(&mut stream, head.bytes).await?,
            Length::UntilClose => while self.more(&mut stream).await.is_ok() {},
        }
        if !self.address.fresh && !head.close && head.length != Length::UntilClose {
            self.stream = Some(stream);
        }
        Ok(head)
    }

    async fn more(&mut self, stream: &mut Stream) -> io::Result<()> {
        if self.received.capacity() - self.received.len() < PIECE / 4 {
            self.received.reserve(PIECE);
        }
        match stream.read(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn chunks(&mut self, stream: &mut Stream, mut at: usize) -> io::Result<()> {
        loop {
            let line = loop {
                if let Some(end) = memmem::find(&self.received[at..], b"\r\n") {
                    break at + end;
                }
                self.more(stream).await?;
            };
            let size = std::str::from_utf8(&self.received[at..line]).ok();
            let size = size
                .and_then(|size| usize::from_str_radix(size.split(';').next()?.trim(), 16).ok());
            let size = size.ok_or(io::ErrorKind::InvalidData)?;
            while self.received.len() < line + 2 + size + 2 {
                self.more(stream).await?;
            }
            self.decoded
                .extend_from_slice(&self.received[line + 2..line + 2 + size]);
            at = line + 2 + size + 2;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

fn read_head(received: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = memmem::find(received, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = &received[..end + 4];
    let status = head
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let status: u16 = status.ok_or(io::ErrorKind::InvalidData)?;
    let known = header(head, "content-length").and_then(|value| value.parse().ok());
    let length = match known {
        _ if status == 204 || status == 304 => Length::Known(0),
        Some(length) => Length::Known(length),
        None if header(head, "transfer-encoding").is_some() => Length::Chunked,
        None => Length::UntilClose,
    };
    let said = header(head, "connection").unwrap_or_default();
    let old = head.starts_with(b"HTTP/1.0");
    let close =
        said.eq_ignore_ascii_case("close") || (old && !said.eq_ignore_ascii_case("keep-alive"));
    Ok(Some(Head {
        bytes: end + 4,
        status,
        length,
        close,
    }))
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let mut rest = head;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        let value = line.get(name.len() + 1..).filter(|_| {
            line[name.len()] == b':' && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
        });
        if let Some(value) = value {
            return std::str::from_utf8(value).ok().map(str::trim);
        }
    }
    None
}
