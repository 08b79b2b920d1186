//! What became of every event, source by source: received = journaled + refused, exactly.
//!
//! The door to the journal writer opens an account of every submission, whatever transport it came
//! by, and the account travels with it: [`Owed`]. Whoever lets go of it unsettled has refused the
//! events, so none can be forgotten. What the graph makes of them is told later, by source.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec, IntGauge};
use weir_schema::journal::source_key;
use weir_schema::{Batch, Entry, EventTime, SourceKey, Transport};

use crate::journal::SubmitError;
use crate::metrics::{DropReason, SourceMetrics};

/// Sources with rows of their own, those of the configuration first; the others share one row. A
/// dashboard draws some hundred lines, and a scrape of all rows stays within 300 KiB.
pub const SOURCES_LABELLED_MAX: usize = 256;

/// A source of a longer name is among the others.
const NAME_BYTES_MAX: usize = 128;

/// The name of the row that sources without one of their own share; its tenant is empty.
pub const OTHER: &str = "other";

/// The accounts of all sources. Clones are one book.
#[derive(Clone, Debug)]
pub struct Balance {
    book: Arc<Book>,
}

#[derive(Debug)]
struct Book {
    by_transport: IntCounterVec,
    metrics: SourceMetrics,
    known: Mutex<HashMap<SourceKey, Arc<Account>>>,
    other: Arc<Account>,
}

/// The counters of one row.
#[derive(Debug)]
struct Account {
    received: IntCounter,
    journaled: IntCounter,
    decoded: IntCounter,
    troubled: IntCounter,
    heard: IntGauge,
    event_time: IntGauge,
    /// By place in [`Dropped::ALL`].
    refused: Vec<IntCounter>,
}

/// What the graph made of a batch.
#[derive(Clone, Copy, Debug)]
pub struct DecodeOutcome {
    pub source: SourceKey,
    pub events: u64,
    /// Those of them that were kept with a problem.
    pub troubled: u64,
    /// The greatest credible event time; `EventTime::MIN` for none.
    pub event_time_max: EventTime,
}

impl Balance {
    pub(crate) fn new(metrics: SourceMetrics, by_transport: IntCounterVec) -> Self {
        let other = Arc::new(Account::of(&metrics, "", OTHER));
        Self {
            book: Arc::new(Book {
                by_transport,
                metrics,
                known: Mutex::default(),
                other,
            }),
        }
    }

    /// Gives a source its row before it is heard, so that one that never comes is seen as nothing.
    pub fn register_source(&self, tenant: &str, source: &str) {
        let _ = self.book.account(tenant, source);
    }

    /// Takes in what the graph made of a batch that this process journaled.
    pub fn record_decoded(&self, judged: DecodeOutcome) {
        let account = self.book.known(judged.source);
        let clean = judged.events.saturating_sub(judged.troubled);
        account.decoded.inc_by(clean);
        account.troubled.inc_by(judged.troubled);
        if judged.event_time_max > EventTime::MIN {
            raise(&account.event_time, judged.event_time_max.0);
        }
    }

    /// Opens the account of what comes to the door.
    pub(crate) fn owe<'b>(&self, batches: impl Iterator<Item = &'b Batch>) -> Owed {
        let rows = batches.map(|batch| {
            let events = batch.frames.len() as u64;
            let account = self.book.account(&batch.tenant, &batch.source);
            account.received.inc_by(events);
            raise(&account.heard, batch.received.0);
            self.received(batch.transport, events);
            (account, events)
        });
        Owed {
            rows: rows.collect(),
            reason: DropReason::Stopping,
        }
    }

    /// Counts events taken from the network.
    pub(crate) fn received(&self, transport: Transport, events: u64) {
        let counter = &self.book.by_transport;
        counter
            .with_label_values(&[transport.name()])
            .inc_by(events);
    }
}

/// Shows a time in nanoseconds; a time before what is shown changes nothing.
fn raise(gauge: &IntGauge, nanoseconds: i64) {
    let seconds = nanoseconds.div_euclid(1_000_000_000);
    if seconds > gauge.get() {
        gauge.set(seconds);
    }
}

impl Book {
    fn known(&self, source: SourceKey) -> Arc<Account> {
        // What it guards is replaced whole, so a panic elsewhere leaves nothing half-done.
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&source).map_or_else(|| self.other(), Arc::clone)
    }

    fn other(&self) -> Arc<Account> {
        Arc::clone(&self.other)
    }

    fn account(&self, tenant: &str, source: &str) -> Arc<Account> {
        let key = source_key(tenant, source);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = known.get(&key) {
            return Arc::clone(account);
        }
        let long = tenant.len().max(source.len()) > NAME_BYTES_MAX;
        if long || known.len() >= SOURCES_LABELLED_MAX {
            return self.other();
        }
        let account = Arc::new(Account::of(&self.metrics, tenant, source));
        known.insert(key, Arc::clone(&account));
        account
    }
}

impl Account {
    fn of(metrics: &SourceMetrics, tenant: &str, source: &str) -> Self {
        let labels = [tenant, source];
        let refused = |reason: &DropReason| {
            let labels = [tenant, source, reason.name()];
            metrics.refused.with_label_values(&labels)
        };
        Self {
            received: metrics.received.with_label_values(&labels),
            journaled: metrics.journaled.with_label_values(&labels),
            decoded: metrics.decoded.with_label_values(&labels),
            troubled: metrics.troubled.with_label_values(&labels),
            heard: metrics.heard.with_label_values(&labels),
            event_time: metrics.event_time.with_label_values(&labels),
            refused: DropReason::ALL.iter().map(refused).collect(),
        }
    }

    fn refuse(&self, reason: DropReason, events: u64) {
        let place = DropReason::ALL.iter().position(|known| *known == reason);
        if let Some(counter) = place.and_then(|place| self.refused.get(place)) {
            counter.inc_by(events);
        }
    }
}

/// Events that came through the door, until it is said what became of them. Dropped, they count as
/// refused for the reason that was told last; at first, that ingest was stopping.
#[must_use]
#[derive(Debug)]
pub(crate) struct Owed {
    /// By batch, in order.
    rows: Vec<(Arc<Account>, u64)>,
    reason: DropReason,
}

impl Owed {
    /// Of what holds no event.
    pub fn nothing() -> Self {
        Self {
            rows: Vec::new(),
            reason: DropReason::Stopping,
        }
    }

    /// Why the events are refused, unless they are offered again.
    pub fn because(mut self, reason: DropReason) -> Self {
        self.reason = reason;
        self
    }

    /// The events are durable: by batch, how many of them; the rest had been before.
    pub fn settle(mut self, journaled: &[u64]) {
        let rows = std::mem::take(&mut self.rows);
        let journaled = journaled.iter().copied().chain(std::iter::repeat(0));
        for ((account, events), journaled) in rows.into_iter().zip(journaled) {
            account.journaled.inc_by(journaled);
            account.refuse(DropReason::Duplicate, events.saturating_sub(journaled));
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        for (account, events) in self.rows.drain(..) {
            account.refuse(self.reason, events);
        }
    }
}

/// Why the journal writer refuses, as a reason of the book.
pub(crate) const fn reason(error: &SubmitError) -> DropReason {
    match error {
        SubmitError::Busy => DropReason::MailboxFull,
        SubmitError::Fault(_) => DropReason::JournalFault,
        SubmitError::Stopped => DropReason::Stopping,
        SubmitError::Gap { .. } => DropReason::Gap,
        SubmitError::Conflict => DropReason::Conflict,
        SubmitError::Invalid(_) => DropReason::Invalid,
    }
}

/// The batches among entries.
pub(crate) fn batches(entries: &[Entry]) -> impl Iterator<Item = &Batch> {
    entries.iter().filter_map(|entry| match entry {
        Entry::Batch(batch) => Some(&**batch),
        Entry::Control(_) | Entry::Seal { .. } => None,
    })
}
