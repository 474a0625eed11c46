//! What the server refuses to devices, in words for whoever helps the user of one.

use std::net::IpAddr;

use super::live::Refused;
use super::{Findings, Level};
use crate::limits;

/// Refusals with the same words.
struct Words {
    /// By the word of the log, or by the status when that is not 0.
    reasons: &'static [&'static str],
    status: u16,
    /// What the requests did.
    what: &'static str,
    /// What to do.
    advice: &'static str,
}

const fn words(
    reasons: &'static [&'static str],
    status: u16,
    what: &'static str,
    advice: &'static str,
) -> Words {
    Words {
        reasons,
        status,
        what,
        advice,
    }
}

/// The first that fits counts.
#[rustfmt::skip]
const TABLE: &[Words] = &[
    words(&["old-secret"], 0, "tried an old password again and again",
        "enter the right app password on the device, or remove the account there"),
    words(&["secret"], 0, "tried wrong names or passwords",
        "enter the right app password on the device; if nobody knows whose it is, somebody is guessing"),
    words(&["throttled"], 0, "were made to wait after too many wrong passwords",
        "correct the app password on the device; it is let in again by itself"),
    words(&["valid-sync-token"], 0, "sent an old sync-token; the app lists everything anew",
        "nothing, unless it goes on: then remove the calendar account on the device and add it again"),
    words(&["sufficient-disk-space", "disk-full"], 0, "were refused because the disk is nearly full",
        "free some space on the server's disk"),
    words(&["quota-not-exceeded"], 0, "would have gone beyond a limit of this server",
        "see docs on limits: too many objects, or too much in one calendar"),
    words(&["max-resource-size", "body-too-large"], 0, "sent something larger than this server takes",
        "look for large attachments, or raise limits.object_bytes"),
    words(&["max-attendees-per-instance"], 0, "sent an event with too many attendees",
        "raise limits.attendees"),
    words(&["no-uid-conflict"], 0, "sent an event that is there already under another name",
        "resync the calendar on the device; an import of the same file twice does this"),
    words(&["valid-calendar-data", "valid-calendar-object-resource", "supported-calendar-data",
        "supported-calendar-component", "valid-timezone", "supported-rscale"], 0,
        "sent an event that breaks the rules of iCalendar",
        "update the app; the answer names the line, and the app's own log has it"),
    words(&["need-privileges"], 0, "tried to change something, and the device may only read",
        "make the calendar read-only in the app too, or give the device another app password"),
    words(&["body-slow", "body-broken"], 0, "did not arrive whole", "look at the device's network"),
    words(&["busy", "not-durable", "unavailable", "store does not answer"], 0,
        "were put off because the server was busy or its store failed", "look at the server's log"),
    words(&[], 412, "sent an old ETag, or met a change of another device", "resync the calendar on the device"),
    words(&[], 423, "met a lock of another app", "close that app, or wait: locks end within an hour"),
    words(&[], 404, "asked for what is not there", "resync the calendar on the device if it goes on"),
    words(&[], 403, "were not allowed", "the server's log has the condition"),
    words(&[], 500, "made the server fail", "the server's log says where; please report it"),
];

fn words_for(refused: &Refused) -> (&'static str, &'static str) {
    let fits = |words: &&Words| {
        words.reasons.contains(&refused.reason.as_str()) || words.status == refused.status
    };
    TABLE.iter().find(fits).map_or(
        ("were refused", "the server's log has the reason"),
        |words| (words.what, words.advice),
    )
}

/// A part of the network, as people write it.
pub(super) fn network(part: IpAddr) -> String {
    match part {
        IpAddr::V4(part) => {
            let [a, b, c, _] = part.octets();
            format!("{a}.{b}.{c}.x")
        }
        IpAddr::V6(part) => format!("{part}/64"),
    }
}

/// Tells what is refused often enough to be no accident.
pub(super) fn tell(all: &[Refused], findings: &mut Findings) {
    let about = "devices";
    let mut told = false;
    for refused in all
        .iter()
        .filter(|refused| refused.times >= limits::TROUBLE_TIMES)
    {
        let (what, advice) = words_for(refused);
        let times = refused.times;
        let whose = match (&refused.device, &refused.account, &refused.from) {
            (Some(device), Some(account), _) => format!("{device} of {account}"),
            (Some(device), None, _) => format!("{device} of a deleted account"),
            (None, Some(account), Some(from)) => {
                format!("an unknown device from {from}, for the account {account}")
            }
            (None, None, Some(from)) => {
                format!("an unknown device from {from}, for a name that there is not")
            }
            (None, _, None) => "somebody".to_owned(),
        };
        // The reason too, for whoever looks for it in the log or asks for help.
        let (status, reason) = (refused.status, &refused.reason);
        let says =
            format!("{whose}: {times} requests in the last hour {what} ({status}, {reason})");
        findings.add(Level::Warning, about, says, Some(advice.to_owned()));
        told = true;
    }
    if !told {
        findings.ok(about, "none is refused often");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_told_in_plain_words() {
        let refused = |device: Option<&str>, from: Option<&str>, why: (u16, &str), times| Refused {
            account: Some("anna".to_owned()),
            device: device.map(str::to_owned),
            from: from.map(str::to_owned),
            status: why.0,
            reason: why.1.to_owned(),
            times,
        };
        let all = [
            refused(Some("phone"), None, (412, "a condition does not hold"), 14),
            refused(None, Some("192.0.2.x"), (401, "old-secret"), 30),
            refused(Some("phone"), None, (418, "new"), 9),
            refused(Some("phone"), None, (404, "not found"), 1),
        ];
        let mut findings = Findings::default();
        tell(&all, &mut findings);
        let says: Vec<_> = findings.0.iter().map(|line| line.says.as_str()).collect();
        assert_eq!(
            says,
            [
                "phone of anna: 14 requests in the last hour sent an old ETag, or met a change of another device (412, a condition does not hold)",
                "an unknown device from 192.0.2.x, for the account anna: 30 requests in the last hour tried an old password again and again (401, old-secret)",
                "phone of anna: 9 requests in the last hour were refused (418, new)",
            ]
        );
        assert!(
            findings.0[0]
                .advice
                .as_deref()
                .unwrap()
                .starts_with("resync")
        );
        let mut findings = Findings::default();
        tell(&all[3..], &mut findings);
        assert_eq!(findings.worst(), Level::Ok, "one is an accident");
        assert_eq!(network("192.0.2.0".parse().unwrap()), "192.0.2.x");
    }
}
