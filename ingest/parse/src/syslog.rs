//! Syslog lines: priority, RFC 3164 header through `syslog_loose`, and lines that lack parts of a
//! header.

use std::borrow::Cow;

use chrono::Utc;
use syslog_loose::{Variant, decompose_pri, parse_message_with_year_exact_tz};
use weir_schema::{Problem, Value};

use crate::draft::Draft;
use crate::services::{self, access, cisco, vendor};
use crate::time::{self, Civil};
use crate::{Context, keyvalue, rfc5424, wrapped};

/// Longest tag and process id that are taken for such; RFC 3164 says 32, systemd writes longer.
const TAG_BYTES_MAX: usize = 128;

/// As much of an RFC 3164 line as `syslog_loose` sees: time and host, not what in the message looks
/// like structured data to it.
const HEADER_BYTES_MAX: usize = 512;

/// Reads one line. What is no syslog at all stays as the message, with a problem.
pub(crate) fn read<'a>(line: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) {
    let (has_priority, rest) = match priority(line) {
        Priority::Valid(priority, rest) => {
            let (facility, severity) = decompose_pri(priority);
            if let Some(facility) = facility {
                draft.text("facility", facility.as_str());
            }
            if let Some(severity) = severity {
                draft.text("severity", severity.as_str());
            }
            (true, rest)
        }
        Priority::Absent => (false, line),
        Priority::Invalid => {
            draft.problem(Problem::Unparsed);
            draft.message = Cow::Borrowed(line);
            return;
        }
    };
    // A relay that drops the priority leaves the version: `1 2019-05-15T16:27:08Z host ...`.
    let versioned = if has_priority {
        rest.starts_with(|c: char| c.is_ascii_digit())
    } else {
        rest.starts_with("1 ") && rest.as_bytes().get(6) == Some(&b'-')
    };
    if versioned && rfc5424::read(rest, context, draft) {
        return;
    }
    if rfc3164(rest, context, draft) || cisco::read(rest, context, draft) {
        return;
    }
    headless(rest, has_priority && !versioned, context, draft);
}

enum Priority<'a> {
    Absent,
    Invalid,
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

/// Whether a header's time may begin here: `Mmm ` or `YYYY-MM-DDT`. Spares `syslog_loose` what it
/// would misread.
fn starts_with_time(rest: &str) -> Option<bool> {
    let bytes = rest.as_bytes();
    if bytes.get(4) == Some(&b'-') && bytes.get(10) == Some(&b'T') {
        return Some(true);
    }
    let is_month = bytes.get(3) == Some(&b' ') && time::month(bytes.get(..3)?).is_some();
    is_month.then_some(false)
}

fn rfc3164<'a>(rest: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let rest = rest.trim_ascii_start();
    let Some(has_offset) = starts_with_time(rest) else {
        return false;
    };
    let year = |(month, day, hour, minute, second)| {
        let written = Civil {
            year: 0,
            month,
            day,
            hour,
            minute,
            second,
            nano: 0,
        };
        i32::try_from(time::nearest_year(written, context)).unwrap_or(1970)
    };
    let start = rest
        .get(..rest.floor_char_boundary(HEADER_BYTES_MAX))
        .unwrap_or(rest);
    let parsed = parse_message_with_year_exact_tz(start, year, Some(Utc), Variant::RFC3164);
    let Ok(parsed) = parsed else {
        return false;
    };
    draft.time = parsed
        .timestamp
        .and_then(|t| time::of_syslog(t, has_offset, context.zone));
    // Where the header after the time begins: the first part of it that was found.
    let first = match (
        parsed.hostname,
        parsed.appname,
        parsed.structured_data.first(),
    ) {
        (Some(host), ..) => offset_in(rest, host),
        (None, Some(program), _) => offset_in(rest, program),
        (None, None, Some(data)) => offset_in(rest, data.id).map(|at| at.saturating_sub(1)),
        (None, None, None) => offset_in(rest, parsed.msg),
    };
    let after = first.and_then(|at| rest.get(at..)).unwrap_or("");
    let after = fraction(after, draft);
    header(after, context, draft);
    true
}

/// Where `part` begins in `whole`, which it is a slice of.
fn offset_in(whole: &str, part: &str) -> Option<usize> {
    (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)
}

/// Takes a fraction of a second that stands where the header should go on.
fn fraction<'a>(after: &'a str, draft: &mut Draft<'a>) -> &'a str {
    let Some(digits) = after.strip_prefix('.') else {
        return after;
    };
    let mut cursor = time::Cursor(digits.as_bytes());
    let nano = i64::from(cursor.nanos());
    if let Some(time::Stamp::At(ns)) = &mut draft.time {
        *ns += nano;
    }
    let used = digits.len() - cursor.0.len();
    digits
        .get(used..)
        .unwrap_or("")
        .trim_start_matches(':')
        .trim_ascii_start()
}

/// Reads `host tag[pid]: message`, where host or tag may be absent.
fn header<'a>(after: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) {
    if let Some((tag, message)) = tag(after) {
        tagged(&tag, message, context, draft);
        return;
    }
    let (host, rest) = after.split_once(' ').unwrap_or((after, ""));
    if host.starts_with(['%', '{', '"']) || rest.is_empty() && host.ends_with(':') {
        return body(None, after, context, draft);
    }
    if host != "-" && !host.is_empty() {
        draft.text("host", host);
    }
    let rest = rest.trim_start_matches(' ');
    // Some routers write their name twice.
    let again = rest
        .strip_prefix(host)
        .and_then(|rest| rest.strip_prefix(' '));
    let rest = again.filter(|_| !host.is_empty()).unwrap_or(rest);
    // Cisco writes a lone colon between host and message.
    let rest = rest.strip_prefix(": ").unwrap_or(rest);
    match tag(rest) {
        Some((tag, message)) => tagged(&tag, message, context, draft),
        None => body(None, rest, context, draft),
    }
}

struct Tag<'a> {
    program: &'a str,
    pid: Option<&'a str>,
}

/// Reads `program: `, `program[pid]: `, `program[pid] ` or `[program] `; a word without such a mark
/// is no tag.
fn tag(text: &str) -> Option<(Tag<'_>, &str)> {
    let word = |b: &u8| matches!(b, b':' | b'[' | b' ' | b'=' | b'{' | b'"' | b'%' | b'<');
    let end = text.bytes().take(TAG_BYTES_MAX).position(|b| word(&b))?;
    let (program, rest) = (text.get(..end)?, text.get(end..)?);
    if let Some(inner) = rest.strip_prefix('[') {
        let close = inner.bytes().take(TAG_BYTES_MAX).position(|b| b == b']')?;
        let (pid, after) = (inner.get(..close)?, inner.get(close + 1..)?);
        let after = match after.strip_prefix(':') {
            Some(after) => after,
            None if after.is_empty() || after.starts_with(' ') => after,
            None => return None,
        };
        if pid.is_empty() || pid.contains(' ') {
            return None;
        }
        let tag = if program.is_empty() {
            // `[sshd]` is a program; `[12345.678]` is a kernel's clock.
            pid.starts_with(|c: char| c.is_ascii_alphabetic())
                .then_some(Tag {
                    program: pid,
                    pid: None,
                })?
        } else {
            Tag {
                program,
                pid: Some(pid),
            }
        };
        return Some((tag, after.trim_ascii_start()));
    }
    let after = rest.strip_prefix(':')?;
    let ends = after.is_empty() || after.starts_with([' ', '[']);
    (ends && !program.is_empty()).then(|| (Tag { program, pid: None }, after.trim_ascii_start()))
}

fn tagged<'a>(tag: &Tag<'a>, message: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) {
    draft.text("program", tag.program);
    if let Some(pid) = tag.pid {
        draft.number("pid", pid);
    }
    body(Some(tag.program), message, context, draft);
}

/// The message: kept as it is, and read further where the program or the message's form is known.
pub(crate) fn body<'a>(
    program: Option<&'a str>,
    message: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) {
    draft.message = Cow::Borrowed(message);
    if wrapped::read(draft) {
        return;
    }
    if !cisco::message(message, draft) && !vendor::read(message, draft) {
        services::normalize(program, message, context, draft);
        keyvalue::read(message, context, draft);
    }
}

/// The time that daemontools write before a line: `@`, seconds of atomic time past 2^62 and
/// nanoseconds, in hexadecimal.
fn tai64n(line: &str) -> Option<(time::Stamp, &str)> {
    let (label, rest) = line.strip_prefix('@')?.split_once(' ')?;
    if label.len() != 24 || !label.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let seconds = u64::from_str_radix(label.get(..16)?, 16).ok()?;
    let nano = i64::from_str_radix(label.get(16..)?, 16).ok()?;
    // Atomic time was ten seconds ahead in 1970, and those who write it add no more.
    let seconds = i64::try_from(seconds.checked_sub((1 << 62) + 10)?).ok()?;
    let ns = seconds.checked_mul(1_000_000_000)?.checked_add(nano)?;
    Some((time::Stamp::of_ns(ns), rest))
}

/// A line without a time that `syslog_loose` knows: known forms of bare lines, `host tag[pid]:
/// message`, else text.
fn headless<'a>(rest: &'a str, is_syslog: bool, context: &Context<'_>, draft: &mut Draft<'a>) {
    draft.message = Cow::Borrowed(rest);
    if cisco::message(rest, draft)
        || vendor::read(rest, draft)
        || wrapped::read(draft)
        || access::read(rest, context.zone, draft)
        || services::bare(rest, context, draft)
    {
        return;
    }
    // Journals and many files begin with a time that RFC 3164 does not know.
    let start = time::iso_start(rest, context.zone).or_else(|| tai64n(rest));
    let (stamp, line) = match start {
        Some((stamp, line)) => (Some(stamp), line),
        None => (None, rest),
    };
    draft.time = stamp;
    // Without a priority or a host, only a process id or a name that is known tells a tag from prose
    // such as `Error: no route`.
    let is_tag = |tag: &Tag<'_>| is_syslog || tag.pid.is_some() || services::is_known(tag.program);
    if let Some((tag, message)) = tag(line).filter(|(tag, _)| is_tag(tag)) {
        return tagged(&tag, message, context, draft);
    }
    let after_host = line
        .split_once(' ')
        .and_then(|(host, after)| Some((host, tag(after)?)));
    match after_host {
        Some((host, (tag, message))) if tag.pid.is_some() => {
            draft.put("host", Value::Text(Cow::Borrowed(host)));
            tagged(&tag, message, context, draft);
        }
        _ if keyvalue::read(line, context, draft) || is_syslog => {}
        _ => draft.problem(Problem::Unparsed),
    }
}
