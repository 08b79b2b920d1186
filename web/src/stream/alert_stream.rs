//! One open alert stream: reads the outbox and turns it into chunks.
//!
//! ```text
//! outbox ──[ROWS_MAX rows a read]──► filter ──► one chunk ──► socket
//!    ▲ read again only once the socket has taken the chunk: a slow client costs one chunk
//! outbox signal ──[watch, holds one number]──► wakes the stream
//! ```
//!
//! Invariant: a client gets every row that passes its filter, or a gap in place of lost rows.

use std::convert::Infallible;

use actix_web::web;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::end::{EndReason, EndRecorder};
use super::rows::{EncodedRows, RowEncoder, StreamFormat};
use crate::metrics::WebMetrics;
use crate::ports::{Cursor, PortError};
use crate::state::AppState;

/// The right to stream, counted in the metrics while it exists.
pub(super) struct StreamSlot {
    format: StreamFormat,
    metrics: WebMetrics,
    _permit: OwnedSemaphorePermit,
}

impl StreamSlot {
    pub(super) fn new(
        format: StreamFormat,
        metrics: &WebMetrics,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let gauge = metrics.subscribers.with_label_values(&[format.name()]);
        gauge.inc();
        Self {
            format,
            metrics: metrics.clone(),
            _permit: permit,
        }
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let format = [self.format.name()];
        self.metrics.subscribers.with_label_values(&format).dec();
    }
}

/// One open stream.
pub(super) struct AlertStream {
    encoder: RowEncoder,
    /// The last row that was read.
    cursor: Cursor,
    /// The cursor that the client has; behind `cursor` while the filter withholds rows.
    client_cursor: Cursor,
    is_greeted: bool,
    heartbeat_at: Instant,
    outbox_signal: watch::Receiver<u64>,
    stopped: watch::Receiver<bool>,
    end: EndRecorder,
    state: web::Data<AppState>,
    _slot: StreamSlot,
}

impl AlertStream {
    /// A stream of the rows after `cursor`.
    pub(super) fn new(
        encoder: RowEncoder,
        cursor: Cursor,
        slot: StreamSlot,
        state: web::Data<AppState>,
    ) -> Self {
        Self {
            cursor,
            client_cursor: cursor,
            is_greeted: false,
            heartbeat_at: Instant::now() + state.options.heartbeat,
            outbox_signal: state.ports.outbox_signal.subscribe(),
            stopped: state.stopped.clone(),
            end: EndRecorder::new(encoder.format.name(), &state.metrics),
            encoder,
            state,
            _slot: slot,
        }
    }

    /// Returns the next chunk; `None` at the end.
    pub(super) async fn chunk(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        self.end.chunk_requested();
        match self.next().await {
            Ok(chunk) => {
                self.end.chunk_sent();
                Some((Ok(chunk), self))
            }
            Err(reason) => {
                self.end.finish(reason);
                None
            }
        }
    }

    /// Waits for rows or for the time of a heartbeat; fails when the stream ends.
    async fn next(&mut self) -> Result<Bytes, EndReason> {
        if !self.is_greeted {
            self.is_greeted = true;
            if let Some(greeting) = self.encoder.format.greeting(self.cursor) {
                return Ok(greeting);
            }
        }
        loop {
            if *self.stopped.borrow() {
                return Err(EndReason::Stopped);
            }
            // Marked before the read: rows that are committed during it wake the stream again.
            self.outbox_signal.borrow_and_update();
            let read = self.read().await.map_err(|error| {
                tracing::warn!(%error, "reading the outbox failed; an alert stream ends early");
                EndReason::Failed
            })?;
            self.cursor = read.last_read.unwrap_or(self.cursor);
            if !read.bytes.is_empty() {
                self.client_cursor = read.last_encoded.unwrap_or(self.client_cursor);
                self.count(&read);
                self.schedule_heartbeat();
                return Ok(read.bytes.into());
            }
            let has_more = read.is_full || self.outbox_signal.has_changed().unwrap_or(false);
            if has_more && Instant::now() < self.heartbeat_at {
                continue;
            }
            tokio::select! {
                biased;
                _ = self.stopped.changed() => return Err(EndReason::Stopped),
                () = tokio::time::sleep_until(self.heartbeat_at) => return Ok(self.heartbeat()),
                changed = self.outbox_signal.changed() => {
                    changed.map_err(|_| EndReason::Stopped)?;
                }
            }
        }
    }

    async fn read(&self) -> Result<EncodedRows, PortError> {
        let alerts = self.state.ports.alerts.clone();
        let (encoder, after) = (self.encoder.clone(), self.cursor);
        let read = web::block(move || encoder.read(alerts.as_ref(), after)).await;
        read.unwrap_or_else(|error| Err(PortError::Failed(error.to_string())))
    }

    fn count(&self, read: &EncodedRows) {
        let format = [self.encoder.format.name()];
        let metrics = &self.state.metrics;
        metrics.rows.with_label_values(&format).inc_by(read.rows);
        if read.has_gap {
            metrics.gaps.with_label_values(&format).inc();
        }
    }

    /// A heartbeat, which moves the client's cursor past withheld rows.
    fn heartbeat(&mut self) -> Bytes {
        let moved = (self.cursor != self.client_cursor).then_some(self.cursor);
        self.client_cursor = self.cursor;
        self.schedule_heartbeat();
        self.encoder.format.heartbeat(moved)
    }

    fn schedule_heartbeat(&mut self) {
        self.heartbeat_at = Instant::now() + self.state.options.heartbeat;
    }
}
