//! `sealdav verify` as it is run: with and without a server, and what its exit status says.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PASSWORD: &str = "correct horse battery staple";

fn command(data: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealdav"));
    command
        .env_clear()
        .args(words.split(' '))
        .arg("--data")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The exit status of a command and all that it said.
fn run(data: &Path, words: &str, input: &str) -> (Option<i32>, String) {
    let mut child = command(data, words).spawn().unwrap();
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout) + &text(output.stderr),
    )
}

struct Server(Child);

impl Server {
    fn start(data: &Path) -> Server {
        let mut child = command(data, "serve --listen 127.0.0.1:0").spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines
            .by_ref()
            .map(Result::unwrap)
            .any(|line| line.contains("ready"));
        assert!(ready, "the server becomes ready");
        // The log is read on, or its pipe would fill.
        std::thread::spawn(move || lines.for_each(drop));
        Server(child)
    }

    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn its_status_tells_whether_all_is_well() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let (status, said) = run(&data, "verify", "");
    assert_eq!(status, Some(2), "{said}");
    for name in ["alice", "bob"] {
        let add = format!("user add {name} --email {name}@example.org --password-stdin");
        let (status, said) = run(&data, &add, PASSWORD);
        assert!(
            status == Some(0) && said.contains("The password is very strong: about 10^"),
            "{said}"
        );
    }
    let server = Server::start(&data);
    both(&data);
    assert_eq!(run(&data, "verify --certificate", "").0, Some(0));
    server.stop();
    both(&data);
    let key = data.join("tls/cert.key");
    fs::copy(data.join("tls/ca.key"), key).unwrap();
    let (status, said) = run(&data, "verify --certificate", "");
    assert!(
        status == Some(2) && said.contains("does not belong"),
        "{said}"
    );
}

/// What is the same with a server and without.
fn both(data: &Path) {
    let user = "verify --user alice --password-stdin";
    let (status, said) = run(data, "verify", "");
    assert!(status == Some(0) && said.starts_with("ok: read "), "{said}");
    assert!(
        said.contains("of 2 accounts; nobody's calendars were opened"),
        "{said}"
    );
    let (status, said) = run(data, user, PASSWORD);
    assert!(
        status == Some(0) && said.contains("0 objects in 3 collections"),
        "{said}"
    );
    let (status, said) = run(data, &format!("{user} --progress --json"), PASSWORD);
    assert_eq!(status, Some(0), "{said}");
    let totals: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(totals["totals"]["collections"], 3);
    for (words, input) in [
        (user, "wrong"),
        ("verify --user nobody --password-stdin", PASSWORD),
        ("verify --user alice", ""),
        ("verify --user alice --recovery-key-stdin", PASSWORD),
    ] {
        let (status, said) = run(data, words, input);
        assert_eq!(status, Some(2), "{words}: {said}");
    }
    let dropped = run(data, &format!("{user} --drop-damaged --yes"), PASSWORD);
    assert!(
        dropped.0 == Some(0) && !dropped.1.contains("dropped"),
        "{dropped:?}"
    );
    let files = fs::read_dir(data.join("keys")).unwrap();
    let file = files.map(|entry| entry.unwrap().path()).next().unwrap();
    let kept = fs::read(&file).unwrap();
    let mut damaged = kept.clone();
    // In the sealed content of the first slot.
    damaged[120] ^= 1;
    fs::write(&file, damaged).unwrap();
    let (status, said) = run(data, "verify", "");
    assert!(
        status == Some(1) && said.contains("key file of account "),
        "{said}"
    );
    assert!(
        said.contains("\n    do: ") && said.contains(": read "),
        "{said}"
    );
    fs::write(&file, kept).unwrap();
}
