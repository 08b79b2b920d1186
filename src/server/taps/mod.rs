//! Taps of a running server: each reads the journal at its own pace and delays nothing.
//!
//! ```text
//!  journal ──► graph                      a tap reads durable epochs, as the graph does; it has
//!     └──────► tap: filter, decode, rows  no queue, and skips events when it is too slow
//! ```

pub mod rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use weir_manage::RuleRegistry;
use weir_schema::outbox::Cursor;
use weir_schema::{Change, Epoch, TimeBounds};
use weir_store::journal::{EpochCursor, JournalReader};
use weir_store::ledger::Ledger;
use weir_web::change_json;
use weir_web::ports::{PortError, Tap, TapQuery, TapStage, Taps};

use crate::text::with_causes;
use rows::TapRows;

/// Most open taps: each may use one thread of the HTTP server and part of a core.
const TAPS_MAX: usize = 4;

/// Most events that a tap decodes in a second, about a quarter of a core. It skips the others.
const EVENTS_A_SECOND: u64 = 20_000;

/// A tap that is more epochs behind skips to the end of the journal.
const BEHIND_EPOCHS: u64 = 64;

/// Text of one answer, exceeded by at most one batch.
const CHUNK_BYTES: usize = 256 << 10;

/// Changes read from the ledger at a time.
const CHANGES_STEP: usize = 64;

/// Pause between two reads of the ledger.
const LEDGER_PAUSE: Duration = Duration::from_millis(50);

/// Pause before a failed read of the journal is repeated.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// Opens taps of a running server.
pub struct JournalTaps {
    pub journal: JournalReader,
    pub ledger: Arc<Ledger>,
    pub rules: Arc<RuleRegistry>,
    pub bounds: TimeBounds,
    pub open: Arc<AtomicUsize>,
}

impl Taps for JournalTaps {
    fn open(&self, query: TapQuery) -> Result<Box<dyn Tap>, PortError> {
        let permit = TapPermit::take(&self.open).ok_or_else(|| {
            let message = format!("{TAPS_MAX} taps are open; end one, or wait");
            PortError::Unavailable(message)
        })?;
        let newest = self
            .ledger
            .newest_changes(1)
            .map_err(|error| failed(&error))?;
        let after = newest.first().map(Cursor::of);
        let last = self.journal.last_sealed();
        Ok(Box::new(JournalTap {
            cursor: self.journal.cursor(Epoch(last.0 + 1)),
            at: last,
            journal: self.journal.clone(),
            ledger: Arc::clone(&self.ledger),
            rules: Arc::clone(&self.rules),
            bounds: self.bounds,
            rows: TapRows::new(query),
            after,
            second: Instant::now(),
            at_second: 0,
            _permit: permit,
        }))
    }
}

/// The right to hold one of `TAPS_MAX` taps, returned on drop.
struct TapPermit(Arc<AtomicUsize>);

impl TapPermit {
    fn take(open: &Arc<AtomicUsize>) -> Option<Self> {
        let room = |taken: usize| (taken < TAPS_MAX).then_some(taken + 1);
        let taken = open.fetch_update(Ordering::AcqRel, Ordering::Acquire, room);
        taken.ok().map(|_| Self(Arc::clone(open)))
    }
}

impl Drop for TapPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One open tap.
struct JournalTap {
    journal: JournalReader,
    cursor: EpochCursor,
    /// The last epoch that was read.
    at: Epoch,
    ledger: Arc<Ledger>,
    rules: Arc<RuleRegistry>,
    bounds: TimeBounds,
    rows: TapRows,
    /// The last change that was read.
    after: Option<Cursor>,
    /// Start of the current second, by which the rate is limited.
    second: Instant,
    /// Number of examined events when the current second began.
    at_second: u64,
    _permit: TapPermit,
}

fn failed(error: &dyn std::error::Error) -> PortError {
    PortError::Failed(with_causes(error))
}

impl Tap for JournalTap {
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

impl JournalTap {
    /// Writes rows of further epochs, until `until`.
    fn epochs(&mut self, until: Instant, out: &mut String) -> Result<(), PortError> {
        let last = self.journal.last_sealed();
        if last.0 > self.at.0.saturating_add(BEHIND_EPOCHS) {
            self.skip_to(last)?;
        }
        let book = self.rules.book();
        while out.len() < CHUNK_BYTES && !self.rows.is_done() {
            let left = until.saturating_duration_since(Instant::now());
            let left = if out.is_empty() { left } else { Duration::ZERO };
            let next = match self.cursor.next(left) {
                // The metric of failed reads counts it; the next call reads the same epoch.
                Err(error) if error.is_transient() => {
                    std::thread::sleep(READ_PAUSE.min(left));
                    return Ok(());
                }
                next => next.map_err(|error| failed(&error))?,
            };
            let Some(epoch) = next else { return Ok(()) };
            self.at = epoch.epoch;
            for (seq, batch) in &epoch.batches {
                if self.second.elapsed() >= Duration::from_secs(1) {
                    (self.second, self.at_second) = (Instant::now(), self.rows.examined());
                }
                let examined = self.rows.examined() - self.at_second;
                if examined >= EVENTS_A_SECOND || self.rows.is_done() {
                    self.rows.skip(batch.frames.len() as u64);
                } else {
                    self.rows.batch(&book, &self.bounds, *seq, batch, out);
                }
            }
        }
        Ok(())
    }

    /// Skips epochs up to `last`, and counts their events.
    fn skip_to(&mut self, last: Epoch) -> Result<(), PortError> {
        while self.at < last {
            let next = match self.cursor.next(Duration::ZERO) {
                Err(error) if error.is_transient() => return Ok(()),
                next => next.map_err(|error| failed(&error))?,
            };
            let Some(epoch) = next else { return Ok(()) };
            self.at = epoch.epoch;
            let events = epoch
                .batches
                .iter()
                .map(|(_, batch)| batch.frames.len() as u64);
            self.rows.skip(events.sum());
        }
        Ok(())
    }

    /// Writes rows of further changes of alerts.
    fn changes(&mut self, out: &mut String) -> Result<(), PortError> {
        let changes = self.ledger.outbox(self.after, CHANGES_STEP);
        let changes = changes.map_err(|error| failed(&error))?;
        if changes.is_empty() {
            std::thread::sleep(LEDGER_PAUSE);
        }
        for change in &changes {
            self.after = Some(Cursor::of(change));
            if let Some(row) = change_row(self.rows.query(), change) {
                self.rows.push(&row, out);
            }
        }
        Ok(())
    }
}

/// The change as JSON, if it matches the query.
fn change_row(query: &TapQuery, change: &Change) -> Option<serde_json::Value> {
    let record = &change.record;
    let matches =
        |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|w| w == value);
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
    if !matches(&query.tenant, &record.tenant)
        || !matches(&query.rule, &record.rule)
        || !source
        || !field
    {
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
