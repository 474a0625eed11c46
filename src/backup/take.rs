//! Making one backup in one destination.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::destination::Destination;
use super::manifest::{BackupId, Manifest};
use super::pack::{self, Pack};
use super::retention::{self, Keep};
use super::{BackupError, Progress, erased};
use crate::store::{Parts, Row};
use crate::vault::{Erased, Vault};

/// What a backup did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its name.
    pub id: BackupId,
    /// Rows and bytes in it.
    pub rows: u64,
    /// See `rows`.
    pub bytes: u64,
    /// Packs in it.
    pub packs: usize,
    /// Packs, and bytes of them, that the destination did not have yet.
    pub new_packs: usize,
    /// See `new_packs`.
    pub new_bytes: u64,
    /// For how long commits were held.
    pub held: Duration,
    /// How long it took.
    pub took: Duration,
    /// Old backups that were removed.
    pub removed: usize,
}

/// Packs on their way to a destination.
struct Writer<'a> {
    to: &'a Destination,
    progress: &'a Mutex<Progress>,
    /// Packs that were written and do not count yet.
    written: HashMap<[u8; 32], Pack>,
}

impl Parts for Writer<'_> {
    type Part = Pack;
    type Error = BackupError;

    fn write(&mut self, rows: &[Row]) -> Result<Pack, BackupError> {
        let (pack, file) = pack::encode(rows);
        if !self.written.contains_key(&pack.hash) && !self.to.has(&pack) {
            self.to.write_temporary(&pack, &file)?;
            self.written.insert(pack.hash, pack);
        }
        {
            let mut progress = self.progress.lock();
            progress.rows += pack.rows;
            progress.bytes += pack.bytes;
        }
        Ok(pack)
    }

    fn read(&mut self, pack: &Pack) -> Result<Vec<Row>, BackupError> {
        read(self.to, pack)
    }
}

/// The rows of a pack, if it is the one that was written.
pub(super) fn read(from: &Destination, pack: &Pack) -> Result<Vec<Row>, BackupError> {
    let file = from.read_pack(pack)?;
    pack::decode(pack, &file).map_err(|what| BackupError::Pack {
        at: from.to_string(),
        name: crate::vault::signed::to_hex(&pack.hash),
        what: what.to_owned(),
    })
}

/// Makes a backup of all rows in `to`, and removes old ones there; `known` are the accounts that
/// the server knows as erased.
pub(super) fn take(
    vault: &Vault,
    to: &Destination,
    known: &Erased,
    keep: &Keep,
    progress: &Mutex<Progress>,
) -> Result<Taken, BackupError> {
    let begun = Instant::now();
    let _lock = to.open()?;
    erased::bring(vault, to, known)?;
    // Before the rows: it may lag behind them, not lead.
    let mirror = vault.mirror_text().map_err(BackupError::Mirror)?;
    let time = vault.ambient().now();
    let mut writer = Writer {
        to,
        progress,
        written: HashMap::new(),
    };
    let copied = vault.store().copy_rows(&mut writer)?;
    let signer = vault.host().signer();
    let manifest = Manifest {
        id: BackupId::new(time, &to.backups()?.0),
        time,
        format: vault.store().format_version(),
        epoch: vault.store().epoch(),
        group: copied.group,
        packs: copied.parts,
        mirror,
        signer: signer.public(),
    };
    let named: HashSet<[u8; 32]> = manifest.packs.iter().map(|pack| pack.hash).collect();
    let new: Vec<&Pack> = writer
        .written
        .values()
        .filter(|pack| named.contains(&pack.hash))
        .collect();
    to.keep(new.iter().copied())?;
    to.publish(&manifest.id, &manifest.text(&signer))?;
    to.clear_temporary()?;
    vault.store().note_live(manifest.bytes());
    let removed = retention::apply(to, keep)?;
    Ok(Taken {
        rows: manifest.rows(),
        bytes: manifest.bytes(),
        packs: manifest.packs.len(),
        new_packs: new.len(),
        new_bytes: new.iter().map(|pack| pack.bytes).sum(),
        held: copied.held,
        took: begun.elapsed(),
        removed,
        id: manifest.id,
    })
}

impl std::fmt::Display for Taken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (id, rows, new, all) = (&self.id, self.rows, self.new_packs, self.packs);
        let seconds = self.took.as_secs_f64();
        let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
        let (bytes, new_bytes) = (mib(self.bytes), mib(self.new_bytes));
        let held = self.held.as_secs_f64() * 1e3;
        write!(
            out,
            "{id}: {rows} rows, {bytes:.1} MiB, of which {new_bytes:.1} MiB in {new} of {all} packs are new; \
             {seconds:.1} s, writers held for {held:.2} ms"
        )?;
        match self.removed {
            0 => Ok(()),
            removed => write!(out, "; {removed} old backups removed"),
        }
    }
}
