//! Checks that any body is refused or becomes batches of decodable frames within the limits.

use weir_parse::{Context, Zone};
use weir_schema::{Batch, ReceiveTime, Span};
use weir_web::fuzz::{self, BodyKind};

use crate::damage;

/// Longest frame that the journal accepts.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// Longest decompressed body.
const BODY_BYTES_MAX: usize = 16 << 20;

const CODINGS: [&str; 3] = ["gzip", "deflate", "zstd"];

const BODIES: [BodyKind; 8] = [
    BodyKind::HecEvents,
    BodyKind::HecLines,
    BodyKind::Bulk,
    BodyKind::OtlpProtobuf,
    BodyKind::OtlpJson,
    BodyKind::Journald,
    BodyKind::JsonLines,
    BodyKind::SyslogLines,
];

/// Checks one input. The first byte selects the type of the body, the second the size of the pieces in
/// which a compressed body arrives.
///
/// # Panics
/// If the property of this module is violated.
pub fn check(bytes: &[u8]) {
    let [kind, length, rest @ ..] = bytes else {
        return;
    };
    match usize::from(*kind) % (BODIES.len() + CODINGS.len()) {
        body if body < BODIES.len() => accepted_body(BODIES[body], rest),
        coding => compressed_body(CODINGS[coding - BODIES.len()], *length, rest),
    }
}

fn compressed_body(coding: &str, length: u8, bytes: &[u8]) {
    let whole = fuzz::decompress(coding, &[bytes]);
    if let Ok(body) = &whole {
        assert!(body.len() <= BODY_BYTES_MAX, "{} bytes", body.len());
    }
    assert_eq!(
        whole.is_ok(),
        fuzz::decompress(coding, &damage::pieces(bytes, length)).is_ok()
    );
}

fn accepted_body(body: BodyKind, bytes: &[u8]) {
    let batches = fuzz::split(body, bytes);
    assert_eq!(batches, fuzz::split(body, bytes), "not deterministic");
    for batch in batches.unwrap_or_default() {
        decode_frames(&batch);
    }
}

fn decode_frames(batch: &Batch) {
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
        assert_eq!(
            event,
            weir_parse::decode(frame, &context),
            "not deterministic"
        );
    }
}
