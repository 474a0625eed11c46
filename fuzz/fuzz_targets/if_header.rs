//! The If header and the other conditions, ranges and preferences.
#![no_main]

use http::header::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use sealdav::dav::headers::{
    Ranges, content_type, depth, destination, if_header, if_match, if_none_match, if_range, if_schedule_tag_match,
    lock_token, overwrite, prefer, ranges, timeout,
};

const NAMES: [&str; 13] = [
    "if", "if-match", "if-none-match", "if-range", "if-schedule-tag-match", "range", "depth", "destination", "overwrite",
    "timeout", "lock-token", "prefer", "content-type",
];

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for name in NAMES {
        headers.insert(HeaderName::from_static(name), value.clone());
    }
    if let Ok(Some(found)) = if_header(&headers) {
        let said = String::from_utf8_lossy(bytes);
        assert!(found.tokens().all(|token| said.contains(token)));
        let mut asked = 0;
        found.holds(|_, _| {
            asked += 1;
            asked % 2 == 0
        });
        assert!(asked <= bytes.len());
    }
    let _ = (if_match(&headers), if_none_match(&headers), if_schedule_tag_match(&headers), if_range(&headers));
    let _ = (depth(&headers), destination(&headers), overwrite(&headers), timeout(&headers));
    let _ = (lock_token(&headers), prefer(&headers), content_type(&headers));
    if let Ranges::Parts(parts) = ranges(&headers, 1000) {
        assert!(parts.iter().all(|part| part.start < part.end && part.end <= 1000));
    }
});
