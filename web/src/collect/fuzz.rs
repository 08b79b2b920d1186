//! Entry points for the fuzzer: decodes bodies and credentials without a server. Not public API.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use weir_schema::{Batch, Format, JournaldExport};

use super::batcher::SourceBatcher;
use super::credentials::Credentials;
use super::dialect::Dialect;
use super::request::BodySender;
use super::{bulk, events, hec, journald, otlp};
use crate::bodies::{BODY_BYTES_MAX, BodyDecoder, BodyError};

/// The protocol and encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    HecEvents,
    HecLines,
    Bulk,
    OtlpProtobuf,
    OtlpJson,
    Journald,
    JsonLines,
    SyslogLines,
}

/// Decompresses the chunks of a body, or returns why it is refused.
pub fn decompress(encoding: &str, chunks: &[&[u8]]) -> Result<Vec<u8>, &'static str> {
    let run = || {
        let mut decoder = BodyDecoder::new(encoding, BODY_BYTES_MAX)?;
        for chunk in chunks {
            decoder.push(chunk)?;
        }
        decoder.finish()?;
        Ok(decoder.take_output())
    };
    run().map_err(|error: BodyError| error.reason())
}

/// Splits a decompressed body into batches, or returns why it is refused.
pub fn split(kind: BodyKind, body: &[u8]) -> Result<Vec<Batch>, &'static str> {
    let mut batcher = SourceBatcher::new(BodySender::sample());
    let split = match kind {
        BodyKind::HecEvents => hec::split_envelopes(body, &mut batcher),
        BodyKind::HecLines => {
            hec::split_raw_lines(body, |name| Some(name.to_owned()), &mut batcher)
        }
        BodyKind::Bulk => bulk::split_actions(body, Some("index"), &mut batcher).map(drop),
        BodyKind::OtlpProtobuf => otlp::split_protobuf(body, &mut batcher),
        BodyKind::OtlpJson => otlp::split_json(body, &mut batcher),
        BodyKind::Journald => split_export(body, &mut batcher),
        BodyKind::JsonLines => return split_lines(body, Format::Json),
        BodyKind::SyslogLines => return split_lines(body, Format::Syslog),
    };
    split.map_err(|error| error.reason())?;
    Ok(batcher.finish(body))
}

/// Splits raw lines of a request with these parameters into batches, or returns why it is refused.
pub fn split_hec_lines(
    body: &[u8],
    parameters: &[(&str, &str)],
) -> Result<Vec<Batch>, &'static str> {
    let mut batcher = SourceBatcher::new(BodySender::sample());
    let parameter = |name: &str| {
        let found = parameters.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let split = hec::split_raw_lines(body, parameter, &mut batcher);
    split.map_err(|error| error.reason())?;
    Ok(batcher.finish(body))
}

fn split_lines(body: &[u8], format: Format) -> Result<Vec<Batch>, &'static str> {
    events::split_lines(body, format).map_err(|error| error.reason())
}

fn split_export(body: &[u8], batcher: &mut SourceBatcher) -> Result<(), BodyError> {
    let mut export = JournaldExport::default();
    export.push(body);
    while let Some(entry) = export.next_entry().map_err(journald::malformed)? {
        batcher.push(&journald::entry_source(&entry), Format::Json, entry)?;
    }
    if let Some(entry) = export.finish().map_err(journald::malformed)? {
        batcher.push(&journald::entry_source(&entry), Format::Json, entry)?;
    }
    Ok(())
}

/// Returns the token that a request for `path` presents with this `Authorization` header, if any.
pub fn token(path: &str, authorization: &[u8]) -> Option<Vec<u8>> {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::AUTHORIZATION,
        HeaderValue::from_bytes(authorization).ok()?,
    );
    match Dialect::for_path(path).credentials(&headers) {
        Credentials::Token(token) => Some(token),
        Credentials::Missing | Credentials::Unreadable => None,
    }
}
