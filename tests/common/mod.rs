//! What the tests of the whole program share: the real server in a directory that goes when the
//! test ends, a plain HTTP client, canaries with the search for them, and a client that uses
//! every feature once.

// Each test program uses a part of it.
#![allow(dead_code)]

pub mod canary;
pub mod client;
pub mod everything;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub use client::{Answer, Client};

/// The account password that `Server::add_user` gives.
pub const PASSWORD: &str = "correct horse battery staple";

/// The program, its data directory and its log.
pub struct Server {
    directory: tempfile::TempDir,
    child: Option<Child>,
    address: Option<SocketAddr>,
    environment: Vec<(String, String)>,
}

impl Server {
    /// A directory without a server.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Server {
            directory,
            child: None,
            address: None,
            environment: Vec::new(),
        }
    }

    /// With one account, and running.
    pub fn with_user(name: &str) -> (Self, Client) {
        let mut server = Server::new();
        server.add_user(name);
        server.start(&["--plain-http"]);
        let password = server.app_password(name, "test");
        let client = server.client(name, &password);
        (server, client)
    }

    /// From now on the program has this variable in its environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A path beside the data directory, which goes with it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the server, and every command, wrote to standard error.
    pub fn log_file(&self) -> PathBuf {
        self.beside("log")
    }

    /// The same, as bytes.
    pub fn log(&self) -> Vec<u8> {
        fs::read(self.log_file()).unwrap_or_default()
    }

    fn log_end(&self) -> File {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("the log can be written")
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealdav"));
        command
            .env_clear()
            .env("SEALDAV_DATA", self.data())
            .env("SEALDAV_LOG_LEVEL", "trace")
            // the least that may be configured
            .env("SEALDAV_ARGON2_MEMORY_KIB", "19456")
            .env("SEALDAV_ARGON2_PASSES", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path());
        command
    }

    /// Runs a command to its end; what it says on standard error goes to the log too.
    pub fn command(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self
            .program()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("it was piped");
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        self.log_end()
            .write_all(&output.stderr)
            .expect("the log can be written");
        output
    }

    /// The same; it must succeed. Gives what it printed.
    pub fn done(&self, arguments: &[&str], input: &str) -> String {
        let output = self.command(arguments, input);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("it prints UTF-8")
    }

    /// Makes an account with `PASSWORD`.
    pub fn add_user(&self, name: &str) {
        let email = format!("{name}@example.org");
        let arguments = ["user", "add", name, "--email", &email, "--password-stdin"];
        self.done(&arguments, PASSWORD);
    }

    /// An app password of an account with `PASSWORD`.
    pub fn app_password(&self, name: &str, label: &str) -> String {
        self.app_password_by(name, label, PASSWORD)
    }

    /// An app password of an account with another password.
    pub fn app_password_by(&self, name: &str, label: &str, password: &str) -> String {
        self.app_password_with(name, label, password, &[])
    }

    /// An app password that may do less.
    pub fn app_password_with(
        &self,
        name: &str,
        label: &str,
        password: &str,
        terms: &[&str],
    ) -> String {
        let arguments = ["app-password", "add", name, "--label", label];
        let arguments = [&arguments[..], &["--password-stdin", "--json"], terms].concat();
        let json: serde_json::Value =
            serde_json::from_str(&self.done(&arguments, password)).expect("it prints JSON");
        json["password"].as_str().expect("a text").to_owned()
    }

    /// Starts the server and waits until it listens.
    pub fn start(&mut self, flags: &[&str]) {
        let before = self.log().len();
        let child = self
            .program()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.log_end())
            .spawn()
            .expect("the program starts");
        self.child = Some(child);
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let log = self.log();
            let text = String::from_utf8_lossy(&log[before..]).into_owned();
            if let Some(address) = listening(&text) {
                self.address = Some(address);
                return;
            }
            assert!(Instant::now() < until, "the server does not start: {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("the server runs")
    }

    /// The id of the server's process.
    pub fn process(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Bytes of memory that the server holds now.
    pub fn memory(&self) -> usize {
        let child = self.child.as_ref().expect("the server runs");
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.expect("the system tells");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
        kib.expect("a number of KiB") * 1024
    }

    /// A client with these credentials.
    pub fn client(&self, name: &str, secret: &str) -> Client {
        Client::new(self.address(), name, secret)
    }

    /// Tells it to read its certificate again.
    pub fn hang_up(&self) {
        let child = self.child.as_ref().expect("the server runs");
        let id = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(id, rustix::process::Signal::HUP).expect("it can be told");
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        let child = self.child.as_mut().expect("the server runs");
        let status = child.try_wait().expect("it is ours");
        status.inspect(|_| self.child = None)
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Stops it as an administrator does, and waits for its end.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it can be told");
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = child.try_wait().expect("it is ours") {
                assert!(status.success(), "the server ended with {status}");
                return;
            }
            if Instant::now() > until {
                let _ = child.kill();
                panic!("the server does not stop");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Every file and folder of the data directory, relative to it, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&self.data(), &mut found);
        let data = self.data();
        let mut found: Vec<PathBuf> = found
            .iter()
            .map(|path| path.strip_prefix(&data).expect("below it").to_owned())
            .collect();
        found.sort();
        found
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn listening(log: &str) -> Option<SocketAddr> {
    let ready = log.lines().find(|line| line.contains("ready"))?;
    let rest = ready.split("listening=").nth(1)?;
    let rest = rest.trim_start_matches('"');
    let end = rest.find(['"', ' '])?;
    rest[..end].parse().ok()
}

/// Everything below a folder.
pub fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        found.push(entry.path());
        if entry.file_type().expect("a type").is_dir() {
            walk(&entry.path(), found);
        }
    }
}

/// Leaves the data of a stopped server as a rotation of the host key does that was cut off in its
/// beginning: nothing but a rotation opens it then.
pub fn interrupt_rotation(server: &Server) {
    let key = sealdav::seal::HostKey::generate(&mut sealdav::ambient::OsRandom);
    let next = server.data().join("host.key.next");
    fs::write(next, key.to_text().as_str()).expect("a file");
    assert!(!server.command(&["user", "list"], "").status.success());
}

/// A database of rows, as the store keeps them, in a copy that may be opened while nobody looks.
pub fn rows(database: &Path) -> sled::Db {
    sled::Config::new()
        .path(database)
        .segment_size(sealdav::limits::STORE_SEGMENT_BYTES)
        .flush_every_ms(None)
        .open()
        .expect("the database opens")
}

/// Copies a folder with all that is in it, except sockets.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a type");
        let to = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            fs::copy(entry.path(), &to).expect("a copy");
        }
    }
}
