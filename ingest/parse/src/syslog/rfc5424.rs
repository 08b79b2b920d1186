//! RFC 5424 lines: the header through `syslog_loose`, and structured data in one linear pass here.

use std::borrow::Cow;

use chrono::Utc;
use syslog_loose::{ProcId, Variant, parse_message_with_year_exact_tz};
use weir_schema::{Problem, Value};

use super::message;
use crate::draft::Draft;
use crate::{Context, time};

/// Reads a line after its priority. Returns false, with nothing changed, for lines that are not RFC
/// 5424.
///
/// `syslog_loose` backtracks inside structured data, so it gets the line only up to the first
/// closing bracket. This module reads the structured data itself.
pub(super) fn read<'a>(rest: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    // Version, time, host, program, process, message id: six words, then structured data.
    let Some(at) = memchr::memchr_iter(b' ', rest.as_bytes())
        .nth(5)
        .map(|at| at + 1)
    else {
        return false;
    };
    let (head, data) = rest.split_at(at);
    let data_len = match data.as_bytes().first() {
        Some(b'-') => 1,
        Some(b'[') => match memchr::memchr(b']', data.as_bytes()) {
            Some(close) => close + 1,
            None => return false,
        },
        _ => return false,
    };
    let Some(header) = rest.get(..head.len() + data_len) else {
        return false;
    };
    // RFC 5424 times have a year, so the year callback is never called.
    let parsed = parse_message_with_year_exact_tz(header, |_| 0, Some(Utc), Variant::RFC5424);
    let Ok(parsed) = parsed else {
        return false;
    };
    draft.time = parsed
        .timestamp
        .and_then(|t| time::from_syslog(t, true, context.zone));
    if let Some(host) = parsed.hostname {
        draft.add_text("host", host);
    }
    if let Some(program) = parsed.appname {
        draft.add_text("program", program);
    }
    match parsed.procid {
        Some(ProcId::PID(pid)) => draft.add("pid", Value::Int(i64::from(pid))),
        Some(ProcId::Name(name)) => draft.add_text("pid", name),
        None => {}
    }
    if let Some(msgid) = parsed.msgid {
        draft.add_text("msgid", msgid);
    }
    let text = if let Some(text) = data.strip_prefix('-') {
        text
    } else {
        elements(data, draft)
    };
    let text = text.strip_prefix(' ').unwrap_or(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // rsyslog's template for RFC 5424 keeps the space that follows the tag in RFC 3164.
    let text = text.trim_start_matches(' ');
    message::read(parsed.appname, text, context, draft);
    true
}

/// Reads the elements and returns the rest of the line. From the first malformed element on, the
/// rest is the message.
fn elements<'a>(mut data: &'a str, draft: &mut Draft<'a>) -> &'a str {
    while data.starts_with('[') {
        match element(data, draft) {
            Some(rest) => data = rest,
            None => {
                draft.add_problem(Problem::Unparsed);
                return data;
            }
        }
    }
    data
}

fn element<'a>(data: &'a str, draft: &mut Draft<'a>) -> Option<&'a str> {
    let data = data.strip_prefix('[')?;
    let end = data.find([' ', ']', '=', '"'])?;
    let (id, mut data) = data.split_at(end);
    if id.is_empty() {
        return None;
    }
    loop {
        if let Some(rest) = data.strip_prefix(']') {
            return Some(rest);
        }
        data = data.strip_prefix(' ')?.trim_start_matches(' ');
        if let Some(rest) = data.strip_prefix(']') {
            return Some(rest);
        }
        let (name, rest) = data.split_at(data.find(['=', ' ', ']', '"'])?);
        let (value, rest) = quoted(rest.strip_prefix("=\"")?)?;
        draft.append(Cow::Owned(format!("{id}.{name}")), Value::Text(value));
        data = rest;
    }
}

/// Reads a value up to its closing quote. A backslash escapes `"`, `\` and `]`; before other
/// characters it is literal.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut from = 0;
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            let tail = text.get(from..at)?;
            let value = if from == 0 {
                Cow::Borrowed(tail)
            } else {
                out.push_str(tail);
                Cow::Owned(out)
            };
            return Some((value, text.get(at + 1..)?));
        }
        if matches!(bytes.get(at + 1), Some(b'"' | b'\\' | b']')) {
            out.push_str(text.get(from..at)?);
            // The escaped byte is ASCII and starts the next part to copy.
            from = at + 1;
            at += 2;
        } else {
            at += 1;
        }
    }
}
