//! Many accounts at once: each has a calendar with as many objects, and all of them are active. Connections go from
//! account to account, so that each request meets another one; every answer is checked as with one account.
//!
//! The accounts stand in a file, a line each: name, a space, password.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Work;
use crate::check::{self, Expect, Wrong};
use crate::client::Answer;
use crate::data::{self, Corpus};
use crate::oracle::Oracle;
use crate::plan;
use crate::target::{LARGE, Target};

/// Of each account's objects, so many (or half of them) are put over, so that the others never change.
const CHANGING: u64 = 100;
/// Of a hundred requests of `users-mixed`: what a phone does, with more writes than one has.
const MIXED: [(u64, Do); 4] = [
    (45, Do::Poll),
    (75, Do::Get),
    (85, Do::Query),
    (100, Do::Put),
];

#[derive(Clone, Copy)]
enum Do {
    Poll,
    Get,
    Query,
    Put,
}

fn changing(corpus: Corpus) -> u64 {
    CHANGING.min(corpus.count / 2)
}

enum Kind {
    Make,
    Fill,
    Only(Do),
    Mixed,
    Verify(Vec<((String, u64), Option<u64>)>),
}

/// A workload over all accounts.
pub struct Users {
    users: Vec<User>,
    corpus: Corpus,
    /// What a query of the month must find.
    in_month: Vec<u64>,
    oracle: Oracle,
    kind: Kind,
    /// Requests so far: which account is next.
    turn: usize,
    dice: u64,
}

struct User {
    name: String,
    target: Target,
    /// Objects that are there.
    filled: u64,
    /// Those that may be put over with their revisions, without those of which a PUT is under way.
    idle: Vec<(u64, u64)>,
}

/// One request that is under way: of which account, and what.
pub struct Job(usize, What);

enum What {
    Make,
    Poll,
    Get(u64),
    Query,
    Put { number: u64, revision: u64 },
    Verify(u64, Option<u64>),
}

impl Users {
    /// A workload by its name, `users-` before it; `home` is what stands before a name in a home's path.
    pub fn new(
        name: &str,
        (authority, home): (&str, &str),
        accounts: &Path,
        oracle: Oracle,
        corpus: Corpus,
    ) -> Users {
        let text = std::fs::read_to_string(accounts).expect("a file of accounts");
        let mut revisions: BTreeMap<&str, BTreeMap<u64, u64>> = BTreeMap::new();
        for ((calendar, number), last) in &oracle.last {
            if let Some(last) = last {
                revisions
                    .entry(calendar)
                    .or_default()
                    .insert(*number, *last);
            }
        }
        let users: Vec<User> = text
            .lines()
            .map(|line| {
                let (name, password) = line.split_once(' ').expect("name and password");
                let known = revisions.get(name);
                let first = changing(corpus);
                let filled = known.map_or(0, |known| known.len() as u64);
                let changed = known
                    .into_iter()
                    .flatten()
                    .take_while(|(number, _)| **number < first);
                User {
                    name: name.to_owned(),
                    target: Target::new(authority, &format!("{home}{name}/"), name, password, true),
                    filled,
                    idle: changed
                        .map(|(number, revision)| (*number, *revision))
                        .collect(),
                }
            })
            .collect();
        let kind = match name {
            "make" => Kind::Make,
            "fill" => Kind::Fill,
            "poll" => Kind::Only(Do::Poll),
            "get" => Kind::Only(Do::Get),
            "query" => Kind::Only(Do::Query),
            "put" => Kind::Only(Do::Put),
            "mixed" => Kind::Mixed,
            "verify" => Kind::Verify(
                oracle
                    .last
                    .iter()
                    .map(|(key, last)| (key.clone(), *last))
                    .collect(),
            ),
            other => panic!("no such workload: users-{other}"),
        };
        Users {
            users,
            corpus,
            in_month: corpus.in_month().into_keys().collect(),
            oracle,
            kind,
            turn: 0,
            dice: std::time::UNIX_EPOCH.elapsed().expect("a clock").as_nanos() as u64,
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = data::mix(self.dice);
        self.dice % sides
    }

    fn make(&mut self, request: &mut Vec<u8>) -> Option<Job> {
        let user = self.users.get(self.turn)?;
        user.target.make(request, LARGE);
        Some(Job(self.turn, What::Make))
    }

    /// The next object that is missing; the accounts get theirs one after another.
    fn fill(&mut self, request: &mut Vec<u8>) -> Option<Job> {
        let count = self.corpus.count;
        let place = self.users.iter().position(|user| user.filled < count)?;
        let user = &mut self.users[place];
        let number = user.filled;
        user.filled += 1;
        Some(self.put(request, place, number, 0))
    }

    fn put(&self, request: &mut Vec<u8>, place: usize, number: u64, revision: u64) -> Job {
        let body = self.corpus.event(LARGE, number, revision);
        let condition = if revision == 0 {
            "If-None-Match: *\r\n"
        } else {
            ""
        };
        let target = &self.users[place].target;
        target.put(request, LARGE, &data::name(LARGE, number), condition, &body);
        Job(place, What::Put { number, revision })
    }

    fn ask(&mut self, request: &mut Vec<u8>, what: Do) -> Job {
        let place = self.turn % self.users.len();
        let dice = self.roll(u64::MAX);
        let large = self.users[place].target.path(LARGE);
        let user = &mut self.users[place];
        match what {
            Do::Put if !user.idle.is_empty() => {
                let free = (dice % user.idle.len() as u64) as usize;
                let (number, revision) = user.idle.swap_remove(free);
                self.put(request, place, number, revision + 1)
            }
            // All that may be put over is under way: a poll in its place.
            Do::Put | Do::Poll => {
                user.target
                    .xml(request, "PROPFIND", &large, "0", plan::POLL);
                Job(place, What::Poll)
            }
            Do::Get => {
                let first = changing(self.corpus);
                let number = first + dice % (self.corpus.count - first);
                user.target.get(request, LARGE, &data::name(LARGE, number));
                Job(place, What::Get(number))
            }
            Do::Query => {
                let body = plan::query("<C:calendar-data/>");
                user.target.xml(request, "REPORT", &large, "1", &body);
                Job(place, What::Query)
            }
        }
    }

    fn verify(&mut self, request: &mut Vec<u8>) -> Option<Job> {
        let Kind::Verify(left) = &mut self.kind else {
            return None;
        };
        let ((name, number), last) = left.pop()?;
        let place = self.users.iter().position(|user| user.name == name)?;
        let target = &self.users[place].target;
        target.get(request, LARGE, &data::name(LARGE, number));
        Some(Job(place, What::Verify(number, last)))
    }

    fn has(&self, answer: &Answer<'_>, number: u64, revision: u64) -> Result<(), Wrong> {
        let expected = self.corpus.event(LARGE, number, revision);
        if answer.status != 200
            || answer.body != expected.as_bytes()
            || answer.header("etag").is_none()
        {
            return Err(format!(
                "{number} is not as acknowledged, {}",
                check::said(answer)
            ));
        }
        Ok(())
    }
}

impl Work for Users {
    type Job = Job;

    fn next(&mut self, request: &mut Vec<u8>) -> Option<Job> {
        request.clear();
        let job = match self.kind {
            Kind::Make => self.make(request),
            Kind::Fill => self.fill(request),
            Kind::Verify(_) => self.verify(request),
            Kind::Only(what) => Some(self.ask(request, what)),
            Kind::Mixed => {
                let dice = self.roll(100);
                let (_, what) = MIXED.iter().find(|(below, _)| dice < *below)?;
                Some(self.ask(request, *what))
            }
        };
        self.turn += 1;
        job
    }

    fn done(&mut self, Job(place, what): Job, answer: &Answer<'_>) -> Result<(), Wrong> {
        match what {
            What::Make if answer.status == 201 => Ok(()),
            What::Make => Err(check::said(answer)),
            What::Poll => Expect::Poll.check(answer),
            What::Get(number) => self.has(answer, number, 0),
            What::Query => {
                let uids = self.in_month.iter().map(|number| data::uid(LARGE, *number));
                Expect::Data(uids.collect()).check(answer)
            }
            What::Put { number, revision } => {
                let right = match revision {
                    0 => answer.status == 201,
                    _ => matches!(answer.status, 200 | 201 | 204),
                };
                if !right || answer.header("etag").is_none() {
                    return Err(check::said(answer));
                }
                let user = &mut self.users[place];
                self.oracle.acknowledged(&user.name, number, Some(revision));
                if number < changing(self.corpus) {
                    user.idle.push((number, revision));
                }
                Ok(())
            }
            What::Verify(_, None) => Err("an object that was never deleted".into()),
            What::Verify(number, Some(revision)) => self.has(answer, number, revision),
        }
    }

    fn finish(&mut self) {
        self.oracle.flush();
    }
}
