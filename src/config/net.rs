//! Settings that are networks and addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

/// A network, or a single address, in CIDR form.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(pub IpNet);

impl Network {
    /// Whether `address` is in it; an IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl TryFrom<String> for Network {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let single = text.parse::<IpAddr>().map(IpNet::from).ok();
        let network = single.or_else(|| text.parse().ok());
        network.map(Network).ok_or_else(|| {
            format!("{text:?} is no network; write it like \"10.0.0.0/8\" or \"fd00::/8\"")
        })
    }
}

/// Whom to tell of a vulnerability: a mailto:, https: or tel: URI (RFC 9116 section 2.5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact(String);

impl Contact {
    /// Checks `text`; a bare e-mail address is taken for a mailto: URI.
    ///
    /// # Errors
    /// A sentence for the administrator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_uri = ["mailto:", "https://", "tel:"]
            .iter()
            .any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        match (is_uri, plain) {
            (true, true) => Ok(Contact(text.to_owned())),
            (false, true) if text.contains('@') && !text.contains(':') => {
                Ok(Contact(format!("mailto:{text}")))
            }
            _ => Err(format!(
                "{text:?} is no contact; write it like \"mailto:admin@example.org\" or \"https://example.org/security\""
            )),
        }
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `https://host`, `https://host:port`, or the same with http; never with a path, since the
/// server owns the whole tree (/.well-known included).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    host: String,
}

impl PublicUrl {
    /// Checks `text`; a slash at its end is dropped.
    ///
    /// # Errors
    /// A sentence for the administrator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no public URL; write it like \"https://calendar.example.org\", without a path"
            )
        };
        let trimmed = text.strip_suffix('/').unwrap_or(text);
        let uri: http::Uri = trimmed.parse().map_err(|_| wrong())?;
        let scheme = uri.scheme_str().ok_or_else(wrong)?;
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(wrong)?;
        let authority = uri.authority().ok_or_else(wrong)?.as_str();
        let bare = trimmed.len() == scheme.len() + "://".len() + authority.len();
        if !matches!(scheme, "http" | "https") || !bare || authority.contains('@') {
            return Err(wrong());
        }
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        Ok(PublicUrl {
            text: trimmed.to_owned(),
            host,
        })
    }

    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
}

pub(super) fn url_or_empty<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<PublicUrl>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    PublicUrl::parse(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

pub(super) fn contact_or_empty<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Contact>, D::Error> {
    let text = String::deserialize(from)?;
    match text.is_empty() {
        true => Ok(None),
        false => Contact::parse(&text)
            .map(Some)
            .map_err(serde::de::Error::custom),
    }
}
