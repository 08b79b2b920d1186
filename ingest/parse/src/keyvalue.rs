//! Messages that are nothing but `name=value`, as firewalls and appliances write them.
//!
//! Prose holds `a=b` too, so the form is strict: at least [`PAIRS_MIN`] pairs from the first
//! character to the last, a space or more, or a comma and a space, between two; a name of letters,
//! digits, `_`, `-`, `.` and `/` that begins with a letter or `_`; a value in double quotes, where a
//! backslash escapes a quote and itself, or one without space and quote. A message that breaks it
//! anywhere stays a message, and none of it becomes a field.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::time::{self, Zone};
use crate::{Context, FIELDS_MAX};

/// Fewer pairs are as likely prose.
const PAIRS_MIN: usize = 3;

/// Longest name; those of appliances stay below 40.
const NAME_BYTES_MAX: usize = 64;

/// Reads a message that is all pairs; false, with nothing written, where it is not. Fields that
/// stand already stay.
pub(crate) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some(pairs) = pairs(message) else {
        return false;
    };
    for (name, value) in pairs {
        if draft.problems.contains(&Problem::TooManyFields) {
            break;
        }
        draft.put(name, Value::Text(value));
    }
    if draft.time.is_none() {
        draft.time = stamp(draft, context.zone);
    }
    true
}

fn pairs(message: &str) -> Option<Vec<(&str, Cow<'_, str>)>> {
    let mut rest = message.trim_ascii();
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (name, tail) = name(rest)?;
        let (value, tail) = value(tail)?;
        // One more than the limit says that there were more.
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
    let mut shown = bytes.iter().take(NAME_BYTES_MAX + 1);
    let end = shown.position(|b| !fits(b))?;
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
            let is_mark = tail.starts_with(['"', '\\']);
            if is_mark {
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
            Some((mark, tail)) => {
                out.to_mut().push_str(mark?);
                rest = tail?;
            }
        }
    }
}

/// The time of a line without a header: `eventtime` since 1970, or `date`, `time` and `tz`.
fn stamp(draft: &Draft<'_>, zone: Zone) -> Option<time::Stamp> {
    let text = |name| match draft.get(name) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    if let Some(stamp) = text("eventtime").and_then(|written| time::epoch(written)) {
        return Some(stamp);
    }
    let offset = text("tz").map_or("", |tz| tz);
    let written = format!("{} {}{offset}", text("date")?, text("time")?);
    time::iso(&written, zone)
}
