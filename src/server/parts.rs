//! The parts of a running server that other parts use: metrics, journal and graph.

use std::sync::Arc;

use anyhow::Result;
use prometheus::Registry;
use tokio::sync::watch;
use weir_dataflow::{BatchReader, Host, Status};
use weir_ingest::{IngestMetrics, Intake, ReceiveClock, SystemClock};
use weir_manage::RuleRegistry;
use weir_schema::Epoch;
use weir_store::StoreMetrics;
use weir_store::journal::JournalReader;
use weir_store::ledger::Ledger;

use crate::config::Config;
use crate::server::conditions::ConditionReporter;
use crate::server::health::JournalWrites;
use crate::server::run_marks::{PastEnd, RunMarks};
use crate::server::sinks::SinkPositions;

/// The parts that all others use: the clock, and the metrics with their registry.
pub struct ServerBase {
    pub clock: Arc<dyn ReceiveClock>,
    pub registry: Registry,
    pub store_metrics: StoreMetrics,
    pub ingest_metrics: IngestMetrics,
}

impl ServerBase {
    /// Registers the metrics, with rows for every configured source.
    pub fn new(config: &Config) -> Result<Self> {
        let registry = Registry::new();
        let store_metrics = StoreMetrics::register(&registry)?;
        let ingest_metrics = IngestMetrics::register(&registry)?;
        for source in &config.source {
            ingest_metrics
                .balance()
                .register_source(&source.tenant, &source.name);
        }
        Ok(Self {
            clock: Arc::new(SystemClock),
            registry,
            store_metrics,
            ingest_metrics,
        })
    }
}

/// The journal of a running server, with its writer.
pub struct RunningJournal {
    pub intake: Intake,
    pub reader: JournalReader,
    pub writes: Arc<JournalWrites>,
    pub registry: Arc<RuleRegistry>,
    pub positions: SinkPositions,
    pub conditions: ConditionReporter,
    pub marks: Arc<RunMarks>,
    /// The ends of earlier runs that no alert tells yet.
    pub past_ends: Vec<PastEnd>,
    /// The last epoch of earlier runs.
    pub last_sealed: Epoch,
    /// The epoch that begins this run.
    pub begun: Epoch,
}

/// The graph of a running server, with the ledger that it commits to.
pub struct RunningGraph {
    pub host: Host,
    pub status: Arc<Status>,
    pub ledger: Arc<Ledger>,
    pub frames: Arc<dyn BatchReader>,
    /// Counts commits with changes; wakes streams and sinks.
    pub commits: Arc<watch::Sender<u64>>,
    /// The last epoch that the ledger had at the start.
    pub judged_before: Epoch,
}
