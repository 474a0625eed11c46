//! H32: what is damaged is told for itself, and everything else is served.

use std::collections::HashMap;
use std::thread;

use crate::common::{Client, Server, everything::event, rows};

const OBJECTS: usize = 1_000;
const CALENDAR: &str = "/dav/calendars/alice/calendar/";
/// The one object whose row can be told from the others, by its size.
const VICTIM: usize = 77;
const VICTIM_BYTES: usize = 20_000;
/// Rows of bodies are longer than this, those of summaries shorter.
const BODY_BYTES: usize = 1_000;

fn fill(server: &Server, password: &str) {
    thread::scope(|scope| {
        for part in 0..8 {
            scope.spawn(move || {
                let mut client = server.client("alice", password);
                for number in (part..OBJECTS).step_by(8) {
                    let length = if number == VICTIM {
                        VICTIM_BYTES
                    } else {
                        BODY_BYTES
                    };
                    let body = event(&format!("u{number}"), &lines(length));
                    let headers = [("Content-Type", "text/calendar")];
                    let target = format!("{CALENDAR}{number:04}.ics");
                    client.expect(201, "PUT", &target, &headers, &body);
                }
            });
        }
    });
}

fn lines(length: usize) -> String {
    format!("DURATION:PT1H\r\nDESCRIPTION:{}\r\n", "x".repeat(length))
}

/// Flips one bit in the middle of the first row that is meant.
fn damage(server: &Server, meant: impl Fn(&[u8], &[u8]) -> bool) {
    let database = rows(&server.data().join("db/rows"));
    let row = database
        .iter()
        .map(|row| row.expect("a readable row"))
        .find(|(name, value)| meant(name, value));
    let (name, value) = row.expect("the row is there");
    let mut value = value.to_vec();
    let middle = value.len() / 2;
    value[middle] ^= 1;
    database.insert(name, value).expect("a written row");
    database.flush().expect("a flushed database");
}

/// The prefix that the rows of all summaries have in common.
fn summaries(server: &Server) -> Vec<u8> {
    let database = rows(&server.data().join("db/rows"));
    let mut counts: HashMap<Vec<u8>, usize> = HashMap::new();
    for (name, value) in database.iter().map(|row| row.expect("a readable row")) {
        if name.len() == 36 && value.len() < BODY_BYTES {
            *counts.entry(name[..16].to_vec()).or_default() += 1;
        }
    }
    let found = counts.into_iter().find(|(_, count)| *count >= OBJECTS);
    found.expect("the summaries").0
}

/// How many resources of an answer have data, and how many say 500.
fn told(answer: &str) -> (usize, usize) {
    let data = answer.matches("BEGIN:VEVENT").count();
    (data, answer.matches("HTTP/1.1 500").count())
}

fn ask_for_all(client: &mut Client) -> Vec<(usize, usize)> {
    let c = "xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'";
    let prop = "<D:prop><D:getetag/><C:calendar-data/></D:prop>";
    let hrefs: String = (0..OBJECTS)
        .map(|number| format!("<D:href>{CALENDAR}{number:04}.ics</D:href>"))
        .collect();
    let multiget = format!("<C:calendar-multiget {c}>{prop}{hrefs}</C:calendar-multiget>");
    let query = format!(
        "<C:calendar-query {c}>{prop}<C:filter><C:comp-filter name='VCALENDAR'><C:comp-filter \
         name='VEVENT'/></C:comp-filter></C:filter></C:calendar-query>"
    );
    let sync = format!(
        "<D:sync-collection {c}><D:sync-token/><D:sync-level>1</D:sync-level>{prop}</D:sync-collection>"
    );
    [multiget, query, sync]
        .iter()
        .map(|body| {
            let answer = client.expect(207, "REPORT", CALENDAR, &[("Depth", "1")], body);
            told(&answer.text())
        })
        .collect()
}

fn listed(client: &mut Client) -> usize {
    let body = "<D:propfind xmlns:D='DAV:'><D:prop><D:getetag/></D:prop></D:propfind>";
    let answer = client.expect(207, "PROPFIND", CALENDAR, &[("Depth", "1")], body);
    answer.text().matches(".ics</D:href>").count()
}

/// Whether one is told when somebody is busy: an answer that leaves out what could not be looked
/// at would say that they are free (RFC 4791 section 7.10).
fn free_busy(client: &mut Client, status: u16, range: &str) -> String {
    let body = format!(
        "<C:free-busy-query xmlns:C='urn:ietf:params:xml:ns:caldav'><C:time-range {range}/></C:free-busy-query>"
    );
    client
        .expect(status, "REPORT", CALENDAR, &[("Depth", "1")], &body)
        .text()
}

/// The day of all events, and one of none.
const BUSY: &str = "start='20240115T000000Z' end='20240116T000000Z'";
const FREE: &str = "start='20250115T000000Z' end='20250116T000000Z'";

#[test]
fn h32_a_damaged_row_is_told_for_itself() {
    let (mut server, mut client) = Server::with_user("alice");
    let password = server.app_password("alice", "phone");
    fill(&server, &password);
    assert_eq!(ask_for_all(&mut client), [(OBJECTS, 0); 3]);
    server.stop();
    damage(&server, |_, value| value.len() > VICTIM_BYTES);
    server.start(&["--plain-http"]);
    let mut client = server.client("alice", &password);
    assert_eq!(listed(&mut client), OBJECTS);
    assert_eq!(ask_for_all(&mut client), [(OBJECTS - 1, 1); 3]);
    let victim = format!("{CALENDAR}{VICTIM:04}.ics");
    client.expect(500, "GET", &victim, &[], "");
    assert_eq!(free_busy(&mut client, 500, BUSY), "");
    // it says itself that it takes no time then
    assert!(free_busy(&mut client, 200, FREE).contains("BEGIN:VFREEBUSY"));
    client.expect(200, "GET", &format!("{CALENDAR}0078.ics"), &[], "");
    // the remedy is at hand: it can be written anew
    let body = event(&format!("u{VICTIM}"), &lines(BODY_BYTES));
    let headers = [("Content-Type", "text/calendar")];
    client.expect(204, "PUT", &victim, &headers, &body);
    assert!(free_busy(&mut client, 200, BUSY).contains("FREEBUSY:20240115T120000Z/"));
    assert_eq!(ask_for_all(&mut client), [(OBJECTS, 0); 3]);
    server.stop();
    let prefix = summaries(&server);
    damage(&server, |name, _| name.starts_with(&prefix));
    server.start(&["--plain-http"]);
    let mut client = server.client("alice", &password);
    // its name is in the row: nobody knows any more what it was
    assert_eq!(listed(&mut client), OBJECTS - 1);
    let answers = ask_for_all(&mut client);
    assert_eq!(answers, [(OBJECTS - 1, 0); 3]);
    for range in [BUSY, FREE] {
        assert_eq!(free_busy(&mut client, 500, range), "");
    }
    let log = String::from_utf8_lossy(&server.log()).into_owned();
    assert!(log.contains("ERROR"), "damage is told to the administrator");
}
