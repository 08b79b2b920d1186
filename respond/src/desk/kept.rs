//! What the journal keeps of a desk, and how a desk is made of it again.

use weir_schema::said::Cursor;
use weir_schema::{AlertId, Delivered};

use super::{Dead, Desk, Patience, Row};
use crate::position::{Kept, Position};

impl Desk {
    /// A sink where its last life left it. `rows` gives the rows of an alert from a place on, up to
    /// where the sink has read.
    pub fn resume<E>(
        position: &Position,
        read: Cursor,
        patience: Patience,
        mut rows: impl FnMut(AlertId, Cursor) -> Result<Vec<Row>, E>,
    ) -> Result<Self, E> {
        let mut desk = Self::begin(read, patience);
        desk.stopped.clone_from(&position.0.stopped);
        let mut given_up = Vec::new();
        for (alert, (from, since, dead)) in &position.0.held {
            let rows = rows(*alert, *from)?;
            match dead {
                Some(reason) => {
                    rows.iter().for_each(|row| desk.expect_merge(*alert, row));
                    given_up.push((*alert, *from, rows, *since, reason.clone()));
                }
                None if rows.is_empty() => {}
                None => desk.owe(*alert, rows, *since, *since),
            }
        }
        // Once all are known who swallow others.
        for (alert, from, rows, since, reason) in given_up {
            let (rows, merger) = (rows.iter().map(|row| row.at), desk.last_merger(alert));
            if let Some(mut dead) = Dead::of(rows, merger, since, reason) {
                dead.from = from;
                desk.dead.insert(alert, dead);
            }
        }
        desk.kept = Some(position.0.clone());
        Ok(desk)
    }

    /// What the journal has to be told, `None` where it knows. Once it is durable, [`Self::keep`]
    /// it.
    #[must_use]
    pub fn entry(&self, sink: &str) -> Option<Delivered> {
        let nothing = Kept::default();
        let known = self.kept.as_ref().unwrap_or(&nothing);
        let now = self.to_keep();
        if known == &now {
            return None;
        }
        Some(known.entry_to(&now, sink, self.read))
    }

    /// The journal has the entry.
    pub fn keep(&mut self, entry: &Delivered) {
        let mut position = Position(self.kept.take().unwrap_or_default());
        position.follow(entry);
        self.kept = Some(position.0);
        self.has_void = false;
    }

    fn to_keep(&self) -> Kept {
        let owed = self.owed.iter().filter_map(|(alert, owed)| {
            let first = owed.rows.front()?;
            Some((*alert, (first.at, owed.since, None)))
        });
        let dead = self.dead.iter();
        let dead =
            dead.map(|(alert, dead)| (*alert, (dead.from, dead.since, Some(dead.reason.clone()))));
        Kept {
            read: Some(self.read),
            held: owed.chain(dead).collect(),
            stopped: self.stopped.clone(),
        }
    }
}
