//! Packets that the kernel's firewall logs: iptables, nftables, ufw.

use weir_schema::{Problem, Value};

use super::text::{source_address, word};
use crate::FIELDS_MAX;
use crate::draft::Draft;

/// Prefix words that say what became of the packet.
const VERDICTS: [(&str, &str); 9] = [
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

/// Reads `[12.3] [UFW BLOCK] IN=eth0 OUT= SRC=.. DST=.. PROTO=TCP SPT=.. DPT=..`; false, with
/// nothing written, where it is not that.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some(at) = memchr::memmem::find(message.as_bytes(), b"IN=") else {
        return false;
    };
    let (prefix, packet) = message.split_at_checked(at).unwrap_or(("", message));
    let glued = prefix
        .bytes()
        .last()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    if glued || !packet.contains(" OUT=") || !packet.contains(" SRC=") {
        return false;
    }
    draft.source.category = Some("firewall");
    draft.source.service = Some("firewall");
    let mut flags = Vec::new();
    for (n, word) in packet.split_ascii_whitespace().enumerate() {
        if n == FIELDS_MAX {
            draft.problem(Problem::TooManyFields);
            break;
        }
        match word.split_once('=') {
            Some((name, value)) => {
                draft.text(name, value);
                alias(name, value, draft);
            }
            None => flags.push(Value::Text(word.into())),
        }
    }
    if !flags.is_empty() {
        draft.put("flags", Value::List(flags));
    }
    verdict(prefix, draft);
    true
}

fn alias<'a>(name: &str, value: &'a str, draft: &mut Draft<'a>) {
    match name {
        "SRC" => source_address(value, draft),
        "DST" => draft.text("dst_ip", value),
        "SPT" => draft.number("src_port", value),
        "DPT" => draft.number("dst_port", value),
        _ => {}
    }
}

fn verdict(prefix: &str, draft: &mut Draft<'_>) {
    // Only the end of a prefix is looked at: iptables allows 29 bytes, nftables 127.
    let start = prefix.len().saturating_sub(128);
    let tail = prefix.as_bytes().get(start..).unwrap_or_default();
    for part in tail.split(|b| !b.is_ascii_alphabetic()) {
        let known = VERDICTS.iter().find(|(upper, _)| {
            part.get(..upper.len())
                .is_some_and(|p| p.eq_ignore_ascii_case(upper.as_bytes()))
        });
        if let Some((_, action)) = known {
            return word("action", action, draft);
        }
    }
}
