//! What writes a multistatus, one DAV:response after the other, and the steps that its answer is
//! sent in.

use bytes::Bytes;

use crate::limits;
use crate::vault::{AccountStore, VaultError};
use crate::xml::{Writer, dav};

/// Whether a source has more to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Call it again.
    More,
    /// That was all.
    Done,
}

/// Writes the next part, about one DAV:response.
pub(super) type Write = Box<dyn FnMut(&mut Writer) -> Result<Progress, VaultError> + Send>;

/// What writes a multistatus.
pub struct Source {
    account: AccountStore,
    pub(super) write: Write,
    /// Bytes that it will write, roughly.
    expected: usize,
}

impl Source {
    /// Of an account, written by `write`.
    pub fn new(
        account: AccountStore,
        write: impl FnMut(&mut Writer) -> Result<Progress, VaultError> + Send + 'static,
    ) -> Source {
        let write = Box::new(write);
        Source {
            account,
            write,
            expected: 0,
        }
    }

    /// For which there is room for so many responses and bytes of data at once, as far as they go
    /// into one step: a buffer that grows is copied, and overwritten behind, each time it doubles.
    pub fn expecting(mut self, responses: usize, data: u64) -> Source {
        let responses = responses.saturating_mul(limits::RESPONSE_BYTES);
        let data = usize::try_from(data).unwrap_or(usize::MAX);
        self.expected = responses.saturating_add(data).saturating_add(data / 8);
        self
    }
}

pub(super) struct Stream {
    source: Source,
    writer: Option<Writer>,
    /// Bytes with which the step at hand is over.
    until: usize,
}

impl Stream {
    /// A document of what the source writes.
    pub(super) fn new(source: Source) -> Stream {
        let mut writer = Writer::document();
        let until = match source.expected <= limits::WHOLE_STEP_BYTES {
            true => limits::WHOLE_STEP_BYTES,
            false => limits::STREAM_STEP_BYTES,
        };
        writer.reserve(source.expected.min(until * 9 / 8));
        writer.start(dav("multistatus"));
        Stream {
            source,
            writer: Some(writer),
            until,
        }
    }

    /// Whether all of it was given.
    pub(super) fn is_over(&self) -> bool {
        self.writer.is_none()
    }

    /// A step whose head is sent already, so that no receipt is waited for behind it.
    pub(super) fn late(&mut self) -> Option<Result<Bytes, VaultError>> {
        let step = self.next()?;
        let durable = self.source.account.barrier().wait();
        Some(step.and_then(|step| durable.map(|()| step).map_err(VaultError::Store)))
    }
}

impl Iterator for Stream {
    type Item = Result<Bytes, VaultError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut writer = self.writer.take()?;
        while writer.len() < self.until {
            match (self.source.write)(&mut writer) {
                Ok(Progress::More) => {}
                Ok(Progress::Done) => return Some(Ok(Bytes::from(writer.finish()))),
                Err(error) => return Some(Err(error)),
            }
        }
        self.until = limits::LISTING_STEP_BYTES;
        let step = Bytes::from(writer.take(self.until));
        self.writer = Some(writer);
        Some(Ok(step))
    }
}
