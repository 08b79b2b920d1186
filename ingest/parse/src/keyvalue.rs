//! Messages that consist of `name=value` pairs only, as firewalls and appliances write them.
//!
//! Prose also contains `a=b`, so the form is strict:
//!
//! - The message has at least [`PAIRS_MIN`] pairs and nothing else.
//! - One or more spaces, a comma, or both separate two pairs.
//! - A name has letters, digits, `_`, `-`, `.` and `/`, and starts with a letter or `_`.
//! - A value has no space and no quote, or it is in double quotes, where a backslash escapes a quote
//!   and itself. A quote that no separator and name follow belongs to the value.
//!
//! If a message breaks a rule anywhere, none of it becomes a field.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::seen_pairs::SeenPairs;
use crate::services::appliance::pairs;
use crate::{Context, FIELDS_MAX, time};

/// Fewest pairs; a message with fewer may well be prose.
const PAIRS_MIN: usize = 3;

/// Longest name. The names of appliances stay below 40.
const NAME_BYTES_MAX: usize = 64;

/// Reads a message that consists of pairs. Returns false, with nothing changed, for other messages.
/// Existing fields keep their values.
pub(crate) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some(pairs) = split_pairs(message) else {
        return false;
    };
    let mut seen = SeenPairs::default();
    for (name, value) in pairs {
        if draft.problems.contains(&Problem::TooManyFields) {
            break;
        }
        if seen.insert(name, &value, draft) {
            draft.add(name, Value::Text(value));
        }
    }
    set_time(draft, context);
    pairs::recognize(draft);
    if draft.get("host").is_none() {
        let device = ["devname", "device_name", "dvchost"].into_iter();
        let device = device.filter_map(|name| draft.get(name)).next().cloned();
        if let Some(device) = device {
            draft.add("host", device);
        }
    }
    true
}

fn split_pairs(message: &str) -> Option<Vec<(&str, Cow<'_, str>)>> {
    let mut rest = message.trim_ascii();
    let mut pairs = Vec::new();
    // Whether a comma alone separates. The first separator decides, so that a comma in a later value
    // cannot start a pair.
    let mut is_comma = true;
    while !rest.is_empty() {
        let (name, tail) = name(rest)?;
        let (value, tail) = value(tail, is_comma)?;
        if pairs.is_empty() {
            is_comma = tail.starts_with(',') && !tail.starts_with(", ");
        }
        // Keep one pair beyond the limit: adding it reports the problem.
        if pairs.len() <= FIELDS_MAX {
            pairs.push((name, value));
        }
        let next = tail
            .strip_prefix([',', ';'])
            .unwrap_or(tail)
            .trim_ascii_start();
        if !next.is_empty() && next.len() == tail.len() {
            return None;
        }
        rest = next;
    }
    (pairs.len() >= PAIRS_MIN).then_some(pairs)
}

fn name(rest: &str) -> Option<(&str, &str)> {
    let bytes = rest.as_bytes();
    let first = bytes.first()?;
    if !first.is_ascii_alphabetic() && *first != b'_' {
        return None;
    }
    let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/');
    let mut name_bytes = bytes.iter().take(NAME_BYTES_MAX + 1);
    let end = name_bytes.position(|b| !fits(b))?;
    (bytes.get(end) == Some(&b'=')).then_some((rest.get(..end)?, rest.get(end + 1..)?))
}

fn value(tail: &str, is_comma: bool) -> Option<(Cow<'_, str>, &str)> {
    if let Some(text) = tail.strip_prefix('"') {
        return quoted(text);
    }
    // A comma ends the value only in front of the next name.
    let bytes = tail.as_bytes();
    let mut end = 0;
    loop {
        let found = memchr::memchr2(b' ', b',', bytes.get(end..)?);
        end = found.map_or(tail.len(), |at| end + at);
        let is_space = bytes.get(end + 1).is_none_or(|next| *next == b' ');
        if bytes.get(end) != Some(&b',') || (is_comma || is_space) && is_separated(tail.get(end..)?)
        {
            break;
        }
        end += 1;
    }
    let (value, rest) = tail.split_at_checked(end)?;
    (!value.contains('"')).then_some((Cow::Borrowed(value), rest))
}

/// Returns whether a pair may end here: the message does, or a separator and a name follow.
fn is_separated(rest: &str) -> bool {
    let next = rest
        .strip_prefix([',', ';'])
        .unwrap_or(rest)
        .trim_ascii_start();
    next.is_empty() || next.len() < rest.len() && name(next).is_some()
}

fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut out = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let at = memchr::memchr2(b'"', b'\\', rest.as_bytes())?;
        let (plain, tail) = rest.split_at_checked(at)?;
        let escaped = tail.strip_prefix('\\').map(|tail| {
            let is_escape = tail.starts_with(['"', '\\']);
            if is_escape {
                (tail.get(..1), tail.get(1..))
            } else {
                (Some("\\"), Some(tail))
            }
        });
        if out.is_empty() && escaped.is_none() {
            out = Cow::Borrowed(plain);
        } else {
            out.to_mut().push_str(plain);
        }
        match escaped {
            None if is_separated(tail.get(1..)?) => return Some((out, tail.get(1..)?)),
            None => {
                out.to_mut().push('"');
                rest = tail.get(1..)?;
            }
            Some((character, tail)) => {
                out.to_mut().push_str(character?);
                rest = tail?;
            }
        }
    }
}

/// Sets the time that the pairs state: `eventtime` since 1970, `date` and `time` with their zone, or
/// the whole time in one pair.
fn set_time(draft: &mut Draft<'_>, context: &Context<'_>) {
    let text = |name| match draft.get(name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    if let (Some(date), Some(time)) = (text("date"), text("time"))
        && text("eventtime")
            .and_then(|text| time::epoch(text))
            .is_none()
    {
        let offset = text("tz").or_else(|| text("timezone"));
        let offset_s = offset.and_then(|text| time::clock::offset_of(text.trim_matches('"')));
        let civil = time::iso_with(&format!("{date} {time}"), offset_s, context.zone);
        if offset_s.is_some() || draft.time.is_none() {
            draft.time = civil.or(draft.time);
        }
        return;
    }
    draft.set_pair_time(&["eventtime", "time", "timestamp", "ts"], context);
}
