//! Agent frames: one verified FlatBuffers `AgentEvent`, with the line it carries where it says
//! nothing of the time.

use std::borrow::Cow;

use weir_schema::agent::AgentEvent;
use weir_schema::{Event, Format, Problem, Value};

use crate::draft::Draft;
use crate::time::Stamp;
use crate::{Context, parse_logsource, read_text};

/// Reads one frame; a frame that the verifier refuses stays as the message, with a problem.
pub(crate) fn decode<'a>(frame: &'a [u8], context: &Context<'_>) -> Event<'a> {
    let mut draft = Draft::default();
    match weir_schema::agent::event(frame) {
        Ok(event) => read(event, context, &mut draft),
        Err(_) => {
            draft.problem(Problem::InvalidFlatbuffer);
            draft.message = String::from_utf8_lossy(frame);
        }
    }
    draft.finish(context)
}

fn read<'a>(event: AgentEvent<'a>, context: &Context<'_>, draft: &mut Draft<'a>) {
    if let Some(kind) = event.kind() {
        draft.text("kind", kind);
    }
    if let Some(fields) = event.fields() {
        for field in fields {
            // One more field than the limit is enough to say that there were more.
            draft.text(field.name(), field.value());
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
        (time, _) => draft.time = Some(Stamp::of_ns(time)),
    }
    if draft.message.is_empty() {
        draft.message = raw.map_or_else(|| words(draft), Cow::Borrowed);
    }
    match event.logsource().map(parse_logsource) {
        Some(Ok(stated)) => draft.state(stated),
        Some(Err(_)) => draft.problem(Problem::Unparsed),
        None => {}
    }
}

/// What keyword searches read where the agent sent no line: the values, in order.
fn words<'a>(draft: &Draft<'a>) -> Cow<'a, str> {
    let texts = draft.fields.iter().filter_map(|(_, value)| match value {
        Value::Text(text) => Some(text.as_ref()),
        _ => None,
    });
    Cow::Owned(texts.collect::<Vec<_>>().join(" "))
}
