//! Name servers other than BIND: dnsmasq, Unbound, CoreDNS, and the debug log of Windows.
//!
//! The client of a query is its source. It chooses the name that it asks for, which may contain any
//! text: no reader takes an address from within it.

mod coredns;
mod dnsmasq;
mod unbound;
mod windows;

pub(crate) use windows::read as read_windows;

use super::text::FAILURE;
use crate::draft::Draft;
use crate::time;

/// Adds a question: name, without the dot at its end, and type.
fn add_question<'a>(name: &'a str, kind: &'a str, draft: &mut Draft<'a>) {
    draft.logsource.category = Some("dns");
    let plain = name.strip_suffix('.').filter(|plain| !plain.is_empty());
    draft.add_text("query", plain.unwrap_or(name));
    draft.add_text("record_type", kind);
}

/// Adds the code of an answer. Only an answer with an error is a failure.
fn add_code<'a>(code: &'a str, draft: &mut Draft<'a>) {
    draft.add_text("rcode", code);
    if matches!(code, "REFUSED" | "SERVFAIL" | "NOTAUTH" | "FORMERR") {
        draft.add_text("outcome", FAILURE);
    }
}

/// Reads the message of a name server. Returns false, with nothing changed, for other programs.
pub(super) fn read_program<'a>(name: &[u8], message: &'a str, draft: &mut Draft<'a>) -> bool {
    match name {
        b"dnsmasq" | b"pihole-ftl" => {
            draft.set_linux_service("dnsmasq");
            dnsmasq::read(message, draft);
        }
        b"unbound" => {
            draft.set_linux_service("unbound");
            unbound::read(message, draft);
        }
        b"coredns" => {
            draft.set_linux_service("coredns");
            coredns::read(message, draft);
        }
        _ => return false,
    }
    true
}

/// Reads a line of Unbound's own file, or of CoreDNS, which writes to its standard output. Both start
/// with a bracket. Returns false, with nothing changed, for other lines.
pub(super) fn read_bare_line<'a>(line: &'a str, draft: &mut Draft<'a>) -> bool {
    if coredns::read(line, draft) {
        draft.set_linux_service("coredns");
        return true;
    }
    // `[1772359200] unbound[77:0] info: …`
    let Some((seconds, rest)) = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    else {
        return false;
    };
    let Some(message) = rest.strip_prefix("unbound").filter(|_| seconds.len() == 10) else {
        return false;
    };
    if !unbound::read(message, draft) {
        return false;
    }
    draft.set_linux_service("unbound");
    draft.add_text("program", "unbound");
    draft.time = time::epoch(seconds);
    true
}
