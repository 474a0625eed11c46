//! What is answered on the spot, and what a request does to others that waits there nevertheless.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealdav::dav::{Request, Response};
use sealdav::http::Bounds;
use sealdav::limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::harness::*;

/// Workers of the tests' runtime beyond `limits::SPARE_WORKERS`, which answer on the spot.
const PLACES: usize = 2;
const _: () = assert!(
    PLACES + limits::SPARE_WORKERS == 3,
    "see the tests' attributes"
);

/// Answers with where it is answered. What has `block` in its path says that it has begun, and
/// then waits until the other end is dropped.
fn blocking(begun: Sender<String>, end: Receiver<()>) -> impl Fn(Request) -> Response {
    let (begun, end) = (Mutex::new(begun), Mutex::new(end));
    move |request| {
        let place = place(&request);
        if request.target.contains("block") {
            begun.lock().unwrap().send(place.clone()).unwrap();
            // An error, when the other end is gone.
            let _ = end.lock().unwrap().recv();
        }
        told(place)
    }
}

fn place(request: &Request) -> String {
    match request.headers.contains_key(ON_THE_SPOT) {
        true => "spot".to_owned(),
        false => "pool".to_owned(),
    }
}

fn told(text: String) -> Response {
    respond(
        http::StatusCode::OK,
        sealdav::dav::Body::Full(text.into_bytes().into()),
    )
}

async fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(get(path).as_bytes()).await.unwrap();
    let answer = answer(stream).await;
    assert_eq!(status(&answer), "200", "{answer}");
    answer.rsplit("\r\n").next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn who_waits_on_the_spot_stops_nobody() {
    let (begun, begins) = channel();
    let (end, ended) = channel();
    let running = start(blocking(begun, ended), Bounds::default(), None);
    let mut others = [running.connect().await, running.connect().await];
    for other in &mut others {
        assert_eq!(ask(other, "/quick").await, "spot");
        assert_eq!(ask(other, "/").await, "pool");
    }
    let mut blocked = Vec::new();
    for number in 0..PLACES {
        // Long enough for all workers to sleep, one of which waits for sockets.
        sleep(Duration::from_millis(200)).await;
        let mut stream = running.connect().await;
        stream
            .write_all(get("/quick/block").as_bytes())
            .await
            .unwrap();
        // Asked at once, while nobody may be left to hear of it.
        let place = match number + 1 {
            PLACES => "pool",
            _ => "spot",
        };
        assert_eq!(begins.recv_timeout(Duration::from_secs(5)).unwrap(), "spot");
        for other in &mut others {
            assert_eq!(ask(other, "/quick").await, place);
            assert_eq!(ask(other, "/").await, "pool");
        }
        blocked.push(stream);
    }
    let mut stream = running.connect().await;
    let request = get("/quick/block");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(begins.recv_timeout(Duration::from_secs(5)).unwrap(), "pool");
    blocked.push(stream);
    drop(end);
    for (number, stream) in blocked.iter_mut().enumerate() {
        let place = if number < PLACES { "spot" } else { "pool" };
        assert!(answer(stream).await.ends_with(place), "{number}");
        assert_eq!(ask(stream, "/quick").await, "spot");
    }
}

/// What is quick goes on while the pool is full, and no more are at it on the spot than may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn bounds_hold_on_the_spot() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let counted = (Arc::clone(&now), Arc::clone(&most));
    let handler = move |request: Request| {
        let (now, most) = &counted;
        let place = place(&request);
        if place == "spot" {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            now.fetch_sub(1, Ordering::SeqCst);
        } else if request.target.contains("slow") {
            std::thread::sleep(Duration::from_secs(3));
        }
        told(place)
    };
    let bounds = Bounds {
        work: 1,
        ..Bounds::default()
    };
    let running = Arc::new(start(handler, bounds, None));
    let mut slow = running.connect().await;
    slow.write_all(get("/slow").as_bytes()).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let mut alone = running.connect().await;
    let quick = timeout(Duration::from_secs(1), ask(&mut alone, "/quick"));
    assert_eq!(quick.await.expect("the pool is not asked"), "spot");
    assert!(answer(&mut slow).await.ends_with("pool"));
    many(&running, get("/quick")).await;
    assert_eq!(most.load(Ordering::SeqCst), PLACES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_panic_on_the_spot_is_one_500() {
    let handler = |request: Request| match request.target.as_str() {
        "/quick/boom" if request.headers.contains_key(ON_THE_SPOT) => panic!("content"),
        _ => told(place(&request)),
    };
    let running = start(handler, Bounds::default(), None);
    let mut stream = running.connect().await;
    // More often than there are places: each is given back.
    for _ in 0..2 * PLACES {
        let request = get("/quick/boom");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status(&answer(&mut stream).await), "500");
        assert_eq!(ask(&mut stream, "/quick").await, "spot");
    }
}

/// Eight connections that send a request five times each.
async fn many(running: &Arc<Running>, request: String) {
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (running, request) = (Arc::clone(running), request.clone());
        all.spawn(async move {
            let mut stream = running.connect().await;
            for _ in 0..5 {
                stream.write_all(request.as_bytes()).await.unwrap();
                assert_eq!(status(&answer(&mut stream).await), "200");
            }
        });
    }
    all.join_all().await;
}

fn request_of(method: &str, path: &str, bytes: usize) -> String {
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{AUTH}Content-Length: {bytes}\r\n\r\n");
    head + &"x".repeat(bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn only_short_requests_are_answered_on_the_spot() {
    let running = start(|request| told(place(&request)), Bounds::default(), None);
    let mut stream = running.connect().await;
    for (method, bytes, expected) in [
        ("REPORT", 10, "spot"),
        ("PROPFIND", limits::QUICK_BODY_BYTES, "spot"),
        ("PROPFIND", limits::QUICK_BODY_BYTES + 1, "pool"),
        ("PUT", 10, "spot"),
        ("PUT", limits::QUICK_BODY_BYTES + 1, "pool"),
        ("DELETE", 0, "spot"),
    ] {
        let request = request_of(method, "/quick", bytes);
        stream.write_all(request.as_bytes()).await.unwrap();
        assert!(
            answer(&mut stream).await.ends_with(expected),
            "{method} {bytes}"
        );
    }
}

/// On the spot one writer of an account comes after the other, and who waits takes no thread; when it
/// takes long it goes to the pool.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn writers_of_an_account_wait_for_their_turn() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let counted = (Arc::clone(&now), Arc::clone(&most));
    let (begun, begins) = channel();
    let (end, ended) = channel();
    let blocks = blocking(begun, ended);
    let handler = move |request: Request| {
        let (now, most) = &counted;
        let writes_here = place(&request) == "spot" && request.method == http::Method::PUT;
        if !writes_here {
            return blocks(request);
        }
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
        let response = blocks(request);
        now.fetch_sub(1, Ordering::SeqCst);
        response
    };
    let running = Arc::new(start(handler, Bounds::default(), None));
    many(&running, request_of("PUT", "/quick", 10)).await;
    assert_eq!(most.load(Ordering::SeqCst), 1);

    let mut writers = Vec::new();
    for place in ["spot", "pool"] {
        let mut stream = running.connect().await;
        let request = request_of("PUT", "/quick/block", 10);
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(begins.recv_timeout(Duration::from_secs(5)).unwrap(), place);
        writers.push((stream, place));
        let mut reader = running.connect().await;
        assert_eq!(ask(&mut reader, "/quick").await, "spot");
    }
    drop(end);
    for (stream, place) in &mut writers {
        assert!(answer(stream).await.ends_with(*place));
    }
}
