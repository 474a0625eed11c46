//! A request and its answer as values: what the http floor gives and takes.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::store::Receipt;
use crate::vault::VaultError;

/// A request whose body is complete and whose sender is known.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// The raw path and query, as sent.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, within `Dav::body_limit`.
    pub body: Bytes,
    /// The authorities it was sent to: `Host` or `:authority`, and what a trusted proxy says that
    /// its client used.
    pub authorities: Vec<String>,
    /// Whether the client sees https.
    pub https: bool,
}

/// The parts of a streamed body, each about `limits::STREAM_STEP_BYTES`, computed only when
/// asked for. An error ends the connection, since the head of the answer is gone already.
pub type Steps = Box<dyn Iterator<Item = Result<Bytes, VaultError>> + Send>;

/// The body of an answer.
pub enum Body {
    /// None.
    Empty,
    /// All of it.
    Full(Bytes),
    /// In steps, from one snapshot.
    Stream(Steps),
}

/// An answer. It must not be sent before its receipt is durable.
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, without Date; with Content-Length only where the body does not tell it: that of
    /// a HEAD, and of a stream whose length is known.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Body,
    /// Durable when everything that this answer tells of is: for writes their own commit, for
    /// reads every commit whose effect they may have seen.
    pub receipt: Receipt,
    /// The precondition or reason of a refusal, for the log.
    pub refusal: Option<&'static str>,
}
