//! Logs of PAN-OS in its default form: comma-separated columns, whose meaning the type decides.

use std::borrow::Cow;

use weir_schema::Value;

use crate::draft::Draft;
use crate::services::csv::Columns;
use crate::services::text::{FAILURE, SUCCESS, add_action, between, is_address, split_at_last};
use crate::{Context, time};

/// Columns that all types share, by position.
const COMMON: [(usize, &str); 3] = [(2, "serial"), (3, "type"), (4, "subtype")];

/// Columns of traffic and threats.
const TRAFFIC: [(usize, &str); 22] = [
    (7, "src_ip"),
    (8, "dst_ip"),
    (9, "nat_src_ip"),
    (10, "nat_dst_ip"),
    (11, "rule"),
    (12, "user"),
    (13, "dst_user"),
    (14, "app"),
    (15, "vsys"),
    (16, "src_zone"),
    (17, "dst_zone"),
    (18, "src_interface"),
    (19, "dst_interface"),
    (20, "log_action"),
    (22, "session_id"),
    (24, "src_port"),
    (25, "dst_port"),
    (26, "nat_src_port"),
    (27, "nat_dst_port"),
    (28, "flags"),
    (29, "proto"),
    (30, "action"),
];

const THREAT: [(usize, &str); 5] = [
    (31, "misc"),
    (32, "threat_id"),
    (33, "threat_category"),
    (34, "threat_severity"),
    (35, "direction"),
];

const SYSTEM: [(usize, &str); 5] = [
    (8, "event_id"),
    (9, "object"),
    (12, "module"),
    (13, "event_severity"),
    (14, "description"),
];

const CONFIG: [(usize, &str); 6] = [
    (7, "src_ip"),
    (9, "command"),
    (10, "user"),
    (11, "client"),
    (12, "result"),
    (13, "config_path"),
];

const GLOBALPROTECT: [(usize, &str); 13] = [
    (8, "event_id"),
    (9, "stage"),
    (10, "auth_method"),
    (11, "tunnel_type"),
    (12, "user"),
    (13, "src_region"),
    (14, "src_host"),
    (15, "src_ip"),
    (17, "private_ip"),
    (22, "client_os"),
    (25, "reason"),
    (26, "error"),
    (28, "status"),
];

/// Reads `1,2026/03/01 10:00:00,0123,TRAFFIC,…`. Returns false, with nothing changed, for other
/// messages.
pub(super) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    // The version, a date with slashes, and letters in capitals.
    let start = message
        .split_once(',')
        .filter(|(version, rest)| version.len() <= 2 && rest.as_bytes().get(4) == Some(&b'/'));
    let kind = start.and_then(|(_, rest)| rest.split(',').nth(2));
    let kind = kind.filter(|kind| {
        kind.len() >= 3 && kind.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
    });
    let Some(kind) = kind else {
        return false;
    };
    let columns = Columns::of(message);
    if columns.len() < 8 {
        return false;
    }
    draft.logsource.product = Some("paloalto");
    draft.message = Cow::Borrowed(message);
    add(&columns, &COMMON, draft);
    match kind {
        "TRAFFIC" | "THREAT" | "DECRYPTION" | "SCTP" => {
            draft.logsource.category = Some("firewall");
            add(&columns, &TRAFFIC, draft);
            if kind == "THREAT" {
                add(&columns, &THREAT, draft);
            }
            add_verdict(columns.at(30).map(AsRef::as_ref), draft);
        }
        "SYSTEM" => {
            add(&columns, &SYSTEM, draft);
            add_login(&columns, draft);
        }
        "CONFIG" => {
            draft.add_text("action", "configure");
            add(&columns, &CONFIG, draft);
        }
        "GLOBALPROTECT" => {
            draft.logsource.service = Some("globalprotect");
            add(&columns, &GLOBALPROTECT, draft);
            add_portal_login(&columns, draft);
        }
        _ => {}
    }
    if draft.time.is_none() {
        let written = columns.at(6).or(columns.at(1));
        draft.time = written.and_then(|text| time::iso(text, context.zone));
    }
    true
}

fn add<'a>(columns: &Columns<'a>, names: &[(usize, &'static str)], draft: &mut Draft<'a>) {
    for (at, name) in names {
        let Some(value) = columns.at(*at) else {
            continue;
        };
        let number = name
            .ends_with("_port")
            .then(|| value.parse().ok())
            .flatten();
        match number {
            Some(number) => draft.add(*name, Value::Int(number)),
            None => draft.add(*name, Value::Text(value.clone())),
        }
    }
}

fn add_verdict(action: Option<&str>, draft: &mut Draft<'_>) {
    let outcome = match action {
        Some("allow" | "alert" | "continue" | "override") => SUCCESS,
        Some(action) if action.starts_with(['d', 'b', 'r', 's']) => FAILURE,
        _ => return,
    };
    draft.add_text("outcome", outcome);
}

/// Adds the login that a system event describes: `failed authentication for user 'ann'.  Reason: …
/// From: 192.0.2.9.`
fn add_login<'a>(columns: &Columns<'a>, draft: &mut Draft<'a>) {
    let outcome = match columns.at(8).map(AsRef::as_ref) {
        Some("auth-fail") => FAILURE,
        Some("auth-success") => SUCCESS,
        _ => return,
    };
    add_action("login", outcome, draft);
    let Some(text) = columns.at(14) else {
        return;
    };
    let owned = |text: &str| Value::Text(Cow::Owned(text.to_owned()));
    if let Some(user) = between(text, "user '", "'") {
        draft.add("user", owned(user));
    }
    let source = split_at_last(text, "From: ").map(|(_, rest)| rest.trim_end_matches(['.', ' ']));
    if let Some(address) = source.filter(|source| is_address(source)) {
        draft.add("src_ip", owned(address));
    }
}

fn add_portal_login<'a>(columns: &Columns<'a>, draft: &mut Draft<'a>) {
    let event = columns.at(8).map_or("", AsRef::as_ref);
    if !event.ends_with("-auth") && !event.ends_with("-login") {
        return;
    }
    match columns.at(28).map(AsRef::as_ref) {
        Some("success") => add_action("login", SUCCESS, draft),
        Some("failure" | "failed") => add_action("login", FAILURE, draft),
        _ => draft.add_text("action", "login"),
    }
}
