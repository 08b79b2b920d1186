//! What the readers of services share: cutting text, addresses with ports, and words of our own.

use std::borrow::Cow;

use weir_schema::Value;

use crate::draft::Draft;

/// Longest text that is looked at as an address: IPv6 with a zone.
const ADDRESS_BYTES_MAX: usize = 64;

/// Adds the far end: `src_ip` where it is written as an address, else `src_host`. IPv4 in IPv6 form
/// is IPv4.
pub(crate) fn source_address<'a>(host: &'a str, draft: &mut Draft<'a>) {
    let plain = plain(host);
    if plain.is_empty() || matches!(plain, "?" | "-" | "unknown" | "UNKNOWN") {
        return;
    }
    let is_v4 = plain.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let name = if is_v4 || plain.contains(':') {
        "src_ip"
    } else {
        "src_host"
    };
    draft.text(name, plain);
}

/// Adds `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT` as the far end.
pub(super) fn source_end<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let (host, port) = host_and_port(text);
    source_address(host, draft);
    if let Some(port) = port {
        draft.number("src_port", port);
    }
}

fn plain(host: &str) -> &str {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    plain
        .strip_prefix("::ffff:")
        .filter(|v4| v4.contains('.'))
        .unwrap_or(plain)
}

/// The parts of `ADDRESS:PORT` and `[ADDRESS]:PORT`; an IPv6 address without brackets has no port.
pub(super) fn host_and_port(text: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        return (host, rest.strip_prefix(':').filter(|port| is_port(port)));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if is_port(port) => {
            let mapped = host.strip_prefix("::ffff:").unwrap_or(host);
            if mapped.contains(':') {
                (text, None)
            } else {
                (host, Some(port))
            }
        }
        _ => (text, None),
    }
}

pub(super) fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the text is written as an IPv4 or IPv6 address.
pub(super) fn is_address(text: &str) -> bool {
    let text = plain(text);
    text.len() <= ADDRESS_BYTES_MAX && text.parse::<std::net::IpAddr>().is_ok()
}

/// Adds a text of our own words.
pub(crate) fn word(name: &'static str, value: &'static str, draft: &mut Draft<'_>) {
    draft.put(name, Value::Text(Cow::Borrowed(value)));
}

pub(super) const SUCCESS: &str = "success";
pub(super) const FAILURE: &str = "failure";

/// Adds what was done and how it ended.
pub(super) fn done(action: &'static str, outcome: &'static str, draft: &mut Draft<'_>) {
    word("action", action, draft);
    word("outcome", outcome, draft);
}

/// Adds a user, unless the name is one of those that say there is none.
pub(super) fn user<'a>(name: &'a str, draft: &mut Draft<'a>) {
    if !matches!(name, "" | "-" | "?") {
        draft.text("user", name);
    }
}

/// The text before and after the first `mark`.
pub(crate) fn cut<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let at = memchr::memmem::find(text.as_bytes(), mark.as_bytes())?;
    Some((text.get(..at)?, text.get(at + mark.len()..)?))
}

/// The text before and after the last `mark`.
pub(super) fn cut_last<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let at = memchr::memmem::rfind(text.as_bytes(), mark.as_bytes())?;
    Some((text.get(..at)?, text.get(at + mark.len()..)?))
}

/// What stands between `open` and the first `close` after it.
pub(super) fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    Some(cut(cut(text, open)?.1, close)?.0)
}

/// The first word, and what follows it.
pub(super) fn first_word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}
