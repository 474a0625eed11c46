//! Calendar texts that made parsers loop or crash: each is an answer, in linear time.

use std::time::{Duration, Instant};

use sealdav::ical::accept::accept;
use sealdav::ical::tree::Calendar;
use sealdav::limits;

/// What a PUT does with a body, without storing it.
fn accepted(bytes: &[u8]) -> bool {
    Calendar::parse(bytes).is_ok_and(|calendar| accept(&calendar).is_ok())
}

fn framed(inner: &str) -> Vec<u8> {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\n\
         DTSTAMP:20240101T000000Z\r\nDTSTART:20240115T120000Z\r\n{inner}END:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    .into_bytes()
}

#[test]
fn h08_broken_texts_are_refused() {
    assert!(accepted(&framed("SUMMARY:fine\r\n")));
    let whole = framed("SUMMARY:fine\r\n");
    // cut anywhere, it is never taken for a whole object
    for end in 0..whole.len() - 2 {
        assert!(!accepted(&whole[..end]), "cut at {end}");
    }
    let broken = [
        "SUMMARY:a\rb\r\n",
        "SUMMARY\r\n",
        "SUMMARY:a\0b\r\n",
        "BEGIN:VALARM\r\n",
        "END:VALARM\r\n",
        "BEGIN:\r\nEND:\r\n",
        ":x\r\n",
        ";A=b:x\r\n",
        "X;A=\"b:x\r\n",
        "DTSTART:20240115T120000Z\r\n",
        "UID:other\r\n",
    ];
    let taken: Vec<&str> = broken
        .into_iter()
        .filter(|inner| accepted(&framed(inner)))
        .collect();
    assert!(taken.is_empty(), "{taken:?}");
    let mut broken = framed("SUMMARY:?\r\n");
    let at = broken.iter().position(|byte| *byte == b'?').expect("there");
    for byte in [0xff, 0xc0, 0x80, 0xed, 0xf8, 0x00, 0x07, 0x1b] {
        broken[at] = byte;
        assert!(!accepted(&broken), "{byte:#x}");
    }
}

#[test]
fn h08_nesting_and_long_lines_are_bounded() {
    let nested = |depth: usize| {
        let begin: String = (0..depth).map(|n| format!("BEGIN:X-{n}\r\n")).collect();
        let end: String = (0..depth).rev().map(|n| format!("END:X-{n}\r\n")).collect();
        framed(&(begin + &end))
    };
    // two levels are there already
    assert!(accepted(&nested(limits::ICAL_DEPTH - 2)));
    assert!(!accepted(&nested(limits::ICAL_DEPTH - 1)));
    assert!(!accepted(&nested(10_000)));
    let line = |bytes: usize| framed(&format!("X-LONG:{}\r\n", "x".repeat(bytes)));
    assert!(accepted(&line(limits::ICAL_LINE_BYTES - 100)));
    assert!(!accepted(&line(limits::ICAL_LINE_BYTES + 1)));
}

/// Each text four times as long takes about four times as long: a quadratic parser takes sixteen.
#[test]
fn h08_the_cost_is_linear() {
    type Make = fn(usize) -> String;
    let shapes: &[(&str, Make)] = &[
        ("folds", |n| format!("X-A:{}\r\n", "a\r\n ".repeat(n))),
        ("empty folds", |n| format!("X-A:a{}\r\n", "\r\n ".repeat(n))),
        ("lines", |n| "X-A:b\r\n".repeat(n)),
        ("one line", |n| format!("X-A:{}\r\n", "a".repeat(4 * n))),
        ("escapes", |n| {
            format!("DESCRIPTION:{}\r\n", "\\n\\,".repeat(n))
        }),
        ("parameters", |n| format!("X-A{}:b\r\n", ";X=y".repeat(n))),
        ("values", |n| format!("X-A;X=y{}:b\r\n", ",z".repeat(n))),
        ("quotes", |n| {
            format!("X-A;X=\"{}\":b\r\n", "'".repeat(4 * n))
        }),
        ("components", |n| "BEGIN:X-C\r\nEND:X-C\r\n".repeat(n / 8)),
        ("alarms", |n| {
            "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:x\r\nTRIGGER:PT0S\r\nEND:VALARM\r\n"
                .repeat(n / 16)
        }),
        ("dates", |n| {
            let dates: Vec<String> = (0..n / 8).map(|_| "20240115T120000Z".to_owned()).collect();
            format!("RDATE:{}\r\n", dates.join(","))
        }),
        ("rules", |n| {
            format!("RRULE:FREQ=DAILY;BYDAY={}MO\r\n", "MO,".repeat(n))
        }),
        ("attendees", |n| {
            "ATTENDEE:mailto:a@example.org\r\n".repeat(n / 8)
        }),
        ("blank lines", |n| "\r\n".repeat(n)),
        ("carriage returns", |n| "\r".repeat(n)),
        ("unclosed", |n| "BEGIN:X\r\n".repeat(n)),
    ];
    const SMALL: usize = 20_000;
    for (name, make) in shapes {
        let (small, large) = (framed(&make(SMALL)), framed(&make(4 * SMALL)));
        let (small, large) = (fastest(&small), fastest(&large));
        let bound = small * 10 + Duration::from_millis(20);
        assert!(large < bound, "{name}: {small:?}, then {large:?}");
    }
}

fn fastest(bytes: &[u8]) -> Duration {
    let time = |_| {
        let begun = Instant::now();
        std::hint::black_box(accepted(bytes));
        begun.elapsed()
    };
    (0..3).map(time).min().expect("three times")
}
