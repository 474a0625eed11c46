//! Every example of RFC 4791 section 7.8 over the objects of its appendix B, and the rules of
//! section 9.7 one by one.

use super::super::definitions;
use super::super::rfc4791_objects::object;
use super::super::summary;
use super::super::text::Collation;
use super::super::time::{Instant, LocalTime};
use super::super::zone::Zone;
use super::*;

const NONE: [usize; 0] = [];

fn instant(text: &str) -> Instant {
    Instant(
        LocalTime::parse(text.trim_end_matches('Z'))
            .expect("a time")
            .seconds(),
    )
}

fn range(start: &str, end: &str) -> TimeRange {
    TimeRange {
        start: instant(start),
        end: instant(end),
    }
}

/// A comp-filter of which all conditions must match.
fn comp(
    name: &str,
    time_range: Option<TimeRange>,
    properties: Vec<PropFilter>,
    components: Vec<CompFilter>,
) -> CompFilter {
    let test = Test::AllOf;
    let condition = CompCondition::Defined {
        time_range,
        properties,
        components,
        test,
    };
    CompFilter {
        name: name.into(),
        condition,
    }
}

fn prop(name: &str, texts: Vec<TextMatch>, parameters: Vec<ParamFilter>) -> PropFilter {
    let condition = PropCondition::Defined {
        time_range: None,
        texts,
        parameters,
        test: Test::AllOf,
    };
    PropFilter {
        name: name.into(),
        condition,
    }
}

fn prop_in(name: &str, range: TimeRange) -> PropFilter {
    let condition = PropCondition::Defined {
        time_range: Some(range),
        texts: vec![],
        parameters: vec![],
        test: Test::AllOf,
    };
    PropFilter {
        name: name.into(),
        condition,
    }
}

fn text(text: &str) -> TextMatch {
    TextMatch {
        text: text.into(),
        collation: Collation::AsciiCasemap,
        negate: false,
    }
}

fn not(text: TextMatch) -> TextMatch {
    TextMatch {
        negate: true,
        ..text
    }
}

fn in_calendar(inner: CompFilter) -> Filter {
    Filter {
        root: comp("VCALENDAR", None, vec![], vec![inner]),
    }
}

fn matches(filter: &Filter, text: &str) -> bool {
    let calendar = Calendar::parse(text.as_bytes()).expect("readable");
    let zones = definitions::zones(&calendar, Zone::utc());
    let found = filter
        .matches(&calendar, &Instances::new(&calendar, &zones))
        .expect("simple");
    let extent = summary::extent(&calendar);
    let ruled_out = !filter
        .windows()
        .into_iter()
        .all(|window| extent.touches(window));
    assert!(
        !(found && ruled_out),
        "an object that matches must not be ruled out"
    );
    found
}

fn found(filter: &Filter) -> Vec<usize> {
    (1..=8)
        .filter(|number| matches(filter, &object(*number)))
        .collect()
}

#[test]
fn examples_1_to_3_events_by_time() {
    let by = |start, end| {
        found(&in_calendar(comp(
            "VEVENT",
            Some(range(start, end)),
            vec![],
            vec![],
        )))
    };
    assert_eq!(by("20060104T000000Z", "20060105T000000Z"), [2, 3]);
    assert_eq!(by("20060103T000000Z", "20060105T000000Z"), [2, 3]);
    // The printed answer leaves out abcd1, which takes place on 2 January at 15:00 UTC.
    assert_eq!(by("20060102T000000Z", "20060105T000000Z"), [1, 2, 3]);
}

#[test]
fn example_4_free_busy_by_time() {
    let week = range("20060102T000000Z", "20060103T000000Z");
    assert_eq!(
        found(&in_calendar(comp("VFREEBUSY", Some(week), vec![], vec![]))),
        [8]
    );
}

#[test]
fn example_5_todos_by_alarm() {
    let day = range("20060106T100000Z", "20060107T100000Z");
    let filter = in_calendar(comp(
        "VTODO",
        None,
        vec![],
        vec![comp("VALARM", Some(day), vec![], vec![])],
    ));
    // The printed answer shows another DUE than the object of appendix B has.
    let printed = object(5).replace(
        "DUE;VALUE=DATE:20060106",
        "DUE;TZID=US/Eastern:20060106T120000",
    );
    assert!(matches(&filter, &printed));
    assert_eq!(found(&filter), NONE);
}

#[test]
fn example_6_event_by_uid() {
    let uid = TextMatch {
        collation: Collation::Octet,
        ..text("DC6C50A017428C5216A2F1CD@example.com")
    };
    assert_eq!(
        found(&in_calendar(comp(
            "VEVENT",
            None,
            vec![prop("UID", vec![uid], vec![])],
            vec![]
        ))),
        [3]
    );
}

#[test]
fn example_7_events_by_partstat() {
    let status = |text| ParamFilter {
        name: "PARTSTAT".into(),
        condition: ParamCondition::Text(text),
    };
    let by = |status| {
        let attendee = prop(
            "ATTENDEE",
            vec![text("mailto:lisa@example.com")],
            vec![status],
        );
        found(&in_calendar(comp("VEVENT", None, vec![attendee], vec![])))
    };
    assert_eq!(by(status(text("NEEDS-ACTION"))), [3]);
    // Both conditions are about the same ATTENDEE.
    assert_eq!(by(status(text("ACCEPTED"))), NONE);
    assert_eq!(by(status(not(text("ACCEPTED")))), [3]);
    assert_eq!(
        by(ParamFilter {
            name: "role".into(),
            condition: ParamCondition::NotDefined
        }),
        [3]
    );
    assert_eq!(
        by(ParamFilter {
            name: "role".into(),
            condition: ParamCondition::Defined
        }),
        NONE
    );
}

#[test]
fn example_8_events_only() {
    assert_eq!(
        found(&in_calendar(comp("VEVENT", None, vec![], vec![]))),
        [1, 2, 3]
    );
}

#[test]
fn example_9_pending_todos() {
    let open = PropFilter {
        name: "COMPLETED".into(),
        condition: PropCondition::NotDefined,
    };
    let status = prop("STATUS", vec![not(text("CANCELLED"))], vec![]);
    assert_eq!(
        found(&in_calendar(comp(
            "VTODO",
            None,
            vec![open, status],
            vec![]
        ))),
        [4, 5]
    );
}

#[test]
fn components_not_defined() {
    let none = |name: &str| CompFilter {
        name: name.into(),
        condition: CompCondition::NotDefined,
    };
    assert_eq!(found(&in_calendar(none("VEVENT"))), [4, 5, 6, 7, 8]);
    assert_eq!(
        found(&in_calendar(comp(
            "VTODO",
            None,
            vec![],
            vec![none("VALARM")]
        ))),
        [6, 7]
    );
    assert_eq!(
        found(&Filter {
            root: none("VCALENDAR")
        }),
        NONE
    );
    assert_eq!(
        found(&Filter {
            root: none("VCARD")
        }),
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert_eq!(
        found(&Filter {
            root: comp("VEVENT", None, vec![], vec![])
        }),
        NONE
    );
}

#[test]
fn any_of() {
    let condition = |test| CompCondition::Defined {
        time_range: Some(range("20300101T000000Z", "20310101T000000Z")),
        properties: vec![
            prop("SUMMARY", vec![text("#1")], vec![]),
            prop("STATUS", vec![text("tentative")], vec![]),
        ],
        components: vec![],
        test,
    };
    let by = |test| {
        found(&in_calendar(CompFilter {
            name: "VEVENT".into(),
            condition: condition(test),
        }))
    };
    assert_eq!(by(Test::AnyOf), [1, 3]);
    assert_eq!(by(Test::AllOf), NONE);
    let texts = vec![text("bis"), text("#3")];
    let condition = PropCondition::Defined {
        time_range: None,
        texts,
        parameters: vec![],
        test: Test::AnyOf,
    };
    let summary = PropFilter {
        name: "summary".into(),
        condition,
    };
    assert_eq!(
        found(&in_calendar(comp("vevent", None, vec![summary], vec![]))),
        [2, 3]
    );
}

fn event(lines: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART:20240101T100000Z\n{lines}\nEND:VEVENT\nEND:VCALENDAR\n"
    )
}

#[test]
fn texts_are_unfolded_and_unescaped() {
    let has = |name: &str, wanted| {
        let filter = in_calendar(comp(
            "VEVENT",
            None,
            vec![prop(name, vec![wanted], vec![])],
            vec![],
        ));
        matches(
            &filter,
            &event("SUMMARY:Lunch\\, long\n  walk\\nhome\nCATEGORIES:Work,Very\\,Odd"),
        )
    };
    assert!(has("SUMMARY", text("lunch, long walk\nhome")));
    assert!(!has("SUMMARY", text("\\,")));
    assert!(has("CATEGORIES", text("very,odd")) && has("CATEGORIES", text("WORK")));
    assert!(!has("CATEGORIES", not(text("odd"))));
    // A property that is not there does not match, negated or not.
    assert!(!has("LOCATION", not(text("x"))) && !has("LOCATION", text("")));
}

#[test]
fn properties_by_time() {
    let by = |name: &str, start, end, lines: &str| {
        let filter = in_calendar(comp(
            "VEVENT",
            None,
            vec![prop_in(name, range(start, end))],
            vec![],
        ));
        matches(&filter, &event(lines))
    };
    let (noon, one) = ("20240101T120000Z", "20240101T130000Z");
    assert!(by("DTEND", noon, one, "DTEND:20240101T120000Z"));
    assert!(by("DTEND", noon, one, "DURATION:PT2H"));
    assert!(!by("DTEND", noon, one, ""));
    assert!(!by("DTEND", noon, one, "DURATION:PT3H"));
    assert!(by(
        "DTSTART",
        "20240105T100000Z",
        "20240105T100001Z",
        "RRULE:FREQ=DAILY"
    ));
    assert!(!by(
        "DTSTART",
        "20240105T100001Z",
        "20240105T110000Z",
        "RRULE:FREQ=DAILY"
    ));
    assert!(by(
        "LAST-MODIFIED",
        noon,
        one,
        "LAST-MODIFIED:20240101T120000Z"
    ));
    assert!(!by(
        "LAST-MODIFIED",
        noon,
        one,
        "LAST-MODIFIED:20240101T130000Z"
    ));
    assert!(!by("CREATED", noon, one, "LAST-MODIFIED:20240101T120000Z"));
}

#[test]
fn windows_of_a_filter() {
    let day = range("20240101T000000Z", "20240102T000000Z");
    let alarm = comp("VALARM", Some(day), vec![], vec![]);
    let inner = comp(
        "VEVENT",
        Some(day),
        vec![prop_in("DTEND", day), prop_in("CREATED", day)],
        vec![alarm],
    );
    assert_eq!(in_calendar(inner).windows(), [day; 3]);
    let zone = comp("VTIMEZONE", None, vec![prop_in("DTSTART", day)], vec![]);
    assert!(in_calendar(zone).windows().is_empty());
    let either = CompCondition::Defined {
        time_range: Some(day),
        properties: vec![prop("SUMMARY", vec![], vec![])],
        components: vec![],
        test: Test::AnyOf,
    };
    assert_eq!(
        in_calendar(CompFilter {
            name: "VEVENT".into(),
            condition: either
        })
        .windows(),
        []
    );
}
