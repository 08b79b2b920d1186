//! Reads event times: zones, years that are not written, stamps in text and numbers, and what is no
//! credible time.

use chrono::{DateTime, Days, FixedOffset, LocalResult, NaiveDateTime, Offset, TimeZone};
use weir_schema::{EventTime, Problem};

use crate::Context;

const NS: i64 = 1_000_000_000;
const DAY_S: i64 = 86_400;

/// The time zone in which times without an offset are read.
///
/// A local time that stands twice (clocks went back) is its first occurrence. A local time that
/// never was (clocks went forward) is read with the offset from before the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(chrono_tz::Tz);

impl Zone {
    pub const UTC: Self = Self(chrono_tz::Tz::UTC);

    /// Reads an IANA name, such as `Europe/Berlin`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok().map(Self)
    }

    fn to_utc(self, local_s: i64) -> Option<i64> {
        if self == Self::UTC {
            return Some(local_s);
        }
        let local = naive(local_s)?;
        let offset = match self.0.offset_from_local_datetime(&local) {
            LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => offset,
            LocalResult::None => {
                let before = local.checked_sub_days(Days::new(1))?;
                self.0.offset_from_utc_datetime(&before)
            }
        };
        Some(local_s - i64::from(offset.fix().local_minus_utc()))
    }

    fn to_local(self, utc_s: i64) -> Option<i64> {
        if self == Self::UTC {
            return Some(utc_s);
        }
        let offset = self.0.offset_from_utc_datetime(&naive(utc_s)?);
        Some(utc_s + i64::from(offset.fix().local_minus_utc()))
    }
}

fn naive(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc())
}

/// A time that was read; whether it is credible is another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    At(i64),
    Absurd,
}

impl Stamp {
    pub fn of_ns(ns: i64) -> Self {
        Self::of(ns.div_euclid(NS), ns.rem_euclid(NS))
    }

    fn of(seconds: i64, nano: i64) -> Self {
        // 1970-01-01 up to the last second of 2261.
        const END_S: i64 = 9_214_646_400;
        if (0..END_S).contains(&seconds) {
            Self::At(seconds * NS + nano.clamp(0, NS - 1))
        } else {
            Self::Absurd
        }
    }
}

/// The event's time: what was read, or receipt with the problem that says why.
pub(crate) fn settle(
    read: Option<Stamp>,
    context: &Context<'_>,
    problems: &mut Vec<Problem>,
) -> EventTime {
    let received = context.received;
    match read {
        Some(Stamp::At(ns)) => {
            if ns > received.plus(context.future_tolerance).0 {
                problems.push(Problem::TimeInFuture);
            }
            EventTime(ns)
        }
        Some(Stamp::Absurd) => {
            problems.push(Problem::TimeAbsurd);
            EventTime(received.0)
        }
        None => {
            problems.push(Problem::TimeMissing);
            EventTime(received.0)
        }
    }
}

/// A date and time of day as written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Civil {
    pub year: i64,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    pub nano: u32,
}

impl Civil {
    /// Seconds since 1970 of this date and time, as if in UTC; `None` where the calendar has no
    /// such time.
    fn seconds(self) -> Option<i64> {
        let fits = (1..=month_days(self.year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60;
        if !fits {
            return None; // Before anything is computed with it.
        }
        let days = days_since_1970(self.year, self.month, self.day);
        let of_day = self.hour * 3600 + self.minute * 60 + self.second;
        Some(days * DAY_S + i64::from(of_day))
    }

    /// The instant, with the offset if there is one, else in the zone.
    pub fn stamp(self, offset_s: Option<i64>, zone: Zone) -> Option<Stamp> {
        let local = self.seconds()?;
        let utc = match offset_s {
            Some(offset) => local - offset,
            None => zone.to_utc(local)?,
        };
        Some(Stamp::of(utc, i64::from(self.nano)))
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_days(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(is_leap(year)),
        1..=12 => 31,
        _ => 0,
    }
}

fn days_since_1970(year: i64, month: u32, day: u32) -> i64 {
    // Years that begin in March put the leap day last; 146,097 days are 400 years.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let march_month = (i64::from(month) + 9) % 12;
    let of_year = (153 * march_month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn year_of(seconds: i64) -> i64 {
    let day = seconds.div_euclid(DAY_S);
    // 365.2425 days a year: the guess is off by one at most.
    let guess = 1970 + (day * 10_000).div_euclid(3_652_425);
    if days_since_1970(guess + 1, 1, 1) <= day {
        guess + 1
    } else if days_since_1970(guess, 1, 1) > day {
        guess - 1
    } else {
        guess
    }
}

/// The year nearest to receipt in which the written date exists: Feb 29 finds the nearest leap
/// year. A tie takes the earlier.
pub(crate) fn nearest_year(written: Civil, context: &Context<'_>) -> i64 {
    let utc_s = context.received.0.div_euclid(NS);
    let received = context.zone.to_local(utc_s).unwrap_or(utc_s);
    let year = year_of(received);
    // Leap years are at most eight years apart.
    let reach = if (written.month, written.day) == (2, 29) {
        8
    } else {
        1
    };
    let near = (year - reach..=year + reach).filter_map(|year| {
        let seconds = Civil { year, ..written }.seconds()?;
        Some((seconds.abs_diff(received), year))
    });
    near.min().map_or(year, |(_, year)| year)
}

/// The instant of a time that the syslog reader gave: `has_offset` says whether it was written with
/// one.
pub(crate) fn of_syslog(
    time: DateTime<FixedOffset>,
    has_offset: bool,
    zone: Zone,
) -> Option<Stamp> {
    let nano = i64::from(time.timestamp_subsec_nanos());
    // A leap second is no instant of ours, and RFC 5424 forbids it.
    if nano >= NS {
        return None;
    }
    let seconds = if has_offset {
        time.timestamp()
    } else {
        // The reader was told UTC, so its UTC is the local time as written.
        let local = time.timestamp();
        match Stamp::of(local, 0) {
            Stamp::At(_) => zone.to_utc(local)?,
            Stamp::Absurd => local,
        }
    };
    Some(Stamp::of(seconds, nano))
}

/// A cursor over the digits and marks of a stamp.
pub(crate) struct Cursor<'a>(pub &'a [u8]);

impl Cursor<'_> {
    pub fn digits(&mut self, count: usize) -> Option<u32> {
        let (head, tail) = self.0.split_at_checked(count)?;
        let mut number = 0u32;
        for byte in head {
            if !byte.is_ascii_digit() {
                return None;
            }
            number = number
                .checked_mul(10)?
                .checked_add(u32::from(byte - b'0'))?;
        }
        self.0 = tail;
        Some(number)
    }

    pub fn one_of(&mut self, marks: &[u8]) -> Option<u8> {
        let (first, tail) = self.0.split_first()?;
        marks.contains(first).then(|| {
            self.0 = tail;
            *first
        })
    }

    /// The digits of a fraction, as nanoseconds; those beyond the ninth are dropped.
    pub fn nanos(&mut self) -> u32 {
        let (mut nano, mut unit) = (0, 100_000_000);
        while let Some((digit, tail)) = self.0.split_first().filter(|(b, _)| b.is_ascii_digit()) {
            nano += u32::from(digit - b'0') * unit;
            unit /= 10;
            self.0 = tail;
        }
        nano
    }

    /// `YYYY-MM-DD HH:MM:SS[.f]`
    fn date_and_time(&mut self) -> Option<Civil> {
        let year = i64::from(self.digits(4)?);
        self.one_of(b"-/")?;
        let month = self.digits(2)?;
        self.one_of(b"-/")?;
        let day = self.digits(2)?;
        self.one_of(b"Tt ")?;
        self.time_of(year, month, day)
    }

    /// `10/Oct/2000:13:55:36[.f]` or `10-Oct-2000 13:55:36[.f]`; the day may have one digit.
    pub fn day_month_year(&mut self) -> Option<Civil> {
        let day = self.digits(2).or_else(|| self.digits(1))?;
        self.one_of(b"/-")?;
        let month = month(self.0.get(..3)?)?;
        self.0 = self.0.get(3..)?;
        self.one_of(b"/-")?;
        let year = i64::from(self.digits(4)?);
        self.one_of(b": ")?;
        self.time_of(year, month, day)
    }

    /// `HH:MM:SS[.f]` of this day.
    pub fn time_of(&mut self, year: i64, month: u32, day: u32) -> Option<Civil> {
        let hour = self.digits(2)?;
        self.one_of(b":")?;
        let minute = self.digits(2)?;
        self.one_of(b":")?;
        let second = self.digits(2)?;
        let nano = match self.one_of(b".,") {
            Some(_) => self.nanos(),
            None => 0,
        };
        Some(Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            nano,
        })
    }

    /// `Z`, `UTC`, `+hh:mm`, `+hhmm` or `+hh`, in seconds east.
    pub fn offset(&mut self) -> Option<i64> {
        if let Some(tail) = self.0.strip_prefix(b"UTC") {
            self.0 = tail;
            return Some(0);
        }
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hours = self.digits(2)?;
        let _ = self.one_of(b":");
        let minutes = if !self.0.first().is_some_and(u8::is_ascii_digit) {
            0
        } else {
            self.digits(2)?
        };
        (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
    }
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.f][offset]`, with a space for the `T` and `/` for `-` too.
pub(crate) fn iso(text: &str, zone: Zone) -> Option<Stamp> {
    let mut at = Cursor(text.trim_ascii().as_bytes());
    let civil = at.date_and_time()?;
    let _ = at.one_of(b" ");
    let offset = if at.0.is_empty() {
        None
    } else {
        Some(at.offset()?)
    };
    if at.0.is_empty() {
        civil.stamp(offset, zone)
    } else {
        None
    }
}

/// Reads such a time if it says how far it is from UTC.
pub(crate) fn iso_with_offset(text: &str) -> Option<Stamp> {
    let mut at = Cursor(text.trim_ascii().as_bytes());
    let civil = at.date_and_time()?;
    let _ = at.one_of(b" ");
    let offset = at.offset()?;
    at.0.is_empty()
        .then(|| civil.stamp(Some(offset), Zone::UTC))?
}

/// Reads such a time at the start of a line, and gives what follows the space after it.
pub(crate) fn iso_start(line: &str, zone: Zone) -> Option<(Stamp, &str)> {
    let mut at = Cursor(line.as_bytes());
    let civil = at.date_and_time()?;
    let offset = if at.0.starts_with(b" ") {
        None
    } else {
        Some(at.offset()?)
    };
    at.one_of(b" ")?;
    let rest = line.get(line.len() - at.0.len()..)?;
    Some((civil.stamp(offset, zone)?, rest.trim_ascii_start()))
}

/// The number, 1 to 12, of an English month's first three letters.
pub(crate) fn month(name: &[u8]) -> Option<u32> {
    const NAMES: [&[u8; 3]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    let at = NAMES
        .iter()
        .position(|month| name.eq_ignore_ascii_case(*month))?;
    u32::try_from(at + 1).ok()
}

/// Reads a number since 1970: seconds below 1e11, milliseconds below 1e14, microseconds below 1e17,
/// else nanoseconds.
pub(crate) fn epoch(text: &str) -> Option<Stamp> {
    let text = text.trim_ascii();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if let Some(digits) = whole.strip_prefix('-') {
        return (fits(digits) && !digits.is_empty()).then_some(Stamp::Absurd);
    }
    if whole.is_empty() || !fits(whole) || !fits(fraction) {
        return exponent(text);
    }
    let Ok(number) = whole.parse::<i64>() else {
        return Some(Stamp::Absurd);
    };
    let nano = i64::from(Cursor(fraction.as_bytes()).nanos());
    let unit = if number < 100_000_000_000 {
        NS
    } else if number < 100_000_000_000_000 {
        1_000_000
    } else if number < 100_000_000_000_000_000 {
        1_000
    } else {
        1
    };
    let per_second = NS / unit;
    let rest = (number % per_second) * unit + nano / per_second;
    Some(Stamp::of(number / per_second, rest))
}

/// A number with an exponent, which only a float writes: exact to a float's precision.
fn exponent(text: &str) -> Option<Stamp> {
    let looks = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b".eE+".contains(&b));
    let number = text.parse::<f64>().ok().filter(|_| looks)?;
    if number.is_finite() && number < 9.3e18 {
        epoch(&format!("{number:.9}"))
    } else {
        Some(Stamp::Absurd)
    }
}
