//! dnsmasq, and Pi-hole's variant: `query[A] www.example.org from 192.0.2.9`, `reply www.example.org is
//! 198.51.100.7`.

use super::{add_code, add_question};
use crate::draft::Draft;
use crate::services::text::{
    FAILURE, add_source_address, first_word, is_address, is_port, split_at_last,
};

/// Words that begin an answer: where it comes from.
const ANSWERS: [&str; 6] = [
    "reply",
    "cached",
    "cached-stale",
    "config",
    "validation",
    "DHCP",
];

/// Reads a query, a query passed on, or an answer. Returns false, with nothing changed, for other
/// messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let (client, text) = client(message);
    let (verb, rest) = first_word(text);
    let is_read = if let Some(kind) = verb
        .strip_prefix("query[")
        .and_then(|k| k.strip_suffix(']'))
    {
        query(kind, rest, draft)
    } else if verb == "forwarded" {
        forwarded(rest, draft)
    } else {
        answer(verb, rest, draft)
    };
    if let Some((address, port)) = client.filter(|_| is_read) {
        add_source_address(address, draft);
        draft.add_number("src_port", port);
    }
    is_read
}

/// Splits `12 192.0.2.9/53412 `, the number and the client of a query, from the message.
fn client(message: &str) -> (Option<(&str, &str)>, &str) {
    let (number, rest) = first_word(message);
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let (client, text) = first_word(rest);
    match client.split_once('/') {
        Some((address, port)) if is_number && is_address(address) && is_port(port) => {
            (Some((address, port)), text)
        }
        _ if is_number && client == "*" => (None, text),
        _ => (None, message),
    }
}

fn query<'a>(kind: &'a str, rest: &'a str, draft: &mut Draft<'a>) -> bool {
    // The name may contain ` from `; dnsmasq writes the address last.
    let Some((name, address)) = split_at_last(rest, " from ") else {
        return false;
    };
    if !is_address(address) {
        return false;
    }
    add_question(name, kind, draft);
    draft.add_text("action", "query");
    add_source_address(address, draft);
    true
}

fn forwarded<'a>(rest: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((name, server)) = split_at_last(rest, " to ") else {
        return false;
    };
    let server = server.split(['#', '@']).next().unwrap_or(server);
    if !is_address(server) {
        return false;
    }
    draft.add_text("action", "forward");
    draft.add_text("query", name);
    draft.add_text("dst_ip", server);
    true
}

fn answer<'a>(verb: &'a str, rest: &'a str, draft: &mut Draft<'a>) -> bool {
    // `gravity blocked NAME is 0.0.0.0`, `regex denied …`: Pi-hole.
    let blocked = ["blocked ", "denied ", "blacklisted "];
    let blocked = blocked.iter().find_map(|word| rest.strip_prefix(word));
    let is_block = blocked.is_some() && matches!(verb, "gravity" | "regex" | "exactly" | "special");
    let is_file = verb.starts_with('/');
    if !is_block && !is_file && !ANSWERS.contains(&verb) {
        return false;
    }
    let rest = blocked.filter(|_| is_block).unwrap_or(rest);
    let Some((name, value)) = split_at_last(rest, " is ") else {
        return false;
    };
    draft.add_text("action", if is_block { "block" } else { "answer" });
    draft.add_text("query", name);
    match value {
        "NXDOMAIN" | "NODATA" => draft.add_text("rcode", value),
        "REFUSED" | "SERVFAIL" => add_code(value, draft),
        value => draft.add_text("answer", value),
    }
    if is_block {
        draft.add_text("outcome", FAILURE);
    }
    true
}
