//! Messages of the agent protocol: generated FlatBuffers accessors, used only after verification.
//!
//! Run `schema/generate.sh` after an edit of `schema/agent.fbs`.

#[allow(
    unsafe_code,
    unused,
    deprecated,
    mismatched_lifetime_syntaxes,
    unsafe_op_in_unsafe_fn,
    clippy::all
)]
#[rustfmt::skip]
#[path = "generated/agent.rs"]
mod generated;

pub use generated::weir::agent::*;

/// Largest message that either side sends or accepts, without its length prefix.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Most events of one batch.
pub const BATCH_EVENTS_MAX: usize = 10_000;

/// Verifies and decodes a message.
pub fn decode_message(bytes: &[u8]) -> Result<Message<'_>, flatbuffers::InvalidFlatbuffer> {
    flatbuffers::root::<Message<'_>>(bytes)
}

/// Verifies and decodes one event.
pub fn decode_event(bytes: &[u8]) -> Result<AgentEvent<'_>, flatbuffers::InvalidFlatbuffer> {
    flatbuffers::root::<AgentEvent<'_>>(bytes)
}

/// Encodes an `AgentEvent`.
///
/// `time_ns`: nanoseconds since 1970, or 0 to read the time from `raw`. `kind`: the kind of event,
/// e.g. `process_creation`. `logsource`: `category=C,product=P,service=S`. `raw`: the line from
/// which the event was read.
#[must_use]
pub fn encode_event(
    time_ns: i64,
    kind: Option<&str>,
    logsource: Option<&str>,
    fields: &[(&str, &str)],
    raw: Option<&str>,
) -> Vec<u8> {
    let mut builder = flatbuffers::FlatBufferBuilder::new();
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
        kind: kind.map(|text| builder.create_string(text)),
        logsource: logsource.map(|text| builder.create_string(text)),
        fields: (!fields.is_empty()).then(|| builder.create_vector(&fields)),
        raw: raw.map(|text| builder.create_string(text)),
    };
    let event = AgentEvent::create(&mut builder, &args);
    builder.finish(event, None);
    builder.finished_data().to_vec()
}

/// Codes of refusals. A refusal's reason starts with a code and a colon.
pub mod refusal {
    /// The token is not accepted. Do not retry.
    pub const UNAUTHORIZED: &str = "unauthorized";
    /// The message violates the protocol. Do not retry.
    pub const PROTOCOL: &str = "protocol";
    /// Events before the batch are missing. Reconnect and continue from the acknowledgement.
    pub const GAP: &str = "gap";
    /// Weir cannot make events durable at the moment. Reconnect later.
    pub const UNAVAILABLE: &str = "unavailable";
}

/// Encodes a `Hello`, with its length prefix.
#[must_use]
pub fn encode_hello(agent: &str, spool: u64, token: &str) -> Vec<u8> {
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let agent = Some(builder.create_string(agent));
    let token = Some(builder.create_string(token));
    let args = HelloArgs {
        agent,
        spool,
        token,
    };
    let body = Hello::create(&mut builder, &args).as_union_value();
    finish(builder, Body::Hello, body)
}

/// Encodes an `EventBatch` of encoded `AgentEvent`s, with its length prefix.
#[must_use]
pub fn encode_batch<E: AsRef<[u8]>>(first_sequence: u64, events: &[E]) -> Vec<u8> {
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let payloads: Vec<_> = events
        .iter()
        .map(|event| {
            let event = Some(builder.create_vector(event.as_ref()));
            Payload::create(&mut builder, &PayloadArgs { event })
        })
        .collect();
    let events = Some(builder.create_vector(&payloads));
    let args = EventBatchArgs {
        first_sequence,
        events,
    };
    let body = EventBatch::create(&mut builder, &args).as_union_value();
    finish(builder, Body::EventBatch, body)
}

/// Encodes an `Ack`, with its length prefix.
#[must_use]
pub fn encode_ack(next_sequence: u64) -> Vec<u8> {
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let body = Ack::create(&mut builder, &AckArgs { next_sequence }).as_union_value();
    finish(builder, Body::Ack, body)
}

/// Encodes a `Refusal`, with its length prefix. `code` is one of [`refusal`].
#[must_use]
pub fn encode_refusal(code: &str, hint: &str) -> Vec<u8> {
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let reason = Some(builder.create_string(&format!("{code}: {hint}")));
    let body = Refusal::create(&mut builder, &RefusalArgs { reason }).as_union_value();
    finish(builder, Body::Refusal, body)
}

fn finish(
    mut builder: flatbuffers::FlatBufferBuilder<'_>,
    body_type: Body,
    body: flatbuffers::WIPOffset<flatbuffers::UnionWIPOffset>,
) -> Vec<u8> {
    let args = MessageArgs {
        body_type,
        body: Some(body),
    };
    let message = Message::create(&mut builder, &args);
    builder.finish(message, None);
    // `finish_size_prefixed` would align offsets from the prefix, but readers strip the prefix.
    let data = builder.finished_data();
    let mut bytes = Vec::with_capacity(4 + data.len());
    bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(data);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_has_length_prefix_and_verifies() {
        let bytes = encode_batch(7, &[b"one".as_slice(), b"", b"three"]);
        let (length, body) = bytes.split_at(4);
        let length: [u8; 4] = length.try_into().expect("split at four");
        assert_eq!(u32::from_le_bytes(length) as usize, body.len());
        let message = decode_message(body).expect("it was just encoded");
        let batch = message.body_as_event_batch().expect("a batch");
        assert_eq!(batch.first_sequence(), 7);
        let events: Vec<&[u8]> = batch.events().iter().map(|p| p.event().bytes()).collect();
        assert_eq!(events, [b"one".as_slice(), b"", b"three"]);
    }

    #[test]
    fn event_round_trips() {
        let fields = [("User", "root"), ("Image", "/bin/sh")];
        let bytes = encode_event(7, Some("process_creation"), None, &fields, Some("line"));
        let event = super::decode_event(&bytes).unwrap();
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
