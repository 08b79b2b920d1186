//! The parts of a running server that other parts use: metrics, journal and graph.

use std::sync::Arc;

use anyhow::Result;
use prometheus::{IntCounter, Registry};
use tokio::sync::watch;
use weir_dataflow::{BatchReader, Host, Status};
use weir_ingest::{IngestMetrics, Intake, ReceiveClock, SteadyClock};
use weir_manage::RuleRegistry;
use weir_schema::{ClockJump, ClockRepairs, Epoch};
use weir_store::StoreMetrics;
use weir_store::journal::JournalReader;
use weir_store::ledger::Ledger;

use crate::config::Config;
use crate::server::adapters::manage::EditJournal;
use crate::server::budget::RuleBudget;
use crate::server::clock_metrics::register_jumps;
use crate::server::conditions::ConditionReporter;
use crate::server::edits_ahead::EditsAhead;
use crate::server::health::JournalWrites;
use crate::server::ledger::JournalBefore;
use crate::server::run_marks::{PastEnd, RunMarks};
use crate::server::sinks::SinkPositions;
use crate::server::unread::UnreadLines;

/// The parts that all others use: the clock, and the metrics with their registry.
pub struct ServerBase {
    pub clock: Arc<dyn ReceiveClock>,
    /// The same clock, which notices jumps.
    pub steady: Arc<SteadyClock>,
    pub clock_jumps: IntCounter,
    pub registry: Registry,
    pub store_metrics: StoreMetrics,
    pub ingest_metrics: IngestMetrics,
    pub budget: RuleBudget,
    pub unread: UnreadLines,
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
        let steady = Arc::new(SteadyClock::default());
        Ok(Self {
            clock: Arc::<SteadyClock>::clone(&steady),
            steady,
            clock_jumps: register_jumps(&registry)?,
            budget: RuleBudget::register(config, &registry)?,
            unread: UnreadLines::new(&config.self_alerts),
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
    /// The repairs of receive times that the journal holds.
    pub repairs: Arc<ClockRepairs>,
    /// The edits that take effect before their place.
    pub ahead: Arc<EditsAhead>,
    /// The jump of the clock that the start of this run shows.
    pub jump_at_start: Option<ClockJump>,
    /// The journal as the run before left it.
    pub before: JournalBefore,
    /// The epoch that begins this run.
    pub begun: Epoch,
}

impl RunningJournal {
    /// The journal to which edits append.
    pub fn edits(&self, config: &Config) -> Arc<EditJournal> {
        let alone = !config.cluster.is_on();
        Arc::new(EditJournal {
            intake: self.intake.clone(),
            ahead: alone.then(|| Arc::clone(&self.ahead)),
        })
    }
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
