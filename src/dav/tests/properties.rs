//! PROPPATCH (RFC 4918 section 9.2).

use super::*;

#[test]
fn rfc7809_3_1_5_time_zone_whole_and_by_identifier() {
    let server = Server::new();
    let set = |inner: &str| {
        let body = format!(
            "<D:propertyupdate {NAMESPACES}><D:set><D:prop>{inner}</D:prop></D:set></D:propertyupdate>"
        );
        server.ask("PROPPATCH", WORK, &[], &body).text
    };
    let both = "<C:calendar-timezone/><C:calendar-timezone-id/>";
    let found = || server.propfind(WORK, "0", both);
    let (whole, id) = (caldav("calendar-timezone"), caldav("calendar-timezone-id"));
    assert_eq!(
        found().property(WORK, id).map(|(status, _)| status),
        Some(404)
    );
    assert!(
        set("<C:calendar-timezone-id>Europe/Berlin</C:calendar-timezone-id>").contains("200 OK")
    );
    assert_eq!(found().value(WORK, id).text(), "Europe/Berlin");
    let text = found().value(WORK, whole).text();
    assert!(text.contains("TZID:Europe/Berlin\r\n") && text.contains("BYDAY=-1SU"));
    let zone = "BEGIN:VCALENDAR&#13;\nBEGIN:VTIMEZONE&#13;\nTZID:Mine&#13;\nEND:VTIMEZONE&#13;\nEND:VCALENDAR&#13;\n";
    assert!(
        set(&format!(
            "<C:calendar-timezone>{zone}</C:calendar-timezone>"
        ))
        .contains("200 OK")
    );
    assert_eq!(found().value(WORK, id).text(), "Mine");
    assert!(found().value(WORK, whole).text().contains("TZID:Mine\r\n"));
    let unknown = set("<C:calendar-timezone-id>Mine</C:calendar-timezone-id>");
    assert!(unknown.contains("403 Forbidden") && unknown.contains("valid-timezone/>"));
    let two = format!(
        "<C:calendar-timezone>{}</C:calendar-timezone>",
        zone.replace(
            "END:VTIMEZONE",
            "END:VTIMEZONE&#13;\nBEGIN:VTIMEZONE&#13;\nTZID:X&#13;\nEND:VTIMEZONE"
        )
    );
    assert!(set(&two).contains("valid-calendar-data/>"));
    let body = format!(
        "<D:propertyupdate {NAMESPACES}><D:remove><D:prop><C:calendar-timezone-id/></D:prop></D:remove></D:propertyupdate>"
    );
    assert_eq!(server.ask("PROPPATCH", WORK, &[], &body).status, 207);
    for name in [whole, id] {
        assert_eq!(
            found().property(WORK, name).map(|(status, _)| status),
            Some(404)
        );
    }
}

fn update(inner: &str) -> String {
    format!("<D:propertyupdate {NAMESPACES}>{inner}</D:propertyupdate>")
}

fn z(local: &'static str) -> QName {
    QName {
        ns: "http://example.com/z/",
        local,
    }
}

#[test]
fn rfc4918_9_2_2_set_and_remove() {
    let server = Server::new();
    let body = update(
        "<D:set><D:prop><Z:Authors xml:lang='de'><Z:Author>Jörg</Z:Author> &amp; <Z:Author/></Z:Authors></D:prop></D:set>\
         <D:remove><D:prop><Z:Copyright-Owner/></D:prop></D:remove>",
    );
    let answer = server.ask("PROPPATCH", WORK, &[], &body).multistatus();
    assert_eq!(answer.property(WORK, z("Authors")).unwrap().0, 200);
    assert_eq!(answer.property(WORK, z("Copyright-Owner")).unwrap().0, 200);
    let found = server.propfind(WORK, "0", "<Z:Authors/>");
    let authors = found.value(WORK, z("Authors"));
    assert_eq!(authors.lang.as_deref(), Some("de"));
    assert_eq!(authors.child(z("Author")).unwrap().text(), "Jörg");
    assert_eq!(authors.text(), " & ");
    let remove = update("<D:remove><D:prop><Z:Authors/></D:prop></D:remove>");
    assert_eq!(server.ask("PROPPATCH", WORK, &[], &remove).status, 207);
    assert_eq!(
        server
            .propfind(WORK, "0", "<Z:Authors/>")
            .property(WORK, z("Authors"))
            .unwrap()
            .0,
        404
    );
}

#[test]
fn rfc4918_9_2_all_or_nothing() {
    let server = Server::new();
    let body = update("<D:set><D:prop><Z:a>1</Z:a><D:getetag>x</D:getetag></D:prop></D:set>");
    let refused = server.respond("PROPPATCH", WORK, &[], &body);
    // for the log, since the status is 207
    assert_eq!(refused.refusal, Some("cannot-modify-protected-property"));
    let answer = server.ask("PROPPATCH", WORK, &[], &body).multistatus();
    assert_eq!(answer.property(WORK, z("a")).unwrap().0, 424);
    assert_eq!(answer.property(WORK, dav("getetag")).unwrap().0, 403);
    assert_eq!(
        server
            .propfind(WORK, "0", "<Z:a/>")
            .property(WORK, z("a"))
            .unwrap()
            .0,
        404
    );
}

#[test]
fn apple_properties_are_kept_on_calendars_and_the_home() {
    let server = Server::new();
    let body = update(
        "<D:set><D:prop><A:calendar-color symbolic-color='custom'>#FF2968FF</A:calendar-color><A:calendar-order>3</A:calendar-order>\
         <C:default-alarm-vevent-datetime/><C:schedule-calendar-transp><C:transparent/></C:schedule-calendar-transp>\
         <D:displayname>Büro</D:displayname><C:calendar-description>all</C:calendar-description></D:prop></D:set>",
    );
    for href in [WORK, HOME] {
        assert_eq!(
            server
                .ask("PROPPATCH", href, &[("brief", "t")], &body)
                .status,
            200,
            "{href}"
        );
        let found = server.propfind(
            href,
            "0",
            "<A:calendar-color/><D:displayname/><C:calendar-description/><C:schedule-calendar-transp/>",
        );
        assert_eq!(
            found
                .value(href, crate::xml::apple("calendar-color"))
                .text(),
            "#FF2968FF"
        );
        assert_eq!(found.value(href, dav("displayname")).text(), "Büro");
        assert_eq!(
            found.value(href, caldav("calendar-description")).text(),
            "all"
        );
        let transparent = found.value(href, caldav("schedule-calendar-transp"));
        assert!(transparent.child(caldav("transparent")).is_some());
    }
}

#[test]
fn rfc4791_5_2_2_calendar_timezone_is_checked() {
    let server = Server::new();
    let zone = |text: &str| {
        update(&format!(
            "<D:set><D:prop><C:calendar-timezone>{text}</C:calendar-timezone></D:prop></D:set>"
        ))
    };
    let good = "BEGIN:VCALENDAR&#13;\nVERSION:2.0&#13;\nPRODID:x&#13;\nBEGIN:VTIMEZONE&#13;\nTZID:Europe/Berlin&#13;\nBEGIN:STANDARD&#13;\nDTSTART:19701025T030000&#13;\nTZOFFSETFROM:+0200&#13;\nTZOFFSETTO:+0100&#13;\nEND:STANDARD&#13;\nEND:VTIMEZONE&#13;\nEND:VCALENDAR&#13;\n";
    let name = caldav("calendar-timezone");
    let answer = server
        .ask("PROPPATCH", WORK, &[], &zone("Europe/Berlin"))
        .multistatus();
    assert_eq!(answer.property(WORK, name).unwrap().0, 403);
    assert!(format!("{answer:?}").contains("valid-calendar-data"));
    let answer = server
        .ask("PROPPATCH", WORK, &[], &zone(good))
        .multistatus();
    assert_eq!(answer.property(WORK, name).unwrap().0, 200);
    let found = server.propfind(WORK, "0", "<C:calendar-timezone/>");
    assert!(
        found
            .value(WORK, name)
            .text()
            .contains("TZID:Europe/Berlin\r\n")
    );
}

#[test]
fn proppatch_honours_locks_and_conditions() {
    let server = Server::new();
    let lock = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>";
    let locked = server.ask("LOCK", WORK, &[("depth", "0")], lock);
    assert_eq!(locked.status, 200, "{}", locked.text);
    let token = locked.headers["lock-token"].to_str().unwrap().to_owned();
    let body = update("<D:set><D:prop><Z:a>1</Z:a></D:prop></D:set>");
    server
        .ask("PROPPATCH", WORK, &[], &body)
        .refused(423, dav("lock-token-submitted"));
    let submitted = format!("({token})");
    assert_eq!(
        server
            .ask("PROPPATCH", WORK, &[("if", &submitted)], &body)
            .status,
        207
    );
    let found = server.propfind(WORK, "0", "<D:lockdiscovery/>");
    let active = found
        .value(WORK, dav("lockdiscovery"))
        .child(dav("activelock"))
        .unwrap();
    let token_there = active
        .child(dav("locktoken"))
        .unwrap()
        .child(dav("href"))
        .unwrap()
        .text();
    assert_eq!(format!("<{token_there}>"), token);
    assert_eq!(
        server
            .ask("PROPPATCH", WORK, &[("if", "(<urn:x:y>)")], &body)
            .status,
        412
    );
}
