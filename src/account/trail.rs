//! The audit trail as people read it: with the names of devices, calendars and accounts, which
//! are not in it.

use std::collections::HashMap;

use super::{Accounts, AdminError, Authority};
use crate::ambient::UnixMillis;
use crate::ids::{CollectionId, SlotId};
use crate::limits;
use crate::seal::SlotKey;
use crate::vault::{AccountStore, AuditLine, AuditLines};
use crate::xml::{self, Name};

/// An entry of the audit trail, with names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailLine {
    /// What the vault tells.
    pub entry: AuditLine,
    /// What its user calls the device.
    pub device: Option<String>,
    /// What its user calls the calendar; none for one that is gone.
    pub calendar: Option<String>,
    /// The name of the account; none for one that is gone. Only in administration.
    pub account: Option<String>,
}

/// What was asked for of an audit trail.
#[derive(Debug)]
pub struct Trail {
    /// The entries, oldest first.
    pub lines: Vec<TrailLine>,
    /// Pages that could not be read.
    pub unread: usize,
    /// Whether there were more, older ones.
    pub more: bool,
}

fn failed(error: &dyn std::fmt::Display) -> AdminError {
    AdminError(format!("the store failed: {error}"))
}

impl Accounts {
    /// An account's audit trail from `since` on, opened by its password or its recovery key.
    ///
    /// # Errors
    /// No such user, a wrong secret, a failing store.
    pub fn trail(
        &self,
        name: &str,
        authority: &Authority,
        since: UnixMillis,
    ) -> Result<Trail, AdminError> {
        let record = self.record(name)?;
        let (content, slot) = self.opened_by(&record, authority)?;
        let SlotKey::Whole(key) = &content.key else {
            return Err(AdminError("the password or recovery key is wrong".into()));
        };
        let pairs = self.vault.pairs_of(record.id, key);
        let pairs = pairs.map_err(|error| failed(&format!("{error:?}")))?;
        // What waits in memory too, if it can be written.
        if let Err(error) = self.vault.flush_audit() {
            tracing::warn!(%error, "the audit trail cannot be written");
        }
        let found = self
            .vault
            .audit_of(record.id, &pairs, since, limits::AUDIT_SHOWN);
        let found = found.map_err(|error| failed(&error))?;
        let labels: HashMap<SlotId, String> = self
            .app_passwords(name)?
            .into_iter()
            .map(|info| (info.slot, info.label))
            .collect();
        // An account that may not sign in reads its trail with ids in place of names.
        let account = self.vault.unlock(record.id, content, slot).ok();
        let calendar = |id: CollectionId| title(account.as_ref()?, id);
        Ok(Trail::of(found, |entry| TrailLine {
            device: entry.device.and_then(|slot| labels.get(&slot).cloned()),
            calendar: entry.collection.and_then(calendar),
            account: None,
            entry,
        }))
    }

    /// The trail of administration from `since` on.
    ///
    /// # Errors
    /// A failing store.
    pub fn trail_of_administration(&self, since: UnixMillis) -> Result<Trail, AdminError> {
        if let Err(error) = self.vault.flush_audit() {
            tracing::warn!(%error, "the audit trail cannot be written");
        }
        let found = self
            .vault
            .audit_of_administration(since, limits::AUDIT_SHOWN);
        let found = found.map_err(|error| failed(&error))?;
        let name = |id| self.vault.account(id).map(|record| record.name.to_string());
        Ok(Trail::of(found, |entry| TrailLine {
            device: None,
            calendar: None,
            account: entry.account.and_then(name),
            entry,
        }))
    }
}

impl Trail {
    fn of(found: AuditLines, line: impl Fn(AuditLine) -> TrailLine) -> Self {
        Trail {
            lines: found.lines.into_iter().map(line).collect(),
            unread: found.unread,
            more: found.more,
        }
    }
}

/// What a user calls a collection: its displayname, else its path.
fn title(account: &AccountStore, id: CollectionId) -> Option<String> {
    let collection = account.collection(id)?;
    let stored = collection
        .properties
        .get(&Name::from(xml::dav("displayname")));
    let limits = xml::XmlLimits::default();
    let element = stored.and_then(|stored| xml::parse(stored.as_bytes(), &limits).ok());
    let title = element.map(|element| element.text());
    let path = || {
        let path = account.path_of(id);
        let parts: Vec<_> = path.iter().map(|segment| segment.as_str()).collect();
        format!("/{}", parts.join("/"))
    };
    Some(
        title
            .filter(|title| !title.trim().is_empty())
            .unwrap_or_else(path),
    )
}
