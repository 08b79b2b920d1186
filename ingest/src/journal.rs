//! The port to the journal, and what a submitter is told.

use weir_schema::{Entry, Epoch, ReceiveTime};

/// The journal as its one writer sees it; the store implements it.
///
/// After an `Err` from `append` or `sync` nothing that was appended since the last `Ok` of `sync`
/// is part of the journal: the port cuts it off, and the writer's next entry follows what was
/// synced. An error of fsync must not be followed by a success for the same bytes.
pub trait JournalPort: Send + 'static {
    /// Adds an entry; it may stay in a buffer.
    fn append(&mut self, entry: &Entry) -> Result<(), JournalFault>;
    /// All entries appended are durable, and readable by the graph, after `Ok`.
    fn sync(&mut self) -> Result<(), JournalFault>;
    /// The epoch that the next seal carries. The writer asks when nothing is unsynced.
    fn next_epoch(&self) -> Epoch;
}

/// Why the journal takes nothing now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal takes nothing now: {message}")]
pub struct JournalFault {
    pub kind: FaultKind,
    pub message: String,
}

/// What kind of fault it is; each has another remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No space is left.
    Full,
    /// The folder cannot be written.
    ReadOnly,
    Io,
}

/// What became of a submission; all of it is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitReceipt {
    /// Events journaled by this submission.
    pub events: u64,
    /// Events that an earlier delivery had brought.
    pub duplicates: u64,
    /// Events journaled although an earlier delivery has their identity, with other bytes.
    pub conflicts: u64,
    /// Of an agent's batch: all events of the spool before it are durable.
    pub next_sequence: Option<u64>,
}

/// Why nothing of a submission was journaled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    #[error(transparent)]
    Fault(#[from] JournalFault),
    #[error("events are missing: expected sequence {expected}, got {got}")]
    Gap { expected: u64, got: u64 },
    #[error("the idempotency key was used for another body; use a new key for a new body")]
    Conflict,
    #[error("cannot take the batch: {0}")]
    Invalid(&'static str),
    #[error("the journal writer has as much in hand as it may; send again later")]
    Busy,
    #[error("ingest is stopping; send again after the restart")]
    Stopped,
}

/// Where receipt times come from.
pub trait ReceiveClock: Send + Sync + 'static {
    fn now(&self) -> ReceiveTime;
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl ReceiveClock for SystemClock {
    fn now(&self) -> ReceiveTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = since.map_or(0, |since| since.as_nanos());
        ReceiveTime(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}
