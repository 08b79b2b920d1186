//! Dovecot: logins of its mail protocols, and messages of its authentication.

use super::pam;
use super::text::{
    FAILURE, SUCCESS, add_action, add_source_address, add_user, between, is_address,
    split_at_first, split_at_last,
};
use crate::draft::Draft;

/// Most prefixes of a line: `dovecot: auth-worker(1): Info: conn unix:auth-worker (…):
/// auth-worker<2>: `.
const PREFIXES_MAX: usize = 6;

/// Phrases for a failed login, in a line that ends a session.
const LOGIN_FAILURES: [&str; 6] = [
    "(auth failed",
    "(auth_failed",
    "auth failed)",
    "(tried to use dis",
    "Authentication Failure",
    "(proxy dest auth failed",
];

/// Password databases that dovecot names in front of the user.
const BACKENDS: [&str; 12] = [
    "pam",
    "sql",
    "ldap",
    "passwd-file",
    "passwd",
    "shadow",
    "bsdauth",
    "vpopmail",
    "checkpassword",
    "lua",
    "oauth2",
    "static",
];

/// Reads a line. Returns false, with nothing changed, if it has none of dovecot's forms.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    if pam::read(message, draft) {
        return true;
    }
    let text = strip_prefixes(message);
    if let Some((before, after)) = split_at_last(text, "rip=") {
        session(text, before, after, draft);
        return true;
    }
    database(text, draft) || mailbox(text, draft)
}

/// Reads `imap(bob): Disconnected: Logged out`.
fn mailbox<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let protocols = ["imap(", "IMAP(", "pop3(", "POP3("];
    let Some(rest) = protocols.iter().find_map(|name| text.strip_prefix(name)) else {
        return false;
    };
    let Some((name, status)) = split_at_first(rest, ")") else {
        return false;
    };
    add_user(name, draft);
    if split_at_first(status, "Disconnected").is_some()
        || split_at_first(status, "Connection closed").is_some()
    {
        draft.add_text("action", "disconnect");
    }
    true
}

/// Removes the names of processes and levels at the start of a line.
fn strip_prefixes(message: &str) -> &str {
    let mut text = message;
    for _ in 0..PREFIXES_MAX {
        let Some((name, rest)) = text.split_once(": ") else {
            break;
        };
        let process = name.split(['(', '<', ' ']).next().unwrap_or(name);
        let is_prefix = matches!(
            process,
            "dovecot" | "auth" | "auth-worker" | "conn" | "Info" | "Warning" | "Error" | "Debug"
        ) || process.ends_with("-login");
        if !is_prefix {
            break;
        }
        text = rest;
    }
    text
}

/// Reads `Disconnected (auth failed, 1 attempts): user=<bob>, method=PLAIN, rip=192.0.2.1, lip=…`.
/// The name may contain anything; dovecot alone writes the text after the address.
fn session<'a>(text: &'a str, before: &'a str, after: &'a str, draft: &mut Draft<'a>) {
    let end = after.find([',', ' ']).unwrap_or(after.len());
    add_source_address(after.get(..end).unwrap_or(after), draft);
    let status = match split_at_first(before, "user=<") {
        Some((status, rest)) => {
            let (name, rest) = split_at_last(rest, ">, ").unwrap_or((rest, ""));
            add_user(name, draft);
            if let Some(method) = between(rest, "method=", ",") {
                draft.add_text("method", method);
            }
            status
        }
        None => before,
    };
    if let Some(local) = split_at_first(after, "lip=").map(|(_, local)| local) {
        let end = local.find([',', ' ']).unwrap_or(local.len());
        draft.add_text("dst_ip", local.get(..end).unwrap_or(local));
    }
    let is_failure = LOGIN_FAILURES
        .iter()
        .any(|phrase| split_at_first(status, phrase).is_some());
    if is_failure || text.trim_ascii_end().ends_with("Authentication Failure:") {
        add_action("login", FAILURE, draft);
    } else if status.starts_with("Login: ") {
        add_action("login", SUCCESS, draft);
    } else {
        draft.add_text("action", "disconnect");
    }
}

/// Reads `pam(bob,192.0.2.1,<session>): unknown user`.
fn database<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((backend, rest)) = text.split_once('(') else {
        return false;
    };
    if !BACKENDS.contains(&backend) {
        return false;
    }
    let Some((inner, reason)) = split_at_first(rest, "): ") else {
        return false;
    };
    let address = inner.rsplit(',').find(|part| is_address(part));
    let name = match address {
        Some(address) => {
            add_source_address(address, draft);
            split_at_last(inner, address).map_or("", |(name, _)| name.trim_end_matches(','))
        }
        None => inner.split(',').next().unwrap_or(inner),
    };
    add_user(name, draft);
    draft.add_text("method", backend);
    let failures = [
        "unknown user",
        "failed",
        "mismatch",
        "invalid credentials",
        "not known",
        "disabled",
    ];
    let has = |phrase: &str| split_at_first(reason, phrase).is_some();
    if failures.iter().any(|phrase| has(phrase)) || reason.starts_with("Password mismatch") {
        add_action("login", FAILURE, draft);
        draft.add_text("reason", reason);
    }
    true
}
