//! Times at the start of a header, in the forms that daemons and devices write.
//!
//! | form | writer |
//! |---|---|
//! | `Nov 20 10:00:00[.f]`, also with a year on either side of the time | RFC 3164, Cisco |
//! | `2026-11-20T10:00:00[.f][offset]`, also with a space or a comma | RFC 5424, many files |
//! | `2026 Nov 20 10:00:00`, `20 Nov 2026 10:00:00` | NX-OS, mail |
//! | `Fri Nov 20 10:00:00 2026` | `ctime`, OpenWrt |
//! | `2026:11:20-10:00:00`, `11/20/2026:10:00:00` | Sophos UTM, Citrix ADC |
//!
//! The names of months may be those of other languages. `*` marks a clock that is not set, `.` one that is not synchronized. A zone may follow.

use super::{CivilTime, TimeCursor, Timestamp, latest_year, month, months};
use crate::Context;

/// A time, and the text after it.
pub(crate) struct ClockReading<'a> {
    pub time: Timestamp,
    /// Whether an offset or a zone with one is written.
    pub has_offset: bool,
    pub rest: &'a str,
}

/// Reads a time at the start of the text, its zone, and the punctuation after it.
pub(crate) fn start<'a>(text: &'a str, context: &Context<'_>) -> Option<ClockReading<'a>> {
    let marked = text.trim_start_matches(['*', '.']);
    let mut at = TimeCursor(marked.as_bytes());
    let mut parts = match *at.0.first()? {
        b'0'..=b'9' => starting_with_digit(&mut at)?,
        byte if byte.is_ascii_alphabetic() => starting_with_letter(&mut at)?,
        _ => return None,
    };
    let mut rest = text.get(text.len() - at.0.len()..)?;
    if parts.offset_s.is_none() {
        (parts.offset_s, rest) = zone(rest);
    }
    if parts.civil.year == 0 {
        match year_after(rest) {
            Some((year, after)) => (parts.civil.year, rest) = (year, after),
            None => parts.civil.year = latest_year(parts.civil, context),
        }
    }
    let time = parts.civil.timestamp(parts.offset_s, context.zone)?;
    Some(ClockReading {
        time,
        has_offset: parts.offset_s.is_some(),
        rest: after_clock(rest)?,
    })
}

/// Returns whether a text starts with the name of a month.
pub(crate) fn starts_with_month(text: &str) -> bool {
    let is_letter = text.starts_with(|c: char| c.is_ascii_alphabetic());
    is_letter && months::start(text.as_bytes()).is_some()
}

/// Reads a text that is a time and nothing else.
pub(crate) fn stated_time(text: &str, context: &Context<'_>) -> Option<StatedTime> {
    let text = text.trim_ascii();
    if let Some(clock) = start(text, context) {
        let has_offset = clock.has_offset;
        return clock.rest.is_empty().then_some(StatedTime {
            time: clock.time,
            has_offset,
        });
    }
    // Seconds or finer since 1970; shorter numbers are durations or counters.
    let digits = text.split('.').next().unwrap_or(text);
    let is_number = digits.len() >= 10 && digits.bytes().all(|b| b.is_ascii_digit());
    Some(StatedTime {
        time: is_number.then(|| super::epoch(text))??,
        has_offset: true,
    })
}

/// A time among the pairs of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatedTime {
    pub time: Timestamp,
    /// Whether the text says the offset or zone itself.
    pub has_offset: bool,
}

struct Parts {
    /// The year is 0 if none is written.
    civil: CivilTime,
    offset_s: Option<i64>,
}

const fn without_offset(civil: CivilTime) -> Parts {
    Parts {
        civil,
        offset_s: None,
    }
}

/// Removes the punctuation between a time and what follows: spaces, with a colon or comma. Other
/// text directly behind the time means that it is none.
fn after_clock(rest: &str) -> Option<&str> {
    let after = rest.trim_start_matches(' ');
    let spaces = rest.len() - after.len();
    match after.as_bytes() {
        [] | [b':' | b','] => Some(""),
        [b':' | b',', b' ' | b'%', ..] => Some(after.get(1..)?.trim_start_matches(' ')),
        _ => (spaces > 0).then_some(after),
    }
}

fn starting_with_letter(at: &mut TimeCursor<'_>) -> Option<Parts> {
    if let Some(civil) = month_day(at) {
        return Some(without_offset(civil));
    }
    const WEEKDAYS: [&[u8; 3]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];
    let name = at.0.get(..3)?;
    WEEKDAYS
        .iter()
        .find(|day| name.eq_ignore_ascii_case(**day))?;
    at.0 = at.0.get(3..)?;
    let _ = at.one_of(b",");
    spaces(at)?;
    match at.0.first()? {
        b'0'..=b'9' => starting_with_digit(at),
        _ => month_day(at).map(without_offset),
    }
}

/// Reads `Nov 20 [2026] 10:00:00[.f]`. Moves the cursor only on success.
fn month_day(at: &mut TimeCursor<'_>) -> Option<CivilTime> {
    let (month, rest) = months::start(at.0)?;
    let mut next = TimeCursor(rest);
    spaces(&mut next)?;
    let day = day(&mut next)?;
    spaces(&mut next)?;
    let year = match next.0.get(4) {
        Some(b' ') => {
            let year = year(&mut next)?;
            spaces(&mut next)?;
            year
        }
        _ => 0,
    };
    let civil = next.time_of_day(year, month, day)?;
    at.0 = next.0;
    Some(civil)
}

fn starting_with_digit(at: &mut TimeCursor<'_>) -> Option<Parts> {
    match (at.0.get(4)?, at.0.get(2)?) {
        (b'-' | b':', _) => iso(at),
        (b'/', b'0'..=b'9') => iso(at),
        (b' ', _) => year_first(at),
        (_, b'/') => slashed(at),
        _ => day_first(at),
    }
}

/// Reads `2026-11-20T10:00:00[.f][offset]`, or `2026:11:20-10:00:00`.
fn iso(at: &mut TimeCursor<'_>) -> Option<Parts> {
    let year = year(at)?;
    let first = at.one_of(b"-/:")?;
    let month = at.digits(2)?;
    at.one_of(&[first])?;
    let day = at.digits(2)?;
    at.one_of(if first == b':' { b"-" } else { b"Tt " })?;
    let civil = at.time_of_day(year, month, day)?;
    let offset_s = match at.0.first() {
        Some(b'Z' | b'z' | b'+' | b'-') => Some(at.offset()?),
        Some(b' ') => spaced_offset(at),
        _ => None,
    };
    Some(Parts { civil, offset_s })
}

/// Reads an offset that a space separates from its time, such as ` -07:00`.
fn spaced_offset(at: &mut TimeCursor<'_>) -> Option<i64> {
    let mut next = TimeCursor(at.0.get(1..)?);
    if !matches!(next.0, [b'+' | b'-', b'0'..=b'9', b'0'..=b'9', ..]) {
        return None;
    }
    let offset_s = next.offset()?;
    at.0 = next.0;
    Some(offset_s)
}

/// Reads `2026 Nov 20 10:00:00`.
fn year_first(at: &mut TimeCursor<'_>) -> Option<Parts> {
    let year = year(at)?;
    spaces(at)?;
    let civil = month_day(at).filter(|civil| civil.year == 0)?;
    Some(without_offset(CivilTime { year, ..civil }))
}

/// Reads `20 Nov [2026] 10:00:00`.
fn day_first(at: &mut TimeCursor<'_>) -> Option<Parts> {
    let day = day(at)?;
    spaces(at)?;
    let month = month(at.0.get(..3)?)?;
    at.0 = at.0.get(3..)?;
    spaces(at)?;
    let year = match at.0.get(4) {
        Some(b' ') => {
            let year = year(at)?;
            spaces(at)?;
            year
        }
        _ => 0,
    };
    let civil = at.time_of_day(year, month, day)?;
    let offset_s = spaced_offset(at);
    Some(Parts { civil, offset_s })
}

/// Reads `11/20/2026:10:00:00`. The month is first unless it cannot be one.
fn slashed(at: &mut TimeCursor<'_>) -> Option<Parts> {
    let first = at.digits(2)?;
    at.one_of(b"/")?;
    let second = at.digits(2)?;
    at.one_of(b"/")?;
    let year = year(at)?;
    at.one_of(b": ")?;
    let (month, day) = if first > 12 {
        (second, first)
    } else {
        (first, second)
    };
    at.time_of_day(year, month, day).map(without_offset)
}

fn year(at: &mut TimeCursor<'_>) -> Option<i64> {
    let year = at.digits(4)?;
    (1..=9_999).contains(&year).then_some(i64::from(year))
}

/// Reads a day of one or two digits.
fn day(at: &mut TimeCursor<'_>) -> Option<u32> {
    at.digits(2).or_else(|| at.digits(1))
}

fn spaces(at: &mut TimeCursor<'_>) -> Option<()> {
    at.one_of(b" ")?;
    while at.one_of(b" ").is_some() {}
    Some(())
}

/// Reads ` 2026 ` behind a time without a year.
fn year_after(rest: &str) -> Option<(i64, &str)> {
    let mut at = TimeCursor(rest.as_bytes());
    spaces(&mut at)?;
    let year = year(&mut at).filter(|year| (1970..=2261).contains(year))?;
    let is_word = matches!(at.0.first(), None | Some(b' ' | b':'));
    is_word.then_some((year, rest.get(rest.len() - at.0.len()..)?))
}

/// Abbreviations of zones that mean one offset in the logs of devices, in hours east of UTC.
const ZONES: [(&str, i64); 19] = [
    ("UTC", 0),
    ("GMT", 0),
    ("Z", 0),
    ("WET", 0),
    ("WEST", 1),
    ("CET", 1),
    ("CEST", 2),
    ("MET", 1),
    ("MEST", 2),
    ("EET", 2),
    ("EEST", 3),
    ("MSK", 3),
    ("JST", 9),
    ("EST", -5),
    ("EDT", -4),
    ("CDT", -5),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
];

/// Abbreviations with several meanings: the zone of the source applies.
const AMBIGUOUS_ZONES: [&str; 9] = [
    "CST", "MST", "IST", "BST", "AST", "KST", "SST", "GST", "ECT",
];

/// Returns the offset in seconds of an abbreviation; `None` if it is not known, or has several
/// meanings.
fn zone_offset(name: &str) -> Option<i64> {
    let known = ZONES.iter().find(|(known, _)| *known == name);
    known.map(|(_, hours)| hours * 3600)
}

/// Reads `+02:00`, `+0200` or `+2:00`.
fn short_offset(at: &mut TimeCursor<'_>) -> Option<i64> {
    if let [sign @ (b'+' | b'-'), hour @ b'0'..=b'9', b':', tail @ ..] = at.0 {
        let mut next = TimeCursor(tail);
        let minutes = i64::from(next.digits(2).filter(|minutes| *minutes < 60)?);
        let offset_s = i64::from(hour - b'0') * 3600 + minutes * 60;
        at.0 = next.0;
        return Some(if *sign == b'-' { -offset_s } else { offset_s });
    }
    at.offset()
}

/// Returns the offset that `+02:00`, `UTC+2:00` or `CET` states.
pub(crate) fn offset_of(text: &str) -> Option<i64> {
    let name = text.bytes().take_while(u8::is_ascii_uppercase).count();
    let (name, rest) = text.split_at_checked(name)?;
    if rest.is_empty() {
        return zone_offset(name);
    }
    let mut at = TimeCursor(rest.as_bytes());
    let offset_s = short_offset(&mut at)?;
    (matches!(name, "" | "GMT" | "UTC") && at.0.is_empty()).then_some(offset_s)
}

/// Reads a zone behind a time: ` UTC`, ` CET`. Returns its offset if the zone has one, and the rest.
fn zone(rest: &str) -> (Option<i64>, &str) {
    let word = rest.trim_start_matches(' ');
    let end = word.bytes().take(5).take_while(u8::is_ascii_uppercase);
    let (name, after) = word.split_at_checked(end.count()).unwrap_or(("", word));
    // `GMT+02:00`
    if matches!(name, "GMT" | "UTC") && after.starts_with(['+', '-']) {
        let mut at = TimeCursor(after.as_bytes());
        if let Some(offset_s) = short_offset(&mut at) {
            let after = after.get(after.len() - at.0.len()..).unwrap_or("");
            return (Some(offset_s), after);
        }
    }
    let is_word = after.is_empty() || after.starts_with([' ', ':', ',']);
    if rest.len() == word.len() || name.is_empty() || !is_word {
        return (None, rest);
    }
    match zone_offset(name) {
        Some(offset_s) => (Some(offset_s), after),
        None if AMBIGUOUS_ZONES.contains(&name) => (None, after),
        None => (None, rest),
    }
}
