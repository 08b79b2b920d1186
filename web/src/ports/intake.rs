//! The port that journals events.

use futures_util::future::BoxFuture;
use weir_schema::Batch;

use super::IntakeError;

/// Accepts events into the journal.
pub trait EventIntake: Send + Sync {
    /// Journals the batches of one request in order; completes once they are durable.
    fn submit(&self, batches: Vec<Batch>) -> BoxFuture<'_, Result<IntakeReceipt, IntakeError>>;
}

/// Confirms that the batches of a request are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntakeReceipt {
    /// Whether an earlier request with the same key and body had journaled them.
    pub repeated: bool,
}
