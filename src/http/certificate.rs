//! The certificate in use: from files that the administrator gives, or made here.
//!
//! The own authority (`ca.pem`) is made once and installed on the devices by hand; the server's
//! certificate under it is made again when its names change or its end is near. Everything lies
//! in the `tls` folder of the data directory. The keys stay the same certificate by certificate,
//! so that clients which pinned one instead of installing the authority are asked only then.

use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::ambient::UnixMillis;
use crate::limits;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Where the certificate comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// PEM files, which somebody else renews.
    Files {
        /// The certificate and its chain.
        cert: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// The own authority.
    Own {
        /// The folder for authority, certificate and keys.
        dir: PathBuf,
        /// Names and addresses under which the server is reached.
        names: Vec<String>,
    },
}

/// Why there is no certificate; `Display` is a sentence that names the file.
#[derive(Debug)]
pub enum CertificateError {
    /// A file cannot be read or written.
    File(PathBuf, std::io::Error),
    /// A file is there but is not what it should be.
    Content(PathBuf, &'static str),
    /// A certificate could not be made, for instance because a name is impossible.
    Making(String),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateError::File(file, error) => write!(out, "{}: {error}", file.display()),
            CertificateError::Content(file, message) => {
                write!(out, "{}: {message}", file.display())
            }
            CertificateError::Making(message) => {
                write!(out, "no certificate could be made: {message}")
            }
        }
    }
}

impl std::error::Error for CertificateError {}

impl CertificateError {
    fn file(file: &Path) -> impl FnOnce(std::io::Error) -> CertificateError {
        move |error| CertificateError::File(file.to_owned(), error)
    }

    fn making(error: rcgen::Error) -> CertificateError {
        CertificateError::Making(error.to_string())
    }
}

/// The certificate in use; handshakes take whatever is current.
#[derive(Debug)]
pub(super) struct Certificates {
    source: Source,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read()))
    }
}

impl Certificates {
    pub fn open(
        source: Source,
        provider: Arc<CryptoProvider>,
        now: UnixMillis,
    ) -> Result<Self, CertificateError> {
        let current = RwLock::new(load(&source, &provider, now)?);
        Ok(Certificates {
            source,
            provider,
            current,
        })
    }

    /// Reads the files again, makes a new certificate if need be, and uses it from the next
    /// handshake on. After an error the old one stays in use.
    pub fn reload(&self, now: UnixMillis) -> Result<(), CertificateError> {
        let fresh = load(&self.source, &self.provider, now)?;
        *self.current.write() = fresh;
        Ok(())
    }

    /// Renews the certificate of the own authority when its end is near; costs one small read.
    pub fn renew(&self, now: UnixMillis) -> Result<(), CertificateError> {
        match &self.source {
            Source::Own { dir, names }
                if !Leaf::read(dir).is_some_and(|leaf| leaf.serves(names, now)) =>
            {
                self.reload(now)
            }
            _ => Ok(()),
        }
    }
}

fn load(
    source: &Source,
    provider: &CryptoProvider,
    now: UnixMillis,
) -> Result<Arc<CertifiedKey>, CertificateError> {
    match source {
        Source::Files { cert, key } => read_pair(cert, key, provider),
        Source::Own { dir, names } => {
            let issuer = authority(dir, now)?;
            let (cert, key) = (dir.join("cert.pem"), dir.join("cert.key"));
            if Leaf::read(dir).is_some_and(|leaf| leaf.serves(names, now))
                && cert.exists()
                && key.exists()
            {
                return read_pair(&cert, &key, provider);
            }
            make_leaf(dir, &issuer, names, now)?;
            read_pair(&cert, &key, provider)
        }
    }
}

pub(super) fn read_pair(
    cert: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, CertificateError> {
    let content = |file: &Path, message| CertificateError::Content(file.to_owned(), message);
    let pem = std::fs::read(cert).map_err(CertificateError::file(cert))?;
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|_| content(cert, "this is not a PEM file"))?;
    if chain.is_empty() {
        return Err(content(
            cert,
            "there is no certificate in this file (a block BEGIN CERTIFICATE)",
        ));
    }
    let pem = zeroize::Zeroizing::new(std::fs::read(key).map_err(CertificateError::file(key))?);
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        content(
            key,
            "there is no unencrypted private key in this file (a block BEGIN PRIVATE KEY)",
        )
    })?;
    let signing = provider.key_provider.load_private_key(private);
    let signing = signing.map_err(|_| {
        content(
            key,
            "this kind of key cannot be used; use ECDSA, Ed25519 or RSA",
        )
    })?;
    let certified = CertifiedKey::new(chain, signing);
    certified
        .keys_match()
        .map_err(|_| content(key, "this key does not belong to the certificate"))?;
    Ok(Arc::new(certified))
}

/// What is remembered of the certificate, so that it need not be parsed.
#[derive(Serialize, Deserialize)]
struct Leaf {
    names: Vec<String>,
    ends_seconds: u64,
}

impl Leaf {
    fn read(dir: &Path) -> Option<Leaf> {
        serde_json::from_slice(&std::fs::read(dir.join("cert.json")).ok()?).ok()
    }

    fn serves(&self, names: &[String], now: UnixMillis) -> bool {
        let remaining = self.ends_seconds.saturating_sub(seconds(now));
        self.names == names && remaining > limits::CERTIFICATE_RENEWAL_DAYS * DAY_SECONDS
    }
}

fn seconds(now: UnixMillis) -> u64 {
    u64::try_from(now.seconds()).unwrap_or(0)
}

/// The own authority, made on first use.
fn authority(dir: &Path, now: UnixMillis) -> Result<Issuer<'static, KeyPair>, CertificateError> {
    let (cert, key) = (dir.join("ca.pem"), dir.join("ca.key"));
    if !cert.exists() && !key.exists() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(CertificateError::file(dir))?;
        let pair = KeyPair::generate().map_err(CertificateError::making)?;
        let mut params = params(
            "sealdav certificate authority",
            &[],
            now,
            limits::AUTHORITY_DAYS,
        )?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let made = params
            .self_signed(&pair)
            .map_err(CertificateError::making)?;
        write(&key, pair.serialize_pem().as_bytes())?;
        write(&cert, made.pem().as_bytes())?;
    }
    let text = zeroize::Zeroizing::new(
        std::fs::read_to_string(&key).map_err(CertificateError::file(&key))?,
    );
    let pair = KeyPair::from_pem(&text)
        .map_err(|_| CertificateError::Content(key, "this is not the authority's private key; restore it, or remove ca.pem and ca.key to make a new authority"))?;
    let text = std::fs::read_to_string(&cert).map_err(CertificateError::file(&cert))?;
    Issuer::from_ca_cert_pem(&text, pair)
        .map_err(|_| CertificateError::Content(cert, "this is not the authority's certificate; restore it, or remove ca.pem and ca.key to make a new authority"))
}

fn make_leaf(
    dir: &Path,
    issuer: &Issuer<'static, KeyPair>,
    names: &[String],
    now: UnixMillis,
) -> Result<(), CertificateError> {
    let pair = KeyPair::generate().map_err(CertificateError::making)?;
    let mut params = params("sealdav", names, now, limits::CERTIFICATE_DAYS)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let made = params
        .signed_by(&pair, issuer)
        .map_err(CertificateError::making)?;
    let authority = dir.join("ca.pem");
    let authority =
        std::fs::read_to_string(&authority).map_err(CertificateError::file(&authority))?;
    let ends_seconds = seconds(now) + limits::CERTIFICATE_DAYS * DAY_SECONDS;
    let leaf = Leaf {
        names: names.to_vec(),
        ends_seconds,
    };
    write(&dir.join("cert.key"), pair.serialize_pem().as_bytes())?;
    write(
        &dir.join("cert.pem"),
        format!("{}{authority}", made.pem()).as_bytes(),
    )?;
    // Last, so that a crash between the files makes them all again.
    let text = serde_json::to_vec(&leaf).expect("plain values have a JSON form");
    write(&dir.join("cert.json"), &text)?;
    tracing::info!(
        names = names.join(" "),
        days = limits::CERTIFICATE_DAYS,
        "made a certificate"
    );
    Ok(())
}

fn params(
    name: &str,
    names: &[String],
    now: UnixMillis,
    days: u64,
) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(names.to_vec()).map_err(CertificateError::making)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // A day back, for devices whose clock is slow; it counts to the validity.
    params.not_before = epoch + Duration::from_secs(seconds(now).saturating_sub(DAY_SECONDS));
    params.not_after = epoch + Duration::from_secs(seconds(now) + days * DAY_SECONDS);
    Ok(params)
}

/// Replaces a file whole, readable by its owner only.
fn write(file: &Path, bytes: &[u8]) -> Result<(), CertificateError> {
    let fresh = file.with_extension("new");
    let replace = || {
        let _ = std::fs::remove_file(&fresh);
        let mut open = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        open.write_all(bytes)?;
        open.sync_all()?;
        std::fs::rename(&fresh, file)
    };
    replace().map_err(CertificateError::file(file))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("sealdav-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn made_kept_and_renewed() {
        let dir = folder("certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let source = |name: &str| Source::Own {
            dir: dir.clone(),
            names: vec![name.to_owned(), "127.0.0.1".to_owned()],
        };
        let now = UnixMillis(1_800_000_000_000);
        let open =
            |name: &str, now| Certificates::open(source(name), Arc::clone(&provider), now).unwrap();
        let leaf = |certificates: &Certificates| certificates.current.read().cert[0].to_vec();
        let first = open("localhost", now);
        let made = leaf(&first);
        let authority = std::fs::read(dir.join("ca.pem")).unwrap();
        for file in ["ca.key", "cert.key", "ca.pem"] {
            assert_eq!(
                std::fs::metadata(dir.join(file))
                    .unwrap()
                    .permissions()
                    .mode()
                    & 0o777,
                0o600
            );
        }
        assert_eq!(leaf(&open("localhost", now)), made, "kept over a restart");
        assert_ne!(
            leaf(&open("other", now)),
            made,
            "made again for other names"
        );
        first.reload(now).unwrap();
        let made = leaf(&first);
        let day = 24 * 60 * 60 * 1000;
        first.renew(UnixMillis(now.0 + 700 * day)).unwrap();
        assert_eq!(leaf(&first), made);
        first.renew(UnixMillis(now.0 + 750 * day)).unwrap();
        assert_ne!(leaf(&first), made, "renewed near its end");
        assert_eq!(std::fs::read(dir.join("ca.pem")).unwrap(), authority);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn bad_files_are_named() {
        let dir = folder("certificate-files");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let now = UnixMillis(1_800_000_000_000);
        let own = Source::Own {
            dir: dir.clone(),
            names: vec!["localhost".to_owned()],
        };
        Certificates::open(own, Arc::clone(&provider), now).unwrap();
        for (cert, key, expected) in [
            (
                "cert.pem",
                "ca.key",
                "this key does not belong to the certificate",
            ),
            (
                "cert.pem",
                "cert.pem",
                "there is no unencrypted private key",
            ),
            (
                "cert.key",
                "cert.key",
                "there is no certificate in this file",
            ),
            ("cert.pem", "none", "none: "),
        ] {
            let files = Source::Files {
                cert: dir.join(cert),
                key: dir.join(key),
            };
            let error = Certificates::open(files, Arc::clone(&provider), now)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
