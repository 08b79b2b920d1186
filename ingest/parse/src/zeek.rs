//! Zeek's logs: tab-separated records that carry their header, and JSON; both forms of one event
//! become the same event.
//!
//! Sameness needs three agreements. What a record leaves unset is no field. Times, intervals and
//! doubles are decimals of at most six places, which is what Zeek writes into columns; its JSON
//! shows the digits of a float beyond them, and may show times as dates. `_path` names the log, and
//! `_write_ts`, the moment of writing, is no part of the event.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::time::{self, Stamp};
use crate::{Context, FIELDS_MAX};

mod json;

pub(crate) use json::recognise;

/// When a record was written: two writers of one event differ in it.
const WRITTEN: &str = "_write_ts";

/// Longest separator that a header may name; Zeek's are one character.
const SEPARATOR_BYTES_MAX: usize = 8;

/// What the header of a record says.
struct Header<'a> {
    separator: Cow<'a, str>,
    set_separator: &'a str,
    empty: &'a str,
    unset: &'a str,
    path: Option<&'a str>,
    fields: &'a str,
    types: &'a str,
}

/// Reads a record with its header; false, with nothing written, where `text` is no such frame.
pub(crate) fn read<'a>(text: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some((header, record)) = header(text) else {
        return false;
    };
    draft.source.product = Some("zeek");
    draft.source.service = header.path;
    if let Some(path) = header.path {
        draft.text("_path", path);
    }
    let separator = header.separator.as_ref();
    let mut types = header.types.split(separator);
    let mut values = record.split(separator);
    let mut listed = 0;
    for name in header.fields.split(separator) {
        let Some(text) = values.next() else {
            draft.problem(Problem::Unparsed);
            break;
        };
        let kind = types.next().unwrap_or("string");
        if text == header.unset || name == WRITTEN {
            continue;
        }
        let value = match list_of(kind) {
            Some(kind) => list(kind, text, &header, &mut listed, draft),
            None => scalar(kind, text, header.empty),
        };
        draft.put(name, value);
        if draft.problems.contains(&Problem::TooManyFields) {
            break;
        }
    }
    // A record with more values than columns is cut wrong: none of it is lost.
    if values.next().is_some() {
        draft.problem(Problem::Unparsed);
    }
    draft.time = stamp(draft, context);
    let said = ["message", "msg"]
        .into_iter()
        .find_map(|name| text_of(draft, name));
    draft.message = if draft.problems.is_empty() {
        said.unwrap_or_default()
    } else {
        Cow::Borrowed(record)
    };
    true
}

fn text_of<'a>(draft: &Draft<'a>, name: &str) -> Option<Cow<'a, str>> {
    match draft.get(name)? {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// The time of a Zeek event is `ts`, whatever else it holds.
pub(crate) fn stamp(draft: &Draft<'_>, context: &Context<'_>) -> Option<Stamp> {
    match draft.get(context.time_field.unwrap_or("ts"))? {
        Value::Int(number) => time::epoch(&number.to_string()),
        Value::Number(text) => time::epoch(text),
        Value::Text(text) => time::iso(text, context.zone).or_else(|| time::epoch(text)),
        Value::Null | Value::Bool(_) | Value::List(_) => None,
    }
}

fn header(text: &str) -> Option<(Header<'_>, &str)> {
    let mut header = Header {
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
            // Zeek may add header lines; none of them bears on a record.
            _ => {}
        }
    }
    (!header.fields.is_empty() && !rest.is_empty()).then_some((header, rest))
}

/// The type of the elements of `set[T]` or `vector[T]`.
fn list_of(kind: &str) -> Option<&str> {
    let inner = kind
        .strip_prefix("vector[")
        .or_else(|| kind.strip_prefix("set["))?;
    inner.strip_suffix(']')
}

fn list<'a>(
    kind: &str,
    text: &'a str,
    header: &Header<'a>,
    listed: &mut usize,
    draft: &mut Draft<'a>,
) -> Value<'a> {
    let mut values = Vec::new();
    if text == header.empty {
        return Value::List(values);
    }
    for element in text.split(header.set_separator) {
        if *listed == FIELDS_MAX {
            draft.problem(Problem::TooManyFields);
            break;
        }
        *listed += 1;
        values.push(if element == header.unset {
            Value::Null
        } else {
            scalar(kind, element, header.empty)
        });
    }
    Value::List(values)
}

/// A value of a column. What is not of the column's type stays as its text: rules compare that.
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
            // A count goes beyond what `i64` holds.
            _ if text.parse::<u64>().is_ok() => Value::Number(Cow::Borrowed(text)),
            _ => as_text(),
        },
        ("time" | "interval" | "double", _) => match decimal(text) {
            Some(number) => Value::Number(number),
            None => as_text(),
        },
        // Every other type is written as text.
        _ => as_text(),
    }
}

/// A float with at most six places, none of them a zero at the end but the first: `0.00087`,
/// `2230.0`.
fn decimal(text: &str) -> Option<Cow<'_, str>> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let plain = text.strip_prefix('-').unwrap_or(text);
    if let Some((whole, places)) = plain.split_once('.')
        && digits(whole)
        && digits(places)
        && places.len() <= 6
    {
        return Some(Cow::Borrowed(trimmed(text)));
    }
    // Columns hold what `%.6f` writes of the same float. Beyond 1e15 a float has no such places.
    let number = text.parse::<f64>().ok();
    let number = number.filter(|number| number.abs() < 1e15)?;
    let written = format!("{number:.6}");
    Some(Cow::Owned(trimmed(&written).to_owned()))
}

fn trimmed(decimal: &str) -> &str {
    let short = decimal.trim_end_matches('0');
    match decimal.get(..short.len() + 1) {
        Some(with_zero) if short.ends_with('.') => with_zero,
        _ => short,
    }
}

/// Undoes Zeek's escapes: `\\` and `\xHH`. Bytes that are no UTF-8 stay written as `\xHH`, as they
/// do in Zeek's JSON.
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
