//! Accepts submissions for the journal writer, within bounds.
//!
//! ```text
//!  TCP ─┐ submit: waits           Submit (slots: submissions_max)      append, sync
//!  UDP ─┤ offer: or is dropped ─► Intake ═══════════════════════► IngestWriter ─────► JournalPort
//!  HTTP ┘                           (bytes: bytes_max)     tick ──► (GroupCommit)
//! ```
//!
//! An actix mailbox has room for one extra message per sender, and the sizes of messages differ by
//! a factor of ten thousand. Two semaphores therefore enforce the bounds: one counts slots, the other
//! bytes. A submission returns its permits when it is answered.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_rt::ArbiterHandle;
use tokio::sync::{Semaphore, TryAcquireError, oneshot};
use weir_schema::{Batch, Control, Entry};

use crate::balance::{self, EventAccount};
use crate::commit::{Permits, RejectedSubmission, Submission, SubmitResult};
use crate::drop_reason::DropReason;
use crate::journal::{CommitReceipt, JournalFault, SubmitError};
use crate::mailbox::{Mailbox, MailboxError, NextSequenceQuery};
use crate::metrics::IngestMetrics;

/// Memory that a frame takes besides its bytes.
const FRAME_OVERHEAD_BYTES: usize = 64;

/// Retries until the mailbox has room. It is full only briefly: the semaphores bound its messages.
async fn send_when_room<M>(
    mut message: M,
    mut send: impl FnMut(M) -> Result<(), MailboxError<M>>,
) -> Result<(), M> {
    const PAUSE: Duration = Duration::from_millis(1);
    loop {
        match send(message) {
            Ok(()) => return Ok(()),
            Err(MailboxError::Closed(message)) => return Err(message),
            Err(MailboxError::Full(back)) => message = back,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Bounds of the submissions that wait for their commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntakeLimits {
    pub submissions_max: usize,
    pub bytes_max: usize,
}

struct IntakeInner {
    slots: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_max: u32,
    submissions_max: usize,
    metrics: IngestMetrics,
    writer: Box<dyn Mailbox>,
    own_thread: Option<ArbiterHandle>,
}

/// Submits batches and control entries to the journal writer. Listeners and the HTTP layer use it.
/// Clones share their limits.
#[derive(Clone)]
pub struct Intake {
    inner: Arc<IntakeInner>,
}

/// A future of the answer to a submission; it completes after the sync.
#[derive(Debug)]
pub struct PendingReceipt {
    answer: oneshot::Receiver<SubmitResult>,
}

impl PendingReceipt {
    /// Waits for the answer. If the journal failed, the answer returns the entries; they are complete
    /// only if they carry no delivery.
    pub(crate) async fn into_result(self) -> SubmitResult {
        self.answer.await.unwrap_or_else(|_| {
            Err(RejectedSubmission {
                error: SubmitError::Stopped,
                entries: Vec::new(),
                // The account was dropped, and thereby counted, together with the submission.
                account: EventAccount::empty(),
            })
        })
    }
}

impl Future for PendingReceipt {
    type Output = Result<CommitReceipt, SubmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer)
            .poll(cx)
            .map(|answer| match answer {
                Ok(answer) => answer.map_err(|refused| refused.error),
                Err(_) => Err(SubmitError::Stopped),
            })
    }
}

impl Intake {
    pub(crate) fn new(
        writer: Box<dyn Mailbox>,
        own_thread: Option<ArbiterHandle>,
        limits: IntakeLimits,
        metrics: IngestMetrics,
    ) -> Self {
        let IntakeLimits {
            submissions_max,
            bytes_max,
        } = limits;
        let bytes_max = u32::try_from(bytes_max.max(1)).unwrap_or(u32::MAX);
        Self {
            inner: Arc::new(IntakeInner {
                slots: Arc::new(Semaphore::new(submissions_max)),
                bytes: Arc::new(Semaphore::new(bytes_max as usize)),
                bytes_max,
                submissions_max,
                metrics,
                writer,
                own_thread,
            }),
        }
    }

    /// Journals the batches, all or none, and returns after the sync. Waits while the limits of the
    /// writer are reached.
    pub async fn submit(&self, batches: Vec<Batch>) -> Result<CommitReceipt, SubmitError> {
        self.enqueue(batches).await?.await
    }

    /// Like [`Self::submit`], but returns before the answer. Submissions are journaled in the order in
    /// which they are enqueued, so a caller can have several of them in flight.
    pub async fn enqueue(&self, batches: Vec<Batch>) -> Result<PendingReceipt, SubmitError> {
        self.enqueue_entries(batches.into_iter().map(Entry::from).collect())
            .await
            .map_err(|refused| refused.error)
    }

    /// Journals control entries.
    pub async fn control(&self, controls: Vec<Control>) -> Result<CommitReceipt, SubmitError> {
        let entries = controls.into_iter().map(Entry::Control).collect();
        let pending = self.enqueue_entries(entries).await;
        pending.map_err(|refused| refused.error)?.await
    }

    /// Submits the batches without waiting for room or for the answer. `Err` returns them if a limit is
    /// reached. If the journal refuses them later, they are counted as dropped.
    pub fn offer(&self, batches: Vec<Batch>) -> Result<(), (SubmitError, Vec<Batch>)> {
        let account = self.inner.metrics.balance().open_account(batches.iter());
        let permits = match self.try_permits(weight(&batches)) {
            Ok(permits) => Some(permits),
            Err(error) => {
                drop(account.with_reason(balance::drop_reason(&error)));
                return Err((error, batches));
            }
        };
        let submission = Submission {
            entries: batches.into_iter().map(Entry::from).collect(),
            reply: None,
            account,
            _permits: permits,
        };
        let refused = |error: SubmitError, submission: Submission| {
            drop(submission.account.with_reason(balance::drop_reason(&error)));
            (error, into_batches(submission.entries))
        };
        self.inner
            .writer
            .try_submit(submission)
            .map_err(|refusal| match refusal {
                MailboxError::Full(submission) => refused(SubmitError::Busy, submission),
                MailboxError::Closed(submission) => refused(SubmitError::Stopped, submission),
            })
    }

    /// Returns the sequence before which all events of an agent's spool are durable.
    pub async fn next_sequence(
        &self,
        tenant: &str,
        agent: &str,
        spool: u64,
    ) -> Result<u64, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let query = NextSequenceQuery {
            tenant: tenant.to_owned(),
            agent: agent.to_owned(),
            spool,
            reply,
        };
        let sent = send_when_room(query, |query| self.inner.writer.try_query(query)).await;
        sent.map_err(|_| SubmitError::Stopped)?;
        answer.await.map_err(|_| SubmitError::Stopped)
    }

    /// Submissions that wait for their commit.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let free = self.inner.slots.available_permits();
        self.inner.submissions_max.saturating_sub(free)
    }

    /// Refuses new submissions, journals, seals and answers the pending ones, and closes the port.
    /// `Err` means that the last commit failed; its submitters got the same error.
    pub async fn stop(&self) -> Result<(), JournalFault> {
        self.inner.slots.close();
        let (reply, answer) = oneshot::channel();
        let sent = send_when_room(reply, |reply| self.inner.writer.try_stop(reply)).await;
        let outcome = match sent {
            Ok(()) => answer.await.unwrap_or(Ok(())),
            // The writer was stopped before.
            Err(_) => Ok(()),
        };
        if let Some(thread) = &self.inner.own_thread {
            thread.stop();
        }
        outcome
    }

    pub(crate) async fn enqueue_entries(
        &self,
        entries: Vec<Entry>,
    ) -> Result<PendingReceipt, RejectedSubmission> {
        let account = self.open_account(&entries);
        self.enqueue_with_account(entries, account).await
    }

    /// Opens the account of entries. A retry must use the same account.
    pub(crate) fn open_account(&self, entries: &[Entry]) -> EventAccount {
        let balance = self.inner.metrics.balance();
        balance.open_account(balance::batches(entries))
    }

    /// Like [`Self::enqueue_entries`], with the account of an earlier attempt.
    pub(crate) async fn enqueue_with_account(
        &self,
        entries: Vec<Entry>,
        account: EventAccount,
    ) -> Result<PendingReceipt, RejectedSubmission> {
        let account = account.with_reason(DropReason::Stopping);
        let stopped = |entries, account| RejectedSubmission {
            error: SubmitError::Stopped,
            entries,
            account,
        };
        let weight = entries.iter().map(entry_weight).sum();
        let Ok(permits) = self.permits(weight).await else {
            return Err(stopped(entries, account));
        };
        let (reply, answer) = oneshot::channel();
        let submission = Submission {
            entries,
            reply: Some(reply),
            account,
            _permits: Some(permits),
        };
        let sent = send_when_room(submission, |s| self.inner.writer.try_submit(s)).await;
        sent.map_err(|submission| stopped(submission.entries, submission.account))?;
        Ok(PendingReceipt { answer })
    }

    /// The permits for `weight` bytes. A submission above `bytes_max` takes all of them.
    fn bytes(&self, weight: usize) -> u32 {
        u32::try_from(weight)
            .unwrap_or(u32::MAX)
            .min(self.inner.bytes_max)
    }

    async fn permits(&self, weight: usize) -> Result<Permits, SubmitError> {
        let bytes = Arc::clone(&self.inner.bytes).acquire_many_owned(self.bytes(weight));
        let bytes = bytes.await.map_err(|_| SubmitError::Stopped)?;
        let slot = Arc::clone(&self.inner.slots).acquire_owned();
        let slot = slot.await.map_err(|_| SubmitError::Stopped)?;
        self.observe_depth();
        Ok(Permits {
            _slot: slot,
            _bytes: bytes,
        })
    }

    fn try_permits(&self, weight: usize) -> Result<Permits, SubmitError> {
        let refused = |error| match error {
            TryAcquireError::Closed => SubmitError::Stopped,
            TryAcquireError::NoPermits => SubmitError::Busy,
        };
        let bytes = Arc::clone(&self.inner.bytes).try_acquire_many_owned(self.bytes(weight));
        let bytes = bytes.map_err(refused)?;
        let slot = Arc::clone(&self.inner.slots).try_acquire_owned();
        let slot = slot.map_err(refused)?;
        self.observe_depth();
        Ok(Permits {
            _slot: slot,
            _bytes: bytes,
        })
    }

    fn observe_depth(&self) {
        let gauge = &self.inner.metrics.writer.mailbox_depth;
        let depth = self.waiting() as i64;
        gauge.with_label_values(&["journal"]).set(depth);
    }
}

fn into_batches(entries: Vec<Entry>) -> Vec<Batch> {
    let batches = entries.into_iter().filter_map(|entry| match entry {
        Entry::Batch(batch) => Some(Arc::unwrap_or_clone(batch)),
        Entry::Control(_) | Entry::Seal { .. } => None,
    });
    batches.collect()
}

fn weight(batches: &[Batch]) -> usize {
    batches.iter().map(batch_weight).sum()
}

fn batch_weight(batch: &Batch) -> usize {
    batch.frames.bytes() + batch.frames.len() * FRAME_OVERHEAD_BYTES
}

fn entry_weight(entry: &Entry) -> usize {
    match entry {
        Entry::Batch(batch) => batch_weight(batch),
        Entry::Control(_) | Entry::Seal { .. } => FRAME_OVERHEAD_BYTES,
    }
}
