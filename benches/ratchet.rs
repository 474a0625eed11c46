//! Six core requests, each some times, for a count of their instructions: not of their time, which
//! depends on the machine and its neighbours. `conformance/load/ratchet` runs this under callgrind,
//! which counts within the functions called `measured_*` only, and compares with the counts kept.

use std::hint::black_box;

/// The load generator's objects, which bring a time zone, people and an alarm along. Not all of it
/// is used here.
#[allow(dead_code, unused_imports)]
#[path = "../conformance/load/src/data.rs"]
mod data;
mod scene;

use scene::{Server, event, query};

/// As in the program: what is freed is overwritten.
#[global_allocator]
static MEMORY: zeroizing_alloc::ZeroAlloc<tikv_jemallocator::Jemalloc> =
    zeroizing_alloc::ZeroAlloc(tikv_jemallocator::Jemalloc);

const OBJECTS: usize = 300;
/// Requests that are counted; as many go before, so that nothing is done for the first time.
const TIMES: usize = 10;

const POLL: &str = "<D:propfind xmlns:D=\"DAV:\" xmlns:S=\"http://calendarserver.org/ns/\"><D:prop><S:getctag/><D:sync-token/></D:prop></D:propfind>";
const LIST: &str = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:getetag/></D:prop></D:propfind>";

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    let server = match name.as_str() {
        "expand" => Server::with(OBJECTS, load_event),
        _ => Server::new(OBJECTS),
    };
    let run: fn(&Server, usize) -> u16 = match name.as_str() {
        "get" => measured_get,
        "poll" => measured_poll,
        "list" => measured_list,
        "query" => measured_query,
        "expand" => measured_expand,
        "put" => measured_put,
        _ => return println!("get, poll, list, query, expand or put?"),
    };
    // The first half under names that are not counted.
    for number in 0..2 * TIMES {
        let status = match number < TIMES {
            true => warm(&name, &server, number),
            false => run(&server, number),
        };
        assert!(matches!(status, 200 | 201 | 207), "{status}");
    }
}

fn warm(name: &str, server: &Server, number: usize) -> u16 {
    match name {
        "get" => get(server, number),
        "poll" => poll(server),
        "list" => list(server),
        "query" => month(server),
        "expand" => expanded(server),
        _ => put(server, number),
    }
}

#[inline(never)]
fn measured_get(server: &Server, number: usize) -> u16 {
    black_box(get(server, number))
}

#[inline(never)]
fn measured_poll(server: &Server, _: usize) -> u16 {
    black_box(poll(server))
}

#[inline(never)]
fn measured_list(server: &Server, _: usize) -> u16 {
    black_box(list(server))
}

#[inline(never)]
fn measured_query(server: &Server, _: usize) -> u16 {
    black_box(month(server))
}

#[inline(never)]
fn measured_expand(server: &Server, _: usize) -> u16 {
    black_box(expanded(server))
}

#[inline(never)]
fn measured_put(server: &Server, number: usize) -> u16 {
    black_box(put(server, number))
}

fn get(server: &Server, number: usize) -> u16 {
    server.ask("GET", &format!("{number}.ics"), "").0
}

fn poll(server: &Server) -> u16 {
    server.ask_deep("PROPFIND", "", "0", POLL).0
}

fn list(server: &Server) -> u16 {
    server.ask("PROPFIND", "", LIST).0
}

fn month(server: &Server) -> u16 {
    server.ask("REPORT", "", &query("<C:calendar-data/>")).0
}

fn expanded(server: &Server) -> u16 {
    let (start, end) = data::MONTH;
    let data =
        format!("<C:calendar-data><C:expand start=\"{start}\" end=\"{end}\"/></C:calendar-data>");
    server.ask("REPORT", "", &query(&data)).0
}

fn load_event(number: usize) -> String {
    let count = OBJECTS as u64;
    data::Corpus { count }.event("calendar", number as u64, 1)
}

fn put(server: &Server, number: usize) -> u16 {
    let number = OBJECTS + number;
    server
        .ask("PUT", &format!("{number}.ics"), &event(number))
        .0
}
