//! Which backups are kept: the newest, and the newest of each of the last days, weeks and months
//! (UTC; weeks begin on Mondays) in which there was one. Packs go when no backup has them.

use std::collections::HashSet;

use super::BackupError;
use super::destination::Destination;
use super::manifest::{Manifest, civil};
use crate::vault::signed;

/// How many days, weeks and months are kept; with none at all, everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Days of which the newest backup is kept.
    pub daily: u32,
    /// Weeks.
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
}

/// Whether each of these times, newest first, is kept.
fn kept(keep: &Keep, times: &[i64]) -> Vec<bool> {
    let everything = keep.daily == 0 && keep.weekly == 0 && keep.monthly == 0;
    let mut kept: Vec<bool> = (0..times.len()).map(|at| everything || at == 0).collect();
    let day = |millis: i64| millis.div_euclid(86_400_000);
    // 1970-01-01 was a Thursday.
    let week = |millis: i64| (day(millis) + 3).div_euclid(7);
    let month = |millis: i64| {
        let (year, month, _) = civil(day(millis));
        year * 12 + month
    };
    let rules: [(u32, &dyn Fn(i64) -> i64); 3] = [
        (keep.daily, &day),
        (keep.weekly, &week),
        (keep.monthly, &month),
    ];
    for (count, span) in rules {
        let (mut left, mut last) = (count, None);
        for (at, time) in times.iter().enumerate() {
            let span = span(*time);
            if left > 0 && last != Some(span) {
                kept[at] = true;
                last = Some(span);
                left -= 1;
            }
        }
    }
    kept
}

/// Removes backups that are not to be kept, then packs that none has. Call it while holding the
/// destination. Gives the number of backups removed.
pub(super) fn apply(at: &Destination, keep: &Keep) -> Result<usize, BackupError> {
    let (ids, _) = at.backups()?;
    let mut manifests: Vec<Manifest> = Vec::new();
    for id in &ids {
        match at.manifest(id) {
            Ok(manifest) => manifests.push(manifest),
            // Nobody knows which packs it has, so none is removed.
            Err(error) => {
                tracing::error!(%error, "old backups are not removed");
                return Ok(0);
            }
        }
    }
    // Their names are in order; the newest first, as `restore` takes it.
    manifests.reverse();
    let times: Vec<i64> = manifests.iter().map(|manifest| manifest.time.0).collect();
    let kept = kept(keep, &times);
    let (mut named, mut removed) = (HashSet::new(), 0);
    for (manifest, kept) in manifests.iter().zip(kept) {
        if kept {
            named.extend(manifest.packs.iter().map(|pack| signed::to_hex(&pack.hash)));
        } else {
            at.remove(&manifest.id)?;
            removed += 1;
        }
    }
    for name in at.packs()? {
        if !named.contains(&name) {
            at.remove_pack(&name)?;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const KEEP: Keep = Keep {
        daily: 3,
        weekly: 2,
        monthly: 2,
    };

    #[test]
    fn days_weeks_and_months_are_kept() {
        // Twice a day, from Monday 2026-11-30 at noon back.
        let newest = 20_787 * DAY + DAY / 2;
        assert_eq!(civil(20_787), (2026, 11, 30));
        let times: Vec<i64> = (0..200).map(|half| newest - half * DAY / 2).collect();
        let kept: Vec<i64> = kept(&KEEP, &times)
            .iter()
            .zip(&times)
            .filter(|(kept, _)| **kept)
            .map(|(_, time)| (newest - time) / (DAY / 2))
            .collect();
        // The noons of days 30, 29, 28; weeks from Monday 30 and to Sunday 29; November, October 31.
        assert_eq!(kept, [0, 2, 4, 60]);
        let none = Keep {
            daily: 0,
            weekly: 0,
            monthly: 0,
        };
        assert!(super::kept(&none, &times).iter().all(|kept| *kept));
    }
}
