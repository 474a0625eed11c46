//! What the log says of requests.

use std::sync::Arc;

use http::StatusCode;
use sealdav::config::Network;
use sealdav::dav::{Body, Request, Response};
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
    for mark in [
        "canary", "C!#", "FAKE", "\u{1b}", "Y2FuYXJ5", "YWxpY2U6", "alice",
    ] {
        assert!(!log.contains(mark), "{mark}: {log}");
    }
}

/// What is refused within a 207 is a line too, with its reason; and what a streamed answer logs
/// later carries the id of its request.
#[tokio::test]
async fn refusals_inside_answers_and_steps_are_logged() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    let handler = move |request: Request| {
        let dispatch = dispatch.clone();
        let step = move || {
            tracing::dispatcher::with_default(&dispatch, || tracing::warn!("in a step"));
            None
        };
        Response {
            refusal: (request.method == "PROPPATCH").then_some("valid-filter"),
            ..respond(
                StatusCode::MULTI_STATUS,
                Body::Stream(Box::new(std::iter::from_fn(step))),
            )
        }
    };
    let running = start(handler, Bounds::default(), None);
    for method in ["PROPPATCH", "REPORT"] {
        let head = format!("{method} /dav/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        let answer = running.exchange(&format!("{head}{AUTH}\r\n")).await;
        assert_eq!(status(&answer), "207", "{answer}");
    }
    // and so is what could not be read at all
    let answer = running
        .exchange("GET /canary HTTP/1.1\r\nno header\r\n\r\n")
        .await;
    assert_eq!(status(&answer), "400", "{answer}");
    let text = || String::from_utf8(captured.0.lock().clone()).unwrap();
    let logged = async {
        while !text().contains("unreadable") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    // it is told when the connection has ended
    let soon = std::time::Duration::from_secs(10);
    tokio::time::timeout(soon, logged).await.expect("a line");
    drop(guard);
    let log = text();
    assert!(!log.contains("canary"), "{log}");
    let refused: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("refused"))
        .collect();
    assert_eq!(refused.len(), 2, "{log}");
    assert!(refused[1].contains("unreadable"), "{log}");
    assert!(refused[0].contains("valid-filter"), "{log}");
    let steps: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("in a step"))
        .collect();
    assert!(
        steps.len() == 2 && steps.iter().all(|step| step.contains("request{id=")),
        "{log}"
    );
}

/// A proxy on this machine that is not trusted is told of, once.
#[tokio::test]
async fn an_overlooked_proxy_is_told_of_once() {
    for (proxies, expected) in [(vec!["127.0.0.0/8"], 0), (Vec::new(), 1)] {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let proxies = proxies
            .into_iter()
            .map(|text| Network::try_from(text.to_owned()).unwrap())
            .collect();
        let running = start_behind(proxies, echo, Bounds::default(), None);
        running.exchange(&closing("/")).await;
        assert!(captured.0.lock().is_empty(), "a direct request is no proxy");
        for _ in 0..2 {
            let text = closing("/").replace("Host", "X-Forwarded-For: 192.0.2.1\r\nHost");
            assert_eq!(status(&running.exchange(&text).await), "200");
        }
        drop(guard);
        let log = String::from_utf8(captured.0.lock().clone()).unwrap();
        assert_eq!(log.matches("trusted_proxies").count(), expected, "{log}");
        assert!(!log.contains("192.0.2.1"), "{log}");
    }
}
