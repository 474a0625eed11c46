//! What is wrong with a TLS certificate and its key, before clients find out. Owns x509-parser.

use std::net::IpAddr;
use std::path::PathBuf;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::certificate::{CertificateError, Source, read_pair};
use crate::ambient::UnixMillis;
use crate::limits;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Its file.
    pub file: PathBuf,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// From when on it is valid.
    pub from: UnixMillis,
    /// Until when.
    pub until: UnixMillis,
    /// What is wrong; sentences.
    pub faults: Vec<String>,
}

/// Checks that the certificate and its key load and belong together, that it is valid now, and that
/// it is for the name by which the server is `reached`. Makes and renews nothing.
///
/// # Errors
/// They do not load or do not match.
pub fn examine_certificate(
    source: &Source,
    now: UnixMillis,
    reached: Option<&str>,
) -> Result<CertificateFacts, CertificateError> {
    let (cert, key) = match source {
        Source::Files { cert, key } => (cert.clone(), key.clone()),
        Source::Own { dir, .. } => (dir.join("cert.pem"), dir.join("cert.key")),
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let pair = read_pair(&cert, &key, &provider)?;
    let unreadable = || {
        CertificateError::Content(
            cert.clone(),
            "the first certificate in this file cannot be read",
        )
    };
    let first = pair.cert.first().ok_or_else(unreadable)?;
    let (_, parsed) = X509Certificate::from_der(first).map_err(|_| unreadable())?;
    let millis = |seconds: i64| UnixMillis(seconds.saturating_mul(1000));
    let validity = parsed.validity();
    let mut facts = CertificateFacts {
        names: names(&parsed),
        from: millis(validity.not_before.timestamp()),
        until: millis(validity.not_after.timestamp()),
        faults: Vec::new(),
        file: cert,
    };
    facts.faults = faults(&facts, source, now, reached);
    Ok(facts)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    let names = extension.value.general_names.iter();
    names.filter_map(name).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    four.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

fn faults(
    facts: &CertificateFacts,
    source: &Source,
    now: UnixMillis,
    reached: Option<&str>,
) -> Vec<String> {
    let renewal = match source {
        Source::Files { .. } => "renew it, then send the server SIGHUP",
        Source::Own { .. } => "start the server, which makes a new one",
    };
    let mut faults = Vec::new();
    if facts.from > now {
        faults.push(
            "the certificate is not valid yet: is the clock of this machine right?".to_owned(),
        );
    }
    let left = facts.until.0.saturating_sub(now.0);
    if left <= 0 {
        faults.push(format!("the certificate has ended: {renewal}"));
    } else if left < limits::CERTIFICATE_WARNING_DAYS * DAY_MILLIS {
        let days = left / DAY_MILLIS;
        faults.push(format!("the certificate ends in {days} days: {renewal}"));
    }
    if facts.names.is_empty() {
        faults.push("the certificate is for no name (subjectAltName): no app takes it".to_owned());
    } else if let Some(reached) = reached.filter(|reached| !covers(&facts.names, reached)) {
        faults.push(format!(
            "the certificate is not for {reached}, where public_url says that the server is reached"
        ));
    }
    faults
}

/// Whether one of the names is `reached`, or stands for it with a `*` as its first label (RFC 9525
/// section 6.3).
fn covers(names: &[String], reached: &str) -> bool {
    let reached = reached.trim_matches(['[', ']']);
    names.iter().any(|name| {
        name.eq_ignore_ascii_case(reached)
            || matches!((name.strip_prefix("*."), reached.split_once('.')),
                (Some(rest), Some((_, parent))) if rest.eq_ignore_ascii_case(parent))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::certificate::Certificates;
    use super::*;

    #[test]
    fn each_fault_of_a_certificate_has_its_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let source = Source::Own {
            dir: dir.path().to_owned(),
            names: vec!["cal.example.org".into(), "127.0.0.1".into()],
        };
        let now = UnixMillis(1_800_000_000_000);
        assert!(
            examine_certificate(&source, now, None).is_err(),
            "there is none yet"
        );
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Certificates::open(source.clone(), provider, now).unwrap();
        let examine = |now, reached| examine_certificate(&source, now, reached).unwrap();
        let facts = examine(now, Some("Cal.example.org"));
        assert_eq!(facts.faults, Vec::<String>::new());
        assert_eq!(facts.names, ["cal.example.org", "127.0.0.1"]);
        let days = (facts.until.0 - now.0) / DAY_MILLIS;
        assert_eq!(u64::try_from(days).unwrap(), limits::CERTIFICATE_DAYS);
        let said = |now, reached| examine(now, reached).faults.join(";");
        let later = |days: i64| UnixMillis(now.0 + days * DAY_MILLIS);
        assert!(said(later(-3), None).contains("not valid yet"));
        assert!(said(later(790), None).contains("ends in 10 days"));
        assert!(said(later(801), None).contains("has ended"));
        assert!(said(now, Some("other.example.org")).contains("not for other.example.org"));
        std::fs::copy(dir.path().join("ca.key"), dir.path().join("cert.key")).unwrap();
        let error = examine_certificate(&source, now, None).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("does not belong to the certificate")
        );
    }

    #[test]
    fn a_star_stands_for_one_label() {
        let names = ["*.example.org".to_owned()];
        assert!(covers(&names, "cal.example.org"));
        assert!(!covers(&names, "a.cal.example.org") && !covers(&names, "example.org"));
        assert!(covers(&["::1".to_owned()], "[::1]"));
    }
}
