//! Decodes an OTLP request in protobuf record by record.
//!
//! Only one record at a time is in memory: an empty record has two bytes encoded, and hundreds
//! decoded.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde_json::{Map, Value};

use super::messages::{
    AnyKind, AnyValue, KeyValue, LogRecordMessage, ResourceMessage, ScopeMessage,
};
use super::record::{
    self, CONTEXT_BYTES_MAX, OtlpRecord, RECORD_BYTES_MAX, RecordContext, RejectedRecords,
};
use crate::bodies::BodyError;
use crate::collect::batcher::SourceBatcher;

// Field numbers of the messages that enclose a record.
const RESOURCE_LOGS: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPE_LOGS: u32 = 2;
const SCOPE: u32 = 1;
const LOG_RECORDS: u32 = 2;

/// Adds every record of a request as a frame.
pub(super) fn split_records(
    body: &[u8],
    batcher: &mut SourceBatcher,
) -> Result<RejectedRecords, BodyError> {
    let mut rejected = RejectedRecords::default();
    for resource_logs in LengthDelimitedFields::of(body, RESOURCE_LOGS) {
        let resource_logs = resource_logs?;
        let mut context = RecordContext::default();
        // A resource may follow its records, and may be split into several fields.
        let mut resource_bytes = 0;
        for resource in LengthDelimitedFields::of(resource_logs, RESOURCE) {
            let resource = check_size(resource?, &mut resource_bytes, "the resource")?;
            let resource = ResourceMessage::decode(resource).map_err(|error| malformed(&error))?;
            context.resource.extend(attributes(resource.attributes));
        }
        for scope_logs in LengthDelimitedFields::of(resource_logs, SCOPE_LOGS) {
            split_scope(scope_logs?, &mut context, batcher, &mut rejected)?;
        }
    }
    Ok(rejected)
}

fn split_scope(
    scope_logs: &[u8],
    context: &mut RecordContext,
    batcher: &mut SourceBatcher,
    rejected: &mut RejectedRecords,
) -> Result<(), BodyError> {
    context.scope = Map::new();
    let mut scope_bytes = 0;
    for scope in LengthDelimitedFields::of(scope_logs, SCOPE) {
        let scope = check_size(scope?, &mut scope_bytes, "the scope")?;
        let scope = ScopeMessage::decode(scope).map_err(|error| malformed(&error))?;
        for (name, text) in [("name", scope.name), ("version", scope.version)] {
            if !text.is_empty() {
                context.scope.insert(name.to_owned(), text.into());
            }
        }
        let attributes = attributes(scope.attributes);
        if !attributes.is_empty() {
            context
                .scope
                .insert("attributes".to_owned(), attributes.into());
        }
    }
    for bytes in LengthDelimitedFields::of(scope_logs, LOG_RECORDS) {
        let bytes = bytes?;
        if bytes.len() > RECORD_BYTES_MAX {
            rejected.push(batcher, "too_large", "it has more than 1 MiB")?;
            continue;
        }
        match LogRecordMessage::decode(bytes) {
            Ok(record) => record::push_record(from_message(record), context, batcher, rejected)?,
            Err(error) => rejected.push(batcher, "malformed", &error.to_string())?,
        }
    }
    Ok(())
}

/// Checks the size of a resource or scope; `total` counts the bytes of all of its fields.
fn check_size<'b>(field: &'b [u8], total: &mut usize, name: &str) -> Result<&'b [u8], BodyError> {
    *total = total.saturating_add(field.len());
    if *total <= CONTEXT_BYTES_MAX {
        return Ok(field);
    }
    let detail = format!("{name} has more than {CONTEXT_BYTES_MAX} bytes");
    Err(BodyError::TooMany(detail))
}

fn malformed(error: &dyn std::fmt::Display) -> BodyError {
    BodyError::Malformed(format!(
        "the body is not an ExportLogsServiceRequest: {error}"
    ))
}

/// The length-delimited fields of a message that have one field number.
struct LengthDelimitedFields<'b> {
    rest: &'b [u8],
    number: u32,
}

impl<'b> LengthDelimitedFields<'b> {
    fn of(message: &'b [u8], number: u32) -> Self {
        Self {
            rest: message,
            number,
        }
    }

    fn read(&mut self) -> Result<Option<&'b [u8]>, BodyError> {
        while !self.rest.is_empty() {
            let key = decode_key(&mut self.rest);
            let (tag, kind) = key.map_err(|error| malformed(&error))?;
            if kind != WireType::LengthDelimited {
                let skipped = skip_field(kind, tag, &mut self.rest, DecodeContext::default());
                skipped.map_err(|error| malformed(&error))?;
                continue;
            }
            let length = decode_varint(&mut self.rest).map_err(|error| malformed(&error))?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let parts = self.rest.split_at_checked(length);
            let (field, rest) = parts.ok_or_else(|| malformed(&"a message is truncated"))?;
            self.rest = rest;
            if tag == self.number {
                return Ok(Some(field));
            }
        }
        Ok(None)
    }
}

impl<'b> Iterator for LengthDelimitedFields<'b> {
    type Item = Result<&'b [u8], BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.rest = &[];
        }
        read.transpose()
    }
}

fn from_message(record: LogRecordMessage) -> OtlpRecord {
    OtlpRecord {
        time_unix_nano: record.time_unix_nano,
        observed_time_unix_nano: record.observed_time_unix_nano,
        severity_number: record.severity_number,
        severity_text: record.severity_text,
        body: record.body.map(any_value),
        attributes: attributes(record.attributes),
        flags: record.flags,
        trace_id: hexadecimal(&record.trace_id),
        span_id: hexadecimal(&record.span_id),
        event_name: record.event_name,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(pairs: Vec<KeyValue>) -> Map<String, Value> {
    let pairs = pairs.into_iter();
    pairs
        .map(|pair| (pair.key, pair.value.map_or(Value::Null, any_value)))
        .collect()
}

/// Converts a value. The library limits the depth: it decodes at most 100 nested messages.
fn any_value(value: AnyValue) -> Value {
    match value.value {
        None => Value::Null,
        Some(AnyKind::String(text)) => text.into(),
        Some(AnyKind::Bool(truth)) => truth.into(),
        Some(AnyKind::Int(number)) => number.into(),
        Some(AnyKind::Double(number)) => record::double(number),
        Some(AnyKind::Array(list)) => list.values.into_iter().map(any_value).collect(),
        Some(AnyKind::List(list)) => attributes(list.values).into(),
        Some(AnyKind::Bytes(bytes)) => STANDARD.encode(bytes).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::request::BodySender;

    fn message(field: u32, part: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        prost::encoding::encode_key(field, WireType::LengthDelimited, &mut out);
        prost::encoding::encode_varint(part.len() as u64, &mut out);
        out.extend_from_slice(part);
        out
    }

    /// Returns the number of rejected records.
    fn split(body: &[u8]) -> Result<i64, &'static str> {
        let mut batcher = SourceBatcher::new(BodySender::sample());
        let rejected = split_records(body, &mut batcher).map_err(|error| error.reason())?;
        Ok(rejected.records)
    }

    /// A request of empty records under a resource of `fields` fields, each `text` repeated.
    fn request(fields: usize, repeat: usize, text: &str, records: usize) -> Vec<u8> {
        let resource = |field: usize| {
            let value = Some(AnyKind::String(text.repeat(repeat)));
            let pair = KeyValue {
                key: format!("key-{field}"),
                value: Some(AnyValue { value }),
            };
            message(RESOURCE, &message(1, &pair.encode_to_vec()))
        };
        let mut logs: Vec<u8> = (0..fields).flat_map(resource).collect();
        let record = message(LOG_RECORDS, b"");
        logs.extend(message(SCOPE_LOGS, &record.repeat(records)));
        message(RESOURCE_LOGS, &logs)
    }

    #[test]
    fn limit_a_resource_that_is_split_into_fields() {
        assert_eq!(split(&request(2, 20_000, "a", 1)), Ok(0));
        assert_eq!(split(&request(2, 40_000, "a", 1)), Err("too_many"));
        assert_eq!(split(&request(1_000, 20_000, "a", 1)), Err("too_many"));
        // Control characters need six bytes in JSON, in each of 10,000 frames.
        assert_eq!(split(&request(1, 60_000, "\u{1}", 10_000)), Err("too_many"));
    }
}
