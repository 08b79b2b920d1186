//! Splits bodies of the HTTP Event Collector: concatenated JSON envelopes, or raw lines.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use weir_schema::Format;

use super::HecCode;
use crate::bodies::{BodyError, split_lines};
use crate::collect::batcher::{EVENT_BYTES_MAX, SourceBatcher};
use crate::collect::request::source_name;

/// The source of events that name no source.
const SOURCE: &str = "hec";

/// The first invalid event of a body.
///
/// As in Splunk, the events before it are accepted; it and all later ones are refused.
pub(super) struct EnvelopeError {
    pub(super) code: HecCode,
    /// Place of the event in the body, from 0.
    pub(super) number: usize,
}

/// The members of an envelope that decide whether it is accepted. All others stay in the frame.
#[derive(Deserialize)]
struct Envelope<'e> {
    #[serde(borrow)]
    event: Option<&'e RawValue>,
    #[serde(borrow)]
    fields: Option<&'e RawValue>,
    #[serde(borrow)]
    source: Option<Text<'e>>,
}

/// A text that is borrowed unless it has escapes.
#[derive(Deserialize)]
struct Text<'e>(#[serde(borrow)] Cow<'e, str>);

/// Adds every envelope as a frame, byte for byte.
pub(super) fn split_envelopes(
    body: &[u8],
    batcher: &mut SourceBatcher,
) -> Result<Option<EnvelopeError>, BodyError> {
    let mut envelopes = serde_json::Deserializer::from_slice(body).into_iter::<Envelope<'_>>();
    let mut from = 0;
    let mut number = 0;
    while let Some(envelope) = envelopes.next() {
        let to = envelopes.byte_offset();
        let frame = body.get(from..to).unwrap_or_default().trim_ascii();
        let error = match envelope {
            Err(_) => Some((HecCode::InvalidFormat, "malformed")),
            // The library would also accept a list of the members in their order.
            Ok(_) if !frame.starts_with(b"{") => Some((HecCode::InvalidFormat, "malformed")),
            Ok(_) if frame.len() > EVENT_BYTES_MAX => Some((HecCode::InvalidFormat, "too_large")),
            Ok(envelope) => match check(&envelope) {
                Some(code) => Some((code, "malformed")),
                None => {
                    let source = envelope.source.map_or(Cow::Borrowed(SOURCE), |text| text.0);
                    let source = source_name(&source, SOURCE);
                    batcher.push(&source, Format::Json, frame.to_vec())?;
                    None
                }
            },
        };
        if let Some((code, reason)) = error {
            batcher.refuse(reason)?;
            return Ok(Some(EnvelopeError { code, number }));
        }
        (from, number) = (to, number + 1);
    }
    Ok(None)
}

/// Returns the answer to an invalid envelope; `None` if it is valid.
fn check(envelope: &Envelope<'_>) -> Option<HecCode> {
    let fields = envelope.fields.map(RawValue::get);
    match envelope.event.map(RawValue::get) {
        None => Some(HecCode::EventRequired),
        Some("\"\"") => Some(HecCode::EventBlank),
        Some(_) if fields.is_some_and(|fields| !fields.starts_with('{')) => {
            Some(HecCode::IndexedFields)
        }
        Some(_) => None,
    }
}

/// Fields that a request sets for all of its raw lines.
#[derive(Debug, Default)]
pub(super) struct LineFields {
    members: Map<String, Value>,
}

impl LineFields {
    /// Reads the fields from the request's parameters.
    pub(super) fn read(parameter: impl Fn(&str) -> Option<String>) -> Self {
        let mut members = Map::new();
        for name in ["time", "host", "sourcetype", "index"] {
            if let Some(value) = parameter(name) {
                members.insert(name.to_owned(), value.into());
            }
        }
        Self { members }
    }

    /// Makes the frame of a line: an envelope if there are fields, else the line itself.
    ///
    /// A line that is not UTF-8 fits into no envelope and stays as it is.
    fn frame(&self, line: &[u8]) -> (Format, Vec<u8>) {
        match std::str::from_utf8(line) {
            Ok(text) if !self.members.is_empty() => {
                let mut envelope = self.members.clone();
                envelope.insert("event".to_owned(), text.into());
                (
                    Format::Json,
                    Value::Object(envelope).to_string().into_bytes(),
                )
            }
            _ => (Format::Auto, line.to_vec()),
        }
    }
}

/// Adds every line as a frame and skips blank lines.
pub(super) fn split_raw_lines(
    body: &[u8],
    fields: &LineFields,
    batcher: &mut SourceBatcher,
) -> Result<Option<EnvelopeError>, BodyError> {
    for line in split_lines(body) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (format, frame) = fields.frame(line);
        if frame.len() > EVENT_BYTES_MAX {
            let number = batcher.received();
            batcher.refuse("too_large")?;
            let code = HecCode::InvalidFormat;
            return Ok(Some(EnvelopeError { code, number }));
        }
        batcher.push(SOURCE, format, frame)?;
    }
    Ok(None)
}
