//! BIND's lines: who asked what, and was refused.

use std::borrow::Cow;

use super::text::{FAILURE, cut, first_word, is_address, is_port, source_address, word};
use crate::draft::Draft;
use crate::time::{Cursor, Stamp, Zone};

/// Reads `[time] [category: severity: ]client [@0x…] ADDRESS#PORT [(name)]: …`; false, with nothing
/// written, where it is not that.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((address, port, text)) = client(message) else {
        return false;
    };
    source_address(address, draft);
    draft.number("src_port", port);
    if let Some(rest) = cut(text, "query: ").map(|(_, rest)| rest) {
        // `example.org IN A +E(0)K (192.0.2.53)`
        draft.source.category = Some("dns");
        word("action", "query", draft);
        let mut words = rest.split(' ');
        if let (Some(name), Some(_class), Some(kind)) = (words.next(), words.next(), words.next()) {
            draft.text("query", name);
            draft.text("record_type", kind);
        }
    } else if let Some((what, rest)) = cut(text, " '") {
        let what = what.rsplit(": ").next().unwrap_or(what);
        let what = if what.contains("transfer") {
            "zone_transfer"
        } else if what.contains("update") {
            "update"
        } else {
            "query"
        };
        word("action", what, draft);
        // `example.org/A/IN' denied`
        if let Some((asked, rest)) = cut(rest, "'") {
            let mut parts = asked.rsplitn(3, '/');
            let (_class, kind, name) = (parts.next(), parts.next(), parts.next());
            match (kind, name) {
                (Some(kind), Some(name)) => {
                    draft.text("query", name);
                    draft.text("record_type", kind);
                }
                (name, _) => draft.text("query", name.unwrap_or(asked)),
            }
            if cut(rest, "denied").is_some() || what == "zone_transfer" && text.starts_with("bad") {
                word("outcome", FAILURE, draft);
            }
        }
    } else if text.trim_ascii_end().ends_with("denied") {
        word("outcome", FAILURE, draft);
    }
    true
}

fn client(message: &str) -> Option<(&str, &str, &str)> {
    // The words before are a time and a category at most.
    let (before, rest) = cut(message, "client ")?;
    if before.len() > 64 || !(before.is_empty() || before.ends_with(' ')) {
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

/// Reads a line of BIND's own log file, which may begin with a time of its own form.
pub(super) fn bare<'a>(line: &'a str, zone: Zone, draft: &mut Draft<'a>) -> bool {
    if !read(line, draft) {
        return false;
    }
    draft.message = Cow::Borrowed(line);
    draft.linux("named");
    draft.time = stamp(line, zone);
    true
}

/// `19-Oct-2022 05:34:02.425`
fn stamp(line: &str, zone: Zone) -> Option<Stamp> {
    let civil = Cursor(line.as_bytes()).day_month_year()?;
    civil.stamp(None, zone)
}
