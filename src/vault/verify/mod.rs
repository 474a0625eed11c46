//! Checking everything that is stored, without changing it, while others go on reading and writing.
//!
//! - `host` checks what the host key opens: the database itself, accounts, key files, the roster,
//!   grants, devices, the audit trail. `account` and `collection` check what an account's key
//!   opens: the tree and, collection by collection, every row of every object.
//! - `table` says for each kind of row how it is checked, and what it means when it is damaged: a
//!   kind without an entry does not compile.
//! - Rows are read from the store as they are applied, and no gate is held: what looks wrong is
//!   read again before it is told, since a change may have come between. What must be seen at one
//!   moment (the sums) is read until nothing changed meanwhile, `limits::VERIFY_ATTEMPTS` times at
//!   most; then it is told as not checked.
//! - `repair` drops what is damaged, on demand, while nobody has the account open.
//!
//! What is found is given to the caller as it is found, names and all: it is for the account's
//! user. Nothing of it is logged here.

mod account;
mod collection;
mod host;
mod repair;
mod table;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::Vault;
use crate::ids::AccountId;
use crate::limits;
use crate::seal::{AccountKey, Kind, RowName};
use crate::store::StoreError;

/// What a check looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyTotals {
    /// Rows that were read.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Accounts looked at.
    pub accounts: u64,
    /// Collections opened.
    pub collections: u64,
    /// Objects opened.
    pub objects: u64,
    /// What is wrong.
    pub faults: u64,
    /// What could not be checked.
    pub unchecked: u64,
    /// What was dropped.
    pub dropped: u64,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The kind of row or file.
    pub kind: String,
    /// Whose it is, where that is known.
    pub account: Option<AccountId>,
    /// The path of the collection below the home, for its user only.
    pub collection: Option<String>,
    /// The name of the object in it, for its user only.
    pub object: Option<String>,
    /// The row, as the log names it.
    pub row: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What it means for the user.
    pub means: String,
    /// What to do.
    pub advice: String,
}

/// What a check tells while it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerifyEvent {
    /// So far.
    Progress(VerifyTotals),
    /// Something is wrong.
    Fault(Fault),
    /// Something could not be checked; a sentence.
    Unchecked(String),
    /// Something was dropped because it is damaged; a sentence for the account's user.
    Dropped(String),
}

/// Nobody listens any more: the check ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

/// Why a check ended before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyError {
    /// The store fails.
    Store(StoreError),
    /// Nobody listens any more.
    Stopped,
}

impl std::fmt::Display for VerifyError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            VerifyError::Store(error) => write!(formatter, "{error}"),
            VerifyError::Stopped => formatter.write_str("the check was stopped"),
        }
    }
}
impl std::error::Error for VerifyError {}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        VerifyError::Store(error)
    }
}

impl From<Stopped> for VerifyError {
    fn from(_: Stopped) -> Self {
        VerifyError::Stopped
    }
}

/// Who is told what a check finds.
pub type Listener<'a> = dyn FnMut(VerifyEvent) -> Result<(), Stopped> + 'a;

type Step<T = ()> = Result<T, VerifyError>;

/// A check under way.
struct Check<'a> {
    vault: &'a Vault,
    listener: &'a mut Listener<'a>,
    totals: VerifyTotals,
    /// Rows and bytes when progress was last told.
    told: (u64, u64),
}

/// Where something is, as far as it is known.
#[derive(Default, Clone, Copy)]
struct At<'a> {
    account: Option<AccountId>,
    collection: Option<&'a str>,
    object: Option<&'a str>,
    row: Option<&'a RowName>,
}

impl Check<'_> {
    /// Counts a row that was read.
    fn read(&mut self, bytes: usize) -> Step {
        self.totals.rows += 1;
        self.totals.bytes += bytes as u64;
        let (rows, bytes) = self.told;
        let due = self.totals.rows >= rows + limits::VERIFY_PROGRESS_ROWS
            || self.totals.bytes >= bytes + limits::VERIFY_PROGRESS_BYTES;
        if due {
            self.told = (self.totals.rows, self.totals.bytes);
            (self.listener)(VerifyEvent::Progress(self.totals))?;
        }
        Ok(())
    }

    /// Tells of a row of a kind that is wrong.
    fn fault(&mut self, kind: Kind, at: At<'_>, what: &str) -> Step {
        let entry = match table::entry(kind) {
            // What says nothing of its own is told as that with which it goes.
            table::Entry {
                by: table::By::With(other),
                means: "",
                ..
            } => table::entry(other),
            entry => entry,
        };
        self.tell(entry.name, at, what, (entry.means, entry.advice))
    }

    /// Tells of something else that is wrong: what it means, and what to do.
    fn tell(&mut self, kind: &str, at: At<'_>, what: &str, said: (&str, &str)) -> Step {
        self.totals.faults += 1;
        let fault = Fault {
            kind: kind.to_owned(),
            account: at.account,
            collection: at.collection.map(str::to_owned),
            object: at.object.map(str::to_owned),
            row: at.row.map(RowName::short),
            what: what.to_owned(),
            means: said.0.to_owned(),
            advice: said.1.to_owned(),
        };
        Ok((self.listener)(VerifyEvent::Fault(fault))?)
    }

    fn unchecked(&mut self, sentence: String) -> Step {
        self.totals.unchecked += 1;
        Ok((self.listener)(VerifyEvent::Unchecked(sentence))?)
    }

    fn dropped(&mut self, sentence: String) -> Step {
        self.totals.dropped += 1;
        Ok((self.listener)(VerifyEvent::Dropped(sentence))?)
    }
}

impl Vault {
    /// Checks what can be checked without anybody's secret: that the database reads, and all that
    /// the host key opens.
    ///
    /// # Errors
    /// The store fails, or the listener ended it; what was told until then holds.
    pub fn verify_store<'a>(
        &'a self,
        listener: &'a mut Listener<'a>,
    ) -> Result<VerifyTotals, VerifyError> {
        let mut check = Check::new(self, listener);
        host::check(&mut check)?;
        Ok(check.totals)
    }

    /// Checks all that an account's key opens.
    ///
    /// # Errors
    /// As `verify_store`.
    pub fn verify_account<'a>(
        &'a self,
        account: AccountId,
        key: &AccountKey,
        listener: &'a mut Listener<'a>,
    ) -> Result<VerifyTotals, VerifyError> {
        let mut check = Check::new(self, listener);
        account::check(&mut check, account, key)?;
        Ok(check.totals)
    }
}

impl<'a> Check<'a> {
    fn new(vault: &'a Vault, listener: &'a mut Listener<'a>) -> Self {
        Check {
            vault,
            listener,
            totals: VerifyTotals::default(),
            told: (0, 0),
        }
    }
}
