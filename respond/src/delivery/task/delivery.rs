//! One delivery: reads a change from the ledger and sends it to the consumer.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::task::JoinSet;
use weir_schema::{AlertId, AlertRecord, ChangeKind};

use crate::delivery::consumer::Consumer;
use crate::delivery::queue::DeliveryRow;
use crate::delivery::reader::{LedgerReads, outgoing_change};
use crate::failure::{DeliveryError, FailureReason};
use crate::ports::{Clock, Outbox};

/// Deliveries in flight. Each is a task, so the runtime polls it while the sink waits for the
/// ledger or the journal.
pub(super) type InFlight = JoinSet<DeliveryOutcome>;

/// A row to deliver, and everything that it needs.
pub(super) struct DeliveryAttempt {
    pub alert: AlertId,
    pub row: DeliveryRow,
    pub outbox: Arc<dyn Outbox>,
    pub reads: LedgerReads,
    pub consumer: Arc<Consumer>,
    pub clock: Arc<dyn Clock>,
}

/// End of a delivery.
pub(super) struct DeliveryOutcome {
    pub alert: AlertId,
    pub result: Result<DeliveredChange, DeliveryError>,
}

/// A change that the consumer accepted.
pub(super) struct DeliveredChange {
    pub record: AlertRecord,
    pub kind: ChangeKind,
    pub superseded: Vec<AlertId>,
}

impl DeliveryAttempt {
    /// Delivers the row. A panic is a failed attempt.
    pub(super) async fn run(self) -> DeliveryOutcome {
        let alert = self.alert;
        let attempt = std::panic::AssertUnwindSafe(self.attempt()).catch_unwind();
        let result = attempt.await.unwrap_or_else(|_| {
            let detail = "the delivery has panicked";
            Err(DeliveryError::new(FailureReason::Content, detail))
        });
        DeliveryOutcome { alert, result }
    }

    async fn attempt(self) -> Result<DeliveredChange, DeliveryError> {
        let (alert, row, outbox) = (self.alert, self.row, self.outbox);
        let read = self
            .reads
            .run(move || outgoing_change(outbox.as_ref(), alert, &row));
        let read = read.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read a change to deliver");
            None
        });
        // Retried like a failed delivery.
        let missing = || DeliveryError::new(FailureReason::Content, "the ledger does not have it");
        let outgoing = read.ok_or_else(missing)?;
        self.consumer.deliver(&outgoing, self.clock.now()).await?;
        Ok(DeliveredChange {
            superseded: outgoing.change.supersedes,
            record: outgoing.change.record,
            kind: outgoing.kind,
        })
    }
}

/// Waits for the end of a delivery; `None` without one in flight.
pub(super) async fn next_outcome(in_flight: &mut InFlight) -> Option<DeliveryOutcome> {
    // A delivery catches its panics and is never aborted, so each has an outcome.
    in_flight.join_next().await?.ok()
}
