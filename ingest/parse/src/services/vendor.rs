//! The two line formats that security products share: ArcSight's CEF and QRadar's LEEF.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::FIELDS_MAX;
use crate::draft::Draft;

/// Reads a CEF or LEEF message. Returns false, with nothing changed, for other messages.
pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    if let Some(rest) = message.strip_prefix("CEF:") {
        cef(rest, draft)
    } else if let Some(rest) = message.strip_prefix("LEEF:") {
        leef(rest, draft)
    } else {
        false
    }
}

const CEF_NAMES: [&str; 7] = [
    "cef_version",
    "device_vendor",
    "device_product",
    "device_version",
    "signature_id",
    "name",
    "cef_severity",
];

fn cef<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let mut rest = text;
    let mut parts = [""; 7];
    for part in &mut parts {
        let Some(end) = find_unescaped(rest, b'|') else {
            return false;
        };
        let (head, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        *part = head;
        rest = tail.get(1..).unwrap_or("");
    }
    for (name, part) in CEF_NAMES.into_iter().zip(parts) {
        draft.add(name, Value::Text(unescape(part, b"|\\")));
    }
    add_extension(rest, draft);
    true
}

/// Adds `key=value key=value`. A value may contain spaces: it ends before the last word in front of
/// the next unescaped `=`.
fn add_extension<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let Some(first) = find_unescaped(text, b'=') else {
        return;
    };
    let (mut name, tail) = text.split_at_checked(first).unwrap_or((text, ""));
    let mut rest = tail.get(1..).unwrap_or("");
    for n in 0.. {
        if n == FIELDS_MAX {
            return draft.add_problem(Problem::TooManyFields);
        }
        let next = find_unescaped(rest, b'=');
        let head = next.and_then(|at| rest.get(..at)).unwrap_or(rest);
        let (value, key) = match next {
            Some(_) => head.rsplit_once(' ').unwrap_or((head, "")),
            None => (head, ""),
        };
        let value = unescape(value.trim_end_matches(' '), b"=\\|");
        draft.add(name.trim_ascii(), Value::Text(value));
        let Some(at) = next else {
            return;
        };
        name = key;
        rest = rest.get(at + 1..).unwrap_or("");
    }
}

fn leef<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    const NAMES: [&str; 5] = [
        "leef_version",
        "vendor",
        "product",
        "product_version",
        "event_id",
    ];
    let mut parts = text.splitn(6, '|');
    let mut header = [""; 5];
    for part in &mut header {
        let Some(text) = parts.next() else {
            return false;
        };
        *part = text;
    }
    let Some(mut rest) = parts.next() else {
        return false;
    };
    let mut separator = '\t';
    if header[0].starts_with('2') {
        // The delimiter is a character or its hexadecimal code: `^` or `x5E`.
        if let Some((code, tail)) = rest.split_once('|').filter(|(code, _)| code.len() <= 5) {
            separator = delimiter(code).unwrap_or('\t');
            rest = tail;
        }
    }
    for (name, part) in NAMES.into_iter().zip(header) {
        draft.add_text(name, part);
    }
    for (n, pair) in rest.split(separator).enumerate() {
        if n == FIELDS_MAX {
            draft.add_problem(Problem::TooManyFields);
            break;
        }
        if let Some((name, value)) = pair.split_once('=') {
            draft.add_text(name.trim_ascii(), value);
        }
    }
    true
}

fn delimiter(code: &str) -> Option<char> {
    let hex = code.strip_prefix("0x").or_else(|| code.strip_prefix('x'));
    if let Some(number) = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
        return char::from_u32(number);
    }
    code.chars().next()
}

/// Returns the position of the first `separator` without a backslash in front of it.
fn find_unescaped(text: &str, separator: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr2(separator, b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&separator) {
            return Some(at);
        }
        at += 2;
    }
}

/// Removes the backslash in front of each of `specials`. `\n` and `\r` become line ends.
fn unescape<'a>(text: &'a str, specials: &[u8]) -> Cow<'a, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = if c == '\\' {
            chars.peek().copied()
        } else {
            None
        };
        let plain = match next {
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some(c) if c.is_ascii() && specials.iter().any(|byte| char::from(*byte) == c) => {
                Some(c)
            }
            _ => None,
        };
        match plain {
            Some(plain) => {
                out.push(plain);
                chars.next();
            }
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}
