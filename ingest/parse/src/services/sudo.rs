//! Sudo lines: who ran what as whom, or was refused.

use super::pam;
use super::text::{cut, word};
use crate::draft::Draft;

pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) {
    if pam::read(message, draft) {
        // A session of sudo is the target's; who asked for it is the user.
        session(draft);
        return;
    }
    let Some((user, rest)) = cut(message.trim_ascii_start(), " : ") else {
        return;
    };
    draft.text("user", user);
    // The command comes last and may hold anything.
    let (pairs, command) = match cut(rest, "COMMAND=") {
        Some((pairs, command)) => (pairs, Some(command)),
        None => (rest, None),
    };
    let mut refusal = None;
    for (n, pair) in pairs.split(" ; ").map(str::trim_ascii).enumerate() {
        match pair.split_once('=') {
            Some(("TTY", tty)) => draft.text("tty", tty),
            Some(("PWD", folder)) => draft.text("pwd", folder),
            Some(("USER", target)) => draft.text("target_user", target),
            Some(("GROUP", group)) => draft.text("target_group", group),
            Some(_) => {}
            // It comes first: a folder's name may hold ` ; ` and anything behind it.
            None if n > 0 => {}
            None => {
                let reason = pair.trim_end_matches([' ', ';']);
                refusal = refusal.or(Some(reason).filter(|reason| !reason.is_empty()));
            }
        }
    }
    if let Some(command) = command {
        draft.text("command", command);
    }
    word("action", "sudo", draft);
    match refusal {
        Some(reason) => {
            word("outcome", "failure", draft);
            draft.text("reason", reason);
        }
        None => word("outcome", "success", draft),
    }
}

fn session(draft: &mut Draft<'_>) {
    let at = |name: &str| draft.fields.iter().position(|(field, _)| field == name);
    if let (Some(user), Some(by), None) = (at("user"), at("by_user"), at("target_user")) {
        for (at, name) in [(user, "target_user"), (by, "user")] {
            draft.rename(at, name);
        }
    }
}
