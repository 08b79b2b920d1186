//! The counters of sinks. A sink's name is a label: names come from configuration, and are few.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

/// Handles to the metrics of this crate; clones share their values.
#[derive(Clone, Debug)]
pub struct RespondMetrics {
    /// `weir_sink_deliveries_total{sink}`: changes that the consumer took.
    pub delivered: IntCounterVec,
    /// `weir_sink_failures_total{sink,reason}`: attempts that failed.
    pub failed: IntCounterVec,
    /// `weir_sink_retries_total{sink}`: attempts after one that failed.
    pub retried: IntCounterVec,
    /// `weir_sink_given_up_total{sink}`: alerts that became dead letters.
    pub given_up: IntCounterVec,
    /// `weir_sink_gaps_total{sink}`: how often a sink was so far behind that rows had gone.
    pub gaps: IntCounterVec,
    /// `weir_sink_let_go_total{sink}`: alerts that stand and are not sent again any more.
    pub let_go: IntCounterVec,
    /// `weir_sink_waiting{sink}`: alerts of which something is owed.
    pub waiting: IntGaugeVec,
    /// `weir_sink_dead{sink}`: dead letters.
    pub dead: IntGaugeVec,
    /// `weir_sink_stopped{sink}`: one where nothing is sent until a person says so.
    pub stopped: IntGaugeVec,
    /// `weir_sink_lag_seconds{sink}`: how long the oldest of what is owed waits.
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
        Ok(Self {
            delivered: counter(
                "weir_sink_deliveries_total",
                "Changes that the consumer took.",
                &["sink"],
            )?,
            failed: counter(
                "weir_sink_failures_total",
                "Attempts that failed.",
                &["sink", "reason"],
            )?,
            retried: counter(
                "weir_sink_retries_total",
                "Attempts after one that failed.",
                &["sink"],
            )?,
            given_up: counter(
                "weir_sink_given_up_total",
                "Alerts that became dead letters.",
                &["sink"],
            )?,
            gaps: counter(
                "weir_sink_gaps_total",
                "How often a sink was so far behind that rows had gone.",
                &["sink"],
            )?,
            let_go: counter(
                "weir_sink_let_go_total",
                "Alerts that stand and are not sent again any more.",
                &["sink"],
            )?,
            waiting: gauge("weir_sink_waiting", "Alerts of which something is owed.")?,
            dead: gauge("weir_sink_dead", "Dead letters.")?,
            stopped: gauge(
                "weir_sink_stopped",
                "One where nothing is sent until a person says so.",
            )?,
            lag_seconds: gauge(
                "weir_sink_lag_seconds",
                "How long the oldest of what is owed waits.",
            )?,
        })
    }
}
