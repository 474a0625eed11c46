//! The recovery key: tried before it is needed, and replaced.

use std::collections::VecDeque;

use super::Accounts;
use super::about::About;
use super::admin::{AdminError, Authority, refused};
use crate::ids::Secret;
use crate::seal::{Generated, SecretKind, SlotLock, ToWrap};
use crate::vault::{AccountStore, VaultError};

/// What a recovery key opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// How many calendars there are.
    pub calendars: usize,
    /// How many objects, in calendars and other collections.
    pub objects: u64,
    /// How many objects do not open: damaged.
    pub damaged: usize,
}

impl Accounts {
    /// Tries a recovery key: unlocks the account with it and counts what is there.
    ///
    /// # Errors
    /// No such user, a wrong recovery key, an account that is disabled or does not open.
    pub fn try_recovery_key(&self, name: &str, key: Secret) -> Result<Recovered, AdminError> {
        let record = self.record(name)?;
        let (content, slot) = self.opened_by(&record, &Authority::RecoveryKey(key))?;
        if !record.enabled {
            return refused(
                "the recovery key is right, and the account is disabled; `sealdav user enable` lets it in",
            );
        }
        let account = self.vault.unlock(record.id, content, slot);
        account
            .and_then(|account| count(&account))
            .map_err(|error| {
                AdminError(format!(
                    "the recovery key is right, and the account does not open: {error:?}"
                ))
            })
    }

    /// Gives an account a new recovery key; the old one ends.
    ///
    /// # Errors
    /// No such user, a wrong password, a failing disk.
    pub fn new_recovery_key(&self, name: &str, password: Secret) -> Result<Secret, AdminError> {
        let record = self.record(name)?;
        let key = self.open_by(&record, &Authority::Password(password))?;
        let ambient = self.vault.ambient();
        let secret = ambient.random(|random| Generated::random(SecretKind::RecoveryKey, random));
        let about = About::recovery_key(&secret, ambient.now());
        let slot = self.generated_slot(record.id, ToWrap::Whole(&key), &secret, &about);
        self.change_slots(&record, |slots| {
            slots.retain(|slot| !matches!(slot.lock, SlotLock::RecoveryKey { .. }));
            slots.push(slot);
        })?;
        Ok(secret.to_text())
    }
}

fn count(account: &AccountStore) -> Result<Recovered, VaultError> {
    let mut found = Recovered {
        calendars: 0,
        objects: 0,
        damaged: 0,
    };
    let mut waiting = VecDeque::from([account.home()]);
    while let Some(collection) = waiting.pop_front() {
        found.calendars += usize::from(collection.is_calendar());
        found.objects += collection.objects;
        // Reads every summary, and so says whether they open and add up.
        found.damaged += account.damaged(collection.id)?;
        waiting.extend(account.collections(collection.id));
    }
    Ok(found)
}
