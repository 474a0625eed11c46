//! What stock clients send and need: the table and the rules of docs/CONFORMANCE.md, but for
//! scheduling, sharing and push, which are not built. Some rows are older tests: see there.

use super::*;
use crate::xml::{apple, cs};

pub(super) const CALENDAR: (&str, &str) = ("content-type", "text/calendar");

const fn z(local: &'static str) -> QName {
    let ns = "http://example.com/z/";
    QName { ns, local }
}

pub(super) fn object(name: &str) -> String {
    format!("{WORK}{name}")
}

fn set(inner: &str) -> String {
    format!(
        "<D:propertyupdate {NAMESPACES}><D:set><D:prop>{inner}</D:prop></D:set></D:propertyupdate>"
    )
}

/// About what Apple Calendar asks of the home with Depth 1.
const APPLE_HOME: &str = "<A:calendar-color/><A:calendar-order/><C:calendar-description/>\
    <C:calendar-free-busy-set/><C:calendar-timezone/><C:default-alarm-vevent-date/>\
    <C:default-alarm-vevent-datetime/><C:max-attendees-per-instance/><C:max-date-time/>\
    <C:max-instances/><C:max-resource-size/><C:min-date-time/><C:schedule-calendar-transp/>\
    <C:schedule-default-calendar-URL/><C:supported-calendar-component-set/>\
    <C:supported-calendar-component-sets/><D:add-member/><D:current-user-privilege-set/>\
    <D:displayname/><D:owner/><D:quota-available-bytes/><D:quota-used-bytes/><D:resource-id/>\
    <D:resourcetype/><D:supported-report-set/><D:sync-token/><S:allowed-sharing-modes/>\
    <S:getctag/><S:invite/><S:pre-publish-url/><S:publish-url/><S:push-transports/><S:pushkey/>\
    <S:source/><S:subscribed-strip-alarms/><S:subscribed-strip-attachments/>\
    <S:subscribed-strip-todos/><S:xmpp-server/><S:xmpp-uri/><A:refreshrate/>";

#[test]
fn clients_apple_asks_forty_properties_of_the_home() {
    let server = Server::with(&[("a.ics", &event("a", 10, ""))]);
    let found = server.propfind(HOME, "1", APPLE_HOME);
    assert_eq!(found.hrefs(), CHILDREN);
    for href in CHILDREN {
        let types = found.value(href, dav("resourcetype"));
        assert!(types.child(dav("collection")).is_some(), "{href}");
        // the home is never itself a calendar
        assert_eq!(types.child(caldav("calendar")).is_some(), href != HOME);
        for name in [
            dav("sync-token"),
            cs("getctag"),
            dav("current-user-privilege-set"),
        ] {
            found.value(href, name);
        }
        for propstat in found.response(href).children_named(dav("propstat")) {
            assert!([200, 404].contains(&status_of(propstat)), "{href}");
        }
    }
}

#[test]
fn clients_apple_brief_t_and_return_minimal() {
    let server = Server::with(&[("a.ics", &event("a", 10, ""))]);
    let body =
        format!("<D:propfind {NAMESPACES}><D:prop><D:getetag/><Z:nothing/></D:prop></D:propfind>");
    let sync = format!(
        "<D:sync-collection {NAMESPACES}><D:sync-token/><D:sync-level>1</D:sync-level>\
         <D:prop><D:getetag/><Z:nothing/></D:prop></D:sync-collection>"
    );
    for header in [("brief", "t"), ("prefer", "return=minimal")] {
        for (method, body) in [("PROPFIND", &body), ("REPORT", &sync)] {
            let found = server
                .ask(method, WORK, &[("depth", "1"), header], body)
                .multistatus();
            found.value(&object("a.ics"), dav("getetag"));
            assert!(
                found.property(&object("a.ics"), z("nothing")).is_none(),
                "{method}"
            );
        }
    }
}

#[test]
fn clients_apple_options_on_the_principal_has_calendar_access() {
    let server = Server::new();
    for target in [PRINCIPAL, "/", HOME] {
        let classes = server.expect(200, "OPTIONS", target, &[], "").header("dav");
        for class in ["1", "calendar-access"] {
            assert!(classes.split(", ").any(|given| given == class), "{target}");
        }
    }
}

#[test]
fn clients_apple_home_syncs_and_has_a_ctag() {
    let server = Server::new();
    let inner = "<D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:resourcetype/></D:prop>";
    let found = server
        .report(HOME, "D:sync-collection", inner)
        .multistatus();
    assert_eq!(found.hrefs(), CHILDREN[1..]);
    for href in &CHILDREN[1..] {
        assert!(
            found
                .value(href, dav("resourcetype"))
                .child(caldav("calendar"))
                .is_some()
        );
    }
    let tag = || {
        server
            .propfind(HOME, "0", "<S:getctag/>")
            .value(HOME, cs("getctag"))
            .text()
    };
    let before = tag();
    server.put(&object("a.ics"), &event("a", 10, ""));
    assert_ne!(tag(), before);
}

#[test]
fn clients_apple_empty_if_schedule_tag_match() {
    let server = Server::with(&[("a.ics", &event("a", 10, ""))]);
    let changed = event("a", 11, "");
    for tag in ["", "\"\""] {
        let headers = [("if-schedule-tag-match", tag), CALENDAR];
        server.expect(204, "PUT", &object("a.ics"), &headers, &changed);
    }
    let headers = [("if-schedule-tag-match", "\"x\""), CALENDAR];
    server.expect(412, "PUT", &object("a.ics"), &headers, &changed);
}

#[test]
fn clients_apple_proppatch_of_the_unknown_is_never_403() {
    let server = Server::with(&[("a.ics", &event("a", 10, ""))]);
    let body = set(
        "<C:default-alarm-vevent-datetime>BEGIN:VALARM&#13;\nEND:VALARM</C:default-alarm-vevent-datetime>\
         <C:default-alarm-vevent-date/><C:calendar-free-busy-set><D:href>/x</D:href></C:calendar-free-busy-set>\
         <S:calendar-availability>BEGIN:VCALENDAR</S:calendar-availability><A:calendar-order>7</A:calendar-order>\
         <S:subscribed-strip-todos/><D:not-of-any-rfc>x</D:not-of-any-rfc><Z:z a='1'>x</Z:z><nons xmlns=''>x</nons>",
    );
    for href in [HOME, WORK, &object("a.ics")] {
        let answer = server.ask("PROPPATCH", href, &[], &body).multistatus();
        let propstats = answer.response(href).children_named(dav("propstat"));
        let statuses: Vec<u16> = propstats.map(status_of).collect();
        assert_eq!(statuses, [200], "{href}");
        let found = server.propfind(
            href,
            "0",
            "<A:calendar-order/><Z:z/><S:calendar-availability/>",
        );
        assert_eq!(found.value(href, apple("calendar-order")).text(), "7");
        assert_eq!(found.value(href, z("z")).attribute("a"), Some("1"));
        found.value(href, cs("calendar-availability"));
    }
}

#[test]
fn clients_apple_colours_come_back_as_they_were() {
    let server = Server::new();
    for colour in ["#FF2968FF", "#711a76", "#1badf8ff"] {
        let body = set(&format!(
            "<A:calendar-color symbolic-color=\"custom\">{colour}</A:calendar-color>"
        ));
        server.expect(207, "PROPPATCH", WORK, &[], &body);
        let found = server.propfind(WORK, "0", "<A:calendar-color/>");
        let kept = found.value(WORK, apple("calendar-color"));
        assert_eq!(kept.text(), colour);
        assert_eq!(kept.attribute("symbolic-color"), Some("custom"));
    }
}

#[test]
fn clients_apple_unencoded_characters_in_paths() {
    let server = Server::new();
    let sent = "/dav/calendars/alice/work/Übung @1:(a)+b&c'd|e.ics";
    let href = object("%C3%9Cbung%20@1:(a)%2Bb%26c%27d%7Ce.ics");
    server.put(sent, &event("a", 10, ""));
    let found = server.propfind(WORK, "1", "<D:getetag/>");
    assert_eq!(found.hrefs(), [WORK, &href]);
    for target in [sent, &href] {
        assert_eq!(
            server.expect(200, "GET", target, &[], "").text,
            event("a", 10, "")
        );
        let inner = format!(
            "<D:prop><D:getetag/></D:prop><D:href>{}</D:href>",
            target.replace('&', "&amp;")
        );
        let found = server
            .report(WORK, "C:calendar-multiget", &inner)
            .multistatus();
        found.value(&href, dav("getetag"));
    }
}

#[test]
fn clients_apple_mkcalendar_with_a_time_zone_and_colour_for_reminders() {
    let server = Server::new();
    let lists = format!("{HOME}8E3A2B6C-0D2F-4D0E-9B7E-3C1F/");
    let zone = "BEGIN:VCALENDAR&#13;\nVERSION:2.0&#13;\nPRODID:x&#13;\nBEGIN:VTIMEZONE&#13;\nTZID:Europe/Berlin&#13;\nBEGIN:STANDARD&#13;\nDTSTART:19701025T030000&#13;\nTZOFFSETFROM:+0200&#13;\nTZOFFSETTO:+0100&#13;\nEND:STANDARD&#13;\nEND:VTIMEZONE&#13;\nEND:VCALENDAR&#13;\n";
    let body = format!(
        "<C:mkcalendar {NAMESPACES}><D:set><D:prop><D:displayname>Erinnerungen</D:displayname>\
         <A:calendar-color>#CC73E1FF</A:calendar-color><A:calendar-order>1</A:calendar-order>\
         <C:schedule-calendar-transp><C:transparent/></C:schedule-calendar-transp>\
         <C:supported-calendar-component-set><C:comp name='VTODO'/></C:supported-calendar-component-set>\
         <C:calendar-timezone>{zone}</C:calendar-timezone></D:prop></D:set></C:mkcalendar>"
    );
    server.expect(201, "MKCALENDAR", &lists, &[], &body);
    let found = server.propfind(
        &lists,
        "0",
        "<C:supported-calendar-component-set/><A:calendar-color/>",
    );
    let set = found.value(&lists, caldav("supported-calendar-component-set"));
    let kinds: Vec<_> = set
        .elements()
        .filter_map(|comp| comp.attribute("name"))
        .collect();
    assert_eq!(kinds, ["VTODO"]);
    assert_eq!(
        found.value(&lists, apple("calendar-color")).text(),
        "#CC73E1FF"
    );
    server.put(&format!("{lists}1.ics"), &todo("1"));
    server
        .ask(
            "PUT",
            &format!("{lists}2.ics"),
            &[CALENDAR],
            &event("2", 10, ""),
        )
        .refused(403, caldav("supported-calendar-component"));
    // and an account has such a list from the start
    let tasks = CHILDREN[2];
    let found = server.propfind(tasks, "0", "<C:supported-calendar-component-set/>");
    let set = found.value(tasks, caldav("supported-calendar-component-set"));
    let kinds: Vec<_> = set
        .elements()
        .filter_map(|comp| comp.attribute("name"))
        .collect();
    assert_eq!(kinds, ["VTODO"]);
}

#[test]
fn clients_thunderbird_sync_collection_with_depth_1() {
    let server = Server::with(&[("a.ics", &event("a", 10, ""))]);
    let inner = "<D:sync-token/><D:sync-level>1</D:sync-level><D:prop><D:getcontenttype/><D:getetag/></D:prop>";
    let found = server
        .report(WORK, "D:sync-collection", inner)
        .multistatus();
    assert_eq!(found.hrefs(), [object("a.ics")]);
    let kind = found.value(&object("a.ics"), dav("getcontenttype")).text();
    assert!(kind.starts_with("text/calendar"), "{kind}");
    found.value(&object("a.ics"), dav("getetag"));
}

#[test]
fn clients_thunderbird_and_evolution_multiget_of_a_hundred() {
    let server = Server::new();
    let hrefs: Vec<String> = (0..100)
        .map(|number| object(&format!("{number}.ics")))
        .collect();
    for (number, href) in hrefs.iter().enumerate() {
        server.put(href, &event(&number.to_string(), 10, ""));
    }
    let asked: String = hrefs
        .iter()
        .map(|href| format!("<D:href>{href}</D:href>"))
        .collect();
    let inner = format!("<D:prop><D:getetag/><C:calendar-data/></D:prop>{asked}");
    let found = server
        .report(WORK, "C:calendar-multiget", &inner)
        .multistatus();
    assert_eq!(found.hrefs(), hrefs);
    for (number, href) in hrefs.iter().enumerate() {
        let body = event(&number.to_string(), 10, "");
        assert_eq!(found.value(href, caldav("calendar-data")).text(), body);
    }
}

#[test]
fn clients_thunderbird_the_first_propfind_succeeds_and_options_is_200() {
    let server = Server::new();
    let asked = "<D:resourcetype/><D:owner/><D:displayname/><D:current-user-principal/>\
        <D:current-user-privilege-set/><A:calendar-color/><C:calendar-home-set/>";
    for target in ["/", "/dav/", PRINCIPAL, HOME, WORK] {
        let found = server.propfind(target, "0", asked);
        let types = found.value(target, dav("resourcetype"));
        assert!(types.child(dav("collection")).is_some(), "{target}");
        found.value(target, dav("current-user-principal"));
        server.expect(200, "OPTIONS", target, &[], "");
    }
}

#[test]
fn clients_davx5_discovery_of_groups_and_proxies_misses_without_failing() {
    let server = Server::new();
    let asked = "<D:group-membership/><S:calendar-proxy-read-for/><S:calendar-proxy-write-for/>\
        <C:calendar-home-set/><D:displayname/><D:resourcetype/>";
    let found = server.propfind(PRINCIPAL, "0", asked);
    found.value(PRINCIPAL, caldav("calendar-home-set"));
    for name in [
        dav("group-membership"),
        cs("calendar-proxy-read-for"),
        cs("calendar-proxy-write-for"),
    ] {
        match found.property(PRINCIPAL, name) {
            Some((200, groups)) => assert_eq!(groups.elements().count(), 0, "{name:?}"),
            other => assert_eq!(other.unwrap().0, 404, "{name:?}"),
        }
    }
}

#[test]
fn clients_davx5_query_with_a_past_limit_only() {
    let open = event("open", 9, "RRULE:FREQ=WEEKLY\r\n");
    let server = Server::with(&[
        ("past.ics", &event("past", 10, "")),
        ("open.ics", &open),
        ("todo.ics", &todo("todo")),
    ]);
    let query = |kind: &str| {
        let inner = format!(
            "<D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name='VCALENDAR'>\
             <C:comp-filter name='{kind}'><C:time-range start='20260301T000000Z'/></C:comp-filter>\
             </C:comp-filter></C:filter>"
        );
        server
            .report(WORK, "C:calendar-query", &inner)
            .multistatus()
            .names()
    };
    assert_eq!(query("VEVENT"), ["open.ics"]);
    // a to-do without any time is in every range (RFC 4791 section 9.9)
    assert_eq!(query("VTODO"), ["todo.ics"]);
}

#[test]
fn clients_davx5_507_on_the_own_href_and_starting_over() {
    let server = Server::with(&[
        ("a.ics", &event("a", 10, "")),
        ("b.ics", &event("b", 10, "")),
    ]);
    let sync = |token: &str| {
        let inner = format!(
            "<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>\
             <D:limit><D:nresults>1</D:nresults></D:limit><D:prop><D:getetag/></D:prop>"
        );
        server.report(WORK, "D:sync-collection", &inner)
    };
    let first = sync("").multistatus();
    // exactly the href of the request, and nothing unexpected for an item
    assert_eq!(first.status(WORK), 507);
    assert_eq!(first.hrefs().len(), 2);
    sync("urn:x:unknown").refused(403, dav("valid-sync-token"));
}

#[test]
fn clients_davx5_an_object_holds_one_uid() {
    let server = Server::new();
    let two = event("1", 10, "").replace(
        "END:VCALENDAR",
        "BEGIN:VEVENT\r\nUID:2\r\nDTSTAMP:20060206T001102Z\r\nDTSTART:20060102T100000Z\r\nEND:VEVENT\r\nEND:VCALENDAR",
    );
    let none = event("1", 10, "").replace("UID:1\r\n", "");
    for body in [two, none] {
        server
            .ask("PUT", &object("a.ics"), &[CALENDAR], &body)
            .refused(403, caldav("valid-calendar-object-resource"));
    }
}

#[test]
fn clients_jtx_oddities_are_taken_or_refused_by_name() {
    let server = Server::new();
    let wrap = |kind: &str, inner: &str| {
        format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:+//IDN techbee.at//ical4android/EN\r\n\
             BEGIN:{kind}\r\nUID:1\r\nDTSTAMP:20240101T000000Z\r\n{inner}END:{kind}\r\nEND:VCALENDAR\r\n"
        )
    };
    for (kind, inner) in [
        (
            "VTODO",
            "DUE:20240101T100000Z\r\nDTSTART:20240102T100000Z\r\n",
        ),
        (
            "VTODO",
            "DTSTART;VALUE=DATE:20240101\r\nDUE:20240102T100000Z\r\n",
        ),
        ("VTODO", "DURATION:PT1H\r\nPERCENT-COMPLETE:150\r\n"),
        ("VTODO", "RRULE:FREQ=DAILY\r\n"),
        (
            "VTODO",
            "RRULE:FREQ=DAILY;COUNT=0\r\nDTSTART:20240101T000000Z\r\n",
        ),
        (
            "VTODO",
            "RELATED-TO;RELTYPE=PARENT:\r\nGEO:a;b\r\nCOMPLETED:\r\n",
        ),
        ("VJOURNAL", "DTSTART:00000101T000000Z\r\nSUMMARY:\r\n"),
        ("VJOURNAL", "ATTACH;ENCODING=BASE64;VALUE=BINARY:%%%\r\n"),
        ("VJOURNAL", "DTSTART;TZID=:20240101T000000\r\n"),
        ("VJOURNAL", "RECURRENCE-ID:20240101T000000Z\r\n"),
        ("VNOTE", "SUMMARY:x\r\n"),
    ] {
        let body = wrap(kind, inner);
        let answer = server.ask("PUT", &object("a.ics"), &[CALENDAR], &body);
        match answer.status {
            201 => {
                assert_eq!(
                    server.expect(200, "GET", &object("a.ics"), &[], "").text,
                    body
                );
                // whatever it says, nothing fails over it
                let found = all_objects(&server);
                assert_eq!(found.hrefs(), [object("a.ics")], "{inner}");
                server.expect(204, "DELETE", &object("a.ics"), &[], "");
            }
            _ => {
                assert_eq!(answer.status, 403, "{inner}: {}", answer.text);
                let error = answer.xml();
                // one condition, and beside it the sentence
                let sentence = crate::xml::own("sentence");
                let conditions = error.elements().filter(|child| !child.is(sentence));
                assert!(error.is(dav("error")) && conditions.count() == 1, "{inner}");
            }
        }
    }
}

/// A query that has to look into every body.
fn all_objects(server: &Server) -> Multistatus {
    let inner = "<D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name='VCALENDAR'>\
        <C:prop-filter name='VERSION'/></C:comp-filter></C:filter>";
    server.report(WORK, "C:calendar-query", inner).multistatus()
}

#[test]
fn clients_evolution_if_match_with_backslashes() {
    let server = Server::with(&[("a.ics", &event("a", 10, ""))]);
    for hour in [11, 12] {
        let etag = server
            .expect(200, "GET", &object("a.ics"), &[], "")
            .header("etag");
        let opaque = etag.trim_matches('"');
        let escaped = match hour {
            11 => format!("\"\\\"{opaque}\\\"\""),
            _ => format!("\\\"{opaque}\\\""),
        };
        let headers = [("if-match", escaped.as_str()), CALENDAR];
        let body = event("a", hour, "");
        let put = server.expect(204, "PUT", &object("a.ics"), &headers, &body);
        // a strong tag of what was sent
        assert!(put.header("etag").starts_with('"'));
        server.expect(412, "PUT", &object("a.ics"), &headers, &body);
    }
}

#[test]
fn clients_evolution_takes_the_sync_token_as_it_is() {
    let server = Server::new();
    let token = server.propfind(WORK, "0", "<D:sync-token/>");
    let token = token.value(WORK, dav("sync-token")).text();
    assert!(token.contains([':', '/']), "{token}");
    let plain = |c: char| c.is_ascii_alphanumeric() || ":/-._".contains(c);
    assert!(token.chars().all(plain), "{token}");
}

#[test]
fn clients_kde_reads_privileges_and_ctag() {
    let server = Server::with(&[("a.ics", &event("a", 10, ""))]);
    let found = server.propfind(
        HOME,
        "1",
        "<D:current-user-privilege-set/><S:getctag/><D:resourcetype/>",
    );
    for href in CHILDREN {
        let privileges = found.value(href, dav("current-user-privilege-set"));
        let has = |name| {
            privileges
                .elements()
                .any(|one| one.child(dav(name)).is_some())
        };
        assert!(has("read") && has("write") && has("bind"), "{href}");
        found.value(href, cs("getctag"));
    }
    let object = object("a.ics");
    let found = server.propfind(&object, "0", "<D:current-user-privilege-set/>");
    found.value(&object, dav("current-user-privilege-set"));
}

#[test]
fn clients_outlook_mkcol_then_proppatch_and_report_with_depth_0() {
    let server = Server::new();
    let new = format!("{HOME}outlook/");
    let body = "<D:mkcol xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'><D:set><D:prop>\
        <D:resourcetype><D:collection/><C:calendar/></D:resourcetype></D:prop></D:set></D:mkcol>";
    server.expect(201, "MKCOL", &new, &[], body);
    let name = set(
        "<D:displayname>Kalender</D:displayname><A:calendar-color>#112233FF</A:calendar-color>",
    );
    server.expect(207, "PROPPATCH", &new, &[], &name);
    server.put(&format!("{new}1.ics"), &event("1", 10, ""));
    let query = format!(
        "<C:calendar-query {NAMESPACES}><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name='VCALENDAR'/></C:filter></C:calendar-query>"
    );
    for agent in ["MSFT-WP/8.10.14219", "MSFT-WIN-3/10.0.14393"] {
        let headers = [("depth", "0"), ("user-agent", agent)];
        let found = server.ask("REPORT", &new, &headers, &query).multistatus();
        found.value(&format!("{new}1.ics"), dav("getetag"));
    }
}

#[test]
fn clients_vdirsyncer_writes_with_conditions() {
    let server = Server::new();
    let home = server.propfind(PRINCIPAL, "0", "<C:calendar-home-set/>");
    let homes = home.value(PRINCIPAL, caldav("calendar-home-set"));
    assert_eq!(homes.children_named(dav("href")).count(), 1);
    let create = [("if-none-match", "*"), CALENDAR];
    let made = server.expect(201, "PUT", &object("a.ics"), &create, &event("a", 10, ""));
    let etag = made.header("etag");
    let found = server.propfind(
        WORK,
        "1",
        "<D:resourcetype/><D:getcontenttype/><D:getetag/>",
    );
    assert_eq!(found.value(&object("a.ics"), dav("getetag")).text(), etag);
    let delete = [("if-match", "\"old\"")];
    server.expect(412, "DELETE", &object("a.ics"), &delete, "");
    server.expect(204, "DELETE", &object("a.ics"), &[("if-match", &etag)], "");
}

#[test]
fn clients_tsdav_well_known_and_hrefs_with_ics() {
    let server = Server::with(&[("a.ics", &event("a", 10, ""))]);
    for method in ["PROPFIND", "GET"] {
        let answer = server.expect(307, method, "/.well-known/caldav", &[("depth", "0")], "");
        assert_eq!(answer.header("location"), "/dav/");
    }
    let posted = format!("{WORK}?add-member");
    let made = server.expect(201, "POST", &posted, &[CALENDAR], &event("b", 10, ""));
    assert!(made.header("location").ends_with(".ics"));
    let found = server.propfind(WORK, "1", "<D:getetag/>");
    let objects = found.hrefs().into_iter().filter(|href| href != WORK);
    assert!(objects.into_iter().all(|href| href.ends_with(".ics")));
}
