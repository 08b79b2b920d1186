//! The metrics of the journal writer.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Registry};

use crate::registration::{counter, counters, gauges};

/// Metrics that the journal writer updates.
#[derive(Clone, Debug)]
pub(crate) struct WriterMetrics {
    pub events_journaled: IntCounter,
    pub commit_events: Histogram,
    pub journal_faults: IntCounter,
    pub mailbox_depth: IntGaugeVec,
    pub delivery_duplicates: IntCounterVec,
    pub delivery_conflicts: IntCounterVec,
}

impl WriterMetrics {
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let commit_events =
            HistogramOpts::new("weir_journal_commit_events", "Events per journal commit.");
        let buckets = vec![0., 1., 10., 100., 300., 1_000., 3_000., 10_000., 30_000.];
        let commit_events = Histogram::with_opts(commit_events.buckets(buckets))?;
        registry.register(Box::new(commit_events.clone()))?;
        Ok(Self {
            events_journaled: counter(
                registry,
                "weir_events_journaled_total",
                "Events written durably to the journal.",
            )?,
            commit_events,
            journal_faults: counter(
                registry,
                "weir_journal_faults_total",
                "Failed journal commits; none of their events were acknowledged.",
            )?,
            mailbox_depth: gauges(
                registry,
                "weir_actor_mailbox_depth",
                &["actor"],
                "Messages that an actor has queued or is processing.",
            )?,
            delivery_duplicates: counters(
                registry,
                "weir_delivery_duplicates_total",
                &["protocol"],
                "Events that were delivered again and not journaled again.",
            )?,
            delivery_conflicts: counters(
                registry,
                "weir_delivery_conflicts_total",
                &["protocol"],
                "Deliveries with the identity of an earlier delivery but different bytes.",
            )?,
        })
    }

    /// Creates a row for every label value.
    pub fn create_all_rows(&self) {
        for protocol in ["agent", "http"] {
            let _ = (
                self.delivery_duplicates.with_label_values(&[protocol]),
                self.delivery_conflicts.with_label_values(&[protocol]),
            );
        }
        let _ = self.mailbox_depth.with_label_values(&["journal"]);
    }
}
