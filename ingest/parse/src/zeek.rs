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
use crate::time::{self, Stamp, Zone};
use crate::{Context, FIELDS_MAX};

/// When a record was written: two writers of one event differ in it.
const WRITTEN: &str = "_write_ts";

/// Longest separator that a header may name; Zeek's are one character.
const SEPARATOR_BYTES_MAX: usize = 8;

/// The columns of type `time` in Zeek's own logs. Its JSON may write them as dates.
const TIMES: [&str; 22] = [
    "ts",
    "from",
    "till",
    "times.modified",
    "times.accessed",
    "times.created",
    "times.changed",
    "ref_time",
    "org_time",
    "rec_time",
    "xmt_time",
    "certificate.not_valid_before",
    "certificate.not_valid_after",
    "revoketime",
    "thisUpdate",
    "nextUpdate",
    "compile_ts",
    "up_since",
    "blocked_until",
    "watched_until",
    "referenced_file.ts",
    "t",
];

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

/// How Zeek names a connection.
const CONNECTION: [&str; 5] = ["uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"];

/// A log, and fields that only its records have together.
///
/// Zeek's JSON names its log only where it is configured to. A record of a log that is not here is
/// still known for Zeek's by the connection that it is of.
///
/// `uid` stands for the connection, `action=SMB::` for what a text begins with.
const LOGS: [(&str, &[&str]); 33] = [
    ("conn", &["uid", "conn_state"]),
    ("dns", &["uid", "AA", "rejected"]),
    ("http", &["uid", "trans_depth", "tags"]),
    ("sip", &["uid", "trans_depth", "call_id"]),
    ("smtp", &["uid", "trans_depth", "tls"]),
    ("ssl", &["uid", "established", "resumed"]),
    ("files", &["fuid", "source", "seen_bytes"]),
    ("x509", &["certificate.serial", "certificate.subject"]),
    ("notice", &["note", "actions", "suppress_for"]),
    ("dhcp", &["uids", "msg_types"]),
    ("weird", &["name", "notice", "peer"]),
    ("ssh", &["uid", "auth_attempts"]),
    ("ftp", &["uid", "command", "reply_code"]),
    ("ftp", &["uid", "user", "command", "arg"]),
    ("rdp", &["uid", "cert_count"]),
    ("smb_files", &["uid", "action=SMB::"]),
    ("smb_mapping", &["uid", "share_type"]),
    ("dce_rpc", &["uid", "endpoint", "operation"]),
    ("kerberos", &["uid", "request_type"]),
    ("ntlm", &["uid", "server_nb_computer_name"]),
    ("ntlm", &["uid", "domainname", "hostname"]),
    ("snmp", &["uid", "get_requests"]),
    ("syslog", &["uid", "facility", "severity", "message"]),
    ("software", &["host", "software_type", "unparsed_version"]),
    ("tunnel", &["uid", "tunnel_type"]),
    ("mysql", &["uid", "cmd", "arg"]),
    ("pe", &["id", "machine", "is_exe"]),
    ("intel", &["seen.indicator", "seen.where"]),
    ("quic", &["uid", "client_initial_dcid"]),
    ("ldap", &["uid", "message_id", "opcode"]),
    ("ldap_search", &["uid", "message_id", "scope"]),
    ("radius", &["uid", "username", "result", "mac"]),
    ("ocsp", &["hashAlgorithm", "serialNumber", "certStatus"]),
];

/// Sees whether the fields of a JSON object are a record of Zeek's; if so, writes them as a
/// tab-separated record would read.
pub(crate) fn recognise<'a>(draft: &mut Draft<'a>) -> bool {
    if !matches!(
        draft.get("ts"),
        Some(Value::Int(_) | Value::Number(_) | Value::Text(_))
    ) {
        return false;
    }
    let path: Option<&'a str> = match draft.get("_path") {
        Some(Value::Text(Cow::Borrowed(path))) => Some(path),
        _ => None,
    };
    let Some(path) = path.map(Some).or_else(|| known(draft)) else {
        return false;
    };
    draft.source.product = Some("zeek");
    draft.source.service = path;
    draft.remove(WRITTEN);
    for (name, value) in &mut draft.fields {
        if let Value::Text(text) = value
            && TIMES.contains(&name.as_ref())
            && let Some(Stamp::At(ns)) = time::iso(text, Zone::UTC)
        {
            let written = format!("{}.{:06}", ns / 1_000_000_000, ns / 1_000 % 1_000_000);
            *value = Value::Number(Cow::Owned(trimmed(&written).to_owned()));
        }
        shorten(value);
    }
    if let Some(path) = path {
        draft.text("_path", path);
    }
    true
}

/// The log that the fields are of, `Some(None)` where they are of Zeek and no more is sure.
fn known(draft: &Draft<'_>) -> Option<Option<&'static str>> {
    let is_there = |name: &str| draft.get(name).is_some();
    let of_connection = CONNECTION.into_iter().all(is_there);
    let has = |wanted: &&str| match wanted.split_once('=') {
        None if *wanted == "uid" => of_connection,
        None => is_there(wanted),
        Some((name, start)) => {
            matches!(draft.get(name), Some(Value::Text(text)) if text.starts_with(start))
        }
    };
    let log = LOGS.iter().find(|(_, fields)| fields.iter().all(has));
    match log {
        Some((path, _)) => Some(Some(*path)),
        None => of_connection.then_some(None),
    }
}

/// Floats with the places that a column would show.
fn shorten(value: &mut Value<'_>) {
    match value {
        Value::Number(text) if text.contains(['.', 'e', 'E']) => {
            if let Some(short) = decimal(text).filter(|short| *short != *text) {
                *text = Cow::Owned(short.into_owned());
            }
        }
        Value::List(values) => values.iter_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Number(_) | Value::Text(_) => {}
    }
}
