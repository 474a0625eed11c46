//! Targets: what a URL names, parsed once and strictly, and hrefs written back.
//!
//! ```text
//! /                             Root
//! /.well-known/caldav           WellKnown
//! /dav/                         DavRoot
//! /dav/principals/              Principals
//! /dav/principals/NAME/         Principal
//! /dav/calendars/               Calendars
//! /dav/calendars/NAME/...       Tree: the calendar home and everything below
//! ```
//!
//! Percent-encoding is decoded exactly once. Raw non-ASCII characters are taken as they are,
//! since Apple's clients send them (CLIENTS.md). Nothing is looked up here: a name that no
//! account has parses like one that an account has.

use crate::ids::{Segment, UserName};
use crate::limits;

/// Path of the tree's root.
pub const DAV_ROOT: &str = "/dav/";
/// Path of the collection of principals.
pub const PRINCIPALS: &str = "/dav/principals/";
/// Path of the collection of calendar homes.
pub const CALENDARS: &str = "/dav/calendars/";
/// The well-known path (RFC 6764 section 5).
pub const WELL_KNOWN: &str = "/.well-known/caldav";

/// What a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `/`
    Root,
    /// `/.well-known/caldav` (RFC 6764 section 5).
    WellKnown,
    /// `/dav/`
    DavRoot,
    /// `/dav/principals/`
    Principals,
    /// `/dav/principals/NAME/`
    Principal(UserName),
    /// `/dav/calendars/`
    Calendars,
    /// `/dav/calendars/NAME/` and below.
    Tree(TreePath),
    /// A well-formed path that names nothing here and never will.
    Unknown,
}

/// A path in somebody's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreePath {
    /// Whose.
    pub user: UserName,
    /// The path below the home; empty for the home itself.
    pub path: Vec<Segment>,
    /// Whether it ended with '/', as a collection's does. Leaving it out is accepted.
    pub trailing_slash: bool,
}

/// Why a text is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetError {
    /// Not a path, or with bytes that no path of ours can have (HARDENING H1).
    Malformed,
    /// An absolute URI of another authority.
    Foreign,
}

/// The authorities that mean this server: those the request was sent to, and the configured one.
#[derive(Debug, Clone, Default)]
pub struct Authorities {
    own: Vec<String>,
}

impl Authorities {
    /// Of a request's authorities and the configured public URL.
    pub fn new(request: &[String], public_url: Option<&str>) -> Self {
        let public = public_url
            .and_then(|url| split_uri(url))
            .map(|(authority, _)| authority);
        let own = request
            .iter()
            .map(String::as_str)
            .chain(public)
            .map(normal_authority)
            .collect();
        Authorities { own }
    }

    fn contains(&self, authority: &str) -> bool {
        self.own.contains(&normal_authority(authority))
    }
}

/// Host in lower case, without user information and without a default port: a proxy that ends
/// TLS makes scheme and port differ between what the client and what the server sees.
fn normal_authority(authority: &str) -> String {
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = host
        .strip_suffix(":443")
        .or_else(|| host.strip_suffix(":80"))
        .unwrap_or(host);
    host.to_ascii_lowercase()
}

/// Authority and path of an absolute URI with an authority.
fn split_uri(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once("://")?;
    let good = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    if scheme.is_empty() || !scheme.chars().all(good) {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    Some((authority, if path.starts_with('/') { path } else { "/" }))
}

impl Target {
    /// Reads a request target: an absolute path with or without a query, which is dropped.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn parse(raw: &str) -> Result<Target, TargetError> {
        let path = raw.split(['?', '#']).next().unwrap_or(raw);
        let Some(rest) = path.strip_prefix('/') else {
            return Err(TargetError::Malformed);
        };
        if raw.len() > limits::REQUEST_TARGET_BYTES {
            return Err(TargetError::Malformed);
        }
        let (rest, trailing_slash) = match rest.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        if rest.is_empty() {
            return if trailing_slash {
                Err(TargetError::Malformed)
            } else {
                Ok(Target::Root)
            };
        }
        let segments = rest.split('/').map(decode).collect::<Result<Vec<_>, _>>()?;
        Ok(Target::of(segments, trailing_slash))
    }

    fn of(mut segments: Vec<Segment>, trailing_slash: bool) -> Target {
        let names: Vec<&str> = segments.iter().map(Segment::as_str).collect();
        match names.as_slice() {
            [".well-known", "caldav"] => Target::WellKnown,
            ["dav"] => Target::DavRoot,
            ["dav", "principals"] => Target::Principals,
            ["dav", "calendars"] => Target::Calendars,
            ["dav", "principals", name] => {
                UserName::parse(name).map_or(Target::Unknown, Target::Principal)
            }
            ["dav", "calendars", name, ..] => match UserName::parse(name) {
                Ok(user) => {
                    let path = segments.split_off(3);
                    Target::Tree(TreePath {
                        user,
                        path,
                        trailing_slash,
                    })
                }
                Err(_) => Target::Unknown,
            },
            _ => Target::Unknown,
        }
    }

    /// Reads an href of a body, or a Destination: an absolute path, or an absolute URI of one
    /// of our own authorities, whatever its scheme (RFC 4918 section 8.3).
    ///
    /// # Errors
    /// `Malformed`; `Foreign` for another authority.
    pub fn parse_href(href: &str, authorities: &Authorities) -> Result<Target, TargetError> {
        let href = href.trim();
        if href.starts_with('/') && !href.starts_with("//") {
            return Target::parse(href);
        }
        let (authority, path) = match href.strip_prefix("//") {
            // a network-path reference
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => split_uri(href).ok_or(TargetError::Malformed)?,
        };
        if !authorities.contains(authority) {
            return Err(TargetError::Foreign);
        }
        Target::parse(if path.is_empty() { "/" } else { path })
    }

    /// Whose it is; none for what belongs to everybody.
    pub fn user(&self) -> Option<&UserName> {
        match self {
            Target::Principal(user) => Some(user),
            Target::Tree(tree) => Some(&tree.user),
            _ => None,
        }
    }
}

/// Decodes one segment, once.
fn decode(raw: &str) -> Result<Segment, TargetError> {
    if !raw.as_bytes().contains(&b'%') {
        return Segment::parse(raw).map_err(|_| TargetError::Malformed);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = tail else {
            return Err(TargetError::Malformed);
        };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return Err(TargetError::Malformed);
        };
        bytes.push(u8::try_from(high << 4 | low).expect("two hexadecimal digits make a byte"));
        rest = tail;
    }
    // refuses overlong forms and surrogates too
    let text = String::from_utf8(bytes).map_err(|_| TargetError::Malformed)?;
    if is_encoded_twice(&text) {
        return Err(TargetError::Malformed);
    }
    Segment::parse(&text).map_err(|_| TargetError::Malformed)
}

/// Whether a decoded segment would turn into a separator, a dot or NUL if some program behind
/// or before us decoded it again.
fn is_encoded_twice(text: &str) -> bool {
    if !text.contains('%') {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    ["%2f", "%5c", "%2e", "%00"]
        .iter()
        .any(|twice| lower.contains(twice))
}

/// What ends an href: a collection's ends with '/', always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HrefForm {
    /// With '/'.
    Collection,
    /// Without.
    Object,
}

/// The href of what is at `path` below a user's home.
pub fn href(user: &UserName, path: &[Segment], form: HrefForm) -> String {
    let mut out = String::from(CALENDARS);
    out.push_str(user.as_str());
    out.push('/');
    let mut first = true;
    for segment in path {
        if !std::mem::take(&mut first) {
            out.push('/');
        }
        encode_segment(segment, &mut out);
    }
    if form == HrefForm::Collection && !path.is_empty() {
        out.push('/');
    }
    out
}

/// The href of a user's principal.
pub fn principal_href(user: &UserName) -> String {
    format!("{PRINCIPALS}{user}/")
}

/// Which bytes stand in a segment as they are; a table, since a listing asks for each byte of it.
const STANDS: [bool; 256] = {
    const MARKS: &[u8] = b"-._~@:!$()*,;=";
    let mut stands = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        stands[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < MARKS.len() {
        stands[MARKS[at] as usize] = true;
        at += 1;
    }
    stands
};

/// Appends a segment percent-encoded: everything but unreserved characters and those that
/// may stand in a segment and that clients leave alone (RFC 3986 section 3.3).
pub fn encode_segment(segment: &Segment, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let text = segment.as_str();
    if text.bytes().all(|byte| STANDS[usize::from(byte)]) {
        return out.push_str(text);
    }
    for byte in text.bytes() {
        if STANDS[usize::from(byte)] {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(user: &str, path: &[&str], trailing_slash: bool) -> Target {
        let user = UserName::parse(user).unwrap();
        let path = path
            .iter()
            .map(|name| Segment::parse(name).unwrap())
            .collect();
        Target::Tree(TreePath {
            user,
            path,
            trailing_slash,
        })
    }

    #[test]
    fn fixed_places() {
        let alice = UserName::parse("alice").unwrap();
        for (raw, expected) in [
            ("/", Target::Root),
            ("/?x=1", Target::Root),
            ("/dav", Target::DavRoot),
            ("/dav/", Target::DavRoot),
            ("/.well-known/caldav", Target::WellKnown),
            ("/.well-known/caldav/", Target::WellKnown),
            ("/dav/principals/", Target::Principals),
            ("/dav/principals/alice", Target::Principal(alice.clone())),
            ("/dav/calendars", Target::Calendars),
            ("/principals/", Target::Unknown),
            ("/dav/principals/Alice/", Target::Unknown),
            ("/dav/principals/alice/x", Target::Unknown),
            ("/dav/calendars/al*ce/x", Target::Unknown),
        ] {
            assert_eq!(Target::parse(raw), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn trees() {
        for (raw, expected) in [
            ("/dav/calendars/alice", tree("alice", &[], false)),
            ("/dav/calendars/alice/work/", tree("alice", &["work"], true)),
            (
                "/dav/calendars/alice/work/a%20b.ics?x",
                tree("alice", &["work", "a b.ics"], false),
            ),
            (
                "/dav/calendars/alice/w:o@rk/ü.ics",
                tree("alice", &["w:o@rk", "ü.ics"], false),
            ),
            (
                "/dav/calendars/alice/100%25/%C3%BC",
                tree("alice", &["100%", "ü"], false),
            ),
        ] {
            assert_eq!(Target::parse(raw), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn h1_path_traversal() {
        for raw in [
            "",
            "dav/",
            "*",
            "//",
            "/dav//calendars/",
            "/dav/calendars/alice/..",
            "/dav/calendars/alice/./x",
            "/dav/calendars/alice/%2e%2e/bob/",
            "/dav/calendars/alice/%2e%2e%2fbob/",
            "/dav/calendars/alice/..%5cbob",
            "/dav/calendars/alice/x%00.ics",
            "/dav/calendars/alice/x%252fy",
            "/dav/calendars/alice/%252e%252e",
            "/dav/calendars/alice/%c0%af",
            "/dav/calendars/alice/%ed%a0%80",
            "/dav/calendars/alice/%ff",
            "/dav/calendars/alice/%",
            "/dav/calendars/alice/%4",
            "/dav/calendars/alice/%+1",
            "/dav/calendars/alice/a%0d%0ab",
        ] {
            assert_eq!(Target::parse(raw), Err(TargetError::Malformed), "{raw}");
        }
        let long = format!("/dav/{}", "a/".repeat(limits::REQUEST_TARGET_BYTES));
        assert_eq!(Target::parse(&long), Err(TargetError::Malformed));
    }

    #[test]
    fn hrefs_of_bodies() {
        let own = Authorities::new(
            &[
                "10.0.0.1:8080".to_owned(),
                "Cal.example.org:8443".to_owned(),
            ],
            Some("https://public.example.org/"),
        );
        let work = Ok(tree("alice", &["work"], true));
        for href in [
            "/dav/calendars/alice/work/",
            "  /dav/calendars/alice/work/\n",
            "http://cal.example.org:8443/dav/calendars/alice/work/",
            "HTTPS://PUBLIC.example.org:443/dav/calendars/alice/work/",
            "https://alice@public.example.org/dav/calendars/alice/work/",
            "//public.example.org/dav/calendars/alice/work/",
        ] {
            assert_eq!(Target::parse_href(href, &own), work, "{href}");
        }
        for href in [
            "https://other.example.org/dav/",
            "http://cal.example.org/dav/",
            "//other/dav/",
            "https:///dav/",
        ] {
            assert_eq!(
                Target::parse_href(href, &own),
                Err(TargetError::Foreign),
                "{href}"
            );
        }
        for href in ["", "work/", "mailto:alice@example.org", "://x/"] {
            assert_eq!(
                Target::parse_href(href, &own),
                Err(TargetError::Malformed),
                "{href}"
            );
        }
    }

    #[test]
    fn written_hrefs_read_back() {
        let user = UserName::parse("alice").unwrap();
        let names = ["a b", "ü&<>\"'.ics", "100%", "a+b;c=d", "#?"];
        let path: Vec<Segment> = names
            .iter()
            .map(|name| Segment::parse(name).unwrap())
            .collect();
        for (form, slash) in [(HrefForm::Collection, true), (HrefForm::Object, false)] {
            let written = href(&user, &path, form);
            assert_eq!(
                Target::parse(&written),
                Ok(tree("alice", &names, slash)),
                "{written}"
            );
        }
        assert_eq!(
            href(&user, &[], HrefForm::Collection),
            "/dav/calendars/alice/"
        );
    }
}
