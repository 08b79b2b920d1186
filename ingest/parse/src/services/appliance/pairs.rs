//! Products whose messages are pairs: their log source, and the common names of their fields.

use std::borrow::Cow;

use weir_schema::Value;

use crate::draft::Draft;
use crate::services::text::{FAILURE, SUCCESS, between, is_address, is_port};

/// Adds what the names of the pairs of a message tell.
pub(crate) fn recognize(draft: &mut Draft<'_>) {
    let has = |names: &[&str]| names.iter().all(|name| draft.get(name).is_some());
    if has(&["logid", "type", "subtype"]) {
        fortigate(draft);
    } else if has(&["sn", "fw", "m", "id"]) {
        sonicwall(draft);
    } else if has(&["device_name", "log_component", "log_subtype"]) {
        sophos(draft);
    }
}

fn text<'d>(draft: &'d Draft<'_>, name: &str) -> &'d str {
    match draft.get(name) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

/// Adds a field a second time under its common name.
fn alias(draft: &mut Draft<'_>, name: &str, common: &'static str) {
    let value = text(draft, name);
    let number = value.parse().ok().filter(|_| is_port(value));
    let value = match common {
        "src_ip" | "dst_ip" if is_address(value) => Value::Text(Cow::Owned(value.to_owned())),
        "src_port" | "dst_port" => match number {
            Some(number) => Value::Int(number),
            None => return,
        },
        "user" if !value.is_empty() => Value::Text(Cow::Owned(value.to_owned())),
        _ => return,
    };
    draft.add(common, value);
}

fn add_outcome(draft: &mut Draft<'_>, outcome: Option<&'static str>) {
    if let Some(outcome) = outcome {
        draft.add_text("outcome", outcome);
    }
}

/// Returns the outcome that a word states, by its start and without regard to case.
fn outcome_of(word: &str) -> Option<&'static str> {
    const FAILURES: [&str; 12] = [
        "fail",
        "den",
        "block",
        "drop",
        "reset",
        "reject",
        "ssl-login-fail",
        "quarantine",
        "prevent",
        "dpd_failure",
        "negotiate_error",
        "unauth",
    ];
    const SUCCESSES: [&str; 8] = [
        "success",
        "accept",
        "allow",
        "pass",
        "tunnel-up",
        "authenticated",
        "permit",
        "ssl-login",
    ];
    let starts = |known: &&str| {
        let start = word.as_bytes().get(..known.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(known.as_bytes()))
    };
    if FAILURES.iter().any(starts) {
        Some(FAILURE)
    } else if SUCCESSES.iter().any(starts) {
        Some(SUCCESS)
    } else {
        None
    }
}

/// FortiGate: `logid=… type="traffic" subtype="forward" srcip=… dstip=… action="deny"`.
fn fortigate(draft: &mut Draft<'_>) {
    draft.logsource.product = Some("fortigate");
    match text(draft, "type") {
        "traffic" => {
            draft.logsource.category = Some("firewall");
            draft.logsource.service = Some("traffic");
        }
        "utm" => {
            draft.logsource.category = Some("firewall");
            draft.logsource.service = Some("utm");
        }
        "event" => draft.logsource.service = Some("event"),
        _ => {}
    }
    for (name, common) in [
        ("srcip", "src_ip"),
        ("remip", "src_ip"),
        ("dstip", "dst_ip"),
        ("locip", "dst_ip"),
        ("srcport", "src_port"),
        ("dstport", "dst_port"),
    ] {
        alias(draft, name, common);
    }
    // `https(192.0.2.9)`: whence an administrator came.
    let from = between(text(draft, "ui"), "(", ")").map(str::to_owned);
    if let Some(address) = from.filter(|address| is_address(address)) {
        draft.add("src_ip", Value::Text(Cow::Owned(address)));
    }
    let outcome = outcome_of(text(draft, "status")).or_else(|| outcome_of(text(draft, "action")));
    add_outcome(draft, outcome);
}

/// SonicWall: `id=firewall sn=… fw=… m=97 msg="…" src=192.0.2.9:4022:X0 dst=198.51.100.7:443:X1:name`.
fn sonicwall(draft: &mut Draft<'_>) {
    draft.logsource.product = Some("sonicwall");
    draft.logsource.category = Some("firewall");
    for (name, address_name, port_name) in
        [("src", "src_ip", "src_port"), ("dst", "dst_ip", "dst_port")]
    {
        let value = text(draft, name).to_owned();
        let mut parts = value.splitn(3, ':');
        let (address, port) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        // IPv6 has its own fields, and only the port here.
        if is_address(address) {
            draft.add(address_name, Value::Text(Cow::Owned(address.to_owned())));
        }
        if let Some(number) = port.parse().ok().filter(|_| is_port(port)) {
            draft.add(port_name, Value::Int(number));
        }
    }
    alias(draft, "srcV6", "src_ip");
    alias(draft, "dstV6", "dst_ip");
    alias(draft, "usr", "user");
    let message = text(draft, "msg");
    let is_login = message.contains("ogin");
    let outcome = ["denied", "failed", "dropped", "allowed"]
        .iter()
        .find(|word| message.contains(*word))
        .and_then(|word| outcome_of(word));
    if is_login && outcome.is_some() {
        draft.add_text("action", "login");
    }
    add_outcome(draft, outcome);
}

/// Sophos Firewall: `log_type="Firewall" log_component="…" log_subtype="Denied" status="Deny" src_ip=…`.
fn sophos(draft: &mut Draft<'_>) {
    draft.logsource.product = Some("sophos");
    if text(draft, "log_type") == "Firewall" {
        draft.logsource.category = Some("firewall");
    }
    alias(draft, "user_name", "user");
    if text(draft, "log_subtype") == "Authentication" {
        draft.add_text("action", "login");
    }
    let outcome =
        outcome_of(text(draft, "status")).or_else(|| outcome_of(text(draft, "log_subtype")));
    add_outcome(draft, outcome);
    for name in ["src_port", "dst_port"] {
        let value = text(draft, name);
        if let Some(number) = value.parse().ok().filter(|_| is_port(value)) {
            draft.set(Cow::Borrowed(name), Value::Int(number));
        }
    }
}
