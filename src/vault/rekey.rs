//! A new host key: every row of the host, and the outer seal of every key slot, sealed anew.
//!
//! The key files come first, each replaced atomically, then all rows in one commit. A run that
//! was cut off is repeated with the same two keys: what is sealed under the new one already is
//! left alone, and until the commit the old key opens the store. Row names stay: the key that
//! makes them moves into the row that checks the host key.

use std::sync::Arc;

use super::directory::{AccountRecord, CreateError};
use super::keyfile::KeyFile;
use super::model::VaultError;
use super::tree::scanned_place;
use super::{Vault, host_check};
use crate::ids::{AccountId, CollectionId};
use crate::seal::{HostKey, Kind};
use crate::store::Batch;

/// What a new host key was put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rekeyed {
    /// Rows of the host.
    pub rows: usize,
    /// Rows that do not open, and were left as they are.
    pub damaged: usize,
    /// Key files.
    pub key_files: usize,
}

impl Vault {
    /// Seals all that the host key seals under `new`; durable when it returns. The vault still
    /// holds the old key then: it must not be used any more. Rows that do not open are left.
    ///
    /// # Errors
    /// A slot that does not open (the store is then as it was); a failing disk.
    pub fn rekey(&self, new: &HostKey) -> Result<Rekeyed, CreateError> {
        let _one = self.administration.lock();
        let mut batch = Batch::new();
        let trail = self.rekeyed_audit(&mut batch, new)?;
        let (rows, damaged) = self.rekey_rows(&mut batch, new)?;
        let mut done = Rekeyed {
            rows: rows + trail.rows,
            damaged: damaged + trail.damaged,
            key_files: 0,
        };
        for account in self.accounts() {
            if let Some(file) = self.key_file(account.id) {
                self.put_slots(account.id, self.rekeyed_slots(account.id, &file, new)?)
                    .map_err(CreateError::KeyFile)?;
                done.key_files += 1;
            }
        }
        self.store.commit(batch).wait()?;
        if let Err(error) = self.audit_is_rekeyed(trail, new) {
            tracing::error!(%error, "the mirror of the audit trail still has the old key's signature");
        }
        Ok(done)
    }

    /// The rows that scans find; how many there are, and how many do not open.
    fn rekey_rows(&self, batch: &mut Batch, new: &HostKey) -> Result<(usize, usize), CreateError> {
        let rows = new.rows();
        let (mut count, mut damaged) = (1, 0);
        // In this order: a vault that was rekeyed before has the row under the old key's own name.
        batch.delete(host_check::name(&self.host));
        host_check::put(batch, new, &self.host_names, &self.ambient);
        let mut scans: Vec<_> = Kind::SCANNED_BY_HOST
            .iter()
            .map(|kind| (*kind, self.host_names.prefix(*kind)))
            .collect();
        let grants = |account: &Arc<AccountRecord>| (Kind::Grant, self.grant_prefix(account.id));
        scans.extend(self.accounts().iter().map(grants));
        for (kind, prefix) in scans {
            for row in self.store.scan(&prefix) {
                let (name, stored) = row?;
                let place = scanned_place(kind, AccountId::NONE, CollectionId::NONE, &name);
                match stored.open(&self.host_rows, &place) {
                    Ok(content) => {
                        batch.put(name, self.seal_under(&rows, kind, &name, &content));
                        count += 1;
                    }
                    Err(_) => {
                        tracing::error!(row = name.short(), "a damaged row keeps its old seal");
                        damaged += 1;
                    }
                }
            }
        }
        Ok((count, damaged))
    }

    fn rekeyed_slots(
        &self,
        account: AccountId,
        file: &Arc<KeyFile>,
        new: &HostKey,
    ) -> Result<KeyFile, CreateError> {
        let slots = file.slots.iter().map(|slot| {
            slot.rekeyed(account, &self.host, new, &self.ambient)
                .map_err(|_| VaultError::Damaged(format!("slot {} of {account}.keys", slot.id)))
        });
        Ok(KeyFile {
            generation: file.generation + 1,
            slots: slots.collect::<Result<_, _>>()?,
            holds: file.holds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::{Ambient, OsRandom};
    use crate::ids::Secret;
    use crate::seal::{Argon2Cost, Generated, SecretKind, Slot, Terms, ToWrap};
    use crate::store::{Store, StoreOptions};
    use crate::vault::VaultOpenError;

    const CHEAP: Argon2Cost = Argon2Cost { kib: 8, passes: 1 };

    fn open(
        directory: &std::path::Path,
        key: &HostKey,
        ambient: &Arc<Ambient>,
    ) -> Result<Arc<Vault>, VaultOpenError> {
        let store = Store::open(&directory.join("db"), &StoreOptions::default()).unwrap();
        let key = HostKey::read(&key.to_text()).unwrap();
        Vault::open(store, key, &directory.join("keys"), ambient.clone())
    }

    #[test]
    fn a_new_host_key_opens_everything_and_the_old_one_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let ambient = Arc::new(Ambient::system());
        let keys: Vec<_> = (0..3).map(|_| HostKey::generate(&mut OsRandom)).collect();
        let vault = open(directory.path(), &keys[0], &ambient).ok().unwrap();
        let password = Secret::new("correct horse battery".into());
        let secret = Generated::random(SecretKind::AppPassword, &mut OsRandom);
        let id = vault
            .create_account(
                crate::ids::UserName::parse("anna").unwrap(),
                crate::ids::Email::parse("anna@example.org").unwrap(),
                false,
                |id, key| {
                    let slot =
                        Slot::for_password(id, key, &password, CHEAP, vault.host(), &ambient);
                    let whole = ToWrap::Whole(key);
                    let host = vault.host();
                    let terms = Terms::default();
                    let app = Slot::for_generated(id, whole, terms, &secret, host, &ambient)
                        .with_about(id, b"phone", vault.host(), &mut OsRandom);
                    vec![slot, app]
                },
            )
            .ok()
            .unwrap();
        // Twice: names must survive more than one rotation. And each repeated with what an
        // interruption just before the commit leaves: key files that are new already.
        let mut vault = vault;
        for pair in keys.windows(2) {
            let file = vault.key_file(id).unwrap();
            let slots = vault.rekeyed_slots(id, &file, &pair[1]).ok().unwrap();
            vault.put_slots(id, slots).unwrap();
            let rekeyed = vault.rekey(&pair[1]).ok().unwrap();
            assert_eq!(rekeyed.key_files, 1);
            drop(vault);
            assert!(matches!(
                open(directory.path(), &pair[0], &ambient),
                Err(VaultOpenError::WrongHostKey)
            ));
            vault = open(directory.path(), &pair[1], &ambient).ok().unwrap();
            let file = vault.key_file(id).unwrap();
            let opened = file.slots[0].open_password(id, &password, vault.host());
            let slot = Slot::find(&file.slots, &secret).unwrap();
            assert!(slot.open_generated(id, &secret, vault.host()).is_ok());
            assert_eq!(slot.about(id, vault.host()).unwrap(), b"phone");
            let account = vault.unlock(id, opened.ok().unwrap(), slot.id).unwrap();
            assert_eq!(account.name().as_str(), "anna");
            assert_eq!(rekeyed.damaged, 0);
            let home = account.home().id;
            let calendar = account.collections(home)[0].id;
            account
                .write(|tx| tx.set_collection_properties(calendar, Default::default()))
                .unwrap();
            drop(account);
            // The trail goes on, with its pages chained anew, and says what was done.
            vault.flush_audit().unwrap();
            let report = vault.verify_audit().unwrap();
            assert!(report.findings.is_empty(), "{:?}", report.findings);
            assert!(vault.audit_findings().is_empty());
        }
    }
}
