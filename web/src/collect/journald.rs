//! Accepts journald's export format as a stream.
//!
//! `systemd-journal-upload` sends a whole journal, and then every new entry, as one request.

use std::pin::pin;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use serde::Deserialize;
use weir_schema::{Batch, Format, JournaldExport, JournaldExportError};

use super::batcher::SourceBatcher;
use super::request::{BodySender, receive_time, source_name};
use crate::bodies::{BodyDecoder, BodyError};
use crate::metrics::Protocol;
use crate::ports::{IntakeError, IntakeReceipt};
use crate::problem::ProblemDetails;
use crate::state::AppState;

const CONTENT_TYPE: &str = "application/vnd.fdo.journal";

/// The source of entries without a host name.
const SOURCE: &str = "journald";

/// Size of the parts in which a chunk of the body is decompressed.
///
/// Small parts keep the decompressed bytes that wait for parsing few: gzip expands a part 1,032-fold
/// at most.
const PART_BYTES: usize = 1 << 10;

/// Maximum size of a decompressed part.
const DECOMPRESSED_BYTES_MAX: usize = 2 << 20;

/// Number of buffered entries at which they are journaled.
const FLUSH_EVENTS: usize = 1_000;
/// Size of buffered entries at which they are journaled.
const FLUSH_BYTES: usize = 256 << 10;

/// Silence after which buffered entries are journaled.
const FLUSH_DELAY: Duration = Duration::from_millis(100);

/// Longest silence of an upload.
///
/// A journal without new entries is silent. Its upload is then ended, and the sender continues with a
/// new request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Retries while the journal's queue is full; the sender waits meanwhile.
const RETRIES_MAX: usize = 30;

/// `POST /upload`
pub(super) async fn receive_upload(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ProblemDetails> {
    match ingest_upload(&request, body, &state).await {
        // The answer of systemd's own receiver.
        Ok(()) => Ok(HttpResponse::Accepted()
            .content_type("text/plain")
            .body("OK.\n")),
        Err(error) => {
            let counts = &state.metrics.collect;
            counts.count_body_refused(Protocol::Journald, error.reason());
            Err(error.into())
        }
    }
}

async fn ingest_upload(
    request: &HttpRequest,
    body: web::Payload,
    state: &AppState,
) -> Result<(), BodyError> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != CONTENT_TYPE) {
        let hint = "send `application/vnd.fdo.journal`, as `journalctl -o export` writes it";
        return Err(BodyError::MediaType(hint));
    }
    let mut upload = JournalUpload {
        decoder: BodyDecoder::for_request(request, DECOMPRESSED_BYTES_MAX)?,
        // An idempotency key would name the whole body; each entry has a cursor of its own.
        sender: BodySender {
            key: None,
            ..BodySender::read(request, state)?
        },
        export: JournaldExport::default(),
        buffered: None,
        buffered_bytes: 0,
        state,
    };
    let Ok(_permit) = state.uploads.try_acquire() else {
        return Err(BodyError::NoSlot);
    };
    let read = upload.read(body).await;
    // Entries before a fault are accepted; the sender continues at the fault or behind it.
    let flushed = upload.flush().await;
    read.and(flushed)
}

/// One upload in progress.
struct JournalUpload<'s> {
    decoder: BodyDecoder,
    sender: BodySender,
    export: JournaldExport,
    /// Entries that are not journaled yet.
    buffered: Option<SourceBatcher>,
    buffered_bytes: usize,
    state: &'s AppState,
}

impl JournalUpload<'_> {
    async fn read(&mut self, body: web::Payload) -> Result<(), BodyError> {
        let mut body = pin!(body);
        loop {
            let timeout = match self.buffered {
                Some(_) => FLUSH_DELAY,
                None => IDLE_TIMEOUT,
            };
            let chunk = match tokio::time::timeout(timeout, body.next()).await {
                Ok(Some(chunk)) => chunk.map_err(|_| BodyError::EndedEarly)?,
                Ok(None) => break,
                Err(_) if self.buffered.is_some() => {
                    self.flush().await?;
                    continue;
                }
                Err(_) => return Err(BodyError::Timeout),
            };
            for part in chunk.chunks(PART_BYTES) {
                self.decoder.push(part)?;
                self.buffer_complete_entries().await?;
            }
        }
        self.decoder.finish()?;
        self.buffer_complete_entries().await?;
        if let Some(entry) = self.export.finish().map_err(malformed)? {
            self.buffer(entry).await?;
        }
        Ok(())
    }

    async fn buffer_complete_entries(&mut self) -> Result<(), BodyError> {
        self.export.push(&self.decoder.take_output());
        while let Some(entry) = self.export.next_entry().map_err(malformed)? {
            self.buffer(entry).await?;
        }
        Ok(())
    }

    /// Buffers an entry, and journals the buffer once it is full.
    async fn buffer(&mut self, entry: Vec<u8>) -> Result<(), BodyError> {
        let batcher = self
            .buffered
            .get_or_insert_with(|| SourceBatcher::new(self.sender.clone()));
        self.buffered_bytes += entry.len();
        batcher.push(&entry_source(&entry), Format::Json, entry)?;
        if batcher.events() >= FLUSH_EVENTS || self.buffered_bytes >= FLUSH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Journals the buffered entries.
    async fn flush(&mut self) -> Result<(), BodyError> {
        let Some(mut batcher) = self.buffered.take() else {
            return Ok(());
        };
        self.buffered_bytes = 0;
        self.sender.received = receive_time();
        let counts = &self.state.metrics.collect;
        let events = batcher.events();
        counts.count_received(Protocol::Journald, events);
        match self.submit(batcher.finish(&[])).await {
            Ok(()) => {
                // Without an idempotency key, no batch counts as repeated.
                let receipt = IntakeReceipt { repeated: false };
                counts.count_accepted(Protocol::Journald, receipt, events);
                Ok(())
            }
            Err(error) => {
                let error = BodyError::from(error);
                counts.count_refused(Protocol::Journald, error.reason(), events);
                Err(error)
            }
        }
    }

    /// Submits batches; retries while the journal's queue is full.
    async fn submit(&self, batches: Vec<Batch>) -> Result<(), IntakeError> {
        let intake = &self.state.ports.intake;
        for _ in 0..RETRIES_MAX {
            match intake.submit(batches.clone()).await {
                Err(IntakeError::Busy { retry_after }) => tokio::time::sleep(retry_after).await,
                answer => return answer.map(drop),
            }
        }
        intake.submit(batches).await.map(drop)
    }
}

pub(super) fn malformed(fault: JournaldExportError) -> BodyError {
    BodyError::Malformed(fault.to_string())
}

/// The source of an entry: its host, because each host has a clock of its own.
pub(super) fn entry_source(entry: &[u8]) -> String {
    #[derive(Deserialize)]
    struct EntryHost {
        #[serde(rename = "_HOSTNAME")]
        name: Option<String>,
    }
    let host = serde_json::from_slice::<EntryHost>(entry).ok();
    let name = host.and_then(|host| host.name);
    source_name(name.as_deref().unwrap_or_default(), SOURCE)
}
