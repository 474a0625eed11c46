//! What a restore needs of the vault: which sealed rows are an account's, in this state and in
//! another one, and the entry of the audit trail that tells of it.

use std::sync::Arc;

use super::audit::Action;
use super::directory::AccountRecord;
use super::keyfile::mark;
use super::model::VaultError;
use super::rows::{RosterRow, decode};
use super::tree::scanned_place;
use super::{CreateError, Vault};
use crate::ids::{AccountId, CollectionId, SlotId};
use crate::seal::{Kind, RowName, RowPrefix, Stored};
use crate::store::{LeftOut, StoreError};

impl Vault {
    /// The rows of an account, as the roster of this state lists them, without those of its audit
    /// trail and devices.
    ///
    /// # Errors
    /// The store's.
    pub fn rows_of_account(&self, id: AccountId) -> Result<LeftOut, StoreError> {
        let mut rows = LeftOut::default();
        for row in self.store.scan(&self.host_names.prefix(Kind::Roster)) {
            let (name, stored) = row?;
            self.add_listed(&mut rows, id, &name, stored);
        }
        Ok(rows)
    }

    /// The beginning of the names of the roster's rows.
    pub fn roster_prefix(&self) -> RowPrefix {
        self.host_names.prefix(Kind::Roster)
    }

    /// Adds what a row of the roster, of this state or another, lists of an account. Whether the
    /// row could be opened.
    pub fn add_listed(
        &self,
        rows: &mut LeftOut,
        id: AccountId,
        name: &RowName,
        stored: Stored,
    ) -> bool {
        let place = scanned_place(Kind::Roster, AccountId::NONE, CollectionId::NONE, name);
        let content = stored.open(&self.host_rows, &place).ok();
        let Some(row) = content.and_then(|content| decode::<RosterRow>(&content)) else {
            return false;
        };
        if row.account == id {
            let chain = self.chain(id).prefixes();
            let listed = row.prefixes.iter().filter(|prefix| !chain.contains(prefix));
            rows.prefixes.extend(listed);
            rows.names.insert(*name);
        }
        true
    }

    /// The name of the row with the open page of an account's audit trail.
    pub fn open_page_name(&self, id: AccountId) -> RowName {
        self.chain(id).open_page_name()
    }

    /// The name of the row that tells which key an account has.
    pub fn root_name(&self, id: AccountId) -> RowName {
        self.chain(id).root_name()
    }

    /// Whether an account had another key when `root` was that row: then what was sealed under it
    /// cannot be opened with the key slots of now.
    pub fn has_other_key(&self, id: AccountId, root: Option<Stored>) -> bool {
        self.had_another_key(id, root)
    }

    /// The accounts whose key file holds another account key than the one of their rows, so that no
    /// secret opens them: the key was replaced between the two. Key files of an early version do
    /// not tell.
    pub fn with_other_keys(&self) -> Vec<Arc<AccountRecord>> {
        let mut accounts = self.accounts();
        accounts.retain(|record| {
            let file = self.key_file(record.id);
            let holds = file.and_then(|file| file.holds);
            let rows = self.public_of(record.id).map(|public| mark(&public));
            // A tree for the next key stands beside that of the key before until it is first opened.
            let both = self.rekeyed.lock().contains_key(&record.id);
            !both && holds.is_some() && rows.is_some() && holds != rows
        });
        accounts
    }

    /// Writes into the audit trail of administration, and into the account's, that its rows were
    /// restored from another state, whose open page is `page`: what its heads added up to then
    /// is what they add up to now.
    ///
    /// # Errors
    /// The store's.
    pub fn account_restored(&self, id: AccountId, page: Option<Stored>) -> Result<(), StoreError> {
        self.take_heads(id, page)?;
        self.administered(Action::Restore, id, SlotId::NONE)
    }

    /// After all rows were restored from a backup: applies the deletions of accounts since, writes
    /// the trail of administration, and removes the rows of accounts that are gone. Gives the
    /// accounts that it erased.
    ///
    /// # Errors
    /// Why it could not; nothing is lost by calling it again.
    pub fn all_restored(&self, erased: &super::Erased) -> Result<Vec<AccountId>, CreateError> {
        self.administered(Action::Restore, AccountId::NONE, SlotId::NONE)?;
        let mut gone = Vec::new();
        for id in erased.accounts.keys() {
            if self.account(*id).is_some() {
                self.delete_account(*id)?;
                gone.push(*id);
            }
        }
        while self.purge_step().map_err(VaultError::Store)? {}
        Ok(gone)
    }
}
