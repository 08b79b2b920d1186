//! Cisco's lines: `%FACILITY-SEVERITY-MNEMONIC: text`, and the header that IOS writes before it.

use std::borrow::Cow;

use super::traffic;
use crate::draft::Draft;
use crate::time::{self, Civil, Cursor};
use crate::{Context, syslog};

/// Longest mnemonic that is taken for one.
const MNEMONIC_BYTES_MAX: usize = 80;

/// Reads the message id of `%ASA-6-302013: text`; false where the message has none.
pub(crate) fn message<'a>(message: &'a str, draft: &mut Draft<'a>) -> bool {
    let Some(rest) = message.strip_prefix('%') else {
        return false;
    };
    // Some firewalls leave the colon out.
    let Some(end) = rest
        .bytes()
        .take(MNEMONIC_BYTES_MAX)
        .position(|b| matches!(b, b':' | b' '))
    else {
        return false;
    };
    let Some(id) = rest.get(..end) else {
        return false;
    };
    let part = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !id.bytes().all(part) || id.bytes().filter(|b| *b == b'-').count() < 2 {
        return false;
    }
    draft.source.product = Some("cisco");
    draft.message = Cow::Borrowed(message);
    draft.text("msgid", id);
    let text = rest.get(end..).unwrap_or("");
    traffic::read(id, text.trim_start_matches([':', ' ']), draft);
    true
}

/// Reads `4521: *Feb 17 13:40:03.673 UTC: %SYS-5-CONFIG_I: ...`; false, with nothing written, where
/// it is not that.
pub(crate) fn read<'a>(line: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some((sequence, stamp, rest)) = split(line, context) else {
        return false;
    };
    draft.number("seq", sequence);
    draft.time = stamp;
    syslog::body(None, rest, context, draft);
    true
}

fn split<'a>(
    line: &'a str,
    context: &Context<'_>,
) -> Option<(&'a str, Option<time::Stamp>, &'a str)> {
    let end = line.bytes().take(20).position(|b| b == b':')?;
    let (sequence, rest) = (line.get(..end)?, line.get(end + 1..)?);
    if sequence.is_empty() || !sequence.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A star or a dot marks a clock that was never set.
    let rest = rest.trim_ascii_start().trim_start_matches(['*', '.']);
    let (stamp, message) = rest.split_once(": %")?;
    let message = rest.get(rest.len() - message.len() - 1..)?;
    Some((sequence, clock(stamp, context), message))
}

/// `Feb 17 13:40:03.673`, perhaps followed by a zone; a zone that is not UTC or GMT is ambiguous,
/// and the source's zone stands.
fn clock(text: &str, context: &Context<'_>) -> Option<time::Stamp> {
    let mut words = text.split_ascii_whitespace();
    let month = time::month(words.next()?.as_bytes())?;
    let day = words.next()?.parse().ok()?;
    let mut at = Cursor(words.next()?.as_bytes());
    let hour = at.digits(2)?;
    at.one_of(b":")?;
    let minute = at.digits(2)?;
    at.one_of(b":")?;
    let second = at.digits(2)?;
    let nano = if at.one_of(b".").is_some() {
        at.nanos()
    } else {
        0
    };
    let offset = matches!(words.next(), Some("UTC" | "GMT")).then_some(0);
    let written = Civil {
        year: 0,
        month,
        day,
        hour,
        minute,
        second,
        nano,
    };
    let year = time::nearest_year(written, context);
    Civil { year, ..written }.stamp(offset, context.zone)
}
