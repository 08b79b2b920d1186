//! The two line formats that security products share: ArcSight's CEF and QRadar's LEEF.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::seen_pairs::SeenPairs;
use crate::{Context, FIELDS_MAX};

/// Reads a CEF or LEEF message. Returns false, with nothing changed, for other messages.
pub(crate) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let times: &[&str] = if let Some(rest) = message.strip_prefix("CEF:") {
        if !cef(rest.trim_start_matches(' '), draft) {
            return false;
        }
        &["rt", "UNIFIutcTime", "end", "start"]
    } else if let Some(rest) = message.strip_prefix("LEEF:") {
        if !leef(rest, draft) {
            return false;
        }
        &["devTime"]
    } else {
        return false;
    };
    draft.set_pair_time(times, context);
    if draft.get("host").is_none()
        && let Some(Value::Text(host)) = draft.get("dvchost")
        && !host.is_empty()
    {
        let host = Value::Text(host.clone());
        draft.add("host", host);
    }
    true
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

/// Adds `key=value key=value`. A value may contain spaces and, where a product does not escape it,
/// `=`: it ends before the next word that can be a key, behind a space and in front of `=`.
fn add_extension<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let text = text.trim_start_matches(' ');
    // The key in hand, and where its value starts.
    let (mut name, mut value_start) = ("", 0);
    let mut from = 0;
    let mut count = 0;
    let mut seen = SeenPairs::default();
    while let Some(at) = text.get(from..).and_then(|rest| find_unescaped(rest, b'=')) {
        let equals = from + at;
        from = equals + 1;
        let Some(start) = key_start(text, equals).filter(|start| *start >= value_start) else {
            continue;
        };
        if count == FIELDS_MAX {
            return draft.add_problem(Problem::TooManyFields);
        }
        count += 1;
        let value = text.get(value_start..start).unwrap_or("");
        add_pair(name, value, &mut seen, draft);
        (name, value_start) = (text.get(start..equals).unwrap_or(""), equals + 1);
    }
    add_pair(
        name,
        text.get(value_start..).unwrap_or(""),
        &mut seen,
        draft,
    );
}

/// Longest key.
const KEY_BYTES_MAX: usize = 64;

/// Returns where the key in front of an `=` starts: a word of letters, digits and a few signs, behind a
/// space or at the start.
fn key_start(text: &str, equals: usize) -> Option<usize> {
    let bytes = text.as_bytes().get(..equals)?;
    let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']');
    let length = bytes
        .iter()
        .rev()
        .take(KEY_BYTES_MAX)
        .take_while(|b| fits(b))
        .count();
    let start = equals - length;
    let is_separated = start == 0 || bytes.get(start - 1) == Some(&b' ');
    (length > 0 && is_separated).then_some(start)
}

fn add_pair<'a>(name: &'a str, value: &'a str, seen: &mut SeenPairs<'a>, draft: &mut Draft<'a>) {
    if name.is_empty() {
        return;
    }
    let value = unescape(value.trim_end_matches(' '), b"=\\|");
    if seen.insert(name, &value, draft) {
        draft.add(name, Value::Text(value));
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
    let mut separator = Cow::Borrowed("\t");
    if header[0].starts_with('2') {
        // The delimiter is a character or its hexadecimal code: `^` or `x5E`.
        if let Some((code, tail)) = rest.split_once('|').filter(|(code, _)| code.len() <= 5) {
            separator = delimiter(code).map_or(separator, |c| Cow::Owned(c.to_string()));
            rest = tail;
        }
    }
    // Forwarders escape the tab, and PAN-OS writes pipes.
    if separator == "\t" && !rest.contains('\t') {
        let is_used = |other: &&str| rest.contains(*other);
        let other = ["#011", "\\t", "|"].into_iter().find(is_used);
        separator = other.map_or(separator, Cow::Borrowed);
    }
    for (name, part) in NAMES.into_iter().zip(header) {
        draft.add_text(name, part);
    }
    for (n, pair) in rest.split(separator.as_ref()).enumerate() {
        if n == FIELDS_MAX {
            draft.add_problem(Problem::TooManyFields);
            break;
        }
        let pair = pair
            .split_once('=')
            .map(|(name, value)| (name.trim_ascii(), value));
        if let Some((name, value)) = pair.filter(|(name, _)| !name.is_empty()) {
            draft.add_text(name, value);
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
