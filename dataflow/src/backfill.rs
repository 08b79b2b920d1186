//! How far the past is read again for rules that are new.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use weir_schema::Epoch;

/// How far it is; wall time for people alone.
#[derive(Clone, Copy, Debug)]
pub struct Backfill {
    /// The epoch that waits for it.
    pub epoch: Epoch,
    /// Batches handed on, of all that hold events that the new rules see.
    pub batches: u64,
    pub batches_total: u64,
    pub events: u64,
    began: Instant,
}

impl Backfill {
    /// Events handed on a second, so far.
    #[must_use]
    pub fn events_per_second(&self) -> f64 {
        let seconds = self.began.elapsed().as_secs_f64();
        if seconds > 0.0 {
            self.events as f64 / seconds
        } else {
            0.0
        }
    }
}

/// The backfill under way, if there is one.
#[derive(Default)]
pub struct Backfilling(Mutex<Option<Backfill>>);

impl Backfilling {
    #[must_use]
    pub fn now(&self) -> Option<Backfill> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, epoch: Epoch, batches: usize) {
        if batches == 0 {
            return; // One of an earlier epoch may be under way.
        }
        self.set(Some(Backfill {
            epoch,
            batches: 0,
            batches_total: batches as u64,
            events: 0,
            began: Instant::now(),
        }));
    }

    pub(crate) fn step(&self, batches: usize, events: usize) {
        self.set(self.now().map(|known| Backfill {
            batches: known.batches + batches as u64,
            events: known.events + events as u64,
            ..known
        }));
    }

    /// An epoch is done: what it waited for is over.
    pub(crate) fn done(&self, epoch: u64) {
        if self.now().is_some_and(|known| known.epoch.0 <= epoch) {
            self.set(None);
        }
    }

    fn set(&self, to: Option<Backfill>) {
        // Replaced whole, so a panic elsewhere leaves nothing half-done.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}
