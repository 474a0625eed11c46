//! Filters: from XML to matches; an object that its extent rules out does not match.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdav::dav::report::filter::parse;
use sealdav::ical::definitions;
use sealdav::ical::instances::Instances;
use sealdav::ical::summary::extent;
use sealdav::ical::tree::Calendar;
use sealdav::ical::zone::Zone;
use sealdav::xml::{self, XmlLimits};

const OBJECTS: [&str; 3] = [
    "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART:20240101T100000Z\nDURATION:PT1H\nRRULE:FREQ=DAILY\nSUMMARY:Café\n\
     ATTENDEE;PARTSTAT=ACCEPTED:mailto:a@b\nBEGIN:VALARM\nTRIGGER:-PT5M\nREPEAT:2\nDURATION:PT1M\nEND:VALARM\nEND:VEVENT\n\
     BEGIN:VEVENT\nUID:1\nRECURRENCE-ID;RANGE=THISANDFUTURE:20240110T100000Z\nDTSTART:20240110T120000Z\nEND:VEVENT\nEND:VCALENDAR\n",
    "BEGIN:VCALENDAR\nBEGIN:VTODO\nUID:2\nDUE;VALUE=DATE:20240105\nCATEGORIES:a,b\nEND:VTODO\nEND:VCALENDAR\n",
    "BEGIN:VCALENDAR\nBEGIN:VFREEBUSY\nUID:3\nFREEBUSY:20240101T000000Z/PT1H\nEND:VFREEBUSY\nEND:VCALENDAR\n",
];

fuzz_target!(|inner: &str| {
    let text = format!("<C:filter xmlns:C='urn:ietf:params:xml:ns:caldav'>{inner}</C:filter>");
    let Ok(element) = xml::parse(text.as_bytes(), &XmlLimits::default()) else {
        return;
    };
    let Ok(filter) = parse(&element) else {
        return;
    };
    for object in OBJECTS {
        let calendar = Calendar::parse(object.as_bytes()).expect("readable");
        let zones = definitions::zones(&calendar, Zone::utc());
        let matches = filter.matches(&calendar, &Instances::new(&calendar, &zones));
        let extent = extent(&calendar);
        let touched = filter.windows().into_iter().all(|window| extent.touches(window));
        assert!(touched || matches != Ok(true));
    }
});
