//! The activity of a sink, as the server's watch reads it without asking the sink.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The activity of one sink at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkActivityReport {
    pub sink: String,
    /// Counts up with each turn of the sink's loop, however it ends. 0 until the sink starts.
    pub turns: u64,
    /// Deliveries that ended, accepted or not.
    pub attempts: u64,
    /// Alerts with undelivered rows; dead letters do not count.
    pub waiting: usize,
    /// Whether its consumer is known to be down: the last attempt failed, or the consumer asked
    /// for a pause or a stop.
    pub is_consumer_down: bool,
}

/// The counters of one sink. Only its task changes them.
#[derive(Debug, Default)]
pub(crate) struct SinkActivity {
    turns: AtomicU64,
    attempts: AtomicU64,
    waiting: AtomicUsize,
    failing: AtomicBool,
    paused: AtomicBool,
}

impl SinkActivity {
    /// Records a turn of the loop.
    pub fn turn(&self, waiting: usize, is_paused: bool) {
        self.waiting.store(waiting, Ordering::Relaxed);
        self.paused.store(is_paused, Ordering::Relaxed);
        self.step();
    }

    /// Records progress within a turn.
    pub fn step(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Records the end of a delivery.
    pub fn attempt(&self, is_accepted: bool) {
        self.failing.store(!is_accepted, Ordering::Relaxed);
        self.attempts.fetch_add(1, Ordering::Relaxed);
        self.step();
    }

    pub fn report(&self, sink: &str) -> SinkActivityReport {
        let failing = self.failing.load(Ordering::Relaxed);
        SinkActivityReport {
            sink: sink.to_owned(),
            turns: self.turns.load(Ordering::Relaxed),
            attempts: self.attempts.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            is_consumer_down: failing || self.paused.load(Ordering::Relaxed),
        }
    }
}
