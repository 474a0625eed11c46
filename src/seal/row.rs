//! Sealed rows: what the store sees is opaque names and opaque bytes.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20::{R20, hchacha};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::key::RowKey;
use crate::ids::{AccountId, CollectionId, ObjectId};

/// Bytes of a row's name: 16 for its prefix, 16 for the row, 4 for the chunk.
pub const ROW_NAME_BYTES: usize = 36;
/// Codec and length, before the content inside a seal.
pub(super) const HEADER_BYTES: usize = 5;
/// The version of the row format.
const VERSION: u8 = 1;
/// The content as it is. Others (compression) may come; a reader refuses what it does not know.
const CODEC_PLAIN: u8 = 0;
const NONCE: std::ops::Range<usize> = 1..1 + NONCE_BYTES;
const COMMITMENT: std::ops::Range<usize> = 25..41;
const TAG_BYTES: usize = 16;
/// The smallest padded content: short rows all look alike.
const SMALLEST: usize = 64;
/// Bytes of the shortest row.
pub(super) const SHORTEST_BYTES: usize = COMMITMENT.end + SMALLEST + TAG_BYTES;

/// What a row is. The number is part of its place and its name: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Host: an account's name, address, role.
    Directory = 1,
    /// Host: which rows a collection owns, for purges and erasure.
    Roster = 2,
    /// Key file: a slot's wrapped key.
    Slot = 3,
    /// Key file: a slot's label and time.
    SlotAbout = 4,
    /// Account: a collection's place in the tree, and its keys.
    Link = 5,
    /// Account: a lock.
    Lock = 6,
    /// Collection: its revision, count and digest.
    Head = 7,
    /// Collection: its stored properties.
    CollectionProperties = 8,
    /// Collection: an object's summary, or the tombstone of a member.
    Summary = 9,
    /// Collection: a chunk of an object's body.
    Body = 10,
    /// Collection: a chunk of an object's stored properties.
    ObjectProperties = 11,
    /// Host: tells the right host key from a wrong one.
    HostCheck = 12,
    /// Host: where a chain of the audit trail starts, and for whom its pages are sealed.
    AuditRoot = 20,
    /// Host: a page of the audit trail.
    AuditPage = 21,
    /// In a page: the key of a day, sealed for the account's user.
    AuditKey = 22,
    /// In a page: its entries, sealed under the key of their day.
    AuditEntries = 23,
    /// Host: when a key slot was used, and by which family of clients.
    Device = 24,
    /// Host: a calendar's keys, boxed for a device that has no more than chosen calendars.
    Grant = 25,
    /// Account: which devices have which calendars.
    Grants = 26,
    /// Account: the private keys of its pairs of before, which open old pages of the audit trail.
    FormerKeys = 27,
    /// Collection: the past versions of an object.
    History = 30,
    /// Account: the link of a deleted collection that can be restored.
    TrashedLink = 31,
}

impl Kind {
    /// All of them, those before which others are found: what is checked goes through this list.
    pub const ALL: &[Kind] = &[
        Kind::HostCheck,
        Kind::Directory,
        Kind::Slot,
        Kind::SlotAbout,
        Kind::Roster,
        Kind::Grant,
        Kind::AuditRoot,
        Kind::AuditPage,
        Kind::Device,
        Kind::Link,
        Kind::Head,
        Kind::Lock,
        Kind::Grants,
        Kind::FormerKeys,
        Kind::TrashedLink,
        Kind::AuditKey,
        Kind::AuditEntries,
        Kind::CollectionProperties,
        Kind::Summary,
        Kind::History,
        Kind::Body,
        Kind::ObjectProperties,
    ];

    /// Those that the host key seals and scans find: what a new host key must be put on.
    pub const SCANNED_BY_HOST: &[Kind] = &[Kind::Directory, Kind::Roster];
}

/// Where a row belongs: the associated data of its seal. A row that was moved, swapped or
/// rolled back to another revision does not open. No name or href is in it.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// What it is.
    pub kind: Kind,
    /// Whose it is; NONE for the host's.
    pub account: AccountId,
    /// Of which collection; NONE for none.
    pub collection: CollectionId,
    /// Of which object; NONE for none.
    pub object: ObjectId,
    /// The epoch of the collection key.
    pub epoch: u32,
    /// The collection's revision at which it was written, where the reader knows it.
    pub revision: u64,
    /// Its number among the chunks.
    pub chunk: u32,
    /// Whether it is the last chunk, so that a body cannot be cut short.
    pub last: bool,
}

impl Place {
    /// A row of one chunk.
    pub fn single(
        kind: Kind,
        account: AccountId,
        collection: CollectionId,
        object: ObjectId,
    ) -> Self {
        Place {
            kind,
            account,
            collection,
            object,
            epoch: 0,
            revision: 0,
            chunk: 0,
            last: true,
        }
    }

    fn associated_data(&self) -> [u8; 67] {
        let mut data = [0; 67];
        data[0] = VERSION;
        data[1] = self.kind as u8;
        data[2..18].copy_from_slice(self.account.bytes());
        data[18..34].copy_from_slice(self.collection.bytes());
        data[34..50].copy_from_slice(self.object.bytes());
        data[50..54].copy_from_slice(&self.epoch.to_le_bytes());
        data[54..62].copy_from_slice(&self.revision.to_le_bytes());
        data[62..66].copy_from_slice(&self.chunk.to_le_bytes());
        data[66] = self.last.into();
        data
    }
}

/// The name of a row: keyed hashes, so it tells a thief nothing but equality.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RowName(pub(super) [u8; ROW_NAME_BYTES]);

impl RowName {
    /// The bytes under which the store keeps the row.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A name for tests of the store.
    #[cfg(test)]
    pub(crate) fn for_test(bytes: [u8; ROW_NAME_BYTES]) -> Self {
        RowName(bytes)
    }

    /// The name of a row that a scan of the store met; `None` when it has not the length of one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(RowName)
    }

    /// A part of it that is its own, in hexadecimal, to name a damaged row to an administrator.
    pub fn short(&self) -> String {
        self.0[24..32]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// What the names of all rows of one kind in one collection begin with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RowPrefix(pub(super) [u8; 16]);

impl RowPrefix {
    /// A prefix for tests of the store.
    #[cfg(test)]
    pub(crate) fn for_test(bytes: [u8; 16]) -> Self {
        RowPrefix(bytes)
    }

    /// The bytes that those names begin with.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A prefix as read from a roster row.
    pub fn read(bytes: [u8; 16]) -> Self {
        RowPrefix(bytes)
    }
}

/// A sealed row on its way to the store. Only sealing makes one.
#[derive(Clone)]
pub struct Sealed(pub(super) Vec<u8>);

impl Sealed {
    /// Bytes for tests of the store, sealed by nobody.
    #[cfg(test)]
    pub(crate) fn for_test(bytes: Vec<u8>) -> Self {
        Sealed(bytes)
    }

    /// The bytes to store.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A row as it was read, not yet proven to be anything. It cannot be written back.
#[derive(Clone)]
pub struct Stored(Vec<u8>);

impl Stored {
    /// Wraps what was read.
    pub fn read(bytes: Vec<u8>) -> Self {
        Stored(bytes)
    }

    /// The bytes read.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Opens it with `key` as the row of `place`.
    pub fn open(self, key: &RowKey, place: &Place) -> Result<Opened, OpenError> {
        open(key, place, self.0)
    }
}

/// The content of a row that opened. Zeroed when dropped.
pub struct Opened {
    padded: Zeroizing<Vec<u8>>,
    end: usize,
}

impl std::ops::Deref for Opened {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.padded[COMMITMENT.end + HEADER_BYTES..self.end]
    }
}

impl Opened {
    /// The content itself, without a copy of it elsewhere.
    pub fn into_content(mut self) -> Zeroizing<Vec<u8>> {
        let start = COMMITMENT.end + HEADER_BYTES;
        let mut content = std::mem::take(&mut self.padded);
        content.copy_within(start..self.end, 0);
        content.truncate(self.end - start);
        content
    }
}

/// Why a row did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// Written by a newer version of the program, or damaged in its first byte.
    Version(u8),
    /// Too short to be a row.
    Short,
    /// Sealed with another key, or damaged.
    Commitment,
    /// Damaged, or the row of another place.
    Tag,
    /// It opened, but what is inside is not of this format: a fault of the program that wrote it.
    Content,
}

/// `subkey || commitment = B3[key](nonce, 48)`.
fn subkey(key: &RowKey, nonce: &[u8]) -> Zeroizing<[u8; 48]> {
    let mut output = Zeroizing::new([0; 48]);
    blake3::Hasher::new_keyed(&key.0.0)
        .update(nonce)
        .finalize_xof()
        .fill(output.as_mut());
    output
}

/// Bytes of a nonce.
pub(super) const NONCE_BYTES: usize = 24;

pub(super) fn seal(
    key: &RowKey,
    place: &Place,
    content: &[u8],
    nonce: &[u8; NONCE_BYTES],
) -> Sealed {
    let length = u32::try_from(content.len()).expect("a row's content is far below 4 GiB");
    let padded = padme(HEADER_BYTES + content.len()).max(SMALLEST);
    let mut row = Vec::with_capacity(COMMITMENT.end + padded + TAG_BYTES);
    row.push(VERSION);
    row.extend_from_slice(nonce);
    let derived = subkey(key, &row[NONCE]);
    row.extend_from_slice(&derived[32..]);
    row.push(CODEC_PLAIN);
    row.extend_from_slice(&length.to_le_bytes());
    row.extend_from_slice(content);
    row.resize(COMMITMENT.end + padded, 0);
    let (cipher, nonce) = cipher(&derived, nonce);
    let place = Aad::from(place.associated_data());
    let tag = cipher
        .seal_in_place_separate_tag(nonce, place, &mut row[COMMITMENT.end..])
        .expect("a row is far below the cipher's bound");
    row.extend_from_slice(tag.as_ref());
    Sealed(row)
}

fn open(key: &RowKey, place: &Place, row: Vec<u8>) -> Result<Opened, OpenError> {
    #[cfg(test)]
    super::work::note(super::work::Work::Tried(row.len()));
    let mut row = Zeroizing::new(row);
    match row.first() {
        Some(&VERSION) => {}
        Some(&other) => return Err(OpenError::Version(other)),
        None => return Err(OpenError::Short),
    }
    if row.len() < COMMITMENT.end + HEADER_BYTES + TAG_BYTES {
        return Err(OpenError::Short);
    }
    let derived = subkey(key, &row[NONCE]);
    if !bool::from(derived[32..].ct_eq(&row[COMMITMENT])) {
        return Err(OpenError::Commitment);
    }
    let nonce: [u8; NONCE_BYTES] = row[NONCE].try_into().expect("24 bytes");
    let (cipher, nonce) = cipher(&derived, &nonce);
    let place = Aad::from(place.associated_data());
    let end = row.len() - TAG_BYTES;
    let (sealed, tag) = row.split_at_mut(end);
    cipher
        .open_in_place_separate_tag(nonce, place, tag, &mut sealed[COMMITMENT.end..])
        .map_err(|_| OpenError::Tag)?;
    #[cfg(test)]
    super::work::note(super::work::Work::Opened(row.len()));
    let header = &row[COMMITMENT.end..COMMITMENT.end + HEADER_BYTES];
    let length = u32::from_le_bytes(header[1..].try_into().expect("4 bytes")) as usize;
    let content_end = COMMITMENT.end + HEADER_BYTES + length;
    if header[0] != CODEC_PLAIN || content_end > end {
        return Err(OpenError::Content);
    }
    Ok(Opened {
        padded: row,
        end: content_end,
    })
}

/// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03, section 2.3) of one row, put together of HChaCha20
/// and of the ChaCha20-Poly1305 of aws-lc, which takes a third of the time that a whole one in Rust
/// does: `ChaCha20-Poly1305[HChaCha20(subkey, nonce[..16]), 00000000 || nonce[16..]]`. aws-lc
/// overwrites its copy of the key when it frees it.
fn cipher(derived: &[u8; 48], nonce: &[u8; NONCE_BYTES]) -> (LessSafeKey, Nonce) {
    let (first, last) = nonce.split_at(16);
    let subkey = <&[u8; 32]>::try_from(&derived[..32]).expect("32 bytes");
    let first = <&[u8; 16]>::try_from(first).expect("16 bytes");
    let mut inner = hchacha::<R20>(subkey.into(), first.into());
    let key = UnboundKey::new(&CHACHA20_POLY1305, &inner).expect("32 bytes");
    inner.as_mut_slice().zeroize();
    let mut rest = [0; 12];
    rest[4..].copy_from_slice(last);
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(rest))
}

/// The Padmé size (Nikitin and others, PURBs, 2019) of `length` bytes: at most 12 % more, and
/// only O(log log length) bits of the length remain to be seen.
fn padme(length: usize) -> usize {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let bits = exponent.ilog2() + 1;
    let mask = (1usize << (exponent - bits.min(exponent))) - 1;
    (length + mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::OsRandom;
    use crate::seal::CollectionKey;

    fn place() -> Place {
        Place {
            kind: Kind::Body,
            account: AccountId::from_bytes([1; 16]),
            collection: CollectionId::from_bytes([2; 16]),
            object: ObjectId::from_bytes([3; 16]),
            epoch: 4,
            revision: 5,
            chunk: 6,
            last: false,
        }
    }

    fn key() -> RowKey {
        CollectionKey::read(&[9; 32]).rows()
    }

    fn stored(sealed: &Sealed) -> Stored {
        Stored::read(sealed.bytes().to_vec())
    }

    #[test]
    fn what_was_sealed_opens() {
        for length in [0, 1, 58, 59, 60, 2_500, crate::seal::CHUNK_CONTENT_BYTES] {
            let content = vec![b'x'; length];
            let sealed = key().seal(&place(), &content, &mut OsRandom);
            assert_eq!(
                &*stored(&sealed).open(&key(), &place()).ok().unwrap(),
                &content[..]
            );
        }
    }

    #[test]
    fn the_cipher_is_that_of_the_draft() {
        use chacha20poly1305::aead::AeadInOut;
        use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
        for length in [0, 1, 16, 63, 64, 65, 192, 2_176, 65_536] {
            let (derived, nonce) = ([length as u8 ^ 0x5A; 48], [length as u8; NONCE_BYTES]);
            let content: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let aad = place().associated_data();
            let (mut ours, mut theirs) = (content.clone(), content);
            let (key, short) = cipher(&derived, &nonce);
            let tag = key.seal_in_place_separate_tag(short, Aad::from(aad), &mut ours);
            let whole = XChaCha20Poly1305::new_from_slice(&derived[..32]).unwrap();
            let expected = whole
                .encrypt_inout_detached(&XNonce::from(nonce), &aad, theirs.as_mut_slice().into())
                .unwrap();
            assert_eq!(ours, theirs, "{length}");
            assert_eq!(tag.unwrap().as_ref(), expected.as_slice(), "{length}");
        }
    }

    #[test]
    fn a_full_chunk_stays_within_the_stores_bound() {
        let content = vec![0; crate::seal::CHUNK_CONTENT_BYTES];
        let sealed = key().seal(&place(), &content, &mut OsRandom);
        assert_eq!(
            sealed.bytes().len(),
            crate::limits::CHUNK_BYTES + COMMITMENT.end + TAG_BYTES
        );
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let sealed = key().seal(&place(), b"lunch", &mut OsRandom);
        for position in 0..sealed.bytes().len() * 8 {
            let mut bytes = sealed.bytes().to_vec();
            bytes[position / 8] ^= 1 << (position % 8);
            assert!(
                Stored::read(bytes).open(&key(), &place()).is_err(),
                "bit {position}"
            );
        }
    }

    #[test]
    fn every_shortening_is_noticed() {
        let sealed = key().seal(&place(), b"lunch", &mut OsRandom);
        for length in 0..sealed.bytes().len() {
            assert!(
                Stored::read(sealed.bytes()[..length].to_vec())
                    .open(&key(), &place())
                    .is_err()
            );
        }
    }

    #[test]
    fn a_row_of_another_place_does_not_open() {
        let sealed = key().seal(&place(), b"lunch", &mut OsRandom);
        let others = [
            Place {
                kind: Kind::Summary,
                ..place()
            },
            Place {
                account: AccountId::NONE,
                ..place()
            },
            Place {
                collection: CollectionId::NONE,
                ..place()
            },
            Place {
                object: ObjectId::NONE,
                ..place()
            },
            Place {
                epoch: 0,
                ..place()
            },
            Place {
                revision: 0,
                ..place()
            },
            Place {
                chunk: 0,
                ..place()
            },
            Place {
                last: true,
                ..place()
            },
        ];
        for other in others {
            assert_eq!(
                stored(&sealed).open(&key(), &other).err(),
                Some(OpenError::Tag)
            );
        }
        let other_key = CollectionKey::read(&[8; 32]).rows();
        assert_eq!(
            stored(&sealed).open(&other_key, &place()).err(),
            Some(OpenError::Commitment)
        );
    }

    #[test]
    fn padding_hides_small_differences_and_costs_little() {
        for length in 1..200_000 {
            let padded = padme(length);
            assert!(
                padded >= length && padded <= length + length * 12 / 100 + 1,
                "{length}"
            );
        }
        assert_eq!(padme(2_100), padme(2_060));
    }
}
