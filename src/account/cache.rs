//! The cache of unlocked accounts, found by a hash of name and secret under a key of this
//! process, and the secrets that failed lately. Bounded, with idle and absolute expiry.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::ambient::UnixMillis;
use crate::ids::{AccountId, Secret};
use crate::limits;
use crate::vault::AccountStore;

type Digest = [u8; 32];

struct Unlocked {
    account: AccountStore,
    since: UnixMillis,
    used: UnixMillis,
}

pub(super) struct Cache {
    key: Digest,
    /// Milliseconds after the last use, and after the sign-in.
    idle: i64,
    most: i64,
    unlocked: Mutex<HashMap<Digest, Unlocked>>,
    failed: Mutex<HashMap<Digest, UnixMillis>>,
}

impl Cache {
    pub fn new(key: Digest, idle_minutes: u32, hours: u32) -> Self {
        Cache {
            key,
            idle: i64::from(idle_minutes) * 60_000,
            most: i64::from(hours) * 3_600_000,
            unlocked: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    fn digest(&self, name: &str, secret: &Secret) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher
            .update(&(name.len() as u64).to_le_bytes())
            .update(name.as_bytes());
        *hasher
            .update(secret.expose().as_bytes())
            .finalize()
            .as_bytes()
    }

    pub fn get(&self, name: &str, secret: &Secret, now: UnixMillis) -> Option<AccountStore> {
        let digest = self.digest(name, secret);
        let mut unlocked = self.unlocked.lock();
        let entry = unlocked.get_mut(&digest)?;
        if !self.expired(entry, now) && entry.account.is_open() {
            entry.used = now;
            return Some(entry.account.clone());
        }
        let ended = unlocked.remove(&digest);
        // An account with a large index takes long to drop: not while others wait.
        drop(unlocked);
        drop(ended);
        None
    }

    pub fn put(&self, name: &str, secret: &Secret, account: AccountStore, now: UnixMillis) {
        let digest = self.digest(name, secret);
        // Declared before the guard, and so dropped after it.
        let (_oldest, _replaced);
        let mut unlocked = self.unlocked.lock();
        if unlocked.len() >= limits::UNLOCKED_ACCOUNTS {
            let oldest = unlocked
                .iter()
                .min_by_key(|(_, entry)| entry.used)
                .map(|(digest, _)| *digest);
            _oldest = oldest.and_then(|oldest| unlocked.remove(&oldest));
        }
        _replaced = unlocked.insert(
            digest,
            Unlocked {
                account,
                since: now,
                used: now,
            },
        );
    }

    /// Whether this very secret failed for this name lately: a stale phone that keeps trying is
    /// one failure, and costs nothing.
    pub fn failed_before(&self, name: &str, secret: &Secret, now: UnixMillis) -> bool {
        let digest = self.digest(name, secret);
        self.failed
            .lock()
            .get(&digest)
            .is_some_and(|at| now.0 - at.0 < limits::FAILURE_MEMORY_SECONDS * 1000)
    }

    pub fn failed(&self, name: &str, secret: &Secret, now: UnixMillis) {
        let mut failed = self.failed.lock();
        if failed.len() >= limits::FAILURES_REMEMBERED {
            let oldest = failed
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(digest, _)| *digest);
            oldest.and_then(|oldest| failed.remove(&oldest));
        }
        failed.insert(self.digest(name, secret), now);
    }

    /// After any change of accounts or slots: what failed may be right now.
    pub fn forget_failures(&self) {
        self.failed.lock().clear();
    }

    pub fn expire(&self, now: UnixMillis) {
        let ended =
            |_: &Digest, entry: &mut Unlocked| self.expired(entry, now) || !entry.account.is_open();
        let ended: Vec<_> = self.unlocked.lock().extract_if(ended).collect();
        drop(ended);
        self.failed
            .lock()
            .retain(|_, at| now.0 - at.0 < limits::FAILURE_MEMORY_SECONDS * 1000);
    }

    /// The accounts whose keys are held for devices with chosen calendars alone, which need no more
    /// than the keys of these.
    pub fn open_needlessly(&self) -> Vec<AccountId> {
        let unlocked = self.unlocked.lock();
        let mut accounts: HashMap<AccountId, bool> = HashMap::new();
        for account in unlocked.values().map(|entry| &entry.account) {
            if account.is_open_whole() {
                *accounts.entry(account.id()).or_insert(true) &= account.is_limited();
            }
        }
        accounts.retain(|_, needlessly| *needlessly);
        accounts.into_keys().collect()
    }

    fn expired(&self, entry: &Unlocked, now: UnixMillis) -> bool {
        now.0 - entry.used.0 >= self.idle || now.0 - entry.since.0 >= self.most
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.unlocked.lock().len()
    }
}
