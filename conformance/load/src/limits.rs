//! What the machine itself can do, in the same run: a bare hyper server, and the disk.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

/// Bytes of one write of the physical limit: what an object of 2,100 bytes comes to in a log, roughly.
const WRITE: usize = 4_096;

/// Answers every request with 2,100 bytes, which lie ready.
pub async fn bare(listen: &str) {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .expect("the address is free");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a TCP socket");
        tokio::spawn(async move {
            let service = service_fn(answer);
            let builder = hyper::server::conn::http1::Builder::new();
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    static BODY: [u8; 2_100] = [b'x'; 2_100];
    let response = Response::builder()
        .header("content-type", "text/calendar")
        .header("etag", "\"1\"");
    Ok(response
        .body(Full::new(Bytes::from_static(&BODY)))
        .expect("a head"))
}

/// Writes a second that are on the disk, when `group` of them share an fdatasync.
pub fn durable_writes(directory: &Path, group: usize, time: Duration) -> f64 {
    let path = directory.join("fdatasync");
    let mut file = File::create(&path).expect("a file in the directory");
    let bytes = vec![0x5a; WRITE * group];
    let (mut writes, began) = (0, Instant::now());
    while began.elapsed() < time {
        file.write_all(&bytes).expect("room");
        file.sync_data().expect("a sync");
        writes += group;
    }
    let rate = writes as f64 / began.elapsed().as_secs_f64();
    std::fs::remove_file(&path).expect("the file is there");
    rate
}
