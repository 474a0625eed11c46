//! Vaults for tests: a fresh directory, cheap passwords, an account named alice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::{AccountStore, Collection, Vault, VaultError};
use crate::ambient::{Ambient, OsRandom, UnixMillis};
use crate::ids::{Email, Secret, SlotId, UserName};
use crate::seal::{
    Argon2Cost, Generated, HostKey, PairKey, SecretKind, Slot, SlotContent, Terms, ToWrap,
};
use crate::store::{Space, Store, StoreOptions};

/// Bytes of the disk of a test vault, all of them free unless it is told otherwise.
const DISK: u64 = 1 << 40;

/// While it is set, no sync of a test vault of this process succeeds.
pub static SYNC_FAILS: AtomicBool = AtomicBool::new(false);

fn sync(file: &std::fs::File) -> std::io::Result<()> {
    match SYNC_FAILS.load(Ordering::Relaxed) {
        true => Err(std::io::Error::from_raw_os_error(5)),
        false => file.sync_data(),
    }
}

/// A vault in a directory that goes when this does.
pub struct TestVault {
    /// The vault.
    pub vault: Arc<Vault>,
    /// Its directory: `db` and `keys`.
    pub directory: tempfile::TempDir,
    host: String,
    clock: Option<Arc<AtomicI64>>,
    free: Arc<AtomicU64>,
}

impl Default for TestVault {
    fn default() -> Self {
        Self::new()
    }
}

impl TestVault {
    /// A new one, with room for `index_capacity` summaries in memory.
    pub fn with_capacity(index_capacity: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::begin(directory, index_capacity, None)
    }

    /// A new one, whose clock shows these milliseconds.
    pub fn with_clock(clock: &Arc<AtomicI64>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::begin(
            directory,
            crate::limits::INDEX_SUMMARIES,
            Some(clock.clone()),
        )
    }

    fn begin(
        directory: tempfile::TempDir,
        index_capacity: usize,
        clock: Option<Arc<AtomicI64>>,
    ) -> Self {
        let host = HostKey::generate(&mut OsRandom).to_text().to_string();
        let free = Arc::new(AtomicU64::new(DISK));
        let vault = open(
            directory.path(),
            &host,
            index_capacity,
            clock.clone(),
            &free,
        );
        TestVault {
            vault,
            directory,
            host,
            clock,
            free,
        }
    }

    /// A new one.
    pub fn new() -> Self {
        Self::with_capacity(crate::limits::INDEX_SUMMARIES)
    }

    /// The one in a directory that was restored, under the host key of another.
    pub fn restored(directory: tempfile::TempDir, host: &HostKey) -> Self {
        let host = host.to_text().to_string();
        let free = Arc::new(AtomicU64::new(DISK));
        let capacity = crate::limits::INDEX_SUMMARIES;
        let vault = open(directory.path(), &host, capacity, None, &free);
        TestVault {
            vault,
            directory,
            host,
            clock: None,
            free,
        }
    }

    /// Closes it and opens it again, as a restart does. All handles to it must be gone.
    pub fn restart(self) -> Self {
        self.restart_after(|| {})
    }

    /// The same, with something done while it is closed.
    pub fn restart_after(self, meanwhile: impl FnOnce()) -> Self {
        let TestVault {
            vault,
            directory,
            host,
            clock,
            free,
        } = self;
        assert_eq!(
            Arc::strong_count(&vault),
            1,
            "somebody still uses the vault"
        );
        drop(vault);
        meanwhile();
        let capacity = crate::limits::INDEX_SUMMARIES;
        let vault = open(directory.path(), &host, capacity, clock.clone(), &free);
        TestVault {
            vault,
            directory,
            host,
            clock,
            free,
        }
    }

    /// From now on its disk has so many bytes free.
    pub fn set_free(&self, bytes: u64) {
        self.free.store(bytes, Ordering::Relaxed);
    }

    /// Makes an account and gives what opens it.
    pub fn add(&self, name: &str) -> Generated {
        let secret = Generated::random(SecretKind::AppPassword, &mut OsRandom);
        let email = Email::parse(&format!("{name}@example.org")).unwrap();
        self.vault
            .create_account(UserName::parse(name).unwrap(), email, false, |id, key| {
                let cost = Argon2Cost { kib: 8, passes: 1 };
                let password = Secret::new("correct horse".into());
                vec![
                    Slot::for_password(
                        id,
                        key,
                        &password,
                        cost,
                        self.vault.host(),
                        self.vault.ambient(),
                    ),
                    Slot::for_generated(
                        id,
                        ToWrap::Whole(key),
                        Terms::default(),
                        &secret,
                        self.vault.host(),
                        self.vault.ambient(),
                    ),
                ]
            })
            .unwrap();
        secret
    }

    /// Makes a device that has the calendars of these names only, and gives what opens it.
    pub fn add_limited(&self, name: &str, secret: &Generated, calendars: &[&str]) -> Generated {
        let account = self.unlock(name, secret);
        let named = |collection: &Arc<Collection>| {
            let segment = collection.segment.as_ref().expect("a name").as_str();
            calendars.contains(&segment).then_some(collection.id)
        };
        let there = account.collections(account.home().id);
        let ids: Vec<_> = there.iter().filter_map(named).collect();
        let pair = PairKey::generate(self.vault.ambient());
        let limited = Generated::random(SecretKind::AppPassword, &mut OsRandom);
        let (wrap, host) = (ToWrap::Limited(&pair), self.vault.host());
        let (id, ambient) = (account.id(), self.vault.ambient());
        let slot = Slot::for_generated(id, wrap, Terms::default(), &limited, host, ambient);
        let device = slot.id;
        self.vault
            .change_slots(id, |slots| slots.push(slot))
            .unwrap();
        account.grant(device, pair.public(), &ids).unwrap();
        limited
    }

    /// A handle of alice's that may do no more than `terms` say.
    pub fn unlock_under(&self, name: &str, secret: &Generated, terms: Terms) -> AccountStore {
        let (content, slot) = self.key(name, secret);
        let id = self.vault.account_named(name).unwrap().id;
        let content = SlotContent { terms, ..content };
        self.vault.unlock(id, content, slot).unwrap()
    }

    /// Unlocks an account by what `add` gave.
    pub fn unlock(&self, name: &str, secret: &Generated) -> AccountStore {
        let account = self.try_unlock(name, secret).unwrap();
        let incomplete = account.inner.tree.read().incomplete.len();
        assert_eq!(incomplete, 0, "the sums over member collections are wrong");
        let added_up = self.vault.adds_up(&account);
        assert!(added_up, "the sum over the heads is wrong");
        account
    }

    /// The same where it may fail.
    pub fn try_unlock(&self, name: &str, secret: &Generated) -> Result<AccountStore, VaultError> {
        let (key, slot) = self.key(name, secret);
        let id = self.vault.account_named(name).unwrap().id;
        self.vault.unlock(id, key, slot)
    }

    pub(super) fn key(&self, name: &str, secret: &Generated) -> (SlotContent, SlotId) {
        let id = self.vault.account_named(name).unwrap().id;
        let file = self.vault.key_file(id).unwrap();
        let slot = Slot::find(&file.slots, secret).unwrap();
        let content = slot.open_generated(id, secret, self.vault.host());
        (content.ok().unwrap(), slot.id)
    }
}

fn open(
    directory: &std::path::Path,
    host: &str,
    index_capacity: usize,
    clock: Option<Arc<AtomicI64>>,
    free: &Arc<AtomicU64>,
) -> Arc<Vault> {
    let ambient = match clock {
        None => Ambient::system(),
        Some(clock) => Ambient::given(
            Box::new(move || UnixMillis(clock.load(Ordering::Relaxed))),
            Box::new(OsRandom),
        ),
    };
    let mut options = StoreOptions::with_sync(sync);
    let free = Arc::clone(free);
    options.probe = Arc::new(move |_| {
        let free = free.load(Ordering::Relaxed);
        Ok(Space { free, total: DISK })
    });
    let store = Store::open(&directory.join("db"), &options).unwrap();
    let host = HostKey::read(host).unwrap();
    Vault::open_with(
        store,
        host,
        &directory.join("keys"),
        Arc::new(ambient),
        index_capacity,
    )
    .unwrap()
}

/// One unlocked account, alice, in a vault of its own.
pub fn account() -> (TestVault, AccountStore) {
    let vault = TestVault::new();
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    (vault, account)
}
