//! How clients find their calendars, and what they are told is there.

use http::header::{ALLOW, LOCATION};

use super::*;
use crate::dav::method::METHODS;

#[test]
fn rfc6764_5_well_known_redirects() {
    let server = Server::new();
    for method in ["GET", "PROPFIND"] {
        let answer = server.ask(method, "/.well-known/caldav", &[("depth", "0")], "");
        assert_eq!(
            (answer.status, &answer.headers[LOCATION]),
            (307, &HeaderValue::from_static("/dav/"))
        );
    }
}

#[test]
fn rfc5397_current_user_principal_everywhere() {
    let server = Server::with(&[("a.ics", &event("a", 10, ""))]);
    let object = format!("{WORK}a.ics");
    for href in [
        "/",
        "/dav/",
        "/dav/principals/",
        PRINCIPAL,
        "/dav/calendars/",
        HOME,
        WORK,
        &object,
    ] {
        let found = server.propfind(href, "0", "<D:current-user-principal/>");
        let value = found.value(href, dav("current-user-principal"));
        assert_eq!(
            value.child(dav("href")).unwrap().text(),
            PRINCIPAL,
            "{href}"
        );
    }
}

#[test]
fn principal_leads_to_the_home() {
    let server = Server::new();
    let found = server.propfind(
        PRINCIPAL,
        "0",
        "<C:calendar-home-set/><D:displayname/><C:calendar-user-address-set/><D:resourcetype/><S:email-address-set/><D:principal-URL/><D:group-membership/>",
    );
    let home = found.value(PRINCIPAL, caldav("calendar-home-set"));
    assert_eq!(home.child(dav("href")).unwrap().text(), HOME);
    let addresses = found.value(PRINCIPAL, caldav("calendar-user-address-set"));
    let hrefs: Vec<&Element> = addresses.children_named(dav("href")).collect();
    assert_eq!(hrefs[0].text(), "mailto:alice@example.org");
    let last = hrefs.last().unwrap();
    assert_eq!(
        (last.text(), last.attribute("preferred")),
        (hrefs[0].text(), Some("1"))
    );
    assert!(
        found
            .value(PRINCIPAL, dav("resourcetype"))
            .child(dav("principal"))
            .is_some()
    );
}

#[test]
fn options_tells_what_is_there_and_only_that() {
    let server = Server::new();
    for target in [
        "/",
        WORK,
        "/dav/calendars/alice/none/x",
        "/nothing",
        "/dav/calendars/bob/",
        "*",
    ] {
        let answer = server.ask("OPTIONS", target, &[], "");
        assert_eq!(answer.status, 200, "{target}");
        let classes = answer.headers["dav"].to_str().unwrap();
        let expected = "1, 2, 3, access-control, calendar-access, extended-mkcol";
        assert_eq!(classes, expected, "{target}");
        for method in answer.headers[ALLOW].to_str().unwrap().split(", ") {
            assert!(METHODS.iter().any(|row| row.name == method), "{method}");
        }
    }
    let answer = server.ask("PUT", WORK, &[], "x");
    assert_eq!(answer.status, 405);
    assert!(!answer.headers[ALLOW].to_str().unwrap().contains("PUT"));
    assert_eq!(server.ask("BREW", WORK, &[], "").status, 501);
}

#[test]
fn only_options_and_well_known_need_no_sign_in() {
    let server = Server::new();
    let anonymous = |method: &str, target: &str| {
        let request = Request {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: Default::default(),
            authorities: Vec::new(),
            https: true,
        };
        server
            .dav
            .anonymous(&request)
            .map(|response| response.status.as_u16())
    };
    assert_eq!(anonymous("OPTIONS", HOME), Some(200));
    assert_eq!(anonymous("PROPFIND", "/.well-known/caldav"), Some(307));
    for target in ["/", "/dav/", HOME, "/dav/calendars/nobody/", "/%"] {
        assert_eq!(anonymous("PROPFIND", target), None, "{target}");
    }
}

#[test]
fn h12_what_is_anothers_looks_like_what_is_missing() {
    let server = Server::new();
    for target in [
        "/dav/calendars/bob/",
        "/dav/calendars/bob/work/x.ics",
        "/dav/calendars/%62ob/",
        "/dav/principals/bob/",
        "/dav/calendars/alice/none/",
        "/dav/calendars/a*/",
        "/dav/other/",
        "/etc/passwd",
    ] {
        for method in ["PROPFIND", "REPORT", "GET", "PROPPATCH", "DELETE", "ACL"] {
            let body = "<D:propfind xmlns:D='DAV:'><D:allprop/></D:propfind>";
            let answer = server.ask(method, target, &[("depth", "0")], body);
            assert_eq!(
                (answer.status, answer.text.as_str()),
                (404, ""),
                "{method} {target}"
            );
        }
    }
    for target in [
        "/dav/calendars/alice/%2e%2e/bob/",
        "/dav/calendars/alice/..%5cbob",
        "/dav/%c0%ae/",
    ] {
        assert_eq!(
            server.ask("PROPFIND", target, &[("depth", "0")], "").status,
            400,
            "{target}"
        );
    }
}

#[test]
fn rfc3744_8_1_acl_is_protected() {
    let server = Server::new();
    let body = "<D:acl xmlns:D='DAV:'><D:ace><D:principal><D:all/></D:principal><D:grant><D:privilege><D:read/></D:privilege></D:grant></D:ace></D:acl>";
    server
        .ask("ACL", WORK, &[], body)
        .refused(403, dav("no-protected-ace-conflict"));
}

#[test]
fn rfc3744_5_privileges_of_the_owner() {
    let server = Server::new();
    let found = server.propfind(
        WORK,
        "0",
        "<D:owner/><D:acl/><D:current-user-privilege-set/><D:supported-privilege-set/>",
    );
    let privileges = found.value(WORK, dav("current-user-privilege-set"));
    let has = |name: QName| {
        privileges
            .elements()
            .any(|privilege| privilege.child(name).is_some())
    };
    for name in ["all", "read", "write", "write-content", "bind", "unbind"] {
        assert!(has(dav(name)), "{name}");
    }
    assert!(has(caldav("read-free-busy")) && !has(dav("write-acl")));
    let ace = found.value(WORK, dav("acl")).child(dav("ace")).unwrap();
    assert!(ace.child(dav("protected")).is_some());
}

#[test]
fn h4_a_body_with_a_doctype_is_refused() {
    let server = Server::new();
    let body = "<!DOCTYPE x [<!ENTITY a 'b'>]><D:propfind xmlns:D='DAV:'><D:allprop/></D:propfind>";
    server
        .ask("PROPFIND", WORK, &[("depth", "0")], body)
        .refused(403, dav("no-external-entities"));
    assert_eq!(
        server
            .ask("PROPFIND", WORK, &[("depth", "0")], "<D:propfind")
            .status,
        400
    );
    let foreign = [("depth", "0"), ("content-type", "text/plain")];
    assert_eq!(server.ask("PROPFIND", WORK, &foreign, "hello").status, 415);
}

#[test]
fn h14_a_device_revoked_while_its_body_was_received_changes_nothing() {
    let server = Server::new();
    let vault = &server._vault.vault;
    let alice = vault.account_named("alice").unwrap().id;
    vault.change_slots(alice, |slots| slots.clear()).unwrap();
    for method in ["MKCALENDAR", "PROPFIND", "GET"] {
        let answer = server.ask(method, "/dav/calendars/alice/other/", &[], "");
        assert_eq!(answer.status, 401, "{method}");
        assert!(answer.headers.contains_key("www-authenticate"));
    }
}
