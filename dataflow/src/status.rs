//! Where the graph stands: shared by its threads, and read by whoever asks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use weir_operators::{Clock, Note};
use weir_schema::{BatchSeq, Epoch, EventTime, TenantKey};

use crate::backfill::{Backfill, Backfilling};
use crate::outputs::EpochOutput;
use crate::what_if::WhatIfs;

/// Where the graph stands; shared, cheap to read.
#[derive(Default)]
pub struct Status {
    done: AtomicU64,
    stopping: AtomicBool,
    failed: AtomicBool,
    /// The last commit was refused, and is tried again.
    held_up: AtomicBool,
    /// Which process of the cluster is gone, and why.
    lost: OnceLock<String>,
    progress: Mutex<Progress>,
    moved: Condvar,
    what_ifs: WhatIfs,
    pub(crate) backfilling: Backfilling,
}

#[derive(Default)]
struct Progress {
    done: u64,
    /// By batch: the greatest credible event time in it, and how many events. Sixteen bytes a batch.
    greatest: Vec<(EventTime, u32)>,
    greatest_ever: Option<EventTime>,
    clocks: std::collections::BTreeMap<TenantKey, Clock>,
}

impl Status {
    /// The last epoch whose results are in the ledger.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(self.done.load(Ordering::Acquire))
    }

    /// Watermark and settled line of each tenant.
    #[must_use]
    pub fn clocks(&self) -> Vec<Clock> {
        self.lock().clocks.values().copied().collect()
    }

    /// The greatest credible event time heard so far.
    #[must_use]
    pub fn greatest(&self) -> Option<EventTime> {
        self.lock().greatest_ever
    }

    /// What what-ifs have come to.
    #[must_use]
    pub fn what_ifs(&self) -> &WhatIfs {
        &self.what_ifs
    }

    /// How far the past is read again for new rules, where it is.
    #[must_use]
    pub fn backfill(&self) -> Option<Backfill> {
        self.backfilling.now()
    }

    /// Whether the ledger refuses the next commit: alerts wait until it takes it.
    #[must_use]
    pub fn held_up(&self) -> bool {
        self.held_up.load(Ordering::Acquire)
    }

    pub(crate) fn hold_up(&self, held_up: bool) {
        self.held_up.store(held_up, Ordering::Release);
    }

    /// Whether the host was told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Tells all threads to come to an end.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.moved.notify_all();
    }

    /// The batches before `end` that hold an event at or after `since`, with how many they hold.
    pub(crate) fn batches_since(&self, since: EventTime, end: u64) -> Vec<(BatchSeq, u32)> {
        let progress = self.lock();
        let greatest = progress.greatest.iter().zip(0..end);
        let wanted = greatest.filter(|((time, _), _)| *time >= since && *time > EventTime::MIN);
        let batch = |((_, events), seq): (&(EventTime, u32), u64)| (BatchSeq(seq), *events);
        wanted.map(batch).collect()
    }

    /// Why the graph cannot go on, where another process of the cluster is gone.
    #[must_use]
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    pub(crate) fn lose(&self, why: String) {
        let stopping = self.is_stopping();
        // Set though this process is about to end as well: that the other one did so first is no
        // failure of its own.
        if self.lost.set(why).is_ok() && !stopping {
            tracing::error!("{}", self.lost.get().map_or("", String::as_str));
        }
        self.fail();
    }

    /// Whether a thread of the graph gave up, or another process of the cluster is gone.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Waits until `epoch` is done; false if the graph stopped before or `wait` passed.
    pub fn wait_for(&self, epoch: Epoch, wait: Duration) -> bool {
        let waiting = |progress: &mut Progress| {
            progress.done < epoch.0 && !self.is_stopping() && !self.failed()
        };
        let guard = self.lock();
        let waited = self.moved.wait_timeout_while(guard, wait, waiting);
        let (progress, _) = waited.unwrap_or_else(PoisonError::into_inner);
        progress.done >= epoch.0
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // What it guards is replaced whole, so a panic elsewhere leaves nothing half-done.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what an epoch came to, once it is committed.
    pub(crate) fn note(&self, output: &EpochOutput) {
        let mut progress = self.lock();
        for note in &output.notes {
            let Note::Batch(batch) = note else { continue };
            let place = usize::try_from(batch.batch.local()).unwrap_or(usize::MAX);
            if progress.greatest.len() <= place {
                progress
                    .greatest
                    .resize(place.saturating_add(1), (EventTime::MIN, 0));
            }
            let events = u32::try_from(batch.events).unwrap_or(u32::MAX);
            progress.greatest[place] = (batch.greatest, events);
            progress.greatest_ever = progress.greatest_ever.max(Some(batch.greatest));
        }
        for clock in &output.clocks {
            progress.clocks.insert(clock.tenant, *clock);
        }
        self.backfilling.done(output.epoch);
        progress.done = output.epoch;
        self.done.store(output.epoch, Ordering::Release);
        drop(progress);
        self.moved.notify_all();
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.moved.notify_all();
    }
}
