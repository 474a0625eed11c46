//! A client that speaks plain HTTP/1.1 over one connection at a time, sends exactly what it is
//! told, and keeps everything that it was answered.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use base64::Engine as _;

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (header, value) = line.split_once(':')?;
            header.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// The value of an Authorization header.
pub fn basic(name: &str, secret: &str) -> String {
    let pair = format!("{name}:{secret}");
    let code = base64::engine::general_purpose::STANDARD.encode(pair);
    format!("Basic {code}")
}

/// Somebody who asks.
pub struct Client {
    address: SocketAddr,
    authorization: Option<String>,
    stream: Option<BufReader<TcpStream>>,
    /// Everything that was answered.
    pub transcript: Vec<u8>,
}

impl Client {
    /// With credentials.
    pub fn new(address: SocketAddr, name: &str, secret: &str) -> Self {
        Client {
            authorization: Some(basic(name, secret)),
            ..Client::anonymous(address)
        }
    }

    /// Without.
    pub fn anonymous(address: SocketAddr) -> Self {
        Client {
            address,
            authorization: None,
            stream: None,
            transcript: Vec::new(),
        }
    }

    /// Sends a request and reads its answer.
    pub fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        let given = |name: &str| {
            headers
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        if !given("host") {
            request.extend(format!("Host: {}\r\n", self.address).bytes());
        }
        if let (Some(value), false) = (&self.authorization, given("authorization")) {
            request.extend(format!("Authorization: {value}\r\n").bytes());
        }
        for (name, value) in headers {
            request.extend(format!("{name}: {value}\r\n").bytes());
        }
        request.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
        request.extend(body);
        self.send(&request, method == "HEAD")
    }

    /// Sends bytes as they are and reads one answer.
    pub fn send(&mut self, request: &[u8], head_only: bool) -> Answer {
        let mut stream = self.stream.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(self.address).expect("the server listens");
            let patience = Some(Duration::from_secs(60));
            stream.set_read_timeout(patience).expect("a socket");
            stream.set_nodelay(true).expect("a socket");
            BufReader::new(stream)
        });
        // the server may answer and close while more is being sent
        let _ = stream.get_mut().write_all(request);
        let answer = read(&mut stream, head_only);
        self.transcript.extend(answer.head.bytes());
        self.transcript.extend(&answer.body);
        let closes = answer
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if !closes {
            self.stream = Some(stream);
        }
        answer
    }

    /// Sends a request that must be answered so.
    #[track_caller]
    pub fn expect(
        &mut self,
        status: u16,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let answer = self.ask(method, target, headers, body.as_bytes());
        assert_eq!(
            answer.status,
            status,
            "{method} {target} {headers:?}: {}{}",
            answer.head,
            answer.text()
        );
        answer
    }
}

fn read(stream: &mut BufReader<TcpStream>, head_only: bool) -> Answer {
    let mut answer = read_head(stream);
    if answer.status == 100 {
        answer = read_head(stream);
    }
    let bodiless = head_only || matches!(answer.status, 204 | 304);
    if bodiless {
        return answer;
    }
    if answer
        .header("transfer-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    {
        loop {
            let size = line(stream);
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).expect("a whole chunk");
            answer.body.extend(&chunk[..size]);
            if size == 0 {
                return answer;
            }
        }
    }
    let length = answer.header("content-length").map_or(0, |length| {
        length.parse().expect("a Content-Length is a number")
    });
    answer.body = vec![0; length];
    stream
        .read_exact(&mut answer.body)
        .expect("a whole body within its time");
    answer
}

fn read_head(stream: &mut BufReader<TcpStream>) -> Answer {
    let mut head = String::new();
    loop {
        let line = line(stream);
        assert!(!line.is_empty(), "the server closed the connection: {head}");
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    Answer {
        status: status.expect("a status"),
        head,
        body: Vec::new(),
    }
}

fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = Vec::new();
    stream
        .read_until(b'\n', &mut line)
        .expect("an answer within its time");
    String::from_utf8_lossy(&line).into_owned()
}
