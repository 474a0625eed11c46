//! How many connections each address has, so that one machine cannot take all that there are.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Network;

/// The addresses that have connections. Neither this machine nor a trusted proxy is counted: both
/// speak for many clients.
pub(super) struct Peers {
    most: usize,
    proxies: Vec<Network>,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that was let in; it counts until it is dropped.
pub(super) struct Guest(Option<(Arc<Peers>, IpAddr)>);

impl Peers {
    pub fn new(most: usize, proxies: Vec<Network>) -> Arc<Peers> {
        Arc::new(Peers {
            most,
            proxies,
            counts: Mutex::default(),
        })
    }

    /// None when the address has as many as it may have.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Guest> {
        let peer = peer.to_canonical();
        if peer.is_loopback() || self.proxies.iter().any(|network| network.contains(peer)) {
            return Some(Guest(None));
        }
        let holder = holder(peer);
        let mut counts = self.counts.lock();
        let count = counts.entry(holder).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Guest(Some((Arc::clone(self), holder))))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Some((peers, holder)) = &self.0 else {
            return;
        };
        let mut counts = peers.counts.lock();
        if let Some(count) = counts.get_mut(holder) {
            *count -= 1;
            if *count == 0 {
                counts.remove(holder);
            }
        }
    }
}

/// Of IPv6 the /64, which is what one customer has at least.
fn holder(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(peer) => IpAddr::V6(Ipv6Addr::from_bits(peer.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_take_all() {
        let proxies = vec![Network::try_from("10.0.0.0/8".to_owned()).unwrap()];
        let peers = Peers::new(2, proxies);
        let admit = |peer: &str| peers.admit(peer.parse().unwrap());
        let guests = [admit("192.0.2.1"), admit("::ffff:192.0.2.1")];
        assert!(guests.iter().all(Option::is_some));
        assert!(admit("192.0.2.1").is_none());
        let _other = admit("192.0.2.2").unwrap();
        let _network = [admit("2001:db8::1").unwrap(), admit("2001:db8::2").unwrap()];
        assert!(admit("2001:db8::ffff:0:0:1").is_none());
        assert!(admit("2001:db8:0:1::1").is_some());
        for many in ["127.0.0.1", "::1", "10.1.2.3"] {
            let guests = [admit(many), admit(many), admit(many)];
            assert!(guests.iter().all(Option::is_some), "{many}");
        }
        drop(guests);
        assert!(admit("192.0.2.1").is_some());
        drop((_other, _network));
        assert!(peers.counts.lock().is_empty());
    }
}
