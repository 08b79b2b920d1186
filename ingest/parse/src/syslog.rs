//! Syslog lines: reads the priority, selects the header format, and reads lines without a header.

mod ios;
mod message;
mod rfc3164;
mod rfc5424;
mod tag;

use std::borrow::Cow;

use syslog_loose::decompose_pri;
use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::services::{self, access, cisco, vendor};
use crate::time::{self, Timestamp};
use crate::{Context, inner_event, keyvalue};
use tag::Tag;

/// Reads one line. A line with an invalid priority becomes the message, with a problem.
pub(crate) fn read<'a>(line: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) {
    let (has_priority, rest) = match priority(line) {
        Priority::Valid(priority, rest) => {
            let (facility, severity) = decompose_pri(priority);
            if let Some(facility) = facility {
                draft.add_text("facility", facility.as_str());
            }
            if let Some(severity) = severity {
                draft.add_text("severity", severity.as_str());
            }
            (true, rest)
        }
        Priority::Absent => (false, line),
        Priority::Invalid => {
            draft.add_problem(Problem::Unparsed);
            draft.message = Cow::Borrowed(line);
            return;
        }
    };
    // A relay that drops the priority leaves the version: `1 2019-05-15T16:27:08Z host ...`.
    let has_version = if has_priority {
        rest.starts_with(|c: char| c.is_ascii_digit())
    } else {
        rest.starts_with("1 ") && rest.as_bytes().get(6) == Some(&b'-')
    };
    if has_version && rfc5424::read(rest, context, draft) {
        return;
    }
    if rfc3164::read(rest, context, draft) || ios::read(rest, context, draft) {
        return;
    }
    headerless(rest, has_priority && !has_version, context, draft);
}

enum Priority<'a> {
    Absent,
    Invalid,
    /// The priority and the rest of the line.
    Valid(u8, &'a str),
}

fn priority(line: &str) -> Priority<'_> {
    let Some((digits, rest)) = line.strip_prefix('<').and_then(|rest| {
        let close = rest.bytes().take(8).position(|b| b == b'>')?;
        Some((rest.get(..close)?, rest.get(close + 1..)?))
    }) else {
        return Priority::Absent;
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Priority::Absent;
    }
    match digits.parse::<u8>() {
        Ok(priority) if priority <= 191 && digits.len() <= 3 => Priority::Valid(priority, rest),
        _ => Priority::Invalid,
    }
}

/// Reads a line without a known header: a bare line of a known form, `host tag[pid]: message`, else
/// text.
fn headerless<'a>(rest: &'a str, is_syslog: bool, context: &Context<'_>, draft: &mut Draft<'a>) {
    draft.message = Cow::Borrowed(rest);
    if cisco::read_message(rest, draft)
        || vendor::read(rest, draft)
        || inner_event::read(draft)
        || access::read(rest, context.zone, draft)
        || services::read_bare_line(rest, context, draft)
    {
        return;
    }
    // Journals and many log files start with a time that is not an RFC 3164 time.
    let start = time::iso_start(rest, context.zone).or_else(|| tai64n(rest));
    let (time, line) = match start {
        Some((time, line)) => (Some(time), line),
        None => (None, rest),
    };
    draft.time = time;
    // Without a priority or a host, only a process id or a known program distinguishes a tag from
    // prose such as `Error: no route`.
    let is_tag =
        |tag: &Tag<'_>| is_syslog || tag.pid.is_some() || services::is_known_program(tag.program);
    if let Some((tag, message)) = tag::split(line).filter(|(tag, _)| is_tag(tag)) {
        return message::read_tagged(&tag, message, context, draft);
    }
    let after_host = line
        .split_once(' ')
        .and_then(|(host, after)| Some((host, tag::split(after)?)));
    match after_host {
        Some((host, (tag, message))) if tag.pid.is_some() => {
            draft.add("host", Value::Text(Cow::Borrowed(host)));
            message::read_tagged(&tag, message, context, draft);
        }
        _ if keyvalue::read(line, context, draft) || is_syslog => {}
        _ => draft.add_problem(Problem::Unparsed),
    }
}

/// Reads the time that daemontools write in front of a line: `@`, then seconds since 1970 in TAI
/// plus 2^62, and nanoseconds, in hexadecimal. Returns it and the rest of the line.
fn tai64n(line: &str) -> Option<(Timestamp, &str)> {
    let (label, rest) = line.strip_prefix('@')?.split_once(' ')?;
    if label.len() != 24 || !label.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let seconds = u64::from_str_radix(label.get(..16)?, 16).ok()?;
    let nano = i64::from_str_radix(label.get(16..)?, 16).ok()?;
    // TAI was ten seconds ahead of UTC in 1970. Daemontools do not add later leap seconds.
    let seconds = i64::try_from(seconds.checked_sub((1 << 62) + 10)?).ok()?;
    let ns = seconds.checked_mul(1_000_000_000)?.checked_add(nano)?;
    Some((Timestamp::from_ns(ns), rest))
}
