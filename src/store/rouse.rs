//! Rouses threads that sled forgot.
//!
//! Whoever flushes sled 0.34, or reads a page that is not on the disk yet, waits until another thread
//! has written. As published, one of the two places that write (`Log::exit_reservation`) notes an
//! error and tells nobody: the waiter would wait for ever, and with it every writer and reader of ours.
//! Our copy tells them (`IoBufs::write_sealed`); other errors are still only noted
//! (`Reservation::drop`). A flush that finds a noted error wakes them all, so one is made when there is
//! such an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::rows;
use crate::limits::STORE_ROUSE_MILLIS;

/// The thread that looks for such errors, a clone of the database with it.
pub(super) struct Rouser {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Rouser {
    pub(super) fn start(db: sled::Db) -> std::io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let told = ended.clone();
        let look = move || {
            while !told.load(Ordering::Acquire) {
                thread::park_timeout(Duration::from_millis(STORE_ROUSE_MILLIS));
                if rows::has_failed(&db) {
                    // It returns at once with that error, which those who waited are told too.
                    let _ = db.flush();
                }
            }
            rows::close(db);
        };
        let thread = thread::Builder::new()
            .name("store-rouse".to_owned())
            .spawn(look)?;
        Ok(Rouser {
            ended,
            thread: Some(thread),
        })
    }

    /// Ends it, so that the database can be closed. May be called again.
    pub(super) fn end(&mut self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}
