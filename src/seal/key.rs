//! The keys. Private bytes, no Clone, no Debug, zeroed when dropped.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::row::{Kind, NONCE_BYTES, Place, RowName, RowPrefix, Sealed};
use crate::ambient::{Ambient, Random};
use crate::ids::{AccountId, ObjectId, family};
use crate::limits::FAMILY_CHANGES;

/// 32 secret bytes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct KeyBytes(pub(super) [u8; 32]);

impl KeyBytes {
    pub(super) fn random(random: &mut dyn Random) -> Self {
        let mut key = KeyBytes([0; 32]);
        random.fill(&mut key.0);
        key
    }

    /// `HKDF[info](self)`.
    pub(super) fn derive(&self, info: &str) -> KeyBytes {
        self.derive_bytes(info.as_bytes())
    }

    pub(super) fn derive_bytes(&self, info: &[u8]) -> KeyBytes {
        #[cfg(test)]
        super::work::note(super::work::Work::Derived);
        let mut key = KeyBytes([0; 32]);
        Hkdf::<Sha256>::new(None, &self.0)
            .expand(info, &mut key.0)
            .expect("32 bytes are within HKDF's bound");
        key
    }
}

/// Seals and opens rows.
#[derive(ZeroizeOnDrop)]
pub struct RowKey(pub(super) KeyBytes);

/// Names rows, so that equal names mean equal things to this key only.
#[derive(ZeroizeOnDrop)]
pub struct NameKey(KeyBytes);

impl NameKey {
    /// For the sealed row that holds it.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0.0
    }

    /// As read from the sealed row that holds it.
    pub fn read(bytes: &[u8; 32]) -> Self {
        NameKey(KeyBytes(*bytes))
    }

    /// Names those of the host's rows that go with one account, so that they can be found and
    /// purged together.
    pub fn of_account(&self, account: AccountId) -> NameKey {
        let mut info = b"sealdav 1 host names of an account".to_vec();
        info.extend_from_slice(account.bytes());
        NameKey(self.0.derive_bytes(&info))
    }

    /// What the names of all rows of this kind begin with.
    pub fn prefix(&self, kind: Kind) -> RowPrefix {
        let mut hasher = blake3::Hasher::new_keyed(&self.0.0);
        hasher.update(&[1, kind as u8]);
        RowPrefix(first16(&hasher))
    }

    /// What the names of all rows of this kind that belong to `owner` begin with.
    pub fn prefix_within(&self, kind: Kind, owner: &[u8; 16]) -> RowPrefix {
        let mut hasher = blake3::Hasher::new_keyed(&self.0.0);
        hasher.update(&[4, kind as u8]).update(owner);
        RowPrefix(first16(&hasher))
    }

    /// The name of a row of this kind that belongs to `owner`.
    pub fn row_within(&self, kind: Kind, owner: &[u8; 16], object: &[u8; 16]) -> RowName {
        let mut name = self.row(kind, object, 0, 0);
        name.0[..16].copy_from_slice(self.prefix_within(kind, owner).bytes());
        name
    }

    /// The name of one row: chunk `chunk` of what `object` holds of this kind at `revision`.
    pub fn row(&self, kind: Kind, object: &[u8; 16], revision: u64, chunk: u32) -> RowName {
        let mut hasher = blake3::Hasher::new_keyed(&self.0.0);
        hasher
            .update(&[2, kind as u8])
            .update(object)
            .update(&revision.to_le_bytes());
        let mut name = [0; super::row::ROW_NAME_BYTES];
        name[..16].copy_from_slice(self.prefix(kind).bytes());
        name[16..32].copy_from_slice(&first16(&hasher));
        name[32..].copy_from_slice(&chunk.to_be_bytes());
        if let Some(family) = family(object) {
            let mut hasher = blake3::Hasher::new_keyed(&self.0.0);
            hasher.update(&[5, kind as u8]).update(family);
            name[16..22].copy_from_slice(&first16(&hasher)[..6]);
        }
        RowName(name)
    }

    /// The family of an object that is made by change `revision` of its collection. The rows of one
    /// kind of a family lie side by side in the store: what is written at about the same time
    /// changes few places of it, and not as many as there are rows.
    pub fn family(&self, revision: u64) -> [u8; 4] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0.0);
        hasher
            .update(&[6])
            .update(&(revision / FAMILY_CHANGES).to_le_bytes());
        let [a, b, c, d, ..] = first16(&hasher);
        [a, b, c, d]
    }
}

fn first16(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    bytes
}

/// Makes entity tags and the digest of a collection's rows.
#[derive(ZeroizeOnDrop)]
pub struct EtagKey(KeyBytes);

impl EtagKey {
    /// A keyed fingerprint over object id, revision and bytes: the same bytes in another
    /// calendar, or stored again, give another tag.
    pub fn etag(&self, object: ObjectId, revision: u64, body: &[u8]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0.0);
        hasher
            .update(&[1])
            .update(object.bytes())
            .update(&revision.to_le_bytes())
            .update(body);
        first16(&hasher)
    }

    /// What one row adds to the digest of its collection (see `vault::index`).
    pub fn digest(&self, object: ObjectId, revision: u64) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0.0);
        hasher
            .update(&[2])
            .update(object.bytes())
            .update(&revision.to_le_bytes());
        *hasher.finalize().as_bytes()
    }

    /// A short name for a text under this key: it tells apart, and says nothing.
    pub fn tag(&self, text: &[u8]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0.0);
        hasher.update(&[3]).update(text);
        first16(&hasher)
    }
}

/// The server's own key: seals what the server itself must know, and every password slot once more.
#[derive(ZeroizeOnDrop)]
pub struct HostKey(KeyBytes);

/// Why a text is no host key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostKeyError;

impl fmt::Display for HostKeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a host key is one line of 64 hexadecimal digits")
    }
}
impl std::error::Error for HostKeyError {}

impl HostKey {
    /// A new one.
    pub fn generate(random: &mut dyn Random) -> Self {
        HostKey(KeyBytes::random(random))
    }

    /// Reads the text of a host key file: 64 hexadecimal digits, white space around them ignored.
    pub fn read(text: &str) -> Result<Self, HostKeyError> {
        let digits = text.trim().as_bytes();
        let mut key = KeyBytes([0; 32]);
        if digits.len() != 64 {
            return Err(HostKeyError);
        }
        for (byte, pair) in key.0.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |d: u8| (d as char).to_digit(16).ok_or(HostKeyError);
            *byte =
                u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).map_err(|_| HostKeyError)?;
        }
        Ok(HostKey(key))
    }

    /// The text of a host key file.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(65));
        for byte in self.0.0 {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(digit.into(), 16).expect("a nibble is a digit"));
            }
        }
        text.push('\n');
        text
    }

    /// Seals the server's own rows.
    pub fn rows(&self) -> RowKey {
        RowKey(self.0.derive("sealdav 1 host rows"))
    }

    /// Names the server's own rows.
    pub fn names(&self) -> NameKey {
        NameKey(self.0.derive("sealdav 1 host names"))
    }

    pub(super) fn derive(&self, info: &str) -> KeyBytes {
        self.0.derive(info)
    }

    /// Seals password slots once more.
    pub(super) fn slots(&self) -> RowKey {
        RowKey(self.0.derive("sealdav 1 host slots"))
    }
}

/// An account's key: opens all that is the account's. Obtained from a key slot only.
#[derive(ZeroizeOnDrop)]
pub struct AccountKey(pub(super) KeyBytes);

impl AccountKey {
    /// A new account's key.
    pub fn generate(random: &mut dyn Random) -> Self {
        AccountKey(KeyBytes::random(random))
    }

    /// Seals the rows of the account's tree.
    pub fn rows(&self) -> RowKey {
        RowKey(self.0.derive("sealdav 1 account rows"))
    }

    /// Names the rows of the account's tree.
    pub fn names(&self) -> NameKey {
        NameKey(self.0.derive("sealdav 1 account names"))
    }
}

/// A collection's shared key of one epoch: a new one is made when a member is removed.
#[derive(ZeroizeOnDrop)]
pub struct CollectionKey(KeyBytes);

impl CollectionKey {
    /// A new one.
    pub fn generate(random: &mut dyn Random) -> Self {
        CollectionKey(KeyBytes::random(random))
    }

    /// Seals the collection's rows in this epoch.
    pub fn rows(&self) -> RowKey {
        RowKey(self.0.derive("sealdav 1 collection rows"))
    }

    /// For the sealed row that holds it.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0.0
    }

    /// As read from the sealed row that holds it.
    pub fn read(bytes: &[u8; 32]) -> Self {
        CollectionKey(KeyBytes(*bytes))
    }
}

/// Seals the audit entries of one account, one day and one run of the server.
pub struct DayKey(KeyBytes);

impl DayKey {
    /// A new one.
    pub fn generate(random: &mut dyn Random) -> Self {
        DayKey(KeyBytes::random(random))
    }

    /// Seals the entries.
    pub fn rows(&self) -> RowKey {
        RowKey(self.0.derive("sealdav 1 audit entries"))
    }

    /// For the box that holds it.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0.0
    }

    /// As read from the box that holds it.
    pub fn read(bytes: &[u8; 32]) -> Self {
        DayKey(KeyBytes(*bytes))
    }
}

/// A collection's key that lasts through all epochs: row names, entity tags and digest hang on it.
#[derive(ZeroizeOnDrop)]
pub struct LastingKey(KeyBytes);

impl LastingKey {
    /// A new one.
    pub fn generate(random: &mut dyn Random) -> Self {
        LastingKey(KeyBytes::random(random))
    }

    /// Names the collection's rows.
    pub fn names(&self) -> NameKey {
        NameKey(self.0.derive("sealdav 1 collection names"))
    }

    /// Makes its entity tags and digest.
    pub fn etags(&self) -> EtagKey {
        EtagKey(self.0.derive("sealdav 1 collection etags"))
    }

    /// For the sealed row that holds it.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0.0
    }

    /// As read from the sealed row that holds it.
    pub fn read(bytes: &[u8; 32]) -> Self {
        LastingKey(KeyBytes(*bytes))
    }
}

impl RowKey {
    /// Seals `content` for `place`.
    pub fn seal(&self, place: &Place, content: &[u8], random: &mut dyn Random) -> Sealed {
        let mut nonce = [0; NONCE_BYTES];
        random.fill(&mut nonce);
        super::row::seal(self, place, content, &nonce)
    }

    /// The same with the server's generator, which all threads share: it is held while a nonce is
    /// drawn, and not while the content is encrypted.
    pub fn seal_by(&self, place: &Place, content: &[u8], ambient: &Ambient) -> Sealed {
        super::row::seal(self, place, content, &ambient.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::OsRandom;

    #[test]
    fn host_key_text_reads_back() {
        let key = HostKey::generate(&mut OsRandom);
        let again = HostKey::read(&key.to_text()).unwrap();
        assert_eq!(key.0.0, again.0.0);
        for bad in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert!(HostKey::read(bad).is_err());
        }
    }

    #[test]
    fn every_key_is_overwritten_when_it_is_dropped() {
        fn overwritten<T: ZeroizeOnDrop>() {}
        overwritten::<RowKey>();
        overwritten::<NameKey>();
        overwritten::<EtagKey>();
        overwritten::<HostKey>();
        overwritten::<AccountKey>();
        overwritten::<CollectionKey>();
        overwritten::<LastingKey>();
        overwritten::<crate::seal::PairKey>();
        // What they are made of: the only bytes that a test can look at without `unsafe`.
        let mut bytes = KeyBytes([7; 32]);
        bytes.zeroize();
        assert_eq!(bytes.0, [0; 32]);
    }

    #[test]
    fn names_differ_by_every_part() {
        let key = LastingKey::read(&[7; 32]).names();
        let base = key.row(Kind::Body, &[1; 16], 1, 0);
        let others = [
            key.row(Kind::Summary, &[1; 16], 1, 0),
            key.row(Kind::Body, &[2; 16], 1, 0),
            key.row(Kind::Body, &[1; 16], 2, 0),
            key.row(Kind::Body, &[1; 16], 1, 1),
            LastingKey::read(&[8; 32])
                .names()
                .row(Kind::Body, &[1; 16], 1, 0),
        ];
        assert!(others.iter().all(|other| *other != base));
        assert!(base.bytes().starts_with(key.prefix(Kind::Body).bytes()));
    }

    #[test]
    fn names_of_a_family_are_side_by_side_and_differ() {
        let key = LastingKey::read(&[7; 32]).names();
        let last = FAMILY_CHANGES - 1;
        assert_eq!(key.family(0), key.family(last));
        assert_ne!(key.family(0), key.family(last + 1));
        let object = |revision, random| ObjectId::of_family(key.family(revision), [random; 8]);
        let name = |kind, object: ObjectId| key.row(kind, object.bytes(), 0, 0);
        let [one, two] = [object(0, 1), object(last, 2)].map(|id| name(Kind::Body, id));
        assert_eq!(one.bytes()[..22], two.bytes()[..22]);
        assert_ne!(one.bytes()[22..], two.bytes()[22..]);
        // Neither other families, nor other kinds, nor ids without a family share anything.
        for other in [
            name(Kind::Body, object(last + 1, 1)),
            name(Kind::Summary, object(0, 1)),
            name(Kind::Body, ObjectId::from_bytes([1; 16])),
        ] {
            assert_ne!(one.bytes()[16..22], other.bytes()[16..22]);
        }
    }
}
