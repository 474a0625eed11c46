//! The data directory and the host key: that they are there, whose they are, who may read them.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::host_key::{self, Source};
use super::Findings;
use crate::config::Config;

/// Files and directories in the data directory that hold keys, or rows.
const PRIVATE: &[&str] = &[
    "",
    "db",
    "db/rows",
    "keys",
    "tls",
    "tls/ca.key",
    "tls/cert.key",
    "admin.sock",
    "audit.heads",
];

/// Looks at the data directory; false when there is nothing in it.
pub(super) fn data(config: &Config, findings: &mut Findings) -> bool {
    let (about, data) = ("data directory", config.data_dir());
    let shown = data.display();
    let there = match data.join("db").metadata() {
        Ok(there) => there,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            findings.fault(
                about,
                format!("{shown} may not be read"),
                "run this command as the user that runs the server",
            );
            return false;
        }
        Err(_) => {
            findings.fault(
                about,
                format!("there is no data in {shown}"),
                "name the right directory with --data, or start the server once",
            );
            return false;
        }
    };
    let owner = there.uid();
    let mut strange = Vec::new();
    let keys = std::fs::read_dir(data.join("keys")).into_iter().flatten();
    let keys = keys.flatten().map(|entry| entry.path());
    for path in PRIVATE.iter().map(|name| data.join(name)).chain(keys) {
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        let path = path.display();
        if metadata.mode() & 0o077 != 0 {
            let wanted = if metadata.is_dir() { "700" } else { "600" };
            findings.fault(
                about,
                format!("other users may read or write {path}"),
                format!("run chmod {wanted} {path}"),
            );
        } else if metadata.uid() != owner {
            strange.push(path.to_string());
        }
    }
    if let Some(first) = strange.first() {
        findings.fault(
            about,
            format!(
                "{} files belong to another user than the database does, {first} for one",
                strange.len()
            ),
            format!("run chown -R {owner} {shown}, and every command as that user"),
        );
    }
    let user = rustix::process::geteuid().as_raw();
    match user == owner {
        true => findings.ok(about, format!("{shown}, of user {owner}")),
        false => findings.warn(
            about,
            format!("{shown} belongs to user {owner}, and this command runs as user {user}"),
            "run commands as the user of the server, or they leave files that it cannot read",
        ),
    }
    true
}

/// Looks at the host key.
pub(super) fn host_key(config: &Config, findings: &mut Findings) {
    let about = "host key";
    let data = config.data_dir();
    if data.join("host.key.next").exists() {
        findings.fault(
            about,
            "a rotation of the host key was not finished",
            "run `sealdav host-key rotate` again",
        );
    }
    let source = match host_key::source(config) {
        Ok(source) => source,
        Err(failure) => {
            return findings.fault(about, failure.0, "name it once");
        }
    };
    match &source {
        Source::Credential(_) => findings.ok(about, format!("is {source}")),
        Source::Environment => findings.warn(
            about,
            format!("is {source}"),
            "other processes of this user can read it there; a file or a systemd credential is better",
        ),
        Source::File(file) => host_key_file(file, &data, findings),
    }
}

fn host_key_file(file: &Path, data: &Path, findings: &mut Findings) {
    let (about, shown) = ("host key", file.display());
    // systemd gives it to the service alone, and no command sees where it is.
    let Ok(metadata) = file.metadata() else {
        return findings.warn(
            about,
            format!("{shown} is not there or may not be read"),
            "this is as it should be if the service has it as a systemd credential; otherwise nothing opens without it: put it back from its backup",
        );
    };
    if metadata.mode() & 0o077 != 0 {
        return findings.fault(
            about,
            format!("other users may read {shown}"),
            format!("run chmod 600 {shown}"),
        );
    }
    let same_disk = data
        .metadata()
        .is_ok_and(|data| data.dev() == metadata.dev());
    if file.starts_with(data) {
        findings.warn(
            about,
            format!("{shown} lies with the data: whoever copies the directory has both"),
            "move it to another disk, or make it a systemd credential (docs/KEYS.md), and back it up apart from the data",
        );
    } else if same_disk {
        findings.ok(about, format!("{shown}, on the same disk as the data"));
    } else {
        findings.ok(about, format!("{shown}, on another disk than the data"));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Level;
    use super::*;

    #[test]
    fn what_others_may_read_is_a_fault() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let config = Config {
            data: Some(data.clone()),
            ..Config::default()
        };
        let looked = || {
            let mut findings = Findings::default();
            let there = super::data(&config, &mut findings);
            if there {
                host_key(&config, &mut findings);
            }
            (there, findings)
        };
        let (there, findings) = looked();
        assert!(!there && findings.worst() == Level::Fault);
        let mode = |name: &str, mode| {
            let path = data.join(name);
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        for name in ["db", "keys"] {
            std::fs::create_dir_all(data.join(name)).unwrap();
            mode(name, 0o700);
        }
        mode("", 0o700);
        std::fs::write(data.join("host.key"), "x").unwrap();
        std::fs::write(data.join("keys/1.keys"), "x").unwrap();
        mode("host.key", 0o600);
        mode("keys/1.keys", 0o600);
        let (there, findings) = looked();
        // No more than that the key lies with the data.
        assert!(there && findings.worst() == Level::Warning, "{findings:?}");
        mode("keys/1.keys", 0o640);
        mode("host.key", 0o604);
        let (_, findings) = looked();
        let faults = findings.0.iter().filter(|line| line.level == Level::Fault);
        let advice: Vec<_> = faults.filter_map(|line| line.advice.as_deref()).collect();
        assert_eq!(advice.len(), 2, "{findings:?}");
        assert!(
            advice
                .iter()
                .all(|advice| advice.starts_with("run chmod 600 "))
        );
    }
}
