//! How the server is reached: the settings, the certificate, the names.

use std::net::ToSocketAddrs;
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
    if host.parse::<std::net::IpAddr>().is_ok() || host.starts_with('[') {
        return findings.ok(about, format!("clients use the address {host}"));
    }
    match resolves(host.clone()) {
        Some(true) => findings.ok(
            about,
            format!("{host} resolves; `sealdav dns --host {host} --domain DOMAIN` prints the records by which calendar apps find it from an e-mail address"),
        ),
        Some(false) => findings.warn(
            about,
            format!("{host} does not resolve here"),
            "make an A or AAAA record for it",
        ),
        None => findings.warn(
            about,
            format!("whether {host} resolves is not known: the resolver does not answer"),
            "look at this machine's DNS settings",
        ),
    }
}

/// Whether a name has an address; none if nobody answers in time.
fn resolves(host: String) -> Option<bool> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let found = (host.as_str(), 443).to_socket_addrs();
        // Nobody listens any more when it took too long.
        let _ = tell.send(found.is_ok_and(|mut found| found.next().is_some()));
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
}
