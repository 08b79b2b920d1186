//! Walks an OTLP request in protobuf record by record, so that no more than one record is unpacked
//! at a time: of its two bytes an empty record makes hundreds in memory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde_json::{Map, Value};

use super::messages::{AnyKind, AnyValue, KeyValue, LogRecord, Resource, Scope};
use super::record::{self, RECORD_BYTES_MAX, Record, Rejected, SHARED_BYTES_MAX, Shared};
use crate::collect::Refusal;
use crate::collect::sorter::Sorter;

/// The fields of the messages on the way to a record.
const RESOURCE_LOGS: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPE_LOGS: u32 = 2;
const SCOPE: u32 = 1;
const LOG_RECORDS: u32 = 2;

/// Takes every record of a request.
pub(super) fn cut(body: &[u8], sorter: &mut Sorter) -> Result<Rejected, Refusal> {
    let mut rejected = Rejected::default();
    for resource_logs in Parts::of(body, RESOURCE_LOGS) {
        let resource_logs = resource_logs?;
        let mut shared = Shared::default();
        // A resource may stand behind its records, and in pieces, which are one.
        let mut taken = 0;
        for resource in Parts::of(resource_logs, RESOURCE) {
            let resource = small(resource?, &mut taken, "a resource")?;
            let resource = Resource::decode(resource).map_err(|error| malformed(&error))?;
            shared.resource.extend(attributes(resource.attributes));
        }
        for scope_logs in Parts::of(resource_logs, SCOPE_LOGS) {
            cut_scope(scope_logs?, &mut shared, sorter, &mut rejected)?;
        }
    }
    Ok(rejected)
}

fn cut_scope(
    scope_logs: &[u8],
    shared: &mut Shared,
    sorter: &mut Sorter,
    rejected: &mut Rejected,
) -> Result<(), Refusal> {
    shared.scope = Map::new();
    let mut taken = 0;
    for scope in Parts::of(scope_logs, SCOPE) {
        let scope = small(scope?, &mut taken, "a scope")?;
        let scope = Scope::decode(scope).map_err(|error| malformed(&error))?;
        for (name, text) in [("name", scope.name), ("version", scope.version)] {
            if !text.is_empty() {
                shared.scope.insert(name.to_owned(), text.into());
            }
        }
        let attributes = attributes(scope.attributes);
        if !attributes.is_empty() {
            shared
                .scope
                .insert("attributes".to_owned(), attributes.into());
        }
    }
    for bytes in Parts::of(scope_logs, LOG_RECORDS) {
        let bytes = bytes?;
        if bytes.len() > RECORD_BYTES_MAX {
            rejected.push(sorter, "too_large", "it has more than 1 MiB")?;
            continue;
        }
        match LogRecord::decode(bytes) {
            Ok(record) => record::take(of_message(record), shared, sorter, rejected)?,
            Err(error) => rejected.push(sorter, "malformed", &error.to_string())?,
        }
    }
    Ok(())
}

/// A piece of what many records share, of which `taken` bytes came before.
fn small<'b>(bytes: &'b [u8], taken: &mut usize, what: &str) -> Result<&'b [u8], Refusal> {
    *taken = taken.saturating_add(bytes.len());
    if *taken <= SHARED_BYTES_MAX {
        return Ok(bytes);
    }
    let told = format!("{what} here has at most {SHARED_BYTES_MAX} bytes");
    Err(Refusal::TooMany(told))
}

fn malformed(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::Malformed(format!("the body is no ExportLogsServiceRequest: {error}"))
}

/// The parts of a message that stand under one field number.
struct Parts<'b> {
    rest: &'b [u8],
    wanted: u32,
}

impl<'b> Parts<'b> {
    fn of(message: &'b [u8], wanted: u32) -> Self {
        Self {
            rest: message,
            wanted,
        }
    }

    fn read(&mut self) -> Result<Option<&'b [u8]>, Refusal> {
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
            let (part, rest) = parts.ok_or_else(|| malformed(&"a message is cut off"))?;
            self.rest = rest;
            if tag == self.wanted {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }
}

impl<'b> Iterator for Parts<'b> {
    type Item = Result<&'b [u8], Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.rest = &[];
        }
        read.transpose()
    }
}

fn of_message(record: LogRecord) -> Record {
    Record {
        time_unix_nano: record.time_unix_nano,
        observed_time_unix_nano: record.observed_time_unix_nano,
        severity_number: record.severity_number,
        severity_text: record.severity_text,
        body: record.body.map(any),
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
        .map(|pair| (pair.key, pair.value.map_or(Value::Null, any)))
        .collect()
}

/// No deeper than the library decodes: a hundred messages in each other.
fn any(value: AnyValue) -> Value {
    match value.value {
        None => Value::Null,
        Some(AnyKind::String(text)) => text.into(),
        Some(AnyKind::Bool(truth)) => truth.into(),
        Some(AnyKind::Int(number)) => number.into(),
        Some(AnyKind::Double(number)) => record::double(number),
        Some(AnyKind::Array(list)) => list.values.into_iter().map(any).collect(),
        Some(AnyKind::List(list)) => attributes(list.values).into(),
        Some(AnyKind::Bytes(bytes)) => STANDARD.encode(bytes).into(),
    }
}

#[cfg(test)]
mod tests {
    use weir_schema::ReceiveTime;

    use super::*;
    use crate::collect::sorter::Sender;

    fn message(field: u32, part: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        prost::encoding::encode_key(field, WireType::LengthDelimited, &mut out);
        prost::encoding::encode_varint(part.len() as u64, &mut out);
        out.extend_from_slice(part);
        out
    }

    fn cut_for(body: &[u8]) -> Result<i64, &'static str> {
        let mut sorter = Sorter::new(Sender {
            tenant: "default".to_owned(),
            peer: None,
            received: ReceiveTime(0),
            source: None,
            key: None,
        });
        let rejected = cut(body, &mut sorter).map_err(|refusal| refusal.reason())?;
        Ok(rejected.records)
    }

    /// Attributes of `pieces` resources, each with a text of `length`; and so many empty records.
    fn request(pieces: usize, length: usize, text: &str, records: usize) -> Vec<u8> {
        let resource = |piece: usize| {
            let value = Some(AnyKind::String(text.repeat(length)));
            let pair = KeyValue {
                key: format!("key-{piece}"),
                value: Some(AnyValue { value }),
            };
            message(RESOURCE, &message(1, &pair.encode_to_vec()))
        };
        let mut logs: Vec<u8> = (0..pieces).flat_map(resource).collect();
        let record = message(LOG_RECORDS, b"");
        logs.extend(message(SCOPE_LOGS, &record.repeat(records)));
        message(RESOURCE_LOGS, &logs)
    }

    #[test]
    fn what_all_records_share_is_small_in_however_many_pieces_it_comes() {
        assert_eq!(cut_for(&request(2, 20_000, "a", 1)), Ok(0));
        assert_eq!(cut_for(&request(2, 40_000, "a", 1)), Err("too_many"));
        assert_eq!(cut_for(&request(1_000, 20_000, "a", 1)), Err("too_many"));
        // Each of these would be written, and each costs.
        assert_eq!(
            cut_for(&request(1, 60_000, "\u{1}", 10_000)),
            Err("too_many")
        );
    }
}
