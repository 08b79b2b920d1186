//! Observes every epoch of the graph: counts it, wakes the streams, and prints its alerts.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use weir_dataflow::{BatchReader, EpochReport, Note, Observer, PortFault, TenantClock};
use weir_ingest::{Balance, DecodeOutcome, ReceiveClock};
use weir_manage::RuleRegistry;
use weir_schema::{Cause, Change, Epoch, ReceiveTime, TenantKey};

use crate::server::budget::RuleBudget;
use crate::server::metrics::{GraphMetrics, is_timed};
use crate::server::printer::{LinePrinter, change_line};
use crate::server::unread::UnreadLines;

/// The observer of a running server.
pub struct EpochObserver {
    pub metrics: GraphMetrics,
    pub frames: Arc<dyn BatchReader>,
    pub clock: Arc<dyn ReceiveClock>,
    /// Counts commits with changes; wakes streams and sinks.
    pub commits: Arc<watch::Sender<u64>>,
    pub printer: Option<LinePrinter>,
    /// Counts the events of each source. It counts only events that this run journaled: those in
    /// epochs after `begun`.
    pub balance: Balance,
    pub begun: Epoch,
    /// The clock of each tenant.
    pub clocks: BTreeMap<TenantKey, TenantClock>,
    /// Notes rules whose results are incomplete.
    pub registry: Arc<RuleRegistry>,
    /// Adds up the working time of rules.
    pub budget: RuleBudget,
    /// Counts the events that no reader knows.
    pub unread: UnreadLines,
}

impl EpochObserver {
    /// Follows the tenants' clocks. Logs when sources stop or begin again to hold a watermark.
    fn follow_clocks(&mut self, clocks: &[TenantClock]) {
        for clock in clocks {
            let old = self.clocks.insert(clock.tenant, *clock);
            let (idle, lagging) = old.map_or((0, 0), |old| (old.idle, old.lagging));
            if (idle, lagging) != (clock.idle, clock.lagging) {
                tracing::warn!(
                    tenant = %clock.tenant, idle = clock.idle, lagging = clock.lagging,
                    "sources that do not hold the watermark"
                );
            }
        }
        if !clocks.is_empty() {
            self.metrics.clocks(self.clocks.values());
        }
    }

    fn note_incomplete(&self, report: &EpochReport<'_>) {
        if report.counts.incomplete.is_empty() {
            return;
        }
        for rule in self.registry.note_incomplete(&report.counts.incomplete) {
            tracing::warn!(%rule, "rule reached its group limit; its results are incomplete");
        }
        self.metrics.incomplete(self.registry.incomplete().len());
    }

    fn follow_notes(&self, report: &EpochReport<'_>) {
        let mut judged = 0u64;
        for note in report.notes {
            if let Note::Batch(batch) = note {
                judged = judged.saturating_add(batch.events);
            }
            match note {
                Note::Diagnostic(diagnostic) => {
                    tracing::warn!(%diagnostic, "a rule has a problem");
                }
                Note::Batch(batch) if report.epoch > self.begun => {
                    let source = self.balance.record_decoded(DecodeOutcome {
                        source: batch.source,
                        events: batch.events,
                        problem_events: batch.events_with_problems,
                        unread: batch.unread,
                        event_time_max: batch.greatest,
                    });
                    self.unread.record(source, batch);
                }
                Note::Marked(source, mark, events) if report.epoch > self.begun => {
                    self.balance.record_marked(*source, *mark, *events);
                }
                Note::Times(times) => self.budget.record(times),
                _ => {} // Metrics count the others.
            }
        }
        self.budget.record_events(judged);
    }

    fn observe_latency(&self, change: &Change, now: ReceiveTime) {
        if let Cause::Event(item) = change.record.cause
            && is_timed(change)
            && let Ok(batch) = self.frames.batch(item.position.batch())
        {
            self.metrics.latency(batch.received, now);
        }
    }
}

impl Observer for EpochObserver {
    fn on_epoch(&mut self, report: &EpochReport<'_>) {
        self.metrics.epoch(report);
        self.follow_clocks(report.clocks);
        self.note_incomplete(report);
        self.follow_notes(report);
        let Some(commit) = report.commit.filter(|commit| !commit.changes.is_empty()) else {
            return;
        };
        self.commits
            .send_modify(|count| *count = count.wrapping_add(1));
        let now = self.clock.now();
        for change in &commit.changes {
            self.observe_latency(change, now);
            if let Some(printer) = &mut self.printer {
                printer.print(change_line(change));
            }
        }
    }

    fn on_commit_failed(&mut self, fault: &PortFault) {
        self.metrics.fault();
        tracing::error!(%fault, "cannot write the ledger; retrying");
    }
}
