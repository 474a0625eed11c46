//! An account with a calendar in a sealed store, and requests to it in process; what the benches share.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};

use sealdav::ambient::{Ambient, OsRandom};
use sealdav::dav::{Body, Dav, DavSettings, Request};
use sealdav::ids::{Email, SlotId, UserName};
use sealdav::seal::{AccountKey, Generated, HostKey, SecretKind, Slot, Terms, ToWrap};
use sealdav::store::{Store, StoreOptions};
use sealdav::vault::{AccountStore, Vault};

const CALENDAR: &str = "/dav/calendars/alice/calendar/";

/// A calendar of events of about 2 KB over two years, every tenth of which recurs weekly.
pub struct Server {
    dav: Dav,
    account: AccountStore,
    _directory: tempfile::TempDir,
}

impl Server {
    /// With so many objects.
    pub fn new(objects: usize) -> Server {
        Server::with(objects, event)
    }

    /// With so many, made from their numbers.
    pub fn with(objects: usize, event: fn(usize) -> String) -> Server {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(&directory.path().join("db"), &StoreOptions::default());
        let ambient = Arc::new(Ambient::system());
        let host = HostKey::generate(&mut OsRandom);
        let keys = directory.path().join("keys");
        let vault = Vault::open(store.expect("a store"), host, &keys, Arc::clone(&ambient));
        let account = open(&vault.expect("a vault"));
        let dav = Dav::new(DavSettings::default(), ambient);
        let server = Server {
            dav,
            account,
            _directory: directory,
        };
        for number in 0..objects {
            let (status, _) = server.ask("PUT", &format!("{number}.ics"), &event(number));
            assert_eq!(status, 201);
        }
        server
    }

    /// Status and whole body of the answer, for a member of the calendar or, without a name, itself.
    pub fn ask(&self, method: &str, name: &str, body: &str) -> (u16, Vec<u8>) {
        self.ask_deep(method, name, "1", body)
    }

    /// The same with a Depth.
    pub fn ask_deep(
        &self,
        method: &str,
        name: &str,
        depth: &'static str,
        body: &str,
    ) -> (u16, Vec<u8>) {
        let mut headers = HeaderMap::new();
        let media = if method == "PUT" {
            "text/calendar"
        } else {
            "application/xml"
        };
        headers.insert("content-type", HeaderValue::from_static(media));
        headers.insert("depth", HeaderValue::from_static(depth));
        let request = Request {
            method: Method::from_bytes(method.as_bytes()).expect("a method"),
            target: format!("{CALENDAR}{name}"),
            headers,
            body: body.as_bytes().to_vec().into(),
            authorities: vec!["localhost".into()],
            https: true,
        };
        let response = self.dav.handle(&self.account, request);
        let body = match response.body {
            Body::Empty => Vec::new(),
            Body::Full(bytes) => bytes.to_vec(),
            Body::Stream(steps) => steps
                .flat_map(|step| step.expect("a step").to_vec())
                .collect(),
        };
        (response.status.as_u16(), body)
    }
}

fn open(vault: &Arc<Vault>) -> AccountStore {
    let secret = Generated::random(SecretKind::AppPassword, &mut OsRandom);
    let name = UserName::parse("alice").expect("a name");
    let email = Email::parse("alice@example.org").expect("an address");
    let made = vault.create_account(name, email, false, |id, key: &AccountKey| {
        vec![Slot::for_generated(
            id,
            ToWrap::Whole(key),
            Terms::default(),
            &secret,
            vault.host(),
            vault.ambient(),
        )]
    });
    let id = made.expect("an account");
    let file = vault.key_file(id).expect("its slots");
    let slot = Slot::find(&file.slots, &secret).expect("its slot");
    let key = slot.open_generated(id, &secret, vault.host());
    let slot: SlotId = slot.id;
    vault
        .unlock(id, key.expect("its key"), slot)
        .expect("it opens")
}

/// The object of a number.
pub fn event(number: usize) -> String {
    let (month, day, hour) = (number / 28 % 24, number % 28 + 1, number % 10 + 8);
    let date = format!("{}{:02}{day:02}", 2026 + month / 12, month % 12 + 1);
    let rule = if number.is_multiple_of(10) {
        "RRULE:FREQ=WEEKLY\r\n"
    } else {
        ""
    };
    let description = "words and words \r\n ".repeat(90);
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//bench//EN\r\nBEGIN:VEVENT\r\nUID:{number}@example.org\r\n\
         DTSTAMP:20260101T120000Z\r\nDTSTART;TZID=Europe/Berlin:{date}T{hour:02}0000\r\nDURATION:PT1H\r\n{rule}\
         SUMMARY:Event {number}\r\nDESCRIPTION:{description}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

/// A calendar-query of February 2027.
pub fn query(data: &str) -> String {
    format!(
        "<C:calendar-query xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:prop><D:getetag/>{data}</D:prop>\
         <C:filter><C:comp-filter name=\"VCALENDAR\"><C:comp-filter name=\"VEVENT\">\
         <C:time-range start=\"20270201T000000Z\" end=\"20270301T000000Z\"/>\
         </C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"
    )
}
