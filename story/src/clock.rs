//! The times in a story: parses and formats them, relative to a fixed day.

use weir_schema::EventTime;

/// Midnight at which every story begins: 2026-01-01T00:00:00Z.
pub const STORY_START: EventTime = EventTime(1_767_225_600_000_000_000);

/// Longest duration of a story in days. It keeps all times far from the limits of the clock.
pub const STORY_DAYS_MAX: i64 = 365;

const SECOND_NS: i64 = 1_000_000_000;
const DAY_S: i64 = 86_400;

/// Reads `[D+n ]HH:MM:SS[.fraction]` at the start of `words`. Returns the time and the number of words
/// that it takes.
#[must_use]
pub fn read_time(words: &[&str]) -> Option<(EventTime, usize)> {
    let first = *words.first()?;
    let Some(days) = first.strip_prefix("D+") else {
        return Some((time_of_day(0, first)?, 1));
    };
    if days.is_empty() || days.len() > 3 || !days.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let days: i64 = days.parse().ok()?;
    (days <= STORY_DAYS_MAX).then_some(())?;
    Some((time_of_day(days, words.get(1)?)?, 2))
}

fn time_of_day(days: i64, text: &str) -> Option<EventTime> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, nanoseconds(fraction)?),
        None => (text, 0),
    };
    let mut parts = whole.split(':');
    let hours = two_digits(parts.next()?, 23)?;
    let minutes = two_digits(parts.next()?, 59)?;
    let seconds = two_digits(parts.next()?, 59)?;
    if parts.next().is_some() {
        return None;
    }
    let seconds = days * DAY_S + hours * 3600 + minutes * 60 + seconds;
    Some(EventTime(STORY_START.0 + seconds * SECOND_NS + fraction))
}

fn two_digits(text: &str, max: i64) -> Option<i64> {
    let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    let value = digits.then(|| text.parse::<i64>().ok())??;
    (value <= max).then_some(value)
}

fn nanoseconds(fraction: &str) -> Option<i64> {
    let digits = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| format!("{fraction:0<9}").parse().ok())?
}

/// Formats a time as stories write it.
#[must_use]
pub fn format_time(time: EventTime) -> String {
    let since = time.0.saturating_sub(STORY_START.0);
    let (seconds, fraction) = (since.div_euclid(SECOND_NS), since.rem_euclid(SECOND_NS));
    let (days, second) = (seconds.div_euclid(DAY_S), seconds.rem_euclid(DAY_S));
    let day = if days == 0 {
        String::new()
    } else {
        format!("D+{days} ")
    };
    let clock = clock(second);
    format!("{day}{clock}{}", format_fraction(fraction))
}

/// Formats a time by RFC 3339, in UTC.
#[must_use]
pub fn rfc3339(time: EventTime) -> String {
    let (seconds, fraction) = (time.0.div_euclid(SECOND_NS), time.0.rem_euclid(SECOND_NS));
    let (year, month, day) = civil(seconds.div_euclid(DAY_S));
    let clock = clock(seconds.rem_euclid(DAY_S));
    format!(
        "{year:04}-{month:02}-{day:02}T{clock}{}Z",
        format_fraction(fraction)
    )
}

fn clock(second: i64) -> String {
    let (hours, minutes) = (second / 3600, second / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}", second % 60)
}

fn format_fraction(fraction: i64) -> String {
    if fraction == 0 {
        return String::new();
    }
    format!(".{fraction:09}").trim_end_matches('0').to_owned()
}

/// Year, month and day of a day counted from 1970-01-01 (H. Hinnant, "chrono-compatible low-level
/// date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, written) in [
            ("09:00:00", "2026-01-01T09:00:00Z"),
            ("23:59:59.000000001", "2026-01-01T23:59:59.000000001Z"),
            ("D+1 00:00:00.5", "2026-01-02T00:00:00.5Z"),
            ("D+59 12:00:00", "2026-03-01T12:00:00Z"),
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            let (time, taken) = read_time(&words).unwrap();
            assert_eq!((taken, format_time(time).as_str()), (words.len(), text));
            assert_eq!(rfc3339(time), written);
        }
        for bad in [
            "9:00:00",
            "24:00:00",
            "09:60:00",
            "09:00",
            "09:00:00.",
            "09:00:00.1234567890",
            "09:00:00:00",
            "+9:00:00",
            "D+ 09:00:00",
            "D+366 09:00:00",
            "D+1",
        ] {
            let words: Vec<&str> = bad.split(' ').collect();
            assert_eq!(read_time(&words), None, "{bad}");
        }
    }
}
