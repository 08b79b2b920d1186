//! The delivery queue of a sink: the rows it still has to deliver, and whose turn is next.
//!
//! ```text
//! outbox ──► push ──► new (ALERTS_MAX alerts, ROWS_MAX rows) ──► next ──► consumer
//!              ▲ stops at a limit: the rest stays on disk        ▲   │
//!              │                                      after a delay  │
//!              ├── failing (FAILING_MAX alerts, ROWS_MAX rows) ──┘   │
//!              │                       ▲ fail ◄──────────────────────┤
//!              └── give up: dead (DEAD_MAX) ◄────────────────────────┘
//! ```
//!
//! New and failing alerts are both pending. Failing alerts have limits and turns of their own, so
//! they never take those of new ones.
//!
//! Rows of one alert are delivered in order, one at a time. Rows of different alerts do not wait
//! for one another, with one exception: a merger, where one alert supersedes another.
//!
//! - A merger waits until no row of the superseded alert is in flight.
//! - It discards the earlier pending rows of the superseded alert. The discard is journaled before
//!   the merger is sent. Otherwise a crash would send the discarded rows after all, and the merger
//!   that retracts them would be a duplicate to the consumer.
//! - It holds back the later rows of the superseded alert.
//! - Mergers are never discarded themselves; a later merger waits for them.
//!
//! The queue does no I/O and reads no clock, so a test can drive it through years.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_schema::outbox::Cursor;
use weir_schema::{AlertId, ChangeKind, ReceiveTime};

use crate::delivery::position::SinkPosition;
use crate::failure::DeliveryFailure;
use crate::retry::RetryPolicy;

mod dead_letters;
pub use dead_letters::SinkDeadLetter;

mod failing;
pub(crate) use failing::QueueLosses;

mod checkpoint;

/// New alerts with pending rows. The sink reads no further until one is tried: some 30 KiB a sink.
pub(crate) const ALERTS_MAX: usize = 256;
/// Pending rows of new alerts, and as many of failing ones.
pub(crate) const ROWS_MAX: usize = 4_096;
/// Failing alerts. Four windows of new ones, some 120 KiB a sink: an outage of hours rarely raises
/// more, and an attacker needs that many alerts to make Weir give up one early.
pub(crate) const FAILING_MAX: usize = 1_024;
/// Dead letters. At the limit the oldest permanent refusal is dropped. Without one, the sink gives
/// up no further alert, but retries it.
pub(crate) const DEAD_MAX: usize = 1_000;
/// Failing alerts in flight at once: half of the requests of a webhook. The others are for new
/// alerts, even if each failing one waits for its timeout.
pub(crate) const FAILING_IN_FLIGHT_MAX: usize = 4;
/// New alerts that are taken before a failing one has its turn.
const NEW_TURNS_MAX: u32 = 3;
/// Bytes of a failure's reason that are retained.
pub(crate) const REASON_BYTES_MAX: usize = 160;

/// A row of the outbox that a sink has to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryRow {
    pub at: Cursor,
    /// Names the change together with the alert; the change is read when its turn comes.
    pub revision: u64,
    /// The kind under which the sink sends the change.
    pub kind: ChangeKind,
    pub supersedes: Vec<AlertId>,
}

/// Pending rows of one alert.
#[derive(Clone, Debug)]
struct PendingAlert {
    rows: VecDeque<DeliveryRow>,
    in_flight: bool,
    tries: u32,
    /// Attempts that the consumer refused for good.
    refusals: u32,
    due: ReceiveTime,
    since: ReceiveTime,
    /// Due before its time, because the consumer accepted another alert.
    advanced: bool,
    /// It failed after it was advanced. The consumer refuses this alert and accepts others, so
    /// the next delay is not cut short again.
    keeps_delay: bool,
    /// The consumer accepted another alert since this one failed last.
    is_passed_over: bool,
    /// It failed again after that.
    is_singled_out: bool,
}

/// The queue of one sink.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryQueue {
    retry: RetryPolicy,
    read: Cursor,
    pending: BTreeMap<AlertId, PendingAlert>,
    rows: usize,
    dead: BTreeMap<AlertId, SinkDeadLetter>,
    /// Undelivered mergers by superseded alert: the row, and the alert that supersedes.
    mergers: BTreeMap<AlertId, BTreeSet<(Cursor, AlertId)>>,
    pause_until: ReceiveTime,
    stop_reason: Option<String>,
    /// New alerts that were taken since the last failing one.
    new_turns: u32,
    /// Rows were discarded, and the journal does not know yet.
    has_unjournaled_discard: bool,
    journaled: Option<SinkPosition>,
}

impl DeliveryQueue {
    /// A queue of a sink that has delivered everything up to `read`.
    #[must_use]
    pub(crate) fn new(read: Cursor, retry: RetryPolicy) -> Self {
        Self {
            retry,
            read,
            pending: BTreeMap::new(),
            rows: 0,
            dead: BTreeMap::new(),
            mergers: BTreeMap::new(),
            pause_until: ReceiveTime::MIN,
            stop_reason: None,
            new_turns: 0,
            has_unjournaled_discard: false,
            journaled: None,
        }
    }

    /// How far the outbox has been read.
    #[must_use]
    pub(crate) fn read(&self) -> Cursor {
        self.read
    }

    /// Whether another row may be read.
    #[must_use]
    pub(crate) fn has_room(&self) -> bool {
        let (new, failing) = (self.new_load(), self.failing_load());
        let has_room = new.alerts < ALERTS_MAX && new.rows < ROWS_MAX;
        self.stop_reason.is_none() && has_room && !failing.is_full()
    }

    /// Accepts the next row of the outbox. `alert` is `None` for a row that the sink does not send.
    pub(crate) fn push(&mut self, row: DeliveryRow, alert: Option<AlertId>, now: ReceiveTime) {
        debug_assert!(row.at > self.read, "rows come in order");
        self.read = row.at;
        let Some(alert) = alert else {
            return;
        };
        if let Some(letter) = self.dead.get_mut(&alert) {
            letter.add_row(row.at);
            self.record_mergers(alert, &row);
            return;
        }
        self.enqueue(alert, vec![row], now, now);
    }

    fn enqueue(
        &mut self,
        alert: AlertId,
        rows: Vec<DeliveryRow>,
        due: ReceiveTime,
        since: ReceiveTime,
    ) {
        self.rows += rows.len();
        rows.iter().for_each(|row| self.record_mergers(alert, row));
        let pending = self.pending.entry(alert).or_insert_with(|| PendingAlert {
            rows: VecDeque::new(),
            in_flight: false,
            tries: 0,
            refusals: 0,
            due,
            since,
            advanced: false,
            keeps_delay: false,
            is_passed_over: false,
            is_singled_out: false,
        });
        pending.rows.extend(rows);
    }

    /// Records the mergers of a row of the alert `by`.
    fn record_mergers(&mut self, by: AlertId, row: &DeliveryRow) {
        for alert in row.supersedes.iter().filter(|alert| **alert != by) {
            self.mergers.entry(*alert).or_default().insert((row.at, by));
            if let Some(letter) = self.dead.get_mut(alert) {
                letter.add_merger(row.at);
            }
        }
    }

    /// Takes the row whose turn it is; it is in flight from now on.
    ///
    /// Returns `None` also if a checkpoint must be journaled first: see
    /// [`Self::needs_checkpoint`].
    pub(crate) fn next(&mut self, now: ReceiveTime) -> Option<(AlertId, DeliveryRow)> {
        if self.has_unjournaled_discard || self.is_paused(now) {
            return None;
        }
        let due = self.pending.iter().filter(|(_, alert)| alert.due <= now);
        let may_retry = self.may_retry();
        let has_turn = due.filter(|(_, alert)| may_retry || !alert.is_failing());
        let ready = has_turn.filter_map(|(id, alert)| {
            let row = alert.rows.front().filter(|row| self.is_ready(*id, row))?;
            let is_later = alert.is_failing() != (self.new_turns >= NEW_TURNS_MAX);
            Some(((is_later, alert.due, row.at, *id), row, alert.is_failing()))
        });
        let (key, row, is_failing) = ready.min_by_key(|(key, _, _)| *key)?;
        let (alert, row) = (key.3, row.clone());
        for superseded in row.supersedes.iter().filter(|other| **other != alert) {
            self.has_unjournaled_discard |= self.discard_before(*superseded, row.at);
        }
        if self.has_unjournaled_discard {
            return None;
        }
        self.pending.get_mut(&alert)?.in_flight = true;
        self.new_turns = match is_failing {
            true => 0,
            false => self.new_turns.saturating_add(1),
        };
        Some((alert, row))
    }

    /// Whether [`Self::checkpoint`] must be journaled before the next row can be taken.
    #[must_use]
    pub(crate) fn needs_checkpoint(&self) -> bool {
        self.has_unjournaled_discard
    }

    /// Whether no merger and no row in flight holds the row back.
    fn is_ready(&self, alert: AlertId, row: &DeliveryRow) -> bool {
        let in_flight = |id: &AlertId| self.pending.get(id).is_some_and(|alert| alert.in_flight);
        let mergers = self.mergers.get(&alert).into_iter().flatten();
        let mut blocking = mergers.filter(|(at, by)| *at < row.at || in_flight(by));
        let mut superseded = row.supersedes.iter().filter(|other| **other != alert);
        !in_flight(&alert)
            && blocking.next().is_none()
            && superseded.all(|other| !in_flight(other) && !self.has_merger_by(*other, row.at))
    }

    /// Whether `by` has an undelivered merger before `end`.
    fn has_merger_by(&self, by: AlertId, end: Cursor) -> bool {
        let mut mergers = self.mergers.values().flatten();
        mergers.any(|(at, other)| *other == by && *at < end)
    }

    /// When [`Self::next`] may return a row that it does not return now. Rows in flight do not
    /// count.
    #[must_use]
    pub(crate) fn due(&self, now: ReceiveTime) -> Option<ReceiveTime> {
        if self.stop_reason.is_some() {
            return None;
        }
        let waiting = self.pending.values().filter(|alert| !alert.in_flight);
        let later = waiting
            .map(|alert| alert.due.max(self.pause_until))
            .filter(|due| *due > now);
        later.min()
    }

    /// Removes the row in flight, which the consumer has accepted.
    pub(crate) fn complete(&mut self, alert: AlertId, now: ReceiveTime) {
        let Some(pending) = self.pending.get_mut(&alert) else {
            return;
        };
        (pending.in_flight, pending.tries, pending.refusals) = (false, 0, 0);
        (pending.due, pending.since) = (now, now);
        (pending.advanced, pending.keeps_delay) = (false, false);
        (pending.is_passed_over, pending.is_singled_out) = (false, false);
        let row = pending.rows.pop_front();
        if pending.rows.is_empty() {
            self.pending.remove(&alert);
        }
        for other in self.pending.values_mut() {
            other.is_passed_over |= other.is_failing() && !other.in_flight;
        }
        // A consumer that accepts one alert may accept all of them again.
        let waiting = self.pending.values_mut();
        let waiting = waiting.filter(|other| !other.in_flight && !other.keeps_delay);
        let delayed = waiting.filter(|other| other.due > now);
        delayed.for_each(|other| (other.due, other.advanced) = (now, true));
        let Some(row) = row else {
            return;
        };
        self.rows -= 1;
        for superseded in &row.supersedes {
            self.remove_merger(*superseded, row.at, alert);
        }
    }

    fn remove_merger(&mut self, superseded: AlertId, at: Cursor, by: AlertId) {
        if let Some(mergers) = self.mergers.get_mut(&superseded) {
            mergers.remove(&(at, by));
            if mergers.is_empty() {
                self.mergers.remove(&superseded);
            }
        }
    }

    /// Discards the rows of `alert` before `end`, where a merger supersedes it. True if there were
    /// any.
    fn discard_before(&mut self, alert: AlertId, end: Cursor) -> bool {
        let mut is_changed = false;
        if let Some(pending) = self.pending.get_mut(&alert) {
            while pending.rows.pop_front_if(|row| row.at < end).is_some() {
                self.rows -= 1;
                is_changed = true;
            }
            if pending.rows.is_empty() {
                self.pending.remove(&alert);
            }
        }
        is_changed | self.discard_dead_before(alert, end)
    }

    /// Pauses or stops the whole sink if the failure asks for it.
    pub(crate) fn apply_failure(&mut self, failure: &DeliveryFailure, now: ReceiveTime) {
        self.pause_until = self.pause_until.max(now.plus(failure.bounded_pause()));
        if failure.gone {
            self.stop_reason = Some(truncated(&failure.reason));
        }
    }

    /// Whether the sink may send nothing now.
    #[must_use]
    pub(crate) fn is_paused(&self, now: ReceiveTime) -> bool {
        self.stop_reason.is_some() || now < self.pause_until
    }

    /// Number of alerts with pending rows; dead letters do not count.
    #[must_use]
    pub(crate) fn pending_alerts(&self) -> usize {
        self.pending.len()
    }

    /// Since when the oldest of them waits.
    #[must_use]
    pub(crate) fn oldest_since(&self) -> Option<ReceiveTime> {
        self.pending.values().map(|alert| alert.since).min()
    }

    /// Why the sink sends nothing until a person resumes it.
    #[must_use]
    pub(crate) fn stop_reason(&self) -> Option<&str> {
        self.stop_reason.as_deref()
    }

    /// Resumes a stopped sink, and makes every pending alert due at once.
    pub(crate) fn resume(&mut self, now: ReceiveTime) {
        (self.stop_reason, self.pause_until) = (None, now);
        for alert in self.pending.values_mut() {
            (alert.due, alert.advanced, alert.keeps_delay) = (now, false, false);
        }
    }
}

/// The start of a reason, at most [`REASON_BYTES_MAX`] bytes.
fn truncated(reason: &str) -> String {
    reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests;
