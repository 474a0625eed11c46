//! What whoever looks after the server is told: figures, troubles of devices, room on the disk; and
//! the forgetting of old tombstones.

use super::Accounts;
use super::figures::Figures;
use super::troubles::{Trouble, Who};
use crate::ambient::UnixMillis;
use crate::ids::{AccountId, SlotId};
use crate::limits;
use crate::store::{DiskState, Room};

impl Accounts {
    /// What is counted.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Notes that a request of a device was refused; `reason` is the word of the log.
    pub fn refused(&self, account: AccountId, device: SlotId, status: u16, reason: &'static str) {
        let now = self.vault.ambient().now();
        let who = Who::Device(device);
        self.troubles.note(account, who, (status, reason), now);
    }

    /// What was refused to which device within the last hour, the most frequent first.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.troubles.recent(self.vault.ambient().now())
    }

    /// Looks at the disk, and says in the log when there came to be less room or more.
    pub fn watch_disk(&self) {
        let state = match self.vault.store().watch_disk() {
            Ok(state) => state,
            Err(error) => return tracing::error!(%error, "the free space is not known"),
        };
        let before = std::mem::replace(&mut *self.room.lock(), state.room);
        if before != state.room {
            say_room(&state);
        }
    }

    /// Drops old tombstones of the accounts that are open, a bounded number of them.
    pub(super) fn forget_tombstones(&self) {
        let days = i64::from(self.settings.sync_days);
        let end = UnixMillis(self.vault.ambient().now().0 - days * 24 * 60 * 60 * 1000);
        for _ in 0..limits::FORGET_STEPS {
            match self.vault.forget_tombstones(end) {
                Ok(dropped) if dropped >= limits::FORGET_TOMBSTONES => {}
                Ok(_) => return,
                Err(error) => {
                    return tracing::error!(?error, "old tombstones cannot be dropped");
                }
            }
        }
    }
}

fn say_room(state: &DiskState) {
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let (free_mb, stop_mb) = (mib(state.space.free), mib(state.marks.stop));
    match state.room {
        Room::Ample => tracing::info!(free_mb, "the disk has room again"),
        Room::Low => tracing::warn!(
            free_mb,
            stop_mb,
            "the disk is getting full: below stop_mb only deletions are taken"
        ),
        Room::Stopped => tracing::error!(
            free_mb,
            stop_mb,
            "the disk is nearly full: writes are refused until there is room; reading and deleting go on"
        ),
    }
}
