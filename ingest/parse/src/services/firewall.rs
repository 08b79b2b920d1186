//! Packets logged by the kernel's firewall: iptables, nftables, ufw.

use weir_schema::{Problem, Value};

use super::text::add_source_address;
use crate::FIELDS_MAX;
use crate::draft::Draft;

/// Words in the prefix of a line, and the action that they mean.
const ACTIONS: [(&str, &str); 9] = [
    ("BLOCK", "block"),
    ("DROP", "drop"),
    ("REJECT", "reject"),
    ("DENY", "deny"),
    ("DENIED", "deny"),
    ("ALLOW", "allow"),
    ("ACCEPT", "accept"),
    ("AUDIT", "audit"),
    ("LIMIT", "limit"),
];

/// Reads `[12.3] [UFW BLOCK] IN=eth0 OUT= SRC=.. DST=.. PROTO=TCP SPT=.. DPT=..`. Returns false, with
/// nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some(at) = memchr::memmem::find(message.as_bytes(), b"IN=") else {
        return false;
    };
    let (prefix, packet) = message.split_at_checked(at).unwrap_or(("", message));
    let is_word_before = prefix
        .bytes()
        .last()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    if is_word_before || !packet.contains(" OUT=") || !packet.contains(" SRC=") {
        return false;
    }
    draft.logsource.category = Some("firewall");
    draft.logsource.service = Some("firewall");
    // An ICMP error quotes the packet that it answers in brackets.
    let (packet, quoted) = match packet.split_once(" [") {
        Some((packet, quoted)) if quoted.starts_with("SRC=") => (packet, Some(quoted)),
        _ => (packet, None),
    };
    if let Some(quoted) = quoted {
        let quoted = quoted
            .trim_ascii_end()
            .trim_end_matches(']')
            .trim_ascii_end();
        draft.add_text("quoted_packet", quoted);
    }
    let mut flags = Vec::new();
    for (n, word) in packet.split_ascii_whitespace().enumerate() {
        if n == FIELDS_MAX {
            draft.add_problem(Problem::TooManyFields);
            break;
        }
        match word.split_once('=') {
            Some((name, value)) => {
                draft.add_text(name, value);
                add_alias(name, value, draft);
            }
            None => flags.push(Value::Text(word.into())),
        }
    }
    if !flags.is_empty() {
        draft.add("flags", Value::List(flags));
    }
    add_action(prefix, draft);
    true
}

/// Adds addresses and ports a second time under their common names.
fn add_alias<'a>(name: &str, value: &'a str, draft: &mut Draft<'a>) {
    match name {
        "SRC" => add_source_address(value, draft),
        "DST" => draft.add_text("dst_ip", value),
        "SPT" => draft.add_number("src_port", value),
        "DPT" => draft.add_number("dst_port", value),
        _ => {}
    }
}

fn add_action(prefix: &str, draft: &mut Draft<'_>) {
    // Only the end of the prefix counts: iptables allows 29 bytes, nftables 127.
    let start = prefix.len().saturating_sub(128);
    let tail = prefix.as_bytes().get(start..).unwrap_or_default();
    for part in tail.split(|b| !b.is_ascii_alphabetic()) {
        let action = ACTIONS.iter().find(|(upper, _)| {
            part.get(..upper.len())
                .is_some_and(|p| p.eq_ignore_ascii_case(upper.as_bytes()))
        });
        if let Some((_, action)) = action {
            return draft.add_text("action", action);
        }
    }
}
