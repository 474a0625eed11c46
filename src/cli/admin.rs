//! Administration as values: a request, its answer, and the one function between them, which
//! the running server and the command without a server both call.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::audit::{self, AuditAnswer, AuditRequest};
use super::backup::{self, BackupRequest};
use super::doctor;
use super::trash::{self, HistoryAnswer, HistoryRequest};
use super::verify::{self, VerifyRequest};
use crate::account::{Accounts, AppPasswordInfo, Authority, Named, NewAppPassword, NewUser};
use crate::backup::{Backups, Progress};
use crate::dav::Dav;
use crate::ids::Secret;
use crate::limits;
use crate::port::Desk;
use crate::seal::{Access, wiped};
use crate::store::Room;
use crate::vault::{Action, Resealed, Stopped, VerifyEvent, VerifyTotals};

/// A secret on the local socket, which only the server's own user can open.
#[derive(Clone)]
pub(super) struct Passed(pub Secret);

impl fmt::Debug for Passed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Serialize for Passed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Passed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Passed(Secret::new(String::deserialize(deserializer)?)))
    }
}

/// What opens an account for a change to its secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Opener {
    Password(Passed),
    RecoveryKey(Passed),
    AbandonData,
}

impl From<Opener> for Authority {
    fn from(opener: Opener) -> Authority {
        match opener {
            Opener::Password(secret) => Authority::Password(secret.0),
            Opener::RecoveryKey(secret) => Authority::RecoveryKey(secret.0),
            Opener::AbandonData => Authority::AbandonData,
        }
    }
}

/// What an administrator may ask; one JSON line on the socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
#[allow(missing_docs, reason = "each is a method of Accounts")]
pub(super) enum AdminRequest {
    Health,
    /// What only the server itself knows.
    Doctor,
    AddUser {
        name: String,
        email: String,
        password: Passed,
        allow_weak: bool,
        admin: bool,
    },
    Users,
    SetEnabled {
        name: String,
        enabled: bool,
    },
    DeleteUser {
        name: String,
        /// Whether the certificate tells the name.
        #[serde(default)]
        named: bool,
    },
    ChangePassword {
        name: String,
        opener: Opener,
        new: Passed,
        allow_weak: bool,
    },
    TryRecoveryKey {
        name: String,
        recovery_key: Passed,
    },
    NewRecoveryKey {
        name: String,
        password: Passed,
    },
    /// A new account key.
    Rotate {
        name: String,
        password: Passed,
    },
    /// Goes on sealing under it what the old one sealed.
    Reseal {
        name: String,
    },
    /// One account, or all.
    Lock {
        name: Option<String>,
    },
    AddAppPassword {
        name: String,
        label: String,
        #[serde(default)]
        read_only: bool,
        #[serde(default)]
        expires: Option<String>,
        #[serde(default)]
        calendars: Vec<String>,
        opener: Opener,
    },
    AppPasswords {
        name: String,
    },
    RevokeAppPassword {
        name: String,
        slot_or_label: String,
    },
    Audit {
        request: AuditRequest,
    },
    /// Opens an account for an export or an import; what follows on the connection is
    /// `port::wire`'s.
    Port {
        name: String,
        opener: Opener,
        purpose: Purpose,
    },
    /// Answered by several lines, the last of which is `Verified` or `Refused`.
    Verify {
        request: VerifyRequest,
    },
    /// What whoever has an account's password or recovery key asks of it.
    History {
        request: HistoryRequest,
    },
    Backup {
        request: BackupRequest,
    },
}

/// What an account is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    Export,
    Import,
}

/// The answer; one JSON line on the socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub(super) enum AdminResponse {
    /// It is done, and there is nothing to tell.
    Done,
    /// It is not done; a sentence.
    Refused { sentence: String },
    /// It is done, and this is shown once.
    RecoveryKey {
        recovery_key: Passed,
        /// How strong the new password is, if there is one.
        #[serde(default)]
        strength: Option<String>,
    },
    /// The password is changed; how strong the new one is.
    PasswordChanged { strength: String },
    /// The account is deleted: the signed certificate, or why there is none.
    Erased {
        certificate: Option<String>,
        doubt: Option<String>,
    },
    /// So many accounts were open.
    Locked { accounts: usize },
    /// How far the sealing under a new key got.
    Resealed {
        done: u64,
        left: u64,
        /// Collections with damaged rows, which keep an old key.
        kept: usize,
        finished: bool,
    },
    /// What a recovery key opened.
    Recovered {
        calendars: usize,
        objects: u64,
        damaged: usize,
    },
    /// A new app password, shown once.
    AppPassword {
        user: String,
        password: Passed,
        url: String,
        read_only: bool,
        /// Milliseconds since 1970.
        expires: Option<i64>,
    },
    /// All accounts.
    Users { users: Vec<UserLine> },
    /// An account's app passwords.
    AppPasswords { app_passwords: Vec<AppPasswordLine> },
    /// About the audit trail and devices.
    Audit { answer: AuditAnswer },
    /// What a check found, while it goes on.
    Verifying { event: VerifyEvent },
    /// It is at work, and has done so much; the answer follows.
    Working { done: u64 },
    /// A check has ended.
    Verified { totals: VerifyTotals },
    /// About trash and history.
    History { answer: HistoryAnswer },
    /// How far a backup has got, or what came of it.
    Backup { progress: Progress },
    /// The key files are in this file until then (milliseconds since 1970).
    KeyBackup { file: String, expires: i64 },
    /// What the server knows of itself.
    Doctor { live: Box<doctor::Live> },
    /// It works, and something else is wrong; sentences.
    Doubts { sentences: Vec<String> },
}

/// An account, for a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct UserLine {
    pub name: String,
    pub email: String,
    pub enabled: bool,
    pub admin: bool,
    pub app_passwords: usize,
}

/// An app password, for a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AppPasswordLine {
    pub slot: String,
    pub label: String,
    /// Milliseconds since 1970.
    pub created: i64,
    /// The same; none when it was not used, or not for long.
    pub last_used: Option<i64>,
    pub read_only: bool,
    /// Milliseconds since 1970; none when it has no end.
    pub expires: Option<i64>,
    /// Whether it has ended.
    pub expired: bool,
    /// How many calendars it opens; none when it opens the whole account.
    pub calendars: Option<usize>,
}

/// What administration works on.
pub(super) struct Office {
    pub accounts: Arc<Accounts>,
    /// The address for calendar apps, with a slash at its end.
    pub url: String,
    /// What answers the requests that an import makes.
    pub dav: Arc<Dav>,
    /// Whether the store works; an error is a sentence.
    pub health: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Runs the backups.
    pub backups: Arc<Backups>,
}

/// Does what is asked, and gives what is told before its answer to `tell`.
pub(super) fn execute_told(
    office: &Office,
    request: AdminRequest,
    tell: &mut dyn FnMut(AdminResponse) -> Result<(), Stopped>,
) -> AdminResponse {
    match request {
        AdminRequest::Verify { request } => {
            let mut tell = |event| tell(AdminResponse::Verifying { event });
            match verify::execute(&office.accounts, request, &mut tell) {
                Ok(totals) => AdminResponse::Verified { totals },
                Err(sentence) => AdminResponse::Refused { sentence },
            }
        }
        AdminRequest::History { request } => {
            let every = Duration::from_secs(limits::ADMIN_TELL_SECONDS);
            let work = |done: &AtomicU64| trash::execute(&office.accounts, request, done);
            match telling(every, tell, work) {
                Ok(answer) => AdminResponse::History { answer },
                Err(sentence) => AdminResponse::Refused { sentence },
            }
        }
        request => execute(office, request),
    }
}

/// Does some work on a thread of its own, and tells how far it is as long as it lasts, so that
/// whoever waits knows that there will be an answer. The work goes on when nobody listens any more.
fn telling<T: Send>(
    every: Duration,
    tell: &mut dyn FnMut(AdminResponse) -> Result<(), Stopped>,
    work: impl FnOnce(&AtomicU64) -> T + Send,
) -> T {
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let done = &done;
        let worker = scope.spawn(move || {
            let answer = wiped(|| work(done));
            // The receiver waits until it is sent.
            let _ = sender.send(());
            answer
        });
        let mut heard = true;
        while let Err(mpsc::RecvTimeoutError::Timeout) = receiver.recv_timeout(every) {
            let done = done.load(Ordering::Relaxed);
            heard = heard && tell(AdminResponse::Working { done }).is_ok();
        }
        match worker.join() {
            Ok(answer) => answer,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Does what is asked.
pub(super) fn execute(office: &Office, request: AdminRequest) -> AdminResponse {
    let answered = match request {
        AdminRequest::Health => (office.health)().map(|()| doubts(office)),
        AdminRequest::Doctor => Ok(AdminResponse::Doctor {
            live: Box::new(doctor::Live::of(&office.accounts)),
        }),
        AdminRequest::Audit { request } => {
            audit::execute(&office.accounts, request).map(|answer| AdminResponse::Audit { answer })
        }
        AdminRequest::History { request } => {
            trash::execute(&office.accounts, request, &AtomicU64::new(0))
                .map(|answer| AdminResponse::History { answer })
        }
        AdminRequest::Backup { request } => backup::execute(&office.backups, request),
        AdminRequest::Users => Ok(users(&office.accounts)),
        AdminRequest::DeleteUser { .. } => {
            let deleted = change_user(office, request);
            if deleted.is_ok() {
                office.backups.share_erased();
            }
            deleted
        }
        AdminRequest::AddUser { .. } | AdminRequest::SetEnabled { .. } => {
            change_user(office, request)
        }
        _ => change_secrets(office, request),
    };
    answered.unwrap_or_else(|sentence| AdminResponse::Refused { sentence })
}

/// An account, opened for an export or an import.
///
/// # Errors
/// A sentence: no such user, a wrong secret.
pub(super) fn desk(
    office: &Office,
    name: &str,
    opener: Opener,
    purpose: Purpose,
) -> Result<Desk, String> {
    let action = match purpose {
        Purpose::Export => Action::Export,
        Purpose::Import => Action::SignIn,
    };
    let opened = office.accounts.open_for_owner(name, &opener.into(), action);
    let account = opened.map_err(|error| error.to_string())?;
    Ok(Desk::new(Arc::clone(&office.dav), account))
}

fn doubts(office: &Office) -> AdminResponse {
    let findings = office.accounts.vault().audit_findings();
    let mut sentences: Vec<String> = findings.iter().map(ToString::to_string).collect();
    sentences.extend(office.backups.doubts());
    let disk = office.accounts.vault().store().disk();
    if disk.room == Room::Low {
        let free = disk.space.free / (1024 * 1024);
        sentences.push(format!("the disk is getting full: {free} MiB are free"));
    }
    match sentences.is_empty() {
        true => AdminResponse::Done,
        false => AdminResponse::Doubts { sentences },
    }
}

fn users(accounts: &Accounts) -> AdminResponse {
    let line = |user: crate::account::UserInfo| UserLine {
        name: user.name,
        email: user.email,
        enabled: user.enabled,
        admin: user.admin,
        app_passwords: user.app_passwords,
    };
    AdminResponse::Users {
        users: accounts.users().into_iter().map(line).collect(),
    }
}

fn change_user(office: &Office, request: AdminRequest) -> Result<AdminResponse, String> {
    let accounts = &office.accounts;
    let done = match request {
        AdminRequest::AddUser {
            name,
            email,
            password,
            allow_weak,
            admin,
        } => {
            let new = NewUser {
                name,
                email,
                password: password.0,
                allow_weak,
                admin,
            };
            let added = accounts.add_user(new);
            return added
                .map(|added| AdminResponse::RecoveryKey {
                    recovery_key: Passed(added.recovery_key),
                    strength: Some(added.strength.0),
                })
                .map_err(|error| error.to_string());
        }
        AdminRequest::SetEnabled { name, enabled } => accounts.set_enabled(&name, enabled),
        AdminRequest::DeleteUser { name, named } => {
            let named = if named { Named::Yes } else { Named::No };
            return match accounts.delete_user(&name, named, &|id| office.backups.key_backups(id)) {
                Ok(deleted) => Ok(AdminResponse::Erased {
                    doubt: deleted
                        .certificate
                        .as_ref()
                        .err()
                        .map(|error| error.to_string()),
                    certificate: deleted.certificate.ok(),
                }),
                Err(error) => Err(error.to_string()),
            };
        }
        _ => return Err("this is no change of an account".to_owned()),
    };
    done.map(|()| AdminResponse::Done)
        .map_err(|error| error.to_string())
}

fn app_password_line(info: AppPasswordInfo) -> AppPasswordLine {
    AppPasswordLine {
        slot: info.slot.to_string(),
        label: info.label,
        created: info.created.0,
        last_used: None,
        read_only: info.access == Access::ReadOnly,
        expires: info.expires.map(|end| end.0),
        expired: info.ended,
        calendars: info.calendars,
    }
}

fn change_app_passwords(office: &Office, request: AdminRequest) -> Result<AdminResponse, String> {
    let accounts = &office.accounts;
    let answered = match request {
        AdminRequest::AddAppPassword {
            name,
            label,
            read_only,
            expires,
            calendars,
            opener,
        } => {
            let access = if read_only {
                Access::ReadOnly
            } else {
                Access::ReadWrite
            };
            let new = NewAppPassword {
                label,
                access,
                expires,
                calendars,
            };
            let added = accounts.add_app_password(&name, new, opener.into());
            added.map(|added| AdminResponse::AppPassword {
                user: added.user,
                password: Passed(added.password),
                url: office.url.clone(),
                read_only,
                expires: added.expires.map(|end| end.0),
            })
        }
        AdminRequest::AppPasswords { name } => accounts.app_passwords(&name).map(|list| {
            let devices = accounts.device_list(&name).unwrap_or_default();
            let last_used = |slot| {
                let device = devices.iter().find(|device| device.slot == slot);
                device
                    .and_then(|device| device.used)
                    .map(|(_, last)| last.0)
            };
            let line = |info: AppPasswordInfo| AppPasswordLine {
                last_used: last_used(info.slot),
                ..app_password_line(info)
            };
            AdminResponse::AppPasswords {
                app_passwords: list.into_iter().map(line).collect(),
            }
        }),
        AdminRequest::RevokeAppPassword {
            name,
            slot_or_label,
        } => accounts
            .revoke_app_password(&name, &slot_or_label)
            .map(|()| AdminResponse::Done),
        _ => return Err("this is no change of a secret".to_owned()),
    };
    answered.map_err(|error| error.to_string())
}

fn resealed(progress: Resealed, finished: bool) -> AdminResponse {
    let Resealed { done, left, kept } = progress;
    AdminResponse::Resealed {
        done,
        left,
        kept,
        finished,
    }
}

fn change_secrets(office: &Office, request: AdminRequest) -> Result<AdminResponse, String> {
    let accounts = &office.accounts;
    let answered = match request {
        AdminRequest::ChangePassword {
            name,
            opener,
            new,
            allow_weak,
        } => accounts
            .change_password(&name, opener.into(), new.0, allow_weak)
            .map(|changed| match changed.recovery_key {
                None => AdminResponse::PasswordChanged {
                    strength: changed.strength.0,
                },
                Some(key) => AdminResponse::RecoveryKey {
                    recovery_key: Passed(key),
                    strength: Some(changed.strength.0),
                },
            }),
        AdminRequest::Lock { name } => accounts
            .lock(name.as_deref())
            .map(|accounts| AdminResponse::Locked { accounts }),
        AdminRequest::TryRecoveryKey { name, recovery_key } => accounts
            .try_recovery_key(&name, recovery_key.0)
            .map(|found| AdminResponse::Recovered {
                calendars: found.calendars,
                objects: found.objects,
                damaged: found.damaged,
            }),
        AdminRequest::NewRecoveryKey { name, password } => accounts
            .new_recovery_key(&name, password.0)
            .map(|key| AdminResponse::RecoveryKey {
                recovery_key: Passed(key),
                strength: None,
            }),
        AdminRequest::Rotate { name, password } => accounts
            .rotate(&name, password.0)
            .map(|progress| resealed(progress, false)),
        AdminRequest::Reseal { name } => accounts
            .reseal(&name)
            .map(|(progress, finished)| resealed(progress, finished)),
        request => return change_app_passwords(office, request),
    };
    answered.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_long_work_is_told_and_gets_its_answer() {
        let mut told = Vec::new();
        let mut tell = |response| {
            let AdminResponse::Working { done } = response else {
                panic!("{response:?}")
            };
            told.push(done);
            // Whoever listened is gone, and the work is done nevertheless.
            if told.len() < 2 { Ok(()) } else { Err(Stopped) }
        };
        let every = Duration::from_millis(5);
        let answer = telling(every, &mut tell, |done| {
            done.store(7, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(200));
            "answer"
        });
        assert_eq!(answer, "answer");
        assert_eq!(told, [7, 7]);
        let quick = telling(Duration::from_secs(60), &mut |_| Err(Stopped), |_| 1);
        assert_eq!(quick, 1);
        let panics = std::panic::catch_unwind(|| {
            telling(every, &mut |_| Ok(()), |_| panic!("in the work"));
        });
        assert!(panics.is_err());
    }
}
