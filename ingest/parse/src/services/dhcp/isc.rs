//! ISC dhcpd: `DHCPACK on 192.0.2.10 to 00:00:5e:00:53:01 (laptop) via eth0`.

use super::{add_kind, add_refusal, is_hardware, is_mac};
use crate::draft::Draft;
use crate::services::text::{
    add_source_address, first_word, is_address, is_port, split_at_first, split_at_last,
};

/// Phrases behind the interface that say why a client got no address.
const REFUSALS: [&str; 5] = [
    "no free leases",
    "unknown lease",
    "wrong network",
    "unknown network segment",
    "not found",
];

/// Reads a message of either version of the protocol. Returns false, with nothing changed, for other
/// messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let (name, rest) = first_word(message);
    if !add_kind(name, draft) {
        return read_v6(message, draft);
    }
    let rest = add_ends(rest, draft);
    // The client's name may contain anything, so the last interface counts.
    let (client, via) = split_at_last(rest, "via ").unwrap_or((rest, ""));
    let name = client
        .strip_prefix('(')
        .and_then(|name| split_at_last(name, ")"));
    if let Some((name, _)) = name {
        draft.add_text("src_host", name);
    }
    let (interface, reason) = via.split_once(": ").unwrap_or((first_word(via).0, ""));
    let interface = first_word(interface).0.trim_end_matches(':');
    match interface {
        "" => {}
        relay if is_address(relay) => draft.add_text("relay_ip", relay),
        interface => draft.add_text("interface", interface),
    }
    if REFUSALS.iter().any(|phrase| reason.contains(phrase)) {
        add_refusal(reason.trim_end_matches('.'), draft);
    }
    true
}

/// Reads `on ADDRESS to MAC`, `for ADDRESS (SERVER) from MAC`, `to ADDRESS (MAC)`. Returns the text
/// behind.
fn add_ends<'a>(mut rest: &'a str, draft: &mut Draft<'a>) -> &'a str {
    let mut has_address = false;
    for _ in 0..2 {
        let (preposition, tail) = first_word(rest);
        if !matches!(preposition, "on" | "for" | "of" | "to" | "from") {
            break;
        }
        let (value, tail) = first_word(tail);
        let value = value.trim_end_matches(':');
        if is_mac(value) {
            draft.add_text("src_mac", value);
            // The name of the client follows.
            return tail;
        }
        if !is_address(value) || has_address {
            break;
        }
        add_source_address(value, draft);
        has_address = true;
        rest = tail;
        if let Some((inner, after)) = tail.strip_prefix('(').and_then(|t| t.split_once(')')) {
            if is_mac(inner) {
                draft.add_text("src_mac", inner);
            } else if is_address(inner) {
                draft.add_text("dst_ip", inner);
            } else {
                break;
            }
            rest = after.trim_ascii_start();
        }
    }
    rest
}

/// Reads `Solicit message from ADDRESS port 546, …`, `Sending Reply to ADDRESS port 546` and `Reply NA:
/// address ADDRESS to client with duid 00:01:…`.
fn read_v6<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    const KINDS: [(&str, &str); 9] = [
        ("Solicit", "DHCPSOLICIT"),
        ("Advertise", "DHCPADVERTISE"),
        ("Request", "DHCPREQUEST"),
        ("Reply", "DHCPREPLY"),
        ("Renew", "DHCPRENEW"),
        ("Rebind", "DHCPREBIND"),
        ("Confirm", "DHCPCONFIRM"),
        ("Release", "DHCPRELEASE"),
        ("Decline", "DHCPDECLINE"),
    ];
    let text = message.strip_prefix("Sending ").unwrap_or(message);
    let (word, rest) = first_word(text);
    let Some((_, name)) = KINDS.iter().find(|(kind, _)| *kind == word) else {
        return false;
    };
    let leased = split_at_first(rest, ": address ").filter(|(kind, _)| kind.len() <= 2);
    if let Some((_, lease)) = leased {
        let (address, rest) = first_word(lease);
        if !is_address(address) || !add_kind(name, draft) {
            return false;
        }
        add_source_address(address, draft);
        let duid = split_at_first(rest, "duid ").map(|(_, duid)| first_word(duid).0);
        if let Some(duid) = duid.filter(|duid| is_hardware(duid)) {
            draft.add_text("duid", duid);
        }
        return true;
    }
    let peer = rest
        .strip_prefix("message from ")
        .or(rest.strip_prefix("to "));
    let Some((address, rest)) = peer.map(first_word) else {
        return false;
    };
    if !is_address(address) || !add_kind(name, draft) {
        return false;
    }
    add_source_address(address, draft);
    let port = rest.strip_prefix("port ").map(|port| first_word(port).0);
    if let Some(port) = port
        .map(|port| port.trim_end_matches(','))
        .filter(|port| is_port(port))
    {
        draft.add_number("src_port", port);
    }
    true
}
