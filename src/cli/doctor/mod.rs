//! `sealdav doctor`: everything that can be wrong around a server, each in a line of plain words
//! with what to do about it. It changes nothing.
//!
//! - `files`: the data directory, the host key, who may read what.
//! - `machine`: disk, clock, ports, time zones.
//! - `reach`: settings, certificate, names.
//! - `live`: what only the running server knows, asked over its local socket; `words` says in plain
//!   words what the server has to refuse to which device, and why.
//!
//! An administrator sees labels of devices and classes of errors here, and no calendar's name or
//! content: the server does not know them without its users' keys.

mod backups;
mod files;
mod live;
mod machine;
mod reach;
mod words;

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use super::admin::{AdminRequest, AdminResponse};
use super::{Failure, socket};
use crate::ambient::Ambient;
use crate::config::Config;

pub(super) use live::Live;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Line {
    level: Level,
    about: &'static str,
    says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// All that was found.
#[derive(Debug, Default)]
struct Findings(Vec<Line>);

impl Findings {
    fn ok(&mut self, about: &'static str, says: impl Into<String>) {
        self.add(Level::Ok, about, says.into(), None);
    }

    fn warn(&mut self, about: &'static str, says: impl Into<String>, advice: impl Into<String>) {
        self.add(Level::Warning, about, says.into(), Some(advice.into()));
    }

    fn fault(&mut self, about: &'static str, says: impl Into<String>, advice: impl Into<String>) {
        self.add(Level::Fault, about, says.into(), Some(advice.into()));
    }

    fn add(&mut self, level: Level, about: &'static str, says: String, advice: Option<String>) {
        self.0.push(Line {
            level,
            about,
            says,
            advice,
        });
    }

    fn worst(&self) -> Level {
        let levels = self.0.iter().map(|line| line.level);
        levels.max().unwrap_or(Level::Ok)
    }

    fn print(&self, json: bool, output: &mut dyn Write) -> std::io::Result<()> {
        if json {
            let all = serde_json::json!({ "worst": self.worst(), "lines": self.0 });
            return writeln!(output, "{all}");
        }
        for line in &self.0 {
            let level = match line.level {
                Level::Ok => "ok     ",
                Level::Warning => "WARNING",
                Level::Fault => "FAULT  ",
            };
            writeln!(output, "{level}  {}: {}", line.about, line.says)?;
            if let Some(advice) = &line.advice {
                writeln!(output, "         -> {advice}")?;
            }
        }
        let count = |level| self.0.iter().filter(|line| line.level == level).count();
        let (faults, warnings) = (count(Level::Fault), count(Level::Warning));
        writeln!(output, "{faults} faults, {warnings} warnings.")
    }
}

/// The status that the command ends with.
fn status(worst: Level) -> ExitCode {
    ExitCode::from(match worst {
        Level::Ok => 0,
        Level::Warning => 1,
        Level::Fault => 2,
    })
}

/// `sealdav doctor`
pub(super) fn run(config: &Config, json: bool, output: &mut dyn Write) -> ExitCode {
    let findings = examine(config);
    match findings.print(json, output) {
        Ok(()) => status(findings.worst()),
        // Nobody reads it.
        Err(_) => status(Level::Fault),
    }
}

/// The same when the settings themselves are wrong: nothing else can be looked at.
pub(super) fn without_settings(failure: &Failure) -> ExitCode {
    let mut findings = Findings::default();
    let advice = "correct it; config/sealdav.toml explains every setting";
    findings.fault("settings", failure.0.clone(), advice);
    let _ = findings.print(false, &mut std::io::stdout().lock());
    status(findings.worst())
}

fn examine(config: &Config) -> Findings {
    let mut findings = Findings::default();
    let now = Ambient::system().now();
    reach::settings(config, &mut findings);
    let there = files::data(config, &mut findings);
    let live = match there {
        true => ask(config, &mut findings),
        false => None,
    };
    if there {
        files::host_key(config, &mut findings);
        backups::look(config, now, &mut findings);
    }
    machine::ports(config, live.is_some(), &mut findings);
    reach::certificate(config, now, &mut findings);
    reach::names(config, &mut findings);
    machine::clock(config, now, &mut findings);
    machine::time_zones(now, &mut findings);
    match &live {
        Some(live) => live.tell(&mut findings),
        None if there => machine::disk(config, &mut findings),
        None => {}
    }
    findings
}

/// What the running server knows; none without one.
fn ask(config: &Config, findings: &mut Findings) -> Option<Live> {
    let about = "server";
    match socket::ask(&config.data_dir(), &AdminRequest::Doctor) {
        Ok(Some(AdminResponse::Doctor { live })) => Some(*live),
        Ok(Some(AdminResponse::Refused { sentence })) => {
            findings.fault(
                about,
                sentence,
                "restart the server, so that it is of this version",
            );
            None
        }
        Ok(Some(_)) => {
            findings.fault(
                about,
                "it answers something else",
                "restart the server, so that it is of this version",
            );
            None
        }
        Ok(None) => {
            findings.warn(
                about,
                "no server runs on this data directory",
                "start it with `sealdav serve`, or systemctl start sealdav; what only it knows was left out",
            );
            None
        }
        Err(failure) => {
            findings.fault(
                about,
                failure.0,
                "run this command as the user that runs the server, and look at the server's log",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_line_decides() {
        let mut findings = Findings::default();
        assert_eq!(findings.worst(), Level::Ok);
        findings.ok("a", "fine");
        findings.warn("b", "so so", "do this");
        assert_eq!(findings.worst(), Level::Warning);
        findings.fault("c", "bad", "do that");
        assert_eq!(findings.worst(), Level::Fault);
        let printed = |json| {
            let mut output = Vec::new();
            findings.print(json, &mut output).unwrap();
            String::from_utf8(output).unwrap()
        };
        let text = printed(false);
        assert!(
            text.contains("WARNING  b: so so\n         -> do this\n"),
            "{text}"
        );
        assert!(text.ends_with("1 faults, 1 warnings.\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&printed(true)).unwrap();
        assert_eq!(json["worst"], "fault");
        assert_eq!(json["lines"][1]["level"], "warning");
        assert!(json["lines"][0].get("advice").is_none());
    }
}
