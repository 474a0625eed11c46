//! VTIMEZONE: any one gives offsets of less than a day, and local times their instants.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdav::ical::definitions::definition;
use sealdav::ical::time::{Date, Instant};
use sealdav::ical::tree::Calendar;
use sealdav::ical::zone::{Zone, Zones};

fuzz_target!(|text: &str| {
    let (name, rest) = text.split_once('\n').unwrap_or(("X", text));
    let _ = Zones::new(Vec::new(), Zone::utc()).resolve(name);
    let text = format!("BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nTZID:X\n{rest}\nEND:VTIMEZONE\nEND:VCALENDAR\n");
    let Ok(calendar) = Calendar::parse(text.as_bytes()) else {
        return;
    };
    let Some(zone) = definition(&calendar.root.components[0]).and_then(|found| Zone::custom(&found)) else {
        return;
    };
    for year in [0, 1600, 1970, 2024, 2100, 9999] {
        for month in [1, 3, 7, 10] {
            let local = Date { year, month, day: 28 }.midnight();
            let instant = zone.local_to_instant(local);
            assert!((instant.0 - local.seconds()).abs() < 2 * 86_400);
            assert!(zone.offset_at(instant).abs() < 86_400 * 2);
            let _ = zone.instant_to_local(instant);
        }
    }
    let _ = zone.offset_at(Instant::MIN);
    let _ = zone.offset_at(Instant::MAX);
});
