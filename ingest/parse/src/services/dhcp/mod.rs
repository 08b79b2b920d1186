//! DHCP servers: ISC dhcpd, Kea, dnsmasq, and the audit log of Windows.
//!
//! The client is the source of a message: `src_ip` is the address that it gets or asks for, `src_mac`
//! its hardware, and `src_host` the name that it states, which it chooses freely. No reader takes an
//! address from behind that name.

mod dnsmasq;
mod isc;
mod kea;
mod windows;

pub(crate) use windows::read as read_windows;

use super::text::{FAILURE, SUCCESS};
use crate::Context;
use crate::draft::Draft;
use crate::time;

/// A kind of message: its name on the wire, the action, and the outcome if it says one.
struct MessageKind {
    name: &'static str,
    action: &'static str,
    outcome: Option<&'static str>,
}

const fn kind(
    name: &'static str,
    action: &'static str,
    outcome: Option<&'static str>,
) -> MessageKind {
    MessageKind {
        name,
        action,
        outcome,
    }
}

/// Messages of both versions of the protocol.
const KINDS: [MessageKind; 17] = [
    kind("DHCPDISCOVER", "discover", None),
    kind("DHCPOFFER", "offer", None),
    kind("DHCPREQUEST", "request", None),
    kind("DHCPACK", "ack", Some(SUCCESS)),
    kind("DHCPNAK", "nak", Some(FAILURE)),
    kind("DHCPDECLINE", "decline", Some(FAILURE)),
    kind("DHCPRELEASE", "release", None),
    kind("DHCPINFORM", "inform", None),
    kind("DHCPEXPIRE", "expire", None),
    kind("DHCPSOLICIT", "discover", None),
    kind("DHCPADVERTISE", "offer", None),
    kind("DHCPREPLY", "ack", Some(SUCCESS)),
    kind("DHCPRENEW", "renew", None),
    kind("DHCPREBIND", "renew", None),
    kind("DHCPCONFIRM", "request", None),
    kind("DHCPINFORMATION-REQUEST", "inform", None),
    kind("DHCPLEASEQUERY", "query", None),
];

/// Adds what a kind of message is. Returns false, with nothing changed, for other names.
fn add_kind(name: &str, draft: &mut Draft<'_>) -> bool {
    let Some(kind) = KINDS.iter().find(|kind| kind.name == name) else {
        return false;
    };
    draft.logsource.category = Some("dhcp");
    draft.add_text("action", kind.action);
    if let Some(outcome) = kind.outcome {
        draft.add_text("outcome", outcome);
    }
    true
}

/// Adds the reason why a server gave no address.
fn add_refusal<'a>(reason: &'a str, draft: &mut Draft<'a>) {
    draft.add_text("outcome", FAILURE);
    draft.add_text("reason", reason);
}

/// Returns whether a word is the address of a network card, such as `00:00:5e:00:53:01`.
pub(crate) fn is_mac(word: &str) -> bool {
    word.len() == 17 && is_hardware(word)
}

/// Returns whether a word is an identifier in hexadecimal pairs: a network card, or a client of DHCPv6.
fn is_hardware(word: &str) -> bool {
    let mut pairs = word.split(':');
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
    word.len() >= 17 && pairs.all(is_pair)
}

/// Reads the message of a DHCP server. Returns false, with nothing changed, for other programs.
pub(super) fn read_program<'a>(name: &[u8], message: &'a str, draft: &mut Draft<'a>) -> bool {
    match name {
        b"dhcpd" => {
            draft.set_linux_service("dhcpd");
            isc::read(message, draft);
        }
        b"dnsmasq-dhcp" => {
            draft.set_linux_service("dnsmasq");
            dnsmasq::read(message, draft);
        }
        b"kea-dhcp4" | b"kea-dhcp6" => {
            draft.set_linux_service("kea");
            kea::read(message, draft);
        }
        _ => return false,
    }
    true
}

/// Reads a line of Kea's own file: a time, then a level and a logger. Returns false, with nothing
/// changed, for other lines.
pub(super) fn read_bare_line<'a>(
    line: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    if !kea::may_start(line) {
        return false;
    }
    let Some((time, rest)) = time::iso_start(line, context.zone) else {
        return false;
    };
    if !kea::read(rest, draft) {
        return false;
    }
    draft.set_linux_service("kea");
    draft.time = Some(time);
    true
}
