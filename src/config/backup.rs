//! Settings of the backups that the server makes by itself.

use std::path::PathBuf;

use serde::Deserialize;

use super::{ConfigError, path_or_empty};
use crate::limits;

/// Backups that the server makes by itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// Directories to which the rows are backed up; empty for none.
    pub to: Vec<PathBuf>,
    /// Hours between two backups.
    pub every_hours: u32,
    /// Days of which the newest backup is kept.
    pub keep_daily: u32,
    /// Weeks of which the newest backup is kept.
    pub keep_weekly: u32,
    /// Months of which the newest backup is kept.
    pub keep_monthly: u32,
    /// The directory to which the key files are backed up, apart from the rows.
    #[serde(deserialize_with = "path_or_empty")]
    pub keys_to: Option<PathBuf>,
    /// Days after which a backup of the key files is deleted.
    pub key_days: u32,
}

impl Default for Backup {
    fn default() -> Self {
        let (keep_daily, keep_weekly, keep_monthly) = limits::BACKUP_KEEP;
        Backup {
            to: Vec::new(),
            every_hours: limits::BACKUP_HOURS,
            keep_daily,
            keep_weekly,
            keep_monthly,
            keys_to: None,
            key_days: limits::BACKUP_KEY_DAYS,
        }
    }
}

impl Backup {
    /// Checks the bounds, and that key files are kept apart.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let counts = [self.every_hours, self.key_days];
        let keeps = [self.keep_daily, self.keep_weekly, self.keep_monthly];
        if counts.contains(&0)
            || counts
                .iter()
                .chain(&keeps)
                .any(|&n| n > limits::BACKUP_MOST)
        {
            return Err(ConfigError::Contradiction(
                "backup.every_hours and backup.key_days must be between 1 and 100000, backup.keep_* at most 100000",
            ));
        }
        let below = |keys: &PathBuf| self.to.iter().any(|to| keys.starts_with(to));
        if self.keys_to.as_ref().is_some_and(below) {
            return Err(ConfigError::Contradiction(
                "backup.keys_to lies within backup.to: key files belong apart from the rows, so that deleting them erases an account",
            ));
        }
        Ok(())
    }
}
