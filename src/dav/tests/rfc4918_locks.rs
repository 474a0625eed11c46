//! The examples of RFC 4918 sections 9.10 to 16: LOCK, UNLOCK, the If header, lock properties, and
//! errors.

use super::rfc4918::{FILES, GONE, LOCK_INFO, names_lock, scopes, server};
use super::*;

#[test]
fn rfc4918_9_10_7_and_9_10_8_examples() {
    let server = server(&["proposal.doc"]);
    let href = format!("{FILES}proposal.doc");
    let timeout = ("timeout", "Infinite, Second-4100000000");
    let answer = server.expect(200, "LOCK", &href, &[timeout], LOCK_INFO);
    let token = answer.header("lock-token");
    let check = |answer: &Answer| {
        let prop = answer.xml();
        assert!(prop.is(dav("prop")));
        let active = prop.child(dav("lockdiscovery")).unwrap();
        let active = active.child(dav("activelock")).unwrap();
        let inner = |name, kind| {
            active
                .child(dav(name))
                .unwrap()
                .child(dav(kind))
                .unwrap()
                .text()
        };
        inner("locktype", "write");
        inner("lockscope", "exclusive");
        assert_eq!(
            inner("owner", "href"),
            "http://example.org/~ejw/contact.html"
        );
        assert_eq!(format!("<{}>", inner("locktoken", "href")), token);
        assert_eq!(inner("lockroot", "href"), href);
        assert_eq!(active.child(dav("depth")).unwrap().text(), "infinity");
        let timeout = active.child(dav("timeout")).unwrap().text();
        assert!(timeout.starts_with("Second-"), "{timeout}");
    };
    check(&answer);
    let states = format!("({token})");
    let refreshed = server.expect(200, "LOCK", &href, &[timeout, ("if", &states)], "");
    check(&refreshed);
    assert_eq!(refreshed.header("lock-token"), "");
}

#[test]
fn rfc4918_9_10_9_example() {
    let server = server(&["secret"]);
    let secret = format!("{FILES}secret");
    server.lock(&secret, "0");
    let deep = [("depth", "infinity")];
    let barred = server.ask("LOCK", FILES, &deep, LOCK_INFO).multistatus();
    assert_eq!(barred.hrefs(), [secret.as_str(), FILES]);
    // 403 in the example, where a lock is out of the question
    assert_eq!(barred.status(&secret), 423);
    assert_eq!(barred.status(FILES), 424);
    let found = server.propfind(FILES, "0", "<D:lockdiscovery/>");
    assert!(found.value(FILES, dav("lockdiscovery")).children.is_empty());
}

#[test]
fn rfc4918_9_11_2_example() {
    let server = server(&["info.doc"]);
    let token = format!("<{}>", server.lock(FILES, "infinity"));
    // from a member, and then gone from all
    let member = format!("{FILES}info.doc");
    server.expect(204, "UNLOCK", &member, &[("lock-token", &token)], "");
    for href in [FILES, &member] {
        let found = server.propfind(href, "0", "<D:lockdiscovery/>");
        assert!(found.value(href, dav("lockdiscovery")).children.is_empty());
    }
}

#[test]
fn rfc4918_10_4_6_to_10_4_8_examples() {
    let server = server(&["a"]);
    let href = format!("{FILES}a");
    let etag = server.file(&href, "a");
    let token = server.lock(&href, "0");
    let other = "\"I am another ETag\"";
    for (states, status) in [
        // section 10.4.6
        (
            format!("(<{token}>\r\n [{etag}])\r\n ([{other}])").replace("\r\n", ""),
            207,
        ),
        (format!("(<{token}> [{other}]) ([{other}])"), 412),
        // true by its second list, which submits no token: the first one does
        (format!("(<{token}> [{other}]) ([{etag}])"), 207),
        // section 10.4.7
        (format!("(Not <{token}> <{GONE}>)"), 412),
        (format!("(Not <{GONE}> <{token}>)"), 207),
        // section 10.4.8
        (format!("(<{token}>) (Not <DAV:no-lock>)"), 207),
        (format!("(<{GONE}>) (Not <DAV:no-lock>)"), 423),
    ] {
        let body = "<D:propertyupdate xmlns:D='DAV:'><D:remove><D:prop><D:x/></D:prop></D:remove></D:propertyupdate>";
        server.expect(status, "PROPPATCH", &href, &[("if", &states)], body);
    }
}

#[test]
fn rfc4918_10_4_9_example() {
    let server = server(&["resource1"]);
    let (one, two) = (format!("{FILES}resource1"), format!("{FILES}resource2"));
    let etag = server.file(&one, "1");
    let token = server.lock(&one, "0");
    for (states, status) in [
        (
            format!("<{one}> (<{token}> [W/\"A weak ETag\"]) ([\"strong ETag\"])"),
            412,
        ),
        (
            format!("<{one}> (<{token}> [W/\"A weak ETag\"]) ([{etag}])"),
            201,
        ),
        (
            format!("<{one}> (<{token}> [{etag}]) ([\"strong ETag\"])"),
            204,
        ),
    ] {
        let headers = [("destination", two.as_str()), ("if", &states)];
        server.expect(status, "COPY", &one, &headers, "");
    }
}

#[test]
fn rfc4918_10_4_10_example() {
    let server = server(&["rfc2518.txt"]);
    let member = format!("{FILES}rfc2518.txt");
    let tagged = |token: &str| format!("<http://cal.example.org{FILES}> (<{token}>)");
    // the collection is not locked by it
    server.expect(412, "DELETE", &member, &[("if", &tagged(GONE))], "");
    let token = server.lock(FILES, "infinity");
    server.expect(204, "DELETE", &member, &[("if", &tagged(&token))], "");
}

#[test]
fn rfc4918_10_4_11_example() {
    let server = server(&[]);
    let href = format!("{FILES}rfc2518.doc");
    let put = |status, states: &str| {
        let states = format!("<{href}> {states}");
        server.expect(status, "PUT", &href, &[("if", &states)], "x");
    };
    put(412, "([\"4217\"])");
    put(201, "(Not [\"4217\"])");
}

#[test]
fn rfc4918_15_8_1_and_15_10_1_examples() {
    let server = server(&[]);
    let info = LOCK_INFO.replace(
        "<D:href>http://example.org/~ejw/contact.html</D:href>",
        "Jane Smith",
    );
    let locked = server.expect(200, "LOCK", FILES, &[("depth", "0")], &info);
    let found = server.propfind(FILES, "0", "<D:lockdiscovery/><D:supportedlock/>");
    let active = found
        .value(FILES, dav("lockdiscovery"))
        .child(dav("activelock"))
        .unwrap();
    let text = |name| active.child(dav(name)).unwrap().text();
    assert_eq!(
        (text("depth"), text("owner")),
        ("0".into(), "Jane Smith".into())
    );
    let href = |name| {
        active
            .child(dav(name))
            .unwrap()
            .child(dav("href"))
            .unwrap()
            .text()
    };
    assert_eq!(href("lockroot"), FILES);
    assert_eq!(
        format!("<{}>", href("locktoken")),
        locked.header("lock-token")
    );
    assert_eq!(
        scopes(found.value(FILES, dav("supportedlock"))),
        ["exclusive", "shared"]
    );
}

#[test]
fn rfc4918_16_example() {
    let server = server(&["proposal.doc"]);
    server.lock(FILES, "infinity");
    let refused = server.expect(423, "PUT", &format!("{FILES}proposal.doc"), &[], "x");
    names_lock(&refused.xml(), FILES);
}

#[test]
fn rfc4918_a_3_and_a_4_examples() {
    let server = server(&[]);
    let ask = |inner: &str| {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\" ?>
             <D:propfind xmlns:D=\"DAV:\" xmlns:E=\"http://www.example.com/standards/props/\">
             {inner}</D:propfind>"
        );
        server.ask("PROPFIND", FILES, &[("depth", "0")], &body)
    };
    assert_eq!(ask("<D:allprop/><D:propname/>").status, 400);
    assert_eq!(ask("<E:expired-props/>").status, 400);
    let found = ask("<D:propname/><E:leave-out>*boss*</E:leave-out>").multistatus();
    assert!(found.value(FILES, dav("creationdate")).children.is_empty());
}

/// Each DAV:lockdiscovery tells of all locks of a resource, so their number is bounded; another
/// resource can still be locked.
#[test]
fn rfc4918_shared_locks_of_a_resource_are_bounded() {
    let server = server(&["a", "b"]);
    let shared = LOCK_INFO.replace("exclusive", "shared");
    let lock = |name: &str| {
        let href = format!("{FILES}{name}");
        server.ask("LOCK", &href, &[("depth", "0")], &shared).status
    };
    let statuses: Vec<u16> = (0..=crate::limits::LOCKS_OF_RESOURCE)
        .map(|_| lock("a"))
        .collect();
    let (last, before) = statuses.split_last().unwrap();
    assert!(before.iter().all(|status| *status == 200), "{before:?}");
    assert_eq!(*last, 507);
    assert_eq!(lock("b"), 200);
}

/// "The If request header ... applies to any method": reads too.
#[test]
fn rfc4918_10_4_the_if_header_counts_for_reads() {
    let server = server(&["a"]);
    let file = format!("{FILES}a");
    let locked = server.ask("LOCK", &file, &[("depth", "0")], LOCK_INFO);
    let token = format!(
        "(<{}>)",
        locked.header("lock-token").trim_matches(['<', '>'])
    );
    let find = "<D:propfind xmlns:D='DAV:'><D:prop><D:getetag/></D:prop></D:propfind>";
    let report =
        "<D:expand-property xmlns:D='DAV:'><D:property name='getetag'/></D:expand-property>";
    let ask = |method: &str, href: &str, states: &str| {
        let body = match method {
            "PROPFIND" => find,
            "REPORT" => report,
            _ => "",
        };
        let headers = [("depth", "0"), ("if", states)];
        server.ask(method, href, &headers, body).status
    };
    let places = [FILES, &file, "/dav/principals/alice/", "/dav/"];
    for (method, href) in ["GET", "HEAD", "PROPFIND", "REPORT"]
        .into_iter()
        .flat_map(|method| places.map(|href| (method, href)))
    {
        for never in ["(<urn:x>)", "([\"x\"])", "(<DAV:no-lock>)"] {
            assert_eq!(ask(method, href, never), 412, "{method} {href} {never}");
        }
        assert!(
            ask(method, href, "(Not <DAV:no-lock>)") < 300,
            "{method} {href}"
        );
        assert!(
            ask(method, href, &format!("<{file}> {token}")) < 300,
            "{method} {href}"
        );
        assert_eq!(ask(method, href, "nonsense"), 400, "{method} {href}");
        let own = ask(method, href, &token);
        assert_eq!(own < 300, href == file, "{method} {href}: {own}");
    }
}
