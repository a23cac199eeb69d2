//! `Retry-After` in both of its forms.
//!
//! **Why**: a date is counted from the server's own `Date`, so its clock and ours may differ.

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use std::time::Duration;

/// How long the server asks to wait; `None` if it does not say, or says it so that nobody understands.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let now = unix_seconds(headers.get(DATE)?.to_str().ok()?)?;
    Some(Duration::from_secs(unix_seconds(value)?.saturating_sub(now)))
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that servers may still send.
fn unix_seconds(date: &str) -> Option<u64> {
    let mut words = date.trim().split([' ', ',', ':']).filter(|word| !word.is_empty());
    let _weekday = words.next()?;
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
    let (year, hours, minutes, seconds) = (number()?, number()?, number()?, number()?);
    if words.next() != Some("GMT") || !(1..=31).contains(&day) || !(1970..10_000).contains(&year) {
        return None;
    }
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        .iter()
        .position(|name| *name == month)?;
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334].get(month)?;
    let leaps = |through: u64| through / 4 - through / 100 + through / 400;
    let leap_day = u64::from(month > 1 && leaps(year) > leaps(year - 1));
    let days = (year - 1970) * 365 + leaps(year - 1) - leaps(1969) + before + leap_day + day - 1;
    Some(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn dates_are_seconds_since_1970() {
        // By `date -u -d ... +%s`.
        for (date, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Fri, 01 Mar 2024 00:00:00 GMT", 1_709_251_200),
            ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
        ] {
            assert_eq!(unix_seconds(date), Some(seconds), "{date}");
        }
        for nonsense in ["", "tomorrow", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37"] {
            assert_eq!(unix_seconds(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn both_forms_are_understood_and_nonsense_is_none() {
        let headers = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            headers.insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
            headers
        };
        assert_eq!(retry_after(&headers("7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("0.5")), Some(Duration::from_millis(500)));
        assert_eq!(retry_after(&headers("Sun, 06 Nov 1994 08:49:40 GMT")), Some(Duration::from_secs(3)));
        assert_eq!(retry_after(&headers("Sun, 06 Nov 1994 08:00:00 GMT")), Some(Duration::ZERO));
        for nonsense in ["-3", "soon", "inf", "NaN", "1e400"] {
            assert_eq!(retry_after(&headers(nonsense)), None, "{nonsense}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
