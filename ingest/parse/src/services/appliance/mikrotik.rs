//! Messages of RouterOS: logins, and packets that a firewall rule logged. Topics may precede them.

use crate::draft::Draft;
use crate::services::dhcp;
use crate::services::text::{
    FAILURE, SUCCESS, add_action, add_source_address, host_and_port, is_address, split_at_first,
    split_at_last,
};

/// Topics that begin a message, as `firewall,info`.
const TOPICS: [&str; 12] = [
    "system",
    "firewall",
    "dhcp",
    "wireless",
    "interface",
    "account",
    "ipsec",
    "l2tp",
    "ovpn",
    "pppoe",
    "ppp",
    "script",
];

/// Reads a login or a packet. Returns false, with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let (topics, text) = match message.split_once(' ') {
        Some((topics, text)) if is_topics(topics) => (Some(topics.trim_end_matches(':')), text),
        _ => (None, message),
    };
    let is_read = login(text, draft) || packet(text, draft) || lease(text, draft);
    if let Some(topics) = topics {
        draft.add_text("topics", topics);
    }
    if is_read || topics.is_some() {
        draft.logsource.product = Some("mikrotik");
    }
    is_read || topics.is_some()
}

/// Longest prefix of a rule, with the chain behind it.
const PREFIX_BYTES_MAX: usize = 64;

fn is_topics(word: &str) -> bool {
    let first = word.split(',').next().unwrap_or(word);
    word.contains(',')
        && TOPICS.contains(&first)
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || matches!(b, b',' | b'-' | b':'))
}

/// Reads `login failure for user ann from 192.0.2.9 via ssh`, `user ann logged in from 192.0.2.9 via
/// api`. The router writes address and service last.
fn login<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let (action, outcome, rest, separator) =
        if let Some(rest) = text.strip_prefix("login failure for user ") {
            ("login", Some(FAILURE), rest, " from ")
        } else if let Some(rest) = text.strip_prefix("user ") {
            if split_at_last(rest, " logged in from ").is_some() {
                ("login", Some(SUCCESS), rest, " logged in from ")
            } else {
                ("session_close", None, rest, " logged out from ")
            }
        } else {
            return false;
        };
    let Some((user, rest)) = split_at_last(rest, separator) else {
        return false;
    };
    let Some((address, service)) = rest.split_once(" via ") else {
        return false;
    };
    match outcome {
        Some(outcome) => add_action(action, outcome, draft),
        None => draft.add_text("action", action),
    }
    draft.add_text("user", user);
    add_source_address(address, draft);
    draft.add_text("service", service);
    true
}

/// Reads `[prefix ]input: in:ether1 out:(unknown 0), …, proto TCP (SYN), A:1->B:2, len 44`.
fn packet<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let chains = ["input: in:", "forward: in:", "output: in:"];
    let start = text
        .get(..text.floor_char_boundary(PREFIX_BYTES_MAX))
        .unwrap_or(text);
    let Some((chain, prefix, rest)) = chains.iter().find_map(|chain| {
        let (prefix, _) = split_at_first(start, chain)?;
        Some((*chain, prefix, text.get(prefix.len()..)?))
    }) else {
        return false;
    };
    let Some((_, rest)) = split_at_first(rest, "proto ") else {
        return false;
    };
    let Some((proto, rest)) = rest.split_once(", ") else {
        return false;
    };
    let Some((source, target)) = rest
        .split(", ")
        .next()
        .and_then(|ends| ends.split_once("->"))
    else {
        return false;
    };
    let ((source, source_port), (target, target_port)) =
        (host_and_port(source), host_and_port(target));
    if !is_address(source) || !is_address(target) {
        return false;
    }
    draft.logsource.category = Some("firewall");
    draft.add_text("chain", chain.split(':').next().unwrap_or(chain));
    draft.add_text("proto", proto.split(' ').next().unwrap_or(proto));
    draft.add_text("src_ip", source);
    draft.add_text("dst_ip", target);
    for (name, port) in [("src_port", source_port), ("dst_port", target_port)] {
        if let Some(port) = port {
            draft.add_number(name, port);
        }
    }
    let prefix = prefix.to_ascii_lowercase();
    if let Some(action) = ["drop", "reject", "accept"]
        .into_iter()
        .find(|a| prefix.contains(a))
    {
        draft.add_text("action", action);
    }
    true
}

/// Reads `dhcp1 assigned 192.0.2.10 to 00:00:5E:00:53:01`, `dhcp1 deassigned 192.0.2.10 for
/// 00:00:5E:00:53:01 laptop`.
fn lease<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let mut words = text.splitn(6, ' ');
    let mut next = || words.next().unwrap_or("");
    let (server, verb, address, preposition, mac, name) =
        (next(), next(), next(), next(), next(), next());
    if !matches!(preposition, "to" | "for" | "from") || !is_address(address) || !dhcp::is_mac(mac) {
        return false;
    }
    match verb {
        "assigned" => add_action("ack", SUCCESS, draft),
        "deassigned" => draft.add_text("action", "release"),
        _ => return false,
    }
    draft.logsource.category = Some("dhcp");
    draft.add_text("service", server);
    add_source_address(address, draft);
    draft.add_text("src_mac", mac);
    if !name.is_empty() {
        draft.add_text("src_host", name);
    }
    true
}
