//! The bounded door to the journal writer.
//!
//! ```text
//!  TCP ─┐ submit: waits           Submit (slots: submissions_max)      append, sync
//!  UDP ─┤ offer: or is dropped ─► Intake ═══════════════════════► JournalWriter ─────► JournalPort
//!  HTTP ┘                           (bytes: bytes_max)     tick ──►  (GroupCommit)
//! ```
//!
//! A mailbox of actix has room for one more message per sender, and messages differ in size ten
//! thousandfold; so the bound is held by two semaphores: slots and bytes, given back with the
//! answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_rt::ArbiterHandle;
use tokio::sync::{Semaphore, TryAcquireError, oneshot};
use weir_schema::{Batch, Control, Entry};

use crate::balance::{self, Owed};
use crate::commit::{Answer, Permits, Refused, Submission};
use crate::journal::{CommitReceipt, JournalFault, SubmitError};
use crate::metrics::{DropReason, IngestMetrics};
use crate::writer::WriterOptions;

/// What a frame weighs in memory besides its bytes.
const FRAME_OVERHEAD_BYTES: usize = 64;

/// Up to where is a spool durable?
pub(crate) struct NextSequence {
    pub tenant: String,
    pub agent: String,
    pub spool: u64,
    pub reply: oneshot::Sender<u64>,
}

/// To be told when the writer has stopped.
pub(crate) type Stopped = oneshot::Sender<Result<(), JournalFault>>;

/// What the door needs of the writer, whatever its port is.
pub(crate) trait Mailbox: Send + Sync {
    fn try_submit(&self, submission: Submission) -> Result<(), MailboxRefusal<Submission>>;
    fn try_ask(&self, question: NextSequence) -> Result<(), MailboxRefusal<NextSequence>>;
    fn try_stop(&self, reply: Stopped) -> Result<(), MailboxRefusal<Stopped>>;
}

/// Why the mailbox takes no message, with the message.
pub(crate) enum MailboxRefusal<M> {
    Full(M),
    Closed(M),
}

/// Sends until there is room. Room lacks only for a moment: the semaphores bound what is in there.
async fn send_to<M>(
    mut message: M,
    mut send: impl FnMut(M) -> Result<(), MailboxRefusal<M>>,
) -> Result<(), M> {
    const PAUSE: Duration = Duration::from_millis(1);
    loop {
        match send(message) {
            Ok(()) => return Ok(()),
            Err(MailboxRefusal::Closed(message)) => return Err(message),
            Err(MailboxRefusal::Full(back)) => message = back,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Door {
    slots: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_max: u32,
    submissions_max: usize,
    metrics: IngestMetrics,
    writer: Box<dyn Mailbox>,
    own_thread: Option<ArbiterHandle>,
}

/// The way into the journal, for listeners and for the HTTP layer. Clones are one door.
#[derive(Clone)]
pub struct Intake {
    door: Arc<Door>,
}

/// An answer under way; it comes after the sync.
#[derive(Debug)]
pub struct PendingReceipt {
    answer: oneshot::Receiver<Answer>,
}

impl PendingReceipt {
    /// The answer, with the entries given back where the journal failed. They are whole only where
    /// they carry no delivery.
    pub(crate) async fn or_entries(self) -> Answer {
        self.answer.await.unwrap_or_else(|_| {
            Err(Refused {
                error: SubmitError::Stopped,
                entries: Vec::new(),
                // Who let go of the submission has settled its account.
                owed: Owed::nothing(),
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
        options: &WriterOptions,
        metrics: IngestMetrics,
    ) -> Self {
        let submissions_max = options.submissions();
        let bytes_max = u32::try_from(options.bytes_max.max(1)).unwrap_or(u32::MAX);
        Self {
            door: Arc::new(Door {
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

    /// Journals the batches, together or not at all; the answer comes after the sync.
    /// Waits while the writer has as much in hand as it may.
    pub async fn submit(&self, batches: Vec<Batch>) -> Result<CommitReceipt, SubmitError> {
        self.enqueue(batches).await?.await
    }

    /// As [`Self::submit`] in two steps: submissions enqueued one after the other are journaled in
    /// that order, while several answers are under way.
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

    /// Hands the batches over without waiting for room or answer: `Err` gives them back at a limit.
    /// What the journal then refuses is counted as dropped.
    pub fn offer(&self, batches: Vec<Batch>) -> Result<(), (SubmitError, Vec<Batch>)> {
        let owed = self.door.metrics.balance().owe(batches.iter());
        let permits = match self.try_permits(weight(&batches)) {
            Ok(permits) => Some(permits),
            Err(error) => {
                drop(owed.because(balance::reason(&error)));
                return Err((error, batches));
            }
        };
        let submission = Submission {
            entries: batches.into_iter().map(Entry::from).collect(),
            reply: None,
            owed,
            _permits: permits,
        };
        let refused = |error: SubmitError, submission: Submission| {
            drop(submission.owed.because(balance::reason(&error)));
            (error, batches_of(submission.entries))
        };
        self.door
            .writer
            .try_submit(submission)
            .map_err(|refusal| match refusal {
                MailboxRefusal::Full(submission) => refused(SubmitError::Busy, submission),
                MailboxRefusal::Closed(submission) => refused(SubmitError::Stopped, submission),
            })
    }

    /// The sequence up to which all events of an agent's spool are durable.
    pub async fn next_sequence(
        &self,
        tenant: &str,
        agent: &str,
        spool: u64,
    ) -> Result<u64, SubmitError> {
        let (reply, answer) = oneshot::channel();
        let question = NextSequence {
            tenant: tenant.to_owned(),
            agent: agent.to_owned(),
            spool,
            reply,
        };
        let sent = send_to(question, |question| self.door.writer.try_ask(question)).await;
        sent.map_err(|_| SubmitError::Stopped)?;
        answer.await.map_err(|_| SubmitError::Stopped)
    }

    /// Takes nothing more, journals and seals what is in hand, answers all, and closes the port.
    /// `Err`: the last commit failed, and was answered so.
    pub async fn stop(&self) -> Result<(), JournalFault> {
        self.door.slots.close();
        let (reply, answer) = oneshot::channel();
        let sent = send_to(reply, |reply| self.door.writer.try_stop(reply)).await;
        let outcome = match sent {
            Ok(()) => answer.await.unwrap_or(Ok(())),
            // It was stopped before.
            Err(_) => Ok(()),
        };
        if let Some(thread) = &self.door.own_thread {
            thread.stop();
        }
        outcome
    }

    pub(crate) async fn enqueue_entries(&self, entries: Vec<Entry>) -> Result<PendingReceipt, Refused> {
        let owed = self.owe(&entries);
        self.enqueue_owed(entries, owed).await
    }

    /// Opens the account of entries; whoever offers them again goes on with the same.
    pub(crate) fn owe(&self, entries: &[Entry]) -> Owed {
        let balance = self.door.metrics.balance();
        balance.owe(balance::batches(entries))
    }

    /// As [`Self::enqueue_entries`], with the account of an earlier try.
    pub(crate) async fn enqueue_owed(
        &self,
        entries: Vec<Entry>,
        owed: Owed,
    ) -> Result<PendingReceipt, Refused> {
        let owed = owed.because(DropReason::Stopping);
        let stopped = |entries, owed| Refused {
            error: SubmitError::Stopped,
            entries,
            owed,
        };
        let weight = entries.iter().map(entry_weight).sum();
        let Ok(permits) = self.permits(weight).await else {
            return Err(stopped(entries, owed));
        };
        let (reply, answer) = oneshot::channel();
        let submission = Submission {
            entries,
            reply: Some(reply),
            owed,
            _permits: Some(permits),
        };
        let sent = send_to(submission, |s| self.door.writer.try_submit(s)).await;
        sent.map_err(|submission| stopped(submission.entries, submission.owed))?;
        Ok(PendingReceipt { answer })
    }

    /// A submission heavier than all bytes takes them all and goes alone.
    fn bytes(&self, weight: usize) -> u32 {
        u32::try_from(weight)
            .unwrap_or(u32::MAX)
            .min(self.door.bytes_max)
    }

    async fn permits(&self, weight: usize) -> Result<Permits, SubmitError> {
        let bytes = Arc::clone(&self.door.bytes).acquire_many_owned(self.bytes(weight));
        let bytes = bytes.await.map_err(|_| SubmitError::Stopped)?;
        let slot = Arc::clone(&self.door.slots).acquire_owned();
        let slot = slot.await.map_err(|_| SubmitError::Stopped)?;
        self.observe_depth();
        Ok((slot, bytes))
    }

    fn try_permits(&self, weight: usize) -> Result<Permits, SubmitError> {
        let refused = |error| match error {
            TryAcquireError::Closed => SubmitError::Stopped,
            TryAcquireError::NoPermits => SubmitError::Busy,
        };
        let bytes = Arc::clone(&self.door.bytes).try_acquire_many_owned(self.bytes(weight));
        let bytes = bytes.map_err(refused)?;
        let slot = Arc::clone(&self.door.slots).try_acquire_owned();
        let slot = slot.map_err(refused)?;
        self.observe_depth();
        Ok((slot, bytes))
    }

    fn observe_depth(&self) {
        let free = self.door.slots.available_permits();
        let depth = self.door.submissions_max.saturating_sub(free);
        let gauge = &self.door.metrics.writer.mailbox_depth;
        gauge.with_label_values(&["journal"]).set(depth as i64);
    }
}

fn batches_of(entries: Vec<Entry>) -> Vec<Batch> {
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
