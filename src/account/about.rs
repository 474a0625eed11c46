//! What is sealed for the host beside a generated secret's slot: what lists show of it, and the
//! public key of the secret's pair, so that the slot can be made anew without the secret.
//!
//! What a slot may do is decided inside the slot; the copy here is for lists alone.

use serde::{Deserialize, Serialize};

use crate::ambient::UnixMillis;
use crate::ids::CollectionId;
use crate::seal::{Access, Generated, PublicKey, Terms};

/// Never the first byte of an older one, which begins with the length of its label.
const MARK: u8 = 0;
const VERSION: u8 = 2;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    /// What its user calls the device; nothing for a recovery key.
    pub label: String,
    pub created: UnixMillis,
    /// None for a slot of before, which cannot be made anew without its secret.
    pub public: Option<PublicKey>,
    pub access: Access,
    pub expires: Option<UnixMillis>,
    /// The calendars that a limited slot opens; none for one that opens the whole account.
    pub calendars: Vec<CollectionId>,
}

/// As it was in the first version.
#[derive(Deserialize)]
struct Old {
    label: String,
    created: UnixMillis,
}

impl About {
    pub fn recovery_key(secret: &Generated, now: UnixMillis) -> About {
        About {
            label: String::new(),
            created: now,
            public: Some(secret.pair().public()),
            access: Access::ReadWrite,
            expires: None,
            calendars: Vec::new(),
        }
    }

    pub fn terms(&self) -> Terms {
        Terms {
            access: self.access,
            expires: self.expires,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![MARK, VERSION])
            .expect("writing to memory, of types that postcard takes")
    }

    pub fn decode(bytes: &[u8]) -> Option<About> {
        match bytes {
            [MARK, VERSION, rest @ ..] => postcard::from_bytes(rest).ok(),
            _ => {
                let old: Old = postcard::from_bytes(bytes).ok()?;
                Some(About {
                    label: old.label,
                    created: old.created,
                    public: None,
                    access: Access::ReadWrite,
                    expires: None,
                    calendars: Vec::new(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::OsRandom;
    use crate::seal::SecretKind;

    #[test]
    fn old_and_new_ones_read_back() {
        let old = postcard::to_allocvec(&("phone", UnixMillis(7))).unwrap();
        let about = About::decode(&old).unwrap();
        assert_eq!(
            (about.label.as_str(), about.created),
            ("phone", UnixMillis(7))
        );
        assert_eq!((about.public, about.terms()), (None, Terms::default()));
        let secret = Generated::random(SecretKind::AppPassword, &mut OsRandom);
        let about = About {
            label: "tablet".into(),
            access: Access::ReadOnly,
            expires: Some(UnixMillis(9)),
            calendars: vec![CollectionId::from_bytes([3; 16])],
            ..About::recovery_key(&secret, UnixMillis(8))
        };
        assert_eq!(About::decode(&about.encode()), Some(about));
    }
}
