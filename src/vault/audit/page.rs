//! The rows of the audit trail: their formats, names and seals.
//!
//! ```text
//! page    = seal[host row key](place, account, number, previous, hour, key, entries, changes, heads)
//! key     = box[account's public key](account, day; day key)     none for administration
//! entries = seal[day key](account, number; entries)              as they are for administration
//! ```
//!
//! `previous` is the BLAKE3 hash of the sealed bytes of the page before. The open page of a chain
//! stands under number 0, whatever its own number is, and is overwritten; a closed page stands
//! under its number and is never written again.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Action, Happening};
use crate::ambient::{Ambient, UnixMillis};
use crate::ids::{AccountId, CollectionId, ObjectId, SlotId};
use crate::seal::{
    Boxed, DayKey, HostKey, Kind, NameKey, PairKey, Place, PublicKey, RowKey, RowName,
};
use crate::vault::rows::{decode, encode};

/// Milliseconds of an hour.
pub(super) const HOUR_MILLIS: i64 = 60 * 60 * 1000;

/// The hour of a moment, counted in UTC since 1970.
pub(super) fn hour_of(now: UnixMillis) -> i64 {
    now.0.div_euclid(HOUR_MILLIS)
}

/// The day of an hour.
pub(super) fn day_of(hour: i64) -> i64 {
    hour.div_euclid(24)
}

/// Host: where a chain starts, and for whom its pages are sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RootRow {
    pub account: AccountId,
    /// None for administration.
    pub public: Option<PublicKey>,
    /// The number of the first page that is kept.
    pub first: u64,
    /// The hash of the page before it.
    pub previous: [u8; 32],
    /// The host's signature under `message`.
    pub signature: Vec<u8>,
}

impl RootRow {
    pub fn signed(
        account: AccountId,
        public: Option<PublicKey>,
        first: u64,
        previous: [u8; 32],
        host: &HostKey,
    ) -> Self {
        let signature = host.signer().sign(&Self::message(account, first, previous));
        RootRow {
            account,
            public,
            first,
            previous,
            signature: signature.to_vec(),
        }
    }

    /// Whether the host signed that the chain starts here.
    pub fn holds(&self, host: &HostKey) -> bool {
        let message = Self::message(self.account, self.first, self.previous);
        crate::seal::verified(&host.signer().public(), &message, &self.signature)
    }

    fn message(account: AccountId, first: u64, previous: [u8; 32]) -> Vec<u8> {
        let previous = super::hex(&previous);
        format!("sealdav audit checkpoint 1\n{account} {first} {previous}\n").into_bytes()
    }
}

/// Host: a page. See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PageRow {
    pub account: AccountId,
    /// Counted from 1.
    pub number: u64,
    pub previous: [u8; 32],
    /// Its entries are of this hour; what waited in memory may be of the hour before.
    pub hour: i64,
    pub key: Option<Boxed>,
    pub entries: Vec<u8>,
    /// How many changes the account has seen, ever.
    pub changes: u64,
    /// The sum over its collections and their revisions (`State::head_digest`), as of the last
    /// change; none in administration, and while a damaged collection keeps it from being known.
    pub heads: Option<[u64; 4]>,
}

/// What happened within the hour of a page, as often as it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub what: Happening,
    pub first: UnixMillis,
    pub last: UnixMillis,
    pub count: u64,
}

/// Names and seals the rows of one chain.
pub(in crate::vault) struct ChainRows {
    pub account: AccountId,
    pub names: NameKey,
}

impl ChainRows {
    pub fn new(account: AccountId, host: &NameKey) -> Self {
        ChainRows {
            account,
            names: host.of_account(account),
        }
    }

    /// The name of a closed page; of the open page, with number 0.
    pub fn page(&self, number: u64) -> RowName {
        self.names
            .row(Kind::AuditPage, self.account.bytes(), number, 0)
    }

    pub fn open_page(&self) -> RowName {
        self.page(0)
    }

    pub fn root(&self) -> RowName {
        self.names.row(Kind::AuditRoot, self.account.bytes(), 0, 0)
    }

    pub fn device(&self, slot: SlotId) -> RowName {
        self.names.row(Kind::Device, slot.bytes(), 0, 0)
    }

    /// All that goes with the account.
    pub fn prefixes(&self) -> [[u8; 16]; 3] {
        [Kind::AuditPage, Kind::AuditRoot, Kind::Device]
            .map(|kind| crate::vault::tree::prefix_bytes(self.names.prefix(kind)))
    }
}

fn key_place(account: AccountId, day: i64) -> Place {
    Place {
        revision: day.cast_unsigned(),
        ..Place::single(Kind::AuditKey, account, CollectionId::NONE, ObjectId::NONE)
    }
}

fn entries_place(account: AccountId, number: u64) -> Place {
    Place {
        revision: number,
        ..Place::single(
            Kind::AuditEntries,
            account,
            CollectionId::NONE,
            ObjectId::NONE,
        )
    }
}

/// The key of a day for its rows, and the box in which its user finds it.
pub(super) struct Day {
    pub day: i64,
    pub public: PublicKey,
    rows: RowKey,
    boxed: Boxed,
}

impl Day {
    pub fn new(account: AccountId, public: PublicKey, day: i64, ambient: &Ambient) -> Self {
        let key = ambient.random(|random| DayKey::generate(random));
        let boxed = public.seal(&key_place(account, day), key.expose(), ambient);
        Day {
            day,
            public,
            rows: key.rows(),
            boxed,
        }
    }

    pub fn boxed(&self) -> Boxed {
        self.boxed.clone()
    }

    /// Seals the entries of a page.
    pub fn seal(
        &self,
        account: AccountId,
        number: u64,
        entries: &[Entry],
        ambient: &Ambient,
    ) -> Vec<u8> {
        let place = entries_place(account, number);
        let sealed = self.rows.seal_by(&place, &encode(&entries), ambient);
        sealed.bytes().to_vec()
    }
}

/// The entries of a page of administration, which is not sealed for anybody.
pub(super) fn plain(entries: &[Entry]) -> Vec<u8> {
    encode(&entries).to_vec()
}

impl PageRow {
    /// The entries, if this is a page of administration.
    pub fn administration(&self) -> Option<Vec<Entry>> {
        (self.account == AccountId::NONE).then_some(())?;
        decode(&self.entries)
    }

    /// The entries, opened by one of the account's keys: of an account whose keys were changed,
    /// older pages are sealed for older keys.
    pub fn open(&self, keys: &[PairKey]) -> Option<Vec<Entry>> {
        let boxed = self.key.as_ref()?;
        let place = key_place(self.account, day_of(self.hour));
        let day: Zeroizing<Vec<u8>> = keys.iter().find_map(|key| key.open(&place, boxed).ok())?;
        let day = DayKey::read(day.as_slice().try_into().ok()?);
        let place = entries_place(self.account, self.number);
        let opened = crate::seal::Stored::read(self.entries.clone()).open(&day.rows(), &place);
        decode(&opened.ok()?)
    }
}

/// What a happening is about when it is about nothing.
pub(super) const NOTHING: [u8; 16] = [0; 16];

impl Entry {
    pub fn new(what: Happening, now: UnixMillis) -> Self {
        Entry {
            what,
            first: now,
            last: now,
            count: 1,
        }
    }

    /// Counts `other` in, which tells of the same.
    pub fn add(&mut self, other: &Entry) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count = self.count.saturating_add(other.count);
    }
}

impl Happening {
    /// The same without saying where, for hours in which too much happens.
    pub(super) fn anywhere(self) -> Self {
        Happening {
            about: NOTHING,
            ..self
        }
    }

    /// The same without saying by what device either.
    pub(super) fn by_anyone(self) -> Self {
        Happening {
            device: SlotId::NONE,
            ..self.anywhere()
        }
    }

    /// Something that happened to nothing in particular.
    pub(super) fn of(action: Action) -> Self {
        Happening {
            action,
            device: SlotId::NONE,
            about: NOTHING,
        }
    }
}
