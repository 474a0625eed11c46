//! Request headers as types: pure parsing, no I/O, no meaning beyond the header itself.
//!
//! A function that takes a [`HeaderMap`] gives `None` when the header is absent. What a
//! header's own RFC tells servers to ignore when it is not understood (Prefer, Range, Timeout,
//! dates) is ignored and cannot fail; what changes which resource is written or whether
//! (Depth, Destination, If, If-Match, Overwrite) is an error when it is not understood, since
//! guessing could destroy data.
//!
//! Entity tags, the If header and ranges are in submodules.

mod conditions;
mod etag;
mod range;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE};

use crate::limits;

pub use conditions::{IfCondition, IfHeader, IfKind, IfList, if_header};
pub use etag::{EntityTag, EtagList, if_match, if_none_match, if_schedule_tag_match};
pub use range::{IfRange, Ranges, if_range, ranges};

/// The header that could not be understood (400).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Content-Type (RFC 9110 section 8.3).
    ContentType,
    /// Depth (RFC 4918 section 10.2).
    Depth,
    /// Destination (RFC 4918 section 10.3).
    Destination,
    /// If (RFC 4918 section 10.4).
    If,
    /// If-Match (RFC 9110 section 13.1.1).
    IfMatch,
    /// If-None-Match (RFC 9110 section 13.1.2).
    IfNoneMatch,
    /// If-Schedule-Tag-Match (RFC 6638 section 8.3).
    IfScheduleTagMatch,
    /// Lock-Token (RFC 4918 section 10.5).
    LockToken,
    /// Overwrite (RFC 4918 section 10.6).
    Overwrite,
}

impl HeaderError {
    /// The header's name.
    pub fn header(self) -> &'static str {
        match self {
            HeaderError::ContentType => "Content-Type",
            HeaderError::Depth => "Depth",
            HeaderError::Destination => "Destination",
            HeaderError::If => "If",
            HeaderError::IfMatch => "If-Match",
            HeaderError::IfNoneMatch => "If-None-Match",
            HeaderError::IfScheduleTagMatch => "If-Schedule-Tag-Match",
            HeaderError::LockToken => "Lock-Token",
            HeaderError::Overwrite => "Overwrite",
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the {} header is not understood", self.header())
    }
}

impl std::error::Error for HeaderError {}

const BRIEF: HeaderName = HeaderName::from_static("brief");
const DEPTH: HeaderName = HeaderName::from_static("depth");
const DESTINATION: HeaderName = HeaderName::from_static("destination");
const LOCK_TOKEN: HeaderName = HeaderName::from_static("lock-token");
const OVERWRITE: HeaderName = HeaderName::from_static("overwrite");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const TIMEOUT: HeaderName = HeaderName::from_static("timeout");

/// A header that may be given once is there twice (a proxy and we might each take another
/// one), or is not UTF-8.
struct Unclear;

/// The value of a header that may be given once, trimmed.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Unclear);
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Unclear)?;
    Ok(Some(text.trim_matches([' ', '\t'])))
}

/// The same, for a header that must be understood.
fn single(
    headers: &HeaderMap,
    name: HeaderName,
    error: HeaderError,
) -> Result<Option<&str>, HeaderError> {
    only(headers, name).map_err(|Unclear| error)
}

/// All lines of a header that is a list, those that are not UTF-8 left out.
fn lines(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
}

/// Splits at `separator` outside of quoted strings; the parts are trimmed (RFC 9110 section 5.6).
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    let at_separator = move |character: char| {
        let hidden = std::mem::replace(&mut escaped, false);
        match character {
            _ if hidden => false,
            '\\' => {
                escaped = quoted;
                false
            }
            '"' => {
                quoted = !quoted;
                false
            }
            _ => character == separator && !quoted,
        }
    };
    text.split(at_separator)
        .map(|part| part.trim_matches([' ', '\t']))
}

/// `name=value` with the name in lower case; quotes around the value are removed.
fn parameter(text: &str) -> (String, &str) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let value = value.trim();
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    (name.trim().to_ascii_lowercase(), inner.unwrap_or(value))
}

/// How deep a request reaches (RFC 4918 section 10.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The resource alone.
    Zero,
    /// The resource and its members.
    One,
    /// The resource and everything below it.
    Infinity,
}

/// The Depth header. What its absence means depends on the method.
///
/// # Errors
/// [`HeaderError::Depth`] for any other value.
pub fn depth(headers: &HeaderMap) -> Result<Option<Depth>, HeaderError> {
    match single(headers, DEPTH, HeaderError::Depth)? {
        None => Ok(None),
        Some("0") => Ok(Some(Depth::Zero)),
        Some("1") => Ok(Some(Depth::One)),
        Some(text) if text.eq_ignore_ascii_case("infinity") => Ok(Some(Depth::Infinity)),
        Some(_) => Err(HeaderError::Depth),
    }
}

/// Whether COPY and MOVE may replace what is at the destination (RFC 4918 section 10.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// They may, which is the default.
    Allowed,
    /// They fail with 412.
    Forbidden,
}

/// The Overwrite header, or its default.
///
/// # Errors
/// [`HeaderError::Overwrite`] for a value other than T and F.
pub fn overwrite(headers: &HeaderMap) -> Result<Overwrite, HeaderError> {
    match single(headers, OVERWRITE, HeaderError::Overwrite)? {
        None | Some("T" | "t") => Ok(Overwrite::Allowed),
        Some("F" | "f") => Ok(Overwrite::Forbidden),
        Some(_) => Err(HeaderError::Overwrite),
    }
}

/// A Simple-ref (RFC 4918 section 8.3): an absolute URI, or an absolute path on this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Scheme (in lower case) and authority (as sent), when it is a URI: whether this is us
    /// is for the caller to find out.
    pub origin: Option<(String, String)>,
    /// The path as sent, not decoded; starts with '/'.
    pub path: String,
}

impl Reference {
    /// Reads a reference; `None` when it is relative, or has a fragment or a query (none of
    /// our resources has one). Dots and escapes in the path are left to the path's own parser.
    pub fn parse(text: &str) -> Option<Self> {
        let unsound = |c: char| c.is_control() || " #?\\\"<>".contains(c);
        if text.len() > limits::REQUEST_TARGET_BYTES || text.contains(unsound) {
            return None;
        }
        if text.starts_with('/') {
            // "//host/path" is a relative reference that names another host
            let path = (!text.starts_with("//")).then(|| text.to_owned())?;
            return Some(Reference { origin: None, path });
        }
        let (scheme, rest) = text.split_once("://")?;
        let scheme_character = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            || !scheme.chars().all(scheme_character)
        {
            return None;
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        if authority.is_empty() {
            return None;
        }
        Some(Reference {
            origin: Some((scheme.to_ascii_lowercase(), authority.to_owned())),
            path: path.to_owned(),
        })
    }
}

/// The Destination header.
///
/// # Errors
/// [`HeaderError::Destination`] when it is no [`Reference`].
pub fn destination(headers: &HeaderMap) -> Result<Option<Reference>, HeaderError> {
    let Some(text) = single(headers, DESTINATION, HeaderError::Destination)? else {
        return Ok(None);
    };
    let reference = Reference::parse(text).ok_or(HeaderError::Destination)?;
    Ok(Some(reference))
}

/// How long a lock is asked for (RFC 4918 section 10.7); what is granted is ours to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// So many seconds; more than 2^32-1 is cut to that.
    Seconds(u32),
    /// For ever.
    Infinite,
}

/// The first wish of the Timeout header that we know; there need not be one.
pub fn timeout(headers: &HeaderMap) -> Option<Timeout> {
    let mut wishes = lines(headers, TIMEOUT).flat_map(|line| line.split(','));
    wishes.find_map(|wish| {
        let wish = wish.trim().to_ascii_lowercase();
        if wish == "infinite" {
            return Some(Timeout::Infinite);
        }
        let seconds = digits(wish.strip_prefix("second-")?)?;
        Some(Timeout::Seconds(u32::try_from(seconds).unwrap_or(u32::MAX)))
    })
}

/// A number of decimal digits alone; one that is too large becomes the largest.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// The token in a Lock-Token header, without its angle brackets.
///
/// # Errors
/// [`HeaderError::LockToken`] when it is no Coded-URL (RFC 4918 section 10.1).
pub fn lock_token(headers: &HeaderMap) -> Result<Option<&str>, HeaderError> {
    let Some(text) = single(headers, LOCK_TOKEN, HeaderError::LockToken)? else {
        return Ok(None);
    };
    let token = text
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'));
    let sound = |token: &&str| !token.is_empty() && !token.contains(['<', '>', ' ', '\t']);
    token.filter(sound).map(Some).ok_or(HeaderError::LockToken)
}

/// How much of an answer the client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// As little as possible (RFC 8144 section 2.1 for multistatus answers).
    Minimal,
    /// The changed resource.
    Representation,
}

/// What a client would like (RFC 7240); nothing here must be honoured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    /// return=minimal or return=representation; `Brief: t` counts as minimal.
    pub wanted: Option<Return>,
    /// depth-noroot: the resource itself is left out of a listing (RFC 8144 section 3).
    pub depth_noroot: bool,
}

/// The Prefer headers; unknown preferences are ignored, and the first of two that contradict
/// each other holds (RFC 7240 section 2).
pub fn prefer(headers: &HeaderMap) -> Prefer {
    let mut prefer = Prefer::default();
    for line in lines(headers, PREFER) {
        for preference in split_unquoted(line, ',') {
            let bare = split_unquoted(preference, ';').next().unwrap_or("");
            let (name, value) = parameter(bare);
            match (name.as_str(), value) {
                ("return", "minimal") => _ = prefer.wanted.get_or_insert(Return::Minimal),
                ("return", "representation") => {
                    _ = prefer.wanted.get_or_insert(Return::Representation);
                }
                ("depth-noroot", _) => prefer.depth_noroot = true,
                _ => {}
            }
        }
    }
    let brief = |line: &str| line.trim().eq_ignore_ascii_case("t");
    if prefer.wanted.is_none() && lines(headers, BRIEF).any(brief) {
        prefer.wanted = Some(Return::Minimal);
    }
    prefer
}

/// The type of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    /// Type and subtype in lower case, such as `text/calendar`.
    pub media_type: String,
    /// The charset parameter in lower case.
    pub charset: Option<String>,
}

/// The Content-Type header.
///
/// # Errors
/// [`HeaderError::ContentType`] when it is no media type.
pub fn content_type(headers: &HeaderMap) -> Result<Option<ContentType>, HeaderError> {
    let Some(text) = single(headers, CONTENT_TYPE, HeaderError::ContentType)? else {
        return Ok(None);
    };
    let mut parts = split_unquoted(text, ';');
    let media_type = parts.next().unwrap_or("").to_ascii_lowercase();
    let sound = media_type.split_once('/').is_some_and(|(kind, subtype)| {
        !kind.is_empty() && !subtype.is_empty() && kind.bytes().chain(subtype.bytes()).all(is_token)
    });
    if !sound {
        return Err(HeaderError::ContentType);
    }
    let charset = parts
        .map(parameter)
        .find(|(name, _)| name == "charset")
        .map(|(_, value)| value.to_ascii_lowercase());
    Ok(Some(ContentType {
        media_type,
        charset,
    }))
}

/// RFC 9110 section 5.6.2, tchar.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The If-Modified-Since header in seconds since 1970; one that is no date is ignored
/// (RFC 9110 section 13.1.3).
pub fn if_modified_since(headers: &HeaderMap) -> Option<i64> {
    parse_date(lines(headers, IF_MODIFIED_SINCE).next()?)
}

/// The If-Unmodified-Since header in seconds since 1970; one that is no date is ignored
/// (RFC 9110 section 13.1.4).
pub fn if_unmodified_since(headers: &HeaderMap) -> Option<i64> {
    parse_date(lines(headers, IF_UNMODIFIED_SINCE).next()?)
}

/// Reads an HTTP-date of any of the three forms (RFC 9110 section 5.6.7) as seconds since
/// 1970; years before that are none.
pub fn parse_date(text: &str) -> Option<i64> {
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// Writes an HTTP-date; `seconds` since 1970, moved into the years from 1970 to 9999, outside
/// of which there is no such date.
pub fn format_date(seconds: i64) -> String {
    const LAST: i64 = 253_402_300_799; // 9999-12-31T23:59:59Z
    let seconds = u64::try_from(seconds.clamp(0, LAST)).unwrap_or(0);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}
