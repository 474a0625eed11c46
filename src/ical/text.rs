//! Text matching (RFC 4791 section 7.5 and 9.7.5): collations of RFC 4790 and RFC 5051, substring
//! operation.

use unicode_normalization::UnicodeNormalization;

/// A collation this server offers (CALDAV:supported-collation-set, RFC 4791 section 7.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Collation {
    /// `i;ascii-casemap`: ASCII letters match in either case (RFC 4790 section 9.2). The default.
    #[default]
    AsciiCasemap,
    /// `i;octet`: byte for byte (RFC 4790 section 9.3).
    Octet,
    /// `i;unicode-casemap`: letters of all scripts in either case, and composed or not (RFC 5051).
    UnicodeCasemap,
}

impl Collation {
    /// All collations offered.
    pub const ALL: [Collation; 3] = [
        Collation::AsciiCasemap,
        Collation::Octet,
        Collation::UnicodeCasemap,
    ];

    /// Its identifier.
    pub const fn as_str(self) -> &'static str {
        match self {
            Collation::AsciiCasemap => "i;ascii-casemap",
            Collation::Octet => "i;octet",
            Collation::UnicodeCasemap => "i;unicode-casemap",
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
        match self {
            Collation::Octet => text.contains(needle),
            Collation::AsciiCasemap => text
                .to_ascii_lowercase()
                .contains(&needle.to_ascii_lowercase()),
            Collation::UnicodeCasemap => casemap(text).contains(&casemap(needle)),
        }
    }
}

/// The "titlecased canonicalized UTF-8" of RFC 5051 section 2. Its note 2 allows the reordering
/// of marks that comes with NFKD.
fn casemap(text: &str) -> String {
    text.chars().map(titlecase).nfkd().collect()
}

/// The titlecase property of UnicodeData.txt, which is one character for one. The standard
/// library knows the uppercase mapping in full, so what differs is said here.
fn titlecase(character: char) -> char {
    let at = |point: u32| char::from_u32(point).unwrap_or(character);
    let point = u32::from(character);
    match point {
        // letters that are two: their titlecase has one of the two in upper case
        0x1C4..=0x1C6 => at(0x1C5),
        0x1C7..=0x1C9 => at(0x1C8),
        0x1CA..=0x1CC => at(0x1CB),
        0x1F1..=0x1F3 => at(0x1F2),
        // Georgian has no titlecase of its own
        0x10D0..=0x10FF => character,
        // Greek with iota below, whose full uppercase is two letters
        0x1F80..=0x1F87 | 0x1F90..=0x1F97 | 0x1FA0..=0x1FA7 => at(point + 8),
        0x1FB3 | 0x1FC3 | 0x1FF3 => at(point + 9),
        _ => {
            let mut upper = character.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => character,
            }
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
    fn rfc5051_titlecase_and_decomposition() {
        let all = Collation::UnicodeCasemap;
        // the example of section 2: U+01C4 becomes U+0044 U+007A U+030C
        assert_eq!(casemap("\u{1C4}"), "Dz\u{30C}");
        for (text, needle) in [
            ("CAFÉ", "café"),
            ("cafe\u{301}", "CAFÉ"),
            ("ΓΕΙΆ", "γειά"),
            ("Привет", "ПРИВЕТ"),
            ("Ⅷ", "viii"),
            ("ＡＢＣ", "abc"),
            ("ᾳ", "ᾼ"),
            ("x", ""),
        ] {
            assert!(all.contains(text, needle), "{text} {needle}");
        }
        assert!(all.contains("CAFÉ", "afé") && all.contains("ТЕСТ", "ест"));
        // it takes one letter for one, and marks count
        assert!(!all.contains("STRASSE", "straße") && !all.contains("cafe", "café"));
        assert!(all.contains("ß", "ß") && !all.contains("ა", "Ა"));
        assert_eq!(
            Collation::parse("I;Unicode-Casemap"),
            Some(Collation::UnicodeCasemap)
        );
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
