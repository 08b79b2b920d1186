//! The interfaces of the graph to the outside: journal in, ledger and observer out.

use std::sync::Arc;
use std::time::Duration;

use weir_operators::{CorrelationCounts, Note, TenantClock};
use weir_schema::{AlertId, AlertRecord, Batch, BatchSeq, Commit, Epoch, SealedEpoch};

use crate::kept_ids::KeptIds;

/// A failure of the journal or the ledger. The message says what failed and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortFault {
    pub kind: PortFaultKind,
    pub message: String,
}

/// Whether a repeated call may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortFaultKind {
    /// The disk or the system failed, and may work again: the graph retries.
    Transient,
    /// The data is damaged or does not exist: the graph stops.
    Permanent,
    /// The ledger failed within a write and takes no more: the graph stops, since only a restart
    /// of the process opens it again.
    NeedsRestart,
}

impl PortFault {
    /// A failure after which the call is repeated.
    pub fn transient(message: impl Into<String>) -> Self {
        let (kind, message) = (PortFaultKind::Transient, message.into());
        Self { kind, message }
    }

    /// A failure that a repeated call would meet again.
    pub fn permanent(message: impl Into<String>) -> Self {
        let (kind, message) = (PortFaultKind::Permanent, message.into());
        Self { kind, message }
    }

    /// A failure that only a restart of the process can mend.
    pub fn needs_restart(message: impl Into<String>) -> Self {
        let (kind, message) = (PortFaultKind::NeedsRestart, message.into());
        Self { kind, message }
    }

    /// Whether a repeated call may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind == PortFaultKind::Transient
    }
}

/// The journal, read epoch by epoch from the first. Yields only durable epochs.
pub trait EpochSource: Send {
    /// The next epoch; `None` if none was sealed within `wait`. After an error, the next call reads
    /// the same epoch.
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault>;
}

/// Reads single batches of the journal, for texts, explanations and backfills.
pub trait BatchReader: Send + Sync {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault>;
}

/// The record of alerts. A commit is applied whole or not at all.
pub trait AlertLedger: Send {
    /// The last epoch applied; `Epoch(0)` for none. Epochs up to it are not committed again.
    fn applied(&self) -> Epoch;
    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, PortFault>;
    fn commit(&mut self, commit: &Commit) -> Result<(), PortFault>;
    /// Whether its rows are of another reading than this binary's. They must then be replaced by
    /// [`Self::change_reading`] before anything else is committed.
    fn has_other_reading(&self) -> bool {
        false
    }
    /// The epoch of the clock repair that its rows do not follow yet. They must then be replaced by
    /// [`Self::change_reading`] in that epoch.
    fn repair_epoch(&self) -> Option<Epoch> {
        None
    }
    /// Some records after `after`, in order of alert id; none if there are no more.
    fn records(&self, after: Option<AlertId>) -> Result<Vec<AlertRecord>, PortFault> {
        let _ = after;
        Ok(Vec::new())
    }
    /// The ids that alerts have in the ledger and not in the graph.
    fn kept_ids(&self) -> Result<KeptIds, PortFault> {
        Ok(KeptIds::default())
    }
    /// Commits the differences of this binary's reading, or of a repaired clock, with the ids that alerts keep under it.
    fn change_reading(&mut self, commit: &Commit, kept: &KeptIds) -> Result<(), PortFault> {
        let _ = kept;
        self.commit(commit)
    }
}

/// The results of one epoch, reported after its commit.
#[derive(Debug)]
pub struct EpochReport<'r> {
    pub epoch: Epoch,
    /// `None` if nothing changed, and for epochs that the ledger had already.
    pub commit: Option<&'r Commit>,
    pub notes: &'r [Note],
    pub clocks: &'r [TenantClock],
    pub counts: CorrelationCounts,
    /// Groups and bytes retained for correlation, over all workers, if measured in this epoch.
    pub state: Option<(usize, usize)>,
}

/// Receives a report of every epoch, in order.
pub trait Observer: Send {
    fn on_epoch(&mut self, report: &EpochReport<'_>);
    /// A commit failed; it will be retried.
    fn on_commit_failed(&mut self, fault: &PortFault);
}
