//! What is wrong with a TLS certificate and its key, before clients find out.

use std::path::PathBuf;

use super::certificate::{CertificateError, Source, read_pair};
use super::facts::CertificateFacts;
use crate::ambient::UnixMillis;
use crate::limits;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExaminedCertificate {
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
) -> Result<ExaminedCertificate, CertificateError> {
    let (cert, key) = match source {
        Source::Files { cert, key } => (cert.clone(), key.clone()),
        Source::Own { dir, .. } => (dir.join("cert.pem"), dir.join("cert.key")),
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    read_pair(&cert, &key, &provider)?;
    let read = CertificateFacts::read(&cert)?;
    let mut facts = ExaminedCertificate {
        names: read.names.clone(),
        from: read.begins,
        until: read.ends,
        faults: Vec::new(),
        file: cert,
    };
    facts.faults = faults(&read, source, now, reached);
    Ok(facts)
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
    if facts.begins > now {
        faults.push(
            "the certificate is not valid yet: is the clock of this machine right?".to_owned(),
        );
    }
    let left = facts.ends.0.saturating_sub(now.0);
    if left <= 0 {
        faults.push(format!("the certificate has ended: {renewal}"));
    } else if left < limits::CERTIFICATE_WARNING_DAYS * DAY_MILLIS {
        let days = left / DAY_MILLIS;
        faults.push(format!("the certificate ends in {days} days: {renewal}"));
    }
    if facts.names.is_empty() {
        faults.push("the certificate is for no name (subjectAltName): no app takes it".to_owned());
    } else if let Some(reached) = reached.filter(|reached| !facts.is_for(reached)) {
        faults.push(format!(
            "the certificate is not for {reached}, where public_url says that the server is reached"
        ));
    }
    faults
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
}
