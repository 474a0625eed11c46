//! Manifests: what one backup consists of, signed by the host.
//!
//! ```text
//! sealdav backup 1
//! id ID
//! time MILLISECONDS
//! store FORMAT EPOCH GROUP
//! rows ROWS BYTES                    in all packs
//! pack HASH ROWS BYTES               for each, in the order of their rows
//! mirror LINE                        for each line of the audit trail's signed heads
//! signed PUBLIC SIGNATURE            Ed25519 by the host, over all lines before
//! ```

use std::fmt;

use super::pack::Pack;
use crate::ambient::UnixMillis;
use crate::seal::Signer;
use crate::vault::signed;

const FIRST_LINE: &str = "sealdav backup 1";

/// Names a backup: its time in UTC and the milliseconds as hexadecimal digits, such as
/// `20261121T080910Z-01f4`. In their order these names tell which backup of a destination is newer,
/// unless the clock was set back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId(String);

impl BackupId {
    /// The id of a backup made at `time` where `others` are.
    pub fn new(mut time: UnixMillis, others: &[BackupId]) -> Self {
        loop {
            let stamp = stamp(time);
            let id = BackupId(format!("{stamp}-{:04x}", time.0.rem_euclid(1_000)));
            // Later than all others of the same second, whose digits once were random.
            let later = |other: &BackupId| other.0.starts_with(&stamp) && *other >= id;
            if !others.iter().any(later) {
                return id;
            }
            time.0 += 1;
        }
    }

    /// Reads an id; none for a text that cannot be one, such as a path.
    pub fn parse(text: &str) -> Option<Self> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let fits = text.len() == 21 && text.bytes().all(good);
        fits.then(|| BackupId(text.to_owned()))
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A moment as `20261121T080910Z` (ISO 8601, basic form).
pub fn stamp(time: UnixMillis) -> String {
    let seconds = time.seconds();
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms").
pub(super) fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// What one backup consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its name.
    pub id: BackupId,
    /// When it was begun.
    pub time: UnixMillis,
    /// The version of the store's format.
    pub format: u32,
    /// The store's epoch.
    pub epoch: u64,
    /// The last group of commits that is in it.
    pub group: u64,
    /// Its packs, in the order of their rows.
    pub packs: Vec<Pack>,
    /// The signed heads of the audit trail as they were when it was begun.
    pub mirror: String,
    /// Who signed it: the public key of the host's signatures.
    pub signer: [u8; 32],
}

impl Manifest {
    /// Rows in all packs.
    pub fn rows(&self) -> u64 {
        self.packs.iter().map(|pack| pack.rows).sum()
    }

    /// Bytes of all packs.
    pub fn bytes(&self) -> u64 {
        self.packs.iter().map(|pack| pack.bytes).sum()
    }

    /// The manifest as a text signed by `signer`, whose public key it should hold.
    pub fn text(&self, signer: &Signer) -> String {
        let mut text = format!("{FIRST_LINE}\nid {}\ntime {}\n", self.id, self.time.0);
        let (format, epoch, group) = (self.format, self.epoch, self.group);
        text += &format!("store {format} {epoch:016x} {group}\n");
        text += &format!("rows {} {}\n", self.rows(), self.bytes());
        for pack in &self.packs {
            let hash = signed::to_hex(&pack.hash);
            text += &format!("pack {hash} {} {}\n", pack.rows, pack.bytes);
        }
        for line in self.mirror.lines() {
            text += &format!("mirror {line}\n");
        }
        signed::sign(text, signer)
    }

    /// Reads a manifest whose signature holds.
    pub fn parse(text: &str) -> Option<Manifest> {
        let signed = signed::check(text)?;
        let mut lines = signed.body.lines().peekable();
        (lines.next()? == FIRST_LINE).then_some(())?;
        let id = BackupId::parse(lines.next()?.strip_prefix("id ")?)?;
        let time = UnixMillis(lines.next()?.strip_prefix("time ")?.parse().ok()?);
        let mut store = lines.next()?.strip_prefix("store ")?.split(' ');
        let format = store.next()?.parse().ok()?;
        let epoch = u64::from_str_radix(store.next()?, 16).ok()?;
        let group = store.next()?.parse().ok()?;
        let totals = lines.next()?.strip_prefix("rows ")?.to_owned();
        let mut packs = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("pack ")) {
            packs.push(parse_pack(line)?);
        }
        let mut mirror = String::new();
        for line in lines {
            mirror += line.strip_prefix("mirror ")?;
            mirror.push('\n');
        }
        let manifest = Manifest {
            id,
            time,
            format,
            epoch,
            group,
            packs,
            mirror,
            signer: signed.public,
        };
        let whole = totals == format!("{} {}", manifest.rows(), manifest.bytes());
        whole.then_some(manifest)
    }
}

fn parse_pack(line: &str) -> Option<Pack> {
    let mut words = line.strip_prefix("pack ")?.split(' ');
    let pack = Pack {
        hash: signed::from_hex(words.next()?)?,
        rows: words.next()?.parse().ok()?,
        bytes: words.next()?.parse().ok()?,
    };
    words.next().is_none().then_some(pack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_named_in_utc() {
        for (millis, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399_000, "20000228T235959Z"),
            (951_782_400_000, "20000229T000000Z"),
            (1_735_689_599_999, "20241231T235959Z"),
        ] {
            assert_eq!(stamp(UnixMillis(millis)), expected);
        }
        assert!(BackupId::parse("../../../etc/passwd12").is_none());
    }

    #[test]
    fn a_later_backup_has_a_later_name() {
        let id = |text| BackupId::parse(text).unwrap();
        let (now, next) = (UnixMillis(951_782_399_500), "20000229T000000Z-0000");
        let before = id("20000228T235958Z-ffff");
        let mut there = vec![before, id("20000229T000000Z-0005")];
        for expected in ["20000228T235959Z-01f4", "20000228T235959Z-01f5"] {
            there.push(BackupId::new(now, &there));
            assert_eq!(there.last(), Some(&id(expected)));
        }
        // A name with random digits that no millisecond reaches.
        let random = [id("20000228T235959Z-f00d")];
        assert_eq!(BackupId::new(now, &random), id(next));
    }
}
