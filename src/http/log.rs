//! What is logged of requests: one line for each that was refused, with the class of its route
//! and never a name, a query, a header, a body or an unknown method in it.

use std::fmt;
use std::net::IpAddr;

use ::http::{HeaderValue, Method, StatusCode};
use tracing_subscriber::EnvFilter;

use crate::ambient::Ambient;
use crate::config::{Log, LogFormat, LogLevel};
use crate::dav;
use crate::ids::SlotId;

/// Names one request in the log and, as X-Request-Id, in its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestId(u64);

impl RequestId {
    pub fn random(ambient: &Ambient) -> RequestId {
        RequestId(u64::from_be_bytes(ambient.bytes()))
    }

    pub fn header(self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).expect("hexadecimal digits may stand in a header")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// What the log tells of an answer.
pub(super) struct Line<'a> {
    pub id: RequestId,
    pub method: &'a Method,
    pub route: &'static str,
    pub status: StatusCode,
    pub reason: Option<&'static str>,
    pub device: Option<SlotId>,
    pub peer: IpAddr,
}

/// Logs an answer: failures of the server as errors, refusals as information (those within a 207
/// too, by their reason), successes for debugging only.
pub(super) fn answered(line: &Line<'_>) {
    let (id, status, peer) = (line.id, line.status.as_u16(), line.peer);
    // Any other is a text of the client's.
    let method = dav::method::find(line.method).map_or("other", |row| row.name);
    let (route, precondition) = (line.route, line.reason.unwrap_or("-"));
    let device = line
        .device
        .map_or_else(|| "-".to_owned(), |device| device.to_string());
    // 507 on a report is a client's page limit (RFC 6578 section 3.6), not a failure.
    if line.status.is_server_error() && line.status != StatusCode::INSUFFICIENT_STORAGE {
        tracing::error!(%id, method, route, status, precondition, device, %peer, "failed");
    } else if line.status.is_client_error()
        || line.status.is_server_error()
        || line.reason.is_some()
    {
        tracing::info!(%id, method, route, status, precondition, device, %peer, "refused");
    } else {
        tracing::debug!(%id, method, route, status, device, %peer, "answered");
    }
}

/// Logs a request that hyper could not read and has refused by itself.
pub(super) fn unreadable(peer: IpAddr, error: &(dyn std::error::Error + 'static)) {
    let Some(error) = error.downcast_ref::<hyper::Error>() else {
        return;
    };
    if error.is_parse() {
        let status = match error.is_parse_too_large() {
            true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.as_u16(),
            false => StatusCode::BAD_REQUEST.as_u16(),
        };
        let (id, method, route, device) = ("-", "-", "-", "-");
        tracing::info!(id, method, route, status, precondition = "unreadable", device, %peer, "refused");
    }
}

/// The class of a path: which kind of resource it names, but not which one.
pub(super) fn route(path: &str) -> &'static str {
    let directory = path.ends_with('/');
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .take(6)
        .collect();
    match (segments.as_slice(), directory) {
        ([], _) => "/",
        (["*"], _) => "*",
        (["healthz"], _) => "/healthz",
        ([".well-known", "security.txt"], false) => "/.well-known/security.txt",
        ([".well-known", "caldav"], _) => "/.well-known/caldav",
        (["dav"], _) => "/dav/",
        (["dav", "principals"], _) => "/dav/principals/",
        (["dav", "principals", _], _) => "/dav/principals/{user}/",
        (["dav", "principals", ..], _) => "/dav/principals/{user}/...",
        (["dav", "calendars"], _) => "/dav/calendars/",
        (["dav", "calendars", _], _) => "/dav/calendars/{home}/",
        (["dav", "calendars", _, _], _) => "/dav/calendars/{home}/{collection}/",
        (["dav", "calendars", _, _, _], false) => "/dav/calendars/{home}/{collection}/{object}",
        (["dav", "calendars", ..], _) => "/dav/calendars/{home}/{collection}/...",
        _ => "other",
    }
}

/// Starts logging to standard error. Dependencies may only warn: at their finer levels some
/// print headers, and with them secrets.
pub fn start(settings: &Log) {
    let level = match settings.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let others = if settings.level == LogLevel::Error {
        "error"
    } else {
        "warn"
    };
    let filter = EnvFilter::new(format!("{others},sealdav={level}"));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    // A second start (in tests) keeps the first.
    let _ = match settings.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        // The message may hold content, so only the place is logged.
        let place = panic
            .location()
            .map_or_else(|| "nowhere".to_owned(), ToString::to_string);
        tracing::error!(place, "panic");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_name_no_names() {
        for (path, class) in [
            ("/", "/"),
            ("/dav/calendars/alice/", "/dav/calendars/{home}/"),
            (
                "/dav/calendars/alice/work/secret.ics",
                "/dav/calendars/{home}/{collection}/{object}",
            ),
            (
                "/dav/calendars/alice/work/secret/",
                "/dav/calendars/{home}/{collection}/...",
            ),
            ("/dav/principals/alice", "/dav/principals/{user}/"),
            ("/wp-admin/x", "other"),
        ] {
            assert_eq!(route(path), class);
        }
    }
}
