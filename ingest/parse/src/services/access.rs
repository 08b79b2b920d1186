//! Access logs of web servers in the common and the combined form, with the field names of Sigma.

use std::borrow::Cow;

use super::text::{add_source_address, is_address};
use crate::draft::Draft;
use crate::time::{TimeCursor, Timestamp, Zone};

/// Longest method: `BASELINE-CONTROL` and `UPDATEREDIRECTREF` are the longest registered.
const METHOD_BYTES_MAX: usize = 20;

/// Longest time: `10/Oct/2000:13:55:36 -07:00`.
const TIME_BYTES_MAX: usize = 32;

/// Reads `host ident user [time] "request" status bytes "referer" "agent"`. Returns false, with
/// nothing changed, for other lines.
///
/// The time in brackets is the event's time, unless a header in front of the message has one.
pub(crate) fn read<'a>(line: &'a str, zone: Zone, draft: &mut Draft<'a>) -> bool {
    let Some(access) = parse(line, zone) else {
        return false;
    };
    draft.logsource.category = Some("webserver");
    if draft.time.is_none() {
        draft.time = Some(access.time);
    }
    draft.message = Cow::Borrowed(line);
    draft.add_text("c-ip", access.client);
    add_source_address(access.client, draft);
    if !access.user.bytes().all(|b| matches!(b, b'-' | b' ')) {
        draft.add_text("cs-username", access.user);
    }
    if let Some(host) = access.host {
        draft.add_text("cs-host", host);
    }
    add_request(access.request, draft);
    draft.add_number("sc-status", access.status);
    if access.bytes != "-" {
        draft.add_number("sc-bytes", access.bytes);
    }
    if let Some(referer) = access.referer.filter(|text| *text != "-") {
        draft.add_text("cs-referer", referer);
    }
    if let Some(agent) = access.agent.filter(|text| *text != "-") {
        draft.add_text("cs-user-agent", agent);
    }
    true
}

struct AccessLine<'a> {
    host: Option<&'a str>,
    client: &'a str,
    user: &'a str,
    time: Timestamp,
    request: &'a str,
    status: &'a str,
    bytes: &'a str,
    referer: Option<&'a str>,
    agent: Option<&'a str>,
}

fn parse(line: &str, zone: Zone) -> Option<AccessLine<'_>> {
    let (client, rest) = line.split_once(' ')?;
    let (ident, rest) = rest.split_once(' ')?;
    let (user, time, rest) = match rest.strip_prefix('[') {
        Some(rest) => bracketed_time(rest, zone).map(|(time, rest)| ("-", time, rest))?,
        // Clients choose the user name, so it may contain ` [`. Quotes in it are escaped.
        None => memchr::memmem::find_iter(rest.as_bytes(), " [").find_map(|at| {
            let (time, tail) = bracketed_time(rest.get(at + 2..)?, zone)?;
            Some((rest.get(..at)?, time, tail))
        })?,
    };
    // A server of several hosts may start the line with the requested host.
    let (host, client, user) = match user.split_once(' ') {
        Some((_ident, user)) if !is_address(client) && is_address(ident) => {
            (Some(client), ident, user)
        }
        _ => (None, client, user),
    };
    let (request, rest) = quoted(rest)?;
    let mut words = rest.trim_ascii_start().splitn(3, ' ');
    let (status, bytes, rest) = (words.next()?, words.next()?, words.next().unwrap_or(""));
    if status.len() != 3 || !status.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (referer, rest) = quoted(rest).map_or((None, rest), |(text, rest)| (Some(text), rest));
    let agent = quoted(rest.trim_ascii_start()).map(|(text, _)| text);
    Some(AccessLine {
        host,
        client,
        user,
        time,
        request,
        status,
        bytes,
        referer,
        agent,
    })
}

/// Reads `time] "`. Returns the time and the rest from the quote on.
fn bracketed_time(text: &str, zone: Zone) -> Option<(Timestamp, &str)> {
    let end = text
        .bytes()
        .take(TIME_BYTES_MAX + 1)
        .position(|b| b == b']')?;
    let rest = text.get(end + 1..)?.strip_prefix(' ')?;
    let time = timestamp(text.get(..end)?, zone)?;
    rest.starts_with('"').then_some((time, rest))
}

/// Reads a text in quotes, as written. A quote after a backslash does not end it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
        at += 2;
    }
}

/// Adds the fields of an HTTP request line.
pub(super) fn add_request<'a>(request: &'a str, draft: &mut Draft<'a>) {
    // A request that is not HTTP, such as a TLS handshake, has no method.
    let is_method = |word: &str| {
        word.len() <= METHOD_BYTES_MAX
            && word
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_')
    };
    let Some((method, rest)) = request.split_once(' ').filter(|(word, _)| is_method(word)) else {
        if request != "-" && !request.is_empty() {
            draft.add_text("cs-uri", request);
        }
        return;
    };
    draft.add_text("cs-method", method);
    let (uri, version) = match rest.rsplit_once(' ') {
        Some((uri, version)) if version.starts_with("HTTP/") => (uri, Some(version)),
        _ => (rest, None),
    };
    draft.add_text("cs-uri", uri);
    match uri.split_once('?') {
        Some((stem, query)) => {
            draft.add_text("cs-uri-stem", stem);
            draft.add_text("cs-uri-query", query);
        }
        None => draft.add_text("cs-uri-stem", uri),
    }
    if let Some(version) = version {
        draft.add_text("cs-version", version);
    }
}

/// Reads `10/Oct/2000:13:55:36 -0700`.
fn timestamp(text: &str, zone: Zone) -> Option<Timestamp> {
    let mut at = TimeCursor(text.as_bytes());
    let civil = at.day_month_year()?;
    let offset = match at.one_of(b" ") {
        Some(_) => Some(at.offset()?),
        None => None,
    };
    civil.timestamp(offset, zone)
}
