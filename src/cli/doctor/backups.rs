//! When the last backups were made, and what went wrong with them.

use super::Findings;
use crate::ambient::UnixMillis;
use crate::backup::last_backups;
use crate::config::Config;

const HOUR: i64 = 60 * 60 * 1000;
const ADVICE: &str = "set [backup] to = [..] in the settings, or run `sealdav backup --to DIR`; docs/BACKUP.md says more";

/// Looks at what the data directory knows of its backups.
pub(super) fn look(config: &Config, now: UnixMillis, findings: &mut Findings) {
    let about = "backup";
    let last = last_backups(&config.data_dir());
    if last.is_empty() {
        return findings.warn(about, "none was ever made of this data", ADVICE);
    }
    // Twice the time between two, so that one that is under way is not late.
    let late = 2 * i64::from(config.backup.every_hours.max(1)) * HOUR;
    for (at, backup) in last {
        if let Some(failure) = backup.failure {
            let says = format!("the last one to {at} failed: {failure}");
            findings.fault(
                about,
                says,
                "mend that; it is tried again by itself if it is scheduled",
            );
        }
        match backup.good {
            None => findings.fault(about, format!("none to {at} ever succeeded"), ADVICE),
            Some(good) => {
                let age = (now.0 - good.0).max(0);
                let says = format!("the last good one to {at} is {} hours old", age / HOUR);
                match age > late && !config.backup.to.is_empty() {
                    true => findings.warn(about, says, "look into the server's log for why"),
                    false => findings.ok(about, says),
                }
            }
        }
    }
}
