//! Bodies of PROPFIND that came before. A client asks the same few questions again and again, and so
//! do all of its kind, so they are read once. Nothing in a question belongs to an account: it is
//! names of properties.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::limits;
use crate::xml::Element;

/// The questions that were read, each under its bytes.
#[derive(Default)]
pub(super) struct Polls {
    known: RwLock<HashMap<Box<[u8]>, Arc<Element>>>,
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
        if let Some(known) = self.known.read().get(body) {
            return Ok(Some(known.clone()));
        }
        let element = read()?;
        if let Some(element) = element
            .as_ref()
            .filter(|_| body.len() <= limits::POLL_BYTES)
        {
            let mut known = self.known.write();
            if known.len() >= limits::POLLS {
                // What is asked often comes back at once.
                known.clear();
            }
            known.insert(body.into(), element.clone());
        }
        Ok(element)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{XmlLimits, parse};

    #[test]
    fn a_question_is_read_once_and_as_often_as_it_is_refused() {
        let polls = Polls::default();
        let question = |number: usize| format!("<a>{number}</a>");
        let mut reads = 0;
        let mut ask = |body: &str| {
            polls.read(body.as_bytes(), || {
                reads += 1;
                parse(body.as_bytes(), &XmlLimits::default()).map(|read| Some(Arc::new(read)))
            })
        };
        for _ in 0..3 {
            for number in 0..limits::POLLS {
                let said = ask(&question(number)).unwrap().unwrap();
                assert_eq!(said.text(), number.to_string());
            }
        }
        let long = format!("<a>{}</a>", " ".repeat(limits::POLL_BYTES));
        for refused in [ask("<a>"), ask("<a>")] {
            assert!(refused.is_err());
        }
        for _ in 0..2 {
            ask(&long).unwrap();
        }
        assert_eq!(reads, limits::POLLS + 4);
        assert_eq!(polls.known.read().len(), limits::POLLS);
        let more = "<more/>";
        let read =
            || parse(more.as_bytes(), &XmlLimits::default()).map(|read| Some(Arc::new(read)));
        polls.read(more.as_bytes(), read).unwrap();
        assert_eq!(polls.known.read().len(), 1);
    }
}
