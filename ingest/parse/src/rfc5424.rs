//! RFC 5424 lines: the header through `syslog_loose`, structured data in one linear pass of our
//! own.

use std::borrow::Cow;

use chrono::Utc;
use syslog_loose::{ProcId, Variant, parse_message_with_year_exact_tz};
use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::{Context, syslog, time};

/// Reads what follows the priority; false, with nothing written, where it is no RFC 5424 line.
///
/// `syslog_loose` backtracks inside structured data, so it sees that only up to the first bracket;
/// what is in it is read here.
pub(crate) fn read<'a>(rest: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    // Version, time, host, program, process, message id: six words, then structured data.
    let Some(at) = memchr::memchr_iter(b' ', rest.as_bytes())
        .nth(5)
        .map(|at| at + 1)
    else {
        return false;
    };
    let (head, data) = rest.split_at(at);
    let shown = match data.as_bytes().first() {
        Some(b'-') => 1,
        Some(b'[') => match memchr::memchr(b']', data.as_bytes()) {
            Some(close) => close + 1,
            None => return false,
        },
        _ => return false,
    };
    let Some(header) = rest.get(..head.len() + shown) else {
        return false;
    };
    // RFC 5424 times carry their year; zero is never asked for.
    let parsed = parse_message_with_year_exact_tz(header, |_| 0, Some(Utc), Variant::RFC5424);
    let Ok(parsed) = parsed else {
        return false;
    };
    draft.time = parsed
        .timestamp
        .and_then(|t| time::of_syslog(t, true, context.zone));
    if let Some(host) = parsed.hostname {
        draft.text("host", host);
    }
    if let Some(program) = parsed.appname {
        draft.text("program", program);
    }
    match parsed.procid {
        Some(ProcId::PID(pid)) => draft.put("pid", Value::Int(i64::from(pid))),
        Some(ProcId::Name(name)) => draft.text("pid", name),
        None => {}
    }
    if let Some(msgid) = parsed.msgid {
        draft.text("msgid", msgid);
    }
    let message = if let Some(message) = data.strip_prefix('-') {
        message
    } else {
        elements(data, draft)
    };
    let message = message.strip_prefix(' ').unwrap_or(message);
    let message = message.strip_prefix('\u{feff}').unwrap_or(message);
    // rsyslog's own template for this form leaves the space behind the old form's tag in front.
    let message = message.trim_start_matches(' ');
    syslog::body(parsed.appname, message, context, draft);
    true
}

/// Reads elements and gives what follows them; at the first that is malformed, the rest is message.
fn elements<'a>(mut data: &'a str, draft: &mut Draft<'a>) -> &'a str {
    while data.starts_with('[') {
        match element(data, draft) {
            Some(rest) => data = rest,
            None => {
                draft.problem(Problem::Unparsed);
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

/// Reads up to the closing quote; a backslash escapes `"`, `\` and `]`, and stands for itself
/// before anything else.
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
            // The escaped byte is ASCII and begins the next stretch.
            from = at + 1;
            at += 2;
        } else {
            at += 1;
        }
    }
}
