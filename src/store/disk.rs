//! The room on the disk: how much is free, and whether that is enough to go on writing.
//!
//! There are two marks. Below the first the administrator is told; below the second no write is
//! planned any more, while there is still room for what frees some (deletions, administration) and
//! for what the server itself has to write down (the audit trail, sled's own files). Both are
//! bounded by the size of the disk, so that a small one is not full from the start. Writing begins
//! again by itself, a little above the mark at which it stopped, so that it does not flutter.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::error::StoreError;
use crate::limits::{DISK_STOP_BYTES, DISK_STOP_SHARE, DISK_WARN_BYTES, DISK_WARN_SHARE};

/// What a disk says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free: u64,
    /// Bytes of the whole disk.
    pub total: u64,
}

/// Asks a disk; tests put one of their own in its place.
pub type Probe = Arc<dyn Fn(&Path) -> io::Result<Space> + Send + Sync>;

/// Bytes free below which something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskMarks {
    /// Below it the administrator is warned.
    pub warn: u64,
    /// Below it writes are refused.
    pub stop: u64,
}

impl Default for DiskMarks {
    fn default() -> Self {
        DiskMarks {
            warn: DISK_WARN_BYTES,
            stop: DISK_STOP_BYTES,
        }
    }
}

impl DiskMarks {
    /// The same for a disk of this size.
    fn within(self, total: u64) -> DiskMarks {
        DiskMarks {
            warn: self.warn.min(total / DISK_WARN_SHARE),
            stop: self.stop.min(total / DISK_STOP_SHARE),
        }
    }
}

/// How much room there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Enough.
    Ample,
    /// Less than the first mark: somebody should look after it.
    Low,
    /// Less than the second: writes are refused.
    Stopped,
}

/// What is known of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskState {
    /// As last asked.
    pub space: Space,
    /// The marks that hold for it.
    pub marks: DiskMarks,
    /// How much that is.
    pub room: Room,
}

/// The disk under a store.
pub(super) struct Disk {
    probe: Probe,
    marks: DiskMarks,
    free: AtomicU64,
    total: AtomicU64,
    stopped: AtomicBool,
}

/// What the system says of the disk under a directory.
pub(super) fn system() -> Probe {
    Arc::new(|dir: &Path| {
        let disk = rustix::fs::statvfs(dir)?;
        Ok(Space {
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            total: disk.f_blocks.saturating_mul(disk.f_frsize),
        })
    })
}

impl Disk {
    pub fn new(probe: Probe, marks: DiskMarks) -> Disk {
        Disk {
            probe,
            marks,
            free: AtomicU64::new(0),
            total: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// Asks the disk: a system call that waits for nothing on a disk of this machine.
    pub fn ask(&self, dir: &Path) -> Result<DiskState, StoreError> {
        let space = (self.probe)(dir).map_err(StoreError::io("ask for free space"))?;
        self.free.store(space.free, Ordering::Relaxed);
        self.total.store(space.total, Ordering::Relaxed);
        let stop = self.marks.within(space.total).stop;
        // Without the eighth, one deletion and one write would make it change forth and back.
        let enough = match self.stopped.load(Ordering::Relaxed) {
            true => space.free >= stop + stop / 8,
            false => space.free >= stop,
        };
        self.stopped.store(!enough, Ordering::Relaxed);
        Ok(self.last())
    }

    /// What it said when it was last asked.
    pub fn last(&self) -> DiskState {
        let space = Space {
            free: self.free.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
        };
        let marks = self.marks.within(space.total);
        let room = if self.stopped.load(Ordering::Relaxed) {
            Room::Stopped
        } else if space.free < marks.warn {
            Room::Low
        } else {
            Room::Ample
        };
        DiskState { space, marks, room }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// What is said of a disk of `total` MiB that has so many free, one after the other.
    fn said(total: u64, free: &[u64]) -> Vec<Room> {
        let now = Arc::new(AtomicU64::new(0));
        let asked = Arc::clone(&now);
        let probe: Probe = Arc::new(move |_: &Path| {
            let free = asked.load(Ordering::Relaxed) * MIB;
            let total = total * MIB;
            Ok(Space { free, total })
        });
        let disk = Disk::new(probe, DiskMarks::default());
        let ask = |free: &u64| {
            now.store(*free, Ordering::Relaxed);
            let state = disk.ask(Path::new("/")).unwrap();
            assert_eq!(disk.last(), state);
            state.room
        };
        free.iter().map(ask).collect()
    }

    #[test]
    fn writing_stops_before_the_end_and_begins_again_by_itself() {
        use Room::{Ample, Low, Stopped};
        let free = [9_000, 1_023, 256, 255, 256, 287, 288, 255, 1_024];
        let rooms = [
            Ample, Low, Low, Stopped, Stopped, Stopped, Low, Stopped, Ample,
        ];
        assert_eq!(said(100_000, &free), rooms);
        // A small disk is not full from the start: a fifth and a tenth of it.
        assert_eq!(said(200, &[150, 39, 20, 19]), [Ample, Low, Low, Stopped]);
    }
}
