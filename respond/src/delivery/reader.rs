//! Reads the ledger for a sink: which changes it sends, under which kind, and their content.

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
static READS: Semaphore = Semaphore::const_new(READS_MAX);

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

/// Runs a read of the ledger on a thread that may block.
pub(crate) async fn read_blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, SinkPortError> + Send + 'static,
) -> Result<T, SinkPortError> {
    let failed = |error: &dyn std::fmt::Display| SinkPortError {
        message: error.to_string(),
    };
    let permit = READS.acquire().await.map_err(|error| failed(&error))?;
    let answer = tokio::task::spawn_blocking(move || {
        let _permit = permit; // Held until the thread is free, even if the caller is dropped.
        read()
    });
    answer.await.unwrap_or_else(|error| Err(failed(&error)))
}
