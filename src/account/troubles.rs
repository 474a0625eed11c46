//! What goes wrong for which device: the classes of its refused requests within the last hours, so
//! that an administrator can tell somebody what to do about a calendar app that does not sync.
//!
//! In memory only, bounded, and without content: an account, a device or a part of the network,
//! a status, the word that the log has for the reason, how often, when last. Nothing is noted of
//! requests that succeed, so this costs them nothing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use parking_lot::Mutex;

use crate::ambient::UnixMillis;
use crate::ids::{AccountId, SlotId};
use crate::limits;

/// Whose requests were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// Those of a device that signed in.
    Device(SlotId),
    /// Those of somebody who did not, from this part of the network: the last 8 bits of an IPv4
    /// address are 0, the last 64 of an IPv6 one.
    Stranger(IpAddr),
}

/// One kind of refusal to one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The account; `AccountId::NONE` for a name that no account has.
    pub account: AccountId,
    /// The device.
    pub who: Who,
    /// The status of the answers.
    pub status: u16,
    /// The reason, in the word of the log.
    pub reason: &'static str,
    /// How often within `limits::TROUBLE_MINUTES`, give or take a sixth of them.
    pub times: u64,
    /// When last.
    pub last: UnixMillis,
}

/// Into how many parts the time is cut for which troubles are counted.
const PARTS: i64 = 6;

type Key = (AccountId, Who, u16, &'static str);

#[derive(Default)]
struct Recent {
    /// One number for each part of the time, by the number of the part.
    times: [u64; PARTS as usize],
    /// The number of the latest part that was counted in.
    part: i64,
    last: UnixMillis,
}

impl Recent {
    fn forward(&mut self, part: i64) {
        for passed in (self.part + 1..=part).rev().take(PARTS as usize) {
            self.times[passed.rem_euclid(PARTS) as usize] = 0;
        }
        self.part = self.part.max(part);
    }
}

/// The troubles of all devices, the latest of them.
#[derive(Default)]
pub(super) struct Troubles(Mutex<HashMap<Key, Recent>>);

fn part_of(now: UnixMillis) -> i64 {
    now.seconds()
        .div_euclid(limits::TROUBLE_MINUTES * 60 / PARTS)
}

impl Troubles {
    /// Notes a refusal.
    pub fn note(&self, account: AccountId, who: Who, why: (u16, &'static str), now: UnixMillis) {
        let key = (account, who, why.0, why.1);
        let mut troubles = self.0.lock();
        if troubles.len() >= limits::TROUBLES && !troubles.contains_key(&key) {
            let oldest = troubles.iter().min_by_key(|(_, recent)| recent.last);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                troubles.remove(&oldest);
            }
        }
        let recent = troubles.entry(key).or_default();
        recent.forward(part_of(now));
        recent.times[recent.part.rem_euclid(PARTS) as usize] += 1;
        recent.last = now;
    }

    /// What happened within the last hour, the most frequent first.
    pub fn recent(&self, now: UnixMillis) -> Vec<Trouble> {
        let mut troubles = self.0.lock();
        let mut found = Vec::new();
        troubles.retain(|(account, who, status, reason), recent| {
            recent.forward(part_of(now));
            let times = recent.times.iter().sum();
            found.push(Trouble {
                account: *account,
                who: *who,
                status: *status,
                reason,
                times,
                last: recent.last,
            });
            times > 0
        });
        found.retain(|trouble| trouble.times > 0);
        found.sort_by_key(|trouble| (std::cmp::Reverse(trouble.times), trouble.last));
        found
    }
}

/// The part of the network that an address belongs to.
pub(super) fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(peer) => Ipv4Addr::from_bits(peer.to_bits() & !0xff).into(),
        IpAddr::V6(peer) => Ipv6Addr::from_bits(peer.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    #[test]
    fn an_hour_is_remembered_and_no_more_than_so_many() {
        let troubles = Troubles::default();
        let phone = Who::Device(SlotId::from_bytes([1; 16]));
        let start = 1_000_000 * 60 * MINUTE;
        let at = |minute: i64| UnixMillis(start + minute * MINUTE);
        for minute in 0..14 {
            troubles.note(AccountId::NONE, phone, (412, "etag"), at(minute));
        }
        let times = |minute| {
            let recent = troubles.recent(at(minute));
            recent.iter().map(|one| one.times).sum::<u64>()
        };
        assert_eq!((times(14), times(59), times(61), times(70)), (14, 14, 4, 0));
        assert!(troubles.0.lock().is_empty(), "what is over is forgotten");
        // The clock going back neither panics nor counts into a time that is not.
        troubles.note(AccountId::NONE, phone, (412, "etag"), at(-100_000));
        for number in 0..=limits::TROUBLES as u32 + 5 {
            let peer = neighbourhood(Ipv4Addr::from_bits(number << 8 | 7).into());
            let stranger = Who::Stranger(peer);
            troubles.note(
                AccountId::NONE,
                stranger,
                (401, "sign-in"),
                at(i64::from(number)),
            );
        }
        assert_eq!(troubles.0.lock().len(), limits::TROUBLES);
    }

    #[test]
    fn strangers_are_told_of_by_their_neighbourhood() {
        for (peer, shown) in [
            ("192.0.2.77", "192.0.2.0"),
            ("::ffff:192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(neighbourhood(peer.parse().unwrap()).to_string(), shown);
        }
    }
}
