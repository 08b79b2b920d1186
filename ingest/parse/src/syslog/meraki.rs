//! Lines of Cisco Meraki: a version, seconds since 1970, the device, the kind of record, pairs.

use std::borrow::Cow;

use weir_schema::Value;

use crate::FIELDS_MAX;
use crate::draft::Draft;
use crate::services::text::{add_source_endpoint, host_and_port, is_address};
use crate::time::{self, Timestamp};

/// Kinds of records, and whether they are about packets.
const KINDS: [(&str, bool); 12] = [
    ("flows", true),
    ("firewall", true),
    ("vpn_firewall", true),
    ("cellular_firewall", true),
    ("l7_firewall", true),
    ("ip_flow_start", true),
    ("ip_flow_end", true),
    ("urls", false),
    ("events", false),
    ("ids-alerts", false),
    ("security_event", false),
    ("airmarshal_events", false),
];

/// Reads `1 1795464210.308975186 mx-1 flows src=192.0.2.10 …`. Returns false, with nothing changed,
/// for other lines.
pub(super) fn read<'a>(line: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((time, rest)) = line.strip_prefix("1 ").and_then(epoch) else {
        return false;
    };
    let mut words = rest.splitn(3, ' ');
    let (Some(host), Some(kind), Some(pairs)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let Some((_, is_packet)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        return false;
    };
    draft.time = Some(time);
    draft.add_text("host", host);
    draft.add_text("type", kind);
    draft.logsource.product = Some("meraki");
    if *is_packet {
        draft.logsource.category = Some("firewall");
    }
    draft.message = Cow::Borrowed(rest.get(host.len() + 1..).unwrap_or(rest));
    add_pairs(pairs, draft);
    true
}

/// Reads seconds since 1970 with a fraction. Returns the time and the text after it.
fn epoch(text: &str) -> Option<(Timestamp, &str)> {
    let (word, rest) = text.split_once(' ')?;
    let (seconds, fraction) = word.split_once('.')?;
    let is_time = seconds.len() == 10 && !fraction.is_empty();
    Some((is_time.then(|| time::epoch(word))??, rest))
}

/// Adds pairs up to the first word that is none, behind which a pattern or a message follows. A
/// value in quotes may contain spaces.
fn add_pairs<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let mut rest = text;
    for _ in 0..FIELDS_MAX {
        rest = rest.trim_start_matches(' ');
        let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        if let Some(label) = word.strip_suffix(':').filter(|label| is_name(label)) {
            let name = if label == "message" { "msg" } else { label };
            draft.add_text(name, tail);
            if label == "pattern" {
                add_action(tail, draft);
            }
            return;
        }
        let name = word.split('=').next().unwrap_or(word);
        if name.len() == word.len() {
            // A word such as the name of an engine.
            if !is_name(word) {
                return;
            }
            rest = tail;
            continue;
        }
        if !is_name(name) {
            return;
        }
        let tail = rest.get(name.len() + 1..).unwrap_or("");
        let quoted = ['\'', '"'].into_iter().find_map(|quote| {
            let (value, tail) = tail.strip_prefix(quote)?.split_once(quote)?;
            Some((value, tail))
        });
        let (value, tail) = quoted.unwrap_or_else(|| tail.split_once(' ').unwrap_or((tail, "")));
        draft.add(name, Value::Text(Cow::Borrowed(value)));
        add_endpoint(name, value, draft);
        rest = tail;
    }
}

fn add_endpoint<'a>(name: &str, value: &'a str, draft: &mut Draft<'a>) {
    match name {
        "src" => add_source_endpoint(value, draft),
        "dst" => {
            let (address, port) = host_and_port(value);
            if is_address(address) {
                draft.add_text("dst_ip", address);
                if let Some(port) = port {
                    draft.add_number("dst_port", port);
                }
            }
        }
        "sport" => draft.add_number("src_port", value),
        "dport" => draft.add_number("dst_port", value),
        _ => {}
    }
}

/// Adds the action of the pattern that a packet met: `allow all`, `deny …`, `0 …`, `1 …`.
fn add_action(pattern: &str, draft: &mut Draft<'_>) {
    let action = match pattern.split(' ').next().unwrap_or("") {
        "allow" | "1" => "allow",
        "deny" | "0" => "deny",
        _ => return,
    };
    draft.add_text("action", action);
}

fn is_name(word: &str) -> bool {
    !word.is_empty()
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
