//! The listener for the figures: apart from that of the clients, so that it can be kept to this
//! machine, and with a token if more than this machine may read it. Plain HTTP, `GET /metrics` only.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use ::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use subtle::ConstantTimeEq;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::Metrics;
use super::tell::{self, Sources};
use crate::account::Accounts;
use crate::ids::Secret;
use crate::limits;

/// What the text format is called (the OpenMetrics specification, section Content-Type).
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How the figures are told.
pub struct Exposure {
    /// A bound socket.
    pub listener: std::net::TcpListener,
    /// What a reader has to bring as a bearer token (RFC 6750 section 2.1); none for anybody.
    pub token: Option<Secret>,
    /// Whose figures they are.
    pub accounts: Arc<Accounts>,
    /// The data directory, which knows of its backups.
    pub data: PathBuf,
}

struct Door {
    sources: Sources,
    token: Option<Secret>,
}

/// Answers until it is dropped.
pub(in crate::http) async fn serve(exposure: Exposure, metrics: Arc<Metrics>) {
    let Exposure {
        listener,
        token,
        accounts,
        data,
    } = exposure;
    let listener = listener
        .set_nonblocking(true)
        .and_then(|()| TcpListener::from_std(listener));
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the metrics are not told"),
    };
    let sources = Sources {
        metrics,
        accounts,
        data,
    };
    let door = Arc::new(Door { sources, token });
    let slots = Arc::new(Semaphore::new(limits::METRICS_CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let door = Arc::clone(&door);
                tokio::spawn(async move {
                    let _slot = slot;
                    let patience = Duration::from_secs(limits::METRICS_SECONDS);
                    let _ = timeout(patience, converse(stream, door)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a reader of the metrics could not be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, door: Arc<Door>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let patience = Duration::from_secs(limits::METRICS_SECONDS);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(limits::HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a reader of the metrics went away");
    }
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.lets_in(request.headers()) {
            let mut refused = plain(StatusCode::UNAUTHORIZED);
            let challenge = HeaderValue::from_static("Bearer");
            refused.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            return refused;
        }
        if request.uri().path() != "/metrics" {
            return plain(StatusCode::NOT_FOUND);
        }
        if request.method() != Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED);
        }
        // It asks the disk for the size of files.
        let sources = self.sources.clone();
        let told = tokio::task::spawn_blocking(move || tell::text(&sources)).await;
        let Ok(Ok(text)) = told else {
            tracing::error!("the metrics could not be told");
            return plain(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let mut answer = Response::new(Full::new(Bytes::from(text)));
        let kind = HeaderValue::from_static(TEXT);
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        answer
    }

    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let sent = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let sent = sent.and_then(|sent| sent.split_at_checked(b"Bearer ".len()));
        sent.is_some_and(|(scheme, sent)| {
            scheme.eq_ignore_ascii_case(b"Bearer ")
                && bool::from(sent.ct_eq(token.expose().as_bytes()))
        })
    }
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}
