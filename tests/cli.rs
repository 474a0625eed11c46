//! The program as it is run: commands with and without a server, the server over TLS, and its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

const PASSWORD: &str = "correct horse battery staple";

/// A data directory of the test's own, with a path that no socket address can hold.
struct Data(PathBuf);

impl Data {
    fn new(name: &str) -> Data {
        let root = std::env::temp_dir().join(format!("sealdav-cli-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let dir = root.join("x".repeat(120)).join("data");
        std::fs::create_dir_all(dir.parent().unwrap()).unwrap();
        Data(dir)
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealdav"));
        command
            .env_clear()
            .args(words.split(' '))
            .arg("--data")
            .arg(&self.0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command; its output, or its error.
    fn run(&self, words: &str, input: &str) -> Result<String, String> {
        let mut child = self.command(words).spawn().unwrap();
        // A command that reads nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stderr))
        }
    }

    fn app_password(&self, label: &str) -> (String, String, String) {
        self.app_password_by(label, PASSWORD)
    }

    fn app_password_by(&self, label: &str, password: &str) -> (String, String, String) {
        let words = format!("app-password add alice --label {label} --password-stdin --json");
        let object: serde_json::Value =
            serde_json::from_str(&self.run(&words, password).unwrap()).unwrap();
        let part = |key: &str| object[key].as_str().unwrap().to_owned();
        (part("user"), part("password"), part("url"))
    }

    fn serve(&self, more: &str) -> Server {
        let mut child = self
            .command(&format!("serve --listen 127.0.0.1:0{more}"))
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("ready"));
        let ready = ready.expect("the server becomes ready");
        let address = ready
            .split("listening=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        // The log is read on, or its pipe would fill.
        let log =
            std::thread::spawn(move || lines.map(Result::unwrap).collect::<Vec<_>>().join("\n"));
        Server {
            child,
            address,
            log: Some(log),
        }
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap().parent().unwrap());
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
    log: Option<std::thread::JoinHandle<String>>,
}

impl Server {
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends it in good order, and gives its log.
    fn stop(mut self) -> String {
        self.signal(rustix::process::Signal::TERM);
        assert!(self.child.wait().unwrap().success());
        self.log.take().unwrap().join().unwrap()
    }

    fn connect(&self, data: &Data) -> Connection {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(data.0.join("tls/ca.pem")).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(self.address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Connection(rustls::StreamOwned::new(client, socket))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Connection(rustls::StreamOwned<rustls::ClientConnection, TcpStream>);

impl Connection {
    /// One request; the status and the body of its answer, which must have a length.
    fn ask(&mut self, method: &str, path: &str, secret: &str, body: &str) -> (u16, String) {
        let credentials =
            base64::engine::general_purpose::STANDARD.encode(format!("alice:{secret}"));
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\
             Depth: 0\r\nContent-Type: text/calendar\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(text.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1);
        let length = length.map_or(0, |rest| {
            rest.split("\r\n").next().unwrap().parse().unwrap()
        });
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            String::from_utf8(body).unwrap(),
        )
    }
}

fn mode(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

const EVENT: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//test//EN\r\nBEGIN:VEVENT\r\nUID:one\r\n\
                     DTSTAMP:20260101T000000Z\r\nDTSTART:20260101T100000Z\r\nSUMMARY:Tea\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[test]
fn accounts_with_and_without_a_server() {
    let data = Data::new("accounts");
    let error = data.run("user list", "").unwrap_err();
    assert!(
        error.contains("make one with `sealdav user add`"),
        "{error}"
    );
    assert!(!data.0.exists(), "a question makes no directory");
    let add = "user add alice --email alice@example.org --password-stdin";
    assert!(data.run(add, "short\n").is_err());
    assert!(
        data.run(add, "")
            .unwrap_err()
            .contains("the password is missing")
    );
    let recovery = data.run(add, &format!("{PASSWORD}\n")).unwrap();
    let recovery = recovery
        .split_whitespace()
        .find(|word| word.starts_with("sdrk-"))
        .unwrap()
        .to_owned();
    assert!(data.run(add, PASSWORD).is_err(), "a name is taken once");
    assert_eq!(
        (mode(&data.0), mode(&data.0.join("host.key"))),
        (0o700, 0o600)
    );
    let (user, first, _) = data.app_password("phone");
    assert_eq!(user, "alice");
    assert!(
        data.run("health", "")
            .unwrap_err()
            .contains("no server runs on")
    );

    let server = data.serve("");
    assert_eq!(mode(&data.0.join("admin.sock")), 0o600);
    assert_eq!(data.run("health", "").unwrap(), "ok\n");
    assert!(
        data.run("user list", "")
            .unwrap()
            .starts_with("alice\talice@example.org\tenabled\tuser\t")
    );
    let (_, second, url) = data.app_password("tablet");
    assert_eq!(url, format!("https://localhost:{}/", server.address.port()));
    let listed = data.run("app-password list alice", "").unwrap();
    assert!(
        listed.contains("\tphone\n") && listed.contains("\ttablet\n"),
        "{listed}"
    );
    assert!(!listed.contains(&first));

    // One connection stays open over all that follows (CLIENTS: a change takes effect on the next request).
    let mut connection = server.connect(&data);
    let mut ask = |secret: &str| connection.ask("PROPFIND", "/dav/", secret, "").0;
    assert_eq!(
        (ask(&first), ask(&second), ask("no"), ask(PASSWORD)),
        (207, 207, 401, 401)
    );
    data.run("app-password revoke alice phone", "").unwrap();
    assert_eq!((ask(&first), ask(&second)), (401, 207));
    let add =
        "app-password add alice --label guest --read-only --expires 3s --password-stdin --json";
    let guest: serde_json::Value = serde_json::from_str(&data.run(add, PASSWORD).unwrap()).unwrap();
    assert!(
        guest["read_only"] == true && guest["expires"].is_i64(),
        "{guest}"
    );
    let guest = guest["password"].as_str().unwrap().to_owned();
    assert_eq!(ask(&guest), 207);
    let listed = data.run("app-password list alice", "").unwrap();
    assert!(
        listed.contains("\tread only\teverything\tends ")
            && listed.contains("\tread and write\teverything\tno end\ttablet\n"),
        "{listed}"
    );
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((ask(&guest), ask(&second)), (401, 207), "it has ended");
    let listed = data.run("app-password list alice --json", "").unwrap();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert!(
        listed[1]["label"] == "guest" && listed[1]["expired"] == true,
        "{listed}"
    );
    assert_eq!(data.run("lock alice", "").unwrap(), "Locked: 1.\n");
    assert_eq!(data.run("lock --all", "").unwrap(), "Locked: 0.\n");
    assert_eq!(ask(&second), 207, "its secret opens the account again");
    assert!(data.run("lock nobody", "").is_err());
    let add = "app-password add alice --label wall --calendar tasks --password-stdin --json";
    let wall: serde_json::Value = serde_json::from_str(&data.run(add, PASSWORD).unwrap()).unwrap();
    let wall = wall["password"].as_str().unwrap().to_owned();
    let listed = data.run("app-password list alice", "").unwrap();
    assert!(
        listed.contains("\tread and write\t1 calendar\tno end\twall\n"),
        "{listed}"
    );
    // Whoever of the two comes first, neither is asked for its password again.
    data.run("lock --all", "").unwrap();
    for _ in 0..2 {
        assert_eq!((ask(&wall), ask(&second), ask(&wall)), (207, 207, 207));
    }
    data.run("user disable alice", "").unwrap();
    assert_eq!((ask(&wall), ask(&second)), (401, 401));
    data.run("user enable alice", "").unwrap();
    assert_eq!(ask(&second), 207);
    assert!(
        data.run(
            "user password alice --password-stdin",
            "wrong password\nanother password of mine\n"
        )
        .is_err()
    );
    data.run(
        "user password alice --password-stdin",
        &format!("{PASSWORD}\nanother password of mine\n"),
    )
    .unwrap();
    data.run(
        "user password alice --recovery-key-stdin",
        &format!("{recovery}\n{PASSWORD}\n"),
    )
    .unwrap();
    assert_eq!(ask(&second), 207);
    let told = data
        .run("user recover alice", &format!("{recovery}\n"))
        .unwrap();
    assert!(
        told.contains("2 calendars, 0 objects") && told.contains("as it was"),
        "{told}"
    );
    assert!(
        data.run("user recover alice", &format!("{PASSWORD}\n"))
            .is_err()
    );
    let weak = data
        .run("user recover alice", &format!("{recovery}\npassword1234\n"))
        .unwrap_err();
    assert!(weak.contains("strength is 1 of 4"), "{weak}");
    let told = data
        .run(
            "user recover alice",
            &format!("{recovery}\nanother password of mine\n"),
        )
        .unwrap();
    assert!(told.contains("The password is changed."), "{told}");
    let anew = data
        .run(
            "user recovery-key alice --password-stdin",
            "another password of mine\n",
        )
        .unwrap();
    let anew = anew
        .split_whitespace()
        .find(|word| word.starts_with("sdrk-"))
        .unwrap()
        .to_owned();
    assert!(
        data.run("user recover alice", &format!("{recovery}\n"))
            .is_err(),
        "the old one ended"
    );
    data.run("user recover alice", &format!("{anew}\n{PASSWORD}\n"))
        .unwrap();
    drop(connection);
    let log = server.stop();
    for secret in [first.as_str(), &second, PASSWORD, &recovery] {
        assert!(!log.contains(secret), "{log}");
    }
    assert!(!data.0.join("admin.sock").exists());

    assert!(
        data.run(
            "user password alice --abandon-data",
            "another password of mine\n"
        )
        .unwrap_err()
        .contains("--yes")
    );
    let renewed = data
        .run(
            "user password alice --abandon-data --yes",
            "another password of mine\n",
        )
        .unwrap();
    assert!(
        renewed.contains("sdrk-") && !renewed.contains(&recovery),
        "{renewed}"
    );
    assert!(
        data.run("lock --all", "")
            .unwrap()
            .contains("nothing is unlocked")
    );
    let (_, third, _) = data.app_password_by("phone", "another password of mine");
    let server = data.serve("");
    let mut connection = server.connect(&data);
    let mut ask = || connection.ask("PROPFIND", "/dav/", &third, "").0;
    assert_eq!(ask(), 207);
    data.run("user delete alice", "").unwrap();
    assert_eq!(ask(), 401);
    assert_eq!(data.run("user list", "").unwrap(), "");
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let data = Data::new("restart");
    data.run(
        "user add alice --email alice@example.org --password-stdin",
        PASSWORD,
    )
    .unwrap();
    let (_, secret, _) = data.app_password("phone");
    let server = data.serve("");
    // A second server on the same data is refused and leaves the first alone.
    let second = data.run("serve --listen 127.0.0.1:0", "").unwrap_err();
    assert!(second.contains("in use"), "{second}");
    let mut connection = server.connect(&data);
    let made = connection.ask("MKCOL", "/dav/calendars/alice/files/", &secret, "");
    assert_eq!(made.0, 201, "{}", made.1);
    let stored = connection.ask("PUT", "/dav/calendars/alice/files/tea.ics", &secret, EVENT);
    assert_eq!(stored.0, 201, "{}", stored.1);
    server.signal(rustix::process::Signal::HUP);
    // Without any orderly end: the answer was a promise.
    let mut server = server;
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    drop(server);

    let server = data.serve("");
    let got = server
        .connect(&data)
        .ask("GET", "/dav/calendars/alice/files/tea.ics", &secret, "");
    assert_eq!(got, (200, EVENT.to_owned()));
    server.stop();
    std::fs::remove_file(data.0.join("host.key")).unwrap();
    let error = data.run("serve --listen 127.0.0.1:0", "").unwrap_err();
    assert!(error.contains("host.key is missing"), "{error}");
    assert!(
        !data.0.join("host.key").exists(),
        "no new key is made over old data"
    );
}

#[test]
fn an_account_gets_a_new_key_with_and_without_a_server() {
    let data = Data::new("rotate");
    let add = "user add alice --email alice@example.org --password-stdin";
    data.run(add, PASSWORD).unwrap();
    let (_, phone, _) = data.app_password("phone");
    let tea = "/dav/calendars/alice/calendar/tea.ics";
    let rotate = "user rotate alice --password-stdin";
    assert!(data.run(rotate, "wrong\n").is_err());
    let told = data.run(rotate, PASSWORD).unwrap();
    assert!(told.contains("Done: 0 objects."), "{told}");

    let server = data.serve("");
    let mut connection = server.connect(&data);
    assert_eq!(connection.ask("PUT", tea, &phone, EVENT).0, 201);
    let told = data.run(rotate, PASSWORD).unwrap();
    assert!(told.contains("Done: 1 objects."), "{told}");
    let read = connection.ask("GET", tea, &phone, "");
    assert_eq!(read, (200, EVENT.to_owned()));
    server.stop();
    let server = data.serve("");
    let read = server.connect(&data).ask("GET", tea, &phone, "");
    assert_eq!(read, (200, EVENT.to_owned()));
    server.stop();
}

#[test]
fn security_txt_is_served_where_somebody_is_named() {
    let data = Data::new("contact");
    data.run(
        "user add alice --email alice@example.org --password-stdin",
        PASSWORD,
    )
    .unwrap();
    let path = "/.well-known/security.txt";
    let server = data.serve("");
    assert_eq!(server.connect(&data).ask("GET", path, "no", "").0, 401);
    server.stop();
    let file = data.0.with_file_name("sealdav.toml");
    std::fs::write(&file, "security_contact = \"admin@example.org\"\n").unwrap();
    let server = data.serve(&format!(" --config {}", file.display()));
    let (status, text) = server.connect(&data).ask("GET", path, "no", "");
    assert_eq!(status, 200);
    assert!(
        text.starts_with("Contact: mailto:admin@example.org\r\nExpires: 20"),
        "{text}"
    );
    server.stop();
}

#[test]
fn the_first_run_tells_secrets_only_when_asked() {
    let data = Data::new("first");
    let server = data.serve("");
    assert_eq!(data.run("user list", "").unwrap(), "");
    assert!(server.stop().contains("sealdav user add NAME"));
    let mut server = data.serve(" --print-credentials");
    let mut told = String::new();
    let mut output = BufReader::new(server.child.stdout.take().unwrap());
    while !told.contains("DAVx5  ") {
        assert_ne!(output.read_line(&mut told).unwrap(), 0, "{told}");
    }
    let after = |label: &str| {
        told.split(label)
            .nth(1)
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .to_owned()
    };
    let user = after("  User ");
    assert_eq!(user, "me");
    assert!(told.contains("tls/ca.pem"), "{told}");
    let listed = data.run("app-password list me", "").unwrap();
    assert!(listed.contains("first device"), "{listed}");
    let more = data.run(
        "app-password add me --label more --password-stdin",
        &after("  Password "),
    );
    assert!(more.unwrap().contains("sdav-"));
    let log = server.stop();
    assert!(!log.contains(&after("  App password ")) && !log.contains(&after("  Recovery key ")));
}

#[test]
fn wrong_settings_stop_the_start() {
    let data = Data::new("settings");
    for (words, expected) in [
        ("serve --listen 0.0.0.0:0 --plain-http", "trusted_proxies"),
        ("serve --listen 192.0.2.1:9", "cannot listen on 192.0.2.1:9"),
        (
            "serve --config /nonexistent.toml",
            "/nonexistent.toml cannot be read",
        ),
        ("dns --host a_b", "is no host name"),
        ("app-password revoke alice", "<SLOT_OR_LABEL>"),
    ] {
        let error = data.run(words, "").unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert!(!data.0.exists());
}

#[test]
fn the_host_key_is_replaced_and_may_come_from_elsewhere() {
    let data = Data::new("host-key");
    let add = "user add alice --email a@example.org --password-stdin";
    data.run(add, PASSWORD).unwrap();
    let first = data.run("host-key export", "").unwrap();
    let printed = data.run("host-key show", "").unwrap();
    assert!(!printed.contains(first.trim()), "{printed}");
    let said = data.run("host-key rotate", "").unwrap();
    assert!(said.contains("1 key files"), "{said}");
    let second = data.run("host-key export", "").unwrap();
    assert_ne!(first, second);
    assert_eq!(mode(&data.0.join("host.key")), 0o600);
    let kept = std::fs::read_to_string(data.0.join("host.key.old-1")).unwrap();
    assert_eq!(kept, first);
    // The password still opens the account, through its new outer seal.
    data.app_password("phone");

    // Cut off after the rows were sealed anew, before the file was in its place.
    std::fs::write(data.0.join("host.key.next"), &second).unwrap();
    std::fs::write(data.0.join("host.key"), &first).unwrap();
    let refused = data.run("user list", "").unwrap_err();
    assert!(refused.contains("host-key rotate"), "{refused}");
    data.run("host-key rotate", "").unwrap();
    assert_eq!(data.run("host-key export", "").unwrap(), second);
    assert!(!data.0.join("host.key.next").exists());

    // From the environment, and from a credential of systemd; a wrong one is refused.
    std::fs::remove_file(data.0.join("host.key")).unwrap();
    let with = |name: &str, value: &str| {
        let output = data.command("user list").env(name, value).output().unwrap();
        let (out, err) = (output.stdout, output.stderr);
        let text = String::from_utf8([out, err].concat()).unwrap();
        (output.status.success(), text)
    };
    assert!(data.run("user list", "").unwrap_err().contains("missing"));
    let (good, listed) = with("SEALDAV_HOST_KEY", &second);
    assert!(good && listed.contains("alice"), "{listed}");
    let (good, refused) = with("SEALDAV_HOST_KEY", &first);
    assert!(!good && refused.contains("not the one"), "{refused}");
    let credentials = data.0.join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("sealdav.host-key"), &second).unwrap();
    let (good, listed) = with("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap());
    assert!(good && listed.contains("alice"), "{listed}");
}

#[test]
fn no_core_is_dumped_and_nobody_else_reads_the_memory() {
    let data = Data::new("memory");
    data.run(
        "user add alice --email a@example.org --password-stdin",
        PASSWORD,
    )
    .unwrap();
    let server = data.serve("");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    server.stop();
}

/// Whoever stands in the wrong directory learns at once that a new one was made.
#[test]
fn a_new_data_directory_is_told_of() {
    let data = Data::new("made");
    let add = |name: &str| {
        let words = format!("user add {name} --email {name}@example.org --password-stdin");
        data.run(&words, PASSWORD).unwrap()
    };
    let first = add("alice");
    let path = data.0.canonicalize().unwrap().display().to_string();
    assert!(first.contains(&path), "{first}");
    let second = add("bob");
    assert!(!second.contains(&path), "{second}");
}
