//! The activity of a sink, as the server's watch reads it without asking the sink.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use weir_schema::ReceiveTime;

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
    /// Since when the oldest alert waits: one that is undelivered, or one that is unread because
    /// the sink is slower than its alerts. `None` if none waits.
    pub waits_since: Option<ReceiveTime>,
    /// Whether the consumer has stopped the sink; a person must enable it again.
    pub is_stopped: bool,
}

/// The work of a sink at the end of a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SinkBacklog {
    pub waiting: usize,
    pub waits_since: Option<ReceiveTime>,
    pub is_paused: bool,
    pub is_stopped: bool,
}

/// The counters of one sink. Only its task changes them.
#[derive(Debug, Default)]
pub(crate) struct SinkActivity {
    turns: AtomicU64,
    attempts: AtomicU64,
    waiting: AtomicUsize,
    failing: AtomicBool,
    paused: AtomicBool,
    stopped: AtomicBool,
    /// Nanoseconds; [`NOTHING_WAITS`] without an alert that waits.
    waits_since: AtomicI64,
}

/// Also the value before the first turn, so no alert seems to wait then.
const NOTHING_WAITS: i64 = 0;

impl SinkActivity {
    /// Records a turn of the loop.
    pub fn turn(&self, backlog: SinkBacklog) {
        let since = backlog
            .waits_since
            .map_or(NOTHING_WAITS, |since| since.0.max(NOTHING_WAITS + 1));
        self.waits_since.store(since, Ordering::Relaxed);
        self.waiting.store(backlog.waiting, Ordering::Relaxed);
        self.paused.store(backlog.is_paused, Ordering::Relaxed);
        self.stopped.store(backlog.is_stopped, Ordering::Relaxed);
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
        let since = self.waits_since.load(Ordering::Relaxed);
        SinkActivityReport {
            sink: sink.to_owned(),
            turns: self.turns.load(Ordering::Relaxed),
            attempts: self.attempts.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            is_consumer_down: failing || self.paused.load(Ordering::Relaxed),
            waits_since: (since != NOTHING_WAITS).then_some(ReceiveTime(since)),
            is_stopped: self.stopped.load(Ordering::Relaxed),
        }
    }
}
