//! JSON frames: one object, flattened, with its time, log source and message found among the
//! fields.

use std::borrow::Cow;

use weir_schema::{LogSource, Problem, Value};

use crate::draft::Draft;
use crate::json::{Reader, Sink, Stop};
use crate::time::{self, Stamp, Zone};
use crate::{Context, parse_logsource, zeek};

/// The fields in which a time is looked for, in this order.
const TIME_FIELDS: [&str; 6] = [
    "time",
    "timestamp",
    "@timestamp",
    "TimeCreated",
    "ts",
    "eventTime",
];

impl<'a> Sink<'a> for Draft<'a> {
    fn field(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        self.set(name, value);
    }

    fn list_cut(&mut self) {
        self.problem(Problem::TooManyFields);
    }
}

/// Reads one object. What is none stays as the message, with a problem; what is too deep keeps the
/// fields before that.
pub(crate) fn read<'a>(text: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) {
    draft.message = Cow::Borrowed(text);
    match Reader::new(text).document(draft) {
        Ok(()) => {}
        Err(Stop::TooDeep) => draft.problem(Problem::TooDeep),
        Err(Stop::Malformed) => {
            draft.problem(Problem::Unparsed);
            // Half an object is no event.
            draft.fields.clear();
            return;
        }
    }
    draft.time = if zeek::recognise(draft) {
        zeek::stamp(draft, context)
    } else {
        stamp(draft, context)
    };
    let stated = stated_source(draft);
    draft.state(stated);
    let message = ["message", "msg"]
        .into_iter()
        .find_map(|name| match draft.get(name) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        });
    if let Some(message) = message {
        draft.message = message;
    }
}

fn stamp(draft: &Draft<'_>, context: &Context<'_>) -> Option<Stamp> {
    match context.time_field {
        Some(name) => of_value(draft.get(name)?, context.zone),
        None => {
            let mut found = TIME_FIELDS.into_iter().filter_map(|name| draft.get(name));
            found.find_map(|value| of_value(value, context.zone))
        }
    }
}

fn of_value(value: &Value<'_>, zone: Zone) -> Option<Stamp> {
    match value {
        Value::Int(number) => time::epoch(&number.to_string()),
        Value::Number(text) => time::epoch(text),
        Value::Text(text) => time::iso(text, zone).or_else(|| time::epoch(text)),
        Value::Null | Value::Bool(_) | Value::List(_) => None,
    }
}

/// The log source that the object states, as the text or object `logsource`.
fn stated_source(draft: &Draft<'_>) -> LogSource {
    if let Some(Value::Text(text)) = draft.get("logsource") {
        return parse_logsource(text).unwrap_or_default();
    }
    let word = |name| match draft.get(name) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.clone().into_owned()),
        _ => None,
    };
    LogSource {
        category: word("logsource.category"),
        product: word("logsource.product"),
        service: word("logsource.service"),
    }
}
