//! Who is at the other end: the peer of the connection, or, when that is a reverse proxy which
//! the administrator trusts, whom the proxy names.
//!
//! X-Forwarded-For goes before Forwarded (RFC 7239), since it is the one that proxies set by
//! themselves. Each hop appends to it, so it is read from the right, and the first address that
//! is no trusted proxy is the client: whatever stands left of it, the client wrote itself.

use std::net::{IpAddr, SocketAddr};

use ::http::HeaderMap;

use crate::config::Network;
use crate::limits;

/// The other end, as far as it can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Client {
    /// Its address; an IPv4 address mapped into IPv6 as IPv4.
    pub address: IpAddr,
    /// Whether it sees https.
    pub https: bool,
    /// Whether the request may be answered: it is protected by TLS, or never left this machine,
    /// or came through a trusted proxy.
    pub protected: bool,
    /// Whether a trusted proxy speaks for it.
    pub proxied: bool,
}

impl Client {
    /// Reads the forwarding headers if `peer` is among `proxies`.
    pub fn of(peer: IpAddr, tls: bool, headers: &HeaderMap, proxies: &[Network]) -> Client {
        let peer = peer.to_canonical();
        let trusted = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
        if !trusted(peer) {
            return Client {
                address: peer,
                https: tls,
                protected: tls || peer.is_loopback(),
                proxied: false,
            };
        }
        let mut address = peer;
        for hop in hops(headers).into_iter().take(limits::FORWARDED_HOPS) {
            let Some(hop) = parse_address(&hop) else {
                break;
            };
            address = hop.to_canonical();
            if !trusted(address) {
                break;
            }
        }
        let https =
            tls || scheme(headers).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        Client {
            address,
            https,
            protected: true,
            proxied: true,
        }
    }

    /// Whether it is a proxy on this machine that nobody said to trust: then all its clients are
    /// one address, and the failed sign-ins of one shut out the others.
    pub fn is_overlooked_proxy(&self, headers: &HeaderMap) -> bool {
        let forwards = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
        forwards && !self.proxied && self.address.is_loopback()
    }
}

/// The authorities that proxies say their clients used. Only for those that are trusted.
pub(super) fn forwarded_hosts(headers: &HeaderMap) -> Vec<String> {
    let mut hosts = items(headers, "x-forwarded-host");
    hosts.truncate(limits::FORWARDED_HOPS);
    hosts
}

/// The addresses of the forwarding headers, the nearest hop first.
fn hops(headers: &HeaderMap) -> Vec<String> {
    if headers.contains_key("x-forwarded-for") {
        return items(headers, "x-forwarded-for");
    }
    items(headers, "forwarded")
        .iter()
        .map(|item| parameter(item, "for").unwrap_or_default())
        .collect()
}

fn scheme(headers: &HeaderMap) -> Option<String> {
    let simple = items(headers, "x-forwarded-proto").into_iter().next();
    simple.or_else(|| {
        items(headers, "forwarded")
            .first()
            .and_then(|item| parameter(item, "proto"))
    })
}

/// The comma-separated items of all headers of this name, the last one first.
fn items(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut items: Vec<String> = values
        .flat_map(|value| value.split(','))
        .map(|item| item.trim().to_owned())
        .collect();
    items.reverse();
    items
}

fn parameter(item: &str, name: &str) -> Option<String> {
    let pairs = item.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
    named
        .next()
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
}

/// An address with or without a port, IPv6 with or without brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let with_port = || text.parse::<SocketAddr>().map(|address| address.ip()).ok();
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        let proxies = ["10.0.0.0/8", "::1"].map(|text| Network::try_from(text.to_owned()).unwrap());
        for (peer, header, value, expected) in [
            ("192.0.2.1", "x-forwarded-for", "198.51.100.7", "192.0.2.1"),
            (
                "10.0.0.1",
                "x-forwarded-for",
                "6.6.6.6, 198.51.100.7",
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                "x-forwarded-for",
                "198.51.100.7, 10.2.3.4",
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                "x-forwarded-for",
                "198.51.100.7:1234",
                "198.51.100.7",
            ),
            ("10.0.0.1", "x-forwarded-for", "6.6.6.6, junk", "10.0.0.1"),
            ("10.0.0.1", "x-forwarded-for", "", "10.0.0.1"),
            (
                "::ffff:10.0.0.1",
                "forwarded",
                "for=6.6.6.6, for=\"[2001:db8::1]:80\";proto=https",
                "2001:db8::1",
            ),
            ("::1", "forwarded", "For=198.51.100.7;by=_x", "198.51.100.7"),
            ("::1", "forwarded", "for=6.6.6.6, for=_hidden", "::1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(header, value.parse().unwrap());
            let client = Client::of(peer.parse().unwrap(), false, &headers, &proxies);
            assert_eq!(
                client.address,
                expected.parse::<IpAddr>().unwrap(),
                "{peer} {value}"
            );
            assert_eq!(client.https, value.contains("proto=https"));
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_and_for_proxies() {
        let proxies = [Network::try_from("10.0.0.1".to_owned()).unwrap()];
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-proto", "https".parse().unwrap());
        for (peer, tls, https, protected) in [
            ("127.0.0.1", false, false, true),
            ("::ffff:127.0.0.1", false, false, true),
            ("192.0.2.1", false, false, false),
            ("192.0.2.1", true, true, true),
            ("10.0.0.1", false, true, true),
        ] {
            let client = Client::of(peer.parse().unwrap(), tls, &headers, &proxies);
            assert_eq!(
                (client.https, client.protected),
                (https, protected),
                "{peer}"
            );
        }
    }
}
