//! Messages that consist of `name=value` pairs only, as firewalls and appliances write them.
//!
//! Prose also contains `a=b`, so the form is strict:
//!
//! - The message has at least [`PAIRS_MIN`] pairs and nothing else.
//! - One or more spaces, or a comma and a space, separate two pairs.
//! - A name has letters, digits, `_`, `-`, `.` and `/`, and starts with a letter or `_`.
//! - A value has no space and no quote, or it is in double quotes, where a backslash escapes a quote
//!   and itself.
//!
//! If a message breaks a rule anywhere, none of it becomes a field.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::time::{self, Zone};
use crate::{Context, FIELDS_MAX};

/// Fewest pairs; a message with fewer may well be prose.
const PAIRS_MIN: usize = 3;

/// Longest name. The names of appliances stay below 40.
const NAME_BYTES_MAX: usize = 64;

/// Reads a message that consists of pairs. Returns false, with nothing changed, for other messages.
/// Existing fields keep their values.
pub(crate) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some(pairs) = pairs(message) else {
        return false;
    };
    for (name, value) in pairs {
        if draft.problems.contains(&Problem::TooManyFields) {
            break;
        }
        draft.add(name, Value::Text(value));
    }
    if draft.time.is_none() {
        draft.time = timestamp(draft, context.zone);
    }
    true
}

fn pairs(message: &str) -> Option<Vec<(&str, Cow<'_, str>)>> {
    let mut rest = message.trim_ascii();
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (name, tail) = name(rest)?;
        let (value, tail) = value(tail)?;
        // Keep one pair beyond the limit: adding it reports the problem.
        if pairs.len() <= FIELDS_MAX {
            pairs.push((name, value));
        }
        let next = tail.strip_prefix(',').unwrap_or(tail).trim_ascii_start();
        if !next.is_empty() && !tail.starts_with(' ') && !tail.starts_with(", ") {
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

fn value(tail: &str) -> Option<(Cow<'_, str>, &str)> {
    if let Some(text) = tail.strip_prefix('"') {
        return quoted(text);
    }
    let end = tail.find(' ').unwrap_or(tail.len());
    let (value, rest) = tail.split_at_checked(end)?;
    let (value, rest) = match value.strip_suffix(',') {
        Some(value) => (value, tail.get(end - 1..)?),
        None => (value, rest),
    };
    (!value.contains('"')).then_some((Cow::Borrowed(value), rest))
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
            None => return Some((out, tail.get(1..)?)),
            Some((character, tail)) => {
                out.to_mut().push_str(character?);
                rest = tail?;
            }
        }
    }
}

/// Reads the time of a line without a header: `eventtime` since 1970, or `date`, `time` and `tz`.
fn timestamp(draft: &Draft<'_>, zone: Zone) -> Option<time::Timestamp> {
    let text = |name| match draft.get(name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    if let Some(time) = text("eventtime").and_then(|written| time::epoch(written)) {
        return Some(time);
    }
    let offset = text("tz").map_or("", |tz| tz);
    let written = format!("{} {}{offset}", text("date")?, text("time")?);
    time::iso(&written, zone)
}
