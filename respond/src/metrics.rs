//! Metrics of sinks. The name of a sink is a label: names come from configuration and are few.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// Handles to the metrics of this crate; clones share their values.
#[derive(Clone, Debug)]
pub struct RespondMetrics {
    /// `weir_sink_deliveries_total{sink}`: changes that the consumer accepted.
    pub delivered: IntCounterVec,
    /// `weir_sink_failures_total{sink,reason}`: failed attempts.
    pub failed: IntCounterVec,
    /// `weir_sink_retries_total{sink}`: retries after a failed attempt.
    pub retried: IntCounterVec,
    /// `weir_sink_given_up_total{sink}`: alerts that became dead letters.
    pub given_up: IntCounterVec,
    /// `weir_sink_dropped_total{sink}`: dead letters that were dropped at their limit.
    pub dropped: IntCounterVec,
    /// `weir_sink_gaps_total{sink}`: gaps: the outbox had dropped rows before the sink read them.
    pub gaps: IntCounterVec,
    /// `weir_sink_let_go_total{sink}`: standing alerts that are no longer sent again.
    pub let_go: IntCounterVec,
    /// `weir_sink_waiting{sink}`: alerts with undelivered rows, without dead letters.
    pub waiting: IntGaugeVec,
    /// `weir_sink_dead{sink}`: dead letters.
    pub dead: IntGaugeVec,
    /// `weir_sink_stopped{sink}`: 1 if the sink sends nothing until a person resumes it.
    pub stopped: IntGaugeVec,
    /// `weir_sink_lag_seconds{sink}`: age of the oldest undelivered row.
    pub lag_seconds: IntGaugeVec,
}

impl RespondMetrics {
    /// Registers all metrics of this crate.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["sink"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let by_sink = |name, help| counter(name, help, &["sink"]);
        Ok(Self {
            delivered: by_sink(
                "weir_sink_deliveries_total",
                "Changes that the consumer accepted.",
            )?,
            failed: counter(
                "weir_sink_failures_total",
                "Failed attempts.",
                &["sink", "reason"],
            )?,
            retried: by_sink("weir_sink_retries_total", "Retries after a failed attempt.")?,
            given_up: by_sink(
                "weir_sink_given_up_total",
                "Alerts that became dead letters.",
            )?,
            dropped: by_sink(
                "weir_sink_dropped_total",
                "Dead letters that were dropped at their limit.",
            )?,
            gaps: by_sink(
                "weir_sink_gaps_total",
                "Gaps: the outbox had dropped rows before the sink read them.",
            )?,
            let_go: by_sink(
                "weir_sink_let_go_total",
                "Standing alerts that are no longer sent again.",
            )?,
            waiting: gauge(
                "weir_sink_waiting",
                "Alerts with undelivered rows, without dead letters.",
            )?,
            dead: gauge("weir_sink_dead", "Dead letters.")?,
            stopped: gauge(
                "weir_sink_stopped",
                "1 if the sink sends nothing until a person resumes it.",
            )?,
            lag_seconds: gauge(
                "weir_sink_lag_seconds",
                "Age of the oldest undelivered row.",
            )?,
        })
    }
}
