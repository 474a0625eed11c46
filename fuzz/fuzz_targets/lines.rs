//! Content lines: whatever was received, parts of it are parts of it, and what is made of it
//! can be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdav::ical::accept::accept;
use sealdav::ical::project::{CompRequest, ComponentRequest, PropertyRequest, Wanted, project};
use sealdav::ical::summary::extent;
use sealdav::ical::tree::{Calendar, Component};

fn spans(bytes: &[u8], component: &Component) {
    assert!(component.span.start <= component.begin.start && component.end.end <= component.span.end);
    for property in &component.properties {
        assert!(!property.span.of(bytes).is_empty());
        let _ = property.text_value();
        assert!(property.text_list().count() >= 1);
    }
    for inner in &component.components {
        assert!(component.span.start <= inner.span.start && inner.span.end <= component.span.end);
        spans(bytes, inner);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(calendar) = Calendar::parse(bytes) else {
        return;
    };
    spans(bytes, &calendar.root);
    let whole = CompRequest::everything("VCALENDAR");
    assert_eq!(project(bytes, &calendar, &whole), bytes);
    let names = PropertyRequest::Named([("UID".to_owned(), Wanted::NameOnly)].into());
    let event = CompRequest::from_children("VEVENT", names.clone(), ComponentRequest::All);
    let some = CompRequest::from_children("VCALENDAR", names, ComponentRequest::Named(vec![event]));
    let part = project(bytes, &calendar, &some);
    Calendar::parse(&part).expect("a part of a calendar is a calendar");
    if accept(&calendar).is_ok() {
        let _ = extent(&calendar);
    }
});
