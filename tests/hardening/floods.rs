//! Floods against the real server: it goes on answering others, and its memory stays flat.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::common::{Client, Server, client::basic};

const MIB: usize = 1024 * 1024;
/// How much more memory a flood may cost: less than what is sent.
const FLAT: usize = 16 * MIB;
/// Bytes that a flood of frames, and one of bodies, sends at most.
const FRAMES: usize = 24 * MIB;
/// See `FRAMES`.
const BODIES: usize = 40 * MIB;
/// Bytes of an endless body that are taken at most: an object, what is read and dropped so that
/// the answer arrives, and what the system buffers.
const TAKEN: usize = sealdav::limits::OBJECT_BYTES + sealdav::limits::LINGER_BYTES + 16 * MIB;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    [
        &length.to_be_bytes()[1..],
        &[kind, flags],
        &stream.to_be_bytes(),
        payload,
    ]
    .concat()
}

/// Sends `block` again and again until the server closes, takes no more, or had `most` bytes.
fn flood(server: &Server, first: &[u8], block: &[u8], most: usize, reading: bool) -> usize {
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    let patience = Some(Duration::from_secs(2));
    stream.set_write_timeout(patience).expect("a socket");
    let mut reader = stream.try_clone().expect("a socket");
    let drain = reading.then(|| {
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while matches!(reader.read(&mut buffer), Ok(read) if read > 0) {}
        })
    });
    let mut sent = 0;
    if stream.write_all(first).is_ok() {
        while sent < most && stream.write_all(block).is_ok() {
            sent += block.len();
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
    if let Some(drain) = drain {
        drain.join().expect("it ends with the connection");
    }
    sent
}

fn stays_well(server: &Server, client: &mut Client, what: &str, before: usize) {
    let begun = Instant::now();
    client.expect(207, "PROPFIND", "/dav/", &[("Depth", "0")], "");
    assert!(begun.elapsed() < Duration::from_secs(5), "after {what}");
    let grown = server.memory().saturating_sub(before);
    assert!(grown < FLAT, "{what} cost {grown} bytes");
}

#[test]
fn h24_endless_frames_cost_no_memory() {
    let (server, mut client) = Server::with_user("alice");
    client.expect(207, "PROPFIND", "/dav/", &[("Depth", "0")], "");
    let before = server.memory();
    let start = [PREFACE, &frame(4, 0, 0, b"")].concat();
    let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let ping = frame(6, 0, 0, b"12345678");
    let priority = frame(2, 0, 1, &[0, 0, 0, 0, 9]);
    let window = frame(8, 0, 0, &1u32.to_be_bytes());
    let unknown = frame(0xbe, 0, 0, &[b'x'; 16_000]);
    // what is answered is tried without reading the answers too
    for (what, frame, reading) in [
        ("SETTINGS", &settings, true),
        ("SETTINGS, unread", &settings, false),
        ("PING", &ping, true),
        ("PING, unread", &ping, false),
        ("PRIORITY", &priority, false),
        ("WINDOW_UPDATE", &window, false),
        ("unknown frames", &unknown, false),
    ] {
        let block = frame.repeat(65_536 / frame.len() + 1);
        flood(&server, &start, &block, FRAMES, reading);
        stays_well(&server, &mut client, what, before);
    }
}

#[test]
fn h25_endless_bodies_cost_no_memory() {
    let (server, mut client) = Server::with_user("alice");
    let password = server.app_password("alice", "flood");
    let target = "/dav/calendars/alice/calendar/x.ics";
    client.expect(404, "GET", target, &[], "");
    let before = server.memory();
    let right = format!("Authorization: {}\r\n", basic("alice", &password));
    let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
    for authorization in [right.as_str(), "", "Authorization: Basic eDp4\r\n"] {
        for coding in ["", "Content-Encoding: gzip\r\n"] {
            let head = format!(
                "PUT {target} HTTP/1.1\r\nHost: a\r\n{authorization}{coding}Transfer-Encoding: chunked\r\n\r\n"
            );
            let sent = flood(&server, head.as_bytes(), &chunk, BODIES, false);
            assert!(sent < TAKEN, "{sent} bytes were taken");
            let what = format!("{sent} bytes of {authorization}{coding}");
            stays_well(&server, &mut client, &what, before);
        }
    }
    client.expect(404, "GET", target, &[], "");
}
