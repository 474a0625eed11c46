//! The smallest server that answers after its receipts: what conformance/faults is tried on.
//!
//! The test program is that server when SEALDAV_TEST_SERVER names a directory and
//! SEALDAV_TEST_PORT a port (0 for any):
//! `SEALDAV_TEST_SERVER=dir SEALDAV_TEST_PORT=8080 PROGRAM store::tests::server::a_killed_server_keeps_what_it_answered --exact --nocapture`

use std::io::Read;
use std::net::{TcpListener, TcpStream};

use parking_lot::Mutex;

use super::*;

const SERVER: &str = "SEALDAV_TEST_SERVER";
const PORT: &str = "SEALDAV_TEST_PORT";
const THIS: &str = "server::a_killed_server_keeps_what_it_answered";

#[test]
fn a_killed_server_keeps_what_it_answered() {
    if let Some(dir) = std::env::var_os(SERVER) {
        serve(Path::new(&dir));
        return;
    }
    let scratch = Scratch::new();
    let mut etags = BTreeMap::new();
    for round in 0..2 {
        let (mut server, port) = start(&scratch.store());
        for object in 0..20 {
            let body = format!("object {object} of round {round} ").repeat(object * 300);
            let (status, etag, _) = request(port, "PUT", &format!("/{object}"), &body);
            assert_eq!(status, 201);
            etags.insert(object, (etag, body));
        }
        server.kill().unwrap();
        server.wait().unwrap();
    }
    let (mut server, port) = start(&scratch.store());
    for (object, (etag, body)) in &etags {
        let found = request(port, "GET", &format!("/{object}"), "");
        assert_eq!(found, (200, etag.clone(), body.clone()));
    }
    assert_eq!(request(port, "DELETE", "/3", "").0, 204);
    assert_eq!(request(port, "GET", "/3", "").0, 404);
    assert!(
        request(port, "PROPFIND", "/", "").2.contains(":41<"),
        "40 PUTs and a DELETE"
    );
    server.kill().unwrap();
    server.wait().unwrap();
}

fn start(dir: &Path) -> (Child, u16) {
    let mut server = other_part(THIS, SERVER, dir);
    let mut lines = BufReader::new(server.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let port = lines.find_map(|line| line.strip_prefix("port ").map(|port| port.parse().unwrap()));
    (server, port.unwrap())
}

fn request(port: u16, method: &str, path: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let etag = head
        .lines()
        .find_map(|line| line.strip_prefix("ETag: "))
        .unwrap_or_default();
    (
        head[9..12].parse().unwrap(),
        etag.to_owned(),
        body.to_owned(),
    )
}

/// The store, and the number of the last change.
struct Server {
    store: Store,
    last: Mutex<u64>,
}

fn serve(dir: &Path) {
    let store = open(dir).unwrap();
    let last = last_change(&store);
    let server = Server {
        store,
        last: Mutex::new(last),
    };
    let port = std::env::var(PORT).map_or(0, |port| port.parse().unwrap());
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    println!("\nport {}", listener.local_addr().unwrap().port());
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let server = &server;
            // A client that goes away is no matter of ours.
            scope.spawn(move || stream.and_then(|stream| server.connection(stream)));
        }
    });
}

fn last_change(store: &Store) -> u64 {
    store
        .get(&name(0, 0))
        .unwrap()
        .map_or(0, |stored| number(stored.bytes()))
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}

/// Row 0 of an object: number of its change, then 1 when it was deleted, then its path.
/// The others: its body in chunks.
fn object_row(path: &str, chunk: usize) -> RowName {
    let mut bytes = [1; 36];
    bytes[16..32].copy_from_slice(&blake3::hash(path.as_bytes()).as_bytes()[..16]);
    bytes[32..].copy_from_slice(&(chunk as u32).to_be_bytes());
    RowName::for_test(bytes)
}

impl Server {
    fn connection(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream.try_clone()?);
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if lines.read_until(b'\n', &mut head)? == 0 {
                    return Ok(());
                }
            }
            let head = String::from_utf8(head).unwrap();
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")
                    .map(|n| n.parse().unwrap())
            });
            let mut body = vec![0; length.unwrap_or(0)];
            lines.read_exact(&mut body)?;
            let mut words = head.split(' ');
            let (method, path) = (words.next().unwrap(), words.next().unwrap());
            let (status, headers, answer) = self.answer(method, path, &body);
            // A GET or PROPFIND may have seen what another client's PUT has only applied.
            self.store.barrier().wait().unwrap();
            let length = answer.len();
            let mut bytes =
                format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n")
                    .into_bytes();
            bytes.extend(answer);
            (&stream).write_all(&bytes)?;
            if head.contains("Connection: close") {
                return Ok(());
            }
        }
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> (&'static str, String, Vec<u8>) {
        let none = String::new();
        match method {
            "PUT" => match self.write(path, Some(body)) {
                Ok(()) => ("201 Created", etag(body), Vec::new()),
                Err(_) => ("507 Insufficient Storage", none, Vec::new()),
            },
            "DELETE" if self.read(path).is_none() => ("404 Not Found", none, Vec::new()),
            "DELETE" => match self.write(path, None) {
                Ok(()) => ("204 No Content", none, Vec::new()),
                Err(_) => ("507 Insufficient Storage", none, Vec::new()),
            },
            "GET" => match self.read(path) {
                Some(body) => ("200 OK", etag(&body), body),
                None => ("404 Not Found", none, Vec::new()),
            },
            "PROPFIND" => ("207 Multi-Status", none, self.changes(u64::MAX)),
            "REPORT" => {
                let body = String::from_utf8(body.to_vec()).unwrap();
                let since = body
                    .split("sync:")
                    .nth(1)
                    .unwrap()
                    .split('<')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap();
                ("207 Multi-Status", none, self.changes(since))
            }
            _ => ("200 OK", none, Vec::new()),
        }
    }

    fn write(&self, path: &str, body: Option<&[u8]>) -> Result<(), StoreError> {
        let mut last = self.last.lock();
        *last += 1;
        let mut batch = Batch::new();
        batch.put(name(0, 0), value(&last.to_be_bytes()));
        let head = [
            &last.to_be_bytes()[..],
            &[u8::from(body.is_none())],
            path.as_bytes(),
        ]
        .concat();
        batch.put(object_row(path, 0), value(&head));
        let chunks = body.unwrap_or_default().chunks(limits::CHUNK_BYTES);
        let count = 1 + chunks.len();
        for (chunk, at) in chunks.zip(1..) {
            batch.put(object_row(path, at), value(chunk));
        }
        // No object here has more than eight chunks.
        for at in count..9 {
            batch.delete(object_row(path, at));
        }
        let receipt = self.store.commit(batch);
        drop(last);
        receipt.wait().inspect_err(|_| {
            let mut last = self.last.lock();
            self.store.reopen().unwrap();
            *last = last_change(&self.store);
        })
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let _quiet = self.last.lock();
        let head = self.store.get(&object_row(path, 0)).unwrap()?;
        let chunks = (1..).map_while(|at| self.store.get(&object_row(path, at)).unwrap());
        (head.bytes()[8] == 0).then(|| chunks.flat_map(|chunk| chunk.bytes().to_vec()).collect())
    }

    fn changes(&self, since: u64) -> Vec<u8> {
        let last = self.last.lock();
        let mut text = "<D:multistatus xmlns:D=\"DAV:\">".to_owned();
        for (found, bytes) in rows(&self.store, 1) {
            if found.bytes().ends_with(&[0; 4]) && number(&bytes) > since {
                let path = std::str::from_utf8(&bytes[9..]).unwrap();
                text += &format!("<D:response><D:href>{path}</D:href></D:response>");
            }
        }
        text += &format!("<D:sync-token>sync:{last}</D:sync-token></D:multistatus>");
        text.into_bytes()
    }
}

fn etag(body: &[u8]) -> String {
    format!("ETag: \"{}\"\r\n", blake3::hash(body).to_hex())
}
