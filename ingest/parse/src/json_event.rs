//! JSON frames: one object, flattened into fields, with its time, log source and message.

use std::borrow::Cow;

use weir_schema::{LogSource, Problem, Value};

use crate::draft::Draft;
use crate::field_index::{FieldIndex, KnownField};
use crate::json::{FieldSink, JsonError, JsonReader};
use crate::time::{self, Timestamp, Zone};
use crate::{
    Context, carrier, cloud, envelope, inner_event, journald, parse_logsource, windows, zeek,
};

/// Fields that may hold the time, in order of preference. The writer of a log chooses any field of
/// it, but `@timestamp` is set by shippers.
const TIMES: [KnownField; 6] = [
    KnownField::AtTimestamp,
    KnownField::Timestamp,
    KnownField::Time,
    KnownField::TimeCreated,
    KnownField::Ts,
    KnownField::AwsEventTime,
];

/// Fields that may hold the message, in order of preference.
const MESSAGES: [KnownField; 6] = [
    KnownField::MessageLower,
    KnownField::Message,
    KnownField::Msg,
    KnownField::Log,
    KnownField::JournalMessage,
    KnownField::SyslogMessage,
];

impl<'a> FieldSink<'a> for Draft<'a> {
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

    fn list_truncated(&mut self) {
        self.add_problem(Problem::TooManyFields);
    }
}

/// Reads one object. If it cannot be read to its end, its text becomes the message, with a problem,
/// and the members before the bad place are fields.
pub(crate) fn read<'a>(text: &'a str, context: &Context<'_>, draft: &mut Draft<'a>) {
    let fields_before = draft.fields.len();
    let is_whole = read_members(text, draft);
    if is_whole || draft.fields.len() > fields_before {
        read_meaning(draft, context);
    }
    if !is_whole {
        draft.message = Cow::Borrowed(text);
    }
}

/// Reads the members of an object, and those around the bytes that were left out of a long one.
/// Returns whether it was read to its end.
fn read_members<'a>(text: &'a str, draft: &mut Draft<'a>) -> bool {
    let fields_before = draft.fields.len();
    let mut reader = JsonReader::new(text);
    let mut result = reader.document(draft);
    // A cut within one string leaves an object that can be read as it is.
    let cut = match result {
        Ok(()) => None,
        Err(_) => weir_schema::marker_place(text.as_bytes()),
    };
    if let Some(place) = &cut
        && let (Some(head), Some(tail)) = (text.get(..place.start), text.get(place.end..))
    {
        draft.add_problem(Problem::Truncated);
        draft.truncate_fields(fields_before);
        reader = JsonReader::of_parts(head, tail);
        result = reader.document(draft);
    }
    if reader.is_too_deep {
        draft.add_problem(Problem::TooDeep);
    }
    if reader.is_repaired || result == Err(JsonError::Malformed) {
        draft.add_problem(Problem::Unparsed);
    }
    result.is_ok() && cut.is_none()
}

/// Finds out what the members mean: time, log source, message, and the line that they carry.
fn read_meaning(draft: &mut Draft<'_>, context: &Context<'_>) {
    // Read it before the envelope or a reader renames the field.
    let configured_time = context
        .time_field
        .map(|name| time::from_value(draft.get(name)?, context.zone));
    let envelope_time = envelope::open(draft, context);
    let mut index = FieldIndex::of(&draft.fields);
    let source_time = recognize(draft, &mut index, context);
    let time = source_time.or(envelope_time);
    draft.time = match configured_time {
        Some(configured) => configured,
        None => time.or_else(|| usual_time(draft, &index, context)),
    };
    if index.has(KnownField::LogSource) {
        let stated = stated_logsource(draft);
        draft.set_stated_logsource(stated);
    }
    if draft.message.is_empty() {
        let message = MESSAGES
            .into_iter()
            .find_map(|field| match index.value(draft, field) {
                Some(Value::Text(text)) => Some(text.clone()),
                _ => None,
            });
        draft.message = message.unwrap_or_default();
    }
    let time = draft.time;
    // A recognized event carries no other event. The log of an application carries none either:
    // its message may quote text that a client sent.
    if draft.logsource.product.is_some() || draft.is_quoted {
        return;
    }
    if !index.has(KnownField::Logger) && inner_event::read(draft) {
        carrier::add_header(draft);
    } else {
        carrier::read(draft, &index, context);
    }
    if configured_time.is_some() {
        draft.time = time;
    }
}

/// Finds out which known source wrote the object, and normalizes its fields. Returns the time by
/// the rules of that source.
fn recognize(
    draft: &mut Draft<'_>,
    index: &mut FieldIndex,
    context: &Context<'_>,
) -> Option<Timestamp> {
    if windows::recognize(draft, index) {
        return windows::timestamp(draft, index, context.zone);
    }
    if index.has(KnownField::Ts) && zeek::recognize(draft) {
        *index = FieldIndex::of(&draft.fields);
        return zeek::timestamp(draft, context);
    }
    let time_field = cloud::recognize(draft, index);
    let time = time_field.and_then(|field| time::from_value(index.value(draft, field)?, Zone::UTC));
    time.or_else(|| journald::recognize(draft, index))
}

/// A number below this limit, March 1973 as a time, may be a duration, which some sources also name
/// `time`. Such a number is the event's time only if no other field has a better one.
const DURATION_MAX_NS: i64 = 100_000_000 * 1_000_000_000;

fn may_be_duration(time: Timestamp) -> bool {
    matches!(time, Timestamp::At(ns) if ns < DURATION_MAX_NS)
}

/// Times of one object may differ by this: some are in local time without an offset.
const DIFFERENCE_MAX_NS: u64 = 86_400 * 1_000_000_000;

/// The time of an object of an unknown kind. A second time that differs much is a problem, because
/// one of the two is wrong, and the writer of a log chose it.
fn usual_time(
    draft: &mut Draft<'_>,
    index: &FieldIndex,
    context: &Context<'_>,
) -> Option<Timestamp> {
    let times = usual_times(draft, index, context.zone);
    let first = times.iter().flatten().find(|time| !may_be_duration(**time));
    let Some(first) = first.copied() else {
        return times.into_iter().flatten().next();
    };
    let differs = |other: &Timestamp| match (first, *other) {
        (Timestamp::At(first), Timestamp::At(other)) => first.abs_diff(other) > DIFFERENCE_MAX_NS,
        (first, other) => first != other,
    };
    let mut stated = times
        .iter()
        .flatten()
        .filter(|time| !may_be_duration(**time));
    if stated.any(differs) {
        draft.add_problem(Problem::TimesDiffer);
    }
    Some(first)
}

/// The times that the fields state under the usual names, in order of preference.
fn usual_times(
    draft: &Draft<'_>,
    index: &FieldIndex,
    zone: Zone,
) -> [Option<Timestamp>; TIMES.len()] {
    TIMES.map(|field| time::from_value(index.value(draft, field)?, zone))
}

/// Returns the time that the fields state under the usual names, unless it may be a duration.
pub(crate) fn stated_time(draft: &Draft<'_>, context: &Context<'_>) -> Option<Timestamp> {
    let index = FieldIndex::of(&draft.fields);
    let times = usual_times(draft, &index, context.zone);
    times
        .into_iter()
        .flatten()
        .find(|time| !may_be_duration(*time))
}

/// Reads the log source that the object states, as the text or object `logsource`.
fn stated_logsource(draft: &Draft<'_>) -> LogSource {
    if let Some(Value::Text(text)) = draft.get("logsource") {
        return parse_logsource(text).unwrap_or_default();
    }
    let part = |name| match draft.get(name) {
        Some(Value::Text(text)) if !text.is_empty() => Some(text.clone().into_owned()),
        _ => None,
    };
    LogSource {
        category: part("logsource.category"),
        product: part("logsource.product"),
        service: part("logsource.service"),
    }
}
