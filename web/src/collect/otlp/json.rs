//! Walks an OTLP request in JSON record by record, as its protobuf is walked.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::record::{self, RECORD_BYTES_MAX, Record, Rejected, SHARED_BYTES_MAX, Shared};
use crate::collect::Refusal;
use crate::collect::sorter::Sorter;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'b> {
    #[serde(borrow, default)]
    resource_logs: Vec<&'b RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'b> {
    #[serde(borrow)]
    resource: Option<&'b RawValue>,
    #[serde(borrow, default)]
    scope_logs: Vec<&'b RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'b> {
    #[serde(borrow)]
    scope: Option<&'b RawValue>,
    #[serde(borrow, default)]
    log_records: Vec<&'b RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Scope {
    name: String,
    version: String,
    attributes: Vec<Pair>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    attributes: Vec<Pair>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pair {
    key: String,
    value: Value,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LogRecord {
    /// Integers of 64 bits are texts in protobuf's JSON; numbers are read too.
    time_unix_nano: Value,
    observed_time_unix_nano: Value,
    severity_number: Value,
    severity_text: String,
    body: Option<Value>,
    attributes: Vec<Pair>,
    flags: u32,
    trace_id: String,
    span_id: String,
    event_name: String,
}

/// Takes every record of a request.
pub(super) fn cut(body: &[u8], sorter: &mut Sorter) -> Result<Rejected, Refusal> {
    let text = std::str::from_utf8(body).map_err(|error| malformed(&error))?;
    let request: Request<'_> = read(text)?;
    let mut rejected = Rejected::default();
    for resource_logs in request.resource_logs {
        let logs: ResourceLogs<'_> = read(resource_logs.get())?;
        let mut shared = Shared::default();
        if let Some(resource) = logs.resource {
            let resource: Resource = read(small(resource, "a resource")?)?;
            shared.resource = attributes(resource.attributes);
        }
        for scope_logs in logs.scope_logs {
            let logs: ScopeLogs<'_> = read(scope_logs.get())?;
            shared.scope = match logs.scope {
                Some(scope) => members(read(small(scope, "a scope")?)?),
                None => Map::new(),
            };
            for record in logs.log_records {
                cut_record(record, &shared, sorter, &mut rejected)?;
            }
        }
    }
    Ok(rejected)
}

fn cut_record(
    record: &RawValue,
    shared: &Shared,
    sorter: &mut Sorter,
    rejected: &mut Rejected,
) -> Result<(), Refusal> {
    if record.get().len() > RECORD_BYTES_MAX {
        return rejected.push(sorter, "too_large", "it has more than 1 MiB");
    }
    match serde_json::from_str::<LogRecord>(record.get()) {
        Ok(record) => record::take(of_json(record), shared, sorter, rejected),
        Err(error) => rejected.push(sorter, "malformed", &error.to_string()),
    }
}

fn read<'b, T: Deserialize<'b>>(text: &'b str) -> Result<T, Refusal> {
    // The library would read a list as the members in their order.
    if !text.trim_ascii_start().starts_with('{') {
        return Err(malformed(&"a message is an object"));
    }
    serde_json::from_str(text).map_err(|error| malformed(&error))
}

fn malformed(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::Malformed(format!("the body is no ExportLogsServiceRequest: {error}"))
}

fn small<'b>(value: &'b RawValue, what: &str) -> Result<&'b str, Refusal> {
    if value.get().len() <= SHARED_BYTES_MAX {
        return Ok(value.get());
    }
    let told = format!("{what} here has at most {SHARED_BYTES_MAX} bytes");
    Err(Refusal::TooMany(told))
}

fn members(scope: Scope) -> Map<String, Value> {
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

fn of_json(record: LogRecord) -> Record {
    let number = |value: &Value| match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64(),
    };
    let severity = match &record.severity_number {
        Value::String(text) => text.parse().ok(),
        value => value.as_i64(),
    };
    Record {
        time_unix_nano: number(&record.time_unix_nano).unwrap_or(0),
        observed_time_unix_nano: number(&record.observed_time_unix_nano).unwrap_or(0),
        severity_number: severity
            .and_then(|number| number.try_into().ok())
            .unwrap_or(0),
        severity_text: record.severity_text,
        body: record.body.filter(|body| !body.is_null()).map(any),
        attributes: attributes(record.attributes),
        flags: record.flags,
        trace_id: record.trace_id.to_ascii_lowercase(),
        span_id: record.span_id.to_ascii_lowercase(),
        event_name: record.event_name,
    }
}

fn attributes(pairs: Vec<Pair>) -> Map<String, Value> {
    let pairs = pairs.into_iter();
    pairs.map(|pair| (pair.key, any(pair.value))).collect()
}

/// What an `AnyValue` holds; no deeper than the JSON library reads. What is none stays as it is.
fn any(value: Value) -> Value {
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
            Some(Value::Array(values)) => values.into_iter().map(any).collect(),
            _ => Value::Array(Vec::new()),
        },
        ("kvlistValue", Value::Object(mut list)) => {
            let pairs = list.remove("values").unwrap_or_default();
            let pairs = serde_json::from_value::<Vec<Pair>>(pairs).unwrap_or_default();
            attributes(pairs).into()
        }
        (_, value) => value,
    }
}
