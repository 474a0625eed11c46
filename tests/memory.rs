//! P1: when an account is locked, or was idle for as long as is configured, nothing of it is left
//! in the memory of the server: no text, no secret, no key.
//!
//! The server is another process than the search, or the search would find itself. Its memory
//! is searched before as well, where everything must be found that is in use.

mod common;

#[path = "memory/keys.rs"]
mod keys;
#[path = "memory/scan.rs"]
mod scan;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::canary::{Canaries, Found, Search};
use common::{Client, Server, everything};
use sealdav::account::{AccountSettings, Accounts};
use sealdav::ambient::Ambient;
use sealdav::dav::{Dav, DavSettings};
use sealdav::http::{Bounds, Live, Security, Setup, Unsupervised};
use sealdav::seal::HostKey;
use sealdav::store::{Store, StoreOptions};
use sealdav::vault::Vault;

/// As in the program, which the child stands for.
#[global_allocator]
static MEMORY: zeroizing_alloc::ZeroAlloc<tikv_jemallocator::Jemalloc> =
    zeroizing_alloc::ZeroAlloc(tikv_jemallocator::Jemalloc);

/// What the host key opens, and so the server may know at any time.
const HOSTS: &[&str] = &[
    "user name",
    "e-mail",
    "app password label",
    "second label",
    "label of a device for a calendar",
    "label of a device for reading",
];
/// How long the server may take to let go what a request held.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks until nothing is found, for a while.
fn nothing_is_left(process: u32, search: &Search) {
    let began = std::time::Instant::now();
    loop {
        let scanned = scan::scan(process, search).expect("it could be read before");
        assert!(
            scanned.bytes > 1_000_000,
            "{} bytes are no server",
            scanned.bytes
        );
        if scanned.found.is_empty() {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{}", scanned.places.join("\n"));
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The program itself, after every feature was used. It does not let itself be looked into, but
/// by root.
#[test]
fn nothing_of_a_locked_account_is_in_memory() {
    let mut server = Server::new();
    let used = everything::run(&mut server);
    let (name, secret) = used.credentials.clone();
    let mut client = server.client(&name, &secret);
    client.expect(200, "GET", &used.left.0, &[], "");
    let mut sought = Canaries::default();
    for (what, text) in used
        .canaries
        .iter()
        .filter(|(what, _)| !HOSTS.contains(what))
    {
        sought.know(what, text);
    }
    let mut search = Search::new(&sought);
    let keys = keys::of_account(&server.data(), &server.beside("rows"), &secret);
    for (what, key) in &keys {
        search.know_key(what, key);
    }
    let before = match scan::scan(server.process(), &search) {
        Ok(scanned) => scanned,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            assert!(!rustix::process::geteuid().is_root());
            return;
        }
    };
    assert!(before.bytes > 1_000_000, "{}", before.bytes);
    for (what, how) in [
        ("row key of the account", "bytes"),
        ("key of collection 0", "bytes"),
        ("etag key of collection 2", "bytes"),
        ("href", "raw"),
        ("UID", "raw"),
        ("displayname", "raw"),
    ] {
        assert!(
            before.found.contains(&(what.to_owned(), how)),
            "{what}: {:#?}",
            before.found
        );
    }
    // what its connections hold goes with them
    drop(client);
    server.done(&["lock", "--all"], "");
    nothing_is_left(server.process(), &search);
    // and it all comes back by the secret alone
    let mut client = server.client(&name, &secret);
    client.expect(200, "GET", &used.left.0, &[], "");
    server.stop();
}

const SERVES: &str = "SEALDAV_TEST_SERVES";
const CALENDAR: &str = "/dav/calendars/alice/calendar/";

/// The library in a process of this program, whose memory its parent may read whoever they are.
/// Its accounts are idle at once; the minute's housekeeping comes when it is told to.
#[test]
fn idle_keys_and_all_that_they_opened_leave_the_memory() {
    if let Some(data) = std::env::var_os(SERVES) {
        serve(&PathBuf::from(data));
        return;
    }
    let server = Server::new();
    server.add_user("alice");
    let secret = server.app_password("alice", "phone");
    let mut canaries = Canaries::default();
    canaries.know("app password", &secret["sdav-".len()..]);
    canaries.know(
        "app password, bare",
        &secret["sdav-".len()..].replace('-', ""),
    );
    let keys = keys::of_account(&server.data(), &server.beside("rows"), &secret);
    let mut library = Library::start(&server.data());
    let mut client = Client::new(library.address, "alice", &secret);
    for number in 0..20 {
        let (uid, text) = (canaries.get("UID"), canaries.get("SUMMARY"));
        let lines = format!(
            "SUMMARY:{text}\r\nDESCRIPTION:{}\r\n",
            text.repeat(500 * number)
        );
        let event = everything::event(&format!("{uid}{number}"), &lines);
        let target = format!("{CALENDAR}{uid}{number}.ics");
        client.expect(
            201,
            "PUT",
            &target,
            &[("Content-Type", "text/calendar")],
            &event,
        );
        client.expect(200, "GET", &target, &[], "");
    }
    client.expect(207, "PROPFIND", CALENDAR, &[("Depth", "1")], "");
    let wrong = canaries.get("wrong password");
    let mut stranger = Client::new(library.address, "alice", &wrong);
    stranger.expect(401, "GET", CALENDAR, &[], "");
    drop((client, stranger));
    let mut search = Search::new(&canaries);
    for (what, key) in &keys {
        search.know_key(what, key);
    }
    let before = scan::scan(library.child.id(), &search).expect("it is our child");
    let expected = [("row key of the account", "bytes"), ("UID", "raw")];
    for (what, how) in expected {
        assert!(
            before.found.contains(&(what.to_owned(), how)),
            "{what}: {:#?}",
            before.found
        );
    }
    library.housekeep();
    nothing_is_left(library.child.id(), &search);
    assert_ne!(before.found, Found::new());
}

struct Library {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Library {
    fn start(data: &Path) -> Library {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args([
                "--exact",
                "--nocapture",
                "idle_keys_and_all_that_they_opened_leave_the_memory",
            ])
            .env(SERVES, data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut library = Library {
            child,
            input: input.expect("it was piped"),
            output: BufReader::new(output.expect("it was piped")),
            address: ([0, 0, 0, 0], 0).into(),
        };
        library.address = library.said("listens ").parse().expect("an address");
        library
    }

    /// What stands in its next line behind these words.
    fn said(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).expect("a line");
            assert_ne!(read, 0, "it ended before it said {words:?}");
            if let Some((_, rest)) = line.split_once(words) {
                return rest.trim().to_owned();
            }
        }
    }

    fn housekeep(&mut self) {
        self.input.write_all(b"housekeep\n").expect("it listens");
        self.said("done");
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the child does until it is killed.
fn serve(data: &Path) {
    let ambient = Arc::new(Ambient::system());
    let text = std::fs::read_to_string(data.join("host.key")).expect("the host key");
    let host = HostKey::read(&text).expect("a host key");
    let store = Store::open(&data.join("db"), &StoreOptions::default()).expect("a store");
    let vault = Vault::open(store, host, &data.join("keys"), Arc::clone(&ambient));
    let settings = AccountSettings {
        unlocked_idle_minutes: 0,
        ..AccountSettings::default()
    };
    let accounts = Arc::new(Accounts::open(vault.expect("a vault"), settings));
    let dav = Dav::new(DavSettings::default(), Arc::clone(&ambient));
    let setup = Setup {
        listeners: vec![TcpListener::bind("127.0.0.1:0").expect("a socket")],
        security: Security::Plain,
        application: Arc::new(Live {
            accounts: Arc::clone(&accounts),
            dav: Arc::new(dav),
        }),
        ambient,
        proxies: Vec::new(),
        sign_in_networks: Vec::new(),
        security_contact: None,
        bounds: Bounds::default(),
        metrics: None,
        supervisor: Arc::new(Unsupervised),
    };
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            assert_eq!(line.expect("a line"), "housekeep");
            accounts.housekeep();
            println!("done");
        }
    });
    let ready = |addresses: &[SocketAddr]| println!("listens {}", addresses[0]);
    sealdav::http::run(setup, ready).expect("it serves");
}
