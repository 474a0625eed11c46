//! Multiget, expand-property and the reports on principals.

use super::*;
use crate::dav::context::{Context, Resource};
use crate::dav::multistatus::Responder;
use crate::dav::property::rows;
use crate::dav::report::REPORTS;
use crate::ids::Segment;
use crate::vault::{Node, Retention, Summary};

#[test]
fn rfc4791_7_9_1_multiget() {
    let (one, two) = (event("1", 10, "SUMMARY:Ä & <b>\r\n"), event("2", 11, ""));
    let server = Server::with(&[("a.ics", &one), ("b c.ics", &two)]);
    let answer = server.report(
        WORK,
        "C:calendar-multiget",
        "<D:prop><D:getetag/><C:calendar-data/></D:prop><D:href>/dav/calendars/alice/work/b%20c.ics</D:href>\
         <D:href>/dav/calendars/alice/work/none.ics</D:href>\
         <D:href>https://cal.example.org/dav/calendars/alice/work/a.ics</D:href>",
    );
    let found = answer.multistatus();
    let (a, b) = (format!("{WORK}a.ics"), format!("{WORK}b%20c.ics"));
    assert_eq!(
        found.hrefs(),
        [b.clone(), format!("{WORK}none.ics"), a.clone()]
    );
    // byte for byte, CR LF and all
    assert_eq!(found.value(&a, caldav("calendar-data")).text(), one);
    assert_eq!(found.value(&b, caldav("calendar-data")).text(), two);
    found.value(&a, dav("getetag"));
    assert_eq!(found.status(&format!("{WORK}none.ics")), 404);
}

#[test]
fn h12_multiget_answers_404_for_what_is_not_ours() {
    let server = Server::with(&[("a.ics", &event("1", 10, ""))]);
    for href in [
        "/dav/calendars/bob/work/a.ics",
        "https://other.example.org/dav/calendars/alice/work/a.ics",
        "/dav/calendars/alice/work/%2e%2e/work/a.ics",
        "/dav/calendars/alice/work/",
        "a.ics",
        "/dav/calendars/alice/work/a.ics/",
    ] {
        let inner = format!("<D:prop><C:calendar-data/></D:prop><D:href>{href}</D:href>");
        let found = server
            .report(WORK, "C:calendar-multiget", &inner)
            .multistatus();
        assert_eq!(found.status(href), 404, "{href}");
    }
}

#[test]
fn rfc4918_14_7_no_href_is_told_of_twice() {
    let server = Server::with(&[("a.ics", &event("1", 10, ""))]);
    let href = format!("{WORK}a.ics");
    let hrefs = format!(
        "<D:href>{href}</D:href><D:href>{WORK}%61.ics</D:href>\
         <D:href>https://cal.example.org{href}</D:href><D:href>/x</D:href><D:href>/x</D:href>"
    );
    let found = server.report(WORK, "C:calendar-multiget", &hrefs);
    assert_eq!(found.multistatus().hrefs(), [href, "/x".to_owned()]);
}

#[test]
fn multiget_is_bounded() {
    let server = Server::new();
    let hrefs = "<D:href>/dav/x</D:href>".repeat(crate::limits::MULTIGET_HREFS + 1);
    let answer = server.report(WORK, "C:calendar-multiget", &hrefs);
    answer.refused(403, dav("number-of-matches-within-limits"));
}

#[test]
fn rfc4791_9_6_parts_of_calendar_data() {
    let server = Server::with(&[("a.ics", &event("1", 10, "SUMMARY:s\r\nLOCATION:l\r\n"))]);
    let href = format!("{WORK}a.ics");
    let ask = |data: &str| {
        let inner = format!("<D:prop>{data}</D:prop><D:href>{href}</D:href>");
        server.report(WORK, "C:calendar-multiget", &inner)
    };
    let answer = ask(
        "<C:calendar-data><C:comp name='VCALENDAR'><C:prop name='VERSION'/><C:comp name='VEVENT'><C:prop name='SUMMARY'/></C:comp></C:comp></C:calendar-data>",
    );
    let found = answer.multistatus();
    let text = found.value(&href, caldav("calendar-data")).text();
    assert_eq!(
        text,
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nSUMMARY:s\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    );
    ask("<C:calendar-data content-type='application/calendar+json' version='2.0'/>")
        .refused(403, caldav("supported-calendar-data"));
}

/// A summary of `a.ics` in `work` that `forge` changed, and its calendar.
fn forged(server: &Server, forge: fn(&mut Summary)) -> (Resource, Arc<Summary>) {
    let work = match server
        .account
        .resolve(&[Segment::parse("work").unwrap()])
        .unwrap()
    {
        Node::Collection(work) => work,
        other => panic!("{other:?}"),
    };
    let name = Segment::parse("a.ics").unwrap();
    let object = server.account.object(work.id, &name).unwrap().unwrap();
    let mut summary = (*object).clone();
    forge(&mut summary);
    (Resource::Object(work, Arc::new(summary)), object)
}

/// What is told of that summary's getetag and calendar-data.
fn told(server: &Server, resource: &Resource) -> Multistatus {
    let request = Request {
        method: Method::GET,
        target: WORK.to_owned(),
        headers: HeaderMap::new(),
        body: Default::default(),
        authorities: Vec::new(),
        https: true,
    };
    let context = Context::new(&server.dav, &server.account, &request).unwrap();
    let prop = format!("<D:x {NAMESPACES}><D:prop><D:getetag/><C:calendar-data/></D:prop></D:x>");
    let prop = parse(prop.as_bytes(), &XmlLimits::default()).unwrap();
    let selection = crate::dav::report::selection(&prop).unwrap();
    let responder = Responder::new(&context, selection);
    let mut writer = crate::xml::Writer::document();
    writer.start(dav("multistatus"));
    responder.write("/x", resource, &mut writer).unwrap();
    Multistatus(parse(&writer.finish(), &XmlLimits::default()).unwrap())
}

#[test]
fn h32_a_damaged_body_is_reported_for_itself() {
    let server = Server::with(&[("a.ics", &event("1", 10, ""))]);
    // a body of another length than its summary says is a damaged row
    let (resource, object) = forged(&server, |summary| summary.size += 1);
    let told = told(&server, &resource);
    assert_eq!(
        told.value("/x", dav("getetag")).text(),
        object.etag.to_string()
    );
    assert_eq!(told.property("/x", caldav("calendar-data")).unwrap().0, 500);
}

#[test]
fn an_object_overwritten_during_a_listing_is_told_with_its_new_tag() {
    let server = Server::with(&[("a.ics", &event("1", 10, ""))]);
    // kept, the old body would be told with its old tag
    server._vault.vault.retain(Retention::NOTHING);
    let (resource, old) = forged(&server, |_| ());
    let newer = event("1", 12, "");
    server.put(&format!("{WORK}a.ics"), &newer);
    // the old row is there until the commit is
    server.account.barrier().wait().unwrap();
    let now = told(&server, &resource);
    assert_eq!(now.value("/x", caldav("calendar-data")).text(), newer);
    assert_ne!(now.value("/x", dav("getetag")).text(), old.etag.to_string());
    assert_eq!(
        server
            .ask("DELETE", &format!("{WORK}a.ics"), &[], "")
            .status,
        204
    );
    server.account.barrier().wait().unwrap();
    assert_eq!(told(&server, &resource).status("/x"), 404);
}

#[test]
fn reports_that_are_not_there_are_refused_by_name() {
    let server = Server::new();
    for (target, name) in [
        (WORK, "D:version-tree"),
        (PRINCIPAL, "C:calendar-query"),
        ("/dav/", "D:sync-collection"),
    ] {
        server
            .report(target, name, "")
            .refused(403, dav("supported-report"));
    }
    assert_eq!(server.ask("REPORT", WORK, &[], "").status, 400);
}

#[test]
fn every_report_answers_where_it_is_advertised() {
    let server = Server::with(&[("a.ics", &event("1", 10, ""))]);
    let object = format!("{WORK}a.ics");
    for target in [
        "/",
        "/dav/",
        "/dav/principals/",
        PRINCIPAL,
        "/dav/calendars/",
        HOME,
        WORK,
        &object,
    ] {
        let found = server.propfind(target, "0", "<D:supported-report-set/>");
        let set = found.value(target, dav("supported-report-set"));
        for report in set.elements().map(|one| one.child(dav("report")).unwrap()) {
            let name = &report.elements().next().unwrap().name;
            assert!(REPORTS.iter().any(|row| *name == row.name));
            let body = format!("<x:{} xmlns:x='{}'/>", name.local, name.ns);
            let answer = server.ask("REPORT", target, &[], &body);
            assert!(
                !answer.text.contains("supported-report/>"),
                "{target} {name:?}"
            );
            assert!(answer.status < 500, "{target} {name:?}");
        }
    }
}

#[test]
fn every_live_property_can_be_asked_for_everywhere() {
    let server = Server::with(&[("a.ics", &event("1", 10, ""))]);
    let names: String = rows()
        .map(|row| format!("<x:{} xmlns:x='{}'/>", row.name.local, row.name.ns))
        .collect();
    let object = format!("{WORK}a.ics");
    for target in [
        "/",
        "/dav/",
        "/dav/principals/",
        PRINCIPAL,
        "/dav/calendars/",
        HOME,
        WORK,
        &object,
    ] {
        let found = server.propfind(target, "0", &names);
        for row in rows() {
            let (status, _) = found.property(target, row.name).unwrap();
            assert!(status == 200 || status == 404, "{target} {:?}", row.name);
        }
    }
}

#[test]
fn rfc3253_3_8_expand_property() {
    let server = Server::new();
    let answer = server.report(
        WORK,
        "D:expand-property",
        "<D:property name='owner'><D:property name='displayname'/><D:property name='calendar-home-set' namespace='urn:ietf:params:xml:ns:caldav'/>\
         <D:property name='nothing' namespace='z:'/></D:property>",
    );
    let found = answer.multistatus();
    let owner = found.value(WORK, dav("owner"));
    let inner = Multistatus(owner.clone());
    assert_eq!(inner.hrefs(), [PRINCIPAL]);
    assert_eq!(inner.value(PRINCIPAL, dav("displayname")).text(), "alice");
    inner.value(PRINCIPAL, caldav("calendar-home-set"));
    let mut deep = "<D:property name='owner'/>".to_owned();
    for _ in 0..crate::limits::EXPAND_PROPERTY_DEPTH {
        deep = format!("<D:property name='owner'>{deep}</D:property>");
    }
    assert_eq!(server.report(WORK, "D:expand-property", &deep).status, 413);
    for evil in [
        "<D:property name='a/&gt;&lt;b'/>",
        "<D:property name='\u{aa}'/>",
        "<D:property name='a' namespace='http://www.w3.org/2000/xmlns/'/>",
    ] {
        assert_eq!(server.report(WORK, "D:expand-property", evil).status, 400);
    }
}

#[test]
fn expand_property_is_bounded() {
    let server = Server::new();
    let set = |inner: &str| {
        let body = format!(
            "<D:propertyupdate {NAMESPACES}><D:set><D:prop>{inner}</D:prop></D:set></D:propertyupdate>"
        );
        server.ask("PROPPATCH", WORK, &[], &body).multistatus();
    };
    let long = "x".repeat(200_000);
    set(&format!("<Z:long>{long}</Z:long>"));
    // what is asked for twice is told of once
    let twice = "<D:property name='long' namespace='http://example.com/z/'/>".repeat(400);
    let answer = server.report(WORK, "D:expand-property", &twice);
    assert_eq!(answer.status, 207);
    assert!(answer.text.len() < 2 * long.len(), "{}", answer.text.len());
    // a stored property that names a resource many times
    set(&format!(
        "<D:displayname>{}</D:displayname>",
        format!("<D:href>{WORK}</D:href>").repeat(90)
    ));
    let nested = format!("<D:property name='displayname'>{twice}</D:property>");
    assert_eq!(
        server.report(WORK, "D:expand-property", &nested).status,
        413
    );
}

#[test]
fn rfc3744_9_4_and_h15_a_search_finds_oneself_only() {
    let server = Server::new();
    let search = |property: &str, text: &str| {
        let inner = format!(
            "<D:property-search><D:prop>{property}</D:prop><D:match>{text}</D:match></D:property-search><D:prop><D:displayname/></D:prop>"
        );
        server
            .report("/dav/principals/", "D:principal-property-search", &inner)
            .multistatus()
            .hrefs()
    };
    assert_eq!(search("<D:displayname/>", "ALI"), [PRINCIPAL]);
    assert_eq!(
        search("<C:calendar-user-address-set/>", "alice@example"),
        [PRINCIPAL]
    );
    assert_eq!(search("<D:displayname/>", "bob"), [""; 0]);
    assert_eq!(search("<D:displayname/><D:owner/>", "alice"), [""; 0]);
    assert_eq!(search("<D:displayname/>", ""), [""; 0]);
}

#[test]
fn rfc3744_9_4_a_search_that_lists_no_property_or_no_condition() {
    let server = Server::new();
    let search = |inner: &str| {
        server
            .report("/", "D:principal-property-search", inner)
            .multistatus()
    };
    let by_name = |text: &str| {
        format!(
            "<D:property-search><D:prop><D:displayname/></D:prop><D:match>{text}</D:match></D:property-search>"
        )
    };
    // an empty DAV:prop with the names beside it is what python-caldav sends
    for listed in [
        "",
        "<D:prop/>",
        "<D:prop/><C:calendar-home-set/><D:displayname/>",
    ] {
        for condition in [by_name("lic"), String::new()] {
            let found = search(&format!("{condition}{listed}"));
            assert_eq!(found.hrefs(), [PRINCIPAL], "{condition}{listed}");
            assert_eq!(found.value(PRINCIPAL, dav("displayname")).text(), "alice");
            let home = found.value(PRINCIPAL, caldav("calendar-home-set"));
            assert_eq!(home.child(dav("href")).unwrap().text(), HOME);
        }
        assert_eq!(
            search(&format!("{}{listed}", by_name("bob"))).hrefs(),
            [""; 0]
        );
    }
}

#[test]
fn rfc3744_9_2_3_5_other_principal_reports() {
    let server = Server::new();
    let own = "<D:self/><D:prop><D:displayname/></D:prop>";
    let found = server
        .report("/dav/principals/", "D:principal-match", own)
        .multistatus();
    assert_eq!(found.hrefs(), [PRINCIPAL]);
    let found = server.report(
        WORK,
        "D:acl-principal-prop-set",
        "<D:prop><D:displayname/></D:prop>",
    );
    assert_eq!(
        found
            .multistatus()
            .value(PRINCIPAL, dav("displayname"))
            .text(),
        "alice"
    );
    let set = server.report("/dav/principals/", "D:principal-search-property-set", "");
    assert_eq!(set.status, 200);
    assert_eq!(
        set.xml()
            .children_named(dav("principal-search-property"))
            .count(),
        3
    );
}

/// RFC 3744 section 9.3: required of all collections.
#[test]
fn rfc3744_9_3_principal_match_on_every_collection() {
    let server = Server::with(&[
        ("a.ics", &event("a", 10, "")),
        ("b.ics", &event("b", 10, "")),
    ]);
    let files = format!("{HOME}files/");
    for href in [files.clone(), format!("{files}deep/")] {
        server.expect(201, "MKCOL", &href, &[], "");
    }
    server.expect(201, "PUT", &format!("{files}deep/x"), &[], "x");
    let report = |href: &str, inner: &str| server.report(href, "D:principal-match", inner);
    let found = |href: &str, inner: &str| {
        let mut hrefs = report(href, inner).multistatus().hrefs();
        hrefs.sort();
        hrefs
    };
    for (href, there) in [
        ("/", true),
        ("/dav/", true),
        ("/dav/principals/", true),
        (PRINCIPAL, true),
        ("/dav/calendars/", false),
        (HOME, false),
        (WORK, false),
        (files.as_str(), false),
    ] {
        let own = if there { &[PRINCIPAL][..] } else { &[] };
        assert_eq!(found(href, "<D:self/>"), own, "{href}");
    }
    let by = |name: &str| format!("<D:principal-property>{name}</D:principal-property>");
    let work = [format!("{WORK}a.ics"), format!("{WORK}b.ics")];
    assert_eq!(found(WORK, &by("<D:owner/>")), work);
    let deep = [format!("{files}deep/"), format!("{files}deep/x")];
    assert_eq!(found(&files, &by("<D:owner/>")), deep);
    let mut all: Vec<String> = CHILDREN[1..].iter().map(ToString::to_string).collect();
    all.extend(work.iter().chain(&deep).cloned());
    all.push(files.clone());
    all.sort();
    assert_eq!(found(HOME, &by("<D:owner/>")), all);
    // of the whole server: the home and the principal too
    assert_eq!(found("/", &by("<D:owner/>")).len(), all.len() + 2);
    for (object, whose) in [(&work[0], "bob"), (&work[1], "alice")] {
        let body = format!(
            "<D:propertyupdate {NAMESPACES}><D:set><D:prop><Z:author><D:href>\
             https://cal.example.org/dav/principals/{whose}/</D:href></Z:author></D:prop></D:set>\
             </D:propertyupdate>"
        );
        server.expect(207, "PROPPATCH", object, &[], &body);
    }
    assert_eq!(found(HOME, &by("<Z:author/>")), work[1..]);
    for bad in ["", "<D:principal-property/>", &by("<D:owner/><D:acl/>")] {
        assert_eq!(report(HOME, bad).status, 400, "{bad}");
    }
    report(&work[0], "<D:self/>").refused(403, dav("supported-report"));
}
