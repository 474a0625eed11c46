use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn read(body: &str) -> Result<Element, XmlError> {
    parse(body.as_bytes(), &XmlLimits::default())
}

fn refused(body: &str) -> bool {
    matches!(read(body), Err(XmlError::Malformed(_)))
}

fn limits_of(bytes: usize) -> XmlLimits {
    XmlLimits {
        bytes,
        ..XmlLimits::default()
    }
}

#[test]
fn reads_a_propfind() {
    let body = r#"<?xml version="1.0" encoding="UTF-8"?>
        <!-- what we want -->
        <propfind xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">
          <prop><getetag/><C:calendar-data C:x="1" version="2.0"></C:calendar-data></prop>
        </propfind><?done?>
    "#;
    let root = read(body).unwrap();
    assert!(root.is(dav("propfind")));
    let prop = root.child(dav("prop")).unwrap();
    let names: Vec<&Name> = prop.elements().map(|element| &element.name).collect();
    assert_eq!(
        names,
        [&Name::from(dav("getetag")), &caldav("calendar-data").into()]
    );
    let data = prop.child(caldav("calendar-data")).unwrap();
    assert_eq!(data.attribute("version"), Some("2.0"));
    assert_eq!(data.attribute("x"), None, "it is in a namespace");
    assert_eq!(prop.children_named(dav("getetag")).count(), 1);
}

#[test]
fn prefixes_are_scoped() {
    let root = read(r#"<a:r xmlns:a="urn:1"><a:b xmlns:a="urn:2" xmlns="urn:d"><c/><d xmlns=""/></a:b><a:e/><f/></a:r>"#).unwrap();
    let mut found = String::new();
    fn walk(element: &Element, found: &mut String) {
        write!(found, "{}|{} ", element.name.ns, element.name.local).unwrap();
        element.elements().for_each(|child| walk(child, found));
    }
    walk(&root, &mut found);
    assert_eq!(found, "urn:1|r urn:2|b urn:d|c |d urn:1|e |f ");
}

#[test]
fn malformed_bodies_are_refused() {
    for body in [
        "",
        "  ",
        "text",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "<a/>&#32;",
        "<a/><![CDATA[]]>",
        "<a",
        "< a/>",
        "<1/>",
        "<a b/>",
        "<a b=c/>",
        "<a b='<'/>",
        "<a b='&'/>",
        "<a b='1' b='2'/>",
        "<a:b/>",
        "<a b:c='1'/>",
        "<a:b:c xmlns:a='urn:a'/>",
        "<:a/>",
        "<a xmlns:x=''/>",
        "<a xmlns:xmlns='urn:a'/>",
        "<a xmlns:xml='urn:a'/>",
        "<a xmlns:x='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='urn:a' xmlns='urn:b'/>",
        "<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>",
        "<a xml:lang='en' xml:lang='de'/>",
        "<a>&</a>",
        "<a>&#0;</a>",
        "<a>&#x1;</a>",
        "<a>&#xFFFF;</a>",
        "<a>&#xD800;</a>",
        "<a>&#+65;</a>",
        "<a>&#;</a>",
        "<a>\u{1}</a>",
        "<a>\u{FFFE}</a>",
        "<a>]]></a>",
        "<a><!-- -- --></a>",
        "<a><?xml version='1.0'?></a>",
        " <?xml version='1.0'?><a/>",
    ] {
        assert!(refused(body), "{body}: {:?}", read(body));
    }
}

#[test]
fn h4_doctypes_and_entities_are_refused() {
    let laughs = "<!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]><l>&b;</l>";
    for body in [
        "<!DOCTYPE a><a/>",
        "<!doctype a><a/>",
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'http://localhost/'>]><a>&x;</a>",
        "<!DOCTYPE a [<!ENTITY % p SYSTEM 'x'> %p;]><a/>",
        "<!DOCTYPE a [",
        "<a>&x;</a>",
        "<a b='&x;'/>",
        laughs,
    ] {
        assert_eq!(read(body), Err(XmlError::Forbidden), "{body}");
    }
}

#[test]
fn h5_costs_are_bounded_before_they_are_paid() {
    let mut attributes = String::from("<a");
    let mut namespaces = String::from("<a");
    for number in 0..1_000_000 {
        write!(namespaces, " xmlns:n{number}='u'").unwrap();
        if number < 800_000 {
            write!(attributes, " a{number}=''").unwrap();
        }
    }
    attributes.push_str("/>");
    namespaces.push_str("/>");
    let nested = "<a>".repeat(100_000);
    let flat = format!("<a>{}</a>", "<b/>".repeat(100_000));
    for (body, what) in [
        (attributes, "attributes"),
        (namespaces, "attributes"),
        (nested, "depth"),
        (flat, "events"),
    ] {
        let begun = Instant::now();
        let answer = read(&body);
        assert!(begun.elapsed() < Duration::from_millis(500), "{what}");
        assert!(matches!(answer, Err(XmlError::TooLarge { .. })), "{what}");
        // the bound that is meant holds by itself, too
        let alone = parse(body.as_bytes(), &limits_of(body.len()));
        assert_eq!(alone, Err(XmlError::TooLarge { what }));
    }
}

#[test]
fn h5_a_long_namespace_is_not_multiplied() {
    let namespace = "n".repeat(500_000);
    let body = format!("<a xmlns='{namespace}'>{}</a>", "<b/>".repeat(9_000));
    let what = "name_bytes";
    assert_eq!(read(&body), Err(XmlError::TooLarge { what }));
    let body = format!("<a xml:lang='{namespace}'>{}</a>", "<b/>".repeat(9_000));
    assert_eq!(read(&body), Err(XmlError::TooLarge { what }));
}

#[test]
fn h9_lookups_do_not_depend_on_what_is_declared() {
    let mut body = String::from("<r xmlns:first='urn:first'>");
    for depth in 0..60 {
        body.push_str("<e");
        for number in 0..60 {
            write!(body, " xmlns:p{depth}x{number}='urn:{depth}:{number}'").unwrap();
        }
        body.push('>');
    }
    let uses = 9_000;
    body.push_str(&"<first:e first:a='' p0x0:a=''/>".repeat(uses));
    body.push_str(&"</e>".repeat(60));
    body.push_str("</r>");
    let begun = Instant::now();
    read(&body).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_full_multiget_fits_its_bounds() {
    let mut body = String::from(
        "<C:calendar-multiget xmlns:C='urn:ietf:params:xml:ns:caldav' xmlns:D='DAV:'>\r\n <D:prop><D:getetag/></D:prop>",
    );
    for number in 0..limits::MULTIGET_HREFS {
        write!(
            body,
            "\r\n  <D:href>/calendars/anna/office/{number}.ics</D:href>"
        )
        .unwrap();
    }
    body.push_str("</C:calendar-multiget>");
    let root = parse(body.as_bytes(), &XmlLimits::multiget()).unwrap();
    assert_eq!(
        root.children_named(dav("href")).count(),
        limits::MULTIGET_HREFS
    );
    assert_eq!(read(&body), Err(XmlError::TooLarge { what: "events" }));
}

#[test]
fn texts_are_normalised_and_joined() {
    let root = read("<a b=' x\ty\r\nz&#10;&#9;&amp;&quot;&#x41; '>\r\n&lt;&#13;<!-- c --><![CDATA[<b>&amp;]]>\rz<?p?>&#x1F600;</a>").unwrap();
    let text = "\n<\r<b>&amp;\nz\u{1F600}";
    assert_eq!(root.children, [Node::Text(text.to_owned())]);
    assert_eq!(root.attribute("b"), Some(" x y z\n\t&\"A "));
    assert!(read("<a><![CDATA[]]></a>").unwrap().children.is_empty());
}

#[test]
fn encodings() {
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{FEFF}"
            .encode_utf16()
            .chain(text.encode_utf16())
            .flat_map(bytes)
            .collect()
    };
    let text = "<?xml version='1.0' encoding='utf-16'?><a>\u{1F600}é</a>";
    let expected = "\u{1F600}é";
    let limits = XmlLimits::default();
    for body in [utf16(text, u16::to_be_bytes), utf16(text, u16::to_le_bytes)] {
        assert_eq!(parse(&body, &limits).unwrap().text(), expected);
        let odd = &body[..body.len() - 1];
        assert_eq!(parse(odd, &limits), Err(XmlError::Encoding));
    }
    assert_eq!(read("\u{FEFF}<a>é</a>").unwrap().text(), "é");
    for body in [
        text.as_bytes(),
        b"<?xml version='1.0' encoding='iso-8859-1'?><a/>",
        b"<a>\xE9</a>",
        b"<a>\xC0\xAF</a>",
    ] {
        assert_eq!(parse(body, &limits), Err(XmlError::Encoding));
    }
}

#[test]
fn languages_are_inherited_and_kept() {
    let root = read("<a xml:lang='en'><b><c xml:lang=''/><d xml:lang='de'/></b></a>").unwrap();
    let b = root.elements().next().unwrap();
    let langs: Vec<_> = b
        .elements()
        .map(|element| element.lang.as_deref())
        .collect();
    assert_eq!(
        (b.lang.as_deref(), langs),
        (Some("en"), vec![None, Some("de")])
    );
    assert!(b.attributes.is_empty());
    assert_eq!(
        b.to_xml(),
        "<b xml:lang=\"en\"><c xml:lang=\"\"/><d xml:lang=\"de\"/></b>"
    );
}

/// RFC 4918 section 4.3.1: mixed content, a language from outside, foreign namespaces.
#[test]
fn a_dead_property_keeps_its_meaning() {
    let body = r#"<D:prop xmlns:D="DAV:" xml:lang="en"><x:author xmlns:x='https://example.com/ns'>
        <x:name>Jane Doe</x:name> <!-- gone --> <h:p xmlns:h="http://www.w3.org/1999/xhtml" h:q="&#13;'">Jane has been working <h:em>way</h:em> too long &amp; &gt; on &lt;![CDATA[ <![CDATA[<RFC2518bis>]]>.</h:p></x:author></D:prop>"#;
    let author = read(body).unwrap().elements().next().unwrap().clone();
    let xml = author.to_xml();
    assert_eq!(read(&xml).unwrap(), author);
    assert!(xml.starts_with("<n0:author xmlns:n0=\"https://example.com/ns\" xmlns:n1="));
    let mut writer = Writer::document();
    writer.start(dav("prop"));
    writer.raw(&xml);
    let written = writer.finish();
    let again = parse(&written, &XmlLimits::default()).unwrap();
    assert_eq!(again.elements().next(), Some(&author));
}

#[test]
fn writes_a_multistatus() {
    let mut writer = Writer::document();
    writer.start(dav("multistatus"));
    let mut sent = writer.take(0);
    assert_eq!(writer.len(), 0);
    writer.start_with(dav("response"), &[("a", "\"'<\t\r\n&")]);
    writer.element_text(
        caldav("calendar-data"),
        "A:1\r\nB:<&>\u{0}\u{B}\u{FFFF}ï\u{FFFD}\n",
    );
    writer.empty(cs("getctag"));
    writer.empty(apple("calendar-color"));
    for (ns, local) in [("urn:'x'", "y"), ("", "none"), ("DAV:", "owner")] {
        writer.name_empty(&Name {
            ns: ns.to_owned(),
            local: local.to_owned(),
        });
    }
    writer.end();
    sent.extend(writer.finish());
    assert_eq!(
        String::from_utf8(sent).unwrap(),
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <D:multistatus xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\" \
         xmlns:CS=\"http://calendarserver.org/ns/\" xmlns:A=\"http://apple.com/ns/ical/\">\
         <D:response a=\"&quot;&#39;&lt;&#9;&#13;&#10;&amp;\">\
         <C:calendar-data>A:1&#13;\nB:&lt;&amp;&gt;\u{FFFD}\u{FFFD}\u{FFFD}ï\u{FFFD}\n</C:calendar-data>\
         <CS:getctag/><A:calendar-color/><x:y xmlns:x=\"urn:&#39;x&#39;\"/><none/><D:owner/>\
         </D:response></D:multistatus>"
    );
}

#[test]
fn foreign_names_nest() {
    let other = |local| QName {
        ns: "urn:other",
        local,
    };
    let mut writer = Writer::fragment();
    writer.start(other("a"));
    writer.start(QName {
        ns: "urn:third",
        local: "b",
    });
    writer.element_text(other("c"), "t");
    let written = writer.finish();
    let root = parse(&written, &XmlLimits::default()).unwrap();
    let b = root.elements().next().unwrap();
    assert!(root.is(other("a")) && b.name.ns == "urn:third" && b.child(other("c")).is_some());
}

#[test]
fn characters_of_xml() {
    assert!(is_xml_text("a\t\r\n\u{7F}\u{85}\u{FFFD}\u{10FFFF}ﾟ"));
    for text in ["\u{0}", "\u{8}", "\u{1F}", "x\u{FFFE}", "\u{FFFF}"] {
        assert!(!is_xml_text(text), "{text:?}");
    }
}

fn xml_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop::sample::select(vec!['\r', '\n', '\t', ' ', '<', '>', '&', '"', '\'', ']', 'a', 'é']),
        1 => any::<char>().prop_filter("a Char", |c| is_xml_text(&c.to_string())),
    ];
    prop::collection::vec(character, 1..12).prop_map(|all| all.into_iter().collect())
}

fn name() -> impl Strategy<Value = Name> {
    let namespaces = vec![
        "",
        ns::DAV,
        ns::CALDAV,
        ns::CS,
        ns::APPLE,
        "urn:a",
        "urn:b?\"&'<\r",
        " ",
    ];
    let namespace = prop::sample::select(namespaces);
    (namespace, "[A-Za-z_é][A-Za-z0-9._-]{0,6}").prop_map(|(ns, local)| Name {
        ns: ns.to_owned(),
        local,
    })
}

fn element() -> impl Strategy<Value = Element> {
    let attribute = (name(), prop_oneof![Just(String::new()), xml_text()]);
    let attributes = prop::collection::btree_map(attribute.0, attribute.1, 0..4)
        .prop_map(|map| {
            let sound = |(name, _): &(Name, String)| name.local != "xmlns";
            map.into_iter().filter(sound).collect::<Vec<_>>()
        })
        .boxed();
    let lang = prop::option::of(prop::sample::select(vec![
        "en".to_owned(),
        "de-CH".to_owned(),
    ]));
    let make = |((name, attributes), (lang, children)): ((Name, _), (_, Vec<Node>))| {
        let mut joined: Vec<Node> = Vec::new();
        for child in children {
            match (joined.last_mut(), child) {
                (Some(Node::Text(before)), Node::Text(text)) => before.push_str(&text),
                (_, child) => joined.push(child),
            }
        }
        let children = joined;
        Element {
            name,
            attributes,
            children,
            lang,
        }
    };
    let start = (name(), attributes).boxed();
    let leaf = (start.clone(), (lang.clone(), Just(Vec::new()))).prop_map(make);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let node = prop_oneof![
            inner.prop_map(Node::Element),
            xml_text().prop_map(Node::Text)
        ];
        let children = prop::collection::vec(node, 0..5);
        (start.clone(), (lang.clone(), children)).prop_map(make)
    })
}

proptest! {
    #[test]
    fn every_element_survives_being_stored(element in element()) {
        let xml = element.to_xml();
        prop_assert_eq!(read(&xml), Ok(element), "{}", xml);
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&body, &XmlLimits::default());
    }

    #[test]
    fn no_markup_makes_it_panic(body in "[<>/!?&;:=\"' a-c\\[\\]\\-#x1\u{0}é]{0,60}") {
        if let Ok(element) = read(&body) {
            prop_assert_eq!(read(&element.to_xml()), Ok(element));
        }
    }
}
