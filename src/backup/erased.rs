//! The list of erased accounts that lies in a destination, and whose word it is. Applied, it
//! deletes accounts, so it counts only under a key that is trusted: anybody can sign.

use std::fmt;

use super::BackupError;
use super::destination::Destination;
use crate::vault::{Erased, Vault, signed};

/// A public key of a host's signatures.
pub type HostPublic = [u8; 32];

/// Names a host's key as `sealdav host-key show` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub HostPublic);

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&blake3::hash(&self.0).to_hex()[..16])
    }
}

/// The list of a destination with whoever signed it; none when there is none.
///
/// # Errors
/// `ErasedList` when its signature does not hold, `Destination` when it cannot be read.
pub(super) fn find(at: &Destination) -> Result<Option<(Erased, HostPublic)>, BackupError> {
    let Some(text) = at.erased()? else {
        return Ok(None);
    };
    let signer = signed::check(&text).map(|signed| signed.public);
    let found = Erased::parse(&text).zip(signer);
    found
        .map(Some)
        .ok_or_else(|| BackupError::ErasedList(at.to_string()))
}

/// The list of a destination, for a restore; an empty one when there is none.
///
/// # Errors
/// `ErasedBy` when none of `trusted` signed it; as `find`.
pub(super) fn read(from: &Destination, trusted: &[HostPublic]) -> Result<Erased, BackupError> {
    match find(from)? {
        None => Ok(Erased::default()),
        Some((erased, signer)) if trusted.contains(&signer) => Ok(erased),
        Some((_, signer)) => Err(BackupError::ErasedBy(from.to_string(), Fingerprint(signer))),
    }
}

/// Brings the list of a destination up to the server's own, which `erased` is. An account is never
/// taken off it, and a list that cannot be read is not overwritten.
///
/// # Errors
/// `ErasedBy` when another key signed it and it names accounts that `erased` does not: what this
/// server had written before a rotation of its key it knows itself.
pub(super) fn bring(vault: &Vault, to: &Destination, erased: &Erased) -> Result<(), BackupError> {
    let signer = vault.host().signer();
    let mut all = erased.clone();
    if let Some((there, by)) = find(to)? {
        let own = by == signer.public();
        let is_known = |id| erased.accounts.contains_key(id);
        if !own && !there.accounts.keys().all(is_known) {
            return Err(BackupError::ErasedBy(to.to_string(), Fingerprint(by)));
        }
        let before = there.clone();
        // The time that was noted first stays.
        all = there;
        all.add(erased.clone());
        if own && all == before {
            return Ok(());
        }
    }
    to.put_erased(&all.text(&signer))
}
