//! Zeek logs: tab-separated records with their header, and JSON; both forms decode to the same
//! event.
//!
//! Three rules make them the same. An unset value is not a field. Times, intervals and doubles are
//! decimals with at most six places: Zeek writes these into columns, but its JSON has all digits of
//! the float, and may have times as dates. `_path` names the log, and `_write_ts`, the time of
//! writing, is dropped.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::time::{self, Timestamp};
use crate::{Context, FIELDS_MAX};

mod json;

pub(crate) use json::recognize;

/// The time of writing. It differs between two writers of one event.
const WRITE_TIME: &str = "_write_ts";

/// Longest separator that a header may define. Zeek's own are one character.
const SEPARATOR_BYTES_MAX: usize = 8;

/// The header of a record.
struct ZeekHeader<'a> {
    separator: Cow<'a, str>,
    set_separator: &'a str,
    empty: &'a str,
    unset: &'a str,
    path: Option<&'a str>,
    fields: &'a str,
    types: &'a str,
}

/// Reads a record with its header. Returns false, with nothing changed, for other frames.
pub(crate) fn read<'a>(text: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some((header, record)) = header(text) else {
        return false;
    };
    draft.logsource.product = Some("zeek");
    draft.logsource.service = header.path;
    if let Some(path) = header.path {
        draft.add_text("_path", path);
    }
    let separator = header.separator.as_ref();
    let mut types = header.types.split(separator);
    let mut values = record.split(separator);
    let mut items = 0;
    for name in header.fields.split(separator) {
        let Some(text) = values.next() else {
            draft.add_problem(Problem::Unparsed);
            break;
        };
        let kind = types.next().unwrap_or("string");
        if text == header.unset || name == WRITE_TIME {
            continue;
        }
        let value = match element_type(kind) {
            Some(kind) => list(kind, text, &header, &mut items, draft),
            None => scalar(kind, text, header.empty),
        };
        draft.add(name, value);
        if draft.problems.contains(&Problem::TooManyFields) {
            break;
        }
    }
    // A record with more values than columns was split wrongly. The message keeps all of it.
    if values.next().is_some() {
        draft.add_problem(Problem::Unparsed);
    }
    draft.time = timestamp(draft, context);
    let message = ["message", "msg"]
        .into_iter()
        .find_map(|name| text_field(draft, name));
    draft.message = if draft.problems.is_empty() {
        message.unwrap_or_default()
    } else {
        Cow::Borrowed(record)
    };
    true
}

fn text_field<'a>(draft: &Draft<'a>, name: &str) -> Option<Cow<'a, str>> {
    match draft.get(name)? {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// Returns the time of the event: `ts`, unless the configuration names another field.
pub(crate) fn timestamp(draft: &Draft<'_>, context: &Context<'_>) -> Option<Timestamp> {
    let value = draft.get(context.time_field.unwrap_or("ts"))?;
    time::from_value(value, context.zone)
}

fn header(text: &str) -> Option<(ZeekHeader<'_>, &str)> {
    let mut header = ZeekHeader {
        separator: Cow::Borrowed("\t"),
        set_separator: ",",
        empty: "(empty)",
        unset: "-",
        path: None,
        fields: "",
        types: "",
    };
    let mut rest = text;
    while rest.starts_with('#') {
        let (line, after) = rest.split_once('\n')?;
        rest = after;
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some(written) = line.strip_prefix("#separator ") {
            header.separator = unescape(written);
            let bytes = header.separator.len();
            if !(1..=SEPARATOR_BYTES_MAX).contains(&bytes) {
                return None;
            }
            continue;
        }
        let Some((key, value)) = line.split_once(header.separator.as_ref()) else {
            continue;
        };
        match key {
            "#set_separator" if !value.is_empty() => header.set_separator = value,
            "#empty_field" => header.empty = value,
            "#unset_field" => header.unset = value,
            "#path" => header.path = Some(value),
            "#fields" => header.fields = value,
            "#types" => header.types = value,
            // Other header lines do not affect records.
            _ => {}
        }
    }
    (!header.fields.is_empty() && !rest.is_empty()).then_some((header, rest))
}

/// Returns the element type of `set[T]` or `vector[T]`.
fn element_type(kind: &str) -> Option<&str> {
    let inner = kind
        .strip_prefix("vector[")
        .or_else(|| kind.strip_prefix("set["))?;
    inner.strip_suffix(']')
}

fn list<'a>(
    kind: &str,
    text: &'a str,
    header: &ZeekHeader<'a>,
    items: &mut usize,
    draft: &mut Draft<'a>,
) -> Value<'a> {
    let mut values = Vec::new();
    if text == header.empty {
        return Value::List(values);
    }
    for element in text.split(header.set_separator) {
        if *items == FIELDS_MAX {
            draft.add_problem(Problem::TooManyFields);
            break;
        }
        *items += 1;
        values.push(if element == header.unset {
            Value::Null
        } else {
            scalar(kind, element, header.empty)
        });
    }
    Value::List(values)
}

/// Reads a value of a column. A value that is not of the column's type stays text, which rules can
/// match.
fn scalar<'a>(kind: &str, text: &'a str, empty: &str) -> Value<'a> {
    let as_text = || {
        if text == empty {
            Value::Text(Cow::Borrowed(""))
        } else {
            Value::Text(unescape(text))
        }
    };
    match (kind, text) {
        ("bool", "T") => Value::Bool(true),
        ("bool", "F") => Value::Bool(false),
        ("count" | "int" | "port", _) => match text.parse::<i64>() {
            Ok(number) if !text.starts_with('+') => Value::Int(number),
            // A `count` may exceed an `i64`.
            _ if text.parse::<u64>().is_ok() => Value::Number(Cow::Borrowed(text)),
            _ => as_text(),
        },
        ("time" | "interval" | "double", _) => match decimal(text) {
            Some(number) => Value::Number(number),
            None => as_text(),
        },
        // All other types are text.
        _ => as_text(),
    }
}

/// Reads a float as a decimal with at most six places and without trailing zeros, except in the
/// first place: `0.00087`, `2230.0`.
fn decimal(text: &str) -> Option<Cow<'_, str>> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let plain = text.strip_prefix('-').unwrap_or(text);
    if let Some((whole, places)) = plain.split_once('.')
        && digits(whole)
        && digits(places)
        && places.len() <= 6
    {
        return Some(Cow::Borrowed(trim_zeros(text)));
    }
    // Zeek writes columns with `%.6f`. A float beyond 1e15 has no such places.
    let number = text.parse::<f64>().ok();
    let number = number.filter(|number| number.abs() < 1e15)?;
    let written = format!("{number:.6}");
    Some(Cow::Owned(trim_zeros(&written).to_owned()))
}

fn trim_zeros(decimal: &str) -> &str {
    let short = decimal.trim_end_matches('0');
    match decimal.get(..short.len() + 1) {
        Some(with_zero) if short.ends_with('.') => with_zero,
        _ => short,
    }
}

/// Decodes Zeek's escapes `\\` and `\xHH`. Bytes that are not UTF-8 stay written as `\xHH`, as in
/// Zeek's JSON.
fn unescape(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        bytes.extend_from_slice(plain);
        let (byte, used) = match escape {
            [b'\\', b'\\', ..] => (b'\\', 2),
            [b'\\', b'x', high, low, ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, 4),
                _ => (b'\\', 1),
            },
            _ => (b'\\', 1),
        };
        bytes.push(byte);
        rest = escape.get(used..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest);
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    Cow::Owned(out)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}
