//! Which accounts were erased, and when: the file `erased` beside the key files. A restore applies
//! it, so that no backup brings an account back that was deleted after it was made.
//!
//! ```text
//! sealdav erased accounts 1
//! erased ACCOUNT MILLISECONDS        for each; random ids, no names
//! signed PUBLIC SIGNATURE            see `signed`
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::{Vault, signed};
use crate::ambient::UnixMillis;
use crate::ids::AccountId;
use crate::seal::Signer;

const FIRST_LINE: &str = "sealdav erased accounts 1";

/// Accounts that were erased.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erased {
    /// Each with the time of its deletion.
    pub accounts: BTreeMap<AccountId, UnixMillis>,
}

impl Erased {
    /// The list in a text that the host signed.
    pub fn parse(text: &str) -> Option<Erased> {
        let signed = signed::check(text)?;
        let mut lines = signed.body.lines();
        (lines.next()? == FIRST_LINE).then_some(())?;
        let line = |line: &str| {
            let (account, at) = line.strip_prefix("erased ")?.split_once(' ')?;
            Some((AccountId::from_hex(account)?, UnixMillis(at.parse().ok()?)))
        };
        Some(Erased {
            accounts: lines.map(line).collect::<Option<_>>()?,
        })
    }

    /// The list as a signed text.
    pub fn text(&self, signer: &Signer) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        for (account, at) in &self.accounts {
            text += &format!("erased {account} {}\n", at.0);
        }
        signed::sign(text, signer)
    }

    /// Reads a list; an empty one when there is no file.
    ///
    /// # Errors
    /// `InvalidData` when its signature does not hold.
    pub fn read(file: &Path) -> io::Result<Erased> {
        match fs::read_to_string(file) {
            Ok(text) => Erased::parse(&text).ok_or_else(|| io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Erased::default()),
            Err(error) => Err(error),
        }
    }

    /// Takes the accounts of another list in.
    pub fn add(&mut self, other: Erased) {
        for (account, at) in other.accounts {
            self.accounts.entry(account).or_insert(at);
        }
    }
}

/// Replaces a file so that a crash leaves the old one or the new one; durable when it returns.
///
/// # Errors
/// The old one then stays.
pub fn replace_file(file: &Path, content: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut handle = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    handle.write_all(content)?;
    handle.sync_all()?;
    fs::rename(&new, file)?;
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

impl Vault {
    /// Notes, durably, that an account was erased. Its key file is destroyed already.
    pub(super) fn note_erased(&self, account: AccountId) -> io::Result<()> {
        let mut erased = Erased::read(&self.erased).unwrap_or_else(|error| {
            tracing::error!(%error, "the list of erased accounts cannot be read; a new one is begun");
            Erased::default()
        });
        let now = self.ambient.now();
        erased.accounts.entry(account).or_insert(now);
        replace_file(&self.erased, erased.text(&self.host.signer()).as_bytes())
    }
}
