//! The first account, made without a question, and what to enter in the calendar apps.

use std::io::Write;
use std::path::Path;

use super::Failure;
use crate::account::{Accounts, Authority, NewAppPassword, NewUser};
use crate::ambient::Ambient;
use crate::config;
use crate::ids::{Email, Secret, UserName};

/// Letters that are not mistaken for each other; 32 of them, so five bits each.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What the first run tells.
pub(super) struct FirstRun<'a> {
    /// The address for calendar apps, with a slash at its end.
    pub url: &'a str,
    /// The certificate of the own authority, if that is in use.
    pub authority: Option<&'a Path>,
}

/// Makes the first account and prints its secrets.
pub(super) fn welcome(
    accounts: &Accounts,
    ambient: &Ambient,
    told: &FirstRun<'_>,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let refused = |error: crate::account::AdminError| {
        Failure(format!("the first account could not be made: {error}"))
    };
    let (name, email) = owner(std::env::var("USER").ok().as_deref());
    let password = generated(ambient);
    let new = NewUser {
        name: name.to_string(),
        email: email.as_str().to_owned(),
        password: password.clone(),
        allow_weak: false,
        admin: true,
    };
    let added = accounts.add_user(new).map_err(refused)?;
    let app = accounts.add_app_password(
        name.as_str(),
        NewAppPassword::labelled("first device"),
        Authority::Password(password.clone()),
    );
    let app = app.map_err(refused)?;
    write!(
        output,
        "\nA first account was made. These secrets are shown only now, so note them.\n\n  \
         Server        {}\n  User          {}\n  App password  {}\n                for the calendar app of one device; \
         make one for each (sealdav app-password add)\n  Password      {}\n                for the account itself, not \
         for calendar apps\n  Recovery key  {}\n                opens the account when the password is lost; keep it \
         on paper\n\n",
        told.url,
        app.user,
        app.password.expose(),
        password.expose(),
        added.recovery_key.expose(),
    )?;
    if let Some(authority) = told.authority {
        write!(
            output,
            "{}",
            TRUST.replace("CA_FILE", &authority.display().to_string())
        )?;
    }
    write!(output, "{APPS}")?;
    Ok(output.flush()?)
}

const TRUST: &str = "\
First let your devices trust this server's own certificate authority: copy CA_FILE to them.
  macOS        open it with Keychain Access, then set it to Always Trust
  iPhone, iPad open it (AirDrop or mail), install the profile in Settings, then switch it on in
               Settings > General > About > Certificate Trust Settings
  Android      Settings > Security > Encryption & credentials > Install a certificate > CA certificate;
               DAVx5 also asks by itself whether to trust the certificate
  Thunderbird  Settings > Privacy & Security > Manage Certificates > Authorities > Import

";

const APPS: &str = "\
Then enter server, user and app password:
  Apple        macOS: Calendar > Settings > Accounts > + > Other CalDAV Account > Manual
               iPhone, iPad: Settings > Apps > Calendar > Calendar Accounts > Add Account > Other > Add CalDAV Account
  Thunderbird  New Calendar > On the Network: the user name, and the server as location
  DAVx5        + > Login with URL and user name: the server as base URL

";

/// The name of whoever starts the server, if it can be an account's, and an address for it.
fn owner(user: Option<&str>) -> (UserName, Email) {
    let me = || UserName::parse("me").expect("a valid name");
    let name = user
        .and_then(|user| UserName::parse(user).ok())
        .unwrap_or_else(me);
    let host = config::host_name().unwrap_or_else(|| "localhost".to_owned());
    let email = Email::parse(&format!("{name}@{host}"));
    let local =
        || Email::parse(&format!("{name}@localhost")).expect("a user name is a valid local part");
    let email = email.unwrap_or_else(|_| local());
    (name, email)
}

/// 100 random bits.
fn generated(ambient: &Ambient) -> Secret {
    let bytes: [u8; 20] = ambient.bytes();
    let mut text = String::with_capacity(23);
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && index % 5 == 0 {
            text.push('-');
        }
        text.push(char::from(LETTERS[usize::from(byte % 32)]));
    }
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_the_starter_or_me() {
        assert_eq!(owner(Some("anna")).0.as_str(), "anna");
        assert!(owner(Some("anna")).1.as_str().starts_with("anna@"));
        for odd in [None, Some(""), Some("Anna B")] {
            assert_eq!(owner(odd).0.as_str(), "me");
        }
    }

    #[test]
    fn generated_passwords_differ() {
        let ambient = Ambient::system();
        let first = generated(&ambient);
        assert_eq!(first.expose().len(), 23);
        assert_ne!(first.expose(), generated(&ambient).expose());
    }
}
