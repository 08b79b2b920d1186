//! Formats instants as RFC 3339 text.

use weir_schema::EventTime;

/// Formats an instant in UTC with nine decimals: `2026-08-01T12:00:00.000000001Z`.
///
/// It cannot fail: an `i64` of nanoseconds covers the years 1677 to 2262.
#[must_use]
pub fn rfc3339(time: EventTime) -> String {
    let seconds = time.0.div_euclid(1_000_000_000);
    let nanos = time.0.rem_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// Returns year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Internally a year starts in March, which makes the leap day its last day.
fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_OF_ERA: i64 = 146_097; // 400 years
    let days = days + 719_468; // counted from 0000-03-01
    let (era, day) = (days.div_euclid(DAYS_OF_ERA), days.rem_euclid(DAYS_OF_ERA));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // 0 is March
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_instants_at_calendar_boundaries() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z"),
            (4_107_542_399_000_000_001, "2100-02-28T23:59:59.000000001Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
            (1_709_251_199_500_000_000, "2024-02-29T23:59:59.500000000Z"),
            (1_735_689_600_000_000_000, "2025-01-01T00:00:00.000000000Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        ] {
            assert_eq!(rfc3339(EventTime(nanos)), text, "{nanos}");
        }
    }

    #[test]
    fn text_order_is_time_order() {
        let day = 86_400 * 1_000_000_000;
        let days = (i64::MIN / day)..(i64::MAX / day);
        let texts: Vec<_> = days.map(|n| rfc3339(EventTime(n * day))).collect();
        assert!(texts.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
