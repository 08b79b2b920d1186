//! The progress of backfills, as people see it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use weir_schema::Epoch;

/// The progress of one backfill. It uses wall time, and no result depends on it.
#[derive(Clone, Copy, Debug)]
pub struct BackfillProgress {
    /// The epoch that added the rules.
    pub epoch: Epoch,
    /// Batches read so far.
    pub batches: u64,
    /// All batches with events that the new rules must see.
    pub batches_total: u64,
    pub events: u64,
    started: Instant,
    /// The epoch that holds the last batch, once it is known.
    last_epoch: Option<Epoch>,
}

impl BackfillProgress {
    /// Events read per second so far.
    #[must_use]
    pub fn events_per_second(&self) -> f64 {
        let seconds = self.started.elapsed().as_secs_f64();
        if seconds > 0.0 {
            self.events as f64 / seconds
        } else {
            0.0
        }
    }
}

/// The backfills in progress.
#[derive(Default)]
pub struct BackfillTracker(Mutex<Vec<BackfillProgress>>);

impl BackfillTracker {
    /// The sum of all backfills; `None` if there is none.
    #[must_use]
    pub fn total(&self) -> Option<BackfillProgress> {
        let all = self.lock();
        let (first, rest) = all.split_first()?;
        Some(rest.iter().fold(*first, |sum, one| BackfillProgress {
            batches: sum.batches + one.batches,
            batches_total: sum.batches_total + one.batches_total,
            events: sum.events + one.events,
            ..sum
        }))
    }

    pub(crate) fn begin(&self, epoch: Epoch, batches: usize) {
        self.lock().push(BackfillProgress {
            epoch,
            batches: 0,
            batches_total: batches as u64,
            events: 0,
            started: Instant::now(),
            last_epoch: None,
        });
    }

    /// Counts a batch that was read for the backfill that began in `start`.
    pub(crate) fn add_batch(&self, start: Epoch, events: usize) {
        for one in self.lock().iter_mut().filter(|one| one.epoch == start) {
            one.batches += 1;
            one.events += events as u64;
        }
    }

    /// Records that `epoch` holds the last batch of the backfill that began in `start`.
    pub(crate) fn set_last_epoch(&self, start: Epoch, epoch: Epoch) {
        for one in self.lock().iter_mut().filter(|one| one.epoch == start) {
            one.last_epoch = Some(epoch);
        }
    }

    /// Removes the backfills that end with `epoch`, which is committed.
    pub(crate) fn finish_epoch(&self, epoch: u64) {
        self.lock()
            .retain(|one| one.last_epoch.is_none_or(|last| last.0 > epoch));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<BackfillProgress>> {
        // After a panic elsewhere a count may lag; only people read it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
