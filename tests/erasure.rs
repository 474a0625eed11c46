//! The deletion of an account, killed (-9) at each step that changes the disk, and started again:
//! the account is either whole or gone for good, and never comes back. The kills come from a shim
//! in front of libc; the program is as it is released.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PASSWORD: &str = "correct horse battery staple";
/// More steps than a deletion has.
const MOST: usize = 200;

fn run(data: &Path, words: &[&str], input: &str, kill: Option<(&Path, usize)>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealdav"));
    command
        .env_clear()
        .env("SEALDAV_ARGON2_MEMORY_KIB", "19456")
        .args(words)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some((shim, at)) = kill {
        command
            .env("LD_PRELOAD", shim)
            .env("KILL_AT", at.to_string());
    }
    let mut child = command.spawn().unwrap();
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn said(data: &Path, words: &[&str], input: &str) -> Result<String, String> {
    let output = run(data, words, input, None);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stdout) + &text(output.stderr)),
    }
}

fn shim(directory: &Path) -> PathBuf {
    let shim = directory.join("kill_at.so");
    let built = Command::new("cc")
        .args([
            "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o",
        ])
        .arg(&shim)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/erasure/kill_at.c"))
        .arg("-ldl")
        .status();
    assert!(built.expect("there is a C compiler").success());
    shim
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, kind) = entry
            .map(|entry| (entry.path(), entry.file_type()))
            .unwrap();
        let to = to.join(entry.file_name().unwrap());
        match kind.unwrap().is_dir() {
            true => copy(&entry, &to),
            false if entry.extension().is_some_and(|ending| ending == "sock") => {}
            false => drop(fs::copy(&entry, to).unwrap()),
        }
    }
}

fn key_files(data: &Path) -> usize {
    fs::read_dir(data.join("keys")).unwrap().count()
}

const LIST: &[&str] = &["user", "list"];
const ADD: &[&str] = &[
    "user",
    "add",
    "alice",
    "--email",
    "alice@example.org",
    "--password-stdin",
];
const CUT: &[&str] = &[
    "app-password",
    "add",
    "alice",
    "--label",
    "x",
    "--password-stdin",
];
const DELETE: &[&str] = &["user", "delete", "alice", "--yes"];

/// What is there after a deletion that was killed: whether the account is gone.
fn is_gone(data: &Path, step: &str) -> bool {
    let users = said(data, LIST, "").unwrap();
    let gone = !users.contains("alice@");
    let verified = said(data, &["verify"], "");
    if !gone {
        // Whole, since its key file was not reached: it opens, and can be deleted.
        assert!(said(data, CUT, PASSWORD).is_ok(), "{step}");
        assert!(said(data, DELETE, "").is_ok(), "{step}");
        assert_eq!(key_files(data), 1, "{step}");
        return false;
    }
    assert_eq!(key_files(data), 1, "{step}: bob's alone");
    assert!(verified.is_ok(), "{step}: {verified:?}");
    assert!(said(data, CUT, PASSWORD).is_err(), "{step}");
    true
}

/// The database of before, without its key file, does not open with the user's password.
fn does_not_come_back(data: &Path, before: &Path, step: &str) {
    let back = data.with_extension("back");
    copy(data, &back);
    fs::remove_dir_all(back.join("db")).unwrap();
    copy(&before.join("db"), &back.join("db"));
    let users = said(&back, LIST, "").unwrap();
    assert!(users.contains("alice@"), "{step}: its name is back");
    assert!(said(&back, CUT, PASSWORD).is_err(), "{step}");
    fs::remove_dir_all(&back).unwrap();
}

#[test]
fn a_deletion_killed_at_any_step_is_finished_or_never_began() {
    let directory = tempfile::tempdir().unwrap();
    let shim = shim(directory.path());
    let before = directory.path().join("before");
    said(&before, ADD, PASSWORD).unwrap();
    let bob = [
        "user",
        "add",
        "bob",
        "--email",
        "bob@example.org",
        "--password-stdin",
    ];
    said(&before, &bob, PASSWORD).unwrap();
    let (mut gone, mut whole) = (0, 0);
    let ended = (1..MOST).find(|at| {
        let data = directory.path().join(format!("data-{at}"));
        copy(&before, &data);
        let output = run(&data, DELETE, "", Some((&shim, *at)));
        let step = format!("step {at}");
        match is_gone(&data, &step) {
            true => gone += 1,
            false => whole += 1,
        }
        if (1..4).contains(&gone) {
            does_not_come_back(&data, &before, &step);
        }
        // Once gone it stays gone.
        assert!(!said(&data, LIST, "").unwrap().contains("alice@"), "{step}");
        fs::remove_dir_all(&data).unwrap();
        output.status.success()
    });
    assert!(ended.is_some(), "there are more steps than that");
    assert!(gone >= 4 && whole >= 3, "{gone} {whole}");
}

#[test]
fn a_deletion_is_certified() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    said(&data, ADD, PASSWORD).unwrap();
    let file = directory.path().join("erased");
    let file = file.to_str().unwrap();
    let delete = ["user", "delete", "alice", "--yes", "--certificate", file];
    let told = said(&data, &delete, "").unwrap();
    let certificate = fs::read_to_string(file).unwrap();
    assert!(
        told.ends_with(&certificate) && !certificate.contains("alice"),
        "{told}"
    );
    assert!(certificate.contains("\nkey-file destroyed: 2 slots\nrows purged "));
    let check = ["audit", "verify", "--certificate", file];
    assert!(said(&data, &check, "").unwrap().starts_with("ok: "));
    let trail = said(&data, &["audit", "show", "--administration"], "").unwrap();
    assert!(
        trail.contains("user-delete") && trail.contains("erasure-certified"),
        "{trail}"
    );
    fs::write(file, certificate.replace("2 slots", "1 slots")).unwrap();
    assert!(said(&data, &check, "").unwrap_err().contains("was edited"));
}
