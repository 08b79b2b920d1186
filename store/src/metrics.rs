//! Metrics of journal and ledger.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

/// Handles to the metrics of this crate. Clones share their values.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    /// `weir_journal_bytes`: size of all segments.
    pub journal_bytes: IntGauge,
    /// `weir_journal_fsync_seconds`: time that group commits waited for the disk.
    pub journal_fsync_seconds: Histogram,
    /// `weir_journal_torn_tails_total`: unfinished writes that were truncated at start.
    pub journal_torn_tails_total: IntCounter,
    /// `weir_journal_damage_total`: damaged parts found at start for the first time.
    pub journal_damage_total: IntCounter,
    /// `weir_journal_read_faults_total`: reads of the journal that the disk or the system refused.
    pub journal_read_faults_total: IntCounter,
    /// `weir_state_bytes`: size of the ledger on disk.
    pub state_bytes: IntGauge,
    /// `weir_state_rebuilds_total`: rebuilds of the ledger from the journal.
    pub state_rebuilds_total: IntCounter,
}

impl StoreMetrics {
    /// Registers all metrics of this crate.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        // From a flash drive's 0.25 ms to a disk that stalls for 4 s.
        let buckets = prometheus::exponential_buckets(0.000_25, 2.0, 15)?;
        let fsync = HistogramOpts::new(
            "weir_journal_fsync_seconds",
            "Time that group commits waited for the disk.",
        );
        let metrics = Self {
            journal_bytes: IntGauge::new("weir_journal_bytes", "Size of all journal segments.")?,
            journal_fsync_seconds: Histogram::with_opts(fsync.buckets(buckets))?,
            journal_torn_tails_total: IntCounter::new(
                "weir_journal_torn_tails_total",
                "Unfinished writes at the end of a segment that were truncated at start.",
            )?,
            journal_damage_total: IntCounter::new(
                "weir_journal_damage_total",
                "Damaged parts of the journal found at start for the first time.",
            )?,
            journal_read_faults_total: IntCounter::new(
                "weir_journal_read_faults_total",
                "Reads of the journal that the disk or the system refused; damage is not counted.",
            )?,
            state_bytes: IntGauge::new("weir_state_bytes", "Size of the ledger on disk.")?,
            state_rebuilds_total: IntCounter::new(
                "weir_state_rebuilds_total",
                "Rebuilds of the ledger from the journal.",
            )?,
        };
        registry.register(Box::new(metrics.journal_bytes.clone()))?;
        registry.register(Box::new(metrics.journal_fsync_seconds.clone()))?;
        registry.register(Box::new(metrics.journal_torn_tails_total.clone()))?;
        registry.register(Box::new(metrics.journal_damage_total.clone()))?;
        registry.register(Box::new(metrics.journal_read_faults_total.clone()))?;
        registry.register(Box::new(metrics.state_bytes.clone()))?;
        registry.register(Box::new(metrics.state_rebuilds_total.clone()))?;
        Ok(metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn register_all_metrics() {
        let registry = Registry::new();
        StoreMetrics::register(&registry).unwrap();
        let families = registry.gather();
        let names: Vec<_> = families.iter().map(|family| family.name()).collect();
        let expected = [
            "weir_journal_bytes",
            "weir_journal_damage_total",
            "weir_journal_fsync_seconds",
            "weir_journal_read_faults_total",
            "weir_journal_torn_tails_total",
            "weir_state_bytes",
            "weir_state_rebuilds_total",
        ];
        assert_eq!(names, expected);
    }
}
