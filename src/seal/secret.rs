//! Generated secrets: app passwords and recovery keys.
//!
//! `prefix-xxxx-xxxx-xxxx-xxxx-xxxx-xxxx-xxxx-xxxx`: 136 random bits and 24 bits of checksum in
//! 32 characters of an alphabet without look-alikes. The prefix lets secret scanners find a
//! leaked one; the checksum tells a typing error from a wrong secret without any work.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::key::{KeyBytes, RowKey};
use super::pair::PairKey;
use crate::ambient::Random;
use crate::ids::Secret;

const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const RANDOM_BYTES: usize = 17;
const BYTES: usize = 20;

/// What a generated secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// A device's password for DAV.
    AppPassword,
    /// The key that opens the account when the password is lost.
    RecoveryKey,
}

impl SecretKind {
    const ALL: [SecretKind; 2] = [SecretKind::AppPassword, SecretKind::RecoveryKey];

    fn prefix(self) -> &'static str {
        match self {
            SecretKind::AppPassword => "sdav",
            SecretKind::RecoveryKey => "sdrk",
        }
    }

    fn info(self) -> &'static str {
        match self {
            SecretKind::AppPassword => "sealdav 1 app password",
            SecretKind::RecoveryKey => "sealdav 1 recovery key",
        }
    }
}

/// A secret of ours whose checksum is right.
pub struct Generated {
    kind: SecretKind,
    bytes: Zeroizing<[u8; BYTES]>,
}

impl Generated {
    /// A new one.
    pub fn random(kind: SecretKind, random: &mut dyn Random) -> Self {
        let mut bytes = Zeroizing::new([0; BYTES]);
        random.fill(&mut bytes[..RANDOM_BYTES]);
        let sum = checksum(kind, &bytes[..RANDOM_BYTES]);
        bytes[RANDOM_BYTES..].copy_from_slice(&sum);
        Generated { kind, bytes }
    }

    /// Reads one as typed: hyphens, spaces and case do not matter. `None` when it is no
    /// generated secret, or mistyped.
    pub fn read(text: &str) -> Option<Self> {
        let mut typed = Zeroizing::new(Vec::with_capacity(40));
        typed.extend(
            text.bytes()
                .filter(|b| !b"- ".contains(b))
                .take(64)
                .map(|b| b.to_ascii_lowercase()),
        );
        let kind = SecretKind::ALL
            .into_iter()
            .find(|kind| typed.starts_with(kind.prefix().as_bytes()))?;
        let digits = &typed[kind.prefix().len()..];
        if digits.len() != 32 {
            return None;
        }
        let mut bytes = Zeroizing::new([0; BYTES]);
        for (group, output) in digits.chunks_exact(8).zip(bytes.chunks_exact_mut(5)) {
            let mut value = 0u64;
            for digit in group {
                let place = ALPHABET.iter().position(|letter| letter == digit)?;
                value = value << 5 | place as u64;
            }
            output.copy_from_slice(&value.to_be_bytes()[3..]);
        }
        let sum = checksum(kind, &bytes[..RANDOM_BYTES]);
        (bytes[RANDOM_BYTES..] == sum).then_some(Generated { kind, bytes })
    }

    /// What it is for.
    pub fn kind(&self) -> SecretKind {
        self.kind
    }

    /// As shown to its user, once.
    pub fn to_text(&self) -> Secret {
        let mut text = String::with_capacity(44);
        text.push_str(self.kind.prefix());
        for group in self.bytes.chunks_exact(5) {
            let mut eight = [0; 8];
            eight[3..].copy_from_slice(group);
            let value = u64::from_be_bytes(eight);
            for digit in 0..8 {
                if digit % 4 == 0 {
                    text.push('-');
                }
                text.push(ALPHABET[(value >> (35 - 5 * digit) & 31) as usize] as char);
            }
        }
        Secret::new(text)
    }

    /// `tag16 || kek32 = HKDF-SHA256[info by kind](secret, 48)`: the tag finds the slot, the key
    /// opens it. 136 random bits need no slow hash.
    pub(super) fn tag_and_key(&self) -> ([u8; 16], RowKey) {
        #[cfg(test)]
        super::work::note(super::work::Work::Derived);
        let mut output = Zeroizing::new([0; 48]);
        Hkdf::<Sha256>::new(None, &self.bytes[..RANDOM_BYTES])
            .expand(self.kind.info().as_bytes(), output.as_mut())
            .expect("48 bytes are within HKDF's bound");
        let mut tag = [0; 16];
        tag.copy_from_slice(&output[..16]);
        let mut key = KeyBytes([0; 32]);
        key.0.copy_from_slice(&output[16..]);
        (tag, RowKey(key))
    }
}

impl Generated {
    /// The pair of the secret's holder: what is sealed for it needs the secret to be opened, but
    /// not to be made.
    pub fn pair(&self) -> PairKey {
        #[cfg(test)]
        super::work::note(super::work::Work::Derived);
        let mut key = KeyBytes([0; 32]);
        Hkdf::<Sha256>::new(None, &self.bytes[..RANDOM_BYTES])
            .expand(b"sealdav 1 pair of a generated secret", &mut key.0)
            .expect("32 bytes are within HKDF's bound");
        PairKey::derived(key)
    }
}

fn checksum(kind: SecretKind, bytes: &[u8]) -> [u8; BYTES - RANDOM_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key("sealdav 1 checksum of generated secrets");
    hasher.update(kind.prefix().as_bytes()).update(bytes);
    let mut sum = [0; BYTES - RANDOM_BYTES];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..BYTES - RANDOM_BYTES]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::OsRandom;

    #[test]
    fn text_reads_back_as_typed() {
        let made = Generated::random(SecretKind::AppPassword, &mut OsRandom);
        let text = made.to_text();
        assert_eq!(text.expose().len(), 4 + 8 * 5);
        for typed in [
            text.expose().to_owned(),
            text.expose().to_uppercase(),
            text.expose().replace('-', " "),
        ] {
            assert_eq!(*Generated::read(&typed).expect("reads").bytes, *made.bytes);
        }
    }

    #[test]
    fn typing_errors_are_noticed() {
        let made = Generated::random(SecretKind::RecoveryKey, &mut OsRandom).to_text();
        for position in 5..made.expose().len() {
            let mut typed = made.expose().as_bytes().to_vec();
            if typed[position] != b'-' {
                typed[position] = if typed[position] == b'a' { b'b' } else { b'a' };
                assert!(Generated::read(std::str::from_utf8(&typed).unwrap()).is_none());
            }
        }
        for other in [
            "",
            "sdav",
            "password",
            "sdav-é",
            &made.expose().replace("sdrk", "sdav"),
        ] {
            assert!(Generated::read(other).is_none());
        }
    }
}
