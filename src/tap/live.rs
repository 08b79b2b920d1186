//! Taps of a running server: readers of the journal at their own pace, which nothing waits for.
//!
//! ```text
//!  journal ──► graph                      a tap reads what is durable, as the graph does, and
//!     └──────► tap: filter, decode, rows  skips what it is too slow for; it has no queue
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use weir_schema::{Change, Epoch, TimeBounds};
use weir_store::journal::{EpochCursor, JournalReader};
use weir_store::ledger::Ledger;
use weir_web::change_json;
use weir_web::ports::{PortError, Tap, TapQuery, TapStage, Taps};

use crate::adapters::whole;
use crate::rule_desk::RuleDesk;
use crate::tap::rows::Rows;

/// Taps open at once: each may take a thread of HTTP's and part of a core.
const TAPS_MAX: usize = 4;

/// Events that a tap looks at in a second; of more it looks at the first. A quarter of a core.
const EVENTS_A_SECOND: u64 = 20_000;

/// A tap that is further behind goes on from the end.
const BEHIND_EPOCHS: u64 = 64;

/// Text of one answer, at most one batch more.
const CHUNK_BYTES: usize = 256 << 10;

/// Changes read from the ledger at a time.
const CHANGES_STEP: usize = 64;

/// Between two looks at the ledger.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens taps of a running server.
pub struct LiveTaps {
    pub journal: JournalReader,
    pub ledger: Arc<Ledger>,
    pub rules: Arc<RuleDesk>,
    pub bounds: TimeBounds,
    pub open: Arc<AtomicUsize>,
}

impl Taps for LiveTaps {
    fn open(&self, query: TapQuery) -> Result<Box<dyn Tap>, PortError> {
        let seat = Seat::take(&self.open).ok_or_else(|| {
            let told = format!("{TAPS_MAX} taps are open; end one, or wait");
            PortError::Unavailable(told)
        })?;
        let newest = self.ledger.newest(1).map_err(|error| failed(&error))?;
        let after = newest.first().map(|change| (change.epoch, change.ordinal));
        let last = self.journal.last_sealed();
        Ok(Box::new(LiveTap {
            cursor: self.journal.cursor(Epoch(last.0 + 1)),
            at: last,
            journal: self.journal.clone(),
            ledger: Arc::clone(&self.ledger),
            rules: Arc::clone(&self.rules),
            bounds: self.bounds,
            rows: Rows::new(query),
            after,
            second: Instant::now(),
            at_second: 0,
            _seat: seat,
        }))
    }
}

/// The right to tap, given back with it.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        let room = |taken: usize| (taken < TAPS_MAX).then_some(taken + 1);
        let taken = open.fetch_update(Ordering::AcqRel, Ordering::Acquire, room);
        taken.ok().map(|_| Self(Arc::clone(open)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

struct LiveTap {
    journal: JournalReader,
    cursor: EpochCursor,
    /// The last epoch that was looked at.
    at: Epoch,
    ledger: Arc<Ledger>,
    rules: Arc<RuleDesk>,
    bounds: TimeBounds,
    rows: Rows,
    /// The last change that was looked at.
    after: Option<(Epoch, u32)>,
    second: Instant,
    /// Events that had been looked at when the second began.
    at_second: u64,
    _seat: Seat,
}

fn failed(error: &dyn std::error::Error) -> PortError {
    PortError::Failed(whole(error))
}

impl Tap for LiveTap {
    fn next(&mut self, wait: Duration) -> Result<String, PortError> {
        let until = Instant::now() + wait;
        let mut out = String::new();
        while out.is_empty() && !self.rows.is_done() && Instant::now() < until {
            if self.rows.query().stage == TapStage::Alerts {
                self.changes(&mut out)?;
            } else {
                self.epochs(until, &mut out)?;
            }
        }
        Ok(out)
    }

    fn is_done(&self) -> bool {
        self.rows.is_done()
    }

    fn end(&mut self) -> String {
        self.rows.end()
    }
}

impl LiveTap {
    fn epochs(&mut self, until: Instant, out: &mut String) -> Result<(), PortError> {
        let last = self.journal.last_sealed();
        if last.0 > self.at.0.saturating_add(BEHIND_EPOCHS) {
            self.skip_to(last)?;
        }
        let book = self.rules.book();
        while out.len() < CHUNK_BYTES && !self.rows.is_done() {
            let left = until.saturating_duration_since(Instant::now());
            let left = if out.is_empty() { left } else { Duration::ZERO };
            let next = self.cursor.next(left).map_err(|error| failed(&error))?;
            let Some(epoch) = next else { return Ok(()) };
            self.at = epoch.epoch;
            for (seq, batch) in &epoch.batches {
                if self.second.elapsed() >= Duration::from_secs(1) {
                    (self.second, self.at_second) = (Instant::now(), self.rows.looked_at());
                }
                let looked = self.rows.looked_at() - self.at_second;
                if looked >= EVENTS_A_SECOND || self.rows.is_done() {
                    self.rows.leave_out(batch.frames.len() as u64);
                } else {
                    self.rows.batch(&book, &self.bounds, (*seq, batch), out);
                }
            }
        }
        Ok(())
    }

    /// Counts what lies between without looking at it.
    fn skip_to(&mut self, last: Epoch) -> Result<(), PortError> {
        while self.at < last {
            let next = self.cursor.next(Duration::ZERO);
            let Some(epoch) = next.map_err(|error| failed(&error))? else {
                return Ok(());
            };
            self.at = epoch.epoch;
            let events = epoch
                .batches
                .iter()
                .map(|(_, batch)| batch.frames.len() as u64);
            self.rows.leave_out(events.sum());
        }
        Ok(())
    }

    fn changes(&mut self, out: &mut String) -> Result<(), PortError> {
        let changes = self.ledger.outbox(self.after, CHANGES_STEP);
        let changes = changes.map_err(|error| failed(&error))?;
        if changes.is_empty() {
            std::thread::sleep(PAUSE);
        }
        for change in &changes {
            self.after = Some((change.epoch, change.ordinal));
            if let Some(row) = wanted(self.rows.query(), change) {
                self.rows.push(&row, out);
            }
        }
        Ok(())
    }
}

/// The change as JSON, where the tap wants it.
fn wanted(query: &TapQuery, change: &Change) -> Option<serde_json::Value> {
    let record = &change.record;
    let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w == value);
    let has = |name: &str, value: &str| {
        let mut group = record.group.iter();
        group.any(|field| field.name == name && field.value == value)
    };
    let source = query
        .source
        .as_deref()
        .is_none_or(|source| has("source", source));
    let field = query
        .field
        .as_ref()
        .is_none_or(|(name, value)| has(name, value));
    if !is(&query.tenant, &record.tenant) || !is(&query.rule, &record.rule) || !source || !field {
        return None;
    }
    let mut row = change_json(change);
    if let Some(text) = &query.text
        && !row.to_string().contains(text.as_str())
    {
        return None;
    }
    if let Some(object) = row.as_object_mut() {
        object.insert("stage".into(), TapStage::Alerts.name().into());
    }
    Some(row)
}
