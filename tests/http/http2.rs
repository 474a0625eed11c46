//! HTTP/2, written frame by frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use sealdav::dav::Request;
use sealdav::http::Bounds;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::harness::*;

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

/// RFC 9113 section 8.1.1: an answer to HEAD ends with its head, a refusal's too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_head_has_no_body() {
    let running = start(echo, Bounds::default(), None);
    let mut stream = running.connect().await;
    stream.write_all(H2_START).await.unwrap();
    // :method HEAD, :scheme https, :authority localhost, :path
    let head = |path: &str| {
        let mut block = vec![0x02, 4];
        block.extend_from_slice(b"HEAD\x87\x01\x09localhost\x04");
        block.push(u8::try_from(path.len()).unwrap());
        block.extend_from_slice(path.as_bytes());
        block
    };
    for (number, path) in [(1, "/healthz"), (3, "/refused")] {
        stream
            .write_all(&frame(1, 0x05, number, &head(path)))
            .await
            .unwrap();
        let flags = loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            stream
                .read_exact(&mut vec![0; length as usize])
                .await
                .unwrap();
            if head[3] == 1 {
                break head[4];
            }
        };
        assert_eq!(flags & 1, 1, "{path}: END_STREAM is on the head");
    }
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

/// A client that never opens its window holds a stream that no byte on the wire would show.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_window_is_cut() {
    let steps = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&steps);
    let handler = move |_: Request| respond(StatusCode::OK, endless(&counted));
    let running = start(handler, short(), None);
    let mut stream = running.connect().await;
    stream.write_all(H2_START).await.unwrap();
    stream
        .write_all(&frame(1, 0x05, 1, &h2_get("/report")))
        .await
        .unwrap();
    assert!(
        h2_until(&mut stream, 0xff).await.is_none(),
        "the connection ends"
    );
    assert!(steps.load(Ordering::Relaxed) < 10);
}

/// An early answer over HTTP/2 comes whole, and only then is the sender told to stop, without
/// an error (RFC 9113 section 8.1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_answers_come_before_the_reset() {
    let running = start(echo, Bounds::default(), None);
    let mut stream = running.connect().await;
    stream.write_all(H2_START).await.unwrap();
    let mut block = h2_get("/early");
    block[0] = 0x83; // POST
    block.extend_from_slice(&[0x0f, 28 - 15, 8]);
    block.extend_from_slice(b"20000000");
    stream.write_all(&frame(1, 0x04, 1, &block)).await.unwrap();
    for _ in 0..8 {
        stream
            .write_all(&frame(0, 0, 1, &[0; 8_000]))
            .await
            .unwrap();
    }
    let mut kinds = Vec::new();
    loop {
        let mut head = [0; 9];
        let read = timeout(Duration::from_secs(10), stream.read_exact(&mut head)).await;
        read.expect("the server says more").unwrap();
        let length = usize::from(head[1]) * 256 + usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.unwrap();
        if head[5..] == [0, 0, 0, 1] {
            kinds.push((head[3], head[4] & 1));
            if head[3] == 3 {
                assert_eq!(payload, [0; 4], "NO_ERROR");
                break;
            }
        }
    }
    assert_eq!(kinds, [(1, 0), (0, 1), (3, 0)]);
}
