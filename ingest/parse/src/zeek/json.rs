//! Zeek records in JSON: recognizes them and converts values to those of a tab-separated record.

use std::borrow::Cow;

use weir_schema::Value;

use super::{WRITE_TIME, decimal, trim_zeros};
use crate::draft::Draft;
use crate::time::{self, Timestamp, Zone};

/// Columns of type `time` in Zeek's own logs, which its JSON may write as dates.
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

/// Fields that identify a connection.
const CONNECTION: [&str; 5] = ["uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"];

/// Logs, each with a set of fields that only its records have.
///
/// Zeek's JSON names the log only if it is configured to. A record of a log that is not in this
/// table is still recognized as Zeek's by the fields of its connection.
///
/// `uid` stands for all fields of a connection, and `action=SMB::` for a text with that prefix.
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

/// Recognizes a record of Zeek's, and converts its fields to those of a tab-separated record.
/// Returns false, with nothing changed, for other objects.
pub(crate) fn recognize<'a>(draft: &mut Draft<'a>) -> bool {
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
    let Some(path) = path.map(Some).or_else(|| log_name(draft)) else {
        return false;
    };
    draft.logsource.product = Some("zeek");
    draft.logsource.service = path;
    draft.remove(WRITE_TIME);
    for (name, value) in &mut draft.fields {
        if let Value::Text(text) = value
            && TIMES.contains(&name.as_ref())
            && let Some(Timestamp::At(ns)) = time::iso(text, Zone::UTC)
        {
            let written = format!("{}.{:06}", ns / 1_000_000_000, ns / 1_000 % 1_000_000);
            *value = Value::Number(Cow::Owned(trim_zeros(&written).to_owned()));
        }
        round_floats(value);
    }
    if let Some(path) = path {
        draft.add_text("_path", path);
    }
    true
}

/// Returns the name of the log by its fields; `Some(None)` if the record is Zeek's but the log is
/// unknown.
fn log_name(draft: &Draft<'_>) -> Option<Option<&'static str>> {
    let has_field = |name: &str| draft.get(name).is_some();
    let has_connection = CONNECTION.into_iter().all(has_field);
    let matches_record = |wanted: &&str| match wanted.split_once('=') {
        None if *wanted == "uid" => has_connection,
        None => has_field(wanted),
        Some((name, start)) => {
            matches!(draft.get(name), Some(Value::Text(text)) if text.starts_with(start))
        }
    };
    let log = LOGS
        .iter()
        .find(|(_, fields)| fields.iter().all(matches_record));
    match log {
        Some((path, _)) => Some(Some(*path)),
        None => has_connection.then_some(None),
    }
}

/// Rounds floats to the places that a column has.
fn round_floats(value: &mut Value<'_>) {
    match value {
        Value::Number(text) if text.contains(['.', 'e', 'E']) => {
            if let Some(rounded) = decimal(text).filter(|rounded| *rounded != *text) {
                *text = Cow::Owned(rounded.into_owned());
            }
        }
        Value::List(values) => values.iter_mut().for_each(round_floats),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Number(_) | Value::Text(_) => {}
    }
}
