//! What whoever runs the server has to look after it: metrics, health, doctor, systemd.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use common::Server;

/// One request to the metrics' listener; the whole answer.
fn scrape(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!("{head}Host: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is answered");
    answer
}

fn metrics_address(server: &Server) -> SocketAddr {
    let log = String::from_utf8(server.log()).expect("UTF-8");
    let line = log.lines().find(|line| line.contains("metrics are told"));
    let rest = line.and_then(|line| line.split("listening=").nth(1));
    let address = rest.and_then(|rest| rest.split_whitespace().next());
    address
        .expect("the log says where")
        .parse()
        .expect("an address")
}

/// The value of a series.
fn value(metrics: &str, series: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in {metrics}"));
    line.trim().parse().expect("a number")
}

#[test]
fn metrics_tell_figures_and_no_names() {
    let mut server = Server::new();
    server.add_user("metricanna");
    let token = server.beside("token");
    std::fs::write(&token, "sesame\n").expect("it is written");
    server.set("SEALDAV_METRICS_LISTEN", "127.0.0.1:0");
    server.set("SEALDAV_METRICS_TOKEN_FILE", token.to_str().expect("UTF-8"));
    server.start(&["--plain-http"]);
    let password = server.app_password("metricanna", "metricphone");
    let mut client = server.client("metricanna", &password);
    let home = "/dav/calendars/metricanna/";
    let listed = client.ask("PROPFIND", home, &[("Depth", "1")], b"");
    assert_eq!(listed.status, 207, "{}", listed.text());
    let mut stranger = server.client("metricanna", "wrong");
    assert_eq!(stranger.ask("PROPFIND", home, &[], b"").status, 401);
    assert_eq!(
        client
            .ask("GET", "/dav/calendars/metricanna/x/y.ics", &[], b"")
            .status,
        404
    );

    let address = metrics_address(&server);
    for head in [
        "GET /metrics HTTP/1.1\r\n",
        "GET /metrics HTTP/1.1\r\nAuthorization: Bearer sesame2\r\n",
        "GET /metrics HTTP/1.1\r\nAuthorization: Basic sesame\r\n",
    ] {
        assert!(scrape(address, head).starts_with("HTTP/1.1 401 "), "{head}");
    }
    let bearer = "Authorization: Bearer sesame\r\n";
    let elsewhere = scrape(address, &format!("GET / HTTP/1.1\r\n{bearer}"));
    assert!(elsewhere.starts_with("HTTP/1.1 404 "));
    let told = scrape(address, &format!("GET /metrics HTTP/1.1\r\n{bearer}"));
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    assert!(
        told.ends_with("# EOF\n") || told.contains("# EOF\n"),
        "{told}"
    );
    let route = "/dav/calendars/{home}/";
    let series = |class: &str| {
        format!(
            "sealdav_http_requests_total{{method=\"PROPFIND\",route=\"{route}\",status=\"{class}\"}} "
        )
    };
    assert_eq!(value(&told, &series("2xx")), 1.0);
    assert_eq!(value(&told, &series("4xx")), 1.0);
    assert_eq!(value(&told, "sealdav_sign_ins_total{result=\"ok\"} "), 1.0);
    assert_eq!(
        value(&told, "sealdav_sign_ins_total{result=\"failed\"} "),
        1.0
    );
    assert_eq!(value(&told, "sealdav_accounts_unlocked "), 1.0);
    assert_eq!(value(&told, "sealdav_read_only "), 0.0);
    assert_eq!(
        value(&told, "sealdav_store_condition{state=\"works\"} "),
        1.0
    );
    let count = "sealdav_http_request_duration_seconds_count{method=\"PROPFIND\"} ";
    assert_eq!(value(&told, count), 2.0);
    for positive in [
        "sealdav_store_sync_duration_seconds_count ",
        "sealdav_http_sent_bytes_total ",
        "sealdav_disk_free_bytes ",
        "sealdav_database_bytes ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
    ] {
        assert!(value(&told, positive) > 0.0, "{positive}");
    }
    assert!(
        !told.contains("sealdav_backup_age_seconds "),
        "there is none"
    );
    let place = server.beside("backup");
    std::fs::create_dir(&place).expect("a place");
    server.done(&["backup", "--to", place.to_str().expect("a text")], "");
    let later = scrape(address, &format!("GET /metrics HTTP/1.1\r\n{bearer}"));
    assert!(value(&later, "sealdav_backup_age_seconds ") < 60.0);
    assert!(value(&later, "sealdav_database_live_bytes ") > 0.0);
    for secret in ["metricanna", "metricphone", "y.ics", password.as_str()] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
    server.stop();
}

const OBJECT: &[u8] = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//a//b//EN\r\n\
BEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260101T000000Z\r\n\
SUMMARY:docsecret\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[test]
fn doctor_says_what_is_wrong_and_ends_with_its_weight() {
    let mut server = Server::new();
    let nothing = server.command(&["doctor"], "");
    assert_eq!(nothing.status.code(), Some(2), "no data is a fault");
    server.add_user("docanna");
    server.start(&["--plain-http"]);
    let password = server.app_password("docanna", "docphone");
    let mut client = server.client("docanna", &password);
    let event = "/dav/calendars/docanna/calendar/docsecret.ics";
    for _ in 0..6 {
        let stale = [("If-Match", "\"old\""), ("Content-Type", "text/calendar")];
        assert_eq!(client.ask("PUT", event, &stale, OBJECT).status, 412);
        let mut stranger = server.client("docanna", "wrong");
        assert_eq!(stranger.ask("GET", event, &[], b"").status, 401);
    }
    let listen = server.address().to_string();
    server.set("SEALDAV_LISTEN", &listen);
    let output = server.command(&["doctor"], "");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    // The host key lies with the data, and the phone does not sync.
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in [
        "WARNING  devices: docphone of docanna: 6 requests in the last hour sent an old ETag",
        "-> resync the calendar on the device",
        "an unknown device from 127.0.0.x, for the account docanna: ",
        "ok       store: answers, and takes writes",
        "WARNING  host key: ",
        "WARNING  backup: none was ever made of this data",
        &format!("ok       ports: the server is reached on {listen}"),
        "ok       memory: is never dumped to a file",
        "0 faults, ",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    for secret in ["docsecret", password.as_str(), "wrong passwordx"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    server.stop();
    let place = server.beside("backup");
    std::fs::create_dir(&place).expect("a place");
    let place = place.to_str().expect("a text");
    server.done(&["backup", "--to", place], "");
    let output = server.command(&["doctor", "--json"], "");
    let json = String::from_utf8_lossy(&output.stdout);
    let made = format!("the last good one to {place} is 0 hours old");
    assert!(json.contains(&made), "{json}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["worst"], "warning", "{told}");
    let key = server.data().join("host.key");
    let open: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(key, open).expect("it is ours");
    let output = server.command(&["doctor"], "");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("FAULT    host key: other users may read "),
        "{text}"
    );
    server.set("SEALDAV_SYNC_KEEP_DAYS", "many");
    let output = server.command(&["doctor"], "");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("FAULT    settings: "), "{text}");
}

/// What arrives within the time.
fn messages(socket: &UnixDatagram, time: Duration) -> Vec<String> {
    let until = Instant::now() + time;
    let mut found = Vec::new();
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        let wait = left.max(Duration::from_millis(1));
        socket.set_read_timeout(Some(wait)).expect("a time");
        let mut bytes = [0; 512];
        if let Ok(count) = socket.recv(&mut bytes) {
            found.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
        }
    }
    found
}

#[test]
fn systemd_is_told_when_it_is_ready_lives_and_stops() {
    let mut server = Server::new();
    server.add_user("anna");
    let path = server.beside("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    // Commands have the variable too, and tell nothing.
    server.set("NOTIFY_SOCKET", path.to_str().expect("UTF-8"));
    server.set("WATCHDOG_USEC", "400000");
    server.set("JOURNAL_STREAM", "8:1");
    server.done(&["user", "list"], "");
    assert_eq!(messages(&socket, Duration::from_millis(10)), [""; 0]);

    // `start` returns when the log says where it listens, which is before READY=1.
    server.start(&["--plain-http"]);
    let told = messages(&socket, Duration::from_secs(2));
    // The watchdog may be told first: both begin when the sockets listen.
    assert_eq!(
        told.iter().filter(|one| *one == "READY=1\n").count(),
        1,
        "{told:?}"
    );
    let pings = told.iter().filter(|one| *one == "WATCHDOG=1\n").count();
    assert!(pings >= 4, "{told:?}");
    let mut client = common::Client::anonymous(server.address());
    assert_eq!(client.ask("GET", "/healthz", &[], b"").text(), "ok");
    // The journal has times of its own, and reads the severity.
    let log = String::from_utf8(server.log()).expect("UTF-8");
    let ready = log.lines().find(|line| line.contains("listening="));
    assert!(ready.expect("a line").starts_with("<6>"), "{log}");
    server.hang_up();
    let told = messages(&socket, Duration::from_secs(1));
    let reloading = "RELOADING=1\nMONOTONIC_USEC=";
    let begun = told.iter().position(|one| one.starts_with(reloading));
    let done = told.iter().position(|one| one == "READY=1\n");
    assert!(begun.is_some() && begun < done, "{told:?}");
    server.stop();
    let told = messages(&socket, Duration::from_millis(300));
    assert!(told.contains(&"STOPPING=1\n".to_owned()), "{told:?}");
}
