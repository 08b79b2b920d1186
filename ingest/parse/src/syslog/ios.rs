//! The header of Cisco IOS lines: a sequence number and a time without a year.

use super::message;
use crate::Context;
use crate::draft::Draft;
use crate::time::{self, CivilTime, TimeCursor, Timestamp};

/// Reads `4521: *Feb 17 13:40:03.673 UTC: %SYS-5-CONFIG_I: ...`. Returns false, with nothing changed,
/// for other lines.
pub(super) fn read<'a>(line: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some((sequence, time, rest)) = split(line, context) else {
        return false;
    };
    draft.add_number("seq", sequence);
    draft.time = time;
    message::read(None, rest, context, draft);
    true
}

fn split<'a>(
    line: &'a str,
    context: &Context<'_>,
) -> Option<(&'a str, Option<Timestamp>, &'a str)> {
    let end = line.bytes().take(20).position(|b| b == b':')?;
    let (sequence, rest) = (line.get(..end)?, line.get(end + 1..)?);
    if sequence.is_empty() || !sequence.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A star marks a clock that is not set, a dot one that is not synchronized.
    let rest = rest.trim_ascii_start().trim_start_matches(['*', '.']);
    let (time, message) = rest.split_once(": %")?;
    let message = rest.get(rest.len() - message.len() - 1..)?;
    Some((sequence, clock(time, context), message))
}

/// Reads `Feb 17 13:40:03.673`, optionally with a zone. Names of zones other than UTC and GMT are
/// ambiguous, so the zone of the source applies instead.
fn clock(text: &str, context: &Context<'_>) -> Option<Timestamp> {
    let mut words = text.split_ascii_whitespace();
    let month = time::month(words.next()?.as_bytes())?;
    let day = words.next()?.parse().ok()?;
    let mut at = TimeCursor(words.next()?.as_bytes());
    let hour = at.digits(2)?;
    at.one_of(b":")?;
    let minute = at.digits(2)?;
    at.one_of(b":")?;
    let second = at.digits(2)?;
    let nano = if at.one_of(b".").is_some() {
        at.nanos()
    } else {
        0
    };
    let offset = matches!(words.next(), Some("UTC" | "GMT")).then_some(0);
    let date = CivilTime {
        year: 0,
        month,
        day,
        hour,
        minute,
        second,
        nano,
    };
    let year = time::latest_year(date, context);
    CivilTime { year, ..date }.timestamp(offset, context.zone)
}
