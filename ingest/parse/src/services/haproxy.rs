//! HTTP and TCP lines of HAProxy, with Sigma's field names for web servers.

use super::access;
use super::text::{FAILURE, add_action, add_source_address, is_address};
use crate::draft::Draft;
use crate::time::{TimeCursor, Timestamp, Zone};

/// Reads `ADDRESS:PORT [time] frontend backend/server timers status bytes … "request"`. Returns
/// false, with nothing changed, for other messages.
pub(super) fn read<'a>(message: &'a str, zone: Zone, draft: &mut Draft<'a>) -> bool {
    let Some(line) = split(message) else {
        return false;
    };
    let Some(time) = timestamp(line.time, zone) else {
        return false;
    };
    if draft.time.is_none() {
        draft.time = Some(time);
    }
    draft.logsource.product = Some("haproxy");
    add_source_address(line.address, draft);
    draft.add_number("src_port", line.port);
    // `frontend/bind: SSL handshake failure`
    if let Some((frontend, reason)) = line.rest.split_once(": ").filter(|(f, _)| !f.contains(' ')) {
        draft.add_text("frontend", frontend);
        draft.add_text("reason", reason);
        add_action("connect", FAILURE, draft);
        return true;
    }
    let mut words = line.rest.splitn(6, ' ');
    let (frontend, backend, _timers) = (words.next(), words.next(), words.next());
    let (status, bytes, rest) = (words.next(), words.next(), words.next().unwrap_or(""));
    if let Some(frontend) = frontend {
        draft.add_text("frontend", frontend.trim_end_matches('~'));
    }
    if let Some((backend, server)) = backend.and_then(|b| b.split_once('/')) {
        draft.add_text("backend", backend);
        draft.add_text("server", server);
    }
    // The request comes last. HAProxy writes quotes inside it as #22.
    let request = rest
        .trim_ascii_end()
        .strip_suffix('"')
        .and_then(|rest| rest.rsplit_once('"'));
    if let Some((_, request)) = request {
        draft.logsource.category = Some("webserver");
        draft.add_text("c-ip", line.address);
        access::add_request(request, draft);
        if let Some(status) = status {
            draft.add_number("sc-status", status);
        }
        if let Some(bytes) = bytes {
            draft.add_number("sc-bytes", bytes);
        }
    }
    true
}

struct ProxyLine<'a> {
    address: &'a str,
    port: &'a str,
    time: &'a str,
    rest: &'a str,
}

fn split(message: &str) -> Option<ProxyLine<'_>> {
    let (client, rest) = message.split_once(" [")?;
    let (time, rest) = rest.split_once("] ")?;
    // The port always comes last, also after an IPv6 address.
    let (address, port) = client.rsplit_once(':')?;
    is_address(address).then_some(ProxyLine {
        address,
        port,
        time,
        rest,
    })
}

/// Reads `14/Jan/2015:12:48:57.127`.
fn timestamp(text: &str, zone: Zone) -> Option<Timestamp> {
    let civil = TimeCursor(text.as_bytes()).day_month_year()?;
    civil.timestamp(None, zone)
}
