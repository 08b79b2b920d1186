//! Syslog lines: reads the priority, selects the header format, and reads lines without a header.

mod bad_time;
mod cisco;
mod container;
mod data;
mod meraki;
mod message;
mod rfc3164;
mod rfc5424;
mod tag;
mod words;

use std::borrow::Cow;

use syslog_loose::decompose_pri;
use weir_schema::Problem;

use crate::draft::Draft;
use crate::services::{self, access, appliance, vendor};
use crate::time::{self, Timestamp, clock};
use crate::{Context, inner_event, keyvalue, payload};

pub(crate) use crate::services::is_known_program;

/// Most headers in front of one message: that of the sender, and those of relays.
const HEADERS_MAX: u8 = 4;

/// Reads one line. An invalid priority is a problem; without a header behind it, the line becomes the
/// message.
pub(crate) fn read<'a>(line: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) {
    let line = without_space(line, draft);
    let (has_priority, rest) = match priority(line) {
        Priority::Valid(priority, rest) => {
            set_priority(priority, draft);
            (true, rest)
        }
        Priority::Absent => (false, line),
        Priority::Invalid(rest) => {
            draft.add_problem(Problem::Unparsed);
            if !read_header(true, rest, context, draft) {
                draft.message = Cow::Borrowed(line);
            }
            return;
        }
    };
    if !read_header(has_priority, rest, context, draft) {
        let is_syslog = has_priority && !rest.starts_with(|c: char| c.is_ascii_digit());
        headerless(rest, is_syslog, context, draft);
    }
}

/// Reads a line with a header inside another frame: behind the header of a relay, or as a text of an
/// envelope that names no program. Returns `None` if the text does not start with a header, or if
/// what looks like one may be prose.
pub(crate) fn read_inner<'a>(
    line: &'a str,
    headers: u8,
    context: &Context<'_>,
) -> Option<Draft<'a>> {
    // The first byte rules out most messages.
    let first = *line.as_bytes().first()?;
    let may_start = matches!(first, b'<' | b'*' | b'.' | b':' | b'0'..=b'9' | b'A'..=b'Z');
    if !may_start || headers >= HEADERS_MAX {
        return None;
    }
    let mut inner = Draft::for_text(line);
    inner.headers = headers;
    let (has_priority, rest) = match priority(line) {
        Priority::Valid(priority, rest) => {
            set_priority(priority, &mut inner);
            (true, rest)
        }
        Priority::Absent => (false, line),
        Priority::Invalid(_) => return None,
    };
    if read_header(has_priority, rest, context, &mut inner) {
        let is_named = ["program", "msgid", "device_vendor", "vendor"];
        let is_read = inner.logsource.product.is_some()
            || inner.logsource.category.is_some()
            || is_named.iter().any(|name| inner.get(name).is_some());
        return (has_priority || is_read).then_some(inner);
    }
    if !has_priority {
        return None;
    }
    // `<38>sshd[77]: …`: the forwarder of a file wrote the header in front.
    if let Some((tag, message)) = tag::split(rest) {
        message::read_tagged(&tag, message, context, &mut inner);
        return Some(inner);
    }
    payload::read_bare(rest, context, &mut inner).then_some(inner)
}

/// Reads a header after its priority, and the message behind it. Returns false, with nothing
/// changed, if there is none.
fn read_header<'a>(
    has_priority: bool,
    rest: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    draft.headers += 1;
    // A relay that drops the priority leaves the version: `1 2019-05-15T16:27:08Z host ...`.
    let has_version = if has_priority {
        rest.starts_with(|c: char| c.is_ascii_digit())
    } else {
        rest.starts_with("1 ")
    };
    if has_version {
        if rfc5424::read(rest, context, draft) || meraki::read(rest, draft) {
            return true;
        }
        if rest.as_bytes().get(4) == Some(&b'-')
            && rfc5424::read_without_version(rest, context, draft)
        {
            return true;
        }
        if rfc5424::read_with_bad_time(rest, has_priority, context, draft) {
            return true;
        }
    }
    if container::read(rest, context, draft) || cisco::read(rest, context, draft) {
        return true;
    }
    // Files of services start with dates whose parts a space, a slash or a name separates; their
    // own readers come first.
    let bytes = rest.as_bytes();
    let is_header_time = has_priority
        || match bytes.first() {
            Some(b'0'..=b'9') => bytes.get(10) == Some(&b'T') || bytes.get(10) == Some(&b'-'),
            _ => {
                time::month(bytes.get(..3).unwrap_or_default()).is_some()
                    || clock::starts_with_month(rest)
            }
        };
    let rest = match (has_priority, rest.split_once(' ')) {
        // RFC 3164 behind a version.
        (true, Some(("1", after))) => after,
        _ => rest,
    };
    is_header_time
        && (rfc3164::read(rest, context, draft)
            || rfc3164::read_without_time(rest, has_priority, context, draft))
}

/// Removes a space or a byte order mark in front of a priority.
fn without_space<'a>(line: &'a str, draft: &mut Draft<'_>) -> &'a str {
    if !line.starts_with([' ', '\u{feff}']) {
        return line;
    }
    let trimmed = line.trim_start_matches([' ', '\u{feff}']);
    if matches!(priority(trimmed), Priority::Absent) {
        return line;
    }
    draft.add_problem(Problem::Unparsed);
    trimmed
}

/// Adds facility and severity.
fn set_priority(priority: u8, draft: &mut Draft<'_>) {
    let (facility, severity) = decompose_pri(priority);
    if let Some(facility) = facility {
        draft.set_text("facility", facility.as_str());
    }
    if let Some(severity) = severity {
        draft.set_text("severity", severity.as_str());
    }
}

enum Priority<'a> {
    Absent,
    /// The rest of the line.
    Invalid(&'a str),
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
        _ => Priority::Invalid(rest),
    }
}

/// Reads a line without a known header: a bare line of a known form, `host tag[pid]: message`, else
/// text.
fn headerless<'a>(rest: &'a str, is_syslog: bool, context: &Context<'_>, draft: &mut Draft<'a>) {
    draft.message = Cow::Borrowed(rest);
    if services::cisco::read_message(rest, draft)
        || vendor::read(rest, context, draft)
        || appliance::read(rest, context, draft)
        || inner_event::read(draft)
        || access::read(rest, context.zone, draft)
        || services::read_bare_line(rest, context, draft)
    {
        return;
    }
    // Journals and many log files start with a time that is not an RFC 3164 time.
    let start = clock::start(rest, context).map(|clock| (clock.time, clock.rest));
    let (time, line) = match start.or_else(|| tai64n(rest)) {
        Some((time, line)) => (Some(time), line),
        None => (None, rest),
    };
    draft.time = time;
    if rfc3164::read_uncertain(line, is_syslog, context, draft) {
        return;
    }
    if !keyvalue::read(line, context, draft) && !is_syslog {
        draft.add_problem(Problem::Unparsed);
    }
}

/// Reads a text that starts with the tag of a known program, as containers write what would have gone
/// to syslog. Returns false, with nothing changed, for other texts.
pub(crate) fn read_known_tag<'a>(
    text: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    let Some((tag, message)) = tag::split(text) else {
        return false;
    };
    let is_known = services::is_known_program(tag.program);
    if is_known {
        message::read_tagged(&tag, message, context, draft);
    }
    is_known
}

/// Reads the message of a program that the frame names elsewhere.
pub(crate) fn read_message<'a>(
    program: &'a str,
    message: &'a str,
    context: &Context<'_>,
) -> Draft<'a> {
    let mut draft = Draft::for_text(message);
    draft.add_text("program", program);
    message::read(Some(program), message, context, &mut draft);
    draft
}

/// Splits a text that is a tag and nothing else, such as `sshd[77]:`, into program and process id.
pub(crate) fn split_tag(text: &str) -> Option<(&str, Option<&str>)> {
    let (tag, rest) = tag::split(text.trim_ascii_end())?;
    rest.is_empty().then_some((tag.program, tag.pid))
}

/// Returns whether a text starts as a syslog line does: with a priority, or with a time that headers
/// have and dates of log files do not.
pub(crate) fn starts_line(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_iso = bytes.get(10) == Some(&b'T') && bytes.get(4) == Some(&b'-');
    let is_month = bytes.get(3) == Some(&b' ') && bytes.get(9) == Some(&b':');
    let is_time = is_iso || is_month && time::month(bytes.get(..3).unwrap_or_default()).is_some();
    is_time || matches!(priority(text), Priority::Valid(..))
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
