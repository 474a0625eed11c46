//! Key slots: each wraps the account key for one secret that may open the account.
//!
//! ```text
//! password slot  = seal[host slots key](place, seal[Argon2id(NFC password, salt16)](place, account key))
//! generated slot = seal[kek](place, account key)          kek from the secret, see `secret`
//! about          = seal[host row key](place, label, time)  what a list of devices shows
//! ```
//!
//! The outer seal of a password slot makes a stolen disk without the host key worthless to a
//! guesser. The place holds account and slot id, so a slot copied into another file does not open.

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::key::{AccountKey, HostKey, KeyBytes, RowKey};
use super::row::{Kind, OpenError, Place, Stored};
use super::secret::{Generated, SecretKind};
use crate::ambient::{Ambient, Random};
use crate::ids::{AccountId, CollectionId, ObjectId, Secret, SlotId};
use crate::limits;

/// The cost of one guess at a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub kib: u32,
    /// Passes over it.
    pub passes: u32,
}

/// What opens a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotLock {
    /// The account's password.
    Password {
        /// Argon2's salt.
        salt: [u8; 16],
        /// Argon2's cost when the slot was cut.
        cost: Argon2Cost,
    },
    /// An app password with this lookup tag.
    AppPassword {
        /// Derived from the secret.
        tag: [u8; 16],
    },
    /// The recovery key with this lookup tag.
    RecoveryKey {
        /// Derived from the secret.
        tag: [u8; 16],
    },
}

/// A key slot, as it stands in the key file.
#[derive(Clone, Serialize, Deserialize)]
pub struct Slot {
    /// Its id; names the device that holds its secret.
    pub id: SlotId,
    /// What opens it.
    pub lock: SlotLock,
    /// The sealed account key.
    wrapped: Vec<u8>,
    /// The sealed label and time.
    about: Vec<u8>,
}

/// Why a slot did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotError {
    /// The secret is not the one that it was cut for.
    WrongSecret,
    /// The host key is another than when it was cut, or the file is damaged.
    WrongHostKey,
    /// It opened and holds no key: damaged.
    Damaged,
}

impl Slot {
    /// Cuts a slot for a password.
    pub fn for_password(
        account: AccountId,
        key: &AccountKey,
        password: &Secret,
        cost: Argon2Cost,
        host: &HostKey,
        ambient: &Ambient,
    ) -> Slot {
        let id = SlotId::from_bytes(ambient.bytes());
        let salt = ambient.bytes();
        let place = place(Kind::Slot, account, id);
        // Not inside `Ambient::random`: all threads share that generator, and this takes long.
        let inner = stretch(password, &salt, cost)
            .expect("the configuration checks the cost")
            .seal_by(&place, &key.0.0, ambient);
        let wrapped = host
            .slots()
            .seal_by(&place, inner.bytes(), ambient)
            .bytes()
            .to_vec();
        Slot {
            id,
            lock: SlotLock::Password { salt, cost },
            wrapped,
            about: Vec::new(),
        }
    }

    /// Cuts a slot for a generated secret.
    pub fn for_generated(
        account: AccountId,
        key: &AccountKey,
        secret: &Generated,
        random: &mut dyn Random,
    ) -> Slot {
        let id = SlotId::random(random);
        let (tag, kek) = secret.tag_and_key();
        let wrapped = kek
            .seal(&place(Kind::Slot, account, id), &key.0.0, random)
            .bytes()
            .to_vec();
        let lock = match secret.kind() {
            SecretKind::AppPassword => SlotLock::AppPassword { tag },
            SecretKind::RecoveryKey => SlotLock::RecoveryKey { tag },
        };
        Slot {
            id,
            lock,
            wrapped,
            about: Vec::new(),
        }
    }

    /// The same slot with `about` (a label and a time, encoded) sealed for the host.
    pub fn with_about(
        mut self,
        account: AccountId,
        about: &[u8],
        host: &HostKey,
        random: &mut dyn Random,
    ) -> Slot {
        self.about = host
            .rows()
            .seal(&place(Kind::SlotAbout, account, self.id), about, random)
            .bytes()
            .to_vec();
        self
    }

    /// What `with_about` was given; empty when nothing was.
    pub fn about(&self, account: AccountId, host: &HostKey) -> Result<Vec<u8>, OpenError> {
        if self.about.is_empty() {
            return Ok(Vec::new());
        }
        let place = place(Kind::SlotAbout, account, self.id);
        Ok(Stored::read(self.about.clone())
            .open(&host.rows(), &place)?
            .to_vec())
    }

    /// The same slot with what the host key seals of it sealed under `new`. What is so already is
    /// kept, so that a rotation that was cut off can be repeated.
    ///
    /// # Errors
    /// It is sealed under neither key.
    pub fn rekeyed(
        &self,
        account: AccountId,
        old: &HostKey,
        new: &HostKey,
        ambient: &Ambient,
    ) -> Result<Slot, OpenError> {
        let again = |bytes: &[u8], place: &Place, old: &RowKey, new: &RowKey| {
            if Stored::read(bytes.to_vec()).open(new, place).is_ok() {
                return Ok(bytes.to_vec());
            }
            let content = Stored::read(bytes.to_vec()).open(old, place)?;
            Ok(new.seal_by(place, &content, ambient).bytes().to_vec())
        };
        let mut slot = self.clone();
        if matches!(self.lock, SlotLock::Password { .. }) {
            let place = place(Kind::Slot, account, self.id);
            slot.wrapped = again(&self.wrapped, &place, &old.slots(), &new.slots())?;
        }
        if !self.about.is_empty() {
            let place = place(Kind::SlotAbout, account, self.id);
            slot.about = again(&self.about, &place, &old.rows(), &new.rows())?;
        }
        Ok(slot)
    }

    /// The slot of these that was cut for `secret`, by its tag. The tag is derived once, so that
    /// an account with many slots, or none, takes no other time (HARDENING H3).
    pub fn find<'a>(slots: &'a [Slot], secret: &Generated) -> Option<&'a Slot> {
        let (tag, _) = secret.tag_and_key();
        slots.iter().find(|slot| slot.has_tag(secret.kind(), tag))
    }

    fn has_tag(&self, kind: SecretKind, tag: [u8; 16]) -> bool {
        match (&self.lock, kind) {
            (SlotLock::AppPassword { tag: own }, SecretKind::AppPassword)
            | (SlotLock::RecoveryKey { tag: own }, SecretKind::RecoveryKey) => *own == tag,
            _ => false,
        }
    }

    /// Opens a generated secret's slot.
    pub fn open_generated(
        &self,
        account: AccountId,
        secret: &Generated,
    ) -> Result<AccountKey, SlotError> {
        let (_, kek) = secret.tag_and_key();
        let opened = Stored::read(self.wrapped.clone())
            .open(&kek, &place(Kind::Slot, account, self.id))
            .map_err(|_| SlotError::WrongSecret)?;
        account_key(&opened)
    }

    /// Opens a password's slot: one Argon2 run, as long as its cost says.
    pub fn open_password(
        &self,
        account: AccountId,
        password: &Secret,
        host: &HostKey,
    ) -> Result<AccountKey, SlotError> {
        let SlotLock::Password { salt, cost } = &self.lock else {
            return Err(SlotError::WrongSecret);
        };
        let place = place(Kind::Slot, account, self.id);
        let inner = Stored::read(self.wrapped.clone())
            .open(&host.slots(), &place)
            .map_err(|_| SlotError::WrongHostKey)?;
        let stretched = stretch(password, salt, *cost).ok_or(SlotError::Damaged)?;
        let opened = Stored::read(inner.to_vec())
            .open(&stretched, &place)
            .map_err(|_| SlotError::WrongSecret)?;
        account_key(&opened)
    }
}

/// Does the work of `open_password` for an account that is not there, so that time tells nothing.
pub fn dummy_work(password: &Secret, cost: Argon2Cost) {
    drop(stretch(password, &[0; 16], cost));
}

fn place(kind: Kind, account: AccountId, slot: SlotId) -> Place {
    Place::single(
        kind,
        account,
        CollectionId::NONE,
        ObjectId::from_bytes(*slot.bytes()),
    )
}

fn account_key(content: &[u8]) -> Result<AccountKey, SlotError> {
    let mut key = KeyBytes([0; 32]);
    if content.len() != 32 {
        return Err(SlotError::Damaged);
    }
    key.0.copy_from_slice(content);
    Ok(AccountKey(key))
}

/// `Argon2id(NFC password, salt, cost)`, 32 bytes (RFC 9106). NFC, because keyboards differ in
/// how they compose an umlaut. None for a cost that no configuration allows: a key file is not
/// authenticated before this, and a damaged one must not take all memory.
fn stretch(password: &Secret, salt: &[u8; 16], cost: Argon2Cost) -> Option<RowKey> {
    if cost.kib > limits::ARGON2_KIB_MOST || cost.passes > limits::ARGON2_PASSES_MOST {
        return None;
    }
    let normal: Zeroizing<String> = Zeroizing::new(password.expose().nfc().collect());
    let params = Params::new(cost.kib, cost.passes, 1, Some(32)).ok()?;
    let mut key = KeyBytes([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(normal.as_bytes(), salt, &mut key.0)
        .expect("salt and output have lengths that Argon2 takes");
    Some(RowKey(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::OsRandom;

    const CHEAP: Argon2Cost = Argon2Cost { kib: 8, passes: 1 };
    const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);

    #[test]
    fn a_password_slot_opens_with_its_password_and_host_key_only() {
        let (host, key) = (
            HostKey::generate(&mut OsRandom),
            AccountKey::generate(&mut OsRandom),
        );
        let password = Secret::new("Gr\u{fc}n".into());
        let ambient = Ambient::system();
        let slot = Slot::for_password(ACCOUNT, &key, &password, CHEAP, &host, &ambient);
        let composed_otherwise = Secret::new("Gru\u{308}n".into());
        assert_eq!(
            slot.open_password(ACCOUNT, &composed_otherwise, &host)
                .ok()
                .unwrap()
                .0
                .0,
            key.0.0
        );
        let wrong = Secret::new("gr\u{fc}n".into());
        assert_eq!(
            slot.open_password(ACCOUNT, &wrong, &host).err(),
            Some(SlotError::WrongSecret)
        );
        let other = HostKey::generate(&mut OsRandom);
        assert_eq!(
            slot.open_password(ACCOUNT, &password, &other).err(),
            Some(SlotError::WrongHostKey)
        );
        assert!(
            slot.open_password(AccountId::NONE, &password, &host)
                .is_err()
        );
        for (kib, passes) in [(0, 1), (u32::MAX, 1), (8, 0), (8, u32::MAX)] {
            let lock = match slot.lock {
                SlotLock::Password { salt, .. } => SlotLock::Password {
                    salt,
                    cost: Argon2Cost { kib, passes },
                },
                ref other => other.clone(),
            };
            let damaged = Slot {
                lock,
                ..slot.clone()
            };
            assert_eq!(
                damaged.open_password(ACCOUNT, &password, &host).err(),
                Some(SlotError::Damaged)
            );
        }
    }

    #[test]
    fn a_generated_slot_opens_with_its_secret_only() {
        let key = AccountKey::generate(&mut OsRandom);
        let secret = Generated::random(SecretKind::AppPassword, &mut OsRandom);
        let slot = Slot::for_generated(ACCOUNT, &key, &secret, &mut OsRandom);
        assert!(Slot::find(std::slice::from_ref(&slot), &secret).is_some());
        assert_eq!(
            slot.open_generated(ACCOUNT, &secret).ok().unwrap().0.0,
            key.0.0
        );
        let other = Generated::random(SecretKind::AppPassword, &mut OsRandom);
        assert!(Slot::find(std::slice::from_ref(&slot), &other).is_none());
        assert_eq!(
            slot.open_generated(ACCOUNT, &other).err(),
            Some(SlotError::WrongSecret)
        );
    }

    #[test]
    fn labels_are_sealed_for_the_host() {
        let (host, key) = (
            HostKey::generate(&mut OsRandom),
            AccountKey::generate(&mut OsRandom),
        );
        let secret = Generated::random(SecretKind::AppPassword, &mut OsRandom);
        let slot = Slot::for_generated(ACCOUNT, &key, &secret, &mut OsRandom).with_about(
            ACCOUNT,
            b"phone",
            &host,
            &mut OsRandom,
        );
        assert_eq!(slot.about(ACCOUNT, &host).unwrap(), b"phone");
        assert!(!slot.about.windows(5).any(|window| window == b"phone"));
    }
}
