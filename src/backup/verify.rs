//! Checking what lies in a destination, without any key: signatures, hashes, framing, counts.

use std::collections::{HashMap, HashSet};

use super::destination::Destination;
use super::manifest::{BackupId, Manifest};
use super::pack::{self, Pack};
use super::{BackupError, HostPublic, Which, choose};
use crate::seal::RowName;
use crate::vault::signed;

/// What was found in a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Backups that were looked at.
    pub backups: usize,
    /// Packs, and bytes of them.
    pub packs: usize,
    /// See `packs`.
    pub bytes: u64,
    /// Rows of the newest of these backups.
    pub rows: u64,
    /// Who signed them: public keys of hosts.
    pub signers: Vec<HostPublic>,
    /// Who signed the list of erased accounts, if it was looked at.
    pub erased_signer: Option<HostPublic>,
    /// What is wrong; each names a file.
    pub faults: Vec<String>,
}

/// Names of the first and the last row of a pack that is whole.
type Ends = Option<(RowName, RowName)>;

/// Looks at all backups of a destination, or one, and at every pack.
///
/// # Errors
/// The destination cannot be read, or there is no such backup; what is wrong in it is no error
/// but a fault.
pub fn verify(at: &Destination, which: Option<&Which>) -> Result<Verified, BackupError> {
    let mut verified = Verified::default();
    let manifests = manifests(at, which, &mut verified)?;
    if which.is_none() {
        check_rest(at, &mut verified)?;
    }
    let mut ends: HashMap<[u8; 32], Ends> = HashMap::new();
    for manifest in &manifests {
        for pack in &manifest.packs {
            let check = || check_pack(at, pack, &mut verified);
            ends.entry(pack.hash).or_insert_with(check);
        }
        check_order(manifest, &ends, &mut verified);
    }
    if which.is_none() {
        check_unnamed(at, &ends, &mut verified)?;
    }
    Ok(verified)
}

/// The manifests that hold; of the others, faults.
fn manifests(
    at: &Destination,
    which: Option<&Which>,
    verified: &mut Verified,
) -> Result<Vec<Manifest>, BackupError> {
    let mut manifests = Vec::new();
    if let Some(which) = which {
        manifests.push(choose(at, which)?);
    } else {
        let (ids, others) = at.backups()?;
        for name in others {
            let fault = format!("backups/{name}: this is no name of a backup");
            verified.faults.push(fault);
        }
        if ids.is_empty() {
            return Err(BackupError::NoBackup(at.to_string()));
        }
        for id in ids {
            match at.manifest(&id) {
                Ok(manifest) => manifests.push(manifest),
                Err(_) => verified.faults.push(broken(&id)),
            }
        }
    }
    let signers: HashSet<_> = manifests.iter().map(|manifest| manifest.signer).collect();
    verified.signers = signers.into_iter().collect();
    verified.backups = manifests.len();
    verified.rows = manifests.last().map_or(0, Manifest::rows);
    Ok(manifests)
}

fn broken(id: &BackupId) -> String {
    format!("backups/{id}: the manifest was changed or damaged: its signature does not hold")
}

fn check_rest(at: &Destination, verified: &mut Verified) -> Result<(), BackupError> {
    match super::erased::find(at) {
        Ok(Some((_, signer))) => verified.erased_signer = Some(signer),
        Ok(None) | Err(BackupError::ErasedList(_)) => {
            let fault = "erased: the list of erased accounts is missing, or was changed or damaged";
            verified.faults.push(fault.to_owned());
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

fn check_pack(at: &Destination, pack: &Pack, verified: &mut Verified) -> Ends {
    verified.packs += 1;
    verified.bytes += pack.bytes;
    match super::take::read(at, pack) {
        Ok(rows) => Some((rows.first()?.0, rows.last()?.0)),
        Err(BackupError::Pack { name, what, .. }) => {
            verified.faults.push(format!("packs/{name}: {what}"));
            None
        }
        Err(error) => {
            verified.faults.push(error.to_string());
            None
        }
    }
}

/// The packs of a backup must follow each other, or rows would be lost or twice there.
fn check_order(manifest: &Manifest, ends: &HashMap<[u8; 32], Ends>, verified: &mut Verified) {
    let mut before: Option<RowName> = None;
    for pack in &manifest.packs {
        let Some((first, last)) = ends.get(&pack.hash).copied().flatten() else {
            continue;
        };
        if before.is_some_and(|before| before >= first) {
            let fault = format!("backups/{}: its packs overlap", manifest.id);
            verified.faults.push(fault);
            return;
        }
        before = Some(last);
    }
}

/// Packs of no backup: left by one that was cut off. The next backup may use them.
fn check_unnamed(
    at: &Destination,
    known: &HashMap<[u8; 32], Ends>,
    verified: &mut Verified,
) -> Result<(), BackupError> {
    for name in at.packs()? {
        let hash = signed::from_hex::<32>(&name);
        if hash.is_some_and(|hash| known.contains_key(&hash)) {
            continue;
        }
        let Some(hash) = hash else {
            verified
                .faults
                .push(format!("packs/{name}: this is no name of a pack"));
            continue;
        };
        let pack = Pack {
            hash,
            rows: 0,
            bytes: 0,
        };
        let file = at.read_pack(&pack)?;
        let whole = *blake3::hash(&file).as_bytes() == hash && pack::rows(&file).is_some();
        if !whole {
            let fault = format!("packs/{name}: its content was changed or damaged");
            verified.faults.push(fault);
        }
    }
    Ok(())
}
