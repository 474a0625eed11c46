//! Whole requests in process, over a real sealed store: what is left when the network is taken
//! away. `cargo bench --bench server`; docs/BENCHMARKS.md has figures.

use std::sync::LazyLock;

use divan::Bencher;

use sealdav::figures::{self, Count, Histogram};

mod scene;

use scene::{Server, query};

/// As in the program: what is freed is overwritten.
#[global_allocator]
static MEMORY: zeroizing_alloc::ZeroAlloc<tikv_jemallocator::Jemalloc> =
    zeroizing_alloc::ZeroAlloc(tikv_jemallocator::Jemalloc);

fn main() {
    divan::main();
}

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::new(10_000));

const EXPAND: &str = "<C:calendar-data><C:expand start=\"20270201T000000Z\" end=\"20270301T000000Z\"/></C:calendar-data>";

fn report(bencher: Bencher, body: &str) {
    let server = &*SERVER;
    let (status, answer) = server.ask("REPORT", "", body);
    assert_eq!(status / 100, 2);
    let text = String::from_utf8_lossy(&answer);
    eprintln!(
        "{} objects, {} instances or busy times, {} bytes",
        text.matches("<D:response>")
            .count()
            .max(text.matches(":response>").count() / 2),
        text.matches("BEGIN:VEVENT").count() + text.matches("FREEBUSY").count(),
        answer.len()
    );
    bencher.bench(|| server.ask("REPORT", "", body));
}

#[divan::bench]
fn month_without_data(bencher: Bencher) {
    report(bencher, &query(""));
}

#[divan::bench]
fn month_with_data(bencher: Bencher) {
    report(bencher, &query("<C:calendar-data/>"));
}

#[divan::bench]
fn month_expanded(bencher: Bencher) {
    report(bencher, &query(EXPAND));
}

#[divan::bench]
fn month_free_busy(bencher: Bencher) {
    report(
        bencher,
        "<C:free-busy-query xmlns:C=\"urn:ietf:params:xml:ns:caldav\">\
         <C:time-range start=\"20270201T000000Z\" end=\"20270301T000000Z\"/></C:free-busy-query>",
    );
}

#[divan::bench]
fn get(bencher: Bencher) {
    bencher.bench(|| SERVER.ask("GET", "5000.ics", ""));
}

#[divan::bench]
fn listing_with_etags(bencher: Bencher) {
    let body = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:getetag/></D:prop></D:propfind>";
    bencher.bench(|| SERVER.ask("PROPFIND", "", body));
}

/// What it costs to count a request: two additions and one more in a bucket; the clock is read beside.
#[divan::bench]
fn counting(bencher: Bencher) {
    static REQUESTS: Count = Count::new();
    static DURATIONS: Histogram = Histogram::new(figures::MICROS);
    bencher.bench(|| {
        REQUESTS.one();
        DURATIONS.note(divan::black_box(700));
    });
}
