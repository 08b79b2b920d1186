//! A fact, with the identity of its event.

use weir_schema::{EventId, EventTime, Fact, Position};

/// A fact as a plan reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceFact {
    pub fact: Fact,
    /// Zero for an event. A number of its own for a report: each report is an event of its own.
    pub serial: usize,
}

impl ReferenceFact {
    pub fn event(fact: Fact) -> Self {
        Self { fact, serial: 0 }
    }

    /// The columns that distinguish one event from another.
    pub fn identity(&self) -> (EventTime, EventId, Position, usize) {
        let fact = &self.fact;
        (fact.time, fact.event, fact.position, self.serial)
    }
}
