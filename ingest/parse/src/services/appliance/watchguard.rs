//! WatchGuard Firebox: `(2026-03-01T10:00:00) firewall: msg_id="3000-0148" Deny 0-External Firebox 36 tcp
//! 20 117 192.0.2.9 198.51.100.7 44123 22 (Unhandled External Packet-00)`.

use std::borrow::Cow;

use crate::draft::Draft;
use crate::services::text::{
    FAILURE, SUCCESS, add_source_address, is_address, is_port, split_at_last,
};
use crate::{Context, time};

/// Most words in front of the addresses: action, interfaces, size, protocol and its numbers.
const WORDS_MAX: usize = 16;

/// Reads an entry. Returns false, with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some((clock, rest)) = message
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(") "))
    else {
        return false;
    };
    let (Some(time), Some((program, rest))) =
        (time::iso(clock, context.zone), rest.split_once(": "))
    else {
        return false;
    };
    let Some((id, text)) = rest
        .strip_prefix("msg_id=\"")
        .and_then(|rest| rest.split_once("\" "))
    else {
        return false;
    };
    let (program, pid) = match program
        .strip_suffix(']')
        .and_then(|tag| tag.split_once('['))
    {
        Some((program, pid)) => (program, Some(pid)),
        None => (program, None),
    };
    draft.logsource.product = Some("watchguard");
    draft.message = Cow::Borrowed(message);
    draft.time = draft.time.or(Some(time));
    draft.add_text("program", program);
    if let Some(pid) = pid {
        draft.add_number("pid", pid);
    }
    draft.add_text("msgid", id);
    if !packet(text, draft) {
        login(text, draft);
    }
    true
}

/// Reads `Deny IN OUT SIZE PROTO … SOURCE TARGET PORT PORT`.
fn packet<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let mut words = text.split(' ').take(WORDS_MAX);
    let (action, outcome) = match words.next() {
        Some("Deny") => ("deny", FAILURE),
        Some("Allow") => ("allow", SUCCESS),
        _ => return false,
    };
    let mut proto = "";
    let source = words.find(|word| {
        if matches!(*word, "tcp" | "udp" | "icmp" | "esp" | "gre" | "igmp") {
            proto = word;
        }
        !proto.is_empty() && is_address(word)
    });
    let (Some(source), Some(target)) = (source, words.next()) else {
        return false;
    };
    if !is_address(target) {
        return false;
    }
    draft.logsource.category = Some("firewall");
    draft.add_text("action", action);
    draft.add_text("outcome", outcome);
    draft.add_text("proto", proto);
    add_source_address(source, draft);
    draft.add_text("dst_ip", target);
    if matches!(proto, "tcp" | "udp") {
        for name in ["src_port", "dst_port"] {
            if let Some(port) = words.next().filter(|port| is_port(port)) {
                draft.add_number(name, port);
            }
        }
    }
    true
}

/// Reads `Authentication of Firewall user [ann@Firebox-DB] from 192.0.2.9 was rejected, …`.
fn login<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let Some(rest) = text.strip_prefix("Authentication of ") else {
        return;
    };
    let ends = [(" was rejected", FAILURE), (" was accepted", SUCCESS)];
    let found = ends
        .into_iter()
        .find_map(|(end, outcome)| Some((split_at_last(rest, end)?.0, outcome)));
    let Some((head, outcome)) = found else {
        return;
    };
    draft.add_text("action", "login");
    draft.add_text("outcome", outcome);
    let Some((user, address)) = split_at_last(head, "] from ") else {
        return;
    };
    if is_address(address) {
        add_source_address(address, draft);
    }
    if let Some((_, user)) = user.split_once('[') {
        draft.add_text("user", user);
    }
}
