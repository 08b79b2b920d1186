//! Smaller network services: Samba, OpenVPN, Dropbear.

use super::pam;
use super::text::{
    FAILURE, SUCCESS, between, cut, cut_last, done, first_word, host_and_port, is_address,
    source_address, source_end, user, word,
};
use crate::draft::Draft;

/// Reads Samba's authentication audit and its refusals.
pub(super) fn smbd<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    if pam::read(message, draft) {
        return true;
    }
    if let Some(rest) = message.strip_prefix("Auth: [") {
        // A name may hold what is written behind it: then nothing tells which is Samba's own.
        let is_double = |mark| cut(rest, mark).is_some_and(|(_, tail)| cut(tail, mark).is_some());
        if is_double("] status [") || is_double("] remote host [") {
            word("action", "login", draft);
            return true;
        }
        let Some((who, rest)) = cut(rest, "] user [").and_then(|(_, r)| cut(r, "] at [")) else {
            return false;
        };
        let Some((_, rest)) = cut(rest, "] status [") else {
            return false;
        };
        let (status, rest) = rest.split_once(']').unwrap_or((rest, ""));
        let ended = if status == "NT_STATUS_OK" {
            SUCCESS
        } else {
            FAILURE
        };
        done("login", ended, draft);
        draft.text("status", status);
        if let Some((domain, name)) = cut(who, "]\\[") {
            user(name, draft);
            if !domain.is_empty() {
                draft.text("domain", domain);
            }
        }
        if let Some(far) = between(rest, "] remote host [", "]") {
            let far = far.strip_prefix("ipv4:").or(far.strip_prefix("ipv6:"));
            source_smb(far.unwrap_or(""), draft);
        }
        return true;
    }
    if let Some(rest) = message.strip_prefix("Denied connection from ") {
        done("connect", FAILURE, draft);
        source_address(between(rest, "(", ")").unwrap_or(first_word(rest).0), draft);
        return true;
    }
    if message.starts_with("Permission denied") {
        word("outcome", FAILURE, draft);
        if let Some(name) = between(message, "User name: ", ". ") {
            user(name, draft);
        }
        return true;
    }
    false
}

/// `ADDRESS:PORT`, where an IPv6 address has no brackets.
fn source_smb<'a>(far: &'a str, draft: &mut Draft<'a>) {
    if let Some((address, port)) = far.rsplit_once(':').filter(|(a, _)| is_address(a)) {
        source_address(address, draft);
        draft.number("src_port", port);
    }
}

/// Words of OpenVPN that say how a connection went.
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

/// Reads `[CLIENT/]ADDRESS:PORT text` and `text [AF_INET]ADDRESS:PORT`; false where it is neither
/// and says nothing known.
pub(super) fn openvpn<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let (first, rest) = first_word(message);
    let (name, far) = first.rsplit_once('/').unwrap_or(("", first));
    let (host, port) = host_and_port(far);
    let found = OPENVPN
        .iter()
        .find(|(words, ..)| cut(message, words).is_some());
    if port.is_some() && is_address(host) {
        source_end(far, draft);
        user(name, draft);
    } else if let Some(far) = af_inet(message) {
        source_end(far, draft);
    } else if found.is_none() {
        return false;
    }
    if let Some((_, action, outcome)) = found {
        done(action, outcome, draft);
        let quoted = between(rest, "username '", "'").or_else(|| between(message, "DN \"", "\""));
        if let Some(name) = quoted {
            user(name, draft);
        }
    } else if cut(message, "connection established").is_some() {
        word("action", "connect", draft);
    } else if cut(rest, "client-instance").is_some() {
        word("action", "disconnect", draft);
    }
    true
}

fn af_inet(message: &str) -> Option<&str> {
    let (_, rest) = cut_last(message, "[AF_INET")?;
    let (_, rest) = rest.split_once(']')?;
    let far = rest.split([' ', ',', ';']).next()?;
    is_address(host_and_port(far).0).then_some(far)
}

/// Whether a bare line, after its time, is OpenVPN's.
pub(super) fn is_openvpn(line: &str) -> bool {
    let (first, rest) = first_word(line);
    let (host, port) = host_and_port(first.rsplit('/').next().unwrap_or(first));
    let own = OPENVPN.iter().any(|(words, ..)| cut(rest, words).is_some());
    port.is_some() && is_address(host) && own || cut(line, "[AF_INET").is_some()
}

/// What Dropbear says, with ` from ADDRESS:PORT` at the end; the name stands between quotes.
const DROPBEAR: [(&str, &str, Option<&str>); 6] = [
    ("Bad password attempt for ", "login", Some(FAILURE)),
    ("Bad PAM password attempt for ", "login", Some(FAILURE)),
    ("Login attempt for nonexistent user", "login", Some(FAILURE)),
    ("Login attempt with wrong user", "login", Some(FAILURE)),
    ("Child connection from ", "connect", None),
    ("Max auth tries reached", "login", Some(FAILURE)),
];

/// Takes away `[825] Jul 10 23:53:52 `, which stands twice where Dropbear's output is forwarded.
fn undated(message: &str) -> &str {
    let rest = message.strip_prefix('[').and_then(|m| m.split_once("] "));
    rest.and_then(|(_, rest)| rest.get(16..)).unwrap_or(message)
}

/// Whether a line without a header is Dropbear's: one of its sentences, with an address and a port.
pub(super) fn is_dropbear(line: &str) -> bool {
    let own = DROPBEAR.iter().any(|(words, ..)| line.starts_with(words));
    let far = between(line, "from <", ">").filter(|_| line.starts_with("Exit before auth from"));
    let far = far.or_else(|| cut_last(line, " from ").filter(|_| own).map(|(_, far)| far));
    far.is_some_and(|far| {
        let (host, port) = host_and_port(far.trim_ascii_end());
        port.is_some() && is_address(host)
    })
}

pub(super) fn dropbear<'a>(message: &'a str, draft: &mut Draft<'a>) {
    if pam::read(message, draft) {
        return;
    }
    let message = undated(message.trim_ascii_end());
    // Old versions say so in lower case.
    let found = DROPBEAR.iter().find(|(words, ..)| {
        let start = message.as_bytes().get(..words.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(words.as_bytes()))
    });
    let (action, outcome) = match found {
        Some((_, action, outcome)) => (*action, *outcome),
        None if cut(message, " auth succeeded for ").is_some() => ("login", Some(SUCCESS)),
        None if message.starts_with("Exit before auth") => ("login", Some(FAILURE)),
        None => return,
    };
    word("action", action, draft);
    if let Some(outcome) = outcome {
        word("outcome", outcome, draft);
    }
    if message.starts_with("Exit before auth") {
        // `Exit before auth from <192.0.2.1:5000>: (user 'root', 10 fails): …`
        if let Some((_, rest)) = cut(message, "(user '") {
            user(cut(rest, "', ").map_or(rest, |(name, _)| name), draft);
        }
        let first = message.strip_prefix("Exit before auth from <");
        let first = first.and_then(|rest| Some(cut(rest, ">")?.0));
        let last = || cut_last(message, " from ").map(|(_, far)| far);
        let far = first
            .or_else(last)
            .filter(|far| is_address(host_and_port(far).0));
        return far.map_or((), |far| source_end(far, draft));
    }
    let (before, far) = cut_last(message, " from ").unwrap_or((message, ""));
    source_end(far, draft);
    let name = cut(before, "'").and_then(|(_, name)| cut_last(name, "'"));
    if let Some((name, _)) = name {
        user(name, draft);
    }
}
