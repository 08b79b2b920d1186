//! Records of the Linux audit system: `type=SYSCALL msg=audit(time:serial): name=value ...`, as
//! auditd, its dispatcher, the kernel and Microsoft's collector write them.
//!
//! Fields have the record's own names. Where audit writes text in hexadecimal, since it holds a
//! space, a quote or worse, the field is the text.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::{FIELDS_MAX, time};

/// Types that the kernel writes as numbers where no daemon names them (linux/audit.h).
const TYPES: [(&str, &str); 12] = [
    ("1300", "SYSCALL"),
    ("1302", "PATH"),
    ("1305", "CONFIG_CHANGE"),
    ("1306", "SOCKADDR"),
    ("1307", "CWD"),
    ("1309", "EXECVE"),
    ("1320", "EOE"),
    ("1325", "NETFILTER_CFG"),
    ("1326", "SECCOMP"),
    ("1327", "PROCTITLE"),
    ("1334", "BPF"),
    ("1400", "AVC"),
];

/// The names of system calls on x86-64 that rules ask for; a daemon that does not enrich its
/// records writes the number alone.
const CALLS: [(&str, &str); 22] = [
    ("41", "socket"),
    ("42", "connect"),
    ("49", "bind"),
    ("56", "clone"),
    ("57", "fork"),
    ("58", "vfork"),
    ("59", "execve"),
    ("62", "kill"),
    ("99", "sysinfo"),
    ("101", "ptrace"),
    ("103", "syslog"),
    ("105", "setuid"),
    ("133", "mknod"),
    ("135", "personality"),
    ("165", "mount"),
    ("175", "init_module"),
    ("176", "delete_module"),
    ("259", "mknodat"),
    ("313", "finit_module"),
    ("319", "memfd_create"),
    ("321", "bpf"),
    ("322", "execveat"),
];

/// Fields that audit writes in quotes, or in hexadecimal where quotes would not do
/// (`audit_log_untrustedstring`).
const UNTRUSTED: [&str; 18] = [
    "proctitle",
    "comm",
    "ocomm",
    "exe",
    "name",
    "acct",
    "cwd",
    "cmd",
    "cmdline",
    "key",
    "data",
    "path",
    "dir",
    "file",
    "watch",
    "vm",
    "old-disk",
    "new-disk",
];

/// The separator before what a daemon adds to a record, as shippers write it that escape it twice.
const SEPARATOR_WRITTEN: &str = "\\u001D";

/// Whether a text begins as a record does.
pub(crate) fn is_record(text: &str) -> bool {
    let text = without_uptime(text);
    let start = text.get(..text.floor_char_boundary(256)).unwrap_or(text);
    (start.starts_with("type=") || start.starts_with("node=") || start.starts_with("audit: "))
        && start.contains("audit(")
}

/// A kernel's line without the seconds since it started: `[   12.345678] `.
fn without_uptime(line: &str) -> &str {
    match line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    {
        Some((uptime, rest)) if uptime.len() <= 16 => rest,
        _ => line,
    }
}

/// Reads one record; false, with nothing written, where it is not one.
pub(crate) fn read<'a>(line: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some(head) = head(line) else {
        return false;
    };
    draft.linux("auditd");
    draft.time = time::epoch(head.at).or(draft.time);
    if let Some(node) = head.node {
        draft.text("host", node);
    }
    draft.text("type", head.kind);
    draft.text("audit_id", head.id);
    draft.number("serial", head.serial);
    let mut rest = head.pairs;
    for n in 0.. {
        if n == FIELDS_MAX {
            draft.problem(Problem::TooManyFields);
            break;
        }
        rest = rest.trim_start_matches([' ', '\'', '\u{1d}', ',', '(']);
        rest = rest.strip_prefix(SEPARATOR_WRITTEN).unwrap_or(rest);
        let Some((name, tail)) = rest.split_once('=') else {
            break;
        };
        // `user pid=1` has a word before the name.
        let name = name.rsplit([' ', '(']).next().unwrap_or(name);
        // A user record wraps its pairs: msg='op=login ...'.
        if name == "msg" && tail.starts_with('\'') {
            rest = tail;
            continue;
        }
        let (value, tail) = value(head.kind, name, tail);
        put(name, value, draft);
        rest = tail;
    }
    call(draft);
    true
}

struct Head<'a> {
    node: Option<&'a str>,
    kind: &'a str,
    /// Seconds since 1970.
    at: &'a str,
    serial: &'a str,
    /// Time and serial: records of one event have the same.
    id: &'a str,
    pairs: &'a str,
}

fn head(line: &str) -> Option<Head<'_>> {
    let line = without_uptime(line);
    let (node, rest) = match line.strip_prefix("node=") {
        Some(rest) => rest
            .split_once(' ')
            .map(|(node, rest)| (Some(node), rest))?,
        None => (None, line),
    };
    let rest = rest.strip_prefix("audit: ").unwrap_or(rest);
    let (kind, rest) = rest.strip_prefix("type=")?.split_once(' ')?;
    // Microsoft's collector and the kernel leave `msg=` out.
    let rest = rest.strip_prefix("msg=").unwrap_or(rest);
    let (id, pairs) = rest.strip_prefix("audit(")?.split_once("):")?;
    let (at, serial) = id.split_once(':')?;
    let named = TYPES.iter().find(|(number, _)| *number == kind);
    Some(Head {
        node,
        kind: named.map_or(kind, |(_, name)| name),
        at,
        serial,
        id,
        pairs,
    })
}

fn value<'a>(kind: &str, name: &str, tail: &'a str) -> (Value<'a>, &'a str) {
    if let Some((text, rest)) = tail.strip_prefix('"').and_then(|text| text.split_once('"')) {
        return (Value::Text(Cow::Borrowed(text)), rest);
    }
    if let Some((inner, rest)) = tail.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let items = inner.split(',').take(FIELDS_MAX);
        let item = |item: &'a str| Value::Text(Cow::Borrowed(item.trim_matches('"')));
        return (Value::List(items.map(item).collect()), rest);
    }
    let end = if name == "proctitle" && kind.starts_with("AUOMS_") {
        // Microsoft's collector decodes it, and puts no quotes around its spaces.
        tail.find(" redactors=")
    } else {
        tail.find([' ', '\'', '\u{1d}'])
    };
    let end = end.unwrap_or(tail.len());
    let end = tail
        .get(..end)
        .and_then(|text| text.find(SEPARATOR_WRITTEN))
        .unwrap_or(end);
    let (text, rest) = tail.split_at_checked(end).unwrap_or((tail, ""));
    let text = text.trim_end_matches(',');
    let text = if text.contains('(') {
        text
    } else {
        text.trim_end_matches(')')
    };
    let whole = name.split('[').next().unwrap_or(name);
    let encoded = kind == "EXECVE" && argument(whole).is_some() || UNTRUSTED.contains(&name);
    match encoded.then(|| hex(text)).flatten() {
        // Several keys of a watch are one text with a byte between them that no key holds.
        Some(keys) if name == "key" && keys.contains('\u{1}') => {
            let keys = keys.split('\u{1}').take(FIELDS_MAX);
            let key = |key: &str| Value::Text(Cow::Owned(key.to_owned()));
            (Value::List(keys.map(key).collect()), rest)
        }
        Some(text) => (Value::Text(Cow::Owned(text)), rest),
        None => (Value::Text(Cow::Borrowed(text)), rest),
    }
}

/// Adds a field. The parts `a1[0]`, `a1[1]`, ... of a long argument come in order and are one.
fn put<'a>(name: &'a str, value: Value<'a>, draft: &mut Draft<'a>) {
    let part = name.strip_suffix(']').and_then(|name| name.split_once('['));
    let Some((whole, _)) = part.filter(|(whole, _)| argument(whole).is_some()) else {
        return draft.put(name, value);
    };
    let mut fields = draft.fields.iter_mut();
    match (fields.find(|(field, _)| field == whole), value) {
        (Some((_, Value::Text(before))), Value::Text(more)) => before.to_mut().push_str(&more),
        (Some(_), _) => {}
        (None, value) => draft.put(whole, value),
    }
}

/// The number of `a0`, `a1`, ... but not of `argc` or `a0_len`.
fn argument(name: &str) -> Option<usize> {
    name.strip_prefix('a')?.parse().ok()
}

/// Names the system call, as a daemon does that enriches what it writes.
fn call(draft: &mut Draft<'_>) {
    let is =
        |name: &str, wanted: &str| matches!(draft.get(name), Some(Value::Text(t)) if t == wanted);
    if !is("arch", "c000003e") {
        return;
    }
    let named = CALLS.iter().find(|(number, _)| is("syscall", number));
    if let Some((_, name)) = named {
        draft.put("SYSCALL", Value::Text(Cow::Borrowed(*name)));
    }
}

/// Text that audit wrote as upper-case hexadecimal; NUL, between arguments, reads as a space.
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
