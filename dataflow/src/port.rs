//! What the graph needs of the world: epochs to read, frames to look up, a ledger to write, an ear.

use std::sync::Arc;
use std::time::Duration;

use weir_operators::{Clock, Counts, Note};
use weir_schema::{AlertId, AlertRecord, Batch, BatchSeq, Commit, Epoch, SealedEpoch};

/// Something outside failed; `message` says what and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortFault {
    pub message: String,
}

/// The journal, read epoch by epoch from the first. Only durable epochs are given.
pub trait EpochSource: Send {
    /// The next epoch; `None` if none was sealed within `wait`.
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault>;
}

/// Frames by their place in the journal.
pub trait Frames: Send + Sync {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault>;
}

/// The record of alerts. A commit is applied whole or not at all.
pub trait Ledger: Send {
    /// The last epoch applied; `Epoch(0)` for none. Epochs up to it are not committed again.
    fn applied(&self) -> Epoch;
    fn record(&self, alert: AlertId) -> Result<Option<AlertRecord>, PortFault>;
    fn commit(&mut self, commit: &Commit) -> Result<(), PortFault>;
}

/// What one epoch came to, told after its commit.
#[derive(Debug)]
pub struct EpochReport<'r> {
    pub epoch: Epoch,
    /// `None` where nothing changed, and for epochs that the ledger had already.
    pub commit: Option<&'r Commit>,
    pub notes: &'r [Note],
    pub clocks: &'r [Clock],
    pub counts: Counts,
    /// Groups and bytes held for correlation, over all workers, where measured in this epoch.
    pub state: Option<(usize, usize)>,
}

/// Hears of every epoch, in order.
pub trait Observer: Send {
    fn epoch(&mut self, report: &EpochReport<'_>);
    /// A commit failed and will be tried again.
    fn fault(&mut self, fault: &PortFault);
}
