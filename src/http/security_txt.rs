//! /.well-known/security.txt (RFC 9116): whom to tell of a vulnerability of this server. Served
//! only where the configuration names somebody.

use crate::ambient::UnixMillis;
use crate::config::{Contact, PublicUrl};
use crate::ical::time::LocalTime;

/// Where it is (RFC 9116 section 3).
pub(super) const PATH: &str = "/.well-known/security.txt";
/// Seconds for which it may be believed. Less than a year is recommended (RFC 9116 section
/// 2.5.5); it is written anew for each request, so that nobody finds an old one.
const LASTS: i64 = 30 * 24 * 60 * 60;

/// The file, as of `now`.
pub(super) fn text(contact: &Contact, url: Option<&PublicUrl>, now: UnixMillis) -> String {
    // 20260131T120000, to be written as RFC 3339 has it.
    let end = LocalTime::from_seconds(now.seconds() + LASTS).to_string();
    let (date, time) = end.split_once('T').unwrap_or((&end, "000000"));
    let date = format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..8]);
    let time = format!("{}:{}:{}", &time[..2], &time[2..4], &time[4..6]);
    let mut text = format!(
        "Contact: {}\r\nExpires: {date}T{time}Z\r\n",
        contact.as_str()
    );
    if let Some(url) = url {
        text.push_str(&format!("Canonical: {}{PATH}\r\n", url.as_str()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_a_contact_and_ends_within_the_year() {
        let contact = Contact::parse("mailto:admin@example.org").unwrap();
        let url = PublicUrl::parse("https://calendar.example.org").unwrap();
        // 2026-01-01T00:00:00Z
        let now = UnixMillis(1_767_225_600_000);
        assert_eq!(
            text(&contact, Some(&url), now),
            "Contact: mailto:admin@example.org\r\nExpires: 2026-01-31T00:00:00Z\r\n\
             Canonical: https://calendar.example.org/.well-known/security.txt\r\n"
        );
        assert!(!text(&contact, None, now).contains("Canonical"));
    }
}
