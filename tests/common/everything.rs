//! A client that uses every feature once, with a canary in every place that takes a text.

use super::canary::Canaries;
use super::client::basic;
use super::{Answer, Client, Server};

/// What was used, and what must be found nowhere.
pub struct Used {
    /// The canaries, by their place; secrets are among them.
    pub canaries: Canaries,
    /// The names of those that can be read back by their owner: that they are in the server at
    /// all is what makes their absence on the disk worth something.
    pub kept: Vec<&'static str>,
    /// The names of the secrets.
    pub secrets: Vec<&'static str>,
    /// Everything that was answered.
    pub transcript: Vec<u8>,
    /// All statuses that were answered.
    pub statuses: Vec<u16>,
    /// The user's name and app password.
    pub credentials: (String, String),
    /// A calendar object and a file that are there at the end.
    pub left: (String, String),
    /// The audit trail, as an administrator exports it.
    pub exported: String,
}

struct Tour<'a> {
    server: &'a Server,
    client: Client,
    canaries: Canaries,
    kept: Vec<&'static str>,
    statuses: Vec<u16>,
    /// What was answered otherwise than expected: told together at the end.
    wrong: Vec<String>,
    user: String,
}

const XML: (&str, &str) = ("Content-Type", "application/xml; charset=utf-8");
const ICS: (&str, &str) = ("Content-Type", "text/calendar; charset=utf-8");

/// Makes an account, uses everything, and leaves much of it there.
pub fn run(server: &mut Server) -> Used {
    let mut canaries = Canaries::default();
    let user = canaries.get("user name");
    let password = canaries.get("password");
    let label = canaries.get("app password label");
    let email = format!("{}@example.org", canaries.get("e-mail"));
    let arguments = ["user", "add", &user, "--email", &email, "--password-stdin"];
    let said = server.done(&arguments, &password);
    let recovery = said
        .split_whitespace()
        .find(|word| word.starts_with("sdrk"));
    know_secret(
        &mut canaries,
        ["recovery key", "recovery key, bare"],
        recovery,
    );
    server.start(&["--plain-http"]);
    let secret = server.app_password_by(&user, &label, &password);
    know_secret(
        &mut canaries,
        ["app password", "app password, bare"],
        Some(&secret),
    );
    let mut tour = Tour {
        client: server.client(&user, &secret),
        server,
        canaries,
        kept: Vec::new(),
        statuses: Vec::new(),
        wrong: Vec::new(),
        user,
    };
    let (calendar, folder) = tour.collections();
    let event = tour.objects(&calendar);
    let file = tour.files(&folder);
    tour.properties(&calendar, &event, &file);
    tour.locks(&folder, &file);
    tour.copies_and_moves(&calendar, &folder, &event, &file);
    tour.reports(&calendar, &event);
    tour.errors(&calendar, &folder, &event, &file);
    tour.administration(&label);
    tour.limited_devices(&calendar, &event, &file);
    let exported = tour.audit_trail();
    tour.recovery();
    tour.credentials();
    assert!(tour.wrong.is_empty(), "{}", tour.wrong.join("\n\n"));
    Used {
        canaries: tour.canaries,
        kept: tour.kept,
        secrets: vec![
            "password",
            "second password",
            "wrong password",
            "recovery key",
            "recovery key, bare",
            "app password",
            "app password, bare",
            "revoked app password",
            "revoked app password, bare",
            "app password for a calendar",
            "app password for a calendar, bare",
            "app password for reading",
            "app password for reading, bare",
            "recovered password",
            "second recovery key",
            "second recovery key, bare",
        ],
        transcript: tour.client.transcript,
        statuses: tour.statuses,
        credentials: (tour.user, secret),
        left: (event, file),
        exported,
    }
}

/// A generated secret, as it is shown and without its hyphens.
fn know_secret(canaries: &mut Canaries, names: [&'static str; 2], text: Option<&str>) {
    let text = text.expect("a secret was printed");
    // the prefix and the hyphen behind it are no secret
    let secret = text.split_once('-').expect("a prefix").1;
    canaries.know(names[0], secret);
    canaries.know(names[1], &secret.replace('-', ""));
}

impl Tour<'_> {
    /// A canary that can be read back later.
    fn keep(&mut self, name: &'static str) -> String {
        self.kept.push(name);
        self.canaries.get(name)
    }

    /// A canary that is gone, or was refused, in the end.
    fn lose(&mut self, name: &'static str) -> String {
        self.canaries.get(name)
    }

    fn home(&self) -> String {
        format!("/dav/calendars/{}/", self.user)
    }

    #[track_caller]
    fn ask(
        &mut self,
        status: u16,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let answer = self.client.ask(method, target, headers, body.as_bytes());
        self.statuses.push(answer.status);
        if answer.status != status {
            let place = std::panic::Location::caller();
            let (head, text) = (&answer.head, answer.text());
            self.wrong
                .push(format!("{place}: {method} {target} {status}: {head}{text}"));
        }
        answer
    }

    fn collections(&mut self) -> (String, String) {
        let home = self.home();
        let calendar = format!("{home}{}/", self.keep("calendar name"));
        let folder = format!("{home}{}%20%C3%BC/", self.keep("folder name"));
        let (name, description) = (self.lose("first displayname"), self.keep("zone name"));
        let zone = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VTIMEZONE\r\nTZID:{description}\r\n\
             BEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0100\r\nTZOFFSETTO:+0100\r\n\
             END:STANDARD\r\nEND:VTIMEZONE\r\nEND:VCALENDAR\r\n"
        );
        let body = format!(
            "<C:mkcalendar xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'><D:set><D:prop>\
             <D:displayname>{name}</D:displayname><C:calendar-timezone>{zone}</C:calendar-timezone>\
             </D:prop></D:set></C:mkcalendar>"
        );
        self.ask(200, "OPTIONS", &home, &[], "");
        self.ask(201, "MKCALENDAR", &calendar, &[XML], &body);
        let name = self.keep("folder displayname");
        let body = format!(
            "<D:mkcol xmlns:D='DAV:'><D:set><D:prop><D:resourcetype><D:collection/></D:resourcetype>\
             <D:displayname>{name}</D:displayname></D:prop></D:set></D:mkcol>"
        );
        self.ask(201, "MKCOL", &folder, &[XML], &body);
        (calendar, folder)
    }

    /// Stores, overwrites, reads and deletes calendar objects; gives one that stays.
    fn objects(&mut self, calendar: &str) -> String {
        let href = format!("{calendar}{}.ics", self.keep("href"));
        let uid = self.keep("UID");
        let old = self.lose("overwritten SUMMARY");
        let description = self.keep("DESCRIPTION");
        let (head, tail) = description.split_at(12);
        let first = event(&uid, &format!("SUMMARY:{old}\r\n"));
        self.ask(201, "PUT", &href, &[ICS], &first);
        let attachment = encode64(&self.canaries.get("inline attachment"));
        let lines = [
            format!("SUMMARY:{}\r\n", self.keep("SUMMARY")),
            format!("LOCATION:{}\r\n", self.keep("LOCATION")),
            format!("DESCRIPTION:A folded line\\, {head}\r\n {tail}\r\n"),
            format!(
                "ORGANIZER;CN={0}:mailto:{0}@x.org\r\n",
                self.keep("ORGANIZER")
            ),
            format!(
                "ATTENDEE;CN={0}:mailto:{0}@x.org\r\n",
                self.keep("ATTENDEE")
            ),
            format!("X-{}:x\r\n", self.keep("property name").to_uppercase()),
            format!("ATTACH;VALUE=BINARY;ENCODING=BASE64:{attachment}\r\n"),
            "BEGIN:VALARM\r\nACTION:DISPLAY\r\nTRIGGER:-PT5M\r\n".to_owned(),
            format!("DESCRIPTION:{}\r\nEND:VALARM\r\n", self.keep("alarm text")),
        ];
        let second = event(&uid, &lines.concat());
        let etag = self.ask(204, "PUT", &href, &[ICS], &second);
        let etag = etag.header("etag").expect("an ETag").to_owned();
        let got = self.ask(200, "GET", &href, &[], "");
        assert_eq!(got.text(), second);
        self.kept
            .retain(|name| *name != "DESCRIPTION" && *name != "property name");
        self.ask(200, "HEAD", &href, &[], "");
        self.ask(206, "GET", &href, &[("Range", "bytes=3-9")], "");
        self.ask(304, "GET", &href, &[("If-None-Match", &etag)], "");
        let gone = format!("{calendar}{}.ics", self.lose("deleted href"));
        let body = event(
            &self.canaries.get("deleted UID"),
            &format!("SUMMARY:{}\r\n", self.canaries.get("deleted SUMMARY")),
        );
        self.ask(201, "PUT", &gone, &[ICS], &body);
        self.ask(204, "DELETE", &gone, &[], "");
        let posted = event(&self.keep("posted UID"), "");
        let add = format!("{calendar}?add-member");
        let made = self.ask(201, "POST", &add, &[ICS], &posted);
        let made = made.header("location").expect("a Location").to_owned();
        let path = &made[made.find("/dav/").expect("a path of ours")..];
        self.ask(200, "GET", path, &[], "");
        href
    }

    /// Files, one of several chunks with a canary across each border.
    fn files(&mut self, folder: &str) -> String {
        let name = format!("{folder}{}%20%C3%BC.txt", self.keep("file name"));
        let body = self.keep("file body");
        let kind = format!("text/x-{}", self.keep("media type"));
        self.ask(201, "PUT", &name, &[("Content-Type", &kind)], &body);
        self.ask(200, "GET", &name, &[], "");
        let mut large = "x".repeat(250_000);
        let canary = self.keep("large file");
        for border in 1..4 {
            // wherever exactly the chunks end, some canary lies across it
            for at in (border * 65_536 - 60..border * 65_536 + 40).step_by(canary.len()) {
                large.replace_range(at..at + canary.len(), &canary);
            }
        }
        let large_name = format!("{folder}{}.bin", self.keep("large file name"));
        self.ask(201, "PUT", &large_name, &[], &large);
        assert_eq!(self.ask(200, "GET", &large_name, &[], "").text(), large);
        name
    }

    fn properties(&mut self, calendar: &str, event: &str, file: &str) {
        let (name, description, color) = (
            self.keep("displayname"),
            self.keep("calendar description"),
            self.keep("calendar color"),
        );
        let (dead_name, dead, namespace) = (
            self.keep("dead property name"),
            self.keep("dead property"),
            self.keep("dead property namespace"),
        );
        let body = format!(
            "<D:propertyupdate xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav' \
             xmlns:A='http://apple.com/ns/ical/' xmlns:X='urn:{namespace}'><D:set><D:prop>\
             <D:displayname>{name}</D:displayname><C:calendar-description>{description}\
             </C:calendar-description><A:calendar-color>{color}</A:calendar-color>\
             <X:{dead_name} a='{dead}'>{dead}</X:{dead_name}></D:prop></D:set></D:propertyupdate>"
        );
        self.ask(207, "PROPPATCH", calendar, &[XML], &body);
        for object in [event, file] {
            let body = format!(
                "<D:propertyupdate xmlns:D='DAV:' xmlns:X='urn:{namespace}'><D:set><D:prop>\
                 <X:{dead_name}>{dead}</X:{dead_name}></D:prop></D:set></D:propertyupdate>"
            );
            self.ask(207, "PROPPATCH", object, &[XML], &body);
        }
        let all = "<D:propfind xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav' \
                   xmlns:A='http://apple.com/ns/ical/'><D:allprop/><D:include><C:calendar-timezone/>\
                   <C:calendar-description/><A:calendar-color/><D:lockdiscovery/></D:include></D:propfind>";
        let names = "<D:propfind xmlns:D='DAV:'><D:propname/></D:propfind>";
        let folder = &file[..=file.rfind('/').expect("a path")].to_owned();
        let principal = format!("/dav/principals/{}/", self.user);
        for target in ["/dav/", &principal, &self.home(), calendar, folder, event] {
            self.ask(207, "PROPFIND", target, &[XML, ("Depth", "1")], all);
            self.ask(207, "PROPFIND", target, &[XML, ("Depth", "0")], names);
        }
    }

    fn locks(&mut self, folder: &str, file: &str) {
        let owner = self.keep("lock owner");
        let info = format!(
            "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><D:locktype>\
             <D:write/></D:locktype><D:owner>{owner}</D:owner></D:lockinfo>"
        );
        let locked = self.ask(200, "LOCK", file, &[XML, ("Depth", "0")], &info);
        let token = locked.header("lock-token").expect("a token").to_owned();
        let state = format!("({token})");
        self.ask(423, "PUT", file, &[], "not without the token");
        let body = self.keep("file body");
        let kind = format!("text/x-{}", self.canaries.get("media type"));
        let headers = [("If", state.as_str()), ("Content-Type", &kind)];
        self.ask(204, "PUT", file, &headers, &body);
        self.ask(200, "LOCK", file, &[("If", &state)], "");
        self.ask(423, "LOCK", file, &[XML], &info);
        self.ask(204, "UNLOCK", file, &[("Lock-Token", &token)], "");
        // this one stays
        let reserved = format!("{folder}{}", self.keep("reserved name"));
        self.ask(201, "LOCK", &reserved, &[XML, ("Depth", "0")], &info);
    }

    fn copies_and_moves(&mut self, calendar: &str, folder: &str, event: &str, file: &str) {
        let home = self.home();
        let other = format!("{home}{}/", self.lose("deleted calendar name"));
        self.ask(201, "MKCALENDAR", &other, &[], "");
        let there = format!("{other}{}.ics", self.lose("copy's href"));
        self.ask(201, "COPY", event, &[("Destination", &there)], "");
        let moved = format!("{other}{}.ics", self.lose("moved href"));
        self.ask(201, "MOVE", &there, &[("Destination", &moved)], "");
        self.ask(
            409,
            "COPY",
            event,
            &[("Destination", &format!("{calendar}x.ics"))],
            "",
        );
        self.ask(204, "DELETE", &other, &[], "");
        let copied = format!("{folder}{}", self.lose("moved file name"));
        self.ask(201, "COPY", file, &[("Destination", &copied)], "");
        let moved = format!("{folder}{}", self.keep("last file name"));
        self.ask(201, "MOVE", &copied, &[("Destination", &moved)], "");
        let tree = format!("{home}{}/", self.lose("copied folder's name"));
        self.ask(201, "COPY", folder, &[("Destination", &tree)], "");
        let moved = format!("{home}{}/", self.keep("moved folder's name"));
        self.ask(201, "MOVE", &tree, &[("Destination", &moved)], "");
        self.ask(207, "PROPFIND", &moved, &[("Depth", "1")], "");
        self.ask(207, "PROPFIND", folder, &[("Depth", "1")], "");
    }

    fn reports(&mut self, calendar: &str, event: &str) {
        let (home, principal) = (self.home(), format!("/dav/principals/{}/", self.user));
        let sought = self.lose("sought text");
        let missing = self.lose("missing href");
        let c = "xmlns:D='DAV:' xmlns:C='urn:ietf:params:xml:ns:caldav'";
        let data = "<D:prop><D:getetag/><C:calendar-data/></D:prop>";
        let multiget = format!(
            "<C:calendar-multiget {c}>{data}<D:href>{event}</D:href><D:href>{calendar}{missing}.ics\
             </D:href></C:calendar-multiget>"
        );
        let query = |text: &str| {
            format!(
                "<C:calendar-query {c}>{data}<C:filter><C:comp-filter name='VCALENDAR'>\
                 <C:comp-filter name='VEVENT'><C:prop-filter name='SUMMARY'><C:text-match>{text}\
                 </C:text-match></C:prop-filter></C:comp-filter></C:comp-filter></C:filter>\
                 </C:calendar-query>"
            )
        };
        let sync = format!(
            "<D:sync-collection {c}><D:sync-token/><D:sync-level>1</D:sync-level>\
             <D:prop><D:getetag/></D:prop></D:sync-collection>"
        );
        let expand = "<D:expand-property xmlns:D='DAV:'><D:property name='owner'><D:property \
                      name='displayname'/></D:property></D:expand-property>";
        let of_acl = "<D:acl-principal-prop-set xmlns:D='DAV:'><D:prop><D:displayname/></D:prop>\
                      </D:acl-principal-prop-set>";
        let matching = "<D:principal-match xmlns:D='DAV:'><D:self/></D:principal-match>";
        let search = format!(
            "<D:principal-property-search xmlns:D='DAV:'><D:property-search><D:prop><D:displayname/>\
             </D:prop><D:match>{sought}</D:match></D:property-search><D:prop><D:displayname/></D:prop>\
             </D:principal-property-search>"
        );
        let searchable = "<D:principal-search-property-set xmlns:D='DAV:'/>";
        let summary = self.canaries.get("SUMMARY");
        for (target, status, body) in [
            (calendar, 207, multiget.as_str()),
            (calendar, 207, &query(&summary)),
            (calendar, 207, &query(&sought)),
            (calendar, 207, &sync),
            (&home, 207, &sync),
            (calendar, 207, expand),
            (calendar, 207, of_acl),
            ("/dav/principals/", 207, matching),
            ("/dav/principals/", 207, &search),
            (&principal, 200, searchable),
        ] {
            self.ask(status, "REPORT", target, &[XML, ("Depth", "1")], body);
        }
    }

    /// As many refusals as can be had, each with a canary in what is refused.
    fn errors(&mut self, calendar: &str, folder: &str, event: &str, file: &str) {
        let text = self.lose("refused text");
        let body = format!("BEGIN:VCALENDAR\r\nX-{text}:{text}\r\n");
        let new = format!("{calendar}{text}.ics");
        let below = format!("{folder}{text}/{text}");
        let foreign = format!("http://{text}.example.org{folder}x");
        let long = format!("{folder}{text}{}", "x".repeat(9_000));
        let state = format!("(<urn:uuid:{text}>)");
        let lock_info =
            format!("<D:lockinfo xmlns:D='DAV:'><D:owner>{text}</D:owner></D:lockinfo>");
        let entity =
            format!("<!DOCTYPE {text} [<!ENTITY x '{text}'>]><D:propfind xmlns:D='DAV:'/>");
        let report = format!("<X:{text} xmlns:X='urn:{text}'/>");
        let sync = format!(
            "<D:sync-collection xmlns:D='DAV:'><D:sync-token>{text}</D:sync-token><D:prop/></D:sync-collection>"
        );
        type Refused<'a> = (u16, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);
        let cases: &[Refused<'_>] = &[
            (403, "PUT", &new, &[ICS], &body),
            (404, "GET", &below, &[], ""),
            (
                404,
                "GET",
                &format!("{folder}{text}?{text}={text}"),
                &[],
                "",
            ),
            (400, "GET", &format!("{folder}%2e%2e%2f{text}"), &[], ""),
            (400, "PUT", file, &[("If", &text)], "x"),
            (412, "PUT", file, &[("If", &state)], "x"),
            (
                412,
                "PUT",
                file,
                &[("If-Match", &format!("\"{text}\""))],
                "x",
            ),
            (405, "MKCOL", folder, &[], ""),
            (409, "PUT", &below, &[], &text),
            (
                409,
                "UNLOCK",
                file,
                &[("Lock-Token", &format!("<urn:{text}>"))],
                "",
            ),
            (400, "LOCK", file, &[XML], &lock_info),
            (
                415,
                "MKCOL",
                &below,
                &[("Content-Type", "text/plain")],
                &text,
            ),
            (416, "GET", file, &[("Range", "bytes=900000-")], ""),
            (403, "PROPFIND", folder, &[XML, ("Depth", "1")], &entity),
            (403, "PROPFIND", folder, &[("Depth", "infinity")], ""),
            (400, "PROPFIND", folder, &[XML, ("Depth", "1")], &text),
            (403, "REPORT", calendar, &[XML], &report),
            (403, "REPORT", calendar, &[XML], &sync),
            (403, "ACL", calendar, &[XML], "<D:acl xmlns:D='DAV:'/>"),
            (502, "MOVE", file, &[("Destination", &foreign)], ""),
            (501, &text.to_uppercase(), event, &[], &text),
            (414, "GET", &long, &[], ""),
            (415, "PUT", file, &[("Content-Encoding", &text)], &text),
        ];
        for (status, method, target, headers, body) in cases {
            let headers = [headers, &[("User-Agent", text.as_str())][..]].concat();
            self.ask(*status, method, target, &headers, body);
        }
        let many = vec![("X-Many", text.as_str()); 150];
        self.ask(431, "GET", event, &many, "");
        let huge = vec![b'x'; sealdav::limits::OBJECT_BYTES + 1];
        let answer = self.client.ask("PUT", file, &[], &huge);
        assert_eq!(answer.status, 413);
        self.statuses.push(413);
        let stranger = format!("/dav/calendars/{text}/");
        self.ask(404, "PROPFIND", &stranger, &[("Depth", "1")], "");
    }

    /// Wrong credentials, until they are throttled.
    fn credentials(&mut self) {
        let wrong = self.lose("wrong password");
        let home = self.home();
        for attempt in 0..limits_of_failures() {
            let value = basic(&self.user, &format!("{wrong}{attempt}"));
            let answer = self
                .client
                .ask("GET", &home, &[("Authorization", &value)], b"");
            self.statuses.push(answer.status);
            if answer.status == 429 {
                break;
            }
            assert_eq!(answer.status, 401);
        }
        let password = self.canaries.get("password");
        for value in [
            basic(&self.user, &password),
            format!("Bearer {wrong}"),
            format!("Basic {wrong}"),
            format!("{wrong} {wrong}"),
        ] {
            let answer = self
                .client
                .ask("GET", &home, &[("Authorization", &value)], b"");
            assert!(matches!(answer.status, 401 | 429), "{}", answer.head);
        }
    }

    /// The commands, with the server running.
    fn administration(&mut self, label: &str) {
        let (user, password) = (self.user.clone(), self.canaries.get("password"));
        let second = self.lose("second label");
        let secret = self.server.app_password_by(&user, &second, &password);
        know_secret(
            &mut self.canaries,
            ["revoked app password", "revoked app password, bare"],
            Some(&secret),
        );
        let mut client = self.server.client(&user, &secret);
        client.expect(207, "PROPFIND", &self.home(), &[("Depth", "0")], "");
        self.server
            .done(&["app-password", "revoke", &user, &second], "");
        client.expect(401, "PROPFIND", &self.home(), &[("Depth", "0")], "");
        let list = self.server.done(&["app-password", "list", &user], "");
        assert!(list.contains(label), "{list}");
        let changed = self.lose("second password");
        let lines = format!("{password}\n{changed}\n");
        let arguments = ["user", "password", &user, "--password-stdin"];
        self.server.done(&arguments, &lines);
        // no longer right
        let refused = self.server.command(&arguments, &lines);
        assert!(!refused.status.success());
        self.server.done(&["user", "disable", &user], "");
        let home = self.home();
        self.ask(401, "GET", &home, &[], "");
        self.server.done(&["user", "enable", &user], "");
        self.ask(207, "PROPFIND", &home, &[("Depth", "1")], "");
        let users = self.server.done(&["user", "list"], "");
        self.client.transcript.extend(users.bytes());
        self.client.transcript.extend(list.bytes());
        self.kept
            .extend(["user name", "e-mail", "app password label"]);
    }
}

impl Tour<'_> {
    /// Devices for one calendar, and for reading.
    fn limited_devices(&mut self, calendar: &str, event: &str, file: &str) {
        let password = self.canaries.get("second password");
        let name = self.canaries.get("calendar name");
        let cases: [(_, [&'static str; 2], &[&str]); 2] = [
            (
                "label of a device for a calendar",
                [
                    "app password for a calendar",
                    "app password for a calendar, bare",
                ],
                &["--calendar", &name],
            ),
            (
                "label of a device for reading",
                ["app password for reading", "app password for reading, bare"],
                &["--read-only", "--expires", "90d"],
            ),
        ];
        let text = self.lose("text of a limited device");
        let [chosen, reader] = cases.map(|(label, names, terms)| {
            let label = self.keep(label);
            let secret = (self.server).app_password_with(&self.user, &label, &password, terms);
            know_secret(&mut self.canaries, names, Some(&secret));
            secret
        });
        let body = super::everything::event(&text, &format!("SUMMARY:{text}\r\n"));
        let new = format!("{calendar}{text}.ics");
        let cases: [(&str, u16, &str, &str, &str); 9] = [
            (&chosen, 200, "GET", event, ""),
            (&chosen, 404, "GET", file, ""),
            (&chosen, 201, "PUT", &new, &body),
            (&chosen, 204, "DELETE", &new, ""),
            (&chosen, 207, "PROPFIND", calendar, ""),
            (&reader, 200, "GET", event, ""),
            (&reader, 200, "GET", file, ""),
            (&reader, 403, "PUT", &new, &body),
            (&reader, 403, "DELETE", event, ""),
        ];
        for (secret, status, method, target, body) in cases {
            let headers = [
                ("Authorization", &*basic(&self.user, secret)),
                ("Depth", "1"),
                ICS,
            ];
            let headers = match body {
                "" => &headers[..2],
                _ => &headers[..],
            };
            self.ask(status, method, target, headers, body);
        }
        let devices = self.server.done(&["device", "list", &self.user], "");
        self.client.transcript.extend(devices.bytes());
    }

    /// The audit trail, which its user reads whole; gives what an administrator exports.
    fn audit_trail(&mut self) -> String {
        let password = self.canaries.get("second password");
        let arguments = ["audit", "show", &self.user, "--password-stdin"];
        let shown = self.server.done(&arguments, &password);
        let name = self.canaries.get("displayname");
        assert!(shown.contains(&name), "{shown}");
        let shown = self.server.done(&["audit", "show", "--administration"], "");
        assert!(
            shown.contains(&self.user) && !shown.contains(&name),
            "{shown}"
        );
        self.server.done(&["audit", "verify"], "");
        self.server.done(&["audit", "export"], "")
    }

    /// A forgotten password, and a new recovery key.
    fn recovery(&mut self) {
        let key = format!("sdrk-{}", self.canaries.get("recovery key"));
        let password = self.lose("recovered password");
        let arguments = ["user", "recover", &self.user];
        self.server
            .done(&arguments, &format!("{key}\n{password}\n"));
        let arguments = ["user", "recovery-key", &self.user, "--password-stdin"];
        let said = self.server.done(&arguments, &password);
        let names = ["second recovery key", "second recovery key, bare"];
        let secret = said
            .split_whitespace()
            .find(|word| word.starts_with("sdrk"));
        know_secret(&mut self.canaries, names, secret);
        // the old one is none any more
        let arguments = ["user", "recover", &self.user];
        let refused = self.server.command(&arguments, &format!("{key}\n"));
        assert!(!refused.status.success());
    }
}

fn limits_of_failures() -> u32 {
    sealdav::limits::FAILURES_PER_ADDRESS + 5
}

fn encode64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A calendar with one event.
pub fn event(uid: &str, lines: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\nBEGIN:VEVENT\r\nUID:{uid}\r\n\
         DTSTAMP:20240101T000000Z\r\nDTSTART:20240115T120000Z\r\n{lines}END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}
