//! Any body is refused, or gives batches of frames within the limits, each of which is an event.

use weir_parse::{Context, Zone};
use weir_schema::{Batch, ReceiveTime, Span};
use weir_web::door::{self, Body};

use crate::damage;

/// Longest frame that the journal takes.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// Longest body, unpacked.
const BODY_BYTES_MAX: usize = 16 << 20;

const CODINGS: [&str; 3] = ["gzip", "deflate", "zstd"];

const BODIES: [Body; 8] = [
    Body::HecEvents,
    Body::HecLines,
    Body::Bulk,
    Body::OtlpProtobuf,
    Body::OtlpJson,
    Body::Journald,
    Body::JsonLines,
    Body::SyslogLines,
];

/// The first byte says what the body is, the second how it comes in pieces where it is packed.
///
/// # Panics
/// Where what is said above does not hold.
pub fn holds(bytes: &[u8]) {
    let [way, length, rest @ ..] = bytes else {
        return;
    };
    match usize::from(*way) % (BODIES.len() + CODINGS.len()) {
        body if body < BODIES.len() => taken(BODIES[body], rest),
        coding => unpacked(CODINGS[coding - BODIES.len()], *length, rest),
    }
}

fn unpacked(coding: &str, length: u8, bytes: &[u8]) {
    let whole = door::unpack(coding, &[bytes]);
    if let Ok(body) = &whole {
        assert!(body.len() <= BODY_BYTES_MAX, "{} bytes", body.len());
    }
    assert_eq!(
        whole.is_ok(),
        door::unpack(coding, &damage::pieces(bytes, length)).is_ok()
    );
}

fn taken(body: Body, bytes: &[u8]) {
    let batches = door::cut(body, bytes);
    assert_eq!(batches, door::cut(body, bytes), "twice");
    for batch in batches.unwrap_or_default() {
        read(&batch);
    }
}

fn read(batch: &Batch) {
    assert!(!batch.frames.is_empty() && !batch.source.is_empty());
    let context = Context {
        format: batch.format,
        received: ReceiveTime(1_790_000_000_000_000_000),
        zone: Zone::UTC,
        logsource: None,
        time_field: None,
        future_tolerance: Span::seconds(300),
    };
    for frame in &batch.frames {
        assert!(frame.len() <= FRAME_BYTES_MAX, "{} bytes", frame.len());
        let event = weir_parse::decode(frame, &context);
        assert_eq!(event, weir_parse::decode(frame, &context), "twice");
    }
}
