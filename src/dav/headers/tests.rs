use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn tag(weak: bool, opaque: &str) -> EntityTag {
    let opaque = opaque.to_owned();
    EntityTag { weak, opaque }
}

#[test]
fn depths() {
    let of = |value| depth(&headers(&[("depth", value)]));
    assert_eq!(depth(&HeaderMap::new()), Ok(None));
    assert_eq!(of("0"), Ok(Some(Depth::Zero)));
    assert_eq!(of(" 1 "), Ok(Some(Depth::One)));
    assert_eq!(of("Infinity"), Ok(Some(Depth::Infinity)));
    for value in ["", "2", "-1", "1,noroot", "infinity, 0"] {
        assert_eq!(of(value), Err(HeaderError::Depth), "{value}");
    }
    let two = headers(&[("depth", "0"), ("depth", "0")]);
    assert_eq!(depth(&two), Err(HeaderError::Depth));
}

#[test]
fn overwrites() {
    let of = |value| overwrite(&headers(&[("overwrite", value)]));
    assert_eq!(overwrite(&HeaderMap::new()), Ok(Overwrite::Allowed));
    assert_eq!(of("T"), Ok(Overwrite::Allowed));
    assert_eq!(of("F"), Ok(Overwrite::Forbidden));
    assert_eq!(of("no"), Err(HeaderError::Overwrite));
}

#[test]
fn destinations() {
    let of = |value| destination(&headers(&[("destination", value)]));
    let origin = |scheme: &str, host: &str| Some((scheme.to_owned(), host.to_owned()));
    for (value, expected, path) in [
        ("/resource2", None, "/resource2"),
        ("/a%20b/../%2F", None, "/a%20b/../%2F"),
        ("/é:b", None, "/é:b"),
        (
            "HTTP://www.example.com:8080/a//b",
            origin("http", "www.example.com:8080"),
            "/a//b",
        ),
        ("https://user@[::1]/x", origin("https", "user@[::1]"), "/x"),
        ("https://example.com", origin("https", "example.com"), "/"),
    ] {
        let path = path.to_owned();
        let reference = Reference {
            origin: expected,
            path,
        };
        assert_eq!(of(value), Ok(Some(reference)), "{value}");
    }
    let long = format!("/{}", "a".repeat(limits::REQUEST_TARGET_BYTES));
    for value in [
        "",
        "x",
        "../x",
        "//host/x",
        "/a#b",
        "/a?b",
        "/a b",
        "/a\\b",
        "https:///x",
        "https:/x",
        "mailto:a@b",
        "://h/x",
        "1a://h/x",
        "</x>",
        long.as_str(),
    ] {
        assert_eq!(of(value), Err(HeaderError::Destination), "{value}");
    }
}

#[test]
fn timeouts() {
    let of = |value| timeout(&headers(&[("timeout", value)]));
    assert_eq!(of("Infinite, Second-4100000000"), Some(Timeout::Infinite));
    assert_eq!(of("Extend, second-604800"), Some(Timeout::Seconds(604_800)));
    assert_eq!(
        of("Second-99999999999999999999999"),
        Some(Timeout::Seconds(u32::MAX))
    );
    for value in ["", "Second-", "Second--1", "Second-+1", "Second- 1", "1"] {
        assert_eq!(of(value), None, "{value}");
    }
}

#[test]
fn lock_tokens() {
    let value = "<urn:uuid:a515cfa4-5da4-22e1-f5b5-00a0451e6bf7>";
    let expected = Some("urn:uuid:a515cfa4-5da4-22e1-f5b5-00a0451e6bf7");
    assert_eq!(lock_token(&headers(&[("lock-token", value)])), Ok(expected));
    for value in ["", "<>", "urn:uuid:1", "<a> <b>", "(<a>)"] {
        let headers = headers(&[("lock-token", value)]);
        assert_eq!(lock_token(&headers), Err(HeaderError::LockToken), "{value}");
    }
}

/// The examples of RFC 4918 sections 10.4.6 to 10.4.11, in a short notation.
#[test]
fn if_headers_of_the_rfc() {
    let notation = |text: &str| {
        let header = IfHeader::parse(text).unwrap();
        let mut out = String::new();
        for list in header.lists {
            out += &format!("{}:", list.resource.unwrap_or_default());
            for condition in list.conditions {
                let not = if condition.negated { "!" } else { "" };
                out += &match condition.kind {
                    IfKind::StateToken(token) => format!(" {not}{token}"),
                    IfKind::Etag(tag) => format!(" {not}{tag}"),
                };
            }
            out += ";";
        }
        out
    };
    for (text, expected) in [
        (
            "(<urn:uuid:1>\r\n  [\"I am an ETag\"])\r\n  ([\"I am another ETag\"])",
            ": urn:uuid:1 \"I am an ETag\";: \"I am another ETag\";",
        ),
        (
            "(Not <urn:uuid:1>\n<urn:uuid:2>)",
            ": !urn:uuid:1 urn:uuid:2;",
        ),
        (
            "(<urn:uuid:1>)\n (Not <DAV:no-lock>)",
            ": urn:uuid:1;: !DAV:no-lock;",
        ),
        (
            "</resource1> (<urn:uuid:1> [W/\"A weak ETag\"]) ([\"strong ETag\"])",
            "/resource1: urn:uuid:1 W/\"A weak ETag\";/resource1: \"strong ETag\";",
        ),
        (
            "<http://h/specs/>(<urn:uuid:1>)</b>(<u:2>)",
            "http://h/specs/: urn:uuid:1;/b: u:2;",
        ),
        (
            "</specs/rfc2518.doc> (Not [\"4217\"])",
            "/specs/rfc2518.doc: !\"4217\";",
        ),
        ("(not<a:1>Not[\"x]\"])", ": !a:1 !\"x]\";"),
        ("([W/abc] [ \"b\" ][\\\"c\\\"])", ": W/\"abc\" \"b\" \"c\";"),
    ] {
        assert_eq!(notation(text), expected, "{text}");
    }
    let long = format!("(<a:{}>)", "a".repeat(limits::IF_HEADER_BYTES));
    for text in [
        "",
        "()",
        "(",
        "(<a:1>",
        "(<>)",
        "(a)",
        "(Not)",
        "(Not Not <a:1>)",
        "([])",
        "([\"a)",
        "</x>",
        "</x> </y> (<a:1>)",
        "(<a:1>) </x> (<a:1>)",
        "</x> (<a:1>) </y>",
        "(<a:1>) x",
        "(<a b>)",
        "<a:1>",
        "(<a:1>), (<b:2>)",
        "((<a:1>))",
        "(é<a:1>)",
        &long,
    ] {
        assert_eq!(IfHeader::parse(text), Err(HeaderError::If), "{text}");
    }
}

#[test]
fn if_headers_hold_and_submit() {
    let header = IfHeader::parse("</a> (<t:1> [\"x\"]) </b> (Not <t:2>)").unwrap();
    assert_eq!(header.tokens().collect::<Vec<_>>(), ["t:1", "t:2"]);
    let with = |states: &[(&str, IfKind)]| {
        header.holds(|resource, kind| {
            states
                .iter()
                .any(|(of, state)| Some(*of) == resource && state == kind)
        })
    };
    let token = |token: &str| IfKind::StateToken(token.to_owned());
    let etag = IfKind::Etag(tag(false, "x"));
    assert!(with(&[]), "nothing is locked with t:2");
    assert!(!with(&[("/b", token("t:2"))]));
    assert!(!with(&[("/b", token("t:2")), ("/a", token("t:1"))]));
    assert!(with(&[
        ("/b", token("t:2")),
        ("/a", token("t:1")),
        ("/a", etag)
    ]));
}

#[test]
fn entity_tags() {
    for (text, expected) in [
        ("\"xyzzy\"", tag(false, "xyzzy")),
        ("W/\"xyzzy\"", tag(true, "xyzzy")),
        ("\"\"", tag(false, "")),
        ("\"a,b\"", tag(false, "a,b")),
        ("\"a\\b\"", tag(false, "a\\b")),
        ("\\\"abc\\\"", tag(false, "abc")),
        ("\"\\\"abc\\\"\"", tag(false, "abc")),
        ("W/\\\"abc\\\"", tag(true, "abc")),
        ("abc-1", tag(false, "abc-1")),
    ] {
        assert_eq!(EntityTag::parse(text), Some(expected), "{text}");
    }
    for text in [
        "",
        "\"",
        "\"a",
        "a\"",
        "\"a\"b",
        "\"a\" \"b\"",
        "W/",
        "\"\\\"abc\"",
    ] {
        assert_eq!(EntityTag::parse(text), None, "{text}");
    }
    assert_eq!(tag(true, "a").to_string(), "W/\"a\"");
    assert_eq!(EntityTag::strong("a").to_string(), "\"a\"");
}

/// The table of RFC 9110 section 8.8.3.2.
#[test]
fn comparisons() {
    for (one, two, strong, weak) in [
        (tag(true, "1"), tag(true, "1"), false, true),
        (tag(true, "1"), tag(true, "2"), false, false),
        (tag(true, "1"), tag(false, "1"), false, true),
        (tag(false, "1"), tag(false, "1"), true, true),
    ] {
        assert_eq!(
            (one.strong_match(&two), one.weak_match(&two)),
            (strong, weak)
        );
        let list = EtagList::List(vec![tag(false, "other"), one]);
        assert_eq!(
            (list.strong_match(Some(&two)), list.weak_match(Some(&two))),
            (strong, weak)
        );
        assert!(!list.strong_match(None) && EtagList::Any.strong_match(Some(&two)));
    }
    assert!(
        !EtagList::Any.weak_match(None),
        "so If-None-Match: * creates"
    );
}

#[test]
fn etag_lists() {
    let of = |lines: &[(&'static str, &str)]| if_match(&headers(lines));
    assert_eq!(of(&[]), Ok(None));
    assert_eq!(of(&[("if-match", " * ")]), Ok(Some(EtagList::Any)));
    let expected = EtagList::List(vec![tag(false, "a,b"), tag(true, "c"), tag(false, "d")]);
    let two = [("if-match", "\"a,b\" ,, W/\"c\""), ("if-match", "d,")];
    assert_eq!(of(&two), Ok(Some(expected)));
    for value in ["", ",", "\"*\"", "*, \"a\"", "\"a\" \"b\"", "\"a", "W/"] {
        assert_eq!(
            of(&[("if-match", value)]),
            Err(HeaderError::IfMatch),
            "{value}"
        );
    }
    let none = headers(&[("if-none-match", "*")]);
    assert_eq!(if_none_match(&none), Ok(Some(EtagList::Any)));
    let schedule = headers(&[(
        "if-schedule-tag-match",
        "\"488177c8-2ea7-4176-a6cb-fab8cfccdea2\"",
    )]);
    let expected = tag(false, "488177c8-2ea7-4176-a6cb-fab8cfccdea2");
    assert_eq!(if_schedule_tag_match(&schedule), Ok(Some(expected)));
}

/// The examples of RFC 9110 section 14.1.2 and beyond.
#[test]
fn byte_ranges() {
    let of = |value: &str, length| ranges(&headers(&[("range", value)]), length);
    let parts = |parts: &[(u64, u64)]| {
        Ranges::Parts(parts.iter().map(|(start, end)| *start..*end).collect())
    };
    for (value, expected) in [
        ("bytes=0-499", parts(&[(0, 500)])),
        ("bytes=500-999", parts(&[(500, 1000)])),
        ("bytes=-500", parts(&[(9500, 10_000)])),
        ("Bytes=9500-", parts(&[(9500, 10_000)])),
        ("bytes=0-0,-1", parts(&[(0, 1), (9999, 10_000)])),
        (
            "bytes= 0-999, 4500-5499, -1000",
            parts(&[(0, 1000), (4500, 5500), (9000, 10_000)]),
        ),
        ("bytes=500-700,601-999", parts(&[(500, 701), (601, 1000)])),
        ("bytes=0-99999999999999999999999", parts(&[(0, 10_000)])),
        ("bytes=-99999", parts(&[(0, 10_000)])),
        ("bytes=10000-,1-1", parts(&[(1, 2)])),
        ("bytes=10000-", Ranges::Unsatisfiable),
        ("bytes=-0", Ranges::Unsatisfiable),
        (
            "bytes=18446744073709551615-18446744073709551615",
            Ranges::Unsatisfiable,
        ),
        ("bytes=0-,0-", Ranges::Whole),
        ("bytes=5-4", Ranges::Whole),
        ("bytes=", Ranges::Whole),
        ("bytes=-", Ranges::Whole),
        ("bytes=a-b", Ranges::Whole),
        ("bytes=+1-2", Ranges::Whole),
        ("lines=1-2", Ranges::Whole),
        ("1-2", Ranges::Whole),
    ] {
        assert_eq!(of(value, 10_000), expected, "{value}");
    }
    let sixteen = vec!["1-1"; limits::RANGES].join(",");
    assert!(matches!(
        of(&format!("bytes={sixteen}"), 100),
        Ranges::Parts(_)
    ));
    assert_eq!(of(&format!("bytes={sixteen},1-1"), 100), Ranges::Whole);
    assert_eq!(of("bytes=0-5", 0), Ranges::Whole);
    assert_eq!(of("bytes=0-,0-,0-", u64::MAX), Ranges::Whole);
    let two = headers(&[("range", "bytes=0-1"), ("range", "bytes=2-3")]);
    assert_eq!(ranges(&two, 9), Ranges::Whole);
    assert_eq!(ranges(&HeaderMap::new(), 5), Ranges::Whole);
}

#[test]
fn if_ranges() {
    let of = |value| if_range(&headers(&[("if-range", value)]));
    let current = tag(false, "a");
    let holds = |value| of(value).map(|condition| condition.holds(&current, 784_111_777));
    assert_eq!(if_range(&HeaderMap::new()), None);
    assert_eq!(holds("\"a\""), Some(true));
    assert_eq!(holds("W/\"a\""), Some(false));
    assert_eq!(holds("\"b\""), Some(false));
    assert_eq!(holds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(true));
    assert_eq!(holds("Sun, 06 Nov 1994 08:49:38 GMT"), Some(false));
    assert_eq!(holds("not a tag"), Some(false));
}

#[test]
fn preferences() {
    let of = |lines: &[(&'static str, &str)]| prefer(&headers(lines));
    let wanted = |wanted, depth_noroot| Prefer {
        wanted,
        depth_noroot,
    };
    let minimal = Some(Return::Minimal);
    assert_eq!(of(&[]), Prefer::default());
    assert_eq!(of(&[("prefer", "return=minimal")]), wanted(minimal, false));
    let line =
        "handling=lenient; a=\"x, return=minimal\", Depth-NoRoot, return=\"representation\";x";
    assert_eq!(
        of(&[("prefer", line)]),
        wanted(Some(Return::Representation), true)
    );
    let two = [
        ("prefer", "respond-async, wait=100"),
        ("prefer", "return = minimal"),
    ];
    assert_eq!(of(&two), wanted(minimal, false));
    let contradiction = [("prefer", "return=minimal, return=representation")];
    assert_eq!(of(&contradiction), wanted(minimal, false));
    assert_eq!(of(&[("brief", "t")]), wanted(minimal, false));
    assert_eq!(of(&[("brief", "f")]), Prefer::default());
    let both = [("brief", "t"), ("prefer", "return=representation")];
    assert_eq!(of(&both), wanted(Some(Return::Representation), false));
    assert_eq!(
        of(&[("prefer", "a=\"\\\", return=minimal")]),
        Prefer::default()
    );
}

#[test]
fn content_types() {
    let of = |value| content_type(&headers(&[("content-type", value)]));
    let is = |media_type: &str, charset: Option<&str>| {
        let media_type = media_type.to_owned();
        let charset = charset.map(str::to_owned);
        Ok(Some(ContentType {
            media_type,
            charset,
        }))
    };
    assert_eq!(of("text/calendar"), is("text/calendar", None));
    let full = "Text/Calendar; component=\"a;charset=x\" ;Charset=\"UTF-8\"";
    assert_eq!(of(full), is("text/calendar", Some("utf-8")));
    assert_eq!(
        of("text/calendar; charset=ISO-8859-1"),
        is("text/calendar", Some("iso-8859-1"))
    );
    for value in ["", "text", "/", "text/", "te xt/x", "a/b/c", "text/\"x\""] {
        assert_eq!(of(value), Err(HeaderError::ContentType), "{value}");
    }
    assert_eq!(content_type(&HeaderMap::new()), Ok(None));
}

#[test]
fn dates() {
    for text in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ] {
        assert_eq!(parse_date(text), Some(784_111_777), "{text}");
    }
    assert_eq!(parse_date("yesterday"), None);
    assert_eq!(format_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(format_date(-1), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(format_date(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    let since = headers(&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")]);
    assert_eq!(
        (if_modified_since(&since), if_unmodified_since(&since)),
        (Some(784_111_777), None)
    );
}

proptest! {
    #[test]
    fn no_value_makes_it_panic(value in "[-<>()\\[\\]\"\\\\,;=/*W a-cNot0-9é:]{0,40}", length: u64) {
        let names = ["depth", "destination", "if", "if-match", "lock-token", "range", "prefer",
            "if-range", "content-type", "timeout", "if-none-match"];
        let lines: Vec<_> = names.iter().map(|name| (*name, value.as_str())).collect();
        let headers = headers(&lines);
        if let Ranges::Parts(parts) = ranges(&headers, length) {
            prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
        }
        if let Ok(Some(header)) = if_header(&headers) {
            prop_assert!(header.lists.iter().all(|list| !list.conditions.is_empty()));
        }
        if let Ok(Some(EtagList::List(tags))) = if_match(&headers) {
            prop_assert!(!tags.is_empty());
        }
        if let Ok(Some(reference)) = destination(&headers) {
            prop_assert!(reference.path.starts_with('/'));
        }
        if let Ok(Some(token)) = lock_token(&headers) {
            prop_assert!(!token.is_empty());
        }
        // an If-Range that is there always gives a condition
        prop_assert!(if_range(&headers).is_some());
        let _ = (depth(&headers), prefer(&headers), timeout(&headers), content_type(&headers));
    }
}
