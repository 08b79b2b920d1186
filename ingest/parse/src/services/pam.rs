//! PAM modules: failed logins, and opened and closed sessions, in the lines of any program.

use super::text::{add_action, add_source_address, add_user, first_word, split_at_first};
use crate::draft::Draft;

/// Reads `pam_unix(sshd:auth): ...`, `(pam_unix) ...`, and messages that only PAM writes. Returns
/// false, with nothing changed, for other messages.
pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    if let Some(pairs) = strip_repetition(message) {
        draft.add_text("action", "login");
        draft.add_text("outcome", "failure");
        add_failure(pairs, draft);
        return true;
    }
    let Some(text) = strip_module(message) else {
        return false;
    };
    if let Some(pairs) = text.strip_prefix("authentication failure;") {
        draft.add_text("action", "login");
        draft.add_text("outcome", "failure");
        add_failure(pairs, draft);
    } else if let Some(rest) = text.strip_prefix("session opened for user ") {
        draft.add_text("action", "session_open");
        draft.add_text("outcome", "success");
        add_session(rest, draft);
    } else if let Some(name) = text.strip_prefix("session closed for user ") {
        draft.add_text("action", "session_close");
        draft.add_text("user", name.trim_ascii_end());
    } else if text.starts_with("check pass; user unknown") {
        add_action("login", "failure", draft);
    } else if let Some(rest) = text.strip_prefix("Consecutive login failures for user ") {
        add_action("login", "failure", draft);
        add_user(
            split_at_first(rest, " account").map_or(rest, |(name, _)| name),
            draft,
        );
    } else if let Some((name, _)) = text
        .strip_prefix("user ")
        .and_then(|rest| split_at_first(rest, " tally ").map(|_| first_word(rest)))
    {
        add_action("login", "failure", draft);
        add_user(name, draft);
    } else if let Some(rest) = text.strip_prefix("password changed for ") {
        add_action("password_change", "success", draft);
        add_user(rest.trim_ascii_end(), draft);
    }
    true
}

/// Removes `PAM 2 more authentication failures;`, which stands for that many lines.
fn strip_repetition(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("PAM ").unwrap_or(message);
    let more = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    if more.len() == rest.len() {
        return None;
    }
    let rest = more.strip_prefix(" more authentication failure")?;
    rest.strip_prefix('s').unwrap_or(rest).strip_prefix(';')
}

/// Longest name of a module, such as `pam_succeed_if`.
const MODULE_BYTES_MAX: usize = 32;

fn strip_module(message: &str) -> Option<&str> {
    if let Some(rest) = message.strip_prefix("(pam_unix) ") {
        return Some(rest);
    }
    // The program's name may have the module instead, as in `su(pam_unix)[1]: …`.
    if message.starts_with("authentication failure; logname=")
        || message.starts_with("check pass; user unknown")
        || message.starts_with("session opened for user ")
        || message.starts_with("session closed for user ")
    {
        return Some(message);
    }
    let rest = message.strip_prefix("pam_")?;
    let is_module = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let end = rest
        .bytes()
        .take(MODULE_BYTES_MAX)
        .position(|b| !is_module(b))?;
    let rest = rest.get(end..)?;
    let rest = match rest.strip_prefix('(') {
        Some(inner) => inner.split_once(')')?.1,
        None => rest,
    };
    rest.strip_prefix(": ")
}

/// Adds `logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root`. A remote user, if there
/// is one, may itself contain ` rhost=`.
fn add_failure<'a>(pairs: &'a str, draft: &mut Draft<'a>) {
    if let Some(tty) = value(pairs, " tty=").filter(|tty| !tty.is_empty()) {
        draft.add_text("tty", tty);
    }
    let Some((_, tail)) = split_at_first(pairs, " ruser=") else {
        return;
    };
    let has_remote_user = !tail.starts_with(' ');
    let at = if has_remote_user {
        tail.rfind(" rhost=")
    } else {
        tail.find(" rhost=")
    };
    let Some((remote_user, rest)) = at.and_then(|at| tail.split_at_checked(at)) else {
        return;
    };
    let rest = rest.strip_prefix(" rhost=").unwrap_or(rest);
    let host = rest.split(' ').next().unwrap_or(rest);
    let user = split_at_first(rest, " user=").map(|(_, user)| user.trim_ascii());
    if let Some(user) = user.or(has_remote_user.then_some(remote_user)) {
        draft.add_text("user", user);
    }
    add_source_address(host, draft);
}

/// Adds `root(uid=0) by bob(uid=1000)` or `rda by (uid=0)`.
fn add_session<'a>(rest: &'a str, draft: &mut Draft<'a>) {
    let (target, by) = split_at_first(rest, " by ").unwrap_or((rest, ""));
    let name = |text: &'a str| {
        text.split_once('(')
            .map_or(text, |(name, _)| name)
            .trim_ascii()
    };
    draft.add_text("user", name(target));
    if !name(by).is_empty() {
        draft.add_text("by_user", name(by));
    }
}

fn value<'a>(pairs: &'a str, key: &str) -> Option<&'a str> {
    split_at_first(pairs, key).map(|(_, tail)| tail.split(' ').next().unwrap_or(tail))
}
