//! Answers recurrence questions from standard input, for `conformance/recurrence/differential.py`.
//! A line is `dtstart|rule|from|to` (local times, UTC assumed); its answer is the starts in
//! [from, to) with commas between them, or `error:` and the reason.

use std::io::{self, BufRead, Write};

use sealdav::ical::recur::{Recurrence, Rule, RuleSet};
use sealdav::ical::time::{CalTime, LocalTime};
use sealdav::ical::zone::{Zone, Zones};

fn answer(line: &str) -> Result<String, String> {
    let parts: Vec<&str> = line.split('|').collect();
    let [start, rule, from, to] = parts[..] else {
        return Err("four parts are needed".into());
    };
    let mut recurrence = Recurrence::single(CalTime::parse(start, None).ok_or("bad start")?);
    recurrence
        .rules
        .push(Rule::parse(rule).map_err(|error| error.to_string())?);
    let zones = Zones::new(Vec::new(), Zone::utc());
    let set = RuleSet::new(&recurrence, &zones).map_err(|error| error.to_string())?;
    let from = LocalTime::parse(from).ok_or("bad from")?;
    let to = LocalTime::parse(to).ok_or("bad to")?;
    let mut starts = Vec::new();
    for occurrence in set.starts(from, to) {
        let occurrence = occurrence.map_err(|error| error.to_string())?;
        starts.push(occurrence.start.to_string());
    }
    Ok(starts.join(","))
}

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        match answer(&line?) {
            Ok(starts) => writeln!(out, "{starts}")?,
            Err(reason) => writeln!(out, "error: {reason}")?,
        }
    }
    out.flush()
}
