//! The administration of accounts: the same functions behind the commands and the local socket.
//!
//! A slot is cut only from an account that was opened in that very call, by its password or its
//! recovery key: neither the cache nor an administrator can add one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Accounts;
use crate::ambient::UnixMillis;
use crate::ids::{AccountId, Email, NameError, Secret, SlotId, UserName};
use crate::limits;
use crate::seal::{AccountKey, Generated, SecretKind, Slot, SlotLock};
use crate::vault::{AccountRecord, CreateError};

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

/// A new app password.
#[derive(Debug)]
pub struct AddedAppPassword {
    /// The account's name.
    pub user: String,
    /// The secret: shown once, kept nowhere.
    pub password: Secret,
    /// Its slot, which names the device.
    pub slot: SlotId,
}

/// An app password, for lists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppPasswordInfo {
    /// Its slot, which names the device.
    pub slot: SlotId,
    /// What its user calls the device.
    pub label: String,
    /// When it was made.
    pub created: UnixMillis,
}

/// What is sealed with a slot for lists.
#[derive(Serialize, Deserialize)]
struct About {
    label: String,
    created: UnixMillis,
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
            CreateError::Vault(error) => format!("the store failed: {error:?}"),
        })
    }
}

fn refused<T>(sentence: &str) -> Result<T, AdminError> {
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
        check_password(&new.password, &name, new.allow_weak)?;
        let ambient = self.vault.ambient();
        let recovery = ambient.random(|random| Generated::random(SecretKind::RecoveryKey, random));
        self.vault
            .create_account(name, email, new.admin, |id, key| {
                vec![
                    self.password_slot(id, key, &new.password),
                    ambient.random(|random| Slot::for_generated(id, key, &recovery, random)),
                ]
            })?;
        self.cache.forget_failures();
        Ok(AddedUser {
            recovery_key: recovery.to_text(),
        })
    }

    fn password_slot(&self, id: AccountId, key: &AccountKey, password: &Secret) -> Slot {
        let _run = self.argon2.take();
        let (cost, host) = (self.settings.cost(), self.vault.host());
        Slot::for_password(id, key, password, cost, host, self.vault.ambient())
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

    /// Deletes an account for good: its keys first.
    ///
    /// # Errors
    /// No such user; the key file or the store fails.
    pub fn delete_user(&self, name: &str) -> Result<(), AdminError> {
        Ok(self.vault.delete_account(self.record(name)?.id)?)
    }

    pub(super) fn open_by(
        &self,
        record: &AccountRecord,
        authority: &Authority,
    ) -> Result<AccountKey, AdminError> {
        let key = match authority {
            Authority::Password(password) => self.open_password(Some(record), password),
            Authority::RecoveryKey(text) => match Generated::read(text.expose()) {
                Some(secret) if secret.kind() == SecretKind::RecoveryKey => {
                    self.open_generated(Some(record), &secret)
                }
                _ => return refused("that is no recovery key (sdrk-...), or it is mistyped"),
            },
            Authority::AbandonData => return refused("the password or the recovery key is needed"),
        };
        key.map(|(key, _)| key)
            .ok_or_else(|| AdminError("the password or recovery key is wrong".into()))
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
    ) -> Result<Option<Secret>, AdminError> {
        let record = self.record(name)?;
        check_password(&new, &record.name, allow_weak)?;
        if matches!(authority, Authority::AbandonData) {
            self.vault.delete_account(record.id)?;
            let new = NewUser {
                name: record.name.to_string(),
                email: record.email.as_str().to_owned(),
                password: new,
                allow_weak,
                admin: record.admin,
            };
            return self.add_user(new).map(|added| Some(added.recovery_key));
        }
        let key = self.open_by(&record, &authority)?;
        let slot = self.password_slot(record.id, &key, &new);
        self.change_slots(&record, |slots| {
            slots.retain(|slot| !matches!(slot.lock, SlotLock::Password { .. }));
            slots.insert(0, slot);
        })?;
        Ok(None)
    }

    fn change_slots(
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

    /// Cuts an app password for a device.
    ///
    /// # Errors
    /// No such user, a wrong secret, a label that is in use, too many app passwords, a failing disk.
    pub fn add_app_password(
        &self,
        name: &str,
        label: &str,
        authority: Authority,
    ) -> Result<AddedAppPassword, AdminError> {
        let record = self.record(name)?;
        if label.is_empty()
            || label.chars().count() > limits::LABEL_CHARACTERS
            || label.contains(char::is_control)
        {
            return refused("a label has 1 to 100 characters");
        }
        let others = self.app_passwords(name)?;
        if others.iter().any(|other| other.label == label) {
            return refused(
                "there is an app password of that label already; revoke it first or choose another label",
            );
        }
        if others.len() >= limits::APP_PASSWORDS {
            return refused(
                "the account has as many app passwords as it may have (100); revoke unused ones first",
            );
        }
        let key = self.open_by(&record, &authority)?;
        let ambient = self.vault.ambient();
        let secret = ambient.random(|random| Generated::random(SecretKind::AppPassword, random));
        let about = About {
            label: label.to_owned(),
            created: ambient.now(),
        };
        let about =
            postcard::to_allocvec(&about).expect("writing to memory, of types that postcard takes");
        let slot = ambient.random(|random| {
            Slot::for_generated(record.id, &key, &secret, random).with_about(
                record.id,
                &about,
                self.vault.host(),
                random,
            )
        });
        let id = slot.id;
        self.change_slots(&record, |slots| slots.push(slot))?;
        Ok(AddedAppPassword {
            user: record.name.to_string(),
            password: secret.to_text(),
            slot: id,
        })
    }

    /// The app passwords of an account, oldest first.
    ///
    /// # Errors
    /// No such user.
    pub fn app_passwords(&self, name: &str) -> Result<Vec<AppPasswordInfo>, AdminError> {
        let record = self.record(name)?;
        let file = self.vault.key_file(record.id);
        let slots = file
            .iter()
            .flat_map(|file| &file.slots)
            .filter(|slot| is_app_password(slot));
        let info = |slot: &Slot| {
            let about = slot.about(record.id, self.vault.host()).ok();
            let about = about.and_then(|about| postcard::from_bytes::<About>(&about).ok());
            let (label, created) =
                about.map_or_else(Default::default, |about| (about.label, about.created));
            AppPasswordInfo {
                slot: slot.id,
                label,
                created,
            }
        };
        Ok(slots.map(info).collect())
    }

    /// Revokes an app password, by its slot or its label; it holds from the next request on.
    ///
    /// # Errors
    /// No such user or app password, a failing disk.
    pub fn revoke_app_password(&self, name: &str, slot_or_label: &str) -> Result<(), AdminError> {
        let record = self.record(name)?;
        let found = self
            .app_passwords(name)?
            .into_iter()
            .find(|info| info.slot.to_string() == slot_or_label || info.label == slot_or_label);
        let Some(found) = found else {
            return refused(
                "there is no such app password; 'sealdav app-password list NAME' shows them",
            );
        };
        self.change_slots(&record, |slots| slots.retain(|slot| slot.id != found.slot))
    }
}

fn is_app_password(slot: &Slot) -> bool {
    matches!(slot.lock, SlotLock::AppPassword { .. })
}

fn check_password(password: &Secret, name: &UserName, allow_weak: bool) -> Result<(), AdminError> {
    let text = password.expose();
    if text.is_empty() {
        return refused("the password is empty");
    }
    if text.len() > limits::PASSWORD_BYTES {
        return refused("a password has at most 1024 bytes");
    }
    if allow_weak {
        return Ok(());
    }
    if text.chars().count() < limits::PASSWORD_CHARACTERS {
        return refused("a password has at least 10 characters (or pass --allow-weak)");
    }
    if text.to_lowercase().contains(name.as_str())
        && text.len() < name.as_str().len() + limits::PASSWORD_CHARACTERS
    {
        return refused(
            "a password may not be little more than the user's name (or pass --allow-weak)",
        );
    }
    Ok(())
}
