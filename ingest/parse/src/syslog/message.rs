//! The message of a syslog line: stored as the event's message, and read further if its program or
//! its form is known.

use std::borrow::Cow;

use weir_schema::{Problem, Value};

use super::tag::{self, Tag};
use crate::draft::Draft;
use crate::services::{self, appliance, cisco, vendor};
use crate::{Context, inner_event, keyvalue, payload, repeat};

/// Adds the fields of a tag and reads the message after it.
pub(super) fn read_tagged<'a>(
    tag: &Tag<'a>,
    message: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) {
    draft.add_text("program", tag.program);
    if let Some(pid) = tag.pid {
        draft.add_number("pid", pid);
    }
    read(Some(tag.program), message, context, draft);
}

/// Reads a message as a line with a header of its own, if it starts with one. The header in front of
/// it must name no program: the message of a program may quote anything. Returns false, with nothing
/// changed, for other messages.
pub(super) fn read_inner_line<'a>(
    message: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) -> bool {
    match super::read_inner(message, draft.headers, context) {
        Some(inner) => {
            draft.replace_with_inner(inner);
            true
        }
        None => false,
    }
}

/// Reads the message of `program`, if the line names one. A message that stands for several is read
/// as each of them was, and its field `repeated` tells how many they were.
pub(super) fn read<'a>(
    program: Option<&'a str>,
    message: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) {
    let Some(repeated) = repeat::read(message) else {
        return read_one(program, message, context, draft);
    };
    match inner_tag(program, repeated.text) {
        // Nothing says how often the inner message was repeated.
        Some((_, text)) if repeat::is_reported(text) => {
            return read_one(program, message, context, draft);
        }
        Some((tag, text)) => {
            draft.remove("program");
            draft.remove("pid");
            read_tagged(&tag, text, context, draft);
        }
        None => read_one(program, repeated.text, context, draft),
    }
    draft.weight = repeated.weight;
    let count = i64::try_from(repeated.weight.get()).unwrap_or(i64::MAX);
    draft.set(Cow::Borrowed("repeated"), Value::Int(count));
    if repeated.is_capped {
        draft.add_problem(Problem::RepeatUncounted);
    }
}

/// Programs that write a repeat under their own tag.
const LOGGERS: [&str; 3] = ["rsyslogd", "syslogd", "syslog-ng"];

/// Splits the tag from a message that was repeated, if the line names no other program than a logger or
/// the same one. What another program writes there is its own text.
fn inner_tag<'a>(program: Option<&str>, text: &'a str) -> Option<(Tag<'a>, &'a str)> {
    let (tag, message) = tag::split(text)?;
    let is_tag = tag.pid.is_some() || services::is_known_program(tag.program);
    let is_meant = match program {
        Some(program) => program == tag.program || is_tag && LOGGERS.contains(&program),
        None => is_tag,
    };
    (is_meant && !message.is_empty()).then_some((tag, message))
}

fn read_one<'a>(
    program: Option<&'a str>,
    message: &'a str,
    context: &Context<'_>,
    draft: &mut Draft<'a>,
) {
    draft.message = Cow::Borrowed(message);
    if inner_event::read(draft) || payload::read_json(program, message, context, draft) {
        return;
    }
    // Behind a tag the message of a device is a quotation: any user of the host may have typed it.
    let of_device = vendor::read(message, context, draft)
        || program.is_none()
            && (cisco::read_message(message, draft) || appliance::read(message, context, draft));
    if !of_device {
        services::read_message(program, message, context, draft);
        keyvalue::read(message, context, draft);
    }
}
