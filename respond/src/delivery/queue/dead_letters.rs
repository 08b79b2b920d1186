//! Dead letters: alerts that a sink gave up, their later rows, and how they are sent again.

use std::collections::BTreeMap;

use weir_schema::outbox::Cursor;
use weir_schema::{AlertId, ReceiveTime};

use super::{DeliveryQueue, DeliveryRow, truncated};

/// Begins the reason of a permanent refusal. Such a dead letter is dropped at the limit; the prefix
/// is journaled, so this holds after a restart too.
const REFUSAL: &str = "refused for good: ";

/// An alert that the sink gave up, with the rows that came since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkDeadLetter {
    /// The first undelivered row.
    pub from: Cursor,
    /// The last row.
    pub last: Cursor,
    /// Number of undelivered rows. It is too high only while one merger that supersedes the alert
    /// has been delivered and another is still pending.
    pub rows: u64,
    /// The last pending merger that supersedes the alert.
    last_merger: Cursor,
    /// Rows behind that merger: those that remain once it is delivered.
    rows_after_merger: u64,
    pub since: ReceiveTime,
    pub reason: String,
}

impl SinkDeadLetter {
    /// Makes a dead letter of rows; `None` without any. `last_merger` is the last pending row that
    /// supersedes the alert.
    pub(super) fn from_rows(
        rows: impl Iterator<Item = Cursor>,
        last_merger: Cursor,
        since: ReceiveTime,
        reason: String,
    ) -> Option<Self> {
        let rows: Vec<Cursor> = rows.collect();
        let behind = rows.iter().filter(|at| **at > last_merger).count();
        Some(Self {
            from: *rows.first()?,
            last: *rows.last()?,
            rows: rows.len() as u64,
            last_merger,
            rows_after_merger: behind as u64,
            since,
            reason,
        })
    }

    /// Adds a later row of the alert.
    pub(super) fn add_row(&mut self, at: Cursor) {
        self.last = at;
        self.rows += 1;
        self.rows_after_merger += 1;
    }

    /// Notes a later row that supersedes the alert.
    pub(super) fn add_merger(&mut self, at: Cursor) {
        (self.last_merger, self.rows_after_merger) = (at, 0);
    }
}

impl DeliveryQueue {
    /// Makes a pending alert a dead letter. `is_refused` notes in the reason, which is journaled,
    /// that the consumer refuses this alert.
    pub(super) fn give_up(&mut self, alert: AlertId, reason: &str, is_refused: bool) {
        let Some(pending) = self.pending.remove(&alert) else {
            return;
        };
        self.rows -= pending.rows.len();
        let last_merger = self.last_merger_of(alert);
        let rows = pending.rows.iter().map(|row| row.at);
        let reason = match is_refused {
            true => truncated(&format!("{REFUSAL}{reason}")),
            false => truncated(reason),
        };
        if let Some(letter) = SinkDeadLetter::from_rows(rows, last_merger, pending.since, reason) {
            self.dead.insert(alert, letter);
        }
    }

    /// The permanent refusal that has waited longest.
    pub(super) fn oldest_refusal(&self) -> Option<AlertId> {
        let letters = self.dead.iter();
        let refused = letters.filter(|(_, letter)| letter.reason.starts_with(REFUSAL));
        let oldest = refused.min_by_key(|(alert, letter)| (letter.since, letter.from, **alert));
        oldest.map(|(alert, _)| *alert)
    }

    /// Drops a dead letter. Its mergers no longer hold back the alerts that they supersede.
    pub(super) fn drop_letter(&mut self, alert: AlertId) {
        self.dead.remove(&alert);
        for mergers in self.mergers.values_mut() {
            mergers.retain(|(_, by)| *by != alert);
        }
        self.mergers.retain(|_, mergers| !mergers.is_empty());
    }

    /// Discards the rows of a dead letter before `end`. True if there were any.
    pub(super) fn discard_dead_before(&mut self, alert: AlertId, end: Cursor) -> bool {
        let Some(letter) = self.dead.get_mut(&alert) else {
            return false;
        };
        if letter.last < end {
            return self.dead.remove(&alert).is_some();
        }
        let is_changed = letter.from < end;
        if is_changed {
            letter.from = end;
            if letter.last_merger == end {
                letter.rows = letter.rows_after_merger;
            }
        }
        is_changed
    }

    /// The last undelivered row that supersedes an alert.
    pub(super) fn last_merger_of(&self, alert: AlertId) -> Cursor {
        let last = self.mergers.get(&alert).and_then(|mergers| mergers.last());
        last.map_or(Cursor::START, |(at, _)| *at)
    }

    /// The dead letters, by alert.
    #[must_use]
    pub(crate) fn dead_letters(&self) -> &BTreeMap<AlertId, SinkDeadLetter> {
        &self.dead
    }

    /// Queues a dead letter again. `rows` are its rows from [`SinkDeadLetter::from`] on. False if
    /// the alert is no dead letter.
    pub(crate) fn requeue(
        &mut self,
        alert: AlertId,
        rows: Vec<DeliveryRow>,
        now: ReceiveTime,
    ) -> bool {
        if self.dead.remove(&alert).is_none() {
            return false;
        }
        if !rows.is_empty() {
            self.enqueue(alert, rows, now, now);
        }
        true
    }
}
