//! Bodies of PROPFIND that came before. A client asks the same few questions again and again, and so
//! do all of its kind, so they are read once. What is kept of one is the names of its elements, and
//! a hash of its bytes: nothing in it belongs to an account.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::limits;
use crate::xml::{Element, Node};

/// The questions that were read, each under the hash of its bytes.
#[derive(Default)]
pub(super) struct Polls {
    known: RwLock<HashMap<[u8; 32], Arc<Element>>>,
}

impl Polls {
    /// What a body says: known, or as `read` finds.
    ///
    /// # Errors
    /// Those of `read`; what is refused is not remembered.
    pub fn read<E>(
        &self,
        body: &[u8],
        read: impl FnOnce() -> Result<Option<Arc<Element>>, E>,
    ) -> Result<Option<Arc<Element>>, E> {
        if body.len() > limits::POLL_BYTES {
            return read();
        }
        let hash = *blake3::hash(body).as_bytes();
        if let Some(known) = self.known.read().get(&hash) {
            return Ok(Some(known.clone()));
        }
        let question = read()?;
        if let Some(element) = &question
            && weight(element).is_some_and(|bytes| bytes <= limits::POLL_TREE_BYTES)
        {
            let mut known = self.known.write();
            // What is asked often comes back at once.
            let full = known.len() >= limits::POLLS;
            let former = full.then(|| std::mem::take(&mut *known));
            known.insert(hash, Arc::clone(element));
            drop(known);
            drop(former);
        }
        Ok(question)
    }
}

/// Bytes that a question takes; none when there is more in it than names.
fn weight(element: &Element) -> Option<usize> {
    if !element.attributes.is_empty() || element.lang.is_some() {
        return None;
    }
    let own = element.name.ns.len() + element.name.local.len();
    let mut bytes = size_of::<Node>() + own;
    for child in &element.children {
        bytes += match child {
            Node::Element(child) => weight(child)?,
            Node::Text(text) if text.bytes().all(|byte| byte.is_ascii_whitespace()) => {
                size_of::<Node>() + text.len()
            }
            Node::Text(_) => return None,
        };
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{XmlError, XmlLimits, parse};

    /// How often a body is read when it comes twice.
    fn reads(polls: &Polls, body: &str) -> usize {
        let mut reads = 0;
        for _ in 0..2 {
            let said = polls.read(body.as_bytes(), || {
                reads += 1;
                parse(body.as_bytes(), &XmlLimits::default()).map(|read| Some(Arc::new(read)))
            });
            let read = parse(body.as_bytes(), &XmlLimits::default());
            assert_eq!(
                said.map(|said| said.map(|said| (*said).clone())),
                read.map(Some)
            );
        }
        reads
    }

    #[test]
    fn a_question_is_read_once() {
        let polls = Polls::default();
        let apple = "<propfind xmlns=\"DAV:\">\n <prop>\n  <sync-token/></prop></propfind>";
        assert_eq!(reads(&polls, apple), 1);
        assert_eq!(reads(&polls, "<propfind>"), 2, "refused");
        assert_eq!(reads(&polls, "<a>text</a>"), 2);
        assert_eq!(reads(&polls, "<a b=\"text\"/>"), 2);
        let long = format!("<a>{}</a>", " ".repeat(limits::POLL_BYTES));
        assert_eq!(reads(&polls, &long), 2);
        // Each of them has the namespace for itself.
        let namespace = "n".repeat(limits::POLL_BYTES / 2);
        let heavy = format!("<a xmlns=\"{namespace}\">{}</a>", "<a/>".repeat(400));
        assert!(heavy.len() <= limits::POLL_BYTES);
        assert_eq!(reads(&polls, &heavy), 2);
        assert_eq!(polls.known.read().len(), 1);
    }

    #[test]
    fn so_many_are_remembered() {
        let polls = Polls::default();
        for number in 0..limits::POLLS {
            assert_eq!(reads(&polls, &format!("<a{number}/>")), 1);
        }
        assert_eq!(polls.known.read().len(), limits::POLLS);
        let none = || -> Result<_, XmlError> { panic!("it was read before") };
        assert!(polls.read(b"<a0/>", none).unwrap().is_some());
        assert_eq!(reads(&polls, "<more/>"), 1);
        assert_eq!(polls.known.read().len(), 1);
    }
}
