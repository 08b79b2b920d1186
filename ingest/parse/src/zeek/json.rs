//! Zeek's records in JSON: which objects are such, and how they read as a tab-separated record would.

use std::borrow::Cow;

use weir_schema::Value;

use super::{WRITTEN, decimal, trimmed};
use crate::draft::Draft;
use crate::time::{self, Stamp, Zone};

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
