//! What stands in a certificate: for whom, and until when. For `sealdav doctor`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;

use super::certificate::CertificateError;
use crate::ambient::UnixMillis;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The names and addresses it is for (RFC 5280 section 4.2.1.6), as text.
    pub names: Vec<String>,
    /// From when.
    pub begins: UnixMillis,
    /// Until when.
    pub ends: UnixMillis,
}

impl CertificateFacts {
    /// Of the first certificate of a PEM file, the server's own.
    ///
    /// # Errors
    /// A file that cannot be read, or is no certificate.
    pub fn read(file: &Path) -> Result<CertificateFacts, CertificateError> {
        let pem =
            std::fs::read(file).map_err(|error| CertificateError::File(file.to_owned(), error))?;
        let wrong = || CertificateError::Content(file.to_owned(), "this is no certificate");
        let der = CertificateDer::from_pem_slice(&pem).map_err(|_| wrong())?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| wrong())?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let validity = parsed.validity();
        Ok(CertificateFacts {
            names: names.filter_map(name).collect(),
            begins: UnixMillis(validity.not_before.timestamp().saturating_mul(1000)),
            ends: UnixMillis(validity.not_after.timestamp().saturating_mul(1000)),
        })
    }

    /// Whether it is for this host: by name, by a wildcard for its first label (RFC 9525 section
    /// 6.3), or by address.
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        self.names.iter().any(|name| {
            let name = name.to_ascii_lowercase();
            let wild = name.strip_prefix("*.").zip(host.split_once('.'));
            name == host || wild.is_some_and(|(domain, (_, rest))| domain == rest)
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(|four| IpAddr::from(Ipv4Addr::from(four)));
            let sixteen =
                || <[u8; 16]>::try_from(*bytes).map(|bytes| IpAddr::from(Ipv6Addr::from(bytes)));
            let address = four.or_else(|_| sixteen()).ok()?;
            Some(address.to_string())
        }
        _ => None,
    }
}

/// A certificate for one name, as PEM, for tests of other floors.
#[cfg(test)]
pub fn self_signed_for_test(name: &str) -> String {
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let made = params.self_signed(&key).expect("it can be signed");
    made.pem()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_tells_for_whom_it_is() {
        let names = [
            "cal.example.org",
            "*.example.net",
            "192.0.2.1",
            "2001:db8::1",
        ];
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(names.map(str::to_owned)).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 2);
        let made = params.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cert.pem");
        std::fs::write(&file, made.pem()).unwrap();
        let facts = CertificateFacts::read(&file).unwrap();
        assert_eq!(facts.names, names);
        assert_eq!(facts.ends.0 - facts.begins.0, 24 * 60 * 60 * 1000);
        for (host, fits) in [
            ("CAL.example.org", true),
            ("a.example.net", true),
            ("a.b.example.net", false),
            ("example.net", false),
            ("192.0.2.1", true),
            ("[2001:db8::1]", true),
            ("192.0.2.2", false),
        ] {
            assert_eq!(facts.is_for(host), fits, "{host}");
        }
        std::fs::write(&file, "no").unwrap();
        assert!(CertificateFacts::read(&file).is_err());
    }
}
