//! Key pairs: what is sealed for somebody who is not here, and what the server signs.
//!
//! ```text
//! pair     = X25519 (RFC 7748), the private key derived from an account key or a generated secret
//! box      = 01 || ephemeral public32 || seal[k](place, content)
//! k        = HKDF["sealdav 1 box" || ephemeral public || recipient's public](X25519(ephemeral, recipient))
//! signer   = Ed25519 (RFC 8032), its seed HKDF["sealdav 1 host signer"](host key)
//! ```
//!
//! Whoever knows a public key can seal for it, and only the holder of the private key opens: so an
//! account's keys can be wrapped anew for its devices without their secrets, and the server can
//! leave a record for a user whose account is locked.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::key::{AccountKey, HostKey, KeyBytes, RowKey};
use super::row::{OpenError, Place, Stored};
use crate::ambient::Ambient;

const VERSION: u8 = 1;
const PUBLIC_BYTES: usize = 32;

/// The public half of a pair: seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey([u8; PUBLIC_BYTES]);

/// The private half: opens what was sealed for its public half. Zeroed when dropped.
#[derive(ZeroizeOnDrop)]
pub struct PairKey(KeyBytes);

/// What was sealed for a public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boxed(Vec<u8>);

impl PairKey {
    /// A new one that hangs on nothing.
    pub fn generate(ambient: &Ambient) -> Self {
        PairKey(KeyBytes(ambient.bytes()))
    }

    pub(super) fn derived(bytes: KeyBytes) -> Self {
        PairKey(bytes)
    }

    /// For the sealed row or slot that holds it.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0.0
    }

    /// As read from the sealed row or slot that holds it.
    pub fn read(bytes: &[u8; 32]) -> Self {
        PairKey(KeyBytes(*bytes))
    }

    /// What seals for it.
    pub fn public(&self) -> PublicKey {
        let public = self.private().compute_public_key();
        PublicKey(public_bytes(public.as_ref().map(AsRef::as_ref).ok()))
    }

    fn private(&self) -> PrivateKey {
        PrivateKey::from_private_key(&X25519, &self.0.0)
            .expect("every 32 bytes are a private key (RFC 7748 section 5)")
    }

    /// Opens what was sealed for this key at this place.
    ///
    /// # Errors
    /// It was sealed for another key or place, or is damaged.
    pub fn open(&self, place: &Place, boxed: &Boxed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (ephemeral, row) = boxed.parts()?;
        let key = shared(&self.private(), &ephemeral, &ephemeral, &self.public())
            .map_err(|_| OpenError::Commitment)?;
        let opened = Stored::read(row.to_vec()).open(&key, place)?;
        Ok(Zeroizing::new(opened.to_vec()))
    }
}

impl PublicKey {
    /// Seals `content` for the holder of the private key.
    pub fn seal(&self, place: &Place, content: &[u8], ambient: &Ambient) -> Boxed {
        let ephemeral = PairKey::generate(ambient);
        let public = ephemeral.public();
        let key = shared(&ephemeral.private(), self, &public, self)
            .expect("public keys are made by this module, and none is of small order");
        let sealed = key.seal_by(place, content, ambient);
        let mut boxed = vec![VERSION];
        boxed.extend_from_slice(&public.0);
        boxed.extend_from_slice(sealed.bytes());
        Boxed(boxed)
    }
}

impl Boxed {
    /// The bytes to keep.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As it was kept.
    pub fn read(bytes: Vec<u8>) -> Self {
        Boxed(bytes)
    }

    fn parts(&self) -> Result<(PublicKey, &[u8]), OpenError> {
        match self.0.split_first() {
            Some((&VERSION, rest)) if rest.len() > PUBLIC_BYTES => {
                let (public, row) = rest.split_at(PUBLIC_BYTES);
                Ok((PublicKey(public_bytes(Some(public))), row))
            }
            Some((&VERSION, _)) | None => Err(OpenError::Short),
            Some((&other, _)) => Err(OpenError::Version(other)),
        }
    }
}

fn public_bytes(bytes: Option<&[u8]>) -> [u8; PUBLIC_BYTES] {
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .expect("an X25519 public key has 32 bytes")
}

/// The key that both sides arrive at. Both public keys go into it, so that a box cannot be
/// turned into one for somebody else.
fn shared(
    private: &PrivateKey,
    other: &PublicKey,
    ephemeral: &PublicKey,
    recipient: &PublicKey,
) -> Result<RowKey, Unspecified> {
    let mut info = b"sealdav 1 box".to_vec();
    info.extend_from_slice(&ephemeral.0);
    info.extend_from_slice(&recipient.0);
    let other = UnparsedPublicKey::new(&X25519, &other.0);
    agree(private, other, Unspecified, |secret| {
        let mut input = KeyBytes([0; 32]);
        input.0.copy_from_slice(secret);
        Ok(RowKey(input.derive_bytes(&info)))
    })
}

/// Signs what the server vouches for: heads of the audit trail, certificates of erasure.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.0.sign(message);
        signature
            .as_ref()
            .try_into()
            .expect("an Ed25519 signature has 64 bytes")
    }

    /// What anybody needs to check its signatures.
    pub fn public(&self) -> [u8; 32] {
        let public = self.0.public_key().as_ref();
        public
            .try_into()
            .expect("an Ed25519 public key has 32 bytes")
    }
}

/// Whether `signature` is that of the holder of `public` under `message`.
pub fn verified(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    aws_lc_rs::signature::UnparsedPublicKey::new(&ED25519, public)
        .verify(message, signature)
        .is_ok()
}

impl HostKey {
    /// Signs in the server's name.
    pub fn signer(&self) -> Signer {
        let seed = self.derive("sealdav 1 host signer");
        Signer(Ed25519KeyPair::from_seed_unchecked(&seed.0).expect("a seed has 32 bytes"))
    }
}

impl AccountKey {
    /// The pair of the account: what is sealed for it, its user reads.
    pub fn pair(&self) -> PairKey {
        PairKey(self.0.derive("sealdav 1 account pair"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AccountId, CollectionId, ObjectId};
    use crate::seal::Kind;

    fn place(account: u8) -> Place {
        let account = AccountId::from_bytes([account; 16]);
        Place::single(Kind::Link, account, CollectionId::NONE, ObjectId::NONE)
    }

    #[test]
    fn a_box_opens_with_its_key_at_its_place_only() {
        let ambient = Ambient::system();
        let (pair, other) = (PairKey::generate(&ambient), PairKey::generate(&ambient));
        let boxed = pair.public().seal(&place(1), b"keys", &ambient);
        assert_eq!(*pair.open(&place(1), &boxed).unwrap(), b"keys");
        assert!(pair.open(&place(2), &boxed).is_err());
        assert!(other.open(&place(1), &boxed).is_err());
        assert_eq!(
            *PairKey::read(pair.expose())
                .open(&place(1), &boxed)
                .unwrap(),
            b"keys"
        );
        let again = pair.public().seal(&place(1), b"keys", &ambient);
        assert_ne!(boxed, again, "the ephemeral key is fresh each time");
        assert!(!boxed.0.windows(32).any(|part| part == pair.public().0));
    }

    #[test]
    fn every_flipped_bit_of_a_box_is_noticed() {
        let ambient = Ambient::system();
        let pair = PairKey::generate(&ambient);
        let boxed = pair.public().seal(&place(1), b"keys", &ambient);
        for bit in 0..boxed.0.len() * 8 {
            let mut flipped = boxed.clone();
            flipped.0[bit / 8] ^= 1 << (bit % 8);
            // X25519 ignores the top bit of a public key (RFC 7748 section 5), but the key that
            // is derived does not.
            assert!(pair.open(&place(1), &flipped).is_err(), "bit {bit}");
        }
        for length in 0..boxed.0.len() {
            assert!(
                pair.open(&place(1), &Boxed(boxed.0[..length].to_vec()))
                    .is_err()
            );
        }
        // All zeros is a point of small order: the agreement refuses it.
        let mut zeros = boxed.clone();
        zeros.0[1..33].fill(0);
        assert!(pair.open(&place(1), &zeros).is_err());
    }

    #[test]
    fn signatures_hold_for_their_message_and_key_only() {
        let host = HostKey::read(&"07".repeat(32)).unwrap();
        let other = HostKey::read(&"08".repeat(32)).unwrap();
        let signature = host.signer().sign(b"head");
        assert!(verified(&host.signer().public(), b"head", &signature));
        assert!(!verified(&host.signer().public(), b"heaD", &signature));
        assert!(!verified(&other.signer().public(), b"head", &signature));
        assert!(!verified(
            &host.signer().public(),
            b"head",
            &signature[..63]
        ));
    }
}
