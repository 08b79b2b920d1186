//! Checkpoints of a delivery queue: its entries in the journal, and how a queue is restored.

use weir_schema::outbox::Cursor;
use weir_schema::{AlertId, SinkProgress};

use super::{DeliveryQueue, DeliveryRow, RetryPolicy, SinkDeadLetter};
use crate::delivery::position::{SinkPosition, UndeliveredRows};

impl DeliveryQueue {
    /// Restores the queue of an earlier run. `rows` reads the rows of an alert from a cursor on,
    /// up to `read`.
    pub(crate) fn restore<E>(
        position: &SinkPosition,
        read: Cursor,
        retry: RetryPolicy,
        mut rows: impl FnMut(AlertId, Cursor) -> Result<Vec<DeliveryRow>, E>,
    ) -> Result<Self, E> {
        let mut queue = Self::new(read, retry);
        queue.stop_reason.clone_from(&position.stop_reason);
        let mut dead = Vec::new();
        for (alert, undelivered) in &position.undelivered {
            let rows = rows(*alert, undelivered.from)?;
            match &undelivered.dead_reason {
                Some(reason) => {
                    rows.iter()
                        .for_each(|row| queue.record_mergers(*alert, row));
                    dead.push((*alert, undelivered, rows, reason.clone()));
                }
                None if rows.is_empty() => {}
                None => queue.enqueue(*alert, rows, undelivered.since, undelivered.since),
            }
        }
        // Only now are all mergers recorded.
        for (alert, undelivered, rows, reason) in dead {
            let (rows, merger) = (rows.iter().map(|row| row.at), queue.last_merger_of(alert));
            let since = undelivered.since;
            if let Some(mut letter) = SinkDeadLetter::from_rows(rows, merger, since, reason) {
                letter.from = undelivered.from;
                queue.dead.insert(alert, letter);
            }
        }
        queue.journaled = Some(position.clone());
        Ok(queue)
    }

    /// The entry that brings the journal up to date; `None` if it is. Call
    /// [`Self::confirm_checkpoint`] once the entry is durable.
    #[must_use]
    pub(crate) fn checkpoint(&self, sink: &str) -> Option<SinkProgress> {
        let unknown = SinkPosition::default();
        let journaled = self.journaled.as_ref().unwrap_or(&unknown);
        let current = self.position();
        if journaled == &current {
            return None;
        }
        Some(journaled.entry_to(&current, sink, self.read))
    }

    /// Notes that the entry is in the journal.
    pub(crate) fn confirm_checkpoint(&mut self, entry: &SinkProgress) {
        let mut position = self.journaled.take().unwrap_or_default();
        position.apply(entry);
        self.journaled = Some(position);
        self.has_unjournaled_discard = false;
    }

    fn position(&self) -> SinkPosition {
        let pending = self.pending.iter().filter_map(|(id, alert)| {
            let rows = UndeliveredRows {
                from: alert.rows.front()?.at,
                since: alert.since,
                dead_reason: None,
            };
            Some((*id, rows))
        });
        let dead = self.dead.iter().map(|(id, letter)| {
            let rows = UndeliveredRows {
                from: letter.from,
                since: letter.since,
                dead_reason: Some(letter.reason.clone()),
            };
            (*id, rows)
        });
        SinkPosition {
            read: Some(self.read),
            undelivered: pending.chain(dead).collect(),
            stop_reason: self.stop_reason.clone(),
        }
    }
}
