//! The limits of connections as one value, so that tests can have short ones.

use std::time::Duration;

use crate::limits;

/// What a connection and all of them together may take. Its default is `limits`.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// Connections of one address at once.
    pub connections_per_address: usize,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, and for the next one to begin.
    pub header: Duration,
    /// For a whole request body.
    pub body: Duration,
    /// Without progress in a body or an answer, or without any request.
    pub idle: Duration,
    /// For running requests at a shutdown.
    pub shutdown: Duration,
    /// Bytes of all request bodies held at once.
    pub body_bytes: usize,
    /// Bytes of request bodies that one account may have of them.
    pub account_body_bytes: usize,
    /// Bytes of all buffered answers that wait for their clients at once.
    pub answer_bytes: usize,
    /// Bytes of them that one account may have.
    pub account_answer_bytes: usize,
    /// Requests worked on at once.
    pub work: usize,
    /// Steps of streamed answers computed at once.
    pub steps: usize,
    /// Sign-ins that need an Argon2 run verified at once.
    pub sign_ins: usize,
    /// Such sign-ins that wait for their turn.
    pub sign_in_queue: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            connections: limits::CONNECTIONS,
            connections_per_address: limits::CONNECTIONS_PER_ADDRESS,
            handshake: Duration::from_secs(limits::TLS_HANDSHAKE_SECONDS),
            header: Duration::from_secs(limits::HEADER_SECONDS),
            body: Duration::from_secs(limits::BODY_SECONDS),
            idle: Duration::from_secs(limits::IDLE_SECONDS),
            shutdown: Duration::from_secs(limits::SHUTDOWN_SECONDS),
            body_bytes: limits::BODY_BYTES_IN_FLIGHT,
            account_body_bytes: limits::BODY_BYTES_PER_ACCOUNT,
            answer_bytes: limits::ANSWER_BYTES_IN_FLIGHT,
            account_answer_bytes: limits::ANSWER_BYTES_PER_ACCOUNT,
            work: limits::WORK_THREADS,
            steps: limits::STREAM_STEPS,
            sign_ins: limits::SIGN_INS,
            sign_in_queue: limits::SIGN_IN_QUEUE,
        }
    }
}
