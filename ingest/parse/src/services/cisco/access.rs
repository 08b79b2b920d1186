//! Who logged in to a Cisco device, out of it, and configured it: IOS, XE, XR, NX-OS.

use crate::draft::Draft;
use crate::services::text::{
    FAILURE, SUCCESS, add_action, add_source_endpoint, between, first_word, is_address,
    split_at_first, split_at_last,
};

/// Reads a message by its mnemonic. Returns false, with nothing changed, for other messages.
pub(super) fn read<'a>(id: &str, text: &'a str, draft: &mut Draft<'a>) -> bool {
    let mnemonic = id.rsplit('-').next().unwrap_or(id);
    match mnemonic {
        "CONFIG_I" | "VSHD_SYSLOG_CONFIG_I" => configured(text, draft),
        "LOGOUT" => exited(text, draft),
        "CFGLOG_LOGGEDCMD" => logged_command(text, draft),
        "SSH2_USERAUTH"
        | "AUTHEN_FAILED"
        | "AUTHEN_SUCCESS"
        | "AUTH_PASSED"
        | "AUTH_FAILED"
        | "AUTHENTICATION_FAILED" => authenticated(text, draft),
        "SYSTEM_MSG" => system_message(text, draft),
        "DB_COMMIT" => match between(text, "committed by user '", "'") {
            Some(user) => {
                draft.add_text("action", "configure");
                draft.add_text("user", user);
                true
            }
            None => false,
        },
        _ => false,
    }
}

/// Reads `Configured from console by ann on vty0 (192.0.2.9)`, and NX-OS's `by ann on 192.0.2.9@pts/0`.
fn configured<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((_, rest)) = split_at_first(text, " by ") else {
        return false;
    };
    draft.add_text("action", "configure");
    let (user, rest) = first_word(rest);
    draft.add_text("user", user);
    let in_parentheses = rest
        .trim_ascii_end()
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once('('))
        .map(|(_, address)| address);
    let before_terminal = rest
        .trim_ascii_start()
        .strip_prefix("on ")
        .and_then(|rest| rest.split_once('@'))
        .map(|(address, _)| address);
    add_address(in_parentheses.or(before_terminal), draft);
    true
}

/// Reads `User ann has exited tty session 1(192.0.2.9)`.
fn exited<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some(user) = between(text, "User ", " has exited tty session ") else {
        return false;
    };
    draft.add_text("action", "session_close");
    draft.add_text("user", user);
    let address = split_at_last(text, "(").and_then(|(_, rest)| rest.split_once(')'));
    add_address(address.map(|(address, _)| address), draft);
    true
}

/// Reads `User:ann  logged command:interface Gi0/1`.
fn logged_command<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((user, command)) = split_at_first(text, "logged command:") else {
        return false;
    };
    draft.add_text("action", "command");
    draft.add_text(
        "user",
        user.strip_prefix("User:").unwrap_or(user).trim_ascii(),
    );
    draft.add_text("command", command);
    true
}

/// Reads messages with the user and address in single quotes, or the address behind `from`. The
/// device writes the address and the outcome behind the name.
fn authenticated<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((user, rest)) = split_at_first(text, "ser '").and_then(|(_, r)| r.split_once('\''))
    else {
        return false;
    };
    let is_success = text.trim_ascii_end().ends_with("Succeeded")
        || text.starts_with("Successfully")
        || rest.contains(" authenticated successfully");
    add_action("login", if is_success { SUCCESS } else { FAILURE }, draft);
    draft.add_text("user", user);
    let source = split_at_last(rest, " from ").map(|(_, source)| source);
    let source = source.map(|source| first_word(source.trim_start_matches('\'')).0);
    if let Some(source) = source {
        add_source_endpoint(source.trim_end_matches(['\'', '.', ',']), draft);
    }
    true
}

/// Reads what NX-OS passes on of its daemons: `… Authentication failure for illegal user ann from
/// 192.0.2.9 - dcos_sshd[12]`.
fn system_message<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let text = split_at_last(text, " - ").map_or(text, |(text, _)| text);
    let is_failure = [
        "Authentication failed",
        "Authentication failure",
        "Failed password",
    ]
    .iter()
    .any(|phrase| split_at_first(text, phrase).is_some());
    if !is_failure {
        return false;
    }
    add_action("login", FAILURE, draft);
    let (before, source) = split_at_last(text, " from ").unwrap_or((text, ""));
    if let Some((_, user)) = split_at_first(before, " for ") {
        let user = user
            .strip_prefix("illegal user ")
            .or_else(|| user.strip_prefix("invalid user "))
            .or_else(|| user.strip_prefix("user "))
            .unwrap_or(user);
        draft.add_text("user", user);
    }
    add_address(Some(first_word(source).0), draft);
    true
}

fn add_address<'a>(address: Option<&'a str>, draft: &mut Draft<'a>) {
    if let Some(address) = address.filter(|address| is_address(address)) {
        draft.add_text("src_ip", address);
    }
}
