//! CoreDNS: `[INFO] 192.0.2.9:53412 - 2345 "A IN www.example.org. udp 42 false 512" NOERROR qr,rd 68
//! 0.0001s`.

use super::{add_code, add_question};
use crate::draft::Draft;
use crate::services::text::{
    add_source_endpoint, first_word, host_and_port, is_address, split_at_last,
};

/// Reads an answered query. Returns false, with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some((client, rest)) = message.strip_prefix("[INFO] ").map(first_word) else {
        return false;
    };
    let (host, port) = host_and_port(client);
    if port.is_none() || !is_address(host) {
        return false;
    }
    let Some((_, rest)) = rest.strip_prefix("- ").map(first_word) else {
        return false;
    };
    // A name may contain a quote; the server's own is the last.
    let question = rest
        .strip_prefix('"')
        .and_then(|rest| split_at_last(rest, "\" "));
    let Some((question, rest)) = question else {
        return false;
    };
    let mut words = question.split(' ');
    let (Some(kind), Some(_class), Some(name)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    add_question(name, kind, draft);
    add_source_endpoint(client, draft);
    draft.add_text("action", "query");
    add_code(first_word(rest).0, draft);
    true
}
