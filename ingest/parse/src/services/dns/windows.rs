//! The debug log of Windows' DNS server: `3/1/2026 10:00:00 AM 0AB4 PACKET  00F4 UDP Rcv 192.0.2.9 5a5a
//!   Q [0001   D   NOERROR] A      (3)www(7)example(3)org(0)`.

use std::borrow::Cow;

use weir_schema::Value;

use super::add_code;
use crate::Context;
use crate::draft::Draft;
use crate::services::text::{add_source_address, first_word, head, is_address, split_at_first};
use crate::time;

/// Longest name: 255 bytes on the wire.
const NAME_BYTES_MAX: usize = 255;

/// Reads a packet. Returns false, with nothing changed, for other messages.
pub(crate) fn read<'a>(message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some(at) = memchr::memmem::find(head(message), b" PACKET ") else {
        return false;
    };
    let (before, rest) = message.split_at_checked(at).unwrap_or((message, ""));
    let mut words = rest.split_ascii_whitespace().skip(2);
    let mut next = || words.next().unwrap_or("");
    let (transport, direction, address) = (next(), next(), next());
    if !matches!(transport, "UDP" | "TCP")
        || !matches!(direction, "Rcv" | "Snd")
        || !is_address(address)
    {
        return false;
    }
    let Some((flags, question)) = split_at_first(rest, " [")
        .and_then(|(_, rest)| rest.split_once("] "))
        .map(|(flags, question)| (flags, question.trim_ascii()))
    else {
        return false;
    };
    let is_answer = split_at_first(rest, " R ").is_some_and(|(before, _)| !before.contains('['));
    draft.logsource.category = Some("dns");
    draft.logsource.product = Some("windows");
    draft.logsource.service = Some("dns-server");
    draft.message = Cow::Borrowed(message);
    // `3/1/2026 10:00:00 AM 0AB4`: the thread ends it.
    let written = before
        .trim_ascii_end()
        .rsplit_once(' ')
        .map_or(before, |(time, _)| time);
    draft.time = time::american(written, context.zone)
        .or_else(|| time::iso(written, context.zone))
        .or(draft.time);
    draft.add_text("action", if is_answer { "answer" } else { "query" });
    draft.add_text("proto", transport);
    if direction == "Rcv" {
        add_source_address(address, draft);
    } else {
        draft.add_text("dst_ip", address);
    }
    if let Some(code) = flags.split_ascii_whitespace().last().filter(|_| is_answer) {
        add_code(code, draft);
    }
    let (kind, name) = first_word(question);
    draft.add_text("record_type", kind);
    if let Some(name) = labels(name.trim_ascii()) {
        draft.add("query", Value::Text(Cow::Owned(name)));
    }
    true
}

/// Reads `(3)www(7)example(3)org(0)`: each label behind its length.
fn labels(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = text
        .get(..text.floor_char_boundary(2 * NAME_BYTES_MAX + 2))
        .unwrap_or(text);
    loop {
        let (length, tail) = rest.strip_prefix('(')?.split_once(')')?;
        let length: usize = length.parse().ok()?;
        if length == 0 || name.len() > NAME_BYTES_MAX {
            return (!name.is_empty()).then_some(name);
        }
        let label = tail.get(..length)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(label);
        rest = tail.get(length..)?;
    }
}
