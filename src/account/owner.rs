//! An account opened for one command of its owner's: an export or an import.

use super::{Accounts, AdminError, Authority};
use crate::vault::{AccountStore, Action, Happening, VaultError};

impl Accounts {
    /// Opens an account by its password or its recovery key, for as long as the handle lives. What
    /// it is opened for is told in its audit trail before anything is read.
    ///
    /// # Errors
    /// No such user, a wrong secret, an account that is disabled or does not open.
    pub fn open_for_owner(
        &self,
        name: &str,
        authority: &Authority,
        what_for: Action,
    ) -> Result<AccountStore, AdminError> {
        let record = self.record(name)?;
        let (content, slot) = self.opened_by(&record, authority)?;
        if !record.enabled {
            return Err(AdminError(
                "the account is disabled; `sealdav user enable` lets it in".into(),
            ));
        }
        let opened = self.vault.unlock(record.id, content, slot);
        let account = opened.map_err(|error| match error {
            VaultError::Missing => AdminError("the account may not be opened".into()),
            error => AdminError(format!("the account does not open: {error:?}")),
        })?;
        self.vault.note(record.id, Happening::by(what_for, slot));
        if let Err(error) = self.vault.flush_audit() {
            tracing::warn!(%error, "the audit trail cannot be written");
        }
        Ok(account)
    }
}
