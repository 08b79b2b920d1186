//! FTP servers: vsftpd, ProFTPD and Pure-FTPd.
//!
//! The name that is tried is the sender's to choose, so each address is taken from where only the
//! server writes it.

use super::pam;
use super::text::{FAILURE, SUCCESS, cut, cut_last, done, first_word, source_address, user, word};
use crate::draft::Draft;

/// What vsftpd says before the client.
const VSFTPD: [(&str, &str, Option<&str>); 10] = [
    ("FAIL LOGIN", "login", Some(FAILURE)),
    ("OK LOGIN", "login", Some(SUCCESS)),
    ("OK DOWNLOAD", "download", Some(SUCCESS)),
    ("FAIL DOWNLOAD", "download", Some(FAILURE)),
    ("OK UPLOAD", "upload", Some(SUCCESS)),
    ("FAIL UPLOAD", "upload", Some(FAILURE)),
    ("OK DELETE", "delete", Some(SUCCESS)),
    ("OK MKDIR", "mkdir", Some(SUCCESS)),
    ("FTP response", "response", None),
    ("CONNECT", "connect", None),
];

/// Reads `[USER] FAIL LOGIN: Client "ADDRESS"`; false, with nothing written, where it is not that.
pub(super) fn vsftpd<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    if pam::read(message, draft) {
        return true;
    }
    let Some((before, after)) = cut_last(message, ": Client \"") else {
        return false;
    };
    let found = VSFTPD.iter().find_map(|(words, action, outcome)| {
        let name = before.strip_suffix(words)?.trim_ascii_end();
        Some((name, *action, *outcome))
    });
    let Some((name, action, outcome)) = found else {
        return false;
    };
    let (address, rest) = after.split_once('"').unwrap_or((after, ""));
    source_address(address, draft);
    word("action", action, draft);
    if let Some(outcome) = outcome {
        word("outcome", outcome, draft);
    }
    if let Some(name) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        user(name, draft);
    }
    let quoted = rest.strip_prefix(", \"").and_then(|r| r.split_once('"'));
    if let Some((text, _)) = quoted {
        let is_path = !matches!(action, "login" | "response");
        draft.text(if is_path { "path" } else { "reason" }, text);
        // Replies of 400 and above refuse.
        if action == "response" && text.starts_with(['4', '5']) {
            word("outcome", FAILURE, draft);
        }
    }
    true
}

/// Reads a bare line of vsftpd's own log, after its time: `[pid 2] [USER] OK LOGIN: Client "…"`.
pub(super) fn vsftpd_bare<'a>(line: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((pid, rest)) = line.strip_prefix("[pid ").and_then(|r| r.split_once("] ")) else {
        return false;
    };
    if !pid.bytes().all(|b| b.is_ascii_digit()) || !vsftpd(rest, draft) {
        return false;
    }
    draft.linux("vsftpd");
    draft.number("pid", pid);
    true
}

/// Reads `SERVER (HOST[ADDRESS]): USER name: …` and `SERVER (HOST[ADDRESS]) - USER name: …`.
pub(super) fn proftpd<'a>(message: &'a str, draft: &mut Draft<'a>) {
    if pam::read(message, draft) {
        return;
    }
    if let Some(rest) = message.strip_prefix("refused connect from ") {
        done("connect", FAILURE, draft);
        return source_address(first_word(rest).0, draft);
    }
    let Some((server, rest)) = cut(message, " (") else {
        return;
    };
    let Some((far, rest)) = cut(rest, "])").filter(|_| !server.contains(' ')) else {
        return;
    };
    let Some((name, address)) = far.split_once('[') else {
        return;
    };
    source_address(address, draft);
    if name != address {
        draft.text("src_host", name);
    }
    let rest = rest.strip_prefix(" -").or(rest.strip_prefix(':'));
    proftpd_text(rest.unwrap_or("").trim_ascii(), draft);
}

fn proftpd_text<'a>(text: &'a str, draft: &mut Draft<'a>) {
    if let Some(rest) = text.strip_prefix("USER ").or(text.strip_prefix("ANON ")) {
        let ends = [
            (" (Login failed)", FAILURE),
            (": no such user", FAILURE),
            (": Login successful", SUCCESS),
        ];
        let found = ends
            .iter()
            .find_map(|(mark, outcome)| Some((cut_last(rest, mark)?, outcome)));
        if let Some(((name, reason), outcome)) = found {
            done("login", outcome, draft);
            user(name, draft);
            if let Some(reason) = reason.strip_prefix(": ") {
                draft.text("reason", reason);
            }
        }
    } else if let Some(rest) = text.strip_prefix("SECURITY VIOLATION: ") {
        done("login", FAILURE, draft);
        if let Some((name, _)) = cut(rest, " login attempted") {
            user(name, draft);
        }
    } else if text.starts_with("Maximum login attempts") {
        done("login", FAILURE, draft);
    } else if text.starts_with("Connection ") && text.trim_end_matches('.').ends_with(" denied") {
        done("connect", FAILURE, draft);
    } else if text.starts_with("FTP session opened") {
        word("action", "connect", draft);
    } else if text.starts_with("FTP session closed") {
        word("action", "disconnect", draft);
    }
}

/// Reads `(USER@HOST) [LEVEL] text`.
pub(super) fn pure_ftpd<'a>(message: &'a str, draft: &mut Draft<'a>) {
    if pam::read(message, draft) {
        return;
    }
    let Some((far, rest)) = message.strip_prefix('(').and_then(|m| cut(m, ") [")) else {
        return;
    };
    let Some((_, text)) = rest.split_once("] ") else {
        return;
    };
    let Some((name, host)) = far.rsplit_once('@') else {
        return;
    };
    source_address(host, draft);
    if let Some(tried) = text.strip_prefix("Authentication failed for user [") {
        done("login", FAILURE, draft);
        user(cut_last(tried, "]").map_or(tried, |(name, _)| name), draft);
    } else if let Some((name, _)) = cut_last(text, " is now logged in") {
        done("login", SUCCESS, draft);
        user(name, draft);
    } else if text.starts_with("New connection from ") {
        word("action", "connect", draft);
    } else if text.starts_with("Logout") {
        word("action", "disconnect", draft);
    } else if let Some((path, _)) = cut(text, " uploaded ") {
        done("upload", SUCCESS, draft);
        draft.text("path", path);
    } else if let Some((path, _)) = cut(text, " downloaded ") {
        done("download", SUCCESS, draft);
        draft.text("path", path);
    }
    user(name, draft);
}
