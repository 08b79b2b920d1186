//! Exim's main log: who was refused or logged in, and what became of a message.

use super::text::{
    FAILURE, SUCCESS, between, cut, cut_last, done, first_word, is_address, is_port,
    source_address, user, word,
};
use crate::Context;
use crate::draft::Draft;
use crate::time;

/// Words that say that something was refused.
const REFUSED: [&str; 10] = [
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

/// What stands between a message id and its address, with what it says of the message.
const ARROWS: [(&str, &str, &str); 4] = [
    ("<= ", "accept", SUCCESS),
    ("=> ", "deliver", SUCCESS),
    ("-> ", "deliver", SUCCESS),
    ("** ", "deliver", FAILURE),
];

/// Reads `[time ][[pid] ][message id ]text`; false, with nothing written, where it has none of
/// Exim's forms.
pub(super) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let (stamp, text) = match time::iso_start(message, context.zone) {
        Some((stamp, text)) => (Some(stamp), text),
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
            draft.text("queue_id", id);
        }
        if draft.time.is_none() {
            draft.time = stamp;
        }
    }
    is_read
}

/// `1ahr79-0006jK-G9 `, or longer since version 4.97.
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

/// `login authenticator failed for HOST (HELO) [ADDRESS]:PORT: 535 Incorrect … (set_id=USER)`
fn login<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((method, rest)) = cut(text, " authenticator failed for ") else {
        return false;
    };
    let Some((far, said)) = cut(rest, ": 535").filter(|_| !method.contains(' ')) else {
        return false;
    };
    done("login", FAILURE, draft);
    draft.text("method", method);
    client(far, draft);
    if let Some((_, name)) = cut(said, "(set_id=") {
        user(cut_last(name, ")").map_or(name, |(name, _)| name), draft);
    }
    true
}

/// `<= SENDER H=HOST [ADDRESS] P=esmtpsa A=login:USER`, `=> RECIPIENT …`
fn arrow<'a>(id: Option<&str>, text: &'a str, draft: &mut Draft<'a>) -> bool {
    let found = ARROWS.iter().find_map(|(mark, action, outcome)| {
        Some((text.strip_prefix(mark)?, *mark, *action, *outcome))
    });
    let Some((rest, mark, action, outcome)) = found.filter(|_| id.is_some()) else {
        return false;
    };
    let (address, rest) = first_word(rest);
    if mark == "<= " {
        if address != "<>" {
            draft.text("from", address);
        }
        if let Some((_, far)) = cut(rest, "H=") {
            client(far, draft);
        }
        let name = cut(rest, " A=").and_then(|(_, how)| first_word(how).0.split_once(':'));
        if let Some((method, name)) = name {
            done("login", SUCCESS, draft);
            draft.text("method", method);
            user(name, draft);
        }
    } else {
        draft.text("to", address);
    }
    done(action, outcome, draft);
    true
}

fn refusal<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    if !REFUSED.iter().any(|words| cut(text, words).is_some()) {
        return false;
    }
    let far = match text.strip_prefix("H=") {
        Some(far) => Some(far),
        // What a sender said may stand between quotes before it.
        None => cut_last(text, " H=").map(|(_, far)| far),
    };
    let far = far
        .or_else(|| cut(text, "SMTP connection from ").map(|(_, far)| far))
        .or_else(|| cut(text, "SMTP call from ").map(|(_, far)| far));
    let is_client = match far {
        Some(far) => client(far, draft),
        None => match cut(text, " for IP address ") {
            Some((_, address)) if is_address(first_word(address).0) => {
                source_address(first_word(address).0, draft);
                true
            }
            _ => false,
        },
    };
    if !is_client {
        return false;
    }
    done("reject", FAILURE, draft);
    if let Some((_, sender)) = cut(text, " F=") {
        let sender = first_word(sender).0.trim_matches(['<', '>']);
        draft.text("from", sender);
    }
    if let Some((_, rest)) = cut(text, " rejected RCPT ") {
        let (to, reason) = cut(rest, ": ").unwrap_or((rest, ""));
        draft.text("to", to.trim_matches(['<', '>']));
        if !reason.is_empty() {
            draft.text("reason", reason);
        }
    } else {
        word("status", "refused", draft);
    }
    true
}

/// `NAME (HELO) [ADDRESS]:PORT`, any part but the address absent. A greeting has neither space nor
/// parenthesis, so the first bracket after a space is Exim's own.
fn client<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let (before, rest) = match text.strip_prefix('[') {
        Some(rest) => ("", rest),
        None => match cut(text, " [") {
            Some(parts) => parts,
            None => return false,
        },
    };
    let Some((address, rest)) = rest.split_once(']').filter(|(a, _)| is_address(a)) else {
        return false;
    };
    source_address(address, draft);
    let name = first_word(before).0;
    if !name.is_empty() && !name.starts_with('(') {
        draft.text("src_host", name);
    }
    let port = rest.strip_prefix(':').map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit());
        rest.get(..end.unwrap_or(rest.len())).unwrap_or("")
    });
    if let Some(port) = port.filter(|port| is_port(port)) {
        draft.number("src_port", port);
    }
    if let Some(helo) = between(before, "(", ")") {
        draft.text("helo", helo);
    }
    true
}
