//! BIND: queries, zone transfers and updates, and those that it denied.

use std::borrow::Cow;

use super::text::{
    FAILURE, add_source_address, first_word, head, is_address, is_port, split_at_first,
};
use crate::draft::Draft;
use crate::time::{TimeCursor, Timestamp, Zone};

/// Reads `[time] [category: severity: ]client [@0x…] ADDRESS#PORT [(name)]: …`. Returns false, with
/// nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((address, port, text)) = client(message) else {
        return false;
    };
    add_source_address(address, draft);
    draft.add_number("src_port", port);
    if let Some(rest) = split_at_first(text, "query: ").map(|(_, rest)| rest) {
        // `example.org IN A +E(0)K (192.0.2.53)`
        draft.logsource.category = Some("dns");
        draft.add_text("action", "query");
        let mut words = rest.split(' ');
        if let (Some(name), Some(_class), Some(kind)) = (words.next(), words.next(), words.next()) {
            draft.add_text("query", name);
            draft.add_text("record_type", kind);
        }
    } else if let Some((operation, rest)) = split_at_first(text, " '") {
        let operation = operation.rsplit(": ").next().unwrap_or(operation);
        let action = if operation.contains("transfer") {
            "zone_transfer"
        } else if operation.contains("update") {
            "update"
        } else {
            "query"
        };
        draft.add_text("action", action);
        // `example.org/A/IN' denied`
        if let Some((question, rest)) = split_at_first(rest, "'") {
            let mut parts = question.rsplitn(3, '/');
            let (_class, kind, name) = (parts.next(), parts.next(), parts.next());
            match (kind, name) {
                (Some(kind), Some(name)) => {
                    draft.add_text("query", name);
                    draft.add_text("record_type", kind);
                }
                (name, _) => draft.add_text("query", name.unwrap_or(question)),
            }
            if split_at_first(rest, "denied").is_some()
                || action == "zone_transfer" && text.starts_with("bad")
            {
                draft.add_text("outcome", FAILURE);
            }
        }
    } else if text.trim_ascii_end().ends_with("denied") {
        draft.add_text("outcome", FAILURE);
    }
    true
}

fn client(message: &str) -> Option<(&str, &str, &str)> {
    // At most a time and a category precede it.
    let at = memchr::memmem::find(head(message), b"client ")?;
    let (before, rest) = (message.get(..at)?, message.get(at + "client ".len()..)?);
    if !(before.is_empty() || before.ends_with(' ')) {
        return None;
    }
    let rest = match rest.strip_prefix("@0x") {
        Some(rest) => first_word(rest).1,
        None => rest,
    };
    let (address, rest) = rest.split_once('#')?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (port, rest) = rest.split_at_checked(end)?;
    let rest = match rest.strip_prefix(" (") {
        Some(rest) => rest.split_once(')')?.1,
        None => rest,
    };
    let text = rest.strip_prefix(": ")?;
    (is_address(address) && is_port(port)).then_some((address, port, text))
}

/// Reads a line of BIND's own log file, which may start with a time in BIND's format.
pub(super) fn read_bare_line<'a>(line: &'a str, zone: Zone, draft: &mut Draft<'a>) -> bool {
    if !read(line, draft) {
        return false;
    }
    draft.message = Cow::Borrowed(line);
    draft.set_linux_service("named");
    draft.time = timestamp(line, zone);
    true
}

/// Reads `19-Oct-2022 05:34:02.425`.
fn timestamp(line: &str, zone: Zone) -> Option<Timestamp> {
    let civil = TimeCursor(line.as_bytes()).day_month_year()?;
    civil.timestamp(None, zone)
}
