//! Throttling of failed sign-ins by name and by address. Owns governor.
//!
//! Only failures count: governor is asked when one happened, and once it refuses, the name or the
//! address is blocked until it would allow one more; each time that this happens again, for twice
//! as long. So a sign-in that succeeds is never slowed by itself, and a bucket that is spent costs
//! no Argon2 run. How often it happened is forgotten after a while without failures.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;

use crate::limits;

pub(super) struct Throttle {
    names: Buckets<[u8; 32]>,
    addresses: Buckets<IpAddr>,
}

struct Buckets<Key: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<Key>,
    blocked: Mutex<HashMap<Key, Block>>,
}

/// Until when a key is blocked, and how often it was in a row.
#[derive(Clone, Copy)]
struct Block {
    until: Instant,
    times: u32,
}

impl Block {
    /// How long the next one lasts, `wait` being what governor asks for.
    fn delay(times: u32, wait: Duration) -> Duration {
        let doubled = wait.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX));
        doubled.min(Duration::from_secs(limits::FAILURE_DELAY_SECONDS))
    }

    fn is_remembered(&self, now: Instant) -> bool {
        now < self.until + Duration::from_secs(limits::FAILURE_DELAY_SECONDS)
    }
}

impl<Key: Hash + Eq + Clone> Buckets<Key> {
    fn new(burst: u32) -> Self {
        let quota = Quota::with_period(Duration::from_secs(limits::FAILURE_REFILL_SECONDS))
            .expect("the period is not zero")
            .allow_burst(NonZeroU32::new(burst).expect("the burst is not zero"));
        Buckets {
            limiter: RateLimiter::keyed(quota),
            blocked: Mutex::default(),
        }
    }

    fn failed(&self, key: Key) {
        if let Err(not_until) = self.limiter.check_key(&key) {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            let now = Instant::now();
            let mut blocked = self.blocked.lock();
            let before = blocked.get(&key).filter(|block| block.is_remembered(now));
            let times = before.map_or(0, |block| block.times);
            let until = now + Block::delay(times, wait);
            blocked.insert(
                key,
                Block {
                    until,
                    times: times + 1,
                },
            );
        }
    }

    fn blocked(&self, key: &Key) -> Option<Duration> {
        let until = self.blocked.lock().get(key)?.until;
        until.checked_duration_since(Instant::now())
    }

    fn expire(&self) {
        let now = Instant::now();
        self.blocked
            .lock()
            .retain(|_, block| block.is_remembered(now));
        self.limiter.retain_recent();
    }
}

impl Throttle {
    pub fn new() -> Self {
        Throttle {
            names: Buckets::new(limits::FAILURES_PER_NAME),
            addresses: Buckets::new(limits::FAILURES_PER_ADDRESS),
        }
    }

    /// Seconds to wait, when the name or the address has failed too often.
    pub fn blocked(&self, name: &str, peer: IpAddr) -> Option<u64> {
        let waits = [
            self.names.blocked(&name_key(name)),
            self.addresses.blocked(&network(peer)),
        ];
        waits
            .into_iter()
            .flatten()
            .max()
            .map(|wait| wait.as_secs() + 1)
    }

    /// Counts a failure.
    pub fn failed(&self, name: &str, peer: IpAddr) {
        self.names.failed(name_key(name));
        self.addresses.failed(network(peer));
    }

    pub fn expire(&self) {
        self.names.expire();
        self.addresses.expire();
    }
}

/// A name of any length takes the room of a hash; upper and lower case are one name.
fn name_key(name: &str) -> [u8; 32] {
    *blake3::hash(name.to_lowercase().as_bytes()).as_bytes()
}

/// The address, or the /64 that one IPv6 customer has.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !0u128 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_blocked_after_its_burst_and_others_are_not() {
        let throttle = Throttle::new();
        for number in 0..limits::FAILURES_PER_NAME {
            assert_eq!(
                throttle.blocked("alice", IpAddr::from([10, 0, 0, 1])),
                None,
                "{number}"
            );
            throttle.failed("alice", IpAddr::from([10, 0, 0, number as u8]));
        }
        throttle.failed("ALICE", IpAddr::from([10, 0, 0, 200]));
        let wait = throttle
            .blocked("alice", IpAddr::from([10, 0, 0, 201]))
            .unwrap();
        assert!(
            (1..=limits::FAILURE_REFILL_SECONDS + 1).contains(&wait),
            "{wait}"
        );
        assert_eq!(throttle.blocked("bob", IpAddr::from([10, 0, 0, 201])), None);
    }

    #[test]
    fn delays_grow_up_to_a_bound() {
        let wait = Duration::from_secs(limits::FAILURE_REFILL_SECONDS);
        let delays: Vec<_> = (0..40).map(|times| Block::delay(times, wait)).collect();
        assert_eq!(delays[..3], [wait, wait * 2, wait * 4]);
        assert!(delays.is_sorted());
        let most = Duration::from_secs(limits::FAILURE_DELAY_SECONDS);
        assert_eq!(delays.last(), Some(&most));
        let throttle = Throttle::new();
        let peer = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..limits::FAILURES_PER_NAME + 3 {
            throttle.names.failed(name_key("alice"));
        }
        let left = throttle.blocked("alice", peer).unwrap();
        assert!(left > 2 * limits::FAILURE_REFILL_SECONDS, "{left}");
        assert_eq!(throttle.blocked("bob", peer), None);
    }

    #[test]
    fn one_ipv6_customer_is_one_address() {
        let throttle = Throttle::new();
        for number in 0..=limits::FAILURES_PER_ADDRESS {
            let peer = format!("2001:db8:1:2::{number:x}").parse().unwrap();
            throttle.failed(&format!("name{number}"), peer);
        }
        assert!(
            throttle
                .blocked("new", "2001:db8:1:2:ffff::1".parse().unwrap())
                .is_some()
        );
        assert!(
            throttle
                .blocked("new", "2001:db8:1:3::1".parse().unwrap())
                .is_none()
        );
    }
}
