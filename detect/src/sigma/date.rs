//! Date parts for the time modifiers, read from text such as `2024-05-01T07:30:00Z`.

/// The part of a date that a time modifier compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatePart {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl DatePart {
    /// The values that the part can have.
    pub(crate) fn range(self) -> std::ops::RangeInclusive<i64> {
        match self {
            Self::Minute => 0..=59,
            Self::Hour => 0..=23,
            Self::Day => 1..=31,
            Self::Week => 1..=53,
            Self::Month => 1..=12,
            Self::Year => 0..=9999,
        }
    }

    /// Reads the part from `YYYY-MM-DD`, optionally followed by ` ` or `T` and `HH:MM`.
    ///
    /// Time zones are not converted. `None` if the text is not a date or lacks the part.
    pub(crate) fn parse(self, text: &str) -> Option<i64> {
        let bytes = text.trim().as_bytes();
        let (year, month, day) = (
            number(bytes, 0, 4)?,
            number(bytes, 5, 2)?,
            number(bytes, 8, 2)?,
        );
        let marks = bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-');
        if !marks || !(1..=12).contains(&month) || !(1..=month_days(year, month)).contains(&day) {
            return None;
        }
        let clock = || -> Option<(i64, i64)> {
            let marks = matches!(bytes.get(10), Some(b'T' | b't' | b' '))
                && bytes.get(13) == Some(&b':')
                && !bytes.get(16).is_some_and(u8::is_ascii_digit);
            let (hour, minute) = (number(bytes, 11, 2)?, number(bytes, 14, 2)?);
            (marks && hour < 24 && minute < 60).then_some((hour, minute))
        };
        if bytes.len() > 10 {
            clock()?;
        }
        match self {
            Self::Minute => clock().map(|(_, minute)| minute),
            Self::Hour => clock().map(|(hour, _)| hour),
            Self::Day => Some(day),
            Self::Week => Some(week(year, month, day)),
            Self::Month => Some(month),
            Self::Year => Some(year),
        }
    }
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<i64> {
    let digits = bytes.get(at..at + length)?;
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31, // The caller has checked that it is a month.
    }
}

/// The weekday of 1 January, from 0 for Monday.
fn first_weekday(year: i64) -> i64 {
    let before = year - 1;
    (before + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400)).rem_euclid(7)
}

/// The ISO 8601 week. Week 1 contains the year's first Thursday.
fn week(year: i64, month: i64, day: i64) -> i64 {
    let ordinal = (1..month).map(|m| month_days(year, m)).sum::<i64>() + day;
    let weekday = (first_weekday(year) + ordinal - 1).rem_euclid(7) + 1;
    match (ordinal - weekday + 10) / 7 {
        0 => weeks(year - 1),
        53 if weeks(year) == 52 => 1,
        week => week,
    }
}

fn weeks(year: i64) -> i64 {
    // A year has 53 weeks if it starts on a Thursday, or on a Wednesday in a leap year.
    match first_weekday(year) {
        3 => 53,
        2 if is_leap(year) => 53,
        _ => 52,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_the_parts_of_a_date() {
        use DatePart::{Day, Hour, Minute, Month, Week, Year};
        for (text, part, expected) in [
            ("2024-05-01T07:30:00Z", Hour, Some(7)),
            ("2024-05-01T07:30:00+02:00", Hour, Some(7)),
            ("2024-05-01 07:30:00.123", Minute, Some(30)),
            ("2024-05-01T07:30", Day, Some(1)),
            ("2024-05-01", Month, Some(5)),
            ("2024-05-01", Year, Some(2024)),
            ("2024-05-01", Hour, None),
            ("2024-02-29", Day, Some(29)),
            ("2023-02-29", Day, None),
            ("2024-13-01", Month, None),
            ("2024-05-01T24:00", Hour, None),
            ("2024-05-01x", Day, None),
            ("1714548600", Hour, None),
            ("ä024-05-01", Year, None),
            ("", Year, None),
            // Examples from ISO 8601 and its commentaries.
            ("2005-01-01", Week, Some(53)),
            ("2005-01-03", Week, Some(1)),
            ("2008-12-28", Week, Some(52)),
            ("2008-12-29", Week, Some(1)),
            ("2010-01-03", Week, Some(53)),
            ("2020-12-31", Week, Some(53)),
            ("2024-12-30", Week, Some(1)),
            ("0000-01-01", Week, Some(52)),
        ] {
            assert_eq!(part.parse(text), expected, "{part:?} of {text:?}");
        }
    }
}
