//! dnsmasq as a DHCP server: `DHCPACK(eth0) 192.0.2.10 00:00:5e:00:53:01 laptop`.

use super::{add_kind, add_refusal, is_hardware};
use crate::draft::Draft;
use crate::services::text::{add_source_address, first_word, is_address};

/// Reads a message, before which a transaction may stand. Returns false, with nothing changed, for
/// other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let (first, after) = first_word(message);
    let is_transaction = !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit());
    let text = if is_transaction { after } else { message };
    let Some((name, rest)) = text.split_once('(') else {
        return false;
    };
    let Some((interface, rest)) = rest.split_once(") ") else {
        return false;
    };
    if !add_kind(name, draft) {
        return false;
    }
    draft.add_text("interface", interface);
    let (word, tail) = first_word(rest);
    // Eight pairs also have the form of an IPv6 address.
    let mut rest = rest;
    if is_address(word) && !is_hardware(word) {
        add_source_address(word, draft);
        rest = tail;
    }
    let (word, tail) = first_word(rest);
    if is_hardware(word) {
        draft.add_text(if word.len() == 17 { "src_mac" } else { "duid" }, word);
        rest = tail;
    }
    match (name, rest.trim_ascii()) {
        (_, "") => {}
        ("DHCPACK" | "DHCPREPLY", host) => draft.add_text("src_host", host),
        (_, reason) => add_refusal(reason, draft),
    }
    true
}
