//! Encodes one event as an agent reports it.

use flatbuffers::FlatBufferBuilder;
use weir_schema::agent::{AgentEvent, AgentEventArgs, Field, FieldArgs};

/// The bytes of a finished `AgentEvent`. `time_ns`: nanoseconds since 1970, 0 where it is to be
/// read from `raw`; `kind`: what the event is, e.g. `process_creation`; `logsource`:
/// `category=C,product=P,service=S`; `raw`: the line it was read from.
#[must_use]
pub fn encode_event(
    time_ns: i64,
    kind: Option<&str>,
    logsource: Option<&str>,
    fields: &[(&str, &str)],
    raw: Option<&str>,
) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| {
            let name = Some(builder.create_string(name));
            let value = Some(builder.create_string(value));
            Field::create(&mut builder, &FieldArgs { name, value })
        })
        .collect();
    let args = AgentEventArgs {
        time_ns,
        kind: kind.map(|kind| builder.create_string(kind)),
        logsource: logsource.map(|logsource| builder.create_string(logsource)),
        fields: (!fields.is_empty()).then(|| builder.create_vector(&fields)),
        raw: raw.map(|raw| builder.create_string(raw)),
    };
    let event = AgentEvent::create(&mut builder, &args);
    builder.finish(event, None);
    builder.finished_data().to_vec()
}

#[cfg(test)]
mod tests {
    use super::encode_event;

    #[test]
    fn what_is_encoded_is_read_back() {
        let fields = [("User", "root"), ("Image", "/bin/sh")];
        let bytes = encode_event(7, Some("process_creation"), None, &fields, Some("line"));
        let event = weir_schema::agent::event(&bytes).unwrap();
        let read: Vec<_> = event
            .fields()
            .unwrap()
            .iter()
            .map(|f| (f.name(), f.value()))
            .collect();
        assert_eq!(read, fields);
        let found = (
            event.time_ns(),
            event.kind(),
            event.logsource(),
            event.raw(),
        );
        assert_eq!(found, (7, Some("process_creation"), None, Some("line")));
    }
}
