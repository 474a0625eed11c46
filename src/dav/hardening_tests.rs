//! HARDENING H4, H9, H10, H11 and H15: whole requests against a real vault, in process. The list
//! of where each row is tested is in `tests/hardening.rs`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::method::{BodyKind, METHODS};
use super::{Body, Dav, DavSettings, Request};
use crate::ambient::Ambient;
use crate::ical::{ComponentKind, Extent};
use crate::ids::Segment;
use crate::limits;
use crate::vault::testing::TestVault;
use crate::vault::{AccountStore, CalendarFacts, NewObject, Node, VaultError};

const C: &str = "xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'";
const CALENDAR: &str = "/dav/calendars/alice/calendar/";

struct World {
    dav: Dav,
    alice: AccountStore,
    _vault: TestVault,
}

impl World {
    /// With a few other accounts.
    fn new() -> Self {
        let vault = TestVault::new();
        let alice = vault.add("alice");
        for other in ["bob", "carol", "alicia", "zed"] {
            vault.add(other);
        }
        World {
            dav: Dav::new(DavSettings::default(), Arc::new(Ambient::system())),
            alice: vault.unlock("alice", &alice),
            _vault: vault,
        }
    }

    fn ask(&self, method: &str, target: &str, depth: Option<&str>, body: &str) -> (u16, String) {
        let mut headers = HeaderMap::new();
        if let Some(depth) = depth {
            let name = HeaderName::from_static("depth");
            headers.insert(name, HeaderValue::from_str(depth).unwrap());
        }
        let request = Request {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            target: target.to_owned(),
            headers,
            body: body.as_bytes().to_vec().into(),
            authorities: vec!["cal.example.org".into()],
            https: true,
        };
        let response = self.dav.handle(&self.alice, request);
        let body = match response.body {
            Body::Empty => Vec::new(),
            Body::Full(bytes) => bytes.to_vec(),
            Body::Stream(steps) => steps.flat_map(|step| step.unwrap()).collect(),
        };
        (response.status.as_u16(), String::from_utf8(body).unwrap())
    }

    #[track_caller]
    fn refused(&self, (status, condition): (u16, &str), answer: (u16, String)) {
        assert_eq!(answer.0, status, "{}", answer.1);
        assert!(answer.1.contains(condition), "{condition}: {}", answer.1);
    }

    /// Puts objects `from..to` into the calendar, in one commit for each thousand.
    fn fill(&self, from: usize, to: usize) {
        let calendar = Segment::parse("calendar").unwrap();
        let Node::Collection(calendar) = self.alice.resolve(&[calendar]).unwrap() else {
            panic!("no calendar")
        };
        for begin in (from..to).step_by(1_000) {
            let put = self.alice.write(|tx| {
                for number in begin..to.min(begin + 1_000) {
                    tx.put(NewObject {
                        parent: calendar.id,
                        segment: Segment::parse(&format!("{number}.ics")).unwrap(),
                        body: b"x".to_vec(),
                        content_type: "text/calendar".into(),
                        calendar: Some(CalendarFacts {
                            uid: format!("uid-{number}").into(),
                            component: ComponentKind::Event,
                            extent: Extent {
                                first: 0,
                                last: 10,
                                ..Extent::NEVER
                            },
                            moments: Default::default(),
                        }),
                    })?;
                }
                Ok::<_, VaultError>(())
            });
            put.unwrap();
        }
        self.alice.barrier().wait().unwrap();
    }
}

/// The shortest of three runs: a busy machine makes some longer, none shorter.
fn fastest(mut run: impl FnMut()) -> Duration {
    let mut time = || {
        let begun = Instant::now();
        run();
        begun.elapsed()
    };
    (0..3).map(|_| time()).min().unwrap()
}

#[test]
fn h04_every_method_that_reads_xml_refuses_entities() {
    let world = World::new();
    let mut tried = 0;
    for row in METHODS.iter().filter(|row| row.body == BodyKind::Xml) {
        let unmapped = ["MKCOL", "MKCALENDAR"].contains(&row.name);
        let target = if unmapped {
            "/dav/calendars/alice/new/"
        } else {
            CALENDAR
        };
        for body in [
            "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
            "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
            "<!DOCTYPE a [<!ENTITY x 'ha'><!ENTITY y '&x;&x;&x;&x;'>]><a>&y;</a>",
            "<a>&undeclared;</a>",
        ] {
            let answer = world.ask(row.name, target, Some("0"), body);
            world.refused((403, "no-external-entities"), answer);
            tried += 1;
        }
    }
    assert!(tried >= 24, "{tried}");
    assert_eq!(
        world.ask("GET", "/dav/calendars/alice/new/", None, "").0,
        404
    );
}

#[test]
fn h09_names_and_hrefs_are_bounded() {
    let world = World::new();
    let names = |count: usize| -> String {
        (0..count).fold(String::new(), |mut text, number| {
            write!(text, "<x{number}/>").unwrap();
            text
        })
    };
    let propfind = |count| {
        format!(
            "<D:propfind {C}><D:prop>{}</D:prop></D:propfind>",
            names(count)
        )
    };
    let most = limits::PROPERTIES_PER_REQUEST;
    let found = world.ask("PROPFIND", CALENDAR, Some("0"), &propfind(most));
    assert_eq!(found.0, 207, "{}", found.1);
    for count in [most + 1, 9_000] {
        let found = world.ask("PROPFIND", CALENDAR, Some("0"), &propfind(count));
        assert_eq!(found.0, 413, "{}", found.1);
        let set = format!(
            "<D:propertyupdate {C}><D:set><D:prop>{}</D:prop></D:set></D:propertyupdate>",
            names(count)
        );
        let set = world.ask("PROPPATCH", CALENDAR, None, &set);
        assert_eq!(set.0, 413, "{}", set.1);
    }
    let hrefs = |count: usize, name: &dyn Fn(usize) -> String| {
        let hrefs = (0..count).fold(String::new(), |mut text, number| {
            write!(text, "<D:href>{CALENDAR}{}</D:href>", name(number)).unwrap();
            text
        });
        format!(
            "<C:calendar-multiget {C}><D:prop><D:getetag/></D:prop>{hrefs}</C:calendar-multiget>"
        )
    };
    let answer = world.ask(
        "REPORT",
        CALENDAR,
        None,
        &hrefs(limits::MULTIGET_HREFS + 1, &|number| number.to_string()),
    );
    world.refused((403, "number-of-matches-within-limits"), answer);
    // the same href again and again (told once), or always others, there or not: linear
    world.fill(0, 4_000);
    let shapes: [&dyn Fn(usize) -> String; 3] = [
        &|_| "1.ics".to_owned(),
        &|number| format!("{number}.ics"),
        &|number| format!("missing{number}"),
    ];
    for (number, shape) in shapes.into_iter().enumerate() {
        let time = |count: usize| {
            let body = hrefs(count, shape);
            fastest(|| {
                let answer = world.ask("REPORT", CALENDAR, None, &body);
                let told = if number == 0 { 1 } else { count };
                assert_eq!(answer.1.matches("<D:response>").count(), told);
            })
        };
        let (small, large) = (time(500), time(4_000));
        assert!(
            large < small * 24 + Duration::from_millis(50),
            "shape {number}: {small:?} for 500, {large:?} for 4,000"
        );
    }
}

#[test]
fn h10_listings_are_linear() {
    let world = World::new();
    let bodies = [
        (
            "PROPFIND",
            "<D:propfind xmlns:D='DAV:'><D:prop><D:getetag/></D:prop></D:propfind>".to_owned(),
        ),
        (
            "PROPFIND",
            "<D:propfind xmlns:D='DAV:'><D:allprop/></D:propfind>".to_owned(),
        ),
        (
            "REPORT",
            format!(
                "<D:sync-collection {C}><D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getetag/></D:prop></D:sync-collection>"
            ),
        ),
    ];
    let time = |count: usize| -> Vec<Duration> {
        let answers = |(method, body): &(&str, String)| {
            fastest(|| {
                let answer = world.ask(method, CALENDAR, Some("1"), body);
                assert_eq!(answer.1.matches(".ics</D:href>").count(), count);
            })
        };
        bodies.iter().map(answers).collect()
    };
    world.fill(0, 600);
    let small = time(600);
    world.fill(600, 6_000);
    let large = time(6_000);
    for (number, (small, large)) in small.into_iter().zip(large).enumerate() {
        assert!(
            large < small * 30 + Duration::from_millis(50),
            "request {number}: {small:?} for 600, {large:?} for 6,000"
        );
    }
}

#[test]
fn h11_infinite_depth_is_refused_everywhere() {
    let world = World::new();
    world.fill(0, 1);
    for target in [
        "/",
        "/dav/",
        "/dav/principals/",
        "/dav/principals/alice/",
        "/dav/calendars/",
        "/dav/calendars/alice/",
        CALENDAR,
    ] {
        for depth in [Some("infinity"), Some("Infinity"), None] {
            for body in ["", "<D:propfind xmlns:D='DAV:'><D:propname/></D:propfind>"] {
                let answer = world.ask("PROPFIND", target, depth, body);
                world.refused((403, "propfind-finite-depth"), answer);
            }
        }
        assert_eq!(
            world.ask("PROPFIND", target, Some("1"), "").0,
            207,
            "{target}"
        );
    }
}

#[test]
fn h15_nobody_finds_other_people() {
    let world = World::new();
    let others = ["bob", "carol", "alicia", "zed"];
    let search = |property: &str, text: &str, test: &str| {
        format!(
            "<D:principal-property-search {C} {test}><D:property-search><D:prop>{property}</D:prop>\
             <D:match>{text}</D:match></D:property-search><D:prop><D:displayname/></D:prop>\
             <D:apply-to-principal-collection-set/></D:principal-property-search>"
        )
    };
    let properties = [
        "<D:displayname/>",
        "<C:calendar-user-address-set/>",
        "<D:principal-URL/>",
        "<D:displayname/><C:calendar-user-address-set/>",
    ];
    let mut found = 0;
    for target in [
        "/dav/principals/",
        "/dav/",
        "/",
        "/dav/principals/alice/",
        "/dav/calendars/",
    ] {
        for property in properties {
            for text in [
                "a", "b", "e", "o", "@", ".", "*", "%", "bob", "alicia", "alice", "mailto:", "",
            ] {
                for test in ["", "test='anyof'", "test='allof'"] {
                    let body = search(property, text, test);
                    let (status, answer) = world.ask("REPORT", target, Some("0"), &body);
                    assert_eq!(status, 207, "{answer}");
                    for other in others {
                        assert!(!answer.contains(other), "{body}: {answer}");
                    }
                    found += usize::from(answer.contains("/dav/principals/alice/"));
                }
            }
        }
    }
    assert!(found > 0, "nobody finds even themselves");
    let listing = "<D:propfind xmlns:D='DAV:'><D:allprop/></D:propfind>";
    for target in [
        "/",
        "/dav/",
        "/dav/principals/",
        "/dav/calendars/",
        "/dav/calendars/alice/",
    ] {
        let (_, answer) = world.ask("PROPFIND", target, Some("1"), listing);
        for other in others {
            assert!(!answer.contains(other), "{target}: {answer}");
        }
    }
}
