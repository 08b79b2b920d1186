//! FTP servers: vsftpd, ProFTPD and Pure-FTPd.
//!
//! The client chooses the user name, so each address is read from a place where only the server
//! writes.

use super::pam;
use super::text::{
    FAILURE, SUCCESS, add_action, add_source_address, add_user, first_word, split_at_first,
    split_at_last,
};
use crate::draft::Draft;

/// Phrases that vsftpd writes in front of the client, with action and outcome.
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

/// Reads `[USER] FAIL LOGIN: Client "ADDRESS"`. Returns false, with nothing changed, for other
/// messages.
pub(super) fn read_vsftpd<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    if pam::read(message, draft) {
        return true;
    }
    let Some((before, after)) = split_at_last(message, ": Client \"") else {
        return false;
    };
    let found = VSFTPD.iter().find_map(|(phrase, action, outcome)| {
        let name = before.strip_suffix(phrase)?.trim_ascii_end();
        Some((name, *action, *outcome))
    });
    let Some((name, action, outcome)) = found else {
        return false;
    };
    let (address, rest) = after.split_once('"').unwrap_or((after, ""));
    add_source_address(address, draft);
    draft.add_text("action", action);
    if let Some(outcome) = outcome {
        draft.add_text("outcome", outcome);
    }
    if let Some(name) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        add_user(name, draft);
    }
    let quoted = rest.strip_prefix(", \"").and_then(|r| r.split_once('"'));
    if let Some((text, _)) = quoted {
        let is_path = !matches!(action, "login" | "response");
        draft.add_text(if is_path { "path" } else { "reason" }, text);
        // Replies from 400 on are refusals.
        if action == "response" && text.starts_with(['4', '5']) {
            draft.add_text("outcome", FAILURE);
        }
    }
    true
}

/// Reads a line of vsftpd's own log file after its time: `[pid 2] [USER] OK LOGIN: Client "…"`.
pub(super) fn read_vsftpd_bare_line<'a>(line: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((pid, rest)) = line.strip_prefix("[pid ").and_then(|r| r.split_once("] ")) else {
        return false;
    };
    if !pid.bytes().all(|b| b.is_ascii_digit()) || !read_vsftpd(rest, draft) {
        return false;
    }
    draft.set_linux_service("vsftpd");
    draft.add_number("pid", pid);
    true
}

/// Reads `SERVER (HOST[ADDRESS]): USER name: …` and `SERVER (HOST[ADDRESS]) - USER name: …`.
pub(super) fn read_proftpd<'a>(message: &'a str, draft: &mut Draft<'a>) {
    if pam::read(message, draft) {
        return;
    }
    if let Some(rest) = message.strip_prefix("refused connect from ") {
        add_action("connect", FAILURE, draft);
        return add_source_address(first_word(rest).0, draft);
    }
    let Some((server, rest)) = split_at_first(message, " (") else {
        return;
    };
    let Some((remote, rest)) = split_at_first(rest, "])").filter(|_| !server.contains(' ')) else {
        return;
    };
    let Some((name, address)) = remote.split_once('[') else {
        return;
    };
    add_source_address(address, draft);
    if name != address {
        draft.add_text("src_host", name);
    }
    let rest = rest.strip_prefix(" -").or(rest.strip_prefix(':'));
    add_proftpd_action(rest.unwrap_or("").trim_ascii(), draft);
}

fn add_proftpd_action<'a>(text: &'a str, draft: &mut Draft<'a>) {
    if let Some(rest) = text.strip_prefix("USER ").or(text.strip_prefix("ANON ")) {
        let ends = [
            (" (Login failed)", FAILURE),
            (": no such user", FAILURE),
            (": Login successful", SUCCESS),
        ];
        let found = ends
            .iter()
            .find_map(|(end, outcome)| Some((split_at_last(rest, end)?, outcome)));
        if let Some(((name, reason), outcome)) = found {
            add_action("login", outcome, draft);
            add_user(name, draft);
            if let Some(reason) = reason.strip_prefix(": ") {
                draft.add_text("reason", reason);
            }
        }
    } else if let Some(rest) = text.strip_prefix("SECURITY VIOLATION: ") {
        add_action("login", FAILURE, draft);
        if let Some((name, _)) = split_at_first(rest, " login attempted") {
            add_user(name, draft);
        }
    } else if text.starts_with("Maximum login attempts") {
        add_action("login", FAILURE, draft);
    } else if text.starts_with("Connection ") && text.trim_end_matches('.').ends_with(" denied") {
        add_action("connect", FAILURE, draft);
    } else if text.starts_with("FTP session opened") {
        draft.add_text("action", "connect");
    } else if text.starts_with("FTP session closed") {
        draft.add_text("action", "disconnect");
    }
}

/// Reads `(USER@HOST) [LEVEL] text`.
pub(super) fn read_pure_ftpd<'a>(message: &'a str, draft: &mut Draft<'a>) {
    if pam::read(message, draft) {
        return;
    }
    let Some((remote, rest)) = message
        .strip_prefix('(')
        .and_then(|m| split_at_first(m, ") ["))
    else {
        return;
    };
    let Some((_, text)) = rest.split_once("] ") else {
        return;
    };
    let Some((name, host)) = remote.rsplit_once('@') else {
        return;
    };
    add_source_address(host, draft);
    if let Some(rest) = text.strip_prefix("Authentication failed for user [") {
        add_action("login", FAILURE, draft);
        add_user(
            split_at_last(rest, "]").map_or(rest, |(name, _)| name),
            draft,
        );
    } else if let Some((name, _)) = split_at_last(text, " is now logged in") {
        add_action("login", SUCCESS, draft);
        add_user(name, draft);
    } else if text.starts_with("New connection from ") {
        draft.add_text("action", "connect");
    } else if text.starts_with("Logout") {
        draft.add_text("action", "disconnect");
    } else if let Some((path, _)) = split_at_first(text, " uploaded ") {
        add_action("upload", SUCCESS, draft);
        draft.add_text("path", path);
    } else if let Some((path, _)) = split_at_first(text, " downloaded ") {
        add_action("download", SUCCESS, draft);
        draft.add_text("path", path);
    }
    add_user(name, draft);
}
