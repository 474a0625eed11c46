//! A data directory that an earlier program wrote is opened by this one, and everything in it is
//! as it was: each object byte for byte, with its tag; properties, sync-tokens, secrets.
//!
//! `tests/fixtures/make` made them. Each format that was ever released keeps its own here.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use sealdav::account::{AccountSettings, Accounts, Authority, NewAppPassword};
use sealdav::ambient::Ambient;
use sealdav::ids::{CollectionId, Secret, Segment};
use sealdav::seal::HostKey;
use sealdav::store::{Store, StoreOptions};
use sealdav::vault::{AccountStore, Change, CollectionKind, Node, Vault, VaultError};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An opened copy of a fixture, and what is known of it.
struct Fixture {
    accounts: Accounts,
    _directory: tempfile::TempDir,
    /// "etag anna/calendar/lunch.ics" and the like, to its value.
    notes: BTreeMap<String, String>,
    /// "anna/calendar/lunch.ics" and the like, to its bytes.
    objects: BTreeMap<String, Vec<u8>>,
}

impl Fixture {
    fn open(name: &str) -> Self {
        let fixtures = Path::new(FIXTURES);
        let directory = tempfile::tempdir().unwrap();
        let unpacked = Command::new("tar")
            .arg("-xzf")
            .arg(fixtures.join(format!("{name}.tar.gz")))
            .arg("-C")
            .arg(directory.path())
            .status();
        assert!(unpacked.expect("tar is installed").success());
        let notes = fs::read_to_string(fixtures.join(format!("{name}.txt"))).unwrap();
        let notes = notes.lines().filter(|line| !line.starts_with('#'));
        let notes = notes.map(|line| {
            let mut words = line.splitn(3, ' ');
            let what = format!("{} {}", words.next().unwrap(), words.next().unwrap());
            (what, words.next().unwrap().to_owned())
        });
        let mut objects = BTreeMap::new();
        collect(&fixtures.join(name), &mut PathBuf::new(), &mut objects);
        assert!(objects.len() >= 10, "{}", objects.len());
        Fixture {
            accounts: open(directory.path()),
            notes: notes.collect(),
            objects,
            _directory: directory,
        }
    }

    fn note(&self, what: &str, of: &str) -> &str {
        let found = self.notes.get(&format!("{what} {of}"));
        found.unwrap_or_else(|| panic!("no {what} of {of} in the fixture"))
    }

    fn secret(&self, what: &str, of: &str) -> Secret {
        Secret::new(self.note(what, of).to_owned())
    }

    fn sign_in(&self, name: &str) -> AccountStore {
        let secret = self.secret("app-password", name);
        self.accounts.sign_in(name, &secret, PEER).unwrap()
    }
}

fn open(data: &Path) -> Accounts {
    let store = Store::open(&data.join("db"), &StoreOptions::default()).unwrap();
    let Ok(host) = HostKey::read(&fs::read_to_string(data.join("host.key")).unwrap()) else {
        panic!("the fixture's host key does not read");
    };
    let ambient = Arc::new(Ambient::system());
    let vault = Vault::open(store, host, &data.join("keys"), ambient).unwrap();
    let settings = AccountSettings {
        password_over_dav: true,
        ..AccountSettings::default()
    };
    Accounts::open(vault, settings)
}

fn collect(root: &Path, below: &mut PathBuf, objects: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(root.join(&*below)).unwrap() {
        let entry = entry.unwrap();
        below.push(entry.file_name());
        if entry.path().is_dir() {
            collect(root, below, objects);
        } else {
            let name = below.to_str().unwrap().to_owned();
            objects.insert(name, fs::read(entry.path()).unwrap());
        }
        below.pop();
    }
}

/// Every object of an account by its path, with its tag.
fn everything(account: &AccountStore) -> BTreeMap<String, (Vec<u8>, String)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![account.home().id];
    while let Some(id) = waiting.pop() {
        let mut path = vec![account.name().as_str().to_owned()];
        path.extend(
            account
                .path_of(id)
                .iter()
                .map(|segment| segment.as_str().to_owned()),
        );
        assert_eq!(account.damaged(id).unwrap(), 0);
        let members = account.members(id).unwrap();
        for object in members.objects {
            let name = format!("{}/{}", path.join("/"), object.segment.as_str());
            let body = account.body(id, &object).unwrap();
            found.insert(name, (body, object.etag.to_string()));
        }
        waiting.extend(members.collections.iter().map(|child| child.id));
    }
    found
}

fn collection(account: &AccountStore, name: &str) -> CollectionId {
    match account.resolve(&[Segment::parse(name).unwrap()]).unwrap() {
        Node::Collection(collection) => collection.id,
        other => panic!("{other:?}"),
    }
}

/// What a client is told that last synchronised at the token noted as `since`.
fn told(fixture: &Fixture, account: &AccountStore, since: &str) -> (Vec<String>, String) {
    let id = collection(account, "calendar");
    let of = format!("{}/calendar/", account.name().as_str());
    let token = fixture.note(since, &of);
    let changes = account.changes(id, Some(token), usize::MAX).unwrap();
    let told = changes.changes.iter().map(|change| match change {
        Change::Object(object) => object.segment.as_str().to_owned(),
        Change::Gone(segment) => format!("-{}", segment.as_str()),
        Change::Collection(collection) => panic!("{collection:?}"),
    });
    (told.collect(), changes.token)
}

#[test]
fn format_1_objects_are_as_they_were_stored() {
    let fixture = Fixture::open("data-1");
    let mut found = BTreeMap::new();
    for name in ["anna", "bert"] {
        found.extend(everything(&fixture.sign_in(name)));
    }
    for (name, (body, etag)) in &found {
        assert_eq!(Some(body), fixture.objects.get(name), "{name}");
        assert_eq!(etag, fixture.note("etag", name), "{name}");
    }
    assert_eq!(found.len(), fixture.objects.len());
}

#[test]
fn format_1_collections_properties_and_tokens_are_as_they_were() {
    let fixture = Fixture::open("data-1");
    let anna = fixture.sign_in("anna");
    let id = collection(&anna, "calendar");
    let calendar = anna.collection(id).unwrap();
    assert!(calendar.is_calendar());
    assert!(
        calendar
            .properties
            .values()
            .any(|value| value.contains("Anna &amp; all"))
    );
    let files = anna.collection(collection(&anna, "files")).unwrap();
    assert_eq!(files.kind, CollectionKind::Plain);
    let lunch = Segment::parse("lunch.ics").unwrap();
    let lunch = anna.object(id, &lunch).unwrap().unwrap();
    let properties = anna.properties(id, &lunch).unwrap();
    assert_eq!(properties.len(), 1);
    assert!(properties.values().all(|value| value.contains("dead")));
    assert!(matches!(
        anna.resolve(&[Segment::parse("deleted").unwrap()]).unwrap(),
        Node::Missing(..)
    ));
    let (changes, token) = told(&fixture, &anna, "token-before");
    assert_eq!(
        changes,
        ["weekly.ics", "long.ics", "-gone.ics", "lunch.ics"]
    );
    assert_eq!(token, fixture.note("token-now", "anna/calendar/"));
    assert!(told(&fixture, &anna, "token-now").0.is_empty());
    let bert = fixture.sign_in("bert");
    let (changes, _) = told(&fixture, &bert, "token-before");
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes.contains(&"-old.ics".into()) && changes.contains(&"new.ics".into()));
}

#[test]
fn format_1_secrets_open_what_they_opened() {
    let fixture = Fixture::open("data-1");
    for (name, other) in [("anna", "bert"), ("bert", "anna")] {
        let sign_in = |of: &str, what: &str| {
            let secret = fixture.secret(what, of);
            fixture.accounts.sign_in(name, &secret, PEER).is_ok()
        };
        assert!(sign_in(name, "password"));
        assert!(!sign_in(other, "password"));
        assert!(!sign_in(other, "app-password"));
        let key = Authority::RecoveryKey(fixture.secret("recovery-key", name));
        let added = fixture.accounts.add_app_password(
            name,
            NewAppPassword::labelled("by the recovery key"),
            key,
        );
        added.map(drop).expect("the recovery key opens its account");
    }
}

#[test]
fn format_1_account_takes_what_came_later() {
    let fixture = Fixture::open("data-1");
    let accounts = &fixture.accounts;
    let by = || Authority::Password(fixture.secret("password", "anna"));
    let new = NewAppPassword {
        calendars: vec!["calendar".into()],
        ..NewAppPassword::labelled("chosen")
    };
    let chosen = accounts.add_app_password("anna", new, by()).unwrap();
    let device = accounts.sign_in("anna", &chosen.password, PEER).unwrap();
    assert!(device.is_limited());
    assert_eq!(device.collections(device.home().id).len(), 1);
    let whole = everything(&fixture.sign_in("anna"));
    let device = accounts.sign_in("anna", &chosen.password, PEER).unwrap();
    let seen = everything(&device);
    assert!(!seen.is_empty() && seen.len() < whole.len());
    assert!(
        seen.iter()
            .all(|(name, object)| whole.get(name) == Some(object))
    );
    let recovery = accounts
        .new_recovery_key("anna", fixture.secret("password", "anna"))
        .unwrap();
    let found = accounts.try_recovery_key("anna", recovery).unwrap();
    assert_eq!((found.objects, found.damaged), (whole.len() as u64, 0));
    assert_eq!(accounts.app_passwords("anna").unwrap().len(), 2);
}

#[test]
fn format_1_account_gets_trash_and_history() {
    let fixture = Fixture::open("data-1");
    let anna = fixture.sign_in("anna");
    let id = collection(&anna, "calendar");
    let before = everything(&anna);
    let lunch = Segment::parse("lunch.ics").unwrap();
    let lunch = anna.object(id, &lunch).unwrap().unwrap();
    let body = anna.body(id, &lunch).unwrap();
    let deleted: Result<(), VaultError> = anna.write(|tx| tx.delete_object(id, &lunch));
    deleted.unwrap();
    let version = anna.history(id, lunch.id).unwrap()[0].revision;
    let restored = anna.write(|tx| tx.restore_version(id, lunch.id, version, None));
    let restored = restored.map_err(|error: VaultError| error).unwrap();
    assert_eq!(anna.body(id, &restored).unwrap(), body);
    assert_eq!(anna.properties(id, &restored).unwrap().len(), 1);
    let deleted: Result<(), VaultError> = anna.write(|tx| tx.delete_collection(id));
    deleted.unwrap();
    anna.restore_collection(id, None).unwrap();
    let now = everything(&anna);
    assert!(now.keys().eq(before.keys()));
    assert!(now.iter().all(|(name, (body, _))| *body == before[name].0));
}

#[test]
fn format_1_lock_has_ended() {
    let fixture = Fixture::open("data-1");
    assert!(fixture.note("lock", "anna").starts_with("urn:uuid:"));
    assert!(fixture.sign_in("anna").locks().is_empty());
}
