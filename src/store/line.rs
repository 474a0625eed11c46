//! The line that commits stand in, and the receipts that say when they are on the disk.
//!
//! Writers put batches at the end, one commit thread takes them from the front in groups. Every
//! batch has a ticket, counted from 1; tickets become durable in their order, so "up to which
//! ticket" is all there is to know, and one atomic number tells it.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};

use super::batch::Batch;
use super::error::StoreError;
use crate::limits::{COMMIT_BATCH_BYTES, COMMIT_QUEUE, COMMIT_QUEUE_BYTES};

/// A ticket that is never reached: the receipt of a commit that the store did not accept.
const NEVER: u64 = u64::MAX;

/// The commits of one opening of the database.
pub(super) struct Line {
    waiting: Mutex<Waiting>,
    more: Condvar,
    room: Condvar,
    /// Every ticket up to this one is on the disk.
    durable: AtomicU64,
    failure: OnceLock<StoreError>,
    /// Held while `durable` or `failure` changes, so that no waiter misses it.
    parked: Mutex<Parked>,
    released: Condvar,
}

/// Tasks that wait for a ticket, each under a number of its own.
#[derive(Default)]
struct Parked {
    wakers: BTreeMap<(u64, u64), Waker>,
    next: u64,
}

struct Waiting {
    batches: VecDeque<Batch>,
    /// Bytes of them.
    bytes: usize,
    /// The last ticket given out.
    last: u64,
    open: bool,
}

impl Waiting {
    /// A batch of any size is let in when there is room for the least.
    fn is_full(&self) -> bool {
        self.batches.len() >= COMMIT_QUEUE || self.bytes >= COMMIT_QUEUE_BYTES
    }
}

/// What one sync will make durable.
pub(super) struct Group {
    pub(super) batches: Vec<Batch>,
    /// The ticket of the last of them.
    pub(super) last: u64,
}

impl Line {
    pub(super) fn new() -> Arc<Line> {
        Arc::new(Line {
            waiting: Mutex::new(Waiting {
                batches: VecDeque::new(),
                bytes: 0,
                last: 0,
                open: true,
            }),
            more: Condvar::new(),
            room: Condvar::new(),
            durable: AtomicU64::new(0),
            failure: OnceLock::new(),
            parked: Mutex::default(),
            released: Condvar::new(),
        })
    }

    /// Puts a batch at the end of the line; waits while the line is full.
    pub(super) fn join(self: &Arc<Self>, batch: Batch) -> Receipt {
        let mut waiting = self.waiting.lock();
        while waiting.is_full() && waiting.open {
            self.room.wait(&mut waiting);
        }
        if !waiting.open {
            return Receipt {
                state: State::Pending {
                    line: self.clone(),
                    ticket: NEVER,
                },
            };
        }
        waiting.last += 1;
        waiting.bytes += batch.bytes();
        waiting.batches.push_back(batch);
        let ticket = waiting.last;
        let wake = waiting.batches.len() == 1;
        drop(waiting);
        if wake {
            self.more.notify_one();
        }
        Receipt {
            state: State::Pending {
                line: self.clone(),
                ticket,
            },
        }
    }

    /// Whether those who are about to put small batches there will not wait: half of it is free.
    pub(super) fn has_room(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.batches.len() < COMMIT_QUEUE / 2 && waiting.bytes < COMMIT_QUEUE_BYTES / 2
    }

    /// A receipt for everything that stands in the line now.
    pub(super) fn last(self: &Arc<Self>) -> Receipt {
        let ticket = self.waiting.lock().last;
        Receipt {
            state: State::Pending {
                line: self.clone(),
                ticket,
            },
        }
    }

    /// The next group, in order: all that stands in the line, as far as one sync may hold it. Nobody is
    /// waited for: while one group is written, the next gathers. `None` when the line is closed and
    /// empty.
    pub(super) fn take(&self) -> Option<Group> {
        let mut waiting = self.waiting.lock();
        while waiting.batches.is_empty() {
            if !waiting.open {
                return None;
            }
            self.more.wait(&mut waiting);
        }
        let mut bytes = 0;
        let mut batches = Vec::with_capacity(waiting.batches.len());
        while let Some(batch) = waiting.batches.front() {
            if !batches.is_empty() && bytes + batch.bytes() > COMMIT_BATCH_BYTES {
                break;
            }
            bytes += batch.bytes();
            batches.extend(waiting.batches.pop_front());
        }
        waiting.bytes -= bytes;
        let last = waiting.last - waiting.batches.len() as u64;
        drop(waiting);
        self.room.notify_all();
        Some(Group { batches, last })
    }

    /// Says that every ticket up to `last` is on the disk.
    pub(super) fn release(&self, last: u64) {
        let mut parked = self.parked.lock();
        self.durable.store(last, Ordering::Release);
        let waiting = parked.wakers.split_off(&(last + 1, 0));
        let ready = std::mem::replace(&mut parked.wakers, waiting);
        drop(parked);
        self.released.notify_all();
        ready.into_values().for_each(Waker::wake);
    }

    /// Says that nothing after the released tickets will become durable.
    pub(super) fn fail(&self, cause: StoreError) {
        let mut waiting = self.waiting.lock();
        waiting.open = false;
        waiting.batches.clear();
        waiting.bytes = 0;
        drop(waiting);
        let mut parked = self.parked.lock();
        // The first cause is the one to tell; later ones follow from it.
        self.failure.get_or_init(|| cause);
        let ready = std::mem::take(&mut parked.wakers);
        drop(parked);
        self.released.notify_all();
        ready.into_values().for_each(Waker::wake);
        self.room.notify_all();
        self.more.notify_all();
    }

    /// Lets nobody join any more; what stands in the line is still written.
    pub(super) fn close(&self) {
        self.waiting.lock().open = false;
        self.more.notify_all();
        self.room.notify_all();
    }

    /// What ended this line, if anything did.
    pub(super) fn failure(&self) -> Option<&StoreError> {
        self.failure.get()
    }

    /// What a waiting writer is told about the cause of a failure.
    fn refusal(&self) -> StoreError {
        match self.failure.get() {
            Some(StoreError::Full) => StoreError::Full,
            _ => StoreError::Failed,
        }
    }
}

/// The promise that a commit will be on the disk, and the means to wait for it.
#[derive(Clone)]
pub struct Receipt {
    state: State,
}

#[derive(Clone)]
enum State {
    Done,
    Pending { line: Arc<Line>, ticket: u64 },
}

impl Receipt {
    /// The receipt of nothing: durable from the start.
    pub fn done() -> Self {
        Receipt { state: State::Done }
    }

    /// Whether the commit, and every one before it, is on the disk. Costs one atomic load.
    pub fn is_durable(&self) -> bool {
        match &self.state {
            State::Done => true,
            State::Pending { line, ticket } => line.durable.load(Ordering::Acquire) >= *ticket,
        }
    }

    /// Waits until the commit, and every one before it, is on the disk.
    ///
    /// # Errors
    /// `Full` or `Failed` when that will not happen. The commit may then be there or not after
    /// the store is reopened; until then nobody can see it.
    pub fn wait(&self) -> Result<(), StoreError> {
        if self.is_durable() {
            return Ok(());
        }
        let State::Pending { line, .. } = &self.state else {
            return Ok(());
        };
        let mut parked = line.parked.lock();
        while !self.is_durable() {
            if line.failure().is_some() {
                return Err(line.refusal());
            }
            line.released.wait(&mut parked);
        }
        Ok(())
    }
}

impl IntoFuture for Receipt {
    type Output = Result<(), StoreError>;
    type IntoFuture = Durable;

    /// As `wait`, for a task: it holds no thread meanwhile.
    fn into_future(self) -> Durable {
        Durable {
            receipt: self,
            parked: None,
        }
    }
}

/// The future of a receipt.
pub struct Durable {
    receipt: Receipt,
    /// The number under which its waker is parked.
    parked: Option<u64>,
}

impl Future for Durable {
    type Output = Result<(), StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let State::Pending { line, ticket } = self.receipt.state.clone() else {
            return Poll::Ready(Ok(()));
        };
        if self.receipt.is_durable() {
            return Poll::Ready(Ok(()));
        }
        let mut parked = line.parked.lock();
        if self.receipt.is_durable() {
            return Poll::Ready(Ok(()));
        }
        if line.failure().is_some() {
            return Poll::Ready(Err(line.refusal()));
        }
        let number = self.parked.unwrap_or(parked.next);
        if self.parked.replace(number).is_none() {
            parked.next += 1;
        }
        parked
            .wakers
            .insert((ticket, number), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if let (State::Pending { line, ticket }, Some(number)) = (&self.receipt.state, self.parked)
        {
            line.parked.lock().wakers.remove(&(*ticket, number));
        }
    }
}
