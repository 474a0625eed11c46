//! What each account holds of memory that all share, so that one of them cannot take it all.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::ids::AccountId;

/// The bytes that each account holds.
pub(super) struct Shares {
    most: usize,
    held: Mutex<HashMap<AccountId, usize>>,
}

/// Bytes that one request of an account holds until this is dropped.
pub(super) struct Share {
    shares: Arc<Shares>,
    account: AccountId,
    bytes: usize,
}

impl Shares {
    /// `most` is for one account.
    pub fn new(most: usize) -> Arc<Shares> {
        Arc::new(Shares {
            most,
            held: Mutex::default(),
        })
    }

    /// An account's share for one request, empty at first.
    pub fn of(self: &Arc<Self>, account: AccountId) -> Share {
        Share {
            shares: Arc::clone(self),
            account,
            bytes: 0,
        }
    }
}

impl Share {
    /// Takes `bytes` more, if the account may have them.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let mut held = self.shares.held.lock();
        let now = held.get(&self.account).copied().unwrap_or(0) + bytes;
        if now > self.shares.most {
            return false;
        }
        held.insert(self.account, now);
        self.bytes += bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock();
        if let Some(now) = held.get_mut(&self.account) {
            *now -= self.bytes;
            if *now == 0 {
                held.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_gets_back_what_its_requests_held() {
        let shares = Shares::new(10);
        let [alice, bob] = [[1; 16], [2; 16]].map(AccountId::from_bytes);
        let (mut first, mut second) = (shares.of(alice), shares.of(alice));
        assert!(first.grow(4) && second.grow(5) && first.grow(1));
        assert!(!second.grow(1));
        assert!(shares.of(bob).grow(10));
        drop(first);
        assert!(second.grow(5) && !second.grow(1));
        drop(second);
        assert!(shares.held.lock().is_empty());
    }
}
