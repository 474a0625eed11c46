//! What can go wrong in the store, in sentences an administrator can act on.
//!
//! No variant carries row names or row bytes, so every one may be logged as it is.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// Another process, or another handle of this one, has this directory open.
    InUse {
        /// The store's directory.
        dir: PathBuf,
    },
    /// What is on the disk is not what the store wrote there.
    Damaged {
        /// What was noticed and what to do about it.
        advice: &'static str,
    },
    /// A write or a sync failed before: nothing is read or written until the store is reopened.
    Failed,
    /// More rows change than a copy of all rows can follow.
    Busy,
    /// The disk is full, or nearly so.
    Full,
    /// A file operation failed.
    Io {
        /// What the store was doing, as in "open the lock file".
        doing: &'static str,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The store was written by a later version of this program.
    NewerFormat {
        /// The format found.
        found: u32,
        /// The newest format this program knows.
        known: u32,
    },
}

impl StoreError {
    /// Turns a file error into one of the store's.
    pub(super) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> StoreError {
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
            kind => StoreError::Io { doing, kind },
        }
    }

    /// Turns an error of sled into one of the store's. `doing` is for the log.
    pub(super) fn sled(doing: &'static str, error: sled::Error) -> StoreError {
        tracing::error!(doing, %error, "the database reported an error");
        match error {
            sled::Error::Io(error) => StoreError::io(doing)(error),
            sled::Error::Unsupported(_) => StoreError::Damaged {
                advice: advice::SETTINGS,
            },
            sled::Error::CollectionNotFound(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::Corruption { .. } => StoreError::Damaged {
                advice: advice::ROWS,
            },
        }
    }
}

/// The sentences of `StoreError::Damaged`.
pub(super) mod advice {
    pub const OPEN: &str = "the database could not be opened; restore the last backup, and keep the damaged directory for whoever is to look at it";
    pub const ROWS: &str =
        "part of the database could not be read; check the disk, then restore the last backup";
    pub const COPY: &str = "a copy of the database differs from what was written to it; nothing was changed; check the disk";
    pub const SETTINGS: &str = "the database was created with other settings or by another program; restore the last backup";
    pub const BLOBS: &str = "the database has files in rows/blobs, which this program never writes and which survive no power cut; restore the last backup";
    pub const MARKER: &str = "the file 'format' is missing or unreadable; restore it together with the directory 'rows' from the last backup";
    pub const NO_ROWS: &str =
        "the directory 'rows' or its database is missing; restore the last backup";
    pub const LOST: &str = "the database holds less than was once safely written to it, so the disk lost data or an old copy was put in place; restore the last backup, or remove the file 'witness' to go on with what is left (every client will then sync anew)";
    pub const WITNESS: &str = "the file 'witness' is unreadable; check the disk, then restore the last backup, or remove that file to go on with what is left (every client will then sync anew)";
}

/// How std shows a kind of error that has no name.
const UNCATEGORIZED: &str = "uncategorized error";

impl fmt::Display for StoreError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::InUse { dir } => write!(
                out,
                "the store in {} is in use by another process; stop that one first",
                dir.display()
            ),
            StoreError::Damaged { advice } => write!(out, "the store is damaged: {advice}"),
            StoreError::Failed => write!(
                out,
                "the store is closed because a write to the disk failed; see the log for the cause, mend it, then reopen the store or restart the server"
            ),
            StoreError::Busy => write!(
                out,
                "rows change faster than they can be copied; try again when less is written"
            ),
            StoreError::Full => write!(
                out,
                "the disk of the store is full; free some space or enlarge it"
            ),
            // What std has no word for is mostly EIO, whose number sled does not pass on.
            StoreError::Io { doing, kind } if kind.to_string() == UNCATEGORIZED => write!(
                out,
                "the store could not {doing}: the disk reported an error; look into the system's log, and check the disk and its file system"
            ),
            StoreError::Io { doing, kind } => write!(out, "the store could not {doing}: {kind}"),
            StoreError::NewerFormat { found, known } => write!(
                out,
                "the store has format {found}, and this program knows formats up to {known}; install the newer version"
            ),
        }
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_disk_says_what_to_do() {
        let error = StoreError::io("sync a commit")(io::Error::from_raw_os_error(5));
        assert!(error.to_string().contains("check the disk"), "{error}");
        let error = StoreError::io("sync a commit")(io::ErrorKind::PermissionDenied.into());
        assert!(error.to_string().ends_with("permission denied"), "{error}");
    }
}
