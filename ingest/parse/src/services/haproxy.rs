//! HAProxy's HTTP and TCP lines, under the names that Sigma gives to web servers.

use super::access;
use super::text::{FAILURE, done, is_address, source_address};
use crate::draft::Draft;
use crate::time::{Cursor, Stamp, Zone};

/// Reads `ADDRESS:PORT [time] frontend backend/server timers status bytes … "request"`; false, with
/// nothing written, where it is not that.
pub(super) fn read<'a>(message: &'a str, zone: Zone, draft: &mut Draft<'a>) -> bool {
    let Some(((client, port), at, rest)) = split(message) else {
        return false;
    };
    let Some(stamp) = stamp(at, zone) else {
        return false;
    };
    if draft.time.is_none() {
        draft.time = Some(stamp);
    }
    draft.source.product = Some("haproxy");
    source_address(client, draft);
    draft.number("src_port", port);
    // `frontend/bind: SSL handshake failure`
    if let Some((frontend, said)) = rest.split_once(": ").filter(|(f, _)| !f.contains(' ')) {
        draft.text("frontend", frontend);
        draft.text("reason", said);
        done("connect", FAILURE, draft);
        return true;
    }
    let mut words = rest.splitn(6, ' ');
    let (frontend, backend, _timers) = (words.next(), words.next(), words.next());
    let (status, bytes, rest) = (words.next(), words.next(), words.next().unwrap_or(""));
    if let Some(frontend) = frontend {
        draft.text("frontend", frontend.trim_end_matches('~'));
    }
    if let Some((backend, server)) = backend.and_then(|b| b.split_once('/')) {
        draft.text("backend", backend);
        draft.text("server", server);
    }
    // The request comes last; quotes inside it are written as #22.
    let request = rest
        .trim_ascii_end()
        .strip_suffix('"')
        .and_then(|rest| rest.rsplit_once('"'));
    if let Some((_, request)) = request {
        draft.source.category = Some("webserver");
        draft.text("c-ip", client);
        access::request(request, draft);
        if let Some(status) = status {
            draft.number("sc-status", status);
        }
        if let Some(bytes) = bytes {
            draft.number("sc-bytes", bytes);
        }
    }
    true
}

fn split(message: &str) -> Option<((&str, &str), &str, &str)> {
    let (client, rest) = message.split_once(" [")?;
    let (at, rest) = rest.split_once("] ")?;
    // The port always stands last, after IPv6 addresses too.
    let client = client.rsplit_once(':')?;
    is_address(client.0).then_some((client, at, rest))
}

/// `14/Jan/2015:12:48:57.127`
fn stamp(text: &str, zone: Zone) -> Option<Stamp> {
    let civil = Cursor(text.as_bytes()).day_month_year()?;
    civil.stamp(None, zone)
}
