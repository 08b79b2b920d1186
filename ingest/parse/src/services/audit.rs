//! Records of the Linux audit daemon: `type=SYSCALL msg=audit(time:serial): name=value ...`.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::{FIELDS_MAX, time};

/// Reads one record; false, with nothing written, where it is not one.
pub(crate) fn read<'a>(line: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((kind, at, serial, pairs)) = split(line) else {
        return false;
    };
    draft.linux("auditd");
    if draft.time.is_none() {
        draft.time = time::epoch(at);
    }
    draft.text("type", kind);
    draft.number("serial", serial);
    let mut rest = pairs;
    for n in 0.. {
        if n == FIELDS_MAX {
            draft.problem(Problem::TooManyFields);
            break;
        }
        rest = rest.trim_start_matches([' ', '\'', '\u{1d}', ',']);
        let Some((name, tail)) = rest.split_once('=') else {
            break;
        };
        // `user pid=1` has a word before the name.
        let name = name.rsplit(' ').next().unwrap_or(name);
        // A user record wraps its pairs: msg='op=login ...'.
        if name == "msg" && tail.starts_with('\'') {
            rest = tail;
            continue;
        }
        let (value, tail) = value(kind, name, tail);
        draft.put(name, Value::Text(value));
        rest = tail;
    }
    true
}

fn split(line: &str) -> Option<(&str, &str, &str, &str)> {
    let (kind, rest) = line.strip_prefix("type=")?.split_once(" msg=audit(")?;
    let (stamp, pairs) = rest.split_once("):")?;
    let (at, serial) = stamp.split_once(':')?;
    Some((kind, at, serial, pairs))
}

fn value<'a>(kind: &str, name: &str, tail: &'a str) -> (Cow<'a, str>, &'a str) {
    if let Some((text, rest)) = tail.strip_prefix('"').and_then(|text| text.split_once('"')) {
        return (Cow::Borrowed(text), rest);
    }
    let end = tail.find([' ', '\'', '\u{1d}']).unwrap_or(tail.len());
    let (text, rest) = tail.split_at_checked(end).unwrap_or((tail, ""));
    let argument = kind == "EXECVE" && is_argument(name);
    let encoded =
        argument || matches!(name, "proctitle" | "comm" | "exe" | "name" | "acct" | "cwd");
    let decoded = if encoded { hex(text) } else { None };
    (decoded.map_or(Cow::Borrowed(text), Cow::Owned), rest)
}

/// `a0`, `a1`, ... but not `argc` or `a0_len`.
fn is_argument(name: &str) -> bool {
    name.strip_prefix('a')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Text that audit wrote as upper-case hexadecimal, as it does for whatever holds a space or a
/// quote; NUL reads as a space.
fn hex(text: &str) -> Option<String> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| match pair {
        [high, low] => Some(match digit(*high)? * 16 + digit(*low)? {
            0 => b' ',
            byte => byte,
        }),
        _ => None,
    });
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}
