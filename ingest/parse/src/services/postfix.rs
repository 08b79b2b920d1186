//! Postfix: connections, refusals, logins and deliveries.

use super::text::{
    FAILURE, SUCCESS, add_action, add_source_address, add_user, between, first_word, is_address,
    is_port, split_at_first, split_at_last,
};
use crate::draft::Draft;

/// First words of lines that name the client after `from`, with action and outcome.
const OPENINGS: [(&str, &str, Option<&str>); 13] = [
    ("connect from ", "connect", None),
    ("CONNECT from ", "connect", None),
    ("disconnect from ", "disconnect", None),
    ("lost connection after ", "disconnect", Some(FAILURE)),
    ("timeout after ", "disconnect", Some(FAILURE)),
    ("too many errors after ", "disconnect", Some(FAILURE)),
    (
        "improper command pipelining after ",
        "reject",
        Some(FAILURE),
    ),
    ("non-SMTP command from ", "reject", Some(FAILURE)),
    ("PREGREET ", "reject", Some(FAILURE)),
    ("HANGUP ", "disconnect", Some(FAILURE)),
    ("COMMAND ", "reject", Some(FAILURE)),
    ("Connection rate limit exceeded", "reject", Some(FAILURE)),
    (
        "Message delivery request rate limit exceeded",
        "reject",
        Some(FAILURE),
    ),
];

/// Longest queue id. Long queue ids have about 15 letters.
const QUEUE_ID_BYTES_MAX: usize = 24;

pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) {
    let text = message.strip_prefix("warning: ").unwrap_or(message);
    if sasl(text, draft) {
        return;
    }
    let (id, text) = queue_id(text);
    if let Some(id) = id {
        draft.add_text("queue_id", id);
    }
    if let Some(rest) = refusal(text) {
        return reject(rest, draft);
    }
    if let Some(rest) = text.strip_prefix("client=") {
        return accept(rest, draft);
    }
    if let Some(rest) = text.strip_prefix("hostname ") {
        if let Some((_, rest)) = split_at_first(rest, " does not resolve to address ") {
            let end = first_word(rest).0;
            add_source_address(end.strip_suffix(':').unwrap_or(end), draft);
        }
        return;
    }
    if text.starts_with("to=<") || text.starts_with("from=<") {
        return delivery(text, draft);
    }
    for (opening, action, outcome) in OPENINGS {
        if text.starts_with(opening) {
            draft.add_text("action", action);
            let is_failed_login = split_at_first(text, " auth=0/").is_some();
            if let Some(outcome) = outcome.or(is_failed_login.then_some(FAILURE)) {
                draft.add_text("outcome", outcome);
            }
            if let Some((_, rest)) = split_at_first(text, "from ") {
                add_client(rest, draft);
            }
            return;
        }
    }
}

/// Reads `NAME[ADDRESS]: SASL LOGIN authentication failed: reason, sasl_username=admin`.
fn sasl<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((remote, rest)) = split_at_first(text, ": SASL ") else {
        return false;
    };
    let Some((method, rest)) = split_at_first(rest, " authentication failed") else {
        return false;
    };
    add_action("login", FAILURE, draft);
    add_client(remote, draft);
    draft.add_text("method", method);
    if let Some((_, name)) = split_at_last(rest, "sasl_username=") {
        add_user(name.trim_ascii_end(), draft);
    }
    true
}

/// Splits off `4F9D195432C: ` or `NOQUEUE: `.
fn queue_id(text: &str) -> (Option<&str>, &str) {
    match split_at_first(text, ": ") {
        Some((id, rest))
            if (6..=QUEUE_ID_BYTES_MAX).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric())
                && (id == "NOQUEUE" || id.bytes().any(|b| b.is_ascii_digit())) =>
        {
            (Some(id).filter(|id| *id != "NOQUEUE"), rest)
        }
        _ => (None, text),
    }
}

fn refusal(text: &str) -> Option<&str> {
    [
        "reject: ",
        "milter-reject: ",
        "reject_warning: ",
        "discard: ",
    ]
    .iter()
    .find_map(|phrase| text.strip_prefix(phrase))
}

/// Reads `RCPT from NAME[ADDRESS]: 554 5.7.1 <…>: Relay access denied; from=<a> to=<b> helo=<c>`.
fn reject<'a>(text: &'a str, draft: &mut Draft<'a>) {
    add_action("reject", FAILURE, draft);
    let Some((command, rest)) = split_at_first(text, " from ") else {
        return;
    };
    draft.add_text("smtp_command", command);
    add_client(rest, draft);
    let Some((_, reply)) = split_at_first(rest, "]: ").or_else(|| split_at_first(rest, ": "))
    else {
        return;
    };
    let (reason, rest) = split_at_first(reply, "; ").unwrap_or((reply, ""));
    draft.add_text("reason", reason);
    add_envelope(rest, draft);
}

/// Adds sender, recipient and greeting.
fn add_envelope<'a>(text: &'a str, draft: &mut Draft<'a>) {
    for (name, open) in [("from", "from=<"), ("to", "to=<"), ("helo", "helo=<")] {
        if let Some(value) = between(text, open, ">").filter(|value| !value.is_empty()) {
            draft.add_text(name, value);
        }
    }
}

/// Reads `NAME[ADDRESS], sasl_method=PLAIN, sasl_username=bob`.
fn accept<'a>(text: &'a str, draft: &mut Draft<'a>) {
    add_client(text, draft);
    match split_at_first(text, ", sasl_username=") {
        Some((_, name)) => {
            add_action("login", SUCCESS, draft);
            add_user(name.split(", ").next().unwrap_or(name).trim_ascii(), draft);
            if let Some(method) = between(text, "sasl_method=", ",") {
                draft.add_text("method", method);
            }
        }
        None => draft.add_text("action", "accept"),
    }
}

/// Reads `to=<a>, relay=mx[192.0.2.1]:25, …, status=sent (250 ok)`.
fn delivery<'a>(text: &'a str, draft: &mut Draft<'a>) {
    add_envelope(text, draft);
    let Some((_, rest)) = split_at_first(text, ", status=") else {
        return;
    };
    let (status, reason) = first_word(rest);
    draft.add_text("status", status);
    let outcome = if status == "sent" { SUCCESS } else { FAILURE };
    add_action("deliver", outcome, draft);
    if !reason.is_empty() {
        draft.add_text("reason", reason);
    }
}

/// Adds `NAME[ADDRESS]` or `[ADDRESS]:PORT`. The name `unknown` means none.
fn add_client<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let Some((name, rest)) = text.split_once('[') else {
        return;
    };
    let Some((address, rest)) = rest.split_once(']') else {
        return;
    };
    if name.contains(' ') || !is_address(address) {
        return;
    }
    add_source_address(address, draft);
    if !matches!(name, "" | "unknown") {
        draft.add_text("src_host", name);
    }
    let port = rest.strip_prefix(':').map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest.get(..end.unwrap_or(rest.len())).unwrap_or("")
    });
    if let Some(port) = port.filter(|port| is_port(port)) {
        draft.add_number("src_port", port);
    }
}
