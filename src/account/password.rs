//! What a new password must be like: long enough, not the user's name, and not easy to guess, as
//! zxcvbn estimates (common passwords, words, names, dates, keyboard patterns, repetitions).
//! There are no rules about kinds of characters. Owns zxcvbn.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::admin::{AdminError, refused};
use crate::ids::{Email, Secret, UserName};
use crate::limits;

/// Guesses a second at a stolen password slot that a sentence about strength reckons with: each
/// takes 64 MiB and 3 passes of Argon2id, and a rig does some hundreds.
const GUESSES_A_SECOND_LOG10: f64 = 3.0;

/// How strong a new password is, in plain words and without one of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strength(pub String);

/// Checks a new password, in the form in which it is later stretched (NFC). With `allow_weak` it
/// may be short and easy to guess. Tells how strong it is.
///
/// # Errors
/// What is wrong with it and what would be better, without a word of it.
pub(super) fn check(
    password: &Secret,
    name: &UserName,
    email: &Email,
    allow_weak: bool,
) -> Result<Strength, AdminError> {
    if password.expose().is_empty() {
        return refused("the password is empty");
    }
    if password.expose().len() > limits::PASSWORD_BYTES {
        return refused("a password has at most 1024 bytes");
    }
    let normal: Zeroizing<String> = Zeroizing::new(password.expose().nfc().collect());
    let own = [name.as_str(), email.as_str()];
    if allow_weak {
        return Ok(strength(&estimated(&normal, &own)));
    }
    let length = normal.chars().count();
    if length < limits::PASSWORD_CHARACTERS {
        return refused("a password has at least 10 characters (or pass --allow-weak)");
    }
    let lower = Zeroizing::new(normal.to_lowercase());
    let address = email.as_str().to_lowercase();
    let little_more = |own: &str| {
        lower.contains(own) && length < own.chars().count() + limits::PASSWORD_CHARACTERS
    };
    if [name.as_str(), &address].into_iter().any(little_more) {
        return refused(
            "a password may not be little more than the user's name or address (or pass --allow-weak)",
        );
    }
    check_strength(&normal, &own)
}

fn estimated(normal: &str, own: &[&str]) -> zxcvbn::Entropy {
    let start: Zeroizing<String> = Zeroizing::new(
        normal
            .chars()
            .take(limits::PASSWORD_SCORED_CHARACTERS)
            .collect(),
    );
    zxcvbn::zxcvbn(&start, own)
}

/// What is said of an estimate.
fn strength(estimate: &zxcvbn::Entropy) -> Strength {
    const WORDS: [&str; 5] = ["very weak", "weak", "fair", "strong", "very strong"];
    let word = WORDS[usize::from(u8::from(estimate.score()).min(4))];
    let log10 = estimate.guesses_log10();
    let days = 10_f64.powf(log10 - GUESSES_A_SECOND_LOG10) / 86_400.0;
    let time = match days {
        days if days < 1.0 => "less than a day".to_owned(),
        days if days < 730.0 => format!("about {days:.0} days"),
        days if days < 365_000.0 => format!("about {:.0} years", days / 365.25),
        _ => "more than a thousand years".to_owned(),
    };
    Strength(format!(
        "{word}: about 10^{log10:.0} guesses; a thief of disk and host key who tries 1,000 a second needs {time}"
    ))
}

fn check_strength(normal: &str, own: &[&str]) -> Result<Strength, AdminError> {
    let estimate = estimated(normal, own);
    let score = u8::from(estimate.score());
    if score >= limits::PASSWORD_SCORE {
        return Ok(strength(&estimate));
    }
    let mut sentence = format!(
        "the password is too easy to guess: its strength is {score} of 4, at least {} is needed.",
        limits::PASSWORD_SCORE
    );
    if let Some(feedback) = estimate.feedback() {
        let warning = feedback.warning().map(|warning| warning.to_string());
        let suggestions = feedback.suggestions().iter().map(ToString::to_string);
        for said in warning.into_iter().chain(suggestions) {
            sentence.push(' ');
            sentence.push_str(&said);
        }
    }
    sentence.push_str(" Or pass --allow-weak.");
    Err(AdminError(sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(password: &str, allow_weak: bool) -> Result<(), String> {
        let name = UserName::parse("alice.cooper").unwrap();
        let email = Email::parse("Alice.Cooper@example.org").unwrap();
        let password = Secret::new(password.to_owned());
        let checked = check(&password, &name, &email, allow_weak);
        checked.map(drop).map_err(|error| error.0)
    }

    #[test]
    fn strong_ones_are_taken() {
        for strong in [
            "correct horse battery staple",
            "tQ7#vLm2pX",
            "\u{3053}\u{3093}\u{306b}\u{3061}\u{306f}\u{4e16}\u{754c}\u{6843}\u{592a}\u{90ce}",
            "alice.cooper rides a purple zebra",
        ] {
            assert_eq!(checked(strong, false), Ok(()), "{strong}");
        }
    }

    #[test]
    fn weak_ones_are_refused_with_advice_unless_allowed() {
        for (weak, advice) in [
            ("tQ7#vLm2p", "at least 10 characters"),
            // Ten characters only while the umlaut is two.
            ("tQ7#vLm2u\u{308}", "at least 10 characters"),
            ("password1234", "strength is 1 of 4"),
            ("qwertyuiop", "top-100"),
            ("aaaaaaaaaaaaaaaaaa", "aaa"),
            ("iloveyou1992", "strength is"),
            ("alice.cooper1", "the user's name"),
            ("ALICE.COOPER@example.org1", "the user's name or address"),
            ("Summer2025", "strength is"),
        ] {
            let refused = checked(weak, false).unwrap_err();
            assert!(refused.contains(advice), "{weak}: {refused}");
            assert!(!refused.contains(weak), "{refused}");
            assert_eq!(checked(weak, true), Ok(()));
        }
        for never in ["", &"x".repeat(limits::PASSWORD_BYTES + 1)] {
            assert!(checked(never, true).is_err());
        }
    }

    #[test]
    fn strength_is_told_in_words_without_the_password() {
        let name = UserName::parse("alice.cooper").unwrap();
        let email = Email::parse("alice@example.org").unwrap();
        for (password, expected) in [
            ("password", "very weak: about 10^0 guesses"),
            ("Summer2025", "less than a day"),
            ("tQ7#vLm2pX", "10^10 guesses"),
            ("correct horse battery staple", "strong: about 10^"),
            ("vK2-pp19-zzQ-rainy-Umbrella-7", "very strong: "),
            (
                "vK2-pp19-zzQ-rainy-Umbrella-7",
                "more than a thousand years",
            ),
        ] {
            let secret = Secret::new(password.to_owned());
            let told = check(&secret, &name, &email, true).unwrap().0;
            assert!(told.contains(expected), "{password}: {told}");
            for part in password.split(['-', ' ']).filter(|part| part.len() > 3) {
                assert!(!told.contains(part), "{told}");
            }
        }
    }

    #[test]
    fn the_longest_are_estimated_soon() {
        let long = "p4ssw0rd-aA1!".repeat(78);
        let started = std::time::Instant::now();
        let _ = checked(&long, false);
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }
}
