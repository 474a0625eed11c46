//! Settings, parsed once: from a TOML file, then the environment, then flags (the cli's affair).
//!
//! `config/sealdav.toml` documents every setting with its default. That file is also the table
//! from which the environment variables and their types are derived, so a setting that is not
//! documented there cannot be set by the environment, and a test compares it with
//! `Config::default()`. Values are parsed into their types while reading, so an error has a line.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use crate::limits;

mod backup;
mod net;
mod operation;

pub use backup::Backup;
pub use net::{Contact, Network, PublicUrl};
use net::{contact_or_empty, url_or_empty};
pub use operation::{Disk, Metrics, Sync, Trash};

/// The documented settings with their defaults.
pub const DOCUMENTED: &str = include_str!("../config/sealdav.toml");
/// The port that is listened on by default.
pub const DEFAULT_PORT: u16 = 8443;
/// Read when no other file is named and this one exists.
pub const SYSTEM_FILE: &str = "/etc/sealdav/sealdav.toml";
/// Names the file when no flag does.
pub const FILE_VARIABLE: &str = "SEALDAV_CONFIG";
/// Holds the host key itself, for where no file can.
pub const HOST_KEY_VARIABLE: &str = "SEALDAV_HOST_KEY";
/// Environment variables with this beginning are settings.
pub const PREFIX: &str = "SEALDAV_";

/// All settings. A path or URL that is empty in the file is `None` here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where everything is kept; `data_dir` gives the default.
    #[serde(deserialize_with = "path_or_empty")]
    pub data: Option<PathBuf>,
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// The address under which clients reach the server.
    #[serde(deserialize_with = "url_or_empty")]
    pub public_url: Option<PublicUrl>,
    /// Whom to tell of a vulnerability.
    #[serde(deserialize_with = "contact_or_empty")]
    pub security_contact: Option<Contact>,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Speak HTTP without TLS.
    pub plain_http: bool,
    /// The file with the host key.
    #[serde(deserialize_with = "path_or_empty")]
    pub host_key_file: Option<PathBuf>,
    /// Whether the account's password opens DAV.
    pub password_over_dav: bool,
    /// The certificate.
    pub tls: Tls,
    /// What is advertised to clients and enforced.
    pub limits: Limits,
    /// How long keys stay in memory.
    pub accounts: Accounts,
    /// The cost of a password guess.
    pub argon2: Argon2,
    /// What is remembered of who used what.
    pub audit: Audit,
    /// What deleted and overwritten things can be restored.
    pub trash: Trash,
    /// Backups by themselves.
    pub backup: Backup,
    /// What is remembered for clients that sync.
    pub sync: Sync,
    /// The room on the disk.
    pub disk: Disk,
    /// Figures for monitoring.
    pub metrics: Metrics,
    /// Who may sign in, and from where.
    pub sign_in: SignIn,
    /// Logging.
    pub log: Log,
}

/// The certificate's files; both or none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file of the certificate and its chain.
    #[serde(deserialize_with = "path_or_empty")]
    pub cert: Option<PathBuf>,
    /// PEM file of its key.
    #[serde(deserialize_with = "path_or_empty")]
    pub key: Option<PathBuf>,
}

/// Limits that an administrator may set; all others are constants.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the largest object.
    pub object_bytes: usize,
    /// Most ATTENDEEs of one instance.
    pub attendees: usize,
}

/// How long the keys of an account stay in memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accounts {
    /// Minutes after the last request.
    pub unlocked_idle_minutes: u32,
    /// Hours after the sign-in, however many requests there are.
    pub unlocked_hours: u32,
}

/// The cost of Argon2id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Argon2 {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
}

/// What is remembered of who used what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Days for which the audit trail is kept.
    pub days: u32,
    /// Days after which a device that was not used is forgotten.
    pub device_days: u32,
}

/// Who may sign in, and from where.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignIn {
    /// Networks from which clients may sign in; empty for all.
    pub networks: Vec<Network>,
    /// Domains of e-mail addresses whose accounts may be made and sign in; empty for all.
    pub email_domains: Vec<String>,
}

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is logged.
    pub level: LogLevel,
    /// How.
    pub format: LogFormat,
}

/// The least severe events that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            data: None,
            listen: vec![SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), DEFAULT_PORT)],
            public_url: None,
            security_contact: None,
            trusted_proxies: Vec::new(),
            plain_http: false,
            host_key_file: None,
            password_over_dav: false,
            tls: Tls::default(),
            limits: Limits::default(),
            accounts: Accounts::default(),
            argon2: Argon2::default(),
            audit: Audit::default(),
            trash: Trash::default(),
            backup: Backup::default(),
            sync: Sync::default(),
            disk: Disk::default(),
            metrics: Metrics::default(),
            sign_in: SignIn::default(),
            log: Log::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            object_bytes: limits::OBJECT_BYTES,
            attendees: limits::ATTENDEES,
        }
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Accounts {
            unlocked_idle_minutes: limits::UNLOCKED_IDLE_MINUTES,
            unlocked_hours: limits::UNLOCKED_HOURS,
        }
    }
}

impl Default for Argon2 {
    fn default() -> Self {
        Argon2 {
            memory_kib: limits::ARGON2_KIB,
            passes: limits::ARGON2_PASSES,
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Audit {
            days: limits::AUDIT_DAYS,
            device_days: limits::DEVICE_DAYS,
        }
    }
}

/// Why the settings cannot be used; `Display` is a sentence that names file and line, or variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// A line of the file is wrong.
    File {
        /// The file.
        file: PathBuf,
        /// Counted from 1; 0 when the parser named none.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// An environment variable is wrong.
    Variable {
        /// Its name.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// Settings contradict each other.
    Contradiction(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unreadable { file, kind } => {
                write!(
                    out,
                    "the configuration {} cannot be read: {kind}",
                    file.display()
                )
            }
            ConfigError::File {
                file,
                line,
                message,
            } => {
                write!(out, "{}, line {line}: {message}", file.display())
            }
            ConfigError::Variable { name, message } => {
                write!(out, "the environment variable {name} is wrong: {message}")
            }
            ConfigError::Contradiction(sentence) => out.write_str(sentence),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads `file` (or only defaults) and applies `environment` (name and value pairs).
    /// Call `check` after flags have been applied.
    ///
    /// # Errors
    /// The first wrong setting, with its file and line or its variable's name.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let text = match file {
            None => String::new(),
            Some(file) => {
                std::fs::read_to_string(file).map_err(|error| ConfigError::Unreadable {
                    file: file.to_owned(),
                    kind: error.kind(),
                })?
            }
        };
        let file = file.unwrap_or(Path::new("the defaults"));
        let named = |error: toml::de::Error| ConfigError::File {
            file: file.to_owned(),
            line: error.span().map_or(0, |span| line_of(&text, span.start)),
            message: error.message().to_owned(),
        };
        let config: Config = toml::from_str(&text).map_err(named)?;
        let table: toml::Table = toml::from_str(&text).map_err(named)?;
        override_by(config, table, environment)
    }

    /// Checks what only holds between settings, after flags have been applied.
    ///
    /// # Errors
    /// The contradiction, as a sentence.
    pub fn check(&self) -> Result<(), ConfigError> {
        let contradiction = |sentence| Err(ConfigError::Contradiction(sentence));
        if self.listen.is_empty() {
            return contradiction("nothing to listen on: give at least one address in `listen`");
        }
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            return contradiction("tls.cert and tls.key belong together: set both or neither");
        }
        let open = self
            .listen
            .iter()
            .any(|address| !address.ip().to_canonical().is_loopback());
        if self.plain_http && open && self.trusted_proxies.is_empty() {
            return contradiction(
                "plain HTTP would send passwords readable over the network: listen on 127.0.0.1, \
                 or set trusted_proxies to the address of your reverse proxy, or leave plain_http off",
            );
        }
        if let Some(sentence) = self.metrics.wrong() {
            return contradiction(sentence);
        }
        self.check_bounds()
    }

    /// Checks the values that have bounds, which commands without a server use too.
    ///
    /// # Errors
    /// The bound, as a sentence.
    pub fn check_bounds(&self) -> Result<(), ConfigError> {
        let contradiction = |sentence| Err(ConfigError::Contradiction(sentence));
        if self.limits.object_bytes == 0 || self.limits.object_bytes > limits::OBJECT_BYTES_MOST {
            return contradiction("limits.object_bytes must be between 1 and 67108864 (64 MiB)");
        }
        let Accounts {
            unlocked_idle_minutes,
            unlocked_hours,
        } = self.accounts;
        if !(1..=limits::UNLOCKED_IDLE_MINUTES_MOST).contains(&unlocked_idle_minutes)
            || !(1..=limits::UNLOCKED_HOURS_MOST).contains(&unlocked_hours)
        {
            return contradiction(
                "accounts.unlocked_idle_minutes must be between 1 and 1440, accounts.unlocked_hours between 1 and 168",
            );
        }
        let Argon2 { memory_kib, passes } = self.argon2;
        if !(limits::ARGON2_KIB_LEAST..=limits::ARGON2_KIB_MOST).contains(&memory_kib)
            || !(1..=limits::ARGON2_PASSES_MOST).contains(&passes)
        {
            return contradiction(
                "argon2.memory_kib must be between 19456 and 1048576, argon2.passes between 1 and 100",
            );
        }
        let Audit { days, device_days } = self.audit;
        if [days, device_days]
            .iter()
            .any(|days| !(1..=limits::AUDIT_DAYS_MOST).contains(days))
        {
            return contradiction("audit.days and audit.device_days must be between 1 and 36500");
        }
        let wrong = [self.trash.wrong(), self.sync.wrong(), self.disk.wrong()];
        if let Some(sentence) = wrong.into_iter().flatten().next() {
            return contradiction(sentence);
        }
        self.backup.check()
    }

    /// The data directory. systemd names the service's own in STATE_DIRECTORY.
    pub fn data_dir(&self) -> PathBuf {
        if let Some(data) = &self.data {
            return data.clone();
        }
        if let Some(state) = std::env::var_os("STATE_DIRECTORY") {
            return PathBuf::from(state);
        }
        match std::env::var_os("INVOCATION_ID").is_some()
            && std::env::var_os("JOURNAL_STREAM").is_some()
        {
            true => PathBuf::from("/var/lib/sealdav"),
            false => PathBuf::from("./sealdav-data"),
        }
    }

    /// The address that clients are told, without a slash at its end.
    pub fn base_url(&self) -> String {
        if let Some(url) = &self.public_url {
            return url.as_str().to_owned();
        }
        let first = self.listen.first().copied();
        let port = first.map_or(DEFAULT_PORT, |address| address.port());
        let host = match first.map(|address| address.ip()) {
            Some(ip) if ip.is_loopback() => "localhost".to_owned(),
            Some(IpAddr::V6(ip)) if !ip.is_unspecified() => format!("[{ip}]"),
            Some(IpAddr::V4(ip)) if !ip.is_unspecified() => ip.to_string(),
            _ => host_name().unwrap_or_else(|| "localhost".to_owned()),
        };
        match (self.plain_http, port) {
            (true, 80) => format!("http://{host}"),
            (true, port) => format!("http://{host}:{port}"),
            (false, 443) => format!("https://{host}"),
            (false, port) => format!("https://{host}:{port}"),
        }
    }
}

/// The machine's name, if it is one that a certificate can carry.
pub fn host_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .ok()?;
    let name = text.trim().to_ascii_lowercase();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let good = !name.is_empty() && name.len() <= limits::SEGMENT_BYTES && name.chars().all(allowed);
    good.then_some(name)
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
}

/// Applies the environment by writing its values into the file's table and reading that again,
/// so that both ways share one parser.
fn override_by(
    mut config: Config,
    mut table: toml::Table,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let documented = documented();
    for (name, text) in environment {
        let Some((section, key, like)) = setting_of(&documented, &name) else {
            continue;
        };
        let wrong = |message: String| ConfigError::Variable {
            name: name.clone(),
            message,
        };
        let value = value_like(like, &text).map_err(wrong)?;
        match section {
            None => {
                table.insert(key.to_owned(), value);
            }
            Some(section) => {
                let entry = table
                    .entry(section)
                    .or_insert_with(|| toml::Table::new().into());
                let entry = entry
                    .as_table_mut()
                    .expect("the file was read with this section as a table");
                entry.insert(key.to_owned(), value);
            }
        }
        config = table
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| wrong(error.message().to_owned()))?;
    }
    Ok(config)
}

/// The documented setting that an environment variable names, and its default.
fn setting_of<'a>(
    documented: &'a toml::Table,
    name: &str,
) -> Option<(Option<&'a str>, &'a str, &'a toml::Value)> {
    let wanted = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
    for (key, value) in documented {
        match value.as_table() {
            None if *key == wanted => return Some((None, key, value)),
            None => {}
            Some(section) => {
                let inner = wanted
                    .strip_prefix(key.as_str())
                    .and_then(|rest| rest.strip_prefix('_'));
                let found = inner.and_then(|inner| section.get_key_value(inner));
                if let Some((inner, value)) = found {
                    return Some((Some(key), inner, value));
                }
            }
        }
    }
    None
}

/// The names among `environment` that look like settings and are none: typing errors, most likely.
pub fn unknown_variables(environment: impl Iterator<Item = String>) -> Vec<String> {
    let documented = documented();
    let known = |name: &str| {
        [FILE_VARIABLE, HOST_KEY_VARIABLE].contains(&name)
            || setting_of(&documented, name).is_some()
    };
    environment
        .filter(|name| name.starts_with(PREFIX) && !known(name))
        .collect()
}

fn documented() -> toml::Table {
    toml::from_str(DOCUMENTED).expect("a test parses the documented settings")
}

/// Reads `text` as a value of the same type as `like`.
fn value_like(like: &toml::Value, text: &str) -> Result<toml::Value, String> {
    match like {
        toml::Value::Boolean(_) => match text {
            "true" | "1" | "yes" => Ok(true.into()),
            "false" | "0" | "no" | "" => Ok(false.into()),
            _ => Err(format!("{text:?} is neither true nor false")),
        },
        toml::Value::Integer(_) => {
            let number = text.trim().parse::<i64>();
            number
                .map(Into::into)
                .map_err(|_| format!("{text:?} is no whole number"))
        }
        toml::Value::Array(_) => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Ok(toml::Value::Array(
                items.map(|item| item.to_owned().into()).collect(),
            ))
        }
        _ => Ok(text.to_owned().into()),
    }
}

fn path_or_empty<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(from)?;
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let file =
            std::env::temp_dir().join(format!("sealdav-config-{}-{:p}", std::process::id(), text));
        std::fs::write(&file, text).unwrap();
        let pairs = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = Config::load(Some(&file), pairs);
        std::fs::remove_file(&file).unwrap();
        config.map_err(|error| {
            error
                .to_string()
                .replace(&file.display().to_string(), "FILE")
        })
    }

    #[test]
    fn documented_settings_are_the_defaults() {
        let read: Config = toml::from_str(DOCUMENTED).unwrap();
        assert_eq!(read, Config::default());
        assert_eq!(read.check(), Ok(()));
        // Every field is documented: a table with one documented setting missing is shorter, and
        // the fields are counted by what Debug prints.
        let table: toml::Table = toml::from_str(DOCUMENTED).unwrap();
        let documented: usize = table
            .values()
            .map(|value| value.as_table().map_or(1, |table| 1 + table.len()))
            .sum();
        let fields = format!(
            "{:#?}",
            Config {
                listen: Vec::new(),
                ..Config::default()
            }
        );
        assert_eq!(fields.matches(": ").count(), documented, "{fields}");
    }

    #[test]
    fn errors_name_the_line() {
        for (text, expected) in [
            (
                "\n\nlisten = [\"nowhere\"]\n",
                "FILE, line 3: invalid socket address syntax",
            ),
            (
                "data = \"x\"\n[tls]\ncerts = \"\"\n",
                "FILE, line 3: unknown field `certs`, expected `cert` or `key`",
            ),
            ("\n[limits]\nattendees = -1\n", "FILE, line 3: "),
            ("plain_http = 3\n", "FILE, line 1: "),
            (
                "\n\ntrusted_proxies = [\"10.0.0.0/8\", \"ten\"]\n",
                "FILE, line 3: \"ten\" is no network",
            ),
            (
                "public_url = \"https://a/b\"\n",
                "FILE, line 1: \"https://a/b\" is no public URL",
            ),
            ("a b\n", "FILE, line 1: "),
        ] {
            let error = load(text, &[]).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn environment_overrides_the_file() {
        let config = load(
            "listen = [\"127.0.0.1:1\"]\n[log]\nlevel = \"warn\"\n",
            &[
                ("SEALDAV_LISTEN", "127.0.0.1:2, [::1]:3"),
                ("SEALDAV_LOG_FORMAT", "json"),
                ("SEALDAV_PLAIN_HTTP", "true"),
                ("SEALDAV_LIMITS_ATTENDEES", "7"),
                ("SEALDAV_PUBLIC_URL", "https://Cal.example.org/"),
                ("SEALDAV_SOMETHING_ELSE", "x"),
            ],
        )
        .unwrap();
        assert_eq!(config.listen.len(), 2);
        assert_eq!(
            (config.log.level, config.log.format),
            (LogLevel::Warn, LogFormat::Json)
        );
        assert_eq!((config.plain_http, config.limits.attendees), (true, 7));
        assert_eq!(
            config.public_url.as_ref().map(PublicUrl::host),
            Some("cal.example.org")
        );
        let error = load("", &[("SEALDAV_LOG_LEVEL", "loud")]).unwrap_err();
        assert!(
            error.starts_with("the environment variable SEALDAV_LOG_LEVEL is wrong: "),
            "{error}"
        );
    }

    #[test]
    fn typing_errors_in_variables_are_noticed() {
        let names = [
            "SEALDAV_CONFIG",
            "SEALDAV_TLS_KEY",
            "SEALDAV_TSL_KEY",
            "HOME",
        ];
        let unknown = unknown_variables(names.into_iter().map(str::to_owned));
        assert_eq!(unknown, ["SEALDAV_TSL_KEY"]);
    }

    #[test]
    fn contradictions() {
        let plain = Config {
            plain_http: true,
            ..Config::default()
        };
        assert!(plain.check().is_err());
        let network = Network::try_from("10.0.0.1".to_owned()).unwrap();
        assert!(network.contains("::ffff:10.0.0.1".parse().unwrap()));
        assert_eq!(
            Config {
                trusted_proxies: vec![network],
                ..plain.clone()
            }
            .check(),
            Ok(())
        );
        assert_eq!(
            Config {
                listen: vec!["127.0.0.1:80".parse().unwrap()],
                ..plain
            }
            .check(),
            Ok(())
        );
        for (unlocked_idle_minutes, unlocked_hours) in [(0, 24), (1441, 24), (15, 0), (15, 169)] {
            let accounts = Accounts {
                unlocked_idle_minutes,
                unlocked_hours,
            };
            let config = Config {
                accounts,
                ..Config::default()
            };
            assert!(config.check().unwrap_err().to_string().contains("unlocked"));
        }
        let away = Metrics {
            listen: Some("192.0.2.1:9100".parse().unwrap()),
            token_file: None,
        };
        let few = Disk {
            warn_free_mb: 1,
            stop_free_mb: 2,
        };
        for config in [
            Config {
                metrics: away,
                ..Config::default()
            },
            Config {
                disk: few,
                ..Config::default()
            },
            Config {
                sync: Sync { keep_days: 29 },
                ..Config::default()
            },
        ] {
            assert!(config.check().is_err(), "{config:?}");
        }
        let half = Tls {
            cert: Some("x".into()),
            key: None,
        };
        assert!(
            Config {
                tls: half,
                ..Config::default()
            }
            .check()
            .is_err()
        );
    }
}
