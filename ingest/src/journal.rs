//! The port to the journal, and the answers to submitters.

use weir_schema::{Entry, Epoch, ReceiveTime};

/// The journal as seen by its only writer. The store implements it.
///
/// After an `Err` from `append` or `sync`, the entries appended since the last successful `sync` are
/// not part of the journal: the port removes them, and the next entry follows the last synced one.
/// After a failed fsync, the port must not report success for the same bytes.
pub trait JournalPort: Send + 'static {
    /// Appends an entry. It may stay in a buffer.
    fn append(&mut self, entry: &Entry) -> Result<(), JournalFault>;
    /// Makes all appended entries durable. After `Ok` the graph can read them.
    fn sync(&mut self) -> Result<(), JournalFault>;
    /// The epoch of the next seal. The writer calls it only when all entries are synced.
    fn next_epoch(&self) -> Epoch;
}

/// A failure of the journal; it accepts no entries for now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal cannot be written: {message}")]
pub struct JournalFault {
    pub kind: FaultKind,
    pub message: String,
}

/// Kind of a journal fault. Each kind has a different remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The disk is full.
    Full,
    /// The folder is not writable.
    ReadOnly,
    Io,
}

/// The result of a submission whose events are all durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitReceipt {
    /// Events journaled by this submission.
    pub events: u64,
    /// Events that were delivered before.
    pub duplicates: u64,
    /// Events journaled although an earlier event has the same identity and other bytes.
    pub conflicts: u64,
    /// After an agent's batch: all events of the spool before this sequence are durable.
    pub next_sequence: Option<u64>,
}

/// Reason why no event of a submission was journaled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    #[error(transparent)]
    Fault(#[from] JournalFault),
    #[error("events are missing: expected sequence {expected}, got {got}")]
    Gap { expected: u64, got: u64 },
    #[error("the idempotency key was used for another body; use a new key for a new body")]
    Conflict,
    #[error("the batch is invalid: {0}")]
    Invalid(&'static str),
    #[error("the journal writer is at its limit; send again later")]
    Busy,
    #[error("ingest is stopping; send again after the restart")]
    Stopped,
}

/// Source of receive times.
pub trait ReceiveClock: Send + Sync + 'static {
    fn now(&self) -> ReceiveTime;
}

/// The system clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl ReceiveClock for SystemClock {
    fn now(&self) -> ReceiveTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = since.map_or(0, |since| since.as_nanos());
        ReceiveTime(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}
