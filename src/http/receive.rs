//! Request bodies: received whole, within a size, a time and a share of the server's memory.

use std::sync::Arc;

use ::http::HeaderMap;
use ::http::header::{CONTENT_LENGTH, EXPECT};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::bounds::Bounds;
use super::refusal::{self, Refusal};
use super::shares::{Share, Shares};
use crate::ids::AccountId;
use crate::limits;

/// The memory for bodies, of requests or of answers: so much for all, and so much for each account.
pub(super) struct Memory {
    all: Arc<Semaphore>,
    accounts: Arc<Shares>,
}

impl Memory {
    /// So many bytes for all, and for one account.
    pub fn new(all: usize, account: usize) -> Memory {
        Memory {
            all: Arc::new(Semaphore::new(all)),
            accounts: Shares::new(account),
        }
    }

    /// So many bytes for an account.
    ///
    /// # Errors
    /// `BUSY` when it, or all together, hold too much already.
    pub fn hold(&self, account: AccountId, bytes: usize) -> Result<Held, Refusal> {
        let nothing = Arc::clone(&self.all).try_acquire_many_owned(0);
        let mut held = Held {
            permits: nothing.map_err(|_| refusal::BUSY)?,
            share: self.accounts.of(account),
        };
        held.grow(self, bytes)?;
        Ok(held)
    }
}

/// A whole body, and what it holds of the memory for bodies, which is given back when dropped.
pub(super) struct Received {
    pub bytes: Bytes,
    pub held: Held,
}

/// Memory that one body has.
pub(super) struct Held {
    permits: OwnedSemaphorePermit,
    share: Share,
}

impl Held {
    /// Takes what has arrived, and not what was only announced: a sender that stalls would hold
    /// it for nothing. Nor does anybody wait here, since two that did could wait for each other.
    fn grow(&mut self, memory: &Memory, bytes: usize) -> Result<(), Refusal> {
        let more = Arc::clone(&memory.all).try_acquire_many_owned(permits(bytes));
        self.permits.merge(more.map_err(|_| refusal::BUSY)?);
        match self.share.grow(bytes) {
            true => Ok(()),
            false => Err(refusal::BUSY),
        }
    }
}

/// Receives a body of at most `limit` bytes. A client that asked for 100 Continue is told to
/// send by the first read, so every refusal that needs no byte must come before this.
///
/// # Errors
/// Too large (before reading, when the length is declared), too slow, broken, or no memory left.
pub(super) async fn whole(
    mut body: Incoming,
    limit: usize,
    bounds: &Bounds,
    memory: &Memory,
    account: AccountId,
) -> Result<Received, Refusal> {
    let deadline = Instant::now() + bounds.body;
    let declared = body.size_hint().exact().map(usize::try_from).transpose();
    let declared = declared.map_err(|_| refusal::BODY_TOO_LARGE)?;
    if declared.is_some_and(|length| length > limit) {
        return Err(refusal::BODY_TOO_LARGE);
    }
    let mut held = memory.hold(account, 0)?;
    let mut bytes = Vec::new();
    loop {
        let frame = timeout_at(deadline, timeout(bounds.idle, body.frame())).await;
        let frame = match frame {
            Err(_) | Ok(Err(_)) => return Err(refusal::BODY_SLOW),
            Ok(Ok(None)) => break,
            Ok(Ok(Some(Err(_)))) => return Err(refusal::BODY_BROKEN),
            Ok(Ok(Some(Ok(frame)))) => frame,
        };
        // Trailers mean nothing here.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > limit {
            return Err(refusal::BODY_TOO_LARGE);
        }
        held.grow(memory, data.len())?;
        let grown = bytes.len() + data.len();
        if grown > bytes.capacity() && grown > limits::BODY_GROWTH_BYTES {
            // Not doubled: the old place and the new one are there at once, and both are overwritten.
            bytes.reserve_exact(declared.unwrap_or(limit) - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Received {
        bytes: bytes.into(),
        held,
    })
}

/// What is left of a request whose body nobody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nothing: the connection can take the next request.
    Nothing,
    /// More than is worth reading: the connection must end after the answer, or the rest would be
    /// taken for the next request (H23).
    Unread,
}

/// Reads and drops a short unwanted body, so that an early answer need not cost the connection.
pub(super) async fn discard(mut body: Incoming, headers: &HeaderMap, bounds: &Bounds) -> Rest {
    if body.is_end_stream() {
        return Rest::Nothing;
    }
    let short = body
        .size_hint()
        .exact()
        .is_some_and(|length| length <= limits::DISCARDED_BYTES as u64);
    // The first read would tell the client to send what is not wanted.
    if !short || headers.contains_key(EXPECT) || !headers.contains_key(CONTENT_LENGTH) {
        return Rest::Unread;
    }
    let all = async {
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return Rest::Unread;
            }
        }
        Rest::Nothing
    };
    timeout(bounds.idle.min(bounds.body), all)
        .await
        .unwrap_or(Rest::Unread)
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes)
        .expect("body limits are far below 4 GiB: Config::check and limits hold them")
}
