//! Cisco ISE: `CISE_Failed_Attempts 0002315431 1 0 2026-03-01 10:00:00.232 +00:00 0003426523 5400 NOTICE
//! Failed-Attempt: Authentication failed, UserName=ann, …`.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::services::text::{FAILURE, SUCCESS, add_source_address, is_address};
use crate::{Context, FIELDS_MAX, time};

/// Reads an event. Returns false, with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some(rest) = message.strip_prefix("CISE_") else {
        return false;
    };
    let mut words = rest.splitn(11, ' ');
    let mut next = || words.next().unwrap_or("");
    let (category, _id, parts, part) = (next(), next(), next(), next());
    let (date, clock, offset) = (next(), next(), next());
    let (_sequence, code, level, text) = (next(), next(), next(), next());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(parts) || !is_number(part) {
        return false;
    }
    draft.logsource.product = Some("cisco");
    draft.logsource.service = Some("ise");
    draft.message = Cow::Borrowed(message);
    draft.add_text("type", category);
    if parts != "1" {
        // The rest of the event is in other lines.
        draft.add_problem(Problem::Truncated);
    }
    if part != "0" {
        return true;
    }
    let written = time::iso(&format!("{date} {clock} {offset}"), context.zone);
    draft.time = written.or(draft.time);
    draft.add_text("msgid", code);
    draft.add_text("level", level);
    add_verdict(category, draft);
    for (n, pair) in Pairs(text).enumerate() {
        if n > FIELDS_MAX {
            break;
        }
        match pair.split_once('=') {
            Some((name, value)) if !name.is_empty() => add(name, value, draft),
            _ if n == 0 => draft.add_text("description", pair),
            _ => {}
        }
    }
    true
}

fn add_verdict(category: &str, draft: &mut Draft<'_>) {
    match category {
        "Failed_Attempts" => {
            draft.add_text("action", "login");
            draft.add_text("outcome", FAILURE);
        }
        "Passed_Authentications" => {
            draft.add_text("action", "login");
            draft.add_text("outcome", SUCCESS);
        }
        _ => {}
    }
}

fn add<'a>(name: &'a str, value: &'a str, draft: &mut Draft<'a>) {
    let value = unescape(value);
    let is_address = is_address(&value);
    match name {
        "UserName" | "User-Name" | "AdminName" if !value.is_empty() => {
            draft.add("user", Value::Text(value.clone()));
        }
        "Remote-Address" | "AdminIPAddress" if is_address => {
            if let Cow::Borrowed(address) = value {
                add_source_address(address, draft);
            }
        }
        "NAS-IP-Address" | "Device IP Address" if is_address => {
            draft.add("dst_ip", Value::Text(value.clone()));
        }
        "Calling-Station-ID" if is_address => {
            draft.add("src_ip", Value::Text(value.clone()));
        }
        "Calling-Station-ID" => draft.add("src_mac", Value::Text(value.clone())),
        _ => {}
    }
    draft.add(name, Value::Text(value));
}

fn unescape(value: &str) -> Cow<'_, str> {
    if value.contains('\\') {
        Cow::Owned(value.replace("\\,", ",").replace("\\\\", "\\"))
    } else {
        Cow::Borrowed(value)
    }
}

/// The parts of an event, which a comma and a space separate. A backslash escapes a comma in a value.
struct Pairs<'a>(&'a str);

impl<'a> Iterator for Pairs<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = self.0.as_bytes();
        let mut from = 0;
        let end = loop {
            let Some(at) = memchr::memchr(b',', bytes.get(from..)?) else {
                break bytes.len();
            };
            let at = from + at;
            let is_escaped = at > 0 && bytes.get(at - 1) == Some(&b'\\');
            if !is_escaped && bytes.get(at + 1) == Some(&b' ') {
                break at;
            }
            from = at + 1;
        };
        let (pair, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(2..).unwrap_or("");
        Some(pair.trim_end_matches(','))
    }
}
