//! HPE Aruba: controllers (`<522275> <3456> <WARN> |authmgr|  User Authentication failed. username=ann
//! userip=192.0.2.9 …`) and switches (`Event|4655|LOG_INFO|AMM|-|…`, `00419 auth:  …`).

use crate::draft::Draft;
use crate::services::text::{
    FAILURE, SUCCESS, add_action, add_source_address, between, first_word, is_address,
    split_at_first, split_at_last,
};

/// Reads an entry of a controller or of AOS-CX, which programs of any name write. Returns false, with
/// nothing changed, for other messages.
pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    match message.as_bytes().first() {
        Some(b'<') => read_controller(message, draft),
        Some(b'E') => read_switch(message, draft),
        _ => false,
    }
}

/// Reads an entry of a controller. Returns false, with nothing changed, for other messages.
fn read_controller<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((id, rest)) = message
        .strip_prefix('<')
        .and_then(|rest| rest.split_once("> "))
    else {
        return false;
    };
    let head = rest
        .strip_prefix('<')
        .and_then(|rest| rest.split_once("> <"));
    let Some((_pid, rest)) = head.filter(|_| id.len() == 6) else {
        return false;
    };
    let Some((level, rest)) = rest.split_once("> ") else {
        return false;
    };
    if !id.bytes().all(|b| b.is_ascii_digit()) || level.len() > 8 {
        return false;
    }
    let module = rest.strip_prefix('|').and_then(|rest| rest.split_once('|'));
    let (module, text) = module.unwrap_or(("", rest));
    draft.logsource.product = Some("aruba");
    draft.add_text("msgid", id);
    draft.add_text("level", level);
    if !module.is_empty() {
        draft.add_text("module", module);
    }
    add_controller_login(text, draft);
    true
}

fn add_controller_login<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let outcome = if text.contains("Authentication failed") {
        FAILURE
    } else if text.contains("Authentication Successful") {
        SUCCESS
    } else {
        return;
    };
    add_action("login", outcome, draft);
    let Some((_, rest)) = split_at_first(text, "username=") else {
        return;
    };
    // The name may imitate the pairs behind it, of which both forms have an own set. The end of the
    // line tells which form it is, and the last of each pair counts.
    let is_success = split_at_last(rest, " role=").map_or(0, |(before, _)| before.len())
        > split_at_last(rest, " usermac=").map_or(0, |(before, _)| before.len());
    let (names, start) = if is_success {
        ([" IP=", " MAC="], " MAC=")
    } else {
        ([" userip=", " usermac="], " userip=")
    };
    let value = |name: &str| {
        let (_, rest) = split_at_last(rest, name)?;
        Some(first_word(rest).0.trim_end_matches([',', '.']))
    };
    let [address, mac] = names.map(value);
    if let Some(address) = address.filter(|address| is_address(address)) {
        add_source_address(address, draft);
    }
    if let Some(mac) = mac {
        draft.add_text("src_mac", mac);
    }
    if let Some(address) = value(" serverip=").filter(|address| !is_success && is_address(address))
    {
        draft.add_text("dst_ip", address);
    }
    let user = split_at_last(rest, start).map_or(first_word(rest).0, |(user, _)| user);
    if !user.is_empty() {
        draft.add_text("user", user);
    }
}

/// Reads an event of AOS-CX. Returns false, with nothing changed, for other messages.
fn read_switch<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let mut parts = message.splitn(6, '|');
    let mut next = || parts.next().unwrap_or("");
    let (kind, id, level, _module, _slot, text) = (next(), next(), next(), next(), next(), next());
    if kind != "Event" || !level.starts_with("LOG_") {
        return false;
    }
    draft.logsource.product = Some("aruba");
    draft.add_text("msgid", id);
    draft.add_text("level", level);
    add_switch_login(text, draft);
    true
}

/// Reads an event of AOS-S: a number, a subsystem, and a text. Returns false, with nothing changed, for
/// other messages.
pub(super) fn read_numbered<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let (number, rest) = first_word(message);
    let is_number = number.len() == 5 && number.bytes().all(|b| b.is_ascii_digit());
    let Some((module, text)) = rest.split_once(": ").filter(|_| is_number) else {
        return false;
    };
    if module.is_empty() || module.len() > 16 || !module.bytes().all(|b| b.is_ascii_lowercase()) {
        return false;
    }
    draft.logsource.product = Some("aruba");
    draft.add_text("msgid", number);
    draft.add_text("module", module);
    add_switch_login(text.trim_ascii_start(), draft);
    true
}

/// Phrases in front of the client's address, in the order in which they are tried.
const LOGINS: [(&str, &str, Option<&str>); 5] = [
    (" is trying to login from ", "login", Some(FAILURE)),
    (" logged in from ", "login", Some(SUCCESS)),
    (" login failed from ", "login", Some(FAILURE)),
    (" logged out from ", "session_close", None),
    (" from ", "", None),
];

fn add_switch_login<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let found = LOGINS
        .iter()
        .find_map(|login| Some((login, split_at_last(text, login.0)?)));
    let Some(((_, action, outcome), (before, rest))) = found else {
        return;
    };
    let address = first_word(rest).0.trim_end_matches(['.', ',']);
    if !is_address(address) {
        return;
    }
    let (action, outcome) = match *action {
        "" if text.starts_with("Session created for user ") => ("session_open", None),
        "" if text.contains("uthentication fail") => ("login", Some(FAILURE)),
        "" => return,
        action => (action, *outcome),
    };
    draft.add_text("action", action);
    if let Some(outcome) = outcome {
        draft.add_text("outcome", outcome);
    }
    add_source_address(address, draft);
    let quoted = || between(before, "User '", "'");
    let named = || split_at_first(before, "ser ").map(|(_, user)| user);
    if let Some(user) = quoted().or_else(named) {
        draft.add_text("user", user.trim_matches('\''));
    }
}
