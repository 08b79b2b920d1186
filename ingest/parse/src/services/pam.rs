//! Lines of `pam_unix`: failures, and sessions that open and close, whichever program they are
//! from.

use super::{cut, source_address, word};
use crate::draft::Draft;

/// Reads `pam_unix(sshd:auth): ...` or `(pam_unix) ...`; false where the message is neither.
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

fn strip_module(message: &str) -> Option<&str> {
    if let Some(rest) = message.strip_prefix("(pam_unix) ") {
        return Some(rest);
    }
    let rest = message.strip_prefix("pam_unix")?;
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
