//! The administration commands: what is read from standard input, what is asked, what is printed.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::admin::{AdminRequest, AdminResponse, AppPasswordLine, Office, Opener, Passed, execute};
use super::open::{self, Absent, Unopened};
use super::{AppPasswordTask, Failure, UserTask, socket};
use crate::ambient::Ambient;
use crate::config::Config;
use crate::ids::Secret;
use crate::limits;

/// `sealdav user ..`
pub(super) fn user(config: &Config, task: UserTask, output: &mut dyn Write) -> Result<(), Failure> {
    let absent = if matches!(task, UserTask::Add { .. }) {
        Absent::Make
    } else {
        Absent::Refuse
    };
    let mut said = "Done.";
    let request = match task {
        UserTask::List => AdminRequest::Users,
        UserTask::Add {
            name,
            email,
            password_stdin: _,
            allow_weak,
            admin,
        } => {
            let password = secret_line("the password")?;
            AdminRequest::AddUser {
                name,
                email,
                password,
                allow_weak,
                admin,
            }
        }
        UserTask::Disable { name } => AdminRequest::SetEnabled {
            name,
            enabled: false,
        },
        UserTask::Enable { name } => AdminRequest::SetEnabled {
            name,
            enabled: true,
        },
        UserTask::Delete {
            name,
            yes,
            certificate,
            with_name,
        } => {
            if !yes && std::io::stdin().is_terminal() {
                confirm(
                    &name,
                    "This destroys the account's keys: everything in it is lost for ever.",
                )?;
            }
            let named = with_name;
            let request = AdminRequest::DeleteUser { name, named };
            let answer = administer(config, request, absent)?;
            return tell_erased(answer, certificate.as_deref(), output);
        }
        UserTask::Recover { name, allow_weak } => {
            return recover(config, name, allow_weak, output);
        }
        UserTask::Rotate {
            name,
            password_stdin: _,
        } => return rotate(config, name, output),
        UserTask::RecoveryKey {
            name,
            password_stdin: _,
        } => AdminRequest::NewRecoveryKey {
            name,
            password: secret_line("the account's password")?,
        },
        UserTask::Password { .. } => {
            said = "The password is changed.";
            password_request(task)?
        }
    };
    let fresh = absent == Absent::Make && !open::exists(config);
    let answer = administer(config, request, absent);
    // Whoever stands in the wrong directory learns it now, also when the account was refused.
    if fresh && open::exists(config) {
        let data = config.data_dir();
        let data = data.canonicalize().unwrap_or(data);
        writeln!(output, "A new data directory was made: {}", data.display())?;
    }
    tell_user(answer?, said, output)
}

/// The certificate goes to the file, if one is named, and to the output; the account is gone
/// whatever becomes of it.
fn tell_erased(
    response: AdminResponse,
    file: Option<&Path>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let AdminResponse::Erased { certificate, doubt } = response else {
        return Ok(writeln!(output, "Done.")?);
    };
    if let Some(doubt) = doubt {
        return Err(Failure(doubt));
    }
    let certificate = certificate.unwrap_or_default();
    write!(output, "The account is erased.\n{certificate}")?;
    if let Some(file) = file {
        std::fs::write(file, &certificate).map_err(|error| {
            Failure(format!(
                "the account is erased, and its certificate, which stands above, could not be written to {}: {error}",
                file.display()
            ))
        })?;
    }
    Ok(())
}

fn tell_user(response: AdminResponse, said: &str, output: &mut dyn Write) -> Result<(), Failure> {
    match response {
        AdminResponse::Users { users } => {
            for user in users {
                let state = if user.enabled { "enabled" } else { "disabled" };
                let role = if user.admin { "admin" } else { "user" };
                let (name, email, count) = (user.name, user.email, user.app_passwords);
                writeln!(
                    output,
                    "{name}\t{email}\t{state}\t{role}\t{count} app passwords"
                )?;
            }
        }
        AdminResponse::PasswordChanged { strength } => {
            writeln!(output, "{said}\nIt is {strength}.")?;
        }
        AdminResponse::RecoveryKey {
            recovery_key,
            strength,
        } => {
            if let Some(strength) = strength {
                writeln!(output, "The password is {strength}.")?;
            }
            writeln!(output, "Recovery key: {}", recovery_key.0.expose())?;
            writeln!(
                output,
                "It opens the account when the password is lost. It is shown only now: write it down and keep it safe."
            )?;
        }
        _ => writeln!(output, "{said}")?,
    }
    Ok(())
}

fn password_request(task: UserTask) -> Result<AdminRequest, Failure> {
    match task {
        UserTask::Password {
            name,
            password_stdin: _,
            recovery_key_stdin,
            abandon_data,
            yes,
            allow_weak,
        } => {
            let opener = if abandon_data {
                if !yes {
                    confirm(&name, "Everything in this account will be lost for ever.")?;
                }
                Opener::AbandonData
            } else if recovery_key_stdin {
                Opener::RecoveryKey(secret_line("the recovery key")?)
            } else {
                Opener::Password(secret_line("the old password")?)
            };
            Ok(AdminRequest::ChangePassword {
                name,
                opener,
                new: secret_line("the new password")?,
                allow_weak,
            })
        }
        _ => Err(Failure("this is no change of a password".to_owned())),
    }
}

/// `sealdav user recover`: tries the key, then sets the password that follows it, if one does.
fn recover(
    config: &Config,
    name: String,
    allow_weak: bool,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let recovery_key = secret_line("the recovery key")?;
    let request = AdminRequest::TryRecoveryKey {
        name: name.clone(),
        recovery_key: recovery_key.clone(),
    };
    if let AdminResponse::Recovered {
        calendars,
        objects,
        damaged,
    } = administer(config, request, Absent::Refuse)?
    {
        writeln!(
            output,
            "The recovery key opens the account: {calendars} calendars, {objects} objects."
        )?;
        if damaged > 0 {
            writeln!(output, "{damaged} objects are damaged.")?;
        }
    }
    let Some(new) = optional_secret_line("a new password, or nothing to keep the old one")? else {
        return Ok(writeln!(output, "The password is as it was.")?);
    };
    let request = AdminRequest::ChangePassword {
        name,
        opener: Opener::RecoveryKey(recovery_key),
        new,
        allow_weak,
    };
    let answer = administer(config, request, Absent::Refuse)?;
    tell_user(answer, "The password is changed.", output)
}

/// `sealdav app-password ..`
pub(super) fn app_password(
    config: &Config,
    task: AppPasswordTask,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let (request, as_json) = app_password_request(task)?;
    match administer(config, request, Absent::Refuse)? {
        AdminResponse::AppPassword {
            user,
            password,
            url,
            read_only,
            expires,
        } if as_json => {
            let object = serde_json::json!({
                "user": user, "password": password, "url": url, "read_only": read_only, "expires": expires
            });
            writeln!(output, "{object}")?;
        }
        AdminResponse::AppPassword {
            user,
            password,
            url,
            read_only,
            expires,
        } => {
            let secret = password.0.expose();
            writeln!(
                output,
                "Server:       {url}\nUser:         {user}\nApp password: {secret}\n\
                 It is shown only now: enter it in the calendar app of one device."
            )?;
            if read_only {
                writeln!(output, "The device may read, and change nothing.")?;
            }
            if let Some(end) = expires {
                writeln!(output, "It ends on {}.", date(end))?;
            }
        }
        AdminResponse::AppPasswords { app_passwords } if as_json => {
            writeln!(output, "{}", serde_json::to_string(&app_passwords)?)?;
        }
        AdminResponse::AppPasswords { app_passwords } => {
            for line in app_passwords {
                writeln!(output, "{}", app_password_line(&line))?;
            }
        }
        _ => writeln!(output, "Done.")?,
    }
    Ok(())
}

/// What is asked, and whether the answer is told as JSON.
fn app_password_request(task: AppPasswordTask) -> Result<(AdminRequest, bool), Failure> {
    Ok(match task {
        AppPasswordTask::List { name, json } => (AdminRequest::AppPasswords { name }, json),
        AppPasswordTask::Revoke {
            name,
            slot_or_label,
        } => {
            let request = AdminRequest::RevokeAppPassword {
                name,
                slot_or_label,
            };
            (request, false)
        }
        AppPasswordTask::Add {
            name,
            label,
            password_stdin: _,
            recovery_key_stdin,
            read_only,
            expires,
            calendar,
            json,
        } => {
            let opener = match recovery_key_stdin {
                true => Opener::RecoveryKey(secret_line("the recovery key")?),
                false => Opener::Password(secret_line("the account's password")?),
            };
            let request = AdminRequest::AddAppPassword {
                name,
                label,
                read_only,
                expires,
                calendars: calendar,
                opener,
            };
            (request, json)
        }
    })
}

fn app_password_line(line: &AppPasswordLine) -> String {
    let access = match line.read_only {
        true => "read only",
        false => "read and write",
    };
    let reach = match line.calendars {
        None => "everything".to_owned(),
        Some(1) => "1 calendar".to_owned(),
        Some(count) => format!("{count} calendars"),
    };
    let end = match line.expires {
        None => "no end".to_owned(),
        Some(end) if line.expired => format!("ended {}", date(end)),
        Some(end) => format!("ends {}", date(end)),
    };
    let used = match line.last_used {
        Some(used) => format!("last used {}", date(used)),
        None => "not used".to_owned(),
    };
    let (slot, created, label) = (&line.slot, date(line.created), &line.label);
    format!("{slot}\t{created}\t{used}\t{access}\t{reach}\t{end}\t{label}")
}

/// A moment in milliseconds since 1970, for people.
pub(super) fn date(millis: i64) -> String {
    // Later than a date can be written is the latest that can.
    let latest = Duration::from_secs(253_402_300_799);
    let since = Duration::from_millis(u64::try_from(millis).unwrap_or(0)).min(latest);
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since)
}

/// `sealdav health`
pub(super) fn health(config: &Config, output: &mut dyn Write) -> Result<(), Failure> {
    let data = config.data_dir();
    match socket::ask(&data, &AdminRequest::Health)? {
        None => Err(Failure(format!(
            "no server runs on {}; start it with `sealdav serve`",
            data.display()
        ))),
        Some(AdminResponse::Refused { sentence }) => Err(Failure(sentence)),
        Some(AdminResponse::Doubts { sentences }) => {
            writeln!(output, "ok")?;
            for sentence in sentences {
                writeln!(output, "{sentence}")?;
            }
            Ok(())
        }
        Some(_) => Ok(writeln!(output, "ok")?),
    }
}

/// `sealdav lock`
pub(super) fn lock(
    config: &Config,
    name: Option<String>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let data = config.data_dir();
    match socket::ask(&data, &AdminRequest::Lock { name })? {
        // Keys are in the memory of a server, and nowhere else.
        None => writeln!(
            output,
            "No server runs on {}: nothing is unlocked.",
            data.display()
        )?,
        Some(AdminResponse::Refused { sentence }) => return Err(Failure(sentence)),
        Some(AdminResponse::Locked { accounts }) => writeln!(output, "Locked: {accounts}.")?,
        Some(_) => writeln!(output, "Done.")?,
    }
    Ok(())
}

/// Asks the running server, or does it here.
pub(super) fn administer(
    config: &Config,
    request: AdminRequest,
    absent: Absent,
) -> Result<AdminResponse, Failure> {
    Administration::begin(config, absent).and_then(|mut on| on.ask(&request))
}

/// The running server, or the data itself: whoever asks more than once asks the same.
pub(super) struct Administration {
    pub data: PathBuf,
    /// None when a server runs.
    pub office: Option<Office>,
}

impl Administration {
    pub fn begin(config: &Config, absent: Absent) -> Result<Self, Failure> {
        let data = config.data_dir();
        let until = Instant::now() + Duration::from_secs(limits::ADMIN_START_SECONDS);
        loop {
            if socket::answers(&data)? {
                return Ok(Administration { data, office: None });
            }
            match open::accounts(config, &Arc::new(Ambient::system()), absent) {
                Ok(accounts) => {
                    let (url, health) =
                        (format!("{}/", config.base_url()), open::health(&accounts));
                    let office = Some(Office {
                        backups: open::backups(config, &accounts),
                        accounts,
                        url,
                        dav: super::serve::dav(config, &Arc::new(Ambient::system())),
                        health,
                    });
                    return Ok(Administration { data, office });
                }
                // A server that is starting has the store before it has its socket.
                Err(Unopened::InUse(_)) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(unopened) => return Err(unopened.into()),
            }
        }
    }

    fn ask(&mut self, request: &AdminRequest) -> Result<AdminResponse, Failure> {
        let answer = match &self.office {
            Some(office) => {
                let answer = execute(office, request.clone());
                office.accounts.settle();
                answer
            }
            None => socket::ask(&self.data, request)?
                .ok_or_else(|| Failure("the server stopped meanwhile".to_owned()))?,
        };
        match answer {
            AdminResponse::Refused { sentence } => Err(Failure(sentence)),
            answer => Ok(answer),
        }
    }
}

/// `sealdav user rotate`
fn rotate(config: &Config, name: String, output: &mut dyn Write) -> Result<(), Failure> {
    let password = secret_line("the account's password")?;
    let mut on = Administration::begin(config, Absent::Refuse)?;
    let request = AdminRequest::Rotate {
        name: name.clone(),
        password,
    };
    on.ask(&request)?;
    writeln!(
        output,
        "The account has a new key. What the old one sealed is being sealed anew; this may be interrupted."
    )?;
    let shown = std::io::stderr().is_terminal();
    loop {
        let request = AdminRequest::Reseal { name: name.clone() };
        let AdminResponse::Resealed {
            done,
            left,
            kept,
            finished,
        } = on.ask(&request)?
        else {
            return Err(Failure("the server gave another answer".to_owned()));
        };
        if shown {
            write!(std::io::stderr(), "\r{done} objects done, {left} left ")?;
        }
        if finished {
            if shown {
                writeln!(std::io::stderr())?;
            }
            writeln!(output, "Done: {done} objects.")?;
            if kept > 0 {
                writeln!(
                    output,
                    "{kept} collections keep an old key, because rows in them are damaged."
                )?;
            }
            writeln!(
                output,
                "Key backups of before open nothing that is written from now on: make a new one."
            )?;
            return Ok(());
        }
    }
}

pub(super) fn confirm(name: &str, warning: &str) -> Result<(), Failure> {
    let mut input = std::io::stdin().lock();
    if !std::io::stdin().is_terminal() {
        return Err(Failure(
            "this loses data for ever; add --yes if that is what you want".to_owned(),
        ));
    }
    write!(
        std::io::stderr(),
        "{warning}\nType the name of the account to go on: "
    )?;
    let mut typed = String::new();
    input.read_line(&mut typed)?;
    match typed.trim() == name {
        true => Ok(()),
        false => Err(Failure("nothing was changed".to_owned())),
    }
}

/// The next line of standard input.
pub(super) fn secret_line(what: &str) -> Result<Passed, Failure> {
    optional_secret_line(what)?.ok_or_else(|| {
        Failure(format!(
            "{what} is missing: give it as a line on standard input"
        ))
    })
}

/// The next line of standard input; none when it is empty, or there is none.
fn optional_secret_line(what: &str) -> Result<Option<Passed>, Failure> {
    let mut input = std::io::stdin().lock();
    if std::io::stdin().is_terminal() {
        write!(std::io::stderr(), "Type {what} (it is visible): ")?;
    }
    read_optional_secret(&mut input, what)
}

/// The next line of `input`, without its end.
fn read_optional_secret(input: &mut dyn BufRead, what: &str) -> Result<Option<Passed>, Failure> {
    let mut line = zeroize::Zeroizing::new(String::new());
    let read = input.read_line(&mut line);
    read.map_err(|error| {
        Failure(format!(
            "{what} cannot be read from standard input: {error}"
        ))
    })?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > limits::PASSWORD_BYTES {
        return Err(Failure(format!(
            "{what} is longer than {} bytes",
            limits::PASSWORD_BYTES
        )));
    }
    Ok(Some(Passed(Secret::new(text.to_owned()))))
}
