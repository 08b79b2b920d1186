//! Envelopes of Splunk's HTTP Event Collector, `{"time":…,"host":…,"event":…}`: moves the fields of
//! the event to the top level.
//!
//! An object is an envelope if it has `event` and otherwise only the members that Splunk documents.

use weir_schema::{Format, Problem, Value};

use crate::Context;
use crate::draft::Draft;
use crate::time::{self, Timestamp, Zone};

const EVENT: &str = "event";

/// Members that may accompany the event, besides `fields`.
const MEMBERS: [&str; 5] = ["time", "host", "source", "sourcetype", "index"];

/// Opens the envelope if the fields are one. Returns the time that the line or object inside
/// states, else that of the envelope.
///
/// A text event may be JSON, and so another envelope. Each level doubles the escapes of its quotes,
/// so a frame holds at most about twenty levels.
pub(crate) fn open(draft: &mut Draft<'_>, context: &Context<'_>) -> Option<Timestamp> {
    if !is_envelope(draft) {
        return None;
    }
    let (mut members, mut text) = (Vec::new(), None);
    for (name, value) in draft.take_fields() {
        match name.strip_prefix("event.") {
            Some(field) => draft.add(field.to_owned(), value),
            None if name == EVENT => match value {
                Value::Text(line) => text = Some(line),
                value => draft.add(EVENT, value),
            },
            None => members.push((name, value)),
        }
    }
    let line_time = text.and_then(|text| {
        let time = read_line(&text, context, draft);
        // Keep the field: an object with `"event": "login"` need not be meant as an envelope.
        draft.add(EVENT, Value::Text(text));
        time
    });
    let line_time = line_time.or_else(|| crate::object_time(draft, context));
    // Zeek calls the requested server `host`, so the envelope's host would be taken for one.
    let is_zeek = draft.get("_path").is_some() || draft.get("id.orig_h").is_some();
    let mut envelope_time = None;
    for (name, value) in members {
        match name.as_ref() {
            "time" => {
                envelope_time = time::from_value(&value, Zone::UTC);
                draft.add(name, value);
            }
            "host" => match draft.get("host") {
                None if is_zeek => draft.add("relay_host", value),
                None => draft.add(name, value),
                Some(host) if *host != value => draft.add("relay_host", value),
                Some(_) => {}
            },
            _ => match name.strip_prefix("fields.") {
                Some(field) => draft.add(field.to_owned(), value),
                None => draft.add(name, value),
            },
        }
    }
    line_time.or(envelope_time)
}

fn is_envelope(draft: &Draft<'_>) -> bool {
    let mut has_event = false;
    // The first field rules out most events.
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

/// Reads a text event as a line or a JSON object. A text that is neither becomes the message
/// without a problem, as in any other object.
fn read_line(text: &str, context: &Context<'_>, draft: &mut Draft<'_>) -> Option<Timestamp> {
    let mut line = Draft::default();
    crate::read_text(text.trim_ascii_end(), Format::Auto, context, &mut line);
    line.problems
        .retain(|problem| *problem != Problem::Unparsed);
    let time = line.time;
    draft.add_owned(line);
    time
}
