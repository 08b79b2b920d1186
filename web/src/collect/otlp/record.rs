//! Formats a log record as a frame: one JSON object, the same for both encodings.

use serde_json::{Map, Value, json};
use weir_schema::{EventTime, Format};

use crate::bodies::BodyError;
use crate::collect::batcher::{EVENT_BYTES_MAX, SourceBatcher};
use crate::collect::request::source_name;
use crate::time::rfc3339;

/// The source of records whose resource names no service.
const SOURCE: &str = "otlp";

/// Longest encoded resource or scope: the frame of each of its records repeats it.
pub(super) const CONTEXT_BYTES_MAX: usize = 64 << 10;

/// Longest encoded record.
pub(super) const RECORD_BYTES_MAX: usize = EVENT_BYTES_MAX;

/// A log record, decoded from protobuf or JSON.
#[derive(Debug, Default)]
pub(super) struct OtlpRecord {
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

/// The resource and scope of a record.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordContext {
    pub(super) resource: Map<String, Value>,
    pub(super) scope: Map<String, Value>,
}

impl RecordContext {
    fn source(&self) -> String {
        let service = self.resource.get("service.name").and_then(Value::as_str);
        source_name(service.unwrap_or_default(), SOURCE)
    }
}

/// The rejected records of a request.
#[derive(Debug, Default)]
pub(super) struct RejectedRecords {
    pub(super) records: i64,
    /// Why the first of them was rejected.
    pub(super) first_reason: String,
}

impl RejectedRecords {
    /// Counts a rejected record; `label` is for metrics, `reason` for the sender.
    pub(super) fn push(
        &mut self,
        batcher: &mut SourceBatcher,
        label: &'static str,
        reason: &str,
    ) -> Result<(), BodyError> {
        if self.records == 0 {
            self.first_reason = format!("record {}: {reason}", batcher.received());
        }
        self.records += 1;
        batcher.refuse(label)
    }
}

/// Adds a record as a frame, or rejects it.
pub(super) fn push_record(
    record: OtlpRecord,
    context: &RecordContext,
    batcher: &mut SourceBatcher,
    rejected: &mut RejectedRecords,
) -> Result<(), BodyError> {
    let frame = frame(record, context);
    if frame.len() > EVENT_BYTES_MAX {
        batcher.count_bytes(frame.len())?;
        let reason = "its frame, with resource and scope, has more than 1 MiB";
        return rejected.push(batcher, "too_large", reason);
    }
    batcher.push(&context.source(), Format::Json, frame)
}

/// The specification's name for a range of severity numbers.
fn severity_name(number: i32) -> Option<&'static str> {
    const NAMES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let range = usize::try_from(number.checked_sub(1)? / 4).ok()?;
    (number > 0).then(|| NAMES.get(range).copied()).flatten()
}

/// Formats an instant. Beyond the range of [`EventTime`] it becomes its number, which is not parsed
/// as a time.
fn time_text(nanos: u64) -> Value {
    match i64::try_from(nanos) {
        Ok(nanos) => rfc3339(EventTime(nanos)).into(),
        Err(_) => nanos.to_string().into(),
    }
}

fn frame(record: OtlpRecord, context: &RecordContext) -> Vec<u8> {
    let mut object = Map::new();
    let mut insert = |name: &str, value: Value| {
        object.insert(name.to_owned(), value);
    };
    let observed = record.observed_time_unix_nano;
    let times = [record.time_unix_nano, observed];
    if let Some(time) = times.into_iter().find(|time| *time != 0) {
        insert("time", time_text(time));
    }
    if observed != 0 {
        insert("observed_time", time_text(observed));
    }
    if let Some(host) = context.resource.get("host.name") {
        insert("host", host.clone());
    }
    // `level` marks an application's log for the parser: its message is not parsed as another event.
    let level = severity_name(record.severity_number);
    if !record.severity_text.is_empty() {
        insert("level", record.severity_text.into());
    } else if let Some(level) = level {
        insert("level", level.into());
    }
    if record.severity_number != 0 {
        insert("severity_number", record.severity_number.into());
    }
    match record.body {
        Some(Value::String(text)) => insert("message", text.into()),
        Some(body) => insert("body", body),
        None => {}
    }
    for (name, text) in [
        ("event_name", record.event_name),
        ("trace_id", record.trace_id),
        ("span_id", record.span_id),
    ] {
        if !text.is_empty() {
            insert(name, text.into());
        }
    }
    if record.flags != 0 {
        insert("flags", record.flags.into());
    }
    for (name, map) in [
        ("attributes", &record.attributes),
        ("scope", &context.scope),
        ("resource", &context.resource),
    ] {
        if !map.is_empty() {
            insert(name, Value::Object(map.clone()));
        }
    }
    Value::Object(object).to_string().into_bytes()
}

/// A number as JSON; one that JSON cannot represent becomes a text.
pub(super) fn double(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None => json!(number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::request::BodySender;

    #[test]
    fn name_severities_as_the_specification_does() {
        for (number, name) in [
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
            assert_eq!(severity_name(number), name, "{number}");
        }
    }

    #[test]
    fn format_records_as_frames() {
        let context = RecordContext {
            resource: Map::from_iter([("host.name".to_owned(), json!("web-1"))]),
            scope: Map::new(),
        };
        let record = OtlpRecord {
            observed_time_unix_nano: 1_500_000_000,
            severity_number: 17,
            body: Some(json!({ "a": 1 })),
            ..OtlpRecord::default()
        };
        let text = r#"{"time":"1970-01-01T00:00:01.500000000Z","#.to_owned()
            + r#""observed_time":"1970-01-01T00:00:01.500000000Z","host":"web-1","#
            + r#""level":"ERROR","severity_number":17,"body":{"a":1},"#
            + r#""resource":{"host.name":"web-1"}}"#;
        assert_eq!(String::from_utf8(frame(record, &context)).unwrap(), text);
        let record = OtlpRecord {
            time_unix_nano: u64::MAX,
            severity_text: "warn".into(),
            body: Some(json!("text")),
            ..OtlpRecord::default()
        };
        let text = r#"{"time":"18446744073709551615","level":"warn","message":"text"}"#;
        assert_eq!(
            String::from_utf8(frame(record, &RecordContext::default())).unwrap(),
            text
        );
    }

    #[test]
    fn rejected_frames_count_against_the_byte_limit() {
        let context = RecordContext {
            resource: Map::from_iter([("a".to_owned(), json!("a".repeat(EVENT_BYTES_MAX)))]),
            scope: Map::new(),
        };
        let mut batcher = SourceBatcher::new(BodySender::sample());
        let mut rejected = RejectedRecords::default();
        let mut push = || push_record(OtlpRecord::default(), &context, &mut batcher, &mut rejected);
        let pushed = (0..1_000).take_while(|_| push().is_ok()).count();
        assert!((1..50).contains(&pushed), "{pushed}");
    }
}
