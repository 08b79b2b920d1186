//! Agent frames: one verified FlatBuffers `AgentEvent`. If it states no time, the line that it
//! carries is read as well.

use std::borrow::Cow;

use weir_schema::agent::AgentEvent;
use weir_schema::{Event, Format, Problem, Value};

use crate::draft::Draft;
use crate::time::Timestamp;
use crate::{Context, parse_logsource, read_text};

/// Reads one frame. A frame that the verifier rejects becomes the message, with a problem.
pub(crate) fn decode<'a>(frame: &'a [u8], context: &Context<'_>) -> Event<'a> {
    let mut draft = Draft::default();
    match weir_schema::agent::decode_event(frame) {
        Ok(event) => read(event, context, &mut draft),
        Err(_) => {
            draft.add_problem(Problem::InvalidFlatbuffer);
            draft.message = String::from_utf8_lossy(frame);
        }
    }
    draft.finish(context)
}

fn read<'a>(event: AgentEvent<'a>, context: &Context<'_>, draft: &mut Draft<'a>) {
    if let Some(kind) = event.kind() {
        draft.add_text("kind", kind);
    }
    if let Some(fields) = event.fields() {
        for field in fields {
            // The first field beyond the limit adds the problem; skip the rest.
            draft.add_text(field.name(), field.value());
            if draft.problems.contains(&Problem::TooManyFields) {
                break;
            }
        }
    }
    let raw = event.raw();
    match (event.time_ns(), raw) {
        (0, Some(raw)) => {
            let raw = raw.trim_end_matches(['\r', '\n']);
            read_text(raw, Format::Auto, context, draft);
        }
        (0, None) => {}
        (time, _) => draft.time = Some(Timestamp::from_ns(time)),
    }
    if draft.message.is_empty() {
        draft.message = raw.map_or_else(|| joined_values(draft), Cow::Borrowed);
    }
    match event.logsource().map(parse_logsource) {
        Some(Ok(stated)) => draft.set_stated_logsource(stated),
        Some(Err(_)) => draft.add_problem(Problem::Unparsed),
        None => {}
    }
}

/// Joins the text values in order. Keyword searches read this if the agent sent no line.
fn joined_values<'a>(draft: &Draft<'a>) -> Cow<'a, str> {
    let texts = draft.fields.iter().filter_map(|(_, value)| match value {
        Value::Text(text) => Some(text.as_ref()),
        _ => None,
    });
    Cow::Owned(texts.collect::<Vec<_>>().join(" "))
}
