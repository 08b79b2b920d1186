//! What the collectors make of a body, without a server: the fuzzer's way in, part of no interface.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use weir_schema::{Batch, Format, JournalExport, ReceiveTime};

use super::auth::{Dialect, Presented};
use super::refusal::Refusal;
use super::sorter::{Sender, Sorter};
use super::unpack::Unpack;
use super::{BODY_BYTES_MAX, bulk, hec, journald, otlp};
use crate::events;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    HecEvents,
    HecLines,
    Bulk,
    OtlpProtobuf,
    OtlpJson,
    Journald,
    JsonLines,
    SyslogLines,
}

/// Unpacks the pieces of a body, or says why it is refused.
pub fn unpack(coding: &str, pieces: &[&[u8]]) -> Result<Vec<u8>, &'static str> {
    let run = || {
        let mut unpack = Unpack::by(coding, BODY_BYTES_MAX)?;
        for piece in pieces {
            unpack.push(piece)?;
        }
        unpack.finish()?;
        Ok(unpack.take())
    };
    run().map_err(|refusal: Refusal| refusal.reason())
}

/// The batches of an unpacked body, or why it is refused.
pub fn cut(body: Body, bytes: &[u8]) -> Result<Vec<Batch>, &'static str> {
    let lines = match body {
        Body::JsonLines => Some(Format::Json),
        Body::SyslogLines => Some(Format::Syslog),
        _ => None,
    };
    if let Some(format) = lines {
        return events::cut(bytes, format).map_err(|refusal| refusal.reason());
    }
    let mut sorter = Sorter::new(Sender {
        tenant: "default".to_owned(),
        peer: None,
        received: ReceiveTime(1_790_000_000_000_000_000),
        source: None,
        key: None,
    });
    let run = |sorter: &mut Sorter| match body {
        Body::HecEvents => hec::cut_events(bytes, sorter),
        Body::HecLines => hec::cut_lines(bytes, sorter),
        Body::Bulk => bulk::cut(bytes, Some("index"), sorter).map(drop),
        Body::OtlpProtobuf => otlp::cut_protobuf(bytes, sorter),
        Body::OtlpJson => otlp::cut_json(bytes, sorter),
        Body::Journald => cut_export(bytes, sorter),
        Body::JsonLines | Body::SyslogLines => Ok(()), // Cut by no sorter: see below.
    };
    run(&mut sorter).map_err(|refusal| refusal.reason())?;
    Ok(sorter.finish(bytes))
}

fn cut_export(bytes: &[u8], sorter: &mut Sorter) -> Result<(), Refusal> {
    let mut export = JournalExport::default();
    export.push(bytes);
    while let Some(entry) = export.next_entry().map_err(journald::malformed)? {
        sorter.push(&journald::source(&entry), Format::Json, entry)?;
    }
    if let Some(entry) = export.finish().map_err(journald::malformed)? {
        sorter.push(&journald::source(&entry), Format::Json, entry)?;
    }
    Ok(())
}

/// The token that a request for `path` shows with this `Authorization`; `None`: none that is read.
pub fn token(path: &str, authorization: &[u8]) -> Option<Vec<u8>> {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::AUTHORIZATION,
        HeaderValue::from_bytes(authorization).ok()?,
    );
    match Dialect::of(path).presented(&headers) {
        Presented::Token(token) => Some(token),
        Presented::Nothing | Presented::Unreadable => None,
    }
}
