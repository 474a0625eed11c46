//! Promises of docs/PROMISES.md that only the whole program can keep: revocation on open
//! connections, deletion against old backups, no dump of the memory.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{Server, copy, everything};

const CALENDAR: &str = "/dav/calendars/alice/calendar/";
const ICS: (&str, &str) = ("Content-Type", "text/calendar");

fn put(client: &mut common::Client, name: &str) -> String {
    let target = format!("/dav/calendars/{name}/calendar/one.ics");
    let event = everything::event("one", "SUMMARY:one\r\n");
    client.expect(201, "PUT", &target, &[ICS], &event);
    target
}

/// P11, H14: a device is revoked between two parts of its first sync, on one connection.
#[test]
fn a_revoked_device_is_out_in_the_middle_of_a_sync() {
    let (server, mut phone) = Server::with_user("alice");
    let laptop = server.app_password("alice", "laptop");
    let mut laptop = server.client("alice", &laptop);
    for number in 0..6 {
        let event = everything::event(&number.to_string(), "");
        let target = format!("{CALENDAR}{number}.ics");
        laptop.expect(201, "PUT", &target, &[ICS], &event);
    }
    let sync = |token: &str| {
        format!(
            "<D:sync-collection xmlns:D='DAV:'><D:sync-token>{token}</D:sync-token><D:sync-level>1\
             </D:sync-level><D:limit><D:nresults>2</D:nresults></D:limit><D:prop><D:getetag/></D:prop>\
             </D:sync-collection>"
        )
    };
    let first = phone.expect(207, "REPORT", CALENDAR, &[], &sync("")).text();
    let token = first.split("sync-token>").nth(1).expect("a token");
    let token = token.split('<').next().expect("its end");
    phone.expect(207, "REPORT", CALENDAR, &[], &sync(token));
    server.done(&["app-password", "revoke", "alice", "test"], "");
    phone.expect(401, "REPORT", CALENDAR, &[], &sync(token));
    phone.expect(401, "GET", &format!("{CALENDAR}1.ics"), &[], "");
    // another device goes on where it was
    laptop.expect(207, "REPORT", CALENDAR, &[], &sync(token));
}

/// P19: nothing is asked for after the command has ended; nobody else is harmed.
#[test]
fn a_disabled_users_open_connection_ends() {
    let (server, mut alice) = Server::with_user("alice");
    server.add_user("bob");
    let mut bob = server.client("bob", &server.app_password("bob", "test"));
    let (hers, his) = (put(&mut alice, "alice"), put(&mut bob, "bob"));
    server.done(&["user", "disable", "alice"], "");
    alice.expect(401, "GET", &hers, &[], "");
    alice.expect(401, "PUT", &hers, &[ICS], &everything::event("one", ""));
    bob.expect(200, "GET", &his, &[], "");
    server.done(&["user", "enable", "alice"], "");
    alice.expect(200, "GET", &hers, &[], "");
}

/// P13: the data of yesterday is put back, and with it every row of an account that was deleted
/// today; its key file is not, and so nothing of it opens, by no secret it ever had.
#[test]
fn an_old_backup_opens_nothing_of_a_deleted_account() {
    let mut server = Server::new();
    for name in ["alice", "bob"] {
        server.add_user(name);
    }
    server.start(&["--plain-http"]);
    let secrets = ["alice", "bob"].map(|name| server.app_password(name, "test"));
    let mut alice = server.client("alice", &secrets[0]);
    let mut bob = server.client("bob", &secrets[1]);
    let (hers, his) = (put(&mut alice, "alice"), put(&mut bob, "bob"));
    server.stop();
    let backup = server.beside("backup");
    copy(&server.data().join("db"), &backup);
    server.done(&["user", "delete", "alice", "--yes"], "");
    fs::remove_dir_all(server.data().join("db")).expect("it is ours");
    copy(&backup, &server.data().join("db"));
    server.start(&["--plain-http"]);
    let mut alice = server.client("alice", &secrets[0]);
    alice.expect(401, "GET", &hers, &[], "");
    let tried = [
        "app-password",
        "add",
        "alice",
        "--label",
        "x",
        "--password-stdin",
    ];
    assert!(!server.command(&tried, common::PASSWORD).status.success());
    let mut bob = server.client("bob", &secrets[1]);
    let body = bob.expect(200, "GET", &his, &[], "").text();
    assert!(body.contains("SUMMARY:one"), "{body}");
}

/// P1: a crash leaves no dump of the memory behind, wherever the system would put one.
#[test]
fn a_crash_dumps_no_core() {
    use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
    use std::os::unix::process::ExitStatusExt;
    // whatever this process may have, the server would inherit
    let maximum = getrlimit(Resource::Core).maximum;
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Core, all).expect("up to the maximum");
    for signal in [Signal::ABORT, Signal::SEGV] {
        let (mut server, mut client) = Server::with_user("alice");
        put(&mut client, "alice");
        let process = Pid::from_raw(i32::try_from(server.process()).expect("an id"));
        let process = process.expect("not 0");
        let until = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = server.ended() {
                break status;
            }
            // again: the first SIGSEGV may be taken for a full stack
            let _ = kill_process(process, signal);
            assert!(Instant::now() < until, "it goes on");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.signal(), Some(signal.as_raw()));
        assert!(!status.core_dumped(), "{status}");
    }
}
