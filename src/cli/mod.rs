//! The command line. Administration works with and without a running server: a command first
//! asks the server over its local socket, since the store has one owner, and otherwise takes the
//! store itself. Both ways end in `admin::execute`.
//!
//! Secrets come in on standard input, never as arguments (which every user of the machine can
//! see), and go out to standard output only where they are what the command was called for.

mod admin;
mod audit;
mod backup;
mod commands;
mod dns;
mod doctor;
mod first_run;
mod host_key;
mod notify;
mod open;
mod port;
mod serve;
mod socket;
mod trash;
mod verify;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, FILE_VARIABLE, PREFIX, SYSTEM_FILE};

/// A CalDAV server that stores every calendar object sealed with its owner's keys.
#[derive(Debug, Parser)]
#[command(
    name = "sealdav",
    version = version(),
    after_help = "Start with `sealdav serve`: on a terminal it makes a first account and prints what to enter in \
                  your calendar app. Settings are explained in config/sealdav.toml; each can also be given as an \
                  environment variable, such as SEALDAV_DATA or SEALDAV_TLS_CERT."
)]
struct Command {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Args)]
struct Common {
    /// Configuration file [default: $SEALDAV_CONFIG, else /etc/sealdav/sealdav.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory [default: /var/lib/sealdav for a service, else ./sealdav-data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run the server until it is told to stop (SIGTERM, Ctrl-C); SIGHUP reads the certificate again
    Serve(ServeFlags),
    /// Make, list, disable and delete accounts, and set their passwords
    #[command(subcommand)]
    User(UserTask),
    /// Make, list and revoke app passwords: one for each device, to be entered in its calendar app
    #[command(subcommand)]
    AppPassword(AppPasswordTask),
    /// Show, export or replace the host key, which seals what the server itself must know
    #[command(subcommand)]
    HostKey(HostKeyTask),
    /// Show, verify and export the audit trail: who used what and when
    #[command(subcommand)]
    Audit(AuditTask),
    /// List, restore and purge what was deleted
    #[command(subcommand)]
    Trash(TrashTask),
    /// List, show and restore past versions of an object
    #[command(subcommand)]
    History(HistoryTask),
    /// Undo all that one device changed since a time; without --yes it only tells what it would do
    Undo(UndoFlags),
    /// List the devices of an account
    #[command(subcommand)]
    Device(DeviceTask),
    /// Write all calendars of an account to a zip archive: each object as a file, byte for byte
    Export(port::ExportFlags),
    /// Read .ics files, folders of them, vdirs, Radicale's storage or our own archives into an
    /// account; ends with status 1 if anything was refused
    Import(port::ImportFlags),
    /// Back up all rows of the running server now, or see what there is; docs/BACKUP.md says more
    Backup(backup::BackupFlags),
    /// Make a new data directory of a backup, put one account back, or try whether that would work
    Restore(backup::RestoreFlags),
    /// Copy the database into a new file without the space of what was deleted; the server must be
    /// stopped
    Compact,
    /// Drop the keys of an account from the server's memory now: requests under way finish, the
    /// next one of each device opens the account again
    #[command(group(clap::ArgGroup::new("whom").required(true)))]
    Lock {
        /// The account
        #[arg(group = "whom")]
        name: Option<String>,
        /// All accounts
        #[arg(long, group = "whom")]
        all: bool,
    },
    /// Check that everything stored is as it was written; ends with status 1 if something is wrong,
    /// 2 if it could not be checked
    Verify(verify::Flags),
    /// Ask the running server whether it works; ends with status 1 if not
    Health,
    /// Look after everything that can be wrong with this server, and say what to do about it; ends
    /// with status 1 after warnings, 2 after faults
    Doctor {
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print the DNS records by which calendar apps find the server (RFC 6764)
    Dns(dns::Flags),
}

#[derive(Debug, Args)]
struct ServeFlags {
    /// Address and port to listen on; may be given several times [default: 0.0.0.0:8443]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// Speak HTTP without TLS: on loopback addresses, or behind a reverse proxy (trusted_proxies)
    #[arg(long)]
    plain_http: bool,
    /// Make and print the first account's secrets even when the output is no terminal
    #[arg(long)]
    print_credentials: bool,
}

#[derive(Debug, Subcommand)]
enum UserTask {
    /// Make an account; prints its recovery key, once
    Add {
        /// 1 to 64 of a-z, 0-9, '.', '_' and '-'
        name: String,
        /// Its calendar address, for invitations
        #[arg(long, value_name = "ADDRESS")]
        email: String,
        /// Read the password from standard input (one line)
        #[arg(long, required = true)]
        password_stdin: bool,
        /// Take a password that is easy to guess
        #[arg(long)]
        allow_weak: bool,
        /// The account may administer (which opens nobody's calendars)
        #[arg(long)]
        admin: bool,
    },
    /// List all accounts
    List,
    /// Keep somebody out, at once, on open connections too; nothing is deleted
    Disable {
        /// The account
        name: String,
    },
    /// Let somebody in again
    Enable {
        /// The account
        name: String,
    },
    /// Delete an account and destroy its keys: its data can never be opened again
    Delete {
        /// The account
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Write the signed certificate of erasure to this file too
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
        /// The certificate tells the account's name, not its random id alone
        #[arg(long)]
        with_name: bool,
    },
    /// Set a new password
    ///
    /// Standard input has two lines: first what opens the account (the old password, or with
    /// --recovery-key-stdin its recovery key), then the new password. With --abandon-data it has
    /// only the new password.
    Password {
        /// The account
        name: String,
        /// The first line is the old password
        #[arg(long, required_unless_present_any = ["recovery_key_stdin", "abandon_data"])]
        password_stdin: bool,
        /// The first line is the recovery key
        #[arg(long)]
        recovery_key_stdin: bool,
        /// Start over with an empty account: nobody knows the password or the recovery key, so
        /// everything in the account is lost
        #[arg(long, conflicts_with = "recovery_key_stdin")]
        abandon_data: bool,
        /// Do not ask before abandoning data
        #[arg(long)]
        yes: bool,
        /// Take a password that is easy to guess
        #[arg(long)]
        allow_weak: bool,
    },
    /// Try the recovery key, and set a new password by it if you like
    ///
    /// Standard input has one or two lines: the recovery key, and a new password. With the first
    /// alone nothing changes: it tells whether the key opens the account, and what is in it.
    Recover {
        /// The account
        name: String,
        /// Take a password that is easy to guess
        #[arg(long)]
        allow_weak: bool,
    },
    /// Give an account a new key, and seal everything in it anew
    ///
    /// For when the old key may be known to somebody. Password, app passwords and recovery key go on
    /// working, so revoke those that are not trusted first. The account can be used meanwhile; if
    /// this is interrupted the server goes on when the account is opened the next time.
    Rotate {
        /// The account
        name: String,
        /// Read the account's password from standard input (one line)
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Make a new recovery key and print it, once; the old one ends
    RecoveryKey {
        /// The account
        name: String,
        /// Read the account's password from standard input (one line)
        #[arg(long, required = true)]
        password_stdin: bool,
    },
}

#[derive(Debug, Subcommand)]
enum AppPasswordTask {
    /// Make an app password and print it, once; needs the account's password or recovery key
    Add {
        /// The account
        name: String,
        /// What it is for, such as "Anna's phone"
        #[arg(long, value_name = "TEXT")]
        label: String,
        /// Read the account's password from standard input (one line)
        #[arg(long, required_unless_present = "recovery_key_stdin")]
        password_stdin: bool,
        /// Read its recovery key instead
        #[arg(long, conflicts_with = "password_stdin")]
        recovery_key_stdin: bool,
        /// The device may read, and change nothing
        #[arg(long)]
        read_only: bool,
        /// It ends by itself: after 90d, 12h or 30m, or after a day (UTC) such as 2027-01-31
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        /// The device gets this calendar only, by its name in the URL, such as work; may be given
        /// several times. It gets no keys of others [default: the whole account]
        #[arg(long, value_name = "CALENDAR")]
        calendar: Vec<String>,
        /// Print a JSON object: user, password, url, read_only, expires
        #[arg(long)]
        json: bool,
    },
    /// List an account's app passwords (not their secrets)
    List {
        /// The account
        name: String,
        /// Print a JSON array; times in milliseconds since 1970
        #[arg(long)]
        json: bool,
    },
    /// Revoke an app password; its device is out at once
    Revoke {
        /// The account
        name: String,
        /// The app password's slot or label, as `list` prints them
        #[arg(value_name = "SLOT_OR_LABEL")]
        slot_or_label: String,
    },
}

#[derive(Debug, Subcommand)]
enum HostKeyTask {
    /// Tell where the host key is, and its fingerprint
    Show,
    /// Print the host key itself, for a backup apart from the data
    Export,
    /// Make a new host key and seal everything under it; the server must be stopped
    ///
    /// Can be interrupted: run it again and it goes on. Nobody's passwords change.
    Rotate {
        /// Write the new key to this file [default: where the old one is]
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum AuditTask {
    /// Print an account's audit trail (its user's password or recovery key is needed), or with
    /// --administration that of administration: time, what, how often, where, device
    Show {
        /// The account
        #[arg(required_unless_present = "administration")]
        name: Option<String>,
        /// What was done to accounts and their keys, instead of what an account did
        #[arg(long, conflicts_with_all = ["name", "password_stdin", "recovery_key_stdin"])]
        administration: bool,
        /// Read the account's password from standard input (one line)
        #[arg(long, required_unless_present_any = ["recovery_key_stdin", "administration"])]
        password_stdin: bool,
        /// Read its recovery key instead
        #[arg(long, conflicts_with = "password_stdin")]
        recovery_key_stdin: bool,
        /// How many days to go back
        #[arg(long, default_value_t = 30)]
        days: u32,
        /// Print a JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Check with the host key that every page is as it was written; ends with status 1 if not
    Verify {
        /// Check this certificate of erasure instead
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
    },
    /// Print all pages as JSON lines, then the heads of all chains with the server's signature
    Export,
}

#[derive(Debug, Subcommand)]
enum DeviceTask {
    /// List an account's devices: when they were used, and by which apps
    List {
        /// The account
        name: String,
        /// Print a JSON object a line
        #[arg(long)]
        json: bool,
    },
}

/// What opens an account for a command.
#[derive(Debug, Args)]
struct Secrets {
    /// Read the account's password from standard input (one line)
    #[arg(long, required_unless_present = "recovery_key_stdin")]
    password_stdin: bool,
    /// Read its recovery key instead
    #[arg(long, conflicts_with = "password_stdin")]
    recovery_key_stdin: bool,
}

#[derive(Debug, Subcommand)]
enum TrashTask {
    /// List deleted objects and collections with their ids, the newest first
    List {
        /// The account
        name: String,
        /// Objects that were moved into another collection too
        #[arg(long)]
        moved: bool,
        #[command(flatten)]
        secrets: Secrets,
        /// Print a JSON object a line; times in milliseconds since 1970
        #[arg(long)]
        json: bool,
    },
    /// Restore a deleted object or collection, under the name that it had
    Restore {
        /// The account
        name: String,
        /// Its id, as `list` prints it
        #[arg(value_name = "ID")]
        item: String,
        /// Restore it under this name
        #[arg(long = "as", value_name = "NAME")]
        new_name: Option<String>,
        #[command(flatten)]
        secrets: Secrets,
    },
    /// Erase deleted objects and collections now; nobody can restore them after that
    Purge {
        /// The account
        name: String,
        /// Their ids, as `list` prints them; the path of an object, to erase its past versions
        #[arg(value_name = "ID", required_unless_present = "all")]
        items: Vec<String>,
        /// All of them, and the past versions of all objects
        #[arg(long, conflicts_with = "items")]
        all: bool,
        #[command(flatten)]
        secrets: Secrets,
    },
}

#[derive(Debug, Subcommand)]
enum HistoryTask {
    /// List the past versions of an object, the newest first
    List {
        /// The account
        name: String,
        /// Its path, such as calendar/lunch.ics; the id of a deleted one
        object: String,
        #[command(flatten)]
        secrets: Secrets,
        /// Print a JSON object a line; times in milliseconds since 1970
        #[arg(long)]
        json: bool,
    },
    /// Write the bytes of a past version to standard output
    Show {
        /// The account
        name: String,
        /// Its path, such as calendar/lunch.ics; the id of a deleted one
        object: String,
        /// Its number, as `list` prints it
        #[arg(long, value_name = "NUMBER")]
        version: u64,
        /// Write to this file, which must not exist
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        secrets: Secrets,
    },
    /// Give an object the bytes of a past version again; what it has now becomes a past version
    Restore {
        /// The account
        name: String,
        /// Its path, such as calendar/lunch.ics; the id of a deleted one
        object: String,
        /// The version's number, as `list` prints it
        #[arg(long, value_name = "NUMBER")]
        version: u64,
        /// Restore it under this name
        #[arg(long = "as", value_name = "NAME")]
        new_name: Option<String>,
        #[command(flatten)]
        secrets: Secrets,
    },
}

#[derive(Debug, Args)]
struct UndoFlags {
    /// The account
    name: String,
    /// The device's slot or label, as `device list` prints them
    #[arg(long, value_name = "SLOT_OR_LABEL")]
    device: String,
    /// Since when: 3d, 12h or 30m ago, or the beginning of a day (UTC) such as 2026-12-24
    #[arg(long, value_name = "WHEN")]
    since: String,
    /// Do it
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    secrets: Secrets,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// The program's version and that of its time zones, which decide when things are.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let zones = crate::ical::zone::tzdb_version();
        format!("{} (time zones {zones})", env!("CARGO_PKG_VERSION"))
    });
    &VERSION
}

/// A sentence for the person at the terminal: what went wrong, and what to do.
#[derive(Debug)]
struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(error.to_string())
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let command = Command::parse();
    let config = match settings(&command.common) {
        Ok(config) => config,
        // Of all commands this one is there to say what is wrong with the settings.
        Err(failure) if matches!(command.task, Task::Doctor { .. }) => {
            return doctor::without_settings(&failure);
        }
        Err(failure) => return failed(&failure),
    };
    // Whatever is made from here on is for this user only.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    hide_memory();
    let mut output = std::io::stdout().lock();
    let done = match command.task {
        Task::Serve(flags) => {
            drop(output);
            serve::run(config, flags)
        }
        Task::Doctor { json } => return doctor::run(&config, json, &mut output),
        Task::Dns(flags) => dns::print(&config, &flags, &mut output),
        Task::User(task) => commands::user(&config, task, &mut output),
        Task::AppPassword(task) => commands::app_password(&config, task, &mut output),
        Task::HostKey(task) => host_key::run(&config, task, &mut output),
        Task::Audit(task) => audit::audit(&config, task, &mut output),
        Task::Trash(task) => trash::trash(&config, task, &mut output),
        Task::History(task) => trash::history(&config, task, &mut output),
        Task::Undo(flags) => trash::undo(&config, flags, &mut output),
        Task::Device(task) => audit::device(&config, task, &mut output),
        Task::Export(flags) => port::export(&config, flags, &mut output),
        Task::Import(flags) => port::import(&config, flags, &mut output),
        Task::Backup(flags) => backup::backup(&config, flags, &mut output),
        Task::Restore(flags) => backup::restore(&config, flags, &mut output),
        Task::Compact => backup::compact(&config, &mut output),
        Task::Lock { name, all: _ } => commands::lock(&config, name, &mut output),
        Task::Verify(flags) => return verify::run(&config, &flags, &mut output),
        Task::Health => commands::health(&config, &mut output),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

/// Keys are in this process's memory: no core dump holds them, no process of another user reads
/// them, and where the system lets as much be locked as there is, none is written to swap.
fn hide_memory() {
    use rustix::mm::{MlockAllFlags, mlockall};
    use rustix::process::{
        DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
    };
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let hidden =
        setrlimit(Resource::Core, none).and(set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = hidden {
        tracing::warn!(%error, "this process could be dumped to a file");
    }
    if getrlimit(Resource::Memlock).current.is_none() {
        // Only what is used, or a thread's unused stack would count.
        let locked =
            mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
        if let Err(error) = locked {
            tracing::warn!(%error, "this process's memory may be swapped out");
        }
    }
}

fn failed(failure: &Failure) -> ExitCode {
    // Nobody is left to tell if this fails too.
    let _ = writeln!(std::io::stderr(), "sealdav: {}", failure.0);
    ExitCode::FAILURE
}

fn settings(common: &Common) -> Result<Config, Failure> {
    let named = common
        .config
        .clone()
        .or_else(|| std::env::var_os(FILE_VARIABLE).map(PathBuf::from));
    let system = Path::new(SYSTEM_FILE);
    let file = named.or_else(|| system.exists().then(|| system.to_owned()));
    let mut environment = Vec::new();
    for (name, value) in std::env::vars_os() {
        // A name that is not UTF-8 is none of ours.
        let Ok(name) = name.into_string() else {
            continue;
        };
        match value.into_string() {
            Ok(value) => environment.push((name, value)),
            // Ignored, it would open another data directory than was meant.
            Err(_) if name.starts_with(PREFIX) => {
                return Err(Failure(format!(
                    "the environment variable {name} is no UTF-8 text"
                )));
            }
            Err(_) => {}
        }
    }
    let mut config = Config::load(file.as_deref(), environment.into_iter())?;
    if let Some(data) = &common.data {
        config.data = Some(data.clone());
    }
    Ok(config)
}
