//! The progress and health of the graph, shared by its threads and its users.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use weir_operators::{Note, TenantClock};
use weir_schema::{BatchSeq, Epoch, EventTime, TenantKey};

use crate::backfill::{BackfillProgress, BackfillTracker};
use crate::outage::{Outage, Outages, PortCall};
use crate::outputs::EpochOutput;
use crate::port::PortFault;
use crate::progress::{GraphThreads, ThreadReport};
use crate::what_if::WhatIfs;

/// The progress and health of the graph. Shared, and cheap to read.
#[derive(Default)]
pub struct Status {
    last_epoch: AtomicU64,
    stopping: AtomicBool,
    failed: AtomicBool,
    /// Calls of ports that fail and are being retried.
    outages: Outages,
    /// Why the graph has stopped, unless it was told to.
    failure: OnceLock<String>,
    /// The process of the cluster that is lost, and why.
    loss: OnceLock<String>,
    progress: Mutex<Progress>,
    changed: Condvar,
    what_ifs: WhatIfs,
    pub(crate) threads: GraphThreads,
    pub(crate) backfills: BackfillTracker,
}

#[derive(Default)]
struct Progress {
    last_epoch: u64,
    /// By batch. Sixteen bytes each.
    batches: Vec<BatchExtent>,
    max_event_time: Option<EventTime>,
    clocks: std::collections::BTreeMap<TenantKey, TenantClock>,
}

/// The latest time of an event of a batch, and its number of events.
#[derive(Clone, Copy)]
struct BatchExtent {
    max_event_time: EventTime,
    events: u32,
}

impl BatchExtent {
    /// A batch whose note has not arrived.
    const UNKNOWN: Self = Self {
        max_event_time: EventTime::MIN,
        events: 0,
    };
}

impl Status {
    /// The last epoch whose results are in the ledger.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.last_epoch.load(Ordering::Acquire))
    }

    /// The watermark and the settled line of each tenant.
    #[must_use]
    pub fn clocks(&self) -> Vec<TenantClock> {
        self.lock().clocks.values().copied().collect()
    }

    /// The greatest credible event time so far.
    #[must_use]
    pub fn max_event_time(&self) -> Option<EventTime> {
        self.lock().max_event_time
    }

    /// The what-ifs and their results.
    #[must_use]
    pub fn what_ifs(&self) -> &WhatIfs {
        &self.what_ifs
    }

    /// The progress of backfills; `None` if there is none.
    #[must_use]
    pub fn backfill(&self) -> Option<BackfillProgress> {
        self.backfills.total()
    }

    /// The call of a port that has failed longest; `None` if all succeed. The graph retries it.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        self.outages.longest()
    }

    /// The progress of the graph's threads; of its workers, unless other processes run some.
    #[must_use]
    pub fn threads(&self, clustered: bool) -> Vec<ThreadReport> {
        self.threads.threads(clustered)
    }

    /// Records that a call was done, or will be repeated: its thread makes progress.
    pub(crate) fn step(&self, call: PortCall) {
        match call {
            PortCall::ReadEpoch => self.threads.feeder.step(),
            PortCall::ReadEvidence | PortCall::WriteLedger => self.threads.committer.step(),
        }
    }

    /// Records that a call failed. Returns whether to log it.
    pub(crate) fn record_fault(&self, call: PortCall, fault: &PortFault, now: Instant) -> bool {
        self.step(call);
        self.outages.record(call, fault, now)
    }

    /// Records that a call succeeded. Returns the outage that ended.
    pub(crate) fn end_outage(&self, call: PortCall) -> Option<Outage> {
        self.outages.end(call)
    }

    /// Whether the host is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Makes all threads stop.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// The batches before `end` with an event at or after `since`, each with its number of events.
    pub(crate) fn batches_since(&self, since: EventTime, end: u64) -> Vec<(BatchSeq, u32)> {
        let progress = self.lock();
        let batches = progress.batches.iter().zip(0..end);
        let wanted = batches.filter(|(batch, _)| {
            batch.max_event_time >= since && batch.max_event_time > EventTime::MIN
        });
        wanted
            .map(|(batch, seq)| (BatchSeq(seq), batch.events))
            .collect()
    }

    /// The other process of the cluster that is lost, and why; the graph cannot go on without it.
    #[must_use]
    pub fn loss(&self) -> Option<&str> {
        self.loss.get().map(String::as_str)
    }

    /// Why the graph has stopped without being told to; `None` while it runs.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        if !self.failed() {
            return None;
        }
        let why = self.loss().or(self.failure.get().map(String::as_str));
        Some(why.unwrap_or("the graph stopped; see the log").to_owned())
    }

    pub(crate) fn report_loss(&self, why: String) {
        let stopping = self.is_stopping();
        // Recorded even while this process stops: then it is no failure that the other one ended
        // first.
        if self.loss.set(why).is_ok() && !stopping {
            tracing::error!("{}", self.loss.get().map_or("", String::as_str));
        }
        self.fail("another process of the cluster is gone");
    }

    /// Whether a thread of the graph failed, or another process of the cluster is lost.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Waits until `epoch` is done; false if the graph stopped before that, or `wait` passed.
    pub fn wait_for(&self, epoch: Epoch, wait: Duration) -> bool {
        let waiting = |progress: &mut Progress| progress.last_epoch < epoch.0 && !self.is_over();
        let guard = self.lock();
        let waited = self.changed.wait_timeout_while(guard, wait, waiting);
        let (progress, _) = waited.unwrap_or_else(PoisonError::into_inner);
        progress.last_epoch >= epoch.0
    }

    /// Whether the graph is stopping or has failed.
    pub(crate) fn is_over(&self) -> bool {
        self.is_stopping() || self.failed()
    }

    /// Waits for `pause`, or until the graph stops.
    pub(crate) fn pause(&self, pause: Duration) {
        let guard = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(guard, pause, |_| !self.is_over());
        drop(waited);
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Its parts are replaced whole, so a panic elsewhere leaves nothing half-done.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the results of an epoch after its commit.
    pub(crate) fn finish_epoch(&self, output: &EpochOutput) {
        let mut progress = self.lock();
        for note in &output.notes {
            let Note::Batch(batch) = note else { continue };
            let index = usize::try_from(batch.batch.local()).unwrap_or(usize::MAX);
            if progress.batches.len() <= index {
                progress
                    .batches
                    .resize(index.saturating_add(1), BatchExtent::UNKNOWN);
            }
            progress.batches[index] = BatchExtent {
                max_event_time: batch.latest,
                events: u32::try_from(batch.events).unwrap_or(u32::MAX),
            };
            progress.max_event_time = progress.max_event_time.max(Some(batch.greatest));
        }
        for clock in &output.clocks {
            progress.clocks.insert(clock.tenant, *clock);
        }
        self.backfills.finish_epoch(output.epoch);
        progress.last_epoch = output.epoch;
        self.last_epoch.store(output.epoch, Ordering::Release);
        drop(progress);
        self.changed.notify_all();
    }

    /// Stops the graph because a part of it has ended. The first reason is kept.
    pub(crate) fn fail(&self, why: &str) {
        let _ = self.failure.set(why.to_owned());
        self.failed.store(true, Ordering::Release);
        self.changed.notify_all();
    }
}
