//! `CivilTime`: calendar arithmetic and the year of dates that do not state one.

use super::{DAY_S, NS, Timestamp, Zone};
use crate::Context;

/// A calendar date and time of day, as written in a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CivilTime {
    pub year: i64,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    pub nano: u32,
}

impl CivilTime {
    /// Returns the seconds since 1970 as if the time were UTC; `None` if the calendar has no such
    /// time. A leap second, 60, is the second after 59; 24:00:00 is the start of the next day.
    fn seconds(self) -> Option<i64> {
        let fits = (1..=days_in_month(self.year, self.month)).contains(&self.day)
            && (self.hour < 24 || (self.hour, self.minute, self.second) == (24, 0, 0))
            && self.minute < 60
            && self.second <= 60;
        // Check before computing, so that the arithmetic cannot overflow.
        if !fits {
            return None;
        }
        let days = days_since_1970(self.year, self.month, self.day);
        let of_day = self.hour * 3600 + self.minute * 60 + self.second;
        Some(days * DAY_S + i64::from(of_day))
    }

    /// Converts to a timestamp: with the offset if there is one, else in the zone.
    pub fn timestamp(self, offset_s: Option<i64>, zone: Zone) -> Option<Timestamp> {
        let local = self.seconds()?;
        let utc = match offset_s {
            Some(offset) => local - offset,
            None => zone.to_utc(local)?,
        };
        Some(Timestamp::from_seconds(utc, i64::from(self.nano)))
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap(year)),
        1..=12 => 31,
        _ => 0,
    }
}

fn days_since_1970(year: i64, month: u32, day: u32) -> i64 {
    // Counting years from March puts the leap day last. 400 years are 146,097 days.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let march_month = (i64::from(month) + 9) % 12;
    let of_year = (153 * march_month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn year_at(seconds: i64) -> i64 {
    let day = seconds.div_euclid(DAY_S);
    // A year has 365.2425 days on average, so the guess is off by at most one.
    let guess = 1970 + (day * 10_000).div_euclid(3_652_425);
    if days_since_1970(guess + 1, 1, 1) <= day {
        guess + 1
    } else if days_since_1970(guess, 1, 1) > day {
        guess - 1
    } else {
        guess
    }
}

/// Returns the year of a date that states none: the latest one that puts it not after receipt plus
/// one day. A log that is read months later keeps its year so, and no clock is a day ahead unnoticed.
/// February 29 gets the latest such leap year.
pub(crate) fn latest_year(date: CivilTime, context: &Context<'_>) -> i64 {
    let utc_s = context.received.0.div_euclid(NS);
    let received = context.zone.to_local(utc_s).unwrap_or(utc_s);
    let latest = received.saturating_add(DAY_S);
    let year = year_at(latest);
    // Leap years are at most eight years apart.
    let mut candidates = (year - 8..=year).rev();
    let fits = |year: &i64| {
        let seconds = CivilTime {
            year: *year,
            ..date
        }
        .seconds();
        seconds.is_some_and(|seconds| seconds <= latest)
    };
    candidates.find(fits).unwrap_or(year)
}
