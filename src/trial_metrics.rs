//! What-ifs and the reading of the past as metrics, taken from where the graph stands when asked.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Registry};
use weir_dataflow::Status;

/// Gauges that are set when they are read.
pub struct Trials {
    status: Arc<Status>,
    /// `weir_what_ifs`: what-ifs that run.
    running: IntGauge,
    /// `weir_what_if_facts`: facts that those have taken in since they began.
    facts: IntGauge,
    /// `weir_what_if_limited`: facts and alerts of those beyond a limit.
    limited: IntGauge,
    /// `weir_backfill_batches_left`: batches of the past that new rules are still to see.
    left: IntGauge,
    /// `weir_backfill_events`: events of the past handed to them so far.
    events: IntGauge,
}

impl Trials {
    /// Shows them in `/metrics`.
    pub fn register(registry: &Registry, status: Arc<Status>) -> prometheus::Result<()> {
        let trials = Self {
            status,
            running: IntGauge::new("weir_what_ifs", "what-ifs that run")?,
            facts: IntGauge::new(
                "weir_what_if_facts",
                "facts that running what-ifs have taken in",
            )?,
            limited: IntGauge::new(
                "weir_what_if_limited",
                "facts and alerts of running what-ifs beyond a limit",
            )?,
            left: IntGauge::new(
                "weir_backfill_batches_left",
                "batches of the past that new rules are still to see",
            )?,
            events: IntGauge::new(
                "weir_backfill_events",
                "events of the past handed to new rules so far",
            )?,
        };
        registry.register(Box::new(trials))
    }

    fn gauges(&self) -> [&IntGauge; 5] {
        [
            &self.running,
            &self.facts,
            &self.limited,
            &self.left,
            &self.events,
        ]
    }
}

impl Collector for Trials {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges()
            .into_iter()
            .flat_map(Collector::desc)
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let shown = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let all = self.status.what_ifs().list();
        let running = || all.iter().filter(|one| one.state.is_alive());
        self.running.set(shown(running().count() as u64));
        let facts = running().map(|one| one.counts.facts).sum();
        let limited = running().map(|one| one.counts.limited + one.left_out).sum();
        self.facts.set(shown(facts));
        self.limited.set(shown(limited));
        let past = self.status.backfill();
        let left = past.map_or(0, |past| past.batches_total.saturating_sub(past.batches));
        self.left.set(shown(left));
        self.events.set(shown(past.map_or(0, |past| past.events)));
        let gauges = self.gauges().into_iter();
        gauges.flat_map(Collector::collect).collect()
    }
}
