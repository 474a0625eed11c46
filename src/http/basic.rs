//! Basic credentials (RFC 7617), the scheme that every CalDAV client speaks.

use ::http::HeaderMap;
use ::http::header::AUTHORIZATION;
use base64::Engine;
// Some clients leave out the padding.
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT as BASE64;
use zeroize::Zeroizing;

use crate::ids::Secret;
use crate::limits;

/// A name and a secret as sent, unverified.
#[derive(Debug)]
pub(super) struct Credentials {
    pub name: String,
    pub secret: Secret,
}

/// Takes the credentials out of `headers`, so that no later floor can see or log them.
/// None when there are none, or more than one, or they are malformed.
pub(super) fn take(headers: &mut HeaderMap) -> Option<Credentials> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let read = match (values.next(), values.next()) {
        (Some(one), None) => one.to_str().ok().and_then(read),
        _ => None,
    };
    headers.remove(AUTHORIZATION);
    read
}

fn read(value: &str) -> Option<Credentials> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let longest = limits::EMAIL_BYTES + 1 + limits::PASSWORD_BYTES;
    let encoded = encoded.trim_matches(' ');
    if encoded.len() > longest.div_ceil(3) * 4 {
        return None;
    }
    let bytes = Zeroizing::new(BASE64.decode(encoded).ok()?);
    let text = std::str::from_utf8(&bytes).ok()?;
    let (name, secret) = text.split_once(':')?;
    let short = name.len() <= limits::EMAIL_BYTES && secret.len() <= limits::PASSWORD_BYTES;
    // RFC 7617 section 2: neither part may contain control characters.
    if name.is_empty() || !short || text.contains(char::is_control) {
        return None;
    }
    Some(Credentials {
        name: name.to_owned(),
        secret: Secret::new(secret.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(values: &[&str]) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        let credentials = take(&mut headers);
        assert!(headers.is_empty());
        credentials.map(|credentials| (credentials.name, credentials.secret.expose().to_owned()))
    }

    #[test]
    fn reads_what_clients_send() {
        let pair = |name: &str, secret: &str| Some((name.to_owned(), secret.to_owned()));
        assert_eq!(taken(&["Basic dGVzdDoxMjPCow=="]), pair("test", "123£")); // RFC 7617 section 2.1
        assert_eq!(taken(&["bAsIc  dGVzdDoxMjPCow"]), pair("test", "123£"));
        assert_eq!(taken(&["Basic YTpiOmM="]), pair("a", "b:c"));
        for wrong in [
            "Basic",
            "Basic !",
            "Bearer YTpi",
            "Basic YWI=",
            "Basic OmI=",
            "Basic YTpiCg==",
            "Basic YTr/",
        ] {
            assert_eq!(taken(&[wrong]), None, "{wrong}");
        }
        assert_eq!(taken(&["Basic YTpiOmM=", "Basic YTpiOmM="]), None);
        assert_eq!(taken(&[&format!("Basic {}", "YTpi".repeat(500))]), None);
    }
}
