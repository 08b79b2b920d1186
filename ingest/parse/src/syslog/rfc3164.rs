//! RFC 3164 lines: time, host and tag, of which devices leave out, bend and repeat each.

use weir_schema::Problem;

use super::words::HeaderWord;
use super::{bad_time, message, tag};
use crate::Context;
use crate::draft::Draft;
use crate::host;
use crate::repeat;
use crate::services;
use crate::time::clock;

/// Most words between the time and the message that are neither host nor tag.
const WORDS_MAX: usize = 6;

/// Reads a line after its priority. Returns false, with nothing changed, if it does not start with
/// a time.
pub(super) fn read<'a>(rest: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let rest = rest.trim_ascii_start();
    let Some(clock) = clock::start(rest, context) else {
        return false;
    };
    draft.time = Some(clock.time);
    host_and_tag(clock.rest, context, draft);
    true
}

/// Reads a line after its priority that starts with a time that cannot be read. Behind a priority and a
/// time that surely is one, anything is a header; otherwise a tag must follow, and a host too if there is
/// no priority. Returns false, with nothing changed, for other lines.
pub(super) fn read_without_time<'a>(
    rest: &'a str,
    has_priority: bool,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    let Some(time) = bad_time::read(rest.trim_ascii_start()) else {
        return false;
    };
    let header = HostAndWords::read(time.rest.trim_start_matches(' '));
    let is_header = match (has_priority, time.is_sure) {
        (true, true) => true,
        (true, false) => is_tag(header.rest),
        (false, is_sure) => is_sure && header.host.is_some() && is_tag(header.rest),
    };
    if is_header {
        draft.add_problem(Problem::Unparsed);
        host_and_tag(time.rest, context, draft);
    }
    is_header
}

/// Reads `host tag[pid]: message`. Host or tag may be absent; levels and names of models may stand
/// before the tag.
pub(super) fn host_and_tag<'a>(after: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) {
    if repeat::is_reported(after.trim_ascii_start()) {
        // syslogd names neither itself nor, in files, the host: `last` is none.
        return message::read(None, after.trim_ascii(), context, draft);
    }
    let header = HostAndWords::read(after);
    if let Some(host) = header.host.filter(|host| *host != "-") {
        draft.add_text("host", host);
    }
    if header.host.is_some() && message::read_inner_line(header.text, context, draft) {
        return;
    }
    let mut rest = header.rest;
    if let Some((name, line)) = forwarded(rest) {
        if let Some(relay) = header.host.filter(|host| *host != name) {
            draft.add_text("relay_host", relay);
        }
        draft.set_text("host", name);
        rest = line;
    }
    let Some((tag, text)) = tag::split(rest).or_else(|| tag::split_versioned(rest)) else {
        return message::read(None, header.text, context, draft);
    };
    for word in header.words.into_iter().flatten() {
        word.add(draft);
    }
    message::read_tagged(&tag, text, context, draft);
}

/// Reads a line without a time, or with one that many logs start with, if its tag is surely one.
/// Without a host or a priority, only a process id or a known program distinguishes a tag from prose
/// such as `Error: no route`. Returns false, with nothing changed, for other lines.
pub(super) fn read_uncertain<'a>(
    line: &'a str,
    has_priority: bool,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    let header = HostAndWords::read(line);
    let Some((tag, text)) = tag::split(header.rest) else {
        return false;
    };
    let is_known = tag.pid.is_some() || services::is_known_program(tag.program);
    let has_word = header.words.iter().any(Option::is_some);
    let is_sure = match header.host {
        None => has_priority || is_known,
        Some(_) => tag.pid.is_some() || has_word || is_known && draft.time.is_some(),
    };
    if !is_sure {
        return false;
    }
    if let Some(host) = header.host.filter(|host| *host != "-") {
        draft.add_text("host", host);
    }
    for word in header.words.into_iter().flatten() {
        word.add(draft);
    }
    message::read_tagged(&tag, text, context, draft);
    true
}

/// The part of a header between its time and its tag.
struct HostAndWords<'a> {
    host: Option<&'a str>,
    words: [Option<HeaderWord<'a>>; WORDS_MAX],
    /// The text behind the host.
    text: &'a str,
    /// The text behind host and words.
    rest: &'a str,
}

impl<'a> HostAndWords<'a> {
    fn read(after: &'a str) -> Self {
        let mut header = Self {
            host: None,
            words: [None; WORDS_MAX],
            text: after,
            rest: after,
        };
        for n in 0..WORDS_MAX {
            let rest = header.rest.trim_start_matches(' ');
            header.rest = rest;
            let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
            if let Some(found) = HeaderWord::read(word) {
                if let Some(slot) = header.words.get_mut(n) {
                    *slot = Some(found);
                }
                header.rest = tail;
                continue;
            }
            // Some routers write their name twice.
            let is_next = match header.host {
                Some(host) => host == word,
                None => is_host(word, tail) && !is_tag(rest),
            };
            if !is_next {
                break;
            }
            header.host = Some(word);
            // Cisco writes a single colon between host and message.
            let tail = tail.trim_start_matches(' ');
            let tail = tail.strip_prefix(": ").unwrap_or(tail);
            (header.text, header.rest) = (tail, tail);
        }
        header
    }
}

fn is_tag(text: &str) -> bool {
    tag::split(text).is_some() || tag::split_versioned(text).is_some()
}

/// Returns whether a word in the place of the host is one. Without a space before it a message may
/// begin there.
fn is_host(word: &str, tail: &str) -> bool {
    (host::is_host(word) || word == "-") && !(tail.is_empty() && word.ends_with(':'))
}

/// Reads `Message forwarded from web1: line`, as AIX writes it.
fn forwarded(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("Message forwarded from ")?;
    let (name, line) = rest.split_once(": ")?;
    host::is_host(name).then_some((name, line))
}
