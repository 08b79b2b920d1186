//! Kea: `INFO  [kea-dhcp4.leases/77.140] DHCP4_LEASE_ALLOC [hwtype=1 00:00:5e:00:53:01], cid=[…],
//! tid=0x1: lease 192.0.2.10 has been allocated for 3600 seconds`.

use super::{add_kind, is_hardware, is_mac};
use crate::draft::Draft;
use crate::services::text::{
    FAILURE, SUCCESS, add_source_address, between, first_word, head, is_address, split_at_first,
};

/// Parts of message names, with the action and the outcome. The first that occurs counts.
const MESSAGES: [(&str, &str, Option<&str>); 14] = [
    ("_ALLOC_FAIL", "nak", Some(FAILURE)),
    ("_PACKET_NAK", "nak", Some(FAILURE)),
    ("_LEASE_ALLOC", "ack", Some(SUCCESS)),
    ("_LEASE_REUSE", "ack", Some(SUCCESS)),
    ("_LEASE_OFFER", "offer", None),
    ("_LEASE_ADVERT", "offer", None),
    ("_LEASE_RENEW", "renew", Some(SUCCESS)),
    ("_LEASE_RECLAIM", "expire", None),
    ("_RELEASE_FAIL", "release", Some(FAILURE)),
    ("_RELEASE", "release", None),
    ("_DECLINE", "decline", Some(FAILURE)),
    ("_INIT_REBOOT", "request", None),
    ("_NO_LEASE", "nak", Some(FAILURE)),
    ("_PACKET_DROP", "drop", Some(FAILURE)),
];

/// Most words between the client and the address.
const WORDS_MAX: usize = 16;

/// Returns whether a line may be one of Kea's file.
pub(super) fn may_start(line: &str) -> bool {
    memchr::memmem::find(head(line), b" [kea-dhcp").is_some()
}

/// Reads a message. Returns false, with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let (level, rest) = first_word(message);
    let rest = rest.trim_ascii_start();
    let Some((logger, rest)) = rest
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    else {
        return false;
    };
    if !logger.starts_with("kea-dhcp") {
        return false;
    }
    let (name, text) = first_word(rest);
    draft.add_text("level", level);
    draft.add_text("msgid", name);
    let (client, text) = match split_at_first(text, ": ") {
        Some((client, text)) if client.contains("tid=") => (client, text),
        _ => ("", text),
    };
    add_client(client, draft);
    if name.ends_with("_PACKET_RECEIVED") || name.ends_with("_PACKET_SEND") {
        add_packet(text, draft);
        return true;
    }
    let Some((_, action, outcome)) = MESSAGES.iter().find(|(part, ..)| name.contains(part)) else {
        return true;
    };
    draft.logsource.category = Some("dhcp");
    draft.add_text("action", action);
    if let Some(outcome) = outcome {
        draft.add_text("outcome", outcome);
    }
    let words = text.split(' ').take(WORDS_MAX);
    let mut words = words.map(|word| word.trim_matches([',', '.', ':']));
    if let Some(address) = words.find(|word| is_address(word)) {
        add_source_address(address, draft);
    }
    true
}

/// Adds the client's hardware or identifier: `[hwtype=1 00:00:5e:00:53:01], cid=[…]`, `duid=[00:01:…]`.
fn add_client<'a>(client: &'a str, draft: &mut Draft<'a>) {
    let mac = between(client, "[hwtype=", "]").map(|hardware| first_word(hardware).1);
    if let Some(mac) = mac.filter(|mac| is_mac(mac)) {
        draft.add_text("src_mac", mac);
    }
    let duid = between(client, "duid=[", "]").filter(|duid| is_hardware(duid));
    if let Some(duid) = duid {
        draft.add_text("duid", duid);
    }
}

/// Reads `DHCPDISCOVER (type 1) received from 192.0.2.1 to 192.0.2.2 on interface eth0`.
fn add_packet<'a>(text: &'a str, draft: &mut Draft<'a>) {
    if !add_kind(first_word(text).0, draft) {
        return;
    }
    let address = |name: &str| {
        let (_, rest) = split_at_first(text, name)?;
        Some(first_word(rest).0).filter(|address| is_address(address))
    };
    if let Some(source) = address(" from ") {
        add_source_address(source, draft);
    }
    if let Some(target) = address(" to ") {
        draft.add_text("dst_ip", target);
    }
}
