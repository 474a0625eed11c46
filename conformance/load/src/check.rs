//! Whether an answer is right. Servers differ in prefixes, order and spelling, so this looks at
//! elements and values, and compares whole bodies only with one that was found right before.

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem;

use crate::client::Answer;

/// What a fixed request must be answered with.
pub enum Expect {
    /// One resource with a ctag and a sync-token.
    Poll,
    /// At least this many calendars with both.
    Home(usize),
    /// These names, each with an ETag, and nothing else but the collection itself; whether there
    /// must be a new sync-token.
    Names {
        names: BTreeSet<String>,
        token: bool,
    },
    /// These UIDs with their data, each once.
    Data(Vec<String>),
    /// These UIDs, and as many instances at these times (RFC 5545 UTC date-times).
    Instances {
        uids: Vec<String>,
        starts: Vec<String>,
    },
    /// So many seconds are busy.
    Busy(i64),
}

/// Why an answer is wrong.
pub type Wrong = String;

impl Expect {
    /// Checks an answer.
    pub fn check(&self, answer: &Answer<'_>) -> Result<(), Wrong> {
        let status = if matches!(self, Expect::Busy(_)) {
            200
        } else {
            207
        };
        if answer.status != status {
            return Err(said(answer));
        }
        match self {
            Expect::Poll => polled(answer.body, 1),
            Expect::Home(count) => polled(answer.body, *count),
            Expect::Names { names, token } => {
                if *token && values(answer.body, "sync-token").all(str::is_empty) {
                    return Err("no sync-token".into());
                }
                names_are(answer.body, names)
            }
            Expect::Data(uids) => data(answer.body, uids, uids.len()),
            Expect::Instances { uids, starts } => {
                data(answer.body, uids, starts.len())?;
                let mut left = count(answer.body, b"DTSTART");
                for start in starts.iter().collect::<BTreeSet<_>>() {
                    let times = starts.iter().filter(|other| *other == start).count();
                    let found = count(answer.body, format!("DTSTART:{start}").as_bytes());
                    if found != times {
                        return Err(format!("{found} instances at {start} instead of {times}"));
                    }
                    left -= found;
                }
                // A VTIMEZONE that came along has some of its own.
                if left > 0 && count(answer.body, b"BEGIN:VTIMEZONE") == 0 {
                    return Err(format!("{left} instances too many"));
                }
                Ok(())
            }
            Expect::Busy(seconds) => busy(answer.body, *seconds),
        }
    }
}

/// Status and beginning of an unexpected answer.
pub fn said(answer: &Answer<'_>) -> Wrong {
    let text = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]);
    format!("status {}: {text}", answer.status)
}

fn polled(body: &[u8], least: usize) -> Result<(), Wrong> {
    let tags = values(body, "getctag")
        .filter(|value| !value.is_empty())
        .count();
    let tokens = values(body, "sync-token")
        .filter(|value| !value.is_empty())
        .count();
    if tags < least || tokens < least {
        return Err(format!(
            "{tags} ctags and {tokens} sync-tokens instead of {least}"
        ));
    }
    Ok(())
}

fn names_are(body: &[u8], names: &BTreeSet<String>) -> Result<(), Wrong> {
    let listed = listing(body);
    let missing = names
        .iter()
        .filter(|name| !listed.contains_key(name.as_str()))
        .count();
    if missing > 0 || listed.len() != names.len() {
        return Err(format!(
            "{} of {} objects with ETag, {missing} missing",
            listed.len(),
            names.len()
        ));
    }
    Ok(())
}

/// The last segments of members' hrefs with their ETags.
pub fn listing(body: &[u8]) -> BTreeMap<&str, String> {
    let mut found = BTreeMap::new();
    for response in elements(body, "response") {
        let href = values(response, "href").next().unwrap_or_default();
        let name = href.rsplit('/').next().unwrap_or_default();
        let etag = values(response, "getetag").next().unwrap_or_default();
        if !name.is_empty() && !etag.is_empty() {
            found.insert(name, etag.replace("&quot;", "\"").replace("&#34;", "\""));
        }
    }
    found
}

/// Whether each of these is there, with `events` events in all.
pub fn data(body: &[u8], uids: &[String], events: usize) -> Result<(), Wrong> {
    let responses = elements(body, "response").count();
    let found = count(body, b"BEGIN:VEVENT");
    if responses != uids.len() || found != events {
        return Err(format!(
            "{responses} responses with {found} events instead of {} with {events}",
            uids.len()
        ));
    }
    // Most servers keep the order of what they were asked for: then each is found where the one before ended.
    let mut at = 0;
    for uid in uids {
        let next = memmem::find(&body[at..], uid.as_bytes()).map(|found| at + found);
        match next.or_else(|| memmem::find(body, uid.as_bytes())) {
            Some(found) => at = found,
            None => return Err(format!("{uid} is missing")),
        }
    }
    Ok(())
}

fn count(body: &[u8], needle: &[u8]) -> usize {
    memmem::find_iter(body, needle).count()
}

fn busy(body: &[u8], expected: i64) -> Result<(), Wrong> {
    let text = String::from_utf8_lossy(body).replace("\r\n ", "");
    let lines = text.lines().filter(|line| line.starts_with("FREEBUSY"));
    let periods = lines.flat_map(|line| {
        line.rsplit_once(':')
            .map_or("", |(_, value)| value)
            .split(',')
    });
    let mut times: Vec<(i64, i64)> = periods
        .map(|period| {
            let (start, end) = period.split_once('/')?;
            let start = seconds(start)?;
            let end = match end.strip_prefix("PT") {
                Some(length) => start + duration(length)?,
                None => seconds(end)?,
            };
            Some((start, end))
        })
        .collect::<Option<_>>()
        .ok_or("a period that cannot be read")?;
    times.sort_unstable();
    let (mut total, mut until) = (0, i64::MIN);
    for (start, end) in times {
        total += (end - start.max(until)).max(0);
        until = until.max(end);
    }
    if total != expected {
        return Err(format!("{total} s busy instead of {expected}"));
    }
    Ok(())
}

/// Hours and minutes, as `2H` or `1H30M`.
fn duration(text: &str) -> Option<i64> {
    let (hours, rest) = text.split_once('H').unwrap_or(("0", text));
    let (minutes, _) = rest.split_once('M').unwrap_or(("0", rest));
    Some(hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60)
}

/// Seconds since the first of the month, of a UTC date-time in that month or at its end.
fn seconds(time: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
    let day = if number(4..6)? == 3 {
        29
    } else {
        number(6..8)?
    };
    Some(((day * 24 + number(9..11)?) * 60 + number(11..13)?) * 60 + number(13..15)?)
}

/// The texts of elements with a local name, whatever their prefix.
pub fn values<'a>(body: &'a [u8], local: &'a str) -> impl Iterator<Item = &'a str> {
    elements(body, local).map(|inner| std::str::from_utf8(inner).unwrap_or_default().trim())
}

/// The insides of elements with a local name that do not contain one another.
fn elements<'a>(body: &'a [u8], local: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let finder = memmem::Finder::new(local.as_bytes()).into_owned();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = next_tag(body, &finder, at, Tag::Start)?;
        let inside = start + memchr::memchr(b'>', &body[start..])? + 1;
        if body[inside - 2] == b'/' {
            at = inside;
            return Some(&body[inside..inside]);
        }
        let end = next_tag(body, &finder, inside, Tag::End)?;
        at = end;
        let end = memchr::memrchr(b'<', &body[..end])?;
        Some(&body[inside..end])
    })
}

#[derive(PartialEq)]
enum Tag {
    Start,
    End,
}

/// The end of the name in the next tag of that local name.
fn next_tag(body: &[u8], finder: &memmem::Finder<'_>, mut at: usize, tag: Tag) -> Option<usize> {
    loop {
        let found = at + finder.find(&body[at..])?;
        at = found + finder.needle().len();
        let ends = matches!(body.get(at), Some(b'>' | b' ' | b'/' | b'\n'));
        let opening = memchr::memrchr(b'<', &body[..found])?;
        let before = &body[opening + 1..found];
        let (slash, prefix) = match before.strip_prefix(b"/") {
            Some(prefix) => (Tag::End, prefix),
            None => (Tag::Start, before),
        };
        let named = prefix.is_empty()
            || (prefix.ends_with(b":")
                && prefix[..prefix.len() - 1]
                    .iter()
                    .all(u8::is_ascii_alphanumeric));
        if ends && named && slash == tag {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_whatever_their_prefix() {
        for (open, close) in [("D:", "D:"), ("", ""), ("ns0:", "ns0:")] {
            let body = format!(
                "<{open}multistatus><{open}response><{open}href>/c/</{close}href></{close}response>\
                 <{open}response><{open}href>/c/a.ics</{close}href><{open}propstat><{open}prop>\
                 <{open}getetag x='y'>&quot;1&quot;</{close}getetag></{close}prop></{close}propstat>\
                 </{close}response></{close}multistatus>"
            );
            let listed = listing(body.as_bytes());
            assert_eq!(
                listed.into_iter().collect::<Vec<_>>(),
                [("a.ics", "\"1\"".to_owned())]
            );
        }
    }

    #[test]
    fn busy_times_are_merged() {
        let body = b"BEGIN:VFREEBUSY\r\nFREEBUSY;FBTYPE=BUSY:20270201T080000Z/PT1H,20270201T083000Z\r\n /20270201T100000Z\r\nEND:VFREEBUSY";
        assert_eq!(busy(body, 7_200), Ok(()));
        assert!(busy(body, 7_201).is_err());
    }
}
