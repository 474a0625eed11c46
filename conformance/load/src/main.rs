//! Load on one account of a CalDAV server: one workload for some seconds, every answer checked, every
//! acknowledged write kept in a journal, the result as one line of JSON. `conformance/load/run`
//! starts the servers and calls this; README.md beside it says how.
//!
//! `load WORKLOAD --base http://127.0.0.1:1234 --home /dav/calendars/ann/ --user ann --password P --journal FILE`
//! with `--ca FILE` (TLS), `--exact` (the server keeps every byte), `--objects N`, `--connections N`,
//! `--seconds S`, `--fresh` (a connection for each request), `--no-resumption` (of TLS sessions).
//! `load bare-server --listen ADDRESS` and `load disk --directory D` are the machine's limits.
//! `load users-WORKLOAD --accounts FILE`, with the path that homes are in as `--home`, goes from account to account.
//! `load event --objects N --number N` prints an object, `load rows --directory D` the lengths of a database's rows.

mod check;
mod client;
mod data;
mod limits;
mod oracle;
mod plan;
mod rows;
mod target;
mod users;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use serde_json::json;

use check::Wrong;
use client::{Address, Answer, Connection};
use data::Corpus;
use oracle::Oracle;
use plan::{CHANGED, Found, Plan};
use target::{LARGE, Target, WRITES};
use users::Users;

/// Before the first measured request.
const WARM_UP: Duration = Duration::from_millis(300);
/// Calendars in the home.
const CALENDARS: usize = 10;

/// What connections do: asks, and looks at the answers.
trait Work {
    /// A request that is under way.
    type Job;

    /// The next request into `request`; none when there is nothing left to do.
    fn next(&mut self, request: &mut Vec<u8>) -> Option<Self::Job>;

    /// Whether the answer to a request is right; tells the oracle of acknowledged writes.
    fn done(&mut self, job: Self::Job, answer: &Answer<'_>) -> Result<(), Wrong>;

    /// Writes the journal.
    fn finish(&mut self);
}

/// How a workload is run: whether to its end, and from and until when.
struct Run {
    connections: usize,
    from: Instant,
    until: Instant,
}

struct Options(HashMap<String, String>);

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Options {
        let mut options = HashMap::new();
        let mut arguments = arguments.peekable();
        while let Some(name) = arguments.next() {
            let value = arguments.next_if(|next| !next.starts_with("--"));
            options.insert(
                name.trim_start_matches('-').to_owned(),
                value.unwrap_or_default(),
            );
        }
        Options(options)
    }

    fn text(&self, name: &str) -> &str {
        self.0
            .get(name)
            .unwrap_or_else(|| panic!("--{name} is missing"))
    }

    fn number(&self, name: &str, default: f64) -> f64 {
        let value = self
            .0
            .get(name)
            .map(|value| value.parse().expect("a number"));
        value.unwrap_or(default)
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let workload = arguments.next().expect("a workload");
    let options = Options::parse(arguments);
    if workload == "bare-server" {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(limits::bare(options.text("listen")));
        return ExitCode::SUCCESS;
    }
    let seconds = Duration::from_secs_f64(options.number("seconds", 3.0));
    if workload == "files" {
        files(&options);
        return ExitCode::SUCCESS;
    }
    if workload == "rows" {
        println!("{}", rows::lengths(Path::new(options.text("directory"))));
        return ExitCode::SUCCESS;
    }
    if workload == "event" {
        let count = options.number("objects", 10_000.0) as u64;
        let number = options.number("number", 0.0) as u64;
        println!("{}", data::name(LARGE, number));
        print!("{}", Corpus { count }.event(LARGE, number, 0));
        return ExitCode::SUCCESS;
    }
    if workload == "disk" {
        let group = options.number("group", 1.0) as usize;
        let rate = limits::durable_writes(Path::new(options.text("directory")), group, seconds);
        println!("{}", json!({ "rate": rate }));
        return ExitCode::SUCCESS;
    }
    // One thread: with the server on the same cores, a second one only takes time from it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let done = tokio::task::LocalSet::new().block_on(&runtime, load(&workload, &options, seconds));
    match done {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("{workload}: {wrong}");
            ExitCode::FAILURE
        }
    }
}

async fn load(
    workload: &str,
    options: &Options,
    time: Duration,
) -> Result<serde_json::Value, Wrong> {
    let base = options.text("base");
    let (scheme, authority) = base.split_once("://").expect("a URL");
    let resumption = match options.0.contains_key("no-resumption") {
        true => Resumption::disabled(),
        false => Resumption::default(),
    };
    let tls = (scheme == "https").then(|| client::connector(options.text("ca"), resumption));
    let address = Address {
        authority: authority.to_owned(),
        tls,
        fresh: options.0.contains_key("fresh"),
    };
    let corpus = Corpus {
        count: options.number("objects", 10_000.0) as u64,
    };
    let mut oracle = Oracle::open(Path::new(options.text("journal")));
    let home = options.text("home");
    if let Some(users) = workload.strip_prefix("users-") {
        let accounts = Path::new(options.text("accounts"));
        let users = Users::new(users, (authority, home), accounts, oracle, corpus);
        let run = Run::new(workload, options, time);
        return drive(workload, users, address, run).await;
    }
    let exact = options.0.contains_key("exact");
    let (user, password) = (options.text("user"), options.text("password"));
    let target = Target::new(authority, home, user, password, exact);
    let found = prepare(workload, &address, &target, &mut oracle, corpus).await?;
    let plan = Plan::new(workload, target, oracle, corpus, found);
    let run = Run::new(workload, options, time);
    drive(workload, plan, address, run).await
}

impl Run {
    fn new(workload: &str, options: &Options, time: Duration) -> Run {
        let whole = ["fill", "verify", "make"];
        let all = whole.iter().any(|end| workload.ends_with(end));
        let began = Instant::now();
        let from = if all || workload == "delete" {
            began
        } else {
            began + WARM_UP
        };
        let time = if all {
            Duration::from_secs(24 * 3_600)
        } else {
            time
        };
        Run {
            connections: options.number("connections", 8.0) as usize,
            from,
            until: from + time,
        }
    }
}

/// Runs it on all connections, and says how it went.
async fn drive<W: Work + 'static>(
    workload: &str,
    work: W,
    address: Address,
    run: Run,
) -> Result<serde_json::Value, Wrong> {
    let Run { from, until, .. } = run;
    let work = Rc::new(RefCell::new(work));
    let tasks: Vec<_> = (0..run.connections)
        .map(|_| tokio::task::spawn_local(converse(Rc::clone(&work), address.clone(), from, until)))
        .collect();
    let mut took: Vec<Duration> = Vec::new();
    let mut last = from;
    let mut wrong = None;
    for task in tasks {
        match task.await.expect("no panic") {
            Ok((times, ended)) => {
                took.extend(times);
                last = last.max(ended);
            }
            Err(text) => wrong = Some(text),
        }
    }
    work.borrow_mut().finish();
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    if took.is_empty() {
        return Err("no answer within the time".into());
    }
    took.sort_unstable();
    let at = |share: f64| {
        let place = (took.len() as f64 * share) as usize;
        took.get(place.min(took.len().saturating_sub(1)))
            .map(|time| time.as_secs_f64() * 1e3)
    };
    Ok(json!({
        "workload": workload,
        "answers": took.len(),
        "seconds": (last - from).as_secs_f64(),
        "rate": took.len() as f64 / (last - from).as_secs_f64().max(1e-9),
        "milliseconds": { "half": at(0.5), "p99": at(0.99), "most": at(1.0) },
    }))
}

/// One connection asks until the time is over; gives how long each measured answer took, and when the last came.
async fn converse<W: Work>(
    work: Rc<RefCell<W>>,
    address: Address,
    from: Instant,
    until: Instant,
) -> Result<(Vec<Duration>, Instant), Wrong> {
    let mut connection = Connection::new(address);
    let mut request = Vec::new();
    let (mut took, mut last) = (Vec::new(), from);
    loop {
        let begin = Instant::now();
        if begin >= until {
            return Ok((took, last));
        }
        let Some(job) = work.borrow_mut().next(&mut request) else {
            return Ok((took, last));
        };
        let asked = Instant::now();
        let answer = connection
            .ask(&request)
            .await
            .map_err(|error| error.to_string())?;
        let now = Instant::now();
        work.borrow_mut().done(job, &answer)?;
        // One that takes longer than the warm-up and the run is measured all the same.
        if asked >= from || now >= until {
            took.push(now - asked);
            last = now;
        }
    }
}

async fn prepare(
    workload: &str,
    address: &Address,
    target: &Target,
    oracle: &mut Oracle,
    corpus: Corpus,
) -> Result<Found, Wrong> {
    let mut found = Found::default();
    let mut connection = Connection::new(address.clone());
    let mut request = Vec::new();
    match workload {
        "fill" => calendars(&mut connection, target).await?,
        "get" => {
            target.xml(
                &mut request,
                "PROPFIND",
                &target.path(LARGE),
                "1",
                plan::LIST,
            );
            let answer = connection
                .ask(&request)
                .await
                .map_err(|error| error.to_string())?;
            let listed = check::listing(answer.body).into_iter();
            found.etags = listed.map(|(name, etag)| (name.to_owned(), etag)).collect();
        }
        "delta" => {
            let body = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:sync-token/></D:prop></D:propfind>";
            target.xml(&mut request, "PROPFIND", &target.path(LARGE), "0", body);
            let answer = connection
                .ask(&request)
                .await
                .map_err(|error| error.to_string())?;
            found.token = check::values(answer.body, "sync-token")
                .next()
                .ok_or("no sync-token")?
                .to_owned();
            for number in 0..CHANGED {
                let last = oracle
                    .last
                    .get(&(LARGE.to_owned(), number))
                    .copied()
                    .flatten();
                let revision = last.ok_or("the calendar is not filled")? + 1;
                request.clear();
                let body = corpus.event(LARGE, number, revision);
                target.put(&mut request, LARGE, &data::name(LARGE, number), "", &body);
                let answer = connection
                    .ask(&request)
                    .await
                    .map_err(|error| error.to_string())?;
                if answer.status / 100 != 2 {
                    return Err(check::said(&answer));
                }
                oracle.acknowledged(LARGE, number, Some(revision));
            }
        }
        _ => {}
    }
    Ok(found)
}

/// The objects of the large calendar as files, for a peer that stores them so and takes long to be
/// filled by PUT; the journal has them as if it had acknowledged them.
fn files(options: &Options) {
    let corpus = Corpus {
        count: options.number("objects", 10_000.0) as u64,
    };
    let mut oracle = Oracle::open(Path::new(options.text("journal")));
    for number in 0..corpus.count {
        let path = Path::new(options.text("directory")).join(data::name(LARGE, number));
        std::fs::write(path, corpus.event(LARGE, number, 0)).expect("a writable directory");
        oracle.acknowledged(LARGE, number, Some(0));
    }
    oracle.flush();
}

/// Makes the two calendars of the run, and as many as are missing to ten in the home.
async fn calendars(connection: &mut Connection, target: &Target) -> Result<(), Wrong> {
    let mut request = Vec::new();
    let body = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:resourcetype/></D:prop></D:propfind>";
    target.xml(&mut request, "PROPFIND", &target.home, "1", body);
    let answer = connection
        .ask(&request)
        .await
        .map_err(|error| error.to_string())?;
    let there = check::values(answer.body, "resourcetype")
        .filter(|kind| kind.contains("calendar"))
        .count();
    if check::values(answer.body, "href").any(|href| href == target.path(LARGE)) {
        return Ok(());
    }
    let more = (0..CALENDARS.saturating_sub(there + 2)).map(|number| format!("more{number}"));
    for calendar in [LARGE.to_owned(), WRITES.to_owned()]
        .into_iter()
        .chain(more)
    {
        request.clear();
        target.make(&mut request, &calendar);
        let answer = connection
            .ask(&request)
            .await
            .map_err(|error| error.to_string())?;
        if answer.status != 201 {
            return Err(format!("MKCALENDAR, {}", check::said(&answer)));
        }
    }
    Ok(())
}
