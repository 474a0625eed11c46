//! P6 and H12: what one account sees of another is what it sees of one that does not exist. The
//! cases come from the tables of methods and reports: a new row without a case fails here.
//!
//! Bob asks on alice's URLs and names them in his own requests; then he asks the same of carol,
//! whom nobody has heard of. Every pair of answers must be the same byte for byte once the names
//! are made equal, and of alice nothing may have changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::method::METHODS;
use super::report::REPORTS;
use super::{Body, Dav, DavSettings, Request};
use crate::ambient::Ambient;
use crate::ids::Segment;
use crate::vault::testing::TestVault;
use crate::vault::{AccountStore, CollectionKind, NewCollection, Properties, VaultError};

/// In everything of alice's that has a text.
const CANARY: &str = "k7canaryofalice";
const C: &str = "xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'";
const DATA: &str = "<D:prop><D:getetag/><D:displayname/><C:calendar-data/></D:prop>";

struct World {
    dav: Dav,
    alice: AccountStore,
    bob: AccountStore,
    /// Alice's lock token, the tag of her object, and the sync-token of her calendar.
    lock: String,
    etag: String,
    sync: String,
    _vault: TestVault,
}

/// A request before it is made: `ALICE` in it stands for whom it is about.
#[derive(Debug, Clone, Default)]
struct Case {
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Case {
    fn body(text: impl Into<String>) -> Self {
        Case {
            body: text.into(),
            ..Case::default()
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Status, headers and body, as they would be sent.
#[derive(Debug, PartialEq, Eq)]
struct Sent {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl World {
    fn new() -> Self {
        let vault = TestVault::new();
        let (alice, bob) = (vault.add("alice"), vault.add("bob"));
        let (alice, bob) = (vault.unlock("alice", &alice), vault.unlock("bob", &bob));
        let dav = Dav::new(DavSettings::default(), Arc::new(Ambient::system()));
        let mut world = World {
            dav,
            alice,
            bob,
            lock: String::new(),
            etag: String::new(),
            sync: String::new(),
            _vault: vault,
        };
        world.furnish("alice", CANARY);
        world.furnish("bob", "bobsown");
        world
    }

    /// A calendar with an object, a folder with a file, properties, a lock.
    fn furnish(&mut self, name: &str, text: &str) {
        let account = match name {
            "alice" => self.alice.clone(),
            _ => self.bob.clone(),
        };
        let home = format!("/dav/calendars/{name}");
        let set = format!(
            "<D:propertyupdate {C}><D:set><D:prop><D:displayname>{text}</D:displayname>\
             <C:calendar-description>{text}</C:calendar-description></D:prop></D:set></D:propertyupdate>"
        );
        let lock = format!(
            "<D:lockinfo {C}><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/>\
             </D:locktype><D:owner>{text}</D:owner></D:lockinfo>"
        );
        let ask = |status, method: &str, path: &str, case: Case| {
            let sent = self.ask(&account, method, &format!("{home}{path}"), &case);
            assert_eq!(sent.status, status, "{method} {path}: {}", sent.body);
            sent
        };
        ask(201, "MKCOL", "/folder/", Case::default());
        let etag = ask(201, "PUT", "/calendar/event.ics", Case::body(event(text)));
        ask(201, "PUT", "/folder/file", Case::body(text));
        ask(207, "PROPPATCH", "/calendar/", Case::body(&set));
        ask(207, "PROPPATCH", "/folder/", Case::body(&set));
        ask(201, "MKCOL", "/locked/", Case::default());
        ask(201, "PUT", "/locked/file", Case::body(text));
        let locked = ask(200, "LOCK", "/locked/", Case::body(&lock));
        let value = |sent: &Sent, name: &str| {
            let found = sent.headers.iter().find(|(other, _)| other == name);
            found.expect("the header is there").1.clone()
        };
        if name == "alice" {
            (self.etag, self.lock) = (value(&etag, "etag"), value(&locked, "lock-token"));
            self.sync = calendar_token(&self.alice);
        }
    }

    fn ask(&self, account: &AccountStore, method: &str, target: &str, case: &Case) -> Sent {
        let mut headers = HeaderMap::new();
        for (name, value) in &case.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let request = Request {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            target: target.to_owned(),
            headers,
            body: case.body.clone().into(),
            authorities: vec!["cal.example.org".into()],
            https: true,
        };
        let response = self.dav.handle(account, request);
        response.receipt.clone().wait().unwrap();
        let mut headers: Vec<(String, String)> = response
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        let body = match response.body {
            Body::Empty => Vec::new(),
            Body::Full(bytes) => bytes.to_vec(),
            Body::Stream(steps) => steps.flat_map(|step| step.unwrap()).collect(),
        };
        Sent {
            status: response.status.as_u16(),
            headers,
            body: String::from_utf8(body).unwrap(),
        }
    }

    /// Bob asks about alice and about carol, and must hear the same.
    fn same(&self, method: &str, target: &str, case: &Case) -> Sent {
        self.same_each(method, target, case, &|| ())
    }

    /// The same, where each request may do something that `undo` undoes.
    fn same_each(&self, method: &str, target: &str, case: &Case, undo: &dyn Fn()) -> Sent {
        let about = |name: &str| {
            let put = |text: &str| {
                text.replace("ALICE", name)
                    .replace("%41LICE", &encoded(name))
            };
            let headers = case.headers.iter();
            let case = Case {
                headers: headers.map(|(name, value)| (*name, put(value))).collect(),
                body: put(&case.body),
            };
            let mut sent = self.ask(&self.bob, method, &put(target), &case);
            undo();
            let text = format!("{sent:?}");
            for token in [&self.lock, &self.etag, &self.sync] {
                let given = case.headers.iter().any(|(_, value)| value.contains(token));
                assert!(
                    given || !text.contains(token.trim_matches(['<', '>', '"'])),
                    "{text}"
                );
            }
            sent.headers
                .retain(|(name, _)| !FRESH.contains(&name.as_str()));
            let same = |text: &str| {
                let text = without_fresh(text).replace(&encoded(name), "%41LICE");
                // but not in what is alice's alone
                text.replace(CANARY, "CANARY").replace(name, "ALICE")
            };
            assert!(
                !case.body.contains(CANARY),
                "the request itself has what is looked for"
            );
            sent.body = same(&sent.body);
            for (_, value) in &mut sent.headers {
                *value = same(value);
            }
            sent
        };
        let (alice, carol) = (about("alice"), about("carol"));
        assert_eq!(alice, carol, "{method} {target} {case:?}");
        let text = format!("{alice:?}");
        assert!(
            !text.contains("CANARY"),
            "{method} {target} {case:?}: {text}"
        );
        alice
    }

    /// Everything that alice has, as text.
    fn everything(&self, account: &AccountStore) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut open = vec![account.home()];
        while let Some(collection) = open.pop() {
            let path = format!("{:?}", account.path_of(collection.id));
            let token = account.token(&collection);
            all.insert(path.clone(), format!("{collection:?} {token}"));
            let members = account.members(collection.id).unwrap();
            for object in &members.objects {
                let body = account.body(collection.id, object).unwrap();
                let properties = account.properties(collection.id, object).unwrap();
                let name = format!("{path} {:?}", object.segment);
                all.insert(name, format!("{object:?} {properties:?} {body:?}"));
            }
            open.extend(members.collections);
        }
        all.insert("locks".into(), format!("{:?}", account.locks()));
        all
    }
}

/// Headers of a write that did happen, which are new each time.
const FRESH: [&str; 3] = ["etag", "lock-token", "last-modified"];

/// Without the tokens of new locks, and the seconds that locks still have.
fn without_fresh(text: &str) -> String {
    let mut parts = text.split("urn:uuid:");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("urn:uuid:");
        out.push_str(part.get(36..).unwrap_or(part));
    }
    let mut parts = out.split("Second-");
    let mut same = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        same.push_str("Second-");
        same.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    // what a free-busy answer is called is drawn anew each time, and so is its time
    let lines = same.split("\r\n").filter(|line| {
        !same.contains("BEGIN:VFREEBUSY")
            || !(line.starts_with("UID:") || line.starts_with("DTSTAMP:"))
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn calendar_token(account: &AccountStore) -> String {
    let collections = account.collections(account.home().id);
    let calendar = collections
        .iter()
        .find(|collection| collection.segment.as_ref().unwrap().as_str() == "calendar");
    account.token(calendar.unwrap())
}

fn event(text: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:{text}\r\n\
         DTSTAMP:20240101T000000Z\r\nDTSTART:20240115T120000Z\r\nSUMMARY:{text}\r\nEND:VEVENT\r\n\
         END:VCALENDAR\r\n"
    )
}

/// Alice's URLs and what is like them: there and not there, whole and encoded, absolute.
const TARGETS: &[&str] = &[
    "/dav/principals/ALICE/",
    "/dav/principals/ALICE",
    "/dav/principals/%41LICE/",
    "/dav/principals/ALICE/calendar-proxy-read/",
    "/dav/calendars/ALICE/",
    "/dav/calendars/ALICE",
    "/dav/calendars/%41LICE/",
    "/dav/calendars/ALICE/calendar/",
    "/dav/calendars/ALICE/calendar",
    "/dav/calendars/ALICE/calendar/?add-member",
    "/dav/calendars/ALICE/calendar/event.ics",
    "/dav/calendars/ALICE/calendar/event.ics/",
    "/dav/calendars/%41LICE/%63alendar/event%2Eics",
    "/dav/calendars/ALICE/calendar/missing.ics",
    "/dav/calendars/ALICE/folder/",
    "/dav/calendars/ALICE/folder/file",
    "/dav/calendars/ALICE/folder/file/below",
    "/dav/calendars/ALICE/locked/",
    "/dav/calendars/ALICE/locked/file",
    "/dav/calendars/ALICE/locked/missing",
    "/dav/calendars/ALICE/missing/",
    "/dav/calendars/ALICE/missing/below/",
    "http://cal.example.org/dav/calendars/ALICE/calendar/event.ics",
    "https://CAL.example.org:443/dav/calendars/ALICE/calendar/",
    "http://bob@cal.example.org/dav/calendars/ALICE/",
    "http://elsewhere.example.org/dav/calendars/ALICE/calendar/event.ics",
];

/// Requests of one method that would do something on the own URLs.
fn cases_of_method(method: &str) -> Vec<Case> {
    let own = "/dav/calendars/bob/folder/taken";
    match method {
        "OPTIONS" | "HEAD" => vec![Case::default()],
        "GET" => vec![
            Case::default(),
            Case::default().with("range", "bytes=0-9"),
            Case::default().with("if-none-match", "*"),
        ],
        "PROPFIND" => {
            let all = format!("<D:propfind {C}><D:allprop/></D:propfind>");
            let depths = ["0", "1", "infinity", "2"];
            let with = |depth: &str| Case::body(&all).with("depth", depth);
            let names = format!("<D:propfind {C}><D:propname/></D:propfind>");
            let more = [Case::default(), Case::body(names), Case::body("<no xml")];
            depths.iter().map(|depth| with(depth)).chain(more).collect()
        }
        "PROPPATCH" => vec![
            Case::body(format!(
                "<D:propertyupdate {C}><D:set><D:prop><D:displayname>x</D:displayname></D:prop>\
                 </D:set></D:propertyupdate>"
            )),
            Case::default(),
        ],
        "REPORT" => REPORTS
            .iter()
            .flat_map(|row| cases_of_report(row.name.local))
            .chain([Case::body("<unknown/>"), Case::default()])
            .collect(),
        "ACL" => vec![Case::body("<D:acl xmlns:D='DAV:'/>"), Case::default()],
        "PUT" | "POST" => {
            let put = || Case::body(event("new")).with("content-type", "text/calendar");
            vec![
                put(),
                put().with("if-match", "*"),
                put().with("if-none-match", "*"),
                put().with("if", "broken"),
                Case::body("no calendar").with("content-type", "text/plain"),
            ]
        }
        "DELETE" => vec![
            Case::default(),
            Case::default().with("depth", "infinity"),
            Case::default().with("if-match", "*"),
        ],
        "MKCOL" | "MKCALENDAR" => vec![
            Case::default(),
            Case::body(format!("<C:mkcalendar {C}/>")).with("content-type", "text/xml"),
            Case::body("x").with("content-type", "text/plain"),
        ],
        "COPY" | "MOVE" => vec![
            Case::default(),
            Case::default().with("destination", own),
            Case::default().with("destination", format!("http://cal.example.org{own}")),
            Case::default().with("destination", "/dav/calendars/ALICE/calendar/x.ics"),
            Case::default()
                .with("destination", own)
                .with("overwrite", "F"),
            Case::default().with("destination", own).with("depth", "0"),
        ],
        "LOCK" => vec![
            Case::body(format!(
                "<D:lockinfo {C}><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/>\
                 </D:locktype></D:lockinfo>"
            )),
            Case::default().with("if", "(<urn:uuid:none>)"),
        ],
        "UNLOCK" => vec![
            Case::default(),
            Case::default().with("lock-token", "<urn:uuid:none>"),
        ],
        new => panic!("the method {new} has no case: what does another account see of it?"),
    }
}

/// Requests of one report, with hrefs of alice's wherever it takes one.
fn cases_of_report(report: &str) -> Vec<Case> {
    let all =
        |body: String| ["0", "1", "infinity"].map(|depth| Case::body(&body).with("depth", depth));
    let bodies = match report {
        "calendar-multiget" => {
            let hrefs: String = TARGETS
                .iter()
                .map(|target| format!("<D:href>{target}</D:href>"))
                .collect();
            vec![format!("<C:calendar-multiget {C}>{DATA}{hrefs}</C:calendar-multiget>")]
        }
        "calendar-query" => vec![format!(
            "<C:calendar-query {C}>{DATA}<C:filter><C:comp-filter name='VCALENDAR'/></C:filter>\
             </C:calendar-query>"
        )],
        "free-busy-query" => vec![format!(
            "<C:free-busy-query {C}><C:time-range start='20200101T000000Z' \
             end='20400101T000000Z'/></C:free-busy-query>"
        )],
        "sync-collection" => vec![format!(
            "<D:sync-collection {C}><D:sync-token/><D:sync-level>1</D:sync-level>{DATA}\
             </D:sync-collection>"
        )],
        "expand-property" => ["owner", "principal-URL", "calendar-home-set", "href"]
            .map(|name| {
                format!(
                    "<D:expand-property {C}><D:property name='{name}'><D:property \
                     name='displayname'/></D:property><D:property name='{name}' \
                     namespace='urn:ietf:params:xml:ns:caldav'><D:property name='displayname'/>\
                     </D:property></D:expand-property>"
                )
            })
            .to_vec(),
        "acl-principal-prop-set" => vec![format!(
            "<D:acl-principal-prop-set {C}>{DATA}</D:acl-principal-prop-set>"
        )],
        "principal-match" => vec![
            format!("<D:principal-match {C}><D:self/>{DATA}</D:principal-match>"),
            format!(
                "<D:principal-match {C}><D:principal-property><D:owner/></D:principal-property>\
                 {DATA}</D:principal-match>"
            ),
        ],
        "principal-property-search" => ["displayname", "email-address-set"]
            .map(|name| {
                format!(
                    "<D:principal-property-search {C}><D:property-search><D:prop><D:{name}/></D:prop>\
                     <D:match>ALICE</D:match></D:property-search>{DATA}</D:principal-property-search>"
                )
            })
            .to_vec(),
        "principal-search-property-set" => {
            vec![format!("<D:principal-search-property-set {C}/>")]
        }
        new => panic!("the report {new} has no case: what does another account see of it?"),
    };
    bodies.into_iter().flat_map(all).collect()
}

#[test]
fn h12_every_method_and_report_on_anothers_urls_is_404() {
    let world = World::new();
    let before = world.everything(&world.alice);
    let own = world.everything(&world.bob);
    for row in METHODS {
        for target in TARGETS {
            for case in cases_of_method(row.name) {
                let sent = world.same(row.name, target, &case);
                let expected = match row.name {
                    // it tells what the server can do, the same for every path, and is answered
                    // before targets that the http floor never passes on are read
                    "OPTIONS" if target.starts_with('/') => 200,
                    "OPTIONS" => 400,
                    _ => 404,
                };
                assert_eq!(sent.status, expected, "{} {target} {case:?}", row.name);
            }
        }
        assert_eq!(world.everything(&world.alice), before, "{}", row.name);
        assert_eq!(world.everything(&world.bob), own, "{}", row.name);
    }
    let sent = world.same("BREW", "/dav/calendars/ALICE/calendar/", &Case::default());
    assert_eq!(sent.status, 501);
}

#[test]
fn h12_no_report_reaches_another_account() {
    let world = World::new();
    let before = world.everything(&world.alice);
    let own = [
        "/",
        "/dav/",
        "/dav/principals/",
        "/dav/principals/bob/",
        "/dav/calendars/",
        "/dav/calendars/bob/",
        "/dav/calendars/bob/calendar/",
        "/dav/calendars/bob/calendar/event.ics",
        "/dav/calendars/bob/folder/",
        "/dav/calendars/bob/folder/file",
    ];
    for row in REPORTS {
        for case in cases_of_report(row.name.local) {
            let mut answered = 0;
            for target in own {
                let sent = world.same("REPORT", target, &case);
                answered += usize::from(sent.status < 300);
                if row.name.local == "calendar-multiget" && sent.status < 300 {
                    let missing = sent.body.matches("HTTP/1.1 404").count();
                    assert_eq!(missing, TARGETS.len(), "{target}: {}", sent.body);
                    assert!(!sent.body.contains("bobsown"), "{}", sent.body);
                }
            }
            assert!(answered > 0, "{} is answered nowhere", row.name.local);
        }
    }
    for target in own {
        for case in cases_of_method("PROPFIND") {
            world.same("PROPFIND", target, &case);
        }
    }
    assert_eq!(world.everything(&world.alice), before);
}

#[test]
fn h12_destinations_of_another_account() {
    let world = World::new();
    let before = world.everything(&world.alice);
    let own = world.everything(&world.bob);
    for source in ["calendar/event.ics", "folder/file", "folder/", "missing"] {
        let source = format!("/dav/calendars/bob/{source}");
        for destination in TARGETS {
            for method in ["COPY", "MOVE"] {
                for overwrite in ["T", "F"] {
                    let case = Case::default()
                        .with("destination", *destination)
                        .with("overwrite", overwrite);
                    let sent = world.same(method, &source, &case);
                    let there = !source.ends_with("missing");
                    let expected = match destination {
                        name if there && name.contains("elsewhere") => 502,
                        // a Destination has no query
                        name if there && name.contains('?') => 400,
                        _ => 404,
                    };
                    assert_eq!(sent.status, expected, "{method} {source} {case:?}");
                }
            }
        }
    }
    assert_eq!(world.everything(&world.alice), before);
    assert_eq!(world.everything(&world.bob), own);
}

/// If headers about alice's resources, with what is true of them: as false as of carol's.
#[test]
fn h12_if_headers_about_another_account() {
    let world = World::new();
    let before = world.everything(&world.alice);
    let states = [
        format!("[{}]", world.etag),
        world.lock.clone(),
        format!("<{}>", world.sync),
        format!("Not [{}]", world.etag),
        format!("Not {}", world.lock),
        "Not <DAV:no-lock>".to_owned(),
    ];
    let own = "/dav/calendars/bob/folder/file";
    let undo = || {
        for lock in world.bob.locks().iter().filter(|lock| lock.root.len() > 1) {
            let token = format!("<{}>", lock.token);
            let unlock = Case::default().with("lock-token", token);
            world.ask(&world.bob, "UNLOCK", own, &unlock);
        }
        world.ask(&world.bob, "DELETE", own, &Case::default());
        world.ask(&world.bob, "PUT", own, &Case::body("bobsown"));
    };
    for resource in TARGETS {
        for state in &states {
            let condition = format!("<{resource}> ({state})");
            for method in ["GET", "PUT", "PROPPATCH", "DELETE", "LOCK"] {
                let mut case = cases_of_method(method).remove(0).with("if", &condition);
                if method == "PUT" {
                    case.body = "bobsown".to_owned();
                }
                let sent = world.same_each(method, own, &case, &undo);
                if !state.starts_with("Not") {
                    assert_eq!(sent.status, 412, "{method} {case:?}: {}", sent.body);
                }
            }
        }
    }
    assert_eq!(world.everything(&world.alice), before);
}

/// A token of alice's is to bob what a token is that nobody ever gave.
#[test]
fn h12_tokens_of_another_account() {
    let world = World::new();
    let before = world.everything(&world.alice);
    let invented = |token: &str| -> String {
        let other = |c: char| char::from_digit(15 - c.to_digit(16).unwrap(), 16).unwrap();
        let end = token.trim_end_matches('>').len();
        let tail = |(at, c): (usize, char)| match at + 8 >= end && at < end {
            true => c.to_digit(16).map_or(c, |_| other(c)),
            false => c,
        };
        token.char_indices().map(tail).collect()
    };
    let (file, calendar) = (
        "/dav/calendars/bob/locked/file",
        "/dav/calendars/bob/calendar/",
    );
    let sync = |token: &str| {
        Case::body(format!(
            "<D:sync-collection {C}><D:sync-token>{token}</D:sync-token><D:prop/></D:sync-collection>"
        ))
    };
    let state = |token: &str| format!("({token})");
    type Make<'a> = &'a dyn Fn(&str) -> Case;
    let lock: &[(&str, &str, u16, Make<'_>)] = &[
        ("UNLOCK", file, 409, &|token| {
            Case::default().with("lock-token", token)
        }),
        ("PUT", file, 412, &|token| {
            Case::body("x").with("if", state(token))
        }),
        ("PUT", file, 423, &|token| {
            let either = format!("({token}) (Not <DAV:no-lock>)");
            Case::body("x").with("if", either)
        }),
        ("LOCK", file, 412, &|token| {
            Case::default().with("if", state(token))
        }),
        ("DELETE", file, 412, &|token| {
            Case::default().with("if", state(token))
        }),
    ];
    for (method, target, status, case) in lock {
        let (real, false_one) = (case(&world.lock), case(&invented(&world.lock)));
        let real = world.ask(&world.bob, method, target, &real);
        assert_eq!(real, world.ask(&world.bob, method, target, &false_one));
        assert_eq!(real.status, *status, "{method} {}", real.body);
    }
    assert_ne!(invented(&world.sync), world.sync);
    for target in [calendar, "/dav/calendars/bob/"] {
        let real = world.ask(&world.bob, "REPORT", target, &sync(&world.sync));
        let false_one = sync(&invented(&world.sync));
        assert_eq!(real, world.ask(&world.bob, "REPORT", target, &false_one));
        assert_eq!(real.status, 403, "{}", real.body);
        assert!(real.body.contains("valid-sync-token"), "{}", real.body);
    }
    assert_eq!(world.everything(&world.alice), before);
}

/// P2: with every check saying 'allowed', bob still has nothing but his own keys. Each request on
/// alice's URLs shows him nothing of hers, and changes nothing of hers.
#[test]
fn p2_without_any_check_the_keys_still_hold() {
    let world = World::new();
    let before = world.everything(&world.alice);
    super::acl::ALLOW_ALL.set(true);
    // The switch is one: alice's URL now leads somewhere, to what bob's own keys open.
    let all = cases_of_method("PROPFIND").remove(1);
    let sent = world.ask(
        &world.bob,
        "PROPFIND",
        "/dav/calendars/alice/calendar/",
        &all,
    );
    assert!(
        sent.status == 207 && sent.body.contains("bobsown"),
        "{}",
        sent.body
    );
    let (mut asked, mut let_through) = (0, 0);
    let mut try_it = |method: &str, target: &str, case: &Case| {
        let put = |text: &str| {
            text.replace("ALICE", "alice")
                .replace("%41LICE", &encoded("alice"))
        };
        let headers = case.headers.iter();
        let case = Case {
            headers: headers.map(|(name, value)| (*name, put(value))).collect(),
            body: put(&case.body),
        };
        let sent = world.ask(&world.bob, method, &put(target), &case);
        asked += 1;
        let_through += usize::from(sent.status < 400);
        let text = format!("{sent:?}");
        assert!(!text.contains(CANARY), "{method} {target}: {text}");
        for token in [&world.etag, &world.lock] {
            assert!(!text.contains(token.as_str()), "{method} {target}: {text}");
        }
    };
    for target in TARGETS {
        for row in METHODS.iter().filter(|row| row.name != "REPORT") {
            for case in cases_of_method(row.name) {
                try_it(row.name, target, &case);
            }
        }
        for row in REPORTS {
            for case in cases_of_report(row.name.local) {
                try_it("REPORT", target, &case);
            }
        }
    }
    super::acl::ALLOW_ALL.set(false);
    // Deletions among them leave less and less to be let through to.
    assert!(
        let_through * 10 > asked,
        "{let_through} of {asked} were let through"
    );
    assert_eq!(world.everything(&world.alice), before);
}

/// A UID and a name that alice has are free for bob, and the same event in two accounts shares
/// neither its tag nor its tokens (P4).
#[test]
fn h12_nothing_of_an_account_is_taken_in_another() {
    let world = World::new();
    let before = world.everything(&world.alice);
    let target = "/dav/calendars/bob/calendar/same.ics";
    let case = Case::body(event(CANARY)).with("content-type", "text/calendar");
    let sent = world.ask(&world.bob, "PUT", target, &case);
    assert_eq!(sent.status, 201, "{}", sent.body);
    let etag = sent
        .headers
        .iter()
        .find(|(name, _)| name == "etag")
        .unwrap();
    assert_ne!(etag.1, world.etag);
    let set = format!(
        "<D:propertyupdate {C}><D:set><D:prop><D:owner><D:href>/dav/principals/ALICE/</D:href></D:owner>\
         <D:group-membership><D:href>/dav/principals/ALICE/</D:href></D:group-membership>\
         <C:schedule-default-calendar-URL><D:href>/dav/calendars/ALICE/calendar/</D:href>\
         </C:schedule-default-calendar-URL></D:prop></D:set></D:propertyupdate>"
    );
    world.same(
        "PROPPATCH",
        "/dav/calendars/bob/calendar/",
        &Case::body(set),
    );
    assert_eq!(world.everything(&world.alice), before);
}

/// The methods of the handle that `vault::tests` does not try; `tests/isolation.rs` holds the two
/// lists to the source.
#[test]
fn p6_ids_of_another_account_open_nothing() {
    let world = World::new();
    let before = world.everything(&world.alice);
    let folder = world.alice.collections(world.alice.home().id);
    let calendar = folder
        .iter()
        .find(|collection| collection.is_calendar() && collection.objects == 1)
        .unwrap();
    let target = "/dav/calendars/alice/calendar/event.ics";
    let set = format!(
        "<D:propertyupdate {C}><D:set><D:prop><x xmlns='urn:x'>{CANARY}</x></D:prop></D:set>\
         </D:propertyupdate>"
    );
    let sent = world.ask(&world.alice, "PROPPATCH", target, &Case::body(set));
    assert_eq!(sent.status, 207);
    let object = world.alice.members(calendar.id).unwrap().objects.remove(0);
    assert_eq!(
        world.alice.properties(calendar.id, &object).unwrap().len(),
        1
    );
    let missing = VaultError::Missing;
    let of_bob = world.bob.properties(calendar.id, &object);
    assert_eq!(of_bob.unwrap_err(), missing);
    assert_eq!(world.bob.damaged(calendar.id).unwrap_err(), missing);
    let made = world.bob.write(|tx| {
        tx.make_collection(NewCollection {
            parent: calendar.parent.unwrap(),
            segment: Segment::parse("new").unwrap(),
            kind: CollectionKind::Plain,
            properties: Properties::new(),
        })
    });
    assert_eq!(made.unwrap_err(), missing);
    assert_ne!(world.bob.token(calendar), world.alice.token(calendar));
    let after = world.everything(&world.alice);
    assert_eq!(after.len(), before.len());
}
