//! Sudo: commands that users ran as other users, and refused ones.

use super::pam;
use super::text::split_at_first;
use crate::draft::Draft;

pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) {
    if pam::read(message, draft) {
        swap_session_users(draft);
        return;
    }
    let Some((user, rest)) = split_at_first(message.trim_ascii_start(), " : ") else {
        return;
    };
    draft.add_text("user", user);
    // The command comes last and may contain anything.
    let (pairs, command) = match split_at_first(rest, "COMMAND=") {
        Some((pairs, command)) => (pairs, Some(command)),
        None => (rest, None),
    };
    let mut refusal = None;
    for (n, pair) in pairs.split(" ; ").map(str::trim_ascii).enumerate() {
        match pair.split_once('=') {
            Some(("TTY", tty)) => draft.add_text("tty", tty),
            Some(("PWD", folder)) => draft.add_text("pwd", folder),
            Some(("USER", target)) => draft.add_text("target_user", target),
            Some(("GROUP", group)) => draft.add_text("target_group", group),
            Some(_) => {}
            // The reason of a refusal comes first. Later texts are parts of a folder name that has
            // ` ; ` in it.
            None if n > 0 => {}
            None => {
                let reason = pair.trim_end_matches([' ', ';']);
                refusal = refusal.or(Some(reason).filter(|reason| !reason.is_empty()));
            }
        }
    }
    if let Some(command) = command {
        draft.add_text("command", command);
    }
    draft.add_text("action", "sudo");
    match refusal {
        Some(reason) => {
            draft.add_text("outcome", "failure");
            draft.add_text("reason", reason);
        }
        None => draft.add_text("outcome", "success"),
    }
}

/// Renames the user of a PAM session to `target_user`, and the user who opened it to `user`.
fn swap_session_users(draft: &mut Draft<'_>) {
    let at = |name: &str| draft.fields.iter().position(|(field, _)| field == name);
    if let (Some(user), Some(by), None) = (at("user"), at("by_user"), at("target_user")) {
        for (at, name) in [(user, "target_user"), (by, "user")] {
            draft.rename(at, name);
        }
    }
}

/// Reads sudo's own JSON: `{"sudo":{"reject":{"submituser":…,"runuser":…,"command":…}}}`.
pub(crate) fn read_json<'a>(object: &Draft<'a>, draft: &mut Draft<'a>) {
    let value = |kind: &str, name: &str| object.get(&format!("sudo.{kind}.{name}")).cloned();
    for (kind, outcome) in [
        ("accept", "success"),
        ("reject", "failure"),
        ("alert", "failure"),
    ] {
        let Some(user) = value(kind, "submituser") else {
            continue;
        };
        draft.add("user", user);
        for (name, field) in [
            ("runuser", "target_user"),
            ("rungroup", "target_group"),
            ("command", "command"),
            ("submitcwd", "pwd"),
            ("ttyname", "tty"),
            ("reason", "reason"),
        ] {
            if let Some(value) = value(kind, name) {
                draft.add(field, value);
            }
        }
        draft.add_text("action", "sudo");
        return draft.add_text("outcome", outcome);
    }
}
