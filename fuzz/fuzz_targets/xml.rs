//! XML bodies: what is kept of an element reads back as the same element.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealdav::xml::{self, XmlLimits};

fuzz_target!(|bytes: &[u8]| {
    let Ok(element) = xml::parse(bytes, &XmlLimits::default()) else {
        return;
    };
    let kept = element.to_xml();
    let wide = XmlLimits {
        bytes: usize::MAX,
        name_bytes: usize::MAX,
        events: usize::MAX,
        attributes: usize::MAX,
        ..XmlLimits::default()
    };
    let again = xml::parse(kept.as_bytes(), &wide).expect("what is kept can be read");
    assert_eq!(again.to_xml(), kept);
    assert_eq!(again.text(), element.text());
});
