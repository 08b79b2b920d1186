//! RFC 5424 lines, read part by part: a line that is nearly one keeps the parts that can be read.
//!
//! Senders leave out the structured data, the message id or the version, and write offsets without a
//! colon, or none.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use super::{bad_time, data, message};
use crate::Context;
use crate::draft::Draft;
use crate::services::appliance;
use crate::time::{self, Timestamp, clock};

/// Reads a line after its priority: version, time, host, program, process, message id, data. Returns
/// false, with nothing changed, if it does not start with a version, a time and a host.
pub(super) fn read<'a>(rest: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) -> bool {
    let Some(rest) = strip_version(rest) else {
        return false;
    };
    let Some((time, rest)) = time(rest, context) else {
        return false;
    };
    read_words(time, rest, context, draft)
}

/// Reads a line without a version. Its data must be where RFC 5424 wants them, for a line of RFC 3164
/// starts alike.
pub(super) fn read_without_version<'a>(
    line: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    let Some((time, rest)) = time(line, context) else {
        return false;
    };
    has_all_parts(rest) && read_words(time, rest, context, draft)
}

/// Reads a line whose time is none of RFC 3339: seconds since 1970, or anything that cannot be read. If it
/// is not even similar to a date, all parts of RFC 5424 must follow a priority, for prose may begin with
/// a number. Returns false, with nothing changed, for other lines.
pub(super) fn read_with_bad_time<'a>(
    rest: &'a str,
    has_priority: bool,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    let Some((word, rest)) = strip_version(rest).and_then(|rest| rest.split_once(' ')) else {
        return false;
    };
    let is_header = bad_time::is_date(word) || has_priority && has_all_parts(rest);
    let time = epoch(word);
    if !is_header || !read_words(time, rest, context, draft) {
        return false;
    }
    if time.is_none() {
        draft.add_problem(Problem::Unparsed);
    }
    true
}

/// Reads a number since 1970. Shorter ones count something else.
fn epoch(word: &str) -> Option<Timestamp> {
    let digits = word.split('.').next()?;
    let is_number = digits.len() >= 10 && digits.bytes().all(|b| b.is_ascii_digit());
    let time = is_number.then(|| time::epoch(word))??;
    matches!(time, Timestamp::At(_)).then_some(time)
}

/// Returns whether host, program, process id, message id and data follow a time.
fn has_all_parts(text: &str) -> bool {
    let mut words = Words(text);
    let header: [_; 4] = std::array::from_fn(|_| words.next());
    let is_pid = |word: &str| word == "-" || word.bytes().all(|b| b.is_ascii_digit());
    let has_data = words.0.starts_with('[') || words.0 == "-" || words.0.starts_with("- ");
    let [Some(_), Some(program), Some(pid), Some(_)] = header else {
        return false;
    };
    has_data && is_pid(pid) && !program.ends_with([':', ']'])
}

fn read_words<'a>(
    time: Option<Timestamp>,
    rest: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    let mut words = Words(rest);
    let (Some(host), Some(program)) = (words.next(), words.next()) else {
        return false;
    };
    // A tag where the program should be: RFC 3164 with a version in front.
    if program.ends_with(':') || program.contains('[') {
        return false;
    }
    draft.time = time;
    if host != "-" {
        draft.add_text("host", host);
    }
    if program != "-" {
        draft.add_text("program", program);
    }
    let mut text = words.0;
    let header_fields = draft.fields.len();
    if let Some(pid) = words.next() {
        add_pid(pid, draft);
        text = rest_after_pid(words, draft);
    }
    let has_data = draft.fields.len() > header_fields;
    // rsyslog's template for RFC 5424 keeps the space that follows the tag in RFC 3164.
    let text = text.trim_start_matches(' ');
    if has_data && data::read(draft) {
        draft.message = Cow::Borrowed(text);
        return true;
    }
    let program = Some(program).filter(|program| *program != "-");
    if program.is_some() || !message::read_inner_line(text, context, draft) {
        message::read(program, text, context, draft);
    }
    true
}

/// Reads message id and structured data. A word is a message id only if data follow it.
fn rest_after_pid<'a>(mut words: Words<'a>, draft: &mut Draft<'a>) -> &'a str {
    let text = words.0;
    let Some(msgid) = words.next() else {
        return text;
    };
    if !words.0.starts_with(['[', '-']) {
        draft.add_problem(Problem::Unparsed);
        return if msgid == "-" { words.0 } else { text };
    }
    if msgid != "-" {
        draft.add_text("msgid", msgid);
    }
    // Check Point writes pairs of its own there, which the message reader reads.
    if words.0.starts_with('[') && appliance::read_checkpoint(words.0, draft) {
        return words.0;
    }
    let text = match words.0.strip_prefix('-') {
        Some(text) if text.is_empty() || text.starts_with(' ') => text,
        Some(_) => {
            draft.add_problem(Problem::Unparsed);
            words.0
        }
        None => elements(words.0, draft),
    };
    let text = text.strip_prefix(' ').unwrap_or(text);
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn add_pid<'a>(pid: &'a str, draft: &mut Draft<'a>) {
    match pid.parse::<i32>() {
        Ok(number) if !pid.starts_with('+') => draft.add("pid", Value::Int(i64::from(number))),
        _ if pid != "-" => draft.add_text("pid", pid),
        _ => {}
    }
}

/// The words of a header. More than one space may separate two words.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start_matches(' ');
        let end = memchr::memchr(b' ', text.as_bytes()).unwrap_or(text.len());
        let (word, rest) = text.split_at_checked(end)?;
        self.0 = rest.trim_start_matches(' ');
        (!word.is_empty()).then_some(word)
    }
}

/// Removes the version, one or two digits.
fn strip_version(text: &str) -> Option<&str> {
    let digits = text.bytes().take(3).take_while(u8::is_ascii_digit).count();
    let (_, rest) = text.split_at_checked(digits)?;
    (digits == 1 || digits == 2)
        .then(|| rest.strip_prefix(' '))
        .flatten()
        .map(|rest| rest.trim_start_matches(' '))
}

/// Reads the time: RFC 3339, possibly without offset, or `-` for none.
fn time<'a>(text: &'a str, context: &Context<'_>) -> Option<(Option<Timestamp>, &'a str)> {
    if let Some(rest) = text.strip_prefix("- ") {
        return Some((None, rest));
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let clock = clock::start(text, context)?;
    Some((Some(clock.time), clock.rest))
}

/// Reads the elements and returns the rest of the line. From the first malformed element on, the
/// rest is the message.
fn elements<'a>(mut data: &'a str, draft: &mut Draft<'a>) -> &'a str {
    while data.starts_with('[') {
        match element(data, draft) {
            Some(rest) => data = rest,
            None => {
                draft.add_problem(Problem::Unparsed);
                return data;
            }
        }
    }
    data
}

fn element<'a>(data: &'a str, draft: &mut Draft<'a>) -> Option<&'a str> {
    let data = data.strip_prefix('[')?;
    let end = data.find([' ', ']', '=', '"'])?;
    let (id, mut data) = data.split_at(end);
    if id.is_empty() {
        return None;
    }
    loop {
        if let Some(rest) = data.strip_prefix(']') {
            return Some(rest);
        }
        data = data.strip_prefix(' ')?.trim_start_matches(' ');
        if let Some(rest) = data.strip_prefix(']') {
            return Some(rest);
        }
        let (name, rest) = data.split_at(data.find(['=', ' ', ']', '"'])?);
        let (value, rest) = quoted(rest.strip_prefix("=\"")?)?;
        draft.append(Cow::Owned(format!("{id}.{name}")), Value::Text(value));
        data = rest;
    }
}

/// Reads a value up to its closing quote. A backslash escapes `"`, `\` and `]`; before other
/// characters it is literal.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut from = 0;
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            let tail = text.get(from..at)?;
            let value = if from == 0 {
                Cow::Borrowed(tail)
            } else {
                out.push_str(tail);
                Cow::Owned(out)
            };
            return Some((value, text.get(at + 1..)?));
        }
        if matches!(bytes.get(at + 1), Some(b'"' | b'\\' | b']')) {
            out.push_str(text.get(from..at)?);
            // The escaped byte is ASCII and starts the next part to copy.
            from = at + 1;
            at += 2;
        } else {
            at += 1;
        }
    }
}
