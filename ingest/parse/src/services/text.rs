//! Helpers that the readers of services share: splitting text, reading addresses and ports, and
//! adding common fields.

use crate::draft::Draft;

/// Longest address: IPv6 with a zone.
const ADDRESS_BYTES_MAX: usize = 64;

/// Adds the remote host as `src_ip` if it is written as an address, else as `src_host`. IPv4 in IPv6
/// form becomes IPv4.
pub(crate) fn add_source_address<'a>(host: &'a str, draft: &mut Draft<'a>) {
    let plain = plain_address(host);
    if plain.is_empty() || matches!(plain, "?" | "-" | "unknown" | "UNKNOWN") {
        return;
    }
    let is_v4 = plain.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let name = if is_v4 || plain.contains(':') {
        "src_ip"
    } else {
        "src_host"
    };
    draft.add_text(name, plain);
}

/// Adds `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT` as the remote host and port.
pub(crate) fn add_source_endpoint<'a>(text: &'a str, draft: &mut Draft<'a>) {
    let (host, port) = host_and_port(text);
    add_source_address(host, draft);
    if let Some(port) = port {
        draft.add_number("src_port", port);
    }
}

/// Removes brackets and the prefix of IPv4 in IPv6 form.
fn plain_address(host: &str) -> &str {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    plain
        .strip_prefix("::ffff:")
        .filter(|v4| v4.contains('.'))
        .unwrap_or(plain)
}

/// Splits `ADDRESS:PORT` and `[ADDRESS]:PORT`. An IPv6 address without brackets has no port.
pub(crate) fn host_and_port(text: &str) -> (&str, Option<&str>) {
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

pub(crate) fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// Returns whether the text is an IPv4 or IPv6 address.
pub(crate) fn is_address(text: &str) -> bool {
    let text = plain_address(text);
    text.len() <= ADDRESS_BYTES_MAX && text.parse::<std::net::IpAddr>().is_ok()
}

pub(crate) const SUCCESS: &str = "success";
pub(crate) const FAILURE: &str = "failure";

/// Adds the action and its outcome.
pub(crate) fn add_action(action: &'static str, outcome: &'static str, draft: &mut Draft<'_>) {
    draft.add_text("action", action);
    draft.add_text("outcome", outcome);
}

/// Adds the user, unless the name is a placeholder for none.
pub(crate) fn add_user<'a>(name: &'a str, draft: &mut Draft<'a>) {
    if !matches!(name, "" | "-" | "?") {
        draft.add_text("user", name);
    }
}

/// Splits the text at the first `separator`.
pub(crate) fn split_at_first<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let at = memchr::memmem::find(text.as_bytes(), separator.as_bytes())?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

/// Splits the text at the last `separator`.
pub(crate) fn split_at_last<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let at = memchr::memmem::rfind(text.as_bytes(), separator.as_bytes())?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

/// Returns the text between the first `open` and the first `close` after it.
pub(crate) fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    Some(split_at_first(split_at_first(text, open)?.1, close)?.0)
}

/// Splits the text after its first word.
pub(crate) fn first_word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// Bytes at the start of a text by which a reader is chosen.
const HEAD_BYTES: usize = 64;

/// Returns the first bytes of a text. No reader is tried on a line that they exclude.
pub(crate) fn head(text: &str) -> &[u8] {
    let bytes = text.as_bytes();
    bytes.get(..bytes.len().min(HEAD_BYTES)).unwrap_or(bytes)
}
