//! Putting one account's rows back as a backup has them, in the data directory of a server that
//! is stopped. Other accounts are not touched.
//!
//! The database is written anew without the account's present rows and with those of the backup,
//! and then takes the place of the old one: a crash leaves the one or the other. The account's
//! name, address, role and key slots stay as they are, and so does its audit trail, which gets an
//! entry and the sum over the restored heads. All clients of the server sync anew.

use std::path::Path;
use std::sync::Arc;

use super::destination::Destination;
use super::restore::for_each_row;
use super::{BackupError, Which, choose};
use crate::ambient::Ambient;
use crate::ids::AccountId;
use crate::seal::{HostKey, Stored};
use crate::store::{self, LeftOut, Store, StoreOptions};
use crate::vault::Vault;

/// What the restore of one account did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoredUser {
    /// The account.
    pub account: AccountId,
    /// Rows that were put back.
    pub rows: u64,
}

/// What a backup has of an account.
#[derive(Default)]
struct Found {
    rows: LeftOut,
    page: Option<Stored>,
    root: Option<Stored>,
    /// Rows of the roster that did not open.
    closed: usize,
}

/// Restores the account called `name`; `data` is the data directory.
///
/// # Errors
/// The data is then as it was, unless the error came after the rows were put back: then the
/// audit trail has no entry of it, and `health` will say that heads were put back.
pub fn restore_user(
    from: &Destination,
    which: &Which,
    data: &Path,
    name: &str,
    host: &HostKey,
    ambient: &Arc<Ambient>,
) -> Result<RestoredUser, BackupError> {
    let manifest = choose(from, which)?;
    if manifest.signer != host.signer().public() {
        return Err(BackupError::OtherHost);
    }
    let open = || -> Result<Arc<Vault>, BackupError> {
        let store = Store::open(&data.join("db"), &StoreOptions::default())?;
        let host = HostKey::read(&host.to_text()).expect("it was just written");
        Vault::open(store, host, &data.join("keys"), Arc::clone(ambient))
            .map_err(BackupError::Vault)
    };
    let vault = open()?;
    let account = vault
        .account_named(name)
        .ok_or_else(|| BackupError::NoAccount(name.to_owned()))?
        .id;
    let now = vault.rows_of_account(account)?;
    let mut then = Found::default();
    let roster = vault.roster_prefix();
    let page = vault.open_page_name(account);
    let root = vault.root_name(account);
    for_each_row(from, &manifest, &mut |name, stored| {
        if name.bytes().starts_with(roster.bytes()) {
            let opened = vault.add_listed(&mut then.rows, account, name, stored);
            then.closed += usize::from(!opened);
        } else if *name == page {
            then.page = Some(stored);
        } else if *name == root {
            then.root = Some(stored);
        }
        Ok(())
    })?;
    if then.rows.names.is_empty() {
        return Err(BackupError::NoAccount(name.to_owned()));
    }
    if vault.has_other_key(account, then.root.take()) {
        return Err(BackupError::OtherAccountKey(name.to_owned()));
    }
    if then.closed > 0 {
        tracing::warn!(
            rows = then.closed,
            "rows of the backup's roster are damaged; what they list is not restored"
        );
    }
    vault.store().barrier().wait()?;
    drop(vault);
    // What both states have is put once, as the backup has it.
    let mut left_out = now;
    left_out.prefixes.extend(&then.rows.prefixes);
    left_out.names.extend(&then.rows.names);
    let mut rows = 0;
    store::rewrite::<BackupError>(&data.join("db"), &left_out, |filler| {
        for_each_row(from, &manifest, &mut |name, stored| {
            if then.rows.has(name) {
                filler.put(name, stored.bytes())?;
                rows += 1;
            }
            Ok(())
        })
    })?;
    let vault = open()?;
    vault.account_restored(account, then.page)?;
    vault.mirror_audit().map_err(BackupError::Mirror)?;
    vault.store().barrier().wait()?;
    Ok(RestoredUser { account, rows })
}
