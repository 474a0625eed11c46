//! Keys, key slots and sealed rows.
//!
//! Nothing here does I/O, knows of calendars or reads a clock. `Sealed` is made only by sealing
//! and is all that the store takes; `Stored` is what was read and cannot be written back.
//!
//! The formulas, `HKDF[info](key)` being HKDF-SHA256 (RFC 5869) with an empty salt and 32 bytes
//! of output, `B3[key](text, n)` the first n bytes of BLAKE3's keyed hash:
//!
//! ```text
//! row        = 01 || nonce24 || commitment16 || XChaCha20-Poly1305[subkey, nonce24, place](padded)
//! subkey32 || commitment16 = B3[row key](nonce24, 48)
//! padded     = codec1 || length4 LE || content || zeros up to the next Padmé size, at least 64
//! row name   = prefix16 || B3[name key](02 || kind || object id || revision, 16) || chunk4 BE
//!              or, of an object of a family (its id tells, `ids::family`), with the first 6 of these 16
//!              from B3[name key](05 || kind || family4, 6)
//! family4    = B3[name key](06 || revision at which it was made / 64, 4)
//! prefix16   = B3[name key](01 || kind, 16), or of the host's rows of one account B3[name key](04 || kind || account, 16)
//! row key, name key of an account     = HKDF["sealdav 1 account rows"], HKDF["sealdav 1 account names"] (account key)
//! row key of a collection, per epoch  = HKDF["sealdav 1 collection rows"] (collection key)
//! pairs and boxes (X25519) and signatures (Ed25519): see `pair`
//! name key of what the host keeps of an account = HKDF["sealdav 1 host names of" || account id](host key)
//! row key of a day's audit entries    = HKDF["sealdav 1 audit entries"] (day key)
//! name, etag and digest key of a collection = HKDF["sealdav 1 collection names"], .. (lasting key)
//! ```
//!
//! The commitment is there because Poly1305 binds no key: without it one row could be made to
//! open under two keys. It differs in every row, so it links nothing.

mod key;
mod pair;
mod row;
mod secret;
mod slot;
#[cfg(test)]
mod vector_tests;
mod wipe;
#[cfg(test)]
pub mod work;

pub use key::{
    AccountKey, CollectionKey, DayKey, EtagKey, HostKey, HostKeyError, LastingKey, NameKey, RowKey,
};
pub use pair::{Boxed, PairKey, PublicKey, Signer, verified};
pub use row::{Kind, OpenError, Opened, Place, RowName, RowPrefix, Sealed, Stored};
pub use secret::{Generated, SecretKind};
pub use slot::{
    Access, Argon2Cost, OuterSeal, Slot, SlotContent, SlotError, SlotKey, SlotLock, Terms, ToWrap,
};
pub use wipe::{wiped, wiped_briefly, wiped_quickly};

/// Bytes of a chunk that, with its padding header, stay within the store's bound for one row.
pub const CHUNK_CONTENT_BYTES: usize = crate::limits::CHUNK_BYTES - row::HEADER_BYTES;
