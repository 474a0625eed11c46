//! Requests whose framing lies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealdav::dav::Request;

use crate::harness::*;

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
