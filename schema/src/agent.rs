//! The agent protocol's messages: generated FlatBuffers accessors, always behind the verifier.
//!
//! Regenerate with `schema/generate.sh` after an edit of `schema/agent.fbs`.

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

/// Reads a message; the verifier has checked every offset in it.
pub fn decode_message(bytes: &[u8]) -> Result<Message<'_>, flatbuffers::InvalidFlatbuffer> {
    flatbuffers::root::<Message<'_>>(bytes)
}

/// Reads one event; the verifier has checked every offset in it.
pub fn decode_event(bytes: &[u8]) -> Result<AgentEvent<'_>, flatbuffers::InvalidFlatbuffer> {
    flatbuffers::root::<AgentEvent<'_>>(bytes)
}

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

/// First word of a refusal's reason, followed by a colon: what the agent can do about it.
pub mod refusal {
    /// The token is not accepted: trying again is of no use.
    pub const UNAUTHORIZED: &str = "unauthorized";
    /// The message is not of the protocol: trying again is of no use.
    pub const PROTOCOL: &str = "protocol";
    /// Events are missing before the batch: connect again and go on from the acknowledgement.
    pub const GAP: &str = "gap";
    /// Nothing can be made durable now: connect again later.
    pub const UNAVAILABLE: &str = "unavailable";
}

/// A finished `Hello`, with its length prefix.
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

/// A finished `EventBatch` of finished `AgentEvent` buffers, with its length prefix.
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

/// A finished `Ack`, with its length prefix.
#[must_use]
pub fn encode_ack(next_sequence: u64) -> Vec<u8> {
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let body = Ack::create(&mut builder, &AckArgs { next_sequence }).as_union_value();
    finish(builder, Body::Ack, body)
}

/// A finished `Refusal`, with its length prefix; `code` is one of [`refusal`].
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
    // Not `finish_size_prefixed`: offsets are then aligned with the prefix, not without it.
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
    fn a_message_is_its_length_and_what_the_verifier_accepts() {
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
    fn what_is_encoded_is_read_back() {
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
