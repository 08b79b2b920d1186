//! How far a sink has come, as its entries in the journal tell it.

use std::collections::BTreeMap;

use weir_schema::said::Cursor;
use weir_schema::{AlertId, Delivered, HeldBack, ReceiveTime};

/// What the journal knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub read: Option<Cursor>,
    pub held: BTreeMap<AlertId, (Cursor, ReceiveTime, Option<String>)>,
    pub stopped: Option<String>,
}

/// A sink as its entries in the journal tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(pub(crate) Kept);

impl Position {
    /// Follows an entry of the journal.
    pub fn follow(&mut self, entry: &Delivered) {
        self.0.read = Some(Cursor {
            epoch: entry.epoch,
            ordinal: entry.ordinal,
        });
        for alert in &entry.freed {
            self.0.held.remove(alert);
        }
        for held in &entry.held {
            let from = Cursor {
                epoch: held.epoch,
                ordinal: held.ordinal,
            };
            let held_back = (from, held.since, held.dead.clone());
            self.0.held.insert(held.alert, held_back);
        }
        self.0.stopped.clone_from(&entry.stopped);
    }

    /// How far it has read.
    #[must_use]
    pub fn read(&self) -> Option<Cursor> {
        self.0.read
    }
}

impl Kept {
    /// What the journal has to be told so that it knows `now`.
    pub fn entry_to(&self, now: &Self, sink: &str, read: Cursor) -> Delivered {
        let changed = now
            .held
            .iter()
            .filter(|(alert, held)| self.held.get(alert) != Some(held));
        let freed = self
            .held
            .keys()
            .filter(|alert| !now.held.contains_key(alert));
        Delivered {
            sink: sink.to_owned(),
            epoch: read.epoch,
            ordinal: read.ordinal,
            held: changed
                .map(|(alert, (from, since, dead))| HeldBack {
                    alert: *alert,
                    epoch: from.epoch,
                    ordinal: from.ordinal,
                    since: *since,
                    dead: dead.clone(),
                })
                .collect(),
            freed: freed.copied().collect(),
            stopped: now.stopped.clone(),
        }
    }
}
