//! Exim's main log: refused clients, logins and deliveries.

use super::text::{
    FAILURE, SUCCESS, add_action, add_source_address, add_user, between, first_word, is_address,
    is_port, split_at_first, split_at_last,
};
use crate::Context;
use crate::draft::Draft;
use crate::time;

/// Phrases for a refusal.
const REFUSALS: [&str; 10] = [
    "rejected ",
    " rejected",
    "dropped",
    "closed by DROP",
    "SMTP protocol error",
    "SMTP protocol synchronization error",
    "sender verify fail",
    "no MAIL in SMTP connection",
    "no host name found",
    "no IP address found",
];

/// The arrow between a message id and an address, its action and its outcome.
const ARROWS: [(&str, &str, &str); 4] = [
    ("<= ", "accept", SUCCESS),
    ("=> ", "deliver", SUCCESS),
    ("-> ", "deliver", SUCCESS),
    ("** ", "deliver", FAILURE),
];

/// Reads `[time ][[pid] ][message id ]text`. Returns false, with nothing changed, if the line has none
/// of Exim's forms.
pub(super) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let (time, text) = match time::iso_start(message, context.zone) {
        Some((time, text)) => (Some(time), text),
        None => (None, message),
    };
    let text = match text.strip_prefix('[').and_then(|t| t.split_once("] ")) {
        Some((pid, rest)) if pid.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => text,
    };
    let (id, text) = message_id(text);
    let is_read = login(text, draft) || arrow(id, text, draft) || refusal(text, draft);
    if is_read {
        if let Some(id) = id {
            draft.add_text("queue_id", id);
        }
        if draft.time.is_none() {
            draft.time = time;
        }
    }
    is_read
}

/// Splits off a message id: `1ahr79-0006jK-G9 `, or a longer one since version 4.97.
fn message_id(text: &str) -> (Option<&str>, &str) {
    let (first, rest) = first_word(text);
    let parts: [Option<usize>; 4] = {
        let mut parts = first.split('-').map(str::len);
        [parts.next(), parts.next(), parts.next(), parts.next()]
    };
    match parts {
        [Some(6), Some(6 | 11), Some(2 | 4), None] => (Some(first), rest),
        _ => (None, text),
    }
}

/// Reads `login authenticator failed for HOST (HELO) [ADDRESS]:PORT: 535 Incorrect … (set_id=USER)`.
fn login<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((method, rest)) = split_at_first(text, " authenticator failed for ") else {
        return false;
    };
    let Some((remote, reply)) = split_at_first(rest, ": 535").filter(|_| !method.contains(' '))
    else {
        return false;
    };
    add_action("login", FAILURE, draft);
    draft.add_text("method", method);
    add_client(remote, draft);
    if let Some((_, name)) = split_at_first(reply, "(set_id=") {
        add_user(
            split_at_last(name, ")").map_or(name, |(name, _)| name),
            draft,
        );
    }
    true
}

/// Reads `<= SENDER H=HOST [ADDRESS] P=esmtpsa A=login:USER`, `=> RECIPIENT …`.
fn arrow<'a>(id: Option<&str>, text: &'a str, draft: &mut Draft<'a>) -> bool {
    let found = ARROWS.iter().find_map(|(arrow, action, outcome)| {
        Some((text.strip_prefix(arrow)?, *arrow, *action, *outcome))
    });
    let Some((rest, arrow, action, outcome)) = found.filter(|_| id.is_some()) else {
        return false;
    };
    let (address, rest) = first_word(rest);
    if arrow == "<= " {
        if address != "<>" {
            draft.add_text("from", address);
        }
        if let Some((_, remote)) = split_at_first(rest, "H=") {
            add_client(remote, draft);
        }
        let name =
            split_at_first(rest, " A=").and_then(|(_, how)| first_word(how).0.split_once(':'));
        if let Some((method, name)) = name {
            add_action("login", SUCCESS, draft);
            draft.add_text("method", method);
            add_user(name, draft);
        }
    } else {
        draft.add_text("to", address);
    }
    add_action(action, outcome, draft);
    true
}

fn refusal<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    if !REFUSALS
        .iter()
        .any(|phrase| split_at_first(text, phrase).is_some())
    {
        return false;
    }
    let remote = match text.strip_prefix("H=") {
        Some(remote) => Some(remote),
        // Text that the sender chose may precede it in quotes.
        None => split_at_last(text, " H=").map(|(_, remote)| remote),
    };
    let remote = remote
        .or_else(|| split_at_first(text, "SMTP connection from ").map(|(_, remote)| remote))
        .or_else(|| split_at_first(text, "SMTP call from ").map(|(_, remote)| remote));
    let is_client = match remote {
        Some(remote) => add_client(remote, draft),
        None => match split_at_first(text, " for IP address ") {
            Some((_, address)) if is_address(first_word(address).0) => {
                add_source_address(first_word(address).0, draft);
                true
            }
            _ => false,
        },
    };
    if !is_client {
        return false;
    }
    add_action("reject", FAILURE, draft);
    if let Some((_, sender)) = split_at_first(text, " F=") {
        let sender = first_word(sender).0.trim_matches(['<', '>']);
        draft.add_text("from", sender);
    }
    if let Some((_, rest)) = split_at_first(text, " rejected RCPT ") {
        let (to, reason) = split_at_first(rest, ": ").unwrap_or((rest, ""));
        draft.add_text("to", to.trim_matches(['<', '>']));
        if !reason.is_empty() {
            draft.add_text("reason", reason);
        }
    } else {
        draft.add_text("status", "refused");
    }
    true
}

/// Adds `NAME (HELO) [ADDRESS]:PORT`, in which every part but the address is optional. A greeting
/// has no space and no parenthesis, so Exim wrote the first bracket after a space.
fn add_client<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let (before, rest) = match text.strip_prefix('[') {
        Some(rest) => ("", rest),
        None => match split_at_first(text, " [") {
            Some(parts) => parts,
            None => return false,
        },
    };
    let Some((address, rest)) = rest.split_once(']').filter(|(a, _)| is_address(a)) else {
        return false;
    };
    add_source_address(address, draft);
    let name = first_word(before).0;
    if !name.is_empty() && !name.starts_with('(') {
        draft.add_text("src_host", name);
    }
    let port = rest.strip_prefix(':').map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest.get(..end.unwrap_or(rest.len())).unwrap_or("")
    });
    if let Some(port) = port.filter(|port| is_port(port)) {
        draft.add_number("src_port", port);
    }
    if let Some(helo) = between(before, "(", ")") {
        draft.add_text("helo", helo);
    }
    true
}
