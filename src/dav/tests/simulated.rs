//! Simulated clients (RFC 6578 appendix B): each keeps a copy of two calendars by
//! sync-collection, in pages, and multiget, while a seeded sequence of requests changes them and
//! the server restarts. After each round every copy equals what the server lists.

use std::collections::BTreeMap;

use super::*;
use crate::seal::Generated;
use crate::vault::VaultError;

const CALENDARS: [&str; 2] = ["/dav/calendars/alice/one/", "/dav/calendars/alice/two/"];
const SEEDS: u64 = 6;
const ROUNDS: usize = 60;
/// At most so many changes between two syncs.
const BURST: u64 = 12;
/// Few names and UIDs, so that they meet again and again.
const NAMES: u64 = 9;

/// What one calendar holds: href to entity tag and body.
type Copy = BTreeMap<String, (String, String)>;

/// SplitMix64: small, and its sequence depends on nothing but the seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    fn calendar(&mut self) -> &'static str {
        CALENDARS[usize::from(self.roll(2) == 1)]
    }

    fn href(&mut self) -> String {
        let name = self.roll(NAMES);
        // one name that has to be percent-encoded
        let name = if name == 0 {
            "a%20%C3%A4".into()
        } else {
            name.to_string()
        };
        format!("{}{name}.ics", self.calendar())
    }
}

/// One client: its own tokens, its own page size.
struct Client {
    limit: u64,
    calendars: BTreeMap<&'static str, (String, Copy)>,
    /// How often it was told to start over, and to continue.
    started_over: usize,
    continued: usize,
}

impl Client {
    fn new(limit: u64) -> Self {
        let calendars = CALENDARS.map(|calendar| (calendar, (String::new(), Copy::new())));
        Client {
            limit,
            calendars: calendars.into(),
            started_over: 0,
            continued: 0,
        }
    }

    fn sync(&mut self, server: &Server) {
        for calendar in CALENDARS {
            while self.page(server, calendar) {}
        }
    }

    /// One report, and the bodies of what it names. Whether there is more.
    fn page(&mut self, server: &Server, calendar: &'static str) -> bool {
        let (token, copy) = self.calendars.get_mut(calendar).unwrap();
        let inner = format!(
            "<D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>\
             <D:limit><D:nresults>{}</D:nresults></D:limit><D:prop><D:getetag/></D:prop>",
            self.limit
        );
        let answer = server.report(calendar, "D:sync-collection", &inner);
        if answer.status == 403 {
            // the calendar is another than the one that the token was of
            answer.refused(403, dav("valid-sync-token"));
            assert!(!token.is_empty());
            (*token, *copy) = Default::default();
            self.started_over += 1;
            return true;
        }
        let found = answer.multistatus();
        let mut more = false;
        let mut wanted = Vec::new();
        let hrefs = found.hrefs();
        assert!(hrefs.iter().all(|href| href.starts_with(calendar)));
        assert!(hrefs.iter().filter(|href| *href != calendar).count() as u64 <= self.limit);
        for href in hrefs {
            match found.response(&href).child(dav("status")) {
                Some(_) if href == calendar => {
                    assert_eq!(found.status(&href), 507);
                    more = true;
                }
                Some(_) => {
                    assert_eq!(found.status(&href), 404);
                    copy.remove(&href);
                }
                None => {
                    let etag = found.value(&href, dav("getetag")).text();
                    if copy.get(&href).is_none_or(|(known, _)| *known != etag) {
                        wanted.push((href, etag));
                    }
                }
            }
        }
        *token = found.0.child(dav("sync-token")).unwrap().text();
        self.continued += usize::from(more);
        fetch(server, calendar, &wanted, copy);
        more
    }
}

/// Gets bodies. Nobody else writes meanwhile, so each has the tag that was told.
fn fetch(server: &Server, calendar: &str, wanted: &[(String, String)], copy: &mut Copy) {
    if wanted.is_empty() {
        return;
    }
    let hrefs = wanted
        .iter()
        .map(|(href, _)| format!("<D:href>{href}</D:href>"));
    let inner = format!(
        "<D:prop><D:getetag/><C:calendar-data/></D:prop>{}",
        hrefs.collect::<String>()
    );
    let found = server
        .report(calendar, "C:calendar-multiget", &inner)
        .multistatus();
    assert_eq!(found.hrefs().len(), wanted.len());
    for (href, etag) in wanted {
        assert_eq!(found.value(href, dav("getetag")).text(), *etag);
        let body = found.value(href, caldav("calendar-data")).text();
        copy.insert(href.clone(), (etag.clone(), body));
    }
}

/// What the server has, by the ways that do not go through reports: PROPFIND and GET.
fn listing(server: &Server, calendar: &str) -> Copy {
    let found = server.propfind(calendar, "1", "<D:getetag/>");
    let members = found.hrefs().into_iter().filter(|href| href != calendar);
    members
        .map(|href| {
            let got = server.expect(200, "GET", &href, &[], "");
            let etag = got.header("etag");
            assert_eq!(found.value(&href, dav("getetag")).text(), etag);
            (href, (etag, got.text))
        })
        .collect()
}

/// The server, and what it ought to hold according to the answers it gave.
struct World {
    server: Server,
    secret: Generated,
    dice: Dice,
    bodies: BTreeMap<String, String>,
    done: BTreeMap<&'static str, usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        let vault = TestVault::new();
        let secret = vault.add("alice");
        let server = open(vault, &secret);
        for calendar in CALENDARS {
            server.expect(201, "MKCALENDAR", calendar, &[], "");
        }
        World {
            server,
            secret,
            dice: Dice(seed),
            bodies: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }

    /// One change, of a kind that the dice choose. It may be refused, by name or by UID.
    fn change(&mut self) {
        match self.dice.roll(24) {
            20..=23 => self.restore(),
            0..=6 => self.put(),
            7..=9 => self.delete(),
            10..=14 => self.transfer("MOVE"),
            15..=16 => self.transfer("COPY"),
            17..=18 => self.proppatch(),
            _ => self.recreate(),
        }
    }

    /// Counts what succeeded.
    fn done(&mut self, what: &'static str, status: u16) -> bool {
        let success = matches!(status, 201 | 204 | 207);
        if success {
            *self.done.entry(what).or_default() += 1;
        }
        success
    }

    fn put(&mut self) {
        let href = self.dice.href();
        // mostly the UID that is there, or one of the name: creation, overwriting, conflicts
        let uid = match (self.bodies.get(&href), self.dice.roll(8)) {
            (_, 0) => format!("u{}", self.dice.roll(NAMES)),
            (Some(body), _) => uid_of(body).to_owned(),
            (None, _) => format!("u-{}", href.rsplit('/').next().unwrap()),
        };
        let summary = format!("SUMMARY:{}\r\n", self.dice.next());
        let body = event(&uid, 10, &summary);
        let calendar = [("content-type", "text/calendar")];
        let answer = self.server.ask("PUT", &href, &calendar, &body);
        let what = if answer.status == 201 {
            "create"
        } else {
            "overwrite"
        };
        if self.done(what, answer.status) {
            self.bodies.insert(href, body);
        } else {
            answer.refused(409, caldav("no-uid-conflict"));
        }
    }

    fn delete(&mut self) {
        let href = self.dice.href();
        let there = self.bodies.remove(&href).is_some();
        let status = self.server.ask("DELETE", &href, &[], "").status;
        assert_eq!(status, if there { 204 } else { 404 });
        self.done("delete", status);
    }

    fn transfer(&mut self, method: &'static str) {
        let (from, to) = (self.dice.href(), self.dice.href());
        let answer = self.server.ask(method, &from, &[("destination", &to)], "");
        if self.done(method, answer.status) {
            let body = self.bodies[&from].clone();
            if method == "MOVE" {
                self.bodies.remove(&from);
            }
            self.bodies.insert(to, body);
            return;
        }
        match answer.status {
            404 => assert!(!self.bodies.contains_key(&from)),
            403 => assert_eq!(from, to),
            _ => answer.refused(409, caldav("no-uid-conflict")),
        }
    }

    /// Changes no body and no tag; whether sync tells of it is the server's choice.
    fn proppatch(&mut self) {
        let href = self.dice.href();
        let body = format!(
            "<D:propertyupdate {NAMESPACES}><D:set><D:prop><Z:p>{}</Z:p></D:prop></D:set></D:propertyupdate>",
            self.dice.next()
        );
        let status = self.server.ask("PROPPATCH", &href, &[], &body).status;
        let there = self.bodies.contains_key(&href);
        assert_eq!(status, if there { 207 } else { 404 });
        self.done("proppatch", status);
    }

    /// The owner restores something from the trash, where its name and its UID are free.
    fn restore(&mut self) {
        let account = &self.server.account;
        let trashed = account.trashed_objects().unwrap();
        if trashed.is_empty() {
            return;
        }
        let one = &trashed[self.dice.roll(trashed.len() as u64) as usize];
        let version = one.last.revision;
        let restored: Result<_, VaultError> =
            account.write(|tx| tx.restore_version(one.collection, one.object, version, None));
        let restored = match restored {
            Ok(restored) => restored,
            Err(VaultError::Exists | VaultError::UidConflict(_)) => return,
            Err(error) => panic!("{error:?}"),
        };
        let path = account.path_of(one.collection);
        let name = restored.segment.as_str().replace("a ä", "a%20%C3%A4");
        let href = format!("/dav/calendars/alice/{}/{name}", path[0].as_str());
        let body = account.body(one.collection, &restored).unwrap();
        self.bodies.insert(href, String::from_utf8(body).unwrap());
        self.done("restore", 201);
    }

    /// The calendar goes with all its members, and comes again, empty, under its old name.
    fn recreate(&mut self) {
        if self.dice.roll(2) == 0 {
            return;
        }
        let calendar = self.dice.calendar();
        self.server.expect(204, "DELETE", calendar, &[], "");
        self.server.expect(201, "MKCALENDAR", calendar, &[], "");
        self.bodies.retain(|href, _| !href.starts_with(calendar));
        self.done("recreate", 201);
    }

    fn restart(self) -> Self {
        let Server {
            dav,
            account,
            _vault: vault,
        } = self.server;
        drop((dav, account));
        let server = open(vault.restart(), &self.secret);
        World { server, ..self }
    }

    /// What the server lists is what its answers promised.
    fn check(&self) -> [Copy; 2] {
        let listed = CALENDARS.map(|calendar| listing(&self.server, calendar));
        let bodies = listed
            .iter()
            .flatten()
            .map(|(href, (_, body))| (href, body));
        assert!(
            bodies.eq(self.bodies.iter()),
            "the server lists other bodies"
        );
        listed
    }
}

fn open(vault: TestVault, secret: &Generated) -> Server {
    let account = vault.unlock("alice", secret);
    Server::of(vault, account)
}

fn uid_of(body: &str) -> &str {
    let line = body.lines().find_map(|line| line.strip_prefix("UID:"));
    line.unwrap()
}

/// Names the seed when a test panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}

/// Runs one sequence and counts what happened in it.
fn run(seed: u64) -> BTreeMap<&'static str, usize> {
    let named = Seed(seed);
    let mut world = World::new(seed);
    let mut clients = [1, 2, 5, 1000].map(Client::new);
    let mut restarts = 0;
    for round in 0..ROUNDS {
        for _ in 0..=world.dice.roll(BURST) {
            world.change();
        }
        if world.dice.roll(8) == 0 {
            world = world.restart();
            restarts += 1;
        }
        let listed = world.check();
        for (number, client) in clients.iter_mut().enumerate() {
            // a client may be away for a while, or stop after a page
            match world.dice.roll(4) {
                0 if round + 1 < ROUNDS => continue,
                1 if round + 1 < ROUNDS => {
                    client.page(&world.server, CALENDARS[round % 2]);
                    continue;
                }
                _ => client.sync(&world.server),
            }
            for (calendar, listed) in CALENDARS.iter().zip(&listed) {
                let (_, copy) = &client.calendars[calendar];
                assert_eq!(copy, listed, "client {number}, round {round}, {calendar}");
            }
        }
    }
    drop(named);
    *world.done.entry("restart").or_default() += restarts;
    for client in clients {
        *world.done.entry("continue").or_default() += client.continued;
        *world.done.entry("start over").or_default() += client.started_over;
    }
    world.done
}

#[test]
fn rfc6578_appendix_b_simulated_clients_end_equal_to_the_server() {
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 1..=SEEDS {
        for (what, times) in run(seed) {
            *done.entry(what).or_default() += times;
        }
    }
    // a sequence is worth nothing when it does not meet what it is for
    for what in [
        "create",
        "overwrite",
        "delete",
        "MOVE",
        "COPY",
        "proppatch",
        "recreate",
        "restore",
        "restart",
        "continue",
        "start over",
    ] {
        let times = done.get(what).copied().unwrap_or_default();
        assert!(times >= 10, "{what}: {times} times");
    }
}
