//! Tests of sign-in and administration over a real vault.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::ambient::{Ambient, OsRandom, UnixMillis};
use crate::seal::{Access, HostKey};
use crate::store::{Store, StoreOptions};

const PASSWORD: &str = "correct horse riding";
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

struct Server {
    accounts: Accounts,
    clock: Arc<AtomicI64>,
    _directory: tempfile::TempDir,
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn server(password_over_dav: bool) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("db"), &StoreOptions::default()).unwrap();
    let clock = Arc::new(AtomicI64::new(1_000_000));
    let now = clock.clone();
    let ambient = Ambient::given(
        Box::new(move || UnixMillis(now.load(Ordering::Relaxed))),
        Box::new(OsRandom),
    );
    let host = HostKey::generate(&mut OsRandom);
    let vault = Vault::open(
        store,
        host,
        &directory.path().join("keys"),
        Arc::new(ambient),
    )
    .unwrap();
    let settings = AccountSettings {
        password_over_dav,
        argon2_kib: 8,
        argon2_passes: 1,
        ..AccountSettings::default()
    };
    let accounts = Accounts::open(vault, settings);
    let new = NewUser {
        name: "alice".into(),
        email: "Alice@example.org".into(),
        password: secret(PASSWORD),
        allow_weak: false,
        admin: false,
    };
    accounts.add_user(new).unwrap();
    Server {
        accounts,
        clock,
        _directory: directory,
    }
}

fn app_password(accounts: &Accounts, label: &str) -> Secret {
    accounts
        .add_app_password(
            "alice",
            NewAppPassword::labelled(label),
            Authority::Password(secret(PASSWORD)),
        )
        .unwrap()
        .password
}

#[test]
fn an_app_password_signs_in_by_name_and_address() {
    let server = server(false);
    let accounts = &server.accounts;
    let phone = app_password(accounts, "phone");
    assert!(accounts.cached("alice", &phone).is_none());
    let account = accounts.sign_in("alice", &phone, PEER).unwrap();
    assert_eq!(account.name().as_str(), "alice");
    assert!(accounts.cached("alice", &phone).is_some());
    assert!(accounts.sign_in("alice@EXAMPLE.org", &phone, PEER).is_ok());
    assert_eq!(
        accounts.sign_in("bob", &phone, PEER).err(),
        Some(SignInError::Wrong)
    );
}

#[test]
fn only_what_may_be_a_password_needs_an_argon2_run() {
    let server = server(true);
    let accounts = &server.accounts;
    let phone = app_password(accounts, "phone");
    let quick = |name: &str, secret: &Secret| {
        let done = accounts.sign_in_without_argon2(name, secret, PEER);
        done.map(|done| done.err())
    };
    assert_eq!(quick("bob", &phone), Some(Some(SignInError::Wrong)));
    assert_eq!(quick("alice", &phone), Some(None));
    // It does not tell whether there is such an account, nor does it count a failure.
    for name in ["alice", "bob"] {
        for _ in 0..2 * limits::FAILURES_PER_NAME {
            assert_eq!(quick(name, &secret("wrong horse")), None, "{name}");
        }
        let failed = accounts.sign_in(name, &secret("wrong horse"), PEER).err();
        assert_eq!(failed, Some(SignInError::Wrong));
        let again = quick(name, &secret("wrong horse"));
        assert_eq!(again, Some(Some(SignInError::Wrong)));
    }
    let long = secret(&"x".repeat(limits::PASSWORD_BYTES + 1));
    assert_eq!(quick("alice", &long), Some(Some(SignInError::Wrong)));
}

/// HARDENING H3: whoever knocks with a wrong secret makes the server do the same work, byte for
/// byte and key for key, whether there is such an account, is none, or may not sign in.
#[test]
fn who_exists_is_not_told_by_the_work_of_a_refusal() {
    use crate::seal::work::{self, Work};
    let server = server(true);
    let accounts = &server.accounts;
    for (name, address) in [("off", "off@example.org"), ("many", "many@example.org")] {
        let new = NewUser {
            name: name.into(),
            email: address.into(),
            password: secret(PASSWORD),
            allow_weak: false,
            admin: false,
        };
        accounts.add_user(new).unwrap();
    }
    let app_password = |name: &str, label: &str| {
        let by = Authority::Password(secret(PASSWORD));
        let added = accounts.add_app_password(name, NewAppPassword::labelled(label), by);
        added.unwrap().password
    };
    let of_disabled = app_password("off", "phone");
    for number in 0..20 {
        app_password("many", &number.to_string());
    }
    let revoked = app_password("many", "revoked");
    accounts.revoke_app_password("many", "revoked").unwrap();
    accounts.set_enabled("off", false).unwrap();
    accounts.lock(None).unwrap();
    let mut number = 0;
    let mut work_of = |name: &str, secret: &Secret| {
        number += 1;
        let peer = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, number));
        work::taken();
        let refused = accounts.sign_in(name, secret, peer).err();
        assert_eq!(refused, Some(SignInError::Wrong), "{name}");
        work::taken()
    };
    let expected = work_of("alice", &secret("wrong horse"));
    let runs = |work: &&Work| matches!(work, Work::Stretched(..));
    assert_eq!(expected.iter().filter(runs).count(), 1);
    assert!(expected.len() > 3, "{expected:?}");
    for name in [
        "nobody",
        "ALICE@example.org",
        "x@example.org",
        "off",
        "many",
    ] {
        assert_eq!(work_of(name, &secret("a wrong horse")), expected, "{name}");
    }
    // the right one of somebody who is disabled
    assert_eq!(work_of("off", &secret(PASSWORD)), expected);
    let of_another = Generated::random(SecretKind::AppPassword, &mut OsRandom).to_text();
    let expected = work_of("alice", &of_another);
    assert_eq!(expected, [Work::Derived]);
    for name in ["nobody", "x@example.org", "off", "many"] {
        assert_eq!(work_of(name, &of_another), expected, "{name}");
    }
    assert_eq!(work_of("off", &of_disabled), expected);
    assert_eq!(work_of("many", &revoked), expected);
}

#[test]
fn the_account_password_is_for_dav_only_where_allowed() {
    for allowed in [false, true] {
        let server = server(allowed);
        let accounts = &server.accounts;
        assert_eq!(
            accounts.sign_in("alice", &secret(PASSWORD), PEER).is_ok(),
            allowed
        );
        assert!(
            accounts
                .sign_in("alice", &secret("wrong horse"), PEER)
                .is_err()
        );
        assert!(accounts.sign_in("nobody", &secret(PASSWORD), PEER).is_err());
    }
}

#[test]
fn a_revoked_app_password_ends_at_once_and_others_do_not() {
    let server = server(false);
    let accounts = &server.accounts;
    let (phone, laptop) = (
        app_password(accounts, "phone"),
        app_password(accounts, "laptop"),
    );
    let open = accounts.sign_in("alice", &phone, PEER).unwrap();
    accounts.sign_in("alice", &laptop, PEER).unwrap();
    accounts.revoke_app_password("alice", "phone").unwrap();
    assert!(!open.is_open());
    assert!(accounts.cached("alice", &phone).is_none());
    assert_eq!(
        accounts.sign_in("alice", &phone, PEER).err(),
        Some(SignInError::Wrong)
    );
    assert!(accounts.cached("alice", &laptop).is_some());
    assert_eq!(
        accounts
            .app_passwords("alice")
            .unwrap()
            .iter()
            .map(|info| info.label.as_str())
            .collect::<Vec<_>>(),
        ["laptop"]
    );
}

#[test]
fn an_app_password_ends_at_its_time_also_where_it_is_signed_in() {
    let server = server(false);
    let (accounts, clock) = (&server.accounts, &server.clock);
    let new = NewAppPassword {
        access: Access::ReadOnly,
        expires: Some("1m".into()),
        ..NewAppPassword::labelled("visitor")
    };
    let authority = Authority::Password(secret(PASSWORD));
    let visitor = accounts.add_app_password("alice", new, authority).unwrap();
    let open = accounts.sign_in("alice", &visitor.password, PEER).unwrap();
    assert_eq!(open.access(), Access::ReadOnly);
    let refused: Result<(), VaultError> = open.write(|_| Ok(()));
    assert_eq!(refused, Err(VaultError::Denied));
    let listed = &accounts.app_passwords("alice").unwrap()[0];
    assert_eq!((listed.access, listed.ended), (Access::ReadOnly, false));
    assert_eq!(listed.expires, visitor.expires);
    clock.fetch_add(59_999, Ordering::Relaxed);
    assert!(open.is_open() && accounts.cached("alice", &visitor.password).is_some());
    clock.fetch_add(1, Ordering::Relaxed);
    assert!(!open.is_open() && accounts.cached("alice", &visitor.password).is_none());
    assert_eq!(
        accounts.sign_in("alice", &visitor.password, PEER).err(),
        Some(SignInError::Wrong)
    );
    assert!(accounts.app_passwords("alice").unwrap()[0].ended);
}

#[test]
fn a_disabled_account_stops_and_comes_back() {
    let server = server(false);
    let accounts = &server.accounts;
    let phone = app_password(accounts, "phone");
    let open = accounts.sign_in("alice", &phone, PEER).unwrap();
    accounts.set_enabled("alice", false).unwrap();
    assert!(!open.is_open() && accounts.cached("alice", &phone).is_none());
    assert_eq!(
        accounts.sign_in("alice", &phone, PEER).err(),
        Some(SignInError::Wrong)
    );
    accounts.set_enabled("alice", true).unwrap();
    assert!(accounts.sign_in("alice", &phone, PEER).is_ok());
}

#[test]
fn failures_are_throttled_and_a_valid_secret_never_is() {
    let server = server(true);
    let accounts = &server.accounts;
    let phone = app_password(accounts, "phone");
    for number in 0..=limits::FAILURES_PER_NAME {
        assert_eq!(
            accounts
                .sign_in("alice", &secret(&format!("guess {number}")), PEER)
                .err(),
            Some(SignInError::Wrong)
        );
    }
    assert!(matches!(
        accounts.sign_in("alice", &secret("one more"), PEER),
        Err(SignInError::Throttled { .. })
    ));
    assert!(matches!(
        accounts.sign_in("alice", &secret(PASSWORD), PEER),
        Err(SignInError::Throttled { .. })
    ));
    assert!(accounts.sign_in("alice", &phone, PEER).is_ok());
}

#[test]
fn the_same_wrong_secret_counts_once() {
    let server = server(false);
    let accounts = &server.accounts;
    for _ in 0..100 {
        assert_eq!(
            accounts.sign_in("alice", &secret("stale"), PEER).err(),
            Some(SignInError::Wrong)
        );
    }
    assert_eq!(
        accounts.sign_in("alice", &secret("another"), PEER).err(),
        Some(SignInError::Wrong)
    );
}

#[test]
fn keys_are_dropped_when_idle_and_in_any_case_after_a_day() {
    let server = server(false);
    let (accounts, clock) = (&server.accounts, &server.clock);
    let phone = app_password(accounts, "phone");
    drop(accounts.sign_in("alice", &phone, PEER).unwrap());
    let idle = i64::from(limits::UNLOCKED_IDLE_MINUTES) * 60;
    let mut left = i64::from(limits::UNLOCKED_HOURS) * 3600;
    let step = idle - 1;
    while left > step {
        clock.fetch_add(step * 1000, Ordering::Relaxed);
        accounts.housekeep();
        assert!(accounts.cached("alice", &phone).is_some());
        left -= step;
    }
    assert_eq!(accounts.vault().unlocked().len(), 1);
    clock.fetch_add(left * 1000, Ordering::Relaxed);
    assert!(accounts.cached("alice", &phone).is_none(), "a day is over");
    assert!(
        accounts.vault().unlocked().is_empty(),
        "nobody holds the keys"
    );
    drop(accounts.sign_in("alice", &phone, PEER).unwrap());
    clock.fetch_add(idle * 1000, Ordering::Relaxed);
    accounts.housekeep();
    assert_eq!(accounts.cache.len(), 0);
    assert!(accounts.vault().unlocked().is_empty());
}

#[test]
fn a_locked_account_is_opened_again_by_its_secret_only() {
    let server = server(false);
    let accounts = &server.accounts;
    let phone = app_password(accounts, "phone");
    assert_eq!(accounts.lock(None).unwrap(), 0);
    let under_way = accounts.sign_in("alice", &phone, PEER).unwrap();
    assert_eq!(accounts.lock(Some("alice")).unwrap(), 1);
    assert!(!under_way.is_open() && accounts.cached("alice", &phone).is_none());
    assert_eq!(accounts.cache.len(), 0);
    let late: Result<(), VaultError> = under_way.write(|_| Ok(()));
    assert_eq!(late, Err(VaultError::Locked));
    assert_eq!(
        under_way.collections(under_way.home().id).len(),
        2,
        "it may finish"
    );
    drop(under_way);
    assert!(accounts.vault().unlocked().is_empty());
    assert!(accounts.sign_in("alice", &phone, PEER).is_ok());
    assert_eq!(accounts.lock(None).unwrap(), 1);
    assert!(accounts.lock(Some("nobody")).is_err());
}

#[test]
fn a_password_changes_by_itself_or_the_recovery_key() {
    let server = server(true);
    let accounts = &server.accounts;
    let phone = app_password(accounts, "phone");
    let by =
        |authority, new: &str| accounts.change_password("alice", authority, secret(new), false);
    assert!(by(Authority::Password(secret("wrong")), "longer than ten").is_err());
    assert!(by(Authority::Password(secret(PASSWORD)), "short").is_err());
    by(
        Authority::Password(secret(PASSWORD)),
        "battery staple horse",
    )
    .unwrap();
    assert!(accounts.sign_in("alice", &secret(PASSWORD), PEER).is_err());
    assert!(
        accounts
            .sign_in("alice", &secret("battery staple horse"), PEER)
            .is_ok()
    );
    assert!(
        accounts.sign_in("alice", &phone, PEER).is_ok(),
        "app passwords stay"
    );
    let anew = by(Authority::AbandonData, "a third password")
        .unwrap()
        .recovery_key
        .expect("a new recovery key");
    assert!(
        accounts.sign_in("alice", &phone, PEER).is_err(),
        "all is gone"
    );
    assert_eq!(
        by(Authority::RecoveryKey(anew), "a fourth password")
            .unwrap()
            .recovery_key
            .map(|_| ()),
        None
    );
    assert!(
        accounts
            .sign_in("alice", &secret("a fourth password"), PEER)
            .is_ok()
    );
}

#[test]
fn a_new_password_rewraps_one_slot() {
    let server = server(true);
    let accounts = &server.accounts;
    app_password(accounts, "phone");
    let slots = || {
        let id = accounts.vault().account_named("alice").unwrap().id;
        let file = accounts.vault().key_file(id).unwrap();
        let bytes = |slot: &Slot| (slot.id, postcard::to_allocvec(slot).unwrap());
        file.slots.iter().map(bytes).collect::<Vec<_>>()
    };
    let before = slots();
    let authority = Authority::Password(secret(PASSWORD));
    accounts
        .change_password("alice", authority, secret("battery staple horse"), false)
        .unwrap();
    let after = slots();
    assert_eq!((before.len(), after.len()), (3, 3));
    assert_ne!(before[0].0, after[0].0, "the password's slot is another");
    assert_eq!(before[1..], after[1..], "the others are as they were");
}

#[test]
fn a_device_with_chosen_calendars_keeps_no_other_keys_in_memory() {
    let server = server(false);
    let (accounts, clock) = (&server.accounts, &server.clock);
    let add = |label: &str, calendars: &[&str]| {
        let new = NewAppPassword {
            calendars: calendars.iter().map(|name| (*name).to_owned()).collect(),
            ..NewAppPassword::labelled(label)
        };
        accounts.add_app_password("alice", new, Authority::Password(secret(PASSWORD)))
    };
    let unknown = add("wall", &["tasks", "nothing"]).unwrap_err();
    assert!(unknown.0.contains("calendar, tasks"), "{unknown}");
    assert!(accounts.app_passwords("alice").unwrap().is_empty());
    let wall = add("wall", &["tasks", "tasks"]).unwrap().password;
    assert_eq!(
        accounts.app_passwords("alice").unwrap()[0].calendars,
        Some(1)
    );
    let phone = app_password(accounts, "phone");

    let part = accounts.sign_in("alice", &wall, PEER).unwrap();
    assert!(part.is_limited() && !part.is_open_whole());
    assert_eq!(part.collections(part.home().id).len(), 1);
    drop(accounts.sign_in("alice", &phone, PEER).unwrap());
    assert!(!part.is_open() && accounts.cached("alice", &wall).is_none());
    let view = accounts.opened_again("alice", &wall).unwrap();
    assert!(view.is_limited() && view.is_open_whole());
    assert!(accounts.opened_again("alice", &secret("wrong")).is_none());
    // The phone goes quiet, the device on the wall does not.
    clock.fetch_add(10 * 60_000, Ordering::Relaxed);
    assert!(accounts.cached("alice", &wall).is_some());
    accounts.housekeep();
    assert!(view.is_open());
    clock.fetch_add(10 * 60_000, Ordering::Relaxed);
    accounts.housekeep();
    assert!(!view.is_open(), "the whole is closed");
    drop((view, part));
    assert!(accounts.vault().unlocked().is_empty());
    let part = accounts.sign_in("alice", &wall, PEER).unwrap();
    assert!(!part.is_open_whole());
    // No authority over slots comes with it.
    let by = Authority::Password(wall.clone());
    assert!(
        accounts
            .add_app_password("alice", NewAppPassword::labelled("more"), by)
            .is_err()
    );
    accounts.revoke_app_password("alice", "wall").unwrap();
    assert!(!part.is_open());
    assert_eq!(
        accounts.sign_in("alice", &wall, PEER).err(),
        Some(SignInError::Wrong)
    );
}

#[test]
fn a_recovery_key_is_tried_and_replaced() {
    let server = server(true);
    let accounts = &server.accounts;
    let phone = app_password(accounts, "phone");
    let account = accounts.sign_in("alice", &phone, PEER).unwrap();
    account.barrier().wait().unwrap();
    let wrong = || accounts.try_recovery_key("alice", secret("sdrk-none"));
    assert!(wrong().unwrap_err().0.contains("mistyped"));
    assert!(accounts.try_recovery_key("alice", phone.clone()).is_err());
    assert!(accounts.new_recovery_key("alice", phone).is_err());
    let first = accounts
        .new_recovery_key("alice", secret(PASSWORD))
        .unwrap();
    let found = accounts.try_recovery_key("alice", first.clone()).unwrap();
    let expected = Recovered {
        calendars: 2,
        objects: 0,
        damaged: 0,
    };
    assert_eq!(found, expected);
    let second = accounts
        .new_recovery_key("alice", secret(PASSWORD))
        .unwrap();
    assert!(
        accounts.try_recovery_key("alice", first).is_err(),
        "the old one ended"
    );
    accounts.set_enabled("alice", false).unwrap();
    let disabled = accounts
        .try_recovery_key("alice", second.clone())
        .unwrap_err();
    assert!(disabled.0.contains("disabled"), "{disabled}");
    accounts.set_enabled("alice", true).unwrap();
    assert!(accounts.try_recovery_key("alice", second).is_ok());
}

#[test]
fn an_app_password_cannot_cut_slots() {
    let server = server(false);
    let accounts = &server.accounts;
    let phone = app_password(accounts, "phone");
    accounts.sign_in("alice", &phone, PEER).unwrap();
    let authorities = [
        Authority::Password(phone.clone()),
        Authority::RecoveryKey(phone),
        Authority::AbandonData,
    ];
    for authority in authorities {
        assert!(
            accounts
                .add_app_password("alice", NewAppPassword::labelled("more"), authority)
                .is_err()
        );
    }
}

#[test]
fn devices_are_remembered_by_the_hour_and_forgotten_when_unused() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let server = server(false);
    let (accounts, clock) = (&server.accounts, &server.clock);
    let phone = app_password(accounts, "phone");
    let account = accounts.sign_in("alice", &phone, PEER).unwrap();
    let (id, slot) = (account.id(), account.device());
    let used = |user_agent| accounts.used(id, slot, user_agent);
    let stored = || {
        let stored = accounts.vault().stored_devices(id).unwrap();
        stored.first().map(|device| device.last.0)
    };
    let start = clock.load(Ordering::Relaxed);
    used("iOS/17.5 (21F79) dataaccessd/1.0");
    assert_eq!(stored(), None);
    accounts.housekeep();
    assert_eq!(stored(), Some(start), "a new device is written at once");
    clock.fetch_add(60 * 60 * 1000 - 1, Ordering::Relaxed);
    used("iOS/17.6 (22A1) dataaccessd/1.0");
    accounts.housekeep();
    assert_eq!(stored(), Some(start), "the hour is not over");
    clock.fetch_add(1, Ordering::Relaxed);
    accounts.housekeep();
    assert_eq!(stored(), Some(start + 60 * 60 * 1000 - 1));
    // Another kind of client with the same secret is told.
    used("curl/8.5.0");
    let [device] = &accounts.device_list("alice").unwrap()[..] else {
        panic!("one device")
    };
    assert_eq!(
        (device.slot, device.label.as_deref()),
        (slot, Some("phone"))
    );
    assert_eq!(device.families, ["iOS", "curl"]);
    let last = clock.load(Ordering::Relaxed);
    assert_eq!(device.used, Some((UnixMillis(start), UnixMillis(last))));
    let password = Authority::Password(secret(PASSWORD));
    let told = |what: &str| {
        let trail = accounts.trail("alice", &password, UnixMillis(0)).unwrap();
        let lines = trail.lines.into_iter();
        lines
            .filter(|line| line.entry.action.name() == what)
            .map(|line| (line.device.unwrap(), line.entry.count))
            .collect::<Vec<_>>()
    };
    assert_eq!(told("new-device"), [("phone".to_owned(), 1)]);
    assert_eq!(told("new-client"), [("phone".to_owned(), 1)]);
    assert_eq!(told("key-cut"), [("phone".to_owned(), 1)]);
    accounts.settle();
    let days = i64::from(limits::DEVICE_DAYS);
    clock.store(last + days * DAY - 1, Ordering::Relaxed);
    accounts.housekeep();
    assert_eq!(stored(), Some(last));
    clock.fetch_add(1, Ordering::Relaxed);
    accounts.housekeep();
    assert_eq!(stored(), None);
    assert_eq!(accounts.device_list("alice").unwrap()[0].used, None);
    // The app password is still good, and the device is new again; it goes with its slot.
    let account = accounts.sign_in("alice", &phone, PEER).unwrap();
    accounts.used(id, account.device(), "curl/8.5.0");
    accounts.settle();
    assert!(stored().is_some());
    accounts.revoke_app_password("alice", "phone").unwrap();
    accounts.housekeep();
    assert_eq!(stored(), None);
}

#[test]
fn failures_are_counted_by_the_hour_for_whom_they_were_meant() {
    let server = server(true);
    let accounts = &server.accounts;
    let password = Authority::Password(secret(PASSWORD));
    for number in 0..200 {
        let wrong = secret(&format!("wrong {}", number % 50));
        assert!(accounts.sign_in("alice", &wrong, PEER).is_err());
        assert!(accounts.sign_in("nobody", &wrong, PEER).is_err());
        assert!(accounts.sign_in("Alice@example.org", &wrong, PEER).is_err());
    }
    let counts = |trail: Trail| {
        let lines = trail.lines.into_iter();
        let failures = lines.filter(|line| line.entry.action == Action::Failure);
        failures.map(|line| line.entry.count).collect::<Vec<_>>()
    };
    let own = accounts.trail("alice", &password, UnixMillis(0)).unwrap();
    assert_eq!(counts(own), [400]);
    let office = accounts.trail_of_administration(UnixMillis(0)).unwrap();
    assert_eq!(counts(office), [200]);
    // Their user alone reads them.
    let wrong = Authority::Password(secret("wrong"));
    assert!(accounts.trail("alice", &wrong, UnixMillis(0)).is_err());
    assert!(
        accounts
            .trail("alice", &Authority::AbandonData, UnixMillis(0))
            .is_err()
    );
}

#[test]
fn a_trail_has_the_names_that_its_user_knows() {
    let server = server(false);
    let accounts = &server.accounts;
    let phone = app_password(accounts, "phone");
    let account = accounts.sign_in("alice", &phone, PEER).unwrap();
    let home = account.home().id;
    let calendars = account.collections(home);
    account.members(calendars[0].id).unwrap();
    account.members(home).unwrap();
    let password = Authority::Password(secret(PASSWORD));
    let trail = accounts.trail("alice", &password, UnixMillis(0)).unwrap();
    let reads = trail.lines.iter();
    let reads = reads.filter(|line| line.entry.action == Action::Read);
    let mut names: Vec<_> = reads
        .map(|line| {
            (
                line.calendar.as_deref().unwrap(),
                line.device.as_deref().unwrap(),
            )
        })
        .collect();
    names.sort_unstable();
    assert_eq!(names, [("/", "phone"), ("Calendar", "phone")]);
    // Who may not sign in still may read it, without the names.
    server.clock.fetch_add(1000, Ordering::Relaxed);
    accounts.set_enabled("alice", false).unwrap();
    let trail = accounts.trail("alice", &password, UnixMillis(0)).unwrap();
    assert!(trail.lines.iter().all(|line| line.calendar.is_none()));
    assert_eq!(trail.lines.last().unwrap().entry.action, Action::Disable);
    let office = accounts.trail_of_administration(UnixMillis(0)).unwrap();
    let told: Vec<_> = office
        .lines
        .iter()
        .map(|line| (line.entry.action.name(), line.account.as_deref()))
        .collect();
    let alice = Some("alice");
    assert_eq!(
        told,
        [("user-add", alice), ("key-cut", alice), ("disable", alice)].map(|it| it)
    );
}

#[test]
fn accounts_of_other_domains_are_not_made_and_do_not_sign_in() {
    let mut server = server(false);
    let phone = app_password(&server.accounts, "phone");
    assert!(server.accounts.sign_in("alice", &phone, PEER).is_ok());
    let settings = AccountSettings {
        email_domains: vec!["Example.com".into()],
        ..AccountSettings::default()
    };
    server.accounts = Accounts::open(server.accounts.vault().clone(), settings);
    let signed_in = server.accounts.sign_in("alice", &phone, PEER);
    assert_eq!(signed_in.err(), Some(SignInError::Wrong));
    let add = |email: &str| {
        server.accounts.add_user(NewUser {
            name: "bob".into(),
            email: email.into(),
            password: secret("correct horse battery"),
            allow_weak: false,
            admin: false,
        })
    };
    assert!(add("bob@example.org").is_err_and(|error| error.0.contains("domain")));
    assert!(add("bob@example.com").is_ok());
}

#[test]
fn after_a_rotation_every_secret_works_as_before_and_old_handles_do_not() {
    let server = server(true);
    let accounts = &server.accounts;
    let authority = || Authority::Password(secret(PASSWORD));
    let phone = app_password(accounts, "phone");
    let visitor = NewAppPassword {
        access: Access::ReadOnly,
        ..NewAppPassword::labelled("visitor")
    };
    let visitor = accounts.add_app_password("alice", visitor, authority());
    let wall = NewAppPassword {
        calendars: vec!["tasks".into()],
        ..NewAppPassword::labelled("wall")
    };
    let wall = accounts.add_app_password("alice", wall, authority());
    let (visitor, wall) = (visitor.unwrap().password, wall.unwrap().password);
    let recovery = accounts
        .new_recovery_key("alice", secret(PASSWORD))
        .unwrap();
    let open = accounts.sign_in("alice", &phone, PEER).unwrap();
    assert!(accounts.rotate("alice", secret("wrong")).is_err());
    assert!(open.is_open(), "nothing was changed");

    accounts.rotate("alice", secret(PASSWORD)).unwrap();
    assert!(!open.is_open());
    assert!(accounts.reseal("alice").unwrap().1);
    assert_eq!(accounts.resealed("alice").unwrap(), None);
    for (secret, access, limited) in [
        (&phone, Access::ReadWrite, false),
        (&visitor, Access::ReadOnly, false),
        (&wall, Access::ReadWrite, true),
        (&secret(PASSWORD), Access::ReadWrite, false),
    ] {
        let account = accounts.sign_in("alice", secret, PEER).unwrap();
        assert_eq!((account.access(), account.is_limited()), (access, limited));
    }
    let labels: Vec<_> = accounts.app_passwords("alice").unwrap();
    let labels: Vec<_> = labels.iter().map(|info| info.label.as_str()).collect();
    assert_eq!(labels, ["phone", "visitor", "wall"]);
    accounts.try_recovery_key("alice", recovery).unwrap();
    let trail = accounts
        .trail("alice", &authority(), UnixMillis(0))
        .unwrap();
    assert_eq!(trail.unread, 0);
    let told = |what: &str| {
        trail
            .lines
            .iter()
            .any(|line| line.entry.action.name() == what)
    };
    assert!(told("account-key-changed") && told("key-cut"));
}

#[test]
fn a_slot_that_would_stop_working_prevents_a_rotation() {
    let server = server(false);
    let accounts = &server.accounts;
    let phone = app_password(accounts, "phone");
    let record = accounts.record("alice").unwrap();
    let (host, ambient) = (accounts.vault.host(), accounts.vault.ambient());
    // As the first version wrote it: a label and a time, no public key.
    let old = |slot: &Slot| {
        let about = slot.about(record.id, host).unwrap();
        let about = super::about::About::decode(&about).unwrap();
        let bytes = postcard::to_allocvec(&(about.label, about.created)).unwrap();
        ambient.random(|random| slot.clone().with_about(record.id, &bytes, host, random))
    };
    let change = |slots: &mut Vec<Slot>| {
        let last = slots.last_mut().unwrap();
        *last = old(last);
    };
    accounts.vault.change_slots(record.id, change).unwrap();
    let refused = accounts.rotate("alice", secret(PASSWORD)).unwrap_err();
    assert!(
        refused.0.contains("the app password \"phone\""),
        "{refused}"
    );
    assert!(accounts.sign_in("alice", &phone, PEER).is_ok());
    accounts.revoke_app_password("alice", "phone").unwrap();
    accounts.rotate("alice", secret(PASSWORD)).unwrap();
}

#[test]
fn a_sign_in_goes_on_with_what_a_stop_interrupted_and_a_lock_ends_it() {
    let server = server(false);
    let accounts = &server.accounts;
    let phone = app_password(accounts, "phone");
    accounts.rotate("alice", secret(PASSWORD)).unwrap();
    assert!(accounts.resealed("alice").unwrap().is_some());
    assert_eq!(accounts.lock(None).unwrap(), 1);
    assert_eq!(
        accounts.resealed("alice").unwrap(),
        None,
        "no keys are held"
    );
    assert!(accounts.vault.unlocked().is_empty());
    accounts.sign_in("alice", &phone, PEER).unwrap();
    assert!(accounts.resealed("alice").unwrap().is_some());
    accounts.housekeep();
    assert_eq!(accounts.resealed("alice").unwrap(), None);
    let account = accounts.sign_in("alice", &phone, PEER).unwrap();
    assert!(account.resealing().is_none());
}
