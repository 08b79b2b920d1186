//! Encodes the events of a story as frames: JSON text or agent events, with the same fields.

use weir_schema::{EventTime, Format, ReceiveTime};

use crate::clock::rfc3339;
use crate::story::{EventPayload, EventStep};
use crate::system::{EventDelivery, split_source};
use crate::variant::EventForm;

/// Builds the delivery of one occurrence of `step`, at `time`, in a chapter with this `end`.
pub(crate) fn build_delivery(
    step: &EventStep,
    time: EventTime,
    end: EventTime,
    form: EventForm,
) -> EventDelivery {
    let logsource = format!("product={}", split_source(&step.source).1);
    let (format, frame) = match (&step.payload, form) {
        (EventPayload::Raw(bytes), _) => (Format::Auto, bytes.clone()),
        (EventPayload::Fields { kind, fields }, EventForm::Raw) => {
            (Format::Json, json(time, kind, fields).into_bytes())
        }
        (EventPayload::Fields { kind, fields }, EventForm::Parsed) => {
            let fields: Vec<(&str, &str)> = fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let kind = Some(kind.as_str());
            let logsource = Some(logsource.as_str());
            let frame = weir_schema::agent::encode_event(time.0, kind, logsource, &fields, None);
            (Format::Agent, frame)
        }
    };
    let received = match step.payload {
        EventPayload::Fields { .. } => end,
        EventPayload::Raw(_) => time,
    };
    EventDelivery {
        label: step.label.clone(),
        source: step.source.clone(),
        time,
        received: ReceiveTime(received.0),
        payload: step.payload.clone(),
        format,
        logsource,
        frame,
    }
}

fn json(time: EventTime, kind: &str, fields: &[(String, String)]) -> String {
    let mut text = format!("{{\"time\":\"{}\",\"kind\":", rfc3339(time));
    json_text(&mut text, kind);
    for (name, value) in fields {
        text.push(',');
        json_text(&mut text, name);
        text.push(':');
        json_text(&mut text, value);
    }
    text.push('}');
    text
}

fn json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
