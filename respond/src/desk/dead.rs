//! Dead letters: alerts that were given up, what came of them since, and how they are owed again.

use std::collections::BTreeMap;

use weir_schema::said::Cursor;
use weir_schema::{AlertId, ReceiveTime};

use super::{Desk, Row, cut};

/// An alert that was given up, with all that came of it since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// The first row that is not delivered.
    pub from: Cursor,
    /// The last row seen.
    pub last: Cursor,
    /// Rows that wait. Too many by some only where another alert that swallowed this one has said
    /// so, and yet another will.
    pub rows: u64,
    /// Of these the ones behind the last merger, which leave when that one goes.
    after_merger: (Cursor, u64),
    pub since: ReceiveTime,
    pub reason: String,
}

impl Dead {
    /// `merger`: the last row that says of the alert that another swallowed it.
    pub(super) fn of(
        rows: impl Iterator<Item = Cursor>,
        merger: Cursor,
        since: ReceiveTime,
        reason: String,
    ) -> Option<Self> {
        let rows: Vec<Cursor> = rows.collect();
        let behind = rows.iter().filter(|at| **at > merger).count();
        Some(Self {
            from: *rows.first()?,
            last: *rows.last()?,
            rows: rows.len() as u64,
            after_merger: (merger, behind as u64),
            since,
            reason,
        })
    }

    /// Another row of it came.
    pub(super) fn put(&mut self, at: Cursor) {
        self.last = at;
        self.rows += 1;
        self.after_merger.1 += 1;
    }

    /// A row came that says that another swallowed it.
    pub(super) fn expect_merge(&mut self, at: Cursor) {
        self.after_merger = (at, 0);
    }
}

impl Desk {
    pub(super) fn give_up(&mut self, alert: AlertId, reason: &str) {
        let Some(owed) = self.owed.remove(&alert) else {
            return;
        };
        self.rows -= owed.rows.len();
        let merger = self.last_merger(alert);
        let rows = owed.rows.iter().map(|row| row.at);
        if let Some(dead) = Dead::of(rows, merger, owed.since, cut(reason)) {
            self.dead.insert(alert, dead);
        }
    }

    /// Of what was given up nothing is wanted any more before `end`. True where that is news.
    pub(super) fn void_dead(&mut self, alert: AlertId, end: Cursor) -> bool {
        let Some(dead) = self.dead.get_mut(&alert) else {
            return false;
        };
        if dead.last < end {
            return self.dead.remove(&alert).is_some();
        }
        let is_changed = dead.from < end;
        if is_changed {
            dead.from = end;
            if dead.after_merger.0 == end {
                dead.rows = dead.after_merger.1;
            }
        }
        is_changed
    }

    /// The last row that says of an alert that another swallowed it, and is not delivered.
    pub(super) fn last_merger(&self, alert: AlertId) -> Cursor {
        let merger = self.merges.get(&alert).and_then(|merges| merges.last());
        merger.map_or(Cursor::START, |(at, _)| *at)
    }

    /// Alerts that were given up.
    #[must_use]
    pub fn dead(&self) -> &BTreeMap<AlertId, Dead> {
        &self.dead
    }

    /// Owes an alert again that was given up: `rows` are those from [`Dead::from`] on.
    pub fn revive(&mut self, alert: AlertId, rows: Vec<Row>, now: ReceiveTime) -> bool {
        if self.dead.remove(&alert).is_none() {
            return false;
        }
        if !rows.is_empty() {
            self.owe(alert, rows, now, now);
        }
        true
    }
}
