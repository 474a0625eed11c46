//! App passwords: one for each device, with its own access and end.

use serde::{Deserialize, Serialize};

use super::about::About;
use super::admin::{AdminError, Authority, is_app_password, refused};
use super::{Accounts, expiry};
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, Secret, Segment, SlotId};
use crate::limits;
use crate::seal::{Access, Generated, PairKey, SecretKind, Slot, SlotKey, ToWrap};
use crate::vault::{AccountRecord, AccountStore, Collection, VaultError};

/// An app password to make.
#[derive(Debug, Clone, Default)]
pub struct NewAppPassword {
    /// What its user calls the device.
    pub label: String,
    /// What the device may do.
    pub access: Access,
    /// How long it lasts, as typed: `90d` or `2027-01-31`; for ever when it is not given.
    pub expires: Option<String>,
    /// The names of the calendars that it opens, as in their URLs; the whole account when there
    /// are none.
    pub calendars: Vec<String>,
}

impl NewAppPassword {
    /// One for reading and writing, without an end.
    pub fn labelled(label: &str) -> Self {
        NewAppPassword {
            label: label.to_owned(),
            ..NewAppPassword::default()
        }
    }
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
    /// When it ends by itself.
    pub expires: Option<UnixMillis>,
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
    /// What the device may do.
    pub access: Access,
    /// When it ends by itself.
    pub expires: Option<UnixMillis>,
    /// Whether it has ended.
    pub ended: bool,
    /// How many calendars it opens; none when it opens the whole account.
    pub calendars: Option<usize>,
}

impl Accounts {
    /// Cuts an app password for a device.
    ///
    /// # Errors
    /// No such user, a wrong secret, a label that is in use, an end that is none, no such calendar,
    /// too many app passwords, a failing disk.
    pub fn add_app_password(
        &self,
        name: &str,
        new: NewAppPassword,
        authority: Authority,
    ) -> Result<AddedAppPassword, AdminError> {
        let record = self.record(name)?;
        self.check_label(name, &new.label)?;
        let ambient = self.vault.ambient();
        let now = ambient.now();
        let expires = new
            .expires
            .as_deref()
            .map(|text| expiry::parse(text, now))
            .transpose()?;
        let (content, by) = self.opened_by(&record, &authority)?;
        let secret = ambient.random(|random| Generated::random(SecretKind::AppPassword, random));
        let mut about = About {
            label: new.label,
            created: now,
            public: Some(secret.pair().public()),
            access: new.access,
            expires,
            calendars: Vec::new(),
        };
        let id = if new.calendars.is_empty() {
            let SlotKey::Whole(key) = content.key else {
                return refused("the password or recovery key is wrong");
            };
            let slot = self.generated_slot(record.id, ToWrap::Whole(&key), &secret, &about);
            let id = slot.id;
            self.change_slots(&record, |slots| slots.push(slot))?;
            id
        } else {
            let account = self.vault.unlock(record.id, content, by);
            let account = account.map_err(|error| not_granted(&error))?;
            about.calendars = chosen(&account, &new.calendars)?;
            self.cut_limited(&record, &account, &secret, &about)?
        };
        Ok(AddedAppPassword {
            user: record.name.to_string(),
            password: secret.to_text(),
            slot: id,
            expires,
        })
    }

    /// Cuts a slot that opens no more than the calendars in `about`.
    fn cut_limited(
        &self,
        record: &AccountRecord,
        account: &AccountStore,
        secret: &Generated,
        about: &About,
    ) -> Result<SlotId, AdminError> {
        let pair = PairKey::generate(self.vault.ambient());
        let slot = self.generated_slot(record.id, ToWrap::Limited(&pair), secret, about);
        let id = slot.id;
        // First the slot, since links are written for devices that have one.
        self.change_slots(record, |slots| slots.push(slot))?;
        if let Err(error) = account.grant(id, pair.public(), &about.calendars) {
            self.change_slots(record, |slots| slots.retain(|slot| slot.id != id))?;
            return Err(not_granted(&error));
        }
        Ok(id)
    }

    fn check_label(&self, name: &str, label: &str) -> Result<(), AdminError> {
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
        Ok(())
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
        let now = self.vault.ambient().now();
        let info = |slot: &Slot| {
            let about = slot.about(record.id, self.vault.host()).ok();
            let about = about.and_then(|about| About::decode(&about));
            let calendars = about.as_ref().map_or(0, |about| about.calendars.len());
            let terms = about.as_ref().map(About::terms).unwrap_or_default();
            let (label, created) =
                about.map_or_else(Default::default, |about| (about.label, about.created));
            AppPasswordInfo {
                slot: slot.id,
                label,
                created,
                access: terms.access,
                expires: terms.expires,
                ended: terms.ended(now),
                calendars: (calendars > 0).then_some(calendars),
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
        self.change_slots(&record, |slots| slots.retain(|slot| slot.id != found.slot))?;
        if let Err(error) = self.vault.forget_grants(record.id) {
            // Nobody can open them: they are room that is not given back.
            tracing::warn!(account = %record.id, %error, "what a revoked app password was granted stays");
        }
        Ok(())
    }
}

fn not_granted(error: &VaultError) -> AdminError {
    AdminError(match error {
        VaultError::Missing => "the account is disabled, or one of the calendars is gone".into(),
        VaultError::Limit(_) => "an app password opens at most 30 chosen calendars".into(),
        error => format!("the calendars could not be granted: {error:?}"),
    })
}

/// The calendars of these names in the home.
fn chosen(account: &AccountStore, names: &[String]) -> Result<Vec<CollectionId>, AdminError> {
    let there = account.collections(account.home().id);
    let mut ids = Vec::new();
    for name in names {
        let named = |calendar: &Collection| {
            let segment = calendar.segment.as_ref().map(Segment::as_str);
            calendar.is_calendar() && segment == Some(name)
        };
        let Some(found) = there.iter().find(|calendar| named(calendar)) else {
            let mut all: Vec<_> = there
                .iter()
                .filter(|calendar| calendar.is_calendar())
                .collect();
            all.sort_by_key(|calendar| calendar.segment.clone());
            let all: Vec<_> = all
                .iter()
                .filter_map(|calendar| calendar.segment.as_ref().map(Segment::as_str))
                .collect();
            return Err(AdminError(format!(
                "there is no calendar {name:?}; the account has {}",
                all.join(", ")
            )));
        };
        if !ids.contains(&found.id) {
            ids.push(found.id);
        }
    }
    Ok(ids)
}
