//! Checks of everything that is stored, by right of a user's secret where it takes one.

use super::{Accounts, AdminError, Authority};
use crate::ids::{AccountId, SlotId};
use crate::seal::{AccountKey, SlotKey};
use crate::vault::{Listener, VerifyError, VerifyTotals};

impl From<VerifyError> for AdminError {
    fn from(error: VerifyError) -> Self {
        AdminError(match error {
            VerifyError::Store(error) => format!("the store failed: {error}"),
            VerifyError::Stopped => "the check was stopped".to_owned(),
        })
    }
}

impl Accounts {
    /// Checks what can be checked without anybody's secret.
    ///
    /// # Errors
    /// The store fails, or nobody listens any more.
    pub fn verify<'a>(
        &'a self,
        listener: &'a mut Listener<'a>,
    ) -> Result<VerifyTotals, AdminError> {
        // What waits in memory too, if it can be written.
        if let Err(error) = self.vault.flush_audit() {
            tracing::warn!(%error, "the audit trail cannot be written");
        }
        Ok(self.vault.verify_store(listener)?)
    }

    /// Checks all that is an account's, opened by its password or its recovery key.
    ///
    /// # Errors
    /// No such user, a wrong secret; as `verify`.
    pub fn verify_user<'a>(
        &'a self,
        name: &str,
        authority: &Authority,
        listener: &'a mut Listener<'a>,
    ) -> Result<VerifyTotals, AdminError> {
        let (id, key, _) = self.whole_key(name, authority)?;
        Ok(self.vault.verify_account(id, &key, listener)?)
    }

    /// Drops what of an account is damaged. See `Vault::drop_damaged`.
    ///
    /// # Errors
    /// As `verify_user`.
    pub fn drop_damaged<'a>(
        &'a self,
        name: &str,
        authority: &Authority,
        listener: &'a mut Listener<'a>,
    ) -> Result<VerifyTotals, AdminError> {
        let (id, key, slot) = self.whole_key(name, authority)?;
        Ok(self.vault.drop_damaged(id, &key, slot, listener)?)
    }

    fn whole_key(
        &self,
        name: &str,
        authority: &Authority,
    ) -> Result<(AccountId, AccountKey, SlotId), AdminError> {
        let record = self.record(name)?;
        let (content, slot) = self.opened_by(&record, authority)?;
        match content.key {
            SlotKey::Whole(key) => Ok((record.id, key, slot)),
            SlotKey::Limited(_) => Err(AdminError(
                "the password or recovery key is wrong".to_owned(),
            )),
        }
    }
}
