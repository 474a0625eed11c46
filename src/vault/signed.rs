//! Texts that the host signs: manifests of backups, the list of erased accounts.
//!
//! ```text
//! ... any lines ...
//! signed PUBLIC SIGNATURE      Ed25519 by the host, over all lines before
//! ```
//!
//! Digits are lower-case hexadecimal and there is one way to write each, so that no byte can be
//! changed unnoticed.

use crate::seal::{Signer, verified};

/// A text whose signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed<'a> {
    /// The lines before the signature.
    pub body: &'a str,
    /// Who signed it.
    pub public: [u8; 32],
}

/// Adds the signature to a text of whole lines.
pub fn sign(mut text: String, signer: &Signer) -> String {
    let signature = to_hex(&signer.sign(text.as_bytes()));
    text += &format!("signed {} {signature}\n", to_hex(&signer.public()));
    text
}

/// The text, if its signature holds; whose it is, the caller compares.
pub fn check(text: &str) -> Option<Signed<'_>> {
    let (body, last) = text.split_at(text.rfind("\nsigned ")? + 1);
    let (public, signature) = last
        .strip_prefix("signed ")?
        .strip_suffix('\n')?
        .split_once(' ')?;
    let public = from_hex::<32>(public)?;
    let signature = from_hex::<64>(signature)?;
    verified(&public, body.as_bytes(), &signature).then_some(Signed { body, public })
}

/// Lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of lower-case hexadecimal digits; none for any other text.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes: [u8; N] = bytes_of_hex(text)?.try_into().ok()?;
    Some(bytes)
}

/// The same, of any length.
pub fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::OsRandom;
    use crate::seal::HostKey;

    #[test]
    fn no_byte_of_a_signed_text_can_be_changed() {
        let signer = HostKey::generate(&mut OsRandom).signer();
        let text = sign("first\nsecond signed\n".to_owned(), &signer);
        let signed = check(&text).unwrap();
        assert_eq!(signed.body, "first\nsecond signed\n");
        assert_eq!(signed.public, signer.public());
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let read = String::from_utf8(bytes).ok();
                assert!(read.is_none_or(|text| check(&text).is_none()), "{at} {bit}");
            }
        }
    }
}
