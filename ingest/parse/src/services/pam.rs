//! Lines of PAM modules: failures, and sessions that open and close, whichever program they are
//! from.

use super::text::{cut, done, source_address, user, word};
use crate::draft::Draft;

/// Reads `pam_unix(sshd:auth): ...`, `(pam_unix) ...`, and what PAM alone says; false where the
/// message is none of these.
pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    if let Some(pairs) = repeated(message) {
        word("action", "login", draft);
        word("outcome", "failure", draft);
        failure(pairs, draft);
        return true;
    }
    let Some(text) = strip_module(message) else {
        return false;
    };
    if let Some(pairs) = text.strip_prefix("authentication failure;") {
        word("action", "login", draft);
        word("outcome", "failure", draft);
        failure(pairs, draft);
    } else if let Some(rest) = text.strip_prefix("session opened for user ") {
        word("action", "session_open", draft);
        word("outcome", "success", draft);
        session(rest, draft);
    } else if let Some(user) = text.strip_prefix("session closed for user ") {
        word("action", "session_close", draft);
        draft.text("user", user.trim_ascii_end());
    } else if text.starts_with("check pass; user unknown") {
        done("login", "failure", draft);
    } else if let Some(rest) = text.strip_prefix("Consecutive login failures for user ") {
        done("login", "failure", draft);
        user(cut(rest, " account").map_or(rest, |(name, _)| name), draft);
    } else if let Some((name, _)) = text
        .strip_prefix("user ")
        .and_then(|rest| cut(rest, " tally ").map(|_| super::text::first_word(rest)))
    {
        done("login", "failure", draft);
        user(name, draft);
    } else if let Some(rest) = text.strip_prefix("password changed for ") {
        done("password_change", "success", draft);
        user(rest.trim_ascii_end(), draft);
    }
    true
}

/// `PAM 2 more authentication failures; ...`, which stands for that many lines.
fn repeated(message: &str) -> Option<&str> {
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
    // With the module in the program's name, as in `su(pam_unix)[1]: …`.
    if message.starts_with("authentication failure; logname=")
        || message.starts_with("check pass; user unknown")
        || message.starts_with("session opened for user ")
        || message.starts_with("session closed for user ")
    {
        return Some(message);
    }
    let rest = message.strip_prefix("pam_")?;
    let name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let end = rest.bytes().take(MODULE_BYTES_MAX).position(|b| !name(b))?;
    let rest = rest.get(end..)?;
    let rest = match rest.strip_prefix('(') {
        Some(inner) => inner.split_once(')')?.1,
        None => rest,
    };
    rest.strip_prefix(": ")
}

/// `logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root`. A remote user that was given
/// may itself hold ` rhost=`.
fn failure<'a>(pairs: &'a str, draft: &mut Draft<'a>) {
    if let Some(tty) = value(pairs, " tty=").filter(|tty| !tty.is_empty()) {
        draft.text("tty", tty);
    }
    let Some((_, tail)) = cut(pairs, " ruser=") else {
        return;
    };
    let named = !tail.starts_with(' ');
    let at = if named {
        tail.rfind(" rhost=")
    } else {
        tail.find(" rhost=")
    };
    let Some((remote_user, rest)) = at.and_then(|at| tail.split_at_checked(at)) else {
        return;
    };
    let rest = rest.strip_prefix(" rhost=").unwrap_or(rest);
    let host = rest.split(' ').next().unwrap_or(rest);
    let user = cut(rest, " user=").map(|(_, user)| user.trim_ascii());
    if let Some(user) = user.or(named.then_some(remote_user)) {
        draft.text("user", user);
    }
    source_address(host, draft);
}

/// `root(uid=0) by bob(uid=1000)` or `rda by (uid=0)`.
fn session<'a>(rest: &'a str, draft: &mut Draft<'a>) {
    let (target, by) = cut(rest, " by ").unwrap_or((rest, ""));
    let name = |text: &'a str| {
        text.split_once('(')
            .map_or(text, |(name, _)| name)
            .trim_ascii()
    };
    draft.text("user", name(target));
    if !name(by).is_empty() {
        draft.text("by_user", name(by));
    }
}

fn value<'a>(pairs: &'a str, key: &str) -> Option<&'a str> {
    cut(pairs, key).map(|(_, tail)| tail.split(' ').next().unwrap_or(tail))
}
