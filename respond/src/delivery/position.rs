//! Position of a sink, as its entries in the journal describe it.

use std::collections::BTreeMap;

use weir_schema::outbox::Cursor;
use weir_schema::{AlertId, ReceiveTime, SinkProgress, UndeliveredAlert};

/// Position of a sink: how far it has read, and what it has not delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkPosition {
    pub(crate) read: Option<Cursor>,
    pub(crate) undelivered: BTreeMap<AlertId, UndeliveredRows>,
    pub(crate) stop_reason: Option<String>,
}

/// Rows of one alert that are not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UndeliveredRows {
    /// The first of them.
    pub from: Cursor,
    pub since: ReceiveTime,
    /// Why the sink gave up, if the alert is a dead letter.
    pub dead_reason: Option<String>,
}

impl SinkPosition {
    /// Applies an entry of the journal.
    pub fn apply(&mut self, entry: &SinkProgress) {
        self.read = Some(Cursor {
            epoch: entry.epoch,
            ordinal: entry.ordinal,
        });
        for alert in &entry.cleared {
            self.undelivered.remove(alert);
        }
        for alert in &entry.undelivered {
            let rows = UndeliveredRows {
                from: Cursor {
                    epoch: alert.epoch,
                    ordinal: alert.ordinal,
                },
                since: alert.since,
                dead_reason: alert.dead_reason.clone(),
            };
            self.undelivered.insert(alert.alert, rows);
        }
        self.stop_reason.clone_from(&entry.stop_reason);
    }

    /// How far the sink has read the outbox.
    #[must_use]
    pub(crate) fn read(&self) -> Option<Cursor> {
        self.read
    }

    /// The entry that turns this position into `newer`, which has read up to `read`.
    pub(crate) fn entry_to(&self, newer: &Self, sink: &str, read: Cursor) -> SinkProgress {
        let changed = newer
            .undelivered
            .iter()
            .filter(|(alert, rows)| self.undelivered.get(alert) != Some(rows));
        let cleared = self
            .undelivered
            .keys()
            .filter(|alert| !newer.undelivered.contains_key(alert));
        SinkProgress {
            sink: sink.to_owned(),
            epoch: read.epoch,
            ordinal: read.ordinal,
            undelivered: changed
                .map(|(alert, rows)| UndeliveredAlert {
                    alert: *alert,
                    epoch: rows.from.epoch,
                    ordinal: rows.from.ordinal,
                    since: rows.since,
                    dead_reason: rows.dead_reason.clone(),
                })
                .collect(),
            cleared: cleared.copied().collect(),
            stop_reason: newer.stop_reason.clone(),
        }
    }
}
