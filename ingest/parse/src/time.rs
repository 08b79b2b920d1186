//! Event times: reads times from text and numbers, and replaces those that are not credible.

mod civil;
pub(crate) mod clock;
mod cursor;
mod months;
mod zone;

use chrono::{DateTime, SecondsFormat};
use weir_schema::{EventTime, Problem, Value};

use crate::Context;

pub(crate) use civil::{CivilTime, latest_year};
pub(crate) use cursor::{TimeCursor, month};
pub use zone::Zone;

const NS: i64 = 1_000_000_000;
const DAY_S: i64 = 86_400;

/// A time read from a frame. [`event_time`] decides whether the event takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timestamp {
    /// Nanoseconds since 1970.
    At(i64),
    /// A time before 1970 or after 2261.
    Absurd,
}

impl Timestamp {
    pub fn from_ns(ns: i64) -> Self {
        Self::from_seconds(ns.div_euclid(NS), ns.rem_euclid(NS))
    }

    fn from_seconds(seconds: i64, nano: i64) -> Self {
        // 1970-01-01 up to the last second of 2261.
        const END_S: i64 = 9_214_646_400;
        if (0..END_S).contains(&seconds) {
            Self::At(seconds * NS + nano.clamp(0, NS - 1))
        } else {
            Self::Absurd
        }
    }
}

/// 2000-01-01T00:00:00Z. Clocks that are not set show times before it, and no log that is worth a rule
/// is older.
const CREDIBLE_NS: i64 = 946_684_800 * NS;

/// The time of an event, and the stated one if it is another.
pub(crate) struct JudgedTime {
    pub time: EventTime,
    /// The time that the frame states, if the event does not take it.
    pub stated: Option<EventTime>,
}

/// Returns the time read from the frame if it is credible, else the receive time, with a problem.
pub(crate) fn event_time(
    timestamp: Option<Timestamp>,
    context: &Context<'_>,
    problems: &mut Vec<Problem>,
) -> JudgedTime {
    let received = context.received;
    let latest = received.plus(context.future_tolerance).0;
    let (stated, problem) = match timestamp {
        Some(Timestamp::At(ns)) if ns < CREDIBLE_NS => (Some(ns), Problem::TimeAbsurd),
        Some(Timestamp::At(ns)) if ns > latest => (Some(ns), Problem::TimeInFuture),
        Some(Timestamp::At(ns)) => {
            return JudgedTime {
                time: EventTime(ns),
                stated: None,
            };
        }
        Some(Timestamp::Absurd) => (None, Problem::TimeAbsurd),
        None => (None, Problem::TimeMissing),
    };
    problems.push(problem);
    JudgedTime {
        time: EventTime(received.0),
        stated: stated.map(EventTime),
    }
}

/// A time in RFC 3339, in nanoseconds and UTC.
pub(crate) fn text(time: EventTime) -> String {
    let time = DateTime::from_timestamp_nanos(time.0);
    time.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.f][offset]`; `T` may be a space, and `-` may be `/`.
pub(crate) fn iso(text: &str, zone: Zone) -> Option<Timestamp> {
    let mut at = TimeCursor(text.trim_ascii().as_bytes());
    let civil = at.date_and_time()?;
    let _ = at.one_of(b" ");
    let offset = if at.0.is_empty() {
        None
    } else {
        Some(at.offset()?)
    };
    if at.0.is_empty() {
        civil.timestamp(offset, zone)
    } else {
        None
    }
}

/// Reads a time as [`iso`] does. An offset that is written elsewhere takes the place of the zone.
pub(crate) fn iso_with(text: &str, offset_s: Option<i64>, zone: Zone) -> Option<Timestamp> {
    let mut at = TimeCursor(text.trim_ascii().as_bytes());
    let civil = at.date_and_time()?;
    if at.0.is_empty() {
        civil.timestamp(offset_s, zone)
    } else {
        iso(text, zone)
    }
}

/// Reads a time as [`iso`] does, but only with an offset.
pub(crate) fn iso_with_offset(text: &str) -> Option<Timestamp> {
    let mut at = TimeCursor(text.trim_ascii().as_bytes());
    let civil = at.date_and_time()?;
    let _ = at.one_of(b" ");
    let offset = at.offset()?;
    at.0.is_empty()
        .then(|| civil.timestamp(Some(offset), Zone::UTC))?
}

/// Reads a time as [`iso`] does at the start of a line. Returns it and the rest of the line.
pub(crate) fn iso_start(line: &str, zone: Zone) -> Option<(Timestamp, &str)> {
    let mut at = TimeCursor(line.as_bytes());
    let civil = at.date_and_time()?;
    let offset = if at.0.starts_with(b" ") {
        None
    } else {
        Some(at.offset()?)
    };
    at.one_of(b" ")?;
    let rest = line.get(line.len() - at.0.len()..)?;
    Some((civil.timestamp(offset, zone)?, rest.trim_ascii_start()))
}

/// Reads the time in a field: a text, or a number since 1970.
pub(crate) fn from_value(value: &Value<'_>, zone: Zone) -> Option<Timestamp> {
    match value {
        Value::Int(number) => epoch(&number.to_string()),
        Value::Number(text) => epoch(text),
        Value::Text(text) => iso(text, zone)
            .or_else(|| epoch(text))
            .or_else(|| american(text, zone)),
        Value::Null | Value::Bool(_) | Value::List(_) => None,
    }
}

/// Reads `3/24/2022 2:42:35 PM`, as some Azure services write times.
pub(crate) fn american(text: &str, zone: Zone) -> Option<Timestamp> {
    let (date, rest) = text.trim_ascii().split_once(' ')?;
    let (clock, half) = rest.split_once(' ')?;
    let mut date = date.split('/').map(|part| part.parse::<u32>().ok());
    let (month, day, year) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.split(':').map(|part| part.parse::<u32>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let hour = match half {
        "AM" => hour % 12,
        "PM" => hour % 12 + 12,
        _ => return None,
    };
    let civil = CivilTime {
        year: i64::from(year),
        month,
        day,
        hour,
        minute,
        second,
        nano: 0,
    };
    (1970..=2261)
        .contains(&year)
        .then(|| civil.timestamp(None, zone))?
}

/// Reads a number since 1970: seconds below 1e11, milliseconds below 1e14, microseconds below 1e17,
/// else nanoseconds.
pub(crate) fn epoch(text: &str) -> Option<Timestamp> {
    let text = text.trim_ascii();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if let Some(digits) = whole.strip_prefix('-') {
        return (fits(digits) && !digits.is_empty()).then_some(Timestamp::Absurd);
    }
    if whole.is_empty() || !fits(whole) || !fits(fraction) {
        return exponent(text);
    }
    let Ok(number) = whole.parse::<i64>() else {
        return Some(Timestamp::Absurd);
    };
    let nano = i64::from(TimeCursor(fraction.as_bytes()).nanos());
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
    let nano = (number % per_second) * unit + nano / per_second;
    Some(Timestamp::from_seconds(number / per_second, nano))
}

/// Reads a number with an exponent. Only floats are written so; the result has their precision.
fn exponent(text: &str) -> Option<Timestamp> {
    let is_number = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b".eE+".contains(&b));
    let number = text.parse::<f64>().ok().filter(|_| is_number)?;
    if number.is_finite() && number < 9.3e18 {
        epoch(&format!("{number:.9}"))
    } else {
        Some(Timestamp::Absurd)
    }
}
