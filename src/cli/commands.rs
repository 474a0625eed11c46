//! The administration commands: what is read from standard input, what is asked, what is printed.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admin::{AdminRequest, AdminResponse, Office, Opener, Passed, execute};
use super::audit::time;
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
        UserTask::Delete { name, yes } => {
            if !yes && std::io::stdin().is_terminal() {
                confirm(
                    &name,
                    "This destroys the account's keys: everything in it is lost for ever.",
                )?;
            }
            AdminRequest::DeleteUser { name }
        }
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
            said = "The password is changed.";
            AdminRequest::ChangePassword {
                name,
                opener,
                new: secret_line("the new password")?,
                allow_weak,
            }
        }
    };
    match administer(config, request, absent)? {
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
        AdminResponse::RecoveryKey { recovery_key } => {
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

/// `sealdav app-password ..`
pub(super) fn app_password(
    config: &Config,
    task: AppPasswordTask,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let mut as_json = false;
    let request = match task {
        AppPasswordTask::List { name } => AdminRequest::AppPasswords { name },
        AppPasswordTask::Revoke {
            name,
            slot_or_label,
        } => AdminRequest::RevokeAppPassword {
            name,
            slot_or_label,
        },
        AppPasswordTask::Add {
            name,
            label,
            password_stdin: _,
            recovery_key_stdin,
            json,
        } => {
            as_json = json;
            let opener = match recovery_key_stdin {
                true => Opener::RecoveryKey(secret_line("the recovery key")?),
                false => Opener::Password(secret_line("the account's password")?),
            };
            AdminRequest::AddAppPassword {
                name,
                label,
                opener,
            }
        }
    };
    match administer(config, request, Absent::Refuse)? {
        AdminResponse::AppPassword {
            user,
            password,
            url,
        } if as_json => {
            let object = serde_json::json!({ "user": user, "password": password, "url": url });
            writeln!(output, "{object}")?;
        }
        AdminResponse::AppPassword {
            user,
            password,
            url,
        } => {
            writeln!(
                output,
                "Server:       {url}\nUser:         {user}\nApp password: {}",
                password.0.expose()
            )?;
            writeln!(
                output,
                "It is shown only now: enter it in the calendar app of one device."
            )?;
        }
        AdminResponse::AppPasswords { app_passwords } => {
            for line in app_passwords {
                let created = time(line.created);
                let used = match line.last_used {
                    Some(used) => format!("last used {}", time(used)),
                    None => "not used".to_owned(),
                };
                writeln!(output, "{}\t{created}\t{used}\t{}", line.slot, line.label)?;
            }
        }
        _ => writeln!(output, "Done.")?,
    }
    Ok(())
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

/// Asks the running server, or does it here.
pub(super) fn administer(
    config: &Config,
    request: AdminRequest,
    absent: Absent,
) -> Result<AdminResponse, Failure> {
    let data = config.data_dir();
    let until = Instant::now() + Duration::from_secs(limits::ADMIN_START_SECONDS);
    let answer = loop {
        if let Some(answer) = socket::ask(&data, &request)? {
            break answer;
        }
        match open::accounts(config, &Arc::new(Ambient::system()), absent) {
            Ok(accounts) => {
                let (url, health) = (format!("{}/", config.base_url()), open::health(&accounts));
                let office = Office {
                    accounts,
                    url,
                    health,
                };
                let answer = execute(&office, request);
                office.accounts.settle();
                break answer;
            }
            // A server that is starting has the store before it has its socket.
            Err(Unopened::InUse(_)) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(unopened) => return Err(unopened.into()),
        }
    };
    match answer {
        AdminResponse::Refused { sentence } => Err(Failure(sentence)),
        answer => Ok(answer),
    }
}

fn confirm(name: &str, warning: &str) -> Result<(), Failure> {
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
    let mut input = std::io::stdin().lock();
    if std::io::stdin().is_terminal() {
        write!(std::io::stderr(), "Type {what} (it is visible): ")?;
    }
    read_secret(&mut input, what)
}

/// The next line of `input`, without its end.
pub(super) fn read_secret(input: &mut dyn BufRead, what: &str) -> Result<Passed, Failure> {
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
        return Err(Failure(format!(
            "{what} is missing: give it as a line on standard input"
        )));
    }
    if text.len() > limits::PASSWORD_BYTES {
        return Err(Failure(format!(
            "{what} is longer than {} bytes",
            limits::PASSWORD_BYTES
        )));
    }
    Ok(Passed(Secret::new(text.to_owned())))
}
