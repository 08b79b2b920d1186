//! Buffers the frames of a connection while its previous submission is in flight.
//!
//! ```text
//!  frames ──► buffer (256 KiB or 4,000 frames) ──► one submission in flight ──► Intake
//! ```
//!
//! While the buffer is full, the connection is not read, and TCP slows the sender down. If the journal
//! fails, the submission is retried until it succeeds, so only a crash loses frames that were read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use weir_schema::{Batch, Entry, Frames};

use crate::commit::count_dropped;
use crate::drop_reason::DropReason;
use crate::intake::Intake;
use crate::journal::{ReceiveClock, SubmitError};
use crate::listener::{StopSignal, wait_for_stop};
use crate::metrics::IngestMetrics;
use crate::sources::BatchOrigin;

/// Most frames of a batch. It is small so that workers share an epoch evenly.
pub const BATCH_FRAMES_MAX: usize = 1_000;

/// A connection is not read while this much is buffered: a thousand connections hold 256 MiB.
const BUFFERED_BYTES_MAX: usize = 256 << 10;

/// Like [`BUFFERED_BYTES_MAX`], for very short frames, whose overhead exceeds their bytes.
const BUFFERED_FRAMES_MAX: usize = 4 * BATCH_FRAMES_MAX;

/// First wait before a refused submission is retried. It doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// A submission in flight; returns true once its frames are durable.
type SubmissionFuture = Pin<Box<dyn Future<Output = bool>>>;

/// Batches the frames of one connection and submits them to the journal.
pub(crate) struct Batcher {
    origin: BatchOrigin,
    intake: Intake,
    clock: Arc<dyn ReceiveClock>,
    metrics: IngestMetrics,
    buffered: Vec<Batch>,
    bytes: usize,
    frames: usize,
    in_flight: Option<SubmissionFuture>,
}

impl Batcher {
    pub fn new(
        origin: BatchOrigin,
        intake: Intake,
        clock: Arc<dyn ReceiveClock>,
        metrics: IngestMetrics,
    ) -> Self {
        Self {
            origin,
            intake,
            clock,
            metrics,
            buffered: Vec::new(),
            bytes: 0,
            frames: 0,
            in_flight: None,
        }
    }

    /// Whether the buffer has room, so that the connection may be read.
    pub fn has_room(&self) -> bool {
        self.bytes < BUFFERED_BYTES_MAX && self.frames < BUFFERED_FRAMES_MAX
    }

    /// The number of buffered frames.
    #[cfg(test)]
    pub fn frames(&self) -> usize {
        self.frames
    }

    pub fn has_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Moves all frames to the buffer.
    pub fn append(&mut self, frames: &mut Frames) {
        if frames.is_empty() {
            return;
        }
        self.frames += frames.len();
        self.bytes += frames.bytes();
        let received = self.clock.now();
        // A submission takes moments, so the frames of a batch can share one receive time.
        for frame in frames.iter() {
            let has_room = |last: &&mut Batch| last.frames.len() < BATCH_FRAMES_MAX;
            let batch = match self.buffered.last_mut().filter(has_room) {
                Some(last) => last,
                None => {
                    let next = self.origin.batch(received, None, Frames::new());
                    self.buffered.push_mut(next)
                }
            };
            batch.frames.push(frame);
        }
        frames.clear();
    }

    /// Submits the buffered frames, unless a submission is in flight or the buffer is empty. Returns
    /// whether it started one.
    pub fn start_submission(&mut self, stop_signal: &StopSignal) -> bool {
        if self.in_flight.is_some() || self.buffered.is_empty() {
            return false;
        }
        let batches = std::mem::take(&mut self.buffered);
        (self.bytes, self.frames) = (0, 0);
        let entries = batches.into_iter().map(Entry::from).collect();
        let intake = self.intake.clone();
        let metrics = self.metrics.clone();
        let submission = submit_with_retries(intake, entries, metrics, stop_signal.clone());
        self.in_flight = Some(Box::pin(submission));
        true
    }

    /// Waits until no submission is in flight; false if its frames were lost. Cancelling the wait is
    /// safe.
    pub async fn wait_in_flight(&mut self) -> bool {
        let Some(submission) = &mut self.in_flight else {
            return true;
        };
        let is_journaled = submission.await;
        self.in_flight = None;
        is_journaled
    }
}

/// Retries until the entries are journaled, or until the source stops while the journal fails.
async fn submit_with_retries(
    intake: Intake,
    mut entries: Vec<Entry>,
    metrics: IngestMetrics,
    mut stop_signal: StopSignal,
) -> bool {
    let mut wait = RETRY_MIN;
    let mut account = intake.open_account(&entries);
    loop {
        let last_try = *stop_signal.borrow();
        let result = match intake.enqueue_with_account(entries, account).await {
            Ok(pending) => pending.into_result().await,
            Err(rejected) => Err(rejected),
        };
        let Err(rejected) = result else {
            return true;
        };
        let error = rejected.error;
        (entries, account) = (rejected.entries, rejected.account);
        let reason = match error {
            SubmitError::Fault(_) if last_try => DropReason::JournalFault,
            SubmitError::Fault(_) | SubmitError::Busy => {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = wait_for_stop(&mut stop_signal) => {}
                }
                wait = (wait * 2).min(RETRY_MAX);
                continue;
            }
            SubmitError::Stopped => DropReason::Stopping,
            // Does not happen: the batches carry no delivery, and their size is within the limit.
            SubmitError::Gap { .. } | SubmitError::Conflict | SubmitError::Invalid(_) => {
                DropReason::JournalFault
            }
        };
        drop(account.with_reason(reason));
        tracing::warn!(%error, "events of a connection were not journaled");
        count_dropped(&metrics, &entries, reason);
        return false;
    }
}
