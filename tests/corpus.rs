//! Odd calendar files, made after what real programs write, and what becomes of each: it is stored
//! byte for byte and found at the right times, or refused by a named condition with a sentence
//! that says which line breaks which rule.
//!
//! One table, `CASES`, holds all of it; a file that is not in it fails a test.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use Query::{AlarmHit, AlarmMiss, Expand, Hit, Miss, NoText, Text};
use common::{Answer, Client, Server};

/// What a client asks of a stored file. Windows are `start/end`, the end exclusive.
enum Query {
    /// A CALDAV:time-range on the component finds it.
    Hit(&'static str),
    /// It does not.
    Miss(&'static str),
    /// A time-range on its VALARM finds it.
    AlarmHit(&'static str),
    /// It does not.
    AlarmMiss(&'static str),
    /// A CALDAV:text-match (i;unicode-casemap) on the property finds it.
    Text(&'static str, &'static str),
    /// It does not.
    NoText(&'static str, &'static str),
    /// CALDAV:expand over the window gives instances with these starts, in this order.
    Expand(&'static str, &'static [&'static str]),
}

/// What becomes of a file.
enum Verdict {
    /// Stored as it is: it holds this component, and answers so.
    Stored(&'static str, &'static [Query]),
    /// Refused with 403, this condition of CALDAV, and this sentence.
    Refused(&'static str, &'static str),
}

struct Case {
    file: &'static str,
    verdict: Verdict,
}

const fn stored(file: &'static str, component: &'static str, queries: &'static [Query]) -> Case {
    Case {
        file,
        verdict: Verdict::Stored(component, queries),
    }
}

const fn refused(file: &'static str, condition: &'static str, sentence: &'static str) -> Case {
    Case {
        file,
        verdict: Verdict::Refused(condition, sentence),
    }
}

const CASES: &[Case] = &[
    stored(
        "bom.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
        ],
    ),
    stored(
        "bare-lf.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
        ],
    ),
    stored(
        "mixed-line-ends.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
        ],
    ),
    refused(
        "bare-cr.ics",
        "valid-calendar-data",
        "line 1: a carriage return stands without a line feed",
    ),
    refused(
        "one-bare-cr.ics",
        "valid-calendar-data",
        "line 9: a carriage return stands without a line feed",
    ),
    stored(
        "lower-case.ics",
        "VEVENT",
        &[
            Hit("20240710T085900Z/20240710T090000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T070000Z/20240710T080000Z"),
            Hit("20240711T083000Z/20240711T084500Z"),
            Miss("20240712T080000Z/20240712T090000Z"),
        ],
    ),
    stored(
        "fold-in-utf8.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
            Text("SUMMARY", "café 🎉"),
        ],
    ),
    stored(
        "fold-tab.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
            Text("SUMMARY", "one two"),
        ],
    ),
    stored(
        "no-final-line-end.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
        ],
    ),
    stored(
        "blank-lines.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
        ],
    ),
    stored(
        "trailing-spaces.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
            Hit("20240711T103000Z/20240711T104000Z"),
            Miss("20240712T100000Z/20240712T110000Z"),
        ],
    ),
    stored(
        "huge-line.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
            Text("DESCRIPTION", "needle"),
            NoText("DESCRIPTION", "haystack"),
        ],
    ),
    refused(
        "nul.ics",
        "valid-calendar-data",
        "line 9: a control character",
    ),
    refused(
        "control-character.ics",
        "valid-calendar-data",
        "line 9: a control character",
    ),
    refused(
        "latin-1.ics",
        "valid-calendar-data",
        "line 9: the text is not valid UTF-8",
    ),
    refused(
        "empty.ics",
        "valid-calendar-data",
        "line 1: there is no VCALENDAR",
    ),
    refused(
        "vcard.ics",
        "valid-calendar-data",
        "line 1: the text does not begin with a VCALENDAR",
    ),
    refused(
        "no-end.ics",
        "valid-calendar-data",
        "line 9: a component does not end",
    ),
    refused(
        "crossed-end.ics",
        "valid-calendar-data",
        "line 9: END names another component than BEGIN",
    ),
    refused(
        "no-colon.ics",
        "valid-calendar-data",
        "line 9: a line without a colon",
    ),
    stored(
        "tz-missing-vtimezone.ics",
        "VEVENT",
        &[
            Hit("20240710T085900Z/20240710T090000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T070000Z/20240710T080000Z"),
        ],
    ),
    stored(
        "tz-quoted.ics",
        "VEVENT",
        &[
            Hit("20240710T085900Z/20240710T090000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T070000Z/20240710T080000Z"),
        ],
    ),
    stored(
        "tz-freeassociation.ics",
        "VEVENT",
        &[
            Hit("20240710T085900Z/20240710T090000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T070000Z/20240710T080000Z"),
        ],
    ),
    stored(
        "tz-mozilla.ics",
        "VEVENT",
        &[
            Hit("20240710T085900Z/20240710T090000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T070000Z/20240710T080000Z"),
        ],
    ),
    stored(
        "tz-windows.ics",
        "VEVENT",
        &[
            Hit("20240710T085900Z/20240710T090000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T070000Z/20240710T080000Z"),
        ],
    ),
    stored(
        "tz-outlook-cities.ics",
        "VEVENT",
        &[
            Hit("20240710T085900Z/20240710T090000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T070000Z/20240710T080000Z"),
        ],
    ),
    stored(
        "tz-outlook-america.ics",
        "VEVENT",
        &[
            Hit("20240710T145900Z/20240710T150000Z"),
            Miss("20240710T150000Z/20240710T160000Z"),
            Miss("20240710T130000Z/20240710T140000Z"),
        ],
    ),
    stored(
        "tz-offset.ics",
        "VEVENT",
        &[
            Hit("20240710T085900Z/20240710T090000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T070000Z/20240710T080000Z"),
        ],
    ),
    stored(
        "tz-microsoft-utc.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
        ],
    ),
    stored(
        "tz-unknown.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
        ],
    ),
    stored(
        "tz-contradicted.ics",
        "VEVENT",
        &[
            Hit("20240710T085900Z/20240710T090000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T070000Z/20240710T080000Z"),
        ],
    ),
    stored(
        "tz-own.ics",
        "VEVENT",
        &[
            Hit("20240710T075900Z/20240710T080000Z"),
            Miss("20240710T080000Z/20240710T090000Z"),
            Miss("20240710T060000Z/20240710T070000Z"),
        ],
    ),
    stored(
        "outlook-customized-zone.ics",
        "VEVENT",
        &[
            Hit("20240710T085900Z/20240710T090000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T070000Z/20240710T080000Z"),
            Hit("20241210T093000Z/20241210T094500Z"),
            Miss("20241210T083000Z/20241210T084500Z"),
        ],
    ),
    stored(
        "tz-on-a-date.ics",
        "VEVENT",
        &[
            Hit("20240710T230000Z/20240711T000000Z"),
            Miss("20240711T000000Z/20240712T000000Z"),
            Miss("20240709T000000Z/20240710T000000Z"),
        ],
    ),
    stored(
        "floating.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
        ],
    ),
    stored(
        "dst-gap.ics",
        "VEVENT",
        &[
            Hit("20240331T013000Z/20240331T013100Z"),
            Miss("20240331T020000Z/20240331T030000Z"),
            Miss("20240331T003000Z/20240331T013000Z"),
        ],
    ),
    stored(
        "dst-daily.ics",
        "VEVENT",
        &[
            Hit("20240331T083000Z/20240331T084500Z"),
            Miss("20240331T090000Z/20240331T100000Z"),
            Expand(
                "20240301T000000Z/20240501T000000Z",
                &["20240330T090000Z", "20240331T080000Z", "20240401T080000Z"],
            ),
        ],
    ),
    stored(
        "empty-values.ics",
        "VEVENT",
        &[
            Hit("20240710T100000Z/20240710T100001Z"),
            Miss("20240710T100001Z/20240710T120000Z"),
        ],
    ),
    stored(
        "end-before-start.ics",
        "VEVENT",
        &[
            Hit("20240710T100000Z/20240710T100001Z"),
            Miss("20240710T080000Z/20240710T100000Z"),
            Miss("20240710T100001Z/20240710T120000Z"),
        ],
    ),
    stored(
        "end-equals-start.ics",
        "VEVENT",
        &[
            Hit("20240710T100000Z/20240710T100001Z"),
            Miss("20240710T080000Z/20240710T100000Z"),
            Miss("20240710T100001Z/20240710T120000Z"),
        ],
    ),
    stored(
        "date-end-equals-start.ics",
        "VEVENT",
        &[
            Hit("20240710T000000Z/20240710T000100Z"),
            Miss("20240709T000000Z/20240710T000000Z"),
        ],
    ),
    stored(
        "duration-negative.ics",
        "VEVENT",
        &[
            Hit("20240710T100000Z/20240710T100001Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T100001Z/20240710T120000Z"),
        ],
    ),
    stored(
        "end-at-24-hours.ics",
        "VEVENT",
        &[
            Hit("20240710T235900Z/20240711T000000Z"),
            Miss("20240711T000000Z/20240711T010000Z"),
        ],
    ),
    stored(
        "end-and-duration.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
        ],
    ),
    stored(
        "date-end-for-a-time.ics",
        "VEVENT",
        &[
            Hit("20240710T230000Z/20240711T000000Z"),
            Miss("20240711T000000Z/20240711T010000Z"),
        ],
    ),
    stored(
        "two-summaries.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
            Text("SUMMARY", "one"),
            Text("SUMMARY", "two"),
            NoText("SUMMARY", "three"),
        ],
    ),
    refused(
        "two-starts.ics",
        "valid-calendar-data",
        "line 9: a property that may stand once stands twice",
    ),
    refused(
        "no-start.ics",
        "valid-calendar-data",
        "line 4: a VEVENT has no DTSTART",
    ),
    refused(
        "no-time.ics",
        "valid-calendar-data",
        "line 7: DTSTART is neither a date nor a date-time",
    ),
    refused(
        "no-rule.ics",
        "valid-calendar-data",
        "line 9: RRULE is not a recurrence rule",
    ),
    refused(
        "old-version.ics",
        "valid-calendar-data",
        "line 2: VERSION is not 2.0",
    ),
    stored(
        "date-until-time.ics",
        "VEVENT",
        &[
            Hit("20240703T120000Z/20240703T130000Z"),
            Miss("20240704T000000Z/20240705T000000Z"),
        ],
    ),
    stored(
        "time-until-date.ics",
        "VEVENT",
        &[
            Hit("20240703T103000Z/20240703T104000Z"),
            Miss("20240704T000000Z/20240705T000000Z"),
        ],
    ),
    stored(
        "until-local.ics",
        "VEVENT",
        &[
            Hit("20240702T083000Z/20240702T084000Z"),
            Miss("20240703T000000Z/20240704T000000Z"),
        ],
    ),
    stored(
        "until-before-start.ics",
        "VEVENT",
        &[
            Hit("20240701T103000Z/20240701T104000Z"),
            Miss("20240702T000000Z/20240703T000000Z"),
        ],
    ),
    stored(
        "exdate-date.ics",
        "VEVENT",
        &[
            Miss("20240702T000000Z/20240703T000000Z"),
            Hit("20240703T103000Z/20240703T104000Z"),
            Expand(
                "20240701T000000Z/20240710T000000Z",
                &["20240701T100000Z", "20240703T100000Z"],
            ),
        ],
    ),
    stored(
        "exdate-all.ics",
        "VEVENT",
        &[Miss("20240101T000000Z/20241231T000000Z")],
    ),
    stored(
        "rdate-period.ics",
        "VEVENT",
        &[
            Hit("20240701T103000Z/20240701T104000Z"),
            Hit("20240705T133000Z/20240705T134500Z"),
            Miss("20240705T140000Z/20240705T150000Z"),
            Hit("20240706T101500Z/20240706T103000Z"),
            Miss("20240706T103000Z/20240706T113000Z"),
        ],
    ),
    stored(
        "override-outside-rule.ics",
        "VEVENT",
        &[
            Hit("20240721T103000Z/20240721T104000Z"),
            Miss("20240720T000000Z/20240721T000000Z"),
            Hit("20240702T103000Z/20240702T104000Z"),
        ],
    ),
    stored(
        "override-first.ics",
        "VEVENT",
        &[
            Miss("20240702T100000Z/20240702T110000Z"),
            Hit("20240702T153000Z/20240702T154000Z"),
            Expand(
                "20240701T000000Z/20240710T000000Z",
                &["20240701T100000Z", "20240702T150000Z", "20240703T100000Z"],
            ),
        ],
    ),
    stored(
        "override-only.ics",
        "VEVENT",
        &[
            Hit("20240702T153000Z/20240702T154000Z"),
            Miss("20240701T000000Z/20240702T000000Z"),
        ],
    ),
    stored(
        "override-in-utc-of-a-zone.ics",
        "VEVENT",
        &[
            Miss("20240702T080000Z/20240702T090000Z"),
            Hit("20240702T153000Z/20240702T154000Z"),
            Hit("20240703T083000Z/20240703T084000Z"),
        ],
    ),
    stored(
        "this-and-future.ics",
        "VEVENT",
        &[
            Hit("20240702T103000Z/20240702T104000Z"),
            Miss("20240704T100000Z/20240704T110000Z"),
            Hit("20240704T153000Z/20240704T154000Z"),
            Miss("20240706T000000Z/20240707T000000Z"),
        ],
    ),
    stored(
        "year-1601.ics",
        "VEVENT",
        &[
            Hit("20240101T120000Z/20240101T130000Z"),
            Hit("16010101T120000Z/16010101T130000Z"),
            Miss("20240102T000000Z/20240801T000000Z"),
        ],
    ),
    stored(
        "year-2100.ics",
        "VEVENT",
        &[
            Hit("21000228T235930Z/21000301T000000Z"),
            Hit("21000301T000000Z/21000301T000100Z"),
            Miss("21000301T000100Z/21000302T000000Z"),
        ],
    ),
    stored(
        "leap-day.ics",
        "VEVENT",
        &[
            Hit("20280229T120000Z/20280229T130000Z"),
            Miss("20250228T000000Z/20250302T000000Z"),
            Miss("21000228T000000Z/21000302T000000Z"),
        ],
    ),
    stored(
        "rscale-gregorian.ics",
        "VEVENT",
        &[
            Hit("20240702T103000Z/20240702T104000Z"),
            Miss("20240703T000000Z/20240704T000000Z"),
            Expand(
                "20240701T000000Z/20240710T000000Z",
                &["20240701T100000Z", "20240702T100000Z"],
            ),
        ],
    ),
    refused(
        "rscale-chinese.ics",
        "supported-rscale",
        "line 9: RSCALE is not GREGORIAN",
    ),
    refused(
        "rscale-skip.ics",
        "supported-rscale",
        "line 9: SKIP is not OMIT",
    ),
    stored(
        "alarm-related-end.ics",
        "VEVENT",
        &[
            AlarmHit("20240710T112900Z/20240710T113100Z"),
            AlarmMiss("20240710T100000Z/20240710T113000Z"),
            AlarmMiss("20240710T113100Z/20240710T120000Z"),
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
        ],
    ),
    stored(
        "alarm-absolute.ics",
        "VEVENT",
        &[
            AlarmHit("20240709T080000Z/20240709T080100Z"),
            AlarmMiss("20240710T000000Z/20240711T000000Z"),
        ],
    ),
    stored(
        "alarm-repeat.ics",
        "VEVENT",
        &[
            AlarmHit("20240710T091900Z/20240710T092100Z"),
            AlarmMiss("20240710T091100Z/20240710T092000Z"),
            AlarmMiss("20240710T092100Z/20240710T120000Z"),
        ],
    ),
    stored(
        "alarm-without-trigger.ics",
        "VEVENT",
        &[
            AlarmMiss("20240101T000000Z/20241231T000000Z"),
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
        ],
    ),
    stored(
        "odd-parameters.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
            Text("X-FOO", "va:lu;e"),
            Text("ATTENDEE", "mailto:joe@example.org"),
            Text("ATTENDEE", "hm@"),
            NoText("ATTENDEE", "s@example"),
        ],
    ),
    stored(
        "organizer-without-mailto.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
            Text("ORGANIZER", "boss@example.org"),
        ],
    ),
    stored(
        "outlook.ics",
        "VEVENT",
        &[
            Hit("20240710T085900Z/20240710T090000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T070000Z/20240710T080000Z"),
            Text("SUMMARY", "besprechung"),
        ],
    ),
    stored(
        "google.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
            Text("X-GOOGLE-CONFERENCE", "meet"),
        ],
    ),
    stored(
        "apple.ics",
        "VEVENT",
        &[
            Hit("20240710T085900Z/20240710T090000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T070000Z/20240710T080000Z"),
            Text("X-APPLE-STRUCTURED-LOCATION", "geo:52.5"),
            AlarmHit("19760401T000000Z/19760402T000000Z"),
        ],
    ),
    stored(
        "attach-inline.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
            Text("ATTACH", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"),
        ],
    ),
    stored(
        "emoji-and-nfd.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
            Text("SUMMARY", "CAFÉ"),
            Text("SUMMARY", "🎉"),
            NoText("SUMMARY", "🎈"),
        ],
    ),
    stored(
        "categories-escaped.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
            Text("CATEGORIES", "work, home"),
            Text("CATEGORIES", "Other;s"),
            NoText("CATEGORIES", "Work\\, home"),
        ],
    ),
    stored(
        "escaped-newlines.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
            Text("DESCRIPTION", "a\nb\nc\\nd C:\\temp"),
        ],
    ),
    stored(
        "calendar-name.ics",
        "VEVENT",
        &[
            Hit("20240710T105900Z/20240710T110000Z"),
            Miss("20240710T110000Z/20240710T120000Z"),
        ],
    ),
    refused(
        "method.ics",
        "valid-calendar-object-resource",
        "line 4: METHOD may not be stored",
    ),
    refused(
        "two-uids.ics",
        "valid-calendar-object-resource",
        "line 10: there are components with different UIDs",
    ),
    refused(
        "two-masters.ics",
        "valid-calendar-object-resource",
        "line 10: there are several components without RECURRENCE-ID",
    ),
    refused(
        "two-kinds.ics",
        "valid-calendar-object-resource",
        "line 10: there are components of different kinds",
    ),
    refused(
        "two-calendars.ics",
        "valid-calendar-object-resource",
        "line 11: there is more than one VCALENDAR",
    ),
    refused(
        "no-uid.ics",
        "valid-calendar-object-resource",
        "line 4: a component has no UID",
    ),
    refused(
        "zone-only.ics",
        "valid-calendar-object-resource",
        "line 1: there is no component besides time zones",
    ),
    refused(
        "poll.ics",
        "supported-calendar-component",
        "line 4: a component is of a kind that is not supported",
    ),
    stored(
        "todo-due-only.ics",
        "VTODO",
        &[
            Hit("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T100000Z/20240710T110000Z"),
            Miss("20240710T080000Z/20240710T095959Z"),
        ],
    ),
    stored(
        "todo-completed-only.ics",
        "VTODO",
        &[
            Hit("20240710T090000Z/20240710T100000Z"),
            Miss("20240710T100001Z/20240710T110000Z"),
            Miss("20240710T080000Z/20240710T095959Z"),
        ],
    ),
    stored(
        "todo-timeless.ics",
        "VTODO",
        &[
            Hit("19000101T000000Z/19000102T000000Z"),
            Hit("21000101T000000Z/21000102T000000Z"),
        ],
    ),
    stored(
        "todo-due-recurring.ics",
        "VTODO",
        &[
            Hit("20240711T090000Z/20240711T100000Z"),
            Miss("20240711T100000Z/20240711T110000Z"),
        ],
    ),
    stored(
        "journal-of-a-day.ics",
        "VJOURNAL",
        &[
            Hit("20240710T230000Z/20240711T000000Z"),
            Miss("20240711T000000Z/20240712T000000Z"),
        ],
    ),
    stored(
        "journal-timeless.ics",
        "VJOURNAL",
        &[
            Miss("19000101T000000Z/21000101T000000Z"),
            Text("SUMMARY", "note"),
        ],
    ),
    stored(
        "free-busy.ics",
        "VFREEBUSY",
        &[
            Hit("20240710T100000Z/20240710T101000Z"),
            Miss("20240710T120001Z/20240710T130000Z"),
            Miss("20240710T090000Z/20240710T100000Z"),
        ],
    ),
    stored(
        "free-busy-periods.ics",
        "VFREEBUSY",
        &[
            Hit("20240710T143000Z/20240710T144000Z"),
            Miss("20240710T110000Z/20240710T140000Z"),
        ],
    ),
];

const CALENDAR: &str = "/dav/calendars/alice/corpus/";
const ICS: (&str, &str) = ("Content-Type", "text/calendar; charset=utf-8");

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

#[test]
fn every_file_is_in_the_table_once() {
    let files: BTreeSet<String> = fs::read_dir(folder())
        .expect("the corpus is there")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("a name in ASCII"))
        .collect();
    let listed: BTreeSet<String> = CASES.iter().map(|case| case.file.to_owned()).collect();
    assert_eq!(listed.len(), CASES.len(), "a file is listed twice");
    assert_eq!(files, listed);
    let asked =
        |case: &&Case| matches!(case.verdict, Verdict::Stored(_, queries) if !queries.is_empty());
    let stored = |case: &&Case| matches!(case.verdict, Verdict::Stored(..));
    let count = CASES.iter().filter(stored).count();
    assert_eq!(
        CASES.iter().filter(asked).count(),
        count,
        "a file is asked nothing"
    );
}

/// The body of a MKCALENDAR; without it, a calendar does not take free-busy objects.
fn of_all_kinds() -> String {
    let kinds = ["VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY"];
    let kinds = kinds
        .map(|kind| format!("<C:comp name=\"{kind}\"/>"))
        .concat();
    format!(
        "<C:mkcalendar xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:set><D:prop>\
         <C:supported-calendar-component-set>{kinds}</C:supported-calendar-component-set>\
         </D:prop></D:set></C:mkcalendar>"
    )
}

/// All files in one calendar, as a user has them.
#[test]
fn every_file_is_stored_and_found_or_refused_by_name() {
    let (_server, mut client) = Server::with_user("alice");
    client.expect(201, "MKCALENDAR", CALENDAR, &[], &of_all_kinds());
    let mut wrong = Vec::new();
    for case in CASES {
        let bytes = fs::read(folder().join(case.file)).expect("a readable file");
        let href = format!("{CALENDAR}{}", case.file);
        let put = client.ask("PUT", &href, &[ICS], &bytes);
        let found = match case.verdict {
            Verdict::Stored(..) => kept(&mut client, &href, &bytes, &put),
            Verdict::Refused(condition, sentence) => told(&put, condition, sentence),
        };
        wrong.extend(found.map(|why| format!("{}: {why}", case.file)));
    }
    for case in CASES {
        let Verdict::Stored(component, queries) = case.verdict else {
            let gone = client.ask("GET", &format!("{CALENDAR}{}", case.file), &[], b"");
            assert_eq!(gone.status, 404, "{} is there though refused", case.file);
            continue;
        };
        for query in queries {
            let found = answered(&mut client, case.file, component, query);
            wrong.extend(found.map(|why| format!("{}: {why}", case.file)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with how a file was stored.
fn kept(client: &mut Client, href: &str, bytes: &[u8], put: &Answer) -> Option<String> {
    if put.status != 201 {
        return Some(format!("PUT: {} {}", put.status, put.text()));
    }
    if !put.header("etag").is_some_and(|tag| tag.starts_with('"')) {
        return Some("PUT gave no strong ETag".into());
    }
    let got = client.ask("GET", href, &[], b"");
    (got.status != 200 || got.body != bytes).then(|| "GET gave other bytes".into())
}

/// What is wrong with how a file was refused.
fn told(put: &Answer, condition: &str, sentence: &str) -> Option<String> {
    let text = put.text();
    let right = put.status == 403
        && text.contains(&format!("<C:{condition}/>"))
        && text.contains(&format!(">{sentence}</x:sentence>"));
    (!right).then(|| format!("PUT: {} {text}", put.status))
}

/// What is wrong with the answer to a query.
fn answered(client: &mut Client, file: &str, component: &str, query: &Query) -> Option<String> {
    let range = |window: &str| {
        let (start, end) = window.split_once('/').expect("a window");
        format!("start=\"{start}\" end=\"{end}\"")
    };
    let text = |property: &str, text: &str| {
        let text = text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('\n', "&#10;");
        format!(
            "<C:prop-filter name=\"{property}\"><C:text-match collation=\"i;unicode-casemap\">\
             {text}</C:text-match></C:prop-filter>"
        )
    };
    let (inner, wanted) = match query {
        Hit(window) | Expand(window, _) => (format!("<C:time-range {}/>", range(window)), true),
        Miss(window) => (format!("<C:time-range {}/>", range(window)), false),
        AlarmHit(window) | AlarmMiss(window) => (
            format!(
                "<C:comp-filter name=\"VALARM\"><C:time-range {}/></C:comp-filter>",
                range(window)
            ),
            matches!(query, AlarmHit(_)),
        ),
        Text(property, wanted) => (text(property, wanted), true),
        NoText(property, wanted) => (text(property, wanted), false),
    };
    let data = match query {
        Expand(window, _) => format!(
            "<C:calendar-data><C:expand {}/></C:calendar-data>",
            range(window)
        ),
        _ => String::new(),
    };
    let body = format!(
        "<C:calendar-query xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\">\
         <D:prop><D:getetag/>{data}</D:prop><C:filter><C:comp-filter name=\"VCALENDAR\">\
         <C:comp-filter name=\"{component}\">{inner}</C:comp-filter></C:comp-filter></C:filter>\
         </C:calendar-query>"
    );
    let answer = client
        .expect(207, "REPORT", CALENDAR, &[("Depth", "1")], &body)
        .text();
    let href = format!("<D:href>{CALENDAR}{file}</D:href>");
    let own = answer
        .split("<D:response>")
        .find(|part| part.contains(&href));
    if own.is_some() != wanted {
        return Some(format!("found: {}, {inner}", own.is_some()));
    }
    let (Some(own), Expand(window, expected)) = (own, query) else {
        return None;
    };
    let starts = own
        .lines()
        .filter_map(|line| line.trim().strip_prefix("DTSTART:"));
    let starts: Vec<&str> = starts
        .map(|start| start.trim_end_matches("&#13;"))
        .collect();
    (starts != *expected).then(|| format!("{window} expanded: {starts:?}"))
}
