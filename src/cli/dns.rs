//! The DNS records of RFC 6764, by which a calendar app finds the server from an e-mail address.

use std::io::Write;

use super::Failure;
use crate::config::Config;

/// Flags of `sealdav dns`.
#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    /// The server's host name, as in its certificate
    #[arg(long, value_name = "NAME")]
    host: String,
    /// The domain of the users' e-mail addresses [default: the host name]
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// The port that clients reach [default: that of public_url, else the first of listen]
    #[arg(long)]
    port: Option<u16>,
}

/// Prints the records in the form of a zone file.
pub(super) fn print(config: &Config, flags: &Flags, output: &mut dyn Write) -> Result<(), Failure> {
    let host = name(&flags.host)?;
    let domain = name(flags.domain.as_deref().unwrap_or(&flags.host))?;
    let port = flags.port.unwrap_or_else(|| public_port(config));
    writeln!(
        output,
        "; calendar apps look here for https (RFC 6764 section 3)"
    )?;
    writeln!(
        output,
        "_caldavs._tcp.{domain}. 3600 IN SRV 0 1 {port} {host}."
    )?;
    writeln!(output, "_caldavs._tcp.{domain}. 3600 IN TXT \"path=/dav/\"")?;
    writeln!(
        output,
        "; and learn here that there is no plain http (RFC 2782)"
    )?;
    writeln!(output, "_caldav._tcp.{domain}. 3600 IN SRV 0 0 0 .")?;
    Ok(())
}

fn public_port(config: &Config) -> u16 {
    let uri: http::Uri = config
        .base_url()
        .parse()
        .expect("the base URL is made of a parsed one or of safe parts");
    uri.port_u16().unwrap_or(443)
}

/// A host name, without a dot at its end.
fn name(text: &str) -> Result<&str, Failure> {
    let bare = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty() && label.len() <= 63 && label.chars().all(allowed)
    };
    match bare.len() <= 253 && bare.split('.').all(label) {
        true => Ok(bare),
        false => Err(Failure(format!(
            "{text:?} is no host name; write it like calendar.example.org"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(host: &str, domain: Option<&str>) -> Result<String, Failure> {
        let flags = Flags {
            host: host.to_owned(),
            domain: domain.map(str::to_owned),
            port: None,
        };
        let mut output = Vec::new();
        let public_url = Some(crate::config::PublicUrl::parse("https://cal.example.org").unwrap());
        print(
            &Config {
                public_url,
                ..Config::default()
            },
            &flags,
            &mut output,
        )?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn records() {
        let text = printed("cal.example.org.", Some("example.org")).unwrap();
        assert!(
            text.contains("\n_caldavs._tcp.example.org. 3600 IN SRV 0 1 443 cal.example.org.\n"),
            "{text}"
        );
        assert!(
            text.contains("\n_caldavs._tcp.example.org. 3600 IN TXT \"path=/dav/\"\n"),
            "{text}"
        );
        assert!(printed("a b", None).is_err());
    }
}
