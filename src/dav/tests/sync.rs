//! DAV:sync-collection (RFC 6578).

use super::*;

impl Server {
    fn sync(&self, target: &str, token: &str, more: &str) -> Answer {
        let inner = format!(
            "<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>{more}<D:prop><D:getetag/></D:prop>"
        );
        self.report(target, "D:sync-collection", &inner)
    }
}

impl Multistatus {
    #[track_caller]
    fn token(&self) -> String {
        self.0.child(dav("sync-token")).unwrap().text()
    }
}

#[test]
fn rfc6578_3_8_initial_and_subsequent() {
    let server = Server::with(&[
        ("a.ics", &event("a", 10, "")),
        ("b.ics", &event("b", 10, "")),
    ]);
    let first = server.sync(WORK, "", "").multistatus();
    let mut names = first.names();
    names.sort();
    assert_eq!(names, ["a.ics", "b.ics"]);
    let property = server.propfind(WORK, "0", "<D:sync-token/>");
    assert_eq!(
        property.value(WORK, dav("sync-token")).text(),
        first.token()
    );
    assert_eq!(
        server.sync(WORK, &first.token(), "").multistatus().names(),
        [""; 0]
    );

    server.put(&format!("{WORK}c.ics"), &event("c", 10, ""));
    server.put(&format!("{WORK}b.ics"), &event("b", 11, ""));
    assert_eq!(
        server
            .ask("DELETE", &format!("{WORK}a.ics"), &[], "")
            .status,
        204
    );
    let second = server.sync(WORK, &first.token(), "").multistatus();
    let mut names = second.names();
    names.sort();
    assert_eq!(names, ["a.ics", "b.ics", "c.ics"]);
    assert_eq!(second.status(&format!("{WORK}a.ics")), 404);
    second.value(&format!("{WORK}b.ics"), dav("getetag"));
    assert_eq!(
        server.sync(WORK, &second.token(), "").multistatus().names(),
        [""; 0]
    );
}

#[test]
fn rfc6578_3_2_a_foreign_token_starts_over() {
    let server = Server::new();
    for token in ["x", "http://example.com/ns/sync/1234"] {
        server
            .sync(WORK, token, "")
            .refused(403, dav("valid-sync-token"));
    }
    let home = server.sync(HOME, "", "").multistatus().token();
    server
        .sync(WORK, &home, "")
        .refused(403, dav("valid-sync-token"));
}

#[test]
fn rfc6578_3_9_truncation_continues() {
    let server = Server::new();
    for number in 0..5 {
        server.put(
            &format!("{WORK}{number}.ics"),
            &event(&number.to_string(), 10, ""),
        );
    }
    let limit = "<D:limit><D:nresults>2</D:nresults></D:limit>";
    let (mut token, mut all) = (String::new(), Vec::new());
    for round in 0..3 {
        let found = server.sync(WORK, &token, limit).multistatus();
        let truncated = round < 2;
        let mut hrefs = found.hrefs();
        if truncated {
            assert_eq!(found.status(WORK), 507);
            let error = found.response(WORK).child(dav("error")).unwrap();
            assert!(
                error
                    .child(dav("number-of-matches-within-limits"))
                    .is_some()
            );
            hrefs.retain(|href| href != WORK);
        }
        assert_eq!(hrefs.len(), if truncated { 2 } else { 1 });
        all.extend(hrefs);
        token = found.token();
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 5);
    assert_eq!(
        server.sync(WORK, &token, limit).multistatus().names(),
        [""; 0]
    );
}

#[test]
fn rfc6578_3_3_levels_on_the_home() {
    let server = Server::new();
    let first = server.sync(HOME, "", "").multistatus();
    assert_eq!(first.hrefs(), CHILDREN[1..]);
    // a change inside a calendar is the calendar's, not the home's
    server.put(&format!("{WORK}a.ics"), &event("a", 10, ""));
    assert_eq!(
        server.sync(HOME, &first.token(), "").multistatus().hrefs(),
        [""; 0]
    );
    let update = format!(
        "<D:propertyupdate {NAMESPACES}><D:set><D:prop><D:displayname>W</D:displayname></D:prop></D:set></D:propertyupdate>"
    );
    assert_eq!(server.ask("PROPPATCH", WORK, &[], &update).status, 207);
    let second = server.sync(HOME, &first.token(), "").multistatus();
    assert_eq!(second.hrefs(), [WORK]);
    assert_eq!(server.ask("DELETE", WORK, &[], "").status, 204);
    let third = server.sync(HOME, &second.token(), "").multistatus();
    assert_eq!(third.status(WORK), 404);

    let server = Server::new();
    let inner = "<D:sync-token/><D:sync-level>infinite</D:sync-level><D:prop><D:getetag/></D:prop>";
    let found = server
        .report(HOME, "D:sync-collection", inner)
        .multistatus();
    assert_eq!(found.status(WORK), 403);
    let error = found.response(WORK).child(dav("error")).unwrap();
    assert!(error.child(dav("sync-traversal-supported")).is_some());
}

#[test]
fn sync_level_is_checked() {
    let server = Server::new();
    let inner = "<D:sync-token/><D:sync-level>2</D:sync-level><D:prop/>";
    assert_eq!(server.report(WORK, "D:sync-collection", inner).status, 400);
    let none = "<D:limit><D:nresults>0</D:nresults></D:limit>";
    server
        .sync(WORK, "", none)
        .refused(403, dav("number-of-matches-within-limits"));
}
