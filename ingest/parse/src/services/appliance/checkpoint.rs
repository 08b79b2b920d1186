//! Logs of Check Point: `[action:"Drop"; src:"192.0.2.9"; dst:"198.51.100.7"; ]` in the place of RFC
//! 5424's data.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::FIELDS_MAX;
use crate::draft::Draft;
use crate::seen_pairs::SeenPairs;
use crate::services::text::{FAILURE, SUCCESS, is_address, is_port};

/// Reads the pairs in brackets. Returns false, with nothing changed, for other messages.
pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some(mut rest) = message.strip_prefix('[') else {
        return false;
    };
    let mut pairs = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() || rest.starts_with(']') {
            break;
        }
        let Some((name, value, tail)) = pair(rest) else {
            return false;
        };
        // One pair beyond the limit reports the problem.
        if pairs.len() <= FIELDS_MAX {
            pairs.push((name, value));
        }
        rest = tail;
    }
    if pairs.is_empty() {
        return false;
    }
    draft.logsource.product = Some("checkpoint");
    draft.logsource.category = Some("firewall");
    draft.message = Cow::Borrowed(message);
    let mut seen = SeenPairs::default();
    for (name, value) in pairs {
        if draft.problems.contains(&Problem::TooManyFields) {
            break;
        }
        if seen.insert(name, value, draft) {
            draft.add_text(name, value);
        }
    }
    for (name, common) in ALIASES {
        add_alias(name, common, draft);
    }
    add_outcome(draft);
    true
}

/// Reads `name:"value";` at the start of the text.
fn pair(text: &str) -> Option<(&str, &str, &str)> {
    // Some names end with a colon of their own: `ike::"…"`.
    let (name, rest) = text.split_once(":\"")?;
    let name = name.strip_suffix(':').unwrap_or(name);
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    // The device escapes no quote: the value ends where the next pair or the end follows.
    let mut from = 0;
    loop {
        let end = from + memchr::memchr(b'"', rest.as_bytes().get(from..)?)?;
        let tail = rest.get(end + 1..)?;
        if let Some(after) = tail.strip_prefix(';') {
            return Some((name, rest.get(..end)?, after));
        }
        if tail.is_empty() || tail.starts_with(']') {
            return Some((name, rest.get(..end)?, tail));
        }
        from = end + 1;
    }
}

/// Fields, and the common name of each.
const ALIASES: [(&str, &str); 5] = [
    ("src", "src_ip"),
    ("dst", "dst_ip"),
    ("s_port", "src_port"),
    ("service", "dst_port"),
    ("src_user_name", "user"),
];

fn add_alias(name: &str, common: &'static str, draft: &mut Draft<'_>) {
    let Some(Value::Text(value)) = draft.get(name) else {
        return;
    };
    let value = match common {
        "src_ip" | "dst_ip" if is_address(value) => Value::Text(value.clone()),
        "src_port" | "dst_port" if is_port(value) => Value::Int(value.parse().unwrap_or(0)),
        "user" if !value.is_empty() => Value::Text(value.clone()),
        _ => return,
    };
    draft.add(common, value);
}

fn add_outcome(draft: &mut Draft<'_>) {
    let Some(Value::Text(action)) = draft.get("action") else {
        return;
    };
    let outcome = match action.as_ref() {
        "Accept" | "Allow" | "Encrypt" | "Decrypt" | "Log In" => SUCCESS,
        "Drop" | "Reject" | "Block" | "Prevent" | "Failed Log In" => FAILURE,
        _ => return,
    };
    draft.add("outcome", Value::Text(outcome.into()));
}
