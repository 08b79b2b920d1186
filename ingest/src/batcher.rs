//! What stands between a connection and the journal: frames gather while the submission before is under way.
//!
//! ```text
//!  frames ──► gathered (256 KiB or 4,000 frames) ──► one submission under way ──► Intake
//! ```
//!
//! When as much has gathered as may, the connection is not read, and TCP slows the sender down.
//! Where the journal fails, the submission is sent again until it is taken: nothing that was read is
//! lost but by a crash.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use weir_schema::{Batch, Entry, Frames};

use crate::commit::{RejectedSubmission, count_dropped};
use crate::drop_reason::DropReason;
use crate::intake::Intake;
use crate::journal::{ReceiveClock, SubmitError};
use crate::listener::{StopSignal, wait_for_stop};
use crate::metrics::IngestMetrics;
use crate::sources::BatchOrigin;

/// Most frames of a batch: small enough that workers share an epoch evenly.
pub const BATCH_FRAMES_MAX: usize = 1_000;

/// A connection is not read while so much has gathered: a thousand of them hold 256 MiB.
const BUFFERED_BYTES_MAX: usize = 256 << 10;

/// As [`GATHERED_BYTES_MAX`], for very short frames, whose overhead counts more than their bytes.
const BUFFERED_FRAMES_MAX: usize = 4 * BATCH_FRAMES_MAX;

/// First wait before a submission that the journal refused is sent again; doubles to a second.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// True where the journal has it, durably.
type SubmissionFuture = Pin<Box<dyn Future<Output = bool>>>;

/// The frames of one connection, on their way.
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

    /// Whether the connection may be read.
    pub fn has_room(&self) -> bool {
        self.bytes < BUFFERED_BYTES_MAX && self.frames < BUFFERED_FRAMES_MAX
    }

    /// Frames that wait for their submission.
    #[cfg(test)]
    pub fn frames(&self) -> usize {
        self.frames
    }

    pub fn has_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Takes frames, and leaves none.
    pub fn append(&mut self, frames: &mut Frames) {
        if frames.is_empty() {
            return;
        }
        self.frames += frames.len();
        self.bytes += frames.bytes();
        let received = self.clock.now();
        // What gathers behind one submission is taken in within moments: it shares a receipt time.
        for frame in frames.iter() {
            let open = |last: &&mut Batch| last.frames.len() < BATCH_FRAMES_MAX;
            let batch = match self.buffered.last_mut().filter(open) {
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

    /// Hands over what has gathered, unless a submission is under way or nothing has; true where one
    /// has begun.
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

    /// Returns once nothing is under way; false where what was has been lost. Dropping the wait
    /// loses nothing.
    pub async fn wait_in_flight(&mut self) -> bool {
        let Some(submission) = &mut self.in_flight else {
            return true;
        };
        let is_journaled = submission.await;
        self.in_flight = None;
        is_journaled
    }
}

/// Submits until the journal takes it, or until the source stops while the journal fails.
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
        let answer = match intake.enqueue_with_account(entries, account).await {
            Ok(pending) => pending.into_result().await,
            Err(refused) => Err(refused),
        };
        let Err(RejectedSubmission {
            error,
            entries: back,
            account: open,
        }) = answer
        else {
            return true;
        };
        (entries, account) = (back, open);
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
            // Never said of a batch that carries no delivery and was cut to size above.
            SubmitError::Gap { .. } | SubmitError::Conflict | SubmitError::Invalid(_) => {
                DropReason::JournalFault
            }
        };
        drop(account.with_reason(reason));
        tracing::warn!(%error, "events of a connection are not journaled");
        count_dropped(&metrics, &entries, reason);
        return false;
    }
}
