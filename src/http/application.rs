//! What the http floor serves, as it sees it: something that signs people in and answers
//! requests that are values. The real one joins `account` and `dav`; tests bring their own.

use std::net::IpAddr;
use std::sync::Arc;

use ::http::header::USER_AGENT;
use ::http::{Method, StatusCode};

use crate::account::{Accounts, SignInError};
use crate::dav::{Dav, Request, Response};
use crate::ids::{AccountId, Secret, SlotId};
use crate::store::Condition;
use crate::vault::AccountStore;

/// The floors below, behind one door.
pub trait Application: Send + Sync {
    /// The answer to a request that needs no sign-in; none for all others. Must not block.
    fn anonymous(&self, request: &Request) -> Option<Response>;
    /// The session of a secret that was verified before. Takes microseconds.
    fn cached(&self, name: &str, secret: &Secret) -> Option<Arc<dyn Session>>;
    /// Verifies a secret without an Argon2 run, or refuses it; none when only such a run can
    /// tell. Blocks while an account is unlocked.
    fn sign_in_without_argon2(
        &self,
        name: &str,
        secret: &Secret,
        peer: IpAddr,
    ) -> Option<Result<Arc<dyn Session>, SignInError>>;
    /// Verifies a secret. Blocks for up to one Argon2 run.
    ///
    /// # Errors
    /// Why there is no session.
    fn sign_in(
        &self,
        name: &str,
        secret: &Secret,
        peer: IpAddr,
    ) -> Result<Arc<dyn Session>, SignInError>;
    /// Bytes that the body of such a request may have.
    fn body_limit(&self, method: &Method) -> usize;
    /// Whether it works. Must not block.
    fn health(&self) -> Condition;
    /// Reads something from the store: it returns unless something hangs.
    fn touch(&self);
    /// Called every `limits::DISK_SECONDS`; may block.
    fn watch(&self);
    /// Called every minute; may block.
    fn housekeep(&self);
    /// Whether nothing can be written until it is mended. Must not block.
    fn is_broken(&self) -> bool {
        false
    }
    /// Whether nothing can be read either. Must not block.
    fn is_closed(&self) -> bool {
        false
    }
    /// Mends what is broken; whether it works now. May block.
    fn mend(&self) -> bool {
        true
    }
}

/// Somebody who is signed in, with one device.
pub trait Session: Send + Sync {
    /// The account, which has its share of the server's memory.
    fn account(&self) -> AccountId;
    /// The key slot of the device, for the log.
    fn device(&self) -> SlotId;
    /// Answers a request; may block.
    fn handle(&self, request: Request) -> Response;
    /// Answers a request if that takes microseconds and waits for nobody; none for all others, of
    /// which then nothing was done. Never wrong for what may block: it runs on the threads that
    /// serve the connections. None is always right.
    fn handle_quickly(&self, _request: &Request) -> Option<Response> {
        None
    }
    /// Remembers that a request of it was refused; `reason` is the word of the log.
    fn refused(&self, status: StatusCode, reason: &'static str);
}

/// The server's own application.
pub struct Live {
    /// Signs in.
    pub accounts: Arc<Accounts>,
    /// Answers.
    pub dav: Arc<Dav>,
}

struct LiveSession {
    accounts: Arc<Accounts>,
    account: AccountStore,
    dav: Arc<Dav>,
    /// Of the request, so that it can be signed in once more.
    name: String,
    secret: Secret,
    acquaintance: Acquaintance,
}

/// Whether a session is the first of its account and device for a while.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Acquaintance {
    /// What is known of the device may have to be read.
    New,
    Known,
}

impl Live {
    fn session(
        &self,
        account: AccountStore,
        name: &str,
        secret: &Secret,
        acquaintance: Acquaintance,
    ) -> Arc<dyn Session> {
        Arc::new(LiveSession {
            accounts: Arc::clone(&self.accounts),
            account,
            dav: Arc::clone(&self.dav),
            name: name.to_owned(),
            secret: secret.clone(),
            acquaintance,
        })
    }
}

impl Application for Live {
    fn anonymous(&self, request: &Request) -> Option<Response> {
        self.dav.anonymous(request)
    }

    fn cached(&self, name: &str, secret: &Secret) -> Option<Arc<dyn Session>> {
        self.accounts
            .cached(name, secret)
            .map(|account| self.session(account, name, secret, Acquaintance::Known))
    }

    fn sign_in_without_argon2(
        &self,
        name: &str,
        secret: &Secret,
        peer: IpAddr,
    ) -> Option<Result<Arc<dyn Session>, SignInError>> {
        let done = self.accounts.sign_in_without_argon2(name, secret, peer)?;
        Some(done.map(|account| self.session(account, name, secret, Acquaintance::New)))
    }

    fn sign_in(
        &self,
        name: &str,
        secret: &Secret,
        peer: IpAddr,
    ) -> Result<Arc<dyn Session>, SignInError> {
        self.accounts
            .sign_in(name, secret, peer)
            .map(|account| self.session(account, name, secret, Acquaintance::New))
    }

    fn body_limit(&self, method: &Method) -> usize {
        self.dav.body_limit(method)
    }

    fn health(&self) -> Condition {
        self.accounts.vault().store().condition()
    }

    fn touch(&self) {
        // Whether it is there or not, or the store has failed: it did answer.
        let _ = self.accounts.vault().store().is_empty();
    }

    fn watch(&self) {
        self.accounts.watch_disk();
    }

    fn housekeep(&self) {
        self.accounts.housekeep();
    }

    fn is_broken(&self) -> bool {
        self.accounts.vault().store().has_failed()
    }

    fn is_closed(&self) -> bool {
        !self.accounts.vault().store().is_readable()
    }

    fn mend(&self) -> bool {
        self.accounts.mend()
    }
}

impl LiveSession {
    fn note_use(&self, request: &Request) {
        let user_agent = request.headers.get(USER_AGENT);
        let user_agent = user_agent.map_or(&[][..], |value| value.as_bytes());
        let (account, device) = (self.account.id(), self.account.device());
        self.accounts
            .used(account, device, &String::from_utf8_lossy(user_agent));
    }
}

impl Session for LiveSession {
    fn account(&self) -> AccountId {
        self.account.id()
    }

    fn device(&self) -> SlotId {
        self.account.device()
    }

    fn handle(&self, request: Request) -> Response {
        self.note_use(&request);
        let again = || self.accounts.opened_again(&self.name, &self.secret);
        // An account is closed when the store failed and is opened again, a part of one also when
        // another device opens the whole, at any moment; that is no reason to ask a client for its
        // password.
        let account = match self.account.is_open() {
            true => self.account.clone(),
            false => again().unwrap_or_else(|| self.account.clone()),
        };
        let response = self.dav.respond(&account, &request);
        if response.status != StatusCode::UNAUTHORIZED || account.is_open() {
            return response;
        }
        match again() {
            Some(account) => self.dav.respond(&account, &request),
            None => response,
        }
    }

    fn handle_quickly(&self, request: &Request) -> Option<Response> {
        if self.acquaintance == Acquaintance::New {
            return None;
        }
        let response = self.dav.respond_quickly(&self.account, request);
        // Closed meanwhile: `handle` opens it again.
        let response = response.filter(|one| one.status != StatusCode::UNAUTHORIZED)?;
        self.note_use(request);
        Some(response)
    }

    fn refused(&self, status: StatusCode, reason: &'static str) {
        let (account, device) = (self.account.id(), self.account.device());
        self.accounts
            .refused(account, device, status.as_u16(), reason);
    }
}
