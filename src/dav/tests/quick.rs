//! What is answered on the spot. `Server::respond` of these tests asks for such an answer first, so
//! that all of them hold for it too; here is which requests get one.

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::limits;

impl Server {
    /// The status, when it is answered on the spot.
    fn quickly(
        &self,
        (method, target): (&str, &str),
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<u16> {
        self.account.barrier().wait().unwrap();
        let request = request(method, target, headers, body);
        let response = self.dav.respond_quickly(&self.account, &request)?;
        Some(response.status.as_u16())
    }

    fn quick_report(&self, name: &str, inner: &str) -> Option<u16> {
        let body = format!("<{name} {NAMESPACES}>{inner}</{name}>");
        self.quickly(("REPORT", WORK), &[], &body)
    }
}

const TASKS: &str = CHILDREN[2];
const POLL: &str = r#"<propfind xmlns="DAV:"><prop><sync-token/></prop></propfind>"#;

#[test]
fn polls_need_no_index_and_objects_do() {
    let server = Server::new();
    let object = format!("{TASKS}a.ics");
    let poll = || {
        for (target, depth) in [(TASKS, "0"), (HOME, "0"), (HOME, "1"), ("/dav/", "0")] {
            let found = server.quickly(("PROPFIND", target), &[("depth", depth)], POLL);
            assert_eq!(found, Some(207), "{target}");
        }
        assert_eq!(server.quickly(("GET", TASKS), &[], ""), Some(200));
        // Of others nothing is looked up.
        let other = ("PROPFIND", "/dav/calendars/bob/");
        assert_eq!(server.quickly(other, &[("depth", "0")], POLL), Some(404));
    };
    let members = || {
        let found = server.quickly(("PROPFIND", &object), &[("depth", "0")], POLL);
        let found = [found, server.quickly(("GET", &object), &[], "")];
        found.map(|status| status.unwrap_or(0))
    };
    poll();
    assert_eq!(members(), [0, 0], "the index is not loaded");
    assert_eq!(server.ask("GET", &object, &[], "").status, 404);
    poll();
    assert_eq!(members(), [404, 404]);
    // Indices of members are looked at; those of a calendar may be many.
    assert_eq!(
        server.quickly(("PROPFIND", TASKS), &[("depth", "1")], POLL),
        None
    );
}

#[test]
fn small_objects_are_quick_and_large_ones_are_not() {
    let note = |bytes: u64| format!("COMMENT:{}\r\n", "x".repeat(bytes as usize));
    let server = Server::with(&[
        ("small.ics", &event("small", 9, "")),
        (
            "large.ics",
            &event("large", 9, &note(limits::QUICK_OBJECT_BYTES)),
        ),
    ]);
    let [small, large] = ["small", "large"].map(|name| format!("{WORK}{name}.ics"));
    assert_eq!(server.quickly(("GET", &small), &[], ""), Some(200));
    assert_eq!(server.quickly(("GET", &large), &[], ""), None);
    assert_eq!(server.quickly(("HEAD", &large), &[], ""), Some(200));
    let range = [("range", "bytes=0-9")];
    assert_eq!(server.quickly(("GET", &small), &range, ""), None);
    // It may name something of which nothing is known yet.
    let condition = [("if", "</dav/calendars/alice/tasks/a.ics> ([\"x\"])")];
    assert_eq!(server.quickly(("GET", &small), &condition, ""), None);
    // To replace or delete it puts it into the trash.
    let again = event("large", 10, "");
    assert_eq!(server.quickly(("PUT", &large), CALENDAR, &again), None);
    assert_eq!(server.quickly(("DELETE", &large), &[], ""), None);
    assert_eq!(server.quickly(("LOCK", &small), &[], ""), None);
    assert_eq!(server.ask("HEAD", &large, &[], "").status, 200);
}

const CALENDAR: &[(&str, &str)] = &[("content-type", "text/calendar")];

#[test]
fn small_writes_are_quick_while_no_other_is_at_work() {
    let server = Server::new();
    let object = format!("{WORK}a.ics");
    let put = |headers: &[(&str, &str)], hour| {
        let headers = [CALENDAR, headers].concat();
        server.quickly(("PUT", &object), &headers, &event("a", hour, ""))
    };
    assert_eq!(put(&[], 9), None, "the index is not loaded");
    assert_eq!(server.ask("GET", &object, &[], "").status, 404);
    let new = [("if-none-match", "*")];
    assert_eq!((put(&new, 9), put(&new, 10)), (Some(201), Some(412)));
    assert_eq!(put(&[], 11), Some(204));
    let stored = || server.ask("GET", &object, &[], "").text;
    assert_eq!(stored(), event("a", 11, ""));
    let wrong = server.quickly(("PUT", &object), CALENDAR, "no calendar");
    assert_eq!(wrong, Some(403));
    // The answer might be a body that is not in the store yet.
    let representation = [("if-none-match", "*"), ("prefer", "return=representation")];
    assert_eq!(put(&representation, 11), None);
    let rules = "RRULE:FREQ=DAILY;COUNT=9\r\nRDATE:20060103T090000Z\r\n";
    let many = rules.repeat(limits::QUICK_RULES);
    let ruled = |rules: &str| {
        let body = event("a", 11, rules);
        server.quickly(("PUT", &object), CALENDAR, &body)
    };
    assert_eq!((ruled(rules), ruled(&many)), (Some(204), None));
    assert_eq!(put(&[], 11), Some(204));

    let (begun, go) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    let account = server.account.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let written = account.write(|_| {
                begun.wait();
                go.wait();
                Ok::<_, crate::vault::VaultError>(())
            });
            written.unwrap();
        });
        begun.wait();
        let answers = [put(&[], 12), server.quickly(("DELETE", &object), &[], "")];
        let read = stored();
        go.wait();
        assert_eq!(answers, [None, None]);
        assert_eq!(read, event("a", 11, ""));
    });

    assert_eq!(put(&[], 13), Some(204));
    assert_eq!(stored(), event("a", 13, ""));
    assert_eq!(server.quickly(("DELETE", &object), &[], ""), Some(204));
    assert_eq!(server.ask("GET", &object, &[], "").status, 404);
    assert_eq!(server.quickly(("DELETE", &object), &[], ""), Some(404));
    assert_eq!(server.quickly(("DELETE", TASKS), &[], ""), None);
}

#[test]
fn reports_of_little_are_quick() {
    let names = (0..=limits::QUICK_BODIES).map(|number| format!("{number}.ics"));
    let names: Vec<String> = names.collect();
    let server = Server::new();
    for name in &names {
        server.put(&format!("{WORK}{name}"), &event(name, 9, ""));
    }
    let hrefs = |count: usize| -> String {
        let hrefs = names[..count].iter();
        hrefs
            .map(|name| format!("<D:href>{WORK}{name}</D:href>"))
            .collect()
    };
    let data = "<D:prop><C:calendar-data/></D:prop>";
    let multiget = |prop: &str, hrefs: &str| {
        server.quick_report("C:calendar-multiget", &format!("{prop}{hrefs}"))
    };
    assert_eq!(multiget(data, &hrefs(limits::QUICK_BODIES)), Some(207));
    assert_eq!(multiget(data, &hrefs(limits::QUICK_BODIES + 1)), None);
    let month = "<C:expand start=\"20060101T000000Z\" end=\"20060201T000000Z\"/>";
    let expand = format!("<D:prop><C:calendar-data>{month}</C:calendar-data></D:prop>");
    assert_eq!(multiget(&expand, &hrefs(1)), None);
    let elsewhere = format!("<D:href>{TASKS}a.ics</D:href>");
    assert_eq!(multiget(data, &elsewhere), None, "its index is not loaded");
    assert_eq!(server.quick_report("C:calendar-query", data), None);

    let token = || {
        let found = server.propfind(WORK, "0", "<D:sync-token/>");
        found.value(WORK, dav("sync-token")).text()
    };
    let sync = |token: &str, prop: &str| {
        let inner =
            format!("<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>{prop}");
        server.quick_report("D:sync-collection", &inner)
    };
    let (etag, before) = ("<D:prop><D:getetag/></D:prop>", token());
    server.put(&format!("{WORK}0.ics"), &event("0.ics", 10, ""));
    assert_eq!(sync(&before, etag), Some(207));
    assert_eq!(sync(&before, data), None);
    assert_eq!(sync("", etag), Some(207), "there is not much yet");
    for hour in 0..limits::QUICK_RESOURCES {
        server.put(
            &format!("{WORK}0.ics"),
            &event("0.ics", (hour % 24) as u8, ""),
        );
    }
    assert_eq!(sync("", etag), None);
    assert_eq!(sync(&before, etag), None);
    assert_eq!(sync(&token(), etag), Some(207));
}

/// An event of 3,900 bytes with a zone of its own.
fn zoned(uid: &str) -> String {
    let observance = |kind: &str, month: u8, offsets: &str| {
        format!(
            "BEGIN:{kind}\r\nDTSTART:20000101T020000\r\n{offsets}\
             RRULE:FREQ=YEARLY;BYMONTH={month};BYDAY=-1SU\r\nEND:{kind}\r\n"
        )
    };
    let summer = observance("DAYLIGHT", 3, "TZOFFSETFROM:+0112\r\nTZOFFSETTO:+0212\r\n");
    let winter = observance("STANDARD", 10, "TZOFFSETFROM:+0212\r\nTZOFFSETTO:+0112\r\n");
    let notes = format!("COMMENT:{}\r\n", "x".repeat(70)).repeat(42);
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//EN\r\nBEGIN:VTIMEZONE\r\nTZID:Own\r\n\
         {summer}{winter}END:VTIMEZONE\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20060206T001102Z\r\n\
         DTSTART;TZID=Own:20060102T100000\r\nDURATION:PT1H\r\n\
         RRULE:FREQ=MONTHLY;BYDAY=1MO,-1FR;COUNT=300\r\nEXDATE;TZID=Own:20060127T100000\r\n{notes}\
         END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

#[test]
fn what_is_quick_needs_little_stack() {
    // A page of the audit trail, with keys of its own, begins with each day.
    const DAY: i64 = 86_400_000;
    let clock = Arc::new(AtomicI64::new(20_000 * DAY));
    let vault = TestVault::with_clock(&clock);
    let secret = vault.add("alice");
    let account = vault.unlock("alice", &secret);
    let server = Server::of(vault, account);
    assert_eq!(server.ask("MKCALENDAR", WORK, &[], "").status, 201);
    let [object, large] = ["a", "large"].map(|name| format!("{WORK}{name}.ics"));
    let note = format!("COMMENT:{}\r\n", "x".repeat(60_000));
    server.put(&large, &event("large", 9, &note));
    let data = "<D:prop><D:getetag/><C:calendar-data/></D:prop>";
    let multiget = format!("{data}<D:href>{object}</D:href>");
    let sync = "<D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop>";
    let deep = limits::XML_DEPTH - 2;
    let deep = [
        "<propfind xmlns='DAV:'><prop>",
        &"<a>".repeat(deep),
        &"</a>".repeat(deep),
        "</prop></propfind>",
    ]
    .concat();
    let body = zoned("a");
    assert!(
        (3_800..limits::QUICK_BODY_BYTES).contains(&body.len()),
        "{}",
        body.len()
    );
    let work = || {
        let depth = |depth| [("depth", depth)];
        clock.fetch_add(DAY, Ordering::Relaxed);
        let answers = [
            server.quickly(("PUT", &object), CALENDAR, &body),
            server.quickly(("PROPFIND", HOME), &depth("1"), POLL),
            server.quickly(("PROPFIND", WORK), &depth("0"), ""),
            server.quickly(("PROPFIND", WORK), &depth("0"), &deep),
            server.quickly(("GET", &object), &[], ""),
            server.quickly(("GET", &large), &[], ""),
            server.quick_report("C:calendar-multiget", &multiget),
            server.quick_report("D:sync-collection", sync),
            server.quickly(("PUT", &object), CALENDAR, &event("a", 9, "")),
            server.quickly(("DELETE", &object), &[], ""),
        ];
        let expected = [201, 207, 207, 207, 200, 200, 207, 207, 204, 204];
        assert_eq!(answers, expected.map(Some));
    };
    // As much as is overwritten afterwards (`seal::wiped_quickly`).
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(limits::STACK_WIPED_QUICKLY_BYTES);
        thread.spawn_scoped(scope, work).unwrap();
    });
}
