//! Adapters to the journal: ingest writes it; the graph, and verbs that read it once, read it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_dataflow::{BatchReader, EpochSource, PortFault};
use weir_ingest::{FaultKind, JournalFault, JournalPort};
use weir_schema::{Batch, BatchSeq, ClockRepairs, Entry, Epoch, SealedEpoch};
use weir_store::journal::{EpochCursor, JournalError, JournalReader, JournalWriter};

use crate::server::health::{JournalWrites, SyncedEpochs};
use crate::text::with_causes;

/// Writes the journal for ingest.
pub struct WriteJournal {
    pub journal: JournalWriter,
    /// Records whether writes succeed, for the health of the server.
    pub writes: Arc<JournalWrites>,
    /// The epochs that wait for their sync.
    pub synced: SyncedEpochs,
}

impl WriteJournal {
    fn discard(&mut self, error: &JournalError) -> JournalFault {
        self.journal.discard_pending();
        self.synced.discard();
        self.writes.nothing_waits();
        journal_fault(error)
    }
}

impl JournalPort for WriteJournal {
    fn append(&mut self, entry: &Entry) -> Result<(), JournalFault> {
        let appended = match entry {
            // The journal numbers the epoch: other processes of the cluster may be ahead.
            Entry::Seal { .. } => self.journal.seal().map(|epoch| self.synced.seal(epoch)),
            Entry::Batch(_) => {
                let appended = self.journal.append(entry);
                let now = Instant::now();
                self.writes.appended(now);
                appended.map(|_| self.synced.append(now))
            }
            Entry::Control(_) => self.journal.append(entry).map(drop),
        };
        self.writes.step();
        appended.map_err(|error| self.discard(&error))
    }

    fn sync(&mut self) -> Result<(), JournalFault> {
        let synced = self.journal.sync();
        match &synced {
            Ok(()) => self.writes.succeeded(&mut self.synced),
            Err(error @ (JournalError::LockLost { .. } | JournalError::SegmentLost { .. })) => {
                self.writes.end(with_causes(error));
            }
            Err(error) => self.writes.failed(with_causes(error), Instant::now()),
        }
        synced.map_err(|error| self.discard(&error))
    }

    fn next_epoch(&self) -> Epoch {
        self.journal.next_epoch()
    }
}

fn journal_fault(error: &JournalError) -> JournalFault {
    let kind = match error {
        JournalError::DiskFull { .. } => FaultKind::Full,
        JournalError::ReadOnly { .. } => FaultKind::ReadOnly,
        // The message describes all others.
        _ => FaultKind::Io,
    };
    JournalFault {
        kind,
        message: with_causes(error),
    }
}

/// Reads epochs of the journal once: any failure ends the reading.
pub struct ReadEpochs(pub EpochCursor);

impl EpochSource for ReadEpochs {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        let next = self.0.next(wait);
        next.map_err(|error| PortFault::permanent(with_causes(&error)))
    }
}

/// Reads batches of the journal once, by their sequence number: any failure ends the reading.
pub struct ReadFrames(pub JournalReader);

impl BatchReader for ReadFrames {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        let batch = self.0.batch(seq);
        batch.map_err(|error| PortFault::permanent(with_causes(&error)))
    }
}

/// Follows the epochs of a running server's journal: the graph retries failures of the disk.
pub struct FollowEpochs(pub EpochCursor);

impl EpochSource for FollowEpochs {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        self.0.next(wait).map_err(|error| read_fault(&error))
    }
}

/// Reads batches of a running server's journal: the graph retries failures of the disk.
pub struct FollowFrames(pub JournalReader);

impl BatchReader for FollowFrames {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        self.0.batch(seq).map_err(|error| read_fault(&error))
    }
}

/// Reads a journal with its clock repairs applied.
pub struct Repaired<R> {
    pub read: R,
    pub repairs: Arc<ClockRepairs>,
}

impl<R: EpochSource> EpochSource for Repaired<R> {
    fn next(&mut self, wait: Duration) -> Result<Option<SealedEpoch>, PortFault> {
        let next = self.read.next(wait)?;
        Ok(next.map(|sealed| self.repairs.repair_epoch(sealed)))
    }
}

impl<R: BatchReader> BatchReader for Repaired<R> {
    fn batch(&self, seq: BatchSeq) -> Result<Arc<Batch>, PortFault> {
        Ok(self.repairs.repair_batch(seq, self.read.batch(seq)?))
    }
}

fn read_fault(error: &JournalError) -> PortFault {
    let message = with_causes(error);
    if error.is_transient() {
        PortFault::transient(message)
    } else {
        PortFault::permanent(message)
    }
}
