//! Text matching (RFC 4791 section 7.5 and 9.7.5): collations of RFC 4790, substring operation.

/// A collation this server offers (CALDAV:supported-collation-set, RFC 4791 section 7.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Collation {
    /// `i;ascii-casemap`: ASCII letters match in either case (RFC 4790 section 9.2). The default.
    #[default]
    AsciiCasemap,
    /// `i;octet`: byte for byte (RFC 4790 section 9.3).
    Octet,
}

impl Collation {
    /// All collations offered.
    pub const ALL: [Collation; 2] = [Collation::AsciiCasemap, Collation::Octet];

    /// Its identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Collation::AsciiCasemap => "i;ascii-casemap",
            Collation::Octet => "i;octet",
        }
    }

    /// The collation with this identifier; `default` is `i;ascii-casemap`
    /// (RFC 4791 section 7.5). `None` is the supported-collation precondition.
    pub fn parse(identifier: &str) -> Option<Collation> {
        let identifier = identifier.trim_ascii();
        if identifier.eq_ignore_ascii_case("default") {
            return Some(Collation::default());
        }
        Self::ALL
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(identifier))
    }

    /// Whether `needle` occurs in `text`. Linear, however the two are made up.
    pub fn contains(self, text: &str, needle: &str) -> bool {
        if needle.len() > text.len() {
            return false;
        }
        match self {
            Collation::Octet => text.contains(needle),
            Collation::AsciiCasemap => text
                .to_ascii_lowercase()
                .contains(&needle.to_ascii_lowercase()),
        }
    }
}

/// A text-match element (RFC 4791 section 9.7.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextMatch {
    /// What to look for; nothing is found everywhere.
    pub text: String,
    /// How to compare.
    pub collation: Collation,
    /// The negate-condition attribute: matches where the text is not found.
    pub negate: bool,
}

impl TextMatch {
    /// Whether one of `values` has the text; negated, whether none has.
    pub fn matches<'v>(&self, mut values: impl Iterator<Item = &'v str>) -> bool {
        values.any(|value| self.collation.contains(value, &self.text)) != self.negate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collations() {
        assert!(Collation::AsciiCasemap.contains("Team MEETING", "meet"));
        assert!(!Collation::AsciiCasemap.contains("CAFÉ", "café"));
        assert!(Collation::AsciiCasemap.contains("CAFÉ", "cafÉ"));
        assert!(!Collation::Octet.contains("Team MEETING", "meet"));
        assert!(Collation::Octet.contains("Team meeting", "meet"));
        assert!(Collation::Octet.contains("", ""));
        assert_eq!(Collation::parse("default"), Some(Collation::AsciiCasemap));
        assert_eq!(Collation::parse("i;octet"), Some(Collation::Octet));
        assert_eq!(Collation::parse("i;*"), None);
    }

    #[test]
    fn negated() {
        let find = |negate| TextMatch {
            text: "a".into(),
            collation: Collation::Octet,
            negate,
        };
        assert!(find(false).matches(["b", "ab"].into_iter()));
        assert!(!find(true).matches(["b", "ab"].into_iter()));
        assert!(find(true).matches(["b"].into_iter()));
    }
}
