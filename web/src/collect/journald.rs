//! Takes journald's export format in as it streams: `systemd-journal-upload` sends a whole journal,
//! and what is added to it, as one request.

use std::pin::pin;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use serde::Deserialize;
use weir_schema::{Batch, ExportFault, Format, JournalExport};

use super::sorter::{Sender, Sorter, source_name};
use super::unpack::Unpack;
use super::{Refusal, Way, sender};
use crate::ports::IntakeError;
use crate::problem::Problem;
use crate::server::State;

const CONTENT_TYPE: &str = "application/vnd.fdo.journal";

/// The source of entries that name no host.
const SOURCE: &str = "journald";

/// Uploads at once: each is a connection for as long as its sender likes.
pub(crate) const UPLOADS_MAX: usize = 64;

/// A piece of the body is unpacked in parts, so that what comes of one and waits to be read is
/// little: gzip makes 1,032 times as much of a part at most.
const PART_BYTES: usize = 1 << 10;

/// Bytes unpacked from one part at most.
const UNPACKED_BYTES_MAX: usize = 2 << 20;

/// Entries are journaled once there are so many, or so many bytes of them ...
const FLUSH_EVENTS: usize = 1_000;
const FLUSH_BYTES: usize = 256 << 10;

/// ... or once nothing has come for so long.
const FLUSH_WAIT: Duration = Duration::from_millis(100);

/// An upload that follows a journal is silent while nothing happens; after so long it is ended, and
/// its sender begins again where it was.
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);

/// While the journal's queue is full the sender is held back, and so often it is tried again.
const TRIES: usize = 30;

/// `POST /upload`
pub(super) async fn upload(
    request: HttpRequest,
    body: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    match take(&request, body, &state).await {
        // What systemd's own receiver answers.
        Ok(()) => Ok(HttpResponse::Accepted()
            .content_type("text/plain")
            .body("OK.\n")),
        Err(refusal) => {
            state
                .metrics
                .collect
                .body_refused(Way::Journald, refusal.reason());
            Err(refusal.into())
        }
    }
}

async fn take(request: &HttpRequest, body: web::Payload, state: &State) -> Result<(), Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != CONTENT_TYPE) {
        let wanted = "send `application/vnd.fdo.journal`, as `journalctl -o export` writes it";
        return Err(Refusal::MediaType(wanted));
    }
    let mut upload = Upload {
        unpack: Unpack::of(request, UNPACKED_BYTES_MAX)?,
        // A key would name the whole body; each entry has a cursor of its own.
        sender: Sender {
            key: None,
            ..sender(request, state)?
        },
        export: JournalExport::default(),
        waiting: None,
        bytes: 0,
        state,
    };
    let Ok(_place) = state.uploads.try_acquire() else {
        return Err(Refusal::NoPlace);
    };
    let read = upload.read(body).await;
    // What came whole before a fault is taken in; its sender begins again behind it or at it.
    let flushed = upload.flush().await;
    read.and(flushed)
}

struct Upload<'s> {
    unpack: Unpack,
    sender: Sender,
    export: JournalExport,
    /// Entries that are not yet journaled.
    waiting: Option<Sorter>,
    bytes: usize,
    state: &'s State,
}

impl Upload<'_> {
    async fn read(&mut self, body: web::Payload) -> Result<(), Refusal> {
        let mut body = pin!(body);
        loop {
            let wait = match self.waiting {
                Some(_) => FLUSH_WAIT,
                None => IDLE_MAX,
            };
            let piece = match tokio::time::timeout(wait, body.next()).await {
                Ok(Some(piece)) => piece.map_err(|_| Refusal::Early)?,
                Ok(None) => break,
                Err(_) if self.waiting.is_some() => {
                    self.flush().await?;
                    continue;
                }
                Err(_) => return Err(Refusal::Slow),
            };
            for part in piece.chunks(PART_BYTES) {
                self.unpack.push(part)?;
                self.keep_whole().await?;
            }
        }
        self.unpack.finish()?;
        self.keep_whole().await?;
        if let Some(entry) = self.export.finish().map_err(malformed)? {
            self.keep(entry).await?;
        }
        Ok(())
    }

    /// Keeps the entries that are whole by now.
    async fn keep_whole(&mut self) -> Result<(), Refusal> {
        self.export.push(&self.unpack.take());
        while let Some(entry) = self.export.next_entry().map_err(malformed)? {
            self.keep(entry).await?;
        }
        Ok(())
    }

    async fn keep(&mut self, entry: Vec<u8>) -> Result<(), Refusal> {
        let sorter = self
            .waiting
            .get_or_insert_with(|| Sorter::new(self.sender.clone()));
        self.bytes += entry.len();
        sorter.push(&source(&entry), Format::Json, entry)?;
        if sorter.events() >= FLUSH_EVENTS || self.bytes >= FLUSH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Journals what waits.
    async fn flush(&mut self) -> Result<(), Refusal> {
        let Some(mut sorter) = self.waiting.take() else {
            return Ok(());
        };
        self.bytes = 0;
        self.sender.received = crate::events::receive_time();
        let counts = &self.state.metrics.collect;
        let events = sorter.events();
        counts.received(Way::Journald, events);
        match self.submit(sorter.finish(&[])).await {
            Ok(()) => {
                counts.accepted(Way::Journald, false, events);
                Ok(())
            }
            Err(error) => {
                let refusal = Refusal::from(error);
                counts.refused(Way::Journald, refusal.reason(), events);
                Err(refusal)
            }
        }
    }

    async fn submit(&self, batches: Vec<Batch>) -> Result<(), IntakeError> {
        let intake = &self.state.ports.intake;
        for _ in 0..TRIES {
            match intake.submit(batches.clone()).await {
                Err(IntakeError::Busy { retry_after }) => tokio::time::sleep(retry_after).await,
                answer => return answer.map(drop),
            }
        }
        intake.submit(batches).await.map(drop)
    }
}

pub(super) fn malformed(fault: ExportFault) -> Refusal {
    Refusal::Malformed(fault.to_string())
}

/// A machine is a source: its clock is its own.
pub(super) fn source(entry: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Host {
        #[serde(rename = "_HOSTNAME")]
        name: Option<String>,
    }
    let host = serde_json::from_slice::<Host>(entry).ok();
    let name = host.and_then(|host| host.name);
    source_name(name.as_deref().unwrap_or_default(), SOURCE)
}
