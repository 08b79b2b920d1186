//! The metrics with one row per source.

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use crate::registration::{counters, gauges};

/// Metrics of the events of each source. [`Balance`](super::Balance) creates their rows.
#[derive(Clone, Debug)]
pub(super) struct SourceMetrics {
    pub received: IntCounterVec,
    pub journaled: IntCounterVec,
    pub refused: IntCounterVec,
    pub decoded: IntCounterVec,
    pub problem_events: IntCounterVec,
    pub unread: IntCounterVec,
    pub marked_events: IntCounterVec,
    pub last_received: IntGaugeVec,
    pub event_time: IntGaugeVec,
}

impl SourceMetrics {
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let labels = ["tenant", "source"];
        let with_reason = ["tenant", "source", "reason"];
        Ok(Self {
            received: counters(
                registry,
                "weir_source_received_total",
                &labels,
                "Events submitted to the journal.",
            )?,
            journaled: counters(
                registry,
                "weir_source_journaled_total",
                &labels,
                "Events written durably to the journal.",
            )?,
            refused: counters(
                registry,
                "weir_source_refused_total",
                &with_reason,
                "Events submitted to the journal but not journaled.",
            )?,
            decoded: counters(
                registry,
                "weir_source_decoded_total",
                &labels,
                "Events journaled by this process and decoded without a problem.",
            )?,
            problem_events: counters(
                registry,
                "weir_source_problem_events_total",
                &labels,
                "Events journaled by this process and kept with a problem.",
            )?,
            unread: counters(
                registry,
                "weir_source_unread_total",
                &labels,
                "Events journaled by this process that have no log source, or a problem.",
            )?,
            marked_events: counters(
                registry,
                "weir_source_marked_events_total",
                &["tenant", "source", "mark"],
                "Events that do not stand at the time that they state.",
            )?,
            last_received: gauges(
                registry,
                "weir_source_heard_seconds",
                &labels,
                "Time of the last event received from the source, in seconds since 1970.",
            )?,
            event_time: gauges(
                registry,
                "weir_source_event_time_seconds",
                &labels,
                "The greatest credible event time of the source, in seconds since 1970.",
            )?,
        })
    }
}
