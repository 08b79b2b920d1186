//! Group commit: decides which submissions share a sync and when an epoch is sealed.
//!
//! The first submission after a quiet period is committed and sealed at once. Later commits wait for
//! `commit_delay` after the previous commit, and seals for `epoch_delay` after the previous seal,
//! unless enough events wait. A busy journal needs few syncs and few epochs, and a quiet journal adds
//! no delay. This module has no actor and no timer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use weir_schema::{Delivery, Entry, Epoch};

use crate::balance::{self, EventAccount};
use crate::deliveries::{BatchAdmission, Deliveries};
use crate::drop_reason::DropReason;
use crate::journal::{CommitReceipt, JournalFault, JournalPort, SubmitError};
use crate::metrics::IngestMetrics;

/// First wait after a fault. It doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// Longest wait after a fault: commits resume within a second after someone frees disk space.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// When the writer commits and seals. The defaults trade the cost of a sync against 5 ms of delay, and
/// the cost of an epoch in the graph against 20 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitOptions {
    /// Shortest time between two commits, unless `commit_events` events wait.
    pub commit_delay: Duration,
    /// Number of waiting events that are committed without delay. It must be below the number of
    /// events that one connection may have in flight; otherwise a single sender would wait for the
    /// delay with each of its windows.
    pub commit_events: usize,
    /// An epoch is sealed when it holds this many events. It may exceed them by less than one batch.
    pub epoch_events_max: usize,
    /// Shortest time between two seals, unless `epoch_events_max` events wait.
    pub epoch_delay: Duration,
}

impl Default for CommitOptions {
    fn default() -> Self {
        Self {
            commit_delay: Duration::from_millis(5),
            commit_events: 1_000,
            epoch_events_max: 10_000,
            epoch_delay: Duration::from_millis(20),
        }
    }
}

/// A submission that was not journaled. It returns the entries, so the submitter can retry.
#[derive(Debug)]
pub(crate) struct RejectedSubmission {
    pub error: SubmitError,
    pub entries: Vec<Entry>,
    /// The account of the events, for the retry.
    pub account: EventAccount,
}

pub(crate) type SubmitResult = Result<CommitReceipt, RejectedSubmission>;

/// The share of the writer's limits that a submission holds until it is dropped.
pub(crate) struct Permits {
    pub _slot: OwnedSemaphorePermit,
    pub _bytes: OwnedSemaphorePermit,
}

/// Entries to be journaled together.
pub(crate) struct Submission {
    pub entries: Vec<Entry>,
    /// `None` if nobody waits for the answer; events that are not journaled then count as dropped.
    pub reply: Option<oneshot::Sender<SubmitResult>>,
    pub account: EventAccount,
    /// `None` for entries that the writer itself submits.
    pub _permits: Option<Permits>,
}

/// Collects submissions and commits them in groups.
pub(crate) struct GroupCommit<P> {
    port: P,
    deliveries: Deliveries,
    metrics: IngestMetrics,
    options: CommitOptions,
    pending: Vec<Submission>,
    pending_events: usize,
    unsealed: UnsealedTotals,
    /// The next commit seals, regardless of `epoch_delay`.
    seal_requested: bool,
    last_commit: Option<Instant>,
    last_seal: Option<Instant>,
    /// After a fault, the earliest time of the next commit.
    retry_at: Option<Instant>,
    backoff: Duration,
}

/// Counts of the entries written since the last seal.
#[derive(Clone, Copy, Default)]
struct UnsealedTotals {
    entries: usize,
    events: usize,
}

/// A submission that is written but not synced.
struct WrittenSubmission {
    submission: Submission,
    receipt: CommitReceipt,
    /// The number of new events of each submitted batch.
    journaled: Vec<u64>,
    /// The protocol of the last delivery; all deliveries of a submission have the same one.
    protocol: Option<&'static str>,
}

impl<P: JournalPort> GroupCommit<P> {
    pub fn new(
        port: P,
        options: CommitOptions,
        metrics: IngestMetrics,
        deliveries: Deliveries,
    ) -> Self {
        Self {
            port,
            deliveries,
            metrics,
            options,
            pending: Vec::new(),
            pending_events: 0,
            unsealed: UnsealedTotals::default(),
            seal_requested: false,
            last_commit: None,
            last_seal: None,
            retry_at: None,
            backoff: BACKOFF_MIN,
        }
    }

    pub fn deliveries(&self) -> &Deliveries {
        &self.deliveries
    }

    pub fn push(&mut self, submission: Submission) {
        self.pending_events += events(&submission.entries);
        self.pending.push(submission);
    }

    /// Makes the next commit seal.
    pub fn request_seal(&mut self) {
        self.seal_requested = true;
    }

    /// Whether the last commit failed and the next one must wait.
    pub fn is_backing_off(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|until| until > now)
    }

    /// The time at which to call [`Self::commit`]; `None` if there is nothing to do.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let after = |last: Option<Instant>, delay| last.map_or(now, |last| last + delay);
        let CommitOptions {
            commit_delay,
            commit_events,
            epoch_events_max,
            epoch_delay,
        } = self.options;
        let commit = if self.pending.is_empty() {
            None
        } else if self.seal_requested || self.pending_events >= commit_events {
            Some(now)
        } else {
            Some(after(self.last_commit, commit_delay))
        };
        let seal = if self.unsealed.entries == 0 {
            None
        } else if self.seal_requested || self.unsealed.events >= epoch_events_max {
            Some(now)
        } else {
            Some(after(self.last_seal, epoch_delay))
        };
        let due = commit.into_iter().chain(seal).min()?;
        Some(self.retry_at.map_or(due, |until| due.max(until)))
    }

    /// Writes and syncs the pending submissions, seals if a seal is due, and answers the submitters.
    pub fn commit(&mut self, now: Instant) -> Result<(), JournalFault> {
        let group = std::mem::take(&mut self.pending);
        self.pending_events = 0;
        let before = self.deliveries.savepoint();
        let unsealed = self.unsealed;
        let mut written = Vec::with_capacity(group.len());
        let outcome = self.write(group, now, &mut written);
        match outcome {
            Ok(sealed) => {
                self.deliveries.commit();
                self.retry_at = None;
                self.backoff = BACKOFF_MIN;
                self.last_commit = Some(now);
                if sealed {
                    self.last_seal = Some(now);
                    self.seal_requested = false;
                }
                self.acknowledge(written);
                Ok(())
            }
            Err(fault) => {
                self.deliveries.rollback(before);
                self.unsealed = unsealed;
                self.retry_at = Some(now + self.backoff);
                self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
                self.metrics.writer.journal_faults.inc();
                tracing::error!(kind = ?fault.kind, %fault, "journal commit failed");
                self.reject(written, &fault);
                Err(fault)
            }
        }
    }

    /// Writes and syncs a group; returns whether an epoch was sealed. After an error, `written` holds
    /// all submissions that are not answered yet.
    fn write(
        &mut self,
        group: Vec<Submission>,
        now: Instant,
        written: &mut Vec<WrittenSubmission>,
    ) -> Result<bool, JournalFault> {
        let mut epoch = self.port.next_epoch();
        let mut outcome = Ok(());
        let mut wrote = false;
        let mut sealed = false;
        for submission in group {
            let Some(next) = self.admit(submission) else {
                continue;
            };
            for entry in &next.submission.entries {
                outcome = outcome.and_then(|()| self.port.append(entry));
                wrote = true;
                self.unsealed.entries += 1;
                self.unsealed.events += entry_events(entry);
            }
            written.push(next);
            if self.unsealed.events >= self.options.epoch_events_max {
                outcome = outcome.and_then(|()| self.seal(&mut epoch));
                sealed = true;
            }
        }
        outcome?;
        let delay_over = self
            .last_seal
            .is_none_or(|last| now >= last + self.options.epoch_delay);
        if self.unsealed.entries > 0 && (self.seal_requested || delay_over) {
            self.seal(&mut epoch)?;
            (wrote, sealed) = (true, true);
        }
        if wrote {
            self.port.sync()?;
        }
        Ok(sealed)
    }

    fn seal(&mut self, epoch: &mut Epoch) -> Result<(), JournalFault> {
        self.port.append(&Entry::Seal { epoch: *epoch })?;
        epoch.0 = epoch.0.saturating_add(1);
        self.unsealed = UnsealedTotals::default();
        Ok(())
    }

    /// Removes the duplicates from a submission. Answers it and returns `None` if it is refused.
    fn admit(&mut self, mut submission: Submission) -> Option<WrittenSubmission> {
        let before = self.deliveries.savepoint();
        let mut receipt = CommitReceipt::default();
        let mut entries = Vec::with_capacity(submission.entries.len());
        let mut protocol = None;
        let mut journaled = Vec::new();
        for entry in std::mem::take(&mut submission.entries) {
            let Entry::Batch(batch) = entry else {
                entries.push(entry);
                continue;
            };
            protocol = batch.delivery.as_ref().map(protocol_of).or(protocol);
            match self.deliveries.admit(Arc::unwrap_or_clone(batch)) {
                Ok(BatchAdmission {
                    batches,
                    duplicates,
                    conflicts,
                    next_sequence,
                }) => {
                    let events = batches.iter().map(|b| b.frames.len() as u64).sum();
                    journaled.push(events);
                    receipt.events += events;
                    receipt.duplicates += duplicates;
                    receipt.conflicts += conflicts;
                    receipt.next_sequence = next_sequence.or(receipt.next_sequence);
                    entries.extend(batches.into_iter().map(Entry::from));
                }
                Err(error) => {
                    self.deliveries.rollback(before);
                    if let (SubmitError::Conflict, Some(protocol)) = (&error, protocol) {
                        let conflicts = &self.metrics.writer.delivery_conflicts;
                        conflicts.with_label_values(&[protocol]).inc();
                    }
                    let account = submission.account.with_reason(balance::drop_reason(&error));
                    if let Some(reply) = submission.reply {
                        let entries = Vec::new();
                        // The submitter may no longer wait.
                        let _ = reply.send(Err(RejectedSubmission {
                            error,
                            entries,
                            account,
                        }));
                    }
                    return None;
                }
            }
        }
        submission.entries = entries;
        Some(WrittenSubmission {
            submission,
            receipt,
            journaled,
            protocol,
        })
    }

    fn acknowledge(&self, written: Vec<WrittenSubmission>) {
        let events: u64 = written.iter().map(|next| next.receipt.events).sum();
        self.metrics.writer.events_journaled.inc_by(events);
        self.metrics.writer.commit_events.observe(events as f64);
        for next in written {
            let CommitReceipt {
                duplicates,
                conflicts,
                ..
            } = next.receipt;
            if let Some(protocol) = next.protocol
                && duplicates + conflicts > 0
            {
                let metrics = &self.metrics.writer;
                let counted = metrics.delivery_duplicates.with_label_values(&[protocol]);
                counted.inc_by(duplicates);
                let counted = metrics.delivery_conflicts.with_label_values(&[protocol]);
                counted.inc_by(conflicts);
            }
            next.submission.account.settle(&next.journaled);
            if let Some(reply) = next.submission.reply {
                // The submitter may no longer wait; its events are durable anyway.
                let _ = reply.send(Ok(next.receipt));
            }
        }
    }

    fn reject(&self, written: Vec<WrittenSubmission>, fault: &JournalFault) {
        for next in written {
            let entries = next.submission.entries;
            let account = next
                .submission
                .account
                .with_reason(DropReason::JournalFault);
            match next.submission.reply {
                Some(reply) => {
                    let error = SubmitError::Fault(fault.clone());
                    let _ = reply.send(Err(RejectedSubmission {
                        error,
                        entries,
                        account,
                    }));
                }
                None => count_dropped(&self.metrics, &entries, DropReason::JournalFault),
            }
        }
    }
}

/// Counts the events of entries that no sender can send again.
pub(crate) fn count_dropped(metrics: &IngestMetrics, entries: &[Entry], reason: DropReason) {
    for entry in entries {
        if let Entry::Batch(batch) = entry {
            metrics.count_dropped(batch.transport, reason, batch.frames.len() as u64);
        }
    }
}

fn protocol_of(delivery: &Delivery) -> &'static str {
    match delivery {
        Delivery::Agent { .. } => "agent",
        Delivery::Http { .. } => "http",
    }
}

fn events(entries: &[Entry]) -> usize {
    entries.iter().map(entry_events).sum()
}

fn entry_events(entry: &Entry) -> usize {
    match entry {
        Entry::Batch(batch) => batch.frames.len(),
        Entry::Control(_) | Entry::Seal { .. } => 0,
    }
}
