//! The accounts of the server: names and addresses sealed under the host key, key slots in files.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::audit::Action;
use super::keyfile::mark;
use super::model::{CollectionKind, NewCollection, VaultError};
use super::rows::{DirectoryRow, decode, encode};
use super::tree::scanned_place;
use super::{KeyFile, Vault, VaultOpenError};
use crate::ambient::UnixMillis;
use crate::ical::{ComponentKind, ComponentSet};
use crate::ids::{AccountId, CollectionId, Email, Segment, SlotId, UserName};
use crate::seal::{AccountKey, Kind, RowName, Sealed, Slot, SlotLock};
use crate::store::{Batch, StoreError};
use crate::xml::{self, Element, Name};

/// Who an account belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// Its id.
    pub id: AccountId,
    /// Its name, in URLs and for signing in.
    pub name: UserName,
    /// Its calendar user address.
    pub email: Email,
    /// Whether it may administer (which opens nobody's data).
    pub admin: bool,
    /// Whether it may sign in.
    pub enabled: bool,
    /// When it was made.
    pub created: UnixMillis,
}

/// Why an account was not made or changed.
#[derive(Debug)]
pub enum CreateError {
    /// Another account has the name.
    NameTaken,
    /// Another account has the address.
    EmailTaken,
    /// The key file could not be written.
    KeyFile(io::Error),
    /// The list of erased accounts could not be written.
    Erased(io::Error),
    /// The vault failed.
    Vault(VaultError),
}

impl From<VaultError> for CreateError {
    fn from(error: VaultError) -> Self {
        CreateError::Vault(error)
    }
}
impl From<StoreError> for CreateError {
    fn from(error: StoreError) -> Self {
        CreateError::Vault(VaultError::Store(error))
    }
}

impl Vault {
    /// All accounts, by name.
    pub fn accounts(&self) -> Vec<Arc<AccountRecord>> {
        let mut accounts: Vec<_> = self.accounts.read().values().cloned().collect();
        accounts.sort_by(|a, b| a.name.cmp(&b.name));
        accounts
    }

    /// The account of this name or, failing that, of this address (case does not matter there).
    pub fn account_named(&self, name_or_email: &str) -> Option<Arc<AccountRecord>> {
        let accounts = self.accounts.read();
        let (mut by_name, mut by_email) = (None, None);
        // All are looked at, whoever is asked for, so that time tells nothing (HARDENING H3).
        for account in accounts.values() {
            if account.name.as_str() == name_or_email {
                by_name = Some(account);
            }
            if account.email.as_str().eq_ignore_ascii_case(name_or_email) {
                by_email = Some(account);
            }
        }
        by_name.or(by_email).cloned()
    }

    /// The account with this id, if it is still there.
    pub fn account(&self, id: AccountId) -> Option<Arc<AccountRecord>> {
        self.accounts.read().get(&id).cloned()
    }

    /// The key slots of an account.
    pub fn key_file(&self, id: AccountId) -> Option<Arc<KeyFile>> {
        self.slots.read().get(&id).cloned()
    }

    /// Replaces the key slots of an account by what `change` makes of them; durable when it returns.
    ///
    /// # Errors
    /// `NotFound` when the account has no key file: one that was destroyed is never made again by
    /// somebody who still holds the account's key.
    pub fn change_slots(
        &self,
        id: AccountId,
        change: impl FnOnce(&mut Vec<Slot>),
    ) -> io::Result<()> {
        let _one = self.administration.lock();
        let file = self.key_file(id).ok_or(io::ErrorKind::NotFound)?;
        let mut new = KeyFile::clone(&file);
        change(&mut new.slots);
        new.generation += 1;
        self.tell_slots(id, &file, &new)?;
        let file = new;
        self.put_slots(id, file)
    }

    /// Writes into the audit trail which slots are about to come and go; without it, none do.
    fn tell_slots(&self, id: AccountId, old: &KeyFile, new: &KeyFile) -> io::Result<()> {
        let tell = |action, slot: &Slot| {
            let action = match slot.lock {
                SlotLock::Password { .. } => Action::ChangePassword,
                _ => action,
            };
            self.administered(action, id, slot.id)
                .map_err(io::Error::other)
        };
        for slot in new.slots.iter().filter(|slot| old.slot(slot.id).is_none()) {
            tell(Action::CutKey, slot)?;
        }
        let gone = |slot: &&Slot| {
            new.slot(slot.id).is_none() && !matches!(slot.lock, SlotLock::Password { .. })
        };
        for slot in old.slots.iter().filter(gone) {
            tell(Action::RevokeKey, slot)?;
        }
        Ok(())
    }

    pub(super) fn put_slots(&self, id: AccountId, file: KeyFile) -> io::Result<()> {
        self.key_files.replace(id, &file)?;
        self.slots.write().insert(id, Arc::new(file));
        Ok(())
    }

    /// Destroys an account's key file. Nobody can unlock the account from then on.
    pub(super) fn destroy_slots(&self, id: AccountId) -> io::Result<()> {
        self.key_files.destroy(id)?;
        self.slots.write().remove(&id);
        Ok(())
    }

    /// Makes an account with its home, its calendar and its tasks; durable when it returns. The
    /// directory row comes last: before it the account does not exist, and the rest is purged.
    pub fn create_account(
        self: &Arc<Self>,
        name: UserName,
        email: Email,
        admin: bool,
        cut: impl FnOnce(AccountId, &AccountKey) -> Vec<Slot>,
    ) -> Result<AccountId, CreateError> {
        let id = AccountId::from_bytes(self.ambient.bytes());
        let key = self.ambient.random(|random| AccountKey::generate(random));
        let slots = cut(id, &key);
        let record = AccountRecord {
            id,
            name,
            email,
            admin,
            enabled: true,
            created: self.ambient.now(),
        };
        // Held to the end, or two commands could both find the name free.
        let _one = self.administration.lock();
        self.check_free(&record)?;
        let file = KeyFile {
            generation: 1,
            slots,
            holds: Some(mark(&key.pair().public())),
        };
        self.put_slots(id, file).map_err(CreateError::KeyFile)?;
        let filled = self.fill_account(&record, key).and_then(|()| {
            let told = self.administered(Action::AddUser, id, SlotId::NONE);
            told.map_err(CreateError::from)
        });
        if let Err(error) = filled {
            self.audit.forget(id);
            // Without its key file, what was written is purged at the next start.
            if let Err(error) = self.destroy_slots(id) {
                tracing::error!(account = %id, %error, "the key file of an account that was not made is left behind");
            }
            return Err(error);
        }
        self.put_record(record)?;
        Ok(id)
    }

    /// Whether name and address are free.
    fn check_free(&self, record: &AccountRecord) -> Result<(), CreateError> {
        let accounts = self.accounts.read();
        if accounts.values().any(|other| other.name == record.name) {
            return Err(CreateError::NameTaken);
        }
        let email = record.email.as_str();
        let taken = |other: &Arc<AccountRecord>| other.email.as_str().eq_ignore_ascii_case(email);
        if accounts.values().any(taken) {
            return Err(CreateError::EmailTaken);
        }
        Ok(())
    }

    /// Makes the home, the calendar and the tasks of a new account.
    fn fill_account(
        self: &Arc<Self>,
        record: &AccountRecord,
        key: AccountKey,
    ) -> Result<(), CreateError> {
        let account = self.create_home(record, key)?;
        let home = account.home().id;
        let events = ComponentSet::EMPTY
            .with(ComponentKind::Event)
            .with(ComponentKind::Journal);
        let todos = ComponentSet::EMPTY.with(ComponentKind::Todo);
        for (segment, title, components) in
            [("calendar", "Calendar", events), ("tasks", "Tasks", todos)]
        {
            let new = first_calendar(home, segment, title, components);
            account.write(|tx| tx.make_collection(new).map(drop))?;
        }
        Ok(())
    }

    /// Lets an account sign in, or not; durable when it returns.
    pub fn set_enabled(&self, id: AccountId, enabled: bool) -> Result<(), CreateError> {
        let _one = self.administration.lock();
        let record = self.account(id).ok_or(VaultError::Missing)?;
        let action = match enabled {
            true => Action::Enable,
            false => Action::Disable,
        };
        self.administered(action, id, SlotId::NONE)?;
        self.put_record(AccountRecord {
            enabled,
            ..(*record).clone()
        })?;
        if !enabled {
            self.lock(id);
        }
        Ok(())
    }

    fn put_record(&self, record: AccountRecord) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        let row = DirectoryRow {
            id: record.id,
            name: record.name.clone(),
            email: record.email.clone(),
            admin: record.admin,
            enabled: record.enabled,
            created: record.created,
        };
        let name = self
            .host_names
            .row(Kind::Directory, record.id.bytes(), 0, 0);
        batch.put(name, self.seal_host(Kind::Directory, &name, &encode(&row)));
        self.store.commit(batch).wait()?;
        self.accounts.write().insert(record.id, Arc::new(record));
        Ok(())
    }

    /// Reads the directory and the key files of all accounts.
    pub(super) fn load_directory(&self) -> Result<(), VaultOpenError> {
        let prefix = self.host_names.prefix(Kind::Directory);
        for row in self.store.scan(&prefix) {
            let (name, stored) = row?;
            let place = scanned_place(Kind::Directory, AccountId::NONE, CollectionId::NONE, &name);
            let content = stored.open(&self.host_rows, &place).ok();
            let Some(row) = content.and_then(|content| decode::<DirectoryRow>(&content)) else {
                tracing::error!(
                    row = name.short(),
                    "a row of the account directory is damaged; its account cannot sign in"
                );
                self.directory_damaged.store(true, Ordering::Relaxed);
                continue;
            };
            match self.key_files.read(row.id) {
                Ok(Some(file)) => drop(self.slots.write().insert(row.id, Arc::new(file))),
                Ok(None) => {
                    tracing::error!(account = %row.id, "the account has no key file; it cannot be opened")
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    // One damaged file keeps out its account, and nobody else (HARDENING H32).
                    tracing::error!(account = %row.id, "the account's key file is damaged; restore it from its backup and start again");
                }
                Err(error) => return Err(VaultOpenError::KeyFile(row.id, error)),
            }
            let record = AccountRecord {
                id: row.id,
                name: row.name,
                email: row.email,
                admin: row.admin,
                enabled: row.enabled,
                created: row.created,
            };
            self.accounts.write().insert(row.id, Arc::new(record));
        }
        let files = self
            .key_files
            .accounts()
            .map_err(VaultOpenError::KeyFiles)?;
        for id in files {
            if self.account(id).is_none() {
                tracing::warn!(account = %id, "there is a key file without an account: its making was cut off, or its row of the directory is damaged");
            }
        }
        Ok(())
    }

    /// Seals a row of the host that scans find.
    pub(super) fn seal_host(&self, kind: Kind, name: &RowName, content: &[u8]) -> Sealed {
        let place = scanned_place(kind, AccountId::NONE, CollectionId::NONE, name);
        self.host_rows.seal_by(&place, content, &self.ambient)
    }

    /// Whether a slot is still in the key file: a revocation holds at once.
    pub fn has_slot(&self, id: AccountId, slot: SlotId) -> bool {
        self.slots
            .read()
            .get(&id)
            .is_some_and(|file| file.slot(slot).is_some())
    }
}

fn first_calendar(
    home: CollectionId,
    segment: &str,
    title: &str,
    components: ComponentSet,
) -> NewCollection {
    let name = Name::from(xml::dav("displayname"));
    let displayname = Element {
        name: name.clone(),
        attributes: Vec::new(),
        children: vec![xml::Node::Text(title.into())],
        lang: None,
    };
    NewCollection {
        parent: home,
        segment: Segment::parse(segment).expect("a fixed name"),
        kind: CollectionKind::Calendar(components),
        properties: [(name, displayname.to_xml())].into(),
    }
}
