//! Metrics of what-ifs and backfills, read from the graph's status at each scrape.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Registry};
use weir_dataflow::Status;

/// Gauges that are set when they are scraped.
pub struct WhatIfMetrics {
    status: Arc<Status>,
    /// `weir_what_ifs`: running what-ifs.
    running: IntGauge,
    /// `weir_what_if_facts`: facts that running what-ifs have received since they began.
    facts: IntGauge,
    /// `weir_what_if_limited`: facts and alerts of running what-ifs beyond a limit.
    limited: IntGauge,
    /// `weir_backfill_batches_left`: batches that the running backfill has not read yet.
    left: IntGauge,
    /// `weir_backfill_events`: events that the running backfill has read.
    events: IntGauge,
}

impl WhatIfMetrics {
    /// Registers the gauges.
    pub fn register(registry: &Registry, status: Arc<Status>) -> prometheus::Result<()> {
        let metrics = Self {
            status,
            running: IntGauge::new("weir_what_ifs", "running what-ifs")?,
            facts: IntGauge::new(
                "weir_what_if_facts",
                "facts that running what-ifs have received",
            )?,
            limited: IntGauge::new(
                "weir_what_if_limited",
                "facts and alerts of running what-ifs beyond a limit",
            )?,
            left: IntGauge::new(
                "weir_backfill_batches_left",
                "batches that the running backfill has not read yet",
            )?,
            events: IntGauge::new(
                "weir_backfill_events",
                "events that the running backfill has read",
            )?,
        };
        registry.register(Box::new(metrics))
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

impl Collector for WhatIfMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges()
            .into_iter()
            .flat_map(Collector::desc)
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let shown = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let all = self.status.what_ifs().list();
        let running = || all.iter().filter(|one| one.state.is_active());
        self.running.set(shown(running().count() as u64));
        let facts = running().map(|one| one.counts.facts).sum();
        let limited = running()
            .map(|one| one.counts.limited + one.omitted_rows)
            .sum();
        self.facts.set(shown(facts));
        self.limited.set(shown(limited));
        let backfill = self.status.backfill();
        let left = backfill.map_or(0, |one| one.batches_total.saturating_sub(one.batches));
        self.left.set(shown(left));
        self.events.set(shown(backfill.map_or(0, |one| one.events)));
        let gauges = self.gauges().into_iter();
        gauges.flat_map(Collector::collect).collect()
    }
}
