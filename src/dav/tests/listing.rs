//! PROPFIND (RFC 4918 section 9.1) with members.

use super::*;

#[test]
fn rfc4918_9_1_depth() {
    let server = Server::with(&[
        ("b.ics", &event("b", 10, "")),
        ("a b.ics", &event("a", 11, "")),
    ]);
    assert_eq!(server.propfind(WORK, "0", "<D:getetag/>").hrefs(), [WORK]);
    let hrefs = server.propfind(WORK, "1", "<D:getetag/>").hrefs();
    assert_eq!(
        hrefs,
        [
            WORK.to_owned(),
            format!("{WORK}a%20b.ics"),
            format!("{WORK}b.ics")
        ]
    );
    assert_eq!(
        server.propfind(HOME, "1", "<D:resourcetype/>").hrefs(),
        CHILDREN
    );
    assert_eq!(
        server
            .propfind("/dav/principals/", "1", "<D:resourcetype/>")
            .hrefs()[1],
        PRINCIPAL
    );
    assert_eq!(
        server
            .propfind("/dav/calendars/", "1", "<D:resourcetype/>")
            .hrefs()[1],
        HOME
    );
    assert_eq!(
        server
            .propfind("/dav/calendars/alice/work", "0", "<D:getetag/>")
            .hrefs(),
        [WORK]
    );
    let object = format!("{WORK}b.ics");
    let found = server.ask("PROPFIND", &object, &[("depth", "infinity")], "");
    assert_eq!(found.multistatus().hrefs(), [object]);
    for headers in [&[("depth", "infinity")][..], &[]] {
        server
            .ask("PROPFIND", WORK, headers, "")
            .refused(403, dav("propfind-finite-depth"));
    }
    assert_eq!(
        server.ask("PROPFIND", WORK, &[("depth", "2")], "").status,
        400
    );
}

#[test]
fn rfc8144_3_depth_noroot() {
    let server = Server::with(&[("a.ics", &event("a", 10, ""))]);
    let headers = [("depth", "1"), ("prefer", "depth-noroot")];
    let found = server.ask("PROPFIND", WORK, &headers, "").multistatus();
    assert_eq!(found.names(), ["a.ics"]);
}

#[test]
fn rfc4918_9_1_3_missing_properties_are_404() {
    let server = Server::new();
    let found = server.propfind(WORK, "0", "<D:resourcetype/><Z:R>text</Z:R><D:getetag/>");
    let types = found.value(WORK, dav("resourcetype"));
    assert!(types.child(dav("collection")).is_some() && types.child(caldav("calendar")).is_some());
    let foreign = QName {
        ns: "http://example.com/z/",
        local: "R",
    };
    assert_eq!(found.property(WORK, foreign).unwrap().0, 404);
    assert_eq!(found.property(WORK, dav("getetag")).unwrap().0, 404);
}

#[test]
fn rfc8144_2_1_return_minimal_leaves_them_out() {
    let server = Server::new();
    let body = format!("<D:propfind {NAMESPACES}><D:prop><Z:R/></D:prop></D:propfind>");
    for header in [("prefer", "return=minimal"), ("brief", "t")] {
        let answer = server.ask("PROPFIND", WORK, &[("depth", "0"), header], &body);
        assert_eq!(answer.headers["preference-applied"], "return=minimal");
        assert!(answer.headers["vary"].to_str().unwrap().contains("Prefer"));
        let found = answer.multistatus();
        let propstats: Vec<&Element> = found
            .response(WORK)
            .children_named(dav("propstat"))
            .collect();
        assert_eq!(propstats.len(), 1);
        assert_eq!(status_of(propstats[0]), 200);
        assert_eq!(
            propstats[0].child(dav("prop")).unwrap().elements().count(),
            0
        );
    }
}

#[test]
fn rfc4918_9_1_5_allprop_and_propname() {
    let server = Server::with(&[("a.ics", &event("a", 10, ""))]);
    let href = format!("{WORK}a.ics");
    let set = format!(
        "<D:propertyupdate {NAMESPACES}><D:set><D:prop><Z:dead>x</Z:dead></D:prop></D:set></D:propertyupdate>"
    );
    assert_eq!(server.ask("PROPPATCH", &href, &[], &set).status, 207);
    let dead = QName {
        ns: "http://example.com/z/",
        local: "dead",
    };
    for body in ["", "<D:propfind xmlns:D='DAV:'><D:allprop/></D:propfind>"] {
        let found = server
            .ask("PROPFIND", &href, &[("depth", "0")], body)
            .multistatus();
        for name in [
            "getetag",
            "getcontentlength",
            "creationdate",
            "supportedlock",
            "resourcetype",
        ] {
            found.value(&href, dav(name));
        }
        assert_eq!(found.value(&href, dead).text(), "x");
        // what RFC 3744 and RFC 4791 define has to be named
        assert!(found.property(&href, dav("acl")).is_none());
    }
    let include =
        "<D:propfind xmlns:D='DAV:'><D:allprop/><D:include><D:acl/></D:include></D:propfind>";
    server
        .ask("PROPFIND", &href, &[("depth", "0")], include)
        .multistatus()
        .value(&href, dav("acl"));
    let names = "<D:propfind xmlns:D='DAV:'><D:propname/></D:propfind>";
    let found = server
        .ask("PROPFIND", &href, &[("depth", "0")], names)
        .multistatus();
    for name in [dav("getetag"), dav("acl"), dead] {
        assert_eq!(found.value(&href, name).children.len(), 0);
    }
    assert!(found.property(&href, dav("displayname")).is_none());
    let both = "<D:propfind xmlns:D='DAV:'><D:propname/><D:allprop/></D:propfind>";
    assert_eq!(
        server
            .ask("PROPFIND", &href, &[("depth", "0")], both)
            .status,
        400
    );
}

#[test]
fn properties_of_an_object() {
    let body = event("a", 10, "");
    let server = Server::with(&[("a.ics", &body)]);
    let href = format!("{WORK}a.ics");
    let found = server.propfind(
        &href,
        "0",
        "<D:getetag/><D:getcontenttype/><D:getcontentlength/><D:getlastmodified/><D:resourcetype/><D:resource-id/><C:calendar-data/>",
    );
    let text = |name| found.value(&href, dav(name)).text();
    assert_eq!(
        text("getcontenttype"),
        "text/calendar; charset=utf-8; component=VEVENT"
    );
    assert_eq!(text("getcontentlength"), body.len().to_string());
    assert!(text("getlastmodified").ends_with("GMT"));
    let etag = server.ask("GET", &href, &[], "").headers["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(text("getetag"), etag);
    assert!(found.value(&href, dav("resourcetype")).children.is_empty());
    let id = found
        .value(&href, dav("resource-id"))
        .child(dav("href"))
        .unwrap()
        .text();
    assert!(id.starts_with("urn:uuid:") && id.len() == 45, "{id}");
    // calendar data is for reports (RFC 4791 section 9.6)
    assert_eq!(
        found.property(&href, caldav("calendar-data")).unwrap().0,
        404
    );
}

#[test]
fn rfc4791_5_2_properties_of_a_calendar() {
    let server = Server::new();
    let found = server.propfind(
        WORK,
        "0",
        "<C:supported-calendar-component-set/><C:supported-calendar-data/><C:max-resource-size/>\
         <C:supported-collation-set/><D:sync-token/><S:getctag/><D:add-member/><D:supported-report-set/><C:max-instances/>",
    );
    let comps = found.value(WORK, caldav("supported-calendar-component-set"));
    let names: Vec<&str> = comps
        .elements()
        .filter_map(|comp| comp.attribute("name"))
        .collect();
    assert_eq!(names, ["VEVENT", "VTODO", "VJOURNAL"]);
    let size = found.value(WORK, caldav("max-resource-size")).text();
    assert_eq!(size, crate::limits::OBJECT_BYTES.to_string());
    assert_eq!(
        found
            .value(WORK, dav("add-member"))
            .child(dav("href"))
            .unwrap()
            .text(),
        WORK
    );
    let reports = found.value(WORK, dav("supported-report-set"));
    let has = |name: QName| {
        reports
            .elements()
            .any(|report| report.child(dav("report")).unwrap().child(name).is_some())
    };
    assert!(has(caldav("calendar-query")) && has(dav("sync-collection")));
    assert!(has(caldav("free-busy-query")));
    assert_eq!(
        found.property(WORK, caldav("max-instances")).unwrap().0,
        404
    );
}

#[test]
fn ctags_change_with_what_is_below() {
    let server = Server::new();
    let tags = || {
        let tag = |href| {
            let found = server.propfind(href, "0", "<S:getctag/>");
            found.value(href, crate::xml::cs("getctag")).text()
        };
        (tag(HOME), tag(WORK))
    };
    let before = tags();
    assert_eq!(before, tags());
    server.put(&format!("{WORK}a.ics"), &event("a", 10, ""));
    let after = tags();
    assert!(before.0 != after.0 && before.1 != after.1);
}

#[test]
fn h10_long_listings_stream() {
    let server = Server::new();
    for number in 0..1_000 {
        server.put(
            &format!("{WORK}{number:04}.ics"),
            &event(&number.to_string(), 10, ""),
        );
    }
    let body = "<D:propfind xmlns:D='DAV:'><D:prop><D:getetag/></D:prop></D:propfind>";
    let response = server.respond("PROPFIND", WORK, &[("depth", "1")], body);
    let Body::Stream(steps) = response.body else {
        panic!("not streamed")
    };
    let lengths: Vec<usize> = steps.map(|step| step.unwrap().len()).collect();
    assert!(lengths.len() > 1);
    assert!(
        lengths
            .iter()
            .all(|length| *length < 2 * crate::limits::LISTING_STEP_BYTES)
    );
    let hrefs = server
        .ask("PROPFIND", WORK, &[("depth", "1")], body)
        .multistatus()
        .hrefs();
    assert_eq!(hrefs.len(), 1_001);
}

#[test]
fn long_names_are_not_repeated_for_every_member() {
    let server = Server::new();
    let ask = |length: usize| {
        let long = "x".repeat(length);
        let body =
            format!("<D:propfind {NAMESPACES}><D:prop><y xmlns='{long}'/></D:prop></D:propfind>");
        server
            .ask("PROPFIND", WORK, &[("depth", "0")], &body)
            .status
    };
    assert_eq!(ask(1_000), 207);
    assert_eq!(ask(crate::limits::PROPERTY_NAME_BYTES), 413);
}
