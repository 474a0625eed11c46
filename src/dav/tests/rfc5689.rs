//! The examples of RFC 5689, extended MKCOL.

use super::*;

const SPECIAL: &str = "/dav/calendars/alice/special/";

fn mkcol(kind: &str, name: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>
         <D:mkcol xmlns:D=\"DAV:\" xmlns:E=\"http://example.com/ns/\"
                  xmlns:C=\"urn:ietf:params:xml:ns:caldav\">
           <D:set><D:prop>
             <D:resourcetype><D:collection/>{kind}</D:resourcetype>
             <D:displayname>{name}</D:displayname>
           </D:prop></D:set>
         </D:mkcol>"
    )
}

impl Server {
    /// Type and display name of a collection.
    #[track_caller]
    fn described(&self, href: &str) -> (Vec<String>, String) {
        let found = self.propfind(href, "0", "<D:resourcetype/><D:displayname/>");
        let types = found.value(href, dav("resourcetype"));
        let types = types.elements().map(|kind| kind.name.local.clone());
        let name = found.value(href, dav("displayname")).text();
        (types.collect(), name)
    }
}

#[test]
fn rfc5689_3_1_1_example() {
    let server = Server::new();
    for href in [HOME, WORK] {
        let answer = server.expect(200, "OPTIONS", href, &[], "");
        let classes = answer.header("dav");
        for class in ["1", "2", "3", "access-control", "extended-mkcol"] {
            assert!(classes.split(", ").any(|given| given == class), "{classes}");
        }
    }
    let unmapped = server.expect(200, "OPTIONS", SPECIAL, &[], "");
    assert!(unmapped.header("allow").contains("MKCOL"));
}

#[test]
fn rfc5689_3_4_example() {
    let server = Server::new();
    // the example's resource type is made up; of ours, an ordinary collection
    let made = server.expect(201, "MKCOL", SPECIAL, &[], &mkcol("", "Special Resource"));
    assert_eq!(
        (made.header("cache-control"), made.text.as_str()),
        ("no-cache".into(), "")
    );
    let expected = (vec!["collection".to_owned()], "Special Resource".to_owned());
    assert_eq!(server.described(SPECIAL), expected);
}

#[test]
fn rfc5689_3_5_example() {
    let server = Server::new();
    let body = mkcol("<E:special-resource/>", "Special Resource");
    let refused = server.expect(403, "MKCOL", SPECIAL, &[], &body);
    assert_eq!(refused.header("cache-control"), "no-cache");
    let response = refused.xml();
    assert!(response.is(dav("mkcol-response")));
    let of = |name: &str| {
        let inside = |propstat: &&Element| {
            let prop = propstat.child(dav("prop")).unwrap();
            prop.elements().any(|property| property.name.local == name)
        };
        response
            .children_named(dav("propstat"))
            .find(inside)
            .unwrap()
    };
    assert_eq!(status_of(of("resourcetype")), 403);
    let error = of("resourcetype").child(dav("error")).unwrap();
    assert!(error.child(dav("valid-resourcetype")).is_some());
    assert_eq!(status_of(of("displayname")), 424);
    assert_eq!(
        server
            .ask("PROPFIND", SPECIAL, &[("depth", "0")], "")
            .status,
        404
    );
}

#[test]
fn rfc5689_4_1_1_example() {
    let server = Server::new();
    let old = format!("{HOME}events/");
    let body = "<?xml version=\"1.0\" encoding=\"utf-8\" ?>
         <C:mkcalendar xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\">
           <D:set><D:prop><D:displayname>Lisa's Events</D:displayname></D:prop></D:set>
         </C:mkcalendar>";
    let one = server.expect(201, "MKCALENDAR", &old, &[], body);
    let two = server.expect(
        201,
        "MKCOL",
        SPECIAL,
        &[],
        &mkcol("<C:calendar/>", "Lisa's Events"),
    );
    // the printed answers list what was set, which both RFCs leave to the server
    for made in [one, two] {
        assert_eq!(
            (made.header("cache-control"), made.text),
            ("no-cache".into(), String::new())
        );
    }
    let types = vec!["collection".to_owned(), "calendar".to_owned()];
    assert_eq!(server.described(&old), (types, "Lisa's Events".to_owned()));
    assert_eq!(server.described(&old), server.described(SPECIAL));
    server.put(&format!("{SPECIAL}1.ics"), &event("1", 10, ""));
}
