//! Records of the Linux audit system: `type=SYSCALL msg=audit(time:serial): name=value ...`, as
//! auditd, its dispatcher, the kernel and Microsoft's collector write them.
//!
//! Fields keep the names of the record. Audit writes a text in hexadecimal if it contains a space, a
//! quote or a control character; the field holds the decoded text.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::{FIELDS_MAX, time};

/// Names of record types that the kernel writes as numbers (linux/audit.h).
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

/// Names of the x86-64 system calls that rules match. A daemon that does not enrich its records
/// writes only the number.
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

/// Fields that audit writes in quotes or in hexadecimal (`audit_log_untrustedstring`).
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

/// The separator in front of the fields that a daemon adds, as shippers write it that escape twice.
const ESCAPED_SEPARATOR: &str = "\\u001D";

/// Returns whether a text starts like a record.
pub(crate) fn is_record(text: &str) -> bool {
    let text = without_uptime(text);
    let start = text.get(..text.floor_char_boundary(256)).unwrap_or(text);
    (start.starts_with("type=") || start.starts_with("node=") || start.starts_with("audit: "))
        && start.contains("audit(")
}

/// Removes the uptime that the kernel writes in front of a line: `[   12.345678] `.
fn without_uptime(line: &str) -> &str {
    match line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    {
        Some((uptime, rest)) if uptime.len() <= 16 => rest,
        _ => line,
    }
}

/// Reads one record. Returns false, with nothing changed, for other lines.
pub(crate) fn read<'a>(line: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some(header) = header(line) else {
        return false;
    };
    draft.set_linux_service("auditd");
    draft.time = time::epoch(header.at).or(draft.time);
    if let Some(node) = header.node {
        draft.add_text("host", node);
    }
    draft.add_text("type", header.kind);
    draft.add_text("audit_id", header.id);
    draft.add_number("serial", header.serial);
    let mut rest = header.pairs;
    for n in 0.. {
        if n == FIELDS_MAX {
            draft.add_problem(Problem::TooManyFields);
            break;
        }
        rest = rest.trim_start_matches([' ', '\'', '\u{1d}', ',', '(']);
        rest = rest.strip_prefix(ESCAPED_SEPARATOR).unwrap_or(rest);
        let Some((name, tail)) = rest.split_once('=') else {
            break;
        };
        // A word may precede the name: `user pid=1`.
        let name = name.rsplit([' ', '(']).next().unwrap_or(name);
        // A user record wraps its pairs: msg='op=login ...'.
        if name == "msg" && tail.starts_with('\'') {
            rest = tail;
            continue;
        }
        let (value, tail) = value(header.kind, name, tail);
        add_field(name, value, draft);
        rest = tail;
    }
    add_syscall_name(draft);
    true
}

struct RecordHeader<'a> {
    node: Option<&'a str>,
    kind: &'a str,
    /// Seconds since 1970.
    at: &'a str,
    serial: &'a str,
    /// Time and serial. All records of one event share them.
    id: &'a str,
    pairs: &'a str,
}

fn header(line: &str) -> Option<RecordHeader<'_>> {
    let line = without_uptime(line);
    let (node, rest) = match line.strip_prefix("node=") {
        Some(rest) => rest
            .split_once(' ')
            .map(|(node, rest)| (Some(node), rest))?,
        None => (None, line),
    };
    let rest = rest.strip_prefix("audit: ").unwrap_or(rest);
    let (kind, rest) = rest.strip_prefix("type=")?.split_once(' ')?;
    // Microsoft's collector and the kernel omit `msg=`.
    let rest = rest.strip_prefix("msg=").unwrap_or(rest);
    let (id, pairs) = rest.strip_prefix("audit(")?.split_once("):")?;
    let (at, serial) = id.split_once(':')?;
    let named = TYPES.iter().find(|(number, _)| *number == kind);
    Some(RecordHeader {
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
        // Microsoft's collector decodes it but does not quote its spaces.
        tail.find(" redactors=")
    } else {
        tail.find([' ', '\'', '\u{1d}'])
    };
    let end = end.unwrap_or(tail.len());
    let end = tail
        .get(..end)
        .and_then(|text| text.find(ESCAPED_SEPARATOR))
        .unwrap_or(end);
    let (text, rest) = tail.split_at_checked(end).unwrap_or((tail, ""));
    let text = text.trim_end_matches(',');
    let text = if text.contains('(') {
        text
    } else {
        text.trim_end_matches(')')
    };
    let base_name = name.split('[').next().unwrap_or(name);
    let may_be_hex = kind == "EXECVE" && is_argument(base_name) || UNTRUSTED.contains(&name);
    match may_be_hex.then(|| hex(text)).flatten() {
        // Several keys of a watch are one text, separated by a byte that no key contains.
        Some(keys) if name == "key" && keys.contains('\u{1}') => {
            let keys = keys.split('\u{1}').take(FIELDS_MAX);
            let key = |key: &str| Value::Text(Cow::Owned(key.to_owned()));
            (Value::List(keys.map(key).collect()), rest)
        }
        Some(text) => (Value::Text(Cow::Owned(text)), rest),
        None => (Value::Text(Cow::Borrowed(text)), rest),
    }
}

/// Adds a field. The parts `a1[0]`, `a1[1]`, ... of a long argument come in order and form one field.
fn add_field<'a>(name: &'a str, value: Value<'a>, draft: &mut Draft<'a>) {
    let part = name.strip_suffix(']').and_then(|name| name.split_once('['));
    let Some((argument, _)) = part.filter(|(name, _)| is_argument(name)) else {
        return draft.add(name, value);
    };
    let mut fields = draft.fields.iter_mut();
    match (fields.find(|(field, _)| field == argument), value) {
        (Some((_, Value::Text(before))), Value::Text(more)) => before.to_mut().push_str(&more),
        (Some(_), _) => {}
        (None, value) => draft.add(argument, value),
    }
}

/// Returns whether a name is `a0`, `a1`, ..., but not `argc` or `a0_len`.
fn is_argument(name: &str) -> bool {
    let number = name.strip_prefix('a');
    number.is_some_and(|number| number.parse::<usize>().is_ok())
}

/// Adds the name of the system call, as a daemon that enriches records does.
fn add_syscall_name(draft: &mut Draft<'_>) {
    let is =
        |name: &str, wanted: &str| matches!(draft.get(name), Some(Value::Text(t)) if t == wanted);
    if !is("arch", "c000003e") {
        return;
    }
    let named = CALLS.iter().find(|(number, _)| is("syscall", number));
    if let Some((_, name)) = named {
        draft.add("SYSCALL", Value::Text(Cow::Borrowed(*name)));
    }
}

/// Decodes a text that audit wrote as upper-case hexadecimal. NUL separates arguments and becomes a
/// space.
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
