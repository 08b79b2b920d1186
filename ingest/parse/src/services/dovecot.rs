//! Dovecot lines: logins of its mail protocols, and what its authentication says of them.

use super::pam;
use super::text::{
    FAILURE, SUCCESS, between, cut, cut_last, done, is_address, source_address, user, word,
};
use crate::draft::Draft;

/// Deepest nesting of the names that a line begins with: `dovecot: auth-worker(1): Info: conn
/// unix:auth-worker (…): auth-worker<2>: `.
const PREFIXES_MAX: usize = 6;

/// Words that say that a login failed, in a line that ends a session.
const REFUSED: [&str; 6] = [
    "(auth failed",
    "(auth_failed",
    "auth failed)",
    "(tried to use dis",
    "Authentication Failure",
    "(proxy dest auth failed",
];

/// Password databases that dovecot names before the user.
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

/// Reads a line; false, with nothing written, where it has none of dovecot's forms.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    if pam::read(message, draft) {
        return true;
    }
    let text = opening(message);
    if let Some((before, after)) = cut_last(text, "rip=") {
        session(text, before, after, draft);
        return true;
    }
    database(text, draft) || mailbox(text, draft)
}

/// `imap(bob): Disconnected: Logged out`
fn mailbox<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let protocols = ["imap(", "IMAP(", "pop3(", "POP3("];
    let Some(rest) = protocols.iter().find_map(|name| text.strip_prefix(name)) else {
        return false;
    };
    let Some((name, said)) = cut(rest, ")") else {
        return false;
    };
    user(name, draft);
    if cut(said, "Disconnected").is_some() || cut(said, "Connection closed").is_some() {
        word("action", "disconnect", draft);
    }
    true
}

/// Takes the names of processes and levels from the front.
fn opening(message: &str) -> &str {
    let mut text = message;
    for _ in 0..PREFIXES_MAX {
        let Some((name, rest)) = text.split_once(": ") else {
            break;
        };
        let process = name.split(['(', '<', ' ']).next().unwrap_or(name);
        let known = matches!(
            process,
            "dovecot" | "auth" | "auth-worker" | "conn" | "Info" | "Warning" | "Error" | "Debug"
        ) || process.ends_with("-login");
        if !known {
            break;
        }
        text = rest;
    }
    text
}

/// `Disconnected (auth failed, 1 attempts): user=<bob>, method=PLAIN, rip=192.0.2.1, lip=…`. The
/// name may hold anything; what follows the address is dovecot's own.
fn session<'a>(text: &'a str, before: &'a str, after: &'a str, draft: &mut Draft<'a>) {
    let end = after.find([',', ' ']).unwrap_or(after.len());
    source_address(after.get(..end).unwrap_or(after), draft);
    let said = match cut(before, "user=<") {
        Some((said, rest)) => {
            let (name, rest) = cut_last(rest, ">, ").unwrap_or((rest, ""));
            user(name, draft);
            if let Some(method) = between(rest, "method=", ",") {
                draft.text("method", method);
            }
            said
        }
        None => before,
    };
    if let Some(local) = cut(after, "lip=").map(|(_, local)| local) {
        let end = local.find([',', ' ']).unwrap_or(local.len());
        draft.text("dst_ip", local.get(..end).unwrap_or(local));
    }
    let failed = REFUSED.iter().any(|words| cut(said, words).is_some());
    if failed || text.trim_ascii_end().ends_with("Authentication Failure:") {
        done("login", FAILURE, draft);
    } else if said.starts_with("Login: ") {
        done("login", SUCCESS, draft);
    } else {
        word("action", "disconnect", draft);
    }
}

/// `pam(bob,192.0.2.1,<session>): unknown user`
fn database<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((backend, rest)) = text.split_once('(') else {
        return false;
    };
    if !BACKENDS.contains(&backend) {
        return false;
    }
    let Some((inner, said)) = cut(rest, "): ") else {
        return false;
    };
    let address = inner.rsplit(',').find(|part| is_address(part));
    let name = match address {
        Some(address) => {
            source_address(address, draft);
            cut_last(inner, address).map_or("", |(name, _)| name.trim_end_matches(','))
        }
        None => inner.split(',').next().unwrap_or(inner),
    };
    user(name, draft);
    draft.text("method", backend);
    let refused = [
        "unknown user",
        "failed",
        "mismatch",
        "invalid credentials",
        "not known",
        "disabled",
    ];
    let lower = |words: &str| memchr::memmem::find(said.as_bytes(), words.as_bytes()).is_some();
    if refused.iter().any(|words| lower(words)) || said.starts_with("Password mismatch") {
        done("login", FAILURE, draft);
        draft.text("reason", said);
    }
    true
}
