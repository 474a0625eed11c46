//! Backups of a vault that is used meanwhile, damaged, erased from, and restored.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::*;
use crate::ids::{AccountId, Segment};
use crate::seal::{HostKey, RowName, Sealed, Stored};
use crate::store::{Batch, Store, StoreOptions};
use crate::vault::testing::TestVault;
use crate::vault::{AccountStore, Node};

const KEEP: Keep = Keep {
    daily: 7,
    weekly: 4,
    monthly: 12,
};

/// A vault with alice and bob, and places for backups.
struct Rig {
    test: TestVault,
    places: tempfile::TempDir,
}

impl Rig {
    fn new(test: TestVault) -> Self {
        let places = tempfile::tempdir().unwrap();
        for place in ["one", "two", "keys"] {
            fs::create_dir(places.path().join(place)).unwrap();
        }
        Rig { test, places }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.places.path().join(name)
    }

    fn to(&self, name: &str) -> Destination {
        Destination::Directory(self.place(name))
    }

    fn data(&self) -> &Path {
        self.test.directory.path()
    }

    fn backups(&self, destinations: &[&str]) -> Arc<Backups> {
        let settings = BackupSettings {
            destinations: destinations.iter().map(|name| self.to(name)).collect(),
            every_hours: 24,
            keep: KEEP,
            keys_to: Some(self.place("keys")),
            key_days: 30,
        };
        Arc::new(Backups::new(self.test.vault.clone(), self.data(), settings))
    }

    fn take(&self, at: &str) -> Taken {
        let mut done = self.backups(&[at]).run(&[]);
        done.pop().unwrap().1.unwrap()
    }

    fn host(&self) -> HostKey {
        HostKey::read(&self.test.vault.host().to_text()).unwrap()
    }

    fn means<'a>(&self, keys: &'a Path) -> Means<'a> {
        Means {
            keys,
            host: self.host(),
            erased: Erased::read(&self.data().join("erased")).unwrap(),
            ambient: Arc::new(crate::ambient::Ambient::system()),
        }
    }

    fn restore(&self, which: &Which, to: &str) -> Result<Restored, BackupError> {
        let to = self.place(to);
        let means = self.means(self.data());
        restore(&self.to("one"), which, &to, means, &mut |_, _| {})
    }

    fn open(&self, dir: &str) -> Arc<Vault> {
        open(&self.place(dir), self.host())
    }
}

fn open(dir: &Path, host: HostKey) -> Arc<Vault> {
    let store = Store::open(&dir.join("db"), &StoreOptions::default()).unwrap();
    let ambient = Arc::new(crate::ambient::Ambient::system());
    Vault::open(store, host, &dir.join("keys"), ambient).unwrap()
}

fn rows(store: &Store) -> BTreeMap<RowName, Vec<u8>> {
    let rows = store.all_rows().map(Result::unwrap);
    rows.map(|(name, value)| (name, value.bytes().to_vec()))
        .collect()
}

/// Writes `count` events into the calendar.
fn put(account: &AccountStore, from: usize, count: usize) {
    let calendar = calendar(account);
    for number in from..from + count {
        crate::vault::testing::put_event(account, &calendar, number);
    }
    account.barrier().wait().unwrap();
}
