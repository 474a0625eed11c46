//! What is logged of requests: one line for each that was refused, with the class of its route
//! and never a name, a query, a header, a body or an unknown method in it.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use ::http::{HeaderValue, Method, StatusCode};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Writer, format};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::ambient::Ambient;
use crate::config::{Log, LogFormat, LogLevel};
use crate::dav;
use crate::ids::SlotId;

/// Names one request in the log and, as X-Request-Id, in its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestId(u64);

/// Names requests: a count, which nobody else is to see, under a key of this process. To ask the
/// system for random bytes each time takes longer.
pub(super) struct RequestIds {
    key: [u8; 32],
    next: AtomicU64,
}

impl RequestIds {
    pub fn new(ambient: &Ambient) -> RequestIds {
        RequestIds {
            key: ambient.bytes(),
            next: AtomicU64::new(0),
        }
    }

    pub fn next(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let hash = *blake3::keyed_hash(&self.key, &number.to_le_bytes()).as_bytes();
        let short = hash[..8].try_into().expect("8 of 32 bytes");
        RequestId(u64::from_be_bytes(short))
    }
}

impl RequestId {
    pub fn header(self) -> HeaderValue {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |place: u32| DIGITS[(self.0 >> (60 - 4 * place)) as usize & 15];
        let digits: [u8; 16] = std::array::from_fn(|place| digit(place as u32));
        HeaderValue::from_bytes(&digits).expect("hexadecimal digits may stand in a header")
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
    let device = Device(line.device);
    // 507 on a report is a client's page limit (RFC 6578 section 3.6), not a failure.
    if line.status.is_server_error() && line.status != StatusCode::INSUFFICIENT_STORAGE {
        tracing::error!(%id, method, route, status, precondition, %device, %peer, "failed");
    } else if line.status.is_client_error()
        || line.status.is_server_error()
        || line.reason.is_some()
    {
        tracing::info!(%id, method, route, status, precondition, %device, %peer, "refused");
    } else {
        tracing::debug!(%id, method, route, status, %device, %peer, "answered");
    }
}

/// Written only when a line is.
struct Device(Option<SlotId>);

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(device) => device.fmt(formatter),
            None => formatter.write_str("-"),
        }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Root,
    Server,
    Health,
    WellKnown,
    SecurityTxt,
    Dav,
    Principals,
    Principal,
    BelowPrincipal,
    Homes,
    Home,
    Collection,
    Object,
    BelowCollection,
    Other,
}

impl Route {
    pub const ALL: [Route; 15] = [
        Route::Root,
        Route::Server,
        Route::Health,
        Route::WellKnown,
        Route::SecurityTxt,
        Route::Dav,
        Route::Principals,
        Route::Principal,
        Route::BelowPrincipal,
        Route::Homes,
        Route::Home,
        Route::Collection,
        Route::Object,
        Route::BelowCollection,
        Route::Other,
    ];

    pub fn of(path: &str) -> Route {
        let directory = path.ends_with('/');
        let mut segments = [""; 6];
        let found = path.split('/').filter(|segment| !segment.is_empty());
        let mut count = 0;
        for (place, segment) in segments.iter_mut().zip(found) {
            *place = segment;
            count += 1;
        }
        match (&segments[..count], directory) {
            ([], _) => Route::Root,
            (["*"], _) => Route::Server,
            (["healthz"], _) => Route::Health,
            ([".well-known", "caldav"], _) => Route::WellKnown,
            ([".well-known", "security.txt"], false) => Route::SecurityTxt,
            (["dav"], _) => Route::Dav,
            (["dav", "principals"], _) => Route::Principals,
            (["dav", "principals", _], _) => Route::Principal,
            (["dav", "principals", ..], _) => Route::BelowPrincipal,
            (["dav", "calendars"], _) => Route::Homes,
            (["dav", "calendars", _], _) => Route::Home,
            (["dav", "calendars", _, _], _) => Route::Collection,
            (["dav", "calendars", _, _, _], false) => Route::Object,
            (["dav", "calendars", ..], _) => Route::BelowCollection,
            _ => Route::Other,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Route::Root => "/",
            Route::Server => "*",
            Route::Health => "/healthz",
            Route::WellKnown => "/.well-known/caldav",
            Route::SecurityTxt => "/.well-known/security.txt",
            Route::Dav => "/dav/",
            Route::Principals => "/dav/principals/",
            Route::Principal => "/dav/principals/{user}/",
            Route::BelowPrincipal => "/dav/principals/{user}/...",
            Route::Homes => "/dav/calendars/",
            Route::Home => "/dav/calendars/{home}/",
            Route::Collection => "/dav/calendars/{home}/{collection}/",
            Route::Object => "/dav/calendars/{home}/{collection}/{object}",
            Route::BelowCollection => "/dav/calendars/{home}/{collection}/...",
            Route::Other => "other",
        }
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
    // systemd names the journal in it (systemd.exec(5)), which writes down the time by itself.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal);
    // A second start (in tests) keeps the first.
    let _ = match settings.format {
        LogFormat::Text if journal && !terminal => {
            let lines = builder.with_target(false).event_format(JournalLine);
            lines.try_init()
        }
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

/// A line as the journal likes it: its severity as `<N>` in front (sd-daemon(3)), no time of its own.
struct JournalLine;

impl<S, N> FormatEvent<S, N> for JournalLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let severity = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        write!(writer, "<{severity}>")?;
        format()
            .without_time()
            .with_level(false)
            .with_target(false)
            .with_ansi(false)
            .format_event(context, writer, event)
    }
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
            assert_eq!(Route::of(path).name(), class);
        }
        let id = RequestId(0x0123_4567_89ab_cdef);
        assert_eq!(id.header(), id.to_string());
        let places = Route::ALL.map(|route| route as usize);
        assert!(places.iter().copied().eq(0..Route::ALL.len()));
    }
}
