//! How the server is reached: the settings, the certificate, the names.

use std::io::ErrorKind;
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use super::Findings;
use crate::ambient::UnixMillis;
use crate::config::{self, Config};
use crate::http::CertificateFacts;
use crate::limits;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Looks at the settings, which were read.
pub(super) fn settings(config: &Config, findings: &mut Findings) {
    let about = "settings";
    match config.check() {
        Ok(()) => findings.ok(about, "can be used"),
        Err(error) => findings.fault(
            about,
            error.to_string(),
            "correct it; config/sealdav.toml explains every setting",
        ),
    }
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in config::unknown_variables(names) {
        findings.warn(
            about,
            format!("the environment variable {name} names no setting"),
            "correct its name, or remove it",
        );
    }
    for doubt in super::super::serve::doubts(config) {
        findings.warn(about, doubt, "see config/sealdav.toml on trusted_proxies");
    }
}

/// Looks at the certificate.
pub(super) fn certificate(config: &Config, now: UnixMillis, findings: &mut Findings) {
    let about = "certificate";
    if config.plain_http {
        return findings.ok(about, "none is needed: plain_http leaves TLS to a proxy");
    }
    let given = config.tls.cert.clone();
    let own = given.is_none();
    let file = given.unwrap_or_else(|| config.data_dir().join("tls/cert.pem"));
    if own && !file.exists() {
        return findings.ok(about, "the server makes its own when it starts");
    }
    let facts = match CertificateFacts::read(&file) {
        Ok(facts) => facts,
        Err(error) => {
            return findings.fault(about, error.to_string(), "put the right file there");
        }
    };
    let until = super::super::commands::date(facts.ends.0);
    let days = (facts.ends.0 - now.0).div_euclid(DAY);
    let renew = match own {
        true => "the server renews its own certificate while it runs: look at its log",
        false => "renew it, then send the server SIGHUP (systemctl reload sealdav)",
    };
    if now.0 >= facts.ends.0 || now.0 < facts.begins.0 {
        findings.fault(
            about,
            format!("it is not valid now: it ends {until}"),
            renew,
        );
    } else if days < limits::CERTIFICATE_WARNING_DAYS {
        findings.warn(about, format!("it ends in {days} days, {until}"), renew);
    } else {
        findings.ok(about, format!("valid until {until}"));
    }
    if let Some(url) = &config.public_url {
        match facts.is_for(url.host()) {
            true => findings.ok(about, format!("is for {}", url.host())),
            false => findings.fault(
                about,
                format!(
                    "is not for {}, but for {}",
                    url.host(),
                    facts.names.join(", ")
                ),
                "clients refuse it: get one for that name, or correct public_url",
            ),
        }
    }
    if own {
        let authority: PathBuf = config.data_dir().join("tls/ca.pem");
        findings.ok(
            about,
            format!(
                "of the server's own authority: {} must be installed on every device",
                authority.display()
            ),
        );
    }
}

/// Looks at the name that clients use.
pub(super) fn names(config: &Config, findings: &mut Findings) {
    let about = "names";
    let Some(url) = &config.public_url else {
        return findings.ok(
            about,
            format!(
                "public_url is not set; clients are told {}",
                config.base_url()
            ),
        );
    };
    let host = url.host().to_owned();
    if host.parse::<IpAddr>().is_ok() || host.starts_with('[') {
        return findings.ok(about, format!("clients use the address {host}"));
    }
    let outgoing = outgoing();
    match resolves(host.clone()) {
        None => findings.warn(
            about,
            format!("whether {host} resolves is not known: the resolver does not answer"),
            "look at this machine's DNS settings",
        ),
        Some(found) if found.is_empty() && outgoing.is_empty() => findings.ok(
            about,
            format!("whether {host} resolves is not known: this machine has no network now"),
        ),
        Some(found) if found.is_empty() => findings.warn(
            about,
            format!("{host} does not resolve here"),
            "make an A or AAAA record for it",
        ),
        Some(found) => {
            let found = found
                .into_iter()
                .map(|ip| (ip, is_own(ip)))
                .collect::<Vec<_>>();
            let proxied = !config.trusted_proxies.is_empty();
            judge_addresses(&host, &found, &outgoing, proxied, findings);
        }
    }
}

/// Whether the addresses of a name, of which it is known whether this machine has them, lead here;
/// `outgoing` are those that it uses itself.
fn judge_addresses(
    host: &str,
    found: &[(IpAddr, bool)],
    outgoing: &[IpAddr],
    proxied: bool,
    findings: &mut Findings,
) {
    let about = "names";
    let list = |ips: &mut dyn Iterator<Item = IpAddr>| {
        let texts: Vec<String> = ips.map(|ip| ip.to_string()).collect();
        texts.join(", ")
    };
    let all = list(&mut found.iter().map(|(ip, _)| *ip));
    let records = format!(
        "`sealdav dns --host {host} --domain DOMAIN` prints the records by which calendar apps find it from an e-mail address"
    );
    let behind_router = |ip: &IpAddr| {
        let own = outgoing.iter().find(|own| own.is_ipv4() == ip.is_ipv4());
        ip.is_ipv4() && !is_private(ip) && own.is_some_and(is_private)
    };
    let elsewhere: Vec<IpAddr> = found
        .iter()
        .filter(|(_, own)| !own)
        .map(|(ip, _)| *ip)
        .collect();
    if found.iter().all(|(ip, _)| ip.is_loopback()) {
        findings.ok(
            about,
            format!("{host} is {all} here, as /etc/hosts or the like says; what other devices are told cannot be seen from here; {records}"),
        );
    } else if elsewhere.is_empty() {
        findings.ok(
            about,
            format!("{host} resolves to {all}, which this machine has; {records}"),
        );
    } else if proxied {
        findings.ok(
            about,
            format!("{host} resolves to {all}, which should be the reverse proxy; {records}"),
        );
    } else if elsewhere.iter().all(behind_router) {
        let (away, own) = (
            list(&mut elsewhere.iter().copied()),
            list(&mut outgoing.iter().copied()),
        );
        findings.ok(
            about,
            format!("{host} resolves to {away}, which should be the router; it must pass the port on to this machine ({own}); {records}"),
        );
    } else {
        let unknown = list(&mut elsewhere.iter().copied().filter(|ip| !behind_router(ip)));
        findings.warn(
            about,
            format!("{host} resolves to {unknown}, which this machine does not have"),
            "correct its A or AAAA record; if that is a proxy or router in front of this server, all is well",
        );
    }
}

/// Whether an address is of a local network: RFC 1918, 3927, 6598 (IPv4), 4193, 4291 (IPv6).
fn is_private(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whether this machine has an address: others cannot be bound to.
fn is_own(ip: IpAddr) -> bool {
    match UdpSocket::bind((ip, 0)) {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::AddrNotAvailable,
    }
}

/// The addresses from which this machine would speak to the internet, one of each kind; none
/// without a network. Nothing is sent: the kernel looks into its table of routes.
fn outgoing() -> Vec<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849), to which the default route leads.
    let ways = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let own = |(from, to): (&str, &str)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    ways.into_iter().filter_map(own).collect()
}

/// The addresses of a name, each once; none if nobody answers in time.
fn resolves(host: String) -> Option<Vec<IpAddr>> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let found = (host.as_str(), 443).to_socket_addrs();
        let mut found: Vec<IpAddr> = found.into_iter().flatten().map(|at| at.ip()).collect();
        found.sort_unstable();
        found.dedup();
        // Nobody listens any more when it took too long.
        let _ = tell.send(found);
    });
    told.recv_timeout(Duration::from_secs(5)).ok()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::config::{PublicUrl, Tls};

    fn looked(url: Option<&str>, days: i64) -> Findings {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cert.pem");
        let pem = crate::http::self_signed_for_test("cal.example.org");
        std::fs::write(&file, pem).unwrap();
        let tls = Tls {
            cert: Some(file.clone()),
            key: Some(file.clone()),
        };
        let config = Config {
            public_url: url.map(|url| PublicUrl::parse(url).unwrap()),
            tls,
            ..Config::default()
        };
        let ends = CertificateFacts::read(&file).unwrap().ends;
        let mut findings = Findings::default();
        certificate(&config, UnixMillis(ends.0 - days * DAY), &mut findings);
        findings
    }

    #[test]
    fn a_certificate_that_ends_or_is_for_others_is_told() {
        let right = Some("https://cal.example.org");
        for (url, days, level) in [
            (right, 60, Level::Ok),
            (right, 13, Level::Warning),
            (right, 0, Level::Fault),
            (None, 60, Level::Ok),
            (Some("https://other.example.org"), 60, Level::Fault),
        ] {
            let findings = looked(url, days);
            assert_eq!(findings.worst(), level, "{url:?} {days} {findings:?}");
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_told() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (public, home) = (&[ip("203.0.113.7")][..], &[ip("192.168.1.7")][..]);
        let (own, away) = (("203.0.113.7", true), ("203.0.113.9", false));
        let inside = ("192.168.1.9", false);
        for (found, outgoing, proxied, level, words) in [
            (
                &[own][..],
                public,
                false,
                Level::Ok,
                "which this machine has",
            ),
            (&[away], public, false, Level::Warning, "203.0.113.9, which"),
            (
                &[own, away],
                public,
                false,
                Level::Warning,
                " 203.0.113.9, which",
            ),
            (&[away], public, true, Level::Ok, "proxy"),
            // A router has the public address.
            (&[away], home, false, Level::Ok, "router"),
            (&[inside], home, false, Level::Warning, "192.168.1.9"),
            (
                &[("2001:db8::9", false)],
                home,
                false,
                Level::Warning,
                "2001:db8::9",
            ),
            (&[("127.0.1.1", true)], home, false, Level::Ok, "/etc/hosts"),
        ] {
            let found: Vec<_> = found.iter().map(|(text, own)| (ip(text), *own)).collect();
            let mut findings = Findings::default();
            judge_addresses("cal.example.org", &found, outgoing, proxied, &mut findings);
            assert_eq!(findings.worst(), level, "{findings:?}");
            let says = &findings.0[0].says;
            assert!(says.contains(words), "{says}");
        }
    }

    #[test]
    fn own_addresses_are_known() {
        assert!(is_own(IpAddr::from([127, 0, 0, 1])));
        // An address for documentation, which nobody has (RFC 5737).
        assert!(!is_own(IpAddr::from([192, 0, 2, 1])));
        assert!(outgoing().into_iter().all(is_own));
        for private in [
            "10.1.2.3",
            "100.64.0.1",
            "169.254.1.1",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(is_private(&private.parse().unwrap()), "{private}");
        }
        for public in ["100.128.0.1", "203.0.113.7", "2001:db8::1"] {
            assert!(!is_private(&public.parse().unwrap()), "{public}");
        }
    }
}
