//! Headers of Cisco devices: whatever stands between the priority and `%FACILITY-SEVERITY-MNEMONIC`.
//!
//! ```text
//! 237: sw01: 238: *Nov  8 2026 19:46:03.295 UTC: %SEC_LOGIN-4-LOGIN_FAILED: …      IOS, XE
//! : 2026 Nov 28 10:20:10 UTC: %ETHPORT-5-IF_UP: …                                  NX-OS
//! 123: RP/0/RSP0/CPU0:Nov 12 12:34:56.123 : pim[1234]: %ROUTING-5-NBRCHG : …       XR
//! Nov 29 2026 00:07:38 UTC fw1 : %FTD-4-106023: …                                  ASA, FTD
//! Nov 20 10:00:01 192.0.2.2 585917: Nov 20 10:00:00.272: %SEC-6-IPACCESSLOGP: …    behind a relay
//! ```
//!
//! Counters, hosts and times stand in any order, each at most a few times. The last time and the
//! last host are the device's own; a host before it is a relay.

use super::{Priority, message, tag};
use crate::Context;
use crate::draft::Draft;
use crate::host;
use crate::services::cisco;
use crate::time::{Timestamp, clock};

/// Longest text in front of the message id.
const HEADER_BYTES_MAX: usize = 192;

/// Most parts of a header.
const PARTS_MAX: usize = 16;

/// Reads a line whose header ends at a message id. Returns false, with nothing changed, for other
/// lines.
pub(super) fn read<'a>(line: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some((header, message)) = split(line) else {
        return false;
    };
    let Some(parts) = Parts::read(header, context) else {
        return false;
    };
    parts.add(draft);
    message::read(None, message, context, draft);
    true
}

/// Splits at the first message id.
fn split(line: &str) -> Option<(&str, &str)> {
    let bytes = line.as_bytes();
    let start = bytes.get(..HEADER_BYTES_MAX.min(bytes.len()))?;
    let mut percents = memchr::memchr_iter(b'%', start);
    let at = percents.find(|at| {
        let is_separated = at.checked_sub(1).and_then(|before| bytes.get(before));
        is_separated.is_none_or(|byte| matches!(byte, b' ' | b':'))
            && line.get(*at..).is_some_and(cisco::has_message_id)
    })?;
    line.split_at_checked(at)
}

#[derive(Default)]
struct Parts<'a> {
    sequence: Option<&'a str>,
    time: Option<Timestamp>,
    host: Option<&'a str>,
    relay: Option<&'a str>,
    tag: Option<tag::Tag<'a>>,
    /// Whether the node of an XR device stands in front.
    has_node: bool,
    priority: Option<u8>,
    /// Whether a counter or a priority stands behind the host: a device's header begins there.
    is_inner: bool,
}

impl<'a> Parts<'a> {
    /// Reads the whole header; `None` if any part of it is none of a Cisco header.
    fn read(header: &'a str, context: &Context<'_>) -> Option<Self> {
        let mut parts = Self::default();
        let mut rest = header;
        for _ in 0..PARTS_MAX {
            rest = rest.trim_start_matches([' ', ':']);
            if rest.is_empty() {
                return Some(parts);
            }
            if parts.tag.is_some() {
                return None;
            }
            rest = parts.next(rest, context)?;
        }
        None
    }

    /// Takes the part at the start of the text. Returns the rest.
    fn next(&mut self, text: &'a str, context: &Context<'_>) -> Option<&'a str> {
        if let Priority::Valid(priority, rest) = super::priority(text) {
            (self.priority, self.is_inner) = (Some(priority), true);
            return Some(rest);
        }
        if let Some(clock) = clock::start(text, context) {
            self.time = Some(clock.time);
            return Some(clock.rest);
        }
        let end = text.find(' ').unwrap_or(text.len());
        let (word, rest) = text.split_at_checked(end)?;
        // XR writes the time directly behind the node.
        if let Some((node, _)) = word.split_once(':').filter(|(node, _)| node.contains('/')) {
            self.has_node = true;
            return text.get(node.len() + 1..);
        }
        let plain = word.trim_end_matches(':');
        if !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_digit()) {
            self.sequence = self.sequence.or(Some(plain));
            self.is_inner |= self.host.is_some();
            return Some(rest);
        }
        if is_uptime(plain) || plain == "-" || plain == "msec" {
            return Some(rest);
        }
        // Only XR names its processes. Behind another tag, any user may have typed the message.
        if let Some((tag, "")) = tag::split(word).filter(|(tag, _)| tag.pid.is_some()) {
            if !self.has_node {
                return None;
            }
            self.tag = Some(tag);
            return Some(rest);
        }
        if !host::is_host(plain) || self.relay.is_some() {
            return None;
        }
        if self.host.is_none_or(|host| host == plain) {
            self.host = Some(plain);
        } else if self.is_inner || clock::start(rest.trim_start_matches(' '), context).is_some() {
            self.relay = self.host.replace(plain);
        } else {
            return None;
        }
        Some(rest)
    }

    fn add(self, draft: &mut Draft<'a>) {
        if let Some(priority) = self.priority {
            super::set_priority(priority, draft);
        }
        if let Some(sequence) = self.sequence {
            draft.add_number("seq", sequence);
        }
        if let Some(host) = self.host {
            draft.add_text("host", host);
        }
        if let Some(relay) = self.relay {
            draft.add_text("relay_host", relay);
        }
        if let Some(tag) = self.tag {
            draft.add_text("program", tag.program);
            if let Some(pid) = tag.pid {
                draft.add_number("pid", pid);
            }
        }
        draft.time = self.time;
    }
}

/// Returns whether a word is the time since the device started: `00:20:10`, `1d02h`, `2w3d`.
fn is_uptime(word: &str) -> bool {
    let mut has_digit = false;
    let mut has_unit = false;
    for byte in word.bytes() {
        match byte {
            b'0'..=b'9' => has_digit = true,
            b':' | b'd' | b'h' | b'w' | b'y' | b'm' | b's' | b'.' => has_unit = true,
            _ => return false,
        }
    }
    let starts = word.starts_with(|c: char| c.is_ascii_digit());
    has_digit && has_unit && starts && word.len() <= 16 && word.parse::<std::net::IpAddr>().is_err()
}
