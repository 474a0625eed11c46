//! Range and If-Range (RFC 9110 sections 13.1.5 and 14).

use std::ops::Range;

use http::HeaderMap;
use http::header::{IF_RANGE, RANGE};

use super::etag::EntityTag;
use super::{digits, only, parse_date};
use crate::limits;

/// What of a representation to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// All of it (200): no Range header, or one that is to be ignored.
    Whole,
    /// These parts (206), as asked for and in that order: byte offsets, the end not included,
    /// none empty. Together they are never longer than the whole.
    Parts(Vec<Range<u64>>),
    /// None of the ranges lies within it (416).
    Unsatisfiable,
}

/// The Range header applied to a representation of `length` bytes.
///
/// Ignored, as RFC 9110 section 14.2 allows: another unit, a header that is not of the
/// grammar, more than `limits::RANGES` ranges, and ranges that together ask for more than
/// the whole (overlapping ranges have been used to make servers send far more than they hold).
pub fn ranges(headers: &HeaderMap, length: u64) -> Ranges {
    match only(headers, RANGE) {
        Ok(Some(text)) => parse(text, length).unwrap_or(Ranges::Whole),
        Ok(None) | Err(_) => Ranges::Whole,
    }
}

fn parse(text: &str, length: u64) -> Option<Ranges> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || length == 0 {
        return None;
    }
    let mut parts = Vec::new();
    let mut asked = 0;
    for spec in set
        .split(',')
        .map(str::trim)
        .filter(|spec| !spec.is_empty())
    {
        asked += 1;
        if asked > limits::RANGES {
            return None;
        }
        let part = resolve(spec, length)?;
        if !part.is_empty() {
            parts.push(part);
        }
    }
    let lengths = parts.iter().map(|part| u128::from(part.end - part.start));
    let total: u128 = lengths.sum();
    match (asked, parts.is_empty()) {
        (0, _) => None,
        (_, true) => Some(Ranges::Unsatisfiable),
        (_, false) if asked > 1 && total > u128::from(length) => None,
        (_, false) => Some(Ranges::Parts(parts)),
    }
}

/// One range within `length` bytes, empty when it lies outside; `None` when it is not of the
/// grammar.
fn resolve(spec: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", suffix) => Some(length.saturating_sub(digits(suffix)?)..length),
        (first, "") => Some(digits(first)?.min(length)..length),
        (first, last) => {
            let (first, last) = (digits(first)?, digits(last)?);
            let end = last.saturating_add(1).min(length);
            (first <= last).then(|| first.min(length)..end)
        }
    }
}

/// The condition under which a Range header counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfRange {
    /// The tag is still the current one.
    Etag(EntityTag),
    /// Nothing has changed since; seconds since 1970.
    Date(i64),
}

impl IfRange {
    /// Whether the Range header counts; else the whole is to be sent. Tags are compared
    /// strongly, dates must be the same (RFC 9110 section 13.1.5).
    pub fn holds(&self, current: &EntityTag, modified_seconds: i64) -> bool {
        match self {
            IfRange::Etag(tag) => tag.strong_match(current),
            IfRange::Date(seconds) => *seconds == modified_seconds,
        }
    }
}

/// The If-Range header. What is neither date nor tag is given as a tag that is no one's, so
/// that the whole is sent.
pub fn if_range(headers: &HeaderMap) -> Option<IfRange> {
    if !headers.contains_key(IF_RANGE) {
        return None;
    }
    let nobody = EntityTag {
        weak: true,
        opaque: String::new(),
    };
    let Ok(Some(text)) = only(headers, IF_RANGE) else {
        return Some(IfRange::Etag(nobody));
    };
    if let Some(seconds) = parse_date(text) {
        return Some(IfRange::Date(seconds));
    }
    Some(IfRange::Etag(EntityTag::parse(text).unwrap_or(nobody)))
}
