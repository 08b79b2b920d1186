//! JSON frames: one object, flattened, with its time, log source and message found among the
//! fields.

use std::borrow::Cow;

use weir_schema::{LogSource, Problem, Value};

use crate::draft::Draft;
use crate::json::{Reader, Sink, Stop};
use crate::marks::{Mark, Marks};
use crate::time::{self, Stamp, Zone};
use crate::{Context, cloud, envelope, journald, parse_logsource, windows, wrapped, zeek};

/// The fields in which a time is looked for, in this order.
const TIMES: [Mark; 6] = [
    Mark::Time,
    Mark::Timestamp,
    Mark::AtTimestamp,
    Mark::TimeCreated,
    Mark::Ts,
    Mark::EventTimeAws,
];

/// The fields in which the message is looked for, in this order.
const MESSAGES: [Mark; 6] = [
    Mark::MessageSmall,
    Mark::Message,
    Mark::Msg,
    Mark::Log,
    Mark::JournalMessage,
    Mark::SyslogMessage,
];

impl<'a> Sink<'a> for Draft<'a> {
    #[inline(always)]
    fn text(&mut self, name: &'a str, text: &'a str) {
        self.set_text(name, text);
    }

    fn int(&mut self, name: &'a str, number: i64) {
        self.set_int(name, number);
    }

    fn field(&mut self, name: Cow<'a, str>, value: Value<'a>) {
        self.set(name, value);
    }

    fn list_cut(&mut self) {
        self.problem(Problem::TooManyFields);
    }
}

/// Reads one object. What is none stays as the message, with a problem; what is too deep keeps the
/// fields before that, and its text as the message.
pub(crate) fn read<'a>(text: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) {
    match Reader::new(text).document(draft) {
        Ok(()) => {}
        Err(Stop::TooDeep) => {
            draft.problem(Problem::TooDeep);
            draft.message = Cow::Borrowed(text);
        }
        Err(Stop::Malformed) => {
            draft.problem(Problem::Unparsed);
            draft.message = Cow::Borrowed(text);
            // Half an object is no event.
            draft.take();
            return;
        }
    }
    // By the name that the frame has, before it may get another.
    let configured = context
        .time_field
        .map(|name| of_value(draft.get(name)?, context.zone));
    let carried = envelope::open(draft, context);
    let mut marks = Marks::of(&draft.fields);
    let time = if windows::recognise(draft, &mut marks) {
        windows::stamp(draft, &marks, context.zone)
    } else if marks.has(Mark::Ts) && zeek::recognise(draft) {
        marks = Marks::of(&draft.fields);
        zeek::stamp(draft, context)
    } else {
        let own = cloud::recognise(draft, &marks);
        let time = own.and_then(|mark| of_value(marks.value(draft, mark)?, Zone::UTC));
        time.or_else(|| journald::recognise(draft, &marks, context))
    };
    let time = carried.or(time);
    draft.time = configured.unwrap_or_else(|| time.or_else(|| stamp(draft, &marks, context.zone)));
    if marks.has(Mark::LogSource) {
        let stated = stated_source(draft);
        draft.state(stated);
    }
    if draft.message.is_empty() {
        let message = MESSAGES
            .into_iter()
            .find_map(|mark| match marks.value(draft, mark) {
                Some(Value::Text(text)) => Some(text.clone()),
                _ => None,
            });
        draft.message = message.unwrap_or_default();
    }
    let time = draft.time;
    // What is an event by its own fields is not the carrier of another. Nor is what an application
    // says in words of its own: they may be those of whoever talks to it.
    let may_carry = draft.source.product.is_none() && !marks.has(Mark::Logger);
    if may_carry && wrapped::read(draft) && configured.is_some() {
        draft.time = time;
    }
}

/// A duration is called `time` too: a number that would be a moment before March 1973 is a time only
/// where no field has a better one.
const DURATION_MAX_NS: i64 = 100_000_000 * 1_000_000_000;

fn stamp(draft: &Draft<'_>, marks: &Marks, zone: Zone) -> Option<Stamp> {
    let values = TIMES
        .into_iter()
        .filter_map(|mark| marks.value(draft, mark));
    let mut first = None;
    for value in values {
        let found = of_value(value, zone);
        if found.is_some_and(|stamp| !matches!(stamp, Stamp::At(ns) if ns < DURATION_MAX_NS)) {
            return found;
        }
        first = first.or(found);
    }
    first
}

/// A time in text, or a number since 1970.
pub(crate) fn of_value(value: &Value<'_>, zone: Zone) -> Option<Stamp> {
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
