//! Devices: when each key slot was used and by which family of clients. A device, or a client,
//! that was not seen before is told in the audit trail and in the log.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::{Accounts, AdminError};
use crate::ambient::UnixMillis;
use crate::ids::{AccountId, SlotId};
use crate::limits;
use crate::seal::SlotLock;
use crate::store::StoreError;
use crate::vault::{Action, ClientFamily, DeviceRecord, Happening, Vault};

/// What a client's User-Agent (RFC 9110 section 10.1.5) contains, the first match counting:
/// Thunderbird tells of the system it runs on, and DAVx5 of Android.
const FAMILIES: &[(&str, ClientFamily)] = &[
    ("Thunderbird/", ClientFamily::Thunderbird),
    ("DAVx5/", ClientFamily::Davx5),
    ("DAVx\u{2075}/", ClientFamily::Davx5),
    ("DAVdroid/", ClientFamily::Davx5),
    ("Evolution/", ClientFamily::Evolution),
    ("KOrganizer/", ClientFamily::KOrganizer),
    ("Akonadi", ClientFamily::KOrganizer),
    ("vdirsyncer/", ClientFamily::Vdirsyncer),
    ("curl/", ClientFamily::Curl),
    ("iOS/", ClientFamily::Ios),
    ("iPhone", ClientFamily::Ios),
    ("macOS/", ClientFamily::MacOs),
    ("Mac OS X/", ClientFamily::MacOs),
    ("Mac_OS_X/", ClientFamily::MacOs),
    ("Mac+OS+X/", ClientFamily::MacOs),
];

/// The family of a client that calls itself `user_agent`.
pub fn family_of(user_agent: &str) -> ClientFamily {
    let found = FAMILIES.iter().find(|(part, _)| user_agent.contains(part));
    found.map_or(ClientFamily::Other, |(_, family)| *family)
}

/// What a family is called.
pub fn family_name(family: ClientFamily) -> &'static str {
    match family {
        ClientFamily::Other => "other",
        ClientFamily::Ios => "iOS",
        ClientFamily::MacOs => "macOS",
        ClientFamily::Davx5 => "DAVx5",
        ClientFamily::Thunderbird => "Thunderbird",
        ClientFamily::Evolution => "Evolution",
        ClientFamily::KOrganizer => "KOrganizer",
        ClientFamily::Vdirsyncer => "vdirsyncer",
        ClientFamily::Curl => "curl",
    }
}

/// A device, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its key slot.
    pub slot: SlotId,
    /// What its user calls it; none for the account's own password.
    pub label: Option<String>,
    /// When it was first and last used, as far as that is remembered.
    pub used: Option<(UnixMillis, UnixMillis)>,
    /// By which families of clients.
    pub families: Vec<&'static str>,
}

struct Device {
    record: DeviceRecord,
    /// When it was written; none when it must be at the next opportunity.
    written: Option<UnixMillis>,
    changed: bool,
}

type Known = HashMap<AccountId, HashMap<SlotId, Device>>;

/// The devices of all accounts, as far as they were needed.
#[derive(Default)]
pub(super) struct Devices {
    known: Mutex<Known>,
}

/// Which devices are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    /// New ones, and others once an hour.
    Due,
    /// All that were used.
    All,
}

impl Devices {
    /// Runs `with` on the devices of an account, reading them first if need be.
    fn of<T>(
        &self,
        vault: &Vault,
        account: AccountId,
        with: impl FnOnce(&mut HashMap<SlotId, Device>) -> T,
    ) -> Result<T, StoreError> {
        let mut known = self.known.lock();
        if let Some(devices) = known.get_mut(&account) {
            return Ok(with(devices));
        }
        let now = vault.ambient().now();
        let device = |record: DeviceRecord| {
            let slot = record.slot;
            let written = Some(record.last.min(now));
            let changed = false;
            (
                slot,
                Device {
                    record,
                    written,
                    changed,
                },
            )
        };
        let stored = vault.stored_devices(account)?;
        let devices = known.entry(account).or_default();
        devices.extend(stored.into_iter().map(device));
        Ok(with(devices))
    }

    /// Remembers that a device was used.
    pub fn used(&self, vault: &Vault, account: AccountId, slot: SlotId, family: ClientFamily) {
        let now = vault.ambient().now();
        let noted = self.of(vault, account, |devices| {
            let mut news = None;
            let device = devices.entry(slot).or_insert_with(|| {
                news = Some(Action::NewDevice);
                let families = vec![family];
                let record = DeviceRecord {
                    slot,
                    first: now,
                    last: now,
                    families,
                };
                Device {
                    record,
                    written: None,
                    changed: true,
                }
            });
            if !device.record.families.contains(&family) {
                device.record.families.push(family);
                device.written = None;
                news = Some(Action::NewClient);
            }
            device.record.last = now;
            device.changed = true;
            news
        });
        match noted {
            Ok(Some(news)) => {
                vault.note(account, Happening::by(news, slot));
                tracing::info!(%account, device = %slot, what = news.name(), "a device was not seen before in this way");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%account, %error, "what is known of devices cannot be read")
            }
        }
    }

    /// Writes what was used, and forgets what was not for `days` days, or has no key slot any more.
    pub fn flush(&self, vault: &Vault, days: u32, which: Flush) -> Result<(), StoreError> {
        let now = vault.ambient().now();
        let accounts = vault.accounts();
        let is_there = |id: &AccountId| accounts.iter().any(|record| record.id == *id);
        self.known.lock().retain(|id, _| is_there(id));
        let mut receipts = Vec::new();
        for record in accounts {
            let id = record.id;
            let (remembered, forgotten) = self.of(vault, id, |devices| {
                let old = |device: &Device| {
                    now.0 - device.record.last.0 >= i64::from(days) * 24 * 60 * 60 * 1000
                        || !vault.has_slot(id, device.record.slot)
                };
                let old: Vec<_> = devices.extract_if(|_, device| old(device)).collect();
                let due = devices
                    .values_mut()
                    .filter(|device| device.is_due(now, which));
                let due: Vec<_> = due.map(|device| device.take(now)).collect();
                (
                    due,
                    old.into_iter().map(|(slot, _)| slot).collect::<Vec<_>>(),
                )
            })?;
            if !remembered.is_empty() || !forgotten.is_empty() {
                receipts.push((id, vault.store_devices(id, &remembered, &forgotten)));
            }
        }
        let mut result = Ok(());
        for (id, receipt) in receipts {
            if let Err(error) = receipt.wait() {
                // Read anew: what was used since the last writing is lost, an hour at most.
                self.known.lock().remove(&id);
                result = Err(error);
            }
        }
        result
    }
}

impl Device {
    fn is_due(&self, now: UnixMillis, which: Flush) -> bool {
        let hour = limits::DEVICE_FLUSH_SECONDS * 1000;
        let due = self.written.is_none_or(|written| now.0 - written.0 >= hour);
        self.changed && (due || which == Flush::All)
    }

    fn take(&mut self, now: UnixMillis) -> DeviceRecord {
        self.changed = false;
        self.written = Some(now);
        self.record.clone()
    }
}

impl Accounts {
    /// Remembers that a device of an account was used, by a client that calls itself `user_agent`.
    pub fn used(&self, account: AccountId, device: SlotId, user_agent: &str) {
        if device != SlotId::NONE {
            let family = family_of(user_agent);
            self.devices.used(&self.vault, account, device, family);
        }
    }

    /// The devices of an account: its app passwords, oldest first, and its password if that was
    /// used by one.
    ///
    /// # Errors
    /// No such user; the store fails.
    pub fn device_list(&self, name: &str) -> Result<Vec<DeviceInfo>, AdminError> {
        let labels = self.app_passwords(name)?;
        let record = self.record(name)?;
        let mut listed: Vec<(SlotId, Option<String>)> = labels
            .into_iter()
            .map(|info| (info.slot, Some(info.label)))
            .collect();
        let file = self.vault.key_file(record.id);
        let slots = file.iter().flat_map(|file| &file.slots);
        let others = slots.filter(|slot| !matches!(slot.lock, SlotLock::AppPassword { .. }));
        listed.extend(others.map(|slot| (slot.id, None)));
        let devices = self.devices.of(&self.vault, record.id, |devices| {
            let info = |(slot, label): (SlotId, Option<String>)| {
                let known = devices.get(&slot).map(|device| &device.record);
                let families = known.map_or(&[][..], |known| &known.families);
                DeviceInfo {
                    used: known.map(|known| (known.first, known.last)),
                    families: families.iter().copied().map(family_name).collect(),
                    slot,
                    label,
                }
            };
            let all = listed.into_iter().map(info);
            all.filter(|info| info.label.is_some() || info.used.is_some())
                .collect()
        });
        devices.map_err(|error| AdminError(format!("the store failed: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_by_what_they_call_themselves() {
        for (user_agent, family) in [
            ("iOS/17.5.1 (21F90) dataaccessd/1.0", "iOS"),
            ("macOS/14.5 (23F79) dataaccessd/1.0", "macOS"),
            ("Mac+OS+X/10.15.7 (19H2) CalendarAgent/930.5.1", "macOS"),
            (
                "DAVx5/4.4.1-ose (dav4jvm; okhttp/4.12.0) Android/14",
                "DAVx5",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:128.0) Gecko/20100101 Thunderbird/128.0",
                "Thunderbird",
            ),
            ("Evolution/3.52.1", "Evolution"),
            ("vdirsyncer/0.19.2", "vdirsyncer"),
            ("curl/8.5.0", "curl"),
            ("Mozilla/5.0 (X11) KOrganizer/5.24", "KOrganizer"),
            ("", "other"),
            ("something/1", "other"),
        ] {
            assert_eq!(family_name(family_of(user_agent)), family, "{user_agent}");
        }
    }
}
