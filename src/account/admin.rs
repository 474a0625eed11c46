//! The administration of accounts: the same functions behind the commands and the local socket.
//!
//! A slot is cut only from an account that was opened in that very call, by its password or its
//! recovery key: neither the cache nor an administrator can add one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Accounts;
use super::about::About;
use super::password::{self, Strength};
use crate::ambient::UnixMillis;
use crate::ids::{AccountId, Email, NameError, Secret, SlotId, UserName};
use crate::seal::{
    AccountKey, Generated, SecretKind, Slot, SlotContent, SlotKey, SlotLock, ToWrap,
};
use crate::vault::{AccountRecord, CreateError, Erasure, KeyBackup};

/// An account to make.
#[derive(Debug)]
pub struct NewUser {
    /// Its name; see [`UserName`].
    pub name: String,
    /// Its e-mail address, which becomes its calendar user address.
    pub email: String,
    /// Its password.
    pub password: Secret,
    /// Whether a short password is taken too.
    pub allow_weak: bool,
    /// Whether it may administer.
    pub admin: bool,
}

/// A new account.
#[derive(Debug)]
pub struct AddedUser {
    /// Its recovery key: shown once, kept nowhere.
    pub recovery_key: Secret,
    /// How strong its password is.
    pub strength: Strength,
}

/// A changed password.
#[derive(Debug)]
pub struct ChangedPassword {
    /// The recovery key of an account that was made anew.
    pub recovery_key: Option<Secret>,
    /// How strong the new password is.
    pub strength: Strength,
}

/// A deleted account.
#[derive(Debug)]
pub struct DeletedUser {
    /// What was destroyed.
    pub erased: Erasure,
    /// The same as a signed text, or why there is none.
    pub certificate: Result<String, AdminError>,
}

/// An account, for lists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserInfo {
    /// Its name.
    pub name: String,
    /// Its e-mail address.
    pub email: String,
    /// Whether it may administer.
    pub admin: bool,
    /// Whether it may sign in.
    pub enabled: bool,
    /// When it was made.
    pub created: UnixMillis,
    /// How many app passwords it has.
    pub app_passwords: usize,
}

/// Whether a certificate of erasure tells the account's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// It tells the name too.
    Yes,
    /// Only the random id.
    No,
}

/// By what right a key slot is cut or replaced.
#[derive(Debug)]
pub enum Authority {
    /// The account's password.
    Password(Secret),
    /// Its recovery key.
    RecoveryKey(Secret),
    /// None: the account is made anew and its data is lost for good.
    AbandonData,
}

/// Why an administrative call did nothing; a sentence for the administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminError(pub String);

impl fmt::Display for AdminError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
impl std::error::Error for AdminError {}

impl From<NameError> for AdminError {
    fn from(error: NameError) -> Self {
        AdminError(error.to_string())
    }
}

impl From<CreateError> for AdminError {
    fn from(error: CreateError) -> Self {
        AdminError(match error {
            CreateError::NameTaken => "there is a user of that name already".into(),
            CreateError::EmailTaken => "another user has that e-mail address".into(),
            CreateError::KeyFile(error) => format!("the key file could not be written: {error}"),
            CreateError::Erased(error) => format!(
                "the account's keys are destroyed, but the list of erased accounts could not be written ({error}); mend that and delete it again"
            ),
            CreateError::Vault(error) => format!("the store failed: {error:?}"),
        })
    }
}

pub(super) fn refused<T>(sentence: &str) -> Result<T, AdminError> {
    Err(AdminError(sentence.to_owned()))
}

impl Accounts {
    /// Makes an account. Durable when it returns.
    ///
    /// # Errors
    /// A bad name, address or password; a name or an address that is taken.
    pub fn add_user(&self, new: NewUser) -> Result<AddedUser, AdminError> {
        let name = UserName::parse(&new.name)?;
        let email = Email::parse(&new.email)?;
        if !self.settings.allows(&email) {
            return refused("addresses of that domain are not allowed (sign_in.email_domains)");
        }
        let strength = password::check(&new.password, &name, &email, new.allow_weak)?;
        let ambient = self.vault.ambient();
        let recovery = ambient.random(|random| Generated::random(SecretKind::RecoveryKey, random));
        self.vault
            .create_account(name, email, new.admin, |id, key| {
                let about = About::recovery_key(&recovery, ambient.now());
                vec![
                    self.password_slot(id, key, &new.password),
                    self.generated_slot(id, ToWrap::Whole(key), &recovery, &about),
                ]
            })?;
        self.cache.forget_failures();
        Ok(AddedUser {
            recovery_key: recovery.to_text(),
            strength,
        })
    }

    pub(super) fn password_slot(&self, id: AccountId, key: &AccountKey, password: &Secret) -> Slot {
        let _run = self.argon2.take();
        let (cost, host) = (self.settings.cost(), self.vault.host());
        Slot::for_password(id, key, password, cost, host, self.vault.ambient())
    }

    /// A slot for a generated secret, with what is sealed for the host beside it.
    pub(super) fn generated_slot(
        &self,
        id: AccountId,
        key: ToWrap<'_>,
        secret: &Generated,
        about: &About,
    ) -> Slot {
        let (host, ambient) = (self.vault.host(), self.vault.ambient());
        let slot = Slot::for_generated(id, key, about.terms(), secret, host, ambient);
        ambient.random(|random| slot.with_about(id, &about.encode(), host, random))
    }

    /// All accounts, by name.
    pub fn users(&self) -> Vec<UserInfo> {
        let info = |record: &AccountRecord| UserInfo {
            name: record.name.to_string(),
            email: record.email.as_str().to_owned(),
            admin: record.admin,
            enabled: record.enabled,
            created: record.created,
            app_passwords: self.vault.key_file(record.id).map_or(0, |file| {
                file.slots
                    .iter()
                    .filter(|slot| is_app_password(slot))
                    .count()
            }),
        };
        self.vault
            .accounts()
            .iter()
            .map(|record| info(record))
            .collect()
    }

    pub(super) fn record(&self, name: &str) -> Result<std::sync::Arc<AccountRecord>, AdminError> {
        self.vault.account_named(name).ok_or_else(|| {
            AdminError("there is no such user; 'sealdav user list' shows them".into())
        })
    }

    /// Lets an account sign in or not, from the next request on.
    ///
    /// # Errors
    /// No such user; the store fails.
    pub fn set_enabled(&self, name: &str, enabled: bool) -> Result<(), AdminError> {
        self.vault.set_enabled(self.record(name)?.id, enabled)?;
        self.cache.forget_failures();
        Ok(())
    }

    /// Deletes an account for good, its keys first, and certifies it. The certificate tells the
    /// account's name when `named` does, and the backups that may still hold the key file, which
    /// `backups` knows.
    ///
    /// # Errors
    /// No such user; the key file or the store fails.
    pub fn delete_user(
        &self,
        name: &str,
        named: Named,
        backups: &dyn Fn(AccountId) -> Vec<KeyBackup>,
    ) -> Result<DeletedUser, AdminError> {
        let record = self.record(name)?;
        let mut erased = self.vault.delete_account(record.id)?;
        erased.backups = backups(record.id);
        let told = (named == Named::Yes).then(|| record.name.as_str());
        let certificate = self.vault.certify(&erased, told).map_err(|error| {
            AdminError(format!(
                "the account is deleted, and the certificate could not be made: {error}"
            ))
        });
        Ok(DeletedUser {
            erased,
            certificate,
        })
    }

    pub(super) fn open_by(
        &self,
        record: &AccountRecord,
        authority: &Authority,
    ) -> Result<AccountKey, AdminError> {
        match self.opened_by(record, authority)?.0.key {
            SlotKey::Whole(key) => Ok(key),
            SlotKey::Limited(_) => refused("the password or recovery key is wrong"),
        }
    }

    pub(super) fn opened_by(
        &self,
        record: &AccountRecord,
        authority: &Authority,
    ) -> Result<(SlotContent, SlotId), AdminError> {
        let opened = match authority {
            Authority::Password(password) => self.open_password(Some(record), password),
            Authority::RecoveryKey(text) => match Generated::read(text.expose()) {
                Some(secret) if secret.kind() == SecretKind::RecoveryKey => {
                    self.open_generated(Some(record), &secret)
                }
                _ => return refused("that is no recovery key (sdrk-...), or it is mistyped"),
            },
            Authority::AbandonData => return refused("the password or the recovery key is needed"),
        };
        opened.ok_or_else(|| AdminError("the password or recovery key is wrong".into()))
    }

    /// Gives an account a new password. App passwords and the recovery key stay. With
    /// `AbandonData` the account is made anew, empty, and its new recovery key is returned.
    ///
    /// # Errors
    /// No such user, a wrong secret, a weak new password, a failing disk.
    pub fn change_password(
        &self,
        name: &str,
        authority: Authority,
        new: Secret,
        allow_weak: bool,
    ) -> Result<ChangedPassword, AdminError> {
        let record = self.record(name)?;
        let strength = password::check(&new, &record.name, &record.email, allow_weak)?;
        if matches!(authority, Authority::AbandonData) {
            self.vault.delete_account(record.id)?;
            let new = NewUser {
                name: record.name.to_string(),
                email: record.email.as_str().to_owned(),
                password: new,
                allow_weak,
                admin: record.admin,
            };
            let added = self.add_user(new)?;
            return Ok(ChangedPassword {
                recovery_key: Some(added.recovery_key),
                strength,
            });
        }
        let key = self.open_by(&record, &authority)?;
        let slot = self.password_slot(record.id, &key, &new);
        self.change_slots(&record, |slots| {
            slots.retain(|slot| !matches!(slot.lock, SlotLock::Password { .. }));
            slots.insert(0, slot);
        })?;
        Ok(ChangedPassword {
            recovery_key: None,
            strength,
        })
    }

    pub(super) fn change_slots(
        &self,
        record: &AccountRecord,
        change: impl FnOnce(&mut Vec<Slot>),
    ) -> Result<(), AdminError> {
        self.vault
            .change_slots(record.id, change)
            .map_err(|error| AdminError::from(CreateError::KeyFile(error)))?;
        self.cache.forget_failures();
        Ok(())
    }
}

pub(super) fn is_app_password(slot: &Slot) -> bool {
    matches!(slot.lock, SlotLock::AppPassword { .. })
}
