//! Whole requests against a real vault, in process: discovery, properties and reports. Named
//! after the examples and rules of the RFCs, and the rows of HARDENING, that they check.
//! docs/CONFORMANCE.md says which example is which test.

mod clients;
mod clients_rules;
mod devices;
mod discovery;
mod free_busy;
mod instances;
mod listing;
mod properties;
mod query;
mod quick;
mod reports;
mod resources;
mod rfc4791;
mod rfc4918;
mod rfc4918_locks;
mod rfc5689;
mod rfc6578;
mod rfc7529;
mod room;
mod simulated;
mod streams;
mod sync;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Body, Dav, DavSettings, Request, Response};
use crate::ambient::Ambient;
use crate::vault::AccountStore;
use crate::vault::testing::{TestVault, account};
use crate::xml::{Element, QName, XmlLimits, caldav, dav, parse};

const HOME: &str = "/dav/calendars/alice/";
const WORK: &str = "/dav/calendars/alice/work/";
const PRINCIPAL: &str = "/dav/principals/alice/";

/// The home with its members: an account begins with a calendar for events and one for to-dos.
const CHILDREN: [&str; 4] = [
    HOME,
    "/dav/calendars/alice/calendar/",
    "/dav/calendars/alice/tasks/",
    WORK,
];

/// A server with one account, alice.
struct Server {
    dav: Dav,
    account: AccountStore,
    _vault: TestVault,
}

/// An answer, read whole.
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Server {
    fn of(vault: TestVault, account: AccountStore) -> Self {
        Server {
            dav: Dav::new(DavSettings::default(), Arc::new(Ambient::system())),
            account,
            _vault: vault,
        }
    }

    /// With an empty calendar `work`.
    fn new() -> Self {
        let (vault, account) = account();
        let server = Server::of(vault, account);
        assert_eq!(server.ask("MKCALENDAR", WORK, &[], "").status, 201);
        server
    }

    /// With objects in `work`.
    fn with(objects: &[(&str, &str)]) -> Self {
        let server = Server::new();
        for (name, body) in objects {
            server.put(&format!("{WORK}{name}"), body);
        }
        server
    }

    #[track_caller]
    fn put(&self, href: &str, body: &str) {
        let answer = self.ask("PUT", href, &[("content-type", "text/calendar")], body);
        assert!(
            answer.status == 201 || answer.status == 204,
            "{href}: {} {}",
            answer.status,
            answer.text
        );
    }

    fn respond(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let request = request(method, target, headers, body);
        let quick = self.dav.respond_quickly(&self.account, &request);
        quick.unwrap_or_else(|| self.dav.handle(&self.account, request))
    }

    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let response = self.respond(method, target, headers, body);
        let bytes: Vec<u8> = match response.body {
            Body::Empty => Vec::new(),
            Body::Full(bytes) => bytes.to_vec(),
            Body::Stream(steps) => steps.flat_map(|step| step.unwrap().to_vec()).collect(),
        };
        let (status, headers) = (response.status.as_u16(), response.headers);
        Answer {
            status,
            headers,
            text: String::from_utf8(bytes).unwrap(),
        }
    }

    /// The same, and checks the status.
    #[track_caller]
    fn expect(
        &self,
        status: u16,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let answer = self.ask(method, target, headers, body);
        assert_eq!(
            answer.status, status,
            "{method} {target} {headers:?}: {}",
            answer.text
        );
        answer
    }

    /// A PROPFIND for properties of DAV:, CALDAV: and CS: by prefix D, C, S.
    #[track_caller]
    fn propfind(&self, target: &str, depth: &str, properties: &str) -> Multistatus {
        let body = format!("<D:propfind {NAMESPACES}><D:prop>{properties}</D:prop></D:propfind>");
        self.ask("PROPFIND", target, &[("depth", depth)], &body)
            .multistatus()
    }

    /// A REPORT whose root element gets the usual namespaces.
    fn report(&self, target: &str, name: &str, inner: &str) -> Answer {
        let body = format!("<{name} {NAMESPACES}>{inner}</{name}>");
        self.ask("REPORT", target, &[("depth", "1")], &body)
    }
}

fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    Request {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        target: target.to_owned(),
        headers: map,
        body: body.as_bytes().to_vec().into(),
        authorities: vec!["cal.example.org".into()],
        https: true,
    }
}

const NAMESPACES: &str = r#"xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:S="http://calendarserver.org/ns/" xmlns:A="http://apple.com/ns/ical/" xmlns:Z="http://example.com/z/""#;

impl Answer {
    /// A header's value; empty when it is absent.
    fn header(&self, name: &str) -> String {
        let value = self.headers.get(name);
        value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    }

    #[track_caller]
    fn xml(&self) -> Element {
        parse(
            self.text.as_bytes(),
            &XmlLimits {
                bytes: usize::MAX,
                events: usize::MAX,
                name_bytes: usize::MAX,
                ..XmlLimits::default()
            },
        )
        .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text))
    }

    #[track_caller]
    fn multistatus(self) -> Multistatus {
        assert_eq!(self.status, 207, "{}", self.text);
        let xml = self.xml();
        assert!(xml.is(dav("multistatus")));
        Multistatus(xml)
    }

    /// Expects a refusal that names a condition.
    #[track_caller]
    fn refused(&self, status: u16, condition: QName) {
        assert_eq!(self.status, status, "{}", self.text);
        assert!(
            self.xml().is(dav("error")) && self.xml().child(condition).is_some(),
            "{}",
            self.text
        );
    }
}

/// A DAV:multistatus.
#[derive(Debug)]
struct Multistatus(Element);

impl Multistatus {
    /// The hrefs of its responses, in order.
    fn hrefs(&self) -> Vec<String> {
        let responses = self.0.children_named(dav("response"));
        responses
            .map(|response| response.child(dav("href")).unwrap().text())
            .collect()
    }

    /// The names of the members of `work` that it tells of.
    fn names(&self) -> Vec<String> {
        self.hrefs()
            .iter()
            .map(|href| href.trim_start_matches(WORK).to_owned())
            .collect()
    }

    #[track_caller]
    fn response(&self, href: &str) -> &Element {
        self.0
            .children_named(dav("response"))
            .find(|response| response.child(dav("href")).unwrap().text() == href)
            .unwrap_or_else(|| panic!("no response for {href}: {self:#?}"))
    }

    /// The status of a response that has one of its own.
    #[track_caller]
    fn status(&self, href: &str) -> u16 {
        status_of(self.response(href))
    }

    /// A property with the status of its propstat.
    #[track_caller]
    fn property(&self, href: &str, name: QName) -> Option<(u16, &Element)> {
        self.response(href)
            .children_named(dav("propstat"))
            .find_map(|propstat| {
                let property = propstat.child(dav("prop")).unwrap().child(name)?;
                Some((status_of(propstat), property))
            })
    }

    /// The value of a property that is there.
    #[track_caller]
    fn value(&self, href: &str, name: QName) -> &Element {
        match self.property(href, name) {
            Some((200, value)) => value,
            other => panic!("{name:?} of {href}: {other:?}"),
        }
    }
}

#[track_caller]
fn status_of(element: &Element) -> u16 {
    let status = element.child(dav("status")).unwrap().text();
    status.split(' ').nth(1).unwrap().parse().unwrap()
}

/// An event of one hour on 2006-01-02 at this hour UTC.
fn event(uid: &str, hour: u8, more: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//EN\r\nBEGIN:VEVENT\r\nUID:{uid}\r\n\
         DTSTAMP:20060206T001102Z\r\nDTSTART:20060102T{hour:02}0000Z\r\nDURATION:PT1H\r\n{more}\
         END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

/// A to-do without any time.
fn todo(uid: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//EN\r\nBEGIN:VTODO\r\nUID:{uid}\r\n\
         DTSTAMP:20060206T001102Z\r\nSUMMARY:Do\r\nEND:VTODO\r\nEND:VCALENDAR\r\n"
    )
}

/// All Rust files below a folder, as one text.
fn sources(folder: &std::path::Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn what_the_conformance_page_names_are_tests() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/CONFORMANCE.md")).unwrap();
    let mut tests = String::new();
    sources(&root.join("src"), &mut tests);
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let names: Vec<&str> = rows
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() > 100, "{}", names.len());
    for name in names {
        let test = format!("#[test]\nfn {name}()");
        let inner = format!("    #[test]\n    fn {name}()");
        assert!(
            tests.contains(&test) || tests.contains(&inner),
            "no test {name}"
        );
    }
    // and no example is forgotten there
    for (at, _) in tests
        .match_indices("\nfn rfc")
        .chain(tests.match_indices("\nfn clients_"))
    {
        let name = tests[at + 4..].split('(').next().unwrap();
        let example = name.ends_with("_example")
            || name.ends_with("_examples")
            || name.starts_with("clients_");
        assert!(
            !example || page.contains(&format!("`{name}`")),
            "{name} is not on the page"
        );
    }
}
