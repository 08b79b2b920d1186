//! Smaller network services: Samba, OpenVPN, Dropbear.

use super::pam;
use super::text::{
    FAILURE, SUCCESS, add_action, add_source_address, add_source_endpoint, add_user, between,
    first_word, host_and_port, is_address, split_at_first, split_at_last,
};
use crate::draft::Draft;

/// Reads Samba's authentication audit and its refusals. Returns false, with nothing changed, for other
/// messages.
pub(super) fn read_smbd<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    if pam::read(message, draft) {
        return true;
    }
    if let Some(rest) = message.strip_prefix("Auth: [") {
        // A user name may imitate the text that Samba writes after it. If a part occurs twice,
        // the line is ambiguous.
        let is_twice = |part| {
            let after = split_at_first(rest, part).map(|(_, after)| after);
            after.is_some_and(|after| split_at_first(after, part).is_some())
        };
        if is_twice("] status [") || is_twice("] remote host [") {
            draft.add_text("action", "login");
            return true;
        }
        let Some((account, rest)) =
            split_at_first(rest, "] user [").and_then(|(_, r)| split_at_first(r, "] at ["))
        else {
            return false;
        };
        let Some((_, rest)) = split_at_first(rest, "] status [") else {
            return false;
        };
        let (status, rest) = rest.split_once(']').unwrap_or((rest, ""));
        let outcome = if status == "NT_STATUS_OK" {
            SUCCESS
        } else {
            FAILURE
        };
        add_action("login", outcome, draft);
        draft.add_text("status", status);
        if let Some((domain, name)) = split_at_first(account, "]\\[") {
            add_user(name, draft);
            if !domain.is_empty() {
                draft.add_text("domain", domain);
            }
        }
        if let Some(remote) = between(rest, "] remote host [", "]") {
            let remote = remote
                .strip_prefix("ipv4:")
                .or(remote.strip_prefix("ipv6:"));
            add_smb_source(remote.unwrap_or(""), draft);
        }
        return true;
    }
    if let Some(rest) = message.strip_prefix("Denied connection from ") {
        add_action("connect", FAILURE, draft);
        add_source_address(between(rest, "(", ")").unwrap_or(first_word(rest).0), draft);
        return true;
    }
    if message.starts_with("Permission denied") {
        draft.add_text("outcome", FAILURE);
        if let Some(name) = between(message, "User name: ", ". ") {
            add_user(name, draft);
        }
        return true;
    }
    false
}

/// Adds `ADDRESS:PORT`, in which an IPv6 address has no brackets.
fn add_smb_source<'a>(remote: &'a str, draft: &mut Draft<'a>) {
    if let Some((address, port)) = remote.rsplit_once(':').filter(|(a, _)| is_address(a)) {
        add_source_address(address, draft);
        draft.add_number("src_port", port);
    }
}

/// Phrases of OpenVPN, with action and outcome.
const OPENVPN: [(&str, &str, &str); 10] = [
    ("TLS Auth Error", "login", FAILURE),
    ("AUTH_FAILED", "login", FAILURE),
    ("VERIFY ERROR", "login", FAILURE),
    ("TLS Error", "connect", FAILURE),
    ("TLS_ERROR", "connect", FAILURE),
    ("OpenSSL: error", "connect", FAILURE),
    ("LDAP bind failed", "login", FAILURE),
    ("Incorrect password supplied", "login", FAILURE),
    ("Peer Connection Initiated with", "connect", SUCCESS),
    ("authentication succeeded for username", "login", SUCCESS),
];

/// Reads `[CLIENT/]ADDRESS:PORT text` and `text [AF_INET]ADDRESS:PORT`. Returns false if the message
/// has neither form and no known phrase.
pub(super) fn read_openvpn<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let (first, rest) = first_word(message);
    let (name, remote) = first.rsplit_once('/').unwrap_or(("", first));
    let (host, port) = host_and_port(remote);
    let found = OPENVPN
        .iter()
        .find(|(phrase, ..)| split_at_first(message, phrase).is_some());
    if port.is_some() && is_address(host) {
        add_source_endpoint(remote, draft);
        add_user(name, draft);
    } else if let Some(remote) = af_inet_address(message) {
        add_source_endpoint(remote, draft);
    } else if found.is_none() {
        return false;
    }
    if let Some((_, action, outcome)) = found {
        add_action(action, outcome, draft);
        let quoted = between(rest, "username '", "'").or_else(|| between(message, "DN \"", "\""));
        if let Some(name) = quoted {
            add_user(name, draft);
        }
    } else if split_at_first(message, "connection established").is_some() {
        draft.add_text("action", "connect");
    } else if split_at_first(rest, "client-instance").is_some() {
        draft.add_text("action", "disconnect");
    }
    true
}

fn af_inet_address(message: &str) -> Option<&str> {
    let (_, rest) = split_at_last(message, "[AF_INET")?;
    let (_, rest) = rest.split_once(']')?;
    let remote = rest.split([' ', ',', ';']).next()?;
    is_address(host_and_port(remote).0).then_some(remote)
}

/// Returns whether a line without a header is OpenVPN's, after its time.
pub(super) fn is_openvpn(line: &str) -> bool {
    let (first, rest) = first_word(line);
    let (host, port) = host_and_port(first.rsplit('/').next().unwrap_or(first));
    let has_phrase = OPENVPN
        .iter()
        .any(|(phrase, ..)| split_at_first(rest, phrase).is_some());
    port.is_some() && is_address(host) && has_phrase || split_at_first(line, "[AF_INET").is_some()
}

/// Phrases of Dropbear, with action and outcome. ` from ADDRESS:PORT` ends these lines, and the name
/// is in quotes.
const DROPBEAR: [(&str, &str, Option<&str>); 6] = [
    ("Bad password attempt for ", "login", Some(FAILURE)),
    ("Bad PAM password attempt for ", "login", Some(FAILURE)),
    ("Login attempt for nonexistent user", "login", Some(FAILURE)),
    ("Login attempt with wrong user", "login", Some(FAILURE)),
    ("Child connection from ", "connect", None),
    ("Max auth tries reached", "login", Some(FAILURE)),
];

/// Removes `[825] Jul 10 23:53:52 `, a second header if Dropbear's output is forwarded.
fn strip_header(message: &str) -> &str {
    let rest = message.strip_prefix('[').and_then(|m| m.split_once("] "));
    rest.and_then(|(_, rest)| rest.get(16..)).unwrap_or(message)
}

/// Returns whether a line without a header is Dropbear's: a known phrase, an address and a port.
pub(super) fn is_dropbear(line: &str) -> bool {
    let has_phrase = DROPBEAR.iter().any(|(phrase, ..)| line.starts_with(phrase));
    let remote = between(line, "from <", ">").filter(|_| line.starts_with("Exit before auth from"));
    let remote = remote.or_else(|| {
        split_at_last(line, " from ")
            .filter(|_| has_phrase)
            .map(|(_, remote)| remote)
    });
    remote.is_some_and(|remote| {
        let (host, port) = host_and_port(remote.trim_ascii_end());
        port.is_some() && is_address(host)
    })
}

pub(super) fn read_dropbear<'a>(message: &'a str, draft: &mut Draft<'a>) {
    if pam::read(message, draft) {
        return;
    }
    let message = strip_header(message.trim_ascii_end());
    // Old versions write in lower case.
    let found = DROPBEAR.iter().find(|(phrase, ..)| {
        let start = message.as_bytes().get(..phrase.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(phrase.as_bytes()))
    });
    let (action, outcome) = match found {
        Some((_, action, outcome)) => (*action, *outcome),
        None if split_at_first(message, " auth succeeded for ").is_some() => {
            ("login", Some(SUCCESS))
        }
        None if message.starts_with("Exit before auth") => ("login", Some(FAILURE)),
        None => return,
    };
    draft.add_text("action", action);
    if let Some(outcome) = outcome {
        draft.add_text("outcome", outcome);
    }
    if message.starts_with("Exit before auth") {
        // `Exit before auth from <192.0.2.1:5000>: (user 'root', 10 fails): …`
        if let Some((_, rest)) = split_at_first(message, "(user '") {
            add_user(
                split_at_first(rest, "', ").map_or(rest, |(name, _)| name),
                draft,
            );
        }
        let first = message.strip_prefix("Exit before auth from <");
        let first = first.and_then(|rest| Some(split_at_first(rest, ">")?.0));
        let last = || split_at_last(message, " from ").map(|(_, remote)| remote);
        let remote = first
            .or_else(last)
            .filter(|remote| is_address(host_and_port(remote).0));
        return remote.map_or((), |remote| add_source_endpoint(remote, draft));
    }
    let (before, remote) = split_at_last(message, " from ").unwrap_or((message, ""));
    add_source_endpoint(remote, draft);
    let name = split_at_first(before, "'").and_then(|(_, name)| split_at_last(name, "'"));
    if let Some((name, _)) = name {
        add_user(name, draft);
    }
}
