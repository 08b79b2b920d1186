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
pub fn message(bytes: &[u8]) -> Result<Message<'_>, flatbuffers::InvalidFlatbuffer> {
    flatbuffers::root::<Message<'_>>(bytes)
}

/// Reads one event; the verifier has checked every offset in it.
pub fn event(bytes: &[u8]) -> Result<AgentEvent<'_>, flatbuffers::InvalidFlatbuffer> {
    flatbuffers::root::<AgentEvent<'_>>(bytes)
}
