//! What the accounts count of themselves: never a name, only how often.

use super::SignInError;
use crate::figures::{Count, Level};

/// See the module. Counted since the start.
#[derive(Debug, Default)]
pub struct Figures {
    /// Sign-ins that opened an account; requests of a device whose secret is remembered are none.
    pub signed_in: Count,
    /// Sign-ins with a wrong name or secret, or to an account that may not.
    pub wrong: Count,
    /// Sign-ins refused because too many failed before.
    pub throttled: Count,
    /// Sign-ins that the store did not answer.
    pub unavailable: Count,
    /// Argon2 runs for sign-ins, with or without an account.
    pub argon2_runs: Count,
    /// Sign-ins that wait for their Argon2 run.
    pub argon2_waiting: Level,
    /// Times that the audit trail, or what is known of devices, could not be written.
    pub flush_failures: Count,
}

impl Figures {
    /// Counts how a sign-in ended.
    pub(super) fn ended<T>(&self, result: &Result<T, SignInError>) {
        match result {
            Ok(_) => self.signed_in.one(),
            Err(SignInError::Wrong) => self.wrong.one(),
            Err(SignInError::Throttled { .. }) => self.throttled.one(),
            Err(SignInError::Unavailable) => self.unavailable.one(),
        }
    }
}
