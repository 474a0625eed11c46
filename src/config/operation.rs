//! Settings for whoever looks after the server: what it remembers, the room on its disk, figures.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use super::path_or_empty;
use crate::limits;

const MIB: u64 = 1024 * 1024;

/// What is remembered for clients that sync.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// Days for which it is remembered that something was deleted.
    pub keep_days: u32,
}

/// For how long what was deleted or overwritten can be restored. Zero days or versions: not at all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trash {
    /// Days.
    pub days: u32,
    /// Past versions of one object.
    pub versions: u32,
    /// Past versions of all objects of an account; the oldest go when there are more.
    pub items: u64,
    /// MiB of them and of deleted calendars, the same.
    pub megabytes: u64,
}

/// The room on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disk {
    /// MiB free below which there is a warning.
    pub warn_free_mb: u64,
    /// MiB free below which writes are refused.
    pub stop_free_mb: u64,
}

/// Figures for monitoring.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Where they are told; none for nowhere.
    #[serde(deserialize_with = "address_or_empty")]
    pub listen: Option<SocketAddr>,
    /// The file with the token that their readers bring.
    #[serde(deserialize_with = "path_or_empty")]
    pub token_file: Option<PathBuf>,
}

impl Default for Sync {
    fn default() -> Self {
        Sync {
            keep_days: limits::TOMBSTONE_DAYS,
        }
    }
}

impl Default for Trash {
    fn default() -> Self {
        Trash {
            days: limits::TRASH_DAYS,
            versions: limits::TRASH_VERSIONS,
            items: limits::TRASH_ITEMS,
            megabytes: limits::TRASH_MIB,
        }
    }
}

impl Default for Disk {
    fn default() -> Self {
        Disk {
            warn_free_mb: limits::DISK_WARN_BYTES / MIB,
            stop_free_mb: limits::DISK_STOP_BYTES / MIB,
        }
    }
}

impl Sync {
    /// What is wrong with it, as a sentence.
    pub(super) fn wrong(&self) -> Option<&'static str> {
        let days = limits::TOMBSTONE_DAYS_LEAST..=limits::AUDIT_DAYS_MOST;
        let wrong = !days.contains(&self.keep_days);
        wrong.then_some("sync.keep_days must be between 30 and 36500")
    }
}

impl Trash {
    /// What is wrong with it, as a sentence.
    pub(super) fn wrong(&self) -> Option<&'static str> {
        let within = |value: u64, (least, most): (u64, u64)| (least..=most).contains(&value);
        if self.days > limits::TRASH_DAYS_MOST || self.versions > limits::TRASH_VERSIONS_MOST {
            return Some("trash.days must be between 0 and 3650, trash.versions between 0 and 100");
        }
        let right = within(self.items, limits::TRASH_ITEMS_RANGE)
            && within(self.megabytes, limits::TRASH_MIB_RANGE);
        (!right).then_some(
            "trash.items must be between 100 and 1000000, trash.megabytes between 32 and 1048576",
        )
    }
}

impl Disk {
    /// What is wrong with it, as a sentence.
    pub(super) fn wrong(&self) -> Option<&'static str> {
        let wrong =
            self.warn_free_mb < self.stop_free_mb || self.warn_free_mb > limits::DISK_MARK_MIB_MOST;
        wrong.then_some(
            "disk.stop_free_mb must not be above disk.warn_free_mb, and that not above 16777216",
        )
    }
}

impl Metrics {
    /// What is wrong with it, as a sentence.
    pub(super) fn wrong(&self) -> Option<&'static str> {
        let outside = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
        let wrong = self.listen.is_some_and(outside) && self.token_file.is_none();
        wrong.then_some(
            "metrics.listen is not on this machine alone: set metrics.token_file too, or listen on 127.0.0.1",
        )
    }
}

fn address_or_empty<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(serde::de::Error::custom)
}
