//! RFC 3164 lines: the time through `syslog_loose`, then host and tag, each of which may be absent.

use chrono::Utc;
use syslog_loose::{Variant, parse_message_with_year_exact_tz};

use super::{message, tag};
use crate::Context;
use crate::draft::Draft;
use crate::time::{self, CivilTime, TimeCursor, Timestamp};

/// Most bytes of a line that `syslog_loose` gets: time and host. It would take parts of a message
/// for structured data.
const HEADER_BYTES_MAX: usize = 512;

/// Reads a line after its priority. Returns false, with nothing changed, if it does not start with
/// a time.
pub(super) fn read<'a>(rest: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let rest = rest.trim_ascii_start();
    let Some(time_format) = time_format(rest) else {
        return false;
    };
    let year = |(month, day, hour, minute, second)| {
        let date = CivilTime {
            year: 0,
            month,
            day,
            hour,
            minute,
            second,
            nano: 0,
        };
        i32::try_from(time::latest_year(date, context)).unwrap_or(1970)
    };
    let start = rest
        .get(..rest.floor_char_boundary(HEADER_BYTES_MAX))
        .unwrap_or(rest);
    let parsed = parse_message_with_year_exact_tz(start, year, Some(Utc), Variant::RFC3164);
    let Ok(parsed) = parsed else {
        return false;
    };
    let has_offset = time_format == TimeFormat::Iso;
    draft.time = parsed
        .timestamp
        .and_then(|t| time::from_syslog(t, has_offset, context.zone));
    // The first part that `syslog_loose` found after the time is where the rest of the header
    // starts.
    let start = match (
        parsed.hostname,
        parsed.appname,
        parsed.structured_data.first(),
    ) {
        (Some(host), ..) => offset_in(rest, host),
        (None, Some(program), _) => offset_in(rest, program),
        (None, None, Some(data)) => offset_in(rest, data.id).map(|at| at.saturating_sub(1)),
        (None, None, None) => offset_in(rest, parsed.msg),
    };
    let after = start.and_then(|at| rest.get(at..)).unwrap_or("");
    let after = fraction(after, draft);
    host_and_tag(after, context, draft);
    true
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TimeFormat {
    /// `YYYY-MM-DDT...`, with an offset.
    Iso,
    /// `Mmm dd ...`, in the zone of the source.
    Month,
}

/// Returns the format of the time at the start of a header. Other lines must not reach
/// `syslog_loose`, which would misread them.
fn time_format(rest: &str) -> Option<TimeFormat> {
    let bytes = rest.as_bytes();
    if bytes.get(4) == Some(&b'-') && bytes.get(10) == Some(&b'T') {
        return Some(TimeFormat::Iso);
    }
    let is_month = bytes.get(3) == Some(&b' ') && time::month(bytes.get(..3)?).is_some();
    is_month.then_some(TimeFormat::Month)
}

/// Returns the position of `part` in `whole`, of which it is a slice.
fn offset_in(whole: &str, part: &str) -> Option<usize> {
    (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)
}

/// Adds a fraction of a second after the time to the draft's time. Returns the rest of the header.
fn fraction<'a>(after: &'a str, draft: &mut Draft<'a>) -> &'a str {
    let Some(digits) = after.strip_prefix('.') else {
        return after;
    };
    let mut cursor = TimeCursor(digits.as_bytes());
    let nano = i64::from(cursor.nanos());
    if let Some(Timestamp::At(ns)) = &mut draft.time {
        *ns += nano;
    }
    let used = digits.len() - cursor.0.len();
    digits
        .get(used..)
        .unwrap_or("")
        .trim_start_matches(':')
        .trim_ascii_start()
}

/// Reads `host tag[pid]: message`. Host or tag may be absent.
fn host_and_tag<'a>(after: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) {
    if let Some((tag, message)) = tag::split(after) {
        message::read_tagged(&tag, message, context, draft);
        return;
    }
    let (host, rest) = after.split_once(' ').unwrap_or((after, ""));
    if host.starts_with(['%', '{', '"']) || rest.is_empty() && host.ends_with(':') {
        return message::read(None, after, context, draft);
    }
    if host != "-" && !host.is_empty() {
        draft.add_text("host", host);
    }
    let rest = rest.trim_start_matches(' ');
    // Some routers write their name twice.
    let after_second_host = rest
        .strip_prefix(host)
        .and_then(|rest| rest.strip_prefix(' '));
    let rest = after_second_host
        .filter(|_| !host.is_empty())
        .unwrap_or(rest);
    // Cisco writes a single colon between host and message.
    let rest = rest.strip_prefix(": ").unwrap_or(rest);
    match tag::split(rest) {
        Some((tag, message)) => message::read_tagged(&tag, message, context, draft),
        None => message::read(None, rest, context, draft),
    }
}
