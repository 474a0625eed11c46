use proptest::prelude::*;

use super::*;

fn refused(bytes: &[u8]) -> (usize, &'static str) {
    let error = Calendar::parse(bytes).expect_err("must be refused");
    (error.line, error.rule)
}

const NASTY: &str = "\u{FEFF}begin:vcalendar\nversion:2.0\r\n\r\nBegin:VEVENT  \nsummary:caf\
    \r\n é\n\t x\nX-Empty:\nGEO:\nBEGIN:valarm\nEND:VALARM \nDTSTART;tzid=\"a:b\":20240101T000000\nend:vevent\nEND:VCALENDAR";

#[test]
fn odd_but_readable() {
    let calendar = Calendar::parse(NASTY.as_bytes()).expect("readable");
    assert_eq!(calendar.root.name, "VCALENDAR");
    let event = &calendar.root.components[0];
    assert_eq!(event.name, "VEVENT");
    assert_eq!(event.property("SUMMARY").expect("there").value, "café x");
    assert_eq!(event.property("GEO").expect("there").value, "");
    assert_eq!(event.components("VALARM").count(), 1);
    let start = event.property("DTSTART").expect("there");
    assert_eq!(
        (start.parameter_value("TZID"), start.line),
        (Some("a:b"), 12)
    );
    assert_eq!(
        start.span.of(NASTY.as_bytes()),
        b"DTSTART;tzid=\"a:b\":20240101T000000\n"
    );
    assert!(
        calendar
            .root
            .span
            .of(NASTY.as_bytes())
            .ends_with(b"END:VCALENDAR")
    );
}

#[test]
fn folded_inside_a_character() {
    let bytes =
        b"BEGIN:VCALENDAR\r\nX-A:\xC3\r\n \xA9\r\n\t\xE2\r\n \x82\r\n \xAC\r\nEND:VCALENDAR\r\n";
    let calendar = Calendar::parse(bytes).expect("readable");
    assert_eq!(calendar.root.properties[0].value, "é€");
}

#[test]
fn refused_with_line_and_rule() {
    let wrap = |inner: &[u8]| {
        [
            b"BEGIN:VCALENDAR\r\n".as_slice(),
            inner,
            b"\r\nEND:VCALENDAR\r\n",
        ]
        .concat()
    };
    assert_eq!(refused(b""), (1, "there is no VCALENDAR"));
    assert_eq!(refused(b"\r\n\r\n"), (2, "there is no VCALENDAR"));
    assert_eq!(
        refused(b"BEGIN:VCARD\r\nEND:VCARD"),
        (1, "the text does not begin with a VCALENDAR")
    );
    assert_eq!(
        refused(b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VEVENT\n"),
        (3, "a component does not end")
    );
    assert_eq!(
        refused(&wrap(b"BEGIN:A\nEND:B")),
        (3, "END names another component than BEGIN")
    );
    assert_eq!(refused(b"END:VCALENDAR"), (1, "END without BEGIN"));
    assert_eq!(
        refused(b"VERSION:2.0\n"),
        (1, "a property stands outside of every component")
    );
    assert_eq!(
        refused(&wrap(b"X:\xFF")),
        (2, "the text is not valid UTF-8")
    );
    assert_eq!(
        refused(&wrap(b"X:a\n b\n c\xC3\n d")),
        (2, "the text is not valid UTF-8")
    );
    assert_eq!(refused(&wrap(b"X:a\n b\0")), (3, "a control character"));
    assert_eq!(refused(&wrap(b"X:a\x1Bb")), (2, "a control character"));
    assert_eq!(
        refused(&wrap(b"X:a\rY:b")),
        (2, "a carriage return stands without a line feed")
    );
    assert_eq!(refused(&wrap(b"no colon")), (2, "a line without a colon"));
    let error = Calendar::parse(&wrap(b"SECRET")).expect_err("no colon");
    assert_eq!(error.to_string(), "line 2: a line without a colon");
}

#[test]
fn limits_hold() {
    let nested = "BEGIN:VCALENDAR\r\n".repeat(20_000);
    assert_eq!(
        refused(nested.as_bytes()),
        (limits::ICAL_DEPTH + 1, "components are nested too deeply")
    );
    let start = "BEGIN:VCALENDAR\n";
    let long = format!(
        "{start}X:{}\nEND:VCALENDAR\n",
        "x".repeat(limits::ICAL_LINE_BYTES)
    );
    assert_eq!(refused(long.as_bytes()), (2, "a line is too long"));
    let folded = format!(
        "{start}X:{}\n {}",
        "x".repeat(limits::ICAL_LINE_BYTES / 2),
        "x".repeat(limits::ICAL_LINE_BYTES / 2)
    );
    assert_eq!(refused(folded.as_bytes()), (2, "a line is too long"));
    let lines = format!("{start}{}", "X:\n".repeat(limits::ICAL_LINES));
    assert_eq!(
        refused(lines.as_bytes()),
        (limits::ICAL_LINES + 1, "too many lines")
    );
    let components = format!(
        "{start}{}",
        "BEGIN:A\nEND:A\n".repeat(limits::ICAL_COMPONENTS)
    );
    assert_eq!(
        refused(components.as_bytes()),
        (limits::ICAL_COMPONENTS * 2, "too many components")
    );
    let parameters = format!("{start}X;A={}:\n", ",".repeat(limits::ICAL_PARAMETERS));
    assert_eq!(refused(parameters.as_bytes()), (2, "too many parameters"));
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Calendar::parse(&bytes);
        let framed = [b"BEGIN:VCALENDAR\n".as_slice(), &bytes, b"\nEND:VCALENDAR"].concat();
        if let Ok(calendar) = Calendar::parse(&framed) {
            prop_assert_eq!(calendar.root.begin.start, 0);
        }
    }

    /// However a text is folded, the oracle and this reader unfold it to the same value.
    #[test]
    fn unfolds_like_the_oracle(text in "[a-zé€ ,;:^\"]{0,60}", cuts in proptest::collection::vec(0usize..80, 0..6)) {
        let mut line = format!("X-TEST:{text}.");
        let mut places: Vec<usize> = cuts.into_iter().filter(|at| (7..line.len()).contains(at) && line.is_char_boundary(*at)).collect();
        places.sort_unstable();
        places.dedup();
        for at in places.into_iter().rev() {
            line.insert_str(at, "\r\n ");
        }
        let whole = format!("BEGIN:VCALENDAR\r\n{line}\r\nEND:VCALENDAR\r\n");
        let calendar = Calendar::parse(whole.as_bytes()).expect("good");
        let unfolded = icalendar::parser::unfold(&whole);
        let expected = unfolded.lines().nth(1).and_then(|line| line.strip_prefix("X-TEST:"));
        prop_assert_eq!(Some(&*calendar.root.properties[0].value), expected);
    }

    /// Spans are exact: the lines of the tree put together again are the received bytes.
    #[test]
    fn spans_cover_every_line(lines in proptest::collection::vec("[A-Z]{1,5}(;[A-Z]=[a-z]{0,4})?:[a-zé]{0,9}(\r\n [a-z]{1,4})?", 0..8)) {
        let body: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let whole = format!("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n{body}END:VEVENT\r\nEND:VCALENDAR\r\n");
        prop_assume!(!lines.iter().any(|line| line.starts_with("BEGIN") || line.starts_with("END")));
        let calendar = Calendar::parse(whole.as_bytes()).expect("good");
        let event = &calendar.root.components[0];
        let copied: Vec<u8> = event.properties.iter().flat_map(|property| property.span.of(whole.as_bytes()).to_vec()).collect();
        prop_assert_eq!(copied, body.as_bytes());
        prop_assert_eq!(calendar.root.span, Span { start: 0, end: whole.len() });
    }
}
