//! What the keys cost: signing in, unlocking, sealing and opening, a durable change, a new host key.
//! `cargo bench --bench keys`; docs/BENCHMARKS.md has figures.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use divan::Bencher;
use divan::counter::BytesCount;

use sealdav::account::{AccountSettings, Accounts, Authority, NewAppPassword, NewUser};
use sealdav::ambient::{Ambient, OsRandom};
use sealdav::ids::{AccountId, CollectionId, ObjectId, Secret, Segment};
use sealdav::seal::{CHUNK_CONTENT_BYTES, CollectionKey, HostKey, Kind, Place, RowKey, Stored};
use sealdav::store::{Store, StoreOptions};
use sealdav::vault::{AccountStore, CollectionKind, NewCollection, NewObject, Vault, VaultError};

/// As in the program: what is freed is overwritten.
#[global_allocator]
static MEMORY: zeroizing_alloc::ZeroAlloc<tikv_jemallocator::Jemalloc> =
    zeroizing_alloc::ZeroAlloc(tikv_jemallocator::Jemalloc);

fn main() {
    divan::main();
}

const PASSWORD: &str = "a sentence that nobody guesses";
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OBJECTS: usize = 10_000;
const BODY: usize = 2_000;

/// The accounts `one`, `ten` (by their calendars) and `large` (10,000 objects in one).
struct Server {
    /// Remembers who signed in.
    warm: Accounts,
    /// The same accounts; forgets at once.
    cold: Accounts,
    secrets: Vec<(&'static str, Secret)>,
    _directory: tempfile::TempDir,
}

static SERVER: LazyLock<Server> = LazyLock::new(Server::new);

impl Server {
    fn new() -> Server {
        let directory = tempfile::tempdir().expect("a directory");
        let host = HostKey::generate(&mut OsRandom);
        let vault = open(directory.path(), host);
        let settings = AccountSettings {
            password_over_dav: true,
            ..AccountSettings::default()
        };
        let forgets = AccountSettings {
            unlocked_idle_minutes: 0,
            ..settings.clone()
        };
        let warm = Accounts::open(Arc::clone(&vault), settings);
        let secrets = [("one", 1, 0), ("ten", 10, 0), ("large", 1, OBJECTS)]
            .map(|(name, calendars, objects)| (name, add(&warm, name, calendars, objects)));
        Server {
            cold: Accounts::open(vault, forgets),
            warm,
            secrets: secrets.into(),
            _directory: directory,
        }
    }

    fn secret(&self, name: &str) -> &Secret {
        let found = self.secrets.iter().find(|(other, _)| *other == name);
        &found.expect("an account").1
    }

    fn sign_in(&self, name: &str) -> AccountStore {
        let account = self.cold.sign_in(name, self.secret(name), PEER);
        account.expect("the right secret")
    }

    /// Drops its keys and its index.
    fn lock(&self, name: &str) {
        self.cold.lock(Some(name)).expect("an account");
        self.warm.lock(Some(name)).expect("an account");
    }
}

fn open(directory: &Path, host: HostKey) -> Arc<Vault> {
    let store = Store::open(&directory.join("db"), &StoreOptions::default());
    let ambient = Arc::new(Ambient::system());
    let vault = Vault::open(
        store.expect("a store"),
        host,
        &directory.join("keys"),
        ambient,
    );
    vault.expect("a vault")
}

/// An account with so many collections, and so many objects in the first; gives its app password.
fn add(accounts: &Accounts, name: &str, collections: usize, objects: usize) -> Secret {
    let new = NewUser {
        name: name.into(),
        email: format!("{name}@example.org"),
        password: Secret::new(PASSWORD.into()),
        allow_weak: false,
        admin: false,
    };
    accounts.add_user(new).expect("an account");
    let by = Authority::Password(Secret::new(PASSWORD.into()));
    let added = accounts.add_app_password(name, NewAppPassword::labelled("bench"), by);
    let secret = added.expect("an app password").password;
    let account = accounts.sign_in(name, &secret, PEER).expect("its secret");
    let made: Vec<CollectionId> = (0..collections)
        .map(|number| collection(&account, number))
        .collect();
    for number in 0..objects {
        put(&account, made[0], number);
    }
    account.barrier().wait().expect("a commit");
    secret
}

fn collection(account: &AccountStore, number: usize) -> CollectionId {
    let new = NewCollection {
        parent: account.home().id,
        segment: Segment::parse(&format!("bench-{number}")).expect("a name"),
        kind: CollectionKind::Plain,
        properties: Default::default(),
    };
    let made = account.write(|change| change.make_collection(new));
    made.map_err(|error: VaultError| error)
        .expect("a collection")
        .id
}

fn put(account: &AccountStore, parent: CollectionId, number: usize) {
    let new = NewObject {
        parent,
        segment: Segment::parse(&format!("{number}.ics")).expect("a name"),
        body: vec![b'x'; BODY],
        content_type: "text/calendar".into(),
        calendar: None,
    };
    let put = account.write(|change| change.put(new));
    put.map_err(|error: VaultError| error).expect("an object");
}

#[divan::bench]
fn sign_in_app_password_remembered(bencher: Bencher) {
    let server = &*SERVER;
    let secret = server.secret("one");
    let first = server.warm.sign_in("one", secret, PEER);
    bencher.bench(|| server.warm.cached("one", secret).expect("remembered"));
    drop(first);
}

/// The account is open for another device; this one's slot has to be opened.
#[divan::bench]
fn sign_in_app_password_slot_only(bencher: Bencher) {
    let _open = SERVER.sign_in("one");
    bencher.bench(|| SERVER.sign_in("one"));
}

#[divan::bench]
fn sign_in_password_remembered(bencher: Bencher) {
    let server = &*SERVER;
    let password = Secret::new(PASSWORD.into());
    let first = server.warm.sign_in("one", &password, PEER);
    bencher.bench(|| server.warm.cached("one", &password).expect("remembered"));
    drop(first);
}

#[divan::bench(sample_count = 15, sample_size = 1)]
fn sign_in_password_argon2(bencher: Bencher) {
    let server = &*SERVER;
    let password = Secret::new(PASSWORD.into());
    let _open = server.sign_in("one");
    bencher.bench(|| {
        server
            .cold
            .sign_in("one", &password, PEER)
            .expect("it is right")
    });
}

/// Nobody has the account open: its slot and its tree.
#[divan::bench(args = ["one", "ten", "large"])]
fn unlock(bencher: Bencher, name: &str) {
    bencher
        .with_inputs(|| SERVER.lock(name))
        .bench_values(|()| SERVER.sign_in(name));
}

/// The same, and the first listing, which loads the index.
#[divan::bench(args = ["large"], sample_count = 20, sample_size = 1)]
fn unlock_and_list(bencher: Bencher, name: &str) {
    bencher
        .with_inputs(|| SERVER.lock(name))
        .bench_values(|()| {
            let account = SERVER.sign_in(name);
            assert_eq!(list(&account), OBJECTS);
            account
        });
}

/// A listing while the index is loaded.
#[divan::bench]
fn list_again(bencher: Bencher) {
    let account = SERVER.sign_in("large");
    bencher.bench(|| list(&account));
}

fn list(account: &AccountStore) -> usize {
    let members = account.collections(account.home().id);
    let listed = members.iter().map(|collection| {
        let members = account.members(collection.id).expect("it opens");
        members.objects.len()
    });
    listed.sum()
}

const SIZES: [usize; 4] = [200, 1_000, 64_000, 1_000_000];

fn row_key() -> RowKey {
    CollectionKey::generate(&mut OsRandom).rows()
}

fn place(chunk: usize) -> Place {
    let chunk = u32::try_from(chunk).expect("few");
    Place {
        chunk,
        ..Place::single(
            Kind::Body,
            AccountId::NONE,
            CollectionId::NONE,
            ObjectId::from_bytes([7; 16]),
        )
    }
}

fn chunks(bytes: &[u8]) -> impl Iterator<Item = (Place, &[u8])> {
    bytes
        .chunks(CHUNK_CONTENT_BYTES)
        .enumerate()
        .map(|(number, chunk)| (place(number), chunk))
}

/// As a body is sealed: by the chunk, each with its nonce.
#[divan::bench(args = SIZES)]
fn seal(bencher: Bencher, size: usize) {
    let (key, ambient, bytes) = (row_key(), Ambient::system(), vec![7; size]);
    bencher.counter(BytesCount::new(size)).bench(|| {
        for (place, chunk) in chunks(black_box(&bytes)) {
            black_box(key.seal_by(&place, chunk, &ambient));
        }
    });
}

#[divan::bench(args = SIZES)]
fn open_sealed(bencher: Bencher, size: usize) {
    let (key, ambient, bytes) = (row_key(), Ambient::system(), vec![7; size]);
    let sealed: Vec<_> = chunks(&bytes)
        .map(|(place, chunk)| (place, key.seal_by(&place, chunk, &ambient)))
        .collect();
    bencher.counter(BytesCount::new(size)).bench(|| {
        for (place, row) in black_box(&sealed) {
            let stored = Stored::read(row.bytes().to_vec());
            black_box(stored.open(&key, place).expect("it opens").len());
        }
    });
}

/// The limit: the cipher alone, in place, one message.
#[divan::bench(args = SIZES)]
fn bare_cipher(bencher: Bencher, size: usize) {
    let cipher = XChaCha20Poly1305::new_from_slice(&[7; 32]).expect("32 bytes");
    let nonce = XNonce::from([9; 24]);
    let mut bytes = vec![7; size];
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        let done = cipher.encrypt_inout_detached(&nonce, &[], black_box(&mut bytes[..]).into());
        done.expect("it is short")
    });
}

/// The limit below: the bytes copied into fresh memory, which is overwritten when it is freed.
#[divan::bench(args = SIZES)]
fn copy(bencher: Bencher, size: usize) {
    let bytes = vec![7_u8; size];
    bencher
        .counter(BytesCount::new(size))
        .bench(|| black_box(&bytes).to_vec());
}

/// A change up to its place in the queue, and until it is durable.
#[divan::bench(args = [false, true], sample_count = 50, sample_size = 20)]
fn put_object(bencher: Bencher, durable: bool) {
    let account = SERVER.sign_in("ten");
    let parent = account.collections(account.home().id)[0].id;
    let number = std::sync::atomic::AtomicUsize::new(0);
    bencher.counter(BytesCount::new(BODY)).bench(|| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        put(&account, parent, number % 500);
        if durable {
            account.barrier().wait().expect("a commit");
        }
    });
}

/// A new host key over a store of 10,000 objects.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn rotate_the_host_key(bencher: Bencher) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut key = HostKey::generate(&mut OsRandom).to_text();
    let read = |text: &str| HostKey::read(text).expect("a host key");
    let settings = AccountSettings::default();
    let accounts = Accounts::open(open(directory.path(), read(&key)), settings);
    add(&accounts, "large", 1, OBJECTS);
    drop(accounts);
    bencher
        .with_inputs(|| {
            let vault = open(directory.path(), read(&key));
            key = HostKey::generate(&mut OsRandom).to_text();
            (vault, read(&key))
        })
        .bench_local_values(|(vault, new)| vault.rekey(&new).expect("a new key"));
}

/// Overwriting the stack after each request.
#[divan::bench]
fn wipe_the_stack(bencher: Bencher) {
    bencher.bench(|| sealdav::seal::wiped(|| black_box(1)));
}
