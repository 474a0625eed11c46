//! The workloads: what is asked, and what the answer must be.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::Work;
use crate::check::{self, Expect, Wrong};
use crate::client::Answer;
use crate::data::{self, Corpus, MONTH};
use crate::oracle::Oracle;
use crate::target::{LARGE, Target, WRITES};

/// Objects of a multiget.
const HREFS: u64 = 50;
/// Objects that are changed before a sync-collection; others never are.
pub const CHANGED: u64 = 10;

/// A workload, ready to run; shared by all connections.
pub struct Plan {
    pub target: Target,
    pub oracle: Oracle,
    kind: Kind,
    corpus: Corpus,
    dice: u64,
}

enum Kind {
    Get(Rc<Vec<Option<(String, String)>>>),
    Bare,
    Fixed {
        request: Vec<u8>,
        expect: Rc<Expect>,
        right: Rc<RefCell<Vec<u8>>>,
    },
    Multiget,
    /// The next number of a calendar, and the first that is not to be put.
    PutNew {
        calendar: &'static str,
        next: u64,
        end: u64,
    },
    Over(Vec<(u64, u64)>),
    Delete(Vec<u64>),
    /// Everything that the oracle knows.
    Verify(Vec<(String, u64, Option<u64>)>),
}

/// One request that is under way.
pub enum Job {
    Get {
        number: u64,
        objects: Rc<Vec<Option<(String, String)>>>,
    },
    Bare,
    Fixed(Rc<Expect>, Rc<RefCell<Vec<u8>>>),
    Multiget(Vec<String>),
    Put {
        calendar: &'static str,
        number: u64,
        revision: u64,
    },
    Delete(u64),
    Verify(String, u64, Option<u64>),
}

impl Plan {
    /// A workload by its name; `listed` are the ETags of the large calendar, `token` a sync-token
    /// from before the last changes, for those that need them.
    pub fn new(name: &str, target: Target, oracle: Oracle, corpus: Corpus, found: Found) -> Plan {
        let kind = kind(name, &target, &oracle, corpus, found);
        let dice = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_nanos() as u64;
        Plan {
            target,
            oracle,
            kind,
            corpus,
            dice,
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = data::mix(self.dice);
        self.dice % sides
    }

    fn multiget(&mut self, request: &mut Vec<u8>) -> Job {
        let first = CHANGED + self.roll(self.corpus.count - CHANGED - HREFS);
        let numbers = first..first + HREFS;
        let hrefs: String = numbers
            .clone()
            .map(|number| {
                format!(
                    "<D:href>{}{}</D:href>",
                    self.target.path(LARGE),
                    data::name(LARGE, number)
                )
            })
            .collect();
        let body = format!(
            "<C:calendar-multiget xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:prop><D:getetag/>\
             <C:calendar-data/></D:prop>{hrefs}</C:calendar-multiget>"
        );
        self.target
            .xml(request, "REPORT", &self.target.path(LARGE), "1", &body);
        Job::Multiget(numbers.map(|number| data::uid(LARGE, number)).collect())
    }

    fn got(
        &self,
        number: u64,
        objects: &[Option<(String, String)>],
        answer: &Answer<'_>,
    ) -> Result<(), Wrong> {
        let (etag, body) = objects[number as usize]
            .as_ref()
            .ok_or("an object that is not listed")?;
        let same = if self.target.exact {
            answer.body == body.as_bytes()
        } else {
            memchr::memmem::find(answer.body, data::uid(LARGE, number).as_bytes()).is_some()
        };
        if answer.status != 200 || !same {
            return Err(format!("another body, {}", check::said(answer)));
        }
        if answer.header("etag") != Some(etag) {
            return Err(format!(
                "ETag {:?} instead of {etag}",
                answer.header("etag")
            ));
        }
        Ok(())
    }

    fn put(
        &mut self,
        calendar: &str,
        number: u64,
        revision: u64,
        answer: &Answer<'_>,
    ) -> Result<(), Wrong> {
        let right = if revision == 0 {
            answer.status == 201
        } else {
            matches!(answer.status, 200 | 201 | 204)
        };
        if !right || (self.target.exact && answer.header("etag").is_none()) {
            return Err(check::said(answer));
        }
        self.oracle.acknowledged(calendar, number, Some(revision));
        if let Kind::Over(idle) = &mut self.kind {
            idle.push((number, revision));
        }
        Ok(())
    }

    fn verified(
        &self,
        calendar: &str,
        number: u64,
        revision: Option<u64>,
        answer: &Answer<'_>,
    ) -> Result<(), Wrong> {
        let right = match revision {
            None => matches!(answer.status, 404 | 410),
            Some(revision) if self.target.exact => {
                answer.status == 200
                    && answer.body == self.corpus.event(calendar, number, revision).as_bytes()
            }
            Some(revision) => {
                let has =
                    |text: String| memchr::memmem::find(answer.body, text.as_bytes()).is_some();
                answer.status == 200
                    && has(data::uid(calendar, number))
                    && has(format!("revision {revision}"))
            }
        };
        if right {
            return Ok(());
        }
        Err(format!(
            "{calendar} {number}: not as acknowledged ({revision:?}), {}",
            check::said(answer)
        ))
    }
}

impl Work for Plan {
    type Job = Job;

    fn next(&mut self, request: &mut Vec<u8>) -> Option<Job> {
        request.clear();
        let number = CHANGED + self.roll(self.corpus.count.saturating_sub(CHANGED).max(1));
        match &mut self.kind {
            Kind::Get(objects) => {
                let objects = Rc::clone(objects);
                self.target.get(request, LARGE, &data::name(LARGE, number));
                Some(Job::Get { number, objects })
            }
            Kind::Bare => {
                self.target.get(request, LARGE, "x.ics");
                Some(Job::Bare)
            }
            Kind::Fixed {
                request: fixed,
                expect,
                right,
            } => {
                request.extend_from_slice(fixed);
                Some(Job::Fixed(Rc::clone(expect), Rc::clone(right)))
            }
            Kind::Multiget => Some(self.multiget(request)),
            Kind::PutNew { next, end, .. } if next == end => None,
            Kind::PutNew { calendar, next, .. } => {
                let (calendar, number) = (*calendar, *next);
                *next += 1;
                let body = self.corpus.event(calendar, number, 0);
                self.target.put(
                    request,
                    calendar,
                    &data::name(calendar, number),
                    "If-None-Match: *\r\n",
                    &body,
                );
                Some(Job::Put {
                    calendar,
                    number,
                    revision: 0,
                })
            }
            Kind::Over(idle) => {
                let place = self.dice as usize % idle.len().max(1);
                let (number, revision) = (place < idle.len()).then(|| idle.swap_remove(place))?;
                let body = self.corpus.event(WRITES, number, revision + 1);
                self.target
                    .put(request, WRITES, &data::name(WRITES, number), "", &body);
                Some(Job::Put {
                    calendar: WRITES,
                    number,
                    revision: revision + 1,
                })
            }
            Kind::Delete(left) => {
                let number = left.pop()?;
                self.target
                    .delete(request, WRITES, &data::name(WRITES, number));
                Some(Job::Delete(number))
            }
            Kind::Verify(left) => {
                let (calendar, number, revision) = left.pop()?;
                self.target
                    .get(request, &calendar, &data::name(&calendar, number));
                Some(Job::Verify(calendar, number, revision))
            }
        }
    }

    fn done(&mut self, job: Job, answer: &Answer<'_>) -> Result<(), Wrong> {
        match job {
            Job::Get { number, objects } => self.got(number, &objects, answer),
            Job::Bare if answer.status == 200 && answer.body.len() == 2_100 => Ok(()),
            Job::Bare => Err(check::said(answer)),
            Job::Fixed(expect, right) => {
                // The same bytes as of an answer that was found right need no second look.
                if answer.status / 100 != 2 || *right.borrow() != answer.body {
                    expect.check(answer)?;
                    *right.borrow_mut() = answer.body.to_vec();
                }
                Ok(())
            }
            Job::Multiget(uids) if answer.status == 207 => {
                check::data(answer.body, &uids, uids.len())
            }
            Job::Multiget(_) => Err(check::said(answer)),
            Job::Put {
                calendar,
                number,
                revision,
            } => self.put(calendar, number, revision, answer),
            Job::Delete(number) => {
                if !matches!(answer.status, 200 | 204) {
                    return Err(check::said(answer));
                }
                self.oracle.acknowledged(WRITES, number, None);
                Ok(())
            }
            Job::Verify(calendar, number, revision) => {
                self.verified(&calendar, number, revision, answer)
            }
        }
    }

    fn finish(&mut self) {
        self.oracle.flush();
    }
}

/// What was asked before the run.
#[derive(Default)]
pub struct Found {
    /// Name and ETag of the large calendar's objects.
    pub etags: std::collections::BTreeMap<String, String>,
    /// A sync-token of before the last changes.
    pub token: String,
}

fn kind(name: &str, target: &Target, oracle: &Oracle, corpus: Corpus, found: Found) -> Kind {
    match name {
        "get" => {
            let object = |number| {
                let etag = found.etags.get(&data::name(LARGE, number))?;
                Some((etag.clone(), corpus.event(LARGE, number, 0)))
            };
            Kind::Get(Rc::new((0..corpus.count).map(object).collect()))
        }
        "bare" => Kind::Bare,
        "multiget" => Kind::Multiget,
        "put" => {
            let next = oracle.unused(WRITES);
            Kind::PutNew {
                calendar: WRITES,
                next,
                end: u64::MAX,
            }
        }
        "fill" => Kind::PutNew {
            calendar: LARGE,
            next: oracle.unused(LARGE),
            end: corpus.count,
        },
        "over" => Kind::Over(oracle.alive(WRITES).into_iter().take(1_000).collect()),
        "delete" => Kind::Delete(
            oracle
                .alive(WRITES)
                .into_iter()
                .map(|(number, _)| number)
                .collect(),
        ),
        "verify" => {
            let all = oracle.last.iter();
            Kind::Verify(
                all.map(|((calendar, number), last)| (calendar.clone(), *number, *last))
                    .collect(),
            )
        }
        _ => fixed(name, target, corpus, found),
    }
}

/// ctag and sync-token.
pub const POLL: &str = "<D:propfind xmlns:D=\"DAV:\" xmlns:S=\"http://calendarserver.org/ns/\"><D:prop><S:getctag/><D:sync-token/></D:prop></D:propfind>";
const HOME: &str = "<D:propfind xmlns:D=\"DAV:\" xmlns:S=\"http://calendarserver.org/ns/\"><D:prop><D:resourcetype/><D:displayname/><S:getctag/><D:sync-token/></D:prop></D:propfind>";
/// The ETags of all members.
pub const LIST: &str = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:getetag/></D:prop></D:propfind>";

fn fixed(name: &str, target: &Target, corpus: Corpus, found: Found) -> Kind {
    let names = |numbers: std::ops::Range<u64>| {
        numbers
            .map(|number| data::name(LARGE, number))
            .collect::<BTreeSet<_>>()
    };
    let sync = |token: &str| {
        format!(
            "<D:sync-collection xmlns:D=\"DAV:\"><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>\
             <D:prop><D:getetag/></D:prop></D:sync-collection>"
        )
    };
    let in_month = corpus.in_month();
    let uids: Vec<String> = in_month
        .keys()
        .map(|number| data::uid(LARGE, *number))
        .collect();
    let large = target.path(LARGE);
    let (method, path, depth, body, expect) = match name {
        "poll" => ("PROPFIND", large, "0", POLL.to_owned(), Expect::Poll),
        "home" => (
            "PROPFIND",
            target.home.clone(),
            "1",
            HOME.to_owned(),
            Expect::Home(10),
        ),
        "delta" => (
            "REPORT",
            large,
            "0",
            sync(&found.token),
            Expect::Names {
                names: names(0..CHANGED),
                token: true,
            },
        ),
        "list" => (
            "PROPFIND",
            large,
            "1",
            LIST.to_owned(),
            Expect::Names {
                names: names(0..corpus.count),
                token: false,
            },
        ),
        "sync" => (
            "REPORT",
            large,
            "0",
            sync(""),
            Expect::Names {
                names: names(0..corpus.count),
                token: true,
            },
        ),
        "query" => (
            "REPORT",
            large,
            "1",
            query("<C:calendar-data/>"),
            Expect::Data(uids),
        ),
        "expand" => {
            let (start, end) = MONTH;
            let data = format!(
                "<C:calendar-data><C:expand start=\"{start}\" end=\"{end}\"/></C:calendar-data>"
            );
            let starts = in_month.into_values().flatten().map(data::utc).collect();
            (
                "REPORT",
                large,
                "1",
                query(&data),
                Expect::Instances { uids, starts },
            )
        }
        "busy" => {
            let (start, end) = MONTH;
            let body = format!(
                "<C:free-busy-query xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><C:time-range start=\"{start}\" end=\"{end}\"/></C:free-busy-query>"
            );
            (
                "REPORT",
                large,
                "1",
                body,
                Expect::Busy(corpus.busy_seconds()),
            )
        }
        other => panic!("no such workload: {other}"),
    };
    let mut request = Vec::new();
    target.xml(&mut request, method, &path, depth, &body);
    Kind::Fixed {
        request,
        expect: Rc::new(expect),
        right: Rc::default(),
    }
}

/// A calendar-query of the month, with this beside the ETags.
pub fn query(data: &str) -> String {
    let (start, end) = MONTH;
    format!(
        "<C:calendar-query xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:prop><D:getetag/>{data}</D:prop>\
         <C:filter><C:comp-filter name=\"VCALENDAR\"><C:comp-filter name=\"VEVENT\">\
         <C:time-range start=\"{start}\" end=\"{end}\"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>"
    )
}
