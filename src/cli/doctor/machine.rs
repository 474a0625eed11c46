//! The machine: its disk, clock, ports and time zones.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use super::Findings;
use crate::ambient::UnixMillis;
use crate::config::Config;

const MIB: u64 = 1024 * 1024;
const MINUTE: i64 = 60 * 1000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Programs that set the clock from the network, as the kernel names their processes.
const TIME_DAEMONS: [&str; 6] = [
    "chronyd",
    "ntpd",
    "ntp-daemon",
    "openntpd",
    "systemd-timesyn",
    "ptp4l",
];

/// Looks at the disk, without a server that watches it.
pub(super) fn disk(config: &Config, findings: &mut Findings) {
    let about = "disk";
    match rustix::fs::statvfs(config.data_dir()) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize) / MIB;
            match free < config.disk.warn_free_mb {
                true => findings.warn(
                    about,
                    format!("{free} MiB are free"),
                    "free some space, or enlarge it",
                ),
                false => findings.ok(about, format!("{free} MiB are free")),
            }
        }
        Err(error) => findings.fault(
            about,
            format!("it cannot be asked: {error}"),
            "look at the system's log",
        ),
    }
}

/// Looks at the addresses to listen on.
pub(super) fn ports(config: &Config, runs: bool, findings: &mut Findings) {
    let about = "ports";
    for address in &config.listen {
        if runs {
            let near = reachable(*address);
            match TcpStream::connect_timeout(&near, Duration::from_secs(2)) {
                Ok(_) => findings.ok(about, format!("the server is reached on {address}")),
                Err(error) => findings.warn(
                    about,
                    format!("nothing answers on {address}: {error}"),
                    "compare with the --listen of the running server, and with its log",
                ),
            }
            continue;
        }
        match TcpListener::bind(address) {
            Ok(_) => findings.ok(about, format!("{address} is free")),
            Err(error) if error.kind() == ErrorKind::AddrInUse => findings.fault(
                about,
                format!("{address} is in use by {}", holder(address.port())),
                "stop that, or choose another address in `listen`",
            ),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => findings.fault(
                about,
                format!("{address} may not be used by this user"),
                "choose a port above 1023, or give the service CAP_NET_BIND_SERVICE",
            ),
            Err(error) => findings.fault(
                about,
                format!("{address} cannot be listened on: {error}"),
                "choose an address of this machine in `listen`",
            ),
        }
    }
}

fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The process that listens on a port, as far as this user may know.
fn holder(port: u16) -> String {
    let unknown = || "another process (root can find it with `ss -ltnp`)".to_owned();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let inode = tables
        .iter()
        .flatten()
        .find_map(|table| listening(table, port));
    let Some(inode) = inode else {
        return unknown();
    };
    let wanted = format!("socket:[{inode}]");
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let number = process.file_name();
        let number = number.to_string_lossy();
        // Beside the processes there are names of this one, among others.
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let path = process.path();
        let files = std::fs::read_dir(path.join("fd"));
        let mut links = files.into_iter().flatten().flatten();
        let holds = links.any(|file| {
            let target = std::fs::read_link(file.path());
            target.is_ok_and(|target| target == Path::new(&wanted))
        });
        if holds {
            let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            return format!("{} (process {number})", name.trim());
        }
    }
    unknown()
}

/// The inode of the socket that listens on a port, in a table of the kernel's (proc_net(5)).
fn listening(table: &str, port: u16) -> Option<u64> {
    let wanted = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (local.ends_with(&wanted) && *state == "0A")
            .then(|| inode.parse().ok())
            .flatten()
    })
}

/// Looks at the clock: what was written before must not be of a later time.
pub(super) fn clock(config: &Config, now: UnixMillis, findings: &mut Findings) {
    let program = std::env::current_exe().unwrap_or_default();
    judge_clock(
        now,
        written(&config.data_dir()),
        modified(&program),
        findings,
    );
    match synchronized() {
        Some(true) => findings.ok("clock", "is set from the network"),
        Some(false) => findings.warn(
            "clock",
            "is not set from the network",
            "turn it on: timedatectl set-ntp true",
        ),
        None => match time_daemon() {
            Some(daemon) => findings.ok("clock", format!("{daemon} runs, which sets it")),
            None => findings.ok(
                "clock",
                "whether it is set from the network is not known here, and no program that does so was seen",
            ),
        },
    }
}

/// A program that sets the clock from the network, if one runs. In a container it may be the
/// host's, which is not seen.
fn time_daemon() -> Option<String> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let names = processes.filter_map(|one| std::fs::read_to_string(one.path().join("comm")).ok());
    let mut names = names.map(|name| name.trim().to_owned());
    names.find(|name| TIME_DAEMONS.contains(&name.as_str()))
}

/// When the data was last written, by the clock of then.
fn written(data: &Path) -> Option<UnixMillis> {
    let names = [
        "db/witness",
        "db/rows/db",
        "audit.heads",
        "backups",
        "erased",
        "tls/cert.pem",
    ];
    let times = names.iter().filter_map(|name| modified(&data.join(name)));
    times.max()
}

fn modified(file: &Path) -> Option<UnixMillis> {
    let modified = file.metadata().ok()?.modified().ok()?;
    let since = modified.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(UnixMillis)
}

fn judge_clock(
    now: UnixMillis,
    data: Option<UnixMillis>,
    program: Option<UnixMillis>,
    findings: &mut Findings,
) {
    let about = "clock";
    let shown = super::super::commands::date(now.0);
    if let Some(data) = data.filter(|data| data.0 > now.0 + 5 * MINUTE) {
        findings.fault(
            about,
            format!(
                "it is {shown}, and the data was written {} minutes later than that",
                (data.0 - now.0) / MINUTE
            ),
            "set the clock right: the ends of app passwords, the audit trail and certificates go by it",
        );
    } else if program.is_some_and(|program| program.0 > now.0 + DAY) {
        findings.warn(
            about,
            format!("it is {shown}, which is before this program was installed"),
            "set the clock right",
        );
    } else {
        findings.ok(about, format!("it is {shown}"));
    }
}

/// Whether the clock is set from the network, as systemd knows it.
fn synchronized() -> Option<bool> {
    // systemd-timesyncd makes this file when it has done so (systemd-timesyncd.service(8)).
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    match asked.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

/// Looks at the age of the time zones, which decide when things are.
pub(super) fn time_zones(now: UnixMillis, findings: &mut Findings) {
    let (about, version) = ("time zones", crate::ical::zone::tzdb_version());
    // A Gregorian year has 365.2425 days.
    let year = 1970 + now.seconds() / 31_556_952;
    let of: Option<i64> = version.get(..4).and_then(|year| year.parse().ok());
    match of.is_some_and(|of| year - of >= 2) {
        true => findings.warn(
            about,
            format!("version {version} is old: countries have changed their rules since"),
            "install a newer sealdav",
        ),
        false => findings.ok(about, format!("version {version}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_clock_that_went_back_is_a_fault() {
        let at = |minutes: i64| Some(UnixMillis(1_800_000_000_000 + minutes * MINUTE));
        for (data, program, level) in [
            (at(0), at(-9_999), Level::Ok),
            (at(4), at(0), Level::Ok),
            (at(60), at(0), Level::Fault),
            (None, at(3 * 24 * 60), Level::Warning),
            (None, None, Level::Ok),
        ] {
            let mut findings = Findings::default();
            let now = UnixMillis(1_800_000_000_000);
            judge_clock(now, data, program, &mut findings);
            assert_eq!(findings.worst(), level, "{findings:?}");
        }
    }

    #[test]
    fn the_newest_file_of_the_data_counts() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(written(data.path()), None);
        std::fs::create_dir_all(data.path().join("db/rows")).unwrap();
        for (name, seconds) in [
            ("db/witness", 1_000),
            ("db/rows/db", 3_000),
            ("erased", 2_000),
        ] {
            let file = std::fs::File::create(data.path().join(name)).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds))
                .unwrap();
        }
        assert_eq!(written(data.path()), Some(UnixMillis(3_000_000)));
    }

    #[test]
    fn a_taken_port_is_told_with_its_holder() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = Config {
            listen: vec![taken.local_addr().unwrap()],
            ..Config::default()
        };
        let mut findings = Findings::default();
        ports(&config, false, &mut findings);
        assert_eq!(findings.worst(), Level::Fault);
        let says = &findings.0[0].says;
        assert!(says.contains("is in use by "), "{says}");
        assert!(
            says.contains(&format!("(process {})", std::process::id())),
            "{says}"
        );
        let mut findings = Findings::default();
        ports(&config, true, &mut findings);
        assert_eq!(findings.worst(), Level::Ok, "{findings:?}");
        drop(taken);
        let mut findings = Findings::default();
        ports(&config, false, &mut findings);
        assert_eq!(findings.worst(), Level::Ok, "{findings:?}");
    }
}
