//! Starts and stops the threads of the graph, and connects them with channels.
//!
//! The feeder reads the journal, the workers run the graph, and the committer writes the ledger.
//! Every channel is bounded: a slow ledger slows down the reading of the journal and nothing else.
//!
//! ```text
//!  journal ─► feeder ─[8 epochs]─► worker 0..n ─[8 epochs]─► committer ─► ledger, observer
//!                ▲                                              │
//!                └── greatest event time of each batch ─────────┘  (which batches a new rule must see)
//! ```

mod workers;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crossbeam_channel::bounded;
use weir_operators::{AlertTexts, EmitOptions};
use weir_schema::Epoch;

use crate::backfill::{BACKFILL_EVENTS_PER_EPOCH, BackfillOutputBuffer, BackfillQueue};
use crate::cluster::{ClusterMember, SealControl};
use crate::committer::Committer;
use crate::error::HostError;
use crate::feeder::Feeder;
use crate::journal_reads::{RetriedBatches, RetriedEpochs};
use crate::outage::PortCall;
use crate::pace::Pace;
use crate::port::{AlertLedger, BatchReader, EpochSource, Observer};
use crate::status::Status;
use crate::thread::{HostThread, spawn_monitored};
use workers::WorkerThreads;

/// Epochs that wait in a channel between threads.
const CHANNEL_EPOCHS: usize = 8;

/// Options of the graph and its workers.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Timely workers, each a thread of its own.
    pub workers: usize,
    pub emit: EmitOptions,
}

/// The running graph.
pub struct Host {
    status: Arc<Status>,
    feeder: HostThread,
    committer: HostThread,
    workers: HostThread,
    /// Whether other processes run parts of the graph.
    clustered: bool,
}

impl Host {
    /// Starts the graph: it reads all epochs from the first, and commits those the ledger lacks.
    pub fn start(
        options: HostOptions,
        source: Box<dyn EpochSource>,
        frames: Arc<dyn BatchReader>,
        ledger: Box<dyn AlertLedger>,
        observer: Box<dyn Observer>,
    ) -> Result<Self, HostError> {
        let backfill_events = BACKFILL_EVENTS_PER_EPOCH;
        Self::start_with_backfill_size(backfill_events, options, source, frames, ledger, observer)
    }

    /// Starts the graph with another backfill size than servers use: for tests.
    #[doc(hidden)]
    pub fn start_with_backfill_size(
        backfill_events: u64,
        options: HostOptions,
        source: Box<dyn EpochSource>,
        frames: Arc<dyn BatchReader>,
        ledger: Box<dyn AlertLedger>,
        observer: Box<dyn Observer>,
    ) -> Result<Self, HostError> {
        let queue = BackfillQueue::new(backfill_events);
        Self::start_threads(options, queue, None, source, frames, ledger, observer)
    }

    /// Starts this process's part of the graph of a cluster. `frames` are those that `member` gave,
    /// `seals` controls the journal that `source` reads. Process 0 alone gets rows; the ledgers of
    /// the other processes are never written.
    pub fn start_in_cluster(
        mut member: ClusterMember,
        options: HostOptions,
        source: Box<dyn EpochSource>,
        seals: Arc<dyn SealControl>,
        frames: Arc<dyn BatchReader>,
        ledger: Box<dyn AlertLedger>,
        observer: Box<dyn Observer>,
    ) -> Result<Self, HostError> {
        let source = member.epochs(source, seals)?;
        let queue = BackfillQueue::new(BACKFILL_EVENTS_PER_EPOCH);
        let member = Some(member);
        Self::start_threads(options, queue, member, source, frames, ledger, observer)
    }

    fn start_threads(
        options: HostOptions,
        backfills: BackfillQueue,
        member: Option<ClusterMember>,
        source: Box<dyn EpochSource>,
        frames: Arc<dyn BatchReader>,
        ledger: Box<dyn AlertLedger>,
        observer: Box<dyn Observer>,
    ) -> Result<Self, HostError> {
        let status = member
            .as_ref()
            .map_or_else(Arc::default, ClusterMember::status);
        let process = member.as_ref().map_or(0, ClusterMember::process);
        let clustered = member.is_some();
        let WorkerThreads {
            inputs,
            outputs,
            joiner,
        } = workers::start(&options, member, &status)?;
        // The committer needs the control entries, too: it looks up the texts of rules.
        let (controls_out, controls_in) = bounded(4 * CHANNEL_EPOCHS);
        let retried = |call| RetriedBatches::new(&frames, &status, call);
        let feeder = Feeder {
            source: Box::new(RetriedEpochs {
                source,
                status: Arc::clone(&status),
            }),
            frames: Arc::new(retried(PortCall::ReadEpoch)),
            workers: inputs,
            controls: controls_out,
            status: Arc::clone(&status),
            process,
            last: Epoch(0),
            batches: 0,
            affecting_rules: BTreeSet::new(),
            backfills,
            clustered,
            pace: Pace::default(),
        };
        let committer = Committer {
            texts: AlertTexts::new(options.emit.time_field),
            frames: Arc::new(retried(PortCall::ReadEvidence)),
            ledger,
            observer,
            outputs,
            ready: VecDeque::new(),
            controls: controls_in,
            status: Arc::clone(&status),
            buffer: BackfillOutputBuffer::default(),
            kept: None,
        };
        Ok(Self {
            feeder: spawn_monitored("weir-feeder", &status, move || feeder.run())?,
            committer: spawn_monitored("weir-committer", &status, move || committer.run())?,
            workers: joiner,
            status,
            clustered,
        })
    }

    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Stops reading the journal, finishes the epochs in flight, and joins the threads.
    pub fn stop(self) -> Result<(), HostError> {
        self.status.stop();
        let join = |thread: HostThread, name| {
            let ended = thread.join();
            ended.unwrap_or(Err(HostError::Panicked(name)))
        };
        let fed = join(self.feeder, "weir-feeder");
        let committed = join(self.committer, "weir-committer");
        if self.clustered {
            // Timely's network threads end only with the process, so the workers are not joined.
            // Epochs that need a lost process stay in the journals.
            return match self.status.loss() {
                Some(_) => Ok(()),
                None if self.status.failed() => fed
                    .and(committed)
                    .and(Err(HostError::Panicked("weir-workers"))),
                None => fed.and(committed),
            };
        }
        let worked = join(self.workers, "weir-workers");
        fed.and(committed).and(worked)
    }
}
