//! Decodes an OTLP request in JSON record by record, as `protobuf` does.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::record::{
    self, CONTEXT_BYTES_MAX, OtlpRecord, RECORD_BYTES_MAX, RecordContext, RejectedRecords,
};
use crate::bodies::BodyError;
use crate::collect::batcher::SourceBatcher;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRequest<'b> {
    #[serde(borrow, default)]
    resource_logs: Vec<&'b RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonResourceLogs<'b> {
    #[serde(borrow)]
    resource: Option<&'b RawValue>,
    #[serde(borrow, default)]
    scope_logs: Vec<&'b RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonScopeLogs<'b> {
    #[serde(borrow)]
    scope: Option<&'b RawValue>,
    #[serde(borrow, default)]
    log_records: Vec<&'b RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonScope {
    name: String,
    version: String,
    attributes: Vec<JsonAttribute>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonResource {
    attributes: Vec<JsonAttribute>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonAttribute {
    key: String,
    value: Value,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonLogRecord {
    /// Protobuf's JSON has 64-bit integers as texts; numbers are accepted too.
    time_unix_nano: Value,
    observed_time_unix_nano: Value,
    severity_number: Value,
    severity_text: String,
    body: Option<Value>,
    attributes: Vec<JsonAttribute>,
    flags: u32,
    trace_id: String,
    span_id: String,
    event_name: String,
}

/// Adds every record of a request as a frame.
pub(super) fn split_records(
    body: &[u8],
    batcher: &mut SourceBatcher,
) -> Result<RejectedRecords, BodyError> {
    let text = std::str::from_utf8(body).map_err(|error| malformed(&error))?;
    let request: JsonRequest<'_> = read(text)?;
    let mut rejected = RejectedRecords::default();
    for resource_logs in request.resource_logs {
        let logs: JsonResourceLogs<'_> = read(resource_logs.get())?;
        let mut context = RecordContext::default();
        if let Some(resource) = logs.resource {
            let resource: JsonResource = read(check_size(resource, "the resource")?)?;
            context.resource = attributes(resource.attributes);
        }
        for scope_logs in logs.scope_logs {
            let logs: JsonScopeLogs<'_> = read(scope_logs.get())?;
            context.scope = match logs.scope {
                Some(scope) => scope_json(read(check_size(scope, "the scope")?)?),
                None => Map::new(),
            };
            for record in logs.log_records {
                split_record(record, &context, batcher, &mut rejected)?;
            }
        }
    }
    Ok(rejected)
}

fn split_record(
    record: &RawValue,
    context: &RecordContext,
    batcher: &mut SourceBatcher,
    rejected: &mut RejectedRecords,
) -> Result<(), BodyError> {
    if record.get().len() > RECORD_BYTES_MAX {
        return rejected.push(batcher, "too_large", "it has more than 1 MiB");
    }
    match serde_json::from_str::<JsonLogRecord>(record.get()) {
        Ok(record) => record::push_record(from_json(record), context, batcher, rejected),
        Err(error) => rejected.push(batcher, "malformed", &error.to_string()),
    }
}

fn read<'b, T: Deserialize<'b>>(text: &'b str) -> Result<T, BodyError> {
    // The library would also accept a list of the members in their order.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(malformed(&"a message has to be an object"));
    }
    serde_json::from_str(text).map_err(|error| malformed(&error))
}

fn malformed(error: &dyn std::fmt::Display) -> BodyError {
    BodyError::Malformed(format!(
        "the body is not an ExportLogsServiceRequest: {error}"
    ))
}

fn check_size<'b>(value: &'b RawValue, name: &str) -> Result<&'b str, BodyError> {
    if value.get().len() <= CONTEXT_BYTES_MAX {
        return Ok(value.get());
    }
    let detail = format!("{name} has more than {CONTEXT_BYTES_MAX} bytes");
    Err(BodyError::TooMany(detail))
}

fn scope_json(scope: JsonScope) -> Map<String, Value> {
    let mut members = Map::new();
    for (name, text) in [("name", scope.name), ("version", scope.version)] {
        if !text.is_empty() {
            members.insert(name.to_owned(), text.into());
        }
    }
    let attributes = attributes(scope.attributes);
    if !attributes.is_empty() {
        members.insert("attributes".to_owned(), attributes.into());
    }
    members
}

fn from_json(record: JsonLogRecord) -> OtlpRecord {
    let number = |value: &Value| match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64(),
    };
    let severity = match &record.severity_number {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64(),
    };
    OtlpRecord {
        time_unix_nano: number(&record.time_unix_nano).unwrap_or(0),
        observed_time_unix_nano: number(&record.observed_time_unix_nano).unwrap_or(0),
        severity_number: severity
            .and_then(|number| number.try_into().ok())
            .unwrap_or(0),
        severity_text: record.severity_text,
        body: record.body.filter(|body| !body.is_null()).map(any_value),
        attributes: attributes(record.attributes),
        flags: record.flags,
        trace_id: record.trace_id.to_ascii_lowercase(),
        span_id: record.span_id.to_ascii_lowercase(),
        event_name: record.event_name,
    }
}

fn attributes(pairs: Vec<JsonAttribute>) -> Map<String, Value> {
    let pairs = pairs.into_iter();
    pairs
        .map(|pair| (pair.key, any_value(pair.value)))
        .collect()
}

/// Converts an `AnyValue`. Any other value stays as it is. The JSON library limits the depth.
fn any_value(value: Value) -> Value {
    let Value::Object(members) = value else {
        return value;
    };
    let Some((kind, value)) = members.into_iter().next() else {
        return Value::Null;
    };
    match (kind.as_str(), value) {
        ("intValue", Value::String(text)) => match text.parse::<i64>() {
            Ok(number) => number.into(),
            Err(_) => text.into(),
        },
        ("arrayValue", Value::Object(mut list)) => match list.remove("values") {
            Some(Value::Array(values)) => values.into_iter().map(any_value).collect(),
            _ => Value::Array(Vec::new()),
        },
        ("kvlistValue", Value::Object(mut list)) => {
            let pairs = list.remove("values").unwrap_or_default();
            let pairs = serde_json::from_value::<Vec<JsonAttribute>>(pairs).unwrap_or_default();
            attributes(pairs).into()
        }
        (_, value) => value,
    }
}
