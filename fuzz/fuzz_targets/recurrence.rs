//! Recurrence: two windows hold together what the window over both holds; what is written out can
//! be read, has no rule, and lies in the extent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdav::ical::accept::accept;
use sealdav::ical::definitions;
use sealdav::ical::expand::{Floating, Room, expand};
use sealdav::ical::instances::{Instance, Instances};
use sealdav::ical::overlap::TimeRange;
use sealdav::ical::summary::extent;
use sealdav::ical::time::Instant;
use sealdav::ical::tree::Calendar;
use sealdav::ical::zone::Zone;

const A: i64 = 1_704_067_200;
const MOST: usize = 200;

fuzz_target!(|text: &str| {
    let text = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\n{text}\nEND:VEVENT\nEND:VCALENDAR\n");
    let Ok(calendar) = Calendar::parse(text.as_bytes()) else {
        return;
    };
    if accept(&calendar).is_err() {
        return;
    }
    let zones = definitions::zones(&calendar, Zone::utc());
    let range = |from: i64, to: i64| TimeRange {
        start: Instant(A + from * 86_400),
        end: Instant(A + to * 86_400),
    };
    let ask = |range| -> Option<Vec<Instance>> { Instances::new(&calendar, &zones).within(range, MOST).ok() };
    if let (Some(mut first), Some(second), Some(both)) = (ask(range(0, 40)), ask(range(40, 90)), ask(range(0, 90))) {
        for instance in second {
            if !first.contains(&instance) {
                first.push(instance);
            }
        }
        assert_eq!(first.len(), both.len());
        assert!(both.iter().all(|instance| first.contains(instance)));
        assert!(both.is_empty() || extent(&calendar).touches(range(0, 90)));
    }
    let mut room = Room { instances: MOST, bytes: 1 << 20 };
    let year = range(0, 366);
    for floating in [Floating::Stays, Floating::Read] {
        if let Ok(found) = expand(text.as_bytes(), &calendar, (&zones, floating), year, &mut room) {
            let found = Calendar::parse(&found).expect("what is written out can be read");
            assert_eq!(found.root.name, "VCALENDAR");
        }
    }
});
