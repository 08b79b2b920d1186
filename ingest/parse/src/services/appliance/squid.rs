//! Squid's access log in its native form: `1772359200.250 123 192.0.2.9 TCP_MISS/200 4512 GET
//! http://www.example.org/ ann HIER_DIRECT/198.51.100.1 text/html`.

use std::borrow::Cow;

use crate::draft::Draft;
use crate::services::text::{add_source_address, is_address};
use crate::time;

/// Reads a request. Returns false, with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let mut words = message.split_ascii_whitespace();
    let mut next = || words.next();
    let (Some(at), Some(duration), Some(client), Some(result), Some(bytes)) =
        (next(), next(), next(), next(), next())
    else {
        return false;
    };
    let (Some(method), Some(url), Some(user), Some(peer)) = (next(), next(), next(), next()) else {
        return false;
    };
    let is_time = at.len() >= 14 && at.as_bytes().get(10) == Some(&b'.');
    let Some((code, status)) = result.split_once('/').filter(|(code, _)| {
        code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') && code.len() >= 4
    }) else {
        return false;
    };
    if !is_time || !is_address(client) {
        return false;
    }
    draft.logsource.category = Some("proxy");
    draft.logsource.product = Some("squid");
    draft.message = Cow::Borrowed(message);
    draft.time = time::epoch(at).or(draft.time);
    draft.add_number("duration_ms", duration);
    draft.add_text("c-ip", client);
    add_source_address(client, draft);
    draft.add_text("result_code", code);
    draft.add_number("sc-status", status);
    draft.add_number("sc-bytes", bytes);
    draft.add_text("cs-method", method);
    draft.add_text("c-uri", url);
    if url.contains("://") {
        draft.add_text("url", url);
    }
    if user != "-" {
        draft.add_text("cs-username", user);
    }
    if let Some((_, address)) = peer
        .split_once('/')
        .filter(|(_, address)| is_address(address))
    {
        draft.add_text("dst_ip", address);
    }
    true
}
