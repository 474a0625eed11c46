//! Slow, huge and endless.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use sealdav::dav::Request;
use sealdav::http::Bounds;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::harness::*;

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
    let bounds = Bounds {
        body_bytes: 2000,
        account_body_bytes: 1000,
        idle: Duration::from_secs(3),
        ..short()
    };
    let running = start(echo, bounds, None);
    let put = |auth: &str, announced: usize, sent: usize| {
        let head =
            format!("PUT / HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: {announced}\r\n\r\n");
        head + &"x".repeat(sent)
    };
    let chunked = format!(
        "PUT / HTTP/1.1\r\nHost: a\r\n{AUTH}Transfer-Encoding: chunked\r\n\r\n7d0\r\n{}\r\n",
        "x".repeat(2000)
    );
    assert_eq!(status(&running.exchange(&chunked).await), "503");
    // What is announced and does not come holds nothing.
    let mut stalled = Vec::new();
    for _ in 0..5 {
        let mut stream = running.connect().await;
        stream
            .write_all(put(AUTH, 900, 20).as_bytes())
            .await
            .unwrap();
        stalled.push(stream);
    }
    sleep(Duration::from_millis(100)).await;
    let mut fits = running.connect().await;
    fits.write_all(put(AUTH, 800, 800).as_bytes())
        .await
        .unwrap();
    assert!(answer(&mut fits).await.ends_with("PUT / 800"));
    // What has come counts for its account, and not for others.
    let refused = running.exchange(&put(AUTH, 950, 950)).await;
    assert_eq!(status(&refused), "503");
    assert!(refused.contains("retry-after: "), "{refused}");
    let mut other = running.connect().await;
    other
        .write_all(put(CAROL, 1000, 1000).as_bytes())
        .await
        .unwrap();
    assert!(answer(&mut other).await.ends_with("PUT / 1000"));
    for mut stream in stalled {
        stream.write_all(&[b'x'; 880]).await.unwrap();
        assert!(answer(&mut stream).await.ends_with("PUT / 900"));
    }
}

#[tokio::test]
async fn memory_for_answers_is_shared() {
    // More than the sockets between the two take, so that a part of it stays with the server.
    const LARGE: usize = 30_000_000;
    let handler = |request: Request| match request.target.as_str() {
        "/large" => respond(
            StatusCode::OK,
            sealdav::dav::Body::Full(vec![b'x'; LARGE].into()),
        ),
        _ => echo(request),
    };
    let bounds = Bounds {
        answer_bytes: 2 * LARGE,
        account_answer_bytes: LARGE,
        idle: Duration::from_secs(20),
        ..short()
    };
    let running = start(handler, bounds, None);
    let ask = |method: &str, auth: &str| {
        format!("{method} /large HTTP/1.1\r\nHost: a\r\n{auth}Content-Length: 0\r\n\r\n")
    };
    let mut unread = running.connect().await;
    unread.write_all(ask("GET", AUTH).as_bytes()).await.unwrap();
    let mut first = [0; 12];
    unread.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let refused = running.exchange(&ask("GET", AUTH)).await;
    assert_eq!(status(&refused), "503");
    assert!(refused.contains("retry-after: "), "{refused}");
    // What was done is told, whatever memory is left; small answers and others go on.
    let small = format!("GET / HTTP/1.1\r\nHost: a\r\n{AUTH}\r\n");
    assert_eq!(status(&running.exchange(&small).await), "200");
    for (method, auth) in [("PUT", AUTH), ("GET", CAROL)] {
        let mut other = running.connect().await;
        other.write_all(ask(method, auth).as_bytes()).await.unwrap();
        other.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200", "{method}");
    }
    drop(unread);
    sleep(Duration::from_millis(200)).await;
    let mut again = running.connect().await;
    again.write_all(ask("GET", AUTH).as_bytes()).await.unwrap();
    again.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
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
async fn a_handshake_that_does_not_come_ends() {
    let running = start(
        echo,
        Bounds {
            handshake: Duration::from_millis(300),
            ..Bounds::default()
        },
        Some("handshake"),
    );
    let mut stream = running.connect().await;
    assert_eq!(to_end(&mut stream).await, "");
    // Plain HTTP on the TLS port is no request.
    assert!(
        !running
            .exchange(&closing("/"))
            .await
            .contains("HTTP/1.1 200")
    );
}

/// App passwords do not wait for those that need an Argon2 run, and of these not too many wait.
#[tokio::test]
async fn the_queue_of_sign_ins_is_short_and_apart() {
    let bounds = Bounds {
        sign_ins: 1,
        sign_in_queue: 1,
        ..Bounds::default()
    };
    let running = start(echo, bounds, None);
    let ask = |pair: &str| {
        let auth = basic(pair);
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{auth}\r\n")
    };
    let mut waiting = Vec::new();
    for pair in ["a:slow", "b:slow"] {
        let mut stream = running.connect().await;
        stream.write_all(ask(pair).as_bytes()).await.unwrap();
        waiting.push(stream);
        sleep(Duration::from_millis(100)).await;
    }
    let quick = async {
        let refused = running.exchange(&ask("c:slow")).await;
        assert_eq!(status(&refused), "503");
        assert!(refused.contains("retry-after: "), "{refused}");
        assert_eq!(status(&running.exchange(&ask("d:generated")).await), "200");
    };
    let quick = timeout(Duration::from_millis(500), quick).await;
    quick.expect("neither waits for a run");
    for mut stream in waiting {
        assert_eq!(status(&to_end(&mut stream).await), "401");
    }
}
