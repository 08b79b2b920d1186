//! Cron: `(user) CMD (command)` lines, and its sessions.

use std::borrow::Cow;

use weir_schema::Value;

use super::pam;
use crate::draft::Draft;

pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) {
    if pam::read(message, draft) {
        return;
    }
    let Some((user, rest)) = message.strip_prefix('(').and_then(|m| m.split_once(") ")) else {
        return;
    };
    let (verb, rest) = rest.split_once(" (").unwrap_or((rest, ""));
    draft.add_text("user", user);
    let inner = rest.trim_ascii_end().strip_suffix(')').unwrap_or(rest);
    match verb {
        "CMD" => {
            draft.add_text("action", "command");
            draft.add_text("command", inner);
        }
        _ if verb.len() <= 32 && verb.bytes().all(|b| b.is_ascii_uppercase() || b == b' ') => {
            let verb = Cow::Owned(verb.to_ascii_lowercase());
            draft.add("action", Value::Text(verb));
        }
        _ => {}
    }
}
