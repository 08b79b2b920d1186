//! Unbound: `[77:0] info: 192.0.2.9 www.example.org. A IN NOERROR 0.000123 0 56`.

use super::{add_code, add_question};
use crate::draft::Draft;
use crate::services::text::{FAILURE, add_source_address, is_address, is_port};

/// Kinds of local zones that refuse a query.
const REFUSALS: [&str; 7] = [
    "deny",
    "refuse",
    "always_refuse",
    "always_deny",
    "always_nxdomain",
    "always_null",
    "always_nodata",
];

/// Reads a query, a reply or a local answer. Returns false, with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((thread, rest)) = message
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    else {
        return false;
    };
    let is_thread = thread.bytes().all(|b| b.is_ascii_digit() || b == b':');
    let Some((level, text)) = rest.split_once(": ") else {
        return false;
    };
    if !is_thread || !matches!(level, "info" | "query" | "reply") {
        return false;
    }
    let mut words = text.split(' ');
    let mut next = || words.next().unwrap_or("");
    let (first, second, third, fourth) = (next(), next(), next(), next());
    if is_address(first) && is_class(fourth) {
        // Unbound writes every other character of a name than letters, digits and hyphens as `?`.
        add_question(second, third, draft);
        add_source_address(first, draft);
        let code = next();
        if code.is_empty() {
            draft.add_text("action", "query");
        } else {
            draft.add_text("action", "answer");
            add_code(code, draft);
        }
        return true;
    }
    // `ZONE KIND ADDRESS@PORT NAME TYPE CLASS`
    let (kind, class) = (next(), next());
    let Some((address, port)) = third.split_once('@') else {
        return false;
    };
    if !is_address(address) || !is_port(port) || !is_class(class) {
        return false;
    }
    add_question(fourth, kind, draft);
    add_source_address(address, draft);
    draft.add_number("src_port", port);
    draft.add_text("zone", first);
    draft.add_text("zone_kind", second);
    if REFUSALS.contains(&second) {
        draft.add_text("action", "block");
        draft.add_text("outcome", FAILURE);
    } else {
        draft.add_text("action", "answer");
    }
    true
}

fn is_class(word: &str) -> bool {
    matches!(word, "IN" | "CH" | "HS" | "ANY")
}
