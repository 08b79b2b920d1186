//! Cron lines: `(user) CMD (command)` and its sessions.

use std::borrow::Cow;

use weir_schema::Value;

use super::pam;
use super::text::word;
use crate::draft::Draft;

pub(crate) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) {
    if pam::read(message, draft) {
        return;
    }
    let Some((user, rest)) = message.strip_prefix('(').and_then(|m| m.split_once(") ")) else {
        return;
    };
    let (verb, rest) = rest.split_once(" (").unwrap_or((rest, ""));
    draft.text("user", user);
    let inner = rest.trim_ascii_end().strip_suffix(')').unwrap_or(rest);
    match verb {
        "CMD" => {
            word("action", "command", draft);
            draft.text("command", inner);
        }
        _ if verb.len() <= 32 && verb.bytes().all(|b| b.is_ascii_uppercase() || b == b' ') => {
            let verb = Cow::Owned(verb.to_ascii_lowercase());
            draft.put("action", Value::Text(verb));
        }
        _ => {}
    }
}
