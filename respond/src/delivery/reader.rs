//! Reads the ledger for a sink: which changes it sends, under which kind, and their content.

use std::sync::Arc;

use tokio::sync::Semaphore;
use weir_schema::outbox::{Cursor, OutboxFilter};
use weir_schema::{AlertId, Change, ChangeKind};

use crate::delivery::change::OutgoingChange;
use crate::delivery::queue::DeliveryRow;
use crate::options::SinkOptions;
use crate::ports::{Outbox, SinkPortError};

/// Rows of one read, of at most some 5 KiB each.
pub(crate) const READ_ROWS_MAX: usize = 64;

/// Threads of all sinks that may wait for the ledger.
pub(crate) const READS_MAX: usize = 4;

impl SinkOptions {
    /// The kind under which this sink sends a change; `None` if it does not send it.
    pub(crate) fn emitted_kind(
        &self,
        outbox: &dyn Outbox,
        change: &Change,
    ) -> Result<Option<ChangeKind>, SinkPortError> {
        if self.create_only {
            let first = self.filter.is_first_match(outbox, change)?;
            return Ok(first.then_some(ChangeKind::Raised));
        }
        OutboxFilter::emitted_kind(&self.filter, outbox, change)
    }

    /// The row of a change that is sent as `kind`.
    pub(crate) fn delivery_row(&self, change: &Change, kind: ChangeKind) -> DeliveryRow {
        // A create-only consumer is not told of mergers.
        let supersedes = match self.create_only {
            true => Vec::new(),
            false => change.supersedes.clone(),
        };
        DeliveryRow {
            at: Cursor::of(change),
            revision: change.record.revision,
            kind,
            supersedes,
        }
    }
}

/// Reads the rows of an alert that a sink sends, from `from` to `read`, both included.
pub(crate) fn alert_rows(
    outbox: &dyn Outbox,
    options: &SinkOptions,
    alert: AlertId,
    from: Cursor,
    read: Cursor,
) -> Result<Vec<DeliveryRow>, SinkPortError> {
    let (mut rows, mut revision) = (Vec::new(), u64::MAX);
    // Backwards: undelivered rows are at the end of a history that may be long.
    while let Some(change) = outbox.previous(alert, revision)? {
        let at = Cursor::of(&change);
        if at < from {
            break;
        }
        revision = change.record.revision;
        if at <= read
            && let Some(kind) = options.emitted_kind(outbox, &change)?
        {
            rows.push(options.delivery_row(&change, kind));
        }
    }
    rows.reverse();
    Ok(rows)
}

/// Reads the change of a row; `None` if the ledger no longer has it.
pub(crate) fn outgoing_change(
    outbox: &dyn Outbox,
    alert: AlertId,
    row: &DeliveryRow,
) -> Result<Option<OutgoingChange>, SinkPortError> {
    let Some(change) = outbox.change(alert, row.revision)? else {
        return Ok(None);
    };
    let before = outbox.previous(alert, row.revision)?;
    let mut superseded = Vec::new();
    for other in &row.supersedes {
        superseded.extend(outbox.record(*other)?);
    }
    Ok(Some(OutgoingChange {
        change,
        kind: row.kind,
        before: before.map(|change| change.record),
        superseded,
    }))
}

/// Runs reads of the ledger on threads that may block, for all sinks of a server.
#[derive(Clone, Debug)]
pub(crate) struct LedgerReads(Arc<Semaphore>);

impl Default for LedgerReads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READS_MAX)))
    }
}

impl LedgerReads {
    /// Runs a read.
    ///
    /// A task of its own takes the permit, because the runtime always polls a task. The caller's
    /// future may not be polled for a while. If it could hold the permit, its owner could wait for
    /// a permit that only this future releases, and no sink would ever read again.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, SinkPortError> + Send + 'static,
    ) -> Result<T, SinkPortError> {
        fn failed(error: impl std::fmt::Display) -> SinkPortError {
            SinkPortError {
                message: error.to_string(),
            }
        }
        let permits = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let permit = permits.acquire_owned().await.map_err(failed)?;
            let answer = tokio::task::spawn_blocking(move || {
                let _permit = permit; // Held until the thread is free.
                read()
            });
            answer.await.unwrap_or_else(|error| Err(failed(error)))
        });
        task.await.unwrap_or_else(|error| Err(failed(error)))
    }
}
