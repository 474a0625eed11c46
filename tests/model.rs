//! A plain model beside the server: random sequences of requests by several users and devices, with
//! locks and restarts, whose every answer must be the one that the model foretells; listings,
//! bodies, tags and the replicas of clients that synchronise are compared as a whole now and then.
//!
//! `SEALDAV_MODEL_OPS` is the number of requests, `SEALDAV_MODEL_SEED` the seed, which is printed
//! when the test fails. What the sequence is depends on the seed alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sealdav::account::{AccountSettings, Accounts, Authority, NewAppPassword, NewUser};
use sealdav::ambient::Ambient;
use sealdav::dav::{Body, Dav, DavSettings, Request};
use sealdav::ids::Secret;
use sealdav::limits;
use sealdav::seal::HostKey;
use sealdav::store::{Store, StoreOptions};
use sealdav::vault::{AccountStore, Vault};
use sealdav::xml::{Element, XmlLimits, caldav, dav, parse};

const USERS: [&str; 2] = ["alice", "bob"];
const PASSWORD: &str = "correct horse battery staple";
/// Few names and UIDs, so that they meet again and again.
const CALENDARS: [&str; 4] = ["calendar", "one", "two", "thr%20%C3%A9e"];
const NAMES: u64 = 12;
/// Requests between two comparisons of everything.
const BETWEEN: usize = 250;

/// SplitMix64: small, and its sequence depends on nothing but the seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    fn calendar(&mut self) -> &'static str {
        CALENDARS[usize::try_from(self.roll(4)).unwrap()]
    }

    fn name(&mut self) -> String {
        format!("{}.ics", self.roll(NAMES))
    }
}

/// What the server ought to hold.
#[derive(Clone, Default)]
struct Object {
    uid: String,
    body: String,
    etag: String,
    property: Option<String>,
}

#[derive(Clone, Default)]
struct Calendar {
    objects: BTreeMap<String, Object>,
    property: Option<String>,
    /// Whether the limited device may see it: that goes with the calendar, not with its name.
    granted: bool,
}

impl Calendar {
    /// Whether an object other than `but` has the UID.
    fn has_uid(&self, uid: &str, but: &str) -> bool {
        let mut objects = self.objects.iter();
        objects.any(|(name, object)| object.uid == uid && name != but)
    }
}

type Model = BTreeMap<String, Calendar>;

/// A client that keeps a copy of one calendar by sync-collection, in pages.
#[derive(Default)]
struct Replica {
    calendar: &'static str,
    limit: u64,
    token: String,
    tags: BTreeMap<String, String>,
}

/// One user: what it has, how its devices sign in, and what they hold.
struct User {
    name: &'static str,
    model: Model,
    whole: Secret,
    limited: Secret,
    replicas: Vec<Replica>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn etag(&self) -> String {
        let value = self.headers.get("etag").expect("a tag");
        value.to_str().unwrap().to_owned()
    }

    fn xml(&self) -> Element {
        let limits = XmlLimits {
            bytes: usize::MAX,
            events: usize::MAX,
            name_bytes: usize::MAX,
            ..XmlLimits::default()
        };
        parse(self.text.as_bytes(), &limits).unwrap_or_else(|_| panic!("{}", self.text))
    }
}

/// The server, opened.
struct Server {
    accounts: Arc<Accounts>,
    dav: Dav,
}

impl Server {
    fn open(folder: &Path, host: &str) -> Server {
        let ambient = Arc::new(Ambient::system());
        let store = Store::open(&folder.join("db"), &StoreOptions::default()).unwrap();
        let host = HostKey::read(host).unwrap();
        let vault = Vault::open(store, host, &folder.join("keys"), ambient.clone()).unwrap();
        let settings = AccountSettings {
            argon2_kib: limits::ARGON2_KIB_LEAST,
            argon2_passes: 1,
            ..AccountSettings::default()
        };
        Server {
            accounts: Arc::new(Accounts::open(vault, settings)),
            dav: Dav::new(DavSettings::default(), ambient),
        }
    }

    fn sign_in(&self, name: &str, secret: &Secret) -> AccountStore {
        let peer = [127, 0, 0, 1].into();
        self.accounts.sign_in(name, secret, peer).expect("it opens")
    }

    fn ask(
        &self,
        account: &AccountStore,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let request = Request {
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            target: target.to_owned(),
            headers: map,
            body: body.as_bytes().to_vec().into(),
            authorities: vec!["cal.example.org".into()],
            https: true,
        };
        let response = self.dav.handle(account, request);
        let bytes: Vec<u8> = match response.body {
            Body::Empty => Vec::new(),
            Body::Full(bytes) => bytes.to_vec(),
            Body::Stream(steps) => steps.flat_map(|step| step.unwrap().to_vec()).collect(),
        };
        Answer {
            status: response.status.as_u16(),
            headers: response.headers,
            text: String::from_utf8(bytes).unwrap(),
        }
    }
}

/// What the model says of a request: done, with one of these, or refused for one of these reasons.
#[derive(Debug)]
struct Foretold {
    done: &'static [u16],
    refusals: Vec<u16>,
}

impl Foretold {
    /// Whether it was done.
    #[track_caller]
    fn check(&self, answer: &Answer, what: &str) -> bool {
        let may = match self.refusals.is_empty() {
            true => self.done,
            false => &self.refusals,
        };
        let (status, text) = (answer.status, &answer.text);
        assert!(
            may.contains(&status),
            "{what}: {status} instead of {self:?} {text}"
        );
        self.refusals.is_empty()
    }
}

fn home(user: &str) -> String {
    format!("/dav/calendars/{user}/")
}

fn event(uid: &str, summary: u64) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Example//EN\r\nBEGIN:VEVENT\r\nUID:{uid}\r\n\
         DTSTART:20260102T100000Z\r\nDURATION:PT1H\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

const DAV_NS: &str = r#"xmlns:D="DAV:" xmlns:Z="http://example.com/z/""#;

/// A multistatus as href -> (status of the response or of its first propstat, its getetag, Z:p).
fn listed(answer: &Answer) -> BTreeMap<String, (u16, String, String)> {
    assert_eq!(answer.status, 207, "{}", answer.text);
    let mut found = BTreeMap::new();
    for response in answer.xml().children_named(dav("response")) {
        let code = |element: &Element| {
            let status = element.child(dav("status")).map(Element::text);
            status.and_then(|text| text.split(' ').nth(1)?.parse::<u16>().ok())
        };
        let href = response.child(dav("href")).unwrap().text();
        let (mut etag, mut property) = (String::new(), String::new());
        for propstat in response.children_named(dav("propstat")) {
            let prop = propstat.child(dav("prop")).unwrap();
            if code(propstat) != Some(200) {
                continue;
            }
            for element in prop.elements() {
                match element.name.local.as_str() {
                    "getetag" => etag = element.text(),
                    "p" => property = element.text(),
                    _ => {}
                }
            }
        }
        let before = found.insert(href, (code(response).unwrap_or(200), etag, property));
        assert!(before.is_none(), "an href twice");
    }
    found
}

struct World {
    folder: tempfile::TempDir,
    host: String,
    server: Option<Server>,
    users: Vec<User>,
    dice: Dice,
    done: BTreeMap<&'static str, usize>,
}

impl World {
    fn new(seed: u64) -> World {
        let folder = tempfile::tempdir().unwrap();
        let host = Ambient::system().random(|random| HostKey::generate(random));
        let host = host.to_text().to_string();
        let server = Server::open(folder.path(), &host);
        let users = USERS.map(|name| {
            let new = NewUser {
                name: name.into(),
                email: format!("{name}@example.org"),
                password: Secret::new(PASSWORD.into()),
                allow_weak: false,
                admin: false,
            };
            server.accounts.add_user(new).unwrap();
            let add = |label: &str, calendars: Vec<String>| {
                let new = NewAppPassword {
                    calendars,
                    ..NewAppPassword::labelled(label)
                };
                let authority = Authority::Password(Secret::new(PASSWORD.into()));
                let added = server.accounts.add_app_password(name, new, authority);
                added.unwrap().password
            };
            let granted = Calendar {
                granted: true,
                ..Calendar::default()
            };
            User {
                name,
                model: [("calendar".to_owned(), granted)].into(),
                whole: add("all", Vec::new()),
                limited: add("one", vec!["calendar".into()]),
                replicas: replicas(),
            }
        });
        World {
            folder,
            host,
            server: Some(server),
            users: users.into(),
            dice: Dice(seed),
            done: BTreeMap::new(),
        }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it is open")
    }

    fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    /// One request of a user's whole device.
    fn ask(
        &self,
        user: usize,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let user = &self.users[user];
        let account = self.server().sign_in(user.name, &user.whole);
        let target = home(user.name) + path;
        self.server().ask(&account, method, &target, headers, body)
    }

    fn step(&mut self) {
        let user = usize::try_from(self.dice.roll(2)).unwrap();
        match self.dice.roll(400) {
            0..=139 => self.put(user),
            140..=189 => self.delete(user),
            190..=239 => self.transfer(user, "MOVE"),
            240..=269 => self.transfer(user, "COPY"),
            270..=299 => self.property(user),
            300..=309 => self.make(user),
            310..=315 => self.delete_calendar(user),
            316..=325 => self.transfer_calendar(user),
            326..=369 => self.page(user),
            370..=389 => self.limited(user),
            390..=394 => self.read(user),
            395..=397 => self.lock(user),
            398 => self.foreign(user),
            _ => self.restart(),
        }
    }

    fn put(&mut self, user: usize) {
        let (calendar, name) = (self.dice.calendar(), self.dice.name());
        let there = self.users[user].model.get(calendar);
        let old = there.and_then(|there| there.objects.get(&name)).cloned();
        let uid = match (&old, self.dice.roll(5)) {
            (Some(old), 1..) => old.uid.clone(),
            _ => format!("u{}", self.dice.roll(2 * NAMES)),
        };
        let body = event(&uid, self.dice.next());
        let (condition, failed) = match (self.dice.roll(6), &old) {
            (0, old) => (Some(("if-none-match", "*".to_owned())), old.is_some()),
            (1, Some(old)) => (Some(("if-match", old.etag.clone())), false),
            (1 | 2, _) => (Some(("if-match", "\"0\"".to_owned())), true),
            _ => (None, false),
        };
        let mut refusals = Vec::new();
        refusals.extend(there.is_none().then_some(409));
        refusals.extend(failed.then_some(412));
        let taken = there.is_some_and(|there| there.has_uid(&uid, &name));
        let other = old.as_ref().is_some_and(|old| old.uid != uid);
        refusals.extend((taken || other).then_some(409));
        let done: &[u16] = if old.is_some() { &[204] } else { &[201] };
        let mut headers = vec![("content-type", "text/calendar")];
        headers.extend(
            condition
                .as_ref()
                .map(|(name, value)| (*name, value.as_str())),
        );
        let answer = self.ask(user, "PUT", &format!("{calendar}/{name}"), &headers, &body);
        if (Foretold { done, refusals }).check(&answer, "PUT") {
            let etag = answer.etag();
            assert!(
                old.as_ref().is_none_or(|old| old.etag != etag),
                "a tag comes again"
            );
            let property = old.and_then(|old| old.property);
            let object = Object {
                uid,
                body,
                etag,
                property,
            };
            let calendar = self.users[user].model.get_mut(calendar).unwrap();
            calendar.objects.insert(name, object);
            self.count(if done == [201] { "create" } else { "overwrite" });
        } else {
            self.count("refused put");
        }
    }

    fn delete(&mut self, user: usize) {
        let (calendar, name) = (self.dice.calendar(), self.dice.name());
        let there = self.users[user].model.get_mut(calendar);
        let there = there.and_then(|there| there.objects.remove(&name));
        let refusals = Vec::from_iter(there.is_none().then_some(404));
        let answer = self.ask(user, "DELETE", &format!("{calendar}/{name}"), &[], "");
        if (Foretold {
            done: &[204],
            refusals,
        })
        .check(&answer, "DELETE")
        {
            self.count("delete");
        }
    }

    fn transfer(&mut self, user: usize, method: &'static str) {
        let (from, name) = (self.dice.calendar(), self.dice.name());
        let (to, new) = match self.dice.roll(3) {
            0 => (from, self.dice.name()),
            1 => (self.dice.calendar(), name.clone()),
            _ => (self.dice.calendar(), self.dice.name()),
        };
        let over = self.dice.roll(2) == 0;
        let model = &self.users[user].model;
        let source = model
            .get(from)
            .and_then(|calendar| calendar.objects.get(&name));
        let target = model.get(to);
        let old = target.and_then(|target| target.objects.get(&new));
        let mut refusals = Vec::new();
        let same = (from, &name) == (to, &new);
        refusals.extend(same.then_some(403));
        refusals.extend(source.is_none().then_some(404));
        refusals.extend(target.is_none().then_some(409));
        refusals.extend((old.is_some() && !over).then_some(412));
        if let (Some(source), Some(target), false) = (source, target, same) {
            let but =
                |other: &str| other == new || (method == "MOVE" && from == to && other == name);
            let mut objects = target.objects.iter();
            let taken = objects.any(|(other, object)| object.uid == source.uid && !but(other));
            let other = old.is_some_and(|old| old.uid != source.uid);
            refusals.extend((taken || other).then_some(409));
        }
        let done: &[u16] = if old.is_some() { &[204] } else { &[201] };
        let moved = source.cloned();
        let destination = home(self.users[user].name) + &format!("{to}/{new}");
        let headers = [
            ("destination", destination.as_str()),
            ("overwrite", if over { "T" } else { "F" }),
        ];
        let answer = self.ask(user, method, &format!("{from}/{name}"), &headers, "");
        if !(Foretold { done, refusals }).check(&answer, method) {
            return;
        }
        let etag = self
            .ask(user, "HEAD", &format!("{to}/{new}"), &[], "")
            .etag();
        let moved = Object {
            etag,
            ..moved.unwrap()
        };
        let model = &mut self.users[user].model;
        if method == "MOVE" {
            model.get_mut(from).unwrap().objects.remove(&name);
        }
        model.get_mut(to).unwrap().objects.insert(new, moved);
        self.count(method);
    }

    fn property(&mut self, user: usize) {
        let calendar = self.dice.calendar();
        let name = match self.dice.roll(4) {
            0 => String::new(),
            _ => self.dice.name(),
        };
        let value = (self.dice.roll(4) > 0).then(|| self.dice.next().to_string());
        let body = match &value {
            Some(value) => format!(
                "<D:propertyupdate {DAV_NS}><D:set><D:prop><Z:p>{value}</Z:p></D:prop></D:set></D:propertyupdate>"
            ),
            None => format!(
                "<D:propertyupdate {DAV_NS}><D:remove><D:prop><Z:p/></D:prop></D:remove></D:propertyupdate>"
            ),
        };
        let slot = match self.users[user].model.get_mut(calendar) {
            Some(there) if name.is_empty() => Some(&mut there.property),
            Some(there) => there
                .objects
                .get_mut(&name)
                .map(|object| &mut object.property),
            None => None,
        };
        let refusals = Vec::from_iter(slot.is_none().then_some(404));
        if let Some(slot) = slot {
            *slot = value;
        }
        let answer = self.ask(user, "PROPPATCH", &format!("{calendar}/{name}"), &[], &body);
        if (Foretold {
            done: &[207],
            refusals,
        })
        .check(&answer, "PROPPATCH")
        {
            self.count("proppatch");
        }
    }

    fn make(&mut self, user: usize) {
        let calendar = self.dice.calendar();
        let there = self.users[user].model.contains_key(calendar);
        let refusals = Vec::from_iter(there.then_some(405));
        let answer = self.ask(user, "MKCALENDAR", &format!("{calendar}/"), &[], "");
        if (Foretold {
            done: &[201],
            refusals,
        })
        .check(&answer, "MKCALENDAR")
        {
            self.users[user]
                .model
                .insert(calendar.into(), Calendar::default());
            self.count("mkcalendar");
        }
    }

    fn delete_calendar(&mut self, user: usize) {
        let calendar = self.dice.calendar();
        let there = self.users[user].model.remove(calendar);
        let refusals = Vec::from_iter(there.is_none().then_some(404));
        let answer = self.ask(user, "DELETE", &format!("{calendar}/"), &[], "");
        if (Foretold {
            done: &[204],
            refusals,
        })
        .check(&answer, "DELETE of a calendar")
        {
            self.count("delete calendar");
        }
    }

    fn transfer_calendar(&mut self, user: usize) {
        let (from, to) = (self.dice.calendar(), self.dice.calendar());
        let method = if self.dice.roll(3) == 0 {
            "COPY"
        } else {
            "MOVE"
        };
        let over = self.dice.roll(2) == 0;
        let model = &self.users[user].model;
        let old = model.contains_key(to);
        let mut refusals = Vec::new();
        refusals.extend((from == to).then_some(403));
        refusals.extend((!model.contains_key(from)).then_some(404));
        refusals.extend((old && !over).then_some(412));
        let destination = home(self.users[user].name) + &format!("{to}/");
        let headers = [
            ("destination", destination.as_str()),
            ("overwrite", if over { "T" } else { "F" }),
        ];
        let done: &[u16] = if old { &[204] } else { &[201] };
        let answer = self.ask(user, method, &format!("{from}/"), &headers, "");
        if !(Foretold { done, refusals }).check(&answer, "COPY or MOVE of a calendar") {
            return;
        }
        let model = &mut self.users[user].model;
        let moved = match method {
            "MOVE" => model.remove(from).unwrap(),
            _ => Calendar {
                granted: false,
                ..model[from].clone()
            },
        };
        model.insert(to.into(), moved);
        // copies are other objects, with tags of their own
        let listed = self.list(user, to);
        let calendar = self.users[user].model.get_mut(to).unwrap();
        for (name, object) in &mut calendar.objects {
            let (_, etag, _) = &listed[name];
            assert!(
                method == "COPY" || *etag == object.etag,
                "a move changed a tag"
            );
            object.etag.clone_from(etag);
        }
        self.count(if method == "MOVE" {
            "rename calendar"
        } else {
            "copy calendar"
        });
    }

    /// Name -> status, tag, property of the members of a calendar; itself as the empty name.
    fn list(&self, user: usize, calendar: &str) -> BTreeMap<String, (u16, String, String)> {
        let body = format!("<D:propfind {DAV_NS}><D:prop><D:getetag/><Z:p/></D:prop></D:propfind>");
        let answer = self.ask(
            user,
            "PROPFIND",
            &format!("{calendar}/"),
            &[("depth", "1")],
            &body,
        );
        let prefix = home(self.users[user].name) + calendar + "/";
        let name = |href: String| href.strip_prefix(&prefix).expect("a member").to_owned();
        let listed = listed(&answer).into_iter();
        listed.map(|(href, found)| (name(href), found)).collect()
    }

    /// One page of a client's synchronisation, and the rest of it half of the time.
    fn page(&mut self, user: usize) {
        let replica = usize::try_from(self.dice.roll(6)).unwrap();
        let whole = self.dice.roll(2) == 0;
        while self.sync(user, replica) && whole {}
    }

    /// Whether there is more.
    fn sync(&mut self, user: usize, number: usize) -> bool {
        let replica = &self.users[user].replicas[number];
        let calendar = replica.calendar;
        let (token, limit) = (&replica.token, replica.limit);
        let body = format!(
            "<D:sync-collection {DAV_NS}><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>\
             <D:limit><D:nresults>{limit}</D:nresults></D:limit><D:prop><D:getetag/></D:prop></D:sync-collection>"
        );
        let answer = self.ask(user, "REPORT", &format!("{calendar}/"), &[], &body);
        let there = self.users[user].model.contains_key(calendar);
        let replica = &mut self.users[user].replicas[number];
        match (there, answer.status) {
            (false, 404) => {
                (replica.token, replica.tags) = Default::default();
                return false;
            }
            (true, 403) => {
                // another calendar than the one that the token was of
                assert!(!replica.token.is_empty() && answer.text.contains("valid-sync-token"));
                (replica.token, replica.tags) = Default::default();
                self.count("start over");
                return true;
            }
            (there, status) => assert!(there && status == 207, "sync: {status} {}", answer.text),
        }
        let prefix = format!("/{calendar}/");
        let (mut more, mut changes) = (false, 0);
        for (href, (status, etag, _)) in listed(&answer) {
            let name = href.split_once(&prefix).expect("a member").1.to_owned();
            changes += u64::from(!name.is_empty());
            match status {
                507 if name.is_empty() => more = true,
                404 => drop(replica.tags.remove(&name)),
                status => {
                    assert_eq!(status, 200);
                    replica.tags.insert(name, etag);
                }
            }
        }
        assert!(
            changes <= replica.limit,
            "a page is longer than was asked for"
        );
        assert!(changes == replica.limit || !more, "a page is cut short");
        let token = answer.xml().child(dav("sync-token")).unwrap().text();
        assert!(
            changes == 0 || token != replica.token,
            "a token stands still"
        );
        let idle = changes == 0 && token == replica.token;
        replica.token = token;
        self.count(if more { "continue" } else { "synchronised" });
        if !more {
            let replica = &self.users[user].replicas[number];
            let objects = &self.users[user].model[calendar].objects;
            let is: Vec<_> = replica.tags.iter().collect();
            let ought: Vec<_> = objects
                .iter()
                .map(|(name, object)| (name, &object.etag))
                .collect();
            assert_eq!(is, ought, "a replica of {calendar} differs");
            if idle {
                self.count("nothing new");
            }
        }
        more
    }

    /// The device that has one calendar, wherever that is now.
    fn limited(&mut self, user: usize) {
        let (name, calendar, object) = (
            self.users[user].name,
            self.dice.calendar(),
            self.dice.name(),
        );
        let account = self.server().sign_in(name, &self.users[user].limited);
        assert!(account.is_limited());
        let body = format!("<D:propfind {DAV_NS}><D:prop><D:resourcetype/></D:prop></D:propfind>");
        let answer = self
            .server()
            .ask(&account, "PROPFIND", &home(name), &[("depth", "1")], &body);
        let seen: BTreeSet<String> = listed(&answer).into_keys().collect();
        let granted = self.users[user].model.iter().filter(|(_, one)| one.granted);
        let mut ought: BTreeSet<String> = granted
            .map(|(calendar, _)| format!("{}{calendar}/", home(name)))
            .collect();
        ought.insert(home(name));
        assert_eq!(seen, ought, "what a limited device sees");
        let granted = self.users[user]
            .model
            .get(calendar)
            .is_some_and(|one| one.granted);
        let target = format!("{}{calendar}/{object}", home(name));
        let answer = self.server().ask(&account, "DELETE", &target, &[], "");
        let there = self.users[user].model.get_mut(calendar).filter(|_| granted);
        let there = there.and_then(|there| there.objects.remove(&object));
        let refusals = Vec::from_iter(there.is_none().then_some(404));
        if (Foretold {
            done: &[204],
            refusals,
        })
        .check(&answer, "DELETE by a limited device")
        {
            self.count("limited delete");
        }
        let target = format!("{}{calendar}/", home(name));
        let answer = self.server().ask(&account, "DELETE", &target, &[], "");
        assert!([403, 404].contains(&answer.status), "{}", answer.status);
        self.count("limited");
    }

    /// One body, and one query by UID.
    fn read(&mut self, user: usize) {
        let calendar = self.dice.calendar();
        let Some(there) = self.users[user].model.get(calendar) else {
            return;
        };
        for (name, object) in &there.objects {
            let answer = self.ask(user, "GET", &format!("{calendar}/{name}"), &[], "");
            assert_eq!((answer.status, answer.etag()), (200, object.etag.clone()));
            assert_eq!(answer.text, object.body);
        }
        let body = format!(
            "<C:calendar-query {DAV_NS} xmlns:C=\"{}\"><D:prop><D:getetag/></D:prop><C:filter>\
             <C:comp-filter name=\"VCALENDAR\"><C:comp-filter name=\"VEVENT\">\
             <C:time-range start=\"20260102T000000Z\" end=\"20260103T000000Z\"/>\
             </C:comp-filter></C:comp-filter></C:filter></C:calendar-query>",
            caldav("x").ns
        );
        let answer = self.ask(
            user,
            "REPORT",
            &format!("{calendar}/"),
            &[("depth", "1")],
            &body,
        );
        assert_eq!(listed(&answer).len(), there.objects.len());
        self.count("read");
    }

    /// The keys go; who still holds the account open is told, and opens it again.
    fn lock(&mut self, user: usize) {
        let (name, secret) = (self.users[user].name, self.users[user].whole.clone());
        let account = self.server().sign_in(name, &secret);
        self.server().accounts.lock(Some(name)).unwrap();
        let answer = self
            .server()
            .ask(&account, "PROPFIND", &home(name), &[("depth", "0")], "");
        assert_eq!(answer.status, 401);
        self.count("lock");
    }

    /// Nothing of another user's is there.
    fn foreign(&mut self, user: usize) {
        let account = self
            .server()
            .sign_in(self.users[user].name, &self.users[user].whole);
        let other = home(self.users[1 - user].name) + "calendar/";
        for method in ["PROPFIND", "DELETE", "GET"] {
            let answer = self.server().ask(&account, method, &other, &[], "");
            assert!(
                [403, 404].contains(&answer.status),
                "{method}: {}",
                answer.status
            );
        }
        self.count("foreign");
    }

    fn restart(&mut self) {
        if self.dice.roll(4) > 0 {
            return self.server().accounts.housekeep();
        }
        self.server().accounts.settle();
        drop(self.server.take());
        self.server = Some(Server::open(self.folder.path(), &self.host));
        self.count("restart");
    }

    /// Everything is as the model has it.
    fn compare(&mut self) {
        for user in 0..USERS.len() {
            let calendars: BTreeSet<String> = self.users[user].model.keys().cloned().collect();
            let body = format!("<D:propfind {DAV_NS}><D:prop><Z:p/></D:prop></D:propfind>");
            let answer = self.ask(user, "PROPFIND", "", &[("depth", "1")], &body);
            let prefix = home(self.users[user].name);
            let names = listed(&answer).into_keys().filter_map(|href| {
                let name = href.strip_prefix(&prefix)?.trim_end_matches('/').to_owned();
                (!name.is_empty() && name != "tasks").then_some(name)
            });
            assert_eq!(names.collect::<BTreeSet<_>>(), calendars);
            for calendar in &calendars {
                let listed = self.list(user, calendar);
                let there = &self.users[user].model[calendar];
                assert_eq!(listed.len(), there.objects.len() + 1, "{calendar}");
                assert_eq!(listed[""].2, there.property.clone().unwrap_or_default());
                for (name, object) in &there.objects {
                    let (status, etag, property) = &listed[name];
                    assert_eq!((*status, etag), (200, &object.etag), "{calendar}/{name}");
                    assert_eq!(*property, object.property.clone().unwrap_or_default());
                    let answer = self.ask(user, "GET", &format!("{calendar}/{name}"), &[], "");
                    assert_eq!(answer.text, object.body);
                }
            }
            for replica in 0..self.users[user].replicas.len() {
                while self.sync(user, replica) {}
            }
        }
    }
}

fn replicas() -> Vec<Replica> {
    let kinds = [(0, 1), (0, 1000), (1, 2), (1, 7), (2, 3), (3, 5)];
    let replica = |(calendar, limit): (usize, u64)| Replica {
        calendar: CALENDARS[calendar],
        limit,
        ..Replica::default()
    };
    kinds.map(replica).into()
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Names the seed and the step when a test panics.
struct At(u64, usize);

impl Drop for At {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SEALDAV_MODEL_SEED={}, step {}", self.0, self.1);
        }
    }
}

#[test]
fn every_answer_is_the_models() {
    let seed = from_environment("SEALDAV_MODEL_SEED", 1);
    let operations = usize::try_from(from_environment("SEALDAV_MODEL_OPS", 6_000)).unwrap();
    let mut at = At(seed, 0);
    let mut world = World::new(seed);
    for step in 1..=operations {
        at.1 = step;
        world.step();
        if step % BETWEEN == 0 {
            world.compare();
        }
    }
    world.compare();
    eprintln!("seed {seed}, {operations} steps: {:?}", world.done);
    // a sequence is worth nothing when it does not meet what it is for
    let wanted = [
        "create",
        "overwrite",
        "refused put",
        "delete",
        "MOVE",
        "COPY",
        "proppatch",
        "mkcalendar",
        "delete calendar",
        "rename calendar",
        "copy calendar",
        "continue",
        "start over",
        "read",
        "limited",
        "lock",
        "foreign",
        "restart",
    ];
    for what in wanted.into_iter().filter(|_| operations >= 6_000) {
        assert!(world.done.contains_key(what), "no {what}");
    }
}
