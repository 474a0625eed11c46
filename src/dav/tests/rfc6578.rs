//! The examples of RFC 6578 and what its section 3.5 says of changes. Appendix B, a whole
//! client, is in `simulated`.

use super::*;

const BIGBOX: QName = QName {
    ns: "urn:ns.example.com:boxschema",
    local: "bigbox",
};

impl Server {
    /// A report as the examples print it; they send Depth: 0, or nothing.
    fn collect(&self, target: &str, token: &str, level: &str, more: &str) -> Answer {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\" ?>
             <D:sync-collection xmlns:D=\"DAV:\">
               <D:sync-token>{token}</D:sync-token>
               <D:sync-level>{level}</D:sync-level>{more}
               <D:prop xmlns:R=\"urn:ns.example.com:boxschema\">
                 <D:getetag/><R:bigbox/>
               </D:prop>
             </D:sync-collection>"
        );
        let xml = ("content-type", "text/xml; charset=\"utf-8\"");
        self.ask("REPORT", target, &[("depth", "0"), xml], &body)
    }

    fn changed(&self, token: &str) -> Multistatus {
        self.collect(WORK, token, "1", "").multistatus()
    }

    fn delete(&self, name: &str) {
        self.expect(204, "DELETE", &format!("{WORK}{name}"), &[], "");
    }

    fn put_event(&self, name: &str) {
        self.put(&format!("{WORK}{name}"), &event(name, 10, ""));
    }
}

const LIMIT_ONE: &str = "<D:limit><D:nresults>1</D:nresults></D:limit>";

fn token(found: &Multistatus) -> String {
    found.0.child(dav("sync-token")).unwrap().text()
}

/// `work` with three members, the first of which has a property of its own.
fn server() -> Server {
    let server = Server::new();
    for name in ["test.ics", "vcard.ics", "calendar.ics"] {
        server.put_event(name);
    }
    let set = "<D:propertyupdate xmlns:D='DAV:' xmlns:R='urn:ns.example.com:boxschema'><D:set>\
        <D:prop><R:bigbox><R:BoxType>Box type A</R:BoxType></R:bigbox></D:prop></D:set></D:propertyupdate>";
    server.expect(207, "PROPPATCH", &format!("{WORK}test.ics"), &[], set);
    server
}

fn sorted(found: &Multistatus) -> Vec<String> {
    let mut names = found.names();
    names.sort();
    names
}

#[test]
fn rfc6578_3_8_example() {
    let server = server();
    let found = server.changed("");
    assert_eq!(sorted(&found), ["calendar.ics", "test.ics", "vcard.ics"]);
    for href in found.hrefs() {
        let etag = server.ask("GET", &href, &[], "").header("etag");
        assert_eq!(found.value(&href, dav("getetag")).text(), etag);
        let expected = if href.ends_with("test.ics") { 200 } else { 404 };
        assert_eq!(found.property(&href, BIGBOX).unwrap().0, expected);
    }
    // section 4: a URI, the same as the property, which is not in allprop
    let token = token(&found);
    assert!(
        token.contains(':') && !token.contains(char::is_whitespace),
        "{token}"
    );
    let property = server.propfind(WORK, "0", "<D:sync-token/>");
    assert_eq!(property.value(WORK, dav("sync-token")).text(), token);
    let all = server
        .ask("PROPFIND", WORK, &[("depth", "0")], "")
        .multistatus();
    assert!(all.property(WORK, dav("sync-token")).is_none());
}

#[test]
fn rfc6578_3_9_example() {
    let server = server();
    let before = token(&server.changed(""));
    server.put_event("file.ics");
    server.put_event("vcard.ics");
    server.delete("test.ics");
    let found = server.changed(&before);
    assert_eq!(sorted(&found), ["file.ics", "test.ics", "vcard.ics"]);
    assert_eq!(found.status(&format!("{WORK}test.ics")), 404);
    for name in ["file.ics", "vcard.ics"] {
        let href = format!("{WORK}{name}");
        found.value(&href, dav("getetag"));
        assert_eq!(found.property(&href, BIGBOX).unwrap().0, 404);
    }
    assert_ne!(token(&found), before);
}

#[test]
fn rfc6578_3_10_and_3_11_examples() {
    let server = server();
    let mut since = String::new();
    let mut seen = Vec::new();
    for page in 1..=3 {
        let found = server.collect(WORK, &since, "1", LIMIT_ONE).multistatus();
        let mut hrefs = found.hrefs();
        if page < 3 {
            assert_eq!(hrefs.pop().as_deref(), Some(WORK));
            let own = found.response(WORK);
            assert_eq!(status_of(own), 507);
            let error = own.child(dav("error")).unwrap();
            assert!(
                error
                    .child(dav("number-of-matches-within-limits"))
                    .is_some()
            );
        }
        assert_eq!(hrefs.len(), 1);
        found.value(&hrefs[0], dav("getetag"));
        seen.append(&mut hrefs);
        since = token(&found);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3);
    assert_eq!(server.changed(&since).hrefs(), [""; 0]);
}

#[test]
fn rfc6578_3_12_example() {
    let server = server();
    let since = token(&server.changed(""));
    // every limit can be kept but that of no result at all; the example says 507, and section
    // 3.7 no more than the name of the condition
    let none = "<D:limit><D:nresults>0</D:nresults></D:limit>";
    server
        .collect(WORK, &since, "1", none)
        .refused(403, dav("number-of-matches-within-limits"));
    let hundred = "<D:limit><D:nresults>100</D:nresults></D:limit>";
    assert_eq!(server.collect(WORK, &since, "1", hundred).status, 207);
}

#[test]
fn rfc6578_3_13_example() {
    let server = server();
    let files = format!("{HOME}files/");
    server.expect(201, "MKCOL", &files, &[], "");
    let found = server.collect(HOME, "", "infinite", "").multistatus();
    // a plain collection has no such report, a calendar one of its own (section 3.3)
    for (href, condition) in [
        (WORK, "sync-traversal-supported"),
        (files.as_str(), "supported-report"),
    ] {
        assert_eq!(found.status(href), 403);
        let error = found.response(href).child(dav("error")).unwrap();
        assert!(error.child(dav(condition)).is_some(), "{href}");
    }
    assert!(found.hrefs().iter().all(|href| !href.ends_with(".ics")));
    // "sent once": with the token there is nothing new
    let again = server.collect(HOME, &token(&found), "infinite", "");
    assert_eq!(again.multistatus().hrefs(), [""; 0]);
    let whole = server.collect(WORK, "", "infinite", "").multistatus();
    assert_eq!(sorted(&whole), ["calendar.ics", "test.ics", "vcard.ics"]);
}

#[test]
fn rfc6578_3_5_1_what_is_made_again_is_changed_and_not_removed() {
    let server = server();
    let since = token(&server.changed(""));
    server.delete("test.ics");
    server.put_event("test.ics");
    let other = format!("{HOME}other/");
    server.expect(201, "MKCALENDAR", &other, &[], "");
    let moved = format!("{other}vcard.ics");
    let to = [("destination", moved.as_str())];
    server.expect(201, "MOVE", &format!("{WORK}vcard.ics"), &to, "");
    let back = format!("{WORK}back.ics");
    server.expect(201, "COPY", &moved, &[("destination", &back)], "");
    let found = server.changed(&since);
    assert_eq!(sorted(&found), ["back.ics", "test.ics", "vcard.ics"]);
    found.value(&format!("{WORK}test.ics"), dav("getetag"));
    found.value(&back, dav("getetag"));
    assert_eq!(found.status(&format!("{WORK}vcard.ics")), 404);
}

#[test]
fn rfc6578_3_5_2_what_came_and_went_is_removed() {
    let server = server();
    let since = token(&server.changed(""));
    server.put_event("short.ics");
    server.delete("short.ics");
    let found = server.changed(&since);
    assert_eq!(found.names(), ["short.ics"]);
    assert_eq!(found.status(&format!("{WORK}short.ics")), 404);
    // and an initial report tells of nothing removed (section 3.4)
    assert!(!sorted(&server.changed("")).contains(&"short.ics".to_owned()));
}

#[test]
fn rfc6578_3_2_a_token_of_a_collection_that_is_gone() {
    let server = server();
    let since = token(&server.changed(""));
    server.expect(204, "DELETE", WORK, &[], "");
    server.expect(201, "MKCALENDAR", WORK, &[], "");
    server
        .collect(WORK, &since, "1", "")
        .refused(403, dav("valid-sync-token"));
}

#[test]
fn rfc6578_5_1_example() {
    let server = server();
    let states = format!("<{WORK}> (<{}>)", token(&server.changed("")));
    let headers = [("if", states.as_str()), ("content-type", "text/calendar")];
    let new = format!("{WORK}newresource.ics");
    server.expect(201, "PUT", &new, &headers, &event("new", 10, ""));
    let other = format!("{WORK}other.ics");
    server.expect(412, "PUT", &other, &headers, &event("other", 10, ""));
}

#[test]
fn rfc6578_5_2_example() {
    let server = server();
    let home = server.collect(HOME, "", "1", "").multistatus();
    let states = format!("<{HOME}> (<{}>)", token(&home));
    let headers = [("if", states.as_str())];
    server.expect(201, "MKCOL", &format!("{HOME}child/"), &headers, "");
    server.expect(412, "MKCOL", &format!("{HOME}next/"), &headers, "");
}

#[test]
fn rfc6578_appendix_a_depth_stands_for_the_level() {
    let server = server();
    let body = "<D:sync-collection xmlns:D='DAV:'><D:sync-token/><D:prop><D:getetag/></D:prop></D:sync-collection>";
    let one = server
        .ask("REPORT", HOME, &[("depth", "1")], body)
        .multistatus();
    assert!(one.property(WORK, dav("getetag")).is_some());
    let deep = server
        .ask("REPORT", HOME, &[("depth", "infinity")], body)
        .multistatus();
    assert_eq!(deep.status(WORK), 403);
}
