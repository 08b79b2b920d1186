//! Envelopes of Splunk's HTTP Event Collector: `{"time":…,"host":…,"event":…}`, opened so that the
//! event's fields stand on top.
//!
//! An object is an envelope where it has `event` and nothing but what Splunk documents beside it.

use std::borrow::Cow;

use weir_schema::{Format, Problem, Value};

use crate::Context;
use crate::draft::Draft;
use crate::json_event::of_value;
use crate::time::{Stamp, Zone};

const EVENT: &str = "event";

/// What may stand beside the event.
const MEMBERS: [&str; 5] = ["time", "host", "source", "sourcetype", "index"];

/// Opens an envelope, if the fields are one, and gives the time that it states, or else a line in it.
///
/// An event that is text may be JSON, and that an envelope again; each takes the room of its quotes
/// twice, so that a frame holds no more than some twenty in each other.
pub(crate) fn open(draft: &mut Draft<'_>, context: &Context<'_>) -> Option<Stamp> {
    if !is_envelope(draft) {
        return None;
    }
    let (mut outer, mut text) = (Vec::new(), None);
    for (name, value) in draft.take() {
        match name.strip_prefix("event.") {
            Some(inner) => draft.put(inner.to_owned(), value),
            None if name == EVENT => match value {
                Value::Text(line) => text = Some(line),
                value => draft.put(EVENT, value),
            },
            None => outer.push((name, value)),
        }
    }
    let inner = text.and_then(|text| {
        let time = read_line(&text, context, draft);
        // Whoever writes `"event": "login"` without Splunk in mind finds it there.
        draft.put(EVENT, Value::Text(text));
        time
    });
    let mut stated = None;
    for (name, value) in outer {
        match name.as_ref() {
            "time" => {
                stated = of_value(&value, Zone::UTC);
                draft.put(name, value);
            }
            "host" => match draft.get("host") {
                None => draft.put(name, value),
                Some(host) if *host != value => draft.put("relay_host", value),
                Some(_) => {}
            },
            _ => match name.strip_prefix("fields.") {
                Some(field) => draft.put(field.to_owned(), value),
                None => draft.put(name, value),
            },
        }
    }
    stated.or(inner)
}

fn is_envelope(draft: &Draft<'_>) -> bool {
    let mut has_event = false;
    // Most events are told from one by their first field.
    for (name, _) in &draft.fields {
        let name = name.as_ref();
        let is_event = name == EVENT || name.starts_with("event.");
        has_event |= is_event;
        if !is_event && !MEMBERS.contains(&name) && !name.starts_with("fields.") {
            return false;
        }
    }
    has_event
}

/// Reads a text as the line or object that it may be. What is neither is a message, as it would be
/// in any other object.
fn read_line(text: &str, context: &Context<'_>, draft: &mut Draft<'_>) -> Option<Stamp> {
    let mut line = Draft::default();
    crate::read_text(text.trim_ascii_end(), Format::Auto, context, &mut line);
    line.problems
        .retain(|problem| *problem != Problem::Unparsed);
    let time = line.time;
    adopt(draft, line);
    time
}

/// Takes over what was read of a text that does not live as long as the frame.
pub(crate) fn adopt(draft: &mut Draft<'_>, own: Draft<'_>) {
    draft.state(own.words());
    for (name, value) in own.fields {
        draft.put(name.into_owned(), value.into_owned());
    }
    for problem in own.problems {
        draft.problem(problem);
    }
    if draft.message.is_empty() {
        draft.message = Cow::Owned(own.message.into_owned());
    }
}
