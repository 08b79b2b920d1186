//! What a sink owes: how far it has read, which alerts are held back, and whose turn is next.
//!
//! ```text
//! outbox ──► put ──► owed (ALERTS_MAX alerts, ROWS_MAX rows) ──► next ──► consumer
//!              ▲ stops at the limit: the disk goes on            │
//!              └──────────── failed: after a delay ◄─────────────┤
//!                                  given up: dead (DEAD_MAX) ◄───┘
//! ```
//!
//! Rows of one alert are delivered in order, one at a time; those of others do not wait for it.
//! Where one alert swallows another, that row waits for what is under way of the other, makes what
//! is owed of the other before it void, and holds back what is owed of it behind. That something is
//! void is kept before the row goes: after a crash it would be told otherwise, and the row that
//! takes it back would be a repeat to the consumer. Rows that themselves say of others that they
//! are swallowed are never void; they are waited for.
//!
//! Nothing here does I/O or reads a clock, so that a test can drive it through years.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_schema::said::Cursor;
use weir_schema::{AlertId, ChangeKind, ReceiveTime, Span};

use crate::position::Kept;

mod dead;
pub use dead::Dead;

mod kept;

mod patience;
pub use patience::{PAUSE_MAX, Patience};

/// Alerts with something owed. More are not read until one is through: some 30 KiB a sink.
pub const ALERTS_MAX: usize = 256;
/// Rows owed of these alerts.
pub const ROWS_MAX: usize = 4_096;
/// Alerts given up and not sent again. At the limit nothing more is given up, but tried on.
pub const DEAD_MAX: usize = 1_000;
/// Bytes of the reason that is kept of a failure.
pub const REASON_BYTES_MAX: usize = 160;

/// A row of the outbox that a sink has to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub at: Cursor,
    /// With the alert it names the change, which is read when it is its turn.
    pub revision: u64,
    /// The word under which the sink says it.
    pub word: ChangeKind,
    pub supersedes: Vec<AlertId>,
}

/// Why a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: String,
    /// How long the consumer asked to be left alone.
    pub pause: Option<Span>,
    /// The consumer wants nothing more, ever.
    pub gone: bool,
}

impl Failure {
    /// How long to leave the consumer alone: no longer than anyone may ask for.
    fn pause(&self) -> Span {
        self.pause.unwrap_or(Span(0)).clamp(Span(0), PAUSE_MAX)
    }
}

#[derive(Clone, Debug)]
struct Owed {
    rows: VecDeque<Row>,
    under_way: bool,
    tries: u32,
    due: ReceiveTime,
    since: ReceiveTime,
    /// It is due before its time, since another alert was taken.
    hurried: bool,
    /// It failed so: what is refused while others are taken waits its whole delay next.
    patient: bool,
}

/// The state of one sink.
#[derive(Clone, Debug)]
pub struct Desk {
    patience: Patience,
    read: Cursor,
    owed: BTreeMap<AlertId, Owed>,
    rows: usize,
    dead: BTreeMap<AlertId, Dead>,
    /// Of each alert the rows of others that swallow it and are not delivered.
    merges: BTreeMap<AlertId, BTreeSet<(Cursor, AlertId)>>,
    pause_until: ReceiveTime,
    stopped: Option<String>,
    /// Something became void, and the journal does not know yet.
    has_void: bool,
    kept: Option<Kept>,
}

impl Desk {
    /// A sink that has had everything up to `read`.
    #[must_use]
    pub fn begin(read: Cursor, patience: Patience) -> Self {
        Self {
            patience,
            read,
            owed: BTreeMap::new(),
            rows: 0,
            dead: BTreeMap::new(),
            merges: BTreeMap::new(),
            pause_until: ReceiveTime::MIN,
            stopped: None,
            has_void: false,
            kept: None,
        }
    }

    /// How far the outbox has been read.
    #[must_use]
    pub fn read(&self) -> Cursor {
        self.read
    }

    /// Whether another row may be read.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.stopped.is_none() && self.owed.len() < ALERTS_MAX && self.rows < ROWS_MAX
    }

    /// Takes the next row of the outbox over; `alert` where the sink is to deliver it.
    pub fn put(&mut self, row: Row, alert: Option<AlertId>, now: ReceiveTime) {
        debug_assert!(row.at > self.read, "rows come in order");
        self.read = row.at;
        let Some(alert) = alert else {
            return;
        };
        if let Some(dead) = self.dead.get_mut(&alert) {
            dead.put(row.at);
            self.expect_merge(alert, &row);
            return;
        }
        self.owe(alert, vec![row], now, now);
    }

    fn owe(&mut self, alert: AlertId, rows: Vec<Row>, due: ReceiveTime, since: ReceiveTime) {
        self.rows += rows.len();
        rows.iter().for_each(|row| self.expect_merge(alert, row));
        let owed = self.owed.entry(alert).or_insert_with(|| Owed {
            rows: VecDeque::new(),
            under_way: false,
            tries: 0,
            due,
            since,
            hurried: false,
            patient: false,
        });
        owed.rows.extend(rows);
    }

    fn expect_merge(&mut self, by: AlertId, row: &Row) {
        for alert in row.supersedes.iter().filter(|alert| **alert != by) {
            self.merges.entry(*alert).or_default().insert((row.at, by));
            if let Some(dead) = self.dead.get_mut(alert) {
                dead.expect_merge(row.at);
            }
        }
    }

    /// The row whose turn it is, which is under way from now on. `None` also where something has to
    /// be kept first: see [`Self::wants_keep`].
    pub fn next(&mut self, now: ReceiveTime) -> Option<(AlertId, Row)> {
        if self.has_void || self.is_held(now) {
            return None;
        }
        let ready = self.owed.iter().filter(|(_, owed)| owed.due <= now);
        let ready = ready.filter_map(|(alert, owed)| Some((owed.due, *alert, owed.rows.front()?)));
        let ready = ready.filter(|(_, alert, row)| self.may_go(*alert, row));
        let ready = ready.min_by_key(|(due, alert, row)| (*due, row.at, *alert));
        let (alert, row) = ready.map(|(_, alert, row)| (alert, row.clone()))?;
        for swallowed in row.supersedes.iter().filter(|other| **other != alert) {
            self.has_void |= self.void(*swallowed, row.at);
        }
        if self.has_void {
            return None;
        }
        self.owed.get_mut(&alert)?.under_way = true;
        Some((alert, row))
    }

    /// Whether nothing goes on before [`Self::entry`] is kept.
    #[must_use]
    pub fn wants_keep(&self) -> bool {
        self.has_void
    }

    fn may_go(&self, alert: AlertId, row: &Row) -> bool {
        let under_way = |alert: &AlertId| self.owed.get(alert).is_some_and(|owed| owed.under_way);
        let swallowed = self.merges.get(&alert).into_iter().flatten();
        let mut swallowed = swallowed.filter(|(at, by)| *at < row.at || under_way(by));
        let mut others = row.supersedes.iter().filter(|other| **other != alert);
        !under_way(&alert)
            && swallowed.next().is_none()
            && others.all(|other| !under_way(other) && !self.has_merge(*other, row.at))
    }

    /// Whether `by` has yet to say, before `end`, that it swallowed another.
    fn has_merge(&self, by: AlertId, end: Cursor) -> bool {
        let mut merges = self.merges.values().flatten();
        merges.any(|(at, other)| *other == by && *at < end)
    }

    /// When [`Self::next`] may have something that it has not now. What is under way is not
    /// counted.
    #[must_use]
    pub fn due(&self, now: ReceiveTime) -> Option<ReceiveTime> {
        if self.stopped.is_some() {
            return None;
        }
        let waiting = self.owed.values().filter(|owed| !owed.under_way);
        let least = waiting
            .map(|owed| owed.due.max(self.pause_until))
            .filter(|due| *due > now);
        least.min()
    }

    /// The consumer has the row that was under way.
    pub fn delivered(&mut self, alert: AlertId, now: ReceiveTime) {
        let Some(owed) = self.owed.get_mut(&alert) else {
            return;
        };
        (owed.under_way, owed.tries, owed.due, owed.since) = (false, 0, now, now);
        (owed.hurried, owed.patient) = (false, false);
        let row = owed.rows.pop_front();
        if owed.rows.is_empty() {
            self.owed.remove(&alert);
        }
        // Who answers one may answer all.
        let waiting = self.owed.values_mut();
        let waiting = waiting.filter(|owed| !owed.under_way && !owed.patient && owed.due > now);
        waiting.for_each(|owed| (owed.due, owed.hurried) = (now, true));
        let Some(row) = row else {
            return;
        };
        self.rows -= 1;
        for swallowed in &row.supersedes {
            self.expect_no_merge(*swallowed, row.at, alert);
        }
    }

    fn expect_no_merge(&mut self, swallowed: AlertId, at: Cursor, by: AlertId) {
        if let Some(merges) = self.merges.get_mut(&swallowed) {
            merges.remove(&(at, by));
            if merges.is_empty() {
                self.merges.remove(&swallowed);
            }
        }
    }

    /// Nothing is owed any more of `alert` before `end`: another alert says what became of it.
    fn void(&mut self, alert: AlertId, end: Cursor) -> bool {
        let mut is_changed = false;
        if let Some(owed) = self.owed.get_mut(&alert) {
            while owed.rows.pop_front_if(|row| row.at < end).is_some() {
                self.rows -= 1;
                is_changed = true;
            }
            if owed.rows.is_empty() {
                self.owed.remove(&alert);
            }
        }
        is_changed | self.void_dead(alert, end)
    }

    /// The row that was under way did not get there. `jitter`, from 0 to 1, spreads the next tries.
    pub fn failed(&mut self, alert: AlertId, now: ReceiveTime, failure: &Failure, jitter: f64) {
        let Some(owed) = self.owed.get_mut(&alert) else {
            return;
        };
        owed.under_way = false;
        (owed.patient, owed.hurried) = (owed.hurried, false);
        owed.tries = owed.tries.saturating_add(1);
        let delay = self.patience.delay(owed.tries, jitter);
        owed.due = now.plus(delay.max(failure.pause()));
        self.heed(failure, now);
        if failure.gone {
            return;
        }
        let Some(owed) = self.owed.get(&alert) else {
            return;
        };
        let too_old = owed.since.plus(self.patience.age_max) <= now;
        let too_often = owed.tries >= self.patience.tries_max;
        if (too_old || too_often) && self.dead.len() < DEAD_MAX {
            self.give_up(alert, &failure.reason);
        }
    }

    /// What a failure asks of the whole sink: a pause, or to stop.
    pub fn heed(&mut self, failure: &Failure, now: ReceiveTime) {
        self.pause_until = self.pause_until.max(now.plus(failure.pause()));
        if failure.gone {
            self.stopped = Some(cut(&failure.reason));
        }
    }

    /// Whether nothing may be sent now, whatever it is.
    #[must_use]
    pub fn is_held(&self, now: ReceiveTime) -> bool {
        self.stopped.is_some() || now < self.pause_until
    }

    /// Alerts with something owed that is not given up.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.owed.len()
    }

    /// Since when the oldest of them waits.
    #[must_use]
    pub fn oldest(&self) -> Option<ReceiveTime> {
        self.owed.values().map(|owed| owed.since).min()
    }

    /// Why nothing is sent until a person says so.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Lets a stopped sink go on, and everything be tried at once.
    pub fn go_on(&mut self, now: ReceiveTime) {
        (self.stopped, self.pause_until) = (None, now);
        for owed in self.owed.values_mut() {
            (owed.due, owed.hurried, owed.patient) = (now, false, false);
        }
    }
}

/// A reason, short enough to be kept.
fn cut(reason: &str) -> String {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].to_owned()
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
