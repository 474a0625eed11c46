//! The If header (RFC 4918 section 10.4): lists of conditions, and the tokens they submit.

use http::HeaderMap;
use http::header::HeaderName;

use super::etag::EntityTag;
use super::{HeaderError, single};
use crate::limits;

const IF: HeaderName = HeaderName::from_static("if");

/// An If header: true when one of its lists is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfHeader {
    /// The lists in the order they were sent; at least one.
    pub lists: Vec<IfList>,
}

/// Conditions that must all hold for one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfList {
    /// The resource tag as sent, without its angle brackets (see `Reference::parse`); `None`
    /// means the resource of the request.
    pub resource: Option<String>,
    /// At least one.
    pub conditions: Vec<IfCondition>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfCondition {
    /// Whether `Not` stands before it.
    pub negated: bool,
    /// What the resource is compared with.
    pub kind: IfKind,
}

/// What the state of a resource is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfKind {
    /// A state token, such as a lock token, without its angle brackets.
    StateToken(String),
    /// An entity tag.
    Etag(EntityTag),
}

impl IfHeader {
    /// Reads a header's value.
    ///
    /// # Errors
    /// [`HeaderError::If`] when it is too long, not of the grammar, or mixes lists with and
    /// without a resource tag.
    pub fn parse(text: &str) -> Result<Self, HeaderError> {
        if text.len() > limits::IF_HEADER_BYTES {
            return Err(HeaderError::If);
        }
        let lists = lists(text.trim_start_matches(WHITE)).ok_or(HeaderError::If)?;
        Ok(IfHeader { lists })
    }

    /// Whether the header holds (RFC 4918 section 10.4.3). `matches` says whether the resource
    /// with that tag has that state; for an unmapped URL it says no.
    pub fn holds(&self, mut matches: impl FnMut(Option<&str>, &IfKind) -> bool) -> bool {
        self.lists.iter().any(|list| {
            let resource = list.resource.as_deref();
            let mut conditions = list.conditions.iter();
            conditions.all(|condition| matches(resource, &condition.kind) != condition.negated)
        })
    }

    /// All state tokens that the header submits. A token is submitted wherever it stands,
    /// also after `Not` and in a list that does not hold (RFC 4918 section 10.4.1).
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        let conditions = self.lists.iter().flat_map(|list| &list.conditions);
        conditions.filter_map(|condition| match &condition.kind {
            IfKind::StateToken(token) => Some(token.as_str()),
            IfKind::Etag(_) => None,
        })
    }
}

/// The If header of a request.
///
/// # Errors
/// As [`IfHeader::parse`], and when there are two.
pub fn if_header(headers: &HeaderMap) -> Result<Option<IfHeader>, HeaderError> {
    match single(headers, IF, HeaderError::If)? {
        Some(text) => IfHeader::parse(text).map(Some),
        None => Ok(None),
    }
}

const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];

fn lists(mut text: &str) -> Option<Vec<IfList>> {
    let mut lists: Vec<IfList> = Vec::new();
    let mut resource: Option<String> = None;
    // whether the tag just read still lacks its first list
    let mut bare_tag = false;
    while let Some(first) = text.chars().next() {
        let rest = match first {
            '<' => {
                let mixed = lists.last().is_some_and(|list| list.resource.is_none());
                if bare_tag || mixed {
                    return None;
                }
                let (tag, rest) = bracketed(text)?;
                resource = Some(tag.to_owned());
                bare_tag = true;
                rest
            }
            '(' => {
                let (conditions, rest) = conditions(&text[1..])?;
                let resource = resource.clone();
                lists.push(IfList {
                    resource,
                    conditions,
                });
                bare_tag = false;
                rest
            }
            _ => return None,
        };
        text = rest.trim_start_matches(WHITE);
    }
    (!bare_tag && !lists.is_empty()).then_some(lists)
}

/// Conditions up to and with the closing parenthesis.
fn conditions(mut text: &str) -> Option<(Vec<IfCondition>, &str)> {
    let mut conditions = Vec::new();
    loop {
        text = text.trim_start_matches(WHITE);
        if let Some(rest) = text.strip_prefix(')') {
            return (!conditions.is_empty()).then_some((conditions, rest));
        }
        let negation = text.split_at_checked(3);
        let negated = negation.is_some_and(|(word, _)| word.eq_ignore_ascii_case("not"));
        if negated {
            text = text[3..].trim_start_matches(WHITE);
        }
        let (kind, rest) = if text.starts_with('<') {
            let (token, rest) = bracketed(text)?;
            (IfKind::StateToken(token.to_owned()), rest)
        } else {
            let inner = text.strip_prefix('[')?.trim_start_matches(WHITE);
            let (tag, rest) = EntityTag::read(inner)?;
            let rest = rest.trim_start_matches(WHITE).strip_prefix(']')?;
            (IfKind::Etag(tag), rest)
        };
        conditions.push(IfCondition { negated, kind });
        text = rest;
    }
}

/// What stands in angle brackets at the start, and what follows.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let (inner, rest) = text.strip_prefix('<')?.split_once('>')?;
    let sound = !inner.is_empty() && !inner.contains(|c: char| c == '<' || c.is_whitespace());
    sound.then_some((inner, rest))
}
