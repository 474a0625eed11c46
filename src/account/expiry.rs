//! When an app password ends: a time from now, or a last day.

use super::admin::{AdminError, refused};
use crate::ambient::UnixMillis;
use crate::ical::time::Date;

const UNITS: [(char, i64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// The end that `text` names: so many days, hours, minutes or seconds from now (`90d`, `12h`), or
/// the end of a day in UTC (`2027-01-31`).
///
/// # Errors
/// It is none of these, or lies in the past.
pub(super) fn parse(text: &str, now: UnixMillis) -> Result<UnixMillis, AdminError> {
    let end = from_now(text, now).or_else(|| last_day(text));
    match end {
        Some(end) if end > now => Ok(end),
        Some(_) => refused("the app password would have ended already"),
        None => refused(
            "an app password lasts for days, hours or minutes (90d, 12h, 30m) or up to a day (2027-01-31)",
        ),
    }
}

/// The time in the past that `text` names: so many days, hours, minutes or seconds ago (`3d`, `12h`),
/// or the beginning of a day in UTC (`2026-12-24`).
///
/// # Errors
/// It is none of these.
pub(super) fn parse_past(text: &str, now: UnixMillis) -> Result<UnixMillis, AdminError> {
    let ago = from_now(text, now).map(|then| UnixMillis(2 * now.0 - then.0));
    let day = || last_day(text).map(|end| UnixMillis(end.0 - 86_400_000));
    ago.or_else(day).ok_or_else(|| {
        AdminError(
            "give a time as days, hours or minutes ago (3d, 12h, 30m) or as a day (2026-12-24)"
                .into(),
        )
    })
}

fn from_now(text: &str, now: UnixMillis) -> Option<UnixMillis> {
    let (_, seconds) = UNITS.iter().find(|(unit, _)| text.ends_with(*unit))?;
    let digits = &text[..text.len() - 1];
    let number: u32 = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())??;
    let span = i64::from(number).checked_mul(seconds * 1000)?;
    now.0.checked_add(span).map(UnixMillis)
}

fn last_day(text: &str) -> Option<UnixMillis> {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else {
        return None;
    };
    let digits =
        |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    if !(digits(year, 4) && digits(month, 2) && digits(day, 2)) {
        return None;
    }
    let date = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)?;
    Some(UnixMillis((date.days() + 1) * 86_400_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_the_past_are_read() {
        let now = UnixMillis(90_000_000);
        assert_eq!(parse_past("1d", now).unwrap().0, 3_600_000);
        assert_eq!(parse_past("1970-01-02", now).unwrap().0, 86_400_000);
        assert!(parse_past("yesterday", now).is_err());
    }

    #[test]
    fn spans_and_days_are_read_and_nothing_else() {
        let now = UnixMillis(1_000);
        for (text, expected) in [
            ("90d", 90 * 86_400_000 + 1_000),
            ("1s", 2_000),
            ("12h", 12 * 3_600_000 + 1_000),
            ("1970-01-01", 86_400_000),
            ("2027-01-31", 1_801_440_000_000),
        ] {
            assert_eq!(parse(text, now).unwrap().0, expected, "{text}");
        }
        for text in [
            "",
            "d",
            "0d",
            "-1d",
            "+1d",
            "1w",
            "1.5d",
            "4294967296d",
            "2027-02-29",
            "27-01-31",
            "2027-1-31",
            "1969-12-31",
            "2027-01-31-01",
            "\u{e9}d",
        ] {
            assert!(parse(text, now).is_err(), "{text}");
        }
    }
}
