//! Answers that the http floor gives by itself, each a row: what the client is told, and the
//! word that the log uses.

use ::http::StatusCode;

use crate::account::SignInError;

/// One reason to refuse a request before, or instead of, the floors below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    /// For the log.
    pub reason: &'static str,
    /// For the client, as plain text.
    pub text: &'static str,
    /// Seconds for a Retry-After header.
    pub retry_after: Option<u64>,
}

const fn row(status: StatusCode, reason: &'static str, text: &'static str) -> Refusal {
    Refusal {
        status,
        reason,
        text,
        retry_after: None,
    }
}

const fn later(status: StatusCode, reason: &'static str, text: &'static str) -> Refusal {
    Refusal {
        status,
        reason,
        text,
        retry_after: Some(10),
    }
}

pub(super) const UNPROTECTED: Refusal = row(
    StatusCode::FORBIDDEN,
    "unprotected",
    "This server answers plain HTTP only on its own machine and to its reverse proxy. Use https.\n",
);
pub(super) const TARGET_TOO_LONG: Refusal = row(
    StatusCode::URI_TOO_LONG,
    "target-too-long",
    "The address is too long.\n",
);
pub(super) const HEADERS_TOO_MANY: Refusal = row(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers-too-many",
    "The request has too many headers.\n",
);
pub(super) const HOST: Refusal = row(
    StatusCode::BAD_REQUEST,
    "host",
    "The request must have exactly one Host header.\n",
);
pub(super) const CODED: Refusal = row(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "content-coding",
    "Send the body without compression.\n",
);
pub(super) const CROSS_SITE: Refusal = row(
    StatusCode::FORBIDDEN,
    "cross-site",
    "Pages of other sites may not change anything here.\n",
);
pub(super) const SIGN_IN: Refusal = row(
    StatusCode::UNAUTHORIZED,
    "sign-in",
    "Sign in with your user name and an app password.\n",
);
pub(super) const NETWORK: Refusal = row(
    StatusCode::FORBIDDEN,
    "network",
    "Nobody may sign in from this network.\n",
);
pub(super) const BODY_TOO_LARGE: Refusal = row(
    StatusCode::PAYLOAD_TOO_LARGE,
    "body-too-large",
    "The body is larger than this server takes.\n",
);
pub(super) const BODY_SLOW: Refusal = row(
    StatusCode::REQUEST_TIMEOUT,
    "body-slow",
    "The body did not arrive in time.\n",
);
pub(super) const BODY_BROKEN: Refusal = row(
    StatusCode::BAD_REQUEST,
    "body-broken",
    "The body did not arrive whole.\n",
);
pub(super) const BUSY: Refusal = later(
    StatusCode::SERVICE_UNAVAILABLE,
    "busy",
    "The server is busy. Try again.\n",
);
pub(super) const UNAVAILABLE: Refusal = later(
    StatusCode::SERVICE_UNAVAILABLE,
    "unavailable",
    "The server cannot answer now. Try again.\n",
);
pub(super) const NOT_DURABLE: Refusal = later(
    StatusCode::SERVICE_UNAVAILABLE,
    "not-durable",
    "The change could not be stored safely. Try again.\n",
);
pub(super) const DISK_FULL: Refusal = later(
    StatusCode::INSUFFICIENT_STORAGE,
    "disk-full",
    "The server's disk is full.\n",
);
pub(super) const PANIC: Refusal = row(
    StatusCode::INTERNAL_SERVER_ERROR,
    "panic",
    "The server failed at this request.\n",
);

/// Why nobody was signed in.
pub(super) const fn of_sign_in(error: SignInError) -> Refusal {
    match error {
        SignInError::Wrong => SIGN_IN,
        SignInError::Unavailable => UNAVAILABLE,
        SignInError::Throttled {
            retry_after_seconds,
        } => Refusal {
            status: StatusCode::TOO_MANY_REQUESTS,
            reason: "throttled",
            text: "Too many failed sign-ins. Wait, then check the password.\n",
            retry_after: Some(retry_after_seconds),
        },
    }
}
