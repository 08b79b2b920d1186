//! Accounts for every event by source: received = journaled + refused, exactly.
//!
//! The intake opens an [`EventAccount`] for every submission, whatever its transport. The account
//! travels with the submission. An account that is dropped before it is settled counts its events
//! as refused, so no event is left uncounted. The results of decoding are added later, by source.

mod source_metrics;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};
use weir_schema::condition::CONDITION_TENANT;
use weir_schema::journal::source_key;
use weir_schema::{Batch, Entry, EventTime, SourceKey, TimeMark, Transport};

use crate::drop_reason::DropReason;
use crate::journal::SubmitError;
use source_metrics::SourceMetrics;

/// Most sources with rows of their own, configured ones first; all others share one row. A
/// dashboard draws some hundred lines, and a scrape of all rows stays within 300 KiB.
pub const SOURCES_LABELLED_MAX: usize = 256;

/// Longest name of a source with a row of its own.
const NAME_BYTES_MAX: usize = 128;

/// Name of the row that all other sources share; its tenant is empty.
pub const OTHER: &str = "other";

/// The event counts of all sources. Clones share their values.
#[derive(Clone, Debug)]
pub struct Balance {
    inner: Arc<BalanceInner>,
}

#[derive(Debug)]
struct BalanceInner {
    by_transport: IntCounterVec,
    metrics: SourceMetrics,
    by_source: Mutex<HashMap<SourceKey, Arc<SourceCounters>>>,
    other: Arc<SourceCounters>,
}

/// The name of a row: of a source, or [`OTHER`] without a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceName {
    pub tenant: String,
    pub source: String,
}

impl fmt::Display for SourceName {
    /// Writes the source, behind its tenant if that is not the default one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tenant.as_str() {
            "" | CONDITION_TENANT => f.write_str(&self.source),
            tenant => write!(f, "{tenant}@{}", self.source),
        }
    }
}

/// The counters of one row.
#[derive(Debug)]
struct SourceCounters {
    name: SourceName,
    received: IntCounter,
    journaled: IntCounter,
    decoded: IntCounter,
    problem_events: IntCounter,
    unread: IntCounter,
    /// In the order of [`TimeMark::ALL`].
    marked_events: [IntCounter; TimeMark::ALL.len()],
    last_received: IntGauge,
    event_time: IntGauge,
    /// In the order of [`DropReason::ALL`].
    refused: Vec<IntCounter>,
}

/// The result of decoding a batch.
#[derive(Clone, Copy, Debug)]
pub struct DecodeOutcome {
    pub source: SourceKey,
    pub events: u64,
    /// How many of the events were kept with a problem.
    pub problem_events: u64,
    /// How many of the events have no log source, or a problem.
    pub unread: u64,
    /// The greatest credible event time; `EventTime::MIN` if there is none.
    pub event_time_max: EventTime,
}

impl Balance {
    pub(crate) fn register(
        registry: &Registry,
        by_transport: IntCounterVec,
    ) -> Result<Self, prometheus::Error> {
        let metrics = SourceMetrics::register(registry)?;
        let other = Arc::new(SourceCounters::new(&metrics, "", OTHER));
        Ok(Self {
            inner: Arc::new(BalanceInner {
                by_transport,
                metrics,
                by_source: Mutex::default(),
                other,
            }),
        })
    }

    /// Creates the rows of a source before its first event. A source that never sends shows as zero.
    pub fn register_source(&self, tenant: &str, source: &str) {
        let _ = self.inner.counters(tenant, source);
    }

    /// Adds the result of decoding a batch that this process journaled. Returns the name of the row.
    pub fn record_decoded(&self, outcome: DecodeOutcome) -> SourceName {
        let counters = self.inner.counters_by_key(outcome.source);
        let clean = outcome.events.saturating_sub(outcome.problem_events);
        counters.decoded.inc_by(clean);
        counters.problem_events.inc_by(outcome.problem_events);
        counters.unread.inc_by(outcome.unread);
        if outcome.event_time_max > EventTime::MIN {
            raise_to(&counters.event_time, outcome.event_time_max.0);
        }
        counters.name.clone()
    }

    /// Counts events of a source that do not stand at the time that they state.
    pub fn record_marked(&self, source: SourceKey, mark: TimeMark, events: u64) {
        let counters = self.inner.counters_by_key(source);
        let [not_credible, beyond_horizon] = &counters.marked_events;
        match mark {
            TimeMark::NotCredible => not_credible.inc_by(events),
            TimeMark::LateBeyondHorizon => beyond_horizon.inc_by(events),
        }
    }

    /// Counts the batches as received and opens an account for them.
    pub(crate) fn open_account<'b>(
        &self,
        batches: impl Iterator<Item = &'b Batch>,
    ) -> EventAccount {
        let rows = batches.map(|batch| {
            let events = batch.frames.len() as u64;
            let counters = self.inner.counters(&batch.tenant, &batch.source);
            counters.received.inc_by(events);
            raise_to(&counters.last_received, batch.received.0);
            self.count_received(batch.transport, events);
            (counters, events)
        });
        EventAccount {
            rows: rows.collect(),
            reason: DropReason::Stopping,
        }
    }

    /// Counts events received from the network.
    pub(crate) fn count_received(&self, transport: Transport, events: u64) {
        let counter = &self.inner.by_transport;
        counter
            .with_label_values(&[transport.name()])
            .inc_by(events);
    }
}

/// Sets the gauge to a time given in nanoseconds, unless it shows a later one.
fn raise_to(gauge: &IntGauge, nanoseconds: i64) {
    let seconds = nanoseconds.div_euclid(1_000_000_000);
    if seconds > gauge.get() {
        gauge.set(seconds);
    }
}

impl BalanceInner {
    fn counters_by_key(&self, source: SourceKey) -> Arc<SourceCounters> {
        // Each update replaces a whole value, so a panic elsewhere leaves the map consistent.
        let by_source = self
            .by_source
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        by_source
            .get(&source)
            .map_or_else(|| self.other(), Arc::clone)
    }

    fn other(&self) -> Arc<SourceCounters> {
        Arc::clone(&self.other)
    }

    fn counters(&self, tenant: &str, source: &str) -> Arc<SourceCounters> {
        let key = source_key(tenant, source);
        let mut by_source = self
            .by_source
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = by_source.get(&key) {
            return Arc::clone(counters);
        }
        let too_long = tenant.len().max(source.len()) > NAME_BYTES_MAX;
        if too_long || by_source.len() >= SOURCES_LABELLED_MAX {
            return self.other();
        }
        let counters = Arc::new(SourceCounters::new(&self.metrics, tenant, source));
        by_source.insert(key, Arc::clone(&counters));
        counters
    }
}

impl SourceCounters {
    fn new(metrics: &SourceMetrics, tenant: &str, source: &str) -> Self {
        let labels = [tenant, source];
        let refused = |reason: &DropReason| {
            let labels = [tenant, source, reason.name()];
            metrics.refused.with_label_values(&labels)
        };
        let marked = |mark: TimeMark| {
            let labels = [tenant, source, mark.name()];
            metrics.marked_events.with_label_values(&labels)
        };
        Self {
            name: SourceName {
                tenant: tenant.to_owned(),
                source: source.to_owned(),
            },
            received: metrics.received.with_label_values(&labels),
            journaled: metrics.journaled.with_label_values(&labels),
            decoded: metrics.decoded.with_label_values(&labels),
            problem_events: metrics.problem_events.with_label_values(&labels),
            unread: metrics.unread.with_label_values(&labels),
            marked_events: TimeMark::ALL.map(marked),
            last_received: metrics.last_received.with_label_values(&labels),
            event_time: metrics.event_time.with_label_values(&labels),
            refused: DropReason::ALL.iter().map(refused).collect(),
        }
    }

    fn refuse(&self, reason: DropReason, events: u64) {
        let index = DropReason::ALL.iter().position(|known| *known == reason);
        if let Some(counter) = index.and_then(|index| self.refused.get(index)) {
            counter.inc_by(events);
        }
    }
}

/// Events that were submitted and are neither journaled nor refused yet.
///
/// Dropping the account counts its events as refused for the last reason given to
/// [`Self::with_reason`]; the initial reason is that ingest is stopping.
#[must_use]
#[derive(Debug)]
pub(crate) struct EventAccount {
    /// The counters and the number of events of each batch, in order.
    rows: Vec<(Arc<SourceCounters>, u64)>,
    reason: DropReason,
}

impl EventAccount {
    /// An account without events.
    pub fn empty() -> Self {
        Self {
            rows: Vec::new(),
            reason: DropReason::Stopping,
        }
    }

    /// Sets the reason for which the events are refused if the account is dropped.
    pub fn with_reason(mut self, reason: DropReason) -> Self {
        self.reason = reason;
        self
    }

    /// Counts the events as durable. `journaled` holds the number of new events of each batch; the
    /// others are duplicates.
    pub fn settle(mut self, journaled: &[u64]) {
        let rows = std::mem::take(&mut self.rows);
        let journaled = journaled.iter().copied().chain(std::iter::repeat(0));
        for ((counters, events), journaled) in rows.into_iter().zip(journaled) {
            counters.journaled.inc_by(journaled);
            counters.refuse(DropReason::Duplicate, events.saturating_sub(journaled));
        }
    }
}

impl Drop for EventAccount {
    fn drop(&mut self) {
        for (counters, events) in self.rows.drain(..) {
            counters.refuse(self.reason, events);
        }
    }
}

/// Maps an error of the journal writer to the reason under which its events are counted.
pub(crate) const fn drop_reason(error: &SubmitError) -> DropReason {
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
