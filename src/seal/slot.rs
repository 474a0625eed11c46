//! Key slots: each wraps a key, and what may be done with it, for one secret.
//!
//! ```text
//! password slot  = seal[host slots key](place, seal[Argon2id(NFC password, salt16)](place, content))
//! generated slot = seal[host slots key](place, box[public key of the secret's pair](place, content))
//! content        = 02 || whole account key, or private key of a pair; access; end (postcard)
//! about          = seal[host row key](place, label, time, public key, ..)  what a list of devices shows
//! ```
//!
//! The outer seal of a password slot makes a stolen disk without the host key worthless to a
//! guesser; that of a generated slot keeps a writer of the disk from wrapping a key of its own for
//! a public key. The place holds account and slot id, so a slot copied into another file does not
//! open. A generated slot is made without its secret, so that the account can be given another key.
//!
//! Slots of before are read: their content is the account key alone (whole, for reading and
//! writing, without an end), and a generated one is `seal[kek](place, content)`, kek from the
//! secret (see `secret`).

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::key::{AccountKey, HostKey, KeyBytes, RowKey};
use super::pair::{Boxed, PairKey, PublicKey};
use super::row::{Kind, OpenError, Place, Stored};
use super::secret::{Generated, SecretKind};
use crate::ambient::{Ambient, Random, UnixMillis};
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

/// What a device may do with what it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Access {
    /// Read and change.
    #[default]
    ReadWrite,
    /// Read only.
    ReadOnly,
}

/// What the holder of a slot's secret may do, and until when. It stands inside the slot's seal:
/// nobody without the secret can read it, or change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// What may be done.
    pub access: Access,
    /// When it ends by itself.
    pub expires: Option<UnixMillis>,
}

impl Terms {
    /// Whether they have ended at `now`.
    pub fn ended(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// The key that a slot holds.
pub enum SlotKey {
    /// Opens the whole account.
    Whole(AccountKey),
    /// Opens what was sealed for its public half: the keys of the granted calendars.
    Limited(PairKey),
}

/// What a slot holds.
pub struct SlotContent {
    /// The key.
    pub key: SlotKey,
    /// What may be done with it.
    pub terms: Terms,
}

/// The key to put into a slot.
#[derive(Clone, Copy)]
pub enum ToWrap<'a> {
    /// See [`SlotKey::Whole`].
    Whole(&'a AccountKey),
    /// See [`SlotKey::Limited`].
    Limited(&'a PairKey),
}

const CONTENT_VERSION: u8 = 2;

#[derive(Serialize, Deserialize)]
enum StoredKey {
    Whole([u8; 32]),
    Limited([u8; 32]),
}

impl Drop for StoredKey {
    fn drop(&mut self) {
        let (StoredKey::Whole(bytes) | StoredKey::Limited(bytes)) = self;
        zeroize::Zeroize::zeroize(bytes);
    }
}

/// The stored form of `SlotContent`.
#[derive(Serialize, Deserialize)]
struct StoredContent {
    key: StoredKey,
    access: Access,
    expires: Option<UnixMillis>,
}

fn encode(key: ToWrap<'_>, terms: Terms) -> Zeroizing<Vec<u8>> {
    let content = StoredContent {
        key: match key {
            ToWrap::Whole(key) => StoredKey::Whole(key.0.0),
            ToWrap::Limited(key) => StoredKey::Limited(*key.expose()),
        },
        access: terms.access,
        expires: terms.expires,
    };
    let mut bytes = Zeroizing::new([0; 64]);
    bytes[0] = CONTENT_VERSION;
    let length = postcard::to_slice(&content, &mut bytes[1..])
        .expect("a content has at most 46 bytes")
        .len();
    Zeroizing::new(bytes[..=length].to_vec())
}

fn decode(content: &[u8]) -> Result<SlotContent, SlotError> {
    if let Ok(key) = content.try_into() {
        return Ok(SlotContent {
            key: SlotKey::Whole(AccountKey(KeyBytes(key))),
            terms: Terms::default(),
        });
    }
    let Some((&CONTENT_VERSION, rest)) = content.split_first() else {
        return Err(SlotError::Damaged);
    };
    let stored: StoredContent = postcard::from_bytes(rest).map_err(|_| SlotError::Damaged)?;
    Ok(SlotContent {
        key: match &stored.key {
            StoredKey::Whole(key) => SlotKey::Whole(AccountKey(KeyBytes(*key))),
            StoredKey::Limited(key) => SlotKey::Limited(PairKey::read(key)),
        },
        terms: Terms {
            access: stored.access,
            expires: stored.expires,
        },
    })
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
    /// The sealed content.
    wrapped: Vec<u8>,
    /// The sealed label and time.
    about: Vec<u8>,
}

/// What the host key tells of a slot, without the slot's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OuterSeal {
    /// It is as it was cut for this account.
    Holds,
    /// A generated slot of the first format has no seal of the host's: only its secret can tell.
    FirstFormat,
    /// It is damaged, of another account, or of another host key.
    Damaged,
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
    /// Cuts a slot for a password: it opens the whole account.
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
            .seal_by(
                &place,
                &encode(ToWrap::Whole(key), Terms::default()),
                ambient,
            );
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

    /// A slot that no password opens: trying it for a name that is not there takes what trying an
    /// account's own takes, so that time tells nothing (HARDENING H3). Made without an Argon2 run.
    pub fn decoy(cost: Argon2Cost, host: &HostKey, ambient: &Ambient) -> Slot {
        let id = SlotId::from_bytes(ambient.bytes());
        let place = place(Kind::Slot, AccountId::NONE, id);
        let (key, content) = ambient.random(|random| {
            let content = encode(
                ToWrap::Whole(&AccountKey::generate(random)),
                Terms::default(),
            );
            (RowKey(KeyBytes::random(random)), content)
        });
        let inner = key.seal_by(&place, &content, ambient);
        Slot {
            id,
            lock: SlotLock::Password {
                salt: ambient.bytes(),
                cost,
            },
            wrapped: host
                .slots()
                .seal_by(&place, inner.bytes(), ambient)
                .bytes()
                .to_vec(),
            about: Vec::new(),
        }
    }

    /// Cuts a slot for a generated secret.
    pub fn for_generated(
        account: AccountId,
        key: ToWrap<'_>,
        terms: Terms,
        secret: &Generated,
        host: &HostKey,
        ambient: &Ambient,
    ) -> Slot {
        let id = SlotId::from_bytes(ambient.bytes());
        let (tag, _) = secret.tag_and_key();
        let lock = match secret.kind() {
            SecretKind::AppPassword => SlotLock::AppPassword { tag },
            SecretKind::RecoveryKey => SlotLock::RecoveryKey { tag },
        };
        let slot = Slot {
            id,
            lock,
            wrapped: Vec::new(),
            about: Vec::new(),
        };
        slot.rewrapped(account, key, terms, &secret.pair().public(), host, ambient)
    }

    /// The same slot of a generated secret with another content; `public` is the public key of the
    /// secret's pair.
    pub fn rewrapped(
        mut self,
        account: AccountId,
        key: ToWrap<'_>,
        terms: Terms,
        public: &PublicKey,
        host: &HostKey,
        ambient: &Ambient,
    ) -> Slot {
        let place = place(Kind::Slot, account, self.id);
        let boxed = public.seal(&place, &encode(key, terms), ambient);
        self.wrapped = host
            .slots()
            .seal_by(&place, boxed.bytes(), ambient)
            .bytes()
            .to_vec();
        self
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
        let whole = place(Kind::Slot, account, self.id);
        slot.wrapped = match again(&self.wrapped, &whole, &old.slots(), &new.slots()) {
            // A generated slot of the first format has no seal of the host's.
            Err(OpenError::Commitment) if !matches!(self.lock, SlotLock::Password { .. }) => {
                self.wrapped.clone()
            }
            wrapped => wrapped?,
        };
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

    /// Checks what the host key seals of the slot.
    pub fn outer_seal(&self, account: AccountId, host: &HostKey) -> OuterSeal {
        let place = place(Kind::Slot, account, self.id);
        match Stored::read(self.wrapped.clone()).open(&host.slots(), &place) {
            Ok(_) => OuterSeal::Holds,
            // A damaged commitment looks like that of another key; the length tells them apart.
            Err(OpenError::Commitment)
                if !matches!(self.lock, SlotLock::Password { .. })
                    && self.wrapped.len() == super::row::SHORTEST_BYTES =>
            {
                OuterSeal::FirstFormat
            }
            Err(_) => OuterSeal::Damaged,
        }
    }

    /// Opens a generated secret's slot.
    pub fn open_generated(
        &self,
        account: AccountId,
        secret: &Generated,
        host: &HostKey,
    ) -> Result<SlotContent, SlotError> {
        let place = place(Kind::Slot, account, self.id);
        // The commitment in the seal tells a slot of today from one of before.
        match Stored::read(self.wrapped.clone()).open(&host.slots(), &place) {
            Ok(boxed) => {
                let opened = secret.pair().open(&place, &Boxed::read(boxed.to_vec()));
                decode(&opened.map_err(|_| SlotError::WrongSecret)?)
            }
            Err(_) => {
                let (_, kek) = secret.tag_and_key();
                let opened = Stored::read(self.wrapped.clone())
                    .open(&kek, &place)
                    .map_err(|_| SlotError::WrongSecret)?;
                decode(&opened)
            }
        }
    }

    /// Opens a password's slot: one Argon2 run, as long as its cost says.
    pub fn open_password(
        &self,
        account: AccountId,
        password: &Secret,
        host: &HostKey,
    ) -> Result<SlotContent, SlotError> {
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
        decode(&opened)
    }
}

fn place(kind: Kind, account: AccountId, slot: SlotId) -> Place {
    Place::single(
        kind,
        account,
        CollectionId::NONE,
        ObjectId::from_bytes(*slot.bytes()),
    )
}

/// `Argon2id(NFC password, salt, cost)`, 32 bytes (RFC 9106). NFC, because keyboards differ in
/// how they compose an umlaut. None for a cost that no configuration allows: a key file is not
/// authenticated before this, and a damaged one must not take all memory.
fn stretch(password: &Secret, salt: &[u8; 16], cost: Argon2Cost) -> Option<RowKey> {
    if cost.kib > limits::ARGON2_KIB_MOST || cost.passes > limits::ARGON2_PASSES_MOST {
        return None;
    }
    #[cfg(test)]
    super::work::note(super::work::Work::Stretched(cost.kib, cost.passes));
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
            whole(slot.open_password(ACCOUNT, &composed_otherwise, &host)),
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

    fn whole(opened: Result<SlotContent, SlotError>) -> [u8; 32] {
        let SlotContent {
            key: SlotKey::Whole(key),
            terms,
        } = opened.ok().unwrap()
        else {
            panic!("a limited slot");
        };
        assert_eq!(terms, Terms::default());
        key.0.0
    }

    fn generated(host: &HostKey, key: ToWrap<'_>, terms: Terms, secret: &Generated) -> Slot {
        Slot::for_generated(ACCOUNT, key, terms, secret, host, &Ambient::system())
    }

    #[test]
    fn a_generated_slot_opens_with_its_secret_and_host_key_only() {
        let host = HostKey::generate(&mut OsRandom);
        let key = AccountKey::generate(&mut OsRandom);
        let secret = Generated::random(SecretKind::AppPassword, &mut OsRandom);
        let slot = generated(&host, ToWrap::Whole(&key), Terms::default(), &secret);
        assert!(Slot::find(std::slice::from_ref(&slot), &secret).is_some());
        assert_eq!(whole(slot.open_generated(ACCOUNT, &secret, &host)), key.0.0);
        for at in 0..slot.wrapped.len() {
            let mut damaged = slot.clone();
            damaged.wrapped[at] ^= 1;
            assert_eq!(damaged.outer_seal(ACCOUNT, &host), OuterSeal::Damaged);
        }
        let other = Generated::random(SecretKind::AppPassword, &mut OsRandom);
        assert!(Slot::find(std::slice::from_ref(&slot), &other).is_none());
        let hosts = HostKey::generate(&mut OsRandom);
        for (account, secret, host) in [
            (ACCOUNT, &other, &host),
            (ACCOUNT, &secret, &hosts),
            (AccountId::NONE, &secret, &host),
        ] {
            assert_eq!(
                slot.open_generated(account, secret, host).err(),
                Some(SlotError::WrongSecret)
            );
        }
    }

    #[test]
    fn a_slot_of_before_opens_whole_and_for_ever() {
        let host = HostKey::generate(&mut OsRandom);
        let key = AccountKey::generate(&mut OsRandom);
        let secret = Generated::random(SecretKind::RecoveryKey, &mut OsRandom);
        let mut slot = generated(&host, ToWrap::Whole(&key), Terms::default(), &secret);
        let (_, kek) = secret.tag_and_key();
        let place = place(Kind::Slot, ACCOUNT, slot.id);
        assert_eq!(slot.outer_seal(ACCOUNT, &host), OuterSeal::Holds);
        slot.wrapped = kek.seal(&place, &key.0.0, &mut OsRandom).bytes().to_vec();
        assert_eq!(slot.outer_seal(ACCOUNT, &host), OuterSeal::FirstFormat);
        assert_eq!(whole(slot.open_generated(ACCOUNT, &secret, &host)), key.0.0);
    }

    #[test]
    fn terms_and_a_limited_key_come_back_and_all_slots_look_alike() {
        let host = HostKey::generate(&mut OsRandom);
        let (key, pair) = (
            AccountKey::generate(&mut OsRandom),
            PairKey::generate(&Ambient::system()),
        );
        let secret = Generated::random(SecretKind::AppPassword, &mut OsRandom);
        let terms = Terms {
            access: Access::ReadOnly,
            expires: Some(UnixMillis(i64::MAX)),
        };
        let slot = generated(&host, ToWrap::Limited(&pair), terms, &secret);
        let opened = slot.open_generated(ACCOUNT, &secret, &host).ok().unwrap();
        assert_eq!(opened.terms, terms);
        let SlotKey::Limited(again) = opened.key else {
            panic!("a whole slot");
        };
        assert_eq!(again.expose(), pair.expose());
        let plain = generated(&host, ToWrap::Whole(&key), Terms::default(), &secret);
        assert_eq!(slot.wrapped.len(), plain.wrapped.len());
        // Made anew without the secret, as when the account gets another key.
        let public = secret.pair().public();
        let ambient = Ambient::system();
        let anew = slot.rewrapped(
            ACCOUNT,
            ToWrap::Whole(&key),
            terms,
            &public,
            &host,
            &ambient,
        );
        let opened = anew.open_generated(ACCOUNT, &secret, &host).ok().unwrap();
        assert!(matches!(opened.key, SlotKey::Whole(again) if again.0.0 == key.0.0));
    }

    #[test]
    fn terms_end_at_their_moment() {
        let terms = Terms {
            access: Access::ReadWrite,
            expires: Some(UnixMillis(10)),
        };
        assert!(!terms.ended(UnixMillis(9)) && terms.ended(UnixMillis(10)));
        assert!(!Terms::default().ended(UnixMillis(i64::MAX)));
    }

    #[test]
    fn labels_are_sealed_for_the_host() {
        let (host, key) = (
            HostKey::generate(&mut OsRandom),
            AccountKey::generate(&mut OsRandom),
        );
        let secret = Generated::random(SecretKind::AppPassword, &mut OsRandom);
        let slot = generated(&host, ToWrap::Whole(&key), Terms::default(), &secret).with_about(
            ACCOUNT,
            b"phone",
            &host,
            &mut OsRandom,
        );
        assert_eq!(slot.about(ACCOUNT, &host).unwrap(), b"phone");
        assert!(!slot.about.windows(5).any(|window| window == b"phone"));
    }
}
