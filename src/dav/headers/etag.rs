//! Entity tags and the headers that are lists of them.

use std::fmt;

use http::HeaderMap;
use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};

use super::{HeaderError, single};

/// An entity tag (RFC 9110 section 8.8.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityTag {
    /// Whether it is marked as weak.
    pub weak: bool,
    /// What stands between the quotes.
    pub opaque: String,
}

impl EntityTag {
    /// A strong tag; `opaque` must be free of quotes and control characters.
    pub fn strong(opaque: impl Into<String>) -> Self {
        let opaque = opaque.into();
        EntityTag {
            weak: false,
            opaque,
        }
    }

    /// The same, and neither weak (RFC 9110 section 8.8.3.2).
    pub fn strong_match(&self, other: &EntityTag) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// The same, weak or not (RFC 9110 section 8.8.3.2).
    pub fn weak_match(&self, other: &EntityTag) -> bool {
        self.opaque == other.opaque
    }

    /// Reads a tag at the start of `text` and gives it with what follows it.
    ///
    /// Besides the grammar, it takes what clients really send: quotes written as `\"`
    /// (Evolution), alone or inside another pair of quotes, and no quotes at all. Spaces
    /// within quotes are taken, as RFC 4918 section 10.4.6 uses them.
    pub(super) fn read(text: &str) -> Option<(Self, &str)> {
        let (weak, text) = match text.strip_prefix("W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (opaque, rest) = if let Some(inner) = text.strip_prefix("\"\\\"") {
            // "\"abc\""
            let (opaque, rest) = inner.split_once("\\\"")?;
            (opaque, rest.strip_prefix('"')?)
        } else if let Some(inner) = text.strip_prefix("\\\"") {
            inner.split_once("\\\"")?
        } else if let Some(inner) = text.strip_prefix('"') {
            inner.split_once('"')?
        } else {
            let end = text.find([',', ' ', '\t', ']', '"']).unwrap_or(text.len());
            let (opaque, rest) = text.split_at(end);
            (!opaque.is_empty()).then_some((opaque, rest))?
        };
        if opaque.chars().any(|c| c.is_control() || c == '"') {
            return None;
        }
        let opaque = opaque.to_owned();
        Some((EntityTag { weak, opaque }, rest))
    }

    /// Reads a text that is one tag and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let (tag, rest) = Self::read(text.trim())?;
        rest.is_empty().then_some(tag)
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.weak { "W/" } else { "" };
        write!(formatter, "{mark}\"{}\"", self.opaque)
    }
}

/// The value of If-Match or If-None-Match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EtagList {
    /// `*`: whatever is there.
    Any,
    /// One of these.
    List(Vec<EntityTag>),
}

impl EtagList {
    /// Whether the current tag (`None`: there is no such resource) is meant, by strong
    /// comparison. If-Match holds when it is (RFC 9110 section 13.1.1).
    pub fn strong_match(&self, current: Option<&EntityTag>) -> bool {
        self.matches(current, EntityTag::strong_match)
    }

    /// The same by weak comparison. If-None-Match holds when it is not (RFC 9110 section 13.1.2).
    pub fn weak_match(&self, current: Option<&EntityTag>) -> bool {
        self.matches(current, EntityTag::weak_match)
    }

    fn matches(
        &self,
        current: Option<&EntityTag>,
        same: fn(&EntityTag, &EntityTag) -> bool,
    ) -> bool {
        match (self, current) {
            (_, None) => false,
            (EtagList::Any, Some(_)) => true,
            (EtagList::List(tags), Some(current)) => tags.iter().any(|tag| same(tag, current)),
        }
    }

    /// Appends the tags of one header line.
    fn read(mut text: &str, tags: &mut Vec<EntityTag>) -> Option<()> {
        loop {
            // a list may have empty elements (RFC 9110 section 5.6.1.2)
            text = text.trim_start_matches([' ', '\t', ',']);
            if text.is_empty() {
                return Some(());
            }
            let (tag, rest) = EntityTag::read(text)?;
            tags.push(tag);
            text = rest.trim_start_matches([' ', '\t']);
            if !text.is_empty() && !text.starts_with(',') {
                return None;
            }
        }
    }
}

fn list(
    headers: &HeaderMap,
    name: HeaderName,
    error: HeaderError,
) -> Result<Option<EtagList>, HeaderError> {
    if !headers.contains_key(&name) {
        return Ok(None);
    }
    if let Ok(Some("*")) = single(headers, name.clone(), error) {
        return Ok(Some(EtagList::Any));
    }
    let mut tags = Vec::new();
    for value in headers.get_all(name) {
        let line = std::str::from_utf8(value.as_bytes()).map_err(|_| error)?;
        EtagList::read(line, &mut tags).ok_or(error)?;
    }
    // `*` in quotes or beside tags may have meant Any; an empty list would let every
    // If-None-Match pass
    if tags.is_empty() || tags.iter().any(|tag| tag.opaque == "*") {
        return Err(error);
    }
    Ok(Some(EtagList::List(tags)))
}

/// The If-Match header.
///
/// # Errors
/// [`HeaderError::IfMatch`] when it is neither `*` nor a list of tags.
pub fn if_match(headers: &HeaderMap) -> Result<Option<EtagList>, HeaderError> {
    list(headers, IF_MATCH, HeaderError::IfMatch)
}

/// The If-None-Match header.
///
/// # Errors
/// [`HeaderError::IfNoneMatch`] when it is neither `*` nor a list of tags.
pub fn if_none_match(headers: &HeaderMap) -> Result<Option<EtagList>, HeaderError> {
    list(headers, IF_NONE_MATCH, HeaderError::IfNoneMatch)
}

/// The tag in an If-Schedule-Tag-Match header (RFC 6638 section 8.3).
///
/// # Errors
/// [`HeaderError::IfScheduleTagMatch`] when it is not one tag.
pub fn if_schedule_tag_match(headers: &HeaderMap) -> Result<Option<EntityTag>, HeaderError> {
    const NAME: HeaderName = HeaderName::from_static("if-schedule-tag-match");
    let error = HeaderError::IfScheduleTagMatch;
    let Some(text) = single(headers, NAME, error)? else {
        return Ok(None);
    };
    EntityTag::parse(text).map(Some).ok_or(error)
}
