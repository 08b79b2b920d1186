//! What a sink reads of the ledger: which changes it says, by which word, and all that is told with them.

use tokio::sync::Semaphore;
use weir_schema::said::{Cursor, OutboxFilter};
use weir_schema::{AlertId, Change, ChangeKind};

use crate::SinkOptions;
use crate::carrier::Telling;
use crate::desk::Row;
use crate::ports::{Fault, Outbox};

/// Rows of one read: at most some 5 KiB each.
pub(crate) const ROWS_MAX: usize = 64;

/// Threads of all sinks that may wait for the ledger.
pub(crate) const READS_MAX: usize = 4;
static READS: Semaphore = Semaphore::const_new(READS_MAX);

impl SinkOptions {
    /// The word for a change, where this sink says it.
    pub(crate) fn word(
        &self,
        outbox: &dyn Outbox,
        change: &Change,
    ) -> Result<Option<ChangeKind>, Fault> {
        if self.create_only {
            let first = self.filter.is_first(outbox, change)?;
            return Ok(first.then_some(ChangeKind::Raised));
        }
        OutboxFilter::word(&self.filter, outbox, change)
    }

    /// A change that is said as `word`, as a desk takes it.
    pub(crate) fn row(&self, change: &Change, word: ChangeKind) -> Row {
        // Who hears of an alert once does not hear what became of it.
        let supersedes = match self.create_only {
            true => Vec::new(),
            false => change.supersedes.clone(),
        };
        Row {
            at: Cursor::of(change),
            revision: change.record.revision,
            word,
            supersedes,
        }
    }
}

/// The rows that a sink wants of an alert, from a place to another.
pub(crate) fn rows(
    outbox: &dyn Outbox,
    options: &SinkOptions,
    alert: AlertId,
    from: Cursor,
    read: Cursor,
) -> Result<Vec<Row>, Fault> {
    let (mut rows, mut revision) = (Vec::new(), u64::MAX);
    // Backwards, since what is owed is the end of a history that may be long.
    while let Some(change) = outbox.previous(alert, revision)? {
        let at = Cursor::of(&change);
        if at < from {
            break;
        }
        revision = change.record.revision;
        if at <= read
            && let Some(word) = options.word(outbox, &change)?
        {
            rows.push(options.row(&change, word));
        }
    }
    rows.reverse();
    Ok(rows)
}

/// What is to be told of a row of an alert.
pub(crate) fn telling(
    outbox: &dyn Outbox,
    alert: AlertId,
    row: &Row,
) -> Result<Option<Telling>, Fault> {
    let Some(change) = outbox.change(alert, row.revision)? else {
        return Ok(None);
    };
    let before = outbox.previous(alert, row.revision)?;
    let mut swallowed = Vec::new();
    for other in &row.supersedes {
        swallowed.extend(outbox.record(*other)?);
    }
    Ok(Some(Telling {
        change,
        kind: row.word,
        before: before.map(|change| change.record),
        swallowed,
    }))
}

/// Asks the ledger on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let fault = |error: &dyn std::fmt::Display| Fault {
        message: error.to_string(),
    };
    let turn = READS.acquire().await.map_err(|error| fault(&error))?;
    let answer = tokio::task::spawn_blocking(move || {
        let _turn = turn; // Until the thread is free, whatever became of who asked.
        ask()
    });
    answer.await.unwrap_or_else(|error| Err(fault(&error)))
}
