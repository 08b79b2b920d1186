//! Access logs of web servers, common and combined form, under the names that Sigma gives them.

use std::borrow::Cow;

use super::text::{is_address, source_address};
use crate::draft::Draft;
use crate::time::{Cursor, Stamp, Zone};

/// Longest method: `BASELINE-CONTROL` and `UPDATEREDIRECTREF` are the longest registered.
const METHOD_BYTES_MAX: usize = 20;

/// Longest time: `10/Oct/2000:13:55:36 -07:00`.
const STAMP_BYTES_MAX: usize = 32;

/// Reads `host ident user [time] "request" status bytes "referer" "agent"`; false, with nothing
/// written, where it is not one.
///
/// The time in brackets is the event's where nothing before the message gave one.
pub(crate) fn read<'a>(line: &'a str, zone: Zone, draft: &mut Draft<'a>) -> bool {
    let Some(access) = split(line, zone) else {
        return false;
    };
    draft.source.category = Some("webserver");
    if draft.time.is_none() {
        draft.time = Some(access.time);
    }
    draft.message = Cow::Borrowed(line);
    draft.text("c-ip", access.client);
    source_address(access.client, draft);
    if !access.user.bytes().all(|b| matches!(b, b'-' | b' ')) {
        draft.text("cs-username", access.user);
    }
    if let Some(host) = access.host {
        draft.text("cs-host", host);
    }
    request(access.request, draft);
    draft.number("sc-status", access.status);
    if access.bytes != "-" {
        draft.number("sc-bytes", access.bytes);
    }
    if let Some(referer) = access.referer.filter(|text| *text != "-") {
        draft.text("cs-referer", referer);
    }
    if let Some(agent) = access.agent.filter(|text| *text != "-") {
        draft.text("cs-user-agent", agent);
    }
    true
}

struct Access<'a> {
    host: Option<&'a str>,
    client: &'a str,
    user: &'a str,
    time: Stamp,
    request: &'a str,
    status: &'a str,
    bytes: &'a str,
    referer: Option<&'a str>,
    agent: Option<&'a str>,
}

fn split(line: &str, zone: Zone) -> Option<Access<'_>> {
    let (client, rest) = line.split_once(' ')?;
    let (ident, rest) = rest.split_once(' ')?;
    let (user, time, rest) = match rest.strip_prefix('[') {
        Some(rest) => bracketed(rest, zone).map(|(time, rest)| ("-", time, rest))?,
        // The name is what somebody typed, ` [` included; quotes in it are escaped.
        None => memchr::memmem::find_iter(rest.as_bytes(), " [").find_map(|at| {
            let (time, tail) = bracketed(rest.get(at + 2..)?, zone)?;
            Some((rest.get(..at)?, time, tail))
        })?,
    };
    // Where many hosts are served the line may begin with the one that was asked.
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
    Some(Access {
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

/// `time] "`, and what begins with that quote.
fn bracketed(text: &str, zone: Zone) -> Option<(Stamp, &str)> {
    let end = text
        .bytes()
        .take(STAMP_BYTES_MAX + 1)
        .position(|b| b == b']')?;
    let rest = text.get(end + 1..)?.strip_prefix(' ')?;
    let time = stamp(text.get(..end)?, zone)?;
    rest.starts_with('"').then_some((time, rest))
}

/// What stands between quotes, as written; a backslash keeps the quote after it from closing.
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

pub(super) fn request<'a>(request: &'a str, draft: &mut Draft<'a>) {
    // What is no HTTP, a handshake of another protocol say, has no method.
    let is_method = |word: &str| {
        word.len() <= METHOD_BYTES_MAX
            && word
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_')
    };
    let Some((method, rest)) = request.split_once(' ').filter(|(word, _)| is_method(word)) else {
        if request != "-" && !request.is_empty() {
            draft.text("cs-uri", request);
        }
        return;
    };
    draft.text("cs-method", method);
    let (uri, version) = match rest.rsplit_once(' ') {
        Some((uri, version)) if version.starts_with("HTTP/") => (uri, Some(version)),
        _ => (rest, None),
    };
    draft.text("cs-uri", uri);
    match uri.split_once('?') {
        Some((stem, query)) => {
            draft.text("cs-uri-stem", stem);
            draft.text("cs-uri-query", query);
        }
        None => draft.text("cs-uri-stem", uri),
    }
    if let Some(version) = version {
        draft.text("cs-version", version);
    }
}

/// `10/Oct/2000:13:55:36 -0700`
fn stamp(text: &str, zone: Zone) -> Option<Stamp> {
    let mut at = Cursor(text.as_bytes());
    let civil = at.day_month_year()?;
    let offset = match at.one_of(b" ") {
        Some(_) => Some(at.offset()?),
        None => None,
    };
    civil.stamp(offset, zone)
}
