//! What the log says of requests.

use std::sync::Arc;

use http::StatusCode;
use sealdav::dav::{Request, Response};
use sealdav::http::Bounds;

use crate::harness::*;

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
    for mark in ["canary", "C!#", "FAKE", "\u{1b}", "Y2FuYXJ5", "YWxpY2U6", "alice"] {
        assert!(!log.contains(mark), "{mark}: {log}");
    }
}
