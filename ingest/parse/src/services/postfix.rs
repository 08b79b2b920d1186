//! Postfix lines: who connected, was refused, logged in, and what became of a message.

use super::text::{
    FAILURE, SUCCESS, between, cut, cut_last, done, first_word, is_address, is_port,
    source_address, user, word,
};
use crate::draft::Draft;

/// Openings that are followed by ` from CLIENT` somewhere, with action and outcome.
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

/// Longest queue id; long ones are about 15 letters.
const QUEUE_ID_BYTES_MAX: usize = 24;

pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) {
    let text = message.strip_prefix("warning: ").unwrap_or(message);
    if sasl(text, draft) {
        return;
    }
    let (id, text) = queue_id(text);
    if let Some(id) = id {
        draft.text("queue_id", id);
    }
    if let Some(rest) = refusal(text) {
        return reject(rest, draft);
    }
    if let Some(rest) = text.strip_prefix("client=") {
        return accepted(rest, draft);
    }
    if let Some(rest) = text.strip_prefix("hostname ") {
        if let Some((_, rest)) = cut(rest, " does not resolve to address ") {
            let end = first_word(rest).0;
            source_address(end.strip_suffix(':').unwrap_or(end), draft);
        }
        return;
    }
    if text.starts_with("to=<") || text.starts_with("from=<") {
        return delivery(text, draft);
    }
    for (opening, action, outcome) in OPENINGS {
        if text.starts_with(opening) {
            word("action", action, draft);
            let failed = cut(text, " auth=0/").is_some();
            if let Some(outcome) = outcome.or(failed.then_some(FAILURE)) {
                word("outcome", outcome, draft);
            }
            if let Some((_, rest)) = cut(text, "from ") {
                client(rest, draft);
            }
            return;
        }
    }
}

/// `NAME[ADDRESS]: SASL LOGIN authentication failed: reason, sasl_username=admin`
fn sasl<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((far, rest)) = cut(text, ": SASL ") else {
        return false;
    };
    let Some((method, rest)) = cut(rest, " authentication failed") else {
        return false;
    };
    done("login", FAILURE, draft);
    client(far, draft);
    draft.text("method", method);
    if let Some((_, name)) = cut_last(rest, "sasl_username=") {
        user(name.trim_ascii_end(), draft);
    }
    true
}

/// `4F9D195432C: ` or `NOQUEUE: ` before what is said.
fn queue_id(text: &str) -> (Option<&str>, &str) {
    match cut(text, ": ") {
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
    .find_map(|words| text.strip_prefix(words))
}

/// `RCPT from NAME[ADDRESS]: 554 5.7.1 <…>: Relay access denied; from=<a> to=<b> proto=… helo=<c>`
fn reject<'a>(text: &'a str, draft: &mut Draft<'a>) {
    done("reject", FAILURE, draft);
    let Some((command, rest)) = cut(text, " from ") else {
        return;
    };
    draft.text("smtp_command", command);
    client(rest, draft);
    let Some((_, said)) = cut(rest, "]: ").or_else(|| cut(rest, ": ")) else {
        return;
    };
    let (reason, rest) = cut(said, "; ").unwrap_or((said, ""));
    draft.text("reason", reason);
    envelope(rest, draft);
}

fn envelope<'a>(text: &'a str, draft: &mut Draft<'a>) {
    for (name, open) in [("from", "from=<"), ("to", "to=<"), ("helo", "helo=<")] {
        if let Some(value) = between(text, open, ">").filter(|value| !value.is_empty()) {
            draft.text(name, value);
        }
    }
}

/// `NAME[ADDRESS], sasl_method=PLAIN, sasl_username=bob`
fn accepted<'a>(text: &'a str, draft: &mut Draft<'a>) {
    client(text, draft);
    match cut(text, ", sasl_username=") {
        Some((_, name)) => {
            done("login", SUCCESS, draft);
            user(name.split(", ").next().unwrap_or(name).trim_ascii(), draft);
            if let Some(method) = between(text, "sasl_method=", ",") {
                draft.text("method", method);
            }
        }
        None => word("action", "accept", draft),
    }
}

/// `to=<a>, relay=mx[192.0.2.1]:25, …, status=sent (250 ok)`
fn delivery<'a>(text: &'a str, draft: &mut Draft<'a>) {
    envelope(text, draft);
    let Some((_, rest)) = cut(text, ", status=") else {
        return;
    };
    let (status, reason) = first_word(rest);
    draft.text("status", status);
    let outcome = if status == "sent" { SUCCESS } else { FAILURE };
    done("deliver", outcome, draft);
    if !reason.is_empty() {
        draft.text("reason", reason);
    }
}

/// `NAME[ADDRESS]` or `[ADDRESS]:PORT`; a name of `unknown` is none.
fn client<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let Some((name, rest)) = text.split_once('[') else {
        return;
    };
    let Some((address, rest)) = rest.split_once(']') else {
        return;
    };
    if name.contains(' ') || !is_address(address) {
        return;
    }
    source_address(address, draft);
    if !matches!(name, "" | "unknown") {
        draft.text("src_host", name);
    }
    let port = rest.strip_prefix(':').map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest.get(..end.unwrap_or(rest.len())).unwrap_or("")
    });
    if let Some(port) = port.filter(|port| is_port(port)) {
        draft.number("src_port", port);
    }
}
