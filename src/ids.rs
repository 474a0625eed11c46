//! Newtypes for names and ids: text is parsed once at the edge, and a value of one of these
//! types is proof that it was.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ambient::Random;

/// Marker: an account's id.
pub enum AccountMark {}
/// Marker: a collection's id.
pub enum CollectionMark {}
/// Marker: an object's id.
pub enum ObjectMark {}
/// Marker: a key slot's id; a slot is a device's app password, so it also names the device.
pub enum SlotMark {}

/// 128 bits that name a thing for ever: a rename never touches it. They are random, but for the
/// family of an object.
pub struct Id<Mark>([u8; 16], PhantomData<fn() -> Mark>);

/// Names an account.
pub type AccountId = Id<AccountMark>;
/// Names a collection.
pub type CollectionId = Id<CollectionMark>;
/// Names an object (a calendar object resource, or a file in a plain collection).
pub type ObjectId = Id<ObjectMark>;
/// Names a key slot, and with it the device that holds its secret.
pub type SlotId = Id<SlotMark>;

impl<Mark> Id<Mark> {
    /// The id that stands where a place has none (an account row has no collection).
    pub const NONE: Self = Id([0; 16], PhantomData);

    /// A new random id.
    pub fn random(random: &mut dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Id(bytes, PhantomData)
    }

    /// The id with these bytes, as read from a sealed row or a file name.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Id(bytes, PhantomData)
    }

    /// Its 16 bytes.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads 32 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Some(Id(bytes, PhantomData))
    }
}

/// What the ids of objects begin with that are of a family. Those from before there were families
/// have random bits there: one of 4 billion would be taken for one with a family, and not be found.
const OF_A_FAMILY: [u8; 4] = *b"\xfa\x11\x1e\x5e";

impl ObjectId {
    /// A new id: of a family (`NameKey::family`), and 64 random bits.
    pub fn of_family(family: [u8; 4], random: [u8; 8]) -> Self {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&OF_A_FAMILY);
        id[4..8].copy_from_slice(&family);
        id[8..].copy_from_slice(&random);
        Id(id, PhantomData)
    }
}

/// The family that an object's id says, if it says one.
pub fn family(id: &[u8; 16]) -> Option<&[u8]> {
    id.starts_with(&OF_A_FAMILY).then(|| &id[4..8])
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl<Mark> fmt::Display for Id<Mark> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl<Mark> fmt::Debug for Id<Mark> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl<Mark> Clone for Id<Mark> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<Mark> Copy for Id<Mark> {}
impl<Mark> PartialEq for Id<Mark> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<Mark> Eq for Id<Mark> {}
impl<Mark> PartialOrd for Id<Mark> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<Mark> Ord for Id<Mark> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<Mark> std::hash::Hash for Id<Mark> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<Mark> Serialize for Id<Mark> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
impl<'de, Mark> Deserialize<'de> for Id<Mark> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Id(<[u8; 16]>::deserialize(deserializer)?, PhantomData))
    }
}

/// Why a text is not the name it should be; a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError(pub &'static str);

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}
impl std::error::Error for NameError {}

/// An account's name: 1 to 64 of a-z, 0-9, '.', '_', '-', starting with a letter or a digit.
/// So few characters, because it stands in URLs and file names and must look like no other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

impl UserName {
    /// Checks `text`; upper case is refused rather than folded, so that one name has one spelling.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if text.len() > crate::limits::USER_NAME_BYTES || !starts_well || !text.chars().all(allowed)
        {
            return Err(NameError(
                "a user name has 1 to 64 of a-z, 0-9, '.', '_' and '-' and starts with a letter or a digit",
            ));
        }
        Ok(UserName(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
impl TryFrom<String> for UserName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        UserName::parse(&text)
    }
}
impl From<UserName> for String {
    fn from(name: UserName) -> String {
        name.0
    }
}

/// An e-mail address that serves as calendar user address (`mailto:` URI, RFC 6638 section 2.4.1).
/// Not RFC 5322 whole: one '@', no spaces, controls, quotes or URI delimiters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

impl Email {
    /// Checks `text`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bad = |c: char| c.is_control() || c.is_whitespace() || "<>()[]\\,;:\"?#%&".contains(c);
        let halves = text.split_once('@');
        let good = halves.is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@')
        });
        if !good || text.len() > crate::limits::EMAIL_BYTES || text.contains(bad) {
            return Err(NameError("an e-mail address looks like name@example.org"));
        }
        Ok(Email(text.to_owned()))
    }

    /// The address, as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Email {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Email::parse(&text)
    }
}
impl From<Email> for String {
    fn from(email: Email) -> String {
        email.0
    }
}

/// One percent-decoded segment of a path: the name of a member in its collection.
/// Never empty, ".", "..", never with '/', '\\' or a control character (HARDENING H1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Segment(Box<str>);

impl Segment {
    /// Checks a decoded segment.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bad = |c: char| c.is_control() || c == '/' || c == '\\';
        if text.is_empty() || text == "." || text == ".." || text.contains(bad) {
            return Err(NameError(
                "a name may not be empty, '.', '..' or contain '/', '\\' or control characters",
            ));
        }
        if text.len() > crate::limits::SEGMENT_BYTES {
            return Err(NameError("a name may have at most 255 bytes"));
        }
        Ok(Segment(text.into()))
    }

    /// The decoded name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Segment {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Segment::parse(&text)
    }
}
impl From<Segment> for String {
    fn from(segment: Segment) -> String {
        segment.0.into_string()
    }
}

/// A text that must not be seen: prints as `[redacted]`, is zeroed when dropped.
#[derive(Clone)]
pub struct Secret(zeroize::Zeroizing<String>);

impl Secret {
    /// Wraps it.
    pub fn new(text: String) -> Self {
        Secret(zeroize::Zeroizing::new(text))
    }

    /// The secret itself; the name of the method is meant to stand out where it is called.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names() {
        for good in ["a", "alice", "a.b-c_9", "0x"] {
            assert!(UserName::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "",
            "Alice",
            ".a",
            "a/b",
            "a*",
            "a%",
            "ä",
            "a b",
            "..",
            long.as_str(),
        ] {
            assert!(UserName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn segments() {
        for good in ["a", "...", "a b", "ü.ics", "%2e", "a:b@c"] {
            assert!(Segment::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a\\b",
            "a\0",
            "a\n",
            "\u{7f}",
            long.as_str(),
        ] {
            assert!(Segment::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn emails() {
        assert!(Email::parse("alice@example.org").is_ok());
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b\r\nX: y",
            "a?b@c",
        ] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_print_redacted() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "[redacted]");
    }

    #[test]
    fn ids_read_back_from_hex() {
        let id = AccountId::from_bytes([0xab; 16]);
        assert_eq!(AccountId::from_hex(&id.to_string()), Some(id));
        assert_eq!(AccountId::from_hex("AB"), None);
    }
}
