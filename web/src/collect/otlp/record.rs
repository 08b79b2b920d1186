//! A log record as a frame: one JSON object, whichever way the record was written.

use serde_json::{Map, Value, json};
use weir_schema::{EventTime, Format};

use crate::collect::Refusal;
use crate::collect::sorter::{EVENT_BYTES_MAX, Sorter, source_name};
use crate::time::rfc3339;

/// The source of records whose resource names no service.
const SOURCE: &str = "otlp";

/// Longest resource or scope as it is sent: each record under it carries it.
pub(super) const SHARED_BYTES_MAX: usize = 64 << 10;

/// Longest record as it is sent.
pub(super) const RECORD_BYTES_MAX: usize = EVENT_BYTES_MAX;

/// A record, whichever way it was written.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) time_unix_nano: u64,
    pub(super) observed_time_unix_nano: u64,
    pub(super) severity_number: i32,
    pub(super) severity_text: String,
    pub(super) body: Option<Value>,
    pub(super) attributes: Map<String, Value>,
    pub(super) flags: u32,
    /// In hexadecimal.
    pub(super) trace_id: String,
    pub(super) span_id: String,
    pub(super) event_name: String,
}

/// What all records under a resource and a scope share.
#[derive(Clone, Debug, Default)]
pub(super) struct Shared {
    pub(super) resource: Map<String, Value>,
    pub(super) scope: Map<String, Value>,
}

impl Shared {
    fn source(&self) -> String {
        let service = self.resource.get("service.name").and_then(Value::as_str);
        source_name(service.unwrap_or_default(), SOURCE)
    }
}

/// Records that were not taken in.
#[derive(Debug, Default)]
pub(super) struct Rejected {
    pub(super) records: i64,
    /// Why the first of them was not.
    pub(super) why: String,
}

impl Rejected {
    pub(super) fn push(
        &mut self,
        sorter: &mut Sorter,
        reason: &'static str,
        why: &str,
    ) -> Result<(), Refusal> {
        if self.records == 0 {
            self.why = format!("record {}: {why}", sorter.received());
        }
        self.records += 1;
        sorter.refuse(reason)
    }
}

/// Takes a record in, or rejects it.
pub(super) fn take(
    record: Record,
    shared: &Shared,
    sorter: &mut Sorter,
    rejected: &mut Rejected,
) -> Result<(), Refusal> {
    let frame = frame(record, shared);
    if frame.len() > EVENT_BYTES_MAX {
        sorter.spend(frame.len())?;
        let why = "with its resource and scope it has more than 1 MiB as JSON";
        return rejected.push(sorter, "too_large", why);
    }
    sorter.push(&shared.source(), Format::Json, frame)
}

/// The words of the specification for ranges of severity numbers.
fn level(number: i32) -> Option<&'static str> {
    const WORDS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let range = usize::try_from(number.checked_sub(1)? / 4).ok()?;
    (number > 0).then(|| WORDS.get(range).copied()).flatten()
}

/// An instant as text. What no calendar of ours has stays a number, which is read as no time.
fn instant(nanos: u64) -> Value {
    match i64::try_from(nanos) {
        Ok(nanos) => rfc3339(EventTime(nanos)).into(),
        Err(_) => nanos.to_string().into(),
    }
}

fn frame(record: Record, shared: &Shared) -> Vec<u8> {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| {
        object.insert(name.to_owned(), value);
    };
    let observed = record.observed_time_unix_nano;
    let times = [record.time_unix_nano, observed];
    if let Some(time) = times.into_iter().find(|time| *time != 0) {
        put("time", instant(time));
    }
    if observed != 0 {
        put("observed_time", instant(observed));
    }
    if let Some(host) = shared.resource.get("host.name") {
        put("host", host.clone());
    }
    // The name tells the parser that an application speaks, whose words carry no other event.
    let level = level(record.severity_number);
    if !record.severity_text.is_empty() {
        put("level", record.severity_text.into());
    } else if let Some(level) = level {
        put("level", level.into());
    }
    if record.severity_number != 0 {
        put("severity_number", record.severity_number.into());
    }
    match record.body {
        Some(Value::String(text)) => put("message", text.into()),
        Some(body) => put("body", body),
        None => {}
    }
    for (name, text) in [
        ("event_name", record.event_name),
        ("trace_id", record.trace_id),
        ("span_id", record.span_id),
    ] {
        if !text.is_empty() {
            put(name, text.into());
        }
    }
    if record.flags != 0 {
        put("flags", record.flags.into());
    }
    for (name, map) in [
        ("attributes", &record.attributes),
        ("scope", &shared.scope),
        ("resource", &shared.resource),
    ] {
        if !map.is_empty() {
            put(name, Value::Object(map.clone()));
        }
    }
    Value::Object(object).to_string().into_bytes()
}

/// A number that JSON may not have, as text.
pub(super) fn double(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None => json!(number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_the_words_of_the_specification() {
        for (number, word) in [
            (i32::MIN, None),
            (-4, None),
            (0, None),
            (1, Some("TRACE")),
            (4, Some("TRACE")),
            (9, Some("INFO")),
            (24, Some("FATAL")),
            (25, None),
            (i32::MAX, None),
        ] {
            assert_eq!(level(number), word, "{number}");
        }
    }

    #[test]
    fn a_record_is_a_frame_with_one_time() {
        let shared = Shared {
            resource: Map::from_iter([("host.name".to_owned(), json!("web-1"))]),
            scope: Map::new(),
        };
        let record = Record {
            observed_time_unix_nano: 1_500_000_000,
            severity_number: 17,
            body: Some(json!({ "a": 1 })),
            ..Record::default()
        };
        let text = r#"{"time":"1970-01-01T00:00:01.500000000Z","#.to_owned()
            + r#""observed_time":"1970-01-01T00:00:01.500000000Z","host":"web-1","#
            + r#""level":"ERROR","severity_number":17,"body":{"a":1},"#
            + r#""resource":{"host.name":"web-1"}}"#;
        assert_eq!(String::from_utf8(frame(record, &shared)).unwrap(), text);
        let record = Record {
            time_unix_nano: u64::MAX,
            severity_text: "warn".into(),
            body: Some(json!("text")),
            ..Record::default()
        };
        let text = r#"{"time":"18446744073709551615","level":"warn","message":"text"}"#;
        assert_eq!(
            String::from_utf8(frame(record, &Shared::default())).unwrap(),
            text
        );
    }

    #[test]
    fn records_that_are_too_long_as_frames_are_not_made_for_ever() {
        let shared = Shared {
            resource: Map::from_iter([("a".to_owned(), json!("a".repeat(EVENT_BYTES_MAX)))]),
            scope: Map::new(),
        };
        let mut sorter = Sorter::new(crate::collect::sorter::Sender {
            tenant: "default".to_owned(),
            peer: None,
            received: weir_schema::ReceiveTime(0),
            source: None,
            key: None,
        });
        let mut rejected = Rejected::default();
        let mut take = || take(Record::default(), &shared, &mut sorter, &mut rejected);
        let made = (0..1_000).take_while(|_| take().is_ok()).count();
        assert!((1..50).contains(&made), "{made}");
    }
}
