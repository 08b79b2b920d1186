//! Cuts a body of the HTTP Event Collector: one JSON envelope after another, or lines.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use weir_schema::Format;

use super::Code;
use crate::collect::sorter::{EVENT_BYTES_MAX, Sorter, source_name};
use crate::collect::{Refusal, lines_of};

/// The source of events that name none.
const SOURCE: &str = "hec";

/// The first event that is not as it should be, counted from 0. Those before it are taken in, as
/// Splunk does; it and those behind it are not.
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) number: usize,
}

/// As much of an envelope as decides on taking it in. What else stands there stays in the frame.
#[derive(Deserialize)]
struct Envelope<'e> {
    #[serde(borrow)]
    event: Option<&'e RawValue>,
    #[serde(borrow)]
    fields: Option<&'e RawValue>,
    #[serde(borrow)]
    source: Option<Text<'e>>,
}

/// A text that is borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'e>(#[serde(borrow)] Cow<'e, str>);

/// Takes every envelope as a frame, byte for byte.
pub(super) fn events(body: &[u8], sorter: &mut Sorter) -> Result<Option<Fault>, Refusal> {
    let mut envelopes = serde_json::Deserializer::from_slice(body).into_iter::<Envelope<'_>>();
    let mut from = 0;
    let mut number = 0;
    while let Some(envelope) = envelopes.next() {
        let to = envelopes.byte_offset();
        let frame = body.get(from..to).unwrap_or_default().trim_ascii();
        let fault = match envelope {
            Err(_) => Some((Code::InvalidFormat, "malformed")),
            // The library would read a list as the members in their order.
            Ok(_) if !frame.starts_with(b"{") => Some((Code::InvalidFormat, "malformed")),
            Ok(_) if frame.len() > EVENT_BYTES_MAX => Some((Code::InvalidFormat, "too_large")),
            Ok(envelope) => match judge(&envelope) {
                Some(code) => Some((code, "malformed")),
                None => {
                    let source = envelope.source.map_or(Cow::Borrowed(SOURCE), |text| text.0);
                    let source = source_name(&source, SOURCE);
                    sorter.push(&source, Format::Json, frame.to_vec())?;
                    None
                }
            },
        };
        if let Some((code, reason)) = fault {
            sorter.refuse(reason)?;
            return Ok(Some(Fault { code, number }));
        }
        (from, number) = (to, number + 1);
    }
    Ok(None)
}

fn judge(envelope: &Envelope<'_>) -> Option<Code> {
    let fields = envelope.fields.map(RawValue::get);
    match envelope.event.map(RawValue::get) {
        None => Some(Code::EventRequired),
        Some("\"\"") => Some(Code::EventBlank),
        Some(_) if fields.is_some_and(|fields| !fields.starts_with('{')) => {
            Some(Code::IndexedFields)
        }
        Some(_) => None,
    }
}

/// What a request says of its raw lines.
#[derive(Debug, Default)]
pub(super) struct Line {
    members: Map<String, Value>,
}

impl Line {
    pub(super) fn of(parameter: impl Fn(&str) -> Option<String>) -> Self {
        let mut members = Map::new();
        for name in ["time", "host", "sourcetype", "index"] {
            if let Some(value) = parameter(name) {
                members.insert(name.to_owned(), value.into());
            }
        }
        Self { members }
    }

    /// The line as it is; in an envelope where the request says more of it than its source. A line
    /// that is no text fits into none.
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

/// Takes every line as a frame; blank ones say nothing.
pub(super) fn lines(
    body: &[u8],
    about: &Line,
    sorter: &mut Sorter,
) -> Result<Option<Fault>, Refusal> {
    for line in lines_of(body) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (format, frame) = about.frame(line);
        if frame.len() > EVENT_BYTES_MAX {
            let number = sorter.received();
            sorter.refuse("too_large")?;
            let code = Code::InvalidFormat;
            return Ok(Some(Fault { code, number }));
        }
        sorter.push(SOURCE, format, frame)?;
    }
    Ok(None)
}
