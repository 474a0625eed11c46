//! A disk that is nearly full: what adds to it is refused, what reads or frees room goes on.

use super::*;
use crate::limits::{DISK_STOP_BYTES, DISK_WARN_BYTES};

#[test]
fn a_disk_nearly_full_refuses_what_adds_and_nothing_else() {
    let server = Server::with(&[
        ("a.ics", &event("a", 10, "")),
        ("b.ics", &event("b", 11, "")),
    ]);
    let a = format!("{WORK}a.ics");
    server._vault.set_free(DISK_WARN_BYTES - 1);
    server.put(&a, &event("a", 12, ""));

    server._vault.set_free(DISK_STOP_BYTES - 1);
    let lock = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope>\
                <D:locktype><D:write/></D:locktype></D:lockinfo>";
    let color = "<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop><x:y xmlns:x='z'>1</x:y>\
                 </D:prop></D:set></D:propertyupdate>";
    let to = [(
        "destination",
        "https://cal.example.org/dav/calendars/alice/work/c.ics",
    )];
    let event = event("a", 13, "");
    for (method, target, headers, body) in [
        (
            "PUT",
            a.as_str(),
            &[("content-type", "text/calendar")][..],
            event.as_str(),
        ),
        ("PROPPATCH", a.as_str(), &[], color),
        ("COPY", a.as_str(), &to, ""),
        ("MKCOL", "/dav/calendars/alice/new/", &[], ""),
        ("MKCALENDAR", "/dav/calendars/alice/new/", &[], ""),
        ("LOCK", a.as_str(), &[], lock),
    ] {
        let answer = server.ask(method, target, headers, body);
        assert_eq!(answer.status, 507, "{method} {}", answer.text);
        // RFC 4331 section 6: no quota is exceeded, the server itself has no room.
        let named = "<D:sufficient-disk-space/></D:error>";
        assert!(answer.text.contains(named), "{method} {}", answer.text);
    }
    assert_eq!(server.ask("GET", &a, &[], "").status, 200);
    let listed = server.ask("PROPFIND", WORK, &[("depth", "1")], "");
    assert_eq!(listed.status, 207);
    let b = format!("{WORK}b.ics");
    assert_eq!(server.ask("DELETE", &b, &[], "").status, 204);
    assert_eq!(server.ask("DELETE", WORK, &[], "").status, 204);

    // As soon as there is room, with an eighth more than the mark.
    server._vault.set_free(DISK_STOP_BYTES);
    assert_eq!(server.ask("MKCALENDAR", WORK, &[], "").status, 507);
    server
        ._vault
        .set_free(DISK_STOP_BYTES + DISK_STOP_BYTES / 8);
    assert_eq!(server.ask("MKCALENDAR", WORK, &[], "").status, 201);
}
